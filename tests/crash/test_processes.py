"""Many processes, threads, handles, forks, signals and interrupts on the same series at once."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, LogHandler, codec
from ml_dash.errors import LockTimeout, NotFound
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.local import LocalStore
from tests.crash.children import (
    Child,
    check_small_records,
    descriptors,
    eventually,
    in_threads,
    record,
    rows,
    run,
    several,
)

KEY = RunKey("", "project", "run")
PROMPT = 5.0
"""Seconds that a call may take where nobody keeps it waiting, on a machine that is busy with other tests."""


def opened(place: Path, **options: Any) -> Experiment:
    return Experiment("run", "project", local_path=place, **options).run.start()


def data_file(place: Path, name: str = "loss") -> Path:
    return place / "project" / "run" / "metrics" / name / "data.jsonl"


class Writer:
    """Appends rows, single or in batches, that tell who wrote them, as his how manieth, and in which batch."""

    def __init__(self, metric: Any, who: str) -> None:
        self.metric, self.who, self.n = metric, who, 0
        self.chance = random.Random(who)

    def batch(self, size: int) -> int:
        """Append `size` rows as one batch; the first one's index."""
        said = [
            {"who": self.who, "n": self.n + i, "batch": [self.n, size], "pad": "x" * self.chance.randrange(60)}
            for i in range(size)
        ]
        self.n += size
        if size > 1:
            first: int = self.metric.append_batch(said)["startIndex"]
        else:
            first = self.metric.append(said[0])["index"]
        return first

    def some(self, times: int) -> None:
        for _ in range(times):
            self.batch(1 if self.chance.random() < 0.8 else self.chance.randrange(2, 60))


def check_rows(found: list[dict[str, Any]], reached: dict[str, int] | None = None) -> dict[str, int]:
    """Batches are whole and in one piece, and each writer's rows in his order; how many of each there are."""
    reached = {} if reached is None else reached
    at = 0
    while at < len(found):
        who, n, (first, size) = found[at]["who"], found[at]["n"], found[at]["batch"]
        assert n == first == reached.get(who, 0), (
            f"{who}: row {n} of a batch that begins at {first}, after {reached.get(who)}"
        )
        got = [(one["who"], one["n"], one["batch"]) for one in found[at : at + size]]
        assert got == [(who, first + i, [first, size]) for i in range(size)]
        reached[who] = first + size
        at += size
    return reached


def follow(read: Callable[[int], list[dict[str, Any]]], done: Callable[[], bool]) -> int:
    """Read all the time what is new, which has to be whole batches; how often something was."""
    reached: dict[str, int] = {}
    at = news = 0
    while True:
        last = done()
        points = read(at)
        assert [point["index"] for point in points] == list(range(at, at + len(points)))
        check_rows([point["data"] for point in points], reached)
        at += len(points)
        news += bool(points)
        if last and not points:
            return news


# ---------------------------------------------------------------- 8 processes × 2 threads


def test_eight_processes_with_two_threads_each(place: Path) -> None:
    """On one series, single appends and batches mixed, with readers beside them (two processes and a thread, through metric and
    store, all the time): nobody raises; indices are unique and gapless; a reader never sees half a batch; each thread's rows
    keep their order."""
    times = 120

    def work(_child: Child, number: int) -> None:
        experiment = opened(place)
        metric = experiment.metrics("loss")
        in_threads(2, lambda thread: Writer(metric, f"{number}.{thread}").some(times))
        experiment.run.complete()

    def look(child: Child) -> None:
        store = LocalStore(place)
        series = SeriesKey(store.get_run(KEY).id, METRICS, "loss")
        child.say()
        child.say(follow(lambda at: codec.decode_page(store.read(series, at, None)), stop.exists))

    stop = place / "stop"
    with _closing(opened(place)) as experiment:
        metric = experiment.metrics("loss")
        with Child(look) as reader, Child(look) as other:
            reader.hear(), other.hear()
            seen: list[int] = []
            thread = threading.Thread(
                target=lambda: seen.append(follow(lambda at: metric.read(at, None)["data"], stop.exists))
            )
            thread.start()
            with several(8, work) as writers:
                assert [writer.end() for writer in writers] == [0] * 8
            stop.touch()
            thread.join()
            assert (reader.end(), other.end()) == (0, 0)
            assert min(seen[0], *reader.heard(), *other.heard()) > 1
    found = rows(data_file(place))
    reached = check_rows(found)
    assert sorted(reached) == sorted(f"{number}.{thread}" for number in range(8) for thread in range(2))
    assert sum(reached.values()) == len(found)
    check_small_records(place)


