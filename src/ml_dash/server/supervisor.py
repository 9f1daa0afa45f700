"""Several processes on one socket: started, started again where one dies, ended together. Serves nothing itself.

Each worker is a process of its own, made by exec and not by fork alone, since drivers and runtimes with threads do not survive
a fork. It inherits the listening socket, and one end of a socket pair: over that it is told its settings, tells when it
serves or why it cannot, and learns of the supervisor's death, upon which it ends. Its end is read there too: no polling.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import msgspec

from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.server.access_log import Log
from ml_dash.server.listening import announce
from ml_dash.server.serve import AFTERWARDS
from ml_dash.server.settings import Settings

_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is started again, by how often one in its place has died before it was `_WELL` seconds old."""
_WELL = 60.0
_MORE = 10.0
"""Seconds beyond a worker's own limit after which it is killed."""
_CODE = "import sys; sys.path[:] = filter(None, sys.path); from ml_dash.server.worker import main; main()"
"""What a worker runs. It finds modules where the supervisor does, and not in the current folder."""


class Order(msgspec.Struct):
    """What a worker is told: a line of JSON. `listener` is the socket's descriptor, `metrics` a folder that all share."""

    settings: Settings
    listener: int
    number: int
    metrics: str


class Report(msgspec.Struct):
    """What a worker tells, once: a line of JSON. `wrong` is why it does not serve, "" where it does; `usage` is whether the call
    of the command is at fault."""

    wrong: str = ""
    usage: bool = False


class _Worker:
    """One place among the workers, and the process that fills it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.line: socket.socket | None = None
        self.report: Report | None = None
        self.since = 0.0
        self.due: float | None = 0.0
        """When to start one (`time.monotonic`), None while one runs."""
        self.deaths = 0
        self._heard = b""

    @property
    def serves(self) -> bool:
        return self.report is not None and not self.report.wrong

    def start(self, settings: Settings, listener: socket.socket, metrics: str) -> socket.socket:
        """Start a process; the line to it. Raises `OSError`."""
        self.since = time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as failed:
            failed.callback(ours.close)
            self.process = subprocess.Popen(  # noqa: S603  ourselves
                [sys.executable, "-c", _CODE, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), listener.fileno()),
                start_new_session=True,  # a terminal's Ctrl-C is the supervisor's to pass on
            )
            failed.pop_all()
        self.line, self.report, self._heard, self.due = ours, None, b"", None
        order = Order(settings, listener.fileno(), self.number, metrics)
        with suppress(OSError):  # it has died: its end is read
            ours.sendall(msgspec.json.encode(order) + b"\n")
        return ours

    def hear(self) -> bool:
        """Take what came over the line; False: it has ended, and with it the process."""
        assert self.line is not None
        try:
            came = self.line.recv(65536)
        except OSError:
            came = b""
        self._heard += came
        if self.report is None and self._heard.endswith(b"\n"):
            self.report = msgspec.json.decode(self._heard, type=Report)
        return bool(came)

    def reap(self) -> int:
        """The exit status of the process, whose line has ended."""
        assert self.process is not None
        assert self.line is not None
        self.line.close()
        status = self.process.wait()
        self.process = self.line = None
        return status

    def plan(self) -> float:
        """Let one be started again; after how many seconds."""
        now = time.monotonic()
        if now - self.since > _WELL:
            self.deaths = 0
        pause = _PAUSES[min(self.deaths, len(_PAUSES) - 1)]
        self.deaths += 1
        self.due = now + pause
        return pause


class _Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket, log: Log, metrics: str) -> None:
        self._settings = settings
        self._listener = listener
        self._log = log
        self._metrics = metrics
        self._workers = [_Worker(number) for number in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._stop_by: float | None = None
        self._failed = False

    def run(self, signals: socket.socket, tokens: int) -> bool:
        """Until a signal has come and all have ended. Whether each of them ended well."""
        self._selector.register(signals, selectors.EVENT_READ)
        while self._stop_by is None or any(worker.process for worker in self._workers):
            self._start_due()
            for key, _ in self._selector.select(self._pause()):
                if key.data is None:
                    self._pass_on(signals.recv(4096))
                elif not key.data.hear():
                    self._ended(key.data)
            if not self._announced and self._stop_by is None and all(worker.serves for worker in self._workers):
                self._announced = True
                announce(self._listener, self._settings, self._log, tokens, workers=len(self._workers))
            self._kill_late()
        return not self._failed

    def _start_due(self) -> None:
        for worker in self._workers if self._stop_by is None else ():
            if worker.due is None or worker.due > time.monotonic():
                continue
            try:
                line = worker.start(self._settings, self._listener, self._metrics)
            except OSError as e:  # no more processes, no more memory
                if not self._announced:
                    raise
                self._again(worker, f"cannot be started: {e.strerror}.")
            else:
                self._selector.register(line, selectors.EVENT_READ, worker)

    def _pause(self) -> float | None:
        if self._stop_by is not None:
            return max(0.0, self._stop_by - time.monotonic())
        due = [worker.due for worker in self._workers if worker.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _ended(self, worker: _Worker) -> None:
        assert worker.line is not None
        self._selector.unregister(worker.line)
        status, report = worker.reap(), worker.report
        if self._stop_by is not None:
            # One that was told to end before it knew what signals are is none that failed.
            self._failed = self._failed or status > 0 or (status < 0 and report is not None)
            return
        why = report.wrong if report is not None and report.wrong else f"worker {worker.number} {_how(status)}"
        if not self._announced:
            raise InvalidInput(why) if report is not None and report.usage else Unavailable(why)
        self._again(worker, f"{_how(status)} {report.wrong if report is not None else ''}".strip(), status=status)

    def _again(self, worker: _Worker, what: str, **more: int) -> None:
        pause = worker.plan()
        when = f"in {pause:g} s" if pause else "now"
        message = f"worker {worker.number} {what} It is started again {when}."
        self._log.write("error", "worker ended", worker=worker.number, message=message, **more)

    def _pass_on(self, numbers: bytes) -> None:
        """Signals that came, to all workers: each ends by the first, and by another SIGINT does not wait for requests."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._settings.stop + 2 * AFTERWARDS + _MORE
            self._listener.close()  # the workers close theirs: nobody is to wait for an answer here
        for worker in self._workers:
            for number in numbers:
                if worker.process is not None:
                    worker.process.send_signal(number)

    def _kill_late(self) -> None:
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._failed = True
            self._kill()
            self._stop_by = time.monotonic() + _MORE

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()

    def close(self) -> None:
        """End what is left, however it is."""
        self._kill()
        for worker in self._workers:
            if worker.process is not None:
                worker.reap()
        self._selector.close()


def supervise(settings: Settings, listener: socket.socket, log: Log, tokens: int) -> None:
    """Serve with `Settings.workers` processes until a signal comes. Raises `Unavailable`, `InvalidInput` where they cannot start,
    `ChildProcessError` where one did not end well."""
    with (
        tempfile.TemporaryDirectory(prefix="ml-dash-server-") as metrics,
        _signals() as signals,
        closing(_Supervisor(settings, listener, log, metrics)) as supervisor,
    ):
        well = supervisor.run(signals, tokens)
    log.write("info", "stopped")
    if not well:
        raise ChildProcessError("a worker did not end well; the log says why.")


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of the signals that end a server are read, a byte each."""
    reads, writes = socket.socketpair()
    writes.setblocking(False)
    with reads, writes:
        before_fd = signal.set_wakeup_fd(writes.fileno())
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield reads
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}."
    try:
        return f"was ended by {signal.Signals(-status).name}."
    except ValueError:
        return f"was ended by signal {-status}."
