"""Runs that are kept at a server: what a user types and gets is what local mode gives, whatever the server does meanwhile.

The server is the real one, over a socket; what it has stored is looked at in its folder, by plain `json`.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import os
import pickle
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import dreamlake
import ml_dash
from ml_dash import Experiment
from ml_dash.errors import InvalidInput, InvalidType, NotFound, PermissionDenied, ReadOnly, RunClosed, Unavailable
from ml_dash.place import OperationMode
from ml_dash.server.app import create_app
from ml_dash.server.limits import Limits
from ml_dash.store.local import LocalStore
from ml_dash.sync import Sender, tasks
from tests.docs import test_known_examples
from tests.server.cutting_proxy import Answer, CuttingProxy, Slow, Stall
from tests.server.live import live

WAIT = 60.0
"""Seconds that anything here may take on a machine with much else to do."""


class Front(NamedTuple):
    """One of the two packages, with its words."""

    make: Callable[..., Any]
    load: Callable[..., Any]
    runs: Callable[..., Any]
    noun: str
    group: str
    kind: str

    def enter(self, made: Any) -> Any:
        """What goes into a `with` statement."""
        return made.run if self.noun == "experiment" else made

    def open(self, made: Any) -> Any:
        return (made.run.start if self.noun == "experiment" else made.open)()

    def close(self, made: Any) -> None:
        (made.run.complete if self.noun == "experiment" else made.close)()

    def series(self, run: Any, name: str = "loss") -> Any:
        return run.metrics(name) if self.noun == "experiment" else run.track(name)


ML_DASH = Front(ml_dash.Experiment, ml_dash.load, ml_dash.runs, "experiment", "project", "metrics")
DREAMLAKE = Front(dreamlake.Session, dreamlake.load, dreamlake.sessions, "session", "workspace", "tracks")


@pytest.fixture(params=[ML_DASH, DREAMLAKE], ids=["ml_dash", "dreamlake"])
def front(request: pytest.FixtureRequest) -> Front:
    found: Front = request.param
    return found


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's spools lie; nothing that it starts writes elsewhere."""
    place = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    monkeypatch.chdir(tmp_path)
    return place


class Served(NamedTuple):
    """A server, and the folder that it serves."""

    url: str
    folder: Path

    def rows(self, front: Front, series: str = "loss", run: str = "run", group: str = "group") -> list[Any]:
        """The rows of a series as they lie on disk, gapless."""
        path = self.folder / group / run / front.kind / series / "data.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        assert [line["index"] for line in lines] == list(range(len(lines)))
        return [line["data"] for line in lines]

    def record(self, front: Front, run: str = "run", group: str = "group") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / group / run / f"{front.noun}.json").read_text())
        return found


def serve(folder: Path, limits: Limits | None = None) -> Iterator[Served]:
    store = LocalStore(folder)
    with live(create_app(store, limits)) as url:
        yield Served(url, folder)
    store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    yield from serve(tmp_path / "served")


@pytest.fixture
def proxy(server: Served) -> Iterator[CuttingProxy]:
    """The way to the server, which a test may close."""
    with CuttingProxy(server.url) as between:
        yield between


