"""Where spools lie: the folders in which runs wait for their server. One folder a server, in it the runs as in any folder of
ours, and a lock for each run that is held while a process has it open. Sends nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress

from ml_dash.model import RunKey
from ml_dash.store import locks
from ml_dash.store.atomic import write_atomically
from ml_dash.store.sent import slug

SERVER = "server.txt"
"""In a spool's folder: the address of its server."""


def home() -> str:
    """The folder of all spools: ``$XDG_STATE_HOME/ml-dash/spool``, by default below ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "ml-dash", "spool")


def folder_of(server: str, api_key: str | None = None) -> str:
    """The spool's folder for a server, and for a token: another token may mean another namespace. Nothing is made."""
    return os.path.join(home(), slug(server) + _who(api_key))


def is_for(spool: str, server: str, api_key: str | None) -> bool:
    """Whether the spool is for this server and token, or was made without one."""
    return os.path.basename(spool) in (slug(server), slug(server) + _who(api_key))


def _who(api_key: str | None) -> str:
    return "-" + hashlib.sha256(api_key.encode()).hexdigest()[:8] if api_key else ""


def spool_of(server: str, api_key: str | None = None) -> str:
    """The spool's folder, made, with the address in it. Raises `OSError`."""
    place = folder_of(server, api_key)
    os.makedirs(place, mode=0o700, exist_ok=True)
    path = os.path.join(place, SERVER)
    if not os.path.exists(path):
        write_atomically(path, server.encode() + b"\n")
    return place


def spools() -> Iterator[tuple[str, str]]:
    """(folder, server's address) of every spool on this machine."""
    with suppress(OSError):
        for entry in sorted(os.listdir(home())):
            place = os.path.join(home(), entry)
            server = server_of(place)
            if server:
                yield place, server


def server_of(place: str) -> str | None:
    """The server's address of the spool at `place`; None where that is no spool."""
    try:
        with open(os.path.join(place, SERVER), encoding="utf-8") as f:
            return f.read().strip() or None
    except OSError:
        return None


class Hold:
    """A run's lock in its spool: shared by all processes that have the run open, exclusive for the one that takes it away.
    The kernel lets it go with its last process, however that ends."""

    def __init__(self, spool: str, key: RunKey) -> None:
        folder = os.path.join(spool, ".locks")
        os.makedirs(folder, exist_ok=True)
        self._path = os.path.join(folder, hashlib.sha256("\0".join(key).encode()).hexdigest()[:32])
        self._fd = -1

    def share(self) -> None:
        """Have the run open. Waits while another process takes an old one away, which is soon done."""
        self._take(fcntl.LOCK_SH)

    def share_anew(self) -> None:
        """In a forked child: have it open on its own account, beside the parent. Not where the parent is just taking it away."""
        self._fd = -1
        with suppress(BlockingIOError):
            self._take(fcntl.LOCK_SH | fcntl.LOCK_NB)

    def own(self) -> bool:
        """Be the only one to have it, if nobody else has."""
        try:
            self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _take(self, mode: int) -> None:
        if self._fd < 0:
            self._fd = locks.open_file(self._path, 0o600)
        fcntl.flock(self._fd, mode)

    def let_go(self) -> None:
        """Not to have it any more. A child that was forked meanwhile has it on its own account, or not at all."""
        if self._fd >= 0:
            locks.close_file(self._fd)
            self._fd = -1
