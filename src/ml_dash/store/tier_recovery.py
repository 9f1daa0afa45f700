"""Recovering: manifest, heads, records of runs and of files made anew from the bucket alone, into a database that has lost them.

What is there stays, and `sealed` never goes back: in an empty database this makes all that the bucket tells of; over one that was
restored from an older copy it brings manifest and heads up to the bucket; over a whole one it does nothing. Twice equals
once. Rows that were in no chunk yet are not in the bucket, and neither are tokens.

The order is what makes it safe to be cut short: entries before heads, heads before the record of their run, without which no
server takes a row of it. How a series comes back is `series_recovery`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby

import msgspec

from ml_dash.errors import CorruptData, InvalidInput, NewerFormat, NotFound
from ml_dash.model import Run, RunKey, SeriesInfo, SeriesKey
from ml_dash.store import file_records, wire
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import LIVE, Document
from ml_dash.store.series_recovery import SeriesRecovery
from ml_dash.store.tier_keys import files_prefix, record_key, run_prefix, series_id
from ml_dash.store.tier_plan import History
from ml_dash.store.tier_walk import ChunkObject, chunk_object, folders, objects, side_by_side
from ml_dash.store.tiered_files import TieredFiles
from ml_dash.store.tiered_runs import TieredRuns
from ml_dash.times import iso


class Recovered(msgspec.Struct):
    """What was done for a run, or would be. `record` is "made", "made from chunks", "brought up", "there", "deleted" or "buried"; `points`
    and `chunks` count those that the manifest did not have, or `sealed` did not reach. `troubles` say what was left out, and why."""

    run: str
    label: str = ""
    record: str = "there"
    series: int = 0
    chunks: int = 0
    points: int = 0
    files: int = 0
    troubles: list[str] = []

    @property
    def changed(self) -> bool:
        """Whether anything was missing."""
        return self.record not in ("there", "deleted") or bool(self.chunks or self.points or self.files)


class Recovery:
    """Recovers what is in `cold` into `hot`. `dry_run` changes nothing. `clock` gives unix seconds."""

    def __init__(self, hot: Hot, cold: Cold, *, dry_run: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._hot = hot
        self._cold = cold
        self._dry = dry_run
        self._clock = clock
        self._runs = TieredRuns(hot, lambda _run: {}, clock)
        self._series = SeriesRecovery(hot, cold, dry_run=dry_run)
        self._files = TieredFiles(hot, cold, clock=clock)

    def close(self) -> None:
        """Let threads go; the tiers are their owner's."""
        self._files.close()

    def recover(self) -> Iterator[Recovered]:
        """Each run of which the bucket has anything, once it is done; before them those that were deleted by half."""
        buried = list(self._bury())
        yield from buried
        told = {name.removesuffix(".json") for name in folders(self._cold, "runs/") if name.endswith(".json")}
        told.update(folders(self._cold, "chunks/"), folders(self._cold, "files/"))
        for run in sorted(told.difference(done.run for done in buried)):
            done = self._recover(run)
            if done.record != "nothing":
                yield done

    def _bury(self) -> Iterator[Recovered]:
        """A copy that was made of the database while a run was deleted may have but one half of that, the run's record or its
        series' heads: the deletion counts. A server frees the rest."""
        states: list[Document] = [{"$group": {"_id": "$run", "states": {"$addToSet": "$state"}}}]
        with self._hot.asking():
            found = list(self._hot.heads.aggregate(states))
        for one in found:
            run = one["_id"]
            with self._hot.asking():
                there = self._hot.runs.find_one({"_id": run}, {"state": 1})
            if there is None or {there["state"]} == set(one["states"]):
                continue
            if not self._dry:
                with suppress(NotFound):  # it is only its heads that live
                    self._runs.bury(run)
                self._hot.delete_heads(run)
                with self._hot.asking():
                    again = {"$set": {"freed": False}, "$unset": {"emptied": "", "look": ""}}
                    self._hot.runs.update_one({"_id": run}, again)
            yield Recovered(run, record="buried")

    def _recover(self, run: str) -> Recovered:
        done = Recovered(run)
        with self._hot.asking():
            there = self._hot.runs.find_one({"_id": run}, {"state": 1})
        if there is not None and there["state"] != LIVE:
            done.record = "deleted"
            return done
        chunks = self._chunks(done)
        record = self._record(done)
        kept = record is not None
        if record is None and there is None:
            record = self._from_chunks(chunks, done)
        if record is not None:
            done.label = _label(record.key)
        if there is None and not self._may_come(done, record):
            return done
        for sid, some in groupby(chunks, key=lambda one: one.sid):
            gained = self._series.restore(run, History(sid, list(some)))
            done.series += gained.any
            done.chunks += gained.chunks
            done.points += gained.points
            done.troubles += gained.troubles
        self._restore_files(done)
        if record is not None:
            self._restore_record(record, done, there=there is not None, kept=kept)
        if done.changed and there is not None and not self._dry:
            self._hot.note_change(run)
        return done

    def _chunks(self, done: Recovered) -> list[ChunkObject]:
        """The run's chunks, series by series."""
        found = []
        for key, size, _ in objects(self._cold, run_prefix(done.run), 0.0):
            one = chunk_object(key, size)
            if one is None:
                done.troubles.append(f"{key} is no key of a chunk; it is left out")
            else:
                found.append(one)
        return sorted(found, key=lambda one: (one.sid, one.first, one.stop))

    # ------------------------------------------------------------ the record

    def _record(self, done: Recovered) -> Run | None:
        """The run as the bucket tells it, with what was said of its series."""
        try:
            return wire.load(self._cold.get(record_key(done.run)), Run)
        except NotFound:
            return None
        except (InvalidInput, CorruptData) as e:
            done.troubles.append(f"{record_key(done.run)} is damaged, and left out: {e}")
            return None

    def _from_chunks(self, chunks: list[ChunkObject], done: Recovered) -> Run | None:
        """As much of a record as a chunk tells that can be read."""
        for one in chunks:
            try:
                about = self._cold.open_chunk(one.key, one.size).about
                key = RunKey(about["namespace"], about["project"], about["run_name"])
                created, updated = iso(int(about["first_ms"])), iso(int(about["last_ms"]))
            except (CorruptData, NewerFormat, NotFound, KeyError, ValueError):
                continue  # of which it is told where the series is recovered
            return Run(done.run, key, created_at=created, updated_at=updated)
        return None

    def _may_come(self, done: Recovered, record: Run | None) -> bool:
        """Whether a run that the database does not know can be made."""
        if record is None and not any(objects(self._cold, files_prefix(done.run), 0.0)) and not done.troubles:
            done.record = "nothing"  # some stores list folders that have become empty
            return False
        if record is None:
            done.troubles.append(
                f"files/{done.run}/ is of a run that nothing tells of; `ml-dash server verify` lists its objects"
            )
            return False
        owner = self._runs.owner(record.key)
        if owner is not None:
            done.troubles.append(
                f"{_label(record.key)} ({done.run}): its name is that of the run {owner} now, and it is left out. Rename or "
                "delete that one, then recover again"
            )
            return False
        return True

    def _restore_record(self, record: Run, done: Recovered, *, there: bool, kept: bool) -> None:
        """Last, so that nobody writes to a run that is half there."""
        said = {series_id(SeriesKey(record.id, info.kind, info.name)): info for info in record.series or ()}
        run = msgspec.structs.replace(record, series=None, heartbeat_at=None)
        if not there:
            done.record = "made" if kept else "made from chunks"
            if not self._dry:
                self._say(run.id, said, newer=True)
                self._runs.restore(run, kept=kept)
            return
        if not kept:
            return
        newer = self._runs.stored(run.id).run.updated_at < run.updated_at
        done.record = "brought up" if newer else "there"
        if not self._dry:
            self._say(run.id, said, newer=newer)
            self._runs.bring_up(run)

    def _say(self, run: str, said: Mapping[bytes, SeriesInfo], *, newer: bool) -> None:
        """What users said of series: in the place of what is there if it is `newer`, else only where there is nothing."""
        for sid, info in said.items():
            document = {"run": run, "info": wire.dump(info)}
            with self._hot.asking():
                change = {"$set": document} if newer else {"$setOnInsert": document}
                self._hot.said.update_one({"_id": sid}, change, upsert=True)

    # ------------------------------------------------------------ files

    def _restore_files(self, done: Recovered) -> None:
        """Records of files from the objects beside their bytes, in the order in which they were put."""
        sizes: dict[str, int] = {}
        keys: list[str] = []
        for key, size, _ in objects(self._cold, files_prefix(done.run), 0.0):
            sizes[key] = size
            if key.endswith("/" + file_records.OBJECT):
                keys.append(key)
        found: list[Document] = []
        for key, made in side_by_side(keys, self._file, lambda key: sizes[key]):
            if isinstance(made, str):
                done.troubles.append(made)
            elif (lost := _lost(made, sizes)) is not None:
                done.troubles.append(f"{key}: {lost}; the file is left out")
            elif file_records.decode(made).deleted_at is None:
                found.append(made)
        with self._hot.asking():
            there = {bytes(one["_id"]) for one in self._hot.files.find({"run": done.run}, {"_id": 1})}
        for made in sorted(found, key=lambda one: (one["n"], file_records.decode(one).uploaded_at)):
            if made["_id"] in there:
                continue
            there.add(made["_id"])
            done.files += 1
            if not self._dry:
                self._files.restore(made)

    def _file(self, key: str) -> Document | str:
        try:
            return file_records.recovered(key, self._cold.get(key))
        except CorruptData as e:
            return f"{key} is damaged, and the file is left out: {e.why}"
        except NotFound:
            return f"{key} was deleted meanwhile"


def _lost(made: Document, sizes: Mapping[str, int]) -> str | None:
    """What of a file's bytes is not there."""
    prefix = file_records.prefix_of(made)
    for piece in file_records.pieces_of(made):
        size = sizes.get(prefix + piece.name)
        if size != piece.size:
            return f"{prefix}{piece.name} should have {piece.size} bytes, and " + (
                f"has {size}" if size is not None else "is gone"
            )
    return None


def _label(key: RunKey) -> str:
    space = f"{key.namespace}:" if key.namespace else ""
    return f"{space}{key.project}/{key.name}"
