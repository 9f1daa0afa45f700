"""The table of a project's runs, a list a column, as docs/formats/protocol.md has it: one light answer for thousands of runs. Pure but
for the clock that it is given; what the runs are is `overview`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ml_dash import query
from ml_dash.model import Run
from ml_dash.server.json_values import encoded
from ml_dash.server.series_fields import Found, Name

MOST_COLUMNS = 500
_encode = msgspec.json.Encoder().encode


# ---------------------------------------------------------------- the answer


class RunColumns(Struct):
    """One element a run in each, newest first. `status` is as shown: also LOST. `attempts` is how often it was started, `ordinal` its
    place in the project by creation, 0 for the oldest."""

    id: list[str]
    name: list[str]
    kind: list[str]
    status: list[str]
    created_at: list[str]
    updated_at: list[str]
    ended_at: list[str | None]
    tags: list[list[str]]
    notes: list[str | None]
    archived: list[bool]
    write_protected: list[bool]
    attempts: list[int]
    ordinal: list[int]


class Sparse(Struct, omit_defaults=True):
    """Values of some runs: `rows` are their places in the table, absent where all of them have one."""

    values: list[Any]
    rows: list[int] | None = None


class SeriesColumn(Struct):
    """A series that `runs` runs have, `points` at most; `fields` are those with numbers, as far as the last rows of its runs tell."""

    kind: str
    name: str
    fields: list[str]
    runs: int
    points: int


class Table(Struct):
    """A project's runs. `now` is the server's clock, in unix seconds. `pending` runs and series are still being looked
    at: ask again in a moment for what `series` and `columns` then have."""

    now: float
    pending: int
    runs: RunColumns
    params: dict[str, Sparse]
    series: list[SeriesColumn]
    columns: dict[str, Sparse]


# ---------------------------------------------------------------- making it


def references(columns: Iterable[str]) -> dict[str, Callable[[Run], Any]]:
    """What the columns that are asked for are. Raises `InvalidInput`."""
    return {text: query.reference(text) for text in columns}


class Shown(NamedTuple):
    """What a table is made of."""

    runs: Sequence[Run]
    series: Mapping[Name, Found]
    pending: int


def encode_table(seen: Shown, columns: Mapping[str, Callable[[Run], Any]], now: float) -> bytes:
    """The answer as JSON; see `Table`."""
    runs = seen.runs
    asked = {text: _sparse([value(run) for run in runs]) for text, value in columns.items()}
    told = {"runs": _runs(runs, now), "params": _params(runs), "series": _series(seen.series), "columns": asked}
    return _encode({"now": now, "pending": seen.pending, **told})


def _runs(runs: Sequence[Run], now: float) -> dict[str, msgspec.Raw]:
    oldest = sorted(range(len(runs)), key=lambda at: (runs[at].created_at, runs[at].id))
    ordinal = [0] * len(runs)
    for place, at in enumerate(oldest):
        ordinal[at] = place
    columns: dict[str, list[Any]] = {
        "id": [run.id for run in runs],
        "name": [run.key.name for run in runs],
        "kind": [run.kind for run in runs],
        "status": [run.shown_status(now) for run in runs],
        "created_at": [run.created_at for run in runs],
        "updated_at": [run.updated_at for run in runs],
        "ended_at": [_ended(run) for run in runs],
        "tags": [run.tags for run in runs],
        "notes": [run.description for run in runs],
        "archived": [run.archived for run in runs],
        "write_protected": [run.write_protected for run in runs],
        "attempts": [len(run.attempts) for run in runs],
        "ordinal": ordinal,
    }
    return {name: encoded(values) for name, values in columns.items()}


def _ended(run: Run) -> str | None:
    """When its last attempt left; None where one has not."""
    if run.status == "RUNNING" or not run.attempts:
        return None
    return max((attempt.ended_at or "" for attempt in run.attempts), default="") or None


def _params(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    rows: dict[str, list[int]] = {}
    values: dict[str, list[Any]] = {}
    for at, run in enumerate(runs):
        for key, value in run.params.items():
            if key not in rows:
                rows[key], values[key] = [], []
            rows[key].append(at)
            values[key].append(value)
    return {key: _column(rows[key], values[key], len(runs)) for key in rows}


def _sparse(values: list[Any]) -> dict[str, Any]:
    rows = [at for at, value in enumerate(values) if value is not None]
    return _column(rows, [values[at] for at in rows], len(values))


def _column(rows: list[int], values: list[Any], most: int) -> dict[str, Any]:
    return {"values": encoded(values)} if len(rows) == most else {"rows": rows, "values": encoded(values)}


def _series(found: Mapping[Name, Found]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "name": name, "fields": one.fields, "runs": one.runs, "points": one.points}
        for (kind, name), one in found.items()
    ]
