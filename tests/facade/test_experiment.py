"""`Experiment`: three styles of running one, `dxp`, and what a script of the published ml-dash 0.5 may do."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import (
    Experiment,
    ExperimentRun,
    InvalidInput,
    LogLevel,
    OperationMode,
    RunManager,
    load,
    ml_dash_experiment,
)


@pytest.fixture
def exp(tmp_path: Path) -> Experiment:
    """Not open yet."""
    return Experiment("exp", "project", local_path=tmp_path / "root")


def messages(experiment: Experiment) -> list[str]:
    return [entry["message"] for entry in experiment.logs.read()]


# ---------------------------------------------------------------- with, start


def test_with_run_gives_the_experiment(exp: Experiment) -> None:
    with exp.run as experiment:
        assert experiment is exp
        assert experiment.status == "RUNNING"
    assert exp.status == "COMPLETED"


def test_with_run_and_a_message_logs_it(exp: Experiment) -> None:
    """Once an entry to the block; the plain `run` logs none."""
    with exp.run("baseline") as experiment:
        assert experiment is exp
    with exp.run:
        pass
    again = exp.run("again")
    for _ in range(2):
        with again:
            pass
    with exp.run(""):
        pass
    assert messages(exp) == ["baseline", "again", "again", ""]
    assert {entry["level"] for entry in exp.logs.read()} == {"info"}


def test_start_gives_the_experiment_and_logs_a_message(exp: Experiment) -> None:
    """Open already it logs the message all the same, and starts no attempt."""
    assert exp.run.start() is exp
    assert exp.run.start("first") is exp
    assert exp.run("made before").start() is exp
    assert exp.run("made before").start("wins") is exp
    exp.run.complete()
    assert exp.run.start(message="second") is exp
    exp.run.complete()
    assert messages(exp) == ["first", "made before", "wins", "second"]
    assert len(json.loads(Path(str(exp.path), "experiment.json").read_text())["attempts"]) == 2


@pytest.mark.parametrize(("end", "status"), [("complete", "COMPLETED"), ("fail", "FAILED"), ("cancel", "CANCELLED")])
def test_a_run_ends_as_it_is_told(exp: Experiment, end: str, status: str) -> None:
    """Nothing is returned, nothing is logged; the first end counts."""
    exp.run.start()
    assert getattr(exp.run, end)() is None
    exp.run.complete()
    exp.run.fail()
    assert (exp.status, exp.is_open, messages(exp)) == (status, False, [])
    assert json.loads(Path(str(exp.path), "experiment.json").read_text())["status"] == status


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_run_may_be_ended_inside_its_block(exp: Experiment, end: str) -> None:
    with exp.run:
        getattr(exp.run, end)()
    assert exp.status == {"fail": "FAILED", "cancel": "CANCELLED"}[end]


def test_an_experiment_that_failed_may_go_on(exp: Experiment) -> None:
    exp.run.start()
    exp.run.fail()
    with exp.run:
        assert exp.status == "RUNNING"
    assert exp.status == "COMPLETED"


@pytest.mark.parametrize("what", [5, None, ["message"], b"message"])
def test_run_takes_a_message_or_a_function(exp: Experiment, what: Any) -> None:
    with pytest.raises(TypeError, match=r"run\(\.\.\.\) takes a message or decorates a function; got \w+"):
        exp.run(what)


def test_run_is_one_object(exp: Experiment) -> None:
    """(compat) RunManager is its published name."""
    assert exp.run is exp.run
    assert isinstance(exp.run, ExperimentRun)
    assert RunManager is ExperimentRun


# ---------------------------------------------------------------- decorators


def test_run_decorates_a_function(exp: Experiment) -> None:
    """The experiment is its first argument; its result comes out; each call is an attempt of the same run."""

    @exp.run
    def train(experiment: Experiment, lr: float, *, steps: int = 1) -> float:
        """Train."""
        assert experiment is exp
        for step in range(steps):
            experiment.metrics("loss").append(step=step, lr=lr)
        return lr * 2

    assert (train.__name__, train.__doc__) == ("train", "Train.")
    assert not exp.is_open
    assert train(0.5) == 1.0
    assert train(lr=0.25, steps=2) == 0.5
    assert (exp.status, len(exp.metrics("loss"))) == ("COMPLETED", 3)


def test_run_and_a_message_decorate_a_function(exp: Experiment) -> None:
    @exp.run("training")
    def train(experiment: Experiment) -> bool:
        return experiment.is_open

    assert train()
    assert messages(exp) == ["training"]


def test_run_decorates_a_coroutine(exp: Experiment) -> None:
    """The run is open until it is done, not until it is made."""

    @exp.run
    async def train(experiment: Experiment, lr: float) -> float:
        await asyncio.sleep(0)
        experiment.metrics("loss").append(lr=lr)
        return lr

    assert inspect.iscoroutinefunction(train)
    assert asyncio.run(train(0.5)) == 0.5
    assert (exp.status, len(exp.metrics("loss"))) == ("COMPLETED", 1)

    @exp.run
    async def fail(experiment: Experiment) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert exp.status == "FAILED"


def test_the_decorator_passes_the_experiment_by_keyword(tmp_path: Path) -> None:
    """To a parameter of that name wherever it stands, or among any keywords; to none, if the function takes none."""
    decorate = ml_dash_experiment(name="exp", project="project", local_path=tmp_path, tags=["a"])
    seen: list[Any] = []

    @decorate
    def first(experiment: Experiment, lr: float) -> None:
        seen.append((experiment, lr))

    @decorate
    def last(lr: float, *, experiment: Experiment) -> None:
        seen.append((experiment, lr))

    @decorate
    def default(lr: float, experiment: Experiment | None = None) -> None:
        seen.append((experiment, lr))

    @decorate
    def any_keyword(lr: float, **kwargs: Any) -> None:
        seen.append((kwargs.pop("experiment"), lr))
        assert kwargs == {}

    @decorate
    def none(lr: float) -> None:
        seen.append((None, lr))

    first(lr=1)
    last(2)
    default(3)
    any_keyword(4)
    none(5)
    default(6, experiment=None)
    assert [lr for _, lr in seen] == [1, 2, 3, 4, 5, 6]
    assert [isinstance(got, Experiment) for got, _ in seen] == [True, True, True, True, False, True]
    assert len({id(got) for got, _ in seen if got}) == 5, "a run of its own each"
    opened = load("exp", "project", local_path=tmp_path)
    assert (opened.status, (opened.data or {})["tags"]) == ("COMPLETED", ["a"])
    assert len(json.loads(Path(str(opened.path), "experiment.json").read_text())["attempts"]) == 6


def test_the_decorator_returns_what_the_function_does_and_fails_as_it_does(tmp_path: Path) -> None:
    @ml_dash_experiment("exp", "project", local_path=tmp_path)
    def train(experiment: Experiment, fail: bool) -> str:
        """Train."""
        if fail:
            raise ZeroDivisionError("by zero")
        return f"{experiment.name} {experiment.status}"

    assert train.__doc__ == "Train."
    assert train(fail=False) == "exp RUNNING"
    with pytest.raises(ZeroDivisionError):
        train(fail=True)
    failed = load("exp", "project", local_path=tmp_path)
    assert failed.status == "FAILED"
    assert messages(failed) == ["ZeroDivisionError: by zero"]


def test_the_decorator_takes_coroutines_methods_and_partials(tmp_path: Path) -> None:
    decorate = ml_dash_experiment("exp", "project", local_path=tmp_path)

    @decorate
    async def train(lr: float, experiment: Experiment) -> tuple[float, bool]:
        await asyncio.sleep(0)
        return lr, experiment.is_open

    @decorate
    async def without(lr: float) -> float:
        return lr

    class Trainer:
        @decorate
        def fit(self, experiment: Experiment) -> bool:
            return isinstance(self, Trainer) and experiment.is_open

    def both(lr: float, experiment: Experiment) -> tuple[float, bool]:
        return lr, experiment.is_open

    assert asyncio.run(train(0.5)) == asyncio.run(train(0.5, experiment=None)) == (0.5, True)
    assert asyncio.run(without(0.5)) == 0.5
    assert Trainer().fit()
    assert decorate(functools.partial(both, 0.25))() == (0.25, True)


def test_a_parameter_that_cannot_be_passed_by_keyword_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'experiment' is positional-only"):

        @ml_dash_experiment("exp", "project", local_path=tmp_path)
        def train(experiment: Experiment, /) -> None: ...


def test_nothing_is_made_before_the_function_is_called(tmp_path: Path) -> None:
    @ml_dash_experiment("exp", "project", local_path=tmp_path / "root")
    def train(experiment: Experiment) -> None: ...

    assert not (tmp_path / "root").exists()


# ---------------------------------------------------------------- dxp


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs lines of Python in a process of their own, in an empty folder."""

    def run(*lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
        code = "\n".join(("from ml_dash.auto_start import dxp", *lines))
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment
        )

    return run


