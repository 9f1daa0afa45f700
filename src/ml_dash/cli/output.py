"""How commands print: lines, tables, JSON, numbers, times. Knows widths and colours, no runs.

On a terminal, lines are coloured (unless NO_COLOR) and tables fit its width. Elsewhere they are plain text, as wide as need be.
Texts that come from a run are shown with their control characters spelled out: a log message cannot steer the terminal.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import msgspec

from ml_dash.times import parse_iso
from ml_dash.values import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
Cell = str | tuple[str, str]
"""A text, or a text with its style in rich's words."""

STATUS_STYLES = {
    "RUNNING": "bold green",
    "COMPLETED": "green",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "LOST": "magenta",
}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""`_CONTROL` but for the end of a line."""
_GAP = "  "
_PATIENCE = 0.5
"""Seconds of work before a bar appears."""
_DEEP = -1_000
"""Documents are our own nesting around a user's, whose depth was checked when it was stored."""


# ---------------------------------------------------------------- lines and tables


def is_terminal() -> bool:
    """Whether somebody looks at standard output."""
    return sys.stdout.isatty()


def width() -> int | None:
    """Columns to fit into: the terminal's, or COLUMNS; None where nothing limits them."""
    if is_terminal() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def stdout() -> IO[str]:
    """Standard output as it is now."""
    return sys.stdout


def line(*cells: Cell) -> None:
    """One line on standard output."""
    _write(sys.stdout, cells)


def to_stderr(*cells: Cell) -> None:
    """One line on standard error, after what was written to standard output."""
    sys.stdout.flush()
    _write(sys.stderr, cells)
    sys.stderr.flush()


def complain(what: str, text: str) -> None:
    """``error: text`` on standard error."""
    to_stderr((f"{what}: ", "bold red" if what == "error" else "bold yellow"), text)


def _write(stream: IO[str], cells: Sequence[Cell]) -> None:
    if not has_colours(stream):
        stream.write(_STEERING.sub(_spelled, "".join(map(_text, cells))).rstrip(" ") + "\n")
        return
    from rich.text import Text

    parts = [(_STEERING.sub(_spelled, _text(cell)), "" if isinstance(cell, str) else cell[1]) for cell in cells]
    _console(stream).print(Text.assemble(*parts), soft_wrap=True)


@cache
def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False)


def has_colours(stream: IO[str]) -> bool:
    """Whether the stream is a terminal that takes colours and nobody has asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def has_unicode() -> bool:
    """Whether standard output can show more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


class Column(NamedTuple):
    """A table's column. `least` is the width down to which it may be cut where the terminal is narrow; 0 is never."""

    head: str
    right: bool = False
    least: int = 0


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, indent: str = "", head: bool = True) -> None:
    """Columns side by side, two blanks between them."""
    rows = [[_cleaned(cell) for cell in row] for row in rows]
    widths = _widths(columns, rows, head=head)
    _shrink(widths, columns, width(), len(indent))
    if head:
        line(indent, *_padded([(column.head, "bold") for column in columns], columns, widths))
    for row in rows:
        line(indent, *_padded(row, columns, widths))


def table_width(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> int:
    """Columns of the terminal that `table` takes where nothing is cut."""
    widths = _widths(columns, [[_cleaned(cell) for cell in row] for row in rows], head=True)
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, head: bool) -> list[int]:
    return [
        max([text_width(column.head) if head else 0, *(text_width(_text(row[i])) for row in rows)])
        for i, column in enumerate(columns)
    ]


def _shrink(widths: list[int], columns: Sequence[Column], room: int | None, indent: int) -> None:
    """Narrow the widest column that may be narrowed until all fit, or none may."""
    if room is None:
        return
    while indent + sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        able = [i for i, column in enumerate(columns) if column.least and widths[i] > column.least]
        if not able:
            return
        widths[max(able, key=widths.__getitem__)] -= 1


