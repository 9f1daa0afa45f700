"""The archiver's steps, one by one, in this process: it dies in each, another comes in between each, the run goes away in each.

Death is an exception that no one catches; the real thing, with processes, is in test_faults_archiver.py. What MongoDB and S3 hold
is looked at directly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from ml_dash import codec
from ml_dash.errors import Conflict, NotFound, Unavailable
from ml_dash.model import LOGS, METRICS, TRACKS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store import commit
from ml_dash.store.archiver import STEPS
from ml_dash.store.due import Due
from ml_dash.store.tier_keys import first_in, series_id
from ml_dash.store.tiered import TieredStore
from tests.server.cutting_proxy import Answer, CuttingProxy
from tests.tiered.tiers import Tiers

THRESHOLD = 20
LEASE = 0.2
"""Seconds; short, since tests wait for its end."""
WRITER = "w"


class Died(BaseException):
    """The archiver's process is gone: nothing that it holds is given back."""


def row(at: int) -> bytes:
    return b'{"value": %d.25, "at": %d}' % (at % 7, at)


class Scene:
    """One series, written by one writer, and stores over it as of separate processes."""

    def __init__(self, tiers: Tiers, kind: str = METRICS) -> None:
        self.tiers = tiers
        self.stores: list[TieredStore] = []
        self.store = self.open()
        self.run = self.store.put_run(RunKey("space", "project", "run"), RunPatch()).id
        self.series = SeriesKey(self.run, kind, "" if kind == LOGS else "loss")
        self.sid = series_id(self.series)
        self.count = 0

    def open(self, on_step: Callable[[str], None] = lambda _: None, **options: Any) -> TieredStore:
        """A store whose archiver takes what is due at once, also from one that died 0.2 s ago."""
        some: dict[str, Any] = {"threshold": THRESHOLD, "patience": 0.0, "lease": LEASE} | options
        store = self.tiers.store(on_step=lambda step, _: on_step(step), **some)
        self.stores.append(store)
        return store

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def write(self, count: int, each: int = 5, store: TieredStore | None = None) -> None:
        for at in range(self.count, self.count + count, each):
            rows = [row(i) for i in range(at, min(at + each, self.count + count))]
            [answer] = (store or self.store).append([Batch(self.series, rows, WRITER, at, ((0, 1000 + at),))])
            assert answer.first == at
        self.count += count

    def archive(self, **options: Any) -> int:
        """What another archiver makes of it, once the lease of one that died is over."""
        deadline, made = time.monotonic() + 60, 0
        store = self.open(**options)
        while store.hot.due.count_documents({}) and time.monotonic() < deadline:
            made += store.archiver.run_once()
            time.sleep(0.02)
        return made

    def check(self, *stores: TieredStore) -> None:
        """Every row once, in order, byte for byte, with its time; known to its writer; from any store."""
        expected = codec.render(self.series.kind, 0, [row(at) for at in range(self.count)])
        for store in stores or (self.store, self.open()):
            page = store.read(self.series, 0, None)
            assert (page.total, page.lines) == (self.count, expected)
            assert [ms for _, ms in page.ticks] == [1000 + at for at in range(0, self.count, 5)]
            for start in range(0, self.count, 7):
                part = store.read(self.series, start, 9)
                assert part.lines == codec.render(
                    self.series.kind, start, [row(at) for at in range(start, start + part.count)]
                )
                assert part.count == min(9, self.count - start)
            rows = [row(at) for at in range(self.count)]
            [answer] = store.append([Batch(self.series, rows, WRITER, 0)])
            assert (answer.first, answer.count, answer.total) == (None, 0, self.count)

    # what is stored

    @property
    def objects(self) -> S3Store:
        return self.tiers.place.store()

    def keys(self) -> list[str]:
        return sorted(one["path"] for page in self.objects.list("chunks/") for one in page)

    def head(self) -> dict[str, Any]:
        found = self.store.hot.heads.find_one({"_id": self.sid})
        assert found is not None
        return found

    def entries(self) -> list[dict[str, Any]]:
        return list(self.store.hot.manifest.find().sort("_id", 1))

    def settled(self, hot: int) -> None:
        """The chunks are the manifest's, follow one another up to `sealed`, and MongoDB has `hot` rows and nothing dead."""
        entries, stop = self.entries(), 0
        for entry in entries:
            assert (first_in(entry["key"]), entry["run"]) == (stop, self.run)
            stop = entry["stop"]
            table = pq.read_table(self.tiers.folder / self.save(entry["key"]))
            assert table["_index"].to_pylist() == list(range(first_in(entry["key"]), stop))
        assert self.keys() == sorted(entry["key"] for entry in entries)
        assert (self.head()["sealed"], self.head()["chunks"]) == (stop, len(entries))
        assert sum(one["n"] for one in self.store.hot.buckets.find()) == hot == self.count - stop
        assert self.store.hot.overflow.count_documents({}) == 0
        assert self.store.hot.due.count_documents({}) == 0

    def save(self, key: str) -> str:
        name = key.replace("/", "-")
        (self.tiers.folder / name).write_bytes(bytes(self.objects.get(key).bytes()))
        return name


