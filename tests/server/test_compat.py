"""The routes of the published clients under requests that those clients would not send, and answers byte by byte."""

from __future__ import annotations

import hashlib
import json
import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ml_dash import codec
from ml_dash.model import RunKey, RunPatch, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.server.limits import Limits
from ml_dash.store.local import LocalStore
from tests.server.guarded import bearer, guarded
from tests.server.live import live

JSON = {"Content-Type": "application/json"}
LIMITS = Limits(body=200_000, record=100_000, page=20_000, file=2_000_000, stall=20.0)


class Server:
    """The routes over a folder, and one run of each kind."""

    def __init__(self, folder: Path, url: str, store: LocalStore) -> None:
        self.folder = folder
        self.store = store
        self.http = httpx.Client(base_url=url, timeout=60)
        self.run = self.post("/projects/p/experiments", json={"name": "e"}).json()["experiment"]["id"]
        self.session = self.post("/workspaces/p/sessions", json={"name": "s"}).json()["session"]["id"]

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.http.post(path.replace("RUN", getattr(self, "run", "")), **given)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.http.get(path.replace("RUN", self.run), **given)

    def append(self, name: str, *rows: dict[str, Any]) -> None:
        self.post(f"/experiments/RUN/metrics/{name}/append-batch", json={"dataPoints": rows}).raise_for_status()

    def rows(self, name: str) -> list[dict[str, Any]]:
        page = self.store.read(SeriesKey(self.run, "metrics", name), 0, None)
        return [point["data"] for point in codec.decode_page(page)]

    def upload(self, data: bytes = b"bytes", name: str = "a.txt", **fields: str) -> httpx.Response:
        return self.post("/experiments/RUN/files", files={"file": (name, data, "text/plain")}, data=fields)

    def kept(self) -> list[str]:
        """Every file below files/ but the records."""
        place = self.folder / "p/e/files"
        return sorted(path.name for path in place.rglob("*") if path.is_file() and path.name != ".files_metadata.json")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    store = LocalStore(tmp_path / "runs")
    try:
        with live(create_app(store, LIMITS)) as url:
            found = Server(tmp_path / "runs", url, store)
            with closing(found.http):
                yield found
    finally:
        store.close()


def refused(answer: httpx.Response, status: int, error: str, told: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error
    assert told in answer.json()["message"]


# ---------------------------------------------------------------- which run

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("PATCH", "/status", {"json": {"status": "COMPLETED"}}),
    ("POST", "/logs", {"json": {"logs": [{"message": "m"}]}}),
    ("POST", "/parameters", {"json": {"data": {"a": 1}}}),
    ("GET", "/parameters", {}),
    ("POST", "/SERIES/m/append", {"json": {"data": {"v": 1}}}),
    ("POST", "/SERIES/m/append", {"json": {"data": {"v": 1}, "description": "d"}}),
    ("POST", "/SERIES/m/append-batch", {"json": {"dataPoints": [{"v": 1}]}}),
    ("GET", "/SERIES/m/data", {}),
    ("GET", "/SERIES/m/stats", {}),
    ("GET", "/SERIES", {}),
    ("POST", "/files", {"files": {"file": ("a", b"x")}}),
    ("GET", "/files", {}),
    ("GET", "/files/f", {}),
    ("GET", "/files/f/download", {}),
    ("PATCH", "/files/f", {"json": {"description": "d"}}),
    ("DELETE", "/files/f", {}),
]


@pytest.mark.parametrize(("method", "path", "given"), CALLS)
def test_a_run_that_is_not_there_is_404_on_every_route(
    server: Server, method: str, path: str, given: dict[str, Any]
) -> None:
    """Also an experiment's id where sessions are asked for, and the other way round; and nothing is made by that."""
    for kind, series, run in (
        ("experiments", "metrics", "0" * 32),
        ("experiments", "metrics", "%00"),
        ("experiments", "metrics", server.session),
        ("sessions", "tracks", server.run),
    ):
        answer = server.http.request(method, f"/{kind}/{run}{path.replace('SERIES', series)}", **given)
        refused(answer, 404, "NotFound")
    assert not (server.folder / "p/e/metrics").exists()
    assert not (server.folder / "p/s/tracks").exists()
    assert server.store.get_run(server.run).params == {}
    assert server.store.get_run(server.run).status == "RUNNING"


def test_a_start_says_what_the_run_is(server: Server) -> None:
    about = {"description": "d", "tags": ["a"], "bindrs": ["b"], "folder": "/f", "metadata": {"x": 1.5, "n": None}}
    told = server.post("/projects/p/experiments", json={"name": "full", **about}).json()
    run = told["experiment"]
    expected = {"name": "full", "description": "d", "tags": ["a"], "bindrs": ["b"], "metadata": about["metadata"]}
    assert run.items() >= (expected | {"status": "RUNNING", "writeProtected": False}).items()
    assert (told["project"], told["folder"], told["namespace"]) == ({"name": "p"}, "/f", {"name": ""})
    stored = server.store.get_run(run["id"])
    assert (stored.tags, stored.folder, stored.bindrs, stored.metadata) == (["a"], "/f", ["b"], about["metadata"])
    assert stored.attempts[0].host == "127.0.0.1"


