"""Backup and restore as docs/guides/operations.md tells it: of a server that is written to all the while; then everything is lost."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from ml_dash.errors import Conflict, Unavailable
from ml_dash.model import METRICS, Batch, FilePut, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store.remote import RemoteStore
from tests.docs.pages import page
from tests.services.s3 import Place
from tests.tiered.shop import command, environment
from tests.tiered.stored import stored
from tests.tiered.tiers import Tiers

SERIES = 4
EACH = 10


def row(series: int, at: int) -> bytes:
    """As tests/tiered/stored.py reads it."""
    return b'{"c": %d, "i": %d, "v": %d.5}' % (series, at, at % 97)


class Writer:
    """Writes to one series of the run at `url`, one batch after the other; `acknowledged` rows were."""

    def __init__(self, url: str, run: str, number: int) -> None:
        self.series = SeriesKey(run, METRICS, f"s{number}")
        self.acknowledged = 0
        self.number = number
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def batch(self, at: int, count: int = EACH) -> Batch:
        rows = [row(self.number, i) for i in range(at, at + count)]
        return Batch(self.series, rows, f"w{self.number}", at, ((0, 1_700_000_000_000 + at),))

    def _write(self) -> None:
        with closing(RemoteStore(self._url)) as store:
            while not self._ended.wait(0.01):
                try:
                    store.append([self.batch(self.acknowledged)])
                except Unavailable:
                    continue
                self.acknowledged += EACH

    def __enter__(self) -> Writer:  # noqa: PYI034  typing.Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()


def script(folder: Path, **change: str) -> Path:
    """The guide's backup.py."""
    [text] = [block.text for block in page("docs/guides/operations.md").blocks if "file=backup.py" in block.info]
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "backup.py"
    path.write_text(text)
    return path


