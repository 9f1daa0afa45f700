"""Numbers of short series, decoded once: what is kept is what is there, however the series grew or was written over."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from ml_dash.model import SeriesKey
from ml_dash.rollup import BoolArray, FloatArray
from ml_dash.store.column_cache import ColumnCache

KEY = SeriesKey("run", "metrics", "loss")


class Source:
    """A series in memory; counts the rows that were decoded."""

    def __init__(self, values: Sequence[float], identity: bytes = b"one") -> None:
        self.values = np.array(values)
        self.identity = identity
        self.decoded = 0

    @property
    def total(self) -> int:
        return len(self.values)

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> Mapping[str, tuple[FloatArray, BoolArray]]:
        self.decoded += stop - start
        part = self.values[start:stop]
        return {field: (part * (1 if field == "a" else 2), part >= 0) for field in fields}


def asked(cache: ColumnCache, source: Source, start: int, stop: int, *fields: str) -> None:
    """Ask, and compare with what is there."""
    found = cache.of(KEY, source).numbers(fields or ("a",), start, stop)
    decoded = source.decoded
    expected = source.numbers(fields or ("a",), start, stop)
    source.decoded = decoded
    assert found.keys() == expected.keys()
    for field, (values, valid) in expected.items():
        assert np.array_equal(found[field][0], values)
        assert np.array_equal(found[field][1], valid)


def test_rows_are_decoded_once() -> None:
    cache, source = ColumnCache(1000), Source(range(100))
    for _ in range(3):
        asked(cache, source, 0, 100)
        asked(cache, source, 10, 90)
    assert source.decoded == 100
    asked(cache, source, 0, 100, "a", "b")
    assert source.decoded == 200


def test_a_series_that_grows_is_gone_on_with() -> None:
    """But for a few rows at the end of what was there, which are looked at again."""
    cache, source = ColumnCache(1000), Source(range(100))
    asked(cache, source, 0, 100)
    source.values = np.arange(120.0)
    asked(cache, source, 0, 120)
    assert source.decoded < 100 + 20 + 20


def test_a_glance_is_a_glance() -> None:
    """A few rows of a long series are decoded alone."""
    cache, source = ColumnCache(1000), Source(range(1000))
    asked(cache, source, 990, 1000)
    assert source.decoded == 10


def test_a_file_that_was_written_over() -> None:
    """With the same inode and first line, or with others; longer or shorter."""
    cache = ColumnCache(1000)
    asked(cache, Source(range(100)), 0, 100)
    asked(cache, Source(range(100), b"two"), 0, 100)
    asked(cache, Source(range(50), b"two"), 0, 50)
    asked(cache, Source([7.0] * 110, b"two"), 0, 110)


def test_long_series_are_not_kept() -> None:
    cache, source = ColumnCache(10), Source(range(100))
    assert cache.of(KEY, source) is source


def test_memory_is_bounded() -> None:
    cache = ColumnCache(1000, memory=10_000)
    for number in range(100):
        source = Source(range(100))
        cache.of(SeriesKey("run", "metrics", f"{number}"), source).numbers(["a"], 0, 100)
    assert cache._used <= 10_000
    assert 1 <= len(cache._kept) < 10


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_asked_in_whatever_order(seed: int) -> None:
    dice = random.Random(seed)
    cache = ColumnCache(200, memory=dice.choice([2_000, 1_000_000]))
    source = Source([0.0])
    for turn in range(60):
        if dice.random() < 0.4:
            more = [dice.uniform(-1, 1) for _ in range(dice.randrange(30))]
            source.values = np.concatenate((source.values, more))
        if dice.random() < 0.05:
            source = Source([dice.uniform(-1, 1) for _ in range(dice.randrange(1, 150))], bytes([turn]))
        start = dice.randrange(source.total + 1)
        asked(
            cache, source, start, dice.randrange(start, source.total + 1), *dice.sample(["a", "b"], dice.choice([1, 2]))
        )
