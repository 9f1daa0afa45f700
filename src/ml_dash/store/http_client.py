"""One server over HTTP: its address, the token, the connections, and what their failures mean to a caller.

What is said over them is `wire`'s and `remote`'s; no route, record or series may come in here. Of httpx only the transport
is used: the client above it would follow redirects, keep cookies, and log every request among the user's own messages.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlencode, urlsplit

from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.store import wire

if TYPE_CHECKING:
    import socket

    import httpx

API = "/api/v1"
CONNECT_SECONDS = 5.0
"""How long to wait for a connection."""
ANSWER_SECONDS = 30.0
"""How long the server may keep silent, or take nothing."""
_IDLE_SECONDS = 30.0
"""How long a connection that nobody uses stays open."""
_KEPT = 16
"""Connections that stay open while nobody uses them."""
_PLAIN = 1024
"""Bytes of a body below which compressing costs more than it saves."""


class _Link:
    """The connections of one process. `sockets` are those that answered; a fork inherits them."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self.transport = transport
        self.sockets: set[socket.socket] = set()

    def note(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        found = stream.get_extra_info("socket") if stream is not None else None
        if found is not None and found not in self.sockets:
            self.sockets = {known for known in self.sockets if known.fileno() >= 0} | {found}

    def forget(self) -> None:
        """In a forked child: close the child's copies. The parent's connections live on: nothing is sent over them."""
        for inherited in self.sockets:
            with suppress(OSError):
                inherited.close()


class _Silence(threading.local, logging.Filter):
    """httpcore tells every step of a request, at DEBUG. While `held` in this thread that goes nowhere: in a log that is itself
    sent to a server, each request would make lines for the next."""

    held = False

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.held


_silence = _Silence()
_LOGGERS = ("httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


@contextmanager
def quietly() -> Iterator[None]:
    """Around whatever moves bytes of ours."""
    before, _silence.held = _silence.held, True
    try:
        yield
    finally:
        _silence.held = before


class HttpClient:
    """Requests to the server at `url`, from any thread and, after a fork, from any process. Keeps nothing but connections.

    `transport` stands in for the network, for tests.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        connect_timeout: float = CONNECT_SECONDS,
        timeout: float = ANSWER_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = checked_url(url)
        _load()
        self._headers = {"User-Agent": "ml-dash", "Accept-Encoding": "zstd, gzip", **authorization(api_key)}
        for name, seconds in (("connect_timeout", connect_timeout), ("timeout", timeout)):
            if not seconds > 0:
                raise InvalidInput(f"{name}: expected seconds, more than 0; got {seconds!r}.")
        self._timeout = {"connect": connect_timeout, "read": timeout, "write": timeout, "pool": timeout}
        self._transport = transport
        self._links: dict[int, _Link] = {}
        """By process id: what a child finds here of another process is its parent's. No lock, which a fork could find taken."""

    # ------------------------------------------------------------ calls

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: bytes | Iterable[bytes] = b"",
        content_type: str = "application/json",
        *,
        again: bool,
    ) -> bytes | None:
        """The body of the answer, None for 204. `again` says that the request may come twice without harm: it is sent once more
        where its connection ended before there was any answer. `query` goes without its None values; a list is its
        values, each under the name. Raises what the answer stands for, `Unavailable` where there is none."""
        import httpx

        response = self.open(method, path, query, content, content_type, again=again)
        try:
            with quietly():
                body = response.read()
        except httpx.RequestError as e:
            raise Unavailable(f"{self.url}: the answer to {method} {path} came in part ({_why(e)}).") from e
        finally:
            response.close()
        self._check(response, body, f"{method} {self.url}{API}{path}")
        return None if response.status_code == 204 else body

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: bytes | Iterable[bytes] = b"",
        content_type: str = "application/json",
        *,
        again: bool,
    ) -> httpx.Response:
        """The answer with its body still to come, whatever its status; the caller closes it."""
        import httpx

        headers = dict(self._headers)
        if content or method not in ("GET", "DELETE"):
            headers["Content-Type"] = content_type
        if isinstance(content, bytes) and len(content) >= _PLAIN:
            content = compressed(content)
            headers["Content-Encoding"] = "zstd"
        target = f"{self.url}{API}{path}{_query(query)}"
        for last in (not again, True):
            link = self._link()
            request = httpx.Request(
                method, target, headers=headers, content=content, extensions={"timeout": self._timeout}
            )
            try:
                with quietly():
                    response = link.transport.handle_request(request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as e:
                if last:
                    raise self._unavailable(e) from e
            except httpx.RequestError as e:
                raise self._unavailable(e) from e
            else:
                link.note(response)
                return response
        raise AssertionError

    def check(self, response: httpx.Response, where: str) -> None:
        """Raise what `response`, whose body is still to come, stands for, unless it is a success. Closes it then."""
        import httpx

        if response.status_code == 200:
            return
        try:
            with quietly():
                body = response.read()
        except httpx.RequestError:
            body = b""
        finally:
            response.close()
        self._check(response, body, where)
        raise Unavailable(f"{where}: HTTP {response.status_code} is no answer to this; is this an ml-dash server?")

    def close(self) -> None:
        """End the connections; the next call makes new ones. A call under way in another thread raises `Unavailable`."""
        link = self._links.pop(os.getpid(), None)
        if link is not None:
            with quietly():
                link.transport.close()

    # ------------------------------------------------------------ what failures mean

    def _check(self, response: httpx.Response, body: bytes, where: str) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise Unavailable(_moved(self.url, status, response.headers.get("location", "")))
        raise wire.error_of(status, body, where, _seconds(response.headers.get("retry-after")))

    def _unavailable(self, error: httpx.RequestError) -> Unavailable:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            what = f"{self.url} cannot be reached ({_why(error)}). Check the URL, and that `ml-dash server` runs there."
        elif isinstance(error, httpx.TimeoutException):
            what = f"{self.url} did not answer within {self._timeout['read']:g} s. Try again, or give a longer timeout."
        elif isinstance(error, httpx.ProxyError):
            what = f"{self.url}: the proxy that the environment names refused ({_why(error)}). Correct it, or set NO_PROXY."
        else:
            what = f"{self.url}: the connection ended before there was an answer ({_why(error)}). Try again."
        return Unavailable(what)

    # ------------------------------------------------------------ connections

    def _link(self) -> _Link:
        pid = os.getpid()
        link = self._links.get(pid)
        if link is None:
            for inherited in list(self._links):
                parents = self._links.pop(inherited, None)
                if parents is not None and self._transport is None:
                    parents.forget()
            made = _Link(self._transport or self._connect())
            link = self._links.setdefault(pid, made)
            if link is not made and self._transport is None:
                made.transport.close()  # another thread was first
            elif self._transport is None:
                # Whoever asks once more after `close`, and lets go of this, leaves no connection.
                weakref.finalize(self, made.transport.close)
        return link

    def _connect(self) -> httpx.BaseTransport:
        import httpx

        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_silence)
        parts = urlsplit(self.url)
        loopback = is_loopback(parts.hostname or "")
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_IDLE_SECONDS)
        try:
            return httpx.HTTPTransport(
                verify=parts.scheme == "https" or not loopback,  # certificates take long to load
                limits=limits,
                proxy=None if loopback else _proxy(parts),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as e:
            raise InvalidInput(f"{self.url}: the proxy that the environment names cannot be used: {e}") from e


def _load() -> None:
    """Import all that a request needs, on the thread that opens the store. Left to a thread behind, a fork could come in the
    middle: a child that then imports any of it waits for ever for a thread that it does not have."""
    import urllib.request  # noqa: F401

    import certifi  # noqa: F401
    import httpcore  # noqa: F401
    import httpx  # noqa: F401
    import zstandard  # noqa: F401


def compressed(body: bytes) -> bytes:
    """`body` as zstd. The compressor is this call's own: shared by threads it would spoil data."""
    import zstandard

    return zstandard.ZstdCompressor(level=1).compress(body)


# ---------------------------------------------------------------- addresses


def checked_url(url: str) -> str:
    """`url` as requests begin with it: without the slash at its end. Raises `InvalidInput` for what is no server's address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as e:  # UnicodeError, of a host that is no name, is one
        raise _no_address(url, str(e)) from None
    if parts.scheme not in ("http", "https"):
        raise _no_address(url, f"the scheme is {parts.scheme!r}" if parts.scheme else "there is no scheme")
    if not parts.hostname:
        raise _no_address(url, "there is no host")
    if parts.username is not None or parts.password is not None:
        raise _no_address(url, "it holds a user or password; give api_key= a token instead")
    if "?" in url or "#" in url:
        raise _no_address(url, "it goes on after the path, with ? or #")
    if any(sign <= " " or sign == "\x7f" for sign in url):
        raise _no_address(url, "it holds a space or a control character")
    path = parts.path.rstrip("/")
    if path.endswith(API):
        raise _no_address(url, f"{API} is added to it; leave that out")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _no_address(url: str, why: str) -> InvalidInput:
    shown = f"{url.partition('://')[0]}://…@{url.rpartition('@')[2]}" if "@" in url else url  # errors end up in logs
    return InvalidInput(f"{shown!r} is no address of a server: {why}. Expected one such as http://localhost:3000.")


def authorization(api_key: str | None) -> dict[str, str]:
    """The header that shows the token. Raises `InvalidInput`, without the token, for what is none."""
    if api_key is None:
        return {}
    if not isinstance(api_key, str) or not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
        raise InvalidInput("api_key: expected a token as `ml-dash token create` prints it; this one is no such text.")
    return {"Authorization": f"Bearer {api_key.strip()}"}


def _query(query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    try:
        return f"?{urlencode(given, doseq=True)}" if given else ""
    except UnicodeEncodeError as e:
        raise InvalidInput(f"{e.object!r} is not Unicode: it holds a lone surrogate.") from None


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name or number alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy(parts: SplitResult) -> str | None:
    """The proxy that the environment names for this address."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


# ---------------------------------------------------------------- answers


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _moved(url: str, status: int, location: str) -> str:
    """The text for a redirect, which is not followed: the token is for the server that was named."""
    there = location.partition(API)[0] if API in location else ""
    if urlsplit(there).scheme in ("http", "https"):
        return f"{url} sends on to {there} (HTTP {status}); give that URL instead."
    return f"{url} sends on to {location!r} (HTTP {status}), which is no ml-dash server's answer. Check the URL."


def _seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header says, seconds or a date, as seconds from now; None where it says nothing."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
