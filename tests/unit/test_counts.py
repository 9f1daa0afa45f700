"""What a store counts of itself: nothing is lost among threads, and what is told fits together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_dash.store.counts import Calls, Counter, Counts, Gauge, Histogram


def test_threads_that_count_together_lose_nothing() -> None:
    counter, histogram = Counter("c", "", "operation"), Histogram("h", "", (1, 2))

    def count(number: int) -> None:
        for _ in range(2_000):
            counter.add(2, str(number % 2))
            histogram.observe(number % 4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert counter.values() == {"0": 16_000, "1": 16_000}
    assert counter.total == 32_000
    assert histogram.values() == {"": ([8_000, 4_000, 4_000], 24_000)}


def test_a_value_at_a_bound_counts_below_it() -> None:
    histogram = Histogram("h", "", (1, 10))
    for value in (0.5, 1, 1.5, 10, 11):
        histogram.observe(value)
    assert histogram.values() == {"": ([2, 2, 1], 24)}


def test_what_has_no_label_is_told_from_the_start_and_what_has_one_when_it_came() -> None:
    """As Prometheus wants it: a rate is known from the first event on."""
    assert Counter("c", "").values() == {"": 0}
    assert Histogram("h", "", (1,)).values() == {"": ([0, 0], 0)}
    assert Counter("c", "", "operation").values() == {}
    assert Histogram("h", "", (1,), "operation").values() == {}


def test_a_call_that_raises_is_counted_and_timed() -> None:
    calls = Calls("ml_dash_hot", "call")
    with calls.time("find"):
        pass
    with pytest.raises(KeyError), calls.time("insert"):
        raise KeyError
    calls.note("insert", 3.0, worked=True)
    assert calls.failures.values() == {"insert": 1}
    found = calls.seconds.values()
    assert {operation: sum(counts) for operation, (counts, _) in found.items()} == {"find": 1, "insert": 2}
    assert found["insert"][1] >= 3


def test_every_family_has_a_name_of_its_own_and_says_what_it_is() -> None:
    families = Counts().families()
    assert len({one.name for one in families}) == len(families)
    assert all(one.name.startswith("ml_dash_") and one.text.endswith(".") for one in families)


def test_a_gauge_is_what_was_set_last() -> None:
    gauge = Gauge("g", "")
    gauge.set(3)
    gauge.set(2.5)
    assert gauge.value == 2.5
