"""Bringing a folder of runs, with all its namespaces, to where a server keeps its own: rows with their wall times, logs, events,
records, attempts, files. Prints nothing.

Twice equals once: rows carry the writer and the seq that follow from the folder alone, attempts and files keep their ids, and a
record is told with the time of its last change. So a migration that was killed is made again, several may run at once, and
a folder that is still written to is brought once more for the rest. The folder is only read. What `sync` does is another
thing: it sends the runs of one machine in its user's name, and leaves notes in their folders.
"""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec

from ml_dash import codec
from ml_dash.errors import Conflict, CorruptData, FileMissing, InvalidInput, MlDashError, NotFound, Unavailable
from ml_dash.line_check import check_lines, check_row
from ml_dash.model import EVENTS, LOGS, Batch, FilePut, FileRecord, Page, Run, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store import events
from ml_dash.store.base import Store
from ml_dash.store.foreign import strict_rows
from ml_dash.store.local import LocalStore
from ml_dash.store.marks import TAIL
from ml_dash.store.run_folder import walk_series
from ml_dash.times import parse_iso

POINTS = 20_000
"""Points of one request."""
BYTES = 4 << 20
"""Bytes of lines of one request, about."""
SERIES = 500
"""Series of one request."""
PATIENCE = 60.0
"""Seconds without progress after which the target counts as gone."""
BACKOFF = (0.2, 5.0)
"""Seconds to wait after a first failure, doubled with each, and at most; times a random factor between a half and one."""
_FIRST = 64
"""Rows that are read of a series of which nothing is known yet."""

T = TypeVar("T")
_random = random.SystemRandom().random


class Left(NamedTuple):
    """What is still to be brought of a run, about."""

    points: int
    changes: int


class Report(msgspec.Struct):
    """What became of a run. `points` and `files` are those that were not there before, `run` is its id at the target, `troubles` is
    what could not be brought, and what to do about it."""

    key: RunKey
    run: str = ""
    points: int = 0
    files: int = 0
    troubles: list[str] = []

    @property
    def label(self) -> str:
        """``namespace:project/name``."""
        space = f"{self.key.namespace}:" if self.key.namespace else ""
        return f"{space}{self.key.project}/{self.key.name}"


