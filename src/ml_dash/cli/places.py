"""Where runs lie: the default folder, the run at a path, the path of a run, names that are close. No typer, no output."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from ml_dash.model import RunKey
from ml_dash.names import decode_segment, encode_segment
from ml_dash.store.run_folder import RECORDS, find_segment, read_record


def default_folder() -> str:
    """ML_DASH_DIR, else .ml-dash, else .dreamlake (DREAMLAKE_DIR) if only that is there."""
    ours = os.environ.get("ML_DASH_DIR")
    if ours:
        return ours
    theirs = os.environ.get("DREAMLAKE_DIR")
    if os.path.isdir(".ml-dash"):
        return ".ml-dash"
    return theirs or (".dreamlake" if os.path.isdir(".dreamlake") else ".ml-dash")


def run_at(path: str) -> tuple[str, RunKey] | None:
    """Root folder and key of the run whose folder is `path`; None if it is no run's folder."""
    place = os.path.abspath(path)
    for kind, record in RECORDS.items():
        doc = read_record(os.path.join(place, record))
        if doc is not None:
            above = os.path.dirname(place)
            group = "project" if kind == "experiment" else "workspace"
            name = decode_segment(os.path.basename(place)) or str(doc.get("name"))
            project = decode_segment(os.path.basename(above)) or str(doc.get(group))
            return os.path.dirname(above), RunKey("", project, name)
    return None


def run_path(root: str, key: RunKey) -> str:
    """The folder of the run `key` below `root`, as it is spelled on disk."""
    place = root
    for part in (key.project, key.name):
        place = os.path.join(place, find_segment(place, encode_segment(part), part) or encode_segment(part))
    return place


def folders_of(root: str, text: str) -> list[tuple[RunKey, str]]:
    """Keys and folders of the runs that `text` names, ``name`` or ``project/name``, whether or not their records can be read."""
    project, _, name = text.rpartition("/")
    found = []
    for entry in sorted(os.listdir(root)):
        shown = decode_segment(entry) or entry
        place = os.path.join(root, entry)
        segment = find_segment(place, encode_segment(name), name) if name and project in ("", shown) else None
        if segment is not None and any(os.path.lexists(os.path.join(place, segment, one)) for one in RECORDS.values()):
            found.append((RunKey("", shown, name), os.path.join(place, segment)))
    return found


def closest(text: str, names: Iterable[str]) -> str:
    """`` Did you mean …?`` with the names that are most like `text`; empty if none is."""
    found = difflib.get_close_matches(text, list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""
