"""Verifying: is all there that the database tells of, as it was written, and what is there that nothing tells of? Reads every chunk.

A server may be working meanwhile: what it is in the middle of is no damage, and before anything is told of a series or a run it
is looked at again. Nothing is changed but by `free`, which deletes objects that no entry can name any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec

from ml_dash.errors import CorruptData, NewerFormat, NotFound
from ml_dash.store import file_records
from ml_dash.store.buckets import live_chain
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import LIVE, Document, decode_marks
from ml_dash.store.tier_entries import entry_of
from ml_dash.store.tier_keys import LAST, files_prefix, first_of, place, record_key, run_prefix
from ml_dash.store.tier_walk import Object, chunk_object, documents, folders, index_of, objects, side_by_side

OLD = 3600.0
"""Seconds from which on an object that nothing names is not one that an archiver or an upload is about to name."""
_ENTRY = (
    "_id",
    "run",
    "stop",
    "key",
    "size",
    "hash",
    "rollup",
    "last",
    "first_ms",
    "last_ms",
    "at",
    "marks",
    "r3",
    "r4",
    "more",
)
_HEAD = ("run", "kind", "name", "sealed", "marks", "ms", "first_ms", "state", "chunks")
_FILE = ("run", "record", "checksum", "upload", "pieces", "freed", "gone", "n")
_SMALL = 1 << 16
_YOUNG = 60.0
"""Seconds for which an object that nothing names is what a server is in the middle of."""

State = Literal["damaged", "unkept", "orphan", "unfreed"]


class Finding(NamedTuple):
    """One thing that is not as it should be. "damaged": data is lost or wrong; "unkept": the bucket lacks what `recover` would need;
    "orphan": nothing names the object; "unfreed": a deleted run has left it. `message` says what to do."""

    state: State
    where: str
    message: str
    bytes: int = 0


class Counted(msgspec.Struct):
    """What was looked at."""

    series: int = 0
    chunks: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    freed: int = 0


class Verification:
    """Verifies what `hot` and `cold` hold. `deep` reads the bytes of files as well; `free` deletes orphans that are `old` (s). `clock`
    gives unix seconds."""

    def __init__(
        self,
        hot: Hot,
        cold: Cold,
        *,
        deep: bool = False,
        free: bool = False,
        old: float = OLD,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counted = Counted()
        self._hot = hot
        self._cold = cold
        self._deep = deep
        self._free = free
        self._old = old
        self._clock = clock

    def verify(self) -> Iterator[Finding]:
        """Each finding as it is made. Raises `Unavailable` where one of the tiers goes away."""
        yield from self._series()
        yield from self._files()
        yield from self._strays()
        yield from self._overflow()
        yield from self._deleted()

    # ------------------------------------------------------------ series

    def _series(self) -> Iterator[Finding]:
        for head in documents(self._hot, self._hot.heads, _HEAD):
            if head["state"] != LIVE:
                continue
            self.counted.series += 1
            found = [*self._chunks(head), *self._buckets(head)]
            if not found or not self._is_live(head):  # its run may be deleted meanwhile
                continue
            if self._is_run(head["run"], live=True):
                yield from found
            else:
                yield Finding("unfreed", _named(head), f"the run is deleted, and this series is not. {_RECOVER_RUN}")

    def _is_live(self, head: Document) -> bool:
        with self._hot.asking():
            return self._hot.heads.find_one({"_id": head["_id"], "state": LIVE}, {"_id": 1}) is not None

    def _is_run(self, run: str, *, live: bool = False) -> bool:
        known = {"_id": run, "state": LIVE} if live else {"_id": run}
        with self._hot.asking():
            return self._hot.runs.find_one(known, {"_id": 1}) is not None

    def _chunks(self, head: Document) -> Iterator[Finding]:
        """The chunks below `sealed`: one after the other without a hole, each as its entry tells, the last with the head's marks."""
        sid, sealed = bytes(head["_id"]), head["sealed"]
        name = _named(head)
        at, count, last = 0, 0, None
        for entry, wrong in side_by_side(self._entries(sid, sealed), self._wrong, lambda entry: entry["size"]):
            first = index_of(entry)
            if first != at:
                yield Finding("damaged", name, _hole(at, first))
            if wrong:
                yield Finding("damaged", entry["key"], wrong)
            at, count, last = entry["stop"], count + 1, entry
            self.counted.chunks += 1
            self.counted.rows += at - first
            self.counted.bytes += entry["size"]
        if at != sealed:
            yield Finding("damaged", name, _hole(at, sealed))
        elif last is not None:
            for what in ("marks", "last_ms"):
                if last[what] != head["ms" if what == "last_ms" else what]:
                    yield Finding("damaged", name, f"its head has other {what} than its last chunk; {_RESTORE_HEAD}")
        if last is not None and count != head.get("chunks", count):
            yield Finding(
                "damaged", name, f"its head counts {head['chunks']} chunks, the manifest {count}; {_RESTORE_HEAD}"
            )
        reached = sum(mark.seq for mark in decode_marks(bytes(head["marks"])).values())
        if reached != sealed:
            yield Finding("damaged", name, f"its marks count {reached} rows, {sealed} are sealed; {_RESTORE_HEAD}")

    def _entries(self, sid: bytes, sealed: int) -> Iterator[Document]:
        """Page by page: entries are large, and what is done between takes long."""
        query = {"_id": {"$gte": place(sid, 0), "$lt": place(sid, sealed)}}
        while True:
            with self._hot.asking():
                page = list(self._hot.manifest.find(query).sort("_id", 1).limit(20))
            yield from page
            if not page:
                return
            query = {"_id": {"$gt": page[-1]["_id"], "$lt": place(sid, sealed)}}

    def _wrong(self, entry: Document) -> str:
        """How the object of an entry is not what the entry tells; "" where it is."""
        try:
            data = self._cold.get(entry["key"])
        except NotFound:
            return f"the object is gone. {_RESTORE}"
        if len(data) != entry["size"]:
            return f"the object has {len(data)} bytes, not {entry['size']}. {_RESTORE}"
        digest = sha256(data).hexdigest()
        if digest != entry["hash"]:
            return f"the object has the SHA-256 {digest}, not {entry['hash']}. {_RESTORE}"
        try:
            found = entry_of(data, entry["key"]).entry
        except CorruptData as e:
            return f"{e.why} (byte {e.offset}). {_RESTORE}"
        except NewerFormat as e:
            return str(e)
        other = [name for name in _ENTRY if entry.get(name) != found[name]]
        if other:
            return (
                f"the object is whole, and the manifest's entry has another {', '.join(other)}. Delete the entry "
                "(collection manifest, this key), then `ml-dash server recover` makes it anew"
            )
        return ""

    def _buckets(self, head: Document) -> Iterator[Finding]:
        """Hot rows go on where the chunks end. What is not in the chain was left by a server that died, or is being archived."""
        sid = bytes(head["_id"])
        with self._hot.session() as session:
            buckets = self._hot.chain(sid, session, ("n", "o"))
            now = self._hot.heads_of([sid], session).get(sid)
        if now is None or not now.live:
            return
        chain = live_chain(buckets, now.sealed)
        end = first_of(chain[-1]["_id"]) + chain[-1]["n"] if chain else now.sealed
        for one in chain:
            if lost := self._lost_parts(one):
                yield Finding(
                    "damaged",
                    _named(head),
                    f"{lost} of the bucket of rows {first_of(one['_id'])} to {first_of(one['_id']) + one['n']} are gone from the "
                    "collection overflow. Restore the database from a backup, then `ml-dash server recover`",
                )
        beyond = [first_of(one["_id"]) for one in buckets if first_of(one["_id"]) > end]
        if beyond:
            yield Finding(
                "damaged",
                _named(head),
                f"rows {end} to {min(beyond)} are in neither tier, and rows from there on cannot be read. Restore the database "
                "from a backup, then `ml-dash server recover`",
            )

    def _lost_parts(self, bucket: Mapping[str, Any]) -> int:
        """How many of the documents that hold the rest of a large bucket are not there, while the bucket is."""
        wanted = bucket.get("o", [])
        if not wanted:
            return 0
        with self._hot.asking():
            lost = len(wanted) - self._hot.overflow.count_documents({"_id": {"$in": wanted}})
            return lost if lost and self._hot.buckets.find_one({"_id": bucket["_id"]}, {"_id": 1}) else 0

    def _overflow(self) -> Iterator[Finding]:
        """Documents that no bucket names: a server died between them and their bucket."""
        for one in documents(self._hot, self._hot.overflow, ("sid", "at")):
            sid = bytes(one["sid"])
            named = {"_id": {"$gte": place(sid, 0), "$lt": place(sid, LAST)}, "o": one["_id"]}
            with self._hot.asking():
                there = self._hot.buckets.find_one(named, {"_id": 1}) is not None
            if there or self._clock() - one["at"] / 1000 < self._old:
                continue  # a server may be about to insert its bucket
            yield Finding("orphan", f"overflow {bytes(one['_id']).hex()}", f"no bucket names this document. {_FREE}")
            if self._free:
                with self._hot.asking():
                    self.counted.freed += self._hot.overflow.delete_one({"_id": one["_id"]}).deleted_count

    # ------------------------------------------------------------ files

    def _files(self) -> Iterator[Finding]:
        live = (one for one in documents(self._hot, self._hot.files, _FILE) if not one["freed"])
        for stored, found in side_by_side(live, self._file, self._weigh):
            self.counted.files += 1
            self.counted.bytes += sum(piece.size for piece in file_records.pieces_of(stored))
            if found is not None and self._is_file(stored):
                yield found

    def _weigh(self, stored: Document) -> int:
        return sum(piece.size for piece in file_records.pieces_of(stored)) if self._deep else _SMALL

    def _is_file(self, stored: Document) -> bool:
        """Whether it is still the same: it may have been deleted meanwhile."""
        with self._hot.asking():
            known = {"_id": stored["_id"], "upload": stored["upload"], "freed": False}
            return self._hot.files.find_one(known, {"_id": 1}) is not None

    def _file(self, stored: Document) -> Finding | None:
        prefix, pieces = file_records.prefix_of(stored), file_records.pieces_of(stored)
        record = file_records.decode(stored)
        name = f"file {record.filename!r} ({record.id}) of run {stored['run']}"
        there = dict(self._cold.keys(prefix))
        for piece in pieces:
            size = there.get(prefix + piece.name)
            if size != piece.size:
                what = f"has {size} bytes, not {piece.size}" if size is not None else "is gone"
                return Finding("damaged", name, f"{prefix}{piece.name} {what}. {_RESTORE_FILE}")
        if self._deep:
            total = sha256()
            for piece in pieces:
                try:
                    total.update(self._cold.get(prefix + piece.name))
                except NotFound:
                    return Finding("damaged", name, f"{prefix}{piece.name} is gone. {_RESTORE_FILE}")
            if total.hexdigest() != stored["checksum"]:
                why = f"its bytes have the SHA-256 {total.hexdigest()}, not {stored['checksum']}. {_RESTORE_FILE}"
                return Finding("damaged", name, why)
        return self._unkept(name, stored, prefix, there)

    def _unkept(self, name: str, stored: Document, prefix: str, there: Mapping[str, int]) -> Finding | None:
        """Whether `recover` would make the record as it is."""
        key = prefix + file_records.OBJECT
        if key not in there:
            return Finding("unkept", name, f"{key} is gone: `recover` would not find the file. Put the file again")
        try:
            found = file_records.recovered(key, self._cold.get(key))
        except (CorruptData, NotFound):
            return Finding("unkept", name, f"{key} is damaged: `recover` would not find the file. Put the file again")
        if (found["record"].strip(), found["n"]) != (bytes(stored["record"]).strip(), stored["n"]) and not stored[
            "gone"
        ]:
            return Finding(
                "unkept", name, f"{key} is older than the record. Say something new of the file, which writes both"
            )
        return None

    # ------------------------------------------------------------ what nothing names

    def _strays(self) -> Iterator[Finding]:
        """Objects below ``chunks/``, ``files/`` and ``runs/`` that no document names."""
        now = self._clock()
        with_chunks, with_files = folders(self._cold, "chunks/"), folders(self._cold, "files/")
        for run in with_chunks:
            chunks = sorted(objects(self._cold, run_prefix(run), now), key=lambda one: one.key)
            for _, some in groupby(chunks, key=lambda one: one.key.rpartition("/")[0]):
                yield from self._stray_chunks(run, list(some))
        for run in with_files:
            uploads = sorted(objects(self._cold, files_prefix(run), now), key=lambda one: one.key)
            for upload, some in groupby(uploads, key=lambda one: one.key.rpartition("/")[0]):
                yield from self._stray_upload(run, upload + "/", list(some))
        for run in sorted({*with_chunks, *with_files}):
            yield from self._record(run)
        for name in folders(self._cold, "runs/"):
            if not self._is_run(name.removesuffix(".json")):
                yield Finding("orphan", f"runs/{name}", f"no run has this id. {_RECOVER}")

    def _stray_chunks(self, run: str, found: Sequence[Object]) -> Iterator[Finding]:
        """Of one series. Those below `sealed` can never be named again; others an archiver may yet adopt."""
        stray = [(one, chunk_object(one.key, one.size)) for one in found]
        sid = next((chunk.sid for _, chunk in stray if chunk is not None), None)
        if sid is None:
            for one, _ in stray:
                yield Finding("orphan", one.key, "it is none of ours, by its key", one.size)
            return
        with self._hot.asking():
            query = {"_id": {"$gte": place(sid, 0), "$lt": place(sid, LAST)}}
            named = {entry["key"] for entry in self._hot.manifest.find(query, {"key": 1})}
            head = self._hot.heads.find_one({"_id": sid, "run": run}, {"sealed": 1, "state": 1})
        free: list[str] = []
        for one, chunk in stray:
            if one.key in named:
                continue
            if chunk is None:
                yield Finding("orphan", one.key, "it is none of ours, by its key", one.size)
            elif head is None:
                yield Finding("orphan", one.key, f"the database knows no such series. {_RECOVER}", one.size)
            elif head["state"] == LIVE and chunk.first >= head["sealed"]:
                if one.age >= min(self._old, _YOUNG):
                    yield Finding(
                        "orphan", one.key, f"its rows are not sealed: archiving was cut short. {_AGAIN}", one.size
                    )
            else:
                yield Finding("orphan", one.key, f"its rows are in another chunk, or deleted. {_FREE}", one.size)
                if self._free and one.age >= self._old:
                    free.append(one.key)
        if free:
            self._cold.delete(free)
            self.counted.freed += len(free)

    def _stray_upload(self, run: str, prefix: str, found: Sequence[Object]) -> Iterator[Finding]:
        """Of one upload: of a file, of one that is on its way, or of one that was given up."""
        size = sum(one.size for one in found)
        match prefix.split("/"):
            case ["files", _, file, upload, ""]:
                if self._is_upload(file, upload):
                    return
            case _:
                yield Finding("orphan", prefix, "it is none of ours, by its key", size)
                return
        if not self._is_run(run):
            yield Finding("orphan", prefix, f"the database knows no such run. {_RECOVER}", size)
            return
        age = min(one.age for one in found)
        if age < min(self._old, _YOUNG):
            return  # an upload that goes on
        yield Finding("orphan", prefix, f"no file's record names it: an upload was broken off. {_FREE}", size)
        if self._free and age >= self._old:
            self.counted.freed += self._cold.delete_prefix(prefix)

    def _is_upload(self, file: str, upload: str) -> bool:
        try:
            known = {"_id": bytes.fromhex(file), "upload": upload}
        except ValueError:
            return False
        with self._hot.asking():
            if self._hot.files.find_one({**known, "freed": False}, {"_id": 1}) is not None:
                return True
            return self._hot.db["uploads"].find_one(known, {"_id": 1}) is not None

    def _record(self, run: str) -> Iterator[Finding]:
        """The record beside the chunks of a live run."""
        with self._hot.asking():
            live = self._hot.runs.find_one({"_id": run, "state": LIVE}, {"kept": 1})
        if live is None or not live.get("kept"):
            return
        try:
            self._cold.get(record_key(run))
        except NotFound:
            why = (
                "is gone: `recover` would know the run's name and nothing else. It is written anew when the run changes"
            )
            yield Finding("unkept", record_key(run), why)

    # ------------------------------------------------------------ deleted runs

    def _deleted(self) -> Iterator[Finding]:
        with self._hot.asking():
            # What is freed is freed once more, of what came too late to know; until then nothing is amiss.
            unfreed = {"state": {"$ne": LIVE}, "freed": False, "emptied": {"$exists": False}}
            buried = list(self._hot.runs.find(unfreed, {"_id": 1}))
        for one in buried:
            yield Finding(
                "unfreed", f"run {one['_id']}", "it is deleted, and not all of it is freed. A running server does that"
            )


_RESTORE = "Restore this object from a backup; until then its rows cannot be read, and all others can"
_RESTORE_FILE = "Restore this object from a backup, or put the file again"
_RESTORE_HEAD = "restore the document of the collection heads from a backup, or delete it while no server runs and `ml-dash server recover`"
_RECOVER = "`ml-dash server recover` makes it known"
_RECOVER_RUN = "`ml-dash server recover` settles that, and a running server frees the rest"
_FREE = "`ml-dash server verify --free` deletes it once it is an hour old"
_AGAIN = "A running server takes it up, or makes another one in its place"


def _named(head: Mapping[str, object]) -> str:
    name = f" {head['name']!r}" if head["name"] else ""
    return f"{head['kind']}{name} of run {head['run']}"


def _hole(at: int, to: int) -> str:
    if at > to:
        return f"the manifest has rows {to} to {at} twice. Delete one of the entries, then `ml-dash server recover`"
    return f"rows {at} to {to} are in no chunk of the manifest. `ml-dash server recover` finds them in the bucket, if they are there"
