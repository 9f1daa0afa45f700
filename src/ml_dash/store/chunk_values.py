"""Cells → typed columns: one field of some rows of a chunk as a `ColumnsPage` has it. Pure; knows no Parquet.

The shapes say whether a number is an int, a float or a bool, also where a column holds ints among floats.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ml_dash import codec
from ml_dash.columns import missing
from ml_dash.model import METRICS, Page
from ml_dash.rollup import IntArray
from ml_dash.store.chunk_lines import BOOL, FLOAT, INT, JSON, RAW, Cells

_ABSENT, _RAW = "-", "?"
_KINDS: dict[str, Any] = {BOOL: bool, INT: int, FLOAT: float, _ABSENT: msgspec.UnsetType}
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def typed(field: str, cells: Cells, origin: str) -> Any:
    """The field's column, None where a row has something else than a number: what `columns.from_rows` makes of the same rows.
    `cells.json` is empty where no number of the field stands there. Raises `CorruptData` for a raw row that is no JSON."""
    by_shape = [ord(shape.get(field, _ABSENT)) for shape in cells.shapes]
    assert RAW == -1  # the last of
    letters = np.array([*by_shape, ord(_RAW)], np.uint8)[cells.codes]
    found = {chr(letter) for letter in np.flatnonzero(np.bincount(letters)).tolist()}
    if not found <= {*_KINDS, JSON, _RAW} or (JSON in found and not cells.json):
        return None
    rest = np.flatnonzero((letters == ord(JSON)) | (letters == ord(_RAW)))
    values = _values(field, cells, rest, origin) if len(rest) else []
    kind = _kind({_KINDS[letter] for letter in found & _KINDS.keys()} | {*map(type, values)}, values)
    if kind in (None, object):
        return None if kind is None else missing(len(letters))
    out = np.full(len(letters), np.nan if kind is float else 0, kind)
    for letter in sorted(found & {BOOL, INT, FLOAT}):
        where = letters == ord(letter)
        out[where] = cells.values(field, letter)[where]
    if len(rest):
        out[rest] = codec.as_numbers(values)[0] if kind is float else values
    return out


def _kind(kinds: set[Any], values: list[Any]) -> Any:
    """What an array of these has, of which `values` may be integers beyond 64 bits: `object` where there is nothing at all, None
    where they are no numbers."""
    if kinds == {bool}:
        return bool
    if kinds == {int} and all(_LEAST <= value <= _MOST for value in values):
        return np.int64
    if kinds <= {int, float, msgspec.UnsetType}:
        return float if kinds & {int, float} else object
    return None


def _values(field: str, cells: Cells, rest: IntArray, origin: str) -> list[Any]:
    """What these rows, which stand in no column, have of the field."""
    rows = [_row(cells, at) for at in rest.tolist()]
    page = Page(METRICS, 0, len(rows), len(rows), codec.render(METRICS, 0, rows), (), (origin, 0))
    return codec.field_values(page, [field])[field]


def _row(cells: Cells, at: int) -> bytes:
    text = cells.raw[at] if cells.codes[at] == RAW else cells.json[at]
    if text is None:
        raise ValueError(f"row {at} stands nowhere")
    return text if isinstance(text, bytes) else text.encode()
