"""Which series an archiver takes next: none keeps the others waiting, whether it fails or never ends; and what readers hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ml_dash.errors import Unavailable
from ml_dash.model import Batch, RunQuery, SeriesInfo, SeriesKey
from ml_dash.store import archiver as archiver_module
from ml_dash.store.cold import Cold
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tiered import TieredStore
from tests.tiered.clients import make_series, row
from tests.tiered.tiers import Tiers

THRESHOLD = 20


@pytest.fixture
def store(tiers: Tiers) -> Iterator[TieredStore]:
    with closing(tiers.store(threshold=THRESHOLD, patience=0.0, lease=2.0)) as store:
        yield store


def write(store: TieredStore, series: SeriesKey, start: int, stop: int) -> None:
    for at in range(start, stop, THRESHOLD):
        store.append([Batch(series, [row(1, i) for i in range(at, min(at + THRESHOLD, stop))], "w", at)])


def sealed(store: TieredStore, series: SeriesKey) -> int:
    head = store.hot.heads.find_one({"_id": series_id(series)})
    return int(head["sealed"]) if head else 0


def test_a_series_that_fails_lets_the_others_go_first(store: TieredStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest one's chunk cannot be stored: the next call archives the others, and it is tried again later, ever less often."""
    bad, *others = make_series(store, 4)
    for series in (bad, *others):
        write(store, series, 0, THRESHOLD)
    store.hot.due.update_one({"_id": series_id(bad)}, {"$set": {"at": 0}})
    with monkeypatch.context() as patched:
        real = Cold.put_chunk

        def put_chunk(self: Cold, key: str, *args: Any) -> None:
            if series_id(bad).hex() in key:
                raise Unavailable("this one does not go through", 1.0)
            real(self, key, *args)

        patched.setattr(Cold, "put_chunk", put_chunk)
        with pytest.raises(Unavailable):
            store.archiver.run_once()
        assert store.archiver.run_once() == 3
        waits = []
        for _ in range(6):
            store.hot.due.update_one({}, {"$unset": {"until": 1}})
            with pytest.raises(Unavailable):
                store.archiver.run_once()
            [mark] = store.hot.due.aggregate([{"$set": {"wait": {"$subtract": ["$until", "$$NOW"]}}}])
            waits.append(round(mark["wait"] / 1000))
    assert [sealed(store, one) for one in (bad, *others)] == [0, THRESHOLD, THRESHOLD, THRESHOLD]
    assert waits == [4, 8, 16, 16, 16, 16]
    store.hot.due.update_one({}, {"$unset": {"until": 1}})
    assert store.archiver.run_once() == 1
    assert store.hot.due.count_documents({}) == 0


def test_a_series_that_never_ends_lets_the_others_go_first(store: TieredStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that grows as fast as it is archived has turns, and the objects of past turns are not looked at again."""
    fast, slow = make_series(store, 2)
    written = 0

    def grow(step: str, series: SeriesKey) -> None:
        nonlocal written
        if step == "freed" and series == fast and written < 20 * THRESHOLD:
            write(store, fast, written, written + THRESHOLD)
            written += THRESHOLD
        if step == "sealed":
            order.append(series)

    order: list[SeriesKey] = []
    monkeypatch.setattr(archiver_module, "_TURN", 0.0)
    monkeypatch.setattr(store.archiver, "_on_step", grow)
    write(store, fast, 0, THRESHOLD)
    written = THRESHOLD
    write(store, slow, 0, THRESHOLD)
    store.hot.due.update_one({"_id": series_id(fast)}, {"$set": {"at": 0}})
    most = 0
    give_way = store.archiver._due.give_way

    def given_way(sid: bytes, *args: Any) -> None:
        nonlocal most
        give_way(sid, *args)
        mark = store.hot.due.find_one({"_id": sid})
        assert mark is not None
        most = max(most, len(mark["keys"]))

    monkeypatch.setattr(store.archiver._due, "give_way", given_way)
    assert store.archiver.run_once() == 21
    assert order.index(slow) <= 2
    assert most == 0
    assert store.hot.due.count_documents({}) == 0
    assert (sealed(store, fast), sealed(store, slow)) == (20 * THRESHOLD, THRESHOLD)


def test_lists_tell_what_was_archived_since(store: TieredStore) -> None:
    """Nobody writes to the run any more, and what it tells of its series is kept; then the archiver comes."""
    [series] = make_series(store, 1)
    write(store, series, 0, 2 * THRESHOLD)
    store.hot.runs.update_many({}, {"$unset": {"busy_until": 1}})

    def listed() -> SeriesInfo:
        [run] = store.find_runs(RunQuery(series=True))
        assert run.series
        return run.series[0]

    assert (listed().chunked, listed().chunks) == (0, 0)
    assert store.hot.summaries.count_documents({}) == 1
    store.archiver.run_once()
    assert (listed().count, listed().chunked, listed().chunks) == (2 * THRESHOLD, 2 * THRESHOLD, 1)
