"""Rows → columns: what a chunk keeps of each row, so that `chunk_lines` gives back the very bytes. Pure; knows no Parquet.

Nothing is believed: when the columns are made, the rows are written out of them again, and what comes out otherwise
(`1.0e0`, odd spacing, a key twice, no JSON at all) is kept as it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import ne
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from ml_dash import codec
from ml_dash.rollup import BoolArray, FloatArray, IntArray
from ml_dash.store.chunk_lines import (
    BARE,
    BOOL,
    FLOAT,
    INT,
    JSON,
    NULL,
    RAW,
    TEXT,
    Cells,
    decode_parts,
    encode,
    fill,
    has_reserved,
    parse_shapes,
    renumbered,
    shape_text,
)

MAX_COLUMNS = 1_000
"""Fields that have columns of their own, the commonest ones."""
MAX_SHAPES = 1 << 20
"""Characters of the shapes of one chunk: rows of rarer ones are kept as they came."""

_LETTERS = {int: INT, float: FLOAT, bool: BOOL, str: TEXT, type(None): NULL, dict: JSON, list: JSON}
_TYPED = (FLOAT, INT, BOOL, TEXT)
"""Letters of values that may have a column. Where a field has several, the first of these takes its name."""
_DTYPES = {FLOAT: np.dtype(np.float64), INT: np.dtype(np.int64), BOOL: np.dtype(np.bool_)}
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_EXACT = 1 << 53
"""Every integer up to here is a float64 of its own."""
_NOT_FINITE = {text: float(text) for text in ("NaN", "Infinity", "-Infinity")}

Key: TypeAlias = tuple[str, str]
"""(field, letter)"""


class Column(NamedTuple):
    """One value a row, of one field and type: `values` is an array, for texts a list; `has` says where there is one, None
    is everywhere."""

    values: Any
    has: BoolArray | None


@dataclass
class Columns:
    """All of some rows."""

    count: int
    shapes: list[str] = field(default_factory=list)
    """As `_keys` holds them."""
    codes: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    typed: dict[Key, Column] = field(default_factory=dict)
    """The commonest field first."""
    json: dict[int, str] = field(default_factory=dict)
    """Row → a JSON object of its fields that no column holds."""
    raw: dict[int, bytes] = field(default_factory=dict)
    """Row → its bytes, where nothing else gives them back."""
    loose: dict[str, list[tuple[IntArray, FloatArray]]] = field(default_factory=dict)
    """Field → rows and numbers that stand in `json` only."""

    def numeric(self) -> Iterator[tuple[str, int]]:
        """Every field that has a number, and in how many rows."""
        found: Counter[str] = Counter()
        for (name, letter), column in self.typed.items():
            if letter != TEXT:
                found[name] += self.count if column.has is None else int(np.count_nonzero(column.has))
        for name, parts in self.loose.items():
            found[name] += sum(len(rows) for rows, _ in parts)
        yield from found.most_common()

    def numbers(self, name: str) -> tuple[FloatArray, BoolArray]:
        """One field, as `codec.numbers` gives it."""
        columns = [self.typed[name, letter] for letter in _DTYPES if (name, letter) in self.typed]
        parts = self.loose.get(name, ())
        if len(columns) == 1 and not parts and columns[0].has is None:
            return columns[0].values.astype(np.float64), np.ones(self.count, np.bool_)
        values, has = np.full(self.count, np.nan), np.zeros(self.count, np.bool_)
        for column in columns:
            where = slice(None) if column.has is None else column.has
            values[where], has[where] = column.values[where], True
        for rows, floats in parts:
            values[rows], has[rows] = floats, True
        return values, has


def split(rows: Sequence[bytes]) -> Columns:
    """The columns of encoded rows, from which `chunk_lines.lines` makes the same rows."""
    rows = rows.rows() if isinstance(rows, codec.Lines) else list(rows)
    with codec.gc_paused(len(rows)):
        return _split_alike(rows) or _split_each(rows)


def _split_alike(rows: list[bytes]) -> Columns | None:
    """Where all rows have the keys and types of the first, all plain scalars: the common case, in a few calls."""
    text = b"\n".join(rows)
    try:
        names = list(msgspec.json.decode(rows[0], type=dict[str, Any]))
        # The first row's keys stand for every row's until the texts have been compared.
        row = msgspec.defstruct("Row", [(f"f{i}", Any) for i in range(len(names))], gc=False, rename=_renamed(names))
        decoded = msgspec.json.Decoder(row).decode_lines(text)
    except (ValueError, RecursionError):
        return None
    if len(decoded) != len(rows) or not 0 < len(names) <= MAX_COLUMNS:
        return None
    reserved = has_reserved(text)
    columns = Columns(len(rows), codes=np.zeros(len(rows), np.int64))
    shape = {}
    for name, came in zip(names, zip(*map(msgspec.structs.astuple, decoded), strict=True), strict=True):
        kinds = set(map(type, came))
        values: Sequence[Any] = came
        if reserved and kinds == {float, str}:
            # Also if some are a user's own: their texts differ, and these rows take the thorough way.
            values = [_NOT_FINITE.get(value, value) for value in came]
            kinds = set(map(type, values))
        letter = _LETTERS.get(kinds.pop(), JSON)
        if kinds or letter not in _TYPED or (letter == INT and _too_large(values)):
            return None
        shape[name] = letter
        columns.typed[name, letter] = Column(_array(letter, values), None)
    columns.shapes = [shape_text(names, list(shape.values()))]
    again = fill(BARE, _cells(columns))
    return columns if b"".join(again)[:-1] == text else None


def _renamed(names: list[str]) -> dict[str, str]:
    return {f"f{i}": name for i, name in enumerate(names)}


def _cells(columns: Columns) -> Cells:
    """As `chunk_lines` takes them; rows that are kept as they came have nothing there."""

    def values(name: str, letter: str) -> Any:
        return columns.typed[name, letter if (name, letter) in columns.typed else FLOAT].values

    json = [columns.json.get(at) for at in range(columns.count)] if columns.json else ()
    return Cells(parse_shapes(columns.shapes), columns.codes, values, json, ())


# ---------------------------------------------------------------- any rows


class _Group(NamedTuple):
    """The rows of one shape."""

    keys: tuple[str, ...]
    letters: str
    places: list[int]
    cells: list[Sequence[Any]]
    """Their values, a key at a time."""


def _split_each(rows: list[bytes]) -> Columns:
    groups = _grouped(_decoded(rows))
    columns = Columns(len(rows), codes=np.full(len(rows), RAW, np.int64))
    chosen = _commonest(groups)
    parts: dict[Key, list[tuple[IntArray, Any]]] = {}
    room = MAX_SHAPES
    for group in groups:
        where = np.array(group.places)
        letters = [
            letter if letter == NULL or (letter in _TYPED and key in chosen) else JSON
            for key, letter in zip(group.keys, group.letters, strict=True)
        ]
        for key, letter, values in zip(group.keys, letters, group.cells, strict=True):
            if letter in _TYPED:
                parts.setdefault((key, letter), []).append((where, _array(letter, values)))
            elif letter == JSON:
                _keep_loose(columns, key, where, values)
        if JSON in letters:
            _keep_json(columns, rows, group, letters)
        shape = shape_text(group.keys, letters)
        if len(shape) <= room:
            room -= len(shape)
            columns.codes[where] = len(columns.shapes)
            columns.shapes.append(shape)
    _assemble(columns, chosen, parts)
    _keep_raw(columns, rows)
    return columns


def _decoded(rows: list[bytes]) -> list[dict[str, Any] | None]:
    """Each row's fields; None for what is no JSON object of ours."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    text = b"\n".join(rows)
    out: list[dict[str, Any] | None] = []
    try:
        out += decoder.decode_lines(text)
        if len(out) == len(rows) == text.count(b"\n") + 1:
            return list(map(_with_numbers, rows, out)) if has_reserved(text) else out
    except (ValueError, RecursionError):
        pass
    out.clear()
    for row in rows:
        try:
            out.append(_with_numbers(row, decoder.decode(row)))
        except (ValueError, RecursionError):
            out.append(None)
    return out


