"""Marks, by their own rules and beside a model that remembers every row."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import Conflict, InvalidInput
from ml_dash.model import METRICS, Batch, SeriesKey
from ml_dash.store.marks import TAIL, Mark, advance, row_hash, trim, without

SERIES = SeriesKey("run", METRICS, "loss")


def rows(*values: int) -> list[bytes]:
    return [b'{"value": %d}' % value for value in values]


def batch(seq: int | None, *values: int, writer: str | None = "w", times: tuple[tuple[int, int], ...] = ()) -> Batch:
    return Batch(SERIES, rows(*values), writer, seq, times)


def mark(*values: int) -> Mark:
    """The mark of a writer whose log is `values`."""
    reached = advance(None, batch(0, *values))
    assert reached is not None
    return reached


def test_a_mark_keeps_the_hashes_of_the_last_rows() -> None:
    """At most `TAIL` hashes, the last one of the row before `seq`, across batches of any size."""
    assert mark(1, 2).tail == [row_hash(row) for row in rows(1, 2)]
    long = mark(*range(100))
    assert long == Mark("w", 100, [row_hash(row) for row in rows(*range(100 - TAIL, 100))])
    one_by_one = None
    for i in range(100):
        one_by_one = advance(one_by_one, batch(i, i))
    assert one_by_one == long


def test_hashes_are_eight_bytes_of_blake2b() -> None:
    """Stored marks are compared with these as long as a run lives: the hash may not change. `b2sum -l 64` agrees."""
    assert row_hash(b'{"value": 0.5, "epoch": 1}') == "14d6f8251e204bc0"


def test_a_mark_survives_json() -> None:
    """Stores keep marks as JSON."""
    assert msgspec.json.decode(msgspec.json.encode(mark(1, 2, 3)), type=Mark) == mark(1, 2, 3)


def test_advancing_by_nothing_new_keeps_the_mark() -> None:
    """A retry, a batch without rows and a batch without identity leave the mark that is."""
    reached = mark(1, 2, 3)
    for other in (batch(0, 1, 2, 3), batch(1, 2), batch(3), batch(None, 9, writer=None)):
        assert advance(reached, other) is reached
    assert advance(None, batch(0)) is None
    assert advance(None, batch(None, 1, writer=None)) is None


@pytest.mark.parametrize(("seq", "values", "known"), [(0, (1, 2, 3), 3), (1, (2,), 1), (2, (3, 4, 5), 1), (3, (4,), 0)])
def test_known_rows_are_trimmed(seq: int, values: tuple[int, ...], known: int) -> None:
    """As many leading rows as the series has from this writer."""
    assert trim(mark(1, 2, 3), batch(seq, *values)) == known


def test_a_gap_says_what_is_missing() -> None:
    """The error names the series, the writer and the rows, and carries the seq expected."""
    with pytest.raises(
        Conflict, match=r"metrics 'loss', writer w: rows 3 … 4 are missing; send from seq 3 on\."
    ) as gap:
        trim(mark(1, 2, 3), batch(5, 6))
    assert gap.value.expected == 3
    with pytest.raises(Conflict) as first:
        trim(None, batch(1, 2))
    assert first.value.expected == 0


def test_a_copy_that_went_its_own_way_is_told_by_its_row() -> None:
    """The error names the first row that differs, and nothing is expected."""
    with pytest.raises(Conflict, match="row 1 is not the one that was stored") as diverged:
        trim(mark(1, 2, 3), batch(0, 1, 9, 9, 4))
    assert diverged.value.expected is None


def test_rows_whose_hash_is_gone_are_not_compared() -> None:
    """Beyond the last `TAIL` rows there is nothing to compare with: a difference there goes unseen."""
    reached = mark(*range(100))
    assert trim(reached, batch(0, *([-1] * (100 - TAIL)))) == 100 - TAIL
    with pytest.raises(Conflict):
        trim(reached, batch(0, *([-1] * (101 - TAIL))))


@pytest.mark.parametrize(("writer", "seq"), [("w", None), (None, 0), ("w", -1), ("", 0), ("", None)])
def test_writer_and_seq_come_together(writer: str | None, seq: int | None) -> None:
    """Half an identity is a wrong call."""
    with pytest.raises(InvalidInput, match="writer and seq"):
        trim(None, batch(seq, 1, writer=writer))


def test_what_is_left_keeps_its_times() -> None:
    """Cutting rows moves the tick that is in force at the cut to the first row left."""
    whole = batch(5, 0, 1, 2, 3, times=((0, 100), (2, 200), (3, 300)))
    assert without(whole, 0) is whole
    assert without(whole, 1) == batch(6, 1, 2, 3, times=((0, 100), (1, 200), (2, 300)))
    assert without(whole, 2) == batch(7, 2, 3, times=((0, 200), (1, 300)))
    assert without(whole, 4) == batch(9, times=((0, 300),))
    assert without(batch(0, 1, 2, times=((1, 50),)), 0).times == ((1, 50),)
    assert without(batch(0, 1, 2, 3, times=((2, 50),)), 1).times == ((1, 50),)
    assert without(batch(0, 1, 2), 1).times == ()


@given(st.data())
def test_any_retries_store_a_log_once(data: st.DataObject) -> None:
    """Whatever parts of a log are sent, in whatever order: what is stored is always a beginning of the log."""
    log = rows(*data.draw(st.lists(st.integers(0, 3), max_size=60)))
    stored: list[bytes] = []
    reached: Mark | None = None
    for _ in range(20):
        seq = data.draw(st.integers(0, len(log)))
        part = Batch(SERIES, log[seq : seq + data.draw(st.integers(0, 30))], "w", seq)
        if seq > len(stored):
            with pytest.raises(Conflict) as gap:
                trim(reached, part)
            assert gap.value.expected == len(stored)
            continue
        stored += without(part, trim(reached, part)).rows
        reached = advance(reached, part)
        assert stored == log[: len(stored)]
        assert (reached.seq if reached else 0) == len(stored)
