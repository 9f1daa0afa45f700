"""The progress bar of sending, on a terminal. Knows no store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SOON = 0.5
"""Seconds before anything is shown: what is sent at once needs no bar."""


@contextmanager
def sending(what: str) -> Iterator[Callable[[Any], None]]:
    """A function that takes what is `left` (with `points` and `changes`), and shows it where a person looks on."""
    if not sys.stderr.isatty():
        yield lambda _left: None
        return
    bar = _Bar(what)
    try:
        yield bar.show
    finally:
        bar.end()


class _Bar:
    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._most = 0
        self._progress: Any = None
        self._task: Any = None

    def show(self, left: Any) -> None:
        waiting = left.points + left.changes
        self._most = max(self._most, waiting)
        if time.monotonic() - self._begun < SOON or not self._most:
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._progress.start()
            self._task = self._progress.add_task(f"sending {self._what}", total=self._most)
        self._progress.update(self._task, total=self._most, completed=self._most - waiting)

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
