"""Strays: objects of uploads that no record of a file names, because a put was given up, died, or came after its run was deleted.

Whether an upload is one is asked of MongoDB a page of a listing at a time. What is of a run that the database does not know is left:
`ml-dash server recover` may make it known, and `verify` tells of it. How files are put is `tiered_files`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ml_dash.store.cold import Cold
    from ml_dash.store.hot import Hot

ABANDONED = 3600.0
"""Seconds after which an upload that nobody goes on with is given up."""
_PAGE = 500
"""Uploads that are asked about at once."""


class Listed(NamedTuple):
    """The objects of one upload, as a listing tells them; `newest` in unix seconds."""

    prefix: str
    run: str
    file: bytes
    newest: float

    @property
    def upload(self) -> str:
        return self.prefix.rstrip("/").rpartition("/")[2]


class Strays:
    """The strays of one bucket. `states(runs)` tells of each of the runs whether it lives or was deleted, and nothing of one that is not
    known. `clock` gives unix seconds. An upload that has got nothing for `abandoned` seconds, which is more than one may pause
    for, is given up."""

    def __init__(
        self,
        hot: Hot,
        cold: Cold,
        states: Callable[[Sequence[str]], Mapping[str, bool]],
        *,
        clock: Callable[[], float] = time.time,
        abandoned: float = ABANDONED,
    ) -> None:
        self._hot = hot
        self._uploads = hot.db["uploads"]
        self._cold = cold
        self._states = states
        self._clock = clock
        self._abandoned = abandoned

    def find(self) -> Iterator[Listed]:
        """Every upload that was given up, or is of a run that was deleted. Lists all files there are, in bounded memory."""
        before = self._clock() - self._abandoned
        with self._hot.asking():
            self._uploads.delete_many({"at": {"$lt": int(before * 1000)}})
        listed = self._listed()
        while page := list(islice(listed, _PAGE)):
            states = self._states(sorted({one.run for one in page}))
            yield from (one for one in page if states.get(one.run) is False)
            old = [one for one in page if states.get(one.run) and one.newest < before]
            named = self._named(old)
            yield from (one for one in old if (one.file, one.upload) not in named)

    def remove(self, stray: Listed) -> int:
        """Remove it, if it is one still: a put may have come to its end since the page was looked at. How many objects."""
        if self._states([stray.run]).get(stray.run):
            if (stray.file, stray.upload) in self._named([stray]):
                return 0
        else:
            known = {"_id": stray.file, "run": stray.run}
            with self._hot.asking():
                self._hot.files.delete_one(known)
                self._uploads.delete_one(known)
        return self._cold.delete_prefix(stray.prefix)

    def _named(self, uploads: Sequence[Listed]) -> set[tuple[bytes, str]]:
        """(file, upload) of all that records, and notes of what came of a put, name of these files."""
        if not uploads:
            return set()
        wanted: dict[str, Any] = {"_id": {"$in": sorted({one.file for one in uploads})}}
        with self._hot.asking():
            # A note goes once its record is there: asked for in this order, one of the two is found.
            found = [*self._uploads.find(wanted, {"upload": 1})]
            found += self._hot.files.find({**wanted, "freed": False}, {"upload": 1})
        return {(bytes(one["_id"]), one["upload"]) for one in found}

    def _listed(self) -> Iterator[Listed]:
        """Each upload of which there are objects."""
        last, newest = "", 0.0
        with self._cold.calling("list", "files/"):
            pages = iter(self._cold.store.list("files/", chunk_size=1000))
        while True:
            with self._cold.calling("list", "files/"):
                page = next(pages, None)
            for one in page or ():
                prefix = one["path"].rpartition("/")[0] + "/"
                if prefix != last:
                    yield from _upload(last, newest)
                    last, newest = prefix, 0.0
                newest = max(newest, one["last_modified"].timestamp())
            if page is None:
                yield from _upload(last, newest)
                return


def _upload(prefix: str, newest: float) -> Iterator[Listed]:
    """What a listing tells of an upload; nothing of what is none of ours."""
    match prefix.split("/"):
        case ["files", run, file, _, ""] if len(file) == 32 and not set(file) - set("0123456789abcdef"):
            yield Listed(prefix, run, bytes.fromhex(file), newest)
