"""What travels between client and server: there and back it is the same, in part it is nothing, and errors keep class and fields."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.codec import Lines, encode_row, loads, render
from ml_dash.errors import (
    Conflict,
    CorruptData,
    FileMissing,
    InvalidInput,
    InvalidRow,
    InvalidType,
    LockTimeout,
    MlDashError,
    NewerFormat,
    NotFound,
    PermissionDenied,
    ReadOnly,
    RunClosed,
    SeriesNotFound,
    Unavailable,
)
from ml_dash.model import (
    LOGS,
    METRICS,
    Attempt,
    Batch,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKey,
    RunPatch,
    SeriesInfo,
    SeriesKey,
    SeriesMeta,
)
from ml_dash.store import wire
from ml_dash.store.wire import STATUS, decode_batches, decode_page, dump, encode_batches, encode_page, error_of, load
from ml_dash.testing import NASTY_ROWS
from ml_dash.values import MAX_NESTING

texts = st.text(max_size=5) | st.sampled_from(["NaN", "Infinity", "-Infinity", "größe 🎉"])
values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts | st.lists(texts, max_size=2)
mappings = st.dictionaries(texts, values | st.dictionaries(texts, values, max_size=2), max_size=3)
times = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**43)), max_size=3).map(tuple)


def deepest() -> dict[str, Any]:
    """A row nested as deeply as may be."""
    row: Any = 1
    for _ in range(MAX_NESTING):
        row = {"d": row}
    assert encode_row(row)
    return row


# ---------------------------------------------------------------- records


@given(
    patch=st.builds(
        RunPatch,
        description=st.none() | texts,
        tags=st.none() | st.lists(texts, max_size=2),
        metadata=st.none() | mappings,
        params=st.none() | mappings,
        series=st.lists(st.builds(SeriesMeta, st.just(METRICS), texts, metadata=st.none() | mappings), max_size=2).map(
            tuple
        ),
        join=st.none() | texts,
        status=st.none() | st.just("FAILED"),
        write_protected=st.none() | st.booleans(),
        archived=st.none() | st.booleans(),
        at=st.none() | st.integers(0, 2**43),
        seq=st.none() | st.integers(0, 2**40),
    )
)
def test_patches_come_back_as_they_went(patch: RunPatch) -> None:
    """NaN, infinities, texts of their spelling, large integers, empty and absent fields, in their order."""
    assert repr(load(dump(patch), RunPatch)) == repr(patch)


@pytest.mark.parametrize(
    "record",
    [
        Run(
            "id",
            RunKey("n", "p", "NaN"),
            metadata={"a": math.nan},
            params={"NaN": "NaN"},
            attempts=[Attempt("a", "now")],
        ),
        Run("id", RunKey("", "p", "n"), series=[SeriesInfo(METRICS, "a/b", 3, last=row) for row in NASTY_ROWS]),
        FileRecord("id", "run", "/p", "f", metadata={"a": [math.inf, "Infinity"]}, size_bytes=2**40),
        FilePut("f", "p", "NaN", ["-Infinity"], "text/plain", {"a": -math.inf}, "put-1"),
        FilePatch("d", [], {}, deleted=True),
        SeriesInfo(METRICS, "loss", last=deepest(), metadata=deepest()),
    ],
)
def test_records_come_back_as_they_went(record: Any) -> None:
    sent = dump(record)
    assert repr(load(sent, type(record))) == repr(record)
    assert b"\n" not in sent
    json.loads(sent, parse_constant=pytest.fail)


def test_what_a_user_nested_may_be_inside_an_answer() -> None:
    """The deepest row that can be stored can also be told of, as the last of a series of one of the runs of a list."""
    runs = {"runs": [Run("id", RunKey("", "p", "n"), series=[SeriesInfo(METRICS, "a", last=deepest())])]}
    sent = msgspec.convert(loads(dump(runs))["runs"], list[Run])
    assert sent[0].series is not None
    assert sent[0].series[0].last == deepest()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b"\xff", b'{"id": 1}', b"{" * 100_000, b'{"key": "x"}']
)
def test_a_body_that_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="no Run"):
        load(body, Run)


# ---------------------------------------------------------------- batches


names = st.sampled_from(["loss", "train/loss", "größe 🎉", 'quo"te', "new\nline"])
batches_strategy = st.lists(
    st.builds(
        lambda kind, name, rows, identity, at: Batch(
            SeriesKey("run", kind, "" if kind == LOGS else name),
            [encode_row(row) for row in rows],
            identity[0],
            identity[1],
            at,
        ),
        st.sampled_from([METRICS, LOGS]),
        names,
        st.lists(st.dictionaries(texts, values, max_size=3), max_size=4),
        st.sampled_from([(None, None), ("w", 0), ("w", 9), ("größe", 2**40)]),
        times,
    ),
    max_size=4,
)


@given(sent=batches_strategy)
def test_batches_come_back_as_they_went(sent: list[Batch]) -> None:
    """Series, rows byte for byte, identities and times; what comes is lines, which go on without being cut."""
    came = decode_batches(encode_batches(sent))
    assert [(b.series, list(b.rows), b.writer, b.seq, b.times) for b in came] == [
        (b.series, list(b.rows), b.writer, b.seq, b.times) for b in sent
    ]
    assert all(isinstance(batch.rows, Lines) for batch in came)
    assert encode_batches(came) == encode_batches(sent)


def test_lines_go_out_as_they_are() -> None:
    """A batch of a log on disk is not cut into rows: bytes that a cut would lose are still there."""
    data = b'{"index": 7, "data": {"value":   1}}\n'
    batch = Batch(SeriesKey("run", METRICS, "loss"), Lines(METRICS, 7, 1, data), "w", 7)
    assert encode_batches([batch]).endswith(b"\n" + data)
    other = msgspec.structs.replace(batch, seq=8)
    assert encode_batches([other]).endswith(b'\n{"index": 8, "data": {"value":   1}}\n')


def test_a_body_as_the_document_has_it() -> None:
    """The example of docs/formats/protocol.md."""
    rows = [encode_row({"value": 0.5}), encode_row({"value": 0.4})]
    batch = Batch(SeriesKey("3f", METRICS, "train/loss"), rows, "a1", 10, ((0, 1_764_000_000_000),))
    assert encode_batches([batch]) == (
        b'{"run":"3f","kind":"metrics","name":"train/loss","count":2,"size":76,"writer":"a1","seq":10,'
        b'"times":[[0,1764000000000]]}\n'
        b'{"index": 10, "data": {"value": 0.5}}\n{"index": 11, "data": {"value": 0.4}}\n'
    )


def test_a_body_that_was_cut_is_refused() -> None:
    """Wherever it ends, but between two batches, which is all that a body's own length can tell."""
    parts = [
        encode_batches([Batch(SeriesKey("run", METRICS, "a"), [encode_row(row)] * 2, "w", 3)]) for row in NASTY_ROWS[:3]
    ]
    whole, ends = b"".join(parts), {0, len(parts[0]), len(parts[0] + parts[1])}
    assert len(decode_batches(whole)) == 3
    for end in range(len(whole)):
        if end in ends:
            assert len(decode_batches(whole[:end])) == sorted(ends).index(end)
        else:
            with pytest.raises(InvalidInput):
                decode_batches(whole[:end])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        b'{"run":"r","kind":"metrics","name":"a","count":1}',
        b'{"run":"r","kind":"metrics","name":"a","count":-1,"size":24}',
        b'{"run":"r","kind":"metrics","name":"a","count":1,"size":-24}',
        b'{"run":"r","kind":"metrics","name":"a","count":1,"size":24,"seq":-1}',
        b'{"run":"r","kind":"metrics","name":"a","count":1,"size":24.5}',
        b'{"run":"r","kind":"metrics","name":"a","count":"1","size":24}',
        b'{"run":1,"kind":"metrics","name":"a","count":1,"size":24}',
        b'{"run":"r","kind":"metrics","name":"a","count":1,"size":24,"times":[[0]]}',
        b'{"run":"r","kind":"metrics","name":"a","count":1,"size":99999999999999999999999}',
        b'{"run":"r","kind":"metrics","name":"a","count":9007199254740993,"size":24}',
    ],
)
def test_a_head_that_is_none_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidInput, match="batch 0"):
        decode_batches(head + b'\n{"index": 0, "data": {}}\n')


