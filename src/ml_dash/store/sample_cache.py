r"""Sample cache: rollups of long local series, in memory and in a folder, so that `sample` need not decode rows twice.

What belongs here: which rollups to keep, when to extend, drop, load and write them. No parsing of rows (a
`SampleSource` does it) and no arithmetic (`rollup` does it). Imports NumPy: import this module inside the function that
samples.

Everything here is derived. Losing or deleting any of it costs time only; a file that is not what it should be is
ignored and written anew. For one (series, field) a file `<hash of both>.rollup` holds, little-endian:

    magic     8 bytes   ``MLDROLL\0``
    version   uint32    1
    base      uint32    points a span
    covered   uint64    points summarised, from index 0; a multiple of base
    owner     32 bytes  hash of series, field and the source's identity
    checksum  16 bytes  BLAKE2b of the five above and the body
    body                `Rollup.to_bytes` of covered / base spans, to the end of the file

Files are written under another name and renamed, never synced: after a crash of the machine the checksum tells.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ml_dash.errors import InvalidInput
from ml_dash.rollup import (
    BASE,
    SPAN_BYTES,
    BoolArray,
    FloatArray,
    IntArray,
    Rollup,
    Sample,
    bucket_edges,
    bucket_width,
    concat,
    grid,
    merge,
    roll,
    sample_of,
)

if TYPE_CHECKING:
    from ml_dash.model import SeriesKey
    from ml_dash.store.column_cache import ColumnCache

_MAGIC = b"MLDROLL\0"
_VERSION = 1
_HEAD = struct.Struct("<8sIIQ32s")
_CHECKSUM = 16
_GROWN = 100
"""One part in so many: a span's 96 bytes are written sooner than its 100 rows are decoded again by the next process."""
_ENTRY_COST = 1024
"""Bytes that an entry is taken to cost beside its arrays."""
_STRIPES = 64


class SampleSource(Protocol):
    """One series as it is now: what `SampleCache.sample` reads."""

    @property
    def identity(self) -> bytes:
        """Hash of the inode and the first line: differs when the file is another one."""

    @property
    def total(self) -> int:
        """How many points there are."""

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> Mapping[str, tuple[FloatArray, BoolArray]]:
        """Rows [start, stop) of each field: the values, and where there is a number (a bool is 0 or 1); both of
        shape (stop - start,). 0 ≤ start ≤ stop ≤ `total`."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of one (series, field). Never changed, only replaced, so that readers need no lock."""

    identity: bytes
    rollup: Rollup
    """Whole spans from index 0."""
    seen: int = -1
    """The series' length when the rollup was last found true; -1: not since it was loaded."""
    filed: int = 0
    """Spans that the file holds."""
    spent: int = 0
    """Rows that were decoded past the rollup without extending it."""


