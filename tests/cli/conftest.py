"""A folder of runs made through the two front doors, and two ways to run the command: in this process, and as a user does."""

from __future__ import annotations

import inspect
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ml_dash
from dreamlake import Session
from ml_dash import Experiment
from ml_dash.cli.app import app

SOURCE = str(Path(ml_dash.__file__).parents[1])
ENTRY = [sys.executable, "-c", "from ml_dash.cli import main; main()"]


def make_runs(root: Path) -> Path:
    """Three experiments of "digits", one of "other", one session."""
    for i, (name, lr) in enumerate({"low": 0.001, "mid": 0.01, "high": 0.1}.items()):
        experiment = Experiment(name, "digits", local_path=root, tags=["baseline"], description=f"run {i}")
        experiment.run.start()
        experiment.params.set(lr=lr, batch=64, model={"depth": i})
        experiment.metrics("train/loss").append_batch(
            [{"value": (i + 1) / (step + 1), "step": step} for step in range(500)]
        )
        experiment.metrics("val").append_batch(
            [{"loss": 1.0 - i / 10, "acc": step / 10, "epoch": step} for step in range(5)]
        )
        for step in range(7):
            experiment.log(f"step {step}", level="warn" if step == 6 else "info", step=step)
        if name == "high":
            experiment.file().save_json({"a": 1}, "report.json")
            experiment.run.fail()
        else:
            experiment.run.complete()
    with Experiment("low", "other", local_path=root).run as experiment:
        experiment.metrics("odd").append_batch(
            [{"value": v} for v in (1.0, math.nan, math.inf, -math.inf, "NaN", None, 2**70, [1, 2], -5)]
        )
    with Session(name="arm", workspace="robots", local_path=root) as session:
        session.track("pose").append(x=1.0, y=2.0)
    return root


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of `make_runs`, to be looked at only."""
    return make_runs(tmp_path_factory.mktemp("runs") / ".ml-dash")


@pytest.fixture
def own_runs(tmp_path: Path) -> Path:
    """The runs of `make_runs`, to be changed."""
    return make_runs(tmp_path / ".ml-dash")


def runner() -> CliRunner:
    """One that keeps standard output and standard error apart: older versions of typer do so when asked only."""
    if "mix_stderr" in inspect.signature(CliRunner.__init__).parameters:
        return CliRunner(mix_stderr=False)  # type: ignore[call-arg]
    return CliRunner()


class Command:
    """The command in this process, over one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *args: object, code: int = 0, stdin: str | None = None) -> Result:
        env = {"ML_DASH_DIR": str(self.root), "COLUMNS": None, "MLDASH_DEBUG": None, "ML_DASH_DEBUG": None}
        result = runner().invoke(app, [str(arg) for arg in args], env=env, input=stdin, prog_name="ml-dash")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def out(self, *args: object) -> str:
        return self(*args).stdout

    def error(self, *args: object, code: int) -> str:
        result = self(*args, code=code)
        assert result.stdout == ""
        return result.stderr

    def json(self, *args: object) -> Any:
        result = self(*args, "--json")
        assert result.stderr == ""
        return json.loads(result.stdout)


@pytest.fixture
def cli(runs: Path) -> Command:
    return Command(runs)


@pytest.fixture
def own_cli(own_runs: Path) -> Command:
    return Command(own_runs)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(runs: Path) -> Iterator[Start]:
    """Starts the real entry point in a process of its own; kills what is left of it."""
    started = []

    def call(*args: object, root: Path = runs, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ML_DASH_", "DREAMLAKE_", "PYTHON"))}
        clean |= {"PYTHONPATH": SOURCE, "ML_DASH_DIR": str(root), **env}
        process = subprocess.Popen(
            [*ENTRY, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={k: v for k, v in clean.items() if v},
            cwd=cwd,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()
