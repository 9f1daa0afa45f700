"""Uploader: sends one run from the folder that keeps it to a server, a step at a time. The local log is the queue: nothing is
held in memory but positions. It waits for nobody and retries nothing; whoever calls `step` decides when.

What is sent, in this order: changes of the run up to an end of an attempt, rows, that end. So whoever sees a run COMPLETED sees
all that was in it. The target is any Store.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import msgspec

from ml_dash import codec
from ml_dash.errors import Conflict, CorruptData, FileMissing, InvalidInput, InvalidRow, NotFound, Unavailable
from ml_dash.model import EVENTS, LOGS, METRICS, TRACKS, Batch, FilePut, Page, Run, RunPatch, SeriesKey
from ml_dash.store import events
from ml_dash.store.base import Store
from ml_dash.store.foreign import strict_rows
from ml_dash.store.local import LocalStore
from ml_dash.store.run_folder import DATA
from ml_dash.store.sent import Sent, SentFile
from ml_dash.times import parse_iso

POINTS = 20_000
"""Points of one request."""
BYTES = 4 * 1024 * 1024
"""Bytes of lines of one request, about."""
SERIES = 5_000
"""Series of one request."""
CHANGES = 1_000
"""Changes that are read, and merged where they can be, at a time."""
_SAVE = 1.0
"""Seconds between two records of how far it is, while there is more to send."""
_LOOK = 5.0
"""Seconds between two looks into the folder for series of other processes."""
_STALE = 5.0
"""Seconds without progress of the process that sends, after which another one does."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PUMP = 0.5
"""Seconds of sending a file's bytes after which rows have their turn."""


class Left(NamedTuple):
    """What a server has not acknowledged yet."""

    points: int
    changes: int
    bytes: int = 0

    def __bool__(self) -> bool:
        return self.points > 0 or self.changes > 0


class Stopped(Exception):
    """The server will not take anything more of this run, for good; the text says why and what to do."""


