"""``ml-dash doctor``: tells what is damaged, left over or in the way below a folder, and repairs what can be; and what waits for a
server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ml_dash.cli import output
from ml_dash.cli.completion import complete_run
from ml_dash.cli.ends import FAILED
from ml_dash.cli.opened import find_run
from ml_dash.cli.options import FolderOption, JsonOption
from ml_dash.cli.places import Where, default_folder, folders_of, no_folder
from ml_dash.errors import MlDashError, NotFound
from ml_dash.store.spools import spools
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.doctor import Finding
    from ml_dash.sync import Waiting

SPOOLS = "the spools of this machine"
"""What is looked at where there is no folder of runs."""


def examine(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR|RUN", autocompletion=complete_run, help="What to look at. Else the folder of --dir."
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired; what is cut or replaced is kept aside.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Compare stored files with their checksums as well.")] = False,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Examine runs; --repair repairs. Exit code 1 if anything is found, with --repair if anything is left."""
    path = _path(place, folder)
    with output.busy(f"examining {path}"):
        findings = _findings(path, deep=deep, named=place is not None or folder is not None)
    done: list[str | None] = []
    for finding in findings:
        done.append(_repaired(finding) if repair and finding.repairable else None)
        if not as_json:
            _print(finding, done[-1])
    left = sum(one is None for one in done)
    if as_json:
        documents = [_document(finding, one) for finding, one in zip(findings, done, strict=True)]
        output.print_json({"path": None if path == SPOOLS else os.path.abspath(path), "findings": documents})
    else:
        _print_sum(path, findings, left, repair=repair)
    if left:
        raise typer.Exit(FAILED)


def _findings(path: str, *, deep: bool, named: bool) -> list[Finding]:
    """What is wrong in the folder, and with the sending of its runs; where nobody `named` it, also what waits in the spools of this
    machine, beside which the folder need not be there. Raises `NotFound` where there is nothing to look at."""
    from ml_dash import doctor, sync

    waiting = [] if named else sync.waiting()
    found = []
    if path != SPOOLS:
        found = doctor.examine(path, deep=deep)
        with suppress(NotFound):
            waiting += sync.waiting_below(path)
    return found + [finding for one in waiting for finding in _of_sending(one)]


def _of_sending(one: Waiting) -> Iterator[Finding]:
    from ml_dash.doctor import Finding

    if one.left and (one.why or not one.held):
        what = f"{one.left.points:,} points and {one.left.changes:,} changes are not at {one.server}"
        since = (
            f"; the last was sent {output.when(iso(int(one.sent * 1000)))}" if one.sent else "; nothing was sent yet"
        )
        why = f": {one.why}" if one.why else "; no process has the run open"
        yield Finding("unsent", one.path, None, what + since + why, f"Run: {one.command}", False, one.path)
    if one.refused:
        what = f"{one.server} refused {output.count(one.refused, 'row')} for good; they are kept here, with the reason"
        remedy = "Look at them. Once they are not needed any more, delete this file."
        yield Finding("refused", one.refused_path, None, what, remedy, False, one.path)


def _repaired(finding: Finding) -> str | None:
    """What was done; None, and why on standard error, where nothing could be. The other findings have their turn."""
    from ml_dash import doctor

    try:
        return doctor.repair(finding)
    except (MlDashError, OSError) as e:
        output.complain("not repaired", str(e))
        return None


def _path(place: str | None, folder: str | None) -> str:
    """A folder as it is given, else the folder of the run that is meant, else the folder of all runs; where that is not there,
    and was not named, there are spools to look at."""
    if place is None:
        root = folder if folder is not None else default_folder()
        if os.path.isdir(root):
            return root
        if folder is None and any(spools()):
            return SPOOLS
        raise no_folder(root, named=folder is not None)
    if os.path.isdir(place) and (os.sep in place or folder is None):
        return place
    root = folder if folder is not None else default_folder()
    damaged = folders_of(root, place) if os.path.isdir(root) else []
    if len(damaged) == 1:
        return damaged[0][1]
    return find_run(Where(root), place).path


def _document(finding: Finding, done: str | None) -> dict[str, Any]:
    fields = ("kind", "path", "offset", "what", "remedy", "repairable")
    document = {field: msgspec.to_builtins(getattr(finding, field)) for field in fields}
    return document | {"repaired": done}


def _print(finding: Finding, done: str | None) -> None:
    at = f" at byte {finding.offset:,}" if finding.offset is not None else ""
    output.line((f"{finding.kind}: ", "bold yellow"), f"{finding.path}{at}")
    output.line(f"  {finding.what}")
    if done is not None:
        output.line(("  repaired: ", "green"), done)
    elif finding.remedy:
        output.line(("  remedy: ", "cyan"), finding.remedy)


def _print_sum(path: str, findings: list[Finding], left: int, *, repair: bool) -> None:
    if not findings:
        output.line((f"Nothing is wrong in {path}.", "green"))
        return
    able = sum(finding.repairable for finding in findings)
    if repair:
        text = f"{len(findings) - left:,} of {output.count(len(findings), 'finding')} repaired."
    else:
        text = f"{output.count(len(findings), 'finding')}; --repair can repair {able:,} of them."
    output.line((text, "bold"))
