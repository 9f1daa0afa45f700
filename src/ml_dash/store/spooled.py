"""SpooledStore: a run that is kept in a folder and sent to a server behind. Writes go to the folder and are done; a background
thread sends; reads ask the server. Joins a LocalStore, an Uploader and any Store. The network never raises into a write.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import msgspec

from ml_dash import background
from ml_dash.errors import CorruptData, MlDashError, NotFound, PermissionDenied, Unavailable
from ml_dash.model import (
    EVENTS,
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
from ml_dash.store import events
from ml_dash.store.base import Store
from ml_dash.store.left_behind import left_behind
from ml_dash.store.local import LocalStore
from ml_dash.store.patch import new_id
from ml_dash.store.run_folder import host
from ml_dash.store.spools import Hold
from ml_dash.store.uploader import Left, Stopped, Uploader

if TYPE_CHECKING:
    from ml_dash.rollup import Sample

T = TypeVar("T")

TURN = 0.2
"""Seconds between two looks for what there is to send."""
SHARE = 40.0
"""How many times the processor time of a step that found all sent is waited for, so that sending takes some 2 % of a core."""
LONGEST_PAUSE = 5.0
"""Seconds that this may make it wait."""
PATIENCE = 30.0
"""Seconds that a flush, a read or closing waits for the server."""
BACKOFF = (0.5, 30.0)
"""Seconds to wait after a first failure, doubled with each, and at most; times a random factor between a half and one."""
REFUSED_AGAIN = 30.0
"""Seconds after which a token that the server refused is tried again."""

OTHERS_AGAIN = 60.0
"""Seconds after which what dead processes left is tried again, where sending it failed."""
ASK_AGAIN = 5.0
"""Seconds that a read waits for a server that did not answer last time: it may be back."""
_GRACE = 0.5
"""Seconds that closing waits for a step that is under way."""

_random = random.SystemRandom().random


class SpooledStore:
    """One run at a time in the LocalStore `local`, sent to `target`, which is at the address `server`.

    `private`: the folder is a spool of its own, deleted when the run is closed and all of it is at the server. `patience` is
    how long (s) to wait for the server at most; `backoff` is (first, longest) pause after a failure.
    """

    def __init__(
        self,
        local: LocalStore,
        target: Store,
        server: str,
        *,
        private: bool = False,
        patience: float = PATIENCE,
        backoff: tuple[float, float] = BACKOFF,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.local = local
        self.server = server
        self._target = target
        self._private = private
        self._patience = patience
        self._backoff = backoff
        self._clock = clock
        self._run: Run | None = None
        self._there = ""
        self._hold: Hold | None = None
        self._open = False
        self._begin()
        background.after_fork(self._forked)

    def _begin(self) -> None:
        self._uploader: Uploader | None = None
        self._changed = threading.Condition()
        self._stepping = threading.Lock()
        self._failures = 0
        self._trouble: str | None = None
        self._stopped: str | None = None
        self._not_before = 0.0
        self._urgent = False
        self._warned: set[str] = set()
        self._waited = 0.0
        self._gone = False
        self._asleep = False
        self._closing = False
        self._others: Generator[bool, None, None] | None = None
        self._others_again = 0.0
        self._telling = threading.RLock()
        self._unsaid = False
        """Whether the last change could not be written, as the end of an attempt on a full disk: the folder goes on."""

    def _forked(self) -> None:
        """The child writes to the same folder. It sends as well once it has something to send, for its parent may be gone."""
        there, gone = self._there, self._gone
        self._begin()
        self._there, self._gone = there, gone
        self._asleep = self._open and not gone
        if self._hold is not None:
            with suppress(OSError):
                self._hold.share_anew()

    # ------------------------------------------------------------ runs

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        """See `Store.put_run`: here at once, at the server soon."""
        if self._private and self._hold is None:
            self._hold = Hold(self.local.root, key)
            self._hold.share()
        run = self.local.put_run(key, patch)
        if self._run is None or self._run.id != run.id or self._gone:
            self._begin()
            self._there = ""
        self._run = run
        try:
            with self._telling:
                self._tell(run, patch)
        except OSError:
            if patch.join is not None:  # it was not opened, so nobody is to wait for its end
                self.local.folder(run.id).leave(patch.join)
            raise
        self._start()
        return run

    def _start(self) -> None:
        self._open, self._asleep = True, False
        background.stop(self._turn)
        background.every(TURN, self._turn, network=True)
        background.soon(self._turn)

    def update_run(self, run: str, patch: RunPatch) -> Run:
        """See `Store.update_run`."""
        if patch.heartbeat is not None:
            if self._uploader is not None:
                self._uploader.beat(RunPatch(heartbeat=patch.heartbeat, host=host(), pid=os.getpid()))
            return self.local.update_run(run, patch)
        with self._telling:  # of two threads' changes, the one that is last here is told last
            self._unsaid = True
            after = self.local.update_run(run, patch)
            self._tell(after, patch)
            self._unsaid = False
        return after

    def _tell(self, run: Run, patch: RunPatch) -> None:
        """Write the change into the events, with the process that it comes from."""
        at = int(self._clock() * 1000)
        change = msgspec.structs.replace(patch, at=at, heartbeat=None)
        if patch.join is not None or patch.leave is not None:
            dead = tuple(a.id for a in run.attempts if a.ended_at is not None and a.status is None)
            change = msgspec.structs.replace(change, dead=dead)
        if patch.join is not None:
            mine = next((a for a in run.attempts if a.id == patch.join), None)
            first = (mine.first if mine is not None else None) or None
            change = msgspec.structs.replace(change, host=host(), pid=os.getpid(), first=first)
        self._note(run.id, events.Change(patch=change))

    def _note(self, run: str, change: events.Change) -> None:
        if self._asleep:
            self._start()
        self.local.append([Batch(SeriesKey(run, EVENTS, events.NAME), [events.row(change)])])

    def get_run(self, run: RunKey | str) -> Run:
        """See `Store.get_run`. By key, before it was opened: as it is in the folder, since starting waits for no server."""
        if isinstance(run, RunKey):
            return self.local.get_run(run)
        found = self._asked(self._target.get_run, lambda: self.local.get_run(run))
        return self._as_here(found)

    def _as_here(self, found: Run) -> Run:
        """The server's record under the id and key that this process knows the run by."""
        if self._run is not None:
            found.id, found.key = self._run.id, self._run.key
        return found

    def find_runs(self, query: RunQuery) -> list[Run]:
        """See `Store.find_runs`: the server's."""
        return self._target.find_runs(query)

    def delete_run(self, run: str) -> None:
        """See `Store.delete_run`: at the server, and here."""
        background.stop(self._turn)
        with suppress(NotFound):
            self._target.delete_run(self._there or self._target.get_run(self.local.get_run(run).key).id)
        self.local.delete_run(run)
        self._gone = True

    # ------------------------------------------------------------ rows

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `Store.append`: into the folder; indices are those of this machine's log. Never waits for the server."""
        if self._asleep:
            self._start()
        return self.local.append(batches)

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        """See `Store.read`."""
        return self._asked(
            lambda there: self._target.read(series._replace(run=there), start, limit, most),
            lambda: self.local.read(series, start, limit, most),
            series,
        )

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        """See `Store.columns`."""
        return self._asked(
            lambda there: self._target.columns(series._replace(run=there), fields, start, stop),
            lambda: self.local.columns(series, fields, start, stop),
            series,
        )

    def describe(self, run: str) -> list[SeriesInfo]:
        """See `Store.describe`."""
        return self._asked(self._target.describe, lambda: self.local.describe(run))

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """See `Store.sample`."""
        return self._asked(
            lambda there: self._target.sample(series._replace(run=there), field, x, start, stop, max_points),
            lambda: self.local.sample(series, field, x, start, stop, max_points),
            series,
        )

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`: the folder is synced, then the server is waited for, `patience` at most and not at all while it
        cannot be reached. What is not there then is sent later."""
        self.local.flush(run)
        if not self._asleep:
            self._settle()

    # ------------------------------------------------------------ files

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        """See `Store.put_file`: into the folder; the bytes stay until the server has them."""
        put = msgspec.structs.replace(put, id=put.id or new_id())
        record = self.local.put_file(run, source, put)
        self._note(run, events.stored(record))
        return record

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        """See `Store.get_file`."""
        record, source = self._asked(
            lambda there: self._target.get_file(there, file), lambda: self.local.get_file(run, file)
        )
        return self._of_here(record), source

    def find_files(self, run: str) -> list[FileRecord]:
        """See `Store.find_files`."""
        return [
            self._of_here(record) for record in self._asked(self._target.find_files, lambda: self.local.find_files(run))
        ]

    def _of_here(self, record: FileRecord) -> FileRecord:
        """The server's record of a file, under the id that this process knows the run by."""
        if self._run is not None:
            record.experiment_id = self._run.id
        return record

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        """See `Store.update_file`. Of a file that is at the server only: there."""
        try:
            record = self.local.update_file(run, file, patch)
        except NotFound:
            return self._of_here(self._asked(lambda there: self._target.update_file(there, file, patch), None))
        self._note(run, events.Change(file=file, change=patch))
        return record

    # ------------------------------------------------------------ sending

    def _turn(self) -> None:
        """The background thread's: a step, if it is time."""
        now = time.monotonic()
        if now < self._not_before and not (self._urgent and not self._failures):
            return
        with self._stepping:
            more = self._step()
        if more:
            background.soon(self._turn)

    def _step(self) -> bool:
        if self._run is None or self._stopped is not None or self._gone:
            return False
        began = time.thread_time()
        more = False
        uploader = self._uploader
        try:
            if uploader is None:
                uploader = Uploader(self.local, self._run, self._target, self.server, clock=self._clock)
                self._uploader = uploader
            more = uploader.step()
        except Stopped as e:
            self._stopped = str(e)
            if uploader is not None:
                uploader.note(self._stopped)
            self._warn(f"{e} Nothing more of it is sent; the folder goes on.")
        except (Unavailable, PermissionDenied) as e:
            self._failed(e)
        except (MlDashError, OSError) as e:
            self._failed(e)
        else:
            assert uploader is not None
            if self._trouble is not None:
                uploader.note(None)
            self._failures, self._trouble = 0, None
            more = more or self._take_up()
            pause = min(LONGEST_PAUSE, max(TURN, SHARE * (time.thread_time() - began)))
            self._not_before = 0.0 if more else time.monotonic() + pause
            self._there = uploader.server_run or self._there
            if uploader.refusals:
                self._warn(
                    f"the server refused {uploader.refusals} rows or changes for good; they are kept, with the reason, in "
                    f"{uploader.refused_path}."
                )
                uploader.refusals = 0
            for reason in uploader.stuck.values():
                self._warn(f"cannot be sent: {reason}")
        with self._changed:
            self._changed.notify_all()
        return more

    def _take_up(self) -> bool:
        """A step of sending what dead processes left in the spool, when there is nothing of one's own to send. Whether there is
        more of it."""
        if not self._private or self._urgent or self._run is None:
            return False
        if self._others is None and time.monotonic() >= self._others_again:
            self._others = left_behind(self.local, self._target, self.server, self._run.key)
        try:
            return self._others is not None and next(self._others, False)
        except (MlDashError, OSError):  # no trouble of this run's
            self._others, self._others_again = None, time.monotonic() + OTHERS_AGAIN
            return False

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._trouble != str(error) and self._uploader is not None:
            self._uploader.note(str(error))
        self._trouble = str(error)
        first, longest = self._backoff
        pause = min(longest, first * 2 ** min(self._failures - 1, 16)) * (0.5 + _random() / 2)
        if isinstance(error, Unavailable) and error.retry_after is not None:
            pause = max(pause, min(error.retry_after, 600.0))
        elif isinstance(error, (PermissionDenied, CorruptData)):
            pause = max(pause, min(longest, REFUSED_AGAIN))
        self._not_before = time.monotonic() + (min(pause, 1.0) if self._closing else pause)
        if self._failures > 1 or not isinstance(error, Unavailable):
            self._warn(
                f"{self.server} does not take what is logged ({error}). Training goes on; all of it is kept in "
                f"{self.local.root} and sent as soon as the server does."
            )

    def _warn(self, text: str) -> None:
        kind = text[:40]
        if kind not in self._warned:
            self._warned.add(kind)
            with suppress(RuntimeWarning):  # where warnings are errors, there is nobody here to raise it to
                warnings.warn(f"ml-dash: {text}", RuntimeWarning, stacklevel=2)

    def _settle(
        self,
        wait: float | None = None,
        tell: Callable[[Left], None] | None = None,
        only: SeriesKey | None = None,
        failures: int = 0,
    ) -> bool:
        """Wait until the server has all that is here as of now, or of one series; whether it has. Not while it is known not
        to answer, or once it fails more than `failures` times; whoever can `tell` waits all the same."""
        if self._run is None or self._gone:
            return self._gone
        most = self._failures + failures if failures else 0
        if self._stopped is not None or (self._failures > most and tell is None):
            return self._is_sent()
        give_up = time.monotonic() + (self._patience if wait is None else wait)
        self._not_before = min(self._not_before, 0.0) if failures else self._not_before
        goal = None
        self._urgent = True
        try:
            while True:
                uploader = self._uploader
                if uploader is not None and uploader.there is not None:
                    goal = goal or uploader.goal(only)
                    if uploader.reached(goal):
                        self._waited = 0.0
                        return True
                    if tell is not None:
                        tell(uploader.left())
                if self._stopped is not None or (self._failures > most and tell is None) or time.monotonic() > give_up:
                    return False
                self._wait_a_step(give_up)
        finally:
            self._urgent = False

    def _wait_a_step(self, give_up: float) -> None:
        began = time.monotonic()
        if not background.soon(self._turn):
            time.sleep(min(0.1, max(0.0, self._not_before - began)) if self._failures else 0.0)
            with self._stepping:  # the interpreter is ending, or this process was forked: the thread is gone
                self._step()
        else:
            with self._changed:
                self._changed.wait(min(0.1, max(0.0, give_up - began)))
        self._waited += time.monotonic() - began

    def _is_sent(self) -> bool:
        uploader = self._uploader
        return uploader is not None and uploader.there is not None and not uploader.left()

    # ------------------------------------------------------------ asking

    def _asked(self, ask: Callable[[str], T], here: Callable[[], T] | None, only: SeriesKey | None = None) -> T:
        """The server's answer, once it has all that was written here; the folder's own where the server cannot be asked and
        nobody else writes to the run."""
        sent = self._settle(self._patience if not self._failures else min(self._patience, ASK_AGAIN), None, only, 1)
        if self._there and sent:
            try:
                return ask(self._there)
            except Unavailable:
                if here is None or not self._alone() or self._gone:
                    raise
        if here is not None and not self._gone and self._alone():
            return here()
        raise Unavailable(
            f"{self.server} cannot be asked now ({self._trouble or self._stopped or 'it was not reached yet'}), and what is in "
            f"{self.local.root} is not all of the run. Try again later."
        )

    def _alone(self) -> bool:
        return self._uploader is None or self._uploader.alone

    # ------------------------------------------------------------ closing

    def close(self) -> None:
        """See `Store.close`. Waits `patience` at most for the server to have all, and says what it has not."""
        try:
            if self._run is not None and self._open and not self._gone and not self._asleep:
                self._closing = True
                self._not_before = 0.0
                self._finish(self._run)
        finally:
            self._open = self._closing = self._asleep = False
            background.stop(self._turn)
            # A step may hang in a socket for as long as its time-out: it is let go with what it has.
            if self._stepping.acquire(timeout=_GRACE):
                if self._others is not None:
                    self._others.close()
                    self._others = None
                self._stepping.release()
            self.local.close()
            self._target.close()
            if self._hold is not None:
                self._hold.let_go()
                self._hold = None

    def _finish(self, run: Run) -> None:
        from ml_dash.store.progress import sending

        with sending(f"{run.key.project}/{run.key.name}") as tell:
            sent = self._settle(max(0.0, self._patience - self._waited), tell)
        uploader = self._uploader
        if not sent or uploader is None or uploader.stuck:  # what others write meanwhile, they send
            self._say_what_is_left(run)
        elif self._private and self._hold is not None and self._hold.own():
            with self._stepping:
                if uploader.is_whole and not self._unsaid:
                    self.local.delete_run(run.id)
                    self._gone = True

    def _say_what_is_left(self, run: Run) -> None:
        uploader, path = self._uploader, self.local.folder(run.id).path
        left = uploader.left() if uploader is not None else None
        what = f"{_count(left.points, 'point')} and {_count(left.changes, 'change')}" if left else "what was written"
        stuck = next(iter(uploader.stuck.values()), None) if uploader is not None else None
        reason = self._stopped or self._trouble or stuck or "it did not answer in time"
        text = (
            f"ml-dash: not at {self.server} yet: {what} of {run.key.project}/{run.key.name} ({reason}). All of it is kept in "
            f"{path}. To send it: ml-dash sync {path} --remote {self.server}"
        )
        sys.stderr.write(text + "\n")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
