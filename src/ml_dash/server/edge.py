"""The edge: what every request passes before and after the app. Pure ASGI around any app; knows no route of the app's.

On the way in: an id, a look at where it comes from and who sent it (`Gate`), and the routes that are about the server itself.
On the way out: the headers that every answer has, a line in the log, figures. A request that is refused never reaches the app.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ml_dash.server.access_log import REQUEST_ID, Log
from ml_dash.server.asgi import App, HttpScope, Message, Receive, Refused, Send, answer, header_values, refuse
from ml_dash.server.auth import Gate
from ml_dash.server.metrics import CONTENT_TYPE, Metrics
from ml_dash.server.page import ROUTE, Page
from ml_dash.server.readiness import Readiness
from ml_dash.store.wire import Problem, dump

MAX_HEAD = 64 * 1024
"""Bytes of a request's head: path, query and headers."""
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_DATA = (
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # A stored file may be a page. Opened by its address it must not act as one of ours.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)
"""Of answers that are data; what the app has set itself stays, in these and in those below."""
_PAGE = (
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    ),
)
"""Of our own pages."""
_NO_ROUTE = "(none)"
_STOPPING = 5.0
"""Seconds after which to send again what was given up when the server stopped."""
_CLIENT_LEFT = 499
"""The status in the log of a request whose client went away; it is sent to nobody."""


class Edge:
    """`app` behind `gate`, with the routes /health, /ready and /metrics. `routes` are the templates of the app's routes by their
    endpoints, as ASGI frameworks leave them in the scope; `page` is what the app serves to people without a token, too."""

    def __init__(
        self,
        app: App,
        gate: Gate,
        readiness: Readiness,
        metrics: Metrics,
        log: Log,
        *,
        routes: Mapping[Any, str] | None = None,
        page: Page | None = None,
        ending: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`ending` is called when the server is about to stop: answers that have no end of their own have theirs then."""
        self._app = app
        self._gate = gate
        self._readiness = readiness
        self._metrics = metrics
        self._log = log
        self._routes = routes or {}
        self._page = page
        self.end = ending
        self._clock = clock

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """One request; a lifespan goes to the app as it is, and there are no websockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        REQUEST_ID.set(exchange.id)
        self._metrics.in_flight.inc()
        since = self._clock()
        try:
            await self._answer(scope, exchange)
        except asyncio.CancelledError:
            # The server stops, and this took longer than it waits. To the client it is as if the connection had broken.
            if exchange.status:
                raise
            stopping = Problem("Unavailable", "the server is stopping; try again.", retry_after=_STOPPING)
            await refuse(exchange.send, Refused(503, stopping, "stopping", [(b"connection", b"close")]))
        finally:
            self._metrics.in_flight.dec()
            self._note(scope, exchange, self._clock() - since)

    async def _answer(self, scope: HttpScope, exchange: _Exchange) -> None:
        path = scope["path"]
        asks = scope["method"] in ("GET", "HEAD")
        try:
            _check_head(scope)
            if asks and path == "/health":
                exchange.route = path
                await answer(exchange.send, 200, b'{"status": "ok"}')
                return
            for_page = self._page is not None and self._page.is_asked(scope)
            caller = self._gate.admit_to_page(scope) if for_page else self._gate.admit(scope)
        except Refused as e:
            self._metrics.refused.labels(e.reason).inc()
            exchange.refused, exchange.token = e.reason, e.token
            await refuse(exchange.send, e)
            return
        exchange.token = caller.id
        state = scope.setdefault("state", {})
        state["caller"] = caller
        if for_page:
            exchange.route = ROUTE
        if asks and path == "/ready":
            exchange.route = path
            await self._ready(exchange.send)
        elif asks and path == "/metrics":
            exchange.route = path
            await answer(exchange.send, 200, self._metrics.text(), CONTENT_TYPE)
        else:
            await self._app(scope, exchange.receive, exchange.send)
            self._heed(state, exchange)

    def _heed(self, state: Mapping[str, Any], exchange: _Exchange) -> None:
        """What the app has found out of who sent the request: somebody who signed in, or tried to."""
        refused = state.get("refused")
        if isinstance(refused, Refused):
            self._metrics.refused.labels(refused.reason).inc()
            exchange.refused, exchange.token = refused.reason, refused.token
        else:
            exchange.token = state["caller"].id

    async def _ready(self, send: Send) -> None:
        health = await self._readiness.health()
        if health.trouble:
            await answer(send, 503, dump(Problem("Unavailable", health.trouble)))
        elif health.degraded:
            await answer(send, 200, dump({"status": "degraded", "message": health.degraded}))
        else:
            await answer(send, 200, b'{"status": "ok"}')

    def _note(self, scope: HttpScope, exchange: _Exchange, seconds: float) -> None:
        status = exchange.status or (_CLIENT_LEFT if exchange.left else 500)
        route = exchange.route or self._routes.get(scope.get("endpoint"), _NO_ROUTE)
        self._metrics.answered(scope, route, status, seconds, exchange.bytes_in, exchange.bytes_out)
        client = scope.get("client")
        more = {"refused": exchange.refused} if exchange.refused else {}
        self._log.write(
            "error" if status >= 500 else "warning" if status >= 400 else "info",
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 3),
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            token=exchange.token,
            client=client[0] if client else "",
            **more,
        )


class _Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.id = _request_id(scope)
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.token = ""
        self.refused = ""
        self.route = ""
        self.left = False
        self._more = _PAGE if path == "/docs" or path.startswith("/docs/") else _DATA
        self._has_body = scope["method"] != "HEAD"
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        self.left = self.left or message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message)}
        elif self._has_body:
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        own = [(name.lower(), value) for name, value in message.get("headers", ())]
        names = {name for name, _ in own}
        ours = (*_ALWAYS, *self._more)
        kept = [(name, value) for name, value in own if name != b"x-request-id"]
        return [*kept, *(pair for pair in ours if pair[0] not in names), (b"x-request-id", self.id.encode())]


def _request_id(scope: HttpScope) -> str:
    """The client's own, where it is one that does no harm in headers and logs."""
    given = header_values(scope, b"x-request-id")
    return given[0] if len(given) == 1 and _SANE_ID.fullmatch(given[0]) else uuid.uuid4().hex


def _check_head(scope: HttpScope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEAD:
        message = f"the request's path, query and headers take {size:,} bytes; at most {MAX_HEAD:,} are read."
        raise Refused(431, Problem("InvalidInput", message), "head")
