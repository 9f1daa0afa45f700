"""What is large goes in parts and comes back as one: appends, pages and files through a RemoteStore, over real sockets."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash.codec import encode_row, render
from ml_dash.errors import InvalidRow, Unavailable
from ml_dash.model import LOGS, METRICS, Batch, FilePut, Page, RunKey, RunPatch, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.server.limits import Limits
from ml_dash.store import remote
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from ml_dash.testing import NASTY_ROWS
from tests.server.cutting_proxy import Answer, CuttingProxy, Lose, Pass
from tests.server.live import live
from tests.server.zeros import zeros

KEY = RunKey("", "project", "run")


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "root")
    yield store
    store.close()


@pytest.fixture
def proxy(behind: LocalStore) -> Iterator[CuttingProxy]:
    """A server that gives small pages, behind a proxy."""
    with live(create_app(behind, Limits(page=500))) as url, CuttingProxy(url) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: CuttingProxy) -> Iterator[RemoteStore]:
    store = RemoteStore(proxy.url)
    yield store
    store.close()


@pytest.fixture
def run(store: RemoteStore) -> str:
    return store.put_run(KEY, RunPatch()).id


def rows(first: int, stop: int) -> list[bytes]:
    return [encode_row({"value": i}) for i in range(first, stop)]


# ---------------------------------------------------------------- large calls


def test_a_large_append_goes_in_parts(
    proxy: CuttingProxy, store: RemoteStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, one answer a batch; no batch is divided, however large."""
    monkeypatch.setattr(remote, "MOST", 1_000)
    loss = SeriesKey(run, METRICS, "loss")
    sizes = [1, 5, 30, 100, 2, 3, 1, 0, 4]
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    before = len(proxy.requests)
    batches = [Batch(loss, rows(first, first + size), "w", first) for first, size in zip(firsts, sizes, strict=True)]
    answers = store.append(batches)
    assert [(a.first, a.count) for a in answers] == [(f if s else None, s) for f, s in zip(firsts, sizes, strict=True)]
    assert store.read(loss, 0, None).lines == render(METRICS, 0, rows(0, sum(sizes)))
    assert 3 <= len([r for r in proxy.requests[before:] if r.method == "POST"]) < len(sizes)


