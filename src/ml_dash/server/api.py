"""The routes of docs/formats/protocol.md: the Store's calls, one endpoint each. What a call means is the store's to say, who may
make it is `service`'s.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ml_dash.errors import InvalidInput
from ml_dash.model import (
    MOST_FIELDS,
    FilePatch,
    FilePut,
    FileRecord,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesInfo,
    SeriesKey,
)
from ml_dash.server.endpoints import Body, Call, Endpoint
from ml_dash.server.files import Place, Reached, download
from ml_dash.server.files import Upload as Incoming
from ml_dash.server.renderings import listed
from ml_dash.store import wire, wire_columns, wire_sample

PREFIX = "/api/v1"
BYTES = "application/octet-stream"

Index = Annotated[int, Meta(ge=0, le=1 << 62)]
Limit = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62, description="0 or less is no points")]


# ---------------------------------------------------------------- queries and bodies


class PutRun(Struct):
    """The key as [namespace, project, name], and what to say of the run."""

    key: RunKey
    patch: RunPatch = RunPatch()


class OfKey(Struct):
    """The run with this key."""

    project: str
    name: str
    namespace: str = ""


class OfRuns(Struct):
    """Without a namespace: those of all that the token covers; "" is the token's own."""

    namespace: str | msgspec.UnsetType = msgspec.UNSET
    project: str | msgspec.UnsetType = msgspec.UNSET
    series: bool = False


class OfRows(Struct):
    """Points [start, start + limit) of a series; all that there are without a limit."""

    kind: Literal["metrics", "tracks", "logs", "events"]
    name: str = ""
    start: Index = 0
    limit: Limit | msgspec.UnsetType = msgspec.UNSET


class OfColumns(Struct):
    """The fields of points [start, stop) of a series, to its end without a stop."""

    kind: Literal["metrics", "tracks", "logs", "events"]
    name: str = ""
    fields: Annotated[list[str], Meta(max_length=MOST_FIELDS)] = []
    start: Index = 0
    stop: Index | msgspec.UnsetType = msgspec.UNSET


class OfSample(Struct):
    """Buckets of `field` over [start, stop)."""

    kind: Literal["metrics", "tracks", "logs", "events"]
    name: str
    field: str
    x: str | msgspec.UnsetType = msgspec.UNSET
    start: Index = 0
    stop: Index | msgspec.UnsetType = msgspec.UNSET
    max_points: Annotated[int, Meta(ge=1, le=1 << 31)] = 1000


class OfFlush(Struct):
    """Of one run at least, where it is given."""

    run: str = ""


class OfPut(Struct):
    """What to store the body as."""

    put: Annotated[str, Meta(description="FilePut as JSON")]
    offset: (
        Annotated[Index, Meta(description="The body is the file from this byte on: see /upload")] | msgspec.UnsetType
    ) = msgspec.UNSET


class OfUpload(Struct):
    """What is to be stored: its id and checksum tell which upload is meant."""

    put: Annotated[str, Meta(description="FilePut as JSON")]


# ---------------------------------------------------------------- answers, for the document


class Runs(Struct):
    """The runs that were found."""

    runs: list[Run]


class AppendedRows(Struct):
    """What became of a batch; `first` is null where every row was there already."""

    first: int | None
    count: int
    total: int


class AppendedBatches(Struct):
    """One element a batch, in order."""

    appended: list[AppendedRows]


class SeriesList(Struct):
    """Sorted by kind and name."""

    series: list[SeriesInfo]


class Files(Struct):
    """The files that were found."""

    files: list[FileRecord]


class Upload(Struct):
    """How many bytes of a file are kept, and need not be sent again; the file's record where all are."""

    offset: int
    file: FileRecord | None


class SampleColumns(Struct):
    """One element a bucket in each. A number that is not finite is the string "NaN", "Infinity" or "-Infinity"."""

    start: list[int]
    stop: list[int]
    x_min: list[Any]
    x_max: list[Any]
    count: list[int]
    nan: list[int]
    posinf: list[int]
    neginf: list[int]
    min: list[Any]
    max: list[Any]
    argmin: list[int]
    argmax: list[int]
    first: list[Any]
    last: list[Any]
    mean: list[Any]


