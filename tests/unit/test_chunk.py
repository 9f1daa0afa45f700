"""Chunks: rows come back byte for byte, numbers and rollups are those of the rows, damage is found, anyone can read them."""

import json
import random
from itertools import pairwise

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import codec, rollup
from ml_dash.columns import from_rows
from ml_dash.errors import CorruptData, NewerFormat
from ml_dash.model import EVENTS, LOGS, METRICS, TRACKS, Page, SeriesKey
from ml_dash.rollup import Rollup
from ml_dash.store import chunk, chunk_columns, chunk_footer
from ml_dash.store.chunk import Chunk
from ml_dash.store.tier_keys import field_key
from ml_dash.testing import NASTY_ROWS

SERIES = SeriesKey("run", METRICS, "loss")
ODD = (  # what no `encode_row` writes, but a request may hold
    b'{"value": 1.0e0}',
    b'{"value":1}',
    b'{ "value" : 1 , "step": 2 }',
    b'{"value": 1, "value": 2.5}',
    b'{"value": -0}',
    b'{"value": 1E5, "step": 10e-1}',
    b'{"\\u0076alue": 3, "step": 4}',
    b'{"text": "\\u00e9\\/", "value": 5}',
    b'{"value": "\\u004E\\u0061N", "step": "NaN"}',
    b'{"value": 18446744073709551616, "step": 18446744073709551615}',
    b'{"value": [1,2,  3], "step": {"a" : "NaN"}}',
)


def opened(data, reads=None, size=None):
    """A chunk over bytes in memory; `reads` takes the ranges that are fetched, call by call. `size` is what it is said to have."""

    def fetch(ranges):
        if reads is not None:
            reads.append(list(ranges))
        return [data[at : at + length] for at, length in ranges]

    return Chunk(fetch, len(data) if size is None else size, "chunks/x.parquet")


def made(rows, *, kind=METRICS, first=0, times=None, about=None):
    return chunk.encode(kind, first, rows, times or [(first, 1_000)], about or {})


def check(rows, *, kind=METRICS, first=0):
    """All that a chunk promises of these rows."""
    encoded = made(rows, kind=kind, first=first)
    read = opened(encoded.data)
    stop = first + len(rows)
    assert (read.kind, read.first, read.stop) == (kind, first, stop)
    assert read.lines(first, stop) == codec.render(kind, first, rows)
    half = len(rows) // 2
    assert read.lines(first + half, stop) == codec.render(kind, first + half, rows[half:])
    page = Page(METRICS, 0, len(rows), len(rows), codec.render(METRICS, 0, rows))
    fields = [*sorted({key for row in rows for key in codec.decode_row(row)}), "nobody"]
    check_numbers(read, encoded, page, fields)


def check_numbers(read, encoded, page, fields):
    expected = codec.numbers(page, fields)
    found = read.numbers(fields, read.first, read.stop)
    part = read.numbers(fields, read.first + 1, read.stop)
    check_columns(read, page, fields)
    at, length = encoded.rollup
    rolled = chunk.rollups(encoded.data[at : at + length], read.first, read.stop, fields)
    grid = rollup.grid(read.first, read.stop, 100)
    for field in fields:
        values, has = expected[field]
        assert np.array_equal(found[field][0], values, equal_nan=True), field
        assert np.array_equal(found[field][1], has), field
        assert np.array_equal(part[field][0], values[1:], equal_nan=True), field
        assert same(rolled[field], rollup.roll(values, has, read.first, grid)), field
        for width, by_field in encoded.coarse.items():
            if field_key(field) in by_field:
                coarse = Rollup.from_bytes(zstandard.decompress(by_field[field_key(field)]))
                assert same(coarse, rollup.roll(values, has, read.first, rollup.grid(read.first, read.stop, width)))
            else:
                assert encoded.more or not has.any()


