"""Which series are due for archiving: marks in MongoDB, and the leases on them of those who archive.

The database's clock decides. A lease is politeness: losing it costs work and nothing else. When a series is due is `commit`'s to
say, what is done about it `archiver`'s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pymongo

from ml_dash.model import SeriesKey
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import EPOCH, Document, named


class Due:
    """The marks of one database. Any thread may use it."""

    def __init__(self, hot: Hot) -> None:
        self._hot = hot

    def mark(self, keys: Mapping[bytes, SeriesKey]) -> None:
        """Note that these series want archiving, since now by the database's clock. A mark that was there is one newer now."""
        changes = []
        for sid, key in keys.items():
            new = {name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in named(key).items()}
            at = {"$ifNull": ["$at", {"$toLong": "$$NOW"}]}
            change = {"$set": {**new, "at": at, "rev": {"$add": [{"$ifNull": ["$rev", 0]}, 1]}}}
            changes.append(pymongo.UpdateOne({"_id": sid}, [change], upsert=True))
        with self._hot.asking():
            self._hot.due.bulk_write(changes, ordered=False)

    def take(self, owner: str, patience: float, lease: float) -> Document | None:
        """The oldest mark that is at least `patience` (s) old and nobody holds: `owner` holds it for `lease` (s) now. The
        database's clock counts."""
        free = {"$expr": {"$lte": [{"$ifNull": ["$until", EPOCH]}, "$$NOW"]}}
        old = {"$expr": {"$lte": ["$at", {"$subtract": [{"$toLong": "$$NOW"}, int(patience * 1000)]}]}}
        take = [{"$set": {"owner": owner, "until": {"$add": ["$$NOW", int(lease * 1000)]}}}]
        with self._hot.asking():
            return self._hot.due.find_one_and_update(
                {"$and": [free, old]}, take, sort=[("at", 1)], return_document=pymongo.ReturnDocument.AFTER
            )

    def renew(self, sid: bytes, owner: str, lease: float, keys: Sequence[str] = ()) -> bool:
        """Hold it for `lease` (s) more, if `owner` still holds it, and let it name these `keys` of objects, too."""
        change: Document = {"until": {"$add": ["$$NOW", int(lease * 1000)]}}
        if keys:
            change["keys"] = {"$setUnion": [{"$ifNull": ["$keys", []]}, list(keys)]}
        with self._hot.asking():
            return self._hot.due.update_one({"_id": sid, "owner": owner}, [{"$set": change}]).matched_count == 1

    def drop(self, sid: bytes, rev: int) -> bool:
        """Remove the mark, unless it was marked anew since it had `rev`."""
        with self._hot.asking():
            return self._hot.due.delete_one({"_id": sid, "rev": rev}).deleted_count == 1

    def release(self, sid: bytes, owner: str) -> None:
        """Let somebody else have it at once."""
        with self._hot.asking():
            self._hot.due.update_one({"_id": sid, "owner": owner}, {"$unset": {"until": 1, "owner": 1}})

    def pause(self, sid: bytes, owner: str, pause: float, most: int) -> None:
        """Let nobody have it for `pause` (s), twice as long each time in a row, `most` times at the most: others come first."""
        tries = {"$min": [{"$ifNull": ["$tries", 0]}, most]}
        wait = {"$multiply": [int(pause * 1000), {"$pow": [2, tries]}]}
        change = {"owner": "", "until": {"$add": ["$$NOW", wait]}, "tries": {"$add": [tries, 1]}}
        with self._hot.asking():
            self._hot.due.update_one({"_id": sid, "owner": owner}, [{"$set": change}])

    def give_way(self, sid: bytes, owner: str, patience: float, keys: Sequence[str]) -> None:
        """Let those have their turn first that wait as well; it names these `keys` no more."""
        at = {"$subtract": [{"$toLong": "$$NOW"}, int(patience * 1000)]}
        left = {"$setDifference": [{"$ifNull": ["$keys", []]}, list(keys)]}
        change: list[Document] = [{"$set": {"at": at, "keys": left, "tries": 0}}, {"$unset": ["until", "owner"]}]
        with self._hot.asking():
            self._hot.due.update_one({"_id": sid, "owner": owner}, change)

    def backlog(self) -> tuple[int, float]:
        """How many series want archiving, and for how long (s) the oldest has, by this machine's clock."""
        with self._hot.asking():
            count = self._hot.due.estimated_document_count()
            oldest = self._hot.due.find_one({}, {"at": 1}, sort=[("at", 1)]) if count else None
        return count, max(0.0, time.time() - oldest["at"] / 1000) if oldest else 0.0
