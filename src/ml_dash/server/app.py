"""The application: the routes over one store. Who may ask, on which host it listens and what is logged is the edge's, around it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ml_dash
from ml_dash.errors import MlDashError
from ml_dash.server import compat, dashboard, refusals, session
from ml_dash.server.addresses import add_addresses
from ml_dash.server.api import ENDPOINTS
from ml_dash.server.asgi import Refused
from ml_dash.server.docs_page import add_docs
from ml_dash.server.endpoints import Endpoint
from ml_dash.server.limits import Limits
from ml_dash.server.openapi import paths
from ml_dash.server.page import Page, Pages
from ml_dash.server.service import Service
from ml_dash.server.session import Door, Open
from ml_dash.store import wire

if TYPE_CHECKING:
    from ml_dash.store.base import Store

_log = logging.getLogger("ml_dash.server")
_ABOUT = "What `ml-dash` clients say to this server: docs/formats/protocol.md, call for call."


def create_app(
    store: Store, limits: Limits | None = None, *, door: Door | None = None, page: Page | None = None, place: str = ""
) -> FastAPI:
    """Serve `store`. Its owner closes it, after the application has shut down. `door` is where people sign in, none where nobody is
    asked; `page` the dashboard, by default the package's own; `place` says to people what is served."""
    service = Service(store, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        # Off the event loop: an upload that is being given up has a last word to say in it.
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="ml-dash",
        version=ml_dash.__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    endpoints = (
        *ENDPOINTS,
        *dashboard.ENDPOINTS,
        *session.endpoints(door or Open(), place),
        *compat.endpoints(service),
    )
    app.router.routes.extend(endpoint.route(service) for endpoint in endpoints)
    add_docs(app)
    add_addresses(app)
    app.add_exception_handler(MlDashError, refusals.of_store)
    app.add_exception_handler(OSError, refusals.of_store)
    app.add_exception_handler(HTTPException, refusals.of_routing)
    app.add_exception_handler(Refused, _refused)
    app.add_middleware(Faults)
    app.add_middleware(Pages, page=page or Page())
    app.openapi = lambda: _document(app, endpoints)  # type: ignore[method-assign]
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """For what a door refuses, as the edge would; the edge notes it."""
    assert isinstance(error, Refused)
    request.scope.setdefault("state", {})["refused"] = error
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return Response(wire.dump(error.problem), error.status, headers, refusals.JSON)


def _document(app: FastAPI, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document: the endpoints' own, and FastAPI's of routes that others add."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        found, schemas = paths(endpoints)
        components = document.setdefault("components", {})
        document["paths"] = {**found, **document.get("paths", {})}
        components["schemas"] = {**components.get("schemas", {}), **schemas}
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


class Faults:
    """What nobody expected: logged whole, told to the client without its inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http":
                raise
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            await refusals.fault()(scope, receive, send)
