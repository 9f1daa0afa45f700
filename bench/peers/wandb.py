"""wandb, offline: each row goes to its wandb-core process, which writes a log of messages. Its monitors are off.

The 0.31 package has no Python reader of that file (the one that reads it is in wandb-core, which uploads), so the frames
are taken apart here, by the rules of LevelDB's log format, and wandb's own messages decode the records.
"""

import json
import struct
from pathlib import Path

import wandb

DISTRIBUTION = "wandb"
SINGLE, BATCH = 10_000, 0
READER = "its Record messages in the .wandb file"
BLOCK = 32_768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Run:
    def __init__(self, folder):
        quiet = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True,
            x_disable_machine_info=True, x_save_requirements=False,
        )  # fmt: skip
        self.run = wandb.init(project="bench", name="run", mode="offline", dir=folder, settings=quiet)

    def append(self, value, step, epoch):
        self.run.log({"value": value, "epoch": epoch}, step=step)

    def close(self):
        self.run.finish()


def stored(folder):
    from wandb.proto.wandb_internal_pb2 import Record

    for path in Path(folder).rglob("run-*.wandb"):
        for frame in frames(path.read_bytes()):
            record = Record.FromString(frame)
            if record.HasField("history"):
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                if "value" in row:
                    yield row["value"], row["_step"], row["epoch"]


def frames(data):
    """The records of a log: blocks of 32 KiB, in them fragments of (checksum, length, type). A torn end ends it."""
    position, parts = 7, []
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        part = data[position + 7 : position + 7 + length]
        if kind not in (FULL, FIRST, MIDDLE, LAST) or len(part) < length:
            return
        position += 7 + length
        parts = [part] if kind in (FULL, FIRST) else [*parts, part]
        if kind in (FULL, LAST):
            yield b"".join(parts)
