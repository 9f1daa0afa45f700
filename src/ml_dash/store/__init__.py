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
    mongo: str | None = None,
    s3: str | None = None,
    s3_endpoint: str | None = None,
    **options: Any,
) -> Store:
    """The store at `place`, a folder or the URL of a server; `options` are that store's own arguments.

    With `remote`, a server's URL, the folder is sent there behind; without a folder, a spool of this machine is, and deleted
    once the server has all of it. `api_key` is the server's token. `close_seconds` is how long closing waits for the server.

    `mongo` and `s3` are the two tiers that a server keeps runs in: a MongoDB URI and ``s3://bucket/prefix``, with the URL of the
    S3 service in `s3_endpoint` where that is not AWS. Credentials are found as AWS's own tools find them.
    Raises `InvalidInput` for what is no place of ours, `OSError`.
    """
    text = os.fspath(place) if place is not None else None
    if mongo is not None or s3 is not None:
        return _tiered(mongo, s3, s3_endpoint, text if text is not None else remote, options)
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


def _tiered(
    mongo: str | None, s3: str | None, endpoint: str | None, other: str | None, options: dict[str, Any]
) -> Store:
    if not mongo or not s3 or other is not None:
        from ml_dash.errors import InvalidInput

        raise InvalidInput("open_store takes `mongo` and `s3` together, and no other place beside them.")
    from ml_dash.store.tiered import TieredStore

    return TieredStore(mongo, s3, endpoint=endpoint, **options)


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
