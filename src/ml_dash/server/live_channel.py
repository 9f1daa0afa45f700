"""One project as it is for those who listen to it: what was seen of its runs, what of that is news, and the looks at the store that
find what other processes write. One look does for all listeners; nobody listens: none.

For the event loop alone, but for `Looks`, whose methods block.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.errors import MlDashError, NotFound
from ml_dash.model import LOGS, Run, RunQuery, SeriesKey
from ml_dash.server.listeners import Listener, event
from ml_dash.server.threads import Threads
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.store.base import Store

_log = logging.getLogger("ml_dash.server")

Stamp = tuple[str, str, int, int]
Totals = dict[str, int]
"""Lengths of a run's series by "kind/name"; its log is "logs/"."""
MOST_GREETED = 500
"""Runs that nobody is in any more of which those who come are told."""


class Pace(NamedTuple):
    """How often things are done, in seconds."""

    tell: float = 0.2
    """Between two times that news are sent, at least."""
    runs: float = 0.5
    """Between two looks at the runs that somebody is in."""
    listing: float = 2.0
    """Between two looks at which runs there are."""
    share: float = 0.1
    """Of the time that looks may take: longer ones come less often."""
    recent: float = 600.0
    """How long after its last change a run is told of to those who come: they may have been away when it ended."""
    alive: float = 15.0
    """Between two signs of life."""


class Looked(NamedTuple):
    """What a look at single runs found: records and lengths, and which runs are not there any more."""

    found: Sequence[tuple[Run, Totals]]
    gone: Sequence[str]


