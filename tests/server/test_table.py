"""The table of a project's runs and the list of projects: what is in them, that they are as things are now, whoever changed them, and
thousands of runs."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_dash.codec import encode_row
from ml_dash.errors import CorruptData, Unavailable
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, RunQuery, SeriesInfo, SeriesKey
from ml_dash.server import overview, series_fields
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.server.limits import Limits
from ml_dash.server.overview import Overview
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.calls import As, append, batch, make_run, problem
from tests.server.live import live

START = 1_700_000_000.0


@contextmanager
def served(store: Store, limits: Limits | None = None) -> Iterator[httpx.Client]:
    with live(create_app(store, limits)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        yield api


def table(api: httpx.Client, *columns: str, project: str = "project") -> dict[str, Any]:
    answer = api.get("/table", params={"project": project, "columns": columns})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def values(told: dict[str, Any], column: str) -> list[Any]:
    """A column as a list, None where a run has nothing."""
    found = (told["columns"] | told["params"])[column]
    out = [None] * len(told["runs"]["id"])
    for row, value in zip(found.get("rows", range(len(out))), found["values"], strict=True):
        out[row] = value
    return out


# ---------------------------------------------------------------- what is in it


def test_what_it_tells_of_runs() -> None:
    """Newest first; the ordinal is a run's place from the oldest on."""
    now = [START]
    store = MemoryStore(clock=lambda: now[0])
    for name in "abc":
        run = store.put_run(RunKey("", "project", name), RunPatch(join=name, tags=[name], description=f"of {name}"))
        now[0] += 10
        if name != "c":
            store.update_run(run.id, RunPatch(leave=name, status="FAILED" if name == "a" else "COMPLETED"))
    store.update_run(run.id, RunPatch(archived=True, write_protected=True))
    with served(store) as api:
        told = table(api)
    assert told["pending"] == 0
    assert abs(told["now"] - time.time()) < 100
    runs = told["runs"]
    assert runs["id"][0] == run.id
    del runs["id"]
    assert runs == {
        "name": ["c", "b", "a"],
        "kind": ["experiment"] * 3,
        "status": ["LOST", "COMPLETED", "FAILED"],
        "created_at": ["2023-11-14T22:13:40.000Z", "2023-11-14T22:13:30.000Z", "2023-11-14T22:13:20.000Z"],
        "updated_at": ["2023-11-14T22:13:50.000Z", "2023-11-14T22:13:40.000Z", "2023-11-14T22:13:30.000Z"],
        "ended_at": [None, "2023-11-14T22:13:40.000Z", "2023-11-14T22:13:30.000Z"],
        "tags": [["c"], ["b"], ["a"]],
        "notes": ["of c", "of b", "of a"],
        "archived": [True, False, False],
        "write_protected": [True, False, False],
        "attempts": [1, 1, 1],
        "ordinal": [2, 1, 0],
    }


def test_parameters_and_series(api: httpx.Client) -> None:
    """A parameter that all runs have says no rows; a series tells how many runs have it, its numbers, and its greatest length."""
    one, two = make_run(api, "one"), make_run(api, "two")
    api.patch(f"/runs/{one}", json={"params": {"lr": 0.1, "net.depth": 3, "bad": "NaN", "list": [1, "Infinity"]}})
    api.patch(f"/runs/{two}", json={"params": {"lr": 0.2, "big": 2**70, "text": "\u2028</script>"}})
    append(api, batch(one, [1.0, 2.0, 3.0]), batch(one, [1.0], "train/acc"))
    append(api, Batch(SeriesKey(two, METRICS, "loss"), [encode_row({"value": 1, "note": "x", "flag": True})]))
    told = table(api)
    assert values(told, "lr") == [0.2, 0.1]
    assert "rows" not in told["params"]["lr"]
    assert told["params"]["net.depth"] == {"rows": [1], "values": [3]}
    assert told["params"]["bad"] == {"rows": [1], "values": ["NaN"]}
    assert told["params"]["list"] == {"rows": [1], "values": [[1, "Infinity"]]}
    assert told["params"]["big"] == {"rows": [0], "values": [float(2**70)]}
    assert told["params"]["text"] == {"rows": [0], "values": ["\u2028</script>"]}
    assert told["series"] == [
        {"kind": "metrics", "name": "loss", "fields": ["value", "flag"], "runs": 2, "points": 3},
        {"kind": "metrics", "name": "train/acc", "fields": ["value"], "runs": 1, "points": 1},
    ]