# ---------------------------------------------------------------- rows


_encode = msgspec.json.Encoder().encode


async def append(call: Call) -> Response:
    limits = call.service.limits
    body = await call.body("the body", limits.body, limits.decoded, wire.BATCHES)
    done = await call.service.appended(call.caller, lambda: wire.decode_batches(body()))
    return Response(_encode({"appended": done}), 200, media_type="application/json")


async def read(call: Call) -> Response:
    query = call.query(OfRows)
    series = SeriesKey(call.path("run"), query.kind, query.name)
    limit = _given(query.limit)
    return await call.answer(
        lambda: wire.encode_page(call.service.read(call.caller, series, query.start, limit)), wire.PAGE
    )


async def columns(call: Call) -> Response:
    query = call.query(OfColumns)
    asked = (SeriesKey(call.path("run"), query.kind, query.name), query.fields, query.start, _given(query.stop))
    return await call.answer(
        lambda: wire_columns.encode_columns(call.service.columns(call.caller, *asked)), wire_columns.COLUMNS
    )


async def sample(call: Call) -> Response:
    query = call.query(OfSample)
    series = SeriesKey(call.path("run"), query.kind, query.name)
    asked = (series, query.field, _given(query.x), query.start, _given(query.stop), query.max_points)
    return await call.answer(lambda: wire_sample.encode_sample(call.service.sample(call.caller, *asked)))


async def describe(call: Call) -> Response:
    return await call.answer(lambda: listed("series", call.service.describe(call.caller, call.path("run"))))


async def flush(call: Call) -> Response:
    await call.service.flush(call.caller)
    return Response(status_code=204)


# ---------------------------------------------------------------- runs


async def put_run(call: Call) -> Response:
    record = await call.record(PutRun)

    def put() -> Run:
        asked = record()
        return call.service.put_run(call.caller, asked.key, asked.patch)

    return await call.answer(lambda: wire.dump(put()))


async def update_run(call: Call) -> Response:
    patch = await call.record(RunPatch)
    return await call.answer(lambda: wire.dump(call.service.update_run(call.caller, call.path("run"), patch())))


async def get_run(call: Call) -> Response:
    return await call.answer(lambda: wire.dump(call.service.get_run(call.caller, call.path("run"))))


async def get_run_by_key(call: Call) -> Response:
    query = call.query(OfKey)
    key = RunKey(query.namespace, query.project, query.name)
    return await call.answer(lambda: wire.dump(call.service.get_run(call.caller, key)))


async def find_runs(call: Call) -> Response:
    query = call.query(OfRuns)
    asked = RunQuery(_given(query.namespace), _given(query.project), query.series)
    return await call.answer(lambda: listed("runs", call.service.find_runs(call.caller, asked)))


async def delete_run(call: Call) -> Response:
    await call.service.calls.run(partial(call.service.delete_run, call.caller, call.path("run")))
    return Response(status_code=204)


# ---------------------------------------------------------------- files


async def put_file(call: Call) -> Response:
    query = call.query(OfPut)
    put = _put_of(query.put)
    offset = _given(query.offset)
    if offset is not None and (put.id is None or put.checksum is None):
        raise InvalidInput("offset: it needs a put with an id and a checksum, which tell the upload that goes on.")
    source = Incoming(call.request, call.service.limits.file, call.service.limits.stall, offset)
    upload = source if offset is None else (call.path("run"), put.id)
    await call.service.receiving.settled(upload)
    try:
        with call.service.receiving.one(upload):
            record = await call.service.uploads.run(
                lambda: call.service.put_file(call.caller, call.path("run"), source.as_stream(), put)
            )
    finally:
        source.stop()
    return await call.answer(lambda: wire.dump(record))


