"""Thousands of series with few descriptors, beside reads and forks."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import stat
from pathlib import Path

import pytest

from ml_dash import Experiment, load
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.local import LocalStore
from tests.crash.children import Child, descriptors, rows, run


def limit(soft: int) -> None:
    """As `ulimit -Sn` does, for this process and its children; connections that other tests have left open do not count."""
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def check_files(folder: Path, count: int, each: int) -> None:
    files = sorted((folder / "metrics").rglob("data.jsonl"))
    assert len(files) == count
    for path in files:
        assert [row["n"] for row in rows(path)] == list(range(each))


@pytest.mark.parametrize("soft", [64, 100, 256])
def test_many_series_with_few_descriptors(place: Path, soft: int) -> None:
    """600 series in turn under RLIMIT_NOFILE, with reads, listings and forks in between: every point is there, no more than a
    quarter of the limit is open, in a child neither, and the limit is what it was."""

    def work(_child: Child) -> None:
        limit(soft)
        before = descriptors()
        chance = random.Random(soft)
        with Experiment("run", "project", local_path=place).run as experiment:
            for n in range(3):
                for series in range(600):
                    metric = experiment.metrics(f"group{series % 7}/m{series}")
                    assert metric.append(n=n)["index"] == n
                    if series % 50 == 0:
                        some = experiment.metrics(f"group{series % 7}/m{series}")
                        assert [point["data"]["n"] for point in some.read()["data"]] == list(range(n + 1))
                    assert descriptors() - before <= soft // 4 + 2
                if n == 1:
                    assert len(experiment.metrics.list_all()) == 600
                    pids = [os.fork() for _ in range(2)] if os.getpid() else []
                    if 0 in pids:
                        code = 1
                        try:
                            assert descriptors() - before <= 2
                            for _ in range(200):
                                series = chance.randrange(600)
                                experiment.metrics(f"group{series % 7}/m{series}").read(-1)
                                experiment.metrics(f"beside/m{series % 40}").append(n=-1)
                            assert descriptors() - before <= soft // 4 + 2
                            code = 0
                        finally:
                            os._exit(code)
                    for pid in pids:
                        assert os.waitpid(pid, 0)[1] == 0
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
        assert descriptors() - before <= 2

    run(work, None)
    for path in (place / "project" / "run" / "metrics" / "beside").rglob("data.jsonl"):
        assert rows(path)
        path.unlink()
    check_files(place / "project" / "run", 600, 3)


def test_many_stores_share_one_limit(place: Path) -> None:
    """Twelve experiments of 30 series each in one process that may open 128 files, all written in turn: together they keep to a
    quarter of it."""

    def work(_child: Child) -> None:
        limit(128)
        before = descriptors()
        experiments = [Experiment(f"run{e}", "project", local_path=place).run.start() for e in range(12)]
        for n in range(3):
            for series in range(30):
                for experiment in experiments:
                    experiment.metrics(f"m{series}").append(n=n)
                    assert descriptors() - before <= 128 // 4 + 2
        for experiment in experiments:
            experiment.run.complete()

    run(work, None)
    for e in range(12):
        check_files(place / "project" / f"run{e}", 30, 3)


def test_runs_that_are_read_and_dropped(place: Path) -> None:
    """A loop over 300 runs that loads and reads each, without ever closing one, in a process that may open 64 files; and the
    same with experiments that are read after they were closed."""

    def work(_child: Child) -> None:
        limit(64)
        for n in range(300):
            with Experiment(f"run{n}", "project", local_path=place).run as experiment:
                experiment.metrics("a").append(n=0)
            assert experiment.metrics("a").read()["total"] == 1
        for n in range(300):
            assert load(f"run{n}", "project", local_path=place).metrics("a")[-1]["data"] == {"n": 0}

    run(work, None)


def test_five_thousand_metrics(place: Path) -> None:
    """One point in each of 5,000 metrics under `ulimit -n 1024`."""

    def work(_child: Child) -> None:
        limit(1024)
        store = LocalStore(place)
        made = store.put_run(RunKey("", "project", "run"), RunPatch()).id
        before = descriptors()
        for n in range(5_000):
            assert store.append([Batch(SeriesKey(made, METRICS, f"m{n}"), (b'{"n": 0}',))])[0].first == 0
        assert descriptors() - before <= 256 + 2
        store.flush(made)
        store.close()
        assert descriptors() <= before

    run(work, None)
    check_files(place / "project" / "run", 5_000, 1)


def test_the_users_random_numbers_stay_his(place: Path) -> None:
    """Whatever descriptors are given up and locks waited for, `random` goes on where its user seeded it."""

    def work(_child: Child) -> None:
        store = LocalStore(place, descriptors=4)
        made = store.put_run(RunKey("", "project", "run"), RunPatch()).id
        random.seed(7)
        expected = random.Random(7)
        for n in range(200):
            store.append([Batch(SeriesKey(made, METRICS, f"m{n % 20}"), (b'{"n": 0}',))])
            assert random.random() == expected.random()

    run(work, None)
