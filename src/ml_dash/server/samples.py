"""Samples of many series in one answer, as docs/formats/protocol.md has it: a line with a head and then arrays, for each. What is
computed once for a series that has not grown since is kept, so that many pages that look at the same run cost as much as one.

No HTTP and no rights: whoever calls knows who asks. Needs NumPy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from ml_dash.errors import InvalidInput
from ml_dash.model import SeriesKey
from ml_dash.server.times_of_series import SeriesTimes, Ticks, times_at
from ml_dash.store import wire
from ml_dash.store.checks import check_series

if TYPE_CHECKING:
    from ml_dash.rollup import Sample
    from ml_dash.store.base import Store

SAMPLES = "application/x-ml-dash-samples"
"""Content type of the answer: for each a line with a `Head`, then its columns."""
MOST_SERIES = 500
"""Of one request."""
MOST_BUCKETS = 10_000
"""Of one series."""
MEMORY = 64 << 20
"""Bytes of answers that are kept."""
TIME = "time"
"""What `x` is called where it is the wall time."""
_STRIPES = 64
_ENTRY_COST = 512
_encode = msgspec.json.Encoder().encode

Index = Annotated[int, Meta(ge=0, le=1 << 62)]


class SampleOf(Struct):
    """`field` of a series over [start, stop): in at most `max_points` buckets, or, with a `width` that an answer told, in buckets
    of that width, of which there may be 10,000."""

    run: str
    kind: Literal["metrics", "tracks", "logs", "events"]
    name: str
    field: str
    start: Index = 0
    stop: Index | None = None
    max_points: Annotated[int, Meta(ge=1, le=MOST_BUCKETS)] = 400
    width: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None


class SamplesAsked(Struct):
    """What to draw. `x` is for all of them: null is the index, "time" the wall time in unix ms, anything else a field."""

    series: Annotated[list[SampleOf], Meta(max_length=MOST_SERIES)]
    x: str | None = None


class Frames:
    """The answers for single series of one store. Any thread may ask; the same thing is computed by one at a time."""

    def __init__(self, store: Store, memory: int = MEMORY) -> None:
        self._store = store
        self._memory = memory
        self._times = SeriesTimes(store.columns)
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._used = 0

    def frame(self, at: int, asked: SampleOf, x: str | None) -> bytes:
        """Head and columns, `at` being the place in the request. Raises whatever the store raises, and `InvalidInput`."""
        series = SeriesKey(asked.run, asked.kind, asked.name)
        check_series(series)
        total = self._store.read(series, 0, 0).total
        stop = total if asked.stop is None else min(asked.stop, total)
        ticks = self._times.ticks(series, stop) if x == TIME else None
        # Rows below `stop` never change; a tick may come later than its point.
        seen = (len(ticks), *ticks[-1:, 1].tolist()) if ticks is not None else ()
        key = (series, asked.field, x, asked.start, stop, asked.width or -asked.max_points, seen)
        with self._stripes[hash(key) % _STRIPES]:
            made = self._find(key)
            if made is None:
                made = self._made(series, asked, x, stop, ticks)
                self._keep(key, made)
        return b'{"at": %d, "total": %d, %b' % (at, total, made)

    def _made(self, series: SeriesKey, asked: SampleOf, x: str | None, stop: int, ticks: Ticks | None) -> bytes:
        """The rest of the head, and the columns."""
        of_store = None if x == TIME else x

        def sample(start: int, end: int, most: int) -> Sample:
            return self._store.sample(series, asked.field, of_store, start, end, most)

        if asked.start >= stop:
            return _encoded(asked.start, asked.start, asked.width or 1, [sample(stop, stop, 1)], None)
        if asked.width is None:
            parts = [sample(asked.start, stop, asked.max_points)]
        else:
            parts = list(_aligned(sample, asked.start, stop, asked.width))
        times = None if ticks is None else partial(times_at, ticks)
        named = x is not None and x != TIME
        return _encoded(asked.start, stop, asked.width, parts, times, named=named)

    def _find(self, key: tuple[Any, ...]) -> bytes | None:
        with self._lock:
            made = self._kept.get(key)
            if made is not None:
                self._kept.move_to_end(key)
            return made

    def _keep(self, key: tuple[Any, ...], made: bytes) -> None:
        with self._lock:
            self._kept[key] = made
            self._used += len(made) + _ENTRY_COST
            while self._used > self._memory and len(self._kept) > 1:
                self._used -= len(self._kept.popitem(last=False)[1]) + _ENTRY_COST


def failed(at: int, error: Exception) -> bytes:
    """The head in the place of a sample that there is none of."""
    told = wire.problem(error)[1]
    return _encode({"at": at, "error": told.error, "message": told.message}) + b"\n"


def _aligned(sample: Callable[[int, int, int], Sample], start: int, stop: int, width: int) -> Iterator[Sample]:
    """Buckets of just that width, cut at its multiples."""
    if (stop - start) // width >= MOST_BUCKETS:
        raise InvalidInput(
            f"width: {width} points make more than {MOST_BUCKETS} buckets here; ask for a shorter range."
        )
    first, last = -(-start // width) * width, stop // width * width
    if first > last:
        yield sample(start, stop, 1)
        return
    if start < first:
        yield sample(start, first, 1)
    if first < last:
        whole = sample(first, last, (last - first) // width)
        if len(whole) != (last - first) // width:
            raise InvalidInput(f"width: buckets have no width of {width}; give one that an answer told.")
        yield whole
    if last < stop:
        yield sample(last, stop, 1)


def _encoded(
    start: int, stop: int, width: int | None, parts: list[Sample], times: Any, *, named: bool = False
) -> bytes:
    """A sample as it is sent, but for what its head begins with. `times(at)` gives the wall times of indices; `named` is whether
    the parts have an x of their own."""

    def column(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts]).astype("<f8", copy=False)

    begins, ends = column("start"), column("stop")
    exact = bool((ends - begins == 1).all())
    columns = {"start": begins}
    if named:
        columns["x_min"] = column("x_min")
    elif times is not None:
        columns["x_min"] = times(begins)
    if not exact and len(columns) > 1:
        columns["x_max"] = column("x_max") if named else times(ends - 1)
    columns |= {name: column(name) for name in (("min",) if exact else ("min", "max", "mean", "argmin", "argmax"))}
    columns |= {name: odd for name in ("nan", "posinf", "neginf") if (odd := column(name)).any()}
    head = {
        "n": len(begins),
        "start": start,
        "stop": stop,
        "width": width or _width(begins, ends),
        **({"exact": True} if exact else {}),
        "columns": list(columns),
    }
    return b"%b\n%b" % (_encode(head)[1:], b"".join(column.tobytes() for column in columns.values()))


def _width(begins: Any, ends: Any) -> int:
    """Of the buckets that are not cut: those within."""
    if len(begins) > 2:
        return int(ends[1] - begins[1])
    return int((ends - begins).max(initial=1))
