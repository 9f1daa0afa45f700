"""Housekeeping: what is done now and then beside users' calls, how often and by whom, and that nothing of it is lost or done for ever."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from pymongo.collection import Collection

from ml_dash.errors import NotFound, Unavailable
from ml_dash.model import METRICS, Batch, FilePut, Run, RunKey, RunPatch, SeriesKey, SeriesMeta
from ml_dash.store import commit, file_strays, wire
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import EPOCH
from ml_dash.store.housekeeping import Chore, Housekeeping
from ml_dash.store.memory import MemoryStore
from ml_dash.store.tier_keys import LAST, place, record_key, series_id
from ml_dash.store.tiered import TieredStore
from ml_dash.testing import contents, in_threads
from tests.tiered.runs_and_files import RunsAndFiles
from tests.tiered.shop import Shop
from tests.tiered.tiers import Tiers

KB = 1 << 10
SECONDS = 60.0
"""A machine's slowness is no failure."""


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failing(*bad: int) -> Callable[[int], None]:
    """Does every item but those."""

    def do(item: int) -> None:
        if item in bad:
            raise Unavailable(f"no {item}", 1.0)

    return do


# ---------------------------------------------------------------- chores


def test_one_failure_keeps_nothing_else_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    """Neither an item that fails nor items that cannot be found; it is told once, and once more when it works again."""
    caplog.set_level(logging.INFO, "ml_dash.store")
    done: list[object] = []
    bad = [2]

    def do(item: int) -> None:
        failing(*bad)(item)
        done.append(item)

    def broken() -> Iterator[int]:
        yield 7
        raise Unavailable("the rest is not found", 1.0)

    chores = (
        Chore("a", lambda: [1, 2, 3], do),
        Chore("b", broken, done.append),
        Chore("c", lambda: ["last"], done.append),
    )
    housekeeping = Housekeeping(chores)
    for _ in range(3):
        housekeeping.run_once()
    assert done == [1, 3, 7, "last"] * 3
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["a", "b"]
    bad.clear()
    housekeeping.run_once()
    assert caplog.records[-1].getMessage() == "a: works again"


def test_the_thread_goes_on_and_ends_between_two_items() -> None:
    """Whatever an item raises; closing does not wait for the items that are left."""
    done, reached, go = [0], threading.Event(), threading.Event()

    def do(item: int) -> None:
        done[0] += 1
        if done[0] == 1:
            raise ValueError
        if done[0] == 3:
            reached.set()
            go.wait(SECONDS)

    housekeeping = Housekeeping([Chore("a", lambda: iter(range(1000)), do)], every=0.01)
    housekeeping.start()
    assert reached.wait(SECONDS)
    closing = threading.Thread(target=housekeeping.close)
    closing.start()
    until(housekeeping._ended.is_set)
    go.set()
    closing.join()
    assert done == [3]


def test_a_store_does_it_from_its_first_rows_on(tiers: Tiers) -> None:
    """On a thread of its own, which ends with the store."""
    store = tiers.store(archive=True)
    store.housekeeping._every = 0.02
    gone, run = (store.put_run(RunKey("", "project", name), RunPatch()).id for name in ("gone", "run"))
    store._runs.bury(gone)
    store.append([Batch(SeriesKey(run, METRICS, "loss"), [b'{"value":1}'])])
    try:
        until(lambda: "emptied" in (store.hot.runs.find_one({"_id": gone}) or {}))
    finally:
        store.close()
    assert not [one for one in threading.enumerate() if one.name == "ml-dash-housekeeping"]


def test_what_one_process_does_is_claimed_by_one(tiers: Tiers) -> None:
    """However many ask at once; the next time once its time has come, by the database's clock."""
    hots = [Hot(tiers.uri) for _ in range(3)]
    assert sum(in_threads(lambda thread: hots[thread % 3].claim("listing", 3600.0))) == 1
    assert not hots[0].claim("listing", 3600.0)
    assert hots[0].claim("other", 3600.0)
    hots[0].db["chores"].update_one({"_id": "listing"}, {"$set": {"next": EPOCH}})
    assert [hot.claim("listing", 3600.0) for hot in hots] == [True, False, False]
    for hot in hots:
        hot.close()


