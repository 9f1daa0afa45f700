"""What an answer's bytes are: compressed where the client says that it takes it and it is worth the time. Pure but for zstd's own
buffers, which no two threads share.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import zstandard

from ml_dash.store import wire

SMALL = 1024
"""Bytes below which compressing gains no packet."""
_LEVEL = 1


def coding_for(accepted: str, offered: Sequence[str] = ("zstd", "gzip")) -> str:
    """The coding to answer in, for an Accept-Encoding header: the first of those `offered` that it takes, or "" for none."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip()] = _weight(parameter)
    usable = [name for name in offered if weights.get(name, weights.get("*", 0.0)) > 0]
    return usable[0] if usable else ""


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def compressed(body: bytes, coding: str) -> bytes:
    """`body` in its coding."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=_LEVEL).compress(body)
    packer = zlib.compressobj(_LEVEL, wbits=31)
    return packer.compress(body) + packer.flush()


def listed(name: str, records: Sequence[object]) -> bytes:
    """``{name: [records]}``, each record as `wire.dump` has it."""
    return b'{"%b": [%b]}' % (name.encode(), b", ".join(map(wire.dump, records)))