@contextmanager
def _closing(experiment: Experiment) -> Iterator[Experiment]:
    try:
        yield experiment
    finally:
        experiment.run.complete()


def test_processes_that_create_the_same_run_and_series_at_once(place: Path) -> None:
    """Six processes start the same run and append to the same new metrics, log and parameters at the same moment: one run,
    one id, all rows, all parameters, six attempts."""
    gate = place / "go"

    def work(_child: Child, number: int) -> None:
        eventually(gate.exists)
        experiment = opened(place / "runs")
        for name in ("a", "b/c", "b"):
            experiment.metrics(name, description="said").append(who=number)
        experiment.log(f"from {number}")
        experiment.params.set(**{f"p{number}": number})
        experiment.run.complete()

    with several(6, work) as children:
        gate.touch()
        assert [child.end() for child in children] == [0] * 6
    folder = place / "runs" / "project" / "run"
    for name in ("a", "b/c", "b"):
        assert sorted(one["who"] for one in rows(folder / "metrics" / name / "data.jsonl")) == list(range(6))
    assert len(rows(folder / "logs" / "logs.jsonl")) == 6
    assert json.loads((folder / "parameters.json").read_bytes())["data"] == {f"p{n}": n for n in range(6)}
    stored = json.loads((folder / "experiment.json").read_bytes())
    assert len(stored["attempts"]) == 6
    assert stored["status"] == "COMPLETED"
    assert os.listdir(folder / "processes") == []


def test_identities_of_many_writers_at_once(place: Path) -> None:
    """Four processes with two threads each send batches with identities to one series, some of them twice or overlapping, and
    are killed and begun again from what was acknowledged: every row of each is there once, in order, and nobody else's mark
    is touched."""

    def work(child: Child, writer: int, rounds: int) -> None:
        store = LocalStore(place)
        series = SeriesKey(store.put_run(KEY, RunPatch()).id, METRICS, "loss")

        def send(thread: int) -> None:
            who = f"{writer}.{thread}"
            chance = random.Random(f"{who} {reached[who]}")
            at = reached[who]
            for _ in range(rounds):
                size = chance.randrange(1, 20)
                seq = max(0, at - chance.choice([0, 0, 0, 3, 40]))
                batch = tuple(codec.encode_row({"who": who, "n": n}) for n in range(seq, at + size))
                store.append([Batch(series, batch, who, seq)])
                at += size
                child.say((writer * 2 + thread) << 32 | at)

        in_threads(2, send)

    reached = {f"{writer}.{thread}": 0 for writer in range(4) for thread in range(2)}

    def hear(child: Child) -> None:
        for number in child.heard():
            who = f"{(number >> 32) // 2}.{(number >> 32) % 2}"
            reached[who] = max(reached[who], number & 0xFFFFFFFF)

    chance = random.Random(1)
    run(lambda: LocalStore(place).put_run(KEY, RunPatch()))
    children = {writer: Child(work, writer, 10_000) for writer in range(4)}
    try:
        for _ in range(16):
            time.sleep(chance.random() * 0.03)
            writer = chance.randrange(4)
            with children[writer] as child:
                child.kill()
                hear(child)
            children[writer] = Child(work, writer, 10_000)
        for writer in range(4):
            with children[writer] as child:
                child.kill()
                hear(child)
            children[writer] = Child(work, writer, 20)
        for child in children.values():
            assert child.end() == 0
            hear(child)
    finally:
        for child in children.values():
            child.__exit__(None, None, None)
    found = rows(data_file(place))
    for who, least in reached.items():
        numbers = [one["n"] for one in found if one["who"] == who]
        assert numbers == list(range(least))
    assert min(reached.values()) > 100


