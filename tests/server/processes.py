"""Real `ml-dash server` processes for tests: started on a free port, killed, stopped, started again on the same one.

with ServerProcess(tmp_path / "runs") as server:
    httpx.get(server.url + "/health")
    server.kill()          # SIGKILL, as a crash or the machine's end
    server.restart()       # the same folder, port and options
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import ml_dash

SOURCE = str(Path(ml_dash.__file__).parents[1])
ENTRY = [sys.executable, "-c", "from ml_dash.cli import main; main()"]
_SECONDS = 60.0
"""How long a process may take to start or to end, on a machine with much else to do."""


class ServerProcess:
    """A server over the folder `store`, None where `args` or `env` say what it serves. `args` are options of the command, `env`
    variables added to this process's own."""

    def __init__(
        self, store: str | os.PathLike[str] | None, *args: object, env: dict[str, str] | None = None, port: int = 0
    ) -> None:
        self.store = os.fspath(store) if store is not None else ""
        self.port = port
        self.url = ""
        self._args = [str(arg) for arg in args]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ML_DASH_", "MLDASH_", "DREAMLAKE_"))}
        self._env = clean | {"PYTHONPATH": SOURCE} | (env or {})
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  closed with it
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it, and wait until it listens. Raises `RuntimeError` with what it said where it ended instead."""
        assert self.process is None or self.process.poll() is not None, "it runs"
        before = sum(line.get("event") == "listening" for line in self.lines())
        place = ["--store", self.store] if self.store else []
        command = [*ENTRY, "server", *place, "--port", str(self.port), *self._args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, env=self._env
        )
        give_up = time.monotonic() + _SECONDS
        while len(said := [line for line in self.lines() if line.get("event") == "listening"]) == before:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.stderr}")
            if time.monotonic() > give_up:
                raise TimeoutError(f"the server does not listen: {self.stderr}")
            time.sleep(0.02)
        self.url = said[-1]["url"]
        self.port = said[-1]["port"]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def stdout(self) -> str:
        """All that it has written to standard output, over every start."""
        return _content(self._out)

    @property
    def stderr(self) -> str:
        return _content(self._err)

    def lines(self) -> list[dict[str, Any]]:
        """Its log: every whole line of standard output, decoded."""
        text = self.stdout
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def restart(self) -> None:
        """The same again, at the same URL; stopped before if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.start()

    def close(self) -> None:
        """End it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        self._out.close()
        self._err.close()

    def __enter__(self) -> ServerProcess:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _content(file: Any) -> str:
    """Read without moving the place where the child writes: both share one."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode()
