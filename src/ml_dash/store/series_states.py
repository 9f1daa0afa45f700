"""What a server remembers of series, `(next, marks)` as one value of each, and how that is loaded from the hot tier.

What is remembered may be old: it was true at one moment. Who writes by it finds out (`commit`). Nothing is appended here; heads
are made for series that have none.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pymongo.client_session import ClientSession

from ml_dash.errors import NotFound
from ml_dash.model import SeriesKey
from ml_dash.store.append_plan import Bucket, State
from ml_dash.store.buckets import add_marks, live_chain, ticks_of
from ml_dash.store.hot import MOST_RANGES, Hot
from ml_dash.store.hot_documents import DELETED, Document, Head, decode_marks
from ml_dash.store.tier_keys import first_of
from ml_dash.times import iso


class SeriesStates:
    """The states of `most` series at most, those that were asked for last. `clock` gives unix seconds. Any thread may use it."""

    def __init__(self, hot: Hot, most: int, clock: Callable[[], float]) -> None:
        self._hot = hot
        self._most = most
        self._clock = clock
        self._mutex = threading.Lock()
        self._states: OrderedDict[bytes, State] = OrderedDict()

    def of(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> dict[bytes, State]:
        """As they are remembered, or else as they are now. Raises `NotFound` for a run that is not there."""
        with self._mutex:
            states = {sid: state for sid in keys if (state := self._states.get(sid)) is not None}
            for sid in states:
                self._states.move_to_end(sid)
        missing = {sid: key for sid, key in keys.items() if sid not in states}
        if missing:
            states |= self._load(missing, session)
        return states

    def forget(self, sids: Iterable[bytes]) -> None:
        """Throw away what is remembered of these series."""
        with self._mutex:
            for sid in sids:
                self._states.pop(sid, None)

    def advance(self, sid: bytes, bucket: Bucket, sealed: int) -> None:
        """The bucket is in the chain, and was so while the head said `sealed`."""
        index = bucket.first + bucket.rows
        with self._mutex:
            state = self._states.get(sid)
            if state is None:
                return
            state.raw += bucket.raw
            if sealed != state.sealed:
                hot = max(index - state.sealed, 1)
                state.raw = state.raw * max(index - sealed, 0) // hot
                state.sealed = sealed
            state.next, state.marks = index, bucket.marks
            state.ms, state.first_ms, state.since = bucket.ms, bucket.first_ms, bucket.since

    # ------------------------------------------------------------ what is due

    def grown(self, keys: Mapping[bytes, SeriesKey], rows: int, size: int) -> dict[bytes, SeriesKey]:
        """Those of the series that have grown by `rows`, or `size` bytes of lines, since they were sealed or last marked as due."""
        found: dict[bytes, SeriesKey] = {}
        with self._mutex:
            for sid, key in keys.items():
                state = self._states.get(sid)
                if state is None:
                    continue
                sealed, next_, raw = state.marked
                if sealed != state.sealed:
                    next_, raw = state.sealed, 0
                if state.next - next_ >= rows or state.raw - raw >= size:
                    found[sid] = key
        return found

    def marked(self, sids: Iterable[bytes]) -> None:
        """These have been marked as due."""
        with self._mutex:
            for sid in sids:
                if (state := self._states.get(sid)) is not None:
                    state.marked = state.sealed, state.next, state.raw

    # ------------------------------------------------------------ loading

    def _load(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> dict[bytes, State]:
        """As they are now. Raises `NotFound` for a run that is not there."""
        loaded: dict[bytes, State] = {}
        wanted = list(keys)
        for at in range(0, len(wanted), MOST_RANGES):
            some = {sid: keys[sid] for sid in wanted[at : at + MOST_RANGES]}
            found = self._load_some(some, session)
            loaded |= found
            with self._mutex:
                self._states.update(found)
                while len(self._states) > self._most:
                    self._states.popitem(last=False)
        return loaded

    def _load_some(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> dict[bytes, State]:
        """Buckets first, then heads. A head may have been made by somebody who did not live to see that its run was deleted:
        so the runs are looked at last."""
        ends = self._hot.ends(list(keys), session)
        heads = self._hot.heads_of(keys, session)
        for sid, head in heads.items():
            if not head.live:
                raise no_run(keys[sid].run)
        self._check_runs({keys[sid].run for sid in heads}, session)
        loaded = {sid: _state(ends[sid], head) for sid, head in heads.items()}
        unknown = {sid: key for sid, key in keys.items() if sid not in heads}
        if unknown:
            made = self._make_heads(unknown, session)
            loaded |= {sid: State(0, 0, {}, 0, 0, 0) for sid in made}
            others = {sid: key for sid, key in unknown.items() if sid not in made}
            if others:
                loaded |= self._load_some(others, session)
        return loaded

    # ------------------------------------------------------------ heads

    def open_series(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> None:
        """Make heads for those of the series that have none, as an append would."""
        missing = {sid: key for sid, key in keys.items() if sid not in self._hot.heads_of(keys, session)}
        if missing:
            self._make_heads(missing, session)

    def _make_heads(self, keys: Mapping[bytes, SeriesKey], session: ClientSession) -> set[bytes]:
        """Heads for series of runs that are there. A run that is deleted at the same time has marked its heads, or is found
        gone after they were made: its record goes first."""
        runs = {key.run for key in keys.values()}
        self._check_runs(runs, session)
        made = self._hot.make_heads(keys, iso(int(self._clock() * 1000)), session)
        try:
            self._check_runs(runs, session)
        except NotFound:
            self._hot.heads.update_many({"_id": {"$in": list(made)}}, {"$set": {"state": DELETED}}, session=session)
            raise
        return made

    def _check_runs(self, runs: set[str], session: ClientSession) -> None:
        for run in runs - self._hot.live_runs(list(runs), session):
            raise no_run(run)


def _state(buckets: Sequence[Document], head: Head) -> State:
    """What the last buckets, from one on that carries marks, and the head say together. A bucket at or above `sealed` is in the
    chain, so that the marks which it carries are the series'."""
    marked = bool(buckets) and "m" in buckets[0] and first_of(buckets[0]["_id"]) >= head.sealed
    chain = live_chain(buckets, first_of(buckets[0]["_id"]) if marked else head.sealed)
    state = State(head.sealed, head.sealed, dict(head.marks), head.ms, head.first_ms or 0, 0)
    for at, bucket in enumerate(chain):
        state.next = first_of(bucket["_id"]) + bucket["n"]
        state.raw += bucket["r"]
        if marked and not at:
            state.marks = decode_marks(bucket["m"])
        else:
            add_marks(state.marks, bucket["p"])
            state.since += 1
    if chain:
        state.raw = state.raw * (state.next - state.sealed) // (state.next - first_of(chain[0]["_id"]))
        state.ms = max(head.ms, ticks_of(chain[-1])[-1][1])
        state.first_ms = chain[-1]["f"]
    return state


def no_run(run: str) -> NotFound:
    """What is raised of a series whose run is not there."""
    return NotFound(f"there is no run {run!r}; it was deleted, or its id is of another server.")
