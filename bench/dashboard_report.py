"""What the visits of the dashboard benchmark found, and how it is told: medians beside limits, and side by side."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.dashboard_cases import Values
from bench.dashboard_data import Shape
from bench.dashboard_pages import Contestant


@dataclass
class Tally:
    """What one contestant gave, by case."""

    contestant: Contestant
    absent: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    found: dict[str, list[Values]] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, shape: Shape, values: Values) -> None:
        self.found.setdefault(case, []).append(values)
        self.shapes[case] = shape

    @property
    def title(self) -> str:
        named = self.facts.get("title", self.contestant.name)
        return f"this project ({named})" if self.contestant.name == "ours" else str(named)

    def number(self, case: str, key: str) -> float | None:
        """The median of the rounds that gave a number."""
        numbers = [value for one in self.found.get(case, []) if isinstance(value := one.get(key), (int, float))]
        return statistics.median(numbers) if numbers else None

    def spread(self, case: str, key: str) -> tuple[float, float] | None:
        numbers = [value for one in self.found.get(case, []) if isinstance(value := one.get(key), (int, float))]
        return (min(numbers), max(numbers)) if numbers else None

    def text(self, case: str, key: str) -> str | None:
        """What was said instead of a number; the worse, where rounds disagree."""
        texts = [value for one in self.found.get(case, []) if isinstance(value := one.get(key), str)]
        return next((text for text in texts if text != "yes"), texts[0] if texts else None)

    def is_wrong(self) -> bool:
        """Whether it could not be measured, or does not show what is there."""
        unseen = any(
            self.text(case, key) == "no" for case in ("spike", "long") for key in ("seen", "seen_after", "index")
        )
        return bool(self.absent or self.failures or unseen)


@dataclass(frozen=True)
class Column:
    """A column of a table: what it is called, where it is, its unit, and ours' limit."""

    title: str
    key: str
    unit: str = "s"
    limit: float | None = None
    at_least: bool = False

    def show(self, value: float) -> str:
        scaled = value / {"MB": 1e6, "MiB": 2**20}.get(self.unit, 1)
        if self.unit == "" or scaled >= 1_000:
            return f"{scaled:,.0f}"
        return f"{scaled:#.3g}".rstrip(".")

    def cell(self, tally: Tally, case: str) -> str:
        value = tally.number(case, self.key)
        if value is not None:
            return self.show(value)
        return tally.text(case, self.key) or "—"

    def keeps(self, value: float) -> bool:
        if self.limit is None:
            return True
        return value >= self.limit if self.at_least else value <= self.limit


SCROLL = (
    Column("scrolling, frames/s", "scroll", "/s"),
    Column("longest frame, s", "scroll_gap"),
    Column("DOM nodes", "nodes", ""),
    Column("heap, MiB", "heap", "MiB"),
)
CHARTS = (Column("first line, s", "first"), Column("all in sight drawn, s", "drawn"))
ZOOM = (
    Column("spike seen", "seen", ""),
    Column("a zoom drawn, s", "zoom"),
    Column("seen after zooming", "seen_after", ""),
    Column("its index is shown", "index", ""),
)
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "list": (
        "{runs} runs × {metrics} series: the list",
        (Column("rows, s", "rows"), Column("usable: a filter answered, s", "usable", limit=1.5), *SCROLL),
    ),
    "many": (
        "{runs} runs × {metrics} series: the list",
        (
            *(Column("rows, s", "rows"), Column("usable: a filter answered, s", "usable", limit=4.0)),
            *(
                Column("scrolling, frames/s", "scroll", "/s", 58.0, at_least=True),
                Column("longest frame, s", "scroll_gap"),
            ),
            *(Column("DOM nodes", "scroll_nodes", "", 5_000), Column("heap, MiB", "heap", "MiB")),
        ),
    ),
    "spike": (
        "{points} points with one 100-fold spike",
        (
            CHARTS[0],
            Column("drawn, s", "drawn", limit=1.0),
            ZOOM[0],
            Column("a zoom drawn, s", "zoom", limit=0.3),
            *ZOOM[2:],
        ),
    ),
    "long": (
        "{points} points with one 100-fold spike, rollups warm",
        (
            CHARTS[0],
            Column("drawn, s", "drawn", limit=0.5),
            ZOOM[0],
            Column("a zoom drawn, s", "zoom", limit=0.2),
            *ZOOM[2:],
        ),
    ),
    "grid": (
        "{runs} runs × {metrics} series × {points} points: the charts",
        (
            *(CHARTS[0], Column("all in sight drawn, s", "drawn", limit=1.5), Column("charts in sight", "charts", "")),
            *(
                Column("hovering, frames/s", "hover", "/s", 50.0, at_least=True),
                Column("longest frame, s", "hover_gap"),
            ),
            *(
                Column("received, MB", "received", "MB"),
                Column("DOM nodes", "nodes", ""),
                Column("heap, MiB", "heap", "MiB"),
            ),
        ),
    ),
    "large": (
        "{runs} runs × {metrics} series × {points} points: the charts",
        (
            *(CHARTS[0], Column("all in sight drawn, s", "drawn", limit=3.0), Column("charts in sight", "charts", "")),
            *(Column("hovering, frames/s", "hover", "/s"), Column("longest frame, s", "hover_gap")),
            *(Column("received, MB", "received", "MB"), Column("heap, MiB", "heap", "MiB")),
        ),
    ),
    "weight": (
        "What the page brings: its list and its charts of {runs} runs × {metrics} series, looked through",
        (
            *(
                Column("scripts as sent, MB", "script_sent", "MB"),
                Column("scripts by gzip, MB", "script_gzip", "MB", 0.35e6),
            ),
            *(Column("other hosts asked", "hosts", "", 0), Column("heap, MiB", "heap", "MiB", 150 * 2.0**20)),
            Column("DOM nodes", "nodes", ""),
        ),
    ),
    "live": (
        "A point appended → on the screen, while {runs} runs write",
        (
            Column("median, s", "live", limit=1.0),
            Column("slowest, s", "live_worst"),
            Column("others looking", "crowd", ""),
        ),
    ),
}
HOW = """Each page came from its contestant's own server as its users start it, over what its own library wrote, in a fresh profile of one
browser, in turns; the numbers are medians of {ours} rounds of ours and {peers} of the others. When something was on the screen is taken
from a film of the page: a chart is drawn when it has 95 % of the pixels of its last lines. How: bench/README.md. The pictures are in
[dashboard/](dashboard)."""


