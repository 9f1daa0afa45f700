"""StoreContract: what a store promises, as tests that ship with the package. Needs pytest; `ml_dash` never loads it.

A store is tested by a subclass that opens it:

    class TestMyStore(StoreContract):
        def open(self, tmp_path): return MyStore(tmp_path)
        def reopen(self, tmp_path): return MyStore(tmp_path)
        def raw_rows(self, store, series): ...     # read what is stored without asking the store

No test looks inside a store but through `raw_rows`, none waits for time to pass, and no store skips any.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec
import pytest

from ml_dash.codec import decode_page, encode_row, render
from ml_dash.columns import joined, spread, ticks_of
from ml_dash.errors import Conflict, FileMissing, InvalidInput, NotFound
from ml_dash.model import (
    EVENTS,
    LOGS,
    METRICS,
    TRACKS,
    Appended,
    Batch,
    ColumnsPage,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesInfo,
    SeriesKey,
    SeriesMeta,
    Status,
)
from ml_dash.times import parse_iso

if TYPE_CHECKING:
    from ml_dash.rollup import Sample
    from ml_dash.store.base import Store

THREADS = 8

NASTY_ROWS: tuple[dict[str, Any], ...] = (
    {},
    {"value": math.nan, "high": math.inf, "low": -math.inf, "minus zero": -0.0},
    {"value": "NaN", "high": "Infinity", "low": "-Infinity", "both": [math.nan, "NaN"], "NaN": 1},
    {"big": 2**70, "bigger": -(2**200), "edge": 2**63, "one": 1, "one point": 1.0, "true": True},
    {"tiny": 5e-324, "huge": 1.7976931348623157e308, "third": 1 / 3},
    {"none": None, "list": [1, [2, {"three": None}]], "empty": [{}, [], ""], "nested": {"a": {"b": {"c": 0.5}}}},
    {"text": 'quotes " and \\ and \n and \t', "uni": "größe 雪 🎉 \u2028", "ключ": "\x7f", "": "no name"},
    {"index": 7, "data": {"index": 8, "data": "{}"}, "}, {": '"}, {"'},
    {"z": 1, "a": 2, "m": 3, "long": "x" * 100_000},
)


def rows_of(values: Iterable[Any]) -> list[bytes]:
    """Encoded rows ``{"value": v}``."""
    return [encode_row({"value": value}) for value in values]


def same(a: object, b: object) -> bool:
    """Whether two decoded values are the same in type and key order too; NaN is itself."""
    return repr(a) == repr(b)


def timeless(run: Run) -> Run:
    """A run without what differs between two clocks."""
    return msgspec.structs.replace(run, updated_at="", heartbeat_at=None)


class Harness:
    """What a subclass gives, and what the tests take from it."""

    namespace = ""
    """The namespace of the runs that the tests make."""

    def open(self, tmp_path: Path) -> Store:
        """A fresh store with nothing in it. `tmp_path` is an empty folder of this test's own."""
        raise NotImplementedError

    def reopen(self, tmp_path: Path) -> Store | None:
        """Another handle on the data of the store that `open` gave for `tmp_path`, None if there can be none."""
        raise NotImplementedError

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        """The series' lines as they are stored, each through `json.loads`, by other means than the store's reading:
        ``{"index", "data"}``, of logs ``{"sequenceNumber", …}``."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """The store under test."""
        store = self.open(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def second(self, store: Store, tmp_path: Path) -> Iterator[Store]:
        """A second handle on the same data; the same one where there can be no other."""
        second = self.reopen(tmp_path)
        yield second or store
        if second is not None:
            second.close()

    @pytest.fixture
    def run(self, store: Store) -> str:
        """The id of a run without anything in it."""
        return store.put_run(self.key("run"), RunPatch()).id

    @pytest.fixture
    def loss(self, run: str) -> SeriesKey:
        """A series of `run` that has no rows."""
        return SeriesKey(run, METRICS, "loss")

    def key(self, name: str, project: str = "project") -> RunKey:
        """The key of a run in the tests' namespace."""
        return RunKey(self.namespace, project, name)

    def again(self, store: Store, tmp_path: Path) -> Store:
        """The store after closing and opening it; the same one where it does not outlive its process."""
        store.close()
        return self.reopen(tmp_path) or store

    def check_holds(self, store: Store, series: SeriesKey, rows: Sequence[bytes]) -> None:
        """Assert that the series holds these rows and no other, for a reader and for an independent look."""
        page = store.read(series, 0, None)
        assert page.lines == render(series.kind, 0, rows)
        assert (page.start, page.count, page.total) == (0, len(rows), len(rows))
        stored = [json.loads(line) for line in render(series.kind, 0, rows).splitlines()]
        assert same(self.raw_rows(store, series), stored)


