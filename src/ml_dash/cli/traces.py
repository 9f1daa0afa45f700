"""Traces: the numeric fields of a run's series, each with a small sample of it. No output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.cli.opened import Opened, fields_of
from ml_dash.cli.output import watched
from ml_dash.model import SeriesInfo

if TYPE_CHECKING:
    from ml_dash.rollup import Sample

BUCKETS = 40
"""Characters of a sparkline where there is room."""


class Trace(NamedTuple):
    """One numeric field of a series, as a row of the page."""

    info: SeriesInfo
    field: str
    sample: Sample

    @property
    def low(self) -> float | None:
        """The least finite value, None if there is none."""
        return _extreme(self.sample.min.tolist(), min)

    @property
    def high(self) -> float | None:
        """The greatest finite value, None if there is none."""
        return _extreme(self.sample.max.tolist(), max)

    @property
    def means(self) -> list[float | None]:
        """The mean of each bucket, None where it has no finite value."""
        return [None if math.isnan(value) else value for value in self.sample.mean.tolist()]


def _extreme(values: list[float], best: Callable[[list[float]], float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return best(known) if known else None


def traces_of(opened: Opened, infos: Sequence[SeriesInfo], buckets: int = BUCKETS) -> list[Trace]:
    """Every numeric field of the series, sampled; a series without one once, as the field ""."""
    traces = []
    for info in watched(infos, "reading series"):
        for field in fields_of(opened, info) or [""]:
            sample = opened.store.sample(opened.series(info.kind, info.name), field, None, 0, None, buckets)
            traces.append(Trace(info, field, sample))
    return traces
