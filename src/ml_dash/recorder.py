"""One open run: values become rows, the heartbeat beats, closing closes. Knows values and the Store's contract;
knows no facade's names and no storage.

The one failure policy (docs/guides/durability.md): a wrong call raises where it is made; a write that did not happen raises
`OSError`, or warns and goes on where the user chose ``on_error="warn"``.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from ml_dash import background, codec
from ml_dash.errors import InvalidInput, NotFound, ReadOnly, RunClosed
from ml_dash.model import (
    LOGS,
    Appended,
    Batch,
    ColumnsPage,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKey,
    RunKind,
    RunPatch,
    SeriesInfo,
    SeriesKey,
    SeriesMeta,
    Status,
)
from ml_dash.names import check_run_name, check_series_name
from ml_dash.store.base import Store
from ml_dash.store.patch import new_id

HEARTBEAT = 10.0
"""Seconds between heartbeats."""
PAGE = 100_000
"""Points that a long read takes at a time."""

_open: set[Recorder] = set()
"""The runs that are open for writing: each beats, and is ended at exit, also where its user has let go of it."""

OnError = Literal["raise", "warn"]


class Recorder:
    """A run that can be opened, written, read and closed, any number of times, by one facade.

    `open_store` is called at the first `open`. `noun` is what the user calls a run, for messages.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        key: RunKey,
        kind: RunKind,
        *,
        on_error: OnError = "raise",
        noun: str = "experiment",
        reopen: str = "experiment.run.start()",
    ) -> None:
        check_run_name("name", key.name)
        check_run_name("project" if kind == "experiment" else "workspace", key.project)
        if on_error not in ("raise", "warn"):
            msg = f'on_error: expected "raise" or "warn"; got {on_error!r}.'
            raise InvalidInput(msg)
        self.key = key
        self.kind = kind
        self.is_open = False
        self.writable = False
        self.run: Run | None = None
        self.said: dict[SeriesKey, SeriesMeta] = {}
        self._open_store = open_store
        self._store: Store | None = None
        self._append: Callable[[Sequence[Batch]], list[Appended]] = self._refuse
        self._on_error = on_error
        self._noun = noun
        self._reopen = reopen
        self._attempt = ""
        self._joined = False
        self._pid = 0
        self._protect: bool | None = None
        self._warned = False
        self._at_exit = False

    # ------------------------------------------------------------ lifecycle

    def open(self, patch: RunPatch) -> None:
        """Create or resume the run with what `patch` says of it, and start an attempt. Open already: nothing."""
        if self.is_open:
            if not self.writable:
                raise self.not_open()
            return
        store = self._opened_store()
        self._check_protection(store)
        if (
            not self._joined
        ):  # an interrupt may have come between joining and here, or before leaving: it is one attempt still
            self._attempt, self._joined, self._pid = new_id(), True, os.getpid()
        self._protect = patch.write_protected
        described = _with(patch, kind=self.kind, join=self._attempt, write_protected=None)
        try:
            self.run = store.put_run(self.key, described)
        except Exception:
            self._joined = False
            raise
        _open.add(self)
        self._append = store.append
        background.every(HEARTBEAT, self._beat)
        if not self._at_exit:
            background.at_exit(self._exit)
            self._at_exit = True
        self.is_open = self.writable = True  # after what it promises: an interrupt may come between any two lines

    def _check_protection(self, store: Store) -> None:
        try:
            protected = store.get_run(self.key).write_protected
        except NotFound:
            return
        if protected:
            what = f"{self._noun} {self.key.name!r}"
            msg = f"{what} is write-protected: it was made to be written once. Read it with load(), or choose another name."
            raise ReadOnly(msg)

    def open_to_read(self) -> None:
        """Find the run without touching it. Raises `NotFound`."""
        self.run = self._opened_store().get_run(self.key)
        self.is_open = True

    def close(self, status: Status) -> None:
        """Flush, end the attempt with `status`, let the store go. Closed already: nothing, unless an interrupt had come before
        the attempt was ended.

        In a process that was forked while the run was open, only this process's descriptors are let go: the run is its parent's.
        """
        if not self.is_open:
            self._finish(status)
            return
        self.is_open = False
        if not self.writable:
            return
        self.writable = False
        _open.discard(self)
        self._append = self._refuse
        background.stop(self._beat)
        store, run = self._store_and_run()
        try:
            if os.getpid() == self._pid:
                try:
                    self._guarded(lambda: store.flush(run.id))
                finally:  # an interrupt included: the run says how it ended
                    self._guarded(lambda: self._leave(store, run, status))
        except NotFound as e:
            warnings.warn(
                f"{self._noun} {self.key.name!r} was deleted while it was open: {e}", RuntimeWarning, stacklevel=3
            )
        finally:
            store.close()

    def _finish(self, status: Status) -> None:
        """Where an interrupt came in the middle of opening or closing, the attempt may be there still."""
        if self._joined and self._store is not None and os.getpid() == self._pid:
            with suppress(NotFound, InvalidInput):
                self._leave(self._store, self._store.get_run(self.key), status)
            self._joined = False
            self._store.close()

    def _leave(self, store: Store, run: Run, status: Status) -> None:
        patch = RunPatch(leave=self._attempt, status=status, write_protected=self._protect)
        try:
            self.run = store.update_run(run.id, patch)
        except KeyboardInterrupt:
            self.run = store.update_run(run.id, patch)  # again is harmless, and nobody would do it later
            raise
        self._joined = False

    def _exit(self) -> None:
        """The interpreter ends with the run open: FAILED if an exception ended the script, else COMPLETED. Nobody tells the
        number of an exit; and at a prompt (`sys.ps1`) an exception is no end."""
        if (self.writable or self._joined) and os.getpid() == self._pid:
            failed = getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")
            self.close("FAILED" if failed else "COMPLETED")

    def _beat(self) -> None:
        if self.writable and self.run is not None and os.getpid() == self._pid and self._store is not None:
            try:
                self._store.update_run(self.run.id, RunPatch(heartbeat=self._attempt))
            except NotFound:  # deleted: the next append says so
                background.stop(self._beat)

    @property
    def store(self) -> Store | None:
        """The store, once it was opened."""
        return self._store

    def _opened_store(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _store_and_run(self) -> tuple[Store, Run]:
        if self._store is None or self.run is None:
            raise self.not_open()
        return self._store, self.run

    def not_open(self) -> RunClosed | ReadOnly:
        """The error of a write to a run that is not open for it."""
        what = f"{self._noun} {self.key.name!r} (project {self.key.project!r})"
        if self.is_open:
            return ReadOnly(f"{what} was opened with load(), which only reads. Open it as usual to write to it.")
        return RunClosed(
            f"{what} is not open. Open it with a `with` block or {self._reopen}; opening it again goes on where it ended."
        )

    def refresh(self) -> Run:
        """The run's record as it is stored now."""
        store, run = self._store_and_run()
        self.run = store.get_run(run.id)
        return self.run

    def shown_status(self) -> str:
        """The run's status as of now, "LOST" included."""
        return self.refresh().shown_status(time.time())

    # ------------------------------------------------------------ rows

    def series(self, kind: str, name: str) -> SeriesKey:
        """The key of a series of this run. Raises `InvalidInput` for what is no name."""
        return SeriesKey(self._store_and_run()[1].id, kind, check_series_name("name", name) if name else name)

    def append(self, series: SeriesKey, fields: dict[str, Any]) -> Appended:
        """One row, whose keys are strings. Raises `InvalidInput` (`TypeError`) naming series and field, `OSError`."""
        try:
            return self._append((Batch(series, (codec.encode_fields(fields),)),))[0]
        except InvalidInput as e:
            raise _named(e, series) from None
        except OSError as e:
            return self._failed(e)

    def append_batch(self, series: SeriesKey, rows: Iterable[Mapping[str, Any]]) -> Appended:
        """Rows in order, all or none. Raises as `append` does."""
        try:
            return self._append((Batch(series, codec.encode_rows(rows)),))[0]
        except InvalidInput as e:
            raise _named(e, series) from None
        except OSError as e:
            return self._failed(e)

    def _refuse(self, batches: Sequence[Batch]) -> list[Appended]:
        raise self.not_open()

    def _failed(self, error: OSError) -> Appended:
        self._warn(error)
        return Appended(None, 0, 0)

    def _warn(self, error: OSError) -> None:
        if self._on_error == "raise":
            raise error
        if not self._warned:
            self._warned = True
            warnings.warn(
                f'ml-dash could not write: {error}. Training goes on (on_error="warn"); what was not written is lost.',
                RuntimeWarning,
                stacklevel=5,
            )

    def _guarded(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError as e:
            self._warn(e)

    def page(self, series: SeriesKey, start: int, limit: int | None) -> Page:
        """See `Store.read`; a negative `start` counts from the end."""
        store, _ = self._store_and_run()
        if start < 0:
            start = max(0, store.read(series, 0, 0).total + start)
        return store.read(series, start, limit)

    def count(self, series: SeriesKey) -> int:
        """The series' length."""
        return self._store_and_run()[0].read(series, 0, 0).total

    def pages(self, series: SeriesKey, start: int, stop: int | None) -> Iterator[Page]:
        """Points [start, stop) a page at a time; `stop` None is the end as of the first page."""
        while True:
            page = self.page(series, start, PAGE if stop is None else max(0, min(PAGE, stop - start)))
            stop = page.total if stop is None else stop
            if page.count:
                yield page
            start += page.count
            if not page.count or start >= stop:
                return

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int) -> Iterator[ColumnsPage]:
        """Fields of the points [start, stop) a page at a time; see `Store.columns`."""
        store, _ = self._store_and_run()
        while start < stop:
            page = store.columns(series, fields, start, stop)
            if not page.count:
                return
            yield page
            start += page.count

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Any:
        """See `Store.sample`."""
        return self._store_and_run()[0].sample(series, field, x, start, stop, max_points)

    def describe(self) -> list[SeriesInfo]:
        """Every series of the run but logs and events."""
        store, run = self._store_and_run()
        return store.describe(run.id)

    def describe_series(self, meta: SeriesMeta) -> None:
        """Keep what the user says of a series."""
        self.update(RunPatch(series=(meta,)))

    # ------------------------------------------------------------ records

    def update(self, patch: RunPatch) -> None:
        """Change the run's record. Raises `RunClosed`, `InvalidInput`, `OSError`."""
        if not self.writable:
            raise self.not_open()
        store, run = self._store_and_run()

        def write() -> None:
            self.run = store.update_run(run.id, patch)

        self._guarded(write)

    def set_params(self, flat: Mapping[str, Any]) -> None:
        """Merge flat parameters. One bad value changes nothing. Raises `InvalidInput` (`TypeError`)."""
        try:
            checked = codec.loads(codec.dumps(flat))
        except InvalidInput as e:
            msg = f"parameters: {e}"
            raise type(e)(msg) from None
        self.update(RunPatch(params=checked))

    def log(self, entry: dict[str, Any]) -> Appended:
        """One entry of the run's log."""
        return self.append(self.series(LOGS, ""), entry)

    def flush(self) -> None:
        """Make all that was written durable. Raises `OSError`."""
        store, run = self._store_and_run()
        self._guarded(lambda: store.flush(run.id))

    # ------------------------------------------------------------ files

    def put_file(self, source: Any, put: FilePut) -> FileRecord:
        """See `Store.put_file`. A file that was not stored raises, whatever `on_error` says: there is no record to return."""
        if not self.writable:
            raise self.not_open()
        store, run = self._store_and_run()
        return store.put_file(run.id, source, put)

    def get_file(self, file: str) -> tuple[FileRecord, Any]:
        """See `Store.get_file`."""
        store, run = self._store_and_run()
        return store.get_file(run.id, file)

    def find_files(self) -> list[FileRecord]:
        """See `Store.find_files`."""
        store, run = self._store_and_run()
        return store.find_files(run.id)

    def update_file(self, file: str, patch: FilePatch) -> FileRecord:
        """See `Store.update_file`."""
        if not self.writable:
            raise self.not_open()
        store, run = self._store_and_run()
        return store.update_file(run.id, file, patch)

    def exists(self) -> bool:
        """Whether the run is stored, without opening it."""
        try:
            self._opened_store().get_run(self.key)
        except NotFound:
            return False
        return True


def _with(patch: RunPatch, **changes: Any) -> RunPatch:
    import msgspec

    return msgspec.structs.replace(patch, **changes)


def _named(error: InvalidInput, series: SeriesKey) -> InvalidInput:
    what = "log" if series.kind == LOGS else f"{series.kind.rstrip('s')} {series.name!r}"
    return type(error)(f"{what}, {error}")