def test_a_head_without_an_end_is_not_searched_for_ever() -> None:
    with pytest.raises(InvalidInput, match="no head at byte 0"):
        decode_batches(b" " * (wire.MAX_HEAD + 1) + b"\n")


def test_a_row_that_is_none_is_named_by_its_place() -> None:
    """Nothing is decoded of a body with such a row: the error says which batch and which row of it."""
    good = Batch(SeriesKey("run", METRICS, "a"), [b"{}", b"{}"])
    bad = Batch(SeriesKey("run", METRICS, "b"), [b"{}", b"{}", b"{", b"{}"], "w", 5)
    with pytest.raises(InvalidRow) as caught:
        decode_batches(encode_batches([good, bad, good]))
    assert (caught.value.batch, caught.value.row) == (1, 2)


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("kind", [METRICS, LOGS])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_pages_come_back_as_they_went(kind: str, count: int) -> None:
    lines = render(kind, 7, [encode_row(row) for row in NASTY_ROWS[:count]])
    page = Page(kind, 7, count, 1000, lines, ((7, 10), (9, 20)) if count else ())
    came = decode_page(kind, encode_page(page), "http://there")
    assert (came.kind, came.start, came.count, came.total) == (kind, 7, count, 1000)
    assert (came.lines, came.ticks, came.origin[0]) == (lines, page.ticks, "http://there")


