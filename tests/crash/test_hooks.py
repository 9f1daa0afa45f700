"""Death between any two system calls, and in the middle of any write: what is on disk then, and that the same call again
ends as if nothing had happened.

The dying process is real, and so is what it has written: a hook counts its calls into the system, or lets a write go
through in part, and then ends it by `os._exit`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml_dash import codec
from ml_dash.errors import NotFound
from ml_dash.model import METRICS, Appended, Batch, RunKey, RunPatch, RunQuery, SeriesKey, SeriesMeta
from ml_dash.store import series_file, writers_file
from ml_dash.store.atomic import write_atomically
from ml_dash.store.local import LocalStore
from tests.crash.children import Child, check_small_records, parsed, record, rows, run

KEY = RunKey("", "project", "run")
DIED = 77
_CALLS = frozenset(
    [
        "open",
        "write",
        "pwrite",
        "read",
        "pread",
        "close",
        "lseek",
        "ftruncate",
        "truncate",
        "fsync",
        "rename",
        "replace",
        "unlink",
        "mkdir",
        "rmdir",
        "flock",
        "utime",
        "stat",
        "fstat",
        "scandir",
    ]
)


# ---------------------------------------------------------------- dying


def dying_at(step: int, work: Callable[[], object], before: Callable[[], object] | None = None) -> bool:
    """Do `work` (after `before`) in a process that ends right before its call number `step` into the system; whether it came
    that far."""

    def body(_child: Child) -> None:
        left = step
        if before is not None:
            before()

        def count(_frame: object, event: str, called: Any) -> None:
            nonlocal left
            if event == "c_call" and called.__name__ in _CALLS:
                if not left:
                    os._exit(DIED)
                left -= 1

        sys.setprofile(count)
        work()
        sys.setprofile(None)

    with Child(body) as child:
        status = child.end()
        assert status in (0, DIED)
        return status == DIED


def each_step(
    place: Path, prepare: Callable[[Path], object], work: Callable[[Path], object], least: int
) -> Iterator[Path]:
    """A folder for each call into the system that `work` makes, as it is after a death right before that call;
    the last one as it is after the whole of it. They all begin as a copy of what `prepare` leaves."""
    template = place / "template"
    template.mkdir()
    run(prepare, template)
    for step in range(2_000):
        folder = place / str(step)
        shutil.copytree(template, folder, symlinks=True)
        died = dying_at(step, partial(work, folder))
        yield folder
        shutil.rmtree(folder)
        if not died:
            assert step >= least, f"only {step} steps: the hook does not see them"
            return
    raise AssertionError("it never ended")


def dying_in_write(at: int, name: str, work: Callable[[], object]) -> bool:
    """Do `work` in a process whose writes to files called `name` stop at `at` bytes in all, with the process; whether they did."""

    def body(_child: Child) -> None:
        left, real = at, os.write

        def write(fd: int, data: Any) -> int:
            nonlocal left
            if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) != name:
                return real(fd, data)
            if len(data) > left:
                real(fd, bytes(data)[:left])
                os._exit(DIED)
            left -= len(data)
            return real(fd, data)

        os.write = series_file._write = write
        work()

    with Child(body) as child:
        status = child.end()
        assert status in (0, DIED)
        return status == DIED


# ---------------------------------------------------------------- appending


def row(writer: str | None, n: int) -> bytes:
    return codec.encode_row({"writer": writer, "n": n, "text": "x" * (n * 7 % 40)})


def store_of(folder: Path, **options: Any) -> tuple[LocalStore, SeriesKey]:
    """A store as a fresh process opens it, and the one series of its one run."""
    store = LocalStore(folder, **options)
    return store, SeriesKey(store.put_run(KEY, RunPatch()).id, METRICS, "loss")


def send(
    folder: Path, writer: str | None, seq: int, stop: int, opened: tuple[LocalStore, SeriesKey] | None = None
) -> Appended:
    """Rows [seq, stop) of `writer` in one batch; of nobody, without an identity, if that is None."""
    store, series = opened or store_of(folder)
    batch = Batch(series, tuple(row(writer, n) for n in range(seq, stop)), writer, None if writer is None else seq)
    return store.append([batch])[0]


def data_file(folder: Path) -> Path:
    return folder / "project" / "run" / "metrics" / "loss" / "data.jsonl"


def stored(folder: Path, writer: str | None) -> list[int]:
    """The rows of `writer` that are in the file, by number, in order; the whole file is sound."""
    return [one["n"] for one in rows(data_file(folder)) if one["writer"] == writer]


def two_writers(folder: Path) -> None:
    """Both have been here, and rows without an identity as well."""
    send(folder, "a", 0, 5)
    send(folder, None, 0, 2)
    send(folder, "b", 0, 3)


def check_retry(folder: Path, *, in_fork: bool = False) -> None:
    """Writer "a" died while it sent rows 5 … 7: sending them again, each time through a store that knows nothing, ends in all
    of them once; nobody else's row is lost or doubled, and everybody goes on."""
    if in_fork:
        run(send, folder, "a", 5, 8)
    else:
        send(folder, "a", 5, 8)
    assert stored(folder, "a") == list(range(8))
    assert send(folder, "a", 5, 8).count == 0
    assert send(folder, "a", 7, 10).count == 2
    assert send(folder, "b", 2, 5).count == 2
    assert send(folder, None, 2, 4).count == 2
    assert stored(folder, "a") == list(range(10))
    assert stored(folder, "b") == list(range(5))
    assert stored(folder, None) == list(range(4))
    check_small_records(folder)


