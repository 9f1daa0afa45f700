"""The commands put together. What a command does is in its own file; heavy libraries are imported where it is done."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

import ml_dash
from ml_dash.cli import compare, doctor, export, list, plot, rm, server_group, show, sync, tail, token, ui  # noqa: A004  commands have these names
from ml_dash.cli.ends import debugging, guarded
from ml_dash.cli.output import complain

_EPILOG = (
    "RUN is a run's name, project/name, an id or its first 6 characters, or the path of a run's folder. "
    "Exit codes: 0 fine, 1 findings or failed, 2 wrong usage, 3 not found, 130 interrupted."
)

app = typer.Typer(
    name="ml-dash",
    help="Look at the runs that ml-dash and dreamlake keep in a folder or at a server.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _short in (
    ("ui", ui.show, "The dashboard of a folder, in the browser."),
    ("list", list.list_runs, "The runs of a folder: filter, sort, choose columns."),
    ("show", show.show, "One run: parameters, series, files, log."),
    ("plot", plot.plot, "Series as a chart in the terminal."),
    ("tail", tail.tail, "The last points or log lines; -f follows."),
    ("export", export.export, "Series as CSV, Parquet or JSONL."),
    ("compare", compare.compare, "Runs side by side."),
    ("doctor", doctor.examine, "Find what is damaged; --repair repairs it."),
    ("rm", rm.remove, "Delete runs."),
    ("sync", sync.send, "Send runs to a server, all that it does not have yet."),
):
    app.command(_name, short_help=_short)(guarded(_command))
app.add_typer(server_group.app, name="server", short_help="Serve a folder of runs over HTTP, or look after two tiers.")
app.add_typer(token.app, name="token", short_help="Make, list and revoke the tokens of a server.")


def _print_version(wanted: bool) -> None:
    if wanted:
        print("ml-dash", ml_dash.__version__)
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Look at the runs that ml-dash and dreamlake keep in a folder or at a server."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not debugging():
        warnings.showwarning = _warner()


def _warner() -> Callable[..., None]:
    """Shows a warning of ours as one line, once, without the place in the source; others only where somebody asked for them."""
    shown = set()

    def show(message: Warning | str, category: type[Warning], *_place: object, **_more: object) -> None:
        text = str(message)
        if text not in shown and (issubclass(category, RuntimeWarning) or os.environ.get("PYTHONWARNINGS")):
            shown.add(text)
            complain("warning", text)

    return show
