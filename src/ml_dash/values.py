"""Python values → JSON values: what a row, a parameter or a log's metadata may hold. Pure; knows no line and no file.

`plain` is the slow, thorough road. Rows of plain numbers and strings do not come here (see `codec`).
"""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

from ml_dash.errors import InvalidInput, InvalidType

MAX_NESTING = 64
MAX_FIELDS = 10_000
MAX_ARRAY = 10_000
"""Elements of an array that is turned into a list; larger ones belong into `files`."""
MAX_INT_DIGITS = 4_300
"""CPython refuses longer integers as text, so no reader could take them back."""

NAN = msgspec.Raw(b'"NaN"')
POS_INF = msgspec.Raw(b'"Infinity"')
NEG_INF = msgspec.Raw(b'"-Infinity"')
_RESERVED = {
    "NaN": msgspec.Raw(b'"\\u004eaN"'),
    "Infinity": msgspec.Raw(b'"\\u0049nfinity"'),
    "-Infinity": msgspec.Raw(b'"-\\u0049nfinity"'),
}
_MAX_INT = 10**MAX_INT_DIGITS
_STEPS = 3
"""How often a value may give another that is no JSON type yet: a tensor an array, an array a scalar."""
_NEARER = (str, bool, int, float, type(None), list, tuple, Mapping, date, time, timedelta, Decimal, UUID, PurePath)
"""Types from which `plain` finds its own way."""


def where(path: tuple[str, ...]) -> str:
    """The path to a value as a user would write it: ``field 'a.b[3]'``."""
    return f"field {''.join(path)!r}" if path else "the row"


def plain(value: Any, path: tuple[str, ...] = (), depth: int = 1) -> Any:
    """`value` as JSON's own types, ready for msgspec: non-finite floats and the strings that look like them as `msgspec.Raw`.

    `depth` counts lists and mappings around the value. Raises `InvalidType` for what cannot be stored and
    `InvalidInput` for what is too deep, too large or not text.
    """
    kind = type(value)
    if kind is str:
        return _text(value, path)
    if kind is float:
        return _number(value)
    if kind is int:
        return _integer(value, path)
    if value is None or kind is bool:
        return value
    if isinstance(value, Mapping):
        return plain_mapping(value, path, depth)
    if isinstance(value, (list, tuple)):
        _check_depth(depth, path)
        return [plain(item, (*path, f"[{i}]"), depth + 1) for i, item in enumerate(value)]
    return plain(_natural(value, path), path, depth)


def plain_mapping(value: Mapping[Any, Any], path: tuple[str, ...] = (), depth: int = 1) -> dict[str, Any]:
    """A mapping with string keys and `plain` values, in its own order. Raises as `plain` does."""
    _check_depth(depth, path)
    if len(value) > MAX_FIELDS:
        msg = f"{where(path)} has {len(value)} fields; at most {MAX_FIELDS} are stored. Split it over several series."
        raise InvalidInput(msg)
    row: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            msg = f"{where(path)}: keys must be strings; got {key!r} of type {type(key).__name__}. Use str(key)."
            raise InvalidType(msg)
        name = str.__str__(key)
        _check_text(name, path)
        row[name] = plain(item, (*path, f".{name}" if path else name), depth + 1)
    return row


def _check_depth(depth: int, path: tuple[str, ...]) -> None:
    if depth > MAX_NESTING:
        msg = f"{where(path[:3])}: nested deeper than {MAX_NESTING} levels; flatten it or save it as a file."
        raise InvalidInput(msg)


def _number(value: float) -> Any:
    if math.isfinite(value):
        return value
    if value != value:  # noqa: PLR0124  NaN is what is not equal to itself
        return NAN
    return POS_INF if value > 0 else NEG_INF


def _integer(value: int, path: tuple[str, ...]) -> int:
    if -_MAX_INT < value < _MAX_INT:
        return value
    msg = f"{where(path)}: an integer of more than {MAX_INT_DIGITS} digits cannot be read back; store it as hex text."
    raise InvalidInput(msg)