def test_death_at_every_step_of_an_append_with_identity(place: Path) -> None:
    """Before each call into the system that such an append makes, opening included: the retry stores what is missing, once."""
    for folder in each_step(place, two_writers, lambda folder: send(folder, "a", 5, 8), 20):
        check_retry(folder, in_fork=True)


def test_death_at_every_step_of_the_first_append_with_identity(place: Path) -> None:
    """The same where the series and the file of marks come into being."""
    for folder in each_step(place, lambda _: None, lambda folder: send(folder, "a", 0, 3), 40):
        send(folder, "a", 0, 3)
        assert stored(folder, "a") == [0, 1, 2]
        assert send(folder, "a", 0, 4).count == 1


@pytest.mark.parametrize("name", ["data.jsonl", "writers.jsonl"])
@pytest.mark.parametrize("first", [False, True])
def test_death_in_the_middle_of_an_append_with_identity(place: Path, name: str, first: bool) -> None:
    """The process ends in the middle of a write: of the rows, and of the line that announces them, also where that is the
    first of its file. Sent again, they are there once."""
    template = place / "template"
    template.mkdir()
    run((lambda folder: send(folder, None, 0, 2)) if first else two_writers, template)
    start = 0 if first else 5
    whole = place / "whole"
    shutil.copytree(template, whole)
    send(whole, "a", start, 8)
    before, after = ((at / "project/run/metrics/loss" / name) for at in (template, whole))
    added = after.read_bytes()[before.stat().st_size if before.exists() else 0 :]
    for cut in cuts(added):
        folder = place / str(cut)
        shutil.copytree(template, folder)
        assert dying_in_write(cut, name, partial(send, folder, "a", start, 8)) == (cut < len(added))
        if first:
            send(folder, "a", 0, 8)
            assert send(folder, "a", 6, 9).count == 1
            assert stored(folder, "a") == list(range(9))
            assert stored(folder, None) == [0, 1]
        else:
            check_retry(folder)
        shutil.rmtree(folder)


def cuts(text: bytes) -> list[int]:
    """Where to cut it: around the ends of its lines, and here and there in them."""
    ends = [at for at, byte in enumerate(text) if byte == ord(b"\n")]
    around = {at + by for at in (0, *ends) for by in (-1, 0, 1, 2)}
    return sorted(at for at in around | set(range(0, len(text), 29)) if 0 <= at <= len(text))


@pytest.mark.parametrize("name", ["data.jsonl", "writers.jsonl"])
def test_death_in_the_middle_of_a_long_batch_with_identity(place: Path, name: str) -> None:
    """A batch of more rows than a mark keeps hashes of, cut at random places: the retry stores the rest."""
    for cut in [0, 1, 70, 400, 1_000, 1_999, 2_500]:
        folder = place / str(cut)
        folder.mkdir()
        run(send, folder, "a", 0, 2)
        dying_in_write(cut, name, partial(send, folder, "a", 2, 40))
        run(send, folder, "a", 2, 40)
        assert send(folder, "a", 30, 50).count == 10
        assert stored(folder, "a") == list(range(50))


def test_death_of_the_one_that_mends(place: Path) -> None:
    """The process that finds the half-written batch of a dead one dies while it mends, at each step; the third one is right."""

    def half_written(folder: Path) -> None:
        two_writers(folder)
        assert dying_in_write(len(row("a", 5)) + 40, "data.jsonl", lambda: send(folder, "a", 5, 8))
        assert data_file(folder).read_bytes().count(b"\n") == 11

    for folder in each_step(place, half_written, lambda folder: send(folder, "a", 5, 8), 20):
        check_retry(folder)


