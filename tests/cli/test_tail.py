"""``ml-dash tail``: the last points, and those that come; how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.cli.conftest import SOURCE, Command


def test_the_last_points_of_a_series(cli: Command) -> None:
    lines = cli.out("tail", "high", "train/loss", "-n", 3).splitlines()
    assert [line.split()[0] for line in lines] == ["497", "498", "499"]
    assert lines[-1].split()[2:] == ["value=0.006", "step=499"]
    assert len(cli.out("tail", "high", "train/loss").splitlines()) == 10
    assert cli.out("tail", "high", "train/loss", "-n", 0) == ""
    assert len(cli.out("tail", "high", "train/loss", "-n", 9999).splitlines()) == 500


def test_all_series_together_by_time(tmp_path: Path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        for name in ("b", "a", "c"):
            experiment.metrics(name).append(value=name)
            time.sleep(0.12)
    lines = Command(tmp_path).out("tail", "e", "-n", 2).splitlines()
    assert [line.split()[0] for line in lines] == ["a", "c"]


def test_log_lines(cli: Command) -> None:
    lines = cli.out("tail", "high", "--logs", "-n", 2).splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["info", "step", "5", '{"step":', "5}"],
        ["warn", "step", "6", '{"step":', "6}"],
    ]
    assert "--logs takes no series" in cli.error("tail", "high", "val", "--logs", code=2)


def test_json_is_a_line_a_point(cli: Command) -> None:
    lines = [json.loads(line) for line in cli.out("tail", "high", "val", "-n", 2, "--json").splitlines()]
    assert lines[-1]["series"] == "val"
    assert (lines[-1]["index"], lines[-1]["data"]) == (4, {"loss": 0.8, "acc": 0.4, "epoch": 4})
    log = json.loads(cli.out("tail", "high", "-l", "-n", 1, "--json"))
    assert (log["sequenceNumber"], log["level"], log["message"]) == (6, "warn", "step 6")


def test_a_log_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        experiment.log("\x1b]0;title\x07 two\nlines")
    assert "\\x1b]0;title\\x07 two\nlines" in Command(tmp_path).out("tail", "e", "--logs")


WRITER = """
import sys, time
from ml_dash import Experiment
with Experiment("live", "p", local_path=sys.argv[1]).run as experiment:
    experiment.metrics("loss").append(value=0)
    print("begun", flush=True)
    sys.stdin.readline()
    for i in range(1, 30):
        experiment.metrics("loss").append(value=i)
        if i == 5:
            experiment.metrics("later").append(value=1)
            experiment.log("five")
        time.sleep(0.02)
    sys.stdin.readline()
    if len(sys.argv) > 2:
        raise SystemError("a bug")
"""


@pytest.fixture
def writer(tmp_path: Path):
    """A run "live" that a process of its own has open; a line on its stdin lets it go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": SOURCE},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def values(lines: list[str]) -> list[str]:
    return [line.split("value=")[1].strip() for line in lines]


def test_follow_prints_what_comes_and_ends_with_the_run(start, writer, tmp_path: Path) -> None:
    tail = start("tail", "-f", "live", "loss", root=tmp_path)
    assert values([tail.stdout.readline()]) == ["0"]
    go_on(writer)
    assert values([tail.stdout.readline() for _ in range(29)]) == [str(i) for i in range(1, 30)]
    assert tail.poll() is None
    go_on(writer)
    out, err = tail.communicate(timeout=20)
    assert (out, err, tail.returncode) == ("", "The run is COMPLETED.\n", 0)


def test_follow_takes_in_series_that_begin_later(start, writer, tmp_path: Path) -> None:
    tail = start("tail", "-f", "live", root=tmp_path)
    tail.stdout.readline()
    go_on(writer)
    go_on(writer)
    out, _ = tail.communicate(timeout=20)
    assert sorted(line.split()[0] for line in out.splitlines()) == ["later"] + ["loss"] * 29


def test_follow_ends_when_the_writer_is_killed(start, writer, tmp_path: Path) -> None:
    tail = start("tail", "-f", "live", "loss", root=tmp_path)
    tail.stdout.readline()
    writer.kill()
    writer.wait()
    _, err = tail.communicate(timeout=20)
    assert (err, tail.returncode) == ("The run is LOST.\n", 0)


def test_ctrl_c_ends_it_quietly(start, writer, tmp_path: Path) -> None:
    tail = start("tail", "-f", "live", "loss", root=tmp_path)
    tail.stdout.readline()
    time.sleep(0.3)
    tail.send_signal(signal.SIGINT)
    out, err = tail.communicate(timeout=20)
    assert (out, err, tail.returncode) == ("", "", 130)


def test_keep_waits_for_a_run_that_is_resumed(start, tmp_path: Path) -> None:
    def train(value: int) -> None:
        with Experiment("e", "p", local_path=tmp_path).run as experiment:
            experiment.metrics("loss").append(value=value)

    train(1)
    tail = start("tail", "-f", "--keep", "e", "loss", root=tmp_path)
    assert values([tail.stdout.readline()]) == ["1"]
    train(2)
    assert values([tail.stdout.readline()]) == ["2"]
    assert tail.poll() is None


def test_follow_of_a_deleted_run_ends_as_not_found(start, writer, tmp_path: Path) -> None:
    tail = start("tail", "-f", "live", "loss", root=tmp_path)
    tail.stdout.readline()
    assert Command(tmp_path)("rm", "live", "--yes", "--force").exit_code == 0
    _, err = tail.communicate(timeout=20)
    assert tail.returncode == 3
    assert err.startswith("error: there is no run with the id")
