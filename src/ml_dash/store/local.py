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
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ml_dash import background, codec
from ml_dash.errors import CorruptData, InvalidInput, NewerFormat, NotFound, SeriesNotFound
from ml_dash.model import (
    LOGS,
    METRICS,
    TRACKS,
    Appended,
    Batch,
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
from ml_dash.names import check_run_name, decode_segment, encode_segment
from ml_dash.store import file_system, locks
from ml_dash.store.atomic import inside, sync_folder, write_atomically
from ml_dash.store.checks import check_key, check_series
from ml_dash.store.clock_file import ClockFile
from ml_dash.store.descriptors import Descriptors
from ml_dash.store.foreign import (
    IrregularLog,
    IrregularSeries,
    as_ours,
    is_foreign,
    is_foreign_log,
    is_mixed,
    is_regular,
    newlines,
)
from ml_dash.store.listing import Listing, last_point, peek, read_series
from ml_dash.store.marks import Mark, advance, trim
from ml_dash.store.patch import apply_meta, apply_patch, new_id, new_run
from ml_dash.store.run_files import RunFiles
from ml_dash.store.run_folder import (
    DATA,
    RECORDS,
    RunFolder,
    Siblings,
    find_segment,
    host,
    load_meta,
    make_segment,
    read_meta,
    read_record,
    save_meta,
)
from ml_dash.store.series_file import SeriesFile, end_series
from ml_dash.store.writers_file import WritersFile
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.rollup import Sample
    from ml_dash.store.sample_cache import SampleCache

CACHE = ".cache"
_BESIDE = ("metadata.json", "clock.jsonl", "writers.jsonl", ".log_sequence")
"""What we write beside a series' lines."""
_TICKS = 10.0
_DISK = 0.1
_MANY = 16
"""Dirty files from which one sync of the system comes before theirs: it is sooner done than as many small ones."""


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
        self._patience = patience
        self._durability = durability
        self._descriptors = Descriptors(descriptors)
        self._folders: dict[str, RunFolder] = {}
        self._series: dict[SeriesKey, SeriesFile | IrregularSeries] = {}
        self._writers: dict[SeriesKey, WritersFile] = {}
        self._plain: dict[SeriesKey, SeriesFile] = {}
        """The series in `_series` to which a batch without an identity goes straight."""
        self._siblings: Siblings = {}
        self._mutex = threading.RLock()
        self._samples: SampleCache | None = None
        self._listing = Listing(self.root, os.path.join(self.root, CACHE, "listing"), clock, told)
        background.after_fork(self._forked)

    def _forked(self) -> None:
        self._mutex = threading.RLock()
        self._series = dict(self._series)
        for file in self._series.values():
            file.forget()
        self._start_background()

    def _start_background(self) -> None:
        background.every(_TICKS, self._write_ticks)
        if self._durability == "disk":
            background.every(_DISK, self._sync_all)

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
            self._folders[after.id] = folder
            return after

    def _make_folder(self, key: RunKey) -> RunFolder:
        if not os.path.isdir(self.root):
            os.makedirs(self.root, exist_ok=True)
        if not self._siblings:
            self._siblings[""] = (0, {})
            if self._locking:
                file_system.warn_if_remote(self.root)
            self._start_background()
        place = self.root
        for part in (key.project, key.name):
            segment = encode_segment(part)
            found = find_segment(place, segment, part)
            if found is None:
                with locks.locked_file(os.path.join(place, ".lock"), self._patience):
                    found = find_segment(place, segment, part) or make_segment(place, segment, self._siblings)
            place = self._step(place, found)
        return RunFolder(place, key, self._clock)

    def _step(self, place: str, segment: str) -> str:
        """The folder in the folder. Raises `InvalidInput` where it is a link out of the root, before anything is made in it."""
        place = os.path.join(place, segment)
        if os.path.islink(place):
            inside(self.root, place, "run")
        return place

    def _adopted(self, folder: RunFolder, before: Run | None, patch: RunPatch) -> Run:
        """The run to patch: as stored, or new. A folder of a published client, and a copied folder, get an id of their own."""
        if before is None:
            run = new_run(folder.key, self._clock())
            run.kind = patch.kind or "experiment"
            return run
        run = deepcopy(before)
        if before.id.startswith("foreign-") or folder.is_copy():
            run.id = new_id()
        if patch.kind is not None and patch.kind != run.kind:
            patch_kind = RECORDS[run.kind]
            msg = f"{folder.path} holds a {run.kind} ({patch_kind}); open it as such, or choose another name or folder."
            raise InvalidInput(msg)
        return run

    def _patched(self, folder: RunFolder, run: Run, patch: RunPatch, before: Run | None) -> Run:
        """Apply and write `patch`; the caller holds the lock."""
        lengths = self._lengths(folder) if patch.join is not None and before is not None else {}
        after = apply_patch(
            run, patch, self._clock(), alive=folder.alive, lengths=lengths, host=host(), pid=os.getpid()
        )
        if patch.join is not None:
            folder.enter(patch.join)
        if after.id != run.id or before is None or after != before:
            try:
                folder.save(after, before)
            except OSError:
                if patch.join is not None:
                    folder.leave(patch.join)
                raise
        if patch.leave is not None:
            folder.leave(patch.leave)
        for meta in patch.series:
            place = folder.make_series(meta.kind, meta.name)
            info = apply_meta(self._info(place, meta.kind, meta.name), meta, self._clock())
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
        if patch.heartbeat is not None and patch == RunPatch(heartbeat=patch.heartbeat):
            folder.beat(patch.heartbeat)
            return self._loaded(run, folder)
        with folder.lock():
            before = self._loaded(run, folder)
            return self._patched(folder, deepcopy(before), patch, before)

    def get_run(self, run: RunKey | str) -> Run:
        """See `Store.get_run`."""
        if isinstance(run, str):
            return self._loaded(run, self._folder(run))
        check_key(run)
        folder = self._find_folder(run)
        found = folder.load() if folder is not None else None
        if found is None or folder is None:
            place = os.path.join(self.root, run.project, run.name)
            raise NotFound(f"there is no run {run.name!r} in project {run.project!r} ({place}).")
        if folder.is_copy():
            found.id = "copy-" + new_id()
        self._folders[found.id] = folder
        return found

    def _find_folder(self, key: RunKey) -> RunFolder | None:
        place = self.root
        for part in (key.project, key.name):
            segment = find_segment(place, encode_segment(part), part)
            if segment is None:
                return None
            place = self._step(place, segment)
        return RunFolder(place, key, self._clock) if os.path.isdir(place) else None

    def _folder(self, run: str) -> RunFolder:
        """The folder of the run with this id. Raises `NotFound`, also where another run has its place now."""
        folder = self._folders.get(run)
        if folder is None:
            self.find_runs(RunQuery())
            folder = self._folders.get(run)
        if folder is None or not _same_run(run, folder.stored_id()):
            raise self._no_run(run)
        return folder

    def _no_run(self, run: str) -> NotFound:
        return NotFound(f"there is no run with the id {run!r} in {self.root}; it may have been deleted.")

    def _loaded(self, run: str, folder: RunFolder) -> Run:
        found = folder.load()
        if found is None or not _same_run(run, found.id):
            raise self._no_run(run)
        found.id = run
        return found

    def find_runs(self, query: RunQuery) -> list[Run]:
        """See `Store.find_runs`. A folder whose record cannot be read is passed over with a warning."""
        found = []
        if query.namespace in (None, ""):
            if query.series:
                self._write_ticks()
            for project, name, path in self._run_paths(query.project):
                folder = RunFolder(path, RunKey("", project, name), self._clock)
                run = self._listed(folder, query)
                if run is not None:
                    self._folders.setdefault(run.id, folder)
                    found.append(run)
            self._listing.save()
        return sorted(found, key=lambda run: run.created_at, reverse=True)

    def _listed(self, folder: RunFolder, query: RunQuery) -> Run | None:
        try:
            return self._listing.run(folder, series=query.series)
        except (CorruptData, NewerFormat, PermissionError) as e:
            warnings.warn(f"{folder.path} is left out of the list: {e}", RuntimeWarning, stacklevel=4)
            return None

    def _run_paths(self, project: str | None) -> list[tuple[str, str, str]]:
        paths = []
        for entry, shown in _folders_in(self.root):
            if project in (None, shown) and entry != CACHE:
                place = os.path.join(self.root, entry)
                paths += [(shown, name, os.path.join(place, run)) for run, name in _folders_in(place)]
        return paths

    def delete_run(self, run: str) -> None:
        """See `Store.delete_run`. The folder is moved out of sight first, so that no half of it is ever listed."""
        folder = self._folder(run)
        with self._mutex:
            for key in [key for key in self._series if key.run == run]:
                self._let_go(key)
            grave = os.path.join(self.root, CACHE, "deleted")
            inside(self.root, grave, "folder")
            inside(self.root, folder.path, "run")
            os.makedirs(grave, exist_ok=True)
            buried = os.path.join(grave, new_id())
            os.rename(folder.path, buried)
            self._folders.pop(run, None)
            for _, _, place in RunFolder(buried, folder.key).list_series():
                with suppress(OSError):
                    end_series(os.path.join(place, DATA))
        shutil.rmtree(grave, ignore_errors=True)
        with suppress(OSError):
            if not _folders_in(os.path.dirname(folder.path)):
                shutil.rmtree(os.path.dirname(folder.path))

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
        file = self._file(batch.series)
        if not batch.rows:
            return Appended(None, 0, file.extent()[1])
        writers = self._writers_of(batch, file)
        if writers is not None or batch.writer is not None:
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
        for batch in batches:
            check_series(batch.series)
            self._folder(batch.series.run)
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
        writers = self._writers_of(batch, file) if file is not None else None
        return file.mark(batch.writer or "", writers) if isinstance(file, SeriesFile) and writers is not None else None

    def _writers_of(self, batch: Batch, file: SeriesFile | IrregularSeries) -> WritersFile | None:
        writers = self._writers.get(batch.series)
        if writers is None:
            if (
                not isinstance(file, SeriesFile)
                or file.writers is None
                or (batch.writer is None and not file.writers.there())
            ):
                return None
            writers = self._writers.setdefault(batch.series, file.writers)
        return writers

    def _file(self, series: SeriesKey) -> SeriesFile | IrregularSeries:
        """The series' file, made if need be. Raises `NotFound` for its run, `OSError` where nothing can be made."""
        file = self._series.get(series)
        if file is None:
            folder = self._folder(series.run)
            with self._mutex, folder.lock():
                file = self._series.get(series)
                if file is None:
                    file = self._series[series] = self._open_series(folder, series, make=True)
        return file

    def _open_series(self, folder: RunFolder, series: SeriesKey, *, make: bool) -> SeriesFile | IrregularSeries:
        if series.kind == LOGS:
            place = os.path.join(folder.path, LOGS)
            path = os.path.join(place, "logs.jsonl")
            inside(folder.path, place, "log")
            if make:
                os.makedirs(place, exist_ok=True)
        else:
            place = folder.find_series(series.kind, series.name) or folder.series_folder(series.kind, series.name)
            if make:
                place = folder.make_series(series.kind, series.name)
            path = os.path.join(place, DATA)
        inside(folder.path, place, "series")
        for name in (path, path + ".torn", *(os.path.join(place, name) for name in _BESIDE)):
            if os.path.islink(name):
                raise InvalidInput(
                    f"series {series.name!r}: {name!r} is a symbolic link. Put the file itself in the link's place."
                )
        if series.kind != LOGS and is_foreign(place) and not is_regular(path, series.kind):
            return IrregularSeries(path, series.kind)
        if make and series.kind in (METRICS, TRACKS):
            self._write_meta(place, series)
        ticks = None if series.kind == LOGS else ClockFile(os.path.join(place, "clock.jsonl"))
        file = SeriesFile(
            path,
            series.kind,
            self._descriptors,
            clock=self._clock,
            ticks=ticks,
            locking=self._locking,
            patience=self._patience,
            translate=as_ours if series.kind != LOGS and is_mixed(place) else None,
        )
        if series.kind == LOGS and is_foreign_log(path) and not is_regular(path, LOGS):
            return IrregularLog(path, file)

        def rows(first: int, count: int) -> list[bytes]:
            return [codec.row_of(series.kind, line) for line in file.read(first, count).lines.split(b"\n")[:-1]]

        file.writers = WritersFile(os.path.join(place, "writers.jsonl"), rows)
        return file

    def _write_meta(self, place: str, series: SeriesKey) -> None:
        if "format" not in read_meta(place):
            save_meta(place, self._info(place, series.kind, series.name), sync=False)

    def _info(self, place: str, kind: str, name: str) -> SeriesInfo:
        info = load_meta(place, kind, name)
        info.count = peek(os.path.join(place, DATA), kind)[0]
        info.created_at = info.created_at or iso(int(self._clock() * 1000))
        info.updated_at = info.updated_at or info.created_at
        return info

    def read(self, series: SeriesKey, start: int, limit: int | None) -> Page:
        """See `Store.read`."""
        if start < 0:
            msg = f"start: expected 0 or more; got {start}."
            raise InvalidInput(msg)
        file = self._reader(series)
        if file is None:
            return Page(series.kind, start, 0, 0, b"")
        return file.read(start, None if limit is None else max(limit, 0))

    def _reader(self, series: SeriesKey) -> SeriesFile | IrregularSeries | None:
        """The series' file if there is one; nothing is made. Raises `NotFound` for its run."""
        check_series(series)
        file = self._series.get(series)
        if file is not None and os.path.exists(file.path):
            return file
        folder = self._folder(series.run)
        if series.kind != LOGS and folder.find_series(series.kind, series.name) is None:
            return None
        with self._mutex:
            file = self._series.get(series) or self._open_series(folder, series, make=False)
            if not os.path.exists(file.path):
                return None
            return self._series.setdefault(series, file)

    def describe(self, run: str) -> list[SeriesInfo]:
        """See `Store.describe`."""
        folder = self._folder(run)
        self._write_ticks()
        infos = []
        for kind, name, place in folder.list_series():
            info, line = told(kind, name, place)
            info.last = last_point(line).get("data")
            infos.append(info)
        return sorted(infos, key=lambda info: (info.kind, info.name))

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """See `Store.sample`."""
        from ml_dash.store.local_samples import SeriesNumbers
        from ml_dash.store.sample_cache import SampleCache

        if self._samples is None:
            folder = os.path.join(self.root, CACHE, "rollups")
            try:
                inside(self.root, folder, "folder")
            except InvalidInput:
                self._samples = SampleCache(None)
            else:
                self._samples = SampleCache(Path(folder))
        source = SeriesNumbers(self._reader(series), series.kind)
        return self._samples.sample(series, source, field, x, start, stop, max_points)

    # ------------------------------------------------------------ durability

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`: fsync of every file that this process wrote since the last one, and of their folders.
        One that fails does not keep the others from it."""
        files = [(key, file) for key, file in list(self._series.items()) if run in (None, key.run) and file.dirty]
        many = len(files) > _MANY
        if many:
            os.sync()
        folders: set[str] = set()
        failed: OSError | None = None
        for key, file in files:
            place = os.path.dirname(file.path)
            if not os.path.isdir(place):
                self._let_go(key)
                continue
            try:
                self._flush_series(key, file)
            except SeriesNotFound as e:  # nothing is left to be made durable
                file.dirty = False
                warnings.warn(str(e), RuntimeWarning, stacklevel=5)
                continue
            except OSError as e:
                failed = failed or e
            while len(place) > len(self.root):
                folders.add(place)
                place = os.path.dirname(place)
        for place in () if many else sorted(folders):
            sync_folder(place)
        if many:
            os.sync()
        if failed is not None:
            raise failed

    def _let_go(self, key: SeriesKey) -> None:
        """Of a series whose folder is gone, or is about to be."""
        self._series.pop(key).close()
        self._writers.pop(key, None)
        self._plain.pop(key, None)

    def _flush_series(self, key: SeriesKey, file: SeriesFile | IrregularSeries) -> None:
        file.sync()
        place = os.path.dirname(file.path)
        if key in self._writers:
            self._writers[key].sync()
        if key.kind == LOGS:
            write_atomically(os.path.join(place, ".log_sequence"), b"%d" % file.count, sync=False)
        elif key.kind in (METRICS, TRACKS):
            info = load_meta(place, key.kind, key.name)
            info.count = file.count
            info.updated_at = iso(int(self._clock() * 1000))
            info.created_at = info.created_at or info.updated_at
            save_meta(place, info, sync=False)

    def _write_ticks(self) -> None:
        for file in list(self._series.values()):
            file.write_ticks()

    def _sync_all(self) -> None:
        for file in list(self._series.values()):
            if file.dirty:
                file.sync()

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
        return RunFiles(folder.path, run, folder.lock, self._clock)

    def close(self) -> None:
        """See `Store.close`."""
        background.stop(self._write_ticks)
        background.stop(self._sync_all)
        for file in list(self._series.values()):
            file.close()


def _same_run(run: str, stored: str | None) -> bool:
    """A copy that is only read, and a foreign run until it is opened for writing, go by an id that their record has not."""
    return stored is not None and (stored == run or run.startswith(("copy-", "foreign-")))


def told(kind: str, name: str, place: str) -> tuple[SeriesInfo, bytes]:
    """A series and its last line, as `read_series`; where that cannot tell, because lines are irregular or damaged, by counting."""
    path = os.path.join(place, DATA)
    damage: CorruptData | None = None
    try:
        info, line = read_series(kind, name, place)
    except CorruptData as e:
        info, line, damage = load_meta(place, kind, name), b"", e
    else:
        if b'"createdAt"' not in line:
            return info, line
    if is_foreign(place) and not is_regular(path, kind):
        return IrregularSeries(path, kind, quiet=True).told(load_meta(place, kind, name))
    if damage is not None:
        warnings.warn(f"{damage} Until then its points are counted by lines.", RuntimeWarning, stacklevel=3)
        info.count = newlines(path)
    return info, as_ours(line)


def _folders_in(place: str) -> list[tuple[str, str]]:
    """(segment, name) of the folders in `place`, links left out."""
    try:
        entries = [e.name for e in os.scandir(place) if e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    out = []
    for entry in entries:
        shown = decode_segment(entry)
        if shown is None:
            shown = _recorded_name(os.path.join(place, entry)) or entry
        with suppress(InvalidInput):
            out.append((entry, check_run_name("name", shown)))
    return out


def _recorded_name(place: str) -> str | None:
    """The name of a run or project whose folder's name is a hash."""
    runs = [(place, "name", "name")]
    with os.scandir(place) as entries:
        runs += [(entry.path, "project", "workspace") for entry in entries if entry.is_dir(follow_symlinks=False)]
    for run, *keys in runs:
        for key, record in zip(keys, RECORDS.values(), strict=True):
            with suppress(OSError, NewerFormat):
                doc = read_record(os.path.join(run, record))
                if doc is not None and isinstance(doc.get(key), str):
                    return str(doc[key])
    return None
