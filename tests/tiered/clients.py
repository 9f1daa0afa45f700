"""Clients of a fault test: appenders that send every batch until a server has it, readers that look all the while.

A row tells whose it is: {"c": client, "i": its place in that client's log, "v": a number that follows from both}. Appenders keep what
was acknowledged, and as what; readers raise where a page is not what a page before it was, with more behind.
No fault is made here, and nothing is known of MongoDB or S3.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ml_dash.errors import Unavailable
from ml_dash.model import METRICS, Appended, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.base import Store
from ml_dash.store.remote import RemoteStore

SECONDS = 120.0
"""How long one call may be tried, all faults and a busy machine included."""
THRESHOLD = 50
"""Rows of a series in MongoDB from which it is archived; see `servers.QUICK`."""
PATIENCE = 3.0
"""How long a client waits for an answer before it asks another server."""


def row(client: int, at: int) -> bytes:
    """The row at a place of a client's log."""
    return b'{"c": %d, "i": %d, "v": %d.5}' % (client, at, (client * 1009 + at * 31) % 997)


def make_series(store: Store, count: int, name: str = "run") -> list[SeriesKey]:
    """A new run's series."""
    run = store.put_run(RunKey("", "faults", name), RunPatch())
    return [SeriesKey(run.id, METRICS, f"s{at}") for at in range(count)]


@dataclass
class Acknowledged:
    """What a client was told of one batch: rows [seq, seq + count) of its log, and the answer."""

    series: SeriesKey
    seq: int
    count: int
    answer: Appended


class Log:
    """Client number `client`: what it has sent of its rows, and what it was told."""

    def __init__(self, client: int) -> None:
        self.client = client
        self.sent: dict[SeriesKey, int] = {}
        """Rows by series."""
        self.acknowledged: list[Acknowledged] = []

    @property
    def writer(self) -> str:
        return f"writer-{self.client}"

    def batch(self, series: SeriesKey, seq: int, stop: int) -> Batch:
        """Rows [seq, stop) of the log."""
        self.sent[series] = max(stop, self.sent.get(series, 0))
        return Batch(series, [row(self.client, at) for at in range(seq, stop)], self.writer, seq)

    def note(self, batches: Sequence[Batch], answers: Sequence[Appended]) -> None:
        """Keep what a store said of them."""
        for batch, answer in zip(batches, answers, strict=True):
            assert batch.seq is not None
            self.acknowledged.append(Acknowledged(batch.series, batch.seq, len(batch.rows), answer))

    def append(self, store: Store, series: SeriesKey, count: int, each: int = 10) -> None:
        """The next `count` rows, in batches of `each`."""
        begin = self.sent.get(series, 0)
        for seq in range(begin, begin + count, each):
            batches = [self.batch(series, seq, min(seq + each, begin + count))]
            self.note(batches, store.append(batches))

    def again(self, store: Store, series: SeriesKey) -> None:
        """All of it once more: every row has to be found stored."""
        [answer] = store.append([self.batch(series, 0, self.sent[series])])
        assert (answer.first, answer.count) == (None, 0)


class Task(threading.Thread):
    """A thread whose failure is raised by `done`."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.failure: BaseException | None = None
        self.ending = threading.Event()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as e:
            self.failure = e

    def work(self) -> None:
        raise NotImplementedError

    def done(self) -> None:
        """Wait for the end; raise what went wrong."""
        self.join(SECONDS)
        assert not self.is_alive(), f"{self.name} does not end"
        if self.failure is not None:
            raise self.failure


class Stores:
    """One RemoteStore a server, of one thread; `some` picks any."""

    def __init__(self, urls: Sequence[str], rng: random.Random, timeout: float) -> None:
        self._stores = [RemoteStore(url, connect_timeout=timeout, timeout=timeout) for url in urls]
        self._rng = rng

    def some(self) -> RemoteStore:
        return self._rng.choice(self._stores)

    def close(self) -> None:
        for store in self._stores:
            store.close()


class Appender(Task):
    """Client number `client`: appends its rows 0 … `rows` - 1 (None: until it is told to end) to each of `series`, up to `width`
    series a call, each call until any server has answered it. Now and then a call that was answered is sent once more: it has to be
    found stored."""

    def __init__(
        self,
        client: int,
        urls: Sequence[str],
        series: Sequence[SeriesKey],
        rows: int | None = None,
        *,
        width: int = 1,
        most: int = 12,
        pause: float = 0.0,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(f"client {client}")
        self.log = Log(client)
        self.rows = sys.maxsize if rows is None else rows
        self.endless = rows is None
        self.tries = 0
        self.refused = 0
        self._urls = urls
        self._series = list(series)
        self._width = width
        self._most = most
        self._pause = pause
        self._patience = patience

    def work(self) -> None:
        rng = random.Random(self.log.client)
        stores = Stores(self._urls, rng, self._patience)
        try:
            for batches in self._calls(rng):
                self.log.note(batches, self._send(stores, batches))
                if rng.random() < 0.1:
                    again = self._send(stores, batches)
                    assert all(answer.count == 0 for answer in again), f"stored twice: {batches}, {again}"
                time.sleep(self._pause)
        finally:
            stores.close()

    def _calls(self, rng: random.Random) -> Iterator[list[Batch]]:
        """Each call's batches: for some of the series the next rows, in one batch or two."""
        left = dict.fromkeys(self._series, 0)
        while left and not self.ending.is_set():
            batches = []
            for series in rng.sample(list(left), min(self._width, len(left))):
                for _ in range(rng.choice([1, 1, 2])):
                    seq = left.get(series)
                    if seq is None:
                        continue
                    stop = min(self.rows, seq + rng.randint(1, self._most))
                    batches.append(self.log.batch(series, seq, stop))
                    left[series] = stop
                    if stop == self.rows:
                        del left[series]
            yield batches

    def _send(self, stores: Stores, batches: list[Batch]) -> list[Appended]:
        """Until a server has answered. `Conflict` is no answer: nothing was ever left out."""
        give_up = time.monotonic() + SECONDS
        while True:
            self.tries += 1
            try:
                return stores.some().append(batches)
            except Unavailable:
                self.refused += 1
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)