def check_columns(read, page, fields):
    """The columns and ticks of the chunk, and of a part of it, are those that its rows make, bit by bit."""
    for start, stop in ((0, page.count), (1, page.count), (0, page.count // 2)):
        lines = b"".join(page.lines.splitlines(keepends=True)[start:stop])
        part = Page(METRICS, start, stop - start, page.total, lines)
        expected = from_rows(lambda *_, part=part: part, SERIES, fields, start, stop).columns
        ticks, found = read.columns(fields, read.first + start, read.first + stop)
        assert ticks.tolist() == [[read.first + start, 1_000]][: stop - start]
        assert {field: exactly(column) for field, column in found.items()} == {
            field: exactly(column) for field, column in expected.items()
        }


def exactly(column):
    if column is None:
        return None
    return column.dtype, column.tolist() if column.dtype == object else column.tobytes()


def same(a, b):
    exact = ("count", "nan", "posinf", "neginf", "min", "max", "argmin", "argmax", "first", "last")
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in exact) and all(
        np.allclose(getattr(a, n), getattr(b, n), rtol=1e-12, atol=0) for n in ("sum", "sum_huge")
    )


# ---------------------------------------------------------------- rows

KEYS = st.sampled_from(["value", "step", "Step", "_time", "value:int64", "", "a.b", "a", "ключ", 'q"%b%', "NaN"])
SCALARS = st.one_of(
    st.integers(-10, 10),
    st.integers(-(2**70), 2**70),
    st.integers(2**53 - 2, 2**53 + 2),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["NaN", "Infinity", "-Infinity", '","', '",', "\\", "\u2028", ""]),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(KEYS, SCALARS, max_size=2)
ROWS = st.dictionaries(KEYS, VALUES, max_size=5).map(codec.encode_row) | st.sampled_from(ODD)
KINDS = st.sampled_from([METRICS, TRACKS, LOGS, EVENTS])


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=30), KINDS, st.sampled_from([0, 1, 95, 9_990, 2**40]))
def test_any_rows_come_back(rows, kind, first):
    """Whatever rows are in a chunk: the same bytes, the numbers that `codec.numbers` finds, the rollups of those."""
    check(rows, kind=kind, first=first)


@pytest.mark.parametrize("kind", [METRICS, LOGS])
def test_nasty_rows(kind):
    """NaN and its spellings, big integers, nested values, odd keys and long texts, all in one chunk, in any order."""
    rows = [codec.encode_row(row) for row in NASTY_ROWS] * 3 + list(ODD)
    random.Random(1).shuffle(rows)
    check(rows, kind=kind, first=7)


@pytest.mark.parametrize(
    "row",
    [
        {"value": 0.1, "step": 1},
        {"value": float("nan"), "step": 2},
        {"value": "NaN"},
        {"text": 'a","b', "other": '",'},
        {"text": "\\", "b": True},
        {"none": None},
        {"big": 2**63},
        {"%s": "%b", "%": 1},
        {},
    ],
)
def test_rows_that_are_all_alike(row):
    """Many rows of one shape: where values need care, the quick way finds out and leaves them to the thorough one."""
    rows = [codec.encode_row(row)] * 300
    check(rows, first=50)
    check([*rows, codec.encode_row({"value": 2})])


def test_bytes_that_are_no_json_are_kept():
    """A chunk does not judge: what was stored comes back."""
    rows = [
        b'{"value": 1}',
        b"{nonsense}",
        b"",
        b'{"value": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"value": 2}',
    ]
    read = opened(made(rows).data)
    assert read.lines(0, 7) == codec.render(METRICS, 0, rows)
    values, has = read.numbers(["value"], 0, 7)["value"]
    assert has.tolist() == [True, False, False, False, False, False, True]
    assert (values[0], values[6]) == (1, 2)


def test_log_records():
    """Logs have their own framing, texts and metadata of any shape."""
    rows = [
        codec.encode_row({"timestamp": f"2026-01-01T00:00:{i % 60:02}.000Z", "level": "info", "message": f"line {i}"})
        for i in range(500)
    ]
    rows[70] = codec.encode_row({"timestamp": "", "level": "warn", "message": "", "metadata": {"x": [1, None]}})
    check(rows, kind=LOGS, first=3)


