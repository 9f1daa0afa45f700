"""The table of runs: its columns and what they hold, its order, groups, the baseline, and the files it becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch
from tests.web.panels import in_address, words
from tests.web.rows import (
    NEWEST,
    PROJECT,
    SWEEP,
    bare,
    cell,
    counted,
    do,
    head,
    heads,
    names,
    row,
    short,
    sort,
    sweep,
    table,
    values,
)
from tests.web.serving import dashboard

Opener = Callable[..., tuple[Page, Watch]]
LOSS = 'metrics["train/loss"].value'
SHOWN = ["params.lr", "params.opt", LOSS]


class Site(NamedTuple):
    server: ServerProcess
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("table") / "runs"
    ids = sweep(root)
    bare(
        root,
        ["odd"],
        "texts",
        params={"text": '=SUM(A1), "x"\nend', "list": [1, "a"], "big": 1e300, "nan": float("nan")},
    )
    with dashboard(root) as server:
        yield Site(server, ids)


@pytest.fixture
def show(site: Site, open_page: Opener) -> Callable[..., Page]:
    def shown(*columns: str, project: str = PROJECT, **context: Any) -> Page:
        page, _ = open_page(
            site.server.url, f"/p/{project}?view=table" + "".join(f"&cols={one}" for one in columns), **context
        )
        expect(names(page).first).to_be_visible()
        return page

    return shown


def test_usual_columns(show: Callable[..., Page]) -> None:
    """What a run is, the parameters in which runs differ before those in which they do not, and the results' last values."""
    page = show()
    expect(names(page)).to_have_text(NEWEST)
    expect(head(page, "train/loss")).to_be_visible()
    assert heads(page) == ["Status", "Created", "Duration", "lr", "opt", "data", "train/loss"]
    assert set(values(page, "Status").values()) == {"Completed"}
    lasts = {name: short(losses[-1]) if losses else "" for name, (_, losses) in SWEEP.items()}
    expect(cell(page, "sgd-1", "train/loss")).to_have_text(lasts["sgd-1"])
    assert values(page, "train/loss") == lasts
    assert values(page, "lr") == {"sgd-1": "0.1", "sgd-2": "0.01", "adam-1": "0.001", "adam-2": "0.1", "plain": ""}
    assert "cols" not in words(page)


def test_columns_are_picked(show: Callable[..., Page]) -> None:
    """Last, min and max of a series by its name: short in the cell, every digit as its tooltip, equal to what was appended."""
    page = show("params.lr")
    page.get_by_role("button", name="Columns").click()
    picker = page.get_by_role("dialog", name="Columns")
    picker.get_by_role("textbox", name="Find a column").fill("loss")
    for note in ("last", "min", "max"):
        picker.get_by_role("checkbox", name=f"train/loss {note}").check()
    picker.get_by_role("textbox", name="Find a column").fill("")
    picker.get_by_role("checkbox", name="lr").uncheck()
    page.keyboard.press("Escape")
    expect(picker).to_be_hidden()
    assert words(page)["cols"] == [LOSS, f"{LOSS}.min", f"{LOSS}.max"]
    for name, (_, losses) in SWEEP.items():
        for note, of in (("", lambda row: row[-1]), ("min", min), ("max", max)):
            told = cell(page, name, "train/loss", note)
            expect(told).to_have_text(short(of(losses)) if losses else "")
            if losses:
                expect(told).to_have_attribute("title", repr(of(losses)))
    page.get_by_role("button", name="Columns").click()
    picker.get_by_role("button", name="Remove train/loss").last.click()
    assert words(page)["cols"] == [LOSS, f"{LOSS}.min"]
    picker.get_by_role("button", name="Parameters that differ").click()
    assert words(page)["cols"] == ["params.lr", "params.opt", LOSS, f"{LOSS}.min"]
    picker.get_by_role("button", name="Usual ones").click()
    assert "cols" not in words(page)
    expect(picker.get_by_role("button", name="Usual ones")).to_be_disabled()


def test_headings_are_not_cut(show: Callable[..., Page]) -> None:
    """At the width that a column has by itself."""
    first = ("status", "created_at", "duration", "tags", "description")
    rest = ("updated_at", "ended_at", "attempts", "kind", "id")
    for part in (first, rest, ("params.data&diff=1",)):
        page = show(*part)
        cut = "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
        assert table(page).locator(".grid-head .grid-label").evaluate_all(cut) == []


