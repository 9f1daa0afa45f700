"""Which of the bucket's chunks are the history of a series: what `recover` enters into the manifest. Pure; nothing is read here.

Where a chunk is lost, the rows of those behind it are still at the indices that their keys tell. So a history may have holes below
its end: what is in a hole cannot be read, all else can, and the series goes on where it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ml_dash.store.hot_documents import Document, Head
from ml_dash.store.tier_walk import ChunkObject, index_of


@dataclass
class History:
    """One series on its way back. `chunks` are the objects that may be its history; `entries` (by their object's key) what is known
    of those that the manifest has or that were read; `there` are those that it had; `warm` tells that MongoDB has rows of it."""

    sid: bytes
    chunks: list[ChunkObject]
    head: Head | None = None
    warm: bool = False
    entries: dict[str, Document] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    @property
    def sealed(self) -> int:
        """What the database says."""
        return self.head.sealed if self.head is not None else 0

    def plan(self) -> tuple[list[ChunkObject], list[ChunkObject]]:
        """Its history, as it seems; and the part of that at or above `sealed`, which has no hole where there are hot rows that
        it could pass over."""
        named = {index_of(one): key for key, one in self.entries.items() if key in self.there}
        if self.head is None and not self.warm:
            whole = chain_over(0, self.chunks, named)
            return whole, whole
        beyond = chain_from(self.sealed, self.chunks, named)
        return chain_over(0, self.chunks, named, self.sealed) + beyond, beyond

    def leave_out(self, one: ChunkObject, why: str) -> None:
        """Plan without it from now on."""
        self.chunks = [other for other in self.chunks if other.key != one.key]
        self.entries.pop(one.key, None)
        self.there.discard(one.key)
        self.troubles.append(why)


def end_of(chain: Sequence[ChunkObject]) -> int:
    """The first index behind the chain."""
    return chain[-1].stop if chain else 0


def holes(chain: Iterable[ChunkObject], sealed: int) -> Iterator[tuple[int, int]]:
    """The rows [start, stop) that no chunk of the chain holds, up to its end or to `sealed`."""
    at = 0
    for one in chain:
        if one.first > at:
            yield at, one.first
        at = one.stop
    if at < sealed:
        yield at, sealed


def chain_over(
    start: int, chunks: Iterable[ChunkObject], named: dict[int, str], stop: int | None = None
) -> list[ChunkObject]:
    """As `chain_from`, or below `stop` as `chain_between`, going on behind each hole."""
    left, chain, at = list(chunks), [], start
    while True:
        part = chain_from(at, left, named) if stop is None else chain_between(at, stop, left, named)
        chain += part
        at = part[-1].stop if part else at
        left = [one for one in left if one.first > at and (stop is None or one.stop <= stop)]
        if not left:
            return chain
        at = min(one.first for one in left)


def chain_from(start: int, chunks: Iterable[ChunkObject], named: dict[int, str]) -> list[ChunkObject]:
    """The chunks that hold rows `start`, `start` + 1, … without a hole. Where several begin at one index (two archivers worked on it,
    one was slower), the one whose key `named` has for that index; else one that leads furthest, and of these the one that
    leads there in most steps: where another chunk begins, a series once was sealed."""
    begin: dict[int, list[ChunkObject]] = {}
    for one in chunks:
        if one.stop > one.first >= start:
            begin.setdefault(one.first, []).append(one)
    best: dict[int, tuple[int, int, ChunkObject]] = {}
    for first in sorted(begin, reverse=True):
        choices = [one for one in begin[first] if one.key == named.get(first)] or begin[first]
        ends = [(*_end(best, one.stop), one) for one in choices]
        reach, steps, one = max(ends, key=lambda end: (end[0], end[1], end[2].key))
        best[first] = (reach, steps + 1, one)
    chain: list[ChunkObject] = []
    at = start
    while at in best:
        chain.append(best[at][2])
        at = chain[-1].stop
    return chain


def _end(best: dict[int, tuple[int, int, ChunkObject]], at: int) -> tuple[int, int]:
    return best[at][:2] if at in best else (at, 0)


def chain_between(start: int, stop: int, chunks: Iterable[ChunkObject], named: dict[int, str]) -> list[ChunkObject]:
    """As `chain_from`, of chunks that lie below `stop`, preferring one that ends there; its rows may end before."""
    inside = [one for one in chunks if one.stop <= stop]
    leading = {stop}
    for one in sorted(inside, key=lambda one: one.first, reverse=True):
        if one.stop in leading:
            leading.add(one.first)
    if start in leading:
        inside = [one for one in inside if one.first in leading and one.stop in leading]
    return chain_from(start, inside, named)
