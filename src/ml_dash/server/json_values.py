"""Values of users as JSON: numbers that are not finite as the strings that stand for them, as docs/formats/series.md has them; what no
JSON has, as near as it comes. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import msgspec

from ml_dash.values import NAN, NEG_INF, POS_INF

_encode = msgspec.json.Encoder().encode
_JSON = frozenset({int, str, bool, type(None)})
_NUMBERS = frozenset({int, float, bool, type(None)})


def encoded(values: list[Any]) -> msgspec.Raw:
    """The values as a JSON list: a number that is not finite as the string that stands for it."""
    kinds = set(map(type, values))
    inner = set(map(type, chain.from_iterable(values))) if kinds == {list} else kinds
    if inner <= _JSON or (kinds <= _NUMBERS and _are_finite(values)):
        try:
            return msgspec.Raw(_encode(values))
        except (ValueError, OverflowError):  # a lone surrogate, an integer beyond 64 bits
            pass
    return msgspec.Raw(_encode(_plain(values)))


def _plain(value: Any) -> Any:
    """As JSON can have it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else NAN if math.isnan(value) else POS_INF if value > 0 else NEG_INF
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(1 << 63) <= value < 1 << 64 else _as_float(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _are_finite(numbers: list[Any]) -> bool:
    """One sum tells: a NaN or an infinity shows in it. Where it overflows, the long way is gone for nothing."""
    try:
        return math.isfinite(sum(number for number in numbers if number is not None))
    except OverflowError:  # an integer that no float holds
        return False


def _as_float(value: int) -> Any:
    try:
        return float(value)
    except OverflowError:
        return POS_INF if value > 0 else NEG_INF
