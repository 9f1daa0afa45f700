"""Filters and aggregates over HTTP: what matches, where a filter is wrong, and what aggregates cost. The language itself is
tests/unit/test_query.py's."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from ml_dash import query
from ml_dash.errors import CorruptData, InvalidInput, NewerFormat
from ml_dash.model import RunKey, RunPatch, SeriesKey
from ml_dash.rollup import Sample
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.store.memory import MemoryStore
from tests.server.calls import As, append, batch, make_run, problem
from tests.server.live import live


class Counted(MemoryStore):
    """Counts its samples. A series called "damaged" cannot be read."""

    samples = 0

    def sample(self, series: SeriesKey, *args: Any) -> Sample:
        self.samples += 1
        if series.name == "damaged":
            raise CorruptData("somewhere", 0, "damage")
        return super().sample(series, *args)


@contextmanager
def served(store: MemoryStore) -> Iterator[httpx.Client]:
    with live(create_app(store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        yield api


def matching(api: httpx.Client, text: str) -> list[str]:
    """The names of the runs that match."""
    answer = api.get("/match", params={"project": "project", "filter": text})
    assert answer.status_code == 200, answer.text
    return [api.get(f"/runs/{run}").json()["key"][2] for run in answer.json()["runs"]]


def fill(api: httpx.Client) -> dict[str, str]:
    runs = {name: make_run(api, name) for name in ("a", "b", "c")}
    for number, run in enumerate(runs.values()):
        api.patch(f"/runs/{run}", json={"params": {"lr": 10.0**-number}, "tags": [f"t{number}"]})
        append(api, batch(run, [5.0, 1.0 + number, 3.0, math.nan], "val/loss"))
    return runs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('status = "COMPLETED"', "cba"),
        ("params.lr > 0.05 and 't1' in tags", "b"),
        ('metrics["val/loss"].value.min < 2.5', "ba"),
        ('metrics["val/loss"].value.mean = 3', "a"),
        ('metrics["val/loss"].value.count = 3 and metrics["val/loss"].value.first = 5', "cba"),
        ('metrics["val/loss"].value.last = 3 and metrics["val/loss"].value.max = 5', "cba"),
        ('metrics["val/loss"].none.min is None and metrics.none.value.min is None', "cba"),
        ('name == "a = b"', ""),
    ],
)
def test_what_matches(text: str, names: str) -> None:
    with served(Counted()) as api:
        fill(api)
        assert "".join(matching(api, text)) == names


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("params.lr < 0.1 and loss < 3", "loss"),
        ("  status = COMPLETED ", "COMPLETED"),
        ('name = "ü😀" and los < 1', "los"),
        ("params.lr <", ""),
        ("params.lr + 1 = 2 and name = 'a'", "params.lr + 1"),
        ("(name = 'a'\n and nme = 'b')", "nme"),
        ("params.lr > 0,1", "params.lr > 0,1"),
        ("name = 'a' and status = 'done'", "'done'"),
        ("", ""),
    ],
)
def test_where_it_is_wrong(text: str, part: str) -> None:
    """Told in the text as it was given, counted as JavaScript counts."""
    with served(Counted()) as api:
        answer = api.get("/match", params={"project": "project", "filter": text})
        problem(answer, 400, "InvalidInput")
        assert answer.json()["message"].startswith("The filter ")
        assert answer.json()["message"].endswith(".")
        assert "Write for example" not in answer.json()["message"]
        begin, end = answer.json()["at"]
        assert text.encode("utf-16-le")[2 * begin : 2 * end].decode("utf-16-le") == part


def test_a_quote_that_is_never_closed_takes_no_time() -> None:
    """While it is typed, every text is one: a path of another system, say."""
    began = time.perf_counter()
    for text in ('name = "' + "\\" * 40, 'name = "' + "\\" * 3000, '"""' + "\\'" * 1500):
        with pytest.raises(InvalidInput, match="is not an expression"):
            query.compile_filter(text)
    assert time.perf_counter() - began < 2


def test_a_text_that_is_too_long_is_not_read() -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidInput, match="4000 are the limit"):
        query.aggregate_of("a" * 20_000_000)
    assert time.perf_counter() - began < 1


def test_aggregates_are_asked_for_where_the_rest_leaves_it_open() -> None:
    """And of a series of some length once."""
    store = Counted()
    with served(store) as api:
        runs = fill(api)
        text = 'name in ["a", "b"] and metrics["val/loss"].value.min < 1.5'
        assert matching(api, text) == matching(api, text) == ["a"]
        assert store.samples == 2
        append(api, batch(runs["b"], [0.5], "val/loss"))
        assert matching(api, text) == ["b", "a"]
        assert store.samples == 3


def test_a_filter_does_not_fail_for_a_run() -> None:
    """What cannot be read, nobody knows: it is None."""
    with served(Counted()) as api:
        runs = fill(api)
        append(api, batch(runs["a"], [1.0], "damaged"))
        assert matching(api, "metrics.damaged.value.min is None") == ["c", "b", "a"]


def test_others_runs_match_nothing() -> None:
    store = MemoryStore()
    for space in ("mine", "theirs"):
        store.put_run(RunKey(space, "project", space), RunPatch())
    with (
        live(As(create_app(store), Caller("read", ("mine",), "t"))) as url,
        httpx.Client(base_url=f"{url}/api/v1") as api,
    ):
        assert len(api.get("/match", params={"project": "project", "filter": "True"}).json()["runs"]) == 1
        asked = {"project": "project", "filter": "True", "namespace": "theirs"}
        assert "'theirs'" in problem(api.get("/match", params=asked), 404, "NotFound")


