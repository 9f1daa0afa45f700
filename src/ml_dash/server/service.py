"""The Store's calls as a caller may make them: scopes, namespaces, and what else is checked of a value that came from outside.
What the routes of this protocol and those of the published clients share. Knows no HTTP; its methods block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput, NotFound
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
from ml_dash.names import check_run_name
from ml_dash.server.appends import Request, append_group
from ml_dash.server.bodies import Budget
from ml_dash.server.caller import Caller, Scope
from ml_dash.server.files import Receiving
from ml_dash.server.ingest import GroupCommit, Groups, Outcome
from ml_dash.server.limits import Limits
from ml_dash.server.owners import Owners, unknown
from ml_dash.server.threads import Threads
from ml_dash.server.views import Views
from ml_dash.store.checks import check_columns, check_series

if TYPE_CHECKING:
    from ml_dash.rollup import Sample
    from ml_dash.store.base import Store

LAST_MS = 253_402_300_799_999
"""Unix ms at the end of the year 9999: later times are no dates."""


class Service:
    """One store, its threads, and the rights to it."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.instance = os.urandom(8).hex()
        """Of this start: whoever meets another one knows that nothing of what this one said is known to it."""
        self.budget = Budget(limits.in_flight, limits.retry_after)
        self.appends = Threads("append", limits.appends)
        self._together = Groups(self.appends, limits.appends, self._append_group, limits.slow)
        self.calls = Threads("call", limits.reads)
        self.uploads = Threads("upload", limits.uploads)
        self.receiving = Receiving()
        self.commit = GroupCommit(store.flush)
        self._owners = Owners(lambda run: store.get_run(run).key.namespace)
        self.looks = Threads("look", 1)
        self.views = Views(store, limits, self.looks, self.instance, self.reading)

    def close(self) -> None:
        """End the threads. The store is its owner's to close."""
        self.views.close()  # first: calls may wait for what it looks at
        for threads in (self.appends, self.calls, self.uploads, self.looks):
            threads.close()
        self.commit.close()

    # ------------------------------------------------------------ runs

    def put_run(self, caller: Caller, key: RunKey, patch: RunPatch) -> Run:
        caller.require("write")
        _check_patch(patch)
        run = self.store.put_run(key._replace(namespace=caller.namespace(key.namespace)), patch)
        self.views.changed(run)
        return run

    def update_run(self, caller: Caller, run: str, patch: RunPatch) -> Run:
        _check_patch(patch)
        with self._of(caller, "write", run):
            after = self.store.update_run(run, patch)
        self.views.changed(after)
        return after

    def get_run(self, caller: Caller, run: RunKey | str) -> Run:
        if isinstance(run, str):
            with self._of(caller, "read", run):
                return self.store.get_run(run)
        caller.require("read")
        try:
            return self.store.get_run(run._replace(namespace=caller.namespace(run.namespace)))
        except NotFound:
            raise NotFound(f"there is no run {run.name!r} in project {run.project!r} here.") from None

    def find_runs(self, caller: Caller, query: RunQuery) -> list[Run]:
        """Of all namespaces that the caller sees, where the query names none; "" is the caller's own."""
        caller.require("read")
        if query.namespace is not None:
            spaces: Sequence[str | None] = [caller.namespace(query.namespace)]
        else:
            spaces = [None] if caller.namespaces is None else list(dict.fromkeys(caller.namespaces))
        found: list[Run] = []
        for space in spaces:
            found += self.store.find_runs(msgspec.structs.replace(query, namespace=space))
        return sorted(found, key=lambda run: run.created_at, reverse=True) if len(spaces) > 1 else found

    def delete_run(self, caller: Caller, run: str) -> None:
        with self._of(caller, "write", run):
            self.store.delete_run(run)
        self._owners.forget(run)
        self.views.gone(run)

    # ------------------------------------------------------------ rows

    async def appended(self, caller: Caller, load: Callable[[], Sequence[Batch]]) -> list[Appended]:
        """Append the batches that `load` gives, off the event loop; durable when this returns."""
        done = await self._together.run(Request(partial(self._loaded, caller, load), partial(self._append, caller)))
        await self.commit.durable()
        return done

    def _append_group(self, requests: Sequence[Request]) -> list[Outcome[list[Appended]]]:
        return append_group(requests, self._stored, self.limits.together)

    def _stored(self, batches: Sequence[Batch]) -> list[Appended]:
        """Append, and say so to those who look."""
        done = self.store.append(batches)
        self.views.appended(batches, done)
        return done

    def _loaded(self, caller: Caller, load: Callable[[], Sequence[Batch]]) -> Sequence[Batch]:
        """The batches, which the caller may append."""
        caller.require("write")
        batches = load()
        for number, batch in enumerate(batches):
            _check_times(batch, number)
        self._owners.check(caller, {batch.series.run for batch in batches})
        return batches

    def _append(self, caller: Caller, batches: Sequence[Batch]) -> list[Appended]:
        """Accepted, not yet durable."""
        with self._of(caller, "write", *{batch.series.run for batch in batches}):
            return self._stored(batches)

    def read(self, caller: Caller, series: SeriesKey, start: int, limit: int | None) -> Page:
        """As far as a page goes: see `pages`."""
        check_series(series)
        with self._of(caller, "read", series.run):
            most = self.limits.page
            return codec.cut(self.store.read(series, start, limit, most), most)

    def columns(
        self, caller: Caller, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None
    ) -> ColumnsPage:
        check_columns(series, fields, start)
        with self._of(caller, "read", series.run):
            return self.store.columns(series, fields, start, stop)

    def describe(self, caller: Caller, run: str) -> list[SeriesInfo]:
        with self._of(caller, "read", run):
            return self.store.describe(run)

    def sample(
        self,
        caller: Caller,
        series: SeriesKey,
        field: str,
        x: str | None,
        start: int,
        stop: int | None,
        max_points: int,
    ) -> Sample:
        if max_points > self.limits.buckets:
            raise InvalidInput(
                f"max_points: at most {self.limits.buckets}; got {max_points}. Sample a range at a time."
            )
        with self._of(caller, "read", series.run):
            return self.store.sample(series, field, x, start, stop, max_points)

    async def flush(self, caller: Caller) -> None:
        """All that was accepted before this call, of every run, is durable when it returns."""
        caller.require("write")
        await self.commit.durable()

    # ------------------------------------------------------------ files

    def put_file(self, caller: Caller, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        with self._of(caller, "write", run):
            record = self.store.put_file(run, source, put)
        self.views.filed(run)
        return record

    def get_file(self, caller: Caller, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        with self._of(caller, "read", run):
            return self.store.get_file(run, file)

    def find_files(self, caller: Caller, run: str) -> list[FileRecord]:
        with self._of(caller, "read", run):
            return self.store.find_files(run)

    def update_file(self, caller: Caller, run: str, file: str, patch: FilePatch) -> FileRecord:
        with self._of(caller, "write", run):
            record = self.store.update_file(run, file, patch)
        self.views.filed(run)
        return record

    # ------------------------------------------------------------ rights

    def reading(self, caller: Caller, run: str) -> AbstractContextManager[None]:
        """Around what is read of a run. Raises what the caller may not."""
        return self._of(caller, "read", run)

    @contextmanager
    def _of(self, caller: Caller, scope: Scope, *runs: str) -> Iterator[None]:
        """Around a call on `runs`. Raises what the caller may not do, and forgets a run that turns out to be gone."""
        caller.require(scope)
        self._owners.check(caller, runs)
        try:
            yield
        except NotFound as e:
            for run in runs:
                self._owners.forget(run)
            if type(e) is NotFound and len(runs) == 1:
                raise unknown(runs[0]) from None  # a store's own text tells where it looked
            raise


def _check_patch(patch: RunPatch) -> None:
    """What a patch of the process's own cannot get wrong."""
    for field in ("join", "leave", "heartbeat"):
        if (attempt := getattr(patch, field)) is not None:
            check_run_name(field, attempt)
    if patch.at is not None and not 0 <= patch.at <= LAST_MS:
        raise InvalidInput(f"at: expected unix milliseconds; got {patch.at}.")
    if patch.pid is not None and not 0 <= patch.pid < 1 << 63:
        raise InvalidInput(f"pid: expected the number of a process; got {patch.pid}.")
    for meta in patch.series:
        check_series(SeriesKey("", meta.kind, meta.name))


def _check_times(batch: Batch, number: int) -> None:
    before = -1
    for offset, ms in batch.times:
        if not before < offset < max(len(batch.rows), 1) or not 0 <= ms <= LAST_MS:
            raise InvalidInput(
                f"batch {number}: times are (offset in the batch, unix ms) pairs whose offsets rise; got ({offset}, {ms})."
            )
        before = offset
