"""``ml-dash tail``: the last points or log lines, and those that come."""

from __future__ import annotations

import heapq
import textwrap
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash import codec
from ml_dash.cli import output
from ml_dash.cli.opened import Opened, find_run, find_series
from ml_dash.cli.options import ApiKeyOption, FolderOption, JsonOption, RemoteOption, RunArgument, SomeSeries
from ml_dash.cli.places import Where
from ml_dash.cli.show import LEVEL_STYLES
from ml_dash.errors import InvalidInput
from ml_dash.model import LOGS, Run, SeriesKey

_POLL = 0.2
"""Seconds between looks at the series."""
_LOOK_AROUND = 1.0
"""Seconds between looks at the run: has it ended, are there new series?"""
_PAGE = 10_000


class Point(NamedTuple):
    """A decoded point or log entry, and where it stands."""

    series: SeriesKey
    at: int
    body: dict[str, Any]

    @property
    def time(self) -> str:
        """Wall time, "" where none is known."""
        return str(self.body.get("timestamp" if self.series.kind == LOGS else "createdAt") or "")


def tail(
    run: RunArgument,
    series: SomeSeries = None,
    count: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many to begin with.")] = 10,
    logs: Annotated[bool, typer.Option("--logs", "-l", help="Log lines in place of points.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print what comes, until the run has ended or Ctrl-C.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", "-k", help="With -f: go on when the run has ended; it may be resumed.")
    ] = False,
    folder: FolderOption = None,
    remote: RemoteOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the last points of a run's series, or its last log lines; -f follows."""
    if logs and series:
        raise InvalidInput(f"--logs takes no series; got {', '.join(series)}. The log of a run is one.")
    opened = find_run(Where(folder, remote, api_key), run)
    watch = _Watch(opened, series, logs=logs)
    writer = _Writer(watch, as_json=as_json)
    writer.write(watch.last(count))
    if follow:
        _follow(watch, writer, opened, keep=keep)


def _follow(watch: _Watch, writer: _Writer, opened: Opened, *, keep: bool) -> None:
    looked, ended = 0.0, ""
    while True:
        if time.monotonic() - looked >= _LOOK_AROUND:
            looked = time.monotonic()
            # In this order: what was written before the run's end is read after it was seen.
            ended = _ended(opened)
            watch.look_around()
        found = writer.write(watch.new(), live=True)
        if ended and not found and not keep:
            output.to_stderr((f"The run is {ended}.", "dim"))
            return
        time.sleep(_POLL)


def _ended(opened: Opened) -> str:
    """The status of a run that has ended or that nobody writes any more, "" while it is alive."""
    now: Run = opened.store.get_run(opened.run.id)
    status = now.shown_status(time.time())
    return "" if status == "RUNNING" else status


class _Watch:
    """The series that are looked at, and how far each was read."""

    def __init__(self, opened: Opened, wanted: list[str] | None, *, logs: bool) -> None:
        self._opened = opened
        self._all = not wanted and not logs
        self.logs = logs
        infos = [] if logs else find_series(opened, wanted)
        self._next = {opened.series(info.kind, info.name): 0 for info in infos}
        if logs:
            self._next = {opened.series(LOGS, ""): 0}

    @property
    def several(self) -> bool:
        """Whether a point has to say which series it is of."""
        return self._all or len(self._next) > 1

    @property
    def widest(self) -> int:
        """Characters of the longest name."""
        return max((len(key.name) for key in self._next), default=0)

    def last(self, count: int) -> list[Point]:
        """The last `count` points of all of them together, by their wall times."""
        each: list[list[Point]] = []
        for key in self._next:
            total = self._opened.store.read(key, 0, 0).total
            self._next[key] = max(0, total - count)
            each.append(list(self._read(key, total)))
        found = list(heapq.merge(*each, key=lambda point: point.time))
        return found[-count:] if count else []

    def new(self) -> Iterator[Point]:
        """What was appended since, series by series."""
        for key in list(self._next):
            yield from self._read(key, None)

    def look_around(self) -> None:
        """Take in the series that have begun since, if all are watched."""
        if self._all:
            for info in find_series(self._opened, None):
                self._next.setdefault(self._opened.series(info.kind, info.name), 0)

    def _read(self, key: SeriesKey, stop: int | None) -> Iterator[Point]:
        while stop is None or self._next[key] < stop:
            first = self._next[key]
            page = self._opened.store.read(key, first, _PAGE if stop is None else min(_PAGE, stop - first))
            if not page.count:
                return
            self._next[key] = first + page.count
            for i, body in enumerate(codec.decode_page(page)):
                yield Point(key, first + i, body)


class _Writer:
    """Prints points, one a line."""

    def __init__(self, watch: _Watch, *, as_json: bool) -> None:
        self._watch = watch
        self._as_json = as_json

    def write(self, points: Iterable[Point], *, live: bool = False) -> int:
        """How many there were. Points that came just now (`live`) are shown with this moment: the series' clock is kept in
        memory by who writes it, for up to 10 s."""
        written = 0
        for written, point in enumerate(points, 1):  # noqa: B007  the count is what is wanted
            if self._as_json:
                output.print_json_line(self._document(point))
            else:
                output.line(*(self._log(point) if self._watch.logs else self._point(point, live=live)))
        if written:
            output.stdout().flush()
        return written

    def _document(self, point: Point) -> dict[str, Any]:
        return point.body if self._watch.logs else {"series": point.series.name, **point.body}

    def _point(self, point: Point, *, live: bool) -> list[output.Cell]:
        name = f"{point.series.name:<{self._watch.widest}}  " if self._watch.several else ""
        place = f"{point.at:>7}  {time.strftime('%H:%M:%S') if live else output.when(point.time, '%H:%M:%S')}  "
        fields = point.body.get("data") or {}
        text = "  ".join(f"{output.clean(key)}={output.number(value)}" for key, value in fields.items())
        return [(name, "cyan"), (place, "dim"), text]

    def _log(self, point: Point) -> list[output.Cell]:
        level = str(point.body.get("level", ""))
        style = LEVEL_STYLES.get(level, "")
        metadata = point.body.get("metadata") or {}
        trace = metadata.get("traceback") if isinstance(metadata, dict) else None
        if isinstance(trace, str):
            metadata = {key: value for key, value in metadata.items() if key != "traceback"}
        rest = f"  {output.compact_json(metadata)}" if metadata else ""
        below = textwrap.indent("\n" + trace.rstrip(), " " * 10) if isinstance(trace, str) else ""
        text = str(point.body.get("message", ""))
        return [
            (output.when(point.time, "%H:%M:%S") + "  ", "dim"),
            (f"{level:<5}  ", style),
            text,
            (rest + below, "dim"),
        ]
