"""The part of a file that came before its upload to a folder broke, and how the next try goes on behind it.

    files/.tmp-part@<digest of id and checksum>.<birth>.<holder>

Whoever goes on renames it to a holder of its own. A block is written under the file's lock and only while the name is still the
writer's, so that one that was left waiting, in whatever process, writes nothing any more. What is kept is not synced: after a
crash of the machine it may be anything, which the checksum tells at the end. Left alone for a day, it is swept.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, BinaryIO

from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.model import FilePut
from ml_dash.store.atomic import TEMPORARY, not_stored
from ml_dash.store.checks import check_content
from ml_dash.store.patch import new_id

if TYPE_CHECKING:
    from ml_dash.store.running_sums import RunningSums

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)


def may_go_on(source: BinaryIO, put: FilePut) -> bool:
    """Whether what comes of `source` may be kept: it is known what it will be, and a later try can begin behind it."""
    seekable = getattr(source, "seekable", None)
    return put.id is not None and put.checksum is not None and seekable is not None and bool(seekable())


class PartialFile:
    """The kept part of `put` in `folder`, held by this object until another takes it. A context manager that closes it."""

    def __init__(self, folder: str, put: FilePut, sums: RunningSums) -> None:
        """To be made under the run's lock. There is no file before the first block."""
        self._put = put
        self._sums = sums
        digest = blake2b(f"{put.id}\0{put.checksum}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self._stem = os.path.join(folder, f"{TEMPORARY}part@{digest}.")
        found = self._found(folder)
        self._birth = found.split(".")[-2] if found else new_id()[:8]
        self.path = f"{self._stem}{self._birth}.{new_id()[:16]}"
        self._fd: int | None = None
        self.size = 0
        if found:
            self._fd = os.open(found, _OPEN)
            with self._locked(self._fd):
                os.rename(found, self.path)
                self.size = os.fstat(self._fd).st_size

    def _found(self, folder: str) -> str:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            return next((entry.path for entry in entries if entry.path.startswith(self._stem)), "")
        return ""

    def fill(self, source: BinaryIO) -> str:
        """Write what is missing of `source`, durably; the sha256 of the whole. What came before `source` failed stays."""
        start = source.tell()
        key = (self._stem, self._birth)
        total = self._sums.reach(key, self.size, self._read)
        source.seek(start + self.size)
        try:
            while block := source.read(_BLOCK):
                self._write(block)
                total.update(block)
        finally:
            self._sums.note(key, self.size, total)
        with not_stored(self.path):
            os.fsync(self._opened())
        found = total.hexdigest()
        try:
            check_content(self._put, self.size, found)
        except InvalidInput:
            self.remove()
            raise
        return found

    def take(self) -> None:
        """From here on nobody else goes on with it: see that nobody has. To be called under the run's lock."""
        with self._locked(self._opened()):
            self._check()

    def remove(self) -> None:
        """Nobody is to go on with this."""
        self._sums.forget((self._stem, self._birth))
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def __enter__(self) -> PartialFile:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(self, *exception: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = os.open(self.path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
        return self._fd

    def _read(self, at: int, most: int) -> bytes:
        return os.pread(self._opened(), most, at)

    def _write(self, block: bytes) -> None:
        fd = self._opened()
        with self._locked(fd):
            self._check()
            try:
                with not_stored(self.path):
                    if _ZEROS.startswith(block):
                        os.ftruncate(fd, self.size + len(block))
                    else:
                        _write_at(fd, block, self.size)
            except OSError:  # a full disk, mostly: what is kept would keep it full
                self.remove()
                raise
        self.size += len(block)

    def _check(self) -> None:
        try:
            mine = os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._opened()))
        except FileNotFoundError:
            mine = False
        if not mine:
            raise Unavailable("the same file is being sent by somebody else as well; try again.", 0.0)

    @contextmanager
    def _locked(self, fd: int) -> Iterator[None]:
        """For a block's time. A file system without locks has only one writer, as for rows."""
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)


def _write_at(fd: int, block: bytes, at: int) -> None:
    left = memoryview(block)
    while left:
        written = os.pwrite(fd, left, at)
        left, at = left[written:], at + written
