"""``ml-dash server --check``: whether the two tiers are fit for a server, before there is one. Starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ml_dash.errors import InvalidInput
from ml_dash.server.settings import Settings
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.tier_check import Finding, examine

_SECONDS = 5.0
"""How long MongoDB may take to answer; whoever waits is a person."""


def check(settings: Settings) -> Iterator[Finding]:
    """What is found, as it is found. Raises `InvalidInput`."""
    if settings.mongo is None or settings.s3 is None:
        raise InvalidInput(
            "--check looks at MongoDB and S3: give --mongo and --s3. For a folder there is `ml-dash doctor`."
        )
    with (
        closing(Hot(settings.mongo, timeout=_SECONDS)) as hot,
        closing(Cold(settings.s3, endpoint=settings.s3_endpoint)) as cold,
    ):
        yield from examine(hot, cold)