@pytest.fixture
def scene(tiers: Tiers) -> Iterator[Scene]:
    scene = Scene(tiers)
    yield scene
    scene.close()


def dies_at(step: str) -> Callable[[str], None]:
    def on_step(name: str) -> None:
        if name == step:
            raise Died

    return on_step


# ---------------------------------------------------------------- what is made


def test_a_long_series_becomes_a_chunk(scene: Scene) -> None:
    """All of its rows; head, manifest and footer tell of them, MongoDB has none of them any more."""
    scene.write(35)
    assert scene.archive() == 1
    scene.settled(hot=0)
    scene.check()
    [entry] = scene.entries()
    head = scene.head()
    assert (entry["stop"], entry["first_ms"], entry["last_ms"], entry["last"]) == (35, 1000, 1030, row(34))
    assert entry["size"] == len(bytes(scene.objects.get(entry["key"]).bytes()))
    assert (head["ms"], head["first_ms"], head["marks"]) == (1030, 1000, entry["marks"])
    about = scene.store.cold.open_chunk(entry["key"], entry["size"]).about
    assert (about["run"], about["namespace"], about["project"], about["run_name"]) == (
        scene.run,
        "space",
        "project",
        "run",
    )
    assert (about["kind"], about["name"], about["series"]) == (METRICS, "loss", scene.sid.hex())
    assert (about["first"], about["sealed"], about["first_ms"], about["last_ms"]) == ("0", "35", "1000", "1030")
    assert (about["marks"].encode(), about["at"], about["created"]) == (
        entry["marks"],
        str(entry["at"]),
        head["created"],
    )


def test_a_short_series_stays(scene: Scene) -> None:
    scene.write(THRESHOLD - 1)
    assert scene.archive() == 0
    assert scene.keys() == []
    scene.check()


def test_chunk_follows_chunk(scene: Scene) -> None:
    """Rows that come after the first chunk stay until they are many again; the seam is not to be seen."""
    for chunks in range(1, 4):
        scene.write(THRESHOLD + 5)
        scene.write(THRESHOLD - 10)
        scene.check()
        scene.archive()
        assert len(scene.entries()) == chunks
        scene.settled(hot=0)
    scene.write(THRESHOLD - 5)
    scene.archive()
    scene.settled(hot=THRESHOLD - 5)
    scene.check()


def test_a_chunk_takes_whole_buckets_up_to_its_most(scene: Scene) -> None:
    """A burst becomes several chunks, none larger than it may be, until few rows are left."""
    scene.write(100)
    store = scene.open()
    store.archiver._most = 23
    assert store.archiver.run_once() == 5
    assert [entry["stop"] for entry in scene.entries()] == [20, 40, 60, 80, 100]
    scene.settled(hot=0)
    scene.check()


def test_a_bucket_that_is_more_than_a_chunk_takes_is_one(scene: Scene) -> None:
    scene.write(60, each=30)
    store = scene.open()
    store.archiver._most = 7
    store.archiver.run_once()
    assert [entry["stop"] for entry in scene.entries()] == [30, 60]
    scene.settled(hot=0)