def _check_text(value: str, path: tuple[str, ...]) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as e:
        msg = (
            f"{where(path)}: the text {value[max(0, e.start - 10) : e.end + 10]!r} holds a lone surrogate, which is not "
            "Unicode. Use text.encode('utf-8', 'replace').decode(), or open the source with errors='replace'."
        )
        raise InvalidInput(msg) from None


def _text(value: str, path: tuple[str, ...]) -> Any:
    _check_text(value, path)
    return _RESERVED.get(value, value)


def _natural(value: Any, path: tuple[str, ...]) -> Any:
    """One step from a known type toward JSON's types."""
    if isinstance(value, enum.Enum):
        return value.value
    for base in (str, bool, int, float):
        if isinstance(value, base):
            return getattr(base, "__" + base.__name__ + "__", base)(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return _decimal(value, path)
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        import dataclasses  # it costs 10 ms, and who has one has imported it

        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return _from_array(value, path)


def _decimal(value: Decimal, path: tuple[str, ...]) -> int | float:
    if not value.is_finite():
        return float("nan") if value.is_nan() else float(value)
    if value != value.to_integral_value():
        return float(value)
    return int(value) if not value or value.adjusted() < MAX_INT_DIGITS else _integer(_MAX_INT, path)


def _from_array(value: Any, path: tuple[str, ...]) -> Any:
    """NumPy, torch, JAX and TensorFlow scalars and arrays, by what they can do; nothing of theirs is imported."""
    taken = value
    for _ in range(_STEPS):
        try:
            size = math.prod(getattr(taken, "shape", ()))
            if size <= MAX_ARRAY:
                taken = _taken_out(taken)
        except Exception as e:  # whatever is raised by what only looks like an array
            raise _unstorable(value, path) from e
        if isinstance(taken, list) and len(taken) > MAX_ARRAY:
            size = len(taken)
        if size > MAX_ARRAY:
            msg = (
                f"{where(path)}: an array of {size} elements is too large for a row (at most {MAX_ARRAY}). "
                "Save it with files(...), or log a summary of it."
            )
            raise InvalidType(msg)
        if isinstance(taken, _NEARER):
            return taken
    raise _unstorable(value, path)


def _taken_out(value: Any) -> Any:
    """What a scalar or an array holds. Raises whatever an object without scalar or array in it does."""
    if isinstance(value, (type, memoryview, bytes)):
        raise TypeError
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M":  # .item() of nanoseconds is a bare integer
        return value.astype(str).tolist()
    if kind == "m":
        return (value / value.dtype.type(1, "s")).tolist()
    if len(getattr(value, "shape", ())):
        return (value if hasattr(value, "tolist") else value.numpy()).tolist()
    if kind == "f":
        return float(value)
    for name in ("item", "tolist", "numpy"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise TypeError


def _unstorable(value: Any, path: tuple[str, ...]) -> InvalidType:
    return InvalidType(
        f"{where(path)}: a value of type {type(value).__module__}.{type(value).__qualname__} cannot be stored. "
        "Numbers, strings, booleans, None, lists and mappings of these can; convert it, or save it with files(...)."
    )


# ---------------------------------------------------------------- arguments


def whole(what: str, value: Any) -> int:
    """`value` as an int, if it is a whole number, also NumPy's. `what` is the argument's name. Raises `InvalidType`."""
    try:
        return operator.index(value)
    except TypeError:
        msg = f"{what}: expected a whole number; got {value!r} of type {type(value).__name__}."
        raise InvalidType(msg) from None


def text(what: str, value: Any) -> str | None:
    """`value`, if it is a string or None. Raises `InvalidType`."""
    if value is None or isinstance(value, str):
        return value
    msg = f"{what}: expected a string; got {value!r} of type {type(value).__name__}."
    raise InvalidType(msg)


def texts(what: str, values: Any) -> list[str] | None:
    """`values` as a list, if they are strings, or None. One string is not a list of its characters. Raises `InvalidType`."""
    if values is None:
        return None
    found = values if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if isinstance(found, list) and all(isinstance(value, str) for value in found):
        return found
    msg = f'{what}: expected a list of strings, such as ["baseline"]; got {found!r}.'
    raise InvalidType(msg)
