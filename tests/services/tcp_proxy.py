"""TcpProxy: between a client and any service on loopback, it fails as networks do, whatever the protocol.

with TcpProxy("127.0.0.1", port) as proxy:
    client = MongoClient(f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true")
    proxy.stall(); ...; proxy.heal()

For HTTP, where single requests matter, `tests.server.cutting_proxy` does more.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

_POLL = 0.02
_SECONDS = 60.0


class TcpProxy(contextlib.AbstractContextManager["TcpProxy"]):
    """Bytes go through until a method says otherwise. Closing it ends its connections and threads."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._pause = 0.0
        self._left: int | None = None
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.connections = 0
        self._listen()

    # ------------------------------------------------------------ what a test says

    def stall(self) -> None:
        """From now on connections are taken, those that are there stay, and no byte moves."""
        self._flows.clear()

    def slow(self, seconds: float) -> None:
        """From now on every piece of at most 64 KB waits so long."""
        self._pause = seconds

    def cut_after(self, size: int) -> None:
        """Once so many more bytes have gone to the service, and before its answer: end the connection that sent them."""
        with self._mutex:
            self._left = size

    def cut(self) -> None:
        """End the connections there are; new ones are served."""
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """End all connections; from now on there is nobody at the port."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # closing alone leaves the port taken while `accept` waits
            listener.close()
        self.cut()

    def heal(self) -> None:
        """Everything goes through again, at the same port."""
        self._pause = 0.0
        with self._mutex:
            self._left = None
        self._flows.set()
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        """End everything, and wait for it."""
        self.refuse()
        self._flows.set()
        for thread in self._threads:
            thread.join(_SECONDS)
            assert not thread.is_alive(), "a connection of the proxy did not end"

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ connections

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        listener.settimeout(_POLL)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._start(self._accept, listener)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="tcp proxy", daemon=True)  # type: ignore[arg-type]
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
            try:
                server = socket.create_connection(self._behind, _SECONDS)
            except OSError:
                client.close()
                continue
            self.connections += 1
            for one in (client, server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._mutex:
                self._open |= {client, server}
            self._start(self._serve, client, server)
            if self._listener is not listener:  # `refuse` came between
                self.cut()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(server, client, False), name="tcp proxy back", daemon=True)
        back.start()
        self._pump(client, server, True)
        back.join()
        with self._mutex:
            self._open -= {client, server}
            client.close()
            server.close()

    def _pump(self, source: socket.socket, to: socket.socket, forth: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._pause)
                self._flows.wait()
                to.sendall(data)
                if forth and self._spent(len(data)):
                    break
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _spent(self, size: int) -> bool:
        """Whether `cut_after`'s bytes have gone."""
        with self._mutex:
            if self._left is None:
                return False
            self._left -= size
            over = self._left <= 0
            self._left = None if over else self._left
            return over
