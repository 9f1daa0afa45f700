"""Waiting for an advisory lock, and naming who holds it. Knows nothing of what is locked."""

from __future__ import annotations

import fcntl
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ml_dash.errors import LockTimeout, Unavailable

PATIENCE = 30.0
"""Seconds to wait for a lock."""
_random = random.SystemRandom().random
"""Not the module's own generator: a user who seeded that one gets his numbers, whoever else holds a lock."""


def wait(fd: int, mode: int, path: str, patience: float = PATIENCE) -> None:
    """Take the lock `mode` (`fcntl.LOCK_EX` or `LOCK_SH`) on `fd`. Raises `LockTimeout` naming the holder after `patience` seconds."""
    give_up = time.monotonic() + patience
    pause = 20e-6
    while True:
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                msg = f"{path}: locked for {patience:g} s by {holder(fd)}. Wait for it, or end it if it hangs."
                raise LockTimeout(msg) from None
            time.sleep(pause * (0.5 + _random()))
            pause = min(pause * 1.5, 2e-3)
        else:
            return


def holder(fd: int) -> str:
    """Who holds a lock on this file, as the kernel tells it; "another process" where it does not."""
    at = os.fstat(fd)
    try:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return "another process"
    # The device as the mount has it; some file systems show another one to `stat`.
    here = f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}:{at.st_ino}"
    held = [row for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{at.st_ino}")]
    for row in sorted(held, key=lambda row: row[5] != here):
        try:
            command = Path(f"/proc/{row[4]}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            command = ""
        return f"process {row[4]} ({command[:120]})" if command else f"process {row[4]}"
    return "another process"


@contextmanager
def locked_file(path: str, patience: float = PATIENCE, *, nested: bool = False) -> Iterator[None]:
    """Hold the exclusive lock of the file at `path`, made if need be. It stays where it is: deleting a lock file would let
    two processes lock two files of the same name.

    Inside itself, in a signal handler that came in the middle, it raises `Unavailable` at once rather than wait for itself;
    `nested` is for what may be done there all the same.
    """
    me = (threading.get_ident(), path)
    if _is_inside(me):
        if not nested:
            raise Unavailable(
                f"{path}: this thread is in the middle of another change; try again after it.", retry_after=0.1
            )
        yield
        return
    later: list[Callable[[], object]] = []
    _inside[me] = (sys._getframe(2), later)  # noqa: SLF001  whoever has this in his `with`
    try:
        with _locked(path, patience):
            yield
    finally:
        _inside.pop(me, None)
        for call in later:
            call()


def afterwards(path: str, call: Callable[[], object]) -> bool:
    """Where this thread is inside `locked_file(path)`, have it call `call` when it has let the lock go; else False."""
    me = (threading.get_ident(), path)
    if not _is_inside(me):
        return False
    _inside[me][1].append(call)
    return True


def _is_inside(me: tuple[int, str]) -> bool:
    """The frame has to be one of this very stack: where an interrupt hit the end of a `with`, that end is still to come."""
    holder_frame = _inside[me][0] if me in _inside else None
    frame = sys._getframe() if holder_frame is not None else None  # noqa: SLF001
    while frame is not None and frame is not holder_frame:
        frame = frame.f_back
    return frame is not None


@contextmanager
def _locked(path: str, patience: float) -> Iterator[None]:
    fd = open_file(path)
    try:
        wait(fd, fcntl.LOCK_EX, path, patience)
        yield
    finally:
        close_file(fd)


def open_file(path: str, mode: int = 0o666) -> int:
    """A descriptor of the file at `path`, made if need be, to be locked. A forked child does not have it: no lock outlives who
    took it because a child of his lives on."""
    with _opening:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), mode)
        _held.add(fd)
    return fd


def close_file(fd: int) -> None:
    """Unlock and close what `open_file` gave."""
    if fd in _held:  # a child that was forked meanwhile has closed it
        # Closing alone leaves the lock to a child that has not got as far. Each step is one call into C, so that an
        # interrupt between them leaks a descriptor at worst, never the lock.
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            _held.discard(fd)
            os.close(fd)


_inside: dict[tuple[int, str], tuple[FrameType, list[Callable[[], object]]]] = {}
"""Which (thread, path) is inside `locked_file`, where, and what it is to do afterwards."""
_opening = threading.RLock()
"""Held over every open and fork, so that a child knows each descriptor that it has inherited."""
_held: set[int] = set()


def _after_fork_in_child() -> None:
    global _opening  # noqa: PLW0603  the one mutable of this module
    _opening = threading.RLock()
    _inside.clear()
    while _held:
        os.close(_held.pop())


os.register_at_fork(
    before=lambda: _opening.acquire(),  # noqa: PLW0108  the name is bound anew in a child
    after_in_parent=lambda: _opening.release(),  # noqa: PLW0108
    after_in_child=_after_fork_in_child,
)
