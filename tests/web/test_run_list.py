"""The list of runs at the side: what it says of each, which are drawn, how it is ordered and kept; and a thousand of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from ml_dash.model import RunPatch
from ml_dash.store.local import LocalStore
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel, in_address
from tests.web.rows import NEWEST, bare, cell, counted, listed, names, run_list, sweep, table
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
MANY = 1_000
DOTS = """() => {
    window.strokes = 0;
    const stroke = CanvasRenderingContext2D.prototype.stroke;
    CanvasRenderingContext2D.prototype.stroke = function (...given) {
        window.strokes += 1;
        return stroke.apply(this, given);
    };
}"""
"""Counts the lines that charts draw."""


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("list") / "runs"
    ids = sweep(root)
    store = LocalStore(root)
    for i in range(MANY):
        key = store.get_run(ids["plain"]).key._replace(project="many", name=f"run {i:03}")
        store.put_run(key, RunPatch(params={"lr": i / 1000, "layers": i % 7}))
    store.close()
    for status in ("COMPLETED", "FAILED", "CANCELLED", "RUNNING"):
        bare(root, [status.lower()], "ends", status=status)
    with dashboard(root) as server:
        yield Site(server, root, ids)


def line(page: Page, run: str) -> Locator:
    return run_list(page).get_by_role("listitem").filter(has=page.get_by_role("link", name=run, exact=True))


def drawn(page: Page, item: str) -> None:
    """Choose an item of the menu of what is drawn."""
    page.get_by_role("button", name=re.compile("drawn$")).click()
    page.get_by_role("menu", name="Which runs are drawn").get_by_text(item, exact=True).click()


def test_status_by_word_and_shape(site: Site, open_page: Opener) -> None:
    """A run that nobody is in any more, and that did not end, is lost."""
    page, _ = open_page(site.server.url, "/p/ends")
    expect(listed(page)).to_have_text(["running", "cancelled", "failed", "completed"])
    words = [
        line(page, run).locator(".ui-status").inner_text() for run in ("completed", "failed", "cancelled", "running")
    ]
    assert words == ["Completed", "Failed", "Cancelled", "Lost"]
    shapes = {one.get_attribute("d") for one in run_list(page).locator(".ui-status path").all()}
    assert len(shapes) == 4


def test_a_run_begins_and_ends(site: Site, open_page: Opener) -> None:
    """In an open page, by itself: with its status, its tags found by the search, its chart."""
    bare(site.root, ["before"], "lives")
    page, _ = open_page(site.server.url, "/p/lives")
    expect(listed(page)).to_have_text(["before"])
    with Experiment("begun", "lives", local_path=site.root, tags=["fresh"]).run as run:
        expect(listed(page)).to_have_text(["begun", "before"])
        expect(line(page, "begun").locator(".ui-status")).to_have_text("Running")
        run.metrics("loss").append(value=1.0)
        run.flush()
        expect(page.get_by_role("region", name="loss")).to_be_visible()
    expect(line(page, "begun").locator(".ui-status")).to_have_text("Completed")
    page.get_by_role("textbox", name="Search runs").fill("fresh")
    expect(listed(page)).to_have_text(["begun"])


def test_which_runs_are_drawn(site: Site, open_page: Opener) -> None:
    """By the eye beside each; none, all, and what to do where none is."""
    page, _ = open_page(site.server.url, "/p/sweep")
    said = page.get_by_role("button", name=re.compile("drawn$"))
    expect(said).to_have_text("5 of 5 drawn")
    Panel(page, "train/loss").drawn("4 runs \u00b7 up to 3 points, all drawn")
    page.get_by_role("button", name="Hide sgd-1").click()
    expect(said).to_have_text("4 of 5 drawn")
    Panel(page, "train/loss").drawn("3 runs \u00b7 up to 3 points, all drawn")
    in_address(page, runs=",".join(site.ids[name] for name in NEWEST[:-1]))
    page.reload()
    expect(page.get_by_role("button", name="Draw sgd-1")).to_have_attribute("aria-pressed", "false")
    drawn(page, "Draw none")
    expect(page.get_by_role("heading", name="No run is drawn")).to_be_visible()
    in_address(page, runs="-")
    page.get_by_role("button", name="Draw the newest runs").click()
    expect(said).to_have_text("5 of 5 drawn")
    in_address(page, runs=None)


def test_what_the_filter_leaves_out_is_said(site: Site, open_page: Opener) -> None:
    """Runs that were chosen to be drawn and are filtered away stay chosen."""
    page, _ = open_page(site.server.url, "/p/sweep")
    page.get_by_role("button", name="Hide sgd-1").click()
    page.get_by_role("textbox", name="Search runs").fill("adam-")
    expect(page.get_by_text("2 left out by the filter")).to_be_visible()
    expect(page.get_by_role("button", name="2 of 2 drawn")).to_be_visible()
    page.get_by_role("button", name="Clear search runs").click()
    expect(page.get_by_role("button", name="4 of 5 drawn")).to_be_visible()


def test_order_and_groups(site: Site, open_page: Opener) -> None:
    """The list has the order and the groups of the table, with the value that it is ordered by."""
    page, _ = open_page(site.server.url, "/p/sweep?sort=-params.lr")
    expect(listed(page)).to_have_text(["adam-2", "sgd-1", "sgd-2", "adam-1", "plain"])
    assert [line(page, run).locator(".run-line-told").all_inner_texts() for run in ("sgd-1", "adam-1", "plain")] == [
        ["0.1"],
        ["0.001"],
        [],
    ]
    page.get_by_role("button", name="Order of the runs").click()
    expect(page.get_by_role("menuitemcheckbox", name="lr, falling")).to_have_attribute("aria-checked", "true")
    page.get_by_role("menuitemcheckbox", name="By name").click()
    expect(listed(page)).to_have_text(sorted(NEWEST))
    page.get_by_role("button", name="Group", exact=True).click()
    page.get_by_role("textbox", name="Find a property").fill("op")
    page.keyboard.press("Enter")
    expect(run_list(page).locator(".run-group-name")).to_have_text(["adam", "sgd", "(none)"])
    run_list(page).get_by_role("button", name="Hide the runs of sgd").click()
    expect(page.get_by_role("button", name="3 of 5 drawn")).to_be_visible()
    run_list(page).get_by_role("button", name="adam", exact=True).click()
    expect(listed(page)).to_have_text(["sgd-1", "sgd-2", "plain"])


def test_the_list_is_put_away(site: Site, open_page: Opener) -> None:
    """Open beside charts, closed beside the table, which has the runs already; each as it was left, and its width too."""
    page, _ = open_page(site.server.url, "/p/sweep")
    side = page.get_by_role("region", name="Runs", exact=True)
    expect(side).to_be_visible()
    edge = page.get_by_role("separator", name="Width of runs")
    edge.focus()
    page.keyboard.press("ArrowRight")
    expect(edge).to_have_attribute("aria-valuenow", "310")
    page.get_by_role("link", name="Table").click()
    expect(names(page)).to_have_text(NEWEST)
    expect(side).to_have_count(0)
    expect(page.get_by_role("button", name="5 of 5 drawn")).to_be_visible()
    page.get_by_role("button", name="Show the list of runs").click()
    expect(side).to_be_visible()
    page.get_by_role("link", name="Charts").click()
    page.get_by_role("button", name="Hide the list of runs").click()
    expect(side).to_have_count(0)
    expect(page.get_by_role("button", name="5 of 5 drawn")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Show the list of runs")).to_be_visible()
    expect(side).to_have_count(0)
    page.get_by_role("link", name="Table").click()
    expect(side).to_be_visible()
    assert side.bounding_box() is not None
    expect(edge).to_have_attribute("aria-valuenow", "310")


def test_charts_are_not_drawn_again_for_a_tag(site: Site, open_page: Opener) -> None:
    """The runs come anew whenever one has changed; charts whose own runs are as they were stay as they are."""
    page, watch = open_page(site.server.url, "about:blank")
    page.add_init_script(f"({DOTS})()")
    page.goto(f"/p/sweep?runs={','.join(site.ids[name] for name in NEWEST[1:])}")
    Panel(page, "train/loss").drawn("4 runs \u00b7 up to 3 points, all drawn")
    store = LocalStore(site.root)
    drew = 0
    for tags in (["begun"], ["seen"], []):
        with page.expect_response(lambda answer: "/api/v1/table" in answer.url):
            store.update_run(site.ids["plain"], RunPatch(tags=tags))
        assert strokes(page) == (drew or strokes(page))
        drew = strokes(page)
        assert drew > 0
    store.close()
    assert len(tables(watch)) >= 4
    page.get_by_role("button", name="Hide sgd-1").click()
    Panel(page, "train/loss").drawn("3 runs \u00b7 up to 3 points, all drawn")
    assert strokes(page) > drew


def strokes(page: Page) -> int:
    """The lines that charts have drawn, when they draw no more."""
    found = page.evaluate(
        """async () => {
            for (let still = 0, before = -1; still < 20; ) {
                await new Promise((next) => requestAnimationFrame(next));
                still = window.strokes === before ? still + 1 : 0;
                before = window.strokes;
            }
            return window.strokes;
        }"""
    )
    assert isinstance(found, int)
    return found


def tables(watch: Watch) -> list[str]:
    """Requests for the table."""
    return [one.url for one in watch.requests if "/api/v1/table" in one.url]


def nodes(page: Page) -> int:
    found = page.evaluate("document.querySelectorAll('*').length")
    assert isinstance(found, int)
    return found


def test_a_thousand_runs_in_the_list(site: Site, open_page: Opener) -> None:
    """One request brings them; only those in sight are in the page; twenty are drawn, said openly."""
    page, watch = open_page(site.server.url, "/p/many")
    expect(page.get_by_role("button", name="20 of 1,000 drawn")).to_be_visible()
    expect(listed(page).first).to_have_text("run 999")
    counted(page, "1,000 runs")
    assert nodes(page) < 5_000
    run_list(page).evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
    expect(listed(page).last).to_have_text("run 000")
    assert nodes(page) < 5_000
    assert len(tables(watch)) == 1
    drawn(page, "Draw the first 100 newest")
    expect(page.get_by_role("button", name="100 of 1,000 drawn")).to_be_visible()


def test_a_thousand_runs_in_the_table(site: Site, open_page: Opener) -> None:
    """The same, and they are sorted and filtered without another."""
    page, watch = open_page(site.server.url, "/p/many?view=table")
    expect(names(page).first).to_have_text("run 999")
    expect(table(page)).to_have_attribute("aria-rowcount", "1001")
    table(page).locator("xpath=..").evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
    expect(names(page).last).to_have_text("run 000")
    expect(cell(page, "run 000", "lr")).to_have_text("0")
    assert nodes(page) < 5_000
    table(page).get_by_title("lr: sort", exact=True).click()
    expect(names(page).first).to_have_text("run 000")
    page.get_by_role("textbox", name="Search runs").fill("layers=3 lr=0.99")
    counted(page, "2 of 1,000 runs")
    expect(names(page)).to_have_text(["run 990", "run 997"])
    assert len(tables(watch)) == 1
    page.get_by_role("button", name="Clear search runs").click()
    page.get_by_role("checkbox", name="Choose all runs that match").check()
    expect(page.get_by_role("region", name="Runs that are chosen")).to_contain_text("1,000 runs chosen")
    in_address(page, sel=None)


@pytest.mark.parametrize("view", ["charts", "table"])
def test_back_from_a_run(site: Site, open_page: Opener, view: str) -> None:
    """The list is where one left it, at that run, however far down."""
    page, _ = open_page(site.server.url, f"/p/many?view={view}")
    box = page.locator(".run-list" if view == "charts" else ".grid").first
    expect(box).to_be_visible()
    box.evaluate("one => one.scrollTo({top: 15_000})")
    link = page.get_by_role("link", name=re.compile(r"^run 5\d5$")).first
    name = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_in_viewport()