def test_more_fields_than_columns():
    """2,000 fields: half of them have columns, the others are in JSON, and the numbers of all are to be had."""
    names = [f"field {i}" for i in range(2_000)]
    rows = [codec.encode_row(dict.fromkeys(names[: 2_000 - i], i + 0.5)) for i in range(5)]
    check(rows)
    assert len(pq.read_schema(_file(made(rows).data)).names) == 1_000 + 4


def test_many_shapes_are_kept_as_they_came(monkeypatch):
    """The shapes of a chunk are bounded: rows of rare ones are kept raw, and their numbers are in the columns all the same."""
    monkeypatch.setattr(chunk_columns, "MAX_SHAPES", 200)
    rows = [codec.encode_row({f"f{i % 40}": i, "value": i / 2}) for i in range(400)]
    check(rows, first=10)


def test_a_row_of_eight_megabytes():
    """A row may be far larger than others; those around it are in row groups of their own."""
    rows = [codec.encode_row({"value": i}) for i in range(2_000)]
    rows[1_000] = codec.encode_row({"text": "x" * (8 * 1024 * 1024 - 20)})
    read = opened(made(rows).data)
    assert read.lines(0, 2_000) == codec.render(METRICS, 0, rows)
    assert read.lines(0, 3) == codec.render(METRICS, 0, rows[:3])


def test_lines_that_were_never_cut():
    """`codec.Lines`, as buckets hold them, are rows like any others."""
    rows = [codec.encode_row({"value": i}) for i in range(10)]
    lines = codec.Lines(METRICS, 5, 10, codec.render(METRICS, 5, rows))
    assert opened(made(lines, first=20).data).lines(20, 30) == codec.render(METRICS, 20, rows)


# ---------------------------------------------------------------- reading


def long_chunk(rows=25_000):
    return [codec.encode_row({"value": i / 3, "step": i, "note": f"{i * 7919:050d}"}) for i in range(rows)]


def test_every_stretch_of_a_chunk_of_several_row_groups():
    """Across row groups, at their edges, and beyond the chunk's ends, of which there is nothing."""
    rows = long_chunk()
    encoded = made(rows, first=100)
    read = opened(encoded.data)
    for start, stop in [(0, 30_000), (100, 25_100), (8_433, 8_434), (8_400, 16_800), (25_099, 25_100), (100, 100)]:
        begin, end = max(start - 100, 0), max(stop - 100, 0)
        assert read.lines(start, stop) == codec.render(METRICS, 100 + begin, rows[begin:end])
        values, has = read.numbers(["step"], start, stop)["step"]
        assert values.tolist() == list(range(begin, min(end, 25_000)))
        assert has.all()


def test_only_what_is_needed_is_read():
    """Ten points of a long chunk are a row group, a field's numbers are its column; both in one round of requests."""
    data = made(long_chunk(100_000)).data
    reads: list[list[tuple[int, int]]] = []
    read = opened(data, reads)
    assert len(reads) <= 2
    for needed, work in [
        (len(data) / 8, lambda: read.lines(50_000, 50_010)),
        (len(data) / 4, lambda: read.numbers(["value"], 0, 60_000)),
        (1, lambda: read.numbers(["nobody"], 0, 60_000)),
    ]:
        reads.clear()
        work()
        assert len(reads) <= 1
        assert sum(length for ranges in reads for _, length in ranges) < needed


def test_a_small_chunk_is_read_at_once():
    """One request opens it, and no other is needed."""
    reads: list[list[tuple[int, int]]] = []
    read = opened(made(long_chunk(500)).data, reads)
    read.lines(0, 500)
    read.numbers(["value"], 0, 500)
    assert len(reads) == 1


def test_times():
    """A tick at the start of what is asked for, then one at each change; equal ones count once."""
    rows = [b'{"value": 1}'] * 100
    read = opened(made(rows, first=10, times=[(3, 5_000), (12, 5_000), (20, 5_100), (21, 5_200), (500, 9_000)]).data)
    assert read.ticks(10, 110) == ((10, 5_000), (20, 5_100), (21, 5_200))
    assert read.ticks(20, 21) == ((20, 5_100),)
    assert read.ticks(50, 60) == ((50, 5_200),)
    assert read.ticks(60, 60) == ()


