"""``ml-dash server``: serves a folder of runs over HTTP until it is told to stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ml_dash.cli.ends import MissingExtra
from ml_dash.cli.options import StoreOption
from ml_dash.cli.places import default_folder

_EXTRA = frozenset(
    {
        "fastapi",
        "starlette",
        "uvicorn",
        "uvloop",
        "httptools",
        "prometheus_client",
        "anyio",
        "multipart",
        "python_multipart",
    }
)


def start(
    store: StoreOption = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            envvar="ML_DASH_HOST",
            help="The address to listen on. Any but loopback needs a token: `ml-dash token create`.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", envvar="ML_DASH_PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 3000,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            envvar="ML_DASH_ALLOWED_HOSTS",
            help="Answer only requests to this name (and loopback); may be repeated. Else to any, given a token.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            envvar="ML_DASH_TRUSTED_PROXIES",
            help="Believe this proxy's X-Forwarded-For and -Proto; may be repeated.",
        ),
    ] = None,
    max_body: Annotated[
        str,
        typer.Option(metavar="SIZE", envvar="ML_DASH_MAX_BODY", help="The largest body of an append, as it is sent."),
    ] = "64MB",
    max_file: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            envvar="ML_DASH_MAX_FILE",
            show_default=False,
            help="The largest file that is taken. Else what the disk holds.",
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            envvar="ML_DASH_MAX_CONNECTIONS",
            min=1,
            show_default=False,
            help="Connections at one time. Else half of the process's descriptors, 10,000 at most.",
        ),
    ] = None,
    keep_alive: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            envvar="ML_DASH_KEEP_ALIVE",
            min=1,
            help="How long a connection may rest between requests.",
        ),
    ] = 75,
    stop_timeout: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            envvar="ML_DASH_STOP_TIMEOUT",
            min=0,
            help="How long requests in flight may take once it is told to stop.",
        ),
    ] = 20,
    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            envvar="ML_DASH_LOG_LEVEL",
            help="debug, info, warning or error. The log is lines of JSON on standard output.",
        ),
    ] = "info",
) -> None:
    """Serve a folder of runs over HTTP, until Ctrl-C or SIGTERM."""
    try:
        from ml_dash.server.serve import serve
        from ml_dash.server.settings import Settings, parse_size
    except ModuleNotFoundError as e:
        if e.name not in _EXTRA:
            raise
        raise MissingExtra(f"the server needs {e.name}: pip install 'ml-dash[server]'.") from None
    settings = Settings(
        store=store or default_folder(),
        host=host,
        port=port,
        max_body=parse_size("--max-body", max_body),
        max_file=parse_size("--max-file", max_file) if max_file else None,
        max_connections=max_connections,
        allowed_hosts=_split(allowed_host),
        trusted_proxies=_split(trusted_proxy),
        keep_alive=keep_alive,
        stop=stop_timeout,
        log_level=log_level.lower(),
    )
    serve(settings, sys.stdout)


def _split(given: Sequence[str] | None) -> tuple[str, ...]:
    """Several in one variable stand between commas."""
    return tuple(part.strip() for text in given or () for part in text.split(",") if part.strip())
