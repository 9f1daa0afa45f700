"""Markup in every text that a user can give: on every view it is that text, and nothing of it runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Page, expect

from ml_dash import Experiment
from tests.server.processes import ServerProcess
from tests.web.chromium import PHONE, Watch
from tests.web.runs import write
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]


def name(place: str) -> str:
    """Markup that may be a name: without a slash."""
    return f"<img src=x onerror=\"ran='{place}'\">&lt;{place}"


def text(place: str) -> str:
    """Markup that may be any text."""
    return f"</pre></textarea><script>ran='{place}'</script>{name(place)}"


PROJECT, RUN = name("project"), name("run")
HARM = """() => {
    const wrong = [...document.querySelectorAll("*")].filter((one) =>
        [...one.attributes].some((attribute) => attribute.name.startsWith("on"))
        || ["iframe", "object", "embed", "base", "form[action]"].some((kind) => one.matches(kind))
        || (one.matches("script") && !/^\\/assets\\//.test(one.getAttribute("src") ?? ""))
        || /^(x|javascript:.*)$/.test(one.getAttribute("src") ?? one.getAttribute("href") ?? ""));
    return ["ran" in window ? `ran: ${window.ran}` : "", ...wrong.map((one) => one.outerHTML)].filter(Boolean);
}"""
"""What is on the page that no text of a user's may make."""


class Site(NamedTuple):
    server: ServerProcess
    run: str
    other: str

    def project(self, **words: Any) -> str:
        return f"/p/{quote(PROJECT, safe='')}" + (f"?{urlencode(words, doseq=True)}" if words else "")

    def tab(self, tab: str, **words: Any) -> str:
        return f"/run/{self.run}?{urlencode({'tab': tab, **words}, doseq=True)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("text")
    root = folder / "runs"
    ids: list[str] = []
    for run_name, value in ((name("other"), text("other value")), (RUN, text("param value"))):
        with Experiment(
            run_name,
            PROJECT,
            local_path=root,
            description=text("notes"),
            tags=[name("tag"), text("second tag")],
            metadata={text("meta key"): {"deep": text("meta value")}},
        ).run as run:
            run.params.set({name("param key"): value, "lr": 0.1 * (1 + len(ids))})
            run.metrics(name("metric")).append_batch(
                [{name("field"): i * (1 + len(ids)), "value": i, "step": i} for i in range(20)]
            )
            run.metrics("texts").append(value=1, said=text("said"))
            run.log(text("message"), level="warn", metadata={text("log key"): text("log value")})
            run.log("\x1b[31m" + text("red"), level="info")
            about: dict[str, Any] = {
                "description": text("file description"),
                "tags": [text("file tag")],
                "metadata": {text("file key"): text("file value")},
            }
            for kind, content in (
                ("txt", text("content")),
                ("json", json.dumps({text("json key"): text("json value")})),
                ("csv", f"{name('head')},b\n{name('cell')},2\n"),
            ):
                path = os.fspath(write(folder, name(f"file {kind}") + "." + kind, content.encode()))
                run.file(path, prefix=f"/{name('folder')}", **about).save()
            assert run.id is not None
            ids.append(run.id)
    with dashboard(root) as server:
        yield Site(server, ids[1], ids[0])


def harmless(page: Page, *texts: str) -> None:
    """All of these are read on the page as they are, and nothing came of them."""
    for one in texts:
        expect(page.locator("body")).to_contain_text(one)
    assert page.evaluate(HARM) == []


def file(kind: str) -> str:
    return f"{name('folder')}/{name(f'file {kind}')}.{kind}"


FILES = [name(f"file {kind}") + "." + kind for kind in ("csv", "json", "txt")]
ABOUT_FILE = [text("file description"), text("file tag"), "<script>ran='file key'</script>"]
PARAM = f"params[{json.dumps(name('param key'))}]"
"""As the filter language calls it."""
VIEWS: dict[str, tuple[Callable[[Site], str], list[str]]] = {
    "projects": (lambda site: "/", [PROJECT]),
    "charts": (lambda site: site.project(), [PROJECT, RUN, name("other"), name("metric"), name("field")]),
    "charts in groups": (
        lambda site: site.project(group=PARAM, mean=1),
        [text("param value"), text("other value")],
    ),
    "charts by a field": (lambda site: site.project(x=f"field:{name('field')}"), [name("metric")]),
    "a chart that fills the page": (lambda site: site.project(panels=name("metric")), [name("metric")]),
    "table": (
        lambda site: site.project(view="table", cols=["tags", "description", PARAM]),
        [RUN, name("tag"), text("second tag"), text("notes"), name("param key"), text("param value")],
    ),
    "table in groups": (lambda site: site.project(view="table", group="tags"), [name("tag")]),
    "parallel": (lambda site: site.project(view="compare"), [RUN, name("other")]),
    "scatter": (
        lambda site: site.project(view="compare", cmp="scatter", cx=PARAM, cy="params.lr"),
        [name("param key")],
    ),
    "differences": (
        lambda site: site.project(view="compare", cmp="differences"),
        [name("param key"), text("param value"), text("other value")],
    ),
    "words that nothing has": (lambda site: site.project(q=text("search")), ["No run matches"]),
    "an expression that is none": (lambda site: site.project(filter=text("filter")), [RUN]),
    "a sort by nothing": (lambda site: site.project(sort=text("sort"), closed=text("closed"), pin=text("pin")), [RUN]),
    "overview": (
        lambda site: site.tab("overview"),
        [RUN, PROJECT, name("tag"), text("notes"), name("param key"), name("metric"), name("field"), text("message")],
    ),
    "parameters": (
        lambda site: site.tab("parameters", base=site.other),
        [name("param key"), text("param value"), text("other value"), name("other")],
    ),
    "parameters as a tree": (lambda site: site.tab("parameters", **{"as": "tree"}), [name("param key")]),
    "charts of a run": (lambda site: site.tab("charts"), [name("metric"), name("field")]),
    "logs": (lambda site: site.tab("logs"), [text("message"), text("red")]),
    "a search of the log": (lambda site: site.tab("logs", find=text("message")), [text("message")]),
    "a level that is none": (lambda site: site.tab("logs", level=text("level")), ["No line matches"]),
    "files": (lambda site: site.tab("files"), [name("folder"), *FILES]),
    "a text": (lambda site: site.tab("files", file=file("txt")), [text("content"), *ABOUT_FILE]),
    "json": (lambda site: site.tab("files", file=file("json")), [text("json key"), *ABOUT_FILE]),
    "csv": (lambda site: site.tab("files", file=file("csv")), [name("head"), name("cell")]),
    "a file that is not there": (lambda site: site.tab("files", file=text("none")), ["There is no such file"]),
    "a folder": (lambda site: site.tab("files", folder=name("folder")), FILES),
    "metadata": (lambda site: site.tab("metadata"), [text("meta key")]),
    "code": (lambda site: site.tab("snippet"), ["<img src=x onerror="]),
    "a project that is not there": (lambda site: f"/p/{quote(text('nothing'), safe='')}", [text("nothing")]),
    "a way back to a script": (lambda site: "/sign-in?to=javascript:ran=1", ["This server asks for no token"]),
}


@pytest.mark.parametrize("part", range(4))
def test_it_is_text(site: Site, open_page: Opener, part: int) -> None:
    """All that a view shows of it is read as it was given."""
    page, watch = open_page(site.server.url)
    watch.allow("400")  # an expression that is none
    for address, texts in list(VIEWS.values())[part::4]:
        page.goto(address(site))
        harmless(page, *texts)


def test_a_run_that_is_not_there(site: Site, open_page: Opener) -> None:
    page, watch = open_page(site.server.url, "/")
    watch.allow("404|400")
    page.goto(f"/run/{quote(text('no run'), safe='')}")
    harmless(page, "There is no such run")


def test_what_opens_and_floats(site: Site, open_page: Opener) -> None:
    """Menus, forms, tips beside a chart, and notes at the foot of the page."""
    page, _ = open_page(site.server.url, site.project())
    expect(page.locator(".chart").first).to_have_attribute("aria-busy", "false")
    box = page.locator(".chart").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".chart-tip").first).to_contain_text(RUN)
    harmless(page)
    page.get_by_role("button", name=f"Colour of {RUN}").click()
    harmless(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"More for {RUN}").click()
    expect(page.get_by_role("menu")).to_be_visible()
    harmless(page)
    page.keyboard.press("Escape")
    page.get_by_title("Group runs by a parameter or property").click()
    harmless(page, name("param key"))
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"More for {name('metric')}").or_(
        page.get_by_role("button", name="More", exact=True)
    ).first.click()
    harmless(page)


