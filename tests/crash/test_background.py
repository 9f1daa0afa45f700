"""Heartbeats, statuses and the end of processes: what a run says of itself, whoever dies, leaves, forks or hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, load, recorder
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store import local
from ml_dash.store.local import LocalStore
from tests.crash.children import Child, eventually, record, rows, run

KEY = RunKey("", "project", "run")


def opened(place: Path, name: str = "run") -> Experiment:
    return Experiment(name, "project", local_path=place).run.start()


def folder_of(place: Path, name: str = "run") -> Path:
    return place / "project" / name


def shown(place: Path) -> str:
    """The run's status as anybody sees it."""
    return load("run", "project", local_path=place).status or ""


def beats(place: Path, name: str = "run") -> list[float]:
    return [path.stat().st_mtime for path in (folder_of(place, name) / "processes").iterdir()]


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ml-dash" and thread.is_alive()]


def hurry() -> None:
    """In a process of our own: a heartbeat every 20 ms instead of 10 s."""
    recorder.HEARTBEAT = local._TICKS = 0.02


# ---------------------------------------------------------------- heartbeat


def test_the_heartbeat_goes_on(place: Path) -> None:
    """While the process lives, whatever its main thread does; not while it is stopped; and again when it goes on."""

    def work(child: Child) -> None:
        hurry()
        opened(place)
        child.say()
        while True:
            time.sleep(1)

    with Child(work) as child:
        child.hear()
        first = beats(place)
        eventually(lambda: beats(place) > first)
        child.stop()
        stopped = beats(place)
        time.sleep(0.1)
        assert beats(place) == stopped
        child.signal(signal.SIGCONT)
        eventually(lambda: beats(place) > stopped)


def test_one_run_that_is_deleted_does_not_stop_the_others(place: Path) -> None:
    """Two runs in one process: the first is deleted, its heartbeat and ticks fail; the second one's go on. So it is where every
    warning is an error."""

    def work(child: Child) -> None:
        warnings.simplefilter("error")
        hurry()
        first, second = opened(place, "first"), opened(place, "second")
        first.metrics("loss").append(value=1)
        second.metrics("loss").append(value=1)
        other = LocalStore(place)
        other.delete_run(first.id or "")
        child.say()
        while True:
            time.sleep(1)

    with Child(work) as child:
        child.hear()
        time.sleep(0.1)

        def beat_after(before: list[float]) -> bool:
            return beats(place, "second") > before

        for _ in range(3):
            eventually(partial(beat_after, beats(place, "second")))
        assert not folder_of(place, "first").exists()


def test_clock_ticks_are_written_while_the_run_is_open(place: Path) -> None:
    """Another process sees wall times of a run that is neither flushed nor closed, within the background thread's turn."""

    def work(child: Child) -> None:
        hurry()
        metric = opened(place).metrics("loss")
        for n in range(4):
            metric.append(n=n)
            time.sleep(0.11)
        child.say()
        while True:
            time.sleep(1)

    with Child(work) as child:
        child.hear()
        clock = folder_of(place) / "metrics" / "loss" / "clock.jsonl"
        eventually(lambda: clock.exists() and clock.read_bytes().count(b"\n") >= 4)
        points = load("run", "project", local_path=place).metrics("loss").read()["data"]
        assert len({point["createdAt"] for point in points}) == 4
        assert [point["createdAt"] for point in points] == sorted(point["createdAt"] for point in points)


def test_durability_disk_goes_on_in_a_fork(place: Path) -> None:
    """With durability="disk" a child's rows are synced by a thread of its own: they are not dirty for long."""

    def work(_child: Child) -> None:
        store = LocalStore(place, durability="disk")
        series = SeriesKey(store.put_run(KEY, RunPatch()).id, METRICS, "loss")
        store.append([Batch(series, (b'{"n": 0}',))])

        def synced() -> bool:
            file = store._series.get(series)
            return file is not None and not file.dirty

        eventually(synced)
        with Child(lambda _c: (store.append([Batch(series, (b'{"n": 1}',))]), eventually(synced))) as child:
            assert child.end() == 0
        store.append([Batch(series, (b'{"n": 2}',))])
        eventually(synced)
        store.close()

    run(work, None)


# ---------------------------------------------------------------- forks


def test_a_fork_has_one_thread_when_it_needs_one(place: Path) -> None:
    """A child forked from a process with an open run has one background thread at most, as has the parent; its own run's heartbeat
    goes on in it, and the parent's is not its business."""

    def work(child: Child) -> None:
        hurry()
        opened(place, "parents")
        assert our_threads() == ["ml-dash"]

        def forked(_child: Child) -> None:
            assert len(our_threads()) <= 1
            opened(place, "childs")
            assert our_threads() == ["ml-dash"]
            before = beats(place, "childs")
            eventually(lambda: beats(place, "childs") > before)
            # The parent is stopped: nobody beats for its run.
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(0.05)
            stopped = beats(place, "parents")
            time.sleep(0.1)
            assert beats(place, "parents") == stopped
            os.kill(os.getppid(), signal.SIGCONT)

        with Child(forked) as inner:
            assert inner.end() == 0
        assert our_threads() == ["ml-dash"]
        before = beats(place, "parents")
        eventually(lambda: beats(place, "parents") > before)

    run(work, None)