def test_a_start_again_replaces_what_is_given_and_keeps_the_rest(server: Server) -> None:
    path = "/projects/p/experiments"
    first = server.post(path, json={"name": "again", "description": "d", "tags": ["a"], "metadata": {"a": 1}}).json()
    second = server.post(path, json={"name": "again", "tags": [], "metadata": {"b": 2}, "folder": None}).json()
    assert second["experiment"]["id"] == first["experiment"]["id"]
    assert (second["experiment"]["description"], second["experiment"]["tags"]) == ("d", [])
    assert second["experiment"]["metadata"] == {"b": 2}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/projects/p/experiments", {}, "`name`"),
        ("/projects/p/experiments", {"name": None}, "`name`"),
        ("/projects/p/experiments", {"name": 3}, "`name`"),
        ("/projects/p/experiments", {"name": ""}, "empty"),
        ("/projects/p/experiments", {"name": "a/b"}, "'a/b'"),
        ("/projects/p/experiments", {"name": ".."}, "'..'"),
        ("/projects/p/experiments", {"name": "x" * 300}, "255"),
        ("/projects/p/experiments", {"name": "a\x00b"}, "control character"),
        ("/projects/p/experiments", {"name": "a\ud800b"}, "surrogate"),
        ("/projects/a/b/experiments", {"name": "n"}, "'a/b'"),
        ("/projects/%2e%2e/experiments", {"name": "n"}, "'..'"),
        ("/projects/p/experiments", {"name": "n", "tags": "a"}, "tags"),
        ("/projects/p/experiments", {"name": "n", "tags": [1]}, "tags"),
        ("/projects/p/experiments", {"name": "n", "metadata": [1]}, "metadata"),
        ("/projects/p/experiments", {"name": "n", "description": "\ud800"}, "description"),
        ("/projects/p/experiments", {"name": "n", "metadata": {"a": "\ud800"}}, "metadata"),
        ("/projects/p/experiments", {"name": "n", "writeProtected": "yes"}, "writeProtected"),
        ("/projects/p/experiments", {"name": "s"}, "session"),
        ("/workspaces/p/sessions", {"name": "e"}, "experiment"),
    ],
)
def test_a_start_that_is_wrong_makes_nothing(server: Server, path: str, body: dict[str, Any], told: str) -> None:
    before = sorted(server.folder.rglob("*"))
    refused(server.post(path, content=json.dumps(body), headers=JSON), 400, "InvalidInput", told)
    assert sorted(server.folder.rglob("*")) == before


# ---------------------------------------------------------------- bodies

BODIES = [
    (b"", "is not what this route takes"),
    (b"[]", "Expected `object`, got `array`"),
    (b"null", "Expected `object`"),
    (b'{"data": 1', "is not what this route takes"),
    (b'{"data": {"v": 1}}x', "is not what this route takes"),
    (b'{"data": [1]}', "`data`"),
    (b'{"dataPoints": [{"v": 1}]}', "`data`"),
    (b'{"data": {"v": "\xff"}}', "utf-8"),
    (json.dumps({"data": {"v": 1}}).encode("utf-16"), "is not what this route takes"),
    (b'{"data": {"v": ' + b"[" * 100_000 + b"}}", "is not what this route takes"),
    (b'{"data": {"v": ' + b"[" * 70 + b"1" + b"]" * 70 + b"}}", "nested"),
    (b'{"data": {"v": ' + b"9" * 5000 + b"}}", "digits"),
    (b'{"data": {"v": "\\ud800"}}', "'v'"),
    (json.dumps({"data": {f"f{n}": n for n in range(10_001)}}).encode(), "10,000"),
    (b'{"data": {"v": 1}, "tags": ["a", 1]}', "tags"),
    (b'{"data": {"v": 1}, "description": {"a": 1}}', "description"),
    (b'{"data": {"v": 1}, "metadata": "m"}', "metadata"),
    (b'{"data": {"v": 1}, "metadata": {"m": "\\udfff"}}', "metadata"),
]


@pytest.mark.parametrize(("body", "told"), BODIES)
def test_an_append_that_is_wrong_stores_nothing(server: Server, body: bytes, told: str) -> None:
    refused(server.post("/experiments/RUN/metrics/m/append", content=body, headers=JSON), 400, "InvalidInput")
    answer = server.post("/experiments/RUN/metrics/m/append", content=body, headers=JSON)
    assert told.lower().replace(",", "") in answer.text.lower().replace(",", "")
    assert server.get("/experiments/RUN/metrics").json() == {"metrics": []}


