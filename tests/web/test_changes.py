"""What a person changes of runs, as it is then stored: tags, notes, the archive, what is deleted and what is not; and colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from ml_dash.errors import NotFound
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch, opened
from tests.web.panels import Panel, color_in_list
from tests.web.rows import bare, cell, do, listed, names, row, stored, table, tell
from tests.web.runs import many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
TABLE = "/p/sweep?view=table&cols=status&cols=tags&cols=description"
NAMES = ["a", "b", "c", "d"]


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    ids: dict[str, str]

    def now(self, name: str) -> Any:
        """The run as it is stored."""
        return stored(self.root, self.ids[name])

    def gone(self, name: str) -> bool:
        try:
            self.now(name)
        except NotFound:
            return True
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    root = tmp_path_factory.mktemp("changes") / "runs"
    root.mkdir()
    with dashboard(root) as server:
        yield server, root


@pytest.fixture
def site(served: tuple[ServerProcess, Path], request: pytest.FixtureRequest) -> Site:
    """Runs of this test's own, in a project of its own."""
    server, root = served
    ids = bare(root, NAMES, request.node.name, tags=["old"])
    return Site(server, root, ids)


@pytest.fixture
def shown(site: Site, open_page: Opener, request: pytest.FixtureRequest) -> tuple[Page, Watch]:
    page, watch = open_page(site.server.url, TABLE.replace("sweep", request.node.name))
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    return page, watch


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait until it holds of the store."""
    for _ in range(400):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it does not come to hold")


def test_tags(shown: tuple[Page, Watch], site: Site) -> None:
    """Added, those of other runs proposed, removed; of many runs those in common."""
    page, _ = shown
    cell(page, "a", "Tags").get_by_role("button", name="Edit the tags of a").click()
    form = page.get_by_role("dialog", name="Tags")
    form.get_by_role("textbox", name="New tag").fill("best, <b>bold</b>")
    page.keyboard.press("Enter")
    form.get_by_role("button", name="old : remove").click()
    form.get_by_role("button", name="Save", exact=True).click()
    expect(cell(page, "a", "Tags").locator(".run-tag")).to_have_text(["best", "<b>bold</b>"])
    until(page, lambda: site.now("a").tags == ["best", "<b>bold</b>"])
    cell(page, "b", "Tags").get_by_role("button", name="Edit the tags of b").click()
    form.get_by_role("group", name="Tags of other runs").get_by_role("button", name="best").click()
    form.get_by_role("button", name="Save", exact=True).click()
    until(page, lambda: site.now("b").tags == ["old", "best"])
    for name in ("a", "b"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    page.get_by_role("region", name="Runs that are chosen").get_by_role("button", name="Tags").click()
    expect(form.get_by_text("Tags that 2 runs have in common")).to_be_visible()
    form.get_by_role("button", name="best : remove").click()
    form.get_by_role("textbox", name="New tag").fill("sweep")
    form.get_by_role("button", name="Save", exact=True).click()
    tell(page, "2 runs tagged.")
    until(page, lambda: [site.now(name).tags for name in ("a", "b")] == [["<b>bold</b>", "sweep"], ["old", "sweep"]])
    page.reload()
    expect(cell(page, "b", "Tags").locator(".run-tag")).to_have_text(["old", "sweep"])


def test_notes(shown: tuple[Page, Watch], site: Site) -> None:
    """Written, kept with their lines; a draft stays when one leaves the form, and goes when it is cancelled."""
    page, _ = shown
    note = cell(page, "c", "Notes").get_by_role("button", name="Edit the notes of c")
    note.click()
    form = page.get_by_role("dialog", name="Notes")
    form.get_by_role("textbox", name="Notes").fill("first line\nsecond <i>line</i>")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(note).to_contain_text("first line second <i>line</i>")
    until(page, lambda: site.now("c").description == "first line\nsecond <i>line</i>")
    note.click()
    form.get_by_role("textbox", name="Notes").fill("never")
    page.keyboard.press("Escape")
    expect(form).to_be_hidden()
    note.click()
    expect(form.get_by_role("textbox", name="Notes")).to_have_value("never")
    form.get_by_role("button", name="Cancel").click()
    note.click()
    expect(form.get_by_role("textbox", name="Notes")).to_have_value("first line\nsecond <i>line</i>")
    form.get_by_role("textbox", name="Notes").fill("")
    page.keyboard.press("Control+Enter")
    until(page, lambda: not site.now("c").description)


def test_what_others_change_appears(shown: tuple[Page, Watch], site: Site, open_page: Opener) -> None:
    """In another page that is open, by itself."""
    page, _ = shown
    other, _ = open_page(site.server.url, TABLE.replace("sweep", page.url.split("/p/")[1].split("?")[0]))
    cell(other, "a", "Tags").get_by_role("button", name="Edit the tags of a").click()
    other.get_by_role("textbox", name="New tag").fill("seen")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(cell(page, "a", "Tags").locator(".run-tag")).to_have_text(["old", "seen"])


def test_what_the_server_refuses_is_taken_back(shown: tuple[Page, Watch], site: Site) -> None:
    """With the reason; the store has what it had."""
    page, watch = shown
    watch.allow("Failed to load resource: .* 507")

    def refuse(route: Route) -> None:
        if route.request.method == "PATCH":
            route.fulfill(status=507, json={"error": "OSError", "message": "The disk is full: delete something."})
        else:
            route.continue_()

    page.route("**/api/v1/runs/*", refuse)
    cell(page, "a", "Tags").get_by_role("button", name="Edit the tags of a").click()
    page.get_by_role("textbox", name="New tag").fill("lost")
    page.get_by_role("button", name="Save", exact=True).click()
    tell(page, "1 run could not be changed. The disk is full: delete something.")
    expect(cell(page, "a", "Tags").locator(".run-tag")).to_have_text(["old"])
    assert site.now("a").tags == ["old"]


def test_what_does_not_reach_the_server_is_taken_back(shown: tuple[Page, Watch], site: Site) -> None:
    """Though nobody is there to tell how it was; that it was done is no longer said."""
    page, watch = shown
    watch.allow("Failed to load resource")
    for what in ("runs/*", "table*"):
        page.route(f"**/api/v1/{what}", lambda route: route.abort("connectionrefused"))
    do(page, "b", "Archive")
    tell(page, "1 run could not be changed. The server does not answer.")
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    expect(page.get_by_text("1 run archived.")).to_have_count(0)
    assert not site.now("b").archived


def test_archive(shown: tuple[Page, Watch], site: Site) -> None:
    """Set aside, back by Undo; shown again when asked for; many at once."""
    page, _ = shown
    do(page, "b", "Archive")
    expect(names(page)).to_have_text(["d", "c", "a"])
    until(page, lambda: site.now("b").archived)
    tell(page, "1 run archived.").get_by_role("button", name="Undo").click()
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    until(page, lambda: not site.now("b").archived)
    for name in ("a", "b"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    page.get_by_role("region", name="Runs that are chosen").get_by_role("button", name="Archive").click()
    expect(names(page)).to_have_text(["d", "c"])
    until(page, lambda: site.now("a").archived and site.now("b").archived)
    page.reload()
    expect(names(page)).to_have_text(["d", "c"])
    page.get_by_role("button", name="2 archived").click()
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    assert "archived=1" in page.url
    do(page, "a", "Take out of the archive")
    until(page, lambda: not site.now("a").archived)
    for name in ("a", "b"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    page.get_by_role("region", name="Runs that are chosen").get_by_role("button", name="Archive").click()
    until(page, lambda: site.now("a").archived)
    tell(page, "1 run archived.").get_by_role("button", name="Undo").click()
    until(page, lambda: not site.now("a").archived)
    assert site.now("b").archived  # as it was before


def test_chosen_runs_that_are_not_listed(shown: tuple[Page, Watch]) -> None:
    """They are told of, before something is done with them."""
    page, _ = shown
    for name in ("a", "b"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    bulk = page.get_by_role("region", name="Runs that are chosen")
    expect(bulk).to_contain_text("2 runs chosen")
    expect(bulk).not_to_contain_text("left out")
    page.get_by_role("textbox", name="Search runs").fill(f"{names(page).last.inner_text()}zzz")
    expect(bulk).to_contain_text("2 of them left out by the filter")


def test_more_chosen_runs_than_an_address_holds(
    served: tuple[ServerProcess, Path], open_page: Opener, request: pytest.FixtureRequest
) -> None:
    """They stay in the page, until an address says which are chosen."""
    server, root = served
    ids = bare(root, [f"run-{i}" for i in range(101)], request.node.name)
    page, _ = open_page(server.url, TABLE.replace("sweep", request.node.name))
    bulk = page.get_by_role("region", name="Runs that are chosen")
    page.get_by_role("checkbox", name="Choose all runs that match").check()
    expect(bulk).to_contain_text("101 runs chosen")
    page.evaluate("to => history.replaceState(null, '', to)", f"{page.url}&sel={ids['run-7']}")
    page.evaluate("window.dispatchEvent(new PopStateEvent('popstate'))")
    expect(bulk).to_contain_text("1 run chosen")


def test_delete_and_undo(shown: tuple[Page, Watch], site: Site) -> None:
    """Undone in time, nothing was ever asked of the server."""
    page, watch = shown
    page.clock.install()
    page.reload()
    do(page, "b", "Delete")
    expect(names(page)).to_have_text(["d", "c", "a"])
    tell(page, "Deleted \u201cb\u201d.").get_by_role("button", name="Undo").click()
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    page.clock.fast_forward(20_000)
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    assert not [one for one in watch.requests if one.method == "DELETE"]
    assert site.now("b").key.name == "b"


def test_delete(shown: tuple[Page, Watch], site: Site) -> None:
    """After the time in which it can be undone; those only; the run's own address then says that it is not there."""
    page, watch = shown
    watch.allow("Failed to load resource: .* 404")
    page.clock.install()
    page.reload()
    for name in ("b", "c"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    page.get_by_role("region", name="Runs that are chosen").get_by_role("button", name="Delete").click()
    expect(names(page)).to_have_text(["d", "a"])
    tell(page, "Deleted 2 runs.")
    page.clock.fast_forward(7_000)
    assert not site.gone("b")
    page.clock.fast_forward(2_000)
    until(page, lambda: site.gone("b") and site.gone("c"))
    assert site.now("a").key.name == "a"
    expect(names(page)).to_have_text(["d", "a"])
    assert "sel=" not in page.url
    page.goto(f"/run/{site.ids['b']}")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()


def test_delete_on_the_runs_own_page(shown: tuple[Page, Watch], site: Site) -> None:
    """It says how to take it back, then that it is gone; not that somebody else did it."""
    page, watch = shown
    watch.allow("Failed to load resource: .* 404")
    page.clock.install()
    page.goto(f"/run/{site.ids['b']}")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("The note at the foot of the page takes it back")).to_be_visible()
    page.clock.fast_forward(9_000)
    until(page, lambda: site.gone("b"))
    expect(page.get_by_text("It is gone for good.")).to_be_visible()
    expect(page.get_by_text("Somebody has deleted it")).to_have_count(0)


