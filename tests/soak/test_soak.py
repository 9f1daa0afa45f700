"""Mixed load with kills: processes × threads that write, others that read, SIGKILL and SIGSTOP among them at random.

Afterwards plain `json` reads the files: every series without a hole, every stream in order and without a hole, every
batch whole, and every append that returned at the index it returned. 20 s by default; `make soak` runs ten minutes.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ml_dash import Experiment
from tests.soak.writer import ACK

HERE = Path(__file__).resolve().parent
WRITERS, THREADS, READERS = 4, 2, 2
RSS_GROWTH = 64 << 20
FD_GROWTH = 4
STOP_WITHIN = 60.0
"""Seconds: more than the bounded wait for a lock, less than patience."""


class Fleet:
    """The processes of one soak. Number 0 of the writers and of the readers survives; the others are fair game."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.alive_read, self.alive_write = os.pipe()

    def start(self, slot: str) -> None:
        """A writer or reader, `w0` or `r1`; the next one in its slot if there was one."""
        name = f"{slot}.{self.starts[slot]}"
        self.starts[slot] += 1
        script, extra = ("writer.py", [str(THREADS)]) if slot.startswith("w") else ("reader.py", [])
        with (self.folder / "output" / name).open("wb") as output:
            self.processes[slot] = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(HERE / script), str(self.folder), name, *extra],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, pass_fds=[self.alive_write],
            )  # fmt: skip

    def disturb(self) -> None:
        """Kill one, or hold one for a moment; nobody may have ended of his own accord."""
        self.check_running()
        slot = self.random.choice([slot for slot in self.processes if not slot.endswith("0")])
        process = self.processes[slot]
        if self.random.random() < 0.2:
            process.send_signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(0, 0.5))
            process.send_signal(signal.SIGCONT)
            self.done["held"] += 1
            return
        process.kill()
        process.wait()
        self.done["killed"] += 1
        self.start(slot)

    def check_running(self) -> None:
        for slot, process in self.processes.items():
            assert process.poll() is None, self._story(slot, f"ended with {process.returncode}")

    def stop(self) -> None:
        """Ask everybody to finish; wait also for the forked children whose parents were killed."""
        for process in self.processes.values():
            process.terminate()
        for slot, process in self.processes.items():
            try:
                status = process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # faulthandler writes where it hangs
                process.wait()
                pytest.fail(self._story(slot, f"did not stop within {STOP_WITHIN:.0f} s"))
            # One that has just been started may not listen for the signal yet.
            assert status in {0, -signal.SIGTERM}, self._story(slot, f"ended with {status}")
        os.close(self.alive_write)
        self.alive_write = -1
        ended = select.select([self.alive_read], [], [], STOP_WITHIN)[0]
        assert ended, "a forked child outlived the soak: it waits for something that nobody holds"

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        for descriptor in (self.alive_read, self.alive_write):
            if descriptor >= 0:
                os.close(descriptor)

    def _story(self, slot: str, what: str) -> str:
        name = f"{slot}.{self.starts[slot] - 1}"
        return f"{name} {what} after {dict(self.done)}:\n{(self.folder / 'output' / name).read_text()[-4_000:]}"


class Acks:
    """What one stream was promised: walks beside the stream's rows, both in the order of `n`."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.promises = ACK.iter_unpack(data)
        self.first, self.n, self.count = next(self.promises, (0, 0, 0))

    def check(self, n: int, index: int) -> None:
        if n == self.n + self.count:
            self.first, self.n, self.count = next(self.promises, (0, n + 1, 0))
        if self.n <= n < self.n + self.count:
            assert index == self.first + n - self.n, (
                f"n {n} was promised index {self.first + n - self.n}, is at {index}"
            )

    def unkept(self, rows: int) -> list[Any]:
        """Promises beyond the `rows` that were found."""
        left = [(self.first, self.n, self.count), *self.promises]
        return [promise for promise in left if promise[2] and promise[1] + promise[2] > rows]


def verify(path: Path, acks: dict[str, Acks]) -> int:
    """The number of points of the series in `path`, after everything that was promised of it is checked."""
    seen: Counter[str] = Counter()
    open_batch: tuple[str, int] | None = None
    index = -1
    with path.open("rb") as file:
        for index, line in enumerate(file):
            point = json.loads(line, parse_constant=_not_json)
            assert list(point) == ["index", "data"], point
            assert point["index"] == index, f"{path}: index {point['index']} on line {index}"
            stream, n, (first, count) = (point["data"][key] for key in ("stream", "n", "batch"))
            assert n == seen[stream], f"{path}: {stream} has {n} after {seen[stream] - 1}, at {index}"
            due = open_batch or (stream, first)
            assert (stream, n) == due, f"{path}: a batch is torn, or mixed with another: {due} is missing at {index}"
            open_batch = (stream, n + 1) if n + 1 < first + count else None
            seen[stream] += 1
            acks[stream].check(n, index)
    assert open_batch is None, f"{path} ends in half a batch"
    for stream, promised in acks.items():
        gone = promised.unkept(seen[stream])
        assert not gone, f"{path}: {stream} has {seen[stream]} rows; gone are (index, n, count) {gone[:3]}"
    return index + 1


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def check_vitals(path: Path) -> dict[str, Any]:
    """The survivor reader's memory and descriptors did not grow between the second quarter and the last."""
    vitals = [json.loads(line) for line in path.read_text().splitlines()]
    quarter = max(1, len(vitals) // 4)
    early, late = vitals[quarter : 2 * quarter] or vitals[:1], vitals[-quarter:]
    rss = [median(line["rss"] for line in part) for part in (early, late)]
    fds = [median(line["fds"] for line in part) for part in (early, late)]
    assert rss[1] - rss[0] <= RSS_GROWTH, f"the reader's memory grew from {rss[0]:,} to {rss[1]:,} bytes"
    assert fds[1] - fds[0] <= FD_GROWTH, f"the reader's descriptors grew from {fds[0]} to {fds[1]}"
    return {"reads": vitals[-1]["loops"], "rss MB": round(rss[1] / 1e6), "fds": fds[1]}


def test_soak(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    seconds = pytestconfig.getoption("--soak-seconds") or 20.0
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"\nsoak of {seconds:.0f} s, seed {seed}, in {tmp_path}", flush=True)
    for name in ("acks", "output", "vitals"):
        (tmp_path / name).mkdir()
    with Experiment(name="run", project="soak", local_path=str(tmp_path / "runs")).run:
        pass  # so that a reader always finds the run

    fleet = Fleet(tmp_path, seed)
    try:
        for slot in [*(f"w{i}" for i in range(WRITERS)), *(f"r{i}" for i in range(READERS))]:
            fleet.start(slot)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(fleet.random.uniform(0, 0.8))
            fleet.disturb()
        fleet.stop()
    finally:
        fleet.close()

    folder = tmp_path / "runs" / "soak" / "run" / "metrics"
    promised: dict[str, dict[str, Acks]] = {}
    for path in (tmp_path / "acks").iterdir():
        series, stream = path.name.split("~")
        promised.setdefault(series, {})[stream] = Acks(path)
    counts = {series: verify(folder / series / "data.jsonl", acks) for series, acks in promised.items()}
    assert fleet.done["killed"] > 0
    assert counts["shared"] > 0

    with Experiment(name="run", project="soak", local_path=str(tmp_path / "runs")).run as experiment:
        for series, count in counts.items():
            assert experiment.metrics(series).append(after="all")["index"] == count
    vitals = check_vitals(tmp_path / "vitals" / "r0.0")
    print(f"{sum(counts.values()):,} points, {dict(fleet.done)}, survivor reader {vitals}")
