"""Files of a run, as a user saves, lists, downloads, changes and deletes them. Names, answers and formats only: where the bytes
lie and what a record keeps is the store's business.

Nothing here holds a whole file in memory. What is made here (JSON, pickles, pictures, models) goes through a temporary file
without a name, so that a process that dies leaves none behind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData, InvalidInput, InvalidType
from ml_dash.model import FilePatch, FilePut, FileRecord
from ml_dash.names import check_filename, check_prefix
from ml_dash.values import MAX_NESTING, plain, where

if TYPE_CHECKING:
    from ml_dash.recorder import Recorder

BLOCK = 1 << 20
"""Bytes that a download holds in memory."""

PathLike = str | os.PathLike[str]
# `list` is a method here.
_Records = list[dict[str, Any]]
_Texts = list[str]
_KNOWN = ("file_path", "prefix", "description", "tags", "bindrs", "metadata", "file_id", "dest_path")


class PathNotFound(InvalidInput, FileNotFoundError):
    """There is nothing at a path that the caller gave. A `ValueError`, as in the published clients, and a `FileNotFoundError`."""


class PathUnusable(InvalidInput, OSError):
    """A path that the caller gave cannot be read or written; the text says why. A `ValueError` and an `OSError`."""


class ChecksumMismatch(CorruptData, ValueError):
    """The stored bytes are not those that were saved. A `ValueError`, as in the published clients, and a `CorruptData`."""

    def __init__(self, message: str) -> None:
        OSError.__init__(self, message)
        self.path = ""
        self.offset = 0


class Files:
    """Files of one run: ``experiment.file("model.pt", prefix="/models").save()``, ``experiment.files().list()``.

    file_path    the file to save; may come first, without its name
    prefix       the logical folder, "/" by default; `list` keeps what lies in it and below
    description, tags, metadata
                 kept with what is saved; `update` replaces those that are given; `list` keeps files with any of the tags
    bindrs       a list of strings, kept in the metadata under "bindrs" (the published client took and dropped them)
    file_id      which file to download, delete or update
    dest_path    where to download to: a path, or a folder that is there

    Another keyword raises `InvalidType` (a `TypeError`). `save` and all that change something raise `RunClosed` or `ReadOnly`
    (both `RuntimeError`) on a run that is not open for writing, and `OSError` where the bytes could not be stored.
    """

    def __init__(self, recorder: Recorder, file_path: PathLike | None = None, /, **about: Any) -> None:
        if unknown := [name for name in about if name not in _KNOWN]:
            raise InvalidType(f"file() has no argument {unknown[0]!r}; it takes {', '.join(_KNOWN)}.")
        if file_path is not None and about.get("file_path") is not None:
            raise InvalidType("file() got file_path twice: first without its name, then with it. Give it once.")
        self._recorder = recorder
        self._file_path = _path("file_path", file_path if file_path is not None else about.get("file_path"))
        self._prefix = "/" if about.get("prefix") is None else check_prefix("prefix", about["prefix"])
        self._description = _text("description", about.get("description"))
        self._tags = _texts("tags", about.get("tags"))
        self._bindrs = _texts("bindrs", about.get("bindrs"))
        self._metadata = _mapping("metadata", about.get("metadata"))
        self._file_id = _text("file_id", about.get("file_id"))
        self._dest_path = _path("dest_path", about.get("dest_path"))

    def __repr__(self) -> str:
        what = self._file_id or self._file_path or ""
        return f"<files {what!r} of {self._recorder.key.project}/{self._recorder.key.name}, prefix {self._prefix!r}>"

    # ------------------------------------------------------------ save

    def save(self) -> dict[str, Any]:
        """Store the file at `file_path` under its own name; a file of that name with the same prefix is replaced.

        Returns ``{"id", "experimentId", "path", "filename", "description", "tags", "contentType", "sizeBytes", "checksum" (sha256),
        "metadata", "uploadedAt", "updatedAt", "deletedAt"}``. Raises `InvalidInput` without a `file_path` and for one that is a
        folder or cannot be stored under its name, `PathNotFound` and `PathUnusable` (also `InvalidInput`) for one that cannot be read.
        """
        self._require_writable()
        path = self._needed("file_path", self._file_path, 'file("model.pt").save()')
        name = check_filename("file_path", os.path.basename(path))
        with _opened(path) as source:
            return self._put(source, name)

    def save_json(self, content: Any, file_name: str) -> dict[str, Any]:
        """Store `content` as strict JSON, indented. Returns what `save` does.

        Values are those that a row may hold (NumPy scalars and arrays, dates, dataclasses, …) in lists and mappings of any length.
        NaN and ±Infinity become the strings "NaN", "Infinity", "-Infinity"; keys that are numbers, booleans or None become text, as
        `json.dump` makes them. Raises `InvalidType` (a `TypeError`) naming what cannot be stored, and where.
        """
        name = self._new_name(file_name)

        def write(target: BinaryIO) -> None:
            target.write(_json(content, name))

        return self._made(write, name)

    def save_pkl(self, content: Any, file_name: str) -> dict[str, Any]:
        """Store `content` pickled. Returns what `save` does. Raises `InvalidType` (a `TypeError`) for what cannot be pickled."""
        import pickle

        name = self._new_name(file_name)
        return self._made(lambda target: _pickled(name, lambda: pickle.dump(content, target)), name)

    def save_torch(self, model: Any, file_name: str) -> dict[str, Any]:
        """Store a PyTorch module, state dict or tensor by `torch.save`. Returns what `save` does.

        Raises `ImportError` without PyTorch, `InvalidType` (a `TypeError`) for what cannot be pickled.
        """
        name = self._new_name(file_name)
        try:
            import torch
        except ImportError as e:
            raise ImportError("save_torch() needs PyTorch: pip install torch") from e
        return self._made(lambda target: _pickled(name, lambda: torch.save(model, target)), name)

    def save_fig(self, figure: Any, file_name: str, **savefig_kwargs: Any) -> dict[str, Any]:
        """Store a matplotlib figure; the suffix of `file_name` tells the format, `savefig_kwargs` are `Figure.savefig`'s.

        Returns what `save` does. Raises `InvalidType` for what is no figure, `InvalidInput` for a format that matplotlib does not
        write, `ImportError` without matplotlib.
        """
        from ml_dash import pictures

        name = self._new_name(file_name)
        return self._made(lambda target: pictures.write_figure(figure, target, name, savefig_kwargs), name)

    def save_image(self, image: Any, file_name: str) -> dict[str, Any]:
        """Store a picture; the suffix of `file_name` tells the format (.png keeps every value).

        `image` is a PIL image, or an array of height × width, or height × width × 1, 3 or 4 channels: uint8, or floats from 0 to 1.
        Returns what `save` does. Raises `InvalidInput` for other shapes, types and values, `ImportError` without Pillow.
        """
        from ml_dash import pictures

        name = self._new_name(file_name)
        picture, form = pictures.picture(image), pictures.format_of(name)
        return self._made(lambda target: pictures.write(picture, target, form, name), name)

    def _made(self, write: Callable[[BinaryIO], Any], name: str) -> dict[str, Any]:
        """Store what `write` writes into a temporary file."""
        import tempfile

        with tempfile.TemporaryFile() as made:
            write(made)
            made.seek(0)
            return self._put(made, name)

    def _put(self, source: Any, name: str) -> dict[str, Any]:
        put = FilePut(name, self._prefix, self._description, self._tags, metadata=self._with_bindrs(self._metadata))
        return as_dict(self._recorder.put_file(source, put))

    def _new_name(self, file_name: str) -> str:
        """What is wrong with the run or the name is said before anything is made."""
        self._require_writable()
        return check_filename("file_name", file_name)

    def _with_bindrs(self, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return {**(metadata or {}), "bindrs": self._bindrs} if self._bindrs else metadata

    def _require_writable(self) -> None:
        if not self._recorder.writable:
            raise self._recorder.not_open()

    # ------------------------------------------------------------ list, download, delete, update

    def list(self) -> _Records:
        """The files of the run, oldest first, as `save` returns them: those with `prefix` or below it, with any of `tags`."""
        return [as_dict(record) for record in matching(self._recorder.find_files(), self._prefix, self._tags or ())]

    def download(self) -> str:
        """Copy the file with the id `file_id` to `dest_path`, or under its own name into the current folder; the path of the copy.

        A `dest_path` that is a folder gets the file inside it; a file that is there is replaced. The bytes are checked against their
        checksum before the copy gets its name. Raises `FileMissing` for an unknown id, `PathNotFound` where the folder is not there,
        `ChecksumMismatch` (a `ValueError`) for damaged bytes; then nothing is left behind.
        """
        file_id = self._needed("file_id", self._file_id, "file(file_id=...).download()")
        record, stream = self._recorder.get_file(file_id)
        with stream:
            path = _destination(self._dest_path, record)
            _download(stream, record, path)
        return path

    def delete(self) -> dict[str, Any]:
        """Delete the file with the id `file_id`: ``{"id", "deletedAt"}``. Raises `FileMissing`, also for one that was deleted."""
        self._require_writable()
        file_id = self._needed("file_id", self._file_id, "file(file_id=...).delete()")
        record = self._recorder.update_file(file_id, FilePatch(deleted=True))
        return {"id": record.id, "deletedAt": record.deleted_at}

    def update(self) -> dict[str, Any]:
        """Replace description, tags or metadata, those that are given, of the file with the id `file_id`. Returns what `save` does.

        Raises `FileMissing`.
        """
        self._require_writable()
        file_id = self._needed("file_id", self._file_id, "file(file_id=..., tags=[...]).update()")
        metadata = self._metadata
        if metadata is None and self._bindrs:
            metadata = next((record.metadata for record in self._recorder.find_files() if record.id == file_id), None)
        patch = FilePatch(self._description, self._tags, self._with_bindrs(metadata))
        return as_dict(self._recorder.update_file(file_id, patch))

    def _needed(self, what: str, value: str | None, example: str) -> str:
        if value:
            return value
        raise InvalidInput(f"{what} is missing. Write for example: {example}")


class SessionFiles:
    """``session.files()``: the same files, a method an errand. Each raises what the method of `Files` raises that it is named for."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def upload(
        self,
        file: PathLike,
        *,
        path: str = "/",
        description: str | None = None,
        tags: _Texts | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Store the file at `file` in the logical folder `path`. Returns and raises as `Files.save`."""
        return Files(self._recorder, file, prefix=path, description=description, tags=tags, metadata=metadata).save()

    def list(self, *, path: str | None = None, tags: _Texts | None = None) -> _Records:
        """The files in `path` and below (None: all), with any of `tags`. Returns what `Files.list` does."""
        return Files(self._recorder, prefix=path, tags=tags).list()

    def download(self, file_id: str, dest_path: PathLike | None = None) -> str:
        """Copy a file to `dest_path`. Returns and raises as `Files.download`."""
        return Files(self._recorder, file_id=file_id, dest_path=dest_path).download()

    def delete(self, file_id: str) -> dict[str, Any]:
        """Delete a file: ``{"id", "deletedAt"}``. Raises as `Files.delete`."""
        return Files(self._recorder, file_id=file_id).delete()

    def update(
        self,
        file_id: str,
        *,
        description: str | None = None,
        tags: _Texts | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Replace what is given. Returns and raises as `Files.update`."""
        about = {"description": description, "tags": tags, "metadata": metadata}
        return Files(self._recorder, file_id=file_id, **about).update()


