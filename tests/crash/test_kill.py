"""kill -9 at any moment: what an append has returned is there, once, and the next process goes on at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from tests.crash.children import Child, check_small_records, parsed, rows

TRIALS = 100
BATCH = 100
SERIES = ("loss", "train/acc", "batches")
LOG = "logs"
PROMPT = 5.0
"""Seconds within which a new run has appended: far below the patience with a lock, far above what a busy machine needs."""


def opened(place: Path, **options: Any) -> Experiment:
    return Experiment("run", "project", local_path=place, **options)


def series_file(place: Path, name: str) -> Path:
    run = place / "project" / "run"
    return run / "logs" / "logs.jsonl" if name == LOG else run / "metrics" / name / "data.jsonl"


# ---------------------------------------------------------------- the process that is killed


class Load:
    """One run's life: `say(series * 2**40 + index)` after each append that returned."""

    def __init__(self, child: Child, place: Path, trial: int, workers: str | None) -> None:
        self.child, self.place, self.trial, self.workers = child, place, trial, workers
        self.chance = random.Random(trial)

    def run(self) -> None:
        experiment = opened(self.place, tags=[f"trial {self.trial}"]).run.start()
        for name in SERIES:
            self.single(experiment, name)
        self.child.say(-1)
        if self.workers:
            # Beside the appends of this thread, so that a fork comes in the middle of anything.
            threading.Thread(target=self.fork, args=(experiment,), daemon=True).start()
        for step in range(1_000_000):
            self.step(experiment, step)

    def step(self, experiment: Experiment, step: int) -> None:
        self.single(experiment, SERIES[step % 2])
        if step % 4 == 0:
            first = experiment.metrics(SERIES[2]).append_batch([self.row(i, BATCH) for i in range(BATCH)])["startIndex"]
            self.acknowledge(SERIES[2], first, BATCH)
        if step % 5 == 0:
            experiment.log(f"step {step}", trial=self.trial)
        dice = self.chance.random()
        if dice < 0.04:
            experiment.params.set(trial=self.trial, step=step, nested={"last": "x" * self.chance.randrange(20_000)})
        elif dice < 0.06:
            experiment.metrics(SERIES[0], description=f"trial {self.trial}, step {step}").append(trial=self.trial)
        elif dice < 0.08:
            experiment.files(prefix="/state").save_json({"trial": self.trial}, "state.json")
        elif dice < 0.10:
            experiment.flush()
        elif dice < 0.12:
            experiment.run.complete()
            experiment.run.start()

    def row(self, part: int, of: int) -> dict[str, Any]:
        row: dict[str, Any] = {"trial": self.trial, "part": part, "of": of, "value": self.chance.random()}
        if self.chance.random() < 0.01:
            row["text"] = "x" * self.chance.randrange(30_000)
        return row

    def single(self, experiment: Experiment, name: str) -> None:
        self.acknowledge(name, experiment.metrics(name).append(self.row(0, 1))["index"], 1)

    def acknowledge(self, name: str, first: int, count: int) -> None:
        self.child.say((SERIES.index(name) << 40) + first + count - 1)

    def fork(self, experiment: Experiment) -> None:
        """Workers that live on when this process is killed: some idle, some appending to the same series."""
        for busy in (False, True, False):
            if self.workers == "fork":
                if os.fork() == 0:
                    self.work(experiment, busy)
            else:
                get_context("fork").Process(target=self.work, args=(experiment, busy)).start()
            time.sleep(0.005)

    def work(self, experiment: Experiment, busy: bool) -> None:
        try:
            self.child.say(-os.getpid())
            until = time.monotonic() + 30
            while time.monotonic() < until:
                if busy:
                    with suppress(BrokenPipeError):
                        self.single(experiment, SERIES[0])
                time.sleep(0.001)
        finally:
            os._exit(1)


# ---------------------------------------------------------------- the process that looks


