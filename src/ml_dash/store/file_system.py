"""What is to be known of the file system below a root: whose locks are worth less than they look, and which can be synced as a
whole. Asks the kernel; warns once a root."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable

REMOTE = ("nfs", "lustre", "fuse", "beegfs", "cifs", "smb", "9p", "ceph", "gpfs", "afs")

SYNCED_WHOLE = ("ext4", "xfs", "btrfs", "f2fs", "tmpfs")
"""Local ones that write out all of their own files, and nothing else, at `syncfs`."""


def warn_if_remote(root: str) -> None:
    """One `RuntimeWarning` where `root` is on a network file system as far as the kernel tells."""
    kind = kind_of(root)
    if kind.startswith(REMOTE):
        warnings.warn(
            f"{root} is on a network file system ({kind}), whose locks may be slow or hold on one machine only. "
            "Let each machine write to a folder of its own; see docs/guides/durability.md.",
            RuntimeWarning,
            stacklevel=4,
        )


def whole_sync(root: str) -> Callable[[int], None] | None:
    """What syncs the file system below `root`, by a descriptor on it, and raises `OSError` for any write there that failed since
    that descriptor was opened; None where the system has no such thing (it tells of errors from Linux 5.8 on)."""
    if sys.platform != "linux" or _release() < (5, 8) or kind_of(root) not in SYNCED_WHOLE:
        return None
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return None

    def sync(fd: int) -> None:
        if call(fd):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), root)

    return sync


def _release() -> tuple[int, ...]:
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def kind_of(path: str) -> str:
    """The file system type of the mount that `path` is on, "" where the system does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            mounts = [line.split() for line in f]
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for fields in mounts:
        point = fields[4].encode().decode("unicode_escape", errors="replace")
        below = real == point or real.startswith(point.rstrip("/") + "/")
        if below and len(point) >= len(best) and "-" in fields:
            best, kind = point, fields[fields.index("-") + 1]
    return kind
