"""One measurement of this project, in a process of its own; bench/figures.py starts it and tables its numbers.

`measure.py FIGURE FOLDER COUNT` prints one line of JSON. Each function below is a figure or prepares data for one; what
it times is the public interface as a user calls it. Folders are made once and read by several figures.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dash
from ml_dash import Experiment

PROJECT, NAME, METRIC = "bench", "run", "loss"
BATCH = 1_000
ROUNDS = 7
SERIES = 20

orjson: Any = importlib.import_module("orjson")  # the floor's: not a dependency of ours

Row = dict[str, Any]
Result = dict[str, Any]


def row(index: int) -> Row:
    return {"value": round(1.0 / (1 + index * 1e-3), 6), "step": index, "epoch": index // 1_000}


def short_row(index: int) -> Row:
    """With its index and punctuation a line of 64 bytes: 10 million of them are 640 MB."""
    return {"value": round(0.1 + index % 900_000 / 1e6, 6), "step": index}


def clocked(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def experiment(folder: str, name: str = NAME) -> Any:
    """A context manager that opens the run."""
    return Experiment(name=name, project=PROJECT, local_path=folder).run


def loaded(folder: str) -> Any:
    return ml_dash.load(NAME, PROJECT, local_path=folder).metrics(METRIC)


def data_file(folder: str, metric: str = METRIC) -> Path:
    return Path(folder, PROJECT, NAME, "metrics", metric, "data.jsonl")


def lines_in(file: Path) -> int:
    """Lines by plain reading, the last one checked by plain json: its index must fit."""
    count, last = 0, b""
    with file.open("rb") as opened:
        for line in opened:
            count, last = count + 1, line
    if count and json.loads(last)["index"] != count - 1:
        sys.exit(f"{count} lines, but the last says {last[:40]!r}: the store is broken, do not trust the figures")
    return count


def append(folder: str, count: int) -> Result:
    """One append of three fields and the floor, in alternating rounds of one process: as a loop, and call by call."""
    file = os.open(os.path.join(folder, "floor.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    index = 0

    def floor(**fields: Any) -> None:
        nonlocal index
        os.write(file, orjson.dumps({"index": index, "data": fields}, option=orjson.OPT_APPEND_NEWLINE))
        index += 1

    result: Result = {"floor": [], "ours": [], "floor_call": [], "ours_call": []}
    with experiment(folder) as opened:
        ours = opened.metrics(METRIC).append
        for _ in range(ROUNDS):
            for name, call in (("floor", floor), ("ours", ours)):
                result[name].append(loop(call, count))
                result[f"{name}_call"].append(median_call(call, count))
    os.close(file)
    result["stored"] = lines_in(data_file(folder)) == 2 * ROUNDS * count
    return result


def loop(call: Callable[..., Any], count: int) -> float:
    rows = [row(index) for index in range(count)]
    start = time.perf_counter()
    for fields in rows:
        call(**fields)
    return (time.perf_counter() - start) / count


def median_call(call: Callable[..., Any], count: int) -> float:
    clock, spans = time.perf_counter_ns, []
    for fields in [row(index) for index in range(count)]:
        start = clock()
        call(**fields)
        spans.append(clock() - start)
    return statistics.median(spans) / 1e9


def wide(folder: str, count: int) -> Result:
    """One append of 1,000 fields, and msgspec's encode and format of the same row, in alternating rounds."""
    import msgspec

    fields = {f"layer_{index}/gradient_norm": random.Random(index).random() for index in range(1_000)}
    result: Result = {"floor": [], "ours": []}
    with experiment(folder) as opened:
        ours = opened.metrics(METRIC).append

        def floor() -> None:
            msgspec.json.format(msgspec.json.encode(fields), indent=0)

        for _ in range(ROUNDS):
            result["floor"].append(statistics.median(clocked(floor) for _ in range(count)))
            result["ours"].append(statistics.median(clocked(lambda: ours(fields)) for _ in range(count)))
    result["stored"] = lines_in(data_file(folder)) == ROUNDS * count
    return result


