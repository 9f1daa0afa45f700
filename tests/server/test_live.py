"""What happens, told as it happens: by this server and by others, to many at once, over gaps; and listeners that leave, do not read,
or hear of what is gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from ml_dash.codec import encode_row
from ml_dash.errors import Unavailable
from ml_dash.model import LOGS, LOST_AFTER, Batch, Run, RunKey, RunPatch, RunQuery, SeriesInfo, SeriesKey
from ml_dash.server import listeners
from ml_dash.server import live as live_module
from ml_dash.server.api import BYTES
from ml_dash.server.app import create_app
from ml_dash.server.caller import Caller
from ml_dash.server.limits import Limits
from ml_dash.server.live import Live
from ml_dash.server.live_channel import Pace
from ml_dash.server.threads import Threads
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from tests.server.calls import As, append, batch, make_run, problem
from tests.server.live import live
from tests.server.processes import ServerProcess

SOON = 10.0
"""Seconds that anything may take on a machine with much else to do."""


class Event(NamedTuple):
    at: float
    name: str
    data: Any


def _asks(url: str, project: str | None, *, reads: int = 1 << 16) -> socket.socket:
    """A connection on which somebody listens to a project; it takes so many bytes before they are read."""
    place = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, reads)
    connection.connect((place.hostname, place.port))
    query = "" if project is None else f"?project={project}"
    connection.sendall(f"GET /api/v1/live{query} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    return connection


class Ear:
    """One who listens, in a thread of its own."""

    def __init__(self, url: str, project: str | None = "project") -> None:
        self.events: list[Event] = []
        self.ended = threading.Event()
        self._connection = _asks(url, project)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        name = ""
        with suppress(OSError, ValueError), self._connection.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"event: "):
                    name = line[7:-1].decode()
                elif line.startswith(b"data: "):
                    self.events.append(Event(time.monotonic(), name, json.loads(line[6:])))
                elif line == b"0\r\n":  # the last chunk
                    break
        self.ended.set()

    def wait(self, holds: Callable[[Ear], Any], seconds: float = SOON) -> Any:
        """What `holds` gives once it gives something."""
        until = time.monotonic() + seconds
        while not (found := holds(self)):
            assert time.monotonic() < until, self.events
            time.sleep(0.005)
        return found

    def totals(self) -> dict[str, dict[str, int]]:
        """All that it was told of lengths."""
        found: dict[str, dict[str, int]] = {}
        for told in list(self.events):
            if told.name == "advanced":
                for run, totals in told.data.items():
                    found.setdefault(run, {}).update(totals)
        return found

    def of_runs(self, key: str) -> set[str]:
        return {run for told in list(self.events) if told.name == "runs" for run in told.data[key]}

    def greeted(self) -> Ear:
        """Once it was told how things are."""
        self.wait(lambda ear: any(told.name == "advanced" for told in ear.events))
        return self

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(SOON)
        self._connection.close()


@pytest.fixture
def url(store: LocalStore) -> Iterator[str]:
    with live(create_app(store), timeout_graceful_shutdown=1) as url:
        yield url


@contextmanager
def listening(url: str, project: str | None = "project") -> Iterator[Ear]:
    ear = Ear(url, project)
    try:
        yield ear.greeted()
    finally:
        ear.close()


@contextmanager
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as api:
        yield api


def begin(api: httpx.Client, name: str = "run") -> str:
    """A run that somebody is in."""
    run = make_run(api, name)
    api.patch(f"/runs/{run}", json={"join": "x"})
    return run


def _await_totals(ear: Ear, run: str, totals: dict[str, int]) -> None:
    ear.wait(lambda ear: ear.totals().get(run) == totals)


# ---------------------------------------------------------------- what is told


def test_who_comes_is_told_how_things_are(url: str, store: LocalStore) -> None:
    """The lengths of all series of runs that somebody is in, or was a moment ago; the log's too."""
    with client(url) as api:
        run, ended = begin(api), begin(api, "ended")
        append(api, batch(run, [1, 2, 3]), batch(ended, [1]), batch(run, [1], "train/acc"))
        store.append([Batch(SeriesKey(run, LOGS, ""), [encode_row({"message": "x"})])])
        api.patch(f"/runs/{ended}", json={"leave": "x", "status": "COMPLETED"})
        with listening(url) as ear:
            assert [told.name for told in ear.events] == ["state", "advanced"]
            assert len(ear.events[0].data["instance"]) >= 8
            assert ear.events[1].data == {
                run: {"metrics/loss": 3, "metrics/train/acc": 1, "logs/": 1},
                ended: {"metrics/loss": 1},
            }


