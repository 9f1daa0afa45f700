"""Signing in at the dashboard: a cookie in place of a token, that counts for the server's own pages alone and as long as the token."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ml_dash
from ml_dash.model import RunKey, RunPatch
from ml_dash.server import cookie
from ml_dash.server.tokens import Token, TokenFile, digest, mint
from ml_dash.store.local import LocalStore
from tests.server.guarded import Guarded, every_route, guarded
from tests.server.test_auth import LISTENING, QUESTIONS, filled

OWN = {"X-ML-Dash": "1", "Sec-Fetch-Site": "same-origin"}
SESSION = "/api/v1/session"
PUT = {"key": ["", "p", "n"], "patch": {}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


def secret_of(header: dict[str, str]) -> str:
    return header["Authorization"].split()[1]


def sign_in(server: Guarded, secret: str, **headers: str) -> httpx.Response:
    server.client.cookies.clear()
    answer = server("POST", SESSION, {**OWN, **headers}, json={"token": secret})
    server.client.cookies.clear()  # what is sent, each test says
    return answer


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    """The header that a browser sends from now on."""
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def signed_in(server: Guarded, scope: str = "admin", *namespaces: str, expires: str | None = None) -> dict[str, str]:
    return cookie_of(sign_in(server, secret_of(server.token(scope, *namespaces, expires=expires))))


def morsel(answer: httpx.Response) -> Any:
    (one,) = SimpleCookie(answer.headers["set-cookie"]).values()
    return one


# ---------------------------------------------------------------- signing in and out


def test_without_tokens_everybody_here_is_signed_in_at_once(server: Guarded) -> None:
    said = server("GET", SESSION).json()
    assert re.fullmatch("[0-9a-f]{16}", said.pop("instance"))
    assert said == {
        "signed_in": True,
        "asks_for_token": False,
        "scope": "admin",
        "namespaces": None,
        "token": None,
        "version": ml_dash.__version__,
        "place": str(server.folder),
    }
    answer = sign_in(server, "whatever")
    assert (answer.status_code, answer.json()["signed_in"]) == (200, True)
    assert "set-cookie" not in answer.headers
    assert server("DELETE", SESSION, OWN).status_code == 204


def test_without_tokens_other_sites_are_kept_out_of_it(server: Guarded) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        for method in ("GET", "POST", "DELETE"):
            assert server(method, SESSION, {"Host": "localhost:3000", **headers}).status_code == 403


def test_with_tokens_nobody_is_signed_in_and_nothing_is_said_of_the_server(server: Guarded) -> None:
    server.token("admin")
    said = server("GET", SESSION).json()
    assert (said["signed_in"], said["asks_for_token"], said["scope"], said["namespaces"], said["token"]) == (
        False,
        True,
        None,
        None,
        None,
    )
    assert said["place"] == ""
    assert str(server.folder) not in server("GET", SESSION).text


def test_a_token_signs_in_and_the_cookie_does_what_the_token_does(server: Guarded) -> None:
    token, secret = server.tokens.create("write", ["ours"])
    answer = sign_in(server, f"  {secret}\n")
    said = answer.json()
    assert (said["signed_in"], said["scope"], said["namespaces"], said["token"]) == (True, "write", ["ours"], token.id)
    assert said["place"] == ""
    with_cookie = cookie_of(answer)
    assert server("GET", SESSION, with_cookie).json() == said
    made = server("PUT", "/api/v1/runs", {**with_cookie, **OWN}, json=PUT)
    assert made.json()["key"] == ["ours", "p", "n"]
    assert [run["id"] for run in server("GET", "/api/v1/runs", with_cookie).json()["runs"]] == [made.json()["id"]]
    assert server("GET", "/api/v1/runs?namespace=theirs", with_cookie).status_code == 404
    assert server("GET", "/docs", with_cookie).status_code == 200
    assert [line["token"] for line in server.requests()] == [token.id] * 6


def test_an_admin_of_everything_is_told_what_is_served(server: Guarded) -> None:
    assert server("GET", SESSION, signed_in(server)).json()["place"] == str(server.folder)
    assert server("GET", SESSION, signed_in(server, "admin", "ours")).json()["place"] == ""
    assert server("GET", SESSION, signed_in(server, "read")).json()["place"] == ""


def test_no_script_reads_the_cookie_and_no_other_site_has_it_sent(server: Guarded) -> None:
    secret = secret_of(server.token("read"))
    one = morsel(sign_in(server, secret))
    assert (one["httponly"], one["samesite"], one["path"], one["domain"], one["secure"]) == (
        True,
        "Strict",
        "/",
        "",
        "",
    )
    assert int(one["max-age"]) == cookie.LONGEST
    port = httpx.URL(server.url).port
    assert one.key == f"ml_dash_{port}"
    by_tls = sign_in(server, secret, Host="dash.example.com", Origin="https://dash.example.com")
    assert (morsel(by_tls).key, morsel(by_tls)["secure"]) == ("ml_dash", True)


def test_the_cookie_lasts_no_longer_than_the_token(server: Guarded) -> None:
    answer = sign_in(server, secret_of(server.token("read", expires="1h")))
    assert 3500 < int(morsel(answer)["max-age"]) <= 3600
    with_cookie = cookie_of(answer)
    assert server("GET", "/api/v1/runs", with_cookie).status_code == 200
    server.ahead[0] = 3601
    assert "expired at" in server("GET", "/api/v1/runs", with_cookie).json()["message"]
    assert not server("GET", SESSION, with_cookie).json()["signed_in"]


def test_signing_out_has_the_browser_forget(server: Guarded) -> None:
    with_cookie = signed_in(server)
    answer = server("DELETE", SESSION, {**with_cookie, **OWN})
    assert (answer.status_code, answer.content) == (204, b"")
    one = morsel(answer)
    assert (one.value, one["max-age"], one["path"], one["httponly"]) == ("", "0", "/", True)
    assert server("DELETE", SESSION, OWN).status_code == 204


def test_a_revoked_token_ends_the_sign_in_with_the_next_request(server: Guarded) -> None:
    with_cookie = signed_in(server)
    token = server.tokens.load()[-1]
    assert server("GET", "/api/v1/runs", with_cookie).status_code == 200
    server.tokens.revoke(token.id)
    refused = server("GET", "/api/v1/runs", with_cookie)
    assert refused.status_code == 401
    assert f"the token {token.id}, with which you signed in, was revoked at" in refused.json()["message"]
    assert server("GET", SESSION, with_cookie).json()["signed_in"] is False
    assert (server.requests()[-2]["refused"], server.requests()[-2]["token"]) == ("cookie revoked", token.id)
    assert server("GET", "/docs", with_cookie).headers.get_list("www-authenticate")[-1].startswith("Basic ")


def test_every_server_over_the_same_tokens_takes_it(tmp_path: Path) -> None:
    """Whichever of them somebody signed in at, and whether or not it has been started again since."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(guarded(tmp_path / "store")) for _ in range(2))
        with_cookie = signed_in(one)
        value = with_cookie["Cookie"].partition("=")[2]
        name = f"ml_dash_{httpx.URL(other.url).port}"
        assert other("GET", "/api/v1/runs", {"Cookie": f"{name}={value}"}).status_code == 200
        assert one("GET", SESSION).json()["instance"] != other("GET", SESSION).json()["instance"]