class RunContract(Harness):
    """Runs: creating, resuming, patching, finding, deleting."""

    def test_put_run_creates_a_run_that_key_and_id_find(self, store: Store) -> None:
        """A new run has an id, its key, its creation time in UTC, and no parameters, attempts or series."""
        run = store.put_run(self.key("run"), RunPatch(description="first", kind="session"))
        assert run.id
        assert run.key == self.key("run")
        assert (run.description, run.kind, run.params, run.params_version, run.attempts) == (
            "first",
            "session",
            {},
            0,
            [],
        )
        assert run.created_at.endswith("Z")
        assert parse_iso(run.created_at) > 0
        assert timeless(store.get_run(run.id)) == timeless(run) == timeless(store.get_run(run.key))
        assert store.describe(run.id) == []

    def test_put_run_resumes_an_existing_run(self, store: Store) -> None:
        """The same key gives the same run, with what it was created with."""
        first = store.put_run(self.key("run"), RunPatch(description="first"))
        again = store.put_run(self.key("run"), RunPatch())
        assert timeless(again) == timeless(first)

    def test_put_run_is_idempotent(self, store: Store) -> None:
        """The same patch sent again, as after a lost answer, changes nothing but times."""
        patch = RunPatch(description="d", tags=["a"], params={"lr": 0.1}, metadata={"m": 1}, join="p1")
        first = store.put_run(self.key("run"), patch)
        assert timeless(store.put_run(self.key("run"), patch)) == timeless(first)
        assert len(store.find_runs(RunQuery())) == 1

    def test_given_fields_replace_and_none_keeps(self, store: Store, run: str) -> None:
        """A field that is given replaces the old one as a whole, an empty list included; None leaves it."""
        everything = RunPatch(
            description="old",
            tags=["a", "b"],
            bindrs=["x"],
            folder="/old",
            metadata={"a": 1, "b": {"c": 2}},
            write_protected=True,
            archived=True,
        )
        store.update_run(run, everything)
        store.update_run(run, RunPatch())
        kept = store.get_run(run)
        assert (kept.description, kept.tags, kept.bindrs, kept.folder) == ("old", ["a", "b"], ["x"], "/old")
        assert (kept.metadata, kept.write_protected, kept.archived) == ({"a": 1, "b": {"c": 2}}, True, True)
        store.update_run(
            run, RunPatch(description="", tags=[], metadata={"b": 3}, write_protected=False, archived=False)
        )
        new = store.get_run(run)
        assert (new.description, new.tags, new.bindrs, new.metadata) == ("", [], ["x"], {"b": 3})
        assert (new.write_protected, new.archived) == (False, False)

    def test_an_archived_run_is_there_as_before(self, store: Store, second: Store, run: str) -> None:
        """It is marked and no more: found by every way, written to, started anew, which does not take the mark away; and it can be
        taken back."""
        assert not store.get_run(run).archived
        key = store.update_run(run, RunPatch(archived=True)).key
        for one in (store, second):
            assert [(found.id, found.archived) for found in one.find_runs(RunQuery(None, key.project))] == [(run, True)]
            assert one.get_run(key).archived
        store.append([Batch(SeriesKey(run, METRICS, "m"), rows_of(range(3)))])
        again = store.put_run(key, RunPatch(join="p1"))
        assert (again.id, again.archived, again.status) == (run, True, "RUNNING")
        assert second.read(SeriesKey(run, METRICS, "m"), 0, None).count == 3
        assert not second.update_run(run, RunPatch(archived=False)).archived
        assert [found.archived for found in store.find_runs(RunQuery())] == [False]

    def test_params_merge_a_key_at_a_time(self, store: Store, run: str) -> None:
        """The last write of a key wins, other keys stay; the version rises with each change but not with a retry."""
        store.update_run(run, RunPatch(params={"lr": 0.1, "model.depth": 3}))
        assert store.get_run(run).params_version == 1
        store.update_run(run, RunPatch(params={"lr": 0.2, "seed": 1}))
        store.update_run(run, RunPatch(params={"lr": 0.2, "seed": 1}))
        stored = store.get_run(run)
        assert same(stored.params, {"lr": 0.2, "model.depth": 3, "seed": 1})
        assert stored.params_version == 2

    def test_params_keep_their_types(self, store: Store, run: str, tmp_path: Path) -> None:
        """NaN, infinities, the strings that look like them, large integers, nested lists come back as they went in."""
        nasty = {str(i): [row] for i, row in enumerate(NASTY_ROWS)}
        store.update_run(run, RunPatch(params=nasty, metadata=nasty))
        reopened = self.again(store, tmp_path)
        assert same(reopened.get_run(run).params, nasty)
        assert same(reopened.get_run(run).metadata, nasty)
        reopened.close()

    def test_contradicting_params_change_nothing(self, store: Store, run: str) -> None:
        """A key that would be a value and a group at once raises, naming both; nothing of that patch is stored."""
        store.update_run(run, RunPatch(params={"model": 1}))
        with pytest.raises(InvalidInput, match=r"'model' and 'model\.depth'"):
            store.update_run(run, RunPatch(description="no", params={"lr": 1, "model.depth": 2}))
        assert store.get_run(run).params == {"model": 1}
        assert store.get_run(run).description is None

    def test_params_set_from_many_threads_are_all_kept(self, store: Store, second: Store, run: str) -> None:
        """Patches that meet are applied one after the other; none is lost."""

        def patch(thread: int) -> None:
            handle = second if thread % 2 else store
            for i in range(5):
                handle.update_run(run, RunPatch(params={f"{thread}.{i}": i}))

        in_threads(patch)
        assert store.get_run(run).params == {f"{t}.{i}": i for t in range(THREADS) for i in range(5)}
        assert store.get_run(run).params_version == THREADS * 5

    def test_an_attempt_makes_the_run_running_until_it_leaves(self, store: Store, run: str, loss: SeriesKey) -> None:
        """Joining starts an attempt that knows how long each series was; leaving ends it and sets the status."""
        store.append([Batch(loss, rows_of(range(3)))])
        joined = store.update_run(run, RunPatch(join="p1"))
        assert joined.status == "RUNNING"
        assert joined.heartbeat_at is not None
        assert [(a.id, a.ended_at, a.status) for a in joined.attempts] == [("p1", None, None)]
        assert joined.attempts[0].first == {"metrics/loss": 3}
        left = store.update_run(run, RunPatch(leave="p1", status="COMPLETED"))
        assert left.status == "COMPLETED"
        assert [(a.id, a.status) for a in left.attempts] == [("p1", "COMPLETED")]
        assert left.attempts[0].ended_at is not None

    def test_joining_and_leaving_again_changes_nothing(self, store: Store, run: str) -> None:
        """A retried join starts no second attempt, a retried leave keeps the status, a late join reopens nothing."""
        for _ in range(2):
            store.update_run(run, RunPatch(join="p1"))
        assert len(store.get_run(run).attempts) == 1
        store.update_run(run, RunPatch(leave="p1", status="FAILED"))
        store.update_run(run, RunPatch(leave="p1", status="COMPLETED"))
        store.update_run(run, RunPatch(join="p1"))
        stored = store.get_run(run)
        assert stored.status == "FAILED"
        assert [(a.id, a.status) for a in stored.attempts] == [("p1", "FAILED")]

    @pytest.mark.parametrize(
        ("first", "last", "status"),
        [
            ("FAILED", "COMPLETED", "FAILED"),
            ("COMPLETED", "FAILED", "FAILED"),
            ("CANCELLED", "FAILED", "FAILED"),
            ("FAILED", "CANCELLED", "FAILED"),
            ("CANCELLED", "COMPLETED", "CANCELLED"),
            ("COMPLETED", "COMPLETED", "COMPLETED"),
        ],
    )
    def test_the_worst_of_those_together_wins(
        self, store: Store, run: str, first: Status, last: Status, status: Status
    ) -> None:
        """The run stays RUNNING until its last attempt has left; then FAILED wins over CANCELLED over COMPLETED."""
        store.update_run(run, RunPatch(join="p1"))
        store.update_run(run, RunPatch(join="p2"))
        assert store.update_run(run, RunPatch(leave="p1", status=first)).status == "RUNNING"
        assert store.update_run(run, RunPatch(leave="p2", status=last)).status == status
        assert {a.id: a.status for a in store.get_run(run).attempts} == {"p1": first, "p2": last}

    def test_a_new_start_does_not_inherit_an_old_failure(self, store: Store, run: str) -> None:
        """A run that failed and is started again by itself is COMPLETED when that start completes."""
        starts: list[tuple[str, Status]] = [("p1", "FAILED"), ("p2", "COMPLETED")]
        for attempt, status in starts:
            store.update_run(run, RunPatch(join=attempt))
            store.update_run(run, RunPatch(leave=attempt, status=status))
        stored = store.get_run(run)
        assert stored.status == "COMPLETED"
        assert [a.id for a in stored.attempts] == ["p1", "p2"]

    def test_leaving_says_how_it_ended(self, store: Store, run: str) -> None:
        """A leave without a final status raises and changes nothing."""
        store.update_run(run, RunPatch(join="p1"))
        statuses: list[Status | None] = [None, "RUNNING"]
        for status in statuses:
            with pytest.raises(InvalidInput, match="status"):
                store.update_run(run, RunPatch(leave="p1", status=status))
        assert store.get_run(run).status == "RUNNING"

    @pytest.mark.parametrize("status", ["RUNNING", "COMPLETED", "FAILED", "CANCELLED"])
    def test_a_status_without_leave_is_set_outright(self, store: Store, run: str, status: Status) -> None:
        """The published clients know no attempts: what they say is the status."""
        assert store.update_run(run, RunPatch(status=status)).status == status
        assert store.get_run(run).status == status

    def test_a_heartbeat_is_seen(self, store: Store, run: str) -> None:
        """A heartbeat gives the run a time, and the run is not shown as lost at that time."""
        store.update_run(run, RunPatch(join="p1"))
        beat = store.update_run(run, RunPatch(heartbeat="p1"))
        assert beat.heartbeat_at is not None
        assert beat.shown_status(beat.heartbeat_at) == "RUNNING"

    def test_a_patch_that_comes_again_changes_nothing(self, store: Store, run: str, tmp_path: Path) -> None:
        """A patch with (writer, seq) is applied once, also where somebody else changed the run in between, and also in a store
        that was closed and opened."""
        first = RunPatch(params={"a": 1}, tags=["x"], writer="w", seq=3)
        assert store.update_run(run, first).marks == {"w": 3}
        store.update_run(run, RunPatch(params={"a": 2}))
        for again in (first, RunPatch(params={"a": 0}, writer="w", seq=2)):
            assert store.update_run(run, again).params == {"a": 2}
        assert store.put_run(self.key("run"), first).params == {"a": 2}
        reopened = self.again(store, tmp_path)
        assert reopened.update_run(run, first).params == {"a": 2}
        after = reopened.update_run(run, RunPatch(params={"a": 4}, writer="w", seq=4))
        assert (after.params, after.marks) == ({"a": 4}, {"w": 4})
        assert reopened.update_run(run, RunPatch(params={"a": 5}, writer="v", seq=1)).marks == {"w": 4, "v": 1}
        with pytest.raises(InvalidInput):
            reopened.update_run(run, RunPatch(params={"a": 6}, writer="w"))
        reopened.close()

    def test_an_attempt_says_where_it_runs(self, store: Store, run: str) -> None:
        """A patch from elsewhere names its host, process and time; the run keeps those, and its heartbeat is what came last."""
        started = store.update_run(run, RunPatch(join="one", host="far", pid=7, at=1_600_000_000_000))
        [attempt] = started.attempts
        assert (attempt.host, attempt.pid, attempt.started_at) == ("far", 7, "2020-09-13T12:26:40.000Z")
        assert store.update_run(run, RunPatch(heartbeat="one", host="far", pid=7)).status == "RUNNING"
        ended = store.update_run(run, RunPatch(leave="one", status="FAILED", at=1_600_000_001_000))
        assert (ended.attempts[0].ended_at, ended.status) == ("2020-09-13T12:26:41.000Z", "FAILED")

    def test_an_attempt_that_was_found_dead(self, store: Store, run: str) -> None:
        """An attempt whose process is gone is over, without a say in how the run ends; coming late, it has one."""
        store.update_run(run, RunPatch(join="one", host="far", pid=7))
        store.update_run(run, RunPatch(dead=("one",), join="two", host="far", pid=8))
        after = store.update_run(run, RunPatch(leave="two", status="COMPLETED"))
        assert [(a.id, a.status, a.ended_at is None) for a in after.attempts] == [
            ("one", None, False),
            ("two", "COMPLETED", False),
        ]
        assert after.status == "COMPLETED"
        assert store.update_run(run, RunPatch(leave="one", status="FAILED")).status == "FAILED"

    def test_namespaces_are_apart(self, store: Store, run: str) -> None:
        """One project and name in two namespaces are two runs."""
        there = store.put_run(RunKey("somebody-else", "project", "run"), RunPatch(params={"mine": 1}))
        assert there.id != run
        assert there.key.namespace == "somebody-else"
        assert store.get_run(RunKey("somebody-else", "project", "run")).params == {"mine": 1}
        assert store.get_run(self.key("run")).params == {}
        assert store.get_run(there.id).key == there.key
        assert [r.id for r in store.find_runs(RunQuery(namespace="somebody-else"))] == [there.id]
        assert [r.id for r in store.find_runs(RunQuery(namespace=self.namespace))] == [run]
        assert {r.id for r in store.find_runs(RunQuery())} == {run, there.id}

    def test_unknown_runs_are_not_found(self, store: Store) -> None:
        """Every call on a run that does not exist raises `NotFound`, by id and by key."""
        with pytest.raises(NotFound):
            store.get_run(self.key("nobody"))
        check_unknown(store, "0" * 32)

    @pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "nul\0", "/abs", "x" * 256])
    def test_bad_names_are_refused(self, store: Store, bad: str) -> None:
        """A run's name and project are one folder each; nothing is created for another."""
        for key in (self.key(bad), self.key("run", project=bad)):
            with pytest.raises(InvalidInput):
                store.put_run(key, RunPatch())
        assert store.find_runs(RunQuery()) == []

    def test_find_runs_newest_first(self, store: Store) -> None:
        """All runs, the newest first, each without its series."""
        ids = {store.put_run(self.key(f"run {i}"), RunPatch()).id for i in range(5)}
        found = store.find_runs(RunQuery())
        assert {run.id for run in found} == ids
        created = [run.created_at for run in found]
        assert created == sorted(created, reverse=True)
        assert all(run.series is None for run in found)

    def test_find_runs_by_project_and_namespace(self, store: Store) -> None:
        """A query's fields narrow the answer; a project that does not exist has no runs."""
        for project in ("one", "two"):
            for name in ("a", "b"):
                store.put_run(self.key(name, project), RunPatch(params={"p": project}))
        found = store.find_runs(RunQuery(project="one"))
        assert sorted(run.key for run in found) == [self.key("a", "one"), self.key("b", "one")]
        assert all(run.params == {"p": "one"} for run in found)
        assert store.find_runs(RunQuery(project="three")) == []
        assert len(store.find_runs(RunQuery(namespace=self.namespace))) == 4
        assert store.find_runs(RunQuery(namespace="somebody-else")) == []

    def test_find_runs_with_their_series(self, store: Store, run: str, loss: SeriesKey) -> None:
        """A query may ask for what `describe` tells of each run."""
        store.append([Batch(loss, rows_of(range(3)))])
        store.put_run(self.key("empty"), RunPatch())
        found = {r.key.name: r.series for r in store.find_runs(RunQuery(series=True))}
        assert found == {"run": store.describe(run), "empty": []}

    def test_a_deleted_run_is_gone_for_good(self, store: Store, second: Store, run: str, loss: SeriesKey) -> None:
        """After deletion its id is unknown in every call and through every handle, also in a flush; other runs stay."""
        other = store.put_run(self.key("other"), RunPatch()).id
        kept = SeriesKey(other, METRICS, "loss")
        store.append([Batch(loss, rows_of([1])), Batch(kept, rows_of([2]))])
        store.put_file(run, io.BytesIO(b"bytes"), FilePut("f.bin"))
        second.append([Batch(loss, rows_of([3]))])
        store.delete_run(run)
        for handle in (store, second):
            check_unknown(handle, run)
            handle.flush()
            assert [r.id for r in handle.find_runs(RunQuery())] == [other]
            self.check_holds(handle, kept, rows_of([2]))

    def test_the_key_of_a_deleted_run_starts_anew(self, store: Store, second: Store, run: str, loss: SeriesKey) -> None:
        """A run under the same key has another id and nothing of the old one; the old id stays unknown."""
        store.update_run(run, RunPatch(description="old", params={"lr": 1}, join="p1"))
        store.append([Batch(loss, rows_of([1]), writer="w", seq=0)])
        store.put_file(run, io.BytesIO(b"bytes"), FilePut("f.bin"))
        store.delete_run(run)
        new = second.put_run(self.key("run"), RunPatch())
        assert new.id != run
        assert (new.description, new.params, new.params_version, new.attempts) == (None, {}, 0, [])
        assert store.describe(new.id) == []
        assert store.find_files(new.id) == []
        series = SeriesKey(new.id, METRICS, "loss")
        self.check_holds(second, series, [])
        assert store.append([Batch(series, rows_of([2]), writer="w", seq=0)]) == [Appended(0, 1, 1)]
        self.check_holds(second, series, rows_of([2]))
        check_unknown(store, run)

    def test_many_threads_create_one_run(self, store: Store, second: Store) -> None:
        """Creating the same run at once, through two handles, makes one run."""
        handles = [store, second]
        runs = in_threads(lambda t: handles[t % 2].put_run(self.key("race"), RunPatch(join=f"p{t}")))
        assert len({run.id for run in runs}) == 1
        assert sorted(a.id for a in store.get_run(runs[0].id).attempts) == sorted(f"p{t}" for t in range(THREADS))

    def test_a_run_outlives_its_handle(self, store: Store, run: str, tmp_path: Path) -> None:
        """What was put is there after closing and opening, and closing twice does nothing."""
        store.update_run(run, RunPatch(description="d", tags=["t"], params={"a.b": 1}, metadata={"m": [1]}))
        before = store.get_run(run)
        reopened = self.again(store, tmp_path)
        store.close()
        assert timeless(reopened.get_run(self.key("run"))) == timeless(before)
        assert [r.id for r in reopened.find_runs(RunQuery())] == [run]
        reopened.close()


