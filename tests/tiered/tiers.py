"""Tiers: the database and the bucket of one test, and what may be started over them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_dash.store.tiered import TieredStore
from tests.services.s3 import Place
from tests.tiered.servers import QUICK, Archiving, Servers


@dataclass
class Tiers:
    """A database and a prefix that nobody else uses."""

    uri: str
    place: Place
    folder: Path

    def store(self, **options: Any) -> TieredStore:
        """In this process; without an archiver unless `archive` is True."""
        return TieredStore(
            self.uri, self.place.url, endpoint=self.place.endpoint, **(QUICK | {"archive": False} | options)
        )

    def servers(self, count: int, **options: Any) -> Servers:
        return Servers(self.uri, self.place, self.folder, count, **options)

    def archiving(self, **options: Any) -> Archiving:
        return Archiving(self.uri, self.place, self.folder, **options)
