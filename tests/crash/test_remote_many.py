"""Several clients of one run in remote mode: machines, processes of one spool, syncs at once, copies, clocks that jump. All that
was accepted is at the server once, each writer's in his order, and the run's status is right."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash.model import Status
from ml_dash.server import serve
from ml_dash.store.local import LocalStore
from tests.crash.children import Child, eventually, run, several
from tests.crash.remote import (
    STEPS,
    Client,
    Network,
    Reader,
    Server,
    check_order,
    check_steps,
    log_steps,
    spooled_runs,
    sync,
    take_up,
)
from tests.server.cutting_proxy import CutRequest, Lose, Pass
from tests.server.processes import SOURCE

# ---------------------------------------------------------------- machines and processes


@pytest.mark.parametrize("order", [("FAILED", "COMPLETED"), ("COMPLETED", "FAILED")])
def test_two_machines_on_one_run(place: Path, order: tuple[Status, Status]) -> None:
    """Two machines, each with a spool of its own, log to one run at the same time: all rows of both, parameters and attempts;
    one failed, so the run did, whichever ends first."""

    def work(child: Child, machine: int) -> None:
        who = f"m{machine}"
        client = Client(server.url, place / who).open()
        child.say()
        eventually((place / "go").exists)
        client.recorder.set_params({who: machine, "both": {}})
        log_steps(client, who)
        eventually(lambda: machine == 0 or (place / "first-left").exists())
        client.close(order[machine])

    with Server(place / "store") as server, Reader(server.url, place, {"run": ("loss", "m0", "m1")}) as reader:
        with several(2, work) as (first, second):
            first.hear(), second.hear()
            (place / "go").touch()
            assert first.end() == 0
            assert server.record("run")["status"] == "RUNNING"
            (place / "first-left").touch()
            assert second.end() == 0
        assert reader.end() > 0
        check_steps(server, {"m0": STEPS, "m1": STEPS})
        assert server.params("run").keys() >= {"m0", "m1"}
        assert sorted(a["status"] for a in server.record("run")["attempts"]) == ["COMPLETED", "FAILED"]
        assert server.record("run")["status"] == "FAILED"
        assert spooled_runs(place / "m0") == spooled_runs(place / "m1") == []


def test_three_processes_in_one_spool_of_which_one_is_killed(place: Path) -> None:
    """As torchrun starts them, on one machine: what the killed one was told to be stored is there, too; when the others have
    left, the run has ended, here and at the server."""

    def work(child: Child, rank: int) -> None:
        client = Client(server.url, place / "spool").open()
        child.say(-1)
        eventually((place / "go").exists)
        if rank == 0:
            for n in range(100_000):
                log_steps(client, "r0", 1, n)
                child.say(n + 1)
        log_steps(client, f"r{rank}")
        client.recorder.set_params({f"r{rank}": rank})
        eventually((place / "killed").exists)
        client.close()

    with Server(place / "store") as server, Reader(server.url, place, {"run": ("loss", "r0")}) as reader:
        with several(3, work) as ranks:
            assert [rank.hear() for rank in ranks] == [-1] * 3
            (place / "go").touch()
            first = ranks[0].hear()
            time.sleep(0.15)
            ranks[0].kill()
            told = max(first, *ranks[0].heard())
            (place / "killed").touch()
            assert [rank.end() for rank in ranks[1:]] == [0, 0]
        run(lambda: take_up(server.url, place / "spool"))
        assert reader.end() > 0
        there = len(server.rows("run", "r0"))
        assert told <= there <= told + 1
        found = check_order(server.rows("run", "loss"))
        assert found.pop("r0") in (there, there + 1)
        assert found == {"r1": STEPS, "r2": STEPS}
        assert server.params("run") == {"r1": 1, "r2": 2}
        assert server.record("run")["status"] == "COMPLETED"
        assert spooled_runs(place / "spool") == []


# ---------------------------------------------------------------- syncs


def lossy(chance: random.Random) -> Pass:
    """A network that loses every fourth answer, and cuts every tenth request short."""
    dice = chance.random()
    if dice < 0.25:
        return Lose(after=chance.choice([0, 0, 40, -1]), reset=chance.random() < 0.5)
    return CutRequest(chance.randrange(600)) if dice < 0.35 else Pass()


def test_syncs_twice_at_once_and_during_the_run(place: Path) -> None:
    """A run that is kept in a folder and sent behind, over a network that loses answers; beside it two processes sync the same
    folder again and again; at the end a sync comes twice in a row. Nothing is doubled, nothing is lost."""

    def work(child: Child) -> None:
        client = Client(network.url, place / "folder", private=False, patience=60.0, seconds=2.0).open()
        child.say()
        for n in range(6):
            log_steps(client, "a", 50, 50 * n)
            client.recorder.set_params({f"p{n}": n})
            client.put_file(f"file {n}".encode() * 9_000, f"f{n}")
        client.close()

    def keep_syncing(_child: Child, _number: int) -> None:
        while not (place / "stop").exists():
            sync(place / "folder", network.url)

    with Server(place / "store") as server, Network(server.url, lossy) as network:
        with Reader(server.url, place, {"run": ("loss", "a")}) as reader, Child(work) as writer:
            writer.hear()
            with several(2, keep_syncing) as syncs:
                assert writer.end() == 0
                (place / "stop").touch()
                assert [child.end() for child in syncs] == [0, 0]
            assert reader.end() > 0
        reports: list[Any] = []
        for _ in range(2):
            before = server.record("run")
            reports.append(sync(place / "folder", network.url))
            assert reports[-1].is_done, reports[-1].why
            check_steps(server, {"a": 300})
        assert server.record("run") == before
        assert reports[-1].points == reports[-1].changes == 0
        assert sorted(server.files("run").values()) == [f"file {n}".encode() * 9_000 for n in range(6)]
        assert server.params("run") == {f"p{n}": n for n in range(6)}
        assert server.record("run")["status"] == "COMPLETED"
        assert len(server.record("run")["attempts"]) == 1


def test_an_answer_that_is_lost_brings_no_old_parameter_back(place: Path) -> None:
    """A machine sets a parameter, and the answer is lost; another machine sets it anew. What the first one sends again, with
    what came since, leaves the other's value."""
    losing = place / "losing"

    def machine() -> None:
        first = Client(network.url, place / "first").open()
        first.store.flush()
        losing.touch()
        first.recorder.set_params({"lr": 1})
        eventually(lambda: server.params("run") == {"lr": 1})
        other = Client(server.url, place / "other").open()
        other.recorder.set_params({"lr": 2})
        other.close()
        first.recorder.set_params({"more": 1})
        time.sleep(0.5)  # it is tried again, two or three times
        losing.unlink()
        first.close()

    with (
        Server(place / "store") as server,
        Network(server.url, lambda _: Lose() if losing.exists() else Pass()) as network,
    ):
        run(machine)
        assert server.params("run") == {"lr": 2, "more": 1}


