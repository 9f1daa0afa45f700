"""The series files of a local store: which file a series' rows are in, opened, kept, flushed and let go. Knows no run's record."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

from ml_dash import codec
from ml_dash.errors import CorruptData, InvalidInput, SeriesNotFound
from ml_dash.model import LOGS, METRICS, TRACKS, Batch, SeriesInfo, SeriesKey
from ml_dash.store import locks
from ml_dash.store.atomic import inside, sync_folder, write_atomically
from ml_dash.store.clock_file import ClockFile
from ml_dash.store.descriptors import Descriptors
from ml_dash.store.file_system import whole_sync
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
from ml_dash.store.listing import peek, read_series
from ml_dash.store.run_folder import DATA, RunFolder, load_meta, read_meta, save_meta
from ml_dash.store.series_file import SeriesFile
from ml_dash.store.writers_file import WritersFile
from ml_dash.times import iso

_BESIDE = ("metadata.json", "clock.jsonl", "writers.jsonl", ".log_sequence")
"""What we write beside a series' lines."""
_MANY = 16
"""Dirty files from which one sync of the system comes before theirs: it is sooner done than as many small ones."""

_FEW = 3
"""Dirty files from which one sync of their file system does for all, where somebody flushes all runs: a server, again and again."""

AnyFile = SeriesFile | IrregularSeries


