"""Patches: what a `RunPatch` makes of a run. Pure, and shared by all stores; no I/O and no clock of its own.

The one rule with a memory is "FAILED wins": the status of a run, once its last attempt has left, is the worst of those
that were in it *together*. A *spell* is the time from a run's first attempt in it to its last one out. `attempts` tells
spells apart by their order alone, so that no clock has a say: whoever leaves others behind moves behind them in the
list, hence the current spell is what begins at the first attempt that is still open. A start on its own closes what
dead processes left open; the end of a spell puts its attempts back into the order of their starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ml_dash.errors import InvalidInput
from ml_dash.model import Attempt, Run, RunKey, SeriesInfo
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.model import FilePatch, FileRecord, RunPatch, SeriesMeta, Status

_REPLACED = ("kind", "description", "tags", "bindrs", "folder", "metadata", "write_protected", "archived")
_SAID = ("description", "tags", "metadata")
_WORSE: tuple[Status, ...] = ("COMPLETED", "CANCELLED", "FAILED")


def new_id() -> str:
    """128 random bits as 32 hex digits: the id of a run, an attempt, a file or a writer."""
    return os.urandom(16).hex()


def new_run(key: RunKey, patch: RunPatch, now: float) -> Run:
    """A run as it is before its first patch, which may say that it was begun earlier, elsewhere. `now` is unix seconds."""
    at = _happened(patch, now)
    return Run(new_id(), key, created_at=at, updated_at=at)


def apply_patch(
    run: Run,
    patch: RunPatch,
    now: float,
    *,
    alive: Callable[[Attempt], bool],
    lengths: Mapping[str, int] | None = None,
    host: str = "",
    pid: int = 0,
) -> Run:
    """`run` with `patch` applied, as a new record; applying it again changes no more than times.

    `now` is unix seconds. `alive(attempt)` tells whether an attempt that has not left still has a process. `lengths`
    ("kind/name" → rows), `host` and `pid` are noted in the attempt that the patch starts. `patch.series` is not the
    run's and left to `apply_meta`; nor does this look whether the patch `is_known`. Raises `InvalidInput` for parameters that
    contradict each other and for a `leave` that does not say how it ended.
    """
    then = _happened(patch, now)
    given = {field: value for field in _REPLACED if (value := getattr(patch, field)) is not None}
    after = msgspec.structs.replace(run, attempts=list(run.attempts), **given)
    if patch.params is not None:
        after.params = merge_params(run.params, patch.params)
        after.params_version += repr(after.params) != repr(run.params)
    if patch.dead:
        ended = {a.id: msgspec.structs.replace(a, ended_at=then) for a in after.attempts if a.ended_at is None}
        after.attempts = [ended.get(a.id, a) if a.id in patch.dead else a for a in after.attempts]
    if patch.join is not None:
        here = patch.host is None
        lengths = lengths if patch.first is None else patch.first
        started = Attempt(
            patch.join,
            then,
            host if here else patch.host or "",
            pid if here else patch.pid or 0,
            first=dict(lengths or {}),
        )
        _join(after, started, alive)
    if patch.leave is not None:
        _leave(after, patch.leave, _final(patch.status), then, alive)
    elif patch.status is not None:
        after.status = patch.status
    if patch.writer is not None and patch.seq is not None:
        after.marks = {**run.marks, patch.writer: patch.seq}
    if after != run:
        after.updated_at = iso(int(now * 1000))
    if patch.join is not None or patch.heartbeat is not None:
        after.heartbeat_at = now
    return after


def _happened(patch: RunPatch, now: float) -> str:
    if patch.at is None:
        return iso(int(now * 1000))
    try:
        return iso(patch.at)
    except OverflowError:
        raise InvalidInput(f"at: expected unix milliseconds; got {patch.at}.") from None


def is_known(run: Run, patch: RunPatch) -> bool:
    """Whether `run` has had this patch before: its writer's mark has reached its seq. Raises `InvalidInput` where writer and
    seq do not come together."""
    if patch.writer is None and patch.seq is None:
        return False
    if not patch.writer or patch.seq is None or patch.seq < 0:
        raise InvalidInput(
            f"patch: writer and seq (0 or more) come together; got writer={patch.writer!r}, seq={patch.seq!r}."
        )
    return run.marks.get(patch.writer, 0) >= patch.seq


def apply_meta(info: SeriesInfo, meta: SeriesMeta, now: float) -> SeriesInfo:
    """`info` with what the user says of the series, as a new record. `now` is unix seconds."""
    given = {field: value for field in _SAID if (value := getattr(meta, field)) is not None}
    return msgspec.structs.replace(info, **given, updated_at=iso(int(now * 1000)))


def apply_file_patch(record: FileRecord, patch: FilePatch, now: float) -> FileRecord:
    """`record` as `patch` leaves it, as a new record. `now` is unix seconds."""
    at = iso(int(now * 1000))
    given = {field: value for field in _SAID if (value := getattr(patch, field)) is not None}
    gone = at if patch.deleted else record.deleted_at
    return msgspec.structs.replace(record, **given, updated_at=at, deleted_at=gone)


def merge_params(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Flat parameters, `new` over `old`, a key at a time.

    Raises `InvalidInput` naming both where one of `new` would be a value and a group at once (``a`` beside ``a.b``).
    """
    merged = {**old, **new}
    groups = {group: key for key in merged for group in _groups(key)}
    for key in new:
        outer = key if key in groups else next((group for group in _groups(key) if group in merged), None)
        if outer is not None:
            inner = groups[key] if outer == key else key
            raise InvalidInput(
                f"parameters: {outer!r} and {inner!r} cannot both be set: {outer!r} would be a value and a group."
            )
    return merged


