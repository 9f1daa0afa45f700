"""The dashboard as files: what `web/` was built into, served from memory with the headers that a page of ours has. Knows no token,
no store, and nothing of what is in the files.

The page holds no data, so that it needs no rights: it is what asks for a token. All that it shows comes from the API, by its user's
rights.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from ml_dash.server.asgi import App, Header, HttpScope, Receive, Send, answer, header_values, is_known
from ml_dash.server.renderings import coding_for

FOLDER = "ML_DASH_PAGE"
"""The environment variable that names another folder than the package's own: a build that is being worked on."""
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
ROUTE = "(page)"
"""What the page's requests are called in figures: their paths are their users' own."""
NOT_BUILT = (
    "The dashboard is not built here. In a checkout, `make web` builds it; it needs Node 20.19 or newer for that. "
    "Packages from the package index hold it ready: pip install 'ml-dash[server]'. The API works without it: see /docs.\n"
)
_INDEX = "/index.html"
_ASSETS = "/assets/"
_RESERVED = re.compile(
    r"/(api|docs|openapi\.json|health|ready|metrics|assets|projects|experiments|workspaces|sessions)(/.*)?", re.DOTALL
)
"""Paths that are not the page's, whoever asks."""
_CODINGS = {"br": ".br", "gzip": ".gz"}
_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".ico": b"image/x-icon",
    ".js": b"text/javascript; charset=utf-8",
    ".json": b"application/json",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
    ".webmanifest": b"application/manifest+json",
    ".woff2": b"font/woff2",
}
_OTHER = b"application/octet-stream"
_FOREVER = b"public, max-age=31536000, immutable"
_ANEW = b"no-cache"
_SAFE: tuple[Header, ...] = (
    (b"content-security-policy", CSP.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class _File(NamedTuple):
    """A file of the page, as it is sent: its bytes by coding, "" for none, and a tag of each."""

    content_type: bytes
    bodies: dict[str, bytes]
    tag: str


class Page:
    """The page in `folder`; by default the package's own, or the one that `ML_DASH_PAGE` names. Read whole, and again when it was
    built again."""

    def __init__(self, folder: str | None = None) -> None:
        usual = os.path.join(os.path.dirname(__file__), "page")
        self.folder = folder or os.environ.get(FOLDER) or usual
        self._seen: object = None
        self._files: Mapping[str, _File] = {}
        self._look()

    @property
    def is_built(self) -> bool:
        """Whether there is a page."""
        return _INDEX in self._files

    def is_asked(self, scope: HttpScope) -> bool:
        """Whether the request is for the page or one of its files. Any path is the page's that nothing else has, where somebody looks
        at it in a browser: the page says what there is at it."""
        if scope["method"] not in ("GET", "HEAD"):
            return False
        path = scope["path"]
        if path in ("/", _INDEX) or path.startswith(_ASSETS) or path in self._files:
            return True
        return _RESERVED.fullmatch(path) is None and _wants_html(scope)

    async def send(self, scope: HttpScope, send: Send) -> None:
        """Answer a request that `is_asked`."""
        path = scope["path"]
        if not path.startswith(_ASSETS) or path not in self._files:
            self._look()
        if not self.is_built:
            await answer(send, 404, NOT_BUILT.encode(), _TYPES[".txt"], _SAFE)
            return
        file = self._files.get(path)
        if file is None and path.startswith(_ASSETS):
            gone = b"The dashboard has no such file: it was built anew since. Load the page again.\n"
            await answer(send, 404, gone, _TYPES[".txt"], _SAFE)
            return
        await _send_file(scope, send, file or self._files[_INDEX], _FOREVER if path.startswith(_ASSETS) else _ANEW)

    def _look(self) -> None:
        """Read the folder where it has changed. A file that is written moves its folder's time, also beside an index that stays."""
        seen = [_state(os.path.join(self.folder, one)) for one in ("index.html", "assets", "")]
        if seen != self._seen:
            self._files = _read(self.folder)
            self._seen = seen


class Pages:
    """`app`, with the page before it."""

    def __init__(self, app: App, page: Page) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._page.is_asked(scope):
            await self._page.send(scope, send)
        else:
            await self._app(scope, receive, send)


def _wants_html(scope: HttpScope) -> bool:
    """Browsers name it where somebody goes to an address; programs take anything."""
    return any("text/html" in value.lower() for value in header_values(scope, b"accept"))


async def _send_file(scope: HttpScope, send: Send, file: _File, cache: bytes) -> None:
    coding = coding_for(", ".join(header_values(scope, b"accept-encoding")), tuple(_CODINGS))
    coding = coding if coding in file.bodies else ""
    tag = f'"{file.tag}{"-" + coding if coding else ""}"'
    headers = [*_SAFE, (b"cache-control", cache), (b"etag", tag.encode()), (b"vary", b"Accept, Accept-Encoding")]
    if is_known(scope, tag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    if coding:
        headers.append((b"content-encoding", coding.encode()))
    await answer(send, 200, file.bodies[coding], file.content_type, headers)


def _state(path: str) -> object:
    try:
        at = os.stat(path)
    except OSError:
        return None
    return at.st_ino, at.st_mtime_ns, at.st_size


def _read(folder: str) -> dict[str, _File]:
    """Every file of the build by its path at the server; none where there is no whole build."""
    found: dict[str, bytes] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(place, name)
            try:
                with open(path, "rb") as file:
                    found["/" + os.path.relpath(path, folder).replace(os.sep, "/")] = file.read()
            except FileNotFoundError:  # it is being built
                return {}
    plain = {path: body for path, body in found.items() if not path.endswith(tuple(_CODINGS.values()))}
    return {path: _file(path, body, found) for path, body in plain.items()}


def _file(path: str, body: bytes, found: Mapping[str, bytes]) -> _File:
    packed = {coding: found[path + end] for coding, end in _CODINGS.items() if path + end in found}
    tag = hashlib.sha256(body).hexdigest()[:20]
    return _File(_TYPES.get(os.path.splitext(path)[1], _OTHER), {"": body, **packed}, tag)
