"""What a route is: one value from which both the handler and its entry in the OpenAPI document are made, so that they cannot differ.
Knows no store and no particular route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import msgspec.inspect
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_dash.errors import InvalidInput
from ml_dash.server import bodies, refusals, renderings
from ml_dash.server.caller import ANYBODY, Caller, Scope
from ml_dash.server.service import Service
from ml_dash.store import wire

T = TypeVar("T")


class NoQuery(msgspec.Struct):
    """A route without query parameters."""


class Call:
    """One request to an endpoint."""

    __slots__ = ("_held", "caller", "request", "service")

    def __init__(self, request: Request, service: Service, caller: Caller, held: bodies.Held) -> None:
        self.request = request
        self.service = service
        self.caller = caller
        self._held = held

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def query(self, kind: type[T]) -> T:
        """The query parameters. Raises `InvalidInput` naming what is wrong; those that no field has are passed over."""
        sent = self.request.query_params
        given = dict(sent) | {name: sent.getlist(name) for name in _lists(kind)}
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as e:
            raise InvalidInput(f"query: {str(e).replace('`$.', '`')}; see /docs.") from None

    async def body(self, what: str, limit: int, decoded: int, media_type: str) -> Callable[[], bytes]:
        """The body, received; what is returned decompresses it, and is called off the event loop."""
        sent_as = self.request.headers.get("content-type", media_type).partition(";")[0].strip().lower()
        if sent_as != media_type:
            raise refusals.Refused(415, f"Content-Type: expected {media_type}; got {sent_as[:60]!r}.")
        coding = bodies.coding_of(self.request)
        sent = await bodies.receive(self.request, what, limit, self.service.limits.stall, self._held)
        return lambda: bodies.decompressed(sent, coding, what, decoded, self._held)

    async def record(self, kind: type[T], limit: int | None = None) -> Callable[[], T]:
        """The body as a record, of `limit` bytes at most; what is returned is called off the event loop."""
        limit = limit or self.service.limits.record
        body = await self.body("the body", limit, limit, refusals.JSON)
        return lambda: wire.load(body(), kind)

    async def answer(self, make: Callable[[], bytes], media_type: str = refusals.JSON) -> Response:
        """What `make()` gives, called off the event loop; compressed there where the client takes it."""
        coding = renderings.coding_for(self.request.headers.get("accept-encoding", ""))

        def made() -> tuple[bytes, dict[str, str]]:
            body = make()
            if not coding or len(body) < renderings.SMALL:
                return body, {}
            return renderings.compressed(body, coding), {"Content-Encoding": coding}

        content, headers = await self.service.calls.run(made)
        return Response(content, 200, {"Vary": "Accept-Encoding", **headers}, media_type)


def _lists(kind: type[Any]) -> Sequence[str]:
    """The parameters that may come more than once."""
    if kind not in _KNOWN:
        told = msgspec.inspect.type_info(kind)
        assert isinstance(told, msgspec.inspect.StructType)
        _KNOWN[kind] = [one.encode_name for one in told.fields if isinstance(one.type, msgspec.inspect.ListType)]
    return _KNOWN[kind]


_KNOWN: dict[type[Any], Sequence[str]] = {}


class Body(NamedTuple):
    """What a route takes: a record as JSON, or bytes of a type of their own."""

    kind: Any
    media_type: str = refusals.JSON
    description: str = ""


class Endpoint(NamedTuple):
    """A route of the API. `scope` is what it needs, None nothing. `answer` is the type of a JSON answer, or a media type, or None where
    there is no content."""

    method: str
    path: str
    scope: Scope | None
    handle: Callable[[Call], Awaitable[Response]]
    summary: str
    answer: Any
    query: type[msgspec.Struct] = NoQuery
    body: Body | None = None

    def route(self, service: Service) -> Route:
        """The route as Starlette takes it."""

        async def handle(request: Request) -> Response:
            caller = caller_of(request)
            if self.scope is not None:
                caller.require(self.scope)
            with service.budget.hold() as held:
                return await self.handle(Call(request, service, caller, held))

        return Route(self.path, handle, methods=[self.method], name=self.handle.__name__)


def caller_of(request: Request) -> Caller:
    """Whom the edge found to be asking."""
    caller = request.scope.get("state", {}).get("caller", ANYBODY)
    assert isinstance(caller, Caller)
    return caller