def test_a_batch_is_stored_whole_or_not_at_all(server: Server) -> None:
    for points, told in (
        ([], "length"),
        ([{"v": 1}, 2], "[1]"),
        ([{"v": 1}, {"v": "\ud800"}], "row 1"),
        ("ab", "dataPoints"),
    ):
        body = json.dumps({"dataPoints": points})
        refused(
            server.post("/experiments/RUN/metrics/m/append-batch", content=body, headers=JSON),
            400,
            "InvalidInput",
            told,
        )
    assert server.rows("m") == []


def test_limits_and_types_of_bodies_are_http_s_own_statuses(server: Server) -> None:
    large = json.dumps({"data": {"v": "x" * LIMITS.body}})
    for path in ("metrics/m/append", "parameters", "logs"):
        refused(server.post(f"/experiments/RUN/{path}", content=large, headers=JSON), 413, "InvalidInput", "larger")
    text = {"Content-Type": "text/plain"}
    refused(server.post("/experiments/RUN/metrics/m/append", content=b"{}", headers=text), 415, "InvalidInput")
    refused(server.http.put(f"/experiments/{server.run}/metrics/m/append"), 405, "InvalidInput", "POST")
    refused(server.get("/experiments/RUN/metrics/m"), 404, "NotFound", "no such route")
    assert server.rows("m") == []


def test_numbers_as_python_writes_them_and_strings_as_they_are(server: Server) -> None:
    """Bare NaN and infinities are numbers, "NaN" is a text, integers are exact; and answers are strict JSON."""
    body = b'{"data": {"n": NaN, "i": -Infinity, "s": "NaN", "big": 123456789012345678901234567890, "f": 1.0}}'
    for _ in range(2):
        server.post("/experiments/RUN/metrics/m/append", content=body, headers=JSON).raise_for_status()
    row = server.rows("m")[0]
    assert math.isnan(row["n"])
    assert (row["i"], row["s"], row["big"]) == (-math.inf, "NaN", 123456789012345678901234567890)
    assert isinstance(row["f"], float)
    answer = server.get("/experiments/RUN/metrics/m/data").content
    told = json.loads(answer, parse_constant=pytest.fail)["data"][1]
    assert told["data"] == {"n": "NaN", "i": "-Infinity", "s": "NaN", "big": row["big"], "f": 1.0}
    # Who knows the line format tells the two apart.
    assert b'"n": "NaN"' in answer
    assert b'"s": "\\u004eaN"' in answer


def test_texts_of_logs_are_taken_as_they_come(server: Server) -> None:
    """A log is where an error in the middle of another one goes: half a character becomes U+FFFD; other things are checked."""
    entries = [
        {"message": "a\ud800b", "level": "Warning", "metadata": {"k\udfff": ["v\ud800", float("nan")]}},
        {"message": "", "timestamp": "2026-01-31T09:30:00.123456Z"},
        {"message": "m", "timestamp": "2026-01-31T10:30:00+01:00", "level": "FATAL", "metadata": {}},
    ]
    path = "/experiments/RUN/logs"
    told = server.post(path, content=json.dumps({"logs": entries}), headers=JSON).json()
    assert told == {"created": 3, "startSequence": 0, "endSequence": 2, "experimentId": server.run}
    assert server.post(path, json={"logs": [{"message": "n"}]}).json()["startSequence"] == 3
    stored = codec.decode_page(server.store.read(SeriesKey(server.run, "logs", ""), 0, None))
    assert [(entry["message"], entry["level"]) for entry in stored[:3]] == [
        ("a\ufffdb", "warn"),
        ("", "info"),
        ("m", "fatal"),
    ]
    assert list(stored[0]["metadata"]) == ["k\ufffd"]
    assert [entry["timestamp"] for entry in stored[1:3]] == ["2026-01-31T09:30:00.123456Z", "2026-01-31T09:30:00.000Z"]
    for logs, what in (
        ([], "length"),
        ([{"level": "info"}], "message"),
        ([{"message": "m"}, {"message": "m", "level": "loud"}], "logs[1]"),
        ([{"message": "m", "timestamp": "yesterday"}], "ISO 8601"),
        ([{"message": "m", "timestamp": "0001-01-01T00:00:00+23:00"}], "ISO 8601"),
        ([{"message": "m", "metadata": 1}], "metadata"),
    ):
        refused(server.post(path, json={"logs": logs}), 400, "InvalidInput", what)
    assert server.store.read(SeriesKey(server.run, "logs", ""), 0, 0).total == 4


