"""Rows ↔ lines: whatever a row holds comes back as it was, by way of strict JSON; every shortcut says what the long way says."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_dash import codec
from ml_dash.codec import (
    decode_lines,
    decode_page,
    decode_row,
    dumps,
    encode_fields,
    encode_row,
    encode_rows,
    field_values,
    index_of,
    loads,
    numbers,
    render,
    row_of,
    settled,
)
from ml_dash.errors import CorruptData, InvalidInput, InvalidType
from ml_dash.model import LOGS, METRICS, TRACKS, Page

UNSET = msgspec.UNSET

# Texts that mean something to the shortcuts: the reserved words, alone and inside, and what lines and batches are cut at.
TRAPS = [
    "NaN",
    "Infinity",
    "-Infinity",
    '"NaN"',
    'x"NaN"y',
    '\\"NaN',
    "aNaN",
    '", "NaN", "',
    ': "Infinity"',
    "NaN\\",
    "\\u004eaN",
    "}, {",
    "}",
    '"index": ',
    '{"index": 0, "data": ',
    '"data": ',
    "null",
    "\\",
    '\\"',
    '"',
    "",
    "\n",
    "\x00\x1f\x7f",
    "\u2028\u2029",
    "é😀\ufeff",
    "a,b:c\\d",
    "createdAt",
]
texts = st.sampled_from(TRAPS[:3]) | st.sampled_from(TRAPS) | st.text(max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, 2**64 - 1, -(2**63) - 1, 2**70, 10**4299, -(10**4299), 10**308, 10**309]),
    st.floats(),
    st.sampled_from([-0.0, math.nan, math.inf, -math.inf, 5e-324, 1e16, 1.7976931348623157e308]),
    texts,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
rows = st.dictionaries(texts, values, max_size=5)
flat_rows = st.dictionaries(texts, scalars, max_size=5)
plain_rows = st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9) | st.floats(-1, 1), max_size=3)
batches = st.one_of(
    st.lists(rows, max_size=5),
    st.lists(flat_rows, max_size=5),
    st.tuples(st.lists(plain_rows, max_size=4), rows, st.lists(plain_rows, max_size=4)).map(
        lambda t: [*t[0], t[1], *t[2]]
    ),
)
kinds = st.sampled_from([METRICS, TRACKS, LOGS])


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types throughout; NaN is NaN, -0.0 is not 0.0, and the order of keys counts."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def page(rows: list[bytes], kind: str = METRICS, first: int = 0, ticks: tuple[tuple[int, int], ...] = ()) -> Page:
    return Page(kind, first, len(rows), first + len(rows), render(kind, first, rows), ticks, ("the/file", 100))


def strictly(text: bytes) -> Any:
    """What a parser of strict JSON reads."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


# ---------------------------------------------------------------- round trips


@given(st.lists(rows, max_size=4), st.integers(0, 10**12))
@example([{"NaN": "NaN", "a": math.nan}, {"a": '"NaN"'}], 0)
@example([{}, {}], 99)
def test_a_row_comes_back_as_it_was(batch: list[dict[str, Any]], first: int) -> None:
    """Through a line that any parser reads: types, order of keys, NaN, infinities and the strings of the same spelling."""
    made = page([encode_row(row) for row in batch], first=first)
    for at, line in enumerate(made.lines.splitlines()):
        assert strictly(line)["index"] == first + at
        assert list(strictly(line)) == ["index", "data"]
    points = decode_page(made)
    assert [point["index"] for point in points] == list(range(first, first + len(batch)))
    assert same([point["data"] for point in points], batch)


@given(rows)
def test_a_row_alone_comes_back_as_it_was(row: dict[str, Any]) -> None:
    assert same(decode_row(encode_row(row)), row)


@given(st.lists(rows.filter(lambda row: "sequenceNumber" not in row), max_size=4), st.integers(0, 10**12))
def test_an_entry_of_the_log_comes_back_as_it_was(batch: list[dict[str, Any]], first: int) -> None:
    """Its fields beside its number, without a "data" around them."""
    made = page([encode_row(row) for row in batch], LOGS, first)
    for line in made.lines.splitlines():
        strictly(line)
    expected = [{"sequenceNumber": first + at, **row} for at, row in enumerate(batch)]
    assert same(decode_page(made), expected)


