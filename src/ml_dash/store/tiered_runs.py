"""Run records in MongoDB: created, patched by compare-and-set, found, and deleted so that their ids never come back.

What a patch makes of a run is `patch`'s to say; series, rows and files are not looked at here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from pymongo import errors

from ml_dash.errors import InvalidInput, NotFound, Unavailable
from ml_dash.model import LOST_AFTER, Attempt, Run, RunKey, RunPatch, RunQuery
from ml_dash.store import wire
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import DELETED, EPOCH, LIVE, STALE, Document
from ml_dash.store.patch import apply_patch, is_known, new_run

TRIES = 100
"""Patches of others that may come between before the caller is asked to come again."""
_random = random.Random()  # noqa: S311  of our own: who seeds Python's own for his training gets what he seeded
_RECORD = {"record": 1, "rev": 1, "heartbeat": 1, "beats": 1}


class Stored(msgspec.Struct, frozen=True):
    """A run as it was read, with what a compare-and-set needs."""

    run: Run
    rev: int
    beats: dict[str, float]


class Buried(msgspec.Struct, frozen=True):
    """A deleted run that is to be freed; `again`: it was, and this is the look at what came after."""

    run: str
    again: bool = False


class TieredRuns:
    """The records of one database. `clock` gives unix seconds. `lengths(run)` tells how long each series is."""

    def __init__(
        self, hot: Hot, lengths: Callable[[str], Mapping[str, int]], clock: Callable[[], float] = time.time
    ) -> None:
        self._hot = hot
        self._lengths = lengths
        self._clock = clock

    def put(self, key: RunKey, patch: RunPatch) -> Run:
        """See `Store.put_run`."""
        for _ in range(TRIES):
            found = self._find(_at(key))
            if found is not None:
                if patch.kind is not None and patch.kind != found.run.kind:
                    raise InvalidInput(
                        f"run: {key.name!r} in project {key.project!r} is of kind {found.run.kind!r}; open it as such, or choose "
                        f"another name (got {patch.kind!r})."
                    )
                try:
                    return self._patch(found, patch)
                except NotFound:
                    continue  # deleted meanwhile
            if (made := self._make(key, patch)) is not None:
                return made
        raise _busy()

    def update(self, run: str, patch: RunPatch) -> Run:
        """See `Store.update_run`."""
        return self._patch(self.stored(run), patch)

    def get(self, run: RunKey | str) -> Run:
        """See `Store.get_run`."""
        return self.stored(run).run

    def find(self, query: RunQuery) -> list[Run]:
        """See `Store.find_runs`, without series."""
        wanted: Document = {"state": LIVE}
        if query.namespace is not None:
            wanted["ns"] = query.namespace
        if query.project is not None:
            wanted["project"] = query.project
        with self._hot.asking():
            found = [_stored(one).run for one in self._hot.runs.find(wanted, _RECORD)]
        return sorted(found, key=lambda run: run.created_at, reverse=True)

    # ------------------------------------------------------------ deleted runs

    def bury(self, run: str, hold: float = 0.0) -> None:
        """The run is gone for every reader, and its key is free. The caller frees it: nobody else does within `hold` seconds. Raises
        `NotFound` where it was gone before."""
        tomb: Document = {"state": DELETED, "freed": False, "deleted": int(self._clock() * 1000), "look": _in(hold)}
        with self._hot.asking():
            done = self._hot.runs.update_one({"_id": run, "state": LIVE}, [{"$set": tomb}, {"$unset": _PARTS}])
        if not done.matched_count:
            raise _unknown(run)

    def buried(self, lease: float) -> Iterator[Buried]:
        """Deleted runs that are to be freed now, each one's until it is freed or `lease` seconds went by without `hold`."""
        due: Document = {"$lte": [{"$ifNull": ["$look", EPOCH]}, "$$NOW"]}
        wanted = {"state": DELETED, "freed": False, "$expr": due}
        while True:
            with self._hot.asking():
                found = self._hot.runs.find_one_and_update(wanted, [{"$set": {"look": _in(lease)}}], {"emptied": 1})
            if found is None:
                return
            yield Buried(found["_id"], again=found.get("emptied", False))

    def hold(self, one: Buried, lease: float) -> None:
        """Nobody else frees it for `lease` seconds; 0: somebody may at once."""
        with self._hot.asking():
            self._hot.runs.update_one(_tomb(one), [{"$set": {"look": _in(lease)}}])

    def freed(self, one: Buried, grace: float) -> None:
        """Nothing was left of the run but its tombstone. It is to be freed once more in `grace` seconds, of what came too late to know;
        after that, never."""
        once: Document = {"emptied": True, "look": _in(grace)}
        change: list[Document] = [{"$set": {"freed": True}}, {"$unset": ["emptied", "look"]}]
        with self._hot.asking():
            self._hot.runs.update_one(_tomb(one), change if one.again else [{"$set": once}])

    # ------------------------------------------------------------ records in the bucket

    def unkept(self, run: str) -> Stored | None:
        """The run, if it has changed since its record was kept in the bucket. Raises `NotFound`."""
        with self._hot.asking():
            document = self._hot.runs.find_one({"_id": run, "state": LIVE}, {**_RECORD, "kept": 1, "stale": 1})
        if document is None:
            raise _unknown(run)
        return None if document.get("kept") and not document.get("stale") else _stored(document)

    def kept(self, stored: Stored) -> bool:
        """Its record is in the bucket, as it was at this `rev`. False: the run is not there any more."""
        older = {"$ne": ["$rev", stored.rev]}
        # Whoever kept a newer one, and has yet to say so, finds `rev` moved: this one may have been put over it.
        moved = {"$add": ["$rev", {"$cond": [older, 1, 0]}]}
        with self._hot.asking():
            there = self._hot.runs.update_one(
                {"_id": stored.run.id, "state": LIVE}, [{"$set": {"kept": True, "stale": older, "rev": moved}}]
            )
        return there.matched_count == 1

    def stale(self) -> list[str]:
        """Runs whose records in the bucket are older than they are."""
        with self._hot.asking():
            return [one["_id"] for one in self._hot.runs.find({"stale": True, "state": LIVE}, {"_id": 1})]

    # ------------------------------------------------------------ recovering

    def owner(self, key: RunKey) -> str | None:
        """The id of the run that has this name now."""
        found = self._find(_at(key))
        return found.run.id if found is not None else None

    def restore(self, run: Run, *, kept: bool) -> bool:
        """Make the record of a run that is not there; nobody is in it. `kept`: it is what the bucket has. False: there is such a
        run, a tombstone, or another run of its name."""
        document = {
            "_id": run.id,
            "state": LIVE,
            "epoch": 0,
            "rev": 0,
            **self._told(run),
            "beats": {},
            "stale": not kept,
        }
        with self._hot.asking():
            self._hot.summaries.delete_one({"_id": run.id})
            try:
                self._hot.runs.insert_one({**document, "kept": True})
            except errors.DuplicateKeyError:
                return False
        return True

    def bring_up(self, run: Run) -> bool:
        """Put `run`, of the same id and name, in the place of a record that was changed last before it was. Whether that was so."""
        for _ in range(TRIES):
            found = self.stored(run.id)
            if found.run.updated_at >= run.updated_at:
                return False
            if self._replace(found, run, RunPatch()):
                return True
        raise _busy()

    # ------------------------------------------------------------ one record

    def stored(self, run: RunKey | str) -> Stored:
        """The run as it is. Raises `NotFound`."""
        found = self._find({"_id": run} if isinstance(run, str) else _at(run))
        if found is None:
            raise _unknown(run)
        return found

    def _find(self, wanted: Document) -> Stored | None:
        with self._hot.asking():
            document = self._hot.runs.find_one({**wanted, "state": LIVE}, _RECORD)
        return _stored(document) if document is not None else None

    def _make(self, key: RunKey, patch: RunPatch) -> Run | None:
        """A new run; None where somebody else made it."""
        run = new_run(key, patch, self._clock())
        run.kind = patch.kind or "experiment"
        run = self._applied(Stored(run, 0, {}), patch, {})
        document = {
            "_id": run.id,
            "state": LIVE,
            "epoch": 0,
            "rev": 0,
            **self._told(run),
            **self._beaten(run, {}, patch),
        }
        with self._hot.asking():
            try:
                self._hot.runs.insert_one(document)
            except errors.DuplicateKeyError:
                return None
        return run

    def _patch(self, found: Stored, patch: RunPatch) -> Run:
        """Apply `patch` to the record as it is when nobody changes it in between."""
        for turn in range(TRIES):
            if is_known(found.run, patch):
                return found.run
            if _only_a_beat(patch) and any(attempt.id == patch.heartbeat for attempt in found.run.attempts):
                return self._beat(found, patch.heartbeat or "")
            lengths = self._lengths(found.run.id) if patch.join is not None and patch.first is None else {}
            after = self._applied(found, patch, lengths)
            if self._replace(found, after, patch):
                return after
            time.sleep(_random.uniform(0, 0.001 * min(turn, 20)))  # who meets again need not meet thrice
            found = self.stored(found.run.id)
        raise _busy()

    def _applied(self, found: Stored, patch: RunPatch, lengths: Mapping[str, int]) -> Run:
        def alive(attempt: Attempt) -> bool:
            return self._clock() - found.beats.get(_dotless(attempt.id), 0.0) <= LOST_AFTER

        return apply_patch(found.run, patch, self._clock(), alive=alive, lengths=lengths)

    def _replace(self, found: Stored, after: Run, patch: RunPatch) -> bool:
        change: Document = {"rev": found.rev + 1, **self._told(after), **self._beaten(after, found.beats, patch)}
        literal = {name: {"$literal": value} for name, value in change.items()}
        with self._hot.asking():
            done = self._hot.runs.update_one(
                {"_id": after.id, "state": LIVE, "rev": found.rev}, [{"$set": {**literal, **STALE}}]
            )
        return done.matched_count == 1

    def _beat(self, found: Stored, attempt: str) -> Run:
        """A heartbeat alone needs no turn."""
        now = self._clock()
        with self._hot.asking():
            self._hot.runs.update_one(
                {"_id": found.run.id, "state": LIVE},
                {"$set": {f"beats.{_dotless(attempt)}": now}, "$max": {"heartbeat": now}},
            )
        return msgspec.structs.replace(found.run, heartbeat_at=max(now, found.run.heartbeat_at or 0.0))

    def _told(self, run: Run) -> Document:
        record = wire.dump(msgspec.structs.replace(run, heartbeat_at=None, series=None))
        return {**_at(run.key), "created": run.created_at, "record": record}

    def _beaten(self, run: Run, beats: Mapping[str, float], patch: RunPatch) -> Document:
        """Heartbeats of those that are in the run: a start is one."""
        now = self._clock()
        fresh = {_dotless(one): now for one in (patch.join, patch.heartbeat) if one is not None}
        inside = {_dotless(attempt.id) for attempt in run.attempts if attempt.ended_at is None}
        kept = {one: at for one, at in {**beats, **fresh}.items() if one in inside}
        return {"beats": kept, **({"heartbeat": now} if fresh else {})}


