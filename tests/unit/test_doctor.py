"""The doctor: every kind of damage is found once and where it is, sound folders have none, and every repair keeps what it takes out."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ml_dash
from dreamlake import Session
from ml_dash import CorruptData, Experiment, InvalidInput, NotFound, Unavailable, codec, doctor
from ml_dash.doctor import Finding, examine, repair
from ml_dash.model import EVENTS, METRICS, Batch, FilePut, RunKey, RunPatch, SeriesKey
from ml_dash.store.local import LocalStore

POINTS = 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one run: two metrics, a log, parameters, two files."""
    make(tmp_path / "root")
    return tmp_path / "root"


def make(root: Path, name: str = "run") -> None:
    with Experiment(name, "project", local_path=root, description="the run", tags=["t"]).run as run:
        run.params.set(lr=0.1, depth=3)
        for i in range(POINTS):
            run.metrics("loss", description="d").append(value=i / 4)
        run.metrics("train/acc").append_batch([{"value": i} for i in range(POINTS)])
        run.log("one")
        run.log("two", level="warn")
        run.files(prefix="/models").save_json({"a": 1}, "a.json")
        run.files(tags=["x"]).save_json([1, 2], "b.json")


def folder(root: Path, name: str = "run") -> Path:
    return root / "project" / name


def lines(root: Path, name: str = "loss") -> Path:
    return folder(root) / "metrics" / name / "data.jsonl"


def loaded(root: Path, name: str = "run") -> Experiment:
    return ml_dash.load(name, "project", local_path=root)


def values(root: Path, name: str = "loss") -> list[Any]:
    return [point["data"].get("value") for point in loaded(root).metrics(name).read(limit=None)["data"]]


def offsets(data: bytes) -> list[int]:
    return [0, *(at + 1 for at, byte in enumerate(data) if byte == 10)]


