"""A run that is kept in a folder and sent behind: what waits for the server, and what never does."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import background, codec
from ml_dash.errors import PermissionDenied, Unavailable
from ml_dash.model import LOGS, METRICS, Batch, FilePut, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from ml_dash.store.spooled import SpooledStore
from tests.unit.test_uploader import Failing, rows, values

KEY = RunKey("", "project", "run")
SERVER = "http://localhost:3000"
SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Hanging(MemoryStore):
    """A server that takes every call, and answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = threading.Event()

    def put_run(self, *a: Any) -> Any:
        self.waiting.set()
        if not self.go.wait(60):
            raise Unavailable("it never answered")
        return super().put_run(*a)


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ml-dash-spooled-", dir=SHM))
    yield path
    shutil.rmtree(path)


def begun(store: SpooledStore, attempt: str = "a") -> SeriesKey:
    return SeriesKey(store.put_run(KEY, RunPatch(kind="experiment", join=attempt)).id, METRICS, "loss")


def put(store: SpooledStore, series: SeriesKey, *numbers: int) -> None:
    store.append([Batch(series, rows(*numbers))])


def the_run(server: MemoryStore) -> str:
    [run] = server.find_runs(RunQuery())
    return run.id


def test_nothing_but_asking_waits_for_a_server_that_hangs(place: Path) -> None:
    """Starting, appending, logging, parameters and files are done while the server has taken a call and does not answer."""
    server = Hanging()
    store = SpooledStore(LocalStore(place), server, SERVER, patience=0.05)
    series = begun(store)
    assert server.waiting.wait(20)
    for n in range(10_000):
        put(store, series, n)
    store.update_run(series.run, RunPatch(params={"lr": 1}))
    store.append([Batch(SeriesKey(series.run, LOGS, ""), rows("a"))])
    store.put_file(series.run, io.BytesIO(b"abc"), FilePut("a"))
    assert server.find_runs(RunQuery()) == []
    store.flush()
    assert store.read(series, 0, None).count == 10_000
    server.go.set()
    store._patience = 30
    store.flush()
    assert values(server, the_run(server), "loss") == list(range(10_000))
    store.close()


def test_closing_sends_all_and_takes_the_spool_away(place: Path) -> None:
    """A private spool is gone once the server has all of it; reading goes on, from there."""
    server = MemoryStore()
    store = SpooledStore(LocalStore(place), server, SERVER, private=True)
    series = begun(store)
    put(store, series, *range(50_000))
    store.update_run(series.run, RunPatch(leave="a", status="COMPLETED"))
    store.close()
    assert server.get_run(the_run(server)).status == "COMPLETED"
    assert not list(place.rglob("data.jsonl"))
    assert store.read(series, 0, 0).total == 50_000
    again = begun(store, "b")
    put(store, again, 1, 2)
    assert store.read(again, 0, 0).total == 50_002
    store.close()
    assert server.read(again._replace(run=the_run(server)), 0, 0).total == 50_002


def test_closing_says_what_is_left_and_how_to_send_it(place: Path, capsys: Any) -> None:
    """A server that is away to the end: the folder keeps all, and one line says so, with the command."""
    server = Failing()
    server.plan = ["before"] * 100_000
    store = SpooledStore(LocalStore(place), server, SERVER, private=True, patience=0.3, backoff=(0.01, 0.02))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        series = begun(store)
        put(store, series, *range(10))
        store.close()
    said = capsys.readouterr().err
    assert "10 points" in said or "all of project/run" in said
    assert f"ml-dash sync {place}/project/run --remote {SERVER}" in said
    assert len([w for w in caught if "Training goes on" in str(w.message)]) <= 1
    server.plan = []
    later = SpooledStore(LocalStore(place), server, SERVER, private=True)
    series = begun(later, "b")
    put(later, series, 10)
    later.close()
    assert values(server, the_run(server), "loss") == list(range(11))


def test_the_next_process_sends_what_a_dead_one_left(place: Path) -> None:
    """Another run's spool, whose process is gone, is sent behind one's own, and taken away."""
    left = LocalStore(place)
    dead = left.put_run(RunKey("", "project", "dead"), RunPatch(kind="experiment", join="x")).id
    left.append([Batch(SeriesKey(dead, METRICS, "loss"), rows(*range(100)))])
    left.close()
    server = MemoryStore()
    store = SpooledStore(LocalStore(place), server, SERVER, private=True)
    series = begun(store)
    put(store, series, 1)
    deadline = time.monotonic() + 30
    while (place / "project" / "dead").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    store.close()
    assert not [path for path in place.glob("project/*") if path.is_dir()]
    [there] = [run for run in server.find_runs(RunQuery()) if run.key.name == "dead"]
    assert values(server, there.id, "loss") == list(range(100))


