"""The run and the series that a user means, opened to read. No output, no typer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, NoReturn

from ml_dash import codec
from ml_dash.cli.places import Where, closest, folders_of
from ml_dash.errors import InvalidInput, NotFound
from ml_dash.model import LOGS, Run, RunKey, RunQuery, SeriesInfo, SeriesKey
from ml_dash.place import Place
from ml_dash.query import AXES
from ml_dash.store.base import Store
from ml_dash.store.run_folders import run_at

ID_PREFIX = 6
"""Characters of an id that will do; less is more likely a misspelled name."""
_ENDS = 20
"""Points at either end of a series by which its fields are told."""


class Opened(NamedTuple):
    """A run, and the store of the place that has it."""

    place: Place
    store: Store
    run: Run

    @property
    def label(self) -> str:
        """``project/name``."""
        return f"{self.run.key.project}/{self.run.key.name}"

    @property
    def path(self) -> str:
        """The run's folder, or its address at the server."""
        return self.place.path(self.run.key) or self.place.url(self.run.key) or ""

    def series(self, kind: str, name: str) -> SeriesKey:
        """The key of a series of the run."""
        return SeriesKey(self.run.id, kind, name)


# ---------------------------------------------------------------- the place and its runs


def open_place(where: Where) -> tuple[Place, Store]:
    """The place that the user means, and its store. Raises `NotFound` where there is no such folder."""
    place = where.place()
    return place, place.open()


def find_run(where: Where, text: str) -> Opened:
    """The run that `text` names: ``name``, ``project/name``, an id or the beginning of one, the path of a run's folder.

    Raises `NotFound` with the closest names, `InvalidInput` that lists the candidates, and what is wrong with a damaged run.
    """
    return _Runs(where).find(text)


def find_runs(where: Where, texts: Sequence[str]) -> list[Opened]:
    """`find_run` for each, a run that is named twice only once."""
    runs = _Runs(where)
    found: dict[tuple[str, RunKey], Opened] = {}
    for text in texts:
        opened = runs.find(text)
        found.setdefault((os.path.realpath(opened.path), opened.run.key), opened)
    return list(found.values())


class _Runs:
    """The runs of the place that the user means, listed once. A folder need not be there where runs are named by their paths."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._place = where.named()
        there = self._place.root is None or os.path.isdir(self._place.root)
        self._store = self._place.open() if there else None
        with warnings.catch_warnings():
            # Runs that are left out of the list are nobody's concern, unless one of them is meant: `_damaged`.
            warnings.simplefilter("ignore")
            self._runs = self._store.find_runs(RunQuery()) if self._store is not None else []

    def find(self, text: str) -> Opened:
        found = self._matching(text)
        if len(found) > 1:
            _ambiguous(text, found)
        if found and self._store is not None:
            return Opened(self._place, self._store, self._store.get_run(found[0].key))
        at = run_at(text)
        if at is not None:
            place = Place(at[0], None, None)
            store = place.open()
            return Opened(place, store, store.get_run(at[1]))
        return self._damaged(text)

    def _matching(self, text: str) -> list[Run]:
        exact = [run for run in self._runs if text in (run.key.name, f"{run.key.project}/{run.key.name}", run.id)]
        if exact or len(text) < ID_PREFIX:
            return exact
        return [run for run in self._runs if run.id.startswith(text)]

    def _damaged(self, text: str) -> Opened:
        """A run that could not be listed raises what is wrong with it; any other, `NotFound`."""
        place, store = open_place(self._where)
        for key, _ in folders_of(place.root, text) if place.root is not None else ():
            return Opened(place, store, store.get_run(key))
        if not self._runs:
            raise NotFound(f"there is no run {text!r}: {str(place)!r} holds no runs.")
        names = [name for run in self._runs for name in (run.key.name, f"{run.key.project}/{run.key.name}")]
        raise NotFound(f"there is no run {text!r} in {str(place)!r}.{closest(text, names)} `ml-dash list` shows all.")


def _ambiguous(text: str, runs: list[Run]) -> NoReturn:
    known = "\n".join(f"  {run.key.project}/{run.key.name}  ({run.id})" for run in runs)
    raise InvalidInput(f"{text!r} may be any of these; give project/name:\n{known}")


# ---------------------------------------------------------------- series


def find_series(opened: Opened, names: Iterable[str] | None, infos: list[SeriesInfo] | None = None) -> list[SeriesInfo]:
    """The series that are named, or that match a pattern; all but our own if none is. Raises `NotFound`."""
    infos = opened.store.describe(opened.run.id) if infos is None else infos
    wanted = list(names or ())
    if not wanted:
        return [info for info in infos if not info.name.startswith("_system/")]
    found: dict[tuple[str, str], SeriesInfo] = {}
    for name in wanted:
        matching = [info for info in infos if info.name == name] or [i for i in infos if fnmatchcase(i.name, name)]
        if not matching:
            raise _no_series(opened, name, infos)
        found.update({(info.kind, info.name): info for info in matching})
    return list(found.values())


def _no_series(opened: Opened, name: str, infos: list[SeriesInfo]) -> NotFound:
    names = [info.name for info in infos]
    if not names:
        return NotFound(f"run {opened.label} has no series yet.")
    some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return NotFound(f"run {opened.label} has no series {name!r}.{closest(name, names)} It has {some}.")


def last_points(opened: Opened, kind: str, name: str, count: int) -> tuple[list[dict[str, Any]], int]:
    """The last `count` points, decoded, and the series' length."""
    key = opened.series(kind, name)
    total = opened.store.read(key, 0, 0).total
    page = opened.store.read(key, max(0, total - count), count)
    return codec.decode_page(page), total


def fields_of(opened: Opened, info: SeriesInfo) -> list[str]:
    """The numeric fields of a series that say what was measured: "value" first, by its first and last points."""
    key = opened.series(info.kind, info.name)
    ends = [*codec.decode_page(opened.store.read(key, 0, _ENDS)), *last_points(opened, info.kind, info.name, _ENDS)[0]]
    rows = [point if info.kind == LOGS else point["data"] for point in ends]
    names = dict.fromkeys(field for row in rows for field, value in row.items() if is_number(value))
    measured = [name for name in names if name not in AXES] or list(names)
    return sorted(measured, key=lambda name: name != "value")


def is_number(value: Any) -> bool:
    """Whether a chart can show it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