class SeriesContract(Harness):
    """Series: appending and reading."""

    def test_rows_get_the_next_indices(self, store: Store, loss: SeriesKey) -> None:
        """Each call's rows follow the last one's: indices 0, 1, 2, … without a hole."""
        assert store.append([Batch(loss, rows_of([0]))]) == [Appended(0, 1, 1)]
        assert store.append([Batch(loss, rows_of([1, 2, 3]))]) == [Appended(1, 3, 4)]
        assert store.append([Batch(loss, rows_of([4]))]) == [Appended(4, 1, 5)]
        self.check_holds(store, loss, rows_of(range(5)))

    def test_appending_nothing_does_nothing(self, store: Store, run: str, loss: SeriesKey) -> None:
        """No batches give no answers; a batch without rows stores none."""
        assert store.append([]) == []
        assert store.append([Batch(loss, [])]) == [Appended(None, 0, 0)]
        store.append([Batch(loss, rows_of([0]))])
        assert store.append([Batch(loss, [])]) == [Appended(None, 0, 1)]
        self.check_holds(store, loss, rows_of([0]))
        assert store.get_run(run).id == run

    def test_an_unknown_series_reads_as_empty(self, store: Store, loss: SeriesKey) -> None:
        """Reading what nobody wrote is no error; the page says where it was asked to start."""
        for start, limit in ((0, None), (0, 10), (7, 10)):
            page = store.read(loss, start, limit)
            assert page == Page(METRICS, start, 0, 0, b"", (), page.origin)

    @pytest.mark.parametrize(
        ("start", "limit", "first", "stop"),
        [
            (0, None, 0, 10),
            (0, 10, 0, 10),
            (0, 100, 0, 10),
            (3, 4, 3, 7),
            (9, 1, 9, 10),
            (9, None, 9, 10),
            (8, 5, 8, 10),
            (0, 0, 0, 0),
            (5, 0, 5, 5),
            (10, 5, 10, 10),
            (1000, 5, 1000, 1000),
            (1000, None, 1000, 1000),
        ],
    )
    def test_a_page_holds_what_exists_of_its_range(
        self, store: Store, loss: SeriesKey, start: int, limit: int | None, first: int, stop: int
    ) -> None:
        """A page holds the lines of [start, start + limit) as far as they exist, byte for byte, and the length."""
        rows = rows_of(range(10))
        store.append([Batch(loss, rows[:4])])
        store.append([Batch(loss, rows[4:])])
        page = store.read(loss, start, limit)
        assert (page.kind, page.start, page.count, page.total) == (METRICS, first, stop - first, 10)
        assert page.lines == render(METRICS, first, rows[first:stop])
        assert [(p["index"], p["data"]) for p in decode_page(page)] == [(i, {"value": i}) for i in range(first, stop)]

    def test_every_range_of_many_batches(self, store: Store, loss: SeriesKey) -> None:
        """Any range reads right, wherever batches met and however long lines are."""
        rng = random.Random(0)
        rows = [encode_row({"value": i, "pad": "x" * rng.choice((0, 3, 500))}) for i in range(300)]
        at = 0
        while at < len(rows):
            size = rng.randint(1, 40)
            store.append([Batch(loss, rows[at : at + size])])
            at += size
        for _ in range(100):
            start, limit = rng.randint(0, 310), rng.randint(0, 60)
            page = store.read(loss, start, limit)
            assert page.lines == render(METRICS, start, rows[start : start + limit])
        self.check_holds(store, loss, rows)

    @pytest.mark.parametrize("kind", [METRICS, TRACKS])
    def test_values_come_back_as_they_went_in(self, store: Store, run: str, kind: str) -> None:
        """NaN, infinities, large integers, any text, nesting, key order, the empty row survive; kinds stay apart."""
        series = SeriesKey(run, kind, "nasty")
        rows = [encode_row(row) for row in NASTY_ROWS]
        store.append([Batch(series, rows)])
        for row in rows:
            store.append([Batch(series, [row])])
        self.check_holds(store, series, rows * 2)
        points = decode_page(store.read(series, 0, None))
        assert same([point["data"] for point in points], list(NASTY_ROWS) * 2)
        other = SeriesKey(run, TRACKS if kind == METRICS else METRICS, "nasty")
        assert store.read(other, 0, None).total == 0

    def test_a_row_of_a_megabyte(self, store: Store, loss: SeriesKey) -> None:
        """A row may be far longer than others; those around it read right."""
        rows = rows_of([1, "y" * 1_000_000, 2])
        store.append([Batch(loss, rows)])
        store.append([Batch(loss, rows_of([3]))])
        self.check_holds(store, loss, [*rows, *rows_of([3])])
        assert store.read(loss, 2, 5).lines == render(METRICS, 2, rows_of([2, 3]))

    def test_logs_have_their_own_framing(self, store: Store, run: str) -> None:
        """A log's line is its record with a sequence number before it."""
        logs = SeriesKey(run, LOGS, "")
        records = [
            {"timestamp": "2026-01-01T00:00:00.000Z", "level": "info", "message": m} for m in ("a", "b\nc", "NaN")
        ]
        records[1]["metadata"] = {"x": math.inf}  # type: ignore[assignment]
        rows = [encode_row(record) for record in records]
        store.append([Batch(logs, rows[:1])])
        assert store.append([Batch(logs, rows[1:])]) == [Appended(1, 2, 3)]
        self.check_holds(store, logs, rows)
        assert store.read(logs, 0, 1).lines.startswith(b'{"sequenceNumber": 0, "timestamp": ')
        points = decode_page(store.read(logs, 1, 2))
        assert same(points, [{"sequenceNumber": i, **records[i]} for i in (1, 2)])

    def test_events_are_a_series_too(self, store: Store, run: str) -> None:
        """The events of a run append and read like any series."""
        events = SeriesKey(run, EVENTS, "")
        rows = rows_of(["join", "leave"])
        assert store.append([Batch(events, rows, writer="w", seq=0)]) == [Appended(0, 2, 2)]
        self.check_holds(store, events, rows)

    def test_many_batches_in_one_call(self, store: Store, run: str, loss: SeriesKey) -> None:
        """One call's batches to one series are stored in their order, among those to others; one answer a batch."""
        accuracy = SeriesKey(run, METRICS, "train/accuracy")
        logs = SeriesKey(run, LOGS, "")
        message = encode_row({"message": "m"})
        batches = [
            Batch(loss, rows_of([0, 1])),
            Batch(accuracy, rows_of([10])),
            Batch(loss, rows_of([2])),
            Batch(logs, [message]),
            Batch(loss, rows_of([3, 4])),
            Batch(accuracy, rows_of([11, 12])),
        ]
        assert store.append(batches) == [
            Appended(0, 2, 2),
            Appended(0, 1, 1),
            Appended(2, 1, 3),
            Appended(0, 1, 1),
            Appended(3, 2, 5),
            Appended(1, 2, 3),
        ]
        self.check_holds(store, loss, rows_of(range(5)))
        self.check_holds(store, accuracy, rows_of([10, 11, 12]))
        self.check_holds(store, logs, [message])

    def test_series_and_runs_do_not_mix(self, store: Store, run: str) -> None:
        """The same name in other kinds and runs is another series; so are names that share a beginning or a case."""
        other = store.put_run(self.key("other"), RunPatch()).id
        keys = [SeriesKey(r, k, n) for r in (run, other) for k in (METRICS, TRACKS) for n in ("a", "a/b", "a/b/c", "A")]
        keys.append(SeriesKey(run, METRICS, "a/data.jsonl"))
        for i, series in enumerate(keys):
            store.append([Batch(series, rows_of([i]))])
        for i, series in enumerate(keys):
            store.append([Batch(series, rows_of([-i]))])
        for i, series in enumerate(keys):
            self.check_holds(store, series, rows_of([i, -i]))

    def test_both_handles_see_an_append_at_once(
        self, store: Store, second: Store, loss: SeriesKey, tmp_path: Path
    ) -> None:
        """What one handle appended, the other reads and goes on from, from the moment that the append returned."""
        for i in range(0, 20, 2):
            assert store.append([Batch(loss, rows_of([i]))]) == [Appended(i, 1, i + 1)]
            self.check_holds(second, loss, rows_of(range(i + 1)))
            assert second.append([Batch(loss, rows_of([i + 1]))]) == [Appended(i + 1, 1, i + 2)]
            self.check_holds(store, loss, rows_of(range(i + 2)))
        reopened = self.again(store, tmp_path)
        assert reopened.append([Batch(loss, rows_of([20]))]) == [Appended(20, 1, 21)]
        self.check_holds(second, loss, rows_of(range(21)))
        reopened.close()

    def test_times_follow_the_rows(self, store: Store, loss: SeriesKey) -> None:
        """A point has the time of the last tick at or before it, whatever range is read; ticks rise."""
        base = 1_700_000_000_000
        store.append([Batch(loss, rows_of(range(4)), times=((0, base), (2, base + 1000)))])
        store.append([Batch(loss, rows_of(range(4, 6)), times=((0, base + 2000),))])
        expected = [base, base, base + 1000, base + 1000, base + 2000, base + 2000]
        for start in range(6):
            for stop in range(start + 1, 7):
                page = store.read(loss, start, stop - start)
                check_ticks(page)
                assert [parse_iso(p["createdAt"]) for p in decode_page(page)] == expected[start:stop]

    def test_rows_without_times_get_the_stores_own(self, store: Store, loss: SeriesKey) -> None:
        """Every page with points has a tick that covers its first one; a page without points needs none."""
        for _ in range(5):
            store.append([Batch(loss, rows_of(range(3)))])
        for start in range(15):
            check_ticks(store.read(loss, start, 4))
        assert all("createdAt" in point for point in decode_page(store.read(loss, 0, None)))

    def test_threads_share_a_series(self, store: Store, second: Store, loss: SeriesKey) -> None:
        """Eight threads on two handles: no index twice, no hole, each thread's rows in its order, no batch cut."""
        answers = in_threads(
            lambda t: write_batches([store, second][t % 2], loss, t), beside=lambda: watch(second, loss)
        )
        points = decode_page(store.read(loss, 0, None))
        placed: dict[int, dict[str, Any]] = {}
        for appended, row in (pair for answer in answers for pair in answer):
            placed |= {appended.first + r: {**row, "row": r} for r in range(appended.count)}
        assert [point["data"] for point in points] == [placed[i] for i in range(len(placed))]
        for thread in range(THREADS):
            mine = [(p["data"]["batch"], p["data"]["row"]) for p in points if p["data"]["thread"] == thread]
            assert mine == sorted(mine)
        self.check_holds(store, loss, [encode_row(point["data"]) for point in points])

    def test_threads_with_series_of_their_own(self, store: Store, run: str) -> None:
        """Threads that create and fill different series at once do not disturb each other."""

        def fill(thread: int) -> None:
            series = SeriesKey(run, METRICS, f"series/{thread}")
            for i in range(10):
                assert store.append([Batch(series, rows_of([i]))]) == [Appended(i, 1, i + 1)]

        in_threads(fill)
        for thread in range(THREADS):
            self.check_holds(store, SeriesKey(run, METRICS, f"series/{thread}"), rows_of(range(10)))
        assert [info.count for info in store.describe(run)] == [10] * THREADS

    def test_flush_makes_no_difference_to_a_reader(
        self, store: Store, second: Store, run: str, loss: SeriesKey
    ) -> None:
        """Flushing all or one run, before and after appends, changes nothing that is read."""
        store.flush()
        store.append([Batch(loss, rows_of([0]))])
        store.flush(run)
        store.append([Batch(loss, rows_of([1]))])
        store.flush()
        self.check_holds(second, loss, rows_of([0, 1]))

    @pytest.mark.parametrize("most", [0, 100, 5_000, 60_000, 1 << 20])
    def test_pages_of_so_many_bytes_follow_one_another(self, store: Store, loss: SeriesKey, most: int) -> None:
        """Rows of all sizes: each page has at least one point, about as many bytes as were asked for."""
        sizes = [10] * 600 + [3_000, 40_000, 20, 20] + [500] * 50 + [9_000] * 3
        for at in range(0, len(sizes), 7):
            rows = [encode_row({"x": "x" * size}) for size in sizes[at : at + 7]]
            store.append([Batch(loss, rows, times=((0, 1_000_000 + at), (len(rows) - 1, 1_000_001 + at)))])
        whole = store.read(loss, 0, None)
        assert store.read(loss, 0, None, 1 << 30) == whole
        at, points = 590, []
        while at < len(sizes):
            page = store.read(loss, at, None, most)
            assert (page.start, page.total) == (at, len(sizes))
            assert 1 <= page.count == page.lines.count(b"\n")
            assert len(page.lines) <= max(most, 60_000) + 60_000
            points += decode_page(page)
            at += page.count
        assert points == decode_page(whole)[590:]
        assert store.read(loss, 5, 20, 1).count in range(1, 21)
        assert store.read(loss, 5, 0, 1).count == 0