def test_mean_first_and_count_by_the_address(show: Callable[..., Page]) -> None:
    """Columns are references of the filter language, those too that the picker does not offer."""
    page = show(f"{LOSS}.mean", f"{LOSS}.first", f"{LOSS}.count")
    losses = SWEEP["adam-1"][1]
    expect(cell(page, "adam-1", "train/loss", "mean")).to_have_text(short(sum(losses) / 3))
    expect(cell(page, "adam-1", "train/loss", "first")).to_have_attribute("title", repr(losses[0]))
    expect(cell(page, "adam-1", "train/loss", "count")).to_have_text("3")


def test_sorting(show: Callable[..., Page]) -> None:
    """Rising, falling, as it was; by an aggregate too; a run that lacks the value comes last either way."""
    page = show(*SHOWN, f"{LOSS}.min")
    by_min = sorted((name for name in NEWEST if SWEEP[name][1]), key=lambda name: min(SWEEP[name][1]))
    for order, spoken in (([*by_min, "plain"], "ascending"), ([*reversed(by_min), "plain"], "descending")):
        sort(page, "train/loss", "min")
        expect(names(page)).to_have_text(order)
        expect(head(page, "train/loss", "min")).to_have_attribute("aria-sort", spoken)
    in_address(page, sort=f"-{LOSS}.min")
    sort(page, "train/loss", "min")
    expect(names(page)).to_have_text(NEWEST)
    in_address(page, sort=None)
    sort(page, "lr")
    expect(names(page)).to_have_text(["adam-1", "sgd-2", "adam-2", "sgd-1", "plain"])
    table(page).get_by_title("Run: sort").click()
    expect(names(page)).to_have_text(sorted(SWEEP))


def test_columns_are_moved(show: Callable[..., Page]) -> None:
    """Dragged, by keys and by their menu, which hides them too."""
    page = show(*SHOWN)
    head(page, "train/loss").drag_to(head(page, "lr"))
    in_address(page, cols="params.opt")
    assert heads(page) == ["train/loss", "lr", "opt"]
    head(page, "train/loss").locator(".grid-sort").focus()
    page.keyboard.press("Shift+ArrowRight")
    in_address(page, cols="params.opt")
    assert words(page)["cols"] == ["params.lr", LOSS, "params.opt"]
    head(page, "opt").hover()
    page.get_by_role("button", name="Column opt").click()
    page.get_by_role("menuitem", name="Move left").click()
    in_address(page, cols=LOSS)
    assert heads(page) == ["lr", "opt", "train/loss"]
    head(page, "lr").click(button="right")
    expect(page.get_by_role("menuitem", name="Move left")).to_be_disabled()
    page.get_by_role("menuitem", name="Hide the column").click()
    expect(head(page, "lr")).to_have_count(0)
    assert words(page)["cols"] == ["params.opt", LOSS]


def test_columns_are_resized(show: Callable[..., Page]) -> None:
    """By drag, by keys, back by a double click; kept in the address."""
    page = show(*SHOWN)
    edge = page.get_by_role("separator", name="Width of opt")
    before = int(edge.get_attribute("aria-valuenow") or 0)
    box = edge.bounding_box()
    assert box
    page.mouse.move(box["x"] + 4, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 34, box["y"] + 10)
    page.mouse.move(box["x"] + 64, box["y"] + 10)
    page.mouse.up()
    expect(edge).to_have_attribute("aria-valuenow", str(before + 60))
    edge.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    in_address(page, w=f"{before + 92}~params.opt")
    opt = head(page, "opt").bounding_box()
    assert opt
    assert opt["width"] == before + 92
    page.reload()
    expect(edge).to_have_attribute("aria-valuenow", str(before + 92))
    edge.dblclick()
    expect(edge).to_have_attribute("aria-valuenow", str(before))
    in_address(page, w=None)


