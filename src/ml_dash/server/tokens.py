"""Tokens: what one is, how it is made and revoked, and the file that holds those of a folder. No HTTP; needs nothing of the
extra `[server]`.

The file is ``<store folder>/.server/tokens.json``, for its owner alone. It holds no secret, only each one's SHA-256: a
secret is 256 random bits, so that nothing slower than one hash is needed to keep it from being guessed. A record stays
when its token is revoked or has expired, so that a server that ever had tokens never runs without.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from ml_dash.errors import InvalidInput, NotFound
from ml_dash.names import check_run_name
from ml_dash.server.caller import SCOPES, Scope
from ml_dash.store import locks
from ml_dash.store.atomic import write_atomically
from ml_dash.store.run_folders import SERVER
from ml_dash.store.wire import Corrupt
from ml_dash.times import iso, parse_iso

PREFIX = "mld_"
"""What the text of a token begins with, so that people and scanners of source code know it for one."""
_BYTES = 32
_VERSION = 1
_MAX_NAME = 200
_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([0-9]{1,6})([hdw])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+Z?)?")


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token; `sha256` is in hex, `namespaces` empty covers all. Times are as in run records.

    A field that is not known here is an error: it may narrow what the token allows.
    """

    id: str
    name: str
    sha256: str
    scope: Scope
    namespaces: tuple[str, ...]
    created: str
    expires: str | None = None
    revoked: str | None = None

    def state(self, now: float) -> str:
        """``valid``, ``expired`` or ``revoked`` at `now` (unix seconds)."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and parse_iso(self.expires) <= now * 1000 else "valid"


class Tokens(Protocol):
    """Where the tokens of a server are kept. `where` says so to people."""

    where: str

    def load(self) -> tuple[Token, ...]:
        """Every token that was ever made, oldest first. Raises `CorruptData` where one is not as `create` and `revoke` leave
        it, `OSError` or `Unavailable` where they cannot be read."""

    def create(
        self, scope: str, namespaces: Sequence[str] = (), *, name: str = "", expires: str | None = None
    ) -> tuple[Token, str]:
        """Make a token: its record and its text, which is kept nowhere. Arguments and errors are `mint`'s."""

    def revoke(self, token: str) -> Token:
        """Revoke the token with the id `token`; one that was revoked stays as it is. Raises `NotFound`."""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    tokens: tuple[Token, ...]


