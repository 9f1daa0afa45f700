"""Real server processes over two tiers of a test's own, with small thresholds so that rows are archived in seconds.

    with Servers(fresh_database(), s3_place, tmp_path, count=3) as servers:
        servers.urls
        servers[0].pause(); ...; servers[0].resume()
        servers[1].kill(); servers[1].start(); servers[1].wait_until_up()

`python -m tests.tiered.servers JSON` is such a process: what `ml-dash server --mongo --s3` runs, with other thresholds; without a
port, its archiver alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

import ml_dash
from ml_dash.model import SeriesKey
from ml_dash.store.base import Store
from ml_dash.store.tiered import TieredStore
from tests.services.process import Service, free_ports
from tests.services.s3 import Place
from tests.tiered.clients import THRESHOLD

QUICK: dict[str, Any] = {"threshold": THRESHOLD, "patience": 0.05, "lease": 1.0, "poll": 0.02}
"""An archiver without a sign for 1 s is dead."""
ROOT = Path(__file__).parents[2]
SOURCE = Path(ml_dash.__file__).parents[1]


def child_environment(place: Place) -> dict[str, str]:
    """Of a process that uses `place`: nothing of the developer's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ML_DASH_", "AWS_"))}
    return clean | place.env | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(ROOT)])}


class Server(Service):
    """One server process at one port, however often it is killed and started. `options` are TieredStore's."""

    def __init__(self, uri: str, place: Place, folder: Path, **options: Any) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        said = {
            "mongo": uri,
            "s3": place.url,
            "endpoint": place.endpoint,
            "port": self.port,
            "options": QUICK | options,
        }
        line = [sys.executable, "-m", "tests.tiered.servers", json.dumps(said)]
        super().__init__(
            f"the server at {self.port}", lambda: line, folder / f"server{self.port}.log", child_environment(place)
        )

    def wait_until_up(self) -> None:
        """Return when it answers."""
        self.wait_for(self.answers)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == HTTPStatus.OK
        except OSError:
            return False


class Servers(list[Server]):
    """Several over the same tiers, started side by side."""

    def __init__(self, uri: str, place: Place, folder: Path, count: int, **options: Any) -> None:
        super().__init__(Server(uri, place, folder, **options) for _ in range(count))

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self]

    def __enter__(self) -> Servers:  # noqa: PYI034  typing.Self came with Python 3.11
        with contextlib.ExitStack() as stack:
            stack.push(self.__exit__)
            for server in self:
                server.start()
            for server in self:
                server.wait_until_up()
            stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self:
            server.close()


class Archiving(Service):
    """A process that only archives. With `die_at`, the name of a step, it kills itself the first time that it gets there."""

    def __init__(self, uri: str, place: Place, folder: Path, **options: Any) -> None:
        said = {"mongo": uri, "s3": place.url, "endpoint": place.endpoint, "options": QUICK | options}
        line = [sys.executable, "-m", "tests.tiered.servers", json.dumps(said)]
        super().__init__(
            "the archiver", lambda: line, folder / f"archiver{os.urandom(4).hex()}.log", child_environment(place)
        )

    def died(self) -> bool:
        """Whether it got to `die_at`. Raises where it ended some other way."""
        if self.running:
            return False
        assert self.process is not None
        assert self.process.returncode == -signal.SIGKILL, self.log.read_text()
        return True

    def __enter__(self) -> Archiving:  # noqa: PYI034  typing.Self came with Python 3.11
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# ---------------------------------------------------------------- the process


def die_at(step: str) -> Any:
    """What a store calls at each step of archiving: kills this process at the first of this name."""

    def on_step(name: str, series: SeriesKey) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


def opened(said: dict[str, Any]) -> TieredStore:
    """The store that a process is told to open; ``die_at`` among its options is a step."""
    options = dict(said["options"])
    if "die_at" in options:
        options["on_step"] = die_at(options.pop("die_at"))
    return TieredStore(said["mongo"], said["s3"], endpoint=said["endpoint"], **options)


def main() -> None:
    said = json.loads(sys.argv[1])
    if "port" not in said:
        opened(said).archiver.start()
        signal.pause()
    from ml_dash.server import serve
    from ml_dash.server.settings import Settings

    def store(settings: Settings) -> Store:
        return opened(said)

    serve.opened = store  # type: ignore[attr-defined]
    settings = Settings(mongo=said["mongo"], s3=said["s3"], s3_endpoint=said["endpoint"], port=said["port"], stop=5)
    serve.serve(settings, sys.stdout)


if __name__ == "__main__":
    main()
