"""What a reader's shell has."""

from __future__ import annotations

import os
import sys

import pytest

from tests.docs.pages import PROJECT

COMMANDS = {
    "ml-dash": 'exec {python} -c "from ml_dash.cli import main; main()" "$@"',
    "python": 'exec {python} "$@"',
}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for a process: `ml-dash` and `python` are those under test, wherever they are installed."""
    folder = tmp_path_factory.mktemp("bin")
    for name, line in COMMANDS.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{line.format(python=sys.executable)}\n")
        script.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
    source = os.pathsep.join([str(PROJECT / "src"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PATH": path, "PYTHONPATH": source, "COLUMNS": "100", "NO_COLOR": "1", "MPLBACKEND": "Agg"}
