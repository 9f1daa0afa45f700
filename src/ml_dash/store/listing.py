"""Listing many runs with their series' last rows, and keeping what did not change since: a derived cache, safe to delete.

What was read of a file is kept with the file's (mtime, size, inode) and used while they are the same. A file that changed
less than `RACY` before it was read is not kept: its next change might leave all three alike.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData, InvalidInput
from ml_dash.model import METRICS, TRACKS, Attempt, Run, SeriesInfo
from ml_dash.store.atomic import inside, write_atomically
from ml_dash.store.clock_file import ends
from ml_dash.store.line_search import last_line
from ml_dash.store.run_folder import CLOCK, DATA, RECORDS, RunFolder, load_meta, may_have_folders, walk_series
from ml_dash.times import iso

RACY = 0.1
"""Seconds: coarser than the clocks that file systems stamp with."""
_WORTH = 50
"""Files read anew from which the cache is written again."""
_EVERY = 30.0
"""Seconds between two times that it is written."""
VERSION = 4

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
    clock: _Stamp
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
        self._next = 0.0

    def run(self, folder: RunFolder, *, series: bool) -> Run | None:
        """The run in `folder`, with its series if asked; None if there is none. Raises `CorruptData`."""
        known = self._load().get(folder.path)
        entry = self._current(folder, known)
        if entry is None:
            self._load().pop(folder.path, None)
            return None
        run = _unpack(entry.run, folder)
        if series:
            run.series = self._series(folder, entry, known if known is entry else None)
        if run.status == "RUNNING":
            run.heartbeat_at = folder.heartbeat(run.attempts)
        return run

    def series(self, folder: RunFolder) -> list[SeriesInfo]:
        """The series of the run in `folder`, sorted by kind and name. Raises `CorruptData`. Writers add times up to some seconds
        after the points that these are of: here they are looked for, in a list of many runs they may come with the next point."""
        known = self._load().get(folder.path)
        entry = self._current(folder, known)
        return self._series(folder, entry, known if known is entry else None, clocks=True) if entry is not None else []

    def _series(
        self, folder: RunFolder, entry: _Entry, known: _Entry | None, *, clocks: bool = False
    ) -> list[SeriesInfo]:
        series = self._current_series(folder, entry, known, clocks)
        return sorted(map(_info, series), key=lambda info: (info.kind, info.name))

    def save(self) -> None:
        """Write the cache if enough was read anew. A folder that cannot be written to has no cache. Who lists again and again what
        many write to does not write all of it each time."""
        if self._fresh < _WORTH or self._known is None or time.monotonic() < self._next:
            return
        self._fresh, self._next = 0, time.monotonic() + _EVERY
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
        record = _NONE
        for name in RECORDS.values():
            record = _stamp(f"{folder.path}/{name}")
            if record != _NONE:
                break
        params = _stamp(f"{folder.path}/parameters.json")
        if known is not None and (known.record, known.params) == (record, params) and record != _NONE:
            return known
        run = folder.load()
        if run is None:
            return None
        self._fresh += 1
        try:
            packed = _pack(run)
        except InvalidInput as e:  # of this run alone; the others are listed
            raise CorruptData(folder.path, 0, f"cannot be listed ({e})") from e
        entry = _Entry(self._settled(record), self._settled(params), packed, {}, known.series if known else [])
        self._load()[folder.path] = entry
        return entry

    def _current_series(
        self, folder: RunFolder, entry: _Entry, known: _Entry | None, clocks: bool
    ) -> Sequence[_Series]:
        """The series, walked through anew where a folder of them changed and read anew where one of them did."""
        if known is None or not entry.groups or any(_stamp(path) != stamp for path, stamp in entry.groups.items()):
            entry = self._walk(folder, entry)
        series, more = entry.series, False
        for at, one in enumerate(series):
            changed = _stamp(one.folder) != one.stamp
            # A series becomes a folder of others by the first folder in it, which its own listing alone tells.
            more |= changed and one.folder not in entry.groups and _may_have_folders(one.folder)
            if (
                changed
                or _stamp(f"{one.folder}/{DATA}") != one.data
                or (clocks and _stamp(f"{one.folder}/{CLOCK}") != one.clock)
            ):
                series[at] = self._read(one.kind, one.name, one.folder)
        return self._walk(folder, entry).series if more else series

    def _walk(self, folder: RunFolder, entry: _Entry) -> _Entry:
        """Which series there are. Folders in which others may come are stamped as well, each before it is looked through."""
        old = {one.folder: one for one in entry.series}
        found: list[_Series] = []
        groups: dict[str, _Stamp] = {}

        def before(place: str) -> None:
            groups[place] = self._settled(stamp) if (stamp := _stamp(place)) != _NONE else _NONE

        for kind in (METRICS, TRACKS):
            for _, name, place in walk_series(os.path.join(folder.path, kind), kind, "", before=before):
                found.append(old.get(place) or self._read(kind, name, place))
        # Series and stamps belong together: another thread finds both, or neither.
        entry = msgspec.structs.replace(entry, groups=groups, series=found)
        self._load()[folder.path] = entry
        return entry

    def _read(self, kind: str, name: str, place: str) -> _Series:
        self._fresh += 1
        stamp, data, clock = (self._settled(_stamp(path)) for path in (place, f"{place}/{DATA}", f"{place}/{CLOCK}"))
        info, line = self._read_series(kind, name, place)
        metadata = codec.dumps(info.metadata, indent=0) if info.metadata is not None else b""
        info.metadata = None
        return _Series(kind, name, place, stamp, data, clock, msgspec.msgpack.encode(info), metadata, line)

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


def _may_have_folders(place: str) -> bool:
    try:
        return may_have_folders(os.stat(place))
    except OSError:
        return False


def _stamp(path: str) -> _Stamp:
    try:
        at = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _NONE
    return at.st_mtime_ns, at.st_size, at.st_ino


_decode_point = msgspec.json.Decoder(dict[str, Any]).decode
_decode_run = msgspec.msgpack.Decoder(Run).decode
_decode_info = msgspec.msgpack.Decoder(SeriesInfo).decode


def _info(one: _Series) -> SeriesInfo:
    info = _decode_info(one.info)
    if one.metadata:
        info.metadata = codec.loads(one.metadata)
    line = one.line
    if b"N" in line or b"I" in line or not line:
        info.last = last_point(line).get("data")
        return info
    try:  # what `last_point` does, in a third of the time: there are fifty thousand of these
        info.last = _decode_point(line).get("data")
    except (msgspec.DecodeError, UnicodeDecodeError):
        info.last = last_point(line).get("data")
    return info


def _pack(run: Run) -> bytes:
    told = msgspec.structs.replace(run, series=None, heartbeat_at=None)
    try:
        packed = msgspec.msgpack.encode(told)
        # Other writers' records hold what they like, and one that does not come back would spoil the list.
        _decode_run(packed)
        return packed
    except (OverflowError, UnicodeEncodeError, msgspec.ValidationError):  # an integer beyond 64 bits, a lone surrogate
        fields = {f: getattr(told, f) for f in told.__struct_fields__ if f not in ("key", "series", "heartbeat_at")}
        fields["attempts"] = [msgspec.to_builtins(a) for a in run.attempts]
        return codec.dumps(fields, indent=0)


def _unpack(data: bytes, folder: RunFolder) -> Run:
    if not data.startswith(b"{"):  # which no mapping of MessagePack's begins with
        run = _decode_run(data)
        run.key = folder.key
        return run
    fields = codec.loads(data)
    fields["attempts"] = [msgspec.convert(a, Attempt) for a in fields["attempts"]]
    return Run(key=folder.key, **fields)
