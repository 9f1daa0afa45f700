from __future__ import annotations

import errno
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml_dash import names
from ml_dash.errors import Conflict, CorruptData, FileMissing, InvalidInput, InvalidType
from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.store import locks
from ml_dash.store.run_files import ABANDONED_AFTER, RunFiles

NOW = 1_700_000_000.0
AT = "2023-11-14T22:13:20.000Z"
HOST = names.encode_segment(os.uname().nodename)


class Bench:
    """A run's folder, its files, and a clock that stands still unless told."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.now = NOW
        self.locked = False
        self.files = RunFiles(str(run), "project/name", self.lock, lambda: self.now)

    @contextmanager
    def lock(self) -> Iterator[None]:
        assert not self.locked, "the run's lock was asked for by its holder"
        with locks.locked_file(str(self.run / ".lock")):
            self.locked = True
            try:
                yield
            finally:
                self.locked = False

    @property
    def folder(self) -> Path:
        return self.run / "files"

    @property
    def metadata(self) -> Path:
        return self.folder / ".files_metadata.json"

    def put(self, content: bytes, filename: str = "f", prefix: str = "/", **given: Any) -> FileRecord:
        return self.files.put(io.BytesIO(content), FilePut(filename, prefix, **given))

    def content(self, file: str) -> bytes:
        with self.files.get(file)[1] as stream:
            return stream.read()

    def stored(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = json.loads(self.metadata.read_bytes())["files"]
        return files

    def tree(self) -> list[str]:
        """Every file below files/ but the records, and every folder that is empty."""
        found = []
        for place, folders, entries in os.walk(self.folder):
            inner = [os.path.relpath(os.path.join(place, entry), self.folder) for entry in entries]
            found += inner if folders or entries else [os.path.relpath(place, self.folder) + "/"]
        return sorted(set(found) - {".files_metadata.json", "./"})


@pytest.fixture
def bench(tmp_path):
    run = tmp_path / "root" / "project" / "name"
    run.mkdir(parents=True)
    return Bench(run)


# ---------------------------------------------------------------- what lies where


def test_a_file_lies_where_the_published_client_looks(bench):
    """files/<prefix>/<id>/<filename>, and a record with the published keys in the published file."""
    record = bench.put(
        b"weights", "model.pt", "/a/b", description="d", tags=["t"], content_type="x/y", metadata={"epoch": 3}
    )
    assert bench.tree() == [f"a/b/{record.id}/model.pt"]
    assert (bench.folder / "a" / "b" / record.id / "model.pt").read_bytes() == b"weights"
    assert json.loads(bench.metadata.read_bytes()) == {
        "files": [
            {
                "id": record.id,
                "experimentId": "project/name",
                "path": "/a/b",
                "filename": "model.pt",
                "description": "d",
                "tags": ["t"],
                "contentType": "x/y",
                "sizeBytes": 7,
                "checksum": sha256(b"weights").hexdigest(),
                "metadata": {"epoch": 3},
                "uploadedAt": AT,
                "updatedAt": AT,
                "deletedAt": None,
            }
        ]
    }


@pytest.mark.parametrize(
    ("prefix", "filename", "place"),
    [
        ("", "f", "{id}/f"),
        ("/", "f", "{id}/f"),
        ("a/", "b/c.txt", "a/{id}/b/c.txt"),
        ("/50%", "con.txt", "50%25/{id}/%63on.txt"),
        ("/.tmp-x", ".files_metadata.json", "%2Etmp-x/{id}/%2Efiles_metadata%2Ejson"),
        ("/größe", "🎉 ", "größe/{id}/🎉%20"),
    ],
)
def test_names_are_spelled_so_that_any_file_system_takes_them(bench, prefix, filename, place):
    """Prefix and filename are encoded on disk and shown as given; the bytes are found again."""
    record = bench.put(b"x", filename, prefix)
    assert bench.tree() == [place.format(id=record.id)]
    assert (record.path, record.filename) == (prefix, filename)
    assert bench.files.find() == [record]
    assert bench.content(record.id) == b"x"


@pytest.mark.parametrize(
    ("filename", "given", "expected"),
    [
        ("a.png", None, "image/png"),
        ("a.json", None, "application/json"),
        ("a", None, "application/octet-stream"),
        ("a.png", "x/y", "x/y"),
    ],
)
def test_the_content_type_is_the_users_or_the_names(bench, filename, given, expected):
    """What the user says holds; otherwise the filename's ending tells."""
    assert bench.put(b"", filename, content_type=given).content_type == expected


