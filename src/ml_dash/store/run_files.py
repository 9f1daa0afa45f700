"""The files of one run of a `LocalStore`: their records, and their bytes beside them. Knows no other part of a run.

    files/.files_metadata.json          {"files": [records]}
    files/<prefix>/<id>/<filename>      a file's bytes; once there, they never change
    files/.tmp-<random>@<host>          an upload; its writer holds the file's lock for as long as it lives
    files/.tmp-part@<digest>.…          what came of an upload that may go on: see `partial_file`
    files/.tmp-moving                   the places that a call is about to fill or to free

Records say what is stored: bytes that no live record names are garbage, a record never comes before its bytes. Both are
changed under the run's lock only, so whoever holds it and finds `.tmp-moving` knows that its writer is dead, and frees
those of the places in it that no live record names. That one rule ends a call that succeeded, failed or was killed.

ml-dash 0.5.x spells prefixes and filenames as they are; dreamlake 0.2.x leaves the prefix out, and its records have
"sessionId" in place of "experimentId". Both are found where they lie, and keys that we do not know stay in the records.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple

import msgspec

from ml_dash import codec, names
from ml_dash.errors import Conflict, CorruptData, FileMissing, InvalidInput
from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.store.atomic import CREATE, TEMPORARY, inside, not_stored, sync_folder, write_all, write_atomically
from ml_dash.store.checks import check_content, check_put
from ml_dash.store.partial_file import PartialFile, may_go_on
from ml_dash.store.patch import apply_file_patch, new_id
from ml_dash.store.running_sums import RunningSums
from ml_dash.times import iso, parse_iso

BLOCK = 1 << 20
"""Bytes that are in memory of a file that streams."""
ABANDONED_AFTER = 86_400.0
"""Seconds without a write after which an upload counts as dead, whoever writes it."""

_RECORDS = ".files_metadata.json"
_MOVING = TEMPORARY + "moving"
_ZEROS = bytes(BLOCK)
_PATCHED = ("description", "tags", "metadata", "updatedAt", "deletedAt")


class RunFiles:
    """The files of the run in the folder `run_path`; see `Store.put_file` and its kin for what the methods promise.

    `owner` is the "experimentId" of new records. `lock` makes the run's lock, which is not held while bytes stream.
    `clock` gives unix seconds. `sums` outlives this object, so that an upload which goes on is not read again.
    """

    def __init__(
        self,
        run_path: str,
        owner: str,
        lock: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float],
        sums: RunningSums | None = None,
    ) -> None:
        self._run = run_path
        self._folder = os.path.join(run_path, "files")
        self._owner = owner
        self._lock = lock
        self._clock = clock
        self._sums = sums or RunningSums()

    def put(self, source: BinaryIO, put: FilePut) -> FileRecord:
        """Store what `source` yields until its end, streaming. Of a failed put nothing is left."""
        check_put(put)
        new = self._new(put)
        _entry(new)  # what cannot be stored raises before the first byte is read
        if put.id is not None and (stored := _find(self._read().entries, put.id)):
            return _same(stored.record, put.checksum or _checksum(source))
        if may_go_on(source, put):
            return self._put_on(source, put, new)
        with self._upload() as (path, fd):
            new.size_bytes, new.checksum = _copy(source, fd, self._place(_places(new)[0]))
            check_content(put, new.size_bytes, new.checksum)
            with self._lock():
                return self._publish(path, new, id_given=put.id is not None)

    def _put_on(self, source: BinaryIO, put: FilePut, new: FileRecord) -> FileRecord:
        """Store what an earlier try has left to do, and leave what this one has done where it breaks."""
        self._place(_places(new)[0])
        with self._lock():
            _make_folder(self._folder)
            self._sweep()
            part = PartialFile(self._folder, put, self._sums)
        with part:
            new.checksum = part.fill(source)
            new.size_bytes = part.size
            with self._lock():
                part.take()
                try:
                    return self._publish(part.path, new, id_given=True)
                finally:
                    part.remove()

    def get(self, file: str) -> tuple[FileRecord, BinaryIO]:
        """The record and the open file of the bytes, which stay readable after the file is replaced."""
        record = self._read().live(file).record
        if (stream := self._open_bytes(record)) is None:
            # It may have been replaced since. Bytes never move, so that one more look is enough.
            record = self._read().live(file).record
            stream = self._open_bytes(record)
        if stream is None:
            raise FileMissing(
                f"file {file!r} ({record.filename}) has a record but no bytes: {self._place(_places(record)[0])!r} "
                "is not there. Put the file back or delete its record."
            )
        return record, stream

    def find(self) -> list[FileRecord]:
        """Every live file, oldest first."""
        live = [entry.record for entry in self._read().entries if entry.record.deleted_at is None]
        return sorted(live, key=lambda record: parse_iso(record.uploaded_at) if record.uploaded_at else 0)

    def update(self, file: str, patch: FilePatch) -> FileRecord:
        """Change or delete a file's record."""
        self._read().live(file)
        with self._lock():
            self._settle()
            records = self._read()
            old = records.live(file)
            new = _changed(old, apply_file_patch(old.record, patch, self._clock()))
            records.entries[records.entries.index(old)] = new
            with self._moving(_places(old.record) if patch.deleted else []):
                self._write(records)
        return new.record

    # ------------------------------------------------------------ uploads

    def _new(self, put: FilePut) -> FileRecord:
        at = iso(int(self._clock() * 1000))
        return FileRecord(
            id=put.id or new_id(),
            experiment_id=self._owner,
            path=put.prefix,
            filename=put.filename,
            description=put.description,
            tags=put.tags or [],
            content_type=put.content_type or content_type_of(put.filename),
            metadata=put.metadata,
            uploaded_at=at,
            updated_at=at,
        )

    @contextmanager
    def _upload(self) -> Iterator[tuple[str, int]]:
        """A temporary file as (path, descriptor), gone at the end unless it was renamed. Sweeps first."""
        path = self._place(f"{TEMPORARY}{new_id()}@{_host()}")
        fd = None
        try:
            with self._lock():
                _make_folder(self._folder)
                self._sweep()
                fd = os.open(path, CREATE, 0o666)
                with suppress(OSError):  # a file system without locks: `_abandoned` waits for a day there
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, fd
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
            if fd is not None:
                os.close(fd)

    def _sweep(self) -> None:
        """Remove the uploads of dead writers. The caller holds the lock."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                ours = entry.name.startswith(TEMPORARY) and entry.name != _MOVING
                if ours and entry.is_file(follow_symlinks=False) and _abandoned(entry.path):
                    with suppress(OSError):
                        os.unlink(entry.path)

    def _publish(self, temporary: str, new: FileRecord, *, id_given: bool) -> FileRecord:
        """Move an upload into place and record it, in place of its live namesakes. The caller holds the lock."""
        self._settle()
        records = self._read()
        if stored := _find(records.entries, new.id):
            return _same(stored.record, new.checksum)
        new.uploaded_at = new.updated_at = at = iso(int(self._clock() * 1000))
        replaced = [entry for entry in records.live_entries() if _name(entry.record) == _name(new)]
        places = [place for entry in replaced for place in _places(entry.record)]
        entry = _entry(new, id_given=id_given)
        self._check_free(new, records)
        records.entries = [*_without(records.entries, replaced, at), entry]
        with self._moving([_places(new)[0], *places]):
            self._move(temporary, new)
            self._write(records)
        return entry.record

    def _check_free(self, new: FileRecord, records: _Records) -> None:
        """Ids that callers chose can make two files meet. Bytes that no record names are nobody's, and give way."""
        place = _places(new)[0]
        path = self._place(place)
        if os.path.isdir(path) or (os.path.lexists(path) and names.fold(place) in map(names.fold, records.places())):
            raise _taken(new, path)

    def _move(self, temporary: str, new: FileRecord) -> None:
        place = _places(new)[0]
        path = self._place(place)
        try:
            for end in (i for i, letter in enumerate(place) if letter == "/"):
                _make_folder(os.path.join(self._folder, place[:end]))
        except (FileExistsError, NotADirectoryError) as e:
            raise _taken(new, path) from e
        os.rename(temporary, path)
        sync_folder(os.path.dirname(path))

    # ------------------------------------------------------------ moving

    @contextmanager
    def _moving(self, places: list[str]) -> Iterator[None]:
        """Whatever becomes of the body: of `places`, only those that a live record then names keep their bytes."""
        if places:
            for place in places:
                self._place(place)
            # A zero byte ends each, so that half a list is told from a whole one: no fsync here.
            journal = b"".join(os.fsencode(place) + b"\0" for place in places)
            write_atomically(os.path.join(self._folder, _MOVING), journal, sync=False)
        try:
            yield
        finally:
            self._settle()

    def _settle(self) -> None:
        """End what a call that was killed, or this one, has begun to move. The caller holds the lock."""
        try:
            with self._open(_MOVING) as f:
                places = [os.fsdecode(place) for place in f.read().split(b"\0")[:-1] if place]
        except FileNotFoundError:
            return
        needed = self._read().places()
        for place in places:
            if place not in needed:
                self._remove(place)
        os.unlink(os.path.join(self._folder, _MOVING))

    def _remove(self, place: str) -> None:
        """Remove a file and the folders that are empty without it."""
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._place(place))
        while place := os.path.dirname(place):
            try:
                os.rmdir(os.path.join(self._folder, place))
            except FileNotFoundError:
                continue
            except OSError:
                return

    # ------------------------------------------------------------ reading and writing

    def _place(self, place: str) -> str:
        """The path of a place below files/. Raises `InvalidInput` where a link leads out of the run."""
        path = os.path.join(self._folder, place)
        inside(self._run, path, "file")
        return path

    def _open(self, place: str) -> BinaryIO:
        path = self._place(place)
        try:
            return open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW))
        except OSError as e:
            if e.errno != errno.ELOOP:
                raise
            raise InvalidInput(f"file {path!r} is a symbolic link. Put the file itself in the link's place.") from e

    def _open_bytes(self, record: FileRecord) -> BinaryIO | None:
        for place in _places(record):
            with suppress(FileNotFoundError, NotADirectoryError):
                return self._open(place)
        return None

    def _read(self) -> _Records:
        """The records as they are now. Raises `CorruptData`."""
        try:
            with self._open(_RECORDS) as f:
                data = f.read()
        except FileNotFoundError:
            return _Records([], {})
        return _decode(data, os.path.join(self._folder, _RECORDS), self._owner)

    def _write(self, records: _Records) -> None:
        files = [msgspec.Raw(entry.body) for entry in records.entries]
        document = msgspec.json.encode({**records.rest, "files": files})
        write_atomically(os.path.join(self._folder, _RECORDS), msgspec.json.format(document, indent=2) + b"\n")


