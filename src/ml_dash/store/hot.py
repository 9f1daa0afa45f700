"""The hot tier: the documents of docs/formats/tiers.md in MongoDB, and each step on them that has to be atomic.

Every write is acknowledged by a journalled majority, every read is a majority read of the primary. Which rows go where, and
what follows from an outcome, is `commit`'s and `archiver`'s to decide; what is due is `due`'s; no Parquet, no S3 and no run records
come in here. How a head is a document is `hot_documents`'s, what a failure means `hot_errors`'s.
Imports PyMongo: import this module where a store is opened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import ReadPreference, WriteConcern, errors
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from ml_dash.errors import CorruptData, InvalidInput, Unavailable
from ml_dash.model import SeriesKey
from ml_dash.store.hot_documents import (
    DELETED,
    EPOCH,
    LIVE,
    MARKED_EVERY,
    STALE,
    Document,
    Head,
    encode_marks,
    fresh_head,
    head_of,
    named,
)
from ml_dash.store.hot_errors import RETRY_AFTER, in_words, public
from ml_dash.store.marks import Mark
from ml_dash.store.tier_keys import LAST, first_of, place

TIMEOUT = 15.0
"""Seconds that one operation may take, its retries over a failover included."""
_SHARED = 1.0
"""Seconds for which one caller's failure to connect is every caller's."""
MOST_RANGES = 200
"""Series whose buckets one query asks for."""
_DUPLICATE = 11_000
_WITHOUT_ROWS = dict.fromkeys(("n", "p", "t", "r", "f", "m"), 1)


class Hot:
    """One database. `uri` is MongoDB's; its path names the database, ``ml_dash`` if it has none. `timeout` (s) bounds each
    operation. Connects when it is first used, and makes its indexes then. Any thread may use it."""

    def __init__(self, uri: str, *, timeout: float = TIMEOUT) -> None:
        options: dict[str, Any] = {"retryWrites": True, "retryReads": True, "appname": "ml-dash"}
        if "timeoutms" not in uri.lower():
            options["timeoutMS"] = int(timeout * 1000)
        try:
            self.client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                uri, connect=False, serverSelectionTimeoutMS=int(timeout * 1000), **options
            )
            self.db = self.client.get_default_database(
                "ml_dash",
                write_concern=WriteConcern(w="majority", j=True),
                read_concern=ReadConcern("majority"),
                read_preference=ReadPreference.PRIMARY,
            )
        except (errors.ConfigurationError, errors.InvalidURI, errors.InvalidName) as e:
            raise InvalidInput(
                f"mongo: expected mongodb://host:port/database?replicaSet=name; {e}. Got {public(uri)!r}."
            ) from e
        self.buckets, self.heads, self.manifest = self.db["buckets"], self.db["heads"], self.db["manifest"]
        self.due, self.runs, self.overflow = self.db["due"], self.db["runs"], self.db["overflow"]
        self.said, self.summaries, self.files = self.db["said"], self.db["summaries"], self.db["files"]
        self._timeout = timeout
        self._prepared = False
        self._failed: tuple[float, Unavailable] | None = None
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around operations: what the driver raises becomes an error of ours. After `Unavailable` their outcome is unknown."""
        if not self._prepared:
            self._prepare()
        with in_words():
            yield

    @contextmanager
    def session(self) -> Iterator[ClientSession]:
        """As `asking`, in one causally consistent session."""
        with self.asking(), self.client.start_session(causal_consistency=True) as session:
            yield session

    def _prepare(self) -> None:
        """Who comes while another one finds out that MongoDB is away hears what that one heard: they do not queue up."""
        if not self._mutex.acquire(timeout=self._timeout + _SHARED):
            raise Unavailable("MongoDB does not answer: its indexes are not there yet.", RETRY_AFTER)
        try:
            if self._prepared:
                return
            if self._failed is not None and time.monotonic() - self._failed[0] < _SHARED:
                raise Unavailable(str(self._failed[1]), RETRY_AFTER)
            try:
                with in_words():
                    self._make_indexes()
            except Unavailable as e:
                self._failed = time.monotonic(), e
                raise
            self._prepared = True
        finally:
            self._mutex.release()

    def _make_indexes(self) -> None:
        self.runs.create_index(
            [("ns", 1), ("project", 1), ("name", 1)], unique=True, partialFilterExpression={"state": LIVE}, name="key"
        )
        self.runs.create_index([("freed", 1)], partialFilterExpression={"freed": False}, name="freed")
        self.runs.create_index([("stale", 1)], partialFilterExpression={"stale": True}, name="stale")
        for collection in (self.heads, self.said, self.files, self.due):
            collection.create_index([("run", 1)], name="run")
        self.due.create_index([("at", 1)], name="at")
        self.overflow.create_index([("sid", 1)], name="sid")

    # ------------------------------------------------------------ heads

    def heads_of(self, sids: Iterable[bytes], session: ClientSession) -> dict[bytes, Head]:
        """The heads that are there, deleted ones among them."""
        return {head.sid: head for head in map(head_of, self.heads.find({"_id": {"$in": list(sids)}}, session=session))}

    def heads_of_run(self, run: str, session: ClientSession | None = None) -> list[Head]:
        """Every series that the run has had a word or a row of."""
        with self.asking():
            return [head_of(document) for document in self.heads.find({"run": run}, session=session)]

    def states(self, sids: Sequence[bytes], session: ClientSession) -> dict[bytes, tuple[int, bool]]:
        """(sealed, whether it is live) of each head that is there: what has to be looked at after an insert."""
        wanted = {"_id": sids[0]} if len(sids) == 1 else {"_id": {"$in": list(sids)}}
        found = self.heads.find(wanted, {"sealed": 1, "state": 1}, session=session)
        return {bytes(one["_id"]): (one["sealed"], one["state"] == LIVE) for one in found}

    def make_heads(self, keys: Mapping[bytes, SeriesKey], created: str, session: ClientSession) -> set[bytes]:
        """Make heads for series that have none. Gives those that this call made."""
        documents = [{"_id": sid, **named(key), **fresh_head(sid), "created": created} for sid, key in keys.items()]
        taken = _insert(self.heads, documents, session)
        return set(keys) - taken

    def restore_head(self, head: Head) -> bool:
        """Make the head of a series of which only chunks are left, as it was. False: there is one."""
        document = {
            "_id": head.sid,
            **named(head.series),
            **fresh_head(head.sid),
            "created": head.created,
            "sealed": head.sealed,
            "marks": encode_marks(head.marks),
            "ms": head.ms,
            "first_ms": head.first_ms,
            "chunks": head.chunks,
        }
        with self.session() as session:
            return not _insert(self.heads, [document], session)

    def delete_heads(self, run: str) -> None:
        """No row can be added to any series of the run from now on."""
        with self.asking():
            self.heads.update_many({"run": run}, {"$set": {"state": DELETED}})

    def seal(self, head: Head, stop: int, marks: Mapping[str, Mark], ms: int, first_ms: int) -> bool:
        """Move `sealed` from where `head` has it to `stop`, the marks with it. False: somebody else was first, or it is deleted."""
        change = {"sealed": stop, "marks": encode_marks(marks), "ms": ms, "first_ms": first_ms}
        with self.asking():
            done = self.heads.update_one(
                {"_id": head.sid, "sealed": head.sealed, "state": LIVE}, {"$set": change, "$inc": {"chunks": 1}}
            )
        return done.modified_count == 1

    # ------------------------------------------------------------ buckets

    def insert(self, documents: Sequence[Document], session: ClientSession) -> set[bytes]:
        """Insert buckets; the places that were taken."""
        return _insert(self.buckets, documents, session)

    def remove(self, bucket: Document, session: ClientSession, *, inserted: bool) -> None:
        """Delete a bucket, which must be dead, or never have been `inserted`; with what was put aside of it."""
        if inserted:
            self.buckets.delete_one({"_id": bucket["_id"]}, session=session)
        if bucket.get("o"):
            self.overflow.delete_many({"_id": {"$in": bucket["o"]}}, session=session)

    def ends(self, sids: Sequence[bytes], session: ClientSession) -> dict[bytes, list[Document]]:
        """The last buckets of each series, in order, without their rows: those from the last one on that carries marks, or all."""
        found: dict[bytes, list[Document]] = {sid: [] for sid in sids}
        most = 2 * MARKED_EVERY
        for at in range(0, len(sids), MOST_RANGES):
            for document in self._newest(sids[at : at + MOST_RANGES], most, session):
                found[bytes(document["_id"])[:16]].append(document)
        for sid, buckets in found.items():
            buckets.reverse()
            marked = next((at for at in reversed(range(len(buckets))) if "m" in buckets[at]), None)
            if marked is not None:
                del buckets[:marked]
            elif len(buckets) == most:
                found[sid] = self.chain(sid, session, _WITHOUT_ROWS)
        return found

    def _newest(self, sids: Sequence[bytes], most: int, session: ClientSession) -> Iterator[Document]:
        """Up to `most` buckets of each series, the newest first."""
        if len(sids) == 1:
            newest = self.buckets.find({"_id": _range(sids[0], 0, LAST)}, _WITHOUT_ROWS, session=session)
            return iter(newest.sort("_id", -1).limit(most))
        stages = [*_join({"_id": {"$in": list(sids)}}, most, _WITHOUT_ROWS), {"$replaceRoot": {"newRoot": "$last"}}]
        return iter(self.heads.aggregate(stages, session=session))

    def chain(
        self, sid: bytes, session: ClientSession, fields: Sequence[str] | Mapping[str, int] = ("n", "p", "t", "r", "f")
    ) -> list[Document]:
        """The buckets of a series, in order, with `fields` of them."""
        chosen = dict.fromkeys(fields, 1)
        return list(self.buckets.find({"_id": _range(sid, 0, LAST)}, chosen, session=session).sort("_id", 1))

    def spans(self, sid: bytes, start: int, stop: int, session: ClientSession) -> Iterator[Document]:
        """Whole buckets from the last that begins at or before `start` on, as far as they begin before `stop`; in order."""
        before = self.buckets.find_one(
            {"_id": _range(sid, 0, start + 1)}, {"_id": 1}, sort=[("_id", -1)], session=session
        )
        first = first_of(before["_id"]) if before else start
        yield from self.buckets.find({"_id": _range(sid, first, stop)}, session=session).sort("_id", 1)

    def last(self, sid: bytes, session: ClientSession) -> Document | None:
        """The last bucket, without its rows."""
        fields = {"n": 1, "at": 1}
        return self.buckets.find_one({"_id": _range(sid, 0, LAST)}, fields, sort=[("_id", -1)], session=session)

    def lasts(self, run: str, session: ClientSession, fields: Mapping[str, int] | None = None) -> dict[bytes, Document]:
        """The last bucket, with `fields` of it (None: all, its rows among them), of each of the run's series that has any."""
        stages = [*_join({"run": run}, 1, fields), {"$project": {"last": 1}}]
        return {bytes(one["_id"]): one["last"] for one in self.heads.aggregate(stages, session=session)}

    def more(self, ids: Sequence[bytes], session: ClientSession) -> bytes:
        """The parts of a bucket that was too large for one document, joined. Raises `CorruptData` where they are not all there."""
        found = {bytes(one["_id"]): one["z"] for one in self.overflow.find({"_id": {"$in": ids}}, session=session)}
        if len(found) < len(ids):
            raise CorruptData("overflow", 0, "parts of a bucket are missing; restore them from a backup. The bucket")
        return b"".join(found[bytes(one)] for one in ids)

    def free(self, sid: bytes, sealed: int) -> int:
        """Delete the buckets below `sealed`, which are dead; how many there were."""
        dead = {"_id": _range(sid, 0, sealed)}
        with self.asking():
            overflow = [
                part for one in self.buckets.find({**dead, "o": {"$exists": True}}, {"o": 1}) for part in one["o"]
            ]
            if overflow:
                self.overflow.delete_many({"_id": {"$in": overflow}})
            return self.buckets.delete_many(dead).deleted_count

    # ------------------------------------------------------------ manifest

    def enter(self, entry: Document) -> Document:
        """Insert a manifest entry; the one that holds its place now, which is an earlier one where that was taken."""
        with self.session() as session:
            if not _insert(self.manifest, [entry], session):
                return entry
            found = self.manifest.find_one({"_id": entry["_id"]}, session=session)
            if found is None:
                raise Unavailable("a manifest entry went away; try again.", RETRY_AFTER)
            return found

    def entry(self, sid: bytes, first: int, fields: Sequence[str] | None = None) -> Document | None:
        """The manifest entry that begins at `first`, with `fields` of it (all: None)."""
        with self.asking():
            return self.manifest.find_one({"_id": place(sid, first)}, fields)

    def entries_at(self, places: Sequence[bytes], fields: Sequence[str]) -> dict[bytes, Document]:
        """`fields` of the manifest entries at these places."""
        if not places:
            return {}
        with self.asking():
            return {one["_id"]: one for one in self.manifest.find({"_id": {"$in": list(places)}}, fields)}

    def remove_entry(self, at: bytes, key: str) -> None:
        """Delete the entry at `at` that tells of the object `key`."""
        with self.asking():
            self.manifest.delete_one({"_id": at, "key": key})

    def entries(
        self,
        sid: bytes,
        start: int,
        stop: int,
        fields: Sequence[str] | None = None,
        *,
        session: ClientSession | None = None,
    ) -> list[Document]:
        """The entries of the chunks that overlap [start, stop), in order, with `fields` of them (all: None)."""
        chosen = dict.fromkeys(fields, 1) if fields is not None else None
        query = {"_id": _range(sid, 0, stop)}
        with self.asking():
            if start > 0:
                first = self.manifest.find_one(
                    {"_id": _range(sid, 0, start + 1)}, {"_id": 1}, sort=[("_id", -1)], session=session
                )
                if first is not None:
                    query = {"_id": {"$gte": first["_id"], "$lt": place(sid, stop)}}
            found = self.manifest.find(query, chosen, session=session).sort("_id", 1)
            return [one for one in found if one["stop"] > start] if fields is None or "stop" in fields else list(found)

    # ------------------------------------------------------------ runs, as far as rows need them

    def live_runs(self, runs: Sequence[str], session: ClientSession) -> set[str]:
        """Those of the runs that are there."""
        found = self.runs.find({"_id": {"$in": list(runs)}, "state": LIVE}, {"_id": 1}, session=session)
        return {one["_id"] for one in found}

    def note_sealed(self, run: str) -> None:
        """Tell that rows of the run's series moved to chunks: what was derived of them is no longer believed."""
        with self.asking():
            self.runs.update_one({"_id": run, "state": LIVE}, {"$inc": {"epoch": 1}})

    def note_writing(self, runs: Sequence[str], seconds: float) -> None:
        """Tell that rows may be added to these runs for `seconds`: what was derived of them is no longer believed."""
        change = [{"$set": {"busy_until": {"$add": ["$$NOW", int(seconds * 1000)]}, "epoch": {"$add": ["$epoch", 1]}}}]
        with self.asking():
            self.runs.update_many({"_id": {"$in": list(runs)}, "state": LIVE}, change)

    def free_run(self, run: str) -> None:
        """Delete what is derived of a run, or said of its series. Its heads stay, as tombstones."""
        with self.asking():
            self.said.delete_many({"run": run})
            self.summaries.delete_one({"_id": run})
            self.due.delete_many({"run": run})

    def series_of_run(self, run: str) -> list[bytes]:
        """The ids of all series that the run has or had."""
        with self.asking():
            return [bytes(one["_id"]) for one in self.heads.find({"run": run}, {"_id": 1})]

    def free_series(self, sids: Sequence[bytes]) -> None:
        """Delete all that is stored of these series of a deleted run, `MOST_RANGES` at most, but for their heads; also what no bucket
        names."""
        ranges: Document = {"$or": [{"_id": _range(sid, 0, LAST)} for sid in sids]}
        with self.asking():
            self.buckets.delete_many(ranges)
            self.manifest.delete_many(ranges)
            self.overflow.delete_many({"sid": {"$in": list(sids)}})

    def empty_heads(self, run: str) -> None:
        """Let the tombstones of a deleted run's series be small."""
        with self.asking():
            full = {"run": run, "state": DELETED, "marks": {"$ne": b"[]"}}
            self.heads.update_many(full, {"$set": {"marks": b"[]"}})

    def run_states(self, runs: Sequence[str]) -> dict[str, bool]:
        """Whether each of the runs lives or is deleted; nothing of those that the database does not know."""
        with self.asking():
            found = self.runs.find({"_id": {"$in": list(runs)}}, {"state": 1})
            return {one["_id"]: one["state"] == LIVE for one in found}

    def claim(self, chore: str, every: float) -> bool:
        """Whether it is the caller who does what one process of all does every `every` seconds. The database's clock counts."""
        due = {"_id": chore, "$expr": {"$lte": ["$next", "$$NOW"]}}
        take = [{"$set": {"next": {"$add": ["$$NOW", int(every * 1000)]}}}]
        chores = self.db["chores"]
        with self.session() as session:
            if chores.update_one(due, take, session=session).matched_count:
                return True
            try:
                chores.insert_one({"_id": chore, "next": EPOCH}, session=session)
            except errors.DuplicateKeyError:
                return False
            return chores.update_one(due, take, session=session).matched_count == 1

    def said_of(self, run: str) -> list[bytes]:
        """What was said of the run's series, each as JSON."""
        with self.asking():
            return [one["info"] for one in self.said.find({"run": run}, {"info": 1})]

    def note_change(self, run: str) -> None:
        """What was derived of the run's series is no longer believed; nor is its record in the bucket, nor one that is on its way
        there: `rev` moves, which costs who compares it a second try."""
        change = {"epoch": {"$add": ["$epoch", 1]}, "rev": {"$add": [{"$ifNull": ["$rev", 0]}, 1]}, **STALE}
        with self.asking():
            self.runs.update_one({"_id": run, "state": LIVE}, [{"$set": change}])


