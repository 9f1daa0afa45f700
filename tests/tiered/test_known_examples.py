"""The examples of the metrics and tracks pages at a server over the two tiers: the same lines on both sides of the seam."""

from __future__ import annotations

import inspect
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ml_dash.model import LOGS, RunQuery, SeriesKey
from ml_dash.server.app import create_app
from ml_dash.store.tier_keys import series_id
from ml_dash.store.tiered import TieredStore
from tests.docs import test_known_examples
from tests.facade.test_remote import KNOWN
from tests.server.live import live
from tests.tiered.clients import until
from tests.tiered.tiers import Tiers


class Shelf:
    """Where the examples look for the lines that a folder would have."""

    def __init__(self, store: TieredStore, *, cold: bool) -> None:
        self._store = store
        self._cold = cold
        self.chunks = 0

    def lines(self, path: str) -> list[bytes]:
        """Of ``.ml-dash/project/run/metrics/name/data.jsonl``, or of ``…/logs/logs.jsonl``; once they are where they are to be."""
        [run] = self._store.find_runs(RunQuery())
        _, _, _, folder, *name = Path(path).parts
        series = SeriesKey(run.id, folder, "" if folder == LOGS else "/".join(name[:-1]))
        if self._cold:
            until(lambda: self._archived(series), f"{path} is archived")
        else:
            assert not self._store.hot.manifest.count_documents({})
        return self._store.read(series, 0, None).lines.splitlines(keepends=True)

    def _archived(self, series: SeriesKey) -> bool:
        head = self._store.hot.heads.find_one({"_id": series_id(series)})
        assert head
        self.chunks = max(self.chunks, head["chunks"])
        return bool(head["sealed"] == self._store.read(series, 0, 0).total)


@pytest.mark.parametrize("cold", [False, True], ids=["hot", "cold"])
@pytest.mark.parametrize(("group", "name"), KNOWN)
def test_known_examples_give_the_same_on_both_sides_of_the_seam(
    tiers: Tiers, group: str, name: str, cold: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of it in MongoDB; and with every row archived as soon as it is there, also while the example reads."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    text = inspect.getsource(test_known_examples)
    for place in (".ml-dash", ".dreamlake"):
        text = text.replace(f'local_path="{place}"', "remote=URL")
    options: dict[str, Any] = {"archive": True, "threshold": 1, "patience": 0.0} if cold else {"threshold": 10_000}
    with closing(tiers.store(**options)) as store, live(create_app(store)) as url:
        shelf = Shelf(store, cold=cold)
        names: dict[str, Any] = {"__name__": "known examples", "URL": url}
        exec(text, names)
        names["lines"] = shelf.lines
        getattr(names[group](), name)()
        assert bool(shelf.chunks) == (cold and "lines" in text_of(group, name))


def text_of(group: str, name: str) -> str:
    return inspect.getsource(getattr(getattr(test_known_examples, group), name))
