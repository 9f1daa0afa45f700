"""What becomes of starts, ends and calls of clients that tell nothing else: statuses, attempts, heartbeats."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.errors import InvalidInput, NotFound, PermissionDenied, ReadOnly
from ml_dash.model import LOST_AFTER, Run, RunKey, RunPatch
from ml_dash.server.caller import ANYBODY, Caller
from ml_dash.server.limits import Limits
from ml_dash.server.published_runs import BEAT_EVERY, PublishedRuns
from ml_dash.server.service import Service
from ml_dash.store.local import LocalStore

READER = Caller("read", None, "r")


class Scripted:
    """The runs of published clients over a folder, at a time that the test tells."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()  # a presence file is made at the file system's own time
        self.folder = folder
        self.store = LocalStore(folder, clock=lambda: self.now)
        self.service = Service(self.store, Limits())
        self.runs = PublishedRuns(self.service, clock=lambda: self.now)

    def start(self, name: str = "run", *, once: bool = False) -> str:
        patch = RunPatch(kind="experiment")
        return self.runs.start(ANYBODY, RunKey("", "project", name), patch, once=once, host="10.0.0.1").id

    def write(self, run: str) -> None:
        self.runs.heard(ANYBODY, "experiment", run, writes=True)

    def read(self, run: str, caller: Caller = ANYBODY) -> None:
        self.runs.heard(caller, "experiment", run, writes=False)

    def end(self, run: str, status: str) -> Run:
        return self.runs.end(ANYBODY, "experiment", run, status, host="10.0.0.1")

    def shown(self, run: str) -> str:
        return self.store.get_run(run).shown_status(self.now)

    def restart(self) -> None:
        """The server again: nothing but the folder is left."""
        self.runs = PublishedRuns(self.service, clock=lambda: self.now)


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Scripted]:
    world = Scripted(tmp_path)
    yield world
    world.service.close()
    world.store.close()


def test_a_run_is_lost_when_no_call_has_come_for_a_minute_and_found_by_the_next(scripted: Scripted) -> None:
    run = scripted.start()
    for _ in range(20):
        scripted.now += LOST_AFTER - BEAT_EVERY
        scripted.write(run)
        assert scripted.shown(run) == "RUNNING"
    scripted.now += LOST_AFTER + 1
    assert scripted.shown(run) == "LOST"
    scripted.read(run)
    assert scripted.shown(run) == "RUNNING"
    assert scripted.end(run, "COMPLETED").status == "COMPLETED"