class AtomicityContract(Harness):
    """A call whose batches cannot all be stored stores none of them."""

    @pytest.fixture
    def reached(self, store: Store, loss: SeriesKey) -> SeriesKey:
        """A series with two rows of writer "w"."""
        store.append([Batch(loss, rows_of([0, 1]), writer="w", seq=0)])
        return loss

    def check_refused(self, store: Store, reached: SeriesKey, bad: Batch, error: type[Exception]) -> Exception:
        """Assert that `bad` among good batches raises and that none of them is stored; the error."""
        new = reached._replace(name="new")
        good = Batch(reached, rows_of([2]), writer="w", seq=2)
        with pytest.raises(error) as caught:
            store.append([Batch(new, rows_of([0])), good, bad, Batch(new, rows_of([1]))])
        self.check_holds(store, reached, rows_of([0, 1]))
        assert store.read(new, 0, None).total == 0
        assert [info.name for info in store.describe(reached.run)] == ["loss"]
        assert store.append([good]) == [Appended(2, 1, 3)]
        return caught.value

    def test_an_unknown_run(self, store: Store, reached: SeriesKey) -> None:
        """A batch for a run that does not exist."""
        self.check_refused(store, reached, Batch(reached._replace(run="0" * 32), rows_of([1])), NotFound)

    def test_a_gap(self, store: Store, reached: SeriesKey) -> None:
        """A batch that leaves a gap behind the one before it in the same call: the gap is counted from there."""
        error = self.check_refused(store, reached, Batch(reached, rows_of([5]), writer="w", seq=5), Conflict)
        assert isinstance(error, Conflict)
        assert error.expected == 3

    def test_a_copy_that_went_its_own_way(self, store: Store, reached: SeriesKey) -> None:
        """A batch whose rows differ from those stored under their seqs."""
        error = self.check_refused(store, reached, Batch(reached, rows_of([0, 99]), writer="w", seq=0), Conflict)
        assert isinstance(error, Conflict)
        assert error.expected is None

    @pytest.mark.parametrize("name", ["", "..", "a/../b", "/abs", "a//b", "nul\0", "x" * 256])
    def test_a_bad_name(self, store: Store, reached: SeriesKey, name: str) -> None:
        """A batch for a series that cannot be named so."""
        self.check_refused(store, reached, Batch(reached._replace(name=name), rows_of([1])), InvalidInput)

    def test_a_bad_kind(self, store: Store, reached: SeriesKey) -> None:
        """A batch for a kind of series that there is not."""
        self.check_refused(store, reached, Batch(reached._replace(kind="files"), rows_of([1])), InvalidInput)

    @pytest.mark.parametrize(("writer", "seq"), [("w", None), (None, 0), ("w", -1), ("", 0)])
    def test_half_an_identity(self, store: Store, reached: SeriesKey, writer: str | None, seq: int | None) -> None:
        """A batch with a writer and no seq, a seq and no writer, or a seq below 0."""
        self.check_refused(store, reached, Batch(reached, rows_of([1]), writer=writer, seq=seq), InvalidInput)

    def test_a_writer_with_a_long_name(self, store: Store, reached: SeriesKey) -> None:
        """A writer's id of more than 200 characters: it is kept with every series."""
        self.check_refused(store, reached, Batch(reached, rows_of([1]), writer="w" * 201, seq=0), InvalidInput)


