"""When the points of a series came: its ticks, read once and kept, and gone on with as it grows. Knows no HTTP. Needs NumPy."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ml_dash.model import ColumnsPage, SeriesKey

MEMORY = 64 << 20
"""Bytes of ticks that are kept."""
_ENTRY_COST = 256

LATE = 30_000
"""Milliseconds by which a tick may come later than its point: writers keep theirs for 10 s, and their clocks differ."""

Columns = Callable[[SeriesKey, Sequence[str], int, "int | None"], ColumnsPage]
Ticks = npt.NDArray[np.int64]


class _Ticks(NamedTuple):
    """The ticks of [0, stop), each (index, unix ms). `settled`: none of them came so late that others may be missing."""

    stop: int
    ticks: Ticks
    settled: bool

    @property
    def cost(self) -> int:
        return self.ticks.nbytes + _ENTRY_COST


_NONE = _Ticks(0, np.empty((0, 2), np.int64), settled=False)


class SeriesTimes:
    """The wall times of one store's points. Any thread may ask."""

    def __init__(self, columns: Columns, memory: int = MEMORY, clock: Callable[[], float] = time.time) -> None:
        """`columns` is `Store.columns`, `clock` gives unix seconds."""
        self._columns = columns
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[SeriesKey, _Ticks] = OrderedDict()
        self._used = 0

    def ticks(self, series: SeriesKey, stop: int) -> Ticks:
        """All ticks of [0, stop), and maybe more of them, rising. Raises whatever the store raises."""
        with self._lock:
            known = self._kept.get(series, _NONE)
        if known.stop >= stop and known.settled:
            return known.ticks
        # What came late is told by a look at the end of what is known.
        sure = int(np.searchsorted(known.ticks[:, 1], self._late(known.ticks)))
        at = int(known.ticks[sure - 1, 0]) if sure else 0
        parts = [known.ticks[: max(sure - 1, 0)]]
        while at < stop:
            page = self._columns(series, [], at, None)
            if not page.count:
                break
            # The first of a page is the one in force at its beginning, and may be one of the page before.
            parts.append(page.ticks[page.ticks[:, 0] >= at])
            at += page.count
        ticks = np.concatenate(parts)
        ticks[:, 1] = np.maximum.accumulate(ticks[:, 1])
        settled = not len(ticks) or self._clock() * 1000 > ticks[-1, 1] + LATE
        self._keep(series, _Ticks(at, ticks, settled))
        return ticks

    @staticmethod
    def _late(ticks: Ticks) -> int:
        """From when on (unix ms) there may be ticks that were not there yet."""
        return int(ticks[-1, 1]) - LATE if len(ticks) else 0

    def _keep(self, series: SeriesKey, found: _Ticks) -> None:
        with self._lock:
            old = self._kept.pop(series, None)
            self._used += found.cost - (old.cost if old else 0)
            self._kept[series] = found
            while self._used > self._memory and len(self._kept) > 1:
                self._used -= self._kept.popitem(last=False)[1].cost


def times_at(ticks: Ticks, at: Any) -> Any:
    """Unix ms (float64) of the points with the indices `at`; NaN where there is no tick at all."""
    if not len(ticks):
        return np.full(len(at), np.nan)
    place = np.searchsorted(ticks[:, 0], at, "right") - 1
    return ticks[np.maximum(place, 0), 1].astype("<f8")
