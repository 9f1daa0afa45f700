"""Makes one virtual environment a contestant in bench/.venvs, from the lines of bench/peers.txt.

A contestant that pip cannot install here is not dropped: the reason goes to bench/.venvs/<name>.failed, and the table
shows it. An environment is kept while its line and the interpreter stay the same; this project's own is brought up to date
each time.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
PROJECT = BENCH.parent
VENVS = BENCH / ".venvs"


@dataclass(frozen=True)
class Contestant:
    """One line of peers.txt."""

    name: str
    requirements: tuple[str, ...]

    @property
    def python(self) -> Path:
        return VENVS / self.name / "bin" / "python"

    @property
    def failure_file(self) -> Path:
        return VENVS / f"{self.name}.failed"

    @property
    def stamp_file(self) -> Path:
        return VENVS / self.name / "bench-stamp"

    @property
    def stamp(self) -> str:
        """What the environment was made from; another stamp means: make it anew."""
        return f"{sys.version.split()[0]} {' '.join(self.requirements)}"

    @property
    def is_this_project(self) -> bool:
        return self.requirements[0].startswith(".")

    def why_not(self) -> str | None:
        """The reason that this contestant cannot run, or None if it can."""
        if self.failure_file.exists():
            return self.failure_file.read_text().strip()
        return None if self.stamp_file.exists() else "not set up: run `python bench/setup.py`"


def contestants() -> list[Contestant]:
    """Every contestant of peers.txt, in its order."""
    lines = [line.split("#")[0].split() for line in (BENCH / "peers.txt").read_text().splitlines()]
    return [Contestant(words[0], tuple(words[1:])) for words in lines if words]


def choose(only: str | None) -> list[Contestant]:
    """All contestants, or those that a comma-separated list names."""
    everyone = contestants()
    if not only:
        return everyone
    wanted, names = only.split(","), [contestant.name for contestant in everyone]
    unknown = set(wanted) - set(names)
    if unknown:
        sys.exit(f"no contestant is called {', '.join(sorted(unknown))}; peers.txt has {', '.join(names)}")
    return [contestant for contestant in everyone if contestant.name in wanted]


def set_up(contestant: Contestant) -> str | None:
    """Make or refresh the environment; returns the reason if it cannot be had."""
    up_to_date = contestant.stamp_file.exists() and contestant.stamp_file.read_text() == contestant.stamp
    if up_to_date and not contestant.is_this_project:
        return None
    VENVS.mkdir(exist_ok=True)
    contestant.failure_file.unlink(missing_ok=True)
    if not up_to_date:
        shutil.rmtree(VENVS / contestant.name, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", VENVS / contestant.name], check=True)
    command = [str(contestant.python), "-m", "pip", "install", "--quiet", *contestant.requirements]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if result.returncode:
        contestant.stamp_file.unlink(missing_ok=True)
        contestant.failure_file.write_text(reason_in(result.stderr) + "\n")
        return contestant.why_not()
    contestant.stamp_file.write_text(contestant.stamp)
    return None


def reason_in(stderr: str) -> str:
    """The line of pip's complaint that says why: an exception if a build raised one."""
    lines = [public(line.strip()) for line in stderr.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"\w*Error: ", line)]
    errors = raised or [line for line in lines if line.startswith("ERROR: ")] or lines or ["pip said nothing"]
    return f"does not install on Python {sys.version.split()[0]}: {errors[-1]}"[:300]


def public(text: str) -> str:
    """Without addresses, and with paths as seen from the project: fit for a table that is published."""
    return re.sub(r"\b(https?|file)://\S+", "…", text.replace(str(PROJECT), "."))


def set_up_all(chosen: list[Contestant]) -> None:
    for contestant in chosen:
        print(f"{contestant.name:14}", set_up(contestant) or "ready", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of contestants, separated by commas")
    set_up_all(choose(parser.parse_args().only))


if __name__ == "__main__":
    main()
