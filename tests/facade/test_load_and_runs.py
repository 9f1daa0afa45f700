"""Reading without resuming: `load` and `runs`, `dreamlake.load` and `dreamlake.sessions`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import dreamlake
import ml_dash
from ml_dash import InvalidInput, InvalidType, NotFound, ReadOnly


class Door(NamedTuple):
    """One of the two packages, with its words."""

    load: Callable[..., Any]
    runs: Callable[..., Any]
    make: type[Any]
    noun: str
    group: str
    series: str
    variable: str
    folder: str

    def open(self, *args: Any, **kwargs: Any) -> Any:
        made = self.make(*args, **kwargs)
        return made.run if self.noun == "experiment" else made

    def one(self, run: Any, name: str) -> Any:
        return run.metrics(name) if self.noun == "experiment" else run.track(name)


ML_DASH = Door(
    ml_dash.load, ml_dash.runs, ml_dash.Experiment, "experiment", "project", "metrics", "ML_DASH_DIR", ".ml-dash"
)
DREAMLAKE = Door(
    dreamlake.load,
    dreamlake.sessions,
    dreamlake.Session,
    "session",
    "workspace",
    "tracks",
    "DREAMLAKE_DIR",
    ".dreamlake",
)


@pytest.fixture(params=[ML_DASH, DREAMLAKE], ids=["ml_dash", "dreamlake"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def filled(door: Door, root: Path) -> Door:
    """Four runs: "first" and "second" in "p", "third" in "q" FAILED, "alone" without anything."""
    for name, group, lr in (("first", "p", 0.1), ("second", "p", 0.01)):
        with door.open(name, group, local_path=root, description=f"the {name}", tags=["t", name]) as run:
            run.params.set(lr=lr, model={"depth": 3})
            door.one(run, "train/loss").append_batch([{"value": lr * i, "step": i} for i in range(5)])
            door.one(run, "acc").append(value=float("nan"))
            run.log("hello", level="warn")
            run.file(__file__, prefix="/src").save()
    with suppress(ZeroDivisionError), door.open("third", "q", local_path=root) as run:
        run.params.set(opt="adam")
        raise ZeroDivisionError
    with door.open("alone", "q", local_path=root):
        pass
    return door


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(root.rglob("*"))}


# ---------------------------------------------------------------- load


def test_load_reads_all_and_changes_nothing(filled: Door, root: Path, tmp_path: Path) -> None:
    before = snapshot(root)
    run = filled.load("first", "p", local_path=root)
    assert isinstance(run, filled.make)
    assert (run.name, run.status, run.description, run.tags) == ("first", "COMPLETED", "the first", ["t", "first"])
    assert run.params.get() == {"lr": 0.1, "model.depth": 3}
    series = filled.one(run, "train/loss")
    assert series.read(start_index=3)["data"][0]["data"] == {"value": pytest.approx(0.3), "step": 3}
    assert (len(series), series[-1]["index"], series.stats()["totalDataPoints"]) == (5, 4, 5)
    assert list(series.columns()["step"]) == [0, 1, 2, 3, 4]
    assert [one["name"] for one in series.list_all()] == ["acc", "train/loss"]
    assert [entry["message"] for entry in run.logs.read()] == ["hello"]
    (record,) = run.file(prefix="/src").list()
    path = run.file(file_id=record["id"], dest_path=tmp_path).download()
    assert Path(path).read_bytes() == Path(__file__).read_bytes()
    assert not run.is_open
    assert "'first'" in repr(run)
    assert "train/loss" in run._repr_html_()
    assert snapshot(root) == before


def test_load_leaves_a_run_that_is_going_on_alone(door: Door, root: Path) -> None:
    with door.open("run", "p", local_path=root) as writer:
        door.one(writer, "loss").append(value=1)
        reader = door.load("run", "p", local_path=root)
        assert reader.status == "RUNNING"
        door.one(writer, "loss").append(value=2)
        writer.params.set(late=True)
        assert len(door.one(reader, "loss")) == 2, "a reader sees what is appended meanwhile"
        assert reader.params.get() == {"late": True}
    assert reader.status == "COMPLETED"
    (record,) = root.rglob(f"{door.noun}.json")
    assert len(json.loads(record.read_text())["attempts"]) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda door, run: run.log("no"),
        lambda door, run: run.log().info("no"),
        lambda door, run: run.params.set(a=1),
        lambda door, run: run.params.set(),
        lambda door, run: door.one(run, "train/loss").append(value=1),
        lambda door, run: door.one(run, "new").append_batch([{"value": 1}]),
        lambda door, run: run.file(__file__).save(),
        lambda door, run: run.file().save_json({}, "a.json"),
        lambda door, run: run.file(file_id=run.file().list()[0]["id"]).delete(),
        lambda door, run: run.file(file_id=run.file().list()[0]["id"], tags=[]).update(),
    ],
)
def test_writing_to_a_loaded_run_raises(filled: Door, root: Path, write: Callable[[Door, Any], object]) -> None:
    run = filled.load("first", "p", local_path=root)
    before = snapshot(root)
    for error in (RuntimeError, ReadOnly):
        with pytest.raises(error, match=r"'first' .* was opened with load\(\), which only reads"):
            write(filled, run)
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("name", "group", "hint"),
    [
        ("frist", "p", r"Did you mean 'first'\?$"),
        ("third", "p", r"There is one of that name in (project|workspace) 'q'\.$"),
        ("new", "q", r"The newest there: 'alone', 'third'\.$"),
        ("other", "pp", r"Did you mean the (project|workspace) 'p'\?$"),
        ("other", "zzz", r"The (project|workspace)s there: 'q', 'p'\.$"),
    ],
)
def test_a_run_that_is_not_there_names_what_comes_near(
    filled: Door, root: Path, name: str, group: str, hint: str
) -> None:
    for error in (LookupError, NotFound):
        with pytest.raises(error, match=hint) as caught:
            filled.load(name, group, local_path=root)
    assert f"there is no run {name!r}" in str(caught.value)


def test_a_folder_that_is_not_there_has_no_runs_and_is_not_made(door: Door, root: Path) -> None:
    with pytest.raises(NotFound, match=r"There is no run at all: is local_path right\?"):
        door.load("run", "p", local_path=root)
    assert list(door.runs(local_path=root)) == []
    assert repr(door.runs(local_path=root)) == f"<no {door.noun}s in {root}>"
    assert not root.exists()


def test_the_other_package_s_run_says_so(root: Path) -> None:
    with ml_dash.Experiment("run", "p", local_path=root).run, dreamlake.Session("other", "p", local_path=root):
        pass
    with pytest.raises(InvalidInput, match=r"was written by ml_dash .* Open it with ml_dash.load\(\)"):
        dreamlake.load("run", "p", local_path=root)
    with pytest.raises(InvalidInput, match=r"was written by dreamlake .* Open it with dreamlake.load\(\)"):
        ml_dash.load("other", "p", local_path=root)
    assert [run.name for run in ml_dash.runs(local_path=root)] == ["run"]
    assert [run.name for run in dreamlake.sessions(local_path=root)] == ["other"]


def test_wrong_names_and_places(door: Door, root: Path) -> None:
    with pytest.raises(InvalidInput, match=r"name '../x'"):
        door.load("../x", "p", local_path=root)
    with pytest.raises(InvalidInput, match=f"{door.group} ''"):
        door.runs(local_path=root, **{door.group: ""})
    for call in (lambda: door.load("a", "p", remote="x:1"), lambda: door.runs(remote="x:1")):
        with pytest.raises(InvalidInput, match="remote: 'x:1' is no address of a server"):
            call()


def test_the_default_folder_is_the_one_that_writing_has(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with door.open("here", "p"):
        pass
    assert (tmp_path / door.folder / "p/here").is_dir()
    assert door.load("here", "p").status == "COMPLETED"
    assert [run.name for run in door.runs()] == ["here"]
    monkeypatch.setenv(door.variable, "elsewhere")
    with door.open("there", "p"):
        pass
    (view,) = door.runs()
    assert view.name == "there"
    monkeypatch.chdir("/")
    assert view.load().path == str(tmp_path / "elsewhere/p/there"), "a list remembers where it was made"


def test_loaded_runs_let_their_descriptors_go(filled: Door, root: Path) -> None:
    """A list of a thousand runs can be gone through, each loaded and read, under any limit of open files."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(200):
        filled.one(filled.load("first", "p", local_path=root), "train/loss").read()
    assert descriptors() < before + 100


# ---------------------------------------------------------------- runs


def test_runs_newest_first_with_what_they_hold(filled: Door, root: Path) -> None:
    runs = filled.runs(local_path=root)
    assert [run.name for run in runs] == ["alone", "third", "second", "first"]
    assert [run.status for run in runs] == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    first = runs[-1]
    assert (first.project, first.workspace, first.description, first.tags) == ("p", "p", "the first", ["t", "first"])
    assert first.params == {"lr": 0.1, "model.depth": 3}
    assert first.metrics["train/loss"] == {"value": pytest.approx(0.4), "step": 4}
    assert first.tracks is first.metrics
    assert first.counts == {"acc": 1, "train/loss": 5}
    assert first.metrics["acc"]["value"] != first.metrics["acc"]["value"], "NaN comes back as NaN"
    assert first.created_at.endswith("Z")
    assert first.updated_at >= first.created_at
    loaded = first.load()
    assert isinstance(loaded, filled.make)
    assert loaded.id == first.id
    assert (runs[0].params, runs[0].metrics, runs[0].counts) == ({}, {}, {})


def test_views_are_frozen_and_can_be_in_sets(filled: Door, root: Path) -> None:
    view = filled.runs(local_path=root)[0]
    with pytest.raises(AttributeError):
        view.name = "other"
    assert len({view, view}) == 1


