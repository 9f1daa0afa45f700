"""Mixed load on three servers over both tiers, with faults at random: servers killed and stopped, MongoDB and S3 away, silent, slow.

In rounds, each with a run of its own, so that every round is checked whole: MongoDB and S3 are read directly, a run written by
`Experiment` is compared with what was logged, and some runs are deleted. Memory, descriptors, what waits for the archiver and what
nothing names must not grow from round to round. 60 s by default; `make soak` runs ten minutes.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pymongo import MongoClient

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import MlDashError, NotFound, Unavailable
from ml_dash.model import RunKey, SeriesKey
from ml_dash.store.remote import RemoteStore
from ml_dash.sync import Sender, tasks
from tests.server.cutting_proxy import Answer, CuttingProxy, Lose, Slow, Stall
from tests.services import TcpProxy
from tests.services.s3 import Place
from tests.tiered.clients import Appender, Log, Reader, Task, at_work, make_series, until
from tests.tiered.servers import Server, Servers
from tests.tiered.stored import check
from tests.tiered.tiers import Tiers

THRESHOLD, SERIES, ROWS, APPENDERS, POINTS = 200, 4, 500, 6, 300
RSS_GROWTH = 64 << 20
FD_GROWTH = 24
"""Connections that a pool has opened beyond those of the calm before."""
BEHIND = 60.0
"""Seconds in which all that is due must be archived once the faults are over."""


@dataclass
class Vitals:
    """Of the server that lives through all of it, after a round."""

    rss: int
    fds: int


class Faults:
    """What can go wrong; each is over when its call returns. Server number 0 is never killed."""

    def __init__(self, servers: Servers, mongo: TcpProxy, s3: CuttingProxy, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._servers = servers
        self._mongo = mongo
        self._s3 = s3
        self._rng = rng
        self._all: dict[str, Callable[[], None]] = {
            "server killed": self._kill,
            "server stopped": self._stop,
            "MongoDB refuses": lambda: self._mongo_is(mongo.refuse),
            "MongoDB silent": lambda: self._mongo_is(mongo.stall),
            "MongoDB slow": lambda: self._mongo_is(lambda: mongo.slow(0.02)),
            "MongoDB cut": lambda: self._mongo_is(mongo.cut),
            "S3 silent": lambda: self._s3_is(Stall()),
            "S3 slow": lambda: self._s3_is(Slow(0.02, 2000)),
            "S3 answers 500": lambda: self._s3_is(Answer(500)),
            "S3's answers lost": lambda: self._s3_is(Lose()),
        }

    def make(self) -> None:
        """One of them, any."""
        name = self._rng.choice(list(self._all))
        self._all[name]()
        self.done[name] += 1

    def _victim(self) -> Server:
        return self._rng.choice(self._servers[1:])

    def _kill(self) -> None:
        one = self._victim()
        one.kill()
        self._hold()
        one.start()
        one.wait_until_up()

    def _stop(self) -> None:
        one = self._victim()
        one.pause()
        self._hold()
        one.resume()

    def _mongo_is(self, fail: Callable[[], None]) -> None:
        fail()
        self._hold()
        self._mongo.heal()

    def _s3_is(self, act: Any) -> None:
        self._s3.otherwise = act
        self._s3.cut()
        self._hold()
        self._s3.heal()

    def _hold(self) -> None:
        time.sleep(self._rng.uniform(0.1, 1.5))


class Training(Task):
    """A user's script: one run by the public interface, at the server that lives."""

    def __init__(self, url: str, number: int, folder: Path) -> None:
        super().__init__("a training script")
        self._url = url
        self._name = f"training-{number}"
        self._folder = folder
        self._file = bytes(random.Random(number).randbytes(3 << 20))

    def work(self) -> None:
        path = self._folder / f"{self._name}.bin"
        path.write_bytes(self._file)
        with Experiment(self._name, "soak", remote=self._url).run as experiment:
            experiment.params.set(number=self._name, lr=0.1)
            for at in range(POINTS):
                experiment.metrics("loss").append(value=at / 7, step=at)
                if at % 100 == 0:
                    experiment.log(f"step {at}")
            experiment.file(str(path), prefix="/models").save()
        path.unlink()

    def send_the_rest(self) -> None:
        """What `ml-dash sync` does, as the run's end says: closing waits 30 s at most, and faults may take longer than that."""
        with closing(Sender(patience=BEHIND)) as sender:
            for task in tasks([], self._url):
                assert sender.send(task).is_done

    def check(self) -> None:
        """All of it is at the server, once."""
        run = ml_dash.load(self._name, "soak", remote=self._url)
        assert run.status == "COMPLETED"
        assert run.params.get() == {"number": self._name, "lr": 0.1}
        assert [point["data"] for point in run.metrics("loss")] == [
            {"value": at / 7, "step": at} for at in range(POINTS)
        ]
        assert [entry["message"] for entry in run.logs.read()] == [f"step {at}" for at in range(0, POINTS, 100)]
        [file] = run.file().list()
        path = self._folder / f"{self._name}.back"
        run.file(file_id=file["id"], dest_path=path).download()
        assert path.read_bytes() == self._file
        path.unlink()


