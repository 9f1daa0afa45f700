"""What a patch makes of a run: attempts and their spells, parameters, files."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash.errors import InvalidInput
from ml_dash.model import (
    METRICS,
    Attempt,
    FilePatch,
    FileRecord,
    Run,
    RunKey,
    RunPatch,
    SeriesInfo,
    SeriesMeta,
    Status,
)
from ml_dash.store.patch import apply_file_patch, apply_meta, apply_patch, merge_params, new_id, new_run

NOW = 1_700_000_000.25
AT = "2023-11-14T22:13:20.250Z"
KEY = RunKey("", "project", "run")


class Spell:
    """A run and the set of its attempts whose processes are dead."""

    def __init__(self) -> None:
        self.run = new_run(KEY, RunPatch(), NOW)
        self.dead: set[str] = set()
        self.now = NOW

    def alive(self, attempt: Attempt) -> bool:
        return attempt.id not in self.dead

    def join(self, attempt: str) -> Run:
        return self.apply(RunPatch(join=attempt))

    def leave(self, attempt: str, status: Status = "COMPLETED") -> Run:
        return self.apply(RunPatch(leave=attempt, status=status))

    def apply(self, patch: RunPatch) -> Run:
        self.run = apply_patch(self.run, patch, self.now, alive=self.alive)
        return self.run

    def statuses(self) -> dict[str, Status | None]:
        return {attempt.id: attempt.status for attempt in self.run.attempts}


@pytest.fixture
def spell() -> Spell:
    return Spell()


def test_ids_are_128_bits() -> None:
    """Hex, and never the same twice."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)


def test_the_old_run_is_left_alone() -> None:
    """A patch makes a new record; nothing of the old one changes, its lists and mappings included."""
    old = apply_patch(new_run(KEY, RunPatch(), NOW), RunPatch(params={"a": 1}, join="p1"), NOW, alive=lambda _: True)
    before = msgspec.json.encode(old)
    patch = RunPatch(tags=["t"], params={"b": 1}, join="p2", leave="p1", status="FAILED")
    new = apply_patch(old, patch, NOW, alive=lambda _: True)
    assert msgspec.json.encode(old) == before
    assert new != old


def test_an_attempt_tells_where_and_when_it_started() -> None:
    """Host, pid, time, and the length of each series at that moment."""
    run = apply_patch(
        new_run(KEY, RunPatch(), NOW),
        RunPatch(join="p1"),
        NOW,
        alive=lambda _: True,
        lengths={"metrics/loss": 7},
        host="gpu1",
        pid=42,
    )
    assert run.attempts == [Attempt("p1", AT, "gpu1", 42, first={"metrics/loss": 7})]
    assert run.heartbeat_at == NOW


def test_updated_at_changes_with_the_run_and_not_with_a_heartbeat(spell: Spell) -> None:
    """A retry and a heartbeat leave the time of the last change."""
    spell.apply(RunPatch(description="d", params={"x": float("nan")}))
    spell.now += 1
    assert spell.apply(RunPatch(description="d", heartbeat="p1")).updated_at == AT
    assert spell.apply(RunPatch()).updated_at == AT
    assert spell.run.heartbeat_at == NOW + 1
    assert spell.apply(RunPatch(description="e")).updated_at == "2023-11-14T22:13:21.250Z"


def test_the_dead_do_not_hold_the_run_open(spell: Spell) -> None:
    """The last to leave is the last of the living; what the dead left open ends when found, without a status."""
    for attempt in ("p1", "p2", "p3"):
        spell.join(attempt)
    spell.dead.add("p2")
    assert spell.leave("p1", "FAILED").status == "RUNNING"
    assert spell.leave("p3").status == "FAILED"
    assert spell.statuses() == {"p1": "FAILED", "p2": None, "p3": "COMPLETED"}
    assert [attempt.ended_at for attempt in spell.run.attempts] == [AT] * 3


def test_a_start_after_a_crash_begins_a_new_spell(spell: Spell) -> None:
    """What happened before the crash has no say in how the new start ends."""
    spell.join("p1")
    spell.join("p2")
    spell.leave("p1", "FAILED")
    spell.dead.add("p2")
    assert spell.join("p3").status == "RUNNING"
    assert spell.leave("p3").status == "COMPLETED"
    assert spell.statuses() == {"p1": "FAILED", "p2": None, "p3": "COMPLETED"}


def test_starts_within_one_clock_tick_are_told_apart(spell: Spell) -> None:
    """The clock does not move here: one after the other is two spells, together is one."""
    spell.join("p1")
    spell.leave("p1", "FAILED")
    spell.join("p2")
    assert spell.leave("p2").status == "COMPLETED"
    spell.join("p3")
    spell.join("p4")
    spell.leave("p3", "FAILED")
    spell.join("p5")
    spell.leave("p4")
    assert spell.leave("p5").status == "FAILED"
    assert sorted(spell.statuses()) == ["p1", "p2", "p3", "p4", "p5"]


def test_the_order_of_starts_comes_back_when_all_have_left(spell: Spell) -> None:
    """While some are in, those who left stand behind them; a spell that is over stands in the order of its starts."""
    for attempt in ("p1", "p2", "p3"):
        spell.now += 1
        spell.join(attempt)
    spell.leave("p2")
    assert [attempt.id for attempt in spell.run.attempts] == ["p1", "p3", "p2"]
    spell.leave("p1")
    spell.leave("p3")
    assert [attempt.id for attempt in spell.run.attempts] == ["p1", "p2", "p3"]


