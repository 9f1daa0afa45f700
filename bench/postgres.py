"""PostgreSQL as Debian packages it, a process of its own with its data in a folder of its own, its settings as they come. Linux.

It does not run as root: there it runs as the package's own user, `postgres`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import servers

_PLACES = Path("/usr/lib/postgresql")
_USER = "postgres"


class Postgres:
    """A running server; `database` makes an empty one."""

    def __init__(self, programs: Path, port: int) -> None:
        self._programs = programs
        self.port = port

    def database(self, name: str) -> str:
        """A new database's URL, as SQLAlchemy spells it."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _USER]
        subprocess.run([str(self._programs / "createdb"), *where, name], check=True, capture_output=True)
        return f"postgresql+psycopg2://{_USER}@127.0.0.1:{self.port}/{name}"


def programs() -> Path | None:
    """Where the newest version's programs are; None where there are none."""
    found = sorted(_PLACES.glob("*/bin/initdb"), key=lambda one: float(one.parent.parent.name))
    return found[-1].parent if found else None


def version(place: Path) -> str:
    said = subprocess.run([str(place / "postgres"), "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[2]


@contextmanager
def running(place: Path, root: Path) -> Iterator[Postgres]:
    """A server with empty data on the disk of `root`. Raises `servers.NotServing`."""
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-", dir=root.parent))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, _USER, _USER)
        who = {"user": _USER, "group": _USER, "extra_groups": []}
    data, port = folder / "data", servers.free_port()
    made = [str(place / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8"]
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    try:
        subprocess.run(made, check=True, capture_output=True, cwd=folder, env=_ENVIRONMENT, **who)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(place / "postgres"), *options], cwd=folder, env=_ENVIRONMENT, stdout=log, stderr=log, **who
            )
        server = servers.Server(process, folder / "log")
        try:
            servers.wait(server, port)
            yield Postgres(place, port)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
