"""One run's folder: its record, parameters, presence files and lock, and where its series lie. Opens no series.

The layout is that of docs/formats/run-folder.md, which the published clients ml-dash 0.5.x and dreamlake 0.2.x write.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import cache
from itertools import count
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData, NewerFormat
from ml_dash.model import LOST_AFTER, METRICS, STATUSES, TRACKS, Attempt, Run, RunKey, RunKind, RunPatch, SeriesInfo
from ml_dash.names import MAX_SEGMENT_BYTES, capitals_encoded, decode_segment, encode_segment, fold, series_path
from ml_dash.store import locks
from ml_dash.store.atomic import inside, write_atomically
from ml_dash.times import iso

FORMAT = 1
"""Version of the layout. A record without one was written by a published client."""

RECORDS: dict[RunKind, str] = {"experiment": "experiment.json", "session": "session.json"}
_PROJECT: dict[RunKind, str] = {"experiment": "project", "session": "workspace"}
_ID_KEY = {METRICS: "metricId", TRACKS: "trackId"}
_ID_PREFIX = {METRICS: "local-metric-", TRACKS: "local-track-"}
DATA = "data.jsonl"
META = "metadata.json"
CLOCK = "clock.jsonl"


Siblings = dict[str, tuple[int, dict[str, set[str]]]]
"""What is in a folder (path → its mtime, entries by their `fold`), kept while only we add to it."""


class RunFolder:
    """The folder at `path`, whether or not it is there yet."""

    def __init__(
        self,
        path: str,
        key: RunKey,
        clock: Callable[[], float] = time.time,
        patience: float = locks.PATIENCE,
    ) -> None:
        self.path = path
        self.key = key
        self._clock = clock
        self._patience = patience
        self._siblings: Siblings = {}

    def lock(self, *, nested: bool = False) -> AbstractContextManager[object]:
        """The run's lock, for every change of a small record. `nested` as in `locks.locked_file`."""
        return locks.locked_file(os.path.join(self.path, ".lock"), self._patience, nested=nested)

    def afterwards(self, call: Callable[[], object]) -> bool:
        """Where this thread holds the lock already, have `call` called when it lets it go; else False."""
        return locks.afterwards(os.path.join(self.path, ".lock"), call)

    # ------------------------------------------------------------ the record

    def load(self) -> Run | None:
        """The run as its records tell it, without series; None if there is no record. Raises `CorruptData`, `NewerFormat`."""
        for kind, record in RECORDS.items():
            path = os.path.join(self.path, record)
            doc = read_record(path)
            if doc is not None:
                try:
                    return self._run(kind, doc)
                except (ValueError, TypeError, AttributeError) as e:
                    raise CorruptData(path, 0, f"not a run's record ({e})") from e
        return None

    def _run(self, kind: RunKind, doc: dict[str, Any]) -> Run:
        path = os.path.join(self.path, "parameters.json")
        params = read_record(path) or {}
        if not isinstance(params.get("data") or {}, dict):
            raise CorruptData(path, 0, '"data" is no mapping')
        attempts = [msgspec.convert(a, Attempt) for a in doc.get("attempts") or []]
        status = doc.get("status")
        return Run(
            id=self._id(kind, doc),
            key=self.key,
            kind=kind,
            status=status if status in STATUSES else "COMPLETED",
            description=_text(doc.get("description")),
            tags=_texts(doc.get("tags")),
            bindrs=_texts(doc.get("bindrs")),
            folder=_text(doc.get("folder")),
            metadata=metadata if isinstance(metadata := doc.get("metadata"), dict) else None,
            params=params.get("data") or {},
            params_version=params.get("version") or 0,
            created_at=_text(doc.get("created_at")) or "",
            updated_at=_text(doc.get("updated_at") or doc.get("created_at")) or "",
            write_protected=bool(doc.get("write_protected")),
            archived=bool(doc.get("archived")),
            attempts=attempts,
            marks=doc.get("marks") or {},
            heartbeat_at=self.heartbeat(attempts) if status == "RUNNING" else None,
        )

    def stored_id(self) -> str | None:
        """The run's id, without reading the rest; None if there is no record. Raises as `load` does."""
        for kind, record in RECORDS.items():
            doc = read_record(os.path.join(self.path, record))
            if doc is not None:
                return self._id(kind, doc)
        return None

    def _id(self, kind: RunKind, doc: dict[str, Any]) -> str:
        """The recorded id; one of its own, until the run is opened for writing, for a record of a published client, which has
        none, and for a folder that was copied or renamed by hand, whose record names another run."""
        recorded = (doc.get("namespace") or "", doc.get(_PROJECT[kind]), doc.get("name"))
        if recorded != self.key:
            return "copy-" + self._hash(doc)
        return doc.get("id") or "foreign-" + self._hash(doc)

    def _hash(self, doc: dict[str, Any]) -> str:
        text = f"{os.path.realpath(self.path)}\0{doc.get('created_at')}"
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:24]

    def save(self, run: Run, before: Run | None) -> None:
        """Write what differs from `before`. Keys of other writers stay. The caller holds the lock. Raises `OSError`."""
        if before is None or run.params != before.params or run.params_version != before.params_version:
            self._save_params(run)
        path = os.path.join(self.path, RECORDS[run.kind])
        doc = read_record(path) or {}
        now = {
            "name": run.key.name,
            _PROJECT[run.kind]: run.key.project,
            "description": run.description,
            "tags": run.tags,
            "bindrs": run.bindrs,
            "folder": run.folder,
            "metadata": run.metadata,
            "created_at": run.created_at,
            "updated_at": run.updated_at,
            "write_protected": run.write_protected,
            "id": run.id,
            **({"archived": run.archived} if run.archived or "archived" in doc else {}),
            **({"namespace": run.key.namespace} if run.key.namespace else {}),
            "status": run.status,
            "attempts": [msgspec.to_builtins(a) for a in run.attempts],
            "format": FORMAT,
        } | ({"marks": run.marks} if run.marks else {})
        if doc != (doc | now):
            write_atomically(path, codec.dumps(doc | now))

    def _save_params(self, run: Run) -> None:
        if not run.params and not run.params_version:
            return
        path = os.path.join(self.path, "parameters.json")
        doc = read_record(path) or {}
        at = iso(int(self._clock() * 1000))
        doc |= {
            "version": run.params_version,
            "data": run.params,
            "createdAt": doc.get("createdAt") or at,
            "updatedAt": at,
        }
        write_atomically(path, codec.dumps(doc))

    # ------------------------------------------------------------ presence

    def _presence(self, attempt: str) -> str:
        return os.path.join(self.path, "processes", encode_segment(attempt))

    def enter(self, attempt: str, patch: RunPatch) -> None:
        """Leave a presence file for this process, or for the one elsewhere of which `patch` tells: that one lives as long as
        its heartbeats come."""
        place = os.path.join(self.path, "processes")
        inside(self.path, place, "run")
        os.makedirs(place, exist_ok=True)
        pid = os.getpid()
        record = {"pid": pid, "host": host(), "space": _pid_space(), "start": _start_time(pid)}
        if patch.host is not None:
            record = {"pid": patch.pid or 0, "host": patch.host, "remote": True}
        write_atomically(self._presence(attempt), codec.dumps(record), sync=False)

    def beat(self, attempt: str, patch: RunPatch) -> None:
        """The heartbeat: the presence file's mtime."""
        now = self._clock()
        try:
            os.utime(self._presence(attempt), (now, now))
        except FileNotFoundError:
            if os.path.isdir(self.path):
                self.enter(attempt, patch)

    def leave(self, attempt: str) -> None:
        """Remove the presence file."""
        with suppress(FileNotFoundError):
            os.unlink(self._presence(attempt))

    def alive(self, attempt: Attempt) -> bool:
        """Whether the attempt's process is there: on this machine by its pid and start, elsewhere by its heartbeat."""
        path = self._presence(attempt.id)
        try:
            beat = os.stat(path).st_mtime
            record = read_record(path) or {}
        except (OSError, CorruptData):
            return False
        here = (record.get("host"), record.get("space")) == (host(), _pid_space()) and not record.get("remote")
        if here and record.get("start") and isinstance(record.get("pid"), int):
            return bool(_start_time(record["pid"]) == record["start"])
        return self._clock() - beat <= LOST_AFTER

    def heartbeat(self, attempts: list[Attempt]) -> float | None:
        """The newest heartbeat (unix seconds) of the attempts that are alive, None if none is."""
        beats = []
        for attempt in attempts:
            if attempt.ended_at is None and self.alive(attempt):
                with suppress(OSError):
                    beats.append(os.stat(self._presence(attempt.id)).st_mtime)
        return max(beats, default=None)

    # ------------------------------------------------------------ series

    def series_folder(self, kind: str, name: str) -> str:
        """Where the series lies, or would be made, unless a sibling differs by case alone."""
        return os.path.join(self.path, kind, *series_path(name))

    def find_series(self, kind: str, name: str) -> str | None:
        """The series' folder if it is there."""
        place = os.path.join(self.path, kind)
        for raw, segment in zip(name.split("/"), series_path(name), strict=True):
            found = find_segment(place, segment, raw)
            if found is None:
                return None
            place = os.path.join(place, found)
        return place

    def make_series(self, kind: str, name: str) -> str:
        """The series' folder, made if need be. The caller holds the lock. Raises `InvalidInput` where a link leads outside."""
        place = os.path.join(self.path, kind)
        inside(self.path, place, "series")
        for raw, segment in zip(name.split("/"), series_path(name), strict=True):
            place = os.path.join(place, find_segment(place, segment, raw) or self._make_segment(place, segment))
            if os.path.islink(place):
                inside(self.path, place, "series")
        return place

    def _make_segment(self, place: str, segment: str) -> str:
        return make_segment(place, segment, self._siblings)

    def list_series(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, folder) of every series but logs and events."""
        for kind in (METRICS, TRACKS):
            yield from walk_series(os.path.join(self.path, kind), kind, "")


def walk_series(
    place: str, kind: str, above: str, *, before: Callable[[str], None] | None = None
) -> Iterator[tuple[str, str, str]]:
    """The series at and below `place`; symbolic links are not followed. `before` is told of every folder that is about to be looked
    through, but for series without folders in them on file systems that count these."""
    if before is not None:
        before(place)
    try:
        entries = sorted(os.scandir(place), key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False) or entry.name.startswith(".tmp"):
            continue
        shown = decode_segment(entry.name)
        name = above + (shown if shown is not None else entry.name)
        if os.path.exists(f"{entry.path}/{DATA}") or os.path.exists(f"{entry.path}/{META}"):
            if shown is None or "%~" in above:
                name = read_meta(entry.path).get("name") or name
            yield kind, name, entry.path
            if not may_have_folders(entry.stat(follow_symlinks=False)):
                continue
        yield from walk_series(entry.path, kind, name + "/", before=before)


def may_have_folders(folder: os.stat_result) -> bool:
    """False for a folder without folders in it, on file systems that count a folder's links: "." and its name. Others always say 1."""
    return folder.st_nlink != _CHILDLESS


