"""What the dashboard draws from, as a caller may see it: rights on one side, the modules that make the answers on the other. Knows no
HTTP; its methods block, but for `live`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from ml_dash import query
from ml_dash.aggregates import FieldAggregates
from ml_dash.errors import MlDashError
from ml_dash.model import Run
from ml_dash.server.caller import Caller
from ml_dash.server.limits import Limits
from ml_dash.server.live import Listening, Live
from ml_dash.server.log_search import OfLogs, encode_logs
from ml_dash.server.overview import Overview
from ml_dash.server.samples import Frames, SamplesAsked, failed
from ml_dash.server.series_fields import SeriesFields
from ml_dash.server.summaries import SummariesAsked, Summing
from ml_dash.server.table import Shown
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from ml_dash.model import Appended, Batch
    from ml_dash.store.base import Store

Reading = Callable[[Caller, str], AbstractContextManager[None]]


class Views:
    """Of one store."""

    def __init__(self, store: Store, limits: Limits, threads: Threads, instance: str, reading: Reading) -> None:
        """`reading(caller, run)` is around what is read of a run; it raises what the caller may not. `threads` are for looks that
        nobody has asked for."""
        self._store = store
        self._limits = limits
        self._reading = reading
        self._live = Live(store, threads, instance, longest=limits.listen)
        self._overview = Overview(store, self._live.learned)
        self._frames = Frames(store)
        self._aggregates = FieldAggregates(store)
        self._fields = SeriesFields(store)

    def stop(self) -> None:
        """Let those who listen go. In the event loop."""
        self._live.close()

    def close(self) -> None:
        """End what runs."""
        self._overview.close()

    # ------------------------------------------------------------ what goes through this server

    def appended(self, batches: Sequence[Batch], done: Sequence[Appended]) -> None:
        """These are in the store."""
        self._overview.appended({batch.series.run for batch in batches})
        self._live.appended(batches, done)

    def changed(self, run: Run) -> None:
        """It was made, or its record is this one now."""
        self._live.changed(run)

    def filed(self, run: str) -> None:
        """Its files are others now, or what is said of them."""
        self._live.filed(run)

    def gone(self, run: str) -> None:
        """It was deleted."""
        self._live.gone(run)

    # ------------------------------------------------------------ runs

    def table(self, caller: Caller, namespace: str, project: str) -> Shown:
        """A project's runs with their series, as far as they are known in a moment. "" is the caller's own namespace."""
        caller.require("read")
        space = caller.namespace(namespace)
        seen = self._overview.runs(space, project, self._limits.patience)
        series, left = self._fields.of(space, project, seen.runs)
        return Shown(seen.runs, series, seen.pending + left)

    def filtered(self, caller: Caller, namespace: str, project: str, text: str) -> Match:
        """The filter that `text` writes, over a project's runs. Raises `Unreadable`."""
        caller.require("read")
        matches = query.compile_filter(text, aggregates=self._aggregates)
        space = caller.namespace(namespace)
        if query.needs_series(text):
            return Match(matches, self._overview.runs(space, project).runs)
        return Match(matches, self._overview.runs(space, project, 0.0).runs)

    def summaries(self, caller: Caller, asked: SummariesAsked) -> Summing:
        """The aggregates that are asked for. Raises `InvalidInput` for a column that is none."""
        caller.require("read")
        return Summing(asked, self._store, self._aggregates, partial(self._reading, caller))

    # ------------------------------------------------------------ rows

    def frames(self, caller: Caller, asked: SamplesAsked, first: int, seconds: float) -> list[bytes]:
        """What a request for samples is answered with, from the one at `first` on: as many as `seconds` are enough for, and at least
        one. One that fails tells why in its place."""
        enough = time.perf_counter() + seconds
        found: list[bytes] = []
        for at, one in enumerate(asked.series[first:], first):
            try:
                with self._reading(caller, one.run):
                    found.append(self._frames.frame(at, one, asked.x))
            except (MlDashError, OSError) as e:
                found.append(failed(at, e))
            if time.perf_counter() >= enough:
                break
        return found

    def logs(self, caller: Caller, run: str, asked: OfLogs) -> bytes:
        """See `log_search`."""
        with self._reading(caller, run):
            return encode_logs(self._store, run, asked)

    def live(self, caller: Caller, namespace: str, project: str | None) -> Listening:
        """Listen to a project. In the event loop."""
        caller.require("read")
        return self._live.listen(caller.namespace(namespace), project)


class Match:
    """Runs that are held against a filter, a few at a time."""

    def __init__(self, matches: Callable[[Run], bool], runs: Sequence[Run]) -> None:
        self._matches = matches
        self._runs = runs
        self._at = 0
        self.found: list[str] = []

    def go_on(self, seconds: float) -> bool:
        """For about so long; whether that was all. Raises `Unavailable` where the store does not answer."""
        enough = time.perf_counter() + seconds
        while self._at < len(self._runs):
            run = self._runs[self._at]
            self._at += 1
            if self._matches(run):
                self.found.append(run.id)
            if time.perf_counter() > enough:
                break
        return self._at >= len(self._runs)
