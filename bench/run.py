"""Side by side: the floor, this project and its peers do the same work in turn; medians go to bench/results/peers.md and .svg.

Each trial is a process of its own (bench/worker.py, run by the contestant's own Python) in an empty folder with an empty
home and no way to the network. Contestants take turns, A B C … A B C …, so that a slow minute of the machine is shared by
all. What was stored is counted by another process, with the contestant's own reader.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import chart, machine, setup

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
KILL_AFTER = (1.0, 2.0, 3.0, 4.5, 6.5)
"""Seconds of appending before the SIGKILL, a trial each: libraries that write every few seconds are met at every phase."""
PACE = 100
"""Points a second of the second kill: a training loop rather than a storm."""
SETTLE = 10.0
"""Seconds that helper processes of a killed contestant have to write what they were handed."""
TIMEOUT = 600.0
OFFLINE = {
    "AIM_TELEMETRY": "0",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NEPTUNE_MODE": "offline",
    "SWANLAB_MODE": "offline",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
    # Whatever tries the network all the same is refused at once: nothing listens there.
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


class TrialFailed(Exception):
    """A contestant's process ended without an answer; the text is its last words."""


@dataclass
class Tally:
    """What the trials of one contestant gave."""

    contestant: setup.Contestant
    facts: dict[str, Any] = field(default_factory=dict)
    single: list[float] = field(default_factory=list)
    """Seconds a point, until closed."""
    returned: list[float] = field(default_factory=list)
    """Seconds a point, until the last append had returned."""
    batch: list[float] = field(default_factory=list)
    """Points a second, until closed."""
    storm: list[float] = field(default_factory=list)
    """Share of the returned points that a SIGKILL at full speed cost."""
    paced: list[float] = field(default_factory=list)
    """The same at PACE points a second."""
    unreadable: int = 0
    """Killed trials after which the contestant's own reader gave up; all is counted as lost."""
    missing: list[str] = field(default_factory=list)
    """Closed runs in which the contestant's own reader did not find every point once."""
    checked: int = 0
    """Points that the reader found after runs that were closed."""
    failure: str | None = None


@dataclass(frozen=True)
class Trial:
    """An empty folder, an environment without network, and a mark by which processes left behind are found."""

    contestant: setup.Contestant
    folder: Path
    mark: str
    script: str = "worker.py"
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of this trial's own."""

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def environment(self) -> dict[str, str]:
        home = str(self.folder / "home")
        return {
            **OFFLINE,
            "BENCH_TRIAL": self.mark,
            "HOME": home,
            "LANG": "C.UTF-8",
            "PATH": f"{self.contestant.python.parent}:/usr/bin:/bin",
            "TMPDIR": str(self.folder / "tmp"),
            "TRACKIO_DIR": str(self.folder / "data" / "trackio"),
            "XDG_CACHE_HOME": f"{home}/.cache",
            "XDG_CONFIG_HOME": f"{home}/.config",
            **self.more,
        }

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        command = [str(self.contestant.python), str(BENCH / self.script), *map(str, arguments)]
        with (self.folder / "errors").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def ask(self, *arguments: object) -> dict[str, Any]:
        """Run the worker to its end and take its answer."""
        process = self.start(*arguments)
        try:
            answer, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise TrialFailed(f"{arguments[0]} took more than {TIMEOUT:.0f} s") from None
        if process.returncode or not answer.strip():
            raise TrialFailed(f"{arguments[0]} ended with status {process.returncode}: {self.last_words()}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def last_words(self) -> str:
        lines = (self.folder / "errors").read_text(errors="replace").strip().splitlines()
        return setup.public(lines[-1].replace(str(self.folder), "…"))[:200] if lines else "it said nothing"

    def left_behind(self) -> list[int]:
        """Processes that this trial's processes started and that still live: they carry its mark."""
        mark, found = f"BENCH_TRIAL={self.mark}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # gone, or another user's
        return found

    def settle(self) -> None:
        """Let helpers finish what they were handed; then end those that stay."""
        deadline = time.monotonic() + SETTLE
        while self.left_behind() and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in self.left_behind():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def trial(
    contestant: setup.Contestant,
    script: str = "worker.py",
    place: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[Trial]:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=place))
    for name in ("data", "home", "tmp"):
        (folder / name).mkdir()
    here = Trial(contestant, folder, uuid.uuid4().hex, script, more or {})
    try:
        yield here
    finally:
        here.settle()
        shutil.rmtree(folder, ignore_errors=True)


