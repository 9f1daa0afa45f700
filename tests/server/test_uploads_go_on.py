"""Large files whose connection breaks: the next try sends what the server has not, whatever store is behind the server."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ml_dash.errors import Conflict, InvalidInput, Unavailable
from ml_dash.model import FilePatch, FilePut, RunKey, RunPatch
from ml_dash.server.app import create_app
from ml_dash.server.limits import Limits
from ml_dash.store.base import Store
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from ml_dash.store.remote import RemoteStore
from ml_dash.store.wire import dump
from ml_dash.testing import contents, same
from tests.server.live import live
from tests.services import Place, TcpProxy
from tests.tiered.runs_and_files import RunsAndFiles

MB = 1 << 20
SIZE = 48 * MB
MOST_AGAIN = 8 * MB
"""Bytes that a cut may cost: what is in the buffers of four sockets, and what the server has not written yet."""
PIECE = MB


@pytest.fixture(scope="module")
def noise() -> bytes:
    return random.Random(0).randbytes(SIZE)


@pytest.fixture(params=["folder", "tiers"])
def behind(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fresh_database: Callable[[], str],
    s3_place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Store]]:
    """Handles on one store, each as a server of its own has it."""
    made: list[Store] = []
    uri, runs = fresh_database(), MemoryStore()
    s3_place.set(monkeypatch)

    def handle() -> Store:
        folder = request.param == "folder"
        made.append(
            LocalStore(tmp_path / "root") if folder else RunsAndFiles(runs, Hot(uri), Cold(s3_place.url), piece=PIECE)
        )
        return made[-1]

    yield handle
    for store in made:
        store.close()


class Counted(io.BytesIO):
    """A file that counts the bytes which were read of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.count += len(block)
        return block


def put_of(content: bytes) -> FilePut:
    return FilePut("model.pt", "/models", "weights", id="put-1", checksum=sha256(content).hexdigest())


def run_of(store: Store) -> str:
    return store.put_run(RunKey("", "project", "run"), RunPatch()).id


def test_a_connection_that_is_cut_costs_little(behind: Callable[[], Store], noise: bytes) -> None:
    """Cut four times within one call: the call returns the file, and all that was sent twice is what was under way."""
    store = behind()
    with live(create_app(store)) as url, TcpProxy("127.0.0.1", urlsplit(url).port or 0) as proxy:
        client = RemoteStore(f"http://127.0.0.1:{proxy.port}")
        run = run_of(client)
        source, cuts = Counted(noise), 4
        done = threading.Event()

        def cut() -> None:
            for _ in range(cuts):
                proxy.cut_after(10 * MB)
                while proxy._left is not None and not done.is_set():
                    time.sleep(0.005)

        cutter = threading.Thread(target=cut)
        proxy.cut_after(10 * MB)
        cutter.start()
        try:
            record = client.put_file(run, source, put_of(noise))
        finally:
            done.set()
            cutter.join()
        assert (record.size_bytes, record.checksum) == (SIZE, put_of(noise).checksum)
        assert proxy.connections > cuts
        assert SIZE < source.count <= SIZE + cuts * MOST_AGAIN
        assert contents(store, run, record) == noise
        assert [f.id for f in client.find_files(run)] == ["put-1"]
        client.close()


def test_another_call_and_another_server_go_on(behind: Callable[[], Store], noise: bytes) -> None:
    """A client that was ended, and a server that was replaced by another, lose no more than that either."""
    first, second = behind(), behind()
    with live(create_app(first)) as one, live(create_app(second)) as two:
        client = RemoteStore(one)
        run = run_of(client)

        class Dies(Counted):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.count >= 30 * MB:
                    raise KeyboardInterrupt
                return super().read(size)

        with pytest.raises(KeyboardInterrupt):
            client.put_file(run, Dies(noise), put_of(noise))
        client.close()
        _await_kept(one, run, noise, 29 * MB)
        source, other = Counted(noise), RemoteStore(two)
        record = other.put_file(run, source, put_of(noise))
        assert source.count <= 18 * MB + MOST_AGAIN
        assert contents(first, run, record) == noise
        again = Counted(noise)
        assert same(other.put_file(run, again, put_of(noise)), record)
        other.update_file(run, record.id, FilePatch(deleted=True))
        assert other.put_file(run, again, put_of(noise)).deleted_at is not None
        assert again.count == 0
        other.close()


def test_a_file_without_a_checksum_goes_on_too(behind: Callable[[], Store], noise: bytes) -> None:
    """The client makes the sum first: with other content nothing of what was kept is used."""
    store = behind()
    with live(create_app(store)) as url:
        client = RemoteStore(url)
        run = run_of(client)
        put = FilePut("f", id="put-1")

        class Dies(Counted):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.count >= SIZE + 20 * MB:
                    raise KeyboardInterrupt
                return super().read(size)

        with pytest.raises(KeyboardInterrupt):
            client.put_file(run, Dies(noise), put)
        other = noise[:-1] + bytes([noise[-1] ^ 1])
        source = Counted(other)
        record = client.put_file(run, source, put)
        assert source.count == 2 * SIZE
        assert contents(store, run, record) == other
        with pytest.raises(Conflict):
            client.put_file(run, io.BytesIO(noise), put)
        client.close()


