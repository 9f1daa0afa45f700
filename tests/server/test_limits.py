"""What a client may ask of the server: bodies without end, bombs, names that lead elsewhere. Each is refused with a reason, and the
server's memory stays what it was."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import zstandard

from ml_dash.codec import encode_row
from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.model import METRICS, Batch, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.server.bodies import FRAMES, Budget, decompressed
from ml_dash.server.limits import MB, Limits
from ml_dash.server.refusals import Refused
from ml_dash.store import wire
from ml_dash.store.local import LocalStore
from tests.server.calls import append, batch, make_run, problem
from tests.server.live import live
from tests.server.processes import ServerProcess

GB = 1024 * MB
APPEND = {"content-type": wire.BATCHES}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server process with the limits that it has by default."""
    with ServerProcess(tmp_path_factory.mktemp("limits") / "runs") as server:
        yield server


@pytest.fixture
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=120) as api:
        yield api


@contextmanager
def grows_by_at_most(server: ServerProcess, limit: int) -> Iterator[None]:
    """The most memory that the server takes in here is at most `limit` bytes over what it takes before."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = most = process.memory_info().rss
    ended = threading.Event()

    def look() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert most - before <= limit, f"{(most - before) / MB:.0f} MB"


def send_raw(server: ServerProcess, head: str, pieces: Iterator[bytes]) -> bytes:
    """Send a head and pieces of a body until the server answers, then what it answers."""
    host, port = server.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        connection.sendall(head.encode())
        connection.setblocking(False)
        answer = b""
        for piece in pieces:
            at = 0
            while at < len(piece):
                with suppress(BlockingIOError):
                    answer += connection.recv(65_536)
                if b"\r\n\r\n" in answer:
                    return answer
                try:
                    at += connection.send(piece[at:])
                except BlockingIOError:
                    time.sleep(0.001)
        connection.settimeout(60)
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65_536)
        return answer


def test_a_body_of_10_gb_that_is_announced(server: ServerProcess) -> None:
    """It is refused by its length: before any of it is read."""
    for route in ("POST /api/v1/append", "PUT /api/v1/runs"):
        kind = wire.BATCHES if "append" in route else "application/json"
        head = f"{route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {10 * GB}\r\n\r\n"
        with grows_by_at_most(server, 20 * MB):
            answer = send_raw(server, head, iter([b"x"]))
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_10_gb_in_chunks(server: ServerProcess) -> None:
    """It is cut off where it passes the limit."""
    chunk = b"100000\r\n" + b"x" * MB + b"\r\n"
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10 * 1024):
            sent += MB
            yield chunk

    head = f"POST /api/v1/append HTTP/1.1\r\nHost: localhost\r\nContent-Type: {wire.BATCHES}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with grows_by_at_most(server, 200 * MB):
        answer = send_raw(server, head, chunks())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent <= 200 * MB


def zeros(size: int, make: Any, end: Any) -> bytes:
    """`size` bytes of nothing, compressed without holding them."""
    block = bytes(16 * MB)
    return b"".join([*(make(block) for _ in range(size // len(block))), end()])


def zstd_bomb(size: int, *, told: bool) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj(size if told else -1)
    return zeros(size, packer.compress, packer.flush)


def gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return zeros(size, packer.compress, packer.flush)


@pytest.mark.parametrize(
    ("coding", "size"), [("zstd, told", 10 * GB), ("zstd", 10 * GB), ("gzip", 2 * GB), ("gzip", 144 * MB)]
)
def test_a_bomb(server: ServerProcess, api: httpx.Client, coding: str, size: int) -> None:
    """A small body that becomes a huge one is refused with no more memory than a body may have."""
    bomb = gzip_bomb(size) if coding == "gzip" else zstd_bomb(size, told=coding.endswith("told"))
    assert len(bomb) < 4 * MB
    headers = {"content-encoding": coding.split(",", maxsplit=1)[0]}
    with grows_by_at_most(server, 350 * MB):
        answer = api.post("/append", content=bomb, headers={**APPEND, **headers})
        assert "decompressed" in problem(answer, 413, "InvalidInput")
    with grows_by_at_most(server, 80 * MB):
        answer = api.put("/runs", content=bomb, headers=headers)
        assert "decompressed" in problem(answer, 413, "InvalidInput")


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_many_small_frames(api: httpx.Client, coding: str) -> None:
    """Frames that hold nothing cost more to begin than to send: a body has few of them, and their sum counts."""
    frame = zstandard.compress(b"") if coding == "zstd" else gzip.compress(b"", mtime=0)
    answer = api.post("/append", content=frame * 1_000_000, headers={**APPEND, "content-encoding": coding})
    assert "frames" in problem(answer, 400, "InvalidInput")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 100_000, 3_000_000])
@pytest.mark.parametrize("frames", [1, 2, FRAMES])
@pytest.mark.parametrize("coding", ["zstd", "zstd, untold", "gzip"])
def test_whatever_is_compressed_comes_back(size: int, frames: int, coding: str) -> None:
    """Any number of frames of any size, and nothing of it where one byte is missing or too many."""
    content = bytes(range(251)) * (size // 251 + 1)
    part = content[:size]
    if coding == "gzip":
        packed = gzip.compress(part, mtime=0)
    elif coding == "zstd":
        packed = zstandard.compress(part)
    else:
        packer = zstandard.ZstdCompressor().compressobj()
        packed = packer.compress(part) + packer.flush()
    budget = Budget(GB)

    def unpacked(body: bytes) -> bytes:
        with budget.hold() as held:
            return decompressed(body, coding.split(",", maxsplit=1)[0], "the body", 200 * MB, held)

    assert unpacked(packed * frames) == part * frames
    for damaged in (packed[:-1], packed * frames + b"x", packed[: len(packed) // 2]):
        with pytest.raises(InvalidInput):
            unpacked(damaged)
    if size > 1:
        with pytest.raises(Refused, match="larger"), budget.hold() as held:
            decompressed(packed * frames, coding.split(",", maxsplit=1)[0], "the body", size * frames - 1, held)
    assert budget.taken == 0


ROWS = {
    "100,000 fields": json.dumps({f"f{n}": n for n in range(100_000)}).encode(),
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    "9 MB": b'{"a": "' + b"x" * (9 * MB) + b'"}',
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"a": NaN}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "no UTF-8": b'{"a": "\xff"}',
    "a list": b"[1]",
    "two": b'{"a": 1} {"b": 2}',
    "a comment": b'{"a": 1 /* x */}',
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_cannot_be_stored(server: ServerProcess, api: httpx.Client, name: str) -> None:
    """A row past the limits, or that is no strict JSON object, is named by its place; nothing of its request is stored."""
    run = make_run(api)
    series = SeriesKey(run, METRICS, "loss")
    body = wire.encode_batches(
        [Batch(series, [encode_row({"a": 0})]), Batch(series, [encode_row({"a": 1}), ROWS[name]])]
    )
    with grows_by_at_most(server, 300 * MB):
        answer = api.post("/append", content=body, headers=APPEND)
    problem(answer, 400, "InvalidRow")
    assert (answer.json()["batch"], answer.json()["row"]) == (1, 1)
    assert api.get(f"/runs/{run}/rows?kind=metrics&name=loss").content.startswith(b'{"start":0,"count":0,"total":0')


@pytest.mark.parametrize(
    "patch",
    [
        b'{"params": ' + ROWS["100,000 fields"] + b"}",
        b'{"params": ' + ROWS["deep"] + b"}",
        b'{"metadata": ' + ROWS["deep objects"] + b"}",
        b'{"params": {"a": ' + b"9" * 5_000 + b"}}",
        b'{"tags": "a"}',
        b'{"tags": [1]}',
        b'{"status": "DONE"}',
        b'{"metadata": []}',
        b'{"at": "now"}',
        b'{"writer": "w"}',
        b'{"writer": "w", "seq": -1}',
        b'{"leave": "a"}',
        b'{"join": ""}',
        b'{"join": "' + b"x" * 5_000 + b'"}',
        b'{"description": "' + b"x" * (17 * MB) + b'"}',
        b"[]",
        b"null",
        b"",
    ],
    ids=lambda patch: patch[:24].decode(),
)
def test_patches_that_cannot_be_applied(server: ServerProcess, api: httpx.Client, patch: bytes) -> None:
    """Wrong types and what is past a limit change nothing."""
    run = make_run(api)
    before = api.get(f"/runs/{run}").json()
    with grows_by_at_most(server, 300 * MB):
        answer = api.patch(f"/runs/{run}", content=patch, headers={"content-type": "application/json"})
    problem(answer, 413 if len(patch) > 16 * MB else 400, "InvalidInput")
    assert api.get(f"/runs/{run}").json() == before


EVIL = ["..", "../x", "a/../../x", "/etc/x", "a\\..\\x", "a\0b", "C:x", ".", "a//b", "x" * 300]


@pytest.mark.parametrize("name", EVIL)
def test_names_that_lead_elsewhere(server: ServerProcess, api: httpx.Client, name: str) -> None:
    """No name in any place of any call makes, reads or removes anything outside its place: it is refused, or harmless."""
    run = make_run(api)
    file = api.post(f"/runs/{run}/files", params={"put": '{"filename": "f"}'}, content=b"x").json()["id"]
    before = everything(Path(server.store).parent)
    one_folder = [
        api.put("/runs", json={"key": ["", name, "n"]}),
        api.put("/runs", json={"key": ["", "p", name]}),
        api.put("/runs", json={"key": [name, "p", "n"]}),
        api.get("/run", params={"project": name, "name": "n"}),
        api.patch(f"/runs/{run}", json={"join": name}),
        api.patch(f"/runs/{run}", json={"heartbeat": name}),
        api.patch(f"/runs/{run}", json={"leave": name, "status": "FAILED"}),
        api.post(f"/runs/{run}/files", params={"put": json.dumps({"filename": "g", "id": name})}, content=b"x"),
    ]
    assert {answer.status_code for answer in one_folder} == {400}, [answer.text for answer in one_folder]
    series = [
        api.patch(f"/runs/{run}", json={"series": [{"kind": METRICS, "name": name}]}),
        api.put("/runs", json={"key": ["", "project", "run"], "patch": {"series": [{"kind": METRICS, "name": name}]}}),
        append(api, batch(run, [1], name)),
        api.get(f"/runs/{run}/rows", params={"kind": METRICS, "name": name}),
        api.get(f"/runs/{run}/sample", params={"kind": METRICS, "name": name, "field": "f"}),
        api.post(f"/runs/{run}/files", params={"put": json.dumps({"filename": name})}, content=b"x"),
    ]
    if "\\" not in name:
        assert {answer.status_code for answer in series} == {400}, [answer.text for answer in series]
    unknown = [
        append(api, batch(name, [1])),
        *(
            api.request(method, path)
            for part in (_in_path(name, ""), _in_path(name, "/"))
            for method, path in (
                ("GET", f"/runs/{part}"),
                ("DELETE", f"/runs/{part}"),
                ("GET", f"/runs/{run}/files/{part}"),
                ("GET", f"/runs/{run}/files/{part}/bytes"),
            )
        ),
    ]
    assert {answer.status_code for answer in unknown} <= {404, 405}, [answer.text for answer in unknown]
    if "\\" not in name:
        assert everything(Path(server.store).parent) == before
    assert api.get(f"/runs/{run}/files/{file}/bytes").content == b"x"


def _in_path(name: str, safe: str) -> str:
    """The name in a path, dots encoded too: a client takes others away before it sends them."""
    return quote(name, safe=safe).replace(".", "%2E")


def everything(place: Path) -> list[str]:
    """What lies below `place`, but for what is a cache."""
    return sorted(str(path) for path in place.rglob("*") if ".cache" not in path.parts)


def test_a_head_without_end(api: httpx.Client) -> None:
    """A batch's head is on one line, of at most 1 MB."""
    answer = api.post("/append", content=b"{" * (2 * MB), headers=APPEND)
    assert "no head at byte 0" in problem(answer, 400, "InvalidInput")


