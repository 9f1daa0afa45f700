"""StoreMachine: Hypothesis drives a store beside MemoryStore, the model, and compares every answer.

A subclass opens the store under test. Ids differ between the two; everything else must be equal: pages, records less
their times, and the errors, with what a `Conflict` expects.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import hypothesis
import msgspec
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ml_dash.codec import encode_row
from ml_dash.columns import joined
from ml_dash.errors import Conflict, MlDashError
from ml_dash.model import (
    LOGS,
    METRICS,
    TRACKS,
    Batch,
    FilePatch,
    FilePut,
    FileRecord,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesKey,
    SeriesMeta,
)
from ml_dash.store.base import Store
from ml_dash.store.memory import MemoryStore
from ml_dash.testing import column_pages, shown

settings = hypothesis.settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

KEYS = [RunKey("", "project", "a"), RunKey("", "project", "b"), RunKey("", "other", "a")]
SERIES: list[tuple[str, str]] = [
    (METRICS, "loss"),
    (METRICS, "loss/train"),
    (METRICS, "Loss"),
    (TRACKS, "loss"),
    (LOGS, ""),
]
COLUMN_FIELDS = ["value", "epoch", "größe", "more", "nobody"]
ATTEMPTS = ["p1", "p2", "p3"]

ODD: list[dict[str, Any]] = [
    {"value": 0.5},
    {"value": -1},
    {"value": float("nan")},
    {"größe": 2**70, "value": "NaN"},
    {"value": float("inf")},
    {"value": 3.25, "more": [1, {"x": "Infinity"}, None]},
    {"value": True, "epoch": "no number"},
    {},
]
values = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**70, float("nan"), float("-inf"), 0.1, "NaN", "größe", None, True, [1, {"x": "Infinity"}]]),
)
writers = st.sampled_from(["w1", "w1", "w2"])
short_text = st.none() | st.sampled_from(["", "one", "two"])
tags = st.none() | st.lists(st.sampled_from("ab"), max_size=2)
metadata = st.none() | st.dictionaries(st.sampled_from("xy"), values, max_size=2)
patches = st.builds(
    RunPatch,
    description=short_text,
    tags=tags,
    folder=short_text,
    metadata=metadata,
    archived=st.none() | st.booleans(),
    params=st.none() | st.dictionaries(st.sampled_from(["lr", "model.depth", "model"]), values, max_size=2),
    series=st.lists(
        st.builds(
            SeriesMeta,
            kind=st.just(METRICS),
            name=st.sampled_from(["loss", "early"]),
            description=short_text,
            tags=tags,
            metadata=metadata,
        ),
        max_size=1,
    ).map(tuple),
)
puts = st.builds(
    FilePut,
    filename=st.sampled_from(["f", "g"]),
    prefix=st.sampled_from(["/", "/p", "p/q"]),
    description=short_text,
    tags=tags,
    metadata=metadata,
    id=st.none() | st.sampled_from(["put-1", "put-2"]),
)


class StoreMachine(RuleBasedStateMachine):
    """`store` is under test, `model` is right by definition. `ids` and `file_ids` translate the model's ids."""

    def open(self) -> Store:
        """A fresh store."""
        raise NotImplementedError

    def reopen(self) -> Store | None:
        """Another handle on its data, None if there can be none."""
        return None

    @initialize()
    def start(self) -> None:
        self.store = self.open()
        self.handles = [self.store]
        self.model = MemoryStore()
        self.ids: dict[str, str] = {"nobody": "nobody"}
        self.keys: dict[RunKey, str] = {}
        self.file_ids: dict[str, str] = {}
        self.logs: dict[tuple[SeriesKey, str], list[bytes]] = {}
        self.made = 0
        self.put(KEYS[0], RunPatch())
        for writer in (None, "w1"):
            series = SeriesKey(self.keys[KEYS[0]], *SERIES[0])
            self.send([self.part(series, writer, 0, 20) if writer else Batch(series, self.rows(5))])

    # ------------------------------------------------------------ runs

    @rule(key=st.sampled_from(KEYS), patch=patches)
    def put_run(self, key: RunKey, patch: RunPatch) -> None:
        self.put(key, patch)

    def put(self, key: RunKey, patch: RunPatch) -> None:
        expected, got = self.both(lambda store, _: store.put_run(key, patch))
        if isinstance(expected, Run):
            assert isinstance(got, Run), got
            self.keys[key] = expected.id
            assert self.ids.setdefault(expected.id, got.id) == got.id
        self.compare(expected, got)

    @rule(data=st.data(), patch=patches)
    def update_run(self, data: st.DataObject, patch: RunPatch) -> None:
        self.check(self.draw_run(data), lambda store, run: store.update_run(run, patch))

    @rule(data=st.data(), attempt=st.sampled_from(ATTEMPTS))
    def join(self, data: st.DataObject, attempt: str) -> None:
        self.check(self.draw_run(data), lambda store, run: store.update_run(run, RunPatch(join=attempt)))

    @rule(
        data=st.data(),
        attempt=st.sampled_from(ATTEMPTS),
        status=st.sampled_from(["COMPLETED", "FAILED", "CANCELLED", "RUNNING"]),
    )
    def leave(self, data: st.DataObject, attempt: str, status: Any) -> None:
        self.check(
            self.draw_run(data), lambda store, run: store.update_run(run, RunPatch(leave=attempt, status=status))
        )

    @rule(data=st.data())
    def get_run(self, data: st.DataObject) -> None:
        self.check(self.draw_run(data), lambda store, run: store.get_run(run))

    @rule(query=st.builds(RunQuery, project=st.sampled_from([None, "project", "nobody"]), series=st.booleans()))
    def find_runs(self, query: RunQuery) -> None:
        self.check("nobody", lambda store, _: sorted(store.find_runs(query), key=lambda run: run.key))

    @rule(data=st.data())
    def delete_run(self, data: st.DataObject) -> None:
        self.check(self.draw_run(data), lambda store, run: store.delete_run(run))

    # ------------------------------------------------------------ series

    @rule(data=st.data(), count=st.integers(0, 12))
    def append(self, data: st.DataObject, count: int) -> None:
        self.send([Batch(self.draw_series(data), self.rows(count))])

    @rule(data=st.data(), writer=writers, count=st.integers(1, 30))
    def append_as_writer(self, data: st.DataObject, writer: str, count: int) -> None:
        self.send([self.part(self.draw_series(data), writer, 0, count)])

    @rule(data=st.data(), writer=writers, ahead=st.sampled_from([-40, -20, -5, -1, 1]), count=st.integers(1, 30))
    def append_again(self, data: st.DataObject, writer: str, ahead: int, count: int) -> None:
        """A retry that may overlap what is new, or a gap."""
        self.send([self.part(self.draw_series(data), writer, ahead, count)])

    @rule(data=st.data(), writer=writers, back=st.integers(1, 20), at=st.integers(0, 20), count=st.integers(1, 20))
    def append_diverged(self, data: st.DataObject, writer: str, back: int, at: int, count: int) -> None:
        """A copy of the writer's log with one row that is another."""
        batch = self.part(self.draw_series(data), writer, -back, count)
        rows = [*batch.rows]
        rows[at % len(rows)] = encode_row({"value": "diverged"})
        log, first = self.logs[batch.series, writer], batch.seq or 0
        new = max(self.reached(batch.series, writer) - first, 0)
        log[first + new :] = rows[new:]  # what of it is stored is the writer's log from here on
        self.send([msgspec.structs.replace(batch, rows=rows)])

    @rule(data=st.data(), aheads=st.lists(st.sampled_from([None, None, 0, 0, -5, 7]), min_size=2, max_size=4))
    def append_many(self, data: st.DataObject, aheads: list[int | None]) -> None:
        """Several batches in one call, of which one may be refused and with it all."""
        batches = []
        for ahead in aheads:
            series = self.draw_series(data)
            batches.append(Batch(series, self.rows(3)) if ahead is None else self.part(series, "w1", ahead, 6))
        self.send(batches)

    @rule(data=st.data(), limit=st.none() | st.integers(0, 20))
    def read(self, data: st.DataObject, limit: int | None) -> None:
        series = self.draw_series(data)
        start = data.draw(st.integers(0, self.length(series) + 2))
        self.check(series.run, lambda store, run: store.read(series._replace(run=run), start, limit))

    @rule(data=st.data(), stop=st.none() | st.integers(0, 40))
    def columns(self, data: st.DataObject, stop: int | None) -> None:
        """All pages of it, joined: where they end is the store's own matter."""
        series = self.draw_series(data)
        start = data.draw(st.integers(0, self.length(series) + 2))

        def columns(store: Store, run: str) -> list[tuple[str, Any]]:
            pages = list(column_pages(store, series._replace(run=run), COLUMN_FIELDS, start, stop))
            parts = {name: [page.columns[name] for page in pages] for name in COLUMN_FIELDS}
            return [(name, shown(joined(parts[name]))) for name in COLUMN_FIELDS]

        self.check(series.run, columns)

    @rule(data=st.data())
    def describe(self, data: st.DataObject) -> None:
        self.check(self.draw_run(data), lambda store, run: store.describe(run))

    @rule(
        data=st.data(),
        x=st.sampled_from([None, "epoch"]),
        start=st.sampled_from([0, 0, 1, 10]),
        stop=st.none() | st.integers(0, 40),
        max_points=st.integers(0, 10),
    )
    def sample(self, data: st.DataObject, x: str | None, start: int, stop: int | None, max_points: int) -> None:
        series = self.draw_series(data)
        if series.run not in self.model._runs:
            max_points = max(max_points, 1)  # of two things that are wrong with a call, a store may name either

        def sample(store: Store, run: str) -> list[tuple[str, list[float]]]:
            sampled = store.sample(series._replace(run=run), "value", x, start, stop, max_points)
            return sorted((name, column) for name, column in sampled.to_dict().items() if name != "mean")

        self.check(series.run, sample)

    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([None, *self.keys.values()]))
        if run is None or run in self.model._runs:
            self.check(run or "nobody", lambda store, mapped: store.flush(run and mapped))

    # ------------------------------------------------------------ files

    @rule(data=st.data(), put=puts, content=st.sampled_from([b"", b"x", b"y" * 1000]))
    def put_file(self, data: st.DataObject, put: FilePut, content: bytes) -> None:
        run = self.draw_run(data)
        expected, got = self.both(lambda store, run: store.put_file(run, io.BytesIO(content), put), run)
        if isinstance(expected, FileRecord):
            assert isinstance(got, FileRecord), got
            assert self.file_ids.setdefault(expected.id, got.id) == got.id
        self.compare(expected, got)

    @rule(data=st.data(), patch=st.builds(FilePatch, description=short_text, tags=tags, deleted=st.booleans()))
    def update_file(self, data: st.DataObject, patch: FilePatch) -> None:
        file = self.draw_file(data)
        self.check(self.draw_run(data), lambda store, run: store.update_file(run, self.file_id(store, file), patch))

    @rule(data=st.data())
    def get_file(self, data: st.DataObject) -> None:
        file = self.draw_file(data)

        def get(store: Store, run: str) -> tuple[FileRecord, bytes]:
            record, stream = store.get_file(run, self.file_id(store, file))
            with stream:
                return record, stream.read()

        self.check(self.draw_run(data), get)

    @rule(data=st.data())
    def find_files(self, data: st.DataObject) -> None:
        self.check(self.draw_run(data), lambda store, run: store.find_files(run))

    # ------------------------------------------------------------ handles

    @rule()
    def second_handle(self) -> None:
        """Go on through another handle, the first one open still."""
        if len(self.handles) < 4 and (other := self.reopen()) is not None:
            self.handles.append(other)
            self.store = other

    @rule(at=st.integers(0, 3))
    def switch(self, at: int) -> None:
        self.store = self.handles[at % len(self.handles)]

    @precondition(lambda self: all(a.ended_at for run in self.model.find_runs(RunQuery()) for a in run.attempts))
    @rule()
    def close_and_open(self) -> None:
        """Close every handle and go on. Not while an attempt is open: its process would be gone, the model's is not."""
        if (fresh := self.reopen()) is None:
            return
        for handle in self.handles:
            handle.close()
        self.handles = [fresh]
        self.store = fresh

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for run in [*self.model._runs]:
            for kind, name in SERIES:
                self.check(run, lambda store, mapped, key=(kind, name): store.read(SeriesKey(mapped, *key), 0, None))
            self.check(run, lambda store, mapped: store.describe(mapped))
            self.check(run, lambda store, mapped: store.find_files(mapped))
        for handle in self.handles:
            handle.close()

    # ------------------------------------------------------------ drawing

    def draw_run(self, data: st.DataObject) -> str:
        """A run's id in the model: mostly of one that is there; else of one that was deleted, or never was."""
        there = [run for run in self.ids if run in self.model._runs]
        return data.draw(st.sampled_from([*there * 9, *self.ids]))

    def draw_series(self, data: st.DataObject) -> SeriesKey:
        return SeriesKey(self.draw_run(data), *data.draw(st.sampled_from([*[SERIES[0]] * 5, *SERIES])))

    def length(self, series: SeriesKey) -> int:
        """Rows that the model has in the series."""
        run = self.model._runs.get(series.run)
        stored = run.series.get((series.kind, series.name)) if run else None
        return len(stored.rows) if stored else 0

    def draw_file(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(["nobody", *self.file_ids]))

    def rows(self, count: int) -> list[bytes]:
        """Rows unlike all before, nasty ones among them."""
        self.made += count
        made = range(self.made - count, self.made)
        return [encode_row({"epoch": i, **ODD[i % len(ODD)]}) for i in made]

    def part(self, series: SeriesKey, writer: str, ahead: int, count: int) -> Batch:
        """`count` rows of the writer's log from `ahead` of what the series has of it; at least one."""
        log = self.logs.setdefault((series, writer), [])
        first = max(self.reached(series, writer) + ahead, 0)
        log += self.rows(max(first + count - len(log), 0))
        return Batch(series, log[first : first + count], writer, first)

    def reached(self, series: SeriesKey, writer: str) -> int:
        """How many rows of the writer the model has in the series."""
        run = self.model._runs.get(series.run)
        stored = run.series.get((series.kind, series.name)) if run else None
        mark = stored.marks.get(writer) if stored else None
        return mark.seq if mark else 0

    def send(self, batches: list[Batch]) -> None:
        """Where several batches are wrong, each in another way, it is a store's own affair which of them it tells of."""
        expected, got = self.both(lambda store, _: store.append([self.mapped(store, batch) for batch in batches]))
        runs = {batch.series.run for batch in batches}
        if len(runs) > 1 and isinstance(expected, tuple) and isinstance(got, tuple):
            assert {expected[0], got[0]} <= {"NotFound", "Conflict"}
            return
        self.compare(expected, got)

    # ------------------------------------------------------------ comparing

    def mapped(self, store: Store, batch: Batch) -> Batch:
        series = batch.series._replace(run=self.run_id(store, batch.series.run))
        return msgspec.structs.replace(batch, series=series)

    def run_id(self, store: Store, run: str) -> str:
        """A run's id in `store`."""
        return run if store is self.model else self.ids[run]

    def file_id(self, store: Store, file: str) -> str:
        """A file's id in `store`."""
        return file if store is self.model else self.file_ids.get(file, file)

    def both(self, call: Callable[[Store, str], Any], run: str = "nobody") -> tuple[Any, Any]:
        """What the model answers and what the store does; an error of ours is an answer."""
        return outcome(call, self.model, run), outcome(call, self.store, self.ids[run])

    def check(self, run: str, call: Callable[..., Any]) -> None:
        self.compare(*self.both(call, run))

    def compare(self, expected: Any, got: Any) -> None:
        left, right = repr(self.plain(got)), repr(self.plain(self.translated(expected)))
        assert left == right, f"\n  store: {left}\n  model: {right}"

    def translated(self, answer: Any) -> Any:
        """The model's answer with the store's ids."""
        if isinstance(answer, list):
            return [self.translated(item) for item in answer]
        if isinstance(answer, Run):
            answer.id = self.ids[answer.id]
        if isinstance(answer, FileRecord):
            answer.id, answer.experiment_id = self.file_ids[answer.id], self.ids[answer.experiment_id]
        if isinstance(answer, tuple) and answer and isinstance(answer[0], FileRecord):
            self.translated(answer[0])
        return answer

    def plain(self, answer: Any) -> Any:
        """An answer less its times and what a store without a cold tier does not know."""
        if isinstance(answer, (list, tuple)):
            return [self.plain(item) for item in answer]
        fields = getattr(answer, "__struct_fields__", None)
        if fields is None:
            return answer
        return {name: self.field(name, getattr(answer, name)) for name in fields if name not in UNCOMPARED}

    def field(self, name: str, value: Any) -> Any:
        if name in TIMES:
            return value is not None
        if name == "attempts":  # those that started in one millisecond stand in any order
            return self.plain(sorted(value, key=lambda attempt: attempt.id))
        if isinstance(value, dict) and name == "first":
            return sorted(value.items())
        return self.plain(value) if name == "series" else value


TIMES = {"ended_at", "deleted_at"}
"""Compared as given or not."""
UNCOMPARED = {
    "first_at",
    "heartbeat_at",
    "last_at",
    "created_at",
    "updated_at",
    "started_at",
    "uploaded_at",
    "ticks",
    "origin",
    "chunked",
    "chunks",
    "host",
    "pid",
}


def outcome(call: Callable[[Store, str], Any], store: Store, run: str) -> Any:
    try:
        return call(store, run)
    except MlDashError as e:
        return type(e).__name__, e.expected if isinstance(e, Conflict) else None
