"""What a server serves, by its settings: the store, its tokens, and how both are looked at. The one module of the server that tells
a folder from the two tiers.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, cast

from ml_dash.errors import NotFound
from ml_dash.server.access_log import Log
from ml_dash.server.auth import FileTokens, LiveTokens
from ml_dash.server.readiness import Readiness, of_folder, of_tiers
from ml_dash.server.settings import Settings
from ml_dash.server.tokens import TokenFile
from ml_dash.store import open_store

if TYPE_CHECKING:
    from ml_dash.store.base import Store
    from ml_dash.store.tiered import TieredStore

_MOST_FILES = 16_384
"""Descriptors that the server asks the system for."""
_NOBODY = "ml-dash-ready"
"""An id and a key that are of nothing."""


def check_place(settings: Settings) -> None:
    """Raise `OSError` where nothing can be written to the folder, which is made if need be."""
    if settings.store is None:
        return
    os.makedirs(settings.store, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=settings.store, prefix=".tmp-"):
            pass
    except OSError as e:
        raise OSError(e.errno, f"the store's folder cannot be written: {e.strerror}", settings.store) from None


def count_tokens(settings: Settings) -> int:
    """How many tokens there are. Raises `CorruptData`, `OSError`, `Unavailable`."""
    if settings.mongo is None:
        return len(TokenFile(settings.store or "").load())
    from ml_dash.server.mongo_tokens import MongoTokens

    with closing(MongoTokens(settings.mongo)) as tokens:
        return len(tokens.load())


@contextmanager
def live_tokens(settings: Settings, log: Log) -> Iterator[LiveTokens]:
    """The tokens as they are while the block runs."""
    if settings.mongo is None:
        yield FileTokens(TokenFile(settings.store or ""), log)
        return
    from ml_dash.server.mongo_tokens import MongoTokens
    from ml_dash.server.polled_tokens import PolledTokens

    with closing(MongoTokens(settings.mongo)) as tokens, closing(PolledTokens(tokens, log)) as live:
        yield live


def opened(settings: Settings) -> Store:
    """The store. Whoever opens it closes it."""
    if settings.mongo is None:
        return open_store(settings.store, descriptors=descriptors())
    descriptors()
    return open_store(mongo=settings.mongo, s3=settings.s3, s3_endpoint=settings.s3_endpoint)


def readiness(store: Store, settings: Settings) -> Readiness:
    """What tells whether the server can work."""
    if settings.mongo is None:
        return of_folder(store, settings.store)
    tiers = cast("TieredStore", store)

    def hot() -> None:
        with tiers.hot.asking():
            tiers.hot.runs.find_one({"_id": _NOBODY}, {"_id": 1})

    def cold() -> None:
        with suppress(NotFound):
            tiers.cold.get(_NOBODY)

    return of_tiers(hot, cold)


def descriptors() -> int:
    """How many files of series are kept open: half of what this process may have, once it has asked for more. The rest is for
    connections. Opening a file again costs more than a row."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return max(4, min(_MOST_FILES if soft == resource.RLIM_INFINITY else soft, _MOST_FILES) // 2)