def test_a_list_is_a_sequence(filled: Door, root: Path) -> None:
    runs = filled.runs(local_path=root)
    assert len(runs) == 4
    assert [run.name for run in runs[1:3]] == ["third", "second"]
    assert type(runs[1:3]) is type(runs)
    assert runs[0] in runs
    assert [run.name for run in reversed(runs)] == ["first", "second", "third", "alone"]
    assert not filled.runs(local_path=root, filter="name == 'none'")


def test_runs_of_one_group(filled: Door, root: Path) -> None:
    assert [run.name for run in filled.runs(local_path=root, **{filled.group: "p"})] == ["second", "first"]
    assert [run.name for run in filled.runs(local_path=root, **{filled.group: "none"})] == []


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("params.lr < 0.05", ["second"]),
        ('{series}["train/loss"].value > 0.1', ["first"]),
        ('status == "FAILED" or "first" in tags', ["third", "first"]),
        (lambda run: run.params.get("lr", 0) > 0.05, ["first"]),
        (lambda run: run.counts, ["second", "first"]),
        (None, ["alone", "third", "second", "first"]),
    ],
)
def test_filter_by_text_or_by_function(filled: Door, root: Path, wanted: Any, names: list[str]) -> None:
    if isinstance(wanted, str):
        wanted = wanted.replace("{series}", filled.series)
    assert [run.name for run in filled.runs(local_path=root, filter=wanted)] == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("params.lr", ["second", "first", "alone", "third"]),
        ("-params.lr", ["first", "second", "alone", "third"]),
        ("name", ["alone", "first", "second", "third"]),
    ],
)
def test_sort(filled: Door, root: Path, sort: str, names: list[str]) -> None:
    assert [run.name for run in filled.runs(local_path=root, sort=sort)] == names


def test_a_wrong_filter_or_sort_is_quoted(filled: Door, root: Path) -> None:
    for about, text in (
        ({"filter": "params.lr <"}, "filter 'params.lr <' is not an expression"),
        ({"filter": "lr < 1"}, "names 'lr', which is none of"),
        ({"sort": "params"}, "does not say which of the params"),
    ):
        with pytest.raises(InvalidInput, match=text):
            filled.runs(local_path=root, **about)
    with pytest.raises(InvalidType, match="filter: expected text, .* or a function of a run; got 3"):
        filled.runs(local_path=root, filter=3)


DIES = """
import os, sys
from ml_dash import Experiment
Experiment("dead", "p", local_path=sys.argv[1]).run.start().metrics("loss").append(value=1)
os._exit(1)
"""


def test_a_run_whose_process_died_is_lost(root: Path) -> None:
    """Derived, never stored; and reading does not end it."""
    subprocess.run([sys.executable, "-c", DIES, str(root)], check=False)
    assert [run.status for run in ml_dash.runs(local_path=root)] == ["LOST"]
    assert [run.name for run in ml_dash.runs(local_path=root, filter='status == "LOST"')] == ["dead"]
    run = ml_dash.load("dead", "p", local_path=root)
    assert (run.status, len(run.metrics("loss"))) == ("LOST", 1)
    assert json.loads((root / "p/dead/experiment.json").read_text())["status"] == "RUNNING"


def test_a_described_series_without_points_is_counted(root: Path) -> None:
    with ml_dash.Experiment("run", "p", local_path=root).run as experiment:
        experiment.metrics("loss", description="d").append(value=1)
        (root / "p/run/metrics/loss/data.jsonl").write_text("")
    (view,) = ml_dash.runs(local_path=root)
    assert view.metrics == {}
    assert view.counts in ({}, {"loss": 0})


# ---------------------------------------------------------------- shown