def tree(place: Path) -> dict[str, tuple[bytes, int]]:
    """path → (content, modification time): what an examination must not change."""
    files = [p for p in sorted(place.rglob("*")) if p.is_file() and not p.is_symlink()]
    return {str(p.relative_to(place)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def only(root: Path, kind: str, **options: Any) -> Finding:
    """The one finding that there is; looking for it changes nothing."""
    before = tree(root)
    findings = examine(root, **options)
    assert tree(root) == before
    assert kinds(findings) == [kind]
    finding = findings[0]
    assert finding.what
    assert finding.remedy
    assert finding.run == str(folder(root))
    assert Path(finding.path).is_absolute()
    return finding


def mended(root: Path, finding: Finding) -> str:
    """What the repair says; afterwards nothing is found, and repairing again changes nothing."""
    done = repair(finding)
    assert examine(root, deep=True) == []
    before = tree(root)
    repair(finding)
    assert tree(root) == before
    return done


# ---------------------------------------------------------------- sound folders, and what to look at


def test_a_sound_folder(root):
    """Nothing is found in what ml-dash and dreamlake wrote, closed in peace, with or without caches; and nothing is changed."""
    with Session("session", "workspace", local_path=root) as session:
        session.track("loss").append(value=math.nan)
    loaded(root).metrics("loss").sample("value")
    ml_dash.runs(local_path=root)
    before = tree(root)
    assert examine(root, deep=True) == []
    assert tree(root) == before


def test_an_open_run_is_sound(root):
    """A run whose process lives is not lost, its presence file not stale, its series not torn."""
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics("loss").append(value=1)
        assert examine(root) == []


def test_an_empty_folder(tmp_path):
    """A folder without runs has nothing wrong; neither has a run that died before it wrote its record."""
    assert examine(tmp_path) == []
    (tmp_path / "project" / "run" / "metrics").mkdir(parents=True)
    (tmp_path / "project" / "run" / ".lock").touch()
    assert examine(tmp_path) == []


def test_no_folder(tmp_path):
    """A path where nothing is, or a file: an error that names it."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(NotFound, match=path.name):
            examine(path)


@pytest.mark.parametrize("level", ["", "project", "project/run"])
def test_a_root_a_project_or_a_run(root, level):
    """Each may be given, also relative: the same is found in it."""
    lines(root).write_bytes(lines(root).read_bytes()[:-3])
    whole = examine(root)
    assert kinds(whole) == ["torn"]
    assert examine(str(root / level)) == whole
    assert examine(os.path.relpath(root / level)) == whole


def test_a_project_named_like_our_folders(tmp_path):
    """A root whose projects are called "metrics" and "logs" is a root all the same."""
    for project in ("metrics", "logs", "tracks"):
        with Experiment("files", project, local_path=tmp_path).run as run:
            run.metrics("metrics/logs").append(value=1)
    assert examine(tmp_path) == []
    path = tmp_path / "metrics" / "files" / "metrics" / "metrics" / "logs" / "data.jsonl"
    path.write_bytes(path.read_bytes() + b"x")
    (finding,) = examine(tmp_path)
    assert (finding.kind, finding.run) == ("torn", str(tmp_path / "metrics" / "files"))


def test_findings_are_values_in_order(root):
    """Sorted by path and offset, equal on a second look, and writable as JSON."""
    import msgspec

    for name in ("loss", "train/acc"):
        lines(root, name).write_bytes(lines(root, name).read_bytes().replace(b'"data"', b'"dxta"', 3) + b"\0")
    findings = examine(root)
    assert len(findings) == 8
    assert findings == sorted(findings, key=lambda f: (f.path, f.offset))
    assert findings == examine(root)
    assert len(msgspec.json.encode(findings)) > 100
    with pytest.raises(AttributeError):
        findings[0].kind = "other"  # type: ignore[misc]


def test_what_cannot_be_repaired_says_so(root):
    """`repair` of a finding that is not repairable is a wrong call, and names the remedy."""
    finding = Finding("file-missing", "p", None, "w", "Put it back.", repairable=False)
    with pytest.raises(InvalidInput, match=r"Put it back\."):
        repair(finding)


# ---------------------------------------------------------------- the end of a file


@pytest.mark.parametrize("name", ["metrics/loss/data.jsonl", "logs/logs.jsonl"])
@pytest.mark.parametrize(
    ("kind", "tail"), [("torn", b'{"index": 8, "da'), ("torn", b"x"), ("nul", b"\0"), ("nul", b"\0" * 9_000)]
)
def test_a_tail(root, name, kind, tail):
    """What is behind the last newline is found with its offset, and moved to .torn."""
    path = folder(root) / name
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    finding = only(root, kind)
    assert (finding.path, finding.offset, finding.repairable) == (str(path), len(whole), True)
    assert str(len(tail)) in finding.what
    assert f"{len(tail)} bytes moved to {path}.torn" in mended(root, finding)
    assert path.read_bytes() == whole
    assert Path(f"{path}.torn").read_bytes() == tail


def test_a_misplaced_line_is_a_tail(root):
    """A whole line with an index that is past, at the end: a process died before it took it back."""
    whole = lines(root).read_bytes()
    lines(root).write_bytes(whole + b'{"index": 3, "data": {"value": 9}}\n')
    finding = only(root, "torn")
    assert finding.offset == len(whole)
    mended(root, finding)
    assert lines(root).read_bytes() == whole


def test_a_write_that_is_under_way_is_not_torn(root):
    """The end is taken under the file's lock: a tail whose writer holds it is not looked at, and who holds it is named."""
    code = (
        "import fcntl, sys, time\n"
        "f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "f.write(b'{\"index\": 8'); f.flush(); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(lines(root))], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        doctor_patience, doctor.PATIENCE = doctor.PATIENCE, 0.2
        finding = only(root, "locked")
        assert str(holder.pid) in finding.what
    finally:
        doctor.PATIENCE = doctor_patience
        holder.kill()
        holder.communicate()
    assert kinds(examine(root)) == ["torn"]


# ---------------------------------------------------------------- lines in the middle


def damaged(root: Path, changes: dict[int, bytes | None], name: str = "loss") -> list[int]:
    """Put other bytes in the place of lines, None takes one out; where the lines began."""
    path = lines(root, name)
    whole = path.read_bytes()
    parts = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(new for i, old in enumerate(parts) if (new := changes.get(i, old)) is not None))
    return offsets(whole)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"garbage\n", "not JSON"),
        (b"\n", "not JSON"),
        (b"\0\0\0\n", "not JSON"),
        (b'{"index": 3, "data": {"value": 0.7\n', "not JSON"),
        (b'{"index": 3, "data": {"value": "\xff"}}\n', "not JSON"),
        (b"[3]\n", "no point"),
        (b"3\n", "no point"),
        (b'{"index": 3}\n', "no point"),
        (b'{"index": "3", "data": {}}\n', "no point"),
        (b'{"index": true, "data": {}}\n', "no point"),
        (b'{"index": -3, "data": {}}\n', "no point"),
        (b'{"index": 3, "data": [1]}\n', "no point"),
        (b'{"data": {"value": 1}}\n', "no point"),
        (b"[" * 3_000 + b"\n", "not JSON"),
    ],
)
def test_a_line_that_is_no_point(root, bad, why):
    """Found at its offset; taken out, the rest numbered anew, the file as it was kept beside, in the same inode."""
    at = damaged(root, {3: bad})
    before, inode = lines(root).read_bytes(), lines(root).stat().st_ino
    finding = only(root, "bad-line")
    assert (finding.offset, finding.repairable) == (at[3], True)
    assert why in finding.what
    assert "indices behind the first damaged line move" in finding.remedy
    done = mended(root, finding)
    assert "1 damaged lines taken out, the other 7 numbered from 0 on" in done
    assert f"{lines(root)}.1.bak" in done
    assert Path(f"{lines(root)}.1.bak").read_bytes() == before
    assert lines(root).stat().st_ino == inode
    assert values(root) == [i / 4 for i in range(POINTS) if i != 3]
    with Experiment("run", "project", local_path=root).run as run:
        assert run.metrics("loss").append(value=9)["index"] == 7


@pytest.mark.parametrize(
    "bad",
    [
        b'{"index": 7, "data": {"value": 0.75}}\n',
        b'{"index": 0, "data": {"value": 0.75}}\n',
        b'{"index": 123456, "data": {"value": 0.75}}\n',
        b'{"data": {"value": 0.75}, "index": 3}\n',
    ],
)
def test_a_point_with_a_wrong_index(root, bad):
    """Found alone, the lines behind it are not; it keeps its place and gets the index of it."""
    at = damaged(root, {3: bad})
    finding = only(root, "bad-line")
    assert finding.offset == at[3]
    assert "0 damaged lines taken out" in mended(root, finding)
    assert values(root) == [i / 4 for i in range(POINTS)]
    assert [json.loads(line)["index"] for line in lines(root).read_text().splitlines()] == list(range(POINTS))


def test_a_line_that_is_missing(root):
    """A hole is found where it begins, once, and closed."""
    at = damaged(root, {3: None})
    finding = only(root, "bad-line")
    assert finding.offset == at[3]
    assert "carries index 4 where 3 was expected" in finding.what
    mended(root, finding)
    assert values(root) == [i / 4 for i in range(POINTS) if i != 3]


def test_a_newline_that_was_lost(root):
    """Two lines in one are one damaged line; the line behind them is not."""
    whole = lines(root).read_bytes()
    at = offsets(whole)
    lines(root).write_bytes(whole[: at[4] - 1] + b" " + whole[at[4] :])
    finding = only(root, "bad-line")
    assert finding.offset == at[3]
    mended(root, finding)
    assert values(root) == [i / 4 for i in range(POINTS) if i not in (3, 4)]


def test_all_of_them(root):
    """Every damaged line is found; one repair mends the file, and the findings that are left have nothing to do."""
    at = damaged(root, {1: b"x\n", 3: b'{"index": 9, "data": {"value": 0.75}}\n', 5: b"{}\n", 6: None})
    findings = examine(root)
    assert kinds(findings) == ["bad-line"] * 3
    assert findings[0].offset == at[1]
    done = [repair(finding) for finding in findings]
    assert done[1:] == ["Nothing was left to do."] * 2
    assert values(root) == [0, 0.5, 0.75, 1.0, 1.75]
    assert examine(root) == []
    assert not Path(f"{lines(root)}.2.bak").exists()


def test_so_many_that_not_each_is_told(root, monkeypatch):
    """Beyond `MOST` the rest is one finding that says how many."""
    monkeypatch.setattr(doctor, "MOST", 2)
    damaged(root, dict.fromkeys(range(1, 7), b"x\n"))
    findings = examine(root)
    assert kinds(findings) == ["bad-line"] * 3
    assert "4 more" in findings[-1].what
    repair(findings[-1])
    assert values(root) == [0, 1.75]


def test_damage_and_a_tail_together(root):
    """Both are found, and a repair of either leaves the other to be found or mends it too."""
    damaged(root, {2: b"x\n"})
    with open(lines(root), "ab") as f:
        f.write(b"torn")
    findings = examine(root)
    assert kinds(findings) == ["bad-line", "torn"]
    repair(findings[1])
    assert kinds(examine(root)) == ["bad-line"]
    with open(lines(root), "ab") as f:
        f.write(b"again")
    repair(findings[0])
    assert examine(root) == []
    assert Path(f"{lines(root)}.torn").read_bytes() == b"tornagain"


def test_a_damaged_log(root):
    """The log is mended like a series, its numbers anew, and .log_sequence with it."""
    path = folder(root) / "logs" / "logs.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"x\n" + whole)
    finding = only(root, "bad-line")
    assert (finding.path, finding.offset) == (str(path), 0)
    mended(root, finding)
    assert path.read_bytes() == whole
    assert [entry["message"] for entry in loaded(root).logs.read()] == ["one", "two"]
    assert (path.parent / ".log_sequence").read_text() == "2"


def test_a_long_file(root):
    """Damage in a file of many blocks is found and mended, whatever its place in a block; rows come out byte for byte."""
    count = 60_000
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics("long").append_batch(
            [{"value": i, "text": "größe " * (i % 7), "nan": math.nan} for i in range(count)]
        )
    path = lines(root, "long")
    parts = path.read_bytes().splitlines(keepends=True)
    bad = {0, 1, 12_345, 12_346, 40_000, count - 1}
    assert path.stat().st_size > 3 << 20
    path.write_bytes(b"".join(b"\xff" + part if i in bad else part for i, part in enumerate(parts)))
    findings = examine(root)
    at = offsets(path.read_bytes())
    assert [finding.offset for finding in findings] == [at[i] for i in sorted(bad)]
    repair(findings[0])
    assert examine(root) == []
    rows = [part[part.index(b'"data"') :] for i, part in enumerate(parts) if i not in bad]
    left = path.read_bytes().splitlines(keepends=True)
    assert [part[part.index(b'"data"') :] for part in left] == rows
    assert [codec.index_of(METRICS, part) for part in left] == list(range(len(rows)))


@given(
    st.lists(
        st.sampled_from(["good", "garbage", "hole", "jump", "back", "merge", "nul", "half", "nan"]),
        min_size=1,
        max_size=25,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_mended_in_one_go(tmp_path_factory, what):
    """Whatever is done to the lines of a series: after one repair nothing is found, every row that could be read is there in its
    order, and the series goes on."""
    root = tmp_path_factory.mktemp("any")
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics("loss").append_batch([{"value": i} for i in range(len(what) + 1)])
    path = lines(root)
    parts = path.read_bytes().splitlines(keepends=True)
    out, wanted = [], []
    for i, (how, line) in enumerate(zip(["good", *what], parts, strict=True)):
        changed = {
            "good": line,
            "garbage": b"%% garbage\n",
            "hole": b"",
            "jump": line.replace(b": %d," % i, b": %d," % (i + 100), 1),
            "back": line.replace(b": %d," % i, b": %d," % (i // 2), 1),
            "merge": line[:-1],
            "nul": b"\0" * (len(line) - 1) + b"\n",
            "half": line[: len(line) // 2] + b"\n",
            "nan": line.replace(b'"value": %d' % i, b'"value": NaN'),
        }[how]
        out.append(changed)
    path.write_bytes(b"".join(out))
    whole = path.read_bytes()
    findings = examine(root)
    torn = b""
    for finding in findings:
        assert finding.repairable
        repair(finding)
    assert examine(root) == []
    torn_path = Path(f"{path}.torn")
    torn = torn_path.read_bytes() if torn_path.exists() else b""
    assert whole.endswith(torn)
    for line in whole[: len(whole) - len(torn)].split(b"\n"):
        try:
            point = codec.loads(line)
        except ValueError:
            continue
        wanted.append(point["data"]["value"])
    assert repr(values(root)) == repr(wanted)
    with Experiment("run", "project", local_path=root).run as run:
        assert run.metrics("loss").append(value=0)["index"] == len(wanted)
    if Path(f"{path}.1.bak").exists():
        assert Path(f"{path}.1.bak").read_bytes() == whole[: len(whole) - len(torn)]


def test_what_tells_of_a_series_by_index_goes_with_it(root):
    """Wall times and the marks of writers move with the lines: a retried batch is still known, and points keep their times."""
    now = 1_700_000_000.0
    store = LocalStore(root, clock=lambda: now)
    series = SeriesKey(store.get_run(RunKey("", "project", "run")).id, METRICS, "marked")
    batches = [
        Batch(series, [codec.encode_row({"value": seq + n}) for n in range(3)], "w", seq, ((0, int(now * 1000) + seq),))
        for seq in range(0, 12, 3)
    ]
    for batch in batches:
        store.append([batch])
    store.close()
    times = {p["data"]["value"]: p["createdAt"] for p in loaded(root).metrics("marked")}
    damaged(root, {1: b"x\n", 7: b"x\n", 10: b"x\n"}, "marked")
    repair(examine(root)[0])
    assert {p["data"]["value"]: p["createdAt"] for p in loaded(root).metrics("marked")} == {
        value: at for value, at in times.items() if value not in (1, 7, 10)
    }
    again = LocalStore(root)
    for batch in batches:
        assert again.append([batch])[0].count == 0
    new = Batch(series, [codec.encode_row({"value": 99})], "w", 12)
    assert again.append([new])[0].first == 9
    again.close()
    assert json.loads(lines(root, "marked").with_name("metadata.json").read_text())["nextIndex"] == 9


def test_samples_are_taken_anew(root):
    """The summaries that were kept of a series cannot see that it was rewritten: they are gone after a repair, and only they."""
    count = 50_000
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics("long").append_batch([{"value": i} for i in range(count)])
    assert loaded(root).metrics("long").sample("value", max_points=5).count.sum() == count
    cache = root / ".cache" / "rollups"
    (cache / "theirs.rollup").write_text("not ours")
    assert len(list(cache.iterdir())) == 2
    text = lines(root, "long").read_bytes()
    at = offsets(text)[20_000]
    lines(root, "long").write_bytes(text[:at] + b"\0" + text[at + 1 :])
    repair(examine(root)[0])
    assert [p.name for p in cache.iterdir()] == ["theirs.rollup"]
    sample = loaded(root).metrics("long").sample("value", max_points=5)
    assert sample.count.sum() == count - 1
    assert sample.last[-1] == count - 1


def test_lines_are_not_rewritten_while_the_run_is_open(root):
    """A process that has the run open, also this one, makes the repair wait: it says who, and nothing is changed."""
    damaged(root, {2: b"x\n"})
    (finding,) = examine(root)
    with Experiment("run", "project", local_path=root).run:
        before = lines(root).read_bytes()
        with pytest.raises(Unavailable, match=rf"open in process {os.getpid()} on {socket.gethostname()}"):
            repair(finding)
        assert lines(root).read_bytes() == before
        assert not Path(f"{lines(root)}.1.bak").exists()
    mended(root, finding)


def test_whoever_has_the_file_open_goes_on_with_it(root):
    """The same inode is rewritten under its lock: a store that had appended before finds the new end, and no index twice."""
    store = LocalStore(root)
    series = SeriesKey(store.get_run(RunKey("", "project", "run")).id, METRICS, "loss")
    for i in range(3):
        assert store.append([Batch(series, [b'{"value": %d}' % i])])[0].first == POINTS + i
    damaged_line = lines(root).read_bytes().splitlines(keepends=True)[4]
    with open(lines(root), "r+b") as f:
        f.seek(lines(root).read_bytes().index(damaged_line))
        f.write(b"#")
    repair(examine(root)[0])
    assert store.append([Batch(series, [b'{"value": "after"}'])])[0].first == POINTS + 2
    assert len(codec.decode_page(store.read(series, 0, None))) == POINTS + 3
    store.close()
    assert examine(root) == []


@pytest.mark.parametrize("moment", ["before", "first block", "before the cut", "before the end"])
def test_a_repair_that_was_killed(root, moment, monkeypatch):
    """Killed at any moment, the repair is found and done again from the copy; what was appended in between stays."""
    damaged(root, {2: b"x" * 300 + b"\n"})
    before = lines(root).read_bytes()
    step = {"before": "lseek", "first block": "write", "before the cut": "ftruncate", "before the end": "unlink"}[
        moment
    ]
    code = (
        "import os, sys\n"
        "from ml_dash import doctor\n"
        "moment, step, root = sys.argv[1:]\n"
        "put_back = doctor._put_back\n"
        "def killed(*args):\n"
        "    os._exit(9)\n"
        "def half(fd, data):\n"
        "    os.pwrite(fd, bytes(data[:len(data) // 2]), 0); os._exit(9)\n"
        "def armed(*args):\n"
        "    if step == 'write': doctor.write_all = half\n"
        "    elif step != 'unlink': setattr(os, step, killed)\n"
        "    put_back(*args)\n"
        "    if step == 'unlink': os._exit(9)\n"
        "doctor._put_back = armed\n"
        "doctor.repair(doctor.examine(root)[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, moment, step, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 9
    left = lines(root).read_bytes()
    appended = b'{"index": %d, "data": {"value": "later"}}\n' % POINTS
    if moment in ("before", "before the end"):
        index = POINTS if moment == "before" else POINTS - 1
        appended = appended.replace(b": %d," % POINTS, b": %d," % index)
        lines(root).write_bytes(left + appended)
    findings = examine(root)
    assert "interrupted" in kinds(findings)
    (finding,) = [f for f in findings if f.kind == "interrupted"]
    assert finding.path.endswith("data.jsonl.1.repairing")
    repair(finding)
    assert kinds(examine(root)) == []
    wanted = [i / 4 for i in range(POINTS) if i != 2]
    assert values(root) == wanted + (["later"] if moment in ("before", "before the end") else [])
    assert Path(f"{lines(root)}.1.bak").read_bytes() == before


def test_no_room_for_the_copy(root, monkeypatch):
    """A copy that cannot be written whole leaves the file as it is, and no half copy."""
    damaged(root, {2: b"x\n"})
    before = tree(root)
    (finding,) = examine(root)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            repair(finding)
    assert tree(root) == before
    mended(root, finding)


# ---------------------------------------------------------------- small records


@pytest.mark.parametrize("text", [b"", b"\0" * 50, b"{", b"[]", b'{"data": [1]}', b"nonsense"])
def test_parameters_of_which_nothing_is_left(root, text):
    """Moved aside and begun anew, and said so."""
    path = folder(root) / "parameters.json"
    path.write_bytes(text)
    finding = only(root, "record")
    assert (finding.path, finding.repairable) == (str(path), True)
    done = mended(root, finding)
    assert "No parameter could be read" in done
    assert f"{path}.damaged" in done
    assert Path(f"{path}.damaged").read_bytes() == text
    assert loaded(root).params.get() == {}


def test_parameters_cut_at_every_byte(root):
    """Whatever is left of the text is kept as far as it can be read: a parameter that was whole is never lost, none is made up."""
    path = folder(root) / "parameters.json"
    known = {"a": 1, "b": [1, 2, {"x": '},"'}], "c": "x", "d": math.inf, "e": None}
    with Experiment("run", "project", local_path=root).run as run:
        run.params.set(known)
    text = path.read_bytes()
    known = loaded(root).params.get()
    seen = set()
    for cut in range(len(text.rstrip()) - 1):
        path.write_bytes(text[:cut])
        Path(f"{path}.damaged").unlink(missing_ok=True)
        repair(only(root, "record"))
        left = loaded(root).params.get()
        assert repr(left) in {repr(dict(list(known.items())[:n])) for n in range(len(known) + 1)} or set(left) <= set(
            known
        )
        whole = [key for key in known if f'"{key}": '.encode() in text[: text.rfind(b',\n    "', 0, cut) + 1]]
        assert {key: repr(left.get(key)) for key in whole} == {key: repr(known[key]) for key in whole}
        seen.add(len(left))
    assert seen >= {0, len(known)}


@pytest.mark.parametrize("name", ["loss", "train/acc"])
@pytest.mark.parametrize("text", [b"", b'{"name": "', b"\0"])
def test_the_record_of_a_series(root, name, text):
    """Made anew from its lines and the names of its folders."""
    path = lines(root, name).with_name("metadata.json")
    path.write_bytes(text)
    finding = only(root, "record")
    assert finding.path == str(path)
    done = mended(root, finding)
    assert f"{name!r} with {POINTS} points" in done
    assert "not known: description" in done
    meta = json.loads(path.read_text())
    assert (meta["name"], meta["totalDataPoints"], meta["nextIndex"]) == (name, POINTS, POINTS)
    assert Path(f"{path}.damaged").read_bytes() == text
    assert {m["name"]: m["totalDataPoints"] for m in loaded(root).metrics.list_all()} == {"loss": 8, "train/acc": 8}


def test_what_can_be_read_of_the_record_of_a_series(root):
    """A description in front of the damage is kept, and so is a name that no folder tells."""
    name = "%" * 200
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics(name, description="kept").append(value=1)
    (path,) = [p for p in folder(root).glob("metrics/*/metadata.json") if "%~" in p.parent.name]
    doc = path.read_text()
    path.write_text(doc[: doc.index('"tags"')])
    mended(root, only(root, "record"))
    (series,) = [m for m in loaded(root).metrics.list_all() if m["name"] == name]
    assert (series["description"], series["totalDataPoints"]) == ("kept", 1)


@pytest.mark.parametrize("text", [b"", b"{}x", b"\0" * 10, b"[1]"])
def test_the_runs_record(root, text):
    """Made anew with the folders' names, what else is known, and a new id; what is not known is said."""
    path = folder(root) / "experiment.json"
    path.write_bytes(text)
    with pytest.raises(CorruptData):
        loaded(root)
    finding = only(root, "record")
    assert finding.path == str(path)
    done = mended(root, finding)
    assert "run 'run' of 'project'" in done
    assert "not known" in done
    assert "description" in done
    assert Path(f"{path}.damaged").read_bytes() == text
    run = loaded(root)
    assert (run.name, run.project, run.status) == ("run", "project", "COMPLETED")
    assert run.params.get() == {"lr": 0.1, "depth": 3}
    assert values(root) == [i / 4 for i in range(POINTS)]
    assert len(run.files().list()) == 2
    with Experiment("run", "project", local_path=root).run as again:
        assert again.id == run.id
        assert again.metrics("loss").append(value=9)["index"] == POINTS


def test_the_runs_record_cut_at_every_byte(root):
    """The longer the beginning that is left, the more is kept; the id is kept as soon as it is whole."""
    path = folder(root) / "experiment.json"
    text = path.read_bytes()
    whole = json.loads(text)
    for cut in range(0, len(text.rstrip()) - 1, 5):
        path.write_bytes(text[:cut])
        Path(f"{path}.damaged").unlink(missing_ok=True)
        repair(only(root, "record"))
        now = json.loads(path.read_text())
        for field in ("description", "tags", "created_at", "id", "status"):
            if cut > text.index(f'"{field}"'.encode()) + len(json.dumps(whole[field], indent=2)) + len(field) + 20:
                assert now[field] == whole[field]
        assert loaded(root).params.get()["lr"] == 0.1
        assert examine(root) == []


@pytest.mark.parametrize(
    "change", [{"attempts": 5}, {"attempts": [{"id": 5}]}, {"attempts": [5]}, {"attempts": {"a": 1}}]
)
def test_a_record_of_the_wrong_shape(root, change):
    """JSON that is no run's record is damage too: what fits is kept."""
    path = folder(root) / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    mended(root, only(root, "record"))
    run = loaded(root)
    assert run.data is not None
    assert run.data["description"] == "the run"


def test_a_record_is_not_made_anew_under_an_open_run(root):
    """While a process has the run open, its record is not replaced: the process knows the run by its id."""
    with Experiment("run", "project", local_path=root).run:
        path = folder(root) / "experiment.json"
        text = path.read_bytes()
        path.write_bytes(text[:-20])
        (finding,) = examine(root)
        with pytest.raises(Unavailable, match=f"process {os.getpid()}"):
            repair(finding)
        path.write_bytes(text)


def test_a_run_without_a_record(root):
    """Data without a record is in no list: one is made, of the right kind."""
    (folder(root) / "experiment.json").unlink()
    assert len(ml_dash.runs(local_path=root)) == 0
    finding = only(root, "record-missing")
    assert finding.path == str(folder(root) / "experiment.json")
    mended(root, finding)
    assert [run.name for run in ml_dash.runs(local_path=root)] == ["run"]
    assert values(root) == [i / 4 for i in range(POINTS)]


def test_a_session_without_a_record(tmp_path):
    """A folder of tracks becomes a session again, in its workspace."""
    with Session("s", "w", local_path=tmp_path) as session:
        session.track("loss").append(value=1)
    (tmp_path / "w" / "s" / "session.json").unlink()
    (finding,) = examine(tmp_path)
    assert (finding.kind, Path(finding.path).name) == ("record-missing", "session.json")
    repair(finding)
    assert json.loads((tmp_path / "w" / "s" / "session.json").read_text())["workspace"] == "w"
    with Session("s", "w", local_path=tmp_path) as session:
        assert session.track("loss").append(value=1)["index"] == 1


@pytest.mark.parametrize("cut", [0, 10, 400, -30])
def test_the_records_of_files(root, cut):
    """What can be read is kept, and for every file that is there without one a record is made, with its sha256."""
    path = folder(root) / "files" / ".files_metadata.json"
    text = path.read_bytes()
    names = {f["filename"]: f for f in loaded(root).files().list()}
    path.write_bytes(text[:cut])
    finding = only(root, "record")
    assert finding.path == str(path)
    done = mended(root, finding)
    assert Path(f"{path}.damaged").read_bytes() == text[:cut]
    now = {f["filename"]: f for f in loaded(root).files().list()}
    assert sorted(now) == ["a.json", "b.json"]
    for name, record in now.items():
        for field in ("id", "path", "checksum", "sizeBytes"):
            assert record[field] == names[name][field] or (
                field == "path" and record[field].strip("/") == names[name][field].strip("/")
            )
        assert Path(loaded(root).files(file_id=record["id"], dest_path=str(root.parent / name)).download()).exists()
    assert "made anew" in done


@pytest.mark.parametrize("name", ["experiment.json", "parameters.json", "metrics/loss/metadata.json"])
def test_a_newer_format(root, name):
    """Nothing is wrong with it but our age: not repairable, the remedy is to upgrade."""
    path = folder(root) / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    finding = only(root, "newer")
    assert (finding.path, finding.repairable) == (str(path), False)
    assert "pip install -U ml-dash" in finding.remedy


# ---------------------------------------------------------------- processes


def killed_run(root: Path, name: str = "run") -> int:
    """A run whose process was killed; its pid."""
    code = (
        "import os, signal, sys\n"
        "from ml_dash import Experiment\n"
        "run = Experiment(sys.argv[2], 'project', local_path=sys.argv[1]).run.start()\n"
        "run.metrics('loss').append(value=1)\n"
        "print(os.getpid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code, str(root), name], stdout=subprocess.PIPE, env=env)
    return int(done.stdout)


def test_a_lost_run(root):
    """RUNNING, but its process is gone: found with who it was; `repair` marks it FAILED and removes its presence file."""
    pid = killed_run(root)
    assert loaded(root).status == "LOST"
    finding = only(root, "lost")
    assert f"process {pid} on {socket.gethostname()}" in finding.what
    assert "FAILED" in mended(root, finding)
    assert loaded(root).status == "FAILED"
    assert os.listdir(folder(root) / "processes") == []
    with Experiment("run", "project", local_path=root).run as run:
        assert run.metrics("loss").append(value=2)["index"] == POINTS + 1
    assert run.status == "COMPLETED"


def test_a_lost_run_that_was_opened_again_is_not_lost(root):
    """Between examination and repair a process went on with it: it stays RUNNING."""
    killed_run(root)
    (finding,) = examine(root)
    with Experiment("run", "project", local_path=root).run:
        assert repair(finding) == "Nothing was left to do."
        assert loaded(root).status == "RUNNING"


def test_a_process_that_died_beside_others(root):
    """Of several processes of one run one died: its presence file is stale, the run goes on, and ends FAILED."""
    code = (
        "import sys, time\n"
        "from ml_dash import Experiment\n"
        "run = Experiment('run', 'project', local_path=sys.argv[1]).run.start()\n"
        "print('open', flush=True); sys.stdin.readline(); run.run.complete()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert other.stdout is not None
    other.stdout.readline()
    killed_run(root)
    finding = only(root, "stale-presence")
    mended(root, finding)
    assert loaded(root).status == "RUNNING"
    other.communicate("\n")
    assert loaded(root).status == "FAILED"


def test_a_presence_file_that_nobody_needs(root):
    """One that a killed close left behind, and one that is no record at all."""
    for name in ("0" * 32, "garbage"):
        path = folder(root) / "processes" / name
        path.write_text('{"pid": 1, "host": "elsewhere"}' if name != "garbage" else "x")
        os.utime(path, (0, 0))
        finding = only(root, "stale-presence")
        assert finding.path == str(path)
        mended(root, finding)
        assert not path.exists()


# ---------------------------------------------------------------- leftovers


@pytest.mark.parametrize(
    "name",
    [
        "project/run/.tmp-0123456789abcdef",
        "project/run/metrics/loss/.tmp-0123456789abcdef",
        "project/run/processes/.tmp-0123456789abcdef",
        "project/run/files/.tmp-moving",
        f"project/run/files/.tmp-0123456789abcdef@{socket.gethostname()}",
        "project/run/files/.tmp-0123456789abcdef@elsewhere",
    ],
)
def test_a_temporary_file(root, name):
    """What a dead writer left is found once it is old, and removed; a fresh one may be in use."""
    path = root / name
    path.write_bytes(b"half a record")
    if "@" not in name or "elsewhere" in name:
        assert examine(root) == []
        os.utime(path, (time.time() - 100_000,) * 2)
    finding = only(root, "leftover")
    assert finding.path == str(path)
    assert mended(root, finding) == "Removed."
    assert not path.exists()
    assert len(loaded(root).files().list()) == 2


def test_leftovers_beside_the_runs(root):
    """In the root and in projects, and runs whose deletion was killed; nothing else of .cache is touched."""
    old = time.time() - 1_000
    for path in (root / ".tmp-00", root / "project" / ".tmp-00"):
        path.touch()
        os.utime(path, (old, old))
    grave = root / ".cache" / "deleted"
    shutil.copytree(folder(root), grave / ("0" * 32))
    (grave / "theirs").mkdir()
    (grave / ("1" * 32)).mkdir()
    findings = examine(root)
    assert [Path(f.path).name for f in findings] == ["0" * 32, ".tmp-00", ".tmp-00"]
    for finding in findings:
        assert finding.kind == "leftover"
        repair(finding)
    assert examine(root) == []
    assert sorted(os.listdir(grave)) == ["1" * 32, "theirs"]


# ---------------------------------------------------------------- files


def stored(root: Path, name: str = "a.json") -> Path:
    (path,) = list((folder(root) / "files").rglob(name))
    return path


def test_a_file_without_bytes(root):
    """A record whose bytes are gone is found, and is a person's to decide about."""
    path = stored(root)
    path.unlink()
    finding = only(root, "file-missing")
    assert (finding.path, finding.repairable) == (str(path), False)
    assert "a.json" in finding.what


def test_a_file_of_another_size(root):
    """Found without reading it."""
    path = stored(root)
    path.write_bytes(path.read_bytes() + b"more")
    finding = only(root, "file-size")
    assert (finding.path, finding.repairable) == (str(path), False)


def test_a_file_of_other_content(root):
    """The same size, other bytes: only `deep` reads them."""
    path = stored(root)
    path.write_bytes(bytes(len(path.read_bytes())))
    assert examine(root) == []
    finding = only(root, "file-checksum", deep=True)
    assert finding.path == str(path)


def test_files_with_any_name(root):
    """Files whose names are spelled otherwise on disk, replaced ones and deleted ones: nothing is found."""
    import io

    store = LocalStore(root)
    run = store.get_run(RunKey("", "project", "run")).id
    for name in ("CON", "a%2Fb", "dir/ü", "x" * 255, ".files_metadata.json", "a.json"):
        record = store.put_file(run, io.BytesIO(b"x"), FilePut(name, prefix="/p%/" + name))
        store.put_file(run, io.BytesIO(b"xy"), FilePut(name, prefix="/p%/" + name))
    assert record.size_bytes == 1
    store.close()
    assert examine(root, deep=True) == []
    (folder(root) / "files" / ".files_metadata.json").write_bytes(b"")
    before = {f.filename: (f.path.strip("/"), f.checksum) for f in _files(root)}
    assert before == {}
    mended(root, only(root, "record"))
    assert len(_files(root)) == 8
    assert {f.filename for f in _files(root)} >= {"CON", "a%2Fb", "dir/ü"}


def _files(root: Path) -> list[Any]:
    store = LocalStore(root)
    try:
        return store.find_files(store.get_run(RunKey("", "project", "run")).id)
    except CorruptData:
        return []
    finally:
        store.close()


# ---------------------------------------------------------------- links, rights


@pytest.mark.parametrize(
    "what", ["project/run/metrics", "project/run/metrics/loss/data.jsonl", "project/run/files", "project/run/extra"]
)
def test_a_link_to_the_outside(root, what, tmp_path):
    """Found, wherever it lies, with where it leads; not followed, and not repairable."""
    path = root / what
    if path.exists():
        os.rename(path, tmp_path / "target")
    path.symlink_to(tmp_path / "target")
    findings = [f for f in examine(root) if f.kind == "link"]
    assert [(f.path, f.repairable) for f in findings] == [(str(path), False)]
    assert "symbolic link" in findings[0].what
    assert all(f.kind in ("link", "file-missing") for f in examine(root))


def test_a_link_in_the_place_of_a_run(root, tmp_path):
    """A run or project that is a link out of the root is in no list; the doctor says why."""
    os.rename(folder(root), tmp_path / "target")
    folder(root).symlink_to(tmp_path / "target")
    (finding,) = examine(root)
    assert (finding.kind, finding.path) == ("link", str(folder(root)))


def test_links_that_stay_inside_are_no_finding(root):
    """A user's own link to a part of the root, or a link as the root, is her business; a link where a file of ours is, is not."""
    (root / "project" / "latest").symlink_to(folder(root))
    (root.parent / "link").symlink_to(root)
    assert examine(root) == []
    assert examine(root.parent / "link") == []
    path = lines(root)
    os.rename(path, path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))
    assert [(f.kind, f.path) for f in examine(root)] == [("link", str(path))]


def test_what_this_user_may_not_do(root):
    """A series that she cannot append to and a record that she cannot read are found; nothing is raised."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root to become another user")
    record = folder(root) / "parameters.json"
    record.chmod(0o600)
    root.parent.chmod(0o755)
    for place in (*root.parents,):
        if place.stat().st_uid == 0 and place != Path("/") and not place.stat().st_mode & 0o005:
            place.chmod(place.stat().st_mode | 0o055)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            found = {(f.kind, Path(f.path).name) for f in examine(root)}
            wanted = {("not-writable", "data.jsonl"), ("not-writable", "logs.jsonl"), ("unreadable", "parameters.json")}
            os._exit(0 if found == wanted else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# ---------------------------------------------------------------- other series


def test_events_are_looked_at(root):
    """Series of kind ``events``, with and without a name, are series like others."""
    store = LocalStore(root)
    run = store.get_run(RunKey("", "project", "run")).id
    for name in ("", "named"):
        for i in range(3):
            store.append([Batch(SeriesKey(run, EVENTS, name), [b'{"n": %d}' % i])])
    store.close()
    assert examine(root) == []
    paths = sorted((folder(root) / "events").rglob("data.jsonl"))
    assert len(paths) == 2
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b'"n": 1', b'"n": x') + b"torn")
    findings = examine(root)
    assert sorted(kinds(findings)) == ["bad-line", "bad-line", "torn", "torn"]
    for finding in findings:
        repair(finding)
    assert examine(root) == []


@pytest.mark.parametrize(
    "call", [lambda r: r.metrics.list_all(), lambda r: r.metrics("loss").read(), lambda r: r.logs.read()]
)
def test_what_the_errors_promise_is_true(root, call: Callable[[Any], Any]):
    """Run `ml-dash doctor --repair` on the run's folder, says `CorruptData`: after it the call works."""
    for path in (lines(root), folder(root) / "logs" / "logs.jsonl"):
        at = offsets(path.read_bytes())
        path.write_bytes(path.read_bytes()[: at[1]] + b"#" + path.read_bytes()[at[1] + 1 :])
    for finding in examine(folder(root)):
        repair(finding)
    call(loaded(root))


def test_runs_of_any_name(tmp_path):
    """Runs and projects whose folders are spelled otherwise than their names, hashes included, are examined and mended."""
    name = "%" * 200
    with Experiment(name, name, local_path=tmp_path).run as run:
        run.metrics("loss").append_batch([{"value": i} for i in range(3)])
    assert examine(tmp_path) == []
    (path,) = tmp_path.glob("*/*/metrics/loss/data.jsonl")
    path.write_bytes(path.read_bytes().replace(b"1}", b"x}"))
    (finding,) = examine(tmp_path)
    repair(finding)
    assert examine(tmp_path) == []
    record = path.parents[2] / "experiment.json"
    document = record.read_text()
    record.write_text(document[: document.index('"description"')])
    (finding,) = examine(tmp_path)
    repair(finding)
    assert json.loads(record.read_text()).items() >= {"name": name, "project": name}.items()
    store = LocalStore(tmp_path)
    store.update_run(store.get_run(RunKey("", name, name)).id, RunPatch(params={"a": 1}))
    store.close()
