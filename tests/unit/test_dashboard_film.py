"""What the dashboard benchmark reads from pixels: lines among grey, when a chart was drawn, and whether a spike is seen."""

import io

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from bench.dashboard_film import (  # noqa: E402 -- after the check for Pillow
    DRAWN,
    Box,
    Frame,
    differs,
    first_change,
    first_line,
    lines_in,
    peak,
    reached,
    spike_is_seen,
    there,
)

BLUE = (36, 87, 197)
BOX = Box(10, 10, 200, 100)


def screen(*, line=False, spike_at=None, until=1.0):
    """A white page with a grey axis and, in the box, a flat line up to a share of its width, with a spike."""
    picture = np.full((140, 240, 3), 255, np.uint8)
    chart = BOX.of(picture)
    chart[:, 0] = chart[-1] = (110, 121, 137)
    if line:
        chart[90:92, : int(until * 200)] = BLUE
    if spike_at is not None:
        chart[5:92, int(spike_at * 199)] = BLUE
    return picture


def frame(at, picture):
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return Frame(at, data.getvalue())


FILM = [
    frame(1.0, screen()),
    frame(2.0, screen(line=True, until=0.5)),
    frame(3.0, screen(line=True)),
    frame(4.0, screen()),
    frame(5.0, screen(line=True)),
]


def test_axes_are_no_lines():
    assert first_line(FILM[:1], [BOX], screen(line=True)) is None


@pytest.mark.parametrize("slate", [(67, 84, 96), (66, 80, 102)])
def test_dark_lines_are_lines_and_bluish_greys_of_numbers_are_not(slate):
    chart = np.full((20, 20, 3), 255, np.uint8)
    chart[5], chart[10], chart[15] = slate, (110, 121, 137), (27, 35, 48)
    chart[17] = (90, 101, 119)
    assert np.flatnonzero(lines_in(chart).any(axis=1)).tolist() == [5]


def test_first_line_and_all_of_it():
    assert first_line(FILM, [BOX], screen(line=True)) == 2.0
    assert reached(FILM, [BOX], DRAWN, screen(line=True)) == 3.0


def test_all_is_drawn_when_the_last_chart_is():
    other = Box(10, 10, 100, 100)
    assert reached(FILM, [other], DRAWN, screen(line=True)) == 2.0
    assert reached(FILM, [other, BOX], DRAWN, screen(line=True)) == 3.0


def test_what_was_before_a_moment_does_not_count():
    assert reached(FILM, [BOX], DRAWN, screen(line=True), since=3.5) == 5.0


def test_a_chart_without_a_line_is_never_drawn():
    assert reached(FILM, [BOX], DRAWN, screen()) is None


def test_share_of_the_last_lines():
    last = BOX.of(screen(line=True))
    assert there(BOX.of(screen(line=True, until=0.25)), last) == pytest.approx(0.25)
    assert there(last[:, 1:], last) == 0.0


def test_first_change_is_after_the_moment():
    assert first_change(FILM, BOX, screen(line=True), 3.0) == 4.0
    assert not differs(screen(line=True), screen(line=True))


@pytest.mark.parametrize("place", [0.3, 0.618])
def test_a_spike_is_seen_where_it_is(place):
    chart = BOX.of(screen(line=True, spike_at=place))
    assert spike_is_seen(chart, place)
    assert not spike_is_seen(chart, place + 0.1)
    found = peak(chart)
    assert found is not None
    assert (found.top, found.x, found.width) == (5, int(place * 199), 1)


def test_a_spike_between_its_neighbours_is_wide():
    chart = BOX.of(screen())
    for x in range(200):
        chart[max(5, 90 - max(0, 60 - 4 * abs(x - 100))) : 92, x] = BLUE
    found = peak(chart)
    assert found is not None
    assert found.x == 100
    assert found.width >= 10
    assert spike_is_seen(chart, 0.5)


def test_a_curve_is_no_spike():
    picture = screen()
    chart = BOX.of(picture)
    for x in range(200):
        chart[int(90 * (1 - np.exp(-x / 40))) :, x] = BLUE
    assert not spike_is_seen(chart, 0.618)
    assert not spike_is_seen(BOX.of(screen(line=True)), 0.618)