def batches(folder: str, count: int) -> Result:
    """append_batch of all points in batches of 1,000, and the same lines by orjson and one write a batch."""
    parts = [[row(index) for index in range(start, start + BATCH)] for start in range(0, count, BATCH)]
    gc.collect()
    gc.freeze()
    file = os.open(os.path.join(folder, "floor.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    start = time.perf_counter()
    for number, part in enumerate(parts):
        lines = [
            orjson.dumps({"index": index, "data": fields}, option=orjson.OPT_APPEND_NEWLINE)
            for index, fields in enumerate(part, number * BATCH)
        ]
        os.write(file, b"".join(lines))
    floor = time.perf_counter() - start
    os.close(file)
    os.unlink(os.path.join(folder, "floor.jsonl"))
    with experiment(folder) as opened:
        metric = opened.metrics(METRIC)
        start = time.perf_counter()
        for part in parts:
            metric.append_batch(part)
        ours = time.perf_counter() - start
    return {"floor": floor, "ours": ours, "stored": lines_in(data_file(folder)) == count}


def long_run(folder: str, count: int) -> Result:
    """Ten parts, in turn by batches and point by point; the resident memory after each. The series that `far` reads."""
    part = count // 10
    memory = []
    with experiment(folder) as opened:
        metric = opened.metrics(METRIC)
        for number in range(10):
            start = number * part
            if number % 2:
                for index in range(start, start + part):
                    metric.append(**short_row(index))
            else:
                for first in range(start, start + part, BATCH):
                    metric.append_batch([short_row(index) for index in range(first, min(first + BATCH, start + part))])
            memory.append(resident())
    file = data_file(folder)
    return {"memory": memory, "bytes": file.stat().st_size, "stored": lines_in(file) == part * 10}


def resident() -> int:
    """Bytes of memory this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def far(folder: str, count: int) -> Result:
    """Ten points anywhere, the first call of a fresh process."""
    start_index = random.randrange(count - 10)
    metric = loaded(folder)
    start = time.perf_counter()
    page = metric.read(start_index=start_index, limit=10)
    seconds = time.perf_counter() - start
    found = [(point["index"], point["data"]) for point in page["data"]]
    expected = [(index, short_row(index)) for index in range(start_index, start_index + 10)]
    return {"ours": seconds, "stored": found == expected}


def read_all(folder: str, count: int) -> Result:
    """All points by read(limit=None); beside it, the lines decoded one by one by msgspec."""
    metric = loaded(folder)
    start = time.perf_counter()
    page = metric.read(limit=None)
    ours = time.perf_counter() - start
    right = len(page["data"]) == count and page["data"][-1]["data"] == row(count - 1)
    del page
    return {"ours": ours, "floor": clocked(lambda: list(decoded(folder))), "stored": right}


def decoded(folder: str) -> Iterator[Any]:
    import msgspec

    with data_file(folder).open("rb") as file:
        yield from map(msgspec.json.Decoder().decode, file)


def column(folder: str, count: int) -> Result:
    """One field of all points as NumPy, NumPy's own import included; beside it, an array of decoded lines."""
    metric = loaded(folder)
    start = time.perf_counter()
    values = metric.columns(["value"])["value"]
    ours = time.perf_counter() - start
    import numpy as np

    floor = clocked(lambda: np.array([line["data"]["value"] for line in decoded(folder)]))
    right = len(values) == count and float(values[-1]) == row(count - 1)["value"]
    return {"ours": ours, "floor": floor, "stored": right}


def sample(folder: str, count: int) -> Result:
    """1,000 buckets: with no cache, again, after 1,000 more points; and by another process, from the cache."""
    shutil.rmtree(Path(folder, ".cache"), ignore_errors=True)
    with experiment(folder) as opened:
        metric = opened.metrics(METRIC)

        def take() -> Any:
            return metric.sample("value", x=None, max_points=1_000)

        result: Result = {"first": clocked(take), "again": clocked(take)}
        before = len(metric)
        metric.append_batch([row(index) for index in range(before, before + BATCH)])
        result["more"] = clocked(take)
        taken = take()
    result["stored"] = before >= count and int(taken.count.sum()) == before + BATCH
    return result


def sample_elsewhere(folder: str, count: int) -> Result:
    metric = loaded(folder)
    seconds = clocked(lambda: metric.sample("value", x=None, max_points=1_000))
    return {"ours": seconds, "stored": len(metric) >= count}


def many(folder: str, count: int) -> Result:
    """`count` metrics, one point each in turn, for 1,000 steps (fewer in a quick run)."""
    steps = 1_000 if count >= 1_000 else 100
    with experiment(folder) as opened:
        metrics = [opened.metrics(f"metric_{number}") for number in range(count)]
        start = time.perf_counter()
        for step in range(steps):
            fields = row(step)
            for metric in metrics:
                metric.append(**fields)
        seconds = time.perf_counter() - start
    right = all(lines_in(data_file(folder, f"metric_{number}")) == steps for number in range(0, count, 37))
    return {"ours": seconds, "stored": right}


def crowded(folder: str, count: int) -> Result:
    """`count` metrics, three points each in turn, where a process may have 1,024 files open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, 1_024))
    start = time.perf_counter()
    with experiment(folder) as opened:
        for step in range(3):
            for number in range(count):
                opened.metrics(f"metric_{number}").append(**row(step))
    seconds = time.perf_counter() - start
    right = all(lines_in(data_file(folder, f"metric_{number}")) == 3 for number in range(count))
    return {"ours": seconds, "stored": right}


def make_runs(folder: str, count: int) -> Result:
    """`count` finished runs with eight parameters and 20 series of ten points."""
    start = time.perf_counter()
    for number in range(count):
        with experiment(folder, f"run-{number:05}") as opened:
            model = {"depth": number % 7, "width": 256, "name": "mlp"}
            opened.params.set(
                lr=10 ** -(1 + number % 5), seed=number, model=model, batch=64, optimizer="adam", amp=True
            )
            for series in range(SERIES):
                opened.metrics(f"metric_{series}").append_batch([row(index + number) for index in range(10)])
    return {"ours": time.perf_counter() - start, "stored": True}


def list_anew(folder: str, count: int) -> Result:
    shutil.rmtree(Path(folder, ".cache"), ignore_errors=True)
    return list_runs(folder, count)


def list_runs(folder: str, count: int) -> Result:
    """All runs with their parameters and the last value of each series, as rows."""
    start = time.perf_counter()
    rows = [(run.name, dict(run.params), dict(run.metrics)) for run in ml_dash.runs(local_path=folder)]
    seconds = time.perf_counter() - start
    right = len(rows) == count and all(len(params) == 8 and len(last) == SERIES for _, params, last in rows)
    return {"ours": seconds, "stored": right}


FIGURES: dict[str, Callable[[str, int], Result]] = {
    function.__name__: function
    for function in (
        *(append, wide, batches, long_run, far, read_all, column, sample, sample_elsewhere),
        *(many, crowded, make_runs, list_anew, list_runs),
    )
}


def main() -> None:
    figure, folder, count = sys.argv[1:]
    print(json.dumps(FIGURES[figure](folder, int(count))))


if __name__ == "__main__":
    main()
