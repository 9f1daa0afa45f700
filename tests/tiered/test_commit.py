"""Appends to the hot tier where it matters what a server remembers, and what MongoDB did of what it did not answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pymongo import errors

from ml_dash.errors import NotFound, Unavailable
from ml_dash.model import Appended, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.due import Due
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import MARKED_EVERY
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tiered import TieredStore
from tests.tiered.clients import make_series, row
from tests.tiered.tiers import Tiers


@pytest.fixture
def store(tiers: Tiers) -> Iterator[TieredStore]:
    """It archives nothing by itself."""
    with closing(tiers.store(threshold=10_000)) as store:
        yield store


@pytest.fixture
def series(store: TieredStore) -> SeriesKey:
    return make_series(store, 1)[0]


def rows(client: int, start: int, stop: int) -> list[bytes]:
    return [row(client, at) for at in range(start, stop)]


def lines(store: TieredStore, series: SeriesKey) -> list[bytes]:
    """The rows of the series, each without its index."""
    return [line.partition(b'"data": ')[2][:-1] for line in store.read(series, 0, None).lines.splitlines()]


# ---------------------------------------------------------------- outcomes that are not known


@pytest.mark.parametrize("error", [errors.AutoReconnect, errors.NetworkTimeout, errors.NotPrimaryError])
@pytest.mark.parametrize("step", ["insert", "states"])
def test_rows_of_nobody_are_not_taken_for_those_of_a_call_that_failed(
    store: TieredStore, series: SeriesKey, monkeypatch: pytest.MonkeyPatch, step: str, error: type[Exception]
) -> None:
    """A call without an identity is stored and not answered; the next such call's rows are others, and all of them are stored."""
    store.append([Batch(series, rows(1, 0, 5))])
    with monkeypatch.context() as patched:
        real = getattr(Hot, step)

        def fail(self: Hot, *args: Any) -> None:
            real(self, *args)
            raise error("the answer was lost")

        patched.setattr(Hot, step, fail)
        with pytest.raises(Unavailable):
            store.append([Batch(series, rows(2, 0, 50))])
    assert store.append([Batch(series, rows(3, 0, 10))]) == [Appended(55, 10, 65)]
    assert lines(store, series) == rows(1, 0, 5) + rows(2, 0, 50) + rows(3, 0, 10)


