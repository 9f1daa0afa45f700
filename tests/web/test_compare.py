"""Runs against each other: scatter, parallel coordinates with brushes, and the parameters in which runs differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import PHONE, Watch
from tests.web.panels import color_in_list, in_address, pixels_of, words
from tests.web.runs import many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
OPTIMIZERS = ("adam", "sgd", "adam", "sgd", "adam", "sgd")
LOSSES = (0.9, 0.7, 0.4, 0.3, 0.5, 0.8)
TOP, BELOW, SIDE = 62, 30, 70
"""px of parallel coordinates around the axes."""


class Site(NamedTuple):
    server: ServerProcess
    ids: list[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("compare") / "runs"
    ids = [
        many_series(
            root,
            f"run-{i}",
            "compare",
            {"val/loss": [{"value": loss + 1}, {"value": loss / 2}, {"value": loss}]},
            {"lr": rate, "optimizer": optimizer, "seed": 7, **({"warmup": 100} if i == 3 else {})},
        )
        for i, (rate, optimizer, loss) in enumerate(zip(RATES, OPTIMIZERS, LOSSES, strict=True))
    ]
    many_series(root, "alone", "single", {"loss": [{"value": 1.0}]})
    with dashboard(root) as server:
        yield Site(server, ids)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., Page]:
    def shown(query: str = "", project: str = "compare", **context: Any) -> Page:
        return open_page(site.server.url, f"/p/{project}?view=compare{query and '&'}{query}", **context)[0]

    return shown


def surface(page: Page, label: str) -> Locator:
    """The picture, once it is this one in words."""
    expect(page.get_by_role("img", name=re.compile(label.replace("/", r"\/")))).to_be_visible()
    return page.get_by_role("img", name=re.compile("^(Scatter|Parallel coordinates) of "))


def point(page: Page, chart: Locator, x: float, y: float) -> None:
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + x + 1, box["y"] + y + 1)
    page.mouse.move(box["x"] + x, box["y"] + y)


def drag(page: Page, chart: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    point(page, chart, *start)
    page.mouse.down()
    point(page, chart, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    point(page, chart, *end)
    page.mouse.up()


def tip(page: Page) -> dict[str, str]:
    """The run that is pointed at, and its values."""
    box = page.locator(".run-tip")
    expect(box).to_be_visible()
    names, values = box.locator("dt").all_inner_texts(), box.locator("dd").all_inner_texts()
    return {"run": box.locator("strong").inner_text().strip(), **dict(zip(names, values, strict=True))}


def centers(page: Page, chart: Locator) -> list[tuple[float, float]]:
    """Where each run's dot is, by its colour; once all of them are painted."""
    for _ in range(200):
        pixels = pixels_of(chart)
        found = [dot_of(page, pixels, f"run-{i}") for i in range(6)]
        if all(found):
            break
        page.wait_for_timeout(50)
    return [dot for dot in found if dot]


def dot_of(page: Page, pixels: Any, run: str) -> tuple[float, float] | None:
    color = color_in_list(page, run)
    wanted = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)])
    off = np.abs(pixels[:, :, :3].astype(int) - wanted).sum(axis=2)
    rows, columns = np.nonzero((off < 20) & (pixels[:, :, 3] > 200))
    return (float(columns.mean()), float(rows.mean())) if len(rows) else None


def pick(page: Page, label: str, choice: str) -> None:
    page.get_by_role("button", name=label, exact=True).or_(page.get_by_title(label, exact=True)).first.click()
    page.get_by_role("textbox", name=f"Find: {label}").fill(choice)
    page.get_by_role("button", name=choice, exact=True).click()


def test_scatter_shows_a_run_as_a_point(show: Callable[..., Page], site: Site) -> None:
    """By a parameter and a result: each dot at its place, logarithmic where that spreads it; the run is told, and opened."""
    page = show("cmp=scatter")
    chart = surface(page, r"^Scatter of 6 runs: lr against val/loss · last$")
    expect(page.get_by_role("button", name="log", exact=True).first).to_have_attribute("aria-pressed", "true")
    dots = centers(page, chart)
    x, y = np.array(dots).T
    # Even steps of the logarithm are even on the page; the loss goes down as it is less.
    slope = np.polyfit(np.log10(RATES), x, 1)
    np.testing.assert_allclose(np.polyval(slope, np.log10(RATES)), x, atol=1.5)
    slope = np.polyfit(LOSSES, y, 1)
    np.testing.assert_allclose(np.polyval(slope, LOSSES), y, atol=1.5)
    assert slope[0] < 0
    point(page, chart, *dots[3])
    assert tip(page) == {"run": "run-3", "lr": "0.03", "val/loss · last": "0.3"}
    page.get_by_role("button", name="log", exact=True).first.click()
    assert words(page)["axislog"] == ["params.lr"]
    x = np.array(centers(page, chart)).T[0]
    slope = np.polyfit(RATES, x, 1)
    np.testing.assert_allclose(np.polyval(slope, RATES), x, atol=1.5)
    point(page, chart, x[4], dots[4][1])
    assert tip(page)["run"] == "run-4"
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(f"/run/{site.ids[4]}$"))


