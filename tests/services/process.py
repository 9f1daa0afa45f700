"""A child process that serves a port: started, killed, stopped and continued, and never outliving who started it. Nothing of a service."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

SECONDS = 60.0
"""How long a service may take to start, on a machine with much else to do."""
POLL = 0.05
MEMORY = "/dev/shm"
_ROOM = 2 << 30
"""Bytes that must be free in memory before a service's data goes there."""
_PORTS = range(10_000, 32_000)
"""Below those that a system gives to outgoing connections: a service that starts again finds its port still free."""
_PR_SET_PDEATHSIG = 1


class Service:
    """One process. `command` is called at each start; `log` is the file for what it says; `env` its environment, None this one's."""

    def __init__(
        self, name: str, command: Callable[[], Sequence[str]], log: Path, env: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.env = env
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again. It dies with the thread that calls this."""
        assert not self.running, f"{self.name} runs"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                preexec_fn=_die_with_parent,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait_for(self, ready: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Return once `ready` says so. Raises `RuntimeError` with the log's end where the process ends first."""
        give_up = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise RuntimeError(f"{self.name} ended:\n{self._said()}")
            if time.monotonic() > give_up:
                raise TimeoutError(f"{self.name} is not ready after {seconds:.0f} s:\n{self._said()}")
            time.sleep(POLL)

    def kill(self) -> None:
        """SIGKILL, as a crash or the machine's end. Stopped processes go as well."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(SECONDS)

    def pause(self) -> None:
        """SIGSTOP: it is there, takes connections (the system does), and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, however it is."""
        if self.running:
            self.kill()

    def _said(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log.read_text(errors="replace")[-2000:]
        return ""


def _die_with_parent() -> None:
    """Between fork and exec: the kernel kills this process when the thread that made it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_LIBC = ctypes.CDLL(None)


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens at now. Another may be first: who starts a service there looks whether it came up."""
    found: list[int] = []
    rng = random.Random(os.urandom(8))
    while len(found) < count:
        port = rng.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A folder for data, in memory where there is room: a test's fsync then costs what the code costs, not the disk."""
    place = tempfile.mkdtemp(prefix="ml-dash-tests-", dir=_parent())
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _parent() -> str | None:
    with contextlib.suppress(OSError):
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= _ROOM:
            return MEMORY
    return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold `path` against other processes."""
    import fcntl

    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
