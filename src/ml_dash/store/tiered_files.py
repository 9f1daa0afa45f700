"""The files of runs in two tiers: records in MongoDB, bytes in the cold tier. Knows no rows, and of a run only whether it is there.

    files     {_id: digest of (run, file id), run, n, name: digest of prefix and filename, record: JSON, checksum, upload,
               pieces: [[name, size] …], rev, gone, gone_ms, freed}
    uploads   what came of a put that may go on: see `file_uploads`
    objects   files/<run>/<digest, hex>/<upload>/<number>-<writer>: see `file_pieces`; …/record.json: see `file_records`

**A put is one insert.** `n` rises by one with each file of a run, held unique by an index, and of the files of one name the one with
the greatest `n` is the live one, at once and for every server. To mark those before it as gone and to free their bytes is
tidying, which whoever comes next does as well. A file is deleted only after those before it are marked, so that none of them
comes back.

**A record never comes before its bytes**, so that a death leaves objects which no record names; `file_strays` removes them once
they are old. A put that took so long that its own may have been taken for such looks for them when its record is there, and takes
that back where they are gone. Deleted bytes go at once, replaced ones after `linger` seconds: somebody may be reading them.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from pymongo.errors import DuplicateKeyError

from ml_dash.errors import Conflict, CorruptData, FileMissing, InvalidInput, MlDashError, NotFound, Unavailable
from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.store import file_records
from ml_dash.store.checks import check_content, check_put
from ml_dash.store.file_pieces import PIECE, FilePieces, Stream, Upload
from ml_dash.store.file_records import decode, encode, file_id, pieces_of, prefix_of
from ml_dash.store.file_strays import ABANDONED
from ml_dash.store.file_uploads import FileUploads, upload_id
from ml_dash.store.hot_documents import Document
from ml_dash.store.partial_file import may_go_on
from ml_dash.store.patch import apply_file_patch, new_id
from ml_dash.store.run_files import content_type_of
from ml_dash.store.tier_keys import files_prefix
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.store.cold import Cold
    from ml_dash.store.hot import Hot

LINGER = 600.0
"""Seconds that the bytes of a replaced file stay."""
PATIENCE = 15.0
"""Seconds of trying again where other puts of the run come first."""
_PAUSE = 0.02
_random = random.Random()  # noqa: S311  of our own: who seeds Python's own for his training gets what he seeded
_BLOCK = 1 << 20
_AT_ONCE = 10
"""Files that one put frees at most."""


class TieredFiles:
    """See `Store.put_file` and its kin for what the methods promise. That the run is there is the caller's to see, but for a put,
    which takes time: `check(run)` raises `NotFound` once the run is deleted, and what came too late is removed again.

    `clock` gives unix seconds. `piece` (bytes) is what `file_pieces` makes of a file. `linger`: see the module's text; `abandoned`:
    see `file_strays`.
    """

    def __init__(
        self,
        hot: Hot,
        cold: Cold,
        *,
        check: Callable[[str], None] = lambda _run: None,
        clock: Callable[[], float] = time.time,
        piece: int = PIECE,
        linger: float = LINGER,
        abandoned: float = ABANDONED,
    ) -> None:
        self._hot = hot
        self._files = hot.files
        self._pieces = FilePieces(cold, piece)
        self._uploads = FileUploads(hot, self._pieces, check, clock)
        self._check = check
        self._clock = clock
        self._linger = linger
        self._abandoned = abandoned
        self._prepared = False

    def close(self) -> None:
        """Let the threads go. MongoDB and the cold tier are their owner's to close."""
        self._pieces.close()

    # ------------------------------------------------------------ putting

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        """See `Store.put_file`."""
        check_put(put)
        self._prepare()
        new = _record(run, put, iso(int(self._clock() * 1000)))
        encode(new)  # what cannot be stored raises before the first byte is read
        at, began = file_id(run, new.id), (time.monotonic(), self._clock())
        if put.id is not None and (stored := self._stored(at)) is not None:
            return self._same(stored, put.checksum or _checksum(source))
        if put.checksum is not None and may_go_on(source, put):
            upload = self._uploads.go_on(run, at, source, put.checksum)
        else:
            upload = self._uploads.begin(run, at, source)
        try:
            self._look_at(run, upload, put)
        except (InvalidInput, NotFound, CorruptData):
            self._uploads.drop(at, upload)
            raise
        new.size_bytes, new.checksum = upload.size, upload.sum.hexdigest()
        stored = self._enter(at, new, upload)
        if stored is not None:
            if prefix_of(stored) != upload.prefix:
                self._uploads.drop(at, upload)
            return self._same(stored, new.checksum)
        self._still_there(run, at, upload, began)
        with suppress(Unavailable):  # the put has had its effect; the next one tidies
            self._tidy(run, at, put)
        return new

    def _look_at(self, run: str, upload: Upload, put: FilePut) -> None:
        """See that every byte is there, and that it is what it was to be."""
        check_content(put, upload.size, upload.sum.hexdigest())
        if upload.pieces and (wrong := self._pieces.missing(upload)):
            self._check(run)  # its deletion takes objects along
            raise CorruptData(f"{self._pieces.cold.url}/{upload.prefix}", 0, wrong)

    def _enter(self, at: bytes, new: FileRecord, upload: Upload) -> Document | None:
        """Insert the record; the one that holds its id, if there is one."""
        document = file_records.document(new, upload_id(upload), [list(piece) for piece in upload.pieces], 0)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with self._hot.asking():
                last = self._files.find_one({"run": new.experiment_id}, {"n": 1}, sort=[("n", -1)])
                document["n"] = last["n"] + 1 if last is not None else 0
                self._keep(document)
                try:
                    self._files.insert_one(document)
                except DuplicateKeyError:
                    if (stored := self._files.find_one({"_id": at})) is not None:
                        return stored
                else:
                    return None
            time.sleep(_random.uniform(0, _PAUSE))
        raise Unavailable("too many files are put into the run at once; try again.", 1.0)

    def _same(self, stored: Document, checksum: str) -> FileRecord:
        """The stored record, for a put that is retried; also of a file that has been deleted or replaced since."""
        if stored["checksum"] != checksum:
            raise Conflict(
                f"file {decode(stored).id!r}: other content is stored under this id (sha256 {stored['checksum']}, not "
                f"{checksum}). Put it under another id."
            )
        with suppress(Unavailable):
            self._uploads.done(stored["_id"])
        if not stored["gone"] and self._is_replaced(stored):
            self._retire(stored, int(self._clock() * 1000))
            stored = self._stored(stored["_id"]) or stored
        return decode(stored)

    def _still_there(self, run: str, at: bytes, upload: Upload, began: tuple[float, float]) -> None:
        """The run may have been deleted, with all its files, before this one came; what was stored for a put that `began` (monotonic
        and unix seconds) long ago may have been given up."""
        try:
            self._check(run)
        except NotFound:
            self._withdraw(at, upload)
            raise
        long = max(time.monotonic() - began[0], self._clock() - began[1]) >= self._abandoned / 2
        if not long or not upload.pieces:
            return
        try:
            if wrong := self._pieces.missing(upload):
                raise Unavailable(f"the upload took so long that it was given up ({wrong}). Send it anew.", 0.0)
        except MlDashError:
            self._withdraw(at, upload)
            raise

    def _withdraw(self, at: bytes, upload: Upload) -> None:
        """Take the record back."""
        with self._hot.asking():
            self._files.delete_one({"_id": at, "upload": upload_id(upload)})
        self._uploads.drop(at, upload)

    def _tidy(self, run: str, at: bytes, put: FilePut) -> None:
        """After a put: what it replaced is gone, and what was replaced long ago is freed."""
        new = self._stored(at)
        if new is not None:
            self._retire_before(new)
        if put.id is not None and put.checksum is not None:
            self._uploads.done(at)
        for one in islice(self.overdue({"run": run}), _AT_ONCE):
            self.free(one)

    # ------------------------------------------------------------ reading

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        """See `Store.get_file`. The stream can seek, and raises `CorruptData` in place of the last byte where the bytes are not
        those that were stored; `FileMissing` where they were freed in the meantime."""
        stored = self._live(run, file)
        record, pieces, prefix = decode(stored), pieces_of(stored), prefix_of(stored)

        def fetch(at: int, most: int) -> bytes:
            try:
                return self._pieces.fetch(prefix, pieces, at, most)
            except NotFound as e:
                self._live(run, file)
                raise CorruptData(
                    f"{self._pieces.cold.url}/{prefix}", at, f"an object of the file is gone ({e})"
                ) from e

        where = f"{self._pieces.cold.url}/{prefix}"
        stream = Stream(fetch, self._pieces.submit, record.size_bytes, record.checksum, where, self._pieces.piece)
        return record, io.BufferedReader(stream, _BLOCK)

    def find_files(self, run: str) -> list[FileRecord]:
        """See `Store.find_files`."""
        self._prepare()
        wanted = {"run": run, "gone": False}
        with self._hot.asking():
            found = list(self._files.find(wanted, {"name": 1, "record": 1}).sort("n", 1))
        newest = {one["name"]: one["_id"] for one in found}
        return [decode(one) for one in found if newest[one["name"]] == one["_id"]]

    def _stored(self, at: bytes) -> Document | None:
        with self._hot.asking():
            return self._files.find_one({"_id": at})

    def _live(self, run: str, file: str) -> Document:
        stored = self._stored(file_id(run, file))
        if stored is None or stored["gone"] or self._is_replaced(stored):
            raise FileMissing(f"the run {run} has no file {file!r}. List its files to see their ids.")
        return stored

    def _is_replaced(self, stored: Document) -> bool:
        with self._hot.asking():
            return self._files.find_one({**_namesakes(stored), "n": {"$gt": stored["n"]}}, {"_id": 1}) is not None

    # ------------------------------------------------------------ changing, deleting

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        """See `Store.update_file`."""
        while True:
            stored = self._live(run, file)
            if patch.deleted:
                self._retire_before(stored)
            record = apply_file_patch(decode(stored), patch, self._clock())
            if self._change(stored, record, int(self._clock() * 1000) if patch.deleted else None):
                break
        self._keep_changed(stored)
        if patch.deleted:
            with suppress(Unavailable):  # the record says that it is gone; housekeeping frees the rest
                # With those it had replaced: `recover` must not find them.
                for one in self.overdue(_namesakes(stored), 0.0):
                    self.free(one)
        return record

    def delete_all(self, run: str) -> None:
        """Remove every file of a run that is deleted. To be made again where it raises."""
        self._uploads.forget_run(run)
        with self._hot.asking():
            self._files.delete_many({"run": run})
        self._pieces.cold.delete_prefix(files_prefix(run))

    def _change(self, stored: Document, record: FileRecord, gone_ms: int | None = None) -> bool:
        """Put `record` in the place of `stored`, unless that was changed meanwhile."""
        change: Document = {"record": encode(record)}
        if gone_ms is not None:
            change |= {"gone": True, "gone_ms": gone_ms}
        known = {"_id": stored["_id"], "rev": stored["rev"], "gone": False}
        with self._hot.asking():
            return self._files.update_one(known, {"$set": change, "$inc": {"rev": 1}}).matched_count == 1

    def _keep(self, stored: Document) -> None:
        """The record's object, for `recover`; before the record, so that none lacks it."""
        self._pieces.cold.put(prefix_of(stored) + file_records.OBJECT, file_records.kept(stored))

    def _keep_changed(self, stored: Document | None) -> None:
        """The same once a record has changed: as it is when nobody changes it meanwhile."""
        before = stored
        while (stored := self._stored(before["_id"]) if before else None) is not None:
            if before is not None and stored["rev"] == before["rev"]:
                return
            self._keep(stored)
            before = stored

    def _retire(self, stored: Document | None, now: int) -> None:
        """Mark a replaced file as gone."""
        while stored is not None and not stored["gone"]:
            at = iso(now)
            if self._change(stored, msgspec.structs.replace(decode(stored), updated_at=at, deleted_at=at), now):
                return
            stored = self._stored(stored["_id"])

    def _retire_before(self, stored: Document) -> None:
        """Mark all that `stored` has replaced as gone."""
        self._prepare()
        wanted = {**_namesakes(stored), "gone": False, "n": {"$lt": stored["n"]}}
        with self._hot.asking():
            before = list(self._files.find(wanted))
        for one in before:
            self._retire(one, int(self._clock() * 1000))

    # ------------------------------------------------------------ recovering

    def restore(self, document: Document) -> bool:
        """Enter what `file_records.recovered` gave, unless the file has a record; it comes last where another one has its place in
        the order. Whether it was entered."""
        self._prepare()
        made = dict(document)
        while True:
            with self._hot.asking():
                try:
                    self._files.insert_one(made)
                except DuplicateKeyError:
                    if self._files.find_one({"_id": made["_id"]}, {"_id": 1}) is not None:
                        return False
                else:
                    return True
                last = self._files.find_one({"run": made["run"]}, {"n": 1}, sort=[("n", -1)])
                made["n"] = last["n"] + 1 if last is not None else 0

    # ------------------------------------------------------------ freeing

    def overdue(self, which: Document | None = None, linger: float | None = None) -> Iterator[Document]:
        """Files (those of a run, or of a name in it) that have been gone for long enough, and whose bytes are not freed."""
        self._prepare()
        until = int((self._clock() - (self._linger if linger is None else linger)) * 1000)
        wanted = {**(which or {}), "gone": True, "freed": False, "gone_ms": {"$lte": until}}
        with self._hot.asking():
            yield from self._files.find(wanted, {"run": 1, "upload": 1}).sort("gone_ms", 1)

    def free(self, gone: Document) -> int:
        """Delete the bytes of a file that is gone; how many objects they were."""
        freed = self._pieces.cold.delete_prefix(prefix_of(gone))
        with self._hot.asking():
            self._files.update_one({"_id": gone["_id"]}, {"$set": {"freed": True, "pieces": []}})
        return freed

    def _prepare(self) -> None:
        if self._prepared:
            return
        with self._hot.asking():
            self._files.create_index([("run", 1), ("n", 1)], unique=True, name="order")
            self._files.create_index([("run", 1), ("name", 1), ("n", 1)], name="name")
            # However often files were replaced: what is asked about those that are there costs what those do.
            live, gone = {"gone": False}, {"gone": True, "freed": False}
            self._files.create_index([("run", 1), ("gone", 1), ("n", 1)], partialFilterExpression=live, name="live")
            self._files.create_index(
                [("run", 1), ("gone", 1), ("name", 1), ("n", 1)], partialFilterExpression=live, name="live_name"
            )
            self._files.create_index([("gone_ms", 1)], partialFilterExpression=gone, name="freed")
            self._files.create_index([("run", 1), ("gone_ms", 1)], partialFilterExpression=gone, name="freed_run")
        self._uploads.prepare()
        self._prepared = True


# ---------------------------------------------------------------- documents


def _namesakes(stored: Document) -> Document:
    return {"run": stored["run"], "name": stored["name"]}


# ---------------------------------------------------------------- records


def _record(run: str, put: FilePut, at: str) -> FileRecord:
    return FileRecord(
        id=put.id or new_id(),
        experiment_id=run,
        path=put.prefix,
        filename=put.filename,
        description=put.description,
        tags=list(put.tags or ()),
        content_type=put.content_type or content_type_of(put.filename),
        metadata=put.metadata,
        uploaded_at=at,
        updated_at=at,
    )


def _checksum(source: BinaryIO) -> str:
    total = sha256()
    while block := source.read(_BLOCK):
        total.update(block)
    return total.hexdigest()