def test_a_token_that_is_none_signs_nobody_in_and_is_counted(server: Guarded) -> None:
    token, revoked = server.tokens.create("read")
    server.tokens.revoke(token.id)
    good = secret_of(server.token("read"))
    for wrong, said in (
        (revoked, "was revoked at"),
        ("mld_x", "not one of this server's"),
        (token.sha256, "not one of"),
    ):
        answer = sign_in(server, wrong)
        assert answer.status_code == 401
        assert said in answer.json()["message"]
        assert "set-cookie" not in answer.headers
    assert [line["refused"] for line in server.requests()] == ["revoked", "unknown", "unknown"]
    statuses = [sign_in(server, f"mld_guess{i}").status_code for i in range(40)]
    assert statuses == [401] * 27 + [429] * 13
    assert int(sign_in(server, "mld_guess").headers["retry-after"]) > 0
    assert sign_in(server, good).status_code == 200
    assert 'ml_dash_refused_total{reason="too many"}' in server("GET", "/metrics", server.token("read")).text


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 5}, {"token": "x" * 2000}, [], "x"])
def test_a_body_that_is_none_is_told(server: Guarded, body: Any) -> None:
    server.token("read")
    answer = server("POST", SESSION, OWN, json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidInput")


def test_who_has_no_token_sends_no_large_body(server: Guarded) -> None:
    server.token("read")
    answer = server("POST", SESSION, OWN, json={"token": "x" * 10_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "InvalidInput")


def test_an_authorization_that_is_wrong_is_refused_there_too(server: Guarded) -> None:
    header = server.token("write")
    assert server("GET", SESSION, header).json()["scope"] == "write"
    assert server("GET", SESSION, {"Authorization": "Bearer wrong"}).status_code == 401


# ---------------------------------------------------------------- other sites


CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "something new"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:3001"},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:3000.evil.example"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("site", CROSS)
def test_a_cookie_does_not_count_where_another_site_s_page_asks(server: Guarded, site: dict[str, str]) -> None:
    secret = secret_of(server.token("admin"))
    here = {"Host": "localhost:3000"}
    with_cookie = cookie_of(sign_in(server, secret, **here))
    for method, path in (
        ("GET", "/api/v1/runs"),
        ("GET", SESSION),
        ("PUT", "/api/v1/runs"),
        ("DELETE", SESSION),
        ("GET", "/docs"),
    ):
        answer = server(method, path, {**here, **with_cookie, "X-ML-Dash": "1", **site})
        assert answer.status_code == 403, (method, path)
        assert answer.json()["error"] == "PermissionDenied"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "set-cookie" not in answer.headers
    # … and nobody is signed in by another site, into an account of its choice.
    refused = server("POST", SESSION, {**here, "X-ML-Dash": "1", **site}, json={"token": secret})
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize(
    "site",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:3000"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://LOCALHOST:3000"},
        {},
    ],
)
def test_it_counts_for_the_server_s_own_pages(server: Guarded, site: dict[str, str]) -> None:
    """By plain HTTP on another name than localhost a browser sends neither header with a GET; the cookie itself it keeps to our own
    pages by SameSite."""
    here = {"Host": "localhost:3000", **site}
    with_cookie = cookie_of(sign_in(server, secret_of(server.token("admin")), Host="localhost:3000"))
    assert server("GET", "/api/v1/runs", {**here, **with_cookie}).status_code == 200
    assert server("PUT", "/api/v1/runs", {**here, **with_cookie, "X-ML-Dash": "1"}, json=PUT).status_code == 200


