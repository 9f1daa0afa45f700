"""An archiver may die anywhere: what it was about to do is done by another, and nobody who reads or appends meanwhile can tell."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from ml_dash.errors import CorruptData
from ml_dash.model import SeriesKey
from ml_dash.store.base import Store
from tests.tiered.clients import THRESHOLD, Log, make_series, until
from tests.tiered.stored import check, glance, stored
from tests.tiered.tiers import Tiers

STEPS = ("leased", "read", "encoded", "put", "verified", "entered", "sealed", "freed")


@pytest.mark.parametrize("step", STEPS)
def test_an_archiver_that_dies_at_a_step_costs_work_only(tiers: Tiers, step: str):
    """kill -9 at each named step: the series reads as before, takes rows, knows what it has; the next archiver goes on."""
    with closing(tiers.store()) as store:
        [series] = make_series(store, 1)
        logs = [Log(0), Log(1)]
        fill(store, series, logs, 60)
        before = lines(store, series)
        with tiers.archiving(die_at=step) as archiver:
            until(archiver.died, f"the archiver gets to {step}")
        assert lines(store, series) == before
        for log in logs:
            log.again(store, series)
        fill(store, series, logs, 40)
        assert lines(store, series)[: len(before)] == before
        with tiers.archiving():
            until(lambda: archived(tiers, series), "all but the last rows are in chunks")
            until(lambda: not leftovers(tiers, series), "dead buckets are freed, objects that no chunk is are gone")
        found = check(tiers.uri, tiers.place, logs, [series])[series]
        assert len(found.points) == 200
        assert lines(store, series)[: len(before)] == before


def test_two_archivers_at_once_do_the_work_once(tiers: Tiers):
    """Several archivers, with a lease so short that they take it from each other: every row is in one chunk."""
    with closing(tiers.store()) as store:
        some = make_series(store, 6)
        log = Log(0)
        with tiers.archiving(lease=0.01), tiers.archiving(lease=0.01), tiers.archiving(lease=0.01):
            for _ in range(6):
                for series in some:
                    log.append(store, series, 30)
            until(lambda: all(archived(tiers, series) for series in some), "all series are archived")
        check(tiers.uri, tiers.place, [log], some)


def test_a_chunk_that_is_there_already_is_taken_as_it_is(tiers: Tiers):
    """An archiver died between its PUT and the manifest; the next one makes the same bytes, is told that the object is there, and
    that is no failure."""
    with closing(tiers.store()) as store:
        [series] = make_series(store, 1)
        log = Log(0)
        log.append(store, series, 80)
        with tiers.archiving(die_at="put") as archiver:
            until(archiver.died, "the archiver has put its object")
        [there] = objects(tiers)
        with tiers.archiving():
            until(lambda: archived(tiers, series), "the series is archived")
        assert check(tiers.uri, tiers.place, [log], [series])[series].chunks == [there]


def test_a_batch_whose_first_try_was_archived_meanwhile_is_known(tiers: Tiers):
    """The client did not hear of its first try; by the time of the second the rows are in a chunk and their bucket is gone. Also
    for a server that has never seen the series, and for one that remembers it from before."""
    with closing(tiers.store()) as first, closing(tiers.store()) as remembers:
        [series] = make_series(first, 1)
        log, other = Log(0), Log(1)
        other.append(remembers, series, 10)
        lost = log.batch(series, 0, 60)
        first.append([lost])  # the answer is lost
        with tiers.archiving():
            until(lambda: archived(tiers, series), "the rows are in a chunk")
            until(lambda: not leftovers(tiers, series), "their buckets are gone")
            with closing(tiers.store()) as fresh:
                for store in (remembers, fresh):
                    [answer] = store.append([lost])
                    assert (answer.first, answer.count, answer.total) == (None, 0, 70)
            [answer] = remembers.append([log.batch(series, 50, 65)])
            assert (answer.first, answer.count) == (70, 5)
        assert check(tiers.uri, tiers.place, [log, other], [series])[series].marks == {"writer-0": 60, "writer-1": 10}


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "gone"])
def test_a_damaged_chunk_is_told_and_the_rest_is_readable(tiers: Tiers, damage: str):
    """Somebody has damaged one object of three: reading its rows is `CorruptData` with its key, the rows around it read on."""
    with closing(tiers.store(archive=True)) as store:
        [series] = make_series(store, 1)
        log = Log(0)
        for _ in range(3):
            log.append(store, series, 60)
            until(lambda: archived(tiers, series), "the rows are in a chunk")
        log.append(store, series, 10)
    with closing(tiers.store()) as store:
        whole = lines(store, series)
    found = stored(tiers.uri, tiers.place, [series])[series]
    assert len(found.chunks) >= 3
    bounds = [span(key) for key in found.chunks]
    start, stop = bounds[1]
    spoil(tiers, found.chunks[1], damage)
    with closing(tiers.store()) as store:
        for ask in ((0, None), (start, 1), (stop - 1, 1), (start - 1, 2)):
            with pytest.raises(CorruptData) as caught:
                store.read(series, *ask).lines.decode()
            assert found.chunks[1] in str(caught.value)
        assert store.read(series, 0, start).lines.decode().splitlines() == whole[:start]
        assert store.read(series, stop, None).lines.decode().splitlines() == whole[stop:]
        log.append(store, series, 10)


# ---------------------------------------------------------------- helpers


def fill(store: Store, series: SeriesKey, logs: list[Log], rows: int) -> None:
    """`rows` more of each log, in turns."""
    for _ in range(rows // 10):
        for log in logs:
            log.append(store, series, 10)


def lines(store: Store, series: SeriesKey) -> list[str]:
    """All of it, read whole and in pieces of 17."""
    whole = store.read(series, 0, None)
    text = whole.lines.decode().splitlines()
    assert whole.count == whole.total == len(text)
    assert [json.loads(line)["index"] for line in text] == list(range(len(text)))
    pieces = [store.read(series, start, 17).lines.decode().splitlines() for start in range(0, len(text), 17)]
    assert [line for piece in pieces for line in piece] == text
    return text


def archived(tiers: Tiers, series: SeriesKey) -> bool:
    """Whether fewer rows than the threshold are left in MongoDB."""
    found = glance(tiers.uri, series)
    return found.cold > 0 and found.hot < THRESHOLD


def leftovers(tiers: Tiers, series: SeriesKey) -> bool:
    """Whether there are dead buckets."""
    return glance(tiers.uri, series).dead > 0


def objects(tiers: Tiers) -> list[str]:
    """The keys of all chunks' objects."""
    return [one["path"] for one in tiers.place.store().list("chunks").collect()]


def span(key: str) -> tuple[int, int]:
    """[first, stop) as a chunk's key tells."""
    first, stop, _ = key.rpartition("/")[2].split("-")
    return int(first), int(stop)


def spoil(tiers: Tiers, key: str, damage: str) -> None:
    objects = tiers.place.store()
    data = bytearray(objects.get(key).bytes())
    if damage == "gone":
        objects.delete(key)
        return
    if damage == "flipped":
        for at in range(4, len(data), max(1, len(data) // 200)):
            data[at] ^= 0x40
    objects.put(key, {"flipped": bytes(data), "short": bytes(data[: len(data) // 2]), "empty": b""}[damage])