def test_many_bytes_make_a_series_long_as_well(scene: Scene) -> None:
    """Few rows, but large ones."""
    store = scene.open(threshold=1_000_000, threshold_bytes=5_000)
    rows = [b'{"text": "%s"}' % (b"x" * 2_000)] * 4
    store.append([Batch(scene.series, rows, WRITER, 0)])
    assert store.archiver.run_once() == 1
    assert scene.head()["sealed"] == 4
    assert store.read(scene.series, 0, None).lines == codec.render(METRICS, 0, rows)


def test_a_bucket_in_several_documents_is_freed_whole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what of it was put aside."""
    monkeypatch.setattr(commit, "DOCUMENT", 100)
    scene.write(30, each=15)
    assert scene.store.hot.overflow.count_documents({}) > 1
    scene.archive()
    scene.settled(hot=0)
    scene.store.close()
    assert scene.open().read(scene.series, 0, None).count == 30


@pytest.mark.parametrize("kind", [LOGS, TRACKS])
def test_every_kind_of_series_is_archived(tiers: Tiers, kind: str) -> None:
    scene = Scene(tiers, kind)
    scene.write(30)
    scene.archive()
    scene.settled(hot=0)
    scene.check()
    scene.close()


def test_a_writer_whose_log_went_its_own_way_is_found_out_from_the_chunk(scene: Scene) -> None:
    """The marks moved with the rows."""
    scene.write(30)
    scene.archive()
    with pytest.raises(Conflict, match="went its"):
        scene.open().append([Batch(scene.series, [row(1)], WRITER, 29)])
    with pytest.raises(Conflict) as caught:
        scene.open().append([Batch(scene.series, [row(1)], WRITER, 31)])
    assert caught.value.expected == 30


def test_a_mark_for_a_series_that_is_not_long_is_dropped(scene: Scene) -> None:
    """As one that came twice from two servers."""
    scene.write(5)
    Due(scene.store.hot).mark({scene.sid: scene.series})
    assert scene.archive() == 0
    scene.settled(hot=5)


def test_dead_buckets_of_a_server_that_died_go_with_the_next_chunk(scene: Scene) -> None:
    """One that was inserted where the series had been sealed long before."""
    scene.write(30)
    bucket = scene.store.hot.buckets.find_one(sort=[("_id", -1)])
    assert bucket is not None
    scene.archive()
    scene.store.hot.buckets.insert_one(bucket)
    scene.check()
    scene.write(THRESHOLD)
    scene.archive()
    scene.settled(hot=0)
    scene.check()


def test_what_was_done_is_counted(scene: Scene) -> None:
    scene.write(30)
    store = scene.open()
    store.archiver.run_once()
    counts = store.counts
    [entry] = scene.entries()
    assert (counts.archived_chunks.total, counts.archived_points.total) == (1, 30)
    assert counts.archived_bytes.total == entry["size"]
    assert set(counts.archive.seconds.values()) == set(STEPS) - {"leased"}
    assert counts.archive_queue.value == 0


def test_what_waits_is_measured(scene: Scene) -> None:
    """How many series, and since when."""
    scene.write(30)
    store = scene.open(patience=1000.0)
    scene.store.hot.due.update_one({}, {"$inc": {"at": -60_000}})
    assert store.archiver.run_once() == 0
    assert store.counts.archive_queue.value == 1
    assert 60 <= store.counts.archive_lag.value < 1000


# ---------------------------------------------------------------- death


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_dying_after_a_step_loses_and_doubles_nothing(scene: Scene, step: str, grows: bool) -> None:
    """The series reads right as it is left, takes rows and knows what it has; another archiver finishes it, whether more came
    meanwhile or not, and nothing of the dead one's work is left lying about."""
    scene.write(30)
    dead = scene.open(dies_at(step))
    with pytest.raises(Died):
        dead.archiver.run_once()
    scene.check(scene.store, dead, scene.open())
    if grows:
        scene.write(25)
        scene.check()
    scene.archive()
    scene.settled(hot=0)
    scene.check(scene.store, dead, scene.open())


def test_dying_again_and_again_is_no_worse(scene: Scene) -> None:
    """In every step in turn, with rows in between."""
    for step in STEPS:
        scene.write(THRESHOLD)
        time.sleep(LEASE * 1.05)
        with pytest.raises(Died):
            scene.open(dies_at(step)).archiver.run_once()
        scene.check()
    scene.archive()
    scene.settled(hot=0)
    scene.check()


