"""Rollups and samples against a model that looks at every value of every bucket."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import InvalidInput
from ml_dash.rollup import (
    SPAN_BYTES,
    BoolArray,
    FloatArray,
    Rollup,
    Sample,
    bucket_edges,
    bucket_width,
    concat,
    merge,
    roll,
    sample_of,
)

MISSING = None
EXACT = ("count", "nan", "posinf", "neginf", "min", "max", "argmin", "argmax", "first", "last")

small = st.sampled_from([MISSING, math.nan, math.inf, -math.inf, True, False, 0, 1, -1, 2.5, -0.0])
numbers = st.one_of(small, st.floats(allow_nan=True), st.integers(-(2**60), 2**60), st.just(MISSING))
columns = st.one_of(st.lists(small, max_size=40), st.lists(numbers, max_size=40))


def arrays(column) -> tuple[FloatArray, BoolArray]:
    """What a decoder would give; what is no number is a value that nobody may look at."""
    valid = np.array([value is not MISSING for value in column], bool)
    junk = (1e99, math.nan, math.inf, -math.inf)
    values = [junk[at % 4] if value is MISSING else float(value) for at, value in enumerate(column)]
    return np.array(values, np.float64), valid


def model(column, start, stop):
    """The summary of rows [start, stop) by looking at each."""
    numeric = [(index, float(column[index])) for index in range(start, stop) if column[index] is not MISSING]
    finite = [(index, value) for index, value in numeric if math.isfinite(value)]
    values = [value for _, value in finite]
    return {
        "count": len(finite),
        "nan": sum(math.isnan(value) for _, value in numeric),
        "posinf": sum(value == math.inf for _, value in numeric),
        "neginf": sum(value == -math.inf for _, value in numeric),
        "min": min(values, default=math.nan),
        "max": max(values, default=math.nan),
        "argmin": next((index for index, value in finite if value == min(values)), -1),
        "argmax": next((index for index, value in finite if value == max(values)), -1),
        "first": values[0] if values else math.nan,
        "last": values[-1] if values else math.nan,
    }


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def check(summary, column, edges):
    """Is `summary` (a `Sample` or a `Rollup`) what the model says of the buckets between `edges`?"""
    means = summary.mean if isinstance(summary, Sample) else summary.mean()
    assert len(summary) == len(means) == len(edges) - 1
    for at, (start, stop) in enumerate(pairwise(int(edge) for edge in edges)):
        expected = model(column, start, stop)
        got = {name: getattr(summary, name)[at] for name in EXACT}
        assert all(same(got[name], expected[name]) for name in EXACT), (start, stop, got, expected)
        check_mean(float(means[at]), [float(column[i]) for i in range(start, stop) if column[i] is not MISSING])


def check_mean(mean, values):
    values = [value for value in values if math.isfinite(value)]
    if not values:
        assert math.isnan(mean)
        return
    assert min(values) <= mean <= max(values)
    exact = sum(map(Fraction, values), Fraction(0)) / len(values)
    assert abs(Fraction(mean) - exact) <= max(abs(Fraction(value)) for value in values) / 10**12 + Fraction(5e-324)


def check_x(sample, column):
    for at in range(len(sample)):
        expected = model(column, int(sample.start[at]), int(sample.stop[at]))
        assert same(sample.x_min[at], expected["min"])
        assert same(sample.x_max[at], expected["max"])


def cuts_of(draw, length, most=8):
    inner = draw(st.lists(st.integers(0, length), max_size=most))
    return np.array([0, *sorted(inner), length], np.int64)


@given(st.data(), columns, st.sampled_from([0, 7, 10**12]))
def test_roll_is_the_model(data, column, first):
    """Any cuts, empty spans among them, anywhere in the series."""
    edges = cuts_of(data.draw, len(column))
    rolled = roll(*arrays(column), first, edges + first)
    for name in ("argmin", "argmax"):
        array = getattr(rolled, name)
        array[array >= 0] -= first
        assert (array >= -1).all()
    check(rolled, column, edges)


@given(st.data(), columns)
def test_merging_is_rolling_at_once(data, column):
    """However the spans were cut and grouped; empty groups among them. Bit for bit but for the sums."""
    edges = cuts_of(data.draw, len(column), most=15)
    groups = cuts_of(data.draw, len(edges) - 1)
    values, valid = arrays(column)
    merged = merge(roll(values, valid, 0, edges), groups)
    check(merged, column, edges[groups])
    direct = roll(values, valid, 0, edges[groups])
    for name in EXACT:
        assert getattr(merged, name).tobytes() == getattr(direct, name).tobytes()


@given(st.data(), columns)
def test_a_part_of_the_rows_may_be_rolled(data, column):
    """Edges need not reach the first or the last row given."""
    low = data.draw(st.integers(0, len(column)))
    high = data.draw(st.integers(low, len(column)))
    edges = np.array([low, (low + high) // 2, high], np.int64)
    check(roll(*arrays(column), 0, edges), column, edges)


@given(st.data(), columns)
def test_parts_and_concat_are_inverse(data, column):
    edges = cuts_of(data.draw, len(column))
    rolled = roll(*arrays(column), 0, edges)
    at = data.draw(st.integers(0, len(rolled)))
    joined = concat([rolled.part(0, at), rolled.part(at, at), rolled.part(at)])
    assert joined.to_bytes() == rolled.to_bytes()


@given(st.data(), columns)
def test_bytes_bring_a_rollup_back(data, column):
    rolled = roll(*arrays(column), 0, cuts_of(data.draw, len(column)))
    stored = rolled.to_bytes()
    assert len(stored) == rolled.nbytes == len(rolled) * SPAN_BYTES
    again = Rollup.from_bytes(stored)
    assert [column.dtype for column in again.columns] == [column.dtype for column in rolled.columns]
    assert again.to_bytes() == stored


def test_bytes_of_a_wrong_length_are_refused():
    with pytest.raises(InvalidInput, match="multiple of 96 bytes, got 97"):
        Rollup.from_bytes(bytes(97))


def test_no_rollup_at_all():
    assert len(concat([])) == 0
    assert len(merge(concat([]), np.array([0], np.int64))) == 0
    assert merge(concat([]), np.array([0, 0], np.int64)).count.tolist() == [0]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1e308] * 50, 1e308),
        ([1.7976931348623157e308] * 3, 1.7976931348623157e308),
        ([-1e308, 1e308] * 20, 0.0),
        ([1e308, 1.0, -1e308], 1 / 3),
        ([5e-324] * 9, 5e-324),
        ([0.1] * 999, 0.1),
    ],
)
def test_a_mean_neither_overflows_nor_leaves_the_values(values, mean):
    column = list(values)
    for edges in ([0, len(values)], list(range(len(values) + 1))):
        rolled = roll(*arrays(column), 0, np.array(edges, np.int64))
        merged = merge(rolled, np.array([0, len(rolled)], np.int64))
        assert merged.mean()[0] == pytest.approx(mean, rel=1e-15, abs=5e-324)
        check_mean(float(merged.mean()[0]), column)


def test_a_spike_never_vanishes():
    """One point out of a million, at every width."""
    values, valid = np.zeros(1_000_000), np.ones(1_000_000, bool)
    values[123_457] = 1e-9
    fine = roll(values, valid, 0, bucket_edges(0, 1_000_000, 10_000))
    for buckets in (1, 7, 1000):
        rolled = merge(fine, np.linspace(0, len(fine), buckets + 1).astype(np.int64))
        assert rolled.max.max() == 1e-9
        assert rolled.argmax[rolled.max.argmax()] == 123_457


def test_a_sample_without_x_has_the_indices():
    edges = np.array([10, 12, 15], np.int64)
    sample = sample_of(edges, roll(np.zeros(5), np.ones(5, bool), 10, edges))
    assert sample.x_min.tolist() == [10.0, 12.0]
    assert sample.x_max.tolist() == [11.0, 14.0]


@given(columns, columns)
def test_x_is_summarised_whether_or_not_y_is_there(column, x):
    length = min(len(column), len(x))
    edges = bucket_edges(0, length, 5)
    sample = sample_of(edges, *(roll(*arrays(c[:length]), 0, edges) for c in (column, x)))
    check(sample, column, edges)
    check_x(sample, x)


def test_a_sample_as_lists():
    edges = np.array([0, 1, 2], np.int64)
    shown = sample_of(edges, roll(np.array([1.5, np.nan]), np.ones(2, bool), 0, edges)).to_dict()
    assert list(shown) == list(Sample.__dataclass_fields__)
    assert shown["min"][0] == 1.5
    assert math.isnan(shown["min"][1])
    assert shown["argmin"] == [0, -1]
    assert all(type(value) in {int, float} for array in shown.values() for value in array)
    json.dumps(shown)


def test_a_sample_cannot_be_changed_by_name():
    sample = sample_of(np.array([0], np.int64), concat([]))
    assert len(sample) == 0
    with pytest.raises(AttributeError):
        sample.count = np.zeros(1, np.int64)  # type: ignore[misc]


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 40), st.sampled_from([1, 10, 100]))
def test_edges_are_the_narrowest_that_do(start, length, most, base):
    stop = start + length
    edges = bucket_edges(start, stop, most, base).tolist()
    assert edges[0] == start
    assert edges[-1] == stop
    assert len(edges) - 1 <= most
    if length <= most:
        assert edges == list(range(start, stop + 1))
        return
    width = bucket_width(start, stop, most, base)
    assert width <= base or width % base == 0
    assert edges == sorted({start, stop, *range(-(-start // width) * width, stop, width)})
    for narrower in range(2, width):
        if narrower <= base or narrower % base == 0:
            assert -(-stop // narrower) - start // narrower > most


@pytest.mark.parametrize("start", [0, 1, 10**9 + 7, 10**15])
@pytest.mark.parametrize("most", [1, 2, 3, 1000])
def test_edges_of_long_ranges(start, most):
    edges = bucket_edges(start, start + 10**9 + 13, most)
    assert len(edges) - 1 <= most
    assert (np.diff(edges) > 0).all()
    assert (edges[1:-1] % 100 == 0).all()


def test_buckets_stay_while_a_series_grows():
    """All but the last, until the width has to change."""
    before = bucket_edges(0, 95_001, 100)
    for stop in range(95_002, 100_001, 333):
        after = bucket_edges(0, stop, 100)
        assert (after[: len(before) - 1] == before[:-1]).all()


@pytest.mark.parametrize("wrong", [0, -1, True, 2.0, "10", None])
def test_max_points_is_a_positive_int(wrong):
    with pytest.raises(InvalidInput, match="max_points: expected an int of 1 or more, got "):
        bucket_edges(0, 10, wrong)


def test_a_start_below_nought_is_refused():
    with pytest.raises(InvalidInput, match="start: expected an index of 0 or more, got -1"):
        bucket_edges(-1, 10, 5)


def test_max_points_may_be_numpys():
    assert bucket_edges(0, 10, cast("int", np.int32(5))).tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (5, 3)])
def test_nothing_asked_gives_no_bucket(start, stop):
    assert bucket_edges(start, stop, 10).tolist() == [start]
