"""Uploads that are killed, stopped, raced and starved, on real processes and real files."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import FileMissing
from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.store import locks
from ml_dash.store.run_files import RunFiles

VERSION_BYTES = 3_000_000
PRELUDE = """
import functools, io, os, resource, sys, time
from ml_dash.model import FilePatch, FilePut
from ml_dash.store import locks
from ml_dash.store.run_files import RunFiles
run = sys.argv[1]
files = RunFiles(run, "p/n", functools.partial(locks.locked_file, run + "/.lock"), time.time)
"""


def open_files(run: Path) -> RunFiles:
    return RunFiles(str(run), "p/n", lambda: locks.locked_file(f"{run}/.lock"), time.time)


def put(run: Path, content: bytes, filename: str = "f", **given: Any) -> FileRecord:
    return open_files(run).put(io.BytesIO(content), FilePut(filename, **given))


def content(run: Path, file: str) -> bytes:
    with open_files(run).get(file)[1] as stream:
        return stream.read()


def version(number: int) -> bytes:
    """A file that tells which version it is, and in each of its parts that it is whole."""
    return number.to_bytes(8, "big") * (VERSION_BYTES // 8)


@contextmanager
def child(code: str, run: Path, *args: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PRELUDE + code, str(run), *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def tree(run: Path) -> list[str]:
    """Every file below files/, but the records and a record's temporary that a kill may leave for a day."""
    found = [
        os.path.relpath(os.path.join(place, entry), run / "files")
        for place, _, entries in os.walk(run / "files")
        for entry in entries
    ]
    return sorted(f for f in found if f != ".files_metadata.json" and not (f.startswith(".tmp-") and "@" not in f))


def live_place(record: FileRecord) -> str:
    return "/".join(part for part in (record.path.strip("/"), record.id, record.filename) if part)


def check_records(run: Path) -> None:
    """The records are whole JSON, for any reader."""
    path = run / "files" / ".files_metadata.json"
    if path.exists():
        assert isinstance(json.loads(path.read_bytes())["files"], list)


def check_swept(run: Path) -> None:
    """After one more put, bytes and records are the same files, whatever was left before."""
    put(run, b"sweep", "sweep")
    assert tree(run) == sorted(map(live_place, open_files(run).find()))
    assert not (run / "files" / ".tmp-moving").exists()


# ---------------------------------------------------------------- kill -9

UPLOADER = """
import random
class Slow(io.BytesIO):
    def read(self, size=-1):
        time.sleep(random.random() * 0.01)
        return super().read(min(size, 300_000))
for number in range(int(sys.argv[2]), 1_000_000):
    print("begin", flush=True)
    files.put(Slow(number.to_bytes(8, "big") * (int(sys.argv[3]) // 8)), FilePut("model.bin", "/models"))
    print(number, flush=True)
"""


def test_kill_9_at_random_moments(tmp_path):
    """An uploader that puts version after version under one name is killed 40 times: a version is there each time, whole,
    and none that is older than the last one whose put returned. Uploads that were cut off are swept by later ones."""
    chance = random.Random(1)
    reached = -1
    for trial in range(40):
        with child(UPLOADER, tmp_path, reached + 1, VERSION_BYTES) as uploader:
            next(lines(uploader))
            if trial % 4 == 0:
                reached = int(next(lines(uploader)))
            time.sleep(chance.random() * 0.25)
            uploader.kill()
            reached = max([reached, *(int(line) for line in lines(uploader) if line[0].isdigit() and line[-1] == "\n")])
        check_records(tmp_path)
        found = open_files(tmp_path).find()
        assert len(found) == (1 if reached >= 0 else len(found)) <= 1
        for record in found:
            stored = content(tmp_path, record.id)
            number = int.from_bytes(stored[:8], "big")
            assert number in (reached, reached + 1)
            assert stored == version(number)
            assert record.checksum == sha256(stored).hexdigest()
            reached = number
        assert len([f for f in tree(tmp_path) if f.startswith(".tmp-")]) <= 1
    assert reached >= 9
    check_swept(tmp_path)


