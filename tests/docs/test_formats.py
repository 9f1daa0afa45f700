"""The readers that docs/formats/series.md gives in plain Python read what we write, and only plain Python is in them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from tests.docs.pages import page

ODD: list[dict[str, Any]] = [
    {"value": float("nan"), "word": "NaN"},
    {"value": [float("inf"), "Infinity", -math.inf, "-Infinity"], "deep": {"NaN": float("nan"), "x": ["NaN"]}},
    {"text": '"NaN"', "quoted": 'a "NaN", b', "slash": '\\"NaN', "tab": "\t\n", "sep": "\u2028\u0085\x1e"},
    {"big": 2**70, "one": 1, "float": 1.0, "null": None, "yes": True},
    {"": "", "NaN": 1, "Infinity": "NaN"},
    {"text": "x" * 100_000},
    {},
]


@pytest.fixture(scope="module")
def functions() -> dict[str, Callable[..., Any]]:
    """The functions of the page's blocks that define some."""
    blocks = [block.text for block in page("docs/formats/series.md").blocks if block.info == "python"]
    namespace: dict[str, Any] = {}
    for text in blocks:
        if any(isinstance(node, ast.FunctionDef) for node in ast.parse(text).body):
            exec(text, namespace)
    return namespace


@pytest.fixture
def series(tmp_path: Path) -> Path:
    with Experiment(name="run", project="project", local_path=tmp_path).run as experiment:
        for row in ODD:
            experiment.metrics("odd").append(row)
        experiment.metrics("odd").append_batch([{"step": step, "text": "é" * (step % 300)} for step in range(20_000)])
    return tmp_path / "project/run/metrics/odd/data.jsonl"


def test_reader_of_the_page_reads_what_was_appended(functions: dict[str, Any], series: Path) -> None:
    points = list(functions["read"](series))
    assert [index for index, _ in points] == list(range(len(ODD) + 20_000))
    assert repr([row for _, row in points[: len(ODD)]]) == repr(ODD)


def test_reader_of_the_page_skips_what_it_says(functions: dict[str, Any], series: Path) -> None:
    whole = list(functions["read"](series))
    for tail in (
        b'{"index": 20007, "data": {}}',
        b"\0" * 100,
        b'{"index": 3, "data": {}}\n',
        b'{"index": 3, "data": {}}\n{"in',
    ):
        old = series.read_bytes()
        series.write_bytes(old + tail)
        assert repr(list(functions["read"](series))) == repr(whole), tail
        series.write_bytes(old)


def test_reader_of_the_page_skips_half_a_batch(functions: dict[str, Any], series: Path) -> None:
    """What a kill inside `append_batch` leaves: see docs/decisions/0004."""
    whole = list(functions["read"](series))
    size = series.stat().st_size
    with series.open("ab") as file:
        file.write(b'{"index": 20007, "data": {"step": 0}}\n{"index": 20008, "da')
    Path(f"{series}.batch").write_bytes(b"%020d %020d" % (size, size + 4_000))
    assert repr(list(functions["read"](series))) == repr(whole)
    assert len(ml_dash.load("run", "project", local_path=series.parents[4]).metrics("odd")) == len(whole)


def test_reader_of_the_page_tells_of_damage(functions: dict[str, Any], series: Path) -> None:
    lines = series.read_bytes().split(b"\n")
    series.write_bytes(b"\n".join([*lines[:5], *lines[6:]]))
    with pytest.raises(ValueError, match="line 5 carries index 6"):
        list(functions["read"](series))


def test_search_of_the_page_finds_any_line(functions: dict[str, Any], series: Path) -> None:
    lines = series.read_bytes().splitlines(keepends=True)
    for index in [*range(12), *range(12, len(lines), 1_777), len(lines) - 1]:
        assert functions["find"](series, index) == lines[index]


def test_reader_of_the_page_is_short(functions: dict[str, Any]) -> None:
    (text,) = (block.text for block in page("docs/formats/series.md").blocks if "def read(" in block.text)
    body = text[text.index("def read(") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 15
