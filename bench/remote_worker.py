"""One trial of one contestant against its own server, in a process that the contestant's Python runs; bench/remote_peers.py
starts it.

`remote_worker.py facts NAME`                            what the contestant is, and how it is called
`remote_worker.py serve NAME FOLDER PORT`                become the contestant's server, its store in FOLDER
`remote_worker.py single NAME FOLDER PORT POINTS RUN`    append one by one; the median time of the calls
`remote_worker.py bulk NAME FOLDER PORT POINTS RUN`      all points in the best documented way, until all is acknowledged
`remote_worker.py check NAME FOLDER PORT POINTS RUN`     how many of these points the contestant's own reader finds at the server

A contestant is a file bench/peers/NAME-server.py: `serve(folder, port)`, `address(folder, port)` of that server for clients, a
class `Run(address, name)` with `append(value, step, epoch)`, `append_all(rows)`, `wait()`, which returns when the server has
acknowledged all, and `close()`; `stored(folder, address, name)` as in bench/worker.py; and texts that say what these are. Where
it can be set up in two ways, `ON` says what its server stands on, and a variable of the environment chooses.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import worker


def facts(module: ModuleType) -> dict[str, Any]:
    return {
        "distribution": module.DISTRIBUTION,
        "version": importlib.metadata.version(module.DISTRIBUTION),
        "on": getattr(module, "ON", ""),
        "call": module.CALL,
        "bulk": module.BULK,
        "acknowledged": module.ACKNOWLEDGED,
        "reader": module.READER,
    }


def single(run: Any, count: int) -> dict[str, Any]:
    clock, spans, todo = time.perf_counter_ns, [0] * count, worker.points(0, count)
    for index, (value, step, epoch) in enumerate(todo):
        start = clock()
        run.append(value, step, epoch)
        spans[index] = clock() - start
    run.wait()
    return {"call": statistics.median(spans) / 1e9}


def bulk(run: Any, count: int) -> dict[str, Any]:
    rows = [{"value": value, "step": step, "epoch": epoch} for value, step, epoch in worker.points(0, count)]
    gc.collect()
    gc.freeze()
    start = time.perf_counter()
    run.append_all(rows)
    run.wait()
    return {"acknowledged": time.perf_counter() - start}


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries greet on standard output; that is not the answer
    mode, name, *rest = sys.argv[1:]
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # nothing here may shadow what a library imports
    module = worker.contestant(f"{name}-server")
    if mode == "facts":
        result = facts(module)
    elif mode == "serve":
        os.close(answer)
        module.serve(rest[0], int(rest[1]))
        return
    else:
        folder, port, count, run_name = rest[0], int(rest[1]), int(rest[2]), rest[3]
        url = module.address(folder, port)
        if mode == "check":
            result = worker.compared(module.stored(folder, url, run_name), count)
        else:
            run = module.Run(url, run_name)
            result = (single if mode == "single" else bulk)(run, count)
            run.close()
    os.write(answer, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
