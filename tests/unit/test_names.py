"""Name rules and their spelling on disk: tables of single cases, then properties over all names."""

from __future__ import annotations

import contextlib
import itertools
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ml_dash import names
from ml_dash.errors import InvalidInput

CHECKS: list[Callable[[str, object], str]] = [
    names.check_run_name,
    names.check_series_name,
    names.check_prefix,
    names.check_filename,
]

ORDINARY = [
    "loss",
    "None",
    "train loss",
    "a.b.c",
    ".hidden",
    "...x",
    "_-. =+,()[]@#!~^&;'{}$`x",
    "Größe",
    "損失",
    "🚀 run 7",
    "e\u0301",
    "experiment.json",
    "logs",
    "metrics",
    "console",
    "com10",
    "com",
    "data.jsonl2",
    "mydata.jsonl",
    ".caches",
    "torn",
    "lr=3e-4,wd=0.1",
    "~",
]

SPECIAL = [
    ("100%", "100%25"),
    ("a%20b", "a%2520b"),
    ('<>:"|?*\\', "%3C%3E%3A%22%7C%3F%2A%5C"),
    ("a.", "a%2E"),
    ("a..", "a.%2E"),
    ("a ", "a%20"),
    ("CON", "%43ON"),
    ("con.txt", "%63on.txt"),
    ("Nul .log", "%4Eul .log"),
    ("lpt9", "%6Cpt9"),
    ("COM¹", "%43OM¹"),
    ("conout$", "%63onout$"),
    ("data.jsonl", "data%2Ejsonl"),
    ("DATA.jsonl", "DATA%2Ejsonl"),
    ("data.jsonl.lock", "data%2Ejsonl%2Elock"),
    ("metadata.json", "metadata%2Ejson"),
    ("clock.jsonl", "clock%2Ejsonl"),
    ("writers.jsonl", "writers%2Ejsonl"),
    (".files_metadata.json", "%2Efiles_metadata%2Ejson"),
    ("x.torn", "x%2Etorn"),
    (".tmpfile", "%2Etmpfile"),
    (".cache", "%2Ecache"),
    (".Cache", "%2ECache"),
    (".lock", "%2Elock"),
    ("con.torn", "con%2Etorn"),
    ("a\u2028", "a%E2%80%A8"),
    ("a/b", "a%2Fb"),
    ("..", ".%2E"),
]


def valid(name: str) -> bool:
    """Whether `name` is one segment of an allowed name."""
    try:
        return names.check_series_name("name", name) == name and "/" not in name
    except InvalidInput:
        return False


# Alphabets with a bias to what the encoding has to look at, so that clashes are found and not only random text.
TOUCHY = st.lists(
    st.sampled_from(
        [
            *"aAkKsSeEéÉſßẞK;\u037e%~.\u0301 _-:<|?*\\0123456789abcdefCN",
            *("%2E", "%~", "%4", "%C3%A9", "e\u0301", "con", "CON", "Con", "nul", "com1"),
            *("data.jsonl", "Data.JSONL", "metadata.json", ".torn", ".tmp", ".cache", ".lock"),
        ]
    ),
    min_size=1,
    max_size=6,
).map("".join)
SEGMENTS = (st.text(min_size=1, max_size=40) | TOUCHY | st.text(min_size=60, max_size=255)).filter(valid)
CLASHING = st.sampled_from(["loss", "con", "data.jsonl", "é", "straße", "k;", "a:b%", ".tmp", "1;", "x" * 250]).flatmap(
    lambda base: st.tuples(*(st.sampled_from(_variants(char)) for char in base)).map("".join)
)


def _variants(char: str) -> list[str]:
    """What folds like `char`, and `char` itself."""
    known = {
        "s": "sSſ",
        "k": "kK\u212a",
        "é": ["é", "É", "e\u0301", "E\u0301"],
        ";": ";\u037e",
        "ß": ["ß", "ẞ", "ss", "SS"],
    }
    return list(known.get(char, {char, char.upper()}))


