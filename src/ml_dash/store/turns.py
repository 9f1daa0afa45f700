"""Turns: calls that share a key go one after the other, in the order in which they came. Threads of one process; no I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class _Call(threading.Event):
    """A call that waits for its turn on `keys`."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__()
        self.keys = keys


class Turns:
    """Calls that touch the same key go one after the other, in the order in which they came; others beside each other."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queues: dict[bytes, deque[_Call]] = {}

    @contextmanager
    def of(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Wait for this call's turn on all of `keys`, and hold it."""
        mine = _Call(keys)
        with self._mutex:
            for key in keys:
                self._queues.setdefault(key, deque()).append(mine)
            self._wake(mine)
        mine.wait()
        try:
            yield
        finally:
            with self._mutex:
                for key in keys:
                    self._queues[key].popleft()
                for key in keys:
                    if not self._queues[key]:
                        del self._queues[key]
                    else:
                        self._wake(self._queues[key][0])

    def _wake(self, call: _Call) -> None:
        if all(self._queues[key][0] is call for key in call.keys):
            call.set()
