"""The routes by which somebody signs in at the dashboard, and the page learns who is looking at it. Who has a token is the gate's to
say, what a cookie holds is `cookie`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

import ml_dash
from ml_dash.server import refusals
from ml_dash.server.asgi import HttpScope
from ml_dash.server.auth import SESSION
from ml_dash.server.caller import ANYBODY, Caller, Scope
from ml_dash.server.endpoints import Body, Call, Endpoint

LARGEST = 8 * 1024
"""Bytes of a body here. Whoever has no token may send one: it is not to take the memory of those who have."""
_encode = msgspec.json.Encoder().encode


class Door(Protocol):
    """What a gate knows of signing in: see `auth.Gate`."""

    @property
    def asks(self) -> bool: ...

    def sign_in(self, scope: HttpScope, secret: str) -> tuple[Caller, str]: ...

    def sign_out(self, scope: HttpScope) -> str: ...


class Open:
    """The door of a server that asks nobody."""

    asks = False

    def sign_in(self, scope: HttpScope, secret: str) -> tuple[Caller, str]:
        """Anybody, without a cookie."""
        return ANYBODY, ""

    def sign_out(self, scope: HttpScope) -> str:
        """There is nothing to forget."""
        return ""


class SignIn(Struct):
    """The text of a token."""

    token: Annotated[str, Meta(min_length=1, max_length=1000)]


class Session(Struct):
    """Who is looking: `scope` is what he may do, `namespaces` what he sees (null: all of them), `token` the id of the token that he has
    signed in with; null where nobody has signed in. `asks_for_token` is false where everybody on this machine is let in. `place`
    says to people what is served, and is empty for those who need not know. `instance` is another text in each process of the server,
    and after each start."""

    signed_in: bool
    asks_for_token: bool
    scope: Scope | None
    namespaces: list[str] | None
    token: str | None
    version: str
    place: str
    instance: str


def endpoints(door: Door, place: str) -> list[Endpoint]:
    """The routes; `place` says to people what is served."""

    def told(call: Call, caller: Caller) -> Session:
        signed_in = caller.scope is not None
        sees_all = caller.namespaces is None
        return Session(
            signed_in=signed_in,
            asks_for_token=door.asks,
            scope=caller.scope,
            namespaces=None if sees_all or not signed_in else list(caller.namespaces or ()),
            token=caller.id or None,
            version=ml_dash.__version__,
            place=place if caller.may("admin") and sees_all else "",
            instance=call.service.instance,
        )

    async def session(call: Call) -> Response:
        return Response(_encode(told(call, call.caller)), 200, media_type=refusals.JSON)

    async def sign_in(call: Call) -> Response:
        asked: Callable[[], SignIn] = await call.record(SignIn, LARGEST)
        caller, cookie = door.sign_in(call.request.scope, asked().token.strip())
        call.request.scope.setdefault("state", {})["caller"] = caller
        return Response(_encode(told(call, caller)), 200, _kept(cookie), refusals.JSON)

    async def sign_out(call: Call) -> Response:
        return Response(None, 204, _kept(door.sign_out(call.request.scope)))

    return [
        Endpoint("GET", SESSION, None, session, "Who is signed in, and what he may do", Session),
        Endpoint("POST", SESSION, None, sign_in, "Sign in: a cookie in place of a token", Session, body=Body(SignIn)),
        Endpoint("DELETE", SESSION, None, sign_out, "Sign out: the browser forgets the cookie", None),
    ]


def _kept(cookie: str) -> dict[str, str]:
    return {"Set-Cookie": cookie} if cookie else {}
