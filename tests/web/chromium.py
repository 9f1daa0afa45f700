"""Chromium as the machine has it, driven by Playwright; and what a page of ours must never do, whatever a test is about.

A page that writes an error to its console, asks another host, breaks its own Content-Security-Policy or throws fails its test.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Playwright, Request

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
)
KEPT = 2
"""Contexts that wait for the next test."""
_kept: dict[tuple[int, str], BrowserContext] = {}
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def launched(playwright: Playwright) -> Browser:
    """A headless Chromium. Raises where the machine has none: the Makefile sees to it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, (
        f"no browser: install Chromium (Debian: apt install chromium-headless-shell); looked for {', '.join(NAMES)}"
    )
    return playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))


class Watch:
    """What a page did that no page may do. A test that provokes an error says with `allow` which texts it expects."""

    def __init__(self, page: Page, host: str) -> None:
        self._host = host
        self._allowed: list[str] = []
        self.wrong: list[str] = []
        self.requests: list[Request] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"thrown: {error}"))
        page.on("request", self._request)
        page.on("dialog", self._dialog)

    def allow(self, pattern: str) -> None:
        """Texts in which this is found are expected."""
        self._allowed.append(pattern)

    def check(self) -> None:
        """Raise what no page may do."""
        wrong = [text for text in self.wrong if not any(re.search(one, text) for one in self._allowed)]
        assert not wrong, wrong

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        url = urlsplit(request.url)
        if url.scheme in {"http", "https", "ws", "wss"} and url.netloc != self._host:
            self.wrong.append(f"asks another host: {request.url}")

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"a dialog of the browser's: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[tuple[Page, Watch]]:
    """A page that nobody has used before, watched; not yet at any address. `context` are Playwright's options."""
    options = {"base_url": url, "viewport": WIDE, "locale": "en-GB", "timezone_id": "UTC", **context}
    key = (id(browser), repr(sorted(options.items())))
    own = _kept.pop(key, None) or browser.new_context(**options)
    own.set_default_timeout(30_000)
    clean = False
    try:
        page = own.new_page()
        watch = Watch(page, urlsplit(url).netloc)
        yield page, watch
        watch.check()
        clean = emptied(own, page)
    finally:
        if clean:
            _kept[key] = own
        else:
            own.close()
        while len(_kept) > KEPT:
            _kept.pop(next(iter(_kept))).close()


def emptied(own: BrowserContext, page: Page) -> bool:
    """Whether nothing of a test is left in the context: a new one costs as much as many a test. What is left of a page's clock cannot be
    undone, and who opened more pages than one has had a reason."""
    if len(own.pages) != 1 or page.is_closed() or urlsplit(page.url).scheme != "http":
        return False
    try:
        if not page.evaluate("Date.toString().includes('native code')"):
            return False
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
    except Error:  # a page that may not keep anything
        return False
    page.close(run_before_unload=False)
    own.clear_cookies()
    own.clear_permissions()
    return True


def accessibility(page: Page, *without: str) -> list[str]:
    """What axe-core finds wrong with the page as it is now: rule, element. `without` are rules that are not asked."""
    page.evaluate(AXE.read_text())
    told = page.evaluate(
        """async (without) => {
            const found = await axe.run(document, {
                resultTypes: ["violations"],
                runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
                rules: Object.fromEntries(without.map((rule) => [rule, {enabled: false}])),
            });
            return found.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target} ${node.failureSummary}`));
        }""",
        list(without),
    )
    assert isinstance(told, list)
    return told
