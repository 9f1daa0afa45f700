"""Whether the server can do its work now: its store answers, and there is room for more. Knows no HTTP."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from anyio import CapacityLimiter, fail_after, to_thread

from ml_dash.errors import MlDashError, NotFound
from ml_dash.model import RunKey

if TYPE_CHECKING:
    from ml_dash.store.base import Store

MIN_FREE = 64 * 1024 * 1024
"""Bytes of free space below which the folder counts as full: more than the largest request takes."""
PATIENCE = 5.0
_NOBODY = RunKey("", "ml-dash-ready", "ml-dash-ready")
_WITHOUT_COLD = (
    "Appends and recent points work. Until it is back, older points and files do not, and nothing is archived."
)


class Health(NamedTuple):
    """`trouble` is why the server cannot work, `degraded` what keeps it from doing all of it; "" where all is well."""

    trouble: str = ""
    degraded: str = ""


class Question:
    """Something to ask that may hang: asked in a thread, by one at a time, so that what hangs takes one thread."""

    def __init__(self, what: str, ask: Callable[[], str], patience: float) -> None:
        """`ask` gives what is wrong with `what`, "" where nothing is."""
        self._what = what
        self._ask = ask
        self._patience = patience
        self._threads: CapacityLimiter | None = None

    async def answer(self) -> str:
        """What is wrong; that no answer came within `patience` (s) is wrong too."""
        if self._threads is None:
            self._threads = CapacityLimiter(1)
        try:
            with fail_after(self._patience):
                return await to_thread.run_sync(self._asked, abandon_on_cancel=True, limiter=self._threads)
        except TimeoutError:
            return f"{self._what} has not answered for {self._patience:g} s."

    def _asked(self) -> str:
        try:
            return self._ask()
        except (MlDashError, OSError) as e:
            return f"{self._what} does not answer: {e}"


class Readiness:
    """A server works where nothing is wrong with what it `needs`. Where something is with what it also `uses` it does not do
    all: `without` says what, in a sentence."""

    def __init__(self, needs: Question, uses: Question | None = None, without: str = "") -> None:
        self._needs = needs
        self._uses = uses
        self._without = without

    async def health(self) -> Health:
        """How it is now."""
        if self._uses is None:
            return Health(await self._needs.answer())
        trouble, wrong = await asyncio.gather(self._needs.answer(), self._uses.answer())
        return Health(trouble, f"{wrong} {self._without}" if wrong else "")


# ---------------------------------------------------------------- a folder


def of_folder(store: Store, folder: str | None, *, min_free: int = MIN_FREE, patience: float = PATIENCE) -> Readiness:
    """Of `store`, and of its folder, None where it has none."""

    def ask() -> str:
        try:
            store.get_run(_NOBODY)
        except NotFound:
            pass
        return _folder_trouble(folder, min_free) if folder is not None else ""

    return Readiness(Question("the store", ask, patience))


def _folder_trouble(folder: str, min_free: int) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".tmp-") as file:
            file.write(b"\n")
            file.flush()
        free = os.statvfs(folder)
    except OSError as e:
        return f"{folder} cannot be written: {e.strerror or e}."
    left = free.f_bavail * free.f_frsize
    if left < min_free:
        return f"{folder} has {left:,} bytes of free space left; {min_free:,} are needed."
    if free.f_files and not free.f_favail:
        return f"{folder}: its file system takes no more files (no inodes are left)."
    return ""


# ---------------------------------------------------------------- two tiers


def of_tiers(hot: Callable[[], None], cold: Callable[[], None], *, patience: float = PATIENCE) -> Readiness:
    """`hot` and `cold` raise where that tier does not answer. Without the hot one nothing works. Without the cold one appends and
    recent points do: a balancer that took the server out for it would make the outage larger than it is."""

    def asking(ping: Callable[[], None]) -> Callable[[], str]:
        def ask() -> str:
            ping()
            return ""

        return ask

    uses = Question("S3", asking(cold), patience)
    return Readiness(Question("MongoDB", asking(hot), patience), uses, _WITHOUT_COLD)
