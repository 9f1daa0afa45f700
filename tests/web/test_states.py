"""What the page says where there is nothing, not yet, or no more: always what happened, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from ml_dash.server.tokens import TokenFile
from ml_dash.store.local import LocalStore
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel
from tests.web.rows import NEWEST, bare, listed, names, row, stored, sweep, tell
from tests.web.runs import make_run
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
Serve = Callable[..., ServerProcess]
BROKEN = "Failed to load resource"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("states") / "runs"
    sweep(root)
    with dashboard(root) as served:
        yield served


def test_an_empty_project(server: ServerProcess, open_page: Opener) -> None:
    """One that has no runs says how the first is made, and shows it when it is there."""
    page, _ = open_page(server.url, "/p/nothing")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.locator("pre")).to_contain_text(f'project="nothing", local_path="{server.store}"')
    bare(Path(server.store), ["first"], "nothing")
    expect(listed(page)).to_have_text(["first"])


def test_no_run_matches(server: ServerProcess, open_page: Opener) -> None:
    """In the list, the charts and the table."""
    page, _ = open_page(server.url, "/p/sweep?q=nothing")
    expect(page.get_by_role("region", name="Runs").get_by_role("heading", name="No run matches")).to_be_visible()
    expect(page.get_by_role("heading", name="No run matches")).to_have_count(2)
    page.get_by_role("link", name="Table").click()
    expect(
        page.get_by_role("region", name="Table of runs").get_by_role("heading", name="No run matches")
    ).to_be_visible()


def test_all_runs_are_archived(tmp_path: Path, serve: Serve, open_page: Opener) -> None:
    """They are said to be, and one press shows them."""
    bare(tmp_path / "runs", ["a"], archived=True)
    page, _ = open_page(serve().url, "/p/sweep?view=table")
    page.get_by_role("button", name="Show the archived").click()
    expect(names(page)).to_have_text(["a"])


def test_while_it_loads(server: ServerProcess, open_page: Opener) -> None:
    """Its place is held, and nothing is said of runs before they are there."""
    page, _ = open_page(server.url, "about:blank")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/table?*", hold)
    page.goto("/p/sweep")
    expect(page.locator(".ui-skeleton").first).to_be_visible()
    expect(page.get_by_text("No runs")).to_have_count(0)
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/table?*")
    expect(listed(page)).to_have_text(NEWEST)


@pytest.mark.parametrize(
    ("status", "title", "advice"),
    [
        (500, "The server failed over the runs of \u201csweep\u201d", "Its log tells more"),
        (503, "The server is busy and did not send the runs of \u201csweep\u201d", "Try again in a few seconds"),
        (403, "Your token may not see the runs of \u201csweep\u201d", "Ask whoever runs the server"),
        (None, "The server does not answer, so the runs of \u201csweep\u201d cannot be shown", "ml-dash ui"),
    ],
)
def test_the_runs_do_not_come(
    server: ServerProcess, open_page: Opener, status: int | None, title: str, advice: str
) -> None:
    """What happened, what to do; and a button that tries again, which then works."""
    page, watch = open_page(server.url, "about:blank")
    watch.allow(BROKEN)

    def refuse(route: Route) -> None:
        if status is None:
            route.abort("connectionrefused")
        else:
            route.fulfill(status=status, json={"error": "Some", "message": "Said by the server."})

    page.route("**/api/v1/table?*", refuse)
    page.goto("/p/sweep")
    trouble = page.get_by_role("alert")
    expect(trouble.get_by_role("heading", name=title)).to_be_visible()
    expect(trouble).to_contain_text(advice)
    expect(trouble.get_by_text("Said by the server.")).to_have_count(0 if status is None else 1)
    page.unroute("**/api/v1/table?*")
    trouble.get_by_role("button", name="Try again").click()
    expect(listed(page)).to_have_text(NEWEST)


def test_only_the_columns_do_not_come(server: ServerProcess, open_page: Opener) -> None:
    """The same, where the runs had come before and are asked for once more with their results."""
    page, watch = open_page(server.url, "about:blank")
    watch.allow(BROKEN)
    page.route("**/api/v1/table?*columns=*", lambda route: route.fulfill(status=400, json={"message": "Not these."}))
    page.goto("/p/sweep?view=table")
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("Not these.")
    page.unroute("**/api/v1/table?*columns=*")
    trouble.get_by_role("button", name="Try again").click()
    expect(names(page)).to_have_text(NEWEST)


def test_the_server_stops_and_comes_back(tmp_path: Path, serve: Serve, open_page: Opener) -> None:
    """It is said, what is there stays in sight and what is changed is refused openly; then all is caught up by itself."""
    root = tmp_path / "runs"
    ids = bare(root, ["a", "b"])
    server = serve(root)
    page, watch = open_page(server.url, "/p/sweep?view=table&cols=tags")
    watch.allow(BROKEN)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    server.stop()
    expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    expect(names(page)).to_have_text(["b", "a"])
    row(page, "a").get_by_role("button", name="Edit the tags of a").click()
    page.get_by_role("textbox", name="New tag").fill("lost")
    page.get_by_role("button", name="Save", exact=True).click()
    tell(page, "1 run could not be changed. The server does not answer.")
    store = LocalStore(root)
    store.delete_run(ids["b"])
    store.close()
    bare(root, ["c"])
    server.restart()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(names(page)).to_have_text(["c", "a"])
    expect(row(page, "a").locator(".run-tag")).to_have_count(0)
    assert stored(root, ids["a"]).tags == []


def test_what_is_not_there(server: ServerProcess, open_page: Opener) -> None:
    """A run, an address: said, with a way out."""
    page, watch = open_page(server.url, "/run/0123456789abcdef")
    watch.allow("Failed to load resource: .* 404")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="All projects").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    page.goto("/nowhere/at/all")
    expect(page.get_by_role("heading", name="There is nothing at this address")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="All projects").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_one_chart_fails(server: ServerProcess, open_page: Opener) -> None:
    """It says so in its place, and is drawn once it can be; the list beside it goes on."""
    page, watch = open_page(server.url, "about:blank")
    watch.allow(BROKEN)
    page.route(
        "**/api/v1/samples",
        lambda route: route.fulfill(status=400, json={"error": "InvalidInput", "message": "No such field."}),
    )
    page.goto("/p/sweep")
    panel = page.get_by_role("region", name="train/loss")
    expect(panel.get_by_role("alert")).to_contain_text("The server cannot read this request for this chart")
    expect(listed(page)).to_have_text(NEWEST)
    page.unroute("**/api/v1/samples")
    panel.get_by_role("button", name="Try again").click()
    Panel(page, "train/loss").drawn(re.compile("^4 runs"))


def test_a_token_that_only_reads(tmp_path: Path, serve: Serve, open_page: Opener) -> None:
    """Nothing that changes runs is offered: no tags, notes, archive or delete; and the server would refuse it."""
    root = tmp_path / "runs"
    run = make_run(root, "one", "sweep", tags=["kept"])
    secret = TokenFile(root).create("read")[1]
    page, watch = open_page(serve(root).url, "/p/sweep?view=table&cols=tags&cols=description")
    watch.allow("Failed to load resource: .* (401|403)")
    page.get_by_label("Token", exact=True).fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(names(page)).to_have_text(["one"])
    expect(row(page, "one").locator(".run-tag")).to_have_text(["kept"])
    expect(page.get_by_role("button", name=re.compile("^Edit"))).to_have_count(0)
    row(page, "one").click(button="right", position={"x": 150, "y": 10})
    menu = page.get_by_role("menu", name="Run")
    expect(menu.get_by_role("menuitem")).to_have_text(
        [
            re.compile(one)
            for one in ("Hide in charts", "Draw only this run", "Make it the baseline", "Choose it", "Copy its id")
        ]
    )
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Choose one", exact=True).check()
    bar = page.get_by_role("region", name="Runs that are chosen")
    for gone in ("Tags", "Archive", "Delete"):
        expect(bar.get_by_role("button", name=gone)).to_have_count(0)
    refused = page.evaluate(
        """(run) => fetch(`/api/v1/runs/${run}`, {method: "DELETE", headers: {"X-ML-Dash": "1"}}).then((one) => one.status)""",
        run,
    )
    assert refused == 403
    page.goto(f"/run/{run}")
    expect(page.get_by_role("heading", name="one")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("edit|delete|archive", re.IGNORECASE))).to_have_count(0)
