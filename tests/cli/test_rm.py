"""``ml-dash rm``: what is deleted, and when nothing is."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.cli.conftest import ENTRY, SOURCE, Command


def left(cli: Command) -> set[str]:
    return {f"{run['project']}/{run['name']}" for run in cli.json("list")["runs"]}


def test_deletes_what_is_named_and_says_so(own_cli: Command) -> None:
    before = left(own_cli)
    text = own_cli.out("rm", "high", "other/low", "--yes")
    assert text.splitlines()[0].split() == ["run", "status", "started", "size", "path"]
    assert str(own_cli.root / "digits" / "high") in text
    assert text.endswith("Deleted 2 runs.\n")
    assert left(own_cli) == before - {"digits/high", "other/low"}
    assert not (own_cli.root / "digits" / "high").exists()


def test_dry_run_deletes_nothing(own_cli: Command) -> None:
    before = left(own_cli)
    assert "Nothing is deleted" in own_cli.out("rm", "high", "--dry-run")
    document = own_cli.json("rm", "high", "--dry-run")
    files = [path for path in (own_cli.root / "digits" / "high").rglob("*") if path.is_file()]
    assert document["deleted"] is False
    assert (document["runs"][0]["files"], document["runs"][0]["bytes"]) == (
        len(files),
        sum(p.stat().st_size for p in files),
    )
    assert left(own_cli) == before


def test_without_a_terminal_it_does_not_ask(own_cli: Command) -> None:
    before = left(own_cli)
    result = own_cli("rm", "high", code=2, stdin="y\n")
    assert "Give --yes" in result.stderr
    assert left(own_cli) == before


@pytest.mark.parametrize(
    ("answer", "code", "gone"),
    [
        ("y\n", 0, True),
        ("YES\n", 0, True),
        ("n\n", 1, False),
        ("\n", 1, False),
        ("\x03", 130, False),  # Ctrl-C
        ("\x04", 1, False),  # Ctrl-D
    ],
)
def test_asks_on_a_terminal(own_runs: Path, answer: str, code: int, gone: bool) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": SOURCE, "ML_DASH_DIR": str(own_runs)}
    process = subprocess.Popen(
        [*ENTRY, "rm", "high"],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    assert process.stderr
    said = b""
    while not said.endswith(b"[y/N] "):
        assert process.poll() is None
        said += process.stderr.read(1)
    assert said.startswith(b"Delete 1 run, ")
    os.write(ours, answer.encode())
    assert (process.communicate(timeout=30)[1], process.returncode) == (
        b"" if code != 1 else b"Nothing is deleted.\n",
        code,
    )
    os.close(ours)
    os.close(theirs)
    assert (own_runs / "digits" / "high").exists() is not gone


def test_a_run_that_is_being_written_is_spared(tmp_path: Path) -> None:
    cli = Command(tmp_path)
    experiment = Experiment("live", "p", local_path=tmp_path)
    experiment.run.start()
    experiment.metrics("m").append(value=1)
    try:
        assert "p/live is being written; nothing is deleted" in cli.error("rm", "live", "--yes", code=1)
        assert cli.json("rm", "live", "--dry-run")["runs"][0]["status"] == "RUNNING"
        assert left(cli) == {"p/live"}
    finally:
        experiment.run.complete()
    cli("rm", "live", "-y")
    assert left(cli) == set()


def test_one_unknown_run_and_none_is_deleted(own_cli: Command) -> None:
    before = left(own_cli)
    own_cli.error("rm", "high", "nope", "--yes", code=3)
    assert left(own_cli) == before


def test_links_out_of_the_run_are_not_followed(own_cli: Command, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("x" * 100_000)
    (own_cli.root / "digits" / "high" / "link").symlink_to(precious)
    assert own_cli.json("rm", "high", "--yes")["runs"][0]["bytes"] < 100_000
    assert (precious / "data").exists()
