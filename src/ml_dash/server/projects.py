"""The projects that a caller sees, from the runs in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ml_dash.model import Run


class Project(Struct):
    """One project: how many runs it has, how many of them are running, and when one of them changed last."""

    namespace: str
    project: str
    runs: int
    running: int
    updated_at: str


class Projects(Struct):
    """That which changed last comes first."""

    projects: list[Project]


def projects_of(runs: Iterable[Run], now: float) -> Projects:
    """The projects of the runs at `now`, unix seconds."""
    found: dict[tuple[str, str], Project] = {}
    for run in runs:
        place = run.key[:2]
        one = found.get(place)
        if one is None:
            one = found[place] = Project(*place, 0, 0, "")
        one.runs += 1
        one.running += run.shown_status(now) == "RUNNING"
        one.updated_at = max(one.updated_at, run.updated_at or run.created_at)
    return Projects(sorted(found.values(), key=lambda one: (one.updated_at, one.project), reverse=True))
