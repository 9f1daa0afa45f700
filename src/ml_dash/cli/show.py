"""``ml-dash show``: one run on one page."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.opened import Opened, find_run, find_series, last_points
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption, RunArgument
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import Where
from ml_dash.cli.records import run_document, seconds_of, series_document
from ml_dash.cli.sparkline import ASCII, BLOCKS, sparkline
from ml_dash.cli.traces import BUCKETS, Trace, traces_of
from ml_dash.model import LOGS, FileRecord, Run

_LOG_LINES = 5
_ROWS = 40
"""Rows of series, files and attempts that are shown without --all."""

LEVEL_STYLES = {"debug": "dim", "warn": "yellow", "error": "red", "fatal": "bold red"}


def show(
    run: RunArgument,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    all_: Annotated[
        bool, typer.Option("--all", "-a", help=f"Every series, file and attempt, not only {_ROWS}.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a run: record, parameters, attempts, series, files and the end of its log."""
    opened = find_run(Where(folder, remote, api_key), run)
    infos = opened.store.describe(opened.run.id)
    opened.run.series = infos
    most = None if all_ or as_json else _ROWS
    visible = find_series(opened, None, infos)
    traces = traces_of(opened, visible[:most])
    files = opened.store.find_files(opened.run.id)
    logs, logged = last_points(opened, LOGS, "", _LOG_LINES)
    if as_json:
        _print_json(opened, traces, files, logs, logged)
        return
    _print_record(opened)
    _print_params(opened.run.params)
    _print_attempts(opened, most)
    _print_series(len(visible), traces)
    _print_files(files, most)
    _print_logs(logs, logged)


def _print_json(opened: Opened, traces: list[Trace], files: list[FileRecord], logs: list[Any], logged: int) -> None:
    document = run_document(opened.run)
    document["path"] = opened.path
    document["series"] = [
        series_document(info) | {"fields": _fields_document([t for t in traces if t.info is info])}
        for info in opened.run.series or ()
    ]
    document["files"] = [_file_document(record) for record in files]
    document["logs"] = {"total": logged, "last": logs}
    output.print_json(document)


def _fields_document(traces: list[Trace]) -> dict[str, Any]:
    return {
        trace.field: {
            "min": trace.low,
            "max": trace.high,
            "sample": trace.means,
        }
        for trace in traces
        if trace.field
    }


def _file_document(record: FileRecord) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(record)
    return document


# ---------------------------------------------------------------- sections


def _print_record(opened: Opened) -> None:
    run, now = opened.run, time.time()
    status = run.shown_status(now)
    output.line((opened.label, "bold"), "  ", (status, output.STATUS_STYLES.get(status, "")))
    about = {
        "description": run.description,
        "tags": ", ".join(run.tags),
        "bindrs": ", ".join(run.bindrs),
        "folder": run.folder,
        "started": output.when(run.created_at),
        "took": _took(opened, now),
        "process": _process(run),
        "metadata": output.compact_json(run.metadata) if run.metadata else "",
        "id": run.id,
        "path": opened.path,
    }
    output.table(
        [Column(""), Column("")], [[(key, "dim"), str(value)] for key, value in about.items() if value], head=False
    )


def _took(opened: Opened, now: float) -> str:
    attempts = len(opened.run.attempts)
    return output.duration(seconds_of(opened.run, now)) + (f" in {attempts} attempts" if attempts > 1 else "")


def _process(run: Run) -> str:
    """Where its last attempt ran."""
    if not run.attempts or not run.attempts[-1].pid:
        return ""
    return f"{run.attempts[-1].pid} on {run.attempts[-1].host or 'an unknown machine'}"


def _section(title: str, total: int, shown: int) -> None:
    rest = f", {shown:,} shown; --all shows the rest" if shown < total else ""
    output.line()
    output.line((title, "bold"), (f" ({total:,}{rest})", "dim"))


def _print_params(params: dict[str, Any]) -> None:
    if params:
        _section("Parameters", len(params), len(params))
        rows: list[list[Cell]] = [[name, output.shown(value)] for name, value in sorted(params.items())]
        output.table([Column("name"), Column("value", least=20)], rows, indent="  ", head=False)


