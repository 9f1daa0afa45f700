"""What RemoteStore asks for and what it gives away: addresses, the token, host and process, what is sent again. No network."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from ml_dash.errors import FileMissing, InvalidInput, NotFound, Unavailable
from ml_dash.model import METRICS, Batch, FilePatch, FilePut, FileRecord, Run, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store import open_store
from ml_dash.store.remote import RemoteStore
from ml_dash.store.wire import dump, load

KEY = RunKey("", "project", "run")
RUN = Run("r" * 32, KEY)
FILE = FileRecord("f" * 32, RUN.id, "/", "f")
LOSS = SeriesKey(RUN.id, METRICS, "loss")
TOKEN = "mld_0123456789abcdef"


class Recorded(httpx.BaseTransport):
    """Remembers requests and plays answers: each a function of the request, an error to raise, or a record; the last one goes on."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=dump(answer))


def store(*answers: Any, url: str = "http://there:3000") -> tuple[RemoteStore, Recorded]:
    transport = Recorded(*answers)
    return RemoteStore(url, api_key=TOKEN, transport=transport), transport


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("HTTPS://ml.example", "https://ml.example"),
        ("https://ml.example/team/ml-dash//", "https://ml.example/team/ml-dash"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://größe.example", "http://größe.example"),
    ],
)
def test_a_servers_address(url: str, kept: str) -> None:
    """http or https, a host, maybe a port and a path; the slash at the end makes no difference. Nothing is asked yet."""
    assert RemoteStore(url).url == kept
    assert repr(RemoteStore(url, api_key=TOKEN)) == f"RemoteStore({kept!r})"
    opened = open_store(url)
    assert isinstance(opened, RemoteStore)
    assert opened.url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "there is no scheme"),
        ("localhost", "there is no scheme"),
        ("localhost:3000", "scheme is 'localhost'"),
        ("/runs", "there is no scheme"),
        ("ftp://there", "scheme is 'ftp'"),
        ("s3://bucket/runs", "scheme is 's3'"),
        ("file:///runs", "scheme is 'file'"),
        ("http://", "no host"),
        ("http:///runs", "no host"),
        ("http://:3000", "no host"),
        ("http://there:port", "[Pp]ort"),
        ("http://there:99999", "[Pp]ort"),
        ("http://[::1", "IPv6"),
        ("http://there?x=1", r"with \? or #"),
        ("http://there/#top", r"with \? or #"),
        ("http://there/?", r"with \? or #"),
        ("http://the re", "space or a control"),
        ("http://there\n", "control|scheme|host|space"),
        ("http://there/a b", "space or a control"),
        ("http://a..b", "label"),
        (f"http://{'a' * 64}", "label"),
        ("http://there/api/v1", "leave that out"),
        ("http://there/api/v1/", "leave that out"),
    ],
)
def test_what_is_no_servers_address(url: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=rf"no address of a server: .*{why}.*http://localhost:3000"):
        RemoteStore(url)
    if "://" in url:
        with pytest.raises(InvalidInput, match="no address of a server"):
            open_store(url)


@pytest.mark.parametrize("url", ["http://me:secret@there", "http://secret@there:3000/x", "ftp://me:secret@there"])
def test_a_password_has_no_place_in_an_address(url: str) -> None:
    """Nor in the error about it."""
    with pytest.raises(InvalidInput) as caught:
        RemoteStore(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "timeouts", [{"timeout": 0}, {"timeout": -1}, {"connect_timeout": 0}, {"timeout": float("nan")}]
)
def test_a_timeout_is_more_than_nothing(timeouts: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(timeouts))):
        RemoteStore("http://there", **timeouts)


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize("token", ["", " ", "größe", "a\nb", "a\x00", b"bytes", 5])
def test_a_token_that_is_none(token: Any) -> None:
    """What cannot be a header is refused, without being shown."""
    with pytest.raises(InvalidInput, match="api_key") as caught:
        RemoteStore("http://there", api_key=token)
    assert "größe" not in str(caught.value)


def every_call(remote: RemoteStore) -> Iterator[Callable[[], object]]:
    """Each method of the store once, all with a body or an address of their own."""
    yield lambda: remote.put_run(KEY, RunPatch(join="p1"))
    yield lambda: remote.update_run(RUN.id, RunPatch())
    yield lambda: remote.get_run(RUN.id)
    yield lambda: remote.get_run(KEY)
    yield lambda: remote.find_runs(RunQuery())
    yield lambda: remote.delete_run(RUN.id)
    yield lambda: remote.append([Batch(LOSS, [b"{}"])])
    yield lambda: remote.read(LOSS, 0, None)
    yield lambda: remote.describe(RUN.id)
    yield lambda: remote.sample(LOSS, "value", None, 0, None, 10)
    yield remote.flush
    yield lambda: remote.put_file(RUN.id, io.BytesIO(b"x"), FilePut("f"))
    yield lambda: remote.get_file(RUN.id, FILE.id)
    yield lambda: remote.find_files(RUN.id)
    yield lambda: remote.update_file(RUN.id, FILE.id, FilePatch("d"))


