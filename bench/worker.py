"""One trial of one contestant, in a process of its own that the contestant's Python runs; bench/run.py starts it.

`worker.py facts NAME`                          what the contestant is, and how many points suit it
`worker.py single NAME FOLDER POINTS`           append one by one, close; the time of both
`worker.py batch NAME FOLDER POINTS`            the same in batches of 1,000
`worker.py endless NAME FOLDER PACE`            append until killed, PACE points a second (0: as fast as it goes)
`worker.py check NAME FOLDER POINTS`            how many of these points the contestant's own reader finds

A contestant is a file in bench/peers with a class `Run(folder)`: `append(value, step, epoch)`, `close()` and, where the
library has such a call, `append_batch(rows)`; a function `stored(folder)` that yields (value, step, epoch) as the library's
own reader gives them; DISTRIBUTION, READER, and SINGLE and BATCH, the points of a full trial. The answer is one line of
JSON on standard output.
"""

from __future__ import annotations

import array
import gc
import importlib.metadata
import importlib.util
import json
import math
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

BATCH_SIZE = 1_000


def values(start: int, stop: int) -> list[float]:
    """A falling, rippling loss. Rounded to 32 bits, all that some event files keep: so all store the same numbers."""
    return array.array("f", (2.5 * math.exp(-i / 50_000) + 0.1 * math.sin(i) for i in range(start, stop))).tolist()


def points(start: int, stop: int) -> list[tuple[float, int, int]]:
    """(value, step, epoch) of the steps from start to stop."""
    return [(value, step, step // 1_000) for step, value in enumerate(values(start, stop), start)]


def contestant(name: str) -> ModuleType:
    """The file of a contestant. Loaded by its path: peers/wandb.py must not shadow the library that it imports."""
    sys.path.pop(0)
    spec = importlib.util.spec_from_file_location("contestant", Path(__file__).parent / "peers" / f"{name}.py")
    if spec is None or spec.loader is None:
        sys.exit(f"there is no bench/peers/{name}.py: write one, or take {name} out of peers.txt")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def facts(module: ModuleType) -> dict[str, Any]:
    return {
        "distribution": module.DISTRIBUTION,
        "version": importlib.metadata.version(module.DISTRIBUTION) if module.DISTRIBUTION else "",
        "single": module.SINGLE,
        "batch": module.BATCH,
        "reader": module.READER,
    }


def timed(run: Any, work: Callable[[], None]) -> dict[str, Any]:
    """Do the work, close, and say when the last call had returned and when all was closed."""
    gc.collect()
    gc.freeze()  # the points made beforehand are not the library's to look through
    start = time.perf_counter()
    work()
    returned = time.perf_counter()
    run.close()
    return {"returned": returned - start, "closed": time.perf_counter() - start}


def single(module: ModuleType, folder: str, count: int) -> dict[str, Any]:
    run = module.Run(folder)
    append, todo = run.append, points(0, count)

    def all_points() -> None:
        for value, step, epoch in todo:
            append(value, step, epoch)

    return timed(run, all_points)


def batch(module: ModuleType, folder: str, count: int) -> dict[str, Any]:
    run = module.Run(folder)
    rows = [{"value": value, "step": step, "epoch": epoch} for value, step, epoch in points(0, count)]
    batches = [rows[start : start + BATCH_SIZE] for start in range(0, count, BATCH_SIZE)]

    def all_batches() -> None:
        for part in batches:
            run.append_batch(part)

    return timed(run, all_batches)


def endless(module: ModuleType, folder: str, pace: int) -> dict[str, Any]:
    """Append until killed. How many returned is in a shared mapping of a file, which the kernel keeps when we die."""
    run = module.Run(folder)
    append = run.append
    with open(os.path.join(folder, "returned"), "xb+") as file:
        file.truncate(8)
        returned = mmap.mmap(file.fileno(), 8)
    start, done = time.perf_counter(), 0
    while True:
        for value, step, epoch in points(done, done + 1_000):
            if pace:
                time.sleep(max(0.0, start + step / pace - time.perf_counter()))
            append(value, step, epoch)
            done += 1
            returned[:8] = done.to_bytes(8, "little")


def check(module: ModuleType, folder: str, count: int) -> dict[str, Any]:
    return compared(module.stored(folder), count)


def compared(stored: Iterable[tuple[float, int, int]], count: int) -> dict[str, Any]:
    """`found`: points stored exactly; `wrong`: stored otherwise, or twice. Points beyond `count` had not returned."""
    expected = values(0, count)
    found, wrong = bytearray(count), 0
    for value, step, epoch in stored:
        if step >= count:
            continue
        if found[step] or value != expected[step] or epoch != step // 1_000:
            wrong += 1
        else:
            found[step] = 1
    return {"points": count, "found": sum(found), "wrong": wrong}


WORK: dict[str, Callable[[ModuleType, str, int], dict[str, Any]]] = {
    "single": single,
    "batch": batch,
    "endless": endless,
    "check": check,
}


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries greet on standard output; that is not the answer
    mode, name, *rest = sys.argv[1:]
    module = contestant(name)
    result = facts(module) if mode == "facts" else WORK[mode](module, rest[0], int(rest[1]))
    os.write(answer, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
