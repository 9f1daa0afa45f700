"""`ml-dash server migrate`: a folder of local runs, brought to the two tiers or to a server; killed, made again, while a run is written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.migrate import Migration, Report
from ml_dash.model import EVENTS, LOGS, METRICS, Run, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.server.tokens import TokenFile
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from ml_dash.store.tiered import TieredStore
from tests.cli.conftest import make_runs
from tests.server.processes import ServerProcess
from tests.tiered.shop import command, environment, seen
from tests.tiered.tiers import Tiers

LABELS = {":digits/low", ":digits/mid", ":digits/high", ":other/low", ":robots/arm", "vision:digits/low"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs and one of a namespace, to be looked at only."""
    root = make_runs(tmp_path_factory.mktemp("folder") / "runs")
    with closing(LocalStore(root)) as store:
        run = store.put_run(RunKey("vision", "digits", "low"), RunPatch(params={"of": "vision"}, write_protected=True))
        store.put_run(run.key, RunPatch(description="told later"))
    TokenFile(str(root)).create("write", ["vision"], name="brought")
    return root


@pytest.fixture
def target(tiers: Tiers) -> Iterator[TieredStore]:
    with closing(tiers.store(threshold=10_000)) as store:
        yield store


def migrate(folder: Path, target: Store, **options: Any) -> list[Report]:
    """As the command does it."""
    with closing(LocalStore(folder)) as source:
        migration = Migration(source, target, **({"patience": 5} | options))
        runs, unread = migration.runs()
        assert unread == []
        return [migration.bring(run) for run in runs]


def told(store: Store) -> dict[str, dict[str, Any]]:
    """By label: all that readers see, but for what is of the store alone: ids of runs, how files are kept."""
    found = {}
    for run in store.find_runs(RunQuery(series=True)):
        one = seen(store, run)
        one["record"] = _record(run)
        one["rows"] = {
            (kind, name): (
                total,
                lines,
                () if kind == LOGS else _thinned(ticks),
            )  # rows of a log tell the time themselves
            for (kind, name), (total, lines, ticks) in one["rows"].items()
            if total
        }
        one["files"] = {key: (_about(file), data) for key, (file, data) in one["files"].items()}
        found[f"{run.key.namespace}:{run.key.project}/{run.key.name}"] = one
    return found


def _record(run: Run) -> str:
    names = ("key", "kind", "status", "params", "tags", "description", "metadata", "write_protected", "created_at")
    attempts = [
        (one.id, one.status, one.started_at, one.ended_at, one.host, one.pid, one.first) for one in run.attempts
    ]
    return repr([*(getattr(run, name) for name in names), attempts])