_CHILDLESS = 2


def find_segment(place: str, segment: str, raw: str) -> str | None:
    """The spelling under which `segment` is in the folder `place`, None if it is not. A published client spelled it `raw`,
    unless that is how we spell another name: the folder ``%25`` is the name "%"."""
    spellings = (segment, capitals_encoded(segment), *([raw] if decode_segment(raw) == raw else []))
    for spelling in dict.fromkeys(spellings):
        if is_exactly_there(place, spelling):
            return spelling
    return None


def make_segment(place: str, segment: str, siblings: Siblings) -> str:
    """Make a folder in `place` under a spelling that no sibling's differs from by case alone. The caller holds a lock."""
    os.makedirs(place, exist_ok=True)
    folds = _folds(place, siblings)
    if folds.get(fold(segment), set()) - {segment}:
        segment = capitals_encoded(segment)
    with suppress(FileExistsError):
        os.mkdir(os.path.join(place, segment))
    folds.setdefault(fold(segment), set()).add(segment)
    siblings[place] = (os.stat(place).st_mtime_ns, folds)
    return segment


def _folds(place: str, siblings: Siblings) -> dict[str, set[str]]:
    at = os.stat(place).st_mtime_ns
    known = siblings.get(place)
    if known is None or known[0] != at:
        folds: dict[str, set[str]] = {}
        for entry in os.listdir(place):
            folds.setdefault(fold(entry), set()).add(entry)
        known = (at, folds)
    return known[1]


