"""A server process: a store, the app over it, the edge around that, and uvicorn; from the start to an end that loses nothing.

Start: the port is taken before anything is served, and a server that others can reach has tokens or does not start. End
(SIGTERM, SIGINT): no new connections, requests in flight get `Settings.stop` seconds, then the store is flushed and closed.
Several processes on one port are `supervisor`'s; each of them is one of these.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import IO

import uvicorn
from starlette.routing import Route

from ml_dash.errors import InvalidInput
from ml_dash.server.accepting import Acceptor
from ml_dash.server.access_log import Log, LogHandler
from ml_dash.server.app import create_app
from ml_dash.server.auth import Gate, LiveTokens
from ml_dash.server.connection import Waits, limited
from ml_dash.server.edge import Edge
from ml_dash.server.listening import BACKLOG, announce, bound, in_words
from ml_dash.server.metrics import Metrics, metered
from ml_dash.server.page import Page
from ml_dash.server.places import check_place, count_tokens, live_tokens, opened, readiness
from ml_dash.server.settings import Settings
from ml_dash.server.shared_metrics import SharedMetrics
from ml_dash.store.base import Store

AFTERWARDS = 20.0
"""Seconds that flushing and closing may take once no request is left; a disk that hangs must not keep the process."""


def compose(
    store: Store,
    settings: Settings,
    log: Log,
    tokens: LiveTokens,
    *,
    local: bool = True,
    shared: SharedMetrics | None = None,
    clock: Callable[[], float] = time.time,
) -> Edge:
    """The whole server as one ASGI app. `local` is whether it listens on loopback alone, `clock` what tokens expire by."""
    metrics = Metrics(getattr(store, "counts", None), shared)
    gate = Gate(tokens, local=local, allowed_hosts=settings.allowed_hosts, clock=clock)
    page = Page()
    app = create_app(metered(store, metrics), settings.limits(), door=gate, page=page, place=settings.place)
    routes = {route.endpoint: route.path for route in app.routes if isinstance(route, Route)}
    ending = app.state.service.views.stop
    return Edge(app, gate, readiness(store, settings), metrics, log, routes=routes, page=page, ending=ending)


def serve(settings: Settings, out: IO[str]) -> None:
    """Serve until a signal comes. Lines of JSON go to `out`, sentences for people to standard error. Raises `InvalidInput`,
    `CorruptData` for damaged tokens, `Unavailable` for a database that does not answer, and `OSError`, before anything is served."""
    log = Log(out, settings.log_level)
    check_place(settings)
    with listening(settings) as (listener, tokens):
        if settings.workers > 1:
            from ml_dash.server.supervisor import supervise

            supervise(settings, listener, log, tokens)
        else:
            work(settings, listener, log, started=lambda: announce(listener, settings, log, tokens))


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[socket.socket, int]]:
    """The socket, and how many tokens there are; connections wait from here on. Raises as `serve` does, `InvalidInput` where everybody
    would be let in."""
    tokens = count_tokens(settings)
    with closing(bound(settings)) as listener:
        if not tokens and not is_local(listener):
            raise InvalidInput(_open_to_all(settings))
        with in_words(settings):
            listener.listen(BACKLOG)
        yield listener, tokens


def work(
    settings: Settings,
    listener: socket.socket,
    log: Log,
    *,
    started: Callable[[], None],
    shared: SharedMetrics | None = None,
) -> None:
    """Serve in this process until a signal comes; `started` is called once requests are answered."""
    with live_tokens(settings, log) as tokens:
        store = opened(settings)
        edge = compose(store, settings, log, tokens, local=is_local(listener), shared=shared)
        server = _Server(_config(edge, settings), settings, log, started, edge.end, alone=settings.workers == 1)
        gc.collect()
        gc.freeze()  # what libraries have made stays; looking through it again takes longer than many a request
        with server.signals(), _library_logs(log, settings.log_level):
            try:
                server.run([listener])
            finally:
                with _deadline(AFTERWARDS, log), closing(store):
                    store.flush()
    log.write("info", "stopped")


def is_local(listener: socket.socket) -> bool:
    """Whether nobody but this machine reaches the socket."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _open_to_all(settings: Settings) -> str:
    where = f"--store {settings.store}" if settings.mongo is None else "--mongo URI"
    return (
        f"{settings.host} can be reached from other machines, and there is no token: anybody could read and delete everything. "
        f"Make one with `ml-dash token create --scope write {where}`, or listen on 127.0.0.1."
    )


def _config(edge: Edge, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        edge,
        http=limited(Waits(), settings.connections()),
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.stop,
        backlog=BACKLOG,
    )


class _Server(uvicorn.Server):
    """Uvicorn's server, that says where it listens, and whose end by a signal is an ordinary end."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        log: Log,
        tell: Callable[[], None],
        end: Callable[[], None],
        *,
        alone: bool,
    ) -> None:
        """`tell` is called once it serves, `end` when it is about to stop. `alone` is whether no other process takes connections from
        its sockets."""
        super().__init__(config)
        self._end = end
        self._alone = alone
        self._acceptors: list[Acceptor] = []
        self._settings = settings
        self._log = log
        self._tell = tell

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the server, until all is stored; a second SIGINT lets it not wait for requests."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Nothing: see `signals`."""
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's, then tell."""
        await super().startup(sockets if self._alone else [])
        if self.started and not self._alone:
            self._acceptors = [Acceptor(one, self._protocol) for one in sockets or ()]
        if self.started:
            self._tell()

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's, told, and with an end."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._log.write("info", "stopping", requests=len(self.server_state.tasks))
        self._end()
        with _deadline(self._settings.stop + AFTERWARDS, self._log):
            await super().shutdown(sockets)
            await asyncio.sleep(0)


@contextmanager
def _deadline(seconds: float, log: Log) -> Iterator[None]:
    """End the process where the block takes longer. What was acknowledged is on disk by then, whatever hangs."""

    def end() -> None:
        log.write("error", "killed", message=f"It has not ended within {seconds:g} s, so it is ended as it is.")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _library_logs(log: Log, level: str) -> Iterator[None]:
    """What libraries log goes to `log` for the time being."""
    handler, root = LogHandler(log), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
