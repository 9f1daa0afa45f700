"""RemoteStore's connections, over real sockets: kept alive, taken up again, given up in time, one set a process; what networks and
proxies do in between is `Unavailable` with an instruction, and nothing of it is a verdict on what was sent.
"""

from __future__ import annotations

import gc
import io
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import cast

import httpx
import pytest

from ml_dash.codec import encode_row, render
from ml_dash.errors import InvalidInput, MlDashError, NotFound, PermissionDenied, Unavailable
from ml_dash.model import METRICS, Batch, FilePut, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from ml_dash.testing import in_threads
from tests.server.cutting_proxy import Answer, CuttingProxy, Lose, Slow, Stall
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
    """A server behind a proxy."""
    with live(create_app(behind)) as url, CuttingProxy(url) as proxy:
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


# ---------------------------------------------------------------- kept alive


def test_calls_share_a_connection(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """One after the other, all kinds of bodies among them, all use one; closing ends it, and the next call makes another."""
    loss = SeriesKey(run, METRICS, "loss")
    for i in range(10):
        store.append([Batch(loss, rows(i, i + 1))])
        store.read(loss, 0, None)
        record = store.put_file(run, io.BytesIO(b"x" * 600_000), FilePut("f"))
        with store.get_file(run, record.id)[1] as stream:
            assert stream.read() == b"x" * 600_000
        with pytest.raises(NotFound):
            store.get_run("nobody")
    assert proxy.connections == 1
    store.close()
    store.close()
    assert store.get_run(run).id == run
    assert proxy.connections == 2


def test_a_connection_that_was_ended_is_replaced(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """A server that started again ended what was kept: no call notices, one that must not be sent twice included."""
    loss = SeriesKey(run, METRICS, "loss")
    for i in range(5):
        proxy.cut()
        store.append([Batch(loss, rows(i, i + 1))])
        proxy.cut()
        assert store.read(loss, 0, None).total == i + 1


def test_threads_have_connections_of_their_own(store: RemoteStore, run: str) -> None:
    """Eight threads on one store, some closing it: every answer is the one to that thread's question."""

    def work(thread: int) -> None:
        series = SeriesKey(run, METRICS, f"series/{thread}")
        for i in range(10):
            store.append([Batch(series, rows(100 * thread + i, 100 * thread + i + 1), "w", i)])
            assert store.read(series, i, 1).lines == render(METRICS, i, rows(100 * thread + i, 100 * thread + i + 1))

    in_threads(work)


def test_a_forked_child_has_connections_of_its_own(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """The child's calls go over a new connection; the parent's, which the child inherited, serves the parent as before, also
    after the child has closed its store and gone."""
    loss = SeriesKey(run, METRICS, "loss")
    store.append([Batch(loss, rows(0, 1))])
    assert proxy.connections == 1

    def in_child() -> None:
        for _ in range(2):
            store.append([Batch(loss, rows(1, 2))])
            store.close()

    assert forked(in_child) == 0
    assert proxy.connections == 3
    store.append([Batch(loss, rows(2, 3))])
    assert store.read(loss, 0, None).total == 4
    assert proxy.connections == 3


def test_a_fork_beside_calls(store: RemoteStore, run: str) -> None:
    """A child that is forked while another thread is in the middle of calls: neither hangs, neither gets the other's answers."""
    loss, other = SeriesKey(run, METRICS, "loss"), SeriesKey(run, METRICS, "other")
    store.append([Batch(other, rows(0, 50))])
    done = threading.Event()
    failed: list[BaseException] = []

    def busy() -> None:
        try:
            at = 0
            while not done.is_set():
                store.append([Batch(loss, rows(at, at + 1), "w", at)])
                at += 1
                assert store.read(loss, at - 1, None).lines == render(METRICS, at - 1, rows(at - 1, at))
        except BaseException as e:
            failed.append(e)

    def in_child() -> None:
        for _ in range(3):
            assert store.read(other, 0, None).lines == render(METRICS, 0, rows(0, 50))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert [forked(in_child) for _ in range(5)] == [0] * 5
    finally:
        done.set()
        thread.join()
    assert not failed


def forked(work: Callable[[], None]) -> int:
    """`work()` in a forked child; 0 where it returned."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            gc.collect()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ---------------------------------------------------------------- what networks do


def test_nobody_there(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """A closed port is `Unavailable` with the URL and what to look at; when it is open again, calls go through."""
    proxy.refuse()
    with pytest.raises(Unavailable, match=rf"{proxy.url} cannot be reached .*ml-dash server"):
        store.get_run(run)
    proxy.listen()
    assert store.get_run(run).id == run


def test_a_host_that_is_not_known() -> None:
    """A name that leads nowhere is `Unavailable` too: it may, once the network is there."""
    store = RemoteStore("http://ml-dash.invalid:3000")
    with pytest.raises(Unavailable, match=r"ml-dash\.invalid:3000 cannot be reached"):
        store.find_runs(RunQuery())
    store.close()


@pytest.mark.parametrize("forward", [False, True])
def test_silence_is_not_waited_for_longer_than_said(proxy: CuttingProxy, run: str, forward: bool) -> None:
    """A request that nobody answers ends at the timeout, and is not sent a second time."""
    store = RemoteStore(proxy.url, timeout=0.3)
    proxy.plan(Stall(forward))
    before = len(proxy.requests)
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
        store.get_run(run)
    assert len(proxy.requests) == before + 1
    store.close()


def test_a_slow_line_is_no_failure(proxy: CuttingProxy, store: RemoteStore, run: str) -> None:
    """The timeout counts from the last byte: an answer that takes longer as a whole comes through."""
    loss = SeriesKey(run, METRICS, "loss")
    store.append([Batch(loss, [encode_row({"text": os.urandom(2_000).hex()})])])
    patient = RemoteStore(proxy.url, timeout=1.5)
    proxy.plan(Slow(0.1, 100))
    begin = time.monotonic()
    assert patient.read(loss, 0, None).count == 1
    assert time.monotonic() - begin > 1.8
    patient.close()


@pytest.mark.parametrize("after", [-1, -30, -200])
def test_an_answer_in_part_is_none(proxy: CuttingProxy, store: RemoteStore, run: str, after: int) -> None:
    """A page, a record, a sample whose end is missing is not taken for a shorter one, and not asked for again behind the back."""
    loss = SeriesKey(run, METRICS, "loss")
    store.append([Batch(loss, rows(0, 10))])
    calls: list[Callable[[], object]] = [
        lambda: store.read(loss, 0, None),
        lambda: store.get_run(run),
        lambda: store.sample(loss, "value", None, 0, None, 5),
    ]
    for call in calls:
        proxy.plan(Lose(after))
        with pytest.raises(Unavailable, match="came in part"):
            call()
        assert proxy.left == 0
        call()


# ---------------------------------------------------------------- what answers


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("3", 3, 3),
        ("0", 0, 0),
        ("2.5", 2.5, 2.5),
        ("-4", 0, 0),
        ("in an hour", 3000, 3600),
        ("an hour ago", 0, 0),
        ("soon", None, None),
        ("inf", None, None),
        ("nan", None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_when_to_come_again(
    proxy: CuttingProxy, store: RemoteStore, run: str, status: int, header: str, low: float | None, high: float | None
) -> None:
    """Retry-After, in seconds or as a date, from whatever it is that answers; what makes no sense says nothing."""
    if "hour" in header:
        header = formatdate(time.time() + (3600 if header == "in an hour" else -3600), usegmt=True)
    proxy.plan(Answer(status, b"<html>slow down</html>", {"Retry-After": header}))
    with pytest.raises(Unavailable, match=f"HTTP {status}") as caught:
        store.get_run(run)
    told = caught.value.retry_after
    assert told is None if low is None else told is not None and low <= told <= cast("float", high)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(500, b"oops"), Unavailable),
        (Answer(502, b"<html>Bad Gateway</html>"), Unavailable),
        (Answer(404, b'{"detail":"Not Found"}', {"Content-Type": "application/json"}), Unavailable),
        (Answer(409, b""), Unavailable),
        (Answer(401, b"<html>who are you</html>"), PermissionDenied),
        (Answer(403, b""), PermissionDenied),
        (Answer(413, b"<html>too large</html>"), InvalidInput),
        (Answer(200, b"<html>please log in</html>"), Unavailable),
        (Answer(200, b""), Unavailable),
        (Answer(200, b"{}"), Unavailable),
        (Answer(200, b"[1]"), Unavailable),
        (Answer(200, b"\x28\xb5\x2f\xfd garbage", {"Content-Encoding": "zstd"}), Unavailable),
        (Answer(200, b"garbage", {"Content-Encoding": "gzip"}), Unavailable),
        (Answer(204), Unavailable),
        (Answer(raw=b"garbage\r\n\r\n"), Unavailable),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), Unavailable),
        (Answer(raw=b""), Unavailable),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), Unavailable),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Unavailable),
        (Answer(raw=b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), Unavailable),
        (Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000), Unavailable),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_no_answer_of_ours(
    proxy: CuttingProxy, store: RemoteStore, run: str, answer: Answer, kind: type[Exception]
) -> None:
    """Proxies' pages, other servers, garbage: every call raises an error of ours, and none takes it for its answer."""
    loss = SeriesKey(run, METRICS, "loss")
    calls: list[Callable[[], object]] = [
        lambda: store.put_run(KEY, RunPatch(description="x")),
        lambda: store.update_run(run, RunPatch(description="x")),
        lambda: store.get_run(run),
        lambda: store.get_run(KEY),
        lambda: store.find_runs(RunQuery()),
        lambda: store.append([Batch(loss, rows(0, 1))]),
        lambda: store.read(loss, 0, None),
        lambda: store.describe(run),
        lambda: store.sample(loss, "value", None, 0, None, 10),
        lambda: store.put_file(run, io.BytesIO(b"x"), FilePut("f")),
        lambda: store.get_file(run, "f"),
        lambda: store.find_files(run),
    ]
    if answer.status != 204:
        calls += [store.flush, lambda: store.delete_run(run)]
    proxy.otherwise = answer
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, MlDashError)
        assert len(str(caught.value)) < 600
    proxy.heal()
    assert store.get_run(run).description is None
    assert store.read(loss, 0, None).total == 0


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("https://there.example/api/v1/runs/x?y=1", r"sends on to https://there\.example \(HTTP 30\d\); give that URL"),
        ("https://there.example/ml/api/v1/runs", r"sends on to https://there\.example/ml \(HTTP 30\d\); give that URL"),
        ("https://login.example/", "no ml-dash server's answer. Check the URL"),
        ("/login", "no ml-dash server's answer. Check the URL"),
        ("", "no ml-dash server's answer. Check the URL"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_told_of_and_not_followed(
    proxy: CuttingProxy, store: RemoteStore, run: str, status: int, location: str, text: str
) -> None:
    """The token is for the server that was named; the text says which URL to give. What was sent is not refused for good."""
    proxy.plan(Answer(status, b"moved", {"Location": location}))
    with pytest.raises(Unavailable, match=text):
        store.append([Batch(SeriesKey(run, METRICS, "loss"), rows(0, 1))])


# ---------------------------------------------------------------- proxies of the environment


def test_loopback_goes_past_the_environments_proxy(
    proxy: CuttingProxy, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy elsewhere cannot reach this machine's loopback."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for host in ("127.0.0.1", "localhost"):
        store = RemoteStore(proxy.url.replace("127.0.0.1", host))
        assert store.get_run(run).id == run
        store.close()


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_other_addresses_go_through_it(proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The proxy is asked for the server's own URL; NO_PROXY excepts hosts from that; a proxy that is gone is told of."""
    monkeypatch.setenv(variable, proxy.url)
    proxy.otherwise = Answer(503, b"from the proxy", {"Retry-After": "5"})
    store = RemoteStore("http://ml-dash.invalid/ml/")
    with pytest.raises(Unavailable, match="from the proxy"):
        store.find_runs(RunQuery())
    assert proxy.requests[-1].target == "http://ml-dash.invalid/ml/api/v1/runs"
    store.close()
    monkeypatch.setenv("no_proxy", "ml-dash.invalid")
    with pytest.raises(Unavailable, match="cannot be reached"):
        store.find_runs(RunQuery())
    store.close()


@pytest.mark.parametrize("value", ["ftp://proxy:1", "http://proxy:port", "socks5://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With the variable's part in it, not the library's."""
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(InvalidInput, match="the proxy that the environment names cannot be used"):
        RemoteStore("http://ml-dash.invalid").find_runs(RunQuery())


# ---------------------------------------------------------------- nothing is left behind


def test_closing_leaves_no_socket(proxy: CuttingProxy, run: str) -> None:
    """Connections of all threads, of streams that were not read and of failed calls are gone with `close`."""
    before = sockets()
    store = RemoteStore(proxy.url, timeout=0.3)
    record = store.put_file(run, zeros(3_000_000), FilePut("f"))
    streams = [store.get_file(run, record.id)[1] for _ in range(3)]
    proxy.plan(Stall())
    with pytest.raises(Unavailable):
        store.get_run(run)
    in_threads(lambda _: store.find_files(run))
    store.close()
    for stream in streams:
        with pytest.raises(Unavailable):
            stream.read()
        stream.close()
    assert sockets() <= before


def sockets() -> int:
    """This process's connections to the proxy's port, from the client's end."""
    gc.collect()
    return sum(
        isinstance(found, socket.socket) and found.fileno() >= 0 and found.gettimeout() is not None
        for found in gc.get_objects()
    )


def test_the_libraries_below_say_nothing_of_our_requests(
    proxy: CuttingProxy, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A run's log that takes everything from DEBUG on would else grow by what sending it logs. Others' requests are heard."""
    caplog.set_level("DEBUG")
    store = RemoteStore(proxy.url)
    record = store.put_file(run, zeros(300_000), FilePut("f"))
    with store.get_file(run, record.id)[1] as stream:
        stream.read()
    proxy.plan(Lose(), Lose())
    with pytest.raises(Unavailable):
        store.get_run(run)
    store.close()
    assert not [entry for entry in caplog.records if entry.name.startswith("httpcore")]
    with httpx.Client() as theirs:
        theirs.get(proxy.url)
    assert [entry for entry in caplog.records if entry.name.startswith("httpcore")]
