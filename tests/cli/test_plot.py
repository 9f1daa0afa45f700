"""``ml-dash plot``: which lines, and what is said beside them."""

from __future__ import annotations

import pytest

from ml_dash import Experiment
from ml_dash.cli.canvas import ACROSS
from tests.cli.conftest import Command


def legend(text: str) -> list[list[str]]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["last", "min"])
    return [line.split() for line in lines[start + 1 :] if line[:1] in "━*+ox"]


def test_a_series_with_its_axes_and_extremes(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss")
    assert legend(text) == [["━━", "train/loss", "0.006", "0.006", "499", "3", "0", "500"]]
    assert text.splitlines()[0].startswith("3 ┤")
    assert "100" in text
    assert "index" in text


def test_it_is_plain_text_where_there_is_no_terminal(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_several_runs_and_series_have_marks_without_colours(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss", "val", "--run", "mid", "-F", "loss", "-F", "value")
    assert [row[:3] for row in legend(text)] == [
        ["*", "high", "train/loss"], ["+", "high", "val.loss"], ["o", "mid", "train/loss"], ["x", "mid", "val.loss"],
    ]  # fmt: skip
    assert "has a number as 'nope'" in cli.error("plot", "high", "val", "-F", "nope", code=3)


def test_runs_are_named_where_there_are_several(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss", "-r", "mid", "-r", "digits/low")
    assert [row[:2] for row in legend(text)] == [["*", "high"], ["+", "mid"], ["o", "low"]]


def test_all_numeric_fields_but_step_and_epoch(cli: Command) -> None:
    assert [row[1] for row in legend(cli.out("plot", "high", "val"))] == ["val.loss", "val.acc"]
    assert [row[1] for row in legend(cli.out("plot", "high", "val", "--field", "epoch"))] == ["val.epoch"]


def test_patterns(cli: Command) -> None:
    assert [row[1] for row in legend(cli.out("plot", "high", "*l*"))] == ["train/loss", "val.loss", "val.acc"]


def test_a_part_of_the_series(cli: Command) -> None:
    assert legend(cli.out("plot", "high", "train/loss", "--start", 100, "--stop", 200))[0][1:] == [
        "train/loss", "0.015", "0.015", "199", "0.029703", "100", "100",
    ]  # fmt: skip


def test_another_field_as_x(cli: Command) -> None:
    text = cli.out("plot", "high", "val", "-F", "loss", "--x", "epoch")
    assert text.split("last")[0].rstrip().endswith("epoch")
    assert "Did you mean 'epoch'" in cli.error("plot", "high", "val", "--x", "epok", code=3)


def test_what_cannot_be_drawn_is_said(cli: Command) -> None:
    text = cli.out("plot", "other/low", "odd")
    assert "odd: 1 NaN, 1 Infinity, 1 -Infinity not drawn." in text
    assert legend(text)[0][1:] == ["odd", "-5", "-5", "8", "1.18059e+21", "6", "9"]
    text = cli.out("plot", "other/low", "odd", "--log-y")
    assert "Values of 0 or less cannot stand on a logarithmic axis." in text


def test_nothing_to_draw(tmp_path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        experiment.metrics("nan").append_batch([{"value": float("nan")}] * 3)
        experiment.metrics("text").append(value="high")
        experiment.metrics("minus").append(value=-1)
    cli = Command(tmp_path)
    assert "Nothing to draw: nan has no finite number here." in cli.out("plot", "e", "nan")
    assert "Nothing to draw: minus has no positive finite number here." in cli.out("plot", "e", "minus", "--log-y")
    assert "no numeric field to draw; its fields: value" in cli.error("plot", "e", "text", code=3)
    assert "Nothing to draw" in cli.out("plot", "e", "minus", "--start", 5)


def test_one_point_and_a_constant(tmp_path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        experiment.metrics("one").append(value=3.5)
        experiment.metrics("same").append_batch([{"value": 2}] * 1000)
    for name, last in (("one", "3.5"), ("same", "2")):
        assert legend(Command(tmp_path).out("plot", "e", name))[0][2] == last


def test_a_spike_in_a_million_points_reaches_the_top(tmp_path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        rows = [{"value": 0.0}] * 50_000
        experiment.metrics("m").append_batch([*rows, {"value": 1.0}, *rows])
    top = Command(tmp_path).out("plot", "e", "m").splitlines()[0]
    assert sum(ord(char) > 0x2800 for char in top) == 1


def test_the_running_mean(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss", "--smooth", 50)
    assert "The line is the running mean of about 50 points." in text


def test_size(cli: Command) -> None:
    text = cli.out("plot", "high", "train/loss", "--width", 40, "--height", 8)
    chart = text.split("last")[0].splitlines()[:8]
    assert chart[-1].strip() == "index"
    assert max(map(len, chart)) == 40


def test_json_has_the_buckets(cli: Command) -> None:
    document = cli.json("plot", "high", "train/loss", "--width", 40, "-r", "mid")
    assert document["x"] == "index"
    assert [line["run"] for line in document["lines"]] == ["digits/high", "digits/mid"]
    sample = document["lines"][0]["sample"]
    assert 10 < len(sample["min"]) <= 40 * ACROSS
    assert (max(sample["max"]), sum(sample["count"])) == (3.0, 500)


def test_unknown_series_get_the_closest_names(cli: Command) -> None:
    text = cli.error("plot", "high", "train/los", code=3)
    assert "has no series 'train/los'. Did you mean 'train/loss'? It has train/loss, val." in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_without_unicode_it_is_drawn_in_ascii(start, encoding: str) -> None:
    out, err = start("plot", "high", "train/loss", PYTHONIOENCODING=encoding).communicate()
    assert err == ""
    assert out.isascii()
    assert "?" not in out
    assert "*" in out
    out, _ = start("show", "high", PYTHONIOENCODING=encoding).communicate()
    assert "?" not in out
