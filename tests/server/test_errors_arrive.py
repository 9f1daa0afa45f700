"""Errors that the store behind the server raises arrive at the client's store as they were raised, in every call."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from ml_dash.errors import MlDashError, NotFound, Unavailable
from ml_dash.model import METRICS, Batch, FilePatch, FilePut, Run, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.store.memory import MemoryStore
from ml_dash.store.remote import RemoteStore
from tests.server.live import live
from tests.unit.test_wire import ERRORS

KEY = RunKey("", "project", "run")
LOSS = SeriesKey("r" * 32, METRICS, "loss")
RUN = LOSS.run


class Raising(MemoryStore):
    """Raises `error` from every call. It has any run, as far as the server itself asks for one by its id."""

    error: Exception = Unavailable("not yet")

    def __getattribute__(self, name: str) -> Any:
        if name == "get_run":
            return lambda run: Run(run, KEY) if isinstance(run, str) else self._raise()
        return self._raise if name in CALLS else super().__getattribute__(name)

    def _raise(self, *_: object) -> NoReturn:
        raise self.error


CALLS: dict[str, Callable[[RemoteStore], object]] = {
    "put_run": lambda store: store.put_run(KEY, RunPatch()),
    "update_run": lambda store: store.update_run(RUN, RunPatch()),
    "get_run": lambda store: store.get_run(KEY),
    "find_runs": lambda store: store.find_runs(RunQuery()),
    "delete_run": lambda store: store.delete_run(RUN),
    "append": lambda store: store.append([Batch(LOSS, [b"{}"])]),
    "read": lambda store: store.read(LOSS, 0, None),
    "describe": lambda store: store.describe(RUN),
    "sample": lambda store: store.sample(LOSS, "value", None, 0, None, 10),
    "flush": lambda store: store.flush(),
    "put_file": lambda store: store.put_file(RUN, io.BytesIO(b"x"), FilePut("f")),
    "get_file": lambda store: store.get_file(RUN, "f" * 32),
    "find_files": lambda store: store.find_files(RUN),
    "update_file": lambda store: store.update_file(RUN, "f" * 32, FilePatch()),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Raising, RemoteStore]]:
    behind = Raising()
    with live(create_app(behind)) as url:
        store = RemoteStore(url)
        yield behind, store
        store.close()


@pytest.mark.parametrize("call", CALLS)
def test_every_error_arrives_as_it_was_raised(scene: tuple[Raising, RemoteStore], call: str) -> None:
    """Its class, its text, its fields. An `Unavailable` that says no time gets the server's own, and of a run that is not there
    the server says no more than it would of one that the caller may not see."""
    behind, store = scene
    for error, fields in ERRORS:
        behind.error = error
        with pytest.raises(MlDashError) as caught:
            CALLS[call](store)
        came: Any = caught.value
        if isinstance(error, NotFound) and str(came).startswith("there is no run"):
            assert isinstance(came, NotFound)
            continue
        assert isinstance(came, type(error))
        assert str(came) == str(error)
        told = {name: getattr(came, name) for name in fields}
        assert told == fields or (told == {"retry_after": 1.0} and fields == {"retry_after": None})


@pytest.mark.parametrize("call", CALLS)
def test_a_write_that_did_not_happen_is_unavailable(scene: tuple[Raising, RemoteStore], call: str) -> None:
    """The disk behind the server is full: the client is to come again, with a time."""
    behind, store = scene
    behind.error = OSError(28, "No space left on device")
    with pytest.raises(Unavailable, match="No space left on device") as caught:
        CALLS[call](store)
    assert caught.value.retry_after


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_a_defect_of_the_server_is_unavailable(scene: tuple[Raising, RemoteStore], call: str) -> None:
    """What nobody expected tells nothing of the server's inside, and is no verdict on what was sent."""
    behind, store = scene
    behind.error = ZeroDivisionError("inside")
    with pytest.raises(Unavailable, match="the server failed") as caught:
        CALLS[call](store)
    assert "inside" not in str(caught.value)
