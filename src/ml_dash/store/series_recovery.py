"""Recovering one series: its manifest's entries and its head, made anew from its chunks in the bucket; no run and no file comes in here.

Entries come before the head. A head that is there moves as archiving moves it, chunk by chunk, and only over hot rows that are
those of the chunk; servers must not be taking rows meanwhile, which is refused as far as it is seen. Which chunks are the history
is `tier_plan`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

import msgspec
from pymongo.client_session import ClientSession

from ml_dash import codec
from ml_dash.errors import CorruptData, NewerFormat, NotFound
from ml_dash.model import SeriesKey
from ml_dash.store.buckets import live_chain, rows_of
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import EPOCH, Head, decode_marks
from ml_dash.store.tier_entries import Found, entry_of
from ml_dash.store.tier_keys import first_of, run_prefix
from ml_dash.store.tier_plan import History, end_of, holes
from ml_dash.store.tier_walk import ChunkObject, index_of, side_by_side

_KNOWN = ("_id", "stop", "key", "marks", "first_ms", "last_ms")
"""What of an entry heads need."""


@dataclass
class Gained:
    """What was done for a series, or would be: whether `any`thing; chunks that the manifest did not have, and their points with those
    that `sealed` did not reach. `troubles` say what was left out, and why."""

    any: bool = False
    chunks: int = 0
    points: int = 0
    troubles: list[str] = field(default_factory=list)


class SeriesRecovery:
    """Recovers series of `cold` into `hot`. `dry_run` changes nothing."""

    def __init__(self, hot: Hot, cold: Cold, *, dry_run: bool) -> None:
        self._hot = hot
        self._cold = cold
        self._dry = dry_run

    def restore(self, run: str, series: History) -> Gained:
        """Entries, then the head. Chunks that cannot be read are left out, and it is planned again without them."""
        done = Gained()
        self._look(series)
        if series.head is not None and not series.head.live:
            return done
        while True:
            chain, beyond = series.plan()
            why = self._differs(series, beyond) if beyond and series.head is not None else ""
            if why is None:
                continue  # one was left out
            if why:
                done.troubles.append(f"series {series.sid.hex()} of run {run}: {why}")
                chain, beyond = [one for one in chain if one not in beyond], []
            if self._enter(series, chain):
                break
        done.troubles += series.troubles
        done.troubles += _left_out(run, series, chain, moved=not why)
        new = [one for one in chain if one.key not in series.there]
        gained = {*new, *beyond}
        done.any = bool(gained)
        done.chunks = len(new)
        done.points = sum(one.stop - one.first for one in gained)
        if chain and not self._dry:
            self._prune(series, chain)
            if series.head is None:
                self._make_head(series, chain)
            else:
                self._count(series.head, chain)
                self._move_head(series.head, series, beyond)
        return done

    def _look(self, series: History) -> None:
        """What the database has of it. Entries whose objects are gone are as good as none."""
        with self._hot.session() as session:
            series.warm = self._hot.last(series.sid, session) is not None
            series.head = self._hot.heads_of([series.sid], session).get(series.sid)
        keys = {one.key for one in series.chunks}
        for entry in self._hot.entries(series.sid, 0, 1 << 62, _KNOWN):
            if entry["key"] in keys:
                series.entries[entry["key"]] = entry
        series.there = set(series.entries)

    def _enter(self, series: History, chain: list[ChunkObject]) -> bool:
        """Read the chunks that the manifest does not have, and enter them. False: one of them is no good, and is left out now."""
        wanted = [one for one in chain if one.key not in series.entries]
        for one, found in side_by_side(wanted, self._entry, lambda one: one.size):
            if isinstance(found, str):
                series.leave_out(one, found)
                return False
            if not self._dry:
                old = self._hot.entry(series.sid, one.first)
                if old is not None and old["key"] != one.key:
                    self._hot.remove_entry(old["_id"], old["key"])
                self._hot.enter(found.entry)
            series.entries[one.key] = {name: found.entry[name] for name in _KNOWN}
        return True

    def _entry(self, one: ChunkObject) -> Found | str:
        try:
            return entry_of(self._cold.get(one.key), one.key)
        except CorruptData as e:
            return _damaged(one, e)
        except NewerFormat as e:
            return str(e)
        except NotFound:
            return f"{one.key} was deleted meanwhile"

    def _prune(self, series: History, chain: list[ChunkObject]) -> None:
        """No other entry tells of the chain's rows. One whose object is lost stays: it knows what would fill the hole."""
        keys, starts = {one.key for one in chain}, [one.first for one in chain]
        for entry in self._hot.entries(series.sid, 0, chain[-1].stop, ("_id", "key", "stop")):
            at = bisect_left(starts, entry["stop"]) - 1  # the last chunk that begins before the entry's end
            if entry["key"] not in keys and at >= 0 and chain[at].stop > index_of(entry):
                self._hot.remove_entry(entry["_id"], entry["key"])

    # ------------------------------------------------------------ heads

    def _make_head(self, series: History, chain: list[ChunkObject]) -> None:
        first, last = series.entries[chain[0].key], series.entries[chain[-1].key]
        about = self._cold.open_chunk(chain[0].key, chain[0].size).about
        head = Head(
            sid=series.sid,
            series=SeriesKey(about["run"], about["kind"], about["name"]),
            sealed=last["stop"],
            marks=decode_marks(bytes(last["marks"])),
            ms=last["last_ms"],
            first_ms=first["first_ms"],
            live=True,
            created=about["created"],
            chunks=len(chain),
        )
        self._hot.restore_head(head)

    def _move_head(self, head: Head, series: History, beyond: list[ChunkObject]) -> None:
        """As archiving moves it. Whoever is quicker has done the same."""
        for one in beyond:
            entry = series.entries[one.key]
            first_ms = entry["first_ms"] if head.first_ms is None else head.first_ms
            marks = decode_marks(bytes(entry["marks"]))
            if not self._hot.seal(head, one.stop, marks, entry["last_ms"], first_ms):
                return
            head = msgspec.structs.replace(head, sealed=one.stop, marks=marks, ms=entry["last_ms"], first_ms=first_ms)
        self._hot.free(series.sid, head.sealed)

    def _count(self, head: Head, chain: list[ChunkObject]) -> None:
        """The head of a history without a hole counts its chunks."""
        count = sum(one.stop <= head.sealed for one in chain)
        if count != head.chunks and not any(holes(chain, head.sealed)):
            known = {"_id": head.sid, "sealed": head.sealed}
            with self._hot.asking():
                self._hot.heads.update_one(known, {"$set": {"chunks": count}})

    def _differs(self, series: History, beyond: list[ChunkObject]) -> str | None:
        """Why `sealed` must not move over these chunks: rows in MongoDB that are not theirs. "" where it may; None where a chunk
        is damaged, and was left out."""
        head = series.head
        assert head is not None
        with self._hot.session() as session:
            busy = {"_id": head.series.run, "$expr": {"$gt": [{"$ifNull": ["$busy_until", EPOCH]}, "$$NOW"]}}
            if self._hot.runs.find_one(busy, {"_id": 1}, session=session) is not None:
                return "rows are being added to the run. Stop the servers, wait 15 s, then recover again"
            chain = live_chain(self._hot.chain(series.sid, session, ("n",)), head.sealed)
            ends = {head.sealed, *(first_of(one["_id"]) + one["n"] for one in chain)}
            stop = max(ends)
            for one in beyond:
                if one.first >= stop:
                    break
                if one.stop < stop and one.stop not in ends:
                    return _other(one, one.stop)
                try:
                    at = self._other_row(one, head, ends, session)
                except CorruptData as e:
                    series.leave_out(one, _damaged(one, e))
                    return None
                if at is not None:
                    return _other(one, at)
        return ""

    def _other_row(self, one: ChunkObject, head: Head, ends: set[int], session: ClientSession) -> int | None:
        """Where rows of the chain that begin inside the chunk are others than the chunk's."""
        chunk = self._cold.open_chunk(one.key, one.size)
        for bucket in self._hot.spans(head.sid, one.first, one.stop, session):
            at = first_of(bucket["_id"])
            if at < one.first or at not in ends:
                continue
            for index, rows in rows_of(self._hot, head.series.kind, bucket, session):
                if chunk.lines(index, index + len(rows)) != codec.render(head.series.kind, index, rows):
                    return index
        return None


def _left_out(run: str, series: History, chain: list[ChunkObject], *, moved: bool) -> list[str]:
    """What is left out. Where the head is not `moved` it was told why the chunks behind it are."""
    name = f"series {series.sid.hex()} of run {run}"
    told = [
        f"{name}: no chunk holds rows {start} to {stop}, which cannot be read; all others can. Restore the objects of "
        f"{run_prefix(run)}{series.sid.hex()}/ from a backup, then recover again"
        for start, stop in holes(chain, series.sealed)
    ]
    end = max(end_of(chain), series.sealed)
    behind = [one for one in series.chunks if one.first > end] if moved else []
    if behind:
        first, last = min(one.first for one in behind), max(one.stop for one in behind)
        told.append(f"{name}: no chunk holds row {end}; rows {first} to {last} are left out")
    return told


def _other(one: ChunkObject, at: int) -> str:
    return (
        f"the rows from {at} on that are in MongoDB are not those of {one.key}: they were added after the database was restored. "
        "Both are kept, and `sealed` stays where it is; delete the ones or the others"
    )


def _damaged(one: ChunkObject, error: CorruptData) -> str:
    return f"{one.key} is damaged at byte {error.offset}, and left out: {error.why}"
