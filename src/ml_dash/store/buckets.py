"""Buckets, read: which of a series' buckets are its chain, and what one of them holds. docs/formats/tiers.md has their bytes.

Shared by whoever appends, reads and archives, so that "the chain" is one thing. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

import zstandard

from ml_dash import codec
from ml_dash.store import marks as mark_rules
from ml_dash.store.marks import Mark
from ml_dash.store.tier_keys import first_of

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession

    from ml_dash.store.hot import Hot

_TICK = Struct("<qq")
_HASH = 8


def live_chain(buckets: Sequence[Mapping[str, Any]], sealed: int) -> list[Mapping[str, Any]]:
    """Those of a series' buckets, in order of place, that are in its chain: each begins where the one before it ends, the
    first at `sealed`. A bucket that begins below is dead, as a whole."""
    chain = []
    end = sealed
    for bucket in buckets:
        first = first_of(bucket["_id"])
        if first == end:
            chain.append(bucket)
            end = first + bucket["n"]
    return chain


def add_marks(marks: dict[str, Mark], parts: Sequence[Sequence[Any]]) -> None:
    """Move `marks` over the parts of one bucket."""
    for writer, seq, count, tail in parts:
        before = marks.get(writer)
        hashes = [tail[at : at + _HASH].hex() for at in range(0, len(tail), _HASH)]
        hashes = ([] if before is None else before.tail) + hashes
        marks[writer] = Mark(writer, seq + count, hashes[-mark_rules.TAIL :])


def ticks_of(bucket: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(offset in the bucket, unix ms), the first at offset 0."""
    return [(offset, ms) for offset, ms in _TICK.iter_unpack(bucket["t"])]


def pack_ticks(ticks: Sequence[tuple[int, int]]) -> bytes:
    """The inverse of `ticks_of`."""
    return b"".join(_TICK.pack(*tick) for tick in ticks)


def rows_of(hot: Hot, kind: str, bucket: Mapping[str, Any], session: ClientSession) -> list[tuple[int, codec.Lines]]:
    """(index of its first row, rows) of each part of a bucket."""
    packed = bucket["z"]
    if bucket.get("o"):
        packed += hot.more(bucket["o"], session)
    lines = zstandard.ZstdDecompressor().decompress(packed)
    index, at, found = first_of(bucket["_id"]), 0, []
    for _, seq, count, _ in bucket["p"]:
        end = at
        if len(bucket["p"]) == 1:
            end = len(lines)
        else:
            for _ in range(count):
                end = lines.index(b"\n", end) + 1
        found.append((index, codec.Lines(kind, seq, count, lines[at:end])))
        index, at = index + count, end
    return found