def is_exactly_there(place: str, segment: str) -> bool:
    """Whether this folder is in the folder, spelled just so: a case-insensitive file system says yes too often."""
    path = os.path.join(place, segment)
    if len(segment.encode(errors="surrogateescape")) > MAX_SEGMENT_BYTES or not os.path.isdir(path):
        return False
    return not _folds_case(place) or segment in os.listdir(place)


@cache
def _folds_case(place: str) -> bool:
    name = os.path.basename(place)
    other = name.swapcase()
    return other != name and os.path.exists(os.path.join(os.path.dirname(place), other))


# ---------------------------------------------------------------- a series' record


def load_meta(folder: str, kind: str, name: str) -> SeriesInfo:
    """What metadata.json tells of a series; its counts are not read, the lines have them."""
    doc = read_meta(folder)
    return SeriesInfo(
        kind,
        name,
        description=_text(doc.get("description")),
        tags=_texts(doc.get("tags")),
        metadata=metadata if isinstance(metadata := doc.get("metadata"), dict) else None,
        created_at=_text(doc.get("createdAt")),
        updated_at=_text(doc.get("updatedAt") or doc.get("createdAt")),
    )


def save_meta(folder: str, info: SeriesInfo, *, sync: bool) -> None:
    """Write metadata.json; keys of other writers stay. The counts are a convenience for people and published clients."""
    path = os.path.join(folder, META)
    try:
        doc = read_record(path) or {}
    except CorruptData:
        set_aside(path)
        doc = {}
    doc |= {
        _ID_KEY.get(info.kind, "id"): series_id(info.kind, info.name),
        "name": info.name,
        "description": info.description,
        "tags": info.tags,
        "metadata": info.metadata,
        "totalDataPoints": info.count,
        "nextIndex": info.count,
        "createdAt": info.created_at,
        "updatedAt": info.updated_at,
        "format": FORMAT,
    }
    write_atomically(path, codec.dumps(doc), sync=sync)


