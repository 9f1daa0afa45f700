"""What is rare, and must not break: numbers of many digits, texts of many kilobytes, damaged pictures, a browser that keeps
nothing, drafts that were left, addresses that lead nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from ml_dash import Experiment
from tests.server.processes import ServerProcess
from tests.web.chromium import PHONE, Watch
from tests.web.rows import bare, cell, listed, names, row, stored
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
SEED = 12345678901234567890
LONG = "words " * 17_000


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("edges") / "runs"
    ids: dict[str, str] = {}
    for name, seed in (("a", SEED), ("b", SEED + 1)):
        with Experiment(name=name, project="edges", local_path=str(root)).run as experiment:
            experiment.params.set(seed=seed, text=LONG)
            picture = root.parent / "broken.png"
            picture.write_bytes(b"no picture at all")
            experiment.file(file_path=str(picture), prefix="/pictures").save()
            assert experiment.id
            ids[name] = experiment.id
    ids |= bare(root, ["once"], "edges", write_protected=True, tags=["old"])
    with dashboard(root) as server:
        yield Site(server, root, ids)


def test_whole_numbers_keep_their_digits(site: Site, open_page: Opener) -> None:
    """In the table, the filter that is proposed and what it matches, and the run's parameters as they are copied."""
    page, _ = open_page(site.server.url, "/p/edges?view=table&cols=params.seed")
    expect(cell(page, "a", "seed")).to_have_attribute("title", str(SEED))
    page.get_by_role("button", name="Expression", exact=True).click()
    page.keyboard.type("params.seed = ")
    expect(page.get_by_role("option", name=str(SEED + 1))).to_be_visible()
    page.get_by_role("option", name=str(SEED)).click()
    expect(names(page)).to_have_text(["a"])
    page.goto(f"/run/{site.ids['a']}?tab=parameters")
    expect(page.get_by_role("row").filter(has_text="seed")).to_contain_text(str(SEED))


def test_a_text_of_many_kilobytes(site: Site, open_page: Opener) -> None:
    """Its beginning stands in the cell and in its tooltip."""
    page, _ = open_page(site.server.url, "/p/edges?view=table&cols=params.text")
    text = cell(page, "a", "text")
    expect(text).to_contain_text("words words")
    assert len(text.inner_text()) <= 301
    assert len(text.get_attribute("title") or "") <= 1001


def test_a_damaged_picture(site: Site, open_page: Opener) -> None:
    page, _ = open_page(site.server.url, f"/run/{site.ids['a']}")
    expect(page.locator(".picture-card")).to_contain_text("cannot be drawn")
    expect(page.locator(".picture-card img")).to_have_count(0)


def test_write_protected_runs_are_annotated(site: Site, open_page: Opener) -> None:
    """On their page as in the table: tags, notes and the archive; but they are not deleted. Tags are parted by commas."""
    page, _ = open_page(site.server.url, f"/run/{site.ids['once']}")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("combobox", name="New tag").fill("new, newer")
    page.keyboard.press("Enter")
    expect(page.locator(".tags .tag")).to_have_text(["old", "new", "newer"])
    page.get_by_role("button", name="More", exact=True).click()
    expect(page.get_by_role("menuitem", name="Archive")).to_be_enabled()
    expect(page.get_by_role("menuitem", name="Delete")).to_be_disabled()
    expect(page.get_by_role("menuitem", name="Delete")).to_contain_text("write-protected")
    page.wait_for_function(
        f"fetch('/api/v1/runs/{site.ids['once']}').then((one) => one.json()).then((one) => one.tags.length === 3)"
    )
    assert stored(site.root, site.ids["once"]).tags == ["old", "new", "newer"]


@pytest.mark.parametrize("where", ["table", "run"])
def test_a_draft_of_notes_is_kept(site: Site, open_page: Opener, where: str) -> None:
    """Whatever closes it; until it is cancelled."""
    run = {"table": "a", "run": "b"}[where]
    path = "/p/edges?view=table&cols=description" if where == "table" else f"/run/{site.ids[run]}"
    page, _ = open_page(site.server.url, path)
    notes = page.get_by_role("textbox", name="Notes")

    def begin() -> None:
        if where == "table":
            row(page, run).get_by_role("button", name=f"Edit the notes of {run}:").click()
        else:
            page.get_by_role("button", name="Write notes").or_(page.get_by_role("button", name="Go on with")).click()

    begin()
    notes.fill("a long story")
    notes.press("Escape")
    expect(notes).to_have_count(0)
    begin()
    expect(notes).to_have_value("a long story")
    page.get_by_role("button", name="Cancel").click()
    begin()
    expect(notes).to_have_value("")


def test_a_browser_that_keeps_nothing(site: Site, open_page: Opener) -> None:
    page, _ = open_page(site.server.url, "about:blank")
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    )
    page.goto("/p/edges")
    expect(listed(page)).to_have_text(["once", "b", "a"])


def test_nobody_answers(site: Site, open_page: Opener) -> None:
    """That is said within some two seconds, not when all patience has gone."""
    page, watch = open_page(site.server.url, "about:blank")
    watch.allow("Failed to load resource|ERR_")
    page.route("**/api/v1/**", lambda route: route.abort())
    page.goto("/run/none?tab=charts")
    expect(page.get_by_text("The server does not answer").first).to_be_visible(timeout=4_000)


@pytest.mark.parametrize(
    ("path", "says"), [("/whatever", "There is nothing at this address"), ("/p/edgs", "No runs yet")]
)
def test_an_address_that_leads_nowhere(site: Site, open_page: Opener, path: str, says: str) -> None:
    page, _ = open_page(site.server.url, path)
    expect(page.get_by_role("heading", name=says)).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="All projects").click()
    expect(page.get_by_role("main").get_by_role("link", name="edges").first).to_be_visible()


def test_a_phone_wastes_no_line(site: Site, open_page: Opener) -> None:
    """How many runs match stands beside the box, what else can be done with the chosen beside their number."""
    page, _ = open_page(site.server.url, "about:blank", viewport=PHONE)
    page.route("**/api/v1/table?*", _many)
    page.goto("/p/edges?view=table&q=r")
    status = page.get_by_role("search").get_by_role("status")
    expect(status).to_have_text("1,000 of 1,000 runs")
    assert _level(status) == pytest.approx(_level(page.get_by_role("textbox", name="Search runs")), abs=8)
    page.get_by_role("checkbox", name="Choose all runs that match").check()
    bulk = page.get_by_role("region", name="Runs that are chosen")
    told = _level(bulk.locator("strong"))
    assert _level(bulk.get_by_role("button", name="More for these runs")) == pytest.approx(told, abs=6)
    assert _level(bulk.get_by_role("button", name="Leave them all")) == pytest.approx(told, abs=6)
    assert len({round(_level(one)) for one in bulk.locator("> .ui-button").all()}) <= 2
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def _level(one: Locator) -> float:
    box = one.bounding_box()
    assert box
    return float(box["y"] + box["height"] / 2)


def _many(route: Route) -> None:
    """The table with a thousand runs."""
    answer = route.fetch()
    told = answer.json()
    told["runs"] = {name: (values * 1000)[:1000] for name, values in told["runs"].items()}
    told["runs"] |= {
        "id": [f"id{i}" for i in range(1000)],
        "name": [f"r{i}" for i in range(1000)],
        "ordinal": list(range(1000)),
    }
    told |= {"params": {}, "columns": {}, "series": []}
    route.fulfill(response=answer, body=json.dumps(told))
