"""One of several processes on a server's socket: what `supervisor` starts. Its one argument is the descriptor of the line to it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import closing, suppress

import msgspec

from ml_dash.errors import InvalidInput, MlDashError
from ml_dash.server.access_log import Log
from ml_dash.server.serve import work
from ml_dash.server.shared_metrics import SharedMetrics
from ml_dash.server.supervisor import Order, Report


def main() -> None:
    """Serve until a signal comes, or the supervisor is gone."""
    with socket.socket(fileno=int(sys.argv[1])) as line:
        order = _order(line)
        if order is None:
            return
        threading.Thread(target=_watch, args=(line.dup(),), name="ml-dash-supervisor", daemon=True).start()
        log = Log(sys.stdout, order.settings.log_level)
        try:
            with (
                socket.socket(fileno=order.listener) as listener,
                closing(SharedMetrics(order.metrics, order.number)) as shared,
            ):
                work(order.settings, listener, log, started=lambda: _tell(line, Report()), shared=shared)
        except (MlDashError, OSError) as e:
            text = e.strerror if isinstance(e, OSError) and e.strerror and not isinstance(e, MlDashError) else str(e)
            _tell(line, Report(text, usage=isinstance(e, InvalidInput)))
            sys.exit(1)


def _order(line: socket.socket) -> Order | None:
    """What to do; None where the supervisor died before it said so."""
    heard = b""
    while not heard.endswith(b"\n"):
        came = line.recv(65536)
        if not came:
            return None
        heard += came
    return msgspec.json.decode(heard, type=Order)


def _tell(line: socket.socket, report: Report) -> None:
    with suppress(OSError):  # nobody is there to hear it, and `_watch` has noticed
        line.sendall(msgspec.json.encode(report) + b"\n")


def _watch(line: socket.socket) -> None:
    """End this process, in good order, when the supervisor has ended without telling it."""
    with line, suppress(OSError):
        while line.recv(4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