@pytest.mark.parametrize("cut", [0, 1, 60, 150])
def test_somebody_who_has_the_series_open_goes_on_after_a_death(place: Path, cut: int) -> None:
    """A process that had the series open before any batch with an identity came, and appends without one, is the first to append
    after the death of a process that had announced its rows: its rows are not taken for the announced ones."""
    opened = store_of(place)
    send(place, None, 0, 2, opened)
    assert dying_in_write(cut, "data.jsonl", lambda: send(place, "a", 0, 3))
    send(place, None, 2, 6, opened)
    run(send, place, "a", 0, 3)
    assert send(place, "a", 0, 4).count == 1
    assert stored(place, "a") == [0, 1, 2, 3]
    assert stored(place, None) == list(range(6))


def test_death_at_every_step_while_marks_are_compacted(place: Path) -> None:
    """The file of marks is written anew where it grew long: at each step of it, marks are the old or the new ones."""

    def grown(folder: Path) -> None:
        two_writers(folder)

    def work(folder: Path) -> None:
        writers_file.COMPACT = 1
        opened = store_of(folder)
        for n in range(5, 8):
            send(folder, "a", n, n + 1, opened)

    for folder in each_step(place, grown, work, 30):
        check_retry(folder)


# ---------------------------------------------------------------- rows without an identity


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("torn", [False, True])
def test_death_at_every_step_of_an_append_beside_others(place: Path, count: int, torn: bool) -> None:
    """A process that remembers an end behind which others have appended since, one of them torn off in its write, dies at each
    step of its next append, single or a batch. At no time does the file hold a whole line that is not sound, for anybody who
    reads it as JSON; every row that returned is there once, and the next append goes on."""
    for step in range(200):
        folder = place / str(step)
        mine: list[tuple[LocalStore, SeriesKey]] = []

        def overtaken(folder: Path = folder, mine: list[tuple[LocalStore, SeriesKey]] = mine) -> None:
            mine.append(store_of(folder))
            for n in range(3):
                send(folder, None, n, n + 1, mine[0])
            run(send, folder, None, 3, 5)
            if torn:
                assert dying_in_write(30, "data.jsonl", partial(send, folder, None, 77, 78))

        def work(folder: Path = folder, mine: list[tuple[LocalStore, SeriesKey]] = mine) -> None:
            send(folder, None, 5, 5 + count, mine[0])

        died = dying_at(step, work, overtaken)
        data = data_file(folder).read_bytes()
        there = len(parsed(data[: data.rfind(b"\n") + 1], 0))
        store, series = store_of(folder)
        seen = store.read(series, 0, None).count
        assert seen == there
        assert seen in ((5, 5 + count) if died else (5 + count,))
        send(folder, None, seen, seen + 1)
        assert stored(folder, None) == list(range(seen + 1))
        shutil.rmtree(folder)
        if not died:
            break
    assert 3 < step < 199


@pytest.mark.parametrize("writer", [None, "a"])
def test_somebody_has_the_series_open_while_others_die_in_a_batch(place: Path, writer: str | None) -> None:
    """A process that remembers the end goes on after another one died in a batch, at each step and in the middle of its
    write; so does a third one that has just come. Of the batch, all rows are there or none; of the others, each one."""
    for how, stride in ((dying_at, 1), (lambda cut, work: dying_in_write(cut, "data.jsonl", work), 9)):
        for step in range(0, 200 * stride, stride):
            folder = place / str(step)
            opened = store_of(folder)
            for n in range(3):
                send(folder, None, n, n + 1, opened)
            died = how(
                step,
                partial(send, folder, writer, *((500, 503) if writer is None else (0, 3))),
            )
            send(folder, None, 3, 4, opened)
            send(folder, None, 4, 5)
            send(folder, None, 5, 6, opened)
            send(folder, None, 6, 8)
            if writer:
                send(folder, writer, 0, 3)
            found = stored(folder, None)
            assert [n for n in found if n < 500] == list(range(8))
            assert [n for n in found if n >= 500] in ([], [500, 501, 502])
            if writer:
                assert stored(folder, writer) == [0, 1, 2]
            opened[0].close()
            shutil.rmtree(folder)
            if not died:
                break
        assert 20 < step < 199 * stride


def test_death_in_the_middle_of_a_batch(place: Path) -> None:
    """A batch whose process ends in the middle of the write, after each number of bytes: its torn line is never seen, and the
    next process goes on behind the last whole one."""
    opened = store_of(place)
    for cut in range(0, 300, 7):
        before = send(place, None, 0, 1, opened).total
        died = dying_in_write(cut, "data.jsonl", lambda: send(place, None, 1, 4))
        seen = opened[0].read(opened[1], 0, None)
        assert seen.count == before if died else before + 3
        send(place, None, 4, 5)
        assert len(rows(data_file(place))) == seen.count + 1


# ---------------------------------------------------------------- a whole life, small records, deletion


