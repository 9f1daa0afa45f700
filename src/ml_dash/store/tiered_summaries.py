"""What runs tell of their series, kept: a list of a thousand runs must not look at twenty thousand series.

A summary is derived, and believed only where it cannot be old: it carries the run's `epoch`, which rises when somebody begins to
write, says something of a series, or seals a chunk; and while a run is being written to (`busy_until`, see
`Hot.note_writing`) its series are looked at themselves. No rows are read here but by `describe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pymongo

from ml_dash import codec
from ml_dash.model import SeriesInfo
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import EPOCH, LIVE, Document

MOST = 1 << 20
"""Bytes of a summary that is kept; a larger one is made anew each time."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A `SeriesInfo` but for its last row, which is kept as it was encoded: JSON in JSON would lose NaN."""

    info: SeriesInfo
    last: str | None


_rows = msgspec.json.Decoder(list[_Row])


class Summaries:
    """Summaries in one database. `describe(run)` gives a run's series as they are now."""

    def __init__(self, hot: Hot, describe: Callable[[str], list[SeriesInfo]]) -> None:
        self._hot = hot
        self._describe = describe

    def of(self, runs: Sequence[str]) -> dict[str, list[SeriesInfo]]:
        """The series of each of the runs that is there."""
        told = {"epoch": 1, "busy": {"$gt": [{"$ifNull": ["$busy_until", EPOCH]}, "$$NOW"]}}
        with self._hot.asking():
            wanted = {"_id": {"$in": list(runs)}}
            # The epoch is read before what it is compared with.
            epochs = {one["_id"]: one for one in self._hot.runs.find({**wanted, "state": LIVE}, told)}
            kept = {one["_id"]: one for one in self._hot.summaries.find(wanted)}
        found: dict[str, list[SeriesInfo]] = {}
        made: dict[str, Document] = {}
        for run, state in epochs.items():
            summary = kept.get(run)
            if summary is not None and summary["epoch"] == state["epoch"] and not state["busy"]:
                found[run] = _decoded(summary["series"])
                continue
            found[run] = self._describe(run)
            if not state["busy"]:
                made[run] = {"epoch": state["epoch"], "series": _encoded(found[run])}
        self._keep(made)
        return found

    def _keep(self, made: dict[str, Document]) -> None:
        """An older summary never stands in a newer one's place: each belongs to its epoch, and the run's is what counts."""
        changes = [
            pymongo.ReplaceOne({"_id": run}, document, upsert=True)
            for run, document in made.items()
            if len(document["series"]) <= MOST
        ]
        if changes:
            with self._hot.asking():
                self._hot.summaries.bulk_write(changes, ordered=False)


def _encoded(series: Sequence[SeriesInfo]) -> bytes:
    return msgspec.json.encode([_row(info) for info in series])


def _row(info: SeriesInfo) -> _Row:
    last = None if info.last is None else codec.encode_row(info.last).decode()
    metadata = None if info.metadata is None else {"": codec.encode_row(info.metadata).decode()}
    return _Row(msgspec.structs.replace(info, last=None, metadata=metadata), last)


def _decoded(data: bytes) -> list[SeriesInfo]:
    found = []
    for row in _rows.decode(data):
        info = row.info
        info.last = None if row.last is None else codec.decode_row(row.last.encode())
        if info.metadata is not None:
            info.metadata = codec.decode_row(info.metadata[""].encode())
        found.append(info)
    return found
