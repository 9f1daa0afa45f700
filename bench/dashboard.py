"""The dashboard in a real Chromium, beside its peers' on the same data: medians go to bench/results/dashboard.md, pictures to
bench/results/dashboard/.

Each contestant's page is served as its users start it, by its own server over data that its own library wrote; it is opened in fresh
profiles, in turns, and judged by what is on the screen (bench/dashboard_cases.py). Data are written once and kept in bench/.dashboard.
Needs Playwright for Python and Debian's Chromium. The exit status is 1 if ours could not be measured or hides the spike, never for a
time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.async_api import Browser, Error

from bench import machine, run, servers, setup
from bench.dashboard_browser import FilmLost, chromium
from bench.dashboard_cases import Values, Visit, grid, live, runs_list, spike, weight
from bench.dashboard_data import Shape
from bench.dashboard_pages import CONTESTANTS, Contestant
from bench.dashboard_report import Tally, report

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
DATA = BENCH / ".dashboard"
LIMIT, QUICK_LIMIT = 240.0, 120.0
"""Seconds after which a page is given up."""
LIVE_RUNS, CROWD = 20, 49
LOST_FILMS = 4


@dataclass(frozen=True)
class Case:
    """A measurement over a shape, and who takes part in it."""

    name: str
    work: Any
    full: Shape
    quick: Shape
    ours_only: bool = False
    smaller: dict[str, Shape] | None = None
    """Contestants that are given less, since writing it takes them too long."""

    def shape(self, quick: bool, contestant: str) -> Shape:
        return self.quick if quick else (self.smaller or {}).get(contestant, self.full)


AIM_SPIKE = Shape("spike", 1, 1, 100_000, spike=True)
CASES = (
    Case("list", runs_list, Shape("list", 1_000, 50, 3), Shape("list", 100, 10, 3)),
    Case("many", runs_list, Shape("list", 10_000, 10, 3), Shape("list", 300, 10, 3), ours_only=True),
    Case(
        "spike",
        spike,
        Shape("spike", 1, 1, 1_000_000, spike=True),
        Shape("spike", 1, 1, 100_000, spike=True),
        smaller={"aim": AIM_SPIKE},
    ),
    Case(
        "long",
        spike,
        Shape("spike", 1, 1, 10_000_000, spike=True),
        Shape("spike", 1, 1, 300_000, spike=True),
        ours_only=True,
    ),
    Case(
        "grid",
        grid,
        Shape("grid", 20, 24, 10_000),
        Shape("grid", 5, 24, 1_000),
        smaller={"aim": Shape("grid", 20, 24, 1_000)},
    ),
    Case("large", grid, Shape("grid", 20, 24, 100_000), Shape("grid", 5, 24, 5_000), ours_only=True),
    Case("weight", weight, Shape("list", 1_000, 50, 3), Shape("list", 100, 10, 3)),
    Case("live", live, Shape("live", LIVE_RUNS, 1, 0), Shape("live", LIVE_RUNS, 1, 0)),
)


class Unfit(Exception):
    """A contestant's own process failed; the text is its last words."""


