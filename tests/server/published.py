"""The published clients as they are on the package index, in an environment of their own, run as a user runs them: in scripts.

Environments are kept in pytest's cache, so that only the first run of the tests builds one.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("ml-dash==0.5.2", "dreamlake==0.2.1")

_CLIENTS = {
    "ml-dash": """
from ml_dash import Experiment, ml_dash_experiment
def opened(name, **given):
    return Experiment(name=name, project="experiments", remote=URL, api_key=TOKEN, **given).run
def series(run, name, **about):
    return run.metrics(name, **about)
def params(run):
    return run.params
""",
    "dreamlake": """
from dreamlake import Session, dreamlake_session
def opened(name, **given):
    return Session(name=name, workspace="sessions", remote=URL, api_key=TOKEN, **given)
def series(run, name, **about):
    return run.track(name=name, **about)
def params(run):
    return run.parameters()
""",
}
_PRELUDE = """
import json, os, sys, time
URL, TOKEN = sys.argv[1:3]
def tell(value):
    print(json.dumps(value))
"""


def environment(cache: Path) -> Path:
    """The Python of an environment with `PACKAGES`, built below `cache` if it is not there. One process builds, the others wait."""
    version = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "-".join([version, *PACKAGES]).replace("==", "-")
    python, ready = folder / "bin" / "python", folder / "ready"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            venv.create(folder, clear=True, with_pip=True)
            _run([python, "-m", "pip", "install", "--quiet", *PACKAGES], cache)
            ready.touch()
    return python


@dataclass
class Client:
    """One published package, told to log to the server over the folder `store`. `folder` is where its scripts run."""

    package: str
    python: Path
    folder: Path
    store: Path
    url: str
    token: str

    def place(self, name: str) -> Path:
        """Where the server keeps a run of opened()."""
        return self.store / self.project / name

    @property
    def project(self) -> str:
        return "experiments" if self.package == "ml-dash" else "sessions"

    @property
    def series(self) -> str:
        return "metrics" if self.package == "ml-dash" else "tracks"

    @property
    def series_id(self) -> str:
        return "metricId" if self.package == "ml-dash" else "trackId"

    @property
    def run_id(self) -> str:
        return "experimentId" if self.package == "ml-dash" else "sessionId"

    @property
    def record(self) -> str:
        return "experiment.json" if self.package == "ml-dash" else "session.json"

    def command(self, script: str) -> list[str | Path]:
        """What runs `script`, which has opened(), series(), params() and tell() under either package's names."""
        return [self.python, "-c", _PRELUDE + _CLIENTS[self.package] + script, self.url, self.token]

    def run(self, script: str) -> list[Any]:
        """What `script` told, in order."""
        return [json.loads(line) for line in _run(self.command(script), self.folder).splitlines()]

    def start(self, script: str) -> subprocess.Popen[str]:
        """`script`, running; told values are lines of JSON on its standard output."""
        return subprocess.Popen(
            self.command(script),
            cwd=self.folder,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _run(command: Sequence[str | Path], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=_environ(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environ() -> dict[str, str]:
    """None of this environment's Python settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_"))}
