"""Rows → columns: NumPy arrays, and data frames by libraries that the user has. Imports NumPy; import it where it is used."""

from __future__ import annotations

from collections.abc import Iterable
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
        out[f"data.{name}" if name in _OURS else name] = _column(values.pop(name))
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
    return pl.DataFrame({name: _plain(column) for name, column in table.items()}, strict=False)


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
        return pa.array([None if v is None else codec.dumps({"v": v}, indent=0)[6:-2].decode() for v in column])


def _plain(column: np.ndarray[Any, Any]) -> Any:
    return column if column.dtype != object else column.tolist()


def _missing(call: str, extra: str, library: str | None = None) -> ImportError:
    return ImportError(f"{call}() needs {library or extra}: pip install 'ml-dash[{extra}]'")