def test_parameters_merge_and_one_that_is_wrong_changes_nothing(server: Server) -> None:
    path = "/experiments/RUN/parameters"
    empty = server.get(path).json()
    assert (empty["data"], empty["version"], empty["experimentId"]) == ({}, 0, server.run)
    assert server.post(path, json={"data": {"a": {"b": 1}, "c": [1, {"d": 2}]}}).json()["data"] == {
        "a.b": 1,
        "c": [1, {"d": 2}],
    }
    for data, told in (
        ({"a": 1}, "'a.b'"),
        ({"x": 1, "a.b": "\ud800"}, "a.b"),
        ({"q": {"r": 1}, "q.r": 2}, "twice"),
        ([1], "data"),
        (None, "data"),
    ):
        refused(server.post(path, content=json.dumps({"data": data}), headers=JSON), 400, "InvalidInput", told)
    merged = server.post(path, content=b'{"data": {"n": NaN, "s": "NaN", "c": 3}}', headers=JSON).json()
    assert merged["data"] == {"a.b": 1, "c": 3, "n": "NaN", "s": "NaN"}
    assert merged["version"] == 2
    params = server.store.get_run(server.run).params
    assert math.isnan(params["n"])
    assert params["s"] == "NaN"


# ---------------------------------------------------------------- names in paths


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("train/loss", "train/loss"),
        ("train%2Floss", "train/loss"),
        ("a/append/append", "a/append/append"),
        ("append", "append"),
        ("a/metrics/b/data", "a/metrics/b/data"),
        ("a%20b%25c", "a b%c"),
        ("gr%C3%B6%C3%9Fe", "größe"),
        ("a.b", "a.b"),
        ("a%3Fb%23c", "a?b#c"),
        ("%5Cback", "\\back"),
    ],
)
def test_a_name_in_a_path_is_what_was_meant(server: Server, path: str, name: str) -> None:
    for number, end in enumerate(("append", "append")):
        told = server.post(f"/experiments/RUN/metrics/{path}/{end}", json={"data": {"v": number}}).json()
        assert told["metricId"] == f"local-metric-{name}"
    assert [p["data"]["v"] for p in server.get(f"/experiments/RUN/metrics/{path}/data").json()["data"]] == [0, 1]
    assert server.get(f"/experiments/RUN/metrics/{path}/stats").json()["name"] == name
    assert [one["name"] for one in server.get("/experiments/RUN/metrics").json()["metrics"]] == [name]
    assert server.rows(name) == [{"v": 0}, {"v": 1}]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("%2e%2e/x", "'..'"),
        ("a/%2e%2e/%2e%2e/x", "'..'"),
        ("a%2F..%2Fb", "'..'"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("/a", "absolute"),
        ("a%00b", "control character"),
        ("a%1Fb", "control character"),
        ("C:%5Cx", "drive letter"),
        ("x" * 300, "255"),
        ("%FF", ""),
    ],
)
def test_a_name_that_is_none_is_refused(server: Server, path: str, told: str) -> None:
    """With the bytes as they are: httpx would take the dots out of the path."""
    answer = raw(server, "POST", f"/experiments/{server.run}/metrics/{path}/append", b'{"data": {"v": 1}}')
    status, body = answer
    assert status in ((400,) if told else (200, 400)), body
    assert told in body
    outside = {entry.name for entry in server.folder.parent.iterdir()}
    assert outside == {"runs"}


def raw(server: Server, method: str, path: str, body: bytes) -> tuple[int, str]:
    place = urlsplit(str(server.http.base_url))
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=60) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        with connection.makefile("rb") as stream:
            answer = stream.read().decode()
    return int(answer.split()[1]), answer


def test_dots_that_a_client_did_not_take_out_lead_nowhere(server: Server) -> None:
    secret = server.folder.parent / "secret.json"
    secret.write_text('{"index": 0, "data": {}}\n')
    for path in (
        f"/experiments/../../experiments/{server.run}/files",
        f"/experiments/{server.run}/files/../../../secret.json",
        f"/experiments/{server.run}/files/..%2F..%2F..%2Fsecret.json/download",
        f"/experiments/{server.run}/metrics/../../../../secret/data",
        "/experiments/..%2F..%2Fsecret.json/metrics",
    ):
        status, body = raw(server, "GET", path, b"")
        assert status in (400, 404), body
        assert '"index": 0' not in body


# ---------------------------------------------------------------- reading


def test_ranges_of_a_read(server: Server) -> None:
    server.append("m", *({"v": n} for n in range(1200)))
    path = "/experiments/RUN/metrics/m/data"

    def read(**query: Any) -> tuple[list[int], int, int, int, bool]:
        told = server.get(path, params=query).json()
        indices = [point["index"] for point in told["data"]]
        return indices, told["startIndex"], told["endIndex"], told["total"], told["hasMore"]

    def pages(**query: Any) -> list[int]:
        """As a client reads on that looks at hasMore."""
        start, found = query.pop("startIndex", 0), []
        while True:
            indices, _, end, _, more = read(startIndex=start, **query)
            found += indices
            start = end + 1
            if not more:
                return found

    assert read(startIndex=5, limit=3) == ([5, 6, 7], 5, 7, 3, True)
    assert read(startIndex=-3) == ([1197, 1198, 1199], 1197, 1199, 3, False)
    assert read(startIndex=-5000, limit=2) == ([0, 1], 0, 1, 2, True)
    assert read(limit=0) == ([], 0, -1, 0, True)
    assert read(limit=-4) == ([], 0, -1, 0, True)
    assert read(startIndex=1200) == ([], 1200, 1199, 0, False)
    assert read(startIndex=10**15) == ([], 10**15, 10**15 - 1, 0, False)
    # A page is bounded in bytes here, so that a read may give less than was asked for; it says so.
    assert pages(limit=10**9) == list(range(1200))
    for query in ({"startIndex": "x"}, {"limit": "1.5"}, {"startIndex": ""}, {"limit": 10**30}):
        refused(server.get(path, params=query), 400, "InvalidInput", "query")