@pytest.mark.parametrize("header", [{}, {"X-ML-Dash": ""}, {"X-ML-Dash": "0"}, {"X-ML-Dash": "1, 1"}])
def test_what_changes_something_needs_the_page_s_own_header(server: Guarded, header: dict[str, str]) -> None:
    """A form cannot send it, and a script of another site would have to be allowed to."""
    secret = secret_of(server.token("admin"))
    with_cookie = cookie_of(sign_in(server, secret))
    for method, path in every_route():
        if path.startswith("/api/") and method not in ("GET", "HEAD"):
            answer = server(method, filled(path), {**with_cookie, "Sec-Fetch-Site": "same-origin", **header})
            assert (answer.status_code, answer.json()["message"][:10]) == (403, "X-ML-Dash:"), (method, path)
    assert server("POST", SESSION, header, json={"token": secret}).status_code == 403
    assert server("GET", "/api/v1/runs", with_cookie).json() == {"runs": []}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_a_form_of_another_site_changes_nothing(server: Guarded, kind: str) -> None:
    """As a browser of old sends it, with the cookie and without a word of where it comes from."""
    with_cookie = signed_in(server)
    for path in ("/api/v1/runs", SESSION, "/api/v1/flush"):
        answer = server("POST", path, {**with_cookie, "Content-Type": kind}, content=b'{"token": "x"}=')
        assert answer.status_code == 403, path
    assert server("GET", SESSION, with_cookie).json()["signed_in"]