def _thinned(ticks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Only those that tell another time than the one before: a client that reads page by page has one at each page's begin."""
    return [tick for at, tick in enumerate(ticks) if not at or tick[1] > ticks[at - 1][1]]


def _about(file: Any) -> tuple[Any, ...]:
    names = ("filename", "path", "description", "tags", "content_type", "metadata", "checksum", "size_bytes")
    return tuple(repr(getattr(file, name)) for name in names)


def at_home(folder: Path) -> dict[str, dict[str, Any]]:
    with closing(LocalStore(folder)) as store:
        return told(store)


def stored(tiers: Tiers) -> dict[str, int]:
    """How many documents there are."""
    with closing(tiers.store()) as store:
        return {
            name: store.hot.db[name].count_documents({}) for name in ("buckets", "heads", "runs", "files", "uploads")
        }


# ---------------------------------------------------------------- all of it, once


def test_all_of_a_folder_is_there(made: Path, target: TieredStore) -> None:
    """Metrics, tracks, logs, events, parameters, files, attempts, times; of every namespace."""
    reports = migrate(made, target)
    assert [report.troubles for report in reports] == [[]] * 6
    home, there = at_home(made), told(target)
    assert set(there) == set(home) == LABELS
    for label in LABELS:
        assert there[label] == home[label]
    assert sum(report.files for report in reports) == 1
    assert sum(report.points for report in reports) == sum(t for one in home.values() for t, *_ in one["rows"].values())


def test_twice_is_once(made: Path, target: TieredStore, tiers: Tiers) -> None:
    """Nothing is brought, nothing is changed, also by another process, and by small requests after large ones."""
    migrate(made, target)
    before, documents = told(target), stored(tiers)
    for options in ({}, {"points": 7, "size": 300}):
        again = migrate(made, target, **options)
        assert {(one.points, one.files, *one.troubles) for one in again} == {(0, 0)}
    assert (told(target), stored(tiers)) == (before, documents)


def test_what_was_changed_at_the_target_since_stays(made: Path, target: TieredStore) -> None:
    migrate(made, target)
    run = target.get_run(RunKey("", "digits", "low"))
    target.update_run(run.id, RunPatch(params={"lr": 7}, tags=["mine"]))
    migrate(made, target)
    after = target.get_run(run.id)
    assert (after.params["lr"], after.tags) == (7, ["mine"])


def test_another_run_of_the_name_is_not_touched(made: Path, target: TieredStore) -> None:
    """It is named, and the others are brought."""
    other = target.put_run(RunKey("", "digits", "low"), RunPatch(params={"other": 1}))
    reports = {report.label: report for report in migrate(made, target)}
    [trouble] = reports["digits/low"].troubles
    assert other.id in trouble
    assert target.get_run(other.id).params == {"other": 1}
    assert target.describe(other.id) == []
    assert sum(bool(report.troubles) for report in reports.values()) == 1
    assert len(told(target)) == 6


# ---------------------------------------------------------------- broken off


def big(root: Path) -> dict[str, dict[str, Any]]:
    """A folder that takes a while; what it holds."""
    with Experiment("big", "p", local_path=root).run as experiment:
        experiment.params.set(lr=0.1)
        for name in ("a", "b/c"):
            experiment.metrics(name).append_batch([{"value": at / 7, "step": at} for at in range(20_000)])
        for at in range(300):
            experiment.log(f"line {at}")
        for at in range(8):
            experiment.file().save_json([at] * 50_000, f"{at}.json")
    return at_home(root)


SLOW = """
import sys
from contextlib import closing
from ml_dash.migrate import Migration
from ml_dash.store.local import LocalStore
from ml_dash.store.tiered import TieredStore
folder, mongo, s3, endpoint = sys.argv[1:]
with closing(LocalStore(folder)) as source, closing(TieredStore(mongo, s3, endpoint=endpoint, archive=False)) as target:
    migration = Migration(source, target, points=700)
    for run in migration.runs()[0]:
        migration.bring(run, lambda left: print(left.points, left.changes, flush=True) or sys.stdin.readline())
"""
"""Waits for a line after each request."""


def test_a_migration_that_was_killed_goes_on(tiers: Tiers, target: TieredStore, tmp_path: Path) -> None:
    """kill -9 in a request of rows, twice, and in a file's. Every row and file is there once in the end."""
    home = big(tmp_path / "runs")
    line = [sys.executable, "-c", SLOW, str(tmp_path / "runs"), tiers.uri, tiers.place.url, tiers.place.endpoint]
    left: list[tuple[int, int]] = []
    for points, files in ((35_000, 8), (10_000, 8), (0, 5)):
        with subprocess.Popen(
            line, env=environment(tiers), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while not left or left[-1] > (points, files):
                left.append(_told(process.stdout.readline()))
                process.stdin.write("\n")
                process.stdin.flush()
            process.kill()
    assert left[-1] >= (0, 4)
    [report] = migrate(tmp_path / "runs", target)
    assert report.troubles == []
    assert (report.points, 0 < report.files <= 5) == (0, True)
    assert told(target) == home
    assert [(one.points, one.files) for one in migrate(tmp_path / "runs", target)] == [(0, 0)]


def _told(line: str) -> tuple[int, int]:
    points, files = line.split()
    return int(points), int(files)


def test_several_at_once_bring_all_once(tiers: Tiers, target: TieredStore, tmp_path: Path) -> None:
    home = big(tmp_path / "runs")
    line = [sys.executable, "-c", SLOW, str(tmp_path / "runs"), tiers.uri, tiers.place.url, tiers.place.endpoint]
    processes = [
        subprocess.Popen(line, env=environment(tiers), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert told(target) == home


def test_a_run_that_is_being_written(target: TieredStore, tmp_path: Path) -> None:
    """It is brought as far as it has got, is RUNNING there, and the rest is brought when it has ended."""
    experiment = Experiment("live", "p", local_path=tmp_path)
    with experiment.run:
        experiment.metrics("loss").append_batch([{"value": float(at)} for at in range(30)])
        experiment.log("first")
        experiment.flush()
        [report] = migrate(tmp_path, target)
        assert report.troubles == []
        run = target.get_run(RunKey("", "p", "live"))
        assert run.status == "RUNNING"
        assert target.read(SeriesKey(run.id, METRICS, "loss"), 0, None).total == 30
        experiment.metrics("loss").append_batch([{"value": float(at)} for at in range(30, 50)])
        experiment.params.set(lr=0.5)
        experiment.file().save_json(1, "x.json")
    [report] = migrate(tmp_path, target)
    assert (report.files, report.troubles) == (1, [])
    assert told(target) == at_home(tmp_path)
    assert target.get_run(run.id).status == "COMPLETED"


def test_a_target_that_goes_away_and_comes_back(
    target: TieredStore, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third call fails after it has had its effect."""
    from ml_dash.errors import Unavailable

    calls = 0

    def flaky(name: str) -> Any:
        call = getattr(target, name)

        def again(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            found = call(*args, **named)
            if calls % 3 == 0:
                raise Unavailable("try again", 0.0)
            return found

        return again

    for name in ("append", "put_run", "update_run", "put_file", "get_run", "describe"):
        monkeypatch.setattr(target, name, flaky(name))
    assert {tuple(one.troubles) for one in migrate(made, target, backoff=(0.0, 0.0))} == {()}
    monkeypatch.undo()
    assert told(target) == at_home(made)


def test_damage_in_the_folder_is_named_and_the_rest_is_brought(target: TieredStore, tmp_path: Path) -> None:
    with Experiment("one", "p", local_path=tmp_path).run as experiment:
        experiment.metrics("good").append_batch([{"value": 1.0}] * 5)
        experiment.metrics("bad").append_batch([{"value": float(at)} for at in range(2000)])
    [data] = tmp_path.rglob("bad/data.jsonl")
    content = bytearray(data.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"x" * 40
    data.write_bytes(bytes(content))
    [report] = migrate(tmp_path, target)
    assert report.troubles
    assert "bad" in report.troubles[0]
    run = target.get_run(RunKey("", "p", "one"))
    assert target.read(SeriesKey(run.id, METRICS, "good"), 0, None).total == 5


# ---------------------------------------------------------------- the command


def test_the_command_brings_runs_and_tokens(made: Path, tiers: Tiers, target: TieredStore) -> None:
    """A line a run; made again, it says that all was there."""
    done = command(tiers, "migrate", str(made))
    assert (done.returncode, done.stderr) == (0, "")
    assert "brought digits/high: 512 points, 1 file\n" in done.stdout
    assert "6 runs: 6 whole, 0 in part or not." in done.stdout
    assert "1 token brought" in done.stdout
    assert target.hot.db["tokens"].count_documents({"name": "brought"}) == 1
    again = json.loads(command(tiers, "migrate", str(made), "--json").stdout)
    assert {(one["points"], one["files"], *one["troubles"]) for one in again["runs"]} == {(0, 0)}
    assert again["tokens"] == 0
    assert told(target) == at_home(made)


def test_the_command_brings_runs_to_a_running_server(made: Path, tiers: Tiers) -> None:
    """Which archives meanwhile."""
    options = ("--mongo", tiers.uri, "--s3", tiers.place.url, "--s3-endpoint", tiers.place.endpoint)
    with ServerProcess(None, *options, env=tiers.place.env) as server:
        done = command(tiers, "migrate", str(made), "--remote", server.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Tokens are not brought" in done.stdout
        with closing(RemoteStore(server.url)) as remote:
            assert told(remote) == at_home(made)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["no-such-folder"], 3, "there is no folder"),
        ([".", "--remote", "nonsense"], 2, "nonsense"),
        ([".", "--mongo", ""], 2, "give --mongo URI and --s3 URL"),
    ],
)
def test_what_cannot_be_done_is_one_line(tiers: Tiers, words: list[str], code: int, says: str) -> None:
    done = command(tiers, "migrate", *words)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, "")
    assert says in done.stderr


def test_migrated_rows_are_archived(tiers: Tiers, tmp_path: Path) -> None:
    """As all others are, by the process that brings them or by a server later."""
    home = big(tmp_path / "runs")
    with closing(tiers.store(archive=True, threshold=1000)) as target:
        migrate(tmp_path / "runs", target)
        until = time.monotonic() + 60
        while target.hot.due.count_documents({}) and time.monotonic() < until:
            time.sleep(0.05)
        assert told(target) == home
        run = target.get_run(RunKey("", "p", "big"))
        chunked = {info.name: info.chunked for info in target.describe(run.id)}
        assert chunked == {"a": 20_000, "b/c": 20_000}
        assert target.read(SeriesKey(run.id, LOGS, ""), 0, 0).total == 300
        assert (
            target.read(SeriesKey(run.id, EVENTS, ""), 0, 0).total == home[":p/big"]["rows"].get((EVENTS, ""), (0,))[0]
        )
