"""Archiving: the oldest rows of a series that has become long go from MongoDB to a chunk in S3, by named, idempotent steps.

| step | what is certain after it |
|---|---|
| leased | nobody else works on the series, as far as politeness goes: losing the lease costs work and nothing else |
| read | the chain's oldest buckets are in memory: rows [sealed, stop), which no one can change |
| encoded | … and the chunk of them |
| put | the chunk is in S3, under a key that only these bytes have |
| verified | … and reads back as it was written |
| entered | the manifest has an entry at `sealed`; readers do not look at it yet |
| sealed | the head's `sealed` is `stop`, its marks those after these rows: the chunk is history, its buckets are dead |
| freed | the buckets are gone |

Dying after any of them loses and doubles nothing. What the manifest has at `sealed` is the one truth about the next chunk: an
entry that is there already, of somebody who died or was slower, is adopted, since it describes rows of the same chain. The series'
mark in `due` names the objects that were about to be put, so that those which came to nothing are deleted once the place is
taken. docs/formats/tiers.md argues it at length. No reader and no append comes in here.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ml_dash.errors import Conflict, CorruptData, MlDashError, Unavailable
from ml_dash.model import CHUNK_SIZE, SeriesKey
from ml_dash.store import chunk
from ml_dash.store.buckets import add_marks, live_chain, rows_of, ticks_of
from ml_dash.store.cold import Cold
from ml_dash.store.counts import Counts
from ml_dash.store.due import Due
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import LIVE, Document, Head, decode_marks, encode_marks, key_of
from ml_dash.store.marks import Mark
from ml_dash.store.tier_keys import chunk_key, first_in, first_of, place

STEPS = ("leased", "read", "encoded", "put", "verified", "entered", "sealed", "freed")
MOST_ROWS = 200_000
MOST_BYTES = 64 << 20
"""Bytes of lines in a chunk; a single bucket may be more."""
LAST_ROW = 64 << 10
"""Bytes up to which the manifest keeps a chunk's last row."""
_BACKOFF = 3.0
"""Seconds that the thread waits at most after a failure, and the series at first."""
_DOUBLED = 3
"""Times that a series which fails again and again waits twice as long."""
_TURN = 2.0
"""Seconds after which a series that grows as fast as it is archived lets others go first."""

_log = logging.getLogger("ml_dash.store")


class _Stop(Exception):
    """Somebody else goes on with this series, or will: nothing is to be done about its mark."""


class _Gone(Exception):
    """The series was deleted with its run."""


@dataclass(slots=True)
class Taken:
    """The rows of the next chunk, [head.sealed, stop), and what is true of the series after them."""

    head: Head
    stop: int
    rows: list[bytes]
    times: list[tuple[int, int]]
    marks: dict[str, Mark]
    at: int
    """Unix ms when the last of them was added."""