def test_columns_are_references(api: httpx.Client) -> None:
    """As in the filter language; last values, no aggregates."""
    one, two = make_run(api, "one"), make_run(api, "two")
    api.patch(f"/runs/{one}", json={"params": {"lr": 0.5}})
    append(api, batch(one, [1.0, math.inf], "train/loss"), batch(two, [3.0]))
    asked = ['metrics["train/loss"].value', 'metrics["train/loss"]', "metrics.loss.value", "params.lr", "name"]
    told = table(api, *asked, "metrics.none.value", "metrics.loss.value.min")
    found = [values(told, column) for column in asked]
    assert found == [[None, "Infinity"], [None, "Infinity"], [3.0, None], [None, 0.5], ["two", "one"]]
    assert told["columns"]["metrics.none.value"] == {"rows": [], "values": []}
    assert values(told, "metrics.loss.value.min") == [None, None]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "`project`"),
        ({"project": "p", "columns": "loss"}, "names 'loss'"),
        ({"project": "p", "columns": "params.lr < 1"}, "not one reference"),
        ({"project": "p", "columns": ["name"] * 501}, "`columns`"),
    ],
)
def test_a_request_that_is_wrong(api: httpx.Client, asked: dict[str, Any], text: str) -> None:
    assert text in problem(api.get("/table", params=asked), 400, "InvalidInput")


def test_a_project_that_nobody_made_is_empty(api: httpx.Client) -> None:
    told = table(api, project="none")
    assert (told["runs"]["id"], told["params"], told["series"], told["columns"]) == ([], {}, [], {})


def test_projects(api: httpx.Client, store: LocalStore) -> None:
    """The one that changed last comes first."""
    for project, names in {"one": "ab", "two": "c"}.items():
        for name in names:
            store.put_run(RunKey("", project, name), RunPatch(join=name))
            time.sleep(0.002)
    store.put_run(RunKey("", "one", "a"), RunPatch(leave="a", status="COMPLETED"))
    time.sleep(0.002)
    last = store.put_run(RunKey("team", "two", "d"), RunPatch())
    told = api.get("/projects").json()["projects"]
    assert [(one["namespace"], one["project"], one["runs"], one["running"]) for one in told] == [
        ("team", "two", 1, 0),
        ("", "one", 2, 1),
        ("", "two", 1, 1),
    ]
    assert told[0]["updated_at"] == last.updated_at


# ---------------------------------------------------------------- rights


def test_others_runs_are_in_none_of_it() -> None:
    store = MemoryStore()
    for space in ("", "mine", "theirs"):
        store.append([batch(store.put_run(RunKey(space, "project", space or "none"), RunPatch()).id, [1.0])])
    app = As(create_app(store), Caller("read", ("mine",), "t"))
    with live(app) as url, httpx.Client(base_url=f"{url}/api/v1") as api:
        assert [one["namespace"] for one in api.get("/projects").json()["projects"]] == ["mine"]
        assert table(api)["runs"]["name"] == ["mine"]
        asked = api.get("/table", params={"project": "project", "namespace": "theirs"})
        assert "'theirs'" in problem(asked, 404, "NotFound")


# ---------------------------------------------------------------- as it is now


@pytest.fixture(params=["memory", "local"])
def any_store(request: pytest.FixtureRequest, root: Any) -> Iterator[Store]:
    with closing(MemoryStore() if request.param == "memory" else LocalStore(root)) as store:
        yield store


