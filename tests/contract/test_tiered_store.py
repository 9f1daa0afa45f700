"""TieredStore passes the contract over a real MongoDB and a real S3, archiving all the while: from 7 points on, so that most tests
read across the seam. What it stores is read back here by PyMongo and PyArrow, from the documents of docs/formats/tiers.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pymongo
import pytest
import zstandard

from ml_dash.model import LOGS, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.store.base import Store
from ml_dash.store.remote import RemoteStore
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tiered import TieredStore
from ml_dash.testing import StoreContract
from tests.contract import machine
from tests.server.live import live
from tests.services.s3 import Place
from tests.tiered.chunk_reader import rows_of
from tests.tiered.stored import look

QUICK: dict[str, Any] = {"threshold": 7, "patience": 0.0, "poll": 0.01, "lease": 5.0}


class Tiers:
    """A database and a prefix of a test's own, and an independent look at both."""

    def __init__(self, uri: str, place: Place) -> None:
        self.uri = uri
        self.place = place

    def open(self) -> TieredStore:
        return TieredStore(self.uri, self.place.url, endpoint=self.place.endpoint, **QUICK)

    def raw_rows(self, series: SeriesKey) -> list[dict[str, Any]]:
        """The lines of a series, as its chunks and buckets have them."""
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.uri)
        with client:
            found = look(client.get_default_database(), series_id(series))
        if found is None:
            return []
        sealed = found.head["sealed"]
        live = [bucket for bucket in found.buckets if int.from_bytes(bucket["_id"][16:], "big") >= sealed]
        return self._cold(found.entries, sealed, series.kind) + self._hot(live, sealed, series.kind)

    def _cold(self, entries: list[dict[str, Any]], sealed: int, kind: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for entry in entries:
            assert int.from_bytes(entry["_id"][16:], "big") == len(rows)
            data = bytes(self.place.store().get(entry["key"]).bytes())
            rows += chunk_rows(data, kind, len(rows))
            assert len(rows) == entry["stop"]
        assert len(rows) == sealed
        return rows

    def _hot(self, buckets: list[dict[str, Any]], sealed: int, kind: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for bucket in buckets:
            first = int.from_bytes(bucket["_id"][16:], "big")
            assert first == sealed + len(rows)
            lines = zstandard.ZstdDecompressor().decompress(bucket["z"]).split(b"\n")[:-1]
            assert len(lines) == bucket["n"] == sum(count for _, _, count, _ in bucket["p"])
            for index, line in enumerate(lines, first):
                rows.append(renumbered(json.loads(line), kind, index))
        return rows


def renumbered(line: dict[str, Any], kind: str, index: int) -> dict[str, Any]:
    key = "sequenceNumber" if kind == LOGS else "index"
    assert next(iter(line)) == key
    return {**line, key: index}


def chunk_rows(data: bytes, kind: str, first: int) -> list[dict[str, Any]]:
    """The rows of a Parquet object, with the key that lines begin with."""
    rows = rows_of(data)
    if kind == LOGS:
        return [{"sequenceNumber": index, **row} for index, row in enumerate(rows, first)]
    return [{"index": index, "data": row} for index, row in enumerate(rows, first)]


class TestTieredStore(StoreContract):
    @pytest.fixture(autouse=True)
    def tiers(self, fresh_database: Callable[[], str], s3_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        s3_place.set(monkeypatch)
        self.tiers_ = Tiers(fresh_database(), s3_place)

    def open(self, tmp_path: Path) -> Store:
        return self.tiers_.open()

    def reopen(self, tmp_path: Path) -> Store | None:
        return self.tiers_.open()

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        return self.tiers_.raw_rows(series)


class TestRemoteOverTiered(StoreContract):
    @pytest.fixture(autouse=True)
    def server(
        self, fresh_database: Callable[[], str], s3_place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """A server over tiers of the test's own."""
        s3_place.set(monkeypatch)
        self.tiers_ = Tiers(fresh_database(), s3_place)
        behind = self.tiers_.open()
        with live(create_app(behind)) as self.url:
            yield
        behind.close()

    def open(self, tmp_path: Path) -> Store:
        return RemoteStore(self.url)

    def reopen(self, tmp_path: Path) -> Store | None:
        return RemoteStore(self.url)

    def raw_rows(self, store: Store, series: SeriesKey) -> list[dict[str, Any]]:
        return self.tiers_.raw_rows(series)


class TieredMachine(machine.StoreMachine):
    """Each example has a database and a prefix of its own."""

    make: Callable[[], Tiers]

    def open(self) -> Store:
        self.tiers_ = type(self).make()
        return self.tiers_.open()

    def reopen(self) -> Store | None:
        return self.tiers_.open()


def test_tiered_machine(fresh_database: Callable[[], str], s3_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any calls in any order answer as MemoryStore does, with other handles on the same tiers in between."""
    s3_place.set(monkeypatch)
    TieredMachine.make = lambda: Tiers(fresh_database(), s3_place.fresh())
    hypothesis.stateful.run_state_machine_as_test(
        TieredMachine, settings=hypothesis.settings(machine.settings, max_examples=15)
    )
