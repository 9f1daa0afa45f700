"""The charts of a project: which panels there are and how they are found, what x is, scales, smoothing, and what is said of what is
not in the picture."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel, asked, color_in_list, in_address, words
from tests.web.runs import append_at, many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
NAN, INF = float("nan"), float("inf")
N = 300
NEW_YEAR = 1_767_225_600_000
"""2026-01-01T00:00:00Z in unix ms; a point a minute from then on."""


class Site(NamedTuple):
    server: ServerProcess
    runs: dict[str, str]


def wave(i: int, shift: float = 0.0) -> float:
    return shift + math.sin(i / 15) * math.exp(-i / 120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("charts") / "runs"
    runs = {}
    for shift, name in ((0.0, "low"), (2.0, "high")):
        runs[name] = many_series(
            root,
            name,
            "panels",
            {
                **{
                    series: [{"value": wave(i, shift), "step": 10 * i, "epoch": i // 30} for i in range(N)]
                    for series in ("train/loss", "train/acc", "train/lr2", "train/lr10", "val/loss")
                },
                "alone": [{"value": float(i)} for i in range(5)],
                "_system/cpu": [{"value": 50.0} for _ in range(20)],
            },
        )
    many_series(
        root,
        "odd",
        "odd",
        {
            "odd": [{"value": {40: NAN, 100: INF, 160: -INF}.get(i, 1.0 + i / 200), "step": i} for i in range(200)],
            "nothing": [{"value": NAN} for _ in range(5)],
            "falls": [{"value": 1.0 - i / 99, "step": i - 10} for i in range(200)],
            "long": [{"value": wave(i), "step": 2 * i} for i in range(5000)],
        },
    )
    runs["clock"] = many_series(root, "clock", "clock", {"other": [{"value": 1.0}]})
    rows = [{"value": wave(i), "step": i} for i in range(N)]
    append_at(root, runs["clock"], "loss", rows, tuple((i, NEW_YEAR + 60_000 * i) for i in range(N)))
    with dashboard(root) as server:
        yield Site(server, runs)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., tuple[Page, Watch]]:
    """A project's charts."""

    def shown(project: str = "panels", query: str = "", **context: Any) -> tuple[Page, Watch]:
        return open_page(site.server.url, f"/p/{project}{query and '?'}{query}", **context)

    return shown


