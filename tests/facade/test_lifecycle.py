"""A run from its start to its end and over again, through both front doors: statuses, resuming, what works when it is closed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import dreamlake
import ml_dash
from ml_dash import InvalidInput, InvalidType, ReadOnly, RunClosed


class Door(NamedTuple):
    """One of the two packages, with its words."""

    make: Callable[..., Any]
    load: Callable[..., Any]
    noun: str
    group: str
    record: str
    variable: str
    folder: str
    reopen: str

    def enter(self, made: Any) -> Any:
        """What goes into a `with` statement."""
        return made.run if self.noun == "experiment" else made

    def open(self, made: Any) -> Any:
        return (made.run.start if self.noun == "experiment" else made.open)()

    def close(self, made: Any) -> None:
        (made.run.complete if self.noun == "experiment" else made.close)()

    def series(self, run: Any, name: str = "loss") -> Any:
        return run.metrics(name) if self.noun == "experiment" else run.track(name)

    def stored(self, run: Any) -> Any:
        """The record on disk."""
        return json.loads(Path(run.path, self.record).read_text())


ML_DASH = Door(
    ml_dash.Experiment,
    ml_dash.load,
    "experiment",
    "project",
    "experiment.json",
    "ML_DASH_DIR",
    ".ml-dash",
    "experiment.run.start()",
)
DREAMLAKE = Door(
    dreamlake.Session,
    dreamlake.load,
    "session",
    "workspace",
    "session.json",
    "DREAMLAKE_DIR",
    ".dreamlake",
    "session.open()",
)


@pytest.fixture(params=[ML_DASH, DREAMLAKE], ids=["ml_dash", "dreamlake"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def made(door: Door, root: Path) -> Any:
    """A run that is not open yet."""
    return door.make("run", "group", local_path=root)


# ---------------------------------------------------------------- start and end


def test_a_run_is_running_inside_its_block_and_completed_after(door: Door, made: Any) -> None:
    """As the record on disk says, at every moment."""
    with door.enter(made) as run:
        assert run is made
        assert (run.status, door.stored(run)["status"]) == ("RUNNING", "RUNNING")
        assert run.is_open
    assert (made.status, door.stored(made)["status"]) == ("COMPLETED", "COMPLETED")
    assert not made.is_open


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


@pytest.mark.parametrize(
    "error",
    [ValueError("no good"), KeyboardInterrupt(), Stop("at once"), SystemExit(3)],
    ids=lambda e: type(e).__name__,
)
def test_an_exception_fails_the_run_is_logged_and_goes_on(door: Door, made: Any, error: BaseException) -> None:
    """The traceback at level error; the very exception comes out of the block."""

    def train() -> None:
        with door.enter(made) as run:
            door.series(run).append(value=1)
            raise error

    with pytest.raises(type(error)) as caught:
        train()
    assert caught.value is error
    assert made.status == "FAILED"
    (entry,) = made.logs.read()
    assert (entry["level"], entry["message"]) == ("error", f"{name_of(error)}: {error}".rstrip(": "))
    assert entry["metadata"]["traceback"].startswith("Traceback")
    assert __file__ in entry["metadata"]["traceback"]
    assert len(door.series(made)) == 1


def name_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@pytest.mark.parametrize("code", [None, 0])
def test_to_leave_by_sys_exit_without_an_error_is_no_failure(door: Door, made: Any, code: int | None) -> None:
    with pytest.raises(SystemExit), door.enter(made):
        sys.exit(code)
    assert (made.status, made.logs.read()) == ("COMPLETED", [])


def test_an_exception_with_a_cause_is_logged_with_it(door: Door, made: Any) -> None:
    with pytest.raises(KeyError), door.enter(made):
        raise KeyError("second") from ZeroDivisionError("first")
    assert "ZeroDivisionError: first" in made.logs.read()[0]["metadata"]["traceback"]


def test_an_exception_whose_text_cannot_be_made_fails_the_run_all_the_same(door: Door, made: Any) -> None:
    class Wordless(Exception):
        def __str__(self) -> str:
            raise LookupError

    with pytest.raises(Wordless), door.enter(made):
        raise Wordless
    assert made.status == "FAILED"
    with pytest.raises(RuntimeError), door.enter(door.make("other", "group", local_path=made.path)) as run:
        raise RuntimeError("bad \udcff text")
    assert "bad \ufffd text" in run.logs.read()[0]["message"]


def test_starting_again_changes_nothing(door: Door, made: Any) -> None:
    """No attempt, no other id, no other series."""
    door.open(made)
    series = door.series(made)
    series.append(value=1)
    first = door.stored(made)
    assert door.open(made) is made
    with door.enter(made) as inner:
        assert inner is made
    assert len(first["attempts"]) == len(door.stored(made)["attempts"]) == 1
    assert first["id"] == made.id


def test_closing_again_does_nothing(door: Door, made: Any) -> None:
    """Nor does closing what was never opened."""
    door.close(made)
    assert made.status is None
    door.open(made)
    door.close(made)
    before = door.stored(made)
    door.close(made)
    if door.noun == "experiment":
        made.run.fail()
        made.run.cancel()
    assert door.stored(made) == before


def test_an_exception_after_the_run_was_closed_is_not_its_own(door: Door, made: Any) -> None:

    def train() -> None:
        with door.enter(made):
            door.close(made)
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        train()
    assert made.status == "COMPLETED"
    assert made.logs.read() == []


def test_before_it_is_opened_there_is_nothing(door: Door, root: Path, made: Any) -> None:
    """No folder, no id, no status; what needs an open run says how to open it."""
    assert (made.id, made.status, made.data, made.is_open, made._is_open, made._storage) == (
        None,
        None,
        None,
        False,
        False,
        None,
    )
    assert not root.exists()
    for use in (
        lambda: door.series(made),
        lambda: made.logs,
        lambda: made.params,
        lambda: made.log("a"),
        made.log,
        lambda: made.file("a"),
        made.flush,
    ):
        with pytest.raises(
            RunClosed, match=f"'run'.*is not open.*{door.reopen}".replace("(", r"\(").replace(")", r"\)")
        ):
            use()
    assert not root.exists()


# ---------------------------------------------------------------- resuming


def test_an_existing_name_is_resumed(door: Door, made: Any, root: Path) -> None:
    """Indices, numbers of the log and parameters go on; the id is the same."""
    with door.enter(made) as run:
        door.series(run).append(value=0)
        run.params.set(a=1)
        run.log("a")
    with door.enter(door.make("run", "group", local_path=root)) as run:
        assert run.id == made.id
        assert door.series(run).append(value=1)["index"] == 1
        run.params.set(b=2)
        run.log("b")
        assert run.params.get() == {"a": 1, "b": 2}
        assert [entry["sequenceNumber"] for entry in run.logs.read()] == [0, 1]
    assert [point["data"]["value"] for point in door.series(made)] == [0, 1]


def test_fields_that_are_given_replace_those_that_were(door: Door, root: Path) -> None:
    """None leaves one as it is; an empty one replaces too."""

    def about(**fields: Any) -> list[Any]:
        with door.enter(door.make("run", "group", local_path=root, **fields)) as run:
            return [run.data[key] for key in ("description", "tags", "folder", "metadata", "bindrs")]

    assert about() == [None, [], None, None, []]
    given = {"description": "d", "tags": ["a"], "folder": "/f", "metadata": {"k": [1, {"x": None}]}, "bindrs": ["b"]}
    assert about(**given) == list(given.values())
    assert about() == list(given.values())
    assert about(tags=["b", "c"]) == ["d", ["b", "c"], "/f", {"k": [1, {"x": None}]}, ["b"]]
    assert about(description="", metadata={"other": 1}, bindrs=[])[0::3] == ["", {"other": 1}]


def test_every_start_is_an_attempt(door: Door, made: Any, root: Path) -> None:
    """When, where, which process, how it ended, and how long each series was."""
    with door.enter(made) as run:
        door.series(run).append_batch([{"value": 0}] * 3)
    with pytest.raises(ZeroDivisionError), door.enter(made):
        raise ZeroDivisionError
    with door.enter(door.make("run", "group", local_path=root)) as run:
        attempts = door.stored(run)["attempts"]
    assert [attempt.get("status") for attempt in attempts] == ["COMPLETED", "FAILED", None]
    assert [attempt.get("ended_at") is None for attempt in attempts] == [False, False, True]
    assert {(attempt["host"], attempt["pid"]) for attempt in attempts} == {(socket.gethostname(), os.getpid())}
    assert [list(attempt.get("first", {}).values()) for attempt in attempts] == [[], [3], [3]]
    assert len({attempt["id"] for attempt in attempts}) == 3
    assert made.status == "COMPLETED"


def test_the_last_to_leave_sets_the_status_and_failed_wins(door: Door, made: Any, root: Path) -> None:
    """Two in one run, as workers of one training are."""
    other = door.make("run", "group", local_path=root)
    with door.enter(made):
        with pytest.raises(ValueError), door.enter(other):
            raise ValueError
        assert made.status == "RUNNING"
    assert made.status == other.status == "FAILED"


def test_ids_are_never_the_same(door: Door, root: Path) -> None:
    ids = set()
    for name in "abc":
        with door.enter(door.make(name, "group", local_path=root)) as run:
            ids.add(run.id)
        shutil.rmtree(run.path)
        with door.enter(door.make(name, "group", local_path=root)) as run:
            ids.add(run.id)
    assert len(ids) == 6


# ---------------------------------------------------------------- closed


def test_closed_a_run_can_be_read(door: Door, made: Any) -> None:
    """All of it, by what was kept and by what is asked for anew."""
    with door.enter(made) as run:
        kept = door.series(run)
        kept.append_batch([{"value": 1}, {"value": 2}])
        run.params.set(a=1)
        run.log("a")
        saved = run.file(__file__).save()
    for series in (kept, door.series(made)):
        assert (len(series), series[-1]["data"], series.stats()["totalDataPoints"]) == (2, {"value": 2}, 2)
        assert series.read()["total"] == len(series.list_all()) + 1 == len(series.columns()["value"]) == 2
        assert series.sample("value").first.tolist() == [1, 2]
    assert door.series(made, "never").read()["total"] == 0
    assert (made.params.get(), len(made.logs), made.data["name"]) == ({"a": 1}, 1, "run")
    assert [file["id"] for file in made.file().list()] == [saved["id"]]


def test_closed_a_run_cannot_be_written(door: Door, made: Any) -> None:
    """The error names the run and says how to reopen it, also through what was kept from before; nothing is stored."""
    with door.enter(made) as run:
        kept, params, files = door.series(run), run.params, run.file(__file__)
        kept.append(value=1)
    before = sorted(str(path) for path in Path(made.path).rglob("*"))
    for write in (
        lambda: kept.append(value=2),
        lambda: kept.append({"value": 2}),
        lambda: kept.append_batch([{"value": 2}]),
        lambda: door.series(made).append(value=2),
        lambda: door.series(made, "other").append(value=2),
        lambda: params.set(a=1),
        lambda: made.params.set(a=1),
        lambda: made.log("a"),
        made.log,
        files.save,
        lambda: made.file().save_json({}, "a.json"),
    ):
        with pytest.raises(RuntimeError) as caught:
            write()
        assert isinstance(caught.value, RunClosed)
        for part in (f"{door.noun} 'run'", "is not open", "with", door.reopen, "goes on where it ended"):
            assert part in str(caught.value)
    assert sorted(str(path) for path in Path(made.path).rglob("*")) == before
    assert len(kept) == 1


def test_what_was_kept_works_again_after_reopening(door: Door, made: Any) -> None:
    """Series, parameters, log builders: handles, not of an attempt but of the run."""
    door.open(made)
    kept, params, builder = door.series(made), made.params, made.log()
    for index in range(3):
        assert kept.append(value=index)["index"] == index
        params.set(index=index)
        builder.info(str(index))
        door.close(made)
        with pytest.raises(RunClosed):
            kept.append(value=index)
        door.open(made)
    assert (len(kept), params.get(), len(made.logs)) == (3, {"index": 2}, 3)
    door.close(made)


def test_what_was_kept_goes_on_in_a_run_that_was_deleted_and_made_anew(door: Door, made: Any) -> None:
    """As in a notebook whose user removes the folder and starts over."""
    door.open(made)
    kept = door.series(made)
    kept.append(value=1)
    door.close(made)
    before = made.id
    shutil.rmtree(made.path)
    door.open(made)
    assert made.id != before
    assert kept.append(value=2)["index"] == 0
    assert door.series(made).append(value=3)["index"] == 1
    assert door.series(made, "other").append(value=3)["index"] == 0
    door.close(made)
    assert [point["data"]["value"] for point in kept] == [2, 3]


def test_a_run_deleted_while_open_is_a_warning_at_its_end(door: Door, made: Any) -> None:
    door.open(made)
    shutil.rmtree(made.path)
    with pytest.warns(RuntimeWarning, match="'run' was deleted while it was open"):
        door.close(made)


def test_a_run_that_was_opened_to_read_cannot_be_written_nor_started(door: Door, made: Any, root: Path) -> None:
    with door.enter(made) as run:
        door.series(run).append(value=1)
    loaded = door.load("run", "group", local_path=root)
    for write in (
        lambda: door.series(loaded).append(value=2),
        lambda: loaded.params.set(a=1),
        lambda: door.open(loaded),
    ):
        with pytest.raises(ReadOnly, match="only reads"):
            write()
    assert made.status == "COMPLETED"


# ---------------------------------------------------------------- what users of the published clients look at


def test_is_open_and_storage_follow_the_run(door: Door, made: Any) -> None:
    """(compat) They are private, and published tests use them."""
    door.open(made)
    assert made._is_open is True
    assert made._storage is not None
    door.close(made)
    assert made._is_open is False
    assert made._storage is None


def test_the_attributes_are_what_was_given(door: Door, root: Path) -> None:
    made = door.make("run", "group", local_path=root, description="d", tags=["a"], folder="/f", metadata={"k": 1})
    assert (made.name, getattr(made, door.group)) == ("run", "group")
    assert (made.description, made.tags, made.folder, made.metadata) == ("d", ["a"], "/f", {"k": 1})
    assert made.mode.value == "local"


# ---------------------------------------------------------------- shown


def test_data_is_the_record(door: Door, made: Any) -> None:
    with door.enter(made) as run:
        data = run.data
    assert data == {
        "id": made.id,
        "name": "run",
        door.group: "group",
        "status": "RUNNING",
        "description": None,
        "tags": [],
        "bindrs": [],
        "folder": None,
        "metadata": None,
        "createdAt": data["createdAt"],
        "updatedAt": data["updatedAt"],
        "writeProtected": False,
    }
    assert made.data["status"] == "COMPLETED"


def test_repr_says_what_and_how_it_is(door: Door, made: Any, root: Path) -> None:
    kind = type(made).__name__
    assert repr(made) == f"<{kind} 'run' {door.group}='group' not open in {root}>"
    with door.enter(made):
        assert repr(made) == f"<{kind} 'run' {door.group}='group' RUNNING in {root}>"
    assert "COMPLETED" in repr(made)


def test_a_notebook_shows_a_table(door: Door, root: Path) -> None:
    """Parameters and last values; nothing of a user's is taken for HTML."""
    made = door.make("<b>run", "group", local_path=root)
    assert "&lt;b&gt;" in made._repr_html_()
    with door.enter(made) as run:
        run.params.set(lr=0.125, note="<script>")
        door.series(run, "train/<i>").append(value=0.75)
        shown = run._repr_html_()
    for part in ("&lt;b&gt;run", "RUNNING", "0.125", "&lt;script&gt;", "train/&lt;i&gt;", "0.75"):
        assert part in shown
    assert "<script>" not in shown
    assert "<i>" not in shown


def test_path_is_the_runs_folder_also_where_its_name_is_spelled_otherwise(door: Door, root: Path) -> None:
    """On disk some names are encoded; before the run is there, it is where the run will be."""
    for name, group in (("run", "group"), ("100%", "a.b"), ("CON", "end."), ("RUN", "group"), ("é", "G")):
        made = door.make(name, group, local_path=root)
        before = made.path
        with door.enter(made) as run:
            assert Path(run.path, door.record).is_file()
            assert door.stored(run)["name"] == name
        assert before == made.path or name == "RUN" or group == "G"
        assert made.url is None


# ---------------------------------------------------------------- where


def test_without_a_folder_there_is_a_default(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current folder; the environment names another; what is given wins over both."""
    monkeypatch.chdir(tmp_path)
    for value, expected in ((None, door.folder), ("", door.folder), ("from/environment", "from/environment")):
        if value is not None:
            monkeypatch.setenv(door.variable, value)
        made = door.make("run", "group")
        assert made.path == str(tmp_path / expected / "group" / "run")
        with door.enter(made):
            assert (tmp_path / expected / "group" / "run" / door.record).is_file()
    assert door.make("run", "group", local_path="given").path == str(tmp_path / "given/group/run")
    other = "DREAMLAKE_DIR" if door.noun == "experiment" else "ML_DASH_DIR"
    monkeypatch.delenv(door.variable)
    monkeypatch.setenv(other, "not mine")
    assert door.make("run", "group").path == str(tmp_path / door.folder / "group/run")


@pytest.mark.parametrize("make", [str, Path, os.fspath], ids=["str", "Path", "fspath"])
def test_a_folder_is_text_or_a_path(door: Door, root: Path, make: Callable[[Path], Any]) -> None:
    with door.enter(door.make("run", "group", local_path=make(root))) as run:
        assert run.path == str(root / "group" / "run")


def test_a_program_that_changes_its_folder_goes_on_in_the_one_that_was_meant(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the run is opened, while it is open, and before it is opened again."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    made = door.make("run", "group", local_path="runs")
    monkeypatch.chdir("elsewhere")
    for index in range(2):
        with door.enter(made) as run:
            monkeypatch.chdir(tmp_path if index else tmp_path / "elsewhere")
            assert door.series(run).append(value=1)["index"] == index
            assert run.path == str(tmp_path / "runs/group/run")
    assert not (tmp_path / "elsewhere/runs").exists()
    assert len(door.series(made)) == 2


@pytest.mark.parametrize(
    ("kwargs", "kind", "error"),
    [
        ({"local_path": ""}, InvalidInput, "local_path is empty"),
        ({"local_path": 5}, InvalidType, "local_path: expected a folder as text or Path; got 5 of type int"),
        ({"local_path": b"x"}, InvalidType, "local_path: expected a folder"),
        ({"description": 5}, InvalidType, "description: expected a string; got 5 of type int"),
        ({"folder": Path("x")}, InvalidType, "folder: expected a string"),
        ({"tags": "abc"}, InvalidType, "tags: expected a list of strings.*; got 'abc'"),
        ({"tags": [1]}, InvalidType, "tags: expected a list of strings"),
        ({"tags": 5}, InvalidType, "tags: expected a list of strings"),
        ({"bindrs": "abc"}, InvalidType, "bindrs: expected a list of strings"),
        ({"metadata": [1]}, InvalidType, "metadata: expected a mapping"),
        ({"metadata": {"a": {1}}}, InvalidType, "metadata: field 'a': a value of type builtins.set"),
        ({"metadata": {"a": "\ud800"}}, InvalidInput, "metadata: field 'a': .* lone surrogate"),
        ({"on_error": "ignore"}, InvalidInput, """on_error: expected "raise" or "warn"; got 'ignore'"""),
    ],
)
def test_a_wrong_argument_is_an_error_where_the_run_is_made(
    door: Door,
    kwargs: dict[str, Any],
    kind: type[Exception],
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names the argument, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=error) as caught:
        door.make("run", "group", **kwargs)
    assert type(caught.value) is kind
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "nul\0", "line\n", "C:x", "x" * 256, "\ud800", 5, None]
)
def test_what_is_no_name_is_refused_where_the_run_is_made(door: Door, name: Any, root: Path) -> None:
    """The name of a run and of its group alike: one folder each."""
    for names, what in (((name, "group"), "name"), (("run", name), door.group)):
        with pytest.raises(ValueError, match=f"^{what} ") as caught:
            door.make(*names, local_path=root)
        assert repr(name) in str(caught.value)
    assert not root.exists()


def test_a_server_is_no_folder(door: Door) -> None:
    """Other modes are in test_remote.py."""
    with pytest.raises(InvalidInput, match="local_path: .* is a server's address, not a folder; give it as remote="):
        door.make("run", "group", local_path="http://localhost:3000")


def test_a_folder_that_cannot_be_made_is_an_oserror_at_the_start(door: Door, tmp_path: Path) -> None:
    """The run is not open then, and may be opened when the folder can be made."""
    (tmp_path / "file").write_text("")
    made = door.make("run", "group", local_path=tmp_path / "file/root")
    with pytest.raises(OSError, match="file"):
        door.open(made)
    assert (made.is_open, made.status) == (False, None)
    (tmp_path / "file").unlink()
    door.open(made)
    assert made.status == "RUNNING"
    door.close(made)


def test_a_run_of_the_other_package_is_not_opened_as_ones_own(door: Door, made: Any, root: Path) -> None:
    """Their folders differ; the error says which it is."""
    with door.enter(made):
        pass
    other = DREAMLAKE if door is ML_DASH else ML_DASH
    with pytest.raises(InvalidInput, match=f"holds a {door.noun}"):
        other.open(other.make("run", "group", local_path=root))
    assert made.status == "COMPLETED"


# ---------------------------------------------------------------- options


def test_a_protected_run_is_written_once(door: Door, root: Path) -> None:
    """(compat) It is open for its first life only; then it can be read."""
    flag = "_write_protected" if door.noun == "experiment" else "write_protected"
    made = door.make("run", "group", local_path=root, **{flag: True})
    with door.enter(made) as run:
        door.series(run).append(value=1)
        run.params.set(a=1)
    for again in (made, door.make("run", "group", local_path=root)):
        with pytest.raises(ReadOnly, match="'run' is write-protected"):
            door.open(again)
    assert door.load("run", "group", local_path=root).data["writeProtected"] is True
    assert len(door.series(made)) == 1


def block(door: Door, run: Any, name: str) -> None:
    """Put a file where the series' folder has to be, so that nothing can be written there, whoever runs the tests."""
    place = Path(run.path, "metrics" if door.noun == "experiment" else "tracks")
    place.mkdir(exist_ok=True)
    (place / name).write_text("")


def test_a_write_that_did_not_happen_is_an_oserror(door: Door, made: Any) -> None:
    """Always; what can be written still is."""
    with door.enter(made) as run:
        block(door, run, "loss")
        for write in (lambda: door.series(run).append(value=1), lambda: door.series(run).append_batch([{"value": 1}])):
            with pytest.raises(OSError, match="loss"):
                write()
        assert door.series(run, "other").append(value=1)["index"] == 0


def test_on_error_warn_lets_training_go_on(door: Door, root: Path) -> None:
    """With one warning, however many writes fail; a wrong call raises all the same."""
    with door.enter(door.make("run", "group", local_path=root, on_error="warn")) as run:
        block(door, run, "loss")
        with pytest.warns(RuntimeWarning, match="could not write: .*loss.*what was not written is lost"):
            assert door.series(run).append(value=1)["index"] is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert door.series(run).append_batch([{"value": 1}])["count"] == 0
            assert door.series(run, "other").append(value=1)["index"] == 0
        with pytest.raises(TypeError):
            door.series(run).append(value=object())
    assert run.status == "COMPLETED"


@pytest.mark.parametrize(
    "options", [{"durability": "disk"}, {"locking": False}, {"durability": "disk", "locking": False}]
)
def test_other_ways_of_writing_write_the_same(door: Door, root: Path, options: dict[str, Any]) -> None:
    with door.enter(door.make("run", "group", local_path=root, **options)) as run:
        for value in range(3):
            door.series(run).append(value=value)
        run.flush()
    assert [point["data"]["value"] for point in door.series(door.load("run", "group", local_path=root))] == [0, 1, 2]


def test_an_unknown_durability_is_an_error(door: Door, root: Path) -> None:
    with pytest.raises(InvalidInput, match="durability: expected"):
        door.open(door.make("run", "group", local_path=root, durability="best"))


def test_threads_share_a_run(door: Door, made: Any) -> None:
    """Its series, its log and its parameters: nothing is lost and nobody raises."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(50):
                door.series(made, "shared").append(step=step, thread=number)
                door.series(made, f"own/{number}").append(step=step)
            made.log(str(number))
            made.params.set({f"thread.{number}": number})
        except BaseException as e:  # a thread's error would be lost
            errors.append(e)

    with door.enter(made):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert [point["index"] for point in door.series(made, "shared")] == list(range(200))
    for number in range(4):
        mine = [point["data"]["step"] for point in door.series(made, "shared") if point["data"]["thread"] == number]
        assert mine == list(range(50))
    assert made.params.get(flatten=False) == {"thread": {str(number): number for number in range(4)}}
    assert len(made.logs) == 4
