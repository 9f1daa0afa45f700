"""Servers with the page under test: what `make web` has built into the package, or the build that TEST_PAGE names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.page import FOLDER, Page
from tests.server.processes import ServerProcess

UNDER_TEST = "TEST_PAGE"
"""The environment variable that names another build than the package's. ML_DASH_PAGE would be the one, but tests run without the
variables of ours that whoever runs them has."""


def dashboard(store: Path, *args: object, env: dict[str, str] | None = None, **options: Any) -> ServerProcess:
    """`ml-dash server` over a folder, as a context manager. Fails where no page is built."""
    page = Page(os.environ.get(UNDER_TEST))
    if not page.is_built:
        pytest.fail(f"no dashboard is built in {page.folder}: `make web` builds it", pytrace=False)
    return ServerProcess(store, *args, env={FOLDER: page.folder, **(env or {})}, **options)
