"""Samples of a series in two tiers, from rollups where a pixel spans many points: as quick for a billion as for a thousand.

What belongs here: which rollups to ask for, how to join them with the rows around them, and which to keep. How they are
fetched is the source's matter (`SeriesSource`), arithmetic is `rollup`'s.

Spans of 10,000 and of 1,000 points are in the manifest, those of 100 in the chunks. They are cut at absolute multiples
of their width and at the ends of chunks, so wherever a bucket of such a multiple begins, a span does. The rows before the first whole span,
behind the last one and above `sealed` are read as they are. Everything but the mean is exact.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import zstandard

from ml_dash import rollup
from ml_dash.errors import CorruptData, InvalidInput
from ml_dash.rollup import BASE, BoolArray, FloatArray, IntArray, Rollup, Sample
from ml_dash.store.chunk_rollups import rollups
from ml_dash.store.tier_keys import field_key, first_of

LEVELS = (BASE, 1_000, 10_000)
"""Points a span of the rollups that are kept."""
MEMORY = 64 << 20
_NAMED = {1_000: "r3", 10_000: "r4"}
"""Where the manifest has them."""
_BLOCK = 1 << 20
"""Rows read at a time."""
_ENTRY_COST = 1024
"""Bytes that a stretch is taken to cost beside its arrays."""
_WIDTH = rollup.SPAN_BYTES // 8

Entry = Mapping[str, Any]


class SeriesSource(Protocol):
    """One series as it was at one moment."""

    sid: bytes
    """What names the series, for ever."""
    total: int
    """How many points there are."""
    sealed: int
    """How many of them are in chunks."""

    def entries(self, start: int, stop: int, level: int, fields: Sequence[str]) -> Sequence[Entry]:
        """The manifest's entries that overlap [start, stop), which is below `sealed`, in order; of level 1,000 and 10,000 with
        the rollups of `fields` under "r3" and "r4"."""

    def chunk_rollups(self, entries: Sequence[Entry]) -> list[bytes]:
        """Each chunk's rollups of 100 points a span, as `chunk_rollups.rollups` takes them."""

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> Mapping[str, tuple[FloatArray, BoolArray]]:
        """Rows [start, stop) of each field, as `codec.numbers` gives them."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rollups of one field over consecutive chunks. Never changed, only replaced: readers need no lock."""

    bounds: IntArray
    """First index of each span, and where the last one ends."""
    rolled: Rollup

    @property
    def cost(self) -> int:
        return self.bounds.nbytes + self.rolled.nbytes + _ENTRY_COST


