"""Errors that are HTTP's own, and what an error's answer looks like. The table from errors to statuses is `store.wire`'s."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ml_dash.errors import InvalidInput, NotFound, Unavailable
from ml_dash.store import wire

JSON = "application/json"
_encode = msgspec.json.Encoder().encode


class Refused(InvalidInput):
    """A request that HTTP has a status of its own for."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Late(Unavailable):
    """The client stopped in the middle of what it was sending."""

    status = 408


def too_large(what: str, limit: int) -> Refused:
    """For a body that is larger than `limit` bytes."""
    return Refused(413, f"{what} is larger than the {limit} bytes that this server takes; send smaller ones.")


def answer(error: Exception, retry_after: float = 1.0) -> Response:
    """The answer for what the server's own code raised."""
    status, told = wire.problem(error)
    if isinstance(error, Refused):
        told.error = InvalidInput.__name__
    status = getattr(error, "status", status)
    headers = dict(getattr(error, "headers", {}))
    if status in (408, 503, wire.NOT_STORED):
        wait = retry_after if told.retry_after is None else told.retry_after
        told.retry_after = wait
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return Response(_encode(told), status, headers, JSON)


def fault() -> Response:
    """For an error in the server: what it was stands in the log."""
    text = "the server failed to answer this; its log says why. It is a defect of ml-dash: please report it."
    return Response(_encode(wire.Problem("Unavailable", text)), 500, {}, JSON)


async def of_routing(request: Request, error: Exception) -> Response:
    """For a path or a method that no route has."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return answer(NotFound(f"{where}: this server has no such route; /docs lists those that it has."))
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        what = f"{where}: this route has no such method; it has {allowed.get('Allow', 'others')}."
        return answer(Refused(405, what, allowed))
    return answer(Refused(error.status_code, f"{where}: {error.detail}", error.headers))


async def of_store(_request: Request, error: Exception) -> Response:
    """For the errors of `ml_dash.errors`, and for those of the system below a store."""
    return answer(error)