def test_scatter_takes_any_two_quantities(show: Callable[..., Page]) -> None:
    page = show("cmp=scatter")
    surface(page, r"^Scatter of 6 runs: lr against val/loss · last$")
    pick(page, "y axis", "val/loss · min")
    chart = surface(page, r"^Scatter of 6 runs: lr against val/loss · min$")
    point(page, chart, *centers(page, chart)[2])
    assert tip(page)["val/loss · min"] == "0.2"
    pick(page, "x axis", "warmup")
    surface(page, r"^Scatter of 6 runs: warmup against val/loss · min$")
    expect(page.get_by_text("5 of 6 runs have no warmup")).to_be_visible()
    assert words(page)["cx"] == ["params.warmup"]
    page.go_back()
    surface(page, r"^Scatter of 6 runs: lr against val/loss · min$")


def test_runs_are_chosen_in_a_scatter(show: Callable[..., Page], site: Site) -> None:
    """A drag frames some; they are drawn then."""
    page = show("cmp=scatter")
    chart = surface(page, r"^Scatter of 6 runs: lr against val/loss · last$")
    dots = centers(page, chart)
    xs, ys = [dots[i][0] for i in (2, 3)], [dots[i][1] for i in (2, 3)]
    drag(page, chart, (min(xs) - 12, min(ys) - 12), (max(xs) + 12, max(ys) + 12))
    page.get_by_role("button", name="Draw these 2").click()
    in_address(page, runs=",".join(site.ids[i] for i in (3, 2)))


class Axes(NamedTuple):
    """Where the axes of parallel coordinates are."""

    at: list[float]
    top: float
    bottom: float

    def y(self, value: float, low: float, high: float) -> float:
        air = (high - low) * 0.03
        return self.bottom - (value - low + air) / (high - low + 2 * air) * (self.bottom - self.top)


def axes(chart: Locator, count: int) -> Axes:
    box = chart.bounding_box()
    assert box
    gap = (box["width"] - 2 * SIDE) / (count - 1)
    return Axes([SIDE + i * gap for i in range(count)], TOP, box["height"] - BELOW)


def test_parallel_coordinates_choose_by_a_brush(show: Callable[..., Page], site: Site, open_page: Opener) -> None:
    """A drag along an axis leaves the runs within it; that is in the address, and cleared by a click on the axis."""
    page = show()
    chart = surface(page, r"^Parallel coordinates of 6 runs over lr, warmup, optimizer, val/loss · last; 6 chosen$")
    place = axes(chart, 4)
    low, high = min(LOSSES), max(LOSSES)
    from_y, to_y = place.y(0.28, low, high), place.y(0.55, low, high)
    drag(page, chart, (place.at[3], from_y), (place.at[3], to_y))
    surface(page, r"; 3 chosen$")
    expect(page.get_by_text("3 of 6 chosen", exact=True)).to_be_visible()
    start, end, reference = words(page)["brush"][0].split("~")
    assert reference == "metrics.val/loss.value.last" or "val/loss" in reference
    assert (float(start), float(end)) == pytest.approx((0.28, 0.55), abs=0.01)
    # A second axis narrows it further: of runs 2, 3 and 4 those with adam.
    adam, sgd = (place.bottom - (i + 0.5) / 2 * (place.bottom - place.top) for i in (0, 1))
    drag(page, chart, (place.at[2], adam - 20), (place.at[2], adam + 20))
    surface(page, r"; 2 chosen$")
    assert sgd < adam
    again, _ = open_page(site.server.url, page.url.removeprefix(site.server.url))
    surface(again, r"; 2 chosen$")
    page.go_back()
    chart = surface(page, r"; 3 chosen$")
    page.get_by_role("button", name="Draw these").click()
    in_address(page, runs=",".join(site.ids[i] for i in (4, 3, 2)))
    page.go_back()
    box = surface(page, r"; 3 chosen$").bounding_box()
    assert box
    page.mouse.click(box["x"] + place.at[3], box["y"] + place.top + 30)
    surface(page, r"; 6 chosen$")
    assert "brush" not in words(page)


