"""What the published clients ml-dash 0.5.x and dreamlake 0.2.x say and want to hear: bodies checked, answers under their names. Pure.

Their bodies are JSON as Python writes it: a bare NaN or Infinity is a number, and a string is always a string. Answers are
strict JSON, where numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from ml_dash import codec
from ml_dash.errors import InvalidInput, SeriesNotFound
from ml_dash.files import as_dict
from ml_dash.logs import log_entry
from ml_dash.model import (
    CHUNK_SIZE,
    METRICS,
    TRACKS,
    Appended,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKind,
    RunPatch,
    SeriesInfo,
    SeriesKey,
    SeriesMeta,
    Status,
)
from ml_dash.params import flatten
from ml_dash.server.multipart import Form
from ml_dash.times import iso, parse_iso

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


class Words(NamedTuple):
    """What a package calls things, in paths and keys."""

    kind: RunKind
    group: str
    series: str
    one: str

    @property
    def run_id(self) -> str:
        return f"{self.kind}Id"

    def series_id(self, name: str) -> dict[str, Any]:
        """As the packages name a series, its id under its key."""
        return {f"{self.one}Id": f"local-{self.one}-{name}"}


ML_DASH = Words("experiment", "project", METRICS, "metric")
DREAMLAKE = Words("session", "workspace", TRACKS, "track")


# ---------------------------------------------------------------- bodies


class Start(msgspec.Struct, rename="camel"):
    """A run's name, and what to say of it."""

    name: str
    description: str | None = None
    tags: list[str] | None = None
    bindrs: list[str] | None = None
    folder: str | None = None
    write_protected: bool | None = None
    metadata: dict[str, Any] | None = None

    def patch(self, words: Words) -> RunPatch:
        """What is said of the run. Raises `InvalidInput` for what cannot be stored."""
        said = _settled(
            {field: getattr(self, field) for field in ("description", "tags", "bindrs", "folder", "metadata")}
        )
        return RunPatch(kind=words.kind, **said)


class StatusChange(msgspec.Struct):
    """How the run ended, or that it runs."""

    status: Status


class LogEntry(msgspec.Struct):
    """`timestamp` is ISO 8601, now if there is none; `level` is info if there is none."""

    message: str
    level: str | None = None
    timestamp: str | None = None
    metadata: dict[str, Any] | None = None


class Logs(msgspec.Struct):
    """Entries, oldest first."""

    logs: Annotated[list[LogEntry], Meta(min_length=1)]

    def rows(self) -> list[bytes]:
        """The entries, encoded. Raises `InvalidInput` naming the first that cannot be stored."""
        return codec.encode_rows([_log_row(number, entry) for number, entry in enumerate(self.logs)])


class Params(msgspec.Struct):
    """Parameters, nested or flat with dots."""

    data: dict[str, Any]

    def flat(self) -> dict[str, Any]:
        """The parameters as they will be read back. Raises `InvalidInput` naming one that cannot be stored."""
        try:
            return codec.loads(codec.dumps(flatten(self.data)))
        except InvalidInput as e:
            raise type(e)(f"parameters: {e}") from None


class OfSeries(msgspec.Struct, rename="camel", kw_only=True):
    """What an append may say of its series beside the rows."""

    description: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None

    def meta(self, series: SeriesKey) -> SeriesMeta | None:
        """None where nothing is said."""
        said = _settled({field: getattr(self, field) for field in ("description", "tags", "metadata")})
        return SeriesMeta(series.kind, series.name, **said) if said else None


class Append(OfSeries):
    """One point's fields."""

    data: dict[str, Any]

    def rows(self) -> list[bytes]:
        """The row, encoded. Raises `InvalidInput`."""
        return [codec.encode_row(self.data)]


class AppendBatch(OfSeries):
    """Points, all of them or none."""

    data_points: Annotated[list[dict[str, Any]], Meta(min_length=1)]

    def rows(self) -> list[bytes]:
        """The rows, encoded. Raises `InvalidInput`."""
        return codec.encode_rows(self.data_points)


class FileChange(msgspec.Struct):
    """What is given replaces what is stored."""

    description: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None

    def patch(self) -> FilePatch:
        """An empty list of tags clears none: the published client sends it where its user said nothing of tags."""
        said = _settled({"description": self.description, "tags": self.tags or None, "metadata": self.metadata})
        return FilePatch(**said)


def parsed(body: bytes, kind: type[T]) -> T:
    """A body of these. Raises `InvalidInput` naming what is wrong."""
    try:
        return msgspec.convert(json.loads(body.decode()), kind)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise InvalidInput(f"the body is not what this route takes: {str(e).replace('`$.', '`')}") from e


def put_of(form: Form) -> FilePut:
    """What a form says of its file, before the file's bytes. Raises `InvalidInput` for what cannot be stored."""
    part, fields = form.open_file(), form.fields
    metadata = None
    if fields.get("metadata"):
        metadata = parsed(b'{"metadata": %b}' % fields["metadata"].encode(), FileChange).metadata
    tags = [tag for tag in (tag.strip() for tag in fields.get("tags", "").split(",")) if tag]
    said = _settled({"description": fields.get("description") or None, "tags": tags or None, "metadata": metadata})
    return FilePut(part.filename, fields.get("prefix") or "/", content_type=part.content_type, **said)


