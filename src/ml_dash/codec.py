"""Row ↔ line: the one module that knows the bytes of docs/formats/series.md. Pure; opens no file, takes no lock.

A row is encoded once, ``{"value": 0.5, "epoch": 1}``; a line is a row with its index around it.
NaN and ±Infinity are written as strings, a user's own string of that spelling with its first letter escaped.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, overload

import msgspec

from ml_dash.errors import CorruptData, InvalidInput, InvalidType
from ml_dash.model import LOGS, Page
from ml_dash.times import iso
from ml_dash.values import MAX_FIELDS, plain_mapping

if TYPE_CHECKING:
    import numpy as np

MAX_ROW = 8 * 1024 * 1024
"""Bytes of one encoded row."""

_NUMERIC = frozenset({int, float, bool})
_RESERVED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ESCAPED = re.compile(rb"\\u00(?:4[eE9]|2[dD])")
"""An escaped N, I or minus, of which a user's own string of the reserved spelling has one."""
_SCALARS = frozenset({int, float, bool, str, type(None), msgspec.UnsetType})
_NUMBERS_ONLY = frozenset({int, float, bool, type(None), msgspec.UnsetType})
_FLAT = frozenset({int, float, bool, str})
_TEXT = frozenset({str})
_DICT = frozenset({dict})
_encode = msgspec.json.Encoder(decimal_format="number").encode
_format = msgspec.json.format
_decode_object = msgspec.json.Decoder(dict[str, Any])
_TOKEN = re.compile(rb'(?<!\\)"(NaN|-?Infinity)"(?!\s*:)')
_LARGE = 10_000
"""Points from which a decode pauses the garbage collector: its generations cost more than the decoding."""
_SHORT = 2 * MAX_FIELDS
"""Bytes below which a row cannot have too many fields or be too large."""


# ---------------------------------------------------------------- encoding


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One row as strict JSON, spaced like ``{"value": 0.5, "epoch": 1}``, at most `MAX_ROW` bytes.

    Raises `InvalidType` naming field and type for a value or key that cannot be stored, `InvalidInput` for
    one that is too large, too deep or not Unicode.
    """
    if type(row) is dict and _TEXT.issuperset(map(type, row)):
        return encode_fields(row)
    if not isinstance(row, Mapping):
        msg = f"a row must be a mapping of fields to values; got {type(row).__name__}. Use append(value=0.5)."
        raise InvalidType(msg)
    return _thorough(row)


def encode_fields(row: dict[str, Any]) -> bytes:
    """`encode_row` for a dict whose keys are known to be strings, as keyword arguments are."""
    try:
        # One addition proves a row of plain finite numbers: a NaN, an infinity or a value of another type shows in the sum,
        # and a type that adds up to a number without being one (Fraction, a subclass of int) is one that msgspec refuses.
        # From 0.0 on, or NumPy's small integers would add up among themselves, overflow and warn.
        total = sum(row.values(), 0.0)
        if type(total) is float and total - total == 0:
            body = _encode(row)
            if len(body) < _SHORT or (len(row) <= MAX_FIELDS and len(body) < MAX_ROW // 2):
                return _format(body, indent=0)
    except Exception:  # noqa: BLE001, S110  whatever a value's own addition raises: tensors of two shapes, a signalling NaN
        pass
    return _encode_other(row)


def _encode_other(row: dict[str, Any]) -> bytes:
    """Rows with texts, and those that need the thorough way."""
    if _FLAT.issuperset(map(type, row.values())) and len(row) <= MAX_FIELDS:
        try:
            body = _encode(row)
        except ValueError:
            return _thorough(row)
        if len(body) < MAX_ROW // 2 and b"null" not in body and not has_special(body):
            return _format(body, indent=0)
    return _thorough(row)


def _thorough(row: Mapping[str, Any]) -> bytes:
    body = _format(_encode(plain_mapping(row)), indent=0)
    if len(body) > MAX_ROW:
        msg = f"the row takes {len(body)} bytes; at most {MAX_ROW} are stored. Save large values with files(...)."
        raise InvalidInput(msg)
    return body


def encode_rows(rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Each row encoded; all or none. Raises as `encode_row` does, naming the row's position."""
    rows = rows if isinstance(rows, list) else list(rows)
    bodies = _encode_flat(rows) if rows else []
    return _encode_each(rows) if bodies is None else bodies


