"""Waiting for an advisory lock, and naming who holds it. Knows nothing of what is locked."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_dash.errors import LockTimeout

PATIENCE = 30.0
"""Seconds to wait for a lock."""


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
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311  jitter, not a secret
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
def locked_file(path: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the exclusive lock of the file at `path`, made if need be. It stays where it is: deleting a lock file
    would let two processes lock two files of the same name."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        wait(fd, fcntl.LOCK_EX, path, patience)
        yield
    finally:
        os.close(fd)
