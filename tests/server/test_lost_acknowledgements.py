"""Lost acknowledgements: for every route that changes something, the effect happens, the answer does not arrive, the call is made
again, and what is stored is what one call would have stored.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml_dash.codec import encode_row
from ml_dash.errors import FileMissing, MlDashError, NotFound, Unavailable
from ml_dash.model import (
    EVENTS,
    LOGS,
    METRICS,
    Batch,
    FilePatch,
    FilePut,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesKey,
    SeriesMeta,
)
from ml_dash.server.api import ENDPOINTS, PREFIX
from ml_dash.server.app import create_app
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from tests.server.cutting_proxy import CutRequest, CuttingProxy, Lose
from tests.server.live import live

KEY = RunKey("", "project", "run")


@dataclass
class Scene:
    """A server with one run, one series and one file; `store` reaches it through the proxy, `other` does not."""

    root: Path
    proxy: CuttingProxy
    store: RemoteStore
    other: RemoteStore
    run: str = ""
    file: str = ""

    def series(self, kind: str = METRICS, name: str = "loss") -> SeriesKey:
        return SeriesKey(self.run, kind, name)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    behind = LocalStore(tmp_path / "root")
    with live(create_app(behind)) as url, CuttingProxy(url) as proxy:
        scene = Scene(tmp_path / "root", proxy, RemoteStore(proxy.url), RemoteStore(url))
        scene.run = scene.other.put_run(KEY, RunPatch(params={"lr": 1}, tags=["old"])).id
        scene.other.append([Batch(scene.series(), rows(0, 2), "w", 0)])
        scene.file = scene.other.put_file(scene.run, io.BytesIO(b"old"), FilePut("model.pt")).id
        yield scene
        scene.store.close()
        scene.other.close()
    behind.close()


def rows(first: int, stop: int) -> list[bytes]:
    return [encode_row({"value": i, "nan": float("nan")}) for i in range(first, stop)]


def stored(scene: Scene) -> Any:
    """All that there is, by a handle of its own; without the times at which records were written."""
    store = LocalStore(scene.root)
    try:
        return [
            (timeless(run), series_of(store, run.id), files_of(store, run.id)) for run in store.find_runs(RunQuery())
        ]
    finally:
        store.close()


def settled(scene: Scene) -> Any:
    """`stored`, once nothing moves any more: the client was cut off, and the server may be in the middle of its batches."""
    before = None
    while (now := stored(scene)) != before:
        before = now
        time.sleep(0.2)
    return now


def timeless(record: Any) -> str:
    plain = msgspec.to_builtins(record)
    return repr(
        {name: value for name, value in plain.items() if name not in ("updated_at", "heartbeat_at", "updatedAt")}
    )


def series_of(store: LocalStore, run: str) -> Any:
    told = [(info.kind, info.name, repr((info.description, info.tags, info.metadata))) for info in store.describe(run)]
    names = [(kind, name) for kind, name, _ in told] + [(LOGS, ""), (EVENTS, "")]
    return told, [(name, store.read(SeriesKey(run, *name), 0, None).lines) for name in names]


def files_of(store: LocalStore, run: str) -> Any:
    found = []
    for record in store.find_files(run):
        with store.get_file(run, record.id)[1] as stream:
            found.append((timeless(record), stream.read()))
    return found


# ---------------------------------------------------------------- the calls


@dataclass(frozen=True)
class Write:
    """A call that may be made again. `resent`: the store does so by itself where there was no answer. `then`: what a second call
    raises, which is how it says that the first one did it. `meanwhile`: what somebody else does before the second call."""

    route: str
    call: Callable[[Scene, RemoteStore], object]
    resent: bool = True
    then: type[MlDashError] | None = None
    meanwhile: Callable[[Scene, RemoteStore], object] | None = None
    shows: bool = True
    """Whether a reader sees a difference."""


def batches(scene: Scene) -> list[Batch]:
    """Batches of which one overlaps what is stored, and two are of one series."""
    message = encode_row({"timestamp": "2026-01-01T00:00:00.000Z", "level": "info", "message": "m"})
    return [
        Batch(scene.series(), rows(1, 4), "w", 1),
        Batch(scene.series(LOGS, ""), [message], "w", 0),
        Batch(scene.series(), rows(4, 6), "w", 4, ((0, 1_700_000_000_000),)),
        Batch(scene.series(name="new"), rows(0, 3), "v", 0),
    ]


WRITES = {
    "a new run": Write(
        "PUT /runs",
        lambda scene, store: store.put_run(RunKey("", "project", "new"), RunPatch(params={"a": 1}, join="p1")),
        meanwhile=lambda scene, store: store.put_run(RunKey("", "project", "third"), RunPatch()),
    ),
    "a run taken up": Write(
        "PUT /runs",
        lambda scene, store: store.put_run(KEY, RunPatch(params={"lr": 2}, join="p1", writer="w", seq=1)),
        meanwhile=lambda scene, store: store.update_run(scene.run, RunPatch(params={"lr": 3})),
    ),
    "a run's change": Write(
        "PATCH /runs/{run}",
        lambda scene, store: store.update_run(scene.run, RunPatch(params={"lr": 2}, tags=["new"], description="d")),
    ),
    "a run's change by a writer": Write(
        "PATCH /runs/{run}",
        lambda scene, store: store.update_run(
            scene.run,
            RunPatch(params={"lr": 2}, tags=["new"], series=(SeriesMeta(METRICS, "loss", "ours"),), writer="w", seq=4),
        ),
        meanwhile=lambda scene, store: store.update_run(
            scene.run,
            RunPatch(params={"lr": 3}, tags=[], series=(SeriesMeta(METRICS, "loss", "theirs"),), writer="v", seq=1),
        ),
    ),
    "an attempt's start": Write(
        "PATCH /runs/{run}", lambda scene, store: store.update_run(scene.run, RunPatch(join="p1", at=1_700_000_000_000))
    ),
    "an attempt's end": Write(
        "PATCH /runs/{run}",
        lambda scene, store: store.update_run(
            scene.run, RunPatch(join="p1", leave="p1", status="FAILED", at=1_700_000_000_000, writer="w", seq=2)
        ),
        meanwhile=lambda scene, store: store.update_run(scene.run, RunPatch(join="p2")),
    ),
    "a run's deletion": Write(
        "DELETE /runs/{run}",
        lambda scene, store: store.delete_run(scene.run),
        resent=False,
        then=NotFound,
        meanwhile=lambda scene, store: store.put_run(KEY, RunPatch(description="another run under the same key")),
    ),
    "rows": Write(
        "POST /append",
        lambda scene, store: store.append(batches(scene)),
        meanwhile=lambda scene, store: store.append(
            [Batch(scene.series(), rows(90, 95)), Batch(scene.series(), rows(6, 9), "w", 6)]
        ),
    ),
    "a flush": Write("POST /flush", lambda scene, store: store.flush(scene.run), shows=False),
    "a file": Write(
        "POST /runs/{run}/files",
        lambda scene, store: store.put_file(scene.run, io.BytesIO(b"x" * 300_000), FilePut("new.pt", "/p", id="put-1")),
        meanwhile=lambda scene, store: store.put_file(scene.run, io.BytesIO(b"newer"), FilePut("new.pt", "/p")),
    ),
    "a file that replaces": Write(
        "POST /runs/{run}/files",
        lambda scene, store: store.put_file(scene.run, io.BytesIO(b"new"), FilePut("model.pt", id="put-1", tags=["t"])),
        meanwhile=lambda scene, store: store.update_file(scene.run, "put-1", FilePatch(deleted=True)),
    ),
    "a file's change": Write(
        "PATCH /runs/{run}/files/{file}",
        lambda scene, store: store.update_file(scene.run, scene.file, FilePatch("new", ["t"], {"m": 1})),
    ),
    "a file's deletion": Write(
        "PATCH /runs/{run}/files/{file}",
        lambda scene, store: store.update_file(scene.run, scene.file, FilePatch(deleted=True)),
        resent=False,
        then=FileMissing,
        meanwhile=lambda scene, store: store.put_file(scene.run, io.BytesIO(b"another"), FilePut("model.pt")),
    ),
}
ASKS = {"POST /runs/{run}/upload"}
"""Where to go on with a file: changes nothing that can be read. Its losses are in test_uploads_go_on.py."""
LOSSES = {
    "before the answer": Lose(),
    "by a reset": Lose(reset=True),
    "in the answer's head": Lose(after=20),
    "in its last byte": Lose(after=-1),
}


def test_every_route_that_changes_something_is_among_the_calls() -> None:
    """A new one cannot be left out here."""
    changing = {
        f"{endpoint.method} {endpoint.path.removeprefix(PREFIX)}" for endpoint in ENDPOINTS if endpoint.method != "GET"
    }
    assert {write.route for write in WRITES.values()} | ASKS == changing


def again(scene: Scene, write: Write) -> None:
    """Make the call again, as its author does after `Unavailable`."""
    scene.proxy.heal()
    if write.then is None:
        write.call(scene, scene.store)
    else:
        with pytest.raises(write.then):
            write.call(scene, scene.store)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_call_made_again_changes_nothing_more(scene: Scene, name: str, loss: str) -> None:
    """Wherever the connection ends after the effect: the caller hears `Unavailable`, and a second call finds all done."""
    write, before = WRITES[name], stored(scene)
    scene.proxy.plan(LOSSES[loss], LOSSES[loss])
    with pytest.raises(Unavailable):
        write.call(scene, scene.store)
    once = stored(scene)
    assert (once != before) is write.shows
    again(scene, write)
    assert stored(scene) == once


@pytest.mark.parametrize("name", [name for name, write in WRITES.items() if write.meanwhile])
def test_what_others_did_in_between_stays(scene: Scene, name: str) -> None:
    """A call that is made again after somebody else's brings nothing of its own back."""
    write = WRITES[name]
    scene.proxy.plan(Lose(), Lose())
    with pytest.raises(Unavailable):
        write.call(scene, scene.store)
    once = stored(scene)
    assert write.meanwhile is not None
    write.meanwhile(scene, scene.other)
    since = stored(scene)
    assert since != once
    again(scene, write)
    assert stored(scene) == since


