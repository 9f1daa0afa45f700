"""The nouns: keys, batches, pages and records that every layer passes on. No I/O, no NumPy, no behaviour beyond their own fields.

Times are UTC, ISO 8601 with "Z", in records, and unix milliseconds in ticks and pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

METRICS = "metrics"
TRACKS = "tracks"
LOGS = "logs"
EVENTS = "events"
KINDS = (METRICS, TRACKS, LOGS, EVENTS)

CHUNK_SIZE = 10_000
"""Points in a hot series from which the archiver seals the oldest; in local mode only reported."""

Status = Literal["RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
STATUSES: tuple[Status, ...] = ("RUNNING", "COMPLETED", "FAILED", "CANCELLED")
LOST_AFTER = 60.0
"""Seconds without a heartbeat after which a RUNNING run is shown as lost."""

RunKind = Literal["experiment", "session"]


class RunKey(NamedTuple):
    """What names a run. `namespace` is "" in local mode."""

    namespace: str
    project: str
    name: str


class SeriesKey(NamedTuple):
    """What names a series. `run` is the run's id; `name` is "" for kind ``logs``."""

    run: str
    kind: str
    name: str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Rows appended together to one series: all of them or none.

    Each of `rows` is one encoded row: a strict JSON object in the line format's own spelling
    (docs/formats/series.md), made by `codec.encode_row`. `writer` and `seq` (the first row's
    position in that writer's log) come together and make a retry harmless. `times` are
    (offset in the batch, unix ms) pairs, rising; empty means "now".
    """

    series: SeriesKey
    rows: Sequence[bytes]
    writer: str | None = None
    seq: int | None = None
    times: tuple[tuple[int, int], ...] = ()


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What became of a batch. `first` is the index of its first row that was stored by this call, or None
    if every row was there already, or if the call came from a signal handler inside another append to the same
    series, which then stores the rows after its own; `count` is how many this call stored; `total` is the series'
    length after it."""

    first: int | None
    count: int
    total: int


class Page(msgspec.Struct, frozen=True):
    """Consecutive points of one series, as lines.

    `lines` holds `count` whole lines of docs/formats/series.md, each with the series' own index,
    `start` first. `total` is the series' length when it was read. `ticks` are (index, unix ms) pairs,
    rising: a point has the time of the last tick at or before it, the first tick's if there is none.
    """

    kind: str
    start: int
    count: int
    total: int
    lines: bytes
    ticks: tuple[tuple[int, int], ...] = ()
    origin: tuple[str, int] = ("", 0)
    """Where the lines came from (path, byte offset), for `CorruptData`."""


MOST_FIELDS = 100
"""Fields of one `ColumnsPage`."""


class ColumnsPage(msgspec.Struct, frozen=True, eq=False):
    """Fields of `count` consecutive points of one series, from `start` on, as NumPy arrays; `total` as in `Page`.

    `columns` has for each field that was asked for what `Series.columns` gives for these points, where that is an array of
    bool, int64 or float64, or where none of them has the field (objects, all None); for any other field None: what it holds are not
    numbers alone, and its rows have to be read. `ticks` are those of a `Page`, an int64 array of shape (n, 2).
    """

    start: int
    count: int
    total: int
    ticks: Any
    columns: dict[str, Any]


class Attempt(msgspec.Struct, omit_defaults=True):
    """One start of a run. `first` maps "kind/name" to the series' length at that start (absent: 0)."""

    id: str
    started_at: str
    host: str = ""
    pid: int = 0
    ended_at: str | None = None
    status: Status | None = None
    first: dict[str, int] = msgspec.field(default_factory=dict)


class SeriesInfo(msgspec.Struct):
    """A series as `describe` tells it. `last` is the last row decoded, None when there is none.
    `chunked` counts points in chunks, `chunks` the chunks; both 0 where there is no cold tier."""

    kind: str
    name: str
    count: int = 0
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    metadata: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    first_at: str | None = None
    last_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    chunked: int = 0
    chunks: int = 0


class Run(msgspec.Struct):
    """A run's record. `heartbeat_at` is unix seconds of the newest heartbeat, None when none was seen.
    `params` is flat. `series` is filled only where a query asked for it."""

    id: str
    key: RunKey
    kind: RunKind = "experiment"
    status: Status = "COMPLETED"
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    bindrs: list[str] = msgspec.field(default_factory=list)
    folder: str | None = None
    metadata: dict[str, Any] | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    params_version: int = 0
    created_at: str = ""
    updated_at: str = ""
    write_protected: bool = False
    archived: bool = False
    """Set aside by a person: lists of people's leave it out unless they ask. Nothing else changes, and every store lists it."""
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    marks: dict[str, int] = msgspec.field(default_factory=dict)
    """How far each writer's patches have reached: its id → the seq behind the last one that was applied."""
    heartbeat_at: float | None = None
    series: list[SeriesInfo] | None = None

    def shown_status(self, now: float) -> str:
        """`status`, or "LOST" for a RUNNING run whose heartbeat is older than `LOST_AFTER` seconds at `now`."""
        if self.status == "RUNNING" and (self.heartbeat_at is None or now - self.heartbeat_at > LOST_AFTER):
            return "LOST"
        return self.status


class SeriesMeta(msgspec.Struct, frozen=True):
    """What a user says of a series. None leaves a field as it is."""

    kind: str
    name: str
    description: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None


class RunPatch(msgspec.Struct, frozen=True):
    """A change to a run; None leaves a field as it is.

    `params` merge a key at a time, last write wins. `join` starts an attempt with that id and makes the
    run RUNNING; `leave` ends it with `status`. The run's own status changes when its last attempt leaves;
    FAILED wins over CANCELLED, CANCELLED over COMPLETED. `dead` attempts are over without having left, as a process on their
    machine has found; that comes before `join`. `status` without `leave` sets it outright.

    A patch that comes from elsewhere says from where: `host` and `pid` of the process that joins, leaves or beats, `at` (unix
    ms) when it happened, `first` how long each series ("kind/name") was when it joined; None is this process, now. `writer`
    and `seq` come together and make a retry harmless: `seq` is how many of the writer's changes this patch and those before
    it hold, and a patch whose seq the run's mark has reached changes nothing.
    """

    kind: RunKind | None = None
    status: Status | None = None
    description: str | None = None
    tags: list[str] | None = None
    bindrs: list[str] | None = None
    folder: str | None = None
    metadata: dict[str, Any] | None = None
    params: dict[str, Any] | None = None
    series: tuple[SeriesMeta, ...] = ()
    join: str | None = None
    leave: str | None = None
    dead: tuple[str, ...] = ()
    heartbeat: str | None = None
    write_protected: bool | None = None
    archived: bool | None = None
    host: str | None = None
    pid: int | None = None
    at: int | None = None
    first: dict[str, int] | None = None
    writer: str | None = None
    seq: int | None = None


class RunQuery(msgspec.Struct, frozen=True):
    """Which runs: None matches all. `series` asks for every run's `SeriesInfo` list as well."""

    namespace: str | None = None
    project: str | None = None
    series: bool = False


class FileRecord(msgspec.Struct, rename="camel"):
    """A stored file. `path` is the prefix as the user gave it; `checksum` is the sha256 in hex."""

    id: str
    experiment_id: str
    path: str
    filename: str
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    content_type: str = "application/octet-stream"
    size_bytes: int = 0
    checksum: str = ""
    metadata: dict[str, Any] | None = None
    uploaded_at: str = ""
    updated_at: str = ""
    deleted_at: str | None = None


class FilePut(msgspec.Struct, frozen=True):
    """What to store a file as. `id` is the caller's own where a retry must be harmless, else None. `checksum` is the sha256 (hex)
    that the bytes must have, None where it is not known before they are read."""

    filename: str
    prefix: str = "/"
    description: str | None = None
    tags: list[str] | None = None
    content_type: str | None = None
    metadata: dict[str, Any] | None = None
    id: str | None = None
    checksum: str | None = None


class FilePatch(msgspec.Struct, frozen=True):
    """A change to a file's record; None leaves a field as it is. `deleted` marks it deleted and frees its bytes."""

    description: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    deleted: bool = False
