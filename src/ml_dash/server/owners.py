"""Which namespace a run is in, remembered: every request of a caller who does not see all of them asks it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from ml_dash.errors import NotFound
from ml_dash.server.caller import Caller

REMEMBERED = 10_000


class Owners:
    """Run id → namespace. An id is never used again and its run never moves, so that an entry cannot become wrong."""

    def __init__(self, look: Callable[[str], str]) -> None:
        """`look` gives the namespace of a run from the store; raises `NotFound`."""
        self._look = look
        self._known: OrderedDict[str, str] = OrderedDict()
        self._mutex = threading.Lock()

    def check(self, caller: Caller, runs: Iterable[str]) -> None:
        """Raise `NotFound` for the first of `runs` that is not there for the caller: with one text, whether or not it exists."""
        if caller.namespaces is None:
            return
        for run in runs:
            if not caller.sees(self._of(run)):
                raise unknown(run)

    def _of(self, run: str) -> str:
        with self._mutex:
            namespace = self._known.get(run)
            if namespace is not None:
                self._known.move_to_end(run)
                return namespace
        try:
            namespace = self._look(run)
        except NotFound:
            raise unknown(run) from None
        with self._mutex:
            self._known[run] = namespace
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return namespace

    def forget(self, run: str) -> None:
        """The run is gone."""
        with self._mutex:
            self._known.pop(run, None)


def unknown(run: str) -> NotFound:
    """The error for a run that is not there, or not for this caller."""
    return NotFound(f"there is no run with the id {run!r} here; it may have been deleted.")