def _with_numbers(row: bytes, fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The fields, with NaN and the infinities that are spelled plainly as numbers; a user's own text has an escape in it."""
    if fields and has_reserved(row):
        parts = decode_parts(row) if b"\\u" in row else None
        for key, value in fields.items():
            if type(value) is str and value in _NOT_FINITE and (parts is None or b"\\" not in bytes(parts[key])):
                fields[key] = _NOT_FINITE[value]
    return fields


def _grouped(decoded: list[dict[str, Any] | None]) -> list[_Group]:
    """By shape, the commonest first. Integers beyond 64 bits count as JSON."""
    places: dict[tuple[tuple[str, ...], str], list[int]] = {}
    letter_of = _LETTERS.__getitem__
    for at, fields in enumerate(decoded):
        if fields is not None:
            shape = (tuple(fields), "".join(map(letter_of, map(type, fields.values()))))
            places.setdefault(shape, []).append(at)
    groups = [group for shape, rows in places.items() for group in _without_large(_group(*shape, rows, decoded))]
    return sorted(groups, key=lambda group: len(group.places), reverse=True)


def _group(keys: tuple[str, ...], letters: str, places: list[int], decoded: Sequence[dict[str, Any] | None]) -> _Group:
    rows = [(decoded[at] or {}).values() for at in places]
    return _Group(keys, letters, places, list(zip(*rows, strict=True)))


def _without_large(group: _Group) -> list[_Group]:
    """The group itself, or those of its rows that differ in which integers are too large."""
    ints = [at for at, letter in enumerate(group.letters) if letter == INT and _too_large(group.cells[at])]
    if not ints:
        return [group]
    rows: dict[str, list[int]] = {}
    for row in range(len(group.places)):
        letters = list(group.letters)
        for at in ints:
            letters[at] = JSON if _too_large(group.cells[at][row : row + 1]) else INT
        rows.setdefault("".join(letters), []).append(row)
    return [
        _Group(group.keys, letters, [group.places[r] for r in some], [[cell[r] for r in some] for cell in group.cells])
        for letters, some in rows.items()
    ]


def _too_large(values: Sequence[int]) -> bool:
    return min(values) < _LEAST or max(values) > _MOST


def _commonest(groups: list[_Group]) -> dict[str, int]:
    """The fields that get columns → their order."""
    counts: Counter[str] = Counter()
    for group in groups:
        for key, letter in zip(group.keys, group.letters, strict=True):
            if letter in _TYPED:
                counts[key] += len(group.places)
    return {key: order for order, (key, _) in enumerate(counts.most_common(MAX_COLUMNS))}


def _keep_loose(columns: Columns, key: str, where: IntArray, values: Sequence[Any]) -> None:
    floats, has = codec.as_numbers(list(values))
    if has.any():
        columns.loose.setdefault(key, []).append((where[has], floats[has]))


def _keep_json(columns: Columns, rows: list[bytes], group: _Group, letters: list[str]) -> None:
    """The group's JSON fields, in each row's own spelling."""
    kept = [(key, encode(key) + b": ") for key, letter in zip(group.keys, letters, strict=True) if letter == JSON]
    for at in group.places:
        parts = decode_parts(rows[at])
        columns.json[at] = (b"{" + b", ".join(name + bytes(parts[key]) for key, name in kept) + b"}").decode()


def _assemble(columns: Columns, chosen: Mapping[str, int], parts: dict[Key, list[tuple[IntArray, Any]]]) -> None:
    """Columns as long as the chunk. Integers join the floats of their field where all of them are exact as floats: the
    shapes still tell them apart, and whoever looks at the table sees one column of numbers."""
    for key, letter in [each for each in parts if each[1] == INT]:
        pieces = parts[key, letter]
        if (key, FLOAT) in parts and all(abs(int(e)) <= _EXACT for _, a in pieces for e in (a.min(), a.max())):
            parts[key, FLOAT] += parts.pop((key, letter))
    for key, letter in sorted(parts, key=lambda each: (chosen[each[0]], _TYPED.index(each[1]))):
        columns.typed[key, letter] = _column(letter, parts[key, letter], columns.count)


def _array(letter: str, values: Sequence[Any]) -> Any:
    return list(values) if letter == TEXT else np.array(values, _DTYPES[letter])


def _column(letter: str, pieces: list[tuple[IntArray, Any]], count: int) -> Column:
    has = np.zeros(count, np.bool_)
    for where, _ in pieces:
        has[where] = True
    if letter == TEXT:
        texts: list[str | None] = [None] * count
        for where, values in pieces:
            for at, value in zip(where.tolist(), values, strict=True):
                texts[at] = value
        return Column(texts, None if has.all() else has)
    cells = np.zeros(count, _DTYPES[letter])
    for where, values in pieces:
        cells[where] = values
    return Column(cells, None if has.all() else has)


def _keep_raw(columns: Columns, rows: list[bytes]) -> None:
    """Rows that do not come out of their columns as they went in."""
    ended = [row + b"\n" for row in rows]
    again = fill(BARE, _cells(columns))
    for at, differs in enumerate(map(ne, ended, again)):
        if differs:
            columns.codes[at] = RAW
            columns.raw[at] = rows[at]
    columns.codes, used = renumbered(columns.codes)
    columns.shapes = [columns.shapes[code] for code in used.tolist()]
