"""Requests that come together are appended together, and made durable together. Knows nothing of rows and nothing of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from ml_dash.server.threads import Threads

W = TypeVar("W")
T = TypeVar("T")


class Outcome(NamedTuple, Generic[T]):
    """What became of one of a group: `done`, unless it `failed`."""

    done: T | None
    failed: Exception | None = None


class Groups(Generic[W, T]):
    """Those who wait at the same time are one job of a thread. A job for each would have the threads and the event loop hand the
    interpreter to and fro for every one, which costs more than the work; and what is done for many at once is often cheaper."""

    def __init__(
        self, threads: Threads, most: int, work: Callable[[Sequence[W]], Sequence[Outcome[T]]], slow: float
    ) -> None:
        """`work` gives an outcome for each of a group. `most` is how many groups may be under way, each after the first because
        another one has not come to its end for `slow` (s)."""
        self._threads = threads
        self._most = most
        self._do = work
        self._slow = slow
        self._waiting: list[tuple[W, asyncio.Future[T]]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._due = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self, wanted: W) -> T:
        """What became of `wanted`. It goes on to its end also where nobody waits for it any more."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, waiter))
        self._begin()
        return await waiter

    def _begin(self) -> None:
        if not self._waiting or len(self._workers) >= self._most:
            return
        loop = asyncio.get_running_loop()
        if self._workers and loop.time() < self._due:
            if self._alarm is None:
                self._alarm = loop.call_at(self._due, self._look)
            return
        worker = loop.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)
        self._due = loop.time() + self._slow

    def _look(self) -> None:
        self._alarm = None
        self._begin()

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            self._due = asyncio.get_running_loop().time() + self._slow
            try:
                outcomes = await self._threads.run(partial(self._do, [wanted for wanted, _ in group]))
            except BaseException:
                for _, waiter in group:
                    waiter.cancel()
                raise
            for (_, waiter), outcome in zip(group, outcomes, strict=True):
                _settle(waiter, outcome.done, outcome.failed)


def outcome_of(call: Callable[[], T]) -> Outcome[T]:
    """What the call gives or raises."""
    try:
        return Outcome(call())
    except Exception as e:  # noqa: BLE001  it is raised where the outcome is waited for
        return Outcome(None, e)


def _settle(waiter: asyncio.Future[Any], done: Any, failed: BaseException | None) -> None:
    if waiter.done():  # the request was given up
        return
    if failed is None:
        waiter.set_result(done)
    else:
        waiter.set_exception(failed)


class GroupCommit:
    """One flush at a time, for all who wait when it begins. Those who come while it runs, and whose rows it may not have seen,
    wait for the next; meanwhile others append."""

    def __init__(self, flush: Callable[[], None]) -> None:
        """`flush` makes durable all that was accepted before it was called; it blocks."""
        self._flush = flush
        self._thread = Threads("commit", 1)
        self._waiting: list[asyncio.Future[None]] = []
        self._working: asyncio.Task[None] | None = None

    async def durable(self) -> None:
        """Return when a flush has succeeded that began after this call. Raises what it raised."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        await waiter

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            flushed = asyncio.ensure_future(self._thread.run(self._flush))
            await asyncio.wait((flushed,))
            for waiter in group:
                _settle(waiter, None, flushed.exception())

    def close(self) -> None:
        """Wait for the flush that runs."""
        self._thread.close()