def dxp_of(folder: Path) -> Experiment:
    return load("dxp", "scratch", local_path=folder / ".ml-dash")


def test_dxp_is_ready_after_the_import_and_completed_at_exit(script: Any, tmp_path: Path) -> None:
    """In project "scratch" of the folder .ml-dash, whatever the environment says of other experiments."""
    done = script(
        "assert dxp._is_open and dxp._storage is not None",
        "assert (dxp.name, dxp.project, dxp.status) == ('dxp', 'scratch', 'RUNNING')",
        "dxp.params.set(lr=0.1)",
        "dxp.metrics('loss').append(value=0.5, step=0)",
        "dxp.metrics.append('loss', value=0.25)",
        "dxp.log('hello')",
        ML_DASH_DIR="elsewhere",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    dxp = dxp_of(tmp_path)
    assert (dxp.status, dxp.params.get(), len(dxp.metrics("loss")), messages(dxp)) == (
        "COMPLETED",
        {"lr": 0.1},
        2,
        ["hello"],
    )
    assert [entry.name for entry in tmp_path.iterdir()] == [".ml-dash"]


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        ("pass", "COMPLETED", 0),
        ("raise ValueError", "FAILED", 1),
        ("import sys; sys.exit(0)", "COMPLETED", 0),
        ("dxp.run.cancel()", "CANCELLED", 0),
        ("dxp.run.fail()", "FAILED", 0),
        ("dxp.run.complete(); dxp.run.start()", "COMPLETED", 0),
        ("import os; os._exit(7)", "LOST", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "LOST", -9),
    ],
)
def test_dxp_ends_as_its_script_does(script: Any, tmp_path: Path, last: str, status: str, code: int) -> None:
    """What was appended is there in any case; a process that just vanished leaves a run that is lost."""
    done = script("dxp.metrics('loss').append(value=1)", last)
    assert done.returncode == code, done.stderr
    dxp = dxp_of(tmp_path)
    assert (dxp.status, len(dxp.metrics("loss"))) == (status, 1)