def report(tallies: Sequence[Tally], cases: Sequence[str], facts: str, quick: bool, rounds: tuple[int, int]) -> str:
    lines = ["# The dashboard in a browser", ""]
    if quick:
        lines += ["**A quick run with small sizes, for trying out: no numbers to keep.**", ""]
    ours = [tally for tally in tallies if tally.contestant.name == "ours" and tally.found]
    if ours:
        lines += limits(ours[0], cases)
    for case in cases:
        lines += table(case, tallies)
    lines += ["## What is what", "", HOW.format(ours=rounds[0], peers=rounds[1]), ""]
    for tally in tallies:
        if tally.facts:
            note = f"; {tally.contestant.notes}" if tally.contestant.notes else ""
            lines.append(f"- {tally.title}: `{tally.facts['command']}`, written by {tally.facts['written_by']}{note}.")
        else:
            lines.append(f"- {tally.title}: {tally.absent}.")
    lines += ["", facts, f"Finished {dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC.", ""]
    return "\n".join(lines)


def limits(ours: Tally, cases: Sequence[str]) -> list[str]:
    """Our own figures beside their limits."""
    lines = ["| figure | limit | median | lowest – highest | within? |", "|---|---:|---:|---|---|"]
    for case in cases:
        title, columns = TABLES[case]
        for column in columns:
            value, spread = ours.number(case, column.key), ours.spread(case, column.key)
            if column.limit is None:
                continue
            sign, what = "≥" if column.at_least else "≤", f"{named(title, ours.shapes.get(case))}: {column.title}"
            limit = f"{sign} {column.show(column.limit)}"
            if value is None or spread is None:
                reason = ours.failures.get(case) or ours.text(case, column.key) or "not measured"
                lines.append(f"| {what} | {limit} | — | {reason} | **no** |")
            else:
                low, high = map(column.show, spread)
                lines.append(
                    f"| {what} | {limit} | {column.show(value)} | {low} – {high} | {'yes' if column.keeps(value) else '**no**'} |"
                )
    return [*lines, ""]


def named(title: str, shape: Shape | None) -> str:
    return title.format(**{key: f"{getattr(shape, key):,}" if shape else "…" for key in ("runs", "metrics", "points")})


def table(case: str, tallies: Sequence[Tally]) -> list[str]:
    title, columns = TABLES[case]
    taking_part = [tally for tally in tallies if case in tally.found or case in tally.failures]
    if not taking_part:
        return []
    most = max((tally.shapes[case] for tally in taking_part if case in tally.shapes), key=size, default=None)
    head = ["contestant", *(column.title for column in columns)]
    lines = [f"## {named(title, most)}", "", f"| {' | '.join(head)} |", f"|---|{'---:|' * len(columns)}"]
    for tally in taking_part:
        if case in tally.failures:
            lines.append(f"| {tally.title} | {tally.failures[case]} |{' |' * (len(columns) - 1)}")
            continue
        shape, name = tally.shapes[case], tally.title
        if most and size(shape) < size(most):
            name += f" (less data: {shape.runs:,} × {shape.metrics:,} × {shape.points:,})"
        lines.append(f"| {name} | {' | '.join(column.cell(tally, case) for column in columns)} |")
    return [*lines, ""]


def size(shape: Shape) -> int:
    return shape.runs * shape.metrics * max(shape.points, 1)
