"""``ml-dash ui``: the dashboard over a folder on this machine, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import msgspec
import typer

import ml_dash
from ml_dash.cli import output
from ml_dash.cli.places import default_folder
from ml_dash.cli.server import extra
from ml_dash.errors import InvalidInput, NotFound
from ml_dash.store.run_folders import project_at, run_at

if TYPE_CHECKING:
    import socket

    from ml_dash.server.settings import Settings

_PORT = 3000
_TRIED = 20
"""Ports from there on that are tried before any that is free: an address that stays the same keeps its page's settings."""
_STOP = 1
"""Seconds that requests may take once it is to end: an open page listens for as long as it is open."""


def show(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="The folder of the runs, of one project or of one run. Else that of the other commands: ML_DASH_DIR, .ml-dash.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            show_default=False,
            help=f"The port; 0 takes a free one. Else {_PORT}, or the next that is free.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The address to listen on. Any but loopback needs a token: `ml-dash token create`.",
        ),
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only say where it is; open no browser.")] = False,
) -> None:
    """Open the dashboard of a folder of runs in the browser. Ctrl-C ends it; the runs need it for nothing."""
    folder, view = _meant(path)
    with extra("the dashboard"):
        from ml_dash.server.access_log import Log
        from ml_dash.server.page import NOT_BUILT, Page
        from ml_dash.server.serve import work
        from ml_dash.server.settings import Settings

        settings = Settings(store=folder, host=host, port=port or 0, stop=_STOP, log_level="error")
    if not Page().is_built:
        output.complain("warning", NOT_BUILT.strip())
    with _listening(settings, port) as (listener, tokens):
        work(
            settings,
            listener,
            Log(sys.stderr, settings.log_level),
            started=lambda: _tell(settings.place, _url(listener), view, tokens, browser=not no_browser),
        )


def _meant(path: str | None) -> tuple[str, str]:
    """The folder of runs, and the page's view to begin with: of a run's or a project's own folder, that one. Raises `NotFound`,
    `InvalidInput`."""
    folder = path or default_folder()
    if not os.path.exists(folder):
        hint = "" if path else " Give its PATH, set ML_DASH_DIR, or go to the folder above it."
        raise NotFound(f"there is no folder {folder!r} here ({os.path.abspath(folder)}).{hint}")
    if not os.path.isdir(folder):
        raise InvalidInput(f"PATH: expected a folder of runs; {folder!r} is a file.")
    found = run_at(folder)
    if found is not None:
        root, key = found
        return root, f"/runs/{quote(key.project, safe='')}/{quote(key.name, safe='')}"
    of_project = project_at(folder)
    if of_project is not None:
        root, project = of_project
        return root, f"/p/{quote(project, safe='')}"
    return folder, "/"


@contextmanager
def _listening(settings: Settings, port: int | None) -> Iterator[tuple[socket.socket, int]]:
    """`serve.listening` on the port that was asked for, or on one that is free."""
    from ml_dash.server.serve import listening

    tried = [port] if port is not None else [*range(_PORT, _PORT + _TRIED), 0]
    with ExitStack() as stack:
        for one in tried:
            try:
                made = stack.enter_context(listening(msgspec.structs.replace(settings, port=one)))
            except OSError as e:
                if e.errno != errno.EADDRINUSE or one == tried[-1]:
                    raise
            else:
                break
        yield made


def _url(listener: socket.socket) -> str:
    """By its address and not as "localhost", which another program may have on the other kind of address."""
    address, port = listener.getsockname()[:2]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  everywhere, and so here
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def _tell(place: str, url: str, view: str, tokens: int, *, browser: bool) -> None:
    """Say where it is, and go there."""
    address = url + view
    asks = " It asks for a token: see `ml-dash token`." if tokens else ""
    with suppress(OSError):
        output.line(f"ml-dash {ml_dash.__version__} shows {place} at {address}.{asks} Ctrl-C ends it.")
        sys.stdout.flush()
    if browser and _has_browser():
        threading.Thread(target=_open, args=(address,), name="ml-dash-browser", daemon=True).start()


def _open(address: str) -> None:
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(address)


def _has_browser() -> bool:
    """Whether there is a screen for one. Without, Python would open one in this terminal, over what stands in it."""
    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in screens)
