"""``ml-dash export``: what the formats hold, and that a file is there whole or not at all."""

from __future__ import annotations

import builtins
import csv
import io
import json
import math
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_dash import Experiment
from tests.cli.conftest import Command


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def ragged(tmp_path: Path) -> Command:
    with Experiment("e", "p", local_path=tmp_path / "runs").run as experiment:
        experiment.metrics("m").append_batch(
            [
                {"a": 1, "text": 'two\nlines, "quoted"'},
                {"b": 0.1, "a": 2.5},
                {"c": [1, {"d": None}], "flag": True, "index": 7, "none": None},
                {"a": math.nan, "b": -math.inf, "text": "ünï 🙂"},
            ]
        )
        experiment.metrics("n").append_batch([{"a": i} for i in range(3)])
    return Command(tmp_path / "runs")


def test_csv_has_the_union_of_the_fields(ragged: Command) -> None:
    table = rows(ragged.out("export", "e", "m"))
    assert list(table[0]) == ["index", "createdAt", "a", "text", "b", "c", "flag", "data.index", "none"]
    assert [row["a"] for row in table] == ["1", "2.5", "", "NaN"]
    assert [row["b"] for row in table] == ["", "0.1", "", "-Infinity"]
    assert table[0]["text"] == 'two\nlines, "quoted"'
    assert table[3]["text"] == "ünï 🙂"
    assert [table[2][name] for name in ("c", "flag", "data.index", "none")] == ['[1, {"d": null}]', "true", "7", "null"]
    assert all(row["createdAt"].endswith("Z") for row in table)


def test_only_some_fields_in_their_order(ragged: Command) -> None:
    table = rows(ragged.out("export", "e", "m", "--fields", "b,a,nope"))
    assert [list(row.values())[2:] for row in table] == [
        ["", "1", ""],
        ["0.1", "2.5", ""],
        ["", "", ""],
        ["-Infinity", "NaN", ""],
    ]
    lines = [json.loads(line) for line in ragged.out("export", "e", "m", "--fields", "b,a", "-t", "jsonl").splitlines()]
    assert lines[1] == {"index": 1, "data": {"b": 0.1, "a": 2.5}}
    assert lines[2] == {"index": 2, "data": {}}


def test_several_series_say_which(ragged: Command) -> None:
    table = rows(ragged.out("export", "e"))
    assert [row["series"] for row in table] == ["m"] * 4 + ["n"] * 3
    lines = [json.loads(line) for line in ragged.out("export", "e", "m", "n", "-t", "jsonl").splitlines()]
    assert lines[-1] == {"series": "n", "index": 2, "data": {"a": 2}}


def test_jsonl_is_what_is_stored_byte_for_byte(ragged: Command, tmp_path: Path) -> None:
    ragged("export", "e", "m", "-o", tmp_path / "m.jsonl")
    assert (tmp_path / "m.jsonl").read_bytes() == (ragged.root / "p/e/metrics/m/data.jsonl").read_bytes()


def test_logs(cli: Command, tmp_path: Path) -> None:
    cli("export", "high", "--logs", "-o", tmp_path / "l.jsonl")
    assert (tmp_path / "l.jsonl").read_bytes() == (cli.root / "digits/high/logs/logs.jsonl").read_bytes()
    table = rows(cli.out("export", "high", "--logs"))
    assert (table[6]["sequenceNumber"], table[6]["level"], table[6]["metadata"]) == ("6", "warn", '{"step": 6}')
    assert list(rows(cli.out("export", "high", "--logs", "--fields", "message"))[0]) == ["message"]


def test_parquet_has_types(ragged: Command, tmp_path: Path) -> None:
    ragged("export", "e", "-o", tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "series": "string", "index": "int64", "createdAt": "timestamp[ms, tz=UTC]", "a": "double", "text": "string",
        "b": "double", "c": "string", "flag": "bool", "data.index": "int64", "none": "string",
    }  # fmt: skip
    a = table["a"].to_pylist()
    assert (a[:3], a[4:]) == ([1.0, 2.5, None], [0.0, 1.0, 2.0])
    assert math.isnan(a[3])
    assert table["c"].to_pylist()[2] == '[1, {"d": null}]'
    assert table["createdAt"].null_count == 0


