"""One contestant of the dashboard benchmark outside the browser, in a process that the contestant's Python runs; bench/dashboard.py
starts it.

`dashboard_worker.py facts NAME`                     what the contestant is
`dashboard_worker.py write NAME FOLDER SHAPE`        write the runs of a shape (bench/dashboard_data.py, as JSON) into a new FOLDER
`dashboard_worker.py serve NAME FOLDER PORT`         become the contestant's page over FOLDER, as its users start it
`dashboard_worker.py live NAME FOLDER PORT RUNS`     RUNS runs append a point a second; each line of standard input is the value of one
                                                     more point of `probe` in the first run, answered by the Unix time before its call

A contestant is a file bench/peers/NAME-page.py with `write(folder, shape)`, `serve(folder, port)` and a class `Live(folder, port,
runs)` with `tick(step)`, which appends a point of `loss` to every run, and `probe(step, value)`, both returning as soon as the
library's call does.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import selectors
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import worker
from bench.dashboard_data import Shape

TICK_SECONDS = 1.0


def live(session, answer: int) -> None:
    """Write until standard input ends."""
    lines = selectors.DefaultSelector()
    lines.register(sys.stdin, selectors.EVENT_READ)
    ticks, probes, due = 0, 0, time.monotonic()
    session.probe(probes, 1.0)
    os.write(answer, b'{"ready": true}\n')
    while True:
        if time.monotonic() >= due:
            session.tick(ticks)
            ticks, due = ticks + 1, due + TICK_SECONDS
        if not lines.select(max(0.0, due - time.monotonic())):
            continue
        line = sys.stdin.readline()
        if not line:
            return
        probes += 1
        before = time.time()
        session.probe(probes, float(line))
        os.write(answer, json.dumps({"at": before, "took": time.time() - before}).encode() + b"\n")


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries greet on standard output; that is not the answer
    mode, name, *rest = sys.argv[1:]
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # nothing here may shadow what a library imports
    module = worker.contestant(f"{name}-page")
    if mode == "facts":
        version = importlib.metadata.version(module.DISTRIBUTION)
        told = {"title": f"{module.DISTRIBUTION} {version}", "command": module.COMMAND, "written_by": module.WRITTEN_BY}
        os.write(answer, json.dumps(told).encode())
    elif mode == "write":
        start = time.perf_counter()
        module.write(rest[0], Shape.read(rest[1]))
        os.write(answer, json.dumps({"seconds": time.perf_counter() - start}).encode())
    elif mode == "serve":
        os.close(answer)
        module.serve(rest[0], int(rest[1]))
    elif mode == "live":
        live(module.Live(rest[0], int(rest[1]), int(rest[2])), answer)
        os._exit(0)  # a library may wait for what it has not sent
    else:
        sys.exit(f"there is no mode {mode}: see the head of this file")


if __name__ == "__main__":
    main()
