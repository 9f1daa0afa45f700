"""Parameters: set and merged a key at a time, flat with dots or nested, all of a call or nothing of it."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake import Session
from ml_dash import Experiment, InvalidInput, InvalidType, RunClosed
from ml_dash.params import flatten, nest


@pytest.fixture(params=["ml_dash", "dreamlake"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    opened: Any = (
        Experiment("run", "p", local_path=tmp_path).run
        if request.param == "ml_dash"
        else Session("run", "p", local_path=tmp_path)
    )
    with opened as run:
        yield run


@pytest.fixture
def params(run: Any) -> Any:
    return run.params


def record(run: Any) -> Any:
    """What parameters.json holds, by a parser of strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(Path(run.path, "parameters.json").read_text(), parse_constant=refuse)


# ---------------------------------------------------------------- set and get


def test_parameters_are_flattened_with_dots(params: Any) -> None:
    params.set(lr=0.001, model={"depth": 3, "act": {"name": "relu"}}, layers=[1, {"a": 2}])
    assert params.get() == {"lr": 0.001, "model.depth": 3, "model.act.name": "relu", "layers": [1, {"a": 2}]}
    assert params.get(flatten=False) == {
        "lr": 0.001,
        "model": {"depth": 3, "act": {"name": "relu"}},
        "layers": [1, {"a": 2}],
    }


def test_the_record_is_flat_too(run: Any) -> None:
    """As the published clients write it: version, data, createdAt, updatedAt."""
    run.params.set(model={"depth": 3}).set(lr=0.1)
    doc = record(run)
    assert list(doc) == ["version", "data", "createdAt", "updatedAt"]
    assert (doc["version"], doc["data"]) == (2, {"model.depth": 3, "lr": 0.1})


def test_set_returns_itself_and_every_access_is_the_same(run: Any) -> None:
    assert run.params.set(a=1) is run.params
    assert run.params is run.parameters()
    assert run.parameters().set(b=2).get() == {"a": 1, "b": 2}


def test_set_merges_a_key_at_a_time(params: Any) -> None:
    """What is not given stays; the last value wins, whatever its type."""
    params.set(model={"depth": 3, "width": 8}, lr=0.1)
    params.set(model={"depth": 4})
    params.set({"lr": "warmup", "model.width": None})
    assert params.get() == {"model.depth": 4, "model.width": None, "lr": "warmup"}


def test_a_mapping_and_keywords(params: Any) -> None:
    """Any mapping, dotted keys in it as in keywords; a keyword is a parameter, whatever it is called."""
    params.set({"model.depth": 3, "not an identifier": 1})
    params.set(**{"model.width": 8})
    params.set({"lr": 1, "seed": 1}, lr=2)
    params.set(types.MappingProxyType({"x": {"y": 1}}))
    params.set(self="s", values="v", name="n")
    assert params.get() == {
        "model.depth": 3,
        "not an identifier": 1,
        "model.width": 8,
        "lr": 2,
        "seed": 1,
        "x.y": 1,
        "self": "s",
        "values": "v",
        "name": "n",
    }


def test_a_dataclass_is_a_group(params: Any) -> None:
    """As a mapping of its fields: a configuration that is one can be looked for by its parts."""

    @dataclass
    class Optimizer:
        lr: float = 0.1
        betas: tuple[float, float] = (0.9, 0.99)

    @dataclass
    class Config:
        seed: int
        optimizer: Optimizer = field(default_factory=Optimizer)

    params.set(config=Config(7), kind=None)
    assert params.get() == {
        "config.seed": 7,
        "config.optimizer.lr": 0.1,
        "config.optimizer.betas": [0.9, 0.99],
        "kind": None,
    }
    params.set(config={"seed": 8})
    assert params.get(flatten=False)["config"]["seed"] == 8


def test_values_are_those_of_a_row(params: Any) -> None:
    """NaN and infinities survive, NumPy's scalars are Python's, what is read are those types."""
    params.set(a=math.nan, b=-math.inf, c="NaN", d=2**70, e=np.float32(0.5), f=Path("x/y"), g=True, h=(1, 2), i=1.0)
    assert repr(params.get()) == (
        "{'a': nan, 'b': -inf, 'c': 'NaN', 'd': 1180591620717411303424, 'e': 0.5, 'f': 'x/y', 'g': True, 'h': [1, 2], 'i': 1.0}"
    )


def test_nothing_given_changes_nothing(run: Any) -> None:
    run.params.set()
    run.params.set({})
    assert run.params.get() == {}
    assert not Path(run.path, "parameters.json").exists()


def test_what_is_got_is_a_copy(params: Any) -> None:
    params.set(a=[1], b={"c": 1})
    params.get()["a"].append(2)
    params.get(flatten=False)["b"]["c"] = 2
    assert params.get() == {"a": [1], "b.c": 1}


def test_parameters_of_another_process_are_seen(run: Any, tmp_path: Path) -> None:
    """And merged with one's own."""
    other = type(run)("run", "p", local_path=tmp_path)
    with other.run if isinstance(run, Experiment) else other as second:
        second.params.set(b=2)
        run.params.set(a=1)
        assert second.params.get() == run.params.get() == {"a": 1, "b": 2}


def test_repr_shows_them(params: Any) -> None:
    params.set(a=1)
    assert repr(params) == "<parameters of p/run: {'a': 1}>"