class ExactlyOnceContract(Harness):
    """Batches that carry (writer, seq) are stored once, however often they are sent."""

    def test_twice_equals_once(self, store: Store, loss: SeriesKey) -> None:
        """A batch sent again, in the same call or another, stores nothing more."""
        batch = Batch(loss, rows_of(range(5)), writer="w", seq=0)
        assert store.append([batch, batch]) == [Appended(0, 5, 5), Appended(None, 0, 5)]
        assert store.append([batch]) == [Appended(None, 0, 5)]
        self.check_holds(store, loss, rows_of(range(5)))

    @pytest.mark.parametrize("seq", range(6))
    def test_an_overlap_is_trimmed(self, store: Store, loss: SeriesKey, seq: int) -> None:
        """Rows that the series has from this writer are dropped, the rest is appended."""
        store.append([Batch(loss, rows_of(range(5)), writer="w", seq=0)])
        again = Batch(loss, rows_of(range(seq, 8)), writer="w", seq=seq)
        assert store.append([again]) == [Appended(5, 3, 8)]
        self.check_holds(store, loss, rows_of(range(8)))

    def test_an_old_part_of_the_log_is_known(self, store: Store, loss: SeriesKey) -> None:
        """A retry of rows far behind the mark, where no hash is kept any more, stores nothing."""
        rows = rows_of(range(100))
        for at in range(0, 100, 10):
            store.append([Batch(loss, rows[at : at + 10], writer="w", seq=at)])
        for seq, stop in ((0, 10), (30, 60), (0, 100), (95, 100), (50, 84)):
            assert store.append([Batch(loss, rows[seq:stop], writer="w", seq=seq)]) == [Appended(None, 0, 100)]
        self.check_holds(store, loss, rows)

    def test_a_gap_says_where_to_go_on(self, store: Store, loss: SeriesKey) -> None:
        """Rows beyond the mark are refused with the seq expected, from a writer never seen as well."""
        with pytest.raises(Conflict) as first:
            store.append([Batch(loss, rows_of([1]), writer="w", seq=1)])
        assert first.value.expected == 0
        store.append([Batch(loss, rows_of(range(3)), writer="w", seq=0)])
        with pytest.raises(Conflict) as later:
            store.append([Batch(loss, rows_of([5]), writer="w", seq=5)])
        assert later.value.expected == 3
        self.check_holds(store, loss, rows_of(range(3)))

    @pytest.mark.parametrize("differs", [0, 7, 15])
    def test_a_diverged_copy_is_a_conflict(self, store: Store, loss: SeriesKey, differs: int) -> None:
        """Other content under any of the last 16 seqs is refused, new rows behind it included."""
        rows = rows_of(range(20))
        store.append([Batch(loss, rows, writer="w", seq=0)])
        copy = rows_of(-1 if i == 4 + differs else i for i in range(25))
        for seq in (0, 4 + differs):
            for stop in (20, 25):
                with pytest.raises(Conflict) as caught:
                    store.append([Batch(loss, copy[seq:stop], writer="w", seq=seq)])
                assert caught.value.expected is None
        self.check_holds(store, loss, rows)

    def test_a_copy_is_compared_over_many_small_batches(self, store: Store, loss: SeriesKey) -> None:
        """Hashes of the last 16 rows are kept across batches, not those of the last batch alone."""
        rows = rows_of(range(40))
        for i, row in enumerate(rows):
            store.append([Batch(loss, [row], writer="w", seq=i)])
        with pytest.raises(Conflict):
            store.append([Batch(loss, rows_of([-1]), writer="w", seq=24)])
        assert store.append([Batch(loss, rows[10:], writer="w", seq=10)]) == [Appended(None, 0, 40)]
        self.check_holds(store, loss, rows)

    def test_writers_have_marks_of_their_own(self, store: Store, run: str, loss: SeriesKey) -> None:
        """Two writers' logs are joined in one series, and one writer's logs of two series are two logs."""
        other = SeriesKey(run, METRICS, "other")
        for i in range(5):
            a, b = (Batch(loss, rows_of([f"{w}{i}"]), writer=w, seq=i) for w in "ab")
            assert store.append([a, b, a]) == [
                Appended(2 * i, 1, 2 * i + 1),
                Appended(2 * i + 1, 1, 2 * i + 2),
                Appended(None, 0, 2 * i + 2),
            ]
        assert store.append([Batch(other, rows_of(["x"]), writer="a", seq=0)]) == [Appended(0, 1, 1)]
        self.check_holds(store, loss, rows_of(f"{w}{i}" for i in range(5) for w in "ab"))

    def test_appends_without_identity_between(self, store: Store, loss: SeriesKey) -> None:
        """Rows of nobody in particular come between a writer's without touching its mark; they are never duplicates."""
        store.append([Batch(loss, rows_of([0, 1]), writer="w", seq=0)])
        for _ in range(2):
            store.append([Batch(loss, rows_of([0, 1]))])
        assert store.append([Batch(loss, rows_of([1, 2]), writer="w", seq=1)]) == [Appended(6, 1, 7)]
        assert store.append([Batch(loss, rows_of([0, 1, 2]), writer="w", seq=0)]) == [Appended(None, 0, 7)]
        self.check_holds(store, loss, rows_of([0, 1, 0, 1, 0, 1, 2]))

    def test_marks_are_known_to_every_handle(
        self, store: Store, second: Store, loss: SeriesKey, tmp_path: Path
    ) -> None:
        """A retry through another handle, or after closing and opening, is still a retry; so is a gap and a copy."""
        rows = rows_of(range(30))
        store.append([Batch(loss, rows[:20], writer="w", seq=0)])
        assert second.append([Batch(loss, rows[10:25], writer="w", seq=10)]) == [Appended(20, 5, 25)]
        assert store.append([Batch(loss, rows[15:26], writer="w", seq=15)]) == [Appended(25, 1, 26)]
        reopened = self.again(store, tmp_path)
        assert reopened.append([Batch(loss, rows[20:26], writer="w", seq=20)]) == [Appended(None, 0, 26)]
        with pytest.raises(Conflict) as gap:
            reopened.append([Batch(loss, rows[27:], writer="w", seq=27)])
        assert gap.value.expected == 26
        with pytest.raises(Conflict):
            reopened.append([Batch(loss, rows_of([-1]), writer="w", seq=25)])
        assert reopened.append([Batch(loss, rows[26:], writer="w", seq=26)]) == [Appended(26, 4, 30)]
        self.check_holds(second, loss, rows)
        reopened.close()

    def test_a_retry_in_flight_twice_is_stored_once(self, store: Store, second: Store, run: str) -> None:
        """Eight threads send one log at once: an answer comes when the rows are visible, each row is there once."""
        rows = rows_of(range(60))

        def send(thread: int, series: SeriesKey) -> int:
            handle, stored = [store, second][thread % 2], 0
            for at in range(0, 60, 3):
                [appended] = handle.append([Batch(series, rows[at : at + 3], writer="w", seq=at)])
                assert handle.read(series, at, 3).lines == render(METRICS, at, rows[at : at + 3])
                stored += appended.count
            return stored

        for attempt in range(5):
            series = SeriesKey(run, METRICS, f"race/{attempt}")
            assert sum(in_threads(partial(send, series=series))) == 60
            self.check_holds(store, series, rows)

    def test_times_of_a_trimmed_batch_stay_with_their_rows(self, store: Store, loss: SeriesKey) -> None:
        """What is left of a trimmed batch has the times that it would have had."""
        base = 1_700_000_000_000
        times = ((0, base), (3, base + 1000), (5, base + 2000))
        store.append([Batch(loss, rows_of(range(2)), "w", 0, ((0, base),))])
        store.append([Batch(loss, rows_of(range(6)), "w", 0, times)])
        page = store.read(loss, 0, None)
        check_ticks(page)
        offsets = [parse_iso(point["createdAt"]) - base for point in decode_page(page)]
        assert offsets == [0, 0, 0, 1000, 1000, 2000]


class DescribeContract(Harness):
    """What a store tells of series: `describe` and `sample`."""

    def test_describe_lists_series_in_order(self, store: Store, run: str) -> None:
        """Metrics and tracks, sorted by kind and name, with counts and the last row decoded; no logs, no events."""
        for kind, name in ((TRACKS, "a"), (METRICS, "b/c"), (METRICS, "b"), (METRICS, "_system/cpu"), (METRICS, "B")):
            store.append([Batch(SeriesKey(run, kind, name), rows_of([1, 2, name]))])
        store.append([Batch(SeriesKey(run, LOGS, ""), [encode_row({"message": "m"})])])
        store.append([Batch(SeriesKey(run, EVENTS, ""), rows_of([0]))])
        described = store.describe(run)
        names = [(METRICS, "B"), (METRICS, "_system/cpu"), (METRICS, "b"), (METRICS, "b/c"), (TRACKS, "a")]
        assert [(info.kind, info.name) for info in described] == names
        assert [info.count for info in described] == [3] * 5
        assert [info.last for info in described] == [{"value": name} for _, name in names]
        assert all(0 <= info.chunked <= info.count for info in described)

    def test_describe_follows_the_series(self, store: Store, second: Store, run: str, loss: SeriesKey) -> None:
        """Count and last row are those of the moment, through every handle; nasty last rows decode right."""
        count = 0
        for row in NASTY_ROWS:
            store.append([Batch(loss, [encode_row(row)] * 2)])
            count += 2
            for handle in (store, second):
                [info] = handle.describe(run)
                assert info.count == count
                assert same(info.last, row)

    def test_describe_tells_when(self, store: Store, run: str, loss: SeriesKey) -> None:
        """Times of the first and the last point, and of the series itself."""
        base = 1_700_000_000_000
        store.append([Batch(loss, rows_of(range(4)), times=((0, base), (3, base + 1000)))])
        [info] = store.describe(run)
        assert info.first_at is not None
        assert info.last_at is not None
        assert (parse_iso(info.first_at), parse_iso(info.last_at)) == (base, base + 1000)
        assert info.created_at is not None
        assert info.updated_at is not None

    def test_what_is_said_of_a_series_replaces_the_old(self, store: Store, run: str, loss: SeriesKey) -> None:
        """Description, tags and metadata given later replace the stored ones; None keeps them; rows are untouched."""
        store.append([Batch(loss, rows_of([1]))])
        say(store, run, description="old", tags=["a"], metadata={"unit": "nats", "x": [math.nan]})
        say(store, run, tags=["b"])
        assert said(store, run) == ("old", ["b"], repr({"unit": "nats", "x": [math.nan]}))
        say(store, run, description="new", tags=[], metadata={"y": 2})
        assert said(store, run) == ("new", [], repr({"y": 2}))
        store.append([Batch(loss, rows_of([2]))])
        assert said(store, run) == ("new", [], repr({"y": 2}))
        self.check_holds(store, loss, rows_of([1, 2]))

    def test_a_series_may_be_described_before_its_first_row(self, store: Store, run: str, tmp_path: Path) -> None:
        """It is listed with no points; what was said of it stays when it gets some, and after closing and opening."""
        say(store, run, description="early", tags=["t"])
        [info] = store.describe(run)
        assert (info.name, info.count, info.last, info.first_at, info.last_at) == ("loss", 0, None, None, None)
        loss = SeriesKey(run, METRICS, "loss")
        store.append([Batch(loss, rows_of([1]))])
        reopened = self.again(store, tmp_path)
        [info] = reopened.describe(run)
        assert (info.description, info.tags, info.count) == ("early", ["t"], 1)
        reopened.close()

    def test_saying_something_of_a_bad_name_changes_nothing(self, store: Store, run: str) -> None:
        """A patch with a series that cannot be named so is refused as a whole."""
        with pytest.raises(InvalidInput):
            store.update_run(run, RunPatch(description="no", series=(SeriesMeta(METRICS, "../up", "no"),)))
        assert store.get_run(run).description is None
        assert store.describe(run) == []

    @pytest.mark.parametrize("max_points", [1, 7, 100, 239, 240, 1000])
    @pytest.mark.parametrize(
        ("start", "stop"), [(0, None), (0, 240), (3, 50), (37, 239), (10, 10), (200, 10**9), (900, None)]
    )
    @pytest.mark.parametrize("x", [None, "epoch"])
    def test_sample_is_exact(
        self, store: Store, loss: SeriesKey, x: str | None, start: int, stop: int | None, max_points: int
    ) -> None:
        """Consecutive buckets that cover the range, at most `max_points`, each what counting it by hand gives."""
        rows = sampled_rows()
        for at in range(0, len(rows), 60):
            store.append([Batch(loss, [encode_row(row) for row in rows[at : at + 60]])])
        sample = store.sample(loss, "value", x, start, stop, max_points)
        check_sample(sample, rows, x, start, len(rows) if stop is None else min(stop, len(rows)), max_points)

    def test_sample_of_nothing(self, store: Store, loss: SeriesKey) -> None:
        """A series without rows has no buckets; a field that no row has counts nothing in each of them."""
        assert len(store.sample(loss, "value", None, 0, None, 10)) == 0
        store.append([Batch(loss, rows_of(range(20)))])
        sample = store.sample(loss, "nobody", None, 0, None, 10)
        assert (int(sample.count.sum()), int(sample.nan.sum())) == (0, 0)
        assert (int(sample.start[0]), int(sample.stop[-1])) == (0, 20)

    def test_sample_goes_on_with_the_series(self, store: Store, loss: SeriesKey) -> None:
        """What was sampled before does not hide what was appended since."""
        rows = sampled_rows()
        for at in range(0, len(rows), 80):
            store.append([Batch(loss, [encode_row(row) for row in rows[at : at + 80]])])
            sample = store.sample(loss, "value", "epoch", 0, None, 9)
            check_sample(sample, rows[: at + 80], "epoch", 0, min(at + 80, len(rows)), 9)

    @pytest.mark.parametrize(("start", "max_points"), [(0, 0), (0, -1), (-1, 10)])
    def test_sample_refuses_what_makes_no_sense(
        self, store: Store, loss: SeriesKey, start: int, max_points: int
    ) -> None:
        """`max_points` below 1 and `start` below 0 are wrong calls."""
        store.append([Batch(loss, rows_of(range(3)))])
        with pytest.raises(InvalidInput):
            store.sample(loss, "value", None, start, None, max_points)


