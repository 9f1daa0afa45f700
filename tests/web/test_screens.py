"""The main views look as they did: each at two widths, light and dark, beside the picture that is kept of it.

Where a view is meant to look otherwise, `KEEP_SCREENS=1 make test ARGS=tests/web/test_screens.py` keeps new pictures: look at each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.chromium import PHONE, WIDE, Watch
from tests.web.pictures import difference, kept
from tests.web.places import MAIN, Places, address_of, settled

Opener = Callable[..., tuple[Page, Watch]]
Shown = Callable[[str], Page]
FOLDER = Path(__file__).parent / "screens"
KEEP = os.environ.get("KEEP_SCREENS") == "1"
WIDTHS = {"1440": WIDE, "390": PHONE}
HIDE = """(kinds) => {
    const sheet = new CSSStyleSheet();  // rows that are drawn later are left out as well
    sheet.replaceSync(`${kinds} { visibility: hidden !important } .run-facts { display: none !important }`);
    document.adoptedStyleSheets = [sheet];
    const says = /^(just now|[\\d.]+ (ms|s|m|h)( \\d+ (s|m))?( ago)?)$/;
    for (const one of document.querySelectorAll("*")) {
        if (!one.childElementCount && says.test(one.textContent)) one.style.visibility = "hidden";
    }
}"""
CHANGING = "time, .projects-time, .facts .mono, .door p.soft, .live"
"""What says when and where the test was run, besides texts like "7 ms" and "2 min ago"."""


@pytest.fixture
def looked_at(where: Places, open_page: Opener) -> Callable[..., Shown]:
    """A window of a width and a colour scheme: given a view, it shows it."""

    def window(width: str = "1440", scheme: str = "light") -> Shown:
        context: dict[str, Any] = {"viewport": WIDTHS[width], "color_scheme": scheme, "reduced_motion": "reduce"}
        page, watch = open_page(where.crowded.url, "/", **context)
        watch.allow("401|another host")  # one window for all servers

        def show(view: str) -> Page:
            page.goto("".join(address_of(where, view)))
            settled(page)
            return page

        return show

    return window


def taken(page: Page) -> bytes:
    """A picture of the page, as it is kept, without what changes by itself."""
    for _ in range(2):  # what is left out may bring other lines into sight
        page.evaluate(HIDE, CHANGING)
        settled(page)
    return kept(page.screenshot(animations="disabled", caret="hide"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_views_look_as_they_did(looked_at: Callable[..., Shown], tmp_path: Path, width: str, scheme: str) -> None:
    """What is drawn lies where it lay."""
    show = looked_at(width, scheme)
    wrong = {}
    for view in MAIN:
        picture, file = taken(show(view)), FOLDER / f"{view}-{width}-{scheme}.png"
        (tmp_path / file.name).write_bytes(picture)
        if KEEP:
            FOLDER.mkdir(exist_ok=True)
            file.write_bytes(picture)
        if found := difference(picture, file.read_bytes()):
            wrong[file.name] = found
    assert not wrong, f"{wrong}: compare them in {tmp_path} with those in {FOLDER}"


PARTS = {
    "projects": [".top", ".projects ul"],
    "charts": [".panel", ".panel .chart", ".run-list", ".project-main"],
    "table": [".grid", ".top"],
    "compare": [".compare", ".compare canvas"],
    "overview": [".last-values", ".recent-lines", ".overview-side", ".run-page > .ui-tabs"],
    "logs": [".log-lines", ".log-bar"],
    "files": [".file-list", ".file-pane"],
    "sign-in": [".door form"],
    "empty": [".projects pre", ".ui-empty"],
}
"""Parts of views, without each of which its picture is another."""


def test_what_is_missing_is_noticed(looked_at: Callable[..., Shown]) -> None:
    """A picture without one part of the view is not taken for the whole; nor is one that has moved."""
    show = looked_at()
    unnoticed = []
    for view, parts in PARTS.items():
        page = show(view)
        whole = taken(page)
        assert difference(whole, taken(page)) == ""
        for part in parts:
            one = page.locator(part).first
            expect(one).to_be_visible()
            one.evaluate("(one) => { one.style.opacity = 0; }")
            if not difference(whole, taken(page)):
                unnoticed.append(f"{view} without {part}")
            one.evaluate("(one) => { one.style.opacity = ''; }")
        page.evaluate("document.querySelector('.room').style.translate = '0 40px'")
        if not difference(whole, taken(page)):
            unnoticed.append(f"{view}, moved by 40 px")
    assert unnoticed == []


def test_a_broken_layout_is_noticed(looked_at: Callable[..., Shown]) -> None:
    """So is a page whose styles are not there, or that is drawn in the other colours."""
    show = looked_at()
    for view in MAIN:
        page = show(view)
        whole = taken(page)
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        assert difference(whole, taken(page)), view
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.evaluate("for (const one of document.styleSheets) one.disabled = true")
        assert difference(whole, taken(page)), view


def test_other_letters_make_no_difference(looked_at: Callable[..., Shown]) -> None:
    """Another font, as another machine has it, is the same picture; so are edges that are smoothed otherwise."""
    show = looked_at()
    for view in MAIN[:3]:
        page = show(view)
        whole = taken(page)
        page.evaluate(
            """() => {
                const style = document.documentElement.style;
                style.setProperty("--font", "'DejaVu Serif', 'Liberation Serif', serif");
                style.setProperty("--mono", "'Liberation Mono', 'FreeMono', monospace");
                document.body.style.textRendering = "geometricPrecision";
            }"""
        )
        settled(page)
        assert difference(whole, taken(page)) == "", view