class Uploader:
    """Sends the run `run` of `spool` to `target`, whose address is `server`. Not for two threads at once."""

    def __init__(
        self,
        spool: LocalStore,
        run: Run,
        target: Store,
        server: str,
        *,
        name: str | None = None,
        points: int = POINTS,
        size: int = BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = run
        self.there: Run | None = None
        """The run as the server told it last, None before it was heard of."""
        self._spool = spool
        self._target = target
        self._folder = spool.folder(run.id)
        self._key = run.key._replace(namespace="", name=name or run.key.name)
        self._file = SentFile(self._folder.path, server if name is None else f"{server}#{name}", clock)
        self._sent = self._file.load()
        self._writer = ""
        self._points = points
        self._size = size
        self._clock = clock
        self._events = SeriesKey(run.id, EVENTS, events.NAME)
        self._paths: dict[SeriesKey, str] = {}
        self._looked = 0.0
        self._done: dict[SeriesKey, int] = {}
        self._offsets: dict[SeriesKey, int] = {}
        self._stuck: dict[SeriesKey, str] = {}
        self._refused: set[tuple[str, int]] = set()
        self._saved = self._moved = 0.0
        self._unsaved = False
        self._beat: RunPatch | None = None
        self._tried = (-1, 0)
        """The changes [start, stop) that were sent last as one: sent again they are the same, for they may be there already, and
        what others have changed since is not to be undone."""
        self._turn = 0
        self._refusal = ""
        self._set_back: set[str] = set()
        """Series of which the server has less than was acknowledged: it may have been restored from a copy."""
        self.refusals = 0
        """Rows and changes that this process had to put aside."""

    # ------------------------------------------------------------ one step

    def step(self) -> bool:
        """Send what there is, one request of rows at most; whether there is more to do at once.

        Raises `Unavailable` and `PermissionDenied` (later, perhaps), `Stopped` (never), `CorruptData`, `OSError`.
        """
        with self._file.sending() as mine:
            if not mine and 0 <= self._clock() - self._file.moved() < _STALE:  # a clock that was set back tells nothing
                self._catch_up()
                return False
            self._catch_up()
            if self.there is None:
                if not self._moved:
                    self._save()  # whoever looks at the folder learns which server it is for
                self._meet()
            more = False
            try:
                more = self._send()
            finally:  # before a pause, whatever the reason
                if self._unsaved and (not more or time.monotonic() - self._saved > _SAVE):
                    self._save()
            return more

    def _catch_up(self) -> None:
        """Go on where another process has got to."""
        moved = self._file.moved()
        if moved != self._moved:
            self._moved = moved
            there = self._file.load()
            if there.run == self._sent.run:
                for name, count in there.series.items():
                    self._sent.series[name] = max(count, self._sent.series.get(name, 0))

    def _send(self) -> bool:
        try:
            self._send_beat()
            held = self._send_changes(ends=False)
            more = self._send_rows()
            if held and not more:
                more = self._send_changes(ends=True)
            return more
        except NotFound as e:
            if isinstance(e, FileMissing):
                raise
            raise Stopped(
                f"{self._what} was deleted at the server. It is kept in {self._folder.path}; `ml-dash sync` sends it again."
            ) from e

    @property
    def _what(self) -> str:
        return f"{self.run.kind} {self._key.project}/{self._key.name}"

    def _meet(self) -> None:
        """Make the run known at the server, or find it there, and go on where the server says."""
        self._writer = self._file.writer()
        try:
            there = self._target.put_run(self._key, RunPatch(kind=self.run.kind, at=self._begun()))
        except InvalidInput as e:
            raise Stopped(f"{self._what}: the server refuses it: {e}") from e
        if self._sent.run != there.id:
            self._sent = Sent(self._sent.server, there.id)
        if there.write_protected and self._writer not in there.marks:
            raise Stopped(f"{self._what} is write-protected at the server. Choose another name.")
        mark = there.marks.get(self._writer, 0)
        if mark < self._position(self._events):
            self._set_back.add(_name(self._events))
        self._sent.series[_name(self._events)] = mark
        self._refused = set(self._file.refused())
        self._complete()
        self.there = there
        self._unsaved = True

    def _begun(self) -> int | None:
        """When the run was created here: where it is new, it is as old at the server."""
        try:
            return parse_iso(self.run.created_at)
        except ValueError:  # of a published client
            return None

    def _complete(self) -> None:
        """Write changes that were made without telling into the events, so that they are sent like all others."""
        with self._folder.lock():  # a change that is made meanwhile is told after what is found here, which it may undo
            rows = self._untold()
            if rows:
                self._spool.append([Batch(self._events, rows)])

    def _untold(self) -> list[bytes]:
        """The rows of those changes."""
        told = events.Told()
        for change in self._changes(0, None):
            told.add(change)
        run = self._spool.get_run(self.run.id)
        files, series = self._spool.find_files(run.id), self._spool.describe(run.id)
        return [events.row(change) for change in events.missing(run, series, files, told)]

    def _save(self) -> None:
        with suppress(OSError):  # a full disk costs sending again
            self._file.save(self._sent, self._set_back)
            self._unsaved = False
            self._set_back.clear()
            self._moved = self._file.moved()
        self._saved = time.monotonic()

    def beat(self, patch: RunPatch) -> None:
        """Have a heartbeat sent with the next step."""
        self._beat = patch

    def _send_beat(self) -> None:
        beat, self._beat = self._beat, None
        if beat is not None:
            self._target.update_run(self._sent.run, beat)

    # ------------------------------------------------------------ changes

    def _changes(self, start: int, limit: int | None) -> list[events.Change]:
        """Changes from `start` on; what cannot be read is one without content."""
        return [_parsed(point["data"]) for point in codec.decode_page(self._spool.read(self._events, start, limit))]

    def _position(self, series: SeriesKey) -> int:
        return self._sent.series.get(_name(series), 0)

    def _advance(self, series: SeriesKey, to: int) -> None:
        self._sent.series[_name(series)] = to
        self._unsaved = True

    def _send_changes(self, *, ends: bool) -> bool:
        """Send changes up to an end of an attempt, or that end first if `ends`. Whether there is more to do: an end waits for
        its rows, or not all was read."""
        start = self._position(self._events)
        changes = self._changes(start, CHANGES)
        at = start
        while at < start + len(changes):
            most = self._tried[1] - start if self._tried[0] == at else len(changes)
            patch, stop = _merged(changes[:most], at - start)
            self._tried = (at, start + stop)
            if patch is not None and (patch.leave or patch.status or patch.write_protected) and not ends:
                return True
            ends = False
            if patch is None:
                self._send_file_change(changes[at - start], at)
                patch = RunPatch()  # what is sent of it is how far this has got
            if not self._send_patch(patch, start + stop):
                self._send_each(changes[at - start : stop], at)
            at = start + stop
            self._advance(self._events, at)
        return len(changes) == CHANGES

    def _send_patch(self, patch: RunPatch, seq: int) -> bool:
        """Whether the server takes it. `seq` is how many changes it and those before it hold."""
        identified = msgspec.structs.replace(patch, writer=self._writer, seq=seq)
        try:
            self.there = self._target.update_run(self._sent.run, identified)
        except (Conflict, InvalidInput) as e:
            self._refusal = str(e)
            return False
        return True

    def _send_each(self, changes: Sequence[events.Change], at: int) -> None:
        """One of these is refused: it is put aside, and the others are sent."""
        for seq, change in enumerate(changes, at + 1):
            if change.patch is not None and not self._send_patch(change.patch, seq):
                self._put_aside(self._events, seq - 1, events.row(change), self._refusal)

    def _send_file_change(self, change: events.Change, at: int) -> None:
        if change.file is None:
            return
        try:
            if change.stored:
                self._send_file(change.file)
            elif change.change is not None:
                self._target.update_file(self._sent.run, change.file, change.change)
        except FileMissing:
            pass  # deleted or replaced since
        except (Conflict, InvalidInput) as e:
            self._put_aside(self._events, at, events.row(change), str(e))
        except OSError:  # of a file that cannot be read here, or has no room there: rows do not wait for it
            while self._send_rows():
                pass
            raise

    def _send_file(self, file: str) -> None:
        record, source = self._spool.get_file(self.run.id, file)
        with source:
            put = FilePut(
                record.filename,
                record.path,
                record.description,
                record.tags,
                record.content_type,
                record.metadata,
                record.id,
                record.checksum if _SHA256.fullmatch(record.checksum) else None,
            )
            stream: Any = _Pumped(source, self._between)
            self._target.put_file(self._sent.run, stream, put)

    def _between(self) -> None:
        """In the middle of a long file: rows and heartbeats do not wait for it."""
        self._send_beat()
        self._send_rows()

    # ------------------------------------------------------------ rows

    def _send_rows(self) -> bool:
        """One request with rows of the series that have some; whether there are more."""
        batches, sizes, more = self._gather()
        if not batches:
            return more
        self._deliver(batches)
        for batch in batches:
            series = batch.series._replace(run=self.run.id)
            if self._position(series) < (batch.seq or 0) + len(batch.rows):
                more = more or series not in self._stuck
            elif series in sizes:
                self._done[series] = sizes[series]
            else:
                more = True
        self._turn += 1
        return more

    def _gather(self) -> tuple[list[Batch], dict[SeriesKey, int], bool]:
        """Batches for one request; how large the files were of which all was read; whether some series had to wait."""
        batches: list[Batch] = []
        read: dict[SeriesKey, int] = {}
        points, size = self._points, self._size
        behind = self._behind()
        for number, (series, length) in enumerate(behind):
            if points <= 0 or size <= 0 or number >= SERIES:
                return batches, read, True
            start = self._position(series)
            try:
                page = self._spool.read(series, start, min(points, self._fitting(series, start, length, size)))
            except CorruptData as e:  # the other series are whole
                self._stuck[series] = str(e)
                continue
            if page.start + page.count >= page.total:
                read[series] = length
            if not page.count:
                self._done[series] = length
                continue
            self._offsets[series] = page.origin[1] + len(page.lines)
            batches.append(self._batch(series, page))
            points -= page.count
            size -= len(page.lines)
        return batches, read, False

    def _fitting(self, series: SeriesKey, start: int, length: int, size: int) -> int:
        """How many rows from `start` on take about `size` bytes, by what those before it took; a thousand to begin with."""
        offset = self._offsets.get(series, 0)
        if not start or not offset:
            return min(1000, max(1, self._points))
        return max(1, size * start // offset)

    def _behind(self) -> list[tuple[SeriesKey, int]]:
        """The series that have grown since all of them was sent, with their files' sizes; another one first each time."""
        self._look()
        found = []
        for series, path in self._paths.items():
            with suppress(OSError):
                length = os.stat(path).st_size
                if length != self._done.get(series) and series not in self._stuck:
                    found.append((series, length))
        first = self._turn % len(found) if found else 0
        return found[first:] + found[:first]

    def _look(self, *, now: bool = False) -> None:
        """Which series there are: those of this process at once, those of others after a while."""
        kinds = (METRICS, TRACKS, LOGS)
        opened = self._spool.opened(self.run.id)
        found = {series: path for series, path in opened.items() if series.kind in kinds and series not in self._paths}
        if now or time.monotonic() - self._looked > _LOOK or not self._looked:
            self._looked = time.monotonic()
            for kind, name, place in self._folder.list_series():
                found[SeriesKey(self.run.id, kind, name)] = os.path.join(place, DATA)
            found[SeriesKey(self.run.id, LOGS, "")] = os.path.join(self._folder.path, LOGS, "logs.jsonl")
        if found.keys() - self._paths.keys():
            self._paths = {**self._paths, **found}  # another thread may be going through the old one

    def _batch(self, series: SeriesKey, page: Page) -> Batch:
        """The page as a batch of this writer's; rows that the server refused before are left out of it."""
        rows: Sequence[bytes] = codec.Lines(page.kind, page.start, page.count, page.lines)
        ticks: Sequence[tuple[int, int]] = page.ticks
        if (found := strict_rows(page.kind, page.start, page.lines)) is not None:
            rows, theirs = found
            after = theirs[-1][0] if theirs else -1
            ticks = (*theirs, *(tick for tick in ticks if tick[0] > after))
        if self._refused:
            name, numbers = _name(series), range(page.start, page.start + page.count)
            gone = [i for i in numbers if (name, i) in self._refused]
            if gone:
                rows = list(rows)
                for index in gone:
                    rows[index - page.start] = _instead(series.kind)
        times = tuple((max(index - page.start, 0), ms) for index, ms in ticks)
        return Batch(series._replace(run=self._sent.run), rows, self._writer, page.start, times)

    def _deliver(self, batches: Sequence[Batch]) -> None:
        try:
            answers = self._target.append(batches)
        except (InvalidInput, Conflict) as e:
            if len(batches) > 1:
                for batch in batches:
                    self._deliver([batch])
                return
            self._settle(batches[0], e)
            return
        for batch, answer in zip(batches, answers, strict=True):
            if answer.count < len(batch.rows):
                self._check_known(batch, len(batch.rows) - answer.count)
            self._advance(batch.series._replace(run=self.run.id), (batch.seq or 0) + len(batch.rows))

    def _check_known(self, batch: Batch, known: int) -> None:
        """The server has the first `known` rows of `batch` already, by their numbers. It has compared the last few that it had of
        this log; a copy of the folder that fell further behind is found out here: its rows are not there in their order."""
        at, rows = batch.seq or 0, iter(batch.rows[:known])  # nothing is before its own number, whoever else writes
        row = next(rows, None)
        while row is not None:
            page = self._target.read(batch.series, at, min(self._points, known + 1000))
            if not page.count:
                raise self._copied(batch, "the server has other rows in the place of its own")
            for found in codec.Lines(page.kind, page.start, page.count, page.lines).rows():
                row = next(rows, None) if found == row else row
            at += page.count

    def _copied(self, batch: Batch, why: str) -> Stopped:
        self._stuck[batch.series._replace(run=self.run.id)] = why
        return Stopped(
            f"{self._what}: {self._folder.path} is a copy of a folder that was sent from elsewhere, and went its own way ({why}). "
            f"Send it under a name of its own: ml-dash sync {self._folder.path} --as NAME"
        )

    def _settle(self, batch: Batch, error: Exception) -> None:
        """What to do with a batch that the server refuses: go where it says, or send it without the row that is at fault."""
        series, seq = batch.series._replace(run=self.run.id), batch.seq or 0
        if isinstance(error, Conflict):
            if error.expected is None or error.expected >= seq:
                raise self._copied(batch, str(error))
            self._set_back.add(_name(series))
            self._advance(series, error.expected)
            self._offsets.pop(series, None)
            return
        if len(batch.rows) > 1 and not isinstance(error, InvalidRow):
            half = len(batch.rows) // 2
            first = msgspec.structs.replace(batch, rows=batch.rows[:half])
            self._deliver([first])
            return
        row = error.row if isinstance(error, InvalidRow) else 0
        if _is_damaged(batch, row):  # this folder is at fault, and a person can repair it
            self._stuck[series] = (
                f"{self._paths.get(series, self._folder.path)}: row {seq + row} is damaged. "
                f"Run `ml-dash doctor --repair {self._folder.path}`, then `ml-dash sync {self._folder.path}`."
            )
            return
        refused = (_name(series), seq + row)
        if refused in self._refused:  # nothing of this series will do
            self._stuck[series] = str(error)
            self.refusals += 1
            return
        self._put_aside(series, seq + row, batch.rows[row], str(error))

    def _put_aside(self, series: SeriesKey, index: int, row: bytes, reason: str) -> None:
        """The dead letter: kept with its reason; what follows is sent on."""
        self._file.refuse(_name(series), index, row, reason)
        self._refused.add((_name(series), index))
        self.refusals += 1

    # ------------------------------------------------------------ how far

    def goal(self, only: SeriesKey | None = None) -> dict[SeriesKey, int]:
        """How long each series is now, or this one and the changes; `reached` when the server has all of that."""
        self._look(now=only is None)
        keys: Iterable[SeriesKey] = (self._events, *(self._paths if only is None else (only,)))
        return {series: self._spool.read(series, 0, 0).total for series in keys if series not in self._stuck}

    def reached(self, goal: dict[SeriesKey, int]) -> bool:
        """Whether the server has acknowledged all of `goal`, but for series that cannot be sent."""
        return all(self._position(series) >= count or series in self._stuck for series, count in goal.items())

    def reached_of(self, goal: dict[SeriesKey, int]) -> dict[SeriesKey, int]:
        """How much of `goal` the server has acknowledged."""
        return {series: min(count, self._position(series)) for series, count in goal.items()}

    def left(self) -> Left:
        """What the server has not acknowledged, as of now; series that cannot be sent as well."""
        self._look(now=True)
        keys: Iterable[SeriesKey] = (self._events, *self._paths)
        counts = {
            series: max(0, self._spool.read(series, 0, 0).total - self._position(series))
            for series in dict.fromkeys(keys)
        }
        changes = counts.pop(self._events, 0)
        return Left(sum(counts.values()), changes)

    @property
    def alone(self) -> bool:
        """Whether nobody else has written to the run, as far as the server has told: then this log is the run's."""
        if self.there is None:
            return True
        ours = {attempt.id for attempt in self._spool.get_run(self.run.id).attempts}
        writers = set(self.there.marks) - {self._writer}
        return not writers and all(attempt.id in ours for attempt in self.there.attempts)

    @property
    def is_whole(self) -> bool:
        """Whether the server has all that is here as of now: nothing is left, or untold as where a disk was full, and nothing
        was refused."""
        return not self.left() and not self.refused() and not self._untold()

    def refused(self) -> dict[tuple[str, int], str]:
        """The rows and changes that this server refused for good, by ("kind/name", index), and why."""
        return self._file.refused()

    def note(self, trouble: str | None) -> None:
        """Keep why nothing gets through, for those who look at the folder; None once it does."""
        self._file.note(trouble)

    @property
    def stuck(self) -> dict[SeriesKey, str]:
        """The series that cannot be sent, and why."""
        return dict(self._stuck)

    @property
    def refused_path(self) -> str:
        """Where rows lie that were put aside."""
        return self._file.refused_path

    @property
    def server_run(self) -> str:
        """The run's id at the server, "" before it was heard of."""
        return self._sent.run


def _name(series: SeriesKey) -> str:
    return f"{series.kind}/{series.name}"


def _is_damaged(batch: Batch, row: int) -> bool:
    """Whether the row is not what was written here."""
    try:
        if isinstance(batch.rows, codec.Lines):
            line = batch.rows.data.split(b"\n")[row]
            return codec.index_of(batch.series.kind, line) != batch.rows.first + row or not codec.decode_row(line)
        codec.decode_row(batch.rows[row])
    except (ValueError, RecursionError):
        return True
    return False


def _instead(kind: str) -> bytes:
    """What stands in the place of a row that was refused: the rows behind it keep their indices."""
    return b'{"level": "warn", "message": "(an entry that the server refused)"}' if kind == LOGS else b"{}"


def _parsed(fields: dict[str, Any]) -> events.Change:
    try:
        return events.parse(fields)
    except InvalidInput:
        return events.Change()


def _merged(changes: Sequence[events.Change], at: int) -> tuple[RunPatch | None, int]:
    """The patches from position `at` on that can be one, and the position behind them."""
    patch = changes[at].patch
    stop = at + 1
    while patch is not None and stop < len(changes):
        then = changes[stop].patch
        both = events.merged(patch, then) if then is not None else None
        if both is None:
            break
        patch, stop = both, stop + 1
    return patch, stop


class _Pumped(io.RawIOBase):
    """A file's bytes that call `between` every now and then while they are read."""

    def __init__(self, source: BinaryIO, between: Callable[[], None]) -> None:
        self._source = source
        self._between = between
        self._due = time.monotonic() + _PUMP

    def read(self, size: int = -1, /) -> bytes:
        if time.monotonic() > self._due:
            with suppress(Unavailable):  # the file may get through all the same
                self._between()
            self._due = time.monotonic() + _PUMP
        return self._source.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._source.seekable()

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._source.seek(offset, whence)