def test_parquet_of_mixed_and_huge_values_is_their_json(cli: Command, tmp_path: Path) -> None:
    cli("export", "other/low", "odd", "-o", tmp_path / "odd.pq", "-t", "parquet")
    assert pq.read_table(tmp_path / "odd.pq")["value"].to_pylist() == [
        "1.0", '"NaN"', '"Infinity"', '"-Infinity"', '"\\u004eaN"', None, str(2**70), "[1, 2]", "-5",
    ]  # fmt: skip


def test_parquet_into_a_pipe(start, ragged: Command) -> None:
    out = start("export", "e", "m", "--format", "parquet", root=ragged.root)
    out.stdout.reconfigure(encoding="latin-1", newline="")
    data, err = out.communicate()
    assert err == ""
    assert pq.read_table(io.BytesIO(data.encode("latin-1"))).num_rows == 4


def test_without_pyarrow_the_extra_is_named(cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    text = cli.error("export", "high", "-o", tmp_path / "x.parquet", code=1)
    assert "pip install 'ml-dash[arrow]'" in text
    assert os.listdir(tmp_path) == []


def test_the_format_follows_the_ending(cli: Command, tmp_path: Path) -> None:
    for ending, first in {
        "csv": b"index,",
        "jsonl": b'{"index"',
        "ndjson": b'{"index"',
        "parquet": b"PAR1",
        "txt": b"index,",
    }.items():
        result = cli("export", "high", "val", "-o", tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").read_bytes().startswith(first)
        assert result.stdout == ""
        assert result.stderr.endswith(f"x.{ending}: 5 points of 1 series.\n")


def test_an_empty_run(tmp_path: Path) -> None:
    with Experiment("e", "p", local_path=tmp_path).run:
        pass
    cli = Command(tmp_path)
    assert cli.out("export", "e", "-t", "jsonl") == ""
    assert cli.out("export", "e") == "index,createdAt\n"
    cli("export", "e", "-o", tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0


def test_a_file_that_is_replaced_keeps_nothing_and_a_failure_keeps_all(ragged: Command, tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    with open(ragged.root / "p/e/metrics/n/data.jsonl", "r+b") as f:
        f.seek(20)
        f.write(b"\xff{")
    assert "ml-dash doctor" in ragged.error("export", "e", "-o", target, code=1)
    assert target.read_text() == "old"
    ragged("export", "e", "m", "-o", target)
    assert target.read_text().startswith("index,")
    assert sorted(os.listdir(tmp_path)) == ["runs", "x.csv"]


def test_a_device_is_written_to_not_replaced(cli: Command) -> None:
    cli("export", "high", "-o", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_wrong_places(cli: Command, tmp_path: Path) -> None:
    assert "Make it first" in cli.error("export", "high", "-o", tmp_path / "none" / "x.csv", code=2)
    assert "Is a directory" in cli.error("export", "high", "-o", tmp_path, code=1)
    assert "has no series" in cli.error("export", "high", "nope", code=3)
    assert "--logs takes no series" in cli.error("export", "high", "val", "--logs", code=2)


def test_an_interrupt_leaves_nothing_behind(start, tmp_path: Path) -> None:
    with Experiment("e", "p", local_path=tmp_path / "runs").run as experiment:
        for _ in range(30):
            experiment.metrics("m").append_batch([{"value": i, "text": "x" * 20} for i in range(10_000)])
    (tmp_path / "out").mkdir()
    export = start("export", "e", "m", "-o", tmp_path / "out" / "x.csv", root=tmp_path / "runs")
    while not os.listdir(tmp_path / "out"):
        assert export.poll() is None
        time.sleep(0.005)
    export.send_signal(signal.SIGINT)
    assert export.wait(20) == 130
    assert os.listdir(tmp_path / "out") == []


def test_memory_does_not_grow_with_the_series(start, tmp_path: Path) -> None:
    script = (
        "import resource, sys; sys.argv = ['ml-dash', 'export', 'e', sys.argv[1], '-o', '/dev/null', '-t', sys.argv[2]]\n"
        "from ml_dash.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    with Experiment("e", "p", local_path=tmp_path).run as experiment:
        for size in (40_000, 400_000):
            for _ in range(size // 20_000):
                experiment.metrics(f"m{size}").append_batch([{"value": i / 3, "step": i} for i in range(20_000)])

    import subprocess

    def most(series: str, form: str) -> int:
        env = {**os.environ, "ML_DASH_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        return int(
            subprocess.check_output([sys.executable, "-c", script, series, form], env=env, stderr=subprocess.DEVNULL)
        )

    for form in ("csv", "jsonl", "parquet"):
        assert most("m400000", form) < most("m40000", form) * 1.25
