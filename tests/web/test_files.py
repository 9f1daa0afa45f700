"""A run's files: found in their tree, looked at, downloaded as they are; and never a page of ours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from ml_dash import Experiment
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch, opened
from tests.web.runs import picture, tone, write
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]

RUNS = "document.title = 'ran'; localStorage.ran = 1; fetch('/api/v1/ran'); alert('ran')"
HTML = f'<!doctype html><title>page</title><script>{RUNS}</script><img src="data:," onerror="{RUNS}"><h1>big</h1>'
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40" onload="' + RUNS.replace("'", "&apos;") + '">'
    f'<script>{RUNS}</script><rect width="60" height="40" fill="#00c800"/></svg>'
)
TEXT = "first line\n<b>not bold</b>\n" + "".join(f"line {i}\n" for i in range(3, 40_001))
CONTENT: dict[str, bytes] = {
    "pictures/red.png": picture(40, 30, (200, 0, 0)),
    **{f"samples/step_{step}.png": picture(32, 32, (0, 0, shade)) for step, shade in ((1, 50), (10, 150), (2, 250))},
    "results/deep/result.json": json.dumps({"accuracy": 0.93, "classes": ["cat", "dog"], "deep": {"a": [1]}}).encode(),
    "results/table.csv": b'step,name,loss\n1,"a, b",0.5\n2,<i>c</i>,0.25\n',
    "notes.txt": TEXT.encode(),
    "sound.wav": tone(),
    "page.html": HTML.encode(),
    "drawing.svg": SVG.encode(),
    "weights.bin": bytes(range(256)) * 40,
    "gr\u00f6\u00dfe \u6a21\u578b.bin": b"\x00\x01",
    "empty.txt": b"",
    "broken.json": b'{"a": ',
}


class Site(NamedTuple):
    server: ServerProcess
    root: Path
    run: str
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("files")
    ids = {}
    with Experiment("files", "digits", local_path=root / "runs").run as run:
        for name, content in CONTENT.items():
            prefix = "/" + name.rpartition("/")[0]
            about: dict[str, Any] = {"tags": ["best"], "metadata": {"epoch": 3}} if name == "weights.bin" else {}
            saved = run.file(os.fspath(write(root, name, content)), prefix=prefix, **about).save()
            ids[name] = saved["id"]
        assert run.id is not None
        made = run.id
    with dashboard(root / "runs") as server:
        yield Site(server, root / "runs", made, ids)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., Page]:
    def shown(query: str = "", **context: Any) -> Page:
        return open_page(site.server.url, f"/run/{site.run}?tab=files{query and '&'}{query}", **context)[0]

    return shown


def names(page: Page) -> list[str]:
    return page.get_by_role("tree", name="Files").locator(".file-name").all_inner_texts()


def pixel(page: Page, name: str, x: int, y: int) -> list[int]:
    """Red, green, blue and opacity of a picture in the page, once it is there."""
    found = page.get_by_role("img", name=name).evaluate(
        """async (img, [x, y]) => {
            await img.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(img, 0, 0);
            return [...context.getImageData(x, y, 1, 1).data];
        }""",
        [x, y],
    )
    assert isinstance(found, list)
    return found


def test_files_are_a_tree(show: Callable[..., Page], site: Site) -> None:
    """Folders first, numbers in names in their order; folders open and close; a search finds by path and tags."""
    page = show()
    files = page.get_by_role("tree", name="Files")
    expect(files.get_by_role("treeitem")).to_have_count(len(CONTENT) + 4)
    assert names(page) == [
        *("pictures", "red.png", "results", "deep", "result.json", "table.csv"),
        *("samples", "step_1.png", "step_2.png", "step_10.png"),
        *(
            "broken.json",
            "drawing.svg",
            "empty.txt",
            "gr\u00f6\u00dfe \u6a21\u578b.bin",
            "notes.txt",
            "page.html",
            "sound.wav",
        ),
        "weights.bin",
    ]
    total = sum(map(len, CONTENT.values()))
    expect(page.locator(".file-sum")).to_contain_text(f"{len(CONTENT)} files")
    assert total > 400_000
    files.focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(files.get_by_role("treeitem")).to_have_count(len(CONTENT) + 1)
    search = page.get_by_role("textbox", name="Search files")
    search.fill("best")
    expect(files.locator(".file-name")).to_have_text(["weights.bin"])
    search.fill("deep/res")
    expect(files.locator(".file-name")).to_have_text(["results", "deep", "result.json"])
    files.get_by_text("result.json").click()
    expect(page.get_by_role("article", name="result.json")).to_be_visible()
    expect(page).to_have_url(
        f"{site.server.url}/run/{site.run}?tab=files&find=deep%2Fres&file=results%2Fdeep%2Fresult.json"
    )


def test_a_picture(show: Callable[..., Page]) -> None:
    """It is drawn, with its size."""
    page = show("file=pictures/red.png")
    assert pixel(page, "The picture pictures/red.png", 20, 15) == [200, 0, 0, 255]
    expect(page.get_by_text("40 × 30")).to_be_visible()


def test_pictures_of_many_steps(show: Callable[..., Page]) -> None:
    """Those whose names differ by a number are one, with a slider over the steps in their order."""
    page = show("folder=samples")
    expect(page.locator(".picture-card")).to_have_count(1)
    page.get_by_role("link", name="step_*.png").click()
    slider = page.get_by_role("slider", name="Step of step_*.png")
    expect(slider).to_have_attribute("aria-valuetext", "step 10")
    assert pixel(page, "The picture samples/step_10.png", 5, 5) == [0, 0, 150, 255]
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "step 2")
    assert pixel(page, "The picture samples/step_2.png", 5, 5) == [0, 0, 250, 255]


def test_a_text(show: Callable[..., Page]) -> None:
    """Its beginning, line by line, as text; more is fetched when it is asked for."""
    page = show("file=notes.txt")
    lines = page.locator(".text-code")
    expect(lines.nth(1)).to_have_text("<b>not bold</b>")
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500
    page.get_by_role("button", name=re.compile("^Show .* more$")).click()
    expect(page.get_by_text("40,000 lines")).to_be_visible()
    page.get_by_role("region", name="Text of notes.txt").focus()
    page.keyboard.press("End")
    expect(lines.get_by_text("line 40000", exact=True)).to_be_in_viewport()


def test_json_is_a_tree(show: Callable[..., Page]) -> None:
    """Level by level; what is no JSON is shown as text, and said to be none."""
    page = show("file=results/deep/result.json")
    tree = page.get_by_role("tree", name="result.json")
    expect(tree.get_by_role("treeitem").filter(has_text="accuracy")).to_contain_text("0.93")
    page.get_by_role("button", name="Open all").click()
    expect(tree.get_by_role("treeitem").filter(has_text='"dog"')).to_be_visible()
    page = show("file=broken.json")
    expect(page.get_by_text("This is no JSON that can be read")).to_be_visible()
    expect(page.locator(".text-code")).to_have_text(['{"a": '])


def test_csv_is_a_table(show: Callable[..., Page]) -> None:
    """Quoted cells are one cell, and markup is text."""
    page = show("file=results/table.csv")
    rows = page.get_by_role("table", name="Rows of table.csv").get_by_role("row")
    expect(rows).to_have_count(3)
    assert rows.first.get_by_role("columnheader").all_inner_texts() == ["#", "step", "name", "loss"]
    assert [row.get_by_role("cell").all_inner_texts() for row in rows.all()[1:]] == [
        ["1", "a, b", "0.5"],
        ["2", "<i>c</i>", "0.25"],
    ]
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.locator(".text-code").nth(1)).to_have_text('1,"a, b",0.5')


def test_a_sound(show: Callable[..., Page]) -> None:
    """It can be played: the browser has read its length."""
    page = show("file=sound.wav")
    seconds = page.locator("audio").evaluate(
        """(audio) => new Promise((done, failed) => {
            audio.onerror = () => failed(new Error("it cannot be played"));
            if (audio.readyState) done(audio.duration);
            else audio.onloadedmetadata = () => done(audio.duration);
        })"""
    )
    assert seconds == 0.5


def test_what_has_no_preview(show: Callable[..., Page]) -> None:
    """It says so, and what is kept of the file is there all the same."""
    page = show("file=weights.bin")
    expect(page.get_by_text("No preview of this kind of file")).to_be_visible()
    expect(page.locator(".file-facts .tag-text")).to_have_text(["best"])
    page.get_by_text("Metadata", exact=True).last.click()
    expect(page.get_by_role("article")).to_contain_text('"epoch": 3')
    page = show("file=empty.txt")
    expect(page.get_by_text("The file is empty")).to_be_visible()
    page = show("file=none.txt")
    expect(page.get_by_text("There is no such file")).to_be_visible()


@pytest.mark.parametrize("name", ["weights.bin", "page.html", "gr\u00f6\u00dfe \u6a21\u578b.bin", "results/table.csv"])
def test_a_download_has_the_same_bytes(show: Callable[..., Page], tmp_path: Path, name: str) -> None:
    """Whatever it is, byte for byte, under its own name."""
    page = show()
    page.get_by_role("treeitem").filter(has=page.get_by_text(name.rpartition("/")[2], exact=True)).click()
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download").click()
    assert caught.value.suggested_filename == name.rpartition("/")[2]
    caught.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == CONTENT[name]


def ran(page: Page, watch: Watch) -> list[str]:
    """What the scripts of the files above would have done."""
    asked = [one.url for one in watch.requests if one.url.endswith("/ran")]
    return [*asked, *(["storage"] if page.evaluate("'ran' in localStorage") else []), *watch.wrong]


@pytest.mark.parametrize("name", ["page.html", "drawing.svg"])
def test_no_script_of_a_file_runs_where_it_is_shown(site: Site, open_page: Opener, name: str) -> None:
    """A page is shown as its text, a drawing as a picture: neither's scripts run."""
    page, watch = open_page(site.server.url, f"/run/{site.run}?tab=files&file={name}")
    if name == "page.html":
        expect(page.locator(".text-code")).to_have_text([HTML])
        expect(page.get_by_role("heading", name="big")).to_have_count(0)
    else:
        assert pixel(page, "The picture drawing.svg", 30, 20) == [0, 200, 0, 255]
        page.get_by_role("button", name="Text", exact=True).click()
        expect(page.locator(".text-code")).to_have_text([SVG])
    assert page.locator("iframe, object, embed").count() == 0
    assert ran(page, watch) == []


