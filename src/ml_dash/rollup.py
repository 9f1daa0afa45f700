"""Rollups: mergeable summaries of spans of one numeric field, and the `Sample` drawn from them.

Only arithmetic on arrays lives here. No files, stores, JSON or clocks. NumPy is imported at the top, so whoever must
import fast (`import ml_dash`) imports this module inside the function that samples.

A bucket keeps its first, minimum, maximum and last value, as M4 does, which is what a line drawn at that resolution
needs to be pixel-exact (Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), and
where the extremes are. Everything but the mean is exact whichever way the spans were cut and merged: a spike of a
single point never vanishes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_dash.errors import InvalidInput

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BASE = 100
"""Points in a span of the rollups that stores keep."""

# Values beyond 2^900 are summed apart, in units of 2^100: neither of the two sums can overflow below 2^99 points, and
# scaling by a power of two loses nothing at that size.
_HUGE = 2.0**900
_UNIT = 2.0**100


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Buckets of consecutive indices of one field: arrays of equal length, one element a bucket, in order.

    A *finite value* is a number that is neither NaN nor infinite; a bool counts as 0 or 1. Rows without the field, and
    rows where it is not a number, count nowhere. Of two equal extremes the earlier is the one.
    """

    start: IntArray
    """First index of the bucket."""
    stop: IntArray
    """One past its last index."""
    x_min: FloatArray
    """Least finite value of the x field in the bucket's rows, NaN if there is none; `start` where x is None."""
    x_max: FloatArray
    """Greatest finite value of the x field, NaN if there is none; `stop - 1` where x is None."""
    count: IntArray
    """How many finite values."""
    nan: IntArray
    """How many NaN."""
    posinf: IntArray
    """How many +Infinity."""
    neginf: IntArray
    """How many -Infinity."""
    min: FloatArray
    """Least finite value; this and the float arrays below are NaN where `count` is 0."""
    max: FloatArray
    """Greatest finite value."""
    argmin: IntArray
    """Index (in the series) of `min`, -1 where `count` is 0."""
    argmax: IntArray
    """Index (in the series) of `max`, -1 where `count` is 0."""
    first: FloatArray
    """The finite value with the least index."""
    last: FloatArray
    """The finite value with the greatest index."""
    mean: FloatArray
    """Mean of the finite values, within [min, max] always; rounding may differ by how spans were merged."""

    def __len__(self) -> int:
        return len(self.start)

    def to_dict(self) -> dict[str, list[Any]]:
        """The arrays as lists of Python ints and floats, by name. NaN stays a float."""
        return {column.name: getattr(self, column.name).tolist() for column in fields(self)}


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """A summary of consecutive spans of one field: arrays of equal length, one element a span, in order.

    Which spans these are is known to whoever holds it. Fields mean what they mean in `Sample`; `argmin` and `argmax`
    are absolute. The sum of a span's finite values is ``sum + sum_huge * 2**100``; both are 0 where there is none.
    """

    count: IntArray
    nan: IntArray
    posinf: IntArray
    neginf: IntArray
    sum: FloatArray
    sum_huge: FloatArray
    min: FloatArray
    max: FloatArray
    argmin: IntArray
    argmax: IntArray
    first: FloatArray
    last: FloatArray

    def __len__(self) -> int:
        return len(self.count)

    @property
    def columns(self) -> tuple[IntArray | FloatArray, ...]:
        """The arrays, in the order of the fields."""
        return tuple(getattr(self, name) for name in _COLUMNS)

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        return len(self) * SPAN_BYTES

    def part(self, start: int, stop: int | None = None) -> Rollup:
        """Spans [start, stop), as views; positions as in a slice."""
        return Rollup(**{name: getattr(self, name)[start:stop] for name in _COLUMNS})

    def mean(self) -> FloatArray:
        """Mean of each span, within [min, max]; NaN where the span has no finite value."""
        points = np.maximum(self.count, 1)
        mean = self.sum / points
        if self.sum_huge.any():
            with np.errstate(over="ignore"):
                scaled = (self.sum / _UNIT + self.sum_huge) / points * _UNIT
            mean = np.where(self.sum_huge == 0, mean, scaled)
        return np.minimum(np.maximum(mean, self.min), self.max)

    def to_bytes(self) -> bytes:
        """The arrays one after the other, each of little-endian 8-byte integers or floats: `SPAN_BYTES` a span."""
        return b"".join(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes() for column in self.columns)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Rollup:
        """What `to_bytes` made, as read-only views of `data`. Raises `InvalidInput` for a length that cannot be."""
        spans, rest = divmod(len(data), SPAN_BYTES)
        if rest:
            raise InvalidInput(f"data: expected a multiple of {SPAN_BYTES} bytes, got {len(data)}")
        columns: dict[str, Any] = {
            name: np.frombuffer(data, kind.newbyteorder("<"), spans, at * spans * 8).astype(kind, copy=False)
            for at, (name, kind) in enumerate(_COLUMNS.items())
        }
        return cls(**columns)