class Migration:
    """Brings runs of `source` to `target`, one after the other. `patience` (s) is how long to try where the target does not
    answer; `points` and `size` bound a request."""

    def __init__(
        self,
        source: LocalStore,
        target: Store,
        *,
        patience: float = PATIENCE,
        backoff: tuple[float, float] = BACKOFF,
        points: int = POINTS,
        size: int = BYTES,
    ) -> None:
        self._source = source
        self._target = target
        self._patience = patience
        self._backoff = backoff
        self._points = points
        self._size = size

    def runs(self) -> tuple[list[Run], list[str]]:
        """The folder's runs, oldest first, and what is wrong with those that cannot be read. Raises `NotFound`."""
        if not os.path.isdir(self._source.root):
            raise NotFound(f"there is no folder {self._source.root!r}.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self._source.find_runs(RunQuery())
        return found[::-1], [str(warning.message) for warning in caught]

    def bring(self, run: Run, tell: Callable[[Left], None] = lambda _left: None) -> Report:
        """Bring what the run is now. Raises nothing that concerns this run alone: see `Report.troubles`."""
        report = Report(run.key)
        try:
            _One(self, self._source, self._target, run, report, tell).bring()
        except (MlDashError, OSError) as e:
            report.troubles.append(str(e))
        return report

    def ask(self, call: Callable[[], T]) -> T:
        """What `call` gives; it is made again where the target does not answer. Every call that comes here may be."""
        until, pause = time.monotonic() + self._patience, self._backoff[0]
        while True:
            try:
                return call()
            except Unavailable as e:
                left = until - time.monotonic()
                if left <= 0:
                    raise
                wait = max(pause * (0.5 + _random() / 2), e.retry_after or 0.0)
                time.sleep(min(wait, left))
                pause = min(pause * 2, self._backoff[1])

    @property
    def bounds(self) -> tuple[int, int]:
        """Points and bytes of one request."""
        return self._points, self._size


class _One:
    """One run on its way."""

    def __init__(
        self,
        owner: Migration,
        source: LocalStore,
        target: Store,
        run: Run,
        report: Report,
        tell: Callable[[Left], None],
    ) -> None:
        self._ask = owner.ask
        self._points, self._size = owner.bounds
        self._source = source
        self._target = target
        self._run = run
        self._report = report
        self._tell = tell
        self._writer = writer_of(run)
        self._goal: dict[SeriesKey, int] = {}
        self._at: dict[SeriesKey, int] = {}
        self._bytes: dict[SeriesKey, float] = {}
        self._files: list[FileRecord] = []

    def bring(self) -> None:
        """The record, rows, files, and last how its attempts went: who sees the run COMPLETED sees all of it."""
        there = self._meet()
        self._report.run = there.id
        self._files = self._source.find_files(self._run.id)
        self._look(there)
        told = events.missing(self._run, self._source.describe(self._run.id), (), events.Told())
        patches = [change.patch for change in told if change.patch is not None]
        there = self._bring_record(there, patches[0])
        self._bring_rows(there)
        known = {file.id for file in self._ask(lambda: self._target.find_files(there.id))} if self._files else set()
        for file in list(self._files):
            if file.id not in known:
                self._bring_file(there, file)
            self._files.remove(file)
            self._show()
        self._bring_attempts(there, patches[1:])

    def _show(self) -> None:
        left = sum(max(goal - self._at[series], 0) for series, goal in self._goal.items() if series in self._at)
        self._tell(Left(left, len(self._files)))

    # ------------------------------------------------------------ the record

    def _meet(self) -> Run:
        """The run at the target: made by this call, or by an earlier migration of this run."""
        key = self._run.key
        try:
            there = self._ask(lambda: self._target.get_run(key))
        except NotFound:
            # RUNNING, and without a heartbeat shown as lost, until all of it is there.
            patch = RunPatch(
                kind=self._run.kind, at=_ms(self._run.created_at), status="RUNNING", writer=self._writer, seq=1
            )
            there = self._ask(lambda: self._target.put_run(key, patch))
        if self._writer not in there.marks:
            raise Conflict(
                f"{self._report.label}: another run has this name there already ({there.id}), and was not touched. Rename or "
                "delete the one or the other; a run that `ml-dash sync` has sent is sent on by `ml-dash sync`."
            )
        return there

    def _bring_record(self, there: Run, patch: RunPatch) -> Run:
        """What is said of the run and its series; told once for each state of the folder's record, so that what was changed
        at the target since stays."""
        writer, seq = f"{self._writer}-record", max(_ms(self._run.updated_at) or 0, 1)
        if there.marks.get(writer, 0) >= seq:
            return there
        whole = msgspec.structs.replace(patch, writer=writer, seq=seq)
        return self._ask(lambda: self._target.update_run(there.id, whole))

    def _bring_attempts(self, there: Run, patches: Sequence[RunPatch]) -> None:
        """How its attempts began and ended, as far as that is not known there."""
        now = self._ask(lambda: self._target.get_run(there.id))
        for attempt in now.attempts:
            if attempt.ended_at is None:  # a migration that was killed left it open; it is not to count as dead
                beat = RunPatch(heartbeat=attempt.id, host=attempt.host, pid=attempt.pid)
                self._ask(partial(self._target.update_run, there.id, beat))
        for one in patches:
            patch = msgspec.structs.replace(one, first=one.first or {}) if one.join is not None else one
            if patch.status is not None and patch.leave is None:
                continue
            if not _is_there(now, patch):
                now = self._ask(partial(self._target.update_run, there.id, patch))
        writer, seq = f"{self._writer}-status", max(_ms(self._run.updated_at) or 0, 1)
        if now.status != self._run.status and now.marks.get(writer, 0) < seq:
            last = RunPatch(status=self._run.status, writer=writer, seq=seq)
            self._ask(lambda: self._target.update_run(there.id, last))

    # ------------------------------------------------------------ rows

    def _look(self, there: Run) -> None:
        """How long each series is here, and how much of it seems to be there. The last rows of that are sent again: the target
        compares them, and a copy of the folder that went its own way is found out."""
        known = {
            SeriesKey(self._run.id, info.kind, info.name): info.count
            for info in self._ask(lambda: self._target.describe(there.id))
        }
        for series in self._series():
            try:
                goal = self._source.read(series, 0, 0).total
            except CorruptData as e:
                self._report.troubles.append(str(e))
                continue
            if series.kind in (LOGS, EVENTS):
                there_too = series._replace(run=there.id)
                known[series] = self._ask(partial(self._total, there_too)) if goal else 0
            if goal:
                self._goal[series] = goal
                self._at[series] = max(0, min(known.get(series, 0), goal) - TAIL)

    def _total(self, series: SeriesKey) -> int:
        return self._target.read(series, 0, 0).total

    def _series(self) -> Iterator[SeriesKey]:
        folder = self._source.folder(self._run.id)
        for kind, name, _ in folder.list_series():
            yield SeriesKey(self._run.id, kind, name)
        yield SeriesKey(self._run.id, LOGS, "")
        yield SeriesKey(self._run.id, EVENTS, "")
        for kind, name, _ in walk_series(os.path.join(folder.path, EVENTS), EVENTS, ""):
            if name:
                yield SeriesKey(self._run.id, kind, name)

    def _bring_rows(self, there: Run) -> None:
        while self._at:
            batches = self._gather(there)
            if batches:
                self._deliver(batches)
            self._show()

    def _gather(self, there: Run) -> list[Batch]:
        """Batches of one request, each of a series of its own."""
        batches: list[Batch] = []
        points, size = self._points, self._size
        for series in list(self._at):
            if points <= 0 or size <= 0 or len(batches) >= SERIES:
                break
            start = self._at[series]
            fitting = int(size / self._bytes[series]) if series in self._bytes else _FIRST
            count = max(1, min(points, fitting, self._goal[series] - start))
            try:
                page = self._source.read(series, start, count)
                batch = self._batch(page, series._replace(run=there.id))
            except (CorruptData, InvalidInput) as e:
                self._give_up(series, str(e))
                continue
            if not page.count:  # it became shorter: it was repaired, or is another folder now
                self._give_up(series, "the folder was changed meanwhile; migrate it again")
                continue
            self._bytes[series] = max(1.0, len(page.lines) / page.count)
            batches.append(batch)
            points -= page.count
            size -= len(page.lines)
        return batches

    def _batch(self, page: Page, series: SeriesKey) -> Batch:
        """The page as the target may have it. Raises `InvalidInput` for a row that cannot be stored."""
        rows: Sequence[bytes] = codec.Lines(page.kind, page.start, page.count, page.lines)
        ticks: Sequence[tuple[int, int]] = page.ticks
        if (found := strict_rows(page.kind, page.start, page.lines)) is not None:
            rows, theirs = found
            for row in rows:
                check_row(row)
            after = theirs[-1][0] if theirs else -1
            ticks = (*theirs, *(tick for tick in ticks if tick[0] > after))
        else:
            check_lines(page.kind, page.start, page.count, page.lines)
        times = tuple((max(index - page.start, 0), ms) for index, ms in ticks)
        return Batch(series, rows, self._writer, page.start, times or ((0, self._some_ms()),))

    def _some_ms(self) -> int:
        """When rows were written of which nobody knows when."""
        return _ms(self._run.updated_at) or _ms(self._run.created_at) or int(time.time() * 1000)

    def _deliver(self, batches: Sequence[Batch]) -> None:
        try:
            answers = self._ask(lambda: self._target.append(batches))
        except (InvalidInput, Conflict) as e:
            if len(batches) > 1:
                for batch in batches:
                    self._deliver([batch])
            else:
                self._settle(batches[0], e)
            return
        for batch, answer in zip(batches, answers, strict=True):
            self._report.points += answer.count
            self._advance(batch.series._replace(run=self._run.id), (batch.seq or 0) + len(batch.rows))

    def _advance(self, series: SeriesKey, to: int) -> None:
        if to >= self._goal[series]:
            del self._at[series]
        else:
            self._at[series] = to

    def _settle(self, batch: Batch, error: MlDashError) -> None:
        """The target does not take it: others have written to the series as well, or it never will."""
        series, seq = batch.series._replace(run=self._run.id), batch.seq or 0
        if isinstance(error, Conflict) and error.expected is not None and error.expected < seq:
            self._at[series] = error.expected
            return
        self._give_up(series, str(error))

    def _give_up(self, series: SeriesKey, why: str) -> None:
        at = self._at.pop(series)
        name = f" {series.name!r}" if series.name else ""
        self._report.troubles.append(
            f"{self._report.label}, {series.kind}{name} from row {at} on: {why} (`ml-dash doctor` looks at a folder)"
        )

    # ------------------------------------------------------------ files

    def _bring_file(self, there: Run, file: FileRecord) -> None:
        try:
            self._ask(lambda: self._put_file(there, file))
        except FileMissing:
            return  # deleted or replaced meanwhile
        except (Conflict, InvalidInput, CorruptData) as e:
            self._report.troubles.append(f"{self._report.label}, file {file.filename!r} ({file.id}): {e}")
            return
        self._report.files += 1

    def _put_file(self, there: Run, file: FileRecord) -> None:
        record, source = self._source.get_file(self._run.id, file.id)
        put = FilePut(
            record.filename,
            record.path,
            record.description,
            record.tags,
            record.content_type,
            record.metadata,
            record.id,
            record.checksum or None,
        )
        with source:
            self._target.put_file(there.id, source, put)


def writer_of(run: Run) -> str:
    """The writer of a folder's run: the same wherever the folder lies, and also once the run was given an id of its own."""
    digest = blake2b(digest_size=16)
    for text in (*run.key, run.created_at):
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4, "big") + part)
    return f"folder-{digest.hexdigest()}"


def _is_there(run: Run, patch: RunPatch) -> bool:
    """Whether the run at the target knows this start or end of an attempt, or this protection."""
    attempts = {attempt.id: attempt for attempt in run.attempts}
    if patch.join is not None:
        return patch.join in attempts
    if patch.leave is not None:
        return patch.leave in attempts and attempts[patch.leave].status is not None
    if patch.dead:
        return all(one in attempts and attempts[one].ended_at is not None for one in patch.dead)
    return bool(patch.write_protected) and run.write_protected


def _ms(text: str) -> int | None:
    try:
        return parse_iso(text)
    except ValueError:
        return None