def _range(sid: bytes, first: int, stop: int) -> Document:
    """Places of the series in [first, stop)."""
    return {"$gte": place(sid, max(first, 0)), "$lt": place(sid, min(stop, LAST))}


def _join(heads: Document, most: int, fields: Mapping[str, int] | None) -> list[Document]:
    """Stages that give each of the heads as often as its series has buckets, `most` at most: one in `last`, the newest first."""
    inside = {"$and": [{"$gte": ["$_id", "$$begin"]}, {"$lt": ["$_id", "$$end"]}]}
    pipeline: list[Document] = [{"$match": {"$expr": inside}}, {"$sort": {"_id": -1}}, {"$limit": most}]
    if fields is not None:
        pipeline.append({"$project": fields})
    join = {"from": "buckets", "let": {"begin": "$begin", "end": "$end"}, "pipeline": pipeline, "as": "last"}
    return [{"$match": heads}, {"$lookup": join}, {"$unwind": "$last"}]


def _insert(collection: Collection[Document], documents: Sequence[Document], session: ClientSession) -> set[bytes]:
    """Insert each document whose ``_id`` is free; the ids that were taken."""
    try:
        collection.insert_many(documents, ordered=False, session=session)
    except errors.BulkWriteError as e:
        details: Mapping[str, Any] = e.details or {}
        failed = details.get("writeErrors", [])
        if details.get("writeConcernErrors") or any(one["code"] != _DUPLICATE for one in failed):
            raise
        return {bytes(documents[one["index"]]["_id"]) for one in failed}
    return set()
