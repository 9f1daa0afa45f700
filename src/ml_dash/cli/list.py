"""``ml-dash list``: the runs of a folder or server, as a table that fits."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash.aggregates import FieldAggregates
from ml_dash.cli import output
from ml_dash.cli.opened import is_number, open_place
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import Where, closest
from ml_dash.cli.records import run_document, seconds_of
from ml_dash.cli.references import PARAMS, Reference, as_sort
from ml_dash.errors import NotFound
from ml_dash.model import METRICS, TRACKS, Run, RunQuery
from ml_dash.place import Place
from ml_dash.query import AXES, MISSING, compile_filter, last_value, needs_series, sort_key
from ml_dash.store.base import Store

_ON_A_TERMINAL = 20
"""Runs that a terminal shows unless --limit says more."""
_ONE_BY_ONE = 40
"""Runs up to which it is sooner done to ask for each one's series than for those of the whole folder."""
_WIDEST = 20
"""Characters of a value in a table."""
_WIDEST_NAME = 32
"""Columns of the terminal that a run's or project's name may take from its values."""
_CHOSEN = 6
"""Parameters, and last values, that are shown at most without --columns."""


def list_runs(
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", metavar="NAME", help="Only runs of this project (workspace).")
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            "-f",
            metavar="EXPR",
            help="Only runs that match, e.g. 'params.lr < 0.01 and metrics.loss < 0.5 and status == \"COMPLETED\"'.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            "-s",
            metavar="REF",
            help="Order by a parameter or last value, e.g. metrics.loss; -metrics.loss descends. Else newest first.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", metavar="N", min=0, help="At most N runs; 0 is all. Else 20 on a terminal, all elsewhere."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            "-c",
            metavar="REF,…",
            help="The values to show, e.g. params.lr,metrics.loss,metrics.train/loss.acc.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first, with the parameters that differ and the last values."""
    place, store = open_place(Where(folder, remote, api_key))
    wanted = [Reference(text) for text in _split(columns)] if columns is not None else None
    order = as_sort(sort) if sort is not None else None
    aggregates = FieldAggregates(store)
    matches = compile_filter(filter_, aggregates=aggregates) if filter_ is not None else None
    key = sort_key(order, aggregates) if order is not None else None
    if limit is None:
        limit = _ON_A_TERMINAL if output.is_terminal() and not as_json else 0
    shows_series = as_json or wanted is None or any(reference.needs_series for reference in wanted)
    all_series = (shows_series and not limit) or any(
        text is not None and needs_series(text.strip().removeprefix("-")) for text in (filter_, order)
    )

    runs = _of_project(store, str(place), project, all_series)
    known = len(runs)
    runs = [run for run in runs if matches is None or matches(run)]
    if key is not None:
        runs = sorted(runs, key=key)
        _warn_if_missing(str(sort), [key(run) for run in runs])
    total = len(runs)
    runs = runs[: limit or None]
    if shows_series and not all_series:
        _fill_series(store, runs, project)

    if as_json:
        documents = [run_document(run) for run in runs]
        output.print_json({"folder": place.root, "server": place.server, "total": total, "runs": documents})
        return
    if runs:
        _print_table(runs, wanted, with_project=project is None)
    _print_rest(len(runs), total, known, place, sort)


def _split(columns: str) -> list[str]:
    return [text for text in columns.split(",") if text.strip()]


def _of_project(store: Store, root: str, project: str | None, series: bool) -> list[Run]:
    runs = store.find_runs(RunQuery(project=project, series=series))
    if project is not None and not runs:
        names = {run.key.project for run in store.find_runs(RunQuery())}
        raise NotFound(f"there is no project {project!r} in {root!r}.{closest(project, names)}")
    return runs


def _warn_if_missing(sort: str, keys: list[tuple[Any, ...]]) -> None:
    """Say that an order by what no run has is no order: it is likely misspelled."""
    text = sort.strip().removeprefix("-")
    if text.startswith((PARAMS, METRICS, TRACKS)) and keys and all(key == MISSING for key in keys):
        output.complain("warning", f"no run has {text}; the order is newest first.")


def _fill_series(store: Store, runs: list[Run], project: str | None) -> None:
    """Give each run its series."""
    if len(runs) <= _ONE_BY_ONE:
        for run in runs:
            # By key: a folder that was copied by hand shares its id with the original.
            run.series = store.describe(store.get_run(run.key).id)
        return
    known = {run.key: run.series for run in store.find_runs(RunQuery(project=project, series=True))}
    for run in runs:
        run.series = known.get(run.key) or []


# ---------------------------------------------------------------- the table


def _print_table(runs: list[Run], wanted: list[Reference] | None, *, with_project: bool) -> None:
    now = time.time()
    columns = [Column("name", least=12)]
    cells: list[list[Cell]] = [[run.key.name for run in runs]]
    if with_project and len({run.key.project for run in runs}) > 1:
        columns.append(Column("project", least=8))
        cells.append([run.key.project for run in runs])
    columns += [Column("status"), Column("started"), Column("took", right=True)]
    cells.append([_status(run, now) for run in runs])
    cells.append([output.when(run.created_at, "%Y-%m-%d %H:%M") for run in runs])
    cells.append([output.duration(seconds_of(run, now)) for run in runs])
    values = [_value_column(reference.text, [reference(run) for run in runs]) for reference in wanted or ()]
    if wanted is None:
        values = _fitting(_candidates(runs), columns, cells)
    columns += [column for column, _ in values]
    cells += [texts for _, texts in values]
    output.table(columns, list(zip(*cells, strict=True)))


def _status(run: Run, now: float) -> Cell:
    status = run.shown_status(now)
    return (status, output.STATUS_STYLES.get(status, ""))


_Values = tuple[Column, list[Cell]]


def _value_column(head: str, values: Sequence[Any]) -> _Values:
    texts: list[Cell] = ["" if value is None else output.cut(output.number(value), _WIDEST) for value in values]
    right = all(value is None or is_number(value) for value in values)
    return Column(output.clean(head), right=right, least=4), texts


class _Candidate(NamedTuple):
    """Something that a column could show. `root` is params, metrics or tracks."""

    root: str
    name: str
    values: list[Any]


def _candidates(runs: list[Run]) -> list[_Values]:
    """What may be shown, most telling first: parameters that differ and last values in turn."""
    params, lasts = _differing(runs)[:_CHOSEN], _last_values(runs)[:_CHOSEN]
    both = [one for pair in zip_longest(params, lasts) for one in pair if one is not None]
    seen = Counter(one.name for one in both)
    return [_value_column(one.name if seen[one.name] == 1 else f"{one.root}.{one.name}", one.values) for one in both]


def _differing(runs: list[Run]) -> list[_Candidate]:
    """The parameters that are not the same in all runs; of a single run, all."""
    found = []
    for name in dict.fromkeys(name for run in runs for name in run.params):
        values = [run.params.get(name) for run in runs]
        if len(runs) == 1 or len({repr(value) for value in values}) > 1:
            found.append(_Candidate(PARAMS, name, values))
    return found


def _last_values(runs: list[Run]) -> list[_Candidate]:
    """The last values, those that most runs have first; one of several fields as ``series.field``."""
    lasts: list[dict[tuple[str, str], Any]] = []
    for run in runs:
        lasts.append({})
        for info in run.series or ():
            if info.last and not info.name.startswith("_system/"):
                lasts[-1].update({(info.kind, name): value for name, value in _measured(info.name, info.last).items()})
    seen = Counter(key for last in lasts for key in last)
    return [
        _Candidate(kind, name, [last.get((kind, name)) for last in lasts]) for (kind, name), _ in seen.most_common()
    ]


def _measured(name: str, row: dict[str, Any]) -> dict[str, Any]:
    value = last_value(row)
    if value is not None:
        return {name: value}
    return {f"{name}.{field}": v for field, v in row.items() if field not in AXES and is_number(v)}


def _fitting(candidates: list[_Values], columns: list[Column], cells: list[list[Cell]]) -> list[_Values]:
    """As many of the candidates, parameters first, as the terminal has room for beside the columns that are always there."""
    room = output.width()
    taken = (
        sum(
            min(_wide(column, texts), _WIDEST_NAME if column.least else 99) + 2
            for column, texts in zip(columns, cells, strict=True)
        )
        - 2
    )
    chosen = []
    for column, texts in candidates:
        wide = _wide(column, texts) + 2
        if room is None or taken + wide <= room:
            chosen.append((column, texts))
            taken += wide
    return chosen


def _wide(column: Column, texts: list[Cell]) -> int:
    return output.table_width([column], [[text] for text in texts])


def _print_rest(shown: int, total: int, known: int, place: Place, sort: str | None) -> None:
    """What is not in the table, on standard error."""
    if not known:
        hint = _hint(place.root) if place.root is not None else ""
        output.to_stderr((f"No runs in {place}.{hint}", "dim"))
    elif not total:
        output.to_stderr((f"None of {output.count(known, 'run')} matches.", "dim"))
    elif shown < total:
        order = "newest first" if sort is None else f"by {sort}"
        output.to_stderr((f"{shown:,} of {total:,} runs, {order}. --limit 0 shows all.", "dim"))


def _hint(root: str) -> str:
    """Where the folder is a project's, or a run's, which of its parents to give."""
    from ml_dash.store.run_folders import run_at

    if run_at(root) is not None:
        return f" It is the folder of one run: try `ml-dash show {root}`."
    if any(run_at(os.path.join(root, entry)) is not None for entry in os.listdir(root)):
        return f" It is the folder of a project: try --dir {os.path.dirname(os.path.abspath(root))}."
    return ""
