"""Samples of many series in one answer: that they are the store's, what is left out where it says nothing, continuations, errors in
their place, and clients that go away or do not read."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from ml_dash import columns
from ml_dash.codec import encode_row
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.rollup import Sample
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.server.limits import Limits
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.calls import As, append, batch, make_run, problem
from tests.server.frames import one, sampled, taken_apart
from tests.server.live import live


@pytest.fixture(params=["memory", "local"])
def any_store(request: pytest.FixtureRequest, root: Any) -> Iterator[Store]:
    with closing(MemoryStore() if request.param == "memory" else LocalStore(root)) as store:
        yield store


@pytest.fixture
def any_api(any_store: Store) -> Iterator[httpx.Client]:
    with live(create_app(any_store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
        yield client


def wave(count: int, first: int = 0) -> list[float]:
    return [math.sin(index / 7) + index / 1000 for index in range(first, first + count)]


@pytest.mark.parametrize("most", [1, 7, 100, 400, 5000])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (123, 3456), (2999, 3001), (4900, 10**12)])
def test_they_are_the_stores(any_api: httpx.Client, any_store: Store, most: int, start: int, stop: int | None) -> None:
    """Every column is that of the same sample asked of the store; buckets of one point have their value alone."""
    run = make_run(any_api)
    append(any_api, batch(run, wave(5000)))
    [frame] = sampled(any_api, one(run, start=start, stop=stop, max_points=most))
    expected = any_store.sample(SeriesKey(run, METRICS, "loss"), "value", None, start, stop, most)
    head, columns = frame
    assert (head["at"], head["n"], head["total"]) == (0, len(expected), 5000)
    assert (head["start"], head["stop"]) == (start, min(stop or 5000, 5000))
    exact = bool((expected.stop - expected.start == 1).all())
    assert head.get("exact", False) is exact
    assert list(columns) == (["start", "min"] if exact else ["start", "min", "max", "mean", "argmin", "argmax"])
    for name, column in columns.items():
        assert np.array_equal(column, getattr(expected, name).astype(float), equal_nan=True), name


def test_in_the_order_asked_for(any_api: httpx.Client) -> None:
    runs = [make_run(any_api, name) for name in "abc"]
    for number, run in enumerate(runs):
        append(any_api, batch(run, [number] * 10), batch(run, [-number] * 10, name="deep/er"))
    wanted = [one(run, name) for name in ("deep/er", "loss") for run in reversed(runs)]
    frames = sampled(any_api, *wanted)
    assert [frame.head["at"] for frame in frames] == list(range(6))
    assert [frame.columns["min"][0] for frame in frames] == [-2, -1, 0, 2, 1, 0]


def test_what_is_not_finite_is_counted(any_api: httpx.Client) -> None:
    """The counts come where one of them is not 0, and only then."""
    run = make_run(any_api)
    values: list[float] = [1.0, math.nan, math.inf, 2.0, -math.inf, math.nan]
    append(any_api, batch(run, values * 100), batch(run, [1.0] * 9, name="fine"))
    frames = sampled(any_api, one(run, max_points=3), one(run, stop=6), one(run, "fine"))
    coarse, exact, fine = (frame.columns for frame in frames)
    assert coarse["nan"].sum() == 200
    assert coarse["posinf"].sum() == coarse["neginf"].sum() == 100
    assert exact["nan"].tolist() == [0, 1, 0, 0, 0, 1]
    assert exact["posinf"].tolist() == [0, 0, 1, 0, 0, 0]
    assert list(fine) == ["start", "min"]


def test_empty_ones(any_api: httpx.Client) -> None:
    """A series without points, a field that no row has, a range behind the end: an answer of no buckets, or of empty ones."""
    run = make_run(any_api)
    append(any_api, batch(run, wave(1000)))
    frames = sampled(any_api, one(run, "none"), one(run, field="none", max_points=10), one(run, start=1000))
    assert [frame.head["n"] for frame in frames] == [0, 10, 0]
    assert [frame.head["total"] for frame in frames] == [0, 1000, 1000]
    assert np.isnan(frames[1].columns["min"]).all()
    assert (frames[1].columns["argmin"] == -1).all()


# ---------------------------------------------------------------- x


def test_a_field_as_x(any_api: httpx.Client, any_store: Store) -> None:
    run = make_run(any_api)
    rows = [encode_row({"value": v, "step": 10 * at}) for at, v in enumerate(wave(2000))]
    any_store.append([Batch(SeriesKey(run, METRICS, "loss"), rows)])
    coarse, exact = sampled(any_api, one(run, max_points=10), one(run, stop=5), x="step")
    assert coarse.columns["x_min"].tolist() == [2000 * bucket for bucket in range(10)]
    assert coarse.columns["x_max"].tolist() == [2000 * bucket + 1990 for bucket in range(10)]
    assert exact.columns["x_min"].tolist() == [0, 10, 20, 30, 40]
    assert "x_max" not in exact.columns


def test_wall_time_as_x(any_api: httpx.Client, any_store: Store) -> None:
    """A point has the time of the last tick at or before it."""
    run = make_run(any_api)
    rows = [encode_row({"value": v}) for v in wave(1000)]
    times = tuple((at, 1_700_000_000_000 + 1000 * at) for at in range(0, 1000, 50))
    any_store.append([Batch(SeriesKey(run, METRICS, "loss"), rows, times=times)])
    coarse, exact = sampled(any_api, one(run, max_points=10), one(run, start=49, stop=52), x="time")
    assert (coarse.columns["x_min"] - 1_700_000_000_000).tolist() == [100_000 * bucket for bucket in range(10)]
    assert (coarse.columns["x_max"] - 1_700_000_000_000).tolist() == [100_000 * bucket + 50_000 for bucket in range(10)]
    assert (exact.columns["x_min"] - 1_700_000_000_000).tolist() == [0, 50_000, 50_000]
    time.sleep(0.15)  # a series ticks every 100 ms
    append(any_api, batch(run, [1.0]))
    [later] = sampled(any_api, one(run, start=1000), x="time")
    assert abs(later.columns["x_min"][0] / 1000 - time.time()) < 100


@pytest.mark.parametrize("most", [columns.MOST_LINES, 100])
def test_wall_time_of_published_clients(root: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Their lines carry their times themselves; no more of them are read at a time than of any other series."""
    monkeypatch.setattr(columns, "MOST_LINES", most)
    with closing(LocalStore(root)) as store:
        run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
        store.append([batch(run, [1.0])])
        [path] = (one.path for one in store._series._series.values())
    (Path(path).parent / "clock.jsonl").unlink()
    with open(path, "w", encoding="utf-8") as file:
        for index in range(4):
            point = {"index": index, "data": {"value": index}, "createdAt": f"2025-01-01T00:00:0{index}Z"}
            file.write(json.dumps(point) + "\n")
    with closing(LocalStore(root)) as other:
        assert other.columns(SeriesKey(run, METRICS, "loss"), [], 0, None).count == (1 if most == 100 else 4)
        with live(create_app(other)) as url, httpx.Client(base_url=f"{url}/api/v1") as api:
            [frame] = sampled(api, one(run), x="time")
    assert np.diff(frame.columns["x_min"]).tolist() == [1000, 1000, 1000]


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("before", [1000, 1234, 99_999])
def test_a_width_goes_on_with_a_sample(any_api: httpx.Client, before: int) -> None:
    """Buckets of the width that an answer told, from one of its buckets on, are those that it would have now; what was there before
    stays as it is."""
    run = make_run(any_api)
    append(any_api, batch(run, wave(before)))
    [old] = sampled(any_api, one(run, max_points=50))
    append(any_api, batch(run, wave(777, before)))
    width, last = old.head["width"], int(old.columns["start"][-1])
    [more] = sampled(any_api, one(run, start=last, width=width))
    assert (more.head["width"], more.head["total"]) == (width, before + 777)
    assert more.columns["start"][0] == last
    assert (more.columns["start"] % width == 0).all()
    [whole] = sampled(any_api, one(run, width=width))
    for name in ("start", "min", "max", "argmin", "argmax"):
        joined = np.concatenate((old.columns[name][:-1], more.columns[name]))
        assert np.array_equal(joined, whole.columns[name]), name