class Watch:
    """What was promised of each series, and how far its file was found sound: (bytes, points) that cannot go any more."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.promised = dict.fromkeys(SERIES, 0)
        self.sound = dict.fromkeys((*SERIES, LOG), (0, 0))

    def hear(self, numbers: list[int]) -> list[int]:
        """Note what was acknowledged; the pids of workers among it."""
        for number in numbers:
            if number >= 0:
                name, index = SERIES[number >> 40], number & ((1 << 40) - 1)
                self.promised[name] = max(self.promised[name], index + 1)
        return [-number for number in numbers if number < -1]

    def check(self) -> None:
        """Every whole line is sound, and every index that was promised has one: they are gapless, so the highest tells.
        Lines behind those may go yet: half a batch that the kill has left."""
        for name, (offset, points) in self.sound.items():
            with series_file(self.place, name).open("rb") as f:
                f.seek(offset)
                data = f.read()
            lines = data.split(b"\n")[:-1]
            parsed(b"".join(line + b"\n" for line in lines), points)
            promised = self.promised.get(name, points + len(lines))
            assert points + len(lines) >= promised, f"{name}: {promised} returned, {points + len(lines)} are there"
            new = lines[: max(0, promised - points)]
            self.sound[name] = offset + sum(len(line) + 1 for line in new), points + len(new)
        assert check_small_records(self.place) >= len(SERIES) + 1


@contextmanager
def killed_later(pids: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("part", range(4))
def test_kill_9_at_any_moment(place: Path, part: int) -> None:
    """A process that appends singly and in batches to several series, with logs, parameters, metadata, files, flushes and
    closes in between, is killed at a random moment, trial after trial on one run, every third time with forked workers that
    live on (idle, and appending): no returned append is missing, no index is there twice or missing, no batch is there in part,
    small records are whole, and the next run appends at once, while the dead one's workers still live."""
    chance = random.Random(part)
    watch = Watch(place)
    left: list[int] = []
    for trial in range(part, TRIALS, 4):
        workers = (None, None, None, "fork", None, "multiprocessing")[trial // 4 % 6]
        with Child(lambda child, trial=trial, workers=workers: Load(child, place, trial, workers).run()) as child:
            with killed_later(left):
                began = time.monotonic()
                heard = [child.hear()]
                while heard[-1] != -1:
                    heard.append(child.hear())
                assert time.monotonic() - began < PROMPT
                assert len([number for number in heard if number >= 0]) >= len(SERIES)
            time.sleep(chance.random() * 0.08)
            child.kill()
            heard += child.heard()
        left = watch.hear(heard)
        watch.check()
    with killed_later(left):
        pass
    with opened(place).run as experiment:
        for name in SERIES:
            count = len(experiment.metrics(name))
            assert experiment.metrics(name).append(last=True)["index"] == count >= watch.promised[name]
    assert len(rows(series_file(place, LOG))) > 0
    for name in SERIES:
        left_of_batch = 0
        for one in rows(series_file(place, name))[:-1]:
            assert one.get("part", 0) == left_of_batch, "half a batch"
            left_of_batch = (left_of_batch + 1) % one.get("of", 1)
    assert json.loads((place / "project" / "run" / "experiment.json").read_bytes())["status"] == "COMPLETED"


def test_kill_9_while_the_run_starts(place: Path) -> None:
    """Killed in the first milliseconds, before or while the run, its series and records come into being: whatever is there is
    whole, and the next process opens it, appends and closes."""
    chance = random.Random(5)
    seen = set()
    for trial in range(30):
        folder = place / str(trial)
        with Child(lambda child, folder=folder: Load(child, folder, 0, None).run()) as child:
            time.sleep(chance.random() * 0.012 * (1 + trial / 5))  # the machine may be busy
            child.kill()
            promised = sum(number >= 0 for number in child.heard())
        seen.add(promised > 0)
        check_small_records(folder)
        with opened(folder).run as experiment:
            experiment.params.set(a=1)
            index = experiment.metrics("loss").append(value=1)["index"]
        found = rows(series_file(folder, "loss"))
        assert len(found) == index + 1 >= min(promised, 1)
        check_small_records(folder)
    assert seen == {True, False}


SCRIPT = """
import sys
from ml_dash import Experiment
experiment = Experiment("run", "project", local_path=sys.argv[1]).run.start()
metric = experiment.metrics("loss")
while True:
    print(metric.append(value=1)["index"], flush=True)
"""


def test_kill_9_of_a_script(place: Path) -> None:
    """The same with an interpreter of its own, as a user would run it."""
    promised = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", SCRIPT, str(place)], stdout=subprocess.PIPE, text=True) as script:
            assert script.stdout is not None
            assert int(script.stdout.readline()) >= promised
            time.sleep(0.02)
            script.kill()
            lines = script.stdout.read().split("\n")
        promised = max([promised, *(int(line) + 1 for line in lines[:-1])])
        data = series_file(place, "loss").read_bytes()
        assert len(parsed(data[: data.rfind(b"\n") + 1], 0)) >= promised
