"""Files, streamed both ways: a body that comes by events to a store that reads, and a stream of bytes to an answer. Never more than a
block in memory. Knows the bodies of requests and answers, and no store.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, cast
from urllib.parse import quote

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ml_dash.errors import Conflict
from ml_dash.model import FileRecord
from ml_dash.server import bodies
from ml_dash.server.asgi import is_known
from ml_dash.server.refusals import Late, Refused, too_large
from ml_dash.server.streaming import Streamed
from ml_dash.server.threads import Threads

BLOCK = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CODE = re.compile(r"(text|application)/(x-)?(css|javascript|ecmascript|jscript|livescript)", re.IGNORECASE)
_UNSAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}
"""A file is whatever somebody uploaded: no browser is to run it in the server's name."""


# ---------------------------------------------------------------- uploads


class Upload:
    """The body of a request as a stream whose `read` blocks, for a store in a thread of its own. `read` raises `Late` where the
    client sends nothing for `stall` seconds or goes away, and `Refused` beyond `limit` bytes.

    With an `offset` the body is the rest of a file from that byte on. It can seek: there alone, before the first read; to another
    place is a `Conflict` whose ``expected`` is that place. All that came before the client went away is read."""

    def __init__(self, request: Request, limit: int | None, stall: float, offset: int | None = None) -> None:
        """To be made in the event loop. Raises `Refused` where the file is too large or comes in a coding."""
        if bodies.coding_of(request):
            raise Refused(415, "Content-Encoding: a file is sent as it is; leave the header out.")
        self._length = bodies.declared_length(request, "the file", limit)
        if limit is not None and (offset or 0) + (self._length or 0) > limit:
            raise too_large("the file", limit)
        self._limit = limit
        self._stall = stall
        self._parts = request.stream()
        self._loop = asyncio.get_running_loop()
        self._kept = bytearray()
        self._came = 0
        self._ended = self._stopped = False
        self._offset = offset
        self._placed = not offset
        self._late: Late | None = None
        self._pending: Future[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer at the end only, or before `Late`; all that is left for a negative size."""
        if not self._placed:
            self.seek(0)
        self._pending = asyncio.run_coroutine_threadsafe(self._gather(size if size >= 0 else 1 << 62), self._loop)
        return self._pending.result()

    def seekable(self) -> bool:
        return self._offset is not None

    def tell(self) -> int:
        return 0

    def seek(self, place: int, whence: int = 0, /) -> int:
        """To where the body begins. Raises `Conflict` for any other place."""
        if whence or place != self._offset:
            raise Conflict(f"offset: {place} bytes of the file are here, got {self._offset}. Go on from there.", place)
        self._placed = True
        return place

    async def _gather(self, size: int) -> bytes:
        if self._late is not None:
            raise self._late
        while len(self._kept) < size and not self._ended:
            try:
                await self._receive()
            except Late as e:
                if self._offset is None or not self._kept:
                    raise
                self._late = e
                break
        taken = bytes(self._kept[:size])
        del self._kept[:size]
        return taken

    async def _receive(self) -> None:
        if self._stopped:
            raise Late("the upload was given up.")
        part: bytes | None = None
        try:
            with anyio.move_on_after(self._stall) as scope:
                part = await anext(self._parts, None)
        except ClientDisconnect as e:
            raise Late("the file came in part: the connection broke.") from e
        if scope.cancelled_caught:
            raise Late(f"the file came in part: nothing more came for {self._stall:g} s.")
        if part is None:
            self._ended = True
            if self._length not in (None, self._came):
                raise Late(f"the file came in part: {self._came} of {self._length} bytes.")
            return
        self._came += len(part)
        if self._limit is not None and (self._offset or 0) + self._came > self._limit:
            raise too_large("the file", self._limit)
        self._kept += part

    def stop(self) -> None:
        """Nobody waits for this request any more: whoever reads it hears of that."""
        self._stopped = True
        if self._pending is not None:
            self._pending.cancel()

    def as_stream(self) -> BinaryIO:
        """As the type that a store takes: of which it calls `read` alone."""
        return cast("BinaryIO", self)


class Receiving:
    """The uploads that this process is in the middle of. When a client comes back, what it sent before may still be on its way
    through here: it is worth a moment to let that arrive. For the event loop alone."""

    def __init__(self, patience: float = 5.0) -> None:
        self._patience = patience
        self._ends: dict[Hashable, asyncio.Event] = {}

    async def settled(self, upload: Hashable) -> None:
        """Return once nobody sends this, or has gone silent in the middle."""
        if (end := self._ends.get(upload)) is not None:
            with anyio.move_on_after(self._patience):
                await end.wait()

    @contextmanager
    def one(self, upload: Hashable) -> Iterator[None]:
        """While it is received."""
        end = self._ends[upload] = asyncio.Event()
        try:
            yield
        finally:
            end.set()
            if self._ends.get(upload) is end:
                del self._ends[upload]


class Place:
    """A source that a store asks for nothing but where it would go on: the first `seek` or `read` raises `Reached`."""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, place: int, whence: int = 0, /) -> int:
        raise Reached(place)

    def read(self, size: int = -1) -> bytes:
        raise Reached(0)

    def as_stream(self) -> BinaryIO:
        """As the type that a store takes."""
        return cast("BinaryIO", self)


class Reached(Exception):
    """So many bytes of a file are kept."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


# ---------------------------------------------------------------- downloads


def download(request: Request, record: FileRecord, stream: BinaryIO, threads: Threads, stall: float) -> Response:
    """The answer with the bytes of `stream`, or the range of them that was asked for, or that who asks has them; it closes the
    stream."""
    size = record.size_bytes
    tag = f'"{record.checksum}"'
    headers = {**_UNSAFE, "ETag": tag, "Content-Disposition": _attachment(record.filename)}
    if is_known(request.scope, tag):
        stream.close()
        return Response(None, 304, headers)
    try:
        first, stop = _wanted(request, size, tag)
    except Refused:
        stream.close()
        raise
    status = 200
    if (first, stop) != (0, size):
        status = 206
        headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - first)
    headers["Content-Type"] = _content_type(record.content_type)
    if request.method == "HEAD":
        stream.close()
        return Response(None, status, headers)
    return Streamed(_blocks(stream, first, stop, threads), status, headers, stall, stream.close)


