"""Looking through a log: what matches, in both directions, page by page, in bounded pieces of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_dash.codec import encode_row
from ml_dash.model import LOGS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.server import log_search
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.calls import As, make_run, problem
from tests.server.live import live

LEVELS = ("info", "warn", "error")


def entry(number: int) -> dict[str, Any]:
    """Every third is an error; every tenth says "Ten"."""
    message = f"step {number}{' Ten' if number % 10 == 0 else ''}"
    told = {"timestamp": "2025-01-01T00:00:00.000Z", "level": LEVELS[number % 3], "message": message}
    return told | ({"metadata": {"epoch": number}} if number % 2 else {})


def write(store: Store, run: str, count: int) -> None:
    store.append([Batch(SeriesKey(run, LOGS, ""), [encode_row(entry(number)) for number in range(count)])])


@pytest.fixture(params=["memory", "local"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(MemoryStore() if request.param == "memory" else LocalStore(tmp_path)) as store:
        yield store


@pytest.fixture
def any_api(any_store: Store) -> Iterator[httpx.Client]:
    with live(create_app(any_store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
        yield client


def logs(api: httpx.Client, run: str, **asked: Any) -> dict[str, Any]:
    given = {"from" if name == "from_" else name: value for name, value in asked.items()}
    answer = api.get(f"/runs/{run}/logs", params=given)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def all_of(api: httpx.Client, run: str, **asked: Any) -> list[int]:
    """Indices of all that matches, answer by answer, in the order of the answers."""
    found: list[int] = []
    told = logs(api, run, **asked)
    while True:
        found += [row["index"] for row in told["rows"]]
        if told["next"] is None:
            return found
        told = logs(api, run, **(asked | {"from_": told["next"]}))


def test_the_lines(any_api: httpx.Client, any_store: Store) -> None:
    run = make_run(any_api)
    write(any_store, run, 5)
    told = logs(any_api, run)
    assert (told["next"], told["total"], told["scanned"]) == (None, 5, 5)
    assert told["rows"] == [{"index": number, "metadata": None, **entry(number)} for number in range(5)]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({}, lambda _: True),
        ({"levels": ["error", "warn"]}, lambda n: n % 3 > 0),
        ({"search": "tEN"}, lambda n: n % 10 == 0),
        ({"search": "step 1", "levels": ["info"]}, lambda n: str(n)[0] == "1" and n % 3 == 0),
        ({"levels": ["fatal"]}, lambda _: False),
        ({"search": "no such"}, lambda _: False),
    ],
)
def test_all_of_it_page_by_page(
    any_api: httpx.Client, any_store: Store, *, asked: dict[str, Any], holds: Any, limit: int, backward: bool
) -> None:
    """Every line that matches comes once, whichever way one goes; in an answer the oldest comes first."""
    run = make_run(any_api)
    count = 150 if limit == 1 else 1500
    write(any_store, run, count)
    expected = [number for number in range(count) if holds(number)]
    assert sorted(all_of(any_api, run, limit=limit, backward=backward, **asked)) == expected
    told = logs(any_api, run, limit=limit, backward=backward, **asked)["rows"]
    assert [row["index"] for row in told] == (expected[-limit:] if backward else expected[:limit])


def test_from_somewhere(any_api: httpx.Client, any_store: Store) -> None:
    """Forward from there on, backward what is before; beyond the end there is nothing yet."""
    run = make_run(any_api)
    write(any_store, run, 100)
    rows = [logs(any_api, run, from_=50, limit=2, backward=backward)["rows"] for backward in (False, True)]
    assert [[row["index"] for row in each] for each in rows] == [[50, 51], [48, 49]]
    assert logs(any_api, run, from_=100) == {"rows": [], "next": None, "total": 100, "scanned": 0}
    assert logs(any_api, run, from_=10**15, backward=True, limit=1)["rows"][0]["index"] == 99
    assert logs(any_api, run, from_=0, backward=True)["next"] is None


def test_texts_of_all_kinds_are_found(any_api: httpx.Client, any_store: Store) -> None:
    """However their JSON is spelled."""
    texts = ['say "hi"', "back\\slash", "Grüße", "NaN", "tab\there", "<script>alert(1)</script>", "emoji 😀"]
    run = make_run(any_api)
    rows = [encode_row({"timestamp": "", "level": "info", "message": text}) for text in texts]
    any_store.append([Batch(SeriesKey(run, LOGS, ""), rows)])
    for number, text in enumerate(texts):
        for part in (text, text[1:].lower(), *([text.upper()] if text.isascii() else [])):
            assert number in all_of(any_api, run, search=part), part
    assert [row["message"] for row in logs(any_api, run)["rows"]] == texts
    assert all_of(any_api, run, search="info") == []


def test_an_empty_log_and_none(any_api: httpx.Client) -> None:
    run = make_run(any_api)
    assert logs(any_api, run) == {"rows": [], "next": None, "total": 0, "scanned": 0}
    assert "'none'" in problem(any_api.get("/runs/none/logs"), 404, "NotFound")


@pytest.mark.parametrize(
    "asked", [{"from": -1}, {"limit": 0}, {"limit": 10_001}, {"backward": "perhaps"}, {"search": "x" * 1001}]
)
def test_a_request_that_is_wrong(api: httpx.Client, asked: dict[str, Any]) -> None:
    problem(api.get("/runs/none/logs", params=asked), 400, "InvalidInput")


def test_a_log_of_others_is_not_there() -> None:
    store = MemoryStore()
    run = store.put_run(RunKey("theirs", "p", "r"), RunPatch()).id
    with (
        live(As(create_app(store), Caller("read", ("mine",), "t"))) as url,
        httpx.Client(base_url=f"{url}/api/v1") as api,
    ):
        problem(api.get(f"/runs/{run}/logs"), 404, "NotFound")


@pytest.mark.parametrize("asked", [{}, {"backward": True}, {"levels": ["error"], "search": "nothing like it"}])
def test_an_answer_is_a_bounded_piece_of_work(
    any_api: httpx.Client, any_store: Store, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """Where little matches, it says how far it came and where to go on."""
    monkeypatch.setattr(log_search, "MOST_LINES", 1_000)
    monkeypatch.setattr(log_search, "_BLOCK", 10_000)
    run = make_run(any_api)
    write(any_store, run, 5000)
    told = logs(any_api, run, **({"search": "no such text"} | asked))
    assert told["rows"] == []
    assert 1_000 <= told["scanned"] < 3_000
    assert told["next"] == (5000 - told["scanned"] if asked.get("backward") else told["scanned"])
    assert all_of(any_api, run, search="step 4321", backward=asked.get("backward", False)) == [4321]


def test_lines_of_very_different_length(any_api: httpx.Client, any_store: Store) -> None:
    """Backward, nobody knows how long they are before they are read."""
    run = make_run(any_api)
    sizes = [1] * 500 + [2_000_000] + [1] * 1200 + [1_500_000, 1_500_000] + [1] * 10
    rows = [encode_row({"level": "info", "message": f"{number} " + "x" * size}) for number, size in enumerate(sizes)]
    any_store.append([Batch(SeriesKey(run, LOGS, ""), rows)])
    for backward in (False, True):
        found = all_of(any_api, run, backward=backward, limit=400)
        assert sorted(found) == list(range(len(sizes)))


def test_millions_of_lines_answer_in_time(api: httpx.Client, store: LocalStore) -> None:
    """The last lines at once, and a search that finds nothing in about its bound."""
    run = make_run(api)
    rows = [encode_row(entry(number)) for number in range(50_000)]
    for _ in range(8):
        store.append([Batch(SeriesKey(run, LOGS, ""), rows)])
    since = time.monotonic()
    assert logs(api, run, backward=True, limit=100)["total"] == 400_000
    last = time.monotonic() - since
    told = logs(api, run, search="no such text")
    assert told["next"] is not None
    assert last < 2
    assert time.monotonic() - since < 5
