"""How a command ends: exit codes, errors in a line, pipes that close, colours that are not wanted, a start that is quick."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.cli.conftest import ENTRY, SOURCE, Command
from tests.cli.test_documented import COMMANDS


def on_a_terminal(runs: Path, *args: str, **env: str) -> str:
    """What the command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with_runs = {
        **os.environ,
        "PYTHONPATH": SOURCE,
        "ML_DASH_DIR": str(runs),
        "TERM": "xterm",
        "COLUMNS": "80",
        "LINES": "30",
    }
    with_runs.pop("NO_COLOR", None)
    process = subprocess.Popen([*ENTRY, *args], stdin=theirs, stdout=theirs, stderr=theirs, env={**with_runs, **env})
    os.close(theirs)
    out = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # nobody has the other side any more
            break
        if not part:
            break
        out += part
    process.wait(30)
    os.close(ours)
    return out.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["list"], 0),
        (["--version"], 0),
        (["--help"], 0),
        (["list", "--nonsense"], 2),
        (["nonsense"], 2),
        (["list", "--limit", "many"], 2),
        (["list", "--filter", "1 +"], 2),
        (["show", "low"], 2),
        (["show", "nope"], 3),
        (["plot", "high", "nope"], 3),
        (["export", "high", "-o", "/"], 1),
    ],
)
def test_exit_codes_and_no_traceback(start, args: list[str], code: int) -> None:
    process = start(*args)
    out, err = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert bool(err) == bool(code)


def test_debug_shows_the_traceback(start) -> None:
    for name in ("MLDASH_DEBUG", "ML_DASH_DEBUG"):
        _, err = start("show", "nope", **{name: "1"}).communicate()
        assert "Traceback" in err
        assert "ml_dash.errors.NotFound: there is no run 'nope'" in err
    _, err = start("show", "nope", MLDASH_DEBUG="0").communicate()
    assert "Traceback" not in err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "args", [["list", "--json"], ["export", "many"], ["export", "many", "-t", "jsonl"], ["tail", "many", "-n", "99999"]]
)
def test_a_pipe_that_closes_ends_it_quietly(
    start, tmp_path_factory: pytest.TempPathFactory, args: list[str], unbuffered: str
) -> None:
    root = tmp_path_factory.mktemp("many")
    with Experiment("many", "p", local_path=root).run as experiment:
        experiment.params.set(text="x" * 200_000)
        experiment.metrics("m").append_batch([{"value": i} for i in range(30_000)])
    process = start(*args, root=root, PYTHONUNBUFFERED=unbuffered)
    process.stdout.read(1)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(30)) == ("", 141)


def test_a_full_disk_is_an_error_in_a_line(start, runs: Path) -> None:
    for unbuffered in ("", "1"):
        with open("/dev/full", "w") as full:
            env = {**os.environ, "PYTHONPATH": SOURCE, "ML_DASH_DIR": str(runs), "PYTHONUNBUFFERED": unbuffered}
            done = subprocess.run([*ENTRY, "list"], stdout=full, stderr=subprocess.PIPE, env=env, text=True)
        assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_an_interrupt_while_it_starts_is_quiet(start) -> None:
    for delay in (0.02, 0.05, 0.1, 0.2):
        process = start("list")
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        if process.returncode == 130:
            assert err == ""


def test_colours_on_a_terminal_only_and_never_against_a_wish(runs: Path, cli: Command) -> None:
    assert "\x1b[" in on_a_terminal(runs, "list")
    assert "\x1b[" in on_a_terminal(runs, "show", "high")
    assert "\x1b[" not in on_a_terminal(runs, "list", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal(runs, "plot", "high", "train/loss", "val", TERM="dumb")
    assert "\x1b[" not in cli.out("list")
    assert json.loads(on_a_terminal(runs, "list", "--json"))["total"] == 5


def test_a_terminal_shows_twenty_runs(tmp_path: Path) -> None:
    for i in range(22):
        with Experiment(f"run-{i}", "p", local_path=tmp_path).run:
            pass
    text = on_a_terminal(tmp_path, "list", NO_COLOR="1")
    assert sum(line.startswith("run-") for line in text.splitlines()) == 20
    assert "20 of 22 runs, newest first. --limit 0 shows all." in text


def test_help_loads_no_heavy_library(start) -> None:
    script = (
        "import sys; sys.argv = ['ml-dash', *sys.argv[1:]]\n"
        "from ml_dash.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('numpy', 'rich.progress', 'httpx', 'pyarrow', 'asyncio') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE}
    for args in (["--help"], ["plot", "--help"], ["--version"]):
        out = subprocess.check_output([sys.executable, "-c", script, *args], env=env, text=True)
        assert out.splitlines()[-1] == "[]"


def test_help_of_every_command_fits_eighty_columns(cli: Command) -> None:
    commands = ["", *COMMANDS]
    assert {"list", "server", "token create"} < set(commands)
    for command in commands:
        text = cli.out(*command.split(), "--help")
        assert max(map(len, text.splitlines())) <= 80
        assert not re.search(r"\w\.\.\.", text), "a text is cut"
