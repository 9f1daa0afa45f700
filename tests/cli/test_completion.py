"""What a shell offers after a Tab."""

from __future__ import annotations

from pathlib import Path


def offered(start, *words: str, **options: object) -> list[str]:
    line = " ".join(["ml-dash", *words])
    env = {"_ML_DASH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    out, err = start(**options, **env).communicate()
    assert err == ""
    return out.split()


def test_commands_and_options(start) -> None:
    assert offered(start, "pl") == ["plot"]
    assert "--log-y" in offered(start, "plot", "--")


def test_runs_by_name_and_by_project_where_the_name_is_not_enough(start) -> None:
    assert sorted(offered(start, "show", "")) == ["arm", "digits/low", "high", "mid", "other/low"]
    assert offered(start, "show", "h") == ["high"]
    assert sorted(offered(start, "show", "digits/")) == ["digits/high", "digits/low", "digits/mid"]
    assert offered(start, "plot", "high", "val", "--run", "m") == ["mid"]
    assert offered(start, "rm", "high", "a") == ["arm"]


def test_series_of_the_run(start) -> None:
    assert offered(start, "plot", "high", "tr") == ["train/loss"]
    assert offered(start, "tail", "arm", "p") == ["pose"]


def test_nothing_and_no_error_where_there_is_nothing(start, tmp_path: Path) -> None:
    assert offered(start, "show", "h", root=tmp_path / "none") == []
    assert offered(start, "plot", "nope", "tr") == []
    (tmp_path / "p" / "broken").mkdir(parents=True)
    (tmp_path / "p" / "broken" / "experiment.json").write_text("{")
    assert offered(start, "show", "b", root=tmp_path) == []


def test_the_folder_that_was_typed_counts(start, runs: Path, tmp_path: Path) -> None:
    assert offered(start, "show", "--dir", str(runs), "h", root=tmp_path) == ["high"]


def test_the_script_for_a_shell(start) -> None:
    out, err = start("_", _ML_DASH_COMPLETE="source_bash").communicate()
    assert err == ""
    assert "complete -o default -F _ml_dash_completion ml-dash" in out