def test_times_are_the_clocks(bench):
    """The upload's end is the time of upload; a change moves `updated_at` alone."""
    record = bench.put(b"x")
    bench.now += 60
    changed = bench.files.update(record.id, FilePatch(description="d"))
    assert (record.uploaded_at, record.updated_at) == (AT, AT)
    assert (changed.uploaded_at, changed.updated_at) == (AT, "2023-11-14T22:14:20.000Z")


def test_files_are_sorted_by_time_then_by_place_in_the_list(bench):
    """Another writer may have replaced a record in the middle of the list: it is then the newest."""
    a, b, c = (bench.put(b"x", name) for name in "abc")
    records = bench.stored()
    records[0]["uploadedAt"] = "2023-11-14T22:13:20.001000Z"
    records[1]["uploadedAt"] = "2023-11-14T22:13:20Z"
    bench.metadata.write_text(json.dumps({"files": records}))
    assert [f.id for f in bench.files.find()] == [b.id, c.id, a.id]


# ---------------------------------------------------------------- putting


def test_a_replaced_file_leaves_nothing(bench):
    """The old bytes go and so does the old record; slashes around a prefix make no other prefix."""
    old = bench.put(b"old", "f", "/a")
    new = bench.put(b"new", "f", "a/")
    assert bench.tree() == [f"a/{new.id}/f"]
    assert [r["id"] for r in bench.stored()] == [new.id]
    with pytest.raises(FileMissing, match=old.id):
        bench.files.get(old.id)


def test_a_file_that_is_being_read_may_be_replaced(bench):
    """Whoever has it open reads the old bytes to their end."""
    old = bench.put(b"old")
    with bench.files.get(old.id)[1] as stream:
        bench.put(b"new")
        assert stream.read() == b"old"


def test_a_record_with_an_id_of_the_caller_outlives_its_file(bench):
    """A late retry of a replaced put must find that it happened: such a record stays, marked deleted."""
    old = bench.put(b"old", id="put-1")
    bench.put(b"newer", id="put-2")
    new = bench.put(b"newest")
    assert bench.tree() == [f"{new.id}/f"]
    assert [(r["id"], r["deletedAt"] is None) for r in bench.stored()] == [
        ("put-1", False),
        ("put-2", False),
        (new.id, True),
    ]
    again = bench.put(b"old", id="put-1")
    assert (again.id, again.checksum, again.deleted_at) == (old.id, old.checksum, AT)
    assert bench.files.find() == [new]


def test_the_same_put_again_writes_nothing(bench):
    """The same id and content return the stored record, without a second copy; with other content it is refused."""
    record = bench.put(b"x", id="put-1")
    before = bench.metadata.stat()
    assert bench.put(b"x", "other name", "/elsewhere", id="put-1") == record
    with pytest.raises(Conflict, match=r"file 'put-1': other content is stored under this id .* another id\."):
        bench.put(b"y", id="put-1")
    assert bench.metadata.stat() == before
    assert bench.tree() == ["put-1/f"]


