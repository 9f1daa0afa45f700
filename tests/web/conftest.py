"""A browser for all tests of a process, and servers over folders of real runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.server.processes import ServerProcess
from tests.web.chromium import Watch, opened
from tests.web.places import Places, places
from tests.web.serving import dashboard

expect.set_options(timeout=30_000)
Opener = Callable[..., tuple[Page, Watch]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from tests.web.chromium import launched

    with sync_playwright() as playwright:
        found = launched(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """The main views, crowded and empty. For tests that only look."""
    with places(tmp_path_factory.mktemp("places")) as made:
        yield made


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts `ml-dash server` over a folder, this test's own where none is given."""
    with ExitStack() as stack:

        def started(store: Path | None = None, *args: object, **options: Any) -> ServerProcess:
            return stack.enter_context(dashboard(store or tmp_path / "runs", *args, **options))

        yield started


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a page of a server, watched: `open_page(server.url, "/p/digits")`."""
    with ExitStack() as stack:

        def shown(url: str, path: str = "/", **context: Any) -> tuple[Page, Watch]:
            page, watch = stack.enter_context(opened(browser, url, **context))
            page.goto(path)
            return page, watch

        yield shown