def test_a_line_is_spaced_as_the_format_says() -> None:
    """Byte for byte, as the published clients write it."""
    lines = render(METRICS, 7, [encode_row({"value": 0.5, "epoch": 1}), encode_row({"a": [1, {"b": None}], "c": "x"})])
    assert lines == (
        b'{"index": 7, "data": {"value": 0.5, "epoch": 1}}\n{"index": 8, "data": {"a": [1, {"b": null}], "c": "x"}}\n'
    )
    assert (
        render(LOGS, 0, [b'{"level": "info"}', b"{}"])
        == b'{"sequenceNumber": 0, "level": "info"}\n{"sequenceNumber": 1}\n'
    )


def test_what_is_not_finite_is_spelled_as_text() -> None:
    """And a user's own text of that spelling has an escape in it, which any parser takes away."""
    row = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": "NaN", "e": "-Infinity", "NaN": [1]}
    assert encode_row(row) == (
        b'{"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": "\\u004eaN", "e": "-\\u0049nfinity", "NaN": [1]}'
    )


# ---------------------------------------------------------------- the shortcuts


@given(rows)
@example({"a": "NaN"})
@example({"a": "x", "b": "-Infinity", "c": 1})
@example({"a": "null"})
@example({"a": "x", "b": math.nan})
@example({"NaN": 1})
def test_every_way_of_encoding_writes_the_same(row: dict[str, Any]) -> None:
    """The fast way for plain numbers, the one for texts, and the thorough one."""
    expected = codec._thorough(row)
    assert encode_row(row) == expected
    assert encode_fields(row) == expected
    assert codec._encode_other(row) == expected


@given(batches)
@example([{"a": "NaN"}, {"a": "x"}])
@example([{"a": 1}, {"a": math.inf}])
@example([{"a": "}, {"}, {"}, {": "x"}])
@example([{}, {"a": None}, {}])
@example([{"NaN": 1}, {"null": 2}])
def test_a_batch_is_its_rows(batch: list[dict[str, Any]]) -> None:
    """One by one or as one array that is cut: the same bytes; also from a generator, and with one odd row among plain ones."""
    expected = [encode_row(row) for row in batch]
    assert encode_rows(batch) == expected
    assert encode_rows(row for row in batch) == expected
    assert encode_rows(tuple(batch)) == expected


@given(st.lists(flat_rows, max_size=6), st.lists(flat_rows, max_size=6))
def test_batches_are_cut_where_their_rows_meet(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    """And nowhere else: a text may hold what lies between two rows."""
    assert encode_rows(left + right) == encode_rows(left) + encode_rows(right)


@given(batches, st.lists(texts, max_size=3, unique=True), kinds)
@example([{"a": "NaN"}, {"a": math.nan}], ["a"], METRICS)
@example([{"a": "-Infinity", "b": 1}, {"a": -math.inf, "b": math.inf}], ["a", "b"], METRICS)
@example([{"a": "x", "b": "NaN"}, {"a": math.nan}], ["a"], METRICS)
@example([{"a": ["NaN", math.nan]}, {"a": {"NaN": math.inf}}], ["a"], TRACKS)
@example([{'a"b': 1, "a": "NaN"}], ['a"b', "a"], METRICS)
def test_fields_are_what_the_rows_hold(batch: list[dict[str, Any]], fields: list[str], kind: str) -> None:
    """Whatever they are called, and whatever else is in the rows."""
    got = field_values(page([encode_row(row) for row in batch], kind), fields)
    rows = [{"sequenceNumber": at, **row} for at, row in enumerate(batch)] if kind == LOGS else batch
    assert list(got) == fields
    for field in fields:
        expected = [row.get(field, UNSET) for row in rows]
        assert [value is UNSET for value in got[field]] == [value is UNSET for value in expected]
        assert same([v for v in got[field] if v is not UNSET], [v for v in expected if v is not UNSET])


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), scalars, max_size=2), max_size=6))
def test_numbers_are_float64_and_a_mask(batch: list[dict[str, Any]]) -> None:
    """True where the row has a number, booleans included; integers beyond float64 are infinite."""
    for field, (floats, mask) in numbers(page([encode_row(row) for row in batch]), ["a", "b"]).items():
        assert (floats.dtype, mask.dtype) == (np.float64, np.bool_)
        assert len(floats) == len(mask) == len(batch)
        for row, number, there in zip(batch, floats.tolist(), mask.tolist(), strict=True):
            value = row.get(field)
            assert there == isinstance(value, (int, float))
            if not isinstance(value, (int, float)):
                assert math.isnan(number)
            elif abs(value) < 1e308 or isinstance(value, float):
                assert same(number, float(value))
            else:
                assert abs(number) > 1e307
                assert (number > 0) == (value > 0)


