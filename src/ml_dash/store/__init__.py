"""Stores: one contract (`base`), several implementations. `open_store` is the one place that knows them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from ml_dash.store.base import Store


def open_store(place: str | os.PathLike[str], **options: Any) -> Store:
    """The store at `place`, a folder; `options` are that store's own arguments. Raises `InvalidInput` for what is no place of ours."""
    text = os.fspath(place)
    if "://" in text:
        msg = f"{text!r}: only folders can be opened by this version; give local_path= a folder."
        raise InvalidInput(msg)
    if os.name != "posix":
        msg = "ml-dash keeps runs in folders under POSIX file locks, which this system has not. Run it on Linux, macOS or in WSL."
        raise ImportError(msg)
    from ml_dash.store.local import LocalStore

    return LocalStore(text, **options)
