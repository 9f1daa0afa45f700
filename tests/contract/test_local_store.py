"""LocalStore passes the contract; what it stores is read back here by plain `json` from the files of docs/formats."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_dash.model import EVENTS, LOGS, SeriesKey
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.testing import StoreContract
from tests.contract.machine import StoreMachine, settings

SHM = "/dev/shm"
"""A folder in memory, where there is one: the machine makes thousands of small records, and each is an fsync."""
BESIDE = {"clock.jsonl", "writers.jsonl"}
"""Files of lines in a series' folder that hold no rows."""


class TestLocalStore(StoreContract):
    def open(self, tmp_path: Path) -> Store:
        self.root = tmp_path / "root"
        return LocalStore(self.root)

    def reopen(self, tmp_path: Path) -> Store | None:
        return LocalStore(tmp_path / "root")

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        files = list(data_files(run_folder(self.root, series.run), series))
        assert len(files) <= 1
        lines = files[0].read_bytes() if files else b""
        assert not lines or lines.endswith(b"\n")
        return [json.loads(line, parse_constant=refuse) for line in lines.split(b"\n")[:-1]]


def run_folder(root: Path, run: str) -> Path:
    """The folder whose record has this id."""
    records = (record for kind in ("experiment", "session") for record in root.glob(f"*/*/{kind}.json"))
    [folder] = [record.parent for record in records if json.loads(record.read_bytes())["id"] == run]
    return folder


def data_files(folder: Path, series: SeriesKey) -> Iterator[Path]:
    """The file of the series' lines: found by the record beside it, however its folder is spelled."""
    if series.kind == LOGS:
        yield from folder.glob("logs/logs.jsonl")
    elif series.kind == EVENTS:
        yield from (path for path in (folder / EVENTS).rglob("*.jsonl") if path.name not in BESIDE)
    else:
        for record in (folder / series.kind).rglob("metadata.json"):
            if json.loads(record.read_bytes())["name"] == series.name:
                yield from record.parent.glob("data.jsonl")


def refuse(constant: str) -> float:
    """Bare NaN and Infinity are not JSON: no line may hold them."""
    raise AssertionError(constant)


class LocalMachine(StoreMachine):
    def open(self) -> Store:
        self.root = Path(tempfile.mkdtemp(prefix="ml-dash-machine-", dir=SHM if os.access(SHM, os.W_OK) else None))
        return LocalStore(self.root)

    def reopen(self) -> Store | None:
        return LocalStore(self.root)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "root"):
                shutil.rmtree(self.root)


TestLocalMachine = LocalMachine.TestCase
TestLocalMachine.settings = settings
