"""The sample cache against a model that looks at every row, and what it may decode while it answers."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash.errors import InvalidInput
from ml_dash.model import SeriesKey
from ml_dash.store.sample_cache import SampleCache
from tests.unit.test_rollup import MISSING, arrays, check, check_x, numbers

KEY = SeriesKey("run", "metrics", "loss")
OTHER = SeriesKey("run", "metrics", "loss/2")
BASE = 10


class Rows:
    """A series in memory that remembers what was decoded. `columns`: field → list of values, or an array."""

    def __init__(self, identity=b"file 1", **columns):
        self.identity = identity
        self.columns = columns
        self.total = len(next(iter(columns.values())))
        self.calls = []

    def numbers(self, fields, start, stop):
        assert 0 <= start <= stop <= self.total
        self.calls.append((tuple(fields), start, stop))
        return {field: self.column(field, start, stop) for field in fields}

    def column(self, field, start, stop):
        column = self.columns.get(field, [MISSING] * self.total)[start:stop]
        return (column, np.ones(len(column), bool)) if isinstance(column, np.ndarray) else arrays(column)

    def decoded(self, field="y"):
        """Rows of the field decoded since this was last asked."""
        rows = sum(stop - start for fields, start, stop in self.calls if field in fields)
        self.calls.clear()
        return rows

    def grow(self, **columns):
        for field, values in columns.items():
            self.columns[field] += values
        self.total = len(next(iter(self.columns.values())))


def wave(length):
    return np.sin(np.arange(length) / 50) * np.arange(length)


def ask(cache, rows, start=0, stop=None, max_points=10, x=None, field="y", key=KEY):
    sample = cache.sample(key, rows, field, x, start, stop, max_points)
    assert len(sample) <= max_points
    end = min(rows.total if stop is None else stop, rows.total)
    if len(sample):
        assert sample.start[0] == start
        assert sample.stop[-1] == end
        assert (sample.start[1:] == sample.stop[:-1]).all()
        column = rows.columns.get(field, [MISSING] * rows.total)
        check(sample, column, [*sample.start.tolist(), end])
        if x is not None:
            check_x(sample, rows.columns.get(x, [MISSING] * rows.total))
    else:
        assert start >= end
    return sample


def short_cache(folder=None, **options):
    return SampleCache(folder, BASE, **({"file_from": 50, "block": 70} | options))


def files_of(folder):
    return sorted(folder.iterdir()) if folder.exists() else []


@st.composite
def series(draw, most=400):
    """Long columns out of short drawn ones, with a drawn stretch in the middle."""
    length = draw(st.integers(0, most))
    pattern = draw(st.lists(numbers, min_size=1, max_size=12))
    column = (pattern * (length // len(pattern) + 1))[:length]
    at = draw(st.integers(0, length))
    return (column[:at] + draw(st.lists(numbers, max_size=20)) + column[at:])[:length]


@settings(max_examples=60, deadline=None)
@given(st.data(), series(), series())
def test_any_sample_is_the_model(data, y, x):
    """Any range of any series, again and again with one cache."""
    length = min(len(y), len(x))
    rows, cache = Rows(y=y[:length], x=x[:length]), short_cache()
    for _ in range(5):
        ask(
            cache,
            rows,
            start=data.draw(st.integers(0, length + 5)),
            stop=data.draw(st.none() | st.integers(0, length + 5)),
            max_points=data.draw(st.integers(1, 30)),
            x=data.draw(st.sampled_from([None, "x", "y", "unknown"])),
        )


@settings(max_examples=40, deadline=None)
@given(st.data(), st.booleans())
def test_growing_step_by_step_is_the_model(tmp_path_factory, data, fresh):
    """With one cache, or each time with a new one over the same folder."""
    folder = tmp_path_factory.mktemp("cache")
    rows, cache = Rows(y=[], x=[]), short_cache(folder)
    for _ in range(data.draw(st.integers(1, 8))):
        more = data.draw(series(120))
        rows.grow(y=more, x=list(range(len(more))))
        cache = short_cache(folder) if fresh else cache
        ask(cache, rows, start=data.draw(st.sampled_from([0, 0, 3, 57])), x=data.draw(st.sampled_from([None, "x"])))


def test_rows_are_decoded_once():
    rows, cache = Rows(y=list(range(1000)), x=list(range(1000))), short_cache()
    ask(cache, rows)
    assert rows.decoded() == 1000
    ask(cache, rows)
    ask(cache, rows, start=100, stop=900)
    assert rows.decoded() == 0
    ask(cache, rows, start=95, stop=907)
    assert rows.decoded() == 5 + 7


def test_growth_costs_the_new_rows_and_one_span():
    rows, cache = Rows(y=list(range(1000))), short_cache()
    ask(cache, rows)
    rows.decoded()
    rows.grow(y=list(range(35)))
    ask(cache, rows)
    assert rows.decoded() == BASE + 35
    rows.grow(y=[1, 2])
    ask(cache, rows)
    assert rows.decoded() == BASE + 7


def test_both_fields_come_out_of_one_decoding():
    rows, cache = Rows(y=list(range(60)), x=list(range(60))), short_cache()
    ask(cache, rows, x="x", max_points=3)
    ask(cache, rows, x="x", max_points=60)
    ask(cache, rows, x="y", max_points=60)
    assert rows.calls == [(("y", "x"), 0, 60), (("y", "x"), 0, 60), (("y",), 0, 60)]


def test_a_field_that_lags_behind_is_caught_up_alone():
    rows, cache = Rows(y=list(range(500)), x=list(range(500))), short_cache(block=10_000)
    ask(cache, rows)
    rows.calls.clear()
    ask(cache, rows, x="x")
    assert rows.calls == [(("x",), 0, 500)]


def test_decoding_goes_in_blocks_of_whole_spans():
    rows, cache = Rows(y=list(range(300))), short_cache(block=75)
    ask(cache, rows)
    assert [(start, stop) for _, start, stop in rows.calls] == [(0, 70), (70, 140), (140, 210), (210, 280), (280, 300)]


def test_a_glance_at_the_end_does_not_decode_the_whole():
    """Until glances have cost as much as the whole would have."""
    rows, cache = Rows(y=list(range(1000))), short_cache()
    for _ in range(4):
        ask(cache, rows, start=800, stop=1000)
        assert rows.decoded() == 200
    ask(cache, rows, start=800, stop=1000)
    assert rows.decoded() == 1000
    ask(cache, rows, start=800, stop=1000)
    assert rows.decoded() == 0


def test_few_points_a_bucket_come_from_rows():
    rows, cache = Rows(y=list(range(1000))), short_cache()
    ask(cache, rows, start=500, stop=600, max_points=20)
    assert [call[1:] for call in rows.calls] == [(500, 570), (570, 600)]


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (1000, None), (2000, None), (500, 400), (2000, 3000)])
def test_an_empty_range_gives_an_empty_sample(start, stop):
    rows = Rows(y=list(range(1000)))
    sample = ask(short_cache(), rows, start=start, stop=stop, x="x")
    assert [len(array) for array in sample.to_dict().values()] == [0] * 15
    assert not rows.calls


def test_an_empty_series_gives_an_empty_sample():
    assert len(ask(short_cache(), Rows(y=[]))) == 0


@pytest.mark.parametrize(
    ("wrong", "text"), [({"start": -1}, "start: "), ({"stop": -1}, "stop: "), ({"max_points": 0}, "max_")]
)
def test_wrong_arguments_are_refused(wrong, text):
    with pytest.raises(InvalidInput, match=text):
        ask(short_cache(), Rows(y=[1, 2, 3]), **wrong)


def test_another_file_is_read_anew(tmp_path):
    cache = short_cache(tmp_path)
    ask(cache, Rows(y=list(range(500))))
    other = Rows(y=list(range(500, 0, -1)), identity=b"file 2")
    for tried in (cache, short_cache(tmp_path)):
        ask(tried, other)
    assert other.decoded() == 500 + BASE  # the second found the first one's file


def test_a_series_that_shrank_is_read_anew(tmp_path):
    cache = short_cache(tmp_path)
    ask(cache, Rows(y=list(range(500))))
    for tried in (cache, short_cache(tmp_path)):
        ask(tried, Rows(y=[7] * 300))


def test_a_file_written_over_in_place_is_read_anew(tmp_path):
    """Its inode and first line are as they were, its length is not."""
    cache = short_cache(tmp_path)
    ask(cache, Rows(y=list(range(500)), x=list(range(500))), x="x")
    for tried in (cache, short_cache(tmp_path)):
        ask(tried, Rows(y=[0, *range(600)], x=list(range(601))), x="x")


def test_series_and_fields_do_not_mix(tmp_path):
    """Also where one's name is how the other's begins, and for any text at all."""
    names = ("a", "ab", "", "\0", "ü", "\ud800", "a/../b")
    rows = Rows(**{name: [at] * 300 for at, name in enumerate(names)})
    other = Rows(**{name: [-at] * 300 for at, name in enumerate(names)})
    for cache in (short_cache(tmp_path), short_cache(tmp_path)):
        for name in names:
            ask(cache, rows, field=name)
            ask(cache, other, field=name, key=OTHER)
    assert len(files_of(tmp_path)) == 2 * len(names)


def test_a_new_process_decodes_only_what_the_file_lacks(tmp_path):
    rows = Rows(y=wave(25_000))
    cache = SampleCache(tmp_path)
    ask(cache, rows)
    assert len(files_of(tmp_path)) == 1
    rows.columns["y"] = wave(26_000)
    rows.total = 26_000
    rows.decoded()
    ask(SampleCache(tmp_path), rows)
    assert rows.decoded() == 100 + 1000


def test_short_series_leave_no_file(tmp_path):
    ask(SampleCache(tmp_path), Rows(y=wave(19_999)))
    assert not files_of(tmp_path)


def test_the_file_is_rewritten_after_a_hundredth_more(tmp_path):
    rows, cache = Rows(y=list(range(1000))), short_cache(tmp_path)
    ask(cache, rows)
    (file,) = files_of(tmp_path)
    before = file.read_bytes()
    rows.grow(y=[0] * 9)
    ask(cache, rows)
    assert file.read_bytes() == before
    rows.grow(y=[0])
    ask(cache, rows)
    assert len(file.read_bytes()) == len(before) + 96


def test_a_damaged_file_is_ignored_and_replaced(tmp_path):
    """At every 7th byte, and cut at every 7th."""
    rows = Rows(y=list(range(60)))
    ask(short_cache(tmp_path), rows, max_points=3)
    (file,) = files_of(tmp_path)
    whole = file.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for bad in [*damaged, *(whole[:at] for at in range(0, len(whole), 7)), whole + b"\0", whole + bytes(96)]:
        file.write_bytes(bad)
        rows.calls.clear()
        ask(short_cache(tmp_path), rows, max_points=3)
        assert rows.decoded() == 60
        assert file.read_bytes() == whole
    assert files_of(tmp_path) == [file]


def test_a_file_of_another_base_or_version_is_ignored(tmp_path):
    rows = Rows(y=list(range(600)))
    ask(SampleCache(tmp_path, 20, file_from=50), rows)
    ask(short_cache(tmp_path), rows)
    (file,) = files_of(tmp_path)
    data = bytearray(file.read_bytes())
    struct.pack_into("<I", data, 8, 2)
    file.write_bytes(data)
    rows.calls.clear()
    ask(short_cache(tmp_path), rows)
    assert rows.decoded() == 600


def test_a_file_from_elsewhere_is_ignored(tmp_path):
    """One field's file under the name of another's."""
    rows = Rows(y=list(range(600)), x=[1] * 600)
    ask(short_cache(tmp_path / "a"), rows)
    ask(short_cache(tmp_path / "b"), rows, field="x")
    (mine,), (theirs,) = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    mine.write_bytes(theirs.read_bytes())
    ask(short_cache(tmp_path / "a"), rows)


def test_a_folder_that_cannot_be_written_is_no_matter(tmp_path):
    (tmp_path / "file").write_text("in the way")
    rows, cache = Rows(y=list(range(600))), short_cache(tmp_path / "file" / "cache")
    ask(cache, rows)
    ask(cache, rows)
    assert rows.decoded() == 600


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    ask(short_cache(tmp_path), Rows(y=list(range(600))))
    assert not files_of(tmp_path)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(short_cache(None), Rows(y=list(range(600))))
    assert not files_of(tmp_path)


def test_memory_is_bounded_and_the_least_recently_used_goes():
    rows = Rows(a=[1] * 1000, b=[2] * 1000, c=[3] * 1000)
    one = 100 * 96 + 1024
    cache = short_cache(memory=2 * one)
    for field in "abac":
        ask(cache, rows, field=field)
    assert cache._used == 2 * one
    rows.calls.clear()
    ask(cache, rows, field="a")
    ask(cache, rows, field="c")
    assert not rows.calls
    ask(cache, rows, field="b")
    assert rows.decoded("b") == 1000


def test_one_rollup_larger_than_the_memory_still_serves():
    rows, cache = Rows(y=list(range(1000))), short_cache(memory=1)
    ask(cache, rows)
    ask(cache, rows)
    assert rows.decoded() == 1000


def test_what_the_source_raises_comes_through_and_is_forgotten():
    class Broken(Rows):
        def numbers(self, fields, start, stop):
            raise OSError("gone")

    cache = short_cache()
    with pytest.raises(OSError, match="gone"):
        ask(cache, Broken(y=list(range(1000))))
    ask(cache, Rows(y=list(range(1000))))


def test_threads_share_a_cache(tmp_path):
    """A series that grows under many readers is still decoded once, and every answer is right."""
    rows, cache = Rows(y=[], x=[]), short_cache(tmp_path)
    for _ in range(5):
        rows.grow(y=list(range(200)), x=[1.5] * 200)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda x: ask(cache, rows, x=x), [None, "x", "y", None] * 4))
    assert rows.decoded() <= 1000 + 4 * BASE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_samples_though_a_thread_held_the_lock():
    inside, leave = threading.Event(), threading.Event()

    class Slow(Rows):
        def numbers(self, fields, start, stop):
            inside.set()
            leave.wait(30)
            return super().numbers(fields, start, stop)

    cache = short_cache()
    thread = threading.Thread(target=ask, args=(cache, Slow(y=list(range(1000)))))
    thread.start()
    assert inside.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            ask(cache, Rows(y=list(range(1000))))
        except BaseException:
            os._exit(1)
        os._exit(0)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_sample_of_held_rollups_takes_milliseconds():
    rows, cache = Rows(y=wave(1_000_000), x=np.arange(1_000_000.0)), SampleCache(None)

    def timed(max_points=1000):
        began = time.perf_counter()
        cache.sample(KEY, rows, "y", "x", 0, None, max_points)
        return time.perf_counter() - began

    timed()
    assert min(timed() for _ in range(5)) < 0.005
