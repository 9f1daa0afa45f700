"""Rows → columns: NumPy arrays, and data frames by libraries that the user has. Imports NumPy; import it where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from ml_dash import codec
from ml_dash.model import LOGS, ColumnsPage, Page, SeriesKey

_OURS = ("index", "createdAt")
_NO_INTS = np.empty(0, dtype=np.int64)
Columns = dict[str, "np.ndarray[Any, Any]"]

MOST_ROWS = 1 << 20
MOST_BYTES = 16 << 20
"""Of the columns of one `ColumnsPage`."""
MOST_LINES = 8 << 20
"""Bytes of lines that one is made of."""


def columns(pages: Iterable[Page], fields: list[str] | None) -> Columns:
    """The columns of consecutive pages; see `Series.columns`."""
    held = list(pages)
    names = _all_fields(held) if fields is None else list(dict.fromkeys(fields))
    values: dict[str, list[Any]] = {name: [] for name in names}
    for page in held:
        for name, part in codec.field_values(page, names).items():
            values[name] += part
    times = [spread(ticks_of(page), page.start, page.count) for page in held]
    return _named(held, times, {name: _column(values.pop(name)) for name in names})


def _named(pages: Sequence[Page | ColumnsPage], times: list[np.ndarray[Any, Any]], found: Columns) -> Columns:
    """The columns of `pages` under the names that a user gets them by."""
    out: Columns = {"index": _indices(pages), "createdAt": np.concatenate([_NO_INTS, *times]).astype("datetime64[ms]")}
    for name, column in found.items():
        shown = f"data.{name}" if name in _OURS else name
        while shown != name and shown in found:  # a user's own field is called so
            shown = f"data.{shown}"
        out[shown] = column
    return out


def _all_fields(pages: list[Page]) -> list[str]:
    """Every field, in the order of first appearance."""
    names: dict[str, None] = {}
    for page in pages:
        for point in codec.decode_lines(page):
            names.update(dict.fromkeys(point if page.kind == LOGS else point["data"]))
    return list(names)


def _indices(pages: Sequence[Page | ColumnsPage]) -> np.ndarray[Any, Any]:
    if not pages:
        return _NO_INTS
    return np.arange(pages[0].start, pages[-1].start + pages[-1].count, dtype=np.int64)


def ticks_of(page: Page) -> np.ndarray[Any, Any]:
    """The page's ticks as `ColumnsPage` has them."""
    return np.array(page.ticks, dtype=np.int64).reshape(-1, 2)


def spread(ticks: np.ndarray[Any, Any], start: int, count: int) -> np.ndarray[Any, Any]:
    """The wall time (unix ms) of each of the `count` points from `start` on, NaT where there is none."""
    if not len(ticks):
        return np.full(count, np.iinfo(np.int64).min, dtype=np.int64)
    begins = np.clip(ticks[:, 0] - start, 0, count)
    begins[0] = 0
    return np.repeat(ticks[:, 1], np.diff(begins, append=count))


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    found = _typed(values)
    if found is None:
        found = np.empty(len(values), dtype=object)
        found[:] = [None if value is msgspec.UNSET else value for value in values]
    return found


def _typed(values: list[Any]) -> np.ndarray[Any, Any] | None:
    """The column where it is one of a `ColumnsPage`."""
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
    if kinds <= {int, float, msgspec.UnsetType}:
        return codec.as_numbers(values)[0] if kinds & {int, float} else missing(len(values))
    return None


def missing(count: int) -> np.ndarray[Any, Any]:
    """The column of a field that no row has."""
    return np.full(count, None, dtype=object)


# ---------------------------------------------------------------- typed pages


def from_rows(
    read: Callable[[SeriesKey, int, int | None, int | None], Page],
    series: SeriesKey,
    fields: Sequence[str],
    start: int,
    stop: int | None,
) -> ColumnsPage:
    """`Store.columns` by the `Store.read` of the same store."""
    limit = most_rows(fields) if stop is None else max(0, min(stop - start, most_rows(fields)))
    page = codec.cut(read(series, start, limit, MOST_LINES), MOST_LINES)
    found = {name: _typed(values) for name, values in codec.field_values(page, list(dict.fromkeys(fields))).items()}
    return ColumnsPage(page.start, page.count, page.total, ticks_of(page), found)


def ticks_alone(start: int, count: int, total: int, ticks: Sequence[tuple[int, int]]) -> ColumnsPage:
    """A page of no field."""
    return ColumnsPage(start, count, total, np.array(ticks, dtype=np.int64).reshape(-1, 2), {})


def most_rows(fields: Sequence[str]) -> int:
    """How many points one page has of so many fields."""
    return min(MOST_ROWS, MOST_BYTES // 8 // max(1, len(fields)))


def joined(parts: Sequence[np.ndarray[Any, Any] | None]) -> np.ndarray[Any, Any] | None:
    """One field of consecutive pages, as one page would have it."""
    there = [part for part in parts if part is not None]
    kinds = {part.dtype.kind for part in there if len(part)}
    if len(there) < len(parts) or not (kinds == {"b"} or kinds <= {"i", "f", "O"}):
        return None
    if kinds <= {"O"}:
        return missing(sum(map(len, there)))
    there = [part for part in there if len(part)]
    return np.concatenate([np.full(len(part), np.nan) if part.dtype == object else part for part in there])


def numbers(pages: Iterable[ColumnsPage], fields: list[str]) -> Columns | None:
    """As `columns`, of consecutive typed pages; None where a field's rows have to be read. Asks for no page beyond that."""
    names = list(dict.fromkeys(fields))
    held: list[ColumnsPage] = []
    for page in pages:
        if any(page.columns[name] is None for name in names):
            return None
        held.append(page)
    found: Columns = {}
    for name in names:
        column = joined([page.columns[name] for page in held])
        if column is None:
            return None
        found[name] = column
    return _named(held, [spread(page.ticks, page.start, page.count) for page in held], found)


# ---------------------------------------------------------------- data frames


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
