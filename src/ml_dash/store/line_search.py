"""Finding a line by its index: the file is its own index. Reads by position only; takes no lock, changes nothing.

Indices rise by one and every line carries its own, so the byte offset of an index is found by interpolation search
(Perl, Itai, Avni 1978: O(log log n) probes where lengths are even), with bisection as the bound where they are not.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ml_dash import codec
from ml_dash.errors import CorruptData
from ml_dash.model import LOGS

PROBE = 4096
"""Bytes read in one probe; a few dozen lines."""


class Tail(NamedTuple):
    """`end` is the byte behind the last newline, `points` the last line's index + 1, `line` the last line itself."""

    end: int
    points: int
    line: bytes


def last_line(fd: int, size: int, kind: str, path: str) -> Tail:
    """The last whole line below `size` that carries the index after its predecessor's: a process that died between writing
    a line to a place that was not its own and taking it back (`SeriesFile._misplaced`) leaves one that does not.
    Raises `CorruptData` where the last lines carry no index."""
    reach = PROBE
    while True:
        start = max(0, size - reach)
        lines = _whole_lines(os.pread(fd, size - start, start), start)
        if len(lines) > 1 or start == 0:
            break
        reach *= 8
    if not lines:
        return Tail(0, 0, b"")
    indices = [codec.index_of(kind, line[:64]) for _, line in lines]
    expected = indices[-2] + 1 if len(lines) > 1 and indices[-2] is not None else 0
    begin, line = lines[-1]
    if indices[-1] is None or (len(lines) > 1 and indices[-2] is None):
        raise CorruptData(path, begin if indices[-1] is None else lines[-2][0], "a line does not begin with its index")
    if indices[-1] != expected and kind != LOGS:
        return Tail(begin, expected, lines[-2][1] if len(lines) > 1 else b"")
    return Tail(begin + len(line) + 1, indices[-1] + 1, line)


def _whole_lines(block: bytes, start: int) -> list[tuple[int, bytes]]:
    """(offset, line) of the last two lines that are whole in a block of the file's end, which begins at `start`."""
    lines: list[tuple[int, bytes]] = []
    stop = block.rfind(b"\n")
    while stop >= 0 and len(lines) < 2:
        before = block.rfind(b"\n", 0, stop)
        if before < 0 and start:
            break
        lines.insert(0, (start + before + 1, block[before + 1 : stop]))
        stop = before
    return lines


def find_line(fd: int, end: int, total: int, index: int, kind: str, path: str, after: tuple[int, int] = (0, 0)) -> int:
    """The byte offset of the line of `index`; `end` for `total`. `after` is the (offset, index) of an earlier line.
    Raises `CorruptData` where a line does not carry the index that its place asks for."""
    low, low_index = after
    high, high_index = end, total
    ceiling = high  # no line begins in [ceiling, high)
    bisect = False
    while low_index < index < high_index:
        if ceiling - low <= 2 * PROBE:
            return _walk(fd, low, low_index, high, index, path)
        span = high - low
        guess = low + span * (index - low_index) // (high_index - low_index) - PROBE // 2
        if bisect or guess >= ceiling:
            guess = low + (ceiling - low) // 2
        guess = max(low, guess)
        at, stretch = _next_line(fd, guess, ceiling, high, low)
        if at < 0:
            ceiling = guess
            continue
        found = low_index if at == low else _index_at(stretch, at, kind, path, low_index, high_index)
        if found <= index:
            offset = _skip(stretch, at, index - found)
            if offset >= 0:
                return offset
            bisect = at == low or at - low < span // 4
            low, low_index = at, found
        else:
            bisect = high - at < span // 4
            high, high_index = at, found
            ceiling = guess
    return low if index <= low_index else high


def _next_line(fd: int, guess: int, ceiling: int, high: int, low: int) -> tuple[int, bytes]:
    """The first line that begins behind `guess` (at it, where `guess` is `low`) and below `ceiling`: its offset and
    the bytes read from it on; (-1, b"") if there is none."""
    if guess == low:
        return low, os.pread(fd, min(PROBE, high - low), low)
    at, size = guess, PROBE
    while at < ceiling:
        block = os.pread(fd, min(size, high - at), at)
        newline = block.find(b"\n")
        if newline >= 0:
            begin = at + newline + 1
            if begin >= ceiling:
                return -1, b""
            rest = block[newline + 1 :]
            return begin, rest if len(rest) >= 64 else os.pread(fd, min(PROBE, high - begin), begin)
        at += len(block)
        size = min(size * 8, 1 << 20)
    return -1, b""


def _index_at(stretch: bytes, at: int, kind: str, path: str, low_index: int, high_index: int) -> int:
    index = codec.index_of(kind, stretch[:64])
    if index is None or not low_index < index < high_index:
        raise CorruptData(path, at, f"expected a line with an index between {low_index} and {high_index}")
    return index


def _skip(stretch: bytes, at: int, lines: int) -> int:
    """The offset `lines` lines further, -1 if `stretch` does not reach so far."""
    place = 0
    for _ in range(lines):
        place = stretch.find(b"\n", place) + 1
        if not place:
            return -1
    return at + place if place < len(stretch) or not lines else -1


def _walk(fd: int, low: int, low_index: int, high: int, index: int, path: str) -> int:
    """The offset of `index` by counting newlines from a line that is known."""
    block = os.pread(fd, high - low, low)
    place = 0
    for _ in range(index - low_index):
        place = block.find(b"\n", place) + 1
        if not place:
            raise CorruptData(path, low, f"fewer lines than indices from {low_index} to {index}")
    return low + place
