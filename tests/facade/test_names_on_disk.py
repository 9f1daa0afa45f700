"""Names as users give them and folders as they lie on disk: nothing is ever written outside the root, links included, and what
was given is what comes back."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ml_dash
from dreamlake import Session
from ml_dash import Experiment, InvalidInput
from ml_dash.model import METRICS, Batch, FilePut, RunKey, RunPatch, SeriesKey
from ml_dash.names import check_series_name
from ml_dash.store.local import LocalStore

NAMES = [
    "loss",
    "Loss",
    "LOSS",
    "lOSS",
    "é",
    "e\u0301",
    "É",
    "straße",
    "STRASSE",
    "strasse",
    "CON",
    "con",
    "nul.txt",
    "COM1",
    "trailing.",
    "trailing",
    "trailing ",
    " leading",
    "%",
    "%2F",
    "a%2Fb",
    "a%2fb",
    "%25",
    "%4Coss",
    "%~" + "0" * 40,
    "x" * 255,
    "X" * 255,
    "ж" * 127,
    "🚀" * 63,
    "🚀 emoji",
    ".hidden",
    "...",
    ".tmp-0123456789abcdef",
    ".lock",
    ".cache",
    "aa:b",
    'q"uote',
    "<>|?*",
    "new metadata.json",
    "metadata.json",
    "data.jsonl",
    "DATA.JSONL",
    "data.jsonl.torn",
    "clock.jsonl",
    "writers.jsonl",
    "experiment.json",
    "session.json",
    "parameters.json",
    "logs",
    "metrics",
    "files",
    "processes",
    "_system",
    "None",
    "~",
    "$HOME",
    "`ls`",
    "-rf",
    "\u202eevil",
    "\ufeff",
    "a\u00a0b",
]
"""What a segment may be; each becomes a metric, a run and a project."""

SLASHED = [
    "a/b",
    "a/b/c",
    "A/b",
    "a/B",
    "a",
    "a/data.jsonl",
    "a/metadata.json",
    "a/clock.jsonl/x",
    "a/.lock",
    "a/%",
    "train/loss",
    "train/Loss",
    "train/loss/data.jsonl",
    "con/nul",
    "x" * 250 + "/" + "y" * 250,
    "_system/cpu",
    "a/b/" + "z" * 255,
]

REFUSED = [
    "",
    ".",
    "..",
    "../escape",
    "a/../../escape",
    "a/..",
    "./a",
    "/etc/passwd",
    "/",
    "//a",
    "a//b",
    "a/",
    "a\0b",
    "\0",
    "a\nb",
    "\x7f",
    "C:",
    "c:\\escape",
    "..\\escape",
    "a\\..\\b",
    "x" * 256,
    "a/" + "x" * 256,
    "é" * 128,
    "\ud800",
    "\u2028",
]


def everything(folder: Path) -> dict[str, str]:
    """All below a folder, links not followed: path → what it is or holds."""
    found: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(place, name)
            kind = (
                "link" if os.path.islink(path) else "folder" if os.path.isdir(path) else Path(path).read_bytes().hex()
            )
            found[os.path.relpath(path, folder)] = kind
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Path]:
    """A folder with the root in it and much else; the test fails if anything else changed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("theirs\n")
    (tmp_path / "escape").write_text("not ours\n")
    before = {name: value for name, value in everything(tmp_path).items() if not name.startswith("root")}
    yield tmp_path
    after = {
        name: value for name, value in everything(tmp_path).items() if name.partition("/")[0] not in ("root", "real")
    }
    assert after == before


def use_all(run: Any, metric: str = "loss") -> None:
    """Append, describe, set, log and save: whatever writes."""
    run.metrics(metric, description="d").append(value=1)
    run.metrics(metric).append_batch([{"value": 2}])
    run.params.set(a=1)
    run.log("message")
    run.files().save_json({"a": 1}, "a.json")
    run.flush()


# ---------------------------------------------------------------- every name comes back


def test_every_name_as_a_metric(world):
    """All in one run: each has its own points, is listed as it was given, in this process and in the next."""
    names = [*NAMES, *SLASHED]
    with Experiment("run", "project", local_path=world / "root").run as run:
        for i, name in enumerate(names):
            assert run.metrics(name).append(value=i)["index"] == 0, name
        for i, name in enumerate(reversed(names)):
            assert run.metrics(name).append(value=i)["index"] == 1
        assert [m["name"] for m in run.metrics.list_all()] == sorted(names)
    again = ml_dash.load("run", "project", local_path=world / "root")
    assert [m["name"] for m in again.metrics.list_all()] == sorted(names)
    for i, name in enumerate(names):
        assert [p["data"]["value"] for p in again.metrics(name).read()["data"]] == [i, len(names) - 1 - i]
        assert again.metrics(name).stats()["name"] == name
    (listed,) = ml_dash.runs(local_path=world / "root")
    assert sorted(listed.counts) == sorted(names)


@pytest.mark.parametrize("slot", ["name", "project"])
def test_every_name_as_a_run_and_a_project(world, slot):
    """Beside each other in one root, whichever differs by case, composition or spelling alone: listed and loaded as given."""
    names = [name for name in NAMES if "\\" not in name]
    for i, name in enumerate(names):
        key = {"name": "run", "project": "project"} | {slot: name}
        with Experiment(**key, local_path=world / "root").run as run:
            run.params.set(i=i)
            run.metrics("loss").append(value=i)
    listed = ml_dash.runs(local_path=world / "root")
    assert sorted((run.project, run.name) for run in listed) == sorted(
        ("project", name) if slot == "name" else (name, "run") for name in names
    )
    for i, name in enumerate(names):
        key = {"name": "run", "project": "project"} | {slot: name}
        run = ml_dash.load(**key, local_path=world / "root")
        assert run.params.get() == {"i": i}
        assert [p["data"] for p in run.metrics("loss").read()["data"]] == [{"value": i}]
        with Experiment(**key, local_path=world / "root").run as again:
            assert again.metrics("loss").append(value=0)["index"] == 1
    assert len(ml_dash.runs(local_path=world / "root")) == len(names)


def test_every_name_as_a_file(world):
    """Filenames, and prefixes with slashes inside: listed and downloaded as given."""
    source = world / "root" / "source"
    source.parent.mkdir()
    store = LocalStore(world / "root")
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    import io

    for i, name in enumerate([*NAMES, *SLASHED]):
        store.put_file(run, io.BytesIO(b"%d" % i), FilePut(name))
        store.put_file(run, io.BytesIO(b"p%d" % i), FilePut("f", prefix="/" + name))
    found = store.find_files(run)
    assert sorted(f.filename for f in found if f.path == "/") == sorted([*NAMES, *SLASHED])
    assert sorted(f.path for f in found if f.path != "/") == sorted("/" + name for name in [*NAMES, *SLASHED])
    for record in found:
        names = [*NAMES, *SLASHED]
        with store.get_file(run, record.id)[1] as stream:
            wanted = (
                b"%d" % names.index(record.filename) if record.path == "/" else b"p%d" % names.index(record.path[1:])
            )
            assert stream.read() == wanted
    store.close()


def test_names_on_disk_are_themselves_where_they_can_be(world):
    """Ordinary names, also with capitals, spaces and accents, are their own folder: a person finds what she wrote."""
    root = world / "root"
    with Experiment("My Run", "Prøject 7", local_path=root).run as run:
        run.metrics("train/Loss (ema)").append(value=1)
    assert (root / "Prøject 7" / "My Run" / "metrics" / "train" / "Loss (ema)" / "data.jsonl").is_file()
    assert run.path == str(root / "Prøject 7" / "My Run")


def test_a_name_that_meets_our_files(world):
    """Metric ``a`` beside ``a/data.jsonl`` and ``a/metadata.json``, in either order, and a prefix that is the records' name."""
    for first, second in (
        ("a", "a/data.jsonl"),
        ("b/data.jsonl", "b"),
        ("c/metadata.json", "c"),
        ("d", "d/clock.jsonl"),
    ):
        with Experiment("run", "project", local_path=world / "root").run as run:
            for name in (first, second, first, second):
                run.metrics(name).append(value=name)
            assert [p["data"]["value"] for p in run.metrics(first)] == [first] * 2
            assert [p["data"]["value"] for p in run.metrics(second)] == [second] * 2
    run = ml_dash.load("run", "project", local_path=world / "root")
    assert len(run.metrics.list_all()) == 8


def test_case_alone_is_told_apart_on_disk(world):
    """Names that differ by case alone lie in folders that differ by more, so that a copy to a disk that ignores case keeps both."""
    with Experiment("run", "project", local_path=world / "root").run as run:
        for name in ("loss", "Loss", "LOSS", "é", "É", "e\u0301"):
            run.metrics(name).append(value=name)
    folders = [p.name for p in (world / "root" / "project" / "run" / "metrics").iterdir()]
    assert len({name.casefold() for name in folders}) == len(folders) == 6


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=8, unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_come_back(tmp_path_factory, names):
    """Whatever passes the rules comes back as it was given, with its own points, and stays in the run's folder."""

    def allowed(name: str) -> bool:
        with suppress(InvalidInput):
            return bool(check_series_name("name", name))
        return False

    names = [name for name in names if allowed(name)]
    root = tmp_path_factory.mktemp("any") / "root"
    with Experiment("run", "project", local_path=root).run as run:
        for name in names:
            run.metrics(name).append(value=name)
    again = ml_dash.load("run", "project", local_path=root)
    assert [m["name"] for m in again.metrics.list_all()] == sorted(names)
    for name in names:
        assert [p["data"]["value"] for p in again.metrics(name)] == [name]
    assert os.listdir(root.parent) == ["root"]


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_name_may_be(world, name):
    """Refused where the call is made, with a `ValueError` that quotes the name, and nothing is made for it."""
    root = world / "root"
    quoted = repr(name)[:200]
    for make in (
        lambda: Experiment(name, "project", local_path=root),
        lambda: Experiment("run", name, local_path=root),
        lambda: Session(name, "w", local_path=root),
        lambda: ml_dash.load(name, "project", local_path=root),
    ):
        with pytest.raises(ValueError) as raised:
            make()
        assert quoted in str(raised.value)
    assert not root.exists()
    with Experiment("run", "project", local_path=root).run as run:
        before = everything(root)
        for call in (
            lambda: run.metrics(name).append(value=1),
            lambda: run.metrics(name, description="d").append(value=1),
            lambda: run.metrics.append_batch(name, [{"value": 1}]),
            lambda: run.metrics(name).read(),
            lambda: run.files().save_json({}, name),
        ):
            with pytest.raises(ValueError) as raised:
                call()
            assert quoted in str(raised.value)
        if name and not name.startswith("/"):
            with pytest.raises(ValueError) as raised:
                run.files(prefix="/" + name + "/x").save_json({}, "f")
        assert everything(root) == before


@pytest.mark.parametrize("name", REFUSED)
def test_the_store_refuses_them_itself(world, name):
    """Also below the facades: whoever calls a store cannot leave its root."""
    store = LocalStore(world / "root")
    run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
    before = everything(world / "root")
    for key in (
        RunKey("", "project", name),
        RunKey("", name, "run"),
        RunKey(name, "p", "r") if name else RunKey("", "", "r"),
    ):
        with pytest.raises(InvalidInput):
            store.put_run(key, RunPatch())
        with pytest.raises(InvalidInput):
            store.get_run(key)
    with pytest.raises(InvalidInput):
        store.append([Batch(SeriesKey(run, METRICS, name), [b"{}"])])
    with pytest.raises(InvalidInput):
        store.read(SeriesKey(run, METRICS, name), 0, None)
    assert everything(world / "root") == before
    store.close()


# ---------------------------------------------------------------- links


def made(root: Path) -> Path:
    """A run with something in it; its folder."""
    with Experiment("run", "project", local_path=root).run as run:
        use_all(run)
    return root / "project" / "run"


def moved_out(path: Path, world: Path) -> None:
    """Put a link to a folder or file outside the root in the place of `path`, with its content there."""
    target = world / "real" / "target"
    target.parent.mkdir(exist_ok=True)
    os.rename(path, target)
    path.symlink_to(target)


def test_the_root_may_be_a_link(world):
    """Where the root is reached by a link, the user has chosen so: all works."""
    (world / "real").mkdir()
    (world / "root").symlink_to(world / "real")
    made(world / "root")
    assert (world / "real" / "project" / "run" / "experiment.json").is_file()
    assert [run.name for run in ml_dash.runs(local_path=world / "root")] == ["run"]
    assert ml_dash.load("run", "project", local_path=world / "root").metrics("loss")[1]["data"] == {"value": 2}


def writes(root: Path) -> list[Callable[[], Any]]:
    """Every way of writing to the run, each from the beginning."""

    def with_run(act: Callable[[Any], Any]) -> Callable[[], Any]:
        def call() -> Any:
            run = Experiment("run", "project", local_path=root).run.start()
            try:
                return act(run)
            finally:
                with suppress(Exception):
                    run.run.complete()

        return call

    return [
        with_run(lambda run: run.metrics("loss").append(value=9)),
        with_run(lambda run: run.metrics("loss", description="new").append(value=9)),
        with_run(lambda run: run.metrics("new").append(value=9)),
        with_run(lambda run: run.metrics("new/deep").append_batch([{"value": 9}])),
        with_run(lambda run: run.log("new")),
        with_run(lambda run: run.params.set(new=1)),
        with_run(lambda run: run.files().save_json({}, "new.json")),
        with_run(lambda run: run.files(prefix="/new").save_json({}, "new.json")),
    ]


@pytest.mark.parametrize("what", ["project", "project/run"])
def test_a_linked_project_or_run_is_refused(world, what):
    """The error names the link and where it leads; nothing is written through it, not even a lock, and lists leave it out."""
    made(world / "root")
    moved_out(world / "root" / what, world)
    before = everything(world / "real")
    for call in (
        *writes(world / "root"),
        lambda: ml_dash.load("run", "project", local_path=world / "root"),
        lambda: (
            Experiment("new", "project", local_path=world / "root").run.start() if what == "project" else _refused()
        ),
    ):
        with pytest.raises(InvalidInput, match=r"is a symbolic link to '.*/real/target'"):
            call()
    assert everything(world / "real") == before
    assert len(ml_dash.runs(local_path=world / "root")) == 0


def _refused() -> None:
    raise InvalidInput("'' is a symbolic link to '/real/target'")


@pytest.mark.parametrize(
    "what",
    [
        "metrics",
        "metrics/loss",
        "metrics/loss/data.jsonl",
        "metrics/loss/metadata.json",
        "metrics/loss/clock.jsonl",
        "files",
        "files/.files_metadata.json",
        "logs",
        "logs/logs.jsonl",
        "logs/.log_sequence",
        "processes",
        "parameters.json",
        "experiment.json",
        ".lock",
    ],
)
def test_a_link_out_of_the_run_is_never_written_through(world, what):
    """Whichever part of a run is a link to the outside: every way of writing leaves what it leads to as it is."""
    run = made(world / "root")
    path = run / what
    moved_out(path, world)
    target = world / "real" / "target"
    before = everything(world / "real") | {"": target.read_bytes().hex() if target.is_file() else ""}
    refused = 0
    for call in writes(world / "root"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call()
            except (InvalidInput, OSError) as e:
                refused += 1
                assert what.split("/")[0] in str(e) or os.path.basename(what) in str(e)  # noqa: PT017
        after = everything(world / "real") | {"": target.read_bytes().hex() if target.is_file() else ""}
        assert after == before
    assert refused or not path.is_symlink()


@pytest.mark.parametrize(
    "what", ["metrics", "metrics/loss", "metrics/loss/data.jsonl", "files", "logs", "logs/logs.jsonl"]
)
def test_a_link_out_of_the_run_is_refused_clearly(world, what):
    """The error of the call that would write there names the link and what to do; the rest of the run goes on."""
    run = made(world / "root")
    moved_out(run / what, world)
    with Experiment("run", "project", local_path=world / "root").run as opened:
        calls = {
            "metrics": lambda: opened.metrics("loss").append(value=9),
            "files": lambda: opened.files().save_json({}, "new.json"),
            "logs": lambda: opened.log("new"),
        }
        for part, call in calls.items():
            if what.startswith(part):
                with pytest.raises(InvalidInput, match=r"is a symbolic link.*Put (a real|the file)") as raised:
                    call()
                assert str(run / what) in str(raised.value)
            else:
                call()


@pytest.mark.parametrize("torn", ["metrics/loss/data.jsonl", "logs/logs.jsonl"])
def test_a_torn_tail_does_not_go_through_a_link(world, torn):
    """Where ``.torn`` is a link to the outside, the append that would move a torn tail there is refused."""
    run = made(world / "root")
    path = run / torn
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"ind')
    Path(f"{path}.torn").symlink_to(world / "outside" / "precious")
    with (
        Experiment("run", "project", local_path=world / "root").run as opened,
        pytest.raises(InvalidInput, match=r"\.torn' is a symbolic link"),
    ):
        opened.metrics("loss").append(value=9) if "metrics" in torn else opened.log("new")
    assert path.read_bytes() == whole + b'{"ind'


@pytest.mark.parametrize("what", ["metrics", "metrics/new", "files", "logs", "processes", "metrics/new/data.jsonl"])
def test_a_link_to_nothing_makes_nothing(world, what):
    """A link to what does not exist yet: nothing comes into being there."""
    root = world / "root"
    with Experiment("run", "project", local_path=root).run:
        pass
    path = root / "project" / "run" / what
    if path.is_dir():
        for entry in path.iterdir():
            entry.unlink()
        path.rmdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(world / "outside" / "not there yet")
    for call in writes(root):
        with suppress(InvalidInput, OSError):
            call()
    assert not (world / "outside" / "not there yet").exists()


def test_a_linked_cache_is_not_used(world):
    """`.cache` may lead anywhere: then there is no cache, and all that it would speed up works without."""
    root = world / "root"
    with Experiment("run", "project", local_path=root).run as run:
        run.metrics("loss").append_batch([{"value": i} for i in range(30_000)])
        for i in range(60):
            run.metrics(f"m{i}").append(value=i)
    (root / ".cache").symlink_to(world / "outside")
    loaded = ml_dash.load("run", "project", local_path=root)
    assert loaded.metrics("loss").sample("value", max_points=10).count.sum() == 30_000
    assert len(ml_dash.runs(local_path=root)[0].counts) == 61
    store = LocalStore(root)
    with pytest.raises(InvalidInput, match="is a symbolic link"):
        store.delete_run(store.get_run(RunKey("", "project", "run")).id)
    assert len(ml_dash.load("run", "project", local_path=root).metrics("loss")) == 30_000
    store.close()


def test_links_inside_the_root_are_not_followed_in_lists(world):
    """A link to another run of the root is no second run."""
    made(world / "root")
    (world / "root" / "project" / "again").symlink_to(world / "root" / "project" / "run")
    (world / "root" / "more").symlink_to(world / "root" / "project")
    assert [(run.project, run.name) for run in ml_dash.runs(local_path=world / "root")] == [("project", "run")]


def test_a_file_where_a_folder_should_be(world):
    """What is in the way is named, and left alone."""
    root = world / "root"
    root.mkdir()
    (root / "project").write_text("in the way")
    with pytest.raises(OSError, match="project"):
        Experiment("run", "project", local_path=root).run.start()
    (root / "real").mkdir()
    (root / "real" / "run").write_text("in the way")
    with pytest.raises(OSError, match="run"):
        Experiment("run", "real", local_path=root).run.start()
    with Experiment("other", "real", local_path=root).run as run:
        (Path(str(run.path)) / "metrics").write_text("in the way")
        with pytest.raises(OSError, match="metrics"):
            run.metrics("loss").append(value=1)
    assert (root / "project").read_text() == (root / "real" / "run").read_text() == "in the way"


def test_records_hold_the_names_as_given(world):
    """A person who looks into experiment.json and metadata.json finds the name that she gave, however its folder is spelled."""
    name = "X" * 255
    with Experiment("a%2Fb", "CON", local_path=world / "root").run as run:
        run.metrics(name + "/" + name).append(value=1)
    (record,) = (world / "root").glob("*/*/experiment.json")
    assert json.loads(record.read_text()).items() >= {"name": "a%2Fb", "project": "CON"}.items()
    (meta,) = record.parent.glob("metrics/*/*/metadata.json")
    assert json.loads(meta.read_text())["name"] == name + "/" + name
