"""How heads and marks are documents in the hot tier, and the words that its documents share; docs/formats/tiers.md has them all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from ml_dash.model import SeriesKey
from ml_dash.store.marks import Mark
from ml_dash.store.tier_keys import LAST, place

Document = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""Before any time that is kept."""
MARKED_EVERY = 64
"""Buckets of which one, at the least, carries the series' marks: what has to be read to know the series' end."""
LIVE, DELETED = "live", "deleted"
STALE: Document = {"stale": {"$ifNull": ["$kept", False]}}
"""Part of a change of a run: its record in the bucket, if there is one, is older now."""
_marks = msgspec.json.Decoder(list[Mark])


class Head(msgspec.Struct, frozen=True):
    """What is known of a series apart from its buckets. `ms` is the wall time in force at `sealed` (0: none yet)."""

    sid: bytes
    series: SeriesKey
    sealed: int
    marks: dict[str, Mark]
    ms: int
    first_ms: int | None
    live: bool
    created: str
    chunks: int = 0


def head_of(document: Mapping[str, Any]) -> Head:
    """The head that a document is."""
    return Head(
        sid=bytes(document["_id"]),
        series=key_of(document),
        sealed=document["sealed"],
        marks=decode_marks(document["marks"]),
        ms=document["ms"],
        first_ms=document.get("first_ms"),
        live=document["state"] == LIVE,
        created=document["created"],
        chunks=document.get("chunks", 0),
    )


def fresh_head(sid: bytes) -> Document:
    """A head as it begins. `begin` and `end` are the places between which a join finds the series' buckets."""
    ends = {"begin": place(sid, 0), "end": place(sid, LAST)}
    return {"sealed": 0, "marks": b"[]", "ms": 0, "state": LIVE, "chunks": 0, **ends}


def encode_marks(marks: Mapping[str, Mark]) -> bytes:
    """Marks as the heads and the manifest keep them."""
    return msgspec.json.encode(list(marks.values()))


def decode_marks(data: bytes) -> dict[str, Mark]:
    """The inverse of `encode_marks`."""
    return {mark.writer: mark for mark in _marks.decode(data)}


def named(key: SeriesKey) -> Document:
    """What names the series in a document."""
    return {"run": key.run, "kind": key.kind, "name": key.name}


def key_of(document: Mapping[str, Any]) -> SeriesKey:
    """The series that a document names."""
    return SeriesKey(document["run"], document["kind"], document["name"])