_PARTS = ["ns", "project", "name", "record", "beats", "heartbeat", "created", "kept", "stale"]


def _tomb(one: Buried) -> Document:
    """The run's tombstone, if nobody has got further with it meanwhile."""
    emptied = True if one.again else {"$exists": False}
    return {"_id": one.run, "state": DELETED, "freed": False, "emptied": emptied}


def _in(seconds: float) -> Document:
    """So many seconds from now, by the database's clock."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}


def _at(key: RunKey) -> Document:
    return {"ns": key.namespace, "project": key.project, "name": key.name}


def _only_a_beat(patch: RunPatch) -> bool:
    return patch.heartbeat is not None and patch == RunPatch(heartbeat=patch.heartbeat, host=patch.host, pid=patch.pid)


def _stored(document: Mapping[str, Any]) -> Stored:
    run = wire.load(document["record"], Run)
    run.heartbeat_at = document.get("heartbeat")
    return Stored(run, document["rev"], document.get("beats") or {})


def _dotless(attempt: str) -> str:
    """An attempt's id as a document's key."""
    return attempt.encode().hex()


def _unknown(run: RunKey | str) -> NotFound:
    return NotFound(f"there is no run {run!r}.")


def _busy() -> Unavailable:
    return Unavailable("many change this run at the same time; try again.", 0.2)
