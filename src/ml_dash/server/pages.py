"""A page that is no larger than an answer may be, whatever the series holds: read in steps, never the whole of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.model import Page, SeriesKey

if TYPE_CHECKING:
    from ml_dash.store.base import Store

STEP = 1_000
"""Points that are read at a time, at most."""
_FIRST = 16
"""Points that are read before anything is known of their size; a row may have 8 MB."""
_GROWTH = 4


def bounded_page(store: Store, series: SeriesKey, start: int, limit: int | None, most: int) -> Page:
    """`store.read(series, start, limit)` as far as `most` bytes of lines go, but at least one point if there is one."""
    wanted = limit if limit is not None else 1 << 62
    step = _FIRST
    parts: list[Page] = []
    size = count = 0
    while True:
        asked = min(step, wanted - count)
        page = _cut(store.read(series, start + count, asked), most - size, least=0 if parts else 1)
        parts.append(page)
        size += len(page.lines)
        count += page.count
        if page.count < asked or count >= wanted or size >= most:
            break
        step = min(STEP, step * _GROWTH, max(1, (most - size) * page.count // len(page.lines)))
    first = parts[0]
    lines = b"".join(page.lines for page in parts)
    return Page(first.kind, start, count, parts[-1].total, lines, _joined(parts), first.origin)


def _cut(page: Page, most: int, least: int) -> Page:
    """The lines of `page` that end within `most` bytes, but at least `least`."""
    if len(page.lines) <= most:
        return page
    end = page.lines.rfind(b"\n", 0, max(most, 0)) + 1
    if not end and least:
        end = page.lines.find(b"\n") + 1
    lines = page.lines[:end]
    stop = page.start + lines.count(b"\n")
    ticks = tuple(tick for tick in page.ticks if tick[0] < stop)
    return Page(page.kind, page.start, stop - page.start, page.total, lines, ticks, page.origin)


def _joined(parts: list[Page]) -> tuple[tuple[int, int], ...]:
    """The ticks of pages that follow one another. Each begins with the tick in force at its start."""
    ticks: list[tuple[int, int]] = []
    for page in parts:
        for index, ms in page.ticks:
            if not ticks:
                ticks.append((index, ms))
            elif index > ticks[-1][0]:
                ticks.append((index, max(ms, ticks[-1][1])))
    return tuple(ticks)