def test_rows_of_any_size_read_in_pages_that_fit(server: Server) -> None:
    server.append("m", *({"v": "x" * 15_000} for _ in range(5)))
    for start in range(5):
        told = server.get("/experiments/RUN/metrics/m/data", params={"startIndex": start}).json()
        assert (told["total"], told["hasMore"]) == (1, start < 4)


def test_a_metric_without_points_reads_as_empty_and_has_no_stats(server: Server) -> None:
    empty = {"data": [], "startIndex": 0, "endIndex": -1, "total": 0, "hasMore": False}
    assert server.get("/experiments/RUN/metrics/none/data").json() == empty
    refused(server.get("/experiments/RUN/metrics/none/stats"), 404, "SeriesNotFound", "'none'")


def test_what_is_said_of_a_metric_replaces_what_was_said(server: Server) -> None:
    """The clients say it with every append; it is written when it is new, also where somebody else said something in between."""
    path = "/experiments/RUN/metrics/m/append"

    def said() -> tuple[Any, Any, Any]:
        told = server.get("/experiments/RUN/metrics/m/stats").json()
        return told["description"], told["tags"], told["metadata"]

    server.post(path, json={"data": {"v": 1}, "description": "d", "tags": ["a"], "metadata": {"u": "s"}})
    assert said() == ("d", ["a"], {"u": "s"})
    server.post(path, json={"data": {"v": 1}, "description": "e"})
    assert said() == ("e", ["a"], {"u": "s"})
    server.post(path, json={"data": {"v": 1}, "description": "d", "tags": ["a"], "metadata": {"u": "s"}})
    assert said() == ("d", ["a"], {"u": "s"})
    meta = server.folder / "p/e/metrics/m/metadata.json"
    before = meta.stat().st_mtime_ns
    for _ in range(3):
        server.post(path, json={"data": {"v": 1}, "description": "d", "tags": ["a"], "metadata": {"u": "s"}})
    assert meta.stat().st_mtime_ns == before


