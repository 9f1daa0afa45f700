"""``ml-dash plot``: series as a chart in the terminal."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ml_dash.cli import output
from ml_dash.cli.canvas import ACROSS
from ml_dash.cli.chart import ASCII_FRAME, FRAME, MARKS, Bucket, Chart, smoothed, style
from ml_dash.cli.completion import complete_run, complete_series
from ml_dash.cli.opened import Opened, fields_of, find_runs, find_series
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption, RunArgument
from ml_dash.cli.places import Where, closest
from ml_dash.errors import NotFound
from ml_dash.model import SeriesInfo

if TYPE_CHECKING:
    from ml_dash.rollup import Sample

_WIDTH, _HEIGHT = 80, 20
"""Where there is no terminal."""
_LEAST, _MOST = 10, 30
"""Lines of a chart that is as high as the terminal allows."""
_BESIDE = 4
"""Lines of the terminal that are left free: the legend's head, a note, the prompts."""


class Line(NamedTuple):
    """What one line of the chart shows."""

    opened: Opened
    info: SeriesInfo
    field: str
    sample: Sample


def plot(
    run: RunArgument,
    series: Annotated[
        list[str],
        typer.Argument(metavar="SERIES", autocompletion=complete_series, help="Names, or patterns such as 'val/*'."),
    ],
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--run", "-r", metavar="RUN", autocompletion=complete_run, help="One more run to draw; may be repeated."
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field", "-F", metavar="FIELD", help="The field to draw; may be repeated. Else all numeric ones."
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option("--x", "-x", metavar="FIELD", help="The field of the x axis, such as step. Else the index."),
    ] = None,
    start: Annotated[int, typer.Option("--start", metavar="N", min=0, help="Draw from this index on.")] = 0,
    stop: Annotated[
        int | None, typer.Option("--stop", metavar="N", min=0, help="Draw up to before this index.")
    ] = None,
    smooth: Annotated[
        int | None,
        typer.Option("--smooth", metavar="N", min=1, help="Draw the running mean of N points and no envelope."),
    ] = None,
    log_y: Annotated[
        bool, typer.Option("--log-y", help="A logarithmic y axis; what is not positive is left out.")
    ] = False,
    width: Annotated[
        int | None, typer.Option("--width", metavar="N", min=20, help="Columns. Else the terminal's.")
    ] = None,
    height: Annotated[int | None, typer.Option("--height", metavar="N", min=6, help="Lines. Else what fits.")] = None,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plot series in the terminal: of every column the line and what it spans, no extreme is lost."""
    wide = width or output.width() or _WIDTH
    runs = find_runs(Where(folder, remote, api_key), [run, *(more or [])])
    wanted = [
        (opened, info, name)
        for opened in runs
        for info in find_series(opened, series)
        for name in _fields(opened, info, field)
    ]
    lines = [
        Line(
            opened,
            info,
            name,
            opened.store.sample(opened.series(info.kind, info.name), name, x, start, stop, wide * ACROSS),
        )
        for opened, info, name in output.watched(wanted, "reading series")
    ]
    lines = _with_points(lines, field, x)
    if as_json:
        output.print_json({"x": x or "index", "lines": [_document(line) for line in lines]})
        return
    buckets = [_buckets(line.sample, smooth) for line in lines]
    ends = [end for line in lines for end in _ends(line.sample)]
    chart = Chart(
        buckets, wide, height or _height(len(lines)), x_ends=ends, x_label=x or "index", whole_x=x is None, log_y=log_y
    )
    names = _names(lines)
    if chart.empty:
        why = "positive " if log_y else ""
        output.line(f"Nothing to draw: {', '.join(names)} has no {why}finite number here.")
    _print(chart, lines, names, log_y=log_y, smooth=smooth)


def _height(lines: int) -> int:
    """Lines of the terminal for the chart, where so many lines are drawn."""
    if not output.is_terminal():
        return _HEIGHT
    left = shutil.get_terminal_size((_WIDTH, _HEIGHT)).lines - lines - _BESIDE
    return min(max(left, _LEAST), _MOST)


def _fields(opened: Opened, info: SeriesInfo, wanted: list[str] | None) -> list[str]:
    if wanted:
        return wanted
    found = fields_of(opened, info)
    if not found:
        fields = ", ".join(info.last or ()) or "none"
        raise NotFound(f"series {info.name!r} of {opened.label} has no numeric field to draw; its fields: {fields}.")
    # A series that names its value has said which one it is.
    return found[:1] if found[0] == "value" else found


def _with_points(lines: list[Line], fields: list[str] | None, x: str | None) -> list[Line]:
    """The lines that have something to show. Raises `NotFound` for a field that was asked for and that none has."""
    for name in [*(fields or ()), *([x] if x is not None else ())]:
        concerned = [line for line in lines if name in (line.field, x)]
        if not any(_has(line, name, x) for line in concerned):
            raise NotFound(_no_field(concerned[0], name))
    kept = [line for line in lines if all(_has(line, name, x) for name in (line.field, x) if name is not None)]
    return kept or lines


def _has(line: Line, name: str, x: str | None) -> bool:
    """Whether a number of this name is among the points, or no point at all is looked at."""
    sample = line.sample
    if not len(sample):
        return True
    here = sample.x_min == sample.x_min if name == x else sample.count + sample.nan + sample.posinf + sample.neginf
    return bool(here.any())


def _no_field(line: Line, field: str) -> str:
    known = list(line.info.last or ())
    some = f" The last point has {', '.join(known)}." if known else ""
    return (
        f"no point of {line.info.name!r} in {line.opened.label} has a number as {field!r}.{closest(field, known)}{some}"
    )


def _buckets(sample: Sample, smooth: int | None) -> list[Bucket]:
    x = ((sample.x_min + sample.x_max) / 2).tolist()
    columns = (column.tolist() for column in (sample.min, sample.max, sample.first, sample.last))
    buckets = [Bucket(*values) for values in zip(x, *columns, strict=True)]
    return buckets if smooth is None else smoothed(buckets, sample.mean.tolist(), sample.count.tolist(), smooth)


def _ends(sample: Sample) -> list[float]:
    """The least and the greatest x; none where nothing has one."""
    known = [*sample.x_min[sample.x_min == sample.x_min].tolist(), *sample.x_max[sample.x_max == sample.x_max].tolist()]
    return [min(known), max(known)] if known else []


def _document(line: Line) -> dict[str, Any]:
    return {
        "run": line.opened.label,
        "series": line.info.name,
        "field": line.field,
        "points": line.info.count,
        "sample": line.sample.to_dict(),
    }


# ---------------------------------------------------------------- on the screen


def _names(lines: list[Line]) -> list[str]:
    """What tells the lines apart: as much of run, series and field as differs."""
    runs = dict.fromkeys(line.opened.label for line in lines)
    short = {label: label.partition("/")[2] for label in runs}
    shown = short if len(set(short.values())) == len(short) else {label: label for label in runs}
    one_series = len({line.info.name for line in lines}) == 1
    names = []
    for line in lines:
        series = line.info.name + (f".{line.field}" if line.field != "value" else "")
        run = shown[line.opened.label]
        names.append(series if len(runs) == 1 else run if one_series and line.field == "value" else f"{run} {series}")
    return names


def _print(chart: Chart, lines: list[Line], names: list[str], *, log_y: bool, smooth: int | None) -> None:
    unicode = output.has_unicode()
    told_apart = output.has_colours(output.stdout()) or len(lines) == 1
    marks = None if unicode and told_apart else MARKS
    if not chart.empty:
        for row in chart.rows(marks=marks, frame=FRAME if unicode else ASCII_FRAME):
            output.line(*row)
    _print_legend([_legend(line, name, ink, marks) for ink, (line, name) in enumerate(zip(lines, names, strict=True))])
    notes = [note for line, name in zip(lines, names, strict=True) if (note := _left_out(line, name, log_y=log_y))]
    notes += [f"The line is the running mean of about {smooth:,} points."] if smooth is not None else []
    for note in notes:
        output.line((note, "dim"))


def _print_legend(rows: list[list[output.Cell]]) -> None:
    """What each line is, and its figures; where these do not fit, without the indices."""
    heads = ["last", "min", "at index", "max", "at index", "points"]
    columns = [output.Column(""), output.Column("", least=12), *(output.Column(head, right=True) for head in heads)]
    room = output.width()
    if room is not None and output.table_width(columns, rows) > room:
        kept = [i for i, column in enumerate(columns) if column.head != "at index"]
        columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    output.table(columns, rows)


def _legend(line: Line, name: str, ink: int, marks: str | None) -> list[output.Cell]:
    sample = line.sample
    mark = ("━━" if output.has_unicode() else "--") if marks is None else marks[ink % len(marks)]
    points = f"{int((sample.stop - sample.start).sum()):,}"
    some = sample.count.nonzero()[0]
    if not len(some):
        return [(mark, style(ink)), name, "-", "-", "-", "-", "-", points]
    lowest, highest = some[sample.min[some].argmin()], some[sample.max[some].argmax()]
    last, low, high = (
        output.number(float(value)) for value in (sample.last[some[-1]], sample.min[lowest], sample.max[highest])
    )
    at = [f"{int(index):,}" for index in (sample.argmin[lowest], sample.argmax[highest])]
    return [(mark, style(ink)), name, last, low, at[0], high, at[1], points]


def _left_out(line: Line, name: str, *, log_y: bool) -> str:
    """What the chart does not show of a line."""
    sample = line.sample
    counts = {"NaN": sample.nan, "Infinity": sample.posinf, "-Infinity": sample.neginf}
    found = [f"{int(column.sum()):,} {what}" for what, column in counts.items() if column.any()]
    text = f"{name}: {', '.join(found)} not drawn." if found else ""
    if log_y and (sample.min <= 0).any():
        text = (text or f"{name}:") + " Values of 0 or less cannot stand on a logarithmic axis."
    return text
