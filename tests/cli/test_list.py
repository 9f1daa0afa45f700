"""``ml-dash list``: which runs, in which order, with which columns."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.app import app
from tests.cli.conftest import Command, runner


def names(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[1:]]


def test_newest_first_with_what_differs_and_last_values(cli: Command) -> None:
    lines = cli.out("list").splitlines()
    assert names("\n".join(lines)) == ["arm", "low", "high", "mid", "low"]
    head = lines[0].split()
    assert head[:5] == ["name", "project", "status", "started", "took"]
    assert {"lr", "train/loss", "model.depth", "val.loss", "val.acc", "pose.x"} <= set(head)
    high = next(line for line in lines if line.startswith("high"))
    assert "FAILED" in high
    assert {"0.1", "0.006"} <= set(high.split())


def test_parameters_that_are_equal_are_left_out(cli: Command) -> None:
    head = cli.out("list", "--project", "digits").splitlines()[0].split()
    assert "batch" not in head
    assert "project" not in head


def test_filter_by_parameters_last_values_status_and_tags(cli: Command) -> None:
    assert names(cli.out("list", "--filter", "params.lr < 0.05")) == ["mid", "low"]
    assert names(cli.out("list", "-f", 'metrics["train/loss"] > 0.003 and status == "COMPLETED"')) == ["mid"]
    assert names(cli.out("list", "-f", 'not params.model.depth and "baseline" in tags')) == ["low"]


def test_sort_by_parameter_and_last_value_missing_last(cli: Command) -> None:
    assert names(cli.out("list", "--sort", "params.lr"))[:3] == ["low", "mid", "high"]
    assert names(cli.out("list", "--sort", "-params.lr"))[:3] == ["high", "mid", "low"]
    assert names(cli.out("list", "--sort", "-metrics.train/loss"))[:3] == ["high", "mid", "low"]
    assert names(cli.out("list", "--sort", 'metrics["val"].loss'))[:3] == ["high", "mid", "low"]


def test_limit_says_on_standard_error_what_is_left_out(cli: Command) -> None:
    result = cli("list", "--limit", 2)
    assert names(result.stdout) == ["arm", "low"]
    assert result.stderr == "2 of 5 runs, newest first. --limit 0 shows all.\n"
    assert len(names(cli.out("list", "--limit", 0))) == 5


def test_columns_of_ones_own(cli: Command) -> None:
    columns = 'params.lr,metrics.train/loss,metrics.val.acc,metrics["val"].loss,tags,params.nope'
    head, *rows = cli.out("list", "-p", "digits", "-c", columns).splitlines()
    assert head.split()[4:] == columns.split(",")
    assert rows[0].split()[-5:] == ["0.1", "0.006", "0.4", "0.8", "baseline"]


@pytest.mark.parametrize("column", ["bla", "params", "metrics.", "name.x", "params.a]b", ""])
def test_what_is_no_column_is_refused_with_those_that_are(cli: Command, column: str) -> None:
    if not column:
        assert cli.out("list", "-c", "").splitlines()[0].split() == ["name", "project", "status", "started", "took"]
        return
    assert "columns are params.<name>, metrics.<name>" in cli.error("list", "--columns", column, code=2)


def test_json_has_the_whole_record_and_series(cli: Command) -> None:
    document = cli.json("list", "--filter", 'name == "high"')
    (run,) = document["runs"]
    assert document["total"] == 1
    assert run["params"] == {"lr": 0.1, "batch": 64, "model.depth": 2}
    assert run["status"] == "FAILED"
    assert run["created_at"].endswith("Z")
    assert {series["name"]: series["last"]["step"] for series in run["series"] if series["name"] != "val"} == {
        "train/loss": 499
    }


def test_json_spells_nan_as_our_lines_do(cli: Command, tmp_path: Path) -> None:
    with Experiment("nan", "p", local_path=tmp_path).run as experiment:
        experiment.metrics("m").append(value=float("nan"), low=float("-inf"), text="NaN")
    text = Command(tmp_path).out("list", "--json")
    assert '"value": "NaN"' in text
    assert '"low": "-Infinity"' in text
    assert '"text": "\\u004eaN"' in text


def test_wrong_filters_and_sorts_are_quoted_back(cli: Command) -> None:
    assert "names 'foo'" in cli.error("list", "--filter", "foo == 1", code=2)
    assert "sort" in cli.error("list", "--sort", "params.a + 1", code=2)


def test_unknown_folder_and_project_are_not_found(cli: Command, tmp_path: Path) -> None:
    assert "there is no folder" in cli.error("list", "--dir", tmp_path / "none", code=3)
    assert "Did you mean 'digits'?" in cli.error("list", "--project", "digit", code=3)


def test_no_runs_is_no_error_and_a_project_given_as_folder_gets_a_hint(
    cli: Command, tmp_path: Path, runs: Path
) -> None:
    assert "No runs in" in cli("list", "--dir", tmp_path).stderr
    assert cli.json("list", "--dir", tmp_path)["runs"] == []
    assert f"try --dir {runs}" in cli("list", "--dir", runs / "digits").stderr
    assert "ml-dash show" in cli("list", "--dir", runs / "digits" / "low").stderr
    assert "None of 5 runs matches" in cli("list", "--filter", "params.lr > 9").stderr


def test_default_folder(start, runs: Path, tmp_path: Path) -> None:
    """ML_DASH_DIR, else .ml-dash, else .dreamlake if only that is there."""
    shutil.copytree(runs / "robots", tmp_path / ".dreamlake" / "robots")

    def listed(**env: str) -> list[str]:
        out, _ = start("list", cwd=tmp_path, **{"ML_DASH_DIR": "", **env}).communicate()
        return names(out)

    assert listed() == ["arm"]
    (tmp_path / "elsewhere").symlink_to(tmp_path / ".dreamlake")
    os.rename(tmp_path / ".dreamlake", tmp_path / "real")
    (tmp_path / "elsewhere").unlink()
    os.rename(tmp_path / "real", tmp_path / "elsewhere")
    assert listed(DREAMLAKE_DIR="elsewhere") == ["arm"]
    shutil.copytree(runs / "other", tmp_path / ".ml-dash" / "other")
    assert listed(DREAMLAKE_DIR="elsewhere") == ["low"]
    assert listed(ML_DASH_DIR="elsewhere") == ["arm"]


def test_a_copied_run_has_its_own_values(own_cli: Command) -> None:
    """A folder that was copied by hand shares its id with the original."""
    shutil.copytree(own_cli.root / "digits" / "low", own_cli.root / "digits" / "twin")
    with open(own_cli.root / "digits/twin/metrics/train/loss/data.jsonl", "a") as f:
        f.write('{"index": 500, "data": {"value": 77, "step": 500}}\n')
    text = own_cli.out("list", "--project", "digits", "--columns", "metrics.train/loss")
    assert re.search(r"^twin .* 77$", text, re.MULTILINE)
    assert re.search(r"^low .* 0.002$", text, re.MULTILINE)


def test_a_damaged_run_is_left_out_with_a_warning(start, own_runs: Path) -> None:
    (own_runs / "digits/mid/experiment.json").write_text("{broken")
    out, err = start("list", root=own_runs).communicate()
    assert names(out) == ["arm", "low", "high", "low"]
    assert err.startswith("warning: ")
    assert "mid is left out of the list" in err
    assert "RuntimeWarning" not in err


def test_names_that_would_steer_a_terminal_are_spelled_out(tmp_path: Path) -> None:
    with Experiment("evil", "p", local_path=tmp_path).run as experiment:
        experiment.params.set(text="\x1b[31mred\nnew line")
    assert "\\x1b[31mred\\nnew line" in Command(tmp_path).out("show", "evil")


def test_a_narrow_terminal_gets_fewer_columns(runs: Path) -> None:
    for width in (60, 80, 140):
        result = runner().invoke(app, ["list", "--dir", str(runs)], env={"COLUMNS": str(width)})
        assert max(map(len, result.stdout.splitlines())) <= width


def test_long_names_leave_room_for_values_and_keep_both_ends(tmp_path: Path) -> None:
    for i in range(2):
        with Experiment(f"{'a-name-that-is-long-' * 5}{i}", "p", local_path=tmp_path).run as experiment:
            experiment.params.set(lr=i / 10)
    text = runner().invoke(app, ["list", "--dir", str(tmp_path)], env={"COLUMNS": "80"}).stdout
    assert re.search(r"^a-name-that-is-.*….*-long-1 .* 0\.1$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
