"""Lines that came from elsewhere: what `codec` writes always passes, and whatever passes is a line that every reader reads alike."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_dash.codec import MAX_ROW, decode_lines, encode_row, render, row_of
from ml_dash.errors import InvalidInput, InvalidRow
from ml_dash.line_check import check_lines, check_row
from ml_dash.model import LOGS, METRICS, TRACKS, Page
from ml_dash.testing import NASTY_ROWS
from ml_dash.values import MAX_FIELDS, MAX_NESTING

texts = st.text(max_size=6) | st.sampled_from(
    ["NaN", "Infinity", "-Infinity", '"}, {"', "\\", "}}", "\r\n", "[", "\u2028"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
flat = st.dictionaries(texts, st.integers(-(2**64), 2**64) | st.floats() | texts, max_size=4)
batches_of_rows = st.lists(flat | st.dictionaries(texts, values, max_size=4), max_size=6)
firsts = st.sampled_from([0, 1, 8, 9, 98, 10**6 - 2, 2**40])
kinds = st.sampled_from([METRICS, TRACKS, LOGS])


def line(row: bytes, index: int = 0) -> bytes:
    """A metric's line around bytes that need be no row."""
    return b'{"index": %d, "data": %b}\n' % (index, row)


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


# ---------------------------------------------------------------- what is ours passes


@given(rows=batches_of_rows, first=firsts, kind=kinds)
def test_what_the_codec_writes_passes(rows: list[dict[str, Any]], first: int, kind: str) -> None:
    """Any rows that can be stored, at any index, also where its digits become more in the middle of the batch."""
    check_lines(kind, first, len(rows), render(kind, first, [encode_row(row) for row in rows]))


@pytest.mark.parametrize("kind", [METRICS, LOGS])
def test_nasty_rows_pass(kind: str) -> None:
    check_lines(kind, 5, len(NASTY_ROWS), render(kind, 5, [encode_row(row) for row in NASTY_ROWS]))


@pytest.mark.parametrize("kind", [METRICS, LOGS])
def test_rows_at_the_limits_pass(kind: str) -> None:
    """The widest, the deepest and the longest row that the codec takes."""
    deep: Any = 1
    for _ in range(MAX_NESTING - 1):
        deep = {"d": deep}
    widest = {f"f{i}": i for i in range(MAX_FIELDS)}
    for row in (widest, {"deep": deep}, {"text": "x" * (MAX_ROW - 12)}):
        encoded = encode_row(row)
        check_lines(kind, 0, 2, render(kind, 0, [encoded, encoded]))


# ---------------------------------------------------------------- what passes is ours


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, int, int, bytes]:
    """A batch's kind, first index and count, and its lines with some bytes changed, gone, doubled or moved."""
    kind, first = draw(kinds), draw(firsts)
    rows = draw(st.lists(flat | st.dictionaries(texts, values, max_size=3), min_size=1, max_size=3))
    data = bytearray(render(kind, first, [encode_row(row) for row in rows]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        piece = draw(st.sampled_from([*PIECES, bytes([draw(st.integers(0, 255))])]))
        kept = draw(st.integers(0, 3))
        data[at : at + kept] = piece
    return kind, first, len(rows), bytes(data)


PIECES = [
    b"",
    b" ",
    b"  ",
    b"\t",
    b"\r",
    b"\n",
    b",",
    b", ",
    b":",
    b'"',
    b"{",
    b"}",
    b"}}",
    b"[",
    b"]",
    b"\\",
    b"\\u",
    b"0",
]
PIECES += [
    b"NaN",
    b"1e400",
    b"-",
    b".",
    b"\\ud800",
    b"\xff",
    b"\xc3",
    b"null",
    b"true",
    b'"index": 1, ',
    b"\x00",
    b"\x7f",
]


@given(batch=spoiled())
@example(batch=(LOGS, 0, 1, b'{"sequenceNumber": 0, }\n'))
@example(batch=(LOGS, 0, 1, b'{"sequenceNumber": 0,  }\n'))
@example(batch=(METRICS, 0, 1, line(b' {"value": 1}')))
@example(batch=(METRICS, 0, 1, line(b'{"value": 1e400}')))
@example(batch=(METRICS, 0, 1, line(b'{"value": 1' + b"0" * 400 + b".5}")))
@example(batch=(METRICS, 0, 1, line(b'{"value": 1\r}')))
@example(batch=(METRICS, 0, 1, line(b'{"value": "\\ud800"}')))
def test_what_passes_is_read_alike_by_all(batch: tuple[str, int, int, bytes]) -> None:
    """However lines were spoiled: those that pass are as many as were told, framed at their indices, strict JSON, whole for
    readers that take CR for an end, and the same rows for the codec as for `json`."""
    kind, first, count, lines = batch
    try:
        check_lines(kind, first, count, lines)
    except InvalidInput:
        return
    assert lines.endswith(b"\n")
    cut = lines[:-1].splitlines()
    assert len(cut) == count == lines.count(b"\n")
    points = decode_lines(Page(kind, first, count, first + count, lines))
    for index, (text, point) in enumerate(zip(cut, points, strict=True), first):
        whole = json.loads(text, parse_constant=refuse)
        row = row_of(kind, text)
        assert row.startswith(b"{")
        assert text == render(kind, index, [row]).rstrip(b"\n")
        assert encode_row(json.loads(row, parse_constant=refuse))
        spoken = json.loads(re.sub(rb'(?<!\\)"(NaN|-?Infinity)"(?!\s*:)', rb"\1", text))
        assert repr(point) == repr(spoken)
        assert whole.keys() == spoken.keys()
        if kind != LOGS:
            assert whole["index"] == index


# ---------------------------------------------------------------- what is refused, and how


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"1",
        b"null",
        b"[]",
        b'"{}"',
        b"{",
        b"}",
        b"{}}",
        b"{}, {}",
        b'{} , "x": {}',
        b'{"value": 1,}',
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": -Infinity}',
        b'{"value": 1e400}',
        b'{"value": [-1e400]}',
        b'{"value": 01}',
        b'{"value": .5}',
        b'{"value": +1}',
        b"{'value': 1}",
        b"{value: 1}",
        b'{"value": "a\x01"}',
        b'{"value": "\xff"}',
        b'{"value": "\xed\xa0\x80"}',
        b'{"value": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"value": "\\x41"}',
        b'{"value": 1}\xef\xbb\xbf',
        b'{"value": 1' + b"0" * 5_000 + b"}",
        b'{"value": ' + b"[" * MAX_NESTING + b"]" * MAX_NESTING + b"}",
        b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"value": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    ],
)
def test_what_is_no_row_is_refused(row: bytes) -> None:
    """It is named by its batch and its place, among rows that are right; nothing but `InvalidRow` comes of it."""
    good = b'{"value": 1}'
    lines = b"".join(line(part, index) for index, part in enumerate([good, good, row, good], 7))
    with pytest.raises(InvalidRow, match=r"batch 3, row 2") as caught:
        check_lines(METRICS, 7, 4, lines, batch=3)
    assert (caught.value.batch, caught.value.row) == (3, 2)
    with pytest.raises(InvalidInput):
        check_row(row)


