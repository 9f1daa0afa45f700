"""What the two tiers hold, read without this project's code: MongoDB by PyMongo, objects by obstore, chunks by PyArrow.

docs/formats/tiers.md and chunk.md say where things are. Nothing is believed: a series must go on from its first row to its last
without a hole, from tier to tier, and each object must have the hash that the manifest tells.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zstandard
from obstore.store import S3Store
from pymongo import MongoClient

FIELDS = ("value", "step", "epoch")
_WAIT = 120.0
"""Seconds for the archiver to have no work left."""
Column = np.ndarray[Any, Any]


class Wrong(Exception):
    """The text says what is not as it must be."""


class Stored:
    """One database and the objects that belong to it. A context manager."""

    def __init__(self, uri: str, objects: S3Store) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self.db = self._client.get_default_database()
        self._objects = objects

    def __enter__(self) -> Stored:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def run(self, name: str, project: str = "bench") -> str:
        """The id of a run."""
        found = self.db.runs.find_one({"project": project, "name": name, "state": "live"})
        if found is None:
            raise Wrong(f"there is no run {name}")
        return str(found["_id"])

    def settled(self) -> bool:
        """Wait until no series wants archiving; whether it came to that."""
        until = time.monotonic() + _WAIT
        while self.db.due.count_documents({}):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def sealed(self, run: str, name: str) -> int:
        """How many points of a metric are in chunks."""
        head = self.db.heads.find_one({"_id": series_id(run, name)}, {"sealed": 1})
        return int(head["sealed"]) if head else 0

    def series(self, run: str, name: str) -> tuple[Column, ...]:
        """The columns of a metric, from both tiers: value, step, epoch. Raises `Wrong`."""
        sid = series_id(run, name)
        sealed = self.sealed(run, name)
        parts = [*self._chunks(sid, sealed), *self._buckets(sid, sealed)]
        return tuple(np.concatenate([part[at] for part in parts]) for at in range(len(FIELDS))) if parts else ()

    def objects(self, run: str) -> tuple[int, int]:
        """How many chunks the run has in the bucket, and their bytes."""
        sizes = [one["size"] for page in self._objects.list(f"chunks/{run}/") for one in page]
        return len(sizes), sum(sizes)

    def drop(self) -> None:
        """The database goes. Objects stay: nobody looks at them again."""
        self._client.drop_database(self.db.name)

    def quiet(self) -> None:
        """Wait until no run counts as being written to."""
        while self.db.runs.count_documents({"$expr": {"$gt": ["$busy_until", "$$NOW"]}}):
            time.sleep(0.2)

    def sizes(self, collection: str) -> dict[str, Any]:
        """What MongoDB says of a collection, once its disk has all of it: `count`, `size`, `storageSize`, `totalIndexSize`."""
        self._client.admin.command("fsync")
        return self.db.command("collStats", collection)

    def floor_points(self) -> int:
        """What the floor has stored."""
        return self._sum(self.db.floor)

    def bucket_points(self) -> int:
        """Points in all buckets."""
        return self._sum(self.db.buckets)

    def manifest_points(self, run: str) -> int:
        """Points of a run's only metric, by the manifest, whose entries must follow one another."""
        at = 0
        for entry in self.db.manifest.find({"run": run}, {"stop": 1}).sort("_id", 1):
            if int.from_bytes(entry["_id"][16:], "big") != at:
                return -1
            at = entry["stop"]
        return at

    def _sum(self, collection: Any) -> int:
        found = list(collection.aggregate([{"$group": {"_id": None, "n": {"$sum": "$n"}}}]))
        return int(found[0]["n"]) if found else 0

    # ------------------------------------------------------------ tiers

    def _chunks(self, sid: bytes, sealed: int) -> Iterator[tuple[Column, ...]]:
        between = {"$gte": sid + bytes(8), "$lt": sid + sealed.to_bytes(8, "big")}
        entries = list(self.db.manifest.find({"_id": between}, {"key": 1, "hash": 1, "stop": 1}).sort("_id", 1))
        at = 0
        with ThreadPoolExecutor(4) as threads:
            for entry, data in zip(entries, threads.map(self._object, entries), strict=True):
                if int.from_bytes(entry["_id"][16:], "big") != at:
                    raise Wrong(f"the manifest has no chunk from index {at} on")
                table = pq.read_table(io.BytesIO(data), columns=["_index", *FIELDS])
                if not np.array_equal(table.column("_index").to_numpy(), np.arange(at, entry["stop"])):
                    raise Wrong(f"the object {entry['key']} does not hold rows {at} to {entry['stop']}")
                yield tuple(table.column(field).to_numpy() for field in FIELDS)
                at = entry["stop"]
        if at != sealed:
            raise Wrong(f"{sealed} points are sealed, chunks reach {at}")

    def _object(self, entry: dict[str, Any]) -> bytes:
        data = bytes(self._objects.get(entry["key"]).bytes())
        if sha256(data).hexdigest() != entry["hash"]:
            raise Wrong(f"the object {entry['key']} has not the hash that the manifest tells")
        return data

    def _buckets(self, sid: bytes, sealed: int) -> Iterator[tuple[Column, ...]]:
        between = {"$gte": sid + sealed.to_bytes(8, "big"), "$lt": sid + b"\xff" * 8}
        at = sealed
        for bucket in self.db.buckets.find({"_id": between}).sort("_id", 1):
            if int.from_bytes(bucket["_id"][16:], "big") != at:
                raise Wrong(f"no bucket begins at index {at}")
            lines = zstandard.ZstdDecompressor().decompress(bucket["z"]).splitlines()
            rows = [json.loads(line)["data"] for line in lines]
            if len(rows) != bucket["n"]:
                raise Wrong(f"the bucket at {at} has {len(rows)} lines, and says {bucket['n']}")
            at += len(rows)
            yield tuple(np.array([row[field] for row in rows]) for field in FIELDS)


def from_environment() -> Stored:
    """The tiers that a server finds with the same variables."""
    bucket, _, prefix = os.environ["ML_DASH_S3"].removeprefix("s3://").partition("/")
    return Stored(
        os.environ["ML_DASH_MONGO"],
        S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=os.environ["ML_DASH_S3_ENDPOINT"],
            client_options={"allow_http": True},
        ),
    )


def series_id(run: str, name: str, kind: str = "metrics") -> bytes:
    """The 16 bytes that stand for a series."""
    digest = blake2b(digest_size=16)
    for text in (run, kind, name):
        digest.update(len(text.encode()).to_bytes(4, "big") + text.encode())
    return digest.digest()