def test_rows_of_nobody_that_land_late_are_not_taken_for_others(
    store: TieredStore, series: SeriesKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call that failed has sent reaches MongoDB while the next call is under way, behind its look at the series' end."""
    store.append([Batch(series, rows(1, 0, 5))])
    late: list[Any] = []
    real = Hot.insert

    def insert(self: Hot, documents: Any, session: Any) -> Any:
        if not late:
            late.append(documents)
            raise errors.NetworkTimeout("it is on its way")
        if len(late) == 1:
            late.append(real(self, late[0], session))
        return real(self, documents, session)

    monkeypatch.setattr(Hot, "insert", insert)
    with pytest.raises(Unavailable):
        store.append([Batch(series, rows(2, 0, 50))])
    assert store.append([Batch(series, rows(3, 0, 10))]) == [Appended(55, 10, 65)]
    assert lines(store, series) == rows(1, 0, 5) + rows(2, 0, 50) + rows(3, 0, 10)


def test_a_run_that_is_gone_costs_the_others_of_the_call_nothing(store: TieredStore, tiers: Tiers) -> None:
    """Of a call to two runs one turns out to be deleted once the rows of both are inserted: the other's next rows are stored."""
    [kept], [gone] = make_series(store, 1, "kept"), make_series(store, 1, "gone")
    store.append([Batch(kept, rows(1, 0, 3)), Batch(gone, rows(1, 0, 3))])
    with closing(tiers.store()) as other:
        other.delete_run(gone.run)
    with pytest.raises(NotFound):
        store.append([Batch(kept, rows(2, 0, 20)), Batch(gone, rows(2, 0, 20))])
    [told] = store.append([Batch(kept, rows(3, 0, 4))])
    assert told.count == 4
    assert lines(store, kept)[-4:] == rows(3, 0, 4)


def test_a_head_that_outlived_its_run_takes_no_rows(store: TieredStore) -> None:
    """A server that stood still while the run was deleted, and died after it made a head for it: nobody adds to that."""
    run = store.put_run(RunKey("", "faults", "gone"), RunPatch()).id
    store.delete_run(run)
    series = SeriesKey(run, "metrics", "late")
    with store.hot.session() as session:
        store.hot.make_heads({series_id(series): series}, "", session)
    for _ in range(2):
        with pytest.raises(NotFound):
            store.append([Batch(series, rows(1, 0, 3))])
    assert store.hot.buckets.count_documents({}) == 0


# ---------------------------------------------------------------- loading


def test_the_end_of_a_series_is_known_from_its_last_buckets(store: TieredStore, tiers: Tiers) -> None:
    """However many buckets there are, a server that does not know the series reads no more than those from the last marks on."""
    some = make_series(store, 3)
    for at in range(5 * MARKED_EVERY):
        store.append([Batch(one, [row(at % 3, at // 3)], f"w{at % 3}", at // 3) for one in some])
    with store.hot.session() as session:
        for sids in ([series_id(some[0])], list(map(series_id, some))):
            for sid, buckets in store.hot.ends(sids, session).items():
                assert "m" in buckets[0]
                assert len(buckets) <= MARKED_EVERY
                assert buckets == store.hot.chain(sid, session, list(buckets[0]))[-len(buckets) :]
    with closing(tiers.store()) as other:
        again = [Batch(one, [row(0, 0), row(0, 1)], "w0", 0) for one in some]
        assert [told.count for told in other.append(again)] == [0, 0, 0]
        new = [Batch(one, [row(7, 0)], "w7", 0) for one in some]
        assert [told.first for told in other.append(new)] == [5 * MARKED_EVERY] * 3


@pytest.mark.parametrize("seed", range(3))
def test_servers_that_know_and_servers_that_do_not_agree(store: TieredStore, tiers: Tiers, seed: int) -> None:
    """Single rows of three writers through old and new handles, archived in between here and there: each once, in order."""
    rng = random.Random(seed)
    [series] = make_series(store, 1)
    sent = [0, 0, 0]
    for _ in range(4 * MARKED_EVERY):
        who = rng.randrange(3)
        start = max(0, sent[who] - rng.randrange(3))
        batch = Batch(series, rows(who, start, sent[who] + 1), f"w{who}", start)
        sent[who] += 1
        if rng.random() < 0.1:
            with closing(tiers.store(threshold=rng.choice([30, 100]))) as other:
                [told] = other.append([batch])
                other.archiver.run_once()
        else:
            [told] = store.append([batch])
        assert (told.count, told.total) == (1, sum(sent))
    found = lines(store, series)
    assert len(found) == sum(sent)
    for who in range(3):
        mine = [line for line in found if line.startswith(b'{"c": %d' % who)]
        assert mine == rows(who, 0, sent[who])


# ---------------------------------------------------------------- marks of what is due


def test_a_series_whose_mark_was_dropped_is_marked_again(tiers: Tiers) -> None:
    """A server guesses how many bytes are in the hot tier. Where the archiver finds the series shorter than that, it is due once
    more when as much again has come; not at each append."""
    with closing(tiers.store(threshold=100)) as store:
        [series] = make_series(store, 1)
        marked = []
        for at in range(0, 300, 20):
            store.append([Batch(series, rows(1, at, at + 20))])
            marked.append(store.hot.due.delete_many({}).deleted_count)
    assert marked == [0, 0, 0, 0, 1] * 3


def test_rows_of_nobody_that_are_archived_at_once_are_told_where_they_are(
    store: TieredStore, series: SeriesKey, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archiver is quicker than the look behind the insert: the rows are in a chunk then, and the answer is as ever."""
    store.append([Batch(series, rows(1, 0, 5))])
    real, waiting = Hot.states, [True]
    with closing(tiers.store(threshold=1, patience=0.0)) as other:

        def states(self: Hot, *args: Any) -> Any:
            if waiting and waiting.pop():
                Due(other.hot).mark({series_id(series): series})
                assert other.archiver.run_once() == 1
            return real(self, *args)

        monkeypatch.setattr(Hot, "states", states)
        told = store.append([Batch(series, rows(2, 0, 3)), Batch(series, rows(3, 0, 4))])
    assert told == [Appended(5, 3, 12), Appended(8, 4, 12)]
    assert lines(store, series) == rows(1, 0, 5) + rows(2, 0, 3) + rows(3, 0, 4)