class Bench:
    """Writes data once, starts servers, visits pages, and keeps what was found."""

    def __init__(self, browser: Browser, options: argparse.Namespace, scratch: Path) -> None:
        self.browser = browser
        self.quick: bool = options.quick
        self.rounds: int = 1 if options.quick else options.rounds
        self.peer_rounds: int = 1 if options.quick else options.peer_rounds
        self.limit = QUICK_LIMIT if options.quick else LIMIT
        self.page: str | None = options.page
        self.scratch = scratch
        self.pictures = RESULTS / ("dashboard-quick.pictures" if options.quick else "dashboard")

    def python(self, contestant: Contestant) -> str:
        return str(setup.VENVS / contestant.environment / "bin" / "python")

    def environment(self) -> dict[str, str]:
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        told = {
            **run.OFFLINE,
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.scratch),
        }
        more = {"ML_DASH_PAGE": self.page} if self.page else {}
        return told | more | ({"BENCH_QUICK": "1"} if self.quick else {})

    def command(self, contestant: Contestant, mode: str, *arguments: object) -> list[str]:
        worker = str(BENCH / "dashboard_worker.py")
        return [self.python(contestant), worker, mode, contestant.name, *map(str, arguments)]

    def ask(self, contestant: Contestant, mode: str, *arguments: object) -> dict[str, Any]:
        command = self.command(contestant, mode, *arguments)
        done = subprocess.run(command, capture_output=True, env=self.environment(), cwd=self.scratch)
        if done.returncode or not done.stdout.strip():
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Unfit(f"{mode} failed: {setup.public(said[-1])[:200]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def data(self, contestant: Contestant, shape: Shape) -> Path:
        """The folder with these runs: written now, if nobody has written it before."""
        folder = DATA / contestant.name / shape.folder
        if (folder / "data").exists() and (folder / "complete").exists():
            return folder / "data"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        took = self.ask(contestant, "write", folder / "data", shape.text())["seconds"]
        print(f"{contestant.name:12} wrote {shape.folder} in {took:.1f} s", flush=True)
        (folder / "complete").write_text(f"{took}\n")
        return folder / "data"

    @contextmanager
    def served(self, contestant: Contestant, folder: Path) -> Iterator[tuple[str, int]]:
        port = servers.free_port()
        command = self.command(contestant, "serve", folder, port)
        with servers.running(command, self.scratch, self.environment(), port) as server:
            answers(server)
            yield f"http://127.0.0.1:{port}", port

    @contextmanager
    def writing(self, contestant: Contestant, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
        """The process that writes the live runs, once it writes."""
        errors = (self.scratch / f"live-{contestant.name}.log").open("wb")
        command = self.command(contestant, "live", folder, port, LIVE_RUNS)
        with errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment(),
                cwd=self.scratch,
            )
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                said = Path(errors.name).read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise Unfit(f"what writes failed: {setup.public(said[-1])[:200]}")
            yield process
        finally:
            process.kill()
            process.wait()

    @asynccontextmanager
    async def visit(self, contestant: Contestant, case: Case) -> AsyncIterator[Visit]:
        shape = case.shape(self.quick, contestant.name)
        folder = self.data(contestant, shape)
        with self.served(contestant, folder) as (base, _):
            yield Visit(contestant, self.browser, base, shape, self.limit, self.picture(contestant, case))

    def picture(self, contestant: Contestant, case: Case) -> Path:
        self.pictures.mkdir(parents=True, exist_ok=True)
        return self.pictures / f"{case.name}-{contestant.name}"

    async def measure(self, contestant: Contestant, case: Case) -> Values:
        """One round: the first visit of a new server is not counted, as nobody's first minute is anybody's usual one."""
        if case.work is live:
            return await self.measure_live(contestant, case)
        async with self.visit(contestant, case) as visit:
            found = await filmed(lambda: case.work(visit))
            if not self.quick:
                found = await filmed(lambda: case.work(visit))
            return found

    async def measure_live(self, contestant: Contestant, case: Case) -> Values:
        folder = self.scratch / f"live-{contestant.name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with self.served(contestant, folder) as (base, port), self.writing(contestant, folder, port) as writer:
            shape = case.shape(self.quick, contestant.name)
            visit = Visit(contestant, self.browser, base, shape, self.limit, self.picture(contestant, case))
            return await filmed(lambda: live(visit, writer, CROWD if contestant.name == "ours" else 0))

    async def turns(self, case: Case, tallies: list[Tally]) -> None:
        """All contestants, in turn, as often as there are rounds of them."""
        for number in range(max(self.rounds, self.peer_rounds)):
            for tally in tallies:
                is_ours = tally.contestant.name == "ours"
                if case.name in tally.failures or (case.ours_only and not is_ours):
                    continue
                if number >= (self.rounds if is_ours else self.peer_rounds):
                    continue
                start = time.monotonic()
                try:
                    found = await self.measure(tally.contestant, case)
                except (Error, TimeoutError, Unfit, servers.NotServing) as failed:
                    said = setup.public(str(failed).splitlines()[0]).replace(str(self.scratch), "…")
                    tally.failures[case.name] = said[:200]
                    print(f"{case.name:7} {tally.contestant.name:12} {said}", flush=True)
                    continue
                tally.add(case.name, case.shape(self.quick, tally.contestant.name), found)
                shown = ", ".join(
                    f"{key} {value if isinstance(value, str) else f'{value:,.4g}'}" for key, value in found.items()
                )
                took = time.monotonic() - start
                print(
                    f"{case.name:7} {tally.contestant.name:12} round {number + 1}: {shown} ({took:.0f} s)", flush=True
                )


async def filmed(work: Callable[[], Awaitable[Values]]) -> Values:
    """One visit. One of which the browser lost the film is made again."""
    for _ in range(LOST_FILMS):
        try:
            return await work()
        except FilmLost:
            continue
    raise TimeoutError(f"{LOST_FILMS} films of it were lost")


def answers(server: servers.Server) -> None:
    """Wait until it answers by HTTP: some listen long before."""
    deadline = time.monotonic() + servers.START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(server.url, timeout=10).close()
            return
        time.sleep(0.1)
    raise servers.NotServing(f"it did not answer within {servers.START_SECONDS:.0f} s: {server.last_words()}")


async def measured(
    options: argparse.Namespace, cases: list[Case], tallies: list[Tally], scratch: Path, keep: Callable[[str], None]
) -> None:
    """Calls `keep` with what the browser was after every case, so that what was measured outlives a benchmark that is cut short."""
    async with chromium() as browser:
        bench = Bench(browser, options, scratch)
        for tally in tallies:
            try:
                tally.facts = {} if tally.absent else bench.ask(tally.contestant, "facts")
            except Unfit as failed:
                tally.absent = str(failed)
        present = [tally for tally in tallies if tally.absent is None]
        for case in cases:
            await bench.turns(case, present)
            keep(f"Chromium {browser.version}, 1440 × 900")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: tries the code out")
    parser.add_argument("--only", help=f"cases, separated by commas: {', '.join(case.name for case in CASES)}")
    parser.add_argument(
        "--peers", help=f"contestants, separated by commas: {', '.join(one.name for one in CONTESTANTS)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ours (3)")
    parser.add_argument("--peer-rounds", type=int, default=3, help="rounds of the others, of half an hour each (3)")
    parser.add_argument("--page", help="a built page for ours, other than the one it is installed with")
    parser.add_argument(
        "--as-installed", action="store_true", help="do not bring this project's environment up to date"
    )
    options = parser.parse_args()
    cases = [case for case in CASES if not options.only or case.name in options.only.split(",")]
    chosen = [one for one in CONTESTANTS if not options.peers or one.name in options.peers.split(",")]
    unknown = set((options.only or "").split(",")) | set((options.peers or "").split(","))
    unknown -= {"", *(case.name for case in CASES), *(one.name for one in CONTESTANTS)}
    if unknown:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}: see --help")
    if options.page:
        options.page = str(Path(options.page).resolve())
    lines = {one.name: one for one in setup.contestants()}
    tallies = [
        Tally(one, absent=None if options.as_installed else setup.set_up(lines[one.environment])) for one in chosen
    ]
    load_before = machine.load()
    rounds = (1, 1) if options.quick else (options.rounds, options.peer_rounds)
    partial = options.quick or options.only or options.peers
    RESULTS.mkdir(exist_ok=True)
    results = RESULTS / f"{'dashboard-quick' if partial else 'dashboard'}.md"
    with servers.disk_folder() as scratch:

        def keep(seen: str) -> None:
            facts = f"{machine.facts()} {seen}. Servers' folders on {servers.file_system(scratch)}. {load_before}"
            results.write_text(report(tallies, [case.name for case in cases], facts, options.quick, rounds))

        asyncio.run(measured(options, cases, tallies, scratch, keep))
    print("\n" + results.read_text())
    if any(tally.is_wrong() for tally in tallies if tally.contestant.name == "ours"):
        sys.exit("ours could not be measured, or hides what it should show: see above")


if __name__ == "__main__":
    main()