def test_a_list_shows_itself_as_a_table(filled: Door, root: Path) -> None:
    lines = repr(filled.runs(local_path=root)).splitlines()
    assert lines[0] == f"4 {filled.noun}s in {root}"
    assert lines[1].split() == ["name", filled.group, "status", "created", "parameters", filled.series]
    assert lines[-1].split()[:3] == ["first", "p", "COMPLETED"]
    assert "lr=0.1, model.depth=3" in lines[-1]
    assert "acc=nan, train/loss=0.4" in lines[-1]
    assert len(lines) == 6
    assert repr(filled.runs(local_path=root)[-1]) == (
        f"<{filled.noun} 'first' {filled.group}='p' COMPLETED, 2 parameters, 2 {filled.series}>"
    )


def test_long_lists_are_cut(root: Path) -> None:
    for i in range(25):
        with ml_dash.Experiment(f"run-{i}", "p", local_path=root).run as experiment:
            experiment.params.set({f"p{j}": "x" * 100 for j in range(30)})
    runs = ml_dash.runs(local_path=root)
    lines = repr(runs).splitlines()
    assert lines[-1] == "… 5 more"
    assert len(lines) == 23
    assert max(map(len, lines)) < 200
    assert runs._repr_html_().count("<tr") == 1 + 20 + 1
    assert "… 5 more" in runs._repr_html_()
    assert "… 10 more" in runs[0].load()._repr_html_()


def test_html_is_escaped_and_has_no_colours_of_its_own(root: Path) -> None:
    """A name, a tag, a parameter and a value cannot bring markup in, and text is readable on any background."""
    evil = "<script>alert('x')</script>&\""
    name = "<b>&run"
    with ml_dash.Experiment(name, "p", local_path=root, description=evil, tags=[evil]).run as experiment:
        experiment.params.set({evil: evil})
        experiment.metrics("<i>loss").append({"<u>": "<s>", "value": 1})
        page = experiment._repr_html_()
    runs = ml_dash.runs(local_path=root)
    for html in (page, runs._repr_html_(), runs[0].load()._repr_html_()):
        assert not [tag for tag in ("<script", "<b>", "<i>", "<u>", "<s>") if tag in html]
        assert "&lt;b&gt;&amp;run" in html
        assert "background:none" in html
        assert "black" not in html
        assert "white" not in html


def test_to_pandas_has_a_row_a_run(filled: Door, root: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = filled.runs(local_path=root).to_pandas()
    assert list(table.columns) == [
        "name",
        filled.group,
        "status",
        "created_at",
        "params.opt",
        "params.lr",
        "params.model.depth",
        f"{filled.series}.acc.value",
        f"{filled.series}.train/loss.value",
        f"{filled.series}.train/loss.step",
    ]
    assert list(table["name"]) == ["alone", "third", "second", "first"]
    assert table["created_at"].is_monotonic_decreasing
    assert str(table["created_at"].dt.tz) == "UTC"
    row = table.set_index("name").loc["first"]
    assert (row["params.lr"], row[f"{filled.series}.train/loss.step"]) == (0.1, 4)
    assert pandas.isna(table["params.lr"][0])
    assert list(filled.runs(local_path=root / "none").to_pandas().columns) == [
        "name",
        filled.group,
        "status",
        "created_at",
    ]


def test_to_pandas_without_pandas_names_the_extra(filled: Door, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = filled.runs(local_path=root)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_pandas\(\) needs pandas: pip install 'ml-dash\[pandas\]'"):
        runs.to_pandas()


# ---------------------------------------------------------------- folders of the published clients


def published(root: Path, name: str, record: dict[str, Any]) -> None:
    """A run folder as ml-dash 0.5.2 leaves it: no id, no status, times without a zone's name or with microseconds."""
    folder = root / "p" / name
    (folder / "metrics/loss").mkdir(parents=True)
    (folder / "experiment.json").write_text(json.dumps({"name": name, "project": "p"} | record))
    (folder / "parameters.json").write_text(json.dumps({"version": 1, "data": {"lr": 0.5}}))
    (folder / "metrics/loss/data.jsonl").write_text('{"index": 0, "data": {"value": 0.5}}\n')


def test_folders_of_the_published_client_are_listed_and_loaded(root: Path) -> None:
    published(root, "old", {"created_at": "2025-01-01T00:00:00.123456Z"})
    published(root, "older", {"created_at": "2024-01-01T00:00:00Z"})
    before = snapshot(root)
    runs = ml_dash.runs(local_path=root)
    assert [(run.name, run.params, run.metrics) for run in runs] == [
        ("old", {"lr": 0.5}, {"loss": {"value": 0.5}}),
        ("older", {"lr": 0.5}, {"loss": {"value": 0.5}}),
    ]
    assert runs[0].load().metrics("loss")[0]["data"] == {"value": 0.5}
    assert list(runs.to_pandas()["created_at"].dt.year) == [2025, 2024]
    assert snapshot(root) == before
