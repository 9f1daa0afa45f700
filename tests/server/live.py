"""A server on a real socket, in a thread of the test's own process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

_SECONDS = 30.0
"""How long a server may take to start or to end, on a machine with much else to do."""


@contextlib.contextmanager
def live(app: Any, **options: Any) -> Iterator[str]:
    """Serve the ASGI `app` on a free port of loopback; its URL. `options` go to `uvicorn.Config`. On leaving, the server has
    ended, its thread and sockets with it; what the app raised at its start is raised here."""
    config = uvicorn.Config(app, **{"log_level": "error", "timeout_graceful_shutdown": 5, **options})
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            server.run([listener])
        except BaseException as e:  # SystemExit of a start that failed, among others
            failed.append(e)

    thread = threading.Thread(target=serve, name="server under test", daemon=True)
    thread.start()
    try:
        _await(lambda: server.started or bool(failed) or not thread.is_alive(), thread)
        if not server.started:
            raise failed[0] if failed else RuntimeError("the server ended before it had started")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_SECONDS)
        listener.close()
    assert not thread.is_alive(), "the server did not end"


def _await(there: Any, thread: threading.Thread) -> None:
    for _ in range(int(_SECONDS * 100)):
        if there():
            return
        thread.join(0.01)
    raise TimeoutError("the server did not start")
