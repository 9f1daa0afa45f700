"""The types of the API, as a user's type checker sees them. Nothing here runs: `make check` has mypy read it.

`assert_type` says what a call gives. A call that has to be an error says which by its ignore: mypy, strict as it is set up,
complains where one is no longer needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import dreamlake
import ml_dash
from dreamlake import Session, dreamlake_session
from dreamlake.session import Track
from ml_dash import Experiment, ExperimentRun, LogHandler, LogLevel, OperationMode, RunManager, ml_dash_experiment
from ml_dash.experiment import Metric, Metrics
from ml_dash.files import Files, SessionFiles
from ml_dash.logs import LogBuilder, Logs
from ml_dash.params import Parameters
from ml_dash.reading import RunList, RunView
from ml_dash.rollup import Sample

Answer = dict[str, Any]


def make() -> None:
    experiment = Experiment("name", "project")
    assert_type(experiment, Experiment)
    Experiment("name", project="project", local_path="folder", tags=["a"], metadata={"a": 1}, description="d")
    Experiment("name", "project", local_path=Path("folder"), on_error="warn", durability="disk", locking=False)
    Session("name", "workspace", local_path=Path("folder"), write_protected=True)
    Experiment("name")  # type: ignore[call-arg]
    Experiment("name", "project", "folder")  # type: ignore[call-arg]
    Experiment("name", "project", local_pth="folder")  # type: ignore[call-arg]
    Experiment("name", "project", local_path=b"folder")  # type: ignore[arg-type]
    Experiment("name", "project", tags="a")  # type: ignore[arg-type]
    Experiment("name", "project", metadata=[1])  # type: ignore[arg-type]
    Experiment("name", "project", on_error="ignore")  # type: ignore[arg-type]
    Session("name", "workspace", durability="best")  # type: ignore[arg-type]


def run(experiment: Experiment, session: Session) -> None:
    assert_type(experiment.run, ExperimentRun)
    manager: RunManager = experiment.run
    assert_type(manager.start(), Experiment)
    assert_type(manager.start("message"), Experiment)
    manager.start(5)  # type: ignore[arg-type]
    with experiment.run as opened:
        assert_type(opened, Experiment)
    with experiment.run("message") as opened_too:
        assert_type(opened_too, Experiment)
    experiment.run(5)  # type: ignore[call-overload]
    assert_type(session.open(), Session)
    with session as itself:
        assert_type(itself, Session)


def after_the_block(experiment: Experiment) -> int:
    """A `with` block swallows no exception: what follows it is no way around a return."""
    with experiment.run:
        return 1


async def decorated(experiment: Experiment) -> None:
    @experiment.run
    def train(experiment: Experiment, lr: float, *, steps: int = 1) -> int:
        return steps

    assert_type(train(0.5, steps=2), int)
    train("fast")  # type: ignore[arg-type]

    @experiment.run("message")
    async def later(experiment: Experiment, lr: float) -> int:
        return 1

    assert_type(await later(0.5), int)

    @experiment.run  # type: ignore[arg-type]
    def no_experiment(lr: float) -> None: ...

    @ml_dash_experiment("name", "project", local_path="folder")
    def fit(lr: float, experiment: Experiment) -> str:
        return experiment.name

    assert_type(fit(0.5), str)

    @dreamlake_session("name", "workspace")
    async def fit_later(session: Session) -> str:
        return session.name

    assert_type(await fit_later(), str)


def about(experiment: Experiment, session: Session) -> None:
    for either in (experiment, session):
        assert_type(either.name, str)
        assert_type(either.id, str | None)
        assert_type(either.status, str | None)
        assert_type(either.url, str | None)
        assert_type(either.path, str | None)
        assert_type(either.data, Answer | None)
        assert_type(either.is_open, bool)
        assert_type(either.mode, OperationMode)
    assert_type(experiment.project, str)
    assert_type(session.workspace, str)
    experiment.id = "other"  # type: ignore[misc]
    session.status = "COMPLETED"  # type: ignore[misc]


def metrics(experiment: Experiment, session: Session) -> None:
    assert_type(experiment.metrics, Metrics)
    assert_type(experiment.metrics("loss", description="d", tags=["a"], metadata={"a": 1}), Metric)
    assert_type(experiment.metrics(), Metric)
    assert_type(session.track("loss"), Track)
    assert_type(experiment.metrics.append("loss", value=1), Answer)
    assert_type(experiment.metrics.append({"loss": 1}, step=1), Answer)
    assert_type(experiment.metrics.append_batch("loss", [{"value": 1}]), Answer)
    assert_type(list(experiment.metrics), list[str])
    assert_type(experiment.metrics.list_all(), list[Answer])
    experiment.metrics(5)  # type: ignore[arg-type]
    experiment.metrics("loss", tags="a")  # type: ignore[arg-type]


def series(metric: Metric, track: Track) -> None:
    for either in (metric, track):
        assert_type(either.append(value=0.5, self=1, name="n"), Answer)
        assert_type(either.append({"value": 0.5}, step=1), Answer)
        assert_type(either.append_batch([{"value": 0.5}]), Answer)
        assert_type(either.append_batch({"value": i} for i in range(3)), Answer)
        assert_type(either.read(), Answer)
        assert_type(either.read(start_index=-10, limit=None), Answer)
        assert_type(either.stats(), Answer)
        assert_type(either.list_all(), list[Answer])
        assert_type(len(either), int)
        assert_type(either[0], Answer)
        assert_type(either[-10:], list[Answer])
        assert_type(either[::-1], list[Answer])
        assert_type(iter(either), Iterator[Answer])
        assert_type(either.columns(), dict[str, np.ndarray[Any, Any]])
        either.columns("loss", start_index=-10)
        either.columns(["loss", "step"], stop_index=10)
        assert_type(either.sample("loss", x="step", max_points=100), Sample)
        assert_type(either.name, str)
    assert_type(metric.sample("loss").min, npt.NDArray[np.float64])
    assert_type(metric.sample("loss").argmin, npt.NDArray[np.int64])
    metric.sample("loss").min = np.zeros(1)  # type: ignore[misc]
    metric.append(5)  # type: ignore[arg-type]
    metric.append_batch({"value": 0.5})  # type: ignore[dict-item]
    metric.append_batch(5)  # type: ignore[arg-type]
    metric.read("0")  # type: ignore[arg-type]
    metric["loss"]  # type: ignore[call-overload]
    metric.columns(5)  # type: ignore[arg-type]
    metric.sample(["loss"])  # type: ignore[arg-type]


def parameters(experiment: Experiment, session: Session) -> None:
    assert_type(experiment.params, Parameters)
    assert_type(session.parameters(), Parameters)
    assert_type(experiment.params.set(lr=0.1, model={"depth": 3}).set({"a.b": 1}), Parameters)
    assert_type(experiment.params.get(), Answer)
    assert_type(experiment.params.get(flatten=False), Answer)
    experiment.params.set([1])  # type: ignore[arg-type]


def log(experiment: Experiment, session: Session) -> None:
    for either in (experiment, session):
        either.log("message", level="warn", metadata={"a": 1}, epoch=1)
        either.log("message", level=LogLevel.WARN)
        assert_type(either.log(), LogBuilder)
        either.log(metadata={"a": 1}).info("message", epoch=1)
        assert_type(either.logs, Logs)
        assert_type(either.logs.read(-10, limit=None, level="error", search="text"), list[Answer])
        assert_type(len(either.logs), int)
        LogHandler(either, level=20)
    experiment.log("message").info("message")  # type: ignore[attr-defined]
    experiment.log(5)  # type: ignore[call-overload]


def files(experiment: Experiment, session: Session) -> None:
    assert_type(experiment.file("model.pt", prefix="/models", tags=["a"]), Files)
    assert_type(experiment.files(Path("model.pt")), Files)
    assert_type(session.file(file_path="model.pt"), Files)
    assert_type(session.files(), SessionFiles)
    assert_type(experiment.file("model.pt").save(), Answer)
    assert_type(experiment.file().list(), list[Answer])
    assert_type(experiment.file(file_id="1").download(), str)
    experiment.file(5)  # type: ignore[arg-type]


def reading() -> None:
    assert_type(ml_dash.load("name", "project", local_path="folder"), Experiment)
    assert_type(dreamlake.load("name", "workspace"), Session)
    assert_type(ml_dash.runs(project="project"), RunList[Experiment])
    assert_type(dreamlake.sessions(filter="params.lr < 0.01", sort="-created_at")[0], RunView[Session])
    assert_type(ml_dash.runs(filter=lambda run: run.params["lr"] < 0.01)[0].load(), Experiment)


def errors() -> None:
    """Each is also the built-in that a user would catch."""
    value: type[ValueError] = ml_dash.InvalidInput
    kind: type[TypeError] = ml_dash.InvalidType
    missing: type[FileNotFoundError] = ml_dash.SeriesNotFound
    closed: type[RuntimeError] = ml_dash.RunClosed
    protected: type[RuntimeError] = dreamlake.ReadOnly
    damaged: type[OSError] = ml_dash.CorruptData
    offset: Callable[[ml_dash.CorruptData], int] = lambda error: error.offset  # noqa: E731
    print(value, kind, missing, closed, protected, damaged, offset)
