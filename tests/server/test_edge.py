"""What every request passes around the app: ids, headers, the log, figures, readiness."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_dash.errors import Unavailable
from ml_dash.server.access_log import Log
from ml_dash.server.auth import FileTokens, Gate
from ml_dash.server.edge import Edge
from ml_dash.server.metrics import Metrics
from ml_dash.server.readiness import of_folder
from ml_dash.server.tokens import TokenFile
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.guarded import Guarded, bearer, guarded
from tests.server.live import live


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


# ---------------------------------------------------------------- ids and headers


@pytest.mark.parametrize("given", ["a", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "trace:1/2.3_4=", "x" * 128])
def test_a_client_s_own_request_id_is_taken_over(server: Guarded, given: str) -> None:
    assert server("GET", "/api/v1/runs", {"X-Request-Id": given}).headers["x-request-id"] == given
    assert server.requests()[-1]["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "é", "a,b"])
def test_one_that_does_harm_in_headers_or_logs_is_replaced(server: Guarded, given: str) -> None:
    answer = server("GET", "/api/v1/runs", {"X-Request-Id": given.encode()})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_every_answer_has_an_id_and_the_headers_that_keep_browsers_from_guessing(server: Guarded) -> None:
    header = server.token("read")
    asked = [("GET", "/health", {}), ("GET", "/ready", header), ("GET", "/metrics", header), ("GET", "/nope", header),
             ("GET", "/api/v1/runs", header), ("GET", "/api/v1/runs", {}), ("POST", "/api/v1/append", header)]  # fmt: skip
    ids = set()
    for method, path, headers in asked:
        answer = server(method, path, headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == len(asked)


def test_a_stored_page_is_not_one_of_ours(server: Guarded) -> None:
    """Opened by its address, it may not run as a page of this server: it could read and delete everything."""
    run = server("PUT", "/api/v1/runs", json={"key": ["", "p", "n"], "patch": {}}).json()["id"]
    put = {"put": '{"filename": "evil.html", "content_type": "text/html"}'}
    stored = server("POST", f"/api/v1/runs/{run}/files", params=put, content=b"<script>alert(1)</script>")
    answer = server("GET", f"/api/v1/runs/{run}/files/{stored.json()['id']}/bytes")
    assert answer.content == b"<script>alert(1)</script>"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_docs_load_nothing_from_elsewhere_and_are_in_nobody_s_frame(server: Guarded) -> None:
    answer = server("GET", "/docs")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert re.findall(r"https?://[^\"']*", answer.text) == []


# ---------------------------------------------------------------- the log


def test_a_request_is_one_line_of_json(server: Guarded) -> None:
    token, secret = server.tokens.create("write")
    body = json.dumps({"key": ["", "p", "n"], "patch": {}}).encode()
    answer = server("PUT", "/api/v1/runs?x=1", bearer(secret), content=body)
    (line,) = server.requests()
    assert line.pop("ms") > 0
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", line.pop("time"))
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": answer.headers["x-request-id"],
        "method": "PUT",
        "path": "/api/v1/runs",
        "status": 200,
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "token": token.id,
        "client": "127.0.0.1",
    }


def test_a_refused_request_is_a_line_that_says_why(server: Guarded) -> None:
    token, secret = server.tokens.create("read")
    server.tokens.revoke(token.id)
    server("GET", "/ready", bearer(secret))
    server("GET", "/ready", bearer("wrong"))
    server("GET", "/ready")
    told = [(line["level"], line["status"], line["refused"], line["token"]) for line in server.requests()]
    assert told == [
        ("warning", 401, "revoked", token.id),
        ("warning", 401, "unknown", ""),
        ("warning", 401, "no token", ""),
    ]


def test_lines_figures_and_answers_hold_no_secret(server: Guarded) -> None:
    """Wherever a client put its token, and whatever else is in headers and queries."""
    _, secret = server.tokens.create("admin")
    good = bearer(secret)
    gone, revoked = server.tokens.create("admin")
    server.tokens.revoke(gone.id)
    answers = [
        server("GET", "/api/v1/runs", good),
        server("GET", "/api/v1/runs", bearer(revoked)),
        server("GET", "/api/v1/runs", {**good, "Cookie": "session=hunter2", "X-Request-Id": "safe"}),
        server("GET", f"/api/v1/runs?token={secret}&project=hunter2", good),
        server("GET", f"/api/v1/runs/{secret}", good),
        server("GET", f"/{revoked}/hunter3", {}),
        server("PUT", "/api/v1/runs", good, json={"key": ["", "p", secret], "patch": {"description": "hunter2"}}),
        server("POST", "/api/v1/append", good, content=f"hunter2 {secret}".encode()),
        server("GET", "/metrics", good),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 200, 200, 404, 401, 200, 400, 200]
    said = server.out.getvalue()
    for text in (secret, revoked, secret[4:], revoked[4:], "hunter2"):
        assert text not in said
        assert text not in answers[-1].text
    assert "/mld_…/hunter3" in [line["path"] for line in server.requests()]
    assert revoked not in answers[1].text


def test_what_a_client_writes_is_one_line_whatever_it_holds(server: Guarded) -> None:
    server("GET", '/a%0A{"event":"listening"}%00%1b[31m%ff')
    (line,) = server.lines()
    assert line["path"] == '/a\n{"event":"listening"}\x00\x1b[31m\ufffd'
    assert server.out.getvalue().count("\n") == 1


@pytest.mark.parametrize(("level", "statuses"), [("info", [200, 404]), ("warning", [404]), ("error", [])])
def test_the_level_says_which_lines_there_are(tmp_path: Path, level: str, statuses: list[int]) -> None:
    with guarded(tmp_path / "store", log_level=level) as server:
        server("GET", "/health")
        server("GET", "/nope")
        assert [line["status"] for line in server.requests()] == statuses


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An app that says so."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_no_request(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    log = Log(Full())
    edge = Edge(hello, Gate(FileTokens(TokenFile(tmp_path), log)), of_folder(store, None), Metrics(), log)
    with live(edge, lifespan="off", ws="none") as url:
        assert httpx.get(url + "/x").status_code == 200
    store.close()


# ---------------------------------------------------------------- figures


def figures(server: Guarded, headers: dict[str, str] | None = None) -> dict[str, float]:
    text = server("GET", "/metrics", headers).text
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}


def batch(run: str, count: int, seq: int = 0) -> bytes:
    lines = "".join(f'{{"index": {seq + i}, "data": {{"value": {i}}}}}\n' for i in range(count))
    head = {"run": run, "kind": "metrics", "name": "m", "count": count, "size": len(lines), "writer": "w", "seq": seq}
    return (json.dumps(head) + "\n" + lines).encode()


def test_figures_tell_what_was_stored_and_answered(server: Guarded) -> None:
    run = server("PUT", "/api/v1/runs", json={"key": ["", "p", "n"], "patch": {}}).json()["id"]
    body = batch(run, 5)
    for _ in range(2):
        assert server("POST", "/api/v1/append", content=body).status_code == 200
    server("GET", f"/api/v1/runs/{run}")
    found = figures(server)
    assert found["ml_dash_appends_total"] == 2
    assert found["ml_dash_points_total"] == 5, "what is sent twice is counted once"
    assert found["ml_dash_flush_seconds_count"] >= 2
    assert found["ml_dash_append_seconds_count"] == 2
    assert found['ml_dash_requests_total{method="POST",route="/api/v1/append",status="200"}'] == 2
    assert found['ml_dash_requests_total{method="GET",route="/api/v1/runs/{run}",status="200"}'] == 1
    assert found['ml_dash_request_seconds_count{route="/api/v1/append"}'] == 2
    assert found["ml_dash_request_bytes_total"] >= 2 * len(body)
    assert found["ml_dash_requests_in_flight"] == 1, "this one"
    assert found["process_resident_memory_bytes"] > 0


def test_whatever_clients_ask_for_the_figures_stay_as_many(server: Guarded) -> None:
    for i in range(20):
        server("GET", f"/nope/{i}")
        server("GET", f"/docs/{i}")
        server("GET", f"/api/v1/runs/{i}")
        server("PROPFIND" if i else "PURGE", "/pot")
    names = " ".join(figures(server))
    assert set(re.findall(r'route="([^"]*)"', names)) == {"(none)", "/docs/{name}", "/api/v1/runs/{run}"}
    assert set(re.findall(r'method="([^"]*)"', names)) == {"GET", "other"}


def test_figures_are_a_server_s_own(server: Guarded, tmp_path: Path) -> None:
    server("GET", "/health")
    with guarded(tmp_path / "other") as other:
        assert 'ml_dash_requests_total{method="GET",route="/health",status="200"}' not in figures(other)


def test_figures_need_no_more_than_read(server: Guarded) -> None:
    header = server.token("read", "somewhere")
    server("GET", "/ready")
    assert figures(server, header)['ml_dash_refused_total{reason="no token"}'] == 1


# ---------------------------------------------------------------- readiness


class Broken(MemoryStore):
    def get_run(self, run: Any) -> Any:
        raise Unavailable("the database is away")


def trouble(*args: Any, **options: Any) -> str:
    return asyncio.run(of_folder(*args, **options).health()).trouble


def test_ready_says_what_is_wrong(tmp_path: Path) -> None:
    assert trouble(LocalStore(tmp_path), str(tmp_path)) == ""
    assert trouble(MemoryStore(), None) == ""
    assert trouble(Broken(), None) == "the store does not answer: the database is away"
    assert "cannot be written" in trouble(MemoryStore(), str(tmp_path / "gone"))
    full = trouble(MemoryStore(), str(tmp_path), min_free=1 << 60)
    assert re.search(r"has [\d,]+ bytes of free space left; [\d,]+ are needed", full)
    assert os.listdir(tmp_path) == []


def test_a_store_that_hangs_is_told_of_in_time() -> None:
    go_on = threading.Event()

    class Hanging(MemoryStore):
        def get_run(self, run: Any) -> Any:
            go_on.wait(60)
            return super().get_run(run)

    async def ask() -> str:
        try:
            return (await of_folder(Hanging(), None, patience=0.05).health()).trouble
        finally:
            go_on.set()

    assert asyncio.run(ask()) == "the store has not answered for 0.05 s."


def test_ready_answers_503_with_the_reason(server: Guarded) -> None:
    assert server("GET", "/ready").json() == {"status": "ok"}
    server.folder.rename(server.folder.with_name("moved"))
    answer = server("GET", "/ready")
    assert answer.status_code == 503
    assert answer.json()["error"] == "Unavailable"
    assert "cannot be written" in answer.json()["message"]
    assert server("GET", "/health").status_code == 200
    server.folder.with_name("moved").rename(server.folder)