def test_groups(show: Callable[..., Page]) -> None:
    """By a parameter: a heading each with the means of its runs' numbers; folded away and back."""
    page = show("params.lr", LOSS, f"{LOSS}.min")
    page.get_by_role("button", name="Group", exact=True).click()
    page.get_by_role("dialog", name="Group runs by").get_by_role("button", name="opt").click()
    in_address(page, group="params.opt")
    expect(names(page)).to_have_text(["adam-2", "adam-1", "sgd-2", "sgd-1", "plain"])
    groups = page.locator(".grid-row.group")
    expect(groups.locator(".run-group-name")).to_have_text(["adam", "sgd", "(none)"])
    expect(groups.get_by_role("rowheader").locator(".num")).to_have_text(["2", "2", "1"])
    for at, runs in ((0, ("adam-2", "adam-1")), (1, ("sgd-2", "sgd-1"))):
        told = groups.nth(at).get_by_role("cell")
        rates = [SWEEP[run][0]["lr"] for run in runs]
        lasts, leasts = ([of(SWEEP[run][1]) for run in runs] for of in (lambda row: row[-1], min))
        expect(told).to_have_text([f"\u2300mean {short(sum(each) / 2)}" for each in (rates, lasts, leasts)])
        expect(told.nth(1)).to_have_attribute("title", f"Mean of 2 runs: {sum(lasts) / 2!r}")
    expect(groups.nth(2).get_by_role("cell")).to_have_text(["", "", ""])
    groups.nth(0).get_by_role("button", name="adam").click()
    expect(names(page)).to_have_text(["sgd-2", "sgd-1", "plain"])
    in_address(page, closed="adam")
    groups.nth(0).get_by_role("checkbox", name="Choose the runs of adam").check()
    expect(page.get_by_role("region", name="Runs that are chosen")).to_contain_text("2 runs chosen")
    page.reload()
    expect(names(page)).to_have_text(["sgd-2", "sgd-1", "plain"])
    page.get_by_role("button", name="By opt").click()
    page.get_by_role("button", name="Not grouped").click()
    expect(names(page)).to_have_text(NEWEST)


def test_runs_are_chosen(show: Callable[..., Page], site: Site) -> None:
    """One, with Shift all between, all; then drawn, or compared."""
    page = show(*SHOWN)
    bar = page.get_by_role("region", name="Runs that are chosen")
    sort(page, "Run")
    expect(names(page)).to_have_text(sorted(SWEEP))
    page.get_by_role("checkbox", name="Choose adam-2").check()
    expect(bar).to_contain_text("1 run chosen")
    page.get_by_role("checkbox", name="Choose sgd-1").click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 runs chosen")
    in_address(page, sel=",".join(site.ids[name] for name in ("adam-2", "plain", "sgd-1")))
    page.get_by_role("checkbox", name="Choose plain").uncheck()
    bar.get_by_role("button", name="Draw only these").click()
    expect(page.get_by_role("button", name="2 of 5 drawn")).to_be_visible()
    in_address(page, runs=",".join(site.ids[name] for name in ("adam-2", "sgd-1")))
    bar.get_by_role("button", name="Compare").click()
    in_address(page, view="compare")
    page.go_back()
    expect(bar).to_contain_text("2 runs chosen")
    page.get_by_role("checkbox", name="Choose all runs that match").check()
    expect(bar).to_contain_text("5 runs chosen")
    bar.get_by_role("button", name="Leave them all").click()
    expect(bar).to_have_count(0)
    in_address(page, sel=None)


def test_a_baseline(show: Callable[..., Page], site: Site) -> None:
    """Beside each number its difference to the baseline's; parameters in which a run differs from it are marked."""
    page = show(*SHOWN, "params.data")
    do(page, "sgd-1", "Make it the baseline")
    in_address(page, base=site.ids["sgd-1"])
    expect(page.get_by_text("Baseline: sgd-1")).to_be_visible()
    expect(cell(page, "sgd-1", "lr")).to_have_text("0.1")
    expect(cell(page, "sgd-2", "lr")).to_have_text("\u22120.090.01")
    expect(cell(page, "adam-2", "lr")).to_have_text("=0.1")
    expect(cell(page, "adam-2", "train/loss")).to_have_text("+22.988")
    expect(cell(page, "adam-2", "train/loss")).to_have_attribute("title", "2.987654, the baseline 0.987654")
    expect(cell(page, "plain", "lr")).to_have_text("")
    page.get_by_role("switch", name="Mark what differs from the baseline").check()
    in_address(page, diff="1")
    marked = [
        (name, label)
        for name in SWEEP
        for label in ("lr", "opt", "data")
        if "differs" in (cell(page, name, label).get_attribute("class") or "").split()
    ]
    assert marked == [
        *(("sgd-2", "lr"), ("adam-1", "lr"), ("adam-1", "opt"), ("adam-2", "opt")),
        *(("plain", "lr"), ("plain", "opt")),
    ]
    page.get_by_role("button", name="Clear", exact=True).click()
    in_address(page, base=None)
    expect(cell(page, "sgd-2", "lr")).to_have_text("0.01")


