"""CuttingProxy: between a client and a server on loopback, it fails as networks do, one request at a time, as a test says.

    with live(app) as url, CuttingProxy(url) as proxy:
        store = RemoteStore(proxy.url)
        proxy.plan(Lose(), Pass(), Answer(429, headers={"Retry-After": "3"}))
        store.update_run(...)                    # has its effect; the client does not hear of it

Each request takes the next act of the plan; when there is none left, `otherwise` (`Pass`) is what happens. `proxy.only` says
which requests take part. `refuse` and `listen` close and open the port, `cut` ends the connections there are, as a restart does.
`connections` and `requests` tell what came. Everything is HTTP/1.1 in the clear, no pipelining, threads of the test's process.
"""

from __future__ import annotations

import http
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from tests.server.proxy_port import ProxyPort

_HEAD = 1 << 20


class Pass:
    """Request and answer go through."""

    def run(self, exchange: Exchange) -> bool:
        """Do it. Whether the client's connection stays open."""
        exchange.forward()
        return exchange.answer(exchange.client.sendall)


@dataclass(frozen=True)
class Lose(Pass):
    """The server has the whole request and has answered; of the answer the client gets `after` bytes (below 0: all but as many),
    then its connection ends, with `reset` by RST. What the request was to do has been done when the client learns of it."""

    after: int = 0
    reset: bool = False

    def run(self, exchange: Exchange) -> bool:
        exchange.forward()
        answer = bytearray()
        exchange.answer(answer.extend)
        exchange.client.sendall(answer[: self.after])
        if self.reset:
            exchange.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


@dataclass(frozen=True)
class CutRequest(Pass):
    """The server gets the first `after` bytes of the request, head included, then both connections end."""

    after: int

    def run(self, exchange: Exchange) -> bool:
        exchange.forward(most=self.after)
        return False


@dataclass(frozen=True)
class Stall(Pass):
    """The request is taken, and there is silence until the client goes or the proxy closes. With `forward`, the server has it."""

    forward: bool = False

    def run(self, exchange: Exchange) -> bool:
        if self.forward:
            exchange.forward()
            exchange.answer(lambda _: None)
        else:
            exchange.take()
        exchange.await_client()
        return False


@dataclass(frozen=True)
class Answer(Pass):
    """The proxy's own answer; the server hears nothing. With `raw`, these bytes, HTTP or not, are all that comes."""

    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def run(self, exchange: Exchange) -> bool:
        exchange.take()
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        said = ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body
        exchange.client.sendall(said if self.raw is None else self.raw)
        return self.raw is None


@dataclass(frozen=True)
class Slow(Pass):
    """Request and answer go through `piece` bytes at a time, with `seconds` before each."""

    seconds: float
    piece: int = 1024

    def run(self, exchange: Exchange) -> bool:
        exchange.forward(by=self._slowly)
        return exchange.answer(self._slowly(exchange.client.sendall))

    def _slowly(self, send: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def slowly(data: bytes) -> None:
            for at in range(0, len(data), self.piece):
                time.sleep(self.seconds)
                send(data[at : at + self.piece])

        return slowly


@dataclass(frozen=True)
class Request:
    """What a request's first line says."""

    method: str
    target: str


class Exchange:
    """One request on the client's connection, with the server's connection made for it alone."""

    def __init__(self, client: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self.client = client
        self.server: socket.socket | None = None
        self._connect = connect
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
        self._begun: list[bytes] = []
        self._head: h11.Request | None = None
        self._whole = False

    def begin(self) -> Request | None:
        """The request's first line once its head is there; None where the client has gone instead."""
        while self._head is None:
            data = self.client.recv(65536)
            if not data:
                return None
            self._begun.append(data)
            self._feed(data)
        return Request(self._head.method.decode(), self._head.target.decode())

    def _feed(self, data: bytes) -> None:
        for event in _events(self._parser, data):
            self._head = event if isinstance(event, h11.Request) else self._head
            self._whole = isinstance(event, h11.EndOfMessage)

    def _pieces(self) -> Iterator[bytes]:
        """The request's bytes, those that are there already first."""
        yield b"".join(self._begun)
        while not self._whole:
            data = self.client.recv(65536)
            if not data:
                raise ConnectionError("the client went in the middle of its request")
            self._feed(data)
            yield data

    def take(self) -> None:
        """The whole request, for nobody."""
        deque(self._pieces(), maxlen=0)

    def forward(
        self,
        most: int | None = None,
        by: Callable[[Callable[[bytes], None]], Callable[[bytes], None]] = lambda send: send,
    ) -> None:
        """The request to the server, as it comes; no more than `most` bytes of it. A server that stops reading has answered."""
        self.server = self._connect()
        send, left = by(self.server.sendall), most
        for piece in self._pieces():
            try:
                send(piece[:left])
            except (BrokenPipeError, ConnectionResetError):
                self.take()
                return
            if left is not None and (left := left - len(piece)) <= 0:
                return

    def answer(self, to: Callable[[bytes], None]) -> bool:
        """The server's answer `to` a function, as it comes. Whether the connection may serve another request."""
        assert self.server is not None
        assert self._head is not None
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        parser.send(h11.Request(method=self._head.method, target=self._head.target, headers=[("Host", "proxy")]))
        parser.send(h11.EndOfMessage())
        while True:
            data = self.server.recv(65536)
            whole = any(isinstance(event, h11.EndOfMessage) for event in _events(parser, data))
            to(data)
            if whole:
                return bool(data) and parser.their_state is h11.DONE

    def await_client(self) -> None:
        """Return when the client has gone."""
        while self.client.recv(65536):
            pass


def _events(parser: h11.Connection, data: bytes) -> Iterator[object]:
    """What `data` brings, up to the end of the message. Raises `h11.ProtocolError` where it is no HTTP, or ends early."""
    parser.receive_data(data)
    while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        yield event
        if isinstance(event, h11.EndOfMessage):
            return


class CuttingProxy(ProxyPort):
    """See the module's text. A context manager; closing it ends its connections and threads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.otherwise: Pass = Pass()
        self.only: Callable[[Request], bool] = lambda _: True
        self.requests: list[Request] = []
        self._plan: deque[Pass] = deque()
        super().__init__(parts.hostname, parts.port)

    @property
    def url(self) -> str:
        """Where clients reach the server through this."""
        return f"http://127.0.0.1:{self.port}"

    def plan(self, *acts: Pass) -> None:
        """What happens to the next requests, one act each, after what was planned before."""
        with self._mutex:
            self._plan.extend(acts)

    def heal(self) -> None:
        """From now on everything goes through: what is left of the plan, and `otherwise`, are forgotten."""
        with self._mutex:
            self._plan.clear()
            self.otherwise = Pass()

    @property
    def left(self) -> int:
        """How many acts of the plan no request has taken yet."""
        return len(self._plan)

    # ------------------------------------------------------------ connections

    def serve(self, client: socket.socket) -> None:
        stays = True
        try:
            while stays:
                exchange = Exchange(client, self.connect)
                try:
                    request = exchange.begin()
                    stays = request is not None and self._act(request).run(exchange)
                finally:
                    if exchange.server is not None:
                        self.end(exchange.server)
        except (OSError, h11.ProtocolError):
            pass  # either side went: so does the other
        finally:
            self.end(client)

    def _act(self, request: Request) -> Pass:
        with self._mutex:
            self.requests.append(request)
            if not self.only(request):
                return Pass()
            return self._plan.popleft() if self._plan else self.otherwise
