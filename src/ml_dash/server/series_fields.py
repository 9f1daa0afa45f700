"""Which fields of a project's series are numbers. The last row alone would not do: where rows take turns (`append(loss=…)`,
`append(accuracy=…)`), or the last one lacks a field, a chart would be there now and gone a moment later. So rows before the last are
looked at as well, of one of the newest runs, and what was found once is kept. No rights and no HTTP; any thread may call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ml_dash import codec
from ml_dash.errors import MlDashError
from ml_dash.model import Run, SeriesKey

if TYPE_CHECKING:
    from ml_dash.store.base import Store

ROWS = 64
"""Last rows of a series that are looked at, as far as they have `BYTES`."""
BYTES = 1 << 16
RUNS = 10
"""Of so many newest runs with a series, the one with most points stands for all of them."""
SECONDS = 0.1
"""For looks, at each request."""
_MOST = 50_000
"""Series names that are remembered, of all projects."""

Name = tuple[str, str]
"""Kind and name of a series."""


class _Known(Struct):
    fields: dict[str, None]
    """In the order in which they were found. Replaced, never changed: others may be reading it."""
    looked: dict[str, int]
    """Run → how many points it had."""

    def is_due(self, run: str, count: int) -> bool:
        """A series that grows is looked at each time it has twice as many points: some twenty times. One point has been told already."""
        return count > 1 and count >= 2 * self.looked.get(run, 0)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        new = [field for row in rows for field, value in row.items() if field not in self.fields and _is_number(value)]
        if new:
            self.fields = self.fields | dict.fromkeys(new)


class Found(Struct):
    """A series as some runs have it."""

    fields: list[str]
    runs: int
    points: int
    """At most."""


class _Told(Struct):
    """What last rows and lengths tell of a series."""

    fields: dict[str, None]
    runs: int = 0
    points: int = 0
    longest: str = ""
    """Of the newest runs that have it, the one with the most points."""
    count: int = 0


class SeriesFields:
    """Of one store."""

    def __init__(self, store: Store, timer: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._timer = timer
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, Name], _Known] = {}

    def of(self, namespace: str, project: str, runs: Sequence[Run]) -> tuple[dict[Name, Found], int]:
        """The series of a project's runs, newest first, by kind and name; and of how many of them rows are still to be looked at:
        ask again."""
        by_name = sorted(_told(runs).items())
        enough = self._timer() + SECONDS
        found: dict[Name, Found] = {}
        left = 0
        for name, told in by_name:
            known = self._kept((namespace, project, name))
            known.add([dict.fromkeys(told.fields, 0)])
            if known.is_due(told.longest, told.count):
                if self._timer() < enough:
                    self._look(known, SeriesKey(told.longest, *name), told.count)
                else:
                    left += 1
            found[name] = Found(list(known.fields), told.runs, told.points)
        return found, left

    def _kept(self, key: tuple[str, str, Name]) -> _Known:
        with self._lock:
            if len(self._known) > _MOST:
                self._known.clear()
            return self._known.setdefault(key, _Known({}, {}))

    def _look(self, known: _Known, series: SeriesKey, count: int) -> None:
        """Of a series that cannot be read the last row must do."""
        with suppress(MlDashError, OSError):
            points = codec.decode_page(self._store.read(series, max(0, count - ROWS), ROWS, BYTES))
            known.add(point["data"] for point in points)
        known.looked[series.run] = count


def _told(runs: Sequence[Run]) -> dict[Name, _Told]:
    """Fifty thousand series go through here at each request: no call for any of them."""
    by_name: dict[Name, _Told] = {}
    for run in runs:
        for one in run.series or ():
            name, count = (one.kind, one.name), one.count
            told = by_name.get(name)
            if told is None:
                told = by_name[name] = _Told({})
            told.runs += 1
            told.points = max(told.points, count)
            if count > told.count and told.runs <= RUNS:
                told.longest, told.count = run.id, count
            for field, value in (one.last or {}).items():
                if field not in told.fields and isinstance(value, (int, float)):
                    told.fields[field] = None
    return by_name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