def _settled(said: dict[str, Any]) -> dict[str, Any]:
    """Those that are given, as they will be read back. Raises `InvalidInput` naming what cannot be stored."""
    given = {name: value for name, value in said.items() if value is not None}
    return codec.loads(codec.dumps(given)) if given else given


def _log_row(number: int, entry: LogEntry) -> dict[str, Any]:
    try:
        row = log_entry(entry.message, entry.level, entry.metadata)
        if entry.timestamp is not None:
            row["timestamp"] = _time(entry.timestamp)
    except InvalidInput as e:
        raise type(e)(f"logs[{number}], {e}") from None
    return row


def _time(text: str) -> str:
    """As it came where it is UTC with "Z": it may have microseconds."""
    try:
        moment = iso(parse_iso(text))
    except (ValueError, OverflowError):
        raise InvalidInput(f"timestamp: expected ISO 8601, such as 2026-01-31T09:30:00Z; got {text[:60]!r}.") from None
    return text if text.endswith("Z") else moment


# ---------------------------------------------------------------- answers


def run_answer(words: Words, run: Run) -> bytes:
    """Of a start, and of a status."""
    record = {
        "id": run.id,
        "name": run.key.name,
        "description": run.description,
        "tags": run.tags,
        "bindrs": run.bindrs,
        "metadata": _raw(run.metadata),
        "status": run.status,
        "writeProtected": run.write_protected,
        "createdAt": run.created_at,
        "updatedAt": run.updated_at,
    }
    names = {words.group: {"name": run.key.project}, "namespace": {"name": run.key.namespace}}
    return encode({words.kind: record, "folder": run.folder, **names})


def appended_answer(words: Words, name: str, done: Appended) -> bytes:
    told = {"index": done.first, "bufferedDataPoints": done.total, "chunkSize": CHUNK_SIZE}
    return encode(words.series_id(name) | told)


def batch_answer(words: Words, name: str, done: Appended) -> bytes:
    told = {"count": done.count, "bufferedDataPoints": done.total, "chunkSize": CHUNK_SIZE}
    return encode(words.series_id(name) | {"startIndex": done.first, "endIndex": _last(done)} | told)


def logs_answer(words: Words, run: str, done: Appended) -> bytes:
    told = {"created": done.count, "startSequence": done.first, "endSequence": _last(done)}
    return encode(told | {words.run_id: run})


def _last(done: Appended) -> int | None:
    return None if done.first is None else done.first + done.count - 1


def params_answer(words: Words, run: Run) -> bytes:
    """A run's parameters have its times: the store keeps none of their own."""
    about = {"version": run.params_version, "createdAt": run.created_at, "updatedAt": run.updated_at}
    return encode({"id": f"{run.id}-parameters", words.run_id: run.id, "data": _raw(run.params), **about})


def page_answer(page: Page) -> bytes:
    points = codec.decode_page(page)
    rows = codec.encode_rows([point["data"] for point in points])
    data = [
        {"index": point["index"], "data": msgspec.Raw(row), "createdAt": point["createdAt"]}
        for point, row in zip(points, rows, strict=True)
    ]
    end = page.start + len(data)
    about = {"startIndex": page.start, "endIndex": end - 1, "total": len(data), "hasMore": end < page.total}
    return encode({"data": data, **about})


def stats_answer(words: Words, name: str, infos: Sequence[SeriesInfo]) -> bytes:
    """Raises `SeriesNotFound` for a series without points."""
    info = next((i for i in infos if (i.kind, i.name) == (words.series, name)), None)
    if info is None or not info.count:
        raise SeriesNotFound(f"{words.one} {name!r} has no points; append one first.")
    told = {
        "name": info.name,
        "description": info.description,
        "tags": info.tags,
        "metadata": _raw(info.metadata),
        "totalDataPoints": info.count,
        "bufferedDataPoints": info.count - info.chunked,
        "chunkedDataPoints": info.chunked,
        "totalChunks": info.chunks,
        "chunkSize": CHUNK_SIZE,
        "firstDataAt": info.first_at,
        "lastDataAt": info.last_at,
        "createdAt": info.created_at,
        "updatedAt": info.updated_at,
    }
    return encode(words.series_id(name) | told)


def list_answer(words: Words, infos: Sequence[SeriesInfo]) -> bytes:
    listed = [
        words.series_id(info.name)
        | {
            "name": info.name,
            "description": info.description,
            "tags": info.tags,
            "totalDataPoints": info.count,
            "createdAt": info.created_at,
        }
        for info in infos
        if info.kind == words.series
    ]
    return encode({words.series: sorted(listed, key=lambda one: one["name"])})


def file_dict(words: Words, record: FileRecord) -> dict[str, Any]:
    told = as_dict(record) | {"metadata": _raw(record.metadata)}
    return {words.run_id if key == "experimentId" else key: value for key, value in told.items()}


def _raw(record: dict[str, Any] | None) -> Any:
    return None if record is None else msgspec.Raw(codec.dumps(record, indent=0).rstrip(b"\n"))
