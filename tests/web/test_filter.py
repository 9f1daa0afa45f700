"""Runs found by words and by expressions: what matches, what is proposed while one writes, and where an expression is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import in_address
from tests.web.rows import NEWEST, counted, listed, sweep
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
REFUSED = "Failed to load resource: .* 400"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("filter") / "runs"
    sweep(root)
    with dashboard(root) as served:
        yield served


@pytest.fixture
def show(server: ServerProcess, open_page: Opener) -> Callable[..., Page]:
    def shown(filter: str = "", **context: object) -> Page:  # noqa: A002  the word of the address
        page, watch = open_page(server.url, f"/p/sweep{filter and '?filter='}{quote(filter)}", **context)
        watch.allow(REFUSED)
        return page

    return shown


def expression(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Filter expression")


def proposals(page: Page) -> list[str]:
    """What is proposed, from above."""
    expect(page.get_by_role("listbox", name="Proposals")).to_be_visible()
    return proposed(page).all_inner_texts()


def proposed(page: Page) -> Locator:
    return page.get_by_role("option").locator(".mono")


def chosen(page: Page) -> Locator:
    """The proposal that Enter takes."""
    return page.get_by_role("option", selected=True).locator(".mono")


def test_words(show: Callable[..., Page]) -> None:
    """Runs that hold all of them, wherever, whatever their case; how many are left, and the address."""
    page = show()
    counted(page, "5 runs")
    search = page.get_by_role("textbox", name="Search runs")
    search.fill("ADAM lr=0.1")
    expect(listed(page)).to_have_text(["adam-2"])
    counted(page, "1 of 5 runs")
    in_address(page, q="ADAM lr=0.1")
    search.fill("nothing has this")
    expect(page.get_by_role("heading", name="No run matches").first).to_be_visible()
    counted(page, "0 of 5 runs")
    page.get_by_role("button", name="Clear search runs").click()
    expect(listed(page)).to_have_text(NEWEST)
    in_address(page, q=None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("params.lr = 0.1", ["adam-2", "sgd-1"]),
        ("params.lr == 0.1", ["adam-2", "sgd-1"]),
        ('params.lr < 0.1 and params.opt = "sgd"', ["sgd-2"]),
        ('metrics["train/loss"].value.min < 0.8 and metrics["train/loss"].value > 0.9', ["sgd-1"]),
        ('metrics["train/loss"].value.max > 3', ["adam-2"]),
        ('status = "COMPLETED" and not params.lr', ["plain"]),
        ('name in ["plain", "sgd-1"]', ["plain", "sgd-1"]),
    ],
)
def test_expressions(show: Callable[..., Page], text: str, found: list[str]) -> None:
    """In the address, as a person writes them."""
    page = show(text)
    expect(listed(page)).to_have_text(found)
    expect(expression(page)).to_have_value(text)
    counted(page, f"{len(found)} of 5 runs")


def test_words_that_look_like_an_expression(show: Callable[..., Page]) -> None:
    """They are taken as words, and it is said; one press makes them the filter."""
    page = show()
    page.get_by_role("textbox", name="Search runs").fill("params.lr = 0.1")
    expect(page.get_by_text("This looks like an expression.")).to_be_visible()
    counted(page, "0 of 5 runs")
    page.get_by_role("button", name="Filter by it").click()
    expect(listed(page)).to_have_text(["adam-2", "sgd-1"])
    expect(expression(page)).to_be_focused()
    in_address(page, filter="params.lr = 0.1", q=None)


def test_an_expression_by_proposals(show: Callable[..., Page]) -> None:
    """Names, comparisons, values and aggregates that there are, taken by keys alone."""
    page = show()
    page.get_by_role("button", name="Expression", exact=True).click()
    expect(expression(page)).to_be_focused()
    keys = page.keyboard
    keys.type("params.l")
    expect(proposed(page)).to_have_text(["lr"])
    keys.press("Enter")
    expect(expression(page)).to_have_value("params.lr ")
    expect(proposed(page)).to_have_text(["=", "!=", "<", "<=", ">", ">=", "in", "not in"])
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    expect(chosen(page)).to_have_text("<")
    keys.press("Tab")
    expect(expression(page)).to_have_value("params.lr < ")
    expect(proposed(page)).to_have_text(["0.1", "0.001", "0.01"])
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    expect(chosen(page)).to_have_text("0.1")
    keys.press("Enter")
    expect(proposed(page)).to_have_text(["and", "or"])
    keys.press("Enter")
    keys.type("metrics.")
    expect(proposed(page)).to_have_text(["train/loss"])
    keys.press("Enter")
    expect(proposed(page)).to_have_text(["value"])
    keys.press("Enter")
    keys.type(".m")
    expect(proposed(page)).to_have_text(["min", "max", "mean"])
    keys.press("Enter")
    keys.type("< 1")
    keys.press("Escape")
    expect(page.get_by_role("listbox", name="Proposals")).to_be_hidden()
    whole = 'params.lr < 0.1 and metrics["train/loss"].value.min < 1'
    expect(expression(page)).to_have_value(whole)
    expect(listed(page)).to_have_text(["adam-1"])
    in_address(page, filter=whole)


def test_writing_on_while_the_page_is_busy(show: Callable[..., Page]) -> None:
    """What is typed once the box was asked for is in it, and after a proposal that was taken, though no frame was drawn in between."""
    page = show()
    page.evaluate(
        "() => { const later = window.requestAnimationFrame; window.requestAnimationFrame = (work) => setTimeout(() => later(work), 300); }"
    )
    page.get_by_role("button", name="Expression", exact=True).click()
    page.keyboard.type("params.l")
    expect(proposed(page)).to_have_text(["lr"])
    page.keyboard.press("Enter")
    page.keyboard.type("<")
    page.wait_for_timeout(500)
    page.keyboard.type(" 0.1")
    expect(expression(page)).to_have_value("params.lr < 0.1")


def test_a_proposal_by_the_pointer(show: Callable[..., Page]) -> None:
    """Text in quotes, as the language writes it; the box keeps the focus."""
    page = show()
    page.get_by_role("button", name="Expression", exact=True).click()
    page.keyboard.type("params.opt = ")
    expect(proposed(page)).to_have_count(2)
    assert sorted(proposals(page)) == ['"adam"', '"sgd"']
    page.get_by_role("option", name='"sgd"').click()
    expect(expression(page)).to_have_value('params.opt = "sgd" ')
    expect(expression(page)).to_be_focused()
    expect(listed(page)).to_have_text(["sgd-2", "sgd-1"])


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        ("params.lr < 0.1 and loss < 3", "loss", "names 'loss', which is none of params.<name>, metrics.<name>"),
        ('name = "\u00fc\U0001f600" and los < 1', "los", "names 'los', which is none of"),
        ("status = COMPLETED", "COMPLETED", "text goes in quotes"),
        (
            "(params.lr + 1) = 2",
            "params.lr + 1",
            "may hold comparisons, and, or, not, in, literals and references only",
        ),
        ("params.lr <", " ", "is not an expression"),
    ],
)
def test_where_an_expression_is_wrong(show: Callable[..., Page], text: str, part: str, says: str) -> None:
    """The part is underlined where it stands in the box, the text says what is wrong; the runs stay in sight."""
    page = show(text)
    error = page.get_by_role("search").get_by_role("alert")
    expect(error).to_contain_text(says)
    expect(error).not_to_contain_text("Write for example")
    expect(expression(page)).to_have_attribute("aria-invalid", "true")
    mark = page.locator(".expression mark")
    assert mark.inner_text().strip(" ") == part.strip(" ")
    assert mark.evaluate("(mark) => mark.textContent") == part
    expect(listed(page)).to_have_text(NEWEST)
    under, box = mark.bounding_box(), expression(page).bounding_box()
    assert under
    assert box
    before = page.evaluate(
        """([text, font]) => {
            const pen = document.createElement("canvas").getContext("2d");
            pen.font = font;
            return pen.measureText(text).width;
        }""",
        [
            text[: text.index(part)] if part.strip() else text,
            expression(page).evaluate("(box) => getComputedStyle(box).font"),
        ],
    )
    inside = expression(page).evaluate("(box) => parseFloat(getComputedStyle(box).paddingLeft)")
    assert abs(under["x"] - box["x"] - inside - before) < 3
    assert box["y"] <= under["y"] + under["height"] <= box["y"] + box["height"] + 4


def test_while_it_is_written(show: Callable[..., Page]) -> None:
    """Half an expression keeps the runs of the last one that could be read; its error is told when the writer pauses, and goes."""
    page = show('params.opt = "sgd"')
    expect(listed(page)).to_have_text(["sgd-2", "sgd-1"])
    expression(page).focus()
    page.keyboard.press("End")
    page.keyboard.type(" and params.lr <")
    error = page.get_by_role("search").get_by_role("alert")
    expect(error).to_contain_text("The list still shows the last filter that could be read.")
    expect(listed(page)).to_have_text(["sgd-2", "sgd-1"])
    page.keyboard.type(" 0.1")
    expect(listed(page)).to_have_text(["sgd-2"])
    expect(error).to_have_count(0)
    page.get_by_role("button", name="Clear filter expression").click()
    expect(listed(page)).to_have_text(NEWEST)
    in_address(page, filter=None)


def test_a_reference_on_its_way_is_not_asked_for(show: Callable[..., Page]) -> None:
    """It would be an expression, true of hardly any run: not while there is more to choose. Who wants just that closes the proposals."""
    page = show()
    page.get_by_role("radio", name="Expression").or_(page.get_by_role("button", name="Expression")).first.click()
    expression(page).fill("")
    page.keyboard.type("params.nothing")
    expression(page).press("Control+Space")
    expression(page).fill("params.l")
    expect(page.get_by_role("option")).not_to_have_count(0)
    page.wait_for_timeout(600)
    in_address(page, filter=None)
    expect(listed(page)).to_have_text(NEWEST)
    page.keyboard.press("Escape")
    in_address(page, filter="params.l")
    expect(listed(page)).to_have_count(0)


def test_the_box_shows_what_the_address_has(show: Callable[..., Page]) -> None:
    """A saved view or "back" brings words where an expression was written; where an address has both, both are told."""
    page = show('params.opt = "sgd"')
    expect(listed(page)).to_have_text(["sgd-2", "sgd-1"])
    page.get_by_role("link", name="Table").click()
    page.evaluate("history.replaceState(null, '', '/p/sweep?q=adam')")
    page.evaluate("window.dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.get_by_role("textbox", name="Search runs")).to_have_value("adam")
    expect(listed(page)).to_have_text(["adam-2", "adam-1"])
    page.goto("/p/sweep?q=adam&filter=params.lr+%3D+0.1")
    expect(listed(page)).to_have_text(["adam-2"])
    expect(expression(page)).to_have_value("params.lr = 0.1")
    expect(page.get_by_role("search")).to_contain_text("only runs that hold \u201cadam\u201d")
    page.get_by_role("button", name="All of them").click()
    expect(listed(page)).to_have_text(["adam-2", "sgd-1"])
    in_address(page, q=None, filter="params.lr = 0.1")


def test_back_does_not_undo_keystrokes(show: Callable[..., Page]) -> None:
    """It leaves the view, as it was entered; forward brings the filter again."""
    page = show()
    page.get_by_role("link", name="Table").click()
    in_address(page, view="table")
    page.get_by_role("textbox", name="Search runs").press_sequentially("adam-1")
    in_address(page, q="adam-1")
    page.go_back()
    in_address(page, view=None, q=None)
    expect(listed(page)).to_have_text(NEWEST)
    page.go_forward()
    in_address(page, view="table", q="adam-1")
    expect(page.get_by_role("textbox", name="Search runs")).to_have_value("adam-1")