def test_two_puts_of_one_id_at_once_are_one(bench):
    """A put whose id appears while its bytes stream finds the stored record at the end, and leaves no second copy."""

    class Racing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            block = super().read(size)
            if not block:
                bench.put(b"x", id="put-1")
            return block

    record = bench.files.put(Racing(b"x"), FilePut("f", id="put-1"))
    assert bench.files.find() == [record]
    with pytest.raises(Conflict):
        bench.files.put(Racing(b"y"), FilePut("f", id="put-1"))
    assert bench.tree() == ["put-1/f"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FilePut("z/w", "/x", id="y"), FilePut("w", "/x/y", id="z")),
        (FilePut("a", "/", id="y"), FilePut("b", "/y/a", id="z")),
        (FilePut("b", "/y/a", id="z"), FilePut("a", "/", id="y")),
    ],
)
def test_two_files_never_share_a_place(bench, first, second):
    """Ids of the caller can make two files meet on disk: the second is refused, and the first stays as it is."""
    bench.files.put(io.BytesIO(b"first"), first)
    before = bench.tree()
    with pytest.raises(InvalidInput, match=r"where another file of the run lies already\. Choose another prefix"):
        bench.files.put(io.BytesIO(b"second"), second)
    assert bench.tree() == before
    assert bench.content(str(first.id)) == b"first"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"metadata": {"f": object()}}, InvalidType),
        ({"description": "\ud800"}, InvalidInput),
        ({"id": ".."}, InvalidInput),
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_first_byte(bench, given, error):
    """A wrong value must not be found out after ten gigabytes."""
    source = io.BytesIO(b"x")
    with pytest.raises(error):
        bench.files.put(source, FilePut("f", **given))
    assert source.tell() == 0
    assert not bench.folder.exists()


def test_the_answer_is_what_a_reader_gets(bench):
    """Values come back as stored, and changing the caller's own objects later changes nothing."""
    metadata = {"pair": (1, 2), "text": "NaN", "big": 2**70}
    record = bench.put(b"x", metadata=metadata)
    metadata["pair"] = (3, 4)
    assert record.metadata == {"pair": [1, 2], "text": "NaN", "big": 2**70}
    assert bench.files.find() == [record]


