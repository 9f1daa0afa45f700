"""What was last used of objects that never change, within a bound of bytes. Nothing is fetched here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

Piece = tuple[str, int, int]
"""Object's key, and which bytes of it; or whatever else of the object two numbers can name."""
_EXTRA = 500
"""Bytes that a piece takes beyond its own."""
_PART = 8
"""What is beyond one part in so many of the bound is not kept: it would drive out too much."""


class ColdCache:
    """See the module's text. Any thread may use it."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.size = 0
        self.hits = 0
        self._kept: OrderedDict[Piece, tuple[Any, int]] = OrderedDict()
        self._objects: dict[str, set[Piece]] = {}
        self._mutex = threading.Lock()

    def get(self, piece: Piece) -> Any:
        """What is kept of it, None where that is nothing."""
        with self._mutex:
            found = self._kept.get(piece)
            if found is None:
                return None
            self.hits += 1
            self._kept.move_to_end(piece)
            return found[0]

    def put(self, piece: Piece, what: object, size: int) -> None:
        """Keep `what`, which takes `size` bytes, as long as there is room."""
        if size > self.memory // _PART:
            return
        with self._mutex:
            self._drop(piece)
            self._kept[piece] = what, size + _EXTRA
            self._objects.setdefault(piece[0], set()).add(piece)
            self.size += size + _EXTRA
            while self.size > self.memory:
                self._drop(next(iter(self._kept)))

    def forget(self, keys: Iterable[str]) -> None:
        """Keep nothing of these objects."""
        with self._mutex:
            for key in keys:
                for piece in list(self._objects.get(key, ())):
                    self._drop(piece)

    def clear(self) -> None:
        """Keep nothing."""
        with self._mutex:
            self._kept.clear()
            self._objects.clear()
            self.size = 0

    def _drop(self, piece: Piece) -> None:
        found = self._kept.pop(piece, None)
        if found is None:
            return
        self.size -= found[1]
        left = self._objects[piece[0]]
        left.discard(piece)
        if not left:
            del self._objects[piece[0]]