class Reader(Task):
    """Reads the series from any server, again and again, until told to end. What it has seen stays as it is and in its place; with
    `at_once`, what was acknowledged before it asked is there."""

    def __init__(
        self,
        urls: Sequence[str],
        series: SeriesKey,
        appenders: Sequence[Appender],
        *,
        at_once: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__("reader")
        self.seen: list[str] = []
        self.reads = 0
        self.refused = 0
        self._urls = urls
        self._series = series
        self._appenders = appenders
        self._at_once = at_once
        self._patience = patience

    def work(self) -> None:
        rng = random.Random(7)
        stores = Stores(self._urls, rng, self._patience)
        try:
            while not self.ending.is_set():
                floor = self._floor()
                start = rng.choice([0, len(self.seen) // 2, max(0, len(self.seen) - 30)])
                try:
                    page = stores.some().read(self._series, start, None)
                except Unavailable:
                    self.refused += 1
                    time.sleep(0.02)
                    continue
                self.reads += 1
                self._check(page.lines.decode(), start, page.total, floor)
        finally:
            stores.close()

    def _floor(self) -> int:
        """How long the series is at least."""
        totals = [
            one.answer.total
            for who in self._appenders
            for one in who.log.acknowledged[-3:]
            if one.series == self._series
        ]
        return max(totals, default=0)

    def _check(self, lines: str, start: int, total: int, floor: int) -> None:
        rows = [json.loads(line) for line in lines.splitlines()]
        assert [one["index"] for one in rows] == list(range(start, start + len(rows))), "a page with a hole"
        assert total == start + len(rows), f"a page of {len(rows)} from {start} on, of {total}"
        text = lines.splitlines()
        overlap = self.seen[start : start + len(text)]
        assert text[: len(overlap)] == overlap, f"rows from {start} on are others than before"
        if self._at_once:
            assert total >= max(floor, len(self.seen)), (
                f"{total} rows, though {floor} are acknowledged and {len(self.seen)} were seen"
            )
        self.seen[start:] = text if start + len(text) >= len(self.seen) else text + self.seen[start + len(text) :]


@contextlib.contextmanager
def at_work(tasks: Sequence[Task]) -> Iterator[None]:
    """While the block runs, the tasks do. At its end appenders are waited for that have an end, all others are told to end; what
    went wrong is raised."""
    for task in tasks:
        task.start()
    try:
        yield
        for task in tasks:
            if isinstance(task, Appender) and not task.endless:
                task.done()
    except AssertionError as e:
        for task in tasks:
            if task.failure is not None:
                raise task.failure from e
        raise
    finally:
        for task in tasks:
            task.ending.set()
    for task in tasks:
        task.done()


def until(holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait for `holds`."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)


def go_on(appenders: Sequence[Appender]) -> None:
    """Wait until every appender has had some more batches acknowledged."""
    wanted = [(one, len(one.log.acknowledged) + 3) for one in appenders]
    for one, least in wanted:
        until(partial(_reached, one, least), f"{one.name} goes on")


def _reached(one: Appender, least: int) -> bool:
    return len(one.log.acknowledged) >= least or not one.is_alive()
