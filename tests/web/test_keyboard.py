"""A project's page by keys alone: runs, views, menus, and the way to the content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import in_address
from tests.web.rows import NEWEST, listed, names, row, run_list, sort, sweep, table
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]


class Site(NamedTuple):
    server: ServerProcess
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("keys") / "runs"
    ids = sweep(root)
    with dashboard(root) as server:
        yield Site(server, ids)


@pytest.fixture
def page(site: Site, open_page: Opener) -> Page:
    """The charts of the sweep."""
    shown, _ = open_page(site.server.url, "/p/sweep")
    expect(listed(shown)).to_have_text(NEWEST)
    return shown


def here(page: Page) -> list[str]:
    """The run that the keys are at."""
    return page.locator(".run-line.cursor a, .grid-row.cursor a").all_inner_texts()


def test_runs(page: Page, site: Site) -> None:
    """j and k go from run to run and no further; e draws or hides, x chooses, b makes it the baseline, Enter opens it."""
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        expect(page.locator(".run-line.cursor a")).to_have_text(NEWEST[at])
    page.keyboard.press("j")
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="4 of 5 drawn")).to_be_visible()
    in_address(page, runs=",".join(site.ids[name] for name in NEWEST if name != NEWEST[1]))
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="5 of 5 drawn")).to_be_visible()
    page.keyboard.press("b")
    in_address(page, base=site.ids[NEWEST[1]])
    page.keyboard.press("b")
    in_address(page, base=None)
    chosen = page.get_by_role("region", name="Runs that are chosen")
    page.keyboard.press("x")
    expect(chosen).to_contain_text("1 run chosen")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("X")
    expect(chosen).to_contain_text("3 runs chosen")
    page.keyboard.press("Escape")
    expect(chosen).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.server.url}/run/{site.ids[NEWEST[3]]}")


def test_the_table(page: Page, site: Site) -> None:
    """The same keys, in the table's order."""
    page.keyboard.press("2")
    in_address(page, view="table")
    sort(page, "Run")
    expect(names(page)).to_have_text(sorted(NEWEST))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".grid-row.cursor a")).to_have_text("adam-2")
    assert here(page) == ["adam-2"]
    page.keyboard.press("x")
    expect(row(page, "adam-2").get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("3")
    in_address(page, view="compare")
    page.keyboard.press("1")
    in_address(page, view=None, sel=site.ids["adam-2"])
    expect(run_list(page)).to_be_visible()
    page.keyboard.press("[")
    expect(run_list(page)).to_have_count(0)
    page.keyboard.press("[")
    expect(run_list(page)).to_be_visible()


def test_the_search(page: Page) -> None:
    """/ goes there; what is typed is text and no keys of the page; Escape leaves it."""
    page.keyboard.press("/")
    search = page.get_by_role("textbox", name="Search runs")
    expect(search).to_be_focused()
    page.keyboard.type("jkxe?/2")
    expect(search).to_have_value("jkxe?/2")
    expect(page.get_by_role("dialog")).to_have_count(0)
    in_address(page, view=None, sel=None, q="jkxe?/2")
    search.fill("adam")
    page.keyboard.press("Escape")
    expect(search).not_to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".run-line.cursor a")).to_have_text("adam-2")


def test_the_help(page: Page) -> None:
    """? tells every key and the filter language; Escape closes it, and nothing else."""
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys and filters")
    expect(dialog.get_by_role("row")).to_have_count(10)
    assert dialog.locator("kbd").all_inner_texts() == [
        "/",
        "j",
        "k",
        "Enter",
        "e",
        "x",
        "b",
        "1",
        "2",
        "3",
        "[",
        "Esc",
        "?",
    ]
    expect(dialog).to_contain_text("metrics.val_loss.value.min < 0.3")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    in_address(page, view=None)
    expect(page.get_by_role("region", name="Runs that are chosen")).to_contain_text("1 run chosen")


def test_a_menu(page: Page) -> None:
    """Arrows go round, Home and End, letters go to what begins so, Enter takes it; Escape gives the focus back."""
    trigger = page.get_by_role("button", name="Order of the runs")
    trigger.focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("menu", name="Order of the runs")
    items = menu.get_by_role("menuitemcheckbox")
    expect(items.nth(0)).to_be_focused()
    for key, at in (
        ("ArrowDown", 1),
        ("ArrowUp", 0),
        ("ArrowUp", 5),
        ("ArrowDown", 0),
        ("End", 5),
        ("Home", 0),
        ("l", 4),
    ):
        page.keyboard.press(key)
        expect(items.nth(at)).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(trigger).to_be_focused()
    page.keyboard.press("Enter")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("l")
    expect(items.nth(4)).to_be_focused()
    page.keyboard.press("a")
    expect(items.filter(has_text="Last changed first")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    in_address(page, sort="-duration")
    expect(trigger).to_be_focused()


def test_a_run_s_menu(page: Page) -> None:
    """Reached by Tab from the run that the keys are at; its focus goes back there."""
    page.keyboard.press("j")
    page.get_by_role("link", name=NEWEST[0], exact=True).focus()
    page.keyboard.press("Tab")
    more = page.get_by_role("button", name=f"More for {NEWEST[0]}", exact=True)
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Hide in charts")).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Hide in charts")).to_be_focused()
    page.keyboard.press("d")
    expect(page.get_by_role("menuitem", name="Draw only this run")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="1 of 5 drawn")).to_be_visible()


def test_columns_by_keys(page: Page) -> None:
    """The picker's order: Shift with the arrows moves a column."""
    page.keyboard.press("2")
    expect(table(page)).to_be_visible()
    page.get_by_role("button", name="Columns").focus()
    page.keyboard.press("Enter")
    grip = page.get_by_role("button", name="Move Created: Shift with the arrows up and down")
    grip.focus()
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator(".grid-head .grid-label").nth(1)).to_have_text("Created")
    expect(grip).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Columns")).to_be_hidden()
    expect(page.get_by_role("button", name="Columns")).to_be_focused()


def test_past_what_stands_above(page: Page) -> None:
    """The first stop leads to the content."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Hide the list of runs")).to_be_focused()
