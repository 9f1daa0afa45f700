"""Appends: what an acknowledgement means, which requests share a sync, and that one request's trouble is no other's."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_dash import codec
from ml_dash.codec import encode_row
from ml_dash.errors import Conflict, InvalidInput, NotFound, PermissionDenied, Unavailable
from ml_dash.model import EVENTS, LOGS, METRICS, Appended, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.server.appends import Request, append_group
from ml_dash.server.caller import ANYBODY, Caller
from ml_dash.server.ingest import GroupCommit, Groups, Outcome, outcome_of
from ml_dash.server.limits import Limits
from ml_dash.server.service import Service
from ml_dash.server.threads import Threads
from ml_dash.store import wire
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.calls import append, batch, make_run, problem, stored_values
from tests.server.live import live
from tests.server.processes import ServerProcess

PATIENCE = 60.0


class Gated(MemoryStore):
    """A store whose flushes wait to be let go on, each by name, and which notes what happened in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.failure: OSError | None = None

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        done = super().append(batches)
        self.events += [f"append {batch.series.name}" for batch in batches]
        return done

    def flush(self, run: str | None = None) -> None:
        self.events.append("flush")
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE)
        self.events.append("flushed")
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def gated() -> Gated:
    return Gated()


@pytest.fixture
def slow_api(gated: Gated) -> Iterator[httpx.Client]:
    with live(create_app(gated)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=PATIENCE) as api:
        yield api


def wait_for(check: Any) -> None:
    give_up = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_an_acknowledgement_waits_for_a_sync_that_began_after_its_rows(gated: Gated, slow_api: httpx.Client) -> None:
    """A request that comes while a sync is under way appends at once and is not acknowledged by that sync, but by the next;
    all that came meanwhile share that one."""
    run = make_run(slow_api)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(append, slow_api, batch(run, [1], "first"))
        assert gated.begun.acquire(timeout=PATIENCE)
        others = [pool.submit(append, slow_api, batch(run, [1], f"other{n}")) for n in range(5)]
        wait_for(lambda: sum(event.startswith("append other") for event in gated.events) == 5)
        assert not first.done()
        gated.go.release()
        assert first.result(PATIENCE).status_code == 200
        assert gated.begun.acquire(timeout=PATIENCE)
        assert not any(other.done() for other in others)
        gated.go.release()
        assert [other.result(PATIENCE).status_code for other in others] == [200] * 5
    assert gated.events.count("flush") == 2
    assert [event for event in gated.events if not event.startswith("append other")] == [
        "append first",
        *["flush", "flushed"] * 2,
    ]


def test_a_sync_that_fails_is_told_to_all_who_waited(gated: Gated, slow_api: httpx.Client) -> None:
    """Whose rows may not be durable is told so, and when to come again; the next sync is the next one's."""
    run = make_run(slow_api)
    gated.failure = OSError(28, "No space left on device")
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(append, slow_api, batch(run, [1], "first"))
        assert gated.begun.acquire(timeout=PATIENCE)
        others = [pool.submit(append, slow_api, batch(run, [1], f"other{n}", "w")) for n in range(3)]
        wait_for(lambda: len(gated.events) == 5)
        gated.go.release(2)
        for request in (first, *others):
            answer = request.result(PATIENCE)
            assert "No space" in problem(answer, 507, "Unavailable")
            assert answer.headers["retry-after"] == "1"
        gated.failure = None
        gated.go.release(10)
        answer = append(slow_api, batch(run, [1], "other0", "w"))
        assert answer.json() == {"appended": [{"first": None, "count": 0, "total": 1}]}


def test_a_defect_in_a_sync_is_told_too_and_does_not_end_syncing() -> None:
    """Whatever a sync raises, whoever waits for it hears of it, and the next one syncs again."""
    calls: list[int] = []

    def flush() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a defect")

    async def work() -> None:
        commit = GroupCommit(flush)
        with pytest.raises(ZeroDivisionError):
            await commit.durable()
        await commit.durable()
        commit.close()

    asyncio.run(work())
    assert len(calls) == 2


