"""Which file systems have locks worth less than they look. Asks the kernel; warns once a root."""

from __future__ import annotations

import os
import warnings

REMOTE = ("nfs", "lustre", "fuse", "beegfs", "cifs", "smb", "9p", "ceph", "gpfs", "afs")


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