def test_parameters_that_differ_are_marked(show: Callable[..., Page]) -> None:
    """Without a baseline those in which no runs differ say so, among the runs that the filter leaves."""
    page = show("params.data", "params.opt", "params.lr")
    page.get_by_role("switch", name="Mark parameters that differ").check()
    expect(head(page, "data").get_by_text("same", exact=True)).to_be_visible()
    expect(head(page, "opt").get_by_text("same", exact=True)).to_have_count(0)
    page.get_by_role("textbox", name="Search runs").fill("adam-")
    expect(head(page, "opt").get_by_text("same", exact=True)).to_be_visible()
    expect(head(page, "lr").get_by_text("same", exact=True)).to_have_count(0)


def saved(page: Page, kind: str, runs: int, folder: Path) -> tuple[str, bytes]:
    """The file that the table becomes: its name and its bytes."""
    page.get_by_title("Save the rows and columns in sight as a file").click()
    with page.expect_download() as caught:
        page.get_by_role("menuitem", name=f"{kind}, {runs} run").click()
    caught.value.save_as(folder / "saved")
    return caught.value.suggested_filename, (folder / "saved").read_bytes()


def test_the_table_as_csv_and_json(show: Callable[..., Page], site: Site, tmp_path: Path) -> None:
    """The rows and columns in sight, in their order, with every digit; the chosen rows where some are."""
    page = show("params.lr", "params.opt", f"{LOSS}.min", "status")
    sort(page, "Run")
    expect(names(page)).to_have_text(sorted(SWEEP))
    name, content = saved(page, "CSV", 5, tmp_path)
    assert name == "sweep-runs.csv"
    lines = [
        f"{run},{site.ids[run]},{SWEEP[run][0].get('lr', '')},{SWEEP[run][0].get('opt', '')},{min(SWEEP[run][1], default='')},COMPLETED"
        for run in sorted(SWEEP)
    ]
    header = 'name,id,params.lr,params.opt,"metrics[""train/loss""].value.min",status'
    assert content.decode() == "\r\n".join([header, *lines, ""])
    page.get_by_role("checkbox", name="Choose plain").check()
    page.get_by_role("checkbox", name="Choose adam-2").check()
    name, content = saved(page, "JSON", 2, tmp_path)
    assert name == "sweep-runs.json"
    assert json.loads(content) == [
        {
            "name": "adam-2",
            "id": site.ids["adam-2"],
            "params.lr": 0.1,
            "params.opt": "adam",
            f"{LOSS}.min": 2.102585,
            "status": "COMPLETED",
        },
        {"name": "plain", "id": site.ids["plain"], "status": "COMPLETED"},
    ]


def test_text_that_a_spreadsheet_would_run(show: Callable[..., Page], tmp_path: Path) -> None:
    """It gets an apostrophe in CSV; commas, quotes and line ends are quoted; JSON has everything as it is."""
    page = show("params.text", "params.list", "params.big", "params.nan", project="texts")
    _, content = saved(page, "CSV", 1, tmp_path)
    row_of = content.decode().partition("\r\n")[2].split(",", 2)
    assert row_of[2] == '"\'=SUM(A1), ""x""\nend","[1,""a""]",1e+300,NaN\r\n'
    _, content = saved(page, "JSON", 1, tmp_path)
    (told,) = json.loads(content)
    assert told["params.text"] == '=SUM(A1), "x"\nend'
    assert (told["params.list"], told["params.big"], told["params.nan"]) == ([1, "a"], 1e300, "NaN")
    expect(cell(page, "odd", "nan")).to_have_text("NaN")
    expect(cell(page, "odd", "big")).to_have_text("1e300")
    assert row(page, "odd").count() == 1


def test_a_column_that_is_none(show: Callable[..., Page]) -> None:
    """What the address names and nobody has is left out or empty; the page works on."""
    page = show("params.none", "1+1", "metrics.none.value.min", "params.lr")
    expect(head(page, "lr")).to_be_visible()
    assert heads(page) == ["none", "none", "lr"]
    counted(page, "5 runs")
