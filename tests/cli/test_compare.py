"""``ml-dash compare``: what differs, side by side."""

from __future__ import annotations

from pathlib import Path

from ml_dash import Experiment
from tests.cli.conftest import Command


def test_only_parameters_that_differ(cli: Command) -> None:
    result = cli("compare", "high", "mid")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:3] == [["parameter", "high", "mid"], ["lr", "0.1", "0.01"], ["model.depth", "2", "1"]]
    assert result.stderr == "Left out: 1 equal parameter. --all shows them.\n"
    assert ["batch", "64", "64"] in [line.split() for line in cli.out("compare", "high", "mid", "--all").splitlines()]


def test_last_min_max_with_lowest_and_highest_marked(cli: Command) -> None:
    lines = [line.split() for line in cli.out("compare", "digits/low", "mid", "high").splitlines()]
    at = lines.index(["train/loss", "last", "0.002", "▼", "0.004", "0.006", "▲"])
    assert lines[at + 1] == ["min", "0.002", "▼", "0.004", "0.006", "▲"]
    assert lines[at + 2] == ["max", "1", "▼", "2", "3", "▲"]
    assert ["val.acc", "last", "0.4", "0.4", "0.4"] in lines


def test_series_that_only_some_have(cli: Command) -> None:
    result = cli("compare", "high", "arm")
    assert "pose" not in result.stdout
    assert "5 series that not all of the runs have" in result.stderr
    lines = [line.split() for line in cli.out("compare", "high", "arm", "--all").splitlines()]
    assert ["pose.x", "last", "-", "1"] in lines
    assert ["lr", "0.1", "not", "set"] in lines


def test_one_and_one_point_zero_differ(tmp_path: Path) -> None:
    for name, value in {"a": 1, "b": 1.0, "c": "1"}.items():
        with Experiment(name, "p", local_path=tmp_path).run as experiment:
            experiment.params.set(x=value, nan=float("nan"))
    document = Command(tmp_path).json("compare", "a", "b", "c")
    assert document["params"] == {"x": {"p/a": 1, "p/b": 1.0, "p/c": "1"}}
    assert "Left out: 1 equal parameter" in Command(tmp_path)("compare", "a", "b").stderr


def test_json(cli: Command) -> None:
    document = cli.json("compare", "high", "arm", "--all")
    assert document["runs"] == ["digits/high", "robots/arm"]
    assert document["params"]["lr"] == {"digits/high": 0.1}
    pose = next(series for series in document["series"] if series["name"] == "pose" and series["field"] == "x")
    assert pose["runs"] == {"robots/arm": {"points": 1, "last": 1.0, "min": 1.0, "max": 1.0}}


def test_two_runs_at_least(cli: Command) -> None:
    assert "two different runs" in cli.error("compare", "high", code=2)
    assert "two different runs" in cli.error("compare", "high", "digits/high", code=2)
    assert "there is no run" in cli.error("compare", "high", "nope", code=3)


def test_names_alike_in_two_projects_are_told_apart(cli: Command) -> None:
    assert "digits/low" in cli.out("compare", "digits/low", "other/low", "--all")
