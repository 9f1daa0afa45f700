"""What child processes do with the files of a run in two tiers."""

from __future__ import annotations

import io
import os
import signal
from typing import Any

from ml_dash.model import FilePut
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.tiered_files import TieredFiles


def files_of(uri: str, url: str, env: dict[str, str]) -> TieredFiles:
    """The files of a database and a place, as another server has them."""
    os.environ.update(env)
    return TieredFiles(Hot(uri), Cold(url), piece=64 << 10)


def put_and_die(uri: str, url: str, env: dict[str, str], run: str, step: str, put: FilePut, content: bytes) -> None:
    """Put a file; SIGKILL comes instead of the method `step`."""
    files: Any = files_of(uri, url, env)

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(files, step, die)
    files.put_file(run, io.BytesIO(content), put)


def put_many(uri: str, url: str, env: dict[str, str], run: str, number: int, count: int) -> None:
    """Put `count` files under one name, and as many under names of this process's own."""
    files = files_of(uri, url, env)
    for i in range(count):
        files.put_file(run, io.BytesIO(b"%d-%d" % (number, i)), FilePut("same"))
        files.put_file(run, io.BytesIO(b"x"), FilePut(f"{number}-{i}"))
