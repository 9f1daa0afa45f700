"""Stores: one contract (`base`), several implementations. `open_store` is the one place that knows them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.store.base import Store


def open_store(
    place: str | os.PathLike[str] | None = None,
    *,
    remote: str | None = None,
    api_key: str | None = None,
    close_seconds: float | None = None,
    **options: Any,
) -> Store:
    """The store at `place`, a folder or the URL of a server; `options` are that store's own arguments.

    With `remote`, a server's URL, the folder is sent there behind; without a folder, a spool of this machine is, and deleted
    once the server has all of it. `api_key` is the server's token. `close_seconds` is how long closing waits for the server.
    Raises `InvalidInput` for what is no place of ours, `OSError`.
    """
    text = os.fspath(place) if place is not None else None
    if remote is not None:
        return _spooled(text, remote, api_key, close_seconds, options)
    if text is None:
        from ml_dash.errors import InvalidInput

        raise InvalidInput("open_store takes a folder, a server's URL, or `remote`; got none of them.")
    if "://" in text:
        from ml_dash.store.remote import RemoteStore

        return RemoteStore(text, api_key=api_key, **options)
    _check_system()
    from ml_dash.store.local import LocalStore

    return LocalStore(text, **options)


def _spooled(
    folder: str | None, remote: str, api_key: str | None, close_seconds: float | None, options: dict[str, Any]
) -> Store:
    _check_system()
    from ml_dash.store.local import LocalStore
    from ml_dash.store.remote import RemoteStore
    from ml_dash.store.spooled import PATIENCE, SpooledStore
    from ml_dash.store.spools import spool_of

    target = RemoteStore(remote, api_key=api_key)
    private = folder is None
    local = LocalStore(spool_of(target.url, api_key) if folder is None else folder, **options)
    patience = PATIENCE if close_seconds is None else close_seconds
    return SpooledStore(local, target, target.url, private=private, patience=patience)


def _check_system() -> None:
    if os.name != "posix":
        msg = "ml-dash keeps runs in folders under POSIX file locks, which this system has not. Run it on Linux, macOS or in WSL."
        raise ImportError(msg)
