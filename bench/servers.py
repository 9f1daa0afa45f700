"""Server processes of the benchmarks: started, waited for, looked at from outside, ended. Reads /proc, so Linux only.

A server runs as its user would run it, in a process of its own, its store in a folder on a disk: what is measured is
durable, and a folder in memory would make that cheap.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent
START_SECONDS = 120.0
"""A server that imports half a data science stack and makes its database takes long."""
STOP_SECONDS = 30.0
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class NotServing(Exception):
    """A server did not come up; the text is its last words."""


class Server:
    """A running server: the process that was started, and those that it started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        """Processor time so far, of all its processes."""
        return cpu_seconds(self.pid)

    def kill(self) -> None:
        """SIGKILL, as a machine that goes away."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as a service manager does: SIGTERM, some patience, SIGKILL for what is left of it."""
        family = descendants(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str], port: int | None = None
) -> Iterator[Server]:
    """The server that `command` starts, its output in a file of `folder`, once it listens: on `port`, or where the line of
    JSON with "listening" that it prints says. Raises `NotServing`."""
    log = Path(tempfile.mkstemp(prefix="server-", suffix=".log", dir=folder)[1])
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server(process, log)
    try:
        server.url = wait(server, port)
        yield server
    finally:
        server.stop()


def wait(server: Server, port: int | None) -> str:
    """Its URL, once it listens: on `port`, or where it says. Raises `NotServing`."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise NotServing(f"it ended with status {server.process.returncode}: {server.last_words()}")
        if port is None:
            for line in server.log.read_text(errors="replace").splitlines():
                if line.startswith("{") and '"listening"' in line:
                    return str(json.loads(line)["url"])
        elif _listens(port):
            return f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    raise NotServing(f"it did not listen within {START_SECONDS:.0f} s: {server.last_words()}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# ---------------------------------------------------------------- looked at from outside


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, of those below it, and of those below it that have ended."""
    return sum(_times(one) for one in (pid, *descendants(pid)))


def _times(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK


def resident(pid: int) -> int:
    """Bytes in memory of a process and of those below it, now."""
    return sum(_resident(one) for one in (pid, *descendants(pid)))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def descendants(pid: int) -> list[int]:
    """The processes below a process, at all depths."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


# ---------------------------------------------------------------- the disk


@contextmanager
def disk_folder() -> Iterator[Path]:
    """An empty folder on a disk: among temporary files, or here if those are kept in memory."""
    usual = Path(tempfile.gettempdir())
    place = BENCH if file_system(usual) in IN_MEMORY else usual
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:
        yield Path(folder)


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`."""
    found = (0, "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place)
        if folder.resolve().is_relative_to(place):
            found = max(found, (len(place), kind))
    return found[1]


def sync_seconds(folder: Path) -> float:
    """The median time of an fsync behind 4 KB more: what being durable costs on this disk at the least."""
    spans = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            os.write(file.fileno(), bytes(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            spans.append(time.perf_counter() - start)
    return statistics.median(spans)
