"""What happens in projects, told to pages as it happens (docs/formats/protocol.md): how long series have become, which runs changed or
are gone. Only lengths and ids: who wants more asks for it.

What goes through this server is told at once, what other processes write is found by `live_channel`'s looks. What is told is encoded
once for all who listen to a project. All lengths are absolute, and whoever comes, or comes back, is told all of them first, so that
nothing is lost in between. Where nobody listens, nothing is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from ml_dash.errors import Unavailable
from ml_dash.server.listeners import ALIVE, RETRY, Listener, event
from ml_dash.server.live_channel import Channel, Looks, Pace, Totals
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from ml_dash.model import Appended, Batch, Run
    from ml_dash.store.base import Store

MOST = 1_000
"""Listeners of one process."""

Scope = tuple[str, "str | None"]
"""Namespace and project; without a project all of them."""


class Live:
    """All who listen to one store in this process. Any thread may call `appended`, `changed`, `filed`, `gone` and `learned`; all else
    is for the event loop."""

    def __init__(
        self, store: Store, threads: Threads, instance: str, *, longest: float, pace: Pace | None = None
    ) -> None:
        """`longest` is how long (s) one may listen before it has to come back: a token that is revoked is good for no longer."""
        self._looks = Looks(store)
        self._threads = threads
        self._instance = instance
        self._longest = longest
        self._pace = pace or Pace()
        self._channels: dict[Scope, Channel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told = 0.0
        self._closed = False
        self._mutex = threading.Lock()
        self._woken = False
        self._news: dict[str, Totals] = {}
        self._runs: dict[str, Run | None] = {}
        self._filed: set[str] = set()
        self._scopes: set[Scope] = set()

    # ------------------------------------------------------------ what goes through this server

    def appended(self, batches: Sequence[Batch], done: Sequence[Appended]) -> None:
        """These are in the store."""
        if self._channels:
            with self._mutex:
                for batch, one in zip(batches, done, strict=True):
                    run, kind, name = batch.series
                    self._news.setdefault(run, {})[f"{kind}/{name}"] = one.total
            self._wake()

    def changed(self, run: Run) -> None:
        """It was made, or its record is this one now."""
        if self._channels:
            with self._mutex:
                self._runs[run.id] = run
            self._wake()

    def filed(self, run: str) -> None:
        """Its files are others now: who shows them asks again, as for a run that changed."""
        if self._channels:
            with self._mutex:
                self._filed.add(run)
            self._wake()

    def gone(self, run: str) -> None:
        """It was deleted."""
        if self._channels:
            with self._mutex:
                self._runs[run] = None
            self._wake()

    def learned(self, namespace: str, project: str | None) -> None:
        """More is known of these runs than was: who has their table asks for it again."""
        if self._channels:
            with self._mutex:
                self._scopes.add((namespace, project))
            self._wake()

    def _wake(self) -> None:
        """Once for all that comes until it is told."""
        with self._mutex:
            woken, self._woken = self._woken, True
        loop = self._loop
        if not woken and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._soon)

    # ------------------------------------------------------------ telling

    def _soon(self) -> None:
        """Tell what there is, as soon as it is time."""
        assert self._loop is not None
        if self._timer is None:
            self._timer = self._loop.call_at(self._told + self._pace.tell, self._tell)

    def _tell(self) -> None:
        assert self._loop is not None
        self._timer = None
        with self._mutex:
            self._woken = False
            news, self._news = self._news, {}
            runs, self._runs = self._runs, {}
            filed, self._filed = self._filed, set()
            scopes, self._scopes = self._scopes, set()
        for scope, channel in self._channels.items():
            for run, record in runs.items():
                if record is None:
                    channel.gone(run)
                else:
                    channel.noted(record)
            for run in filed:
                channel.filed(run)
            for run, totals in news.items():
                channel.advanced(run, totals)
            if scope in scopes:
                channel.all_changed()
            if channel.tell():
                self._told = self._loop.time()

    # ------------------------------------------------------------ listening

    def listen(self, namespace: str, project: str | None) -> Listening:
        """Who listens to a project from now on. Raises `Unavailable` where too many do."""
        if sum(len(channel.listeners) for channel in self._channels.values()) >= MOST:
            raise Unavailable("as many pages listen to this server as it takes; try again.", 5.0)
        self._loop = asyncio.get_running_loop()
        scope = (namespace, project)
        channel = self._channels.get(scope)
        if channel is None:
            channel = Channel(*scope, self._looks, self._threads, self._pace, self._soon)
            self._channels[scope] = channel
        listener = Listener()
        channel.listeners.add(listener)
        if self._closed:
            listener.end()
        self._soon()
        return Listening(self, scope, listener)

    async def events(self, listener: Listener) -> AsyncIterator[bytes]:
        """What is told to the listener, to its end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._longest
        yield RETRY + event("state", {"instance": self._instance})
        while not listener.ended and (left := until - loop.time()) > 0:
            yield await listener.take(min(self._pace.alive, left)) or ALIVE

    def left(self, scope: Scope, listener: Listener) -> None:
        """It listens no more; nor do we, where it was the last."""
        channel = self._channels.get(scope)
        if channel is not None:
            channel.listeners.discard(listener)
            if not channel.listeners:
                channel.end()
                del self._channels[scope]

    def close(self) -> None:
        """The server stops, and nobody is to wait for the end of what has none."""
        self._closed = True
        for channel in self._channels.values():
            for listener in channel.listeners:
                listener.end()


class Listening:
    """One page's part in it. `close` has to be called, however it ends."""

    def __init__(self, live: Live, scope: Scope, listener: Listener) -> None:
        self._live = live
        self._scope = scope
        self._listener = listener

    def events(self) -> AsyncIterator[bytes]:
        """What it is told."""
        return self._live.events(self._listener)

    def close(self) -> None:
        """It is gone."""
        self._live.left(self._scope, self._listener)
