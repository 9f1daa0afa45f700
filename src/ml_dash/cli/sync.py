"""``ml-dash sync``: sends what lies in folders to a server, and says what became of it, run by run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.ends import FAILED
from ml_dash.cli.options import ApiKeyOption, JsonOption
from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from ml_dash.sync import Report

_SHOWN = 5
"""Refused rows of a run that are named."""


def send(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="Folders of runs, of a project, or of one run. Else what waits on this machine, whichever its server.",
        ),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Option(
            "--remote",
            metavar="URL",
            show_default=False,
            help="The server. Else the one that a run was kept for or sent to before, else ML_DASH_URL.",
        ),
    ] = None,
    api_key: ApiKeyOption = None,
    alias: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            show_default=False,
            help="Send the run, which has to be one, under another name: for a copied folder that went its own way.",
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", min=0, help="How long to try a server that does not answer."),
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Send runs to a server: all that it does not have yet. Exit code 1 if anything is left."""
    from ml_dash import sync
    from ml_dash.store.progress import sending

    tasks = sync.tasks(paths or [], remote)
    servers = sorted({task.server for task in tasks})
    if alias is not None and len(tasks) != 1:
        raise InvalidInput(f"--as names one run; here are {len(tasks)}. Give the folder of the one that is meant.")
    if api_key is not None and len(servers) > 1:
        known = ", ".join(servers)
        raise InvalidInput(
            f"--api-key: a token is for one server, and these runs go to {known}. Give --remote as well."
        )
    sender = sync.Sender(api_key=api_key, alias=alias, patience=patience, any_token=bool(paths))
    reports = []
    try:
        for task in tasks:
            with sending(task.label) as tell:
                reports.append(sender.send(task, tell))
            if not as_json:
                _print(reports[-1])
    finally:
        sender.close()
    if as_json:
        output.print_json({"runs": [_document(report) for report in reports]})
    elif not reports:
        output.line("Nothing waits to be sent.")
    if not all(report.is_done for report in reports):
        raise typer.Exit(FAILED)


def _print(report: Report) -> None:
    mark = (
        ("not sent", "bold red") if report.why else ("refused", "bold yellow") if report.refused else ("sent", "green")
    )
    did = _did(report)
    if report.why:
        left = report.left
        what = (
            f" {output.count(left.points, 'point')} and {output.count(left.changes, 'change')} are left."
            if left
            else ""
        )
        output.line(
            mark,
            f" {report.project}/{report.name} to {report.server}: {did}{', then: ' if did else ''}{report.why}{what}",
        )
        output.line((f"  kept in {report.path}", "dim"))
    else:
        output.line(mark, f" {report.project}/{report.name} to {report.url}: {did or 'nothing to send'}")
    for row in report.refused[:_SHOWN]:
        output.line(f"  refused: {row.series} row {row.index}: {row.reason}")
    if report.refused:
        more = len(report.refused) - _SHOWN
        rest = f"{more:,} more; " if more > 0 else ""
        output.line(f"  {rest}kept with the reasons in {report.refused_path}; delete that file once it was looked at")


def _did(report: Report) -> str:
    """What got to the server, "" for nothing."""
    counts = (("point", report.points), ("file", report.files), ("change", report.changes))
    parts = [output.count(number, noun) for noun, number in counts if number]
    return ", ".join(parts)


def _document(report: Report) -> dict[str, Any]:
    left = report.left
    return {
        "project": report.project,
        "name": report.name,
        "path": report.path,
        "server": report.server,
        "url": report.url,
        "sent": {"points": report.points, "files": report.files, "changes": report.changes},
        "left": {"points": left.points, "changes": left.changes} if left is not None else None,
        "error": report.why or None,
        "refused": [{"series": row.series, "index": row.index, "reason": row.reason} for row in report.refused],
        "refused_path": report.refused_path or None,
        "taken_away": report.taken_away,
    }
