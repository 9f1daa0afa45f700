"""The background threads of a process: one for heartbeats, clock ticks and fsync, and where a run is remote one for what waits
for the network. Nothing here is needed for an append, and nothing here knows what it runs.

A job is a callable that says when it failed by raising; it is tried again at its next turn, and warned of once.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class _Job:
    def __init__(self, seconds: float, call: weakref.WeakMethod[Callable[[], Any]]) -> None:
        self.seconds = seconds
        self.call = call
        self.due = time.monotonic() + seconds
        self.warned = False


class _Lane:
    """One thread and its jobs. What waits for a network has a lane of its own: nothing that waits for a disk waits for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.jobs: list[_Job] = []
        self.wake = threading.Condition()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """The caller holds `wake`."""
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)
            with suppress(RuntimeError):  # the interpreter is ending, or has no more threads to give
                self.thread.start()

    def run(self) -> None:
        while True:
            with self.wake:
                now = time.monotonic()
                self.jobs[:] = [job for job in self.jobs if job.call() is not None]
                if not self.jobs:
                    self.wake.wait()
                    continue
                job = min(self.jobs, key=lambda j: j.due)
                if job.due > now:
                    self.wake.wait(job.due - now)
                    continue
                job.due = now + job.seconds
            _do(job)

    def forget(self) -> None:
        """In a forked child: the thread is the parent's, and so are the jobs, but for those that are asked for again."""
        self.jobs.clear()
        self.wake = threading.Condition()
        self.thread = None


_LOCAL = _Lane("ml-dash")
_NETWORK = _Lane("ml-dash-upload")
_LANES = (_LOCAL, _NETWORK)


def every(seconds: float, method: Callable[[], Any], *, network: bool = False) -> None:
    """Call the bound `method` every `seconds` until its object is gone or `stop(method)`; on the thread for what waits for a
    `network` if it does."""
    lane = _NETWORK if network else _LOCAL
    with lane.wake:
        lane.jobs.append(_Job(seconds, weakref.WeakMethod(method)))
        lane.start()
        lane.wake.notify()


def soon(method: Callable[[], Any]) -> bool:
    """Have a job's next turn come at once. Whether there is a thread that will do it."""
    found = False
    for lane in _LANES:
        with lane.wake:
            for job in lane.jobs:
                if job.call() == method:
                    found = found or (lane.thread is not None and lane.thread.is_alive())
                    job.due = 0.0
                    lane.wake.notify()
    return found


def stop(method: Callable[[], Any]) -> None:
    """Do not call `method` again. A call that is under way goes on."""
    for lane in _LANES:
        with lane.wake:
            lane.jobs[:] = [job for job in lane.jobs if job.call() not in (None, method)]


def _do(job: _Job) -> None:
    call = job.call()
    if call is None:
        return
    try:
        call()
    except Exception as e:  # noqa: BLE001  one job's trouble is not the others'
        if not job.warned:
            job.warned = True
            with suppress(RuntimeWarning):  # where warnings are errors, there is nobody here to raise it to
                warnings.warn(f"ml-dash: {e}; it is tried again every {job.seconds:g} s.", RuntimeWarning, stacklevel=2)


def _forked() -> None:
    for lane in _LANES:
        lane.forget()
    for again in _after_fork:
        call = again()
        if call is not None:
            call()


_after_fork: list[weakref.WeakMethod[Callable[[], Any]]] = []


def after_fork(method: Callable[[], Any]) -> None:
    """Call the bound `method` in every forked child, when locks and threads are as new."""
    _after_fork[:] = [weak for weak in _after_fork if weak() is not None]
    _after_fork.append(weakref.WeakMethod(method))


os.register_at_fork(after_in_child=_forked)


def at_exit(method: Callable[[], Any]) -> None:
    """Call the bound `method` when the interpreter ends, if its object is still there then."""
    weak = weakref.WeakMethod(method)

    def call() -> None:
        live = weak()
        if live is not None:
            live()

    atexit.register(call)
