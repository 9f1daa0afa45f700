"""`ColumnsPage` ↔ bytes, as docs/formats/protocol.md has them: a line with a head, then the arrays as they are. Needs NumPy, so
whoever must import fast imports this where it reads columns.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from ml_dash.columns import missing
from ml_dash.errors import InvalidInput
from ml_dash.model import ColumnsPage

COLUMNS = "application/x-ml-dash-columns"
"""Content type of the answer."""

_Type = Literal["bool", "int64", "float64", "missing", "rows"]
_STORED: dict[_Type, str] = {"bool": "u1", "int64": "<i8", "float64": "<f8"}


class ColumnsHead(msgspec.Struct):
    """What precedes the arrays: `ticks` is how many there are, `columns` the fields in the order of their arrays. Of "missing"
    (no point has the field) and "rows" (they have to be read) there is none."""

    start: int
    count: int
    total: int
    ticks: int
    columns: dict[str, _Type]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ColumnsHead).decode


def encode_columns(page: ColumnsPage) -> bytes:
    """The answer to a request for columns."""
    types = {name: _type(column) for name, column in page.columns.items()}
    head = ColumnsHead(page.start, page.count, page.total, len(page.ticks), types)
    arrays = [page.ticks.T.astype("<i8").tobytes()]
    arrays += [_bytes(page.columns[name], _STORED[kind]) for name, kind in types.items() if kind in _STORED]
    return b"\n".join((_encode(head), b"".join(arrays)))


def _type(column: Any) -> _Type:
    if column is None:
        return "rows"
    return "missing" if column.dtype == object else column.dtype.name


def _bytes(column: np.ndarray[Any, Any], stored: str) -> bytes:
    return column.astype(stored, copy=False).tobytes()


def decode_columns(body: bytes) -> ColumnsPage:
    """The inverse of `encode_columns`. Raises `InvalidInput` where the body is no such page, or part of one."""
    end = body.find(b"\n") + 1
    try:
        head = _decode(body[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidInput(f"the body is no page of columns: {e}") from e
    sizes = [
        16 * head.ticks,
        *(np.dtype(_STORED[t]).itemsize * head.count for t in head.columns.values() if t in _STORED),
    ]
    if min(head.start, head.count, head.total, head.ticks) < 0 or end + sum(sizes) != len(body):
        raise InvalidInput(f"the body is no page of columns: {len(body) - end} bytes of arrays, not {sum(sizes)}.")
    at = end + sizes[0]
    ticks = np.frombuffer(body, "<i8", 2 * head.ticks, end).astype(np.int64).reshape(2, -1).T
    columns: dict[str, Any] = {}
    for name, kind in head.columns.items():
        if kind in _STORED:
            stored = np.frombuffer(body, _STORED[kind], head.count, at)
            columns[name] = stored.astype(kind)
            at += stored.nbytes
        else:
            columns[name] = missing(head.count) if kind == "missing" else None
    return ColumnsPage(head.start, head.count, head.total, ticks, columns)
