"""Forks in remote mode: children that log on when their parent is gone, children that log nothing, and what of the parent's
connections, locks and imports no child may be left with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ml_dash.store.spools import Hold
from tests.crash.children import Child, eventually, run
from tests.crash.remote import Client, Network, Server, check_steps, key, log_steps, take_up
from tests.server.processes import SOURCE


@pytest.mark.parametrize("first", ["rows", "parameters"])
def test_a_child_that_outlives_its_parent(place: Path, first: str) -> None:
    """A process forks in the middle of logging and ends at once without a word, as one that becomes a daemon. The child sends
    what both have logged, and what it leaves when it is killed is sent by the next one."""

    def parent(child: Child) -> None:
        client = Client(server.url, place / "spool").open()
        log_steps(client, "parent", 30)
        if os.fork():
            os._exit(0)
        if first == "rows":
            log_steps(client, "child", 25)
            eventually(lambda: server.count("run", "child") == 25)
        client.recorder.set_params({"pid": os.getpid()})
        eventually(lambda: server.params("run"))
        log_steps(client, "child", 25 if first == "rows" else 50, 25 if first == "rows" else 0)
        child.say(os.getpid())
        eventually((place / "go").exists)
        log_steps(client, "child", 50, 50)
        child.say()
        os._exit(0)

    with Server(place / "store") as server, Child(parent) as child:
        pid = child.hear()
        assert child.end() == 0
        eventually(lambda: server.count("run", "child") == 50)
        check_steps(server, {"parent": 30, "child": 50})
        assert server.params("run") == {"pid": pid}
        (place / "go").touch()
        child.hear()
        run(lambda: take_up(server.url, place / "spool"))
        check_steps(server, {"parent": 30, "child": 100})


def test_a_child_that_was_forked_in_the_middle_of_sending(place: Path) -> None:
    """Its parent was waiting for the server's answer, and ends. The child does not wait for the parent's locks."""

    def there(count: int) -> bool:
        return server.count("run", "child") == count

    def parent(child: Child) -> None:
        client = Client(server.url, place / "spool").open()
        client.store.flush()
        child.say()
        eventually((place / "stopped").exists)
        log_steps(client, "parent", 10)
        time.sleep(0.4)  # the sending thread waits for an answer now
        if os.fork():
            os._exit(0)
        child.say()
        for count in range(10, 60, 10):
            log_steps(client, "child", 10, count - 10)
            eventually(partial(there, count))
        child.say()

    with Server(place / "store") as server, Child(parent) as child:
        child.hear()
        with server.stopped():
            (place / "stopped").touch()
            child.hear()
        began = time.monotonic()
        child.hear()
        assert time.monotonic() - began < 15  # five times five, if it did
        check_steps(server, {"parent": 10, "child": 50})


def test_children_that_log_nothing_ask_nobody(place: Path) -> None:
    """Workers that are forked and never log, as a DataLoader's: whether they sleep, end, or close the run that they have from
    their parent, they make no connection. The parent goes on, and its run is its own to end."""

    def parent(child: Child) -> None:
        client = Client(network.url, place / "spool").open()
        log_steps(client, "a", 20)
        client.store.flush()
        child.say()
        child_pids = []
        for number in range(9):
            if (pid := os.fork()) == 0:
                if number % 3 == 1:
                    client.close()
                if number % 3 == 2:
                    client.store.close()
                time.sleep(0.5)
                os._exit(0)
            child_pids.append(pid)
        for pid in child_pids:
            os.waitpid(pid, 0)
        log_steps(client, "a", 20, 20)
        child.say()
        client.close()

    with Server(place / "store") as server, Network(server.url) as network, Child(parent) as child:
        child.hear()
        before = network.connections()
        assert before <= 2
        child.hear()
        assert network.connections() == before
        assert child.end() == 0
        check_steps(server, {"a": 40})
        assert server.record("run")["status"] == "COMPLETED"


def test_parent_and_child_share_no_connection(place: Path) -> None:
    """Both log, flush and read at the same time: each gets its own answers, over sockets of its own."""

    def sockets() -> set[str]:
        links = []
        for fd in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/self/fd/{fd}"))
        return {link for link in links if link.startswith("socket:")} - before

    def steps(client: Client, who: str) -> set[str]:
        for n in range(20):
            log_steps(client, who, 5, 5 * n)
            client.store.flush()
            series = client.recorder.series("metrics", who)
            assert client.store.read(series, 0, 0).total == 5 * (n + 1)
        return sockets()

    def parent() -> None:
        client = Client(server.url, place / "spool").open()
        log_steps(client, "before", 5)
        client.store.flush()
        assert sockets()
        told = place / "sockets"
        if (pid := os.fork()) == 0:
            try:
                told.write_text("\n".join(steps(client, "child")))
            finally:
                os._exit(0)
        mine = steps(client, "parent")
        assert os.waitpid(pid, 0)[1] == 0
        his = set(told.read_text().split("\n"))
        assert mine
        assert his
        assert not mine & his
        client.close()

    with Server(place / "store") as server:
        before: set[str] = set()
        before = sockets()
        run(parent)
        check_steps(server, {"before": 5, "parent": 100, "child": 100})


def test_a_fork_keeps_no_spool_locked(place: Path) -> None:
    """A child that is forked while its parent takes a run away lives on, and does nothing: who opens the run then does not wait
    for it."""
    taking = Hold(str(place), key("run"))
    assert taking.own()
    with Child(lambda _child: time.sleep(60)):
        taking.let_go()
        with Child(lambda _child: Hold(str(place), key("run")).share()) as other:
            assert other.end(20) == 0


IMPORTS = """
import os, signal, sys, time
from ml_dash.store import open_store
from ml_dash.model import RunKey, RunPatch
store = open_store(sys.argv[1], remote="http://127.0.0.1:9")
store.put_run(RunKey("", "project", "run"), RunPatch())
children = []
for _ in range(20):
    time.sleep(0.005)
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        import http.client, ssl, httpx, zstandard, certifi, concurrent.futures
        os._exit(0)
    children.append(pid)
signal.alarm(20)
for pid in children:
    os.waitpid(pid, 0)
os._exit(0)
"""


def test_forks_right_after_the_start(place: Path) -> None:
    """Whatever the sending thread has to import, it does not do so while the program forks: children that import any of it, a few
    milliseconds after the start, do not wait for a thread that they do not have."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, place], env=os.environ | {"PYTHONPATH": SOURCE}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
