"""References as a shell user writes them, ``metrics.train/loss.acc``: their value in a run, and how a filter spells them. Pure.

The filter language (`ml_dash.query`) takes names beyond letters and digits in brackets only, which a shell makes awkward;
between the dots of a column or sort they are plain here. Brackets are taken as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_dash.errors import InvalidInput
from ml_dash.model import METRICS, TRACKS, Run
from ml_dash.query import last_value

PARAMS = "params"
_PART = re.compile(r"""\["([^"]*)"\]|\['([^']*)'\]|\.?([^\s.\[\]()'"]+)""")
_PLAIN = re.compile(r"""[^\s\[\]()'"]+""")
_FIELDS: dict[str, Callable[[Run], Any]] = {
    "name": lambda run: run.key.name,
    "project": lambda run: run.key.project,
    "workspace": lambda run: run.key.project,
    "id": lambda run: run.id,
    "description": lambda run: run.description,
    "folder": lambda run: run.folder,
    "tags": lambda run: ", ".join(run.tags),
    "created_at": lambda run: run.created_at,
    "updated_at": lambda run: run.updated_at,
}


class Reference:
    """One reference. `text` is as the user wrote it. Raises `InvalidInput` for what is none."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        parts = [next(group for group in match.groups() if group is not None) for match in _PART.finditer(self.text)]
        grouped = bool(parts) and parts[0] in (PARAMS, METRICS, TRACKS)
        if not parts or _PART.sub("", self.text) or grouped != (len(parts) > 1) or not (grouped or parts[0] in _FIELDS):
            known = ", ".join(["params.<name>", "metrics.<name>", "metrics.<name>.<field>", "tracks.<name>", *_FIELDS])
            raise InvalidInput(
                f"{text!r} is no column; columns are {known}. For example: --columns params.lr,metrics.loss"
            )
        self.root, *self.path = parts

    def __call__(self, run: Run) -> Any:
        """The value in a run that has its series, None where there is none."""
        if self.root == PARAMS:
            return run.params.get(".".join(self.path))
        if self.root not in (METRICS, TRACKS):
            return _FIELDS[self.root](run)
        rows = {info.name: info.last for info in run.series or () if info.kind == self.root}
        for stop in range(len(self.path), 0, -1):
            name = ".".join(self.path[:stop])
            if name in rows:
                return _inside(rows[name], self.path[stop:])
        return None

    @property
    def needs_series(self) -> bool:
        """Whether a run has to come with its series."""
        return self.root in (METRICS, TRACKS)


def _inside(row: Any, fields: list[str]) -> Any:
    if not fields:
        return last_value(row)
    for field in fields:
        row = row.get(field) if isinstance(row, Mapping) else None
    return row


def as_sort(text: str) -> str:
    """The sort `text` as `ml_dash.query` reads it: names go into brackets. What is no reference of ours stays as it is."""
    minus, rest = ("-", text.strip()[1:]) if text.strip().startswith("-") else ("", text.strip())
    root, *path = rest.split(".")
    if root not in (PARAMS, METRICS, TRACKS) or not all(map(_PLAIN.fullmatch, path)):
        return text
    return minus + root + "".join(f'["{part}"]' for part in path)
