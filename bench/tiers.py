"""The two tiers: our own figures beside their limits, then side by side with MLflow on PostgreSQL; bench/results/tiers.md.

MongoDB (a replica set of one node) and SeaweedFS (S3) are real processes with their data on a disk, the server is `ml-dash server`
as it is installed, clients and the load generator are others. What was stored is read by bench/tiers_stored.py, which knows nothing
of this project's code. The exit status is 1 when any of it is wrong, never for a time.

Each group's figures are kept in bench/.tiers as soon as they are there; with --resume, groups that are there are not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, postgres, remote, remote_peers, servers, setup
from bench.figures import FLAT, Figure, show
from bench.remote import BATCH, CONNECTIONS, Answer, Found, column, in_turn, keep_load, line
from bench.tiers_stored import Stored, Wrong
from bench.worker import values
from tests.services.mongo import replica_set, with_database
from tests.services.s3 import Place, SeaweedFS

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
PARTS = BENCH / ".tiers"
SERIES, SERIES_REQUESTS, SERIES_CONNECTIONS = 500, 60, 4
SUSTAINED_SECONDS, SUSTAINED_REQUESTS = 30, 1_000
LARGE = 10_000
"""Points a request where only what is made of it matters."""
FRESH = 3
"""Fresh servers that a cold read is asked of."""
MANY_SERIES, MANY_POINTS, MANY_CONNECTIONS = 100_000, 100, 4
DIGITS_SERIES = 60
"""Series whose bytes are counted."""
STORE = "store"
Columns = tuple[np.ndarray[Any, Any], ...]


class Tier:
    """A database and a place in the bucket that no other group uses."""

    def __init__(self, mongo: str, place: Place, name: str) -> None:
        self.uri = with_database(mongo, name)
        self.place = dataclasses.replace(place, prefix=name)

    @property
    def environment(self) -> dict[str, str]:
        """What a server is told it by."""
        found = {name: value for name, value in self.place.env.items() if name != "AWS_ENDPOINT_URL"}
        tiers = {"ML_DASH_MONGO": self.uri, "ML_DASH_S3": self.place.url, "ML_DASH_S3_ENDPOINT": self.place.endpoint}
        return found | tiers

    def stored(self) -> Stored:
        """What it holds. The caller closes it."""
        return Stored(self.uri, self.place.store())


class Bench(remote.Bench):
    """As of remote mode, with the services behind the servers."""

    def __init__(self, root: Path, shrink: int, repeats: int, mongo: str, place: Place) -> None:
        super().__init__(root, shrink, repeats, lambda figure: print(line(figure), flush=True))
        self._mongo = mongo
        self._place = place
        self._plain = dict(self.environment)
        self._tiers = 0

    @contextmanager
    def tier(self, name: str) -> Iterator[Tier]:
        """A new one, which `serving` and `ask` use; its database is dropped at the end."""
        self._tiers += 1
        tier = Tier(self._mongo, self._place, f"bench_{name}_{self._tiers}")
        self.environment = self._plain | tier.environment
        try:
            yield tier
        finally:
            self.environment = self._plain
            with tier.stored() as found:
                found.drop()

    @contextmanager
    def serving(self) -> Iterator[servers.Server]:
        """`ml-dash server` as it comes, on the tier."""
        command = [str(self.bin / "ml-dash"), "server", "--port", "0"]
        with servers.running(command, self.root, self.environment) as server:
            yield server

    @contextmanager
    def floor(self, tier: Tier) -> Iterator[servers.Server]:
        command = [str(self.bin / "python"), str(BENCH / "floor_mongo.py"), tier.uri]
        with servers.running(command, self.root, self.environment) as server:
            yield server

    def measured(self, figure: str, place: str, name: str, count: int, *more: object) -> Answer:
        return self.ask("tiers_measure.py", figure, place, name, count, *more)


# ---------------------------------------------------------------- what is stored


def expected(count: int) -> Columns:
    """The columns of a series of so many points, as the load generator sends them."""
    return np.array(values(0, count)), np.arange(count), np.arange(count) // 1_000


def is_stored(found: Stored, run: str, names: Sequence[str], want: Columns) -> bool:
    """Whether these metrics of the run hold exactly these points."""
    try:
        run_id = found.run(run)
        for name in names:
            columns = found.series(run_id, name)
            if len(columns) != len(want) or not all(map(np.array_equal, columns, want)):
                raise Wrong(
                    f"{len(columns[0]) if columns else 0:,} points of {name}, not the {len(want[0]):,} that were sent"
                )
    except Wrong as wrong:
        print(f"{run}: {wrong}", flush=True)
        return False
    return True


def names_of(count: int) -> list[str]:
    return ["loss"] if count == 1 else [f"loss_{number}" for number in range(count)]


# ---------------------------------------------------------------- appends


def ingest(bench: Bench) -> None:
    remote.keep_batches(bench, load, 300_000.0)


def single_points(bench: Bench) -> None:
    remote.keep_single_points(bench, load, 2_000.0)


def many_series(bench: Bench) -> None:
    requests = bench.size(SERIES_REQUESTS, 5)
    for connections, limit in ((SERIES_CONNECTIONS, 10_000.0), (1, None)):
        found, right = load(bench, connections, requests, 1, ("plain",), series=SERIES)
        who = "one connection" if connections == 1 else f"{connections} connections"
        title = f"ingest, {who}, a point for each of {SERIES} series a request, series-batches"
        keep_load(bench, title, limit, found, "plain", SERIES, stored=right)


def load(
    bench: Bench, connections: int, requests: int, size: int, codings: Sequence[str], *, series: int = 1
) -> tuple[Found, bool]:
    """Rounds of load on the floor and on ours, in turn; whether all was stored that was acknowledged. A connection sends one
    request more, before the clock. A round begins when nothing is left to archive of the one before."""
    both: Found = {(name, coding): [] for name in ("floor", "ours") for coding in codings}
    want, right, labels = expected((requests + 1) * size), True, []
    with (
        bench.tier("load") as tier,
        tier.stored() as found,
        bench.serving() as ours,
        bench.floor(tier) as floor,
    ):
        sizes = (connections, requests, size)
        for label in in_turn(bench, both, floor, ours, codings, sizes, "--series", series):
            labels.append(label)
            right &= found.settled()
        for label in labels:
            for connection in range(connections):
                right &= is_stored(found, f"{label}-{connection}", names_of(series), want)
        right &= found.floor_points() == len(labels) * connections * series * len(want[0])
    return both, right


def sustained(bench: Bench) -> None:
    """Load for half a minute, the archiver at work; then how long it takes until nothing is left to archive."""
    seconds = SUSTAINED_SECONDS / min(bench.shrink, 6)
    with bench.tier("sustained") as tier, tier.stored() as found, bench.serving() as server:
        sent = (server.url, server.pid, CONNECTIONS, SUSTAINED_REQUESTS, BATCH, "zstd", "long", "--seconds", seconds)
        before = servers.resident(server.pid)
        answer = bench.ask("load.py", *sent)
        after = servers.resident(server.pid)
        start = time.perf_counter()
        right = found.settled()
        behind = time.perf_counter() - start
        chunks = chunked = 0
        for connection, requests in enumerate(answer["sent"]):
            name = f"long-{connection}"
            right &= is_stored(found, name, ["loss"], expected(requests * BATCH))
            chunked += found.sealed(found.run(name), "loss")
            chunks += found.objects(found.run(name))[0]
    beside = (
        f"99 % of answers within {show(answer['slowest'], 'ms')}; {chunked:,} points in {chunks} chunks, the last "
        f"{behind:.1f} s after the last answer; server's memory {show(before, 'MiB')} before, {show(after, 'MiB')} after; "
        f"of a core {answer['server_cpu'] / answer['seconds']:.0%}"
    )
    rate = answer["requests"] * BATCH / answer["seconds"]
    title = f"ingest for {answer['seconds']:.0f} s, {CONNECTIONS} connections, archiving beside it, points"
    bench.keep(title, None, [rate], "/s", beside=beside, stored=right, at_least=True)


# ---------------------------------------------------------------- bytes


def bytes_a_point(bench: Bench) -> None:
    """Series of one point less than is archived, in batches of 1,000; then one batch more for each."""
    series = bench.size(DIGITS_SERIES, 5)
    with bench.tier("bytes") as tier, tier.stored() as found, bench.serving() as server:
        bench.measured("full_digits", server.url, "digits", series, 0, 9)
        points = series * 9_000
        hot = found.sizes("buckets")
        right = hot["count"] == series * 9
        disk = show(hot["storageSize"] / points, "bytes")
        index = show(hot["totalIndexSize"] / points, "bytes")
        beside = f"on MongoDB's disk {disk}, index {index}; {points:,} points, their values with all digits"
        title = "bytes a point, hot: documents of 1,000 points, 3 fields"
        bench.keep(title, 15.0, [hot["size"] / points], "bytes", beside=beside, stored=right)
        bench.measured("full_digits", server.url, "digits", series, 9_000, 1)
        right = found.settled()
        points = series * 10_000
        chunks, size = found.objects(found.run("digits"))
        manifest = found.sizes("manifest")
        right &= sum(found.sealed(found.run("digits"), name) for name in names_of(series)) == points
        beside = (
            f"{chunks} chunks; the manifest beside it {show(manifest['size'] / points, 'bytes')}, "
            f"on disk {show(manifest['storageSize'] / points, 'bytes')}"
        )
        title = "bytes a point, cold: chunks of 10,000 points, 3 fields"
        bench.keep(title, 8.0, [size / points], "bytes", beside=beside, stored=right)


# ---------------------------------------------------------------- cold reads


def cold(bench: Bench) -> None:
    """Series that were sent to the server, and archived by it; each read is asked of fresh servers."""
    big, million = bench.size(10_000_000, 100_000), bench.size(1_000_000, 100_000)
    with bench.tier("cold") as tier, tier.stored() as found:
        made = {}
        with bench.serving() as server:
            for label, count in (("big", big), ("million", million)):
                sent = (server.url, server.pid, 1, count // LARGE - 1, LARGE, "zstd", label)
                made[label] = bench.ask("load.py", *sent)
                found.settled()
        want = expected(big)
        right = is_stored(found, "big-0", ["loss"], want)
        right &= is_stored(found, "million-0", ["loss"], tuple(one[:million] for one in want))
        low, high = float(want[0].min()), float(want[0].max())
        what = f"{told_chunks(found, 'big-0', big)}; "
        read(bench, "few", "big-0", big, f"10 points at a random index of {big:,}", 0.030, what, right)
        what = f"{told_chunks(found, 'million-0', million)}; "
        read(
            bench, "all_rows", "million-0", million, f"all of {million:,} points as rows", 3.0, what, right, first=True
        )
        read(
            bench,
            "column",
            "million-0",
            million,
            f"one field of {million:,} points as NumPy",
            0.8,
            "",
            right,
            first=True,
        )
        read(bench, "sample", "big-0", big, sample_of(big), 0.1, "", right, low, high, first=True)


def read(
    bench: Bench,
    figure: str,
    name: str,
    count: int,
    title: str,
    limit: float,
    beside: str,
    right: bool,
    *more: object,
    first: bool = False,
) -> float:
    """A read over HTTP by the public interface, and in the store: the first one of a fresh server, or of a fresh process, and
    those that follow. `first`: the limit is for the first."""
    http, store = [], []
    for _ in range(FRESH):
        with bench.serving() as server:
            http.append(bench.measured(figure, server.url, name, count, *more))
        store.append(bench.measured(figure, STORE, name, count, *more))
    right &= all(one["right"] for one in (*http, *store))
    main, other = ("first", "again") if first else ("again", "first")
    words = {"first": "the first of a fresh server", "again": "repeated"}
    unit = "s" if limit > 0.5 else "ms"

    def told(answers: Sequence[Answer], key: str) -> str:
        return show(statistics.median(column(answers, key)), unit)

    beside += (
        f"{words[other]} {told(http, other)}; in the store {told(store, main)}, {words[other]} {told(store, other)}"
    )
    measured = column(http, main)
    bench.keep(f"{title}, over HTTP, {words[main]}", limit, measured, unit, beside=beside, stored=right)
    return statistics.median(measured)


def sample_of(count: int) -> str:
    return f"sample, 1,000 buckets of {count:,}"


def told_chunks(found: Stored, run: str, count: int) -> str:
    run_id = found.run(run)
    chunks, size = found.objects(run_id)
    return f"{found.sealed(run_id, 'loss'):,} points in {chunks} chunks, {size / count:.1f} bytes each"


def huge(bench: Bench) -> None:
    """Series of real chunks, made by the archiver's own code: large ones, as after a burst, and the smallest that it makes."""
    ten, hundred = bench.size(10_000_000, 1_000_000), bench.size(100_000_000, 2_000_000)
    pattern = values(0, min(1_000_000, ten))
    with bench.tier("huge") as tier, tier.stored() as found:
        for name, count, size in (
            ("large", hundred, 200_000),
            ("small-ten", ten, 10_000),
            ("small", hundred, 10_000),
        ):
            took = bench.measured("build", STORE, name, count, size)["seconds"]
            right = found.sealed(found.run(name), "loss") == count == found.manifest_points(found.run(name))
            beside = f"{told_chunks(found, name, count)}, made in {took:.0f} s; "
            title = f"{sample_of(count)} in chunks of {size:,}"
            read(bench, "sample", name, count, title, 0.1, beside, right, min(pattern), max(pattern), first=True)
        title = f"10 points at a random index of {hundred:,} in chunks of 10,000"
        read(bench, "few", "small", hundred, title, 0.030, "", right, len(pattern))


