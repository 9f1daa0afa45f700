"""A file that is nowhere: for uploads of any size."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = min(len(buffer), self._left)
        buffer[:taken] = bytes(taken)
        self._left -= taken
        return taken


def zeros(size: int) -> BinaryIO:
    """`size` zero bytes, made as they are read; once."""
    return cast("BinaryIO", _Zeros(size))
