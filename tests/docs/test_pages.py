"""Every page runs as it is written: each python block, in order, in an empty folder; outputs and files are those shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import Page, names, page
from tests.server.processes import ServerProcess
from tests.services.s3 import Place

RUNNER = Path(__file__).with_name("page_runner.py")
PASTED = {"docs/guides/cli.md"}
"""Pages whose terminal output is of runs that are not made on the page; tests/cli looks after those."""
SERVED = {"README.md", "docs/guides/remote.md"}
TIERED = "docs/guides/cold-bucket.md"
"""Pages that speak to a server at the address that a server has by default; here it is at another one. Behind that of TIERED are
MongoDB and S3, and the page reads a bucket of its own."""
DEFAULT = "http://localhost:3000"
DEFAULT_PLACE = "s3://my-bucket/ml-dash"
COMMAND = [sys.executable, "-W", "error::RuntimeWarning", "-W", "error::ResourceWarning", str(RUNNER)]


@pytest.mark.parametrize("name", [name for name in names() if name != TIERED])
def test_page_runs_as_it_is_written(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    with served(name, tmp_path / "served") as url:
        document = page(name)
        blocks = [block._replace(text=block.text.replace(DEFAULT, url)) for block in document.blocks]
        document.blocks = blocks
        assert not complaint(document, environment, tmp_path / "page")


@contextmanager
def served(name: str, folder: Path) -> Iterator[str]:
    """The address of a server for the page, if it speaks to one."""
    if name not in SERVED:
        yield DEFAULT
        return
    with ServerProcess(folder) as server:
        yield server.url.replace("127.0.0.1", "localhost")


def test_page_reads_the_cold_bucket(
    fresh_database: Callable[[], str], s3_place: Place, environment: dict[str, str], tmp_path: Path
) -> None:
    """The page about a bucket's objects, over real ones: what it shows needs nothing of ours to be read."""
    (tmp_path / "page").mkdir()
    document = page(TIERED)
    tiers = {"ML_DASH_MONGO": fresh_database(), "ML_DASH_S3": s3_place.url} | s3_place.env
    with ServerProcess(None, env=tiers) as server:
        changed = {DEFAULT: server.url, DEFAULT_PLACE: s3_place.url}
        document.blocks = [block._replace(text=replaced(block.text, changed)) for block in document.blocks]
        assert not complaint(document, environment | s3_place.env, tmp_path / "page")


def replaced(text: str, changed: dict[str, str]) -> str:
    for old, new in changed.items():
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```python\n1 + 1  # → 3\n```", "line 2"),
        ("```python\nif True:\n    1 + 1  # → 3\n```", "line 3"),
        ("```python\nx = 1  # → 1\n```", "does not follow an expression"),
        ("```python\nprint('a')\n```\n\n```text\nb\n```", "line 6"),
        ("```console\n$ echo a; echo c\na\n```", "line 2"),
    ],
)
def test_page_that_is_wrong_is_found(text: str, expected: str, environment: dict[str, str], tmp_path: Path) -> None:
    """What the runner would not see, no page could be trusted for."""
    assert expected in complaint(Page("wrong.md", text), environment, tmp_path)


def complaint(document: Page, environment: dict[str, str], folder: Path) -> str:
    """What is not as the page says; "" if it is."""
    blocks = [block for block in document.blocks if block.info != "console" or document.name not in PASTED]
    given = json.dumps({"page": document.name, "blocks": blocks})
    own = environment | {"XDG_STATE_HOME": str(folder.parent / "state")}
    done = subprocess.run(COMMAND, input=given, cwd=folder, env=own, capture_output=True, text=True)
    return done.stderr + done.stdout if done.returncode else ""