def test_whoever_gives_up_waiting_does_not_disturb_the_others() -> None:
    """A request that is cancelled while it waits leaves the group whole."""
    go = threading.Event()

    async def work() -> None:
        commit = GroupCommit(lambda: assert_that(go.wait(PATIENCE)))
        waiting = [asyncio.create_task(commit.durable()) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[1].cancel()
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
        commit.close()

    asyncio.run(work())


def assert_that(value: object) -> None:
    assert value


def test_one_requests_trouble_is_no_others(api: httpx.Client, root: Path) -> None:
    """Requests with a row, a run or a seq that is wrong are refused, each for its own reason and whole; those that come at the same
    time are stored."""
    run = make_run(api)
    wrong_row = wire.encode_batches([batch(run, [1], "bad"), batch(run, [2], "bad")]).replace(
        b'{"value": 2}', b'{"value"; 2}'
    )
    assert append(api, batch(run, range(3), "marked", "w")).status_code == 200

    def good(number: int) -> httpx.Response:
        return append(api, batch(run, range(20), f"good{number}", "w"))

    def bad(number: int) -> httpx.Response:
        if number % 3 == 0:
            return api.post("/append", content=wrong_row, headers={"content-type": wire.BATCHES})
        if number % 3 == 1:
            return append(api, batch(run, [1], "bad"), batch(run, [1], "marked", "w", 7))
        return append(api, batch(run, [1], "bad"), batch("nobody", [1]))

    with ThreadPoolExecutor(16) as pool:
        answers = [(pool.submit(good, number), pool.submit(bad, number)) for number in range(30)]
    for number, (fine, refused) in enumerate(answers):
        assert fine.result().json() == {"appended": [{"first": 0, "count": 20, "total": 20}]}
        told = refused.result().json()
        assert stored_values(root, f"good{number}") == list(range(20))
        if number % 3 == 0:
            assert (refused.result().status_code, told["error"], told["batch"]) == (400, "InvalidRow", 1)
        elif number % 3 == 1:
            assert (refused.result().status_code, told["error"], told["expected"]) == (409, "Conflict", 3)
        else:
            assert (refused.result().status_code, told["error"]) == (404, "NotFound")
    assert not (root / "project" / "run" / "metrics" / "bad").exists()
    assert stored_values(root, "marked") == [0, 1, 2]


def test_one_request_may_hold_every_kind_of_series(api: httpx.Client, store: LocalStore) -> None:
    """Metrics, tracks, logs and events of several runs, with an identity or without, in one request and in its order."""
    runs = [make_run(api, name) for name in "ab"]
    keys = [
        SeriesKey(run, kind, name)
        for run in runs
        for kind, name in ((METRICS, "m/n"), ("tracks", "t"), (LOGS, ""), (EVENTS, "e"))
    ]
    row = b'{"timestamp": "2026-01-01T00:00:00Z", "level": "info", "message": "m"}'
    batches = [Batch(key, [row] * 3, writer, seq) for key in keys for writer, seq in ((None, None), ("w", 0))]
    answer = append(api, *batches)
    assert answer.json() == {"appended": [{"first": at, "count": 3, "total": at + 3} for _ in keys for at in (0, 3)]}
    assert [store.read(key, 0, None).total for key in keys] == [6] * len(keys)


@pytest.mark.parametrize("body", [b"", wire.encode_batches([])])
def test_a_request_without_batches(api: httpx.Client, body: bytes) -> None:
    """Nothing is appended, and that is said."""
    answer = api.post("/append", content=body, headers={"content-type": wire.BATCHES})
    assert answer.json() == {"appended": []}


def test_times_that_are_none(api: httpx.Client) -> None:
    """Times that do not rise, that lie outside the batch or in no year of the calendar are refused: nobody could read them back."""
    run = make_run(api)
    for times in (((0, 10**30),), ((0, -1),), ((1, 5), (1, 6)), ((3, 5),), ((-1, 5),)):
        wrong = batch(run, range(3))
        wrong = Batch(wrong.series, wrong.rows, times=times)
        assert "times" in problem(append(api, wrong), 400, "InvalidInput")
    assert api.get(f"/runs/{run}/series").json() == {"series": []}


def test_rows_that_another_process_wrote_are_synced_before_they_are_acknowledged(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is there already may have been written by a process that died before it synced: whoever acknowledges it
    syncs it."""
    before = LocalStore(root)
    run = before.put_run(RunKey("", "project", "run"), RunPatch()).id
    sent = batch(run, range(5), writer="w")
    before.append([sent])
    synced: list[int] = []
    real = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", noted)
    assert store.append([sent])[0].first is None
    store.flush()
    assert (root / "project" / "run" / "metrics" / "loss" / "data.jsonl").stat().st_ino in synced
    before.close()


@pytest.mark.parametrize("series", [1, 40])
def test_appends_go_on_while_a_sync_is_under_way(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, series: int
) -> None:
    """Also to the series that is being synced. Another flush meanwhile does not end before its own rows are synced: it begins a sync
    of its own."""
    begun, go, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)

    def waits(real: Any) -> Any:
        def sync(fd: int) -> None:
            begun.release()
            assert go.acquire(timeout=PATIENCE)
            real(fd)

        return sync

    def flush() -> None:
        store.flush()
        ended.release()

    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    names = [f"m{n}" for n in range(series)]
    for value in range(2):  # the first flush of many is none of the file system's
        store.append([batch(run, [value], name) for name in names])
        if value == 0:
            store.flush()
    files = store._series
    if series == 1 or files._whole is None:
        monkeypatch.setattr(os, "fsync", waits(os.fsync))
    else:
        monkeypatch.setattr(files, "_whole", waits(files._whole))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flush)
        assert begun.acquire(timeout=PATIENCE)
        assert store.append([batch(run, [2], names[0])])[0].first == 2
        assert store.read(SeriesKey(run, METRICS, names[0]), 0, None).total == 3
        second = pool.submit(flush)
        assert begun.acquire(timeout=PATIENCE)
        assert not ended.acquire(blocking=False)
        go.release(1_000)
        first.result(PATIENCE)
        second.result(PATIENCE)
    assert stored_values(root, names[0]) == [0, 1, 2]


def test_a_sync_that_fails_is_done_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be synced is not forgotten: the next flush tries again, of one series or of many."""
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    for series in (1, 40):
        batches = [batch(run, [1], f"of {series}/{n}") for n in range(series)]
        for _ in range(2):
            store.append(batches)
            store.flush()
        store.append(batches)
        failures = 0

        def fail(fd: int) -> None:
            nonlocal failures
            failures += 1
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            if store._series._whole is not None:
                patched.setattr(store._series, "_whole", fail)
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output"):
                    store.flush()
        assert failures >= 2
        store.flush()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            store.flush()


def test_many_series_are_synced_as_one_and_tell_their_lengths_later(store: LocalStore, root: Path) -> None:
    """A sync of many series leaves out what is advisory; closing the store writes it."""
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    for seq in range(3):
        store.append([batch(run, [seq], f"m{n}", "w", seq) for n in range(100)])
        store.flush()
        store.flush()
    store.close()
    for n in range(100):
        place = root / "project" / "run" / "metrics" / f"m{n}"
        assert json.loads((place / "metadata.json").read_bytes())["totalDataPoints"] == 3
        assert stored_values(root, f"m{n}") == [0, 1, 2]
        assert (place / "clock.jsonl").read_bytes().count(b"\n") >= 1


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_of_the_server_in_the_middle_of_requests(root: Path, seed: int) -> None:
    """Clients send batches, each again until it is acknowledged, to a server that is killed and started again. In the end every
    row is in the files once, in each client's order, and at every death what was acknowledged was there."""
    chance = random.Random(seed)
    ended = threading.Event()
    acknowledged: dict[tuple[int, str], int] = {}
    sent: dict[tuple[int, str], int] = {}
    with ServerProcess(root) as server:
        with httpx.Client(base_url=f"{server.url}/api/v1") as api:
            run = make_run(api)

        def write(client: int) -> None:
            names = ["shared", *(f"own{client}/{n}" for n in range(client + 1))]
            with httpx.Client(base_url=f"{server.url}/api/v1", timeout=PATIENCE) as api:
                while not ended.is_set():
                    batches = []
                    for name in names:
                        seq = acknowledged.get((client, name), 0)
                        # The same rows again where it is not known what became of them, and sometimes more behind them.
                        stop = max(sent.get((client, name), 0), seq + 1 + (seq * 7 + client) % 40)
                        sent[client, name] = stop
                        values = [[client, at] for at in range(seq, stop)]
                        batches.append(batch(run, values, name, f"writer{client}", seq))
                    try:
                        answer = append(api, *batches)
                    except httpx.TransportError:
                        time.sleep(0.01)
                        continue
                    assert answer.status_code == 200, answer.text
                    for name in names:
                        acknowledged[client, name] = sent[client, name]

        def check() -> None:
            for name in {name for _, name in sent}:
                told = {client: count for (client, of), count in acknowledged.items() if of == name}
                by_client: dict[int, list[int]] = {}
                for client, at in stored_values(root, name) if told else ():
                    by_client.setdefault(client, []).append(at)
                for client, count in told.items():
                    found = by_client[client]
                    assert found == list(range(len(found))), (name, client)
                    assert len(found) >= count, (name, client)

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(write, client) for client in range(4)]
            try:
                for _ in range(4):
                    time.sleep(0.2 + chance.random())
                    told = dict(acknowledged)
                    server.kill()
                    for (client, name), count in told.items():
                        lines = (root / "project" / "run" / "metrics" / name / "data.jsonl").read_bytes()
                        rows = [json.loads(line)["data"]["value"] for line in lines.split(b"\n")[:-1]]
                        assert sum(value[0] == client for value in rows) >= count
                    server.restart()
                time.sleep(0.3)
            finally:
                ended.set()
            for future in clients:
                future.result(PATIENCE)
        check()
        assert min(acknowledged.values()) > 0


def test_no_more_threads_append_than_may() -> None:
    """However many requests come, and however slow the store is."""
    most = 0
    inside = 0
    mutex = threading.Lock()

    class Counting(MemoryStore):
        def append(self, batches: Sequence[Batch]) -> list[Appended]:
            nonlocal most, inside
            with mutex:
                inside += 1
                most = max(most, inside)
            time.sleep(0.15)
            with mutex:
                inside -= 1
            return super().append(batches)

    with (
        live(create_app(Counting(), Limits(appends=3))) as url,
        httpx.Client(base_url=f"{url}/api/v1", timeout=PATIENCE) as api,
        ThreadPoolExecutor(12) as pool,
    ):
        run = make_run(api)
        answers = list(pool.map(lambda n: append(api, batch(run, [n])), range(36)))
        assert [answer.status_code for answer in answers] == [200] * 36
        assert api.get(f"/runs/{run}/rows?kind=metrics&name=loss").text.count("index") == 36
    assert 1 < most <= 3


# ---------------------------------------------------------------- groups


def one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Outcome[Any]]:
    return [outcome_of(call) for call in calls]


