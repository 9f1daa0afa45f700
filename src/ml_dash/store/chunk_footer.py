"""The footer of a chunk: what we say in Parquet's key-value metadata, and how every byte that is read is checked. Pure.

Some of it is known only when the file has been written (sizes, checksums). It is written as digits of the right number
first and filled in afterwards. docs/formats/chunk.md has the keys.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_dash.errors import CorruptData, NewerFormat
from ml_dash.rollup import IntArray

VERSION = 1
MAGIC = b"PAR1"
END = 8
"""Bytes behind the footer: its length, and `MAGIC`."""
START = len(MAGIC)

KEY = b"ml-dash"
"""Key of the metadata: one JSON object."""
_LAST = b',"rollups":[%20d,%20d],"pieces":"%b","digest":"%b"}'
"""How it ends, of the same length whatever is filled in. Nothing in the footer that looks like it comes behind it."""
_NO_DIGEST = b"0" * 32
_BEFORE_DIGEST = b'","digest":"'
_PIECE = np.dtype([("size", "<u4"), ("crc", "<u4")])


class Layout(msgspec.Struct, frozen=True):
    """What a reader has to know of a chunk beside Parquet's own metadata."""

    kind: str
    first: int
    stop: int
    group: int
    """Rows of a row group; the last may have fewer."""
    columns: list[tuple[str, str]]
    """(field, letter of the type) of the columns behind `_time`, in their order."""
    loose: list[str] | None
    """Fields of which `_json` has numbers; None: there are too many to say."""
    about: dict[str, str]
    format: Literal["chunk"] = "chunk"
    version: int = VERSION


class _Stored(Layout, frozen=True, kw_only=True):
    rollups: tuple[int, int]
    pieces: str
    digest: str


class _Version(msgspec.Struct):
    format: Literal["chunk"]
    version: int


@dataclass(frozen=True)
class Footer:
    """A chunk's footer, checked."""

    layout: Layout
    rollup: tuple[int, int]
    sizes: IntArray
    """Bytes of each column of each row group: (row groups, columns)."""
    crcs: IntArray
    offsets: IntArray
    metadata: Any
    """pyarrow's FileMetaData."""


# ---------------------------------------------------------------- writing


def metadata(layout: Layout, pieces: int) -> dict[bytes, bytes]:
    """Key-value metadata of a file with so many `pieces`, columns of row groups; `fill_in` completes it."""
    return {KEY: msgspec.json.encode(layout)[:-1] + _last((0, 0), bytes(pieces * _PIECE.itemsize))}


def fill_in(written: bytes, blob: bytes) -> tuple[bytes, tuple[int, int]]:
    """The object from what Parquet wrote: `blob` goes between the last row group and the footer, where no offset points."""
    end = len(written) - END
    at = end - int.from_bytes(written[end : end + 4], "little")
    pieces = _pieces(written, at)
    footer = written[at:end]
    for digest in (_NO_DIGEST, None):
        last = _last((at, len(blob)), pieces, digest or _digest(footer))
        place = footer.rindex(last[:12])
        footer = footer[:place] + last + footer[place + len(last) :]
    return b"".join((memoryview(written)[:at], blob, footer, memoryview(written)[end:])), (at, len(blob))


def _last(rollups: tuple[int, int], pieces: bytes, digest: bytes = _NO_DIGEST) -> bytes:
    return _LAST % (*rollups, base64.b64encode(pieces), digest)


def _pieces(written: bytes, stop: int) -> bytes:
    """Size and CRC-32 of each column of each row group; they follow one another from `START` to `stop`. What older versions of
    pyarrow write behind a column is counted as its own."""
    found = pq.read_metadata(pa.BufferReader(written))
    groups = map(found.row_group, range(found.num_row_groups))
    columns = [group.column(at) for group in groups for at in range(found.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    view = memoryview(written)
    pieces = [(end - start, zlib.crc32(view[start:end])) for start, end in pairwise([*starts, stop])]
    return np.array(pieces, _PIECE).tobytes()


def _digest(footer: bytes) -> bytes:
    """Of the footer with zeros in the digest's own place."""
    return blake2b(footer, digest_size=16).hexdigest().encode()


# ---------------------------------------------------------------- reading


def parse(footer: bytes, offset: int, origin: str) -> Footer:
    """The footer of these bytes, which are at `offset` of the object. Raises `CorruptData`, `NewerFormat`."""
    try:
        place = footer.rindex(_BEFORE_DIGEST) + len(_BEFORE_DIGEST)
        behind = place + len(_NO_DIGEST)
        if _digest(footer[:place] + _NO_DIGEST + footer[behind:]) != footer[place:behind]:
            raise ValueError("its digest differs")
        whole = MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC
        found = pq.read_metadata(pa.BufferReader(whole))
        said = found.metadata[KEY]
        _check_version(said, origin)
        stored = msgspec.json.decode(said, type=_Stored)
        pieces = np.frombuffer(base64.b64decode(stored.pieces), _PIECE)
        pieces = pieces.reshape(found.num_row_groups, found.num_columns)
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as e:
        raise CorruptData(origin, offset, f"a footer that is not a chunk's ({e})") from e
    sizes = pieces["size"].astype(np.int64)
    ends = np.cumsum(sizes.reshape(-1)).reshape(sizes.shape) + START
    return Footer(stored, stored.rollups, sizes, pieces["crc"].astype(np.int64), ends - sizes, found)


def _check_version(said: bytes, origin: str) -> None:
    version = msgspec.json.decode(said, type=_Version).version
    if version > VERSION:
        raise NewerFormat(
            f"{origin} has version {version}, this ml-dash reads {VERSION}: pip install --upgrade ml-dash"
        )


def check_piece(footer: Footer, group: int, column: int, data: memoryview, origin: str) -> None:
    """Raise `CorruptData` unless these are the bytes of that column."""
    if zlib.crc32(data) != footer.crcs[group, column]:
        offset = int(footer.offsets[group, column])
        raise CorruptData(origin, offset, f"a column that is not what was written ({len(data)} bytes)")


def names(columns: Sequence[tuple[str, str]]) -> list[str]:
    """What Parquet calls the columns of (field, letter). A field's first column has the field's own name, unless that is one of
    ours, is empty, or is another's to a database that ignores case; all others say their type: ``loss:string``."""
    taken = {"_index", "_time", "_keys", "_json", "_raw", ""}
    out: list[str] = []
    seen: set[str] = set()
    for name, _ in columns:
        plain = name not in seen and name.casefold() not in taken
        seen.add(name)
        taken |= {name.casefold()} if plain else set()
        out.append(name if plain else "")
    for at, (name, letter) in enumerate(columns):
        long = f"{name}:{_WORDS[letter]}"
        while not out[at]:
            out[at] = "" if long.casefold() in taken else long
            taken.add(long.casefold())
            long += "+"
    return out


_WORDS = {"i": "int64", "f": "float64", "b": "bool", "s": "string"}
