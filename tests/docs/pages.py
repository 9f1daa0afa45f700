"""The documents as the tests see them: blocks, links, headings. What the blocks mean is said in `page_runner`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^ {0,3}(`{3,})(.*)$")


class Block(NamedTuple):
    """A fenced block: `info` is what follows the opening fence, `line` the number of the first line inside."""

    info: str
    text: str
    line: int


class Page:
    """One document."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        pieces = list(_pieces(text))
        self.blocks = [piece for piece in pieces if isinstance(piece, Block)]
        self.prose = "\n".join(piece for piece in pieces if isinstance(piece, str))

    @property
    def folder(self) -> Path:
        return (PROJECT / self.name).parent

    def anchors(self) -> set[str]:
        """What "#…" may name, as GitHub makes it from headings."""
        titles = re.findall(r"^#{1,6} +(.*?) *$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def links(self) -> list[str]:
        """The targets of [text](target), code aside."""
        return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", self.prose))

    def code(self) -> str:
        """Everything that is written as code: blocks, and spans between backticks."""
        return "\n".join([*(block.text for block in self.blocks), *re.findall(r"`([^`\n]+)`", self.prose)])


def _pieces(text: str) -> Iterator[str | Block]:
    fence, info, start = "", "", 0
    held: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = _FENCE.match(line)
        if not fence and not found:
            yield line
        elif not fence and found:
            fence, info, start, held = found[1], found[2].strip(), number + 1, []
        elif found and found[1].startswith(fence) and not found[2].strip():
            yield Block(info, "".join(f"{one}\n" for one in held), start)
            fence = ""
        else:
            held.append(line)
    assert not fence, f"the block that begins in line {start - 1} does not end"


def page(name: str) -> Page:
    return Page(name, (PROJECT / name).read_text())


def names() -> list[str]:
    """README.md and every page below docs/."""
    return ["README.md", *(path.relative_to(PROJECT).as_posix() for path in sorted((PROJECT / "docs").rglob("*.md")))]
