"""A server process: a store, the app over it, the edge around that, and uvicorn; from the start to an end that loses nothing.

Start: the port is taken before anything is served, and a server that others can reach has tokens or does not start. End
(SIGTERM, SIGINT): no new connections, requests in flight get `Settings.stop` seconds, then the store is flushed and closed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from typing import IO

import uvicorn
from starlette.routing import Route

import ml_dash
from ml_dash.errors import InvalidInput
from ml_dash.server.access_log import Log, LogHandler
from ml_dash.server.app import create_app
from ml_dash.server.auth import Gate, LiveTokens
from ml_dash.server.connection import Waits, limited
from ml_dash.server.edge import Edge
from ml_dash.server.metrics import Metrics, metered
from ml_dash.server.readiness import Readiness
from ml_dash.server.settings import Settings
from ml_dash.server.tokens import TokenFile
from ml_dash.store import open_store
from ml_dash.store.base import Store

_AFTERWARDS = 20.0
"""Seconds that flushing and closing may take once no request is left; a disk that hangs must not keep the process."""
_MOST_FILES = 16_384
"""Descriptors that the server asks the system for."""
_BACKLOG = 1024


def compose(
    store: Store, settings: Settings, log: Log, *, local: bool = True, clock: Callable[[], float] = time.time
) -> Edge:
    """The whole server as one ASGI app. `local` is whether it listens on loopback alone, `clock` what tokens expire by."""
    metrics = Metrics()
    tokens = LiveTokens(TokenFile(settings.store), log)
    gate = Gate(tokens, local=local, allowed_hosts=settings.allowed_hosts, clock=clock)
    app = create_app(metered(store, metrics), settings.limits())
    routes = {route.endpoint: route.path for route in app.routes if isinstance(route, Route)}
    return Edge(app, gate, Readiness(store, settings.store), metrics, log, routes=routes)


def serve(settings: Settings, out: IO[str]) -> None:
    """Serve until a signal comes. Lines of JSON go to `out`, sentences for people to standard error. Raises `InvalidInput`,
    `CorruptData` for damaged tokens, and `OSError`, before anything is served."""
    file = TokenFile(settings.store)
    _check_folder(settings.store)
    log = Log(out, settings.log_level)
    with closing(_bound(settings)) as listener:
        local = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
        tokens = len(file.load())
        if not local and not tokens:
            raise InvalidInput(_open_to_all(settings))
        with _in_words(settings):
            listener.listen(_BACKLOG)
        store = open_store(settings.store, descriptors=_descriptors())
        server = _Server(_config(compose(store, settings, log, local=local), settings), settings, log, tokens)
        with server.signals(), _library_logs(log, settings.log_level):
            try:
                server.run([listener])
            finally:
                with _deadline(_AFTERWARDS, log), closing(store):
                    store.flush()
            log.write("info", "stopped")


def _descriptors() -> int:
    """How many files of series are kept open: half of what this process may have, once it has asked for more. The rest is for
    connections. Opening a file again costs more than a row."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return max(4, min(_MOST_FILES if soft == resource.RLIM_INFINITY else soft, _MOST_FILES) // 2)


def _check_folder(folder: str) -> None:
    """Raise `OSError` where nothing can be written to the folder, which is made if need be."""
    os.makedirs(folder, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".tmp-"):
            pass
    except OSError as e:
        raise OSError(e.errno, f"the store's folder cannot be written: {e.strerror}", folder) from None


def _bound(settings: Settings) -> socket.socket:
    """The socket, bound to its address; nobody can connect yet."""
    host = settings.host
    try:
        found = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as e:
        raise InvalidInput(f"host: {host!r} is no name or address of this machine ({e}).") from e
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        with _in_words(settings):
            listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _in_words(settings: Settings) -> Iterator[None]:
    """Let an error of the socket say what to do."""
    try:
        yield
    except OSError as e:
        raise OSError(e.errno, _why_not(e, settings.host, settings.port)) from e


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: another server runs there. Stop it, or give another --port (0 takes a free one)."
    if error.errno == errno.EACCES:
        return f"port {port} is not for ordinary users; give --port 1024 or higher."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; give --host one that it has."
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def _open_to_all(settings: Settings) -> str:
    return (
        f"{settings.host} can be reached from other machines, and there is no token: anybody could read and delete everything. "
        f"Make one with `ml-dash token create --scope write --store {settings.store}`, or listen on 127.0.0.1."
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
        backlog=_BACKLOG,
    )


class _Server(uvicorn.Server):
    """Uvicorn's server, that says where it listens, and whose end by a signal is an ordinary end."""

    def __init__(self, config: uvicorn.Config, settings: Settings, log: Log, tokens: int) -> None:
        super().__init__(config)
        self._settings = settings
        self._log = log
        self._tokens = tokens

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
        await super().startup(sockets)
        if self.started and sockets:
            self._tell(sockets[0])

    def _tell(self, listener: socket.socket) -> None:
        address, port = listener.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{port}"
        store = os.path.abspath(self._settings.store)
        self._log.announce(
            "listening", url=url, host=address, port=port, store=store, tokens=self._tokens, pid=os.getpid()
        )
        who = (
            f"asks for a token ({self._tokens} made)"
            if self._tokens
            else "has no tokens, so only this machine is let in"
        )
        sys.stderr.write(f"ml-dash {ml_dash.__version__} serves {store} at {url}. It {who}. Ctrl-C ends it.\n")
        sys.stderr.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's, told, and with an end."""
        self._log.write("info", "stopping", requests=len(self.server_state.tasks))
        with _deadline(self._settings.stop + _AFTERWARDS, self._log):
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
