"""Points as columns: which type a field gets, what is missing, and what the data frames make of it."""

from __future__ import annotations

import builtins
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash import codec
from ml_dash.columns import columns, from_rows, joined, to_arrow, to_pandas, to_polars
from ml_dash.model import METRICS, Page, SeriesKey

NaN = math.nan
PARTS: list[list[Any]] = [
    [],
    [...],
    [1],
    [2**53 + 1, -(2**63)],
    [2**63, 1],
    [0.5, NaN, -0.0],
    [1, 0.5],
    [..., 7],
    [True],
    [True, ...],
    [None],
    ["a"],
    ["NaN"],
]


def pages(rows: Sequence[dict[str, Any]], *sizes: int, ticks: tuple[tuple[int, int], ...] = ()) -> list[Page]:
    """The rows as consecutive pages of these sizes, the rest in the last."""
    bodies = codec.encode_rows(rows)
    made = []
    start = 0
    for size in (*sizes, len(rows)):
        part = bodies[start : start + size]
        if part:
            lines = codec.render(METRICS, start, part)
            made.append(Page(METRICS, start, len(part), len(rows), lines, ticks))
        start += len(part)
    return made


def column(*values: Any) -> np.ndarray[Any, Any]:
    """The column of a field with these values, `...` where a row lacks it."""
    return columns(pages([{} if value is ... else {"v": value} for value in values]), ["v"])["v"]


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([-(2**63), 2**63 - 1], "int64", [-(2**63), 2**63 - 1]),
        ([True, False], "bool", [True, False]),
        ([0.5, 2.0], "float64", [0.5, 2.0]),
        ([1, 0.5], "float64", [1.0, 0.5]),
        ([0.5, NaN, math.inf, -math.inf], "float64", [0.5, NaN, math.inf, -math.inf]),
        ([1, ..., 3], "float64", [1.0, NaN, 3.0]),
        ([..., 0.5], "float64", [NaN, 0.5]),
        ([2**63, 1], "float64", [2.0**63, 1.0]),
        ([10**400, -(10**400), 1], "float64", [math.inf, -math.inf, 1.0]),
        ([True, ...], "object", [True, None]),
        ([True, 1], "object", [True, 1]),
        ([0.5, None], "object", [0.5, None]),
        (["a", ...], "object", ["a", None]),
        (["NaN", NaN], "object", ["NaN", NaN]),
        ([None, None], "object", [None, None]),
        ([..., ...], "object", [None, None]),
        ([[1, 2], [3, 4]], "object", [[1, 2], [3, 4]]),
        ([[1]], "object", [[1]]),
        ([[], []], "object", [[], []]),
        ([{"a": 1}, [1], "x", 1, ...], "object", [{"a": 1}, [1], "x", 1, None]),
    ],
)
def test_a_column_has_the_type_of_its_values(values: list[Any], dtype: str, expected: list[Any]) -> None:
    """int64 and bool where every row has one, float64 for numbers with NaN where there is none, else objects with None."""
    got = column(*values)
    assert got.dtype == dtype
    assert got.shape == (len(values),)
    assert repr(got.tolist()) == repr(expected)


@given(st.lists(st.sampled_from(PARTS), max_size=4))
def test_typed_columns_join_as_the_rows_would(parts: list[list[Any]]) -> None:
    """Whatever pages follow one another: the column of all rows, or none where that is no array of numbers."""
    values = [value for part in parts for value in part]
    whole = column(*values)
    found = joined([typed(part) for part in parts])
    if found is None:
        assert whole.dtype == object
        assert not all(value is ... for value in values)
    else:
        assert (found.dtype, repr(found.tolist())) == (whole.dtype, repr(whole.tolist()))
        assert found.dtype == object or found.tobytes() == whole.tobytes()


def typed(values: list[Any]) -> np.ndarray[Any, Any] | None:
    """A page's column of these values."""
    [page] = pages([{} if value is ... else {"v": value} for value in values]) or [Page(METRICS, 0, 0, 0, b"")]
    found: np.ndarray[Any, Any] | None = from_rows(
        lambda *_: page, SeriesKey("run", METRICS, "m"), ["v"], 0, None
    ).columns["v"]
    return found