def matching(records: Iterable[FileRecord], prefix: str, tags: Iterable[str]) -> list[FileRecord]:
    """Those of `records` with `prefix` or below it, with any of `tags` if there are any."""
    inner = prefix.strip("/")
    wanted = set(tags)
    return [
        record
        for record in records
        if _is_below(record.path.strip("/"), inner) and (not wanted or wanted.intersection(record.tags))
    ]


def as_dict(record: FileRecord) -> dict[str, Any]:
    """A record under the names that a user sees."""
    return {field.encode_name: getattr(record, field.name) for field in msgspec.structs.fields(FileRecord)}


# ---------------------------------------------------------------- what the caller gives


def _path(what: str, value: Any) -> str | None:
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str):
        raise InvalidType(
            f"{what}: expected a path as str or pathlib.Path; got {value!r} of type {type(value).__name__}."
        )
    if "\0" in path:
        raise InvalidInput(f"{what} {path!r} holds a NUL character, which no path can. Remove it.")
    return path


def _text(what: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidType(f"{what}: expected a string; got {value!r} of type {type(value).__name__}.")


def _texts(what: str, values: Any) -> list[str] | None:
    if values is None:
        return None
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidType(f'{what}: expected a list of strings, such as ["baseline"]; got {values!r}.')
    texts = list(values)
    if not all(isinstance(text, str) for text in texts):
        raise InvalidType(f'{what}: expected a list of strings, such as ["baseline"]; got {texts!r}.')
    return texts


def _mapping(what: str, value: Any) -> dict[str, Any] | None:
    """A copy of `value` as it will be read back."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidType(
            f'{what}: expected a mapping, such as {{"epoch": 3}}; got {value!r} of type {type(value).__name__}.'
        )
    try:
        return codec.loads(codec.dumps(value))
    except InvalidInput as e:
        raise type(e)(f"{what}: {e}") from None


def _is_below(prefix: str, wanted: str) -> bool:
    return not wanted or prefix == wanted or prefix.startswith(f"{wanted}/")


def _opened(path: str) -> BinaryIO:
    """The file at `path`, to read. A pipe is not opened: that would wait for its writer."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise InvalidInput(
                f"file_path {path!r} is a folder. Save its files one by one, or pack it into an archive first."
            )
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"file_path {path!r} is not a regular file. Copy what it yields into one and save that.")
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as e:
        home = " A leading '~' is not expanded: use os.path.expanduser." if path.startswith("~") else ""
        raise PathNotFound(f"File not found: file_path {path!r} does not exist in {os.getcwd()!r}.{home}") from e
    except OSError as e:
        raise PathUnusable(f"file_path {path!r} cannot be read: {e.strerror}. Check its permissions.") from e