class Samples:
    """Answers `sample` for series in two tiers. Any thread may use it.

    `memory` bounds the bytes kept of rollups: the least recently used go. What is kept needs no second look, since entries
    below `sealed` never change and run ids never come back.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bytes, int, str], _Stretch] = OrderedDict()
        self._used = 0

    def sample(
        self, source: SeriesSource, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """At most `max_points` exact buckets of `field` over the indices [start, stop), cut as `rollup.bucket_edges` says.

        `x` names the field behind `x_min` and `x_max`; None: the index. `stop` None or past the end is the end. Raises
        `InvalidInput` where `start` or `stop` is negative or `max_points` is not an int ≥ 1, `CorruptData`, and
        whatever the source raises.
        """
        stop = source.total if stop is None else min(stop, source.total)
        if stop < 0:
            raise InvalidInput(f"stop: expected an index of 0 or more, or None, got {stop}")
        width = rollup.bucket_width(start, stop, max_points, LEVELS)
        edges = rollup.bucket_edges(start, stop, max_points, LEVELS)
        names = [field] if x is None or x == field else [field, x]
        level = max((level for level in LEVELS if level <= width), default=0)
        seam = min(stop, source.sealed)
        if not level or start >= seam:
            found = _roll_rows(source, names, edges)
        else:
            found = self._roll_spans(source, names, level, edges, seam)
        return rollup.sample_of(edges, found[field], None if x is None else found[x])

    def _roll_spans(
        self, source: SeriesSource, names: Sequence[str], level: int, edges: IntArray, seam: int
    ) -> dict[str, Rollup]:
        """The buckets between `edges`, from rollups of `level` below `seam` and rows around them."""
        start, stop = int(edges[0]), int(edges[-1])
        whole: dict[str, Rollup] = {}
        bounds = edges[:0]
        for name, stretch in self._hold(source, level, names, start, seam).items():
            first, last = np.searchsorted(stretch.bounds, (start, seam + 1)).tolist()
            bounds = stretch.bounds[first:last]
            whole[name] = stretch.rolled.part(first, max(first, last - 1))
        # No bucket begins before the first whole span or behind the last one, but where a span would.
        before = _unique(start, *bounds[:1].tolist(), *([] if len(bounds) else [seam]))
        behind = _unique(*bounds[-1:].tolist(), seam, *edges[(edges > seam) & (edges < stop)].tolist(), stop)
        head, tail = _roll_rows(source, names, before), _roll_rows(source, names, behind)
        spans = np.concatenate((before[:-1], bounds[:-1], behind))
        groups = np.searchsorted(spans, edges)
        return {name: rollup.merge(rollup.concat([head[name], whole[name], tail[name]]), groups) for name in names}

    # ------------------------------------------------------------ what is kept

    def _hold(
        self, source: SeriesSource, level: int, names: Sequence[str], start: int, stop: int
    ) -> dict[str, _Stretch]:
        """Rollups that cover [start, stop), each field's from what is kept and what the source adds to it."""
        out: dict[str, _Stretch] = {}
        missing: dict[tuple[int, int], list[str]] = {}
        for name in names:
            kept = self._find((source.sid, level, name))
            if kept is None or kept.bounds[0] > stop or kept.bounds[-1] < start:
                missing.setdefault((start, stop), []).append(name)
                continue
            out[name] = kept
            if start < kept.bounds[0]:
                missing.setdefault((start, int(kept.bounds[0])), []).append(name)
            if kept.bounds[-1] < stop:
                missing.setdefault((int(kept.bounds[-1]), stop), []).append(name)
        for (begin, end), some in missing.items():
            for name, stretch in _load(source, level, some, begin, end).items():
                out[name] = _joined(out.get(name), stretch)
        for name, stretch in out.items():
            self._keep((source.sid, level, name), stretch)
        return out

    def _find(self, key: tuple[bytes, int, str]) -> _Stretch | None:
        with self._lock:
            return self._kept.get(key)

    def _keep(self, key: tuple[bytes, int, str], stretch: _Stretch) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            self._used += stretch.cost - (old.cost if old else 0)
            self._kept[key] = stretch
            while self._used > self._memory and len(self._kept) > 1:
                self._used -= self._kept.popitem(last=False)[1].cost


def _unique(*places: int) -> IntArray:
    """Rising places, each once."""
    return np.array(sorted(set(places)), np.int64)


def _joined(old: _Stretch | None, new: _Stretch) -> _Stretch:
    """Two that meet, as one."""
    if old is None:
        return new
    one, two = (old, new) if old.bounds[-1] == new.bounds[0] else (new, old)
    return _Stretch(np.concatenate((one.bounds[:-1], two.bounds)), rollup.concat([one.rolled, two.rolled]))


# ---------------------------------------------------------------- rows


def _roll_rows(source: SeriesSource, names: Sequence[str], edges: IntArray) -> dict[str, Rollup]:
    """Rollups of the spans between `edges`, from rows alone."""
    parts: dict[str, list[Rollup]] = {name: [] for name in names}
    at = 0
    while at < len(edges) - 1:
        end = max(at + 1, int(np.searchsorted(edges, edges[at] + _BLOCK, "right")) - 1)
        piece = edges[at : end + 1]
        first = int(piece[0])
        rows = source.numbers(names, first, int(piece[-1]))
        for name in names:
            parts[name].append(rollup.roll(*rows[name], first, piece))
        at = end
    return {name: rollup.concat(part) for name, part in parts.items()}


# ---------------------------------------------------------------- rollups


