"""``ml-dash show``, and how every command finds the run that is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.sparkline import ASCII, sparkline
from tests.cli.conftest import Command


def test_one_page_has_all_of_it(cli: Command) -> None:
    text = cli.out("show", "high")
    assert text.startswith("digits/high  FAILED\n")
    for part in (
        "run 2",
        "baseline",
        "model.depth",
        "train/loss",
        "0.006",
        "report.json",
        "application/json",
        "step 6",
        "warn",
    ):
        assert part in text
    assert "Log (the last 5 of 7)" in text
    assert "step 1\n" not in text
    assert str(cli.root / "digits" / "high") in text
    loss = next(line for line in text.splitlines() if "train/loss" in line).split()
    assert loss[:6] == ["train/loss", "value", "500", "0.006", "0.006", "3"]
    assert loss[6].startswith("█")
    assert loss[6].endswith("▁")


def test_every_numeric_field_has_a_row(cli: Command) -> None:
    rows = [line.split()[:6] for line in cli.out("show", "mid").splitlines() if line.startswith("  val")]
    assert rows == [["val", "loss", "5", "0.9", "0.9", "0.9"], ["val", "acc", "5", "0.4", "0", "0.4"]]


def test_nan_infinities_and_other_values_do_not_disturb(cli: Command) -> None:
    row = next(line for line in cli.out("show", "other/low").splitlines() if "odd" in line).split()
    assert row[:6] == ["odd", "value", "9", "-5", "-5", "1.18059e+21"]


def test_attempts_are_listed_once_there_are_two(tmp_path: Path) -> None:
    for _ in range(2):
        with Experiment("again", "p", local_path=tmp_path).run as experiment:
            experiment.metrics("m").append(value=1)
    text = Command(tmp_path).out("show", "again")
    assert "Attempts (2)" in text
    assert "in 2 attempts" in text


def test_series_beyond_forty_are_said_not_shown(tmp_path: Path) -> None:
    with Experiment("many", "p", local_path=tmp_path).run as experiment:
        for i in range(45):
            experiment.metrics(f"m{i:02d}").append(value=i)
    cli = Command(tmp_path)
    assert "Series (45, 40 shown; --all shows the rest)" in cli.out("show", "many")
    assert "m44" in cli.out("show", "many", "--all")
    assert len(cli.json("show", "many")["series"]) == 45


def test_json_is_one_document(cli: Command) -> None:
    run = cli.json("show", "high")
    assert run["name"] == "high"
    assert run["path"] == str(cli.root / "digits" / "high")
    assert run["files"][0]["filename"] == "report.json"
    assert [entry["message"] for entry in run["logs"]["last"]] == [f"step {i}" for i in range(2, 7)]
    loss = next(series for series in run["series"] if series["name"] == "train/loss")
    assert (loss["count"], loss["fields"]["value"]["max"]) == (500, 3.0)
    odd = cli.json("show", "other/low")["series"][0]["fields"]["value"]["sample"]
    assert odd == [1.0, None, None, None, None, None, float(2**70), None, -5.0]


@pytest.mark.parametrize("run", ["digits/mid", "mid"])
def test_a_run_by_name_and_by_project(cli: Command, run: str) -> None:
    assert cli.json("show", run)["name"] == "mid"


def test_a_run_by_id_and_by_the_beginning_of_its_id(cli: Command) -> None:
    whole = cli.json("show", "mid")["id"]
    assert cli.json("show", whole)["name"] == "mid"
    assert cli.json("show", whole[:6])["name"] == "mid"
    assert "there is no run" in cli.error("show", whole[:5], code=3)


def test_a_run_by_its_path_wherever_it_lies(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Command(tmp_path)
    assert cli.json("show", runs / "digits" / "low")["project"] == "digits"
    assert cli.json("show", f"{runs}/robots/arm/")["kind"] == "session"
    monkeypatch.chdir(runs / "digits" / "low")
    assert cli.json("show", ".")["name"] == "low"


def test_a_run_whose_name_is_spelled_otherwise_on_disk(tmp_path: Path) -> None:
    for name in ("ab:c", "CON", "x" * 250 + "é:", "ünï 🙂"):
        with Experiment(name, "p?", local_path=tmp_path).run as experiment:
            experiment.metrics("m").append(value=1)
        path = Path(Command(tmp_path).json("show", name)["path"])
        assert json.loads((path / "experiment.json").read_bytes())["name"] == name
        assert Command(tmp_path).json("show", path)["name"] == name


def test_a_name_that_several_runs_have_lists_them(cli: Command) -> None:
    text = cli.error("show", "low", code=2)
    assert "give project/name" in text
    assert "  digits/low  (" in text
    assert "  other/low  (" in text


def test_an_unknown_run_gets_the_closest_names(cli: Command, tmp_path: Path) -> None:
    assert "Did you mean 'high'" in cli.error("show", "hihg", code=3)
    assert "'digits/high'" in cli.error("show", "digits/hgh", code=3)
    assert "holds no runs" in cli.error("show", "x", "--dir", tmp_path, code=3)
    assert "there is no folder" in cli.error("show", "x", "--dir", tmp_path / "none", code=3)


def test_a_damaged_run_says_what_is_wrong_and_the_others_do_not_care(own_cli: Command) -> None:
    record = own_cli.root / "digits" / "mid" / "experiment.json"
    record.write_text("{broken")
    for run in ("mid", "digits/mid", record.parent):
        text = own_cli.error("show", run, code=1)
        assert str(record) in text
        assert "ml-dash doctor" in text
    assert own_cli("show", "high").stderr == ""


def test_sparkline() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5]) == "▄▄"
    assert sparkline([1, float("nan"), 2]) == "▁ █"
    assert sparkline([-1.7e308, 1.7e308], ASCII) == "_#"
    assert sparkline([float("nan")]) == " "