STEPS = ("open", "write", "fsync", "ftruncate", "mkdir", "rename", "unlink", "rmdir", "close")


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Do `action` in a fork that dies by SIGKILL at the system call number `step`; whether it lived to the end."""
    pid = os.fork()
    if pid == 0:
        try:
            left = iter(range(step))
            for name in STEPS:
                setattr(os, name, _deadly(getattr(os, name), left))
            action()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def _deadly(call: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)

    return counted


@pytest.mark.parametrize("given", [None, "put-2"])
def test_kill_9_at_every_step_of_a_replacement(tmp_path, given):
    """Before each system call of a put that replaces a file: the old file or the new one, whole; a retry with the same id
    ends in the new one; the next put leaves no byte behind that is nobody's."""
    for step in range(500):
        run = tmp_path / str(step)
        run.mkdir()
        old = put(run, b"old", prefix="/a")
        lived = killed_at(step, partial(put, run, b"new", prefix="/a", id=given))
        check_records(run)
        [found] = open_files(run).find()
        assert content(run, found.id) == (b"old" if found == old else b"new")
        if given:
            assert put(run, b"new", prefix="/a", id=given).id == "put-2"
            assert [f.id for f in open_files(run).find()] == ["put-2"]
        check_swept(run)
        if lived:
            break
    assert 20 < step < 499


def test_kill_9_at_every_step_of_a_first_put(tmp_path):
    """Before each system call of a run's first put: no file or the whole file, and nothing that stays behind."""
    for step in range(500):
        run = tmp_path / str(step)
        run.mkdir()
        lived = killed_at(step, partial(put, run, b"new", "f", prefix="/a/b"))
        check_records(run)
        assert [content(run, f.id) for f in open_files(run).find()] in ([], [b"new"])
        check_swept(run)
        if lived:
            break
    assert 20 < step < 499


def test_kill_9_at_every_step_of_a_deletion(tmp_path):
    """Before each system call of a deletion: the file is there, whole, or it is gone and its bytes are soon."""
    for step in range(500):
        run = tmp_path / str(step)
        run.mkdir()
        old = put(run, b"old", prefix="/a")
        lived = killed_at(step, partial(open_files(run).update, old.id, FilePatch(deleted=True)))
        check_records(run)
        for found in open_files(run).find():
            assert content(run, found.id) == b"old"
        check_swept(run)
        if lived:
            break
    assert 10 < step < 499


# ---------------------------------------------------------------- several at once

WAITING = """
class Waiting(io.BytesIO):
    def read(self, size=-1):
        block = super().read(4)
        print("read", flush=True)
        sys.stdin.readline()
        return block
record = files.put(Waiting(b"whole"), FilePut("waiting"))
print(record.id, flush=True)
"""


def test_a_stopped_upload_is_not_taken_for_dead(tmp_path):
    """An uploader under SIGSTOP keeps its temporary file through the puts of others; under SIGCONT it ends as if alone."""
    with child(WAITING, tmp_path) as stopped:
        assert stopped.stdin is not None
        next(lines(stopped))
        stopped.send_signal(signal.SIGSTOP)
        for i in range(3):
            put(tmp_path, b"x", f"f{i}")
        assert len(tree(tmp_path)) == 4
        stopped.send_signal(signal.SIGCONT)
        stopped.stdin.write("\n" * 10)
        stopped.stdin.flush()
        *_, last = lines(stopped)
        assert content(tmp_path, last.strip()) == b"whole"
    check_swept(tmp_path)


def test_a_dead_upload_is_swept_at_once(tmp_path):
    """On the machine where its writer died, nobody has to wait for a day."""
    with child(WAITING, tmp_path) as killed:
        next(lines(killed))
        killed.kill()
        killed.wait()
    assert len(tree(tmp_path)) == 1
    check_swept(tmp_path)


MANY = """
for i in range(15):
    body = f"{sys.argv[2]}-{i:02}".encode() * 100_000
    files.put(io.BytesIO(body), FilePut("same", "/a"))
"""


def test_two_processes_put_one_name_at_once(tmp_path):
    """Nobody raises; readers beside them see whole files only; one file is left, one of the two last ones, with one record
    and one place of bytes."""
    seen = set()
    with child(MANY, tmp_path, "a") as a, child(MANY, tmp_path, "b") as b:
        while a.poll() is None or b.poll() is None:
            for record in open_files(tmp_path).find():
                try:
                    body = content(tmp_path, record.id)
                except FileMissing:
                    continue
                assert sha256(body).hexdigest() == record.checksum
                seen.add(body[:4])
        assert (a.returncode, b.returncode) == (0, 0)
    assert seen
    [last] = open_files(tmp_path).find()
    assert content(tmp_path, last.id)[:4] in (b"a-14", b"b-14")
    assert tree(tmp_path) == [f"a/{last.id}/same"]
    check_records(tmp_path)


ONE_ID = """
print(files.put(io.BytesIO(b"x" * 3_000_000), FilePut("f", id="put-1")).uploaded_at, flush=True)
"""


