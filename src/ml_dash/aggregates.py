"""Aggregates of fields, for filters and tables: the least, greatest, mean, first and last finite value and how many there are, exact,
by `Store.sample` in one bucket. What is known of a series of some length is kept: it cannot change. Needs NumPy, but only once it is
asked.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ml_dash.errors import CorruptData, InvalidInput, NewerFormat, NotFound
from ml_dash.model import SeriesKey
from ml_dash.query import AGGREGATES

if TYPE_CHECKING:
    from ml_dash.model import Run
    from ml_dash.store.base import Store

KEPT = 100_000
"""Fields of series that are kept."""
UNREADABLE = (CorruptData, NewerFormat, PermissionError, IsADirectoryError)
"""What is wrong with one series, and says nothing of the others."""

_Values = tuple[Any, ...]
_NONE: _Values = (None,) * len(AGGREGATES)


class FieldAggregates:
    """The aggregates of one store's series. Any thread may ask."""

    def __init__(self, store: Store, kept: int = KEPT) -> None:
        self._store = store
        self._most = kept
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[SeriesKey, str, int], _Values] = OrderedDict()

    def __call__(self, run: Run, kind: str, series: str, field: str, aggregate: str) -> Any:
        """As `query.Aggregates`. Raises `Unavailable` where the store cannot answer; what it has not, or cannot read, is None."""
        count = next((one.count for one in run.series or () if one.kind == kind and one.name == series), 0)
        if not count:
            return None
        try:
            return self.of(SeriesKey(run.id, kind, series), field, count)[AGGREGATES.index(aggregate)]
        except (NotFound, InvalidInput, *UNREADABLE):
            return None

    def of(self, series: SeriesKey, field: str, count: int) -> _Values:
        """All of them, in the order of `AGGREGATES`, over the first `count` points. Raises whatever the store raises."""
        key = (series, field, count)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        found = self._asked(series, field, count)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def _asked(self, series: SeriesKey, field: str, count: int) -> _Values:
        sample = self._store.sample(series, field, None, 0, count, 1)
        if not len(sample):
            return _NONE
        values = {name: getattr(sample, name)[0].item() for name in AGGREGATES}
        return tuple(values[name] if values["count"] or name == "count" else None for name in AGGREGATES)