def read_meta(folder: str) -> dict[str, Any]:
    """A series' metadata.json; empty if there is none, and with a warning where it is damaged: a published client that was
    killed leaves half of it, and the lines tell all that counts. Raises `NewerFormat`."""
    try:
        return read_record(os.path.join(folder, META)) or {}
    except CorruptData as e:
        warnings.warn(
            f"{e.path} is damaged: the series' description, tags and metadata are not known. Its points are not concerned.",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}


def set_aside(path: str) -> str:
    """Rename what is at `path` to a name beside it that is free, ``<path>.damaged`` first; the new path."""
    names = (f"{path}.damaged{f'.{number}' if number else ''}" for number in count())
    aside = next(name for name in names if not os.path.lexists(name))
    os.rename(path, aside)
    return aside


def series_id(kind: str, name: str) -> str:
    """The id that the published clients give a local series."""
    return _ID_PREFIX.get(kind, f"local-{kind}-") + name


def read_record(path: str) -> dict[str, Any] | None:
    """A small JSON record, None if there is no file. Raises `CorruptData`, `NewerFormat`."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        doc = codec.loads(data)
    except (ValueError, RecursionError) as e:
        raise CorruptData(path, 0, f"not a JSON record ({e})") from e
    if isinstance(doc.get("format"), int) and doc["format"] > FORMAT:
        msg = (
            f"{path} has format {doc['format']}; this ml-dash knows formats up to {FORMAT}. "
            "A newer version wrote it: run `pip install -U ml-dash`."
        )
        raise NewerFormat(msg)
    return doc


def _text(value: Any) -> str | None:
    """Published clients write whatever they are given, and so may an editor: text that every reader can have."""
    return None if value is None else str(value).encode(errors="replace").decode()


def _texts(values: Any) -> list[str]:
    """A list of texts; of one text that one."""
    told = values if isinstance(values, list) else [values] if values else []
    return [text for one in told if (text := _text(one)) is not None]


# ---------------------------------------------------------------- this machine


@cache
def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def _pid_space() -> int:
    """What sets the pids of one container apart from another's on the same host; 0 where the system does not tell."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_time(pid: int) -> int:
    """When a process started, in the kernel's ticks, so that a pid used again is told apart; 0 if it is gone or unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
