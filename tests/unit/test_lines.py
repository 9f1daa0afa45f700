"""`codec.Lines`: rows that are lines already behave as the list of those rows would, and go out as they came."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ml_dash.codec import Lines, encode_row, render
from ml_dash.model import LOGS, METRICS, TRACKS
from ml_dash.testing import NASTY_ROWS

ODD: list[dict[str, Any]] = [{"value": 0.5}, {}, {"text": '"data": {"data": '}, {"text": "a, b\n"}, *NASTY_ROWS[:-1]]


def lines_of(kind: str, first: int, rows: list[bytes]) -> Lines:
    return Lines(kind, first, len(rows), render(kind, first, rows))


@pytest.mark.parametrize("kind", [METRICS, TRACKS, LOGS])
@pytest.mark.parametrize("first", [0, 8, 2**40])
def test_they_are_the_rows(kind: str, first: int) -> None:
    """Length, every index from both ends, iteration, membership; an index beyond either end raises."""
    rows = [encode_row(row) for row in ODD]
    lines = lines_of(kind, first, rows)
    assert len(lines) == len(rows)
    assert list(lines) == rows == lines.rows()
    assert [lines[at] for at in range(-len(rows), len(rows))] == rows * 2
    assert lines.index(rows[3]) == 3
    for at in (len(rows), -len(rows) - 1):
        with pytest.raises(IndexError):
            lines[at]


@pytest.mark.parametrize("kind", [METRICS, LOGS])
@pytest.mark.parametrize("size", range(7))
def test_every_slice_is_that_of_the_list(kind: str, size: int) -> None:
    """Every start, stop and step, also beyond the ends and backwards, of every length; a slice of a slice as well."""
    rows = [encode_row(ODD[at]) for at in range(size)]
    lines = lines_of(kind, 8, rows)  # from one digit to two
    bounds = [None, *range(-size - 1, size + 2)]
    for start, stop, step in product(bounds, bounds, (None, 1, 2, -1, -3)):
        assert list(lines[start:stop:step]) == rows[start:stop:step]
    for start, stop in product(bounds, bounds):
        part = lines[start:stop]
        assert isinstance(part, Lines)
        assert part.data == render(kind, part.first, rows[start:stop])
        for inner in range(len(part) + 1):
            assert list(part[inner:]) == rows[start:stop][inner:]
            assert list(part[:inner]) == rows[start:stop][:inner]


@pytest.mark.parametrize("kind", [METRICS, LOGS])
def test_rendered_at_their_own_index_they_are_the_same_bytes(kind: str) -> None:
    """No copy is made of them; at any other index, or as another kind, they are what their rows give there."""
    rows = [encode_row(row) for row in ODD]
    lines = lines_of(kind, 5, rows)
    assert render(kind, 5, lines) is lines.data
    for index, other in product((0, 4, 5, 95), (METRICS, TRACKS, LOGS)):
        assert render(other, index, lines) == render(other, index, rows)


def test_the_whole_is_not_copied() -> None:
    lines = lines_of(METRICS, 0, [encode_row({"value": i}) for i in range(5)])
    assert lines[:] is lines
    assert lines[0:99] is lines
    assert lines[-5:] is lines
