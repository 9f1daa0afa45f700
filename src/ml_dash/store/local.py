"""LocalStore: runs as folders of JSONL that a person can read. Joins run folders, series files and their caches.

What is on disk is specified in docs/formats/; how one series is written is `series_file`'s business, where it lies is
`run_folder`'s. No name of a user's API and no network may come in here.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ml_dash import background
from ml_dash.errors import CorruptData, InvalidInput, NewerFormat, NotFound
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
from ml_dash.store import file_system, locks
from ml_dash.store.atomic import inside
from ml_dash.store.checks import check_batch, check_columns, check_key, check_series
from ml_dash.store.foreign import times_in
from ml_dash.store.listing import Listing, peek
from ml_dash.store.marks import Mark, advance, trim
from ml_dash.store.patch import apply_meta, apply_patch, is_known, new_id, new_run
from ml_dash.store.run_files import RunFiles
from ml_dash.store.run_folder import (
    DATA,
    RECORDS,
    RunFolder,
    host,
    save_meta,
)
from ml_dash.store.run_folders import CACHE, RunFolders, bury, is_same
from ml_dash.store.running_sums import RunningSums
from ml_dash.store.series_file import SeriesFile, end_series
from ml_dash.store.series_files import AnyFile, SeriesFiles, told

if TYPE_CHECKING:
    from ml_dash.rollup import Sample
    from ml_dash.store.sample_cache import SampleCache

_TICKS = 10.0
"""Seconds that wall times stay in memory at most."""
_COUNTS = 60.0
"""Seconds that a series' metadata.json may tell an old length, where only rows were flushed."""
_SHORT = 50_000
"""Points of a series whose numbers are kept once they were decoded; from longer ones rollups are."""
_DISK = 0.1
"""Seconds between two syncs with durability="disk"."""


