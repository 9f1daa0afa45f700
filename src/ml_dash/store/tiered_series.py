"""Reading a series across the seam: hot buckets above `sealed`, chunks below it, one answer that was true at one moment.

The order of looks is what makes it one: buckets before the head for the length, and hot rows are believed only if they go on
from where the cold ones end without a hole; where the archiver was quicker, all is looked at again. Nothing is written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pymongo.client_session import ClientSession

from ml_dash import codec
from ml_dash.columns import from_rows, joined, most_rows
from ml_dash.errors import CorruptData, NotFound, Unavailable
from ml_dash.model import LOGS, METRICS, TRACKS, ColumnsPage, Page, SeriesInfo, SeriesKey
from ml_dash.store import wire
from ml_dash.store.buckets import rows_of, ticks_of
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import Document, Head
from ml_dash.store.tier_keys import field_key, first_of, series_id
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.rollup import BoolArray, FloatArray, IntArray
    from ml_dash.store.chunk import Chunk

T = TypeVar("T")

TRIES = 20
_READERS = 8
"""Chunks that one long read fetches and decodes beside each other."""
_READING = ("_id", "stop", "key", "size")
_BLOCK = 200_000


class Moved(Exception):
    """What was looked at is not there any more: look again."""


class View:
    """A series as it was at one moment: `total` points, those below `sealed` in chunks."""

    __slots__ = ("head", "last_at", "sealed", "sid", "total")

    def __init__(self, head: Head, last: Mapping[str, Any] | None) -> None:
        end = first_of(last["_id"]) + last["n"] if last is not None and first_of(last["_id"]) >= head.sealed else 0
        self.sid = head.sid
        self.head = head
        self.sealed = head.sealed
        self.total = max(head.sealed, end)
        self.last_at: int | None = last["at"] if last is not None and end else None


@dataclass(slots=True)
class Rows:
    """Lines and ticks of consecutive rows, those below `stop`."""

    stop: int
    parts: list[bytes]
    ticks: list[tuple[int, int]]


class TieredSeries:
    """The rows of one database and one bucket."""

    def __init__(self, hot: Hot, cold: Cold) -> None:
        self._hot = hot
        self._cold = cold
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="ml-dash-cold")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    # ------------------------------------------------------------ pages

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        """See `Store.read`."""
        least = None if most is None else max(most, 1)
        return self._steady(lambda: self._read(series, start, limit, least))

    def _read(self, series: SeriesKey, start: int, limit: int | None, most: int | None) -> Page:
        with self._hot.session() as session:
            view = self.view(series, session)
            if view is None:
                return Page(series.kind, start, 0, 0, b"")
            stop = view.total if limit is None else min(start + max(limit, 0), view.total)
            if start >= stop:
                return Page(series.kind, start, 0, view.total, b"")
            seam = min(max(view.sealed, start), stop)
            entries = self.entries(view, start, seam, session) if start < seam else []
            if most is not None:
                cold = self._cold_within(entries, start, seam, most)
                most -= sum(map(len, cold.parts))
                if cold.stop < seam or (cold.parts and most <= 0):
                    stop = cold.stop
            warm = self._warm(view, seam, stop, session, most) if seam < stop else Rows(seam, [], [])
        if most is None:
            cold = self._cold_lines(entries, start, seam)
        origin = (entries[0]["key"], 0) if entries else (f"bucket {view.sid.hex()}", seam)
        stop = warm.stop if seam < stop else stop
        lines = b"".join((*cold.parts, *warm.parts))
        return Page(series.kind, start, stop - start, view.total, lines, _thinned([*cold.ticks, *warm.ticks]), origin)

    def view(self, series: SeriesKey, session: ClientSession) -> View | None:
        """How long the series is and where the seam is; None for a series that nobody wrote to. Raises `NotFound` for a run
        that is not there."""
        sid = series_id(series)
        last = self._hot.last(sid, session)
        head = self._hot.heads_of([sid], session).get(sid)
        if head is None:
            if not self._hot.live_runs([series.run], session):
                raise NotFound(f"there is no run {series.run!r}.")
            return None
        if not head.live:
            raise NotFound(f"there is no run {series.run!r}; it was deleted.")
        return View(head, last)

    def _steady(self, look: Callable[[], T]) -> T:
        for turn in range(TRIES):
            try:
                return look()
            except Moved:
                time.sleep(0.002 * turn)
        raise Unavailable("the series is archived faster than it is read; try again.", 0.2)

    def _warm(self, view: View, start: int, stop: int, session: ClientSession, most: int | None) -> Rows:
        """[start, stop), none of it sealed when `view` was taken, or about `most` bytes of it. Raises `Moved`."""
        parts: list[bytes] = []
        ticks: list[tuple[int, int]] = []
        at = start
        for bucket in self._hot.spans(view.sid, start, stop, session):
            first = first_of(bucket["_id"])
            end = first + bucket["n"]
            if first < view.sealed or end <= at:
                continue
            if first > at:
                break
            parts.append(self._lines(view, bucket, at, min(end, stop), session))
            ticks += _within([(first + offset, ms) for offset, ms in ticks_of(bucket)], at, min(end, stop))
            at = min(end, stop)
            if most is not None and sum(map(len, parts)) >= most:
                return Rows(at, parts, ticks)
        if at < stop:
            raise Moved
        return Rows(at, parts, ticks)

    def _lines(self, view: View, bucket: Mapping[str, Any], start: int, stop: int, session: ClientSession) -> bytes:
        """Rows [start, stop) of the bucket, as lines of the series. Raises `Moved` where the archiver frees it meanwhile."""
        kind = view.head.series.kind
        try:
            parts = rows_of(self._hot, kind, bucket, session)
        except CorruptData:
            if self._hot.states([view.sid], session).get(view.sid, (0, False))[0] > view.sealed:
                raise Moved from None
            raise
        return b"".join(
            codec.render(kind, max(index, start), rows[max(start - index, 0) : stop - index])
            for index, rows in parts
            if index < stop and index + len(rows) > start
        )

    # ------------------------------------------------------------ chunks

    def entries(self, view: View, start: int, stop: int, session: ClientSession | None = None) -> list[Document]:
        """The manifest's entries over [start, stop), which is sealed. Raises `CorruptData` where there is a hole."""
        found = self._hot.entries(view.sid, start, stop, _READING, session=session)
        at = start
        for entry in found:
            if first_of(entry["_id"]) > at:
                break
            at = entry["stop"]
        if at < stop:
            what = f"no chunk holds index {at}, which is sealed; `ml-dash server recover` makes the manifest anew"
            raise CorruptData(f"manifest of series {view.sid.hex()}", at, what)
        return found

    def _cold_within(self, entries: Sequence[Document], start: int, stop: int, most: int) -> Rows:
        """[start, stop), or about `most` bytes of it: first a row group, then as many chunks beside each other as those bytes want,
        going by the rows so far."""
        found, size, reach = Rows(start, [], []), 0, start + 1
        while found.stop < stop and size < most:
            at = found.stop
            some = [one for one in entries if first_of(one["_id"]) < reach and one["stop"] > at][:_READERS]
            ask = partial(self._piece, at, reach, stop, most - size)
            for piece, end in self._pool.map(ask, some) if len(some) > 1 else map(ask, some):
                found.stop = piece.stop
                found.parts += piece.parts
                found.ticks += piece.ticks
                size += sum(map(len, piece.parts))
                if piece.stop < end:
                    break
            reach = min(stop, found.stop + (most - size) * (found.stop - start) // size + 1)
        return found

    def _piece(self, start: int, reach: int, stop: int, most: int, entry: Document) -> tuple[Rows, int]:
        """The chunk's row groups from `start` on that begin below `reach`, as far as `stop`, about `most` bytes of them; and
        where they were to end at the least."""
        chunk = self.chunk(entry)
        at, reach = max(first_of(entry["_id"]), start), min(entry["stop"], reach)
        found, size = Rows(at, [], []), 0
        while found.stop < reach and size < most:
            begin, found.stop = found.stop, min(chunk.group_end(found.stop), stop)
            found.parts.append(chunk.lines(begin, found.stop))
            size += len(found.parts[-1])
        found.ticks += chunk.ticks(at, found.stop)
        return found, reach

    def _cold_lines(self, entries: Sequence[Document], start: int, stop: int) -> Rows:
        def part(entry: Document) -> tuple[bytes, tuple[tuple[int, int], ...]]:
            first, end = max(first_of(entry["_id"]), start), min(entry["stop"], stop)
            chunk = self.chunk(entry)
            return chunk.lines(first, end), chunk.ticks(first, end)

        found = list(self._pool.map(part, entries)) if len(entries) > 1 else [part(entry) for entry in entries]
        return Rows(stop, [lines for lines, _ in found], [tick for _, ticks in found for tick in ticks])

    def chunk(self, entry: Document) -> Chunk:
        """The chunk that the entry tells of. Raises `CorruptData` where its object is gone."""
        try:
            return self._cold.open_chunk(entry["key"], entry["size"])
        except NotFound as e:
            raise CorruptData(entry["key"], 0, "the object of a chunk is missing; restore it from a backup") from e

    # ------------------------------------------------------------ columns

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        """See `Store.columns`. A page ends at the seam, at the latest: what is above comes from rows."""
        with self._hot.session() as session:
            view = self.view(series, session)
            end = min(view.sealed if view else 0, start + most_rows(fields))
            end = end if stop is None else min(end, stop)
            if view is not None and start < end and series.kind != LOGS:
                entries = self.entries(view, start, end, session)
            else:
                view = None
        if view is None:
            return from_rows(self.read, series, fields, start, stop)

        def part(entry: Document) -> tuple[IntArray, dict[str, Any]]:
            return self.chunk(entry).columns(fields, max(first_of(entry["_id"]), start), min(entry["stop"], end))

        found = list(self._pool.map(part, entries))
        ticks = np.concatenate([ticks for ticks, _ in found])
        ticks[:, 1] = np.maximum.accumulate(ticks[:, 1])
        columns = {field: joined([column[field] for _, column in found]) for field in dict.fromkeys(fields)}
        return ColumnsPage(start, end - start, view.total, ticks, columns)

    # ------------------------------------------------------------ numbers

    def source(self, series: SeriesKey) -> SeriesNumbers:
        """The series as `tiered_samples` reads it."""
        with self._hot.session() as session:
            view = self.view(series, session)
        return SeriesNumbers(self, self._hot, self._cold, series, view)

    # ------------------------------------------------------------ describing

    def lengths(self, run: str) -> dict[str, int]:
        """Points by "kind/name", of every metric and track that has any."""
        found = {}
        with self._hot.session() as session:
            lasts = self._hot.lasts(run, session, {"n": 1, "at": 1})
            for head in self._hot.heads_of_run(run, session):
                if head.series.kind in (METRICS, TRACKS):
                    total = View(head, lasts.get(head.sid)).total
                    if total:
                        found[f"{head.series.kind}/{head.series.name}"] = total
        return found

    def describe(self, run: str) -> list[SeriesInfo]:
        """See `Store.describe`; that the run is there is the caller's to know."""
        with self._hot.session() as session:
            said = {bytes(one["_id"]): one["info"] for one in self._hot.said.find({"run": run}, session=session)}
            lasts = self._hot.lasts(run, session)
            heads = [one for one in self._hot.heads_of_run(run, session) if one.series.kind in (METRICS, TRACKS)]
            infos = [self._info(head, lasts.get(head.sid), said.get(head.sid), session) for head in heads]
        # A head without rows is what an append that was refused leaves.
        found = [info for info, head in zip(infos, heads, strict=True) if info.count or head.sid in said]
        return sorted(found, key=lambda info: (info.kind, info.name))

    def _info(self, head: Head, last: Document | None, said: bytes | None, session: ClientSession) -> SeriesInfo:
        info = wire.load(said, SeriesInfo) if said else SeriesInfo(head.series.kind, head.series.name)
        info.created_at = info.created_at or head.created
        info.updated_at = info.updated_at or head.created
        view = View(head, last)
        info.count, info.chunked, info.chunks = view.total, view.sealed, head.chunks
        if not view.total:
            return info
        row: bytes | None
        if last is not None and view.total > view.sealed:
            first_ms, last_ms, at = last["f"], ticks_of(last)[-1][1], last["at"]
            _, rows = rows_of(self._hot, head.series.kind, last, session)[-1]
            row = rows[-1]
        else:
            first_ms, last_ms = head.first_ms or 0, head.ms
            at, row = self._last_sealed(view, session)
        info.last = codec.decode_row(row) if row is not None else None
        info.first_at, info.last_at = iso(first_ms), iso(last_ms)
        info.updated_at = max(info.updated_at or "", iso(at))
        return info

    def _last_sealed(self, view: View, session: ClientSession) -> tuple[int, bytes | None]:
        """(when it was added, the last row) of a series of which all is in chunks. No row where it is damaged: that is told to
        whoever reads it, and no list of runs fails for it."""
        found = self._hot.entries(view.sid, view.sealed - 1, view.sealed, (*_READING, "last", "at"), session=session)
        if not found:
            return view.head.ms, None
        [entry] = found
        row: bytes | None = entry.get("last")
        if row is None:
            with suppress(CorruptData):
                lines = self.chunk(entry).lines(view.sealed - 1, view.sealed)
                row = codec.row_of(view.head.series.kind, lines[:-1])
        return entry["at"], row


class SeriesNumbers:
    """One series as it was at one moment; rows that were hot then may be cold when they are asked for."""

    def __init__(self, owner: TieredSeries, hot: Hot, cold: Cold, series: SeriesKey, view: View | None) -> None:
        self._owner = owner
        self._hot = hot
        self._cold = cold
        self._series = series
        self._view = view
        self.sid = series_id(series)
        self.total = view.total if view else 0
        self.sealed = view.sealed if view else 0

    def entries(self, start: int, stop: int, level: int, fields: Sequence[str]) -> list[Document]:
        """The manifest's entries over [start, stop), all below `sealed`; of `level` 1,000 and 10,000 with the rollups of `fields`."""
        found = {1_000: "r3", 10_000: "r4"}.get(level)
        if found is None:
            return self._hot.entries(self.sid, start, stop, (*_READING, "rollup"))
        named = [f"{found}.{field_key(field)}" for field in fields]
        return self._hot.entries(self.sid, start, stop, ("_id", "stop", "more", *named))

    def chunk_rollups(self, entries: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Each chunk's rollups of 100 points a span, as `chunk.rollups` reads them."""
        known = {one["_id"]: one for one in entries if "key" in one}
        known |= self._hot.entries_at([one["_id"] for one in entries if "key" not in one], ("key", "rollup"))
        found = [known[one["_id"]] for one in entries]
        return self._cold.fetch_many([(entry["key"], tuple(entry["rollup"])) for entry in found])

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> dict[str, tuple[FloatArray, BoolArray]]:
        """See `SampleSource.numbers`."""
        parts: dict[str, list[tuple[FloatArray, BoolArray]]] = {field: [] for field in fields}
        seam = min(max(self.sealed, start), stop)
        if start < seam:
            for found in self._cold_numbers(fields, start, seam):
                for field in fields:
                    parts[field].append(found[field])
        for at in range(seam, stop, _BLOCK):
            page = self._owner.read(self._series, at, min(_BLOCK, stop - at))
            for field, numbers in codec.numbers(page, list(fields)).items():
                parts[field].append(numbers)
        empty = (np.empty(0), np.empty(0, dtype=bool))
        return {
            field: (np.concatenate([v for v, _ in got]), np.concatenate([m for _, m in got])) if got else empty
            for field, got in parts.items()
        }

    def _cold_numbers(
        self, fields: Sequence[str], start: int, stop: int
    ) -> list[dict[str, tuple[FloatArray, BoolArray]]]:
        def part(entry: Document) -> dict[str, tuple[FloatArray, BoolArray]]:
            first, end = max(first_of(entry["_id"]), start), min(entry["stop"], stop)
            return self._owner.chunk(entry).numbers(fields, first, end)

        assert self._view is not None
        return [part(entry) for entry in self._owner.entries(self._view, start, stop)]


def _within(ticks: Sequence[tuple[int, int]], start: int, stop: int) -> list[tuple[int, int]]:
    """The ticks of [start, stop), the one in force at `start` moved there."""
    before = [ms for index, ms in ticks if index <= start]
    inner = [(index, ms) for index, ms in ticks if start < index < stop]
    return [(start, before[-1]), *inner] if before else inner


def _thinned(ticks: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Only those that tell another time than the one before."""
    kept: list[tuple[int, int]] = []
    for index, ms in ticks:
        if not kept or ms > kept[-1][1]:
            kept.append((index, ms))
    return tuple(kept)