def points_of(full: int, shrink: int) -> int:
    return max(1_000 if full > 10_000 else 100, full // shrink)


def run_closed(tally: Tally, mode: str, shrink: int) -> None:
    """`single` or `batch`, closed properly, then counted by the contestant's reader."""
    count = points_of(tally.facts[mode], shrink)
    name = tally.contestant.name
    with trial(tally.contestant) as here:
        times = here.ask(mode, name, here.data, count)
        counted = here.ask("check", name, here.data, count)
    if mode == "single":
        tally.single.append(times["closed"] / count)
        tally.returned.append(times["returned"] / count)
    else:
        tally.batch.append(count / times["closed"])
    tally.checked += counted["found"]
    if counted["found"] != count or counted["wrong"]:
        tally.missing.append(f"{mode}: {counted['found']:,} of {count:,}, {counted['wrong']:,} wrong")


def run_killed(tally: Tally, seconds: float, pace: int) -> None:
    """Append until a SIGKILL, of the appending process alone: what it had handed to helpers, they may still write."""
    name = tally.contestant.name
    with trial(tally.contestant) as here:
        process = here.start("endless", name, here.data, pace)
        file = Path(here.data, "returned")
        deadline = time.monotonic() + TIMEOUT
        while not returned_points(file):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise TrialFailed(f"nothing was appended: {here.last_words()}")
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        here.settle()
        count = returned_points(file)
        try:
            found = here.ask("check", name, here.data, count)["found"]
        except TrialFailed as failed:
            print(f"{name} after kill -9: {failed}", flush=True)
            tally.unreadable += 1
            found = 0
    (tally.paced if pace else tally.storm).append(1 - found / count)


def returned_points(file: Path) -> int:
    return int.from_bytes(file.read_bytes()[:8], "little") if file.exists() else 0


def prepare(chosen: list[setup.Contestant]) -> list[Tally]:
    """Environments, and the facts of each contestant that has one."""
    tallies = []
    for contestant in chosen:
        tally = Tally(contestant, failure=setup.set_up(contestant))
        tallies.append(tally)
        if tally.failure:
            print(f"{contestant.name}: {tally.failure}", flush=True)
            continue
        try:
            with trial(contestant) as here:
                tally.facts = here.ask("facts", contestant.name)
        except TrialFailed as failed:
            tally.failure = f"does not run: {failed}"
            print(f"{contestant.name}: {tally.failure}", flush=True)
    return tallies


def one_round(tally: Tally, number: int, shrink: int) -> None:
    if tally.failure:
        return
    seconds = KILL_AFTER[number % len(KILL_AFTER)] if shrink == 1 else 1.0
    try:
        run_closed(tally, "single", shrink)
        if tally.facts["batch"]:
            run_closed(tally, "batch", shrink)
        run_killed(tally, seconds, pace=0)
        run_killed(tally, seconds, pace=PACE)
    except TrialFailed as failed:
        tally.failure = str(failed)
    print(f"round {number + 1}  {tally.contestant.name:14} {summary(tally)}", flush=True)


def summary(tally: Tally) -> str:
    if tally.failure:
        return tally.failure
    batch = f"  batch {tally.batch[-1]:>11,.0f}/s" if tally.batch else ""
    after_kill = f"  lost {share(tally.storm[-1])}, paced {share(tally.paced[-1])}"
    return f"{tally.single[-1] * 1e6:>9.1f} µs{batch}{after_kill}{'  MISSING' if tally.missing else ''}"


def each_of(tally: Tally) -> float:
    """The median microseconds a point, until closed."""
    return statistics.median(tally.single) * 1e6


def ranked(tallies: list[Tally]) -> list[Tally]:
    """Those that took part to the end, the fastest first."""
    return sorted((tally for tally in tallies if tally.single and not tally.failure), key=each_of)


def name_of(tally: Tally) -> str:
    title = f"{tally.facts['distribution']} {tally.facts['version']}"
    return {"floor": f"floor ({title})", "ours": f"this project ({title})"}.get(tally.contestant.name, title)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def lost(shares: list[float]) -> str:
    """Median and worst of the shares lost."""
    middle, worst = share(statistics.median(shares)), share(max(shares))
    return middle if middle == worst else f"{middle} (worst {worst})"


def share(gone: float) -> str:
    """As text; "nothing" and "everything" mean just that."""
    if gone in (0.0, 1.0):
        return "everything" if gone else "nothing"
    return f"{min(max(gone, 0.001), 0.999):.1%}"


def row(tally: Tally, floor: float | None, ours: float | None) -> list[str]:
    each, kills = each_of(tally), len(tally.storm) + len(tally.paced)
    unreadable = f"; unreadable after {tally.unreadable} of {kills} kills" if tally.unreadable else ""
    return [
        name_of(tally),
        figure(each),
        figure(statistics.median(tally.returned) * 1e6),
        figure(each / floor) if floor else "—",
        figure(each / ours) if ours else "—",
        f"{statistics.median(tally.batch):,.0f}" if tally.batch else "no such call",
        lost(tally.storm) + unreadable,
        lost(tally.paced),
        "; ".join(tally.missing) or f"all {tally.checked:,} ({tally.facts['reader']})",
    ]


HEADINGS = (
    *("contestant", "one append until closed, µs", "until returned, µs", "× floor", "× this project"),
    *("batches of 1,000, points/s", "kill -9 at full speed loses", f"kill -9 at {PACE} points/s loses"),
    "stored, by its own reader",
)


def table(tallies: list[Tally]) -> Iterator[str]:
    taken = ranked(tallies)
    known = {tally.contestant.name: each_of(tally) for tally in taken}
    yield f"| {' | '.join(HEADINGS)} |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---|"
    for tally in taken:
        yield f"| {' | '.join(row(tally, known.get('floor'), known.get('ours')))} |"


def report(tallies: list[Tally], runs: int, shrink: int, load: str) -> str:
    lines = ["# Side by side with peers", ""]
    if shrink > 1:
        lines += ["**A quick run, for trying out: too short for comparisons.**", ""]
    kills = f"{min(KILL_AFTER):g} to {max(KILL_AFTER):g} s" if shrink == 1 else "1 s"
    lines += [*table(tallies), ""]
    lines += [f"- {tally.contestant.name}: {tally.failure}" for tally in tallies if tally.failure]
    lines += [
        "",
        f"Medians of {runs} runs; contestants took turns. One append is one point of value, step and epoch, call after",
        "call. The floor is orjson and one write to an O_APPEND descriptor a point, without a lock or a check. Killed",
        f"after {kills} of appending; only points whose append had returned count. How and why: bench/README.md.",
        "",
        f"{machine.facts()} {load}",
        f"Finished {dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC.",
        "",
    ]
    return "\n".join(lines)


def picture(tallies: list[Tally]) -> str:
    bars = []
    for tally in ranked(tallies):
        storm, paced = share(max(tally.storm)), share(max(tally.paced))
        note = f"kill -9 lost {storm}" + (f", at {PACE}/s {paced}" if paced != storm else "")
        each, own = each_of(tally), tally.contestant.name == "ours"
        title = {"floor": "floor", "ours": "this project"}.get(tally.contestant.name, name_of(tally))
        bars.append(chart.Bar(title, each, f"{figure(each)} µs", note, highlighted=own))
    remark = f"In grey: what kill -9 lost at worst, appending at full speed, and at {PACE} points a second where that differs."
    return chart.bars("One append until closed, microseconds a point (logarithmic; shorter is better)", remark, bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of contestants, separated by commas")
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes and two rounds: tries the code out")
    parser.add_argument("--setup", action="store_true", help="make the environments and stop")
    options = parser.parse_args()
    chosen, load = setup.choose(options.only), machine.load()
    if options.setup:
        setup.set_up_all(chosen)
        return
    runs, shrink = (2, 20) if options.quick else (options.runs, 1)
    tallies = prepare(chosen)
    for number in range(runs):
        for tally in tallies:
            one_round(tally, number, shrink)
    RESULTS.mkdir(exist_ok=True)
    stem = "peers-quick" if options.quick or options.only else "peers"
    text = report(tallies, runs, shrink, load)
    (RESULTS / f"{stem}.md").write_text(text)
    (RESULTS / f"{stem}.svg").write_text(picture(tallies))
    print("\n" + text)


if __name__ == "__main__":
    main()