def test_what_comes_through_the_server_is_told_at_once(url: str) -> None:
    with client(url) as api:
        run = begin(api)
        with listening(url) as ear:
            for count in range(1, 11):
                since = time.monotonic()
                append(api, batch(run, [1.0]))
                _await_totals(ear, run, {"metrics/loss": count})
                assert ear.events[-1].at - since < 2
            made = begin(api, "made")
            ear.wait(lambda ear: made in ear.of_runs("changed"))
            append(api, batch(made, [1.0]))
            ear.wait(lambda ear: made in ear.totals())
            api.patch(f"/runs/{run}", json={"tags": ["new"]})
            ear.wait(lambda ear: run in ear.of_runs("changed"))
            api.delete(f"/runs/{made}")
            ear.wait(lambda ear: made in ear.of_runs("gone"))


def test_what_others_write_is_found(url: str, root: Path) -> None:
    """Their points, entries, runs, changes, ends and deletions."""
    other = LocalStore(root)
    with listening(url) as ear:
        run = other.put_run(RunKey("", "project", "run"), RunPatch(join="x")).id
        ear.wait(lambda ear: run in ear.of_runs("changed"))
        for count in range(1, 4):
            other.append([batch(run, [1.0]), Batch(SeriesKey(run, LOGS, ""), [b'{"message": "x"}'])])
            _await_totals(ear, run, {"metrics/loss": count, "logs/": count})
        ear.events.clear()
        other.append([batch(run, [1.0])])
        other.update_run(run, RunPatch(leave="x", status="FAILED"))
        ear.wait(lambda ear: ear.totals().get(run, {}).get("metrics/loss") == 4 and run in ear.of_runs("changed"))
        other.delete_run(run)
        ear.wait(lambda ear: run in ear.of_runs("gone"))
    other.close()


def test_a_run_that_is_lost_is_told() -> None:
    """Nobody changes anything when that happens."""
    now = [time.time()]
    store = MemoryStore()
    run = store.put_run(RunKey("", "project", "run"), RunPatch(join="x"))

    class Beating(MemoryStore):
        def find_runs(self, query: RunQuery) -> list[Run]:
            found = store.find_runs(query)
            for one in found:
                one.heartbeat_at = now[0]
            return found

        def get_run(self, key: RunKey | str) -> Run:
            one = store.get_run(key)
            one.heartbeat_at = now[0]
            return one

        def describe(self, one: str) -> list[SeriesInfo]:
            return store.describe(one)

    beating = Beating()
    beating.read = store.read  # type: ignore[method-assign]
    with live(create_app(beating)) as url, listening(url) as ear:
        time.sleep(0.5)
        assert not ear.of_runs("changed")
        now[0] -= LOST_AFTER + 1
        ear.wait(lambda ear: run.id in ear.of_runs("changed"))


def test_a_project_is_told_of_itself_alone(url: str, store: LocalStore) -> None:
    """Without a project it is all of the namespace."""
    with (
        client(url) as api,
        listening(url) as ear,
        listening(url, project="other") as other,
        listening(url, project=None) as whole,
    ):
        run = begin(api)
        append(api, batch(run, [1.0]))
        elsewhere = store.put_run(RunKey("team", "project", "x"), RunPatch(join="y")).id
        for each in (ear, whole):
            each.wait(lambda ear: ear.totals() == {run: {"metrics/loss": 1}})
        time.sleep(0.5)
        assert other.totals() == {}
        assert elsewhere not in ear.of_runs("changed") | whole.of_runs("changed")


def test_nothing_is_lost_by_a_gap(url: str) -> None:
    """Whoever comes back is told all lengths, whatever happened meanwhile, also of a run that has ended since."""
    with client(url) as api:
        run = begin(api)
        with listening(url):
            append(api, batch(run, [1.0]))
        append(api, batch(run, [1.0] * 5))
        api.patch(f"/runs/{run}", json={"leave": "x", "status": "COMPLETED"})
        with listening(url) as ear:
            assert ear.totals() == {run: {"metrics/loss": 6}}


# ---------------------------------------------------------------- many


