"""The routes: what an answer looks like, right or wrong; who may ask for what; pages and files. That they mean what the Store's
calls mean is tests/contract/test_remote_store.py's."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import zstandard

from ml_dash.codec import decode_page, encode_row
from ml_dash.errors import CorruptData, LockTimeout, NotFound, Unavailable
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.server.api import ENDPOINTS
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.server.endpoints import Endpoint
from ml_dash.server.limits import Limits
from ml_dash.server.renderings import coding_for
from ml_dash.store import wire, wire_columns
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from ml_dash.store.remote import RemoteStore
from tests.server.calls import As, append, batch, make_run, problem
from tests.server.live import live


@contextmanager
def client(app: Any) -> Iterator[httpx.Client]:
    with live(app) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        yield api


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("method", "path", "status", "error", "text"),
    [
        ("GET", "/nothing", 404, "NotFound", "no such route"),
        ("PUT", "/append", 405, "InvalidInput", "it has POST"),
        ("GET", "/runs/none", 404, "NotFound", "'none'"),
        ("GET", "/run?project=p&name=n", 404, "NotFound", "'n' in project 'p'"),
        ("GET", "/run?project=p", 400, "InvalidInput", "`name`"),
        ("GET", "/runs?series=perhaps", 400, "InvalidInput", "`series`"),
        ("GET", "/runs/none/rows?kind=metrics&name=a&start=-1", 400, "InvalidInput", "`start`"),
        ("GET", "/runs/none/rows?kind=metrics&name=a&limit=ten", 400, "InvalidInput", "`limit`"),
        ("GET", "/runs/none/rows?kind=colours&name=a", 400, "InvalidInput", "'colours'"),
        ("GET", "/runs/none/columns?kind=metrics&name=a&fields=f&start=-1", 400, "InvalidInput", "`start`"),
        ("GET", "/runs/none/columns?kind=metrics&name=a&fields=f&stop=1.5", 400, "InvalidInput", "`stop`"),
        ("GET", "/runs/none/columns?kind=colours&name=a&fields=f", 400, "InvalidInput", "'colours'"),
        ("GET", "/runs/none/columns?name=a&fields=f", 400, "InvalidInput", "`kind`"),
        ("GET", "/runs/none/columns?kind=metrics&name=..&fields=f", 400, "InvalidInput", "'..'"),
        ("GET", "/runs/none/columns?kind=metrics&name=a" + "&fields=f" * 101, 400, "InvalidInput", "`fields`"),
        ("GET", "/runs/none/columns?kind=metrics&name=a&fields=f", 404, "NotFound", "'none'"),
        ("GET", "/runs/none/sample?kind=metrics&name=a&field=f&max_points=99999", 400, "InvalidInput", "20000"),
        ("POST", "/runs/none/files?put=%7B%7D", 400, "InvalidInput", "filename"),
        ("POST", "/runs/none/files?put=[1", 400, "InvalidInput", "FilePut"),
        ("DELETE", "/runs/none", 404, "NotFound", "'none'"),
    ],
)
def test_what_is_wrong_is_said_in_one_form(
    api: httpx.Client, method: str, path: str, status: int, error: str, text: str
) -> None:
    """Whatever is wrong, the answer is a problem with a name and a text that says what to do."""
    assert text in problem(api.request(method, path), status, error)


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"{", {}, 400, "no PutRun"),
        (b'{"key": ["", "p"]}', {}, 400, "length 3"),
        (b'{"key": ["", "p", 7]}', {}, 400, "`str`"),
        (b'{"key": ["", "p", ".."]}', {}, 400, "'..'"),
        (b'{"key": ["..", "p", "n"]}', {}, 400, "'..'"),
        (b'{"key": ["", "p", "n"], "patch": {"params": {"a": 1, "a.b": 2}}}', {}, 400, "a.b"),
        (b'{"key": ["", "p", "n"], "patch": {"join": "../x"}}', {}, 400, "'../x'"),
        (b'{"key": ["", "p", "n"], "patch": {"at": 1e40}}', {}, 400, "at"),
        (b'{"key": ["", "p", "n"], "patch": {"series": [{"kind": "metrics", "name": "../x"}]}}', {}, 400, "'../x'"),
        (b'{"key": ["", "p", "\\ud800"]}', {}, 400, "name"),
        (b"\xff", {}, 400, "PutRun"),
        (b"{}", {"content-type": "text/plain"}, 415, "application/json"),
        (b"{}", {"content-encoding": "br"}, 415, "zstd or gzip"),
        (b"{}", {"content-encoding": "gzip"}, 400, "gzip"),
        (b"{}", {"content-encoding": "zstd"}, 400, "zstd"),
        (zstandard.compress(b"{}" * 500)[:-3], {"content-encoding": "zstd"}, 400, "zstd"),
        (gzip.compress(b"{}" * 500, mtime=0)[:-9], {"content-encoding": "gzip"}, 400, "gzip"),
    ],
)
def test_a_body_that_is_wrong(
    api: httpx.Client, store: LocalStore, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    """A body that is no record, or whose coding or type is none, changes nothing, and the answer says why."""
    answer = api.put("/runs", content=body, headers={"content-type": "application/json", **headers})
    assert text in problem(answer, status, "InvalidInput")
    assert store.find_runs(RunQuery()) == []


class Failing(MemoryStore):
    """Raises `error` for every run that is asked for."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_run(self, run: RunKey | str) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "name", "wait"),
    [
        (Unavailable("the database is away", 7.5), 503, "Unavailable", "8"),
        (LockTimeout("a file is locked"), 503, "LockTimeout", "1"),
        (CorruptData("data.jsonl", 5, "damage"), 500, "CorruptData", None),
        (OSError(28, "No space left on device"), 507, "Unavailable", "1"),
    ],
)
def test_a_stores_errors_keep_their_names(error: Exception, status: int, name: str, wait: str | None) -> None:
    """The errors of a store go by `wire`'s table; who may come again is told when."""
    with client(create_app(Failing(error))) as api:
        answer = api.get("/runs/x")
        assert str(error) in problem(answer, status, name)
        assert answer.headers.get("retry-after") == wait


