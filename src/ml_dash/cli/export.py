"""``ml-dash export``: series as CSV, Parquet or JSONL, a page at a time: memory does not grow with their length.

What a format's bytes are is in `tables`; here is which points, and where they go.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Annotated, BinaryIO

import typer

from ml_dash.cli.opened import find_run, find_series
from ml_dash.cli.options import ApiKeyOption, FolderOption, RemoteOption, RunArgument, SomeSeries
from ml_dash.cli.output import binary_stdout, count, progress, to_stderr
from ml_dash.cli.places import Where
from ml_dash.cli.tables import Source, write_csv, write_jsonl, write_parquet
from ml_dash.errors import InvalidInput
from ml_dash.model import LOGS
from ml_dash.store.atomic import CREATE, TEMPORARY


class Format(str, Enum):
    """What is written."""

    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"


_WRITERS = {Format.csv: write_csv, Format.parquet: write_parquet, Format.jsonl: write_jsonl}
_PASSES = {Format.csv: 2, Format.parquet: 2, Format.jsonl: 1}
"""How often the points are read: the columns have to be known before the first row is written."""


def export(
    run: RunArgument,
    series: SomeSeries = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-t",
            metavar="FORMAT",
            show_default=False,
            help="csv, parquet or jsonl. Else by FILE's ending, else csv.",
        ),
    ] = None,
    file: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")] = "-",
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="A,B,…", help="Only these fields, in this order. Else all there are."),
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", "-l", help="The log in place of series.")] = False,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Export series as CSV, Parquet or JSONL. JSONL is lossless: the lines as they are stored."""
    form = form or _by_ending(file)
    wanted = [field for field in fields.split(",") if field] if fields is not None else None
    opened = find_run(Where(folder, remote, api_key), run)
    if logs and series:
        raise InvalidInput(f"--logs takes no series; got {', '.join(series)}. The log of a run is one.")
    keys = [opened.series(LOGS, "")] if logs else [opened.series(i.kind, i.name) for i in find_series(opened, series)]
    if form is Format.parquet and file == "-" and sys.stdout.isatty():
        raise InvalidInput("Parquet is no text for a terminal. Give -o FILE.")
    source = Source(opened.store, keys, wanted, tagged=len(keys) > 1)
    with _sink(file) as out, progress(f"exporting {opened.label}", source.total * _PASSES[form]) as advance:
        _WRITERS[form](source, out, advance)
    if file != "-":
        to_stderr((f"{file}: {count(source.total, 'point')} of {count(len(keys), 'series')}.", "dim"))


def _by_ending(file: str) -> Format:
    ending = os.path.splitext(file)[1].lower().removeprefix(".")
    return {"jsonl": Format.jsonl, "ndjson": Format.jsonl, "parquet": Format.parquet, "pq": Format.parquet}.get(
        ending, Format.csv
    )


@contextmanager
def _sink(path: str) -> Iterator[BinaryIO]:
    """Where bytes go. A file appears under its name when it is whole; what was there before stays until then."""
    if path == "-":
        with binary_stdout() as out:
            yield out
        return
    target = os.path.realpath(path)
    if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
        # A pipe or device is written to; a folder raises what it raises.
        with open(target, "wb") as out:
            yield out
        return
    if not os.path.isdir(os.path.dirname(target)):
        raise InvalidInput(f"--output {path!r}: there is no folder {os.path.dirname(target)!r}. Make it first.")
    temporary = os.path.join(os.path.dirname(target), TEMPORARY + os.urandom(8).hex())
    try:
        with open(os.open(temporary, CREATE, 0o666), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except BaseException:  # an interrupt included
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
