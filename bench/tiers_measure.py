"""One measurement of the two tiers, in a process of its own; bench/tiers.py starts it and tables its numbers.

`tiers_measure.py FIGURE PLACE NAME COUNT [MORE]` prints one line of JSON. PLACE is a server's URL, where the public interface is
timed as a user calls it; or `store`, where the store itself is, opened in this process on what the variables ML_DASH_MONGO,
ML_DASH_S3 and ML_DASH_S3_ENDPOINT say. NAME is a run's, with COUNT points (or, for lists, a project of COUNT runs). What was read is
compared with what was written.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

import ml_dash
import ml_dash.columns
import ml_dash.store.wire_columns
import ml_dash.store.wire_sample
from ml_dash import codec
from ml_dash.model import METRICS, Batch, Run, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.rollup import Sample
from ml_dash.store import open_store
from ml_dash.store.archiver import Archiver, Taken
from ml_dash.store.hot_documents import encode_marks
from ml_dash.store.remote import RemoteStore
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tiered import TieredStore

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.measure import METRIC, PROJECT, Result
from bench.worker import points, values

STORE = "store"
READS = 100
FEW = 10
"""Points of a read at a random index."""
AGAIN = 5
PATTERN = 1_000_000
"""Points after which those of `build` repeat."""
RUN_SERIES, RUN_POINTS, RUN_PARAMS = 20, 5, 10
CLIENTS = 8
Row = dict[str, Any]
T = TypeVar("T")


# ---------------------------------------------------------------- readers


class Reader(Protocol):
    """A series, as it is read in one way."""

    def rows(self, start: int, stop: int) -> list[Row]: ...
    def column(self) -> Any: ...
    def sample(self) -> Sample: ...


class OverHttp:
    """By the public interface."""

    def __init__(self, url: str, name: str) -> None:
        self._metric: Any = ml_dash.load(name, PROJECT, remote=url).metrics(METRIC)
        self._metric.read(0, 1)  # connects

    def rows(self, start: int, stop: int) -> list[Row]:
        return list(self._metric[start:stop])

    def column(self) -> Any:
        return self._metric.columns("value")["value"]

    def sample(self) -> Sample:
        found: Sample = self._metric.sample("value", max_points=1_000)
        return found


class InStore:
    """By the store itself."""

    def __init__(self, name: str) -> None:
        self._store = tiered()
        self._key = SeriesKey(self._store.get_run(RunKey("", PROJECT, name)).id, METRICS, METRIC)

    def rows(self, start: int, stop: int) -> list[Row]:
        return [point["data"] for point in codec.decode_page(self._store.read(self._key, start, stop - start))]

    def column(self) -> Any:
        parts: list[Any] = []
        at, total = 0, 1
        while at < total:
            page = self._store.columns(self._key, ["value"], at, None)
            parts.append(page.columns["value"])
            at, total = at + page.count, page.total
        return np.concatenate(parts)

    def sample(self) -> Sample:
        return self._store.sample(self._key, "value", None, 0, None, 1_000)


def tiered() -> TieredStore:
    variables = [os.environ[name] for name in ("ML_DASH_MONGO", "ML_DASH_S3", "ML_DASH_S3_ENDPOINT")]
    store = open_store(mongo=variables[0], s3=variables[1], s3_endpoint=variables[2], archive=False)
    assert isinstance(store, TieredStore)
    return store


def reader_of(place: str, name: str) -> Reader:
    return InStore(name) if place == STORE else OverHttp(place, name)


def timed(call: Callable[[], T], times: int, good: Callable[[T], bool]) -> Result:
    """The first call apart, which finds nothing prepared; whether each gave what is expected."""
    spans, right = [], True
    for _ in range(1 + times):
        start = time.perf_counter()
        found = call()
        spans.append(time.perf_counter() - start)
        right &= good(found)
        del found
    return {"first": spans[0], "again": spans[1:], "right": right}


# ---------------------------------------------------------------- figures


def few(place: str, name: str, count: int, pattern: str = "") -> Result:
    """Points at random indices; of a series that repeats itself after `pattern` points."""
    again = int(pattern or count)
    reader, rng = reader_of(place, name), random.Random(name)
    starts = iter([rng.randrange(count // again) * again + rng.randrange(again - FEW) for _ in range(READS + 1)])
    at = 0

    def call() -> list[Row]:
        nonlocal at
        at = next(starts)
        return [unwrapped(row) for row in reader.rows(at, at + FEW)]

    return timed(call, READS, lambda rows: rows == expected_rows(at % again, at % again + FEW))


def all_rows(place: str, name: str, count: int) -> Result:
    """Every point as a row."""
    reader, ends = reader_of(place, name), (0, count // 2, count - 1)
    want = [expected_rows(at, at + 1)[0] for at in ends]
    return timed(
        partial(reader.rows, 0, count),
        1,
        lambda rows: len(rows) == count and [unwrapped(rows[at]) for at in ends] == want,
    )


def column(place: str, name: str, count: int) -> Result:
    """One field as NumPy."""
    reader, want = reader_of(place, name), np.array(values(0, count))
    return timed(reader.column, 2, lambda found: np.array_equal(found, want))


def sample(place: str, name: str, count: int, low: str, high: str) -> Result:
    """1,000 buckets over all points, of which `low` and `high` are the extremes: every point is counted, and both are exact."""
    reader = reader_of(place, name)

    def good(found: Sample) -> bool:
        ends = float(np.nanmin(found.min)), float(np.nanmax(found.max))
        return int(found.count.sum()) == count and ends == (float(low), float(high))

    return timed(reader.sample, AGAIN, good)


def listed(place: str, name: str, count: int) -> Result:
    """Runs with parameters and the last values of every series."""
    store = tiered() if place == STORE else RemoteStore(place)
    query = RunQuery(project=name, series=True)
    last = {"value": RUN_POINTS / (RUN_POINTS + 1), "step": RUN_POINTS - 1, "epoch": 0}

    def good(runs: list[Run]) -> bool:
        return len(runs) == count and all(
            len(run.params) == RUN_PARAMS
            and [info.last for info in run.series or ()] == [last] * RUN_SERIES
            and all(info.count == RUN_POINTS for info in run.series or ())
            for run in runs
        )

    return timed(partial(store.find_runs, query), AGAIN, good)


def expected_rows(start: int, stop: int) -> list[Row]:
    return [{"value": value, "step": step, "epoch": epoch} for value, step, epoch in points(start, stop)]


def unwrapped(row: Row) -> Row:
    """The fields that were written: the public interface gives the index and the time as well."""
    inner = row.get("data", row)
    return {field: inner[field] for field in ("value", "step", "epoch")}


# ---------------------------------------------------------------- made to be read


def make_runs(place: str, name: str, count: int) -> Result:
    """So many finished runs."""
    store = RemoteStore(place)
    rows = [codec.encode_row({"value": (at + 1) / (at + 2), "step": at, "epoch": 0}) for at in range(RUN_POINTS)]

    def make(number: int) -> None:
        params = {f"group.param_{at}": number * at / 7 for at in range(RUN_PARAMS)}
        run = store.put_run(RunKey("", name, f"run-{number}"), RunPatch(params=params, status="COMPLETED")).id
        store.append([Batch(SeriesKey(run, METRICS, f"metric_{at}"), rows) for at in range(RUN_SERIES)])

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(make, range(count)))
    store.close()
    return {}


def full_digits(place: str, name: str, count: int, start: str, batches: str) -> Result:
    """So many series get `batches` batches of 1,000 points from index `start` on, whose values have all their digits."""
    store, size, rng = RemoteStore(place), 1_000, random.Random(7)
    run = store.put_run(RunKey("", PROJECT, name), RunPatch()).id
    for number in range(count):
        for at in range(int(start), int(start) + int(batches) * size, size):
            rows = codec.encode_rows(
                {"value": rng.gauss(0.0, 1.0), "step": step, "epoch": step // size} for step in range(at, at + size)
            )
            store.append([Batch(SeriesKey(run, METRICS, f"{METRIC}_{number}"), rows, f"writer-{number}", at)])
    store.close()
    return {}


def build(place: str, name: str, count: int, size: str) -> Result:
    """A series of `count` points in chunks of `size`, each encoded, put, verified and entered by the archiver's own code; the head
    moves once, at the end."""
    begun, each = time.perf_counter(), int(size)
    store = tiered()
    run = store.put_run(RunKey("", PROJECT, name), RunPatch()).id
    key = SeriesKey(run, METRICS, METRIC)
    with store.hot.session() as session:
        store._commit.open_series({series_id(key): key}, session)
    with multiprocessing.get_context("spawn").Pool(initializer=_prepare, initargs=(key,)) as pool:
        for _ in pool.imap_unordered(_make_chunk, [(at, min(each, count - at)) for at in range(0, count, each)], 4):
            pass
    sealed = {"sealed": count, "marks": encode_marks({}), "ms": _MS, "first_ms": _MS, "chunks": -(-count // each)}
    store.hot.heads.update_one({"_id": series_id(key)}, {"$set": sealed})
    store.close()
    return {"seconds": time.perf_counter() - begun}


_MS = 1_800_000_000_000
_maker: list[Callable[[int, int], None]] = []


class Builder(Archiver):
    """An archiver whose series is nobody else's: it needs no lease."""

    def _renew(self, sid: bytes, *keys: str) -> None:
        pass


def _prepare(key: SeriesKey) -> None:
    """What a process of `build` keeps: a store, and the rows."""
    store = tiered()
    builder = Builder(store.hot, store.cold)
    rows = codec.encode_rows(expected_rows(0, PATTERN))
    with store.hot.session() as session:
        [head] = store.hot.heads_of([series_id(key)], session).values()

    def make(first: int, count: int) -> None:
        at = first % PATTERN
        assert at + count <= PATTERN
        here = msgspec.structs.replace(head, sealed=first)
        taken = Taken(here, first + count, rows[at : at + count], [(first, _MS)], {}, _MS)
        store.hot.enter(builder._make(taken, set()))

    _maker[:] = [make]


def _make_chunk(span: tuple[int, int]) -> None:
    _maker[0](*span)


FIGURES: dict[str, Callable[..., Result]] = {
    function.__name__: function for function in (few, all_rows, column, sample, listed, make_runs, full_digits, build)
}


def main() -> None:
    figure, place, name, count, *more = sys.argv[1:]
    print(json.dumps(FIGURES[figure](place, name, int(count), *more)))


if __name__ == "__main__":
    main()
