"""What happens while a page is open: points and runs appear by themselves, only what is new is asked for, and nothing is missed,
whether the page was hidden or the server was away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from ml_dash.store.local import LocalStore
from tests.server.processes import SOURCE, ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import Panel, asked, color_in_list
from tests.web.runs import many_series

Opener = Callable[..., tuple[Page, Watch]]
Serve = Callable[..., ServerProcess]

WRITER = """
import sys
from ml_dash import Experiment
with Experiment(sys.argv[2], "live", local_path=sys.argv[1]).run as run:
    print(run.id, flush=True)
    for line in sys.stdin:
        metric, *values = line.split()
        run.metrics(metric).append_batch([{"value": float(value)} for value in values])
        print("done", flush=True)
"""


class Writer:
    """A process of its own that writes a run into a folder."""

    def __init__(self, root: Path, name: str) -> None:
        command = [sys.executable, "-c", WRITER, os.fspath(root), name]
        env = os.environ | {"PYTHONPATH": SOURCE}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.run = self._said()

    def append(self, metric: str, *values: float) -> None:
        """Append them; they are in the folder when this is over."""
        self._in.write(f"{metric} {' '.join(map(str, values))}\n")
        self._in.flush()
        assert self._said() == "done"

    def end(self) -> None:
        """Let the run be completed."""
        self._in.close()
        assert self.process.wait(60) == 0

    def close(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                if pipe:
                    pipe.close()

    @property
    def _in(self) -> IO[str]:
        assert self.process.stdin
        return self.process.stdin

    def _said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def writer(root: Path) -> Iterator[Writer]:
    made = Writer(root, "writing")
    yield made
    made.close()


def drawn_at_end(panel: Panel) -> float:
    """How high (0 … 1 of the plot) the line is at its right end."""
    plot = panel.picture()
    found = plot.of(color_in_list(panel.page, "writing"))[: plot.bottom, plot.right - 3 : plot.right]
    rows = np.flatnonzero(found.any(axis=1))
    assert len(rows)
    return float(1 - rows[0] / plot.bottom)


def live(page: Page, word: str) -> Locator:
    """The word beside the dot in the bar."""
    return page.locator("header .live-word").get_by_text(word, exact=True)


def is_live(page: Page) -> None:
    expect(live(page, "Live")).to_be_visible()


def test_a_point_of_another_process_appears(writer: Writer, root: Path, serve: Serve, open_page: Opener) -> None:
    """It is found in the folder: the caption counts it, the line goes to it, and nothing but it is asked for."""
    writer.append("loss", *[0.0] * 40)
    page, watch = open_page(serve(root).url, "/p/live")
    panel = Panel(page, "loss").drawn("all 40 points")
    is_live(page)
    assert drawn_at_end(panel) < 0.6
    before = len(asked(watch))
    writer.append("loss", 5.0)
    panel.drawn("all 41 points").says(re.compile(": index 0 to 40, "))
    assert drawn_at_end(panel) > 0.9
    assert [(one["start"], one["stop"], one["width"]) for one in asked(watch)[before:]] == [(40, None, 1)]
    writer.append("loss", 10.0)
    panel.drawn("all 42 points")
    assert [one["start"] for one in asked(watch)[before:]] == [40, 41]


def test_a_point_through_the_server_appears(root: Path, serve: Serve, open_page: Opener) -> None:
    """Its writer is far away, and is heard of at once: the same is seen, and as little asked for."""
    server = serve(root)
    with Experiment("writing", "live", remote=server.url).run as run:
        run.metrics("loss").append_batch([{"value": 0.0} for _ in range(40)])
        run.flush()
        page, watch = open_page(server.url, "/p/live")
        panel = Panel(page, "loss").drawn("all 40 points")
        is_live(page)
        before = len(asked(watch))
        run.metrics("loss").append(value=5.0)
        run.flush()
        panel.drawn("all 41 points")
        assert drawn_at_end(panel) > 0.9
        assert [one["start"] for one in asked(watch)[before:]] == [40]


def test_a_long_series_goes_on_at_its_last_bucket(writer: Writer, root: Path, serve: Serve, open_page: Opener) -> None:
    """Of a series of buckets only the last is made anew, at the same width; a spike that comes is in the picture at once."""
    writer.append("loss", *[0.5, 1.0] * 10_000)
    page, watch = open_page(serve(root).url, "/p/live")
    panel = Panel(page, "loss").drawn(re.compile("^[\\d,]+ of 20,000 points · min/max exact$"))
    is_live(page)
    before = len(asked(watch))
    writer.append("loss", *[0.5] * 10, 100.0)
    panel.drawn(re.compile("^[\\d,]+ of 20,011 points · min/max exact$"))
    more = asked(watch)[before:]
    assert len(more) == 1
    assert more[0]["width"] > 1
    assert 20_000 - more[0]["width"] <= more[0]["start"] <= 20_000
    assert more[0]["start"] % more[0]["width"] == 0
    assert drawn_at_end(panel) > 0.9


def test_new_runs_and_series_appear(writer: Writer, root: Path, serve: Serve, open_page: Opener) -> None:
    """A run that begins is in the list and drawn; a series' first point makes its panel; the end of a run is seen."""
    writer.append("loss", 1.0, 2.0)
    page, _ = open_page(serve(root).url, "/p/live")
    Panel(page, "loss").drawn("all 2 points")
    is_live(page)
    entries = page.get_by_role("list", name="Runs").get_by_role("listitem")
    expect(entries).to_have_count(1)
    other = Writer(root, "second")
    try:
        other.append("loss", *[3.0] * 5)
        expect(entries).to_have_count(2)
        expect(entries.first.get_by_role("link")).to_have_text("second")
        Panel(page, "loss").drawn("2 runs · up to 5 points, all drawn")
        writer.append("accuracy", 0.5, 0.6, 0.7)
        Panel(page, "accuracy").drawn("all 3 points")
        expect(entries.first.get_by_text("Running")).to_have_count(1)
        other.end()
        expect(entries.first.get_by_text("Completed")).to_have_count(1)
    finally:
        other.close()


