"""Looking through a run's log: the lines that match, however long it is, a bounded piece of work at a time. No rights and no HTTP."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ml_dash import codec
from ml_dash.model import LOGS, Page, SeriesKey
from ml_dash.server.json_values import encoded

if TYPE_CHECKING:
    from ml_dash.store.base import Store

SECONDS = 0.2
"""That one answer looks for, about."""
MOST_LINES = 200_000
"""That one answer looks at."""
_BLOCK = 1 << 20
"""Bytes of lines that are looked at at a time, about."""
_FIRST = 1_000
"""Lines of the first look backward, when nobody knows yet how long they are."""
_LONGEST = 20_000
_PLAIN = re.compile(r"[ -!#-\[\]-~]*")
"""Text that is in a line's JSON as it is."""
_RESPELLED = ("nan", "infinity")
"""Texts that a line may spell otherwise where they are all of a string."""
_encode = msgspec.json.Encoder().encode


class _Level(Struct, gc=False):
    level: str | None = None


_levels = msgspec.json.Decoder(_Level)


class OfLogs(Struct, rename={"from_": "from"}):
    """At most `limit` lines that match, from index `from` on; `backward`, those before it, from the end if it is absent. `levels` are
    those to show, all without one; `search` is text in the message, in any case."""

    from_: Annotated[int, Meta(ge=0, le=1 << 62)] | msgspec.UnsetType = msgspec.UNSET
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 200
    levels: Annotated[list[str], Meta(max_length=100)] = []
    search: Annotated[str, Meta(max_length=1_000)] = ""
    backward: bool = False


class LogRow(Struct):
    """One line; `index` is its number."""

    index: int
    timestamp: str
    level: str
    message: str
    metadata: dict[str, Any] | None


class LogRows(Struct):
    """The lines found, the oldest first. `next` is the `from` to go on with, null where there is nothing more; `scanned` is how many
    lines were looked at, of `total`."""

    rows: list[LogRow]
    next: int | None
    total: int
    scanned: int


def encode_logs(store: Store, run: str, asked: OfLogs, timer: Callable[[], float] = time.perf_counter) -> bytes:
    """The answer as JSON; see `LogRows`. Raises whatever the store raises."""
    series = SeriesKey(run, LOGS, "")
    total = store.read(series, 0, 0).total
    start = asked.from_ if asked.from_ is not msgspec.UNSET else total if asked.backward else 0
    start = min(start, total)
    matches = _Matches(asked)
    enough = timer() + SECONDS
    rows: list[dict[str, Any]] = []
    at = start
    for page in _backward(store, series, start) if asked.backward else _forward(store, series, start, total):
        found, at = matches.of(page, asked.limit - len(rows), backward=asked.backward)
        rows = found + rows if asked.backward else rows + found
        if len(rows) >= asked.limit or timer() > enough or abs(at - start) >= MOST_LINES:
            break
    more = at > 0 if asked.backward else at < total
    body = {"next": at if more else None, "total": total, "scanned": abs(at - start)}
    return _encode({"rows": encoded(rows), **body})


def _forward(store: Store, series: SeriesKey, at: int, total: int) -> Iterator[Page]:
    while at < total:
        page = store.read(series, at, min(MOST_LINES, total - at), _BLOCK)
        if not page.count:
            return
        yield page
        at += page.count


def _backward(store: Store, series: SeriesKey, at: int) -> Iterator[Page]:
    """The pages before `at`, the last first. A page that is cut short is cut at its end, which is what is wanted here: so as many
    lines are asked for as are expected in a block, and where that was too many, the rest one block after the other."""
    lines = _FIRST
    while at > 0:
        first = max(0, at - lines)
        parts = list(_forward(store, series, first, at))
        yield from reversed(parts)
        if sum(part.count for part in parts) < at - first:
            return
        size = sum(len(part.lines) for part in parts) / (at - first)
        lines = max(1, min(_LONGEST, int(_BLOCK / max(size, 1))))
        at = first


class _Matches:
    """What is asked of a line."""

    def __init__(self, asked: OfLogs) -> None:
        self._levels = frozenset(asked.levels)
        self._search = asked.search.lower()
        self._needle = self._search.encode() if self._may_find() else b""

    def _may_find(self) -> bool:
        plain = self._search.isascii() and _PLAIN.fullmatch(self._search) is not None
        return plain and not any(self._search in word for word in _RESPELLED)

    def of(self, page: Page, most: int, *, backward: bool) -> tuple[list[dict[str, Any]], int]:
        """The lines of the page that match, `most` of them at most, from the end that it is read from; and where looking goes on."""
        places, lines = self._candidates(page)
        found: list[dict[str, Any]] = []
        for place in reversed(places) if backward else places:
            row = self._row(page.start + place, lines[place])
            if row is not None:
                found.append(row)
                if len(found) == most:
                    return (found[::-1], row["index"]) if backward else (found, row["index"] + 1)
        return (found[::-1], page.start) if backward else (found, page.start + page.count)

    def _candidates(self, page: Page) -> tuple[Sequence[int], list[bytes]]:
        """The places of lines that may match, and all lines, where there are any."""
        if self._needle and self._needle not in page.lines.lower():
            return (), []
        lines = page.lines.split(b"\n")[:-1]
        if self._needle:
            return [place for place, line in enumerate(lines) if self._needle in line.lower()], lines
        if self._levels:
            try:
                found = _levels.decode_lines(page.lines)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return range(len(lines)), lines
            if len(found) == len(lines):
                return [place for place, one in enumerate(found) if one.level in self._levels], lines
        return range(len(lines)), lines

    def _row(self, index: int, line: bytes) -> dict[str, Any] | None:
        try:
            entry = codec.loads(line)
        except (ValueError, RecursionError):
            entry = {"message": line.decode(errors="replace")}
        level, message = _text(entry.get("level")), _text(entry.get("message"))
        if self._levels and level not in self._levels:
            return None
        if self._search and self._search not in message.lower():
            return None
        metadata = entry.get("metadata")
        return {
            "index": index,
            "timestamp": _text(entry.get("timestamp")),
            "level": level,
            "message": message,
            "metadata": metadata if isinstance(metadata, dict) else None,
        }


def _text(value: Any) -> str:
    return "" if value is None else str(value)
