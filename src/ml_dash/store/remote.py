"""RemoteStore: a Store that is somewhere else, spoken to by docs/formats/protocol.md. One request a call, more where that says so.

It keeps no queue and no state, and does not wait and try again: a run's rows wait in its spool, and `uploader` knows how
long. What a request says and what an answer means is `wire`'s, connections and their failures are `http_client`'s.

Where it may differ from a store on this machine:
- what `append` returns is durable at once, and `flush` has nothing to wait for that was appended here;
- an `append` whose body takes more than `MOST` bytes goes in several requests, in order: each checks all of its batches before
  it stores the first, the call as a whole does not, and batches sent before an error are stored. A batch is never divided;
- `Unavailable` does not tell whether the call had its effect. It may be made again where docs/formats/protocol.md says so.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote

import msgspec

from ml_dash import codec
from ml_dash.errors import Conflict, FileMissing, InvalidInput, InvalidRow, NotFound, Unavailable
from ml_dash.model import (
    Appended,
    Batch,
    ColumnsPage,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesInfo,
    SeriesKey,
)
from ml_dash.store import wire
from ml_dash.store.checks import check_batch, check_columns, check_key, check_put, check_series
from ml_dash.store.http_client import ANSWER_SECONDS, CONNECT_SECONDS, HttpClient, quietly

if TYPE_CHECKING:
    import httpx

    from ml_dash.rollup import Sample

MOST = 16 * 1024 * 1024
"""Bytes of batches in one request, before they are compressed; one larger batch goes alone."""
_BLOCK = 256 * 1024
"""Bytes in memory of a file that streams."""
_RECORD = 300
"""Bytes that an answer has for each record in it, about."""
_LARGE = 8 * 1024 * 1024
"""Bytes of a file from which on it is worth a question where to go on."""
_MOST_QUERY = 2_000
"""Bytes of a FilePut or of names in an address; proxies take 8 KB of it, and one byte of text may be three there."""

T = TypeVar("T")


class RemoteStore:
    """The store behind the server at `url`, which may have a path before the protocol's own.

    `api_key` is a token of that server's. `connect_timeout` and `timeout` (seconds without a byte, either way) are for each
    request. `transport` stands in for the network, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        timeout: float = ANSWER_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = HttpClient(url, api_key, connect_timeout, timeout, transport)
        self.url = self._http.url

    def __repr__(self) -> str:
        return f"RemoteStore({self.url!r})"

    # ------------------------------------------------------------ runs

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        """See `Store.put_run`."""
        check_key(key)
        body = wire.dump({"key": key, "patch": _from_here(patch)})
        return self._told(Run, self._http.call("PUT", "/runs", content=body, again=True))

    def update_run(self, run: str, patch: RunPatch) -> Run:
        """See `Store.update_run`."""
        body = wire.dump(_from_here(patch))
        return self._told(Run, self._http.call("PATCH", _run_path(run), content=body, again=True))

    def get_run(self, run: RunKey | str) -> Run:
        """See `Store.get_run`."""
        if isinstance(run, str):
            return self._told(Run, self._http.call("GET", _run_path(run), again=True))
        check_key(run)
        return self._told(Run, self._http.call("GET", "/run", run._asdict(), again=True))

    def find_runs(self, query: RunQuery) -> list[Run]:
        """See `Store.find_runs`."""
        asked = {"namespace": query.namespace, "project": query.project, "series": "true" if query.series else None}
        body = self._http.call("GET", "/runs", asked, again=True)
        with codec.gc_paused(len(body or b"") // _RECORD):
            return self._told(_Runs, body).runs

    def delete_run(self, run: str) -> None:
        """See `Store.delete_run`. After `Unavailable`, a second call that raises `NotFound` has done it."""
        self._done(self._http.call("DELETE", _run_path(run), again=False))

    # ------------------------------------------------------------ series

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `Store.append`, and the module's text for calls of more than `MOST` bytes."""
        for batch in batches:
            check_batch(batch)
            _run_path(batch.series.run)
        answers: list[Appended] = []
        for part, body in _requests(batches):
            try:
                told = self._http.call("POST", "/append", content=body, content_type=wire.BATCHES, again=_named(part))
            except InvalidRow as e:
                e.batch += len(answers)
                raise
            appended = self._told(_AllAppended, told).appended
            if len(appended) != len(part):
                raise self._unfit(f"{len(part)} batches were sent, the answer is for {len(appended)}")
            answers += appended
        return answers

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        """See `Store.read`. The server gives a long range in several pages; this joins them: the length is the first one's."""
        if start < 0:
            raise InvalidInput(f"start: expected 0 or more; got {start}.")
        check_series(series)
        limit = None if limit is None else max(limit, 0)
        pages = [self._page(series, start, limit)]
        total = pages[0].total
        stop = total if limit is None else min(start + limit, total)
        at = start + pages[0].count
        while at < stop and (most is None or sum(len(page.lines) for page in pages) < most):
            page = self._page(series, at, stop - at)
            if not page.count:
                raise self._unfit(
                    f"the page at {at} of {series.kind} {series.name!r} is empty, {total} points were told"
                )
            pages.append(page)
            at += page.count
        page = pages[0] if len(pages) == 1 else _joined(pages)
        return page if most is None else codec.cut(page, most)

    def _page(self, series: SeriesKey, start: int, limit: int | None) -> Page:
        asked = {"kind": series.kind, "name": series.name, "start": start, "limit": limit}
        origin = f"{self.url}, {series.kind} {series.name!r}"
        body = self._http.call("GET", f"{_run_path(series.run)}/rows", asked, again=True)
        page = wire.decode_page(series.kind, body or b"", origin)
        if page.start != start or page.count > (page.total if limit is None else limit) or page.total < 0:
            raise self._unfit(
                f"{page.count} points from {page.start} on, of {page.total}, are not the page from {start} on"
            )
        return page

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        """See `Store.columns`. From rows where the server has no columns, or the names are too long for an address."""
        from ml_dash.columns import from_rows
        from ml_dash.store.wire_columns import decode_columns

        check_columns(series, fields, start)
        if not _fit(fields):
            return from_rows(self.read, series, fields, start, stop)
        asked = {"kind": series.kind, "name": series.name, "fields": list(fields), "start": start, "stop": stop}
        try:
            body = self._http.call("GET", f"{_run_path(series.run)}/columns", asked, again=True)
        except NotFound:  # an older server; or there is no run, which reading says again
            return from_rows(self.read, series, fields, start, stop)
        try:
            page = decode_columns(body or b"")
        except InvalidInput as e:
            raise self._unfit(str(e)) from e
        end = page.total if stop is None else min(stop, page.total)
        least = 1 if start < end else 0
        if page.start != start or set(page.columns) != {*fields} or not least <= page.count <= max(end - start, 0):
            raise self._unfit(f"{page.count} points from {page.start} on are not the columns from {start} on")
        return page

    def describe(self, run: str) -> list[SeriesInfo]:
        """See `Store.describe`."""
        return self._told(_AllSeries, self._http.call("GET", f"{_run_path(run)}/series", again=True)).series

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        """See `Store.sample`."""
        from ml_dash.store.wire_sample import decode_sample

        check_series(series)
        which = {"kind": series.kind, "name": series.name, "field": field, "x": x}
        asked = {**which, "start": start, "stop": stop, "max_points": max_points}
        body = self._http.call("GET", f"{_run_path(series.run)}/sample", asked, again=True)
        try:
            return decode_sample(body or b"")
        except InvalidInput as e:
            raise self._unfit(str(e)) from e

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`: what others appended at the server, too."""
        if run is not None:
            _run_path(run)
        self._done(self._http.call("POST", "/flush", {"run": run}, again=True))

    # ------------------------------------------------------------ files

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        """See `Store.put_file`. What is said of the file and is too long for an address follows in a request of its own.

        A large file with an id, from a source that can seek, goes on where it broke: within this call for as long as each
        try brings it further, and in the next call with the same id and content."""
        check_put(put)
        later = None
        if len(wire.dump(put)) > _MOST_QUERY:
            later = FilePatch(put.description, put.tags, put.metadata)
            put = msgspec.structs.replace(put, description=None, tags=None, metadata=None)
        content = _Pieces(source)
        if put.id is not None and content.size() > _LARGE:
            record = self._send_on(run, content, put)
        else:
            record = self._send(run, content, put)
        if later is None or record.deleted_at is not None:
            return record
        return self.update_file(run, record.id, later)

    def _send(self, run: str, content: _Pieces, put: FilePut, offset: int | None = None) -> FileRecord:
        again = put.id is not None and content.start is not None and offset is None
        query = {"put": wire.dump(put), "offset": offset}
        kind = "application/octet-stream"
        return self._told(
            FileRecord, self._http.call("POST", f"{_run_path(run)}/files", query, content, kind, again=again)
        )

    def _send_on(self, run: str, content: _Pieces, put: FilePut) -> FileRecord:
        """Send what the server has not yet, again and again while that becomes less."""
        if put.checksum is None:
            put = msgspec.structs.replace(put, checksum=content.checksum())
        reached, tries = -1, 0
        while True:
            try:
                told = self._http.call("POST", f"{_run_path(run)}/upload", {"put": wire.dump(put)}, again=True)
            except NotFound:  # a server that cannot go on; or there is no run, which it then says again
                content.offset = 0
                return self._send(run, content, put)
            kept = self._told(_Kept, told)
            if kept.file is not None:
                return kept.file
            tries = 0 if kept.offset > reached else tries + 1
            reached = content.offset = kept.offset
            try:
                return self._send(run, content, put, kept.offset)
            except Unavailable as e:
                if e.retry_after or tries:
                    raise
            except Conflict as e:  # more came of an earlier try in the meantime
                if e.expected is None or tries:
                    raise
            except InvalidInput:  # what was kept was bad, and the server has dropped it
                if not kept.offset or tries:
                    raise

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        """See `Store.get_file`. The stream raises `Unavailable` where it ends before the file does."""
        path = self._file_path(run, file)
        record = self._told(FileRecord, self._http.call("GET", path, again=True))
        response = self._http.open("GET", f"{path}/bytes", again=True)
        where = f"{self.url}, file {file!r} ({record.filename})"
        self._http.check(response, where)
        return record, io.BufferedReader(_Download(response, record.size_bytes, where), _BLOCK)

    def find_files(self, run: str) -> list[FileRecord]:
        """See `Store.find_files`."""
        return self._told(_AllFiles, self._http.call("GET", f"{_run_path(run)}/files", again=True)).files

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        """See `Store.update_file`. A deletion that is made again after `Unavailable`, and raises `FileMissing`, has been done."""
        path = self._file_path(run, file)
        told = self._http.call("PATCH", path, content=wire.dump(patch), again=not patch.deleted)
        return self._told(FileRecord, told)

    def _file_path(self, run: str, file: str) -> str:
        if not _is_segment(file):
            self.get_run(run)  # whose absence comes first
            raise FileMissing(f"the run {run} has no file {file!r}.")
        return f"{_run_path(run)}/files/{quote(file, safe='')}"

    def close(self) -> None:
        """Let the connections go; the next call makes new ones."""
        self._http.close()

    # ------------------------------------------------------------ answers

    def _told(self, kind: type[T], body: bytes | None) -> T:
        try:
            return wire.load(body or b"", kind)
        except InvalidInput as e:
            raise self._unfit(str(e)) from e

    def _done(self, body: bytes | None) -> None:
        """Of a call that is answered by 204: anything else may be a proxy's page."""
        if body is not None:
            raise self._unfit(f"{body[:60].decode(errors='replace')!r} is no answer to this")

    def _unfit(self, why: str) -> Unavailable:
        return Unavailable(f"{self.url}: {why}. Is this an ml-dash server, of a version that fits?")


class _Runs(msgspec.Struct):
    runs: list[Run]


class _AllSeries(msgspec.Struct):
    series: list[SeriesInfo]


class _AllFiles(msgspec.Struct):
    files: list[FileRecord]


class _Kept(msgspec.Struct):
    offset: int
    file: FileRecord | None = None


class _AllAppended(msgspec.Struct):
    appended: list[Appended]


# ---------------------------------------------------------------- requests


def _from_here(patch: RunPatch) -> RunPatch:
    """`patch` with this host and process where it means them by saying nothing: at the server that would be the server's."""
    if patch.host is not None or (patch.join, patch.leave, patch.heartbeat) == (None, None, None):
        return patch
    return msgspec.structs.replace(patch, host=socket.gethostname(), pid=os.getpid())


def _is_segment(name: str) -> bool:
    """Whether `name` can be one segment of an address: servers and proxies take dots and slashes for directions."""
    return bool(name) and name not in (".", "..") and name.isprintable() and not {"/", "\\"} & {*name}


def _run_path(run: str) -> str:
    if not _is_segment(run):
        raise NotFound(f"there is no run {run!r}.")
    return f"/runs/{quote(run, safe='')}"


def _fit(fields: Sequence[str]) -> bool:
    """Whether the names can stand in an address."""
    try:
        return len("fields=".join(fields).encode()) <= _MOST_QUERY
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _named(batches: Iterable[Batch]) -> bool:
    """Whether all may be sent again."""
    return all(batch.writer is not None and batch.seq is not None for batch in batches)


def _requests(batches: Sequence[Batch]) -> Iterator[tuple[Sequence[Batch], bytes]]:
    """The batches of one request after the other, with its body."""
    part: list[Batch] = []
    bodies: list[bytes] = []
    size = 0
    for batch in batches:
        body = wire.encode_batches([batch])
        if part and size + len(body) > MOST:
            yield part, b"".join(bodies)
            part, bodies, size = [], [], 0
        part.append(batch)
        bodies.append(body)
        size += len(body)
    if part:
        yield part, b"".join(bodies)


def _joined(pages: Sequence[Page]) -> Page:
    """Pages that follow one another as one. Each begins with the tick in force at its first point, which the one before it has."""
    first = pages[0]
    ticks = list(first.ticks)
    for page in pages[1:]:
        ticks += [tick for tick in page.ticks if not ticks or tick[0] > ticks[-1][0]]
    lines = b"".join(page.lines for page in pages)
    count = sum(page.count for page in pages)
    return Page(first.kind, first.start, count, first.total, lines, tuple(ticks), first.origin)


# ---------------------------------------------------------------- files


class _Pieces:
    """The bytes of `source` from where it stands to its end, a block at a time; again from there if it can go back.
    `start` is None where it cannot. `offset` are the first bytes that are left out."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.start: int | None = None
        self.offset = 0
        seekable = getattr(source, "seekable", None)
        if seekable is not None and seekable():
            self.start = source.tell()

    def __iter__(self) -> Iterator[bytes]:
        if self.start is not None:
            self._source.seek(self.start + self.offset)
        while piece := self._source.read(_BLOCK):
            yield piece

    def size(self) -> int:
        """How many bytes there are; 0 where that is not known before they are read."""
        if self.start is None:
            return 0
        size = self._source.seek(0, io.SEEK_END) - self.start
        self._source.seek(self.start)
        return size

    def checksum(self) -> str:
        """The sha256 of all of them."""
        self.offset, total = 0, sha256()
        for piece in self:
            total.update(piece)
        return total.hexdigest()


class _Download(io.RawIOBase):
    """The body of an answer, which must be `size` bytes long. Closing it early ends its connection."""

    def __init__(self, response: httpx.Response, size: int, where: str) -> None:
        self._response = response
        self._pieces = response.iter_bytes(_BLOCK)
        self._piece = memoryview(b"")
        self._left = size
        self._where = where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = memoryview(self._next())
        taken = min(len(buffer), len(self._piece))
        buffer[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        return taken

    def _next(self) -> bytes:
        import httpx

        why = ""
        try:
            with quietly():
                piece = next(self._pieces, b"")
        except (httpx.RequestError, httpx.StreamError) as e:
            piece, why = b"", f" ({e})"
        self._left -= len(piece)
        if self._left < 0 or (self._left and not piece):
            raise Unavailable(f"{self._where}: the bytes came in part{why}. Try again.")
        return piece

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()