def test_a_width_from_anywhere(any_api: httpx.Client) -> None:
    """The buckets are cut at multiples of the width, wherever they begin and end."""
    run = make_run(any_api)
    append(any_api, batch(run, wave(1000)))
    asked = [(130, 970), (100, 1000), (110, 190), (999, None), (0, 100)]
    frames = sampled(any_api, *(one(run, start=start, stop=stop, width=100) for start, stop in asked))
    assert [frame.columns["start"].tolist() for frame in frames] == [
        [130, *range(200, 1000, 100)],
        list(range(100, 1000, 100)),
        [110],
        [999],
        [0],
    ]


def test_a_width_that_is_none(any_api: httpx.Client) -> None:
    run = make_run(any_api)
    append(any_api, batch(run, wave(30_000)))
    frames = sampled(any_api, one(run, width=150), one(run, width=1))
    assert "an answer told" in frames[0].head["message"]
    assert "more than 10000 buckets" in frames[1].head["message"]


# ---------------------------------------------------------------- errors


def test_one_that_fails_says_so_in_its_place(any_api: httpx.Client) -> None:
    """The others are there all the same."""
    run = make_run(any_api)
    append(any_api, batch(run, [1.0, 2.0]))
    deleted = make_run(any_api, "deleted")
    append(any_api, batch(deleted, [1.0]))
    sampled(any_api, one(deleted))
    any_api.delete(f"/runs/{deleted}")
    frames = sampled(any_api, one("none"), one(run, "../x"), one(deleted), one(run))
    assert [frame.head.get("error") for frame in frames] == ["NotFound", "InvalidInput", "NotFound", None]
    assert frames[0].head["message"] == "there is no run with the id 'none' here; it may have been deleted."
    assert "'..'" in frames[1].head["message"]
    assert frames[3].columns["min"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "series"),
        ({"series": [{"run": "r"}]}, "kind"),
        ({"series": [one("r", max_points=0)]}, ">= 1"),
        ({"series": [one("r", max_points=10_001)]}, "<= 10000"),
        ({"series": [one("r", start=-1)]}, ">= 0"),
        ({"series": [one("r", stop="x")]}, "stop"),
        ({"series": [one("r", width=0)]}, ">= 1"),
        ({"series": [one("r")] * 501}, "<= 500"),
        ({"series": [], "x": 3}, "x"),
    ],
)
def test_a_request_that_is_wrong(api: httpx.Client, body: Any, text: str) -> None:
    assert text in problem(api.post("/samples", json=body), 400, "InvalidInput")