def test_the_token_is_in_one_header_only() -> None:
    """Every request has it there, no address and no body has it, and no error tells it."""
    remote, transport = store(httpx.ConnectError("refused"))
    for call in every_call(remote):
        with pytest.raises(Unavailable) as caught:
            call()
        assert TOKEN not in str(caught.value) + repr(caught.value)
    assert len(transport.requests) == 15
    for request in transport.requests:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        told = str(request.url).encode() + request.content
        assert TOKEN.encode() not in told + b"".join(v for k, v in request.headers.raw if k.lower() != b"authorization")
    assert TOKEN not in repr(remote)


def test_without_a_token_there_is_no_header() -> None:
    transport = Recorded(RUN)
    RemoteStore("http://there", transport=transport).get_run(RUN.id)
    assert "authorization" not in transport.requests[0].headers


# ---------------------------------------------------------------- requests


def test_requests_are_those_of_the_protocol() -> None:
    """Methods and addresses of docs/formats/protocol.md, behind the path that the server's address has."""
    remote, transport = store(httpx.ConnectError("refused"), url="https://ml.example/team/")
    for call in every_call(remote):
        with pytest.raises(Unavailable):
            call()
    before = "https://ml.example/team/api/v1"
    run, file = f"/runs/{RUN.id}", f"/runs/{RUN.id}/files/{FILE.id}"
    asked = [f"{r.method} {str(r.url).removeprefix(before)}" for r in transport.requests]
    assert asked == [
        "PUT /runs",
        f"PATCH {run}",
        f"GET {run}",
        "GET /run?namespace=&project=project&name=run",
        "GET /runs",
        f"DELETE {run}",
        "POST /append",
        f"GET {run}/rows?kind=metrics&name=loss&start=0",
        f"GET {run}/series",
        f"GET {run}/sample?kind=metrics&name=loss&field=value&start=0&max_points=10",
        "POST /flush",
        f"POST {run}/files?put=%7B%22filename%22%3A+%22f%22%2C+%22prefix%22%3A+%22%2F%22%7D",
        f"GET {file}",
        f"GET {run}/files",
        f"PATCH {file}",
    ]