def test_what_the_server_does_not_delete_comes_back(shown: tuple[Page, Watch], site: Site) -> None:
    """With the reason."""
    page, watch = shown
    watch.allow("Failed to load resource: .* 500")

    def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=500, json={"error": "OSError", "message": "The folder cannot be moved."})
        else:
            route.continue_()

    page.route("**/api/v1/runs/*", refuse)
    page.clock.install()
    page.reload()
    do(page, "b", "Delete")
    expect(names(page)).to_have_text(["d", "c", "a"])
    page.clock.fast_forward(9_000)
    tell(page, "1 run could not be deleted. The folder cannot be moved.")
    expect(names(page)).to_have_text(["d", "c", "b", "a"])
    assert not site.gone("b")


@pytest.mark.parametrize("leaves", ["closes", "goes"])
def test_delete_when_the_page_is_left(
    leaves: str, site: Site, browser: Browser, request: pytest.FixtureRequest
) -> None:
    """What was told as deleted is deleted, though nobody waited for it."""
    with opened(browser, site.server.url) as (page, _):
        page.goto(TABLE.replace("sweep", request.node.name.replace("[", "%5B").replace("]", "%5D")))
        other = page.context.new_page()
        do(page, "b", "Delete")
        expect(names(page)).to_have_text(["d", "c", "a"])
        if leaves == "closes":
            page.close(run_before_unload=True)
        else:
            page.goto("about:blank")
        until(other, lambda: site.gone("b"))
        assert not site.gone("a")