def test_a_spool_that_another_has_open_stays(place: Path) -> None:
    """Two processes in one spool: the first to close leaves it to the other."""
    server = MemoryStore()
    stores = [SpooledStore(LocalStore(place), server, SERVER, private=True) for _ in range(2)]
    series = [begun(store, attempt) for store, attempt in zip(stores, "ab", strict=True)]
    put(stores[0], series[0], 1)
    stores[0].close()
    put(stores[1], series[1], 2)
    stores[1].close()
    assert sorted(values(server, the_run(server), "loss")) == [1, 2]
    assert not [path for path in place.glob("project/*") if path.is_dir()]


def test_reading_what_only_this_folder_has(place: Path) -> None:
    """While the server cannot be asked: the folder's own if nobody else writes to the run, else `Unavailable`."""
    server = Failing()
    store = SpooledStore(LocalStore(place), server, SERVER, patience=0.2, backoff=(0.01, 0.02))
    series = begun(store)
    put(store, series, 1, 2)
    store.flush()
    server.put_run(KEY, RunPatch())
    server.plan = ["before"] * 1_000_000
    put(store, series, 3)
    assert store.read(series, 0, None).total == 3
    assert store.get_run(series.run).key == KEY
    server.plan = []
    server.put_run(KEY, RunPatch(join="elsewhere", params={"p": 1}, host="far", writer="far", seq=1))
    put(store, series, 4)
    while store._failures != 0:
        time.sleep(0.01)
    assert store.get_run(series.run).params == {"p": 1}
    store.update_run(series.run, RunPatch(params={"q": 1}))
    store.flush()
    server.plan = ["before"] * 1_000_000
    put(store, series, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        time.sleep(0.1)
        with pytest.raises(Unavailable, match=SERVER):
            store.read(series, 0, None)
        server.plan = []
        store.close()
    assert server.get_run(the_run(server)).params == {"p": 1, "q": 1}


def test_a_token_that_is_refused(place: Path) -> None:
    """It is said once, nothing raises, and all is kept."""

    class Closed(MemoryStore):
        def put_run(self, *_a: Any) -> Any:
            raise PermissionDenied("the token has expired")

    store = SpooledStore(LocalStore(place), Closed(), SERVER, patience=0.2, backoff=(0.01, 0.02))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        series = begun(store)
        for n in range(100):
            put(store, series, n)
            time.sleep(0.001)
        store.flush()
        store.close()
    texts = [str(w.message) for w in caught if "the token has expired" in str(w.message)]
    assert len(texts) == 1
    assert LocalStore(place).read(series, 0, 0).total == 100


def test_heartbeats_go_to_the_server(place: Path) -> None:
    """A heartbeat is no change: it is sent, not kept."""
    now = [1000.0]
    server = MemoryStore(lambda: now[0])
    store = SpooledStore(LocalStore(place), server, SERVER)
    series = begun(store)
    store.flush()
    now[0] = 2000.0
    store.update_run(series.run, RunPatch(heartbeat="a"))
    deadline = time.monotonic() + 20
    while server.get_run(the_run(server)).heartbeat_at != 2000.0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.get_run(the_run(server)).heartbeat_at == 2000.0
    store.close()


def test_a_flush_is_for_what_was_there(place: Path) -> None:
    """A flush ends while another thread goes on appending."""
    server = MemoryStore()
    store = SpooledStore(LocalStore(place), server, SERVER)
    series = begun(store)
    going = threading.Event()

    def write() -> None:
        while not going.is_set():
            store.append([Batch(series, codec.encode_rows([{"value": 0}] * 100))])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            count = store.local.read(series, 0, 0).total
            store.flush()
            assert server.read(series._replace(run=the_run(server)), 0, 0).total >= count
    finally:
        going.set()
        thread.join()
    store.close()


def test_closing_leaves_no_job(place: Path) -> None:
    """No job is left in the background, and a second closing does nothing."""
    store = SpooledStore(LocalStore(place), MemoryStore(), SERVER, private=True)
    begun(store)
    store.close()
    store.close()
    assert not background.soon(store._turn)