class TestChecks:
    @pytest.mark.parametrize("check", CHECKS)
    @pytest.mark.parametrize("name", ORDINARY)
    def test_ordinary_names_pass_as_they_are(self, check: Callable[[str, object], str], name: str) -> None:
        assert check("name", name) == name

    @pytest.mark.parametrize("check", CHECKS)
    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            (None, "is of type NoneType, not str"),
            (7, "is of type int, not str"),
            (b"a", "is of type bytes, not str"),
            (".", "has the segment '.'"),
            ("..", "has the segment '..'"),
            ("a\x00b", r"holds the control character '\\x00'"),
            ("a\nb", r"holds the control character '\\n'"),
            ("\x7f", r"holds the control character '\\x7f'"),
            ("\x85", r"holds the control character '\\x85'"),
            ("a\u2029", r"holds the control character '\\u2029'"),
            ("\ud800", "holds a lone surrogate"),
            ("C:", "begins with a drive letter"),
            ("c:temp", "begins with a drive letter"),
            ("a" * 256, "has a segment of 256 bytes"),
            ("é" * 128, "has a segment of 256 bytes"),
            ("a" * 5000, "takes 5000 bytes"),
        ],
    )
    def test_refused_everywhere(self, check: Callable[[str, object], str], name: object, fault: str) -> None:
        """The text names the argument, quotes the name (its beginning if it is long) and tells the fault."""
        with pytest.raises(InvalidInput, match=fault) as caught:
            check("the thing", name)
        assert isinstance(caught.value, ValueError)
        assert str(caught.value).startswith(f"the thing {repr(name)[:400]}")
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("", "is empty"),
            ("a/b", "holds '/'"),
            ("/a", "holds '/'"),
            ("../a", "holds '/'"),
            ("a\\b", r"holds '\\\\'"),
            ("..\\a", r"holds '\\\\'"),
        ],
    )
    def test_a_run_is_one_folder(self, name: str, fault: str) -> None:
        with pytest.raises(InvalidInput, match=fault):
            names.check_run_name("project", name)

    @pytest.mark.parametrize("check", [names.check_series_name, names.check_filename])
    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("", "is empty"),
            ("/", "is an absolute path"),
            ("/etc/passwd", "Leave out the leading '/': 'etc/passwd'"),
            ("a//b", "has an empty segment"),
            ("a/", "has an empty segment"),
            ("a/../b", r"has the segment '\.\.'"),
            ("./a", r"has the segment '\.'"),
            ("a\\..\\b", r"has the segment '\.\.'"),
            ("a/" + "b" * 256, "has a segment of 256 bytes"),
            ("/".join(["ab"] * 700), "takes 2099 bytes"),
        ],
    )
    def test_a_series_stays_inside(self, check: Callable[[str, object], str], name: str, fault: str) -> None:
        with pytest.raises(InvalidInput, match=fault):
            check("metric", name)

    @pytest.mark.parametrize("name", ["train/loss", "a/b/c", "_system/cpu", "a\\b", "a/C:x", "a/data.jsonl"])
    def test_a_series_may_have_segments(self, name: str) -> None:
        assert names.check_series_name("metric", name) == name

    @pytest.mark.parametrize("prefix", ["/", "", "//", "/models", "models", "models/", "/models/v1/", "//a", "/.cache"])
    def test_a_prefix_may_have_slashes_around_it(self, prefix: str) -> None:
        assert names.check_prefix("prefix", prefix) == prefix

    @pytest.mark.parametrize(
        ("prefix", "fault"),
        [
            ("/a//b", "has an empty segment"),
            ("a//", "has an empty segment"),
            ("/..", r"has the segment '\.\.'"),
            ("/a/../../b", r"has the segment '\.\.'"),
            ("..\\b", r"has the segment '\.\.'"),
            ("/C:/x", "begins with a drive letter"),
        ],
    )
    def test_a_prefix_stays_inside(self, prefix: str, fault: str) -> None:
        with pytest.raises(InvalidInput, match=fault):
            names.check_prefix("prefix", prefix)

    def test_a_subclass_of_str_becomes_a_str(self) -> None:
        class Name(str):
            def __str__(self) -> str:
                return "another"

        assert type(names.check_run_name("name", Name("x"))) is str
        assert names.check_run_name("name", Name("x")) == "x"
        assert type(names.check_prefix("prefix", Name("/"))) is str

    def test_system_names(self) -> None:
        assert names.is_system("_system/cpu")
        assert not names.is_system("_system")
        assert not names.is_system("a/_system/cpu")