def test_calls_that_wait_together_are_one_job() -> None:
    """While one job runs, those who come meanwhile gather into the next; each gets its own answer or its own error."""

    async def scenario() -> None:
        threads = Threads("test", 4)
        groups = Groups(threads, 4, one_by_one, slow=60)
        begun, go = threading.Event(), threading.Event()

        def call(number: int) -> int:
            if number == 0:
                begun.set()
                assert go.wait(20)
            if number == 3:
                raise InvalidInput("three")
            return number

        first = asyncio.create_task(groups.run(partial(call, 0)))
        assert await asyncio.to_thread(begun.wait, 20)
        others = [asyncio.create_task(groups.run(partial(call, n))) for n in range(1, 6)]
        await asyncio.sleep(0)
        go.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert [repr(answer) for answer in answers] == ["0", "1", "2", "InvalidInput('three')", "4", "5"]
        threads.close()

    asyncio.run(scenario())


def test_a_group_that_hangs_does_not_keep_others_waiting() -> None:
    """A call that waits for a lock holds up its own group, and nobody else for longer than a moment; at most so many hang."""

    async def scenario() -> None:
        threads = Threads("test", 3)
        groups = Groups(threads, 3, one_by_one, slow=0.01)
        go = threading.Event()

        def hang() -> bool:
            return go.wait(30)

        hanging = []
        for _ in range(2):
            hanging.append(asyncio.create_task(groups.run(hang)))
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(groups.run(lambda: "past them"), 20) == "past them"
        assert not any(task.done() for task in hanging)
        given_up = asyncio.create_task(groups.run(lambda: None))
        await asyncio.sleep(0)
        given_up.cancel()
        go.set()
        assert await asyncio.gather(*hanging) == [True, True]
        threads.close()

    asyncio.run(scenario())


