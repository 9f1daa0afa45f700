"""Filters and sorts of runs: what matches, what is refused, and that nothing raises once a text was read."""

from __future__ import annotations

import contextlib
import math
import pickle
import random
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash import query
from ml_dash.errors import InvalidInput
from ml_dash.model import LOST_AFTER, METRICS, TRACKS, Attempt, Run, RunKey, SeriesInfo, Status
from ml_dash.times import parse_iso

NOW = 1_000_000.0


def make_run(
    name: str = "a",
    params: dict[str, Any] | None = None,
    metrics: dict[str, dict[str, Any] | None] | None = None,
    status: Status = "COMPLETED",
    heartbeat_at: float | None = None,
) -> Run:
    series = [SeriesInfo(METRICS, each, last=last) for each, last in (metrics or {}).items()]
    return Run(
        id=name,
        key=RunKey("", "vision", name),
        status=status,
        description="a long story",
        tags=["gpu", "v1"],
        params=params or {},
        created_at="2025-03-01T10:00:00Z",
        heartbeat_at=heartbeat_at,
        series=[*series, SeriesInfo(TRACKS, "pose", last={"value": 7, "joint": {"hip": 1.5}})],
    )


RUN = make_run(
    params={
        "lr": 0.01,
        "model.lr": 0.5,
        "model.name": "vit",
        "layers": [1, 2],
        "flag": True,
        "off": False,
        "none": None,
        "n": -3,
    },
    metrics={
        "loss": {"value": 0.25, "acc": 0.9, "a.b": 1, "nested": {"x": 2}},
        "train/loss": {"value": 2},
        "only": {"loss": 0.5, "note": "x", "step": 9, "epoch": 1},
        "two": {"a": 1, "b": 2},
        "nan": {"value": math.nan},
        "empty": None,
    },
)


def matches(text: str, run: Run = RUN) -> bool:
    return query.compile_filter(text, clock=lambda: NOW)(run)


