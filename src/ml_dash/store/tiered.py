"""TieredStore: recent points in MongoDB, history in S3, one contract. What it is made of, put together; the rules are elsewhere.

`commit` appends, `tiered_series` reads, `archiver` moves rows from the one tier to the other, `tiered_runs` keeps the records,
`tiered_files` the files; what is to be done beside all that, `housekeeping` does. Any number of processes may serve one database
and one bucket: nothing that one of them remembers is believed without a look at what the others did (docs/formats/tiers.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ml_dash import codec
from ml_dash.errors import MlDashError, NotFound, Unavailable
from ml_dash.model import (
    CHUNK_SIZE,
    METRICS,
    TRACKS,
    Appended,
    Batch,
    ColumnsPage,
    FilePatch,
    FilePut,
    FileRecord,
    Page,
    Run,
    RunKey,
    RunPatch,
    RunQuery,
    SeriesInfo,
    SeriesKey,
)
from ml_dash.store import wire
from ml_dash.store.archiver import Archiver
from ml_dash.store.checks import check_batch, check_columns, check_key, check_put, check_series
from ml_dash.store.cold import Cold
from ml_dash.store.commit import Commit
from ml_dash.store.counts import Counts
from ml_dash.store.file_strays import Listed, Strays
from ml_dash.store.hot import MOST_RANGES, TIMEOUT, Hot
from ml_dash.store.housekeeping import Chore, Housekeeping
from ml_dash.store.patch import apply_meta
from ml_dash.store.tier_keys import record_key, run_prefix, series_id
from ml_dash.store.tiered_files import TieredFiles
from ml_dash.store.tiered_runs import Buried, TieredRuns
from ml_dash.store.tiered_samples import Samples
from ml_dash.store.tiered_series import TieredSeries
from ml_dash.store.tiered_summaries import Summaries
from ml_dash.times import iso

if TYPE_CHECKING:
    from ml_dash.rollup import Sample

_SERIES = 20
"""Series that a run is taken to have."""
_log = logging.getLogger("ml_dash.store")
THRESHOLD_BYTES = 64 << 20
"""Bytes of lines in the hot tier from which on a series is archived, however few its points are."""
GRACE = 600.0
"""Seconds after which a deleted run is freed once more: longer than what was under way may take."""
_FREEING = 120.0
"""Seconds for which one process frees a run without a sign."""
_AGAIN = 30.0
"""Seconds after which a run is freed again where that failed."""
_SWEEPING = 3600.0
"""Seconds between two listings of all files there are, of one process in all."""


class TieredStore:
    """A `Store` over a MongoDB replica set and an object store.

    `mongo` is a MongoDB URI whose path names the database; `s3` is ``s3://bucket/prefix``, `endpoint` that of an S3 which is not
    Amazon's. `archive` False leaves archiving to other processes. A series is archived from `threshold` points or
    `threshold_bytes` of lines in the hot tier on, `patience` seconds after it got there; an archiver that holds a series for
    `lease` seconds without a sign is taken for dead; `poll` (s) is how often it looks. `timeout` (s) bounds each operation of
    MongoDB. What a deleted run has left is looked for again `grace` seconds later. `clock` gives unix seconds. `on_step` is called at
    each step of archiving, for tests. Connects when first used.
    """

    def __init__(
        self,
        mongo: str,
        s3: str,
        *,
        endpoint: str | None = None,
        archive: bool = True,
        threshold: int = CHUNK_SIZE,
        threshold_bytes: int = THRESHOLD_BYTES,
        patience: float = 1.0,
        lease: float = 30.0,
        poll: float = 0.5,
        timeout: float = TIMEOUT,
        grace: float = GRACE,
        clock: Callable[[], float] = time.time,
        counts: Counts | None = None,
        on_step: Callable[[str, SeriesKey], None] | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._clock = clock
        self._grace = grace
        self.hot = Hot(mongo, timeout=timeout)
        self.cold = Cold(s3, endpoint=endpoint, clock=clock, on_call=self.counts.cold.note)
        self._commit = Commit(
            self.hot, threshold=threshold, threshold_bytes=threshold_bytes, clock=clock, counts=self.counts
        )
        self._series = TieredSeries(self.hot, self.cold)
        self._runs = TieredRuns(self.hot, self._series.lengths, clock)
        self._summaries = Summaries(self.hot, self._series.describe)
        self._samples = Samples()
        self._files = TieredFiles(self.hot, self.cold, check=self._check_live, clock=clock)
        self._strays = Strays(self.hot, self.cold, self.hot.run_states, clock=clock)
        self.archiver = Archiver(
            self.hot,
            self.cold,
            threshold=threshold,
            threshold_bytes=threshold_bytes,
            patience=patience,
            lease=lease,
            poll=poll,
            clock=clock,
            counts=self.counts,
            on_step=on_step or (lambda _step, _series: None),
            keep_record=self.keep_record,
        )
        self.housekeeping = Housekeeping(
            (
                Chore("keeping records of runs in the bucket", self._runs.stale, self.keep_record),
                Chore("freeing deleted runs", self._buried, self._go_on_freeing),
                Chore("freeing replaced files", self._files.overdue, self._files.free),
                Chore("removing what broken uploads left", self._find_strays, self._strays.remove),
            )
        )
        if archive:
            self.archiver.start()
            self.housekeeping.start()

    # ------------------------------------------------------------ runs

    def put_run(self, key: RunKey, patch: RunPatch) -> Run:
        check_key(key)
        _check_metas(patch)
        run = self._runs.put(key, patch)
        self._say(run.id, patch)
        return run

    def update_run(self, run: str, patch: RunPatch) -> Run:
        _check_metas(patch)
        after = self._runs.update(run, patch)
        self._say(run, patch)
        return after

    def get_run(self, run: RunKey | str) -> Run:
        return self._runs.get(run)

    def find_runs(self, query: RunQuery) -> list[Run]:
        found = self._runs.find(query)
        if query.series:
            with codec.gc_paused(_SERIES * len(found)):
                series = self._summaries.of([run.id for run in found])
            found = [run for run in found if run.id in series]
            for run in found:
                run.series = series[run.id]
        return found

    def delete_run(self, run: str) -> None:
        self._runs.bury(run, _FREEING)
        self.hot.delete_heads(run)
        buried = Buried(run)
        try:
            self._free(buried)
        except MlDashError as e:  # housekeeping goes on with it
            _log.warning("the run %s is deleted; not all of it is freed yet: %s", run, e)
            with suppress(Unavailable):
                self._runs.hold(buried, 0.0)

    def _buried(self) -> Iterator[Buried]:
        return self._runs.buried(_FREEING)

    def _go_on_freeing(self, buried: Buried) -> None:
        try:
            self._free(buried)
        except MlDashError:
            self._runs.hold(buried, _AGAIN)
            raise

    def _free(self, buried: Buried) -> None:
        held = time.monotonic()
        for _ in self._parts_freed(buried):
            if time.monotonic() - held > _FREEING / 4:
                self._runs.hold(buried, _FREEING)
                held = time.monotonic()
        self._runs.freed(buried, self._grace)

    def _parts_freed(self, buried: Buried) -> Iterator[None]:
        """Free the run part by part; each takes a bounded time, but for the objects."""
        run = buried.run
        self.hot.delete_heads(run)
        sids = self.hot.series_of_run(run)
        for at in range(0, len(sids), MOST_RANGES):
            some = sids[at : at + MOST_RANGES]
            self.hot.free_series(some)
            self._commit.forget(some)
            yield
        self._files.delete_all(run)
        yield
        self.hot.free_run(run)
        self.cold.delete_prefix(run_prefix(run))
        self.cold.delete([record_key(run)])
        if buried.again:
            self.hot.empty_heads(run)

    def keep_record(self, run: str) -> None:
        """Keep beside chunks and files what they do not tell of the run, for `recover`; nothing where that was done since the run
        changed, or for a run that is gone."""
        try:
            stored = self._runs.unkept(run)
        except NotFound:
            return
        if stored is not None:
            self.cold.put(record_key(run), _record(stored.run, self.hot.said_of(run)))
            if not self._runs.kept(stored):
                self.cold.delete([record_key(run)])  # it was deleted meanwhile, and must not be recovered

    def tend(self) -> None:
        """Do at once what housekeeping has to do: keep records that changed, free what deleted runs, replaced files and broken uploads
        have left."""
        self.housekeeping.run_once()

    def _find_strays(self) -> Iterator[Listed]:
        if self.hot.claim("strays", _SWEEPING):
            yield from self._strays.find()

    def _check_live(self, run: str) -> None:
        with self.hot.session() as session:
            if not self.hot.live_runs([run], session):
                raise NotFound(f"there is no run {run!r}.")

    def _say(self, run: str, patch: RunPatch) -> None:
        """Keep what the patch says of series."""
        if not patch.series:
            return
        keys = {series_id(key): key for key in (SeriesKey(run, meta.kind, meta.name) for meta in patch.series)}
        with self.hot.session() as session:
            self._commit.open_series(keys, session)
        for meta in patch.series:
            sid = series_id(SeriesKey(run, meta.kind, meta.name))
            with self.hot.asking():
                found = self.hot.said.find_one({"_id": sid})
                at = iso(int(self._clock() * 1000))
                info = (
                    wire.load(found["info"], SeriesInfo)
                    if found
                    else SeriesInfo(meta.kind, meta.name, created_at=at, updated_at=at)
                )
                after = wire.dump(apply_meta(info, meta, self._clock()))
                self.hot.said.replace_one({"_id": sid}, {"run": run, "info": after}, upsert=True)
        self.hot.note_change(run)

    # ------------------------------------------------------------ series

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        for batch in batches:
            check_batch(batch)
        if not batches:
            return []
        done = self._commit.append(batches)
        self._note_empty(
            [batch.series for batch in batches if not batch.rows and batch.series.kind in (METRICS, TRACKS)]
        )
        return done

    def _note_empty(self, series: Sequence[SeriesKey]) -> None:
        """A series that somebody adds nothing to is there from then on."""
        at = iso(int(self._clock() * 1000))
        for key in series:
            info = wire.dump(SeriesInfo(key.kind, key.name, created_at=at, updated_at=at))
            with self.hot.asking():
                self.hot.said.update_one(
                    {"_id": series_id(key)}, {"$setOnInsert": {"run": key.run, "info": info}}, upsert=True
                )
            self.hot.note_change(key.run)

    def read(self, series: SeriesKey, start: int, limit: int | None, most: int | None = None) -> Page:
        return self._series.read(series, start, limit, most)

    def columns(self, series: SeriesKey, fields: Sequence[str], start: int, stop: int | None) -> ColumnsPage:
        check_columns(series, fields, start)
        return self._series.columns(series, fields, start, stop)

    def describe(self, run: str) -> list[SeriesInfo]:
        found = self._summaries.of([run])
        if run not in found:
            raise NotFound(f"there is no run {run!r}.")
        return found[run]

    def sample(
        self, series: SeriesKey, field: str, x: str | None, start: int, stop: int | None, max_points: int
    ) -> Sample:
        return self._samples.sample(self._series.source(series), field, x, start, stop, max_points)

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`. What was accepted is durable."""
        if run is not None:
            self.get_run(run)

    # ------------------------------------------------------------ files

    def put_file(self, run: str, source: BinaryIO, put: FilePut) -> FileRecord:
        check_put(put)
        self.get_run(run)
        record = self._files.put_file(run, source, put)
        with suppress(Unavailable):  # the file is there; the next one, or the next chunk, does it
            self.keep_record(run)
        return record

    def get_file(self, run: str, file: str) -> tuple[FileRecord, BinaryIO]:
        self.get_run(run)
        return self._files.get_file(run, file)

    def find_files(self, run: str) -> list[FileRecord]:
        self.get_run(run)
        return self._files.find_files(run)

    def update_file(self, run: str, file: str, patch: FilePatch) -> FileRecord:
        self.get_run(run)
        return self._files.update_file(run, file, patch)

    def close(self) -> None:
        self.housekeeping.close()
        self.archiver.close()
        self._files.close()
        self._series.close()
        self.cold.close()
        self.hot.close()


def _record(run: Run, said: Sequence[bytes]) -> bytes:
    """The record of docs/formats/tiers.md: the run, and what was said of its series."""
    series = [wire.load(info, SeriesInfo) for info in said]
    return wire.dump(msgspec.structs.replace(run, heartbeat_at=None, series=series))


def _check_metas(patch: RunPatch) -> None:
    for meta in patch.series:
        check_series(SeriesKey("", meta.kind, meta.name))
