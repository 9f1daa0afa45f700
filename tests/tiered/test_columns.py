"""Columns straight out of chunks: no row of what is sealed is rendered or parsed, and what comes is what the rows would make."""

from __future__ import annotations

import pytest

from ml_dash import codec
from ml_dash.columns import from_rows
from ml_dash.errors import CorruptData
from ml_dash.model import METRICS, TRACKS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store import chunk, chunk_lines
from ml_dash.store.tiered import TieredStore
from ml_dash.testing import COLUMNS, check_columns, column_rows
from tests.tiered.tiers import Tiers

FIELDS = [*COLUMNS, "nobody"]


def archived(tiers: Tiers, kind: str, cuts: tuple[int, ...], hot: int) -> tuple[TieredStore, SeriesKey]:
    """The rows of `COLUMNS`, in chunks that end at `cuts`; the last `hot` are not archived."""
    store = tiers.store(threshold=1, patience=0.0)
    series = SeriesKey(store.put_run(RunKey("", "project", "run"), RunPatch()).id, kind, "table")
    rows, at = column_rows(), 0
    for cut in cuts:
        store.append([Batch(series, rows[at:cut], times=((0, 1_000 + at),))])
        while store.hot.due.count_documents({}):
            store.archiver.run_once()
        at = cut
    if hot:
        store.append([Batch(series, rows[at:], times=((0, 1_000 + at), (1, 2_000)))])
    with store.hot.session() as session:
        head = store.hot.heads_of([series_id := next(iter(store.hot.series_of_run(series.run)))], session)[series_id]
    assert (head.sealed, head.chunks) == (24 - hot, len(cuts))
    return store, series


@pytest.mark.parametrize("kind", [METRICS, TRACKS])
@pytest.mark.parametrize(("cuts", "hot"), [((24,), 0), ((8, 16, 24), 0), ((5, 6, 20), 4), ((), 24)])
def test_columns_of_chunks_are_those_of_their_rows(tiers: Tiers, kind: str, cuts: tuple[int, ...], hot: int) -> None:
    """Over ends of chunks and the seam, in any range; a page ends at the seam."""
    store, series = archived(tiers, kind, cuts, hot)
    for start in range(0, 25, 3):
        for stop in (*range(start, 26, 5), None):
            check_columns(store, series, FIELDS, start, stop, 24)
    if cuts:
        page = store.columns(series, FIELDS, 0, None)
        assert (page.start, page.count, page.total) == (0, 24 - hot, 24)
    store.close()


def test_no_row_of_a_chunk_is_made_for_its_columns(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are taken from the columns that they are in."""
    store, series = archived(tiers, METRICS, (12, 24), 0)
    fields = ["int", "float", "bool", "mixed", "seldom", "int, float", "late", "nobody", "text", "null"]
    expected = {name: from_rows(store.read, series, [name], 0, None).columns[name] for name in fields}

    def fail(*_: object) -> None:
        raise AssertionError

    for module, name in ((chunk, "lines"), (chunk_lines, "fill"), (codec, "field_values"), (codec, "render")):
        monkeypatch.setattr(module, name, fail)
    found = store.columns(series, fields, 0, None).columns
    assert {name: repr(column) for name, column in found.items()} == {
        name: repr(column) for name, column in expected.items()
    }
    store.close()


def test_columns_of_a_chunk_that_is_lost_say_so(tiers: Tiers) -> None:
    """As its rows do."""
    store, series = archived(tiers, METRICS, (24,), 0)
    store.cold.delete([key for key, _ in store.cold.keys("chunks/")])
    with pytest.raises(CorruptData, match="missing"):
        store.columns(series, ["int"], 0, None)
    store.close()