class TestFilter:
    @pytest.mark.parametrize(
        "text",
        [
            "params.lr == 0.01",
            "params.lr < 0.1",
            "0.001 < params.lr <= 0.01 < 1",
            "params.n == -3",
            "params.n < +1",
            "params.model.lr == 0.5",
            'params["model.lr"] == 0.5',
            'params["model"].lr == 0.5',
            'params["model"]["lr"] == 0.5',
            "params.layers == [1, 2]",
            "params.layers == (1, 2)",
            "1 in params.layers",
            "3 not in params.layers",
            "params.flag",
            "params.flag == True",
            "params.flag is True",
            "not params.off",
            "params.none == None",
            "params.none is None",
            "params.missing is None",
            "params.lr is not None",
            '"lr" in params',
            '"wd" not in params',
            "metrics.loss == 0.25",
            "metrics.loss.value == 0.25",
            "metrics.loss.acc > 0.8",
            'metrics.loss["a.b"] == 1',
            "metrics.loss.nested.x == 2",
            'metrics["train/loss"].value == 2',
            'metrics["train/loss"] == 2',
            "metrics.only == 0.5",
            "metrics.two is None",
            "metrics.empty is None",
            "metrics.missing is None",
            "metrics.missing.acc is None",
            "metrics.loss.value.deeper is None",
            "metrics.nan != metrics.nan",
            '"train/loss" in metrics',
            '"pose" not in metrics and "pose" in tracks',
            "tracks.pose == 7",
            "tracks.pose.joint.hip == 1.5",
            'status == "COMPLETED"',
            'status in ["FAILED", "COMPLETED"]',
            'name == "a"',
            'project == "vision" and workspace == project',
            '"gpu" in tags and "cpu" not in tags',
            'tags == ["gpu", "v1"]',
            '"story" in description',
            "folder is None",
            "updated_at is None",
            'created_at > "2025-02"',
            "True",
            'name == "b" or params.lr == 0.01 and not name == "b"',
            '  name == "a"  # with a remark',
            "params.big < 99999999999999999999999999 or True",
        ],
    )
    def test_matches(self, text: str) -> None:
        assert matches(text) is True

    @pytest.mark.parametrize(
        "text",
        [
            "params.missing",
            "params.missing < 1",
            "params.missing >= 1",
            "None < 1",
            "None <= None",
            "params.lr < 'text'",
            "params.layers > 1",
            "params.model.name < 3",
            "metrics.nan < 1",
            "metrics.nan > 1",
            "1 in folder",
            "'x' in folder",
            "1 in description",
            "1 in params.lr",
            "[1] in params",
            "0 < params.lr < 0.001",
            "None",
            "not True",
            "params.model is not None",
            "metrics.pose is not None",
        ],
    )
    def test_does_not_match(self, text: str) -> None:
        """Comparisons with what is missing or has another type are False, whichever way they point."""
        assert matches(text) is False

    @pytest.mark.parametrize(
        "text", ["params.missing != 1", "params.missing == None", "'x' not in folder", "params.lr != '0.01'"]
    )
    def test_equality_and_membership_take_none_as_a_value(self, text: str) -> None:
        assert matches(text) is True

    def test_a_run_without_series_has_no_metrics(self) -> None:
        run = Run(id="x", key=RunKey("", "p", "x"))
        assert not matches("metrics.loss < 1", run)
        assert matches("metrics.loss is None and not metrics", run)

    def test_status_is_the_one_shown(self) -> None:
        alive = make_run(status="RUNNING", heartbeat_at=NOW - 1)
        lost = make_run(status="RUNNING", heartbeat_at=NOW - LOST_AFTER - 1)
        assert matches('status == "RUNNING"', alive)
        assert matches('status == "LOST"', lost)
        assert not matches('status == "RUNNING"', lost)

    @pytest.mark.parametrize(
        "text",
        [
            'status = "failed"',
            '"Failed" == status',
            'status in ["completed", "failed"] and status not in ("lost", "running")',
            'status != "lost"',
            '"fail" in status and "done" not in status',
            "status is not None and status != params.status",
            'params.status is None and params.word = "failed"',
        ],
    )
    def test_the_case_of_a_status_does_not_count(self, text: str) -> None:
        assert matches(text, make_run(status="FAILED", params={"word": "failed"}))

    @pytest.mark.parametrize("text", ["1 in (0, 1)", '"gpu" in tags and name in ("a",)', "params.layers = (1, 2)"])
    def test_tuples_have_a_place(self, text: str) -> None:
        assert matches(text)

    def test_what_the_table_shows_of_a_run(self) -> None:
        run = make_run(status="FAILED")
        run.archived = True
        run.attempts = [
            Attempt("1", "2025-03-01T10:00:00Z", ended_at="2025-03-01T10:00:01Z"),
            Attempt("2", "2025-03-01T10:00:00Z", ended_at="2025-03-01T10:01:30Z"),
        ]
        asked = 'archived and attempts = 2 and ended_at = "2025-03-01T10:01:30Z" and kind = "experiment" and id = "a"'
        assert matches(f"{asked} and duration = 90", run)

    def test_how_long_a_run_takes(self) -> None:
        begun = parse_iso("2025-03-01T10:00:00Z") / 1000
        for status, beat, seconds in (("RUNNING", 60, 60), ("RUNNING", -1000, 30), ("COMPLETED", 0, 30)):
            run = make_run(status=cast("Status", status), heartbeat_at=begun + beat)
            run.updated_at = "2025-03-01T10:00:30Z"
            assert query.compile_filter(f"duration = {seconds}", clock=lambda: begun + 60)(run)
            assert matches("ended_at is None", run)
        run.created_at = ""
        assert matches("duration is None", run)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "is empty"),
            ("   ", "is empty"),
            ("params.lr > 0,1", 'has a comma .* a decimal point is "."'),
            ("params.lr in 0.1, 0.2", 'has a comma .* what follows "in" goes in brackets'),
            ("params.lr > (0, 1)", "has a comma .*, at '\\(0, 1\\)'"),
            ("(params.lr > 0,1) and name = 'a'", "has a comma"),
            ("status = 'done'", "none of RUNNING, COMPLETED, FAILED, CANCELLED, LOST, at \"'done'\""),
            ("status in ['failed', 'done']", "none of RUNNING"),
            ("tags = 'sweep'", 'tags, which are a list, with a text; say "sweep" in tags'),
            ("'it\"s' != tags", "say 'it\"s' not in tags"),
            ("metrics.loss.value.mim < 1", "'mim' of a field, which is none of min, max, mean, first, last, count"),
            ("metrics.loss.value.Median < 1", "'Median' of a field"),
            ("params.lr => 1", "is not an expression: .*, at '> 1'"),
            ("params.lr <", "is not an expression: .*, at its end"),
            ("params.lr < 1 &&", "is not an expression: .*, at '&"),
            ("(name", "is not an expression: "),
            ("a\nb", "is not an expression: "),
            ("'\x00'", "is not an expression|cannot be read"),
            ("'\ud800'", "cannot be read"),
            ("status == COMPLETED", "names 'COMPLETED', which is none of .*text goes in quotes.*, at 'COMPLETED'"),
            ("loss < 1", "names 'loss', .*metrics.<name>"),
            ("name.x == 1", "asks for a part of 'name', which has none, at 'name.x'"),
            ("params[0] == 1", "a name in quotes between brackets, at 'params\\[0\\]'"),
            ("params[name] == 1", "a name in quotes between brackets"),
            ("params.layers[0:1] == 1", "a name in quotes between brackets"),
            ("'a'.upper == 1", "asks for a part of what has none, at \"'a'\""),
            ("params.lr + 1 > 2", "may hold .* only, at 'params.lr \\+ 1'"),
            ("-params.lr < 1", "may hold .* only, at '-params.lr'"),
            ("-'a' < 1", "may hold .* only"),
            ("~1", "may hold .* only"),
            ("len(tags) > 1", "may hold .* only, at 'len\\(tags\\)'"),
            ("__import__('os').system('x')", "may hold .* only"),
            ("params.__class__()", "may hold .* only"),
            ("[x for x in tags]", "may hold .* only"),
            ("lambda: 1", "may hold .* only"),
            ("1 if name else 2", "may hold .* only"),
            ("(x := 1)", "may hold .* only"),
            ("f'{name}' == 'a'", "may hold .* only"),
            ("{'a'} == 1", "may hold .* only"),
            ("b'a' == 1", "may hold .* only, at \"b'a'\""),
            ("1j == 1", "may hold .* only"),
            ("... == 1", "may hold .* only"),
            ("[*tags] == 1", "may hold .* only"),
            ("name == 'a' and " * 300 + "name", "is 4804 characters long; 4000 are the limit"),
            ("(" * 1900 + "1" + ")" * 1900, "is not an expression|cannot be read|nested"),
            ("not " * 900 + "1", "cannot be read|nested"),
            ("-" * 3900 + "1", "cannot be read|nested"),
            ("[" * 60 + "]" * 60, "nested deeper than 50 levels"),
            ("params" + ".a" * 1900, "cannot be read|nested"),
        ],
    )
    def test_refused(self, text: str, fault: str) -> None:
        """The error quotes the text and the part at fault, and ends with an example that is itself right."""
        with pytest.raises(InvalidInput, match=fault) as caught:
            query.compile_filter(text)
        message = str(caught.value)
        assert message.startswith(("filter '", 'filter "'))
        assert repr(text[:40])[1:-1] in message or "'" in text
        assert len(message) < 700
        query.compile_filter(message.partition("Write for example: ")[2])

    @pytest.mark.parametrize("text", [None, 1, b"name == 1"])
    def test_only_text_is_read(self, text: Any) -> None:
        with pytest.raises(InvalidInput, match="not str"):
            query.compile_filter(text)
        with pytest.raises(InvalidInput, match="not str"):
            query.sort_key(text)

    def test_the_sentence_is_for_whoever_sees_the_part(self) -> None:
        with pytest.raises(query.Unreadable) as caught:
            query.compile_filter("loss < 1 and status = 'done'")
        assert pickle.loads(pickle.dumps(caught.value)).sentence.startswith("The filter names 'loss', which is none of")
        with pytest.raises(query.Unreadable) as caught:
            query.compile_filter("status = 'done'")
        assert (
            caught.value.sentence
            == "The filter asks for a status that is none of RUNNING, COMPLETED, FAILED, CANCELLED, LOST."
        )

    def test_a_long_flat_filter_is_fine(self) -> None:
        assert matches(" or ".join(f"params.p{i} == {i}" for i in range(150)) + " or True")


