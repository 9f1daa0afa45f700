"""Points as CSV, Parquet and JSONL, page by page. Knows bytes and columns; no run's name, no file's place.

Columns that are not the user's: "series" where several are written together, "index", "createdAt" (of a log "sequenceNumber" and
no "createdAt"). A user's own field of such a name becomes "data.<name>".
A row has the field, or has not: CSV leaves the cell empty, Parquet has null. Values without a column type of their own
(lists, mappings, mixed types) are their JSON.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from ml_dash import codec
from ml_dash.cli.ends import MissingExtra
from ml_dash.cli.output import compact_json
from ml_dash.model import LOGS, Page, SeriesKey
from ml_dash.store.base import Store
from ml_dash.times import parse_iso

PAGE = 20_000
"""Points in memory at a time."""

Advance = Callable[[int], None]
Row = dict[str, Any]


class Source:
    """Points of one or several series as they were when this was made, what is appended later left out.

    `fields` None is all that there are. `tagged` says each point's series beside it.
    """

    def __init__(self, store: Store, keys: list[SeriesKey], fields: list[str] | None, *, tagged: bool) -> None:
        self._store = store
        self._lengths = {key: store.read(key, 0, 0).total for key in keys}
        self.fields = fields
        self.tagged = tagged
        self.logs = bool(keys) and keys[0].kind == LOGS
        self.total = sum(self._lengths.values())

    def pages(self) -> Iterator[tuple[str, Page]]:
        """(series, page), in order."""
        for key, length in self._lengths.items():
            start = 0
            while start < length:
                page = self._store.read(key, start, min(PAGE, length - start))
                if not page.count:
                    break
                yield key.name, page
                start += page.count

    def rows(self, advance: Advance) -> Iterator[tuple[str, list[Row], list[Row]]]:
        """(series, points, their rows), a page at a time."""
        for name, page in self.pages():
            points = codec.decode_page(page)
            yield name, points, points if self.logs else [point.get("data") or {} for point in points]
            advance(page.count)

    def columns(self, advance: Advance) -> dict[str, set[type]]:
        """The user's columns with the types that are in them, in the order of first appearance."""
        found: dict[str, set[type]] = {field: set() for field in self.fields or ()}
        for _, _, rows in self.rows(advance):
            for row in rows:
                for field, value in row.items():
                    if field in found:
                        found[field].add(_type(value))
                    elif self.fields is None:
                        found[field] = {_type(value)}
        return found

    def ours(self) -> list[str]:
        """The columns before the user's."""
        place = [] if self.logs else ["index", "createdAt"]
        return (["series"] if self.tagged else []) + place

    def head(self, fields: list[str]) -> list[str]:
        """All columns' names."""
        ours = self.ours()
        return ours + [f"data.{field}" if field in ours else field for field in fields]

    def before(self, name: str, point: dict[str, Any]) -> list[Any]:
        """The values of `ours` for a point."""
        tag = [name] if self.tagged else []
        return tag if self.logs else [*tag, point.get("index"), point.get("createdAt")]


# ---------------------------------------------------------------- JSONL


def write_jsonl(source: Source, out: BinaryIO, advance: Advance) -> None:
    """The lines as they are stored, byte for byte; with the series in front where there are several."""
    for name, page in source.pages():
        tag = b'{"series": ' + msgspec.json.encode(name) + b", " if source.tagged else b""
        if source.fields is None and not tag:
            out.write(page.lines)
        else:
            lines = _lines(page.lines) if source.fields is None else _only(page, source.fields)
            out.writelines(tag + line.lstrip()[1:] if tag else line for line in lines)
        advance(page.count)


def _only(page: Page, fields: list[str]) -> list[bytes]:
    """The page's lines with these fields only."""
    points = codec.decode_lines(page)
    logs = page.kind == LOGS
    rows = ({f: row[f] for f in fields if f in row} for row in (point if logs else point["data"] for point in points))
    bodies = [codec.encode_row(row) for row in rows]
    if logs:
        return [body + b"\n" for body in bodies]
    return _lines(codec.render(page.kind, page.start, bodies))


def _lines(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


# ---------------------------------------------------------------- CSV


def write_csv(source: Source, out: BinaryIO, advance: Advance) -> None:
    """Numbers in full, NaN and infinities as in our lines, true, false, null, text as it is; other values as JSON."""
    fields = source.fields if source.fields is not None else list(source.columns(advance))
    out.write(_csv_lines([source.head(fields)]))
    out.writelines(
        _csv_lines(
            [*source.before(name, point), *(_csv_value(row[field]) if field in row else None for field in fields)]
            for point, row in zip(points, rows, strict=True)
        )
        for name, points, rows in source.rows(advance)
    )


def _csv_page(source: Source, fields: list[str], name: str, points: list[Row], rows: list[Row]) -> bytes:
    return _csv_lines(
        [*source.before(name, point), *(_csv_value(row[field]) if field in row else None for field in fields)]
        for point, row in zip(points, rows, strict=True)
    )


def _csv_lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _csv_value(value: Any) -> Any:
    kind = type(value)
    if kind is int or kind is str:
        return value
    return repr(value) if kind is float and math.isfinite(value) else compact_json(value).strip('"')


# ---------------------------------------------------------------- Parquet


class _Json:
    """The type of a column whose values are their JSON."""


def _type(value: Any) -> type:
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**63:
        return _Json
    return kind if kind in (int, float, bool, str, type(None)) else _Json


def write_parquet(source: Source, out: BinaryIO, advance: Advance) -> None:
    """A row group a page, zstd."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra(
            "Parquet needs pyarrow: pip install 'ml-dash[arrow]'. Or take --format csv or jsonl."
        ) from None
    types = {field: _common(kinds) for field, kinds in source.columns(advance).items()}
    fixed = {"series": pa.string(), "index": pa.int64(), "createdAt": pa.timestamp("ms", tz="UTC")}
    arrow = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(), _Json: pa.string()}
    ours = [fixed[name] for name in source.ours()]
    schema = pa.schema(list(zip(source.head(list(types)), [*ours, *(arrow[t] for t in types.values())], strict=True)))
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for name, points, rows in source.rows(advance):
            before = list(zip(*(_before(source, name, point) for point in points), strict=True))
            columns = [
                *before,
                *([_arrow_value(row.get(field), kind) for row in rows] for field, kind in types.items()),
            ]
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))


def _common(kinds: set[type]) -> type:
    """The one type that holds all values of a column as they are, but for integers among floats."""
    kinds = kinds - {type(None)}
    if kinds == {int, float}:
        return float
    return next(iter(kinds)) if len(kinds) == 1 else _Json if kinds else str


def _arrow_value(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is _Json:
        return compact_json(value)
    return float(value) if kind is float else value


def _before(source: Source, name: str, point: dict[str, Any]) -> list[Any]:
    return [
        _instant(value) if head == "createdAt" else value
        for head, value in zip(source.ours(), source.before(name, point), strict=True)
    ]


def _instant(text: str | None) -> int | None:
    try:
        return parse_iso(text) if text else None
    except ValueError:
        return None
