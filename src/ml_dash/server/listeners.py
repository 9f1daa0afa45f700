"""Server-Sent Events to one page: what waits to be sent, and no more of that than a little. Knows no store and no run."""

from __future__ import annotations

import asyncio
from collections import deque

import anyio
import msgspec

EVENTS = "text/event-stream"
"""Content type of the answer."""
WAITING = 64
"""Events that wait for a listener that does not read, before it is dropped."""
RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a page comes back."""
ALIVE = b":\n\n"
"""A comment: the connection is there, and nothing happened."""

_encode = msgspec.json.Encoder().encode


def event(name: str, data: object) -> bytes:
    """One event. There are no line ends in its JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


class Listener:
    """One page that listens. For the event loop alone."""

    def __init__(self) -> None:
        self.greeted = False
        """Whether it was told how things are."""
        self.ended = False
        self._parts: deque[bytes] = deque()
        self._there = asyncio.Event()

    def put(self, part: bytes) -> None:
        """To be sent, as soon as it takes it; where too much waits already, it is over."""
        if len(self._parts) >= WAITING:
            self.end()
        if not self.ended:
            self._parts.append(part)
            self._there.set()

    def end(self) -> None:
        """No more is sent to it: it comes back, and is told then how things are."""
        self.ended = True
        self._parts.clear()
        self._there.set()

    async def take(self, patience: float) -> bytes:
        """All that waits; empty where nothing came within `patience` seconds, or it is over."""
        with anyio.move_on_after(patience):
            await self._there.wait()
        self._there.clear()
        part = b"".join(self._parts)
        self._parts.clear()
        return part
