"""Finding a line by its index: the file is its own index. Reads by position only; takes no lock, changes nothing.

Indices rise by one and every line carries its own, so the byte offset of an index is found by interpolation search
(Perl, Itai, Avni 1978: O(log log n) probes where lengths are even), with bisection as the bound where they are not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from ml_dash import codec
from ml_dash.errors import CorruptData
from ml_dash.model import LOGS
from ml_dash.store.batch_intent import whole_size

PROBE = 4096
"""Bytes read in one probe; a few dozen lines."""
_BLOCK = 1 << 22
_BEGINNING = b'{"index": '
_HEAD = 64
"""Bytes that the beginning of a line, index included, takes at most."""
_HEADS = {
    False: re.compile(rb'\n\{\s*"index"\s*:\s*(\d{1,19})\s*,'),
    True: re.compile(rb'\n\{\s*"sequenceNumber"\s*:\s*(\d{1,19})\s*,'),
}


class Tail(NamedTuple):
    """`end` is the byte behind the last newline, `points` the last line's index + 1, `line` the last line itself."""

    end: int
    points: int
    line: bytes


def last_line(fd: int, size: int, kind: str, path: str) -> Tail:
    """The last whole line below `size` that carries the index after its predecessor's: a writer without locks that died
    between writing a line to a place that was not its own and taking it back leaves one that does not. Half a batch at the
    end is not looked at (`batch_intent`).
    Raises `CorruptData` where the last lines carry no index."""
    size = whole_size(path, size)
    lines = _last_lines(fd, size, 2)
    if not lines:
        return Tail(0, 0, b"")
    begin, line = lines[-1]
    index = codec.index_of(kind, line[:64])
    before = codec.index_of(kind, lines[0][1][:64]) if len(lines) > 1 else -1
    if before is not None and index in (None, before + 1) and kind != LOGS and _is_two(line):
        second = codec.index_of(kind, line[line.find(_BEGINNING, 1) :][:64])
        if index is not None and second is not None and second > index:
            raise CorruptData(path, begin, "two lines without a newline between them")
        return Tail(begin, before + 1, lines[0][1] if len(lines) > 1 else b"")
    if index is None:
        raise CorruptData(path, begin, "a line does not begin with its index")
    if kind != LOGS and (before is None or index != before + 1):
        return _out_of_order(fd, size, kind, path)
    return Tail(begin + len(line) + 1, index + 1, line)


def _out_of_order(fd: int, size: int, kind: str, path: str) -> Tail:
    """Which of the last two lines is wrong, their predecessor tells. The last one, where it is misplaced: what a process
    remembers of the end is never more than what is there. The one before it, where it is damaged."""
    lines = [(begin, line, codec.index_of(kind, line[:64])) for begin, line in _last_lines(fd, size, 3)]
    begin, line, index = lines[-1]
    assert index is not None
    before = lines[-2] if len(lines) > 1 else (0, b"", -1)
    first = -1 if len(lines) < 3 else lines[0][2]
    if len(lines) > 1 and first is not None and (index == first + 2 or (before[2] is None and index == first + 1)):
        return Tail(begin + len(line) + 1, index + 1, line)
    if before[2] is None:
        raise CorruptData(path, before[0], "a line does not begin with its index")
    if index > before[2]:
        raise CorruptData(path, begin, f"a line carries index {index} where {before[2] + 1} was expected")
    return Tail(begin, before[2] + 1, before[1])


def _is_two(line: bytes) -> bool:
    """Whether another line begins in this one. With an index that is past, it is a misplaced one behind the torn tail that
    another process left: two processes died in turn."""
    return line.find(_BEGINNING, 1) > 0 and not _is_json(line)


def _is_json(line: bytes) -> bool:
    try:
        codec.decode_row(line)
    except (ValueError, RecursionError):
        return False
    return True


def _last_lines(fd: int, size: int, count: int) -> list[tuple[int, bytes]]:
    """(offset, line) of the last `count` whole lines below `size`, as far as there are so many."""
    reach = PROBE
    while True:
        start = max(0, size - reach)
        lines = _whole_lines(os.pread(fd, size - start, start), start, count)
        if len(lines) == count or start == 0:
            return lines
        reach *= 8


def _whole_lines(block: bytes, start: int, count: int) -> list[tuple[int, bytes]]:
    """(offset, line) of the last `count` lines that are whole in a block of the file's end, which begins at `start`."""
    lines: list[tuple[int, bytes]] = []
    stop = block.rfind(b"\n")
    while stop >= 0 and len(lines) < count:
        before = block.rfind(b"\n", 0, stop)
        if before < 0 and start:
            break
        lines.insert(0, (start + before + 1, block[before + 1 : stop]))
        stop = before
    return lines


def find_line(fd: int, end: int, total: int, index: int, kind: str, path: str, after: tuple[int, int] = (0, 0)) -> int:
    """The byte offset of the line of `index`; `end` for `total`. `after` is the (offset, index) of an earlier line.
    Raises `CorruptData` where no line carries the index; damage to other lines costs time at most."""
    if index >= total:
        return end
    at = _search(fd, end, total, index, kind, after)
    if at >= 0 and _fits(fd, at, end, index, kind):
        return at
    return _find_among_damage(fd, end, index, kind, path)