class TestSpelling:
    @pytest.mark.parametrize("name", ORDINARY)
    def test_ordinary_names_are_their_own_spelling(self, name: str) -> None:
        """So that the published clients' folders are found."""
        assert names.encode_segment(name) == name
        assert names.decode_segment(name) == name

    @pytest.mark.parametrize(("name", "segment"), SPECIAL)
    def test_special_names(self, name: str, segment: str) -> None:
        assert names.encode_segment(name) == segment

    @pytest.mark.parametrize(("name", "segment"), SPECIAL)
    def test_special_names_come_back(self, name: str, segment: str) -> None:
        assert names.decode_segment(segment) == (name if valid(name) else segment)

    @pytest.mark.parametrize(
        "segment",
        [
            "%",
            "50%",
            "%zz",
            "%2",
            "%2e",
            "a%20b",
            "%41",
            "%FF",
            "%C3",
            "%2F",
            "%2E",
            ".%2E",
            "%00",
            "%0A",
            "%~",
            "%~ab",
        ],
    )
    def test_a_foreign_folder_is_its_own_name(self, segment: str) -> None:
        """What we would not have written was named by somebody else; above all nothing decodes to a way out."""
        assert names.decode_segment(segment) == (segment if segment != "%41" else "A")

    def test_an_undecodable_foreign_folder_is_its_own_name(self) -> None:
        assert names.decode_segment("a%25\udcff") == "a%25\udcff"
        assert names.decode_segment("%ED%A0%80") == "%ED%A0%80"

    def test_long_spellings_are_hashes(self) -> None:
        name = "%" * 100
        segment = names.encode_segment(name)
        assert segment.startswith("%~")
        assert len(segment) == 42
        assert names.decode_segment(segment) is None
        assert names.capitals_encoded(segment) == segment
        assert names.encode_segment("%" * 85) == "%25" * 85

    def test_paths(self) -> None:
        assert names.series_path("train/loss") == ("train", "loss")
        assert names.series_path("a/data.jsonl/CON") == ("a", "data%2Ejsonl", "%43ON")
        assert names.prefix_path("/") == names.prefix_path("") == ()
        assert names.prefix_path("/models/v1/") == names.prefix_path("models/v1") == ("models", "v1")
        assert names.prefix_path("/.files_metadata.json") == ("%2Efiles_metadata%2Ejson",)

    @pytest.mark.parametrize(
        ("segment", "second"),
        [
            ("Loss", "%4Coss"),
            ("LOSS", "%4C%4F%53%53"),
            ("loss", "%6Coss"),
            ("%43on", "%43%6Fn"),
            ("é", "%C3%A9"),
            ("e\u0301", "e%CC%81"),
            ("strasse", "%73trasse"),
            ("a%3Ab", "%61%3Ab"),
            ("%3A", "%3A"),
        ],
    )
    def test_second_spellings(self, segment: str, second: str) -> None:
        assert names.capitals_encoded(segment) == second

    @pytest.mark.parametrize(
        "pair", [("Loss", "loss"), ("É", "é"), ("é", "e\u0301"), ("straße", "STRASSE"), ("K", "k")]
    )
    def test_what_folds_together(self, pair: tuple[str, str]) -> None:
        assert names.fold(pair[0]) == names.fold(pair[1])


class TestProperties:
    @given(SEGMENTS)
    def test_round_trip(self, name: str) -> None:
        segment = names.encode_segment(name)
        assert names.decode_segment(segment) == (None if segment.startswith("%~") else name)

    @given(SEGMENTS)
    def test_round_trip_of_the_second_spelling(self, name: str) -> None:
        second = names.capitals_encoded(names.encode_segment(name))
        assert names.decode_segment(second) == (None if second.startswith("%~") else name)

    @given(SEGMENTS | st.text())
    def test_a_segment_is_safe_whatever_comes(self, name: str) -> None:
        assume(name)
        for segment in (names.encode_segment(name), names.capitals_encoded(names.encode_segment(name))):
            assert 0 < len(segment.encode("utf-8", "surrogatepass")) <= 255
            assert segment not in (".", "..")
            assert not set('/\\<>:"|?*\x00\x7f\x85\u2028').intersection(segment)
            assert not any(unicodedata.category(char) == "Cc" for char in segment)
            assert segment[-1] not in ". "
            folded = names.fold(segment)
            assert not folded.startswith((".tmp", ".cache.", "data.jsonl."))
            assert not folded.endswith(".torn")
            assert folded not in {"data.jsonl", "metadata.json", "clock.jsonl", "writers.jsonl", ".cache", ".lock"}
            assert folded.split(".")[0].rstrip(" ") not in {"con", "prn", "aux", "nul", "com1", "lpt9"}

    @given(SEGMENTS, SEGMENTS)
    @example("%", "%25")
    def test_different_names_have_different_spellings(self, one: str, other: str) -> None:
        assert (one == other) == (names.encode_segment(one) == names.encode_segment(other))

    @given(st.text())
    def test_decoding_never_raises_nor_leads_out(self, segment: str) -> None:
        name = names.decode_segment(segment)
        assert name == segment or valid(name or "x")

    @given(CLASHING | TOUCHY.filter(valid), CLASHING | TOUCHY.filter(valid))
    @example("loss", "LOSS")
    @example("Con", "CON")
    def test_second_spellings_clash_with_nothing(self, one: str, other: str) -> None:
        """Whichever of two names comes first keeps its spelling; the second finds room, also on a file system that
        ignores case."""
        assume(one != other)
        first, second = names.encode_segment(one), names.encode_segment(other)
        spared = names.fold(names.capitals_encoded(second))
        assert spared != names.fold(names.capitals_encoded(first))
        assert spared != names.fold(first)

    def test_all_casings_of_a_word_live_together(self) -> None:
        words = ["".join(chars) for chars in itertools.product("aA", "bB", "cC")]
        for words_first in words:
            taken = {names.fold(words_first)}
            for word in words:
                if word != words_first:
                    taken.add(names.fold(names.capitals_encoded(word)))
            assert len(taken) == len(words)

    @given(st.text())
    def test_fold_is_a_key(self, segment: str) -> None:
        folded = names.fold(segment)
        assert names.fold(folded) == folded
        assert names.fold(unicodedata.normalize("NFD", segment)) == folded
        assert names.fold(unicodedata.normalize("NFC", segment)) == folded

    @given(st.text(), st.sampled_from(CHECKS))
    def test_checks_raise_nothing_but_invalid_input(self, name: str, check: Callable[[str, object], str]) -> None:
        with contextlib.suppress(InvalidInput):
            assert check("name", name) == name
