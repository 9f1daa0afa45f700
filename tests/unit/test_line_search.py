"""Finding lines by index, against brute force: every line of files whose lines are as uneven as can be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_dash import codec
from ml_dash.errors import CorruptData
from ml_dash.model import LOGS, METRICS, TRACKS
from ml_dash.store.line_search import PROBE, find_line, first_bad, last_line, line_end

LENGTHS = st.one_of(
    st.just(0),
    st.integers(0, 40),
    st.integers(PROBE - 80, PROBE + 80),
    st.integers(0, 20_000),
    st.integers(60_000, 100_000),
)
"""Bytes of a row's text: one byte's worth to 100 KB, and all around what one probe reads."""
KINDS = st.sampled_from([METRICS, TRACKS, LOGS])


def row(kind: str, length: int) -> bytes:
    if kind == LOGS:
        return b'{"timestamp": "", "level": "info", "message": "%b"}' % (b"x" * length)
    return b"{}" if not length else b'{"v": "%b"}' % (b"x" * length)


def lines_of(kind: str, lengths: list[int], first: int = 0) -> bytes:
    return codec.render(kind, first, [row(kind, length) for length in lengths])


@contextmanager
def a_file(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as f:
        f.write(data)
        f.flush()
        yield f.fileno()


def offsets(data: bytes) -> list[int]:
    """Where each line begins, and the end, by looking at every byte."""
    return [0, *(at + 1 for at, byte in enumerate(data) if byte == 10)]


@given(kind=KINDS, lengths=st.lists(LENGTHS, max_size=60))
@example(kind=METRICS, lengths=[])
@example(kind=METRICS, lengths=[0])
@example(kind=LOGS, lengths=[100_000])
@example(kind=METRICS, lengths=[0, 100_000])
@example(kind=METRICS, lengths=[100_000, 0])
@example(kind=LOGS, lengths=[0] * 2_000 + [100_000] + [0] * 2_000)
@example(kind=METRICS, lengths=[100_000, *[0] * 5_000, 100_000])
@example(kind=METRICS, lengths=[0] * 9_999)
def test_every_line_is_found(kind, lengths):
    """Each index is found where brute force finds it, the end of the file for the total, whatever the lengths are."""
    data = lines_of(kind, lengths)
    where = offsets(data)
    with a_file(data) as fd:
        wanted = range(len(lengths) + 1) if len(lengths) < 200 else [*range(0, len(lengths), 97), len(lengths)]
        for index in wanted:
            assert find_line(fd, len(data), len(lengths), index, kind, "f") == where[index]


@given(kind=KINDS, lengths=st.lists(LENGTHS, min_size=1, max_size=40), data=st.data())
def test_a_later_line_is_found_from_an_earlier_one(kind, lengths, data):
    """`after` is only where the search begins: it does not change what is found."""
    file = lines_of(kind, lengths)
    where = offsets(file)
    first = data.draw(st.integers(0, len(lengths) - 1))
    index = data.draw(st.integers(first, len(lengths)))
    with a_file(file) as fd:
        found = find_line(fd, len(file), len(lengths), index, kind, "f", after=(where[first], first))
    assert found == where[index]


@given(kind=KINDS, lengths=st.lists(LENGTHS, min_size=1, max_size=40))
def test_what_lies_behind_the_end_is_not_looked_at(kind, lengths):
    """A reader's end is the one that it took under the lock: bytes that were appended since change nothing."""
    data = lines_of(kind, lengths)
    with a_file(data + lines_of(kind, [7] * 50, len(lengths)) + b'{"ind') as fd:
        found = [find_line(fd, len(data), len(lengths), i, kind, "f") for i in range(len(lengths) + 1)]
    assert found == offsets(data)