# ---------------------------------------------------------------- many series, many runs


def memory(bench: Bench) -> None:
    each, points = bench.size(MANY_SERIES) // MANY_CONNECTIONS // SERIES * SERIES, MANY_POINTS
    series, size = each * MANY_CONNECTIONS, points // 10
    requests = each // SERIES * 10 - 1
    with bench.tier("memory") as tier, tier.stored() as found, bench.serving() as server:
        before = servers.resident(server.pid)
        sent = (server.url, server.pid, MANY_CONNECTIONS, requests, size, "zstd", "wide")
        answer = bench.ask("load.py", *sent, "--series", SERIES, "--of", each)
        right = found.db.heads.count_documents({}) == series and found.bucket_points() == series * points
        for connection in range(MANY_CONNECTIONS):
            right &= is_stored(found, f"wide-{connection}", names_of(each)[:: each // 50], expected(points))
    steps = ", ".join(f"{bytes_ / 2**20:.0f}" for bytes_ in answer["memory"])
    whole = series * points
    beside = (
        f"at the start {show(before, 'MiB')}, with {series:,} series {show(answer['memory'][0], 'MiB')}, after {whole:,} points "
        f"{show(answer['memory'][-1], 'MiB')} (after each tenth: {steps}); {answer['requests'] * SERIES / answer['seconds']:,.0f} "
        f"series-batches/s of {size} points"
    )
    # What is remembered of a series, the hashes of its last rows among it, is whole after two tenths.
    title = f"server's memory grown by {whole:,} points in {series:,} series (between the third tenth and the last)"
    grown = answer["memory"][-1] - answer["memory"][2]
    bench.keep(title, 4 * FLAT, [grown], "MiB", beside=beside, stored=right)


def runs(bench: Bench) -> None:
    count = bench.size(1_000)
    with bench.tier("runs") as tier, tier.stored() as found:
        with bench.serving() as server:
            bench.measured("make_runs", server.url, "many", count)
            busy = bench.measured("listed", server.url, "many", count)
            found.quiet()
            in_store = bench.measured("listed", STORE, "many", count)
            http = bench.measured("listed", server.url, "many", count)
        with bench.serving() as server:
            restarted = bench.measured("listed", server.url, "many", count)
    right = all(one["right"] for one in (busy, in_store, http, restarted))
    told = {
        "the first of a fresh server": restarted["first"],
        "the first after the last append, in the store": in_store["first"],
        "repeated, in the store": statistics.median(in_store["again"]),
        "while all are written to": statistics.median(busy["again"]),
    }
    beside = "; ".join(f"{what} {show(took, 'ms')}" for what, took in told.items())
    title = f"{count:,} runs × 20 series listed with parameters and last values, over HTTP, repeated"
    bench.keep(title, 0.2, http["again"], "ms", beside=beside, stored=right)


GROUPS: dict[str, Callable[[Bench], None]] = {
    "ingest": ingest,
    "single_points": single_points,
    "many_series": many_series,
    "sustained": sustained,
    "bytes": bytes_a_point,
    "cold": cold,
    "huge": huge,
    "memory": memory,
    "runs": runs,
}


# ---------------------------------------------------------------- side by side


def peers(bench: Bench, rounds: int) -> tuple[list[str], bool]:
    """The table, and whether ours has stored what it was given."""
    place = postgres.programs()
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running(place, bench.root)) if place else None
        numbers = iter(range(1_000))

        def more(name: str, number: int) -> dict[str, str]:
            if name == "mlflow" and database is not None:
                return {"BENCH_DATABASE": database.database(f"round_{next(numbers)}")}
            tier = stack.enter_context(bench.tier("peer"))
            return tier.environment if name == "ours" else {}

        names = ("ours", "mlflow") if place else ("ours",)
        tallies = remote_peers.measured(bench.root, rounds, bench.shrink, names, more)
    text = [*remote_peers.table(tallies, bench.shrink), ""]
    if place:
        text += [
            f"Medians of {rounds} rounds; contestants took turns. PostgreSQL {postgres.version(place)} as Debian has it, its settings as",
            "they come, its data on the same disk.",
        ]
    else:
        text += ["MLflow is not here: no PostgreSQL is installed (Debian: apt-get install postgresql)."]
    return text, not remote_peers.ours_is_wrong(tallies)


# ---------------------------------------------------------------- the report


@dataclasses.dataclass
class Part:
    """What one group gave: lines of a table, or a text of its own."""

    lines: list[str]
    right: bool
    facts: str
    finished: str
    shrink: int

    def keep(self, group: str) -> None:
        PARTS.mkdir(exist_ok=True)
        (PARTS / f"{group}.json").write_text(json.dumps(dataclasses.asdict(self)))


def kept(group: str) -> Part | None:
    """The figures of an earlier full run of the group."""
    file = PARTS / f"{group}.json"
    return Part(**json.loads(file.read_text())) if file.exists() else None


def measured(bench: Bench, group: str, rounds: int) -> Part:
    load_before, start = machine.load(), time.monotonic()
    if group == "peers":
        lines, right = peers(bench, rounds)
    else:
        since = len(bench.figures)
        GROUPS[group](bench)
        figures: list[Figure] = bench.figures[since:]
        lines, right = [line(figure) for figure in figures], all(figure.stored for figure in figures)
    finished = f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC"
    print(f"{group}: {time.monotonic() - start:.0f} s", flush=True)
    return Part(lines, right, load_before, finished, bench.shrink)


def report(parts: dict[str, Part], facts: str) -> str:
    lines = ["# The two tiers: MongoDB and S3", ""]
    if any(part.shrink > 1 for part in parts.values()):
        lines += ["**A quick run with small sizes, for trying out: no numbers to keep.**", ""]
    lines += ["| figure | limit | median | lowest – highest | beside it | within? |", "|---|---:|---:|---|---|---|"]
    lines += [one for group, part in parts.items() if group != "peers" for one in part.lines]
    lines += [
        "",
        "The server is `ml-dash server --mongo … --s3 …` as it comes, one process, which archives as well; MongoDB 6.0 (a replica",
        "set of one node) and SeaweedFS (S3) run on the same machine. Every append is acknowledged by a journalled majority. The floor",
        "is a bare Starlette route that decodes the lines and inserts them into MongoDB in groups, as durable, and does nothing else;",
        "it took turns with ours. Limits are for an idle machine of two cores. How: bench/README.md.",
        "",
    ]
    if "peers" in parts:
        lines += ["## Side by side, each with its own server and database", "", *parts["peers"].lines, ""]
    lines += [facts, "", "| group | load before it | finished |", "|---|---|---|"]
    lines += [f"| {group} | {part.facts} | {part.finished} |" for group, part in parts.items()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*GROUPS, "peers"]
    parser.add_argument("--quick", action="store_true", help="small sizes and two repeats: tries the code out")
    parser.add_argument("--only", help=f"groups, separated by commas: {', '.join(everything)}")
    parser.add_argument("--resume", action="store_true", help="leave out groups that an earlier full run has measured")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of load (3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the contestants (3)")
    options = parser.parse_args()
    groups = options.only.split(",") if options.only else everything
    unknown = set(groups) - set(everything)
    if unknown:
        parser.error(f"no group is called {', '.join(sorted(unknown))}; there are {', '.join(everything)}")
    if not Path("/proc/self/stat").exists():
        sys.exit("these figures read processor times and memory from /proc: run them on Linux")
    failure = setup.set_up(setup.choose("ours")[0])
    if failure:
        sys.exit(f"this project cannot be measured: {failure}")
    repeats, rounds, shrink = (2, 1, 20) if options.quick else (options.repeats, options.rounds, 1)
    parts: dict[str, Part] = {}
    with servers.disk_folder() as root:
        facts = f"{machine.facts()} {remote.disk(root)}"
        with replica_set(1, root / "mongo") as mongo, SeaweedFS(root / "s3") as s3:
            bench = Bench(root, shrink, repeats, mongo.uri, s3.place())
            for group in groups:
                part = kept(group) if options.resume and not options.quick else None
                if part is None:
                    part = measured(bench, group, rounds)
                    if not options.quick:
                        part.keep(group)
                parts[group] = part
    if options.only and not options.quick:
        others = {group: part for group in everything if group not in parts and (part := kept(group))}
        parts = {group: (parts | others)[group] for group in everything if group in parts or group in others}
    text = report(parts, facts)
    RESULTS.mkdir(exist_ok=True)
    partial = options.quick or set(parts) != set(everything)
    (RESULTS / ("tiers-quick.md" if partial else "tiers.md")).write_text(text)
    print("\n" + text)
    if not all(part.right for part in parts.values()):
        sys.exit("what was stored is not what was sent: see above")


if __name__ == "__main__":
    main()
