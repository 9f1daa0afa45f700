"""Bodies of requests, received and decompressed within limits. Memory is the subject: whatever a client sends, it never takes more
than its limit, and all of them together never more than the budget. Knows no route.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import zstandard
from starlette.requests import ClientDisconnect, Request

from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.server.refusals import Late, Refused, too_large

WINDOW = 8 * 1024 * 1024
"""Bytes that a zstd frame may refer back: what RFC 9659 has for HTTP."""
_SLICE = 512
"""Compressed bytes that are decompressed in one step. One zstd block of four bytes may give 128 KB, so that a step may overshoot
a limit by 16 MB."""
_PIECE = 64 * 1024
_STEP = 1024 * 1024
_GZIP = 31
FRAMES = 64
"""Frames of zstd, or members of gzip, in one body: each costs as much to begin as it costs to send a hundred."""


class Budget:
    """Bytes that may be in memory at one time. Any thread may take and give."""

    def __init__(self, most: int, retry_after: float = 1.0) -> None:
        self.most = most
        self.taken = 0
        self._retry_after = retry_after
        self._mutex = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """What is taken in here is given back at its end."""
        held = Held(self)
        try:
            yield held
        finally:
            held.release()

    def take(self, size: int) -> None:
        """Raises `Unavailable` where there is no room now."""
        with self._mutex:
            if self.taken + size > self.most:
                raise Unavailable(
                    "the server has as many requests in memory as it takes; send this again in a moment.",
                    self._retry_after,
                )
            self.taken += size

    def give(self, size: int) -> None:
        with self._mutex:
            self.taken -= size


class Held:
    """One request's share of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def take(self, size: int) -> None:
        self._budget.take(size)
        self._size += size

    def release(self) -> None:
        self._budget.give(self._size)
        self._size = 0


# ---------------------------------------------------------------- receiving


def declared_length(request: Request, what: str, limit: int | None) -> int | None:
    """What Content-Length says, None where there is none. Raises `Refused` where it is beyond the limit."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise Refused(400, f"Content-Length: expected a number of bytes; got {text[:40]!r}.")
    size = int(text[:20])
    if limit is not None and size > limit:
        raise too_large(what, limit)
    return size


async def receive(request: Request, what: str, limit: int, stall: float, held: Held) -> bytes:
    """The whole body as it was sent. Raises `Refused`, and `Late` where the client stops in the middle."""
    declared_length(request, what, limit)
    whole, body = b"", bytearray()
    try:
        with anyio.move_on_after(stall) as scope:
            async for part in request.stream():
                held.take(len(part))
                if len(whole) + len(body) + len(part) > limit:
                    raise too_large(what, limit)
                if not whole and not body:
                    whole = part  # mostly the only one: not copied
                else:
                    body += whole + part
                    whole = b""
                scope.deadline = anyio.current_time() + stall
    except ClientDisconnect as e:
        raise Late(f"{what} came in part: the connection broke.") from e
    if scope.cancelled_caught:
        raise Late(f"{what} came in part: nothing more came for {stall:g} s.")
    return bytes(body) if body else whole


# ---------------------------------------------------------------- decompressing


def coding_of(request: Request) -> str:
    """The one coding of the body, "" where it is sent as it is. Raises `Refused`."""
    text = request.headers.get("content-encoding", "")
    codings = [part.strip().lower() for part in text.split(",") if part.strip().lower() not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in _DECODERS:
        raise Refused(415, f"Content-Encoding: expected zstd or gzip, or none; got {text[:60]!r}.")
    return codings[0]


def decompressed(body: bytes, coding: str, what: str, limit: int, held: Held) -> bytes:
    """The body behind its coding. Takes long for a large one: not for the event loop."""
    if not coding:
        return body
    out = _Out(what, limit, held)
    try:
        return _DECODERS[coding](body, out)
    except (zstandard.ZstdError, zlib.error) as e:
        raise InvalidInput(f"{what} is not whole {coding} data: {e}") from e


class _Out:
    """Where decompressed bytes go, counted as they come."""

    def __init__(self, what: str, limit: int, held: Held) -> None:
        self.data = bytearray()
        self.what = what
        self.limit = limit
        self._held = held

    def add(self, part: bytes) -> None:
        self.expect(len(part))
        self.data += part

    def expect(self, size: int) -> None:
        """As many bytes are about to come."""
        if len(self.data) + size > self.limit:
            raise too_large(f"{self.what}, decompressed,", self.limit)
        self._held.take(size)


def _zstd(body: bytes, out: _Out) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    size = zstandard.frame_content_size(body)
    if size > 0:
        out.expect(size)
        try:
            # A frame that says how large it is, and is all of the body: what our own client sends.
            return decompressor.decompress(body, allow_extra_data=False)
        except zstandard.ZstdError:
            pass
    frame = decompressor.decompressobj()
    at, frames = 0, 1
    while at < len(body):
        if frame.eof:
            frame, frames = decompressor.decompressobj(), _one_more(frames)
        part = body[at : at + _SLICE]
        out.add(frame.decompress(part))
        at += len(part) - len(frame.unused_data)
    if not frame.eof:
        raise zstandard.ZstdError("it ends early")
    return bytes(out.data)


def _gzip(body: bytes, out: _Out) -> bytes:
    member = zlib.decompressobj(wbits=_GZIP)
    at, members = 0, 1
    while at < len(body):
        if member.eof:
            member, members = zlib.decompressobj(wbits=_GZIP), _one_more(members)
        part = body[at : at + _PIECE]
        at += len(part)
        while part and not member.eof:
            out.add(member.decompress(part, _STEP))
            part = member.unconsumed_tail
        at -= len(member.unused_data)
    while not member.eof:
        part = member.decompress(b"", _STEP)
        if not part:
            raise zlib.error("it ends early")
        out.add(part)
    return bytes(out.data)


def _one_more(frames: int) -> int:
    if frames == FRAMES:
        raise zlib.error(f"it has more than {FRAMES} frames")
    return frames + 1


_DECODERS: dict[str, Callable[[bytes, _Out], bytes]] = {"zstd": _zstd, "gzip": _gzip, "x-gzip": _gzip}
