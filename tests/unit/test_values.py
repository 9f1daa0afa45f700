"""Python values as JSON's: what each type becomes, what is refused, and that the error says where and what."""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, NamedTuple
from unittest.mock import MagicMock, Mock
from uuid import UUID

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.codec import decode_row, encode_row
from ml_dash.errors import InvalidInput, InvalidType
from ml_dash.values import MAX_ARRAY, MAX_FIELDS, MAX_NESTING, plain, text, texts, whole


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2.5)


class Level(enum.IntEnum):
    HIGH = 3


class Flags(enum.Flag):
    A = 1
    B = 2


class Name(str):
    def __str__(self) -> str:
        return "another text"


class Count(int):
    def __repr__(self) -> str:
        return "another number"


class Ratio(float):
    def __repr__(self) -> str:
        return "another number"


class Pair(NamedTuple):
    x: int
    y: float


@dataclass
class Model:
    depth: int
    betas: tuple[float, float] = (0.9, 0.999)
    inner: Model | None = None
    KIND: ClassVar[str] = "not a field"


@dataclass(slots=True, frozen=True)
class Slotted:
    path: Path


class Record(msgspec.Struct):
    a: int
    b: list[float] = msgspec.field(default_factory=list)


class Tensor:
    """What torch, JAX and TensorFlow have in common: a shape, and ways to take out what is inside."""

    def __init__(self, content: Any, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape
        self.content = content

    def item(self) -> Any:
        if self.shape:
            raise RuntimeError("only one element tensors can be converted")
        return self.content

    def tolist(self) -> Any:
        return self.content


class Eager:
    """As TensorFlow's: no item(), no tolist(), but a way to NumPy."""

    def __init__(self, content: Any) -> None:
        self.content = np.asarray(content)
        self.shape = self.content.shape

    def numpy(self) -> Any:
        return self.content[()]


def stored(value: Any) -> Any:
    """What is read back."""
    return decode_row(encode_row({"v": value}))["v"]


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types throughout; NaN is NaN, -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


# ---------------------------------------------------------------- what becomes of types

NATURAL: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (1, 1),
    (1.0, 1.0),
    (-0.0, -0.0),
    (math.nan, math.nan),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    ("NaN", "NaN"),
    ("Infinity", "Infinity"),
    ("-Infinity", "-Infinity"),
    (2**70, 2**70),
    (-(10**4299), -(10**4299)),
    ("text \x00 é 😀", "text \x00 é 😀"),
    ((1, 2), [1, 2]),
    (Pair(1, 0.5), [1, 0.5]),
    ([1, [True, None, {"a": (2.0,)}]], [1, [True, None, {"a": [2.0]}]]),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    (Name("mine"), "mine"),
    (Name("NaN"), "NaN"),
    ({Name("k"): 1}, {"k": 1}),
    (Count(7), 7),
    (Ratio(0.5), 0.5),
    (Ratio("nan"), math.nan),
    (Color.RED, "red"),
    (Color.PAIR, [1, 2.5]),
    (Level.HIGH, 3),
    (Flags.A | Flags.B, 3),
    (Decimal("0.5"), 0.5),
    (Decimal("3.00"), 3),
    (Decimal("1E+30"), 10**30),
    (Decimal("0E+9999"), 0),
    (Decimal("-0"), 0),
    (Decimal("1E-9999"), 0.0),
    (Decimal("NaN"), math.nan),
    (Decimal("sNaN"), math.nan),
    (Decimal("Infinity"), math.inf),
    (Decimal("-Infinity"), -math.inf),
    (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (Path("models/best.pt"), "models/best.pt"),
    (PurePosixPath("/a"), "/a"),
    (PureWindowsPath("c:/a"), "c:\\a"),
    (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    (datetime(2026, 1, 2, 3, 4, 5, 678, timezone.utc), "2026-01-02T03:04:05.000678+00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4), "03:04:00"),
    (timedelta(minutes=1, microseconds=500_000), 60.5),
    (
        Model(3, inner=Model(1)),
        {"depth": 3, "betas": [0.9, 0.999], "inner": {"depth": 1, "betas": [0.9, 0.999], "inner": None}},
    ),
    (Slotted(Path("x")), {"path": "x"}),
    (Record(1, [math.nan]), {"a": 1, "b": [math.nan]}),
    (Tensor(0.25), 0.25),
    (Tensor(3), 3),
    (Tensor(True), True),
    (Tensor([[1, 2], [3, 4]], (2, 2)), [[1, 2], [3, 4]]),
    (Tensor([], (0,)), []),
    (Tensor(np.float32(0.5)), 0.5),
    (Eager(0.5), 0.5),
    (Eager([1, 2]), [1, 2]),
    (array.array("d", [1.0, 2.0]), [1.0, 2.0]),
    (pd.Series([1, 2]), [1, 2]),
    (pd.Timestamp("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05+00:00"),
    (pd.Timedelta(seconds=2), 2.0),
]


@pytest.mark.parametrize(("value", "expected"), NATURAL, ids=lambda value: f"{type(value).__name__}-{value!r:.25}")
def test_a_value_becomes_its_natural_json(value: Any, expected: Any) -> None:
    """Types included: 1 stays an int, 1.0 a float, True a bool; NaN is NaN, and the text "NaN" a text."""
    assert same(stored(value), expected)
    assert same(stored({"deep": [value]}), {"deep": [expected]})


@pytest.mark.parametrize(("value", "expected"), NATURAL, ids=lambda value: f"{type(value).__name__}-{value!r:.25}")
def test_what_is_written_is_strict_json(value: Any, expected: Any) -> None:
    """Any parser reads it: no bare NaN or Infinity, whatever the value was."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(encode_row({"v": value}), parse_constant=refuse)


SCALARS = [
    *(
        np.dtype(kind).type(value)
        for kind in ("f2", "f4", "f8", "longdouble")
        for value in (0.5, -0.0, "nan", "inf", "-inf")
    ),
    *(np.dtype(kind).type(value) for kind in ("i1", "i2", "i4", "i8") for value in (-7, 100)),
    *(np.dtype(kind).type(value) for kind in ("u1", "u2", "u4", "u8") for value in (0, 200)),
    *(np.iinfo(kind).max for kind in ("i8", "u8")),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.bool_(False),
    np.str_("NaN"),
    np.float16(0.1),
    np.float32(0.1),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: f"{type(scalar).__name__}-{scalar}")
def test_numpy_scalars_become_pythons(scalar: Any) -> None:
    """By their own value: a float32 of 0.1 is the float 0.10000000149011612. So do arrays without a dimension."""
    expected = (
        float(scalar) if isinstance(scalar, np.floating) else scalar.item() if hasattr(scalar, "item") else scalar
    )
    assert same(stored(scalar), expected)
    assert same(stored(np.asarray(scalar)), expected)
    assert same(stored(np.asarray([scalar])), [expected])


@pytest.mark.parametrize("unit", ["Y", "M", "D", "h", "m", "s", "ms", "us", "ns"])
def test_numpy_times_are_texts_whatever_their_unit(unit: str) -> None:
    """`.item()` of nanoseconds is a bare integer; a scalar, an array of no and of one dimension say the same."""
    moment = np.datetime64("2026-01-02T03:04:05.123456789").astype(f"M8[{unit}]")
    expected = str(moment)
    assert "2026-01-02T03:04:05.123456789".startswith(expected)
    assert [stored(moment), stored(np.asarray(moment)), stored(np.asarray([moment]))] == [
        expected,
        expected,
        [expected],
    ]


@pytest.mark.parametrize(("unit", "seconds"), [("h", 18000.0), ("s", 5.0), ("ms", 0.005), ("us", 5e-6), ("ns", 5e-9)])
def test_numpy_durations_are_seconds_whatever_their_unit(unit: Any, seconds: float) -> None:
    """As `timedelta` is: a bare integer would have lost its unit."""
    lasted = np.timedelta64(5, unit)
    assert same(stored(lasted), seconds)
    assert same(stored(np.asarray(lasted)), seconds)
    assert same(stored(np.asarray([lasted, np.timedelta64("NaT", unit)])), [seconds, math.nan])


def test_arrays_are_nested_lists_up_to_a_size() -> None:
    """10,000 elements in any shape; one more is an error that tells of files."""
    assert stored(np.arange(6).reshape(2, 3)) == [[0, 1, 2], [3, 4, 5]]
    assert stored(np.zeros((0, 3))) == []
    assert stored(np.array([None, {"a": np.float32(0.5)}], dtype=object)) == [None, {"a": 0.5}]
    assert len(stored(np.zeros(MAX_ARRAY))) == 10_000
    for large in (np.zeros(MAX_ARRAY + 1), np.zeros((101, 100)), array.array("b", bytes(MAX_ARRAY + 1))):
        with pytest.raises(TypeError, match=r"field 'v': an array of 10[01]\d\d elements is too large .* files"):
            encode_row({"v": large})


def test_a_large_array_is_refused_before_it_is_copied() -> None:
    """A tensor on a graphics card is not fetched to be refused."""

    class Large(Tensor):
        def tolist(self) -> Any:
            raise AssertionError("fetched")

    with pytest.raises(InvalidType, match="an array of 1000000 elements"):
        plain(Large(None, (1000, 1000)))


# ---------------------------------------------------------------- what is refused


def generator() -> Any:
    yield 1


REFUSED: list[tuple[Any, str]] = [
    ({1}, "builtins.set"),
    (frozenset(), "builtins.frozenset"),
    (b"x", "builtins.bytes"),
    (bytearray(b"x"), "builtins.bytearray"),
    (memoryview(b"x"), "builtins.memoryview"),
    (1j, "builtins.complex"),
    (object(), "builtins.object"),
    (generator, "builtins.function"),
    (generator(), "builtins.generator"),
    (range(3), "builtins.range"),
    (Count, "builtins.type"),
    (Model, "builtins.type"),
    (Color, "enum.EnumType|enum.EnumMeta"),
    (Fraction(1, 3), "fractions.Fraction"),
    (types.SimpleNamespace(a=1), "types.SimpleNamespace"),
    (np.complex64(1), "numpy.complex64"),
    (np.bytes_(b"x"), "numpy.bytes_"),
    (np.timedelta64(5, "Y"), "numpy.timedelta64"),
    (np.float32, "builtins.type"),
    (pd.DataFrame({"a": [1]}), "pandas.*DataFrame"),
    (pd.NA, "pandas.*NAType"),
    (pl.DataFrame({"a": [1]}), "polars.*DataFrame"),
    (pl.Series([1, 2]), "polars.*Series"),
    (Mock(), "unittest.mock.Mock"),
    (MagicMock(), "unittest.mock.MagicMock"),
    (Tensor(1, (2, None)), ".*Tensor"),  # type: ignore[arg-type]
    (Tensor(1j), ".*Tensor"),
    (Eager(b"text"), ".*Eager"),
]


@pytest.mark.parametrize(("value", "name"), REFUSED, ids=[f"{type(value).__name__}" for value, _ in REFUSED])
def test_what_cannot_be_stored_is_a_type_error_that_says_where_and_what(value: Any, name: str) -> None:
    """Not any error of the library that the value came from, and nothing that depends on the message of one."""
    for row, place in (({"v": value}, "field 'v'"), ({"a": {"b": [0, 0, 0, {"c": value}]}}, "field 'a.b[3].c'")):
        with pytest.raises(
            TypeError, match=rf"^{re.escape(place)}: a value of type ({name}) cannot be stored."
        ) as caught:
            encode_row(row)
        assert isinstance(caught.value, InvalidType)
        assert isinstance(caught.value, ValueError)


def test_an_element_of_an_array_is_named_by_its_index() -> None:
    with pytest.raises(InvalidType, match=r"^field 'v\[1\]': a value of type builtins.complex"):
        encode_row({"v": np.array([None, 1j], dtype=object)})
    with pytest.raises(InvalidType, match=r"^field 'v\[0\]': a value of type builtins.bytes"):
        encode_row({"v": np.array([b"x"])})


@pytest.mark.parametrize("key", [1, 1.5, True, None, (1,), b"k", Color.RED])
def test_keys_must_be_strings(key: Any) -> None:
    """Keys 1 and "1" would collide; the error says where, and what to write."""
    with pytest.raises(TypeError, match=r"the row: keys must be strings; got .* of type \w+. Use str\(key\)"):
        encode_row({key: 1})
    with pytest.raises(TypeError, match=r"field 'a.b\[0\]': keys must be strings"):
        encode_row({"a": {"b": [{key: 1}]}})


@pytest.mark.parametrize("bad", ["\ud800", "a\udfffb", "\udcff" * 50])
def test_lone_surrogates_are_refused_where_they_are(bad: str) -> None:
    """They have no UTF-8; the error names the field and says how to make text of them."""
    for row, place in (({"v": bad}, "field 'v'"), ({"a": [{"b": bad}]}, r"field 'a\[0\].b'"), ({bad: 1}, "the row")):
        with pytest.raises(InvalidInput, match=f"^{place}: the text .* lone surrogate.*replace") as caught:
            encode_row(row)
        assert not isinstance(caught.value, TypeError)
        str(caught.value).encode()


# ---------------------------------------------------------------- limits


def nested(levels: int, make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda value: [value],
        lambda value: (value,),
        lambda value: {"k": value},
        lambda value: np.array([value, None], dtype=object),
    ],
    ids=["list", "tuple", "mapping", "array"],
)
def test_nesting_ends_at_64_levels(make: Callable[[Any], Any]) -> None:
    """The row is the first of them."""
    json.loads(encode_row({"v": nested(MAX_NESTING - 1, make)}))
    with pytest.raises(InvalidInput, match="field 'v.*: nested deeper than 64 levels"):
        encode_row({"v": nested(MAX_NESTING, make)})


@pytest.mark.parametrize("make", [lambda value: [value], lambda value: {"k": value}], ids=["list", "mapping"])
def test_what_is_much_deeper_ends_no_sooner_in_a_recursion_error(make: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
        encode_row({"v": nested(50_000, make)})


def test_what_holds_itself_is_refused() -> None:
    """Not followed for ever, also where it holds itself twice."""
    endless: list[Any] = []
    endless += [endless, endless]
    loop: dict[str, Any] = {}
    loop["self"] = loop
    model = Model(1)
    model.inner = model
    for value in (endless, loop, model):
        with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
            encode_row({"v": value})


def test_what_gives_itself_for_ever_is_refused() -> None:
    """A scalar whose item() is another of its kind, and so on."""

    class Ping:
        def item(self) -> Any:
            return Pong()

    class Pong:
        def item(self) -> Any:
            return Ping()

    with pytest.raises(InvalidType, match="field 'v': a value of type .*Ping cannot be stored"):
        encode_row({"v": Ping()})


def test_a_mapping_has_10000_fields_at_most() -> None:
    assert len(decode_row(encode_row({str(i): i for i in range(MAX_FIELDS)}))) == 10_000
    assert len(stored({str(i): i for i in range(MAX_FIELDS)})) == 10_000
    many = {str(i): i for i in range(MAX_FIELDS + 1)}
    with pytest.raises(InvalidInput, match="the row has 10001 fields; at most 10000"):
        encode_row(many)
    with pytest.raises(InvalidInput, match="field 'v' has 10001 fields; at most 10000"):
        encode_row({"v": many})


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_have_4300_digits_at_most(sign: int) -> None:
    """CPython reads no more from a text. A Decimal that is whole counts as one."""
    largest = sign * (10**4300 - 1)
    assert stored(largest) == largest
    assert stored(Decimal(largest)) == largest
    for beyond in (sign * 10**4300, Decimal(sign) * Decimal(10) ** 4300, Decimal(sign) * Decimal("1E+9999")):
        with pytest.raises(InvalidInput, match="field 'v': an integer of more than 4300 digits"):
            encode_row({"v": beyond})


# ---------------------------------------------------------------- arguments


@given(st.integers() | st.integers(-100, 100).map(np.int16) | st.booleans())
def test_whole_takes_every_kind_of_whole_number(value: Any) -> None:
    """And gives an int of Python's own."""
    assert type(whole("limit", value)) is int
    assert whole("limit", value) == value


@pytest.mark.parametrize("value", [None, 1.0, "1", np.float64(1), [1], np.array([1, 2]), object])
def test_whole_says_what_came_instead(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^limit: expected a whole number; got .* of type \w+\.$"):
        whole("limit", value)


def test_text_takes_strings_and_none() -> None:
    assert [text("folder", value) for value in (None, "", "a")] == [None, "", "a"]
    for value in (1, b"a", ["a"], Path("a")):
        with pytest.raises(TypeError, match=r"^folder: expected a string; got .* of type \w+\.$"):
            text("folder", value)


def test_texts_takes_any_iterable_of_strings() -> None:
    """But no string alone, which would be the list of its characters."""
    assert texts("tags", None) is None
    for value in (["a", "b"], ("a", "b"), {"a": 1, "b": 2}, (letter for letter in "ab"), np.array(["a", "b"])):
        assert texts("tags", value) == ["a", "b"]
    for bad in ("ab", 1, ["a", 1], b"ab", [None]):
        with pytest.raises(TypeError, match="^tags: expected a list of strings"):
            texts("tags", bad)


def test_plain_leaves_its_argument_alone() -> None:
    """A row is the user's: what is stored is a copy."""
    row = {"a": [1, (2, 3)], "b": {"c": math.nan}, "d": np.arange(2)}
    plain(row)
    assert list(row) == ["a", "b", "d"]
    assert row["a"] == [1, (2, 3)]
    assert isinstance(row["d"], np.ndarray)


def test_a_mapping_of_ones_own_is_a_mapping() -> None:
    """Anything that says it is a Mapping, before anything else that it may be."""

    @dataclass
    class Config(Mapping[str, int]):
        given: dict[str, int] = field(default_factory=lambda: {"lr": 1})

        def __getitem__(self, key: str) -> int:
            return self.given[key]

        def __iter__(self) -> Any:
            return iter(self.given)

        def __len__(self) -> int:
            return len(self.given)

    assert dataclasses.is_dataclass(Config)
    assert stored(Config()) == {"lr": 1}