def _load(source: SeriesSource, level: int, names: Sequence[str], start: int, stop: int) -> dict[str, _Stretch]:
    """The rollups of the chunks that overlap [start, stop), which has rows."""
    entries = source.entries(start, stop, level, names)
    firsts = np.array([first_of(entry["_id"]) for entry in entries], np.int64)
    stops = np.array([entry["stop"] for entry in entries], np.int64)
    if not len(entries) or firsts[0] > start or stops[-1] < stop or (firsts[1:] != stops[:-1]).any():
        raise CorruptData(_origin(source), start, f"the manifest does not have all of rows {start} to {stop}")
    bounds, counts = _bounds(firsts, stops, level)
    found = _coarse(source, entries, level, names, counts) if level in _NAMED else _fine(source, entries, names)
    return {name: _Stretch(bounds, _rollup(table)) for name, table in found}


def _bounds(firsts: IntArray, stops: IntArray, level: int) -> tuple[IntArray, IntArray]:
    """Where the spans of all chunks begin (and the last ends), and how many each chunk has: `rollup.grid` of many."""
    counts = (stops - 1) // level - firsts // level + 1
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.maximum((np.repeat(firsts // level, counts) + within) * level, np.repeat(firsts, counts))
    return np.append(begins, stops[-1]), counts


def _coarse(
    source: SeriesSource, entries: Sequence[Entry], level: int, names: Sequence[str], counts: IntArray
) -> Iterator[tuple[str, IntArray]]:
    """Each field's spans from the manifest, and from the chunks where that has only commoner fields."""
    keys = [field_key(name) for name in names]
    held = [entry.get(_NAMED[level]) or {} for entry in entries]
    rarer = [at for at, entry in enumerate(entries) if entry["more"] and not all(key in held[at] for key in keys)]
    blobs = dict(zip(rarer, source.chunk_rollups([entries[at] for at in rarer]) if rarer else (), strict=True))
    decompress = zstandard.ZstdDecompressor().decompress
    expected = counts.tolist()
    for name, key in zip(names, keys, strict=True):
        parts = []
        for at, found in enumerate(held):
            if key in found:
                parts.append(_decoded(source, entries[at], decompress, found[key], expected[at]))
            elif at in blobs:
                parts.append(_merged(entries[at], blobs[at], name, level))
            else:
                parts.append(_empty(expected[at]))
        yield name, np.concatenate(parts, axis=1)


def _decoded(source: SeriesSource, entry: Entry, decompress: Any, frame: bytes, spans: int) -> IntArray:
    try:
        table = np.frombuffer(decompress(frame), "<i8")
        return table.reshape(_WIDTH, spans)
    except (ValueError, zstandard.ZstdError) as e:
        first = first_of(entry["_id"])
        raise CorruptData(_origin(source), first, f"a manifest entry whose rollups are damaged ({e})") from e


def _merged(entry: Entry, blob: bytes, name: str, level: int) -> IntArray:
    """Spans of `level` out of a chunk's own."""
    first, stop = first_of(entry["_id"]), entry["stop"]
    fine = rollups(blob, first, stop, [name], f"the chunk of rows {first} to {stop}")[name]
    groups = np.searchsorted(rollup.grid(first, stop, BASE), rollup.grid(first, stop, level))
    return _table(rollup.merge(fine, groups))


def _fine(source: SeriesSource, entries: Sequence[Entry], names: Sequence[str]) -> Iterator[tuple[str, IntArray]]:
    """Each field's spans from the chunks."""
    blobs = source.chunk_rollups(entries)
    found = [
        rollups(blob, first_of(entry["_id"]), entry["stop"], names, entry["key"])
        for entry, blob in zip(entries, blobs, strict=True)
    ]
    for name in names:
        yield name, np.concatenate([_table(each[name]) for each in found], axis=1)


def _table(part: Rollup) -> IntArray:
    return np.stack([column.view(np.int64) for column in part.columns])


def _rollup(table: IntArray) -> Rollup:
    return Rollup.from_bytes(table.tobytes())


@lru_cache(maxsize=64)
def _empty(spans: int) -> IntArray:
    """Spans without a number, of which chunks have as many as others."""
    blank = rollup.roll(np.empty(0), np.empty(0, np.bool_), 0, np.zeros(spans + 1, np.int64))
    return _table(blank)


def _origin(source: SeriesSource) -> str:
    return f"the manifest of series {source.sid.hex()}"