def test_a_deleted_run_disappears(root: Path, serve: Serve, open_page: Opener) -> None:
    """Deleted elsewhere it leaves the list and the charts; the colours of the others stay theirs."""
    ids = [
        many_series(root, name, "live", {"loss": [{"value": 1.0}, {"value": 2.0}]}) for name in ("one", "two", "three")
    ]
    server = serve(root)
    page, _ = open_page(server.url, "/p/live")
    Panel(page, "loss").drawn("3 runs · up to 2 points, all drawn")
    is_live(page)
    assert page.request.delete(f"{server.url}/api/v1/runs/{ids[1]}").ok
    expect(page.get_by_role("list", name="Runs").get_by_role("link", name="two")).to_have_count(0)
    Panel(page, "loss").drawn("2 runs · up to 2 points, all drawn")
    store = LocalStore(root)
    store.delete_run(ids[0])
    store.close()
    expect(page.get_by_role("list", name="Runs").get_by_role("listitem")).to_have_count(1)
    Panel(page, "loss").drawn("all 2 points")


def test_an_idle_page_asks_for_nothing(root: Path, serve: Serve, open_page: Opener) -> None:
    """Five seconds in which nothing happens cost no request."""
    many_series(root, "writing", "live", {"loss": [{"value": 1.0}] * 40})
    page, watch = open_page(serve(root).url, "/p/live")
    Panel(page, "loss").drawn("all 40 points")
    is_live(page)
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)
    before = len(watch.requests)
    page.wait_for_timeout(5000)
    assert [one.url for one in watch.requests[before:]] == []


def look(page: Page, state: str) -> None:
    """What the browser tells a page whose tab comes to the front, or leaves it."""
    page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", {configurable: true, get: () => state});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def streams(watch: Watch) -> list[str]:
    return [one.url for one in watch.requests if "/api/v1/live" in one.url]


