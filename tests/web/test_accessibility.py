"""What axe-core finds on every main view, and that all of it can be reached by keys, with the focus in sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.chromium import PHONE, WIDE, Watch, accessibility
from tests.web.places import MAIN, VIEWS, Places, address_of, settled

Opener = Callable[..., tuple[Page, Watch]]
SCREENS = [
    pytest.param({"viewport": viewport, "color_scheme": scheme}, views, id=f"{width}-{scheme}")
    for width, viewport, scheme, views in (
        ("1440", WIDE, "light", tuple(VIEWS)),
        ("1440", WIDE, "dark", MAIN),
        ("390", PHONE, "dark", MAIN),
    )
]


@pytest.fixture
def show(where: Places, open_page: Opener) -> Callable[..., Page]:
    def shown(view: str, **context: Any) -> Page:
        page, watch = open_page(*address_of(where, view), **context)
        if view.startswith("sign-in"):
            watch.allow("401")
        settled(page)
        return page

    return shown


@pytest.mark.parametrize(("screen", "views"), SCREENS)
def test_axe_finds_nothing(where: Places, open_page: Opener, screen: dict[str, Any], views: tuple[str, ...]) -> None:
    """On no main view, crowded or empty, wide or narrow, light or dark."""
    wrong: dict[str, list[str]] = {}
    pages: dict[str, Page] = {}
    for view in views:
        url, path = address_of(where, view)
        if url not in pages:
            pages[url], watch = open_page(url, path, **screen)
            if url == where.closed.url:
                watch.allow("401")
        pages[url].goto(path)
        settled(pages[url])
        if found := accessibility(pages[url]):
            wrong[view] = found
    assert wrong == {}


def test_axe_finds_nothing_in_what_opens(show: Callable[..., Page]) -> None:
    """Menus, forms and dialogs of the project's page."""
    page = show("table")
    wrong = []
    for opener in ("Columns", "Order of the runs", "Theme", "Group", "Views"):
        page.get_by_role("button", name=opener).first.click()
        expect(page.locator(":popover-open")).to_be_visible()
        wrong += accessibility(page)
        page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_be_visible()
    wrong += accessibility(page)
    assert wrong == []


FOCUSED = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const box = one.getBoundingClientRect();
    const probe = document.createElement("i");
    probe.style.color = "var(--accent)";
    document.body.append(probe);
    const accent = getComputedStyle(probe).color;
    probe.remove();
    const near = [one, one.parentElement, ...one.children].map((each) => getComputedStyle(each));
    const styles = [...near, getComputedStyle(one, "::after")];
    return {
        name: (one.getAttribute("aria-label") ?? one.textContent ?? "").trim().slice(0, 60) || one.outerHTML.slice(0, 200),
        inSight: box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight,
        marked: one.matches(":focus-visible") && styles.some((style) =>
            (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none"
            || style.backgroundColor === accent || style.borderTopColor === accent),
    };
}"""
"""What has the focus: whether it lies in the window, and whether something around it tells that it has it."""
MOST_STOPS = 200


def stops(page: Page) -> list[dict[str, Any]]:
    """All that Tab reaches, from the beginning of the page to its end: past the end, nothing has the focus."""
    until_end(page)
    return until_end(page)


def until_end(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop is None:
            return found
        found.append(stop)
    raise AssertionError(f"Tab comes to no end: {[stop['name'] for stop in found[-10:]]}")


REACHED = {
    "projects": ["Skip to the content", "digits", "speech"],
    "charts": ["Charts", "Table", "Compare", "resnet-23", "Find charts", "Theme"],
    "table": ["Columns", "Theme"],
    "overview": ["Parameters", "Logs", "train/loss", "More"],
    "logs": ["Search the log", "error", "Log lines"],
    "files": ["Search files", "Files"],
    "sign-in": ["Token"],
}


@pytest.mark.parametrize("view", REACHED)
def test_tab_reaches_everything_and_is_seen(show: Callable[..., Page], view: str) -> None:
    """Every stop lies in the window and is marked; what one needs is among them, and after the last one the page begins again."""
    found = stops(show(view))
    names = " | ".join(stop["name"] for stop in found)
    assert [one for one in REACHED[view] if one not in names] == []
    assert [stop["name"] for stop in found if not stop["inSight"]] == []
    assert [stop["name"] for stop in found if not stop["marked"]] == []


def test_the_first_stop_skips_to_the_content(show: Callable[..., Page]) -> None:
    page = show("charts")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#room")).to_be_focused()


def test_a_menu_by_keys(show: Callable[..., Page]) -> None:
    """It opens, goes down and around, closes, and gives the focus back."""
    page = show("table")
    theme = page.get_by_role("button", name="Theme")
    theme.focus()
    page.keyboard.press("Enter")
    items = page.get_by_role("menuitemcheckbox")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(theme).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(theme).to_be_focused()
