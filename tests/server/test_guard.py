"""Where a request may come from: this machine by its own names, own pages; not other sites, proxies and rebound names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.asgi import Refused
from ml_dash.server.guard import check_host, check_local, is_loopback
from tests.server.guarded import Guarded, guarded


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


def scope(*headers: tuple[str, str], method: str = "GET") -> dict[str, Any]:
    return {"method": method, "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]}


LOCAL = ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.0.0.1:3000", "127.8.9.10:1", "[::1]", "[::1]:3000"]
FOREIGN = [
    "",
    "example.com",
    "localhost.example.com",
    "127.0.0.1.example.com:3000",
    "localhost:3000.example.com",
    "example.com#localhost",
    "example.com/localhost",
    "localhost@example.com",
    "localhost, example.com",
    "0.0.0.0:3000",
    "10.0.0.1:3000",
    "[::]",
    "[::ffff:10.0.0.1]",
    "::1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "localhost.",
    "localhost:3000:3000",
    "localhost:",
    "[localhost]",
    "local\u00adhost",
]


@pytest.mark.parametrize("host", LOCAL)
def test_this_machine_by_its_own_names_is_let_in(host: str) -> None:
    check_local(scope(("Host", host)))


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_was_made_to_mean_this_machine_is_not(host: str) -> None:
    """DNS rebinding: the page's own name, resolved to 127.0.0.1, is what its browser sends as Host."""
    with pytest.raises(Refused, match="Host: expected localhost, 127.0.0.1 or") as refused:
        check_local(scope(("Host", host)))
    assert (refused.value.status, refused.value.reason) == (403, "host")


def test_a_request_with_no_or_two_hosts_is_not() -> None:
    for headers in (
        [],
        [("Host", "localhost"), ("Host", "example.com")],
        [("Host", "localhost"), ("Host", "localhost")],
    ):
        with pytest.raises(Refused, match="Host"):
            check_local(scope(*headers))


HERE = ("Host", "localhost:3000")


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "http://localhost:3000"), ("Sec-Fetch-Site", "same-origin")],
        [("Origin", "https://localhost:3000")],
        [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")],
        [("User-Agent", "python-httpx"), ("Referer", "https://example.com/")],
    ],
)
def test_own_pages_programs_and_links_are_let_in(headers: list[tuple[str, str]]) -> None:
    check_local(scope(HERE, *headers))


ATTACKS = [
    [("Origin", "https://evil.example")],
    [("Origin", "http://evil.example:3000")],
    [("Origin", "null")],
    [("Origin", "")],
    [("Origin", "http://localhost")],
    [("Origin", "http://localhost:8888")],
    [("Origin", "http://127.0.0.1:3000")],
    [("Origin", "http://localhost:3000.evil.example")],
    [("Origin", "http://localhost:3000@evil.example")],
    [("Origin", "http://user@localhost:3000")],
    [("Origin", "http://localhost:3000/path")],
    [("Origin", "file://localhost:3000")],
    [("Origin", "http://[")],
    [("Origin", "http://localhost:3000"), ("Origin", "https://evil.example")],
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
    [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "something new")],
]


@pytest.mark.parametrize("headers", ATTACKS)
def test_a_page_of_another_site_is_not(headers: list[tuple[str, str]]) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        with pytest.raises(Refused, match="This server has no tokens") as refused:
            check_local(scope(HERE, *headers, method=method))
        assert (refused.value.status, refused.value.reason) == (403, "origin")


def test_a_form_that_another_site_submits_is_not_a_link() -> None:
    visit = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    with pytest.raises(Refused, match="Sec-Fetch-Site"):
        check_local(scope(HERE, *visit, method="POST"))


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_what_a_proxy_passes_on_from_elsewhere_is_not(name: str) -> None:
    """A proxy that writes its own Host would make everybody local."""
    with pytest.raises(Refused, match=f"through a proxy .it has the header {name.lower()}") as refused:
        check_local(scope(HERE, (name, "203.0.113.9")))
    assert (refused.value.status, refused.value.reason) == (403, "proxy")


def test_allowed_hosts_are_those_and_loopback() -> None:
    allowed = {"dash.example.com"}
    for host in ("dash.example.com", "DASH.example.com:443", *LOCAL):
        check_host(scope(("Host", host)), allowed)
    for host in ("example.com", "x.dash.example.com", "dash.example.com.evil.example", ""):
        with pytest.raises(Refused, match="--allowed-host"):
            check_host(scope(("Host", host)), allowed)


def test_loopback_is_what_cannot_be_made_to_mean_another_machine() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.255.255.254", "::1", "[::1]")] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "example.com", "foo.localhost", "", "192.168.0.1")))


def test_attacks_reach_nothing_through_the_whole_server(server: Guarded) -> None:
    put = {"key": ["", "p", "n"], "patch": {}}
    for attack in [{"Host": "evil.example"}, *map(dict, ATTACKS), {"X-Forwarded-For": "203.0.113.9"}]:
        headers = {"Host": "localhost:3000", **attack}
        for path in ("/api/v1/runs", "/docs", "/openapi.json", "/metrics", "/ready", "/nope"):
            assert server("GET", path, headers).status_code == 403, (path, headers)
        answer = server("PUT", "/api/v1/runs", headers, json=put)
        assert answer.status_code == 403
        assert answer.json()["error"] == "PermissionDenied"
        assert "access-control-allow-origin" not in answer.headers
    assert server("GET", "/api/v1/runs").json() == {"runs": []}


def test_with_tokens_a_page_of_another_site_has_none(tmp_path: Path) -> None:
    with guarded(tmp_path / "store", allowed_hosts=("dash.example.com",)) as server:
        header = server.token("read")
        site = {"Origin": "https://dash.example.com", "Sec-Fetch-Site": "cross-site"}
        assert server("GET", "/api/v1/runs", site).status_code == 401
        assert server("GET", "/api/v1/runs", {**header, **site}).status_code == 200
        assert server("GET", "/api/v1/runs", {**header, "Host": "dash.example.com"}).status_code == 200
        assert server("GET", "/api/v1/runs", {**header, "Host": "evil.example"}).status_code == 403
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = server("OPTIONS", "/api/v1/append", preflight)
        assert answer.status_code == 401
        assert not [name for name in answer.headers if name.startswith("access-control")]