def test_a_run_is_deleted_while_its_neighbour_is_made(place: Path) -> None:
    """One process makes and deletes a run, another one makes runs in the same project: those are never touched."""

    def churn(_child: Child) -> None:
        store = LocalStore(place)
        while not stop.exists():
            store.delete_run(store.put_run(KEY, RunPatch()).id)

    stop = place / "stop"
    with Child(churn) as other:
        store = LocalStore(place)
        for number in range(150):
            made = store.put_run(RunKey("", "project", f"n{number}"), RunPatch(params={"a": 1}))
            series = SeriesKey(made.id, METRICS, "loss")
            store.append([Batch(series, (b'{"value": 1}',))])
            assert store.get_run(made.id).params == {"a": 1}
            assert store.read(series, 0, None).count == 1
            store.delete_run(made.id)
        stop.touch()
        assert other.end() == 0


# ---------------------------------------------------------------- forks


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_a_fork_after_opening(place: Path, how: str) -> None:
    """Parent, child and grandchild go on appending to the same metric object, in threads as well: all rows are there, in the
    order of each, and the parent's run goes on after the others have ended."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        metric = experiment.metrics("loss")
        Writer(metric, "before").some(20)

        def fork(who: str, then: Callable[[], None] | None = None) -> Callable[[], int | None]:
            def body() -> None:
                if then is not None:
                    then()
                in_threads(2, lambda thread: Writer(metric, f"{who}.{thread}").some(60))

            if how == "multiprocessing":
                process = get_context("fork").Process(target=body)
                process.start()

                def end() -> int | None:
                    process.join()
                    return process.exitcode

                return end
            pid = os.fork()
            if pid == 0:
                try:
                    body()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            return lambda: os.waitpid(pid, 0)[1]

        def grandchild() -> None:
            assert fork("grandchild")() == 0

        beside = threading.Thread(target=lambda: Writer(metric, "beside").some(150))
        beside.start()
        ends = [fork("child", grandchild), fork("sibling")]
        Writer(metric, "parent").some(60)
        assert [end() for end in ends] == [0, 0]
        beside.join()
        Writer(metric, "after").some(20)
        experiment.run.complete()

    run(work, None)
    reached = check_rows(rows(data_file(place)))
    whose = {f"{who}.{thread}" for who in ("child", "grandchild", "sibling") for thread in range(2)}
    assert set(reached) == whose | {"before", "beside", "parent", "after"}


def test_forks_take_no_lock_with_them(place: Path) -> None:
    """While threads append, change parameters and metadata, read and list, the main thread forks children that live on and do
    nothing: no call of any thread waits for them."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        metric = experiment.metrics("loss")
        metric.append(value=0)
        slowest = [0.0]
        stop = threading.Event()

        def steps(thread: int) -> None:
            calls: list[Callable[[int], object]] = [
                lambda n: metric.append(value=n),
                lambda n: experiment.params.set(n=n),
                lambda n: experiment.metrics(f"new/{n}", description="x").append(value=n),
                lambda n: metric.stats(),
                lambda n: experiment.status,
                lambda n: experiment.flush(),
            ]
            for n in count():
                began = time.monotonic()
                calls[(n + thread) % len(calls)](n * 3 + thread)
                slowest[0] = max(slowest[0], time.monotonic() - began)
                if stop.is_set():
                    return

        def fork() -> None:
            for _ in range(60):
                pid = os.fork()
                if pid == 0:
                    time.sleep(30)
                    os._exit(0)
                idle.append(pid)
                time.sleep(0.005)

        idle: list[int] = []
        threads = [threading.Thread(target=steps, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        try:
            fork()
            stop.set()
            for thread in threads:
                thread.join(PROMPT)
            assert not any(thread.is_alive() for thread in threads)
            assert slowest[0] < PROMPT
        finally:
            for pid in idle:
                os.kill(pid, signal.SIGKILL)

    run(work, None)
    check_small_records(place)


def test_a_killed_parent_leaves_no_lock_with_its_children(place: Path) -> None:
    """The parent is killed while it holds the locks of a series and of the run; a child that was forked right then lives on.
    Others take both at once."""

    def work(child: Child) -> None:
        store = LocalStore(place)
        made = store.put_run(KEY, RunPatch())
        series = SeriesKey(made.id, METRICS, "loss")
        store.append([Batch(series, (b'{"value": 1}',))])
        file = store._series.get(series)

        def fork_and_die() -> None:
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            child.say(pid)
            os.kill(os.getpid(), signal.SIGKILL)

        with store._folder(made.id).lock():
            fcntl.flock(file._fd, fcntl.LOCK_EX)  # type: ignore[union-attr]
            forker = threading.Thread(target=fork_and_die)
            forker.start()
            forker.join()

    with Child(work) as dead:
        left = dead.hear()
        try:
            assert dead.end() == -signal.SIGKILL
            os.kill(left, 0)
            store = LocalStore(place, patience=1)
            made = store.put_run(KEY, RunPatch(params={"a": 1}))
            assert store.append([Batch(SeriesKey(made.id, METRICS, "loss"), (b'{"value": 2}',))])[0].first == 1
        finally:
            os.kill(left, signal.SIGKILL)


# ---------------------------------------------------------------- two handles


def test_two_handles_in_one_process(place: Path) -> None:
    """Two experiments on the same run, and two stores on the same folder, each with two threads: they see each other's rows at
    once, and closing one leaves the others writing."""
    first, second = opened(place), opened(place)
    stores = [LocalStore(place), LocalStore(place)]
    series = SeriesKey(first.id or "", METRICS, "loss")
    assert first.id == second.id

    class OfStore:
        def __init__(self, store: LocalStore) -> None:
            self.store = store

        def append(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"index": self.store.append([Batch(series, (codec.encode_row(row),))])[0].first}

        def append_batch(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
            return {"startIndex": self.store.append([Batch(series, tuple(map(codec.encode_row, batch)))])[0].first}

    handles = [first.metrics("loss"), second.metrics("loss"), *map(OfStore, stores)]
    in_threads(8, lambda number: Writer(handles[number % 4], str(number)).some(100))
    for n, handle in enumerate(handles):
        at = Writer(handle, f"one {n}").batch(1)
        assert all(len(metric) == at + 1 for metric in (first.metrics("loss"), second.metrics("loss")))
    first.run.complete()
    Writer(handles[1], "late").some(3)
    assert len(check_rows(rows(data_file(place)))) == 13
    second.run.complete()
    for store in stores:
        store.close()


# ---------------------------------------------------------------- signals


@contextmanager
def alarms(seconds: float, handler: Callable[[], object]) -> Iterator[None]:
    """SIGALRM every `seconds`, in a process of our own."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_signal_handler_that_appends(place: Path) -> None:
    """A handler that appends, every millisecond, to the series that the main thread is appending to, to another one, and to the
    log, also in batches, and reads: all rows are there, gapless, in the order of each, and what the main thread's calls
    returned is where its rows are."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        metric, other = experiment.metrics("loss"), experiment.metrics("other")
        mine, his, there = Writer(metric, "main"), Writer(metric, "handler"), Writer(other, "handler")
        promised: list[tuple[int, int]] = []
        calls = count()
        inside: list[int] = []

        def handler() -> None:
            if inside:  # the next alarm comes in the middle of this one, and its rows would be first
                return
            inside.append(1)
            his.batch(1)
            his.batch(3)
            there.batch(1)
            experiment.log("in the handler")
            assert len(metric.read(0, 1)["data"]) <= 1
            next(calls)
            inside.pop()

        with alarms(0.001, handler):
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                n = mine.n
                promised.append((n, mine.batch(mine.chance.choice([1, 1, 1, 5]))))
                if mine.n % 7 == 0:
                    metric.read(-5, 5)
        assert next(calls) > 200
        experiment.run.complete()
        found = rows(data_file(place))
        assert check_rows(found) == {"main": mine.n, "handler": his.n}
        assert check_rows(rows(data_file(place, "other"))) == {"handler": there.n}
        assert all((found[index]["who"], found[index]["n"]) == ("main", n) for n, index in promised)
        assert len(rows(place / "project" / "run" / "logs" / "logs.jsonl")) == his.n // 4

    run(work, None)


def test_a_signal_handler_that_appends_very_much(place: Path) -> None:
    """More rows in one call of a handler than Python's stack is deep."""

    def work(_child: Child) -> None:
        clock: Callable[[], float] = time.time
        store = LocalStore(place, clock=lambda: clock())  # noqa: PLW0108  `clock` is bound anew below
        series = SeriesKey(store.put_run(KEY, RunPatch()).id, METRICS, "loss")

        def append(n: int) -> None:
            store.append([Batch(series, (codec.encode_row({"n": n}),))])

        def flood() -> float:
            nonlocal clock
            clock = time.time
            for n in range(1, 5_001):
                append(n)
            return time.time()

        append(-1)
        clock = flood  # a handler's call in the middle of the next append
        append(0)
        assert [one["n"] for one in rows(data_file(place))] == list(range(-1, 5_001))

    run(work, None)


def test_a_signal_handler_in_the_middle_of_everything_else(place: Path) -> None:
    """A handler that starts new metrics, logs for the first time and sets parameters, while the main thread does the same:
    nothing of it is lost, and nothing waits for itself."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        mine, his = [0], [0]
        slowest = 0.0

        def handler() -> None:
            his[0] += 1
            n = his[0]
            experiment.metrics(f"his/{n % 40}").append(n=n)
            experiment.params.set(**{f"his{n % 40}": n})
            experiment.log("in the handler")

        with alarms(0.004, handler):
            until = time.monotonic() + 2
            while time.monotonic() < until:
                began = time.monotonic()
                mine[0] += 1
                experiment.params.set(mine=mine[0])
                experiment.metrics(f"mine/{mine[0]}").append(n=mine[0])
                experiment.metrics(f"mine/{mine[0]}", description=f"said {mine[0]}").append(n=mine[0])
                slowest = max(slowest, time.monotonic() - began)
        assert his[0] > 40
        assert slowest < PROMPT
        params = experiment.params.get()
        assert params["mine"] == mine[0]
        assert sorted(v for k, v in params.items() if k.startswith("his")) == list(range(his[0] - 39, his[0] + 1))
        experiment.run.complete()
        assert [len(rows(data_file(place, f"mine/{n + 1}"))) for n in range(mine[0])] == [2] * mine[0]
        assert sum(len(rows(data_file(place, f"his/{n}"))) for n in range(40)) == his[0]
        check_small_records(place)

    run(work, None)


def test_a_log_handler_inside_appends(place: Path) -> None:
    """A LogHandler that is called in the middle of an append, by what encoding a value logs, and by the store's own clock, which
    logs to the same log that is being written: every entry is there once."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        logger = logging.Logger("test")  # noqa: LOG001  one that no other test shares
        logger.addHandler(LogHandler(experiment))
        said = count()

        class Chatty:
            def item(self) -> float:
                logger.warning("item %d", next(said))
                return 0.5

        def clock() -> float:
            if once:
                once.pop()
                logger.info("clock %d", next(said))
            return time.time()

        once: list[int] = []
        experiment.metrics("loss").append(value=0)
        experiment.log("first")
        next(said)
        store = experiment._storage
        assert isinstance(store, LocalStore)
        for file in store._series._series.values():
            file._clock = clock  # type: ignore[union-attr]
        for _ in range(100):
            once.append(1)
            experiment.metrics("loss").append(value=Chatty())
            once.append(1)
            experiment.log(f"plain {next(said)}")
        experiment.run.complete()
        entries = rows(place / "project" / "run" / "logs" / "logs.jsonl")
        assert sorted(int(entry["message"].split()[-1]) for entry in entries[1:]) == list(range(1, next(said)))
        assert len(rows(data_file(place))) == 101

    run(work, None)


# ---------------------------------------------------------------- interrupts


class Interrupted:
    """KeyboardInterrupt at random moments of `call`, until it has come `times` times."""

    def __init__(self, times: int, seed: int) -> None:
        self.left, self.chance = times, random.Random(seed)
        self.armed = False

    def run(self, call: Callable[[], object], span: float) -> None:
        signal.signal(signal.SIGALRM, self._raise)
        try:
            while self.left > 0:
                try:
                    self.armed = True
                    signal.setitimer(signal.ITIMER_REAL, self.chance.uniform(1e-5, span))
                    self._until_it_came(call)
                except KeyboardInterrupt:
                    pass
                self.left -= 1
        finally:
            self.armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _until_it_came(self, call: Callable[[], object]) -> None:
        # Not inside the `try`: the end of a loop's round is outside of it in Python 3.13.
        while self.armed:  # one that came in a finalizer is swallowed there
            call()

    def _raise(self, _number: int, _frame: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["single", "batch", "many series", "two handles", "without locking", "with identity"])
def test_keyboard_interrupts_inside_appends(place: Path, how: str) -> None:
    """An append that a KeyboardInterrupt ended is stored whole or not at all; those that returned are; file and object agree
    then, no lock is kept, no descriptor lost for each, and whoever appends next, here or in another process, does so at once."""

    def work(child: Child) -> None:
        options: dict[str, Any] = {"descriptors": 4} if how == "many series" else {}
        store = LocalStore(place, locking=how != "without locking", **options)
        beside = LocalStore(place)
        run_id = store.put_run(KEY, RunPatch()).id
        names = [f"s{n}" for n in range(12)] if how == "many series" else ["loss"]
        sent = dict.fromkeys(names, 0)
        returned: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
        marked = 0

        def call() -> None:
            nonlocal marked
            name = names[sum(sent.values()) % len(names)]
            series = SeriesKey(run_id, METRICS, name)
            size = 20 if how == "batch" else 3 if how == "with identity" else 1
            if how == "with identity":
                batch = Batch(series, tuple(codec.encode_row({"n": marked + i}) for i in range(size)), "writer", marked)
                if sum(sent.values()) % 2:
                    store.append([batch, Batch(series, ())])
                else:
                    store.append([batch])
                marked += size
                return
            n = sent[name]
            sent[name] += size
            batch = Batch(series, tuple(codec.encode_row({"n": n + i, "size": size}) for i in range(size)))
            by = beside if how == "two handles" and n % 3 == 0 else store
            first = by.append([batch])[0].first
            returned[name].append((n, first))  # type: ignore[arg-type]

        for name in names:
            store.append([Batch(SeriesKey(run_id, METRICS, name), (b'{"n": -1, "size": 1}',))])
        before = descriptors()
        Interrupted(300, 1).run(call, 0.0004)
        # Between the system's call and Python's variable an interrupt can lose one. It must not be one that is locked.
        assert descriptors() - before <= 100
        began = time.monotonic()
        for name in names:
            series = SeriesKey(run_id, METRICS, name)
            found = rows(data_file(place, name))
            assert store.read(series, 0, 0).total == len(found)
            if how == "with identity":
                stored = [one["n"] for one in found[1:]]
                assert stored == list(range(len(stored)))
                assert marked <= len(stored) <= marked + 3
            else:
                assert all(found[index]["n"] == n for n, index in returned[name])
                check_batches([(one["n"], one["size"]) for one in found])
            assert store.append([Batch(series, (b'{"n": -2}',))])[0].first == len(found)
            run(lambda series=series: LocalStore(place).append([Batch(series, (b'{"n": -3}',))]))
            if how != "without locking":
                assert store.append([Batch(series, (b'{"n": -4}',))])[0].first == len(found) + 2
            rows(data_file(place, name))
        assert time.monotonic() - began < PROMPT
        child.say(sum(sent.values()) or marked)

    with Child(work) as child:
        assert child.end() == 0
        assert child.hear() > 100


def check_batches(numbers: list[tuple[int, int]]) -> None:
    """Each batch is there whole, once."""
    at = 0
    seen = set()
    while at < len(numbers):
        n, size = numbers[at]
        assert [number for number, _ in numbers[at : at + size]] == list(range(n, n + size))
        assert n not in seen
        seen.add(n)
        at += size


def test_keyboard_interrupts_inside_everything_else(place: Path) -> None:
    """Parameters, metadata, new metrics, reads, flushes and closes that are interrupted: what returned is there, records are
    whole, no lock is kept, by this process or for another."""

    def work(_child: Child) -> None:
        experiment = opened(place)
        sent, returned = 0, -1
        made = 0

        def call() -> None:
            nonlocal sent, returned, made
            experiment.run.start()  # where closing was interrupted
            sent += 1
            experiment.params.set(n=sent)
            returned = sent
            if sent % 3 == 0:
                made += 1
                experiment.metrics(f"m{made}").append(n=made)
            if sent % 5 == 0:
                experiment.metrics("m1", description=f"said {sent}").append(n=sent)
            if sent % 7 == 0:
                experiment.metrics("m1").read(-3)
            if sent % 11 == 0:
                experiment.flush()
            if sent % 23 == 0:
                experiment.run.complete()

        Interrupted(250, 2).run(call, 0.003)
        experiment.run.complete()  # also where the last interrupt came in the middle of this
        stored = record(place / "project" / "run")
        assert stored["status"] == "COMPLETED", [one for one in stored["attempts"] if not one.get("ended_at")]
        experiment.run.start()
        began = time.monotonic()
        check_small_records(place)
        assert returned <= json.loads((place / "project" / "run" / "parameters.json").read_bytes())["data"]["n"] <= sent
        experiment.params.set(n=-1)
        run(lambda: opened(place).params.set(n=-2))
        assert experiment.params.get() == {"n": -2}
        experiment.run.complete()
        assert time.monotonic() - began < PROMPT
        for path in place.rglob("data.jsonl"):
            rows(path)

    run(work, None)


# ---------------------------------------------------------------- stopped


def hold(child: Child, path: Path) -> None:
    """Take the lock of the file and keep it."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    child.say()
    while True:
        signal.pause()


def test_a_stopped_process_that_holds_nothing(place: Path) -> None:
    """It keeps nobody waiting, and goes on when it is continued."""

    def work(child: Child) -> None:
        metric = opened(place).metrics("loss")
        writer = Writer(metric, "stopped")
        while not stop.exists():
            writer.some(1)
            child.say()
            time.sleep(0.002)

    stop = place / "stop"
    with Child(work) as other:
        experiment = None
        for _ in range(5):
            other.hear()
            other.stop()
            began = time.monotonic()
            try:
                experiment = experiment or Experiment("run", "project", local_path=place).run.start()
                Writer(experiment.metrics("loss"), str(began)).some(20)
            except LockTimeout:  # stopped between taking a lock and giving it back
                pytest.fail("30 s: it was stopped with the lock")
            assert time.monotonic() - began < PROMPT
            other.heard()
            other.signal(signal.SIGCONT)
        stop.touch()
        assert other.end() == 0
    assert experiment is not None
    experiment.run.complete()
    assert len(check_rows(rows(data_file(place)))) == 6


@pytest.mark.parametrize("what", ["append", "batch", "read", "identity", "parameters"])
def test_a_stopped_process_that_holds_the_lock(place: Path, what: str) -> None:
    """Whoever wants it waits as long as he said, here one second, and gets a LockTimeout that names the holder, with nothing of
    his call stored; as soon as the holder goes on and ends, the same call is through."""
    store = LocalStore(place, patience=1)
    made = store.put_run(KEY, RunPatch())
    series = SeriesKey(made.id, METRICS, "loss")
    store.append([Batch(series, (b'{"value": 1}',))])
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: store.append([Batch(series, (b'{"value": 2}',))]),
        "batch": lambda: store.append([Batch(series, (b'{"value": 2}', b'{"value": 3}'))]),
        "read": lambda: store.read(series, 0, None),
        "identity": lambda: store.append([Batch(series, (b'{"value": 2}',), "writer", 0)]),
        "parameters": lambda: store.update_run(made.id, RunPatch(params={"a": 1})),
    }
    call = calls[what]
    path = place / "project" / "run" / ".lock" if what == "parameters" else data_file(place)
    with Child(hold, path) as holder:
        holder.hear()
        holder.stop()
        began = time.monotonic()
        with pytest.raises(LockTimeout, match=rf"{path.name}.*locked for 1 s by process {holder.pid}\b"):
            call()
        assert 1 <= time.monotonic() - began < 1 + PROMPT
        assert len(rows(data_file(place))) == 1
        holder.signal(signal.SIGCONT)
        waiting = threading.Timer(0.2, holder.kill)
        waiting.start()
        call()
        waiting.join()
    assert len(rows(data_file(place))) == {"append": 2, "batch": 3, "identity": 2}.get(what, 1)
    store.close()


def test_a_deleted_run_under_a_process_that_appends(place: Path) -> None:
    """The process hears of it at its next append or within a tick, by `NotFound`; a new run of the same name is not touched."""
    store, other = LocalStore(place), LocalStore(place)
    made = store.put_run(KEY, RunPatch())
    series = SeriesKey(made.id, METRICS, "loss")
    store.append([Batch(series, (b'{"value": 1}',))])
    other.delete_run(made.id)
    with pytest.raises(NotFound):
        store.append([Batch(series, (b'{"value": 2}',))])
    again = other.put_run(KEY, RunPatch())
    assert again.id != made.id
    assert not data_file(place).exists()
    store.close()
    other.close()