@pytest.mark.parametrize("length", ["-1", "ten", "1_000", "²"])
def test_a_length_that_is_none(server: ServerProcess, length: str) -> None:
    """Whoever cannot say how long a body is, is not listened to."""
    head = f"POST /api/v1/append HTTP/1.1\r\nHost: localhost\r\nContent-Type: {wire.BATCHES}\r\nContent-Length: {length}\r\n\r\n"
    assert send_raw(server, head, iter([b"x"])).startswith(b"HTTP/1.1 400 ")


# ---------------------------------------------------------------- the budget


def test_bodies_that_do_not_fit_into_memory_together(store: LocalStore) -> None:
    """Who comes while others' bodies fill the budget is asked to come again; when they are done, or gone, there is room."""
    app = create_app(store, Limits(in_flight=MB))
    with live(app) as url:
        host, port = url.removeprefix("http://").split(":")
        with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
            run = make_run(api)
            assert append(api, batch(run, ["x" * 600_000])).status_code == 200
            with closing(socket.create_connection((host, int(port)))) as other:
                head = f"POST /api/v1/append HTTP/1.1\r\nHost: h\r\nContent-Type: {wire.BATCHES}\r\nContent-Length: 900000\r\n\r\n"
                other.sendall(head.encode() + b"x" * 800_000)
                give_up = time.monotonic() + 60
                while app.state.service.budget.taken < 800_000:
                    assert time.monotonic() < give_up
                    time.sleep(0.01)
                answer = append(api, batch(run, ["x" * 600_000]))
                assert "in a moment" in problem(answer, 503, "Unavailable")
                assert answer.headers["retry-after"] == "1"
                assert append(api, batch(run, [1])).status_code == 200
            while (answer := append(api, batch(run, ["x" * 600_000]))).status_code == 503:
                assert time.monotonic() < give_up
            assert answer.status_code == 200


def test_a_client_that_stops_in_the_middle_of_a_body(store: LocalStore) -> None:
    """It is told so, and what it sent is let go."""
    app = create_app(store, Limits(stall=0.2))
    with live(app) as url:
        host, port = url.removeprefix("http://").split(":")
        with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
            head = f"POST /api/v1/append HTTP/1.1\r\nHost: h\r\nContent-Type: {wire.BATCHES}\r\nContent-Length: 900000\r\n\r\n"
            connection.sendall(head.encode() + b"x" * 800_000)
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"nothing more came for 0.2 s" in answer
    assert app.state.service.budget.taken == 0


def test_what_is_taken_of_the_budget_is_given_back() -> None:
    """Also by who is refused in the middle."""
    budget = Budget(100, retry_after=3.0)
    with budget.hold() as one, budget.hold() as other:
        one.take(60)
        with pytest.raises(Unavailable) as refused:
            other.take(41)
        assert refused.value.retry_after == 3.0
        other.take(40)
        assert budget.taken == 100
    assert budget.taken == 0
