"""What a server is told when it is started: sizes, names, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import InvalidInput
from ml_dash.server.settings import Settings, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64MB", 64 << 20), ("64mib", 64 << 20), ("1 GB", 1 << 30), ("10k", 10 << 10), ("2T", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size("--max-body", text) == size


@pytest.mark.parametrize("text", ["", "0", "MB", "-1MB", "1.5MB", "1 PB", "1MB MB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput, match="--max-body: expected a size such as 64MB"):
        parse_size("--max-body", text)


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidInput, match="log level: expected one of debug, info, warning, error; got 'loud'"):
        Settings(store="x", log_level="loud")
    for host in ("a b", "https://example.com", "example.com:443", ""):
        with pytest.raises(InvalidInput, match="allowed host: expected a name or address without a port"):
            Settings(store="x", allowed_hosts=(host,))
    assert Settings(store="x", max_connections=7).connections() == 7
    assert 16 <= Settings(store="x").connections() <= 10_000


def test_a_larger_body_is_given_room() -> None:
    limits = Settings(store="x", max_body=1 << 30, max_file=5).limits()
    assert (limits.body, limits.file) == (1 << 30, 5)
    assert limits.decoded >= limits.body
    assert limits.in_flight >= limits.body + limits.decoded


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "--store with a folder, or --mongo and --s3"),
        ({"mongo": "mongodb://x"}, "--mongo and --s3 come together.*give --s3 too"),
        ({"s3": "s3://b"}, "--mongo and --s3 come together.*give --mongo too"),
        ({"s3_endpoint": "http://x"}, "--mongo and --s3 come together.*give --mongo and --s3 too"),
        ({"mongo": "mongodb://x", "s3": ""}, "give --s3 too"),
        (
            {"mongo": "mongodb://x", "s3": "s3://b", "store": "runs"},
            "--store is a folder, --mongo and --s3 are the two tiers",
        ),
        ({"store": "runs", "workers": 2}, "--workers: one process serves a folder; got 2"),
        ({"mongo": "mongodb://x", "s3": "s3://b", "workers": 0}, "--workers: expected 1 or more; got 0"),
    ],
)
def test_a_server_has_one_place(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Settings(**given)


def test_what_is_served_is_told_without_a_password(tmp_path: Path) -> None:
    assert Settings(store=str(tmp_path)).place == str(tmp_path)
    told = Settings(mongo="mongodb://user:secret@host/db", s3="s3://bucket/prefix").place
    assert told == "MongoDB and s3://bucket/prefix"


def test_appends_to_a_database_are_under_way_beside_each_other() -> None:
    """A group that waits for the network keeps nobody waiting; one that waits for a disk keeps the others together."""
    tiered = Settings(mongo="mongodb://x", s3="s3://b").limits()
    assert tiered.slow < 0.01 < Settings(store="x").limits().slow