def _groups(key: str) -> list[str]:
    """``a.b.c`` → ``a``, ``a.b``."""
    parts = key.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _join(run: Run, started: Attempt, alive: Callable[[Attempt], bool]) -> None:
    """Start an attempt. The same id again is a retry: it starts nothing, and reopens nothing that has left since."""
    if any(attempt.id == started.id for attempt in run.attempts):
        return
    if not any(_inside(attempt, alive) for attempt in run.attempts):
        run.attempts = _settled(run.attempts, started.started_at)
    run.attempts.append(started)
    run.status = "RUNNING"


def _leave(run: Run, leaver: str, status: Status, at: str, alive: Callable[[Attempt], bool]) -> None:
    """End an attempt; with the last one, its spell. An attempt that has left with a status stays as it is."""
    attempts = run.attempts
    found = next((attempt for attempt in attempts if attempt.id == leaver), None)
    if found is None:
        raise InvalidInput(f"leave: the run has no attempt {leaver!r}; an attempt joins before it leaves.")
    if found.status is not None:
        return
    if found.ended_at is not None:
        _leave_late(run, found, status)
        return
    first_open = next(i for i, attempt in enumerate(attempts) if attempt.ended_at is None)
    ended = msgspec.structs.replace(found, ended_at=at, status=status)
    spell = [ended if attempt is found else attempt for attempt in attempts[first_open:]]
    spell.sort(key=lambda attempt: attempt.ended_at is not None)
    if any(_inside(attempt, alive) for attempt in spell):
        run.attempts = attempts[:first_open] + spell
        return
    run.attempts = attempts[:first_open] + _settled(spell, at)
    run.status = _worst([attempt.status for attempt in spell])


def _leave_late(run: Run, found: Attempt, status: Status) -> None:
    """A process that was taken for dead had lived on: its spell is over, or goes on without it."""
    run.attempts[run.attempts.index(found)] = msgspec.structs.replace(found, status=status)
    if run.status != "RUNNING":
        run.status = _worst([run.status, status])


def _settled(spell: list[Attempt], at: str) -> list[Attempt]:
    """A spell that is over, in the order of starts; what a dead process left open ends when that was found."""
    closed = (a if a.ended_at is not None else msgspec.structs.replace(a, ended_at=at) for a in spell)
    return sorted(closed, key=lambda attempt: attempt.started_at)


def _inside(attempt: Attempt, alive: Callable[[Attempt], bool]) -> bool:
    return attempt.ended_at is None and alive(attempt)


def _final(status: Status | None) -> Status:
    if status is None or status == "RUNNING":
        raise InvalidInput(f"leave: `status` says how the attempt ended, one of {', '.join(_WORSE)}; got {status!r}.")
    return status


def _worst(statuses: list[Status | None]) -> Status:
    return max((status for status in statuses if status is not None), key=_WORSE.index)
