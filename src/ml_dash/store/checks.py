"""What every store refuses before it looks at what it holds. Pure; the errors of a wrong call are the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ml_dash import names
from ml_dash.errors import InvalidInput
from ml_dash.model import EVENTS, KINDS, LOGS, METRICS, MOST_FIELDS, TRACKS, Batch, FilePut, RunKey, SeriesKey

WRITER = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")


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


def check_columns(series: SeriesKey, fields: Sequence[str], start: int) -> None:
    """As `check_series`; raise `InvalidInput` also for too many fields, and for a negative `start`."""
    check_series(series)
    if len(fields) > MOST_FIELDS:
        raise InvalidInput(f"fields: at most {MOST_FIELDS} at a time; got {len(fields)}.")
    if start < 0:
        raise InvalidInput(f"start: expected 0 or more; got {start}.")


def check_batch(batch: Batch) -> None:
    """As `check_series`; a writer's id is kept with every series that it writes to, so it must not be long."""
    check_series(batch.series)
    if batch.writer is not None and len(batch.writer) > WRITER:
        raise InvalidInput(f"writer: expected an id of {WRITER} characters at most; got {len(batch.writer)}.")


def check_put(put: FilePut) -> None:
    """Raise `InvalidInput` where prefix, filename or id is no name, or the checksum is no sha256."""
    names.check_prefix("prefix", put.prefix)
    names.check_filename("filename", put.filename)
    if put.id is not None:
        names.check_run_name("id", put.id)
    if put.checksum is not None and _SHA256.fullmatch(put.checksum) is None:
        raise InvalidInput(f"checksum: expected a sha256 as 64 hex digits, in lower case; got {put.checksum!r}.")


def check_content(put: FilePut, size: int, found: str) -> None:
    """Raise `InvalidInput` where the `size` bytes that came, whose sha256 is `found`, are not those that were announced."""
    if put.checksum not in (None, found):
        raise InvalidInput(
            f"checksum: the {size} bytes that came have the sha256 {found}, not {put.checksum}. Send the file again."
        )
