"""Every link to a file of the repository resolves, its heading included; every page can be reached from README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, names, page

ALSO = ["CONTRIBUTING.md", "CHANGELOG.md", *(["bench/README.md"] if (PROJECT / "bench/results").exists() else [])]
"""Outside the documents. The benchmarks' page links to results, which a first `make bench` makes."""


@pytest.mark.parametrize("name", [*names(), *ALSO])
def test_links_resolve(name: str) -> None:
    broken = [link for link in page(name).links() if not _resolves(name, link)]
    assert not broken


def _resolves(name: str, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return True
    target, _, heading = link.partition("#")
    path = (page(name).folder / target) if target else PROJECT / name
    if not path.exists():
        return False
    return not heading or heading in page(_name(path)).anchors()


def _name(path: Path) -> str:
    return Path(os.path.normpath(path)).relative_to(PROJECT).as_posix()


def test_every_page_is_reached_from_the_readme() -> None:
    reached, left = set(), ["README.md"]
    while left:
        name = left.pop()
        if name in reached or not name.endswith(".md") or not (PROJECT / name).is_file():
            continue
        reached.add(name)
        targets = (link.partition("#")[0] for link in page(name).links() if "://" not in link)
        left += [_name(page(name).folder / target) for target in targets if target]
    assert set(names()) - reached == set()
