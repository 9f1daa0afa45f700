"""The routes that the published clients ml-dash 0.5.x and dreamlake 0.2.x call, so that their users change the URL and nothing
else. What they say and hear is `published_shapes`'; rights, limits and the store are the same as for our own client.

A series' name stands unescaped in the path, slashes and all, and may itself end like a route: routes match from the right.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from io import BufferedReader
from typing import Annotated, Any, BinaryIO, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from ml_dash.errors import InvalidInput
from ml_dash.files import matching
from ml_dash.model import LOGS, Batch, FilePatch, FileRecord, RunKey, RunPatch, SeriesKey, SeriesMeta
from ml_dash.server import published_shapes as shapes
from ml_dash.server.api import BYTES
from ml_dash.server.caller import Scope
from ml_dash.server.endpoints import Body, Call, Endpoint, NoQuery
from ml_dash.server.files import BLOCK, Upload, download
from ml_dash.server.multipart import MAX_TEXT, Form
from ml_dash.server.published_runs import PublishedRuns
from ml_dash.server.published_shapes import DREAMLAKE, ML_DASH, Words
from ml_dash.server.refusals import JSON, too_large
from ml_dash.server.service import Service

FORM = "multipart/form-data"
MOST_POINTS = 10_000
"""Points of one answer to a read."""
_REMEMBERED = 10_000
"""Series of which it is known what was last said of them."""

T = TypeVar("T")
Handle = Callable[[Call], Awaitable[Response]]


class OfData(msgspec.Struct, rename="camel"):
    """A negative start counts from the end; more than 10,000 points are not given at once."""

    start_index: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] = 0
    limit: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] = 1000


class OfFiles(msgspec.Struct):
    """Those in the folder `prefix` and below, with any of `tags` ("a,b")."""

    prefix: str = ""
    tags: str = ""


class FileForm(msgspec.Struct, rename="camel"):
    """The file is the last part: what stands behind it is too late for its record."""

    file: bytes
    prefix: str = "/"
    checksum: str = ""
    size_bytes: str = ""
    description: str = ""
    tags: str = ""
    metadata: str = ""


def endpoints(service: Service) -> list[Endpoint]:
    """The routes of both packages."""
    runs = PublishedRuns(service)
    said = _Said()
    return [*_Routes(ML_DASH, runs, said).table(), *_Routes(DREAMLAKE, runs, said).table()]


class _Routes:
    """The routes under one package's names."""

    def __init__(self, words: Words, runs: PublishedRuns, said: _Said) -> None:
        self._words = words
        self._runs = runs
        self._said = said

    def table(self) -> list[Endpoint]:
        """The busiest first."""
        words, kind = self._words, self._words.kind
        run = f"/{kind}s/{{run}}"
        series = f"{run}/{words.series}"
        one, file = f"{series}/{{name:path}}", f"{run}/files/{{file}}"
        write, read = self._writes, self._reads
        return [
            write("POST", f"{one}/append", self.append, "Append a point", Body(shapes.Append)),
            write("POST", f"{one}/append-batch", self.append_batch, "Append points", Body(shapes.AppendBatch)),
            write("POST", f"{run}/logs", self.logs, "Append to the log", Body(shapes.Logs)),
            read(f"{one}/data", self.data, "Points of a series", OfData),
            read(f"{one}/stats", self.stats, "What is known of a series"),
            read(series, self.list_series, "Every series of a run"),
            write("POST", f"{run}/parameters", self.set_params, "Merge parameters", Body(shapes.Params)),
            read(f"{run}/parameters", self.get_params, "The parameters of a run"),
            write("POST", f"{run}/files", self.put_file, "Store a file", Body(FileForm, FORM)),
            read(f"{run}/files", self.find_files, "The files of a run", OfFiles),
            read(f"{file}/download", self.file_bytes, "A file's bytes", answer=BYTES),
            read(file, self.get_file, "A file's record"),
            write("PATCH", file, self.update_file, "Change a file's record", Body(shapes.FileChange)),
            write("DELETE", file, self.delete_file, "Delete a file"),
            write("PATCH", f"{run}/status", self.status, "Say how a run ended", Body(shapes.StatusChange)),
            write(
                "POST",
                f"/{words.group}s/{{group:path}}/{kind}s",
                self.start,
                "Create a run, or resume it",
                Body(shapes.Start),
            ),
        ]

    def _writes(self, method: str, path: str, handle: Handle, summary: str, body: Body | None = None) -> Endpoint:
        return self._endpoint(method, path, "write", handle, summary, dict, NoQuery, body)

    def _reads(
        self, path: str, handle: Handle, summary: str, query: type[msgspec.Struct] = NoQuery, answer: Any = dict
    ) -> Endpoint:
        return self._endpoint("GET", path, "read", handle, summary, answer, query, None)

    def _endpoint(
        self,
        method: str,
        path: str,
        scope: Scope,
        handle: Handle,
        summary: str,
        answer: Any,
        query: type[msgspec.Struct],
        body: Body | None,
    ) -> Endpoint:
        async def named(call: Call) -> Response:
            return await handle(call)

        named.__name__ = f"{self._words.kind}_{handle.__name__}"
        return Endpoint(method, path, scope, named, summary, answer, query, body)

    # ------------------------------------------------------------ runs

    async def start(self, call: Call) -> Response:
        body = await _record(call, shapes.Start)

        def started() -> bytes:
            asked = body()
            key = RunKey("", call.path("group"), asked.name)
            patch = asked.patch(self._words)
            run = self._runs.start(call.caller, key, patch, once=bool(asked.write_protected), host=_host(call))
            return shapes.run_answer(self._words, run)

        return await call.answer(started)

    async def status(self, call: Call) -> Response:
        body = await _record(call, shapes.StatusChange)

        def changed() -> bytes:
            ended = body().status
            run = self._runs.end(call.caller, self._words.kind, call.path("run"), ended, host=_host(call))
            return shapes.run_answer(self._words, run)

        return await call.answer(changed)

    async def set_params(self, call: Call) -> Response:
        body = await _record(call, shapes.Params)

        def merged() -> bytes:
            flat = body().flat()
            self._heard(call, writes=True)
            run = call.service.update_run(call.caller, call.path("run"), RunPatch(params=flat))
            return shapes.params_answer(self._words, run)

        return await call.answer(merged)

    async def get_params(self, call: Call) -> Response:
        def found() -> bytes:
            self._heard(call, writes=False)
            run = self._runs.find(call.caller, self._words.kind, call.path("run"))
            return shapes.params_answer(self._words, run)

        return await call.answer(found)

    def _heard(self, call: Call, *, writes: bool) -> None:
        self._runs.heard(call.caller, self._words.kind, call.path("run"), writes=writes)

    # ------------------------------------------------------------ rows

    async def append(self, call: Call) -> Response:
        return await self._appended(call, shapes.Append, shapes.appended_answer)

    async def append_batch(self, call: Call) -> Response:
        return await self._appended(call, shapes.AppendBatch, shapes.batch_answer)

    async def _appended(
        self, call: Call, kind: type[shapes.Append | shapes.AppendBatch], told: Callable[..., bytes]
    ) -> Response:
        limits = call.service.limits
        body = await call.body("the body", limits.body, limits.decoded, JSON)
        series = self._series(call)

        def load() -> list[Batch]:
            asked = shapes.parsed(body(), kind)
            try:
                rows, meta = asked.rows(), asked.meta(series)
            except InvalidInput as e:
                raise type(e)(f"{self._words.one} {series.name!r}, {e}") from None
            self._heard(call, writes=True)
            if meta is not None:
                self._said.keep(call, series, meta)
            return [Batch(series, rows)]

        done = await call.service.appended(call.caller, load)
        return Response(told(self._words, series.name, done[0]), media_type=JSON)

    async def logs(self, call: Call) -> Response:
        limits = call.service.limits
        body = await call.body("the body", limits.body, limits.decoded, JSON)
        run = call.path("run")

        def load() -> list[Batch]:
            rows = shapes.parsed(body(), shapes.Logs).rows()
            self._heard(call, writes=True)
            return [Batch(SeriesKey(run, LOGS, ""), rows)]

        done = await call.service.appended(call.caller, load)
        return Response(shapes.logs_answer(self._words, run, done[0]), media_type=JSON)

    async def data(self, call: Call) -> Response:
        query = call.query(OfData)
        series = self._series(call)
        limit = max(0, min(query.limit, MOST_POINTS))

        def page() -> bytes:
            self._heard(call, writes=False)
            start = query.start_index
            if start < 0:
                start = max(0, call.service.read(call.caller, series, 0, 0).total + start)
            return shapes.page_answer(call.service.read(call.caller, series, start, limit))

        return await call.answer(page)

    async def stats(self, call: Call) -> Response:
        def told() -> bytes:
            self._heard(call, writes=False)
            infos = call.service.describe(call.caller, call.path("run"))
            return shapes.stats_answer(self._words, call.path("name"), infos)

        return await call.answer(told)

    async def list_series(self, call: Call) -> Response:
        def listed() -> bytes:
            self._heard(call, writes=False)
            return shapes.list_answer(self._words, call.service.describe(call.caller, call.path("run")))

        return await call.answer(listed)

    def _series(self, call: Call) -> SeriesKey:
        return SeriesKey(call.path("run"), self._words.series, call.path("name"))

    # ------------------------------------------------------------ files

    async def put_file(self, call: Call) -> Response:
        limits = call.service.limits
        most = None if limits.file is None else limits.file + 2 * MAX_TEXT
        upload = Upload(call.request, most, limits.stall)

        def pull() -> bytes:
            self._heard(call, writes=True)  # an upload may take longer than a heartbeat
            return upload.read(BLOCK)

        def put() -> FileRecord:
            form = Form(call.request.headers.get("content-type", ""), pull)
            asked = shapes.put_of(form)
            source = _Checked(form, limits.file)
            return call.service.put_file(call.caller, call.path("run"), source, asked)

        try:
            record = await call.service.uploads.run(put)
        finally:
            upload.stop()
        return Response(self._file_answer(record), media_type=JSON)

    async def find_files(self, call: Call) -> Response:
        query = call.query(OfFiles)
        tags = [tag for tag in (tag.strip() for tag in query.tags.split(",")) if tag]

        def found() -> bytes:
            self._heard(call, writes=False)
            records = call.service.find_files(call.caller, call.path("run"))
            kept = matching(records, query.prefix, tags)
            return shapes.encode({"files": [shapes.file_dict(self._words, record) for record in kept]})

        return await call.answer(found)

    async def get_file(self, call: Call) -> Response:
        def found() -> bytes:
            record, stream = self._opened(call)
            stream.close()
            return self._file_answer(record)

        return await call.answer(found)

    async def file_bytes(self, call: Call) -> Response:
        record, stream = await call.service.calls.run(lambda: self._opened(call))
        return download(call.request, record, stream, call.service.calls, call.service.limits.stall)

    def _opened(self, call: Call) -> tuple[FileRecord, BinaryIO]:
        self._heard(call, writes=False)
        return call.service.get_file(call.caller, call.path("run"), call.path("file"))

    async def update_file(self, call: Call) -> Response:
        body = await _record(call, shapes.FileChange)
        return await call.answer(lambda: self._file_answer(self._changed(call, body().patch())))

    async def delete_file(self, call: Call) -> Response:
        def deleted() -> bytes:
            record = self._changed(call, FilePatch(deleted=True))
            return shapes.encode({"id": record.id, "deletedAt": record.deleted_at})

        return await call.answer(deleted)

    def _changed(self, call: Call, patch: FilePatch) -> FileRecord:
        self._heard(call, writes=True)
        return call.service.update_file(call.caller, call.path("run"), call.path("file"), patch)

    def _file_answer(self, record: FileRecord) -> bytes:
        return shapes.encode(shapes.file_dict(self._words, record))


