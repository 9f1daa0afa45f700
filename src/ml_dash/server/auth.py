"""Who sent a request: the token in its `Authorization` header, or the cookie of somebody who has signed in with one, looked up in
the tokens as they are now. No routes but the ones that go by rules of their own, no store.

A tokens' file is looked at (one `stat`) at every request, so that a token that is made or revoked counts from the next
one on. When in doubt the server is closed: tokens that cannot be read, or that are gone after there were some, let
nobody in, and the log says why.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import re
import time
from collections.abc import Callable, Collection, Sequence

from ml_dash.errors import MlDashError
from ml_dash.server import cookie, guard
from ml_dash.server.access_log import Log
from ml_dash.server.asgi import Header, HttpScope, Refused, header_values
from ml_dash.server.caller import ANYBODY, NOBODY, Caller
from ml_dash.server.tokens import Token, TokenFile, Tokens, digest
from ml_dash.store.wire import Problem
from ml_dash.times import parse_iso

_BROWSED = re.compile(r"/docs(/[^/]*)?|/openapi\.json|/metrics")
"""Where a token may also come as the password of Basic authentication, so that a browser can ask for it. Browsers send that of
their own accord from then on, also where another site makes them: nothing may be changed here."""
SESSION = "/api/v1/session"
"""Where somebody without a token signs in, with the methods of `_OPEN`."""
_OPEN = frozenset({"GET", "HEAD", "POST", "DELETE"})
_BY_COOKIE = re.compile(r"/api/v1/.*|/docs(/[^/]*)?|/openapi\.json|/metrics", re.DOTALL)
"""Where a cookie counts: what the page asks for, and what people look at. The published clients' routes know tokens alone."""
_READING = frozenset({"GET", "HEAD"})
OWN_HEADER = b"x-ml-dash"
"""With the value 1 it comes with whatever changes something by a cookie: a form of another site cannot send it, and a script of
one would have to be allowed to."""
_BEARER: Header = (b"www-authenticate", b'Bearer realm="ml-dash"')
_INVALID: Header = (b"www-authenticate", b'Bearer realm="ml-dash", error="invalid_token"')
_BASIC: Header = (b"www-authenticate", b'Basic realm="ml-dash, the token as the password", charset="UTF-8"')
_HOW = "Whoever runs the server makes one with `ml-dash token create`; give it as api_key= or in ML_DASH_API_KEY."
_SELF_SIGNED = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_CLOSED_SECONDS = 10.0
"""Seconds after which to ask again where the tokens cannot be read."""


class LiveTokens:
    """What a server knows of its tokens."""

    def __init__(self, source: Tokens, log: Log) -> None:
        """Looks once; what cannot be read then is `damage`."""
        self._source = source
        self._log = log
        self._known: dict[str, Token] = {}
        self._named: dict[str, Token] = {}
        self._any = False
        self.damage: str | None = None
        """Why nobody is let in, None where all is well."""
        self.look()

    @property
    def exist(self) -> bool:
        """Whether there is a token, valid or not, or was one since this process has started."""
        return self._any or self.damage is not None

    def refresh(self) -> None:
        """Called before each request: see to it that what is known is of now. Must not wait for a network."""
        self.look()

    def look(self) -> None:
        """Read the tokens."""
        try:
            tokens = self._source.load()
        except (MlDashError, OSError) as e:
            self._tell(str(e))
        else:
            self._take(tokens)

    def _take(self, tokens: Sequence[Token]) -> None:
        """These are the tokens now."""
        if self._any and not tokens:
            self._tell(f"{self._source.where} is gone or empty, and there were tokens.")
            return
        self._known = {token.sha256: token for token in tokens}
        self._named = {token.id: token for token in tokens}
        self._any = self._any or bool(tokens)
        if self.damage is not None:
            self.damage = None
            self._log.write("info", "tokens readable", message="The tokens can be read again.")

    def _tell(self, damage: str) -> None:
        """Nobody is let in from now on. `_known` stays: `damage` is asked first."""
        if damage != self.damage:
            self._log.write("error", "tokens unreadable", message=f"Nobody is let in: {damage}")
        self.damage = damage

    def find(self, secret: str) -> Token | None:
        """The token with this text, valid or not. What is compared are hashes, which a client cannot choose bit by bit; the
        comparison that decides takes the same time wherever they differ."""
        told = digest(secret)
        token = self._known.get(told)
        return token if token is not None and hmac.compare_digest(token.sha256, told) else None

    def named(self, token: str) -> Token | None:
        """The token with this id, valid or not."""
        return self._named.get(token)


