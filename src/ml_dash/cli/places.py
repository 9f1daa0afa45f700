"""Where runs lie: the default folder, the run at a path, the path of a run, names that are close. No typer, no output."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from typing import NamedTuple

from ml_dash.errors import InvalidInput, NotFound
from ml_dash.model import RunKey
from ml_dash.names import decode_segment, encode_segment
from ml_dash.place import URL, Place, settle
from ml_dash.store.run_folder import RECORDS, find_segment


def default_folder() -> str:
    """ML_DASH_DIR, else .ml-dash, else .dreamlake (DREAMLAKE_DIR) if only that is there."""
    ours = os.environ.get("ML_DASH_DIR")
    if ours:
        return ours
    theirs = os.environ.get("DREAMLAKE_DIR")
    if os.path.isdir(".ml-dash"):
        return ".ml-dash"
    return theirs or (".dreamlake" if os.path.isdir(".dreamlake") else ".ml-dash")


def no_folder(folder: str, *, named: bool) -> NotFound:
    """The error for a folder that is not there. `named`: by the user."""
    hint = "" if named else " Give --dir, set ML_DASH_DIR, or go to the folder above it."
    return NotFound(f"there is no folder {folder!r} here ({os.path.abspath(folder)}).{hint}")


class Where(NamedTuple):
    """What the user said of where the runs are: --dir, --remote, --api-key."""

    folder: str | None = None
    remote: str | None = None
    api_key: str | None = None

    def place(self) -> Place:
        """The folder or the server that is meant. Raises `InvalidInput`, `NotFound` where there is no such folder."""
        place = self.named()
        if place.root is not None and not os.path.isdir(place.root):
            raise no_folder(str(place.named), named=self.folder is not None)
        return place

    def named(self) -> Place:
        """The same, whether or not the folder is there."""
        if self.folder is not None and self.remote is not None:
            raise InvalidInput("--dir and --remote: runs are looked for in one place; give the one or the other.")
        if self.folder is None and (self.remote is not None or os.environ.get(URL)):
            return settle(None, self.remote, self.api_key).to_read()
        return Place(self.folder if self.folder is not None else default_folder(), None, None)


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