def test_what_is_said_about_a_chunk_comes_back():
    """The caller's own keys, whatever their text looks like."""
    about = {"run": "r-1", "marks": '[["w",3]]', "name": 'größe","digest":"0', "": "\x00"}
    assert opened(made([b"{}"], about=about).data).about == about


def test_the_manifest_has_the_commonest_fields():
    """64 of them; a field more is said, and is in the chunk."""
    rows = [codec.encode_row({f"f{i}": i for i in range(65 if at else 64)}) for at in range(2)]
    encoded = made(rows)
    assert encoded.more
    assert set(encoded.coarse[1_000]) == set(encoded.coarse[10_000]) == {field_key(f"f{i}") for i in range(64)}
    assert not made(rows[:1]).more
    check(rows)


# ---------------------------------------------------------------- damage


def test_a_chunk_that_was_cut():
    """Cut anywhere, it is damage, whether its size is known or not."""
    data = made([codec.encode_row(row) for row in NASTY_ROWS] * 20).data
    for size in random.Random(2).sample(range(len(data)), 60):
        with pytest.raises(CorruptData):
            opened(data[:size]).lines(0, 180)
        with pytest.raises(CorruptData):
            opened(data[:size], size=len(data)).lines(0, 180)


def test_a_chunk_with_a_flipped_bit():
    """Wherever a bit is flipped: the same answers, or the error that says where. Nothing is read wrong."""
    rows = [codec.encode_row(row) for row in NASTY_ROWS[:-1]] * 15 + [b'{"value":1}'] * 5
    encoded = made(rows)
    expected = answers(encoded.data, encoded.rollup)
    chance = random.Random(3)
    found = 0
    places = range(len(encoded.data))
    for at in [*places[:8], *places[-120:], *chance.sample(places, 300)]:
        data = bytearray(encoded.data)
        data[at] ^= 1 << chance.randrange(8)
        try:
            got = answers(bytes(data), encoded.rollup)
        except CorruptData as e:
            found += e.path == "chunks/x.parquet"
        else:
            assert got == expected
    assert found > 380


def answers(data, place):
    read = opened(data)
    stop = read.stop
    values = [(v.tobytes(), h.tobytes()) for v, h in read.numbers(["value", "big", "z"], 0, stop).values()]
    blob = data[place[0] : sum(place)]
    rolled = chunk.rollups(blob, 0, stop, ["value", "big"], "chunks/x.parquet")
    return read.lines(0, stop), read.ticks(0, stop), values, [r.to_bytes() for r in rolled.values()], read.about


def test_bytes_that_are_something_else():
    """Another Parquet file, or none."""
    for data in [b"", b"PAR1", b"nonsense" * 50, _plain_parquet()]:
        with pytest.raises(CorruptData, match=r"chunks/x\.parquet"):
            opened(data)
    with pytest.raises(CorruptData, match="rollups"):
        chunk.rollups(b"nonsense" * 50, 0, 100, ["value"])


def _plain_parquet():
    import io

    sink = io.BytesIO()
    pl.DataFrame({"value": [1, 2]}).write_parquet(sink)
    return sink.getvalue()


def test_a_newer_version(monkeypatch):
    """A chunk of a version to come says so."""
    data = made([b"{}"]).data
    monkeypatch.setattr(chunk_footer, "VERSION", 0)
    with pytest.raises(NewerFormat, match=r"chunks/x\.parquet has version 1"):
        opened(data)


# ---------------------------------------------------------------- other readers


def _file(data):
    import pyarrow as pa

    return pa.BufferReader(data)


def names_of(*rows):
    return pq.read_schema(_file(made([codec.encode_row(row) for row in rows]).data)).names[2:]


