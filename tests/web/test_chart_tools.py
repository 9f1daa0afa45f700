"""What charts offer beside their picture: the cursor over all panels, the tooltip, full screen, files, tables, the keyboard, means of
groups, restarts, and colours that stay with their run."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from ml_dash.model import SeriesKey
from ml_dash.store.local import LocalStore
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel, asked, color_in_list, in_address, token, words
from tests.web.runs import many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
N = 200
RUNS = ("a", "b", "c", "d")
LONG = 6_000
EVIL = '=<script>alert(1)<!--"&'
SVG = "{http://www.w3.org/2000/svg}"


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    ids: dict[str, str]


def value(run: str, i: int) -> float:
    at = RUNS.index(run)
    return (at + 1) * 0.1234567890123 + math.cos(i / 20 + at) / (1 + i / 50)


def short(one: float) -> str:
    """A number as the page rounds it."""
    return str(float(f"{one:.5g}")).replace("-", "−")


def noise(run: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(RUNS.index(run)).standard_normal(LONG)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("tools") / "runs"
    ids = {}
    for at, run in enumerate(RUNS):
        rows = [{"value": value(run, i), "step": 5 * i} for i in range(N)]
        series = {"loss": rows, "other": rows, "long": [{"value": float(v)} for v in noise(run)]}
        ids[run] = many_series(root, run, "tools", series, {"lr": [0.1, 0.01][at % 2]})
    with Experiment("again", "again", local_path=root).run as one:
        one.metrics("loss").append_batch([{"value": float(i)} for i in range(63)])
    with Experiment("again", "again", local_path=root).run as one:
        one.metrics("loss").append_batch([{"value": float(i)} for i in range(50, 100)])
    for i in range(24):
        many_series(root, f"run-{i:02}", "colors", {"flat": [{"value": float(i)}] * 20})
    many_series(root, EVIL, "evil", {EVIL: [{"value": 1.0}, {"value": 2.0}]})
    with dashboard(root) as server:
        yield Site(server, root, ids)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., tuple[Page, Watch]]:
    def shown(project: str = "tools", query: str = "", **context: Any) -> tuple[Page, Watch]:
        return open_page(site.server.url, f"/p/{project}{query and '?'}{query}", **context)

    return shown


ALL = "4 runs · up to 200 points, all drawn"


def cursor_at(panel: Panel) -> float | None:
    """The px of the cursor's line over a panel; None where it has none."""
    drawn = panel.chart.evaluate(
        """(chart) => {
            const strip = chart.querySelector('canvas.strip:not([hidden])');
            if (!strip) return null;
            const image = strip.getContext('2d').getImageData(0, 0, strip.width, 40).data;
            const rows = (x) => [...Array(40).keys()].filter((y) => image[4 * (y * strip.width + x) + 3] > 0).length;
            const found = [...Array(strip.width).keys()].filter((x) => rows(x) > 25);
            return strip.getBoundingClientRect().left - chart.getBoundingClientRect().left + found[0];
        }"""
    )
    assert drawn is None or isinstance(drawn, int | float)
    return drawn


def test_the_cursor_goes_in_step_over_all_panels(show: Callable[..., Any]) -> None:
    """A line at the same place of x in every panel; the tooltip only in the one that is pointed at; all gone with the pointer."""
    page, _ = show()
    panels = [Panel(page, name).drawn(ALL) for name in ("loss", "other")]
    plot = panels[0].picture()
    x, y = plot.on_line(color_in_list(page, "d"), plot.x(120, 0, N - 1))
    panels[0].point(x, y)
    expect(panels[0].tip.locator(".chart-tip-title")).to_have_text("index 120")
    expect(panels[1].chart.locator("canvas.strip:not([hidden])")).to_be_visible()
    at = [cursor_at(panel) for panel in panels]
    assert at[0] == at[1] == pytest.approx(plot.x(120, 0, N - 1), abs=1)
    expect(panels[1].tip).to_be_hidden()
    panels[1].point(plot.x(30, 0, N - 1), y)
    expect(panels[1].tip.locator(".chart-tip-title")).to_have_text(re.compile(r"^index (2[5-9]|3[0-5])$"))
    expect(panels[0].tip).to_be_hidden()
    page.mouse.move(3, 3)
    for panel in panels:
        expect(panel.tip).to_be_hidden()
        expect(panel.chart.locator("canvas.strip:not([hidden])")).to_have_count(0)


