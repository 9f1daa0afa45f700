"""The one background thread of a process: heartbeats, clock ticks, fsync, uploads. Nothing here is needed for an append,
and nothing here knows what it runs.

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

_jobs: list[_Job] = []
_wake = threading.Condition()
_thread: threading.Thread | None = None


class _Job:
    def __init__(self, seconds: float, call: weakref.WeakMethod[Callable[[], Any]]) -> None:
        self.seconds = seconds
        self.call = call
        self.due = time.monotonic() + seconds
        self.warned = False


def every(seconds: float, method: Callable[[], Any]) -> None:
    """Call the bound `method` every `seconds` until its object is gone or `stop(method)`."""
    with _wake:
        _jobs.append(_Job(seconds, weakref.WeakMethod(method)))
        _start()
        _wake.notify()


def stop(method: Callable[[], Any]) -> None:
    """Do not call `method` again. A call that is under way goes on."""
    with _wake:
        _jobs[:] = [job for job in _jobs if job.call() not in (None, method)]


def _start() -> None:
    global _thread  # noqa: PLW0603  one thread a process
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_run, name="ml-dash", daemon=True)
        with suppress(
            RuntimeError
        ):  # the interpreter is ending, or has no more threads to give: nothing needs this one
            _thread.start()


def _run() -> None:
    while True:
        with _wake:
            now = time.monotonic()
            _jobs[:] = [job for job in _jobs if job.call() is not None]
            if not _jobs:
                _wake.wait()
                continue
            job = min(_jobs, key=lambda j: j.due)
            if job.due > now:
                _wake.wait(job.due - now)
                continue
            job.due = now + job.seconds
        _do(job)


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
    """The child has none of the parent's threads; its jobs are the parent's, but for those that are asked for again."""
    global _thread, _wake  # noqa: PLW0603
    _thread = None
    _wake = threading.Condition()
    _jobs.clear()
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
