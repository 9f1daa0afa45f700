"""Where a run is kept, as its user and the environment say: a folder, a server, or both. Settled once, where the run is made,
so that a wrong address is an error there. Opens nothing before it is asked to; knows no run.

The environment stands in for what is not given: ML_DASH_URL for `remote` where no folder is given either, ML_DASH_API_KEY for
`api_key`, unless it is meant for another server.
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidInput, InvalidType
from ml_dash.store import open_store

if TYPE_CHECKING:
    from ml_dash.model import RunKey
    from ml_dash.store.base import Store

URL = "ML_DASH_URL"
API_KEY = "ML_DASH_API_KEY"
CLOSE_SECONDS = "ML_DASH_CLOSE_SECONDS"
"""How long closing, and whatever else waits for the server, waits at most."""


class OperationMode(enum.Enum):
    """Where a run is kept."""

    LOCAL = "local"
    REMOTE = "remote"
    HYBRID = "hybrid"


class Place:
    """A folder (`root`), a server, or both; at least one is not None. `named` is the folder as the user gave it."""

    def __init__(self, named: str | None, server: str | None, api_key: str | None, *, read_only: bool = False) -> None:
        self.named = named
        # As of now: a program that changes its folder goes on with the one that was meant.
        self.root = None if named is None else os.path.abspath(named)
        self.server = server
        self._api_key = api_key
        self._read_only = read_only
        self._seconds = _close_seconds() if server is not None and not read_only else None

    @property
    def mode(self) -> OperationMode:
        """What users call it."""
        if self.server is None:
            return OperationMode.LOCAL
        return OperationMode.REMOTE if self.root is None else OperationMode.HYBRID

    @property
    def argument(self) -> str:
        """The argument that named it, for messages."""
        return "local_path" if self.server is None else "remote"

    def open(self, **options: Any) -> Store:
        """The store there; `options` are those of a folder. Raises `InvalidInput`, `OSError`."""
        if self.server is None:
            return open_store(self.root, **options)
        if self._read_only:
            return open_store(self.server, api_key=self._api_key)
        return open_store(self.root, remote=self.server, api_key=self._api_key, close_seconds=self._seconds, **options)

    def to_read(self) -> Place:
        """The same, for reading alone: what a server has is read there, and no spool is made. Raises `InvalidInput` for both."""
        if self.root is not None and self.server is not None:
            raise InvalidInput("local_path and remote: runs are read from one place; give the one or the other.")
        return Place(self.named, self.server, self._api_key, read_only=True)

    def path(self, key: RunKey) -> str | None:
        """The folder of a run on this machine; None where it is only at the server."""
        root = self.root
        if root is None and self.server is not None and not self._read_only:
            from ml_dash.store.spools import folder_of

            root = folder_of(self.server, self._api_key)
        if root is None:
            return None
        from ml_dash.store.run_folders import run_path

        return run_path(root, key)

    def url(self, key: RunKey) -> str | None:
        """The address of a run at the server; None where there is no server."""
        return None if self.server is None else run_url(self.server, key)

    def __str__(self) -> str:
        return " and ".join(one for one in (self.named, self.server) if one is not None)

    def __repr__(self) -> str:
        return f"<Place {self}>"  # no token: this ends up in logs


def run_url(server: str, key: RunKey) -> str:
    """The address of a run at the server."""
    from urllib.parse import quote

    return f"{server}/runs/{quote(key.project, safe='')}/{quote(key.name, safe='')}"


def settle(
    local_path: Any,
    remote: Any,
    api_key: Any,
    user_name: Any = None,
    *,
    variable: str = "ML_DASH_DIR",
    default: str = ".ml-dash",
) -> Place:
    """The place that a user means. `variable` names the folder and `default` is it where nothing else does. Raises `InvalidInput`."""
    named = _folder(local_path)
    if remote is None and named is None:
        remote = os.environ.get(URL) or None
    if remote is None:
        return Place(named or os.environ.get(variable) or default, None, None)
    server = server_url(remote)
    key = api_key_for(server, api_key)
    if user_name is not None and key is None:
        _check_user_name(server)
    return Place(named, server, key)


def server_url(remote: Any) -> str:
    """`remote` as it is kept and shown: without a slash at its end. Raises `InvalidInput` for what is no address of a server."""
    from ml_dash.store.http_client import checked_url

    if not isinstance(remote, str):
        raise InvalidType(
            f"remote: expected a server's URL as text, such as http://localhost:3000; got {remote!r} of type {type(remote).__name__}."
        )
    try:
        return checked_url(remote)
    except InvalidInput as e:
        raise InvalidInput(f"remote: {e}") from None


def api_key_for(server: str, given: Any = None) -> str | None:
    """The token for `server`: the one that is given, else the environment's, unless that has ML_DASH_URL beside it with another
    server's address: a token is shown to nobody but the server that it was meant for. Raises `InvalidInput`, without showing it."""
    from ml_dash.store.http_client import authorization

    if given is None:
        meant = os.environ.get(URL)
        given = os.environ.get(API_KEY) or None
        if meant and given is not None and server_url(meant) != server:
            return None
    authorization(given)
    return given if given is None else given.strip()


def _check_user_name(server: str) -> None:
    """Who says only who he is can be anybody: a server that others reach asks for more."""
    from urllib.parse import urlsplit

    from ml_dash.store.http_client import is_loopback

    host = urlsplit(server).hostname or ""
    if not is_loopback(host):
        raise InvalidInput(
            f"user_name: {host} is not this machine, and a name alone proves nothing there. Have a token made on the server with "
            f"`ml-dash token create`, and give it as api_key=, or in {API_KEY}."
        )


def _close_seconds() -> float | None:
    given = os.environ.get(CLOSE_SECONDS)
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise InvalidInput(f"{CLOSE_SECONDS}: expected seconds, 0 to 86400; got {given!r}.")
    return seconds


def _folder(local_path: Any) -> str | None:
    if local_path is None:
        return None
    place = os.fspath(local_path) if isinstance(local_path, os.PathLike) else local_path
    if not isinstance(place, str):
        raise InvalidType(
            f"local_path: expected a folder as text or Path; got {place!r} of type {type(place).__name__}."
        )
    if not place:
        raise InvalidInput("local_path is empty. Name a folder, or leave it out for the default.")
    if place.startswith(("http://", "https://")):
        raise InvalidInput(f"local_path: {place!r} is a server's address, not a folder; give it as remote=.")
    return place
