"""The page on a phone: 390 px wide, by touch. Nothing is wider than the window, and what one needs is within reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import PHONE, Watch
from tests.web.panels import Panel, in_address
from tests.web.rows import NEWEST, cell, counted, listed, names, sweep, table
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
TOUCH: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LEAST = 30
"""px that a finger needs, at least."""


class Site(NamedTuple):
    server: ServerProcess
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("phone") / "runs"
    ids = sweep(root)
    with dashboard(root) as server:
        yield Site(server, ids)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[[str], Page]:
    def shown(path: str) -> Page:
        page, watch = open_page(site.server.url, path, **TOUCH)
        watch.allow("Failed to load resource: .* 400")  # half an expression
        return page

    return shown


def fits(page: Page) -> None:
    """Nothing of the page lies beside the window."""
    assert page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]") == [
        390,
        390,
        390,
    ]
    outside = page.evaluate(
        """() => [...document.querySelectorAll("header *, .project-bar *, .table-tools *, .charts *, main > *")].filter((one) => {
            const box = one.getBoundingClientRect();
            return box.width > 1 && box.height > 1 && (box.left < -1 || box.right > 391);
        }).map((one) => one.outerHTML.slice(0, 100))"""
    )
    assert outside == []


def fingers(*buttons: Locator) -> None:
    for one in buttons:
        box = one.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= LEAST, one


@pytest.mark.parametrize(
    "path", ["/", "/p/sweep", "/p/sweep?view=table", "/p/sweep?view=compare", "/run/RUN", "/run/RUN?tab=logs"]
)
def test_nothing_lies_beside_the_window(site: Site, show: Callable[[str], Page], path: str) -> None:
    page = show(path.replace("RUN", site.ids["sgd-1"]))
    expect(page.locator("main, h1").first).to_be_visible()
    expect(page.locator(".ui-skeleton, .panel-loading, .room-waiting")).to_have_count(0)
    fits(page)


def test_the_list_is_a_drawer(site: Site, show: Callable[[str], Page]) -> None:
    """Opened, used, and closed by its button, by Escape or beside it."""
    page = show("/p/sweep")
    expect(listed(page)).to_have_count(0)
    opener = page.get_by_role("button", name="Show the list of runs")
    fingers(opener)
    opener.tap()
    drawer = page.get_by_role("dialog", name="Runs")
    expect(listed(page)).to_have_text(NEWEST)
    fingers(drawer.get_by_role("button", name="Hide sgd-1"), drawer.get_by_role("button", name="More for sgd-1"))
    drawer.get_by_role("button", name="Hide sgd-1").tap()
    expect(drawer.get_by_role("button", name="4 of 5 drawn")).to_be_visible()
    drawer.get_by_role("button", name="More for adam-1").tap()
    page.get_by_role("menuitem", name="Make it the baseline").tap()
    in_address(page, base=site.ids["adam-1"])
    drawer.get_by_role("button", name="Close the list").tap()
    expect(drawer).to_have_count(0)
    opener.tap()
    page.touchscreen.tap(380, 600)
    expect(drawer).to_have_count(0)
    expect(page.get_by_role("button", name="4 of 5 drawn")).to_be_visible()


def test_charts(show: Callable[[str], Page]) -> None:
    """One beside the other is none: each is as wide as the window; a touch tells the values there."""
    page = show("/p/sweep")
    panel = Panel(page, "train/loss").drawn("4 runs \u00b7 up to 3 points, all drawn")
    box = panel.box.bounding_box()
    assert box
    assert box["width"] > 340
    page.touchscreen.tap(*panel.at(200, 60))
    expect(panel.tip).to_be_visible()
    assert len(panel.values) == 4
    tip = panel.tip.bounding_box()
    assert tip
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390
    page.touchscreen.tap(200, 20)
    expect(panel.tip).to_be_hidden()


def test_the_table(show: Callable[[str], Page]) -> None:
    """Its names stay at the left while the rest is moved aside under them; the page itself does not move."""
    page = show("/p/sweep?view=table")
    expect(names(page)).to_have_text(NEWEST)
    box = table(page).locator("xpath=..")
    box.evaluate("(grid) => grid.scrollTo(grid.scrollWidth, 0)")
    expect(cell(page, "sgd-1", "train/loss")).to_be_in_viewport()
    name, value = names(page).last.bounding_box(), cell(page, "sgd-1", "train/loss").bounding_box()
    assert name
    assert value
    assert name["x"] >= 0
    assert value["x"] >= name["x"] + name["width"] - 1
    assert value["x"] + value["width"] <= 391
    fits(page)
    fingers(page.get_by_role("checkbox", name="Choose sgd-1").locator("xpath=ancestor::*[@role='row']"))
    page.get_by_role("checkbox", name="Choose sgd-1").tap()
    expect(page.get_by_role("region", name="Runs that are chosen")).to_contain_text("1 run chosen")
    fits(page)


def test_the_filter(show: Callable[[str], Page]) -> None:
    """By words and by an expression whose proposals stay in the window."""
    page = show("/p/sweep?view=table")
    page.get_by_role("textbox", name="Search runs").fill("adam")
    counted(page, "2 of 5 runs")
    page.get_by_role("button", name="Expression", exact=True).tap()
    box = page.get_by_role("combobox", name="Filter expression")
    box.fill("")
    box.press_sequentially("params.")
    proposals = page.get_by_role("listbox", name="Proposals")
    expect(proposals).to_be_visible()
    fits(page)
    place = proposals.bounding_box()
    assert place
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 390
    page.get_by_role("option").filter(has_text="lr").tap()
    expect(box).to_have_value("params.lr ")


def test_menus_and_forms_stay_in_the_window(show: Callable[[str], Page]) -> None:
    """Columns, groups, order, views, theme."""
    page = show("/p/sweep?view=table")
    expect(names(page)).to_have_text(NEWEST)
    for opener, role in (("Columns", "dialog"), ("Group", "dialog"), ("Views", "menu"), ("Theme", "menu")):
        page.get_by_role("button", name=opener).first.tap()
        panel = page.get_by_role(role).last  # type: ignore[arg-type]
        expect(panel).to_be_visible()
        place = panel.bounding_box()
        assert place
        assert place["x"] >= 0, opener
        assert place["x"] + place["width"] <= 390, opener
        assert place["y"] + place["height"] <= 844, opener
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