# ---------------------------------------------------------------- a value and a group at once


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ({"a": 1}, {"a": {"b": 2}}, "'a' and 'a.b'"),
        ({"a": {"b": 2}}, {"a": 1}, "'a' and 'a.b'"),
        ({"a.b.c": 1}, {"a.b": 1}, "'a.b' and 'a.b.c'"),
        ({"a": None}, {"a.b.c": 1}, "'a' and 'a.b.c'"),
    ],
)
def test_a_value_and_a_group_of_one_name_are_an_error_that_names_both(
    params: Any, first: dict[str, Any], second: dict[str, Any], both: str
) -> None:
    """In either order, in one call and across calls; what was stored stays."""
    params.set(first)
    before = params.get()
    with pytest.raises(ValueError, match=f"{both} cannot both be set"):
        params.set(second, other=1)
    assert params.get() == before


def test_also_in_one_call(params: Any) -> None:
    for values in ({"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}, {"a": {"b": {"c": 1}}, "a.b": 1}):
        with pytest.raises(ValueError, match=r"'a(.b)?' and 'a.b(.c)?' cannot both be set"):
            params.set(values)
    assert params.get() == {}


def test_names_that_only_begin_alike_are_no_group(params: Any) -> None:
    assert params.set({"a": 1, "ab": 2, "a_b": 3, "b.a": 4}).get() == {"a": 1, "ab": 2, "a_b": 3, "b.a": 4}


def test_one_parameter_in_two_spellings_is_an_error(params: Any) -> None:
    """Which of the two was meant nobody can tell."""
    with pytest.raises(ValueError, match=r"parameter 'a.b' is given twice in one call"):
        params.set({"a.b": 1}, a={"b": 2})


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"good": 1, "bad": {1}}, r"parameters: field 'bad': a value of type builtins.set"),
        ({"a": {"b": [0, object()]}}, r"parameters: field 'a.b\[1\]': a value of type builtins.object"),
        ({"a": {"b": {1: 2}}}, r"parameters below 'a.b': names must be strings; got 1 of type int"),
        ({2: 1}, r"parameters: names must be strings; got 2 of type int"),
        ({"a": [{3: 1}]}, r"parameters: field 'a\[0\]': keys must be strings"),
    ],
)
def test_one_bad_value_changes_nothing(run: Any, values: dict[Any, Any], error: str) -> None:
    """The published client truncated all that was there before; here the file is the same, byte for byte."""
    run.params.set(kept=1, model={"depth": 3})
    before = Path(run.path, "parameters.json").read_bytes()
    with pytest.raises(TypeError, match=error) as caught:
        run.params.set(values, kept=2)
    assert isinstance(caught.value, InvalidType)
    assert Path(run.path, "parameters.json").read_bytes() == before
    assert run.params.get() == {"kept": 1, "model.depth": 3}


@pytest.mark.parametrize(
    ("bad", "error"), [("\ud800", "lone surrogate"), (10**4300, "more than 4300 digits")], ids=["text", "int"]
)
def test_a_value_that_cannot_be_read_back_changes_nothing(params: Any, bad: Any, error: str) -> None:
    params.set(kept=1)
    with pytest.raises(ValueError, match=f"parameters: field 'a': .*{error}"):
        params.set(a=bad, kept=2)
    assert params.get() == {"kept": 1}


@pytest.mark.parametrize("args", [(1,), ([1],), ("a",), (None,), ({"a": 1}, {"b": 2}), ({"a": 1}, None)])
def test_set_takes_one_mapping(params: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"params.set takes one mapping, or values by keyword.*; got \w+"):
        params.set(*args)


def test_what_is_nested_too_deep_or_for_ever_is_refused(params: Any) -> None:
    """Mappings, lists and dataclasses alike."""
    loop: dict[str, Any] = {}
    loop["a"] = loop
    ring: list[Any] = []
    ring += [ring, ring]
    for bad in (loop, ring, {"a": {"b": ring}}):
        with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
            params.set(x=bad)
    assert params.get() == {}


# ---------------------------------------------------------------- lifecycle


def test_closed_they_can_be_read_and_not_set(run: Any) -> None:
    """Through what was kept from before as well; an empty set says so too."""
    params = run.params
    params.set(a=1)
    (run.run.complete if isinstance(run, Experiment) else run.close)()
    assert params.get() == run.params.get() == {"a": 1}
    for call in (lambda: params.set(b=2), lambda: run.params.set(b=2), params.set):
        with pytest.raises(RunClosed, match="'run'.* is not open"):
            call()
    (run.run.start if isinstance(run, Experiment) else run.open)()
    assert params.set(b=2).get() == {"a": 1, "b": 2}


def test_before_the_run_was_opened_there_are_none(tmp_path: Path) -> None:
    for closed in (Experiment("r", "p", local_path=tmp_path), Session("r", "p", local_path=tmp_path)):
        with pytest.raises(RuntimeError, match="'r'.* is not open"):
            closed.params  # noqa: B018
        with pytest.raises(RuntimeError, match="'r'.* is not open"):
            closed.parameters()


# ---------------------------------------------------------------- flatten and nest

names = st.text("abc", min_size=1, max_size=2)
leaves: st.SearchStrategy[Any] = st.integers() | st.none() | st.lists(st.integers(), max_size=2) | st.builds(dict)
trees = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3)), max_size=4
)


@given(trees)
def test_nest_undoes_flatten(tree: dict[str, Any]) -> None:
    flat = flatten(tree)
    assert not any(isinstance(value, dict) and value for value in flat.values())
    assert nest(flat) == tree


def test_a_folder_of_a_published_client_may_have_both_a_value_and_a_group() -> None:
    """They can be shown: the dotted key stays as it is, and none is lost."""
    assert nest({"a": 1, "a.b": 2}) == nest({"a.b": 2, "a": 1}) == {"a": 1, "a.b": 2}
    assert nest({"a.b.c": 1, "a.b": 2, "a.d": 3}) == {"a": {"b": 2, "d": 3}, "a.b.c": 1}
