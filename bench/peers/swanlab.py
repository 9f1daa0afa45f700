"""SwanLab, offline: records wait for a thread that writes a log of messages. Probes and terminal capture are off."""

import os
from collections import defaultdict
from pathlib import Path

import swanlab

DISTRIBUTION = "swanlab"
SINGLE, BATCH = 40_000, 0
READER = "its DataStoreReader and Record"


class Run:
    def __init__(self, folder):
        quiet = swanlab.Settings(
            interactive=False,
            probe={"hardware": False, "requirements": False, "git": False, "monitor": False, "runtime": False},
            terminal={"proxy_type": "none"},
        )
        logs = os.path.join(folder, "logs")
        self.run = swanlab.init(project="bench", name="run", mode="offline", log_dir=logs, settings=quiet)

    def append(self, value, step, epoch):
        self.run.log({"value": value, "epoch": epoch}, step=step)

    def close(self):
        swanlab.finish()


def stored(folder):
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    steps = defaultdict(dict)
    for path in Path(folder).rglob("*.swanlab"):
        reader = DataStoreReader()
        reader.open(path)
        for data in reader:
            record = Record.FromString(data)
            if record.HasField("scalar"):
                steps[record.scalar.step][record.scalar.key] = record.scalar.value.number
    for step, fields in steps.items():
        if len(fields) == 2:
            yield fields["value"], step, fields["epoch"]
