"""Appends to the hot tier: group commit, exactly once, under the rule that docs/formats/tiers.md argues for.

What belongs here: what a server remembers of a series, `(next, marks)` as one value; which rows of a call are new; the order of
insert, look, acknowledge; what to do where another server was first. MongoDB itself is `hot`'s.

One call is one group: the rows of all its batches to one series are one bucket. Groups of one series follow one another in
this process (`Turns`); between processes the place of a bucket decides, which one of them gets.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zstandard
from pymongo.client_session import ClientSession

from ml_dash import codec
from ml_dash.errors import Conflict, NotFound, Unavailable
from ml_dash.model import Appended, Batch, SeriesKey
from ml_dash.store import marks as mark_rules
from ml_dash.store.buckets import add_marks, live_chain, pack_ticks, ticks_of
from ml_dash.store.counts import Counts
from ml_dash.store.hot import (
    DELETED,
    MARKED_EVERY,
    MOST_RANGES,
    Document,
    Head,
    Hot,
    decode_marks,
    encode_marks,
)
from ml_dash.store.marks import Mark
from ml_dash.store.tier_keys import first_of, place, series_id
from ml_dash.times import iso

BUCKET = 8 * 1024 * 1024
"""Bytes of lines in a bucket; a single batch may be more."""
DOCUMENT = 12 * 1024 * 1024
"""Compressed bytes in one document; MongoDB takes 16 MB. What is beyond goes to documents of its own."""
REMEMBERED = 131_072
"""Series whose (next, marks) are kept in memory."""
TRIES = 50
"""Times that somebody else may be first before the client is asked to come again."""
WRITING = 10.0
"""Seconds for which a run counts as being written to, from each note of it on."""
_MARGIN = 3.0
"""Seconds before its end at which such a note is renewed."""
_LEVEL = 1


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
    """Parts that go into one document. What the series is after it, is in `after`."""

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


class _Call(threading.Event):
    """A call that waits for its turn on `sids`."""

    def __init__(self, sids: Sequence[bytes]) -> None:
        super().__init__()
        self.sids = sids


class Turns:
    """Calls that touch the same series go one after the other, in the order in which they came; others beside each other."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queues: dict[bytes, deque[_Call]] = {}

    @contextmanager
    def of(self, sids: Sequence[bytes]) -> Iterator[None]:
        """Wait for this call's turn on all of `sids`, and hold it."""
        mine = _Call(sids)
        with self._mutex:
            for sid in sids:
                self._queues.setdefault(sid, deque()).append(mine)
            self._wake(mine)
        mine.wait()
        try:
            yield
        finally:
            with self._mutex:
                for sid in sids:
                    self._queues[sid].popleft()
                for sid in sids:
                    if not self._queues[sid]:
                        del self._queues[sid]
                    else:
                        self._wake(self._queues[sid][0])

    def _wake(self, call: _Call) -> None:
        if all(self._queues[sid][0] is call for sid in call.sids):
            call.set()