@pytest.mark.parametrize("share", [0.1, 0.45, 0.9])
def test_the_tooltip_is_sorted_rounded_and_within_its_panel(show: Callable[..., Any], share: float) -> None:
    """The greatest value above, five digits each, the one that is pointed at marked; it covers no other chart."""
    page, _ = show()
    panel = Panel(page, "loss").drawn(ALL)
    plot = panel.picture()
    index = round(share * (N - 1))
    panel.point(*plot.on_line(color_in_list(page, "b"), plot.x(index, 0, N - 1)))
    title = panel.tip.locator(".chart-tip-title")
    expect(title).to_have_text(re.compile(r"^index \d+$"))
    at = int(title.inner_text().split()[1])
    assert abs(at - index) <= 2
    told = sorted(((value(run, at), run) for run in RUNS), reverse=True)
    assert panel.values == [(run, short(one)) for one, run in told]
    expect(panel.tip.locator(".chart-tip-row.here .chart-tip-name")).to_have_text("b")
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text(f"step {5 * at}")
    tip, box = panel.tip.bounding_box(), panel.box.bounding_box()
    assert tip
    assert box
    assert box["x"] <= tip["x"]
    assert tip["x"] + tip["width"] <= box["x"] + box["width"]
    assert box["y"] <= tip["y"]
    assert tip["y"] + tip["height"] <= box["y"] + box["height"]
    if share != 0.45:  # in the middle of a small panel there is no room beside it
        pointed = panel.at(plot.x(index, 0, N - 1), 0)[0]
        assert not tip["x"] <= pointed <= tip["x"] + tip["width"]


def test_a_panel_fills_the_page_with_values_that_are_exact(show: Callable[..., Any]) -> None:
    """Last, least and greatest of each run, and where: those of the data, also where buckets are drawn."""
    page, _ = show()
    Panel(page, "long").box.get_by_role("button", name="Fill the page").click()
    full = page.get_by_role("dialog", name="long")
    Panel(page, "long", full).drawn(re.compile(r"^4 runs · [\d,]+ of up to 6,000 points · min/max exact$"))
    assert words(page)["full"] == ["long"]
    for run in RUNS:
        data = noise(run)
        cells = (
            full.get_by_role("row").filter(has=page.get_by_role("rowheader", name=run, exact=True)).get_by_role("cell")
        )
        low, high = int(data.argmin()), int(data.argmax())
        expect(cells.nth(0)).to_have_attribute("title", repr(float(data[-1])))
        expect(cells.nth(1)).to_have_attribute("title", f"{float(data[low])!r} at index {low:,}")
        expect(cells.nth(2)).to_have_attribute("title", f"{float(data[high])!r} at index {high:,}")
    full.get_by_role("button", name="The next chart").click()
    expect(page.get_by_role("dialog", name="loss")).to_be_visible()
    in_address(page, full="loss")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "full" not in words(page)


def test_a_link_to_a_panel_that_fills_the_page_is_left_by_escape(show: Callable[..., Any]) -> None:
    """Also where nothing has been clicked yet, and a browser closes a dialog that would rather first undo its zoom."""
    page, watch = show(query="full=loss&zoom=10~20")
    # Whatever Playwright evaluates in the page counts as a click there: until Escape only its requests are looked at.
    for _ in range(400):
        if asked(watch):
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(1000)
    page.keyboard.press("Escape")
    in_address(page, zoom=None)
    page.wait_for_timeout(300)
    assert page.get_by_role("dialog", name="loss").is_visible() == ("full" in words(page))
    page.keyboard.press("Escape")
    in_address(page, full=None)
    Panel(page, "loss").box.get_by_role("button", name="Fill the page").click()
    expect(page.get_by_role("dialog", name="loss")).to_be_visible()


def save(panel: Panel, kind: str) -> tuple[str, bytes]:
    """The name and content of what "Save as" gives."""
    with panel.page.expect_download() as download:
        panel.press(f"Save as {kind}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_panel_is_saved_as_pictures(show: Callable[..., Any]) -> None:
    """PNG at twice the plot's size, SVG with the same lines as paths, in the runs' colours; both with names and title."""
    page, _ = show()
    panel = Panel(page, "loss").drawn(ALL)
    colors = [color_in_list(page, run) for run in RUNS]
    name, content = save(panel, "SVG")
    assert name == "loss.svg"
    svg = ET.fromstring(content)
    width, height = int(svg.attrib["width"]), int(svg.attrib["height"])
    assert {one.tag for one in svg.iter()} <= {SVG + tag for tag in ("svg", "g", "path", "text", "clipPath")}
    texts = [one.text for one in svg.iter(SVG + "text")]
    assert texts[:2] == ["loss", ALL]
    assert texts[-4:] == ["d", "c", "b", "a"]
    for color in colors:
        lines = [one.attrib["d"] for one in svg.iter(SVG + "path") if one.get("stroke") == color]
        assert max(line.count("L") for line in lines) == N - 1
    name, content = save(panel, "PNG")
    assert name == "loss.png"
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.size == (2 * width, 2 * height)
    pixels = np.asarray(image.convert("RGB")).astype(int)
    for color in colors:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).sum(axis=2) < 12).sum() > 300


