"""Tokens that lie where looking takes a while: a thread looks for changes, requests go by what it found last. No routes, no store.

What was found counts for a while and no longer: who could not look for `PATIENCE` seconds lets nobody in. A token that was
revoked is therefore refused after `EVERY` seconds and the time of a look, and after `PATIENCE` whatever happens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ml_dash.errors import CorruptData, MlDashError
from ml_dash.server.access_log import Log
from ml_dash.server.auth import LiveTokens
from ml_dash.server.tokens import Tokens

EVERY = 1.0
"""Seconds between two looks."""
PATIENCE = 5.0
"""Seconds that what was found counts."""


class PolledTokens(LiveTokens):
    """The tokens as a look at them found them, at most `patience` (s) ago. Its owner closes it."""

    def __init__(
        self,
        tokens: Tokens,
        log: Log,
        *,
        every: float = EVERY,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._patience = patience
        self._since = clock
        self._looked = clock()
        self._ended = threading.Event()
        super().__init__(tokens, log)
        self._thread = threading.Thread(target=self._watch, name="ml-dash-tokens", daemon=True)
        self._thread.start()

    def refresh(self) -> None:
        """Nothing is looked up here, only how long ago that was."""
        if self.damage is None and self._since() - self._looked > self._patience:
            self._tell(f"{self._source.where} could not be read for {self._patience:g} s.")

    def look(self) -> None:
        """Look now. What is found counts from before the look, since it may change during it."""
        at = self._since()
        try:
            tokens = self._source.load()
        except CorruptData as e:
            self._tell(str(e))
        except (MlDashError, OSError) as e:
            if self._since() - self._looked > self._patience:
                self._tell(str(e))
        else:
            self._looked = at
            self._take(tokens)

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            self.look()

    def close(self) -> None:
        """End the looking, at the latest when the look under way ends."""
        self._ended.set()
        self._thread.join()