class SeriesFiles:
    """The files of one store's series. All methods may be called from any thread."""

    def __init__(
        self,
        root: str,
        *,
        clock: Callable[[], float] = time.time,
        locking: bool = True,
        patience: float = locks.PATIENCE,
        descriptors: int | None = None,
    ) -> None:
        self.root = root
        self.plain: dict[SeriesKey, SeriesFile] = {}
        """The series to which a batch without an identity goes straight."""
        self._clock = clock
        self._locking = locking
        self._patience = patience
        self._descriptors = Descriptors(descriptors)
        self._series: dict[SeriesKey, AnyFile] = {}
        self._writers: dict[SeriesKey, WritersFile] = {}
        self._mutex = threading.RLock()
        self._stale: set[SeriesKey] = set()
        """Series whose metadata.json does not tell yet how long they are."""
        self._whole: Callable[[int], None] | None = None
        """From the first flush of many files on, where the system has such a thing: syncs them all at once."""
        self._whole_fd = -1
        self._asked = False

    def forget(self) -> None:
        """In a forked child: the descriptors are the parent's."""
        self._mutex = threading.RLock()
        for file in list(self._series.values()):
            file.forget()

    def get(self, series: SeriesKey) -> AnyFile | None:
        """The series' file if it is kept already."""
        return self._series.get(series)

    def paths(self, run: str) -> dict[SeriesKey, str]:
        """The files of one run's series that are kept."""
        return {key: file.path for key, file in list(self._series.items()) if key.run == run}

    def to_append(self, series: SeriesKey, folder: RunFolder) -> AnyFile:
        """The series' file, made if need be. Raises `OSError` where nothing can be made."""
        file = self._series.get(series)
        if file is None:
            with self._mutex, folder.lock(nested=True):
                file = self._series.get(series)
                if file is None:  # a signal handler may come to the same in the middle of it
                    file = self._series.setdefault(series, self._open(folder, series, make=True))
        return file

    def to_read(self, series: SeriesKey, folder: RunFolder) -> AnyFile | None:
        """The series' file if there is one; nothing is made."""
        if series.kind != LOGS and folder.find_series(series.kind, series.name) is None:
            return None
        with self._mutex:
            file = self._series.get(series) or self._open(folder, series, make=False)
            if not os.path.exists(file.path):
                return None
            return self._series.setdefault(series, file)

    def writers(self, batch: Batch, file: AnyFile) -> WritersFile | None:
        """The marks that `batch` has to be held against; None for a batch without an identity in a series without marks."""
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

    def _open(self, folder: RunFolder, series: SeriesKey, *, make: bool) -> AnyFile:
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
            save_meta(place, self.info(place, series.kind, series.name), sync=False)

    def info(self, place: str, kind: str, name: str) -> SeriesInfo:
        """What metadata.json is to say of the series in the folder `place`."""
        info = load_meta(place, kind, name)
        info.count = peek(os.path.join(place, DATA), kind)[0]
        info.created_at = info.created_at or iso(int(self._clock() * 1000))
        info.updated_at = info.updated_at or info.created_at
        return info

    def flush(self, run: str | None = None) -> None:
        """fsync of every file that this process wrote since the last one, and of their folders.
        One that fails does not keep the others from it. Without a run, what is advisory is left to `write_ticks` and
        `write_counts`."""
        files = [
            (key, file) for key, file in list(self._series.items()) if run in (None, key.run) and _is_unsynced(file)
        ]
        many = len(files) > _MANY
        if len(files) > _FEW and run is None:
            if self._whole is not None and self._whole_fd >= 0:
                self._flush_whole(files, self._whole)
                return
            self._begin_whole()
        if many:
            os.sync()
        folders: set[str] = set()
        failed: OSError | None = None
        for key, file in files:
            place = os.path.dirname(file.path)
            if not os.path.isdir(place):
                self.let_go(key)
                continue
            try:
                self._flush_series(key, file)
                if run is None:
                    self._stale.add(key)
                else:
                    self._write_count(key, file)
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

    def _begin_whole(self) -> None:
        """It tells of the errors from here on; those before it, each file tells of when it is synced by itself."""
        if not self._asked:
            self._whole, self._asked = whole_sync(self.root), True
        if self._whole is not None:
            self._whole_fd = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)

    def _flush_whole(self, files: list[tuple[SeriesKey, AnyFile]], sync: Callable[[int], None]) -> None:
        """One sync of the file system for all of `files`, and for what lies beside them."""
        begun: list[SeriesFile] = []
        done = False
        try:
            for key, file in files:
                if not os.path.isdir(os.path.dirname(file.path)):
                    self.let_go(key)
                    continue
                self._stale.add(key)
                if isinstance(file, SeriesFile):
                    file.begin_sync()
                    begun.append(file)
                else:
                    file.sync()
            sync(self._whole_fd)
            done = True
        finally:
            for file in begun:
                file.end_sync(done=done)

    def let_go(self, key: SeriesKey) -> None:
        """Of a series whose folder is gone, or is about to be."""
        self._series.pop(key).close()
        self._writers.pop(key, None)
        self.plain.pop(key, None)
        self._stale.discard(key)

    def _flush_series(self, key: SeriesKey, file: AnyFile) -> None:
        file.sync()
        if key in self._writers:
            self._writers[key].sync()

    def _write_count(self, key: SeriesKey, file: AnyFile) -> None:
        """What tells people, and published clients, how long the series is."""
        self._stale.discard(key)
        place = os.path.dirname(file.path)
        if key.kind == LOGS:
            write_atomically(os.path.join(place, ".log_sequence"), b"%d" % file.count, sync=False)
        elif key.kind in (METRICS, TRACKS):
            info = load_meta(place, key.kind, key.name)
            info.count = file.count
            info.updated_at = iso(int(self._clock() * 1000))
            info.created_at = info.created_at or info.updated_at
            save_meta(place, info, sync=False)

    def write_ticks(self) -> None:
        """Write the wall times that are kept in memory. Raises `OSError`."""
        for file in list(self._series.values()):
            file.write_ticks()

    def write_counts(self) -> None:
        """Write how long each series is, where a flush left that. Raises `OSError`."""
        while self._stale:
            key = self._stale.pop()
            file = self._series.get(key)
            if file is not None and os.path.isdir(os.path.dirname(file.path)):
                self._write_count(key, file)

    def sync(self) -> None:
        """fsync every file that was written since the last time. Raises `OSError`."""
        for file in list(self._series.values()):
            if _is_unsynced(file):
                with suppress(SeriesNotFound):  # nothing is left to be made durable
                    file.sync()

    def let_go_run(self, run: str) -> None:
        """Of every series of a run that is about to be deleted."""
        with self._mutex:
            for key in [key for key in self._series if key.run == run]:
                self.let_go(key)

    def close(self) -> None:
        """Let the descriptors go; a file that is used again is opened again."""
        with suppress(OSError):
            self.write_counts()
        for file in list(self._series.values()):
            file.close()
        fd, self._whole_fd = self._whole_fd, -1
        if fd >= 0:
            os.close(fd)


def _is_unsynced(file: AnyFile) -> bool:
    return file.is_unsynced() if isinstance(file, SeriesFile) else file.dirty


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
