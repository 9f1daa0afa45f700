"""What the runs of a store and their series tell, kept: a table of a thousand runs must not look at fifty thousand series each time.

A run that somebody is in is looked at each time, and so is one to which somebody appended through this server, or whose record
changed. Another one is believed as long as its record is the same; since any process may write to a folder, it is looked at again in
its turn, a few milliseconds' worth at each request. No rights and no HTTP in here; methods block, any thread may call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from ml_dash.errors import MlDashError, Unavailable
from ml_dash.model import Run, RunQuery, SeriesInfo

if TYPE_CHECKING:
    from ml_dash.store.base import Store

INSIDE = 0.1
"""Seconds that a request spends on looking at runs that somebody is in: enough for all of them, if they are not many hundred."""
TURN = 0.02
"""Seconds that a request spends on looking again at runs that nobody is in."""
OLD = 10.0
"""Seconds after which such a run is due for another look."""
FEW = 50
"""Runs that are looked at one after the other; of more, all at once, and nobody need wait for it."""
PENDING = 1.0
"""Seconds that an answer is good for while many runs are looked at: to make another one would only hold that up."""
_SPARE = 50_000
"""Runs of other projects that are remembered."""
_SCOPES = 100
"""Projects whose last answer is kept; anybody may ask for one that there is none of."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """One series, as far as a table needs it: `SeriesInfo` without what people wrote of it."""

    kind: str
    name: str
    count: int
    last: dict[str, Any] | None


class _Known(msgspec.Struct, frozen=True, gc=False):
    stamp: tuple[str, str, int]
    looked: float
    series: tuple[Told, ...]


class Seen(NamedTuple):
    """The runs, newest first, each with its `series` as `Told`; of `pending` of them these are not known yet, and empty."""

    runs: Sequence[Run]
    pending: int = 0


class _Scope:
    """One project, or all of a namespace: who asks while another one looks gets a look that began after he asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.began = -1.0
        self.seen = Seen(())
        self.learning: Future[None] | None = None

    def is_learning(self) -> bool:
        """Whether all is being looked at just now."""
        return self.learning is not None and not self.learning.done()


class _ToLearn(NamedTuple):
    learning: Future[None]
    asked: RunQuery
    found: Sequence[Run]