def test_a_preflight_is_answered_with_nothing_that_allows_anything(server: Guarded) -> None:
    server.token("read")
    asks = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-ml-dash",
    }
    for path in (SESSION, "/api/v1/runs", "/"):
        answer = server("OPTIONS", path, asks)
        assert answer.status_code == 401
        assert not [name for name in answer.headers if name.startswith("access-control")]


# ---------------------------------------------------------------- where it counts, and as what


def test_it_counts_for_the_page_s_routes_and_not_for_the_published_clients(server: Guarded) -> None:
    with closing(LocalStore(server.folder)) as store:
        run = store.put_run(RunKey("", "p", "n"), RunPatch()).id
    with_cookie = {**signed_in(server), **OWN}
    for method, path in every_route():
        if path == LISTENING and method in ("GET", "HEAD"):
            with server.client.stream("GET", server.url + path, headers=with_cookie) as stream:
                assert stream.status_code == 200
            continue
        if path == SESSION:
            continue
        status = server(method, filled(path, run=run), with_cookie).status_code
        if path.startswith(("/api/", "/docs", "/openapi.json")):
            assert status not in (401, 403), (method, path)
        else:
            assert status == 401, (method, path)
        if method == "DELETE" and path == "/api/v1/runs/{run}":
            assert status == 204


def test_a_read_token_s_cookie_changes_nothing(server: Guarded) -> None:
    with_cookie = {**signed_in(server, "read"), **OWN}
    for method, path in every_route():
        if not path.startswith("/api/") or path in (SESSION, LISTENING):
            continue
        answer = server(method, filled(path), with_cookie)
        if method in ("GET", "HEAD"):
            assert answer.status_code in (200, 400, 404), (method, path)
        elif path not in QUESTIONS:
            assert answer.status_code == 403, (method, path)
            assert "`ml-dash token create --scope write`" in answer.json()["message"]


def test_a_token_in_the_request_goes_before_the_cookie(server: Guarded) -> None:
    with_cookie = signed_in(server, "admin")
    read = server.token("read")
    assert server("GET", SESSION, {**with_cookie, **read}).json()["scope"] == "read"
    assert server("PUT", "/api/v1/runs", {**with_cookie, **read, **OWN}, json=PUT).status_code == 403
    assert server("GET", "/api/v1/runs", {**with_cookie, "Authorization": "Bearer wrong"}).status_code == 401


def test_a_token_in_an_address_is_none(server: Guarded) -> None:
    """Addresses end up in histories, logs and other sites' hands."""
    secret = secret_of(server.token("admin"))
    for path in (
        f"/api/v1/runs?token={secret}",
        f"/api/v1/runs?api_key={secret}",
        f"/api/v1/runs?access_token={secret}",
    ):
        assert server("GET", path).status_code == 401
    assert not server("GET", f"{SESSION}?token={secret}").json()["signed_in"]
    assert server("POST", f"{SESSION}?token={secret}", OWN, json={}).status_code == 400


# ---------------------------------------------------------------- what the cookie is


def test_neither_the_cookie_nor_the_tokens_file_holds_the_token(server: Guarded) -> None:
    token, secret = server.tokens.create("read")
    value = cookie_of(sign_in(server, secret))["Cookie"].partition("=")[2]
    bits = base64.urlsafe_b64decode(value.partition(".")[2] + "==")
    for text in (secret, secret[4:], token.sha256):
        assert text not in value
        assert text.encode() not in bits
    assert bytes.fromhex(token.sha256) not in bits
    said = server.out.getvalue()
    assert secret not in said
    assert value not in said


def test_who_has_the_tokens_file_alone_can_make_no_cookie(server: Guarded) -> None:
    """A stolen backup opens nothing: a cookie is made of the token's text, of which the file has the hash."""
    token, secret = server.tokens.create("admin")
    for guess in (token.sha256, "", "mld_", token.id, secret[:-1]):
        forged = cookie.locked(token, guess)
        name = f"ml_dash_{httpx.URL(server.url).port}"
        assert server("GET", "/api/v1/runs", {"Cookie": f"{name}={forged}"}).status_code == 401
    assert cookie.opened(cookie.locked(token, secret), {token.id: token}.get) == token


