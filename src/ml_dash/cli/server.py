"""``ml-dash server``: serves a folder of runs, or the two tiers, over HTTP until it is told to stop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ml_dash.cli import output
from ml_dash.cli.ends import FAILED, MissingExtra
from ml_dash.cli.options import JsonOption, MongoOption, StoreOption
from ml_dash.cli.places import default_folder
from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from ml_dash.server.settings import Settings

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
        "pymongo",
        "bson",
        "obstore",
        "pyarrow",
    }
)


def start(
    context: typer.Context,
    store: StoreOption = None,
    mongo: MongoOption = None,
    s3: Annotated[
        str | None,
        typer.Option(
            "--s3",
            metavar="URL",
            envvar="ML_DASH_S3",
            show_default=False,
            help="With --mongo: where older points and files are kept, s3://bucket/prefix. Credentials as AWS's tools find them.",
        ),
    ] = None,
    s3_endpoint: Annotated[
        str | None,
        typer.Option(
            "--s3-endpoint",
            metavar="URL",
            envvar="ML_DASH_S3_ENDPOINT",
            show_default=False,
            help="The S3 service, where it is not AWS: https://minio.example.com:9000.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            envvar="ML_DASH_WORKERS",
            min=1,
            help="Processes on the one port; about one a processor. A folder is served by one.",
        ),
    ] = 1,
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
    check: Annotated[
        bool,
        typer.Option("--check", help="Only look whether --mongo and --s3 are fit for a server, and say what is wrong."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve a folder of runs over HTTP, until Ctrl-C or SIGTERM; or, for many users, points in MongoDB and S3."""
    if context.invoked_subcommand is not None:
        return
    with extra():
        from ml_dash.server.settings import Settings, parse_size
    tiered = mongo is not None or s3 is not None or s3_endpoint is not None
    settings = Settings(
        store=store or (None if tiered else default_folder()),
        mongo=mongo,
        s3=s3,
        s3_endpoint=s3_endpoint,
        workers=workers,
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
    if as_json and not check:
        raise InvalidInput("--json goes with --check; the server's log is JSON in any case.")
    with extra():
        if check:
            _check(settings, as_json=as_json)
            return
        from ml_dash.server.serve import serve

        serve(settings, sys.stdout)


def _check(settings: Settings, *, as_json: bool) -> None:
    from ml_dash.server.check import check

    findings = []
    for finding in check(settings):
        findings.append(finding)
        if not as_json:
            output.line(f"{finding.state:<8} {finding.what}: {finding.message}")
    well = all(finding.state != "failed" for finding in findings)
    if as_json:
        output.print_json({"ok": well, "checks": [finding._asdict() for finding in findings]})
    if not well:
        raise typer.Exit(FAILED)


@contextmanager
def extra(who: str = "the server") -> Iterator[None]:
    """Around what loads the server's libraries. `who` needs them."""
    try:
        yield
    except ModuleNotFoundError as e:
        if e.name not in _EXTRA:
            raise
        raise MissingExtra(f"{who} needs {e.name}: pip install 'ml-dash[server]'.") from None


def _split(given: Sequence[str] | None) -> tuple[str, ...]:
    """Several in one variable stand between commas."""
    return tuple(part.strip() for text in given or () for part in text.split(",") if part.strip())
