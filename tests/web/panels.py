"""Charts as a person meets them: a panel by its name, what it says, what the pointer tells, and the pixels of its picture."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.web.chromium import Watch

CLOSE = 56
"""How far (sum over red, green, blue) a pixel may be from a colour and still be of it: lines are a little clear, over a grid."""


class Panel:
    """One panel of a page, by the name that stands over it."""

    def __init__(self, page: Page, name: str, within: Page | Locator | None = None) -> None:
        self.page = page
        self.box = (within or page).get_by_role("region", name=name, exact=True)
        self.chart = self.box.get_by_role("img")
        self.caption = self.box.locator(".panel-caption")
        self.tip = self.box.locator(".chart-tip")
        self.spoken = self.box.locator("[aria-live=polite]")

    def drawn(self, caption: str | re.Pattern[str]) -> Panel:
        """Wait until it says this of what is drawn, and nothing is on its way."""
        self.chart.scroll_into_view_if_needed()
        expect(self.caption).to_have_text(caption)
        expect(self.chart).to_have_attribute("aria-busy", "false")
        return self

    def says(self, label: str | re.Pattern[str]) -> Panel:
        """Wait until the picture is this, in the words that a screen reader has for it."""
        expect(self.chart).to_have_attribute("aria-label", label)
        expect(self.chart).to_have_attribute("aria-busy", "false")
        return self

    def press(self, item: str) -> None:
        """Choose an item of its menu."""
        self.box.get_by_role("button", name="More", exact=True).click()
        self.page.get_by_role("menu").get_by_text(item, exact=True).click()

    def picture(self) -> Picture:
        """What is on its canvas."""
        return picture(self.page, pixels_of(self.chart))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the plot in the window's px."""
        self.chart.scroll_into_view_if_needed()
        box = self.chart.bounding_box()
        assert box
        return box["x"] + x, box["y"] + y

    def point(self, x: float, y: float) -> None:
        """Move the pointer there, from beside it: a browser tells no move to where the pointer is."""
        left, top = self.at(x, y)
        self.page.mouse.move(left + 2, top + 1)
        self.page.mouse.move(left, top)

    def drag(self, start: float, end: float, y: float = 60) -> None:
        """From one px of x to another, in steps, as a hand does."""
        left, top = self.at(start, y)
        self.page.mouse.move(left, top)
        self.page.mouse.down()
        self.page.mouse.move((left + left + end - start) / 2, top)
        self.page.mouse.move(left + end - start, top)
        self.page.mouse.up()

    @property
    def values(self) -> list[tuple[str, str]]:
        """Run and value of each line of the tooltip, from above."""
        rows = self.tip.locator(".chart-tip-row:not([hidden])")
        names, values = rows.locator(".chart-tip-name"), rows.locator(".chart-tip-value")
        return list(zip(names.all_inner_texts(), values.all_inner_texts(), strict=True))


class Picture(NamedTuple):
    """Pixels (rows from above, RGBA) and where in them the plot is: `right` and `bottom` are the ends of its axes."""

    pixels: np.ndarray[Any, Any]
    left: int
    right: int
    bottom: int

    def x(self, value: float, low: float, high: float) -> float:
        """The px of a value on a linear x axis from `low` to `high`."""
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float, low: float, high: float, top: int = 8) -> float:
        """The px of a value on a linear y axis whose data go from `low` to `high`: a twentieth of that is above and below."""
        air = (high - low) / 20
        return self.bottom - (value - low + air) / (high - low + 2 * air) * (self.bottom - top)

    def on_line(self, color: str, x: float) -> tuple[float, float]:
        """The place on a line of this colour at a px of x: what the pointer must be at to point at it."""
        rows = np.flatnonzero(self.of(color)[:, round(x)])
        assert len(rows), f"nothing of {color} at {x}"
        return x, float(rows.mean())

    def of(self, color: str, alpha: int = 100) -> np.ndarray[Any, Any]:
        """Which pixels within the plot, and just around it, have a colour, at least so opaque."""
        wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        far = np.abs(self.pixels[:, :, :3].astype(int) - wanted).sum(axis=2)
        found = (far <= CLOSE) & (self.pixels[:, :, 3] >= alpha)
        found[:, : self.left - 4] = False
        found[self.bottom + 7 :] = False
        return np.asarray(found)


def pixels_of(chart: Locator) -> np.ndarray[Any, Any]:
    """The first canvas of an element: rows from above, RGBA."""
    url = chart.evaluate("(chart) => chart.querySelector('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def picture(page: Page, pixels: np.ndarray[Any, Any]) -> Picture:
    """A canvas' pixels, and its plot by the line of its x axis."""
    axis = token(page, "--line-strong")
    wanted = np.array([int(axis[i : i + 2], 16) for i in (1, 3, 5)])
    lines = (np.abs(pixels[:, :, :3].astype(int) - wanted).sum(axis=2) < 6) & (pixels[:, :, 3] == 255)
    row = int(lines.sum(axis=1).argmax())
    columns = np.flatnonzero(lines[row])
    assert len(columns) > 50, "no axis"
    return Picture(pixels, int(columns[0]), int(columns[-1]) + 1, row)


def token(page: Page, name: str) -> str:
    """A colour of the page's theme."""
    value = page.evaluate("(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", name)
    assert isinstance(value, str)
    return value


def color_in_list(page: Page, run: str) -> str:
    """The colour of a run's dot in the list of runs."""
    dot = page.get_by_role("list", name="Runs").get_by_role("button", name=f"Colour of {run}", exact=True)
    color = dot.locator("circle").first.get_attribute("fill")
    assert color
    return color


def words(page: Page) -> dict[str, list[str]]:
    """The query of the page's address."""
    return parse_qs(urlsplit(page.url).query)


def in_address(page: Page, **expected: str | None) -> None:
    """Wait until the address has these words, decoded, and has not those that are None."""
    for name, value in expected.items():
        for _ in range(400):
            if words(page).get(name, [None])[-1] == value:
                break
            page.wait_for_timeout(50)
        assert words(page).get(name, [None])[-1] == value, page.url


def asked(watch: Watch) -> list[dict[str, Any]]:
    """Every sample that the page has asked for, in order, with the request's x."""
    bodies = [json.loads(one.post_data or "{}") for one in watch.requests if one.url.endswith("/api/v1/samples")]
    return [{**series, "x": body["x"]} for body in bodies for series in body["series"]]