class TestSort:
    RUNS = (
        make_run("one", {"x": 1, "t": "b"}, {"loss": {"value": 3.0}}),
        make_run("ten", {"x": 10.5, "t": "a"}, {"loss": {"value": math.nan}}),
        make_run("none", {}, {}),
        make_run("text", {"x": "10", "t": "c"}, {"loss": {"value": 1}}),
        make_run("list", {"x": [1], "t": "a"}, {"loss": {"value": -math.inf}}),
        make_run("bool", {"x": True}, {"loss": {"value": 10**400}}),
    )

    def names(self, text: str) -> list[str]:
        return [run.key.name for run in sorted(self.RUNS, key=query.sort_key(text))]

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("params.x", ["one", "bool", "ten", "text", "list", "none"]),
            ("-params.x", ["list", "text", "ten", "one", "bool", "none"]),
            ("params.t", ["ten", "list", "one", "text", "none", "bool"]),
            ("- params.t", ["text", "one", "ten", "list", "none", "bool"]),
            ("metrics.loss", ["list", "text", "one", "bool", "ten", "none"]),
            (' -metrics["loss"].value ', ["bool", "one", "text", "list", "ten", "none"]),
            ("name", ["bool", "list", "none", "one", "ten", "text"]),
            ("-name", ["text", "ten", "one", "none", "list", "bool"]),
            ("status", ["one", "ten", "none", "text", "list", "bool"]),
        ],
    )
    def test_order(self, text: str, names: list[str]) -> None:
        """Missing values and NaN come last either way; equals keep their order."""
        assert self.names(text) == names

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "is empty"),
            ("-", "is empty"),
            ("--name", "is not one reference, at '-name'"),
            ("params.lr < 1", "is not one reference, at 'params.lr < 1'"),
            ("metrics", "does not say which of the metrics"),
            ("-params", "does not say which of the params, at 'params'"),
            ("loss", "names 'loss', which is none of"),
            ("name desc", "is not an expression"),
            ("name.x", "asks for a part of 'name'"),
        ],
    )
    def test_refused(self, text: str, fault: str) -> None:
        with pytest.raises(InvalidInput, match=fault) as caught:
            query.sort_key(text)
        assert str(caught.value).startswith(f"sort {text!r}")
        query.sort_key(str(caught.value).partition("Write for example: ")[2].split(" ")[0])

    @given(st.randoms(use_true_random=False))
    def test_the_order_does_not_depend_on_where_one_starts(self, dice: random.Random) -> None:
        runs = list(self.RUNS)
        dice.shuffle(runs)
        for text in ("params.x", "metrics.loss", "name"):
            keys = [query.sort_key(text)(run) for run in sorted(runs, key=query.sort_key(text))]
            assert keys == [query.sort_key(text)(run) for run in sorted(self.RUNS, key=query.sort_key(text))]


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("metrics.loss < 1", True),
        ("name == 'a' and not tracks.pose", True),
        ("-metrics.loss", True),
        ("params.metrics == 'metrics'", False),
        ("name", False),
    ],
)
def test_needs_series(text: str, needed: bool) -> None:
    assert query.needs_series(text) is needed


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (None, None),
        ({}, None),
        ({"value": None, "x": 1}, None),
        ({"value": "text"}, "text"),
        ({"x": 1}, 1),
        ({"x": 1, "step": 2}, 1),
        ({"x": 1, "flag": True, "note": "n"}, 1),
        ({"x": 1, "y": 2}, None),
        ({"step": 2}, None),
    ],
)
def test_last_value(row: dict[str, Any] | None, value: Any) -> None:
    assert query.last_value(row) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OPERANDS = st.sampled_from(
    ["params.x", "params.y", "metrics.m", "metrics.m.f", "tags", "folder", "status", "None", "-1", "'a'", "[1, 'a']"]
)
OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not", "and", "or"])