def test_dxp_goes_on_in_the_next_script(script: Any, tmp_path: Path) -> None:
    for index in range(3):
        done = script(f"assert dxp.metrics('loss').append(value=1)['index'] == {index}")
        assert done.returncode == 0, done.stderr
    assert len(json.loads(Path(str(dxp_of(tmp_path).path), "experiment.json").read_text())["attempts"]) == 3


def test_a_forked_child_does_not_end_its_parents_dxp(script: Any, tmp_path: Path) -> None:
    """It leaves by sys.exit, so its own exit handlers run."""
    done = script(
        "import os, sys",
        "child = os.fork()",
        "dxp.metrics('loss').append(value=1)",
        "if not child: sys.exit(0)",
        "os.waitpid(child, 0)",
        "print(dxp.status, len(dxp.metrics('loss')))",
    )
    assert (done.returncode, done.stdout.split()) == (0, ["RUNNING", "2"]), done.stderr
    assert dxp_of(tmp_path).status == "COMPLETED"


def test_an_experiment_left_open_is_ended_at_exit(tmp_path: Path) -> None:
    """As dxp is."""
    code = "from ml_dash import Experiment; e = Experiment('e', 'p', local_path='root'); e.run.start(); e.log('a')"
    for end, status in (("", "COMPLETED"), ("\nraise ValueError", "FAILED")):
        subprocess.run([sys.executable, "-c", code + end], cwd=tmp_path, capture_output=True)
        assert load("e", "p", local_path=tmp_path / "root").status == status