class Soak:
    """The rounds."""

    def __init__(self, tiers: Tiers, servers: Servers, faults: Faults, rng: random.Random) -> None:
        self.vitals: list[Vitals] = []
        self.rows = 0
        self._tiers = tiers
        self._servers = servers
        self._faults = faults
        self._rng = rng

    def round(self) -> None:
        """A run's life under faults, then a look at everything."""
        number = len(self.vitals)
        with closing(self._tiers.store()) as store:
            some = make_series(store, SERIES, f"round-{number}")
        urls = self._servers.urls
        appenders = [Appender(at, urls, some, ROWS, width=2, most=40, pause=0.01) for at in range(APPENDERS)]
        reader = Reader(urls, some[0], appenders)
        training = Training(urls[0], number, self._tiers.folder)
        with at_work([*appenders, reader, training]):
            while any(one.is_alive() for one in (*appenders, training)):
                time.sleep(self._rng.uniform(0.2, 0.8))
                self._faults.make()
            training.done()
        assert reader.reads
        self._look([one.log for one in appenders], some)
        training.send_the_rest()
        until(partial(answered, training.check), "the run can be read", BEHIND)
        if number % 2:
            self._delete(some[0].run, number)
        server = self._servers[0]
        self.vitals.append(Vitals(resident(server.pid), descriptors(server.pid)))

    def _look(self, logs: list[Log], some: list[SeriesKey]) -> None:
        until(self._nothing_due, "all that is due is archived", BEHIND)
        found = check(self._tiers.uri, self._tiers.place, logs, some)
        assert all(len(one.points) == APPENDERS * ROWS for one in found.values())
        assert all(len(one.hot) < THRESHOLD for one in found.values())
        self.rows += SERIES * APPENDERS * ROWS

    def _delete(self, run: str, number: int) -> None:
        with closing(RemoteStore(self._servers.urls[0])) as store:
            store.delete_run(run)
            with pytest.raises(NotFound):
                store.get_run(RunKey("", "faults", f"round-{number}"))
        until(lambda: not any(self._keys(f"chunks/{run}/")), "the chunks of a deleted run go", BEHIND)

    def no_strays(self) -> None:
        """Every chunk in the bucket has its entry, sooner or later, and every bucket in MongoDB its run."""
        until(lambda: self._strays() == set(), "objects that nothing names go", BEHIND)

    def _strays(self) -> set[str]:
        with self._database() as database:
            known = {entry["key"] for entry in database.manifest.find({}, {"key": 1})}
        return set(self._keys("chunks/")) - known

    def _nothing_due(self) -> bool:
        with self._database() as database:
            return not database.due.count_documents({})

    def _keys(self, prefix: str) -> Iterator[str]:
        for page in self._tiers.place.store().list(prefix):
            yield from (str(one["path"]) for one in page)

    @contextlib.contextmanager
    def _database(self) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self._tiers.uri) as client:
            yield client.get_default_database()


def answered(look: Callable[[], None]) -> bool:
    """Whether `look` had its answers; what it finds wrong it raises. On a busy machine S3 may not answer within a server's patience."""
    with contextlib.suppress(Unavailable):
        look()
        return True
    return False


def resident(pid: int) -> int:
    """Bytes in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    """Open ones."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def check_flat(vitals: list[Vitals]) -> str:
    """Neither memory nor descriptors grew between the second quarter of the rounds and the last."""
    quarter = max(1, len(vitals) // 4)
    early, late = vitals[quarter : 2 * quarter] or vitals[:1], vitals[-quarter:]
    rss = [median(one.rss for one in part) for part in (early, late)]
    fds = [median(one.fds for one in part) for part in (early, late)]
    assert rss[1] - rss[0] <= RSS_GROWTH, f"the server's memory grew from {rss[0]:,.0f} to {rss[1]:,.0f} bytes"
    assert fds[1] - fds[0] <= FD_GROWTH, f"the server's descriptors grew from {fds[0]:.0f} to {fds[1]:.0f}"
    return f"{rss[0] / 1e6:.0f} → {rss[1] / 1e6:.0f} MB, {fds[0]:.0f} → {fds[1]:.0f} descriptors"


@pytest.mark.timeout(0)
def test_two_tiers_under_load_and_faults(
    fresh_database: Callable[[], str], s3_place: Place, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = pytestconfig.getoption("--soak-seconds") or 60.0
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    tiers = Tiers(fresh_database(), s3_place, tmp_path)
    port = int(tiers.uri.split(":")[2].split("/")[0])
    with TcpProxy("127.0.0.1", port) as mongo, CuttingProxy(s3_place.endpoint) as s3:
        through = tiers.uri.replace(str(port), str(mongo.port)).partition("?")[0] + "?directConnection=true"
        apart = Tiers(through, s3_place.through(s3.url), tmp_path)
        with apart.servers(3, threshold=THRESHOLD, timeout=2.0) as servers:
            faults = Faults(servers, mongo, s3, rng)
            soak = Soak(tiers, servers, faults, rng)
            until_then = time.monotonic() + seconds
            with seeded(seed, faults, soak.vitals):
                while time.monotonic() < until_then:
                    soak.round()
                soak.no_strays()
                flat = check_flat(soak.vitals)
            first = servers[0]
            assert first.process
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(60) == 0
    print(f"\n{len(soak.vitals)} rounds, {soak.rows:,} rows, {dict(faults.done)}; {flat}")


@contextlib.contextmanager
def seeded(seed: int, faults: Faults, vitals: Sequence[Vitals]) -> Iterator[None]:
    """What fails tells what was done."""
    try:
        yield
    except (AssertionError, MlDashError) as e:
        begun = f"{len(vitals)} rounds, {[*vitals[:1], *vitals[-1:]]}"
        raise AssertionError(f"{e}\nwith the seed {seed}, after {begun}, {dict(faults.done)}") from e