def test_values_with_an_addition_of_their_own_do_not_meet_it() -> None:
    """The fast way adds values up to look at them all at once; whatever that raises or warns of, the row is stored as it is."""

    class Tensor:
        shape = ()

        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __radd__(self, other: object) -> Any:
            raise self.error

        def item(self) -> float:
            return 0.5

    for error in (RuntimeError("The size of tensor a must match"), ArithmeticError(), LookupError(), RecursionError()):
        assert encode_row({"a": Tensor(error)}) == b'{"a": 0.5}'
    assert encode_row({"a": np.zeros(2), "b": np.zeros(3)}) == b'{"a": [0.0, 0.0], "b": [0.0, 0.0, 0.0]}'
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert encode_row({"a": np.uint8(200), "b": np.uint8(100)}) == b'{"a": 200, "b": 100}'
        assert encode_row({"a": np.int8(-100), "b": np.int8(-100)}) == b'{"a": -100, "b": -100}'
    assert caught == [], "no warning of overflow"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_cancellation_hides_what_is_not_finite(bad: float) -> None:
    """inf - inf, and finite numbers whose sum is not."""
    row = {"a": bad, "b": -bad, "c": 1.0}
    assert same(decode_row(encode_row(row)), row)
    large = {"a": 1.7e308, "b": 1.7e308, "c": bad}
    assert same(decode_row(encode_row(large)), large)
    assert encode_row({"a": 1.7e308, "b": 1.7e308}) == b'{"a": 1.7e308, "b": 1.7e308}'


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("row", [None, 1, "text", [1], b"x", {1: 2}.items()])
def test_a_row_must_be_a_mapping(row: Any) -> None:
    with pytest.raises(TypeError, match=r"a row must be a mapping of fields to values; got \w+"):
        encode_row(row)
    with pytest.raises(TypeError, match="row 1 of the batch: a row must be a mapping"):
        encode_rows([{"a": 1}, row])


@given(st.lists(plain_rows, max_size=3), st.lists(plain_rows, max_size=3))
def test_one_bad_row_refuses_the_batch_and_is_named(before: list[Any], after: list[Any]) -> None:
    """By its place in the batch, its field and its type."""
    with pytest.raises(TypeError, match=f"^row {len(before)} of the batch: field 'x.y': a value of type builtins.set"):
        encode_rows([*before, {"x": {"y": {1}}}, *after])
    with pytest.raises(InvalidInput, match=f"^row {len(before)} of the batch: field 'x': the text .* lone surrogate"):
        encode_rows([*before, {"x": "\ud800"}, *after])
    with pytest.raises(TypeError, match=f"^row {len(before)} of the batch: the row: keys must be strings"):
        encode_rows([*before, {1: 1}, *after])  # type: ignore[dict-item]


def test_a_generator_that_raises_raises() -> None:
    """Its own error, untouched."""

    def failing() -> Any:
        yield {"a": 1}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        encode_rows(failing())


LIMIT = 8 * 1024 * 1024