def test_what_was_kept_is_damaged(tmp_path: Path, noise: bytes) -> None:
    """As after a crash of the server's machine: the whole file is sent again, within the call."""
    store = LocalStore(tmp_path / "root")
    with live(create_app(store)) as url:
        client = RemoteStore(url)
        run = run_of(client)
        _send_part(url, run, noise, 20 * MB)
        [part] = [path for path in tmp_path.rglob(".tmp-part@*") if path.stat().st_size > 10 * MB]
        other = LocalStore(tmp_path / "root")  # which has no sum of it in memory
        with part.open("r+b") as file:
            file.write(b"damage")
        store._sums = other._sums
        source = Counted(noise)
        record = client.put_file(run, source, put_of(noise))
        assert source.count > SIZE
        assert contents(store, run, record) == noise
        assert not list(tmp_path.rglob(".tmp-part@*"))
        other.close()
        client.close()
    store.close()


def _send_part(url: str, run: str, content: bytes, size: int) -> None:
    """The first `size` bytes of a file, and then no more."""

    def body() -> Iterator[bytes]:
        for at in range(0, size, MB):
            yield content[at : at + MB]
        raise KeyboardInterrupt

    query = {"put": dump(put_of(content)).decode(), "offset": "0"}
    with pytest.raises(KeyboardInterrupt), httpx.Client() as http:
        http.post(f"{url}/api/v1/runs/{run}/files", params=query, content=body())


def _await_kept(url: str, run: str, content: bytes, size: int) -> None:
    """Return when the server has stored what was sent to it before its client went."""
    until = time.monotonic() + 30
    with httpx.Client() as http:
        query = {"put": dump(put_of(content)).decode()}
        while http.post(f"{url}/api/v1/runs/{run}/upload", params=query).json()["offset"] < size:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_the_calls(behind: Callable[[], Store], noise: bytes) -> None:
    """What is kept is told; a body that begins elsewhere is a `Conflict` that says where to go on, and changes nothing."""
    store = behind()
    content = noise[: 3 * MB]
    put = dump(put_of(content)).decode()
    with live(create_app(store)) as url, httpx.Client(base_url=f"{url}/api/v1") as http:
        run = run_of(store)
        _send_part(url, run, content, 2 * MB)
        _await_kept(url, run, content, 2 * MB)
        told = http.post(f"/runs/{run}/upload", params={"put": put}).json()
        assert told == {"offset": 2 * MB}
        for offset in (0, 5, 3 * MB, 1 << 60):
            answer = http.post(f"/runs/{run}/files", params={"put": put, "offset": offset}, content=content[offset:])
            assert answer.status_code == 409
            assert answer.json()["expected"] == 2 * MB
        assert store.find_files(run) == []
        rest = content[2 * MB :]
        answer = http.post(f"/runs/{run}/files", params={"put": put, "offset": 2 * MB}, content=rest)
        assert answer.json()["checksum"] == put_of(content).checksum
        told = http.post(f"/runs/{run}/upload", params={"put": put}).json()
        assert (told["offset"], told["file"]["id"]) == (3 * MB, "put-1")
        bare = dump(FilePut("f")).decode()
        for query in ({"put": bare, "offset": "0"}, {"put": put, "offset": "-1"}, {"put": put, "offset": "x"}):
            assert http.post(f"/runs/{run}/files", params=query, content=b"").status_code == 400
        assert http.post(f"/runs/{run}/upload", params={"put": bare}).json() == {"offset": 0}
        assert http.post("/runs/none/upload", params={"put": put}).status_code == 404


def test_a_limit_holds_for_the_whole(tmp_path: Path) -> None:
    """The rest of a file that is larger than the server takes is refused."""
    store = LocalStore(tmp_path / "root")
    content = bytes(3000)
    with live(create_app(store, Limits(file=2000))) as url, httpx.Client(base_url=f"{url}/api/v1") as http:
        run = run_of(store)
        query = {"put": dump(put_of(content)).decode(), "offset": "1500"}
        for body in (content[1500:], iter([content[1500:]])):
            answer = http.post(f"/runs/{run}/files", params=query, content=body)
            assert answer.status_code in (409, 413)
        answer = http.post(f"/runs/{run}/files", params=query | {"offset": "0"}, content=iter([content]))
        assert answer.status_code == 413
    store.close()


def test_a_server_that_cannot_go_on(tmp_path: Path, noise: bytes) -> None:
    """One of before this: the file is sent as a whole."""
    store = LocalStore(tmp_path / "root")
    app = create_app(store)
    app.router.routes = [route for route in app.router.routes if not getattr(route, "path", "").endswith("/upload")]
    with live(app) as url:
        client = RemoteStore(url)
        run = run_of(client)
        source = Counted(noise)
        assert contents(store, run, client.put_file(run, source, put_of(noise))) == noise
        assert source.count == SIZE
        client.close()
    store.close()


def test_a_wrong_file_is_refused_once(tmp_path: Path, noise: bytes) -> None:
    """A file that is not what its checksum says is not sent for ever."""
    store = LocalStore(tmp_path / "root")
    with live(create_app(store)) as url:
        client = RemoteStore(url)
        run = run_of(client)
        source = Counted(noise)
        with pytest.raises(InvalidInput, match="sha256"):
            client.put_file(run, source, put_of(b"other"))
        assert source.count == SIZE
        assert not list(tmp_path.rglob(".tmp-part@*"))
        client.close()
    store.close()


def test_a_server_that_is_away(noise: bytes) -> None:
    """Is said at once: to wait is the uploader's."""
    client = RemoteStore("http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        client.put_file("run", io.BytesIO(noise), put_of(noise))
    client.close()
