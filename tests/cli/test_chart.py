"""The drawing itself: dots, axes, charts. What a chart shows is looked at, character by character."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.cli.axis import Axis, labels, round_step
from ml_dash.cli.canvas import Canvas
from ml_dash.cli.chart import ASCII_FRAME, MARKS, Bucket, Chart, smoothed

finite = st.floats(allow_nan=False, allow_infinity=False)


def points(*values: float) -> list[Bucket]:
    return [Bucket(float(x), y, y, y, y) for x, y in enumerate(values)]


def drawn(
    *lines: list[Bucket], width: int = 30, height: int = 9, log_y: bool = False, marks: str | None = None
) -> list[str]:
    ends = [bucket.x for line in lines for bucket in line if math.isfinite(bucket.x)]
    chart = Chart(lines, width, height, x_ends=ends, x_label="index", whole_x=True, log_y=log_y)
    rows = chart.rows(marks=marks, frame=ASCII_FRAME) if marks else chart.rows(marks=marks)
    return ["".join(cell if isinstance(cell, str) else cell[0] for cell in row).rstrip() for row in rows]


def test_a_dot_in_each_place_of_a_character() -> None:
    shown = ""
    for x, y in [(0, 3), (1, 3), (0, 2), (1, 2), (0, 1), (1, 1), (0, 0), (1, 0)]:
        canvas = Canvas(1, 1)
        canvas.dot(x, y, 0)
        shown += canvas.rows()[0][0][0]
    assert shown == "⠁⠈⠂⠐⠄⠠⡀⢀"


def test_what_is_outside_is_not_drawn() -> None:
    canvas = Canvas(2, 2)
    canvas.line((-5, -5), (20, 20), 0)
    canvas.dot(0, 8, 0)
    canvas.dot(4, 0, 0)
    assert canvas.rows() == [[("  ", -1)], [("⡠⠊", 0)]]


def test_the_last_line_drawn_gives_a_character_its_colour() -> None:
    canvas = Canvas(3, 1)
    canvas.line((0, 0), (5, 0), 0)
    canvas.line((2, 3), (3, 3), 1)
    assert canvas.rows() == [[("⣀", 0), ("⣉", 1), ("⣀", 0)]]
    assert canvas.rows("ab") == [[("a", 0), ("b", 1), ("a", 0)]]


def test_a_line_has_no_hole() -> None:
    canvas = Canvas(20, 10)
    canvas.line((0, 0), (39, 39), 0)
    assert all(any(text.strip() for text, _ in row) for row in canvas.rows())


def test_a_rising_line_with_its_axes() -> None:
    assert drawn(points(0, 1, 2, 3, 4)) == [
        "4 ┤                       ⣀⠤⠒⠉",
        "  │                  ⣀⡠⠤⠒⠉",
        "2 ┤            ⢀⣀⠤⠔⠊⠉",
        "  │        ⢀⡠⠔⠊⠁",
        "  │    ⣀⠤⠒⠊⠁",
        "0 ┤⣀⠤⠒⠉",
        "  └┬────────────┬────────────┬",
        "   0            2            4",
        "                         index",
    ]


@pytest.mark.parametrize("value", [0.0, 5.0, -3.25, 1e300, -1.7e308, 5e-324, 1e-9])
def test_a_constant_series_is_a_line_in_the_middle(value: float) -> None:
    rows = drawn(points(value, value, value))
    assert [i for i, row in enumerate(rows[:6]) if any(ord(char) > 0x2800 for char in row)] in ([2], [3])


def test_one_point_can_be_found() -> None:
    rows = drawn(points(7.0))
    assert sum(char in row for row in rows for char in "⠛⣤⠶") == 1
    assert rows[-2].strip() == "0"


def test_nan_lifts_the_pen() -> None:
    whole = "".join(drawn(points(1, 1, 1, 1, 1)))
    gap = "".join(drawn(points(1, 1, math.nan, 1, 1)))
    assert sum(ord(char) > 0x2800 for char in gap) < 0.6 * sum(ord(char) > 0x2800 for char in whole)


def test_an_x_that_goes_back_lifts_the_pen() -> None:
    """A resumed run that repeats steps is drawn as two pieces, not with a line across."""
    again = [Bucket(x, y, y, y, y) for x, y in [(0.0, 0.0), (10.0, 10.0), (5.0, 0.0), (10.0, 0.0)]]
    rows = drawn(again)
    assert rows[2][22:].strip() == rows[3][17:].strip() == rows[4][13:].strip() == ""
    assert rows[5][15:].strip()


def test_a_spike_of_one_point_is_drawn_to_its_full_height() -> None:
    line = [Bucket(float(x), 0.0, 100.0 if x == 50 else 0.0, 0.0, 0.0) for x in range(100)]
    columns = [i for i, char in enumerate(drawn(line)[0]) if ord(char) > 0x2800]
    assert len(columns) == 1


def test_a_logarithmic_axis_has_powers_of_ten_and_leaves_out_what_is_not_positive() -> None:
    rows = drawn(points(1e-3, 1e-2, 0.0, -1.0, 10.0, 100.0), log_y=True, height=15)
    assert [row.split("┤")[0].strip() for row in rows if "┤" in row] == ["100", "10", "1", "0.1", "0.01", "0.001"]
    assert Chart([points(0.0, -1.0)], 30, 9, x_ends=[0, 1], x_label="", whole_x=True, log_y=True).empty


def test_without_colours_each_line_has_its_mark() -> None:
    rows = "".join(drawn(points(0, 0, 0), points(1, 1, 1), marks=MARKS))
    assert "*" in rows
    assert "+" in rows
    assert rows.isascii()


@given(
    st.lists(st.one_of(finite, st.just(math.nan)), min_size=1, max_size=30),
    st.booleans(),
    st.integers(20, 90),
    st.integers(6, 20),
)
def test_any_values_fit_the_room(values: list[float], log_y: bool, width: int, height: int) -> None:
    line = points(*values)
    chart = Chart([line], width, height, x_ends=[0, len(line) - 1], x_label="index", whole_x=True, log_y=log_y)
    if chart.empty:
        assert not any(math.isfinite(value) and (value > 0 or not log_y) for value in values)
        return
    rows = drawn(line, width=width, height=height, log_y=log_y)
    assert len(rows) == height
    assert max(map(len, rows)) <= max(width, 20)


@given(st.lists(finite, min_size=1, max_size=20), st.integers(4, 400), st.booleans())
def test_places_rise_with_values_and_reach_both_ends(values: list[float], dots: int, widen: bool) -> None:
    axis = Axis(values, dots)
    if widen:
        axis.widened(5)
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= dots - 1
    if not widen and max(values) / 4 - min(values) / 4 > max(1e-9 * max(map(abs, values)), 1e-280):
        assert (places[0], places[-1]) == (0, dots - 1)


@given(finite, finite, st.integers(2, 12))
def test_ticks_are_few_different_and_inside(low: float, high: float, most: int) -> None:
    axis = Axis([low, high], 100)
    ticks = axis.ticks(most)
    assert len(ticks) <= 2 * most + 2
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(0 <= dot < 100 for dot, _ in ticks)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.5, 1.0], ["0", "0.5", "1.0"]),
        ([0, 500, 1000], ["0", "500", "1000"]),
        ([0, 200_000, 400_000], ["0", "200k", "400k"]),
        ([0, 500_000, 1_000_000], ["0", "0.5M", "1.0M"]),
        ([0.0, 2e-6, 4e-6], ["0", "2e-6", "4e-6"]),
        ([-2e20, 0.0, 2e20], ["-2e20", "0", "2e20"]),
        ([100.001, 100.002], ["100.001", "100.002"]),
        ([], []),
    ],
)
def test_numbers_beside_an_axis(values: list[float], texts: list[str]) -> None:
    assert labels(values) == texts


def test_steps_are_one_two_or_five() -> None:
    assert [round_step(step) for step in (0.9, 1.1, 2.1, 5.1, 0.0003, 0.0)] == [1.0, 2.0, 5.0, 10.0, 0.0005, 1.0]


def test_a_running_mean_over_buckets() -> None:
    line = points(0, 10, 20, math.nan, 30)
    counts = [1, 1, 1, 0, 1]
    assert [bucket.first for bucket in smoothed(line, [0, 10, 20, math.nan, 30], counts, 1)][:3] == [0, 10, 20]
    means = [bucket.first for bucket in smoothed(line, [0, 10, 20, math.nan, 30], counts, 2)]
    assert means[:3] == [0, 5, 15]
    assert math.isnan(means[3])
    assert means[4] == 25