# ---------------------------------------------------------------- requests that came together


class Calls(MemoryStore):
    """Notes which calls of `append` there were, as the series of each; `failures` are raised by the next ones, after `stored` of
    their batches were stored."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.failures: list[Exception] = []
        self.stored = 0

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        self.calls.append([one.series.name for one in batches])
        if self.failures:
            super().append(batches[: self.stored])
            raise self.failures.pop(0)
        return super().append(batches)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def run(calls: Calls) -> str:
    return calls.put_run(RunKey("", "project", "run"), RunPatch()).id


def together(calls: Calls, *requests: Sequence[Batch] | Exception, most: int = 1 << 20) -> list[Any]:
    """What becomes of the requests, as a group; each is its batches, or what is wrong with it."""

    def load(request: Sequence[Batch] | Exception) -> Sequence[Batch]:
        if isinstance(request, Exception):
            raise request
        return request

    wanted = [Request(partial(load, request), calls.append) for request in requests]
    return [outcome.failed or outcome.done for outcome in append_group(wanted, calls.append, most)]


def counts_of(answers: Sequence[Sequence[Appended]]) -> list[list[tuple[int | None, int]]]:
    return [[(one.first, one.count) for one in answer] for answer in answers]


def test_requests_with_an_identity_are_one_call(calls: Calls, run: str) -> None:
    """Each gets its own batches' answers, in order; a request without batches gets none."""
    first = [batch(run, range(3), "a", "w"), batch(run, range(2), "b", "w")]
    second = [batch(run, range(5), "a", "v")]
    answers = together(calls, first, [], second)
    assert calls.calls == [["a", "b", "a"]]
    assert counts_of(answers) == [[(0, 3), (0, 2)], [], [(3, 5)]]


