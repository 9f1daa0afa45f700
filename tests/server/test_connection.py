"""What one connection may take: slow and endless heads, bodies and readers, trailers, garbage, too many at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.server.connection import Waits
from tests.server.guarded import Guarded, guarded


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store") as one:
        yield one


def raw(url: str, *sent: bytes) -> bytes:
    """All that comes back for the bytes, until the server closes the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        for part in sent:
            client.sendall(part)
        got = b""
        try:
            while part := client.recv(65536):
                got += part
        except ConnectionResetError:
            pass
        return got


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store", waits=Waits(head=0.3, body=0.3, linger=0.3, reading=0.3)) as one:
        yield one


HEAD = b"POST /api/v1/append HTTP/1.1\r\nHost: localhost\r\n"


def test_a_head_that_does_not_end_is_given_up(impatient: Guarded) -> None:
    answer = raw(impatient.url, HEAD + b"X-Slow: ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"head did not end within 0.3 s" in answer


def test_a_connection_that_says_nothing_is_closed(impatient: Guarded) -> None:
    assert raw(impatient.url) == b""


def test_a_body_that_does_not_go_on_is_given_up(impatient: Guarded) -> None:
    assert b" 200 " not in raw(impatient.url, HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert impatient("GET", "/health").status_code == 200


def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(impatient: Guarded) -> None:
    """The client has its answer, and goes on sending a little at a time."""
    impatient.token("read")
    host, _, port = impatient.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(HEAD + b"Content-Length: 1000000\r\n\r\nabc")
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            drip(client, 1000)


def drip(client: socket.socket, times: int) -> None:
    for _ in range(times):
        client.sendall(b"x")
        time.sleep(0.02)


def test_a_head_without_an_end_takes_no_memory(server: Guarded) -> None:
    for filler in (b"X-Long: " + b"x" * 200_000, b"X: y\r\n" * 40_000):
        answer = raw(server.url, HEAD, filler)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""


def test_trailers_without_an_end_take_no_memory(server: Guarded) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    assert b" 200 " not in raw(server.url, chunked, b"X-Long: " + b"x" * 300_000)


def test_a_trailer_is_no_header(server: Guarded) -> None:
    """It comes after the request was let in or not."""
    _, secret = server.tokens.create("read")
    head = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw(server.url, head + b"0\r\nAuthorization: Bearer " + secret.encode() + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_what_is_no_http_is_told_so(server: Guarded) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"CONNECT example.com:80 HTTP/1.1\r\n\r\n",
    ):
        assert raw(server.url, garbage).startswith(b"HTTP/1.1 400 ")
    assert server("GET", "/health").status_code == 200


def test_an_upgrade_to_a_websocket_is_an_ordinary_request(server: Guarded) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    assert server("GET", "/api/v1/runs", upgrade).status_code == 200
    server.token("read")
    assert server("GET", "/api/v1/runs", upgrade).status_code == 401


def test_a_client_that_takes_nothing_of_its_answer_is_given_up(impatient: Guarded) -> None:
    """So that its answer does not stay in memory for as long as it likes."""
    run = impatient("PUT", "/api/v1/runs", json={"key": ["", "p", "n"], "patch": {}}).json()["id"]
    put = {"put": '{"filename": "f"}'}
    stored = impatient("POST", f"/api/v1/runs/{run}/files", params=put, content=b"x" * (64 << 20)).json()["id"]
    host, _, port = impatient.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"GET /api/v1/runs/{run}/files/{stored}/bytes HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        give_up = threading.Event()
        for _ in range(600):
            if [line for line in impatient.requests() if line["path"].endswith("/bytes")]:
                break
            give_up.wait(0.1)
        assert len([line for line in impatient.requests() if line["path"].endswith("/bytes")]) == 1


def test_more_connections_than_it_takes_are_sent_away(tmp_path: Path) -> None:
    with guarded(tmp_path / "store", max_connections=3) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        held = [socket.create_connection((host, int(port)), timeout=60) for _ in range(3)]
        for client in held:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        answer = raw(server.url)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b"as many connections as it takes (3)" in answer
        held[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200 ")
        for client in held:
            client.close()


def test_a_head_that_is_too_large_is_told_so(server: Guarded) -> None:
    for path, header in ((b"/health", b"x" * 66_000), (b"/api/v1/runs?project=" + b"x" * 40_000, b"x" * 30_000)):
        head = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Filler: " + header
        answer = raw(server.url, head + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
    assert server("GET", "/api/v1/runs", {"X-Filler": "x" * 50_000}).status_code == 200