def test_what_came_through_the_server_is_in_it(any_store: Store) -> None:
    """At once, also of runs that nobody is in."""
    with served(any_store) as api:
        runs = [make_run(api, name) for name in "ab"]
        for count in range(1, 4):
            append(api, *(batch(run, [count]) for run in runs))
            assert values(table(api, "metrics.loss.value"), "metrics.loss.value") == [count] * 2
        api.patch(f"/runs/{runs[0]}", json={"params": {"lr": 1}})
        assert values(table(api), "lr") == [None, 1]
        api.delete(f"/runs/{runs[0]}")
        assert table(api)["runs"]["name"] == ["b"]


def test_what_others_wrote_is_in_it(root: Any, store: LocalStore) -> None:
    """A run that somebody is in is looked at each time; another one in its turn."""
    other = LocalStore(root)
    runs = [other.put_run(RunKey("", "project", name), RunPatch(join=name)).id for name in "ab"]
    other.update_run(runs[0], RunPatch(leave="a", status="COMPLETED"))
    with served(store) as api:
        other.append([batch(run, [1.0]) for run in runs])
        assert values(table(api, "metrics.loss.value"), "metrics.loss.value") == [1, 1]
        time.sleep(0.2)
        other.append([batch(run, [2.0]) for run in runs])
        assert values(table(api, "metrics.loss.value"), "metrics.loss.value")[0] == 2
        other.put_run(RunKey("", "project", "c"), RunPatch())
        assert table(api)["runs"]["name"] == ["c", "b", "a"]
    other.close()


def test_a_run_that_nobody_is_in_is_looked_at_in_its_turn(root: Any) -> None:
    """After a while, and a few milliseconds' worth at a time."""
    with closing(LocalStore(root)) as store, closing(LocalStore(root)) as other:
        runs = [other.put_run(RunKey("", "project", f"{n}"), RunPatch()).id for n in range(5)]
        other.append([batch(run, [1.0]) for run in runs])
        now = [0.0]
        with closing(Overview(store, timer=lambda: now[0])) as seen:

            def lasts() -> list[Any]:
                now[0] += 1e-6
                shown = [one.last or {} for run in seen.runs("", "project").runs for one in run.series or ()]
                return [last["value"] for last in shown]

            assert lasts() == [1.0] * 5
            other.append([batch(run, [2.0]) for run in runs])
            assert lasts() == [1.0] * 5
            now[0] += overview.OLD + 1
            assert lasts() == [2.0] * 5


class Slow(MemoryStore):
    """Takes its time to look at series."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.looks = 0

    def describe(self, run: str) -> list[SeriesInfo]:
        self.looks += 1
        time.sleep(self.seconds)
        return super().describe(run)


def test_series_that_nobody_has_looked_at_yet_are_pending() -> None:
    """Runs and parameters are there at once, and the rest with one of the next answers; it is looked for once."""
    store = Slow(0.01)
    for number in range(overview.FEW * 2):
        run = store.put_run(RunKey("", "project", f"{number}"), RunPatch(params={"n": number}))
        store.append([batch(run.id, [number])])
    with served(store) as api:
        told = table(api, "metrics.loss.value")
        assert told["pending"] == len(told["runs"]["id"]) == overview.FEW * 2
        assert len(told["params"]["n"]["values"]) == overview.FEW * 2
        assert told["series"] == []
        while told["pending"]:
            time.sleep(0.1)
            told = table(api, "metrics.loss.value")
        assert values(told, "metrics.loss.value") == values(told, "n")
        assert store.looks == overview.FEW * 2


def test_series_that_two_threads_look_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one looks at each, another one may have found that there are others."""
    with closing(LocalStore(root)) as store:
        run = store.put_run(RunKey("", "project", "a"), RunPatch()).id
        for name in ("a", "b"):
            store.append([Batch(SeriesKey(run, METRICS, name), [encode_row({"value": 1.0})])])
    time.sleep(0.2)  # younger files are looked at anew in any case
    with closing(LocalStore(root)) as store:
        listing = store._listing
        assert [one.name for one in store.describe(run)] == ["a", "b"]
        (entry,) = listing._load().values()
        for one in entry.series:
            one.data = (0, 0, 0)
        read = listing._read

        def meanwhile(*asked: str) -> Any:
            entry.series = entry.series[1:]
            return read(*asked)

        monkeypatch.setattr(listing, "_read", meanwhile)
        store.describe(run)