def test_a_process_that_was_taken_for_dead_may_still_leave(spell: Spell) -> None:
    """Its status is noted; where the run is over, the worse of the two is the run's."""
    spell.join("p1")
    spell.dead.add("p1")
    spell.join("p2")
    assert spell.leave("p1", "CANCELLED").status == "RUNNING"
    assert spell.leave("p2").status == "COMPLETED"
    spell.join("p3")
    spell.dead.add("p3")
    spell.join("p4")
    spell.leave("p4")
    assert spell.leave("p3", "FAILED").status == "FAILED"
    assert spell.statuses() == {"p1": "CANCELLED", "p2": "COMPLETED", "p3": "FAILED", "p4": "COMPLETED"}


def test_leaving_without_joining_is_refused(spell: Spell) -> None:
    """The error names the attempt."""
    with pytest.raises(InvalidInput, match="'p9'"):
        spell.leave("p9")


@pytest.mark.parametrize("status", [None, "RUNNING"])
def test_leaving_without_saying_how_is_refused(spell: Spell, status: Status | None) -> None:
    """The error lists the statuses."""
    spell.join("p1")
    with pytest.raises(InvalidInput, match="COMPLETED, CANCELLED, FAILED"):
        spell.apply(RunPatch(leave="p1", status=status))


def test_join_and_leave_in_one_patch(spell: Spell) -> None:
    """The attempt starts and ends at once."""
    assert spell.apply(RunPatch(join="p1", leave="p1", status="FAILED")).status == "FAILED"
    assert spell.statuses() == {"p1": "FAILED"}


STATUSES: list[Status] = ["COMPLETED", "CANCELLED", "FAILED"]
steps = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "die"]), st.integers(0, 5), st.sampled_from(STATUSES)),
    min_size=5,
    max_size=40,
)


@settings(max_examples=500)
@given(steps)
def test_status_is_the_worst_of_those_together(steps: list[tuple[str, int, Status]]) -> None:
    """Beside a model that keeps the spell in a variable: RUNNING while the living are in, then the worst."""
    spell, inside, spell_statuses = Spell(), set[str](), list[Status]()
    status: Status = "COMPLETED"
    for step, number, how in steps:
        name = f"p{number}"
        known = name in spell.statuses()
        if step == "join" and not known:
            spell.join(name)
            spell_statuses = spell_statuses if inside else []
            inside.add(name)
            status = "RUNNING"
        elif step == "leave" and name in inside:
            spell.leave(name, how)
            inside.remove(name)
            spell_statuses.append(how)
            status = "RUNNING" if inside else max(spell_statuses, key=STATUSES.index)
        elif step == "die" and name in inside:
            spell.dead.add(name)
            inside.remove(name)
        assert spell.run.status == status


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ({"a": 1}, {"a.b": 2}, "'a' and 'a.b'"),
        ({"a.b.c": 1}, {"a": 2}, "'a' and 'a.b.c'"),
        ({"a.b.c": 1}, {"a.b": 2}, "'a.b' and 'a.b.c'"),
        ({}, {"a": 1, "a.b": 2}, "'a' and 'a.b'"),
    ],
)
def test_a_parameter_is_a_value_or_a_group(old: dict[str, int], new: dict[str, int], both: str) -> None:
    """The error names both keys."""
    with pytest.raises(InvalidInput, match=both):
        merge_params(old, new)


def test_what_only_looks_like_a_group_is_none() -> None:
    """`ab` is not in the group `a`; a contradiction that is stored already does not stop other keys."""
    assert merge_params({"a": 1}, {"ab": 2, "a_b.c": 3}) == {"a": 1, "ab": 2, "a_b.c": 3}
    assert merge_params({"a": 1, "a.b": 2}, {"c": 3}) == {"a": 1, "a.b": 2, "c": 3}


def test_params_version_counts_changes(spell: Spell) -> None:
    """A value of another type is a change, NaN over NaN is none."""
    versions = [
        spell.apply(RunPatch(params={"x": value})).params_version
        for value in (1, 1, 1.0, True, float("nan"), float("nan"), None)
    ]
    assert versions == [1, 1, 2, 3, 4, 4, 5]
    assert spell.apply(RunPatch(params={})).params_version == 5


def test_what_is_said_of_a_series_replaces() -> None:
    """Given fields replace, None keeps; the old record is left alone."""
    old = SeriesInfo(METRICS, "loss", description="old", tags=["a"])
    assert apply_meta(old, SeriesMeta(METRICS, "loss", tags=[]), NOW) == SeriesInfo(
        METRICS, "loss", description="old", tags=[], updated_at=AT
    )
    assert old.tags == ["a"]


def test_a_deleted_file_tells_when() -> None:
    """Other fields may change in the same patch."""
    old = FileRecord("f", "run", "/", "name", tags=["a"])
    new = apply_file_patch(old, FilePatch(description="d", deleted=True), NOW)
    assert (new.description, new.tags, new.updated_at, new.deleted_at) == ("d", ["a"], AT, AT)
    assert apply_file_patch(old, FilePatch(), NOW).deleted_at is None
