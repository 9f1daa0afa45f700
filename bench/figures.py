"""Our own figures, each beside its limit: measured in fresh processes, medians written to bench/results/figures.md.

The limits are promises of this project, for an idle machine of two cores; where a limit is a ratio, both sides are
measured in alternating rounds of one process. bench/measure.py does the measuring, in the environment of `ours`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, setup

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
FLAT = 8 * 2.0**20
"""Bytes that count as flat: what an allocator may keep, and far less than a byte a point."""

Answers = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One line of the table. Times are seconds; `unit` is what they are shown in, "×" marks a ratio, "%" a share. `at_least`
    makes the limit a lower one."""

    title: str
    limit: float | None
    measured: Sequence[float]
    unit: str = "s"
    beside: str = ""
    stored: bool = True
    at_least: bool = False

    @property
    def middle(self) -> float:
        return statistics.median(self.measured)

    def within(self) -> str:
        if not self.stored:
            return "**no: what was read back is wrong**"
        if self.limit is None:
            return ""
        kept = self.middle >= self.limit if self.at_least else self.middle <= self.limit
        return "yes" if kept else "**no**"

    def line(self) -> str:
        middle, low, high = (show(value, self.unit) for value in (self.middle, min(self.measured), max(self.measured)))
        limit = show(self.limit, self.unit) if self.limit is not None else "—"
        return f"| {self.title} | {limit} | {middle} | {low} – {high} | {self.beside} | {self.within()} |"


def show(value: float, unit: str) -> str:
    """A number with its unit, in three figures."""
    scaled = value * {"ms": 1e3, "µs": 1e6, "MiB": 2.0**-20, "%": 100.0}.get(unit, 1.0)
    number = f"{scaled:,.0f}" if scaled >= 1_000 else f"{scaled:#.3g}".rstrip(".")
    return number + ("" if unit in ("×", "%", "/s") else " ") + unit