def test_what_nobody_expected(caplog: pytest.LogCaptureFixture) -> None:
    """A defect is a 500 that tells nothing of the inside; the log has all of it."""
    with client(create_app(Failing(ZeroDivisionError("a secret")))) as api:
        answer = api.get("/runs/x")
        assert "secret" not in problem(answer, 500, "Unavailable")
    assert "a secret" in caplog.text
    assert "GET /api/v1/runs/x failed" in caplog.text


def test_no_answer_tells_where_the_server_keeps_its_runs(api: httpx.Client, root: Path) -> None:
    """Paths of the server's disk are nobody else's business."""
    answers = [api.get("/runs/none"), api.get("/run?project=p&name=n"), append(api, batch("none", [1]))]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert not [answer.text for answer in answers if str(root) in answer.text]


# ---------------------------------------------------------------- rights


def every_call(run: str, file: str) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """Each endpoint that is about a run, with a request that is right for it."""
    bodies: dict[str, dict[str, Any]] = {
        "append": {
            "content": wire.encode_batches([batch(run, [1])]),
            "headers": {"content-type": wire.BATCHES},
        },
        "update_run": {"json": {"description": "x"}},
        "update_file": {"json": {"description": "x"}},
        "put_file": {"content": b"x", "params": {"put": '{"filename": "g"}'}},
        "begin_upload": {"params": {"put": '{"filename": "g", "id": "g"}'}},
        "read": {"params": {"kind": METRICS, "name": "loss"}},
        "columns": {"params": {"kind": METRICS, "name": "loss", "fields": "value"}},
        "sample": {"params": {"kind": METRICS, "name": "loss", "field": "value"}},
    }
    for endpoint in ENDPOINTS:
        name = endpoint.handle.__name__
        if "{run}" in endpoint.path or name == "append":
            path = endpoint.path.removeprefix("/api/v1").format(run=run, file=file)
            yield endpoint, {"method": endpoint.method, "url": path, **bodies.get(name, {})}


def test_a_token_that_reads_does_not_write(store: LocalStore) -> None:
    """With the scope “read” every call that changes something is refused, by a text that names the scope, and changes nothing."""
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    before = store.get_run(run)
    with client(As(create_app(store), Caller("read", None, "t"))) as api:
        seen = set()
        for endpoint, request in every_call(run, "none"):
            answer = api.request(**request)
            seen.add(endpoint.scope)
            if endpoint.scope == "read":
                assert answer.status_code in (200, 404)
            else:
                assert "--scope write" in problem(answer, 403, "PermissionDenied")
        problem(api.put("/runs", json={"key": ["", "p", "n"]}), 403, "PermissionDenied")
        problem(api.post("/flush"), 403, "PermissionDenied")
        assert seen == {"read", "write"}
    assert store.get_run(run) == before
    assert store.read(SeriesKey(run, METRICS, "loss"), 0, None).total == 0
    assert store.find_files(run) == []