def test_a_name_of_a_view(site: Site, open_page: Opener) -> None:
    """A view is saved, listed and deleted under any name."""
    page, _ = open_page(site.server.url, site.project(view="table"))
    page.get_by_title("Saved views").click()
    page.get_by_role("menuitem", name="Save this view…").click()
    page.get_by_role("textbox", name="Name of the view").fill(text("view"))
    page.get_by_role("button", name="Save", exact=True).click()
    harmless(page, f"Saved “{text('view')}”.")
    page.get_by_title("Saved views").click()
    expect(page.get_by_role("menuitemcheckbox", name=text("view"))).to_be_visible()
    page.get_by_role("menuitem", name="Rename or delete…").click()
    page.get_by_role("button", name=f"Delete {text('view')}").click()
    harmless(page, f"Deleted the view “{text('view')}”.")


def test_what_is_typed(site: Site, open_page: Opener) -> None:
    """A filter that is being written, its completion and its error; new notes and tags."""
    page, watch = open_page(site.server.url, site.project(view="table"))
    watch.allow("400")
    page.keyboard.press("/")
    page.keyboard.type("params.lr > 0 and params[" + name("typed"))
    harmless(page)
    page.goto(site.tab("overview"))
    page.get_by_role("button", name="Edit the notes").first.click()
    page.get_by_role("textbox", name="Notes").fill(text("new notes"))
    page.get_by_role("button", name="Save").click()
    harmless(page, text("new notes"))
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("combobox", name="New tag").fill(text("new tag"))
    page.keyboard.press("Enter")
    harmless(page, text("new tag"))
    page.reload()
    harmless(page, text("new notes"), text("new tag"))


