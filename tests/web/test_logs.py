"""The log of a run: as it grows, by level, searched, linked to, and 200,000 lines of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from tests.server.processes import SOURCE, ServerProcess
from tests.web.chromium import Watch
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
MANY = 200_000
TALKS = """
import sys
from ml_dash import Experiment

with Experiment("talks", "digits", local_path=sys.argv[1]).run as run:
    print(run.id, flush=True)
    for line in sys.stdin:
        run.log(line.rstrip("\\n"))
        run.flush()
        print("said", flush=True)
"""


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    run: str
    long: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("logs") / "runs"
    with Experiment("short", "digits", local_path=root).run as run:
        run.log("begins", level="info")
        run.log("loss is high", level="warn", metadata={"loss": 9.5, "where": {"epoch": 3}})
        run.log("\x1b[31mred\x1b[0m <b>not bold</b>", level="debug")
        run.log("\n".join(f"part {i}" for i in range(40)), level="info")
        run.log("Loss is NaN", level="error")
        short = run.id
    with Experiment("long", "digits", local_path=root).run as run:
        long = run.id
    assert short is not None
    assert long is not None
    file = Path(run.path or "") / "logs" / "logs.jsonl"
    file.parent.mkdir()
    file.write_text("".join(json.dumps(entry(i)) + "\n" for i in range(MANY)))
    with dashboard(root) as server:
        yield Site(server, root, short, long)


def entry(i: int) -> dict[str, Any]:
    """A line of the long log: every 1,000th is a warning, one is an error."""
    level = "error" if i == 123_456 else "warn" if i % 1000 == 0 else "info"
    message = "the needle" if i == 123_456 else f"line {i} of many"
    return {"sequenceNumber": i, "timestamp": "2026-01-02T03:04:05.678Z", "level": level, "message": message}


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., Page]:
    def shown(run: str, query: str = "", **context: Any) -> Page:
        return open_page(site.server.url, f"/run/{run}?tab=logs{query and '&'}{query}", **context)[0]

    return shown


def lines(page: Page) -> Locator:
    return page.get_by_role("list", name="Log lines").get_by_role("listitem")


def texts(page: Page) -> Locator:
    return page.locator(".log-text")


def numbers(page: Page) -> list[int]:
    """Of the lines that are in the page."""
    return [int(text) for text in page.locator(".log-number").all_inner_texts() if text]


def in_sight(page: Page, text: str) -> None:
    """The line with exactly this text is there, and in the window."""
    line = texts(page).get_by_text(text, exact=True)
    expect(line).to_be_in_viewport()


def test_lines_are_text_with_their_levels_and_fields(show: Callable[..., Page], site: Site) -> None:
    """Number, level, message; colours of a terminal without its codes; metadata and long messages open."""
    page = show(site.run)
    expect(lines(page)).to_have_count(5)
    expect(page.locator(".log-level")).to_have_text(["info", "warn", "debug", "info", "error"])
    expect(texts(page).nth(2)).to_have_text("red <b>not bold</b>")
    expect(texts(page).nth(2).locator(".hue-red, .hue-1").or_(texts(page).nth(2).locator("span")).first).to_have_text(
        "red"
    )
    expect(lines(page).nth(1)).to_contain_text("loss=9.5")
    page.get_by_role("button", name="Open line 1: loss, where").click()
    expect(lines(page).nth(1)).to_contain_text('"epoch": 3')
    expect(texts(page).nth(3)).not_to_contain_text("part 39")
    page.get_by_role("button", name="Show 26 more lines").click()
    expect(texts(page).nth(3)).to_contain_text("part 39")


def test_levels_are_chosen(show: Callable[..., Page], site: Site) -> None:
    """Only lines of the chosen levels; the choice is in the address; no level is all of them."""
    page = show(site.run)
    levels = page.get_by_role("group", name="Levels")
    levels.get_by_role("button", name=re.compile("^warn")).click()
    expect(texts(page)).to_have_text(["loss is high"])
    levels.get_by_role("button", name=re.compile("^error")).click()
    expect(texts(page)).to_have_text(["loss is high", "Loss is NaN"])
    expect(page).to_have_url(re.compile(r"tab=logs&level=warn&level=error$"))
    expect(page.get_by_text("2 of 5 lines match.")).to_be_visible()
    page.reload()
    expect(texts(page)).to_have_text(["loss is high", "Loss is NaN"])
    levels.get_by_role("button", name="All levels").click()
    expect(lines(page)).to_have_count(5)
    page.go_back()
    expect(lines(page)).to_have_count(2)


def test_a_search_goes_from_match_to_match(show: Callable[..., Page], site: Site) -> None:
    """Capitals make no difference; Enter goes on and around, Shift+Enter back; only matches, where that is wanted."""
    page = show(site.run)
    box = page.get_by_role("textbox", name="Search the log")
    box.fill("loss")
    expect(page.locator("mark")).to_have_text(["loss", "Loss"])
    box.press("Enter")
    current = page.locator('[aria-current="true"]')
    expect(current.locator(".log-text")).to_have_text("loss is high")
    box.press("Enter")
    expect(current.locator(".log-text")).to_have_text("Loss is NaN")
    box.press("Enter")
    expect(current.locator(".log-text")).to_have_text("loss is high")
    expect(page.get_by_text("Went on from the beginning.")).to_be_visible()
    box.press("Shift+Enter")
    expect(current.locator(".log-text")).to_have_text("Loss is NaN")
    page.get_by_label("Only matches").click()
    expect(texts(page)).to_have_text(["loss is high", "Loss is NaN"])
    page.reload()
    expect(texts(page)).to_have_text(["loss is high", "Loss is NaN"])
    box.fill("nothing has this")
    expect(page.get_by_text("No line matches")).to_be_visible()


def test_a_line_is_a_link(show: Callable[..., Page], site: Site) -> None:
    """A line's number puts it into the address, and that address leads to the line, wherever in the log it is."""
    page = show(site.run)
    lines(page).nth(1).get_by_role("link", name="1", exact=True).click()
    expect(page).to_have_url(f"{site.server.url}/run/{site.run}?tab=logs&line=1")
    far = show(site.long, "line=123456")
    current = far.locator('[aria-current="true"]')
    expect(current.locator(".log-text")).to_have_text("the needle")
    expect(current).to_be_in_viewport()
    shown = numbers(far)
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    assert shown[0] < 123_456 < shown[-1]


