"""docs/deployment.md and the files in deploy/ name variables, figures and limits that there are."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from ml_dash.cli.app import app
from ml_dash.server import polled_tokens, shared_metrics
from ml_dash.server.metrics import Metrics
from ml_dash.server.settings import Settings
from ml_dash.store.counts import Counts
from ml_dash.store.hot import TIMEOUT
from tests.docs.pages import PROJECT, page

GUIDE = page("docs/deployment.md")
FILES = sorted(path for path in (PROJECT / "deploy").iterdir() if path.is_file() and not path.name.startswith(".env"))


def variables() -> set[str]:
    """Every variable that an option of a command has."""
    found, left = set(), [get_command(app)]
    while left:
        command = left.pop()
        left += getattr(command, "commands", {}).values()
        for parameter in command.params:
            given = parameter.envvar or ()
            found |= {given} if isinstance(given, str) else set(given)
    return found


@pytest.mark.parametrize(
    "text", [GUIDE.text, *(path.read_text() for path in FILES)], ids=["guide", *(p.name for p in FILES)]
)
def test_every_variable_is_an_option_s(text: str) -> None:
    assert set(re.findall(r"\bML_DASH_[A-Z0-9_]+", text)) <= variables()


def test_every_figure_is_told() -> None:
    told = {family.name for family in Metrics(Counts()).registry.collect()}
    named = set(re.findall(r"\bml_dash_[a-z_]+", GUIDE.text)) - {"ml_dash"}
    assert {re.sub(r"_(total|count|sum|bucket)$", "", name) for name in named} <= told


def test_every_figure_of_a_store_is_named() -> None:
    """Whoever watches a server finds what there is to watch."""
    families = {family.name for family in Counts().families()}
    assert {name for name in families if name not in GUIDE.text} == set()


def test_every_file_is_linked() -> None:
    linked = {link.partition("deploy/")[2] for link in GUIDE.links() if "deploy/" in link}
    assert linked | {"ml-dash-folder.service"} >= {path.name for path in FILES}


def test_limits_are_those_of_the_page() -> None:
    assert f"waits at most {TIMEOUT:.0f} s for a primary" in GUIDE.text
    assert f"could not look for {polled_tokens.PATIENCE:.0f} s lets nobody in" in GUIDE.text
    assert f"they are at most {shared_metrics.EVERY:.0f} s old" in GUIDE.text
    assert f"(`--stop-timeout`, {Settings(store='x').stop} s)" in GUIDE.text
