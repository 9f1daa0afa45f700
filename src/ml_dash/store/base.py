"""The Store: the contract, in prose first. Every implementation passes `ml_dash.testing.StoreContract` whole. No implementation lives here.

**Data.** A run has an id that is never used again, also after the run is deleted. A series belongs to a run; it is
a sequence of rows with the indices 0, 1, 2, … without a hole, and only grows. A row is an encoded JSON object
(`codec.encode_row`); the store does not change it: what was appended is what a page's lines hold, byte for byte.

**Order.** Batches of one `append` call to one series are stored in the order given. Two calls, from any threads,
processes or machines, are ordered one after the other; a batch is never interleaved with another and never seen in part.

**Durability**, three levels:
*accepted* — `append` returned: the rows survive the death of the process;
*durable* — `flush` returned: they survive the death of the machine (fsync, or an acknowledgement by a journalled majority);
*visible* — a `read` anywhere sees them, from the moment that `append` returned.

**Exactly once.** A batch with (writer, seq) may be sent again: rows that the series already has from that writer are
trimmed, the rest is appended. `seq` beyond the writer's mark raises `Conflict` whose ``expected`` is the mark. Where the
trimmed rows reach the mark, their content is compared with the mark's hashes; a difference raises `Conflict` with
``expected`` None: the writer's log was copied and went its own way. Marks live as long as the run.

**Atomicity of a call.** `append` checks all of its batches before it stores the first. A failure in the middle
(disk full) leaves whole batches before it stored, of the failing batch nothing.

**Errors.** `InvalidInput`, `NotFound` (no such run or file; an unknown series is not an error: it reads as empty),
`Conflict`, `Unavailable`, `PermissionDenied`, `CorruptData`; a local write that did not happen raises `OSError`.

Methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from ml_dash.model import (
        Appended,
        Batch,
        ColumnsPage,
        FilePatch,
        FilePut,
        FileRecord,
        Page,
        Run,
        RunKey,
        RunPatch,
        RunQuery,
        SeriesInfo,
        SeriesKey,
    )
    from ml_dash.rollup import Sample


class Store(Protocol):
    """Where runs live. See the module's text for the contract."""

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        """Create the run `key`, or resume it; apply `patch` to it either way. Idempotent."""

    def update_run(self, run: str, patch: RunPatch) -> Run:
        """Apply `patch` to the run with id `run`. Raises `NotFound`."""

    def get_run(self, run: RunKey | str) -> Run:
        """The run by key or by id, without its series. Raises `NotFound`."""

    def find_runs(self, query: RunQuery) -> list[Run]:
        """The runs that match, newest (`created_at`) first."""

    def delete_run(self, run: str) -> None:
        """Delete the run with all that it holds. Its id never comes back. Raises `NotFound`."""

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Append each batch to its series. One `Appended` a batch, in order."""

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        """Points [start, start + limit) as far as they exist; `limit` None is all, `start` is ≥ 0. With `most`, about as many of
        them as go into so many bytes of lines, and at least one; the store reads no more than it takes to know that."""

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        """`fields` (100 at most) of the points [start, stop), typed, as far as they exist and a page goes: a store may give fewer,
        but one at least if there is one; who wants the rest asks for it from `start + count` on. `stop` None is the end. A page
        has 1,048,576 points at most and 16 MB of columns; where a store makes it from rows, 8 MB of these."""

    def describe(self, run: str) -> list[SeriesInfo]:
        """Every series of the run but logs and events, sorted by kind and name. Raises `NotFound`."""

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """At most `max_points` exact buckets of `field` over [start, stop); see `rollup.Sample`."""

    def flush(self, run: str | None = None) -> None:
        """Make all that was accepted durable; of one run if given."""

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        """Store what `source` yields until its end, streaming. A live file with the same prefix and name is replaced.
        The same `put.id` with the same content again returns the stored record; with other content, `Conflict`. Bytes that
        have not `put.checksum` raise `InvalidInput`, and nothing is stored. With an id and a checksum, a put that broke may go
        on where it was: the store may have kept what came, unseen, and then moves a `source` that can seek forward past it,
        from where it stands; and it need not read a source whose file is stored already."""

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        """The record and a stream of the bytes; the caller closes it. Raises `FileMissing`."""

    def find_files(self, run: str) -> list[FileRecord]:
        """Every live file of the run, oldest first."""

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        """Change or delete a file's record. Raises `FileMissing`, also for one that was deleted before."""

    def close(self) -> None:
        """Let go of descriptors and connections. What was accepted stays accepted."""
