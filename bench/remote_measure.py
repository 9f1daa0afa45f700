"""One measurement of remote mode, in a client process of its own; bench/remote.py starts it and tables its numbers.

`remote_measure.py FIGURE URL PID FOLDER COUNT NAME` prints one line of JSON. The server at URL, process PID, is another
process's; NAME is the run's; local runs are kept in FOLDER. What is timed is the public interface as a user calls it. What
the server has stored, bench/remote.py looks up in its files.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from ml_dash.model import RunKey
from ml_dash.store.remote import RemoteStore

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import servers
from bench.measure import METRIC, PROJECT, Result, resident, short_row
from bench.worker import points

BATCH = 1_000
ROUNDS = 5
SERIES = 1_000
WINDOWS, WINDOW = 4, 5
"""Spans of the figure of many series, and their seconds."""
WARM_UP = 10
"""Seconds before them: the first points make a thousand series, here and at the server."""
MEMORY_PARTS = 10


def rows_of(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"value": value, "step": step, "epoch": epoch} for value, step, epoch in points(start, stop)]


def remote(url: str, name: str) -> Any:
    """A context manager that opens the run at the server."""
    return Experiment(name=name, project=PROJECT, remote=url).run


def local(folder: str, name: str) -> Any:
    return Experiment(name=name, project=PROJECT, local_path=folder).run


def count_at(url: str, name: str) -> int:
    """Points that the server has of the run, by its own word."""
    store = RemoteStore(url)
    infos = store.describe(store.get_run(RunKey("", PROJECT, name)).id)
    store.close()
    return sum(info.count for info in infos if info.kind == "metrics")


def append(url: str, pid: int, folder: str, count: int, name: str) -> Result:
    """Single appends in local and in remote mode, in alternating rounds of one process: median and mean of the calls. A round
    begins when all before it is at the server, so that nothing is sent during a local one; `sent` is the share of a remote
    round's points that was at the server when its last call had returned."""
    result: Result = {"local": [], "ours": [], "local_mean": [], "ours_mean": [], "sent": []}
    with local(folder, name) as here, remote(url, name) as there:
        for number in range(ROUNDS):
            for key, opened in (("local", here), ("ours", there)):
                spans = timed_calls(opened.metrics(METRIC).append, count)
                if key == "ours":
                    result["sent"].append((count_at(url, name) - number * count) / count)
                    there.flush()
                result[key].append(statistics.median(spans) / 1e9)
                result[f"{key}_mean"].append(statistics.fmean(spans) / 1e9)
    return result | {"count": ROUNDS * count}


def timed_calls(call: Callable[..., Any], count: int) -> list[int]:
    """Nanoseconds of each of `count` calls in a row."""
    clock, spans, rows = time.perf_counter_ns, [0] * count, rows_of(0, count)
    gc.collect()
    gc.freeze()
    for index, fields in enumerate(rows):
        start = clock()
        call(**fields)
        spans[index] = clock() - start
    gc.unfreeze()
    return spans


def end_to_end(url: str, pid: int, folder: str, count: int, name: str) -> Result:
    """append_batch of all points, 1,000 a batch, until flush() has returned; then the same in local mode."""
    parts = [rows_of(start, start + BATCH) for start in range(0, count, BATCH)]
    gc.collect()
    gc.freeze()
    result: Result = {}
    with remote(url, name) as there:
        own, theirs = time.process_time(), servers.cpu_seconds(pid)
        result["ours"], result["returned"] = until_flushed(there, parts)
        result["own_cpu"], result["server_cpu"] = time.process_time() - own, servers.cpu_seconds(pid) - theirs
        result["acknowledged"] = count_at(url, name)
    with local(folder, name) as here:
        result["local"], _ = until_flushed(here, parts)
    return result


def until_flushed(opened: Any, parts: list[list[dict[str, Any]]]) -> tuple[float, float]:
    """Seconds until flush() has returned, and until the last batch had."""
    metric, start = opened.metrics(METRIC), time.perf_counter()
    for part in parts:
        metric.append_batch(part)
    returned = time.perf_counter()
    opened.flush()
    return time.perf_counter() - start, returned - start


def many_series(url: str, pid: int, folder: str, count: int, name: str) -> Result:
    """A point a second in each of `count` series, as a training loop has it, all in a row: shares of a core, client and server."""
    with remote(url, name) as there:
        shares = _shares(there, pid, count)
        there.flush()
    with local(folder, name) as here:
        only = _shares(here, pid, count)
    return {"ours": shares["own"], "server": shares["server"], "local": only["own"], "steps": shares["steps"]}


def _shares(opened: Any, pid: int, count: int) -> dict[str, Any]:
    metrics = [opened.metrics(f"metric_{number}") for number in range(count)]
    found: dict[str, list[float]] = {"own": [], "server": []}
    start, step = time.monotonic(), 0
    for window in range(-1, WINDOWS):
        own, theirs, since = time.process_time(), servers.cpu_seconds(pid), time.monotonic()
        for _ in range(WARM_UP if window < 0 else WINDOW):
            fields = {"value": 1.0 / (step + 1), "step": step, "epoch": 0}
            for metric in metrics:
                metric.append(**fields)
            step += 1
            time.sleep(max(0.0, start + step - time.monotonic()))
        if window >= 0:
            seconds = time.monotonic() - since
            found["own"].append((time.process_time() - own) / seconds)
            found["server"].append((servers.cpu_seconds(pid) - theirs) / seconds)
    return found | {"steps": step}


def away(url: str, pid: int, folder: str, count: int, name: str) -> Result:
    """The server goes away (SIGKILL) once it has met the run; then `count` points by append_batch, and the memory after each
    tenth. Closing does not wait long for the server."""
    os.environ["ML_DASH_CLOSE_SECONDS"] = "3"
    part = count // MEMORY_PARTS
    memory = []
    with remote(url, name) as there:
        metric = there.metrics(METRIC)
        metric.append_batch([short_row(index) for index in range(BATCH)])
        there.flush()
        met = count_at(url, name) == BATCH
        os.kill(pid, signal.SIGKILL)
        start = time.perf_counter()
        for first in range(BATCH, BATCH + part * MEMORY_PARTS, BATCH):
            metric.append_batch([short_row(index) for index in range(first, first + BATCH)])
            if first % part == 0:
                memory.append(resident())
        seconds = time.perf_counter() - start
    return {"memory": memory, "seconds": seconds, "met": met, "count": BATCH + part * MEMORY_PARTS}


FIGURES: dict[str, Callable[[str, int, str, int, str], Result]] = {
    function.__name__: function for function in (append, end_to_end, many_series, away)
}


def main() -> None:
    figure, url, pid, folder, count, name = sys.argv[1:]
    print(json.dumps(FIGURES[figure](url, int(pid), folder, int(count), name)))


if __name__ == "__main__":
    main()
