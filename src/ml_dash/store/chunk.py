"""Chunk: the history of a series as one immutable Parquet object, lossless, for us and for whoever reads Parquet.

docs/formats/chunk.md is this module in prose. Bytes come in and go out; where they are kept is not known here. No network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_dash import codec
from ml_dash.columns import joined
from ml_dash.errors import CorruptData
from ml_dash.model import METRICS, Page
from ml_dash.rollup import BoolArray, FloatArray, IntArray
from ml_dash.store import chunk_footer as footers
from ml_dash.store.chunk_columns import Column, Columns, split
from ml_dash.store.chunk_footer import Footer, Layout
from ml_dash.store.chunk_lines import BOOL, FLOAT, INT, RAW, TEXT, Cells, lines, parse_shapes, renumbered
from ml_dash.store.chunk_rollups import coarse, roll_all, rollups
from ml_dash.store.chunk_values import typed

__all__ = ["Chunk", "Encoded", "coarse", "encode", "rollups"]

GROUP_ROWS = 10_000
"""Rows of a row group: a few points of a large chunk cost some 70 kB."""
GROUP_BYTES = 16 << 20
"""Bytes of encoded rows in a row group, roughly."""
SMALL = 128 << 10
"""A chunk of no more bytes is read at once."""
TAIL = 64 << 10
"""Of others, the bytes that are read first: the footer is among them, mostly."""
GAP = 16 << 10
"""Bytes between two ranges that are sooner read than asked around."""
MAX_LOOSE = 1_000
"""Fields whose numbers stand in `_json` that the footer names."""

_FIXED = ("_index", "_time")
_TYPES = {INT: pa.int64(), FLOAT: pa.float64(), BOOL: pa.bool_(), TEXT: pa.string()}
_SPLIT = "BYTE_STREAM_SPLIT"
_LEVEL, _LEVEL_OF_FLOATS = 3, 13
"""zstd's. From 13 on it cuts its blocks where the data changes, as between the byte streams of floats: 0.2 bytes a point less
for values that use all their digits, for 3 ms more each 10,000 points."""
_FEW = 4
"""A column of texts is a dictionary where one in so many is another one."""
_DICTIONARY = 64 << 10
"""Characters of all shapes up to which each row group has them all."""

Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Encoded:
    """A chunk that was made, and what the manifest keeps of it."""

    data: bytes
    """The whole object."""
    rollup: tuple[int, int]
    """(offset, length) of the base-100 rollups inside `data`."""
    coarse: dict[int, dict[str, bytes]]
    """Width 1_000 and 10_000 → `tier_keys.field_key` → the rollup of the spans ``grid(first, stop, width)``:
    `Rollup.to_bytes`, zstd-compressed; of the 64 commonest numeric fields."""
    more: bool
    """Whether there are numeric fields beyond these."""


# ---------------------------------------------------------------- writing


def encode(
    kind: str, first: int, rows: Sequence[bytes], times: Sequence[tuple[int, int]], about: Mapping[str, str]
) -> Encoded:
    """The chunk of `rows`, encoded rows (one at least) of which the first has index `first`.

    `times` are (absolute index, unix ms) pairs, rising, the first at or before `first`. `about` goes into the footer.
    """
    columns = split(rows)
    stop = first + columns.count
    group = _group_rows(columns.count, sum(map(len, rows)))
    layout = Layout(kind, first, stop, group, list(columns.typed), _loose(columns), dict(about))
    table = _table(columns, first, times)
    pieces = -(-columns.count // group) * table.num_columns
    written = _write(table, columns, group, footers.metadata(layout, pieces))
    rolled = roll_all(first, stop, [name for name, _ in columns.numeric()], columns.numbers)
    data, place = footers.fill_in(written, rolled.blob)
    return Encoded(data, place, rolled.coarse, rolled.more)


def _group_rows(count: int, size: int) -> int:
    """Rows a row group: as even as they get."""
    groups = max(-(-count // GROUP_ROWS), min(count, -(-size // GROUP_BYTES)))
    return -(-count // groups)


def _loose(columns: Columns) -> list[str] | None:
    return list(columns.loose) if len(columns.loose) <= MAX_LOOSE else None


def _table(columns: Columns, first: int, times: Sequence[tuple[int, int]]) -> pa.Table:
    """All columns under the names that Parquet has them by."""
    arrays = [pa.array(np.arange(first, first + columns.count)), _time(first, columns.count, times)]
    names = [*_FIXED, *footers.names(list(columns.typed))]
    arrays += [_array(letter, column) for (_, letter), column in columns.typed.items()]
    raw = columns.codes == RAW
    keys = pa.DictionaryArray.from_arrays(
        pa.array(columns.codes.astype(np.int32), mask=raw if raw.any() else None), pa.array(columns.shapes, pa.string())
    )
    arrays.append(keys if sum(map(len, columns.shapes)) <= _DICTIONARY else keys.dictionary_decode())
    names.append("_keys")
    for name, texts, kind in (("_json", columns.json, pa.string()), ("_raw", columns.raw, pa.binary())):
        if texts:
            arrays.append(pa.array([texts.get(at) for at in range(columns.count)], kind))
            names.append(name)
    return pa.Table.from_arrays(arrays, names=names)


def _time(first: int, count: int, times: Sequence[tuple[int, int]]) -> pa.Array:
    if not times:
        return pa.nulls(count, pa.int64())
    begins = np.clip([at for at, _ in times], first, first + count)
    begins[0] = first
    return pa.array(np.repeat(np.array([ms for _, ms in times], np.int64), np.diff(begins, append=first + count)))


def _array(letter: str, column: Column) -> pa.Array:
    if letter == TEXT:
        return pa.array(column.values, pa.string())
    return pa.array(column.values, _TYPES[letter], mask=None if column.has is None else ~column.has)


def _write(table: pa.Table, columns: Columns, group: int, metadata: dict[bytes, bytes]) -> bytes:
    encodings = dict.fromkeys(_FIXED, "DELTA_BINARY_PACKED")
    dictionaries = ["_keys"]
    names = table.column_names[len(_FIXED) :]
    for name, ((_, letter), column) in zip(names, columns.typed.items(), strict=False):
        if letter == INT:
            encodings[name] = "DELTA_BINARY_PACKED"
        elif letter == FLOAT:
            encodings[name] = _SPLIT
        elif letter == TEXT and len(set(column.values)) * _FEW <= columns.count:
            dictionaries.append(name)
    bounded = [
        name for name, (key, column) in zip(names, columns.typed.items(), strict=False) if _bounded(key[1], column)
    ]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        use_dictionary=dictionaries,
        column_encoding=encodings,
        write_statistics=[*_FIXED, *bounded],
        store_schema=False,
        version="2.6",
        compression="zstd",
        compression_level={
            name: _LEVEL_OF_FLOATS if encodings.get(name) == _SPLIT else _LEVEL for name in table.column_names
        },
    ) as writer:
        writer.write_table(table, row_group_size=group)
        writer.add_key_value_metadata(metadata)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _bounded(letter: str, column: Column) -> bool:
    """Whether least and greatest say what is in a column. Databases pass over row groups by them, and there is no NaN in them."""
    return letter != TEXT and not (letter == FLOAT and np.isnan(column.values).any())


# ---------------------------------------------------------------- reading


class Chunk:
    """An opened chunk. `fetch` reads ranges of it, (offset, length), all at once; `size` is its length; `origin` names it in
    errors.

    Opening reads the footer; every other method the columns and row groups that it needs. Raises `CorruptData` where bytes are
    not what was written, `NewerFormat` where a newer version of this package wrote them, and whatever `fetch` raises. May be
    used by several threads.
    """

    def __init__(self, fetch: Callable[[Ranges], list[bytes]], size: int, origin: str) -> None:
        self._fetch = fetch
        self._size = size
        self._origin = origin
        self._tail_at = max(0, size - TAIL) if size > SMALL else 0
        self._tail = self._read([(self._tail_at, size - self._tail_at)])[0]
        self._footer = self._open()
        self._layout = self._footer.layout
        self.kind = self._layout.kind
        self.first = self._layout.first
        self.stop = self._layout.stop
        self.about = self._layout.about
        self.rollup = self._footer.rollup
        self._names = [column.name for column in self._footer.metadata.schema]
        self._column = {name: at for at, name in enumerate(self._names)}
        self._typed = {key: at for at, key in enumerate(self._layout.columns, len(_FIXED))}

    def group_end(self, index: int) -> int:
        """Where the row group of the row at `index` ends."""
        size = self._layout.group
        return min(index + size - (index - self.first) % size, self.stop)

    def lines(self, start: int, stop: int) -> bytes:
        """The lines of rows [start, stop), as `codec.render` makes them."""
        skipped = {self._column["_index"], self._column["_time"]}
        wanted = [at for at in range(len(self._names)) if at not in skipped]
        out = []
        for at, table in self._tables(wanted, start, stop):
            out += lines(self.kind, at, self._cells(table))
        return b"".join(out)

    def ticks(self, start: int, stop: int) -> tuple[tuple[int, int], ...]:
        """(absolute index, unix ms): one at `start`, then where it changes before `stop`."""
        parts = [
            _numpy(table.column(0)) for _, table in self._tables([self._column["_time"]], start, stop) if _whole(table)
        ]
        if not parts:
            return ()
        ms = np.concatenate(parts)
        where = np.concatenate(([0], np.flatnonzero(np.diff(ms)) + 1))
        return tuple(zip((where + max(start, self.first)).tolist(), ms[where].tolist(), strict=True))

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> dict[str, tuple[FloatArray, BoolArray]]:
        """Each field over rows [start, stop) as `codec.numbers` gives it: float64 values, and where there is a number."""
        typed = {field: [self._typed[key] for key in _numeric(field) if key in self._typed] for field in fields}
        loose = [f for f in fields if self._layout.loose is None or f in self._layout.loose]
        wanted = sorted({at for places in typed.values() for at in places})
        json = [self._column["_json"]] if loose and "_json" in self._column else []
        out: dict[str, list[tuple[FloatArray, BoolArray]]] = {field: [] for field in fields}
        for _, table in self._tables(wanted + json, start, stop):
            texts = table.column(len(wanted)).to_pylist() if json else []
            for field, part in _numbers(table, {f: [wanted.index(at) for at in p] for f, p in typed.items()}).items():
                out[field].append(_with_loose(part, texts, field) if json and field in loose else part)
        empty = (np.empty(0), np.empty(0, np.bool_))
        return {field: _joined(parts) if parts else empty for field, parts in out.items()}

    def columns(self, fields: Sequence[str], start: int, stop: int) -> tuple[IntArray, dict[str, Any]]:
        """The ticks and the fields of rows [start, stop), as a `ColumnsPage` has them. Not for logs, whose number is a field."""
        numeric = [at for (field, letter), at in self._typed.items() if field in fields and letter != TEXT]
        json = self._layout.loose is None or not {*fields}.isdisjoint(self._layout.loose)
        spare = ("_json", "_raw") if json else ("_raw",)
        names = [name for name in ("_time", "_keys", *spare) if name in self._column]
        times: list[Any] = [np.empty(0, np.int64)]
        parts: dict[str, list[Any]] = {field: [] for field in fields}
        for _, table in self._tables(sorted([*numeric, *map(self._column.__getitem__, names)]), start, stop):
            if not (time := table.column("_time")).null_count:
                times.append(_numpy(time))
            cells = self._cells(table)
            for field, some in parts.items():
                some.append(typed(field, cells, self._origin))
        ms = np.concatenate(times)
        where = np.flatnonzero(np.diff(ms, prepend=ms[:1] - 1))
        ticks = np.stack((where + max(start, self.first), ms[where]), 1)
        return ticks, {field: joined(some) for field, some in parts.items()}

    # ------------------------------------------------------------ bytes

    def _open(self) -> Footer:
        end = self._tail[-footers.END :]
        length = int.from_bytes(end[:4], "little")
        at = self._size - footers.END - length
        if end[4:] != footers.MAGIC or at < footers.START:
            why = "an end that is not of a chunk: it was cut, or is none"
            raise CorruptData(self._origin, max(0, self._size - footers.END), why)
        return footers.parse(self._get([(at, length)])[0], at, self._origin)

    def _get(self, ranges: Ranges) -> list[bytes]:
        """These bytes, from the tail where it has them."""
        missing = [(at, length) for at, length in ranges if at < self._tail_at]
        got = iter(self._read(missing) if missing else ())
        tail, begin = self._tail, self._tail_at
        return [next(got) if at < begin else tail[at - begin : at - begin + length] for at, length in ranges]

    def _read(self, ranges: Ranges) -> list[bytes]:
        got = self._fetch(ranges)
        for (at, length), data in zip(ranges, got, strict=True):
            if len(data) != length:
                raise CorruptData(self._origin, at + len(data), f"{length} bytes were expected, {len(data)} are there")
        return got

    def _tables(self, columns: list[int], start: int, stop: int) -> Iterator[tuple[int, pa.Table]]:
        """(index of the first row, these columns) of each stretch of rows [start, stop)."""
        start, stop = max(start, self.first), min(stop, self.stop)
        if start >= stop:
            return
        size = self._layout.group
        groups = range((start - self.first) // size, (stop - 1 - self.first) // size + 1)
        file = self._parquet(columns, groups)
        for group in groups:
            first = self.first + group * size
            begin, end = max(start, first), min(stop, first + size)
            try:
                table = file.reader.read_row_groups([group], column_indices=columns, use_threads=False)
                rows = self._footer.metadata.row_group(group).num_rows
            except (OSError, ValueError, pa.ArrowException) as e:
                offset = int(self._footer.offsets[group, 0])
                raise CorruptData(self._origin, offset, f"a row group that cannot be read ({e})") from e
            yield begin, table.slice(begin - first, end - begin) if end - begin < rows else table

    def _parquet(self, columns: list[int], groups: Sequence[int]) -> Any:
        """The file, of which there are the bytes of these columns and groups and nothing else: of the rest the system keeps
        zeros that take no room."""
        footer = self._footer
        pieces = [(group, column) for group in groups for column in columns]
        spans = _joined_ranges([(int(footer.offsets[p]), int(footer.sizes[p])) for p in pieces])
        data = bytearray(self._size)
        for (at, length), part in zip(spans, self._get(spans), strict=True):
            data[at : at + length] = part
        view = memoryview(data)
        for group, column in pieces:
            at = int(footer.offsets[group, column])
            footers.check_piece(footer, group, column, view[at : at + int(footer.sizes[group, column])], self._origin)
        return pq.ParquetFile(pa.BufferReader(data), metadata=footer.metadata, read_dictionary=["_keys"])

    # ------------------------------------------------------------ columns

    def _cells(self, table: pa.Table) -> Cells:
        keys = table.column("_keys").combine_chunks()
        codes, used = renumbered(_numpy(keys.indices.fill_null(RAW)).astype(np.int64))
        shapes = parse_shapes(keys.dictionary.take(pa.array(used)).to_pylist())
        names = dict(zip(self._layout.columns, self._names[len(_FIXED) :], strict=False))

        def values(field: str, letter: str) -> Any:
            key = (field, letter) if (field, letter) in names else (field, FLOAT)
            column = table.column(names[key])
            return column.to_pylist() if letter == TEXT else _numpy(column)

        there = table.column_names
        json, raw = (table.column(n).to_pylist() if n in there else () for n in ("_json", "_raw"))
        return Cells(shapes, codes, values, json, raw)


def _numeric(field: str) -> tuple[tuple[str, str], ...]:
    return ((field, FLOAT), (field, INT), (field, BOOL))


def _joined_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges with little or nothing between them as one, in order."""
    out: list[tuple[int, int]] = []
    for at, length in sorted(ranges):
        if out and at - sum(out[-1]) <= GAP:
            out[-1] = (out[-1][0], at + length - out[-1][0])
        else:
            out.append((at, length))
    return out


