"""What a store counts of its own work, for whoever shows it: counters, gauges, times. Pure; no exporter's library may come in here.

The names are those of the server's /metrics. A store takes a `Counts` and adds to it; `families()` is a consistent picture of each.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Counter:
    """A number that only grows, one for each label; `label` is what the label means, "" where there is none."""

    def __init__(self, name: str, text: str, label: str = "") -> None:
        self.name = name
        self.text = text
        self.label = label
        self._values: dict[str, float] = {} if label else {"": 0.0}
        self._mutex = threading.Lock()

    def add(self, amount: float = 1, label: str = "") -> None:
        """Labels are of a bounded number: names of operations, never of runs."""
        with self._mutex:
            self._values[label] = self._values.get(label, 0.0) + amount

    def values(self) -> dict[str, float]:
        """By label."""
        with self._mutex:
            return dict(self._values)

    @property
    def total(self) -> float:
        """Over all labels."""
        return sum(self.values().values())


class Gauge:
    """A number as it is now. Setting it is one store of a reference, so that nobody waits."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value


class Histogram:
    """How often which value came, one for each label. A value equal to a bound counts below it."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], label: str = "") -> None:
        self.name = name
        self.text = text
        self.bounds = tuple(bounds)
        self.label = label
        self._values: dict[str, tuple[list[int], float]] = {} if label else {"": self._empty()}
        self._mutex = threading.Lock()

    def _empty(self) -> tuple[list[int], float]:
        return [0] * (len(self.bounds) + 1), 0.0

    def observe(self, value: float, label: str = "") -> None:
        """Labels are as of `Counter.add`."""
        with self._mutex:
            counts, total = self._values.get(label) or self._empty()
            counts[bisect_left(self.bounds, value)] += 1
            self._values[label] = counts, total + value

    def values(self) -> dict[str, tuple[list[int], float]]:
        """By label: how many values fell up to each bound and above the one before it, the last above all; and their sum."""
        with self._mutex:
            return {label: (list(counts), total) for label, (counts, total) in self._values.items()}


class Calls:
    """Calls of something that may be slow or fail, by operation: ``with counts.hot.time("insert"): …``."""

    def __init__(self, name: str, text: str) -> None:
        self.seconds = Histogram(f"{name}_seconds", f"Time of one {text}, by operation.", SECONDS, "operation")
        self.failures = Counter(f"{name}_failures", f"Times that one {text} raised, by operation.", "operation")

    def note(self, operation: str, seconds: float, worked: bool) -> None:
        """One call has ended."""
        self.seconds.observe(seconds, operation)
        if not worked:
            self.failures.add(1, operation)

    @contextmanager
    def time(self, operation: str) -> Iterator[None]:
        """Around one call. What it raises counts as a failure: an outcome that is expected is handled inside."""
        since, worked = time.perf_counter(), False
        try:
            yield
            worked = True
        finally:
            self.note(operation, time.perf_counter() - since, worked)


class Counts:
    """What one TieredStore counts."""

    def __init__(self) -> None:
        self.group_batches = Histogram("ml_dash_group_batches", "Batches that one commit of a series took.", SIZES)
        self.group_points = Histogram(
            "ml_dash_group_points", "Rows that one commit of a series stored.", tuple(4.0**n for n in range(12))
        )
        self.races = Counter("ml_dash_races", "Commits that found another server's in their place, and began again.")
        self.duplicates = Counter("ml_dash_duplicates", "Rows that came again and were not stored again.")
        self.hot = Calls("ml_dash_hot", "call to MongoDB")
        self.cold = Calls("ml_dash_cold", "call to S3")
        self.archive = Calls("ml_dash_archive_step", "step of archiving")
        self.archive_lag = Gauge(
            "ml_dash_archive_lag_seconds",
            "How long the longest waiting series has been past its threshold; 0 if none is.",
        )
        self.archive_queue = Gauge(
            "ml_dash_archive_queue", "Series past their threshold that no archiver has taken up."
        )
        self.archived_chunks = Counter("ml_dash_archived_chunks", "Chunks written to S3.")
        self.archived_points = Counter("ml_dash_archived_points", "Rows sealed in chunks.")
        self.archived_bytes = Counter("ml_dash_archived_bytes", "Bytes of the chunks written to S3.")

    def families(self) -> list[Counter | Gauge | Histogram]:
        """All of them, for an exporter."""
        found: list[Counter | Gauge | Histogram] = []
        for one in vars(self).values():
            found += [one.seconds, one.failures] if isinstance(one, Calls) else [one]
        return found