_INTS = {"count", "nan", "posinf", "neginf", "argmin", "argmax"}
_COLUMNS = {column.name: np.dtype(np.int64 if column.name in _INTS else np.float64) for column in fields(Rollup)}
SPAN_BYTES = 8 * len(_COLUMNS)
"""Bytes that a `Rollup` takes for a span, in memory and in `Rollup.to_bytes`."""


def roll(values: FloatArray, valid: BoolArray, first_index: int, edges: IntArray) -> Rollup:
    """Summarise rows.

    `values` and `valid` (is there a number?) are of shape (n,) and hold the rows [first_index, first_index + n).
    `edges`, of shape (k + 1,), are indices within that range that never fall: span i is [edges[i], edges[i + 1]) and
    may be empty.
    """
    at = edges - first_index
    where = np.flatnonzero(np.isfinite(values) & valid)
    cuts = np.searchsorted(where, at)
    finite = values[where]
    index = where + first_index
    some, begin, end = _occupied(cuts)
    low, high = _earliest(np.minimum, finite, cuts), _earliest(np.maximum, finite, cuts)
    total, huge = _sums(finite, cuts)
    nan, posinf, neginf = _odd(values, valid, at)
    return Rollup(
        count=np.diff(cuts),
        nan=nan,
        posinf=posinf,
        neginf=neginf,
        sum=total,
        sum_huge=huge,
        min=_spread(some, finite[low], np.nan),
        max=_spread(some, finite[high], np.nan),
        argmin=_spread(some, index[low], -1),
        argmax=_spread(some, index[high], -1),
        first=_spread(some, finite[begin], np.nan),
        last=_spread(some, finite[end - 1], np.nan),
    )


def merge(rollup: Rollup, groups: IntArray) -> Rollup:
    """Unite neighbours: span i of the result is spans [groups[i], groups[i + 1]) of `rollup`.

    `groups`, of shape (k + 1,), are positions that never fall; a group may be empty.
    """
    where = np.flatnonzero(rollup.count)
    cuts = np.searchsorted(where, groups)
    some, begin, end = _occupied(cuts)
    low = where[_earliest(np.minimum, rollup.min[where], cuts)]
    high = where[_earliest(np.maximum, rollup.max[where], cuts)]
    return Rollup(
        count=_add(rollup.count, groups),
        nan=_add(rollup.nan, groups),
        posinf=_add(rollup.posinf, groups),
        neginf=_add(rollup.neginf, groups),
        sum=_add(rollup.sum, groups),
        sum_huge=_add(rollup.sum_huge, groups),
        min=_spread(some, rollup.min[low], np.nan),
        max=_spread(some, rollup.max[high], np.nan),
        argmin=_spread(some, rollup.argmin[low], -1),
        argmax=_spread(some, rollup.argmax[high], -1),
        first=_spread(some, rollup.first[where[begin]], np.nan),
        last=_spread(some, rollup.last[where[end - 1]], np.nan),
    )


def concat(rollups: Sequence[Rollup]) -> Rollup:
    """The spans of each, one after the other. None at all gives no span."""
    full = [rollup for rollup in rollups if len(rollup)]
    if len(full) == 1:
        return full[0]
    if not full:
        return Rollup.from_bytes(b"")
    return Rollup(**{name: np.concatenate([getattr(rollup, name) for rollup in full]) for name in _COLUMNS})


def sample_of(edges: IntArray, y: Rollup, x: Rollup | None = None) -> Sample:
    """The `Sample` whose bucket i is [edges[i], edges[i + 1]), summarised by span i of `y` and, unless None, of `x`."""
    start, stop = edges[:-1], edges[1:]
    return Sample(
        start=start,
        stop=stop,
        x_min=start.astype(np.float64) if x is None else x.min,
        x_max=(stop - 1).astype(np.float64) if x is None else x.max,
        count=y.count,
        nan=y.nan,
        posinf=y.posinf,
        neginf=y.neginf,
        min=y.min,
        max=y.max,
        argmin=y.argmin,
        argmax=y.argmax,
        first=y.first,
        last=y.last,
        mean=y.mean(),
    )


