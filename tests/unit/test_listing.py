"""What a listing keeps of series is used as long as it is so, and no longer."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from ml_dash.codec import encode_row
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store.listing import RACY
from ml_dash.store.local import LocalStore
from ml_dash.times import iso


def test_times_that_come_after_their_points(tmp_path: Path) -> None:
    """A writer keeps times for some seconds: who described the series before hears of them all the same."""
    series = SeriesKey("", METRICS, "loss")
    with closing(LocalStore(tmp_path)) as writer, closing(LocalStore(tmp_path)) as reader:
        series = series._replace(run=writer.put_run(RunKey("", "project", "run"), RunPatch()).id)
        writer.append([Batch(series, [encode_row({"value": n})], times=((0, 1_000 * n),)) for n in (1, 2)])
        writer._series.write_ticks()
        writer.append([Batch(series, [encode_row({"value": 3})], times=((0, 3_000),))])
        time.sleep(2 * RACY)  # what was written just now is looked at anew in any case
        assert [info.last_at for info in reader.describe(series.run)] == [iso(2_000)]
        writer._series.write_ticks()
        (info,) = reader.describe(series.run)
        assert (info.last_at, info.count) == (iso(3_000), 3)


def _settle() -> None:
    time.sleep(2 * RACY)


@pytest.mark.parametrize("name", ["a/data/data", "b/deep/down", "a/data/more/data"])
def test_series_that_begin_below_others(tmp_path: Path, name: str) -> None:
    """In a folder that was a series alone, or that was made long before the series in it."""
    with closing(LocalStore(tmp_path)) as writer, closing(LocalStore(tmp_path)) as reader:
        run = writer.put_run(RunKey("", "project", "run"), RunPatch())

        def begun(name: str) -> None:
            writer.append([Batch(SeriesKey(run.id, METRICS, name), [encode_row({"value": 1})])])

        def told() -> tuple[list[str], list[str]]:
            (listed,) = reader.find_runs(RunQuery(series=True))
            return [info.name for info in reader.describe(run.id)], [info.name for info in listed.series or []]

        for first in ("a/data", "b/loss"):
            begun(first)
        _settle()
        assert told() == (["a/data", "b/loss"],) * 2
        place = os.path.join(writer._folder(run.id).path, METRICS, *name.split("/")[:-1])
        os.makedirs(place, exist_ok=True)
        _settle()
        told()
        begun(name)
        _settle()
        assert told() == (sorted(["a/data", "b/loss", name]),) * 2
