"""kill -9 and SIGSTOP in remote mode, of clients and of servers, at any moment: what an append has returned is at the server once,
in order, and whoever reads meanwhile is never told wrong."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Child, check_small_records, eventually, run
from tests.crash.remote import LOG, Client, Reader, Server, check_order, spooled_runs
from tests.server.processes import SOURCE

SERIES = ("loss", "train/acc", "batches")
RUNS = ("run", "another")
BATCH = 50
FILE = 3
"""What of a client's words are about: a series, or a file."""


class Load:
    """A client that logs all kinds of things until it dies. `say(what << 40 | n)` after each row `n` that was accepted."""

    def __init__(self, child: Child, client: Client, who: str) -> None:
        self.child, self.client, self.who = child, client, who
        self.n = dict.fromkeys((*SERIES, LOG), 0)
        self.files = 0
        self.chance = random.Random(who)

    def run(self, steps: int = 1_000_000, pause: float = 0.0) -> None:
        for step in range(steps):
            self.step(step)
            if pause and self.chance.random() < 0.1:
                time.sleep(self.chance.random() * pause)

    def rows(self, name: str, count: int) -> list[dict[str, Any]]:
        first = self.n[name]
        self.n[name] += count
        return [{"who": self.who, "n": first + i, "of": [first, count], "pad": "x" * (i % 30)} for i in range(count)]

    def append(self, name: str, count: int = 1) -> None:
        self.client.append(name, *self.rows(name, count))
        self.child.say(SERIES.index(name) << 40 | self.n[name])

    def step(self, step: int) -> None:
        self.append(SERIES[step % 2])
        if step % 10 == 0:
            self.append(SERIES[2], BATCH)
        if step % 7 == 0:
            [row] = self.rows(LOG, 1)
            self.client.log(f"step {step}", **row)
        dice = self.chance.random()
        if dice < 0.02:
            self.client.recorder.set_params({f"{self.who}.step": step, "last": self.who})
        elif dice < 0.03:
            name = f"{self.who}-{self.files}"
            self.client.put_file(f"{name}|".encode() + bytes(self.chance.randrange(200_000)), name)
            self.files += 1
            self.child.say(FILE << 40 | self.files)


def promised(heard: list[int]) -> dict[int, int]:
    """How far a client was told that each thing is stored."""
    told: dict[int, int] = {}
    for number in heard:
        if number >= 0:
            told[number >> 40] = max(told.get(number >> 40, 0), number & ((1 << 40) - 1))
    return told


def check_server(server: Server, name: str, clients: dict[str, list[int]]) -> None:
    """What each client (its name and words) was told to be stored is at the server once, in its order, batches in one piece."""
    for number, series in enumerate(SERIES):
        found = server.rows(name, series)
        reached = check_order(found)
        for who, heard in clients.items():
            assert reached.get(who, 0) >= promised(heard).get(number, 0), (series, who)
        check_batches(found)
    check_order([row["metadata"] for row in server.rows(name, LOG)])
    stored = sorted(content.partition(b"|")[0].decode() for content in server.files(name).values())
    assert len(stored) == len(set(stored))
    assert {f"{who}-{n}" for who, heard in clients.items() for n in range(promised(heard).get(FILE, 0))} <= set(stored)
    check_small_records(server.folder(name))


def check_batches(found: list[dict[str, Any]]) -> None:
    """No batch is there in part: a writer's rows may have others' between them, and are all there."""
    count: dict[tuple[str, int], int] = {}
    for row in found:
        first, size = row["of"]
        count[row["who"], first] = count.get((row["who"], first), size) - 1
    assert not any(count.values())


# ---------------------------------------------------------------- clients that are killed