def test_an_answered_append_is_on_the_disk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered before a flush that began after it was accepted."""
    flushed: list[int] = []
    flush = server.store.flush

    def counted(run: str | None = None) -> None:
        flushed.append(server.store.read(SeriesKey(server.run, "metrics", "m"), 0, 0).total)
        flush(run)

    monkeypatch.setattr(server.store, "flush", counted)
    with live(create_app(server.store, LIMITS)) as url, httpx.Client(base_url=url) as http:
        for number in range(1, 4):
            path = f"/experiments/{server.run}/metrics/m/append"
            assert http.post(path, json={"data": {"v": number}}).json()["index"] == number - 1
            assert flushed[-1] == number


def test_appends_that_come_together_are_each_stored_once(server: Server) -> None:
    path = f"/experiments/{server.run}/metrics/m/append"

    def one(number: int) -> tuple[int, int]:
        return number, httpx.post(f"{server.http.base_url}{path}", json={"data": {"n": number}}, timeout=60).json()[
            "index"
        ]

    with ThreadPoolExecutor(16) as pool:
        done = dict(pool.map(one, range(200)))
    assert sorted(done.values()) == list(range(200))
    assert [row["n"] for row in server.rows("m")] == sorted(done, key=lambda number: done[number])


def test_a_folder_of_a_published_client_is_served_as_it_lies(tmp_path: Path) -> None:
    """Lines with a time of their own and bare NaN."""
    place = tmp_path / "p" / "old"
    (place / "metrics/loss").mkdir(parents=True)
    (place / "experiment.json").write_text(
        '{"name": "old", "project": "p", "tags": [], "created_at": "2025-10-01T12:00:00.000000Z"}'
    )
    (place / "metrics/loss/data.jsonl").write_text(
        '{"index": 0, "data": {"value": 0.5}, "createdAt": "2025-10-01T12:00:01.000000Z"}\n'
        '{"index": 1, "data": {"value": NaN}, "createdAt": "2025-10-01T12:00:02.000000Z"}\n'
    )
    store = LocalStore(tmp_path)
    try:
        with live(create_app(store)) as url, httpx.Client(base_url=url) as http:
            run = http.post("/projects/p/experiments", json={"name": "old"}).json()["experiment"]["id"]
            assert (
                http.post(f"/experiments/{run}/metrics/loss/append", json={"data": {"value": 1}}).json()["index"] == 2
            )
            told = http.get(f"/experiments/{run}/metrics/loss/data").json()["data"]
    finally:
        store.close()
    assert [point["data"]["value"] for point in told] == [0.5, "NaN", 1]
    assert [point["createdAt"] for point in told[:2]] == ["2025-10-01T12:00:01.000000Z", "2025-10-01T12:00:02.000000Z"]


# ---------------------------------------------------------------- files


def test_a_file_comes_back_as_it_went_in(server: Server) -> None:
    data = bytes(range(256)) * 4000
    checksum = hashlib.sha256(data).hexdigest()
    told = server.upload(
        data,
        'my "best" größe.bin',
        prefix="/models/",
        checksum=checksum.upper(),
        sizeBytes=str(len(data)),
        description="d",
        tags="a, b,,",
        metadata='{"epoch": 3, "nan": NaN}',
    ).json()
    expected: dict[str, Any] = {
        "path": "/models/",
        "filename": 'my "best" größe.bin',
        "description": "d",
        "tags": ["a", "b"],
    }
    expected |= {"contentType": "text/plain", "sizeBytes": len(data), "checksum": checksum, "experimentId": server.run}
    assert told.items() >= expected.items()
    assert told["metadata"] == {"epoch": 3, "nan": "NaN"}
    path = f"/experiments/RUN/files/{told['id']}"
    assert server.get(path).json() == told
    back = server.get(f"{path}/download")
    assert back.content == data
    assert back.headers["content-disposition"].startswith("attachment")
    assert back.headers["x-content-type-options"] == "nosniff"
    assert server.get(f"{path}/download", headers={"Range": "bytes=10-19"}).content == data[10:20]
    assert server.get("/experiments/RUN/files").json() == {"files": [told]}
    refused(server.http.get(f"/sessions/{server.session}/files/{told['id']}"), 404, "FileMissing")


def test_a_session_s_file_names_its_session(server: Server) -> None:
    path = f"/sessions/{server.session}/files"
    told = server.post(path, files={"file": ("a.txt", b"x")}).json()
    assert told["sessionId"] == server.session
    assert "experimentId" not in told


def test_files_are_listed_by_folder_and_tag(server: Server) -> None:
    for name, prefix, tags in (("a", "/", ""), ("b", "/m", "x"), ("c", "/m/n", "x,y"), ("d", "/mn", "y")):
        server.upload(b"x", name, prefix=prefix, tags=tags).raise_for_status()

    def names(**query: str) -> list[str]:
        return [file["filename"] for file in server.get("/experiments/RUN/files", params=query).json()["files"]]

    assert names() == names(prefix="/") == ["a", "b", "c", "d"]
    assert names(prefix="/m") == names(prefix="m/") == ["b", "c"]
    assert names(tags="y") == ["c", "d"]
    assert names(tags="x, y", prefix="/m/n") == ["c"]
    assert names(prefix="/none") == names(tags="z") == []


def test_a_changed_record_keeps_what_was_not_said(server: Server) -> None:
    """And an empty list of tags says nothing: ml-dash 0.5.2 sends it whenever its user gave none."""
    file = server.upload(tags="a", description="d").json()["id"]
    path = f"/experiments/{server.run}/files/{file}"
    told = server.http.patch(path, json={"description": "e", "tags": []}).json()
    assert (told["description"], told["tags"]) == ("e", ["a"])
    told = server.http.patch(path, json={"tags": ["b"], "metadata": {"k": 1}}).json()
    assert (told["description"], told["tags"], told["metadata"]) == ("e", ["b"], {"k": 1})
    for body in ({"tags": "a"}, {"metadata": [1]}, {"description": 1}):
        refused(server.http.patch(path, json=body), 400, "InvalidInput")


def test_a_deleted_file_is_gone(server: Server) -> None:
    file = server.upload().json()["id"]
    path = f"/experiments/{server.run}/files/{file}"
    told = server.http.delete(path).json()
    assert told["id"] == file
    assert told["deletedAt"].endswith("Z")
    for answer in (server.http.delete(path), server.get(path), server.get(f"{path}/download")):
        refused(answer, 404, "FileMissing")
    refused(server.http.patch(path, json={"description": "d"}), 404, "FileMissing")
    assert server.kept() == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"checksum": "0" * 64}, "checksum"),
        ({"checksum": "nothing of the kind"}, "checksum"),
        ({"sizeBytes": "6"}, "sizeBytes"),
        ({"sizeBytes": "five"}, "sizeBytes"),
        ({"prefix": "/../up"}, "'..'"),
        ({"prefix": "a//b"}, "empty segment"),
        ({"metadata": "{"}, "is not what this route takes"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": '{"a": "\\ud800"}'}, "metadata"),
    ],
)
def test_a_file_that_is_not_what_was_announced_is_not_stored(server: Server, fields: dict[str, str], told: str) -> None:
    refused(server.upload(b"bytes", **fields), 400, "InvalidInput", told)
    assert server.get("/experiments/RUN/files").json() == {"files": []}
    assert server.kept() == []


@pytest.mark.parametrize("name", ["../up", "..", ".", "a/../../b", "/abs", "x" * 300, "C:x"])
def test_a_filename_that_is_none_is_refused(server: Server, name: str) -> None:
    refused(server.upload(b"bytes", name), 400, "InvalidInput")
    assert server.kept() == []


def part(head: str, body: bytes) -> bytes:
    return b"--XX\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body + b"\r\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "ended in the middle"),
        (b"garbage", "no multipart"),
        (part('name="prefix"', b"/") + b"--XX--", "has no file"),
        (part('name="file"; filename=""', b"x") + b"--XX--", "filename"),
        (part('name="file"; filename="a"', b"x" * 1000), "ended in the middle"),
        (part('name="file"; filename="a"', b"x") + part('name="f"; filename="b"', b"") + b"--XX--", "two files"),
        (part('name="file"; filename="a"', b"x") + part('name="prefix"', b"/late") + b"--XX--", "'prefix'"),
        (part('name="file"; filename="a"', b"x") + part('name="checksum"', b"wrong") + b"--XX--", "checksum"),
    ],
)
def test_a_form_that_is_wrong_leaves_nothing(server: Server, body: bytes, told: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    refused(server.post("/experiments/RUN/files", content=body, headers=headers), 400, "InvalidInput", told)
    assert server.kept() == []


def test_what_is_said_behind_the_file_may_still_check_it(server: Server) -> None:
    """Other clients put the sum last, when they have read the file."""
    data = b"x" * 100_000
    body = part('name="file"; filename="a"', data)
    body += part('name="checksum"', hashlib.sha256(data).hexdigest().encode()) + b"--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    assert server.post("/experiments/RUN/files", content=body, headers=headers).json()["sizeBytes"] == len(data)
    assert server.kept() == ["a"]


def test_a_file_beyond_the_limit_is_413(server: Server) -> None:
    """By what is announced, and by what comes where nothing is."""
    data = b"x" * (LIMITS.file or 0) + b"y"
    refused(server.upload(data), 413, "InvalidInput", "larger")

    def unannounced() -> Iterator[bytes]:
        yield part('name="file"; filename="a"', data)[:-2]
        for _ in range(100):
            yield b"x" * 65_536

    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    with pytest.raises((httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError, _Done)):
        raise _Done(server.post("/experiments/RUN/files", content=unannounced(), headers=headers).status_code)
    assert server.upload(data[:-1]).json()["sizeBytes"] == LIMITS.file
    assert server.kept() == ["a.txt"]


class _Done(Exception):
    """The server may have answered before the client had noticed that nobody reads any more."""


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    place = urlsplit(str(server.http.base_url))
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=60) as connection:
        head = f"POST /experiments/{server.run}/files HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=XX\r\n\r\n".encode())
        connection.sendall(part('name="file"; filename="a"', b"x" * 300_000))
    for _ in range(100):  # the server hears of it in its own time, and goes on serving
        assert server.get("/experiments/RUN/files").json() == {"files": []}
        if server.kept() == []:
            break
    server.upload(b"after").raise_for_status()


# ---------------------------------------------------------------- protection and rights


def test_a_run_that_is_written_once(server: Server) -> None:
    """While it runs it is written, and after that it is read."""
    start = {"name": "once", "writeProtected": True}
    run = server.post("/projects/p/experiments", json=start).json()["experiment"]["id"]
    path = f"/experiments/{run}"
    assert server.post(f"{path}/metrics/m/append", json={"data": {"v": 1}}).status_code == 200
    assert server.http.patch(f"{path}/status", json={"status": "COMPLETED"}).json()["experiment"]["writeProtected"]
    for answer in (
        server.post("/projects/p/experiments", json={"name": "once"}),
        server.post(f"{path}/metrics/m/append", json={"data": {"v": 2}}),
        server.post(f"{path}/logs", json={"logs": [{"message": "m"}]}),
        server.post(f"{path}/parameters", json={"data": {"a": 1}}),
        server.post(f"{path}/files", files={"file": ("a", b"x")}),
    ):
        refused(answer, 409, "ReadOnly", "'once' is write-protected")
    assert server.get(f"{path}/metrics/m/data").json()["total"] == 1
    assert server.http.patch(f"{path}/status", json={"status": "FAILED"}).json()["experiment"]["status"] == "COMPLETED"


@pytest.mark.parametrize("body", [{}, {"status": "DONE"}, {"status": None}, {"status": ["RUNNING"]}])
def test_what_is_no_status_is_refused(server: Server, body: dict[str, Any]) -> None:
    refused(server.http.patch(f"/experiments/{server.run}/status", json=body), 400, "InvalidInput", "status")
    assert server.store.get_run(server.run).status == "RUNNING"


def test_a_read_token_reads_and_changes_nothing(tmp_path: Path) -> None:
    """Not even when the run was last heard of."""
    with guarded(tmp_path / "runs") as server:
        write, read = server.token("write"), server.token("read")
        run = server("POST", "/projects/p/experiments", write, json={"name": "e"}).json()["experiment"]["id"]
        server("POST", f"/experiments/{run}/metrics/m/append", write, json={"data": {"v": 1}})
        file = server("POST", f"/experiments/{run}/files", write, files={"file": ("f", b"x")}).json()["id"]

        def state() -> dict[str, tuple[int, int]]:
            paths = (tmp_path / "runs/p").rglob("*")
            return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

        before = state()
        for method, template, given in CALLS:
            path = template.replace("SERIES", "metrics").replace("/files/f", f"/files/{file}")
            answer = server(method, f"/experiments/{run}{path}", read, **given)
            assert answer.status_code == (200 if method == "GET" else 403), path
        refused(server("POST", "/projects/p/experiments", read, json={"name": "new"}), 403, "PermissionDenied")
        refused(server("GET", f"/experiments/{run}/metrics"), 401, "PermissionDenied", "token")
        assert state() == before


def test_what_lies_in_another_namespace_is_not_there(tmp_path: Path) -> None:
    """Whatever the call, and with the text that an id has that nobody ever gave out."""
    with guarded(tmp_path / "runs") as server:
        ours, others = server.token("admin", "ours"), server.token("admin", "others")
        told = server("POST", "/projects/p/experiments", ours, json={"name": "e"}).json()
        assert told["namespace"] == {"name": "ours"}
        run = told["experiment"]["id"]
        server("POST", f"/experiments/{run}/metrics/m/append", ours, json={"data": {"v": 1}})
        for method, template, given in CALLS:
            path = template.replace("SERIES", "metrics")
            answer = server(method, f"/experiments/{run}{path}", others, **given)
            refused(answer, 404, "NotFound")
            nobody = server(method, f"/experiments/{'0' * 32}{path}", others, **given)
            assert answer.json()["message"] == nobody.json()["message"].replace("0" * 32, run)
        again = server("POST", "/projects/p/experiments", others, json={"name": "e"}).json()["experiment"]["id"]
        assert again != run
        assert server("GET", f"/experiments/{run}/metrics", ours).json()["metrics"][0]["totalDataPoints"] == 1


def test_a_key_that_no_server_gave_out_is_refused(tmp_path: Path) -> None:
    """Also the text that the published clients sign themselves from a user's name."""
    with guarded(tmp_path / "runs") as server:
        server.token("write")
        for secret in ("eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyTmFtZSI6ImEifQ.c2ln", "x" * 5000):
            answer = server("POST", "/projects/p/experiments", bearer(secret), json={"name": "e"})
            refused(answer, 401, "PermissionDenied")