def test_what_lies_in_another_namespace_is_not_there(store: LocalStore) -> None:
    """A run of a namespace that the token does not cover is as unknown as an id that nobody has, in every call and to the letter."""
    hidden = store.put_run(RunKey("theirs", "project", "run"), RunPatch()).id
    nobody = "0" * len(hidden)
    with client(As(create_app(store), Caller("write", ("ours", "shared"), "t"))) as api:
        for _ in range(2):
            told = [[api.request(**request) for _, request in every_call(run, "f" * 32)] for run in (hidden, nobody)]
            for there, not_there in zip(*told, strict=True):
                assert problem(there, 404, "NotFound") == problem(not_there, 404, "NotFound").replace(nobody, hidden)
        problem(api.get("/run", params={"project": "project", "name": "run", "namespace": "theirs"}), 404, "NotFound")
        problem(api.put("/runs", json={"key": ["theirs", "project", "run"]}), 404, "NotFound")
        problem(api.get("/runs", params={"namespace": "theirs"}), 404, "NotFound")
    assert store.get_run(hidden).description is None
    assert store.read(SeriesKey(hidden, METRICS, "loss"), 0, None).total == 0


def test_a_request_that_holds_one_batch_for_another_namespace(store: LocalStore) -> None:
    """All of it is refused before the first row of it is stored."""
    hidden = store.put_run(RunKey("theirs", "project", "run"), RunPatch()).id
    own = store.put_run(RunKey("ours", "project", "run"), RunPatch()).id
    with client(As(create_app(store), Caller("write", ("ours",), "t"))) as api:
        problem(append(api, batch(own, [1]), batch(hidden, [1])), 404, "NotFound")
        assert store.read(SeriesKey(own, METRICS, "loss"), 0, None).total == 0
        assert append(api, batch(own, [1])).status_code == 200


def test_the_callers_own_namespace(store: LocalStore) -> None:
    """The empty namespace is the first that the token lists; a list without a namespace is of all that it covers, newest first."""
    for namespace in ("", "ours", "shared", "theirs"):
        store.put_run(RunKey(namespace, "project", f"of {namespace}"), RunPatch())
    with client(As(create_app(store), Caller("write", ("ours", "shared"), "t"))) as api:
        assert api.put("/runs", json={"key": ["", "project", "new"]}).json()["key"] == ["ours", "project", "new"]
        assert api.get("/run?project=project&name=new").json()["key"][0] == "ours"
        listed = [[run["key"][2] for run in api.get(path).json()["runs"]] for path in ("/runs", "/runs?namespace=")]
        assert listed == [["new", "of shared", "of ours"], ["new", "of ours"]]
        assert [run["key"][2] for run in api.get("/runs?namespace=shared").json()["runs"]] == ["of shared"]
    with client(create_app(store)) as api:
        names = {run["key"][2] for run in api.get("/runs").json()["runs"]}
        assert names == {"new", "of ", "of ours", "of shared", "of theirs"}
        assert [run["key"][2] for run in api.get("/runs?namespace=").json()["runs"]] == ["of "]


def test_a_deleted_run_is_forgotten(store: LocalStore) -> None:
    """A token's run that is deleted, here or by somebody else, is not there from then on; its name starts anew."""
    with client(As(create_app(store), Caller("write", ("ours",), "t"))) as api:
        for delete in (lambda run: api.delete(f"/runs/{run}"), store.delete_run):
            run = make_run(api)
            assert append(api, batch(run, [1])).status_code == 200
            delete(run)
            problem(append(api, batch(run, [1])), 404, "NotFound")
            problem(api.delete(f"/runs/{run}"), 404, "NotFound")
            assert make_run(api) != run


# ---------------------------------------------------------------- pages


def test_a_long_series_comes_in_pages(store: LocalStore) -> None:
    """An answer holds no more than the server's limit; whoever asks on from its end gets the rest."""
    with client(create_app(store, Limits(page=5_000))) as api:
        run = make_run(api)
        append(api, batch(run, range(1_000)))
        got: list[Any] = []
        while len(got) < 1_000:
            answer = api.get(f"/runs/{run}/rows", params={"kind": METRICS, "name": "loss", "start": len(got)})
            page = wire.decode_page(METRICS, answer.content, "here")
            assert 0 < len(page.lines) <= 5_000
            got += [point["data"]["value"] for point in decode_page(page)]
        assert got == list(range(1_000))