async def _blocks(stream: BinaryIO, first: int, stop: int, threads: Threads) -> AsyncIterator[bytes]:
    left = stop - first
    await threads.run(partial(_skip, stream, first))
    while left > 0:
        block = await threads.run(partial(stream.read, min(BLOCK, left)))
        if not block:
            raise OSError(f"a file ends {left} bytes before its record says; `ml-dash doctor` tells which.")
        left -= len(block)
        yield block


def _skip(stream: BinaryIO, size: int) -> None:
    if stream.seekable():
        stream.seek(size)
        return
    while size > 0 and (block := stream.read(min(BLOCK, size))):
        size -= len(block)


def _wanted(request: Request, size: int, tag: str) -> tuple[int, int]:
    """[first, stop) of the bytes to send: all of them unless one range of this very content is asked for."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or request.headers.get("if-range", tag) != tag or asked.groups() == ("", ""):
        return 0, size
    first, last = asked.groups()
    if not first:
        begin, stop = max(0, size - int(last)), size
    else:
        begin, stop = int(first), min(size, int(last) + 1 if last else size)
    if begin >= size or begin >= stop:
        text = f"Range: the file has {size} bytes; got {asked.string!r}."
        raise Refused(416, text, {"Content-Range": f"bytes */{size}"})
    return begin, stop


def _attachment(filename: str) -> str:
    """To be saved, under its own last name, never shown in the server's name."""
    name = filename.rsplit("/", 1)[-1]
    plain = "".join(letter if " " <= letter <= "~" and letter not in '"\\%' else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _content_type(told: str) -> str:
    """What the uploader said, if it can stand in a header. Code for a page is text: a page of ours may load scripts of its own origin,
    and this is none."""
    if _CODE.match(told):
        return "text/plain; charset=utf-8"
    return (
        told if re.fullmatch(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)*", told, re.ASCII) else "application/octet-stream"
    )
