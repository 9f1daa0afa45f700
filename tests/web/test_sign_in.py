"""Signing in, in a real browser: what it keeps, what scripts and other sites get of it, and when it ends."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from ml_dash import Experiment
from ml_dash.server.tokens import TokenFile
from tests.server.processes import ServerProcess
from tests.web.chromium import Watch, opened
from tests.web.rows import bare, listed
from tests.web.serving import dashboard

REFUSED = r"Failed to load resource: .* (401|403|404)"
"""What the browser itself writes to the console where an answer is no success."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One run, and tokens."""
    root = tmp_path / "runs"
    with Experiment("low", "digits", local_path=root).run as run:
        run.metrics("loss").append_batch([{"value": 1 / (i + 1)} for i in range(50)])
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    TokenFile(folder).create("admin")
    with dashboard(folder) as one:
        yield one


def token(folder: Path, scope: str = "write") -> tuple[str, str]:
    """Id and text of a new one."""
    made, secret = TokenFile(folder).create(scope)
    return made.id, secret


def sign_in(page: Page, secret: str) -> None:
    page.get_by_label("token", exact=False).first.fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)


@pytest.fixture
def door(browser: Browser, server: ServerProcess) -> Iterator[tuple[Page, Watch]]:
    """The page, before anybody has signed in."""
    with opened(browser, server.url) as (page, watch):
        watch.allow(REFUSED)
        page.goto("/p/digits")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        yield page, watch


def test_a_token_opens_the_view_that_was_asked_for(door: tuple[Page, Watch], folder: Path) -> None:
    page, _ = door
    sign_in(page, token(folder)[1])
    expect(page.get_by_text("low").first).to_be_visible()
    assert page.url.endswith("/p/digits")
    page.reload()
    expect(page.get_by_text("low").first).to_be_visible()


def test_a_token_that_is_none_is_told(door: tuple[Page, Watch]) -> None:
    page, _ = door
    page.get_by_label("token", exact=False).first.fill("mld_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("not known here")).to_be_visible()
    assert page.context.cookies() == []


def test_scripts_and_storage_have_nothing_of_it(door: tuple[Page, Watch], folder: Path) -> None:
    page, watch = door
    secret = token(folder)[1]
    sign_in(page, secret)
    expect(page.get_by_text("low").first).to_be_visible()
    (kept,) = page.context.cookies()
    assert (kept["httpOnly"], kept["sameSite"], kept["path"]) == (True, "Strict", "/")
    assert secret not in kept["value"]
    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.documentElement.outerHTML])"
    )
    for text in (secret, secret[4:], kept["value"]):
        assert text not in stored
    assert not [request.url for request in watch.requests if secret in request.url]


def test_a_revoked_token_ends_it(door: tuple[Page, Watch], folder: Path) -> None:
    page, _ = door
    made, secret = token(folder)
    sign_in(page, secret)
    expect(page.get_by_text("low").first).to_be_visible()
    TokenFile(folder).revoke(made)
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_that_is_revoked_while_one_looks(door: tuple[Page, Watch], folder: Path) -> None:
    """The next thing that the page asks for leads to the door, and another token back to what one saw."""
    page, _ = door
    made, secret = token(folder)
    sign_in(page, secret)
    expect(listed(page)).to_have_text(["low"])
    TokenFile(folder).revoke(made)
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("low")).to_have_count(0)
    sign_in(page, token(folder, "read")[1])
    expect(page.get_by_role("table", name="Runs").get_by_role("link", name="low")).to_be_visible()
    assert page.url.endswith("/p/digits?view=table")


def test_signing_out(door: tuple[Page, Watch], folder: Path) -> None:
    """The menu says what the token may; who has signed out sees nothing any more, in another tab too and after a reload."""
    page, _ = door
    made, secret = token(folder, "read")
    sign_in(page, secret)
    expect(listed(page)).to_have_text(["low"])
    other = page.context.new_page()
    page.get_by_role("button", name="Signed in with a token").click()
    expect(page.get_by_role("menuitem", name=f"Token {made}: may read")).to_be_disabled()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("low")).to_have_count(0)
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    other.goto("/p/digits")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_namespaces(door: tuple[Page, Watch], folder: Path) -> None:
    """One sees those of one's token, each by its name, and is told nothing of others."""
    page, _ = door
    for namespace in ("ours", "theirs", "shared"):
        bare(folder, [f"run of {namespace}"], "same", namespace)
    page.goto("/")
    sign_in(page, TokenFile(folder).create("read", ["ours", "shared"])[1])
    expect(page.get_by_role("region", name="ours").get_by_role("link", name="same")).to_contain_text("1 run")
    assert sorted(page.get_by_role("heading", level=2).all_inner_texts()) == ["ours", "shared"]
    page.get_by_role("region", name="shared").get_by_role("link", name="same").click()
    expect(page).to_have_url(re.compile(r"/p/same\?ns=shared$"))
    expect(listed(page)).to_have_text(["run of shared"])
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_role("table", name="Runs").get_by_role("link", name="run of shared")).to_be_visible()
    page.goto("/p/same?ns=theirs")
    expect(page.get_by_role("alert")).to_contain_text("cannot be found")
    expect(page.get_by_text("run of")).to_have_count(0)


