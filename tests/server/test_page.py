"""The dashboard's files: who gets them, with which headers, in which coding; and that nothing else is to be had that way."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_dash.server.app import create_app
from ml_dash.server.page import CSP, NOT_BUILT, Page
from ml_dash.store.memory import MemoryStore
from tests.server.guarded import Guarded, every_route, guarded
from tests.server.live import live

INDEX = b'<!doctype html><title>ml-dash</title><script type="module" src="/assets/index-1a.js"></script>' + b" " * 2000
SCRIPT = b"console.log(1);" * 200
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


def build(folder: Path, index: bytes = INDEX, script: bytes = SCRIPT) -> Path:
    """A page as `vite build` leaves it."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "favicon.svg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    for path, body in ((folder / "index.html", index), (folder / "assets/index-1a.js", script)):
        path.write_bytes(body)
        Path(f"{path}.gz").write_bytes(gzip.compress(body))
        Path(f"{path}.br").write_bytes(b"as if brotli: " + body[:10])
    return folder


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build(tmp_path / "page")
    monkeypatch.setenv("ML_DASH_PAGE", str(folder))
    return folder


@pytest.fixture
def server(page: Path, tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


# ---------------------------------------------------------------- what is served


def test_the_page_is_there_without_a_token_and_the_data_is_not(server: Guarded) -> None:
    """It is what asks for the token."""
    server.token("read")
    for headers in ({}, BROWSER):
        answer = server("GET", "/", headers)
        assert (answer.status_code, answer.content) == (200, INDEX)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert server("GET", "/assets/index-1a.js").content == SCRIPT
    assert server("GET", "/favicon.svg").headers["content-type"] == "image/svg+xml"
    assert server("GET", "/api/v1/runs").status_code == 401
    assert [line["path"] for line in server.requests() if line["status"] == 401] == ["/api/v1/runs"]


def test_every_address_that_somebody_looks_at_is_the_page(server: Guarded) -> None:
    server.token("read")
    for path in (
        "/p/digits?view=table",
        "/run/3f",
        "/runs/digits/low",
        "/nope",
        "/index.html",
        "/a/b/c.html",
        "/%2e%2e/etc",
    ):
        assert server("GET", path, BROWSER).content == INDEX, path
        assert server("HEAD", path, BROWSER).status_code == 200


def test_no_route_of_the_server_s_is_the_page(server: Guarded) -> None:
    """Whatever a browser says that it would like, what needs rights needs them."""
    server.token("read")
    paths = {re.sub(r"\{\w+(:\w+)?\}", "x", path) for _, path in every_route()} - {"/runs/x/x", "/api/v1/session"}
    for path in [
        *sorted(paths),
        "/ready",
        "/metrics",
        "/api",
        "/api/v2/x",
        "/docs/x/y",
        "/experiments/x/y/z",
        "/projects",
    ]:
        assert server("GET", path, BROWSER).status_code == 401, path
    assert server("GET", "/health", BROWSER).json() == {"status": "ok"}


def test_a_program_is_told_what_is_not_there(server: Guarded) -> None:
    assert server("GET", "/nope").status_code == 404
    assert server("GET", "/nope", {"Accept": "application/json"}).json()["error"] == "NotFound"
    assert server("GET", "/runs/p/n").headers["location"] == "../../api/v1/run?project=p&name=n"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert server(method, "/", BROWSER).status_code in (404, 405)


def test_nothing_outside_of_the_build_is_served(server: Guarded, page: Path) -> None:
    (page.parent / "secret.js").write_text("secret")
    server.token("read")
    paths = ("/assets/../../secret.js", "/assets/%2e%2e/%2e%2e/secret.js", "/assets/..%2f..%2fsecret.js", "//secret.js",
             "/assets//etc/passwd", "/assets/", "/assets/index-1a.js.gz", "/assets/index-1a.js/", "/favicon.svg%00")  # fmt: skip
    for path in paths:
        answer = server.client.get(httpx.URL(server.url).copy_with(raw_path=path.encode()))
        assert answer.status_code in (401, 404), path
        assert "secret" not in answer.text


def test_an_asset_of_an_older_build_is_gone_and_says_so(server: Guarded) -> None:
    server.token("read")
    answer = server("GET", "/assets/index-0.js", BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert "Load the page again" in answer.text
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_a_build_is_served_from_the_next_visit_on(server: Guarded, page: Path) -> None:
    build(page, index=b"new", script=b"newer")
    (page / "assets/more.css").write_text("a{}")
    assert server("GET", "/").content == b"new"
    assert server("GET", "/assets/index-1a.js").content == b"newer"
    assert server("GET", "/assets/more.css").headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("there", [True, False])
def test_without_a_build_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    folder = tmp_path / "page"
    if there:
        folder.mkdir()
    monkeypatch.setenv("ML_DASH_PAGE", str(folder))
    with guarded(tmp_path / "store") as server:
        for path in ("/", "/p/x"):
            answer = server("GET", path, BROWSER)
            assert (answer.status_code, answer.text) == (404, NOT_BUILT)
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        build(folder)
        assert server("GET", "/").content == INDEX


def test_the_app_alone_serves_it_too(page: Path) -> None:
    with live(create_app(MemoryStore())) as url:
        assert httpx.get(url).content == INDEX


def test_a_folder_that_is_given_is_the_one(tmp_path: Path, page: Path) -> None:
    with live(create_app(MemoryStore(), page=Page(str(build(tmp_path / "other", index=b"other"))))) as url:
        assert httpx.get(url).content == b"other"


# ---------------------------------------------------------------- headers


def test_the_page_runs_nothing_from_elsewhere_and_is_in_nobody_s_frame(server: Guarded) -> None:
    for path in ("/", "/run/x", "/assets/index-1a.js", "/assets/none.js"):
        headers = server("GET", path, BROWSER).headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "set-cookie" not in headers
    policy = dict(part.strip().split(" ", 1) for part in CSP.split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in CSP
    assert "*" not in CSP


def test_the_page_is_asked_for_anew_and_its_assets_are_kept(server: Guarded) -> None:
    index = server("GET", "/")
    assert index.headers["cache-control"] == "no-cache"
    assert server("GET", "/assets/index-1a.js").headers["cache-control"] == "public, max-age=31536000, immutable"
    again = server("GET", "/", {"If-None-Match": f'"other", W/{index.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", index.headers["etag"])
    assert again.headers["content-security-policy"] == CSP
    assert server("GET", "/", {"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("identity", ""),
        ("", ""),
        ("*", "br"),
    ],
)
def test_it_comes_in_the_best_coding_that_is_taken(server: Guarded, accepted: str, coding: str) -> None:
    with server.client.stream(
        "GET", f"{server.url}/assets/index-1a.js", headers={"Accept-Encoding": accepted}
    ) as answer:
        raw = b"".join(answer.iter_raw())
        headers = answer.headers
    assert headers.get("content-encoding", "") == coding
    assert raw == {"br": b"as if brotli: " + SCRIPT[:10], "": SCRIPT}.get(coding, raw)
    assert coding != "gzip" or gzip.decompress(raw) == SCRIPT
    assert int(headers["content-length"]) == len(raw)
    assert "Accept-Encoding" in headers["vary"]
    plain = server("GET", "/assets/index-1a.js", {"Accept-Encoding": "identity"})
    assert (headers["etag"] == plain.headers["etag"]) == (coding == "")


def test_what_was_not_packed_comes_as_it_is(server: Guarded) -> None:
    answer = server("GET", "/favicon.svg", {"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.content.startswith(b"<svg")


# ---------------------------------------------------------------- where it is asked from


def test_the_page_is_for_this_machine_s_own_names_too(server: Guarded) -> None:
    """A name that was made to resolve to 127.0.0.1 gets no page that would then be of its origin."""
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                    {"X-Forwarded-For": "203.0.113.9"}):  # fmt: skip
        for path in ("/", "/assets/index-1a.js", "/favicon.svg"):
            assert server("GET", path, {"Host": "localhost:3000", **headers}).status_code == 403, (path, headers)
    link = {**BROWSER, "Host": "localhost:3000", "Sec-Fetch-Site": "cross-site"}
    assert server("GET", "/run/x", link).content == INDEX


def test_the_page_is_for_the_allowed_names_where_there_are_tokens(page: Path, tmp_path: Path) -> None:
    with guarded(tmp_path / "store", local=False, allowed_hosts=("dash.example.com",)) as server:
        server.token("read")
        assert server("GET", "/", {"Host": "dash.example.com"}).status_code == 200
        assert server("GET", "/", {"Host": "evil.example"}).status_code == 403


def test_a_server_that_cannot_read_its_tokens_has_the_page_and_no_data(server: Guarded) -> None:
    header = server.token("read")
    assert server("GET", "/api/v1/runs", header).status_code == 200
    os.unlink(server.tokens.path)
    assert server("GET", "/", BROWSER).status_code == 200
    assert server("GET", "/api/v1/session").status_code == 503
    assert server("GET", "/api/v1/runs", header).status_code == 503


def test_figures_call_it_by_one_name(server: Guarded) -> None:
    """Paths are people's own: a label for each would fill the memory."""
    for path in ("/", "/run/a", "/run/b", "/assets/index-1a.js"):
        server("GET", path, BROWSER)
    text = server("GET", "/metrics").text
    assert 'ml_dash_requests_total{method="GET",route="(page)",status="200"} 4.0' in text
    assert "/run/a" not in text
