"""The run and the series that a user means, opened to read. No output, no typer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, NoReturn

from ml_dash import codec
from ml_dash.cli.places import closest, default_folder, folders_of, run_at, run_path
from ml_dash.errors import InvalidInput, NotFound
from ml_dash.model import LOGS, Run, RunKey, RunQuery, SeriesInfo, SeriesKey
from ml_dash.query import AXES
from ml_dash.store import open_store
from ml_dash.store.base import Store

ID_PREFIX = 6
"""Characters of an id that will do; less is more likely a misspelled name."""
_ENDS = 20
"""Points at either end of a series by which its fields are told."""


class Opened(NamedTuple):
    """A run, and the store over the folder `root` that has it."""

    root: str
    store: Store
    run: Run

    @property
    def label(self) -> str:
        """``project/name``."""
        return f"{self.run.key.project}/{self.run.key.name}"

    @property
    def path(self) -> str:
        """The run's folder."""
        return run_path(os.path.abspath(self.root), self.run.key)

    def series(self, kind: str, name: str) -> SeriesKey:
        """The key of a series of the run."""
        return SeriesKey(self.run.id, kind, name)


# ---------------------------------------------------------------- the folder and its runs


def open_folder(folder: str | None) -> tuple[str, Store]:
    """The folder that the user means, and its store. Raises `NotFound` where there is none."""
    root = folder if folder is not None else default_folder()
    if not os.path.isdir(root):
        hint = "" if folder is not None else " Give --dir, set ML_DASH_DIR, or go to the folder above it."
        raise NotFound(f"there is no folder {root!r} here ({os.path.abspath(root)}).{hint}")
    return root, open_store(root)


def find_run(folder: str | None, text: str) -> Opened:
    """The run that `text` names: ``name``, ``project/name``, an id or the beginning of one, the path of a run's folder.

    Raises `NotFound` with the closest names, `InvalidInput` that lists the candidates, and what is wrong with a damaged run.
    """
    return _Folder(folder).find(text)


def find_runs(folder: str | None, texts: Sequence[str]) -> list[Opened]:
    """`find_run` for each, a run that is named twice only once."""
    runs = _Folder(folder)
    found: dict[tuple[str, RunKey], Opened] = {}
    for text in texts:
        opened = runs.find(text)
        found.setdefault((os.path.realpath(opened.root), opened.run.key), opened)
    return list(found.values())


class _Folder:
    """The folder that the user means, listed once. It need not be there where runs are named by their paths."""

    def __init__(self, folder: str | None) -> None:
        self._given = folder
        self._root = folder if folder is not None else default_folder()
        self._store = open_store(self._root) if os.path.isdir(self._root) else None
        with warnings.catch_warnings():
            # Runs that are left out of the list are nobody's concern, unless one of them is meant: `_damaged`.
            warnings.simplefilter("ignore")
            self._runs = self._store.find_runs(RunQuery()) if self._store is not None else []

    def find(self, text: str) -> Opened:
        found = self._matching(text)
        if len(found) > 1:
            _ambiguous(text, found)
        if found and self._store is not None:
            return Opened(self._root, self._store, self._store.get_run(found[0].key))
        at = run_at(text)
        if at is not None:
            store = open_store(at[0])
            return Opened(at[0], store, store.get_run(at[1]))
        return self._damaged(text)

    def _matching(self, text: str) -> list[Run]:
        exact = [run for run in self._runs if text in (run.key.name, f"{run.key.project}/{run.key.name}", run.id)]
        if exact or len(text) < ID_PREFIX:
            return exact
        return [run for run in self._runs if run.id.startswith(text)]

    def _damaged(self, text: str) -> Opened:
        """A run that could not be listed raises what is wrong with it; any other, `NotFound`."""
        root, store = open_folder(self._given)
        for key, _ in folders_of(root, text):
            return Opened(root, store, store.get_run(key))
        if not self._runs:
            raise NotFound(f"there is no run {text!r}: {root!r} holds no runs.")
        names = [name for run in self._runs for name in (run.key.name, f"{run.key.project}/{run.key.name}")]
        raise NotFound(f"there is no run {text!r} in {root!r}.{closest(text, names)} `ml-dash list` shows all.")


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