class TestProperties:
    @given(st.lists(st.tuples(OPERANDS, OPERATORS), max_size=4), OPERANDS, JSON, JSON, JSON)
    def test_a_filter_never_raises(self, links: list[tuple[str, str]], last: str, x: Any, y: Any, m: Any) -> None:
        text = " ".join(f"{operand} {op}" for operand, op in links) + " " + last
        run = make_run("r", {"x": x, "y": y}, {"m": {"value": m, "f": x}})
        try:
            told = query.compile_filter(text, clock=lambda: NOW)
        except InvalidInput as error:
            assert re.search("compares tags|asks for a status", str(error))  # noqa: PT017 - what else is read is asked
        else:
            assert told(run) in (True, False)

    @given(st.lists(JSON, max_size=6), st.booleans())
    def test_a_sort_never_raises(self, values: list[Any], descending: bool) -> None:
        runs = [make_run(str(i), {"x": value}) for i, value in enumerate(values)]
        ordered = sorted(runs, key=query.sort_key("-params.x" if descending else "params.x"))
        missing = [run.params["x"] is None or run.params["x"] != run.params["x"] for run in ordered]
        assert missing == sorted(missing)

    @given(
        st.text()
        | st.lists(
            st.sampled_from(
                ["params", "metrics", ".a", "['a']", "(", ")", "[", "]", "<", "-", "not ", " and ", "1", '"', "\\", ","]
            )
        ).map("".join)
    )
    def test_reading_raises_nothing_but_invalid_input(self, text: str) -> None:
        for read in (query.compile_filter, query.sort_key, query.needs_series):
            with contextlib.suppress(InvalidInput):
                read(text)


