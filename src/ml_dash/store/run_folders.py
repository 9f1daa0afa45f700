"""Where the runs below one root lie: their folders, found and made by name and by id. Reads no series and no parameters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from ml_dash.errors import InvalidInput, NewerFormat, NotFound
from ml_dash.model import RunKey
from ml_dash.names import check_run_name, decode_segment, encode_segment
from ml_dash.store import locks
from ml_dash.store.atomic import inside
from ml_dash.store.patch import new_id
from ml_dash.store.run_folder import RECORDS, RunFolder, Siblings, find_segment, make_segment, read_record

CACHE = ".cache"
NAMESPACES = ".namespaces"
"""Where the runs of namespaces other than "" lie: a folder a namespace, with projects in it as in the root."""
SERVER = ".server"
"""Where a server over this folder keeps what is its own, such as tokens."""
OURS = frozenset({CACHE, NAMESPACES, SERVER, ".locks"})
"""Folders in the root that are no projects."""


class RunFolders:
    """The run folders below `root`, remembered by id once they were seen."""

    def __init__(self, root: str, clock: Callable[[], float] = time.time, patience: float = locks.PATIENCE) -> None:
        self.root = root
        self._clock = clock
        self._patience = patience
        self._by_id: dict[str, RunFolder] = {}
        self._siblings: Siblings = {}

    def make(self, key: RunKey) -> RunFolder:
        """The folder of the run `key`, made if need be. Raises `InvalidInput` where a link leads out of the root, `OSError`."""
        place = self._space(key.namespace)
        for part in (key.project, key.name):
            segment = encode_segment(part)
            found = find_segment(place, segment, part)
            if found is None:
                with locks.locked_file(os.path.join(place, ".lock"), self._patience):
                    found = find_segment(place, segment, part) or make_segment(place, segment, self._siblings)
            place = self._step(place, found)
        return RunFolder(place, key, self._clock, self._patience)

    def _space(self, namespace: str) -> str:
        """The folder of a namespace's projects, made if need be where it is not the root."""
        if not namespace:
            return self.root
        place = os.path.join(self.root, NAMESPACES, encode_segment(namespace))
        os.makedirs(place, exist_ok=True)
        inside(self.root, place, "namespace")
        return place

    def _step(self, place: str, segment: str) -> str:
        """The folder in the folder. Raises `InvalidInput` where it is a link out of the root, before anything is made in it."""
        place = os.path.join(place, segment)
        if os.path.islink(place):
            inside(self.root, place, "run")
        return place

    def find(self, key: RunKey) -> RunFolder | None:
        """The folder of the run `key`, None if it is not there. Raises as `make` does."""
        place = self.root
        above = (NAMESPACES, key.namespace) if key.namespace else ()
        for part in (*above, key.project, key.name):
            segment = part if part == NAMESPACES else find_segment(place, encode_segment(part), part)
            if segment is None:
                return None
            place = self._step(place, segment)
        return RunFolder(place, key, self._clock, self._patience) if os.path.isdir(place) else None

    def keep(self, run: str, folder: RunFolder) -> None:
        """The run with this id lies in `folder`."""
        self._by_id[run] = folder

    def seen(self, run: str, folder: RunFolder) -> None:
        """`keep`, unless its place is known."""
        self._by_id.setdefault(run, folder)

    def drop(self, run: str) -> None:
        """The run is deleted."""
        self._by_id.pop(run, None)

    def by_id(self, run: str, look: Callable[[], object]) -> RunFolder:
        """The folder of the run with this id; `look` makes all runs `seen`. Raises `NotFound`, also where another run has
        its place now."""
        if run not in self._by_id:
            look()
        folder = self._by_id.get(run)
        if folder is None or not is_same(run, folder.stored_id()):
            raise self.not_found(run)
        return folder

    def not_found(self, run: str) -> NotFound:
        """The error for an id that no run has."""
        return NotFound(f"there is no run with the id {run!r} in {self.root}; it may have been deleted.")

    def paths(self, namespace: str | None, project: str | None) -> list[tuple[RunKey, str]]:
        """(key, folder) of every run, or of those of one namespace or project; links are left out."""
        paths = []
        for space, root in self._spaces(namespace):
            for entry, shown in folders_in(root):
                if project in (None, shown) and (space or entry not in OURS):
                    place = os.path.join(root, entry)
                    paths += [(RunKey(space, shown, name), f"{place}/{run}") for run, name in folders_in(place)]
        return paths

    def _spaces(self, namespace: str | None) -> list[tuple[str, str]]:
        """(namespace, folder of its projects) of each, or of the one."""
        place = os.path.join(self.root, NAMESPACES)
        others = [(name, os.path.join(place, entry)) for entry, name in folders_in(place)] if namespace != "" else []
        return [(name, path) for name, path in [("", self.root), *others] if namespace in (None, name)]


def runs_in(root: str) -> list[tuple[RunKey, str]]:
    """(key, folder) of the runs of the folder `root` itself, those of other namespaces left out; their records may be damaged."""
    found = RunFolders(root).paths("", None)
    return sorted((key, path) for key, path in found if any(map(os.path.exists, _records(path))))


def run_at(path: str) -> tuple[str, RunKey] | None:
    """Root folder and key of the run whose folder is `path`; None if it is no run's folder."""
    place = os.path.abspath(path)
    if not any(map(os.path.exists, _records(place))):
        return None
    above = os.path.dirname(place)
    project, name = (
        decode_segment(os.path.basename(folder)) or _recorded_name(folder) or os.path.basename(folder)
        for folder in (above, place)
    )
    return os.path.dirname(above), RunKey("", project, name)


def project_at(path: str) -> tuple[str, str] | None:
    """Root folder and name of the project whose folder is `path`; None if no run lies in it."""
    place = os.path.abspath(path)
    if not any(any(map(os.path.exists, _records(f"{place}/{entry}"))) for entry, _ in folders_in(place)):
        return None
    segment = os.path.basename(place)
    return os.path.dirname(place), decode_segment(segment) or _recorded_name(place) or segment


def run_path(root: str, key: RunKey) -> str:
    """The folder of the run `key` below `root`, as it is spelled on disk, or would be."""
    place = root if not key.namespace else os.path.join(root, NAMESPACES, encode_segment(key.namespace))
    for part in (key.project, key.name):
        place = os.path.join(place, find_segment(place, encode_segment(part), part) or encode_segment(part))
    return place


def _records(place: str) -> list[str]:
    return [os.path.join(place, record) for record in RECORDS.values()]


def bury(folder: str, grave: str) -> None:
    """Move `folder` into the folder `grave`, so that no half of it is ever listed. Its project's folder stays, empty or not:
    another process may be making a run in it."""
    os.makedirs(grave, exist_ok=True)
    os.rename(folder, os.path.join(grave, new_id()))


def is_same(run: str, stored: str | None) -> bool:
    """A copied or foreign run that is read goes on by the id that it had, also once it was opened for writing and got another."""
    return stored is not None and (stored == run or run.startswith(("copy-", "foreign-")))


def folders_in(place: str) -> list[tuple[str, str]]:
    """(segment, name) of the folders in `place`, links left out."""
    try:
        entries = [e.name for e in os.scandir(place) if e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    out = []
    for entry in entries:
        shown = decode_segment(entry)
        if shown is None:
            shown = _recorded_name(os.path.join(place, entry)) or entry
        if _is_name(shown):
            out.append((entry, shown))
    return out


@lru_cache(maxsize=1 << 16)
def _is_name(name: str) -> bool:
    """Whether a run or project may be called so; asked of the same names with every list."""
    try:
        check_run_name("name", name)
    except InvalidInput:
        return False
    return True


def _recorded_name(place: str) -> str | None:
    """The name of a run or project whose folder's name is a hash."""
    runs = [(place, "name", "name")]
    with os.scandir(place) as entries:
        runs += [(entry.path, "project", "workspace") for entry in entries if entry.is_dir(follow_symlinks=False)]
    for run, *keys in runs:
        for key, record in zip(keys, RECORDS.values(), strict=True):
            with suppress(OSError, NewerFormat):
                doc = read_record(os.path.join(run, record))
                if doc is not None and isinstance(doc.get(key), str):
                    return str(doc[key])
    return None
