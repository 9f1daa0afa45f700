"""The page of a run: what it is at first sight, its parameters against a baseline's, its metadata, and code that reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from tests.server.processes import SOURCE, ServerProcess
from tests.web.chromium import Watch
from tests.web.runs import curve, make_run, picture, write
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
PARAMS = {"lr": 0.1, "layers": 3, "model": {"width": 64, "act": "relu"}, "seed": 1}
LAST = repr(curve(40)[-1]["value"])
BASE = {"lr": 0.01, "layers": 3, "model": {"width": 128, "act": "relu"}, "warmup": 100}


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    run: str
    base: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("run-page") / "runs"
    base = make_run(root, "base", params=BASE)
    with Experiment(
        "tuned",
        "digits",
        local_path=root,
        description="A larger rate.\nIt went well.",
        tags=["best", "sweep 3"],
        metadata={"commit": "0a1b2c", "hosts": ["a", "b"], "env": {"python": "3.11"}},
    ).run as run:
        run.params.set(**PARAMS)
        run.metrics("train/loss").append_batch(curve(40))
        run.metrics("odd").append(value=float("nan"), note="x < y", step=7)
        run.log("begun", level="info")
        run.log("a line of level error", level="error", metadata={"at": 3})
        run.file(os.fspath(write(root.parent, "red.png", picture(40, 30, (200, 0, 0)))), prefix="/pictures").save()
        assert run.id is not None
        tuned = run.id
    with dashboard(root) as server:
        yield Site(server, root, tuned, base)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., Page]:
    """The run's page at a tab."""

    def shown(query: str = "", run: str | None = None, **context: Any) -> Page:
        return open_page(site.server.url, f"/run/{run or site.run}{query and '?'}{query}", **context)[0]

    return shown


def section(page: Page, heading: str) -> Locator:
    return page.locator("section").filter(has=page.get_by_role("heading", name=heading, exact=True))


def rows_of(table: Locator) -> list[list[str]]:
    """The cells of a table that is drawn of `role`s, row by row, without its head."""
    return [
        row.get_by_role("cell").all_inner_texts()
        for row in table.get_by_role("row").all()
        if row.get_by_role("cell").count()
    ]


def test_the_overview_tells_what_the_run_is(show: Callable[..., Page], site: Site) -> None:
    """Name, status, tags, notes as they were written, facts with the whole id, and the first parameters."""
    page = show()
    expect(page.get_by_role("heading", name="tuned")).to_be_visible()
    expect(page).to_have_title("tuned · digits · ml-dash")
    expect(page.locator(".run-title").get_by_text("Completed")).to_be_visible()
    expect(page.locator(".tag-text")).to_have_text(["best", "sweep 3"])
    expect(section(page, "Notes").locator("p")).to_have_text("A larger rate.\nIt went well.")
    facts = section(page, "Facts")
    expect(facts.get_by_text(site.run, exact=True)).to_be_visible()
    expect(facts.get_by_role("link", name="1 file")).to_have_attribute("href", f"/run/{site.run}?tab=files")
    params = section(page, "Parameters")
    expect(params.locator("dt")).to_have_text(["lr", "layers", "model.width", "model.act", "seed"])
    expect(params.locator("dd")).to_have_text(["0.1", "3", "64", "relu", "1"])


def test_the_overview_tells_how_it_did(show: Callable[..., Page], site: Site) -> None:
    """The last point of every series with its length, the end of the log, and the newest pictures, each a link to all of it."""
    page = show()
    values = section(page, "Last values").get_by_role("row")
    expect(values).to_have_count(3)
    odd, loss = values.nth(1), values.nth(2)
    expect(odd.get_by_role("cell").nth(2)).to_have_text("1")
    expect(odd.locator(".last-fields")).to_contain_text("x < y")
    expect(odd.locator(".last-fields")).to_contain_text("NaN")
    expect(loss.get_by_role("link", name="train/loss")).to_be_visible()
    expect(loss.locator(".last-fields .num").first).to_have_text("0.02024")
    expect(loss.locator(".last-fields .num").first).to_have_attribute("title", LAST)
    expect(loss.get_by_role("cell").nth(2)).to_have_text("40")
    lines = section(page, "Log").get_by_role("listitem")
    expect(lines.locator(".recent-text")).to_have_text(["begun", "a line of level error"])
    picture = section(page, "Newest pictures").get_by_role("link", name="pictures/red.png")
    expect(picture).to_be_visible()
    picture.click()
    expect(page).to_have_url(f"{site.server.url}/run/{site.run}?tab=files&file=pictures%2Fred.png")
    expect(page.get_by_role("img", name="The picture pictures/red.png")).to_be_visible()


