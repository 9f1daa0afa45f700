"""Remote mode and the server: our own figures beside their limits, then side by side with peers' servers; the tables go to
bench/results/remote.md, the chart to remote.svg.

Servers are real processes with their folders on a disk, clients and the load generator are others. What was stored is
looked up in the server's files by plain json. The exit status is 1 when any of it is wrong, never for a time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, remote_peers, servers, setup
from bench.figures import FLAT, Figure, show
from bench.worker import points

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
CONNECTIONS, BATCH, REQUESTS = 16, 1_000, 40
"""Of the ingest of batches: connections, points a request, requests a connection."""
SINGLE_CONNECTIONS, SINGLE_REQUESTS = 64, 60

Answer = dict[str, Any]
Row = dict[str, Any]
Found = dict[tuple[str, str], list[Answer]]
B = TypeVar("B", bound="Bench")
Load = Callable[[B, int, int, int, Sequence[str]], tuple[Found, bool]]
"""Load by so many connections, of so many requests of so many points, in some codings: the answers, and whether all was stored."""


class Bench:
    """Starts servers and measuring processes in folders below one root, checks what was stored, and keeps the figures."""

    def __init__(self, root: Path, shrink: int, repeats: int, echo: Callable[[Figure], None]) -> None:
        self.bin = setup.VENVS / "ours" / "bin"
        self.root = root
        self.shrink = shrink
        self.repeats = repeats
        self.figures: list[Figure] = []
        self.environment = {"PATH": os.defpath, "HOME": str(root), "LANG": "C.UTF-8"}
        self._echo = echo
        self._folders = 0

    def size(self, full: int, least: int = 100) -> int:
        return max(full // self.shrink, least)

    def keep(self, title: str, limit: float | None, measured: Sequence[float], unit: str, **more: Any) -> None:
        """Keep a figure and show it at once."""
        figure = Figure(title, limit, measured, unit, **more)
        self.figures.append(figure)
        self._echo(figure)

    def folder(self, name: str) -> Path:
        self._folders += 1
        made = self.root / f"{self._folders}-{name}"
        made.mkdir()
        return made

    @contextmanager
    def server(self) -> Iterator[tuple[servers.Server, Path]]:
        """`ml-dash server` as it comes, and its folder."""
        store = self.folder("store")
        command = [str(self.bin / "ml-dash"), "server", "--store", str(store), "--port", "0"]
        with servers.running(command, self.root, self.environment) as server:
            yield server, store

    def ask(self, script: str, *arguments: object) -> Answer:
        """Run one of our scripts to its end and take its answer."""
        command = [str(self.bin / "python"), str(BENCH / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=self.root)
        if done.returncode:
            sys.exit(f"{script} {arguments[0]} failed; the last lines of its process:\n{done.stderr[-1500:]}")
        answer: Answer = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def measure(self, figure: str, server: servers.Server, count: int, name: str) -> Answer:
        return self.ask("remote_measure.py", figure, server.url, server.pid, self.folder("local"), count, name)


# ---------------------------------------------------------------- what is stored


def rows_of(count: int) -> list[Row]:
    """The rows that the measuring processes and the load generator send."""
    return [{"value": value, "step": step, "epoch": epoch} for value, step, epoch in points(0, count)]


def data_file(store: Path, run: str, metric: str = "loss") -> Path:
    return store / "bench" / run / "metrics" / metric / "data.jsonl"


def is_stored(file: Path, rows: Sequence[Row], times: int = 1) -> bool:
    """Whether the file holds these rows, so many times over, each once and in order, its index with it."""
    count = 0
    with file.open("rb") as opened:
        for index, line in enumerate(opened):
            if not line.endswith(b"\n") or json.loads(line) != {"index": index, "data": rows[index % len(rows)]}:
                print(f"{file.parent.parent.parent.name}: line {index} is not what was sent: {line[:80]!r}", flush=True)
                return False
            count += 1
    if count != len(rows) * times:
        print(f"{file.parent.parent.parent.name}: {count:,} points are stored, not {len(rows) * times:,}", flush=True)
    return count == len(rows) * times


def newlines(file: Path) -> int:
    with file.open("rb") as opened:
        return sum(block.count(b"\n") for block in iter(lambda: opened.read(1 << 20), b""))


# ---------------------------------------------------------------- the figures


def appends(bench: Bench) -> None:
    count, answers, right = bench.size(200_000, 20_000), [], True
    rows = rows_of(count)
    with bench.server() as (server, store):
        for number in range(2):
            answers.append(bench.measure("append", server, count, f"append-{number}"))
            right &= is_stored(data_file(store, f"append-{number}"), rows, answers[-1]["count"] // count)
    sent = f"{statistics.median(column(answers, 'sent')):.0%} of a round was at the server when its last call returned"
    for suffix, what, limit in (("", "median of calls", 1.3), ("_mean", "mean of calls", None)):
        ours, local = column(answers, f"ours{suffix}"), column(answers, f"local{suffix}")
        ratios = [one / other for one, other in zip(ours, local, strict=True)]
        beside = f"{show(statistics.median(ours), 'µs')}; local {show(statistics.median(local), 'µs')}; {sent}"
        title = f"one append in remote mode, uploading behind, × local mode ({what})"
        bench.keep(title, limit, ratios, "×", beside=beside, stored=right)


def end_to_end(bench: Bench) -> None:
    count, answers, right = bench.size(1_000_000, 10_000), [], True
    rows = rows_of(count)
    with bench.server() as (server, store):
        for number in range(min(bench.repeats, 3)):
            answers.append(bench.measure("end_to_end", server, count, f"end-{number}"))
            right &= is_stored(data_file(store, f"end-{number}"), rows) and answers[-1]["acknowledged"] == count
    told = {key: show(statistics.median(column(answers, key)), "s") for key in answers[0] if key != "acknowledged"}
    beside = (
        f"local mode {told['local']}; the last batch had returned after {told['returned']}; processor time: client "
        f"{told['own_cpu']}, server {told['server_cpu']}"
    )
    title = f"append_batch of {count:,} points, batches of 1,000, until flush() returns"
    bench.keep(title, 8.0, column(answers, "ours"), "s", beside=beside, stored=right)


def ingest(bench: Bench) -> None:
    keep_batches(bench, load, 250_000.0)


def single_points(bench: Bench) -> None:
    keep_single_points(bench, load, 1_500.0)


def load(bench: Bench, connections: int, requests: int, size: int, codings: Sequence[str]) -> tuple[Found, bool]:
    """Rounds of load on the floor and on ours, in turn; whether all was stored that was acknowledged. A connection sends one
    request more, before the clock."""
    found: Found = {(name, coding): [] for name in ("floor", "ours") for coding in codings}
    right, file = True, bench.folder("floor") / "data.jsonl"
    floor_command = [str(bench.bin / "python"), str(BENCH / "floor_server.py"), str(file)]
    rows = rows_of((requests + 1) * size)
    with bench.server() as (ours, store), servers.running(floor_command, bench.root, bench.environment) as floor:
        for label in in_turn(bench, found, floor, ours, codings, (connections, requests, size)):
            for connection in range(connections):
                right &= is_stored(data_file(store, f"{label}-{connection}"), rows)
    right &= newlines(file) == bench.repeats * len(codings) * connections * len(rows)
    return found, right


def in_turn(
    bench: Bench,
    found: Found,
    floor: servers.Server,
    ours: servers.Server,
    codings: Sequence[str],
    sizes: tuple[int, int, int],
    *options: object,
) -> Iterator[str]:
    """Load on the floor, then on ours, again and again, into `found`; the label of what was sent to ours after each time. `sizes` are
    connections, requests and points a request, `options` those of bench/load.py."""
    for number in range(bench.repeats):
        for coding in codings:
            label = f"{coding}-{number}"
            for name, server, told in (("floor", floor, "floor"), ("ours", ours, label)):
                sent = (server.url, server.pid, *sizes, coding, told, *options)
                found[name, coding].append(bench.ask("load.py", *sent))
            yield label


def keep_batches(bench: B, load: Load[B], limit: float) -> None:
    requests = bench.size(REQUESTS, 5)
    found, right = load(bench, CONNECTIONS, requests, BATCH, ("zstd", "plain"))
    for coding, what in (("zstd", "zstd, as our client sends"), ("plain", "not compressed")):
        title = f"ingest, {CONNECTIONS} connections, {BATCH:,} points a request, {what}, points"
        keep_load(bench, title, limit, found, coding, BATCH, stored=right)


def keep_single_points(bench: B, load: Load[B], limit: float) -> None:
    requests = bench.size(SINGLE_REQUESTS, 5)
    found, right = load(bench, SINGLE_CONNECTIONS, requests, 1, ("plain",))
    title = f"ingest, {SINGLE_CONNECTIONS} connections, one point a request, requests"
    keep_load(bench, title, limit, found, "plain", 1, stored=right)


def keep_load(
    bench: Bench, title: str, limit: float | None, found: Found, coding: str, size: int, *, stored: bool
) -> None:
    rate: dict[str, list[float]] = {}
    for name in ("ours", "floor"):
        rate[name] = [one["requests"] * size / one["seconds"] for one in found[name, coding]]
    ours = found["ours", coding]
    ratio = statistics.median(one / other for one, other in zip(rate["ours"], rate["floor"], strict=True))

    def share(key: str) -> float:
        return statistics.median(one[key] / one["seconds"] for one in ours)

    slowest = statistics.median(column(ours, "slowest"))
    beside = (
        f"{ratio:.2f} × floor ({show(statistics.median(rate['floor']), '/s')}); an answer takes "
        f"{show(statistics.median(column(ours, 'middle')), 'ms')}, 99 % at most {show(slowest, 'ms')}; of a core: server "
        f"{share('server_cpu'):.0%}, load generator {share('own_cpu'):.0%}"
    )
    bench.keep(title, limit, rate["ours"], "/s", beside=beside, stored=stored, at_least=True)


def many_series(bench: Bench) -> None:
    count = bench.size(1_000)
    with bench.server() as (server, store):
        answer = bench.measure("many_series", server, count, "many")
    rows = [{"value": 1.0 / (step + 1), "step": step, "epoch": 0} for step in range(answer["steps"])]
    right = all(is_stored(data_file(store, "many", f"metric_{number}"), rows) for number in range(count))
    what = f"{count:,} series, a point each a second"
    beside = f"local mode {show(statistics.median(answer['local']), '%')}"
    bench.keep(f"{what}: client, of a core", 0.05, answer["ours"], "%", beside=beside, stored=right)
    bench.keep(f"{what}: server, of a core", 0.10, answer["server"], "%", stored=right)


def memory(bench: Bench) -> None:
    count = bench.size(10_000_000, 100_000)
    with bench.server() as (server, _):
        answer = bench.measure("away", server, count, "away")
    spools = list(bench.root.glob(".local/state/ml-dash/spool/*/bench/away/metrics/loss/data.jsonl"))
    right = answer["met"] and [newlines(file) for file in spools] == [answer["count"]]
    steps = ", ".join(f"{bytes_ / 2**20:.1f}" for bytes_ in answer["memory"])
    beside = f"MiB after each tenth: {steps}; {answer['seconds']:.1f} s in all; one run"
    title = f"memory grown by {count:,} points, the server away (between the first tenth and the last)"
    grown = answer["memory"][-1] - answer["memory"][0]
    bench.keep(title, FLAT, [grown], "MiB", beside=beside, stored=right)


def column(answers: Sequence[Answer], key: str) -> list[float]:
    """The numbers under one key, lists laid end to end."""
    flat: list[float] = []
    for answer in answers:
        flat += answer[key] if isinstance(answer[key], list) else [answer[key]]
    return flat


GROUPS: dict[str, Callable[[Bench], None]] = {
    "appends": appends,
    "end_to_end": end_to_end,
    "ingest": ingest,
    "single_points": single_points,
    "many_series": many_series,
    "memory": memory,
}


# ---------------------------------------------------------------- the report


def line(figure: Figure) -> str:
    middle, low, high = (show(one, figure.unit) for one in (figure.middle, min(figure.measured), max(figure.measured)))
    limit = "—" if figure.limit is None else f"{'≥' if figure.at_least else '≤'} {show(figure.limit, figure.unit)}"
    return f"| {figure.title} | {limit} | {middle} | {low} – {high} | {figure.beside} | {figure.within()} |"


def report(bench: Bench, tallies: list[remote_peers.Tally], rounds: int, facts: str) -> str:
    lines = ["# Remote mode and the server", ""]
    if bench.shrink > 1:
        lines += ["**A quick run with small sizes, for trying out: no numbers to keep.**", ""]
    if bench.figures:
        lines += ["| figure | limit | median | lowest – highest | beside it | within? |", "|---|---:|---:|---|---|---|"]
        lines += [line(figure) for figure in bench.figures]
        lines += [
            "",
            "The server is `ml-dash server` as it comes, one process. The floor is a bare Starlette route that decodes the",
            "lines with msgspec and appends them to one file, unsynced; it took turns with ours. Limits are for an idle",
            "machine of two cores. How: bench/README.md.",
            "",
        ]
    if tallies:
        lines += ["## Side by side, each with its own server", "", *remote_peers.table(tallies, bench.shrink), ""]
        lines += [f"Medians of {rounds} rounds; contestants took turns. {remote_peers.ABSENT}", ""]
    lines += [facts, f"Finished {dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC.", ""]
    return "\n".join(lines)


def disk(root: Path) -> str:
    """What the servers' folders lie on."""
    took = show(servers.sync_seconds(root), "ms")
    return f"Servers' folders on {servers.file_system(root)}, where an fsync took {took} before the start."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and two repeats: tries the code out")
    parser.add_argument("--only", help=f"groups, separated by commas: {', '.join((*GROUPS, 'peers'))}")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of load (5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the contestants (3)")
    options = parser.parse_args()
    groups = options.only.split(",") if options.only else [*GROUPS, "peers"]
    unknown = set(groups) - {*GROUPS, "peers"}
    if unknown:
        parser.error(f"no group is called {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)} and peers")
    if not Path("/proc/self/stat").exists():
        sys.exit("these figures read processor times and memory from /proc: run them on Linux")
    failure = setup.set_up(setup.choose("ours")[0])
    if failure:
        sys.exit(f"this project cannot be measured: {failure}")
    repeats, rounds, shrink = (2, 1, 20) if options.quick else (options.repeats, options.rounds, 1)
    load_before = machine.load()
    with servers.disk_folder() as root:
        facts = f"{machine.facts()} {disk(root)} {load_before}"
        bench = Bench(root, shrink, repeats, lambda figure: print(line(figure), flush=True))
        for group in groups:
            if group in GROUPS:
                GROUPS[group](bench)
        tallies = remote_peers.measured(root, rounds, shrink) if "peers" in groups else []
    text = report(bench, tallies, rounds, facts)
    RESULTS.mkdir(exist_ok=True)
    stem = "remote-quick" if options.quick or options.only else "remote"
    (RESULTS / f"{stem}.md").write_text(text)
    if tallies:
        (RESULTS / f"{stem}.svg").write_text(remote_peers.picture(tallies, shrink))
    print("\n" + text)
    if remote_peers.ours_is_wrong(tallies) or not all(figure.stored for figure in bench.figures):
        sys.exit("what was stored is not what was sent: see above")


if __name__ == "__main__":
    main()