@pytest.mark.parametrize("kind", [METRICS, LOGS])
@pytest.mark.parametrize("length", [0, 30, 5_000])
def test_few_reads_find_a_line_of_a_long_file(kind, length, monkeypatch):
    """Even lengths take a handful of probes, however long the file is; bisection bounds the worst case."""
    data = lines_of(kind, [length] * 20_000 if length < 1_000 else [length] * 2_000)
    where = offsets(data)
    reads = []
    pread = os.pread

    def counted(*args: int) -> bytes:
        reads.append(args)
        return pread(*args)

    with a_file(data) as fd:
        monkeypatch.setattr(os, "pread", counted)
        for index in range(0, len(where) - 1, len(where) // 50):
            reads.clear()
            assert find_line(fd, len(data), len(where) - 1, index, kind, "f") == where[index]
            assert len(reads) <= 12
            assert sum(size for _, size, _ in reads) < 40 * PROBE


# ---------------------------------------------------------------- the last line


@given(
    kind=KINDS, lengths=st.lists(LENGTHS, max_size=8), torn=st.binary(max_size=9_000).filter(lambda b: b"\n" not in b)
)
@example(kind=METRICS, lengths=[], torn=b"")
@example(kind=METRICS, lengths=[], torn=b"\0" * 5_000)
@example(kind=METRICS, lengths=[100_000, 100_000], torn=b"x" * 9_000)
def test_the_last_line_tells_end_and_count(kind, lengths, torn):
    """The end is behind the last newline, whatever follows it; the count is the last line's index and one."""
    data = lines_of(kind, lengths)
    with a_file(data + torn) as fd:
        tail = last_line(fd, len(data) + len(torn), kind, "f")
    assert (tail.end, tail.points) == (len(data), len(lengths))
    assert tail.line == data[offsets(data)[-2] : -1] if lengths else tail.line == b""


@pytest.mark.parametrize(("before", "carried"), [(1, 0), (2, 0), (2, 1), (50, 0), (50, 1), (50, 48), (50, 49)])
def test_a_misplaced_line_is_not_counted(before, carried):
    """A process that wrote with an old index and died before it took the line back: the line is behind the end."""
    good = lines_of(METRICS, [5] * before)
    data = good + lines_of(METRICS, [9], carried)
    with a_file(data) as fd:
        tail = last_line(fd, len(data), METRICS, "f")
    assert (tail.end, tail.points) == (len(good), before)


@pytest.mark.parametrize("torn", [b'{"index": 3, "da', b'{"index": 3, "data": {"v": "x', b'{"index": 3'])
def test_a_misplaced_line_behind_a_torn_one_is_not_counted(torn):
    """Two processes died in turn, the second before it took back a line that it had written behind the first one's torn
    tail: together they look like a line that carries the right index."""
    good = lines_of(METRICS, [5] * 3)
    data = good + torn + lines_of(METRICS, [9], 1)
    with a_file(data) as fd:
        tail = last_line(fd, len(data), METRICS, "f")
    assert (tail.end, tail.points) == (len(good), 3)
    assert tail.line == good[offsets(good)[2] : -1]


def test_a_field_called_index_is_no_misplaced_line():
    """A row may hold what looks like the beginning of a line."""
    data = codec.render(METRICS, 0, [b'{"a": {"index": 0, "data": {"index": 1}}}'] * 2)
    with a_file(data) as fd:
        assert last_line(fd, len(data), METRICS, "f").points == 2


def test_a_damaged_line_before_the_last_is_not_the_last_ones_fault():
    """Where the last line fits to the one before its predecessor, the predecessor is what is damaged: no line is given up."""
    for bad in (
        b'{"index": 9, "data": {}}\n',
        b'{"index": 0, "data": {}}\n',
        b'{"inxex": 2, "data": {}}\n',
        b"\0\0\0\n",
    ):
        data = lines_of(METRICS, [0, 0]) + bad + lines_of(METRICS, [0], 3)
        with a_file(data) as fd:
            assert last_line(fd, len(data), METRICS, "f")[:2] == (len(data), 4)


@pytest.mark.parametrize(
    ("end", "offset"),
    [
        (b"x\n", 48),
        (b'{"inxex": 2, "data": {}}\n', 48),
        (b'{"index": 99999999999999999999, "data": {}}\n', 48),
        (b'{"index": 5, "data": {}}\n', 48),
        (b'\0\0\n{"index": 7, "data": {}}\n', 48),
    ],
)
def test_a_last_line_that_cannot_be_placed_is_corrupt(end, offset):
    """A whole line at the end that carries no index, or one that nobody can have written: nobody guesses what it was."""
    data = lines_of(METRICS, [0, 0])
    assert len(data) == 48 + 2
    with a_file(data + end) as fd, pytest.raises(CorruptData) as raised:
        last_line(fd, len(data + end), METRICS, "the/path")
    assert raised.value.path == "the/path"
    assert raised.value.offset == offset + 2


# ---------------------------------------------------------------- damage


@given(
    kind=KINDS,
    lengths=st.lists(LENGTHS, min_size=3, max_size=40),
    data=st.data(),
    damage=st.sampled_from(["nul", "no index", "other index", "newline lost", "newline more"]),
)
def test_damage_to_one_line_hides_no_other(kind, lengths, data, damage):
    """Every line but the damaged one is found where it is; the damaged one too, or `CorruptData` names its path and place."""
    bad = data.draw(st.integers(1, len(lengths) - 2))
    lines = lines_of(kind, lengths).split(b"\n")[:-1]
    key = b"sequenceNumber" if kind == LOGS else b"index"
    old = lines[bad]
    match damage:
        case "nul":
            lines[bad] = b"\0" * len(old)
        case "no index":
            lines[bad] = old.replace(key, b"i" * len(key), 1)
        case "other index":
            wrong = data.draw(st.integers(0, 9 * len(lengths)).filter(lambda i: i != bad))
            lines[bad] = old.replace(b'": %d,' % bad, b'": %d,' % wrong, 1)
        case "newline more":
            lines[bad] = old[:-2] + b"\n" + old[-2:]
    text = b"".join(line + b"\n" for line in lines)
    if damage == "newline lost":
        at = sum(len(line) + 1 for line in lines[: bad + 1]) - 1
        text = text[:at] + b" " + text[at + 1 :]
    true = [text.find(b'\n{"%b": %d,' % (key, i)) + 1 for i in range(len(lengths))]
    true[0] = 0
    hidden = {"nul": [bad], "no index": [bad], "other index": [bad], "newline lost": [bad + 1], "newline more": []}
    with a_file(text) as fd:
        for index in range(len(lengths)):
            if index in hidden[damage]:
                with pytest.raises(CorruptData) as raised:
                    find_line(fd, len(text), len(lengths), index, kind, "the/path")
                assert raised.value.path == "the/path"
                assert raised.value.offset == sum(len(line) + 1 for line in lines[:bad])
            else:
                assert text[true[index] :].startswith(b'{"%b": %d,' % (key, index))
                assert find_line(fd, len(text), len(lengths), index, kind, "f") == _true(text, kind, index, true[index])


def _true(text: bytes, kind: str, index: int, first: int) -> int:
    """The line that carries the index and fits to the next: another one may carry it by damage."""
    key = b"sequenceNumber" if kind == LOGS else b"index"
    head, after = b'{"%b": %d,' % (key, index), b'{"%b": %d,' % (key, index + 1)
    at = first
    while at >= 0:
        line_stop = text.find(b"\n", at) + 1
        if line_stop >= len(text) or text.startswith(after, line_stop):
            return at
        more = text.find(b"\n" + head, at)
        at = more + 1 if more >= 0 else -1
    return first


@given(st.lists(st.integers(0, 3 * PROBE), max_size=5))
def test_the_end_of_a_line(lengths):
    """`line_end` is behind the newline, at the end of the file where there is none, however long the line is."""
    data = b"".join(b"x" * length + b"\n" for length in lengths) + b"torn"
    with a_file(data) as fd:
        for at in offsets(data):
            newline = data.find(b"\n", at)
            assert line_end(fd, at, len(data)) == (newline + 1 if newline >= 0 else len(data))


def test_the_first_bad_line():
    """The first line that is no JSON or carries another index than its place asks for; 0 where all are sound."""
    good = lines_of(METRICS, [0, 3, 0], 5)
    assert first_bad(METRICS, good, 5) == 0
    second = offsets(good)[1]
    for worse in (good.replace(b'"index": 6', b'"index": 8'), good.replace(b'"xxx"', b'"xxx')):
        assert first_bad(METRICS, worse, 5) == second