def life(folder: Path) -> None:
    """All that a run does to its small records."""
    store = LocalStore(folder)
    told = SeriesMeta(METRICS, "loss", description="said", tags=["x"])
    made = store.put_run(KEY, RunPatch(join="attempt", tags=["a", "b"], params={"lr": 0.1}))
    store.append([Batch(SeriesKey(made.id, METRICS, "loss"), (row(None, 0),))])
    store.append(
        [
            Batch(
                SeriesKey(made.id, "logs", ""), (codec.encode_row({"timestamp": "t", "level": "info", "message": "m"}),)
            )
        ]
    )
    store.update_run(made.id, RunPatch(params={"epochs": 3}, series=(told,)))
    store.update_run(made.id, RunPatch(heartbeat="attempt"))
    store.flush(made.id)
    store.update_run(made.id, RunPatch(leave="attempt", status="COMPLETED"))
    store.close()


def test_death_at_every_step_of_a_life(place: Path) -> None:
    """From the first folder to the last status: small records are whole at each step, and the whole life again, in a fresh
    process, ends well, in the same run."""
    seen = set()
    for folder in each_step(place, lambda _: None, life, 150):
        check_small_records(folder)
        before = record(folder / "project" / "run") if (folder / "project" / "run" / "experiment.json").exists() else {}
        seen.add(before.get("status"))
        life(folder)
        after = record(folder / "project" / "run")
        assert before.get("id") in (None, after["id"])
        assert (after["status"], after["tags"]) == ("COMPLETED", ["a", "b"])
        assert [attempt["status"] for attempt in after["attempts"] if attempt["ended_at"] is None] == []
        assert set(rows(data_file(folder))[0]) == {"writer", "n", "text"}
        rows(folder / "project" / "run" / "logs" / "logs.jsonl")
        check_small_records(folder)
    assert seen == {None, "RUNNING", "COMPLETED"}


def test_a_run_between_its_record_and_its_presence(place: Path) -> None:
    """A process that dies between the two leaves a run that nobody is in: shown as lost at once, or not there at all; the
    next start is RUNNING, with no attempt of the dead one open beside it."""
    for folder in each_step(
        place, lambda _: None, lambda folder: LocalStore(folder).put_run(KEY, RunPatch(join="one")), 20
    ):
        store = LocalStore(folder)
        with suppress(NotFound):
            found = store.get_run(KEY)
            assert found.shown_status(0.0) == "LOST"
        again = store.put_run(KEY, RunPatch(join="two"))
        assert again.status == "RUNNING"
        assert [attempt.id for attempt in again.attempts if attempt.ended_at is None] == ["two"]
        assert store.update_run(again.id, RunPatch(leave="two", status="COMPLETED")).status == "COMPLETED"


def test_death_at_every_step_of_a_small_write(place: Path) -> None:
    """Before and after each call of `write_atomically`: the old bytes or the new ones."""
    seen = []
    for folder in each_step(
        place,
        lambda folder: (folder / "f").write_bytes(b"old"),
        lambda folder: write_atomically(str(folder / "f"), b"new" * 10_000),
        6,
    ):
        found = (folder / "f").read_bytes()
        assert found in (b"old", b"new" * 10_000)
        seen.append(found[:3])
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 2


def two_runs(folder: Path) -> None:
    store = LocalStore(folder)
    for name in ("run", "other"):
        made = store.put_run(RunKey("", "project", name), RunPatch(params={"name": name}))
        for metric in ("a", "b/c"):
            store.append([Batch(SeriesKey(made.id, METRICS, metric), tuple(row(None, n) for n in range(3)))])
    store.flush()


def deletion(folder: Path) -> None:
    store = LocalStore(folder)
    store.delete_run(store.get_run(KEY).id)


def test_death_at_every_step_of_a_deletion(place: Path) -> None:
    """The run is there with all its rows, or it is gone; the one beside it is whole; its name can be used again, by a run with
    an id of its own; one more deletion leaves nothing behind."""
    seen = []
    for folder in each_step(place, two_runs, deletion, 30):
        store = LocalStore(folder)
        found = {run.key.name: run for run in store.find_runs(RunQuery(series=True))}
        assert [(info.name, info.count) for info in found["other"].series or []] == [("a", 3), ("b/c", 3)]
        seen.append("run" in found)
        if "run" in found:
            assert [(info.name, info.count) for info in found["run"].series or []] == [("a", 3), ("b/c", 3)]
            assert store.read(SeriesKey(found["run"].id, METRICS, "b/c"), 0, None).count == 3
            store.delete_run(found["run"].id)
        made = store.put_run(KEY, RunPatch())
        assert "run" not in found or made.id != found["run"].id
        assert store.describe(made.id) == []
        store.delete_run(made.id)
        assert os.listdir(folder / "project") == ["other"] or sorted(os.listdir(folder / "project")) == [
            ".lock",
            "other",
        ]
        assert not list((folder / ".cache" / "deleted").glob("*"))
        check_small_records(folder)
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {True, False}