@pytest.mark.parametrize("end", ["complete", "exit", "exception", "sys.exit", "with"])
def test_a_forked_child_does_not_end_its_parents_run(place: Path, end: str) -> None:
    """A child that closes the experiment, leaves its `with` block, or ends as any interpreter does, ends nothing: the parent's run
    is RUNNING, its presence is there, and it goes on writing."""
    code = f"""
import os, sys
from ml_dash import Experiment
experiment = Experiment("run", "project", local_path={str(place)!r})
with experiment.run:
    metric = experiment.metrics("loss")
    metric.append(n=0)
    pid = os.fork()
    if pid == 0:
        metric.append(n=1)
        if {end!r} == "complete":
            experiment.run.complete()
            experiment.run.fail()
        elif {end!r} == "exit":
            sys.stdout.flush()
            import atexit; atexit._run_exitfuncs(); os._exit(0)
        elif {end!r} == "exception":
            raise RuntimeError("in the child")
        elif {end!r} == "sys.exit":
            sys.exit(0)
    else:
        os.waitpid(pid, 0)
        assert experiment.status == "RUNNING", experiment.status
        assert len(os.listdir({str(folder_of(place) / "processes")!r})) == 1
        metric.append(n=2)
if pid:
    assert experiment.status == "COMPLETED", experiment.status
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert [row["n"] for row in rows(folder_of(place) / "metrics" / "loss" / "data.jsonl")] == [0, 1, 2]
    assert record(folder_of(place))["status"] == "COMPLETED"
    assert os.listdir(folder_of(place) / "processes") == []


# ---------------------------------------------------------------- statuses


def test_a_killed_run_is_shown_as_lost(place: Path) -> None:
    """RUNNING while its process lives, LOST as soon as that was killed, also before its parent has asked for its exit status;
    stored is RUNNING. The next start is a new attempt, and ends well."""

    def work(child: Child) -> None:
        opened(place).metrics("loss").append(value=1)
        child.say()
        signal.pause()

    with Child(work) as child:
        child.hear()
        assert shown(place) == "RUNNING"
        child.signal(signal.SIGKILL)
        eventually(lambda: shown(place) == "LOST")
        assert record(folder_of(place))["status"] == "RUNNING"
        child.end()
        assert shown(place) == "LOST"
    opened(place).run.complete()
    assert shown(place) == "COMPLETED"
    attempts = record(folder_of(place))["attempts"]
    assert [attempt.get("status") for attempt in attempts] == [None, "COMPLETED"]
    assert all(attempt["ended_at"] for attempt in attempts)


def test_a_run_whose_heartbeat_is_old_is_lost(place: Path) -> None:
    """A process that has hung for longer than a minute, as seen by its presence file, is shown as lost; as soon as it goes on, not."""

    def work(child: Child) -> None:
        hurry()
        opened(place)
        child.say()
        signal.pause()

    with Child(work) as child:
        child.hear()
        child.stop()
        [presence] = (folder_of(place) / "processes").iterdir()
        old = time.time() - 61
        os.utime(presence, (old, old))
        assert shown(place) == "LOST"
        child.signal(signal.SIGCONT)
        eventually(lambda: shown(place) == "RUNNING")


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        (["complete", "complete", "complete", "complete"], "COMPLETED"),
        (["fail", "complete", "complete", "complete"], "FAILED"),
        (["complete", "complete", "complete", "fail"], "FAILED"),
        (["complete", "cancel", "complete", "complete"], "CANCELLED"),
        (["complete", "cancel", "fail", "complete"], "FAILED"),
        (["complete", "kill", "complete", "complete"], "COMPLETED"),
        (["kill", "fail", "kill", "complete"], "FAILED"),
        (["kill", "kill", "kill", "kill"], "LOST"),
    ],
)
def test_four_processes_in_one_run(place: Path, ends: list[str], status: str) -> None:
    """As torchrun starts them. The run is RUNNING until the last one has left; that one sets the status, and FAILED wins; one that
    was killed says nothing, unless nobody else does."""

    def work(child: Child, rank: int) -> None:
        experiment = opened(place)
        experiment.metrics("loss").append(rank=rank)
        child.say()
        eventually((place / f"go{rank}").exists)
        getattr(experiment.run, ends[rank])()

    children = [Child(work, rank) for rank in range(4)]
    try:
        for child in children:
            child.hear()
        assert len(beats(place)) == 4
        for rank, child in enumerate(children):
            assert shown(place) == "RUNNING"
            if ends[rank] == "kill":
                child.kill()
            else:
                (place / f"go{rank}").touch()
                assert child.end() == 0
    finally:
        for child in children:
            child.__exit__(None, None, None)
    assert shown(place) == status
    assert len(record(folder_of(place))["attempts"]) == 4
    assert len(rows(folder_of(place) / "metrics" / "loss" / "data.jsonl")) == 4


def test_four_processes_that_leave_at_once(place: Path) -> None:
    """All four close at the same moment, one of them as failed, time after time: the status is FAILED, every attempt has ended,
    nobody's presence is left."""

    def work(child: Child, rank: int) -> None:
        for turn in range(6):
            experiment = opened(place)
            experiment.metrics("loss").append(rank=rank)
            child.say()
            eventually((place / f"go{turn}").exists)
            experiment.run.fail() if rank == turn % 4 else experiment.run.complete()
            child.say()
            eventually((place / f"checked{turn}").exists)

    children = [Child(work, rank) for rank in range(4)]
    try:
        for turn in range(6):
            for child in children:
                child.hear()
            (place / f"go{turn}").touch()
            for child in children:
                child.hear()
            stored = record(folder_of(place))
            assert stored["status"] == "FAILED"
            assert len(stored["attempts"]) == 4 * (turn + 1)
            assert all(attempt["ended_at"] for attempt in stored["attempts"])
            assert beats(place) == []
            (place / f"checked{turn}").touch()
        assert [child.end() for child in children] == [0] * 4
    finally:
        for child in children:
            child.__exit__(None, None, None)