class Looks:
    """Looks at a store. They take long: not for the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def listing(self, namespace: str, project: str | None) -> list[Run]:
        """The runs that there are."""
        return self._store.find_runs(RunQuery(namespace, project))

    def runs(self, runs: Iterable[str]) -> Looked:
        """These runs. One that cannot be read now is neither found nor gone."""
        found: list[tuple[Run, Totals]] = []
        gone: list[str] = []
        for run in runs:
            try:
                found.append((self._store.get_run(run), self._totals(run)))
            except NotFound:
                gone.append(run)
            except (MlDashError, OSError) as e:
                _log.debug("run %s: %s", run, e)
        return Looked(found, gone)

    def _totals(self, run: str) -> Totals:
        totals = {f"{info.kind}/{info.name}": info.count for info in self._store.describe(run)}
        logs = self._store.read(SeriesKey(run, LOGS, ""), 0, 0).total
        return totals | {"logs/": logs} if logs else totals


class Channel:
    """One project, or with `project` None one namespace. `soon()` is called whenever there is something to tell."""

    def __init__(
        self,
        namespace: str,
        project: str | None,
        looks: Looks,
        threads: Threads,
        pace: Pace,
        soon: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.listeners: set[Listener] = set()
        self._namespace = namespace
        self._project = project
        self._looks = looks
        self._threads = threads
        self._pace = pace
        self._soon = soon
        self._clock = clock
        self._ready = False
        self._known: dict[str, Stamp] = {}
        self._open: set[str] = set()
        self._due: set[str] = set()
        self._noted: dict[str, float] = {}
        self._totals: dict[str, Totals] = {}
        self._advanced: dict[str, Totals] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._task = asyncio.get_running_loop().create_task(self._work())

    def end(self) -> None:
        """Look no more."""
        self._task.cancel()

    # ------------------------------------------------------------ news

    def advanced(self, run: str, totals: Mapping[str, int]) -> None:
        """The run's series are as long now, if it is one of ours. Lengths never fall: what is shorter was seen before."""
        if run not in self._known:
            return
        before = self._totals.setdefault(run, {})
        for name, total in totals.items():
            if total > before.get(name, 0):
                before[name] = total
                self._advanced.setdefault(run, {})[name] = total

    def changed(self, run: Run) -> None:
        """The run's record is this one, if it is one of ours."""
        if run.key.namespace != self._namespace or self._project not in (None, run.key.project):
            return
        stamp = (run.shown_status(self._clock()), run.updated_at, run.params_version, len(run.attempts))
        (self._open.add if stamp[0] == "RUNNING" else self._open.discard)(run.id)
        if self._known.get(run.id) != stamp:
            # Also where it has just ended: somebody may have written to it since it was looked at.
            self._due.add(run.id)
            self._known[run.id] = stamp
            self._changed.add(run.id)
            self._gone.discard(run.id)

    def noted(self, run: Run) -> None:
        """`changed`, by somebody who knows better than a look that has begun before."""
        self._noted[run.id] = asyncio.get_running_loop().time()
        self.changed(run)

    def filed(self, run: str) -> None:
        """The run's files are others now, if it is one of ours."""
        if run in self._known:
            self._changed.add(run)

    def gone(self, run: str) -> None:
        """The run is not there any more, if it was one of ours."""
        self._noted[run] = asyncio.get_running_loop().time()  # a look that has begun before may still have it
        if self._known.pop(run, None) is not None:
            self._gone.add(run)
            self._changed.discard(run)
        for of_run in (self._totals, self._advanced):
            of_run.pop(run, None)
        self._open.discard(run)
        self._due.discard(run)

    def all_changed(self) -> None:
        """There is more to know of every run: told of some, to whom all are one list."""
        self._changed.update(islice(self._known, MOST_GREETED))

    def tell(self) -> bool:
        """Send to each listener what is news to it. Whether there was any."""
        parts = []
        if self._advanced:
            parts.append(event("advanced", self._advanced))
        if self._changed or self._gone:
            parts.append(event("runs", {"changed": sorted(self._changed), "gone": sorted(self._gone)}))
        self._advanced, self._changed, self._gone = {}, set(), set()
        news = b"".join(parts)
        greeting = b""
        for listener in self.listeners:
            if listener.greeted:
                if news:
                    listener.put(news)
            elif self._ready:
                greeting = greeting or event("advanced", self._totals)
                listener.greeted = True
                listener.put(greeting)
        return bool(news or greeting)

    # ------------------------------------------------------------ looking

    async def _work(self) -> None:
        """Look, tell, wait: until nobody listens."""
        loop = asyncio.get_running_loop()
        next_listing = next_runs = 0.0
        while True:
            began = loop.time()
            try:
                if began >= next_listing:
                    await self._look_at_list(began)
                    next_listing = self._again(loop.time(), began, self._pace.listing)
                    began = loop.time()
                if began >= next_runs or not self._ready:
                    await self._look_at_runs()
                    next_runs = self._again(loop.time(), began, self._pace.runs)
                self._ready = True
            except (MlDashError, OSError) as e:
                # The store does not answer: who asks it for something hears of that.
                _log.debug("looking at %s/%s: %s", self._namespace, self._project, e)
                next_listing = next_runs = loop.time() + self._pace.listing
            except Exception:  # noqa: BLE001  a defect is for the log; those who listen go on
                _log.exception("looking at %s/%s failed", self._namespace, self._project)
                next_listing = next_runs = loop.time() + self._pace.alive
            self._soon()
            await asyncio.sleep(max(0.01, min(next_listing, next_runs) - loop.time()))

    def _again(self, now: float, began: float, every: float) -> float:
        return now + max(every, (now - began) / self._pace.share)

    async def _look_at_list(self, began: float) -> None:
        found = await self._threads.run(partial(self._looks.listing, self._namespace, self._project))
        there = {run.id for run in found}
        for run in found:
            if self._noted.get(run.id, -1.0) < began:
                self.changed(run)
        for gone in [run for run in self._known if run not in there and self._noted.get(run, -1.0) < began]:
            self.gone(gone)
        self._noted = {run: at for run, at in self._noted.items() if at >= began}
        if not self._ready:
            self._changed.clear()  # who comes has the list, or asks for it
        since = iso(int((self._clock() - self._pace.recent) * 1000))
        told = self._open | set([run.id for run in found if run.updated_at >= since][:MOST_GREETED])
        self._due &= told
        self._totals = {run: totals for run, totals in self._totals.items() if run in told}

    async def _look_at_runs(self) -> None:
        due, self._due = self._due | self._open, set()
        if not due:
            return
        looked = await self._threads.run(partial(self._looks.runs, due))
        for run, totals in looked.found:
            if run.id in self._known:
                self.changed(run)
                self.advanced(run.id, totals)
        for gone in looked.gone:
            self.gone(gone)
