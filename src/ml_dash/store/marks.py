"""Marks: how far a writer's log has reached into a series, and what a retried batch still has to store.

Pure, and shared by all stores, so that "exactly once" means the same in each. No I/O, no locks: whoever keeps the
marks calls `trim`, stores what it leaves, and keeps `advance`'s mark, all in one step of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from ml_dash.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from ml_dash.model import Batch

TAIL = 16
"""Rows before the mark whose hashes are kept."""
_HASH_BYTES = 8


class Mark(msgspec.Struct, frozen=True):
    """How far `writer` has reached in one series.

    The series holds the writer's rows 0 … `seq` - 1. `tail` holds the hashes (`row_hash`) of the last of them,
    `TAIL` at most, oldest first: the last one belongs to row `seq` - 1.
    """

    writer: str
    seq: int = 0
    tail: list[str] = msgspec.field(default_factory=list)


def row_hash(row: bytes) -> str:
    """16 hex digits of an encoded row."""
    return blake2b(row, digest_size=_HASH_BYTES).hexdigest()


def trim(mark: Mark | None, batch: Batch) -> int:
    """How many leading rows of `batch` the series already has; 0 for a batch without an identity.

    `mark` is the one that the series keeps for the batch's writer, None if it has never heard of it. Raises `Conflict`
    with the seq expected where rows are missing before the batch, `Conflict` with None where the rows are not those
    that were stored under these seqs, and `InvalidInput` where writer and seq do not come together.
    """
    if batch.writer is None and batch.seq is None:
        return 0
    seq = _checked_seq(batch)
    reached = mark.seq if mark else 0
    if seq > reached:
        raise Conflict(
            f"{_place(batch)}: rows {reached} … {seq - 1} are missing; send from seq {reached} on.", expected=reached
        )
    known = min(reached - seq, len(batch.rows))
    if mark:
        _compare(mark, batch, seq, known)
    return known


def advance(mark: Mark | None, batch: Batch) -> Mark | None:
    """The mark once `batch`, which has passed `trim`, is stored: `mark` itself where that changes nothing."""
    if batch.writer is None:
        return mark
    seq = _checked_seq(batch)
    reached = mark.seq if mark else 0
    new = batch.rows[reached - seq :]
    if not new:
        return mark
    tail = (mark.tail if mark else []) + [row_hash(row) for row in new[-TAIL:]]
    return Mark(batch.writer, reached + len(new), tail[-TAIL:])


def without(batch: Batch, known: int) -> Batch:
    """`batch` less its first `known` rows, with seq and times in step."""
    if not known:
        return batch
    seq = None if batch.seq is None else batch.seq + known
    return msgspec.structs.replace(batch, rows=batch.rows[known:], seq=seq, times=_later(batch, known))


def _later(batch: Batch, known: int) -> tuple[tuple[int, int], ...]:
    """The times of the rows from `known` on. The tick in force at the cut moves to the first row that is left."""
    before = [ms for offset, ms in batch.times if offset <= known]
    after = ((offset - known, ms) for offset, ms in batch.times if offset > known)
    return ((0, before[-1]), *after) if before else tuple(after)


def _checked_seq(batch: Batch) -> int:
    if not batch.writer or batch.seq is None or batch.seq < 0:
        raise InvalidInput(
            f"batch: writer and seq (0 or more) come together; got writer={batch.writer!r}, seq={batch.seq!r}."
        )
    return batch.seq


def _compare(mark: Mark, batch: Batch, seq: int, known: int) -> None:
    """Raise where rows that are trimmed, and still have a hash, are other rows than those stored."""
    oldest = mark.seq - len(mark.tail)
    for at in range(max(seq, oldest), seq + known):
        if row_hash(batch.rows[at - seq]) != mark.tail[at - oldest]:
            raise Conflict(
                f"{_place(batch)}: row {at} is not the one that was stored under this seq. This log is a copy that "
                "went its own way; give it a writer id of its own."
            )


def _place(batch: Batch) -> str:
    return f"{batch.series.kind} {batch.series.name!r}, writer {batch.writer}"
