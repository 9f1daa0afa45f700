"""The rollups of a chunk: of every field that has a number, as bytes of which a reader takes what it asks for. Pure.

docs/formats/chunk.md has the bytes. `Rollup.to_bytes` is what is summarised here; a span's extremes are stored as
distances from its start, and the n-th bytes of all numbers together, which zstd makes a third of the size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import zstandard

from ml_dash import rollup
from ml_dash.errors import CorruptData
from ml_dash.rollup import BASE, BoolArray, FloatArray, IntArray, Rollup
from ml_dash.store.tier_keys import field_key

COARSE = (1_000, 10_000)
"""Points a span of the rollups that the manifest keeps."""
IN_MANIFEST = 64
"""Fields of which it keeps them, the commonest ones."""

_MAGIC = b"MLR1"
_HEAD = struct.Struct("<4sII")
"""Magic, CRC-32 of all behind it, number of fields."""
_ENTRY = np.dtype([("key", "V8"), ("size", "<u4")])
_CELLS = 200_000
"""Numbers summarised at a time: what many short columns cost is the calls."""
_PLACES = [list(Rollup.__dataclass_fields__).index(name) for name in ("argmin", "argmax")]


class Rolled(NamedTuple):
    """What `roll_all` gives."""

    blob: bytes
    coarse: dict[int, dict[str, bytes]]
    more: bool


def roll_all(
    first: int, stop: int, fields: Sequence[str], numbers: Callable[[str], tuple[FloatArray, BoolArray]]
) -> Rolled:
    """The rollups of rows [first, stop) of `fields`, the commonest first; `numbers` gives a field's values."""
    compress = zstandard.ZstdCompressor(level=3, write_checksum=False).compress
    checked = zstandard.ZstdCompressor(level=3, write_checksum=True).compress
    starts = rollup.grid(first, stop, BASE)[:-1]
    frames: list[bytes] = []
    coarse: dict[int, dict[str, bytes]] = {width: {} for width in COARSE}
    for names, fine in _blocks(first, stop, fields, numbers):
        frames += [compress(_shuffled(fine[name], starts)) for name in names]
        for width, name in ((width, name) for width in COARSE for name in names):
            if len(coarse[width]) < IN_MANIFEST:
                groups = np.searchsorted(np.append(starts, stop), rollup.grid(first, stop, width))
                coarse[width][field_key(name)] = checked(rollup.merge(fine[name], groups).to_bytes())
    return Rolled(_packed(fields, frames), coarse, len(fields) > IN_MANIFEST)