# ---------------------------------------------------------------- summaries

LOSS = 'metrics["val/loss"].value'


def summaries(api: httpx.Client, runs: list[str], *columns: str) -> dict[str, list[Any]]:
    answer = api.post("/summaries", json={"runs": runs, "columns": columns})
    assert answer.status_code == 200, answer.text
    told: dict[str, list[Any]] = answer.json()["values"]
    return told


def test_summaries() -> None:
    """In the order asked for; null for what is not there, or cannot be read."""
    with served(Counted()) as api:
        runs = fill(api)
        append(api, batch(runs["a"], [math.inf], "odd"), batch(runs["a"], [1], "damaged"))
        deleted = make_run(api, "deleted")
        api.delete(f"/runs/{deleted}")
        columns = [f"{LOSS}.{each}" for each in ("min", "max", "mean", "first", "last", "count")]
        more = ["metrics.odd.value.min", "metrics.odd.value.count", "metrics.damaged.value.min"]
        told = summaries(api, [runs["c"], "none", deleted, runs["a"]], *columns, *more)
        assert [told[column] for column in columns] == [
            [3.0, None, None, 1.0],
            [5.0, None, None, 5.0],
            [11 / 3, None, None, 3.0],
            [5.0, None, None, 5.0],
            [3.0, None, None, 3.0],
            [3, None, None, 3],
        ]
        assert told["metrics.odd.value.min"] == [None] * 4
        assert told["metrics.odd.value.count"] == [None, None, None, 0]
        assert told["metrics.damaged.value.min"] == [None] * 4


@pytest.mark.parametrize("error", [NewerFormat("a newer version wrote it"), PermissionError(13, "denied")])
def test_a_series_that_cannot_be_read_spoils_no_other(error: Exception) -> None:
    class Odd(MemoryStore):
        def sample(self, series: SeriesKey, *args: Any) -> Sample:
            if series.name == "odd":
                raise error
            return super().sample(series, *args)

    with served(Odd()) as api:
        runs = fill(api)
        append(api, batch(runs["a"], [1.0], "odd"))
        columns = ["metrics.odd.value.min", f"{LOSS}.min"]
        assert summaries(api, [runs["a"], runs["c"]], *columns) == dict(
            zip(columns, [[None, None], [1.0, 3.0]], strict=True)
        )
        assert matching(api, "metrics.odd.value.min is None") == ["c", "b", "a"]


def test_summaries_are_made_once_for_a_length() -> None:
    """All aggregates of a field by one look; again once the series has grown."""
    store = Counted()
    with served(store) as api:
        runs = fill(api)
        columns = [f"{LOSS}.min", f"{LOSS}.max"]
        for _ in range(3):
            summaries(api, list(runs.values()), *columns)
        assert store.samples == 3
        append(api, batch(runs["a"], [-1.0], "val/loss"))
        assert summaries(api, list(runs.values()), *columns)[columns[0]] == [-1.0, 2.0, 3.0]
        assert store.samples == 4


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "runs"),
        ({"runs": [], "columns": ["metrics.loss.value"]}, "is none of min, max"),
        ({"runs": [], "columns": ["params.lr.x.min"]}, "is none of min, max"),
        ({"runs": [], "columns": ["metrics.a.b.c.min"]}, "is none of min, max"),
        ({"runs": [], "columns": ["1 + 1"]}, "asks for a part of what has none"),
        ({"runs": [], "columns": ["name"] * 101}, "<= 100"),
        ({"runs": ["r"] * 1001, "columns": []}, "<= 1000"),
    ],
)
def test_a_request_for_summaries_that_is_wrong(body: Any, text: str) -> None:
    with served(Counted()) as api:
        assert text in problem(api.post("/summaries", json=body), 400, "InvalidInput")


def test_nobody_works_for_who_has_gone() -> None:
    """The rest of what was asked for is left where the client went away in the middle."""

    class Slow(Counted):
        def sample(self, series: SeriesKey, *args: Any) -> Sample:
            time.sleep(0.1)
            return super().sample(series, *args)

    store = Slow()
    runs = [store.put_run(RunKey("", "project", str(n)), RunPatch()).id for n in range(40)]
    store.append([batch(run, [1.0]) for run in runs])
    with served(store) as api:
        with pytest.raises(httpx.ReadTimeout):
            api.post("/summaries", json={"runs": runs, "columns": ["metrics.loss.value.min"]}, timeout=0.5)
        time.sleep(0.5)
        seen = store.samples
        time.sleep(0.5)
        assert 0 < seen == store.samples < len(runs)


def test_summaries_of_others_runs_are_null() -> None:
    store = MemoryStore()
    ids = [store.put_run(RunKey(space, "p", "r"), RunPatch()).id for space in ("mine", "theirs")]
    store.append([batch(run, [1.0]) for run in ids])
    with (
        live(As(create_app(store), Caller("read", ("mine",), "t"))) as url,
        httpx.Client(base_url=f"{url}/api/v1") as api,
    ):
        assert summaries(api, ids, "metrics.loss.value.min") == {"metrics.loss.value.min": [1.0, None]}