def test_attempts_are_told(show: Callable[..., Page], site: Site) -> None:
    """Every time that somebody was in the run: how it ended, and from which index on it wrote."""
    with Experiment("resumed", "digits", local_path=site.root).run as first:
        first.metrics("loss").append_batch(curve(10))
        resumed = first.id
    second = Experiment("resumed", "digits", local_path=site.root).run.start()
    second.metrics("loss").append_batch(curve(5))
    second.run.fail()
    page = show(run=resumed)
    expect(page.locator(".run-facts")).to_contain_text("2 attempts")
    rows = page.get_by_role("region", name="Attempts").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1).get_by_role("cell").nth(1)).to_have_text("Completed")
    expect(rows.nth(1).get_by_role("cell").last).to_have_text("0")
    expect(rows.nth(2).get_by_role("cell").nth(1)).to_have_text("Failed")
    expect(rows.nth(2).get_by_role("cell").last).to_have_text("10")


def test_tabs_are_places(show: Callable[..., Page], site: Site) -> None:
    """Each part has its own address, and "back" leads to the one before."""
    page = show()
    tabs = page.get_by_role("navigation", name="Parts of the run")
    names = ["Overview", "Parameters", "Charts", "Logs", "Files", "Metadata", "Code"]
    expect(tabs.get_by_role("link")).to_have_text(names)
    tabs.get_by_role("link", name="Charts").click()
    expect(page).to_have_url(f"{site.server.url}/run/{site.run}?tab=charts")
    expect(tabs.get_by_role("link", name="Charts")).to_have_attribute("aria-current", "page")
    expect(page.locator("canvas").first).to_be_visible()
    expect(page.get_by_text("train/loss").first).to_be_visible()
    tabs.get_by_role("link", name="Logs").click()
    expect(page.get_by_role("list", name="Log lines")).to_be_visible()
    page.go_back()
    expect(page.locator("canvas").first).to_be_visible()
    page.go_back()
    expect(section(page, "Facts")).to_be_visible()


def test_parameters_against_a_baseline(show: Callable[..., Page], site: Site) -> None:
    """What differs is marked, with both values; what only one has, too; and one can look at the differences alone."""
    page = show("tab=parameters")
    table = page.get_by_role("table", name="Parameters")
    expect(table.get_by_role("row")).to_have_count(6)
    assert rows_of(table) == [
        ["layers", "3"],
        ["lr", "0.1"],
        ["model.act", "relu"],
        ["model.width", "64"],
        ["seed", "1"],
    ]
    page.get_by_label("Baseline").select_option(label="base")
    expect(page).to_have_url(f"{site.server.url}/run/{site.run}?tab=parameters&base={site.base}")
    expect(table.get_by_role("columnheader")).to_have_text(["name", "value", "baseline: base"])
    assert rows_of(table) == [
        ["layers", "3", "3"],
        ["lr differs", "0.1", "0.01"],
        ["model.act", "relu", "relu"],
        ["model.width differs", "64", "128"],
        ["seed only here", "1", "none"],
        ["warmup only in the baseline", "none", "100"],
    ]
    page.get_by_label("Only differences (4)").click()
    expect(table.get_by_role("row")).to_have_count(5)
    page.get_by_role("textbox", name="Search parameters").fill("warm")
    expect(table.get_by_role("row")).to_have_count(2)
    page.reload()
    expect(table.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("textbox", name="Search parameters")).to_have_value("warm")