def test_the_same_request_twice_in_a_group_is_stored_once(calls: Calls, run: str) -> None:
    """As when a client gave up waiting and sent it again before the first was stored."""
    sent = [batch(run, range(3), "a", "w")]
    assert counts_of(together(calls, sent, sent, [batch(run, range(5), "a", "w")])) == [[(0, 3)], [(None, 0)], [(3, 2)]]
    assert len(calls.calls) == 1


def test_a_request_without_an_identity_is_a_call_of_its_own(calls: Calls, run: str) -> None:
    """Sent again it would be stored twice. So is one of which a batch has none."""
    plain, mixed = [batch(run, [1], "plain")], [batch(run, [1], "m", "w"), batch(run, [1], "mixed")]
    answers = together(calls, [batch(run, [1], "a", "w")], plain, mixed, [batch(run, [1], "b", "w")])
    assert sorted(calls.calls) == [["a", "b"], ["m", "mixed"], ["plain"]]
    assert counts_of(answers) == [[(0, 1)], [(0, 1)], [(0, 1), (0, 1)], [(0, 1)]]


def test_a_request_that_cannot_be_read_is_no_others_trouble(calls: Calls, run: str) -> None:
    wrong = InvalidInput("no such thing")
    fine, refused, other = together(calls, [batch(run, [1], "a", "w")], wrong, [batch(run, [1], "b", "w")])
    assert refused is wrong
    assert counts_of([fine, other]) == [[(0, 1)], [(0, 1)]]
    assert calls.calls == [["a", "b"]]


