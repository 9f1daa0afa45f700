"""The port of a proxy on loopback: it takes connections, closes and opens again, and ends what it began. What goes through is a
subclass's to say.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from typing_extensions import Self

_SECONDS = 60.0
"""How long the service behind may keep silent, and a thread take to end."""
_POLL = 0.02
P = TypeVar("P", bound="ProxyPort")


class ProxyPort:
    """A port in front of `behind`, each connection on a thread of its own. A context manager; closing it ends connections and threads."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.connections = 0
        self.listen()

    def serve(self, client: socket.socket) -> None:
        """What becomes of a client's connection; it and those that `connect` gave are `end`ed by whoever serves them."""
        raise NotImplementedError

    # ------------------------------------------------------------ the port

    def listen(self) -> None:
        """Take connections, at the same port as before."""
        assert self._listener is None
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        listener.settimeout(_POLL)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._start(self._accept, listener)

    def refuse(self) -> None:
        """End all connections; from now on there is nobody at the port."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # closing alone leaves the port taken while `accept` waits
            listener.close()
        self.cut()

    def cut(self) -> None:
        """End the connections there are, also those that are kept for later, as a server does that starts again; new ones are served."""
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything, and wait for it."""
        self.refuse()
        for thread in self._threads:
            thread.join(_SECONDS)
            assert not thread.is_alive(), "a connection of the proxy did not end"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ connections

    def connect(self) -> socket.socket:
        """A connection to the service."""
        server = socket.create_connection(self._behind, _SECONDS)
        self._note(server)
        return server

    def end(self, connection: socket.socket) -> None:
        """Close it."""
        with self._mutex:
            self._open.discard(connection)
            connection.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        """Run it on a thread, which `close` waits for."""
        thread = threading.Thread(target=target, args=arguments, name=type(self).__name__, daemon=True)
        with self._mutex:
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:  # `refuse` closed it
                return
            client.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._note(client)
            if self._listener is not listener:  # `refuse` came between: it did not see this one
                self.end(client)
                return
            self._start(self.serve, client)

    def _note(self, connection: socket.socket) -> None:
        with self._mutex:
            self._open.add(connection)
