"""What the tests of the server share: one over a folder of its own, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_dash.server.app import create_app
from ml_dash.store.local import LocalStore
from tests.server.live import live


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that is served."""
    return tmp_path / "runs"


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    """The store that is served."""
    store = LocalStore(root)
    yield store
    store.close()


@pytest.fixture
def api(store: LocalStore) -> Iterator[httpx.Client]:
    """A client of the API of a server over `store`, for anybody."""
    with live(create_app(store)) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
        yield client