def test_a_hidden_page_listens_no_more_and_misses_nothing(
    writer: Writer, root: Path, serve: Serve, open_page: Opener
) -> None:
    """It closes its stream and asks for nothing; looked at again it has all that came meanwhile, also from a run that has ended."""
    writer.append("loss", *[0.0] * 40)
    page, watch = open_page(serve(root).url, "/p/live")
    panel = Panel(page, "loss").drawn("all 40 points")
    is_live(page)
    closed: list[Any] = []
    page.on("requestfailed", lambda request: closed.append(request.url))
    page.on("requestfinished", lambda request: closed.append(request.url))
    look(page, "hidden")
    expect(page.locator("header .live-word")).to_have_count(0)
    for _ in range(400):
        if any("/api/v1/live" in url for url in closed):
            break
        page.wait_for_timeout(50)
    assert any("/api/v1/live" in url for url in closed)
    before, began = len(watch.requests), len(streams(watch))
    writer.append("loss", *[5.0] * 10)
    writer.end()
    page.wait_for_timeout(1500)
    # Of what was on its way when it was hidden the table may still come.
    assert [one.url for one in watch.requests[before:] if "/table" not in one.url] == []
    look(page, "visible")
    is_live(page)
    assert len(streams(watch)) == began + 1
    panel.drawn("all 50 points")
    assert drawn_at_end(panel) > 0.9
    expect(page.get_by_role("list", name="Runs").get_by_text("Completed")).to_have_count(1)


def test_a_series_that_outgrew_a_hidden_page_is_whole_again(
    writer: Writer, root: Path, serve: Serve, open_page: Opener
) -> None:
    """More points than a continuation may bring came meanwhile: all of it is asked for, at the width that fits."""
    writer.append("loss", *[0.0] * 40)
    page, watch = open_page(serve(root).url, "/p/live")
    panel = Panel(page, "loss").drawn("all 40 points")
    is_live(page)
    look(page, "hidden")
    expect(page.locator("header .live-word")).to_have_count(0)
    writer.append("loss", *[0.5] * 12_000, 5.0)
    look(page, "visible")
    panel.drawn(re.compile("^[\\d,]+ of 12,041 points · min/max exact$"))
    assert drawn_at_end(panel) > 0.9
    assert (0, None, None) in {(one["start"], one["stop"], one.get("width")) for one in asked(watch)[1:]}


def test_a_server_that_was_away_is_come_back_to(writer: Writer, root: Path, serve: Serve, open_page: Opener) -> None:
    """The page says that it is not live, keeps what it shows, comes back by itself, and has every point that was written meanwhile."""
    server = serve(root)
    writer.append("loss", *[0.0] * 40)
    page, watch = open_page(server.url, "/p/live")
    panel = Panel(page, "loss").drawn("all 40 points")
    is_live(page)
    watch.allow("ERR_")
    server.kill()
    expect(live(page, "Not live").or_(live(page, "Connecting"))).to_be_visible()
    writer.append("loss", *[1.0] * 20)
    expect(panel.caption).to_have_text("all 40 points")
    server.restart()
    is_live(page)
    panel.drawn("all 60 points").says(re.compile(": index 0 to 59, "))
    writer.append("loss", 9.0)
    panel.drawn("all 61 points")
    assert drawn_at_end(panel) > 0.9


def test_a_run_that_is_gone_meanwhile_leaves_the_page(root: Path, serve: Serve, open_page: Opener) -> None:
    """What was deleted and what was made while the server was away is as it is when the page is back."""
    gone = many_series(root, "gone", "live", {"loss": [{"value": 1.0}] * 3})
    many_series(root, "stays", "live", {"loss": [{"value": 1.0}] * 3})
    server = serve(root)
    page, watch = open_page(server.url, "/p/live")
    Panel(page, "loss").drawn("2 runs · up to 3 points, all drawn")
    is_live(page)
    watch.allow("ERR_")
    server.kill()
    store = LocalStore(root)
    store.delete_run(gone)
    store.close()
    many_series(root, "new", "live", {"loss": [{"value": 1.0}] * 7})
    server.restart()
    is_live(page)
    names = page.get_by_role("list", name="Runs").get_by_role("link")
    expect(names).to_have_text(["new", "stays"])
    Panel(page, "loss").drawn("2 runs · up to 7 points, all drawn")
