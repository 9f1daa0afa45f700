"""What travels between `RemoteStore` and the server: bodies of appends, pages, records and errors, as docs/formats/protocol.md
specifies them. Pure: no socket and no HTTP library may come in here.

Rows travel as the lines of docs/formats/series.md. A line's index in a request is the writer's seq, in an answer the series'
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any, TypeVar

import msgspec

from ml_dash import codec
from ml_dash.errors import (
    Conflict,
    CorruptData,
    FileMissing,
    InvalidInput,
    InvalidRow,
    InvalidType,
    LockTimeout,
    NewerFormat,
    NotFound,
    PermissionDenied,
    ReadOnly,
    SeriesNotFound,
    Unavailable,
)
from ml_dash.line_check import check_lines
from ml_dash.model import Batch, Page, Run, SeriesKey

BATCHES = "application/x-ml-dash-batches"
"""Content type of an append's body: for each batch a line with its `BatchHead`, then its lines."""
PAGE = "application/x-ml-dash-page"
"""Content type of a read's answer: a line with the `PageHead`, then the points' lines."""

_ENVELOPE = 8
"""Levels of a body around the metadata or the row in it."""

_PLAIN = {str, int, bool, type(None)}
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


# ---------------------------------------------------------------- records


def dump(record: Any) -> bytes:
    """A struct, or a mapping, as JSON on one line without its None fields; numbers that are not finite as in a row."""
    if isinstance(record, Run) and _is_finite(record):
        given = {key: value for key in record.__struct_fields__ if (value := getattr(record, key)) is not None}
        with suppress(ValueError, OverflowError):  # a text or a number that takes the thorough way
            if not codec.has_special(data := _encode(given)):
                return msgspec.json.format(data, indent=0)
    plain = msgspec.to_builtins(record)
    given = {key: value for key, value in plain.items() if value is not None}
    return codec.dumps(given, indent=0, envelope=_ENVELOPE).rstrip(b"\n")


def _is_finite(run: Run) -> bool:
    """Whether the run's record holds no number that JSON has not, and nothing nested where one could be. Lists are long, and
    looking at each value takes most of their time."""
    told = [run.params, run.metadata or {}]
    for info in run.series or ():
        told += [info.last or {}, info.metadata or {}]
    return all(type(v) in _PLAIN or (type(v) is float and isfinite(v)) for values in told for v in values.values())


def load(data: bytes, kind: type[T]) -> T:
    """The inverse of `dump`. Raises `InvalidInput` naming what is wrong."""
    try:
        if not codec.has_special(data):
            with suppress(ValueError, RecursionError):  # else what is wrong is told below
                return msgspec.json.decode(data, type=kind)
        return msgspec.convert(codec.loads(data), kind)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        msg = f"the body is no {kind.__name__}: {e}"
        raise InvalidInput(msg) from e


# ---------------------------------------------------------------- appends


class BatchHead(msgspec.Struct, omit_defaults=True):
    """What precedes a batch's lines: `count` lines in `size` bytes. The first line's index is `seq`, or 0 without one."""

    run: str
    kind: str
    name: str
    count: int
    size: int
    writer: str | None = None
    seq: int | None = None
    times: tuple[tuple[int, int], ...] = ()


_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(BatchHead).decode
MAX_HEAD = 1024 * 1024
"""Bytes of one head; its times are the most of it."""


def encode_batches(batches: Iterable[Batch]) -> bytes:
    """The body of an append."""
    parts: list[bytes] = []
    for batch in batches:
        lines = codec.render(batch.series.kind, batch.seq or 0, batch.rows)
        head = BatchHead(*batch.series, len(batch.rows), len(lines), batch.writer, batch.seq, batch.times)
        parts += (_encode_head(head), b"\n", lines)
    return b"".join(parts)


def decode_batches(body: bytes) -> list[Batch]:
    """The batches of an append's body, every row checked: a strict JSON object within the limits of docs/formats/series.md,
    its lines carrying the indices from `seq` on. Raises `InvalidRow` for a row, `InvalidInput` for the rest."""
    batches: list[Batch] = []
    at = 0
    while at < len(body):
        end = body.find(b"\n", at, at + MAX_HEAD)
        if end < 0:
            raise InvalidInput(f"batch {len(batches)}: no head at byte {at} of the body; see docs/formats/protocol.md.")
        head = _head(body[at:end], len(batches))
        at = end + 1 + head.size
        lines = body[end + 1 : at]
        first = head.seq or 0
        if len(lines) != head.size:
            raise InvalidInput(f"batch {len(batches)}: {head.size} bytes of lines are announced, {len(lines)} came.")
        check_lines(head.kind, first, head.count, lines, len(batches))
        rows = codec.Lines(head.kind, first, head.count, lines)
        batches.append(Batch(SeriesKey(head.run, head.kind, head.name), rows, head.writer, head.seq, head.times))
    return batches