def test_files_are_listed_once_an_hour_by_one_of_all(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[int] = []
    stores = [tiers.store() for _ in range(2)]
    for at, store in enumerate(stores):

        def find(at: int = at) -> list[object]:
            listed.append(at)
            return []

        monkeypatch.setattr(store._strays, "find", find)
    for _ in range(3):
        for store in stores:
            store.tend()
    assert listed == [0]
    for store in stores:
        store.close()


# ---------------------------------------------------------------- records of runs


def kept(store: TieredStore, run: str) -> Run:
    return wire.load(store.cold.get(record_key(run)), Run)


@pytest.fixture
def store(tiers: Tiers) -> Iterator[TieredStore]:
    store = tiers.store()
    yield store
    store.close()


@pytest.fixture
def run(store: TieredStore) -> str:
    return store.put_run(RunKey("", "project", "run"), RunPatch()).id


def said(text: str) -> RunPatch:
    return RunPatch(series=(SeriesMeta(METRICS, "loss", description=text),))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("patch", [said("new"), RunPatch(params={"new": 1})])
def test_a_change_while_a_record_is_kept_is_kept_as_well(
    store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch, patch: RunPatch, *, before: bool
) -> None:
    """Also what is said of a series, which is no part of the run's own record; and also the first time that one is kept."""
    if before:
        store.keep_record(run)
        store.update_run(run, RunPatch(tags=["changed"]))
    put = store.cold.put

    def changes(key: str, data: bytes) -> None:
        monkeypatch.setattr(store.cold, "put", put)
        store.update_run(run, patch)
        put(key, data)

    monkeypatch.setattr(store.cold, "put", changes)
    store.keep_record(run)
    store.tend()
    record = kept(store, run)
    assert record.params == patch.params or record.series
    assert [info.description for info in record.series or ()] == [meta.description for meta in patch.series]
    assert store._runs.stale() == []


@pytest.mark.parametrize("first", ["newer", "older"])
def test_an_older_record_that_comes_late_does_not_stay(
    store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Of two that keep at once the slower one may put what it read over what is newer, whichever says first that it is done."""
    old = store._runs.unkept(run)
    assert old is not None
    store.update_run(run, RunPatch(params={"new": 1}))
    put, say = store.cold.put, store._runs.kept

    def overtaken(key: str, data: bytes) -> None:
        put(key, data)
        put(key, wire.dump(old.run))
        if first == "older":
            assert say(old)

    monkeypatch.setattr(store.cold, "put", overtaken)
    store.keep_record(run)
    monkeypatch.setattr(store.cold, "put", put)
    if first == "newer":
        assert say(old)
    store.tend()
    assert kept(store, run).params == {"new": 1}


def test_a_word_about_a_series_costs_a_patch_one_more_try(
    store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else: both are there."""
    replace, tries = store._runs._replace, [0]

    def disturbed(*arguments: Any) -> bool:
        tries[0] += 1
        if tries[0] == 1:
            store._say(run, said("word"))
        return replace(*arguments)

    monkeypatch.setattr(store._runs, "_replace", disturbed)
    assert store.update_run(run, RunPatch(params={"a": 1})).params == {"a": 1}
    assert tries == [2]
    assert store.get_run(run).params == {"a": 1}
    assert [info.description for info in store.describe(run)] == ["word"]


def test_a_record_that_cannot_be_kept_keeps_no_other_from_it(
    store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run, *(store.put_run(RunKey("", "project", f"{at}"), RunPatch()).id for at in range(3))]
    for one in runs:
        store.keep_record(one)
        store.update_run(one, RunPatch(params={"new": 1}))
    put = store.cold.put

    def refuses(key: str, data: bytes) -> None:
        if key == record_key(runs[1]):
            raise Unavailable("not this one", 1.0)
        put(key, data)

    monkeypatch.setattr(store.cold, "put", refuses)
    store.tend()
    assert [bool(kept(store, one).params) for one in runs] == [True, False, True, True]
    assert store._runs.stale() == [runs[1]]


# ---------------------------------------------------------------- deleted runs


def fill(store: TieredStore, run: str, count: int) -> list[SeriesKey]:
    """Series of one row each."""
    keys = [SeriesKey(run, METRICS, f"s{at}") for at in range(count)]
    store.append([Batch(key, [b'{"value":"%s"}' % os.urandom(40).hex().encode()], "w", 0) for key in keys])
    return keys


def left(store: TieredStore) -> dict[str, int]:
    """Documents that a deleted run should not leave."""
    names = ("buckets", "manifest", "overflow", "due", "said", "summaries", "files", "uploads")
    return {name: count for name in names if (count := store.hot.db[name].count_documents({}))}


def test_a_run_of_many_series_is_deleted_in_few_steps(
    store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some for each 200 series, not some for each; what is too large for a bucket's document goes as well."""
    monkeypatch.setattr(commit, "DOCUMENT", 30)
    keys = fill(store, run, 410)
    assert store.hot.overflow.count_documents({}) > 0
    other = SeriesKey(store.put_run(RunKey("", "project", "other"), RunPatch()).id, METRICS, "s0")
    store.append([Batch(other, [b'{"value":%d}' % (1 << 200)], "w", 0)])
    steps = [0]
    for name in ("delete_many", "delete_one", "find", "find_one", "update_many", "update_one"):
        method = getattr(Collection, name)

        def counted(self: Any, *arguments: Any, method: Any = method, **options: Any) -> Any:
            steps[0] += 1
            return method(self, *arguments, **options)

        monkeypatch.setattr(Collection, name, counted)
    store.delete_run(run)
    monkeypatch.undo()
    assert steps[0] < 40
    assert store.hot.buckets.count_documents({}) == 1
    assert store.read(other, 0, None).total == 1
    store.delete_run(other.run)
    assert left(store) == {}
    with pytest.raises(NotFound):
        store.append([Batch(keys[300], [b'{"value":1}'], "w", 1)])


def test_a_run_is_freed_by_one_process_at_a_time(
    tiers: Tiers, store: TieredStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the one that was asked to delete it is at it, no other is; where it fails, another one goes on at once."""
    fill(store, run, 3)
    other = tiers.store()
    freed: list[str] = []
    monkeypatch.setattr(other._files, "delete_all", freed.append)

    def meanwhile(run: str) -> None:
        other.tend()
        assert freed == []
        raise Unavailable("not now", 1.0)

    monkeypatch.setattr(store._files, "delete_all", meanwhile)
    store.delete_run(run)
    other.tend()
    assert freed == [run]
    other.tend()
    assert freed == [run]
    other.close()


def test_a_process_that_dies_while_it_frees_a_run_is_followed(store: TieredStore, run: str) -> None:
    """Once its lease is over, and not before."""
    fill(store, run, 3)
    store._runs.bury(run, 3600.0)
    store.tend()
    assert left(store) == {"buckets": 3}
    store.hot.runs.update_one({"_id": run}, {"$set": {"look": EPOCH}})
    store.tend()
    assert left(store) == {}


def come_late(shop: Shop, key: SeriesKey) -> None:
    """What servers and archivers that were killed in the middle leave of a run that was deleted."""
    sid, hot = series_id(key), shop.store.hot
    hot.buckets.insert_one({"_id": place(sid, 60), "n": 1, "o": [b"part"]})
    hot.overflow.insert_many([{"_id": b"part", "sid": sid, "at": 0}, {"_id": b"stray", "sid": sid, "at": 0}])
    hot.manifest.insert_one({"_id": place(sid, 60), "key": "k", "run": key.run})
    hot.heads.update_one({"_id": sid}, {"$set": {"state": "live"}})
    hot.files.insert_one({"_id": b"file", "run": key.run, "n": 9, "gone": False})
    chunk = f"chunks/{key.run}/{sid.hex()}/{60:016d}-{80:016d}-{'0' * 16}.parquet"
    for name in (chunk, record_key(key.run), f"files/{key.run}/{'0' * 32}/upload/000000-x"):
        shop.objects.put(name, b"late")


def test_what_comes_late_to_a_deleted_run_is_freed(shop: Shop) -> None:
    """A deleted run is freed twice, the second time long after; in between nobody is busy with it, and nothing is amiss."""
    key = shop.series()
    shop.store._grace = 600.0
    shop.store.delete_run(key.run)
    tomb = shop.store.hot.runs.find_one({"_id": key.run})
    assert tomb is not None
    assert not tomb["freed"]
    assert tomb["look"].timestamp() > time.time() + 500
    assert shop.verify() == []
    come_late(shop, key)
    for _ in range(3):
        shop.store.tend()
    assert shop.store.hot.buckets.count_documents({"_id": place(series_id(key), 60)}) == 1
    shop.store.hot.runs.update_one({"_id": key.run}, {"$set": {"look": EPOCH}})
    shop.store.tend()
    assert [one for one in shop.listed() if key.run in one] == []
    of_run = {"_id": {"$gte": place(series_id(key), 0), "$lt": place(series_id(key), LAST)}}
    assert shop.store.hot.buckets.count_documents(of_run) == shop.store.hot.manifest.count_documents(of_run) == 0
    assert shop.store.hot.overflow.count_documents({}) == 0
    assert shop.store.hot.files.count_documents({"run": key.run}) == 0
    heads = list(shop.store.hot.heads.find({"run": key.run}))
    assert {(one["state"], bytes(one["marks"])) for one in heads} == {("deleted", b"[]")}
    tomb = shop.store.hot.runs.find_one({"_id": key.run})
    assert tomb is not None
    assert tomb["freed"]
    assert {"look", "emptied"}.isdisjoint(tomb)
    assert shop.verify() == []
    shop.lose_database()
    assert key.run not in shop.recover()


def test_a_run_without_grace_is_done_at_the_next_look(tiers: Tiers) -> None:
    store = tiers.store(grace=0.0)
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    store.delete_run(run)
    store.tend()
    assert (store.hot.runs.find_one({"_id": run}) or {})["freed"]
    store.close()


# ---------------------------------------------------------------- files


class Files:
    """A store of runs in memory whose files are in two tiers, as of a process that works for `after` seconds already."""

    def __init__(self, tiers: Tiers) -> None:
        self.tiers, self.runs = tiers, MemoryStore()
        self.after = 0.0
        self.store = self.open()
        self.run = self.store.put_run(RunKey("", "project", "run"), RunPatch()).id

    def open(self, **options: Any) -> RunsAndFiles:
        from ml_dash.store.cold import Cold

        hot, cold = Hot(self.tiers.uri), Cold(self.tiers.place.url, endpoint=self.tiers.place.endpoint)
        return RunsAndFiles(self.runs, hot, cold, piece=64 * KB, clock=lambda: time.time() + self.after, **options)

    def objects(self) -> list[str]:
        return sorted(one["path"] for page in self.tiers.place.store().list() for one in page)


@pytest.fixture
def files(tiers: Tiers) -> Iterator[Files]:
    files = Files(tiers)
    yield files
    files.store.close()


def named(content: bytes, file: str = "put") -> FilePut:
    return FilePut("f", id=file, checksum=sha256(content).hexdigest())


def test_strays_are_found_with_a_few_questions_a_page(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """And exactly those: what a record or an upload under way names stays, and so does what is of a run that nobody knows."""
    monkeypatch.setattr(file_strays, "_PAGE", 10)
    for at in range(12):
        files.store.put_file(files.run, io.BytesIO(b"x"), FilePut(f"{at}"))
    hot, objects = files.store.hot, files.tiers.place.store()
    stray = [f"files/{files.run}/{at:032x}/upload/" for at in range(18)]
    unknown = f"files/unknown/{'0' * 32}/upload/000000-x"
    for prefix in stray:
        objects.put(prefix + "000000-x", b"x")
    objects.put(unknown, b"x")
    note = {"_id": bytes.fromhex(f"{3:032x}"), "run": files.run, "upload": "upload", "at": 1 << 50}
    hot.db["uploads"].insert_one(note)
    asked = [0]
    find = Collection.find

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        asked[0] += 1
        return find(self, *arguments, **options)

    monkeypatch.setattr(Collection, "find", counted)
    files.after = 7200.0
    strays = files.store._strays(abandoned=3600.0)
    found = list(strays.find())
    monkeypatch.setattr(Collection, "find", find)
    assert asked[0] <= 4 * 2
    assert [one.prefix for one in found] == [one for one in stray if one != stray[3]]
    assert [strays.remove(one) for one in found] == [1] * 17
    assert len(files.objects()) == 2 * 12 + 2
    assert unknown in files.objects()


def test_a_put_that_ends_while_strays_are_removed_keeps_its_bytes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked once more, right before an upload is removed."""
    content = os.urandom(100 * KB)
    strays = files.store._strays(abandoned=0.0)
    files.after = 10.0
    enter = files.store.files._enter
    removed: list[int] = []

    def enters(*arguments: Any) -> Any:
        found = list(strays.find())
        assert len(found) == 1
        stored = enter(*arguments)
        removed.extend(map(strays.remove, found))
        return stored

    monkeypatch.setattr(files.store.files, "_enter", enters)
    record = files.store.put_file(files.run, io.BytesIO(content), FilePut("f"))
    assert removed == [0]
    assert contents(files.store, files.run, record) == content


@pytest.mark.parametrize("put", [FilePut("f", id="put"), None])
def test_a_put_whose_pieces_went_meanwhile_is_taken_back(
    files: Files, monkeypatch: pytest.MonkeyPatch, put: FilePut | None
) -> None:
    """A server that stood still for hours between its look at the pieces and the record must not leave a file without bytes."""
    content = os.urandom(100 * KB)
    put = put or named(content)
    enter = files.store.files._enter

    def slow(*arguments: Any) -> Any:
        files.after += 7200.0
        assert files.store.collect(3600.0) == 2
        return enter(*arguments)

    monkeypatch.setattr(files.store.files, "_enter", slow)
    with pytest.raises(Unavailable, match="anew"):
        files.store.put_file(files.run, io.BytesIO(content), put)
    monkeypatch.setattr(files.store.files, "_enter", enter)
    assert files.store.find_files(files.run) == []
    assert files.objects() == []
    assert files.store.hot.files.count_documents({}) == files.store.hot.db["uploads"].count_documents({}) == 0
    record = files.store.put_file(files.run, io.BytesIO(content), put)
    assert contents(files.store, files.run, record) == content


def test_a_quick_put_does_not_look_twice(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look again costs a request, and is for those that took long."""
    looks = [0]
    missing = files.store.files._pieces.missing

    def counted(*arguments: Any) -> str:
        looks[0] += 1
        return missing(*arguments)

    monkeypatch.setattr(files.store.files._pieces, "missing", counted)
    files.store.put_file(files.run, io.BytesIO(b"x"), FilePut("f"))
    assert looks == [1]
    files.store.files._abandoned = 0.0
    files.store.put_file(files.run, io.BytesIO(b"x"), FilePut("g"))
    assert looks == [3]


def test_an_upload_that_was_whole_is_not_given_up_when_it_goes_on(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pieces are as old as they were: that somebody goes on with it is what counts."""
    content = os.urandom(100 * KB)

    class Away(Exception):
        pass

    look_at = files.store.files._look_at

    def breaks(*_: Any) -> None:
        raise Away

    monkeypatch.setattr(files.store.files, "_look_at", breaks)
    with pytest.raises(Away):
        files.store.put_file(files.run, io.BytesIO(content), named(content))

    def sweeps(*arguments: Any) -> None:
        files.after += 100.0
        assert files.store.collect(3600.0) == 0
        look_at(*arguments)

    files.after = 3590.0
    monkeypatch.setattr(files.store.files, "_look_at", sweeps)
    record = files.store.put_file(files.run, io.BytesIO(content), named(content))
    assert contents(files.store, files.run, record) == content


def examined(hot: Hot, call: Callable[[], object]) -> int:
    """How many documents or keys of the files' records the worst question of a call looks at."""
    hot.db.command("profile", 2)
    call()
    hot.db.command("profile", 0)
    asked = list(hot.db["system.profile"].find({"ns": hot.files.full_name, "op": {"$in": ["query", "update"]}}))
    hot.db["system.profile"].drop()
    return max(max(one.get("docsExamined", 0), one.get("keysExamined", 0)) for one in asked)


def test_what_was_replaced_costs_nothing(files: Files) -> None:
    """Putting a name once more looks neither at what it replaced before, nor at other names, nor at what other runs have left; a list
    looks at what is there."""
    for at in range(3):
        files.store.put_file(files.run, io.BytesIO(b"%d" % at), FilePut("same"))
    hot = files.store.hot
    old = hot.files.find_one({"gone": True})
    assert old is not None

    def more(kind: int, **said: Any) -> None:
        hot.files.insert_many(
            {**old, "_id": bytes([kind]) * 12 + at.to_bytes(4, "big"), "n": 1000 * kind + at, "freed": True, **said}
            for at in range(300)
        )

    more(1)
    more(2, name=b"other", gone=False)
    more(3, run="another", freed=False, gone_ms=1)
    assert examined(hot, lambda: files.store.put_file(files.run, io.BytesIO(b"new"), FilePut("same"))) < 60
    hot.files.delete_many({"name": b"other"})
    assert examined(hot, lambda: files.store.find_files(files.run)) < 60
    [record] = files.store.find_files(files.run)
    assert contents(files.store, files.run, record) == b"new"
