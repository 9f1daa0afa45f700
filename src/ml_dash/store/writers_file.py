"""``writers.jsonl``: which batches with an identity a series holds. One line a batch, written before the batch's rows,
both under the series' lock. Knows marks and lines; takes no lock.

A line ``{"writer", "seq", "first", "count", "tail"}`` says: rows [first, first + count) of the series are the writer's rows
up to `seq`, with these hashes at their end. The process may die between a line and its rows, so a line counts only as far as
the series reaches, and it is cut back to that before anybody else's row takes the place of those that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from ml_dash.model import Batch
from ml_dash.store.atomic import write_atomically
from ml_dash.store.marks import TAIL, Mark, row_hash, trim, without

COMPACT = 256 * 1024
"""Bytes of history from which the file is written anew with one line a writer."""


class _Line(msgspec.Struct):
    writer: str
    seq: int
    first: int
    count: int
    tail: list[str]


_decoder = msgspec.json.Decoder(_Line)


class WritersFile:
    """The marks of one series. Every method is called under the series' lock."""

    def __init__(self, path: str, rows: Callable[[int, int], list[bytes]]) -> None:
        """`rows(first, count)` reads encoded rows of the series."""
        self.path = path
        self._rows = rows
        self._seen: tuple[int, int] | None = None
        self._marks: dict[str, Mark] = {}

    def there(self) -> bool:
        """Whether any batch with an identity was ever stored."""
        return os.path.exists(self.path)

    def mend(self, total: int) -> None:
        """Cut what was announced, and did not come, back to what is there: a series of `total` rows."""
        self._load(total)

    def forget(self) -> None:
        """The batch that was announced last may not have come whole: the file tells."""
        self._seen = None

    def mark(self, writer: str, total: int) -> Mark | None:
        """How far `writer` has reached, in a series of `total` rows; None if it never wrote."""
        self._load(total)
        return self._marks.get(writer)

    def trim(self, batch: Batch, total: int) -> Batch:
        """What of `batch` is not stored yet, in a series of `total` rows. Raises `Conflict`."""
        self._load(total)
        return without(batch, trim(self._marks.get(batch.writer or ""), batch))

    def _line(self, writer: str, seq: int, rows: Sequence[bytes], first: int) -> _Line:
        old = self._marks.get(writer)
        tail = [*(old.tail if old else ()), *map(row_hash, rows[-TAIL:])][-TAIL:]
        return _Line(writer, seq + len(rows), first, len(rows), tail)

    def intend(self, batch: Batch, first: int) -> None:
        """Note that `batch` is about to be written at `first`; `forget` and `mend` undo it. Raises `OSError`."""
        assert batch.writer is not None and batch.seq is not None  # noqa: PT018  what `trim` has checked
        line = self._line(batch.writer, batch.seq, batch.rows, first)
        self._seen = None
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            at = os.fstat(fd)
            data = msgspec.json.encode(line) + b"\n"
            if os.write(fd, data) != len(data):
                raise OSError(f"{self.path}: could not be written whole; is the disk full?")
            self._seen = (at.st_ino, at.st_size + len(data))
        finally:
            os.close(fd)
        self._marks[line.writer] = Mark(line.writer, line.seq, line.tail)

    def compact(self, total: int, fd: int) -> None:
        """Write the file anew when its history is long. Every mark in it is whole then, so the rows of `fd`, which a mark
        may not outlive, come first."""
        if self._seen is None or self._seen[1] < COMPACT:
            return
        lines = [_Line(m.writer, m.seq, total, 0, m.tail) for m in self._marks.values()]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        if len(data) < self._seen[1] // 4:
            os.fsync(fd)
            write_atomically(self.path, data)
            at = os.stat(self.path)
            self._seen = (at.st_ino, at.st_size)

    def sync(self) -> None:
        """fsync, if the file is there."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _load(self, total: int) -> None:
        """Read the marks again if another process wrote; mend a last line whose rows did not all arrive."""
        try:
            at = os.stat(self.path)
        except FileNotFoundError:
            self._marks, self._seen = {}, (0, 0)
            return
        if (at.st_ino, at.st_size) == self._seen:
            return
        with open(self.path, "rb") as f:
            data = f.read()
        whole = data.rfind(b"\n") + 1
        lines = _decoder.decode_lines(data[:whole])
        self._marks, self._seen = {}, None
        sound = 0
        for line in lines:
            if line.first + line.count > total and line.count:
                break
            self._marks[line.writer] = Mark(line.writer, line.seq, line.tail)
            sound += 1
        if sound < len(lines):
            self._mend(lines[sound], total, data[: _behind(data, sound)])
        elif whole < len(data):
            os.truncate(self.path, whole)
        at = os.stat(self.path)
        self._seen = (at.st_ino, at.st_size)

    def _mend(self, line: _Line, total: int, before: bytes) -> None:
        """A writer died between its line and the end of its rows: the line counts for the rows that are there, and nothing
        can be behind it. At once, so that dying in here leaves the same to do."""
        present = total - line.first
        if present <= 0:
            os.truncate(self.path, len(before))
            return
        line = self._line(line.writer, line.seq - line.count, self._rows(line.first, present), line.first)
        write_atomically(self.path, before + msgspec.json.encode(line) + b"\n")
        self._marks[line.writer] = Mark(line.writer, line.seq, line.tail)


def _behind(data: bytes, lines: int) -> int:
    """The offset behind the first `lines` lines."""
    at = 0
    for _ in range(lines):
        at = data.index(b"\n", at) + 1
    return at
