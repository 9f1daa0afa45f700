"""Appends to the hot tier: group commit, exactly once, under the rule that docs/formats/tiers.md argues for.

What belongs here: the order of insert, look, acknowledge, and what to do where another server was first. Which rows of a call are
new is `append_plan`'s, what a server remembers of a series `series_states`'s, MongoDB itself `hot`'s.

One call is one group: the rows of all its batches to one series are one bucket. Groups of one series follow one another in
this process (`turns`); between processes the place of a bucket decides, which one of them gets.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import zstandard
from pymongo.client_session import ClientSession

from ml_dash.errors import Conflict, Unavailable
from ml_dash.model import Appended, Batch, SeriesKey
from ml_dash.store.append_plan import Bucket, Work, plan
from ml_dash.store.buckets import pack_ticks
from ml_dash.store.counts import Counts
from ml_dash.store.due import Due
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import Document, encode_marks
from ml_dash.store.series_states import SeriesStates, no_run
from ml_dash.store.tier_keys import place, series_id
from ml_dash.store.turns import Turns

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
        self._due = Due(hot)
        self._threshold = threshold
        self._threshold_bytes = threshold_bytes
        self._clock = clock
        self._counts = counts or Counts()
        self._turns = Turns()
        self._mutex = threading.Lock()
        self._states = SeriesStates(hot, remembered, clock)
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
        self._states.forget(works)
        if any(batch.writer == self._anonymous for work in works.values() for _, batch in work.batches):
            self._anonymous = _anonymous()

    def forget(self, sids: Iterable[bytes]) -> None:
        """Throw away what is remembered of these series."""
        self._states.forget(sids)

    def open_series(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> None:
        """Make heads for those of the series that have none, as an append would."""
        self._states.open_series(keys, session)

    # ------------------------------------------------------------ planning

    def _plan(
        self, works: Sequence[Work], answers: dict[int, Appended], session: ClientSession, *, fresh: bool
    ) -> None:
        """Say for each work what is to be inserted. Raises what a batch of it cannot have, before anything is stored; a gap
        only if it is one in a state that was just loaded."""
        if fresh:
            self._states.forget([work.sid for work in works])
        states = self._states.of({work.sid: work.series for work in works}, session)
        stale = []
        for work in works:
            try:
                answers.update(plan(work, states[work.sid], self._anonymous, self._clock))
            except Conflict as e:
                if fresh or e.expected is None:
                    raise
                stale.append(work)
        if stale:
            self._plan(stale, answers, session, fresh=True)

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
        inserted = [work for work in works if work.buckets and work.sid not in taken]
        late = {work.sid for work in inserted if work.buckets[0].first < states[work.sid][0]}
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
        self._states.advance(work.sid, bucket, sealed)

    def _refuse(self, gone: Sequence[Work], inserted: Mapping[bytes, Document], session: ClientSession) -> None:
        """The series were deleted with their runs: take back what was inserted."""
        for work in gone:
            if work.sid in inserted:
                self._hot.remove(inserted[work.sid], session, inserted=True)
        raise no_run(gone[0].series.run)

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
        keys = {work.sid: work.series for work in works}
        due = self._states.grown(keys, self._threshold, self._threshold_bytes)
        if due:
            self._due.mark(due)
            self._states.marked(due)

    def _compressor(self) -> zstandard.ZstdCompressor:
        """One a thread: it cannot be shared."""
        found: zstandard.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if found is None:
            found = self._local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        return found


def _anonymous() -> str:
    return f"server-{os.urandom(16).hex()}"