def test_rows_past_a_limit_are_refused() -> None:
    """One byte, one field, one level more than the codec takes."""
    deep: Any = 1
    for _ in range(MAX_NESTING):
        deep = {"d": deep}
    too_wide = json.dumps({f"f{i}": i for i in range(MAX_FIELDS + 1)}).encode()
    for row in (b'{"text": "%b"}' % (b"x" * (MAX_ROW - 11)), too_wide, json.dumps({"deep": deep}).encode()):
        for kind, lines in ((METRICS, line(row)), (LOGS, b'{"sequenceNumber": 0, %b\n' % row[1:])):
            with pytest.raises(InvalidRow):
                check_lines(kind, 0, 1, lines)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (METRICS, b'{"index": 1, "data": {}}\n'),
        (METRICS, b'{"index": 00, "data": {}}\n'),
        (METRICS, b'{"index":0, "data": {}}\n'),
        (METRICS, b'{"data": {}, "index": 0}\n'),
        (METRICS, b'{"index": 0, "data": {}, "x": 1}\n'),
        (METRICS, b'{"index": 0, "data": {}} \n'),
        (METRICS, b'{"index": 0, "data": {}}\r\n'),
        (METRICS, b'\xef\xbb\xbf{"index": 0, "data": {}}\n'),
        (METRICS, b'{"sequenceNumber": 0}\n'),
        (METRICS, b"\n"),
        (LOGS, b'{"index": 0, "data": {}}\n'),
        (LOGS, b'{"sequenceNumber": 1, "message": "m"}\n'),
        (LOGS, b'{"sequenceNumber": 0,"message": "m"}\n'),
        (LOGS, b'{"sequenceNumber": 01, "message": "m"}\n'),
        (LOGS, b'{"sequenceNumber": 0, }\n'),
        (LOGS, b'{"sequenceNumber": 0 }\n'),
        (LOGS, b'{"sequenceNumber": 0, "message": "m"\r}\n'),
        (LOGS, b'{"message": "m", "sequenceNumber": 0}\n'),
    ],
)
def test_another_framing_is_refused(kind: str, lines: bytes) -> None:
    """Framing is byte for byte that of docs/formats/series.md, with the index of the line's place."""
    with pytest.raises(InvalidRow) as caught:
        check_lines(kind, 0, 1, lines)
    assert (caught.value.batch, caught.value.row) == (0, 0)


@pytest.mark.parametrize("kind", [METRICS, LOGS])
@pytest.mark.parametrize(
    ("count", "change"),
    [(2, b""), (4, b""), (0, b""), (3, b"\n"), (3, b'{"index": 3, "data": {}}'), (3, None)],
)
def test_another_number_of_lines_is_refused(kind: str, count: int, change: bytes | None) -> None:
    """More, fewer, none, or a last one without its newline."""
    lines = render(kind, 0, [encode_row({"value": i}) for i in range(3)])
    with pytest.raises(InvalidInput, match=rf"{count} lines are announced"):
        check_lines(kind, 0, count, lines[:-1] if change is None else lines + change)


def test_the_row_check_gives_the_fields() -> None:
    """As they came: what stands for a number that is not finite is still text."""
    assert check_row(b'{"a": [1, "NaN", null], "b":  {"c": 0.5}}') == {"a": [1, "NaN", None], "b": {"c": 0.5}}
    assert math.copysign(1, check_row(b'{"a": -0.0}')["a"]) == -1