def bucket_width(start: int, stop: int, max_points: int, base: int | Sequence[int] = BASE) -> int:
    """Width (points) of the buckets of `bucket_edges`. Raises `InvalidInput` as it does."""
    most = _positive("max_points", max_points)
    if start < 0:
        raise InvalidInput(f"start: expected an index of 0 or more, got {start}")
    if stop - start <= most:
        return 1
    bases = (base,) if isinstance(base, int) else base
    # `needed` never falls as `width` grows and the first width is below the answer, so this stops at the narrowest.
    width = _allowed(-(-(stop - start) // most), bases)
    while True:
        needed = _allowed(-(-stop // (start // width + most)), bases)
        if needed <= width:
            return width
        width = needed


def bucket_edges(start: int, stop: int, max_points: int, base: int | Sequence[int] = BASE) -> IntArray:
    """Boundaries, shape (k + 1,), of at most `max_points` buckets over the indices [start, stop).

    One bucket a point where that is few enough. Otherwise the narrowest width that will do, where boundaries within
    are absolute multiples of the width, so that buckets stay where they are while a live series grows; the first and
    the last may be partial. A width above `base` is a multiple of it, so that buckets are unions of whole base spans
    but at the two ends; of several bases, each a multiple of the one before, the greatest below the width counts. Empty
    ranges give no bucket. Raises `InvalidInput` unless `max_points` is an int ≥ 1 and `start` ≥ 0.
    """
    width = bucket_width(start, stop, max_points, base)
    if stop <= start:
        return np.array([start], np.int64)
    return grid(start, stop, width)


def grid(start: int, stop: int, width: int) -> IntArray:
    """`start`, every multiple of `width` between, `stop`. Needs start < stop."""
    inner = np.arange((start // width + 1) * width, stop, width, dtype=np.int64)
    return np.concatenate((np.array([start], np.int64), inner, np.array([stop], np.int64)))


def _allowed(width: int, bases: Sequence[int]) -> int:
    """The narrowest allowed width that is no less."""
    step = max((base for base in bases if base < width), default=1)
    return -(-width // step) * step


def _positive(name: str, value: object) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 1:
        raise InvalidInput(f"{name}: expected an int of 1 or more, got {value!r}")
    return number


# Below, `cuts` (k + 1 positions that never fall) divides an array into k groups. `ufunc.reduceat` takes an empty group
# for its next element, so it is shown the others only ("occupied") and its results are spread over all.


def _occupied(cuts: IntArray) -> tuple[BoolArray, IntArray, IntArray]:
    """Which groups are not empty, (k,), and where each of those begins and ends."""
    begin, end = cuts[:-1], cuts[1:]
    some = end > begin
    return some, begin[some], end[some]


def _spread(some: BoolArray, values: npt.NDArray[Any], empty: float) -> npt.NDArray[Any]:
    if some.all():
        return values
    out = np.full(len(some), empty, values.dtype)
    out[some] = values
    return out


def _add(values: npt.NDArray[Any], cuts: IntArray) -> npt.NDArray[Any]:
    """Sum of each group, (k,); 0 for an empty one."""
    some, begin, end = _occupied(cuts)
    if not len(begin):
        return np.zeros(len(some), values.dtype)
    return _spread(some, np.add.reduceat(values[: end[-1]], begin), 0)


def _earliest(extreme: np.ufunc, values: FloatArray, cuts: IntArray) -> IntArray:
    """Position of the earliest least (np.minimum) or greatest (np.maximum) value of each occupied group."""
    _, begin, end = _occupied(cuts)
    if not len(begin):
        return begin
    lead, values = begin[0], values[: end[-1]]
    best = np.repeat(extreme.reduceat(values, begin), end - begin)
    hits = np.flatnonzero(values[lead:] == best) + lead
    found: IntArray = hits[np.searchsorted(hits, begin)]
    return found


def _sums(finite: FloatArray, cuts: IntArray) -> tuple[FloatArray, FloatArray]:
    """`Rollup.sum` and `Rollup.sum_huge` of each group."""
    huge = np.abs(finite) > _HUGE
    if not huge.any():
        return _add(finite, cuts), np.zeros(len(cuts) - 1)
    return _add(np.where(huge, 0.0, finite), cuts), _add(np.where(huge, finite / _UNIT, 0.0), cuts)


def _odd(values: FloatArray, valid: BoolArray, at: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """How many NaN, +Infinity and -Infinity are in each group of rows."""
    where = np.flatnonzero(valid & ~np.isfinite(values))
    odd = values[where]
    nan, posinf, neginf = (
        np.diff(np.searchsorted(where[kind], at)) for kind in (np.isnan(odd), odd == np.inf, odd == -np.inf)
    )
    return nan, posinf, neginf