class LocalStore:
    """Runs below the folder `root`.

    `durability` is "flush" (fsync at flush and close) or "disk" (also every 100 ms). `locking=False` is for one writer
    on a file system without locks. `patience` is how long (s) to wait for another process's lock.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.time,
        durability: str = "flush",
        locking: bool = True,
        patience: float = locks.PATIENCE,
        descriptors: int | None = None,
    ) -> None:
        if durability not in ("flush", "disk"):
            msg = f'durability: expected "flush" or "disk"; got {durability!r}.'
            raise InvalidInput(msg)
        self.root = os.path.abspath(os.fspath(root))
        self._clock = clock
        self._locking = locking
        self._durability = durability
        self._folders = RunFolders(self.root, clock, patience)
        self._series = SeriesFiles(self.root, clock=clock, locking=locking, patience=patience, descriptors=descriptors)
        self._plain = self._series.plain
        self._mutex = threading.RLock()
        self._sums = RunningSums()
        self._samples: SampleCache | None = None
        self._listing = Listing(self.root, os.path.join(self.root, CACHE, "listing"), clock, told)
        self._warned = self._background = False
        background.after_fork(self._forked)

    def _forked(self) -> None:
        self._mutex = threading.RLock()
        self._sums = RunningSums()
        self._series.forget()
        if self._background:
            self._background = False
            self._start_background()

    def _start_background(self) -> None:
        if not self._background:
            self._background = True
            background.every(_TICKS, self._series.write_ticks)
            background.every(_COUNTS, self._series.write_counts)
            if self._durability == "disk":
                background.every(_DISK, self._series.sync)

    # ------------------------------------------------------------ runs

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        """See `Store.put_run`."""
        check_key(key)
        with self._mutex:
            folder = self._make_folder(key)
            with folder.lock():
                before = folder.load()
                run = self._adopted(folder, before, patch)
                after = self._patched(folder, run, patch, before)
            self._folders.keep(after.id, folder)
            return after

    def _make_folder(self, key: RunKey) -> RunFolder:
        os.makedirs(self.root, exist_ok=True)
        if self._locking and not self._warned:
            self._warned = True
            file_system.warn_if_remote(self.root)
        self._start_background()
        return self._folders.make(key)

    def _adopted(self, folder: RunFolder, before: Run | None, patch: RunPatch) -> Run:
        """The run to patch: as stored, or new. A folder of a published client, and a copied folder, get an id of their own."""
        if before is None:
            run = new_run(folder.key, patch, self._clock())
            run.kind = patch.kind or "experiment"
            return run
        run = deepcopy(before)
        if before.id.startswith(("foreign-", "copy-")):
            run.id = new_id()
        if patch.kind is not None and patch.kind != run.kind:
            patch_kind = RECORDS[run.kind]
            msg = f"{folder.path} holds a {run.kind} ({patch_kind}); open it as such, or choose another name or folder."
            raise InvalidInput(msg)
        return run

    def _promised(self, folder: RunFolder, run: Run, patch: RunPatch, lengths: Mapping[str, int] | None = None) -> Run:
        return apply_patch(run, patch, self._clock(), alive=folder.alive, lengths=lengths, host=host(), pid=os.getpid())

    def _patched(self, folder: RunFolder, run: Run, patch: RunPatch, before: Run | None) -> Run:
        """Apply and write `patch`; the caller holds the lock."""
        if is_known(run, patch):
            return run
        lengths = self._lengths(folder) if patch.join is not None and before is not None else {}
        after = self._promised(folder, run, patch, lengths)
        if patch.join is not None:
            folder.enter(patch.join, patch)
        if after.id != run.id or before is None or after != before:
            try:
                folder.save(after, before)
            except OSError:
                if patch.join is not None:
                    folder.leave(patch.join)
                raise
        for attempt in (patch.leave, *patch.dead):
            if attempt is not None:
                folder.leave(attempt)
        for meta in patch.series:
            place = folder.make_series(meta.kind, meta.name)
            info = apply_meta(self._series.info(place, meta.kind, meta.name), meta, self._clock())
            save_meta(place, info, sync=False)
        return after

    def _lengths(self, folder: RunFolder) -> dict[str, int]:
        """Each series' length, for the attempt to note. A damaged series is for those who read it to hear of."""
        lengths = {}
        for kind, name, place in folder.list_series():
            with suppress(CorruptData):
                if count := peek(os.path.join(place, DATA), kind)[0]:
                    lengths[f"{kind}/{name}"] = count
        return lengths

    def update_run(self, run: str, patch: RunPatch) -> Run:
        """See `Store.update_run`."""
        for meta in patch.series:
            check_series(SeriesKey(run, meta.kind, meta.name))
        folder = self._folder(run)
        if patch.heartbeat is not None and patch == RunPatch(heartbeat=patch.heartbeat, host=patch.host, pid=patch.pid):
            folder.beat(patch.heartbeat, patch)
            return self._loaded(run, folder)
        if folder.afterwards(lambda: self.update_run(run, patch)):
            # A signal handler in the middle of another change, which would write over this one.
            return self._promised(folder, self._loaded(run, folder), patch)
        with folder.lock():
            before = self._loaded(run, folder)
            return self._patched(folder, deepcopy(before), patch, before)

    def get_run(self, run: RunKey | str) -> Run:
        """See `Store.get_run`."""
        if isinstance(run, str):
            return self._loaded(run, self._folder(run))
        check_key(run)
        folder = self._folders.find(run)
        found = folder.load() if folder is not None else None
        if found is None or folder is None:
            place = os.path.join(self.root, run.project, run.name)
            raise NotFound(f"there is no run {run.name!r} in project {run.project!r} ({place}).")
        self._folders.keep(found.id, folder)
        return found

    def folder(self, run: str) -> RunFolder:
        """Where the run lies. Raises `NotFound`."""
        return self._folder(run)

    def opened(self, run: str) -> dict[SeriesKey, str]:
        """The series of the run that this process has open, with their files: what it appends to, without looking."""
        return self._series.paths(run)

    def _folder(self, run: str) -> RunFolder:
        return self._folders.by_id(run, lambda: self.find_runs(RunQuery()))

    def _loaded(self, run: str, folder: RunFolder) -> Run:
        found = folder.load()
        if found is None or not is_same(run, found.id):
            raise self._folders.not_found(run)
        found.id = run
        return found

    def find_runs(self, query: RunQuery) -> list[Run]:
        """See `Store.find_runs`. A folder whose record cannot be read is passed over with a warning."""
        found = []
        if query.series:
            self._series.write_ticks()
        for key, path in self._folders.paths(query.namespace, query.project):
            folder = RunFolder(path, key, self._clock)
            run = self._listed(folder, query)
            if run is not None:
                self._folders.seen(run.id, folder)
                found.append(run)
        self._listing.save()
        return sorted(found, key=lambda run: run.created_at, reverse=True)

    def _listed(self, folder: RunFolder, query: RunQuery) -> Run | None:
        try:
            return self._listing.run(folder, series=query.series)
        except (CorruptData, NewerFormat, PermissionError) as e:
            warnings.warn(f"{folder.path} is left out of the list: {e}", RuntimeWarning, stacklevel=4)
            return None

    def delete_run(self, run: str) -> None:
        """See `Store.delete_run`. The folder is moved out of sight first, so that no half of it is ever listed."""
        folder = self._folder(run)
        with self._mutex:
            self._series.let_go_run(run)
            grave = os.path.join(self.root, CACHE, "deleted")
            inside(self.root, grave, "folder")
            inside(self.root, folder.path, "run")
            bury(folder.path, grave)
            self._folders.drop(run)
        empty(grave)

    # ------------------------------------------------------------ rows

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `Store.append`."""
        if len(batches) == 1:
            batch = batches[0]
            file = self._plain.get(batch.series)
            rows = batch.rows
            if file is not None and batch.writer is None and batch.seq is None and rows:
                return [Appended(file.append(rows, batch.times), len(rows), file.count)]
        self._check(batches)
        return [self._append(batch) for batch in batches]

    def _append(self, batch: Batch) -> Appended:
        file = self._series.get(batch.series)
        if file is None:
            file = self._series.to_append(batch.series, self._folder(batch.series.run))
            self._start_background()
        if not batch.rows:
            return Appended(None, 0, file.extent()[1])
        writers = self._series.writers(batch, file)
        if writers is not None:
            self._plain.pop(batch.series, None)
            return file.append_marked(batch, writers)
        if isinstance(file, SeriesFile):
            self._plain[batch.series] = file
        first = file.append(batch.rows, batch.times)
        return Appended(first, len(batch.rows), file.count)

    def _check(self, batches: Sequence[Batch]) -> None:
        """Raise what is wrong with any of them before the first is stored, each seen after those before it.
        A lone batch for a series that is there is checked against its mark when it is stored."""
        reached: dict[tuple[SeriesKey, str], Mark | None] = {}
        there: set[str] = set()
        for batch in batches:
            check_batch(batch)
            if batch.series.run not in there:
                self._folder(batch.series.run)
                there.add(batch.series.run)
            if batch.writer is None and batch.seq is None:
                continue
            place = (batch.series, batch.writer or "")
            if place not in reached:
                if len(batches) == 1 and self._reader(batch.series) is not None:
                    return
                reached[place] = self._mark(batch)
            trim(reached[place], batch)
            reached[place] = advance(reached[place], batch)

    def _mark(self, batch: Batch) -> Mark | None:
        """How far the batch's writer has reached; nothing is made."""
        file = self._reader(batch.series)
        writers = self._series.writers(batch, file) if file is not None else None
        return file.mark(batch.writer or "", writers) if isinstance(file, SeriesFile) and writers is not None else None

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        """See `Store.read`."""
        if start < 0:
            msg = f"start: expected 0 or more; got {start}."
            raise InvalidInput(msg)
        file = self._reader(series)
        if file is None:
            return Page(series.kind, start, 0, 0, b"")
        return file.read(start, None if limit is None else max(limit, 0), most)

    def _reader(self, series: SeriesKey) -> AnyFile | None:
        """The series' file if there is one; nothing is made. Raises `NotFound` for its run."""
        check_series(series)
        file = self._series.get(series)
        if file is not None and os.path.exists(file.path):
            return file
        return self._series.to_read(series, self._folder(series.run))

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        """See `Store.columns`."""
        from ml_dash.columns import MOST_LINES, from_rows, most_rows, ticks_alone

        check_columns(series, fields, start)
        if not fields and isinstance(file := self._reader(series), SeriesFile):
            _, count, total, ticks = file.ticks_of(start, most_rows([]), stop)
            if file.is_mixed and count:
                page = file.read(start, count, MOST_LINES)
                count, ticks = page.count, tuple(sorted({*page.ticks, *times_in(start, page.lines)}))
            return ticks_alone(start, count, total, ticks)
        return from_rows(self.read, series, fields, start, stop)

    def describe(self, run: str) -> list[SeriesInfo]:
        """See `Store.describe`."""
        folder = self._folder(run)
        self._series.write_ticks()
        return self._listing.series(folder)

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """See `Store.sample`."""
        from ml_dash.store.column_cache import ColumnCache
        from ml_dash.store.local_samples import SeriesNumbers
        from ml_dash.store.sample_cache import SampleCache

        if self._samples is None:
            folder = os.path.join(self.root, CACHE, "rollups")
            try:
                inside(self.root, folder, "folder")
            except InvalidInput:
                self._samples = SampleCache(None)
            else:
                self._samples = SampleCache(Path(folder), columns=ColumnCache(_SHORT))
        source = SeriesNumbers(self._reader(series), series.kind)
        return self._samples.sample(series, source, field, x, start, stop, max_points)

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`: fsync of every file that this process wrote since the last one, and of their folders."""
        self._series.flush(run)

    # ------------------------------------------------------------ files

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        """See `Store.put_file`."""
        return self._files(run).put(source, put)

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        """See `Store.get_file`."""
        return self._files(run).get(file)

    def find_files(self, run: str) -> list[FileRecord]:
        """See `Store.find_files`."""
        return self._files(run).find()

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        """See `Store.update_file`."""
        return self._files(run).update(file, patch)

    def _files(self, run: str) -> RunFiles:
        folder = self._folder(run)
        return RunFiles(folder.path, run, folder.lock, self._clock, self._sums)

    def close(self) -> None:
        """See `Store.close`."""
        self._background = False
        background.stop(self._series.write_ticks)
        background.stop(self._series.write_counts)
        background.stop(self._series.sync)
        self._series.close()


def empty(grave: str) -> None:
    """Delete what was buried, by this process or by one that has died since."""
    with suppress(OSError):
        for name in os.listdir(grave):
            buried = os.path.join(grave, name)
            for _, _, place in RunFolder(buried, RunKey("", "", "")).list_series():
                with suppress(OSError):
                    end_series(os.path.join(place, DATA))
            shutil.rmtree(buried, ignore_errors=True)