def test_without_points_a_field_is_an_empty_column() -> None:
    empty = columns([], ["v"])
    assert {name: (array.dtype.str, array.shape) for name, array in empty.items()} == {
        "index": ("<i8", (0,)),
        "createdAt": ("<M8[ms]", (0,)),
        "v": ("|O", (0,)),
    }
    assert list(columns([], None)) == ["index", "createdAt"]


def test_every_field_comes_in_the_order_of_its_first_appearance() -> None:
    """And beginning with ours; a field may appear first in any page."""
    rows = [{"b": 1}, {"a": 1, "b": 2}, {"c": 1}, {"a": 2}]
    assert list(columns(pages(rows, 1, 1), None)) == ["index", "createdAt", "b", "a", "c"]


def test_given_fields_come_in_their_order_and_once() -> None:
    got = columns(pages([{"a": 1, "b": 2}]), ["b", "none", "b", "a"])
    assert list(got) == ["index", "createdAt", "b", "none", "a"]
    assert got["none"].tolist() == [None]


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3), max_size=6), st.integers(0, 3))
def test_columns_are_of_equal_length_and_hold_every_value(rows: list[dict[str, int]], size: int) -> None:
    """However the rows are cut into pages, and whatever the fields are called."""
    got = columns(pages(rows, size, size), None)
    assert {len(array) for array in got.values()} == {len(rows)}
    assert got["index"].tolist() == list(range(len(rows)))
    for field in {field for row in rows for field in row}:
        expected = [row.get(field) for row in rows]
        assert [None if value != value else value for value in got[field].tolist()] == expected


def test_a_field_called_as_one_of_ours_gets_a_longer_name() -> None:
    """And none is lost, not even where that name is a field of the user's as well."""
    rows = [{"index": "a", "createdAt": "b", "data.index": "c", "data.data.index": "d"}]
    for fields in (None, list(rows[0]), list(reversed(rows[0]))):
        got = columns(pages(rows), fields)
        assert got["index"].tolist() == [0]
        assert {name: array.tolist() for name, array in got.items() if name not in ("index", "createdAt")} == {
            "data.createdAt": ["b"],
            "data.index": ["c"],
            "data.data.index": ["d"],
            "data.data.data.index": ["a"],
        }
    assert columns(pages(rows), ["index"])["data.index"].tolist() == ["a"]


# ---------------------------------------------------------------- times


def test_times_are_of_the_last_tick_at_or_before() -> None:
    """Milliseconds, NaT where none was kept; a page of its own ticks each."""
    rows: list[dict[str, Any]] = [{}] * 4
    got = columns(pages(rows, 2, ticks=((0, 1000), (1, 1500), (3, 2000))), [])["createdAt"]
    assert got.dtype == "datetime64[ms]"
    assert got.astype(np.int64).tolist() == [1000, 1500, 1500, 2000]
    assert np.isnat(columns(pages(rows), [])["createdAt"]).all()
    late = columns(pages(rows, ticks=((2, 1000), (3, 2000))), [])["createdAt"]
    assert late.astype(np.int64).tolist() == [1000, 1000, 1000, 2000]


# ---------------------------------------------------------------- data frames

TABLE: list[dict[str, Any]] = [
    {"n": 1, "f": 0.5, "b": True, "s": "x", "index": 7, "l": [1, 2]},
    {"n": 2, "f": NaN, "b": False, "s": None, "l": [3]},
]


def test_pandas_is_indexed_by_index() -> None:
    frame = to_pandas(columns(pages(TABLE, ticks=((0, 0),)), None))
    assert frame.index.tolist() == [0, 1]
    assert frame.index.name == "index"
    assert [str(dtype) for dtype in frame.dtypes.loc[["createdAt", "n", "f", "b", "data.index"]]] == [
        "datetime64[ms]",
        "int64",
        "float64",
        "bool",
        "float64",
    ]
    assert frame["l"].tolist() == [[1, 2], [3]]


def test_polars_has_types_of_its_own() -> None:
    frame = to_polars(columns(pages(TABLE, ticks=((0, 0),)), None))
    assert frame.schema == {
        "index": pl.Int64,
        "createdAt": pl.Datetime("ms"),
        "n": pl.Int64,
        "f": pl.Float64,
        "b": pl.Boolean,
        "s": pl.String,
        "data.index": pl.Float64,
        "l": pl.List(pl.Int64),
    }
    assert frame["l"].to_list() == [[1, 2], [3]]
    assert frame["s"].to_list() == ["x", None]