# ---------------------------------------------------------------- scripts of ml-dash 0.5


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Experiment]:
    """Made with every keyword of the published signature that needs no server."""
    made = Experiment(
        name="my-experiment",
        project="my-project",
        description="published",
        tags=["a", "b"],
        bindrs=["x"],
        folder="/experiments/baseline",
        metadata={"gpu": "A100"},
        remote=None,
        api_key=None,
        user_name=None,
        local_path=str(tmp_path / ".ml-dash"),
        _write_protected=False,
    )
    with made.run as experiment:
        yield experiment


def test_a_published_script_finds_its_attributes(opened: Experiment) -> None:
    assert opened.mode is OperationMode.LOCAL
    assert [mode.value for mode in OperationMode] == ["local", "remote", "hybrid"]
    assert (opened.name, opened.project, opened.folder) == ("my-experiment", "my-project", "/experiments/baseline")
    assert (opened.description, opened.tags, opened.bindrs) == ("published", ["a", "b"], ["x"])
    assert opened.metadata == {"gpu": "A100"}
    assert opened._is_open
    assert isinstance(opened.run, RunManager)


def test_a_published_script_tracks_metrics(opened: Experiment) -> None:
    """Every keyword of metrics(), append, append_batch, read; what was text is an int, which int() takes as well."""
    metric = opened.metrics(name="train_loss", description="loss", tags=["train"], metadata={"unit": "nats"})
    result = metric.append(value=0.5, step=100, epoch=1)
    assert set(result) == {"metricId", "index", "bufferedDataPoints", "chunkSize"}
    assert (int(result["index"]), int(result["bufferedDataPoints"]), result["chunkSize"]) == (0, 1, 10000)
    result = metric.append_batch(data_points=[{"value": 0.4, "step": 101}, {"value": 0.3, "step": 102}])
    assert (int(result["startIndex"]), int(result["endIndex"]), result["count"]) == (1, 2, 2)
    data = opened.metrics("train_loss").read(start_index=0, limit=100)
    assert [(point["index"], point["data"]["value"]) for point in data["data"]] == [(0, 0.5), (1, 0.4), (2, 0.3)]
    assert (data["total"], data["hasMore"]) == (3, False)
    stats = metric.stats()
    assert (int(stats["totalDataPoints"]), stats["description"], stats["tags"]) == (3, "loss", ["train"])
    assert [info["name"] for info in metric.list_all()] == ["train_loss"]
    opened.metrics.append_batch(name="more", data_points=[{"v": 1}], description="d", tags=["t"], metadata={})
    opened.metrics.append("more", {"v": 2})
    assert [point["data"]["v"] for point in opened.metrics("more").read()["data"]] == [1, 2]


def test_of_a_published_script_one_line_means_something_else(opened: Experiment) -> None:
    """`append(name="loss", value=…)`: a keyword is always a field here, so the row goes to the unnamed metric, name and all."""
    opened.metrics.append(name="loss", value=0.5)
    assert [point["data"] for point in opened.metrics()] == [{"name": "loss", "value": 0.5}]


