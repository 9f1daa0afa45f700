"""How a person gets to things on each contestant's page: its list of runs, its charts, one run by name, one chart by name. Measures
nothing."""

from __future__ import annotations

import asyncio
from typing import Protocol

from playwright.async_api import Browser, Error, Page

from bench.dashboard_browser import PICTURES, sheet
from bench.dashboard_data import PROJECT, metric_name

PATIENCE = 60_000
"""Milliseconds for a control of a page to be there."""


KEY = 40
"""Milliseconds a key, where a box loses what is typed faster."""


class Contestant(Protocol):
    """A page by what its reader does."""

    name: str
    environment: str
    """Its line in peers.txt."""
    notes: str
    """What a reader of the table has to know of it."""
    pictures: str
    """What may be a chart, by a selector: all pictures, unless legends are such, too."""
    rows: str
    """The part of its page that has the list's rows, where names of runs stand elsewhere, too."""

    async def list_url(self, base: str) -> str: ...

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        """The link to charts of these series of all runs; where that takes picking them by hand, it is made here, unmeasured."""

    async def find_run(self, page: Page, name: str) -> None:
        """Filter the list to this run."""

    async def only(self, page: Page, metric: str) -> None:
        """Leave one series' chart in sight."""


class Ours:
    name, environment = "ours", "ours"
    notes = ""
    pictures, rows = PICTURES, "[role=table]"

    async def list_url(self, base: str) -> str:
        return f"{base}/p/{PROJECT}?view=table"

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        return f"{base}/p/{PROJECT}"

    async def find_run(self, page: Page, name: str) -> None:
        await page.get_by_role("textbox", name="Search runs").or_(page.get_by_role("searchbox")).first.fill(name)

    async def only(self, page: Page, metric: str) -> None:
        await page.get_by_role("textbox", name="Find charts").fill(metric)


class TensorBoard:
    name, environment = "tensorboard", "tensorboardX"
    notes = "list and charts are one page, smoothed and without outliers as it comes"
    pictures, rows = PICTURES, "runs-data-table"

    async def list_url(self, base: str) -> str:
        return f"{base}/"

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        return f"{base}/"

    async def find_run(self, page: Page, name: str) -> None:
        await self._typed(page, "Filter runs (regex)", name)

    async def only(self, page: Page, metric: str) -> None:
        await self._typed(page, "Filter tags (regex)", metric)

    @staticmethod
    async def _typed(page: Page, box: str, text: str) -> None:
        """Its boxes look at their text when a key is let go."""
        found = page.locator(f"input[placeholder='{box}']:visible").first
        await found.fill(text)
        await found.press("End")


class MLflow:
    name, environment = "mlflow", "mlflow"
    notes = "its list has the newest 100 runs, its charts draw the newest 10, as it comes"
    pictures, rows = PICTURES, "body"

    async def list_url(self, base: str) -> str:
        return f"{base}/#/experiments/1/runs"

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        return f"{base}/#/experiments/1/runs?compareRunsMode=CHART"

    async def find_run(self, page: Page, name: str) -> None:
        box = page.get_by_placeholder("metrics.rmse < 1")
        await box.fill(f'attributes.run_name = "{name}"')
        await box.press("Enter")

    async def only(self, page: Page, metric: str) -> None:
        await page.get_by_placeholder("Search metric charts").fill(metric)


class Trackio:
    name, environment = "trackio", "trackio"
    notes = "smoothed as it comes"
    pictures, rows = PICTURES, "body"

    async def list_url(self, base: str) -> str:
        return f"{base}/runs?project={PROJECT}"

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        return f"{base}/?project={PROJECT}"

    async def find_run(self, page: Page, name: str) -> None:
        await page.get_by_placeholder("e.g., baseline|exp-.*|v2").fill(name)

    async def only(self, page: Page, metric: str) -> None:
        await page.get_by_placeholder("e.g., loss|ndcg@10|gpu").fill(metric)


class Aim:
    """Its charts are empty until series are picked; the picking is not timed, opening its link is."""

    name, environment = "aim", "aim"
    notes = (
        "its charts are timed by the link to what was picked before by hand; its filter is typed key by key, 40 ms each"
    )
    pictures, rows = "svg.Visualization", "body"

    async def list_url(self, base: str) -> str:
        return f"{base}/runs"

    async def charts_url(self, browser: Browser, base: str, metrics: list[str]) -> str:
        async with sheet(browser) as first:
            page = first.page
            page.set_default_timeout(PATIENCE)
            await page.goto(f"{base}/metrics")
            await self._no_invitation(page)
            await page.locator("button:has-text('Metrics')").last.click()
            choices = page.get_by_role("option")
            await choices.first.wait_for()
            for number in range(await choices.count()):
                if (await choices.nth(number).inner_text()).strip() in metrics:
                    await choices.nth(number).click()
            await page.keyboard.press("Escape")
            before = page.url
            await page.get_by_role("button", name="Search").click()
            for _ in range(100):
                if page.url != before and "select=" in page.url:
                    break
                await asyncio.sleep(0.1)
            return page.url

    async def find_run(self, page: Page, name: str) -> None:
        await page.get_by_text("Filter runs, e.g.").first.click()
        await page.keyboard.type(f'run.name=="{name}"', delay=KEY)
        await page.keyboard.press("Enter")

    async def only(self, page: Page, metric: str) -> None:
        return  # what was picked is all that there is

    @staticmethod
    async def _no_invitation(page: Page) -> None:
        """It asks to join its community, over what one wants to click."""
        try:
            await page.get_by_role("button", name="Skip").click(timeout=3_000)
        except Error:
            return


CONTESTANTS: tuple[Contestant, ...] = (Ours(), TensorBoard(), MLflow(), Trackio(), Aim())
ALL_METRICS = [metric_name(number) for number in range(24)]
