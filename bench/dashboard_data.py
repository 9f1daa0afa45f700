"""What the pages of the dashboard benchmark show: the same runs, series and values for every contestant. Needs NumPy alone, since
each contestant's own Python imports it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

PROJECT = "bench"
SPIKE_FACTOR = 100.0
FIRST_SECOND = 1_780_000_000
"""Unix seconds of the first point; the points of a series are a second apart."""


@dataclass(frozen=True)
class Shape:
    """How much there is of what."""

    name: str
    runs: int
    metrics: int
    points: int
    spike: bool = False

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.runs}x{self.metrics}x{self.points}"

    @property
    def spike_at(self) -> int:
        """The index of the spike: no multiple of anything, so that nobody finds it by striding."""
        return int(self.points * 0.61803) | 1

    def text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Shape:
        return Shape(**json.loads(text))

    def names(self) -> list[str]:
        return [metric_name(number) for number in range(self.metrics)]

    def columns(self, run: int) -> list[np.ndarray]:
        """The values of each series of a run."""
        return [self.values(run, metric) for metric in range(self.metrics)]

    def values(self, run: int, metric: int) -> np.ndarray:
        """A falling, noisy loss, in values that 32 bits hold, which is all that some event files keep."""
        noise = np.random.default_rng((run, metric)).normal(0.0, 0.05, self.points)
        place = np.arange(self.points) / max(self.points, 1)
        found = 0.5 + (1.0 + 0.05 * (run % 20)) * np.exp(-4.0 * place) + noise
        if self.spike:
            found[self.spike_at] *= SPIKE_FACTOR
        return found.astype(np.float32).astype(np.float64)

    def each_run(self) -> Iterator[int]:
        return iter(range(self.runs))


def run_name(number: int) -> str:
    return f"run-{number:05d}"


def metric_name(number: int) -> str:
    """Four groups, as people have them."""
    return f"{('train', 'val', 'system', 'optim')[number % 4]}/m{number:02d}"


def params(number: int) -> dict[str, float | int | str]:
    """A run's parameters."""
    return {"lr": round(10 ** -(1 + number % 40 / 10), 6), "batch_size": 2 ** (3 + number % 6), "seed": number}
