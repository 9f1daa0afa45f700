"""A store of which only the files are in two tiers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, BinaryIO

from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.store.cold import Cold
from ml_dash.store.file_strays import Strays
from ml_dash.store.hot import Hot
from ml_dash.store.memory import MemoryStore
from ml_dash.store.tiered_files import TieredFiles


class RunsAndFiles(MemoryStore):
    """Runs in memory, their files in two tiers: as little of a store as the files need."""

    def __init__(self, runs: MemoryStore, hot: Hot, cold: Cold, **options: Any) -> None:
        super().__init__()
        self.__dict__.update({name: value for name, value in vars(runs).items() if name != "files"})
        self.hot, self.cold = hot, cold
        clock = options.get("clock", time.time)
        self.files = TieredFiles(hot, cold, check=lambda run: (self.get_run(run), None)[1], **options)
        self._strays = partial(Strays, hot, cold, self._states, clock=clock)

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        self.get_run(run)
        return self.files.put_file(run, source, put)

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        self.get_run(run)
        return self.files.get_file(run, file)

    def find_files(self, run: str) -> list[FileRecord]:
        self.get_run(run)
        return self.files.find_files(run)

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        self.get_run(run)
        return self.files.update_file(run, file, patch)

    def delete_run(self, run: str) -> None:
        super().delete_run(run)
        self.files.delete_all(run)

    def _states(self, runs: Sequence[str]) -> dict[str, bool]:
        """A run that is not there was deleted; what is no id of a run was never one."""
        return {run: run in self._runs for run in runs if len(run) == 32}

    def collect(self, abandoned: float) -> int:
        """As housekeeping does, of uploads that have got nothing for `abandoned` seconds; how many objects went."""
        freed = sum(self.files.free(one) for one in self.files.overdue())
        strays = self._strays(abandoned=abandoned)
        return freed + sum(strays.remove(one) for one in strays.find())

    def close(self) -> None:
        self.files.close()
        self.cold.close()
        self.hot.close()
