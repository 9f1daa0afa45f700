"""Uploads of files on their way into the cold tier: whole, or piece by piece, so that what broke goes on at any server.

    uploads   {_id: digest of (run, file id), run, checksum, upload, size, count, pieces: [[name, size] …], at}

A document tells what came of a put that may go on; a record of the file, which is `tiered_files`'s, ends that. What is given up
`file_strays` removes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from pymongo.errors import DuplicateKeyError

from ml_dash.errors import CorruptData, MlDashError, NotFound, Unavailable
from ml_dash.store.file_pieces import FilePieces, Piece, Upload
from ml_dash.store.file_records import pieces_of
from ml_dash.store.hot_documents import Document
from ml_dash.store.patch import new_id
from ml_dash.store.running_sums import RunningSums
from ml_dash.store.tier_keys import file_key

if TYPE_CHECKING:
    from hashlib import _Hash as Sum

    from ml_dash.store.hot import Hot


class FileUploads:
    """Uploads by way of `pieces`. `check(run)` raises `NotFound` once the run is deleted; `clock` gives unix seconds. Files are named by
    their place `at` in the collections."""

    def __init__(self, hot: Hot, pieces: FilePieces, check: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._hot = hot
        self._uploads = hot.db["uploads"]
        self._pieces = pieces
        self._check = check
        self._clock = clock
        self._sums = RunningSums()

    def prepare(self) -> None:
        """Make the indexes."""
        with self._hot.asking():
            self._uploads.create_index([("run", 1)], name="run")
            self._uploads.create_index([("at", 1)], name="at")

    def begin(self, run: str, at: bytes, source: BinaryIO) -> Upload:
        """Store the whole source; of a failure nothing is left."""
        upload = Upload(file_key(run, at.hex(), new_id()) + "/")
        try:
            self._pieces.store(source, upload)
        except BaseException:
            with suppress(MlDashError):
                self._pieces.cold.delete_prefix(upload.prefix)
            raise
        return upload

    def go_on(self, run: str, at: bytes, source: BinaryIO, checksum: str) -> Upload:
        """Store what is missing of the source, and keep what came where it fails."""
        start = source.tell()
        kept = self._kept(at, checksum)
        name = kept["upload"] if kept is not None else new_id()
        prefix, pieces = file_key(run, at.hex(), name) + "/", pieces_of(kept) if kept is not None else []
        size = sum(piece.size for piece in pieces)
        try:
            total = self._sums.reach(prefix, size, partial(self._pieces.fetch, prefix, pieces))
        except (NotFound, CorruptData) as e:
            self.drop(at, Upload(prefix))
            raise Unavailable(f"what was kept of an upload is damaged, and dropped: {e} Send it anew.", 0.0) from e
        upload = Upload(prefix, pieces, total)
        source.seek(start + size)

        def keep(piece: Piece, total: Sum) -> None:
            self._push(at, run, checksum, upload, piece)
            self._sums.note(prefix, upload.size + piece.size, total)

        try:
            self._pieces.store(source, upload, keep)
        except NotFound:  # the run's
            self.drop(at, upload)
            raise
        if pieces and len(upload.pieces) == len(pieces):
            self._touch(at, upload)
        return upload

    def _touch(self, at: bytes, upload: Upload) -> None:
        """An upload that was whole already, and may be old, is not given up from now on."""
        with self._hot.asking():
            known = {"_id": at, "upload": upload_id(upload)}
            there = self._uploads.update_one(known, {"$set": {"at": int(self._clock() * 1000)}}).matched_count
            if not there and self._hot.files.find_one(known, {"_id": 1}) is None:
                raise Unavailable("what was kept of the upload had been given up. Send it anew.", 0.0)

    def _kept(self, at: bytes, checksum: str) -> Document | None:
        with self._hot.asking():
            kept = self._uploads.find_one({"_id": at})
        if kept is None or kept["checksum"] == checksum:
            return kept
        self.drop(at, Upload(file_key(kept["run"], at.hex(), kept["upload"]) + "/"))
        return None

    def _push(self, at: bytes, run: str, checksum: str, upload: Upload, piece: Piece) -> None:
        """Note that a piece is there, unless another writer of the same upload has come further."""
        count, now, name = len(upload.pieces), int(self._clock() * 1000), upload_id(upload)
        with self._hot.asking():
            if count:
                change = {
                    "$push": {"pieces": list(piece)},
                    "$inc": {"count": 1, "size": piece.size},
                    "$set": {"at": now},
                }
                done = self._uploads.update_one({"_id": at, "upload": name, "count": count}, change).matched_count == 1
            else:
                done = self._first(
                    {"_id": at, "run": run, "checksum": checksum, "upload": name}
                    | {"size": piece.size, "count": 1, "pieces": [list(piece)], "at": now}
                )
        if not done:
            with suppress(Unavailable):
                self._pieces.cold.delete([upload.prefix + piece.name])
            self._check(run)  # its deletion takes uploads along
            raise Unavailable("the same file is being sent by somebody else as well; try again.", 0.0)

    def _first(self, kept: Document) -> bool:
        try:
            self._uploads.insert_one(kept)
        except DuplicateKeyError:
            return False
        return True

    def drop(self, at: bytes, upload: Upload) -> None:
        """Remove an upload that no record names."""
        self._sums.forget(upload.prefix)
        with self._hot.asking():
            self._uploads.delete_one({"_id": at, "upload": upload_id(upload)})
        with suppress(Unavailable):
            self._pieces.cold.delete_prefix(upload.prefix)

    def done(self, at: bytes) -> None:
        """The file has its record: nothing is to go on."""
        with self._hot.asking():
            self._uploads.delete_one({"_id": at})

    def forget_run(self, run: str) -> None:
        """The run is deleted. The objects are the caller's to remove."""
        with self._hot.asking():
            self._uploads.delete_many({"run": run})


def upload_id(upload: Upload) -> str:
    """The segment of its objects' keys that is the upload's own."""
    return upload.prefix.rstrip("/").rpartition("/")[2]
