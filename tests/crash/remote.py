"""Remote mode for the tests of this folder: real servers and clients that are killed and stopped, and what the server's disk
tells afterwards, read by plain `json`.

A server is a forked process that runs `serve`, as `ml-dash server` does: it is there in some 50 ms, since nothing has to be
imported again.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ml_dash.server.serve
from ml_dash import codec
from ml_dash.errors import NotFound, Unavailable
from ml_dash.model import LOGS, METRICS, FilePut, RunKey, RunPatch, SeriesKey, Status
from ml_dash.recorder import Recorder
from ml_dash.server.settings import Settings
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from ml_dash.store.spooled import SpooledStore
from ml_dash.sync import Report, Sender, tasks
from tests.crash.children import Child, check_small_records, eventually, rows
from tests.server.cutting_proxy import CuttingProxy, Pass, Request

PROJECT = "project"
BACKOFF = (0.02, 0.2)
"""Pauses after failures, s: short, so that a trial is."""
LOG = "logs"


def key(name: str) -> RunKey:
    return RunKey("", PROJECT, name)


# ---------------------------------------------------------------- servers


class Server:
    """`ml-dash server` over the folder `store`, at one address however often it is killed. `before` runs in each process first."""

    def __init__(self, store: Path, before: Callable[[], object] = lambda: None) -> None:
        self.store = store
        self._before = before
        # Bound and never listened at: nobody else gets the port while the server is dead.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._child: Child | None = None
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise

    def start(self) -> None:
        assert self._child is None
        self._child = Child(self._serve)
        self._child.hear()

    def _serve(self, child: Child) -> None:
        self._reserved.close()
        sys.stderr = io.StringIO()
        self._before()

        class Out(io.StringIO):
            def write(self, text: str) -> int:
                if '"listening"' in text:
                    child.say()
                return len(text)

        ml_dash.server.serve.serve(Settings(store=str(self.store), port=self.port, stop=1), Out())

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        child, self._child = self.child, None
        with child:
            child.kill()

    def restart(self) -> None:
        self.kill()
        self.start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP for as long as the block takes."""
        self.child.stop()
        try:
            yield
        finally:
            self.child.signal(signal.SIGCONT)

    def __enter__(self) -> Server:  # noqa: PYI034  Python 3.10 has no Self
        return self

    def __exit__(self, *exception: object) -> None:
        self._reserved.close()
        if self._child is not None:
            self._child.__exit__(None, None, None)

    # ------------------------------------------------------------ what its disk tells

    def folder(self, run: str) -> Path:
        return self.store / PROJECT / run

    def rows(self, run: str, series: str) -> list[dict[str, Any]]:
        """The rows of a series, which has to be sound; `LOG` is the log."""
        if series == LOG:
            return rows(self.folder(run) / "logs" / "logs.jsonl")
        return rows(self.folder(run) / "metrics" / series / "data.jsonl")

    def count(self, run: str, series: str) -> int:
        """How many lines of a metric are there now, while it is written to."""
        path = self.folder(run) / "metrics" / series / "data.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def record(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder(run) / "experiment.json").read_bytes())
        return found

    def params(self, run: str) -> dict[str, Any]:
        path = self.folder(run) / "parameters.json"
        found: dict[str, Any] = json.loads(path.read_bytes())["data"] if path.exists() else {}
        return found

    def files(self, run: str) -> dict[str, bytes]:
        """Live files by id; their bytes have to be those of their checksums."""
        place = self.folder(run) / "files"
        index = place / ".files_metadata.json"
        found = {}
        for record in json.loads(index.read_bytes())["files"] if index.exists() else []:
            if record.get("deletedAt") is None:
                [path] = place.glob(f"**/{record['id']}/*")
                found[record["id"]] = path.read_bytes()
                assert hashlib.sha256(found[record["id"]]).hexdigest() == record["checksum"]
        return found


# ---------------------------------------------------------------- clients


class Client:
    """One run in remote mode, as a facade opens it: a Recorder over a spool and a server."""

    def __init__(
        self, url: str, spool: Path, name: str = "run", *, private: bool = True, seconds: float = 5.0, **options: Any
    ) -> None:
        """`seconds` is how long the server may keep silent; `options` are `SpooledStore`'s."""
        self.local = LocalStore(spool, clock=options.get("clock", time.time))
        self.remote = RemoteStore(url, connect_timeout=seconds, timeout=seconds)
        options = {"backoff": BACKOFF, **options}
        self.store = SpooledStore(self.local, self.remote, url, private=private, **options)
        self.recorder = Recorder(lambda: self.store, key(name), "experiment")

    def open(self, **patch: Any) -> Client:
        self.recorder.open(RunPatch(**patch))
        return self

    def append(self, name: str, *fields: dict[str, Any]) -> int:
        """Rows to a metric, one singly, more as a batch; the index of the first."""
        series = self.recorder.series(METRICS, name)
        done = (
            self.recorder.append(series, fields[0]) if len(fields) == 1 else self.recorder.append_batch(series, fields)
        )
        assert done.first is not None
        return done.first

    def log(self, message: str, **metadata: Any) -> None:
        self.recorder.log({"level": "info", "message": message, "metadata": metadata})

    def put_file(self, content: bytes, name: str) -> str:
        return self.recorder.put_file(io.BytesIO(content), FilePut(name)).id

    def close(self, status: Status = "COMPLETED") -> None:
        self.recorder.close(status)


def sync(spool: Path, url: str, alias: str | None = None) -> Report:
    """What `ml-dash sync` does for the one run in `spool`, if it is there yet."""
    sender = Sender(patience=30.0, backoff=BACKOFF, alias=alias)
    try:
        [task] = tasks([str(spool)], url)
        return sender.send(task)
    finally:
        sender.close()


