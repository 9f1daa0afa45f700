"""What a server is told when it is started: sizes, names, limits."""

from __future__ import annotations

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