@pytest.mark.parametrize("name", WRITES)
def test_what_may_be_sent_again_is_sent_again_at_once(scene: Scene, name: str) -> None:
    """One lost answer is not noticed where the call may come twice; where it may not, it has gone out once."""
    write = WRITES[name]
    scene.proxy.plan(Lose())
    if write.resent:
        write.call(scene, scene.store)
    else:
        with pytest.raises(Unavailable):
            write.call(scene, scene.store)
    assert len(scene.proxy.requests) == 1 + write.resent
    once = stored(scene)
    again(scene, write)
    assert stored(scene) == once


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "call",
    [
        lambda scene: scene.store.append([Batch(scene.series(), rows(2, 4))]),
        lambda scene: scene.store.append(
            [Batch(scene.series(), rows(2, 4), "w", 2), Batch(scene.series(), rows(4, 5))]
        ),
        lambda scene: scene.store.put_file(scene.run, io.BytesIO(b"new"), FilePut("new.pt")),
        lambda scene: scene.store.put_file(scene.run, Once(b"new"), FilePut("new.pt", id="put-1")),
    ],
    ids=["rows of nobody", "rows of nobody among others", "a file without an id", "a source that cannot go back"],
)
def test_what_must_not_be_sent_again_is_sent_once(scene: Scene, call: Callable[[Scene], object], loss: str) -> None:
    """Only the author knows whether to send such a call again."""
    scene.proxy.plan(LOSSES[loss])
    with pytest.raises(Unavailable):
        call(scene)
    assert len(scene.proxy.requests) == 1
    assert [len(scene.other.find_files(scene.run)), scene.other.read(scene.series(), 0, 0).total] in (
        [1, 4],
        [1, 5],
        [2, 2],
    )


class Once(io.BytesIO):
    """Bytes that are gone once they were read, as of a pipe."""

    def seekable(self) -> bool:
        return False


CUTS: dict[str, tuple[Callable[[Scene], object], list[int]]] = {
    "rows": (lambda scene: scene.store.append(batches(scene)), [*range(0, 900, 50), 5_000]),
    "a file": (
        lambda scene: scene.store.put_file(scene.run, io.BytesIO(b"x" * 300_000), FilePut("new.pt", id="put-1")),
        [0, 10, 150, 1_000, 150_000, 300_000, 500_000],
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_request_that_was_cut_is_stored_whole_or_not_at_all(scene: Scene, name: str) -> None:
    """Wherever the connection ends under an append or an upload; once the call comes through, all is there once."""
    call, cuts = CUTS[name]
    states = [stored(scene)]
    for after in cuts:
        scene.proxy.plan(CutRequest(after), CutRequest(after))
        with pytest.raises(Unavailable):
            call(scene)
        states.append(settled(scene))
    scene.proxy.heal()
    call(scene)
    states.append(stored(scene))
    whole = [state == states[-1] for state in states]
    assert all(state in (states[0], states[-1]) for state in states)
    assert whole == sorted(whole)
    assert not any(whole[:6])
