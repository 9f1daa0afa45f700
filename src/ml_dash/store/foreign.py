"""Series that a published client wrote: checked once, and read by position where its races left them irregular.

A series is foreign if its metadata.json has no "format", or if its last line has a "createdAt", which our lines never have.
A log is foreign if its first or last entry's time has microseconds, which ours never has.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.model import LOGS, Appended, Batch, Page, SeriesInfo
from ml_dash.store.run_folder import DATA, read_meta
from ml_dash.store.series_file import SeriesFile
from ml_dash.times import parse_iso

_BLOCK = 1 << 22


class _Index(msgspec.Struct, gc=False):
    index: int


class _Number(msgspec.Struct, gc=False):
    index: int = msgspec.field(name="sequenceNumber")


_DECODERS: dict[bool, msgspec.json.Decoder[Any]] = {
    False: msgspec.json.Decoder(_Index),
    True: msgspec.json.Decoder(_Number),
}
_KEYS = {False: "index", True: "sequenceNumber"}
_TIMED = re.compile(rb', "createdAt": "([^"]*)"\}\n?\Z')
_BARE = re.compile(rb"[\[:,] ?-?(?:NaN|Infinity)\b")
_TICK = 100
"""Milliseconds between two wall times that are told of a series, at least."""
_TOKEN = re.compile(rb'(?<!\\)"(-?)([NI])(aN|nfinity)"(?!\s*:)')
_MICROSECONDS = re.compile(rb'"timestamp": "[^"]*\.\d{6}Z?"')


def is_foreign(folder: str) -> bool:
    """Whether a published client wrote the series in `folder`, or wrote to it last."""
    path = os.path.join(folder, DATA)
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return False
    if not size:
        return False
    if "format" not in read_meta(folder):
        return True
    with open(path, "rb") as f:
        f.seek(max(0, size - 4096))
        tail = f.read()
    return b'"createdAt"' in tail[tail.rfind(b"\n", 0, max(tail.rfind(b"\n"), 0)) + 1 :]


def is_foreign_log(path: str) -> bool:
    """Whether a published client wrote the first or the last entry of the log at `path`."""
    try:
        with open(path, "rb") as f:
            head = f.read(4096)
            f.seek(max(0, os.fstat(f.fileno()).st_size - 4096))
            tail = f.read()
    except FileNotFoundError:
        return False
    last = tail[tail.rfind(b"\n", 0, max(tail.rfind(b"\n"), 0)) + 1 :]
    return any(_MICROSECONDS.search(line) for line in (head[: head.find(b"\n")], last))


def is_regular(path: str, kind: str) -> bool:
    """Whether every whole line carries its own position as its index. Asked again of the same bytes, it does not read them again."""
    at = os.stat(path)
    return _is_regular(path, kind, (at.st_ino, at.st_size, at.st_mtime_ns))


@lru_cache(maxsize=4096)
def _is_regular(path: str, kind: str, _stamp: tuple[int, int, int]) -> bool:
    expected = 0
    with open(path, "rb") as f:
        rest = b""
        while block := f.read(_BLOCK):
            block = rest + block
            stop = block.rfind(b"\n") + 1
            rest = block[stop:]
            found: list[int] | None
            try:
                found = [one.index for one in _DECODERS[kind == LOGS].decode_lines(block[:stop])]
            except (msgspec.DecodeError, UnicodeDecodeError):
                found = _indices(block[:stop], _KEYS[kind == LOGS])
            if found is None or found != list(range(expected, expected + len(found))):
                return False
            expected += len(found)
    return True


def is_mixed(folder: str) -> bool:
    """Whether a published client wrote the first or the last line of the series in `folder`."""
    try:
        with open(os.path.join(folder, DATA), "rb") as f:
            if _TIMED.search(f.readline()):
                return True
            f.seek(max(0, os.fstat(f.fileno()).st_size - 4096))
            return b'"createdAt": "' in f.read()
    except FileNotFoundError:
        return False


def as_ours(lines: bytes) -> bytes:
    """Lines as we would have written them, as far as a reader could take them for something else: a published client wrote
    a user's own string "NaN" as it is, which is how we write the number. Lines of ours stay as they are."""
    if not _TOKEN.search(lines):
        return lines
    return b"".join(
        _TOKEN.sub(_escaped, line) if _TIMED.search(line) else line for line in lines.splitlines(keepends=True)
    )


def _escaped(match: re.Match[bytes]) -> bytes:
    return b'"%b\\u%04x%b"' % (match[1], ord(match[2]), match[3])


def strict_rows(kind: str, first: int, lines: bytes) -> tuple[list[bytes], list[tuple[int, int]]] | None:
    """The rows of lines of which a published client wrote some, as we would have encoded them, and their (index, unix ms): what
    leaves this folder is ours. None where all of the lines are. The same line gives the same row, whatever is beside it."""
    dated = kind != LOGS and b', "createdAt": "' in lines
    bare = (b"NaN" in lines or b"Infinity" in lines) and _BARE.search(lines)  # sooner looked for than the pattern
    if not dated and not bare:
        return None
    rows: list[bytes] = []
    times: list[tuple[int, int]] = []
    for index, whole in enumerate(lines.split(b"\n")[:-1], first):
        timed = _TIMED.search(whole) if kind != LOGS else None
        line = whole if timed is None else whole[: timed.start()] + b"}"
        rows.append(_strict(codec.row_of(kind, line)))
        if timed is not None:
            ms = _time({"createdAt": timed[1].decode(errors="replace")})
            if ms is not None and (not times or ms >= times[-1][1] + _TICK):
                times.append((index, ms))
    return rows, times


