"""What one connection may take: how long its head, its body and its client's reading may pause, how large a head may be.
Uvicorn's protocol with these limits; knows no route and no token.

A connection is cheap to open and each one holds memory, so whoever opens many and says little must be hung up on. Bodies have
limits of their own in the app, which answers; what is here is for what never reaches it.
"""

from __future__ import annotations

import asyncio

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml_dash.server.asgi import raw_answer
from ml_dash.server.edge import MAX_HEAD
from ml_dash.store.wire import Problem


class Waits(msgspec.Struct, frozen=True):
    """Seconds."""

    head: float = 20.0
    """From the first byte of a head (or the connection's begin) to its last: slow heads are an attack, not a slow network."""
    body: float = 90.0
    """Between two pieces of a body. More than the app's own limit, which answers with what is wrong."""
    linger: float = 10.0
    """For the rest of a body that was answered before its end, so that a client that still sends gets to read the answer."""
    reading: float = 90.0
    """Without the client taking anything of an answer."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    waits = Waits()
    most = 10_000
    """Connections at one time: each takes a descriptor, and the store needs some too."""
    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _in_head = False
    _in_body = False
    _lingers = False
    _unparsed = 0
    """Bytes that came since the last piece of a body, or of a request since its begin: a head, trailers, the like."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            text = f"the server has as many connections as it takes ({self.most:,}); try again in a moment."
            transport.write(raw_answer(503, Problem("Unavailable", text, retry_after=1.0)))
            transport.close()
        else:
            self._start(self.waits.head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._stop()
        elif self._unparsed > MAX_HEAD and (self._in_head or self._in_body):
            text = f"the request's head is longer than {MAX_HEAD:,} bytes, or its body has no end."
            self._hang_up(431, text)
        elif self._in_body and not self._lingers:
            self._start(self.waits.body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unparsed = 0
        self._in_head = True
        self._start(self.waits.head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers, which come after a body, are nobody's headers."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = True
        self._lingers = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._lingers = True
            self._start(self.waits.linger)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.waits.reading, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _start(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_body and self.flow.read_paused and not self._lingers:
            self._start(self.waits.body)  # it is the app that does not read
        elif self._in_head:
            self._hang_up(408, f"the request's head did not end within {self.waits.head:g} s.")
        else:
            self.transport.abort()

    def _hang_up(self, status: int, text: str) -> None:
        """Close the connection; with an answer where none is on its way."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(raw_answer(status, Problem("InvalidInput", text)))
            self.transport.close()
        else:
            self.transport.abort()


def limited(waits: Waits, most: int) -> type[Connection]:
    """The protocol with these waits, for at most so many connections."""
    return type("LimitedConnection", (Connection,), {"waits": waits, "most": most})
