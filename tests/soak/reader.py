"""One reader of the soak: reads anywhere in the growing series until SIGTERM, and raises at the first wrong thing.

Every second it appends a line {"loops", "rss", "fds"} to its file of vital signs: resident bytes and open descriptors.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ml_dash


def resident_bytes() -> int:
    """Resident memory now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Reader:
    def __init__(self, folder: Path, name: str) -> None:
        self.root = str(folder / "runs")
        self.vitals = folder / "vitals" / name
        self.random = random.Random(name)
        self.stopping = False
        self.lengths: dict[str, int] = {}

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        loops, told = 0, 0.0
        while not self.stopping:
            run = ml_dash.load("run", "soak", local_path=self.root)
            names = [info["name"] for info in run.metrics.list_all()]
            for _ in range(20):
                if names:
                    self._look(run, self.random.choice(names))
                loops += 1
            run.params.get()
            run.logs.read(limit=50)
            if time.monotonic() - told > 1:
                told = time.monotonic()
                self._tell(loops)

    def _terminate(self, *_: object) -> None:
        self.stopping = True

    def _tell(self, loops: int) -> None:
        gc.collect()  # what a handle holds that nobody can reach any more is not a leak
        line = {"loops": loops, "rss": resident_bytes(), "fds": len(os.listdir("/dev/fd"))}
        with self.vitals.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _look(self, run: Any, name: str) -> None:
        """A page somewhere, and now and then the whole series' sample: whole batches only, and nothing shrinks."""
        metric = run.metrics(name)
        length = len(metric)
        assert length >= self.lengths.get(name, 0), f"{name} shrank from {self.lengths[name]} to {length}"
        self.lengths[name] = length
        start, limit = self.random.randrange(length + 1), self.random.randrange(1, 500)
        points = metric.read(start_index=start, limit=limit)["data"]
        assert len(points) >= min(limit, length - start), f"{name}: {len(points)} of [{start}, +{limit}) of {length}"
        assert [point["index"] for point in points] == list(range(start, start + len(points))), f"{name} at {start}"
        for point in points:
            assert point["data"].keys() >= {"stream", "n", "batch", "value"}, f"{name}: {point}"
        self._last_batch_is_whole(metric.read(start_index=-1, limit=1)["data"])
        if length and self.random.random() < 0.05:
            sample = metric.sample("value", max_points=100)
            counted = int(sample.count.sum() + sample.nan.sum()) if len(sample.count) else 0
            assert counted >= length, f"{name}: a sample of {counted} of {length} points"

    def _last_batch_is_whole(self, points: list[dict[str, Any]]) -> None:
        """A reader sees a batch as one: whatever is last in the series is the last of its batch."""
        for point in points:
            first, count = point["data"]["batch"]
            assert point["data"]["n"] == first + count - 1, f"half a batch is visible: {point}"


if __name__ == "__main__":
    Reader(Path(sys.argv[1]), sys.argv[2]).run()