# ---------------------------------------------------------------- downloads


def _destination(dest_path: str | None, record: FileRecord) -> str:
    """Where a download goes. A record's own name may come from a folder that somebody else wrote: its last segment is used."""
    name = os.path.basename(record.filename)
    path = name if dest_path is None else os.path.join(dest_path, name) if os.path.isdir(dest_path) else dest_path
    if path != dest_path:
        check_filename("filename", name)
    folder = os.path.dirname(path) or "."
    if not path or not os.path.isdir(folder):
        raise PathNotFound(
            f"dest_path {dest_path!r}: there is no folder {folder!r}. Make it first: os.makedirs({folder!r})."
        )
    if os.path.lexists(path) and not os.path.isfile(path):
        raise InvalidInput(f"dest_path: {path!r} is there and is not a regular file. Give another dest_path.")
    return path


def _download(stream: BinaryIO, record: FileRecord, path: str) -> None:
    """Copy by a temporary file beside `path`, which gets its name when its bytes have been checked."""
    temporary = os.path.join(os.path.dirname(path), f".ml-dash-{os.urandom(8).hex()}.part")
    try:
        with open(temporary, "xb") as target:
            _copy_checked(stream, target, record)
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, path)
    except BaseException:
        # An interrupt included.
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _copy_checked(stream: BinaryIO, target: BinaryIO, record: FileRecord) -> None:
    checksum = sha256()
    while block := stream.read(BLOCK):
        checksum.update(block)
        target.write(block)
    found = checksum.hexdigest()
    # Where another program left no checksum there is nothing to check.
    if record.checksum and found != record.checksum.lower():
        raise ChecksumMismatch(
            f"Checksum verification failed: file {record.id!r} ({record.filename}) is stored with the sha256 {found}, but was saved "
            f"with {record.checksum}. Its bytes were damaged since; nothing was downloaded. Save the file again, or delete it."
        )


