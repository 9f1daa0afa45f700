"""From where a request may come, whoever sent it. Looks at headers alone; knows no token.

A server without tokens trusts its machine's own users and nobody else. What they run beside it is not all theirs: a page
of any site in their browser can send requests to loopback. Such a page gives itself away by what the browser, not the page, writes:
`Host` names the site where its name was made to resolve to 127.0.0.1 (DNS rebinding), `Origin` and `Sec-Fetch-Site` name the
page's site where it posts across sites. A proxy that passes on requests of other machines gives itself away by the
headers that proxies add. With tokens none of these can do anything: a page has no token, and browsers send a bearer
token to no site of their own accord.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from ml_dash.server.asgi import HttpScope, Refused, header_values
from ml_dash.store.wire import Problem

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\\\s]+)(?::([0-9]{1,5}))?")
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
_MAKE_ONE = "Make a token (`ml-dash token create`)"


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, means this machine and cannot be made to mean another one. Names other than
    "localhost" are looked up somewhere, and spellings such as 127.1 are not what a browser sends."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def split_host(value: str) -> tuple[str, str]:
    """(host in lower case, port or "") of a `Host` header or an origin's place; ("", "") where it is none."""
    found = _HOST.fullmatch(value)
    return (found[1].lower(), found[2] or "") if found else ("", "")


def check_local(scope: HttpScope) -> None:
    """Raise `Refused` where a request to a server without tokens does not come from this machine's own user."""
    host = _host(scope)
    if not is_loopback(host[0]):
        raise _refused(
            "host",
            f"Host: expected localhost, 127.0.0.1 or [::1]; got {_quoted(scope, b'host')}. This server has no tokens, so it "
            f"answers only this machine, by these names. {_MAKE_ONE} to use it by another.",
        )
    for name in _FORWARDED:
        if header_values(scope, name):
            raise _refused(
                "proxy",
                f"the request came through a proxy (it has the header {name.decode()}), and this server has no tokens: anybody who "
                f"reaches the proxy could read and delete everything. {_MAKE_ONE} first.",
            )
    _check_origin(scope, host)


def _check_origin(scope: HttpScope, host: tuple[str, str]) -> None:
    origins = header_values(scope, b"origin")
    if origins and (len(origins) > 1 or split_host(_place(origins[0])) != host):
        raise _refused(
            "origin",
            f"Origin: a page of {_quoted(scope, b'origin')} sent this request. This server has no tokens, so it takes requests of "
            "its own pages and of programs, not of other sites.",
        )
    sites = header_values(scope, b"sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites) or _is_visit(scope):
        return
    raise _refused(
        "origin",
        f"Sec-Fetch-Site: a page of another site sent this request ({_quoted(scope, b'sec-fetch-site')}). This server has no "
        "tokens, so it takes requests of its own pages and of programs, not of other sites.",
    )


def check_own_page(scope: HttpScope) -> None:
    """Raise `Refused` where a page of another origin sent a request that a browser's cookie came with. `Sec-Fetch-Site` is the browser's
    own word; where it sends none (plain HTTP by another name than localhost) `Origin` must be here, if it says one: it is
    with every request that changes something, and what another page has read for it, that page does not get to see."""
    sites = header_values(scope, b"sec-fetch-site")
    origins = header_values(scope, b"origin")
    own = all(site in ("same-origin", "none") for site in sites)
    if not sites and origins:
        own = len(origins) == 1 and split_host(_place(origins[0])) == _host(scope) != ("", "")
    if not own:
        name, said = ("Sec-Fetch-Site", b"sec-fetch-site") if sites else ("Origin", b"origin")
        raise _refused(
            "origin",
            f"{name}: a page of another site sent this request ({_quoted(scope, said)}). Being signed in counts for this server's own "
            "pages; programs send a token: `Authorization: Bearer <token>`.",
        )


def _is_visit(scope: HttpScope) -> bool:
    """Whether somebody followed a link from another site to here: what comes back is shown to the user, not to that site."""
    mode, dest = header_values(scope, b"sec-fetch-mode"), header_values(scope, b"sec-fetch-dest")
    return scope["method"] == "GET" and mode == ["navigate"] and dest == ["document"]


def check_host(scope: HttpScope, allowed: Collection[str]) -> None:
    """Raise `Refused` where `Host` is neither one of `allowed` (lower case, without a port) nor loopback."""
    host = _host(scope)[0]
    if host not in allowed and not is_loopback(host):
        raise _refused(
            "host",
            f"Host: this server is not {_quoted(scope, b'host')}. Whoever runs it allows a name with --allowed-host.",
        )


def _host(scope: HttpScope) -> tuple[str, str]:
    """Two `Host` headers are none: a proxy may have looked at the other one."""
    hosts = header_values(scope, b"host")
    return split_host(hosts[0]) if len(hosts) == 1 else ("", "")


def _place(origin: str) -> str:
    """Host and port of an origin; "" of "null" and of what is none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in ("http", "https") and not (parts.path or parts.query) else ""


def _quoted(scope: HttpScope, name: bytes) -> str:
    """The header as it came, for a text: cut, since whoever sent it chose it."""
    return " and ".join(repr(value[:100]) for value in header_values(scope, name)[:2]) or "none"


def _refused(reason: str, message: str) -> Refused:
    return Refused(403, Problem("PermissionDenied", message), reason)