def test_arrow_has_types_of_its_own() -> None:
    table = to_arrow(columns(pages(TABLE, ticks=((0, 0),)), None))
    assert {name: str(table[name].type) for name in table.column_names} == {
        "index": "int64",
        "createdAt": "timestamp[ms]",
        "n": "int64",
        "f": "double",
        "b": "bool",
        "s": "string",
        "data.index": "double",
        "l": "list<item: int64>" if "item" in str(table["l"].type) else "list<element: int64>",
    }
    assert table["l"].to_pylist() == [[1, 2], [3]]


MIXED: list[list[Any]] = [
    [1, "a"],
    ["a", 1, None],
    [True, 1],
    [True, 0.5],
    [1, {"a": 1}],
    [{"a": 1}, "x"],
    [None, {"a": 1}, [1]],
    [[1], "x"],
    [[1], 5],
    [[[1]], [2]],
    [[1, "a"], [2]],
    [{"a": 1}, {"a": "x"}],
    [{"a": [1]}, {"a": 5}],
    [[2**200], [1]],
    [2**200, "a"],
    ["NaN", NaN],
    [{"a": NaN}, "x"],
]


@pytest.mark.parametrize("values", MIXED, ids=repr)
@pytest.mark.parametrize("frame", [to_polars, to_arrow])
def test_mixed_types_go_as_their_json_and_none_is_lost(frame: Any, values: list[Any]) -> None:
    """Polars alone would make null of a number among mappings, cut 2.5 to 2 among lists, and drop keys that come late."""
    got = frame(columns(pages([{"v": value} for value in values]), None))["v"]
    got = got.to_list() if frame is to_polars else got.to_pylist()
    for text, value in zip(got, values, strict=True):
        assert text is None if value is None else repr(codec.loads(b'{"v": %b}' % text.encode())["v"]) == repr(value)
        assert text is None or json.loads(text) is not None


@pytest.mark.parametrize(
    "values",
    [
        [[1], [2.5]],
        [0.5, None],
        [1, 2.5, None],
        [[1.0, None], []],
        ["a", None],
        [True, None],
        [NaN, None],
        [[NaN], [1.5]],
        [{"a": 1}, {"a": 2}],
        [{"a": {"b": "x"}}, {"a": {"b": "y"}}],
        [None, None],
        [[], [1]],
    ],
    ids=repr,
)
@pytest.mark.parametrize("frame", [to_polars, to_arrow])
def test_values_of_one_type_keep_it(frame: Any, values: list[Any]) -> None:
    """Lists, mappings and None among them."""
    got = frame(columns(pages([{"v": value} for value in values]), None))["v"]
    got = got.to_list() if frame is to_polars else got.to_pylist()
    assert repr(got) == repr(widened(values))


def widened(values: list[Any]) -> list[Any]:
    """As one type for numbers would have them."""
    if {type(value) for value in values} >= {int, float}:
        return [float(value) if type(value) is int else value for value in values]
    if values == [[1], [2.5]]:
        return [[1.0], [2.5]]
    return values


@pytest.mark.parametrize("frame", [to_polars, to_arrow])
def test_keys_that_come_late_are_there(frame: Any) -> None:
    """Null where a mapping lacks one."""
    got = frame(columns(pages([{"v": {"a": 1}}, {"v": {"b": "x"}}]), None))["v"]
    got = got.to_list() if frame is to_polars else got.to_pylist()
    assert got == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize("frame", [to_pandas, to_polars, to_arrow])
def test_without_points_a_frame_is_empty(frame: Any) -> None:
    made = frame(columns([], ["v"]))
    assert len(made) == 0
    assert "v" in (made.column_names if isinstance(made, pa.Table) else made.columns)


@pytest.mark.parametrize(
    ("frame", "library", "extra"),
    [(to_pandas, "pandas", "pandas"), (to_polars, "polars", "polars"), (to_arrow, "pyarrow", "arrow")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    frame: Any, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to type is in the error."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == library:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"needs {library}: pip install 'ml-dash\[{extra}\]'"):
        frame({})
