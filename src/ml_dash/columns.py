"""Rows → columns: NumPy arrays, and data frames by libraries that the user has. Imports NumPy; import it where it is used."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from ml_dash import codec
from ml_dash.model import LOGS, Page

_OURS = ("index", "createdAt")
Columns = dict[str, "np.ndarray[Any, Any]"]


def columns(pages: Iterable[Page], fields: list[str] | None) -> Columns:
    """The columns of consecutive pages; see `Series.columns`."""
    held = list(pages)
    names = _all_fields(held) if fields is None else list(dict.fromkeys(fields))
    out: Columns = {"index": _indices(held), "createdAt": _times(held)}
    values: dict[str, list[Any]] = {name: [] for name in names}
    for page in held:
        for name, part in codec.field_values(page, names).items():
            values[name] += part
    for name in names:
        shown = f"data.{name}" if name in _OURS else name
        while shown != name and shown in names:  # a user's own field is called so
            shown = f"data.{shown}"
        out[shown] = _column(values.pop(name))
    return out


def _all_fields(pages: list[Page]) -> list[str]:
    """Every field, in the order of first appearance."""
    names: dict[str, None] = {}
    for page in pages:
        for point in codec.decode_lines(page):
            names.update(dict.fromkeys(point if page.kind == LOGS else point["data"]))
    return list(names)


def _indices(pages: list[Page]) -> np.ndarray[Any, Any]:
    if not pages:
        return np.empty(0, dtype=np.int64)
    return np.arange(pages[0].start, pages[-1].start + pages[-1].count, dtype=np.int64)


def _times(pages: list[Page]) -> np.ndarray[Any, Any]:
    """The wall time of each point, NaT where there is none."""
    out = []
    for page in pages:
        part = np.full(page.count, np.iinfo(np.int64).min, dtype=np.int64)
        for ms, first, stop in codec.segments(page):
            part[first:stop] = ms
        out.append(part)
    joined = np.concatenate(out) if out else np.empty(0, dtype=np.int64)
    return joined.astype("datetime64[ms]")


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    kinds = set(map(type, values))
    try:
        if kinds == {bool}:
            return np.array(values, dtype=bool)
        if kinds == {int}:
            return np.array(values, dtype=np.int64)
        if kinds == {float}:
            return np.array(values, dtype=np.float64)
    except OverflowError:
        pass
    if kinds <= {int, float, msgspec.UnsetType} and kinds & {int, float}:
        return codec.as_numbers(values)[0]
    out = np.empty(len(values), dtype=object)
    out[:] = [None if value is msgspec.UNSET else value for value in values]
    return out


def to_pandas(table: Columns) -> Any:
    """See `Series.to_pandas`."""
    try:
        import pandas as pd
    except ImportError as e:
        raise _missing("to_pandas", "pandas") from e
    return pd.DataFrame(table).set_index("index")


def to_polars(table: Columns) -> Any:
    """See `Series.to_polars`."""
    try:
        import polars as pl
    except ImportError as e:
        raise _missing("to_polars", "polars") from e
    return pl.DataFrame({name: _polars_column(pl, column) for name, column in table.items()})


def to_arrow(table: Columns) -> Any:
    """See `Series.to_arrow`."""
    try:
        import pyarrow as pa
    except ImportError as e:
        raise _missing("to_arrow", "arrow", "pyarrow") from e
    return pa.table({name: _arrow_array(pa, column) for name, column in table.items()})


def _arrow_array(pa: Any, column: np.ndarray[Any, Any]) -> Any:
    """Values of mixed types have no Arrow type: they go as their JSON."""
    if column.dtype != object:
        return pa.array(column)
    try:
        return pa.array(column.tolist())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array(_as_json(column))


def _polars_column(pl: Any, column: np.ndarray[Any, Any]) -> Any:
    """As in Arrow. What Polars makes of mixed types is looked at: it drops and cuts values without a word."""
    if column.dtype != object:
        return column
    values = column.tolist()
    with suppress(TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        made = pl.Series(values, strict=False)
        if made.dtype != pl.Object and _same(made.to_list(), values):
            return made
    return pl.Series(_as_json(column), dtype=pl.String)


def _same(a: Any, b: Any) -> bool:
    """Whether two lists of values hold the same, but that a key without a value may be there or not."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return all(_same(a.get(key), b.get(key)) for key in a | b)
    if isinstance(a, float) and isinstance(b, float) and np.isnan(a):
        return bool(np.isnan(b))
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _as_json(column: np.ndarray[Any, Any]) -> list[str | None]:
    return [None if value is None else codec.dumps({"v": value}, indent=0)[6:-2].decode() for value in column]


def _missing(call: str, extra: str, library: str | None = None) -> ImportError:
    return ImportError(f"{call}() needs {library or extra}: pip install 'ml-dash[{extra}]'")
