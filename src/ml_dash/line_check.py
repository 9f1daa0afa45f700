"""Whether lines that came from elsewhere are lines of ours: strict JSON, the framing of docs/formats/series.md, rows within the
limits. Pure. What passes is stored as it came, so nothing may pass that `codec` would not have written, but for spacing
inside a row.
"""

from __future__ import annotations

import json
import math
from itertools import repeat
from typing import Any, NoReturn

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput, InvalidRow
from ml_dash.model import LOGS
from ml_dash.values import MAX_FIELDS

_PREFIX = b'{"index": %d, "data": {'
_LOG_PREFIX = b'{"sequenceNumber": %d'
_decode_rows = msgspec.json.Decoder(dict[str, Any]).decode_lines


def check_lines(kind: str, first: int, count: int, lines: bytes, batch: int = 0) -> None:
    """Raise `InvalidRow` naming the first of `count` lines that is not the one of its index, or whose row cannot be stored;
    `batch` is the batch's position, for the error. Raises `InvalidInput` where there are more or fewer lines."""
    cut = lines.split(b"\n")
    if cut.pop() or len(cut) != count:
        raise InvalidInput(f"batch {batch}: {count} lines are announced, {lines.count(10)} came.")
    if kind == LOGS:
        _check_each(first, _log_rows(cut, first, batch), batch)
    else:
        rows = _rows(cut, first, batch)
        if not _all_plain(rows):
            _check_each(first, rows, batch)


def _rows(cut: list[bytes], first: int, batch: int) -> list[bytes]:
    """What stands between each line's framing."""
    rows: list[bytes] = []
    index, stop = first, first + len(cut)
    while index < stop:  # a stretch of indices with as many digits
        prefix = _PREFIX % index
        size = len(prefix)
        end = min(stop, 10 ** len(str(index)))
        part = cut[index - first : end - first]
        heads = [line[:size] for line in part]
        if heads != list(map(_PREFIX.__mod__, range(index, end))) or not all(map(bytes.endswith, part, repeat(b"}}"))):
            _refuse_framing(part, index, first, batch)
        rows += [line[size - 1 : -1] for line in part]
        index = end
    return rows


def _refuse_framing(part: list[bytes], index: int, first: int, batch: int) -> NoReturn:
    for expected, line in enumerate(part, index):
        prefix = _PREFIX % expected
        if not (line.startswith(prefix) and line.endswith(b"}}")):
            what = f"batch {batch}, row {expected - first}: expected a line {prefix.decode()}...}}}}"
            raise InvalidRow(f"{what}; got {line[:60].decode(errors='replace')!r}.", batch, expected - first)
    raise AssertionError(part)


def _log_rows(cut: list[bytes], first: int, batch: int) -> list[bytes]:
    rows = []
    for number, line in enumerate(cut, first):
        prefix = _LOG_PREFIX % number
        rest = line[len(prefix) :]
        if not line.startswith(prefix) or not (rest == b"}" or rest.startswith(b', "')):
            what = f"batch {batch}, row {number - first}: expected a line {prefix.decode()}, ...}}"
            raise InvalidRow(f"{what}; got {line[:60].decode(errors='replace')!r}.", batch, number - first)
        rows.append(b"{" + rest.removeprefix(b", "))
    return rows


def _all_plain(rows: list[bytes]) -> bool:
    """Whether all rows are flat objects within the limits: the common case, in a few calls. False says nothing."""
    joined = b"\n".join(rows)
    if joined.find(b"[") >= 0 or joined.find(b"\r") >= 0 or joined.count(b"{") != len(rows):
        return False
    try:
        decoded = _decode_rows(joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (
        len(decoded) == len(rows)
        and (len(joined) <= codec.MAX_ROW or max(map(len, rows)) <= codec.MAX_ROW)
        and max(map(len, decoded), default=0) <= MAX_FIELDS
    )


def _check_each(first: int, rows: list[bytes], batch: int) -> None:
    for number, row in enumerate(rows):
        try:
            check_row(row)
        except InvalidInput as e:
            raise InvalidRow(f"batch {batch}, row {number} (index {first + number}): {e}", batch, number) from e


def check_row(row: bytes) -> dict[str, Any]:
    """The fields of an encoded row that came from elsewhere. Raises `InvalidInput` where it is no strict JSON object on one line,
    or is past a limit."""
    if len(row) > codec.MAX_ROW:
        raise InvalidInput(f"the row takes {len(row)} bytes; at most {codec.MAX_ROW} are stored.")
    if row[:1] != b"{" or row[-1:] != b"}" or b"\n" in row or b"\r" in row:
        raise InvalidInput(f"a row is a JSON object on one line; got {row[:60].decode(errors='replace')!r}.")
    try:
        fields: dict[str, Any] = json.loads(row.decode(), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as e:
        raise InvalidInput(f"the row is not strict JSON: {e}") from e
    codec.encode_row(fields)
    return fields


def _finite(text: str) -> float:
    """Numbers beyond float64 are JSON, but some decoders refuse them and others read an infinity."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond the range of a float")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON; write it as "{name}"')
