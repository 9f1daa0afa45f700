"""A sample as JSON: every number comes back as the same one, in arrays of the same types."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import InvalidInput
from ml_dash.rollup import Sample
from ml_dash.store.wire_sample import decode_sample, encode_sample

WHOLE = {"start", "stop", "count", "nan", "posinf", "neginf", "argmin", "argmax"}


def sample(whole: list[int], floats: list[float]) -> Sample:
    """A sample with these numbers in every column of their type."""
    arrays: dict[bool, Any] = {True: np.array(whole, np.int64), False: np.array(floats, np.float64)}
    return Sample(**{column.name: arrays[column.name in WHOLE] for column in fields(Sample)})


@given(buckets=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(width=64)), max_size=5))
def test_numbers_come_back_as_they_went(buckets: list[tuple[int, float]]) -> None:
    """NaN, both infinities, minus zero, the smallest and the largest, and the largest integers."""
    sent = sample([whole for whole, _ in buckets], [number for _, number in buckets])
    body = encode_sample(sent)
    json.loads(body, parse_constant=pytest.fail)
    came = decode_sample(body)
    assert repr(came.to_dict()) == repr(sent.to_dict())
    for column in fields(Sample):
        assert getattr(came, column.name).dtype == getattr(sent, column.name).dtype


def test_a_sample_without_buckets() -> None:
    came = decode_sample(encode_sample(sample([], [])))
    assert len(came) == 0
    assert (came.start.dtype.name, came.min.dtype.name) == ("int64", "float64")


def test_numbers_are_spelled_as_in_a_row() -> None:
    """The documented spelling, a list a column."""
    body = json.loads(encode_sample(sample([1], [math.nan])))
    assert body.keys() == {column.name for column in fields(Sample)}
    assert (body["start"], body["min"]) == ([1], ["NaN"])


@pytest.mark.parametrize(
    "change",
    [{"min": ["nan"]}, {"min": [None]}, {"min": [1.0, 2.0]}, {"start": [1.5]}, {"start": [2**64]}, {"stop": 3}],
)
def test_what_is_no_sample_is_refused(change: dict[str, object]) -> None:
    """Other spellings, columns of another length or type."""
    columns = {**json.loads(encode_sample(sample([1], [0.5]))), **change}
    with pytest.raises(InvalidInput, match="no sample"):
        decode_sample(json.dumps(columns).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"start": [1]}'])
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="no sample"):
        decode_sample(body)