@pytest.mark.parametrize("letter", ["x", "\n", "N", "é"])
def test_a_row_has_8_mb_at_most(letter: str) -> None:
    """As it is written, escapes included; alone or in a batch, a byte more is refused."""
    width = len(encode_row({"v": letter})) - len(encode_row({"v": ""}))
    text = letter * ((LIMIT - 100) // width)
    rest = "y" * (LIMIT - len(encode_row({"v": text, "a": ""})))
    assert len(encode_row({"v": text, "a": rest})) == LIMIT
    assert len(encode_rows([{"v": text, "a": rest}, {"v": 1}])[0]) == LIMIT
    for refuse in (encode_row, encode_fields, lambda row: encode_rows([{"v": 1}, row])):
        with pytest.raises(InvalidInput, match=f"the row takes {LIMIT + 1} bytes; at most {LIMIT}"):
            refuse({"v": text, "a": rest + "y"})


def test_many_numbers_count_toward_the_8_mb() -> None:
    """Spaces included: 9,000 numbers of a thousand digits are too many, whichever way they go."""
    row = {str(i): 10**999 for i in range(9_000)}
    for refuse in (encode_row, encode_fields, lambda row: encode_rows([row])):
        with pytest.raises(InvalidInput, match="the row takes .* bytes"):
            refuse(row)


def test_10000_fields_are_stored_and_10001_refused() -> None:
    """By each way of encoding: numbers, texts, batches."""
    for value in (1, "text", math.nan):
        row = {f"f{i}": value for i in range(10_000)}
        assert len(decode_row(encode_row(row))) == 10_000
        assert encode_rows([row, {"a": 1}]) == [encode_row(row), b'{"a": 1}']
        for refuse in (encode_row, encode_fields, lambda row: encode_rows([{"a": 1}, row])):
            with pytest.raises(InvalidInput, match="the row has 10001 fields; at most 10000"):
                refuse(row | {"one more": value})
    short = {chr(i): 1 for i in range(0xE000, 0xE000 + 10_001)}
    with pytest.raises(InvalidInput, match="10001 fields"):
        encode_row(short)


def test_integers_of_4301_digits_are_refused_whichever_way() -> None:
    for row in ({"v": 10**4300}, {"v": -(10**4300)}, {"v": 10**4300, "t": "text"}):
        for refuse in (encode_row, encode_fields, lambda row: encode_rows([{"a": 1}, row])):
            with pytest.raises(InvalidInput, match="field 'v': an integer of more than 4300 digits"):
                refuse(row)


# ---------------------------------------------------------------- lines


@given(rows, st.integers(0, 10**18), kinds)
def test_a_line_gives_back_its_index_and_its_row(row: dict[str, Any], index: int, kind: str) -> None:
    """Also from its beginning alone, which is all that a search in the file reads; the row byte for byte."""
    body = encode_row(row)
    line = render(kind, index, [body])
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert index_of(kind, line) == index
    assert index_of(kind, line[:45]) == index
    assert row_of(kind, line[:-1]) == body


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"index": ',
        b'{"index": 1',
        b'{"index": -1, ',
        b'{"index": 1.5, ',
        b'{"data": {}}',
        b'x{"index": 1,',
        b'{"index": 1e3,',
    ],
)
def test_what_is_no_beginning_of_a_line_has_no_index(line: bytes) -> None:
    assert index_of(METRICS, line) is None


def test_an_index_is_no_longer_than_an_index_can_be() -> None:
    """A damaged line of digits is no index of a million digits, which would take seconds to read."""
    assert index_of(METRICS, b'{"index": ' + b"9" * 1_000_000 + b', "data"') is None
    assert index_of(METRICS, b'{"index": ' + b"9" * 19 + b', "data"') == int("9" * 19)


FOREIGN = (
    b'{"index": 0, "data": {"loss": NaN, "name": "\\u00e9\\ud83d\\ude00", "a": [Infinity, -Infinity]},'
    b' "createdAt": "2025-01-01T00:00:00Z"}\n'
    b'{"index":1,"data":{"loss":0.5,"n\\u00e9":1e400},"createdAt":"2025-01-01T00:00:01Z"}\n'
)


def test_lines_of_the_published_clients_are_read() -> None:
    """Bare NaN, escapes for all that is not ASCII, other spaces, a time in every line, which is kept."""
    points = decode_page(Page(METRICS, 0, 2, 2, FOREIGN, ((0, 5),)))
    assert same(
        points,
        [
            {
                "index": 0,
                "data": {"loss": math.nan, "name": "é😀", "a": [math.inf, -math.inf]},
                "createdAt": "2025-01-01T00:00:00Z",
            },
            {"index": 1, "data": {"loss": 0.5, "né": math.inf}, "createdAt": "2025-01-01T00:00:01Z"},
        ],
    )
    got = field_values(Page(METRICS, 0, 2, 2, FOREIGN), ["loss", "né"])
    assert same(got["loss"], [math.nan, 0.5])
    assert got["né"] == [UNSET, math.inf]


# ---------------------------------------------------------------- times


