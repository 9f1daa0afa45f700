"""``data.jsonl.batch``: where the last batch of a series was to begin and end. One write of many lines can be cut short by a
kill between two pages, and the whole lines that it leaves would pass for points. Knows two numbers; takes no lock.

The file is written after the batch's first byte and cleared after its last one, under the series' lock. A series that ends
strictly between the two holds half a batch, which is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SUFFIX = ".batch"
_SIZE = 41
_NONE = b"%020d %020d" % (0, 0)


@contextmanager
def announced(path: str, start: int, end: int) -> Iterator[None]:
    """Bytes [start, end) of the series at `path` are written as one batch in here. Raises `OSError`."""
    fd = os.open(path + SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        if os.pwrite(fd, b"%020d %020d" % (start, end), 0) != _SIZE:
            raise OSError(f"{path}{SUFFIX}: could not be written whole; is the disk full?")
        yield
        os.pwrite(fd, _NONE, 0)
    finally:
        os.close(fd)


def clear(path: str) -> None:
    """The batch was taken back or cut away: nothing is under way."""
    try:
        fd = os.open(path + SUFFIX, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        os.pwrite(fd, _NONE, 0)
    finally:
        os.close(fd)


def whole_size(path: str, size: int) -> int:
    """`size` (bytes) of the series at `path` without half a batch at its end."""
    try:
        fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return size
    try:
        text = os.pread(fd, _SIZE, 0)
    finally:
        os.close(fd)
    if len(text) != _SIZE or not text.replace(b" ", b"").isdigit():
        return size
    start, end = map(int, text.split())
    return start if start < size < end else size
