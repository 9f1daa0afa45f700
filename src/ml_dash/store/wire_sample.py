"""`Sample` ↔ JSON, a list a column, as docs/formats/protocol.md has it: what a server answers and a client reads. Needs NumPy,
so whoever must import fast imports this where it samples.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

import msgspec
import numpy as np

from ml_dash.errors import InvalidInput
from ml_dash.rollup import Sample
from ml_dash.values import NAN, NEG_INF, POS_INF

_Float = float | Literal["NaN", "Infinity", "-Infinity"]
_TYPES: dict[str, tuple[Any, Any]] = {
    column.name: (np.float64, list[_Float]) if "Float" in str(column.type) else (np.int64, list[int])
    for column in fields(Sample)
}
"""Each column's type as an array and in JSON."""
_Columns = msgspec.defstruct("Columns", [(name, listed) for name, (_, listed) in _TYPES.items()])
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Columns).decode


def encode_sample(sample: Sample) -> bytes:
    """The answer to a sample. Every number comes back as the same one."""
    return _encode({name: _plain(getattr(sample, name)) for name in _TYPES})


def _plain(column: np.ndarray[Any, Any]) -> list[Any]:
    values: list[Any] = column.tolist()
    for at in np.flatnonzero(~np.isfinite(column)).tolist():
        values[at] = NAN if np.isnan(column[at]) else POS_INF if column[at] > 0 else NEG_INF
    return values


def decode_sample(body: bytes) -> Sample:
    """The inverse of `encode_sample`. Raises `InvalidInput` where the body is no sample."""
    try:
        columns = _decode(body)
        sample = Sample(**{name: np.array(getattr(columns, name), kind) for name, (kind, _) in _TYPES.items()})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as e:
        raise InvalidInput(f"the body is no sample: {e}") from e
    if len({len(getattr(sample, name)) for name in _TYPES}) != 1:
        raise InvalidInput("the body is no sample: its columns differ in length.")
    return sample