# ---------------------------------------------------------------- the interpreter's end

HEAD = """
import os, signal, sys, threading
from ml_dash import Experiment
experiment = Experiment("run", "project", local_path=sys.argv[1]).run.start()
experiment.metrics("loss").append(value=1)
"""


def script(place: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", HEAD + code, str(place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, input="")


@pytest.mark.parametrize(
    ("code", "exit_status", "status"),
    [
        ("", 0, "COMPLETED"),
        ("raise ValueError('no')", 1, "FAILED"),
        ("def f():\n  f()\nf()", 1, "FAILED"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "FAILED"),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "FAILED"),
        ("try:\n  raise ValueError\nexcept ValueError:\n  pass", 0, "COMPLETED"),
        ("thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()", 0, "COMPLETED"),
        ("sys.exit(0)", 0, "COMPLETED"),
        # The number is told to nobody before the process has ended. Whoever wants FAILED uses a `with` block or run.fail().
        ("sys.exit(3)", 3, "COMPLETED"),
        ("os._exit(0)", 0, "LOST"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "LOST"),
        ("os.abort()", -signal.SIGABRT, "LOST"),
        ("experiment.run.cancel(); raise ValueError", 1, "CANCELLED"),
        ("del experiment; import gc; gc.collect()", 0, "COMPLETED"),
        (
            "threading.Thread(target=lambda: [experiment.metrics('loss').append(value=n) for n in range(500)]).start()",
            0,
            "COMPLETED",
        ),
    ],
)
def test_the_interpreter_ends_without_closing(place: Path, code: str, exit_status: int, status: str) -> None:
    """A script's end, or its own exit, is COMPLETED; an exception that nobody caught is FAILED; a process that had no chance to
    say anything is LOST. What was appended is there."""
    result = script(place, code)
    assert result.returncode == exit_status, result.stderr
    assert shown(place) == status
    assert len(rows(folder_of(place) / "metrics" / "loss" / "data.jsonl")) in (1, 501)
    if status != "LOST":
        assert os.listdir(folder_of(place) / "processes") == []
        assert "ml_dash" not in result.stderr.replace("import", "") or exit_status


@pytest.mark.parametrize(
    ("code", "exit_status", "status"),
    [
        ("with experiment.run:\n  pass", 0, "COMPLETED"),
        ("with experiment.run:\n  raise ValueError('no')", 1, "FAILED"),
        ("with experiment.run:\n  sys.exit(3)", 3, "FAILED"),
        ("with experiment.run:\n  raise KeyboardInterrupt", -signal.SIGINT, "FAILED"),
    ],
)
def test_the_end_of_a_with_block(place: Path, code: str, exit_status: int, status: str) -> None:
    """An exception that leaves the block is FAILED and in the log, an exit with a number included."""
    result = script(place, code)
    assert result.returncode == exit_status, result.stderr
    assert shown(place) == status
    log = folder_of(place) / "logs" / "logs.jsonl"
    assert [entry["level"] for entry in rows(log)] == (["error"] if status == "FAILED" else [])


def test_an_interactive_session(place: Path) -> None:
    """In a session at the prompt an exception is no end: it is COMPLETED when the user leaves."""
    command = [sys.executable, "-i", "-q", "-c", HEAD, str(place)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, input="1 / 0\nprint('still here')\n")
    assert "ZeroDivisionError" in result.stderr
    assert "still here" in result.stdout
    assert shown(place) == "COMPLETED"


def test_the_attempts_are_recorded(place: Path) -> None:
    """Each start is one: time, host, pid, and how long each series was then."""
    pids = []
    for _ in range(3):
        result = script(place, "print(os.getpid())")
        pids.append(int(result.stdout))
    attempts: list[dict[str, Any]] = json.loads((folder_of(place) / "experiment.json").read_bytes())["attempts"]
    assert [attempt["pid"] for attempt in attempts] == pids
    assert [attempt.get("first", {}) for attempt in attempts] == [{}, {"metrics/loss": 1}, {"metrics/loss": 2}]
    assert [attempt["status"] for attempt in attempts] == ["COMPLETED"] * 3
