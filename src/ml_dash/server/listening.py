"""The socket that a server listens on, and what is said of it: bound before anything else is done, with errors that say what to do."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ml_dash
from ml_dash.errors import InvalidInput
from ml_dash.server.access_log import Log
from ml_dash.server.settings import Settings

BACKLOG = 1024


def bound(settings: Settings) -> socket.socket:
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
        with in_words(settings):
            listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def in_words(settings: Settings) -> Iterator[None]:
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


def announce(listener: socket.socket, settings: Settings, log: Log, tokens: int, **more: Any) -> None:
    """Say where the server listens, to programs in the log and to people on standard error. `tokens` is how many there are."""
    address, port = listener.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{port}"
    place = settings.place
    log.announce("listening", url=url, host=address, port=port, store=place, tokens=tokens, pid=os.getpid(), **more)
    who = f"asks for a token ({tokens} made)" if tokens else "has no tokens, so only this machine is let in"
    sys.stderr.write(f"ml-dash {ml_dash.__version__} serves {place} at {url}. It {who}. Ctrl-C ends it.\n")
    sys.stderr.flush()