class _Elsewhere(BaseHTTPRequestHandler):
    """Another web server of this machine, with a page of its own."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  an inherited name
        """Nothing."""


@pytest.fixture(params=["127.0.0.1", "localhost"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Its address: the same site to a browser, which sends it our cookies, and another one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://{request.param}:{one.server_port}"
        one.shutdown()
        thread.join()


FETCHES = """async ([url, run]) => {
    const said = [];
    const tries = [
        ["GET", "/api/v1/runs", undefined], ["POST", "/api/v1/flush", undefined], ["POST", "/api/v1/session", '{"token": "x"}'],
        ["DELETE", `/api/v1/runs/${run}`, undefined], ["PATCH", `/api/v1/runs/${run}`, '{"tags": ["stolen"]}'],
    ];
    for (const [method, path, body] of tries) {
        for (const mode of ["cors", "no-cors"]) {
            try {
                const answer = await fetch(url + path, {method, body, mode, credentials: "include"});
                said.push(`${method} ${mode} ${answer.type} ${await answer.text()}`);
            } catch (e) {
                said.push(`${method} ${mode} refused`);
            }
        }
    }
    return said;
}"""
FORM = """([url, kind]) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: url, enctype: kind});
    const field = document.createElement("input");
    Object.assign(field, {name: '{"token": "', value: '"}'});
    form.append(field);
    document.body.append(form);
    form.submit();
}"""


def test_another_site_does_nothing_with_it(
    door: tuple[Page, Watch], server: ServerProcess, folder: Path, elsewhere: str
) -> None:
    page, _ = door
    secret = token(folder, "admin")[1]
    sign_in(page, secret)
    own = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {secret}"})
    (run,) = own.get("/api/v1/runs").json()["runs"]
    page.goto("about:blank")  # its own requests are not what is counted
    other = page.context.new_page()
    other.goto(elsewhere)
    before = len(server.lines())
    for line in other.evaluate(FETCHES, [server.url, run["id"]]):
        assert "low" not in line
        assert line.endswith("refused") or " opaque " in line, line
    for path in ("/api/v1/flush", "/api/v1/session", "/api/v1/runs"):
        for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
            other.goto(elsewhere)
            with other.expect_navigation():
                other.evaluate(FORM, [server.url + path, kind])
    answered = [line["status"] for line in server.lines()[before:] if line.get("event") == "request"]
    assert len(answered) >= 10
    assert set(answered) <= {401, 403, 405, 415}
    (after,) = own.get("/api/v1/runs").json()["runs"]
    assert after == run
    own.close()
    page.goto("/p/digits")
    expect(page.get_by_text("low").first).to_be_visible()


def test_a_link_from_another_site_leads_to_the_page_and_signed_in(
    door: tuple[Page, Watch], server: ServerProcess, folder: Path, elsewhere: str
) -> None:
    """The cookie is not sent with such a visit; what the page asks for then, is."""
    page, _ = door
    sign_in(page, token(folder)[1])
    expect(page.get_by_text("low").first).to_be_visible()
    other = page.context.new_page()
    other.goto(elsewhere)
    other.evaluate("url => { location.href = url }", f"{server.url}/p/digits")
    expect(other.get_by_text("low").first).to_be_visible()


def test_the_page_is_in_nobody_s_frame(door: tuple[Page, Watch], server: ServerProcess, elsewhere: str) -> None:
    page, _ = door
    other = page.context.new_page()
    other.goto(elsewhere)
    other.evaluate(
        "url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame); }",
        server.url,
    )
    for _ in range(400):
        if other.frames[-1].url.startswith("chrome-error:"):
            break
        other.wait_for_timeout(50)
    assert other.frames[-1].url == "chrome-error://chromewebdata/"
    assert all("Sign in" not in (frame.content() if frame != other.main_frame else "") for frame in other.frames)


def test_the_address_of_a_run_leads_to_its_page(folder: Path, open_page: Callable[..., tuple[Page, Watch]]) -> None:
    """What `experiment.url` gives: by project and name."""
    with dashboard(folder) as server:
        (run,) = httpx.get(f"{server.url}/api/v1/runs").json()["runs"]
        page, watch = open_page(server.url, "/runs/digits/low")
        page.wait_for_url(f"**/run/{run['id']}")
        watch.allow(REFUSED)
        page.goto("/runs/digits/none")
        expect(page.get_by_text("There is no run none in digits")).to_be_visible()
