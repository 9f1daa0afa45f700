"""A line chart in a terminal, from buckets: the envelope from minimum to maximum of each, and a line through them. Pure.

A bucket without a finite value lifts the pen, and so does an x that goes back (a resumed run that repeats steps).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ml_dash.cli.axis import Axis
from ml_dash.cli.canvas import ACROSS, UP, Canvas
from ml_dash.cli.output import Cell

INKS = ("cyan", "yellow", "magenta", "green", "red", "blue", "bright_white", "bright_black")
MARKS = "*+ox#%@&"
"""Where there are no colours, one for each ink."""
ASCII_FRAME = "|`-++"
FRAME = "│└─┤┬"


class Bucket(NamedTuple):
    """Points that share a place on the x axis. NaN in `low` says that there is nothing to draw."""

    x: float
    low: float
    high: float
    first: float
    last: float

    def drawable(self, *, log: bool) -> bool:
        """Whether any of it can be drawn."""
        return math.isfinite(self.x) and math.isfinite(self.low) and (not log or self.high > 0)


class Chart:
    """Lines over common axes, `width` × `height` characters with all that stands beside them."""

    def __init__(
        self,
        lines: Sequence[Sequence[Bucket]],
        width: int,
        height: int,
        *,
        x_ends: Sequence[float],
        x_label: str,
        whole_x: bool,
        log_y: bool,
    ) -> None:
        """`x_ends`: the values between which all of the lines lie. `whole_x`: they are whole numbers."""
        self._lines = [[b if b.drawable(log=log_y) else None for b in line] for line in lines]
        drawn = [bucket for line in self._lines for bucket in line if bucket is not None]
        self.empty = not drawn
        if self.empty:
            return
        self._x_label = x_label
        ys = [y for bucket in drawn for y in (bucket.low, bucket.high) if not log_y or y > 0]
        rows = max(height - 3, 2)
        ticks = max(rows // (2 if log_y else 3), 2)
        self.y = Axis(ys, rows * UP, log=log_y).widened(ticks)
        self._y_ticks = {dot // UP: text for dot, text in self.y.ticks(ticks)}
        self._margin = max((len(text) for text in self._y_ticks.values()), default=0)
        columns = max(width - self._margin - 2, 4)
        self.x = Axis(x_ends, columns * ACROSS, whole=whole_x)
        self._canvas = Canvas(columns, rows)
        for ink, line in enumerate(self._lines):
            self._draw(line, ink)

    def _draw(self, line: Sequence[Bucket | None], ink: int) -> None:
        before: Bucket | None = None
        for bucket in line:
            if bucket is not None:
                x = self.x.place(bucket.x)
                self._canvas.line((x, self.y.place(bucket.low)), (x, self.y.place(bucket.high)), ink)
                if before is not None and bucket.x >= before.x:
                    start = (self.x.place(before.x), self.y.place(before.last))
                    self._canvas.line(start, (x, self.y.place(bucket.first)), ink)
            before = bucket
        alone = [bucket for bucket in line if bucket is not None]
        if len(alone) == 1 and alone[0].low == alone[0].high:
            self._canvas.blot(self.x.place(alone[0].x), self.y.place(alone[0].low), ink)

    def rows(self, *, marks: str | None, frame: str = FRAME) -> list[list[Cell]]:
        """The chart line by line, as cells. `marks`: see `Canvas.rows`."""
        out: list[list[Cell]] = []
        for i, pieces in enumerate(self._canvas.rows(marks)):
            row = self._canvas.height - 1 - i
            text = self._y_ticks.get(row)
            edge = frame[0] if text is None else frame[3]
            out.append(
                [(f"{text or '':>{self._margin}} {edge}", "dim"), *((piece, style(ink)) for piece, ink in pieces)]
            )
        return [*out, *self._below(frame)]

    def _below(self, frame: str) -> list[list[Cell]]:
        """The x axis, its numbers, its name."""
        columns = self._canvas.width
        ticks = [(dot // ACROSS, text) for dot, text in self.x.ticks(max(columns // 12, 2))]
        at = {column for column, _ in ticks}
        bar = "".join(frame[4] if column in at else frame[2] for column in range(columns))
        indent = " " * (self._margin + 1)
        numbers = _beside(ticks, columns)
        name = self._x_label.rjust(columns)
        return [[(indent + frame[1] + bar, "dim")], [(indent + " " + numbers, "dim")], [(indent + " " + name, "dim")]]


def style(ink: int) -> str:
    """The colour of an ink; none for a blank."""
    return INKS[ink % len(INKS)] if ink >= 0 else ""


def _beside(ticks: list[tuple[int, str]], room: int) -> str:
    """Texts centred below their columns; one that would touch its neighbour is left out."""
    out = ""
    for column, text in ticks:
        start = min(max(column - len(text) // 2, 0), room - len(text))
        if not out or start > len(out):
            out = out.ljust(start) + text
    return out


def smoothed(line: Sequence[Bucket], means: Sequence[float], counts: Sequence[int], points: int) -> list[Bucket]:
    """The line as the running mean of the last `points` points, as exactly as whole buckets tell it."""
    out = []
    start, total, held = 0, 0.0, 0
    for i, bucket in enumerate(line):
        total += means[i] * counts[i] if counts[i] else 0.0
        held += counts[i]
        while start < i and held - counts[start] >= points:
            total -= means[start] * counts[start] if counts[start] else 0.0
            held -= counts[start]
            start += 1
        mean = total / held if held and counts[i] else math.nan
        out.append(Bucket(bucket.x, mean, mean, mean, mean))
    return out
