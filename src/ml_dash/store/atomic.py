"""Publishing small files whole, and staying inside a folder. Knows paths and bytes, not what they mean; takes no lock.

A reader of a path that `write_atomically` writes finds the old bytes or the new ones, whole, whenever it looks and
whoever dies. Two writers of one path need a lock of their own: the later rename wins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ml_dash.errors import InvalidInput

TEMPORARY = ".tmp-"
"""What the names of our temporary files begin with. One that is there while nobody writes was left by a kill."""
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a temporary file is opened: only if nothing is there, not even a link."""


def write_atomically(path: str, data: bytes, *, sync: bool = True, mode: int = 0o666) -> None:
    """Make `data` the content of the file at `path`, at once: by a temporary file in the same folder and a rename.

    `sync` makes it durable before this returns; `mode` is who may read it, less the umask. A link at `path` is replaced,
    not followed. Raises `OSError` naming the file, which then still has its old content, and nothing is left behind;
    unless it is the folder that could not be made durable (its disk is failing): then the new content is there, for now.
    """
    temporary = os.path.join(os.path.dirname(path), TEMPORARY + os.urandom(8).hex())
    try:
        _write_new(temporary, path, data, sync=sync, mode=mode)
        os.rename(temporary, path)
    except BaseException:
        # An interrupt included. After a rename that took place there is nothing by this name.
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if sync:
        sync_folder(os.path.dirname(path))


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` at the place where `fd` is."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


@contextmanager
def not_stored(path: str) -> Iterator[None]:
    """Let an `OSError` of a call on a descriptor name the file at `path` and say that it was not stored."""
    try:
        yield
    except OSError as e:
        raise OSError(e.errno, f"{e.strerror}; nothing of it is stored", path) from e


def sync_folder(path: str) -> None:
    """Make the names in the folder at `path` ("" is the current one) durable."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def inside(root: str, path: str, what: str) -> None:
    """Raise `InvalidInput` where symbolic links (or "..") lead from `path` out of the folder `root`.

    What of `path` does not exist yet counts as it is spelled. `what` is the argument's name, for the error.
    A link that somebody makes after this call is not seen: open with O_NOFOLLOW as well.
    """
    real_root = os.path.realpath(root)
    if _below(real_root, os.path.realpath(path)):
        return
    culprit = _link_outward(real_root, root, path)
    if culprit is None:
        raise InvalidInput(f"{what} {path!r} lies outside {real_root!r}. Give a path below it.")
    raise InvalidInput(
        f"{what} {path!r} leads outside {real_root!r}: {culprit!r} is a symbolic link to "
        f"{os.path.realpath(culprit)!r}. Put a real folder or file in the link's place, or choose another name."
    )


def _write_new(temporary: str, path: str, data: bytes, *, sync: bool, mode: int) -> None:
    fd = os.open(temporary, CREATE, mode)
    try:
        with not_stored(path):
            write_all(fd, data)
            if sync:
                os.fsync(fd)
    finally:
        os.close(fd)


def _below(root: str, path: str) -> bool:
    return os.path.commonpath([root, path]) == root


def _link_outward(real_root: str, root: str, path: str) -> str | None:
    """The first link between `root` and `path` that leaves `real_root`; None if it is no link that leaves it."""
    step = root
    for segment in os.path.relpath(path, root).split(os.sep):
        step = os.path.join(step, segment)
        if os.path.islink(step) and not _below(real_root, os.path.realpath(step)):
            return step
    return None
