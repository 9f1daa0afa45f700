"""A run's record as commands tell it: the JSON document of it, how long it took. Pure."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ml_dash.cli.output import unix_ms
from ml_dash.model import Run, SeriesInfo


def run_document(run: Run) -> dict[str, Any]:
    """The run for --json. Times are UTC; "series" is there where the run came with them."""
    now = time.time()
    document: dict[str, Any] = {
        "project": run.key.project,
        "name": run.key.name,
        "id": run.id,
        "kind": run.kind,
        "status": run.shown_status(now),
        "created_at": run.created_at or None,
        "updated_at": run.updated_at or None,
        "seconds": seconds_of(run, now),
        "description": run.description,
        "tags": run.tags,
        "bindrs": run.bindrs,
        "folder": run.folder,
        "metadata": run.metadata,
        "params": run.params,
        "archived": run.archived,
        "attempts": [msgspec.to_builtins(attempt) for attempt in run.attempts],
    }
    if run.series is not None:
        document["series"] = [series_document(info) for info in run.series]
    return document


def series_document(info: SeriesInfo) -> dict[str, Any]:
    """A series for --json, with its last row."""
    fields = ("kind", "name", "count", "last", "description", "tags", "metadata", "first_at", "last_at")
    return {field: getattr(info, field) for field in fields}


def seconds_of(run: Run, now: float) -> float | None:
    """How long the run was being worked on: its attempts' spans, overlaps counted once; None where nothing tells.

    An attempt that never said its end lasted until now if the run is alive, else until its last point.
    """
    open_end = any(attempt.ended_at is None for attempt in run.attempts)
    if open_end and run.shown_status(now) != "RUNNING" and run.series is None:
        return None
    spans = sorted(_span(run, i, now) for i in range(len(run.attempts)))
    if not spans:
        return None
    total, reached = 0.0, 0.0
    for start, stop in spans:
        total += max(stop - max(start, reached), 0.0)
        reached = max(reached, stop)
    return round(total, 3)


def _span(run: Run, at: int, now: float) -> tuple[float, float]:
    attempt = run.attempts[at]
    start = (unix_ms(attempt.started_at) or 0) / 1000
    if attempt.ended_at is not None:
        return start, (unix_ms(attempt.ended_at) or 0) / 1000
    if run.shown_status(now) == "RUNNING":
        return start, now
    seen = [ms / 1000 for info in run.series or () if (ms := unix_ms(info.last_at)) is not None]
    return start, max([start, *seen])
