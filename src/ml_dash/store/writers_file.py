"""``writers.jsonl``: which batches with an identity a series holds. One line a batch, written before the batch's rows,
both under the series' lock. Knows marks and lines; takes no lock.

A line ``{"writer", "seq", "first", "count", "tail"}`` says: rows [first, first + count) of the series are the writer's rows
up to `seq`, with these hashes at their end. The process may die between a line and its rows, so the last line counts only
as far as the series reaches; every other line is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from ml_dash.model import Batch, SeriesKey
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

    def mark(self, writer: str, total: int) -> Mark | None:
        """How far `writer` has reached, in a series of `total` rows; None if it never wrote."""
        self._load(total)
        return self._marks.get(writer)

    def trim(self, batch: Batch, total: int) -> Batch:
        """What of `batch` is not stored yet, in a series of `total` rows. Raises `Conflict`."""
        self._load(total)
        return without(batch, trim(self._marks.get(batch.writer or ""), batch))

    def intend(self, batch: Batch, first: int) -> int:
        """Note that `batch` is about to be written at `first`; the file's size before, for `take_back`. Raises `OSError`."""
        assert batch.writer is not None and batch.seq is not None  # noqa: PT018  what `trim` has checked
        old = self._marks.get(batch.writer)
        tail = [*(old.tail if old else ()), *map(row_hash, batch.rows[-TAIL:])][-TAIL:]
        line = _Line(batch.writer, batch.seq + len(batch.rows), first, len(batch.rows), tail)
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            size = os.fstat(fd).st_size
            data = msgspec.json.encode(line) + b"\n"
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise OSError(f"{self.path}: could not be written whole; is the disk full?")
            self._seen = (os.fstat(fd).st_ino, size + len(data))
        except OSError:
            os.ftruncate(fd, size)
            raise
        finally:
            os.close(fd)
        self._marks[line.writer] = Mark(line.writer, line.seq, line.tail)
        return size

    def take_back(self, size: int) -> None:
        """The rows could not be written: forget the intention."""
        self._seen = None
        os.truncate(self.path, size)

    def compact(self, total: int) -> None:
        """Write the file anew when its history is long. Every mark in it is whole then."""
        if self._seen is None or self._seen[1] < COMPACT:
            return
        lines = [_Line(m.writer, m.seq, total, 0, m.tail) for m in self._marks.values()]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        if len(data) < self._seen[1] // 4:
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
        self._marks = {}
        for line in lines[:-1]:
            self._marks[line.writer] = Mark(line.writer, line.seq, line.tail)
        present = max(0, min(lines[-1].count, total - lines[-1].first)) if lines else 0
        if lines and present == lines[-1].count:
            self._marks[lines[-1].writer] = Mark(lines[-1].writer, lines[-1].seq, lines[-1].tail)
            if whole < len(data):
                os.truncate(self.path, whole)
        elif lines:
            self._mend(lines[-1], present, data)
        at = os.stat(self.path)
        self._seen = (at.st_ino, at.st_size)

    def _mend(self, line: _Line, present: int, data: bytes) -> None:
        """The writer died between its line and the end of its rows: the line counts for the rows that are there."""
        before = data[: data.rfind(b"\n", 0, data.rfind(b"\n")) + 1]
        os.truncate(self.path, len(before))
        if not present:
            return
        rows = self._rows(line.first, present)
        seq = line.seq - line.count
        self.intend(Batch(SeriesKey("", "", ""), rows, line.writer, seq), line.first)