class Archiver:
    """Archives what is due in one database to one bucket.

    A series is due from `threshold` points or `threshold_bytes` of lines in the hot tier on, `patience` seconds after it was
    marked. `lease` (s) is how long a series is another archiver's that gives no sign. The thread looks every `poll` seconds.
    `on_step` is told of each step once it is done, `keep_record` is called with the id of a run that has chunks. A chunk
    has at most `most` rows or `most_bytes` of lines, which are in memory once at a time, in a few forms. Any number of archivers,
    in any number of processes, may work at once.
    """

    def __init__(
        self,
        hot: Hot,
        cold: Cold,
        *,
        threshold: int = CHUNK_SIZE,
        threshold_bytes: int = MOST_BYTES,
        most: int = MOST_ROWS,
        most_bytes: int = MOST_BYTES,
        patience: float = 1.0,
        lease: float = 30.0,
        poll: float = 0.5,
        clock: Callable[[], float] = time.time,
        counts: Counts | None = None,
        on_step: Callable[[str, SeriesKey], None] = lambda _step, _series: None,
        keep_record: Callable[[str], None] = lambda _run: None,
    ) -> None:
        self._hot = hot
        self._due = Due(hot)
        self._cold = cold
        self._threshold = threshold
        self._threshold_bytes = threshold_bytes
        self._most = most
        self._most_bytes = most_bytes
        self._patience = patience
        self._lease = lease
        self._poll = poll
        self._clock = clock
        self._counts = counts or Counts()
        self._on_step = on_step
        self._keep_record = keep_record
        self._owner = secrets.token_hex(8)
        self._random = random.Random()  # noqa: S311  a script's own `random` goes on as it was seeded
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ when

    def run_once(self) -> int:
        """Archive all that is due now; how many chunks that made. Raises what stands in the way of a series: a store that is
        away, damage. The next call begins with the next series."""
        made = 0
        while not self._ended.is_set():
            due = self._due.take(self._owner, self._patience, self._lease)
            if due is None:
                break
            made += self._archive(due)
        self._measure()
        return made

    def start(self) -> None:
        """Archive on a thread of its own from now on."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, name="ml-dash-archiver", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the step it is in and those that follow on the same chunk."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        failures, told = 0, ""
        while True:
            pause = self._poll if not failures else min(self._poll * 2**failures, max(_BACKOFF, self._poll))
            if self._ended.wait(pause * self._random.uniform(0.5, 1.0)):
                return
            try:
                if self.run_once() or not self._counts.archive_queue.value:
                    if failures:
                        _log.info("archiving works again")
                    failures, told = 0, ""
            except Exception as e:  # noqa: BLE001  one series that cannot be archived must not keep the others in the hot tier
                failures = min(failures + 1, 10)
                if type(e).__name__ != told:
                    told = type(e).__name__
                    _log.warning("archiving failed, and is tried again: %s", e, exc_info=not isinstance(e, MlDashError))
                with suppress(Unavailable):
                    self._measure()

    def _measure(self) -> None:
        queue, lag = self._due.backlog()
        self._counts.archive_queue.set(queue)
        self._counts.archive_lag.set(lag)

    # ------------------------------------------------------------ one series

    def _archive(self, due: Document) -> int:
        """Chunk after chunk while the series is long, for a turn; how many. The mark goes when nothing is left to do."""
        sid, series, made = bytes(due["_id"]), key_of(due), 0
        keys: set[str] = set(due.get("keys", ()))
        until, all_done = time.monotonic() + _TURN, False
        try:
            self._on_step("leased", series)
            # A mark is made by what a server remembers, which may be a little more than is there, so that the first chunk has to be
            # made of somewhat less.
            while not all_done and (not made or time.monotonic() < until):
                if self._chunk(sid, series, keys, marked=not made):
                    made += 1
                    self._renew(sid)
                else:
                    all_done = True
            settled = self._clear(sid, keys)
            self._hot.note_sealed(series.run)
            self._keep_record(series.run)
            if not all_done or not self._due.drop(sid, due["rev"]):
                self._due.give_way(sid, self._owner, self._patience, settled)
        except _Gone:
            self._cold.delete(keys)
            self._due.drop(sid, due["rev"])
        except _Stop:
            self._clear(sid, keys)
        except MlDashError:
            with suppress(Unavailable):
                self._due.pause(sid, self._owner, min(self._lease, _BACKOFF), _DOUBLED)
            raise
        return made

    def _renew(self, sid: bytes, *keys: str) -> None:
        """Keep the series, and note the objects that are about to be put. Raises `_Stop` where another archiver has it now, or its
        run was deleted, or this one is to end."""
        if self._ended.is_set():
            self._due.release(sid, self._owner)
            raise _Stop
        if not self._due.renew(sid, self._owner, self._lease, keys):
            raise _Stop

    def _clear(self, sid: bytes, keys: Iterable[str]) -> list[str]:
        """Delete those of the objects whose places in the history are taken by others, for good. The keys of which it is known
        what became of them."""
        with self._hot.session() as session:
            sealed, live = self._hot.states([sid], session).get(sid, (0, False))
        settled = [key for key in keys if first_in(key) < sealed] if live else []
        for key in settled:
            entry = self._hot.entry(sid, first_in(key), ("key",))
            if entry is not None and entry["key"] != key:
                self._cold.delete([key])
        return settled

    def _chunk(self, sid: bytes, series: SeriesKey, keys: set[str], *, marked: bool) -> bool:
        """Make one chunk of the series, if it is long enough: with `marked`, half of that will do."""
        head = self._live_head(sid)
        self._hot.free(sid, head.sealed)  # somebody may have died before
        entry = self._hot.entry(sid, head.sealed)
        if entry is None:
            with self._step("read", series):
                taken = self._read(head, None, marked=marked)
            if taken is None:
                return False
            made = self._make(taken, keys)
            with self._step("entered", series):
                entry = self._hot.enter(made)
            adopted = entry["key"] != made["key"]
        else:
            adopted = True
        if adopted:
            self._adopt(head, entry, keys)
        with self._step("sealed", series):
            first_ms = entry["first_ms"] if head.first_ms is None else head.first_ms
            sealed = self._hot.seal(
                head, entry["stop"], decode_marks(bytes(entry["marks"])), entry["last_ms"], first_ms
            )
        if not sealed:
            self._lost(head, entry)
        with self._step("freed", series):
            self._hot.free(sid, entry["stop"])
        self._counts.archived_chunks.add()
        self._counts.archived_points.add(entry["stop"] - head.sealed)
        self._counts.archived_bytes.add(entry["size"])
        return True

    @contextmanager
    def _step(self, name: str, series: SeriesKey) -> Iterator[None]:
        with self._counts.archive.time(name):
            yield
        self._on_step(name, series)

    def _live_head(self, sid: bytes) -> Head:
        with self._hot.session() as session:
            head = self._hot.heads_of([sid], session).get(sid)
        if head is None or not head.live:
            raise _Gone
        return head

    def _lost(self, head: Head, entry: Document) -> None:
        """The head is not what it was. Either somebody else sealed: then the chunk is theirs. Or the run was deleted, maybe before
        entry and object were made: they go. Raises `_Stop`, or `_Gone`."""
        try:
            self._live_head(head.sid)
        except _Gone:
            self._hot.remove_entry(entry["_id"], entry["key"])
            self._cold.delete([entry["key"]])
            raise
        raise _Stop

    # ------------------------------------------------------------ read

    def _read(self, head: Head, stop: int | None, *, marked: bool) -> Taken | None:
        """The rows up to `stop`, or as many as go into a chunk; None where there are too few. Raises `_Stop` where buckets went
        away. The head was read before: what others delete from then on can only shorten the chain."""
        with self._hot.session() as session:
            chain = live_chain(self._hot.chain(head.sid, session, _WITHOUT_ROWS), head.sealed)
            chosen = self._choose(chain, marked=marked) if stop is None else _up_to(chain, stop)
            if not chosen:
                return None
            taken = Taken(head, head.sealed, [], [], dict(head.marks), 0)
            for bucket in self._hot.spans(head.sid, head.sealed, _end(chosen[-1]), session):
                if first_of(bucket["_id"]) != taken.stop:
                    continue  # dead
                for _, rows in rows_of(self._hot, head.series.kind, bucket, session):
                    taken.rows += rows.rows()
                taken.times += [(taken.stop + offset, ms) for offset, ms in ticks_of(bucket)]
                add_marks(taken.marks, bucket["p"])
                taken.at, taken.stop = bucket["at"], _end(bucket)
        if taken.stop != _end(chosen[-1]):
            raise _Stop
        return taken

    def _choose(self, chain: Sequence[Mapping[str, Any]], *, marked: bool) -> list[Mapping[str, Any]]:
        """The oldest buckets, whole, as many as a chunk takes; none where the series is not long enough."""
        rows, size = sum(bucket["n"] for bucket in chain), sum(bucket["r"] for bucket in chain)
        times = 2 if marked else 1
        if rows * times < self._threshold and size * times < self._threshold_bytes:
            return []
        chosen: list[Mapping[str, Any]] = []
        room, free = self._most, self._most_bytes
        for bucket in chain:
            if chosen and (bucket["n"] > room or bucket["r"] > free):
                break
            chosen.append(bucket)
            room, free = room - bucket["n"], free - bucket["r"]
        return chosen

    # ------------------------------------------------------------ encode, put, verify

    def _make(self, taken: Taken, keys: set[str]) -> Document:
        """The chunk of these rows is in S3; the entry that tells of it."""
        head, last = taken.head, taken.rows[-1]
        about = self._about(taken)
        with self._step("encoded", head.series):
            made = chunk.encode(head.series.kind, head.sealed, taken.rows, taken.times, about)
            digest = sha256(made.data).hexdigest()
        key = chunk_key(head.series.run, head.sid, head.sealed, taken.stop, digest)
        self._renew(head.sid, key)
        keys.add(key)
        with self._step("put", head.series):
            try:
                self._cold.put_chunk(key, made.data, digest)
            except Conflict:  # only these bytes have this key: what is there is damaged
                self._cold.put(key, made.data)
        with self._step("verified", head.series):
            whole = self._cold.verify(key, digest) is not None
        if not whole:
            if self._live_head(head.sid).sealed != head.sealed:
                raise _Stop  # whoever was quicker has deleted what came to nothing
            raise Unavailable(f"{self._cold.url}/{key}: the object was stored and is not there.", 1.0)
        return {
            "_id": place(head.sid, head.sealed),
            "run": head.series.run,
            "stop": taken.stop,
            "key": key,
            "size": len(made.data),
            "hash": digest,
            "rollup": list(made.rollup),
            "last": last if len(last) <= LAST_ROW else None,
            "first_ms": taken.times[0][1],
            "last_ms": taken.times[-1][1],
            "at": taken.at,
            "marks": encode_marks(taken.marks),
            "r3": made.coarse[1_000],
            "r4": made.coarse[10_000],
            "more": made.more,
        }

    def _about(self, taken: Taken) -> dict[str, str]:
        """What the chunk's footer says beside its rows: all that it takes to make head and manifest anew. Raises `_Gone`."""
        head = taken.head
        with self._hot.asking():
            run = self._hot.runs.find_one({"_id": head.series.run, "state": LIVE}, {"ns": 1, "project": 1, "name": 1})
        if run is None:
            raise _Gone
        return {
            "run": head.series.run,
            "namespace": run["ns"],
            "project": run["project"],
            "run_name": run["name"],
            "kind": head.series.kind,
            "name": head.series.name,
            "series": head.sid.hex(),
            "created": head.created,
            "first": str(head.sealed),
            "sealed": str(taken.stop),
            "marks": encode_marks(taken.marks).decode(),
            "first_ms": str(taken.times[0][1]),
            "last_ms": str(taken.times[-1][1]),
            "at": str(taken.at),
        }

    def _adopt(self, head: Head, entry: Document, keys: set[str]) -> None:
        """Somebody else's entry holds the place. Its object has to be there, as it was written, before `sealed` passes over the
        rows: until then they are in the buckets, and the chunk can be made again."""
        try:
            if self._cold.verify(entry["key"], entry["hash"]) is not None:
                return
            why = "is missing"
        except CorruptData as e:
            why = str(e)
        _log.warning("a chunk that is not sealed yet is made again: %s: %s", entry["key"], why)
        taken = self._read(head, entry["stop"], marked=True)
        if taken is None:
            raise _Stop
        made = self._make(taken, keys)
        with self._step("entered", head.series), self._hot.asking():
            found = self._hot.manifest.replace_one({"_id": entry["_id"], "key": entry["key"]}, made)
            if not found.matched_count:
                raise _Stop
        entry.clear()
        entry.update(made)


_WITHOUT_ROWS = ("n", "r")


def _end(bucket: Mapping[str, Any]) -> int:
    return int(first_of(bucket["_id"]) + bucket["n"])


def _up_to(chain: Sequence[Mapping[str, Any]], stop: int) -> list[Mapping[str, Any]]:
    """The buckets of [sealed, stop), which ends where one of them does; none where they are not all there."""
    chosen = [bucket for bucket in chain if _end(bucket) <= stop]
    return chosen if chosen and _end(chosen[-1]) == stop else []
