"""Waiting for an advisory lock, and naming who holds it. Knows nothing of what is locked."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_dash.errors import LockTimeout

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
    inode = f":{os.fstat(fd).st_ino}"
    try:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return "another process"
    pids = [row[4] for row in rows if len(row) > 5 and row[1] != "->" and row[5].endswith(inode)]
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            command = ""
        return f"process {pid} ({command[:120]})" if command else f"process {pid}"
    return "another process"


@contextmanager
def locked_file(path: str, patience: float = PATIENCE, *, create: bool = True) -> Iterator[int]:
    """Hold the exclusive lock of the file at `path`, made if need be; its descriptor. It stays where it is: deleting a
    lock file would let two processes lock two files of the same name."""
    flags = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | (os.O_CREAT if create else 0)
    with _opening:
        fd = os.open(path, flags, 0o666)
        _held.add(fd)
    try:
        wait(fd, fcntl.LOCK_EX, path, patience)
        yield fd
    finally:
        if fd in _held:  # a child that was forked in here has closed it
            # Closing alone leaves the lock to whoever was forked meanwhile. Each step is one call into C, so that an
            # interrupt between them leaks a descriptor at worst, never the lock.
            try:
                fcntl.flock(fd, fcntl.LOCK_UN)
            finally:
                _held.discard(fd)
                os.close(fd)


_opening = threading.RLock()
"""Held over every open and fork, so that a child knows each descriptor that it has inherited."""
_held: set[int] = set()


def _after_fork_in_child() -> None:
    global _opening  # noqa: PLW0603  the one mutable of this module
    _opening = threading.RLock()
    while _held:
        os.close(_held.pop())


os.register_at_fork(
    before=lambda: _opening.acquire(),  # noqa: PLW0108  the name is bound anew in a child
    after_in_parent=lambda: _opening.release(),  # noqa: PLW0108
    after_in_child=_after_fork_in_child,
)
