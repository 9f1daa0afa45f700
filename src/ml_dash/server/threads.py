"""The threads in which a store's methods run: they block, and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """A fixed number of threads for one kind of work, so that one kind cannot keep another waiting."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=f"ml-dash-{name}")

    async def run(self, call: Callable[[], T]) -> T:
        """What `call()` gives. It goes on to its end also where nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for what runs. What has not begun is not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)
