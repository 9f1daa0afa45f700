"""Numeric fields of short local series, decoded once and kept in memory: whoever zooms, or asks for another x, has the same rows
drawn again. Derived, and only in memory. No parsing (a `SampleSource` does it) and no rollups. Imports NumPy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ml_dash.model import SeriesKey
    from ml_dash.rollup import BoolArray, FloatArray
    from ml_dash.store.sample_cache import SampleSource

MEMORY = 128 << 20
_ENTRY_COST = 512
_AGAIN = 8
"""Rows at the end of what is kept that are decoded again when the series has grown: a file written over keeps its inode, and may
keep its first line."""

_Numbers = tuple["FloatArray", "BoolArray"]


@dataclass(frozen=True, slots=True)
class _Column:
    """Rows [0, len) of one field. Never changed, only replaced: readers need no lock."""

    identity: bytes
    values: FloatArray
    valid: BoolArray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def cost(self) -> int:
        return self.values.nbytes + self.valid.nbytes + _ENTRY_COST


class ColumnCache:
    """The numbers of series of at most `most` points, up to `memory` bytes of them: the least recently used go. Any thread may ask;
    where two ask for the same field for the first time, both decode it."""

    def __init__(self, most: int, memory: int = MEMORY) -> None:
        self.most = most
        self._memory = memory
        self.forget()

    def forget(self) -> None:
        """Begin anew, also in a forked child."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[SeriesKey, str], _Column] = OrderedDict()
        self._used = 0

    def of(self, series: SeriesKey, source: SampleSource) -> SampleSource:
        """`source`, with what is kept of it."""
        return _Kept(self, series, source) if 0 < source.total <= self.most else source

    def find(self, series: SeriesKey, field: str, source: _Kept) -> _Column | None:
        """What is kept of the field, if it is of this file, of no more points than that has."""
        with self._lock:
            found = self._kept.get((series, field))
            if found is None or len(found) > source.total:
                return None
            self._kept.move_to_end((series, field))
        return found if found.identity == source.identity else None

    def keep(self, series: SeriesKey, field: str, column: _Column) -> None:
        """Put it in the place of what was kept before."""
        with self._lock:
            old = self._kept.pop((series, field), None)
            self._used += column.cost - (old.cost if old else 0)
            self._kept[series, field] = column
            while self._used > self._memory and len(self._kept) > 1:
                self._used -= self._kept.popitem(last=False)[1].cost


class _Kept:
    """One series as it is now, as a `SampleSource`."""

    def __init__(self, cache: ColumnCache, series: SeriesKey, source: SampleSource) -> None:
        self._cache = cache
        self._series = series
        self._source = source
        self._identity: bytes | None = None
        self.total = source.total

    @property
    def identity(self) -> bytes:
        if self._identity is None:
            self._identity = self._source.identity
        return self._identity

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> Mapping[str, _Numbers]:
        """See `SampleSource.numbers`. What is asked for is decoded alone where that is the smaller part of what is missing."""
        columns = {field: self._cache.find(self._series, field, self) for field in fields}
        short = [field for field, column in columns.items() if column is None or len(column) < stop]
        known = min((len(column) if (column := columns[field]) else 0 for field in short), default=stop)
        if short and 2 * (stop - start) < self.total - known:
            return self._source.numbers(fields, start, stop)
        if short:
            columns |= self._extended(short, {field: columns[field] for field in short}, known)
        return {
            field: (column.values[start:stop], column.valid[start:stop])
            for field, column in columns.items()
            if column is not None
        }

    def _extended(
        self, fields: Sequence[str], before: Mapping[str, _Column | None], known: int
    ) -> dict[str, _Column | None]:
        """The fields to the series' end, of which the first `known` rows are kept."""
        again = min(known, _AGAIN)
        found = self._source.numbers(fields, known - again, self.total)
        out: dict[str, _Column | None] = {}
        for field, (values, valid) in found.items():
            old = before[field]
            if old is None or not known:
                out[field] = _Column(self.identity, values, valid)
            elif _same(old, known - again, values[:again], valid[:again]):
                joined = np.concatenate((old.values[:known], values[again:]))
                out[field] = _Column(self.identity, joined, np.concatenate((old.valid[:known], valid[again:])))
            else:
                return self._extended(fields, dict.fromkeys(fields), 0)
        for field, column in out.items():
            if column is not None:
                self._cache.keep(self._series, field, column)
        return out


def _same(column: _Column, start: int, values: FloatArray, valid: BoolArray) -> bool:
    stop = start + len(values)
    return np.array_equal(column.values[start:stop], values, equal_nan=True) and np.array_equal(
        column.valid[start:stop], valid
    )