class TokenFile:
    """The tokens of the store in the folder `store`. Every process may change them; each change is one rename. Raises
    `InvalidInput` for what is no folder."""

    def __init__(self, store: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        if "://" in os.fspath(store):
            raise InvalidInput(f"store: only folders can be served by this version; got {os.fspath(store)!r}.")
        self.folder = os.path.join(os.fspath(store), SERVER)
        self.path = os.path.join(self.folder, "tokens.json")
        self.where = os.path.abspath(self.path)
        self._clock = clock

    def load(self) -> tuple[Token, ...]:
        """See `Tokens.load`; none where there is no file."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return ()
        return self._parsed(data)

    def _parsed(self, data: bytes) -> tuple[Token, ...]:
        try:
            document = msgspec.json.decode(data, type=_Document)
            check_all(document.tokens)
            if document.version != _VERSION:
                raise ValueError(f"its version is {document.version}, this is ml-dash for version {_VERSION}")
        except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
            raise Corrupt(
                f"{self.path} is damaged ({e}), so no token is accepted. Bring it back from a backup; or move it away and "
                "make new tokens with `ml-dash token create`.",
                self.path,
                0,
            ) from e
        return document.tokens

    def create(
        self, scope: str, namespaces: Sequence[str] = (), *, name: str = "", expires: str | None = None
    ) -> tuple[Token, str]:
        """See `Tokens.create`."""
        token, secret = mint(scope, namespaces, name, expires, self._clock())
        with self._changing() as tokens:
            while any(token.id == one.id for one in tokens):
                token = msgspec.structs.replace(token, id=new_id())
            tokens.append(token)
        return token, secret

    def revoke(self, token: str) -> Token:
        """See `Tokens.revoke`."""
        with self._changing() as tokens:
            at = next((i for i, one in enumerate(tokens) if one.id == token), None)
            if at is None:
                raise unknown(token, self.path)
            if tokens[at].revoked is None:
                tokens[at] = msgspec.structs.replace(tokens[at], revoked=iso(int(self._clock() * 1000)))
            return tokens[at]

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens, to be changed under the lock; written when the block ends well."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        if os.stat(self.folder).st_mode & 0o077:
            os.chmod(self.folder, 0o700)
        with locks.locked_file(os.path.join(self.folder, ".lock")):
            tokens = list(self.load())
            yield tokens
            document = msgspec.json.encode(_Document(_VERSION, tuple(tokens)))
            write_atomically(self.path, msgspec.json.format(document, indent=2) + b"\n", mode=0o600)


def mint(scope: str, namespaces: Sequence[str], name: str, expires: str | None, now: float) -> tuple[Token, str]:
    """A new token and its text. `now` is unix seconds, `expires` as of `expiry`. Raises `InvalidInput`."""
    known = next((one for one in SCOPES if one == scope), None)
    if known is None:
        raise InvalidInput(f"scope: expected one of {', '.join(SCOPES)}; got {scope!r}.")
    for namespace in namespaces:
        check_run_name("namespace", namespace)
    if len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidInput(f"name: expected at most {_MAX_NAME} printable characters; got {name!r}.")
    until = iso(expiry(expires, now)) if expires is not None else None
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    return Token(
        id=new_id(),
        name=name,
        sha256=digest(secret),
        scope=known,
        namespaces=tuple(dict.fromkeys(namespaces)),
        created=iso(int(now * 1000)),
        expires=until,
    ), secret


def new_id() -> str:
    """Short enough to type; another token may have it."""
    return secrets.token_hex(4)


def unknown(token: str, where: str) -> NotFound:
    """The error for a token that is not there."""
    return NotFound(f"there is no token with the id {token!r} in {where}. `ml-dash token list` shows all.")


def digest(secret: str) -> str:
    """What is kept of a token's text. Whatever a client sends has one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def expiry(text: str, now: float) -> int:
    """``30d``, ``12h``, ``2w`` from `now` (unix seconds) on, or a date or time in UTC (``2027-01-31``, ``2027-01-31T09:30Z``), as
    unix ms. Raises `InvalidInput` for what is neither, or has passed."""
    span = _SPAN.fullmatch(text)
    try:
        at = int((now + int(span[1]) * _UNITS[span[2]]) * 1000) if span else _date(text)
        iso(at)
    except (ValueError, OverflowError) as e:
        raise InvalidInput(
            f"expires: expected a span such as 12h, 30d or 8w, or a date such as 2027-01-31; got {text!r}."
        ) from e
    if at <= now * 1000:
        raise InvalidInput(f"expires: {text!r} has passed; it is {iso(int(now * 1000))} now.")
    return at


def _date(text: str) -> int:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return parse_iso(text)


def check_all(tokens: Sequence[Token]) -> None:
    """Raise `ValueError` where a record is not as it was made, or two are of one token."""
    for token in tokens:
        _check(token)
    for field in ("id", "sha256"):
        if len({getattr(token, field) for token in tokens}) != len(tokens):
            raise ValueError(f"two tokens have the same {field}")


def _check(token: Token) -> None:
    """Raise `ValueError` where a record's text is not what it says."""
    if not re.fullmatch("[0-9a-f]{64}", token.sha256) or not token.id:
        raise ValueError(f"token {token.id!r} has no SHA-256")
    for moment in (token.created, token.expires, token.revoked):
        if moment is not None:
            parse_iso(moment)