def _padded(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> list[Cell]:
    out: list[Cell] = []
    for cell, column, wide in zip(cells, columns, widths, strict=True):
        text = cut(_text(cell), wide)
        blanks = " " * (wide - text_width(text))
        if column.right:
            text = blanks + text
        elif len(out) < 2 * (len(columns) - 1):  # blanks at the end of a line might be wrapped into one of their own
            text += blanks
        out += [text if isinstance(cell, str) else (text, cell[1]), _GAP]
    return out[:-1]


def _cleaned(cell: Cell) -> Cell:
    return clean(cell) if isinstance(cell, str) else (clean(cell[0]), cell[1])


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def text_width(text: str) -> int:
    """Columns that the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, wide: int) -> str:
    """The text, with "…" for a piece after its first two thirds where it is wider: names tell apart at both ends."""
    if text_width(text) <= wide:
        return text
    head, tail = text, ""
    while text_width(tail) < (wide - 1) // 3:
        head, tail = head[:-1], head[-1] + tail
    while head and text_width(head) + text_width(tail) > wide - 1:
        head = head[:-1]
    return head + ("…" if has_unicode() else "~") + tail


# ---------------------------------------------------------------- JSON


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on standard output, NaN and infinities spelled as in our lines."""
    _write_bytes(msgspec.json.format(_encoded(document), indent=2) + b"\n")


def print_json_line(document: Mapping[str, Any]) -> None:
    """One line of JSON on standard output."""
    _write_bytes(msgspec.json.format(_encoded(document), indent=0) + b"\n")


def compact_json(value: Any) -> str:
    """A value as one line of JSON."""
    return msgspec.json.format(_encoded(value), indent=0).decode()


def _encoded(value: Any) -> bytes:
    """Strict JSON: quickly where no number is NaN or infinite and no text looks as if it were."""
    try:
        body = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        body = b'"NaN"'
    if b'NaN"' in body or b'Infinity"' in body:
        body = msgspec.json.encode(plain(value, depth=_DEEP))
    return body


def _write_bytes(data: bytes) -> None:
    with binary_stdout() as out:
        out.write(data)


@contextmanager
def binary_stdout() -> Iterator[BinaryIO]:
    """Standard output for bytes. Under PYTHONUNBUFFERED Python's own takes a write for done when a part of it is."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    if not isinstance(out, io.RawIOBase):
        yield out
        out.flush()
        return
    buffered = io.BufferedWriter(out)
    try:
        yield buffered
        buffered.flush()
    finally:
        with suppress(OSError):
            buffered.detach()


# ---------------------------------------------------------------- values


def clean(text: str) -> str:
    """The text on one line, control characters spelled out."""
    return _CONTROL.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]


def number(value: Any) -> str:
    """A measured value in at most six digits; other values as `shown`."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**15:
        return f"{value:.6g}" if abs(value) < 10**300 else f"{str(value)[:6]}…"
    return shown(value)


def shown(value: Any) -> str:
    """A value as JSON writes it, text without its quotes."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _odd(value)
    return compact_json(value)


def _odd(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def count(number_of: int, noun: str) -> str:
    """``1 point``, ``1,000 points``; "series" stays as it is."""
    plural = noun if noun.endswith("s") else noun + "s"
    return f"{number_of:,} {noun if number_of == 1 else plural}"


def size(number_of: int) -> str:
    """Bytes in the unit that fits."""
    amount = float(number_of)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{number_of} B" if unit == "B" else f"{amount:.3g} {unit}"
        amount /= 1000
    raise AssertionError


def when(text: str | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A record's time in this machine's time zone; "-" where there is none."""
    ms = unix_ms(text)
    if ms is None:
        return clean(text) if text else "-"
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime(form)


def unix_ms(text: str | None) -> int | None:
    """A record's time, None if there is none or it is not one."""
    try:
        return parse_iso(text) if text else None
    except ValueError:
        return None


def duration(seconds: float | None) -> str:
    """``1.2s``, ``12s``, ``3m12s``, ``2h05m``, ``3d04h``; "-" where it is not known."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02d}h"
    if hours:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"


# ---------------------------------------------------------------- progress


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal, from half a second of work on; gone when the work is done.

    What it gives is to be called with the steps that were done.
    """
    bar = _Bar(doing, total)
    try:
        yield bar.advance
    finally:
        bar.stop()


def watched(items: Sequence[T], doing: str) -> Iterator[T]:
    """The items, with a bar as of `progress`."""
    with progress(doing, len(items)) as advance:
        for item in items:
            yield item
            advance(1)


class _Bar:
    def __init__(self, doing: str, total: int) -> None:
        self._doing = doing
        self._total = total
        self._done = 0
        self._since = time.monotonic()
        self._bar: Progress | None = None

    def advance(self, steps: int) -> None:
        self._done += steps
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)
        elif time.monotonic() - self._since > _PATIENCE and sys.stderr.isatty():
            self._bar = self._start()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress

        bar = Progress(console=Console(stderr=True), transient=True)
        bar.add_task(escape(clean(self._doing)), total=self._total, completed=self._done)
        bar.start()
        return bar

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """A spinner on standard error, if that is a terminal, while work whose length nobody knows is done."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(clean(doing))):
        yield