def _head(line: bytes, number: int) -> BatchHead:
    try:
        head = _decode_head(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidInput(f"batch {number}: its head is not as docs/formats/protocol.md has it: {e}") from e
    if head.count < 0 or head.size < 0 or (head.seq or 0) < 0:
        raise InvalidInput(f"batch {number}: count, size and seq are 0 or more; got {head}.")
    return head


# ---------------------------------------------------------------- pages


class PageHead(msgspec.Struct):
    """What precedes a page's lines. A page may end before what was asked for: whoever wants the rest asks for it."""

    start: int
    count: int
    total: int
    ticks: tuple[tuple[int, int], ...] = ()


_decode_page_head = msgspec.json.Decoder(PageHead).decode


def encode_page(page: Page) -> bytes:
    """A read's answer."""
    head = PageHead(page.start, page.count, page.total, page.ticks)
    return b"%b\n%b" % (_encode_head(head), page.lines)


def decode_page(kind: str, body: bytes, origin: str) -> Page:
    """The page of a read's answer; `origin` is where it came from, for errors. Raises `Unavailable` where it came in part."""
    head, newline, lines = body.partition(b"\n")
    try:
        told = _decode_page_head(head)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Unavailable(f"{origin}: the answer is no page ({e}); is this an ml-dash server?") from e
    if not newline or lines.count(b"\n") != told.count or (lines and not lines.endswith(b"\n")):
        raise Unavailable(f"{origin}: the answer came in part; it is asked for again.")
    return Page(kind, told.start, told.count, told.total, lines, told.ticks, (origin, len(head) + 1))


# ---------------------------------------------------------------- errors


class Problem(msgspec.Struct, omit_defaults=True):
    """An error's answer: which of `errors` it is, what to do, and that error's own fields."""

    error: str
    message: str
    expected: int | None = None
    batch: int | None = None
    row: int | None = None
    retry_after: float | None = None
    path: str | None = None
    offset: int | None = None
    at: list[int] | None = None
    """Of a filter that cannot be read: which part of it, [begin, end), counted in UTF-16 code units as JavaScript counts."""


STATUS: Sequence[tuple[type[Exception], int]] = (
    (InvalidType, 400),
    (InvalidRow, 400),
    (InvalidInput, 400),
    (SeriesNotFound, 404),
    (FileMissing, 404),
    (NotFound, 404),
    (Conflict, 409),
    (ReadOnly, 409),
    (PermissionDenied, 403),
    (LockTimeout, 503),
    (Unavailable, 503),
    (CorruptData, 500),
    (NewerFormat, 500),
)
"""The one table from errors to HTTP and back; the first row that fits counts. What else a store raises is a write that did
not happen: 507, which the client takes for `Unavailable`."""
NOT_STORED = 507
_BY_NAME = {error.__name__: error for error, _ in STATUS}


def problem(error: Exception) -> tuple[int, Problem]:
    """The status and body of the answer for `error`."""
    found = next(((kind, status) for kind, status in STATUS if isinstance(error, kind)), None)
    if found is None:
        return NOT_STORED, Problem("Unavailable", str(error))
    kind, status = found
    told = Problem(kind.__name__, str(error))
    for field in ("expected", "batch", "row", "retry_after", "path", "offset"):
        if isinstance(value := getattr(error, field, None), (int, float, str)):
            setattr(told, field, value)
    if isinstance(at := getattr(error, "at", None), tuple):
        told.at = list(at)
    return status, told


def error_of(status: int, body: bytes, where: str, retry_after: float | None = None) -> Exception:
    """The error that an answer with this status stands for; `where` is the request, for texts. `retry_after` is the header's, in
    whole seconds; ours in the body is finer. An answer that is none of ours (a proxy's, say) goes by its status."""
    try:
        told = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:200].decode(errors="replace").strip()
        return _foreign(status, f"{where}: HTTP {status}{': ' + text if text else ''}", retry_after)
    kind = _BY_NAME.get(told.error)
    if kind is InvalidRow:
        return InvalidRow(told.message, told.batch or 0, told.row or 0)
    if kind is Conflict:
        return Conflict(told.message, told.expected)
    if kind is CorruptData:
        return Corrupt(told.message, told.path or where, told.offset or 0)
    if kind is Unavailable or kind is None:
        return _foreign(status, told.message, retry_after if told.retry_after is None else told.retry_after)
    return kind(told.message)


class Corrupt(CorruptData):
    """`CorruptData` as a server told it: with its own text."""

    def __init__(self, message: str, path: str, offset: int) -> None:
        super().__init__(path, offset, message)
        self.args = (message,)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> Any:
        return Corrupt, (self.args[0], self.path, self.offset)


def _foreign(status: int, text: str, retry_after: float | None) -> Exception:
    """For an answer that is not this protocol's. Nobody but an ml-dash server says for good that a run is not there or that a
    row is wrong; that a body is too large, any proxy may."""
    if status in (401, 403):
        return PermissionDenied(text)
    if status == 413:
        return InvalidInput(text)
    return Unavailable(text, retry_after)
