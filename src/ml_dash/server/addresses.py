"""The addresses that people have of runs (`experiment.url`). In a browser the dashboard is there; to a program each leads to the record."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse


def add_addresses(app: FastAPI) -> None:
    """Serve /runs/{project}/{name}."""

    async def run(request: Request) -> RedirectResponse:
        asked = urlencode({key: request.path_params[key] for key in ("project", "name")})
        # Relative, so that it leads behind a proxy's path as well.
        return RedirectResponse(f"../../api/v1/run?{asked}", 307)

    app.add_route("/runs/{project}/{name}", run, include_in_schema=False)