class Counted(MemoryStore):
    """Counts the looks at runs."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def describe(self, run: str) -> list[SeriesInfo]:
        self.looks += 1
        return super().describe(run)

    def find_runs(self, query: RunQuery) -> list[Run]:
        self.looks += 1
        return super().find_runs(query)


def test_one_look_for_all_and_none_for_nobody() -> None:
    store = Counted()
    for number in range(3):
        store.put_run(RunKey("", "project", f"{number}"), RunPatch(join="x"))
    with live(create_app(store)) as url:
        time.sleep(1)
        assert store.looks == 0
        ears = [Ear(url) for _ in range(30)]
        for ear in ears:
            ear.greeted()
        before, since = store.looks, time.monotonic()
        time.sleep(1.5)
        looked, took = store.looks - before, time.monotonic() - since
        assert looked <= 4 * (took / 0.5 + 2)
        for ear in ears:
            ear.close()
        time.sleep(1)
        before = store.looks
        time.sleep(1)
        assert store.looks == before


def test_many_listeners_and_writers(url: str) -> None:
    """Each of them is told the same."""
    with client(url) as api:
        runs = [begin(api, f"{number}") for number in range(10)]
        ears = [Ear(url).greeted() for _ in range(20)]
        for _ in range(10):
            append(api, *(batch(run, [1.0, 2.0]) for run in runs))
        for ear in ears:
            ear.wait(lambda ear: ear.totals() == {run: {"metrics/loss": 20} for run in runs})
            ear.close()


def test_news_come_in_bundles(url: str) -> None:
    """At most five times a second, however many appends there are."""
    with client(url) as api:
        run = begin(api)
        with listening(url) as ear:
            since = time.monotonic()
            appends = 0
            while time.monotonic() - since < 1.5:
                append(api, batch(run, [1.0]))
                appends += 1
            ear.wait(lambda ear: ear.totals().get(run) == {"metrics/loss": appends})
            took = time.monotonic() - since
            told = [one for one in ear.events if one.name == "advanced"]
            assert len(told) <= took / 0.2 + 3


# ---------------------------------------------------------------- faults


def test_a_run_that_is_deleted_while_listened_to(url: str, root: Path) -> None:
    """By another process, with its folder: nothing fails, and the others are told of as before."""
    other = LocalStore(root)
    with client(url) as api, listening(url) as ear:
        runs = [begin(api, name) for name in "ab"]
        append(api, *(batch(run, [1.0]) for run in runs))
        ear.wait(lambda ear: set(ear.totals()) == set(runs))
        other.delete_run(runs[0])
        ear.wait(lambda ear: ear.of_runs("gone") == {runs[0]})
        append(api, batch(runs[1], [1.0]))
        ear.wait(lambda ear: ear.totals()[runs[1]] == {"metrics/loss": 2})
        assert not ear.ended.is_set()
    other.close()


def test_a_deletion_is_not_taken_back() -> None:
    """By a look at the list that has begun before it."""

    class Late(MemoryStore):
        began, go_on = threading.Event(), threading.Event()
        slow = False

        def find_runs(self, query: RunQuery) -> list[Run]:
            found = super().find_runs(query)
            if self.slow:
                self.began.set()
                self.go_on.wait(SOON)
            return found

    late = Late()
    run = late.put_run(RunKey("", "project", "run"), RunPatch()).id

    async def looked() -> list[bytes]:
        threads = Threads("look", 1)
        told = Live(late, threads, "here", longest=SOON, pace=Pace(tell=0.01, listing=0.05))
        listening = told.listen("", "project")
        events = listening.events()
        await anext(events), await anext(events)  # how things are
        late.slow = True
        await asyncio.to_thread(late.began.wait, SOON)
        told.gone(run)
        late.delete_run(run)
        heard = [await anext(events)]
        late.slow = False
        late.go_on.set()
        with suppress(asyncio.TimeoutError):
            heard.append(await asyncio.wait_for(anext(events), 0.5))
        listening.close()
        threads.close()
        return heard

    (gone,) = asyncio.run(looked())
    assert f'"gone":["{run}"]'.encode() in gone


def test_files_are_told(url: str, root: Path) -> None:
    """Stored, changed and deleted ones, of a run that nobody is in."""
    with client(url) as api, listening(url) as ear:
        run = begin(api)
        api.patch(f"/runs/{run}", json={"leave": "x", "status": "COMPLETED"})

        def told(file: httpx.Response) -> None:
            assert file.status_code == 200, file.text
            ear.wait(lambda ear: ear.of_runs("changed") == {run})

        def quiet() -> None:
            time.sleep(0.5)
            ear.events.clear()

        quiet()
        put = {"put": json.dumps({"filename": "a.txt"})}
        stored = api.post(f"/runs/{run}/files", params=put, content=b"a", headers={"content-type": BYTES})
        told(stored)
        for patch in ({"tags": ["best"]}, {"deleted": True}):
            quiet()
            told(api.patch(f"/runs/{run}/files/{stored.json()['id']}", json=patch))


def test_one_who_does_not_read_is_dropped(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded, and nobody else notices."""
    monkeypatch.setattr(listeners, "WAITING", 4)
    app = create_app(store)
    hub = app.state.service.views._live
    with live(app, timeout_graceful_shutdown=1) as url, client(url) as api, listening(url) as ear:
        runs = [begin(api, f"{'x' * 100}-{number}") for number in range(40)]
        name = "y" * 150
        connection = _asks(url, "project", reads=2048)
        hundred = [[1.0]] * 100
        count = 0
        ear.wait(lambda _: sum(len(each.listeners) for each in hub._channels.values()) == 2)
        until = time.monotonic() + 60
        [channel] = hub._channels.values()
        while not any(each.ended for each in channel.listeners):
            assert time.monotonic() < until
            count += 1
            append(api, *(batch(run, hundred[0], f"{name}/{at}") for run in runs for at in range(40)))
        ear.wait(lambda ear: all(set(ear.totals().get(run, {}).values()) == {count} for run in runs), 60)
        assert not ear.ended.is_set()
        connection.close()