def _encode_each(rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    bodies = []
    for i, row in enumerate(rows):
        try:
            bodies.append(encode_row(row))
        except InvalidInput as e:
            msg = f"row {i} of the batch: {e}"
            raise type(e)(msg) from e
    return bodies


def _encode_flat(rows: list[Any]) -> list[bytes] | None:
    """The batch as one JSON array, cut where its rows meet; None if any row needs the thorough way."""
    if not _DICT.issuperset(map(type, rows)) or not _TEXT.issuperset(map(type, chain.from_iterable(rows))):
        return None
    kinds = set(map(type, chain.from_iterable(map(dict.values, rows))))
    if not kinds <= _FLAT:
        return None
    try:
        body = _encode(rows)
    except ValueError:
        return None
    if b"null" in body or (str in kinds and has_special(body)) or max(map(len, rows)) > MAX_FIELDS:
        return None
    bodies = _format(body, indent=0)[2:-2].split(b"}, {")
    if len(bodies) != len(rows) or (len(body) > MAX_ROW and max(map(len, bodies)) > MAX_ROW - 2):
        return None
    return [b"{%b}" % b for b in bodies]


def has_special(body: bytes) -> bool:
    """Whether a string of the reserved spelling may be in there. One letter is sooner looked for than a word."""
    return (body.find(b"N") >= 0 and body.find(b'NaN"') >= 0) or (body.find(b"I") >= 0 and body.find(b'Infinity"') >= 0)


# ---------------------------------------------------------------- lines

LINE_TEMPLATE = {False: b'{"index": %d, "data": %b}\n', True: b'{"sequenceNumber": %d, %b\n'}
"""What (index, row) make a line; for logs (key True) the row comes without its opening brace."""
_INDEX_LINE = LINE_TEMPLATE[False].__mod__
_LOG_LINE = LINE_TEMPLATE[True].__mod__
_FIRST_NUMBER = {
    False: re.compile(rb'\{\s*"index"\s*:\s*(\d+)\s*,'),
    True: re.compile(rb'\{\s*"sequenceNumber"\s*:\s*(\d+)\s*[,}]'),
}


class Lines(Sequence[bytes]):
    """Rows that are lines already: `data` holds `size` whole lines of ours, the first at index `first`. They are cut into
    rows only where somebody asks for one; `render` at the same index gives `data` as it is."""

    __slots__ = ("_rows", "data", "first", "kind", "size")

    def __init__(self, kind: str, first: int, size: int, data: bytes) -> None:
        self.kind = kind
        self.first = first
        self.size = size
        self.data = data
        self._rows: list[bytes] | None = None

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(at, slice):
            start, stop, step = at.indices(self.size)
            if step == 1:
                return self._part(start, max(stop, start))
        return self.rows()[at]

    def rows(self) -> list[bytes]:
        """All rows, cut apart."""
        if self._rows is None:
            self._rows = [row_of(self.kind, line) for line in self.data.split(b"\n")[:-1]]
        return self._rows

    def _part(self, start: int, stop: int) -> Lines:
        """Rows [start, stop), from whichever end is nearer."""
        if start == 0 and stop == self.size:
            return self
        data, begin, end = self.data, 0, len(self.data)
        if self.size - start < start:
            begin = end - 1
            for _ in range(self.size - start):
                begin = data.rfind(b"\n", 0, begin)
            begin += 1
        else:
            for _ in range(start):
                begin = data.find(b"\n", begin) + 1
        if stop - start < self.size - stop:
            end = begin
            for _ in range(stop - start):
                end = data.find(b"\n", end) + 1
        else:
            for _ in range(self.size - stop):
                end = data.rfind(b"\n", 0, end - 1) + 1
        return Lines(self.kind, self.first + start, stop - start, data[begin:end])


def render(kind: str, first: int, rows: Sequence[bytes]) -> bytes:
    """The lines of consecutive encoded rows, the first at index `first`."""
    if isinstance(rows, Lines):
        if rows.first == first and rows.kind == kind:
            return rows.data
        rows = rows.rows()
    numbers = range(first, first + len(rows))
    if kind != LOGS:
        return b"".join(map(_INDEX_LINE, zip(numbers, rows, strict=True)))
    return b"".join(map(_log_line, numbers, rows))


def _log_line(number: int, row: bytes) -> bytes:
    return b'{"sequenceNumber": %d}\n' % number if row == b"{}" else _LOG_LINE((number, row[1:]))


def index_of(kind: str, line: bytes) -> int | None:
    """The index that a line (or its beginning) carries, None if these bytes are not the beginning of a line."""
    found = _FIRST_NUMBER[kind == LOGS].match(line)
    return int(found[1]) if found and len(found[1]) < 20 else None


def row_of(kind: str, line: bytes) -> bytes:
    """The encoded row that a line of ours (without its newline) holds: what `render` put there."""
    if kind != LOGS:
        return line[line.index(b'"data": ') + 8 : -1]
    place = line.find(b", ")
    return b"{" + line[place + 2 :] if place >= 0 else b"{}"


# ---------------------------------------------------------------- decoding


def decode_row(row: bytes) -> dict[str, Any]:
    """An encoded row's fields. Raises `ValueError` where the bytes are not a JSON object."""
    return _decode_any(row)


def decode_page(page: Page) -> list[dict[str, Any]]:
    """A page's points: ``{"index", "data", "createdAt"}`` (None where no time was kept), for logs ``{"sequenceNumber",
    "timestamp", "level", "message"}`` and "metadata" where there is one. Raises `CorruptData` where a line is not what was written."""
    points = decode_lines(page)
    if page.kind != LOGS:
        _check_indices(page, points)
        for ms, first, stop in segments(page):
            stamp = iso(ms)
            for point in points[first:stop]:
                point.setdefault("createdAt", stamp)
        if not page.ticks:
            for point in points:
                point.setdefault("createdAt", None)
    return points


def _check_indices(page: Page, points: list[dict[str, Any]]) -> None:
    """A flipped digit is still JSON: each line must carry the index of its place, and a row. Raises `CorruptData`."""
    try:
        if [point["index"] for point in points] == list(range(page.start, page.start + page.count)):
            _ = [point["data"] for point in points]
            return
    except KeyError:
        pass
    offset = 0
    for expected, line in enumerate(page.lines.split(b"\n")[:-1], page.start):
        point = _decode_any(line)
        if point.get("index") != expected or not isinstance(point.get("data"), dict):
            path, base = page.origin
            raise CorruptData(path, base + offset, f"a line that is not the point of index {expected}")
        offset += len(line) + 1


def decode_lines(page: Page) -> list[dict[str, Any]]:
    """A page's lines as they stand, decoded. Raises `CorruptData`."""
    lines = page.lines
    with gc_paused(page.count):
        if not has_special(lines):
            try:
                points = _decode_object.decode_lines(lines)
                if len(points) == page.count:  # it passes over blank lines
                    return points
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        return _each_line(page, _decode_any)


def _decode_any(line: bytes) -> dict[str, Any]:
    if not has_special(line):
        try:
            return _decode_object.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    value = json.loads(_TOKEN.sub(rb"\1", line))
    if not isinstance(value, dict):
        msg = f"expected a JSON object, found {type(value).__name__}"
        raise ValueError(msg)  # noqa: TRY004  the bytes are wrong, not a caller's type
    return value


def _each_line(page: Page, decode: Callable[[bytes], Any]) -> list[Any]:
    """`decode` over the lines one by one, so that a bad one is named by its place."""
    out = []
    offset = 0
    for line in page.lines.split(b"\n")[:-1]:
        try:
            out.append(decode(line))
        except (ValueError, RecursionError) as e:
            path, base = page.origin
            raise CorruptData(path, base + offset, f"a line that is not JSON ({e})") from e
        offset += len(line) + 1
    return out


def segments(page: Page) -> Iterator[tuple[int, int, int]]:
    """(unix ms, first, stop) for each tick's span, as positions in the page; nothing where there is no tick."""
    ticks = page.ticks
    for i, (index, ms) in enumerate(ticks):
        first = max(index - page.start, 0) if i else 0
        stop = ticks[i + 1][0] - page.start if i + 1 < len(ticks) else page.count
        stop = min(stop, page.count)
        if first < stop:
            yield ms, first, stop


@contextmanager
def gc_paused(count: int) -> Iterator[None]:
    """No garbage collection while many (`count`) objects are made that all stay."""
    pause = count > _LARGE and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


# ---------------------------------------------------------------- columns


def field_values(page: Page, fields: Sequence[str]) -> dict[str, list[Any]]:
    """Each field's values over the page, `msgspec.UNSET` where a row lacks it. Raises `CorruptData`."""
    lines = _typed_lines(page, fields)
    if lines is None:
        return _slow_fields(page, fields)
    values = {field: list(map(attrgetter(f"data.f{i}"), lines)) for i, field in enumerate(fields)}
    kinds = {field: set(map(type, column)) for field, column in values.items()}
    if all(kind <= _NUMBERS_ONLY for kind in kinds.values()) or not has_special(page.lines):
        return values
    if all(kind <= _SCALARS for kind in kinds.values()) and _ESCAPED.search(page.lines) is None:
        return {field: _respelled(column) if str in kinds[field] else column for field, column in values.items()}
    return _slow_fields(page, fields)


def _respelled(column: list[Any]) -> list[Any]:
    """The reserved strings as the numbers that they stand for; none of them is a user's, who would have an escape in it."""
    return [_RESERVED.get(value, value) if type(value) is str else value for value in column]


def _typed_lines(page: Page, fields: Sequence[str]) -> list[Any] | None:
    """The lines decoded no further than `fields`, with NaN and the infinities still as text; None where that fails."""
    if page.kind == LOGS:
        return None
    return _decoded(page, _line_decoder(tuple(fields), Any))


def _decoded(page: Page, decoder: msgspec.json.Decoder[Any] | None) -> list[Any] | None:
    if decoder is None:
        return None
    with gc_paused(page.count):
        try:
            lines: list[Any] = decoder.decode_lines(page.lines)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    return lines if len(lines) == page.count else None


@lru_cache(maxsize=256)
def _line_decoder(fields: tuple[str, ...], kind: Any) -> msgspec.json.Decoder[Any] | None:
    """Decodes lines no further than `fields`, as ``data.f0`` and so on: of type `kind`, or UNSET."""
    names = [f"f{i}" for i in range(len(fields))]
    try:
        row = msgspec.defstruct(
            "Row", [(n, kind, msgspec.UNSET) for n in names], rename=dict(zip(names, fields, strict=True)), gc=False
        )
    except ValueError:  # it takes no name with a quote, a backslash, a control character or a lone surrogate
        return None
    return msgspec.json.Decoder(msgspec.defstruct("Line", [("data", row)], gc=False))


def _slow_fields(page: Page, fields: Sequence[str]) -> dict[str, list[Any]]:
    points = decode_lines(page)
    rows = points if page.kind == LOGS else [p.get("data", {}) for p in points]
    return {field: [row.get(field, msgspec.UNSET) for row in rows] for field in fields}


def cut(page: Page, most: int) -> Page:
    """As many of the page's points as go into `most` bytes of lines, and at least one."""
    if len(page.lines) <= most:
        return page
    end = page.lines.rfind(b"\n", 0, max(most, 0)) + 1 or page.lines.find(b"\n") + 1
    lines = page.lines[:end]
    stop = page.start + lines.count(b"\n")
    ticks = tuple(tick for tick in page.ticks if tick[0] < stop)
    return Page(page.kind, page.start, stop - page.start, page.total, lines, ticks, page.origin)


def numbers(page: Page, fields: Sequence[str]) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Each field over the page as (float64 values, bool mask of the rows where it is a number). Booleans count as 0 and 1;
    integers beyond float64 become ±inf. Raises `CorruptData`."""
    return _floats(page, fields) or {field: as_numbers(values) for field, values in field_values(page, fields).items()}


def _floats(page: Page, fields: Sequence[str]) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] | None:
    """`numbers` where every row has every field, and each is a plain number: the commonest case, and the quickest. Else None."""
    if page.kind == LOGS or not fields or has_special(page.lines):
        return None
    lines = _decoded(page, _line_decoder(tuple(fields), float | msgspec.UnsetType))
    if lines is None:
        return None
    import numpy as np

    found = {}
    for i, field in enumerate(fields):
        try:
            values = np.fromiter(map(attrgetter(f"data.f{i}"), lines), np.float64, page.count)
        except TypeError:  # UNSET is no number
            return None
        found[field] = (values, np.ones(page.count, dtype=bool))
    return found


def as_numbers(values: list[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Python values as (float64, mask): the mask is False, and the value NaN, where there is no number."""
    import numpy as np

    if _NUMERIC.issuperset(map(type, values)):
        with suppress(OverflowError):
            return np.array(values, dtype=np.float64), np.ones(len(values), dtype=bool)
    mask = np.fromiter((type(v) in _NUMERIC for v in values), dtype=bool, count=len(values))
    floats = (_float(v) if type(v) in _NUMERIC else math.nan for v in values)
    return np.fromiter(floats, dtype=np.float64, count=len(values)), mask


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


# ---------------------------------------------------------------- small records


def dumps(record: Any, *, indent: int = 2, envelope: int = 0) -> bytes:
    """A small record as indented JSON, with the same spelling of non-finite numbers as a row. `envelope` is how many levels may
    be around what a user nested as deeply as may be."""
    return _format(_encode(plain_mapping(record, depth=1 - envelope)), indent=indent) + b"\n"


def settled(what: str, record: Any) -> dict[str, Any] | None:
    """A copy of a mapping as it will be read back, or None. `what` is the argument's name. Raises `InvalidInput` (`TypeError`)."""
    if record is None:
        return None
    if not isinstance(record, Mapping):
        msg = f'{what}: expected a mapping, such as {{"epoch": 3}}; got {record!r} of type {type(record).__name__}.'
        raise InvalidType(msg)
    try:
        return loads(dumps(record))
    except InvalidInput as e:
        msg = f"{what}: {e}"
        raise type(e)(msg) from None


def loads(data: bytes) -> dict[str, Any]:
    """The inverse of `dumps`; also takes the bare NaN that other writers leave. Raises `ValueError`."""
    return _decode_any(data)