def test_a_published_script_logs(opened: Experiment) -> None:
    opened.log("Training started")
    opened.log(message="Training started", level="info", metadata={"a": 1}, epoch=1)
    opened.log(metadata={"epoch": 1}).info("Training started")
    opened.log().error("Failed", error_code=500)
    opened.log().warn(message="High loss", loss=1.5)
    opened.log().debug("Memory", memory_mb=2500)
    opened.log().fatal("Unrecoverable", exit_code=1)
    with pytest.raises(ValueError, match="info, warn"):
        opened.log("x", level="invalid")
    entries = opened.logs.read()
    assert [entry["level"] for entry in entries] == ["info", "info", "info", "error", "warn", "debug", "fatal"]
    assert entries[1]["metadata"] == {"a": 1, "epoch": 1}
    assert LogLevel.validate("INFO") == "info"


def test_a_published_script_sets_parameters(opened: Experiment) -> None:
    params = opened.params.set(model={"lr": 0.001, "batch_size": 32}, optimizer="adam")
    params.set(model={"lr": 0.0001}).set(**{"model.depth": 3})
    assert opened.params.get() == {"model.lr": 0.0001, "model.batch_size": 32, "optimizer": "adam", "model.depth": 3}
    assert opened.params.get(flatten=False)["model"] == {"lr": 0.0001, "batch_size": 32, "depth": 3}


def test_a_published_script_keeps_files(opened: Experiment, tmp_path: Path) -> None:
    """Every keyword of file(), every method of it."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    saved = opened.file(
        file_path=str(tmp_path / "model.pt"),
        prefix="/models",
        description="d",
        tags=["t"],
        bindrs=["x"],
        metadata={"e": 1},
    ).save()
    assert (saved["path"], saved["filename"], saved["sizeBytes"], saved["tags"]) == ("/models", "model.pt", 7, ["t"])
    assert [file["id"] for file in opened.file(prefix="/models").list()] == [saved["id"]]
    assert [file["id"] for file in opened.file(tags=["t"]).list()] == [saved["id"]]
    assert len(opened.file().list()) == 1
    copy = opened.file(file_id=saved["id"], dest_path=str(tmp_path / "copy.pt")).download()
    assert Path(copy).read_bytes() == b"weights"
    assert opened.file(file_id=saved["id"], description="new", tags=["u"], metadata={}).update()["description"] == "new"
    assert opened.file(prefix="/configs").save_json({"lr": 0.1}, "config.json")["filename"] == "config.json"
    assert set(opened.file(file_id=saved["id"]).delete()) >= {"id", "deletedAt"}
    assert [file["filename"] for file in opened.file().list()] == ["config.json"]


def test_a_published_script_in_each_of_its_styles(tmp_path: Path) -> None:
    local: dict[str, Any] = {"local_path": str(tmp_path)}
    with Experiment(name="a", project="p", **local).run as experiment:
        experiment.metrics("m").append(v=1)
    direct = Experiment(name="b", project="p", **local)
    assert direct.run.start() is direct
    direct.run.fail()

    @ml_dash_experiment(name="c", project="p", **local)
    def train(experiment: Experiment) -> int:
        return int(experiment.metrics("m").append(v=1)["index"])

    @Experiment(name="d", project="p", **local).run
    def again(exp: Experiment) -> int:
        return int(exp.metrics("m").append(v=1)["index"])

    assert (train(), again()) == (0, 0)
    assert [load(name, "p", **local).status for name in "abcd"] == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]


def test_a_published_script_that_uses_a_closed_experiment_gets_a_runtime_error(tmp_path: Path) -> None:
    closed = Experiment(name="a", project="p", local_path=str(tmp_path))
    for use in (lambda: closed.metrics, lambda: closed.params, closed.log, closed.file):
        with pytest.raises(RuntimeError):
            use()
    with pytest.raises(TypeError):
        Experiment("a", "p", str(tmp_path))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Experiment("a", "p", local_pth=str(tmp_path))  # type: ignore[call-arg]
