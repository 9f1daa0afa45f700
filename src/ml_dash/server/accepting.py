"""Taking connections from a socket that other processes take them from too: one at a time, so that each gets its share.

An event loop's own server takes all that wait as soon as it wakes up: of sixteen clients that come together, the first worker
would have sixteen for as long as they stay.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger("ml_dash.server")
_AGAIN = 1.0
"""Seconds until the next try where the system had no descriptor or memory for a connection."""


class Acceptor:
    """Takes connections from `listener` until it is closed; each is served by a new protocol of `make`."""

    def __init__(self, listener: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = True
        listener.setblocking(False)
        self._begin()

    def _begin(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener.fileno(), self._take)

    def _take(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was first, or the client has gone
        except OSError as e:
            _log.warning("no connection can be taken: %s. It is tried again in %g s.", e.strerror, _AGAIN)
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(_AGAIN, self._begin)
            return
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:
            connection.close()

    def close(self) -> None:
        """Take no more. The listener is its owner's to close."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener.fileno())