def test_a_page_that_was_cut_is_no_answer() -> None:
    """Wherever it ends: a page tells how many lines it has."""
    whole = encode_page(Page(METRICS, 0, 3, 3, render(METRICS, 0, [b"{}", b'{"v": 1}', b"{}"])))
    for end in range(len(whole)):
        with pytest.raises(Unavailable, match="there"):
            decode_page(METRICS, whole[:end], "there")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"start":0,"count":0}\n',
        b'{"start":0,"count":"0","total":0}\n',
        b'{"start":0,"count":1,"total":1}\n{}\n{}\n',
        b'{"start":0,"count":1,"total":1}\n{}\n{}',
    ],
)
def test_what_is_no_page_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unavailable, match="there"):
        decode_page(METRICS, body, "there")


# ---------------------------------------------------------------- errors

ERRORS: list[tuple[MlDashError, dict[str, Any]]] = [
    (InvalidInput("m"), {}),
    (InvalidType("m"), {}),
    (InvalidRow("m", 3, 14), {"batch": 3, "row": 14}),
    (InvalidRow("m", 0, 0), {"batch": 0, "row": 0}),
    (NotFound("m"), {}),
    (SeriesNotFound("m"), {}),
    (FileMissing("m"), {}),
    (Conflict("m", 5), {"expected": 5}),
    (Conflict("m", 0), {"expected": 0}),
    (Conflict("m"), {"expected": None}),
    (Unavailable("m", 2.5), {"retry_after": 2.5}),
    (Unavailable("m", 0.0), {"retry_after": 0.0}),
    (Unavailable("m"), {"retry_after": None}),
    (PermissionDenied("m"), {}),
    (ReadOnly("m"), {}),
    (NewerFormat("m"), {}),
    (CorruptData("/runs/a/data.jsonl", 4096, "m"), {"path": "/runs/a/data.jsonl", "offset": 4096}),
    (CorruptData("/runs/a/data.jsonl", 0, "m"), {"path": "/runs/a/data.jsonl", "offset": 0}),
    (LockTimeout("m"), {}),
]


@pytest.mark.parametrize(("error", "fields"), ERRORS, ids=lambda value: repr(value)[:40])
def test_an_error_arrives_as_it_was_raised(error: MlDashError, fields: dict[str, Any]) -> None:
    """Its class, its text and its fields, zeros included; also where it went through two servers, and through a pickle."""
    for came in (there_and_back(error), there_and_back(there_and_back(error))):
        assert isinstance(came, type(error))
        assert {kind for kind in BY_NAME if isinstance(came, kind)} == {
            kind for kind in BY_NAME if isinstance(error, kind)
        }
        assert str(came) == str(error)
        assert {name: getattr(came, name) for name in fields} == fields


def test_every_error_has_a_status() -> None:
    """All that a store raises are among the cases above; `RunClosed` is the recorder's own."""
    assert {type(error) for error, _ in ERRORS} == {kind for kind, _ in STATUS} == BY_NAME - {RunClosed, MlDashError}


def every_kind(root: type[MlDashError]) -> set[type[MlDashError]]:
    """The class and all below it that `ml_dash.errors` has."""
    return {root, *(kind for below in root.__subclasses__() for kind in every_kind(below))}


BY_NAME = {kind for kind in every_kind(MlDashError) if kind.__module__ == MlDashError.__module__}


def there_and_back(error: Exception) -> Exception:
    status, told = wire.problem(error)
    return error_of(status, msgspec.json.encode(told), "GET http://there/x")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("m"), RunClosed("m")])
def test_a_write_that_did_not_happen_is_to_be_sent_again(error: Exception) -> None:
    """What is no error of a store's is 507, and the client's `Unavailable`, with its text."""
    status, _ = wire.problem(error)
    came = there_and_back(error)
    assert status == 507
    assert type(came) is Unavailable
    assert str(came) == str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Unavailable),
        (401, PermissionDenied),
        (403, PermissionDenied),
        (404, Unavailable),
        (405, Unavailable),
        (409, Unavailable),
        (413, InvalidInput),
        (422, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b'{"detail": "Not Found"}',
        b'{"error": "Martian", "message": "m"}',
        b'{"error": 5, "message": "m"}',
        b"\xff\xfe",
        b"{" * 100_000,
    ],
)
def test_what_is_not_ours_goes_by_its_status(status: int, kind: type[Exception], body: bytes) -> None:
    """A proxy's page, another server's error, garbage: nobody takes it for a verdict on rows or runs."""
    came = error_of(status, body, "GET http://there/x", 3.0)
    assert type(came) is kind
    assert len(str(came)) < 500
    if isinstance(came, Unavailable):
        assert came.retry_after == 3.0


def test_our_own_body_says_when_to_come_again() -> None:
    """More finely than the header, which is whole seconds; where it says nothing, the header does."""
    fine = b'{"error": "Unavailable", "message": "m", "retry_after": 0.25}'
    silent = b'{"error": "Unavailable", "message": "m"}'
    told = [error_of(503, body, "there", header) for body in (fine, silent) for header in (None, 1.0)]
    assert [e.retry_after for e in told if isinstance(e, Unavailable)] == [0.25, 0.25, None, 1.0]
