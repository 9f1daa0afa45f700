"""A chunk's manifest entry from the chunk alone, and whether the chunk is what it says: all that `recover` and `verify` know of
Parquet. No database comes in here.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData
from ml_dash.model import SeriesKey
from ml_dash.store import chunk
from ml_dash.store.archiver import LAST_ROW
from ml_dash.store.hot_documents import Document, decode_marks
from ml_dash.store.tier_keys import chunk_key, place, series_id


class Found(NamedTuple):
    """What a chunk's object tells. `about` is its footer's own words."""

    entry: Document
    series: SeriesKey
    about: dict[str, str]

    @property
    def created(self) -> str:
        """When the series was begun."""
        return self.about["created"]


def entry_of(data: bytes, origin: str) -> Found:
    """The manifest's entry for the object of these bytes, whose rows, times and rollups are all read. Raises `CorruptData` naming
    `origin`, the object's key, and `NewerFormat`."""
    found = chunk.Chunk(lambda ranges: [data[at : at + length] for at, length in ranges], len(data), origin)
    about, first, stop = found.about, found.first, found.stop
    digest = sha256(data).hexdigest()
    try:
        series = SeriesKey(about["run"], about["kind"], about["name"])
        sid = series_id(series)
        _check_about(found, sid)
        times = int(about["first_ms"]), int(about["last_ms"]), int(about["at"])
    except (KeyError, ValueError) as e:
        raise CorruptData(origin, 0, f"its footer does not say what a chunk's does ({e})") from e
    if chunk_key(series.run, sid, first, stop, digest) != origin:
        raise CorruptData(
            origin, 0, f"it holds rows {first} to {stop} of {series}, sha256 {digest}: not what its key says"
        )
    lines = found.lines(first, stop)
    if lines.count(b"\n") != stop - first:
        raise CorruptData(origin, 0, f"it holds {lines.count(10)} rows, not the {stop - first} from {first} to {stop}")
    ticks = found.ticks(first, stop)
    if ticks and (ticks[0][1], ticks[-1][1]) != times[:2]:
        raise CorruptData(origin, 0, "the times of its rows are not those that its footer tells")
    last = codec.row_of(series.kind, lines[lines.rfind(b"\n", 0, -1) + 1 : -1])
    at, length = found.rollup
    coarse, more = chunk.coarse(data[at : at + length], first, stop, origin)
    entry: Document = {
        "_id": place(sid, first),
        "run": series.run,
        "stop": stop,
        "key": origin,
        "size": len(data),
        "hash": digest,
        "rollup": [at, length],
        "last": last if len(last) <= LAST_ROW else None,
        "first_ms": times[0],
        "last_ms": times[1],
        "at": times[2],
        "marks": about["marks"].encode(),
        "r3": coarse[1_000],
        "r4": coarse[10_000],
        "more": more,
    }
    return Found(entry, series, about)


def _check_about(found: chunk.Chunk, sid: bytes) -> None:
    """Raise `ValueError` where the footer's words contradict the rows' own, or each other."""
    about = found.about
    if (about["series"], int(about["first"]), int(about["sealed"])) != (sid.hex(), found.first, found.stop):
        raise ValueError(f"it tells of rows {about['first']} to {about['sealed']} of {about['series']}")
    if about["kind"] != found.kind:
        raise ValueError(f"its rows are {found.kind}, not {about['kind']}")
    for name in ("namespace", "project", "run_name", "created"):
        about[name]
    try:
        reached = sum(mark.seq for mark in decode_marks(about["marks"].encode()).values())
    except msgspec.DecodeError as e:
        raise ValueError(f"its marks cannot be read: {e}") from e
    if reached != found.stop:
        raise ValueError(f"its marks count {reached} rows up to {found.stop}")
