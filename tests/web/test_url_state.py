"""The address is the state: what is chosen is in it, a link shows the same to somebody else, back and forward work; saved views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import in_address, words
from tests.web.rows import NEWEST, bare, cell, do, head, heads, listed, names, row, sort, sweep, tell
from tests.web.runs import many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]


class Site(NamedTuple):
    server: ServerProcess
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("address") / "runs"
    ids = sweep(root)
    many_series(root, "elsewhere", "other", {"train/loss": [{"value": 1.0}]}, {"opt": "none"})
    bare(root, ["shelved"], archived=True)
    with dashboard(root) as server:
        yield Site(server, ids)


def test_every_choice_is_in_the_address(site: Site, open_page: Opener) -> None:
    """Chosen by the page's own controls; another person's browser, given the address, shows the same."""
    page, _ = open_page(site.server.url, "/p/sweep")
    expect(listed(page)).to_have_text(NEWEST)
    page.get_by_role("button", name="Hide sgd-1").click()
    page.get_by_role("link", name="Table").click()
    sort(page, "lr")
    sort(page, "lr")
    head(page, "data").click(button="right")
    page.get_by_role("menuitem", name="Hide the column").click()
    head(page, "opt").click(button="right")
    page.get_by_role("menuitem", name="Group by it").click()
    do(page, "adam-1", "Make it the baseline")
    page.get_by_role("switch", name="Mark what differs from the baseline").check()
    page.get_by_role("checkbox", name="Choose sgd-2", exact=True).check()
    page.get_by_role("button", name="1 archived").click()
    page.get_by_role("button", name="Expression", exact=True).click()
    page.get_by_role("combobox", name="Filter expression").fill('params.data = "mnist"')
    page.locator(".grid-row.group").get_by_role("button", name="(none)").click()
    in_address(page, filter='params.data = "mnist"', closed="(none)")
    ids = site.ids
    assert words(page) == {
        "view": ["table"],
        "runs": [",".join(ids[name] for name in NEWEST[:-1])],
        "sort": ["-params.lr"],
        "cols": ["status", "created_at", "duration", "params.lr", "params.opt", 'metrics["train/loss"].value'],
        "group": ["params.opt"],
        "base": [ids["adam-1"]],
        "diff": ["1"],
        "sel": [ids["sgd-2"]],
        "archived": ["1"],
        "filter": ['params.data = "mnist"'],
        "closed": ["(none)"],
    }
    seen = shown(page)
    assert seen["names"] == ["adam-2", "adam-1", "sgd-1", "sgd-2"]
    other, _ = open_page(site.server.url, page.url.removeprefix(site.server.url), color_scheme="dark")
    expect(names(other)).to_have_text(["adam-2", "adam-1", "sgd-1", "sgd-2"])
    expect(cell(other, "sgd-2", "train/loss")).to_have_text("+0.91.288")
    assert shown(other) == seen
    assert other.url == page.url


def shown(page: Page) -> dict[str, object]:
    """What one sees of the table."""
    return {
        "names": names(page).all_inner_texts(),
        "heads": heads(page),
        "groups": page.locator(".grid-row.group .run-group-name").all_inner_texts(),
        "cells": [one.inner_text() for one in row(page, "sgd-2").get_by_role("cell").all()][2:],
        "differing": page.locator(".grid-cell.differs").all_inner_texts(),
        "baseline": page.locator(".table-baseline strong").all_inner_texts(),
        "chosen": page.locator(".bulk strong").all_inner_texts(),
        "drawn": page.locator(".drawn-line").all_inner_texts(),
        "count": page.get_by_role("search").get_by_role("status").inner_text(),
        "filter": page.get_by_role("combobox", name="Filter expression").input_value(),
    }


def test_back_and_forward(site: Site, open_page: Opener) -> None:
    """Through every choice, in the page and from one page to another."""
    page, _ = open_page(site.server.url, "/")
    page.get_by_role("link", name="sweep").click()
    page.get_by_role("link", name="Table").click()
    sort(page, "Run")
    sort(page, "Run")
    expect(names(page)).to_have_text(sorted(NEWEST, reverse=True))
    names(page).first.click()
    expect(page).to_have_url(f"{site.server.url}/run/{site.ids['sgd-2']}")
    for word, order in (("-name", sorted(NEWEST, reverse=True)), ("name", sorted(NEWEST)), (None, NEWEST)):
        page.go_back()
        in_address(page, sort=word, view="table")
        expect(names(page)).to_have_text(order)
    page.go_back()
    in_address(page, view=None)
    expect(listed(page)).to_have_text(NEWEST)
    page.go_back()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    for _ in range(4):
        page.go_forward()
    in_address(page, sort="-name")
    expect(names(page)).to_have_text(sorted(NEWEST, reverse=True))


def test_links_are_links(site: Site, open_page: Opener) -> None:
    """A press with Ctrl opens another tab with the same, and leaves this one."""
    page, _ = open_page(site.server.url, "/p/sweep?filter=params.lr+%3D+0.1")
    expect(listed(page)).to_have_text(["adam-2", "sgd-1"])
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Table").click(modifiers=["Control"])
    expect(names(opened.value)).to_have_text(["adam-2", "sgd-1"])
    in_address(page, view=None)


def test_the_link_is_copied(site: Site, open_page: Opener) -> None:
    """The address of what one sees, as it stands."""
    page, _ = open_page(
        site.server.url, "/p/sweep?view=table&sort=name", permissions=["clipboard-read", "clipboard-write"]
    )
    expect(names(page)).to_have_text(sorted(NEWEST))
    page.get_by_role("button", name="Copy a link to this view").click()
    tell(page, "Copied a link to what you see.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{site.server.url}/p/sweep?view=table&sort=name"


def views(page: Page, item: str) -> None:
    page.get_by_role("button", name="Saved views").or_(
        page.get_by_role("button", name="Views", exact=True)
    ).first.click()
    page.get_by_role("menu", name="Saved views").get_by_text(item, exact=True).click()


def test_saved_views(site: Site, open_page: Opener) -> None:
    """Saved by name, opened, renamed, deleted, brought back; kept in the browser; another project gets what is not of the runs."""
    page, _ = open_page(site.server.url, f"/p/sweep?view=table&sort=name&group=params.opt&runs={site.ids['plain']}")
    expect(names(page).first).to_be_visible()
    views(page, "Save this view\u2026")
    dialog = page.get_by_role("dialog", name="Save this view")
    expect(dialog.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    dialog.get_by_role("textbox", name="Name of the view").fill("by <i>optimizer</i>")
    page.keyboard.press("Enter")
    tell(page, "Saved \u201cby <i>optimizer</i>\u201d.")
    page.goto("/p/sweep")
    views(page, "by <i>optimizer</i>")
    in_address(page, view="table", sort="name", group="params.opt", runs=site.ids["plain"])
    expect(names(page)).to_have_text(["adam-1", "adam-2", "sgd-1", "sgd-2", "plain"])
    views(page, "Rename or delete\u2026")
    manage = page.get_by_role("dialog", name="Saved views")
    manage.get_by_role("textbox", name="Name of by <i>optimizer</i>").fill("mine")
    page.keyboard.press("Enter")
    expect(manage.get_by_role("textbox", name="Name of mine")).to_be_visible()
    page.keyboard.press("Escape")
    page.goto("/p/other")
    expect(listed(page)).to_have_text(["elsewhere"])
    views(page, "mine (from sweep)")
    in_address(page, view="table", sort="name", group="params.opt", runs=None)
    expect(page).to_have_url(f"{site.server.url}/p/other?view=table&sort=name&group=params.opt")
    views(page, "Rename or delete\u2026")
    manage.get_by_role("button", name="Delete mine").click()
    expect(manage.get_by_text("None any more.")).to_be_visible()
    page.keyboard.press("Escape")
    tell(page, "Deleted the view \u201cmine\u201d.").get_by_role("button", name="Undo").click()
    views(page, "mine (from sweep)")


def test_views_of_two_tabs(site: Site, open_page: Opener) -> None:
    """What one tab saves stays when the other, which was open already, saves too."""
    page, _ = open_page(site.server.url, "/p/sweep")
    other = page.context.new_page()
    other.goto("/p/other")
    for tab, name in ((page, "first"), (other, "second")):
        views(tab, "Save this view\u2026")
        tab.get_by_role("textbox", name="Name of the view").fill(name)
        tab.keyboard.press("Enter")
        tell(tab, f"Saved \u201c{name}\u201d.")
    page.reload()
    views(page, "second (from other)")
    views(page, "first")


def test_an_address_that_makes_no_sense(site: Site, open_page: Opener) -> None:
    """What cannot be read is as if it were not there; the page shows what it can."""
    page, watch = open_page(
        site.server.url,
        "/p/sweep?view=none&sort=)(&group=1+1&runs=none,x&base=nobody&sel=nobody&w=abc&zoom=1~x&smooth=9&cols=%00",
    )
    expect(listed(page)).to_have_text(NEWEST)
    page.get_by_role("link", name="Table").click()
    expect(names(page)).to_have_text(NEWEST)
    watch.check()