def test_the_axes_of_parallel_coordinates_are_chosen(show: Callable[..., Page]) -> None:
    """Added, moved, removed, logarithmic or not; the run under the pointer is told."""
    page = show()
    chart = surface(page, r" over lr, warmup, optimizer, val/loss · last; 6 chosen$")
    pick(page, "Add an axis", "val/loss · min")
    surface(page, r" over lr, warmup, optimizer, val/loss · last, val/loss · min; 6 chosen$")
    page.get_by_role("button", name="optimizer", exact=True).click()
    page.get_by_role("menuitem", name="Remove").click()
    surface(page, r" over lr, warmup, val/loss · last, val/loss · min; 6 chosen$")
    page.get_by_role("button", name="lr", exact=True).click()
    expect(page.get_by_role("menuitemcheckbox", name="Logarithmic")).to_have_attribute("aria-checked", "true")
    page.get_by_role("menuitemcheckbox", name="Logarithmic").click()
    assert words(page)["axislog"] == ["params.lr"]
    place = axes(chart, 4)
    point(page, chart, place.at[0], place.y(0.3, min(RATES), max(RATES)))
    assert tip(page)["run"] == "run-5"
    assert tip(page)["lr"] == "0.3"
    page.get_by_role("button", name="lr", exact=True).click()
    page.get_by_role("menuitem", name="Move right").click()
    surface(page, r" over warmup, lr, val/loss · last, val/loss · min; 6 chosen$")
    page.get_by_role("button", name="Usual axes").click()
    surface(page, r" over lr, warmup, optimizer, val/loss · last; 6 chosen$")


def rows(page: Page) -> dict[str, list[str]]:
    table = page.get_by_role("table")
    expect(table).to_be_visible()
    found = {}
    for row in table.get_by_role("row").all()[1:]:
        found[row.get_by_role("rowheader").inner_text()] = [
            text.replace("\n", "") for text in row.get_by_role("cell").all_inner_texts()
        ]
    return found


def test_differences_stand_beside_the_baseline(show: Callable[..., Page], site: Site) -> None:
    """Only parameters in which runs differ; what is not as in the baseline is marked; another run becomes it."""
    page = show("cmp=differences", viewport={"width": 1900, "height": 900})
    expect(page.get_by_text("3 of 4 parameters", exact=True)).to_be_visible()
    heads = page.get_by_role("columnheader")
    assert [text.split("\n")[0] for text in heads.all_inner_texts()] == [
        "Parameter",
        *(f"run-{i}" for i in (5, 4, 3, 2, 1, 0)),
    ]
    expect(heads.nth(1)).to_contain_text("baseline")
    marked = "(differs)"
    assert rows(page) == {
        "lr": ["0.3", *(f"{RATES[i]:g}{marked}" for i in (4, 3, 2, 1, 0))],
        "optimizer": ["sgd", f"adam{marked}", "sgd", f"adam{marked}", "sgd", f"adam{marked}"],
        "warmup": ["–", "–", f"100{marked}", "–", "–", "–"],
    }
    page.get_by_text("Show parameters that are the same").click()
    expect(page.get_by_text("4 of 4 parameters", exact=True)).to_be_visible()
    assert rows(page)["seed"] == ["7"] * 6
    page.get_by_role("button", name="Make run-3 the baseline").click()
    in_address(page, base=site.ids[3], every="1")
    expect(heads.nth(1)).to_contain_text("run-3")
    assert rows(page)["warmup"] == ["100", *[f"–{marked}"] * 5]


def test_a_phone_shows_what_there_is_to_compare(show: Callable[..., Page]) -> None:
    """Beside the baseline there is another run in sight, and no choice is covered by the picture."""
    page = show("cmp=differences", viewport=PHONE)
    other = page.get_by_role("columnheader").nth(2).bounding_box()
    assert other
    assert other["x"] + other["width"] <= PHONE["width"]
    page = show("cmp=scatter", viewport=PHONE)
    colour, room = page.get_by_title("Colour", exact=True), page.locator(".compare-room")
    expect(colour).to_be_visible()
    above, below = colour.bounding_box(), room.bounding_box()
    assert above
    assert below
    assert above["y"] + above["height"] <= below["y"]


def test_a_finger_that_scrolls_chooses_nothing(show: Callable[..., Page]) -> None:
    """The browser takes it away in the middle of a drag: what was begun is as if it had not been, and the next move draws nothing."""
    page = show()
    chart = surface(page, r"; 6 chosen$")
    place = axes(chart, 4)
    point(page, chart, place.at[3], place.top + 20)
    page.mouse.down()
    point(page, chart, place.at[3], place.top + 90)
    expect(page.get_by_text(re.compile("of 6 chosen$"))).to_be_visible()
    chart.dispatch_event("pointercancel", {"bubbles": True})
    page.mouse.up()
    surface(page, r"; 6 chosen$")
    point(page, chart, place.at[3], place.top + 150)
    surface(page, r"; 6 chosen$")
    assert "brush" not in words(page)


def test_one_run_has_nothing_to_be_compared_with(show: Callable[..., Page]) -> None:
    page = show(project="single")
    expect(page.get_by_role("heading", name="One run has nothing to be compared with")).to_be_visible()


def test_chosen_runs_are_compared(show: Callable[..., Page], site: Site) -> None:
    """Where some are chosen in the list, only they are compared."""
    page = show(f"cmp=differences&sel={site.ids[0]},{site.ids[2]}")
    expect(page.get_by_text("1 of 4 parameters", exact=True)).to_be_visible()
    assert rows(page) == {"lr": ["0.01", "0.001(differs)"]}