def test_a_lease_is_respected_while_it_lasts(scene: Scene) -> None:
    scene.write(30)
    with pytest.raises(Died):
        scene.open(dies_at("leased"), lease=3600.0).archiver.run_once()
    assert scene.open().archiver.run_once() == 0
    assert scene.keys() == []


# ---------------------------------------------------------------- several


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_an_archiver_that_stood_still_in_a_step_does_no_harm(scene: Scene, step: str, grows: bool) -> None:
    """It loses its lease, another does all of the work and more, then it goes on where it was."""
    scene.write(30)

    def meanwhile(name: str) -> None:
        if name == step:
            time.sleep(LEASE * 1.05)
            if grows:
                scene.write(25)
            scene.archive()
            scene.check()

    slow = scene.open(meanwhile)
    slow.archiver.run_once()
    scene.archive()
    scene.settled(hot=0)
    scene.check(scene.store, slow, scene.open())


def test_many_archivers_and_writers_at_once(scene: Scene) -> None:
    """With leases that last no time at all, five archivers get in each other's way all the while that rows come."""
    ended = threading.Event()

    def archive() -> None:
        store = scene.open(lease=0.0)
        while not ended.is_set():
            store.archiver.run_once()

    with ThreadPoolExecutor(5) as pool:
        work = [pool.submit(archive) for _ in range(5)]
        try:
            for _ in range(40):
                scene.write(15)
        finally:
            ended.set()
        for one in work:
            one.result()
    scene.archive()
    scene.check()
    scene.write(THRESHOLD)
    scene.archive()
    scene.settled(hot=0)
    scene.check()


# ---------------------------------------------------------------- objects


