"""The whole server on a real socket in the test's own process: the app, with its edge and gate, over a folder."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.routing import Route

from ml_dash.server.access_log import Log
from ml_dash.server.app import create_app
from ml_dash.server.auth import FileTokens
from ml_dash.server.connection import Waits, limited
from ml_dash.server.serve import compose
from ml_dash.server.settings import Settings
from ml_dash.server.tokens import TokenFile
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.live import live


@dataclass
class Guarded:
    """A server, and what it has logged."""

    url: str
    folder: Path
    out: io.StringIO
    tokens: TokenFile
    client: httpx.Client
    ahead: list[float]
    """Seconds that its clock is ahead."""
    made: list[str] = field(default_factory=list)

    def token(self, scope: str, *namespaces: str, expires: str | None = None) -> dict[str, str]:
        """The header of a new token."""
        _, secret = self.tokens.create(scope, namespaces, expires=expires)
        self.made.append(secret)
        return bearer(secret)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == "request"]

    def __call__(self, method: str, path: str, headers: Any = None, **more: Any) -> httpx.Response:
        return self.client.request(method, self.url + path, headers=headers, **more)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@contextlib.contextmanager
def guarded(folder: Path, *, local: bool = True, waits: Waits | None = None, **settings: Any) -> Iterator[Guarded]:
    """Serve `folder`. `local` is whether the server believes that it listens on loopback alone."""
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    told = Settings(store=str(folder), **settings)
    protocol = limited(waits or Waits(), told.connections())
    with contextlib.closing(LocalStore(folder)) as store:
        ahead = [0.0]
        log = Log(out, told.log_level)
        tokens = FileTokens(TokenFile(folder), log)
        edge = compose(store, told, log, tokens, local=local, clock=lambda: time.time() + ahead[0])
        options = {"http": protocol, "ws": "none", "access_log": False, "server_header": False, "proxy_headers": False}
        with live(edge, **options) as url, httpx.Client(timeout=60, trust_env=False) as client:
            yield Guarded(url, folder, out, TokenFile(folder), client, ahead)


def every_route() -> list[tuple[str, str]]:
    """(method, path template) of each route that the app has, whether or not its OpenAPI document tells of it."""
    app = create_app(MemoryStore())
    found = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET", "POST"})
    }
    told = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    app.state.service.close()
    assert told - found == set(), "the document tells of routes that this does not see"
    return sorted(found)