async def begin_upload(call: Call) -> Response:
    put = _put_of(call.query(OfUpload).put)

    def look() -> bytes:
        """A put that is given up before its first byte: where the store would go on is what it asks for first."""
        try:
            record = call.service.put_file(call.caller, call.path("run"), Place().as_stream(), put)
        except Reached as e:
            return wire.dump(Upload(e.offset, None))
        return wire.dump(Upload(record.size_bytes, record))

    await call.service.receiving.settled((call.path("run"), put.id))
    answer = await call.service.uploads.run(look)
    return await call.answer(lambda: answer)


def _put_of(text: str) -> FilePut:
    return wire.load(text.encode(errors="replace"), FilePut)


async def get_file(call: Call) -> Response:
    def get() -> bytes:
        record, stream = call.service.get_file(call.caller, call.path("run"), call.path("file"))
        stream.close()
        return wire.dump(record)

    return await call.answer(get)


async def get_file_bytes(call: Call) -> Response:
    record, stream = await call.service.calls.run(
        lambda: call.service.get_file(call.caller, call.path("run"), call.path("file"))
    )
    return download(call.request, record, stream, call.service.calls, call.service.limits.stall)


async def find_files(call: Call) -> Response:
    return await call.answer(lambda: listed("files", call.service.find_files(call.caller, call.path("run"))))


async def update_file(call: Call) -> Response:
    patch = await call.record(FilePatch)
    return await call.answer(
        lambda: wire.dump(call.service.update_file(call.caller, call.path("run"), call.path("file"), patch()))
    )


def _given(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


# ---------------------------------------------------------------- the table

_RUN = PREFIX + "/runs/{run}"
_FILE = _RUN + "/files/{file}"
_BATCHES = "For each batch one line with its head, then its lines. See docs/formats/protocol.md."

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        PREFIX + "/append",
        "write",
        append,
        "Append batches; durable when it is answered",
        AppendedBatches,
        body=Body(bytes, wire.BATCHES, _BATCHES),
    ),
    Endpoint("PUT", PREFIX + "/runs", "write", put_run, "Create a run, or resume it", Run, body=Body(PutRun)),
    Endpoint("GET", PREFIX + "/runs", "read", find_runs, "The runs that match, newest first", Runs, OfRuns),
    Endpoint("GET", PREFIX + "/run", "read", get_run_by_key, "The run with this key", Run, OfKey),
    Endpoint("GET", _RUN, "read", get_run, "The run with this id", Run),
    Endpoint("PATCH", _RUN, "write", update_run, "Change a run", Run, body=Body(RunPatch)),
    Endpoint("DELETE", _RUN, "write", delete_run, "Delete a run with all that it holds", None),
    Endpoint("GET", _RUN + "/rows", "read", read, "Points of a series, a page of them", wire.PAGE, OfRows),
    Endpoint(
        "GET",
        _RUN + "/columns",
        "read",
        columns,
        "Fields of a series as typed arrays, a page of them",
        wire_columns.COLUMNS,
        OfColumns,
    ),
    Endpoint("GET", _RUN + "/series", "read", describe, "Every series of a run but logs and events", SeriesList),
    Endpoint("GET", _RUN + "/sample", "read", sample, "Exact buckets of a field", SampleColumns, OfSample),
    Endpoint("POST", PREFIX + "/flush", "write", flush, "Make durable all that was accepted", None, OfFlush),
    Endpoint(
        "POST", _RUN + "/files", "write", put_file, "Store a file", FileRecord, OfPut, Body(bytes, BYTES, "The bytes.")
    ),
    Endpoint(
        "POST",
        _RUN + "/upload",
        "write",
        begin_upload,
        "How far an upload has come, which now goes on",
        Upload,
        OfUpload,
    ),
    Endpoint("GET", _RUN + "/files", "read", find_files, "Every file of a run, oldest first", Files),
    Endpoint("GET", _FILE, "read", get_file, "A file's record", FileRecord),
    Endpoint("GET", _FILE + "/bytes", "read", get_file_bytes, "A file's bytes; Range is honoured", BYTES),
    Endpoint(
        "PATCH", _FILE, "write", update_file, "Change or delete a file's record", FileRecord, body=Body(FilePatch)
    ),
)
"""The busiest first: routes are tried in this order."""
