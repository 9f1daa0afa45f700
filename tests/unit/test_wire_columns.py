"""Columns as bytes: every number comes back as the same one, in arrays of the same types; what is cut or garbage is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from ml_dash.columns import missing
from ml_dash.errors import InvalidInput
from ml_dash.model import ColumnsPage
from ml_dash.store.wire_columns import decode_columns, encode_columns

FLOATS = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
INTS = [-(2**63), 2**63 - 1, 0, 1, 2**53 + 1]
PAGE = ColumnsPage(
    7,
    5,
    100,
    np.array([[5, 1_000], [9, 2_000]], np.int64),
    {
        "floats": np.array(FLOATS),
        "ok": np.array([True, False, True, True, False]),
        "ints": np.array(INTS, np.int64),
        "": missing(5),
        'ключ "\n"': None,
    },
)


def shown(page: ColumnsPage) -> tuple[Any, ...]:
    columns = {
        name: column if column is None else (column.dtype.str, repr(column.tolist()), column.flags.aligned)
        for name, column in page.columns.items()
    }
    return page.start, page.count, page.total, page.ticks.tolist(), page.ticks.dtype.str, list(columns), columns


def test_columns_come_back_as_they_went() -> None:
    """NaN, infinities, minus zero, the largest integers, what nobody has and what is no number, in the order of the fields."""
    came = decode_columns(encode_columns(PAGE))
    assert shown(came) == shown(PAGE)
    assert came.columns["floats"].tobytes() == PAGE.columns["floats"].tobytes()


def test_a_page_without_points_and_one_without_fields() -> None:
    none = np.empty((0, 2), np.int64)
    for page in (ColumnsPage(3, 0, 3, none, {"value": missing(0)}), ColumnsPage(0, 2, 2, none, {})):
        assert shown(decode_columns(encode_columns(page))) == shown(page)


def test_the_body_is_as_documented() -> None:
    """docs/formats/protocol.md: a line of JSON; the ticks' indices, their times, then the fields' arrays."""
    head, _, arrays = encode_columns(PAGE).partition(b"\n")
    assert json.loads(head) == {
        "start": 7,
        "count": 5,
        "total": 100,
        "ticks": 2,
        "columns": {"floats": "float64", "ok": "bool", "ints": "int64", "": "missing", 'ключ "\n"': "rows"},
    }
    numbers = [np.array(some, "<i8").tobytes() for some in ([5, 9], [1_000, 2_000])]
    kept = [np.array(FLOATS, "<f8").tobytes(), b"\1\0\1\1\0", np.array(INTS, "<i8").tobytes()]
    assert arrays == b"".join(numbers + kept)


@pytest.mark.parametrize(
    "change", [{"count": 4}, {"count": -5}, {"ticks": 1}, {"ticks": -1}, {"columns": {"a": "text"}}, {"start": -1}]
)
def test_what_is_no_page_of_columns_is_refused(change: dict[str, Any]) -> None:
    """Other counts than there are arrays, types that nobody knows."""
    head, _, arrays = encode_columns(PAGE).partition(b"\n")
    with pytest.raises(InvalidInput, match="no page of columns"):
        decode_columns(json.dumps(json.loads(head) | change).encode() + b"\n" + arrays)


@pytest.mark.parametrize("body", [b"", b"\n", b"<html>", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="no page of columns"):
        decode_columns(body)


def test_a_page_that_was_cut_is_refused() -> None:
    """Wherever that was."""
    body = encode_columns(PAGE)
    for end in range(len(body)):
        with pytest.raises(InvalidInput, match="no page of columns"):
            decode_columns(body[:end])
    with pytest.raises(InvalidInput, match="no page of columns"):
        decode_columns(body + b"\0")