def test_columns_are_arrays_behind_a_line(api: httpx.Client) -> None:
    """Each field that is named, once; none where none is."""
    run = make_run(api)
    append(api, batch(run, [0.5, 2, 1.25]))
    query: dict[str, Any] = {"kind": METRICS, "name": "loss", "fields": ["value", "other", "value"], "start": 1}
    answer = api.get(f"/runs/{run}/columns", params=query)
    assert answer.headers["content-type"] == wire_columns.COLUMNS
    page = wire_columns.decode_columns(answer.content)
    assert (page.start, page.count, page.total) == (1, 2, 3)
    assert {name: column.tolist() for name, column in page.columns.items()} == {
        "value": [2.0, 1.25],
        "other": [None] * 2,
    }
    nothing = wire_columns.decode_columns(api.get(f"/runs/{run}/columns?kind=metrics&name=loss&stop=1").content)
    assert (nothing.start, nothing.count, nothing.columns) == (0, 1, {})


@pytest.mark.parametrize("name", ["value", "x" * 3_000, "a&fields=b", "\ud800", "größe", ""])
@pytest.mark.parametrize("has_columns", [True, False])
def test_columns_of_any_name_from_any_server(store: LocalStore, name: str, has_columns: bool) -> None:
    """Names that no address takes, and servers that have no columns: they come from the rows."""
    app = create_app(store)
    if not has_columns:
        app.router.routes = [
            route for route in app.router.routes if not getattr(route, "path", "").endswith("/columns")
        ]
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    series = SeriesKey(run, METRICS, "loss")
    stored = "value" if name == "\ud800" else name
    store.append([Batch(series, [encode_row({stored: n}) for n in range(5)])])
    with live(app) as url:
        remote = RemoteStore(url)
        page = remote.columns(series, [name], 1, 4)
        assert (page.start, page.count, page.total) == (1, 3, 5)
        assert page.columns[name].tolist() == ([1, 2, 3] if name == stored else [None] * 3)
        with pytest.raises(NotFound, match="none"):
            remote.columns(series._replace(run="none"), [name], 0, None)
        remote.close()


@pytest.mark.parametrize(
    "change", [{"start": 1}, {"count": 4}, {"columns": {"other": "int64"}}, {"total": -1}, {"count": 0}, None]
)
def test_an_answer_that_is_not_the_columns_is_none(change: dict[str, Any] | None) -> None:
    """It may be another server's, or have come in part."""
    head: dict[str, Any] = {"start": 0, "count": 3, "total": 9, "ticks": 0, "columns": {"value": "int64"}}
    body = (
        b"<html>"
        if change is None
        else json.dumps(head | change).encode() + b"\n" + bytes(8 * (head | change)["count"])
    )
    remote = RemoteStore("http://there", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)))
    with pytest.raises(Unavailable, match="ml-dash server"):
        remote.columns(SeriesKey("run", METRICS, "loss"), ["value"], 0, 3)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip", "gzip"),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("zstd;q=zero", ""),
        ("ZSTD ; q=1.0", "zstd"),
    ],
)
def test_which_coding_an_answer_has(api: httpx.Client, accepted: str, coding: str) -> None:
    """What the client says that it takes, zstd first; and every coding gives the same page."""
    assert coding_for(accepted) == coding
    run = make_run(api)
    append(api, batch(run, range(1_000)))
    answer = api.get(f"/runs/{run}/rows?kind=metrics&name=loss", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding", "") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    page = wire.decode_page(METRICS, answer.content, "here")
    assert [point["data"]["value"] for point in decode_page(page)] == list(range(1_000))


# ---------------------------------------------------------------- files

CONTENT = bytes(range(256)) * 20_000


def put_file(api: httpx.Client, run: str, content: Any = CONTENT, **put: Any) -> httpx.Response:
    return api.post(f"/runs/{run}/files", params={"put": json.dumps({"filename": "a.bin", **put})}, content=content)


@pytest.fixture
def file(api: httpx.Client) -> str:
    """The path of a stored file."""
    run = make_run(api)
    return f"/runs/{run}/files/{put_file(api, run).json()['id']}"


@pytest.mark.parametrize(
    ("asked", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=5119999-", 5_119_999, 5_120_000),
        ("bytes=-1000", 5_119_000, 5_120_000),
        ("bytes=1000000-99999999", 1_000_000, 5_120_000),
        ("bytes=-99999999", 0, 5_120_000),
    ],
)
def test_a_part_of_a_file(api: httpx.Client, file: str, asked: str, first: int, stop: int) -> None:
    """A range gives exactly its bytes, and says which they are; all of them are no part."""
    answer = api.get(f"{file}/bytes", headers={"range": asked})
    assert answer.content == CONTENT[first:stop]
    if stop - first == len(CONTENT):
        assert answer.status_code == 200
    else:
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=5120000-", "bytes=9-3", "bytes=-0"])
def test_a_part_that_the_file_does_not_have(api: httpx.Client, file: str, asked: str) -> None:
    """A range beyond the end is refused, with how long the file is."""
    answer = api.get(f"{file}/bytes", headers={"range": asked})
    problem(answer, 416, "InvalidInput")
    assert answer.headers["content-range"] == "bytes */5120000"


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-1, 5-6"},
        {"range": "lines=0-1"},
        {"range": "bytes=-"},
        {"range": "bytes=0-1", "if-range": '"another"'},
    ],
)
def test_a_range_that_is_passed_over(api: httpx.Client, file: str, headers: dict[str, str]) -> None:
    """What is no range, or one of other content, gives the whole file."""
    answer = api.get(f"{file}/bytes", headers=headers)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_the_rest_of_a_download(api: httpx.Client, file: str) -> None:
    """A download that broke off goes on from where it was, if the content is the same still."""
    tag = api.head(f"{file}/bytes").headers["etag"]
    answer = api.get(f"{file}/bytes", headers={"range": "bytes=100-", "if-range": tag})
    assert (answer.status_code, answer.content) == (206, CONTENT[100:])


