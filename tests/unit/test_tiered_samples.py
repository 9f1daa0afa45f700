"""Samples of a series in two tiers are those of its rows, however it is cut into chunks; and they cost little."""

import copy
import math
import random
import threading
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import codec, rollup
from ml_dash.errors import CorruptData, InvalidInput
from ml_dash.model import METRICS, Page
from ml_dash.store import chunk, tiered_samples
from ml_dash.store.tier_keys import field_key, place
from ml_dash.store.tiered_samples import Samples
from ml_dash.testing import same

SID = bytes(range(16))


class Source:
    """A series whose chunks end at `cuts`, the last of which is `sealed`; what is asked of it is counted."""

    def __init__(self, rows, cuts):
        page = Page(METRICS, 0, len(rows), len(rows), codec.render(METRICS, 0, rows))
        self.columns = codec.numbers(page, sorted({key for row in rows for key in codec.decode_row(row)}))
        self.sid, self.total, self.sealed = SID, len(rows), ([0, *cuts])[-1]
        self.manifest, self.blobs = [], {}
        for first, stop in zip([0, *cuts], cuts, strict=False):
            made = chunk.encode(METRICS, first, rows[first:stop], [(first, 0)], {})
            self.add(first, stop, made)
        self.asked = {"entries": 0, "blobs": 0, "rows": 0}

    def add(self, first, stop, made):
        at, length = made.rollup
        self.blobs[f"{first}"] = made.data[at : at + length]
        entry = {"_id": place(SID, first), "stop": stop, "key": f"{first}", "more": made.more}
        self.manifest.append(entry | {"r3": made.coarse[1_000], "r4": made.coarse[10_000]})

    def entries(self, start, stop, level, fields):
        first = bisect_right([e["stop"] for e in self.manifest], start)
        last = bisect_left([e["_id"] for e in self.manifest], place(SID, stop))
        named = {1_000: "r3", 10_000: "r4"}.get(level)
        keys = {field_key(field) for field in fields}
        found = []
        for entry in self.manifest[first:last]:
            shown = {name: entry[name] for name in ("_id", "stop", "key", "more")}
            found.append(shown | ({named: {k: v for k, v in entry[named].items() if k in keys}} if named else {}))
        self.asked["entries"] += len(found)
        return found

    def chunk_rollups(self, entries):
        self.asked["blobs"] += len(entries)
        return [self.blobs[entry["key"]] for entry in entries]

    def numbers(self, fields, start, stop):
        self.asked["rows"] += stop - start
        empty = (np.full(stop - start, np.nan), np.zeros(stop - start, np.bool_))
        return {
            field: tuple(part[start:stop] for part in self.columns[field]) if field in self.columns else empty
            for field in fields
        }