class ColumnsContract(Harness):
    """Fields as typed arrays, a page of them."""

    @pytest.mark.parametrize("size", [1, 5, 24])
    def test_columns_have_the_types_of_their_values(self, store: Store, loss: SeriesKey, size: int) -> None:
        """Of any range, whatever the fields hold and however they came: each page's are those of its rows, as are all together."""
        fields = [*COLUMNS, "nobody", *list(COLUMNS)[:2]]
        rows = column_rows()
        for at in range(0, len(rows), size):
            store.append([Batch(loss, rows[at : at + size])])
        for start, stop in (
            (0, None),
            (0, 24),
            (0, 1),
            (7, 9),
            (8, 16),
            (10, 100),
            (23, None),
            (5, 5),
            (24, None),
            (9, 3),
        ):
            check_columns(store, loss, fields, start, stop, 24)

    def test_pages_of_other_kinds_join_as_one_page(self, store: Store, loss: SeriesKey) -> None:
        """Three pages that were asked for join as their rows would in one."""
        store.append([Batch(loss, column_rows())])
        check_columns(store, loss, [*COLUMNS, "nobody"], 0, 24, 24, cuts=(8, 16))

    def test_columns_of_nothing(self, store: Store, run: str, loss: SeriesKey) -> None:
        """A series without rows, and a request without fields."""
        check_columns(store, loss, ["value"], 0, None, 0)
        check_columns(store, loss, ["value"], 7, 9, 0)
        store.append([Batch(loss, rows_of(range(10)))])
        check_columns(store, loss, [], 2, 7, 10)
        check_columns(store, SeriesKey(run, METRICS, "other"), ["value"], 0, None, 0)

    def test_columns_of_logs(self, store: Store, run: str) -> None:
        """Their number is a field of theirs."""
        logs = SeriesKey(run, LOGS, "")
        store.append([Batch(logs, [encode_row({"message": "m", "took": n / 4}) for n in range(10)])])
        pages = list(column_pages(store, logs, ["took", "message", "sequenceNumber"], 3, None))
        took, numbers = (joined([page.columns[name] for page in pages]) for name in ("took", "sequenceNumber"))
        assert took is not None
        assert numbers is not None
        assert (took.tolist(), numbers.tolist()) == ([n / 4 for n in range(3, 10)], list(range(3, 10)))
        assert all(page.columns["message"] is None for page in pages)

    def test_columns_have_the_times_of_their_rows(self, store: Store, loss: SeriesKey) -> None:
        """Whatever range is asked for."""
        base = 1_700_000_000_000
        store.append([Batch(loss, rows_of(range(4)), times=((0, base), (2, base + 1000)))])
        store.append([Batch(loss, rows_of(range(4, 9)), times=((0, base + 1000), (3, base + 5000)))])
        for start in range(9):
            for stop in range(start + 1, 10):
                check_columns(store, loss, ["value"], start, stop, 9)

    def test_columns_of_long_rows(self, store: Store, loss: SeriesKey) -> None:
        """More than one page takes come in several."""
        rows = [encode_row({"value": n, "text": "x" * 5_000_000}) for n in range(3)]
        for row in rows:
            store.append([Batch(loss, [row])])
        pages = list(column_pages(store, loss, ["value", "text"], 0, None))
        assert [value for page in pages for value in page.columns["value"].tolist()] == [0, 1, 2]
        assert {page.total for page in pages} == {3}

    def test_columns_refuse_what_makes_no_sense(self, store: Store, run: str, loss: SeriesKey) -> None:
        """A negative start, more than 100 fields, a series that cannot be."""
        store.append([Batch(loss, rows_of(range(3)))])
        assert len(store.columns(loss, [f"f{n}" for n in range(100)], 0, None).columns) == 100
        for series, fields, start in (
            (loss, ["value"], -1),
            (loss, [f"f{n}" for n in range(101)], 0),
            (SeriesKey(run, "colours", "loss"), ["value"], 0),
            (SeriesKey(run, METRICS, "../up"), ["value"], 0),
        ):
            with pytest.raises(InvalidInput):
                store.columns(series, fields, start, None)


