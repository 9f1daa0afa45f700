"""Files that were cut, flipped, emptied, replaced, locked away or starved of space: what is sound reads on, what is not is said."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ml_dash
from ml_dash import CorruptData, Experiment, NewerFormat, NotFound, codec
from ml_dash.model import LOGS, METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.local import LocalStore
from tests.crash import children
from tests.crash.children import check_small_records, rows

POINTS = 7
KEY = RunKey("", "project", "run")
TEXT = "J* größe \u2028"
"""Text in every row: "J" and "*" are a bit away from a newline, the rest takes several bytes."""


def opened(place: Path, **options: Any) -> Experiment:
    return Experiment("run", "project", local_path=place, **options)


def loaded(place: Path) -> Experiment:
    return ml_dash.load("run", "project", local_path=place)


def run_folder(place: Path) -> Path:
    return place / "project" / "run"


def data_file(place: Path, name: str = "loss") -> Path:
    return run_folder(place) / "metrics" / name / "data.jsonl"


def make(place: Path, points: int = POINTS) -> list[dict[str, Any]]:
    """A run with two metrics, a log, a parameter and a file; the rows of metric ``loss``."""
    wanted = [{"value": i / 4, "text": TEXT} for i in range(points)]
    with opened(place).run as run:
        run.params.set(lr=0.1)
        for row in wanted:
            run.metrics("loss").append(row)
            run.log(f"message {row['value']}")
        run.metrics("other").append(value=1)
        run.files().save_json({"a": 1}, "a.json")
    return wanted


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder: path → content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def starts(data: bytes) -> list[int]:
    return [0, *(i + 1 for i, byte in enumerate(data) if byte == 10)]


def values(run: Experiment, start: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    return [point["data"] for point in run.metrics("loss").read(start, limit)["data"]]


@contextmanager
def a_store(place: Path) -> Iterator[tuple[LocalStore, SeriesKey]]:
    store = LocalStore(place)
    try:
        yield store, SeriesKey(store.get_run(KEY).id, METRICS, "loss")
    finally:
        store.close()


def append_row(store: LocalStore, series: SeriesKey, row: dict[str, Any]) -> int | None:
    return store.append([Batch(series, [codec.encode_row(row)])])[0].first


def read_rows(store: LocalStore, series: SeriesKey, start: int, limit: int | None) -> list[dict[str, Any]]:
    points = codec.decode_page(store.read(series, start, limit))
    assert [point["index"] for point in points] == list(range(start, start + len(points)))
    return [point["data"] for point in points]


# ---------------------------------------------------------------- the end


def test_the_last_line_cut_at_every_byte(place):
    """Wherever the last two lines are cut, the lines before read, a reader never sees the cut one, the next append has the
    right index, and the bytes that were cut are in .torn."""
    wanted = make(place)
    path = data_file(place)
    whole = path.read_bytes()
    at = starts(whole)
    new = {"value": "new"}
    for cut in range(at[-3], len(whole)):
        path.write_bytes(whole[:cut])
        torn = Path(f"{path}.torn")
        torn.unlink(missing_ok=True)
        left = sum(end <= cut for end in at[1:])
        reader = loaded(place)
        assert values(reader) == wanted[:left]
        assert len(reader.metrics("loss")) == left
        with a_store(place) as (store, series):
            assert read_rows(store, series, 0, None) == wanted[:left]
            assert append_row(store, series, new) == left
            assert read_rows(store, series, 0, None) == [*wanted[:left], new]
        assert values(reader) == [*wanted[:left], new]
        assert rows(path) == [*wanted[:left], new]
        assert (torn.read_bytes() if torn.exists() else b"") == whole[at[left] : cut]
        assert [info.count for info in store.describe(series.run)] == [left + 1, 1]


def test_the_log_cut_at_every_byte(place):
    """The same for the log: entries before the cut read, the next one goes on with the right number."""
    make(place)
    path = run_folder(place) / "logs" / "logs.jsonl"
    whole = path.read_bytes()
    at = starts(whole)
    for cut in range(at[-3], len(whole), 3):
        path.write_bytes(whole[:cut])
        Path(f"{path}.torn").unlink(missing_ok=True)
        left = sum(end <= cut for end in at[1:])
        assert [e["message"] for e in loaded(place).logs.read()] == [f"message {i / 4}" for i in range(left)]
        with a_store(place) as (store, series):
            log = SeriesKey(series.run, LOGS, "")
            row = codec.encode_row({"timestamp": "", "level": "info", "message": "new"})
            assert store.append([Batch(log, [row])])[0].first == left
        assert [e["sequenceNumber"] for e in rows(path)] == list(range(left + 1))


def test_a_reader_beside_never_sees_a_torn_line(place):
    """While one process leaves torn tails and the next one cuts them, readers see whole lines, rising, and no error."""
    make(place)
    path = data_file(place)

    def write(child: children.Child) -> None:
        run = opened(place).run.start()
        child.say()
        for i in range(400):
            with open(path, "ab") as f:
                f.write(b'{"index": %d, "data": {"value": "to' % (POINTS + i))
            assert run.metrics("loss").append(value=i)["index"] == POINTS + i

    with children.Child(write) as child:
        child.hear()
        seen = 0
        run = loaded(place)
        while child.status is None:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            child.status = os.waitstatus_to_exitcode(status) if pid else None
            points = run.metrics("loss").read(limit=None)["data"]
            assert [p["index"] for p in points] == list(range(len(points)))
            assert all(set(p["data"]) <= {"value", "text"} for p in points)
            assert len(points) >= seen
            seen = len(points)
        assert child.status == 0
    assert len(rows(path)) == POINTS + 400
    assert Path(f"{path}.torn").read_bytes().count(b'{"index": ') == 400


@pytest.mark.parametrize("nul", [1, 2, 511, 4096, 70_000])
def test_nul_bytes_at_the_end(place, nul):
    """A machine that stopped may leave zeros behind the last line: they are no line, and are cut like a torn one."""
    wanted = make(place)
    path = data_file(place)
    with open(path, "ab") as f:
        f.write(b"\0" * nul)
    assert values(loaded(place)) == wanted
    with opened(place).run as run:
        assert run.metrics("loss").append(value=9)["index"] == POINTS
    assert rows(path) == [*wanted, {"value": 9}]
    assert Path(f"{path}.torn").read_bytes() == b"\0" * nul


@pytest.mark.parametrize("nul", [1, 2, 4096, 70_000])
def test_nothing_but_nul_bytes(place, nul):
    """A file of zeros has no point; the first append gets index 0, the zeros are kept."""
    make(place)
    path = data_file(place)
    path.write_bytes(b"\0" * nul)
    assert values(loaded(place)) == []
    with opened(place).run as run:
        assert run.metrics("loss").append(value=9)["index"] == 0
    assert rows(path) == [{"value": 9}]
    assert Path(f"{path}.torn").read_bytes() == b"\0" * nul


def test_nul_bytes_in_the_middle(place):
    """A block that never reached the disk, between lines that did: they read, a read over the block does not."""
    wanted = make(place, 2_000)
    path = data_file(place)
    whole = path.read_bytes()
    at = starts(whole)
    path.write_bytes(whole[: at[900]] + b"\0" * (at[960] - at[900] - 1) + b"\n" + whole[at[960] :])
    run = loaded(place)
    assert values(run, 0, 900) == wanted[:900]
    assert values(run, 960) == wanted[960:]
    assert values(run, 1_999, 1) == wanted[1_999:]
    for start, limit in ((0, None), (899, 2), (900, 1), (930, 3), (959, 1), (900, 60)):
        with pytest.raises(CorruptData) as raised:
            values(run, start, limit)
        assert (raised.value.path, raised.value.offset) == (str(path), at[900])
    with opened(place).run as again:
        assert again.metrics("loss").append(value=9)["index"] == 2_000


@pytest.mark.parametrize("name", ["metrics/loss/data.jsonl", "logs/logs.jsonl"])
def test_an_empty_file(place, name):
    """A file without a byte is a series without a point: it reads as empty and begins at 0."""
    make(place)
    (run_folder(place) / name).write_bytes(b"")
    run = loaded(place)
    assert len(run.metrics("loss")) + len(run.logs) == POINTS
    with opened(place).run as again:
        again.metrics("loss").append(value=9)
        again.log("again")
    assert len(rows(run_folder(place) / name)) == 1


# ---------------------------------------------------------------- bytes in the middle


def flips(line: bytes) -> Iterator[tuple[int, int]]:
    """(place in the line, new byte): every bit of every byte, the newline's too, and a zero."""
    for place, byte in enumerate(line):
        for new in {*(byte ^ (1 << bit) for bit in range(8)), 0, 255} - {byte}:
            yield place, new