# ---------------------------------------------------------------- copies


def test_a_copied_spool_that_went_its_own_way(place: Path) -> None:
    """A folder is copied, and both go on. The one that comes second is told so, with the way out; nothing of it gets in
    between the rows of the first, and under another name it is sent whole."""

    def work(folder: str, who: str, first: int) -> None:
        client = Client(server.url, place / folder, private=False).open()
        log_steps(client, who, 20, first)
        client.close()

    def ml_dash(*args: object) -> tuple[int, str]:
        command = [sys.executable, "-c", "from ml_dash.cli import main; main()", *map(str, args)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": SOURCE}, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    with Server(place / "store") as server:
        run(work, "folder", "a", 0)
        shutil.copytree(place / "folder", place / "copy")
        run(work, "folder", "a", 20)
        run(work, "copy", "b", 0)
        check_steps(server, {"a": 40})
        where = place / "copy" / "project" / "run"
        code, said = ml_dash("sync", where, "--remote", server.url)
        assert code == 1
        assert "copy" in said
        assert "--as NAME" in said
        check_steps(server, {"a": 40})
        for _ in range(2):
            code, said = ml_dash("sync", where, "--remote", server.url, "--as", "other")
            assert code == 0, said
            assert check_order(server.rows("other", "loss")) == {"a": 20, "b": 20}
            assert check_order(server.rows("other", "b")) == {"b": 20}
        run(work, "folder", "a", 40)
        check_steps(server, {"a": 60})


# ---------------------------------------------------------------- clocks


def test_clocks_that_jump_by_hours(place: Path) -> None:
    """The wall clocks of two clients in one spool and of the server jump by hours, forwards and back, while the server is
    killed now and then: nothing is lost, and nobody waits for a clock."""

    def jumping(seed: int) -> Callable[[], float]:
        chance = random.Random(seed)
        offset = [0.0]

        def clock() -> float:
            if chance.random() < 0.05:
                offset[0] = chance.choice([-30_000.0, -5_000.0, 0.0, 4_000.0, 50_000.0])
            return time.time() + offset[0]

        return clock

    def work(_child: Child, number: int) -> None:
        client = Client(server.url, place / "spool", clock=jumping(number), patience=60.0).open()
        log_steps(client, f"c{number}")
        client.close()

    def before() -> None:
        vars(serve)["open_store"] = lambda folder, **options: LocalStore(folder, clock=jumping(9), **options)

    with Server(place / "store", before) as server, Reader(server.url, place, {"run": ("loss",)}) as reader:
        with several(2, work) as clients:
            for _ in range(3):
                time.sleep(0.1)
                server.restart()
            began = time.monotonic()
            assert [client.end() for client in clients] == [0, 0]
            assert time.monotonic() - began < 30  # hours, if it went by any of the clocks
        assert reader.end() > 0
        check_steps(server, {"c0": STEPS, "c1": STEPS})
        assert server.record("run")["status"] == "COMPLETED"


def test_a_sender_that_is_stopped_and_a_clock_that_is_set_back(place: Path) -> None:
    """A process is stopped in the middle of sending, and so keeps others of its spool from it. The clock is set back by hours,
    and the next process sends all the same."""

    def first(child: Child) -> None:
        client = Client(server.url, place / "spool").open()
        client.store.flush()
        child.say()
        eventually((place / "stopped").exists)
        log_steps(client, "a", 10)
        time.sleep(0.4)  # the sending thread waits for an answer now
        child.say()
        time.sleep(60)

    def late() -> None:
        began = time.monotonic()
        client = Client(server.url, place / "spool", clock=lambda: time.time() - 20_000, patience=20.0).open()
        log_steps(client, "b", 10)
        client.close()
        assert time.monotonic() - began < 15

    with Server(place / "store") as server, Child(first) as sender:
        sender.hear()
        with server.stopped():
            (place / "stopped").touch()
            sender.hear()
            sender.stop()
        run(late)
        check_steps(server, {"a": 10, "b": 10})