def test_names_of_columns():
    """A field's own name where that is one for a database, too; else with its type behind it."""
    assert names_of({"loss": 1.5, "step": 1}) == ["loss", "step", "_keys"]
    assert names_of({"loss": 1.5}, {"loss": 1}) == ["loss", "_keys"], "integers among floats are floats in the table"
    assert names_of({"loss": 1.5}, {"loss": 2**60}, {"loss": "high"}) == [
        "loss",
        "loss:int64",
        "loss:string",
        "_keys",
    ]
    assert names_of({"loss": 1, "Loss": 2}) == ["loss", "Loss:int64", "_keys"]
    assert names_of({"": True, "_TIME": 1.5, "_keys": 1}) == [":bool", "_TIME:float64", "_keys:int64", "_keys"]
    assert names_of({"a": 1, "a:string": 2}, {"a": "x"}) == ["a", "a:string+", "a:string", "_keys"]
    assert names_of({"rare": [1]}, {"rare": None}, {"big": 2**70}) == ["_keys", "_json"]


@pytest.fixture
def shared(tmp_path):
    """A chunk as a file, and what is in it."""
    rows = []
    for i in range(30_000):
        row = {"value": i / 7, "train.loss": i % 5, "ok": i % 2 == 0, "note": f"n{i % 3}"}
        if i % 100 == 0:
            row = {"value": float("nan"), "note": "NaN", "pose": [i]}
        rows.append(row)
    path = tmp_path / "chunk.parquet"
    path.write_bytes(made([codec.encode_row(row) for row in rows], first=1_000, times=[(0, 50), (2_000, 60)]).data)
    return path, rows


def test_duckdb_reads_a_chunk(shared):
    """Numbers, texts and JSON in SQL, and a look at a few indices that reads few of them."""
    path, rows = shared
    with duckdb.connect() as db:
        sql = lambda text: db.sql(text.replace("CHUNK", f"read_parquet('{path}')")).fetchall()  # noqa: E731
        assert sql("SELECT count(*), min(_index), max(_index) FROM CHUNK") == [(30_000, 1_000, 30_999)]
        assert sql('SELECT _index, value, "train.loss", ok, note, _time FROM CHUNK WHERE _index IN (1001, 30999)') == [
            (1_001, 1 / 7, 1, False, "n1", 50),
            (30_999, 29_999 / 7, 4, False, "n2", 60),
        ]
        assert sql("SELECT count(*) FROM CHUNK WHERE isnan(value)") == [(300,)]
        assert sql("SELECT sum(value) FROM CHUNK WHERE NOT isnan(value)")[0][0] == pytest.approx(
            sum(row["value"] for row in rows if "ok" in row)
        )
        assert sql("SELECT _json->'$.pose[0]' FROM CHUNK WHERE _index = 1100") == [("100",)]
        assert sql("SELECT DISTINCT note FROM CHUNK ORDER BY note") == [("NaN",), ("n0",), ("n1",), ("n2",)]
        said = json.loads(
            sql("SELECT value FROM parquet_kv_metadata".replace("kv_metadata", f"kv_metadata('{path}')"))[0][0]
        )
        assert (said["format"], said["version"], said["first"], said["stop"]) == ("chunk", 1, 1_000, 31_000)


def test_polars_reads_a_chunk(shared):
    """The same numbers; null where a row has no such field."""
    path, rows = shared
    frame = pl.scan_parquet(path).filter(pl.col("_index") >= 30_000).select("_index", "value", "train.loss").collect()
    assert frame["_index"].to_list() == list(range(30_000, 31_000))
    assert frame["train.loss"].to_list() == [row.get("train.loss") for row in rows[29_000:]]
    values = [row["value"] for row in rows[29_000:]]
    assert np.array_equal(frame["value"].to_numpy(), np.array(values), equal_nan=True)


def test_indices_can_be_skipped_by(shared):
    """Each row group says which indices it has, so that readers of a few pass over the others."""
    metadata = pq.read_metadata(shared[0])
    found = [metadata.row_group(at).column(0).statistics for at in range(metadata.num_row_groups)]
    assert len(found) == 3
    assert (found[0].min, found[-1].max) == (1_000, 30_999)
    assert all(a.max + 1 == b.min for a, b in pairwise(found))