class Measurer:
    """Starts measure.py in folders below one root, and gathers what it answers."""

    def __init__(self, root: Path, shrink: int, repeats: int, echo: Callable[[Figure], None]) -> None:
        self.python = setup.VENVS / "ours" / "bin" / "python"
        self.root = root
        self.shrink = shrink
        self.repeats = repeats
        self._echo = echo
        self._folders = 0
        self.figures: list[Figure] = []

    def keep(self, figure: Figure) -> None:
        """Keep a figure and show it at once."""
        self.figures.append(figure)
        self._echo(figure)

    def add(
        self, title: str, limit: float | None, answers: Answers, *, unit: str = "s", key: str = "ours", beside: str = ""
    ) -> None:
        """Keep the figure that the numbers under `key` make."""
        self.keep(Figure(title, limit, column(answers, key), unit, beside, stored(answers)))

    def add_ratio(self, title: str, limit: float, answers: Answers, *, suffix: str = "", beside: str) -> None:
        """Keep ours over the floor, round by round, since both sides of a round saw the same machine."""
        ours, floor = column(answers, f"ours{suffix}"), column(answers, f"floor{suffix}")
        found = [one / other for one, other in zip(ours, floor, strict=True)]
        middle, below = show(statistics.median(ours), "µs"), show(statistics.median(floor), "µs")
        self.keep(Figure(title, limit, found, "×", f"{middle}; {beside} {below}", stored(answers)))

    def folder(self) -> Path:
        self._folders += 1
        made = self.root / str(self._folders)
        made.mkdir()
        return made

    def size(self, full: int) -> int:
        return max(full // self.shrink, 100)

    def ask(self, figure: str, folder: Path, count: int) -> dict[str, Any]:
        command = [str(self.python), str(BENCH / "measure.py"), figure, str(folder), str(count)]
        environment = {"PATH": os.defpath, "HOME": str(self.root), "LANG": "C.UTF-8"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=self.root)
        if done.returncode:
            sys.exit(f"measuring {figure} failed; the last lines of its process:\n{done.stderr[-1500:]}")
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def anew(self, figure: str, count: int, *, keep: bool = False) -> tuple[Answers, Path]:
        """Repeats in a folder each. `keep` leaves the last one for other figures to read."""
        answers = []
        for number in range(self.repeats):
            folder = self.folder()
            answers.append(self.ask(figure, folder, count))
            if not keep or number < self.repeats - 1:
                shutil.rmtree(folder)
        return answers, folder

    def again(self, figure: str, folder: Path, count: int, times: int | None = None) -> Answers:
        """Repeats that read one folder, a fresh process each."""
        return [self.ask(figure, folder, count) for _ in range(times or self.repeats)]


def column(answers: Answers, key: str) -> list[float]:
    """The numbers under one key, lists laid end to end."""
    flat: list[float] = []
    for answer in answers:
        flat += answer[key] if isinstance(answer[key], list) else [answer[key]]
    return flat


def stored(answers: Answers) -> bool:
    return all(answer["stored"] for answer in answers)


def floor_of(answers: Answers) -> str:
    return show(statistics.median(column(answers, "floor")), "s")


def appends(measure: Measurer) -> None:
    answers, _ = measure.anew("append", measure.size(20_000))
    title = "one append, 3 fields, × floor"
    measure.add_ratio(f"{title} (median of calls)", 3.0, answers, suffix="_call", beside="floor")
    measure.add_ratio(f"{title} (mean over a loop)", 3.0, answers, beside="floor")
    answers, _ = measure.anew("wide", measure.size(300))
    measure.add_ratio("one append, 1,000 fields, × msgspec", 2.0, answers, beside="encode + format")


def one_million(measure: Measurer) -> None:
    """Written in batches; then read whole, by column and in samples."""
    count = max(measure.size(1_000_000), 200_000)  # fewer are sampled from the rows themselves
    answers, folder = measure.anew("batches", count, keep=True)
    beside = f"orjson and one write a batch: {floor_of(answers)}"
    measure.add(f"append_batch, {count:,} points, batches of 1,000", 1.5, answers, beside=beside)
    answers = measure.again("read_all", folder, count)
    measure.add(f"all of {count:,} by read", 2.0, answers, beside=f"msgspec, line by line: {floor_of(answers)}")
    answers = measure.again("column", folder, count)
    beside = f"msgspec, line by line, to NumPy: {floor_of(answers)}"
    measure.add(f"one field of {count:,} as NumPy", 0.6, answers, beside=beside)
    answers = measure.again("sample", folder, count)
    title = f"sample 1,000 of {count:,}"
    measure.add(f"{title}: first time", 1.2, answers, key="first", beside="no cache on disk")
    measure.add(f"{title}: again", 0.005, answers, key="again", unit="ms")
    measure.add(f"{title}: after 1,000 more points", 0.010, answers, key="more", unit="ms")
    answers = measure.again("sample_elsewhere", folder, count)
    measure.add(f"{title}: by a fresh process", None, answers, unit="ms", beside="cache on disk; imports included")
    shutil.rmtree(folder)


def ten_million(measure: Measurer) -> None:
    """Appended while watching the memory, once; then read at random places by fresh processes."""
    count, folder = measure.size(10_000_000), measure.folder()
    answer = measure.ask("long_run", folder, count)
    first, last = answer["memory"][0], answer["memory"][-1]
    beside = f"after the first tenth {show(first, 'MiB')}, after the last {show(last, 'MiB')}; one run"
    title = f"memory grown while appending {count:,} points"
    measure.keep(Figure(title, FLAT, [last - first], "MiB", beside, answer["stored"]))
    answers = measure.again("far", folder, count, max(15, measure.repeats))
    title = f"10 points anywhere in {count:,}, first call of a fresh process"
    measure.add(title, 0.002, answers, unit="ms", beside=f"a file of {answer['bytes'] / 1e6:,.0f} MB")
    shutil.rmtree(folder)


def many_metrics(measure: Measurer) -> None:
    count = measure.size(1_000)
    answers, _ = measure.anew("many", count)
    steps = 1_000 if count >= 1_000 else 100
    measure.add(f"{count:,} metrics, a point each in turn, {steps:,} steps", 15.0, answers)
    count = max(measure.size(5_000), 1_500)
    answers, _ = measure.anew("crowded", count)
    works = "works" if stored(answers) else "does not work"
    measure.add(f"{count:,} metrics under ulimit -n 1024, three points each", None, answers, beside=works)


def lists(measure: Measurer) -> None:
    count, folder = measure.size(1_000), measure.folder()
    made = measure.ask("make_runs", folder, count)
    what = f"list {count:,} runs × 20 series, parameters, last values"
    answers = measure.again("list_anew", folder, count)
    measure.add(f"{what}: first time", 2.0, answers, beside=f"no cache on disk; made in {show(made['ours'], 's')}")
    answers = measure.again("list_runs", folder, count)
    measure.add(f"{what}: again, by a fresh process", 0.3, answers)
    shutil.rmtree(folder)


def imports(measure: Measurer) -> None:
    """Wall time of whole interpreters, in turn; the first of each only warms the page cache."""

    def wall(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([measure.python, "-c", code], check=True, cwd=measure.root)
        return time.perf_counter() - start

    codes = ("pass", "import ml_dash", "from ml_dash import Experiment")
    rounds = [[wall(code) for code in codes] for _ in range(16)][1:]
    bare = statistics.median(times[0] for times in rounds)
    beside = f"bare Python {show(bare, 'ms')}"
    for at, limit in ((1, 0.060), (2, None)):
        over = [times[at] - bare for times in rounds]
        measure.keep(Figure(f"{codes[at]}, over bare Python", limit, over, "ms", beside))


GROUPS: dict[str, Callable[[Measurer], None]] = {
    "imports": imports,
    "appends": appends,
    "one_million": one_million,
    "ten_million": ten_million,
    "many_metrics": many_metrics,
    "lists": lists,
}


def report(figures: list[Figure], repeats: int, shrink: int, load: str) -> str:
    lines = ["# Our figures and their limits", ""]
    if shrink > 1:
        lines += ["**A quick run with small sizes, for trying out: no numbers to keep.**", ""]
    lines += ["| figure | at most | median | lowest – highest | beside it | within? |", "|---|---:|---:|---|---|---|"]
    lines += [figure.line() for figure in figures]
    lines += [
        "",
        f"At least {repeats} repeats in fresh processes, the page cache warm. Limits in seconds are for an idle machine of",
        "two cores; ratios were taken round by round in one process. How: bench/README.md.",
        "",
        f"{machine.facts()} {load}",
        f"Finished {dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and two repeats: tries the code out")
    parser.add_argument("--only", help=f"groups, separated by commas: {', '.join(GROUPS)}")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each figure (5)")
    options = parser.parse_args()
    groups = options.only.split(",") if options.only else list(GROUPS)
    unknown = set(groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group is called {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    failure = setup.set_up(setup.choose("ours")[0])
    if failure:
        sys.exit(f"this project cannot be measured: {failure}")
    repeats, shrink = (2, 20) if options.quick else (options.repeats, 1)
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        measure = Measurer(Path(root), shrink, repeats, lambda figure: print(figure.line(), flush=True))
        for group in groups:
            GROUPS[group](measure)
    text = report(measure.figures, repeats, shrink, load)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ("figures-quick.md" if options.quick or options.only else "figures.md")).write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