@pytest.mark.parametrize("asked", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-9"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_one_has(api: httpx.Client, file: str, method: str, headers: dict[str, str], asked: str) -> None:
    """Who has the content is told so, and gets no bytes; it may be kept, and is asked for again each time."""
    tag = api.head(f"{file}/bytes").headers["etag"]
    answer = api.request(method, f"{file}/bytes", headers=headers | {"if-none-match": asked.format(tag=tag)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-security-policy"] == "sandbox"


def test_a_file_that_one_has_in_another_state(api: httpx.Client, file: str) -> None:
    """Who has other content gets all of this one."""
    answer = api.get(f"{file}/bytes", headers={"if-none-match": '"other"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_file_is_saved_never_shown(api: httpx.Client) -> None:
    """Whatever somebody uploaded, a browser saves it, under its name, and runs nothing of it."""
    run = make_run(api)
    name = 'a/größe "1"\\%.html'
    stored = put_file(api, run, b"<script>", filename=name, content_type="text/html\r\nX-Evil: 1").json()
    answer = api.get(f"/runs/{run}/files/{stored['id']}/bytes")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"gr__e _1___.html\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22%5C%25.html"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    "kind", ["text/javascript", "application/x-javascript; charset=utf-8", "TEXT/JavaScript1.5", "text/css"]
)
def test_a_file_is_no_code_of_a_page_of_ours(api: httpx.Client, kind: str) -> None:
    """The page's policy lets it load scripts of its own origin, where what somebody has uploaded is, too. Browsers take none of
    another type."""
    run = make_run(api)
    stored = put_file(api, run, b"alert(1)", filename="a.js", content_type=kind).json()
    assert stored["contentType"] == kind
    answer = api.get(f"/runs/{run}/files/{stored['id']}/bytes")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_is_sent_as_it_is(api: httpx.Client, store: LocalStore) -> None:
    """A coding would have to be taken off, and then its length and checksum would not be what was sent: it is refused."""
    run = make_run(api)
    answer = api.post(
        f"/runs/{run}/files",
        params={"put": '{"filename": "f"}'},
        content=gzip.compress(b"x"),
        headers={"content-encoding": "gzip"},
    )
    assert "as it is" in problem(answer, 415, "InvalidInput")
    assert store.find_files(run) == []


def test_the_head_of_a_file(api: httpx.Client, file: str) -> None:
    """HEAD tells its length and sends nothing of it."""
    answer = api.head(f"{file}/bytes")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / "project").rglob("*") if path.name.startswith(".tmp")]


def start_upload(api: httpx.Client, run: str, length: int) -> socket.socket:
    """A connection on which the head of an upload and its first bytes were sent."""
    host, port = api.base_url.host, api.base_url.port
    connection = socket.create_connection((host, port or 80), timeout=60)
    put = "%7B%22filename%22:%22f%22%7D"
    head = f"POST /api/v1/runs/{run}/files?put={put} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + b"x" * 100_000)
    return connection


def eventually(check: Any) -> None:
    give_up = time.monotonic() + 60
    while not check():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.mark.parametrize("uploads", [1, 5])
def test_a_client_that_vanishes_while_it_uploads(store: LocalStore, root: Path, uploads: int) -> None:
    """Nothing is left of its file, and the threads that waited for it are free again, however many there were."""
    with client(create_app(store, Limits(uploads=2))) as api:
        run = make_run(api)
        connections = [start_upload(api, run, 10_000_000) for _ in range(uploads)]
        eventually(lambda: len(leftovers(root)) == min(uploads, 2))
        for connection in connections:
            connection.close()
        eventually(lambda: leftovers(root) == [])
        assert put_file(api, run).status_code == 200
        assert [record["filename"] for record in api.get(f"/runs/{run}/files").json()["files"]] == ["a.bin"]
        assert leftovers(root) == []


def test_a_client_that_stalls_while_it_uploads(store: LocalStore, root: Path) -> None:
    """It is told so after a while; nothing is left of its file."""
    with client(create_app(store, Limits(uploads=1, stall=0.2))) as api:
        run = make_run(api)
        with start_upload(api, run, 10_000_000) as connection:
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"nothing more came for 0.2 s" in answer
        assert put_file(api, run).status_code == 200
        assert leftovers(root) == []


def test_a_server_ends_while_a_client_uploads(store: LocalStore, root: Path) -> None:
    """The upload is given up; the server's end does not wait for it, and nothing is left of it."""
    with live(create_app(store), timeout_graceful_shutdown=1) as url, httpx.Client(base_url=f"{url}/api/v1") as api:
        run = make_run(api)
        connection = start_upload(api, run, 10_000_000)
        eventually(lambda: len(leftovers(root)) == 1)
    connection.close()
    assert leftovers(root) == []


def test_a_file_beyond_the_limit(store: LocalStore, root: Path) -> None:
    """It is refused before it is read where its length is told, and cut off where it is not; nothing of it is kept."""
    with client(create_app(store, Limits(file=1_000_000))) as api:
        run = make_run(api)
        assert "1000000" in problem(put_file(api, run), 413, "InvalidInput")
        pieces = (CONTENT[at : at + 50_000] for at in range(0, len(CONTENT), 50_000))
        assert "1000000" in problem(put_file(api, run, pieces), 413, "InvalidInput")
        assert put_file(api, run, CONTENT[:1_000_000]).status_code == 200
        assert len(store.find_files(run)) == 1
        assert leftovers(root) == []


# ---------------------------------------------------------------- the page of the routes


def test_the_docs_load_nothing_from_elsewhere(api: httpx.Client) -> None:
    """/docs works on a machine without a way out: what it loads, this server has."""
    page = httpx.get(api.base_url.join("/docs"))
    assert page.status_code == 200
    assert "//" not in page.text.replace("// ", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f'"/docs/{asset}"' in page.text
        assert len(httpx.get(api.base_url.join(f"/docs/{asset}")).content) > 1_000
    problem(httpx.get(api.base_url.join("/docs/../app.py")), 404, "NotFound")
    problem(httpx.get(api.base_url.join("/docs/nothing.js")), 404, "NotFound")


def test_the_address_of_a_run_leads_to_its_record(tmp_path: Path) -> None:
    """What `experiment.url` tells can be opened, whatever the names."""
    with live(create_app(LocalStore(tmp_path))) as url:
        run = RemoteStore(url).put_run(RunKey("", "pro ject", "rün ä&b"), RunPatch(params={"lr": 1}))
        address = f"{url}/runs/{quote('pro ject', safe='')}/{quote('rün ä&b', safe='')}"
        answer = httpx.get(address, follow_redirects=True)
        assert (answer.status_code, answer.json()["id"]) == (200, run.id)
        assert httpx.get(f"{url}/runs/pro/none", follow_redirects=True).status_code == 404
