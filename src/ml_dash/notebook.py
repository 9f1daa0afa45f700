"""How runs show themselves: values cut to a cell, and small HTML tables for notebooks. Pure; reads no store.

Colours come from the notebook: lines are a half-transparent grey and faint text is the text's own colour, so that tables suit
dark and light themes alike. Every text of a user's is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.model import Run, SeriesInfo

MOST_ROWS = 20
"""Rows of a table that are shown; the rest is counted."""
_CELL = 60

_TABLE = "border-collapse:collapse;margin:.3em 0 .6em;font-size:.9em;color:inherit;background:none"
_ROW = "border-bottom:1px solid #8886;background:none"
_CELLS = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0"
_FAINT = "opacity:.65"
_STATUS = {"RUNNING": "#3b82f6", "COMPLETED": "#16a34a", "FAILED": "#dc2626", "CANCELLED": "#d97706", "LOST": "#d97706"}


def run_table(run: Run, series: list[SeriesInfo], status: str, noun: str) -> str:
    """One run as HTML: what it is, its parameters, its series with their numbers of points and last rows."""
    head = f"<strong>{escaped(run.key.name)}</strong> {_faint(f'{noun} in {run.key.project}')} {_coloured(status)}"
    notes = " · ".join(text for text in (run.description, ", ".join(run.tags)) if text)
    parts = [f"<div>{head}</div>"]
    if notes:
        parts.append(f"<div>{_faint(short(notes, 4 * _CELL))}</div>")
    if run.params:
        parts.append(table(("parameter", "value"), list(run.params.items())))
    if series:
        rows = [(one.name, one.count, summary(one.last)) for one in series[:MOST_ROWS]]
        parts.append(table(("series", "points", "last"), rows, len(series)))
    return f"<div>{''.join(parts)}</div>"


def runs_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], count: int) -> str:
    """Several runs as HTML, a row each; `count` is how many there are."""
    return f"<div>{_faint(title)}{table(header, rows, count)}</div>"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], count: int | None = None) -> str:
    """An HTML table of the first `MOST_ROWS` rows; what is not shown, of `count` rows (None: of `rows`), is counted below."""
    head = "".join(f'<th style="{_CELLS}">{escaped(title)}</th>' for title in header)
    body = "".join(_row(row) for row in rows[:MOST_ROWS])
    more = (len(rows) if count is None else count) - MOST_ROWS
    rest = f'<tr style="{_ROW}"><td colspan="{len(header)}" style="{_CELLS}">{_faint(f"… {more} more")}</td></tr>'
    return (
        f'<table style="{_TABLE}"><thead><tr style="{_ROW}">{head}</tr></thead>'
        f"<tbody>{body}{rest if more > 0 else ''}</tbody></table>"
    )


def summary(row: Mapping[str, Any] | None) -> str:
    """Fields and values in a line: ``loss=0.25, step=3``."""
    shown = islice((row or {}).items(), MOST_ROWS)
    return ", ".join(f"{name}={short(value, _CELL // 2)}" for name, value in shown)


def short(value: Any, most: int = _CELL) -> str:
    """A value as text of at most `most` characters, numbers with six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(value: Any) -> str:
    """Text that means itself in HTML, also in a quoted attribute."""
    import html

    return html.escape(str(value))


def _row(values: Sequence[Any]) -> str:
    cells = "".join(f'<td style="{_CELLS}">{escaped(short(value))}</td>' for value in values)
    return f'<tr style="{_ROW}">{cells}</tr>'


def _faint(text: str) -> str:
    return f'<span style="{_FAINT}">{escaped(text)}</span>'


def _coloured(status: str) -> str:
    return f'<span style="color:{_STATUS.get(status, "inherit")}">{escaped(status)}</span>'
