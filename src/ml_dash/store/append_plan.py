"""Which rows of a call are new, and into which documents they go: pure, of what the caller knows of the series.

What is stored, in which order, and what follows from an outcome is `commit`'s; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ml_dash import codec
from ml_dash.model import Appended, Batch, SeriesKey
from ml_dash.store import marks as mark_rules
from ml_dash.store.hot_documents import MARKED_EVERY
from ml_dash.store.marks import Mark

BUCKET = 8 * 1024 * 1024
"""Bytes of lines in a bucket; a single batch may be more."""


@dataclass(slots=True)
class State:
    """What this process knows of a series: true when it was loaded or last written here, whatever others do since."""

    next: int
    sealed: int
    marks: dict[str, Mark]
    ms: int
    """The last wall time told; later ones are no earlier."""
    first_ms: int
    """The first wall time; 0 where there is no row."""
    raw: int
    """Bytes of lines in live buckets, about."""
    since: int = 0
    """Buckets since the last one that carries marks."""
    marked: tuple[int, int, int] = (-1, 0, 0)
    """(`sealed`, `next`, `raw`) when the series was marked as due: the archiver may have found that it was not, `raw` being a guess."""


@dataclass(slots=True)
class Part:
    """The new rows of one batch of the call, whose position is `at`."""

    at: int
    batch: Batch
    data: bytes
    """Lines that carry the writer's seq as their index."""
    tail: bytes


@dataclass(slots=True)
class Bucket:
    """Parts that go into one document. What the series is after it, is in the fields from `marks` on."""

    first: int
    parts: list[Part] = field(default_factory=list)
    rows: int = 0
    raw: int = 0
    ticks: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    ms: int = 0
    first_ms: int = 0
    since: int = 0
    """Buckets since the last one that carries marks; 0: this one does."""


@dataclass(slots=True)
class Work:
    """What is left to do for one series of a call."""

    sid: bytes
    series: SeriesKey
    batches: list[tuple[int, Batch]]
    """(position in the call, batch), those not yet settled."""
    buckets: list[Bucket] = field(default_factory=list)
    given: dict[int, int] = field(default_factory=dict)
    """Positions of batches that came without an identity: the index at which each was inserted last, -1 before that."""


def plan(work: Work, state: State, name: str, clock: Callable[[], float]) -> dict[int, Appended]:
    """Cut what is new into `work.buckets`; the answers to batches of which nothing is. Batches that came without an identity are
    `name`'s; rows that came without a time are of now, by `clock` (unix seconds). Raises `Conflict` as `marks.trim` does."""
    work.buckets = []
    work.batches = _identified(work, state, name)
    known, index = dict(state.marks), state.next
    bucket = Bucket(index, marks=known, ms=state.ms, first_ms=state.first_ms, since=_next(state.since))
    size = 0
    settled: dict[int, Appended] = {}
    for at, batch in work.batches:
        mark = known.get(batch.writer or "")
        new = mark_rules.without(batch, mark_rules.trim(mark, batch))
        if not new.rows:
            # Only this process can have stored rows of nobody: they were archived before they were looked at.
            first = work.given.get(at, -1) if batch.rows else -1
            settled[at] = Appended(first, len(batch.rows), index) if first >= 0 else Appended(None, 0, index)
            continue
        part = _part(at, new)
        size += _size(part)
        if bucket.parts and size > BUCKET:
            work.buckets.append(bucket)
            known, size = dict(known), _size(part)
            since = _next(bucket.since)
            bucket = Bucket(index, marks=known, ms=bucket.ms, first_ms=bucket.first_ms, since=since)
        advanced = mark_rules.advance(mark, batch)
        assert advanced is not None
        known[advanced.writer] = advanced
        _add(bucket, part, clock)
        index += len(new.rows)
    if bucket.parts:
        work.buckets.append(bucket)
    return settled


def _identified(work: Work, state: State, name: str) -> list[tuple[int, Batch]]:
    """Batches that came without an identity get one of this process: a bucket that was archived before it was acknowledged
    is told by its marks alone. What has one keeps it, however often it is planned."""
    mark = state.marks.get(name)
    seq = mark.seq if mark else 0
    given = []
    for at, one in work.batches:
        batch = one
        if batch.writer is None and batch.seq is None:
            batch = msgspec.structs.replace(batch, writer=name, seq=seq)
            work.given[at] = -1
        if batch.writer == name:
            seq = (batch.seq or 0) + len(batch.rows)
        given.append((at, batch))
    return given


def _add(bucket: Bucket, part: Part, clock: Callable[[], float]) -> None:
    """Every bucket's first tick is at its first row, so that none has to be asked for its neighbour's."""
    times = part.batch.times or ((0, int(clock() * 1000)),)
    ms = bucket.ms
    if not bucket.ticks and times[0][0] > 0:
        bucket.ticks.append((0, ms or times[0][1]))
    for offset, told in times:
        ms = max(ms, told)
        bucket.ticks.append((bucket.rows + offset, ms))
    bucket.ms = ms
    bucket.first_ms = bucket.first_ms or bucket.ticks[0][1]
    bucket.parts.append(part)
    bucket.rows += len(part.batch.rows)
    bucket.raw += len(part.data)


def _part(at: int, new: Batch) -> Part:
    assert new.seq is not None
    tail = bytes.fromhex("".join(map(mark_rules.row_hash, new.rows[-mark_rules.TAIL :])))
    return Part(at, new, codec.render(new.series.kind, new.seq, new.rows), tail)


def _size(part: Part) -> int:
    """Bytes that the part takes in a document, at the most: lines, ticks, and the rest."""
    return len(part.data) + len(part.tail) + len(part.batch.writer or "") + 16 * len(part.batch.times or ()) + 100


def _next(since: int) -> int:
    """`since` of the bucket after one that had this."""
    return since + 1 if since + 1 < MARKED_EVERY else 0
