"""A file's bytes in the cold tier: pieces of a few MB, an object each, in and out with two of them in memory.

Why not one object by a multipart upload: an upload that breaks then goes on with the next piece, at any server and in any kind of
store, and what a dead one left is seen in a listing, not hidden and paid for. No record of a file comes in here.
"""

from __future__ import annotations

import hashlib
import io
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ml_dash.errors import CorruptData, MlDashError
from ml_dash.store.patch import new_id

if TYPE_CHECKING:
    from hashlib import _Hash as Sum

    from ml_dash.store.cold import Cold

PIECE = 8 << 20
"""Bytes of a piece; the last one of a file, and of each try of an upload that broke, may be smaller."""
THREADS = 16
_BLOCK = 1 << 20
_CLOSED = "the stream is closed"


class Piece(NamedTuple):
    """An object: the last segment of its key, and its size."""

    name: str
    size: int


class Upload:
    """How far one upload has come: its `pieces` below `prefix` (which ends in "/"), and the sum of their bytes."""

    def __init__(self, prefix: str, pieces: Sequence[Piece] = (), total: Sum | None = None) -> None:
        self.prefix = prefix
        self.pieces = list(pieces)
        self.sum = total if total is not None else hashlib.sha256()

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)


class FilePieces:
    """Pieces below the store `cold`. `piece` is their size. Any thread may use it."""

    def __init__(self, cold: Cold, piece: int = PIECE) -> None:
        self.cold = cold
        self.piece = piece
        self._pool: ThreadPoolExecutor | None = None
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Let the threads go."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def submit(self, call: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Do it on a thread of its own."""
        with self._mutex:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ml-dash files")
            return self._pool.submit(call, *arguments)

    def store(self, source: BinaryIO, upload: Upload, keep: Callable[[Piece, Sum], None] | None = None) -> None:
        """Store what `source` yields until its end behind what `upload` has. `keep` is told of each piece that is there, in order,
        and the sum up to its end; where it is given, all that came before `source` failed is stored."""
        line = _Line(self, upload, keep)
        try:
            while block := source.read(min(_BLOCK, line.room())):
                line.add(block)
        except BaseException:
            with suppress(MlDashError):
                line.end() if keep is not None else line.settle()
            raise
        line.end()

    def missing(self, upload: Upload) -> str:
        """What of the upload is not there as it was written; "" where all is."""
        there = {key.rpartition("/")[2]: size for key, size in self.cold.keys(upload.prefix)}
        wrong = next((piece for piece in upload.pieces if there.get(piece.name) != piece.size), None)
        if wrong is None:
            return ""
        return (
            f"{upload.prefix}{wrong.name} should be {wrong.size} bytes, and {there.get(wrong.name, 'none')} are there"
        )

    def fetch(self, prefix: str, pieces: Sequence[Piece], at: int, most: int) -> bytes:
        """Up to `most` bytes of the file from byte `at` on, as far as one piece goes. Raises `NotFound`, `CorruptData`."""
        starts = [0, *accumulate(piece.size for piece in pieces)]
        number = bisect_right(starts, at) - 1
        key, first = prefix + pieces[number].name, at - starts[number]
        stop = min(first + most, pieces[number].size)
        with self.cold.calling("fetch", key):
            data = bytes(self.cold.reads.get_range(key, start=first, end=stop))
        if len(data) != stop - first:
            raise CorruptData(f"{self.cold.url}/{key}", first + len(data), "the object ends too early,")
        return data


class _Line:
    """Pieces on their way: one is gathered while the one before it is stored."""

    def __init__(self, pieces: FilePieces, upload: Upload, keep: Callable[[Piece, Sum], None] | None) -> None:
        self._pieces = pieces
        self._upload = upload
        self._keep = keep
        self._writer = new_id()[:8]  # two writers of one upload write no object of one name
        self._count = len(upload.pieces)
        self._gathered = bytearray()
        self._sending: tuple[Future[Any], Piece, Sum] | None = None
        self._failed = False

    def room(self) -> int:
        """Bytes that the piece which is gathered still takes."""
        return self._pieces.piece - len(self._gathered)

    def add(self, block: bytes) -> None:
        self._gathered += block
        self._upload.sum.update(block)
        if self.room() <= 0:
            self._send()

    def end(self) -> None:
        """Store the rest; nothing where a piece before it is not there."""
        if self._gathered and not self._failed:
            self._send()
        self.settle()

    def settle(self) -> None:
        """Wait for what is on its way."""
        if self._sending is None:
            return
        (future, piece, total), self._sending = self._sending, None
        self._failed = True
        future.result()
        if self._keep is not None:
            self._keep(piece, total)
        self._upload.pieces.append(piece)
        self._failed = False

    def _send(self) -> None:
        piece = Piece(f"{self._count:06d}-{self._writer}", len(self._gathered))
        data, self._gathered = bytes(self._gathered), bytearray()
        self.settle()
        future = self._pieces.submit(self._pieces.cold.put, self._upload.prefix + piece.name, data)
        self._sending = (future, piece, self._upload.sum.copy())
        self._count += 1


class Stream(io.RawIOBase):
    """A file's bytes, fetched as they are read, one fetch ahead. `fetch(at, most)` gives some bytes from `at` on. Raises
    `CorruptData` in place of the last byte where all were read in order and their SHA-256 is not `checksum`."""

    def __init__(
        self,
        fetch: Callable[[int, int], bytes],
        submit: Callable[..., Future[Any]],
        size: int,
        checksum: str,
        where: str,
        most: int,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._submit = submit
        self._size = size
        self._checksum = checksum
        self._where = where
        self._most = most
        self._step = min(_BLOCK, most)
        self._at = 0
        self._window = memoryview(b"")
        self._window_at = 0
        self._ahead: tuple[int, Future[Any]] | None = None
        self._sum: Sum = hashlib.sha256()
        self._summed = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self.closed:
            raise ValueError(_CLOSED)
        if self._at >= self._size or not len(buffer):
            return 0
        inside = self._at - self._window_at
        if not 0 <= inside < len(self._window):
            self._load()
            inside = 0
        piece = self._window[inside : inside + len(buffer)]
        self._check(piece)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[1].cancel()
        self._window = memoryview(b"")
        super().close()

    def _load(self) -> None:
        """The window that begins at this place. Who reads on gets larger ones, and the next one while this is looked at."""
        reads_on = self._at == self._window_at + len(self._window) > 0
        self._step = min(self._step * 2, self._most) if reads_on else min(_BLOCK, self._most)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == self._at:
            data = ahead[1].result()
        else:
            if ahead is not None:
                ahead[1].cancel()
            data = self._fetch(self._at, self._step)
        self._window, self._window_at = memoryview(data), self._at
        behind = self._at + len(data)
        if reads_on and behind < self._size:
            self._ahead = (behind, self._submit(self._fetch, behind, self._step))

    def _check(self, piece: memoryview) -> None:
        if self._summed != self._at:
            return
        self._sum.update(piece)
        self._summed += len(piece)
        if self._summed == self._size and self._sum.hexdigest() != self._checksum:
            raise CorruptData(self._where, 0, f"the file's bytes have not the SHA-256 of its record, {self._checksum},")