def _blocks(
    first: int, stop: int, fields: Sequence[str], numbers: Callable[[str], tuple[FloatArray, BoolArray]]
) -> Iterator[tuple[Sequence[str], dict[str, Rollup]]]:
    """Rollups of base spans, of some fields at a time: their rows one after the other are one long column."""
    count, edges = stop - first, rollup.grid(first, stop, BASE) - first
    each = max(1, _CELLS // count)
    for at in range(0, len(fields), each):
        names = fields[at : at + each]
        columns = [numbers(name) for name in names]
        values, valid = (np.concatenate(part) if len(names) > 1 else part[0] for part in zip(*columns, strict=True))
        ends = np.append((np.arange(len(names))[:, None] * count + edges[:-1]).reshape(-1), len(names) * count)
        rolled = rollup.roll(values, valid, 0, ends)
        spans = len(edges) - 1
        yield (
            names,
            {name: _moved(rolled.part(i * spans, (i + 1) * spans), first - i * count) for i, name in enumerate(names)},
        )


def _moved(part: Rollup, by: int) -> Rollup:
    some = part.count > 0
    columns = {name: getattr(part, name) for name in part.__dataclass_fields__}
    columns |= {name: np.where(some, columns[name] + by, -1) for name in ("argmin", "argmax")}
    return Rollup(**columns)


def _shuffled(part: Rollup, starts: IntArray) -> bytes:
    table = np.stack([column.view(np.int64) for column in part.columns])
    table[_PLACES] -= np.where(part.count > 0, starts, 0)
    return table.astype("<i8", copy=False).view(np.uint8).reshape(len(table), -1, 8).transpose(0, 2, 1).tobytes()


def _unshuffled(data: bytes, starts: IntArray) -> Rollup:
    spans = len(starts)
    table = np.frombuffer(data, np.uint8).reshape(-1, 8, spans).transpose(0, 2, 1).copy().view("<i8").reshape(-1, spans)
    table[_PLACES] += np.where(table[0] > 0, starts, 0)
    return Rollup.from_bytes(table.tobytes())


def _packed(fields: Sequence[str], frames: Sequence[bytes]) -> bytes:
    entries = np.array(
        [(bytes.fromhex(field_key(name)), len(frame)) for name, frame in zip(fields, frames, strict=True)], _ENTRY
    )
    body = entries.tobytes() + b"".join(frames)
    count = len(fields).to_bytes(4, "little")
    return _MAGIC + zlib.crc32(count + body).to_bytes(4, "little") + count + body


def rollups(blob: bytes, first: int, stop: int, fields: Sequence[str], origin: str = "rollups") -> dict[str, Rollup]:
    """Each of `fields` from the bytes at `Encoded.rollup` of the chunk of rows [first, stop): the spans of
    `rollup.grid(first, stop, 100)`, all of them empty of a field that has no number there.

    Raises `CorruptData` naming `origin` where these are not the bytes that were written.
    """
    starts = rollup.grid(first, stop, BASE)[:-1]
    found = _frames(blob, {bytes.fromhex(field_key(name)) for name in fields}, origin)
    out: dict[str, Rollup] = {}
    for name in fields:
        frame = found.get(bytes.fromhex(field_key(name)))
        try:
            out[name] = _empty(len(starts)) if frame is None else _unshuffled(_decompressed(frame), starts)
        except (ValueError, zstandard.ZstdError) as e:
            raise CorruptData(origin, 0, f"rollups of {first} to {stop} that are not of these rows ({e})") from e
    return out


def coarse(blob: bytes, first: int, stop: int, origin: str = "rollups") -> tuple[dict[int, dict[str, bytes]], bool]:
    """What `roll_all` gave beside these bytes, from them alone: for a manifest that is made anew, or looked at."""
    starts = rollup.grid(first, stop, BASE)[:-1]
    compress = zstandard.ZstdCompressor(level=3, write_checksum=True).compress
    frames = _frames(blob, None, origin)
    found: dict[int, dict[str, bytes]] = {width: {} for width in COARSE}
    for key, frame in islice(frames.items(), IN_MANIFEST):
        try:
            fine = _unshuffled(_decompressed(frame), starts)
        except (ValueError, zstandard.ZstdError) as e:
            raise CorruptData(origin, 0, f"rollups of {first} to {stop} that are not of these rows ({e})") from e
        for width in COARSE:
            groups = np.searchsorted(np.append(starts, stop), rollup.grid(first, stop, width))
            found[width][key.hex()] = compress(rollup.merge(fine, groups).to_bytes())
    return found, len(frames) > IN_MANIFEST


def _decompressed(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(frame)


def _frames(blob: bytes, keys: set[bytes] | None, origin: str) -> dict[bytes, bytes]:
    """The frames of these fields, or of all, in the order in which they are there."""
    if len(blob) < _HEAD.size or blob[:4] != _MAGIC:
        raise CorruptData(origin, 0, "bytes that are not a chunk's rollups")
    _, crc, count = _HEAD.unpack_from(blob)
    body = memoryview(blob)[_HEAD.size :]
    if zlib.crc32(blob[8:]) != crc or count * _ENTRY.itemsize > len(body):
        raise CorruptData(origin, 0, "rollups that are not what was written")
    entries = np.frombuffer(body, _ENTRY, count)
    ends = (np.cumsum(entries["size"], dtype=np.int64) + count * _ENTRY.itemsize).tolist()
    begins = [count * _ENTRY.itemsize, *ends]
    places = zip(entries["key"].tolist(), pairwise(begins), strict=True)
    return {key: bytes(body[a:b]) for key, (a, b) in places if keys is None or key in keys}


def _empty(spans: int) -> Rollup:
    blank = np.zeros(1)
    return rollup.roll(blank, np.zeros(1, np.bool_), 0, np.zeros(spans + 1, np.int64))
