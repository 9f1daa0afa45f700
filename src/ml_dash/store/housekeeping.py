"""What a store does now and then beside its users' calls, on a thread of its own: chores, item by item, none in another's way.

Which chores there are is `tiered`'s to say, how an item is done is its owner's; no database and no bucket comes in here.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ml_dash.errors import MlDashError

EVERY = 5.0
"""Seconds between two looks at what is to be done."""

_log = logging.getLogger("ml_dash.store")


class Chore(NamedTuple):
    """What is to be done again and again: `items` gives what there is to do now, `do` does one of them. Both may raise `MlDashError`:
    what fails is found again some time later. `name` says in the log what failed."""

    name: str
    items: Callable[[], Iterable[Any]]
    do: Callable[[Any], object]


class Housekeeping:
    """Does `chores` about every `every` seconds once it is started. Any number of processes may do the same ones at once."""

    def __init__(self, chores: Sequence[Chore], *, every: float = EVERY) -> None:
        self._chores = chores
        self._every = every
        self._told: dict[str, str] = {}
        self._random = random.Random()  # noqa: S311  a script's own `random` goes on as it was seeded
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Do them on a thread from now on, the first time soon."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, name="ml-dash-housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the item that it is at."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def run_once(self) -> None:
        """Do all that there is to do. What fails is told in the log, once until it works again, and keeps nothing else from being
        done."""
        with self._turn:
            for chore in self._chores:
                try:
                    self._do(chore)
                except Exception as e:  # noqa: BLE001  what goes wrong in one chore must not end the others for good
                    self._tell(chore.name, e)

    def _work(self) -> None:
        while not self._ended.wait(self._every * self._random.uniform(0.5, 1.0)):
            self.run_once()

    def _do(self, chore: Chore) -> None:
        failed = done = False
        try:
            for item in chore.items():
                if self._ended.is_set():
                    return
                try:
                    chore.do(item)
                    done = True
                except MlDashError as e:
                    failed = True
                    self._tell(chore.name, e)
        except MlDashError as e:  # the other items are not found
            failed = True
            self._tell(chore.name, e)
        if not failed and self._told.pop(chore.name, None) is not None and done:
            _log.info("%s: works again", chore.name)

    def _tell(self, name: str, error: Exception) -> None:
        kind = type(error).__name__
        if self._told.get(name) != kind:
            self._told[name] = kind
            ours = isinstance(error, MlDashError)
            _log.warning("%s: failed, and is tried again: %s", name, error, exc_info=None if ours else error)
