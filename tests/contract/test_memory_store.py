"""MemoryStore, the model, passes the contract that it is the model of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_dash.codec import render
from ml_dash.model import SeriesKey
from ml_dash.store.base import Store
from ml_dash.store.memory import MemoryStore
from ml_dash.testing import StoreContract
from tests.contract.machine import StoreMachine, settings


class TestMemoryStore(StoreContract):
    def open(self, tmp_path: Path) -> Store:
        return MemoryStore()

    def reopen(self, tmp_path: Path) -> Store | None:
        return None

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        assert isinstance(store, MemoryStore)
        stored = store._runs[series.run].series.get((series.kind, series.name))
        lines = render(series.kind, 0, stored.rows if stored else [])
        return [json.loads(line) for line in lines.split(b"\n")[:-1]]


class MemoryMachine(StoreMachine):
    def open(self) -> Store:
        return MemoryStore()


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings
