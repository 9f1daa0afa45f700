"""Folders that ml-dash 0.5.2 and dreamlake 0.2.1 wrote open, read, and go on, whatever their races and kills left in them.

The fixtures were made by the published clients themselves; see tests/fixtures/published/make.py.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dreamlake
import ml_dash
from ml_dash import CorruptData, doctor
from ml_dash.errors import ReadOnly

FIXTURES = Path(__file__).parents[1] / "fixtures" / "published"


@dataclass
class Client:
    """A copy of what one published client wrote, under the names of today's package."""

    root: Path
    package: Any
    series: str
    id_key: str

    @property
    def is_dreamlake(self) -> bool:
        return self.series == "tracks"

    def folder(self, run: str) -> Path:
        return self.root / "published" / run

    def lines(self, run: str, name: str = "loss") -> Path:
        return self.folder(run) / self.series / name / "data.jsonl"

    def load(self, run: str) -> Any:
        return self.package.load(run, "published", local_path=self.root)

    def listed(self) -> Any:
        find = self.package.sessions if self.is_dreamlake else self.package.runs
        return {one.name: one for one in find(local_path=self.root)}

    def open(self, run: str, **given: Any) -> Any:
        if self.is_dreamlake:
            return self.package.Session(run, "published", local_path=self.root, **given).open()
        return self.package.Experiment(run, "published", local_path=self.root, **given).run.start()

    def close(self, run: Any) -> None:
        run.close() if self.is_dreamlake else run.run.complete()

    def one(self, run: Any, name: str | None = "loss") -> Any:
        return run.track(name) if self.is_dreamlake else run.metrics(name)

    def params(self, run: Any) -> Any:
        return run.parameters() if self.is_dreamlake else run.params

    def files(self, run: Any, **about: Any) -> Any:
        return run.file(**about)

    def published_append(self, run: str, name: str, *rows: dict[str, Any]) -> None:
        """What the published client does to append, word for word where it counts."""
        place = self.lines(run, name).parent
        meta = json.loads((place / "metadata.json").read_text())
        for row in rows:
            entry = {"index": meta["nextIndex"], "data": row, "createdAt": "2026-12-01T10:00:00.123456Z"}
            with open(place / "data.jsonl", "a") as f:
                f.write(json.dumps(entry) + "\n")
            meta["nextIndex"] += 1
            meta["totalDataPoints"] += 1
        (place / "metadata.json").write_text(json.dumps(meta, indent=2))


@pytest.fixture(params=["ml-dash-0.5.2", "dreamlake-0.2.1"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    root = tmp_path / "root"
    shutil.copytree(FIXTURES / request.param, root)
    if request.param.startswith("dreamlake"):
        return Client(root, dreamlake, "tracks", "trackId")
    return Client(root, ml_dash, "metrics", "metricId")


def raw(path: Path) -> list[dict[str, Any]]:
    """The lines of a published client that can be read, by plain `json`."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows_of(series: Any) -> list[dict[str, Any]]:
    return [point["data"] for point in series.read(limit=None)["data"]]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Warnings are not what the test is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_the_fixtures_hold_no_path_of_the_machine_that_made_them():
    """They are committed, so that nobody's home folder may be in them."""
    for path in FIXTURES.rglob("*"):
        if path.is_file() and path.suffix != ".py":
            assert not re.search(rb"/(home|root|work|tmp|Users)/", path.read_bytes()), path


# ---------------------------------------------------------------- a run that was closed in peace


def test_everything_reads(client):
    """Parameters, log, metrics with the times of their lines, files: as they were written, without a warning or a byte changed."""
    before = tree(client.root)
    run = client.load("whole")
    assert run.status == "COMPLETED"
    assert run.data["description"] == "the baseline"
    assert run.data["tags"] == ["a", "b"]
    assert run.data["folder"] == "/team/vision"
    assert run.data["metadata"] == {"seed": 7}
    assert run.data["bindrs"] == ([] if client.is_dreamlake else ["gpu"])
    assert client.params(run).get() == {
        "lr": 0.01,
        "model.depth": 3,
        "model.widths": [64, 128],
        "name": "résumé",
    }
    assert [(e["sequenceNumber"], e["level"], e["message"], e.get("metadata")) for e in run.logs.read()] == [
        (0, "info", "started", {"epoch": 0}),
        (1, "warn", "loss went up", {"epoch": 1, "delta": 0.25}),
        (2, "info", "a line\nand another, ünïcode", None),
    ]
    read = client.one(run, "train_loss").read()
    assert [p["data"] for p in read["data"]] == [{"value": 1 / (i + 1), "epoch": i} for i in range(5)]
    assert [p["createdAt"] for p in read["data"]] == [p["createdAt"] for p in raw(client.lines("whole", "train_loss"))]
    assert read["hasMore"] is False
    assert rows_of(client.one(run, "accuracy")) == [{"top1": 0.5 + i / 100, "top5": 0.9} for i in range(30)]
    assert client.one(run, "accuracy")[29]["data"]["top1"] == 0.79
    assert client.one(run, "accuracy").columns(["top1"])["top1"].shape == (30,)
    assert client.one(run, "accuracy").sample("top1", max_points=3).count.sum() == 30
    assert tree(client.root) == before


def test_the_unnamed_series_is_none(client):
    """What the published clients called "None" is the series without a name; a string "NaN" of theirs is a string."""
    run = client.load("whole")
    assert rows_of(client.one(run, None)) == [{"loss": 1.5, "note": "unnamed"}, {"loss": 1.25, "note": "NaN"}]
    assert client.one(run, None).columns(["note"])["note"].tolist() == ["unnamed", "NaN"]


def test_bare_nan_and_infinity_are_numbers(client):
    """They wrote what is no JSON; it reads as the floats that were meant, with their rows beside them."""
    values = [row["value"] for row in rows_of(client.one(client.load("whole"), "not finite"))]
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert values[2:] == [math.inf, -math.inf, 2]
    column = client.one(client.load("whole"), "not finite").columns(["value"])["value"]
    assert repr(column.tolist()) == repr([float(value) for value in values])


def test_stats_and_lists(client):
    """Counts come from the lines, what was said of a series from its record, the first and last time from the lines."""
    run = client.load("whole")
    listed = client.one(run).list_all()
    assert [(one["name"], one["totalDataPoints"]) for one in listed] == [
        ("None", 2),
        ("accuracy", 30),
        ("not finite", 5),
        ("train_loss", 5),
    ]
    stats = client.one(run, "accuracy").stats()
    lines = raw(client.lines("whole", "accuracy"))
    assert stats[client.id_key] == f"local-{client.series.rstrip('s')}-accuracy"
    assert (stats["description"], stats["tags"], stats["metadata"]) == ("on the test set", ["eval"], {"unit": "%"})
    assert stats["totalDataPoints"] == 30
    assert stats["lastDataAt"] == lines[-1]["createdAt"]
    assert stats["firstDataAt"] <= lines[0]["createdAt"]


def test_runs_lists_them(client, quiet):
    """A list of runs shows what each holds, without a record of ours in any of them; only one whose record is damaged is left out."""
    found = client.listed()
    assert sorted(found) == ["killed", "raced", "torn", "whole"]
    assert found["whole"].status == "COMPLETED"
    assert found["whole"].params["lr"] == 0.01
    assert found["whole"].counts == {"None": 2, "accuracy": 30, "not finite": 5, "train_loss": 5}
    assert found["raced"].counts == {"loss": len(raw(client.lines("raced")))}
    assert found["torn"].counts == {"loss": 4}
    assert found["killed"].counts == {"loss": len(raw(client.lines("killed")))}


def test_files_download(client, tmp_path):
    """Files with and without a prefix come down under their names; deleted and replaced ones are not listed."""
    run = client.load("whole")
    listed = {f["filename"]: f for f in client.files(run).list()}
    assert sorted(listed) == ["config.json", "notes.txt"]
    notes = listed["notes.txt"]
    assert (notes["path"], notes["description"], notes["metadata"]) == ("/docs", "kept", {"n": 2})
    for name, content in (("notes.txt", "second version\n"), ("config.json", '{"a": 1}\n')):
        path = client.files(run, file_id=listed[name]["id"], dest_path=str(tmp_path / name)).download()
        assert Path(path).read_text() == content


def test_it_cannot_be_written_through_load(client):
    """`load` only reads, here too."""
    run = client.load("whole")
    with pytest.raises(ReadOnly):
        client.one(run, "train_loss").append(value=1)


# ---------------------------------------------------------------- going on


def test_it_goes_on(client, tmp_path):
    """Opened for writing, indices and log numbers go on in our line format, and everything old is still there."""
    old = client.lines("whole", "train_loss").read_bytes()
    run = client.open("whole")
    assert run.status == "RUNNING"
    assert client.one(run, "train_loss").append(value=0.125, epoch=5)["index"] == 5
    assert client.one(run, "train_loss").append_batch([{"value": math.nan}, {"value": "NaN"}])["startIndex"] == 6
    assert client.one(run, None).append(loss=1.0)["index"] == 2
    assert client.one(run, "new").append(value=1)["index"] == 0
    client.params(run).set(lr=0.5, more=1)
    run.log("goes on", epoch=2)
    (tmp_path / "more.txt").write_text("more\n")
    client.files(run, file_path=str(tmp_path / "more.txt"), prefix="/docs").save()
    client.files(run, file_path=str(tmp_path / "more.txt"), prefix="/docs", description="again").save()
    client.close(run)
    assert run.status == "COMPLETED"
    lines = client.lines("whole", "train_loss").read_bytes()
    assert lines.startswith(old)
    assert lines[len(old) :] == (
        b'{"index": 5, "data": {"value": 0.125, "epoch": 5}}\n'
        b'{"index": 6, "data": {"value": "NaN"}}\n'
        b'{"index": 7, "data": {"value": "\\u004eaN"}}\n'
    )
    again = client.load("whole")
    rows = rows_of(client.one(again, "train_loss"))
    assert [row["value"] for row in rows[:6]] == [1, 0.5, 1 / 3, 0.25, 0.2, 0.125]
    assert math.isnan(rows[6]["value"])
    assert rows[7]["value"] == "NaN"
    assert rows_of(client.one(again, None))[1]["note"] == "NaN"
    assert [e["sequenceNumber"] for e in again.logs.read()] == [0, 1, 2, 3]
    assert client.params(again).get()["model.depth"] == 3
    assert client.params(again).get()["lr"] == 0.5
    assert sorted(f["filename"] for f in client.files(again).list()) == ["config.json", "more.txt", "notes.txt"]
    assert again.data["description"] == "the baseline"
    assert again.data["createdAt"] == run.data["createdAt"]


def test_times_go_on_from_theirs(client):
    """Old points keep the time of their line, new ones have that of their append."""
    run = client.open("whole")
    client.one(run, "train_loss").append(value=1)
    client.close(run)
    points = client.one(client.load("whole"), "train_loss").read()["data"]
    assert points[4]["createdAt"] == raw(client.lines("whole", "train_loss"))[4]["createdAt"]
    assert points[5]["createdAt"] != points[4]["createdAt"]


def test_their_layout_is_kept(client):
    """Right after close the published client would go on: metadata.json tells the next index, .log_sequence the next number,
    and every key that it knows is there with its own kind of value."""
    before = {
        name: json.loads((client.folder("whole") / client.series / name / "metadata.json").read_text())
        for name in ("train_loss", "accuracy")
    }
    run = client.open("whole")
    for i in range(7):
        client.one(run, "train_loss").append(value=i)
        run.log(f"entry {i}")
    client.one(run, "fresh").append_batch([{"value": 1}] * 4)
    client.close(run)
    for name, number in (("train_loss", 12), ("fresh", 4)):
        meta = json.loads((client.folder("whole") / client.series / name / "metadata.json").read_text())
        assert (meta["totalDataPoints"], meta["nextIndex"]) == (number, number)
        assert meta[client.id_key] == f"local-{client.series.rstrip('s')}-{name}"
        assert {"name", "description", "tags", "metadata", "createdAt", "updatedAt"} <= set(meta)
    now = json.loads((client.folder("whole") / client.series / "train_loss" / "metadata.json").read_text())
    assert {k: now[k] for k in before["train_loss"] if k not in ("totalDataPoints", "nextIndex", "updatedAt")} == {
        k: v for k, v in before["train_loss"].items() if k not in ("totalDataPoints", "nextIndex", "updatedAt")
    }
    assert (client.folder("whole") / "logs" / ".log_sequence").read_text() == "10"
    params = json.loads((client.folder("whole") / "parameters.json").read_text())
    assert {"version", "data", "updatedAt"} <= set(params)
    record = json.loads(
        (client.folder("whole") / ("session.json" if client.is_dreamlake else "experiment.json")).read_text()
    )
    assert {"name", "description", "tags", "folder", "metadata", "created_at", "write_protected"} <= set(record)
    for line in client.lines("whole", "train_loss").read_text().splitlines():
        assert {"index", "data"} <= set(json.loads(line))


def test_turn_and_turn_about(client):
    """The published client appends after us, and we after it, again and again: indices stay gapless."""
    for turn in range(3):
        run = client.open("whole")
        assert client.one(run, "train_loss").append(value="ours")["index"] == 5 + 3 * turn
        client.close(run)
        client.published_append("whole", "train_loss", {"value": "theirs"}, {"value": math.nan})
    series = client.one(client.load("whole"), "train_loss")
    assert [p["index"] for p in series.read()["data"]] == list(range(14))
    assert [row["value"] for row in rows_of(series)[5:]][::3] == ["ours"] * 3
    assert all(math.isnan(row["value"]) for row in rows_of(series)[7::3])


def test_a_copied_folder_is_a_run_of_its_own(client):
    """A folder of theirs that was copied gets an id of its own when it is opened, and keeps it."""
    shutil.copytree(client.folder("whole"), client.folder("copy"))
    ids = set()
    for name in ("whole", "copy"):
        run = client.open(name)
        ids.add(run.id)
        client.close(run)
        assert client.load(name).id == run.id
    assert len(ids) == 2


# ---------------------------------------------------------------- what kills left


def test_a_torn_batch(client):
    """Killed in a batch: the whole lines read, without a metadata.json too, and the next append takes the index of the torn one."""
    run = client.load("torn")
    assert [row["value"] for row in rows_of(client.one(run))] == [0, 1, 2, 3]
    torn = client.lines("torn").read_bytes()
    torn = torn[torn.rfind(b"\n") + 1 :]
    again = client.open("torn")
    assert client.one(again).append(value=4)["index"] == 4
    client.close(again)
    assert [row["value"] for row in rows_of(client.one(client.load("torn")))] == [0, 1, 2, 3, 4]
    assert client.lines("torn").with_name("data.jsonl.torn").read_bytes() == torn
    assert json.loads(client.lines("torn").with_name("metadata.json").read_text())["nextIndex"] == 5


def test_an_empty_record_of_a_series(client):
    """Killed in an append: metadata.json is empty, the published client can never read that metric again. Here it reads and goes
    on with a warning, and gets a record that the published client can go on with."""
    number = len(raw(client.lines("killed")))
    with pytest.warns(RuntimeWarning, match=r"metadata\.json is damaged"):
        assert [row["value"] for row in rows_of(client.one(client.load("killed")))] == [i / 2 for i in range(number)]
    run = client.open("killed")
    with pytest.warns(RuntimeWarning, match=r"metadata\.json is damaged"):
        assert client.one(run).append(value=-1)["index"] == number
    client.close(run)
    client.published_append("killed", "loss", {"value": -2})
    assert rows_of(client.one(client.load("killed")))[number:] == [{"value": -1}, {"value": -2}]
    assert client.params(client.load("killed")).get() == {"lr": 0.1}


def test_parameters_cut_off(client):
    """A parameter that JSON does not know left half a record: neither read as none nor written over, but mended by the doctor,
    who keeps what could be read, and the file."""
    path = client.folder("refused") / "parameters.json"
    half = path.read_bytes()
    for call in (lambda: client.load("refused"), lambda: client.open("refused")):
        with pytest.raises(CorruptData, match=r"parameters\.json.*ml-dash doctor --repair"):
            call()
    (finding,) = doctor.examine(client.folder("refused"))
    assert (finding.kind, finding.path, finding.repairable) == ("record", str(path), True)
    done = doctor.repair(finding)
    assert "3 parameters could be read" in done
    assert path.with_name("parameters.json.damaged").read_bytes() == half
    assert client.params(client.load("refused")).get() == {"lr": 0.1, "depth": 3, "model": "resnet"}
    run = client.open("refused")
    client.params(run).set(lr=1)
    client.close(run)
    assert client.params(client.load("refused")).get()["lr"] == 1
    assert doctor.examine(client.folder("refused")) == []


# ---------------------------------------------------------------- what races left


def test_an_irregular_series_reads_by_position(client):
    """Indices twice: every point reads, in the file's order, with its place as its index, and one warning says so."""
    lines = raw(client.lines("raced"))
    assert len({line["index"] for line in lines}) < len(lines)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = client.load("raced")
        series = client.one(run)
        points = series.read(limit=None)["data"]
        assert len(series) == len(lines)
        assert series[-1]["data"] == lines[-1]["data"]
        assert series.read(7, 5)["data"] == points[7:12]
        assert series.columns(["by"])["by"].tolist() == [line["data"]["by"] for line in lines]
        assert series.sample("by", max_points=4).count.sum() == len(lines)
        assert series.stats()["totalDataPoints"] == len(lines)
    assert [point["index"] for point in points] == list(range(len(lines)))
    assert repr([point["data"] for point in points]) == repr([line["data"] for line in lines])
    assert [point["createdAt"][:23] for point in points] == [line["createdAt"][:23] for line in lines]
    assert [str(w.message).partition(":")[0] for w in caught] == [str(client.lines("raced"))]
    assert "read by position" in str(caught[0].message)
    assert "ml-dash doctor --repair" in str(caught[0].message)


def test_an_irregular_series_is_not_appended_to(client):
    """No index for a new point is certain: an append raises and says what to do, and nothing is written. The rest of the run goes on."""
    before = client.lines("raced").read_bytes()
    run = client.open("raced")
    with (
        pytest.warns(RuntimeWarning, match="read by position"),
        pytest.raises(OSError, match="ml-dash doctor --repair"),
    ):
        client.one(run).append(value=1)
    with pytest.raises(OSError, match="ml-dash doctor --repair"):
        client.one(run).append_batch([{"value": 1}])
    assert client.one(run, "other").append(value=1)["index"] == 0
    client.close(run)
    assert client.lines("raced").read_bytes() == before
    assert run.status == "COMPLETED"


def test_an_irregular_log_reads_and_goes_on(client):
    """A log whose numbers repeat reads by position, with one warning; entries are added all the same: a run must be able to say why
    it ended."""
    path = client.folder("raced") / "logs" / "logs.jsonl"
    entries = raw(path)
    assert len({entry["sequenceNumber"] for entry in entries}) < len(entries)
    with pytest.warns(RuntimeWarning, match=r"logs\.jsonl.*read by position and goes on") as caught:
        read = client.load("raced").logs.read(limit=None)
    assert len(caught) == 1
    assert [entry["sequenceNumber"] for entry in read] == list(range(len(entries)))
    assert [entry["message"] for entry in read] == [entry["message"] for entry in entries]
    run = client.open("raced")
    with pytest.warns(RuntimeWarning, match="read by position"):
        run.log("goes on", level="error")
    run.log("and on")
    assert [entry["message"] for entry in run.logs.read(-2)] == ["goes on", "and on"]
    assert len(run.logs) == len(entries) + 2
    client.close(run)
    with pytest.warns(RuntimeWarning, match="read by position"):
        assert [entry["message"] for entry in client.load("raced").logs.read(level="error")] == ["goes on"]


def test_the_doctor_makes_it_regular(client):
    """`--repair` numbers the points by position in our line format, keeps the file as it was, and then the series goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = client.load("raced")
        points = client.one(run).read(limit=None)["data"]
        entries = run.logs.read(limit=None)
    before = client.lines("raced").read_bytes()
    inode = client.lines("raced").stat().st_ino
    findings = doctor.examine(client.root)
    raced = [f for f in findings if f.run == str(client.folder("raced"))]
    assert {(f.kind, Path(f.path).name) for f in raced} == {("irregular", "data.jsonl"), ("irregular", "logs.jsonl")}
    for finding in raced:
        assert "numbered from 0 on" in doctor.repair(finding)
    assert client.lines("raced").with_name("data.jsonl.1.bak").read_bytes() == before
    assert client.lines("raced").stat().st_ino == inode
    for index, line in enumerate(client.lines("raced").read_text().splitlines()):
        assert re.match(rf'\{{"index": {index}, "data": \{{"value": .*\}}\}}$', line)
        json.loads(line, parse_constant=pytest.fail)
    again = client.load("raced")
    mended = client.one(again).read(limit=None)["data"]
    assert repr([p["data"] for p in mended]) == repr([p["data"] for p in points])
    assert [p["createdAt"] for p in mended] == [p["createdAt"] for p in points]
    assert [e["message"] for e in again.logs.read(limit=None)] == [e["message"] for e in entries]
    assert [e["sequenceNumber"] for e in again.logs.read(limit=None)] == list(range(len(entries)))
    run = client.open("raced")
    assert client.one(run).append(value=1)["index"] == len(points)
    run.log("regular")
    client.close(run)
    client.published_append("raced", "loss", {"value": 2})
    assert rows_of(client.one(client.load("raced")))[len(points) :] == [{"value": 1}, {"value": 2}]
    assert doctor.examine(client.folder("raced")) == []


def _missing(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


def _twice(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[2], *lines[3:]]


def _torn_middle(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2][:20], *lines[3:]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def _all_the_same(lines: list[bytes]) -> list[bytes]:
    return [lines[0]] * 5


def _first_missing(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


@pytest.mark.parametrize("damage", [_missing, _twice, _torn_middle, _swapped, _all_the_same, _first_missing])
def test_every_irregularity(client, damage: Callable[[list[bytes]], list[bytes]]):
    """However a series is irregular, it reads by position without what is no point, is not appended to, and can be repaired."""
    path = client.lines("whole", "train_loss")
    lines = damage(path.read_bytes().split(b"\n")[:-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    wanted = [line["data"] for line in raw(path)]
    with pytest.warns(RuntimeWarning, match="read by position"):
        assert rows_of(client.one(client.load("whole"), "train_loss")) == wanted
    shutil.rmtree(client.folder("refused"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert client.listed()["whole"].counts["train_loss"] == len(wanted)
    run = client.open("whole")
    with pytest.warns(RuntimeWarning, match="read by position"), pytest.raises(OSError, match="doctor"):
        client.one(run, "train_loss").append(value=1)
    client.close(run)
    findings = [f for f in doctor.examine(client.folder("whole")) if f.path == str(path)]
    assert [f.kind for f in findings] == ["irregular"]
    doctor.repair(findings[0])
    run = client.open("whole")
    assert rows_of(client.one(run, "train_loss")) == wanted
    assert client.one(run, "train_loss").append(value=1)["index"] == len(wanted)
    client.close(run)


def test_bare_nan_is_mended_too(client):
    """A regular series with a bare NaN reads and goes on; the doctor offers strict JSON, and strings stay strings."""
    findings = doctor.examine(client.folder("whole"))
    assert [(f.kind, Path(f.path).parent.name) for f in findings] == [("irregular", "not finite")]
    assert "3 with a bare NaN or Infinity" in findings[0].what
    values = rows_of(client.one(client.load("whole"), "not finite"))
    doctor.repair(findings[0])
    text = client.lines("whole", "not finite").read_text()
    assert [json.loads(line, parse_constant=pytest.fail)["data"]["value"] for line in text.splitlines()] == [
        1.0,
        "NaN",
        "Infinity",
        "-Infinity",
        2,
    ]
    assert repr(rows_of(client.one(client.load("whole"), "not finite"))) == repr(values)
    assert doctor.examine(client.folder("whole")) == []


def test_strings_that_look_like_numbers_survive_a_repair(client):
    """A user's own "NaN" in an irregular series is a string before and after."""
    path = client.lines("whole", "None")
    path.write_bytes(path.read_bytes() * 2)
    wanted = [{"loss": 1.5, "note": "unnamed"}, {"loss": 1.25, "note": "NaN"}] * 2
    with pytest.warns(RuntimeWarning, match="read by position"):
        assert rows_of(client.one(client.load("whole"), None)) == wanted
    for finding in doctor.examine(client.folder("whole")):
        doctor.repair(finding)
    assert rows_of(client.one(client.load("whole"), None)) == wanted
