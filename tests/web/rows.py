"""The runs of a project as a person meets them: the list at the left, the table and its columns, menus; and a sweep to look at."""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from ml_dash.model import RunKey, RunPatch
from ml_dash.store.local import LocalStore
from tests.web.runs import many_series

PROJECT = "sweep"
SWEEP: dict[str, tuple[dict[str, Any], list[float]]] = {
    "sgd-1": ({"lr": 0.1, "opt": "sgd", "data": "mnist"}, [2.302585, 0.712345, 0.987654]),
    "sgd-2": ({"lr": 0.01, "opt": "sgd", "data": "mnist"}, [2.412585, 1.512345, 1.287654]),
    "adam-1": ({"lr": 0.001, "opt": "adam", "data": "mnist"}, [2.202585, 0.312345, 0.387654]),
    "adam-2": ({"lr": 0.1, "opt": "adam", "data": "mnist"}, [2.102585, 3.712345, 2.987654]),
    "plain": ({"data": "mnist"}, []),
}
"""Runs by name, oldest first: parameters, and the values of train/loss."""
NEWEST = list(reversed(SWEEP))


def sweep(root: Path) -> dict[str, str]:
    """Make them; their ids by name."""
    return {
        name: many_series(
            root, name, PROJECT, {"train/loss": [{"value": one} for one in losses]} if losses else {}, params
        )
        for name, (params, losses) in SWEEP.items()
    }


def bare(root: Path, names: list[str], project: str = PROJECT, namespace: str = "", **fields: Any) -> dict[str, str]:
    """Runs with nothing but a record, quickly made, each in a millisecond of its own; their ids by name. `fields` are those of a
    `RunPatch`."""
    made = {}
    with closing(LocalStore(root)) as store:
        for name in names:
            made[name] = store.put_run(RunKey(namespace, project, name), RunPatch(**fields)).id
            time.sleep(0.001)
    return made


def stored(root: Path, run: str) -> Any:
    """The run's record as the folder has it now. Raises `NotFound`."""
    store = LocalStore(root)
    try:
        return store.get_run(run)
    finally:
        store.close()


def short(value: float) -> str:
    """A number as the table shows it: four digits."""
    return f"{value:.4g}".replace("-", "\u2212")


def run_list(page: Page) -> Locator:
    return page.get_by_role("list", name="Runs")


def listed(page: Page) -> Locator:
    """The names in the list, from above."""
    return run_list(page).get_by_role("listitem").get_by_role("link")


def table(page: Page) -> Locator:
    return page.get_by_role("table", name="Runs")


def names(page: Page) -> Locator:
    """The names of the table's rows, from above."""
    return table(page).get_by_role("rowheader").get_by_role("link")


def row(page: Page, run: str) -> Locator:
    return table(page).get_by_role("row").filter(has=page.get_by_role("link", name=run, exact=True))


def head(page: Page, label: str, note: str = "") -> Locator:
    """A column's heading; `note` is which value of a series it is: "min"."""
    spoken = f"{label}, {note} of all points" if note else label
    titled = page.get_by_title(f"{spoken}: sort", exact=True)
    same = page.get_by_title(f"{spoken}, the same in all these runs: sort", exact=True)
    return table(page).get_by_role("columnheader").filter(has=titled.or_(same))


def heads(page: Page) -> list[str]:
    """The headings' texts, from the left, without the first."""
    return page.locator(".grid-head .grid-cell .grid-label").all_inner_texts()


def sort(page: Page, label: str, note: str = "") -> None:
    """Press a heading."""
    head(page, label, note).locator(".grid-sort").click()


def cell(page: Page, run: str, label: str, note: str = "") -> Locator:
    """The value of a run in a column."""
    at = head(page, label, note).get_attribute("aria-colindex")
    return row(page, run).locator(f'[role=cell][aria-colindex="{at}"]')


def values(page: Page, label: str, note: str = "") -> dict[str, str]:
    """All values of a column that are in sight, by run."""
    at = head(page, label, note).get_attribute("aria-colindex")
    rows = table(page).get_by_role("row").filter(has=page.get_by_role("link")).all()
    return {
        one.get_by_role("rowheader").get_by_role("link").inner_text(): one.locator(
            f'[aria-colindex="{at}"]'
        ).inner_text()
        for one in rows
    }


def do(page: Page, run: str, item: str) -> None:
    """Choose an item of a run's menu, in the table or the list."""
    expect(table(page).or_(run_list(page)).first).to_be_visible()
    within = table(page) if table(page).count() else run_list(page)
    within.get_by_role("link", name=run, exact=True).hover()
    within.get_by_role("button", name=f"More for {run}", exact=True).click()
    page.get_by_role("menu", name="Run").get_by_text(item, exact=True).click()


def tell(page: Page, text: str | re.Pattern[str]) -> Locator:
    """Wait for news at the foot of the page."""
    found = page.locator(".ui-toast").filter(has_text=text)
    expect(found).to_be_visible()
    return found


def counted(page: Page, text: str) -> None:
    """Wait until the page says so many runs are left by the filter."""
    expect(page.get_by_role("search").get_by_role("status")).to_have_text(text)
