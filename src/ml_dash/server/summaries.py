"""Aggregates of series fields for the rows of a table that somebody sees, as docs/formats/protocol.md has them. No rights and no HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ml_dash.aggregates import UNREADABLE
from ml_dash.errors import NotFound
from ml_dash.model import SeriesKey
from ml_dash.query import AGGREGATES, aggregate_of
from ml_dash.server.json_values import encoded
from ml_dash.store.checks import check_series

if TYPE_CHECKING:
    from ml_dash.aggregates import FieldAggregates
    from ml_dash.store.base import Store

MOST_RUNS = 1_000
MOST_COLUMNS = 100
_encode = msgspec.json.Encoder().encode


class SummariesAsked(Struct):
    """Columns such as ``metrics["val_loss"].value.min``, of these runs."""

    runs: Annotated[list[str], Meta(max_length=MOST_RUNS)]
    columns: Annotated[list[str], Meta(max_length=MOST_COLUMNS)]


class Summaries(Struct):
    """For each column a value for each run, in the order asked for; null where there is none, or no such run."""

    values: dict[str, list[Any]]


class Summing:
    """What is asked for, made a little at a time. `reading(run)` is around what is read of a run, and raises what the caller may not."""

    def __init__(
        self,
        asked: SummariesAsked,
        store: Store,
        aggregates: FieldAggregates,
        reading: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        """Raises `InvalidInput` for a column that is none."""
        self._asked = asked
        self._store = store
        self._aggregates = aggregates
        self._reading = reading
        self._columns = [aggregate_of(text) for text in asked.columns]
        self._values: list[list[Any]] = [[None] * len(asked.runs) for _ in self._columns]
        self._steps = self._fill()

    def go_on(self, seconds: float) -> bool:
        """For about so long; whether that was all."""
        enough = time.perf_counter() + seconds
        return all(time.perf_counter() < enough for _ in self._steps)

    def encoded(self) -> bytes:
        """The answer as JSON; see `Summaries`."""
        values = zip(self._asked.columns, self._values, strict=True)
        return _encode({"values": {text: encoded(one) for text, one in values}})

    def _fill(self) -> Iterator[None]:
        for row, run in enumerate(self._asked.runs):
            counts: dict[SeriesKey, int] = {}
            try:
                with self._reading(run):
                    for column, values in zip(self._columns, self._values, strict=True):
                        values[row] = self._value(run, column, counts)
                        yield
            except NotFound:
                continue

    def _value(self, run: str, column: tuple[str, str, str, str], counts: dict[SeriesKey, int]) -> Any:
        kind, name, field, aggregate = column
        series = SeriesKey(run, kind, name)
        check_series(series)
        try:
            if series not in counts:
                counts[series] = self._store.read(series, 0, 0).total
            return self._aggregates.of(series, field, counts[series])[AGGREGATES.index(aggregate)]
        except UNREADABLE:  # whoever opens the series hears of it
            return None