def test_no_call_takes_more_than_so_many_bytes(calls: Calls, run: str) -> None:
    """But for a request that is larger by itself. It may be cut into lines already, or not yet."""
    rows = [encode_row({"value": "x" * 90})] * 2
    size = sum(map(len, rows))
    lines = codec.Lines(METRICS, 0, 2, codec.render(METRICS, 0, rows))
    requests = [[Batch(SeriesKey(run, METRICS, name), lines if name == "c" else rows, "w", 0)] for name in "abcd"]
    requests.append([batch(run, ["x" * 1000], "large", "w")])
    together(calls, *requests, [batch(run, [1], "small", "w")], most=3 * size - 1)
    assert calls.calls == [["a", "b"], ["c", "d"], ["large"], ["small"]]


@pytest.mark.parametrize("failure", [NotFound("no run"), Conflict("gap", 3), OSError(28, "No space left on device")])
def test_a_call_that_fails_is_made_again_for_each(calls: Calls, run: str, failure: Exception) -> None:
    """Whose fault it is shows then. What the failed call had stored is known by its identity."""
    calls.failures, calls.stored = [failure], 1
    requests = [[batch(run, [1, 2], name, "w")] for name in "ab"]
    unknown = [batch("nobody", [1], "c", "w")]
    first, second, refused = together(calls, *requests, unknown)
    assert counts_of([first, second]) == [[(None, 0)], [(0, 2)]]
    assert isinstance(refused, NotFound)
    assert calls.calls == [["a", "b", "c"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize("failure", [Unavailable("the database is away", 2.0), ZeroDivisionError("a defect")])
def test_what_is_nobodys_fault_is_told_to_all_at_once(calls: Calls, run: str, failure: Exception) -> None:
    """A store that does not answer is not asked again for each: that would take as many time-outs."""
    calls.failures = [failure]
    assert together(calls, *([batch(run, [1], name, "w")] for name in "abc")) == [failure] * 3
    assert len(calls.calls) == 1


def test_requests_of_several_callers_each_see_their_own(calls: Calls) -> None:
    """What a caller may not append to is not there for him, also where it is appended to in the same call."""
    runs = {space: calls.put_run(RunKey(space, "p", "n"), RunPatch()).id for space in ("ours", "theirs")}

    async def scenario() -> list[Any]:
        service = Service(calls, Limits(slow=60))
        begun, go = threading.Event(), threading.Event()

        def hold() -> list[Batch]:
            begun.set()
            assert go.wait(PATIENCE)
            return []

        def ask(space: str, run: str, name: str) -> asyncio.Task[Any]:
            caller = Caller("write", (space,), "")
            return asyncio.create_task(service.appended(caller, lambda: [batch(run, [1], name, "w")]))

        held = asyncio.create_task(service.appended(ANYBODY, hold))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        asked = [ask("ours", runs["ours"], "a"), ask("ours", runs["theirs"], "b"), ask("theirs", runs["theirs"], "c")]
        reader = asyncio.create_task(
            service.appended(Caller("read", None, ""), lambda: [batch(runs["ours"], [1], "d", "w")])
        )
        await asyncio.sleep(0)
        go.set()
        answers = await asyncio.gather(*asked, reader, return_exceptions=True)
        assert await held == []
        await asyncio.to_thread(service.close)
        return answers

    ours, hidden, theirs, refused = asyncio.run(scenario())
    assert counts_of([ours, theirs]) == [[(0, 1)], [(0, 1)]]
    assert isinstance(hidden, NotFound)
    assert isinstance(refused, PermissionDenied)
    assert calls.calls == [[], ["a", "c"]]
