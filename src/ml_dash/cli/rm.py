"""``ml-dash rm``: deletes runs, after it has said what they hold."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash.cli import output
from ml_dash.cli.completion import complete_run
from ml_dash.cli.ends import FAILED
from ml_dash.cli.opened import Opened, find_runs
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import Where
from ml_dash.errors import Conflict, InvalidInput


class Doomed(NamedTuple):
    """A run that is to be deleted, and what goes with it: all files of its folder, or at a server those that were stored."""

    opened: Opened
    status: str
    path: str
    bytes: int
    files: int


def remove(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", autocompletion=complete_run, help="The runs to delete.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also runs that are being written.")] = False,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete runs with all that they hold, for good."""
    doomed = [_doomed(opened) for opened in find_runs(Where(folder, remote, api_key), runs)]
    alive = [one.opened.label for one in doomed if one.status == "RUNNING"]
    if alive and not force and not dry_run:
        raise Conflict(f"{', '.join(alive)} is being written; nothing is deleted. Stop it first, or give --force.")
    if not as_json:
        _print(doomed)
    if not dry_run:
        if not yes and not _agreed(doomed):
            output.to_stderr("Nothing is deleted.")
            raise typer.Exit(FAILED)
        for one in doomed:
            one.opened.store.delete_run(one.opened.run.id)
    if as_json:
        output.print_json({"deleted": not dry_run, "runs": [_document(one) for one in doomed]})
    else:
        output.line("Nothing is deleted: --dry-run." if dry_run else f"Deleted {output.count(len(doomed), 'run')}.")


def _doomed(opened: Opened) -> Doomed:
    path, status = opened.path, opened.run.shown_status(time.time())
    if opened.place.root is None:
        sizes = [file.size_bytes for file in opened.store.find_files(opened.run.id)]
    else:
        sizes = [os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(path) for name in names]
    return Doomed(opened, status, path, sum(sizes), len(sizes))


def _print(doomed: list[Doomed]) -> None:
    rows: list[list[Cell]] = [
        [
            one.opened.label,
            (one.status, output.STATUS_STYLES.get(one.status, "")),
            output.when(one.opened.run.created_at, "%Y-%m-%d %H:%M"),
            output.size(one.bytes),
            output.count(one.files, "file"),
            (one.path, "dim"),
        ]
        for one in doomed
    ]
    columns = [
        Column("run", least=12),
        Column("status"),
        Column("started"),
        Column("size", right=True),
        Column("", right=True),
        Column("path"),
    ]
    output.table(columns, rows)


def _agreed(doomed: list[Doomed]) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput(
            "there is no terminal to ask on; nothing is deleted. Give --yes to delete without being asked."
        )
    total = output.size(sum(one.bytes for one in doomed))
    sys.stdout.flush()
    sys.stderr.write(f"Delete {output.count(len(doomed), 'run')}, {total}, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _document(one: Doomed) -> dict[str, Any]:
    run = one.opened.run
    return {
        "project": run.key.project,
        "name": run.key.name,
        "id": run.id,
        "status": one.status,
        "path": one.path,
        "bytes": one.bytes,
        "files": one.files,
    }
