"""The uploader against a store that fails in every way: what is in the folder gets there once, in order, whatever happens."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ml_dash import codec
from ml_dash.errors import InvalidInput, InvalidRow, Unavailable
from ml_dash.model import (
    EVENTS,
    LOGS,
    METRICS,
    Appended,
    Batch,
    FilePatch,
    FilePut,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesKey,
    SeriesMeta,
)
from ml_dash.store import events
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from ml_dash.store.sent import FOLDER
from ml_dash.store.spooled import SpooledStore
from ml_dash.store.uploader import Left, Stopped, Uploader

KEY = RunKey("", "project", "run")
SERVER = "http://localhost:3000"
SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
CALLS = ("put_run", "update_run", "append", "put_file", "update_file")


class Failing(MemoryStore):
    """A server that fails when told to: before the effect, or after it, so that its answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []
        """What happens to the next calls: "ok", "before" or "after"."""
        self.calls: list[str] = []
        self.refuse: Callable[[Batch], None] = lambda _batch: None
        self.inside = False

    def _does(self, name: str, call: Callable[[], Any]) -> Any:
        if self.inside:  # MemoryStore calling itself
            return call()
        self.inside = True
        try:
            return self._happens(name, call)
        finally:
            self.inside = False

    def _happens(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        what = self.plan.pop(0) if self.plan else "ok"
        if what == "before":
            raise Unavailable("the network is down")
        answer = call()
        if what == "after":
            raise Unavailable("the answer was lost")
        return answer

    def put_run(self, *a: Any) -> Any:
        return self._does("put_run", lambda: super(Failing, self).put_run(*a))

    def update_run(self, *a: Any) -> Any:
        return self._does("update_run", lambda: super(Failing, self).update_run(*a))

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        for batch in batches:
            self.refuse(batch)
        answer: list[Appended] = self._does("append", lambda: super(Failing, self).append(batches))
        return answer

    def put_file(self, *a: Any) -> Any:
        return self._does("put_file", lambda: super(Failing, self).put_file(*a))

    def update_file(self, *a: Any) -> Any:
        return self._does("update_file", lambda: super(Failing, self).update_file(*a))


def rows(*values: Any) -> list[bytes]:
    return codec.encode_rows([{"value": value} for value in values])


def values(store: Store, run: str, name: str, kind: str = METRICS) -> list[Any]:
    points = codec.decode_page(store.read(SeriesKey(run, kind, name), 0, None))
    return [point["message"] if kind == LOGS else point["data"].get("value", "-") for point in points]


def told(store: Store, run: str) -> dict[str, Any]:
    """What a run is, without ids and times that are a store's own."""
    found = store.get_run(run)
    return {
        "status": found.status,
        "params": found.params,
        "tags": found.tags,
        "attempts": [(a.id, a.host, a.pid, a.status) for a in found.attempts],
        "series": [(i.kind, i.name, i.count, i.description, i.last) for i in store.describe(run)],
        "log": values(store, run, "", LOGS),
        "files": [(f.id, f.filename, f.checksum, f.description) for f in store.find_files(run)],
    }


def drain(uploader: Uploader, tries: int = 200) -> None:
    for _ in range(tries):
        try:
            if not uploader.step() and not uploader.left():
                return
        except Unavailable:
            continue
    raise AssertionError(uploader.left())


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ml-dash-up-", dir=SHM))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def spool(place: Path) -> Iterator[LocalStore]:
    spool = LocalStore(place)
    yield spool
    spool.close()


@pytest.fixture
def server() -> Failing:
    return Failing()


def logged(spool: LocalStore, count: int = 25) -> str:
    """A run that was kept in its folder alone, with something of everything."""
    run = spool.put_run(KEY, RunPatch(join="a", tags=["x"], params={"lr": 0.1, "deep.er": "NaN"})).id
    for n in range(count):
        spool.append([Batch(SeriesKey(run, METRICS, "train/loss"), rows(n))])
    spool.append([Batch(SeriesKey(run, METRICS, "acc"), rows(*range(count)))])
    spool.append([Batch(SeriesKey(run, LOGS, ""), codec.encode_rows([{"level": "info", "message": "hello"}]))])
    spool.update_run(run, RunPatch(series=(SeriesMeta(METRICS, "acc", "accuracy"),)))
    spool.put_file(run, io.BytesIO(b"weights" * 1000), FilePut("model.bin", "/models", "the best"))
    spool.update_run(run, RunPatch(leave="a", status="FAILED"))
    return run


def check_same(spool: LocalStore, run: str, server: MemoryStore) -> None:
    [there] = MemoryStore.find_runs(server, RunQuery())
    assert told(server, there.id) == told(spool, run)
    for info in spool.describe(run):
        key = SeriesKey(run, info.kind, info.name)
        assert server.read(key._replace(run=there.id), 0, None).lines == spool.read(key, 0, None).lines


def test_a_folder_that_never_heard_of_a_server(spool: LocalStore, server: Failing) -> None:
    """All of a run that was kept locally gets there, and twice changes nothing."""
    run = logged(spool)
    for _ in range(2):
        drain(Uploader(spool, spool.get_run(run), server, SERVER))
        check_same(spool, run, server)
    calls = len(server.calls)
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    assert server.calls[calls:] == ["put_run"]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_every_call_fails_once(spool: LocalStore, server: Failing, fault: str) -> None:
    """Whichever call fails, and whether or not it had its effect: the same comes of it."""
    run = logged(spool)
    drain(Uploader(spool, spool.get_run(run), server, SERVER, points=7, size=300))
    total = len(server.calls)
    assert set(server.calls) >= {"put_run", "update_run", "append", "put_file"}
    for number in range(total):
        again = Failing()
        again.plan = ["ok"] * number + [fault]
        shutil.rmtree(os.path.join(spool.folder(run).path, FOLDER))
        drain(Uploader(spool, spool.get_run(run), again, SERVER, points=7, size=300))
        check_same(spool, run, again)


def test_a_plain_run_that_goes_on_is_sent_on(spool: LocalStore, server: Failing) -> None:
    """What a local process changes after a sync, without a word to any uploader, is found by the next one."""
    run = logged(spool)
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    [file] = spool.find_files(run)
    spool.put_run(KEY, RunPatch(join="b", params={"lr": 0.2}, tags=["y"]))
    spool.update_file(run, file.id, FilePatch(description="the second best"))
    spool.append([Batch(SeriesKey(run, METRICS, "acc"), rows("more"))])
    spool.update_run(run, RunPatch(leave="b", status="COMPLETED"))
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    check_same(spool, run, server)
    spool.update_file(run, file.id, FilePatch(deleted=True))
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    check_same(spool, run, server)
    assert server.find_files(server.find_runs(RunQuery())[0].id) == []


def test_a_run_that_was_archived_here_is_archived_there_until_that_is_taken_back(
    spool: LocalStore, server: Failing
) -> None:
    """What is done here is sent; what only the server did stays as it is there."""
    run = logged(spool)
    for here, there in ((None, False), (True, True), (False, False), (None, True)):
        if here is None and there:
            server.update_run(server.find_runs(RunQuery())[0].id, RunPatch(archived=True))
        spool.update_run(run, RunPatch(archived=here))
        drain(Uploader(spool, spool.get_run(run), server, SERVER))
        assert server.find_runs(RunQuery())[0].archived is there


def test_the_end_comes_after_its_rows(spool: LocalStore, server: Failing) -> None:
    """Nobody sees a run ended who does not see all its rows."""
    run = logged(spool, 300)
    uploader = Uploader(spool, spool.get_run(run), server, SERVER, points=50)
    while uploader.step():
        [there] = server.find_runs(RunQuery())
        if there.status != "RUNNING":
            assert len(values(server, there.id, "train/loss")) == 300
    assert server.find_runs(RunQuery())[0].status == "FAILED"


def test_changes_are_merged(spool: LocalStore, server: Failing) -> None:
    """A thousand settings of parameters are a few requests."""
    store = SpooledStore(spool, server, SERVER)
    run = store.put_run(KEY, RunPatch(join="a")).id
    for n in range(1000):
        store.update_run(run, RunPatch(params={f"p{n % 10}": n}))
    store.flush()
    assert server.find_runs(RunQuery())[0].params == {f"p{n}": 990 + n for n in range(10)}
    assert server.calls.count("update_run") < 200
    store.close()


def test_a_refused_row_does_not_block_what_follows(spool: LocalStore, server: Failing, place: Path) -> None:
    """A row that the server will never take is kept with its reason; an empty one stands in its place there."""
    run = logged(spool, 10)

    def refuse(batch: Batch) -> None:
        for at, row in enumerate(batch.rows):
            if row == rows(4)[0]:
                raise InvalidRow("four is not allowed", 0, at)

    server.refuse = refuse
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    drain(uploader)
    there = server.find_runs(RunQuery())[0].id
    assert values(server, there, "train/loss") == [0, 1, 2, 3, "-", 5, 6, 7, 8, 9]
    letters = [json.loads(line) for line in Path(uploader.refused_path).read_text().splitlines()]
    assert {(x["series"], x["index"], x["reason"], x["row"]["value"]) for x in letters} == {
        ("metrics/train/loss", 4, "four is not allowed", 4),
        ("metrics/acc", 4, "four is not allowed", 4),
    }
    spool.append([Batch(SeriesKey(run, METRICS, "train/loss"), rows(10))])
    drain(uploader)
    assert values(server, there, "train/loss")[-1] == 10
    for path in (place / "project" / "run" / FOLDER).glob("*.json"):
        if path.name != "writer.json":
            path.unlink()
    drain(Uploader(spool, spool.get_run(run), server, SERVER))  # sends all again, and refuses nothing anew
    assert values(server, there, "train/loss") == [0, 1, 2, 3, "-", 5, 6, 7, 8, 9, 10]
    assert len(Path(uploader.refused_path).read_text().splitlines()) == len(letters) == 2


def test_a_refused_change_does_not_take_others_with_it(spool: LocalStore, server: Failing) -> None:
    """Of changes that were merged into one request, only the one that the server refuses is put aside."""
    server.put_run(KEY, RunPatch(params={"a": 1}))
    store = SpooledStore(spool, server, SERVER)
    run = spool.put_run(KEY, RunPatch()).id
    for params in ({"b": 1}, {"a.deep": 2}, {"c": 3}):
        spool.append([Batch(SeriesKey(run, EVENTS, ""), [events.row(events.Change(patch=RunPatch(params=params)))])])
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    drain(uploader)
    [there] = server.find_runs(RunQuery())
    assert there.params == {"a": 1, "b": 1, "c": 3}
    [letter] = [json.loads(line) for line in Path(uploader.refused_path).read_text().splitlines()]
    assert letter["row"]["patch"]["params"] == {"a.deep": 2}
    assert "cannot both be set" in letter["reason"]
    store.close()


def test_a_server_that_was_set_back_gets_what_it_lacks(spool: LocalStore, server: Failing) -> None:
    """A server restored from a copy of last week has the same run with less in it: what is missing is sent again."""
    run = logged(spool, 10)
    key = SeriesKey(run, METRICS, "acc")
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    copy = deepcopy({name: value for name, value in vars(server).items() if name != "_lock" and name != "refuse"})
    spool.append([Batch(key, rows(*range(10, 20)))])
    spool.update_run(run, RunPatch(params={"late": 1}))
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    drain(uploader)
    vars(server).update(copy)
    spool.append([Batch(key, rows(20))])
    drain(uploader)
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    check_same(spool, run, server)


def test_what_was_set_back_is_not_forgotten_by_the_record(
    spool: LocalStore, server: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is written after each step, as beside a slow server: it goes back where the server went back."""
    monkeypatch.setattr("ml_dash.store.uploader._SAVE", -1.0)
    run = logged(spool, 10)
    key = SeriesKey(run, METRICS, "acc")
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    copy = deepcopy({name: value for name, value in vars(server).items() if name not in ("_lock", "refuse")})
    spool.append([Batch(key, rows(*range(10, 20)))])
    spool.update_run(run, RunPatch(params={"late": 1}))
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    vars(server).update(copy)
    spool.append([Batch(key, rows(20))])
    drain(Uploader(spool, spool.get_run(run), server, SERVER), 20)
    check_same(spool, run, server)


def test_a_batch_that_is_too_large_is_halved(spool: LocalStore, server: Failing) -> None:
    """Where a proxy takes small bodies only, and does not say which row is at fault, smaller ones are sent."""
    run = logged(spool, 100)

    def refuse(batch: Batch) -> None:
        if len(batch.rows) > 3:
            raise InvalidInput("413")

    server.refuse = refuse
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    drain(uploader, 2000)
    check_same(spool, run, server)
    assert not os.path.exists(uploader.refused_path)


def test_a_copied_folder_that_went_its_own_way(spool: LocalStore, server: Failing, place: Path) -> None:
    """Two folders with one writer's id: the first wins, the second is stopped with the way out, and nothing is doubled."""
    run = logged(spool, 5)
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    spool.close()
    shutil.copytree(place, f"{place}-copy")
    try:
        copy = LocalStore(f"{place}-copy")
        series = SeriesKey(run, METRICS, "acc")
        spool.append([Batch(series, rows("a", "b"))])
        copy.append([Batch(series, rows("x", "y", "z"))])
        drain(Uploader(spool, spool.get_run(run), server, SERVER))
        uploader = Uploader(copy, copy.get_run(run), server, SERVER)
        with pytest.raises(Stopped, match="--as NAME"):
            drain(uploader)
        assert values(server, server.find_runs(RunQuery())[0].id, "acc") == [0, 1, 2, 3, 4, "a", "b"]
        drain(Uploader(copy, copy.get_run(run), server, SERVER, name="other"))
        [other] = [r for r in server.find_runs(RunQuery()) if r.key.name == "other"]
        assert values(server, other.id, "acc") == [0, 1, 2, 3, 4, "x", "y", "z"]
        copy.close()
    finally:
        shutil.rmtree(f"{place}-copy")


@pytest.mark.parametrize("ahead", [3, 15, 16, 17, 40, 500])
def test_a_copy_that_fell_behind_is_found_out(spool: LocalStore, server: Failing, place: Path, ahead: int) -> None:
    """The original has sent `ahead` rows since it was copied, the copy has some of its own under the same numbers: however few
    of them the server remembers, none is taken for one that it has; also where somebody else writes to the series."""
    run = logged(spool, 5)
    series = SeriesKey(run, METRICS, "acc")
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    there = server.find_runs(RunQuery())[0].id
    server.append([Batch(series._replace(run=there), rows("somebody", "else"))])
    spool.close()
    shutil.copytree(place, f"{place}-copy")
    try:
        copy = LocalStore(f"{place}-copy")
        spool.append([Batch(series, rows(*(f"original {n}" for n in range(ahead))))])
        copy.append([Batch(series, rows("x", "y"))])
        drain(Uploader(spool, spool.get_run(run), server, SERVER))
        before = values(server, there, "acc")
        with pytest.raises(Stopped, match="--as NAME"):
            drain(Uploader(copy, copy.get_run(run), server, SERVER))
        assert values(server, there, "acc") == before
        copy.close()
    finally:
        shutil.rmtree(f"{place}-copy")


def test_a_folder_that_was_moved_goes_on(spool: LocalStore, server: Failing, place: Path) -> None:
    """A moved folder, and one whose record of what was sent is an old one, are not copies that went their own way."""
    run = logged(spool, 5)
    series = SeriesKey(run, METRICS, "acc")
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    record = next(path for path in (place / "project/run" / FOLDER).glob("*.json") if path.name != "writer.json")
    old = record.read_bytes()
    for n in range(60):
        spool.append([Batch(series, rows(n, -n))])
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    spool.close()
    record.write_bytes(old)
    shutil.copytree(place, f"{place}-moved")
    try:
        moved = LocalStore(f"{place}-moved")
        moved.append([Batch(series, rows("on"))])
        drain(Uploader(moved, moved.get_run(run), server, SERVER))
        check_same(moved, run, server)
        moved.close()
    finally:
        shutil.rmtree(f"{place}-moved")


def test_a_run_that_was_deleted_at_the_server(spool: LocalStore, server: Failing) -> None:
    """Whoever sends is stopped and told; a new uploader makes the run anew, with all that is in the folder."""
    run = logged(spool, 5)
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    drain(uploader)
    server.delete_run(server.find_runs(RunQuery())[0].id)
    spool.append([Batch(SeriesKey(run, METRICS, "acc"), rows("late"))])
    with pytest.raises(Stopped, match="deleted at the server"):
        drain(uploader)
    drain(Uploader(spool, spool.get_run(run), server, SERVER))
    check_same(spool, run, server)


def test_two_folders_for_one_run(spool: LocalStore, server: Failing, place: Path) -> None:
    """Two machines log to one run: each one's rows are there once, in its own order; neither is alone any more."""
    other = LocalStore(place / "elsewhere")
    runs = [logged(spool, 10), other.put_run(KEY, RunPatch(join="far", params={"far": 1})).id]
    other.append([Batch(SeriesKey(runs[1], METRICS, "acc"), rows("x", "y"))])
    both = [Uploader(s, s.get_run(r), server, SERVER) for s, r in zip((spool, other), runs, strict=True)]
    for uploader in both * 2:
        drain(uploader)
    other.append([Batch(SeriesKey(runs[1], METRICS, "acc"), rows("z"))])
    spool.append([Batch(SeriesKey(runs[0], METRICS, "acc"), rows("end"))])
    for uploader in both:
        drain(uploader)
    [there] = server.find_runs(RunQuery())
    found = values(server, there.id, "acc")
    assert [v for v in found if v in ("x", "y", "z")] == ["x", "y", "z"]
    assert [v for v in found if v not in ("x", "y", "z")] == [*range(10), "end"]
    assert there.params == {"lr": 0.1, "deep.er": "NaN", "far": 1}
    assert not both[1].alone
    other.close()


def test_what_is_left_is_told(spool: LocalStore, server: Failing) -> None:
    """Points and changes that are not acknowledged; nothing once they are."""
    run = logged(spool, 10)
    uploader = Uploader(spool, spool.get_run(run), server, SERVER)
    server.plan = ["before"]
    with pytest.raises(Unavailable):
        uploader.step()
    assert uploader.left() == Left(21, 0)
    drain(uploader)
    assert uploader.left() == Left(0, 0)
    assert not uploader.left()


@pytest.mark.parametrize("patch", [RunPatch(params={"a": 1.5}), RunPatch(leave="x", status="FAILED", at=5, first={})])
def test_a_change_is_a_row_and_back(patch: RunPatch) -> None:
    """A change survives being a row of the events series."""
    change = events.Change(patch=patch)
    assert events.parse(codec.decode_row(events.row(change))) == change


def test_merging_has_the_effect_of_one_after_the_other() -> None:
    """merged(a, b) applied is a applied, then b applied."""
    a = RunPatch(join="one", host="h", pid=1, at=2, tags=["a"], params={"x": 1, "y": 1}, folder="f")
    b = RunPatch(tags=["b"], params={"x": 2}, metadata={"m": 1})
    both = events.merged(a, b)
    assert both == RunPatch(
        join="one", host="h", pid=1, at=2, tags=["b"], params={"x": 2, "y": 1}, folder="f", metadata={"m": 1}
    )
    assert events.merged(b, a) == RunPatch(
        join="one", host="h", pid=1, at=2, tags=["a"], params={"x": 1, "y": 1}, folder="f", metadata={"m": 1}
    )
    assert events.merged(a, RunPatch(join="two")) is None
    assert events.merged(b, RunPatch(leave="one", status="FAILED")) is None
    assert events.merged(RunPatch(status="FAILED"), b) is None


class Sending(RuleBasedStateMachine):
    """A run that is written, by two processes' stores, while uploaders come, fail, die and come again."""

    @initialize()
    def begin(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="ml-dash-sending-", dir=SHM))
        self.spool = LocalStore(self.place)
        self.server = Failing()
        self.run = self.spool.put_run(KEY, RunPatch(join="a0")).id
        self.attempts = 1
        self.number = 0
        self.uploaders = [self.uploader()]

    def uploader(self) -> Uploader:
        return Uploader(self.spool, self.spool.get_run(self.run), self.server, SERVER, points=5, size=200)

    @rule(name=st.sampled_from(["a", "b/c"]), count=st.integers(1, 12))
    def append(self, name: str, count: int) -> None:
        numbers = range(self.number, self.number + count)
        self.number += count
        self.spool.append([Batch(SeriesKey(self.run, METRICS, name), rows(*numbers))])

    @rule(key=st.sampled_from("pqr"), value=st.integers(), says=st.booleans())
    def set_params(self, key: str, value: int, says: bool) -> None:
        patch = RunPatch(params={key: value})
        self.spool.update_run(self.run, patch)
        if says:
            row = events.row(events.Change(patch=patch))
            self.spool.append([Batch(SeriesKey(self.run, EVENTS, ""), [row])])

    @rule()
    def restart(self) -> None:
        self.spool.update_run(self.run, RunPatch(leave=f"a{self.attempts - 1}", status="COMPLETED"))
        self.spool.put_run(KEY, RunPatch(join=f"a{self.attempts}"))
        self.attempts += 1

    @rule(name=st.sampled_from(["x", "y"]), content=st.binary(max_size=20))
    def put_file(self, name: str, content: bytes) -> None:
        self.spool.put_file(self.run, io.BytesIO(content), FilePut(name))

    @rule(plan=st.lists(st.sampled_from(["ok", "before", "after"]), max_size=6))
    def fail(self, plan: list[str]) -> None:
        self.server.plan = plan

    @rule(which=st.integers(0, 1), steps=st.integers(1, 4))
    def step(self, which: int, steps: int) -> None:
        for _ in range(steps):
            try:
                self.uploaders[which % len(self.uploaders)].step()
            except Unavailable:
                pass

    @rule()
    def die(self) -> None:
        """An uploader is gone with what it knew and had not saved; another begins from the folder."""
        self.uploaders = [self.uploader(), *self.uploaders[:1]]

    @rule()
    def lose_the_record(self) -> None:
        for path in (self.place / "project" / "run" / FOLDER).glob("*.json"):
            if path.name != "writer.json":
                path.unlink()
        self.uploaders = [self.uploader()]

    @invariant()
    def what_is_there_is_a_beginning(self) -> None:
        if not hasattr(self, "server"):
            return
        for there in self.server.find_runs(RunQuery()):
            for name in ("a", "b/c"):
                mine = values(self.spool, self.run, name)
                found = values(self.server, there.id, name)
                assert found == mine[: len(found)]

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            self.server.plan = []
            drain(self.uploader(), 2000)
            check_same(self.spool, self.run, self.server)
        finally:
            self.spool.close()
            shutil.rmtree(self.place)


TestSending = Sending.TestCase
TestSending.settings = settings(settings.get_profile("ci"), max_examples=40, stateful_step_count=25)
