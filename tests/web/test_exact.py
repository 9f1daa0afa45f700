"""A spike of one point among 200,000: it is in the picture at every zoom, and may be followed to its exact index, step and value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel, asked, color_in_list, in_address, words
from tests.web.runs import many_series
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
N = 200_000
AT = 123_457
SPIKE = 97.625
OVERVIEW = re.compile(r"^[\d,]+ of 200,000 points · min/max exact$")


class Site(NamedTuple):
    server: ServerProcess
    values: np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("exact") / "runs"
    values = 1 + 0.1 * np.random.default_rng(7).standard_normal(N)
    values[AT] = SPIKE
    many_series(root, "spike", "spike", {"loss": [{"value": float(v), "step": 3 * i} for i, v in enumerate(values)]})
    with dashboard(root) as server:
        yield Site(server, values)


@pytest.fixture
def shown(site: Site, open_page: Opener) -> tuple[Page, Watch, Panel]:
    page, watch = open_page(site.server.url, "/p/spike")
    return page, watch, Panel(page, "loss").drawn(OVERVIEW)


def spike_columns(panel: Panel) -> np.ndarray[Any, Any]:
    """The px of x at which there is anything of the run's colour in the upper quarter of the plot, far above the noise."""
    plot = panel.picture()
    return np.flatnonzero(plot.of(color_in_list(panel.page, "spike"))[: plot.bottom // 4].any(axis=0))


def closer(panel: Panel, low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """Zoom by a drag around the spike, as wide as `share` of the plot; what the address then says is in sight."""
    plot = panel.picture()
    middle = plot.x(AT, low, high)
    reach = max(8, share * (plot.right - plot.left) / 2)
    before = words(panel.page).get("zoom")
    panel.drag(max(plot.left, middle - reach), min(plot.right, middle + reach))
    for _ in range(400):
        if words(panel.page).get("zoom", before) != before:
            break
        panel.page.wait_for_timeout(50)
    start, end = (float(one) for one in words(panel.page)["zoom"][0].split("~"))
    assert low <= start < AT < end <= high
    assert end - start < (high - low) / 2
    panel.says(re.compile(rf": index {rounded(start):,} to {rounded(end):,}, values "))
    return start, end


def rounded(value: float) -> int:
    """As JavaScript rounds."""
    return math.floor(value + 0.5)


def test_the_spike_is_in_the_overview_at_its_place(shown: tuple[Page, Watch, Panel]) -> None:
    """One column of pixels, from the noise up to the value, where the index is; and nothing else is that high."""
    _, watch, panel = shown
    plot = panel.picture()
    columns = spike_columns(panel)
    assert 1 <= len(columns) <= 3
    assert columns.mean() == pytest.approx(plot.x(AT, 0, N - 1), abs=2)
    color = color_in_list(panel.page, "spike")
    top = np.flatnonzero(plot.of(color).any(axis=1))[0]
    assert top == pytest.approx(plot.y(SPIKE, 0.5, SPIKE), abs=2)
    assert [(one["start"], one["stop"]) for one in asked(watch)] == [(0, None)]


def test_zooming_goes_to_the_very_point(shown: tuple[Page, Watch, Panel], site: Site) -> None:
    """Each drag asks for samples of just that range, until every point is drawn: the tooltip tells the spike's index, step and value."""
    page, watch, panel = shown
    low, high = 0.0, N - 1.0
    for _ in range(5):
        before = len(asked(watch))
        low, high = closer(panel, low, high)
        ranges = [(one["start"], one["stop"]) for one in asked(watch)[before:]]
        assert (int(low) - 1, -int(-high // 1) + 2) in ranges
        columns = spike_columns(panel)
        assert columns.mean() == pytest.approx(panel.picture().x(AT, low, high), abs=3)
        if high - low < 200:
            break
    panel.drawn(re.compile(r"^all \d+ points here$"))
    plot = panel.picture()
    panel.point(plot.x(AT, low, high), plot.y(SPIKE, 1, SPIKE))
    expect(panel.tip.locator(".chart-tip-title")).to_have_text(f"index {AT:,}")
    assert panel.values == [("spike", "97.625")]
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text(f"step {3 * AT:,}")
    # Its neighbours are noise, and are told as exactly.
    panel.chart.focus()
    page.keyboard.press("ArrowRight")
    expect(panel.spoken).to_have_text(f"spike, index {AT + 1:,}, {float(f'{site.values[AT + 1]:.5g}')}")


def test_the_bucket_tells_where_its_extremes_are(shown: tuple[Page, Watch, Panel]) -> None:
    """Without any zoom: a bucket of hundreds of points says its greatest value, and the index of it."""
    _, _, panel = shown
    plot = panel.picture()
    panel.point(plot.x(AT, 0, N - 1), 40)
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text(f"max 97.625 at index {AT:,}")


def test_by_step_it_is_found_as_well(site: Site, open_page: Opener) -> None:
    """Where x is a field, closer samples are found through what the wider ones tell of it."""
    page, _ = open_page(site.server.url, f"/p/spike?x=field:step&zoom={3 * AT - 60}~{3 * AT + 60}")
    panel = Panel(page, "loss").drawn(re.compile(r"^all \d+ points here$"))
    panel.says(re.compile(rf": step {3 * AT - 60:,} to {3 * AT + 60:,}, values "))
    plot = panel.picture()
    panel.point(plot.x(3 * AT, 3 * AT - 60, 3 * AT + 60), plot.y(SPIKE, 1, SPIKE))
    expect(panel.tip.locator(".chart-tip-title")).to_have_text(f"step {3 * AT:,}")
    assert panel.values == [("spike", "97.625")]
    expect(panel.tip.locator(".chart-tip-detail")).to_contain_text(f"index {AT:,}")


def test_back_undoes_a_zoom_and_a_link_opens_it(
    shown: tuple[Page, Watch, Panel], site: Site, open_page: Opener
) -> None:
    """The picture after "back" is the one before the zoom, pixel by pixel; the address of the zoom opens the same elsewhere."""
    page, _, panel = shown
    overview = panel.picture()
    low, high = closer(panel, 0, N - 1)
    panel.drawn(re.compile(r"^[\d,]+ of [\d,]+ points here · min/max exact$"))
    page.mouse.move(5, 5)
    expect(panel.tip).to_be_hidden()
    zoomed, link = panel.picture(), page.url.removeprefix(site.server.url)
    caption = panel.caption.inner_text()
    again, _ = open_page(site.server.url, link)
    other = Panel(again, "loss").drawn(caption)
    other.says(panel.chart.get_attribute("aria-label") or "")
    assert (other.picture().pixels == zoomed.pixels).all()
    page.go_back()
    assert "zoom" not in words(page)
    panel.drawn(OVERVIEW).says(re.compile(r": index 0 to 199,999, values "))
    assert (panel.picture().pixels == overview.pixels).all()
    page.go_forward()
    panel.says(re.compile(rf": index {rounded(low):,} to {rounded(high):,}, values "))
    panel.chart.dblclick(position={"x": 200, "y": 60})
    in_address(page, zoom=None)
    panel.drawn(OVERVIEW)
    page.go_back()
    page.get_by_role("toolbar", name="Charts").get_by_role("button", name="Reset zoom").click()
    in_address(page, zoom=None)
    page.go_back()
    panel.says(re.compile(rf": index {rounded(low):,} to {rounded(high):,}, values "))
    page.keyboard.press("Escape")
    in_address(page, zoom=None)


def test_no_digits_that_say_nothing_are_in_the_address(shown: tuple[Page, Watch, Panel]) -> None:
    page, _, panel = shown
    closer(panel, 0, N - 1)
    assert re.fullmatch(r"\d+~\d+", words(page)["zoom"][0])
