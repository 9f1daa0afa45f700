"""`Session`: dreamlake's names over the same tracker, and what a script of the published dreamlake 0.2 may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamlake import InvalidInput, LogLevel, OperationMode, ReadOnly, Session, dreamlake_session, load
from dreamlake.session import Track


@pytest.fixture
def made(tmp_path: Path) -> Session:
    """Not open yet."""
    return Session("run", "work", local_path=tmp_path / "root")


# ---------------------------------------------------------------- three styles


def test_a_session_is_its_own_context_manager(made: Session) -> None:
    with made as session:
        assert session is made
        assert session.status == "RUNNING"
    assert (made.status, made.is_open) == ("COMPLETED", False)


def test_open_gives_the_session_and_close_nothing(made: Session) -> None:
    """Any number of times."""
    for index in range(2):
        assert made.open() is made
        assert made.open() is made
        assert made.track("loss").append(value=1)["index"] == index
        made.close()
        made.close()
        assert made.status == "COMPLETED"


def test_the_decorator_passes_the_session_by_keyword(tmp_path: Path) -> None:
    """Also to coroutines, and to no function that does not take it."""
    decorate = dreamlake_session(name="run", workspace="work", local_path=tmp_path, tags=["a"])

    @decorate
    def train(lr: float, session: Session) -> tuple[float, int]:
        """Train."""
        return lr, session.track("loss").append(lr=lr)["index"]

    @decorate
    async def later(session: Session, lr: float) -> tuple[float, int]:
        await asyncio.sleep(0)
        return lr, session.track("loss").append(lr=lr)["index"]

    @decorate
    def without(lr: float) -> float:
        return lr

    @decorate
    def any_keyword(**kwargs: Any) -> bool:
        return isinstance(kwargs["session"], Session)

    assert (train.__name__, train.__doc__) == ("train", "Train.")
    assert (train(0.5), asyncio.run(later(lr=0.25)), without(1.0), any_keyword()) == ((0.5, 0), (0.25, 1), 1.0, True)
    loaded = load("run", "work", local_path=tmp_path)
    assert (loaded.status, (loaded.data or {})["tags"]) == ("COMPLETED", ["a"])


def test_the_decorator_fails_as_its_function_does(tmp_path: Path) -> None:
    @dreamlake_session("run", "work", local_path=tmp_path)
    def train(session: Session) -> None:
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        train()
    loaded = load("run", "work", local_path=tmp_path)
    assert (loaded.status, loaded.logs.read()[0]["message"]) == ("FAILED", "ZeroDivisionError: by zero")
    with pytest.raises(InvalidInput, match="'session' is positional-only"):

        @dreamlake_session("run", "work", local_path=tmp_path)
        def refused(session: Session, /) -> None: ...


# ---------------------------------------------------------------- on disk


def test_names_on_disk_are_dreamlakes(made: Session) -> None:
    """tracks/ and session.json, with a workspace and a trackId."""
    with made as session:
        session.track("train_loss", description="d").append(value=0.5, epoch=1)
    folder = Path(str(made.path))
    assert (folder / "tracks/train_loss/data.jsonl").read_text() == '{"index": 0, "data": {"value": 0.5, "epoch": 1}}\n'
    assert json.loads((folder / "tracks/train_loss/metadata.json").read_text())["trackId"] == "local-track-train_loss"
    record = json.loads((folder / "session.json").read_text())
    assert (record["name"], record["workspace"], record["status"]) == ("run", "work", "COMPLETED")
    assert "project" not in record
    assert not (folder / "metrics").exists()
    assert not (folder / "experiment.json").exists()


def test_a_track_is_one_object_a_name(made: Session) -> None:
    with made as session:
        assert isinstance(session.track("loss"), Track)
        assert session.track("loss") is session.track(name="loss")
        assert session.track() is session.track(None)
        assert session.track().name == "None"


def test_params_are_the_parameters(made: Session) -> None:
    with made as session:
        assert session.parameters() is session.params
        assert session.parameters().set(model={"lr": 1}).get() == {"model.lr": 1}


# ---------------------------------------------------------------- files


def test_files_are_uploaded_and_listed(made: Session, tmp_path: Path) -> None:
    """`files()` of the newer names, `file()` of the older ones: the same files."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    with made as session:
        saved = session.files().upload(
            str(tmp_path / "model.pt"), path="/models", description="d", tags=["best"], metadata={"e": 1}
        )
        session.file(file_path=tmp_path / "model.pt", prefix="/other").save()
        assert (saved["path"], saved["filename"], saved["sizeBytes"]) == ("/models", "model.pt", 7)
        assert [file["path"] for file in session.files().list()] == ["/models", "/other"]
        assert [file["id"] for file in session.files().list(path="/models")] == [saved["id"]]
        assert [file["id"] for file in session.files().list(tags=["best"])] == [saved["id"]]
        assert session.files().list(path="/none") == []
        copy = session.file(file_id=saved["id"], dest_path=str(tmp_path / "copy")).download()
        assert Path(copy).read_bytes() == b"weights"
    assert len(made.files().list()) == 2
    with pytest.raises(RuntimeError, match="is not open"):
        made.files().upload(str(tmp_path / "model.pt"))


# ---------------------------------------------------------------- scripts of dreamlake 0.2


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Session]:
    """Made with every keyword of the published signature that needs no server."""
    with Session(
        name="my-experiment",
        workspace="my-workspace",
        description="published",
        tags=["a"],
        folder="/experiments/baseline",
        write_protected=False,
        metadata={"gpu": "A100"},
        remote=None,
        api_key=None,
        user_name=None,
        local_path=str(tmp_path / ".dreamlake"),
    ) as session:
        yield session


def test_a_published_script_finds_its_attributes(opened: Session) -> None:
    assert opened.mode is OperationMode.LOCAL
    assert (opened.name, opened.workspace, opened.folder) == ("my-experiment", "my-workspace", "/experiments/baseline")
    assert (opened.description, opened.tags, opened.metadata) == ("published", ["a"], {"gpu": "A100"})
    assert (opened.write_protected, opened._is_open, opened._storage is None) == (False, True, False)


def test_a_published_script_tracks(opened: Session) -> None:
    """Every keyword of track(), append, append_batch, read; what was text is an int, which int() takes as well."""
    track = opened.track(name="train_loss", description="loss", tags=["train"], metadata={"unit": "nats"})
    result = track.append(value=0.5, step=100)
    assert list(result) == ["trackId", "index", "bufferedDataPoints", "chunkSize"]
    assert int(result["index"]) == 0
    result = track.append_batch(data_points=[{"value": 0.4}, {"value": 0.3}])
    assert (int(result["startIndex"]), int(result["endIndex"]), result["count"]) == (1, 2, 2)
    data = opened.track(name="train_loss").read(start_index=1, limit=100)
    assert [point["data"]["value"] for point in data["data"]] == [0.4, 0.3]
    stats = track.stats()
    assert next(iter(stats)) == "trackId"
    assert (int(stats["totalDataPoints"]), stats["tags"], stats["metadata"]) == (3, ["train"], {"unit": "nats"})
    assert [info["trackId"] for info in track.list_all()] == ["local-track-train_loss"]
    with pytest.raises(FileNotFoundError):
        opened.track("none").stats()
    with pytest.raises(ValueError, match="empty"):
        track.append_batch([])


def test_a_published_script_logs_and_sets_parameters(opened: Session) -> None:
    opened.log("started", level="INFO", metadata={"a": 1}, epoch=1)
    opened.log(metadata={"epoch": 2}).warn("high", loss=1.5)
    opened.log().error(message="failed", error_code=500)
    assert [(entry["level"], entry.get("metadata")) for entry in opened.logs.read()] == [
        ("info", {"a": 1, "epoch": 1}),
        ("warn", {"epoch": 2, "loss": 1.5}),
        ("error", {"error_code": 500}),
    ]
    opened.parameters().set(model={"lr": 0.001}, optimizer="adam").set(**{"model.depth": 3})
    assert opened.parameters().get() == {"model.lr": 0.001, "optimizer": "adam", "model.depth": 3}
    assert opened.parameters().get(flatten=False) == {"model": {"lr": 0.001, "depth": 3}, "optimizer": "adam"}
    assert LogLevel.validate("Warn") == "warn"


def test_a_published_script_that_protects_its_session(tmp_path: Path) -> None:
    """It is written in its first life, and read after that."""
    with Session("run", "work", local_path=tmp_path, write_protected=True) as session:
        assert session.write_protected
        session.track("loss").append(value=1)
    with pytest.raises(ReadOnly, match="session 'run' is write-protected"):
        Session("run", "work", local_path=tmp_path).open()
    assert len(load("run", "work", local_path=tmp_path).track("loss")) == 1


def test_the_published_second_argument_of_track_is_a_description(opened: Session) -> None:
    """dreamlake 0.2's own page says `session.track("loss", {...})`, which its code never did: an error that names the argument."""
    with pytest.raises(TypeError, match="description: expected a string; got {'step': 0"):
        opened.track("loss", {"step": 0, "value": 0.5})  # type: ignore[arg-type]
