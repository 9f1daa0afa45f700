"""Disks that are full in remote mode: the spool's, so that an append raises as in local mode, and the server's, so that it takes
nothing for a while. Nothing is half stored, lost or doubled, and what can go on does."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.children import Child, check_small_records, eventually, record, run
from tests.crash.remote import Client, Reader, Server, check_order, spooled_runs

SIZE = 4 * 1024 * 1024


class Disk:
    """A folder whose disk can be full: a small one of its own where mounting is allowed, else one whose files may not grow for a
    process that is told."""

    def __init__(self, path: Path, *, mounted: bool) -> None:
        self.path = path
        self._mounted = mounted

    def fill(self, pid: int, room: int = 1) -> None:
        """No room any more but for `room` bytes, for the process `pid` at least."""
        if not self._mounted:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            return
        path = self.path / "filler"
        with path.open("ab", buffering=0) as filler:
            for size in (65_536, 4_096, 1):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))
        os.truncate(path, path.stat().st_size - room // 4_096 * 4_096)

    def free(self, pid: int) -> None:
        if self._mounted:
            (self.path / "filler").unlink()
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def disk(place: Path) -> Iterator[Disk]:
    path = place / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    yield Disk(path, mounted=mounted)
    if mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def attempted(client: Client, name: str, who: str, n: int, count: int) -> bool:
    """Append `count` rows from `n` on; whether that was done. If it was not, none of them is stored."""
    rows = [{"who": who, "n": n + i, "pad": "x" * 200} for i in range(count)]
    try:
        client.append(name, *rows)
    except OSError:
        return False
    return True


# ---------------------------------------------------------------- the spool's


def test_the_spools_disk_is_full(place: Path, disk: Disk) -> None:
    """An append that finds no room raises, and nothing of it is stored; what was accepted before is sent while there is no room;
    when there is, the same process goes on. The server has just what was accepted."""

    def work(child: Child) -> None:
        client = Client(server.url, disk.path / "spool").open()
        client.recorder.set_params({"lr": 1})
        client.store.flush()  # the server is known from here on
        n = 0
        for batch in (1, 1, 7, 30):
            assert attempted(client, "loss", "a", n, batch)
            n += batch
        disk.fill(os.getpid())
        for batch in (1, 50, 1):
            while attempted(client, "loss", "a", n, batch):
                n += batch
        with pytest.raises(OSError):
            client.recorder.set_params({f"p{i}": "x" * 500 for i in range(200)})
        with pytest.raises(OSError):
            client.put_file(os.urandom(100_000), "file")
        child.say(n)
        eventually((place / "go").exists)
        disk.free(os.getpid())
        for batch in (1, 20, 1):
            assert attempted(client, "loss", "a", n, batch)
            n += batch
        client.recorder.set_params({"lr": 2})
        client.put_file(b"file", "file")
        child.say(n)
        client.close()

    with Server(place / "store") as server, Reader(server.url, place, {"run": ("loss",)}) as reader:
        with Child(work) as child:
            accepted = child.hear()
            eventually(lambda: server.count("run", "loss") == accepted)
            (place / "go").touch()
            accepted = child.hear()
            assert child.end() == 0
        assert reader.end() > 0
        assert check_order(server.rows("run", "loss")) == {"a": accepted}
        assert server.params("run")["lr"] == 2
        assert b"file" in server.files("run").values()
        assert server.record("run")["status"] == "COMPLETED"
        assert spooled_runs(disk.path / "spool") == []


def test_the_spools_disk_is_full_now_and_then(place: Path, disk: Disk) -> None:
    """There is room, and none, in turn, while rows, batches and parameters are logged and sent; the process is killed at the
    end. What returned is there, in order, and nothing else."""

    def work(child: Child) -> None:
        client = Client(server.url, disk.path / "spool").open()
        n = {"loss": 0, "acc": 0}
        chance = random.Random(1)
        for step in range(100_000):
            name, batch = chance.choice(["loss", "acc"]), chance.choice([1, 1, 1, 15])
            if attempted(client, name, "a", n[name], batch):
                n[name] += batch
                child.say((name == "acc") << 32 | n[name])
            if step % 5 == 0:
                with suppress(OSError):
                    client.recorder.set_params({"step": step})
            time.sleep(0.0005)

    told = {"loss": 0, "acc": 0}

    def hear(numbers: list[int]) -> None:
        for number in numbers:
            told["acc" if number >> 32 else "loss"] = number & 0xFFFFFFFF

    with Server(place / "store") as server, Reader(server.url, place, {"run": ("loss", "acc")}) as reader:
        with Child(work) as child:
            hear([child.hear()])
            for _ in range(12):
                time.sleep(0.04)
                disk.fill(child.pid)
                time.sleep(0.02)
                disk.free(child.pid)
                hear(child.heard())
            child.kill()
            hear(child.heard())
        run(lambda: Client(server.url, disk.path / "spool").open().close())
        assert reader.end() > 0
        for name, count in told.items():
            there = check_order(server.rows("run", name)).get("a", 0)
            assert count <= there <= count + 15  # the call that the kill came in
        check_small_records(server.folder("run"))
        assert spooled_runs(disk.path / "spool") == []


def test_the_spools_disk_is_full_when_the_run_ends(place: Path, disk: Disk) -> None:
    """The end cannot be written: closing raises, and the spool stays, for it knows what the server does not. The next process
    sends that."""

    def work(_child: Child) -> None:
        client = Client(server.url, disk.path / "spool").open()
        assert attempted(client, "loss", "a", 0, 5)
        client.recorder.set_params({f"p{i}": "x" * 500 for i in range(200)})
        client.store.flush()
        disk.fill(os.getpid())
        with pytest.raises(OSError):
            client.close()
        assert spooled_runs(disk.path / "spool") == ["run"]
        disk.free(os.getpid())

    def again() -> None:
        Client(server.url, disk.path / "spool").open().close()

    with Server(place / "store") as server:
        run(work, None)
        run(again)
        assert check_order(server.rows("run", "loss")) == {"a": 5}
        first, second = server.record("run")["attempts"]
        assert first["ended_at"]
        assert second["status"] == "COMPLETED"
        assert server.record("run")["status"] == "COMPLETED"
        assert spooled_runs(disk.path / "spool") == []


def test_no_room_for_the_word_that_a_run_has_begun(place: Path) -> None:
    """The run's record says that a process has joined, and the change that tells the server so cannot be written: starting
    raises. The same process starts again when there is room, and the run ends as it should, here and there."""

    def work() -> None:
        client = Client(server.url, place / "folder", private=False).open()
        for n in range(100):
            client.recorder.set_params({"n": n})
        client.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, resource.RLIM_INFINITY))  # of a file, such as that of changes
        client = Client(server.url, place / "folder", private=False)
        with pytest.raises(OSError):
            client.open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        client.open().close()

    with Server(place / "store") as server:
        run(work)
        for folder in (place / "folder" / "project" / "run", server.folder("run")):
            stored = record(folder)
            assert len(stored["attempts"]) == 3
            assert all(attempt["ended_at"] for attempt in stored["attempts"])
            assert stored["status"] == "COMPLETED"


# ---------------------------------------------------------------- the server's


def test_the_servers_disk_is_full(place: Path, disk: Disk) -> None:
    """The server says that it cannot store now. Clients wait and log on; when there is room, all of it arrives, once."""

    def work(child: Child, who: str) -> None:
        client = Client(server.url, place / f"spool-{who}", patience=60.0).open()
        n = 0
        while not (place / "stop").exists():
            assert attempted(client, "loss", who, n, 1 + n % 9)
            n += 1 + n % 9
            if n % 20 == 0:
                client.recorder.set_params({who: n})
                client.put_file(b"x" * n, f"{who}{n}")
            child.say(n)
            time.sleep(0.001)
        client.close()

    with Server(disk.path / "store") as server, Reader(server.url, place, {"run": ("loss",)}) as reader:
        with Child(work, "a") as one, Child(work, "b") as other:
            one.hear(), other.hear()
            for _ in range(4):
                time.sleep(0.1)
                disk.fill(server.pid)
                time.sleep(0.25)
                disk.free(server.pid)
            (place / "stop").touch()
            assert (one.end(), other.end()) == (0, 0)
            accepted = {"a": one.heard()[-1], "b": other.heard()[-1]}
        assert reader.end() > 0
        assert check_order(server.rows("run", "loss")) == accepted
        check_small_records(server.folder("run"))
        server.files("run")
        assert server.record("run")["status"] == "COMPLETED"


def test_a_file_that_the_server_has_no_room_for(place: Path, disk: Disk) -> None:
    """A file that is larger than what is free there waits; the rows that come after it do not, and the file is sent when there is
    room."""
    content = os.urandom(SIZE - 500_000)

    def work(_child: Child) -> None:
        client = Client(server.url, place / "spool", patience=60.0).open()
        assert attempted(client, "loss", "a", 0, 5)
        client.store.flush()
        disk.fill(server.pid, 1_000_000)
        client.put_file(content, "large")
        assert attempted(client, "loss", "a", 5, 50)
        eventually(lambda: server.count("run", "loss") == 55)
        disk.free(server.pid)
        client.close()

    with Server(disk.path / "store") as server:
        run(work, None)
        assert list(server.files("run").values()) == [content]
        assert check_order(server.rows("run", "loss")) == {"a": 55}
        assert not list(server.folder("run").rglob(".tmp-*"))