def test_a_point_has_the_time_of_the_last_tick_at_or_before_it() -> None:
    """The first tick's where there is none before; a tick of an earlier page counts from this page's start."""
    rows = [b"{}"] * 5
    stamps = [
        point["createdAt"][-10:]
        for point in decode_page(page(rows, first=10, ticks=((4, 1000), (12, 2000), (14, 3000))))
    ]
    assert stamps == ["00:01.000Z", "00:01.000Z", "00:02.000Z", "00:02.000Z", "00:03.000Z"]
    late = [point["createdAt"][-7:] for point in decode_page(page(rows, first=10, ticks=((13, 1000), (14, 2000))))]
    assert late == ["01.000Z"] * 4 + ["02.000Z"]
    beyond = decode_page(page(rows[:2], ticks=((0, 1000), (7, 2000))))
    assert [point["createdAt"][-7:] for point in beyond] == ["01.000Z"] * 2


def test_a_point_without_a_time_says_so() -> None:
    """The clock is a file of its own that may be lost: the key is there all the same."""
    assert decode_page(page([b"{}"])) == [{"index": 0, "data": {}, "createdAt": None}]
    assert decode_page(page([b"{}"], LOGS)) == [{"sequenceNumber": 0}]


# ---------------------------------------------------------------- damage


BAD = [
    b"not json",
    b'{"index": 1, "data": {"a": ',
    b"\x00\x00\x00",
    b"[1]",
    b"1",
    b'{"index": 1, "data": {"a": "\xff"}}',
    b"",
    b"   ",
    b"[" * 100_000,
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("special", [b"", b'{"index": 9, "data": {"a": "NaN"}}\n'], ids=["plain", "special"])
def test_a_damaged_line_is_named_by_its_place(bad: bytes, special: bytes) -> None:
    """Path and byte, whichever way the page was decoded; nothing of the page is given."""
    good = b'{"index": 0, "data": {"a": 1}}\n'
    lines = good + bad + b"\n" + good + special
    damaged = Page(METRICS, 0, lines.count(b"\n"), lines.count(b"\n"), lines, (), ("the/file", 100))
    for decode in (
        decode_page,
        decode_lines,
        lambda page: field_values(page, ["a"]),
        lambda page: numbers(page, ["a"]),
    ):
        with pytest.raises(CorruptData) as caught:
            decode(damaged)
        assert (caught.value.path, caught.value.offset) == ("the/file", 100 + len(good))
        assert "doctor" in str(caught.value)


@pytest.mark.parametrize(
    "bad", [b'{"index": 7, "data": {"a": 1}}', b'{"index": 0, "data": {}}', b'{"index": 1}', b'{"data": {}}', b"{}"]
)
def test_a_line_that_is_not_the_point_of_its_place_is_damage(bad: bytes) -> None:
    """A flipped digit is still JSON; the line is named by its place, and no point is given under another's index."""
    good = render(METRICS, 10, [b'{"a": "NaN"}'])
    with pytest.raises(CorruptData, match="not the point of index 11") as caught:
        decode_page(Page(METRICS, 10, 2, 12, good + bad + b"\n", (), ("the/file", 100)))
    assert (caught.value.path, caught.value.offset) == ("the/file", 100 + len(good))


@pytest.mark.parametrize("text", [b"", b"[1]", b"1", b'"x"', b"{", b'{"a": }', b"null"])
def test_what_is_no_object_is_no_row_and_no_record(text: bytes) -> None:
    for decode in (decode_row, loads):
        with pytest.raises(ValueError):
            decode(text)


# ---------------------------------------------------------------- small records


@given(rows)
def test_a_small_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    """Indented, for people, and ended by a newline; as strict as a row."""
    text = dumps(record)
    strictly(text)
    assert text.endswith(b"\n")
    assert same(loads(text), record)
    assert same(settled("metadata", record), record)


def test_settled_is_a_copy_that_names_the_argument_in_its_errors() -> None:
    """What is changed later by the caller is not changed in what was given."""
    inner: dict[str, Any] = {"b": (1, 2)}
    copy = settled("metadata", {"a": inner})
    inner["b"] = None
    assert copy == {"a": {"b": [1, 2]}}
    assert settled("metadata", None) is None
    for bad in ([1], "text", 5):
        with pytest.raises(InvalidType, match=r"^metadata: expected a mapping, such as .* of type \w+\.$"):
            settled("metadata", bad)
    with pytest.raises(InvalidType, match="^metadata: field 'a': a value of type builtins.set"):
        settled("metadata", {"a": {1}})
    with pytest.raises(InvalidInput, match="^metadata: field 'a': the text .* lone surrogate"):
        settled("metadata", {"a": "\ud800"})
