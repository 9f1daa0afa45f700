"""The rows of a chunk, put together from docs/formats/chunk.md by PyArrow and `json`: nothing of ml_dash's reading is used."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pyarrow.parquet as pq


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """Each row as its line's `json.loads` gives it: numbers that are not finite are the strings that stand for them."""
    file = pq.ParquetFile(io.BytesIO(data))
    footer = json.loads(file.schema_arrow.metadata[b"ml-dash"] if file.schema_arrow.metadata else b"{}")
    if not footer:
        footer = json.loads(file.metadata.metadata[b"ml-dash"])
    columns: dict[tuple[str, str], list[Any]] = {}
    table = file.read()
    for number, (field, letter) in enumerate(footer["columns"], 2):
        columns[field, letter] = table.column(number).to_pylist()
    shapes = table.column("_keys").to_pylist()
    others = table.column("_json").to_pylist() if "_json" in table.column_names else [None] * len(shapes)
    raw = table.column("_raw").to_pylist() if "_raw" in table.column_names else [None] * len(shapes)
    assert table.column("_index").to_pylist() == list(range(footer["first"], footer["stop"]))
    return [
        json.loads(raw[at] or "")
        if shape is None
        else _row(json.loads(shape), json.loads(others[at] or "{}"), columns, at)
        for at, shape in enumerate(shapes)
    ]


def _row(
    shape: dict[str, str], others: dict[str, Any], columns: dict[tuple[str, str], list[Any]], at: int
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field, letter in shape.items():
        if letter == "n":
            row[field] = None
        elif letter == "j":
            row[field] = others[field]
        elif letter == "i" and (field, "i") not in columns:
            row[field] = int(columns[field, "f"][at])
        else:
            row[field] = _told(columns[field, letter][at])
    return row


def _told(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
