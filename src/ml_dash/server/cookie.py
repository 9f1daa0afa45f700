"""The cookie of somebody who has signed in: the token, locked with what the server keeps of it. Pure; no routes, no tokens of its own.

What the server keeps of a token is its SHA-256; what the browser keeps is the token's text under a pad that is drawn from that
hash and a number used once. Neither gives anything away alone: who reads the tokens' file cannot make a cookie, as it takes the
text; who reads the cookie does not learn the text, as it takes the hash. A server that knows the token takes the pad off
and looks whether what is left is the token, so that every server over the same tokens takes the cookie, keeps nothing of it, and
refuses it once the token is revoked or expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ml_dash.server.asgi import HttpScope, header_values
from ml_dash.server.guard import split_host
from ml_dash.server.tokens import digest

if TYPE_CHECKING:
    from ml_dash.server.tokens import Token

NAME = "ml_dash"
LONGEST = 90 * 86400
"""Seconds that a browser keeps it; no longer than the token is valid."""
_PURPOSE = b"ml-dash cookie v1\0"
_NONCE = 16


def name_for(scope: HttpScope) -> str:
    """The cookie's name. Browsers keep cookies by host and not by port: two servers of one machine would sign each other's users out."""
    hosts = header_values(scope, b"host")
    port = split_host(hosts[0])[1] if len(hosts) == 1 else ""
    return f"{NAME}_{port}" if port else NAME


def sent(scope: HttpScope) -> list[str]:
    """The values that came under our name: more than one where somebody planted another."""
    name = name_for(scope)
    pairs = (part.strip().partition("=") for value in header_values(scope, b"cookie") for part in value.split(";"))
    return [value for found, _, value in pairs if found == name]


def locked(token: Token, secret: str) -> str:
    """The cookie's value for `token`, whose text is `secret`."""
    nonce = os.urandom(_NONCE)
    text = nonce + _padded(secret.encode(), token, nonce)
    return f"{quote(token.id, safe='')}.{base64.urlsafe_b64encode(text).decode().rstrip('=')}"


def opened(value: str, named: Callable[[str], Token | None]) -> Token | None:
    """The token that a cookie's value was made of, valid or not; None where it is of none that `named` (by id) knows."""
    who, _, text = value.partition(".")
    token = named(unquote(who))
    if token is None:
        return None
    try:
        held = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        secret = _padded(held[_NONCE:], token, held[:_NONCE]).decode()
    except (binascii.Error, ValueError):
        return None
    return token if hmac.compare_digest(digest(secret), token.sha256) else None


def header(scope: HttpScope, value: str, seconds: int, *, secure: bool) -> str:
    """The `Set-Cookie` that has a browser keep `value` for `seconds`; 0 and "" make it forget. No script reads it, and no other site's
    page has it sent."""
    kept = f"{name_for(scope)}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict"
    return kept + ("; Secure" if secure else "")


def _padded(text: bytes, token: Token, nonce: bytes) -> bytes:
    """`text` under the pad, or from under it. A pad is of its token and its nonce, and as long as the text."""
    pad = hashlib.shake_256(_PURPOSE + bytes.fromhex(token.sha256) + nonce).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, pad, strict=True))
