"""MemoryStore: the model that every other store is compared with. One lock, dictionaries, lists; obvious before fast.

No file, thread, cache or index may come in here. It is excused from one thing only: it dies with its process.
"""

from __future__ import annotations

import io
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ml_dash import codec, names
from ml_dash.errors import Conflict, FileMissing, NotFound
from ml_dash.model import (
    METRICS,
    TRACKS,
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
from ml_dash.store import marks
from ml_dash.store import patch as patches
from ml_dash.store.checks import check_batch, check_columns, check_content, check_key, check_put, check_series
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.rollup import Sample


@dataclass
class _Series:
    info: SeriesInfo
    rows: list[bytes] = field(default_factory=list)
    ticks: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[str, marks.Mark] = field(default_factory=dict)


@dataclass
class _Run:
    record: Run
    series: dict[tuple[str, str], _Series] = field(default_factory=dict)
    files: dict[str, tuple[FileRecord, bytes]] = field(default_factory=dict)


class MemoryStore:
    """A `Store` in dictionaries. `clock` gives unix seconds; an attempt that has not left counts as alive."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._ids: dict[RunKey, str] = {}
        self._runs: dict[str, _Run] = {}
        self._deleted: set[str] = set()

    # ------------------------------------------------------------ runs

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        check_key(key)
        with self._lock:
            if key in self._ids:
                return self.update_run(self._ids[key], patch)
            run = _Run(patches.new_run(key, patch, self._clock()))
            answer = self._apply(run, patch)
            self._ids[key], self._runs[run.record.id] = run.record.id, run
            return answer

    def update_run(self, run: str, patch: RunPatch) -> Run:
        with self._lock:
            return self._apply(self._run(run), patch)

    def get_run(self, run: RunKey | str) -> Run:
        with self._lock:
            return deepcopy(self._run(run).record)

    def find_runs(self, query: RunQuery) -> list[Run]:
        with self._lock:
            found = [deepcopy(run.record) for run in self._runs.values() if _matches(query, run.record.key)]
            for run in found if query.series else ():
                run.series = self.describe(run.id)
        found.reverse()  # of one millisecond the later one is newer
        return sorted(found, key=lambda run: run.created_at, reverse=True)

    def delete_run(self, run: str) -> None:
        with self._lock:
            del self._ids[self._run(run).record.key]
            del self._runs[run]
            self._deleted.add(run)

    def _run(self, run: RunKey | str) -> _Run:
        found = self._runs.get(run if isinstance(run, str) else self._ids.get(run, ""))
        if found is None:
            raise NotFound(f"there is no run {run!r}{'; it was deleted' if run in self._deleted else ''}.")
        return found

    def _apply(self, run: _Run, patch: RunPatch) -> Run:
        for meta in patch.series:
            check_series(SeriesKey(run.record.id, meta.kind, meta.name))
        if patches.is_known(run.record, patch):
            return deepcopy(run.record)
        now = self._clock()
        shown = {key: len(series.rows) for key, series in run.series.items() if key[0] in (METRICS, TRACKS)}
        lengths = {f"{kind}/{name}": count for (kind, name), count in shown.items() if count}
        run.record = patches.apply_patch(run.record, deepcopy(patch), now, alive=lambda _: True, lengths=lengths)
        for meta in deepcopy(patch).series:
            series = self._series(run, meta.kind, meta.name)
            series.info = patches.apply_meta(series.info, meta, now)
        return deepcopy(run.record)

    # ------------------------------------------------------------ series

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        with self._lock:
            self._check(batches)
            return [self._store(batch) for batch in batches]

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        with self._lock:
            stored = self._run(series.run).series.get((series.kind, series.name))
            rows, ticks = (stored.rows, stored.ticks) if stored else ([], [])
            stop = len(rows) if limit is None else min(start + max(limit, 0), len(rows))
            lines = codec.render(series.kind, start, rows[start:stop])
            page = Page(series.kind, start, max(stop - start, 0), len(rows), lines, _ticks(ticks, start, stop))
        return page if most is None else codec.cut(page, most)

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        from ml_dash.columns import from_rows

        check_columns(series, fields, start)
        return from_rows(self.read, series, fields, start, stop)

    def describe(self, run: str) -> list[SeriesInfo]:
        with self._lock:
            stored = sorted(self._run(run).series.items())
            return [_described(series) for (kind, _), series in stored if kind in (METRICS, TRACKS)]

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        from ml_dash import rollup

        page = self.read(series, 0, None)
        stop = page.total if stop is None else min(stop, page.total)
        columns = codec.numbers(page, [field] if x in (None, field) else [field, str(x)])
        edges = rollup.bucket_edges(min(start, stop), stop, max_points)
        y, *xs = (rollup.roll(*columns[name], 0, edges) for name in (field, x) if name is not None)
        return rollup.sample_of(edges, y, *xs)

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`. Nothing here is more durable than the process."""
        if run is not None:
            self.get_run(run)

    def _check(self, batches: Sequence[Batch]) -> None:
        """Raise what any of the batches would raise, each seen after those before it."""
        reached: dict[tuple[SeriesKey, str], marks.Mark | None] = {}
        for batch in batches:
            check_batch(batch)
            series = self._run(batch.series.run).series.get(batch.series[1:])
            place = (batch.series, batch.writer or "")
            mark = reached.get(place) or (series.marks.get(place[1]) if series else None)
            marks.trim(mark, batch)
            reached[place] = marks.advance(mark, batch)

    def _store(self, batch: Batch) -> Appended:
        """Store what is new of a batch that has been checked."""
        series = self._series(self._run(batch.series.run), batch.series.kind, batch.series.name)
        mark = series.marks.get(batch.writer or "")
        new = marks.without(batch, marks.trim(mark, batch))
        first = len(series.rows)
        if not new.rows:
            return Appended(None, 0, first)
        now = self._clock()
        least = series.ticks[-1][1] if series.ticks else 0
        series.ticks += [(first + at, max(ms, least)) for at, ms in new.times or ((0, int(now * 1000)),)]
        series.rows += new.rows
        series.info.updated_at = iso(int(now * 1000))
        if (advanced := marks.advance(mark, batch)) is not None:
            series.marks[advanced.writer] = advanced
        return Appended(first, len(new.rows), len(series.rows))

    def _series(self, run: _Run, kind: str, name: str) -> _Series:
        at = iso(int(self._clock() * 1000))
        return run.series.setdefault((kind, name), _Series(SeriesInfo(kind, name, created_at=at, updated_at=at)))

    # ------------------------------------------------------------ files

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        check_put(put)
        known = self._runs[run].files.get(put.id or "") if run in self._runs else None
        if known is not None and put.checksum == known[0].checksum:
            return deepcopy(known[0])
        content = source.read()
        check_content(put, len(content), sha256(content).hexdigest())
        with self._lock:
            files, at = self._run(run).files, iso(int(self._clock() * 1000))
            record = _record(run, deepcopy(put), content, at)
            if record.id in files:
                return _same(files[record.id][0], record)
            for old, _ in list(files.values()):
                if old.deleted_at is None and _path(old.path, old.filename) == _path(put.prefix, put.filename):
                    self.update_file(run, old.id, FilePatch(deleted=True))
            files[record.id] = (record, content)
            return deepcopy(record)

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        with self._lock:
            record, content = self._file(run, file)
            return deepcopy(record), io.BytesIO(content)

    def find_files(self, run: str) -> list[FileRecord]:
        with self._lock:
            return [deepcopy(record) for record, _ in self._run(run).files.values() if record.deleted_at is None]

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        with self._lock:
            record, content = self._file(run, file)
            record = patches.apply_file_patch(record, deepcopy(patch), self._clock())
            self._run(run).files[file] = (record, b"" if patch.deleted else content)
            return deepcopy(record)

    def _file(self, run: str, file: str) -> tuple[FileRecord, bytes]:
        found = self._run(run).files.get(file)
        if found is None or found[0].deleted_at is not None:
            raise FileMissing(f"the run {run} has no file {file!r}.")
        return found

    def close(self) -> None:
        """See `Store.close`. There is nothing to let go of."""


def _matches(query: RunQuery, key: RunKey) -> bool:
    return query.namespace in (None, key.namespace) and query.project in (None, key.project)


def _ticks(ticks: list[tuple[int, int]], start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The ticks that [start, stop) needs: from the last at or before `start` on, the first if there is none."""
    if start >= stop:
        return ()
    first = max(bisect_right(ticks, start, key=lambda tick: tick[0]) - 1, 0)
    return tuple(ticks[first : max(bisect_left(ticks, stop, key=lambda tick: tick[0]), first + 1)])


def _described(series: _Series) -> SeriesInfo:
    info = msgspec.structs.replace(deepcopy(series.info), count=len(series.rows))
    if series.rows:
        info.last = codec.decode_row(series.rows[-1])
        info.first_at, info.last_at = iso(series.ticks[0][1]), iso(series.ticks[-1][1])
    return info


def _record(run: str, put: FilePut, content: bytes, at: str) -> FileRecord:
    return FileRecord(
        id=put.id or patches.new_id(),
        experiment_id=run,
        path=put.prefix,
        filename=put.filename,
        description=put.description,
        tags=put.tags or [],
        content_type=put.content_type or "application/octet-stream",
        size_bytes=len(content),
        checksum=sha256(content).hexdigest(),
        metadata=put.metadata,
        uploaded_at=at,
        updated_at=at,
    )


def _same(stored: FileRecord, again: FileRecord) -> FileRecord:
    """The stored record, for a put that is retried; also of a file that has been deleted or replaced since."""
    if stored.checksum != again.checksum:
        raise Conflict(f"file {stored.id}: other content is stored under this id (sha256 {stored.checksum}).")
    return deepcopy(stored)


def _path(prefix: str, filename: str) -> tuple[str, ...]:
    return (*names.prefix_path(prefix), filename)