def test_one_who_leaves_is_forgotten(store: LocalStore) -> None:
    app = create_app(store)
    hub = app.state.service.views._live
    with live(app) as url:
        with listening(url), listening(url, project="other"):
            assert len(hub._channels) == 2
        until = time.monotonic() + SOON
        while hub._channels:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_store_that_does_not_answer_for_a_while() -> None:
    """Those who listen go on to; when it answers again, they hear what was missed."""

    class Ailing(MemoryStore):
        ill = False

        def find_runs(self, query: RunQuery) -> list[Run]:
            if self.ill:
                raise Unavailable("not now")
            return super().find_runs(query)

    store = Ailing()
    with live(create_app(store)) as url, listening(url) as ear:
        store.ill = True
        time.sleep(2.5)
        run = store.put_run(RunKey("", "project", "run"), RunPatch()).id
        store.ill = False
        ear.wait(lambda ear: run in ear.of_runs("changed"))
        assert not ear.ended.is_set()


def test_one_may_listen_for_so_long(store: LocalStore) -> None:
    """A token that is revoked is good for no longer. Whoever comes back is told how things are."""
    with live(create_app(store, Limits(listen=0.5))) as url:
        since = time.monotonic()
        ear = Ear(url)
        assert ear.ended.wait(SOON)
        assert time.monotonic() - since >= 0.5
        assert [told.name for told in ear.events] == ["state", "advanced"]
        ear.close()


def test_too_many_are_told_to_come_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MOST", 1)
    with listening(url), client(url) as api:
        assert "as many pages" in problem(api.get("/live"), 503, "Unavailable")


def test_others_projects_are_not_there() -> None:
    app = As(create_app(MemoryStore()), Caller("read", ("mine",), "t"))
    with live(app) as url, client(url) as api:
        problem(api.get("/live", params={"namespace": "theirs"}), 404, "NotFound")


def test_a_connection_shows_signs_of_life(store: LocalStore) -> None:
    """A comment now and then, so that nobody in between takes it for dead."""
    app = create_app(store)
    hub = app.state.service.views._live
    hub._pace = hub._pace._replace(alive=0.1)
    with live(app, timeout_graceful_shutdown=1) as url, client(url) as api, api.stream("GET", "/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        heard = [next(lines) for _ in range(20)]
    assert heard.count(":") >= 3
    assert heard[0] == "retry: 1000"


def test_a_server_that_stops_does_not_wait_for_listeners(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        ears = [Ear(server.url).greeted() for _ in range(5)]
        since = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - since < 10
        assert all(ear.ended.wait(SOON) for ear in ears)
        for ear in ears:
            ear.close()