def test_a_bad_row_of_a_large_append_is_named_by_its_place_in_the_call(
    store: RemoteStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number among all batches of the call, of which those sent before it are stored."""
    monkeypatch.setattr(remote, "MOST", 1_000)
    loss = SeriesKey(run, METRICS, "loss")
    batches = [Batch(loss, rows(i * 20, i * 20 + 20)) for i in range(5)]
    with pytest.raises(InvalidRow) as caught:
        store.append([*batches, Batch(loss, [*rows(0, 2), b"{"])])
    assert (caught.value.batch, caught.value.row) == (5, 2)
    assert 0 < store.read(loss, 0, None).total <= 100


@pytest.mark.parametrize("kind", [METRICS, LOGS])
def test_pages_are_joined(proxy: CuttingProxy, store: RemoteStore, behind: LocalStore, run: str, kind: str) -> None:
    """What the server gives in many pages is one, equal to that of the store behind it, for every range; `limit=0` asks once."""
    series = SeriesKey(run, kind, "" if kind == LOGS else "loss")
    pad = [encode_row({"value": i, "pad": "x" * (i * 7 % 90)}) for i in range(60)]
    for at in range(0, 60, 4):
        store.append(
            [Batch(series, pad[at : at + 4], times=((0, 1_700_000_000_000 + at), (2, 1_700_000_000_001 + at)))]
        )
    before = len(proxy.requests)
    for start, limit in ((0, None), (0, 60), (0, 61), (7, 31), (59, None), (60, None), (99, 5), (3, 1), (0, 0), (5, 0)):
        assert spoken(store.read(series, start, limit)) == spoken(behind.read(series, start, limit))
    assert len(proxy.requests) > before + 20
    before = len(proxy.requests)
    assert store.read(series, 0, 0).total == 60
    assert len(proxy.requests) == before + 1


def spoken(page: Page) -> Any:
    return page.kind, page.start, page.count, page.total, page.lines, page.ticks


def test_a_page_that_grows_while_it_is_read_is_of_one_moment(
    proxy: CuttingProxy, store: RemoteStore, behind: LocalStore, run: str
) -> None:
    """Rows that come between two of its pages are not in it: its length is the first one's."""
    loss = SeriesKey(run, METRICS, "loss")
    store.append([Batch(loss, rows(0, 100))])

    class Grow(Pass):
        def run(self, exchange: Any) -> bool:
            behind.append([Batch(loss, rows(0, 7))])
            return super().run(exchange)

    proxy.otherwise = Grow()
    page = store.read(loss, 0, None)
    assert (page.count, page.total) == (107, 107)  # it grew once before the first
    assert page.lines.count(b"\n") == 107
    proxy.heal()
    assert store.read(loss, 0, 0).total > 107


def test_nasty_rows_through_small_pages(store: RemoteStore, run: str) -> None:
    """Rows far larger than a page come one a page, byte for byte."""
    loss = SeriesKey(run, METRICS, "loss")
    nasty = [encode_row(row) for row in NASTY_ROWS] * 3
    store.append([Batch(loss, nasty)])
    assert store.read(loss, 0, None).lines == render(METRICS, 0, nasty)


# ---------------------------------------------------------------- files


def test_files_stream_both_ways(store: RemoteStore, run: str) -> None:
    """Memory does not grow with the file: 300 MB go up and come down in far less."""
    size = 300 * 1024 * 1024
    before = peak()
    record = store.put_file(run, zeros(size), FilePut("large.bin"))
    assert record.size_bytes == size
    stream, came = store.get_file(run, record.id)[1], 0
    with stream:
        while piece := stream.read(1 << 20):
            came += len(piece)
    assert came == size
    assert peak() - before < 100 * 1024 * 1024


def peak() -> int:
    """The most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)


def test_a_stream_that_is_closed_early(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """Its connection ends and no other call is disturbed; closing twice does nothing, and so does letting it go unread."""
    record = store.put_file(run, zeros(5_000_000), FilePut("f"))
    for _ in range(3):
        with store.get_file(run, record.id)[1] as stream:
            assert stream.read(10) == bytes(10)
        stream.close()
        store.get_file(run, record.id)[1].close()
    assert store.get_run(run).id == run


@pytest.mark.parametrize("after", [5_000, 200_000, -1])
def test_a_stream_that_ends_early_is_not_the_file(
    proxy: CuttingProxy, store: RemoteStore, run: str, after: int
) -> None:
    """Its reader gets what came, then `Unavailable`; never an end."""
    record = store.put_file(run, zeros(300_000), FilePut("f"))
    proxy.only = lambda request: request.target.endswith("/bytes")
    proxy.plan(Lose(after))
    came: list[bytes] = []
    with (
        store.get_file(run, record.id)[1] as stream,
        pytest.raises(Unavailable, match=r"file .* \(f\): the bytes came in part"),
    ):
        came.extend(iter(lambda: stream.read(1000), b""))
    assert sum(map(len, came)) < 300_000
    assert proxy.left == 0


@pytest.mark.parametrize("sent", [b"x" * 10, b"x" * 400])
def test_a_stream_of_another_size_is_not_the_file(
    proxy: CuttingProxy, store: RemoteStore, run: str, sent: bytes
) -> None:
    """What answers whole, but with fewer or more bytes than the record tells, is not the file either."""
    record = store.put_file(run, zeros(300), FilePut("f"))
    proxy.only = lambda request: request.target.endswith("/bytes")
    proxy.plan(Answer(200, sent))
    with store.get_file(run, record.id)[1] as stream, pytest.raises(Unavailable, match="came in part"):
        stream.read()


def test_what_is_said_of_a_file_may_be_long(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """Longer than an address may be: all of it is there, and no address was long."""
    put = FilePut("f", "/p", "größe " * 5_000, ["tag"] * 1_000, "text/plain", {"notes": "雪" * 50_000}, "put-1")
    for _ in range(2):
        record = store.put_file(run, io.BytesIO(b"x"), put)
        assert (record.id, record.description, record.tags, record.metadata) == (
            put.id,
            put.description,
            put.tags,
            put.metadata,
        )
        assert (record.content_type, record.filename, record.path) == ("text/plain", "f", "/p")
    assert max(len(request.target) for request in proxy.requests) < 8_000
    store.put_file(run, io.BytesIO(b"y"), FilePut("f", "/p"))
    assert store.put_file(run, io.BytesIO(b"x"), put).deleted_at is not None