def test_runs_of_our_own_clients_are_read_and_written_too(server: Server) -> None:
    """An id is an id; the run is marked as running while somebody writes to it."""
    run = server.store.put_run(RunKey("", "p", "ours"), RunPatch(kind="experiment", params={"a": 1})).id
    assert server.get(f"/experiments/{run}/parameters").json()["data"] == {"a": 1}
    assert server.post(f"/experiments/{run}/metrics/m/append", json={"data": {"v": 1}}).status_code == 200
    assert server.store.get_run(run).status == "RUNNING"
    server.http.patch(f"/experiments/{run}/status", json={"status": "CANCELLED"})
    assert server.store.get_run(run).status == "CANCELLED"


def test_the_document_tells_of_every_route(server: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    for kind, group, series in (("experiments", "projects", "metrics"), ("sessions", "workspaces", "tracks")):
        told = {
            (method.upper(), path)
            for path, item in paths.items()
            for method in item
            if path.startswith((f"/{kind}/", f"/{group}/"))
        }
        run = f"/{kind}/{{run}}"
        assert told == {
            ("POST", f"/{group}/{{group}}/{kind}"),
            *((method, run + path) for method, path in (("PATCH", "/status"), ("POST", "/logs"))),
            *((method, f"{run}/parameters") for method in ("GET", "POST")),
            ("POST", f"{run}/{series}/{{name}}/append"),
            ("POST", f"{run}/{series}/{{name}}/append-batch"),
            ("GET", f"{run}/{series}/{{name}}/data"),
            ("GET", f"{run}/{series}/{{name}}/stats"),
            ("GET", f"{run}/{series}"),
            *((method, f"{run}/files") for method in ("GET", "POST")),
            *((method, f"{run}/files/{{file}}") for method in ("GET", "PATCH", "DELETE")),
            ("GET", f"{run}/files/{{file}}/download"),
        }
    operations = [item["operationId"] for path in paths.values() for item in path.values()]
    assert len(operations) == len(set(operations))
