"""What every store refuses before it looks at what it holds. Pure; the errors of a wrong call are the same everywhere."""

from __future__ import annotations

from ml_dash import names
from ml_dash.errors import InvalidInput
from ml_dash.model import EVENTS, KINDS, LOGS, METRICS, TRACKS, FilePut, RunKey, SeriesKey


def check_key(key: RunKey) -> None:
    """Raise `InvalidInput` where a part of the key is no name. The namespace may be empty."""
    for what, name in key._asdict().items():
        if name or what != "namespace":
            names.check_run_name(what, name)


def check_series(series: SeriesKey) -> None:
    """Raise `InvalidInput` where the kind is none of ours or the name is not one that the kind allows."""
    if series.kind not in KINDS:
        raise InvalidInput(f"kind: expected one of {', '.join(KINDS)}; got {series.kind!r}.")
    if series.kind in (METRICS, TRACKS) or (series.kind == EVENTS and series.name):
        names.check_series_name("series", series.name)
    elif series.kind == LOGS and series.name:
        raise InvalidInput(f"series: a run has one log, named ''; got {series.name!r}.")


def check_put(put: FilePut) -> None:
    """Raise `InvalidInput` where prefix, filename or id is no name."""
    names.check_prefix("prefix", put.prefix)
    names.check_filename("filename", put.filename)
    if put.id is not None:
        names.check_run_name("id", put.id)