class FileContract(Harness):
    """Files of a run."""

    def test_a_file_comes_back_as_it_went_in(self, store: Store, second: Store, run: str) -> None:
        """The record tells size, sha256 and what was said of the file; the stream holds the bytes."""
        put = FilePut("model.pt", "/models", "weights", ["best"], "application/x-torch", {"epoch": 3, "loss": math.nan})
        record = store.put_file(run, io.BytesIO(b"weights"), put)
        assert record.id
        assert (record.experiment_id, record.path, record.filename) == (run, "/models", "model.pt")
        assert (record.description, record.tags, record.content_type) == ("weights", ["best"], "application/x-torch")
        assert same(record.metadata, {"epoch": 3, "loss": math.nan})
        assert (record.size_bytes, record.checksum) == (7, sha256(b"weights").hexdigest())
        assert record.deleted_at is None
        assert parse_iso(record.uploaded_at) <= parse_iso(record.updated_at)
        for handle in (store, second):
            assert contents(handle, run, record) == b"weights"
            assert same(handle.find_files(run), [record])

    @pytest.mark.parametrize("content", [b"", b"\0", b"\r\n" * 1000])
    def test_any_bytes_are_a_file(self, store: Store, run: str, content: bytes) -> None:
        """The empty file is one, and no byte is special."""
        record = store.put_file(run, io.BytesIO(content), FilePut("f"))
        assert record.size_bytes == len(content)
        assert contents(store, run, record) == content

    def test_a_source_that_dribbles(self, store: Store, run: str, tmp_path: Path) -> None:
        """5 MB from a source that gives what it likes at a time arrive whole and are there after opening again."""
        content = random.Random(0).randbytes(5_000_000)
        record = store.put_file(run, dribble(content), FilePut("large.bin"))
        assert (record.size_bytes, record.checksum) == (len(content), sha256(content).hexdigest())
        reopened = self.again(store, tmp_path)
        assert contents(reopened, run, record) == content
        reopened.close()

    def test_a_source_that_fails(self, store: Store, run: str) -> None:
        """The source's own error comes through; nothing of the file is stored and the one it was to replace stays."""
        old = store.put_file(run, io.BytesIO(b"old"), FilePut("f"))
        with pytest.raises(OSError, match="the disk went away"):
            store.put_file(run, dribble(b"x" * 100_000, fail_at=50_000), FilePut("f"))
        assert same(store.find_files(run), [old])
        assert contents(store, run, old) == b"old"

    def test_the_same_name_replaces(self, store: Store, second: Store, run: str) -> None:
        """A file with the prefix and name of a live one takes its place under a new id; other prefixes stay."""
        first = store.put_file(run, io.BytesIO(b"1"), FilePut("f", "/a", description="one"))
        other = store.put_file(run, io.BytesIO(b"2"), FilePut("f", "/b"))
        new = second.put_file(run, io.BytesIO(b"3"), FilePut("f", "/a"))
        assert len({first.id, other.id, new.id}) == 3
        assert new.description is None
        assert [f.id for f in store.find_files(run)] == [other.id, new.id]
        assert contents(store, run, new) == b"3"
        assert contents(store, run, other) == b"2"
        with pytest.raises(FileMissing):
            store.get_file(run, first.id)

    def test_files_are_listed_oldest_first(self, store: Store, run: str) -> None:
        """The order of puts is the order of the list; other runs' files are not in it."""
        other = store.put_run(self.key("other"), RunPatch()).id
        ids = [store.put_file(run, io.BytesIO(b"x"), FilePut(f"f{9 - i}", f"/p{i % 3}")).id for i in range(9)]
        elsewhere = store.put_file(other, io.BytesIO(b"x"), FilePut("f0"))
        assert [f.id for f in store.find_files(run)] == ids
        assert [f.id for f in store.find_files(other)] == [elsewhere.id]
        with pytest.raises(FileMissing):
            store.get_file(run, elsewhere.id)

    def test_a_record_can_be_changed(self, store: Store, second: Store, run: str) -> None:
        """Given fields replace, None keeps, the bytes stay."""
        record = store.put_file(run, io.BytesIO(b"x"), FilePut("f", description="old", tags=["a"], metadata={"m": 1}))
        assert store.update_file(run, record.id, FilePatch()).description == "old"
        changed = store.update_file(run, record.id, FilePatch(description="new", tags=[], metadata={"n": 2}))
        assert (changed.description, changed.tags, changed.metadata) == ("new", [], {"n": 2})
        assert (changed.id, changed.checksum, changed.uploaded_at) == (record.id, record.checksum, record.uploaded_at)
        assert same(second.find_files(run), [changed])
        assert contents(second, run, changed) == b"x"

    def test_a_deleted_file_is_missing(self, store: Store, second: Store, run: str) -> None:
        """Deleting tells when; after it the file is not listed, not read, not changed and not deleted again."""
        record = store.put_file(run, io.BytesIO(b"x"), FilePut("f"))
        kept = store.put_file(run, io.BytesIO(b"y"), FilePut("g"))
        assert store.update_file(run, record.id, FilePatch(deleted=True)).deleted_at is not None
        for handle in (store, second):
            assert [f.id for f in handle.find_files(run)] == [kept.id]
            with pytest.raises(FileMissing):
                handle.get_file(run, record.id)
            for patch in (FilePatch(description="x"), FilePatch(deleted=True)):
                with pytest.raises(FileMissing):
                    handle.update_file(run, record.id, patch)

    def test_unknown_files_are_missing(self, store: Store, run: str) -> None:
        """An id that nobody gave raises `FileMissing`, an id that is a path included."""
        for file in ("0" * 32, "../experiment.json", "..", ""):
            with pytest.raises(FileMissing):
                store.get_file(run, file)
            with pytest.raises(FileMissing):
                store.update_file(run, file, FilePatch(description="x"))

    def test_an_id_makes_a_put_repeatable(self, store: Store, second: Store, run: str) -> None:
        """The same id with the same content returns the stored record; with other content it is a `Conflict`."""
        put = FilePut("f", "/p", id="put-1", description="d")
        record = store.put_file(run, io.BytesIO(b"x"), put)
        assert record.id == "put-1"
        assert same(second.put_file(run, io.BytesIO(b"x"), put), record)
        with pytest.raises(Conflict):
            second.put_file(run, io.BytesIO(b"other"), put)
        assert same(store.find_files(run), [record])
        assert contents(store, run, record) == b"x"

    def test_a_late_retry_brings_nothing_back(self, store: Store, run: str) -> None:
        """A put that is retried after its file was replaced or deleted changes nothing, and says that it is deleted."""
        old = FilePut("f", id="put-1")
        store.put_file(run, io.BytesIO(b"old"), old)
        new = store.put_file(run, io.BytesIO(b"new"), FilePut("f", id="put-2"))
        assert store.put_file(run, io.BytesIO(b"old"), old).deleted_at is not None
        assert same(store.find_files(run), [new])
        store.update_file(run, new.id, FilePatch(deleted=True))
        assert store.put_file(run, io.BytesIO(b"new"), FilePut("f", id="put-2")).deleted_at is not None
        assert store.find_files(run) == []

    def test_a_checksum_is_held_to(self, store: Store, run: str) -> None:
        """Bytes that are not those which were announced are not stored; a retry of those that were need not be read."""
        put = FilePut("f", id="put-1", checksum=sha256(b"right").hexdigest())
        for wrong in (put, FilePut("f", checksum=put.checksum)):
            with pytest.raises(InvalidInput, match="sha256"):
                store.put_file(run, io.BytesIO(b"wrong"), wrong)
        for no_sum in ("", "0" * 63, "X" * 64, sha256(b"right").hexdigest().upper()):
            with pytest.raises(InvalidInput, match="checksum"):
                store.put_file(run, io.BytesIO(b"right"), FilePut("f", checksum=no_sum))
        assert store.find_files(run) == []
        record = store.put_file(run, io.BytesIO(b"right"), put)
        assert contents(store, run, record) == b"right"
        assert same(store.put_file(run, io.BytesIO(b"right"), put), record)
        with pytest.raises(Conflict):
            store.put_file(run, io.BytesIO(b"other"), FilePut("f", id="put-1", checksum=sha256(b"other").hexdigest()))

    @pytest.mark.parametrize("start", [0, 1000])
    def test_a_put_that_broke_goes_on(self, store: Store, second: Store, run: str, start: int) -> None:
        """However often it breaks, nothing is seen before its end, and then the file is whole: what the source had from where
        it stood. Other content under the same id has nothing of it."""
        content = random.Random(0).randbytes(9_500_000)
        put = FilePut("f", id="put-1", checksum=sha256(content[start:]).hexdigest())
        for fail_at, handle in ((100_000, store), (3_000_000, store), (2_000_000, second), (9_400_000, second)):
            with pytest.raises(OSError, match="the disk went away"):
                handle.put_file(run, Breaking(content, start, fail_at), put)
            assert store.find_files(run) == []
            with pytest.raises(FileMissing):
                store.get_file(run, "put-1")
        record = store.put_file(run, Breaking(content, start), put)
        assert (record.size_bytes, record.checksum) == (len(content) - start, put.checksum)
        assert contents(second, run, record) == content[start:]
        other = FilePut("g", id="put-2", checksum=sha256(content[::-1]).hexdigest())
        with pytest.raises(OSError, match="the disk went away"):
            store.put_file(run, Breaking(content[::-1], 0, 5_000_000), other)
        other = FilePut("g", id="put-2", checksum=sha256(content).hexdigest())
        assert contents(store, run, store.put_file(run, Breaking(content, 0), other)) == content
        assert [f.filename for f in store.find_files(run)] == ["f", "g"]

    @pytest.mark.parametrize(
        "put",
        [
            FilePut("f", ".."),
            FilePut("f", "/../up"),
            FilePut("f", "a/../../b"),
            FilePut("f", "nul\0"),
            FilePut(".."),
            FilePut("../f"),
            FilePut("/etc/passwd"),
            FilePut(""),
            FilePut("f", id="../up"),
            FilePut("f", id=".."),
            FilePut("f", id=""),
        ],
    )
    def test_hostile_names_are_refused(self, store: Store, run: str, put: FilePut) -> None:
        """Nothing that could point outside the run is a prefix, a filename or an id."""
        with pytest.raises(InvalidInput):
            store.put_file(run, io.BytesIO(b"x"), put)
        assert store.find_files(run) == []

    def test_odd_names_are_kept_as_given(self, store: Store, run: str, tmp_path: Path) -> None:
        """Prefixes and names come back as the user wrote them, those of our files and Windows' devices included."""
        names = [("/", "CON"), ("", "a%b"), ("a/b/", "größe 🎉.png"), ("/x", ".files_metadata.json"), ("/x", "dot.")]
        for prefix, name in names:
            store.put_file(run, io.BytesIO(name.encode()), FilePut(name, prefix))
        reopened = self.again(store, tmp_path)
        assert [(f.path, f.filename) for f in reopened.find_files(run)] == names
        for record in reopened.find_files(run):
            assert contents(reopened, run, record) == record.filename.encode()
        reopened.close()

    def test_many_threads_put_one_name(self, store: Store, second: Store, run: str) -> None:
        """Of files put at once under one name, one is left, whole; of those under others, all."""

        def put(thread: int) -> None:
            handle = [store, second][thread % 2]
            handle.put_file(run, io.BytesIO(str(thread).encode() * 1000), FilePut("same"))
            handle.put_file(run, io.BytesIO(b"x"), FilePut(f"own-{thread}"))

        in_threads(put)
        files = {record.filename: record for record in store.find_files(run)}
        assert sorted(files) == ["own-" + str(t) for t in range(THREADS)] + ["same"]
        left = contents(store, run, files["same"])
        assert left in [str(t).encode() * 1000 for t in range(THREADS)]


class StoreContract(
    RunContract,
    SeriesContract,
    AtomicityContract,
    ExactlyOnceContract,
    DescribeContract,
    ColumnsContract,
    FileContract,
):
    """The whole contract. See the module's text for how a store inherits it."""


# ---------------------------------------------------------------- threads


def in_threads(work: Callable[[int], Any], beside: Callable[[], Callable[[], None]] | None = None) -> list[Any]:
    """`work(thread)` in `THREADS` threads that start at one moment; their results. The first error of any is raised.

    `beside()` gives a check that two more threads repeat for as long as the others work, and once after.
    """
    ready, done = Barrier(THREADS), Event()

    def start(thread: int) -> Any:
        ready.wait()
        return work(thread)

    def look(check: Callable[[], None]) -> None:
        while not done.is_set():
            check()
        check()

    with ThreadPoolExecutor(THREADS + 2) as pool:
        workers = [pool.submit(start, thread) for thread in range(THREADS)]
        readers = [pool.submit(look, beside()) for _ in range(2)] if beside else []
        try:
            results = [worker.result() for worker in workers]
        finally:
            done.set()
        for reader in readers:
            reader.result()
    return results


def write_batches(store: Store, series: SeriesKey, thread: int) -> list[tuple[Appended, dict[str, Any]]]:
    """Append 15 batches of 1 … 5 rows that tell thread, batch, their number in it and its size."""
    answers = []
    for batch in range(15):
        row = {"thread": thread, "batch": batch, "of": 1 + (thread + batch) % 5}
        [appended] = store.append([Batch(series, [encode_row({**row, "row": r}) for r in range(row["of"])])])
        assert appended.count == row["of"]
        answers.append((appended, row))
    return answers


def watch(store: Store, series: SeriesKey) -> Callable[[], None]:
    """A check for a reader beside `write_batches`: the series never shrinks, has no hole, shows no batch in part."""
    seen = 0

    def check() -> None:
        nonlocal seen
        page = store.read(series, seen, None)
        assert page.total >= seen
        assert page.count == page.total - seen
        points = decode_page(page)
        assert [point["index"] for point in points] == list(range(seen, page.total))
        rows = [point["data"] for point in points]
        at = 0
        while at < len(rows):
            size = rows[at]["of"]
            assert [(r["thread"], r["batch"], r["row"]) for r in rows[at : at + size]] == [
                (rows[at]["thread"], rows[at]["batch"], r) for r in range(size)
            ]
            at += size
        seen = page.total

    return check