def point_of(line: bytes) -> dict[str, Any] | None:
    """The JSON that a damaged line still is, None if it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def test_every_byte_of_a_middle_line_flipped(place):
    """Ranges beside the damaged line read. One over it raises `CorruptData` with path and offset, or the line is whole JSON
    still, a digit or a letter another one; it is never left out. Appending goes on."""
    wanted = make(place)
    path = data_file(place)
    whole = path.read_bytes()
    at = starts(whole)
    bad = 3
    raised_at = set()
    for where, byte in flips(whole[at[bad] : at[bad + 1]]):
        damaged = bytearray(whole)
        damaged[at[bad] + where] = byte
        path.write_bytes(damaged)
        merged = at[bad] + where + 1 == at[bad + 1]
        with a_store(place) as (store, series):
            assert read_rows(store, series, 0, bad) == wanted[:bad]
            assert read_rows(store, series, bad - 1, 1) == wanted[bad - 1 : bad]
            after = bad + 1 + merged
            assert read_rows(store, series, after, None) == wanted[after:]
            assert read_rows(store, series, after, 1) == wanted[after : after + 1]
            for start, limit in ((0, None), (bad, 1), (bad - 1, 3), (bad, None), (0, bad + 1)):
                error = None
                try:
                    points = codec.decode_page(store.read(series, start, limit))
                except CorruptData as e:
                    error = e
                if error is not None:
                    assert (error.path, error.offset) == (str(path), at[bad])
                    raised_at.add(where)
                else:
                    left = point_of(bytes(damaged[at[bad] : at[bad + 1] - 1]))
                    assert left is not None
                    assert points[bad - start].items() >= left.items()
                    others = [p["data"] for p in points if p is not points[bad - start]]
                    assert others == [row for i, row in enumerate(wanted[start:], start) if i != bad][: len(others)]
                    assert len(points) == min(limit or POINTS, POINTS - start)
            assert append_row(store, series, {"value": "new"}) == POINTS
            assert read_rows(store, series, after, None) == [*wanted[after:], {"value": "new"}]
    structure = b'{"index": 3, "data": {"value": 0.75, "text": "'
    assert raised_at >= {i for i, byte in enumerate(structure) if byte in b'{}":,'} | {at[bad + 1] - at[bad] - 1}


@pytest.mark.parametrize("bad", [POINTS - 1, POINTS - 2, 0])
def test_every_byte_of_an_end_flipped(place, bad):
    """Also where the damaged line is the last, the last but one or the first, an append gets the next index or raises
    `CorruptData`: no index is given twice, and no byte is lost, whether it stays or goes to .torn."""
    wanted = make(place)
    path = data_file(place)
    whole = path.read_bytes()
    at = starts(whole)
    torn = Path(f"{path}.torn")
    went_on = 0
    for where, byte in flips(whole[at[bad] : at[bad + 1]]):
        damaged = bytearray(whole)
        damaged[at[bad] + where] = byte
        path.write_bytes(damaged)
        torn.unlink(missing_ok=True)
        with a_store(place) as (store, series):
            error = None
            try:
                index = append_row(store, series, {"value": "new"})
            except CorruptData as e:
                error = e
            if error is not None:
                assert error.path == str(path)
                assert at[bad] <= error.offset <= at[bad + 1]
                assert path.read_bytes() == damaged
                assert not torn.exists()
                continue
            went_on += 1
            moved = torn.read_bytes() if torn.exists() else b""
            # The newline gone, or an index that is past: then the last line is what a writer left that died.
            left = POINTS - (1 if moved else 0)
            assert index == left
            assert path.read_bytes() == bytes(damaged[: len(damaged) - len(moved)]) + codec.render(
                METRICS, left, [codec.encode_row({"value": "new"})]
            )
            assert bytes(damaged).endswith(moved)
            if moved:
                assert bad == POINTS - 1
            good = [i for i in range(left) if i != bad and not (i == bad + 1 and damaged[at[i] - 1] != 10)]
            for i in good:
                assert read_rows(store, series, i, 1) == wanted[i : i + 1]
            assert read_rows(store, series, left, 1) == [{"value": "new"}]
    assert went_on > 300


def test_damage_to_one_series_is_not_the_runs(place):
    """With one series damaged beyond appending, the run opens, lists, closes, and all its other series go on."""
    make(place)
    path = data_file(place)
    path.write_bytes(path.read_bytes() + b"garbage\n")
    with pytest.warns(RuntimeWarning, match="garbage|does not begin with its index"):
        found = ml_dash.runs(local_path=place)
    assert [(run.name, run.counts["other"]) for run in found] == [("run", 1)]
    with opened(place).run as run:
        assert run.metrics("other").append(value=2)["index"] == 1
        run.log("goes on")
        with pytest.raises(CorruptData, match="does not begin with its index") as raised:
            run.metrics("loss").append(value=2)
        assert (raised.value.path, raised.value.offset) == (str(path), path.stat().st_size - 8)
        with pytest.warns(RuntimeWarning, match="does not begin with its index"):
            listed = run.metrics.list_all()
        assert [(m["name"], m["totalDataPoints"]) for m in listed] == [("loss", POINTS + 1), ("other", 2)]
        assert "garbage" not in json.dumps(run.metrics("other").read())
    assert run.status == "COMPLETED"


def test_columns_and_samples_of_a_damaged_line_say_so(place):
    """No exit leaves a damaged line out: arrays, samples and iteration raise as `read` does."""
    make(place)
    path = data_file(place)
    whole = path.read_bytes()
    at = starts(whole)
    path.write_bytes(whole[: at[4]] + b"x" + whole[at[4] + 1 :])
    metric = loaded(place).metrics("loss")
    for call in (
        lambda: list(metric),
        metric.columns,
        lambda: metric.columns(["value"]),
        lambda: metric.sample("value", max_points=2),
        lambda: metric[4],
        lambda: metric[2:6],
    ):
        with pytest.raises(CorruptData) as raised:
            call()
        assert raised.value.offset == at[4]
    assert metric.columns(["value"], stop_index=4)["value"].tolist() == [0, 0.25, 0.5, 0.75]
    assert metric[-2:][0]["data"]["value"] == 1.25


# ---------------------------------------------------------------- newer formats


@pytest.mark.parametrize("name", ["experiment.json", "parameters.json"])
def test_a_newer_record(place, name):
    """A record of a newer format: neither opened nor read nor listed, the text says to upgrade, and nothing is written."""
    make(place)
    path = run_folder(place) / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    before = tree(place)
    for call in (opened(place).run.start, lambda: loaded(place)):
        with pytest.raises(NewerFormat, match=r"has format 2; .* up to 1\. .* run `pip install -U ml-dash`"):
            call()
    with pytest.warns(RuntimeWarning, match="left out of the list.*format 2"):
        assert len(ml_dash.runs(local_path=place)) == 0
    assert tree(place) == before


def test_a_newer_series(place):
    """A series of a newer format is neither read nor appended to; the run's other series are."""
    make(place)
    path = run_folder(place) / "metrics" / "loss" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    before = tree(path.parent)
    with opened(place).run as run:
        for call in (
            lambda: run.metrics("loss").append(value=1),
            lambda: run.metrics("loss", description="new").append(value=1),
            lambda: run.metrics("loss").append_batch([{"value": 1}]),
            lambda: run.metrics("loss").read(),
            lambda: len(run.metrics("loss")),
        ):
            with pytest.raises(NewerFormat, match=r"metadata\.json has format 2"):
                call()
        assert run.metrics("other").append(value=1)["index"] == 1
        assert len(run.metrics("other").read()["data"]) == 2
    assert tree(path.parent) == before


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\0" * 100, b"[]", b'{"attempts": [{"id": 5}]}', b'{"attempts": 7}', b"null", b"[" * 5_000]
)
def test_a_damaged_record(place, text):
    """A record that is no record: `CorruptData` names the file, whatever the damage, and it is not written over."""
    make(place)
    path = run_folder(place) / "experiment.json"
    path.write_bytes(text)
    before = tree(place)
    for call in (opened(place).run.start, lambda: loaded(place)):
        with pytest.raises(CorruptData) as raised:
            call()
        assert raised.value.path == str(path)
        assert "ml-dash doctor --repair" in str(raised.value)
    with pytest.warns(RuntimeWarning, match="left out of the list"):
        assert len(ml_dash.runs(local_path=place)) == 0
    assert tree(place) == before


