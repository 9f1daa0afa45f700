"""Real processes for the tests of this folder: forked children that acknowledge what returned, and what the disk tells afterwards.

The disk is read by plain `json` here: nothing of ml_dash is asked what ml_dash has stored.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")

PATIENCE = 60.0
"""Seconds after which a child that did not end is given up."""
_WORD = struct.Struct("<q")


class Child:
    """A forked process that runs `work(child)`: 0 is its exit status if that returns, 1 if it raises.

    What it says by `say` is heard here by `heard`, also after it was killed: a number is one write(2) to a pipe. As a
    context manager, it is killed at the end.
    """

    def __init__(self, work: Callable[..., object], *args: Any) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, 1 << 20)  # so that a child is not slowed down by being heard late
        sys.stdout.flush()
        sys.stderr.flush()
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._out)
            self._live(work, args)
        os.close(self._in)

    def _live(self, work: Callable[..., object], args: tuple[Any, ...]) -> None:
        """In the child: no way leads out of here but its end."""
        code = 1
        try:
            for number in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            gc.freeze()
            work(self, *args)
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(code)

    def say(self, number: int = 0) -> None:
        """In the child: tell the parent. 8 bytes are written whole or not at all."""
        os.write(self._in, _WORD.pack(number))

    def heard(self) -> list[int]:
        """What the child has said since the last call."""
        data = b""
        while True:
            try:
                part = os.read(self._out, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            data += part
        return [number for (number,) in _WORD.iter_unpack(data)]

    def hear(self, patience: float = PATIENCE) -> int:
        """The next number that the child says."""
        if not select.select([self._out], [], [], patience)[0]:
            raise TimeoutError(f"child {self.pid} said nothing for {patience} s")
        data = os.read(self._out, _WORD.size)
        assert data, f"child {self.pid} ended without a word, by {self.end()}"
        return int(_WORD.unpack(data)[0])

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL; its status."""
        if self.status is None:
            self.signal(signal.SIGKILL)
        return self.end()

    def stop(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        self.signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(self.pid, os.WUNTRACED)[1])

    def end(self, patience: float = PATIENCE) -> int:
        """Wait for its end; its exit status, or minus the signal that it died of."""
        until = time.monotonic() + patience
        pause = 0.0002
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                raise TimeoutError(f"child {self.pid} did not end within {patience} s")
            else:
                time.sleep(pause)
                pause = min(pause * 2, 0.01)
        return self.status

    def __enter__(self) -> Child:  # noqa: PYI034  Python 3.10 has no Self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            self.signal(signal.SIGCONT)
            self.kill()
        os.close(self._out)


def run(work: Callable[..., object], *args: Any) -> None:
    """Do `work(*args)` in a process of its own, which must end well."""
    with Child(lambda _child, *given: work(*given), *args) as child:
        assert child.end() == 0


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Do `work(number)` in `count` threads at once; the first exception of any is raised here."""
    failed: list[BaseException] = []
    gate = threading.Barrier(count)

    def call(number: int) -> None:
        try:
            gate.wait(PATIENCE)
            work(number)
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def several(count: int, work: Callable[..., object], *args: Any) -> Iterator[list[Child]]:
    """`count` children, each doing `work(child, number, *args)`; killed at the end."""
    children: list[Child] = []
    try:
        for number in range(count):
            children.append(Child(work, number, *args))  # noqa: PERF401  those that started are ended if one does not
        yield children
    finally:
        for child in children:
            child.__exit__(None, None, None)


# ---------------------------------------------------------------- what the disk tells


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a series file, which has to be sound: strict JSON, whole lines, line i with index i."""
    data = path.read_bytes() if path.exists() else b""
    whole, torn = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
    assert torn == b"", f"{path} ends in {torn[:80]!r}"
    return parsed(whole, 0)


def parsed(lines: bytes, first: int) -> list[dict[str, Any]]:
    """The rows of whole lines, the first of which has to carry index `first`."""
    points = [_point(line) for line in lines.split(b"\n")[:-1]]
    key = "index" if points and "index" in points[0] else "sequenceNumber"
    found = [point[key] for point in points]
    assert found == list(range(first, first + len(points))), _first_wrong(found, first)
    return [point["data"] for point in points] if key == "index" else points


def _point(line: bytes) -> dict[str, Any]:
    try:
        point = json.loads(line, parse_constant=_refuse)
    except ValueError as e:
        raise AssertionError(f"{e}: {line[:200]!r}") from None
    assert isinstance(point, dict)
    return point


def _first_wrong(found: list[int], first: int) -> str:
    at = next(i for i, index in enumerate(found) if index != first + i)
    return f"line {first + at} carries index {found[at]}; around it: {found[max(0, at - 2) : at + 3]}"


def _refuse(constant: str) -> float:
    raise AssertionError(f"bare {constant} is not JSON")


SMALL = ("experiment.json", "session.json", "parameters.json", "metadata.json", ".files_metadata.json")


def check_small_records(folder: Path) -> int:
    """Every small record below `folder` is one whole JSON object, presence files included; how many there were."""
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name in SMALL or (os.path.basename(place) == "processes" and not name.startswith(".tmp-")):
                try:
                    text = Path(place, name).read_bytes()
                except FileNotFoundError:  # a presence file whose process has just left
                    continue
                assert isinstance(json.loads(text, parse_constant=_refuse), dict)
                count += 1
    return count


def record(folder: Path) -> dict[str, Any]:
    """The run's record as it is on disk."""
    found: dict[str, Any] = json.loads((folder / "experiment.json").read_bytes())
    return found


def descriptors() -> int:
    """Files that this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1


def eventually(what: Callable[[], Result], patience: float = 20.0) -> Result:
    """`what()` as soon as it is true."""
    until = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)
    return found