class Commit:
    """Appends to the series of one database. `threshold` rows or `threshold_bytes` of lines in live buckets make a series
    due for archiving; `clock` gives unix seconds. Any thread may append."""

    def __init__(
        self,
        hot: Hot,
        *,
        threshold: int,
        threshold_bytes: int,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED,
        counts: Counts | None = None,
    ) -> None:
        self._hot = hot
        self._threshold = threshold
        self._threshold_bytes = threshold_bytes
        self._clock = clock
        self._remembered = remembered
        self._counts = counts or Counts()
        self._turns = Turns()
        self._mutex = threading.Lock()
        self._states: OrderedDict[bytes, State] = OrderedDict()
        self._noted: dict[str, float] = {}
        self._anonymous = _anonymous()
        self._local = threading.local()

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `Store.append`. Durable when it returns."""
        work: dict[bytes, Work] = {}
        for at, batch in enumerate(batches):
            sid = series_id(batch.series)
            work.setdefault(sid, Work(sid, batch.series, [])).batches.append((at, batch))
        answers: dict[int, Appended] = {}
        planned = False
        with self._turns.of(sorted(work)):
            try:
                with self._hot.session() as session:
                    self._plan(list(work.values()), answers, session, fresh=False)
                    planned = True
                    self._store(list(work.values()), answers, session)
            except BaseException:
                if planned:
                    self._doubt(work)
                raise
        done = [answers[at] for at in range(len(batches))]
        self._counts.duplicates.add(sum(map(len, (batch.rows for batch in batches))) - sum(one.count for one in done))
        return done

    def _doubt(self, works: Mapping[bytes, Work]) -> None:
        """What became of these is not known. Rows of nobody may be in under this process's name, or come in late, without having
        been acknowledged; were the name to go on, the next ones would be taken for them."""
        self.forget(works)
        if any(batch.writer == self._anonymous for work in works.values() for _, batch in work.batches):
            self._anonymous = _anonymous()

    def forget(self, sids: Mapping[bytes, object]) -> None:
        """Throw away what is remembered of these series."""
        with self._mutex:
            for sid in sids:
                self._states.pop(sid, None)

    # ------------------------------------------------------------ planning

    def _plan(
        self, works: Sequence[Work], answers: dict[int, Appended], session: ClientSession, *, fresh: bool
    ) -> None:
        """Say for each work what is to be inserted. Raises what a batch of it cannot have, before anything is stored; a gap
        only if it is one in a state that was just loaded."""
        if fresh:
            self.forget({work.sid: None for work in works})
        states = self._states_of(works, session)
        stale = []
        for work in works:
            try:
                self._plan_one(work, states[work.sid], answers)
            except Conflict as e:
                if fresh or e.expected is None:
                    raise
                stale.append(work)
        if stale:
            self._plan(stale, answers, session, fresh=True)

    def _plan_one(self, work: Work, state: State, answers: dict[int, Appended]) -> None:
        """Which rows are new, cut into buckets."""
        work.buckets = []
        work.batches = self._identified(work, state)
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
            self._add(bucket, part)
            index += len(new.rows)
        if bucket.parts:
            work.buckets.append(bucket)
        answers.update(settled)

    def _identified(self, work: Work, state: State) -> list[tuple[int, Batch]]:
        """Batches that came without an identity get one of this process: a bucket that was archived before it was acknowledged
        is told by its marks alone. What has one keeps it, however often it is planned."""
        name = self._anonymous
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

    def _add(self, bucket: Bucket, part: Part) -> None:
        """Every bucket's first tick is at its first row, so that none has to be asked for its neighbour's."""
        times = part.batch.times or ((0, int(self._clock() * 1000)),)
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

    # ------------------------------------------------------------ storing

    def _store(self, works: Sequence[Work], answers: dict[int, Appended], session: ClientSession) -> None:
        """Insert what is planned, round by round, each bucket of a series after the one before it was found good."""
        todo = list(works)
        for _ in range(TRIES):
            lost = self._round(todo, answers, session)
            todo = [work for work in todo if work.buckets or work.sid in lost]
            if not todo:
                return
            again = [work for work in todo if work.sid in lost]
            self._counts.races.add(len(again))
            if again:
                self._plan(again, answers, session, fresh=True)
                todo = [work for work in todo if work.buckets]
                self._check_live([work for work in again if not work.buckets], session)
            if not todo:
                return
        raise Unavailable("other servers write to this series faster than this one; send it again.", 0.2)

    def _round(self, works: Sequence[Work], answers: dict[int, Appended], session: ClientSession) -> set[bytes]:
        """Insert the first bucket of each work, look where the series are sealed, and settle. The series in which somebody
        else was first; their works have to be planned anew."""
        documents = {work.sid: self._document(work, work.buckets[0]) for work in works if work.buckets}
        taken: set[bytes] = set()
        if documents:
            with self._counts.hot.time("insert"):
                taken = {at[:16] for at in self._hot.insert(list(documents.values()), session)}
        for sid in taken:
            self._hot.remove(documents[sid], session, inserted=False)
        states = self._hot.states([work.sid for work in works], session)
        gone = [work for work in works if not states.get(work.sid, (0, False))[1]]
        if gone:
            self._refuse(gone, {sid: one for sid, one in documents.items() if sid not in taken}, session)
        late = {work.sid for work in works if work.buckets and work.sid not in taken} & {
            work.sid for work in works if work.buckets and work.buckets[0].first < states[work.sid][0]
        }
        for work in works:
            if work.buckets and work.sid in late:
                # Archived meanwhile, beyond where it begins: dead as a whole. What of it the marks cover came another way, or
                # this way before the look; the rest is planned anew.
                self._remember(work)
                self._hot.remove(documents[work.sid], session, inserted=True)
            elif work.buckets and work.sid not in taken:
                self._settle(work, states[work.sid][0], answers)
        self._note(works)
        self._mark_due(works)
        return taken | late

    def _remember(self, work: Work) -> None:
        """Where the rows of nobody are, if the bucket was good."""
        index = work.buckets[0].first
        for part in work.buckets[0].parts:
            if part.at in work.given:
                work.given[part.at] = index
            index += len(part.batch.rows)

    def _document(self, work: Work, bucket: Bucket) -> Document:
        packed = self._compressor().compress(b"".join(part.data for part in bucket.parts))
        document: Document = {
            "_id": place(work.sid, bucket.first),
            "n": bucket.rows,
            "r": bucket.raw,
            "p": [[part.batch.writer, part.batch.seq, len(part.batch.rows), part.tail] for part in bucket.parts],
            "t": pack_ticks(bucket.ticks),
            "at": int(self._clock() * 1000),
            "f": bucket.first_ms,
        }
        if len(packed) > DOCUMENT:
            document["o"] = self._put_aside(work.sid, packed[DOCUMENT:])
            packed = packed[:DOCUMENT]
        if not bucket.since:
            document["m"] = encode_marks(bucket.marks)
        document["z"] = packed
        return document

    def _put_aside(self, sid: bytes, rest: bytes) -> list[bytes]:
        """Store what is too large for the bucket's own document, before it."""
        pieces = [rest[at : at + DOCUMENT] for at in range(0, len(rest), DOCUMENT)]
        ids = [os.urandom(16) for _ in pieces]
        at = int(self._clock() * 1000)
        for one, piece in zip(ids, pieces, strict=True):
            self._hot.overflow.insert_one({"_id": one, "sid": sid, "at": at, "z": piece})
        return ids

    def _settle(self, work: Work, sealed: int, answers: dict[int, Appended]) -> None:
        """The bucket is in the chain."""
        bucket = work.buckets.pop(0)
        self._counts.group_batches.observe(len(bucket.parts))
        self._counts.group_points.observe(bucket.rows)
        index = bucket.first
        for part in bucket.parts:
            count = len(part.batch.rows)
            index += count
            answers[part.at] = Appended(index - count, count, index)
        settled = {part.at for part in bucket.parts}
        work.batches = [one for one in work.batches if one[0] not in settled]
        with self._mutex:
            state = self._states.get(work.sid)
            if state is None:
                return
            state.raw += bucket.raw
            if sealed != state.sealed:
                hot = max(index - state.sealed, 1)
                state.raw = state.raw * max(index - sealed, 0) // hot
                state.sealed = sealed
            state.next, state.marks = index, bucket.marks
            state.ms, state.first_ms, state.since = bucket.ms, bucket.first_ms, bucket.since

    def _refuse(self, gone: Sequence[Work], inserted: Mapping[bytes, Document], session: ClientSession) -> None:
        """The series were deleted with their runs: take back what was inserted."""
        for work in gone:
            if work.sid in inserted:
                self._hot.remove(inserted[work.sid], session, inserted=True)
        raise _no_run(gone[0].series.run)

    def _check_live(self, works: Sequence[Work], session: ClientSession) -> None:
        """All of these batches turned out to be duplicates: of rows of a run that is still there?"""
        if not works:
            return
        states = self._hot.states([work.sid for work in works], session)
        gone = [work for work in works if not states.get(work.sid, (0, False))[1]]
        if gone:
            self._refuse(gone, {}, session)

    # ------------------------------------------------------------ beside the rows

    def _note(self, works: Sequence[Work]) -> None:
        """Before rows are acknowledged it is known that the run is being written to: see `Hot.note_writing`."""
        now = time.monotonic()
        runs = {work.series.run for work in works}
        with self._mutex:
            due = [run for run in runs if self._noted.get(run, 0.0) < now]
        if not due:
            return
        self._hot.note_writing(due, WRITING)
        with self._mutex:
            if len(self._noted) > REMEMBERED:
                self._noted = {run: until for run, until in self._noted.items() if until > now}
            self._noted.update(dict.fromkeys(due, now + WRITING - _MARGIN))

    def _mark_due(self, works: Sequence[Work]) -> None:
        """A series that is long enough is marked before its rows are acknowledged: no death forgets it."""
        due: dict[bytes, SeriesKey] = {}
        with self._mutex:
            for work in works:
                state = self._states.get(work.sid)
                if state is None:
                    continue
                sealed, rows, raw = state.marked
                if sealed != state.sealed:
                    rows, raw = state.sealed, 0
                if state.next - rows >= self._threshold or state.raw - raw >= self._threshold_bytes:
                    due[work.sid] = work.series
        if due:
            self._hot.mark_due(due)
            with self._mutex:
                for sid in due:
                    if (state := self._states.get(sid)) is not None:
                        state.marked = state.sealed, state.next, state.raw

    # ------------------------------------------------------------ what is remembered

    def _states_of(self, works: Sequence[Work], session: ClientSession) -> dict[bytes, State]:
        with self._mutex:
            states = {work.sid: state for work in works if (state := self._states.get(work.sid)) is not None}
            for sid in states:
                self._states.move_to_end(sid)
        missing = {work.sid: work.series for work in works if work.sid not in states}
        if missing:
            states |= self._load(missing, session)
        return states

    def _load(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> dict[bytes, State]:
        """As they are now. Raises `NotFound` for a run that is not there."""
        loaded: dict[bytes, State] = {}
        wanted = list(keys)
        for at in range(0, len(wanted), MOST_RANGES):
            some = {sid: keys[sid] for sid in wanted[at : at + MOST_RANGES]}
            found = self._load_some(some, session)
            loaded |= found
            with self._mutex:
                self._states.update(found)
                while len(self._states) > self._remembered:
                    self._states.popitem(last=False)
        return loaded

    def _load_some(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> dict[bytes, State]:
        """Buckets first, then heads. A head may have been made by somebody who did not live to see that its run was deleted:
        so the runs are looked at last."""
        ends = self._hot.ends(list(keys), session)
        heads = self._hot.heads_of(keys, session)
        for sid, head in heads.items():
            if not head.live:
                raise _no_run(keys[sid].run)
        self._check_runs({keys[sid].run for sid in heads}, session)
        loaded = {sid: _state(ends[sid], head) for sid, head in heads.items()}
        unknown = {sid: key for sid, key in keys.items() if sid not in heads}
        if unknown:
            made = self._make_heads(unknown, session)
            loaded |= {sid: State(0, 0, {}, 0, 0, 0) for sid in made}
            others = {sid: key for sid, key in unknown.items() if sid not in made}
            if others:
                loaded |= self._load_some(others, session)
        return loaded

    def _make_heads(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> set[bytes]:
        """Heads for series of runs that are there. A run that is deleted at the same time has marked its heads, or is found
        gone after they were made: its record goes first."""
        runs = {key.run for key in keys.values()}
        self._check_runs(runs, session)
        made = self._hot.make_heads(keys, iso(int(self._clock() * 1000)), session)
        try:
            self._check_runs(runs, session)
        except NotFound:
            self._hot.heads.update_many({"_id": {"$in": list(made)}}, {"$set": {"state": DELETED}}, session=session)
            raise
        return made

    def _check_runs(self, runs: set[str], session: ClientSession) -> None:
        for run in runs - self._hot.live_runs(list(runs), session):
            raise _no_run(run)

    def open_series(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> None:
        """Make heads for those of the series that have none, as an append would."""
        missing = {sid: key for sid, key in keys.items() if sid not in self._hot.heads_of(keys, session)}
        if missing:
            self._make_heads(missing, session)

    def _compressor(self) -> zstandard.ZstdCompressor:
        """One a thread: it cannot be shared."""
        found: zstandard.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if found is None:
            found = self._local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        return found


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


def _state(buckets: Sequence[Mapping[str, Any]], head: Head) -> State:
    """What the last buckets, from one on that carries marks, and the head say together. A bucket at or above `sealed` is in the
    chain, so that the marks which it carries are the series'."""
    marked = bool(buckets) and "m" in buckets[0] and first_of(buckets[0]["_id"]) >= head.sealed
    chain = live_chain(buckets, first_of(buckets[0]["_id"]) if marked else head.sealed)
    state = State(head.sealed, head.sealed, dict(head.marks), head.ms, head.first_ms or 0, 0)
    for at, bucket in enumerate(chain):
        state.next = first_of(bucket["_id"]) + bucket["n"]
        state.raw += bucket["r"]
        if marked and not at:
            state.marks = decode_marks(bucket["m"])
        else:
            add_marks(state.marks, bucket["p"])
            state.since += 1
    if chain:
        state.raw = state.raw * (state.next - state.sealed) // (state.next - first_of(chain[0]["_id"]))
        state.ms = max(head.ms, ticks_of(chain[-1])[-1][1])
        state.first_ms = chain[-1]["f"]
    return state


def _anonymous() -> str:
    return f"server-{os.urandom(16).hex()}"


def _no_run(run: str) -> NotFound:
    return NotFound(f"there is no run {run!r}; it was deleted, or its id is of another server.")
