"""Attempts of clients that do not tell of them. The published clients say that a run starts and (ml-dash, not dreamlake) how it
ended; they have no heartbeat, and no call says which process makes it. No HTTP may come in here.

What is made of that: each start is an attempt. Any call beats for all of them that are open. The first end that comes ends all
of them, since those that were killed will not say anything; where a process was alive after all, its next write begins an
attempt anew, which ends no better than the one before it. So a run that was killed and started again ends as it should, several
processes in one run end as the worst of them, and a run that nobody calls for is shown as lost. Nothing is kept that the
store does not have: what an attempt is stands in its id.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from ml_dash.errors import InvalidInput, NotFound, ReadOnly
from ml_dash.model import STATUSES, Attempt, Run, RunKey, RunKind, RunPatch, Status
from ml_dash.server.caller import Caller
from ml_dash.server.service import Service
from ml_dash.store.patch import new_id

BEAT_EVERY = 10.0
"""Seconds between two heartbeats of a run, however many calls come for it."""
_MOST = 10_000
"""Runs of which the next heartbeat is known."""
_PUBLISHED = "published-"
_ONCE = "-once"
"""Ends the id of an attempt that makes the run write-protected when it ends."""
_AGAIN = "-again"
"""Ends the id of an attempt that nobody started: a write came after the run had ended."""
_WORSE: tuple[Status, ...] = ("COMPLETED", "CANCELLED", "FAILED")


class PublishedRuns:
    """The runs that published clients write. `beat_every` is in seconds of `clock`. Methods block; any thread may call."""

    def __init__(
        self, service: Service, *, beat_every: float = BEAT_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._beat_every = beat_every
        self._clock = clock
        self._due: OrderedDict[tuple[RunKind, str], float] = OrderedDict()
        self._mutex = threading.Lock()

    def find(self, caller: Caller, kind: RunKind, run: str) -> Run:
        """The run with the id `run`. Raises `NotFound` where it is not there, or is of the other kind."""
        found = self._service.get_run(caller, run)
        if found.kind != kind:
            raise NotFound(f"run {run!r} is {_a(found.kind)}, not {_a(kind)}; its calls begin with /{found.kind}s/.")
        return found

    def start(self, caller: Caller, key: RunKey, patch: RunPatch, *, once: bool, host: str) -> Run:
        """Create or resume a run and start an attempt from the machine `host`. Raises `ReadOnly` for a run that was made to be
        written `once` and has been."""
        caller.require("write")
        try:
            _check_protection(self._service.get_run(caller, key))
        except NotFound:
            pass
        attempt = f"{_PUBLISHED}{new_id()}{_ONCE if once else ''}"
        run = self._service.put_run(caller, key, msgspec.structs.replace(patch, join=attempt, host=host))
        self._beaten(run)
        return run

    def heard(self, caller: Caller, kind: RunKind, run: str, *, writes: bool) -> None:
        """A call came for a run. Raises as `find` does, and `ReadOnly` for a write to a run that is write-protected."""
        if writes:
            caller.require("write")
        if self._due.get((kind, run), 0.0) > self._clock():
            return
        found = self.find(caller, kind, run)
        attempts = _open_attempts(found)
        if not writes and (not attempts or not caller.may("write")):
            return
        if not attempts:
            _check_protection(found)
            self._service.update_run(caller, run, RunPatch(join=f"{_PUBLISHED}{new_id()}{_AGAIN}", host=""))
        for attempt in attempts:
            self._service.update_run(caller, run, RunPatch(heartbeat=attempt.id, host=attempt.host))
        self._beaten(found)

    def end(self, caller: Caller, kind: RunKind, run: str, status: object, *, host: str) -> Run:
        """A client said how the run ended, or that it runs. Raises `InvalidInput` for what is no status."""
        caller.require("write")
        if status not in STATUSES:
            raise InvalidInput(f"status: expected one of {', '.join(STATUSES)}; got {status!r}.")
        found = self.find(caller, kind, run)
        attempts = _open_attempts(found)
        if status == "RUNNING":
            return found if attempts else self.start(caller, found.key, RunPatch(), once=False, host=host)
        with self._mutex:
            self._due.pop((kind, run), None)
        after = found
        for attempt in attempts:
            ended = _worst(status, _status_before(found, attempt)) if attempt.id.endswith(_AGAIN) else status
            protect = True if attempt.id.endswith(_ONCE) else None
            patch = RunPatch(leave=attempt.id, status=ended, write_protected=protect)
            after = self._service.update_run(caller, run, patch)
        return after if attempts or found.write_protected else self._end_again(caller, found, status)

    def _end_again(self, caller: Caller, run: Run, status: Status) -> Run:
        """Another process of a run that has ended, or somebody who tidies up a lost one. Where another client is in the run, that
        one ends it."""
        ended = status
        if run.status != "RUNNING":
            ended = _worst(status, run.status)
        elif run.shown_status(time.time()) == "RUNNING":
            return run
        return run if ended == run.status else self._service.update_run(caller, run.id, RunPatch(status=ended))

    def _beaten(self, run: Run) -> None:
        with self._mutex:
            self._due[run.kind, run.id] = self._clock() + self._beat_every
            self._due.move_to_end((run.kind, run.id))
            if len(self._due) > _MOST:
                self._due.popitem(last=False)


def _open_attempts(run: Run) -> list[Attempt]:
    return [a for a in run.attempts if a.id.startswith(_PUBLISHED) and a.ended_at is None]


def _status_before(run: Run, attempt: Attempt) -> Status:
    """How the published clients' last attempt before `attempt` ended."""
    ended = [a for a in run.attempts if a.id.startswith(_PUBLISHED) and a is not attempt and a.status is not None]
    last = max(ended, key=lambda a: a.ended_at or "", default=None)
    return "COMPLETED" if last is None or last.status is None else last.status


def _worst(one: Status, other: Status) -> Status:
    return max(one, other, key=_WORSE.index)


def _check_protection(run: Run) -> None:
    """dreamlake does not say when it is done: a run of its that was to be written once is over when it is lost."""
    once = any(a.id.startswith(_PUBLISHED) and a.id.endswith(_ONCE) for a in run.attempts)
    if run.write_protected or (once and run.shown_status(time.time()) != "RUNNING"):
        what = f"{run.kind} {run.key.name!r} is write-protected: it was made to be written once."
        raise ReadOnly(f"{what} Read it, or choose another name.")


def _a(kind: RunKind) -> str:
    return "an experiment" if kind == "experiment" else "a session"