# ---------------------------------------------------------------- checks


def check_unknown(store: Store, run: str) -> None:
    """Assert that every call on the run `run` raises `NotFound`."""
    series = SeriesKey(run, METRICS, "loss")
    calls: list[Callable[[], object]] = [
        lambda: store.get_run(run),
        lambda: store.update_run(run, RunPatch(description="x")),
        lambda: store.delete_run(run),
        lambda: store.append([Batch(series, rows_of([1]))]),
        lambda: store.append([Batch(series, rows_of([1]), writer="w", seq=0)]),
        lambda: store.read(series, 0, None),
        lambda: store.columns(series, ["value"], 0, None),
        lambda: store.describe(run),
        lambda: store.put_file(run, io.BytesIO(b"x"), FilePut("f")),
        lambda: store.get_file(run, "0" * 32),
        lambda: store.find_files(run),
        lambda: store.update_file(run, "0" * 32, FilePatch(description="x")),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def check_ticks(page: Page) -> None:
    """Assert that the page's ticks rise and that each of its points has a time."""
    indices, times = [index for index, _ in page.ticks], [ms for _, ms in page.ticks]
    assert indices == sorted(set(indices))
    assert times == sorted(times)
    assert bool(page.ticks) or not page.count


def say(store: Store, run: str, **said_of_it: Any) -> None:
    """Say something of the metric "loss"."""
    store.update_run(run, RunPatch(series=(SeriesMeta(METRICS, "loss", **said_of_it),)))


def said(store: Store, run: str) -> tuple[str | None, list[str], str]:
    """What the run's only series says of itself."""
    info: SeriesInfo
    [info] = store.describe(run)
    return info.description, info.tags, repr(info.metadata)


def contents(store: Store, run: str, record: FileRecord) -> bytes:
    """The file's bytes, read in pieces of odd size; its record must be `record`."""
    stored, stream = store.get_file(run, record.id)
    with stream:
        assert same(stored, record)
        return b"".join(iter(lambda: stream.read(99_991), b""))


class Dribble(io.RawIOBase):
    """A source of bytes that gives a few thousand at a time, and raises `OSError` from `fail_at` on."""

    def __init__(self, content: bytes, fail_at: int | None = None) -> None:
        self._content = memoryview(content)
        self._at = 0
        self._fail_at = fail_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._fail_at is not None and self._at >= self._fail_at:
            raise OSError("the disk went away")
        piece = self._content[self._at : self._at + min(len(buffer), 7_919)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class Breaking(io.BytesIO):
    """A source that can seek, stands at `start`, and raises `OSError` once a read would go beyond `fail_at`."""

    def __init__(self, content: bytes, start: int, fail_at: int | None = None) -> None:
        super().__init__(content)
        self.seek(start)
        self._fail_at = fail_at

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        size = -1 if size is None or whole else min(size, 65_536)
        if self._fail_at is not None and (whole or self.tell() + size > self._fail_at):
            raise OSError("the disk went away")
        return super().read(size)


def dribble(content: bytes, fail_at: int | None = None) -> BinaryIO:
    """A `Dribble` by the type that stores take: anything with `read` will do."""
    return cast("BinaryIO", Dribble(content, fail_at))


def sampled_rows() -> list[dict[str, Any]]:
    """240 rows of which some have no number, and some have one that is not finite."""
    odd: list[dict[str, Any]] = [
        {"value": math.nan},
        {"value": math.inf},
        {"value": -math.inf},
        {"value": "1"},
        {"value": None},
        {},
        {"value": True},
        {"value": 2**70},
    ]
    rng = random.Random(1)
    rows = []
    for i in range(240):
        row = dict(odd[i % 8]) if i % 11 == 0 else {"value": rng.choice((rng.uniform(-1, 1), rng.randint(-9, 9)))}
        rows.append(row if i % 13 == 0 else {**row, "epoch": i / 10})
    return rows


COLUMNS: dict[str, list[Any]] = {
    "int": [*range(-12, 12)],
    "float": [n / 7 for n in range(24)],
    "bool": [n % 3 == 0 for n in range(24)],
    "text": [*"abcdefghijklmnopqrstuvwx"],
    "edges": [-(2**63), 2**63 - 1] * 12,
    "beyond": [2**63, 1, -(2**70), 2**53 + 1] * 6,
    "far beyond": [10**400, -(10**400), 0.5, 3] * 6,
    "not finite": [math.nan, math.inf, -math.inf, -0.0] * 6,
    "mixed": [2**53 + 1, 0.5, 3, 1e300] * 6,
    "seldom": [7, ..., ..., 2**62 + 1] * 6,
    "seldom, half": [..., 0.5, ..., math.nan] * 6,
    "null": [0.5, None] * 12,
    "nulls": [None] * 24,
    "looks like": ["NaN", math.nan] * 12,
    "bool or int": [True, 1] * 12,
    "bool or nothing": [True, ..., False] * 8,
    "nested": [[1], {"a": 1}, 1] * 8,
    "int, float": [*range(8), *[0.5] * 8, *range(8)],
    "late": [...] * 8 + [*range(16)],
    "early": [*range(8), *[...] * 16],
    "late beyond": [*range(16), *[2**64] * 8],
    "late bool": [...] * 16 + [True] * 8,
    "bool, int": [True] * 8 + [1] * 16,
    "late text": [*range(16), *["x"] * 8],
    "": [*range(24)],
    "index": [*range(24)],
    'a "quoted" \\ %b, ключ&=+': [0.25] * 24,
    "a\nline": [1] * 24,
}
"""Field → its values, `...` where a row has none."""


def column_rows() -> list[bytes]:
    """The rows of `COLUMNS`."""
    return [
        encode_row({name: values[at] for name, values in COLUMNS.items() if values[at] is not ...}) for at in range(24)
    ]


def column_pages(
    store: Store, series: SeriesKey, fields: list[str], start: int, stop: int | None
) -> Iterator[ColumnsPage]:
    """All pages of a range, each with a point at least; one without, where the range has none."""
    while True:
        page = store.columns(series, fields, start, stop)
        yield page
        assert page.start == start
        start += page.count
        if start >= (page.total if stop is None else min(stop, page.total)):
            return
        assert page.count


def check_columns(
    store: Store,
    series: SeriesKey,
    fields: list[str],
    start: int,
    stop: int | None,
    total: int,
    cuts: Sequence[int] = (),
) -> None:
    """Assert that the columns of [start, stop), asked for at once or cut there, are those of the values in `COLUMNS` (of
    ``value``, the index), and have the times of the rows."""
    ends = [*cuts, stop]
    pages = [
        page
        for at, end in zip([start, *cuts], ends, strict=True)
        for page in column_pages(store, series, fields, at, end)
    ]
    values = COLUMNS | {"value": [*range(total)], "nobody": [...] * total}
    for page in pages:
        assert (page.total, list(page.columns)) == (total, list(dict.fromkeys(fields)))
        for name, column in page.columns.items():
            assert shown(column) == by_kinds(values[name][page.start : page.start + page.count]), name
        read = store.read(series, page.start, page.count)
        assert read.count == page.count
        times = [spread(ticks, page.start, page.count).tolist() for ticks in (page.ticks, ticks_of(read))]
        assert times[0] == times[1]
    for name in fields:
        assert shown(joined([page.columns[name] for page in pages])) == by_kinds(values[name][start:stop]), name


def shown(column: Any) -> tuple[str, str] | None:
    """Type and values of an array; NaN and -0.0 are seen."""
    return None if column is None else (column.dtype.name, repr(column.tolist()))


def by_kinds(values: list[Any]) -> tuple[str, str] | None:
    """What `shown` tells of the column with these values, by the rules of `ColumnsPage`."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "bool", repr(values)
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return "int64", repr(values)
    if kinds <= {type(...)}:
        return "object", repr([None] * len(values))
    if kinds <= {int, float, type(...)}:
        return "float64", repr([math.nan if value is ... else as_float(value) for value in values])
    return None


def as_float(value: float) -> float:
    """The nearest float, an infinity for what is beyond."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_sample(
    sample: Sample, rows: list[dict[str, Any]], x: str | None, start: int, stop: int, max_points: int
) -> None:
    """Assert that `sample` is what [start, stop) of `rows` gives by hand."""
    spans = list(zip(sample.start.tolist(), sample.stop.tolist(), strict=True))
    covered = [index for first, last in spans for index in range(first, last)]
    assert covered == list(range(start, stop))
    assert all(first < last for first, last in spans)
    assert len(spans) <= max_points
    if stop - start <= max_points:
        assert len(spans) == max(stop - start, 0)
    columns = sample.to_dict()
    for bucket, (first, last) in enumerate(spans):
        expected = by_hand(rows, x, first, last)
        mean = expected.pop("mean")
        assert same({name: columns[name][bucket] for name in expected}, expected)
        assert columns["mean"][bucket] == pytest.approx(mean, nan_ok=True)


def by_hand(rows: list[dict[str, Any]], x: str | None, start: int, stop: int) -> dict[str, Any]:
    """One bucket, counted row by row."""
    numbers = [(i, float(v)) for i in range(start, stop) if isinstance(v := rows[i].get("value"), (int, float))]
    finite = [(i, v) for i, v in numbers if math.isfinite(v)]
    xs = [rows[i]["epoch"] for i in range(start, stop) if "epoch" in rows[i]] if x else [start, stop - 1]
    low, high = ((min if sign > 0 else max)(finite, key=lambda p: p[1], default=(-1, math.nan)) for sign in (1, -1))
    return {
        "x_min": float(min(xs, default=math.nan)),
        "x_max": float(max(xs, default=math.nan)),
        "count": len(finite),
        "nan": sum(math.isnan(v) for _, v in numbers),
        "posinf": sum(v == math.inf for _, v in numbers),
        "neginf": sum(v == -math.inf for _, v in numbers),
        "min": low[1],
        "max": high[1],
        "argmin": low[0],
        "argmax": high[0],
        "first": finite[0][1] if finite else math.nan,
        "last": finite[-1][1] if finite else math.nan,
        "mean": sum(v for _, v in finite) / len(finite) if finite else math.nan,
    }
