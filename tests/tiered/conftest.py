"""The tiers of one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.s3 import Place


@pytest.fixture
def tiers(fresh_database: Callable[[], str], s3_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """See tests/tiered/tiers.py."""
    from tests.tiered.tiers import Tiers

    s3_place.set(monkeypatch)
    return Tiers(fresh_database(), s3_place, tmp_path)


@pytest.fixture
def shop(tiers) -> Iterator[object]:
    """See tests/tiered/shop.py; filled."""
    from tests.tiered.shop import Shop

    made = Shop(tiers)
    made.fill()
    yield made
    made.close()