@pytest.mark.parametrize("damage", [b"", b"other", None])
def test_a_damaged_object_at_the_chunks_key_is_written_over(scene: Scene, damage: bytes | None) -> None:
    """No entry names it yet; it is damaged, or cut to nothing, or gone again."""
    scene.write(30)
    with pytest.raises(Died):
        scene.open(dies_at("put")).archiver.run_once()
    [key] = scene.keys()
    _spoil(scene, key, damage)
    scene.archive()
    assert scene.keys() == [key]
    scene.settled(hot=0)
    scene.check()


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("damage", [b"", b"other", None])
def test_an_object_that_is_lost_before_its_rows_are_sealed_is_made_again(
    scene: Scene, damage: bytes | None, grows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The manifest names it, the head does not count on it: the rows are still in MongoDB."""
    scene.write(30)
    with pytest.raises(Died):
        scene.open(dies_at("entered")).archiver.run_once()
    [key] = scene.keys()
    _spoil(scene, key, damage)
    if grows:
        scene.write(25)
    scene.check()
    scene.archive()
    assert scene.entries()[0]["stop"] == 30
    scene.settled(hot=0)
    scene.check()
    assert "made again" in caplog.text


def test_an_object_that_does_not_read_back_is_not_believed(scene: Scene) -> None:
    """A store that took it and lost it: nothing is entered, the rows stay, it is tried again."""
    scene.write(30)

    def lose(name: str) -> None:
        if name == "put":
            scene.objects.delete(scene.keys())

    store = scene.open(lose)
    with pytest.raises(Unavailable, match="is not there"):
        store.archiver.run_once()
    assert scene.entries() == []
    assert scene.head()["sealed"] == 0
    scene.archive()
    scene.settled(hot=0)
    scene.check()


def _spoil(scene: Scene, key: str, damage: bytes | None) -> None:
    if damage is None:
        scene.objects.delete(key)
    else:
        scene.objects.put(key, damage)


# ---------------------------------------------------------------- deleted runs


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_deleted_in_a_step_leaves_nothing(scene: Scene, step: str, before: bool) -> None:
    """In neither tier, also of chunks from before; its series takes no row."""
    if before:
        scene.write(25)
        scene.archive()
    scene.write(30)

    def delete(name: str) -> None:
        if name == step:
            scene.store.delete_run(scene.run)

    archiving = scene.open(delete)
    archiving.archiver.run_once()
    assert scene.keys() == []
    hot = scene.store.hot
    for collection in (hot.buckets, hot.manifest, hot.due, hot.overflow):
        assert collection.count_documents({}) == 0
    assert scene.head()["state"] == "deleted"
    for store in (archiving, scene.store, scene.open()):
        with pytest.raises(NotFound):
            store.read(scene.series, 0, None)
        with pytest.raises(NotFound):
            store.append([Batch(scene.series, [row(0)], "other", 0)])


def test_a_deletion_that_was_cut_short_is_finished(scene: Scene) -> None:
    """By whoever looks next at what is to be done."""
    scene.write(30)
    scene.archive()
    scene.store._runs.bury(scene.run)
    scene.open().tend()
    assert scene.keys() == []
    assert scene.entries() == []


# ---------------------------------------------------------------- outages, the thread


@pytest.fixture
def proxied(scene: Scene) -> Iterator[tuple[Scene, CuttingProxy]]:
    """S3 behind a proxy, for stores that are opened from now on."""
    with CuttingProxy(scene.tiers.place.endpoint) as proxy:
        scene.tiers.place = scene.tiers.place.through(proxy.url)
        yield scene, proxy
        proxy.heal()


def test_without_s3_nothing_moves_and_nothing_is_lost(proxied: tuple[Scene, CuttingProxy]) -> None:
    """The series stays due, for whoever comes when S3 is back."""
    scene, proxy = proxied
    scene.write(30)
    store = scene.open(lease=3600.0)
    proxy.otherwise = Answer(503)
    with pytest.raises(Unavailable):
        store.archiver.run_once()
    assert store.counts.archive.failures.values() == {"put": 1}
    scene.check()
    proxy.heal()
    assert scene.archive() == 1
    scene.settled(hot=0)


def test_the_thread_outlives_an_outage_and_warns_once(
    proxied: tuple[Scene, CuttingProxy], caplog: pytest.LogCaptureFixture
) -> None:
    """However often it has failed, it archives when S3 is back, within seconds."""
    caplog.set_level(logging.INFO, "ml_dash.store")
    scene, proxy = proxied
    proxy.otherwise = Answer(503)
    store = scene.open(archive=True, poll=0.01)
    scene.write(30, store=store)
    _until(lambda: store.counts.archive.failures.total >= 3)
    assert store.counts.archive_queue.value == 1
    scene.check()
    proxy.heal()
    _until(lambda: scene.head()["sealed"] == 30)
    _until(lambda: "works again" in caplog.text)
    assert caplog.text.count("archiving failed") == 1
    store.close()
    scene.settled(hot=0)


def test_one_series_that_cannot_be_archived_does_not_hold_up_the_others(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A bucket is damaged: that is said, and every other series is archived."""
    scene.write(30)
    scene.store.hot.buckets.update_one({}, {"$set": {"z": b"damaged"}})
    others = [SeriesKey(scene.run, METRICS, f"other{i}") for i in range(5)]
    for other in others:
        scene.store.append([Batch(other, [row(at) for at in range(30)], WRITER, 0)])
    store = scene.open(archive=True, poll=0.01, lease=3600.0)
    store.archiver.start()
    _until(lambda: len(scene.entries()) == len(others))
    store.close()
    assert "archiving failed" in caplog.text
    assert scene.head()["sealed"] == 0


def test_closing_ends_the_thread_and_gives_the_series_back(scene: Scene) -> None:
    """Between two chunks; what is left is another's at once."""
    scene.write(100)
    reached, go_on = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        if name == "sealed":
            reached.set()
            assert go_on.wait(60)

    store = scene.open(wait, archive=True, poll=0.01, lease=3600.0)
    store.archiver._most = 25
    store.archiver.start()
    assert reached.wait(60)
    closing_thread = threading.Thread(target=store.archiver.close)
    closing_thread.start()
    _until(store.archiver._ended.is_set)
    go_on.set()
    closing_thread.join()
    assert [entry["stop"] for entry in scene.entries()] == [25]
    assert scene.open().archiver.run_once() == 1
    scene.settled(hot=0)
    scene.check()


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