def times_in(first: int, lines: bytes) -> list[tuple[int, int]]:
    """(index, unix ms) of the lines that carry a time, the first at index `first`; none that is less than a tick after another."""
    found: list[tuple[int, int]] = []
    for index, line in enumerate(lines.split(b"\n")[:-1], first):
        timed = _TIMED.search(line, line.rfind(b', "createdAt": "'))
        ms = _time({"createdAt": timed[1].decode(errors="replace")}) if timed is not None else None
        if ms is not None and (not found or ms >= found[-1][1] + _TICK):
            found.append((index, ms))
    return found


def _strict(row: bytes) -> bytes:
    """Bare NaN is no JSON."""
    if _BARE.search(row):
        try:
            msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError):
            with suppress(ValueError, RecursionError):  # what is no row at all, its reader refuses
                return codec.encode_row(codec.decode_row(row))
    return row


def newlines(path: str) -> int:
    """How many lines the file has."""
    count = 0
    with open(path, "rb") as f:
        while block := f.read(_BLOCK):
            count += block.count(b"\n")
    return count


def _indices(lines: bytes, key: str) -> list[int] | None:
    """Bare NaN is no JSON to msgspec, but no irregularity either."""
    found = []
    for line in lines.split(b"\n")[:-1]:
        try:
            found.append(codec.loads(line).get(key, -1))
        except (ValueError, RecursionError):
            return None
    return found


class IrregularSeries:
    """A foreign series whose indices are not its positions: read-only, by position, lines that are no JSON left out."""

    remedy = "cannot be appended to; `ml-dash doctor --repair` makes a regular copy of it"

    def __init__(self, path: str, kind: str, *, quiet: bool = False) -> None:
        self.path = path
        self.kind = kind
        self.dirty = False
        if not quiet:
            warnings.warn(
                f"{path}: this series of a published client has missing, repeated or damaged lines. "
                f"It is read by position and {self.remedy}.",
                RuntimeWarning,
                stacklevel=4,
            )

    def points(self) -> list[dict[str, Any]]:
        """Every line that is a point, in the file's order."""
        points = []
        with open(self.path, "rb") as f:
            for line in f:
                try:
                    point = codec.loads(as_ours(line))
                except (ValueError, RecursionError):
                    continue
                if line.endswith(b"\n") and (self.kind == LOGS or isinstance(point.get("data"), dict)):
                    points.append(point)
        return points

    def extent(self) -> tuple[int, int]:
        """(bytes, points)."""
        return os.stat(self.path).st_size, len(self.points())

    def read(self, start: int, limit: int | None, most: int | None = None) -> Page:
        """Points [start, start + limit) by position, about `most` bytes of them."""
        points = self.points()
        total = len(points)
        points = points[start : None if limit is None else start + limit]
        lines = codec.render(self.kind, start, [codec.encode_row(self._row(p)) for p in points])
        ticks = [(start + i, ms) for i, p in enumerate(points) if (ms := _time(p)) is not None]
        page = Page(self.kind, start, len(points), total, lines, tuple(ticks), (self.path, 0))
        return page if most is None else codec.cut(page, most)

    def _row(self, point: dict[str, Any]) -> dict[str, Any]:
        if self.kind != LOGS:
            row: dict[str, Any] = point["data"]
            return row
        return {key: value for key, value in point.items() if key != _KEYS[True]}

    def told(self, info: SeriesInfo) -> tuple[SeriesInfo, bytes]:
        """`info` with what the points tell, and the last of them as a line."""
        points = self.points()
        info.count = len(points)
        if not points:
            return info, b""
        info.first_at, info.last_at = points[0].get("createdAt"), points[-1].get("createdAt")
        return info, codec.dumps(points[-1], indent=0)

    def append(self, rows: Any, times: Any = ()) -> int:
        """Refused."""
        raise self._refusal()

    def append_marked(self, batch: Batch, writers: Any) -> Appended:
        """Refused."""
        raise self._refusal()

    def _refusal(self) -> OSError:
        return OSError(
            f"{self.path}: lines are missing, repeated or damaged (a published client wrote them), so no index for a new "
            "point is certain. Run `ml-dash doctor --repair` on the run's folder, then append."
        )

    @property
    def count(self) -> int:
        """Points."""
        return len(self.points())

    def sync(self) -> None:
        """Nothing was written."""

    def write_ticks(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing is held."""

    def forget(self) -> None:
        """In a forked child: nothing is held."""


class IrregularLog(IrregularSeries):
    """A foreign log whose numbers are not its positions. New entries join it, since no number of theirs is relied on: it is
    read by position, and a run must be able to say why it ended."""

    remedy = "goes on; `ml-dash doctor --repair` numbers its entries anew"

    def __init__(self, path: str, file: SeriesFile) -> None:
        super().__init__(path, LOGS)
        self._file = file

    def append(self, rows: Any, times: Any = ()) -> int:
        """The position of the first entry."""
        first = self.count
        self._file.append(rows, times)
        self.dirty = True
        return first

    def sync(self) -> None:
        """See `SeriesFile.sync`."""
        self._file.sync()
        self.dirty = False

    def close(self) -> None:
        """See `SeriesFile.close`."""
        self._file.close()

    def forget(self) -> None:
        """See `SeriesFile.forget`."""
        self._file.forget()


def _time(point: dict[str, Any]) -> int | None:
    try:
        return parse_iso(point["createdAt"])
    except (KeyError, TypeError, ValueError):
        return None
