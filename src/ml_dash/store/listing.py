"""Listing many runs with their series' last rows, and keeping what did not change since: a derived cache, safe to delete.

What was read of a file is kept with the file's (mtime, size, inode) and used while they are the same. A file that changed
less than `RACY` before it was read is not kept: its next change might leave all three alike.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput
from ml_dash.model import METRICS, TRACKS, Attempt, Run, SeriesInfo
from ml_dash.store.atomic import inside, write_atomically
from ml_dash.store.clock_file import ends
from ml_dash.store.line_search import last_line
from ml_dash.store.run_folder import CLOCK, DATA, RECORDS, RunFolder, load_meta, walk_series
from ml_dash.times import iso

RACY = 0.1
"""Seconds: coarser than the clocks that file systems stamp with."""
_WORTH = 50
"""Files read anew from which the cache is written again."""
VERSION = 1

_Stamp = tuple[int, int, int]
_NONE: _Stamp = (0, 0, 0)

Reader = Callable[[str, str, str], tuple[SeriesInfo, bytes]]
"""(kind, name, folder) → what `read_series` returns."""


class _Series(msgspec.Struct, array_like=True, gc=False):
    kind: str
    name: str
    folder: str
    stamp: _Stamp
    data: _Stamp
    info: bytes
    metadata: bytes
    line: bytes


class _Entry(msgspec.Struct, array_like=True):
    record: _Stamp
    params: _Stamp
    run: bytes
    groups: dict[str, _Stamp]
    series: list[_Series]


class _File(msgspec.Struct, array_like=True):
    version: int
    runs: dict[str, _Entry]


class Listing:
    """What was listed below one root, kept in the file `path`. `read` is `read_series`, or what knows more of a series."""

    def __init__(self, root: str, path: str, clock: Callable[[], float], read: Reader) -> None:
        self._root = root
        self._path = path
        self._clock = clock
        self._read_series = read
        self._known: dict[str, _Entry] | None = None
        self._fresh = 0

    def run(self, folder: RunFolder, *, series: bool) -> Run | None:
        """The run in `folder`, with its series if asked; None if there is none. Raises `CorruptData`."""
        known = self._load().get(folder.path)
        entry = self._current(folder, known)
        if entry is None:
            self._load().pop(folder.path, None)
            return None
        run = _unpack(entry.run, folder)
        if series:
            self._update_series(folder, entry, known if known is entry else None)
            run.series = sorted(map(_info, entry.series), key=lambda info: (info.kind, info.name))
        if run.status == "RUNNING":
            run.heartbeat_at = folder.heartbeat(run.attempts)
        return run

    def save(self) -> None:
        """Write the cache if enough was read anew. A folder that cannot be written to has no cache."""
        if self._fresh < _WORTH or self._known is None:
            return
        self._fresh = 0
        with suppress(OSError, InvalidInput):
            inside(self._root, self._path, "folder")
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            write_atomically(self._path, msgspec.msgpack.encode(_File(VERSION, self._known)), sync=False)

    def _load(self) -> dict[str, _Entry]:
        if self._known is None:
            self._known = {}
            with suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
                with open(self._path, "rb") as f:
                    stored = msgspec.msgpack.decode(f.read(), type=_File)
                if stored.version == VERSION:
                    self._known = stored.runs
        return self._known

    def _current(self, folder: RunFolder, known: _Entry | None) -> _Entry | None:
        """The entry, read anew where a record changed."""
        record = next(
            (s for name in RECORDS.values() if (s := _stamp(os.path.join(folder.path, name))) != _NONE), _NONE
        )
        params = _stamp(os.path.join(folder.path, "parameters.json"))
        if known is not None and (known.record, known.params) == (record, params) and record != _NONE:
            return known
        run = folder.load()
        if run is None:
            return None
        self._fresh += 1
        entry = _Entry(self._settled(record), self._settled(params), _pack(run), {}, known.series if known else [])
        self._load()[folder.path] = entry
        return entry

    def _update_series(self, folder: RunFolder, entry: _Entry, known: _Entry | None) -> None:
        if known is None or not entry.groups or any(_stamp(path) != stamp for path, stamp in entry.groups.items()):
            self._walk(folder, entry)
        for at, one in enumerate(entry.series):
            if _stamp(one.folder) != one.stamp or _stamp(f"{one.folder}/{DATA}") != one.data:
                entry.series[at] = self._read(one.kind, one.name, one.folder)

    def _walk(self, folder: RunFolder, entry: _Entry) -> None:
        """Which series there are: the folders that are groups of series are stamped as well."""
        old = {one.folder: one for one in entry.series}
        found, groups = [], {}
        for kind in (METRICS, TRACKS):
            top = os.path.join(folder.path, kind)
            groups[top] = self._settled(_stamp(top)) if os.path.isdir(top) else _NONE
            for _, name, place in walk_series(top, kind, ""):
                found.append(old.get(place) or self._read(kind, name, place))
                while (place := os.path.dirname(place)) != top and place not in groups:
                    groups[place] = self._settled(_stamp(place))
        entry.series, entry.groups = found, groups

    def _read(self, kind: str, name: str, place: str) -> _Series:
        self._fresh += 1
        stamp, data = self._settled(_stamp(place)), self._settled(_stamp(f"{place}/{DATA}"))
        info, line = self._read_series(kind, name, place)
        metadata = codec.dumps(info.metadata, indent=0) if info.metadata is not None else b""
        info.metadata = None
        return _Series(kind, name, place, stamp, data, msgspec.msgpack.encode(info), metadata, line)

    def _settled(self, stamp: _Stamp) -> _Stamp:
        return stamp if self._clock() - stamp[0] / 1e9 > RACY else (-1, -1, -1)


def read_series(kind: str, name: str, place: str) -> tuple[SeriesInfo, bytes]:
    """A series as its folder tells it, without its last row, and its last line. No file stays open. Raises `CorruptData`."""
    info = load_meta(place, kind, name)
    info.count, line = peek(f"{place}/{DATA}", kind)
    if not info.count:
        return info, b""
    first, last = ends(f"{place}/{CLOCK}")
    info.first_at, info.last_at = (iso(first), iso(last)) if first is not None and last is not None else (None, None)
    if b'"createdAt"' in line:
        info.first_at = info.first_at or info.created_at
        info.last_at = last_point(line).get("createdAt") or info.last_at
    info.created_at = info.created_at or info.first_at
    info.updated_at = max(info.updated_at or "", info.last_at or "") or None
    return info, line


def last_point(line: bytes) -> dict[str, Any]:
    """A line that was damaged has no row to show; a read of it says so."""
    try:
        return codec.loads(line) if line else {}
    except (ValueError, RecursionError):
        return {}


def peek(path: str, kind: str) -> tuple[int, bytes]:
    """(points, the last line) of a series file, without keeping it open; (0, b"") if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return 0, b""
    except OSError as e:
        if e.errno == errno.ELOOP:  # a link: whoever opens the series hears of it
            return 0, b""
        raise
    try:
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        tail = last_line(fd, os.fstat(fd).st_size, kind, path)
        return tail.points, tail.line
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing alone leaves it to whoever was forked meanwhile
        os.close(fd)


def _stamp(path: str) -> _Stamp:
    try:
        at = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _NONE
    return at.st_mtime_ns, at.st_size, at.st_ino


_decode_info = msgspec.msgpack.Decoder(SeriesInfo).decode


def _info(one: _Series) -> SeriesInfo:
    info = _decode_info(one.info)
    if one.metadata:
        info.metadata = codec.loads(one.metadata)
    info.last = last_point(one.line).get("data")
    return info


def _pack(run: Run) -> bytes:
    fields = {f: getattr(run, f) for f in run.__struct_fields__ if f not in ("key", "series", "heartbeat_at")}
    fields["attempts"] = [msgspec.to_builtins(a) for a in run.attempts]
    return codec.dumps(fields, indent=0)


def _unpack(data: bytes, folder: RunFolder) -> Run:
    fields = codec.loads(data)
    fields["attempts"] = [msgspec.convert(a, Attempt) for a in fields["attempts"]]
    return Run(key=folder.key, **fields)
