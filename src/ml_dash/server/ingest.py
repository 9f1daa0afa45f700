"""Group commit: requests that come together are made durable together. Knows nothing of rows and nothing of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ml_dash.server.threads import Threads


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
            _end(group, flushed.exception())

    def close(self) -> None:
        """Wait for the flush that runs."""
        self._thread.close()


def _end(group: list[asyncio.Future[None]], failed: BaseException | None) -> None:
    for waiter in group:
        if waiter.done():  # the request was given up
            continue
        if failed is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failed)