def some_rows(count, seed=1):
    """Noise with gaps, NaN, infinities, texts, and x that falls back."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        row: dict[str, Any] = {"value": chance.gauss(0, 1), "step": i % 700}
        match chance.randrange(40):
            case 0:
                row["value"] = chance.choice([math.nan, math.inf, -math.inf, "high", None, True, 10**20, 7])
            case 1:
                del row["value"]
            case 2:
                row = {}
        rows.append(codec.encode_row(row))
    return rows


def by_rows(source, field, x, start, stop, max_points):
    """The same buckets, from nothing but rows."""
    stop = source.total if stop is None else min(stop, source.total)
    edges = rollup.bucket_edges(start, stop, max_points, tiered_samples.LEVELS)
    rows = source.numbers([field, x or field], 0, source.total)
    y, other = (rollup.roll(values, has, 0, edges) for values, has in (rows[field], rows[x or field]))
    return rollup.sample_of(edges, y, other if x else None)


def agree(found, expected):
    a, b = found.to_dict(), expected.to_dict()
    assert a.pop("mean") == pytest.approx(b.pop("mean"), nan_ok=True)
    assert same(a, b)


@pytest.fixture(scope="module")
def source():
    """60,000 rows: chunks that end anywhere, 3,000 rows still hot."""
    rows = some_rows(60_000)
    return Source(rows, [7, 100, 1_033, 12_345, 12_346, 25_000, 26_000, 39_999, 40_001, 57_000])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 60_001),
    st.none() | st.integers(0, 61_000),
    st.sampled_from([1, 2, 3, 5, 10, 30, 57, 100, 300, 600, 3_000]),
    st.sampled_from(["value", "step", "nobody"]),
    st.sampled_from([None, "step", "value"]),
)
def test_any_range_at_any_zoom(source, start, stop, points, field, x):
    """Whichever level answers: what the rows say, at every cut of chunks and buckets."""
    found = Samples().sample(source, field, x, start, stop, points)
    agree(found, by_rows(source, field, x, start, stop, points))


def test_what_is_kept_answers_as_well(source):
    """Ranges that overlap what is kept, meet it, or lie apart from it: in any order, the same answers."""
    samples, chance = Samples(), random.Random(5)
    for _ in range(150):
        start, stop = sorted(chance.sample(range(60_001), 2))
        points = chance.choice([1, 2, 5, 20, 60, 200])
        field, x = chance.choice(["value", "step"]), chance.choice([None, "step"])
        agree(samples.sample(source, field, x, start, stop, points), by_rows(source, field, x, start, stop, points))


def test_it_goes_on_as_chunks_are_sealed():
    """What was kept while less was sealed is added to, and hides nothing."""
    rows, cuts = some_rows(26_000), [4_000, 9_999, 10_001, 17_000, 25_500]
    whole = Source(rows, cuts)
    samples = Samples()
    for sealed, total in [(0, 11_000), (2, 11_000), (2, 14_000), (3, 17_000), (4, 25_999), (5, 26_000)]:
        source = copy.copy(whole)
        source.total, source.sealed, source.manifest = total, [0, *cuts][sealed], whole.manifest[:sealed]
        for points in (1, 6, 60, 3_000):
            expected = by_rows(source, "value", "step", 0, None, points)
            agree(samples.sample(source, "value", "step", 0, None, points), expected)


@pytest.mark.parametrize(
    ("points", "manifest", "chunks", "rows"),
    [(6, True, False, 3_000), (60, True, False, 3_000), (600, True, True, 3_000), (1_000, False, False, 60_000)],
)
def test_each_level_reads_no_more_than_it_has_to(source, points, manifest, chunks, rows):
    """Wide buckets ask the manifest, narrower ones the chunks, the narrowest rows; the second time nothing but rows at the ends."""
    samples = Samples()
    for again in (False, True):
        source.asked = dict.fromkeys(source.asked, 0)
        samples.sample(source, "value", None, 0, None, points)
        assert (source.asked["entries"] > 0) == (manifest and not again)
        assert (source.asked["blobs"] > 0) == (chunks and not again)
        assert source.asked["rows"] == rows


def test_rarer_fields_come_from_the_chunks():
    """The manifest keeps 64 fields; of the 65th, and of one that only some chunks have, the chunks tell."""
    rows = [codec.encode_row({f"f{k}": i + k for k in range(70 if i % 2 else 66)}) for i in range(1_400)]
    source = Source(rows, [700, 1_300])
    assert all(entry["more"] for entry in source.manifest)
    for field in ("f0", "f65", "f69", "nobody"):
        for points in (1, 10):
            agree(
                Samples().sample(source, field, "f69", 0, None, points), by_rows(source, field, "f69", 0, None, points)
            )


def test_memory_is_bounded(source):
    """What is kept stays within bounds, but for the last one used."""
    samples = Samples(memory=20_000)
    for field in ("value", "step", "nobody"):
        for points in (6, 60, 600):
            samples.sample(source, field, None, 0, None, points)
            assert samples._used <= 20_000 or len(samples._kept) == 1
            assert samples._used == sum(stretch.cost for stretch in samples._kept.values())


def test_threads(source):
    """Many ask at once, for what is kept and what is not."""
    samples = Samples(memory=100_000)
    expected = {points: by_rows(source, "value", "step", 100, 58_000, points) for points in (3, 30, 300)}
    failed = []

    def ask(seed):
        chance = random.Random(seed)
        try:
            for _ in range(20):
                points = chance.choice([3, 30, 300])
                agree(samples.sample(source, "value", "step", 100, 58_000, points), expected[points])
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_what_makes_no_sense(source):
    """Wrong calls are refused; a range without points gives no bucket."""
    samples = Samples()
    wrong: list[Any] = [(-1, None, 10), (0, -1, 10), (0, None, 0), (0, None, True), (0, None, 2.5)]
    for start, stop, points in wrong:
        with pytest.raises(InvalidInput):
            samples.sample(source, "value", None, start, stop, points)
    assert len(samples.sample(source, "value", None, 70_000, None, 10)) == 0
    assert len(samples.sample(source, "value", None, 50, 50, 10)) == 0


def test_a_manifest_that_lacks_a_chunk_or_is_damaged():
    """Neither a hole nor bytes that are no rollup are passed over."""
    whole = Source(some_rows(20_000), [5_000, 12_000, 20_000])
    for damage in (
        lambda manifest: manifest.pop(1),
        lambda manifest: manifest.pop(),
        lambda manifest: manifest[1]["r3"].update({field_key("value"): b"nonsense"}),
        lambda manifest: manifest[1]["r3"].update(manifest[0]["r3"]),
    ):
        damaged = copy.deepcopy(whole)
        damage(damaged.manifest)
        with pytest.raises(CorruptData, match="manifest"):
            Samples().sample(damaged, "value", None, 0, None, 10)


def test_a_chunk_whose_rollups_are_damaged():
    """The chunk is named."""
    damaged = Source(some_rows(3_000), [3_000])
    damaged.blobs["0"] = damaged.blobs["0"][:-1]
    with pytest.raises(CorruptData):
        Samples().sample(damaged, "value", None, 0, None, 30)


def test_no_step_for_each_span(monkeypatch):
    """A long series costs a few calls: rollups of all chunks are joined and merged at once."""
    rows = some_rows(20_000)
    few, many = Source(rows, [10_000, 20_000]), Source(rows, list(range(400, 20_001, 400)))
    calls: list[str] = []
    for name in ("merge", "roll", "concat"):
        monkeypatch.setattr(rollup, name, noted(name, getattr(rollup, name), calls))
    Samples().sample(few, "value", "step", 0, None, 10)
    expected = calls.copy()
    calls.clear()
    Samples().sample(many, "value", "step", 0, None, 10)
    assert calls == expected != []


def noted(name, function, calls):
    def call(*args):
        calls.append(name)
        return function(*args)

    return call