def _print_attempts(opened: Opened, most: int | None) -> None:
    attempts = opened.run.attempts
    if len(attempts) < 2:
        return
    shown = attempts[-most:] if most is not None else attempts
    _section("Attempts", len(attempts), len(shown))
    rows: list[list[Cell]] = [
        [
            output.when(attempt.started_at),
            output.when(attempt.ended_at),
            (attempt.status or "not ended", output.STATUS_STYLES.get(attempt.status or "", "dim")),
            attempt.host,
            str(attempt.pid or ""),
        ]
        for attempt in shown
    ]
    heads = [Column("started"), Column("ended"), Column("status"), Column("host", least=8), Column("pid", right=True)]
    output.table(heads, rows, indent="  ")


def _print_series(total: int, traces: list[Trace]) -> None:
    if not total:
        return
    _section("Series", total, len({(trace.info.kind, trace.info.name) for trace in traces}))
    columns = [
        Column("name", least=12),
        Column("field", least=8),
        *(Column(head, right=True) for head in ("points", "last", "min", "max")),
    ]
    rows = [_series_row(trace) for trace in traces]
    wide = _spark_width(columns, rows)
    if wide:
        columns.append(Column(""))
        blocks = BLOCKS if output.has_unicode() else ASCII
        for row, trace in zip(rows, traces, strict=True):
            row.append((sparkline(_thinned(trace.sample.mean.tolist(), wide), blocks), "cyan"))
    output.table(columns, rows, indent="  ")


def _series_row(trace: Trace) -> list[Cell]:
    last = (trace.info.last or {}).get(trace.field)
    if not trace.field:
        return [trace.info.name, "", f"{trace.info.count:,}", "", "", ""]
    ends = [None if value is None else output.number(value) for value in (last, trace.low, trace.high)]
    return [trace.info.name, trace.field, f"{trace.info.count:,}", *(end or "-" for end in ends)]


def _spark_width(columns: list[Column], rows: list[list[Cell]]) -> int:
    """What the terminal has left, `BUCKETS` at most; 0 where that is too little to see anything."""
    room = output.width()
    if room is None:
        return BUCKETS
    left = min(room - output.table_width(columns, rows) - 4, BUCKETS)
    return left if left >= 8 else 0


def _thinned(values: list[float], most: int) -> list[float]:
    """At most so many of the values, evenly."""
    if len(values) <= most:
        return values
    return [values[i * len(values) // most] for i in range(most)]


def _print_files(files: list[FileRecord], most: int | None) -> None:
    if not files:
        return
    shown = files[:most]
    _section("Files", len(files), len(shown))
    rows: list[list[Cell]] = [
        [_file_name(f), output.size(f.size_bytes), f.content_type, output.when(f.uploaded_at)] for f in shown
    ]
    heads = [Column("name", least=20), Column("size", right=True), Column("type", least=8), Column("uploaded")]
    output.table(heads, rows, indent="  ", head=False)


def _file_name(record: FileRecord) -> str:
    prefix = record.path.strip("/")
    return f"{prefix}/{record.filename}" if prefix else record.filename


def _print_logs(logs: list[dict[str, Any]], total: int) -> None:
    if logs:
        _section("Log", total, total) if total <= len(logs) else _log_head(total, len(logs))
        rows = [log_cells(entry) for entry in logs]
        output.table([Column("time"), Column("level"), Column("message", least=20)], rows, indent="  ", head=False)


def _log_head(total: int, shown: int) -> None:
    output.line()
    output.line(("Log", "bold"), (f" (the last {shown} of {total:,})", "dim"))


def log_cells(entry: dict[str, Any]) -> list[Cell]:
    """A log entry as cells: time, level, message."""
    level = str(entry.get("level", ""))
    style = LEVEL_STYLES.get(level, "")
    return [
        (output.when(entry.get("timestamp"), "%H:%M:%S"), "dim"),
        (level, style),
        (str(entry.get("message", "")), style),
    ]