@pytest.mark.parametrize("text", [b"", b'{"version": 1, "data": {"lr": ', b'{"data": [1]}'])
def test_damaged_parameters(place, text):
    """Parameters that cannot be read are not taken for none: they would be written over."""
    make(place)
    path = run_folder(place) / "parameters.json"
    path.write_bytes(text)
    for call in (opened(place).run.start, lambda: loaded(place)):
        with pytest.raises(CorruptData) as raised:
            call()
        assert raised.value.path == str(path)
    assert path.read_bytes() == text


@pytest.mark.parametrize("text", [b"", b'{"name": "lo', b"\0\0"])
def test_a_damaged_record_of_a_series_does_not_stop_it(place, text):
    """metadata.json holds no point: without it the series reads and goes on with a warning, and the damaged one is kept."""
    wanted = make(place)
    path = run_folder(place) / "metrics" / "loss" / "metadata.json"
    path.write_bytes(text)
    with pytest.warns(RuntimeWarning, match=r"metadata\.json is damaged"):
        assert values(loaded(place)) == wanted
    with pytest.warns(RuntimeWarning, match=r"metadata\.json is damaged"), opened(place).run as run:
        assert run.metrics("loss").append(value=9)["index"] == POINTS
    assert json.loads(path.read_text()).items() >= {"name": "loss", "totalDataPoints": 8, "nextIndex": 8}.items()
    assert Path(f"{path}.damaged").read_bytes() == text
    assert len(values(loaded(place))) == POINTS + 1