@pytest.mark.parametrize("name", ["page.html", "drawing.svg"])
def test_no_script_of_a_file_runs_at_its_own_address(site: Site, browser: Browser, name: str) -> None:
    """The browser saves it, and stays where it was."""
    with opened(browser, site.server.url) as (page, watch):
        page.goto("/")
        address = f"/api/v1/runs/{site.run}/files/{site.ids[name]}/bytes"
        with page.expect_download() as caught, pytest.raises(Error, match="Download is starting"):
            page.goto(address)
        assert caught.value.suggested_filename == name
        expect(page).to_have_url(f"{site.server.url}/")
        assert ran(page, watch) == []


@pytest.mark.parametrize("name", ["page.html", "drawing.svg"])
def test_no_script_of_a_file_runs_where_it_is_opened_all_the_same(site: Site, browser: Browser, name: str) -> None:
    """A browser that shows it instead of saving it runs nothing of it, and gives it nothing of our origin."""

    def shown(route: Route) -> None:
        answer = route.fetch()
        headers = {key: value for key, value in answer.headers.items() if key != "content-disposition"}
        route.fulfill(response=answer, headers=headers)

    with opened(browser, site.server.url) as (page, watch):
        watch.allow("Blocked script execution")
        page.route("**/bytes", shown)
        page.goto(f"/api/v1/runs/{site.run}/files/{site.ids[name]}/bytes")
        assert page.evaluate("document.documentElement.tagName.toLowerCase()") == name.partition(".")[2]
        assert page.title() != "ran"
        assert page.evaluate("window.origin") == "null"
        assert [one.url for one in watch.requests if one.url.endswith("/ran")] == []


