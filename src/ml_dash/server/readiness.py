"""Whether the server can do its work now: its store answers, and its folder takes bytes. Knows no HTTP."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, fail_after, to_thread

from ml_dash.errors import MlDashError, NotFound
from ml_dash.model import RunKey

if TYPE_CHECKING:
    from ml_dash.store.base import Store

MIN_FREE = 64 * 1024 * 1024
"""Bytes of free space below which the folder counts as full: more than the largest request takes."""
_NOBODY = RunKey("", "ml-dash-ready", "ml-dash-ready")


class Readiness:
    """Asks `store`, and looks at its folder, None where it has none."""

    def __init__(self, store: Store, folder: str | None, *, min_free: int = MIN_FREE, patience: float = 5.0) -> None:
        self._store = store
        self._folder = folder
        self._min_free = min_free
        self._patience = patience
        self._threads: CapacityLimiter | None = None

    async def trouble(self) -> str:
        """Why the server cannot work, "" where it can. One question at a time: a disk that hangs takes one thread."""
        if self._threads is None:
            self._threads = CapacityLimiter(1)
        try:
            with fail_after(self._patience):
                return await to_thread.run_sync(self.look, abandon_on_cancel=True, limiter=self._threads)
        except TimeoutError:
            return f"the store has not answered for {self._patience:g} s."

    def look(self) -> str:
        """As `trouble`, in this thread."""
        try:
            self._store.get_run(_NOBODY)
        except NotFound:
            pass
        except (MlDashError, OSError) as e:
            return f"the store does not answer: {e}"
        return self._folder_trouble(self._folder) if self._folder is not None else ""

    def _folder_trouble(self, folder: str) -> str:
        try:
            with tempfile.TemporaryFile(dir=folder, prefix=".tmp-") as file:
                file.write(b"\n")
                file.flush()
            free = os.statvfs(folder)
        except OSError as e:
            return f"{folder} cannot be written: {e.strerror or e}."
        left = free.f_bavail * free.f_frsize
        if left < self._min_free:
            return f"{folder} has {left:,} bytes of free space left; {self._min_free:,} are needed."
        if free.f_files and not free.f_favail:
            return f"{folder}: its file system takes no more files (no inodes are left)."
        return ""
