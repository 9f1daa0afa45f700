"""How far a run's spool has been sent to one server: small records in the run's folder, specified in docs/formats/spool.md.
Losing them costs sending again, never a point: the server knows what it has. No network may come in here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData
from ml_dash.store import locks
from ml_dash.store.atomic import write_atomically
from ml_dash.store.patch import new_id
from ml_dash.store.run_folder import read_record

FOLDER = ".sync"
AS = "#"
"""Between a server's address and the name that a run has there, where it is another."""
_TROUBLE = ".trouble.json"


class Sent(msgspec.Struct):
    """Positions at one server. `series` maps "kind/name" to how many rows of it the server has acknowledged; the rows of
    ``events`` are those that were applied. `run` is the run's id there, "" before it was heard of."""

    server: str
    run: str = ""
    series: dict[str, int] = msgspec.field(default_factory=dict)
    at: float = 0.0
    format: int = 1


class SentFile:
    """The record of one server in the folder of one run."""

    def __init__(self, folder: str, server: str, clock: Callable[[], float] = time.time) -> None:
        self.folder = os.path.join(folder, FOLDER)
        self.path = os.path.join(self.folder, f"{slug(server)}.json")
        self._server = server
        self._clock = clock

    def writer(self) -> str:
        """The id of this spool: made once, at random. A copied folder has its original's, which the server notices; what is
        sent under another name has one of its own."""
        os.makedirs(self.folder, exist_ok=True)
        own = f"{slug(self._server)}." if AS in self._server else ""
        path = os.path.join(self.folder, f"{own}writer.json")
        doc = _read(path)
        if doc is None:
            with self._lock("writer"):
                doc = _read(path)
                if doc is None:
                    doc = {"writer": new_id(), "format": 1}
                    write_atomically(path, codec.dumps(doc))
        return str(doc["writer"])

    def load(self) -> Sent:
        """As it is stored; nothing sent where there is no record, or a damaged one."""
        doc = _read(self.path)
        try:
            return Sent(self._server) if doc is None else msgspec.convert(doc, Sent)
        except msgspec.ValidationError:
            return Sent(self._server)

    def save(self, sent: Sent, set_back: Collection[str] = ()) -> None:
        """Write it, further along where another process got further; not so the series that the server has `set_back`. Raises
        `OSError`."""
        there = self.load()
        if there.run == sent.run:
            for name, count in there.series.items():
                if name not in set_back:
                    sent.series[name] = max(count, sent.series.get(name, 0))
        sent.at = self._clock()
        write_atomically(self.path, codec.dumps(msgspec.to_builtins(sent)), sync=False)

    def moved(self) -> float:
        """When (unix seconds) any process saved last; 0 if none did."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return 0.0

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this process is the one that sends. One at a time saves work; that none sends twice rests on the server."""
        fd = self._open("sending")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            locks.close_file(fd)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        fd = self._open(name)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            locks.close_file(fd)

    def _open(self, name: str) -> int:
        os.makedirs(self.folder, exist_ok=True)
        return locks.open_file(os.path.join(self.folder, f"{slug(self._server)}.{name}.lock"))

    def note(self, trouble: str | None) -> None:
        """Keep why nothing gets through; None once it does. A convenience, so that it may fail."""
        path = self.path.removesuffix(".json") + _TROUBLE
        with suppress(OSError):
            if trouble is None:
                os.unlink(path)
            else:
                os.makedirs(self.folder, exist_ok=True)
                write_atomically(path, codec.dumps({"reason": trouble, "time": self._clock()}), sync=False)

    def trouble(self) -> str | None:
        """Why nothing gets through, as it was noted last."""
        doc = _read(self.path.removesuffix(".json") + _TROUBLE)
        return str(doc.get("reason")) if doc is not None else None

    def refuse(self, series: str, index: int, row: bytes, reason: str) -> None:
        """Keep a row that the server will never take: one line in ``refused.jsonl``. Raises `OSError`."""
        line = {"series": series, "index": index, "reason": reason, "server": self._server, "time": self._clock()}
        data = msgspec.json.encode(line)[:-1] + b', "row": ' + _as_json(row) + b"}\n"
        fd = os.open(self.refused_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    @property
    def refused_path(self) -> str:
        """The dead letters of the run, of all servers."""
        return os.path.join(self.folder, "refused.jsonl")

    def refused(self) -> dict[tuple[str, int], str]:
        """(series, index) of the rows that this server refused, and why."""
        found = {}
        with suppress(FileNotFoundError), open(self.refused_path, "rb") as f:
            for line in f:
                with suppress(ValueError):
                    doc = codec.loads(line)
                    if doc.get("server") == self._server:
                        found[str(doc.get("series")), int(doc.get("index", -1))] = str(doc.get("reason"))
        return found


def _as_json(row: bytes) -> bytes:
    """The row as it is; what is no row, as text."""
    try:
        codec.decode_row(row)
    except (ValueError, RecursionError):
        return msgspec.json.encode(row.decode(errors="backslashreplace"))
    return row


def servers(folder: str) -> list[str]:
    """The servers that the run in `folder` was sent to under its own name."""
    found = []
    with suppress(OSError):
        for entry in sorted(os.listdir(os.path.join(folder, FOLDER))):
            doc = _read(os.path.join(folder, FOLDER, entry)) if entry.endswith(".json") else None
            if doc is not None and isinstance(server := doc.get("server"), str) and AS not in server:
                found.append(server)
    return found


def slug(server: str) -> str:
    """A file's name for a server's address: readable, and its own."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "_", server.partition("://")[2]).strip("_.")
    return f"{plain[:80]}-{hashlib.sha256(server.encode()).hexdigest()[:8]}"


def _read(path: str) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except CorruptData:
        return None