class SampleCache:
    """Answers `sample` for local series. All methods may be called from any thread, and in a forked child.

    `folder` is where rollups of at least `file_from` points are written; None: nowhere. `base` is the points a span,
    `memory` the bytes kept (the least recently used go; the last one used stays, however large), `block` the rows
    decoded at a time. `columns` keeps what is decoded of short series.
    """

    def __init__(
        self,
        folder: Path | None,
        base: int = BASE,
        *,
        memory: int = 256 << 20,
        file_from: int = 20_000,
        block: int = 1 << 20,
        columns: ColumnCache | None = None,
    ) -> None:
        self._folder = folder
        self._base = base
        self._memory = memory
        self._file_from = file_from
        self._block = block
        self._columns = columns
        self._forget()
        _caches.add(self)

    def _forget(self) -> None:
        # Lock order: a series' stripe, held while its rows are decoded, then the entries' lock, held for moments.
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[SeriesKey, str], _Entry] = OrderedDict()
        self._used = 0
        if self._columns is not None:
            self._columns.forget()

    def sample(
        self,
        series: SeriesKey,
        source: SampleSource,
        field: str,
        x: str | None,
        start: int,
        stop: int | None,
        max_points: int,
    ) -> Sample:
        """At most `max_points` exact buckets of `field` over the indices [start, stop), cut as `bucket_edges` says.

        `x` names the field behind `x_min` and `x_max`; None: the index. `stop` None or past the end is the end; a
        range without points gives an empty sample. Raises `InvalidInput` where `start` or `stop` is negative or
        `max_points` is not an int ≥ 1, and whatever `source` raises.
        """
        if self._columns is not None:
            source = self._columns.of(series, source)
        total = source.total
        stop = total if stop is None else min(stop, total)
        if stop < 0:
            raise InvalidInput(f"stop: expected an index of 0 or more, or None, got {stop}")
        edges = bucket_edges(start, stop, max_points, self._base)
        names = [field] if x is None or x == field else [field, x]
        if bucket_width(start, stop, max_points, self._base) < self._base or stop <= start:
            rollups = self._roll_rows(source, names, edges)
        else:
            spans = grid(start, stop, self._base)
            groups = np.searchsorted(spans, edges)
            parts = self._roll_spans(series, source, total, names, spans)
            rollups = {name: merge(part, groups) for name, part in parts.items()}
        return sample_of(edges, rollups[field], None if x is None else rollups[x])

    def _roll_rows(self, source: SampleSource, names: Sequence[str], edges: IntArray) -> dict[str, Rollup]:
        """Rollups of the spans between `edges`, from rows alone. No span is wider than `base`."""
        parts: dict[str, list[Rollup]] = {name: [] for name in names}
        at = 0
        while at < len(edges) - 1:
            end = max(at + 1, int(np.searchsorted(edges, edges[at] + self._block, "right")) - 1)
            piece = edges[at : end + 1]
            first = int(piece[0])
            rows = source.numbers(names, first, int(piece[-1]))
            for name in names:
                parts[name].append(roll(*rows[name], first, piece))
            at = end
        return {name: concat(part) for name, part in parts.items()}

    def _roll_spans(
        self, series: SeriesKey, source: SampleSource, total: int, names: Sequence[str], spans: IntArray
    ) -> dict[str, Rollup]:
        """Rollups of the spans between `spans`, base spans but at the two ends: from the cache if that is cheaper."""
        start, stop = int(spans[0]), int(spans[-1])
        head, whole = -(-start // self._base), stop // self._base
        held = self._hold(series, source, total, names, stop - start, whole) if head < whole else None
        if held is None:
            return self._roll_rows(source, names, spans)
        before = self._roll_rows(source, names, spans[:2] if start < head * self._base else spans[:1])
        after = self._roll_rows(source, names, spans[-2:] if whole * self._base < stop else spans[-1:])
        return {name: concat([before[name], held[name].part(head, whole), after[name]]) for name in names}

    def _hold(
        self, series: SeriesKey, source: SampleSource, total: int, names: Sequence[str], rows: int, whole: int
    ) -> dict[str, Rollup] | None:
        """Rollups of at least the first `whole` spans; None where decoding the `rows` asked for is the better deal.

        It is as long as decoding them directly has cost less, in all, than covering everything before them would: a
        glance at the end of a long series is quick, and whoever keeps looking pays at most twice.
        """
        with self._stripes[hash(series) % _STRIPES]:
            identity = source.identity
            entries = {name: self._find(series, name, identity, total) for name in names}
            missing = max((whole - len(entry.rollup)) * self._base - entry.spent for entry in entries.values())
            if rows < missing:
                for name, entry in entries.items():
                    self._keep(series, name, replace(entry, spent=entry.spent + rows))
                return None
            entries = self._extend(source, total, entries, whole)
            for name, entry in entries.items():
                self._keep(series, name, self._filed(series, name, entry))
        return {name: entry.rollup for name, entry in entries.items()}

    def _extend(self, source: SampleSource, total: int, entries: Mapping[str, _Entry], whole: int) -> dict[str, _Entry]:
        """The entries, found true for the series as it is, and of at least `whole` spans."""
        out = dict(entries)
        due = [name for name, entry in entries.items() if entry.seen != total or len(entry.rollup) < whole]
        for spans in {len(entries[name].rollup) for name in due}:
            group = [name for name in due if len(entries[name].rollup) == spans]
            # The last span is read again: a file written over keeps its inode, and may keep its first line.
            known = min(spans, 1)
            edges = np.arange(spans - known, max(spans, whole) + 1, dtype=np.int64) * self._base
            fresh = self._roll_rows(source, group, edges)
            for name in group:
                old = entries[name]
                if not _agree(old.rollup.part(spans - known), fresh[name].part(0, known)):
                    blank = _Entry(old.identity, concat([]))
                    out |= self._extend(source, total, {name: blank}, whole)
                else:
                    grown = concat([old.rollup, fresh[name].part(known)])
                    out[name] = replace(old, rollup=grown, seen=total, spent=0)
        return out

    def _find(self, series: SeriesKey, field: str, identity: bytes, total: int) -> _Entry:
        """What is known of the field, or an entry of no span; never of more than `total` points."""
        with self._lock:
            entry = self._entries.get((series, field))
        if entry is None or entry.identity != identity or len(entry.rollup) * self._base > total:
            rollup = self._load(series, field, identity, total)
            entry = _Entry(identity, rollup, filed=len(rollup))
        return entry

    def _keep(self, series: SeriesKey, field: str, entry: _Entry) -> None:
        key = (series, field)
        with self._lock:
            self._drop(self._entries.pop(key, None))
            self._entries[key] = entry
            self._used += entry.rollup.nbytes + _ENTRY_COST
            while self._used > self._memory and len(self._entries) > 1:
                self._drop(self._entries.popitem(last=False)[1])

    def _drop(self, entry: _Entry | None) -> None:
        if entry is not None:
            self._used -= entry.rollup.nbytes + _ENTRY_COST

    def _load(self, series: SeriesKey, field: str, identity: bytes, total: int) -> Rollup:
        """The rollup in the file; one of no span if the file is missing or is not what it should be."""
        if self._folder is None or total < self._file_from:
            return concat([])
        try:
            data = self._path(self._folder, series, field).read_bytes()
        except OSError:
            return concat([])
        body = memoryview(data)[_HEAD.size + _CHECKSUM :]
        spans, rest = divmod(len(body), SPAN_BYTES)
        # What the file must begin with follows from its length and from what it is for: nothing in it is believed.
        head = self._head(series, field, identity, spans)
        if rest or spans * self._base > total or data[: len(data) - len(body)] != head + _checksum(head, body):
            return concat([])
        return Rollup.from_bytes(body)

    def _filed(self, series: SeriesKey, field: str, entry: _Entry) -> _Entry:
        """The entry, written to its file if it is long and has grown by a hundredth since the last time."""
        spans = len(entry.rollup)
        if self._folder is None or spans * self._base < self._file_from or spans * _GROWN < entry.filed * (_GROWN + 1):
            return entry
        head = self._head(series, field, entry.identity, spans)
        body = entry.rollup.to_bytes()
        with suppress(OSError):
            _write(self._path(self._folder, series, field), (head, _checksum(head, body), body))
        # Also where that failed: the next try comes after a hundredth more, not with every sample.
        return replace(entry, filed=spans)

    def _head(self, series: SeriesKey, field: str, identity: bytes, spans: int) -> bytes:
        return _HEAD.pack(_MAGIC, _VERSION, self._base, spans * self._base, _owner(series, field, identity))

    def _path(self, folder: Path, series: SeriesKey, field: str) -> Path:
        return folder / f"{_owner(series, field, b'').hex()}.rollup"


def _agree(a: Rollup, b: Rollup) -> bool:
    """Do both say the same, but for the sums, which rounding may tell apart?"""
    names = ("count", "nan", "posinf", "neginf", "min", "max", "argmin", "argmax", "first", "last")
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in names)


def _owner(series: SeriesKey, field: str, identity: bytes) -> bytes:
    """Hash, 32 bytes, of the three; each part goes in behind its length, so that no two triples look alike."""
    digest = hashlib.blake2b(digest_size=32)
    for part in (*(text.encode("utf-8", "surrogatepass") for text in (*series, field)), identity):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def _checksum(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=_CHECKSUM)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Make `path` hold the parts, at once or not at all. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.writelines(parts)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


_caches: weakref.WeakSet[SampleCache] = weakref.WeakSet()


def _after_fork() -> None:
    """A lock that another thread held at the fork would never open in the child: begin anew with an empty cache."""
    for cache in list(_caches):
        cache._forget()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