def test_runs_of_others_are_not_there() -> None:
    """Whether or not they exist."""
    store = MemoryStore()
    ids = [store.put_run(RunKey(space, "p", "r"), RunPatch()).id for space in ("mine", "theirs")]
    for run in ids:
        store.append([batch(run, [1.0])])
    app = As(create_app(store), Caller("read", ("mine",), "t"))
    with live(app) as url, httpx.Client(base_url=f"{url}/api/v1") as api:
        frames = sampled(api, *map(one, ids), one("none"))
    assert [frame.head.get("error") for frame in frames] == [None, "NotFound", "NotFound"]
    assert frames[1].head["message"].replace(ids[1], "none") == frames[2].head["message"]


# ---------------------------------------------------------------- the work that it takes


class Counted(MemoryStore):
    """Counts its samples; each takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.samples = 0
        self.seconds = seconds
        self._counting = threading.Lock()

    def sample(self, *args: Any) -> Sample:
        with self._counting:
            self.samples += 1
        time.sleep(self.seconds)
        return super().sample(*args)


def test_what_many_ask_is_computed_once() -> None:
    """Also where they ask at the same time; and again once the series has grown."""
    store = Counted(0.05)
    run = store.put_run(RunKey("", "p", "r"), RunPatch()).id
    store.append([batch(run, wave(1000))])
    with live(create_app(store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        bodies: list[bytes] = []

        def ask() -> None:
            bodies.append(api.post("/samples", json={"series": [one(run)]}).content)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(bodies)) == 1
        assert store.samples == 1
        append(api, batch(run, [5.0]))
        [frame] = sampled(api, one(run))
    assert frame.head["total"] == 1001
    assert store.samples == 2


def test_the_first_is_there_before_the_last_is_computed() -> None:
    store = Counted(0.1)
    run = store.put_run(RunKey("", "p", "r"), RunPatch()).id
    store.append([batch(run, wave(1000))])
    series = [one(run, max_points=1 + most) for most in range(20)]
    with live(create_app(store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        since = time.monotonic()
        with api.stream("POST", "/samples", json={"series": series}) as answer:
            parts = answer.iter_raw()
            first = next(parts)
            waited = time.monotonic() - since
            body = first + b"".join(parts)
    assert waited < 1
    assert len(taken_apart(first)) < 5
    assert len(taken_apart(body)) == 20


def _request(url: str, body: bytes) -> socket.socket:
    place = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((place.hostname, place.port))
    head = f"POST /api/v1/samples HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def _settled(store: Counted) -> int:
    """How many samples were taken, once there are no more."""
    before = -1
    while before != store.samples:
        before = store.samples
        time.sleep(0.4)
    return before


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "does not read"])
def test_nothing_is_computed_for_nobody(*, leaves: bool) -> None:
    """A client that goes away, or takes nothing for long, is computed for no longer; others are answered meanwhile."""
    store = Counted(0.01)
    run = store.put_run(RunKey("", "p", "r"), RunPatch()).id
    store.append([batch(run, wave(30_000))])
    series = [one(run, max_points=9_500 + most) for most in range(500)]
    body = json.dumps({"series": series}).encode()
    with live(create_app(store, Limits(stall=1.0))) as url:
        connection = _request(url, body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        while not store.samples:  # who leaves before has nothing computed at all
            time.sleep(0.01)
        if leaves:
            connection.close()
        taken = _settled(store)
        assert 0 < taken < 400
        with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
            [frame] = sampled(api, one(run, max_points=3))
            assert frame.head["n"] == 3
        time.sleep(1.2)
        assert _settled(store) == taken + 1
        connection.close()


def test_the_document_tells_the_bounds() -> None:
    told = create_app(MemoryStore()).openapi()["components"]["schemas"]["SampleOf"]["properties"]
    assert told["max_points"]["maximum"] == 10_000
    assert told["start"]["minimum"] == 0
