"""One series as one file of lines: append, read, cut a torn tail. Knows descriptors, locks and offsets; knows no run and no name.

Invariants (docs/formats/series.md):
* every byte before the last newline belongs to a whole line, and line i carries index i;
* the file grows only under its exclusive lock, by one write of whole lines at its end;
* what this process remembers of the end (`_end`, `_next`) is used only while it equals the file's own end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ml_dash import codec
from ml_dash.errors import CorruptData, SeriesNotFound, Unavailable
from ml_dash.model import LOGS, Appended, Batch, Page
from ml_dash.store import batch_intent, locks
from ml_dash.store.atomic import write_all
from ml_dash.store.descriptors import Descriptors
from ml_dash.store.line_search import find_line, first_bad, last_line, line_end

if TYPE_CHECKING:
    from ml_dash.store.clock_file import ClockFile
    from ml_dash.store.marks import Mark
    from ml_dash.store.writers_file import WritersFile

TICK = 0.1
"""Seconds between two wall-time ticks of a series; each tick also looks whether the file is still the one at its path."""

_flock = fcntl.flock
_EX = fcntl.LOCK_EX | fcntl.LOCK_NB
_UN = fcntl.LOCK_UN
_SH = fcntl.LOCK_SH | fcntl.LOCK_NB
_lseek = os.lseek
_write = os.write
_END = os.SEEK_END
_CUR = os.SEEK_CUR
_LINE = codec.LINE_TEMPLATE[False]


class SeriesFile:
    """The lines of one series. Threads share one object; processes share the file.

    `count` is the points as this process knows them, exact right after its own append.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        descriptors: Descriptors,
        *,
        clock: Callable[[], float] = time.time,
        ticks: ClockFile | None = None,
        writable: bool = True,
        locking: bool = True,
        patience: float = locks.PATIENCE,
        translate: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`translate` makes lines of ours of lines that another writer left in the file, when they are read."""
        self.path = path
        self._translate = translate
        self.kind = kind
        self.ticks = ticks
        self.writers: WritersFile | None = None
        """The marks beside it; the store sets them."""
        self.dirty = False
        self._syncs = 0
        self._descriptors = descriptors
        self._clock = clock
        self._writable = writable
        self._locking = locking
        self._patience = patience
        self._mutex = threading.RLock()
        self._fd = -1
        self._inode: tuple[int, int] | None = None
        self._end = -1
        self.count = 0
        self._shared = False
        self._busy = False
        self._queue: list[Sequence[bytes]] = []
        self._tick_from = self._tick_due = 0.0
        self._framed = kind != LOGS
        """Whether a row stands in its line as it is."""

    # ------------------------------------------------------------ append

    def append(  # noqa: PLR0912, PLR0915  the hot path: a call costs more than a branch
        self, rows: Sequence[bytes], times: tuple[tuple[int, int], ...] = ()
    ) -> int | None:
        """Store encoded rows at the end; the index of the first, or None for a call from inside another call
        of the same thread (a signal handler): its rows are stored by that outer call, after its own.

        Raises `OSError` if nothing of this call was stored.
        """
        with self._mutex:
            if self._busy:
                self._queue.append(rows)
                return None
            self._busy = True
            try:
                now = self._clock()
                due = not self._tick_from <= now < self._tick_due
                fd = self._fd
                if due or fd < 0 or not self._writable:
                    fd = self._ready()
                try:
                    if self._locking:
                        try:
                            _flock(fd, _EX)
                        except BlockingIOError:
                            locks.wait(fd, fcntl.LOCK_EX, self.path, self._patience)
                    if len(rows) == 1 and _lseek(fd, 0, _END) == self._end and self._framed:
                        first = self.count
                        data = _LINE % (first, rows[0])
                        try:
                            written = _write(fd, data)
                        except OSError as e:
                            raise self._not_stored(e) from e
                        if written != len(data):
                            written = self._write_rest(fd, data, written)
                        self._end += written
                        self.count = first + 1
                    else:
                        first = self._put(fd, rows)
                except BaseException as e:
                    if not isinstance(e, OSError):
                        self._settle(fd)
                    raise
                finally:
                    if self._locking:
                        _flock(fd, _UN)
                self.dirty = True
                if times or due:
                    self._tick(first, now, times)
            finally:
                if not self._queue:
                    self._busy = False
                else:
                    try:
                        self._drain()
                    finally:
                        self._busy = False
            return first

    def _settle(self, fd: int) -> None:
        """An interrupt came somewhere in an append. If it came right behind a write, nothing of that is to stay that does
        not belong there; without locks, it was no other writer's."""
        if not self._locking:
            self._end = -1
        with suppress(OSError):
            if self._locking:
                _flock(fd, _EX)  # this one's still, or nobody's
            if _lseek(fd, 0, _END) != self._end:
                self._look_again(fd)

    def _put(self, fd: int, rows: Sequence[bytes], batch: Batch | None = None) -> int:
        """Look at the end, then write; the first index. `batch` is what the rows are of where it has an identity.
        The caller holds the lock."""
        if _lseek(fd, 0, _END) != self._end:
            self._look_again(fd)
        data = codec.render(self.kind, self.count, rows)
        if len(rows) == 1 and batch is None:
            self._write_rest(fd, data, self._begin(fd, data))
        else:
            self._put_announced(fd, rows, data, batch)
        first, end, count = self.count, self._end + len(data), self.count + len(rows)
        self._end, self.count = end, count  # with no call between them, in which an interrupt could come
        return first

    def _begin(self, fd: int, data: bytes) -> int:
        """Write, at the end that is known; how many bytes."""
        written = _write(fd, data)
        start = _lseek(fd, 0, _CUR) - written
        if start != self._end:
            os.ftruncate(fd, start)
            raise OSError(
                f"{self.path}: another program writes to this file without taking its lock; nothing was stored. "
                "Stop that program, then run `ml-dash doctor` on the run's folder."
            )
        return written

    def _put_announced(self, fd: int, rows: Sequence[bytes], data: bytes, batch: Batch | None) -> None:
        """Announce rows that are to be there all or none, and those with an identity, then write them. One byte of them comes
        before: after a death between the two, whoever appends next finds an end that he does not remember, and so looks
        again before his row can be taken for one that was announced. Whatever ends this early takes it back in that order."""
        try:
            written = self._begin(fd, data[:1])
            if batch is not None and self.writers is not None:
                self.writers.intend(batch, self.count)
            if len(rows) == 1:  # half a line is none
                self._write_on(fd, data, written)
                return
            with batch_intent.announced(self.path, self._end, self._end + len(data)):
                self._write_on(fd, data, written)
        except BaseException:
            if batch is not None and self.writers is not None:
                self.writers.forget()
            self._withdraw(fd, self._end, self.count)
            raise

    @staticmethod
    def _write_on(fd: int, data: bytes, written: int) -> None:
        while written < len(data):
            written += _write(fd, memoryview(data)[written:])

    def _withdraw(self, fd: int, end: int, points: int) -> None:
        """Under the lock, cut what is behind `end`, and what announced it: that goes while one byte is still there."""
        size = _lseek(fd, 0, _END)
        if size > end + 1:
            os.ftruncate(fd, end + 1)
        if self.writers is not None and self.writers.there():
            self.writers.mend(points)
        if size > end:
            batch_intent.clear(self.path)
            os.ftruncate(fd, end)

    def mark(self, writer: str, writers: WritersFile) -> Mark | None:
        """How far `writer` has reached. Under the lock: a batch of another thread that is being written is not a dead one's."""
        with self._mutex:
            if self._busy:
                raise Unavailable(f"{self.path}: an append is under way in this thread; try again.", retry_after=0.1)
            self._busy = True
            try:
                fd = self._ready()
                try:
                    self._lock(fd)
                    if _lseek(fd, 0, _END) != self._end:
                        self._look_again(fd)
                    return writers.mark(writer, self.count)
                finally:
                    if self._locking:
                        _flock(fd, _UN)
            finally:
                if not self._queue:
                    self._busy = False
                else:
                    try:
                        self._drain()
                    finally:
                        self._busy = False

    def append_marked(self, batch: Batch, writers: WritersFile) -> Appended:
        """`append` for a series whose batches carry an identity. Raises `Conflict`, and `OSError` if nothing was stored."""
        with self._mutex:
            if self._busy:
                raise Unavailable(f"{self.path}: an append is under way in this thread; try again.", retry_after=0.1)
            self._busy = True
            try:
                fd = self._ready()
                try:
                    self._lock(fd)
                    if _lseek(fd, 0, _END) != self._end:
                        self._look_again(fd)
                    return self._append_new(fd, writers.trim(batch, self.count), writers)
                finally:
                    if self._locking:
                        _flock(fd, _UN)
            finally:
                if not self._queue:
                    self._busy = False
                else:
                    try:
                        self._drain()
                    finally:
                        self._busy = False

    def _append_new(self, fd: int, batch: Batch, writers: WritersFile) -> Appended:
        count, first = len(batch.rows), self.count
        if not count:
            self.dirty = True  # who wrote those rows may have died, or be about to, before they were durable
            return Appended(None, 0, first)
        self._put(fd, batch.rows, batch if batch.writer is not None else None)
        self.dirty = True
        self._tick(first, self._clock(), batch.times)
        writers.compact(self.count, fd)
        return Appended(first, count, self.count)

    def _lock(self, fd: int) -> None:
        if self._locking:
            try:
                _flock(fd, _EX)
            except BlockingIOError:
                locks.wait(fd, fcntl.LOCK_EX, self.path, self._patience)

    def _ready(self) -> int:
        """The seldom part of an append: a descriptor that writes to the file that is at the path now."""
        if self._fd >= 0 and self._writable:
            self._check_linked()
        if self._fd < 0 or not self._writable:
            return self._open_to_append()
        return self._fd

    def _drain(self) -> None:
        """Store what came from inside, in its order, and be busy no more. Signals are looked at in calls only, so that nothing
        can come between a last look at the queue and that."""
        while True:
            if not self._queue:
                self._busy = False
                return
            self._append_queued(self._queue.pop(0))

    def _append_queued(self, rows: Sequence[bytes]) -> None:
        fd = self._ready()
        try:
            self._lock(fd)
            first = self._put(fd, rows)
        finally:
            if self._locking:
                _flock(fd, _UN)
        self.dirty = True
        self._tick(first, self._clock(), ())

    def _write_rest(self, fd: int, data: bytes, written: int) -> int:
        """Go on after a short write; if the rest cannot be written, take back all of it. How many bytes in all."""
        try:
            while written < len(data):
                more = _write(fd, memoryview(data)[written:])
                if not more:
                    raise OSError(f"{self.path}: the system wrote {written} of {len(data)} bytes; is the disk full?")
                written += more
        except OSError as e:
            self._take_back(fd)
            raise self._not_stored(e) from e
        return written

    def _not_stored(self, error: OSError) -> OSError:
        """The system's error with the file's name in it."""
        return OSError(error.errno, f"{error.strerror or error}; nothing of this append was stored", self.path)

    def _take_back(self, fd: int) -> None:
        """Still under the lock: no reader and no other writer has seen the bytes past the end."""
        if _lseek(fd, 0, _END) > self._end:
            os.ftruncate(fd, self._end)

    def _look_again(self, fd: int) -> None:
        """The end is not where this process left it: read the last line, and cut what is behind it."""
        size = _lseek(fd, 0, _END)
        if (size < self._end or size == 1) and not self._is_linked():
            raise self._deleted()
        if not self._locking and (self._end >= 0 or self._shared):
            self._shared = True
            raise OSError(
                f"{self.path}: the file changed while it was open with locking=False, which is for one writer. "
                "Open the run with locking on."
            )
        self._check_order(fd, size)
        tail = last_line(fd, size, self.kind, self.path)
        if tail.end < size:
            keep_torn(fd, tail.end, size, self.path)
        self._withdraw(fd, tail.end, tail.points)
        self._end, self.count = tail.end, tail.points

    def _check_order(self, fd: int, size: int) -> None:
        """A writer without locks may have come between this process's look at the end and its write. What it remembers as the
        end is then the beginning of its own last line, whose index is not the next one."""
        if 0 < self._end < size:
            head = os.pread(fd, 64, self._end - 1)
            index = codec.index_of(self.kind, head[1:]) if head[:1] == b"\n" else None
            if index is not None and index != self.count:
                self._end = -1
                raise OSError(
                    f"{self.path}: another program wrote to this file without taking its lock. "
                    "Stop that program, then run `ml-dash doctor` on the run's folder."
                )

    # ------------------------------------------------------------ clock

    def _tick(self, first: int, now: float, times: tuple[tuple[int, int], ...]) -> None:
        at_once = not self._tick_due
        self._tick_from, self._tick_due = now, now + TICK
        if self.ticks is not None:
            for offset, ms in times or ((0, int(now * 1000)),):
                self.ticks.add(first + offset, ms)
            if at_once:
                with suppress(OSError):  # the row is stored: a full disk is the next row's to say
                    self.ticks.write()

    def _check_linked(self) -> None:
        """A file that was deleted under us is an error; one that was put in its place is gone on with."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            self._drop()
            raise self._deleted() from None
        if (there.st_dev, there.st_ino) != self._inode:
            self._drop()
            warnings.warn(
                f"{self.path} was replaced while the run was open; points appended since then and before now "
                "went with the old file. Appending goes on at the end of the new one.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _is_linked(self) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == self._inode

    def _deleted(self) -> SeriesNotFound:
        return SeriesNotFound(
            f"{self.path} was deleted while the run was open; its points are gone, and new ones have no place. "
            "Open the run again to start the series anew."
        )

    # ------------------------------------------------------------ descriptor

    def _open_to_append(self) -> int:
        if not self._writable:
            self._drop()
            self._writable = True
        return self._open()

    def _open(self) -> int:
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_RDWR | os.O_APPEND if self._writable else os.O_RDONLY)
        known = self._inode is not None
        if self._writable and not known:
            flags |= os.O_CREAT
        try:
            fd = self._descriptors.open(self, self.path, flags)
        except FileNotFoundError:
            if known:
                raise self._deleted() from None
            raise
        at = os.fstat(fd)
        if (at.st_dev, at.st_ino) != self._inode:
            self._inode = (at.st_dev, at.st_ino)
            self._end = -1
        self._fd = fd
        return fd

    def _drop(self) -> None:
        fd, self._fd = (
            self._fd,
            -1,
        )  # in this order: an interrupt between them must not leave the number of a closed file
        if fd >= 0:
            self._descriptors.close(self, fd)

    def give_up_descriptor(self) -> bool:
        """For `Descriptors`: close if nobody is in the middle of something."""
        if self._mutex.acquire(blocking=False):
            try:
                if not self._busy:
                    self._drop()
                    return True
            finally:
                self._mutex.release()
        return False

    def forget(self) -> None:
        """In a forked child: the descriptor was the parent's and is closed; all else is read from the file again."""
        self._fd = -1
        self._end = -1
        self._mutex = threading.RLock()
        self._busy = False
        self._queue = []
        self._syncs = 0
        if self.ticks is not None:
            self.ticks.forget()

    def __del__(self) -> None:
        """A store that was dropped without being closed lets its descriptors go too."""
        if self._fd >= 0:
            os.close(self._fd)

    def close(self) -> None:
        """Write what is kept of the clock, which is advisory, and let the descriptor go."""
        with self._mutex:
            with suppress(OSError):
                self.write_ticks()
            self._drop()

    def write_ticks(self) -> None:
        """Append the ticks kept in memory to the clock file."""
        if self.ticks is not None:
            self.ticks.write()

    def is_unsynced(self) -> bool:
        """Whether rows may be here that are not durable: appended since the last sync began, or that one has not ended."""
        return self.dirty or self._syncs > 0

    def begin_sync(self) -> None:
        """What is here is about to be made durable by somebody else, who tells by `end_sync` what became of it."""
        with self._mutex:
            self._syncs += 1
            self.dirty = False

    def end_sync(self, *, done: bool) -> None:
        """See `begin_sync`."""
        with self._mutex:
            self._syncs -= 1
            self.dirty = self.dirty or not done

    def sync(self) -> None:
        """fsync what this process appended. Others append meanwhile. Raises `OSError`."""
        with self._mutex:
            if not self.is_unsynced() or self._busy:
                self.write_ticks()
                return
            fd = self._another()
            self.begin_sync()
        done = False
        try:
            os.fsync(fd)
            done = True
        finally:
            os.close(fd)
            self.end_sync(done=done)
        self.write_ticks()

    def _another(self) -> int:
        """A second descriptor of the file, which no other thread closes, and which holds no lock whoever inherits it."""
        known = self._fd if self._fd >= 0 else self._open()
        at = os.fstat(known)
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise self._deleted() from None
        there = os.fstat(fd)
        if (there.st_dev, there.st_ino) != (at.st_dev, at.st_ino):
            os.close(fd)
            self._drop()  # replaced under us: the next append says so, and goes on with what is there now
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return fd

    # ------------------------------------------------------------ read

    def extent(self) -> tuple[int, int]:
        """(bytes, points) as of now: whole lines only, nothing of a write that is under way or about to be taken back."""
        with self._mutex:
            if self._busy:  # a signal handler inside an append: its lock must not be taken twice
                return max(self._end, 0), self.count if self._end >= 0 else 0
            self._busy = True
            try:
                return self._extent()
            finally:
                if not self._queue:
                    self._busy = False
                else:
                    try:
                        self._drain()
                    finally:
                        self._busy = False

    def _extent(self) -> tuple[int, int]:
        fd = self._reader()
        if fd < 0:
            return 0, 0
        size = self._locked_size(fd)
        if size != self._end:
            tail = last_line(fd, size, self.kind, self.path)
            if tail.end != size or not self._writable:
                return tail.end, tail.points
            self._end, self.count = tail.end, tail.points
        return self._end, self.count

    def _reader(self) -> int:
        """A descriptor of the file that is at the path now; -1 if there is none."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return -1
        if (there.st_dev, there.st_ino) != self._inode:
            self._drop()
        if self._fd >= 0:
            return self._fd
        try:
            return self._open()
        except OSError as e:
            if e.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._writable = False
            return self._open()

    def _locked_size(self, fd: int) -> int:
        if not self._locking:
            return _lseek(fd, 0, _END)
        try:
            try:
                _flock(fd, _SH)
            except BlockingIOError:
                locks.wait(fd, fcntl.LOCK_SH, self.path, self._patience)
            return _lseek(fd, 0, _END)
        finally:
            _flock(fd, _UN)

    def read(self, start: int, limit: int | None, most: int | None = None) -> Page:
        """Points [start, start + limit) as far as they exist, `most` bytes of them or one. Raises `CorruptData`."""
        end, total = self.extent()
        count = max(0, total - start if limit is None else min(limit, total - start))
        if not count:
            return Page(self.kind, start, 0, total, b"", (), (self.path, 0))
        # A descriptor of its own: it never holds a writer's lock, whoever inherits it by a fork.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            first = find_line(fd, end, total, start, self.kind, self.path)
            if most is not None:
                count = min(count, max(1, read_exactly(fd, first, min(most, end - first), self.path).count(b"\n")))
            stop = self._stop(fd, end, total, (first, start), start + count)
            lines = read_exactly(fd, first, stop - first, self.path)
        finally:
            os.close(fd)
        found = lines.count(b"\n")
        if found != count:
            bad = first + first_bad(self.kind, lines, start)
            raise CorruptData(self.path, bad, f"{found} lines where {count} were expected; one of them is damaged")
        if self._translate is not None:
            lines = self._translate(lines)
        ticks = self.ticks.between(start, start + count) if self.ticks is not None else ()
        return Page(self.kind, start, count, total, lines, ticks, (self.path, first))

    @property
    def is_mixed(self) -> bool:
        """Whether lines of another writer are in it, which carry their times themselves."""
        return self._translate is not None

    def ticks_of(self, start: int, most: int, stop: int | None) -> tuple[int, int, int, tuple[tuple[int, int], ...]]:
        """(start, count, total, ticks) of `most` points of [start, stop) at most. No line is read."""
        total = self.extent()[1]
        count = max(0, min(most, (total if stop is None else min(stop, total)) - start))
        return start, count, total, self.ticks.between(start, start + count) if count and self.ticks is not None else ()

    def _stop(self, fd: int, end: int, total: int, after: tuple[int, int], stop: int) -> int:
        """Where the points below `stop` end. The line that begins there may be damaged: it is not asked for."""
        try:
            return find_line(fd, end, total, stop, self.kind, self.path, after)
        except CorruptData:
            return line_end(fd, find_line(fd, end, total, stop - 1, self.kind, self.path, after), end)


def cut_tail(fd: int, end: int, size: int, path: str) -> None:
    """Move what is behind `end`, the torn tail of a writer that died in the middle of its write, to ``<path>.torn``.
    The caller holds the file's lock."""
    keep_torn(fd, end, size, path)
    os.ftruncate(fd, end)


def keep_torn(fd: int, end: int, size: int, path: str) -> None:
    """Append the bytes [end, size) to ``<path>.torn``."""
    keep = os.open(path + ".torn", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        write_all(keep, read_exactly(fd, end, size - end, path))
    finally:
        os.close(keep)


def read_exactly(fd: int, offset: int, size: int, path: str) -> bytes:
    """`size` bytes at `offset`, in as many reads as the system wants. Raises `CorruptData` at an early end."""
    parts = []
    while size > 0:
        part = os.pread(fd, min(size, 1 << 30), offset)
        if not part:
            raise CorruptData(path, offset, "the file ends before the bytes that were there a moment ago")
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def end_series(path: str) -> None:
    """Before the file of a deleted run is unlinked: leave an end that no process remembers, so that each one that still has
    it open looks again before its next append."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        locks.wait(file, fcntl.LOCK_EX, path)
        os.ftruncate(file, 0)
        _write(file, b"\0")
    finally:
        _flock(file, _UN)  # closing alone leaves it to whoever was forked meanwhile
        os.close(file)