# ---------------------------------------------------------------- what is made here


def _pickled(name: str, dump: Callable[[], Any]) -> None:
    import pickle

    try:
        dump()
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as e:
        raise InvalidType(
            f"{name!r} cannot be pickled: {e}. Save what it is made of, such as a state dict or plain values."
        ) from e


def _json(content: Any, name: str) -> bytes:
    """`content` as strict JSON. Unlike in a row, lists and mappings may be of any length here."""
    try:
        value = _json_value(content, ("content",), 1)
    except InvalidInput as e:
        raise type(e)(f"{name!r}: {e}") from None
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _json_value(value: Any, path: tuple[str, ...], depth: int) -> Any:
    if getattr(value, "shape", ()) and hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (Mapping, list, tuple)):
        return plain(value, path, depth)
    if depth > MAX_NESTING:
        raise InvalidInput(
            f"{where(path[:4])}: nested deeper than {MAX_NESTING} levels. Flatten it; is it inside itself?"
        )
    if isinstance(value, Mapping):
        return _json_object(value, path, depth)
    return [_json_value(item, (*path, f"[{i}]"), depth + 1) for i, item in enumerate(value)]


def _json_object(value: Mapping[Any, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = _json_key(key, path)
        if name in out:
            raise InvalidInput(f"{where(path)}: two keys are both {name!r} in JSON. Rename one.")
        out[name] = _json_value(item, (*path, f".{name}"), depth + 1)
    return out


def _json_key(key: Any, path: tuple[str, ...]) -> str:
    """Text as it is; numbers, booleans and None as `json.dump` spells them."""
    value = plain(key, path)
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(value, (list, dict)):
        raise InvalidType(
            f"{where(path)}: keys must be strings or numbers; got {key!r} of type {type(key).__name__}. Use str(key)."
        )
    return value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
