"""A series' wall times: sparse ticks ``{"index": 0, "time": 1767225600000}`` beside its lines. Advisory: losing the last
seconds of it loses no point. Knows nothing of the series but its indices.

Several processes append their ticks in blocks, so the file is sorted only up to one process's `KEEP` seconds.
"""

from __future__ import annotations

import os
from bisect import bisect_right

import msgspec

KEEP = 10.0
"""Seconds that ticks stay in memory at most."""

_SLACK = 256 * 1024
"""Bytes that are read on either side of where a tick is expected: what concurrent writers may be out of order by."""


class _Tick(msgspec.Struct, gc=False):
    index: int
    time: int


_decode = msgspec.json.Decoder(_Tick)


class ClockFile:
    """The ticks of one series; `add` is a list append."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: list[tuple[int, int]] = []
        self._last: tuple[int, int] | None = None
        """The last tick that this process wrote, which made the file `_size` bytes long."""
        self._size = -1

    def add(self, index: int, ms: int) -> None:
        """Point `index` was appended at `ms`, unix milliseconds."""
        self._kept.append((index, ms))

    def forget(self) -> None:
        """In a forked child: what is kept is the parent's to write."""
        self._kept = []
        self._last = None

    def write(self) -> None:
        """Append what is kept to the file. Raises `OSError`; the ticks are dropped then, they are advisory.
        The series' folder may have been deleted: then nobody needs them."""
        kept, self._kept = self._kept, []
        if not kept:
            return
        data = b"".join(b'{"index": %d, "time": %d}\n' % tick for tick in kept)
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            return
        try:
            os.write(fd, data)
            self._last, self._size = kept[-1], os.lseek(fd, 0, os.SEEK_CUR)
        finally:
            os.close(fd)

    def between(self, start: int, stop: int) -> tuple[tuple[int, int], ...]:
        """The ticks that the points [start, stop) need, rising, beginning with the last one at or before `start`."""
        ticks = self._recent(start) or sorted({*self._stored(start, stop), *self._kept})
        first = max(bisect_right(ticks, (start, 1 << 62)) - 1, 0)
        return _rising(ticks[first : bisect_right(ticks, (stop - 1, 1 << 62))] or ticks[first : first + 1])

    def _recent(self, start: int) -> list[tuple[int, int]] | None:
        """The ticks in memory, where they are all that points from `start` on need: whoever follows the end of a series need
        not read the file each time. None where others have written to it since, or `start` is before them."""
        if self._last is None or self._last[0] > start:
            return None
        try:
            untouched = os.stat(self.path).st_size == self._size
        except FileNotFoundError:
            return None
        return [self._last, *self._kept] if untouched else None

    def _stored(self, start: int, stop: int) -> list[tuple[int, int]]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        try:
            size = os.fstat(fd).st_size
            low = max(0, _place(fd, size, start) - _SLACK)
            high = min(size, _place(fd, size, stop) + _SLACK)
            return _ticks(os.pread(fd, high - low, low), whole=low == 0)
        finally:
            os.close(fd)


def ends(path: str) -> tuple[int | None, int | None]:
    """The wall times (unix ms) of the first and the last tick in a clock file; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    try:
        size = os.fstat(fd).st_size
        head = _ticks(os.pread(fd, 256, 0), whole=True)
        tail = head if size <= 256 else _ticks(os.pread(fd, 1024, max(0, size - 1024)), whole=size <= 1024)
    finally:
        os.close(fd)
    return (head[0][1] if head else None), max((ms for _, ms in tail), default=None)


def _rising(ticks: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Wall clocks step back; the times of a page do not."""
    out: list[tuple[int, int]] = []
    for index, ms in ticks:
        if out and out[-1][0] == index:
            continue
        out.append((index, max(ms, out[-1][1]) if out else ms))
    return tuple(out)


def _place(fd: int, size: int, index: int) -> int:
    """About where in the file the tick of `index` is: bisection over a file that is about sorted."""
    low, high = 0, size
    while high - low > _SLACK:
        middle = (low + high) // 2
        ticks = _ticks(os.pread(fd, 256, middle), whole=False)
        if ticks and ticks[0][0] <= index:
            low = middle
        else:
            high = middle
    return high if low else low


def _ticks(block: bytes, *, whole: bool) -> list[tuple[int, int]]:
    """The whole ticks in a stretch of the file; what is no tick is passed over."""
    begin = 0 if whole else block.find(b"\n") + 1
    lines = block[begin : block.rfind(b"\n") + 1]
    try:
        return [(t.index, t.time) for t in _decode.decode_lines(lines)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [tick for line in lines.split(b"\n") if (tick := _one(line)) is not None]


def _one(line: bytes) -> tuple[int, int] | None:
    try:
        t = _decode.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return t.index, t.time