def test_many_runs_whose_series_cannot_be_read_are_waited_for_once() -> None:
    """A store that passes them over when it tells of all of them: they have no series, as far as anybody knows."""

    class Newer(MemoryStore):
        looks = 0

        def find_runs(self, query: RunQuery) -> list[Any]:
            if not query.series:
                return super().find_runs(query)
            self.looks += 1
            assert self.looks < 3, "it looks again and again"
            time.sleep(0.05)
            return []

        def describe(self, run: str) -> list[SeriesInfo]:
            raise CorruptData("somewhere", 0, "damage")

    store = Newer()
    for name in range(overview.FEW * 2):
        store.put_run(RunKey("", "project", str(name)), RunPatch())
    with closing(Overview(store)) as seen:
        found = seen.runs("", "project")
    assert (len(found.runs), found.pending) == (overview.FEW * 2, 0)


def test_a_look_that_takes_long_keeps_nobody_from_ending() -> None:
    """Who waits for it is let go, and it is not waited for."""
    go_on = threading.Event()

    class Stuck(MemoryStore):
        def find_runs(self, query: RunQuery) -> list[Any]:
            if query.series:
                go_on.wait(30)
            return super().find_runs(query)

    store = Stuck()
    for name in range(overview.FEW * 2):
        store.put_run(RunKey("", "project", str(name)), RunPatch())
    seen = Overview(store)
    assert seen.runs("", "project", patience=0.01).pending == overview.FEW * 2
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(seen.runs, "", "project")
        time.sleep(0.2)
        since = time.monotonic()
        seen.close()
        with pytest.raises(Unavailable, match="stops"):
            waits.result(10)
    with pytest.raises(Unavailable, match="stops"):
        seen.runs("", "project")
    assert time.monotonic() - since < 10
    assert all(one.daemon for one in threading.enumerate() if one.name == "ml-dash-overview")
    go_on.set()


def test_projects_that_nobody_made_are_not_kept() -> None:
    with closing(Overview(MemoryStore())) as seen:
        for name in range(1000):
            seen.runs("", str(name))
        assert len(seen._scopes) <= 100