# ---------------------------------------------------------------- a read-only folder


def all_reads(place: Path, points: int = POINTS) -> None:
    """Whatever reads."""
    run = loaded(place)
    assert run.status == "COMPLETED"
    assert run.params.get() == {"lr": 0.1}
    assert [m["name"] for m in run.metrics.list_all()] == ["loss", "other"]
    assert len(values(run)) == points
    assert len(run.logs.read()) == points
    assert run.metrics("loss").sample("value", max_points=3).count.sum() == points
    assert run.metrics("loss").columns(["value"])["value"].shape == (points,)
    assert run.metrics("loss").stats()["totalDataPoints"] == points
    assert [r.name for r in ml_dash.runs(local_path=place)] == ["run"]
    assert [f["filename"] for f in run.files().list()] == ["a.json"]


def lock_out(place: Path) -> None:
    """Take from this process the right to write below `place`; a child's work, since it cannot be given back."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def make_read_only(place: Path) -> None:
    for folder, _, names in os.walk(place):
        os.chmod(folder, 0o555)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o444)


@pytest.fixture
def read_only(place: Path) -> Iterator[Path]:
    """A root with a run, in which a process after `lock_out` cannot write."""
    root = place / "root"
    make(root)
    np.zeros(1)
    make_read_only(place)
    yield root
    for folder, _, _ in os.walk(place):
        os.chmod(folder, 0o755)


def test_a_read_only_folder_reads(read_only):
    """A run in a folder without the right to write: status, parameters, metrics, log, files, samples and lists, no warning."""
    before = tree(read_only)

    def read() -> None:
        lock_out(read_only)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            all_reads(read_only)

    children.run(read)
    assert tree(read_only) == before


def test_a_read_only_folder_is_not_written_to(read_only):
    """Opening the run raises `PermissionError` that names the place, also for a new run; so does an append to what was found."""
    before = tree(read_only)

    def write() -> None:
        lock_out(read_only)
        for call in (
            opened(read_only).run.start,
            opened(read_only, on_error="warn").run.start,
            Experiment("new", "project", local_path=read_only).run.start,
            Experiment("new", "new", local_path=read_only / "deeper").run.start,
        ):
            with pytest.raises(PermissionError) as raised:
                call()
            assert str(raised.value.filename).startswith(str(read_only))
        store = LocalStore(read_only)
        series = SeriesKey(store.get_run(KEY).id, METRICS, "loss")
        assert store.read(series, 0, None).count == POINTS
        calls: list[Callable[[], object]] = [
            lambda: append_row(store, series, {"value": 1}),
            lambda: store.update_run(series.run, RunPatch(params={"a": 1})),
        ]
        for write_to in calls:
            with pytest.raises(PermissionError) as raised:
                write_to()
            assert str(raised.value.filename).startswith(str(read_only))
        assert store.read(series, 0, None).count == POINTS

    children.run(write)
    assert tree(read_only) == before


def test_a_series_that_became_read_only(place):
    """One file without the right to write in a run that has it: its append raises, naming it; the rest goes on."""

    def write() -> None:
        os.chmod(data_file(place), 0o444)
        for folder, _, names in os.walk(place):
            os.chmod(folder, 0o777)
            for name in names:
                if name != "data.jsonl" or "loss" not in folder:
                    os.chmod(os.path.join(folder, name), 0o666)
        lock_out(place)
        with opened(place).run as run:
            with pytest.raises(PermissionError) as raised:
                run.metrics("loss").append(value=1)
            assert raised.value.filename == str(data_file(place))
            assert len(values(run)) == POINTS
            run.metrics("other").append(value=1)

    wanted = make(place)
    os.chmod(place, 0o755)
    children.run(write)
    assert rows(data_file(place)) == wanted
    assert len(rows(data_file(place, "other"))) == 2


@contextmanager
def mounted(target: Path, *options: str) -> Iterator[None]:
    """A mount of the test's own, or a skip where it is not allowed."""
    if subprocess.run(["mount", *options, str(target)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_read_only_file_system(place):
    """A disk that is mounted to be read: reading works, writing raises the system's error."""
    root = place / "root"
    make(root)
    with mounted(root, "--bind", str(root)):
        if subprocess.run(["mount", "-o", "remount,ro,bind", str(root)], capture_output=True).returncode:
            pytest.skip("no read-only mount here")
        all_reads(root)
        with pytest.raises(OSError) as raised:
            opened(root).run.start()
        assert raised.value.errno == errno.EROFS
        store = LocalStore(root)
        series = SeriesKey(store.get_run(KEY).id, METRICS, "loss")
        with pytest.raises(OSError) as raised:
            append_row(store, series, {"value": 1})
        assert raised.value.errno == errno.EROFS
        assert store.read(series, 0, None).count == POINTS
    all_reads(root)


# ---------------------------------------------------------------- taken away under us


def until_refused(append: Callable[[], Any]) -> OSError:
    """Appends go on to what a descriptor still holds for a tick at most; then one is refused."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            append()
        except OSError as e:
            return e
    raise AssertionError("appended to a file that nobody can find, for 10 s")


def test_the_file_unlinked(place):
    """A series whose file was deleted: within a tick an append raises, naming file and remedy; the run's others go on, it closes,
    and opening it again begins the series anew."""
    make(place)
    run = opened(place).run.start()
    metric = run.metrics("loss")
    metric.append(value=1)
    data_file(place).unlink()
    error = until_refused(lambda: metric.append(value=2))
    assert isinstance(error, FileNotFoundError)
    assert str(data_file(place)) in str(error)
    assert "was deleted while the run was open" in str(error)
    assert "Open the run again" in str(error)
    assert not data_file(place).exists()
    assert len(metric) == 0
    run.metrics("other").append(value=2)
    with pytest.warns(RuntimeWarning, match="was deleted while the run was open"):
        run.run.complete()
    assert run.status == "COMPLETED"
    with opened(place).run as again:
        assert again.metrics("loss").append(value=3)["index"] == 0
        assert len(again.metrics("other")) == 2
    assert again.status == "COMPLETED"


def test_the_file_replaced(place):
    """Another file in the place of a series': within a tick appending goes on at the end of that one, with one warning."""
    wanted = make(place)
    path = data_file(place)
    run = opened(place).run.start()
    metric = run.metrics("loss")
    metric.append(value=1)
    copy = path.with_name("copy")
    copy.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    os.replace(copy, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = time.monotonic() + 10
        while not caught and time.monotonic() < end:
            index = metric.append(value=2)["index"]
        assert index == 4
        assert metric.append(value=3)["index"] == 5
        run.run.complete()
    assert [str(w.message) for w in caught] == [
        f"{path} was replaced while the run was open; points appended since then and before now went with the old file. "
        "Appending goes on at the end of the new one."
    ]
    assert rows(path) == [*wanted[:4], {"value": 2}, {"value": 3}]


def test_the_run_removed(place):
    """``rm -rf`` of an open run: appends raise within a tick, nothing is made anew behind the user's back, closing warns and ends,
    and the same object opens a new run, its metrics included."""
    make(place)
    run = opened(place)
    run.run.start()
    old = run.id
    metric = run.metrics("loss")
    metric.append(value=1)
    shutil.rmtree(run_folder(place))
    error = until_refused(lambda: metric.append(value=2))
    assert isinstance(error, (FileNotFoundError, NotFound))
    with pytest.raises((NotFound, OSError)):
        run.metrics("fresh").append(value=1)
    with pytest.raises((NotFound, OSError)):
        run.params.set(a=1)
    assert not run_folder(place).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(OSError):
            run.run.complete()
    assert not run_folder(place).exists()
    with run.run as again:
        assert again.id != old
        assert metric.append(value=3)["index"] == 0
        assert again.params.get() == {}
    assert rows(data_file(place)) == [{"value": 3}]


def test_the_run_removed_while_on_error_is_warn(place):
    """Training goes on with one warning, whatever happens to the folder."""
    make(place)
    run = opened(place, on_error="warn").run.start()
    run.metrics("loss").append(value=1)
    shutil.rmtree(run_folder(place))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            run.metrics("loss").append(value=2)
        run.run.complete()
    assert 1 <= len(caught) <= 2
    assert "Training goes on" in str(caught[0].message)


# ---------------------------------------------------------------- no space


def starve(limit: int) -> None:
    """From here on, no file of this process grows beyond `limit` bytes: the write that would is cut, the next one fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def feed() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


BATCH = [{"value": i, "text": "x" * 100} for i in range(200)]


def test_no_space_in_the_middle_of_a_batch(place):
    """A batch that the disk has no room for raises the system's error and leaves not a byte, wherever it is cut; what was there
    stays, a reader beside sees no half, and with room again the next append has the next index."""
    wanted = make(place)
    path = data_file(place)
    size = path.stat().st_size
    length = sum(
        len(line) + 1 for line in codec.render(METRICS, POINTS, [codec.encode_row(r) for r in BATCH]).split(b"\n")[:-1]
    )

    def write() -> None:
        run = opened(place).run.start()
        metric = run.metrics("loss")
        for room in (0, 1, 60, 1000, length // 2, length - 1):
            starve(size + room)
            with pytest.raises(OSError) as raised:
                metric.append_batch(BATCH)
            assert raised.value.errno in (errno.EFBIG, errno.ENOSPC)
            assert path.stat().st_size == size
            assert values(run) == wanted
            starve(size + min(room, 20))
            with pytest.raises(OSError):
                metric.append(value=1, text="y" * 100)
            assert path.stat().st_size == size
        starve(size + length)
        assert metric.append_batch(BATCH)["startIndex"] == POINTS
        with pytest.raises(OSError):
            metric.append(value=1)
        feed()
        assert metric.append(value="room again")["index"] == POINTS + len(BATCH)
        run.run.complete()

    children.run(write)
    assert rows(path) == [*wanted, *BATCH, {"value": "room again"}]
    assert not Path(f"{path}.torn").exists()
    check_small_records(place)


def test_no_space_in_a_new_series(place):
    """The first append to a series of its own finds no room: nothing is stored, and later it begins at 0."""
    make(place)

    def write() -> None:
        run = opened(place).run.start()
        starve(1_000)
        with pytest.raises(OSError):
            run.metrics("new").append_batch(BATCH)
        assert len(run.metrics("new")) == 0
        feed()
        assert run.metrics("new").append(value=1)["index"] == 0
        run.run.complete()

    children.run(write)
    assert rows(data_file(place, "new")) == [{"value": 1}]


@pytest.mark.parametrize("limit", [0, 10])
def test_an_append_that_returned_is_stored_though_its_clock_is_not(place, limit):
    """Wall times are advisory: no room for them is not an error of the append, whose row is there."""
    make(place)
    clock = data_file(place).with_name("clock.jsonl")

    def write() -> None:
        store = LocalStore(place)
        series = SeriesKey(store.get_run(KEY).id, METRICS, "fresh")
        assert append_row(store, series, {}) == 0
        store.close()
        feeding = LocalStore(place)
        path = data_file(place, "fresh")
        (path.with_name("clock.jsonl")).write_bytes(b'{"index": 0, "time": 1}\n' * 100)
        starve(path.stat().st_size + 25 + limit)
        assert append_row(feeding, series, {}) == 1
        feeding.close()

    assert clock.exists()
    children.run(write)
    assert len(rows(data_file(place, "fresh"))) == 2


def test_training_goes_on_without_space(place):
    """With ``on_error="warn"`` there is one warning and no exception, also from closing; what was stored before stays."""
    wanted = make(place)
    size = data_file(place).stat().st_size

    def write() -> None:
        run = opened(place, on_error="warn").run.start()
        starve(size + 10)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for i in range(100):
                run.metrics("loss").append(value=i)
                run.metrics("loss").append_batch(BATCH)
                run.params.set({f"p{i}": "x" * 1_000})
            starve(0)
            run.log("no room")
            run.flush()
            run.run.complete()
        assert len(caught) == 1, [str(w.message) for w in caught]
        assert "could not write" in str(caught[0].message)
        feed()

    children.run(write)
    assert rows(data_file(place)) == wanted
    check_small_records(place)
    assert json.loads((run_folder(place) / "parameters.json").read_text())["data"]["lr"] == 0.1


def test_small_records_keep_their_content_without_space(place):
    """Parameters, the run's record, a series' record and the files' records are written whole or not at all."""
    make(place)
    records = {p: p.read_bytes() for p in run_folder(place).rglob("*.json") if p.parent.name != "files"}
    assert len(records) >= 5

    def write() -> None:
        run = opened(place).run.start()
        before = tree(run_folder(place))
        for limit in (0, 1, 100):
            starve(limit)
            for call in (
                lambda: run.params.set(lr="x" * 10_000),
                lambda: run.metrics("loss", description="y" * 10_000).append(value=1),
                lambda: run.files().save_json({"b": "z" * 10_000}, "b.json"),
                opened(place, description="d" * 10_000).run.start,
            ):
                with pytest.raises(OSError):
                    call()
            feed()
            after = tree(run_folder(place))
            assert {n for n in after | before if after.get(n) != before.get(n)} == set()
        run.params.set(lr=0.2)
        run.run.complete()

    children.run(write)
    check_small_records(place)
    run = loaded(place)
    assert run.params.get() == {"lr": 0.2}
    assert run.metrics.list_all()[0]["description"] is None
    assert not list(place.rglob(".tmp-*"))


def test_a_full_disk(place):
    """A small disk filled to the last block: the append that finds no room raises ENOSPC and stores nothing, everything before it
    is whole, and after room was made the same process goes on."""
    disk = place / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        (disk / "filler").write_bytes(b"x" * 12_000)
        run = opened(disk).run.start()
        metric = run.metrics("loss")
        stored = []
        with pytest.raises(OSError) as raised:  # noqa: PT012  how many fit is for the disk to say
            for i in range(10_000):
                batch = [{"value": i, "n": n} for n in range(10)]
                metric.append_batch(batch)
                stored += batch
        assert raised.value.errno == errno.ENOSPC
        assert stored
        path = data_file(disk)
        assert rows(path) == stored
        params = (run_folder(disk) / "experiment.json").read_bytes()
        with pytest.raises(OSError) as raised:
            run.params.set({f"p{i}": "x" * 100 for i in range(1_000)})
        assert raised.value.errno == errno.ENOSPC
        assert (run_folder(disk) / "experiment.json").read_bytes() == params
        with suppress(OSError):
            metric.append_batch(BATCH)
        assert rows(path) == stored
        assert values(loaded(disk)) == stored
        (disk / "filler").unlink()
        assert metric.append(value="room")["index"] == len(stored)
        run.run.complete()
        assert rows(path) == [*stored, {"value": "room"}]
        check_small_records(disk)
