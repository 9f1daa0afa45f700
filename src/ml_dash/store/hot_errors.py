"""What MongoDB's failure means and what to do about it, in this package's errors. Nothing is sent from here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bson
from pymongo import errors

from ml_dash.errors import InvalidInput, PermissionDenied, Unavailable

RETRY_AFTER = 1.0
"""Seconds to wait for what passes by itself."""
_DENIED = {13, 18, 8000}
"""Codes: Unauthorized, AuthenticationFailed, AtlasError."""


@contextmanager
def in_words() -> Iterator[None]:
    """Let errors of the driver say what to do."""
    try:
        yield
    except (errors.ConnectionFailure, errors.ExecutionTimeout, errors.WTimeoutError, errors.WaitQueueTimeoutError) as e:
        raise Unavailable(f"MongoDB does not answer: {_short(e)}", RETRY_AFTER) from e
    except errors.OperationFailure as e:
        if e.code in _DENIED:
            raise PermissionDenied(f"MongoDB refuses this server's user: {_short(e)}") from e
        raise Unavailable(f"MongoDB failed: {_short(e)}", RETRY_AFTER) from e
    except errors.DocumentTooLarge as e:
        raise InvalidInput(
            "rows: they are more than one document of MongoDB's holds (16 MB); send fewer at a time."
        ) from e
    except (errors.PyMongoError, bson.errors.BSONError) as e:
        raise Unavailable(f"MongoDB failed: {_short(e)}", RETRY_AFTER) from e


def public(uri: str) -> str:
    """The URI without its password."""
    head, at, tail = uri.rpartition("@")
    scheme, found, _ = head.partition("://")
    return f"{scheme}://…@{tail}" if at and found else uri


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) < 300 else text[:300] + " …"