def test_write_protected_runs(site: Site, open_page: Opener, request: pytest.FixtureRequest) -> None:
    """They are not offered to be deleted; among many they stay."""
    bare(site.root, ["kept"], request.node.name, write_protected=True)
    page, _ = open_page(site.server.url, TABLE.replace("sweep", request.node.name))
    page.clock.install()
    page.reload()
    row(page, "kept").hover()
    page.get_by_role("button", name="More for kept").click()
    expect(page.get_by_role("menuitem", name="Delete")).to_be_disabled()
    expect(page.get_by_role("menuitem", name="Delete")).to_contain_text("write-protected")
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Choose all runs that match").check()
    page.get_by_role("region", name="Runs that are chosen").get_by_role("button", name="Delete").click()
    expect(names(page)).to_have_text(["kept"])
    page.clock.fast_forward(9_000)
    until(page, lambda: all(site.gone(name) for name in NAMES))
    expect(names(page)).to_have_text(["kept"])


def test_a_colour_stays_with_its_run(served: tuple[ServerProcess, Path], open_page: Opener) -> None:
    """In the list, the table, the charts and the run's page, and when the page is opened again; its own colour comes back."""
    server, root = served
    ids = {name: many_series(root, name, "colours", {"loss": [{"value": v} for v in (1.0, 2.0, 3.0)]}) for name in "xy"}
    page, _ = open_page(server.url, "/p/colours?view=table")
    own = dot(page, "x")
    row(page, "x").get_by_role("button", name="Colour of x").click()
    page.get_by_role("group", name="Colours").get_by_role("button", name="Colour 5", exact=True).click()
    expect(row(page, "x").locator("circle").first).not_to_have_attribute("fill", own)
    chosen = dot(page, "x")
    other = dot(page, "y")
    page.goto("/p/colours")
    assert color_in_list(page, "x") == chosen
    assert color_in_list(page, "y") == other
    picture = Panel(page, "loss").drawn(re.compile("3 points")).picture()
    assert picture.of(chosen).sum() > 50
    assert picture.of(own).sum() == 0
    page.goto(f"/run/{ids['x']}")
    expect(page.locator(f'main circle[fill="{chosen}"]').first).to_be_visible()
    page.goto("/p/colours")
    expect(listed(page)).to_have_text(["y", "x"])
    page.get_by_role("button", name="Colour of x").click()
    page.get_by_role("button", name="Its own colour again").click()
    expect(page.get_by_role("button", name="Colour of x").locator("circle").first).to_have_attribute("fill", own)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_colour_is_what_was_pressed(
    site: Site, open_page: Opener, request: pytest.FixtureRequest, theme: str
) -> None:
    """Each has a twin for dark pages, and the menu shows the one that will be drawn."""
    page, _ = open_page(site.server.url, f"/p/{request.node.name}?view=table", color_scheme=theme)
    row(page, "a").get_by_role("button", name="Colour of a").click()
    swatch = page.get_by_role("group", name="Colours").get_by_role("button", name="Colour 7", exact=True)
    pressed = re.findall(r"\d+", swatch.evaluate("one => getComputedStyle(one).backgroundColor"))
    swatch.click()
    wanted = "#" + "".join(f"{int(one):02x}" for one in pressed)
    expect(row(page, "a").locator("circle").first).to_have_attribute("fill", wanted)


def dot(page: Page, run: str) -> str:
    """The colour of a run's dot in the table."""
    expect(table(page)).to_be_visible()
    color = row(page, run).locator("circle").first.get_attribute("fill")
    assert color
    return color