def group(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", level=2).get_by_role("button", name=re.compile(rf"^{name} \d+$"))


def titles(page: Page) -> list[str]:
    """Groups, with how many panels they have, and the panels in them: as they stand on the page."""
    return [text.replace("\n", " ") for text in page.locator(".charts-area").locator("h2, h3").all_inner_texts()]


def choose_x(page: Page, value: str) -> None:
    page.get_by_label("x axis").select_option(value)


def test_panels_stand_in_groups_by_prefix(show: Callable[..., Any]) -> None:
    """A panel a field, fields that count being none; the machine's own group comes last, and folded."""
    page, _ = show(viewport={"width": 1440, "height": 2400})
    Panel(page, "val/loss").drawn("2 runs · up to 300 points, all drawn")
    assert titles(page) == [
        *("Charts 1", "alone"),
        *("train 4", "acc", "loss", "lr2", "lr10"),
        *("val 1", "loss"),
        "System 1",
    ]
    expect(group(page, "System")).to_have_attribute("aria-expanded", "false")


def test_a_group_is_folded_and_that_is_in_the_address(show: Callable[..., Any], open_page: Opener, site: Site) -> None:
    page, _ = show(viewport={"width": 1440, "height": 2400})
    Panel(page, "train/acc").drawn("2 runs · up to 300 points, all drawn")
    group(page, "train").click()
    expect(Panel(page, "train/acc").box).to_have_count(0)
    group(page, "System").click()
    Panel(page, "_system/cpu").drawn("2 runs · up to 20 points, all drawn")
    assert words(page)["fold"] == ["train", "_system"]
    again, _ = open_page(site.server.url, page.url.removeprefix(site.server.url))
    Panel(again, "_system/cpu").drawn("2 runs · up to 20 points, all drawn")
    assert titles(again) == ["Charts 1", "alone", "train 4", "val 1", "loss", "System 1", "cpu"]
    page.go_back()
    expect(Panel(page, "_system/cpu").box).to_have_count(0)
    page.go_back()
    Panel(page, "train/acc").drawn("2 runs · up to 300 points, all drawn")


def test_panels_are_found_by_words_of_their_names(show: Callable[..., Any]) -> None:
    """All words, in any order, also in folded groups; where there is none, a way back."""
    page, _ = show()
    find = page.get_by_role("textbox", name="Find charts")
    expect(find).to_have_attribute("placeholder", "Find among 7 charts")
    find.fill("LOSS tr")
    expect(page.get_by_text("1 found", exact=True)).to_be_visible()
    Panel(page, "train/loss").drawn("2 runs · up to 300 points, all drawn")
    assert titles(page) == ["train/loss"]
    in_address(page, panels="LOSS tr")
    find.fill("cpu")
    Panel(page, "_system/cpu").drawn("2 runs · up to 20 points, all drawn")
    find.fill("nowhere")
    expect(page.get_by_role("heading", name="No chart has this in its name")).to_be_visible()
    page.get_by_role("button", name="Show all charts").click()
    expect(find).to_have_value("")
    expect(group(page, "train")).to_be_visible()


def test_a_pinned_panel_stands_at_the_top_too(show: Callable[..., Any]) -> None:
    page, _ = show(viewport={"width": 1440, "height": 2400})
    panel = Panel(page, "val/loss")
    panel.box.get_by_role("button", name="Pin to the top").click()
    expect(group(page, "Pinned")).to_be_visible()
    expect(panel.box).to_have_count(2)
    assert titles(page)[:2] == ["Pinned 1", "loss"]
    assert words(page)["pin"] == ["val/loss"]
    panel.box.first.get_by_role("button", name="Unpin").click()
    expect(group(page, "Pinned")).to_have_count(0)
    assert "pin" not in words(page)


@pytest.mark.parametrize(("letter", "least"), [("S", 230), ("M", 330), ("L", 560)])
def test_charts_have_three_sizes(show: Callable[..., Any], letter: str, least: int) -> None:
    """As many in a row as have their width, and they fill it."""
    page, _ = show(viewport={"width": 1440, "height": 3000})
    page.get_by_role("group", name="Size of charts").get_by_role("button", name=letter, exact=True).click()
    in_address(page, size={"S": "small", "M": None, "L": "large"}[letter])
    Panel(page, "train/acc").drawn("2 runs · up to 300 points, all drawn")
    boxes = [Panel(page, f"train/{name}").box.bounding_box() for name in ("acc", "loss", "lr2", "lr10")]
    area = page.locator(".charts-area").bounding_box()
    assert area
    there = [box for box in boxes if box]
    columns = min(4, int((area["width"] + 10) // (least + 10)))
    assert sum(box["y"] == there[0]["y"] for box in there) == columns
    assert there[0]["width"] == pytest.approx((area["width"] - 10 * (columns - 1)) / columns, abs=1)


def test_x_is_the_index_or_a_field(show: Callable[..., Any], site: Site) -> None:
    """What x is goes for all panels, is asked of the server, and is in the address; who lacks the field says so."""
    page, watch = show(viewport={"width": 1440, "height": 2400})
    panel = Panel(page, "train/loss").says(re.compile(r"^Chart of train/loss, 2 lines: index 0 to 299, values "))
    choose_x(page, "field:step")
    panel.says(re.compile(r": step 0 to 2,990, values "))
    Panel(page, "alone").drawn("by index: it has no step · 2 runs · up to 5 points, all drawn")
    assert words(page)["x"] == ["field:step"]
    assert {one["run"] for one in asked(watch) if one["x"] == "step" and one["name"] == "train/loss"} >= {
        site.runs["low"],
        site.runs["high"],
    }
    choose_x(page, "field:epoch")
    panel.says(re.compile(r": epoch 0 to 9, values "))
    page.go_back()
    panel.says(re.compile(r": step 0 to 2,990, values "))
    choose_x(page, "index")
    assert "x" not in words(page)


def test_x_is_a_time(show: Callable[..., Any]) -> None:
    """Since the run's first point, or as the clock has it, in the reader's zone."""
    page, _ = show("clock")
    panel = Panel(page, "loss").drawn("all 300 points")
    choose_x(page, "relative")
    panel.says(re.compile(r": time since the start 0 s to 4 h 59 m, values "))
    choose_x(page, "time")
    panel.says(re.compile(r": time 2026-01-01 00:00:00 to 2026-01-01 04:59:00, values "))
    plot = panel.picture()
    panel.point(*plot.on_line(color_in_list(page, "clock"), plot.x(150, 0, N - 1)))
    expect(panel.tip.locator(".chart-tip-title")).to_have_text("2026-01-01 02:30:00")
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text("index 150")


def test_logarithmic_axes_say_what_they_have_no_place_for(show: Callable[..., Any]) -> None:
    """Values and places at or below 0 are counted in words; what is above 0 is drawn at its logarithm."""
    page, _ = show("odd")
    panel = Panel(page, "falls").drawn("all 200 points").says(re.compile(r": index 0 to 199, values −1.11 to 1.1$"))
    page.get_by_role("button", name="log y").click()
    panel.drawn("≤ 0 at 101 places: at the bottom edge · all 200 points").says(
        re.compile(r", values 0.008\d+ to 1.2\d+$")
    )
    in_address(page, logy="1")
    # 1/99 is the least above 0, 1 the greatest; 10/99 stands between them by its logarithm.
    plot, color = panel.picture(), color_in_list(page, "odd")
    low, high = math.log10(1 / 99), 0.0
    column = round(plot.x(89, 0, 199))
    rows = np.flatnonzero(plot.of(color)[:, column])
    assert rows.mean() == pytest.approx(plot.y(math.log10(10 / 99), low, high), abs=2.5)
    page.get_by_role("button", name="log x").click()
    panel.drawn("≤ 0 at 101 places: at the bottom edge · x ≤ 0 at 1 place: left out · all 200 points")
    panel.says(re.compile(r": index 1 to 199, values "))
    choose_x(page, "field:step")
    panel.drawn("≤ 0 at 101 places: at the bottom edge · x ≤ 0 at 11 places: left out · all 200 points")
    panel.says(re.compile(r": step 1 to 189, values "))


def test_a_range_without_points_says_so(show: Callable[..., Any]) -> None:
    page, _ = show("odd", "zoom=1000~2000")
    Panel(page, "odd").drawn("no points in this range")
    Panel(page, "long").drawn(re.compile(r"^[\d,]+ of 1,003 points here · min/max exact$"))


def test_a_logarithmic_x_axis_has_its_first_decades(show: Callable[..., Any]) -> None:
    """The first bucket of a long series reaches from index 1 on, and a drag there shows its points."""
    page, _ = show("odd", "logx=1&panels=long")
    panel = Panel(page, "long").drawn(re.compile("^[\\d,]+ of 5,000 points · min/max exact$"))
    panel.says(re.compile(": index 1 to 4,999, "))
    plot = panel.picture()
    panel.drag(plot.left + 1, plot.x(1, 0, math.log10(4999)))
    panel.drawn(re.compile(r"^x ≤ 0 at 1 place: left out · all 1\d points here$")).says(re.compile(": index 1 to 10, "))


def test_one_panel_has_a_scale_of_its_own(show: Callable[..., Any]) -> None:
    page, _ = show("odd")
    Panel(page, "falls").box.get_by_role("button", name="log", exact=True).click()
    Panel(page, "falls").drawn("≤ 0 at 101 places: at the bottom edge · all 200 points")
    Panel(page, "odd").drawn("all 200 points")
    assert words(page)["turny"] == ["falls"]
    page.get_by_role("button", name="log y").click()
    Panel(page, "falls").drawn("≤ 0 at 101 places: at the bottom edge · all 200 points")
    assert words(page)["logy"] == ["1"]
    assert "turny" not in words(page)


def test_smoothing_is_off_at_first_and_keeps_the_raw_line_behind(show: Callable[..., Any]) -> None:
    """The tooltip tells the smoothed value, which is the exponential mean, and the one that was logged."""
    page, _ = show(query="panels=val")
    panel = Panel(page, "val/loss").drawn("2 runs · up to 300 points, all drawn")
    before, color = panel.picture(), color_in_list(page, "low")
    bar = page.get_by_role("toolbar", name="Charts")
    expect(bar.get_by_role("status").filter(has_text="off")).to_have_text("off")
    slider = bar.get_by_role("slider", name="Smoothing")
    slider.fill("0.975")
    in_address(page, smooth="0.951")
    expect(slider).to_have_attribute("aria-valuetext", "0.951")
    smooth = [wave(0)]
    for i in range(1, N):
        smooth.append(0.951 * smooth[-1] + 0.049 * wave(i))
    at = 25
    low, high = min(map(wave, range(N))), 2 + max(map(wave, range(N)))
    panel.point(before.x(at, 0, N - 1), before.y(smooth[at], low, high))
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text(f"not smoothed {float(f'{wave(at):.5g}')}")
    assert panel.values == [
        ("high", f"{float(f'{2 + smooth[at]:.5g}')}"),
        ("low", f"{float(f'{smooth[at]:.5g}')}"),
    ]
    page.mouse.move(5, 5)
    expect(panel.tip).to_be_hidden()
    after = panel.picture()
    assert (after.left, after.right, after.bottom) == (before.left, before.right, before.bottom)
    # The raw line is where it was, and faint; the smoothed one is strong, and elsewhere.
    column = round(after.x(at, 0, N - 1))
    raw = np.flatnonzero(before.of(color, 100)[:, column])
    assert after.pixels[raw, column, 3].max() < 130
    assert after.of(color, 30)[raw, column].any()
    strong = np.flatnonzero(after.of(color, 150)[:, column])
    assert strong.mean() == pytest.approx(after.y(smooth[at], low, high), abs=2)


def test_values_that_are_not_finite_have_marks(show: Callable[..., Any]) -> None:
    """A cross at the bottom for NaN, triangles at the edges for infinities, each at its place; and the words for them."""
    page, _ = show("odd")
    panel = Panel(page, "odd").drawn("all 200 points")
    plot, color = panel.picture(), color_in_list(page, "odd")
    found = plot.of(color)
    columns = {name: round(plot.x(at, 0, 199)) for name, at in (("nan", 40), ("inf", 100), ("-inf", 160))}
    marks = {name: np.flatnonzero(found[:, x - 2 : x + 3].any(axis=1)) for name, x in columns.items()}
    assert (marks["nan"][-1] - plot.bottom + 4) in range(3)  # half of its height of five below its middle
    assert marks["inf"][0] in range(4, 8)
    assert (marks["-inf"][-1] - plot.bottom) in range(2, 5)
    for name, rows in (
        ("nan", slice(plot.bottom - 7, plot.bottom - 3)),
        ("inf", slice(0, 9)),
        ("-inf", slice(plot.bottom + 1, None)),
    ):
        there = np.flatnonzero(found[rows].any(axis=0))
        assert len(there), name
        assert abs(there - columns[name]).max() <= 5, name
    # The line has a gap at each: it never goes through a place that nobody logged.
    middle = found[12 : plot.bottom - 8]
    assert not any(middle[:, x].any() for x in columns.values())
    panel.chart.focus()
    page.keyboard.press("ArrowRight")
    expect(panel.spoken).to_have_text("odd, index 0, 1")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    expect(panel.spoken).to_have_text("odd, index 40, NaN, NaN")
    for name, y, index, value in (
        ("nan", plot.bottom - 3, 40, "NaN"),
        ("inf", 8, 100, "∞"),
        ("-inf", plot.bottom + 3, 160, "−∞"),
    ):
        panel.point(columns[name], y)
        expect(panel.tip.locator(".chart-tip-title")).to_have_text(f"index {index}")
        assert panel.values == [("odd", value)]
    Panel(page, "nothing").drawn("no finite value among them · all 5 points")


def test_it_is_said_how_much_is_drawn(show: Callable[..., Any]) -> None:
    """Of a long series buckets with exact extremes, of a short one every point: which of both stands below the name."""
    page, watch = show("odd")
    panel = Panel(page, "long").drawn(re.compile(r"^[\d,]+ of 5,000 points · min/max exact$"))
    wanted = next(one for one in asked(watch) if one["name"] == "long")
    text = panel.caption.inner_text()
    buckets = int(text.split(" of ")[0].replace(",", ""))
    assert 0 < buckets <= wanted["max_points"] < 5000
    panel.press("Show as table")
    table = page.get_by_role("dialog", name="long").get_by_role("table")
    assert table.get_by_role("row").count() - 1 == min(buckets, 500)
    cells = [row.get_by_role("cell") for row in table.get_by_role("row").all()[1:]]
    first, last = int(cells[3].nth(1).inner_text().replace(",", "")), int(cells[3].nth(2).inner_text().replace(",", ""))
    values = [wave(i) for i in range(first, last + 1)]
    told = [float(cell.get_attribute("title") or "") for cell in cells[3].all()[4:6]]
    assert told == [min(values), max(values)]
