"""What MongoDB and S3 hold of a test's series, read by PyMongo and PyArrow from docs/formats/tiers.md; and whether that is what
clients were told. Nothing of ml_dash's reading or writing is used: this is the witness."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import zstandard
from obstore.store import S3Store
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from ml_dash.model import SeriesKey
from ml_dash.store.tier_keys import series_id
from tests.services.s3 import Place
from tests.tiered.clients import Log, row


class Point(NamedTuple):
    """A row of tests/tiered/clients.py."""

    client: int
    at: int
    value: float


@dataclass
class Stored:
    """A series as the two tiers have it."""

    cold: list[Point]
    hot: list[Point]
    chunks: list[str]
    """Keys."""
    dead: int
    """Buckets below `sealed`."""
    marks: dict[str, int]
    """The head's: writer → seq."""

    @property
    def points(self) -> list[Point]:
        return self.cold + self.hot


def stored(uri: str, place: Place, series: Sequence[SeriesKey]) -> dict[SeriesKey, Stored]:
    """Every series, each looked at until nothing moved meanwhile."""
    with MongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database(read_concern=ReadConcern("majority"))
        objects = place.store()
        return {one: _series(database, objects, series_id(one)) for one in series}


class Glance(NamedTuple):
    """How many rows are in chunks, how many in live buckets; how many buckets are dead."""

    cold: int
    hot: int
    dead: int


def glance(uri: str, series: SeriesKey) -> Glance:
    """What MongoDB says of the series."""
    sid = series_id(series)
    with MongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database(read_concern=ReadConcern("majority"))
        buckets = list(database.buckets.find({"_id": _range(sid, 0, (1 << 63) - 1)}, {"n": 1}))
        head = database.heads.find_one({"_id": sid}) or {"sealed": 0}
    live = [bucket["n"] for bucket in buckets if _first(bucket) >= head["sealed"]]
    return Glance(head["sealed"], sum(live), len(buckets) - len(live))


class Look(NamedTuple):
    """A series' documents at one moment, by index."""

    head: dict[str, Any]
    entries: list[dict[str, Any]]
    buckets: list[dict[str, Any]]


def look(database: Any, sid: bytes) -> Look | None:
    """Rows that are archived between two reads are in neither: only what was read while the head stood still counts. None where
    there is no head."""
    while (head := database.heads.find_one({"_id": sid})) is not None:
        entries = list(database.manifest.find({"_id": _range(sid, 0, head["sealed"])}).sort("_id", 1))
        buckets = list(database.buckets.find({"_id": _range(sid, 0, (1 << 63) - 1)}).sort("_id", 1))
        if database.heads.find_one({"_id": sid}) == head:
            return Look(head, entries, buckets)
    return None


def _series(database: Any, objects: S3Store, sid: bytes) -> Stored:
    found = look(database, sid)
    if found is None:
        return Stored([], [], [], 0, {})
    head, entries, buckets = found
    live = [bucket for bucket in buckets if _first(bucket) >= head["sealed"]]
    cold = _cold(entries, head["sealed"], objects)
    hot = _hot(live, head["sealed"])
    marks = {mark["writer"]: mark["seq"] for mark in json.loads(head["marks"])}
    return Stored(cold, hot, [entry["key"] for entry in entries], len(buckets) - len(live), marks)


def _range(sid: bytes, first: int, stop: int) -> dict[str, bytes]:
    return {"$gte": sid + first.to_bytes(8, "big"), "$lt": sid + stop.to_bytes(8, "big")}


def _first(document: dict[str, Any]) -> int:
    return int.from_bytes(document["_id"][16:], "big")


def _cold(entries: list[dict[str, Any]], sealed: int, objects: S3Store) -> list[Point]:
    points: list[Point] = []
    for entry in entries:
        assert _first(entry) == len(points), f"a chunk from {_first(entry)} on behind {len(points)} rows"
        data = bytes(objects.get(entry["key"]).bytes())
        assert len(data) == entry["size"]
        assert hashlib.sha256(data).hexdigest() == entry["hash"]
        table = pq.read_table(io.BytesIO(data), columns=["c", "i", "v"])
        points += [Point(*found) for found in zip(*(table[name].to_pylist() for name in "civ"), strict=True)]
        assert len(points) == entry["stop"], f"a chunk to {entry['stop']} ends at {len(points)}"
    assert len(points) == sealed, f"sealed is {sealed}, in chunks are {len(points)}"
    return points


def _hot(buckets: list[dict[str, Any]], sealed: int) -> list[Point]:
    points: list[Point] = []
    for bucket in buckets:
        assert _first(bucket) == sealed + len(points), (
            f"a bucket from {_first(bucket)} on behind {sealed + len(points)} rows"
        )
        lines = zstandard.ZstdDecompressor().decompress(bucket["z"]).splitlines()
        assert len(lines) == bucket["n"] == sum(part[2] for part in bucket["p"])
        numbers = [seq + at for _, seq, count, _ in bucket["p"] for at in range(count)]
        for number, line in zip(numbers, map(json.loads, lines), strict=True):
            assert line["index"] == number
            points.append(Point(*(line["data"][name] for name in "civ")))
    return points


def check(uri: str, place: Place, logs: Sequence[Log], series: Sequence[SeriesKey]) -> dict[SeriesKey, Stored]:
    """Raise unless every series holds every row of every client that was acknowledged, once, in the client's order, at the index that
    it was told, and no other row than one that was sent; and the marks are those of the rows in chunks."""
    found = stored(uri, place, series)
    for one, what in found.items():
        for log in logs:
            mine = [point for point in what.points if point.client == log.client]
            acknowledged = max((a.seq + a.count for a in log.acknowledged if a.series == one), default=0)
            assert [point.at for point in mine] == list(range(len(mine))), (
                f"{one}: rows of {log.writer} are not once and in order"
            )
            assert acknowledged <= len(mine) <= log.sent.get(one, 0), (
                f"{one}: {len(mine)} rows, {acknowledged} acknowledged"
            )
            assert what.marks.get(log.writer, 0) == sum(point.client == log.client for point in what.cold)
        known = {log.client for log in logs}
        for point in what.points:
            assert point.client in known
            assert point.value == json.loads(row(point.client, point.at))["v"]
    _check_answers(found, logs)
    return found


def _check_answers(found: dict[SeriesKey, Stored], logs: Sequence[Log]) -> None:
    """`first` and `count` of every answer are where the rows are."""
    for log in logs:
        for told in log.acknowledged:
            points, answer = found[told.series].points, told.answer
            assert answer.total <= len(points)
            if answer.first is None:
                assert answer.count == 0
                continue
            rows = points[answer.first : answer.first + answer.count]
            stop = told.seq + told.count
            assert [(p.client, p.at) for p in rows] == [(log.client, at) for at in range(stop - answer.count, stop)]
