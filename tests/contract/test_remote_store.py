"""RemoteStore passes the contract with the real server between: over a real socket, in front of a LocalStore, whose files plain
`json` reads behind both their backs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ml_dash.model import SeriesKey
from ml_dash.server.app import create_app
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from ml_dash.testing import StoreContract
from tests.contract import machine
from tests.contract.test_local_store import SHM, data_files, refuse, run_folder
from tests.server.live import live


class TestRemoteOverLocal(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, tmp_path: Path) -> Iterator[None]:
        """A server over a folder of the test's own."""
        self.root = tmp_path / "root"
        behind = LocalStore(self.root)
        with live(create_app(behind)) as self.url:
            yield
        behind.close()

    def open(self, tmp_path: Path) -> Store:
        return RemoteStore(self.url)

    def reopen(self, tmp_path: Path) -> Store | None:
        return RemoteStore(self.url)

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        files = list(data_files(run_folder(self.root, series.run), series))
        assert len(files) <= 1
        lines = files[0].read_bytes() if files else b""
        assert not lines or lines.endswith(b"\n")
        return [json.loads(line, parse_constant=refuse) for line in lines.split(b"\n")[:-1]]


class RemoteMachine(machine.StoreMachine):
    """One server for each example, since each begins with an empty store."""

    def open(self) -> Store:
        self.exits = ExitStack()
        root = tempfile.mkdtemp(prefix="ml-dash-machine-", dir=SHM if os.access(SHM, os.W_OK) else None)
        self.exits.callback(shutil.rmtree, root)
        behind = LocalStore(root)
        self.exits.callback(behind.close)
        self.url = self.exits.enter_context(live(create_app(behind)))
        return RemoteStore(self.url)

    def reopen(self) -> Store | None:
        return RemoteStore(self.url)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "exits"):
                self.exits.close()


TestRemoteMachine = RemoteMachine.TestCase
TestRemoteMachine.settings = hypothesis.settings(machine.settings, max_examples=40)
