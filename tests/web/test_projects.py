"""The projects: where one begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from ml_dash import Experiment
from ml_dash.model import RunKey, RunPatch
from ml_dash.store.local import LocalStore
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.rows import bare, listed
from tests.web.runs import make_run

Opener = Callable[..., tuple[Page, Watch]]
Server = Callable[..., ServerProcess]


def lines(page: Page) -> list[str]:
    """Each project's line, without when it last changed."""
    return [
        one.locator(".projects-name").inner_text() + ": " + one.locator(".projects-runs").inner_text()
        for one in page.locator("main li").all()
    ]


def test_projects(tmp_path: Path, serve: Server, open_page: Opener) -> None:
    """The one that changed last is first, with its runs and those that run; each leads to its runs, and back comes here."""
    root = tmp_path / "runs"
    make_run(root, "one", "with a space")
    bare(root, ["a", "b"], "digits")
    with Experiment("runs", "digits", local_path=root).run:
        server = serve(root)
        page, _ = open_page(server.url)
        expect(page.get_by_role("heading", name="Projects")).to_be_visible()
        assert lines(page) == ["digits: 3 runs", "with a space: 1 run"]
        expect(page.get_by_text("2 projects, 4 runs")).to_be_visible()
        expect(page.get_by_role("link", name="digits").get_by_text("1 running")).to_be_visible()
        assert page.title() == "ml-dash"
        page.get_by_role("link", name="with a space").click()
        expect(page).to_have_url(f"{server.url}/p/with%20a%20space")
        expect(listed(page)).to_have_text(["one"])
        assert page.title() == "with a space \u00b7 ml-dash"
        page.go_back()
        page.get_by_role("link", name="digits").click()
        expect(listed(page)).to_have_text(["runs", "b", "a"])
        page.get_by_role("link", name="ml-dash: all projects").click()
        expect(page).to_have_url(f"{server.url}/")


def test_a_new_project_appears(tmp_path: Path, serve: Server, open_page: Opener) -> None:
    """By itself, in a page that was empty; and a run that ends is no longer counted as running."""
    root = tmp_path / "runs"
    root.mkdir()
    page, _ = open_page(serve(root).url)
    expect(page.get_by_role("heading", name="Nothing has been tracked here yet")).to_be_visible()
    with Experiment("first", "tutorial", local_path=root).run:
        expect(page.get_by_role("link", name="tutorial")).to_contain_text("1 running")
    expect(page.get_by_role("link", name="tutorial")).to_contain_text("1 run")
    expect(page.get_by_text("1 running")).to_have_count(0)


def test_the_code_of_an_empty_page_works(tmp_path: Path, serve: Server, open_page: Opener) -> None:
    """What it shows can be run as it is: the run appears in the page, with its chart."""
    root = tmp_path / "runs"
    root.mkdir()
    page, _ = open_page(serve(root).url)
    code = page.locator("pre").inner_text()
    assert str(root) in code
    exec(compile(code, "shown", "exec"), {})
    page.get_by_role("link", name="tutorial").click()
    expect(listed(page)).to_have_text(["first"])
    expect(page.get_by_role("region", name="train/loss").locator(".panel-caption")).to_contain_text("100 points")


def test_projects_are_found(tmp_path: Path, serve: Server, open_page: Opener) -> None:
    """Where there are many, by a part of the name."""
    root = tmp_path / "runs"
    for i in range(10):
        bare(root, ["run"], f"project-{i}")
    page, _ = open_page(serve(root).url)
    search = page.get_by_role("textbox", name="Find a project")
    search.fill("T-7")
    assert lines(page) == ["project-7: 1 run"]
    search.fill("none")
    expect(page.get_by_role("heading", name="No project is called so")).to_be_visible()
    page.get_by_role("button", name="Clear find a project").click()
    expect(page.locator("main li")).to_have_count(10)


def test_projects_of_other_namespaces_are_looked_at_again(tmp_path: Path, serve: Server, open_page: Opener) -> None:
    """What happens in them is not told to a page that listens to its reader's own."""
    root = tmp_path / "runs"
    with closing(LocalStore(root)) as store:
        store.put_run(RunKey("team", "digits", "a"), RunPatch())
        page, _ = open_page(serve(root).url)
        expect(page.get_by_role("link", name="digits")).to_contain_text("1 run")
        for runs, name in ((2, "b"), (3, "c")):  # once it asks again in any case: when it begins to listen
            store.put_run(RunKey("team", "digits", name), RunPatch())
            expect(page.get_by_role("link", name="digits")).to_contain_text(f"{runs} runs")