# ---------------------------------------------------------------- a network that fails


class Network:
    """A `CuttingProxy` before a server, in a process of its own: what children inherit by forks are no connections of others'."""

    def __init__(self, url: str, act: Callable[[random.Random], Pass] = lambda _: Pass(), seed: int = 1) -> None:
        """`act` tells what happens to each request."""
        self._act, self._seed = act, seed
        self._connections = 0
        self._child = Child(self._run, url)
        self.url = f"http://127.0.0.1:{self._child.hear()}"

    def _run(self, child: Child, url: str) -> None:
        chance = random.Random(self._seed)
        act = self._act

        class Proxy(CuttingProxy):
            def _act(self, request: Request) -> Pass:
                with self._mutex:
                    return act(chance)

        proxy = Proxy(url)
        child.say(urlsplit(proxy.url).port or 0)
        told = 0
        while True:
            if proxy.connections != told:
                told = proxy.connections
                child.say(told)
            time.sleep(0.005)

    def connections(self) -> int:
        """How many were made so far."""
        time.sleep(0.05)
        self._connections = max([self._connections, *self._child.heard()])
        return self._connections

    def __enter__(self) -> Network:  # noqa: PYI034  Python 3.10 has no Self
        return self

    def __exit__(self, *exception: object) -> None:
        self._child.__exit__(None, None, None)


# ---------------------------------------------------------------- a reader beside


class Reader:
    """Follows series of runs through the server until told to stop, in a process of its own. What it is given must be a gapless
    continuation of what it had, nothing of a writer twice or out of order, and what it read stays so."""

    def __init__(self, url: str, place: Path, names: dict[str, tuple[str, ...]]) -> None:
        """`names` are the series to follow, by run. Rows tell their writer as "who" and their number with him as "n"."""
        self._stop = place / "stop-reading"
        self._child = Child(self._follow, url, names)

    def _follow(self, child: Child, url: str, names: dict[str, tuple[str, ...]]) -> None:
        store = RemoteStore(url, connect_timeout=1, timeout=1)
        followed = [Followed(run, name) for run in names for name in names[run]]
        while True:
            last = self._stop.exists()
            news = sum([one.look(store) for one in followed])
            if last:
                child.say(sum(one.news for one in followed))
                return
            time.sleep(0.0 if news else 0.01)

    def end(self) -> int:
        """Have it look once more; how often it saw something new."""
        self._stop.touch()
        try:
            assert self._child.end() == 0
            return self._child.heard()[-1]
        finally:
            self._stop.unlink()

    def __enter__(self) -> Reader:  # noqa: PYI034  Python 3.10 has no Self
        return self

    def __exit__(self, *exception: object) -> None:
        self._child.__exit__(None, None, None)


class Followed:
    """A series as far as a reader has seen it."""

    def __init__(self, run: str, name: str) -> None:
        self.run, self.name = run, name
        self.news = 0
        self._lines = hashlib.sha256()
        self._at = 0
        self._reached: dict[str, int] = {}
        self._chance = random.Random(run + name)

    def look(self, store: RemoteStore) -> bool:
        """Read what is new; whether something was. A server that is away is asked again."""
        try:
            found = store.get_run(key(self.run))
            series = SeriesKey(found.id, LOGS if self.name == LOG else METRICS, "" if self.name == LOG else self.name)
            page = store.read(series, self._at, 2_000)
            again = store.read(series, 0, self._at) if self._at and self._chance.random() < 0.05 else None
        except (NotFound, Unavailable):
            return False
        assert page.total >= self._at
        if again is not None:
            assert hashlib.sha256(again.lines).digest() == self._lines.digest(), "what was read before has changed"
        points = codec.decode_page(page)
        indices = [point["index"] if "index" in point else point["sequenceNumber"] for point in points]
        assert indices == list(range(self._at, self._at + len(points)))
        check_order((point["data"] if "data" in point else point["metadata"] for point in points), self._reached)
        self._lines.update(page.lines)
        self._at += len(points)
        self.news += bool(points)
        return bool(points)


def check_order(
    found: Iterator[dict[str, Any]] | list[dict[str, Any]], reached: dict[str, int] | None = None
) -> dict[str, int]:
    """Each writer's rows are there once, in his order; how many of each."""
    reached = {} if reached is None else reached
    for row in found:
        who = str(row["who"])
        assert row["n"] == reached.get(who, 0), f"row {row['n']} of {who} where {reached.get(who, 0)} was due"
        reached[who] = row["n"] + 1
    return reached


def spooled_runs(spool: Path) -> list[str]:
    """The names of the runs that are in a spool."""
    return sorted(path.parent.name for path in spool.glob("*/*/experiment.json"))


# ---------------------------------------------------------------- a plain load


STEPS = 150
"""What `log_steps` takes, unless it is told."""


def log_steps(client: Client, who: str, steps: int = STEPS, first: int = 0) -> None:
    """Rows first … first + steps - 1 of `who`, singly, to one metric of all and one of his own."""
    for n in range(first, first + steps):
        client.append("loss", {"who": who, "n": n})
        client.append(who, {"who": who, "n": n})
        time.sleep(0.01 * (n % 8 == 0))


def check_steps(server: Server, steps: dict[str, int]) -> None:
    """Of each writer that many rows are there, once, in order."""
    assert check_order(server.rows("run", "loss")) == steps
    for who, count in steps.items():
        assert check_order(server.rows("run", who)) == {who: count}
    check_small_records(server.folder("run"))


def take_up(url: str, spool: Path) -> None:
    """A process of another run, which sends what others left and takes it away."""
    client = Client(url, spool, "other").open()
    eventually(lambda: spooled_runs(spool) == ["other"], 60)
    client.close()