def test_what_is_asked_for_is_spelled_out() -> None:
    """None is left out, an empty text is sent; every sign of a name arrives."""
    remote, transport = store(httpx.ConnectError("refused"))
    odd = SeriesKey("größe 1+2%&?#", METRICS, "a/b c&d=é+%2F#?")
    calls: list[Callable[[], object]] = [
        lambda: remote.find_runs(RunQuery(namespace="", project="", series=True)),
        lambda: remote.read(odd, 3, 5),
        lambda: remote.sample(odd, "", "", 1, 9, 10),
        lambda: remote.flush(odd.run),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            call()
    asked = [(request.url.path, dict(request.url.params)) for request in transport.requests]
    where = f"/api/v1/runs/{odd.run}"
    which = {"kind": METRICS, "name": odd.name}
    assert asked == [
        ("/api/v1/runs", {"namespace": "", "project": "", "series": "true"}),
        (f"{where}/rows", {**which, "start": "3", "limit": "5"}),
        (f"{where}/sample", {**which, "field": "", "x": "", "start": "1", "stop": "9", "max_points": "10"}),
        ("/api/v1/flush", {"run": odd.run}),
    ]


@pytest.mark.parametrize("odd", ["", ".", "..", "a/b", "a\\b", "../up", "/abs", "nul\0", "line\n", "\ud800"])
def test_an_id_that_would_lead_elsewhere_is_not_there(odd: str) -> None:
    """It is no segment of an address: no request is made with it."""
    remote, transport = store(RUN)
    calls: list[Callable[[], object]] = [
        lambda: remote.get_run(odd),
        lambda: remote.update_run(odd, RunPatch()),
        lambda: remote.delete_run(odd),
        lambda: remote.append([Batch(LOSS, [b"{}"]), Batch(LOSS._replace(run=odd), [b"{}"])]),
        lambda: remote.read(LOSS._replace(run=odd), 0, None),
        lambda: remote.sample(LOSS._replace(run=odd), "value", None, 0, None, 1),
        lambda: remote.describe(odd),
        lambda: remote.flush(odd),
        lambda: remote.find_files(odd),
        lambda: remote.put_file(odd, io.BytesIO(), FilePut("f")),
        lambda: remote.get_file(odd, FILE.id),
        lambda: remote.update_file(odd, FILE.id, FilePatch()),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert not transport.requests
    for file_call in (lambda: remote.get_file(RUN.id, odd), lambda: remote.update_file(RUN.id, odd, FilePatch())):
        with pytest.raises(FileMissing):
            file_call()
    assert all(request.url.path == f"/api/v1/runs/{RUN.id}" for request in transport.requests)


@pytest.mark.parametrize("field", ["\ud800", "a\udfffb"])
def test_a_field_that_is_no_text_is_a_wrong_call(field: str) -> None:
    remote, transport = store(RUN)
    with pytest.raises(InvalidInput, match="lone surrogate"):
        remote.sample(LOSS, field, None, 0, None, 10)
    assert not transport.requests


def test_nothing_is_asked_for_nothing() -> None:
    remote, transport = store(RUN)
    assert remote.append([]) == []
    assert not transport.requests


def test_large_bodies_are_compressed() -> None:
    """Small ones are not: that would cost more than it saves."""
    remote, transport = store({"appended": [{"first": 0, "count": 1, "total": 1}]})
    for size in (10, 10_000):
        remote.append([Batch(LOSS, [b'{"text": "%b"}' % (b"x" * size)])])
    small, large = transport.requests
    assert "content-encoding" not in small.headers
    assert large.headers["content-encoding"] == "zstd"
    assert len(large.content) < 1_000


# ---------------------------------------------------------------- this host, this process


@pytest.mark.parametrize(
    "patch", [RunPatch(join="p1"), RunPatch(heartbeat="p1"), RunPatch(leave="p1", status="FAILED")]
)
def test_a_patch_of_this_process_says_so(patch: RunPatch) -> None:
    """What says no host means the caller's, which the server cannot know."""
    remote, transport = store(RUN)
    remote.update_run(RUN.id, patch)
    remote.put_run(KEY, patch)
    sent = [load(transport.requests[0].content, RunPatch), load(transport.requests[1].content, PutRun).patch]
    assert sent == [msgspec.structs.replace(patch, host=socket.gethostname(), pid=os.getpid())] * 2


@pytest.mark.parametrize(
    "patch", [RunPatch(join="p1", host="far", pid=7), RunPatch(params={"a": 1}), RunPatch(status="FAILED")]
)
def test_any_other_patch_goes_as_it_is(patch: RunPatch) -> None:
    remote, transport = store(RUN)
    remote.update_run(RUN.id, patch)
    assert load(transport.requests[0].content, RunPatch) == patch


class PutRun(msgspec.Struct):
    key: RunKey
    patch: RunPatch


# ---------------------------------------------------------------- sending again

ENDED = [httpx.RemoteProtocolError("Server disconnected"), httpx.ReadError("reset"), httpx.WriteError("broken pipe")]
OTHER = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("t"),
    httpx.ReadTimeout("t"),
    httpx.WriteTimeout("t"),
    httpx.PoolTimeout("t"),
]
OTHER += [httpx.ProxyError("403"), httpx.LocalProtocolError("odd")]


def appended(identity: dict[str, Any]) -> Callable[[RemoteStore], object]:
    return lambda remote: remote.append([Batch(LOSS, [b"{}"], **identity)])


RESENT: list[tuple[Callable[[RemoteStore], object], bool]] = [
    (lambda remote: remote.put_run(KEY, RunPatch()), True),
    (lambda remote: remote.update_run(RUN.id, RunPatch()), True),
    (lambda remote: remote.get_run(RUN.id), True),
    (lambda remote: remote.find_runs(RunQuery()), True),
    (lambda remote: remote.delete_run(RUN.id), False),
    (appended({"writer": "w", "seq": 0}), True),
    (appended({}), False),
    (lambda remote: remote.append([Batch(LOSS, [b"{}"], "w", 0), Batch(LOSS, [b"{}"])]), False),
    (lambda remote: remote.read(LOSS, 0, None), True),
    (lambda remote: remote.describe(RUN.id), True),
    (lambda remote: remote.sample(LOSS, "value", None, 0, None, 10), True),
    (lambda remote: remote.flush(), True),
    (lambda remote: remote.put_file(RUN.id, io.BytesIO(b"x"), FilePut("f", id="put-1")), True),
    (lambda remote: remote.put_file(RUN.id, io.BytesIO(b"x"), FilePut("f")), False),
    (lambda remote: remote.get_file(RUN.id, FILE.id), True),
    (lambda remote: remote.find_files(RUN.id), True),
    (lambda remote: remote.update_file(RUN.id, FILE.id, FilePatch("d")), True),
    (lambda remote: remote.update_file(RUN.id, FILE.id, FilePatch(deleted=True)), False),
]


@pytest.mark.parametrize(("call", "resent"), RESENT)
@pytest.mark.parametrize("error", ENDED, ids=repr)
def test_a_connection_that_ended_before_the_answer(
    call: Callable[[RemoteStore], object], resent: bool, error: Exception
) -> None:
    """What may come twice is sent once more, as it was; never a third time."""
    remote, transport = store(error)
    with pytest.raises(Unavailable, match="http://there:3000"):
        call(remote)
    assert len(transport.requests) == 1 + resent
    sent = [(r.method, r.url, r.content, r.headers.get("authorization")) for r in transport.requests]
    assert sent == sent[:1] * len(sent)


@pytest.mark.parametrize(("call", "resent"), RESENT)
@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_any_other_failure_is_told_at_once(
    call: Callable[[RemoteStore], object], resent: bool, error: Exception
) -> None:
    """How long to wait and how often to try is not this store's to decide."""
    remote, transport = store(error)
    with pytest.raises(Unavailable, match="http://there:3000"):
        call(remote)
    assert len(transport.requests) == 1


def test_a_file_is_sent_again_from_where_its_source_stood() -> None:
    """Not from its beginning, which was not asked for."""
    remote, transport = store(ENDED[0], FILE)
    source = io.BytesIO(b"not this, but this")
    source.seek(10)
    assert remote.put_file(RUN.id, source, FilePut("f", id="put-1")) == FILE
    assert [request.content for request in transport.requests] == [b"but this"] * 2


def test_a_sources_own_error_comes_through() -> None:
    """It is not the network's, and not sent again."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk went away")

    remote, transport = store(FILE)
    with pytest.raises(OSError, match="the disk went away") as caught:
        remote.put_file(RUN.id, Failing(b"x"), FilePut("f", id="put-1"))
    assert not isinstance(caught.value, Unavailable)
    assert not transport.requests


# ---------------------------------------------------------------- answers that do not fit


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda remote: remote.get_run(RUN.id), b'{"id": "x"}'),
        (lambda remote: remote.find_runs(RunQuery()), b'{"runs": [{}]}'),
        (lambda remote: remote.find_runs(RunQuery()), b'{"files": []}'),
        (lambda remote: remote.append([Batch(LOSS, [b"{}"])]), b'{"appended": []}'),
        (lambda remote: remote.append([Batch(LOSS, [b"{}"])]), b'{"appended": [{"first": 0}]}'),
        (lambda remote: remote.read(LOSS, 5, None), b'{"start":4,"count":0,"total":0}\n'),
        (lambda remote: remote.read(LOSS, 0, 1), b'{"start":0,"count":2,"total":9}\n{}\n{}\n'),
        (lambda remote: remote.read(LOSS, 0, None), b'{"start":0,"count":2,"total":1}\n{}\n{}\n'),
        (lambda remote: remote.read(LOSS, 0, None), b'{"start":0,"count":0,"total":9}\n'),
        (lambda remote: remote.read(LOSS, 0, None), b'{"start":0,"count":0,"total":-1}\n'),
        (lambda remote: remote.sample(LOSS, "value", None, 0, None, 1), b'{"start": []}'),
        (lambda remote: remote.flush(), b"done"),
        (lambda remote: remote.delete_run(RUN.id), b""),
    ],
)
def test_an_answer_that_does_not_fit_is_none(call: Callable[[RemoteStore], object], body: bytes) -> None:
    """JSON of another shape, the page of another range, one answer too few: nobody goes on with it, and nothing loops."""
    remote, _ = store(httpx.Response(200, content=body))
    with pytest.raises(Unavailable, match="ml-dash server"):
        call(remote)


# ---------------------------------------------------------------- imports


def test_httpx_is_imported_where_a_remote_store_is_opened() -> None:
    """The package alone does not pay for it. A store does at once, on the thread that opens it: a fork in the middle of an
    import on another thread leaves a child that waits for it for ever."""
    script = """
import sys
import ml_dash
from ml_dash.store import open_store
names = ("httpx", "zstandard", "numpy")
print([name for name in names if name in sys.modules])
open_store("http://127.0.0.1:9", api_key="t")
print([name for name in names if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n['httpx', 'zstandard']\n"
