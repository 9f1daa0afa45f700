"""Wall times of points: read once, gone on with, and looked at again where a tick may have come late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ml_dash.model import ColumnsPage, SeriesKey
from ml_dash.server.times_of_series import LATE, SeriesTimes, times_at

KEY = SeriesKey("run", "metrics", "loss")


class Clock:
    """A series with ticks; `page` points are told at a time. Counts the calls."""

    def __init__(self, page: int = 1 << 20) -> None:
        self.ticks: list[tuple[int, int]] = []
        self.total = 0
        self.calls = 0
        self.page = page

    def columns(self, _series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        assert not fields
        assert stop is None
        self.calls += 1
        count = max(0, min(self.page, self.total - start))
        before = [tick for tick in self.ticks if tick[0] <= start][-1:] or self.ticks[:1]
        within = [tick for tick in self.ticks if start < tick[0] < start + count and tick not in before]
        return ColumnsPage(start, count, self.total, np.array(before + within, np.int64).reshape(-1, 2), {})


def times(found: SeriesTimes, stop: int, *at: int) -> list[float]:
    return list(times_at(found.ticks(KEY, stop), np.array(at)).tolist())


@pytest.mark.parametrize("page", [1 << 20, 7, 1])
def test_a_point_has_the_time_of_the_last_tick_at_or_before_it(page: int) -> None:
    clock = Clock(page)
    clock.total, clock.ticks = 30, [(2, 100), (10, 200), (20, 300)]
    found = SeriesTimes(clock.columns, clock=lambda: 1e9)
    assert times(found, 30, 0, 2, 9, 10, 19, 20, 29) == [100, 100, 100, 200, 200, 300, 300]


def test_without_a_tick_there_is_no_time() -> None:
    clock = Clock()
    clock.total = 3
    assert np.isnan(times(SeriesTimes(clock.columns), 3, 0, 2)).all()


def test_what_is_settled_is_asked_once() -> None:
    clock = Clock()
    clock.total, clock.ticks = 30, [(0, 1000)]
    found = SeriesTimes(clock.columns, clock=lambda: 1 + LATE / 1000 + 1)
    for _ in range(3):
        assert times(found, 30, 29) == [1000]
    assert clock.calls == 1


def test_a_tick_may_come_late() -> None:
    """Points are there before their tick is: another process keeps its own for a while."""
    clock = Clock()
    now = [1.0]
    clock.total, clock.ticks = 30, [(0, 1000)]
    found = SeriesTimes(clock.columns, clock=lambda: now[0])
    assert times(found, 30, 25) == [1000]
    clock.ticks.append((20, 1500))
    now[0] = 2.0
    assert times(found, 30, 25) == [1500]


def test_a_series_that_grows_is_gone_on_with() -> None:
    """From what is sure on."""
    clock = Clock()
    now = [0.0]
    found = SeriesTimes(clock.columns, clock=lambda: now[0])
    asked = []
    columns = clock.columns

    def noted(series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        asked.append(start)
        return columns(series, fields, start, stop)

    found._columns = noted
    for index in range(200):
        clock.ticks.append((10 * index, 1000 * index))
        clock.total = 10 * (index + 1)
        now[0] = index
        assert times(found, clock.total, clock.total - 1, 0) == [1000 * index, 0]
    assert asked[-1] > 1500


def test_a_clock_that_stepped_back() -> None:
    clock = Clock()
    clock.total, clock.ticks = 30, [(0, 1000), (10, 500), (20, 2000)]
    found = SeriesTimes(clock.columns, clock=lambda: 1e9)
    assert times(found, 30, 0, 10, 20) == [1000, 1000, 2000]