def _whole(table: pa.Table) -> bool:
    return bool(table.column(0).null_count == 0)


def _numpy(column: Any) -> Any:
    """Values as an array; 0 where there is none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    return array.to_numpy(zero_copy_only=False)


def _numbers(table: pa.Table, places: Mapping[str, Sequence[int]]) -> dict[str, tuple[FloatArray, BoolArray]]:
    out = {}
    for field, columns in places.items():
        parts = [table.column(at) for at in columns]
        if len(parts) == 1 and not parts[0].null_count:
            out[field] = (_numpy(parts[0]).astype(np.float64, copy=False), np.ones(len(table), np.bool_))
            continue
        values, has = np.full(len(table), np.nan), np.zeros(len(table), np.bool_)
        for part in parts:
            there = _numpy(part.is_valid())
            values[there], has[there] = _numpy(part)[there], True
        out[field] = (values, has)
    return out


def _with_loose(part: tuple[FloatArray, BoolArray], texts: Sequence[str | None], field: str) -> Any:
    """The numbers that stand in `_json` as well."""
    rows = [(text or "{}").encode() for text in texts]
    page = Page(METRICS, 0, len(rows), len(rows), codec.render(METRICS, 0, rows))
    more, there = codec.numbers(page, [field])[field]
    values, has = part
    return np.where(there, more, values), has | there


def _joined(parts: Sequence[tuple[FloatArray, BoolArray]]) -> tuple[FloatArray, BoolArray]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([values for values, _ in parts]), np.concatenate([has for _, has in parts])