def test_a_hole_stays_a_hole(bench, tmp_path):
    """Blocks of zeros take no space on disk, wherever they are, and come back as zeros."""
    path = tmp_path / "sparse"
    with path.open("wb") as f:
        f.truncate(64 << 20)
        f.seek(32 << 20)
        f.write(b"middle")
    with path.open("rb") as source:
        record = bench.files.put(source, FilePut("sparse"))
    stored = bench.folder / record.id / "sparse"
    assert stored.stat().st_size == 64 << 20
    assert stored.stat().st_blocks * 512 < 4 << 20
    assert stored.read_bytes() == path.read_bytes()
    assert record.checksum == sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("step", ["write", "ftruncate", "fsync", "mkdir", "rename"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_put_leaves_everything_as_it_was(bench, monkeypatch, step, fault):
    """A full disk or Ctrl-C, at the first or any later call of its kind: the old file stays, and not a folder is added.
    Only where the folder cannot be made durable after the records were replaced is the new file there, whole."""
    old = bench.put(b"old", "f", "/a")
    before, records = bench.tree(), bench.metadata.read_bytes()
    real = getattr(os, step)
    for calls in range(20):
        left = iter(range(calls))

        def failing(*args: Any, left: Iterator[int] = left, **kwargs: Any) -> Any:
            if next(left, None) is None:
                left = iter(())
                raise fault
            return real(*args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(os, step, failing)
            try:
                bench.put(b"new", "f", "/a/b")
            except type(fault):
                pass
            else:
                break
        if step == "fsync" and len(bench.files.find()) == 2:
            break
        assert (bench.tree(), bench.metadata.read_bytes()) == (before, records)
        assert bench.files.find() == [old]
    assert calls
    assert bench.files.find()[0] == old
    assert bench.content(bench.files.find()[1].id) == b"new"
    assert len(bench.tree()) == 2


def test_an_error_of_the_disk_names_the_file(bench, monkeypatch):
    """The text tells which file was not stored, not the temporary one's name."""

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device; nothing of it is stored: '.*/a/put-1/model.pt'"):
        bench.put(b"x", "model.pt", "/a", id="put-1")


# ---------------------------------------------------------------- changing and deleting


def test_a_change_keeps_what_other_writers_know(bench):
    """Keys that we do not know, in the record and beside the list, stay as they were spelled."""
    record = bench.put(b"x")
    stored = bench.stored()[0] | {"owner": {"id": 12345678901234567890123, "x": None}}
    bench.metadata.write_text(json.dumps({"version": 7, "files": [stored]}))
    bench.files.update(record.id, FilePatch(description="new", tags=["a"], metadata={"n": 1}))
    bench.put(b"y", "g")
    document = json.loads(bench.metadata.read_bytes())
    assert document["version"] == 7
    assert document["files"][0] == stored | {"description": "new", "tags": ["a"], "metadata": {"n": 1}}


def test_deleting_frees_the_bytes(bench):
    """The record stays and tells when; bytes and the folders that are empty without them go."""
    record, kept = bench.put(b"x", "f", "/a/b"), bench.put(b"y", "g", "/a")
    bench.now += 1
    gone = bench.files.update(record.id, FilePatch(deleted=True))
    assert gone.deleted_at == gone.updated_at == "2023-11-14T22:13:21.000Z"
    assert bench.tree() == [f"a/{kept.id}/g"]
    assert [r["deletedAt"] for r in bench.stored()] == [gone.deleted_at, None]
    assert bench.files.find() == [kept]


def test_missing_bytes_are_told(bench):
    """A record whose bytes somebody removed: the text names the place. It may still be deleted."""
    record = bench.put(b"x")
    (bench.folder / record.id / "f").unlink()
    with pytest.raises(FileMissing, match=rf"{record.id}.* has a record but no bytes: '.*/{record.id}/f' is not there"):
        bench.files.get(record.id)
    assert bench.files.update(record.id, FilePatch(deleted=True)).deleted_at is not None


def test_an_unknown_file_takes_no_lock(bench, tmp_path):
    """Reading needs neither the lock nor a folder: a run without files has none, and a folder may be read-only."""

    def refuse() -> AbstractContextManager[None]:
        raise AssertionError("the lock was asked for")

    record = bench.put(b"x")
    reader = RunFiles(str(bench.run), "project/name", refuse, lambda: NOW)
    assert reader.find() == [record]
    reader.get(record.id)[1].close()
    for folder in (bench.run, tmp_path / "no such run"):
        with pytest.raises(FileMissing, match=r"no file with the id 'x'\. List its files"):
            RunFiles(str(folder), "", refuse, lambda: NOW).update("x", FilePatch(deleted=True))
    assert RunFiles(str(tmp_path / "no such run"), "", refuse, lambda: NOW).find() == []


def test_a_run_that_is_gone_does_not_come_back(bench, tmp_path):
    """A put to a run whose folder was removed raises; it makes no folder for it."""
    run = tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        RunFiles(str(run), "", bench.lock, lambda: NOW).put(io.BytesIO(b"x"), FilePut("f"))
    assert not run.exists()


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"[]",
        b"{}",
        b'{"files": null}',
        b'{"files": {}}',
        b'{"files": [{"id": "1"',
        b'{"files": [{"id": "1"}]}',
        b'{"files": [{"id": 1, "filename": "f"}]}',
        b'{"files": [{"id": "1", "filename": "f", "metadata": 3}]}',
        b'{"files": [{"id": "1", "filename": "f", "uploadedAt": "yesterday"}]}',
        b'{"files": []}\n{"files": []}',
        b"[" * 100_000,
    ],
)
def test_damaged_records_stop_everything(bench, data):
    """They are never taken for an empty list: each call raises `CorruptData` naming the file, which stays as it is."""
    bench.put(b"x")
    bench.metadata.write_bytes(data)
    calls = [
        bench.files.find,
        lambda: bench.files.get("1"),
        lambda: bench.put(b"y"),
        lambda: bench.files.update("1", FilePatch(deleted=True)),
    ]
    before = bench.tree()
    for call in calls:
        with pytest.raises(CorruptData, match=r"\.files_metadata\.json: the records of the run's files cannot be read"):
            call()
    assert bench.metadata.read_bytes() == data
    assert bench.tree() == before


# ---------------------------------------------------------------- what dead writers leave


def leave_upload(bench: Bench, host: str, age: float = 0.0) -> Path:
    bench.folder.mkdir(exist_ok=True)
    path = bench.folder / f".tmp-{'0' * 32}@{host}"
    path.write_bytes(b"half")
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("host", "age", "stays"),
    [
        (HOST, 0.0, False),
        ("elsewhere", 0.0, True),
        ("elsewhere", ABANDONED_AFTER - 60, True),
        ("elsewhere", ABANDONED_AFTER + 60, False),
    ],
)
def test_the_next_put_sweeps_dead_uploads(bench, host, age, stays):
    """On this machine one that nobody holds is dead at once; of other machines one that is a day old."""
    path = leave_upload(bench, host, age)
    bench.put(b"x")
    assert path.exists() == stays


