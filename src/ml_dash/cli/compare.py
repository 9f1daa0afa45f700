"""``ml-dash compare``: runs side by side. What is better nobody here knows: the lowest and the highest are marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.completion import complete_run
from ml_dash.cli.opened import Opened, find_runs
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import Where
from ml_dash.cli.traces import Trace, traces_of
from ml_dash.errors import InvalidInput

_Traces = dict[tuple[str, str], Trace]
"""By series and field."""


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", autocompletion=complete_run, help="Two runs or more.")],
    all_: Annotated[
        bool,
        typer.Option("--all", "-a", help="Also parameters that are the same, and series that only some runs have."),
    ] = False,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: the parameters that differ; last, least and greatest value of the series that all have."""
    found = find_runs(Where(folder, remote, api_key), runs)
    if len(found) < 2:
        raise InvalidInput(f"compare takes two different runs or more; got {', '.join(map(repr, runs))}.")
    traces = [_traces(opened) for opened in found]
    keys = _keys(traces, all_=all_)
    params = _params(found, all_=all_)
    if as_json:
        output.print_json(_document(found, params, traces, keys))
        return
    names = _short([opened.label for opened in found])
    _print_params(found, names, params)
    _print_series(traces, names, keys)
    _print_rest(found, traces, params, keys)


def _traces(opened: Opened) -> _Traces:
    infos = [info for info in opened.store.describe(opened.run.id) if not info.name.startswith("_system/")]
    return {(trace.info.name, trace.field): trace for trace in traces_of(opened, infos, 1) if trace.field}


def _keys(traces: Sequence[_Traces], *, all_: bool) -> list[tuple[str, str]]:
    union = dict.fromkeys(key for one in traces for key in one)
    return [key for key in sorted(union, key=lambda key: key[0]) if all_ or all(key in one for one in traces)]


def _params(found: Sequence[Opened], *, all_: bool) -> list[str]:
    names = sorted({name for opened in found for name in opened.run.params})
    return [name for name in names if all_ or len({_said(opened, name) for opened in found}) > 1]


def _said(opened: Opened, name: str) -> str | None:
    """A parameter as text that tells 1 from 1.0 and from "1"; None where it is not set."""
    params = opened.run.params
    return output.compact_json(params[name]) if name in params else None


def _document(
    found: Sequence[Opened], params: list[str], traces: Sequence[_Traces], keys: list[tuple[str, str]]
) -> dict[str, Any]:
    labels = [opened.label for opened in found]
    return {
        "runs": labels,
        "params": {name: {o.label: o.run.params[name] for o in found if name in o.run.params} for name in params},
        "series": [
            {
                "name": name,
                "field": field,
                "runs": {
                    label: _summary(one[name, field])
                    for label, one in zip(labels, traces, strict=True)
                    if (name, field) in one
                },
            }
            for name, field in keys
        ],
    }


def _summary(trace: Trace) -> dict[str, Any]:
    return {"points": trace.info.count, "last": _last(trace), "min": trace.low, "max": trace.high}


def _last(trace: Trace) -> Any:
    return (trace.info.last or {}).get(trace.field)


# ---------------------------------------------------------------- tables


def _short(labels: list[str]) -> list[str]:
    """Names without the project, where that tells the runs apart."""
    names = [label.partition("/")[2] for label in labels]
    return names if len(set(names)) == len(names) else labels


def _print_params(found: Sequence[Opened], names: list[str], params: list[str]) -> None:
    if not params:
        return
    columns = [Column("parameter", least=12), *(Column(name, least=6) for name in names)]
    rows: list[list[Cell]] = []
    for name in params:
        values = [output.shown(o.run.params[name]) if name in o.run.params else ("not set", "dim") for o in found]
        rows.append([name, *values])
    output.table(columns, rows)


def _print_series(traces: Sequence[_Traces], names: list[str], keys: list[tuple[str, str]]) -> None:
    if not keys:
        return
    output.line()
    columns = [Column("series", least=12), Column(""), *(Column(name, right=True, least=8) for name in names)]
    rows: list[list[Cell]] = []
    for key in keys:
        found = [one.get(key) for one in traces]
        label = key[0] if key[1] == "value" else f"{key[0]}.{key[1]}"
        for what, values in _measures(found).items():
            marks = _marks(values)
            cells = [_number(value, mark) for value, mark in zip(values, marks, strict=True)]
            rows.append([label, (what, "dim"), *cells])
            label = ""
    output.table(columns, rows)
    output.line((f"{_shown(_LOWEST)} lowest, {_shown(_HIGHEST)} highest of a row.", "dim"))


def _measures(found: Sequence[Trace | None]) -> dict[str, list[Any]]:
    return {
        "last": [trace and _last(trace) for trace in found],
        "min": [trace and trace.low for trace in found],
        "max": [trace and trace.high for trace in found],
    }


_LOWEST, _HIGHEST = "▼", "▲"
_ASCII = {_LOWEST: "v", _HIGHEST: "^", " ": " "}


def _marks(values: Sequence[Any]) -> list[str]:
    """Where the least and the greatest of a row are; no marks where all are equal."""
    numbers = [v for v in values if isinstance(v, (int, float)) and v == v]  # noqa: PLR0124  NaN is no extreme
    if len(numbers) < 2 or min(numbers) == max(numbers):
        return [" "] * len(values)
    ends = {min(numbers): _LOWEST, max(numbers): _HIGHEST}
    return [ends.get(value, " ") if isinstance(value, (int, float)) else " " for value in values]


def _number(value: Any, mark: str) -> Cell:
    style = {_LOWEST: "cyan", _HIGHEST: "yellow"}.get(mark, "")
    return f"{'-' if value is None else output.number(value)} {_shown(mark)}", style


def _shown(mark: str) -> str:
    return mark if output.has_unicode() else _ASCII[mark]


def _print_rest(
    found: Sequence[Opened], traces: Sequence[_Traces], params: list[str], keys: list[tuple[str, str]]
) -> None:
    """What was left out, on standard error."""
    same = len({name for opened in found for name in opened.run.params}) - len(params)
    partial = len({key for one in traces for key in one}) - len(keys)
    left = [f"{same:,} equal parameters" if same > 1 else "1 equal parameter"] if same else []
    left += [f"{output.count(partial, 'series')} that not all of the runs have"] if partial else []
    if left:
        output.to_stderr((f"Left out: {' and '.join(left)}. --all shows them.", "dim"))
    if not params and not keys:
        output.to_stderr(("The runs differ in no parameter and share no series.", "dim"))