def test_a_run_is_deleted_and_taken_back(site: Site, open_page: Opener) -> None:
    """The note that offers to undo it names it."""
    page, _ = open_page(site.server.url, f"/run/{site.other}")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Delete").click()
    harmless(page, name("other"))
    page.get_by_role("button", name="Undo").click()
    harmless(page, text("notes"))


def test_in_a_drawing(site: Site, open_page: Opener, tmp_path: Path) -> None:
    """A chart that is saved as SVG has it as text: what opens the drawing runs nothing."""
    page, _ = open_page(site.server.url, site.project(panels=name("metric")))
    expect(page.locator(".chart").first).to_have_attribute("aria-busy", "false")
    page.locator(".panel").first.get_by_role("button", name="More", exact=True).click()
    with page.expect_download() as caught:
        page.get_by_role("menuitem", name=re.compile("SVG")).click()
    caught.value.save_as(tmp_path / "chart.svg")
    drawing = ET.fromstring((tmp_path / "chart.svg").read_text())
    kinds = {element.tag.rpartition("}")[2] for element in drawing.iter()}
    assert "script" not in kinds
    assert not [key for element in drawing.iter() for key in element.attrib if key.startswith("on")]
    assert name("metric") in "".join(drawing.itertext())


def test_on_a_phone(site: Site, open_page: Opener) -> None:
    """What is arranged otherwise there is text too."""
    page, _ = open_page(site.server.url, site.project(), viewport=PHONE)
    page.get_by_role("button", name="Show the list of runs").click()
    harmless(page, RUN)
    page.goto(site.tab("files"))
    harmless(page, *FILES)