def test_a_live_upload_is_not_swept(bench):
    """Its writer holds the lock of the file."""
    path = leave_upload(bench, HOST)
    with path.open("rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        bench.put(b"x", "a")
        assert path.exists()
    bench.put(b"x", "b")
    assert not path.exists()


def test_only_uploads_are_swept(bench):
    """A folder that is named like one (a published client's prefix, say) and what users stored stay."""
    bench.folder.mkdir()
    (bench.folder / f".tmp-x@{HOST}").mkdir()
    (bench.folder / "mine").write_bytes(b"")
    bench.put(b"x")
    assert (bench.folder / f".tmp-x@{HOST}").is_dir()
    assert (bench.folder / "mine").exists()


def test_the_next_change_ends_what_a_killed_one_began(bench):
    """Of the places in `.tmp-moving`, those of live files keep their bytes; half a line is none."""
    live = bench.put(b"live", "f", "/a")
    (bench.folder / "a" / "dead").mkdir()
    for name in ("f", "g"):
        (bench.folder / "a" / "dead" / name).write_bytes(b"")
    (bench.folder / ".tmp-moving").write_bytes(f"a/{live.id}/f\0a/dead/f\0never/there\0\0\0a/dead/g".encode())
    bench.files.update(live.id, FilePatch(description="d"))
    assert bench.tree() == sorted(["a/dead/g", f"a/{live.id}/f"])
    assert bench.content(live.id) == b"live"


# ---------------------------------------------------------------- symbolic links


def test_no_link_leads_out_of_the_run(bench, tmp_path):
    """files/, a prefix, an id or a file that is a link to elsewhere is refused by name; nothing happens out there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    record = bench.put(b"x", "f", "/a", id="put-1")
    calls = [
        lambda: bench.files.get(record.id),
        lambda: bench.put(b"y", "f", "/a"),
        lambda: bench.files.update(record.id, FilePatch(deleted=True)),
    ]
    for place in ("files/a/put-1/f", "files/a/put-1", "files/a", "files"):
        path, moved = bench.run / place, outside / "moved"
        path.rename(moved)
        path.symlink_to(moved)
        before = sorted(map(str, outside.rglob("*")))
        for call in calls:
            with pytest.raises(InvalidInput, match=f"{str(path)!r} is a symbolic link to '{moved}'. Put a real folder"):
                call()
        assert sorted(map(str, outside.rglob("*"))) == before
        path.unlink()
        moved.rename(path)
    assert bench.content(record.id) == b"x"
    assert bench.tree() == ["a/put-1/f"]


def test_a_link_in_place_of_a_file_is_not_followed(bench):
    """Not even within the run, where it might lead to the run's record."""
    record = bench.put(b"x")
    path = bench.folder / record.id / "f"
    path.unlink()
    path.symlink_to(bench.metadata)
    with pytest.raises(InvalidInput, match=r"is a symbolic link\. Put the file itself in the link's place"):
        bench.files.get(record.id)


# ---------------------------------------------------------------- folders of the published clients


def published_record(**given: Any) -> dict[str, Any]:
    at = "2025-10-31T12:00:00.123456Z"
    return {
        "id": "7205759403792793600",
        "experimentId": "project/name",
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
    } | given


def published_session(**given: Any) -> dict[str, Any]:
    record = published_record(**given)
    return {"id": record["id"], "sessionId": "workspace/session"} | {
        key: value for key, value in record.items() if key not in ("id", "experimentId")
    }


def publish(bench: Bench, place: str, *records: dict[str, Any]) -> None:
    """What the published clients leave: records as `json.dump` indents them, bytes wherever `place` says."""
    path = bench.folder / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    bench.metadata.write_text(json.dumps({"files": list(records)}, indent=2))


ML_DASH = ("models/7205759403792793600/model.pt", published_record())
DREAMLAKE = ("7205759403792793600/model.pt", published_session())


@pytest.mark.parametrize(("place", "record"), [ML_DASH, DREAMLAKE])
def test_published_files_are_read(bench, place, record):
    """With the prefix in the path (ml-dash 0.5.2) and without (dreamlake 0.2.1, whose records say "sessionId")."""
    publish(bench, place, record)
    [found] = bench.files.find()
    assert (found.path, found.filename, found.size_bytes) == ("/models", "model.pt", 7)
    assert found.experiment_id == record.get("experimentId", "workspace/session")
    assert found.uploaded_at == "2025-10-31T12:00:00.123456Z"
    assert bench.content(found.id) == b"weights"


@pytest.mark.parametrize(("place", "record"), [ML_DASH, DREAMLAKE])
def test_published_files_are_changed_replaced_and_deleted(bench, place, record):
    """A change keeps the other keys; a new file of the name and a deletion free the bytes where they are."""
    publish(bench, place, record)
    bench.files.update(record["id"], FilePatch(description="d"))
    assert bench.stored() == [record | {"description": "d", "updatedAt": AT}]
    new = bench.put(b"new", "model.pt", "/models")
    assert bench.tree() == [f"models/{new.id}/model.pt"]
    assert bench.files.find() == [new]
    other = bench.run.parent / "other"
    other.mkdir()
    again = Bench(other)
    publish(again, place, record)
    again.files.update(record["id"], FilePatch(deleted=True))
    assert again.tree() == []
    assert again.files.find() == []


def test_published_names_are_found_as_they_were_spelled(bench):
    """The published clients encode nothing: a prefix and a filename that we would encode lie there as they are."""
    record = published_record(path="//we:ird/50%/", filename="a:b .txt ")
    publish(bench, "we:ird/50%/7205759403792793600/a:b .txt ", record)
    assert bench.content(record["id"]) == b"weights"
    bench.files.update(record["id"], FilePatch(deleted=True))
    assert bench.tree() == []


def test_a_published_prefix_that_leads_outside_is_not_followed(bench):
    """0.5.2 wrote where ".." led it. Nothing is read or removed there; the record can be deleted."""
    record = published_record(path="/../../elsewhere")
    publish(bench, "../../elsewhere/7205759403792793600/model.pt", record)
    with pytest.raises(FileMissing, match="has a record but no bytes"):
        bench.files.get(record["id"])
    bench.files.update(record["id"], FilePatch(deleted=True))
    assert (bench.run.parent / "elsewhere" / record["id"] / "model.pt").exists()


def test_published_records_may_hold_bare_nans_and_nulls(bench):
    """`json.dump` writes NaN, which is no JSON: it is read, and rewritten as strict JSON by the next change."""
    odd = published_record(metadata={"loss": float("nan")}, path=None, tags=None, contentType=None, filename="NaN")
    publish(bench, "7205759403792793600/NaN", odd)
    [record] = bench.files.find()
    assert repr(record.metadata) == "{'loss': nan}"
    assert (record.path, record.filename, record.tags) == ("/", "NaN", [])
    assert bench.content(record.id) == b"weights"
    bench.put(b"x", "g")
    assert bench.stored()[0]["metadata"] == {"loss": "NaN"}
    assert repr([f.metadata for f in bench.files.find() if f.id == record.id]) == "[{'loss': nan}]"
    assert bench.content(record.id) == b"weights"


def test_a_file_that_a_published_client_deleted_is_missing(bench):
    """It left the bytes there; they stay, and the file counts as deleted."""
    publish(bench, ML_DASH[0], published_record(deletedAt="2025-10-31T13:00:00Z"))
    assert bench.files.find() == []
    with pytest.raises(FileMissing):
        bench.files.get("7205759403792793600")
    bench.put(b"x", "model.pt", "/models")
    assert ML_DASH[0] in bench.tree()