def test_a_panel_is_saved_as_csv(show: Callable[..., Any], site: Site) -> None:
    """Its rows are the store's own sample, to the last digit."""
    page, watch = show()
    panel = Panel(page, "long").drawn(re.compile(r"^4 runs · [\d,]+ of up to 6,000 points · min/max exact$"))
    name, content = save(panel, "CSV")
    assert name == "long.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    points = next(one["max_points"] for one in asked(watch) if one["name"] == "long")
    store = LocalStore(site.root)
    for run in RUNS:
        sample = store.sample(SeriesKey(site.ids[run], "metrics", "long"), "value", None, 0, LONG, points)
        told = [row for row in rows if row["run"] == run]
        assert {row["run_id"] for row in told} == {site.ids[run]}
        columns = {
            "first_index": sample.start,
            "last_index": sample.stop - 1,
            "mean": sample.mean,
            "min": sample.min,
            "max": sample.max,
            "index_of_min": sample.argmin,
            "index_of_max": sample.argmax,
        }
        for column, wanted in columns.items():
            assert [float(row[column]) for row in told] == wanted.tolist(), column
    store.close()


def test_names_of_users_are_text_in_files(show: Callable[..., Any]) -> None:
    """Neither a script in the SVG, nor a formula in the CSV."""
    page, _ = show("evil")
    panel = Panel(page, EVIL).drawn("all 2 points")
    name, content = save(panel, "SVG")
    assert re.fullmatch(r"[\w.-]+\.svg", name)
    svg = ET.fromstring(content)
    assert not list(svg.iter(SVG + "script"))
    assert [one.text for one in svg.iter(SVG + "text")].count(EVIL) == 2
    _, content = save(panel, "CSV")
    assert [row["run"] for row in csv.DictReader(io.StringIO(content.decode()))] == [f"'{EVIL}"] * 2


def test_a_panel_is_shown_as_a_table(show: Callable[..., Any]) -> None:
    """Its numbers for who does not look at pictures: the runs one after the other, whole on hover."""
    page, _ = show(query="x=field:step")
    panel = Panel(page, "loss").drawn(ALL).says(re.compile(": step 0 to 995, "))
    panel.press("Show as table")
    dialog = page.get_by_role("dialog", name="loss")
    expect(dialog.get_by_text("The first 500 of 800 rows; the CSV has all.")).to_be_visible()
    rows = dialog.get_by_role("row")
    expect(rows).to_have_count(501)
    head = rows.first.get_by_role("columnheader").all_inner_texts()
    assert head[:7] == ["Run", "First index", "Last index", "x from", "x to", "Mean", "Min"]
    for row, run, i in ((1, "d", 0), (200, "d", 199), (201, "c", 0), (350, "c", 149)):
        cells = rows.nth(row).get_by_role("cell")
        assert cells.first.inner_text() == run
        titles = [cell.get_attribute("title") for cell in cells.all()[1:6]]
        assert [float(text or "nan") for text in titles] == [i, i, 5 * i, 5 * i, value(run, i)]
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_keyboard_reads_and_zooms(show: Callable[..., Any]) -> None:
    """Arrows go from point to point of a line, in words; + and - zoom around there; Enter fills the page."""
    page, _ = show()
    panel = Panel(page, "loss").drawn(ALL)
    panel.chart.focus()
    for key, index in (("ArrowRight", 0), ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10)):
        page.keyboard.press(key)
        expect(panel.spoken).to_have_text(f"d, index {index}, {short(value('d', index))}")
    for _ in range(8):
        page.keyboard.press("Shift+ArrowRight")
    expect(panel.spoken).to_have_text(f"d, index 90, {short(value('d', 90))}")
    page.keyboard.press("+")
    panel.says(re.compile(r": index 4[56] to 14\d, values "))
    # What is pointed at stays it, and stays where it is.
    page.keyboard.press("ArrowRight")
    expect(panel.spoken).to_have_text(f"d, index 91, {short(value('d', 91))}")
    page.keyboard.press("+")
    panel.says(re.compile(r": index 68 to 11\d, values "))
    page.keyboard.press("-")
    panel.says(re.compile(r": index 4[56] to 14\d, values "))
    page.keyboard.press("-")
    panel.says(re.compile(r": index 0 to 199, values "))
    in_address(page, zoom=None)
    page.keyboard.press("-")
    page.keyboard.press("+")
    panel.says(re.compile(r": index 4[56] to 14\d, values "))
    page.keyboard.press("Escape")
    in_address(page, zoom=None)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="loss")).to_be_visible()


