"""The figures that docs/guides/security.md and docs/guides/cli.md name are those that the server goes by."""

from __future__ import annotations

import pytest

from ml_dash.server.auth import Attempts
from ml_dash.server.connection import Waits
from ml_dash.server.edge import MAX_HEAD
from ml_dash.server.limits import MB, Limits
from ml_dash.server.readiness import MIN_FREE
from ml_dash.server.session import LARGEST
from ml_dash.server.settings import Settings
from tests.docs.pages import page

LIMITS = Limits()
USUAL = Settings(store="runs")
GUIDE = page("docs/guides/security.md").text
COMMAND = page("docs/guides/cli.md").text


@pytest.mark.parametrize(
    "row",
    [
        f"| path, query and headers | {MAX_HEAD // 1024} KB; {Waits().head:.0f} s to send them |",
        f"| an append's body | {LIMITS.body // MB} MB (`--max-body`), {LIMITS.decoded // MB} MB decompressed |",
        f"| another JSON body | {LIMITS.record // MB} MB |",
        f"| the body with which somebody signs in | {LARGEST // 1024} KB |",
        f"| all bodies in memory together | {LIMITS.in_flight // MB} MB, then 503: come again |",
        f"| a client that pauses in the middle of a body | {LIMITS.stall:.0f} s |",
        f"| a client that takes nothing of its answer | {Waits().reading:.0f} s at most |",
        f"| a connection between two requests | {USUAL.keep_alive} s (`--keep-alive`) |",
    ],
)
def test_limits_are_those_of_the_page(row: str) -> None:
    assert row in GUIDE


def test_other_figures_are_those_of_the_pages() -> None:
    assert f"after {Attempts()._limit} failures a minute" in GUIDE
    assert Attempts()._window == 60
    assert Waits().body > LIMITS.stall, "the app answers before the connection is cut"
    assert f"has less than {MIN_FREE // MB} MB left" in COMMAND
    assert USUAL.limits() == LIMITS
    assert f"once it is told to stop. Else {USUAL.stop}" in COMMAND
    assert f"Else {USUAL.port}; 0 takes a free one" in COMMAND
