"""What a client in remote mode takes of the machine: memory and descriptors while its server is away, and nothing once it is closed."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.children import Child, descriptors, eventually, run
from tests.crash.remote import Client, Server, check_order, spooled_runs

MEMORY = 30 * 1024 * 1024
"""Bytes that a client may grow by."""


class Watch(threading.Thread):
    """Looks at what this process takes, all the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.memory = self.descriptors = 0
        self._done = threading.Event()

    def run(self) -> None:
        before = resident(), descriptors()
        while not self._done.wait(0.01):
            self.memory = max(self.memory, resident() - before[0])
            with suppress(FileNotFoundError):
                self.descriptors = max(self.descriptors, descriptors() - before[1])

    def end(self) -> tuple[int, int]:
        """The most bytes of memory and descriptors beyond those at the start."""
        self._done.set()
        self.join()
        return self.memory, self.descriptors


def resident() -> int:
    """Bytes of this process's own that are in memory."""
    with open("/proc/self/status", encoding="ascii") as status:
        [kilobytes] = [int(line.split()[1]) for line in status if line.startswith("RssAnon")]
    return kilobytes * 1024


def test_two_million_points_while_the_server_is_away(place: Path) -> None:
    """Memory and descriptors do not grow with what waits to be sent, nor while it is sent at last."""

    def work(child: Child) -> None:
        client = Client(server.url, place / "spool", patience=120.0).open()
        rows = [{"who": "a", "n": n} for n in range(10_000)]
        client.append("m0", *rows[:100])
        time.sleep(0.2)
        watch = Watch()
        watch.start()
        for part in range(200):
            client.append(f"m{part % 4}", *rows)
        time.sleep(0.3)
        for number in watch.end():
            child.say(number)
        eventually((place / "go").exists)
        watch = Watch()
        watch.start()
        client.close()
        for number in watch.end():
            child.say(number)

    with Server(place / "store") as server:
        server.kill()
        with Child(work) as child:
            away = child.hear(), child.hear()
            server.start()
            (place / "go").touch()
            back = child.hear(), child.hear()
            assert child.end() == 0
        for memory, opened in (away, back):
            assert memory < MEMORY
            assert opened <= 16
        assert len(server.rows("run", "m1")) == 500_000


@pytest.mark.parametrize("how", ["answers", "is away", "hangs"])
def test_closing_leaves_nothing_behind(place: Path, how: str) -> None:
    """Runs that are opened and closed, one after the other, with what a dead one left in the spool: no descriptor is kept and no
    thread more than the process's own two, whether the server answers, is away or hangs."""

    def dead(number: int) -> None:
        client = Client(server.url, place / "spool", f"dead{number}").open()
        client.append("loss", {"who": "a", "n": 0})
        os._exit(0)

    def live(number: int) -> None:
        client = Client(server.url, place / "spool", f"run{number}", patience=0.3, seconds=0.5).open()
        client.append("loss", {"who": "a", "n": 0})
        client.log("hello", who="a", n=0)
        client.put_file(b"x" * 100_000, "file")
        time.sleep(0.02 * number)
        client.close()

    def work(_child: Child) -> None:
        before = descriptors()
        live(0)
        eventually(lambda: descriptors() <= before, 5)
        threads = set(threading.enumerate())
        assert len(threads) <= 1 + 2
        for number in range(1, 6):
            live(number)
            eventually(lambda: descriptors() <= before, 5)
            assert set(threading.enumerate()) == threads

    with Server(place / "store") as server:
        for number in range(3):
            run(dead, number)
        if how == "is away":
            server.kill()
        if how == "hangs":
            server.child.stop()
        with Child(work) as child:
            assert child.end() == 0
        if how == "answers":
            eventually(lambda: set(spooled_runs(place / "spool")) <= {"dead0", "dead1", "dead2"})
            assert check_order(server.rows("run5", "loss")) == {"a": 1}
