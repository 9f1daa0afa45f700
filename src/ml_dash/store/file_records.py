"""What is kept of a file beside its bytes: the document in MongoDB, and the same as an object next to the pieces, from which
`ml-dash server recover` makes the document anew. Pure; `tiered_files` says when which is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from ml_dash import codec, names
from ml_dash.errors import CorruptData, InvalidInput
from ml_dash.model import FileRecord
from ml_dash.store.file_pieces import Piece
from ml_dash.store.hot_documents import Document
from ml_dash.store.tier_keys import file_key

OBJECT = "record.json"
"""The last segment of the key of a record's object. No piece is called so."""
MOST_SAID = 4 << 20
"""Bytes of a record; a document of MongoDB takes 16 MB, a list of pieces included."""


class _Kept(msgspec.Struct):
    """The object: what of the document does not follow from its key and its record."""

    n: int
    pieces: list[tuple[str, int]]
    record: msgspec.Raw


def file_id(run: str, file: str) -> bytes:
    """16 bytes; an id of a file may hold what neither keys of objects nor documents can."""
    return _digest(run, file)


def name_of(record: FileRecord) -> bytes:
    """By what a file replaces another: its prefix, slashes at the ends aside, and its filename."""
    return _digest(*names.prefix_path(record.path), record.filename)


def document(record: FileRecord, upload: str, pieces: list[list[Any]], n: int) -> Document:
    """The document of a file that is there. Raises as `encode` does."""
    return {
        "_id": file_id(record.experiment_id, record.id),
        "run": record.experiment_id,
        "name": name_of(record),
        "record": encode(record),
        "checksum": record.checksum,
        "upload": upload,
        "pieces": pieces,
        "n": n,
        "rev": 0,
        "gone": False,
        "freed": False,
    }


def kept(stored: Mapping[str, Any]) -> bytes:
    """The object that tells what the document `stored` does."""
    pieces = [(name, size) for name, size in stored["pieces"]]
    return msgspec.json.encode(_Kept(stored["n"], pieces, msgspec.Raw(stored["record"])))


def recovered(key: str, data: bytes) -> Document:
    """The document that the object `key` tells of. Raises `CorruptData` naming it."""
    try:
        found = msgspec.json.decode(data, type=_Kept)
        record = decode({"record": bytes(found.record)})
        made = document(record, key.split("/")[-2], [list(piece) for piece in found.pieces], found.n)
    except (ValueError, RecursionError, IndexError) as e:  # msgspec's errors are ValueErrors
        raise CorruptData(key, 0, f"it is no record of a file ({e})") from e
    if prefix_of(made) + OBJECT != key:
        raise CorruptData(key, 0, f"it is the record of a file elsewhere, {prefix_of(made)}")
    return made


def pieces_of(stored: Mapping[str, Any]) -> list[Piece]:
    """The objects of its bytes, in order."""
    return [Piece(name, size) for name, size in stored["pieces"]]


def prefix_of(stored: Mapping[str, Any]) -> str:
    """Below what they are; it ends in "/"."""
    return file_key(stored["run"], bytes(stored["_id"]).hex(), stored["upload"]) + "/"


def encode(record: FileRecord) -> bytes:
    """JSON, since BSON has no integer beyond 64 bits. Raises `InvalidInput` where a value cannot be stored."""
    fields = {field.encode_name: getattr(record, field.name) for field in msgspec.structs.fields(FileRecord)}
    body = codec.dumps(fields, indent=0, envelope=1)
    if len(body) > MOST_SAID:
        raise InvalidInput(
            f"metadata: what is said of the file takes {len(body)} bytes; at most {MOST_SAID} are stored. Put it into a file."
        )
    return body


def decode(stored: Mapping[str, Any]) -> FileRecord:
    """The record of a document."""
    return msgspec.convert(codec.loads(stored["record"]), FileRecord)


def _digest(*texts: str) -> bytes:
    digest = blake2b(digest_size=16)
    for text in texts:
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
