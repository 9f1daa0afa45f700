"""Who is let in: tokens on every route, scopes, namespaces, tokens that change while the server runs, and a server without any."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ml_dash.server.auth import Attempts
from ml_dash.server.tokens import TokenFile
from tests.server.guarded import Guarded, bearer, every_route, guarded

OURS = [
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("HEAD", "/ready"),
    ("HEAD", "/metrics"),
    ("GET", "/nope"),
    ("POST", "/"),
]
SIGNING_IN = "/api/v1/session"
"""What is to be had without a token, as is the page: see test_session and test_page."""
LISTENING = "/api/v1/live"
"""It answers for as long as somebody listens."""
QUESTIONS = {"/api/v1/samples", "/api/v1/summaries"}
"""Too long for an address, so that they are sent by POST; they change nothing."""
ROUTES = [
    *(one for one in every_route() if one[1] != SIGNING_IN),
    *OURS,
    *(("OPTIONS", path) for path in sorted({path for _, path in every_route()})),
]
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with tokens, and one run in each of two namespaces."""
    with guarded(tmp_path_factory.mktemp("served") / "store") as server:
        server.token("admin")
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


def filled(path: str, **values: str) -> str:
    """The path of a template; what is not given is "x"."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: values.get(found[1], "x"), path)


def expired(folder: Path, scope: str = "admin") -> str:
    long_ago = TokenFile(folder, clock=lambda: time.time() - 100 * 86400)
    return long_ago.create(scope, expires="1d")[1]


# ---------------------------------------------------------------- every route


def test_no_route_answers_without_a_token(served: Guarded) -> None:
    for method, path in ROUTES:
        answer = served(method, filled(path))
        assert answer.status_code == 401, (method, path)
        assert 'Bearer realm="ml-dash"' in answer.headers.get_list("www-authenticate")
        if method != "HEAD":
            assert answer.json()["error"] == "PermissionDenied"
            assert "`ml-dash token create`" in answer.json()["message"]


@pytest.mark.parametrize("kind", ["revoked", "expired", "unknown", "of a client's own"])
def test_no_route_answers_to_a_token_that_is_not_valid(served: Guarded, kind: str) -> None:
    token, revoked = served.tokens.create("admin")
    served.tokens.revoke(token.id)
    secret = {
        "revoked": revoked,
        "expired": expired(served.folder),
        "unknown": "mld_" + "x" * 43,
        "of a client's own": JWT,
    }[kind]
    answered = {served(method, filled(path), bearer(secret)).status_code for method, path in ROUTES}
    assert answered <= {401, 429}


def test_health_answers_to_anybody_and_says_nothing(served: Guarded) -> None:
    for headers in ({}, bearer("wrong"), {"Host": "elsewhere.example"}, {"Origin": "https://evil.example"}):
        answer = served("GET", "/health", headers)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert served("HEAD", "/health").status_code == 200
    assert served("POST", "/health").status_code == 401


def test_a_read_token_changes_nothing(served: Guarded) -> None:
    """It is told so before anything else is looked at, and reading is never forbidden to it."""
    header = served.token("read")
    for method, path in ROUTES:
        if path == LISTENING and method in ("GET", "HEAD"):
            with served.client.stream("GET", served.url + path, headers=header) as stream:
                assert stream.status_code == 200
            continue
        answer = served(method, filled(path), header)
        if method in ("GET", "HEAD"):
            assert answer.status_code in (200, 307, 400, 404, 422), (method, path)
        elif method == "OPTIONS" or path == "/":
            assert answer.status_code in (404, 405), (method, path)
        elif path in QUESTIONS:
            assert answer.status_code in (200, 400), (method, path)
        else:
            assert answer.status_code == 403, (method, path)
            assert answer.json()["error"] == "PermissionDenied"
            assert "`ml-dash token create --scope write`" in answer.json()["message"]


# ---------------------------------------------------------------- what is said


def message(answer: httpx.Response) -> str:
    assert answer.status_code == 401
    return str(answer.json()["message"])


def test_only_who_had_a_valid_token_is_told_what_became_of_it(server: Guarded) -> None:
    token, secret = server.tokens.create("read", name="a person")
    server.tokens.revoke(token.id)
    assert f"the token {token.id} was revoked at" in message(server("GET", "/ready", bearer(secret)))
    past = message(server("GET", "/ready", bearer(expired(server.folder))))
    assert re.search(r"the token [0-9a-f]{8} expired at 20\d\d-", past)
    assert "a person" not in past
    for wrong in (secret[:-1], secret + "x", token.id, token.sha256, "mld_", "Bearer", "mld_" + "é" * 10):
        assert "not one of this server's" in message(
            server("GET", "/ready", {"Authorization": f"Bearer {wrong}".encode()})
        )


def test_a_token_that_a_client_made_itself_is_told_how_to_get_one(server: Guarded) -> None:
    server.token("read")
    said = message(server("GET", "/api/v1/runs", bearer(JWT)))
    assert "made by the client itself, from user_name=" in said
    assert "`ml-dash token create`; give it as api_key=" in said


@pytest.mark.parametrize("header", ["Digest x", "mld_x", "Bearer", "", "Basic !", "basic eDp5"])
def test_another_kind_of_authorization_is_none(server: Guarded, header: str) -> None:
    server.token("read")
    said = message(server("GET", "/api/v1/runs", {"Authorization": header}))
    assert "expected `Bearer <token>`" in said


def test_two_authorizations_are_none(server: Guarded) -> None:
    """So that nobody in between can have looked at another one than this server."""
    good = server.token("read")["Authorization"]
    for other in (good, "Bearer wrong"):
        headers = [("Authorization", good), ("Authorization", other)]
        assert "two Authorization headers" in message(server("GET", "/ready", headers))


def test_the_scheme_is_in_any_case(server: Guarded) -> None:
    secret = server.token("read")["Authorization"].split()[1]
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert server("GET", "/ready", {"Authorization": f"{scheme} {secret}"}).status_code == 200


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{secret}".encode()).decode()}


def test_a_browser_can_ask_for_the_token_where_nothing_can_be_changed(server: Guarded) -> None:
    secret = server.token("admin")["Authorization"].split()[1]
    for path in ("/docs", "/docs/swagger-ui.css", "/openapi.json", "/metrics"):
        asked = server("GET", path)
        assert any(way.startswith("Basic ") for way in asked.headers.get_list("www-authenticate")), path
        assert server("GET", path, basic(secret)).status_code == 200
        assert server("GET", path, basic("wrong")).status_code == 401
        assert server("POST", path, basic(secret)).status_code == 401


def test_a_password_of_a_browser_is_no_token_anywhere_else(server: Guarded) -> None:
    """Browsers send it of their own accord, also where another site makes them."""
    secret = server.token("admin")["Authorization"].split()[1]
    for method, path in every_route():
        if not path.startswith(("/docs", "/openapi.json")):
            answer = server(method, filled(path), basic(secret))
            assert answer.status_code == 401
            assert not any("Basic" in way for way in answer.headers.get_list("www-authenticate"))


# ---------------------------------------------------------------- namespaces


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guarded, dict[str, str], str]]:
    """A server, a token for the namespace "ours", and the id of a run in "theirs"."""
    with guarded(tmp_path_factory.mktemp("shared") / "store") as server:
        made = server(
            "PUT", "/api/v1/runs", server.token("write"), json={"key": ["theirs", "p", "secret"], "patch": {}}
        )
        theirs = made.json()["id"]
        put = quote('{"filename": "f.txt", "id": "f1"}')
        stored = server("POST", f"/api/v1/runs/{theirs}/files?put={put}", server.token("write"), content=b"x")
        assert stored.status_code == 200, stored.text
        yield server, server.token("write", "ours"), theirs


OF_A_RUN = [(method, path) for method, path in every_route() if "{run}" in path]
QUERY = "?kind=metrics&name=m&field=value&put=" + quote('{"filename": "f.txt"}')


def body(method: str, path: str) -> dict[str, Any]:
    """One that the route takes, so that nothing but the run is in its way."""
    if method not in ("POST", "PATCH", "PUT"):
        return {}
    if path.endswith("/files") and not path.startswith("/api"):
        return {"files": {"file": ("f.txt", b"x")}, "data": {"prefix": "/"}}
    point = {"value": 1}
    logs = [{"timestamp": "2026-01-01T00:00:00Z", "level": "info", "message": "m"}]
    more = {"status": "COMPLETED"} if path.endswith("/status") else {"tags": ["a"]}
    of_append = {"data": point, "dataPoints": [point]}
    return {"json": {**more, **({} if path.startswith("/api") else {**of_append, "logs": logs})}}


def test_a_run_of_another_namespace_is_as_unknown_as_one_that_never_was(shared) -> None:
    server, ours, theirs = shared
    never = "0" * len(theirs)
    assert len(OF_A_RUN) > 10
    for method, path in OF_A_RUN:
        answers = []
        for run in (theirs, never):
            answer = server(method, filled(path, run=run, file="f1") + QUERY, ours, **body(method, path))
            answers.append((answer.status_code, answer.text.replace(run, "ID")))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == 404, (method, path, answers)


def test_names_and_lists_of_other_namespaces_are_not_there(shared) -> None:
    server, ours, theirs = shared
    assert server("GET", "/api/v1/runs", ours).json() == {"runs": []}
    for namespace in ("theirs", "never"):
        answer = server("GET", f"/api/v1/run?project=p&name=secret&namespace={namespace}", ours)
        assert answer.status_code == 404
        assert server("GET", f"/api/v1/runs?namespace={namespace}", ours).status_code == 404
        put = {"key": [namespace, "p", "secret"], "patch": {}}
        assert server("PUT", "/api/v1/runs", ours, json=put).status_code == 404
    assert server("GET", f"/api/v1/runs/{theirs}", server.token("read", "theirs")).status_code == 200
    assert server("GET", f"/api/v1/runs/{theirs}", server.token("read")).status_code == 200


def test_rows_for_a_run_of_another_namespace_are_refused_whole(shared) -> None:
    server, ours, theirs = shared
    mine = server("PUT", "/api/v1/runs", ours, json={"key": ["", "p", "mine"], "patch": {}}).json()
    assert mine["key"] == ["ours", "p", "mine"]
    line = '{"index": 0, "data": {"value": 1}}\n'
    body = "".join(
        f'{{"run":"{run}","kind":"metrics","name":"m","count":1,"size":{len(line)}}}\n{line}'
        for run in (mine["id"], theirs)
    )
    answer = server("POST", "/api/v1/append", ours, content=body)
    assert answer.status_code == 404
    for run in (mine["id"], theirs):
        assert server("GET", f"/api/v1/runs/{run}/series", server.token("read")).json() == {"series": []}


# ---------------------------------------------------------------- tokens that change


def test_a_running_server_knows_a_token_from_the_next_request_on(server: Guarded) -> None:
    assert server("GET", "/api/v1/runs").status_code == 200
    header = server.token("read")
    assert server("GET", "/api/v1/runs").status_code == 401
    assert server("GET", "/api/v1/runs", header).status_code == 200
    server.tokens.revoke(server.tokens.load()[0].id)
    assert "revoked" in message(server("GET", "/api/v1/runs", header))


def test_a_token_expires_while_the_server_runs(server: Guarded) -> None:
    header = server.token("read", expires="1h")
    assert server("GET", "/ready", header).status_code == 200
    server.ahead[0] = 3590
    assert server("GET", "/ready", header).status_code == 200
    server.ahead[0] = 3601
    assert "expired at" in message(server("GET", "/ready", header))


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_without_a_valid_token_left_the_server_stays_closed(server: Guarded, end: str) -> None:
    if end == "expired":
        expired(server.folder)
    else:
        token, _ = server.tokens.create("read")
        server.tokens.revoke(token.id)
    assert server("GET", "/api/v1/runs").status_code == 401


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "no tokens", "a folder"])
def test_damaged_tokens_close_the_server_and_whole_ones_open_it(server: Guarded, damage: str) -> None:
    header = server.token("admin")
    path = Path(server.tokens.path)
    whole = path.read_bytes()
    assert server("GET", "/ready", header).status_code == 200
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"cut": whole[:-20], "empty": b"", "no tokens": b'{"version":1,"tokens":[]}'}[damage])
    for headers in (header, {}, bearer("wrong")):
        answer = server("GET", "/api/v1/runs", headers)
        assert answer.status_code == 503
        assert answer.json()["error"] == "Unavailable"
        assert str(path) not in answer.text
        assert answer.headers["retry-after"] == "10"
    assert server("GET", "/health").status_code == 200
    (told,) = [line for line in server.lines() if line["event"] == "tokens unreadable"]
    assert "Nobody is let in: " in told["message"]
    assert str(path) in told["message"]
    if damage == "a folder":
        path.rmdir()
    path.write_bytes(whole)
    assert server("GET", "/ready", header).status_code == 200
    assert server("GET", "/ready").status_code == 401
    assert server.lines()[-3]["event"] == "tokens readable"


def test_tokens_that_go_before_the_first_request_leave_it_closed_too(tmp_path: Path) -> None:
    TokenFile(tmp_path / "store").create("read")
    with guarded(tmp_path / "store") as server:
        Path(server.tokens.path).unlink()
        assert server("GET", "/api/v1/runs").status_code == 503


def test_a_server_that_others_reach_never_runs_open(tmp_path: Path) -> None:
    """Whatever became of the tokens that it was started with."""
    with guarded(tmp_path / "store", local=False) as server:
        assert server("GET", "/api/v1/runs").status_code == 503
        assert server("GET", "/health").status_code == 200
        assert server("GET", "/api/v1/runs", server.token("read")).status_code == 200


# ---------------------------------------------------------------- guessing


def test_who_guesses_is_slowed_down_and_who_has_a_token_is_not(server: Guarded) -> None:
    good = server.token("read")
    statuses = [server("GET", "/ready", bearer(f"mld_guess{i}")).status_code for i in range(40)]
    assert statuses == [401] * 30 + [429] * 10
    slowed = server("GET", "/ready", bearer("mld_guess"))
    assert slowed.json()["error"] == "Unavailable"
    assert "not one of this server's" in slowed.json()["message"]
    assert 0 < int(slowed.headers["retry-after"]) <= 60
    assert server("GET", "/ready", good).status_code == 200
    assert server("GET", "/ready").status_code == 401


def test_attempts_count_by_address_and_window() -> None:
    now = [0.0]
    attempts = Attempts(limit=2, window=60, clock=lambda: now[0])
    assert [attempts.failed("10.0.0.1") for _ in range(3)] == [0, 0, 60]
    assert attempts.failed("10.0.0.2") == 0
    now[0] = 45
    assert attempts.failed("10.0.0.1") == 15
    now[0] = 60
    assert attempts.failed("10.0.0.1") == 0


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    attempts = Attempts(limit=2)
    assert [attempts.failed(f"2001:db8:1:2::{i}") > 0 for i in range(4)] == [False, False, True, True]
    assert attempts.failed("2001:db8:1:3::1") == 0


def test_attempts_of_many_addresses_take_little_memory() -> None:
    attempts = Attempts()
    for i in range(25_000):
        attempts.failed(f"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}")
    assert len(attempts._failed) == Attempts._MAX_ADDRESSES


# ---------------------------------------------------------------- without tokens


def test_without_tokens_any_authorization_is_let_through(server: Guarded) -> None:
    """The published clients sign one themselves."""
    for headers in ({}, bearer(JWT), bearer("anything"), {"Authorization": "Basic x"}):
        assert server("GET", "/api/v1/runs", headers).status_code == 200
        put = {"key": ["", "p", "n"], "patch": {}}
        assert server("PUT", "/api/v1/runs", headers, json=put).status_code == 200
