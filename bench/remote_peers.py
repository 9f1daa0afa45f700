"""Side by side by way of a server: this project and its peers send the same points to their own servers, in turn.

Each trial has a server process of the contestant's own (as its user starts it, its store on a disk), a client process that
logs, and a third one that counts what is stored with the contestant's own reader. Knows no figure and no limit;
bench/remote.py starts it and puts its table beside those.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import chart, run, servers, setup

NAMES = ("ours", "trackio", "aim", "mlflow")
WORKER = "remote_worker.py"
SINGLE, BULK = 300, 20_000
"""Points of a trial: one call each, and in the best documented way."""
WARM_UP = 20
"""Points before the clock: some servers load their libraries with the first requests."""
ABSENT = (
    "wandb, SwanLab, ClearML and Neptune are not here: their servers are container images or services, and nothing that "
    "pip installs is one."
)


@dataclass
class Tally:
    """What the trials of one contestant gave; times in seconds."""

    contestant: setup.Contestant
    facts: dict[str, Any] = field(default_factory=dict)
    call: list[float] = field(default_factory=list)
    """The median of single calls, until returned."""
    bulk: list[float] = field(default_factory=list)
    """All points of a trial in the best documented way, until acknowledged."""
    server: list[float] = field(default_factory=list)
    """Processor time of the server meanwhile."""
    missing: list[str] = field(default_factory=list)
    checked: int = 0
    failure: str | None = None

    @property
    def middle(self) -> float:
        return statistics.median(self.bulk)

    @property
    def title(self) -> str:
        named = (
            f"{self.facts['distribution']} {self.facts['version']}{self.facts['on']}"
            if self.facts
            else self.contestant.name
        )
        return f"this project ({named})" if self.contestant.name == "ours" else named


More = Callable[[str, int], Mapping[str, str]]


def measured(
    place: Path, rounds: int, shrink: int, names: Sequence[str] = NAMES, more: More = lambda _name, _number: {}
) -> list[Tally]:
    """All contestants, `rounds` times in turn, in folders below `place`. `more` tells the variables of a contestant's round."""
    everyone = {contestant.name: contestant for contestant in setup.contestants()}
    tallies = [Tally(everyone[name], failure=setup.set_up(everyone[name])) for name in names]
    for number in range(rounds):
        for tally in tallies:
            if tally.failure is None:
                _try(tally, place, number, shrink, more(tally.contestant.name, number))
    return tallies


def _try(tally: Tally, place: Path, number: int, shrink: int, more: Mapping[str, str]) -> None:
    try:
        with run.trial(tally.contestant, WORKER, place, more) as here:
            _one_round(tally, here, shrink)
    except run.TrialFailed as failed:
        tally.failure = str(failed)
    except servers.NotServing as failed:
        tally.failure = setup.public(f"cannot serve here: {failed}").replace(str(place), "…")
    told = tally.failure or f"{tally.call[-1] * 1e6:>9.1f} µs a call, {BULK // shrink:,} in {tally.bulk[-1]:.2f} s"
    print(f"round {number + 1}  {tally.contestant.name:14} {told}{'  MISSING' if tally.missing else ''}", flush=True)


def _one_round(tally: Tally, here: run.Trial, shrink: int) -> None:
    name, port = tally.contestant.name, servers.free_port()
    tally.facts = tally.facts or here.ask("facts", name)
    python, worker = str(tally.contestant.python), str(run.BENCH / WORKER)
    command = [python, worker, "serve", name, here.data, str(port)]
    with servers.running(command, here.folder, here.environment(), port) as server:
        here.ask("single", name, here.data, port, WARM_UP, "warm-up")
        count = max(SINGLE // shrink, WARM_UP)
        tally.call.append(here.ask("single", name, here.data, port, count, "single")["call"])
        _check(tally, here, port, count, "single")
        count, before = BULK // shrink, server.cpu_seconds()
        tally.bulk.append(here.ask("bulk", name, here.data, port, count, "bulk")["acknowledged"])
        tally.server.append(server.cpu_seconds() - before)
        _check(tally, here, port, count, "bulk")


def _check(tally: Tally, here: run.Trial, port: int, count: int, name: str) -> None:
    counted = here.ask("check", tally.contestant.name, here.data, port, count, name)
    tally.checked += counted["found"]
    if counted["found"] != count or counted["wrong"]:
        tally.missing.append(f"{name}: {counted['found']:,} of {count:,}, {counted['wrong']:,} wrong")


def ours_is_wrong(tallies: list[Tally]) -> bool:
    """Whether this project stored anything but what it was given, or did not get to it."""
    return any(tally.missing or tally.failure for tally in tallies if tally.contestant.name == "ours")


HEADINGS = (
    *("contestant", "one call until returned, µs", "{bulk} points until acknowledged, s", "× this project"),
    *("points/s", "server's processor time, s", "sent by", "acknowledged by", "stored, by its own reader"),
)


def table(tallies: list[Tally], shrink: int) -> list[str]:
    taken = ranked(tallies)
    ours = next((tally.middle for tally in taken if tally.contestant.name == "ours"), None)
    titles = [heading.format(bulk=f"{BULK // shrink:,}") for heading in HEADINGS]
    lines = [f"| {' | '.join(titles)} |", "|---|---:|---:|---:|---:|---:|---|---|---|"]
    lines += [f"| {' | '.join(_row(tally, ours, BULK // shrink))} |" for tally in taken]
    gone = [tally for tally in tallies if tally.failure]
    lines += [f"| {tally.title} | — | — | — | — | — | — | — | {tally.failure} |" for tally in gone]
    return lines


def ranked(tallies: list[Tally]) -> list[Tally]:
    """Those that took part to the end, the fastest first."""
    return sorted((tally for tally in tallies if tally.bulk and not tally.failure), key=lambda tally: tally.middle)


def _row(tally: Tally, ours: float | None, count: int) -> list[str]:
    return [
        tally.title,
        run.figure(statistics.median(tally.call) * 1e6),
        run.figure(tally.middle),
        run.figure(tally.middle / ours) if ours else "—",
        f"{count / tally.middle:,.0f}",
        run.figure(statistics.median(tally.server)),
        tally.facts["bulk"],
        tally.facts["acknowledged"],
        "; ".join(tally.missing) or f"all {tally.checked:,} ({tally.facts['reader']})",
    ]


def picture(tallies: list[Tally], shrink: int) -> str:
    values = [
        chart.Bar(
            "this project" if tally.contestant.name == "ours" else tally.title,
            tally.middle,
            f"{run.figure(tally.middle)} s",
            f"one call returns after {run.figure(statistics.median(tally.call) * 1e6)} µs",
            tally.contestant.name == "ours",
        )
        for tally in ranked(tallies)
    ]
    title = f"{BULK // shrink:,} points until the server has acknowledged all, seconds (logarithmic; shorter is better)"
    return chart.bars(title, "Each with its own server on one machine, in the best documented way.", values, "s")
