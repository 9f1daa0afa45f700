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

from tests.server.proxy_port import ProxyPort


class TcpProxy(ProxyPort):
    """Bytes go through until a method says otherwise. Closing it ends its connections and threads."""

    def __init__(self, host: str, port: int) -> None:
        self._flows = threading.Event()
        self._flows.set()
        self._pause = 0.0
        self._left: int | None = None
        super().__init__(host, port)

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

    def heal(self) -> None:
        """Everything goes through again, at the same port."""
        self._pause = 0.0
        with self._mutex:
            self._left = None
        self._flows.set()
        if self._listener is None:
            self.listen()

    def close(self) -> None:
        self.refuse()
        self._flows.set()
        super().close()

    # ------------------------------------------------------------ connections

    def serve(self, client: socket.socket) -> None:
        try:
            server = self.connect()
        except OSError:
            self.end(client)
            return
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(server, client, False), name="TcpProxy back", daemon=True)
        back.start()
        self._pump(client, server, True)
        back.join()
        self.end(client)
        self.end(server)

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