def test_two_hundred_thousand_lines(show: Callable[..., Page], site: Site) -> None:
    """It begins at the end, goes to the beginning and anywhere, and only what is in sight is in the page."""
    page = show(site.long)
    in_sight(page, f"line {MANY - 1} of many")
    assert page.evaluate("document.querySelectorAll('*').length") < 2_500
    box = page.get_by_role("list", name="Log lines")
    box.focus()
    page.keyboard.press("Home")
    in_sight(page, "line 0 of many")
    page.keyboard.press("End")
    in_sight(page, f"line {MANY - 1} of many")
    for part in (0.25, 0.5, 0.75):
        box.evaluate("(box, part) => { box.scrollTop = part * (box.scrollHeight - box.clientHeight); }", part)
        middle = f"line {round(part * MANY / 1000)}"
        expect(texts(page).filter(has_text=re.compile(rf"^{middle}\d\d\d of many$")).first).to_be_attached()
        assert page.evaluate("document.querySelectorAll('*').length") < 2_500


def test_a_needle_in_two_hundred_thousand_lines(show: Callable[..., Page], site: Site) -> None:
    """The search finds the one line that has it, from the end backward; a level finds the same."""
    page = show(site.long)
    in_sight(page, f"line {MANY - 1} of many")
    page.get_by_role("textbox", name="Search the log").fill("the needle")
    page.get_by_role("button", name="Previous match (Shift+Enter)").click()
    expect(page.locator('[aria-current="true"] .log-text')).to_have_text("the needle")
    words = parse_qs(urlsplit(page.url).query)
    assert words == {"tab": ["logs"], "find": ["the needle"], "line": ["123456"]}
    page.goto(f"/run/{site.long}?tab=logs&level=error")
    expect(texts(page)).to_have_text(["the needle"])
    expect(page.get_by_text("1 of 200,000 lines match.")).to_be_visible()


def test_a_log_that_grows_is_followed(show: Callable[..., Page], site: Site) -> None:
    """What another process says appears by itself at the end; who has scrolled up stays where they are, is told, and goes back down."""
    command = [sys.executable, "-c", TALKS, str(site.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": SOURCE}
    ) as talker:
        assert talker.stdin is not None
        assert talker.stdout is not None
        out, into = talker.stdout, talker.stdin

        def say(*said: str) -> None:
            for one in said:
                into.write(one + "\n")
                into.flush()
                assert out.readline() == "said\n"

        run = out.readline().strip()
        say(*(f"word {i}" for i in range(100)))
        page = show(run)
        in_sight(page, "word 99")
        say("and another")
        in_sight(page, "and another")
        page.get_by_role("list", name="Log lines").evaluate("(box) => { box.scrollTop = 0; }")
        in_sight(page, "word 0")
        say("unseen 1", "unseen 2")
        page.get_by_role("button", name="2 new lines").click()
        in_sight(page, "unseen 2")
        assert numbers(page)[-1] == 102
        say("the last")
        in_sight(page, "the last")
        for height in (1100, 500, 900):
            page.set_viewport_size({"width": 1440, "height": height})
            in_sight(page, "the last")
        say("the very last")
        in_sight(page, "the very last")
        into.close()
        assert talker.wait(60) == 0
    expect(page.locator(".run-title").get_by_text("Completed")).to_be_visible()
