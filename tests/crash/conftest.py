"""Where these tests keep their files: in memory where there is room, since what dies here is processes, not machines."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the test's own, on a file system whose fsync costs nothing if there is one."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="ml-dash-crash-", dir=memory))
    yield folder
    shutil.rmtree(folder)