def _search(fd: int, end: int, total: int, index: int, kind: str, after: tuple[int, int]) -> int:
    """Where the line of `index` is unless lines are damaged; -1 if that is known to be so."""
    low, low_index = after
    high, high_index = end, total
    ceiling = high  # no line begins in [ceiling, high)
    bisect = False
    while low_index < index < high_index:
        if ceiling - low <= 2 * PROBE:
            return _walk(fd, low, low_index, high, index)
        span = high - low
        guess = low + span * (index - low_index) // (high_index - low_index) - PROBE // 2
        if bisect or guess >= ceiling:
            guess = low + (ceiling - low) // 2
        guess = max(low, guess)
        at, stretch = _next_line(fd, guess, ceiling, high, low)
        if at < 0:
            ceiling = guess
            continue
        found = low_index
        if at != low:
            at, stretch, found = _indexed(stretch, at, kind, low_index, high_index)
        if at < 0:
            return -1
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


def _indexed(stretch: bytes, at: int, kind: str, low_index: int, high_index: int) -> tuple[int, bytes, int]:
    """The first line from `at` on, within `stretch`, that carries an index between the two; its index. -1: there is none."""
    while True:
        index = codec.index_of(kind, stretch[:64])
        if index is not None and low_index < index < high_index:
            return at, stretch, index
        newline = stretch.find(b"\n")
        if newline < 0:
            return -1, b"", 0
        at += newline + 1
        stretch = stretch[newline + 1 :]


def _skip(stretch: bytes, at: int, lines: int) -> int:
    """The offset `lines` lines further, -1 if `stretch` does not reach so far."""
    place = 0
    for _ in range(lines):
        place = stretch.find(b"\n", place) + 1
        if not place:
            return -1
    return at + place if place < len(stretch) or not lines else -1


def _walk(fd: int, low: int, low_index: int, high: int, index: int) -> int:
    """The offset of `index` by counting newlines from a line that is known; -1 if there are too few."""
    block = os.pread(fd, high - low, low)
    place = 0
    for _ in range(index - low_index):
        place = block.find(b"\n", place) + 1
        if not place:
            return -1
    return low + place


def line_end(fd: int, at: int, end: int) -> int:
    """The byte behind the newline of the line at `at`, `end` at most."""
    size = PROBE
    while at < end:
        block = os.pread(fd, min(size, end - at), at)
        newline = block.find(b"\n")
        if newline >= 0:
            return at + newline + 1
        at += max(len(block), 1)
        size = min(size * 8, 1 << 20)
    return end


def first_bad(kind: str, lines: bytes, first: int) -> int:
    """The offset in `lines` of the first one that is no JSON or does not carry its index, counted from `first`; 0 if all do."""
    offset = 0
    for index, line in enumerate(lines.split(b"\n")[:-1], first):
        if codec.index_of(kind, line[:64]) != index or not _is_json(line):
            return offset
        offset += len(line) + 1
    return 0


def _find_among_damage(fd: int, end: int, index: int, kind: str, path: str) -> int:
    """The line that carries `index` in a file where the search met damaged lines. It reads the whole file."""
    found: list[tuple[bool, int]] = []  # (whether the line before carries the index before, offset)
    below, at, before = -1, -1, -1
    for begin, there in _heads(fd, end, kind):
        if there == index:
            found.append((before == index - 1, begin))
        if below < there < index:
            below, at = there, begin
        before = there
    scores = [before + _fits(fd, begin, end, index, kind) for before, begin in found]
    if len(found) == 1 or scores.count(max(scores, default=0)) == 1:
        return found[scores.index(max(scores))][1]
    if at >= 0:
        behind = line_end(fd, at, end)
        # Where its newline was lost, the line before holds the one that is missed.
        at = behind if _is_json(os.pread(fd, behind - at, at)) else at
    raise CorruptData(path, max(at, 0), f"no line carries index {index}; the one that should is damaged")


def _heads(fd: int, end: int, kind: str) -> Iterator[tuple[int, int]]:
    """(offset, index) of every line below `end` that carries an index."""
    at, carry = 0, b"\n"
    while at < end:
        block = carry + os.pread(fd, min(_BLOCK, end - at), at)
        if len(block) == len(carry):
            return
        # An index may lie across two blocks: what could be the beginning of a line stays for the next one.
        cut = len(block) if at + len(block) - len(carry) >= end else max(block.rfind(b"\n"), len(block) - _HEAD)
        for match in _HEADS[kind == LOGS].finditer(block):
            if match.start() < cut:
                yield at - len(carry) + match.start() + 1, int(match[1])
        at += len(block) - len(carry)
        carry = block[cut:]


def _fits(fd: int, at: int, end: int, index: int, kind: str) -> bool:
    """Whether the line carries the index, and the next one, if there is one, the next."""
    block = os.pread(fd, PROBE, at)
    if codec.index_of(kind, block[:_HEAD]) != index:
        return False
    newline = block.find(b"\n")
    behind = at + newline + 1 if newline >= 0 else line_end(fd, at + len(block), end)
    if behind >= end:
        return True
    head = block[newline + 1 : newline + 1 + _HEAD] if 0 <= newline < PROBE - _HEAD else os.pread(fd, _HEAD, behind)
    return codec.index_of(kind, head) == index + 1
