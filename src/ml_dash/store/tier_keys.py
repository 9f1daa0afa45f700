"""Ids and keys of the two tiers: which bytes name a series, a bucket and a chunk. Pure; docs/formats/tiers.md has them.

A series' id follows from its key alone: no table has to be asked, and since run ids never come back, neither does it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_dash.model import SeriesKey

LAST = (1 << 63) - 1
"""No index is greater."""


def series_id(series: SeriesKey) -> bytes:
    """16 bytes: BLAKE2b of run, kind and name, each behind its length, so that no two keys look alike."""
    digest = blake2b(digest_size=16)
    for text in series:
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def place(sid: bytes, first: int) -> bytes:
    """24 bytes that sort by series, then by index: the ``_id`` of a bucket and of a manifest entry."""
    return sid + first.to_bytes(8, "big")


def first_of(at: bytes) -> int:
    """The first index in a `place`."""
    return int.from_bytes(at[16:], "big")


def field_key(field: str) -> str:
    """16 hex digits that stand for a field's name where a document's keys may hold neither dots nor "$"."""
    return blake2b(field.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def chunk_key(run: str, sid: bytes, first: int, stop: int, digest: str) -> str:
    """The object of the chunk of rows [first, stop) whose bytes have the SHA-256 `digest`."""
    return f"{series_prefix(run, sid)}{first:016d}-{stop:016d}-{digest[:16]}.parquet"


def first_in(key: str) -> int:
    """The first index in a `chunk_key`."""
    return int(key.rpartition("/")[2].partition("-")[0])


def series_prefix(run: str, sid: bytes) -> str:
    """Where the chunks of one series are."""
    return f"{run_prefix(run)}{sid.hex()}/"


def run_prefix(run: str) -> str:
    """Where the chunks of one run are."""
    return f"chunks/{run}/"


def record_key(run: str) -> str:
    """The object that tells of a run what its chunks do not."""
    return f"runs/{run}.json"


def file_key(run: str, file: str, upload: str) -> str:
    """The object of a file's bytes, as one upload of it left them."""
    return f"{files_prefix(run)}{file}/{upload}"


def files_prefix(run: str) -> str:
    """Where the files of one run are."""
    return f"files/{run}/"
