"""One measurement each of the dashboard benchmark, of any contestant: opened in a fresh profile, looked at by pixels and nodes, never
by what a page says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.async_api import Browser

from bench import servers
from bench.dashboard_browser import HEIGHT, WIDTH, Sheet, sheet
from bench.dashboard_data import Shape, run_name
from bench.dashboard_film import (
    DRAWN,
    TALL,
    Box,
    Frame,
    Pixels,
    differs,
    first_change,
    first_line,
    lines_in,
    peak,
    reached,
    spike_is_seen,
)
from bench.dashboard_pages import ALL_METRICS, Contestant

ROWS = 5
"""Names of runs that are on the screen at least where a list is there."""
QUIET = 3.0
"""Seconds without a change in any chart after which no more is awaited."""
MOVING = 3.0
"""Seconds of hovering and scrolling."""
ZOOMS, HALF_WIDTH, APART = 4, 12, 6
"""Drags at most, one after another; how far left and right of the spike each goes, in pixels; and how many pixels of the spike's upper
half tell its neighbours from it."""
PROBES, UNSEEN = 5, 60.0
"""Points whose way to the screen is timed, and the seconds after which one is given up."""
NOTHING = 60.0
"""Seconds after which a page that has drawn no chart by itself is taken for one that draws none."""
PICTURE_WIDTH = 960
CROWD = Path(__file__).resolve().parent / "dashboard_crowd.py"

Value = float | str
Values = dict[str, Value]


@dataclass
class Visit:
    """A contestant's page over a shape, its server running."""

    contestant: Contestant
    browser: Browser
    base: str
    shape: Shape
    limit: float
    picture: Path | None = None
    charts: str = ""
    """The link to its charts, once made."""
    log: Callable[[str], None] = field(default=lambda _text: None)

    async def charts_link(self) -> str:
        if not self.charts:
            metrics = ALL_METRICS[: self.shape.metrics]
            self.charts = await self.contestant.charts_url(self.browser, self.base, metrics)
        return self.charts

    async def keep(self, page: Sheet, what: str) -> None:
        """The picture of this moment, small, beside the results."""
        if self.picture:
            file = self.picture.with_name(f"{self.picture.name}-{what}.png")
            screen = Image.fromarray(await page.picture())
            small = screen.resize((PICTURE_WIDTH, PICTURE_WIDTH * HEIGHT // screen.width), Image.Resampling.LANCZOS)
            small.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


# ---------------------------------------------------------------- lists


async def runs_list(visit: Visit) -> Values:
    """From opening the link until rows are there; and until a filter that was typed at once has been answered."""
    async with sheet(visit.browser, visit.contestant.pictures) as page:
        start, wanted = time.time(), run_name(visit.shape.runs // 2)
        await page.page.goto(await visit.contestant.list_url(visit.base), wait_until="commit")

        async def answered() -> bool:
            return await page.runs(visit.contestant.rows) == [wanted]

        rows_at = await page.until(rows_of(visit, page), visit.limit, "rows of the list")
        await visit.contestant.find_run(page.page, wanted)
        usable = await page.until(answered, visit.limit, f"the list filtered to {wanted}")
        values: Values = {"rows": rows_at - start, "usable": usable - start}
    async with sheet(visit.browser, visit.contestant.pictures) as page:
        await page.page.goto(await visit.contestant.list_url(visit.base), wait_until="commit")
        await page.until(rows_of(visit, page), visit.limit, "rows of the list")
        await asyncio.sleep(QUIET)
        await visit.keep(page, "list")
        values |= {"nodes": await page.nodes(), "heap": await page.heap(), "received": page.loaded.received}
        values |= await scrolled(visit, page)
    return values


def rows_of(visit: Visit, page: Sheet) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return len(await page.runs(visit.contestant.rows)) >= ROWS

    return there


async def scrolled(visit: Visit, page: Sheet) -> Values:
    """Frames while the wheel turns over the list, and the nodes afterwards."""
    name = (
        page.page.locator(visit.contestant.rows)
        .get_by_text((await page.runs(visit.contestant.rows))[2], exact=True)
        .first
    )
    box = await name.bounding_box()
    if box is None:
        return {"scroll": "its rows are nowhere"}
    await page.page.mouse.move(box["x"] + 5, box["y"] + 5)
    before = await page.runs(visit.contestant.rows)

    async def turn(step: int) -> None:
        await page.page.mouse.wheel(0, 240 if step % 120 < 90 else -240)

    frames = await page.frames(MOVING, turn)
    if await page.runs(visit.contestant.rows) == before:
        return {"scroll": "it did not scroll", "scroll_nodes": await page.nodes()}
    return {"scroll": frames.per_second, "scroll_gap": frames.longest, "scroll_nodes": await page.nodes()}


# ---------------------------------------------------------------- charts


@dataclass
class Opened:
    """Charts that were opened and have settled."""

    film: list[Frame]
    boxes: list[Box]
    last: Pixels
    values: Values


async def opened(visit: Visit, page: Sheet, charts: int) -> Opened:
    """Open the link to the charts; when their lines were on the screen first, and all of them."""
    link = await visit.charts_link()
    async with page.filmed() as film:
        start = time.time()
        await page.page.goto(link, wait_until="commit")
        try:
            boxes = await page.settled(charts, QUIET, visit.limit)
        except TimeoutError:
            await visit.keep(page, "failed")
            raise
    film.sort(key=lambda frame: frame.at)
    last = film[-1].pixels()
    begun, drawn = first_line(film, boxes, last), reached(film, boxes, DRAWN, last)
    if begun is None or drawn is None:
        raise TimeoutError("its charts have no lines")
    return Opened(film, boxes, last, {"first": begun - start, "drawn": drawn - start, "charts": len(boxes)})


async def spike(visit: Visit) -> Values:
    """A long series with a spike: whether it is seen, how fast zooming is, and whether its index can be read in the end."""
    async with sheet(visit.browser, visit.contestant.pictures) as page:
        seen = await opened(visit, page, 1)
        box, values, place = seen.boxes[0], seen.values, visit.shape.spike_at / visit.shape.points
        await visit.keep(page, "spike")
        values["seen"] = "yes" if spike_is_seen(box.of(seen.last), place) else "no"
        picture, times = await alone(page), list[float]()
        for _ in range(ZOOMS):
            took, picture = await zoomed(page, box, picture, place)
            if took is None:
                break
            times.append(took)
            place, found = 0.5, peak(box.of(picture))
            if found and found.height > TALL and found.width >= APART:
                break
        if not times:
            return values | {"zoom": "dragging does not zoom"}
        values |= {"zoom": statistics.median(times), "zoom_worst": max(times), "zooms": len(times)}
        values["seen_after"] = "yes" if spike_is_seen(box.of(picture), 0.5, near=0.3) else "no"
        values["index"] = await index_shown(page, box, picture, visit.shape.spike_at)
        await visit.keep(page, "zoomed")
        return values


def target(chart: Pixels, place: float) -> tuple[int, int, int]:
    """Where the spike is or should be, and the rows between which the lines are: what a person drags over."""
    lines = lines_in(chart)
    columns, rows = np.flatnonzero(lines.any(axis=0)), np.flatnonzero(lines.any(axis=1))
    found = peak(chart)
    x = int(columns[0] + place * (columns[-1] - columns[0]))
    if found and found.height > TALL and abs(found.place - place) < 0.3:
        x = found.x
    return x, int(rows[0]), int(rows[-1])


async def zoomed(page: Sheet, box: Box, before: Pixels, place: float) -> tuple[float | None, Pixels]:
    """Drag over the spike's neighbourhood; how long after letting go all was drawn, and what is there. None: nothing changed."""
    x, top, bottom = target(box.of(before), place)
    mouse, margin = page.page.mouse, 2
    async with page.filmed() as film:
        await mouse.move(box.x + x - HALF_WIDTH, box.y + top + margin)
        await mouse.down()
        await mouse.move(box.x + x, box.y + (top + bottom) / 2, steps=4)
        await mouse.move(box.x + x + HALF_WIDTH, box.y + bottom - margin, steps=4)
        let_go = time.time()
        await mouse.up()
        await asyncio.sleep(0.3)
        try:
            await page.settled(1, QUIET / 2, 30.0)
        except TimeoutError:
            return None, before
    film.sort(key=lambda frame: frame.at)
    after = await alone(page)
    if not film or not differs(box.of(after), box.of(before)):
        return None, before
    drawn = reached(film, [box], DRAWN, film[-1].pixels(), let_go)
    return (None if drawn is None else drawn - let_go), after


async def alone(page: Sheet) -> Pixels:
    """The picture without the pointer over it: tooltips and crosshairs are no lines."""
    await page.page.mouse.move(2, 2)
    await asyncio.sleep(0.5)
    return await page.picture()


async def index_shown(page: Sheet, box: Box, picture: Pixels, index: int) -> str:
    """Whether the page says the spike's index, in any usual spelling, when one points at it."""
    found = peak(box.of(picture))
    if found is None:
        return "no"
    spellings = [f"{index:,}".replace(",", mark) for mark in ("", ",", " ", "\u202f", "\u00a0", "\u2009")]
    for away in (0, -1, 1, -2, 2, -4, 4, -7, 7):
        await page.page.mouse.move(box.x + found.x + away, box.y + found.top + 6)
        await asyncio.sleep(0.15)
        text = await page.page.evaluate(ALL_TEXT)
        if any(spelling in text for spelling in spellings):
            return "yes"
    return "no"


ALL_TEXT = """() => {
  const parts = [];
  const walk = (root) => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode;
      if (node.shadowRoot) walk(node.shadowRoot);
      if (node.nodeType === Node.TEXT_NODE && node.parentElement?.checkVisibility({visibilityProperty: true})) parts.push(node.data);
    }
  };
  walk(document.body);
  return parts.join(" ");
}"""


async def grid(visit: Visit) -> Values:
    """Many runs in many charts: the first view, hovering, memory, and what came over the wire."""
    async with sheet(visit.browser, visit.contestant.pictures) as page:
        seen = await opened(visit, page, min(2, visit.shape.metrics))
        await visit.keep(page, "grid")
        values = seen.values

        async def hover(step: int) -> None:
            box = seen.boxes[step // 90 % len(seen.boxes)]
            along = 0.5 + 0.4 * math.sin(step / 15)
            await page.page.mouse.move(box.x + along * box.width, box.y + box.height * (0.5 + 0.2 * math.cos(step / 7)))

        await page.frames(0.5, hover)
        frames = await page.frames(MOVING, hover)
        await visit.keep(page, "hover")
        values |= {"hover": frames.per_second, "hover_gap": frames.longest}
        loaded = await page.load_all()
        values |= {"nodes": await page.nodes(), "heap": await page.heap(), "received": loaded.received}
        return values


async def weight(visit: Visit) -> Values:
    """What the page brings: its list, then its charts of many runs, looked through down to the 24th."""
    async with sheet(visit.browser, visit.contestant.pictures) as page:
        await page.page.goto(await visit.contestant.list_url(visit.base), wait_until="commit")
        await page.until(rows_of(visit, page), visit.limit, "rows of the list")
        await page.page.goto(await visit.charts_link(), wait_until="commit")
        async with page.filmed():
            # Some draw nothing of a thousand runs until one chooses; what they bring is there all the same.
            with contextlib.suppress(TimeoutError):
                await page.settled(1, QUIET, min(visit.limit, NOTHING))
        await page.page.mouse.move(WIDTH / 2, HEIGHT / 2)
        for _ in range(24):
            await page.page.mouse.wheel(0, HEIGHT / 3)
            await asyncio.sleep(0.4)
        await asyncio.sleep(QUIET)
        loaded = await page.load_all()
        return {
            "script_sent": loaded.bytes_sent,
            "script_gzip": loaded.bytes_gzip,
            "hosts": len(loaded.other_hosts),
            "heap": await page.heap(),
            "nodes": await page.nodes(),
        }


# ---------------------------------------------------------------- live


async def live(visit: Visit, writer: subprocess.Popen[bytes], crowd: int) -> Values:
    """From before the call that appends a point until the chart on the screen has changed, while all runs write and others look."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    others = await crowd_of(visit, crowd) if crowd else None
    try:
        for number in range(4):
            probe(writer, 1.0 + number % 2)
            await asyncio.sleep(0.3)
        async with sheet(visit.browser, visit.contestant.pictures) as page:
            visit.charts = await visit.contestant.charts_url(visit.browser, visit.base, ["probe"])
            await page.page.goto(visit.charts, wait_until="commit")
            return await watched(visit, page, writer) | ({"crowd": crowd} if others else {})
    finally:
        if others:
            others.terminate()
            others.wait()


async def watched(visit: Visit, page: Sheet, writer: subprocess.Popen[bytes]) -> Values:
    async with page.filmed():
        await page.settled(1, 1.0, visit.limit)
        await visit.contestant.only(page.page, "probe")
        await asyncio.sleep(1.0)
        boxes = await page.settled(1, 2.0, visit.limit)
    times, value = list[float](), 2.0
    for _ in range(PROBES):
        value *= 3.0
        before = await page.picture()
        async with page.filmed() as film:
            at = probe(writer, value)
            changed, looked = None, 0
            while changed is None and time.time() < at + UNSEEN:
                await asyncio.sleep(0.05)
                new, looked = film[looked:], len(film)
                changed = first_change(new, boxes[0], before, at)
        if changed is None:
            await visit.keep(page, "live")
            return {"live": f"not within {UNSEEN:.0f} s"}
        times.append(changed - at)
        await asyncio.sleep(1.5)
    await visit.keep(page, "live")
    return {"live": statistics.median(times), "live_worst": max(times)}


def probe(writer: subprocess.Popen[bytes], value: float) -> float:
    """Append a point; the Unix time before the library's call."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{value}\n".encode())
    writer.stdin.flush()
    line = writer.stdout.readline()
    if not line:
        raise TimeoutError("what writes has ended")
    return float(json.loads(line)["at"])


def started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


async def crowd_of(visit: Visit, count: int) -> subprocess.Popen[bytes]:
    """Others who look at the same project, without a screen: they listen, and fetch what has come, as a page does."""
    crowd = started([sys.executable, str(CROWD), visit.base, str(count)])
    assert crowd.stdout is not None
    line = await asyncio.to_thread(crowd.stdout.readline)
    if b"listening" not in line:
        crowd.kill()
        raise servers.NotServing(
            f"nobody else can listen: {line.decode(errors='replace').strip() or 'it said nothing'}"
        )
    return crowd