def test_a_cookie_of_another_token_or_with_another_bit_is_none(server: Guarded) -> None:
    ours, other = server.tokens.create("admin"), server.tokens.create("read")
    value = cookie.locked(*other)
    name = f"ml_dash_{httpx.URL(server.url).port}"
    text = value.partition(".")[2]
    wrong = ["", ".", "x", value[:-2], value + "AA", value.partition(".")[0], f"{ours[0].id}.{text}", f".{text}", "é" * 9,
             value.replace(text[0], "B" if text[0] == "A" else "A", 1), f"{other[0].id}.", f"{other[0].id}.!!!"]  # fmt: skip
    for one in wrong:
        answer = server("GET", "/api/v1/runs", {"Cookie": f"{name}={one}".encode()})
        assert answer.status_code == 401, one
        assert "Sign in again" in answer.json()["message"]
    assert server("GET", "/api/v1/runs", {"Cookie": f"a=b; {name}={value}; c=d"}).status_code == 200
    assert server("GET", "/api/v1/runs").status_code == 401


def test_cookies_that_are_not_valid_keep_nobody_from_signing_in(server: Guarded) -> None:
    """A page that was left open asks again and again."""
    name = f"ml_dash_{httpx.URL(server.url).port}"
    secret = secret_of(server.token("read"))
    for _ in range(50):
        assert server("GET", "/api/v1/runs", {"Cookie": f"{name}=gone.AAAA"}).status_code == 401
    assert sign_in(server, "mld_wrong").status_code == 401
    assert sign_in(server, secret, Cookie=f"{name}=gone.AAAA").status_code == 200


def test_two_cookies_of_our_name_are_none(server: Guarded) -> None:
    """One of them was planted, by a page of a neighbouring host, say; nobody knows which."""
    good = signed_in(server)["Cookie"]
    other = signed_in(server, "read")["Cookie"]
    for both in (f"{good}; {good}", f"{good}; {other}", f"{other}; {good}"):
        answer = server("GET", "/api/v1/runs", {"Cookie": both})
        assert answer.status_code == 401
        assert "two cookies of one name" in answer.json()["message"]
        assert not server("GET", SESSION, {"Cookie": both}).json()["signed_in"]
    headers = [("Cookie", good), ("Cookie", other)]
    assert server("GET", "/api/v1/runs", headers).status_code == 401


def test_servers_on_other_ports_have_cookies_of_their_own(server: Guarded) -> None:
    """Browsers keep them by host: one server would sign the other's users out."""
    value = signed_in(server)["Cookie"].partition("=")[2]
    for name in ("ml_dash", "ml_dash_1", "ML_DASH"):
        assert server("GET", "/api/v1/runs", {"Cookie": f"{name}={value}"}).status_code == 401


def token_of(secret: str) -> Token:
    return Token("an id; of ours", "", digest(secret), "read", (), "2026-01-01T00:00:00.000000Z")


@given(secret=st.text(max_size=100).filter(lambda text: text.isprintable()))
def test_what_was_locked_opens_and_is_never_the_same_twice(secret: str) -> None:
    token = token_of(secret)
    values = {cookie.locked(token, secret) for _ in range(3)}
    assert len(values) == 3
    for value in values:
        assert re.fullmatch(r"[\w.%~-]+", value), "what a cookie may hold"
        assert cookie.opened(value, {token.id: token}.get) == token
        assert cookie.opened(value, lambda _: None) is None
        assert cookie.opened(value, {token.id: token_of(secret + "x")}.get) is None


@given(value=st.text(max_size=60))
def test_whatever_comes_opens_nothing_and_breaks_nothing(value: str) -> None:
    token, _ = mint("read", (), "", None, time.time())
    assert cookie.opened(value, lambda _: token) is None


def test_tokens_that_were_made_before_open_as_well(server: Guarded) -> None:
    """Nothing has to be kept of a token for it but what always was."""
    _, secret = TokenFile(server.folder, clock=lambda: time.time() - 50 * 86400).create("read", expires="60d")
    assert 9 * 86400 < int(morsel(sign_in(server, secret))["max-age"]) < 11 * 86400