class FileTokens(LiveTokens):
    """The tokens of the store's folder as they are now."""

    def __init__(self, file: TokenFile, log: Log) -> None:
        self._path = file.path
        self._seen = self._state()
        super().__init__(file, log)

    def refresh(self) -> None:
        """Read the file anew if it has changed."""
        seen = self._state()
        if seen != self._seen:
            self._seen = seen
            self.look()

    def _state(self) -> tuple[int, ...] | str | None:
        try:
            at = os.stat(self._path)
        except FileNotFoundError:
            return None
        except OSError as e:
            return str(e)
        return at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size


class Attempts:
    """Failed authentications by client address: at most `limit` in `window` seconds are answered in full."""

    _MAX_ADDRESSES = 10_000

    def __init__(self, limit: int = 30, window: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._failed: dict[str, tuple[float, int]] = {}

    def failed(self, address: str) -> float:
        """Count one more; seconds to wait where there were too many, else 0."""
        now = self._clock()
        place = _network(address)
        since, count = self._failed.pop(place, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        while len(self._failed) >= self._MAX_ADDRESSES:
            self._failed.pop(next(iter(self._failed)))
        self._failed[place] = (since, count + 1)
        return since + self._window - now if count >= self._limit else 0.0


def _network(address: str) -> str:
    """One subscriber's addresses are one: of IPv6 he has 2^64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address


class Gate:
    """Lets requests in, as a `Caller`. `local` is whether the server listens on loopback alone."""

    def __init__(
        self,
        tokens: LiveTokens,
        *,
        local: bool = True,
        allowed_hosts: Collection[str] = (),
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._local = local
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._attempts = attempts or Attempts()
        self._clock = clock

    @property
    def asks(self) -> bool:
        """Whether requests need a token."""
        return self._tokens.exist

    def admit(self, scope: HttpScope) -> Caller:
        """Who sent the request; `NOBODY` only where somebody may sign in. Raises `Refused`."""
        self._tokens.refresh()
        if self._tokens.damage is not None or not (self._local or self._tokens.exist):
            raise Refused(
                503,
                Problem(
                    "Unavailable",
                    "the server cannot read its tokens, so it lets nobody in; its log says why.",
                    retry_after=_CLOSED_SECONDS,
                ),
                "closed",
            )
        self._check_place(scope)
        return self._caller(scope) if self._tokens.exist else ANYBODY

    def admit_to_page(self, scope: HttpScope) -> Caller:
        """`NOBODY`, who may have the page, as it holds nothing of anybody's, where the server is meant. Raises `Refused`."""
        self._tokens.refresh()
        self._check_place(scope)
        return NOBODY

    def _check_place(self, scope: HttpScope) -> None:
        if not self._tokens.exist and self._local:
            guard.check_local(scope)
        elif self._allowed:
            guard.check_host(scope, self._allowed)

    def sign_in(self, scope: HttpScope, secret: str) -> tuple[Caller, str]:
        """Who has the token with the text `secret`, and the `Set-Cookie` that keeps him signed in, "" where nobody is asked. To be called
        for a request that was admitted. Raises `Refused`."""
        if not self._tokens.exist:
            return ANYBODY, ""
        _check_own_page(scope)
        token = self._valid(scope, secret, browsed=False)
        left = cookie.LONGEST if token.expires is None else parse_iso(token.expires) / 1000 - self._clock()
        value = cookie.locked(token, secret)
        return _caller_of(token), cookie.header(
            scope, value, max(1, int(min(left, cookie.LONGEST))), secure=_by_tls(scope)
        )

    def sign_out(self, scope: HttpScope) -> str:
        """The `Set-Cookie` that has the browser forget. Raises `Refused`."""
        if self._tokens.exist:
            _check_own_page(scope)
        return cookie.header(scope, "", 0, secure=_by_tls(scope))

    def _caller(self, scope: HttpScope) -> Caller:
        browsed = _BROWSED.fullmatch(scope["path"]) is not None and scope["method"] in _READING
        sent = header_values(scope, b"authorization")
        if not sent and _BY_COOKIE.fullmatch(scope["path"]) and (cookies := cookie.sent(scope)):
            return self._signed_in(scope, cookies, browsed=browsed)
        if not sent and _may_sign_in(scope):
            return NOBODY
        secret = _secret(sent[0], browsed=browsed) if len(sent) == 1 else None
        if secret is None:
            raise self._refused(_no_token(sent), "no token", browsed=browsed)
        return _caller_of(self._valid(scope, secret, browsed=browsed))

    def _valid(self, scope: HttpScope, secret: str, *, browsed: bool) -> Token:
        """The token with the text `secret`. Raises `Refused` where it is none or no longer, and counts that."""
        token = self._tokens.find(secret)
        state = "unknown" if token is None else token.state(self._clock())
        if token is not None and state == "valid":
            return token
        refused = self._refused(_not_valid(secret, token, state), state, browsed=browsed, invalid=True)
        refused.token = "" if token is None else token.id
        client = scope.get("client")
        wait = self._attempts.failed(client[0] if client else "")
        if wait:
            message = f"{refused} Too many requests from this address had no valid token: wait {wait:.0f} s."
            raise Refused(429, Problem("Unavailable", message, retry_after=wait), "too many", token=refused.token)
        raise refused

    def _signed_in(self, scope: HttpScope, cookies: Sequence[str], *, browsed: bool) -> Caller:
        """Whose cookie it is. One that is not valid is not counted as a guess: it is of 256 bits, and a page that was left open
        would have its user wait for a minute before he may sign in again."""
        _check_own_page(scope)
        token = cookie.opened(cookies[0], self._tokens.named) if len(cookies) == 1 else None
        state = "unknown" if token is None else token.state(self._clock())
        if token is not None and state == "valid":
            return _caller_of(token)
        if _may_sign_in(scope):
            return NOBODY
        refused = self._refused(_signed_out(cookies, token, state), f"cookie {state}", browsed=browsed, invalid=True)
        refused.token = "" if token is None else token.id
        raise refused

    def _refused(self, message: str, reason: str, *, browsed: bool, invalid: bool = False) -> Refused:
        ways = [_INVALID if invalid else _BEARER, *([_BASIC] if browsed else [])]
        return Refused(401, Problem("PermissionDenied", message), reason, ways)


def _caller_of(token: Token) -> Caller:
    return Caller(token.scope, token.namespaces or None, token.id)


def _may_sign_in(scope: HttpScope) -> bool:
    return scope["path"] == SESSION and scope["method"] in _OPEN


def _by_tls(scope: HttpScope) -> bool:
    """Whether the browser asked by https. A proxy that is not trusted tells nothing, the browser's own `Origin` does."""
    return scope.get("scheme") == "https" or any(one.startswith("https://") for one in header_values(scope, b"origin"))


def _check_own_page(scope: HttpScope) -> None:
    """Raise `Refused` where not a page of this server sent a request that goes by a cookie, or might be made to get one."""
    guard.check_own_page(scope)
    if scope["method"] not in _READING and header_values(scope, OWN_HEADER) != ["1"]:
        raise Refused(
            403,
            Problem(
                "PermissionDenied",
                "X-ML-Dash: a request that changes something by a cookie needs this header, with the value 1, as the dashboard's own "
                "have it. Programs send a token: `Authorization: Bearer <token>`.",
            ),
            "header",
        )


def _secret(header: str, *, browsed: bool) -> str | None:
    """The token in an `Authorization` header; None where it holds none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() != "basic" or not browsed:
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _no_token(sent: list[str]) -> str:
    if len(sent) > 1:
        return "the request has two Authorization headers; send one."
    if sent:
        return f"Authorization: expected `Bearer <token>`; got another kind. {_HOW}"
    return f"this server asks for a token, and the request has none. {_HOW}"


def _not_valid(secret: str, token: Token | None, state: str) -> str:
    if token is not None and state == "revoked":
        return f"the token {token.id} was revoked at {token.revoked}. {_HOW}"
    if token is not None:
        return f"the token {token.id} expired at {token.expires}. {_HOW}"
    if _SELF_SIGNED.fullmatch(secret):
        return (
            "this token was made by the client itself, from user_name=. Anybody can make such, so only a server without "
            f"tokens, on the user's own machine, goes by them. This server asks for one of its own. {_HOW}"
        )
    return f"the token is not one of this server's. {_HOW}"


def _signed_out(cookies: Sequence[str], token: Token | None, state: str) -> str:
    again = "Sign in again with a token that is valid."
    if len(cookies) > 1:
        return "the browser sent two cookies of one name, so that neither counts. Delete this site's cookies, then sign in again."
    if token is not None and state == "revoked":
        return f"the token {token.id}, with which you signed in, was revoked at {token.revoked}. {again}"
    if token is not None:
        return f"the token {token.id}, with which you signed in, expired at {token.expires}. {again}"
    return f"you were signed in with a token that is not one of this server's. {again}"