@pytest.fixture(params=["remote", "hybrid"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """What is given beside `remote`."""
    return {"local_path": tmp_path / "local"} if request.param == "hybrid" else {}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a server."""
    monkeypatch.setenv("ML_DASH_CLOSE_SECONDS", "0.2")


def spooled(state: Path) -> list[str]:
    """The runs that wait in spools, ``project/name``."""
    found = (path for path in state.glob("ml-dash/spool/*/*/*") if path.is_dir())
    return sorted(f"{place.parent.name}/{place.name}" for place in found if not place.parent.name.startswith("."))


def sync(*paths: Path | str, remote: str | None = None, **options: Any) -> list[Any]:
    sender = Sender(patience=WAIT, **options)
    try:
        return [sender.send(task) for task in tasks([str(path) for path in paths], remote)]
    finally:
        sender.close()


def quietly(call: Callable[[], Any]) -> list[str]:
    """What was warned of meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in caught]


# ---------------------------------------------------------------- the known examples

LOCAL_ONLY = {"test_files_of_a_metric_are_where_they_are_said_to_be"}
"""Examples of what a folder looks like."""
KNOWN = [
    (group, name)
    for group in ("TestMetrics", "TestTracks")
    for name in vars(getattr(test_known_examples, group))
    if name.startswith("test_") and name not in LOCAL_ONLY
]


@pytest.mark.parametrize("mode", ["remote", "hybrid", "environment"])
@pytest.mark.parametrize(("group", "name"), KNOWN)
def test_known_examples_give_the_same_with_a_server(
    group: str, name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are typed, with `remote=url` in place of `local_path=`, beside it, or with nothing but ML_DASH_URL set. The server's
    folder is where the examples look for their lines."""
    text = inspect.getsource(test_known_examples)
    for place in (".ml-dash", ".dreamlake"):
        assert f'local_path="{place}"' in text
        text = text.replace(f'local_path="{place}"', "**PLACE")
    names: dict[str, Any] = {"__name__": "known examples", "PLACE": {}}
    exec(text, names)
    for url, _ in serve(tmp_path / (".ml-dash" if group == "TestMetrics" else ".dreamlake")):
        if mode == "environment":
            monkeypatch.setenv("ML_DASH_URL", url)
        else:
            names["PLACE"] |= {"remote": url} | ({"local_path": "beside"} if mode == "hybrid" else {})
        getattr(names[group](), name)()


# ---------------------------------------------------------------- a run


def test_a_run_is_all_there_at_the_server(front: Front, server: Served, folder: dict[str, Any]) -> None:
    """Rows, parameters, log, files, what is said of it, how it ended; and it reads back as it was written, open and closed."""
    made = front.make("run", "group", remote=server.url, description="why", tags=["a"], metadata={"gpu": 1}, **folder)
    with front.enter(made) as run:
        for step in range(10):
            front.series(run).append(value=1 / (step + 1), step=step)
        front.series(run, "train/acc").append_batch([{"value": float("nan")}, {"value": "NaN", "big": 2**70}])
        run.params.set(lr=0.1, model={"depth": 3})
        run.log("hello", level="warn", epoch=1)
        saved = run.file(prefix="/models").save_json({"a": [1, 2]}, "a.json")
        open_answers = answers(front, run)
    assert server.rows(front) == [{"value": 1 / (step + 1), "step": step} for step in range(10)]
    assert server.rows(front, "train/acc") == [{"value": "NaN"}, {"value": "NaN", "big": 2**70}]
    record = server.record(front)
    assert (record["status"], record["description"], record["tags"], record["metadata"]) == (
        "COMPLETED",
        "why",
        ["a"],
        {"gpu": 1},
    )
    assert [attempt["status"] for attempt in record["attempts"]] == ["COMPLETED"]
    [stored] = (server.folder / "group/run/files").glob("models/*/a.json")
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == saved["checksum"]
    assert repr(answers(front, made)) == repr(open_answers)
    loaded = front.load("run", "group", remote=server.url)
    assert repr(answers(front, loaded)) == repr(open_answers)
    assert (loaded.status, loaded.tags, loaded.description) == ("COMPLETED", ["a"], "why")


def answers(front: Front, run: Any) -> list[Any]:
    """What a run tells of its content."""
    loss = front.series(run)
    stats = {key: value for key, value in loss.stats().items() if key not in ("createdAt", "updatedAt")}
    files = [
        {key: file[key] for key in ("id", "path", "filename", "checksum", "sizeBytes")} for file in run.file().list()
    ]
    return [
        len(loss),
        loss[-1],
        loss.read(start_index=2, limit=3),
        loss.columns("value")["value"].tolist(),
        stats,
        [point["data"] for point in front.series(run, "train/acc")],
        [one["name"] for one in loss.list_all()],
        run.params.get(),
        run.params.get(flatten=False),
        run.logs.read(),
        run.logs.read(level="warn", search="hel"),
        files,
    ]


def test_the_three_styles_and_the_decorator(server: Served) -> None:
    """`with`, start and complete, the decorators of both packages; the server has what each did."""
    with Experiment("with", "group", remote=server.url).run("begins") as experiment:
        experiment.metrics("loss").append(value=1)
    started = Experiment("started", "group", remote=server.url)
    started.run.start("begins")
    started.metrics("loss").append(value=2)
    started.run.complete()

    @ml_dash.ml_dash_experiment("decorated", "group", remote=server.url)
    def train(experiment: Any) -> int:
        experiment.metrics("loss").append(value=3)
        return 7

    @dreamlake.dreamlake_session("session", "group", remote=server.url)
    def record(session: Any) -> int:
        session.track("loss").append(value=4)
        return 8

    assert (train(), record()) == (7, 8)
    values = [server.rows(ML_DASH, run=name) for name in ("with", "started", "decorated")]
    assert [*values, server.rows(DREAMLAKE, run="session")] == [[{"value": i}] for i in (1, 2, 3, 4)]
    log = (server.folder / "group/with/logs/logs.jsonl").read_text()
    assert json.loads(log)["message"] == "begins"


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_how_a_run_ended_is_told(server: Served, end: str, folder: dict[str, Any]) -> None:
    made = Experiment("run", "group", remote=server.url, **folder)
    made.run.start()
    getattr(made.run, end)()
    assert server.record(ML_DASH)["status"] == made.status == {"fail": "FAILED", "cancel": "CANCELLED"}[end]


def test_an_exception_fails_the_run_with_its_traceback(front: Front, server: Served, folder: dict[str, Any]) -> None:
    """At the server, too, and it is raised on."""
    made = front.make("run", "group", remote=server.url, **folder)
    with pytest.raises(ZeroDivisionError), front.enter(made) as run:
        front.series(run).append(value=1 / 0)
    assert server.record(front)["status"] == "FAILED"
    [entry] = front.load("run", "group", remote=server.url).logs.read()
    assert entry["level"] == "error"
    assert "ZeroDivisionError" in entry["metadata"]["traceback"]


def test_a_closed_run_is_read_and_not_written(front: Front, server: Served, folder: dict[str, Any]) -> None:
    made = front.make("run", "group", remote=server.url, **folder)
    with front.enter(made) as run:
        kept = front.series(run)
        kept.append(value=1)
    assert (made._is_open, made._storage, len(kept), made.status) == (False, None, 1, "COMPLETED")
    for write in (lambda: kept.append(value=2), lambda: made.params.set(a=1), lambda: made.log("x")):
        with pytest.raises(RunClosed, match="'run'"):
            write()


def test_a_name_that_is_there_is_resumed(front: Front, server: Served, folder: dict[str, Any]) -> None:
    """Its rows go on, also through a handle from before; each start is an attempt; what is given replaces what was."""
    made = front.make("run", "group", remote=server.url, tags=["a"], **folder)
    with front.enter(made) as run:
        kept = front.series(run)
        kept.append(value=0)
        run.params.set(a=1, b=1)
        assert (run._is_open, run._storage is None) == (True, False)
    with front.enter(made):
        kept.append(value=1)
    with front.enter(front.make("run", "group", remote=server.url, tags=["b"], **folder)) as run:
        front.series(run).append(value=2)
        run.params.set(b=2)
        assert run.params.get() == {"a": 1, "b": 2}
        assert [point["data"]["value"] for point in front.series(run)] == [0, 1, 2]
    assert server.rows(front) == [{"value": 0}, {"value": 1}, {"value": 2}]
    record = server.record(front)
    assert (len(record["attempts"]), record["tags"], record["status"]) == (3, ["b"], "COMPLETED")


def test_two_machines_write_one_run(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a spool of its own; the series has the rows of both, each machine's in its order; either reads all of it."""
    first = Experiment("run", "group", remote=server.url)
    first.run.start()
    first.metrics("loss").append_batch([{"machine": 1, "i": i} for i in range(100)])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other machine"))
    second = Experiment("run", "group", remote=server.url)
    second.run.start()
    assert second.metrics("loss").append(machine=2, i=0)["index"] == 0
    second.metrics("loss").append_batch([{"machine": 2, "i": i} for i in range(1, 100)])
    second.flush()
    assert len(first.metrics("loss")) == len(second.metrics("loss")) == 200
    second.run.complete()
    assert server.record(ML_DASH)["status"] == "RUNNING"
    first.run.complete()
    rows = server.rows(ML_DASH)
    for machine in (1, 2):
        assert [row["i"] for row in rows if row["machine"] == machine] == list(range(100))
    assert server.record(ML_DASH)["status"] == "COMPLETED"


def test_files_are_changed_and_deleted(server: Served, folder: dict[str, Any], tmp_path: Path) -> None:
    """Downloads come whole, also after the run was closed and from another machine."""
    content = os.urandom(3_000_000)
    (tmp_path / "model.bin").write_bytes(content)
    made = Experiment("run", "group", remote=server.url, **folder)
    with made.run as experiment:
        one = experiment.file("model.bin", prefix="/models", tags=["big"]).save()
        two = experiment.files("model.bin", prefix="/old").save()
        experiment.file(file_id=one["id"], description="the best").update()
        experiment.file(file_id=two["id"]).delete()
        assert [(file["id"], file["description"]) for file in experiment.file().list()] == [(one["id"], "the best")]
        assert {file["experimentId"] for file in experiment.file().list()} == {experiment.id} == {one["experimentId"]}
    loaded = ml_dash.load("run", "group", remote=server.url)
    for number, run in enumerate((made, loaded)):
        place = run.file(file_id=one["id"], dest_path=str(tmp_path / f"copy{number}")).download()
        assert Path(place).read_bytes() == content
        assert [file["path"] for file in run.file(tags=["big"]).list()] == ["/models"]
    with pytest.raises(ReadOnly):
        loaded.file("model.bin").save()


# ---------------------------------------------------------------- where it is


def test_what_a_run_says_of_its_place(front: Front, server: Served, tmp_path: Path, state: Path) -> None:
    """mode, url, path and repr; a repr asks nobody."""
    made = front.make("a b/é".replace("/", "-"), "g%", remote=server.url + "/")
    assert made.mode is OperationMode.REMOTE
    assert made.url == f"{server.url}/runs/g%25/a%20b-%C3%A9"
    assert Path(made.path).is_relative_to(state)
    assert repr(made).endswith(f"not open in {server.url}>")
    assert not state.exists()
    with front.enter(made):
        assert repr(made).endswith(f"RUNNING in {server.url}>")
        assert Path(made.path).is_dir()
    both = front.make("run", "group", remote=server.url, local_path=tmp_path / "x")
    assert (both.mode, both.path) == (OperationMode.HYBRID, str(tmp_path / "x/group/run"))
    assert repr(both).endswith(f"in {tmp_path / 'x'} and {server.url}>")
    local = front.make("run", "group", local_path=tmp_path / "x")
    assert (local.mode, local.url) == (OperationMode.LOCAL, None)


def test_a_spool_goes_when_the_server_has_all(front: Front, server: Served, state: Path, tmp_path: Path) -> None:
    """Hybrid mode's folder stays."""
    with front.enter(front.make("run", "group", remote=server.url)) as run:
        front.series(run).append(value=1)
        assert spooled(state) == ["group/run"]
    assert spooled(state) == []
    with front.enter(front.make("run", "group", remote=server.url, local_path=tmp_path / "kept")) as run:
        front.series(run).append(value=2)
    assert spooled(state) == []
    assert (tmp_path / "kept/group/run" / front.kind / "loss/data.jsonl").exists()
    assert server.rows(front) == [{"value": 1}, {"value": 2}]


def test_the_environment_names_the_server(
    front: Front, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For writing and reading alike; a folder that is given says what is meant."""
    monkeypatch.setenv("ML_DASH_URL", server.url)
    with front.enter(front.make("run", "group")) as run:
        assert run.mode is OperationMode.REMOTE
        front.series(run).append(value=1)
    assert server.rows(front) == [{"value": 1}]
    assert [view.name for view in front.runs()] == ["run"]
    assert len(front.series(front.load("run", "group"))) == 1
    with front.enter(front.make("run", "group", local_path=tmp_path / "x")) as run:
        assert (run.mode, run.url) == (OperationMode.LOCAL, None)
    assert len(server.record(front)["attempts"]) == 1
    assert [view.counts for view in front.runs(local_path=tmp_path / "x")] == [{}]


@pytest.mark.parametrize(
    ("given", "kind", "error"),
    [
        ({"remote": "localhost:3000"}, InvalidInput, "remote: 'localhost:3000' is no address of a server"),
        ({"remote": ""}, InvalidInput, "remote: '' is no address"),
        ({"remote": "ftp://x"}, InvalidInput, "remote: 'ftp://x' .* 'ftp'"),
        ({"remote": "http://"}, InvalidInput, "no host"),
        ({"remote": "http://h:x"}, InvalidInput, "remote: 'http://h:x'"),
        ({"remote": "http://me:SECRET@h"}, InvalidInput, "give api_key="),
        ({"remote": "http://h/api/v1"}, InvalidInput, "leave that out"),
        ({"remote": 5}, InvalidType, "remote: expected a server's URL as text"),
        ({"local_path": "http://localhost:3000"}, InvalidInput, "give it as remote="),
        ({"remote": "http://h", "api_key": "SECRET\n"}, InvalidInput, "api_key: expected a token"),
        ({"remote": "http://h", "api_key": ""}, InvalidInput, "api_key: expected a token"),
        ({"remote": "http://h", "api_key": b"SECRET"}, InvalidInput, "api_key: expected a token"),
        (
            {"remote": "https://example.com", "user_name": "me"},
            InvalidInput,
            "user_name: example.com .*ml-dash token create",
        ),
    ],
)
def test_a_wrong_address_is_an_error_where_the_run_is_made(
    front: Front, given: dict[str, Any], kind: type[Exception], error: str, state: Path
) -> None:
    """It says what to do, shows no secret, and nothing is written."""
    with pytest.raises(InvalidInput, match=error) as caught:
        front.make("run", "group", **given)
    assert type(caught.value) is kind
    assert "SECRET" not in str(caught.value)
    assert not state.exists()


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "1e9"])
def test_how_long_closing_waits_is_a_number_of_seconds(
    front: Front, seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_CLOSE_SECONDS", seconds)
    with pytest.raises(InvalidInput, match="ML_DASH_CLOSE_SECONDS: expected seconds"):
        front.make("run", "group", remote="http://localhost:3000")


def test_a_user_name_is_for_a_server_on_this_machine(front: Front, server: Served) -> None:
    with front.enter(front.make("run", "group", remote=server.url, user_name="me")) as run:
        front.series(run).append(value=1)
    assert server.rows(front) == [{"value": 1}]


def test_a_token_is_not_shown_to_another_server(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """ML_DASH_API_KEY belongs to ML_DASH_URL where that is set; without that, to whichever server is named."""
    made = front.make("run", "group", remote="http://localhost:3000", api_key="SECRET")
    assert made._at._api_key == "SECRET"
    monkeypatch.setenv("ML_DASH_API_KEY", "SECRET")
    assert front.make("run", "group", remote="http://h")._at._api_key == "SECRET"
    monkeypatch.setenv("ML_DASH_URL", "http://other/")
    assert front.make("run", "group", remote="http://h")._at._api_key is None
    assert front.make("run", "group", remote="http://other")._at._api_key == "SECRET"
    assert front.make("run", "group")._at._api_key == "SECRET"


def test_a_token_shows_up_nowhere(
    front: Front, proxy: CuttingProxy, state: Path, impatient: None, capsys: Any, caplog: Any
) -> None:
    """Not in a repr, a message, a log record, a warning, or a file."""
    caplog.set_level(logging.DEBUG)
    proxy.otherwise = Answer(401)
    made = front.make("run", "group", remote=proxy.url, api_key="SECRET")

    def run() -> None:
        with front.enter(made) as opened:
            front.series(opened).append(value=1)
            wait_for(lambda: proxy.requests)

    told = [*quietly(run), repr(made), str(made._at), repr(made._storage), repr(made._recorder.store), caplog.text]
    told += [*capsys.readouterr(), made._repr_html_()]
    with pytest.raises(PermissionDenied) as caught:
        front.runs(remote=proxy.url, api_key="SECRET")
    told.append(str(caught.value))
    assert "SECRET" not in "\n".join(told)
    for path in state.rglob("*"):
        assert "SECRET" not in str(path)
        assert path.is_dir() or b"SECRET" not in path.read_bytes()


# ---------------------------------------------------------------- reading


@pytest.fixture
def filled(front: Front, server: Served, tmp_path: Path) -> Front:
    """The same runs at the server and in the folder "local"."""
    for place in ({"remote": server.url}, {"local_path": tmp_path / "local"}):
        for number, (name, group) in enumerate((("first", "p"), ("second", "p"), ("third", "q"))):
            with front.enter(front.make(name, group, tags=[name], **place)) as run:
                run.params.set(lr=10.0**-number, model={"depth": number})
                front.series(run, "train/loss").append_batch([{"value": number + i, "step": i} for i in range(5)])
            time.sleep(0.002)  # so that they are in an order
    return front


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"group": "p"},
        {"filter": "params.lr < 0.5"},
        {"filter": '{kind}["train/loss"].value > 4'},
        {"filter": "status == 'COMPLETED' and name != 'first'"},
        {"sort": "params.lr"},
        {"sort": '-{kind}["train/loss"]'},
        {"filter": "function"},
    ],
)
def test_runs_are_listed_as_those_of_a_folder(
    filled: Front, server: Served, tmp_path: Path, asked: dict[str, str]
) -> None:
    """Filtered, sorted and of one group."""
    given: dict[str, Any] = {key: text.replace("{kind}", filled.kind) for key, text in asked.items() if key != "group"}
    if "group" in asked:
        given[filled.group] = asked["group"]
    if given.get("filter") == "function":
        given["filter"] = lambda view: view.params["model.depth"] == 1
    here, there = (
        filled.runs(**place, **given) for place in ({"local_path": tmp_path / "local"}, {"remote": server.url})
    )
    assert here
    told = ("name", "project", "status", "params", "metrics", "counts", "tags")
    assert [[getattr(view, field) for field in told] for view in there] == [
        [getattr(view, field) for field in told] for view in here
    ]
    assert _without_times(repr(there)).splitlines()[1:] == _without_times(repr(here)).splitlines()[1:]
    assert repr(there).splitlines()[0].endswith(f"in {server.url}")


def _without_times(table: str) -> str:
    """The runs here and those there were not made within the same minute."""
    shown, times = re.subn(r"\d{4}-\d\d-\d\d \d\d:\d\d", "(its creation)", table)
    assert times
    return shown


def test_a_listed_run_is_loaded_from_where_it_was_listed(filled: Front, server: Served) -> None:
    """It knows no folder of this machine, and takes nothing."""
    views = filled.runs(remote=server.url)
    run = views[0].load()
    assert (run.name, run.path, run.url) == ("third", None, f"{server.url}/runs/q/third")
    assert run.mode is OperationMode.REMOTE
    assert repr(run).endswith(f"COMPLETED in {server.url}>")
    assert run.params.get() == {"lr": 0.01, "model.depth": 2}
    with pytest.raises(ReadOnly):
        filled.series(run, "train/loss").append(value=1)
    pytest.importorskip("pandas")
    assert list(views.to_pandas()["name"]) == ["third", "second", "first"]


def test_reading_makes_no_spool(filled: Front, server: Served, state: Path) -> None:
    before = sorted(state.rglob("*"))
    filled.load("first", "p", remote=server.url).params.get()
    filled.runs(remote=server.url)
    assert sorted(state.rglob("*")) == before


def test_what_is_not_there(filled: Front, server: Served, proxy: CuttingProxy, tmp_path: Path) -> None:
    """Names that come near are told; a server that cannot be asked is an error that says so; one place at a time."""
    with pytest.raises(NotFound, match="Did you mean 'first'"):
        filled.load("frist", "p", remote=server.url)
    proxy.refuse()
    for read in (lambda: filled.load("first", "p", remote=proxy.url), lambda: filled.runs(remote=proxy.url)):
        with pytest.raises(Unavailable, match="cannot be reached"):
            read()
    with pytest.raises(InvalidInput, match="one place"):
        filled.load("first", "p", remote=server.url, local_path=tmp_path)
    assert pickle.loads(pickle.dumps(NotFound("x"))).args == ("x",)


# ---------------------------------------------------------------- a server that does not answer


def wait_for(there: Callable[[], Any]) -> None:
    give_up = time.monotonic() + WAIT
    while not there():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def test_no_append_and_no_start_waits_for_a_socket(
    front: Front, proxy: CuttingProxy, server: Served, folder: dict[str, Any], impatient: None, state: Path, capsys: Any
) -> None:
    """10,000 points, parameters, a log and a file are kept while a server has taken a connection and says nothing; they are
    there once it does."""
    proxy.otherwise = Stall()
    began = time.monotonic()
    made = front.make("run", "group", remote=proxy.url, **folder)
    run = front.open(made)
    wait_for(lambda: proxy.connections)
    for step in range(10_000):
        assert front.series(run).append(value=step)["index"] == step
    run.params.set(lr=0.1)
    run.log("hello")
    run.file().save_json({"a": 1}, "a.json")
    assert time.monotonic() - began < 20  # no answer will come for 30
    assert not server.folder.exists() or not any(server.folder.glob("*/*"))
    told = quietly(lambda: front.close(made))
    said = capsys.readouterr().err
    assert "10,001 points and 4 changes of group/run" in said
    assert f"ml-dash sync {made.path} --remote {proxy.url}" in said
    assert not [text for text in told if "group/run" not in text and "does not take" not in text]
    proxy.heal()
    proxy.cut()
    [report] = sync(made.path, remote=proxy.url)
    assert (report.is_done, report.points) == (True, 10_001)
    assert server.rows(front) == [{"value": step} for step in range(10_000)]
    assert (server.record(front)["status"], spooled(state)) == ("COMPLETED", [])


@pytest.mark.parametrize(
    "act",
    [
        Answer(429, headers={"Retry-After": "1"}),
        Answer(500, b"<html>oops"),
        Answer(200, b"<html>welcome to the hotel's wireless"),
        Answer(raw=b"\x00\x01garbage\r\n\r\n"),
        Answer(302, headers={"Location": "http://elsewhere/"}),
        Answer(401),
        Answer(507),
        "refuse",
    ],
    ids=["429", "500", "a portal's page", "garbage", "302", "401", "507", "refused"],
)
def test_a_server_that_takes_nothing_loses_nothing(
    front: Front,
    proxy: CuttingProxy,
    server: Served,
    folder: dict[str, Any],
    impatient: None,
    capsys: Any,
    act: Any,
    state: Path,
) -> None:
    """Training goes on, closing says what is not there and how to send it, once; then sync sends it, and a second one has nothing
    to do."""
    proxy.refuse() if act == "refuse" else setattr(proxy, "otherwise", act)
    made = front.make("run", "group", remote=proxy.url, **folder)

    def train() -> None:
        with front.enter(made) as run:
            front.series(run).append_batch([{"value": step} for step in range(500)])
            run.params.set(lr=0.1)
            wait_for(lambda: run._storage._failures)
            assert len(front.series(run)) == 500
            assert run.params.get() == {"lr": 0.1}

    told = quietly(train)
    assert len(told) <= 1
    said = capsys.readouterr().err
    assert said.count("ml-dash sync") == 1
    assert "500 points" in said
    proxy.listen() if act == "refuse" else proxy.heal()
    first, second = sync(made.path, remote=proxy.url), sync(*([made.path] if folder else []))
    assert [(report.why, report.points) for report in first] == [("", 500)]
    assert [(report.why, report.points, report.files, report.changes) for report in second] == [("", 0, 0, 0)] * len(
        folder
    )
    assert server.rows(front) == [{"value": step} for step in range(500)]
    assert (server.record(front)["status"], spooled(state)) == ("COMPLETED", [])
    assert front.load("run", "group", remote=server.url).params.get() == {"lr": 0.1}


def test_a_server_that_comes_back_gets_all_during_the_run(
    front: Front, proxy: CuttingProxy, server: Served, folder: dict[str, Any], state: Path
) -> None:
    """Nobody has to do anything; what was created while it was away is as old as it is."""
    proxy.refuse()
    made = front.make("run", "group", remote=proxy.url, **folder)

    def train() -> None:
        with front.enter(made) as run:
            front.series(run).append(value=0)
            wait_for(lambda: run._storage._failures)
            created = run.data["createdAt"]
            proxy.listen()
            front.series(run).append(value=1)
            wait_for(lambda: not run._storage._failures)
            wait_for(lambda: not run._storage._uploader.left())
            assert server.rows(front) == [{"value": 0}, {"value": 1}]
            proxy.refuse()
            front.series(run).append(value=2)
            wait_for(lambda: run._storage._failures)
            proxy.listen()
        assert server.record(front)["created_at"] == created

    quietly(train)
    assert server.rows(front) == [{"value": 0}, {"value": 1}, {"value": 2}]
    assert (server.record(front)["status"], spooled(state)) == ("COMPLETED", [])


def test_a_server_that_goes_at_the_end(
    front: Front, proxy: CuttingProxy, server: Served, folder: dict[str, Any], impatient: None, capsys: Any
) -> None:
    """What it has is not sent again."""
    made = front.make("run", "group", remote=proxy.url, **folder)

    def train() -> None:
        with front.enter(made) as run:
            front.series(run).append_batch([{"value": step} for step in range(100)])
            wait_for(lambda: run._storage._uploader and not run._storage._uploader.left())
            proxy.refuse()
            front.series(run).append(value=100)

    quietly(train)
    assert "1 point and 1 change of" in capsys.readouterr().err
    assert server.record(front)["status"] == "RUNNING"
    proxy.listen()
    [report] = sync(made.path, remote=proxy.url)
    assert (report.points, report.changes) == (1, 1)
    assert server.rows(front) == [{"value": step} for step in range(101)]
    assert server.record(front)["status"] == "COMPLETED"


def test_a_slow_server_is_waited_for_at_the_end(
    front: Front, proxy: CuttingProxy, server: Served, folder: dict[str, Any]
) -> None:
    proxy.otherwise = Slow(0.02, 512)
    with front.enter(front.make("run", "group", remote=proxy.url, **folder)) as run:
        front.series(run).append_batch([{"value": step} for step in range(1000)])
    assert len(server.rows(front)) == 1000
    assert server.record(front)["status"] == "COMPLETED"


def test_what_was_left_goes_with_the_next_run(
    server: Served, proxy: CuttingProxy, impatient: None, state: Path
) -> None:
    """The next process that sends to the server sends it as well."""
    proxy.refuse()

    def offline() -> None:
        with Experiment("first", "group", remote=proxy.url).run as experiment:
            experiment.metrics("loss").append(value=1)

    quietly(offline)
    assert spooled(state) == ["group/first"]
    proxy.listen()
    with Experiment("second", "group", remote=proxy.url).run:
        wait_for(lambda: "group/first" not in spooled(state))
    assert server.rows(ML_DASH, run="first") == [{"value": 1}]
    assert spooled(state) == []


TEXT = "".join(map(str, range(2_000)))


def test_a_row_that_is_refused_for_good_does_not_block_what_follows(
    front: Front, tmp_path: Path, folder: dict[str, Any], state: Path
) -> None:
    """It is kept with the reason, in a spool that stays for it, and warned of."""

    def train(made: Any) -> None:
        with front.enter(made) as run:
            front.series(run).append(value=1)
            front.series(run).append(text=TEXT)
            front.series(run).append(value=2)
            run.log("hello")

    for url, place in serve(tmp_path / "served", Limits(decoded=4_000)):
        made = front.make("run", "group", remote=url, **folder)
        told = quietly(functools.partial(train, made))
        assert [text for text in told if "refused" in text]
        assert Served(url, place).rows(front) == [{"value": 1}, {}, {"value": 2}]
        [line] = (Path(made.path) / ".sync/refused.jsonl").read_text().splitlines()
        refused = json.loads(line)
        assert (refused["series"], refused["index"], refused["row"]) == (f"{front.kind}/loss", 1, {"text": TEXT})
        [report] = sync(made.path, remote=url)
        assert ([row.index for row in report.refused], report.points, report.taken_away) == ([1], 0, False)
        (Path(made.path) / ".sync/refused.jsonl").unlink()
        assert [report.is_done for report in sync(made.path, remote=url)] == [True]
        assert spooled(state) == []