def run_script(tiers: Tiers, path: Path, *words: object) -> None:
    line = [sys.executable, str(path), *map(str, words)]
    done = subprocess.run(line, env=environment(tiers), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def copy_bucket(source: Place, target: Place) -> None:
    """Object by object, as `aws s3 sync` and `rclone` do."""
    objects, copy = source.store(), target.store()
    for some in objects.list():
        for one in some:
            copy.put(one["path"], objects.get(one["path"]).bytes())


def load(tiers: Tiers, backup: Path, copy: Path) -> None:
    """The copy is older than ten seconds, as any that is of use: it does not tell that rows are being added."""
    run_script(tiers, backup, "load", copy)
    with MongoClient[dict[str, Any]](tiers.uri) as client:
        client.get_default_database().runs.update_many({}, {"$unset": {"busy_until": ""}})


def lose_everything(tiers: Tiers) -> None:
    with MongoClient[dict[str, Any]](tiers.uri) as client:
        client.drop_database(client.get_default_database().name)
    objects = tiers.place.store()
    for some in objects.list():
        objects.delete([one["path"] for one in some])


@contextmanager
def writing(url: str, run: str) -> Iterator[list[Writer]]:
    """Some writers, each of which has got past a few chunks."""
    writers = [Writer(url, run, number) for number in range(SERIES)]
    for writer in writers:
        writer.__enter__()
    try:
        wait_for(writers, 300)
        yield writers
    finally:
        for writer in writers:
            writer.__exit__()


def wait_for(writers: list[Writer], rows: int) -> None:
    pause = threading.Event()
    targets = [writer.acknowledged + rows for writer in writers]
    while any(writer.acknowledged < target for writer, target in zip(writers, targets, strict=True)):
        pause.wait(0.02)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_backup_that_was_made_while_rows_came_in_is_restored(tiers: Tiers, tmp_path: Path, reverse: bool) -> None:
    """MongoDB first, then the bucket; the collections one after the other, in any order. All that was acknowledged before it began
    is there, without a hole, and the run goes on; what was deleted before it stays deleted."""
    change = {"list_collection_names())": "list_collection_names(), reverse=True)"} if reverse else {}
    backup, copy = script(tmp_path, **change), tiers.place.fresh()
    with tiers.servers(1) as servers, closing(RemoteStore(servers.urls[0])) as client:
        run = client.put_run(RunKey("", "p", "kept"), RunPatch(params={"lr": 0.1}))
        gone = client.put_run(RunKey("", "p", "gone"), RunPatch())
        client.append([Batch(SeriesKey(gone.id, METRICS, "s"), [b'{"value": 1}'] * 60, "w", 0)])
        client.delete_run(gone.id)
        kept = client.put_file(run.id, io.BytesIO(b"kept"), FilePut("kept.txt"))
        with writing(servers.urls[0], run.id) as writers:
            before = [writer.acknowledged for writer in writers]
            run_script(tiers, backup, "save", tmp_path / "backup.gz")
            wait_for(writers, 200)  # the bucket gets on meanwhile
            later = client.put_file(run.id, io.BytesIO(b"later"), FilePut("later.txt"))
            copy_bucket(tiers.place, copy)
            wait_for(writers, 50)
        sent = [writer.acknowledged for writer in writers]
    lose_everything(tiers)
    assert command(tiers, "verify").stdout.startswith("0 series")

    copy_bucket(copy, tiers.place)
    load(tiers, backup, tmp_path / "backup.gz")
    recovered = command(tiers, "recover")
    assert (recovered.returncode, recovered.stderr) == (0, ""), recovered.stdout
    assert f"points of {SERIES} series" in recovered.stdout
    verified = command(tiers, "verify", "--deep")
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.endswith(": all is well.\n")

    found = stored(tiers.uri, tiers.place, [writer.series for writer in writers])
    for writer, least, most in zip(writers, before, sent, strict=True):
        points = found[writer.series].points
        assert least <= len(points) <= most
        assert [(point.client, point.at) for point in points] == [(writer.number, at) for at in range(len(points))]
    with tiers.servers(1) as servers, closing(RemoteStore(servers.urls[0])) as client:
        assert [one.key.name for one in client.find_runs(RunQuery())] == ["kept"]
        assert client.get_run(run.id).params == {"lr": 0.1}
        assert [file.id for file in client.find_files(run.id)] == [kept.id, later.id]
        _goes_on(client, writers, {series: len(one.points) for series, one in found.items()})


def _goes_on(client: RemoteStore, writers: list[Writer], there: dict[SeriesKey, int]) -> None:
    """A writer is told from where on to send again, and what it sends then follows."""
    for writer in writers:
        at = there[writer.series]
        with pytest.raises(Conflict) as told:
            client.append([writer.batch(at + EACH)])
        assert told.value.expected == at
        [answer] = client.append([writer.batch(at - 5)])
        assert (answer.first, answer.total) == (at, at + EACH - 5)


def test_a_restore_does_not_write_over_a_database(tiers: Tiers, tmp_path: Path) -> None:
    """Whoever names the wrong one loses nothing."""
    backup = script(tmp_path)
    with closing(tiers.store()) as store:
        store.put_run(RunKey("", "p", "r"), RunPatch())
    run_script(tiers, backup, "save", tmp_path / "backup.gz")
    line = [sys.executable, str(backup), "load", str(tmp_path / "backup.gz")]
    done = subprocess.run(line, env=environment(tiers), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is not empty" in done.stderr


def test_the_database_alone_is_restored(tiers: Tiers, tmp_path: Path) -> None:
    """The bucket was not lost, and is ahead of the copy."""
    backup = script(tmp_path)
    with tiers.servers(1) as servers, closing(RemoteStore(servers.urls[0])) as client:
        run = client.put_run(RunKey("", "p", "r"), RunPatch())
        with writing(servers.urls[0], run.id) as writers:
            run_script(tiers, backup, "save", tmp_path / "backup.gz")
            wait_for(writers, 300)
    chunked = {series: len(one.cold) for series, one in _stored(tiers, writers).items()}
    with MongoClient[dict[str, Any]](tiers.uri) as database:
        database.drop_database(database.get_default_database().name)
    load(tiers, backup, tmp_path / "backup.gz")
    assert command(tiers, "recover").returncode == 0
    assert command(tiers, "verify").returncode == 0
    for series, one in _stored(tiers, writers).items():
        assert len(one.points) >= chunked[series] >= 300


def _stored(tiers: Tiers, writers: list[Writer]) -> Any:
    return stored(tiers.uri, tiers.place, [writer.series for writer in writers])
