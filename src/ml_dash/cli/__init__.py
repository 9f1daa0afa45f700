"""The command ``ml-dash``. This file only starts it; commands are a file each, and no library may be imported here."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point. Ends the process with the command's exit code."""
    try:
        from ml_dash.cli.app import app

        app(prog_name="ml-dash")
    except KeyboardInterrupt:  # before the command itself has begun; `common.guarded` knows the rest
        sys.exit(130)
