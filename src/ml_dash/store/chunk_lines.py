"""Cells → lines: what the columns of a chunk say, as the text that went in. Pure; knows no Parquet.

A row's *shape* is its keys in order, each with the letter of its value's type; docs/formats/chunk.md. Rows of one shape
are one template, filled a column at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ml_dash import codec
from ml_dash.model import EVENTS, LOGS, METRICS, TRACKS
from ml_dash.rollup import IntArray
from ml_dash.values import plain

INT, FLOAT, BOOL, TEXT, NULL, JSON = "ifbsnj"
"""Letters of the types. Null has no column: the letter says it all. JSON is whatever stands in the row's JSON column."""

Shape = Mapping[str, str]
"""Keys in the row's order → letters."""

RAW = -1
"""In place of a shape's number: the row stands in `_raw` as it came."""

encode = msgspec.json.Encoder().encode
decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_RESERVED = frozenset({"NaN", "Infinity", "-Infinity"})


class Frame(NamedTuple):
    """What stands around a row's fields. In `head`, "%b" is the index; `empty` is the line of a row without fields."""

    head: bytes
    tail: bytes
    empty: bytes


_INDEXED = Frame(b'{"index": %b, "data": {', b"}}\n", b'{"index": %b, "data": {}}\n')
FRAMES = {
    METRICS: _INDEXED,
    TRACKS: _INDEXED,
    EVENTS: _INDEXED,
    LOGS: Frame(b'{"sequenceNumber": %b, ', b"}\n", b'{"sequenceNumber": %b}\n'),
}
BARE = Frame(b"{", b"}\n", b"{}\n")
"""Rows without an index, to compare with the rows that came."""


class Cells(NamedTuple):
    """A stretch of rows as columns hold them."""

    shapes: Sequence[Shape]
    codes: IntArray
    """Each row's shape, `RAW` for none."""
    values: Callable[[str, str], Any]
    """(field, letter) → an array (a list, of texts), an element a row; what stands where the shape has it not, is of no account."""
    json: Sequence[str | None]
    raw: Sequence[bytes | None]


def lines(kind: str, first: int, cells: Cells) -> list[bytes]:
    """Each row's line, the first at index `first`."""
    count = len(cells.codes)
    out = fill(FRAMES[kind], cells, numbers_text(range(first, first + count)))
    for at in np.flatnonzero(cells.codes == RAW).tolist():
        row = cells.raw[at]
        if row is None:
            raise ValueError(f"row {first + at} stands nowhere")
        out[at] = codec.render(kind, first + at, [row])
    return out


def fill(frame: Frame, cells: Cells, index: Sequence[bytes] | None = None) -> list[bytes]:
    """Each row that has a shape in its frame; the others stay empty."""
    used = np.unique(cells.codes)
    columns = _Columns(cells)
    if len(used) == 1 and used[0] != RAW:
        return _fill_shape(frame, cells.shapes[int(used[0])], columns, None, index)
    out = [b""] * len(cells.codes)
    by_shape = np.argsort(cells.codes, kind="stable")
    groups = np.split(by_shape, np.searchsorted(cells.codes[by_shape], used)[1:])
    for code, rows in zip(used.tolist(), groups, strict=True):
        if code == RAW:
            continue
        places = rows.tolist()
        numbers = None if index is None else [index[at] for at in places]
        for at, line in zip(places, _fill_shape(frame, cells.shapes[code], columns, places, numbers), strict=True):
            out[at] = line
    return out


def _fill_shape(
    frame: Frame, shape: Shape, columns: _Columns, places: list[int] | None, index: Sequence[bytes] | None
) -> list[bytes]:
    fields = b", ".join(_slot(key, letter) for key, letter in shape.items())
    template = frame.head + fields + frame.tail if shape else frame.empty
    texts = [columns.texts(key, letter, places) for key, letter in shape.items() if letter != NULL]
    if index is not None:
        texts.insert(0, index)
    if not texts:
        return [template % ()] * (len(columns) if places is None else len(places))
    return list(map(template.__mod__, zip(*texts, strict=True)))


def _slot(key: str, letter: str) -> bytes:
    name = encode(key).replace(b"%", b"%%") + b": "
    return name + {NULL: b"null", TEXT: b'"%b"'}.get(letter, b"%b")


class _Columns:
    """Each column's texts, made once, of the rows that a shape asks for it."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._made: dict[tuple[str, str], Sequence[bytes]] = {}
        self._parts: list[Any] | None = None

    def __len__(self) -> int:
        return len(self._cells.codes)

    def texts(self, key: str, letter: str, places: list[int] | None) -> Sequence[bytes]:
        """Of the rows at `places`, which all have (key, letter); None is every row."""
        if letter == JSON:
            parts = self._json_parts()
            return [bytes(parts[at][key]) for at in (range(len(self)) if places is None else places)]
        made = self._made.get((key, letter))
        if made is None:
            made = self._made[key, letter] = self._make(key, letter, everywhere=places is None)
        return made if places is None else [made[at] for at in places]

    def _make(self, key: str, letter: str, *, everywhere: bool) -> Sequence[bytes]:
        values = self._cells.values(key, letter)
        if everywhere:
            return _texts(letter, values)
        has = np.array([shape.get(key) == letter for shape in self._cells.shapes] + [False])
        places = np.flatnonzero(has[self._cells.codes]).tolist()
        out = [b""] * len(self)
        some = [values[at] for at in places] if letter == TEXT else values[places]
        for at, text in zip(places, _texts(letter, some), strict=True):
            out[at] = text
        return out

    def _json_parts(self) -> list[Any]:
        if self._parts is None:
            self._parts = [text and decode_parts(text) for text in self._cells.json]
        return self._parts


def _texts(letter: str, values: Any) -> Sequence[bytes]:
    """Each value as a line spells it; texts without the quotes around them."""
    if letter == TEXT:
        return _quoted(values)
    if letter == INT and values.dtype != np.int64:
        values = values.astype(np.int64)
    texts = numbers_text(values.tolist())
    if letter == FLOAT:
        for at in np.flatnonzero(~np.isfinite(values)).tolist():
            texts[at] = encode(plain(float(values[at])))
    return texts


def numbers_text(values: Collection[float]) -> list[bytes]:
    """Finite numbers or booleans, each as JSON."""
    return encode(list(values))[1:-1].split(b",") if values else []


def _quoted(values: Sequence[str]) -> Sequence[bytes]:
    body = encode(values)
    # A quote within a text has a backslash before it: without one, `","` is where two texts meet.
    if values and b"\\" not in body and not has_reserved(body):
        return body[2:-2].split(b'","')
    return [encode(plain(text) if text in _RESERVED else text)[1:-1] for text in values]


def has_reserved(text: bytes) -> bool:
    """Whether a string that spells a number that is not finite may be in there."""
    return b'NaN"' in text or b'Infinity"' in text


def parse_shapes(texts: Iterable[str]) -> list[Shape]:
    """The inverse of `shape_text`."""
    return [msgspec.json.decode(text, type=dict[str, str]) for text in texts]


def renumbered(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Codes without those that no row has, and which ones are left."""
    there = np.bincount(codes - RAW) > 0
    raw = int(len(there) > 0 and there[0])
    return np.cumsum(there)[codes - RAW] - 1 - raw, np.flatnonzero(there)[raw:] + RAW


def shape_text(keys: Sequence[str], letters: Sequence[str]) -> str:
    """A shape as `_keys` holds it: a JSON object in the row's own order."""
    return encode(dict(zip(keys, letters, strict=True))).decode()
