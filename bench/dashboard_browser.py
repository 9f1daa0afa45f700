"""A real Chromium that looks at a page from outside: films it, counts its nodes, its memory, its frames and what it loads. Knows no
contestant."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from playwright.async_api import Browser, BrowserContext, CDPSession, Error, Page, Response, async_playwright

from bench.dashboard_film import Box, Frame, Pixels, decoded, differs, has_line

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTH, HEIGHT = 1440, 900
LEAST_WIDTH, LEAST_HEIGHT = 110, 90
"""A picture of at least this size, in pixels, is a chart; smaller ones are icons."""
LOOK_SECONDS = 0.25
NO_FRAMES = 5.0
"""Seconds without a frame after which a film without charts is compared with what is on the screen."""
START_TRIES = 40
PICTURES = "canvas, svg"

CHARTS = f"""(pictures) => {{
  const found = [];
  const inSight = (one) => {{
    const box = one.getBoundingClientRect();
    let [left, top] = [Math.max(box.left, 0), Math.max(box.top, 0)];
    let [right, bottom] = [Math.min(box.right, innerWidth), Math.min(box.bottom, innerHeight)];
    for (let above = one; (above = above.parentElement ?? above.getRootNode().host); ) {{
      if (getComputedStyle(above).overflow === 'visible') continue;
      const edge = above.getBoundingClientRect();
      [left, top] = [Math.max(left, edge.left), Math.max(top, edge.top)];
      [right, bottom] = [Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
    }}
    const enough = right - left >= 0.9 * box.width && bottom - top >= 0.5 * box.height;
    return enough ? [left, top, right - left, bottom - top] : null;
  }};
  const walk = (root) => {{
    for (const one of root.querySelectorAll('*')) {{
      if (one.shadowRoot) walk(one.shadowRoot);
      if (!one.matches(pictures)) continue;
      const box = one.getBoundingClientRect();
      if (box.width < {LEAST_WIDTH} || box.height < {LEAST_HEIGHT}) continue;
      if (!one.checkVisibility({{visibilityProperty: true}})) continue;
      const seen = inSight(one);
      if (seen) found.push(seen);
    }}
  }};
  walk(document);
  return found;
}}"""
"""Canvases and pictures of which at least half is in sight, inside shadows, too."""

NODES = """() => {
  let count = 0;
  const walk = (root) => {
    const nodes = document.createTreeWalker(root);
    while (nodes.nextNode()) { count += 1; if (nodes.currentNode.shadowRoot) walk(nodes.currentNode.shadowRoot); }
  };
  walk(document);
  return count;
}"""

RUNS = """(rows) => {
  const names = [];
  const walk = (root) => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode;
      if (node.shadowRoot) walk(node.shadowRoot);
      if (node.nodeType !== Node.TEXT_NODE || !/^\\s*run-\\d{5}\\s*$/.test(node.data)) continue;
      if (!node.parentElement.closest(rows)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      if (box.width < 1 || box.top < 0 || box.bottom > innerHeight) continue;
      if (node.parentElement.checkVisibility({visibilityProperty: true})) names.push(node.data.trim());
    }
  };
  walk(document);
  return [...new Set(names)];
}"""
"""The names of runs that stand on the screen as texts of their own."""

COUNT_FRAMES = """() => {
  const times = (window.benchFrames = []);
  const next = (now) => { times.push(now); if (window.benchFrames === times) requestAnimationFrame(next); };
  requestAnimationFrame(next);
}"""
STOP_FRAMES = "() => { const times = window.benchFrames; window.benchFrames = null; return times; }"


@dataclass(frozen=True)
class Frames:
    """How smoothly a page moved."""

    per_second: float
    longest: float
    """The longest time between two frames, in seconds."""


@dataclass
class Loaded:
    """What a page has fetched since it was opened."""

    bytes_sent: int = 0
    """Of scripts, as they came over the wire, headers included."""
    bytes_gzip: int = 0
    """Of the same scripts, compressed by gzip here."""
    requests: int = 0
    received: int = 0
    """Bytes of everything, as they came over the wire."""
    other_hosts: set[str] = field(default_factory=set)


class FilmLost(Exception):
    """The browser filmed no more, though the page changed: nobody knows when it was drawn."""


class Sheet:
    """One page, and what is known of it from outside."""

    def __init__(self, page: Page, tools: CDPSession, pictures: str) -> None:
        self.page = page
        self.tools = tools
        self.pictures = pictures
        self.film: list[Frame] = []
        self.loaded = Loaded()
        self.errors: list[str] = []
        self._bodies: list[asyncio.Task[None]] = []
        self._scripts: set[str] = set()
        self._compressed: set[str] = set()
        self._filming = False

    async def start(self) -> None:
        await self.tools.send(
            "Network.enable", {"maxTotalBufferSize": 200_000_000, "maxResourceBufferSize": 50_000_000}
        )
        self.tools.on("Network.responseReceived", self._response)
        self.tools.on("Network.loadingFinished", self._finished)
        self.tools.on("Page.screencastFrame", self._frame)
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("response", self._script)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)[:200]))

    # ------------------------------------------------------------ what it loads

    def _request(self, url: str) -> None:
        self.loaded.requests += 1
        host = urlsplit(url).hostname
        if host and host not in ("127.0.0.1", "localhost"):
            self.loaded.other_hosts.add(host)

    def _response(self, event: dict[str, Any]) -> None:
        if event["type"] == "Script" or "javascript" in event["response"]["mimeType"]:
            self._scripts.add(event["requestId"])

    def _finished(self, event: dict[str, Any]) -> None:
        size = int(event["encodedDataLength"])
        self.loaded.received += size
        if event["requestId"] in self._scripts:
            self.loaded.bytes_sent += size

    def _script(self, response: Response) -> None:
        new = response.url not in self._compressed
        if new and response.request.resource_type == "script" and urlsplit(response.url).scheme.startswith("http"):
            self._compressed.add(response.url)
            self._bodies.append(asyncio.ensure_future(self._compress(response)))

    async def _compress(self, response: Response) -> None:
        try:
            body = await response.body()
        except Error:
            return  # it never came: another host
        self.loaded.bytes_gzip += len(gzip.compress(body, 6))

    async def load_all(self) -> Loaded:
        """What it has loaded, once the bodies of scripts are here."""
        await asyncio.gather(*self._bodies)
        return self.loaded

    # ------------------------------------------------------------ the film

    def _frame(self, event: dict[str, Any]) -> None:
        self.film.append(Frame(float(event["metadata"]["timestamp"]), base64.b64decode(event["data"])))
        if self._filming:
            asyncio.ensure_future(self._next(event["sessionId"]))  # noqa: RUF006 -- it ends at once

    async def _next(self, session: int) -> None:
        try:
            await self.tools.send("Page.screencastFrameAck", {"sessionId": session})
        except Error:
            return  # the page is gone

    @asynccontextmanager
    async def filmed(self) -> AsyncIterator[list[Frame]]:
        """The frames that were on the screen meanwhile. A page that does not change has none."""
        self.film, self._filming = [], True
        wanted = {"format": "png", "everyNthFrame": 1, "maxWidth": WIDTH, "maxHeight": HEIGHT}
        for _ in range(START_TRIES):
            try:
                await self.tools.send("Page.startScreencast", wanted)
                break
            except Error:
                await asyncio.sleep(LOOK_SECONDS)  # between two documents there is nothing to film
        try:
            yield self.film
        finally:
            self._filming = False
            await self.tools.send("Page.stopScreencast")

    async def picture(self) -> Pixels:
        return decoded(await self.page.screenshot(animations="allow", caret="initial"))

    async def settled(self, charts: int, quiet: float, limit: float) -> list[Box]:
        """The charts in sight, once there are as many with a line and none has changed for a time, or at the limit, for some pages
        never rest. Raises `TimeoutError` where there are not as many, `FilmLost` where the film ended before the page was drawn."""
        deadline, calm_since, frame_at, looked = time.monotonic() + limit, time.monotonic(), time.monotonic(), 0
        before, boxes_before = None, list[Box]()
        while time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            boxes = await self.charts()
            new = len(self.film) != looked
            looked = len(self.film)
            screen = self.film[-1].pixels() if new or (before is None and self.film) else before
            calm = (
                screen is not None
                and boxes == boxes_before
                and len(boxes) >= charts
                and all(has_line(box.of(screen)) for box in boxes)
                and before is not None
                and not any(differs(box.of(screen), box.of(before)) for box in boxes)
            )
            before, boxes_before = screen, boxes
            if new:
                frame_at = time.monotonic()
            elif not calm and len(boxes) >= charts and time.monotonic() - frame_at > NO_FRAMES:
                frame_at = time.monotonic()
                there = await self.picture()
                if len(self.film) == looked and any(differs(box.of(there), box.of(self._last())) for box in boxes):
                    raise FilmLost
            if not calm:
                calm_since = time.monotonic()
            elif time.monotonic() - calm_since >= quiet:
                return boxes
        if before is not None and len(boxes_before) >= charts and all(has_line(box.of(before)) for box in boxes_before):
            return boxes_before
        raise TimeoutError(f"not {charts} charts with lines within {limit:.0f} s")

    def _last(self) -> Pixels:
        return self.film[-1].pixels() if self.film else np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    # ------------------------------------------------------------ what is in it

    async def charts(self) -> list[Box]:
        """The charts in sight, each once: a picture over another is the same chart."""
        found: list[Box] = []
        for left, top, width, height in await self.page.evaluate(CHARTS, self.pictures):
            box = Box(round(left), round(top), round(width), round(height))
            if not any(_overlap(box, other) for other in found):
                found.append(box)
        return found

    async def runs(self, rows: str) -> list[str]:
        """The names of runs in sight, in what the selector `rows` names."""
        names: list[str] = await self.page.evaluate(RUNS, rows)
        return names

    async def until(self, is_so: Callable[[], Awaitable[bool]], limit: float, what: str) -> float:
        """The Unix time at which it was seen to be so. Raises `TimeoutError`."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if await is_so():
                return time.time()
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{what}: not within {limit:.0f} s")

    async def nodes(self) -> int:
        return int(await self.page.evaluate(NODES))

    async def heap(self) -> int:
        """Bytes that live in the page's script memory, arrays outside its heap included, after a collection."""
        await self.tools.send("HeapProfiler.collectGarbage")
        told = await self.tools.send("Runtime.getHeapUsage")
        return int(told["usedSize"] + told.get("backingStorageSize", 0))

    async def frames(self, seconds: float, move: Callable[[int], Awaitable[None]]) -> Frames:
        """How many frames a second the page gave while something moved in it, one move after another."""
        await self.page.evaluate(COUNT_FRAMES)
        deadline, step = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            await move(step)
            step += 1
        times = await self.page.evaluate(STOP_FRAMES)
        gaps = [(after - before) / 1e3 for before, after in itertools.pairwise(times)]
        if not gaps:
            return Frames(0.0, seconds)
        return Frames(len(gaps) / sum(gaps), max(gaps))


def _overlap(one: Box, other: Box) -> bool:
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return wide > 0 and high > 0 and wide * high > 0.5 * min(one.width * one.height, other.width * other.height)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def sheet(browser: Browser, pictures: str = PICTURES) -> AsyncIterator[Sheet]:
    """An empty page of a profile of its own: nothing is cached from before. `pictures` selects what may be a chart."""
    context: BrowserContext = await browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        page = await context.new_page()
        made = Sheet(page, await context.new_cdp_session(page), pictures)
        await made.start()
        yield made
    finally:
        await context.close()