def test_the_keyboard_stays_in_sight(show: Callable[..., Any]) -> None:
    """Zoomed in, the arrows end at the last point that is in the picture, and what is read is what the tooltip says."""
    page, _ = show(query="zoom=100~120")
    panel = Panel(page, "loss").says(re.compile(": index 100 to 120, "))
    panel.chart.focus()
    for key, index in (("ArrowRight", 100), ("ArrowLeft", 100), *(("Shift+ArrowRight", i) for i in (110, 120, 120))):
        page.keyboard.press(key)
        expect(panel.spoken).to_have_text(f"d, index {index}, {short(value('d', index))}")
        expect(panel.tip.locator(".chart-tip-title")).to_have_text(f"index {index}")


def test_groups_are_drawn_as_mean_and_spread(show: Callable[..., Any]) -> None:
    """The mean and the standard deviation of a group's runs at each place, as NumPy has them."""
    page, _ = show(query="group=params.lr")
    panel = Panel(page, "loss").drawn(ALL)
    page.get_by_role("switch", name="Mean ± std of groups").check(force=True)
    panel.drawn(re.compile("^2 means ± std of 4 runs · up to 200 points, all drawn$"))
    in_address(page, mean="1")
    _, content = save(panel, "CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    names = list(dict.fromkeys(row["run"] for row in rows))
    assert len(names) == 2
    for name in names:
        members = ["a", "c"] if name.endswith("0.1") else ["b", "d"]
        told = [row for row in rows if row["run"] == name]
        data = np.array([[value(run, i) for i in range(N)] for run in members])
        mean, spread = data.mean(axis=0), data.std(axis=0, ddof=1)
        for column, wanted in (("mean", mean), ("min", mean - spread), ("max", mean + spread)):
            np.testing.assert_allclose([float(row[column]) for row in told], wanted, rtol=1e-12, atol=1e-12)
    plot = panel.picture()
    panel.point(plot.x(100, 0, N - 1), plot.bottom / 2)
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text("mean of 2 runs, ±")
    assert len(panel.values) == 2


def test_where_a_run_began_again_is_marked(show: Callable[..., Any]) -> None:
    """A notch on the axis at the first index of the second attempt, and of a single run a faint line up."""
    page, _ = show("again")
    panel = Panel(page, "loss").drawn("all 113 points")
    soft = token(page, "--text-soft")
    for _ in range(200):
        plot = panel.picture()
        notch = plot.of(soft, 200)[plot.bottom - 6 : plot.bottom - 1].sum(axis=0)
        if notch.any():
            break
        page.wait_for_timeout(50)
    columns = np.flatnonzero(notch)
    assert columns.mean() == pytest.approx(plot.x(63, 0, 112), abs=1)
    line = plot.of(soft, 100)[10 : plot.bottom - 10]
    assert abs(np.flatnonzero(line.sum(axis=0) > 20) - plot.x(63, 0, 112)).max() <= 1


def test_a_run_has_its_colour_everywhere(show: Callable[..., Any], open_page: Opener, site: Site) -> None:
    """24 runs, 24 colours; each the same in the list, on the chart, in the table and on the run's own page."""
    listing = site.server.url + "/api/v1/table?project=colors"
    page, _ = show("colors")
    names = [f"run-{i:02}" for i in range(24)]
    page.get_by_role("button", name="Which runs are drawn").or_(page.get_by_text("20 of 24 drawn")).first.click()
    page.get_by_role("menuitem", name="Draw all 24").click()
    panel = Panel(page, "flat").drawn("24 runs · up to 20 points, all drawn")
    colors = {name: color_in_list(page, name) for name in names}
    assert len(set(colors.values())) == 24
    plot = panel.picture()
    column = round(plot.x(9.5, 0, 19))
    for i, name in enumerate(names):
        row = plot.y(i, 0, 23)
        near = plot.of(colors[name], 60)[round(row) - 2 : round(row) + 3, column]
        assert near.any(), name
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Table").click()
    for name in (names[0], names[13], names[23]):
        row_of = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
        expect(row_of.locator("circle").first).to_have_attribute("fill", colors[name])
    answer = json.loads(page.request.get(listing).body())
    run = answer["runs"]["id"][answer["runs"]["name"].index(names[13])]
    own, _ = open_page(site.server.url, f"/run/{run}")
    expect(_dot(own)).to_have_attribute("fill", colors[names[13]])
    dark, _ = show("colors", color_scheme="dark")
    assert color_in_list(dark, names[23]) != colors[names[23]]


def _dot(page: Page) -> Locator:
    return page.locator("main circle, header circle").first