def test_two_processes_retry_one_put_at_once(tmp_path):
    """Both answers are the same stored record, of one copy."""
    with child(ONE_ID, tmp_path) as a, child(ONE_ID, tmp_path) as b:
        assert list(lines(a)) == list(lines(b))
    assert tree(tmp_path) == ["put-1/f"]
    assert len(open_files(tmp_path).find()) == 1


# ---------------------------------------------------------------- large, and too large

LARGE = """
unit = 1 if sys.platform == "darwin" else 1024
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
files.put(io.BytesIO(b"warm-up"), FilePut("small"))
before = peak()
with open(sys.argv[2], "rb", buffering=0) as source:
    record = files.put(source, FilePut("large"))
print(peak() - before, record.id, record.size_bytes, record.checksum, flush=True)
"""


# Of 2 GiB of zeros whose last three bytes are "end", by sha256sum.
SPARSE_SHA256 = "7ab45a1968d9cc87ec6a8254c597eb853c81d1e94897d6e971be3ec3b97d4e7b"


@pytest.mark.timeout(120)
def test_two_gigabytes_in_flat_memory(tmp_path):
    """A sparse file of 2 GB is stored in a few MB of memory and as few of disk, its last byte where it was."""
    size = 2 << 30
    path, run = tmp_path / "sparse", tmp_path / "run"
    run.mkdir()
    with path.open("wb") as f:
        f.truncate(size - 3)
        f.seek(size - 3)
        f.write(b"end")
    with child(LARGE, run, path) as process:
        grown, file, size_bytes, checksum = next(lines(process)).split()
    assert int(size_bytes) == size
    assert int(grown) < 16 << 20
    stored = run / "files" / file / "large"
    assert stored.stat().st_size == size
    assert stored.stat().st_blocks * 512 < 8 << 20
    with stored.open("rb") as f:
        f.seek(-6, os.SEEK_END)
        assert f.read() == b"\0\0\0end"
    assert checksum == SPARSE_SHA256


STARVED = """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    files.put(io.BytesIO(b"x" * int(sys.argv[3])), FilePut("f", "/a", description="d" * int(sys.argv[4])))
except OSError as e:
    print(e.errno, e.filename, e, sep="|", flush=True)
"""


@pytest.mark.parametrize(
    ("size", "said", "named"),
    [(3_000_000, 0, "/f"), (100_001, 0, "/f"), (10, 200_000, "/.files_metadata.json")],
)
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, size, said, named):
    """Where no file may grow beyond 100,000 bytes, be it the upload or the records: an `OSError` that names the file and
    says that nothing of it is stored; the file that was to be replaced is whole, and not a byte more is there."""
    old = put(tmp_path, b"old", prefix="/a")
    before = sorted(tmp_path.rglob("*"))
    with child(STARVED, tmp_path, 100_000, size, said) as process:
        number, name, text = next(lines(process)).split("|")
    assert int(number) == errno.EFBIG
    assert name.endswith(named)
    assert "nothing of it is stored" in text
    assert sorted(tmp_path.rglob("*")) == before
    assert open_files(tmp_path).find() == [old]
    assert content(tmp_path, old.id) == b"old"


# ---------------------------------------------------------------- folders of the published clients


@pytest.mark.parametrize(
    ("place", "owner"), [("models/7205759403792793600", "experimentId"), ("7205759403792793600", "sessionId")]
)
def test_kill_9_while_a_published_file_is_replaced(tmp_path, place, owner):
    """The file that ml-dash 0.5.2 or dreamlake 0.2.1 left stays whole until ours has taken its place, and is gone then."""
    at = "2025-10-31T12:00:00.123456Z"
    record: dict[str, Any] = {
        "id": "7205759403792793600",
        owner: "project/name",
        "path": "/models",
        "filename": "model.pt",
        "description": None,
        "tags": [],
        "contentType": "application/octet-stream",
        "sizeBytes": 7,
        "checksum": sha256(b"weights").hexdigest(),
        "metadata": None,
        "uploadedAt": at,
        "updatedAt": at,
        "deletedAt": None,
    }
    for step in range(500):
        run = tmp_path / str(step)
        folder = run / "files" / place
        folder.mkdir(parents=True)
        (folder / "model.pt").write_bytes(b"weights")
        (run / "files" / ".files_metadata.json").write_text(json.dumps({"files": [record]}, indent=2))
        lived = killed_at(step, partial(put, run, b"new", "model.pt", prefix="/models"))
        check_records(run)
        [found] = open_files(run).find()
        assert content(run, found.id) == (b"weights" if found.id == record["id"] else b"new")
        put(run, b"newer", "model.pt", prefix="/models")
        assert not folder.exists()
        check_swept(run)
        if lived:
            break
    assert 20 < step < 499