class _Checked(BufferedReader):
    """A form's file for a store that reads it to its end. The end is reached where the whole form came and its bytes are those that
    it announced; otherwise `InvalidInput` is raised there, and the store keeps nothing."""

    def __init__(self, form: Form, limit: int | None) -> None:
        super().__init__(form, BLOCK)
        self._form = form
        self._limit = limit
        self._sum = sha256()
        self._size = 0

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self._sum.update(block)
        self._size += len(block)
        if self._limit is not None and self._size > self._limit:
            raise too_large("the file", self._limit)
        if not block:
            self._check()
        return block

    def _check(self) -> None:
        self._form.finish()
        if late := self._form.late.keys() - {"checksum", "sizeBytes"}:
            raise InvalidInput(f"the form has {min(late)!r} behind its file; put the file last.")
        said = self._form.fields | self._form.late
        size = said.get("sizeBytes", "").strip()
        if size and size != str(self._size):
            raise InvalidInput(f"sizeBytes: {size[:40]} bytes were announced, {self._size} came. Nothing was stored.")
        checksum = said.get("checksum", "").strip().lower()
        if checksum and checksum != self._sum.hexdigest():
            text = f"checksum: the file's sha256 is {self._sum.hexdigest()}; {checksum[:80]!r} was announced."
            raise InvalidInput(f"{text} Nothing was stored; send it again.")


class _Said:
    """What was last said of each series. The published clients say it again with every append; it is stored once."""

    def __init__(self) -> None:
        self._known: OrderedDict[SeriesKey, SeriesMeta] = OrderedDict()
        self._mutex = threading.Lock()

    def keep(self, call: Call, series: SeriesKey, meta: SeriesMeta) -> None:
        """Store it where it differs from what was said last."""
        if self._known.get(series) == meta:
            return
        call.service.update_run(call.caller, series.run, RunPatch(series=(meta,)))
        with self._mutex:
            self._known[series] = meta
            self._known.move_to_end(series)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


async def _record(call: Call, kind: type[T]) -> Callable[[], T]:
    """The body as one of these; what is returned is called off the event loop."""
    limit = call.service.limits.record
    body = await call.body("the body", limit, limit, JSON)
    return lambda: shapes.parsed(body(), kind)


def _host(call: Call) -> str:
    """The machine that asks, as far as the connection tells."""
    client = call.request.client
    return client.host if client is not None else ""