def test_a_thousand_calls_beat_once(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat is a write: many calls in ten seconds make one."""
    run = scripted.start()
    changed = []
    monkeypatch.setattr(scripted.store, "update_run", lambda *given: changed.append(given))
    for _ in range(1000):
        scripted.write(run)
    assert not changed
    scripted.now += BEAT_EVERY
    for _ in range(1000):
        scripted.write(run)
    assert len(changed) == 1


def test_a_server_that_was_started_again_hears_the_clients_that_go_on(scripted: Scripted) -> None:
    run = scripted.start()
    scripted.restart()
    scripted.now += LOST_AFTER
    scripted.write(run)
    scripted.now += LOST_AFTER
    assert scripted.shown(run) == "RUNNING"
    assert len(scripted.store.get_run(run).attempts) == 1
    assert scripted.end(run, "FAILED").status == "FAILED"


def test_a_start_after_a_kill_ends_the_run_whichever_order_they_go_in(scripted: Scripted) -> None:
    """The killed process's attempt would be alive for a minute; nobody will end it."""
    run = scripted.start()
    scripted.now += 5
    assert scripted.start() == run
    scripted.now += 5
    scripted.write(run)
    after = scripted.end(run, "COMPLETED")
    assert after.status == "COMPLETED"
    assert [attempt.status for attempt in after.attempts] == ["COMPLETED", "COMPLETED"]
    assert not list((scripted.folder / "project/run/processes").iterdir())


@pytest.mark.parametrize("first", ["COMPLETED", "CANCELLED", "FAILED"])
@pytest.mark.parametrize("second", ["COMPLETED", "CANCELLED", "FAILED"])
@pytest.mark.parametrize("writes", [False, True])
def test_processes_in_one_run_end_as_the_worst_of_them(
    scripted: Scripted, first: str, second: str, writes: bool
) -> None:
    run = scripted.start()
    scripted.start()
    scripted.end(run, first)
    scripted.now += 1
    if writes:  # the other one goes on: the run runs until that one has ended too
        scripted.write(run)
        assert scripted.shown(run) == "RUNNING"
    worst = max(first, second, key=["COMPLETED", "CANCELLED", "FAILED"].index)
    assert scripted.end(run, second).status == worst
    assert scripted.shown(run) == worst


def test_a_new_start_forgets_how_the_run_ended_before(scripted: Scripted) -> None:
    run = scripted.start()
    scripted.end(run, "FAILED")
    scripted.now += 1
    scripted.start()
    assert scripted.shown(run) == "RUNNING"
    assert scripted.end(run, "COMPLETED").status == "COMPLETED"


def test_saying_that_a_run_runs_begins_an_attempt_where_there_is_none(scripted: Scripted) -> None:
    run = scripted.start()
    assert len(scripted.end(run, "RUNNING").attempts) == 1
    scripted.end(run, "COMPLETED")
    assert scripted.end(run, "RUNNING").status == "RUNNING"
    assert scripted.end(run, "CANCELLED").status == "CANCELLED"


def test_an_end_leaves_a_client_of_ours_in_the_run(scripted: Scripted) -> None:
    """And does not end the run over its head; the last to leave does, and failing wins."""
    run = scripted.start()
    scripted.store.update_run(run, RunPatch(join="ours", host="elsewhere"))
    assert scripted.end(run, "FAILED").status == "RUNNING"
    assert scripted.end(run, "COMPLETED").status == "RUNNING"
    assert scripted.store.update_run(run, RunPatch(leave="ours", status="COMPLETED")).status == "FAILED"


def test_anybody_may_say_how_a_lost_run_ended(scripted: Scripted) -> None:
    run = scripted.store.put_run(RunKey("", "p", "ours"), RunPatch(kind="experiment", join="ours", host="gone")).id
    scripted.now += LOST_AFTER + 1
    assert scripted.end(run, "FAILED").status == "FAILED"


def test_what_is_no_status_is_refused(scripted: Scripted) -> None:
    run = scripted.start()
    for status in ("", "DONE", "completed", None, 3):
        with pytest.raises(InvalidInput, match="RUNNING, COMPLETED, FAILED, CANCELLED"):
            scripted.runs.end(ANYBODY, "experiment", run, status, host="")
    assert scripted.shown(run) == "RUNNING"


def test_a_reader_beats_for_nobody(scripted: Scripted) -> None:
    run = scripted.start()
    scripted.now += LOST_AFTER + 1
    scripted.read(run, READER)
    assert scripted.shown(run) == "LOST"
    with pytest.raises(PermissionDenied, match="write"):
        scripted.runs.heard(READER, "experiment", run, writes=True)
    with pytest.raises(PermissionDenied, match="write"):
        scripted.runs.end(READER, "experiment", run, "COMPLETED", host="")
    with pytest.raises(PermissionDenied, match="write"):
        scripted.runs.start(READER, RunKey("", "p", "n"), RunPatch(), once=False, host="")


def test_a_read_brings_no_ended_run_back(scripted: Scripted) -> None:
    run = scripted.start()
    scripted.end(run, "COMPLETED")
    scripted.read(run)
    assert scripted.shown(run) == "COMPLETED"
    assert len(scripted.store.get_run(run).attempts) == 1


def test_a_run_of_the_other_package_is_not_there(scripted: Scripted) -> None:
    run = scripted.start()
    with pytest.raises(NotFound, match="is an experiment, not a session"):
        scripted.runs.find(ANYBODY, "session", run)
    with pytest.raises(NotFound, match="/experiments/"):
        scripted.runs.heard(ANYBODY, "session", run, writes=True)


def test_a_run_that_is_to_be_written_once_is_protected_when_it_has_ended(scripted: Scripted) -> None:
    run = scripted.start(once=True)
    scripted.start(once=True)  # a second process of the same run
    scripted.write(run)
    assert not scripted.store.get_run(run).write_protected
    after = scripted.end(run, "COMPLETED")
    assert after.write_protected
    assert json.loads((scripted.folder / "project/run/experiment.json").read_text())["write_protected"] is True
    for refused in (scripted.start, lambda: scripted.write(run)):
        with pytest.raises(ReadOnly, match="'run' is write-protected"):
            refused()
    scripted.read(run)
    assert scripted.end(run, "FAILED").status == "COMPLETED"


def test_a_protected_run_that_nobody_ended_is_over_when_it_is_lost(scripted: Scripted) -> None:
    """dreamlake says nothing when it closes."""
    run = scripted.start(once=True)
    scripted.now += LOST_AFTER + 1
    with pytest.raises(ReadOnly):
        scripted.start()
    scripted.restart()
    scripted.write(run)  # the process lives after all
    assert scripted.shown(run) == "RUNNING"


def test_an_unknown_run_is_not_there(scripted: Scripted) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        scripted.write("nothing")
    with pytest.raises(NotFound, match="'nothing'"):
        scripted.end("nothing", "COMPLETED")
