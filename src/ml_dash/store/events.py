"""Changes of a run as rows of its ``events`` series, which a spool sends on: what docs/formats/spool.md specifies. Pure.

A row is ``{"patch": …}`` (a `RunPatch` without its None fields), ``{"file": id, "change": …}`` (a `FilePatch`) or the same with
``"stored": true`` (this file was stored, and what is said of it). Applying one twice changes no more than once: attempts and
files have ids of their client's making, patches carry (writer, seq) when they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput
from ml_dash.model import FilePatch, FileRecord, Run, RunPatch, SeriesInfo, SeriesMeta
from ml_dash.times import parse_iso

NAME = ""
"""The events series' name."""

_REPLACED = (
    "kind",
    "status",
    "description",
    "tags",
    "bindrs",
    "folder",
    "metadata",
    "write_protected",
    "archived",
)
_SAID = ("description", "tags", "metadata")
_OF_A_PROCESS = ("join", "host", "pid", "at", "first")


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change: a patch of the run, a file that was stored, or a change of a file's record."""

    patch: RunPatch | None = None
    file: str | None = None
    change: FilePatch | None = None
    stored: bool = False


def stored(record: FileRecord) -> Change:
    """The change that a file was stored."""
    said = FilePatch(record.description, record.tags or None, record.metadata)
    return Change(file=record.id, change=said, stored=True)


def row(change: Change) -> bytes:
    """The encoded row of a change."""
    plain: dict[str, Any] = {}
    for field, value in msgspec.to_builtins(change).items():
        plain[field] = {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
    return codec.encode_row(plain)


def parse(fields: dict[str, Any]) -> Change:
    """The change that a row's fields tell; one without any content for what a newer version may have written."""
    try:
        return msgspec.convert(fields, Change)
    except msgspec.ValidationError as e:
        msg = f"not an event: {e}"
        raise InvalidInput(msg) from e


def merged(first: RunPatch, then: RunPatch) -> RunPatch | None:
    """One patch with the effect of both, one after the other; None where there is none: attempts start and end one by one."""
    if first.leave or then.leave or then.status or first.status or (first.join and (then.join or then.dead)):
        return None
    changes: dict[str, Any] = {f: v for f in _REPLACED if (v := getattr(then, f)) is not None}
    if then.join:
        changes |= {f: getattr(then, f) for f in _OF_A_PROCESS}
    if then.params is not None:
        changes["params"] = {**(first.params or {}), **then.params}
    if then.dead:
        changes["dead"] = first.dead + then.dead
    if then.series:
        changes["series"] = first.series + then.series
    return msgspec.structs.replace(first, **changes)


class Told:
    """What changes have told of a run so far."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.dead: set[str] = set()
        self.series: dict[tuple[str, str], dict[str, Any]] = {}
        self.files: dict[str, FilePatch] = {}

    def add(self, change: Change) -> None:
        """Take in one change, in order."""
        if change.file is not None:
            before = self.files.get(change.file, FilePatch())
            given = {f: v for f in _SAID if (v := getattr(change.change, f, None)) is not None}
            gone = before.deleted or bool(change.change and change.change.deleted)
            self.files[change.file] = msgspec.structs.replace(before, **given, deleted=gone)
        if (patch := change.patch) is None:
            return
        self.fields |= {f: v for f in _REPLACED if (v := getattr(patch, f)) is not None}
        self.params |= patch.params or {}
        self.joined |= {patch.join} if patch.join else set()
        self.left |= {patch.leave} if patch.leave else set()
        self.dead |= set(patch.dead)
        for meta in patch.series:
            said = self.series.setdefault((meta.kind, meta.name), {})
            said |= {f: v for f in _SAID if (v := getattr(meta, f)) is not None}


def missing(run: Run, series: Iterable[SeriesInfo], files: Iterable[FileRecord], told: Told) -> list[Change]:
    """The changes that make `told` complete: what was written without telling, by a process that kept the run in its folder
    alone, by a published client, or by one that died between the record and the event."""
    changes = [Change(patch=patch) for patch in _patches(run, series, told)]
    there = {file.id: file for file in files}
    for file in there.values():
        known = told.files.get(file.id)
        about = {f: v for f in _SAID if (v := getattr(file, f)) and v != getattr(known, f, None)}
        if known is None or about:
            changes.append(Change(file=file.id, change=FilePatch(**about), stored=known is None))
    gone = [file for file, said in told.files.items() if file not in there and not said.deleted]
    changes += [Change(file=file, change=FilePatch(deleted=True)) for file in gone]
    return [*changes, *(Change(patch=patch) for patch in _attempts(run, told))]


def _patches(run: Run, series: Iterable[SeriesInfo], told: Told) -> Iterator[RunPatch]:
    fields = {f: v for f in _REPLACED if f != "status" and (v := getattr(run, f)) and v != told.fields.get(f)}
    fields.pop("write_protected", None)
    if run.archived != bool(told.fields.get("archived")):  # also where it was taken back
        fields["archived"] = run.archived
    params = {k: v for k, v in run.params.items() if k not in told.params or repr(told.params[k]) != repr(v)}
    metas = tuple(meta for info in series if (meta := _meta(info, told)) is not None)
    if fields or params or metas:
        yield RunPatch(**fields, params=params or None, series=metas)


def _attempts(run: Run, told: Told) -> Iterator[RunPatch]:
    """How attempts began and ended, in the order of time: which of them were there together decides on the run's status."""
    found: list[tuple[int, int, RunPatch]] = []
    for number, attempt in enumerate(run.attempts):
        at = parse_iso(attempt.started_at)
        if attempt.id not in told.joined:
            where = RunPatch(join=attempt.id, host=attempt.host, pid=attempt.pid, at=at, first=attempt.first or None)
            found.append((at, 2 * number, where))
        end = max(at, parse_iso(attempt.ended_at)) if attempt.ended_at else at
        if attempt.status is not None and attempt.id not in told.left:
            found.append((end, 2 * number + 1, RunPatch(leave=attempt.id, status=attempt.status, at=end)))
        elif attempt.status is None and attempt.ended_at and attempt.id not in told.dead:
            found.append((end, 2 * number + 1, RunPatch(dead=(attempt.id,), at=end)))
    yield from (patch for _, _, patch in sorted(found, key=lambda one: one[:2]))
    if not run.attempts and run.status != told.fields.get("status"):
        yield RunPatch(status=run.status)
    if run.write_protected and not told.fields.get("write_protected"):
        yield RunPatch(write_protected=True)


def _meta(info: SeriesInfo, told: Told) -> SeriesMeta | None:
    said = told.series.get((info.kind, info.name), {})
    new = {f: v for f in _SAID if (v := getattr(info, f)) and v != said.get(f)}
    return SeriesMeta(info.kind, info.name, **new) if new else None