# ---------------------------------------------------------------- records


class _Entry(NamedTuple):
    """A record, and the JSON it came from with whatever else is in it.

    `id_given`: the caller chose the id and may put again, so the record stays, marked deleted, when it is replaced.
    """

    record: FileRecord
    body: bytes
    id_given: bool


class _Records(msgspec.Struct):
    """The content of `.files_metadata.json`; `rest` is what is in it beside "files"."""

    entries: list[_Entry]
    rest: dict[str, msgspec.Raw]

    def live_entries(self) -> list[_Entry]:
        return [entry for entry in self.entries if entry.record.deleted_at is None]

    def live(self, file: str) -> _Entry:
        if entry := _find(self.live_entries(), file):
            return entry
        raise FileMissing(f"the run has no file with the id {file!r}. List its files to see their ids.")

    def places(self) -> set[str]:
        """Every place where the bytes of a live record may lie."""
        return {place for entry in self.live_entries() for place in _places(entry.record)}


class _Stored(msgspec.Struct, rename="camel"):
    """A record as any writer may have left it."""

    id: str
    filename: str
    path: str | None = None
    experiment_id: str | None = None
    session_id: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    content_type: str | None = None
    size_bytes: int = 0
    checksum: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    uploaded_at: str = ""
    updated_at: str = ""
    deleted_at: str | None = None
    id_given: bool = False


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_bodies = msgspec.json.Decoder(list[msgspec.Raw]).decode
_stored = msgspec.json.Decoder(_Stored).decode


