"""A model of the rule by which servers append while archivers seal: one series, every step one atomic effect on the database.

Processes (servers, archivers, a reader) are generators that yield between effects. `World` takes a step of one of them at a time,
at random; some are paused for long, some die, clients send again what was not acknowledged. After every step the series is looked at.
No bytes, no network, no clocks: what is shown here holds for the rule, not for the code (tests/tiered/test_faults_*.py ask the code).

`Rule` has a switch for each part of it that one might think could be left out; with any of them off the model finds a violation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import NamedTuple

Steps = Generator[None, None, None]


class Row(NamedTuple):
    """A point: what tells it from all others."""

    writer: int
    seq: int


class Violation(Exception):
    """A promise was broken."""


@dataclass(frozen=True)
class Rule:
    """All True is the rule itself."""

    one_bucket_a_group: bool = True
    """What a server had waiting becomes one document. Off: a document a batch, in order, one after the other."""
    dead_as_a_whole: bool = True
    """A bucket whose first index is below `sealed` counts for nothing. Off: its rows from `sealed` on count."""
    buckets_before_head: bool = True
    """Who loads a series asks for its buckets, then for its head. Off: the other way round."""
    begins_again: bool = True
    """After an insert that came too late the rows go through the marks again. Off: they are inserted again as they are."""
    looks_at_sealed: bool = True
    """A server reads `sealed` after its insert, before it acknowledges. Off: that the insert was done is enough."""


class Entry(NamedTuple):
    """A chunk in the manifest, with the marks that hold once it is sealed."""

    rows: tuple[Row, ...]
    marks: dict[int, int]


@dataclass
class Database:
    """What MongoDB and S3 hold of the series."""

    buckets: dict[int, tuple[Row, ...]] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    sealed: int = 0
    marks: dict[int, int] = field(default_factory=dict)

    def chunks(self) -> list[Row]:
        """The rows below `sealed`."""
        rows: list[Row] = []
        while len(rows) < self.sealed:
            rows += self.entries[len(rows)].rows
        return rows

    def insert(self, first: int, rows: tuple[Row, ...]) -> bool:
        """Whether there was no such bucket."""
        return self.buckets.setdefault(first, rows) is rows


class State(NamedTuple):
    """What a server believes: where the series ends, and how far each writer has come."""

    next: int
    marks: dict[int, int]


@dataclass
class World:
    """One random history of `steps` steps, then calm until all is stored. Raises `Violation`."""

    rng: random.Random
    rule: Rule = Rule()
    servers: int = 2
    writers: int = 2
    rows: int = 5
    """Of each writer."""
    steps: int = 260
    stale: int = 0
    """How often an insert came too late."""
    lost_races: int = 0
    sealings: int = 0

    def run(self) -> None:
        self.db = Database()
        self.acknowledged: set[Row] = set()
        self.inboxes: list[list[list[Row]]] = [[] for _ in range(self.servers)]
        makers: list[Callable[[], Steps]] = [partial(self.server, inbox) for inbox in self.inboxes]
        makers += [self.archiver, self.archiver, self.reader]
        processes = [make() for make in makers]
        until = [0] * len(processes)
        for now in range(self.steps):
            self.clients_send(0.15)
            at = self.rng.randrange(len(processes))
            if until[at] > now:
                continue
            if self.rng.random() < 0.05:
                until[at] = now + self.rng.choice([10, 60])
            elif self.rng.random() < 0.005:
                self.die(at, processes, makers)
            else:
                self.step(processes[at])
        self.calm(processes)

    def die(self, at: int, processes: list[Steps], makers: Sequence[Callable[[], Steps]]) -> None:
        """A process is gone, with all that it knew and had to do; another begins in its place."""
        processes[at] = makers[at]()
        if at < self.servers:
            self.inboxes[at].clear()

    def calm(self, processes: list[Steps]) -> None:
        """With nobody paused or dying all rows come to be acknowledged."""
        for _ in range(200):
            if len(self.acknowledged) == self.writers * self.rows:
                return
            self.clients_send(1.0)
            for process in processes:
                for _ in range(5):
                    self.step(process)
        raise Violation("rows that are never acknowledged")

    def step(self, process: Steps) -> None:
        next(process)
        self.look(self.db.buckets, self.db.sealed, self.db.chunks())

    # ------------------------------------------------------------ clients and readers

    def clients_send(self, eagerness: float) -> None:
        """Each sends the next rows that it has no word of, to any server; sometimes more behind them, or again."""
        for writer in range(self.writers):
            left = [seq for seq in range(self.rows) if Row(writer, seq) not in self.acknowledged]
            if not left or self.rng.random() > eagerness:
                continue
            inbox, at = self.rng.choice(self.inboxes), left[0]
            for _ in range(self.rng.choice([1, 1, 2])):
                stop = min(self.rows, at + self.rng.choice([1, 2, 3]))
                if stop > at:
                    inbox.append([Row(writer, seq) for seq in range(at, stop)])
                at = stop

    def live(self, buckets: dict[int, tuple[Row, ...]], sealed: int) -> Iterable[tuple[int, tuple[Row, ...]]]:
        """(first, rows) of the buckets that count."""
        for first, rows in sorted(buckets.items()):
            if first >= sealed:
                yield first, rows
            elif not self.rule.dead_as_a_whole and first + len(rows) > sealed:
                yield sealed, rows[sealed - first :]

    def look(self, buckets: dict[int, tuple[Row, ...]], sealed: int, chunks: list[Row]) -> list[Row]:
        """The series as these show it. Raises where it has a hole, or a row twice, or none where one was acknowledged."""
        seen = list(chunks)
        for first, rows in self.live(buckets, sealed):
            if first > len(seen):
                raise Violation(f"a hole at {len(seen)}")
            if any(old != new for old, new in zip(seen[first:], rows, strict=False)):
                raise Violation(f"two rows at one index, from {first}")
            seen += rows[len(seen) - first :]
        if len(set(seen)) < len(seen):
            raise Violation("a row twice")
        if not self.acknowledged <= set(seen) and buckets is self.db.buckets:
            raise Violation("an acknowledged row is gone")
        return seen

    def reader(self) -> Steps:
        """Reads again and again: what it has once seen stays as it is, and what was acknowledged before it asked is there."""
        before: list[Row] = []
        while True:
            due = set(self.acknowledged)
            if self.rule.buckets_before_head:
                buckets = dict(self.db.buckets)
                yield
                sealed = self.db.sealed
            else:
                sealed = self.db.sealed
                yield
                buckets = dict(self.db.buckets)
            yield
            seen = self.look(buckets, sealed, self.db.chunks()[:sealed])
            if seen[: len(before)] != before or not due <= set(seen):
                raise Violation("a reader saw other rows than before")
            before = seen
            yield

    # ------------------------------------------------------------ servers

    def server(self, inbox: list[list[Row]]) -> Steps:
        state = State(0, {})
        while True:
            if not inbox:
                yield
                continue
            size = self.rng.choice([1, 2, 3])
            waiting, inbox[:size] = inbox[:size], []
            asked_again = False
            while waiting:
                batches, after = self.trimmed(waiting, state)
                if not batches:  # duplicates, or rows whose forerunners are missing: is what is believed still so?
                    if asked_again:
                        break
                    asked_again = True
                    state = yield from self.load()
                    continue
                yield
                sound = yield from self.commit(batches, state)
                state = after if sound is None else sound
                waiting = [
                    rest for batch in waiting if (rest := [row for row in batch if row not in self.acknowledged])
                ]
                yield

    def trimmed(self, waiting: list[list[Row]], state: State) -> tuple[list[list[Row]], State]:
        """What is left to store of the batches, and the state once it is; rows that are there already are acknowledged."""
        marks, batches, end = dict(state.marks), [], state.next
        for batch in waiting:
            writer = batch[0].writer
            self.acknowledged |= {row for row in batch if row.seq < state.marks.get(writer, 0)}
            rest = [row for row in batch if row.seq >= marks.get(writer, 0)]
            if rest and rest[0].seq == marks.get(writer, 0):
                batches.append(rest)
                marks[writer] = rest[-1].seq + 1
                end += len(rest)
        return batches, State(end, marks)

    def commit(self, batches: list[list[Row]], state: State) -> Generator[None, None, State | None]:
        """Insert and acknowledge. None where all went well, else the state to go on from."""
        documents = (
            [tuple(chain.from_iterable(batches))]
            if self.rule.one_bucket_a_group
            else [tuple(batch) for batch in batches]
        )
        at, done, whole = state.next, [], True
        for rows in documents:
            if self.rng.random() < 0.03:  # no answer came; whether the insert was done is not known
                if self.rng.random() < 0.5:
                    self.db.insert(at, rows)
                return (yield from self.load())
            if not self.db.insert(at, rows):
                self.lost_races += 1
                whole = False
                break
            done.append((at, rows))
            at += len(rows)
            yield
        too_late = yield from self.acknowledge(done)
        if whole and not too_late:
            return None
        for first, _ in too_late:
            self.db.buckets.pop(first, None)
            yield
        state = yield from self.load()
        return state if self.rule.begins_again else self.forgetting(too_late, state)

    def acknowledge(
        self, done: list[tuple[int, tuple[Row, ...]]]
    ) -> Generator[None, None, list[tuple[int, tuple[Row, ...]]]]:
        """Of these inserts the ones that came too late; the rows of the others, and those that the marks cover, are acknowledged."""
        sealed, marks = self.db.sealed, dict(self.db.marks)
        yield
        too_late = []
        for first, rows in done:
            if first >= sealed or not self.rule.looks_at_sealed:
                self.acknowledged |= set(rows)
            else:
                self.stale += 1
                self.acknowledged |= {row for row in rows if row.seq < marks.get(row.writer, 0)}
                too_late.append((first, rows))
        return too_late

    @staticmethod
    def forgetting(too_late: list[tuple[int, tuple[Row, ...]]], state: State) -> State:
        """The state as one has it who takes it for granted that the rows are not stored."""
        marks = dict(state.marks)
        for _, rows in too_late:
            for row in rows:
                marks[row.writer] = min(marks.get(row.writer, 0), row.seq)
        return State(state.next, marks)

    def load(self) -> Generator[None, None, State]:
        """Where the series ends, and its marks."""
        if self.rule.buckets_before_head:
            buckets = dict(self.db.buckets)
            yield
            sealed, marks = self.db.sealed, dict(self.db.marks)
        else:
            sealed, marks = self.db.sealed, dict(self.db.marks)
            yield
            buckets = dict(self.db.buckets)
        end = sealed
        for first, rows in self.live(buckets, sealed):
            end = max(end, first + len(rows))
            advance(marks, rows)
        return State(end, marks)

    # ------------------------------------------------------------ archivers

    def archiver(self) -> Steps:
        """Two of them work on the series at once, as after a lost lease."""
        while True:
            sealed, marks = self.db.sealed, dict(self.db.marks)
            yield
            rows: list[Row] = []
            while len(rows) < 3 and (bucket := self.db.buckets.get(sealed + len(rows))):
                rows += bucket
            advance(marks, rows)
            yield
            if rows:
                self.db.entries.setdefault(sealed, Entry(tuple(rows), marks))
                yield
                if self.db.sealed == sealed:  # compare and set; the entry may be the other's, who died
                    entry = self.db.entries[sealed]
                    self.db.sealed, self.db.marks = sealed + len(entry.rows), dict(entry.marks)
                    self.sealings += 1
                yield
            for first in [first for first in self.db.buckets if first < self.db.sealed]:
                self.db.buckets.pop(first, None)
                yield


def advance(marks: dict[int, int], rows: Iterable[Row]) -> None:
    """Bring `marks` to where they are after `rows`."""
    for row in rows:
        marks[row.writer] = max(marks.get(row.writer, 0), row.seq + 1)