@pytest.mark.parametrize("part", range(2))
def test_kill_9_of_the_client_at_any_moment(place: Path, part: int) -> None:
    """25 clients, one after the other, of two runs in one spool, are killed in the middle of logging and sending. Each next one
    goes on, and sends what the dead ones left, of the other run as well. In the end all that was accepted is at the server
    once, and the spool is empty."""
    chance = random.Random(part)
    told: dict[str, dict[str, list[int]]] = {name: {} for name in RUNS}
    with Server(place / "store") as server, Reader(server.url, place, dict.fromkeys(RUNS, (*SERIES, LOG))) as reader:

        def work(child: Child, name: str, who: str) -> None:
            Load(child, Client(server.url, place / "spool", name).open(), who).run(pause=0.01)

        for trial in range(25):
            name, who = RUNS[trial // 3 % 2], f"t{trial}"
            with Child(work, name, who) as child:
                heard = [child.hear()] if trial % 4 else []  # the others die while they begin
                time.sleep(chance.random() * chance.choice([0.02, 0.15, 0.4]))
                child.kill()
                told[name][who] = heard + child.heard()
        run(_the_end, server.url, place / "spool", told)
        assert reader.end() > 0
        for name in RUNS:
            check_server(server, name, told[name])
            assert server.record(name)["status"] == "COMPLETED"
            joined = [attempt["id"] for attempt in server.record(name)["attempts"]]
            assert len(joined) == len(set(joined)) > len([who for who, heard in told[name].items() if heard])
        assert server.params("run")["the"] == "end"
        assert spooled_runs(place / "spool") == []


def _the_end(url: str, spool: Path, told: dict[str, Any]) -> None:
    """One client more, that stays until all is sent; the run that it does not open is sent and taken away as well."""
    client = Client(url, spool, "run").open()
    client.recorder.set_params({"the": "end"})
    eventually(lambda: spooled_runs(spool) == ["run"], 60)
    client.close()
    other = Client(url, spool, "another").open()
    other.close()


SCRIPT = """
import sys
from ml_dash import Experiment
experiment = Experiment("run", "project", remote=sys.argv[1]).run.start()
metric = experiment.metrics("loss")
n = 0
while True:
    print(metric.append(who=sys.argv[2], n=n)["index"], flush=True)
    n += 1
"""


def test_kill_9_of_a_script(place: Path) -> None:
    """The same as a user runs it: scripts on two machines, killed, and `ml-dash sync` on each of them afterwards."""
    promised: dict[str, int] = {}
    with Server(place / "store") as server:

        def started(machine: str, *command: str) -> subprocess.Popen[str]:
            env = os.environ | {"PYTHONPATH": SOURCE, "XDG_STATE_HOME": str(place / machine)}
            return subprocess.Popen([sys.executable, "-c", *command], env=env, stdout=subprocess.PIPE, text=True)

        for trial in range(4):
            machine = f"m{trial % 2}"
            with started(machine, SCRIPT, server.url, f"t{trial}") as script:
                assert script.stdout is not None
                script.stdout.readline()
                time.sleep(0.3 * trial)
                script.kill()
                promised[f"t{trial}"] = 1 + script.stdout.read().count("\n")
        for machine in ("m0", "m1"):
            with started(machine, "from ml_dash.cli import main; main()", "sync") as command:
                assert command.wait(60) == 0
            assert not list((place / machine).rglob("data.jsonl"))
        reached = check_order(server.rows("run", "loss"))
        assert reached.keys() == promised.keys()
        assert all(0 <= reached[who] - count <= 1 for who, count in promised.items())


# ---------------------------------------------------------------- servers that are killed, stopped, or slow to come back


def test_kill_9_of_the_server_at_any_moment(place: Path) -> None:
    """The server is killed 60 times in the middle of requests and started again, sometimes at once, sometimes later, while two
    clients go on logging; then they close. All is there once, and who reads beside is never told wrong."""
    chance = random.Random(1)
    with Server(place / "store") as server, Reader(server.url, place, {"run": (*SERIES, LOG)}) as reader:
        with Child(_log_until, server.url, place, "a") as one, Child(_log_until, server.url, place, "b") as other:
            assert one.hear() + other.hear() >= 0
            for _ in range(60):
                time.sleep(chance.random() * 0.06)
                server.kill()
                time.sleep(chance.choice([0, 0, 0, 0.05, 0.2]))
                server.start()
            (place / "stop").touch()
            assert (one.end(), other.end()) == (0, 0)
            told = {"a": one.heard(), "b": other.heard()}
        assert reader.end() > 0
        _check_ended(server, place, told)


def _log_until(child: Child, url: str, place: Path, who: str, pause: float = 0.01, seconds: float = 5.0) -> None:
    """A machine of its own: log until told to stop, then close, which waits until all is sent."""
    client = Client(url, place / f"spool-{who}", patience=60.0, seconds=seconds).open()
    load = Load(child, client, who)
    step = 0
    while not (place / "stop").exists():
        load.step(step)
        time.sleep(load.chance.random() * pause)
        step += 1
    client.recorder.set_params({f"{who}.steps": step})
    client.close()


def _check_ended(server: Server, place: Path, told: dict[str, list[int]]) -> None:
    check_server(server, "run", told)
    for number, series in enumerate(SERIES):  # an orderly end: not a row more than was said
        assert check_order(server.rows("run", series)) == {who: promised(heard)[number] for who, heard in told.items()}
    assert server.record("run")["status"] == "COMPLETED"
    assert {f"{who}.steps" for who in told} <= set(server.params("run"))
    assert [spooled_runs(place / f"spool-{who}") for who in told] == [[]] * len(told)


def test_a_server_that_is_stopped_for_longer_than_it_may_be_silent(place: Path) -> None:
    """SIGSTOP, three times, for longer than clients wait for an answer: no append takes longer for it, requests that ran into
    it are sent again, and what they had done already is not done twice."""
    with Server(place / "store") as server, Reader(server.url, place, {"run": SERIES}) as reader:
        with Child(_log_until, server.url, place, "a", 0.005, 0.2) as client:
            client.hear()
            heard = []
            for _ in range(3):
                time.sleep(0.1)
                with server.stopped():
                    heard += client.heard()
                    time.sleep(0.7)
                    during = client.heard()
                    assert len(during) > 20  # some 200 of them
                    heard += during
            (place / "stop").touch()
            assert client.end() == 0
            told = {"a": heard + client.heard()}
        assert reader.end() > 0
        _check_ended(server, place, told)


def test_both_at_once(place: Path) -> None:
    """Clients and the server are killed in turn and together. What was accepted arrives with the next client."""
    chance = random.Random(3)
    told: dict[str, list[int]] = {}
    with Server(place / "store") as server, Reader(server.url, place, {"run": (*SERIES, LOG)}) as reader:

        def work(child: Child, who: str) -> None:
            Load(child, Client(server.url, place / "spool").open(), who).run(pause=0.005)

        for trial in range(15):
            with Child(work, f"t{trial}") as child:
                told[f"t{trial}"] = [child.hear()]
                for _ in range(chance.randrange(4)):
                    time.sleep(chance.random() * 0.05)
                    server.restart()
                time.sleep(chance.random() * 0.05)
                if chance.random() < 0.5:
                    server.kill()
                    child.kill()
                    server.start()
                child.kill()
                told[f"t{trial}"] += child.heard()
        run(lambda: Client(server.url, place / "spool", patience=60.0).open().close())
        assert reader.end() > 0
        check_server(server, "run", told)
        assert server.record("run")["status"] == "COMPLETED"
        assert spooled_runs(place / "spool") == []