def _decode(data: bytes, path: str, owner: str) -> _Records:
    try:
        rest = _document(data)
        return _Records([_parsed(bytes(body), owner) for body in _bodies(rest.pop("files"))], rest)
    except (ValueError, RecursionError) as e:
        raise CorruptData(path, getattr(e, "pos", 0), f"the records of the run's files cannot be read ({e})") from e


def _document(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        document = _fields(data)
    except msgspec.DecodeError:
        document = _fields(codec.dumps(codec.loads(data)))  # a published client's bare NaN
    return {"files": msgspec.Raw(b"null"), **document}


def _parsed(body: bytes, owner: str) -> _Entry:
    stored = _stored(body)
    metadata = bytes(stored.metadata)
    if stored.uploaded_at:
        parse_iso(stored.uploaded_at)
    record = FileRecord(
        id=stored.id,
        experiment_id=stored.experiment_id or stored.session_id or owner,
        path="/" if stored.path is None else stored.path,
        filename=stored.filename,
        description=stored.description,
        tags=stored.tags or [],
        content_type=stored.content_type or content_type_of(stored.filename),
        size_bytes=stored.size_bytes,
        checksum=stored.checksum,
        metadata=None if metadata == b"null" else codec.loads(metadata),
        uploaded_at=stored.uploaded_at,
        updated_at=stored.updated_at,
        deleted_at=stored.deleted_at,
    )
    return _Entry(record, body, stored.id_given)


def _entry(record: FileRecord, *, id_given: bool = False) -> _Entry:
    """The entry of a new record. Raises `InvalidInput` where a value cannot be stored."""
    fields = _camel(record) | ({"idGiven": True} if id_given else {})
    return _parsed(codec.dumps(fields), record.experiment_id)


def _changed(old: _Entry, record: FileRecord) -> _Entry:
    """The entry with what a patch may change taken from `record`, and all else as its writer left it."""
    fields = _camel(record)
    changes = codec.dumps({key: fields[key] for key in _PATCHED})
    return _parsed(msgspec.json.encode(_fields(old.body) | _fields(changes)), record.experiment_id)


def _camel(record: FileRecord) -> dict[str, Any]:
    return {field.encode_name: getattr(record, field.name) for field in msgspec.structs.fields(FileRecord)}


def _find(entries: list[_Entry], file: str) -> _Entry | None:
    return next((entry for entry in entries if entry.record.id == file), None)


def _same(stored: FileRecord, checksum: str) -> FileRecord:
    """The stored record, for a put that is retried; also of a file that has been deleted or replaced since."""
    if stored.checksum != checksum:
        raise Conflict(
            f"file {stored.id!r}: other content is stored under this id (sha256 {stored.checksum}, not {checksum}). "
            "Put it under another id."
        )
    return stored


def _without(entries: list[_Entry], replaced: list[_Entry], at: str) -> list[_Entry]:
    """`entries` after the `replaced` have left at `at`: those that a late retry may ask for stay, marked deleted."""
    kept = (entry for entry in entries if entry not in replaced or entry.id_given)
    return [_gone(entry, at) if entry in replaced else entry for entry in kept]


def _gone(entry: _Entry, at: str) -> _Entry:
    return _changed(entry, msgspec.structs.replace(entry.record, updated_at=at, deleted_at=at))


def _name(record: FileRecord) -> tuple[str, ...]:
    """By what a file replaces another: its prefix, slashes at the ends aside, and its filename."""
    return (*names.prefix_path(record.path), record.filename)


def _taken(new: FileRecord, path: str) -> InvalidInput:
    return InvalidInput(
        f"file {new.filename!r} with prefix {new.path!r} and id {new.id!r} would lie at {path!r}, where another file "
        "of the run lies already. Choose another prefix, filename or id."
    )


def _places(record: FileRecord) -> list[str]:
    """Where below files/ the bytes may lie: where we put them, then where the published clients did."""
    filename, prefix = record.filename, record.path.strip("/")
    ours = [*names.prefix_path(record.path), names.encode_segment(record.id), *names.series_path(filename)]
    theirs = [prefix, record.id, filename], [record.id, filename]
    places = ["/".join(ours), *("/".join(filter(None, parts)) for parts in theirs)]
    return [place for place in dict.fromkeys(places) if ".." not in place.split("/") and "\0" not in place]


# ---------------------------------------------------------------- bytes


def _copy(source: BinaryIO, fd: int, path: str) -> tuple[int, str]:
    """Write all that `source` yields to `fd`, durably, as (size, sha256). Holes stay holes; errors name `path`."""
    size, checksum = 0, sha256()
    while block := source.read(BLOCK):
        checksum.update(block)
        size += len(block)
        with not_stored(path):
            if _ZEROS.startswith(block):
                os.lseek(fd, len(block), os.SEEK_CUR)
            else:
                write_all(fd, block)
    with not_stored(path):
        os.ftruncate(fd, size)
        os.fsync(fd)
    return size, checksum.hexdigest()


def _checksum(source: BinaryIO) -> str:
    checksum = sha256()
    while block := source.read(BLOCK):
        checksum.update(block)
    return checksum.hexdigest()


def _make_folder(path: str) -> None:
    """Make the folder at `path` in one that is there, durably. Raises `FileExistsError` where something else is."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        sync_folder(os.path.dirname(path))


_BINARY = (".pt", ".pth", ".ckpt", ".safetensors", ".pkl", ".joblib", ".onnx", ".npz", ".npy")
"""What machines' own tables of types know nothing of, or something else."""


def content_type_of(filename: str) -> str:
    import mimetypes

    if filename.lower().endswith(_BINARY):
        return "application/octet-stream"
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _host() -> str:
    return names.encode_segment(os.uname().nodename)


def _abandoned(path: str) -> bool:
    """Whether the writer of a temporary file is dead: on this machine by its lock, in any case after a day."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # The kernel's own time, not an injected clock's: it is compared with the kernel's.
        if time.time() - os.fstat(fd).st_mtime > ABANDONED_AFTER:
            return True
        return path.endswith(f"@{_host()}") and _take(fd)
    finally:
        os.close(fd)


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