def test_a_file_that_is_added_appears(site: Site, open_page: Opener, tmp_path: Path) -> None:
    """To an open page, by itself, while somebody is in the run: in its files and among the newest pictures."""
    with Experiment("grows", "digits", local_path=site.root).run as run:
        run.file(os.fspath(write(tmp_path, "first.txt", b"1"))).save()
        files, _ = open_page(site.server.url, f"/run/{run.id}?tab=files")
        overview, _ = open_page(site.server.url, f"/run/{run.id}")
        expect(files.locator(".file-name")).to_have_text(["first.txt"])
        expect(overview.get_by_role("link", name="1 file", exact=False)).to_be_visible()
        run.file(os.fspath(write(tmp_path, "second.png", picture(8, 8, (1, 2, 3))))).save()
        expect(files.locator(".file-name")).to_have_text(["first.txt", "second.png"])
        expect(overview.get_by_role("link", name="second.png")).to_be_visible()


def test_a_file_that_comes_through_the_server_appears(site: Site, open_page: Opener) -> None:
    """To an open page, also where nobody is in the run."""
    with Experiment("rests", "digits", local_path=site.root).run as run:
        files, _ = open_page(site.server.url, f"/run/{run.id}?tab=files")
    expect(files.get_by_text("COMPLETED").first).to_be_visible()
    place = f"{site.server.url}/api/v1/runs/{run.id}/files"
    octets = {"Content-Type": "application/octet-stream"}
    shown: list[str] = []
    for name in ("first.txt", "second.txt"):  # the first may come before the page listens
        put = quote(json.dumps({"filename": name}))
        assert files.request.post(f"{place}?put={put}", data=b"1", headers=octets).ok
        shown.append(name)
        expect(files.locator(".file-name")).to_have_text(shown)