class TestEquals:
    """A single ``=``."""

    @pytest.mark.parametrize(
        "text",
        [
            "params.lr = 0.01",
            "params.lr=0.01 and name='a'",
            "0.01 = params.lr = 0.01",
            "name != 'a = b' and name=\"a\"",
            "name = 'a' == 'a'",
            'params["model.name"] = "vit" or name = "="',
            'name = """a""" and not name = \'it\\\'s = x\'',
            "params.lr <= 0.01 and params.lr >= 0.01",
        ],
    )
    def test_means_equality(self, text: str) -> None:
        assert matches(text) is True

    def test_what_is_in_quotes_stays(self) -> None:
        assert matches("name = 'a=b'", make_run("a=b"))
        assert matches('name = "a==b"', make_run("a==b"))


def asked(_run: Run, kind: str, series: str, field: str, aggregate: str) -> Any:
    """As a store that has one series."""
    known = {"min": -1.0, "max": 9.0, "mean": 4.0, "first": 2.0, "last": 3.0, "count": 10}
    return known[aggregate] if (kind, series, field) == (METRICS, "loss", "value") else None


class TestAggregates:
    @pytest.mark.parametrize(
        "text",
        [
            "metrics.loss.value.min < 0",
            "metrics.loss.value.max = 9 and metrics.loss.value.count = 10",
            'metrics["loss"]["value"]["first"] = 2',
            "3 < metrics.loss.value.mean < 5",
            "metrics.loss.acc.min is None",
            "metrics.none.value.min is None",
            "metrics.loss.nested.x = 2",
        ],
    )
    def test_are_asked_for(self, text: str) -> None:
        assert query.compile_filter(text, aggregates=asked)(RUN)

    def test_without_somebody_to_ask_there_are_none(self) -> None:
        assert matches("metrics.loss.value.min is None and not metrics.loss.value.min < 0")

    def test_a_nested_key_of_that_name_goes_first(self) -> None:
        run = make_run(metrics={"loss": {"value": {"min": 5, "max": None}}})
        assert query.compile_filter("metrics.loss.value.min = 5 and metrics.loss.value.max = 9", aggregates=asked)(run)

    def test_sort(self) -> None:
        runs = [make_run(name) for name in "abc"]
        order = {"a": 2.0, "b": None, "c": 1.0}

        def of_run(run: Run, *_: str) -> Any:
            return order[run.key.name]

        keys = [query.sort_key(f"{minus}metrics.loss.value.min", of_run) for minus in ("", "-")]
        assert [[run.id for run in sorted(runs, key=key)] for key in keys] == [["c", "a", "b"], ["a", "c", "b"]]

    @pytest.mark.parametrize("aggregate", query.AGGREGATES)
    def test_reference(self, aggregate: str) -> None:
        text = f'metrics["train/loss"].value.{aggregate}'
        assert query.aggregate_of(text) == (METRICS, "train/loss", "value", aggregate)

    @pytest.mark.parametrize("text", ["metrics.loss.value", "params.a.b.min", "metrics.loss.value.median", "1", "-a"])
    def test_no_reference(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            query.aggregate_of(text)


class TestPlaces:
    """Where a text is wrong."""

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("loss < 1", "loss"),
            ("params.lr = 1 and loss = 1", "loss"),
            (" \t name = COMPLETED", "COMPLETED"),
            ("name = 'ü=ü' and params.lr + 1", "params.lr + 1"),
            ("name = '\U0001f600' and x", "x"),
            ("(name = 'a' and\n  nme = 'b')", "nme"),
            ("params.lr < 0.1 and (", "("),
            ("params.lr <", ""),
            ("params.lr = = 1", "="),
            ("name = 'a", "'"),
            ("", ""),
        ],
    )
    def test_of_a_filter(self, text: str, part: str) -> None:
        with pytest.raises(query.Unreadable) as caught:
            query.compile_filter(text)
        begin, end = caught.value.at
        assert text[begin:end].strip() == part

    def test_of_a_sort(self) -> None:
        with pytest.raises(query.Unreadable) as caught:
            query.sort_key(" - name.x")
        assert caught.value.at == (3, 9)

    @given(
        st.lists(
            st.sampled_from(
                ["params.a", "=", "==", "<", " ", "(", ")", "'", '"', "\n", "ü", "\U0001f600", "and", "1", "x", "."]
            ),
            max_size=12,
        ).map("".join)
    )
    def test_are_within_the_text(self, text: str) -> None:
        at = (0, 0)
        try:
            query.compile_filter(text)
        except query.Unreadable as e:
            at = e.at
        assert 0 <= at[0] <= at[1] <= len(text)
