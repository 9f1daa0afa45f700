"""Unix milliseconds ↔ ISO 8601, on every Python from 3.10 on."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.times import _python310, iso, parse_iso

# From the year 1 to 9999, which is what datetime knows.
moments = st.integers(-62135596800000, 253402300799999)


@given(moments)
def test_a_moment_comes_back(ms: int) -> None:
    assert parse_iso(iso(ms)) == ms


@given(moments)
def test_the_text_is_utc_with_milliseconds_and_z(ms: int) -> None:
    """Of one length, so that texts sort as the times do."""
    text = iso(ms)
    assert len(text) == len("2026-01-31T09:30:00.125Z")
    assert text.endswith("Z")
    assert datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc).timestamp() == pytest.approx(ms / 1000)


@given(moments, moments)
def test_texts_sort_as_times(a: int, b: int) -> None:
    assert (iso(a) < iso(b)) == (a < b)


def test_a_moment_known_to_everybody() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1769851800125) == "2026-01-31T09:30:00.125Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T09:30:00.125Z", "2026-01-31T09:30:00.125Z"),
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"),
        ("2026-01-31T09:30:00", "2026-01-31T09:30:00.000Z"),
        ("2026-01-31T09:30:00.125999Z", "2026-01-31T09:30:00.125Z"),
        ("2026-01-31T09:30:00.1Z", "2026-01-31T09:30:00.100Z"),
        ("2026-01-31T09:30:00.123456789Z", "2026-01-31T09:30:00.123Z"),
        ("2026-01-31T09:30:00.5+02:00", "2026-01-31T07:30:00.500Z"),
        ("2026-01-31T09:30:00-05:30", "2026-01-31T15:00:00.000Z"),
        ("2026-01-31 09:30:00.125", "2026-01-31T09:30:00.125Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_what_other_writers_wrote_is_read(text: str, expected: str) -> None:
    """The published clients write microseconds and "Z"; other lengths of fractions and offsets are read as well."""
    assert iso(parse_iso(text)) == expected


@pytest.mark.parametrize("text", ["", "Z", "yesterday", "2026-13-01T00:00:00Z", "2026-01-31T09:30:00.Q", "NaT"])
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_iso(text)


@pytest.mark.parametrize("text", ["2026-01-31T09:30:00.125Z", "2026-01-31T09:30:00.1+02:00", "2026-01-31T09:30:00Z"])
def test_the_oldest_python_is_given_what_it_reads(text: str) -> None:
    """Python 3.10 knows no "Z" and fractions of 3 and 6 digits only; whichever runs this, the text is one for it."""
    spelled = _python310(text)
    assert not spelled.endswith("Z")
    assert "." not in spelled or len(spelled.partition(".")[2].partition("+")[0]) == 6
    assert datetime.fromisoformat(spelled).tzinfo is not None
    assert sys.version_info >= (3, 10)