def test_parameters_as_a_tree(show: Callable[..., Page], site: Site) -> None:
    """Dots in names are levels that open and close, by keys too; what the baseline has stands beside."""
    page = show(f"tab=parameters&as=tree&base={site.base}")
    tree = page.get_by_role("tree", name="Parameters as a tree")
    items = tree.get_by_role("treeitem")
    expect(items).to_have_count(6)
    expect(items.filter(has_text="width")).to_contain_text("baseline: 128")
    tree.focus()
    page.keyboard.press("Home")
    for _ in range(6):
        if "model" in (tree.locator(".active").inner_text()):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(items).to_have_count(4)
    expect(items.filter(has_text="model")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowRight")
    expect(items).to_have_count(6)


def test_metadata_is_a_tree_that_is_searched(show: Callable[..., Page]) -> None:
    """All that was given with the run, level by level; a search leaves the way to what it finds."""
    page = show("tab=metadata")
    items = page.get_by_role("treeitem")
    expect(items).to_have_count(6)
    expect(items.filter(has_text="commit")).to_contain_text('"0a1b2c"')
    page.get_by_role("textbox", name="Search the metadata").fill("3.11")
    expect(items).to_have_count(2)
    expect(items.nth(1)).to_contain_text("python")


def code(page: Page, title: str) -> str:
    """The text that is shown under a heading."""
    return page.locator("section").filter(has=page.get_by_role("heading", name=title)).locator("pre").inner_text()


def python(text: str, *, cwd: Path) -> str:
    """What a new interpreter prints of the values of the last lines, run as it is."""
    lines = text.rstrip("\n").split("\n")
    body = "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", body],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_reads_the_run(show: Callable[..., Page], site: Site, tmp_path: Path) -> None:
    """The shown Python, taken as it is, loads the run in another process: its parameters, series, log and files."""
    page = show("tab=snippet")
    expect(page.locator("pre").first).to_contain_text("points[-1]")
    text = code(page, "Read it in Python")
    assert f'ml_dash.load("tuned", "digits", local_path="{site.root}")' in text
    told = python(
        text + "print(run.id, run.status, run.tags, run.params.get()['model.width'], points[-1], len(points))\n"
        "print([line['message'] for line in run.logs.read()], [one['filename'] for one in run.file().list()])\n",
        cwd=tmp_path,
    )
    first, second = told.splitlines()
    assert first.startswith(f"{site.run} COMPLETED ['best', 'sweep 3'] 64 ")
    assert LAST in first
    assert first.endswith(" 40")
    assert second == "['begun', 'a line of level error'] ['red.png']"


def test_the_code_reads_all_runs(show: Callable[..., Page], site: Site, tmp_path: Path) -> None:
    """So does the one for the project: a data frame of a row a run."""
    page = show("tab=snippet")
    text = code(page, "All runs of the project, as a data frame")
    last = text.rstrip("\n").rsplit("\n", 1)[1]
    told = python(text + f"\nprint(sorted(({last})['name']))\n", cwd=tmp_path)
    assert {"'base'", "'tuned'"} <= set(told.strip("[]\n").split(", "))


def test_the_code_goes_on_with_the_run(show: Callable[..., Page], site: Site, tmp_path: Path) -> None:
    """And the one that resumes it appends to the same run."""
    run = make_run(site.root, "to be resumed")
    page = show("tab=snippet", run=run)
    python(code(page, "Go on with it: the same name resumes the run"), cwd=tmp_path)
    page.goto(f"/run/{run}")
    expect(page.get_by_role("row").filter(has_text="train/loss").get_by_role("cell").nth(2)).to_have_text("41")


def test_a_run_that_is_not_there(open_page: Opener, site: Site) -> None:
    """Its address says what may have happened, and where to go on."""
    page, watch = open_page(site.server.url, "/")
    watch.allow("404")
    page.goto("/run/0123456789abcdef0123456789abcdef")
    expect(page.get_by_text("There is no such run")).to_be_visible()
    page.get_by_role("link", name="All projects").last.click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
