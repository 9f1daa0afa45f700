"""Runs in two tiers as a user's are, with parameters, series of each kind, files; and all that readers see of them: what recovering,
verifying and restoring from a backup are held against."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import Any

from obstore.store import S3Store
from pymongo import MongoClient

from ml_dash.model import (
    EVENTS,
    LOGS,
    METRICS,
    TRACKS,
    Batch,
    FilePut,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesKey,
    SeriesMeta,
)
from ml_dash.store.base import Store
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tier_recovery import Recovered, Recovery
from ml_dash.store.tier_verify import Finding, Verification
from ml_dash.store.tiered import TieredStore
from tests.tiered.servers import child_environment
from tests.tiered.tiers import Tiers

THRESHOLD = 20
COLLECTIONS = ("buckets", "due", "files", "heads", "manifest", "overflow", "runs", "said", "tokens", "uploads")
"""All that is not derived."""
KINDS = ((METRICS, "loss"), (METRICS, "ünï/💡"), (TRACKS, "pose"), (LOGS, ""), (EVENTS, ""))


def row(kind: str, at: int) -> bytes:
    """The row of a series at an index; NaN, great integers and an order of keys among them."""
    if kind == LOGS:
        return b'{"timestamp":"2026-01-31T09:30:00.000000Z","level":"info","message":"line %d"}' % at
    if kind == EVENTS:
        return b'{"event":"note","at":%d}' % at
    if kind == TRACKS:
        return b'{"_ts":%d.5,"x":%d,"y":[1,2]}' % (at, at)
    return b'{"z":NaN,"a":%d,"value":%d.25,"big":%d}' % (at, at, 2**70 + at)


class Shop:
    """Two runs of a test's tiers: "long" with five series, what it was told of, and two files; "short" with five hot rows."""

    def __init__(self, tiers: Tiers) -> None:
        self.tiers = tiers
        self.store = self.open()
        self.long = self.store.put_run(
            RunKey("space", "project", "long"),
            RunPatch(
                params={"lr": 0.1, "deep": {"none": None, "big": 2**70}},
                tags=["a", "b"],
                description="told",
                metadata={"k": [1, None]},
                series=(SeriesMeta(METRICS, "loss", description="how bad", tags=["train"], metadata={"unit": "nat"}),),
            ),
        )
        self.short = self.store.put_run(RunKey("space", "project", "short"), RunPatch(params={"lr": 0.2}))
        self.counts: dict[SeriesKey, int] = {}

    def open(self, **options: Any) -> TieredStore:
        """A store as of another process; the test closes it."""
        return self.tiers.store(**{"threshold": THRESHOLD, "patience": 0.0, "lease": 0.2} | options)

    def close(self) -> None:
        self.store.close()

    def series(self, kind: str = METRICS, name: str = "loss") -> SeriesKey:
        return SeriesKey(self.long.id, kind, name)

    def write(self, series: SeriesKey, count: int, store: Store | None = None) -> None:
        """Append `count` rows more."""
        at = self.counts.get(series, 0)
        rows = [row(series.kind, i) for i in range(at, at + count)]
        [answer] = (store or self.store).append([Batch(series, rows, "w", at, ((0, 1_700_000_000_000 + at),))])
        assert (answer.first, answer.total) == (at, at + count)
        self.counts[series] = at + count

    def archive(self) -> None:
        """Move what is due."""
        with closing(self.open()) as store:
            while store.hot.due.count_documents({}):
                store.archiver.run_once()

    def fill(self) -> None:
        """Three chunks of the first series of "long", one of the others, its files, rows of "short" that are hot."""
        for kind, name in KINDS:
            self.write(self.series(kind, name), 20)
        self.archive()
        for _ in range(2):
            self.write(self.series(), 20)
            self.archive()
        self.put_file("a/b", "ü.bin", os.urandom(3 << 20))
        self.put_file("", "empty.txt", b"")
        self.write(SeriesKey(self.short.id, METRICS, "loss"), 5)
        self.store.keep_record(self.long.id)

    def put_file(self, prefix: str, name: str, data: bytes) -> str:
        put = FilePut(name, prefix, "told", ["t"], None, {"m": None, "big": 2**70})
        return self.store.put_file(self.long.id, io.BytesIO(data), put).id

    # ------------------------------------------------------------ what is there

    def seen(self, store: Store) -> dict[str, Any]:
        """All that a reader sees of every run."""
        return {run.key.name: seen(store, run) for run in store.find_runs(RunQuery(series=True))}

    def documents(self) -> dict[str, list[Any]]:
        """All that MongoDB holds and that is not derived."""
        with MongoClient[dict[str, Any]](self.tiers.uri) as client:
            return {name: list(client.get_default_database()[name].find().sort("_id", 1)) for name in COLLECTIONS}

    def calm(self) -> None:
        """Nobody has added rows for a while."""
        self.store.hot.runs.update_many({}, {"$unset": {"busy_until": ""}})

    def lose_database(self) -> None:
        """The store that was open goes with it."""
        self.close()
        with MongoClient[dict[str, Any]](self.tiers.uri) as client:
            client.drop_database(client.get_default_database().name)
        self.store = self.open()

    @property
    def objects(self) -> S3Store:
        return self.tiers.place.store()

    def listed(self, prefix: str = "") -> list[str]:
        """Keys in the bucket."""
        return sorted(one["path"] for page in self.objects.list(prefix or None) for one in page)

    def chunks(self, series: SeriesKey) -> list[str]:
        """Keys of the manifest's, in order."""
        return [one["key"] for one in self.entries(series)]

    def entries(self, series: SeriesKey) -> list[dict[str, Any]]:
        return self.store.hot.entries(series_id(series), 0, 1 << 62)

    def head(self, series: SeriesKey) -> dict[str, Any]:
        found = self.store.hot.heads.find_one({"_id": series_id(series)})
        assert found is not None
        return found

    def damage(self, key: str, how: str) -> None:
        """Flip a byte in its middle, cut it, leave nothing of it, or delete it."""
        data = bytearray(self.objects.get(key).bytes())
        if how == "missing":
            self.objects.delete(key)
            return
        if how == "flipped":
            data[len(data) // 2] ^= 1
        elif how == "cut":
            del data[len(data) * 2 // 3 :]
        elif how == "empty":
            data.clear()
        self.objects.put(key, bytes(data))

    # ------------------------------------------------------------ the operations

    def recover(self, **options: Any) -> dict[str, Recovered]:
        with ExitStack() as stack:
            hot, cold = stack.enter_context(closing(Hot(self.tiers.uri))), stack.enter_context(closing(self._cold()))
            recovery = stack.enter_context(closing(Recovery(hot, cold, **options)))
            return {done.run: done for done in recovery.recover()}

    def verify(self, **options: Any) -> list[Finding]:
        with closing(Hot(self.tiers.uri)) as hot, closing(self._cold()) as cold:
            return list(Verification(hot, cold, **options).verify())

    def damaged(self, **options: Any) -> list[Finding]:
        return [one for one in self.verify(**options) if one.state == "damaged"]

    def _cold(self) -> Cold:
        return Cold(self.tiers.place.url, endpoint=self.tiers.place.endpoint)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return command(self.tiers, *words)

    def asked(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What the command says with --json."""
        done = self.command(*words, "--json")
        assert (done.returncode, done.stderr) == (code, "")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def environment(tiers: Tiers) -> dict[str, str]:
    """Of `ml-dash` in a process of its own."""
    own = {"ML_DASH_MONGO": tiers.uri, "ML_DASH_S3": tiers.place.url, "NO_COLOR": "1"}
    return child_environment(tiers.place) | own


def command(tiers: Tiers, *words: str) -> subprocess.CompletedProcess[str]:
    """`ml-dash server` with these words, and the tiers in its environment."""
    line = [sys.executable, "-c", "from ml_dash.cli import main; main()", "server", *words]
    return subprocess.run(line, env=environment(tiers), capture_output=True, text=True, timeout=120)


def seen(store: Store, run: Run) -> dict[str, Any]:
    """All that a reader sees of a run, but for who is in it."""
    record = {name: getattr(run, name) for name in ("id", "key", "kind", "params", "tags", "description", "metadata")}
    series = {
        (info.kind, info.name): (
            info.count,
            info.last,
            info.description,
            info.tags,
            info.metadata,
            info.first_at,
            info.last_at,
        )
        for info in run.series or ()
    }
    rows = {}
    for kind, name in [*((info.kind, info.name) for info in run.series or ()), (LOGS, ""), (EVENTS, "")]:
        page = store.read(SeriesKey(run.id, kind, name), 0, None)
        rows[kind, name] = (page.total, page.lines, page.ticks)
    files = {file.id: (file, _content(store, run.id, file.id)) for file in store.find_files(run.id)}
    return {"record": repr(record), "series": repr(series), "rows": rows, "files": files}


def _content(store: Store, run: str, file: str) -> bytes:
    _, source = store.get_file(run, file)
    with source:
        return source.read()