class Overview:
    """The runs of one store with their series. `clock` gives unix seconds, `timer` seconds of any origin. `learned(namespace,
    project)` is called, in a thread of its own, when what was pending is known."""

    def __init__(
        self,
        store: Store,
        learned: Callable[[str, str | None], None] = lambda _namespace, _project: None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._learned = learned
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._scopes: dict[tuple[str, str | None], _Scope] = {}
        self._known: dict[str, _Known] = {}
        self._dirty: set[str] = set()
        self._queue: SimpleQueue[_ToLearn | None] = SimpleQueue()
        self._learning: set[Future[None]] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Whoever waits for a look is let go. The look goes on, of a large folder for half a minute: nobody waits for that, and the end
        of the process ends it."""
        with self._lock:
            self._closed = True
            learning = list(self._learning)
        for one in learning:
            with suppress(InvalidStateError):
                one.set_exception(_stopped())
        self._queue.put(None)

    def runs(self, namespace: str, project: str | None, patience: float | None = None) -> Seen:
        """The runs of a project. Others have the same ones: they are not to be changed. Where there are many of which nothing is
        known yet, what is known after `patience` seconds; None: all."""
        with self._lock:
            scope = self._scopes.pop((namespace, project), None) or _Scope()
            self._scopes[namespace, project] = scope
            if len(self._scopes) > _SCOPES:
                del self._scopes[next(iter(self._scopes))]
        seen = self._seen(scope, RunQuery(namespace, project), patience or 0.0)
        while patience is None and seen.pending:
            if (learning := scope.learning) is not None:
                learning.result()
            seen = self._seen(scope, RunQuery(namespace, project), 0.0)
        return seen

    def _seen(self, scope: _Scope, asked: RunQuery, patience: float) -> Seen:
        came = self._timer()
        with scope.lock:
            if scope.began < came and not (scope.is_learning() and came - scope.began < PENDING):
                began = self._timer()
                scope.seen = self._look(scope, asked, patience)
                scope.began = began
            return scope.seen

    def appended(self, runs: Iterable[str]) -> None:
        """Somebody appended to these."""
        with self._lock:
            self._dirty.update(run for run in runs if run in self._known)

    def _look(self, scope: _Scope, asked: RunQuery, patience: float) -> Seen:
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        found = self._store.find_runs(asked)
        if scope.learning is not None and scope.learning.done():
            learned, scope.learning = scope.learning, None
            learned.result()
        if sum(run.id not in self._known for run in found) > FEW:
            self._wait_for(scope, asked, found, patience)
        learning = scope.learning is not None
        now = self._clock()
        inside: list[tuple[float, str]] = []
        due: list[tuple[float, str]] = []
        for run in found:
            known = self._known.get(run.id)
            if known is None and learning:
                continue
            if known is None or known.stamp != _stamp(run) or run.id in dirty:
                self._told(run)
            elif run.shown_status(now) == "RUNNING":
                inside.append((known.looked, run.id))
            elif self._timer() - known.looked > OLD:
                due.append((known.looked, run.id))
        by_id = {run.id: run for run in found}
        self._look_again(by_id, inside, INSIDE)
        self._look_again(by_id, due, TURN)
        with self._lock:
            self._dirty |= dirty - by_id.keys()
            if len(self._known) > len(found) + _SPARE:
                # Others put theirs in meanwhile, without the lock.
                self._known = {run: known for run, known in self._known.copy().items() if run in by_id}
        pending = 0
        for run in found:
            known = self._known.get(run.id)
            pending += known is None
            # All that a reference looks at is there.
            run.series = cast("list[SeriesInfo]", known.series if known else ())
        return Seen(found, pending)

    def _wait_for(self, scope: _Scope, asked: RunQuery, found: Sequence[Run], patience: float) -> None:
        """Until all of the project is known, or `patience` is at its end. Raises what the store raised."""
        if scope.learning is None:
            scope.learning = self._begin(asked, found)
        try:
            scope.learning.result(patience)
        except NotYet:
            return
        except BaseException:
            scope.learning = None
            raise
        scope.learning = None

    def _begin(self, asked: RunQuery, found: Sequence[Run]) -> Future[None]:
        """`_learn` in a thread of its own, one after the other."""
        learning: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise _stopped()
            self._learning.add(learning)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ml-dash-overview", daemon=True)
                self._thread.start()
        self._queue.put(_ToLearn(learning, asked, found))
        return learning

    def _work(self) -> None:
        while (one := self._queue.get()) is not None:
            if not one.learning.done():
                with suppress(InvalidStateError):  # it was let go of meanwhile
                    self._learn_one(one)
            with self._lock:
                self._learning.discard(one.learning)

    def _learn_one(self, one: _ToLearn) -> None:
        try:
            self._learn(one.asked, one.found)
        except BaseException as e:  # noqa: BLE001  for who waits
            one.learning.set_exception(e)
        else:
            one.learning.set_result(None)

    def _learn(self, asked: RunQuery, found: Sequence[Run]) -> None:
        """All at once: a store has a quicker way for that than for one after the other. Those whose series it cannot read are not in
        its answer; they have to be known as well, or others would wait for them for good."""
        looked = self._timer()
        for run in self._store.find_runs(msgspec.structs.replace(asked, series=True)):
            self._known[run.id] = _Known(_stamp(run), looked, _series(run.series or ()))
        for run in found:
            if run.id not in self._known:
                self._told(run)
        self._learned(asked.namespace or "", asked.project)

    def _told(self, run: Run) -> None:
        """What the run's series tell now. One that cannot be read tells what it told before: a list does not fail for it."""
        before = self._known.get(run.id)
        series = before.series if before is not None else ()
        looked = self._timer()
        with suppress(MlDashError, OSError):
            series = _series(self._store.describe(run.id))
        self._known[run.id] = _Known(_stamp(run), looked, series)

    def _look_again(self, runs: dict[str, Run], due: list[tuple[float, str]], seconds: float) -> None:
        """At those that were looked at longest ago, for so long."""
        enough = self._timer() + seconds
        for _, run in sorted(due):
            if self._timer() > enough:
                return
            self._told(runs[run])


def _stopped() -> Unavailable:
    return Unavailable("the server stops; try again.")


def _series(infos: Iterable[SeriesInfo]) -> tuple[Told, ...]:
    return tuple(Told(info.kind, info.name, info.count, info.last) for info in infos)


def _stamp(run: Run) -> tuple[str, str, int]:
    return run.status, run.updated_at, len(run.attempts)