def test_a_run_whose_series_cannot_be_read_is_in_it(
    root: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it told before. Whoever opens it hears what is wrong."""
    with served(store) as api:
        run = make_run(api)
        api.patch(f"/runs/{run}", json={"join": "x"})
        append(api, batch(run, [1.0]))
        assert values(table(api, "metrics.loss.value"), "metrics.loss.value") == [1.0]

        def damaged(_run: str) -> list[SeriesInfo]:
            raise CorruptData("somewhere", 0, "damage")

        monkeypatch.setattr(store, "describe", damaged)
        assert values(table(api, "metrics.loss.value"), "metrics.loss.value") == [1.0]


@pytest.mark.parametrize(
    "odd",
    [
        {"tags": "one", "description": 5, "bindrs": {"a": 1}, "folder": ["x"], "metadata": "text"},
        {"tags": [1, None, "\ud800"], "description": "\ud800", "metadata": ["a"], "marks": {"w": "x"}},
        {"created_at": 5, "updated_at": 1.5},
    ],
)
def test_a_record_of_whatever_types_spoils_no_list(root: Path, odd: dict[str, Any]) -> None:
    """Published clients write what they are given."""
    with closing(LocalStore(root)) as store:
        for name in ("good", "odd"):
            store.put_run(RunKey("", "project", name), RunPatch())
    record = root / "project" / "odd" / "experiment.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | odd))
    with closing(LocalStore(root)) as store, served(store) as api:
        runs = table(api)["runs"]
        assert sorted(runs["name"]) == ["good", "odd"]
        assert [one["runs"] for one in api.get("/projects").json()["projects"]] == [2]
        assert api.get(f"/runs/{runs['id'][runs['name'].index('odd')]}").status_code == 200
        tags = runs["tags"][runs["name"].index("odd")]
    assert tags == [str(tag).replace("\ud800", "?") for tag in odd.get("tags", []) if tag is not None] or tags == [
        "one"
    ]


def test_parameters_that_are_no_text_spoil_no_list(root: Path) -> None:
    """A lone surrogate has no way over the wire: that run is left out, with a warning."""
    with closing(LocalStore(root)) as store:
        for name in ("good", "odd"):
            store.put_run(RunKey("", "project", name), RunPatch(params={"lr": 1}))
    params = root / "project" / "odd" / "parameters.json"
    params.write_text(json.dumps({"version": 1, "data": {"path": "\ud800"}}))
    with closing(LocalStore(root)) as store, pytest.warns(RuntimeWarning, match="odd is left out.*surrogate"):
        assert [run.key.name for run in store.find_runs(RunQuery())] == ["good"]


def test_who_asks_together_is_answered_by_one_look() -> None:
    """Of those who come while one looks, by one more: it began after they had asked."""
    import threading

    looks = 0

    class Counted(MemoryStore):
        def find_runs(self, query: RunQuery) -> list[Any]:
            nonlocal looks
            looks += 1
            time.sleep(0.2)
            return super().find_runs(query)

    store = Counted()
    store.put_run(RunKey("", "project", "a"), RunPatch())
    with closing(Overview(store)) as seen:
        threads = [threading.Thread(target=lambda: seen.runs("", "project")) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert looks <= 3


# ---------------------------------------------------------------- many


def test_thousands_of_runs(store: LocalStore) -> None:
    """All are in one light answer, which costs little once they are known."""
    runs = 2_000
    with served(store, Limits(patience=60)) as api:
        for number in range(runs):
            run = store.put_run(RunKey("", "project", f"run-{number:05d}"), RunPatch(params={"lr": 1 / (1 + number)}))
            if number % 10 == 0:
                store.append([batch(run.id, [number], name) for name in ("a", "b")])
        told = table(api, "metrics.a.value")
        assert told["pending"] == 0
        assert sorted(told["runs"]["ordinal"]) == list(range(runs))
        assert told["runs"]["name"][0] == f"run-{runs - 1:05d}"
        assert [one["runs"] for one in told["series"]] == [runs // 10] * 2
        answer = api.get("/table", params={"project": "project"}, headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert len(answer.content) < 400 * runs


# ---------------------------------------------------------------- fields


def test_fields_of_rows_that_take_turns() -> None:
    """Neither the one that the last row lacks nor one that is None there is hidden, and what is there once stays."""
    store = MemoryStore()
    with served(store) as api:
        run = make_run(api, "a")
        add(api, run, "loss", [{"value": 1.0, "step": 0}, {"accuracy": 0.5}, {"value": None, "text": "x"}])
        assert fields_of(api) == {"loss": ["value", "step", "accuracy"]}
        add(api, run, "loss", [{"text": "x"}] * 70 + [{"late": math.inf}])
        assert fields_of(api) == {"loss": ["value", "step", "accuracy", "late"]}
        add(api, make_run(api, "b"), "loss", [{"other": 1}])
        assert fields_of(api) == {"loss": ["value", "step", "accuracy", "late", "other"]}


def test_fields_of_many_series_come_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(series_fields, "SECONDS", -1.0)
    with served(store) as api:
        run = make_run(api, "a")
        for name in ("one", "two"):
            add(api, run, name, [{"value": 1.0}, {"accuracy": 0.5}])
        assert table(api)["pending"] == 2
        assert fields_of(api) == {"one": ["accuracy"], "two": ["accuracy"]}
        monkeypatch.setattr(series_fields, "SECONDS", 1.0)
        assert table(api)["pending"] == 0
        assert fields_of(api) == {name: ["accuracy", "value"] for name in ("one", "two")}


def add(api: httpx.Client, run: str, name: str, rows: list[dict[str, Any]]) -> None:
    answer = append(api, Batch(SeriesKey(run, METRICS, name), [encode_row(row) for row in rows]))
    assert answer.status_code == 200, answer.text


def fields_of(api: httpx.Client) -> dict[str, list[str]]:
    return {one["name"]: one["fields"] for one in table(api)["series"]}
