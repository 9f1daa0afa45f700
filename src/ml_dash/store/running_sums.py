"""SHA-256 of uploads that may break and go on: how far each sum has come. In memory alone, so that a sum that is not here, after a
restart or in another server, is made again from what the store kept. Knows neither files nor objects.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from ml_dash.errors import Unavailable

if TYPE_CHECKING:
    from hashlib import _Hash as Sum

BLOCK = 4 << 20
"""Bytes that are read back at a time."""


class RunningSums:
    """Sums by upload, the `most` that were used last. Reading back takes at most `budget` seconds of one call: a client's patience
    is bounded, and the next call goes on where this one stopped. Any thread may use it."""

    def __init__(self, *, most: int = 64, budget: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._budget = budget
        self._clock = clock
        self._sums: OrderedDict[Hashable, tuple[int, Sum]] = OrderedDict()
        self._mutex = threading.Lock()

    def reach(self, upload: Hashable, size: int, read: Callable[[int, int], bytes]) -> Sum:
        """The sum of the first `size` bytes; `read(at, most)` gives bytes that are not summed yet, at least one. Raises
        `Unavailable` where there are more of them than one call has time for."""
        with self._mutex:
            at, found = self._sums.get(upload, (0, None))
        total = found.copy() if found is not None and at <= size else hashlib.sha256()
        at = at if at <= size else 0
        until = self._clock() + self._budget
        try:
            while at < size:
                if self._clock() > until:
                    raise Unavailable(
                        f"the first {size} bytes of the upload are being read again, {at} are; try again.", 1.0
                    )
                block = read(at, min(BLOCK, size - at))
                if not block:
                    raise Unavailable(f"of the {size} bytes that an upload had left, {at} are there; try again.", 1.0)
                total.update(block)
                at += len(block)
        finally:
            self.note(upload, at, total)
        return total

    def note(self, upload: Hashable, size: int, total: Sum) -> None:
        """`total` is the sum of the upload's first `size` bytes."""
        with self._mutex:
            self._sums[upload] = (size, total.copy())
            self._sums.move_to_end(upload)
            while len(self._sums) > self._most:
                self._sums.popitem(last=False)

    def forget(self, upload: Hashable) -> None:
        """It has ended."""
        with self._mutex:
            self._sums.pop(upload, None)
