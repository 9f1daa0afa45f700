"""The session's services: one mongod and one S3 for all workers, in the care of a process of their own.

The first worker that asks starts that keeper under a lock in the session's temporary folder; the others read there what the keeper
said. It waits for the session's main process to end, however that ends, then ends the services and removes their data.

python -m tests.services.shared PID     is the keeper: prints one line of JSON, then stays until process PID has gone
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path

from tests.services.mongo import Mongod, ReplicaSet
from tests.services.process import data_folder, free_ports, locked
from tests.services.s3 import Place, SeaweedFS

_TRIES = 3
"""A port may be taken between the look and the start."""


def services(folder: Path, main: int) -> tuple[str, Place]:
    """MongoDB's URI and the bucket, for the session whose temporary folder is `folder` and whose main process is `main`."""
    with locked(folder / "services.lock"):
        note = folder / "services.json"
        if not note.exists():
            note.write_text(_started(main))
        said = json.loads(note.read_text())
    if "error" in said:
        raise RuntimeError(said["error"])
    return said["mongo"], Place(said["s3"])


def _started(main: int) -> str:
    """What a new keeper says once its services are up."""
    source = Path(__file__).parents[2]
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.services.shared", str(main)],
        cwd=source,
        env=os.environ | {"PYTHONPATH": str(source)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for pytest, whose end it waits for
    )
    assert keeper.stdout
    with keeper.stdout as out:
        said = out.readline().decode()
    keeper.returncode = 0  # not waited for: it outlives this worker
    return said or json.dumps({"error": "the keeper of the services ended; its text is in pytest's standard error"})


def _keep(main: int) -> None:
    gone = os.pidfd_open(main)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(data_folder())
        try:
            mongo, s3 = _up(stack, folder)
            said = {"mongo": mongo.uri, "s3": s3.place().endpoint}
        except (RuntimeError, TimeoutError) as e:
            said = {"error": str(e)}
        print(json.dumps(said), flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if "error" not in said:
            select.select([gone], [], [])


def _up(stack: contextlib.ExitStack, folder: Path) -> tuple[ReplicaSet, SeaweedFS]:
    """Both, started side by side."""
    for at in range(_TRIES):
        with contextlib.ExitStack() as tried:
            mongod = Mongod(folder / f"mongo{at}", free_ports(1)[0])
            s3 = SeaweedFS(folder / f"s3-{at}")
            for service in (s3, mongod):
                tried.callback(service.close)
                service.folder.mkdir()
                service.start()
            mongo = ReplicaSet([mongod])
            try:
                mongo.initiate()
                s3.wait_until_up()
            except RuntimeError:
                if at == _TRIES - 1:
                    raise
                continue
            stack.enter_context(tried.pop_all())
            return mongo, s3
    raise AssertionError


if __name__ == "__main__":
    _keep(int(sys.argv[1]))
