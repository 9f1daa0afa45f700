"""The demo, as `make demo` runs it: from any folder, twice, in 80 columns; what it shows is what is stored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dreamlake
import ml_dash
from tests.docs.pages import PROJECT

DEMO = PROJECT / "examples" / "demo.py"
STEPS = 420

pytest.importorskip("sklearn", reason="the demo needs scikit-learn, which the dev extra brings")


def run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, str(DEMO), *arguments]
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment | {"COLUMNS": "80"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert time.monotonic() - started < 60
    return done.stdout


def test_demo_trains_tracks_and_shows(environment: dict[str, str], tmp_path: Path) -> None:
    shown = run(tmp_path, environment)
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    for name in ("fast", "medium", "slow"):
        run_ = ml_dash.load(name, "digits", local_path=tmp_path / ".ml-dash")
        session = dreamlake.load(name, "digits", local_path=tmp_path / ".dreamlake")
        assert (run_.status, session.status) == ("COMPLETED", "COMPLETED")
        assert len(run_.metrics("train/loss")) == len(session.track("train/loss")) == STEPS
        assert run_.params.get() == session.params.get()
        assert {record["filename"] for record in run_.file().list()} == {"model.npz", "confusion.png"}
        assert {record["filename"] for record in session.file().list()} == {"model.npz", "confusion.png"}
        assert f"{run_.metrics('test')[-1]['data']['accuracy']:.3f}" in shown
    # It really learns: one guess in ten would be right by chance.
    best = ml_dash.runs(local_path=tmp_path / ".ml-dash", sort="-metrics.test.accuracy")[0]
    assert best.metrics["test"]["accuracy"] > 0.95
    # The lines that it shows are those of the file.
    line = (tmp_path / ".ml-dash/digits" / best.name / "metrics/train/loss/data.jsonl").read_text().splitlines()[0]
    assert line in shown.splitlines()
    assert json.loads(line)["index"] == 0


def test_demo_goes_on_when_it_is_run_again(environment: dict[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "some" / "folder"
    first = run(tmp_path, environment, str(elsewhere))
    assert len(re.findall(r"\bnew\b", first)) == 3
    again = run(tmp_path, environment, str(elsewhere))
    assert again.count(f"goes on after step {STEPS - 1}") == 3
    loss = ml_dash.load("fast", "digits", local_path=elsewhere / ".ml-dash").metrics("train/loss")
    assert loss.columns("step")["step"].tolist() == list(range(2 * STEPS))
    assert list(tmp_path.iterdir()) == [tmp_path / "some"]
