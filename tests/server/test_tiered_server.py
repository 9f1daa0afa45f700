"""Real `ml-dash server` processes over a real MongoDB and a real S3: what they serve, what they refuse, workers, tokens, outages."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pymongo
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_dash.codec import encode_row
from ml_dash.model import METRICS, Batch, FilePut, RunKey, RunPatch, SeriesKey
from ml_dash.server.mongo_tokens import MongoTokens
from ml_dash.store import open_store
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.remote import RemoteStore
from ml_dash.store.tier_check import examine
from tests.crash.children import eventually
from tests.server.calls import batch
from tests.server.cutting_proxy import CuttingProxy
from tests.server.guarded import bearer
from tests.server.processes import ENTRY, SOURCE, ServerProcess
from tests.services import Mongod, Place, TcpProxy, replica_set
from tests.services.mongo import with_database

SECONDS = 60.0


class Tiers:
    """A database and a prefix of a test's own."""

    def __init__(self, uri: str, place: Place) -> None:
        self.uri = uri
        self.place = place

    @property
    def env(self) -> dict[str, str]:
        """For a server over them, by variables."""
        return {"ML_DASH_MONGO": self.uri, "ML_DASH_S3": self.place.url, **self.place.env}

    def serve(self, *args: object, **more: str) -> ServerProcess:
        return ServerProcess(None, *args, env=self.env | more)

    def tokens(self) -> contextlib.closing[MongoTokens]:
        return contextlib.closing(MongoTokens(self.uri))


@pytest.fixture
def tiers(fresh_database: Callable[[], str], s3_place: Place) -> Tiers:
    return Tiers(fresh_database(), s3_place)


def command(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ML_DASH_", "MLDASH_", "AWS_"))}
    line = [*ENTRY, *map(str, args)]
    return subprocess.run(line, env={**clean, "PYTHONPATH": SOURCE, **env}, capture_output=True, text=True, timeout=120)


def rows_of(store: RemoteStore, series: SeriesKey) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read(series, 0, None).lines.splitlines()]


# ---------------------------------------------------------------- what is served


def test_what_a_client_stores_is_in_the_tiers_and_any_server_reads_it(tiers: Tiers) -> None:
    """Rows past the threshold move to S3 meanwhile; a file's bytes are there from the start."""
    place = tiers.place
    options = ["--mongo", tiers.uri, "--s3", place.url, "--s3-endpoint", place.endpoint]
    keys = {name: value for name, value in place.env.items() if name != "AWS_ENDPOINT_URL"}
    with ServerProcess(None, *options, env=keys) as server, contextlib.closing(RemoteStore(server.url)) as store:
        run = store.put_run(RunKey("", "p", "n"), RunPatch(params={"lr": 0.1})).id
        series = SeriesKey(run, METRICS, "loss")
        for seq in range(0, 12_000, 1_000):
            store.append([batch(run, range(seq, seq + 1_000), writer="w", seq=seq)])
        file = store.put_file(run, io.BytesIO(b"bytes"), FilePut("f.bin"))
        assert eventually(lambda: store.describe(run)[0].chunked >= 10_000)
        (listening,) = [line for line in server.lines() if line["event"] == "listening"]
        assert listening["store"] == f"MongoDB and {place.url}"
        assert f"serves MongoDB and {place.url} at {server.url}" in server.stderr
    with tiers.serve() as other, contextlib.closing(RemoteStore(other.url)) as store:
        assert store.get_run(run).params == {"lr": 0.1}
        assert rows_of(store, series) == [{"index": at, "data": {"value": at}} for at in range(12_000)]
        assert store.sample(series, "value", None, 0, None, 10).max.max() == 11_999
        _, stream = store.get_file(run, file.id)
        with stream:
            assert stream.read() == b"bytes"
        assert httpx.get(other.url + "/ready").json() == {"status": "ok"}


def test_a_store_of_two_tiers_is_opened_by_name(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    tiers.place.set(monkeypatch)
    with contextlib.closing(open_store(mongo=tiers.uri, s3=tiers.place.url, archive=False)) as store:
        run = store.put_run(RunKey("", "p", "n"), RunPatch()).id
    with contextlib.closing(open_store(mongo=tiers.uri, s3=tiers.place.url, s3_endpoint=tiers.place.endpoint)) as store:
        assert store.get_run(run).id == run


@pytest.mark.parametrize("given", [{"mongo": "m"}, {"s3": "s"}, {"mongo": "m", "s3": "s", "place": "runs"},
                                   {"mongo": "m", "s3": "s", "remote": "http://x"}])  # fmt: skip
def test_a_place_that_is_said_by_half_or_twice(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="open_store takes `mongo` and `s3` together, and no other place"):
        open_store(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--mongo", "mongodb://127.0.0.1:1"], "--mongo and --s3 come together"),
        (["--s3", "s3://b/p"], "--mongo and --s3 come together"),
        (["--mongo", "mongodb://127.0.0.1:1", "--s3", "s3://b", "--store", "runs"], "--store is a folder"),
        (["--store", "runs", "--workers", "2"], "--workers: one process serves a folder"),
        (["--mongo", "http://x", "--s3", "s3://b"], "mongo: expected mongodb://host:port/database"),
        (["--store", "runs", "--check"], "--check looks at MongoDB and S3"),
        (["--store", "runs", "--json"], "--json goes with --check"),
    ],
)
def test_options_that_do_not_go_together(args: list[str], text: str, tmp_path: Path) -> None:
    done = command("server", "--port", 0, *[str(tmp_path) if arg == "runs" else arg for arg in args])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_place_that_is_none(tiers: Tiers, workers: int) -> None:
    """Said in a line, whichever process finds it."""
    done = command("server", "--port", 0, "--workers", workers, "--mongo", tiers.uri, "--s3", "nowhere")
    assert done.returncode == 2
    assert "s3: expected s3://bucket/prefix" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_that_does_not_answer_at_the_start(s3_place: Place) -> None:
    away = "mongodb://user:secret@127.0.0.1:1/db?timeoutMS=300"
    done = command("server", "--port", 0, "--mongo", away, "--s3", s3_place.url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: MongoDB does not answer")
    assert "secret" not in done.stderr


def test_others_reach_it_and_there_is_no_token(tiers: Tiers) -> None:
    done = command("server", "--port", 0, "--host", "0.0.0.0", **tiers.env)
    assert done.returncode == 2
    assert "`ml-dash token create --scope write --mongo URI`" in done.stderr
    assert tiers.uri not in done.stderr, "it may hold a password"


@pytest.mark.parametrize("library", ["pymongo", "obstore"])
def test_the_extra_is_not_installed(library: str) -> None:
    script = f"import sys; sys.modules[{library!r}] = None\nfrom ml_dash.cli import main; main()"
    line = [
        ENTRY[0],
        "-c",
        script,
        "server",
        "--port",
        "0",
        "--mongo",
        "mongodb://127.0.0.1:1",
        "--s3",
        "s3://b",
        "--check",
    ]
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": SOURCE}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: the server needs {library}: pip install 'ml-dash[server]'.\n"


# ---------------------------------------------------------------- tokens


def answers(server: ServerProcess, headers: dict[str, str] | None = None) -> int:
    return httpx.get(server.url + "/api/v1/runs", headers=headers).status_code


def test_two_servers_know_of_the_same_tokens(tiers: Tiers) -> None:
    """One that is made is let in by both within seconds, one that is revoked by neither. The first one closes both."""
    with tiers.serve() as one, tiers.serve() as other:
        assert [answers(server) for server in (one, other)] == [200, 200]
        secret = command("token", "create", "--scope", "write", "--name", "CI", **tiers.env).stdout.strip()
        header = bearer(secret)
        assert eventually(lambda: [answers(server) for server in (one, other)] == [401, 401])
        assert [answers(server, header) for server in (one, other)] == [200, 200]
        (listed,) = json.loads(command("token", "list", "--json", **tiers.env).stdout)["tokens"]
        assert (listed["name"], listed["state"]) == ("CI", "valid")
        told = command("token", "revoke", listed["id"], "--mongo", tiers.uri).stdout
        assert told.startswith(f"Token {listed['id']} is revoked since ")
        assert eventually(lambda: [answers(server, header) for server in (one, other)] == [401, 401])
        assert "was revoked at" in httpx.get(one.url + "/api/v1/runs", headers=header).json()["message"]
    with tiers.serve("--host", "0.0.0.0") as open_one:
        assert httpx.get(f"http://127.0.0.1:{open_one.port}/api/v1/runs").status_code == 401


def test_a_token_is_in_one_place(tiers: Tiers, tmp_path: Path) -> None:
    done = command("token", "list", "--mongo", tiers.uri, "--store", tmp_path)
    assert done.returncode == 2
    assert "--store and --mongo: a server's tokens are in the one place or the other" in done.stderr


# ---------------------------------------------------------------- workers


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def serving(server: ServerProcess) -> bool:
    """Whether a new connection is served."""
    try:
        return httpx.get(server.url + "/health", timeout=SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def test_one_worker_dies_and_the_others_serve_until_it_is_back(tiers: Tiers) -> None:
    with tiers.serve("--workers", 2) as server:
        before = workers_of(server)
        assert len(before) == 2
        (line,) = [line for line in server.lines() if line["event"] == "listening"]
        assert (line["workers"], line["pid"]) == (2, server.pid)
        before[0].kill()
        before[0].wait(SECONDS)
        assert all(serving(server) for _ in range(20))
        assert eventually(lambda: len(workers_of(server)) == 2)
        now = workers_of(server)
        assert before[0].pid not in {one.pid for one in now}
        assert before[1].pid in {one.pid for one in now}
        (ended,) = [line for line in server.lines() if line["event"] == "worker ended"]
        assert ended["message"] in [f"worker {n} was ended by SIGKILL. It is started again now." for n in range(2)]
        before[1].kill()
        before[1].wait(SECONDS)
        assert eventually(lambda: serving(server)), "the new one serves"


def test_a_signal_ends_all_workers_and_then_the_server(tiers: Tiers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with tiers.serve("--workers", 2) as server:
            workers = workers_of(server)
            assert serving(server)
            server.signal(number)
            assert server.wait() == 0
            assert not any(one.is_running() for one in workers)
            assert sum(line["event"] == "stopped" for line in server.lines()) == 3
            assert not serving(server)


def test_a_signal_while_they_start_ends_it(tiers: Tiers) -> None:
    for delay in (0.5, 1.0, 1.5, 2.0):
        process = subprocess.Popen(
            [*ENTRY, "server", "--port", "0", "--workers", "2"],
            env={**os.environ, "PYTHONPATH": SOURCE, **tiers.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode in (0, -signal.SIGTERM), said
        assert "Traceback" not in said


def test_workers_do_not_outlive_a_supervisor_that_is_killed(tiers: Tiers) -> None:
    """They would keep the port. What is in flight is finished first."""
    with tiers.serve("--workers", 2) as server:
        workers = workers_of(server)
        server.kill()
        _, alive = psutil.wait_procs(workers, timeout=SECONDS)
        assert alive == []
        server.restart()
        assert serving(server)


def test_a_request_in_flight_ends_before_its_worker(tiers: Tiers) -> None:
    with tiers.serve("--workers", 2) as server, contextlib.closing(RemoteStore(server.url)) as store:
        run = store.put_run(RunKey("", "p", "n"), RunPatch()).id

        def body() -> Iterator[bytes]:
            yield b"half"
            server.signal(signal.SIGTERM)
            assert eventually(lambda: any(line["event"] == "stopping" for line in server.lines()))
            yield b"whole"

        params = {"put": json.dumps({"filename": "f"})}
        answer = httpx.post(f"{server.url}/api/v1/runs/{run}/files", params=params, content=body(), timeout=SECONDS)
        assert answer.json()["sizeBytes"] == 9
        assert server.wait() == 0


def test_the_figures_of_all_workers_are_told_by_each(tiers: Tiers) -> None:
    with tiers.serve("--workers", 2) as server, contextlib.closing(RemoteStore(server.url)) as store:
        run = store.put_run(RunKey("", "p", "n"), RunPatch()).id

        def points() -> dict[str, float]:
            text = httpx.get(server.url + "/metrics").text
            samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
            return {one.labels["worker"]: one.value for one in samples if one.name == "ml_dash_points_total"}

        for seq in range(20):  # each by a connection of its own, which either takes
            with contextlib.closing(RemoteStore(server.url)) as client:
                client.append([batch(run, [seq], writer="w", seq=seq)])
        assert eventually(lambda: (now := points()).keys() == {"0", "1"} and sum(now.values()) == 20)


def test_appends_through_many_workers_are_stored_once_and_in_order(tiers: Tiers) -> None:
    """Also where a worker is killed in the middle: what was not acknowledged is sent again."""
    with tiers.serve("--workers", 2) as server:
        with contextlib.closing(RemoteStore(server.url)) as store:
            run = store.put_run(RunKey("", "p", "n"), RunPatch()).id
        series = SeriesKey(run, METRICS, "loss")
        for seq in range(0, 300, 10):
            if seq == 150:
                workers_of(server)[0].kill()
            sent = Batch(series, [encode_row({"value": at}) for at in range(seq, seq + 10)], "w" * 32, seq)
            with contextlib.closing(RemoteStore(server.url)) as store:
                assert eventually(partial(_appended, store, sent))
        with contextlib.closing(RemoteStore(server.url)) as store:
            assert rows_of(store, series) == [{"index": at, "data": {"value": at}} for at in range(300)]


def _appended(store: RemoteStore, sent: Batch) -> bool:
    try:
        store.append([sent])
    except ConnectionError:
        return False
    return True


# ---------------------------------------------------------------- outages


def test_without_s3_it_is_ready_and_says_what_does_not_work(tiers: Tiers) -> None:
    with CuttingProxy(tiers.place.endpoint) as proxy:
        behind = Tiers(tiers.uri, tiers.place.through(proxy.url))
        with behind.serve() as server, contextlib.closing(RemoteStore(server.url)) as store:
            run = store.put_run(RunKey("", "p", "n"), RunPatch()).id
            proxy.refuse()
            answer = httpx.get(server.url + "/ready", timeout=SECONDS)
            assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
            assert "Appends and recent points work." in answer.json()["message"]
            assert "nothing is archived" in answer.json()["message"]
            store.append([batch(run, range(3), writer="w")])
            assert len(rows_of(store, SeriesKey(run, METRICS, "loss"))) == 3
            proxy.listen()
            assert eventually(lambda: httpx.get(server.url + "/ready").json() == {"status": "ok"})


def test_without_mongodb_it_is_not_ready_and_lets_nobody_in(tiers: Tiers) -> None:
    """It cannot know who was revoked. It goes on by itself when the database is back."""
    host, _, port = tiers.uri.partition("://")[2].partition("/")[0].partition(":")
    with tiers.tokens() as tokens, TcpProxy(host, int(port)) as proxy:
        header = bearer(tokens.create("write")[1])
        database = tiers.uri.partition("?")[0].rpartition("/")[2]
        uri = f"mongodb://127.0.0.1:{proxy.port}/{database}?directConnection=true"
        with Tiers(uri, tiers.place).serve() as server:
            assert answers(server, header) == 200
            proxy.refuse()
            assert eventually(lambda: "tokens unreadable" in [line["event"] for line in server.lines()])
            assert [answers(server, headers) for headers in (header, bearer("wrong"), None)] == [503] * 3
            assert httpx.get(server.url + "/health").status_code == 200
            proxy.heal()
            assert eventually(lambda: answers(server, header) == 200)
            assert answers(server) == 401


def test_a_database_that_is_away_without_tokens_is_told_at_ready(tiers: Tiers) -> None:
    host, _, port = tiers.uri.partition("://")[2].partition("/")[0].partition(":")
    database = tiers.uri.partition("?")[0].rpartition("/")[2]
    with TcpProxy(host, int(port)) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/{database}?directConnection=true"
        with Tiers(uri, tiers.place).serve() as server:
            assert httpx.get(server.url + "/ready").status_code == 200
            proxy.stall()
            answer = httpx.get(server.url + "/ready", timeout=SECONDS)
            assert (answer.status_code, answer.json()["error"]) == (503, "Unavailable")
            proxy.heal()
            assert eventually(lambda: httpx.get(server.url + "/ready", timeout=SECONDS).status_code == 200)


# ---------------------------------------------------------------- --check


def checked(*args: object, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and what was found by what it is of."""
    done = command("server", "--check", "--json", *args, **env)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return done.returncode, {one["what"]: (one["state"], one["message"]) for one in found["checks"]}


def test_check_finds_all_well(tiers: Tiers) -> None:
    code, found = checked(**tiers.env)
    assert (code, {state for state, _ in found.values()}) == (0, {"ok"})
    assert list(found) == ["MongoDB", "MongoDB writes", "MongoDB indexes", "MongoDB clock", "S3", "S3 clock"]
    told = command("server", "--check", **tiers.env)
    assert (told.returncode, told.stderr) == (0, "")
    assert [line.split(":")[0] for line in told.stdout.splitlines()] == [f"ok       {what}" for what in found]
    assert list(keys_of(tiers)) == []
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(tiers.uri)
    with client:
        assert client.get_default_database()["checks"].count_documents({}) == 0


def keys_of(tiers: Tiers) -> Iterator[str]:
    for page in tiers.place.store().list():
        yield from (one["path"] for one in page)


def test_check_of_places_that_are_not_there(tiers: Tiers) -> None:
    """Each is looked at, whatever became of the one before it; what was missing is said, and what to do."""
    code, found = checked("--mongo", "mongodb://127.0.0.1:1/db", "--s3", "s3://no-such-bucket/x", **tiers.place.env)
    assert code == 1
    assert {what: state for what, (state, _) in found.items()} == {"MongoDB": "failed", "S3": "failed"}
    assert "does not answer" in found["MongoDB"][1]
    assert "Correct the URI" in found["MongoDB"][1]
    assert "there is no such bucket. Create it" in found["S3"][1]
    told = command(
        "server", "--check", "--mongo", "mongodb://127.0.0.1:1/db", "--s3", tiers.place.url, **tiers.place.env
    )
    assert told.returncode == 1
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["failed", "ok", "ok"]


def test_check_of_credentials_that_are_wrong(tiers: Tiers) -> None:
    code, found = checked(**tiers.env | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert (code, found["S3"][0]) == (1, "failed")
    assert "AWS_SECRET_ACCESS_KEY" in found["S3"][1]


def test_check_of_a_server_that_is_no_replica_set(s3_place: Place, tmp_path: Path) -> None:
    node = Mongod(tmp_path)
    with contextlib.closing(node):
        node.start()
        node.wait_until_up()
        code, found = checked("--mongo", node.uri, "--s3", s3_place.url, **s3_place.env)
    assert (code, found["MongoDB"][0]) == (1, "failed")
    assert "start mongod with --replSet rs0, run rs.initiate() once" in found["MongoDB"][1]
    assert found["S3"][0] == "ok"


def test_check_of_a_user_without_the_right(s3_place: Place, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a" * 64)
    key.chmod(0o600)
    with replica_set(folder=tmp_path / "nodes", args=("--auth", "--keyFile", str(key))) as mongo:
        with mongo.client() as admin:
            admin.admin.command("createUser", "root", pwd="pw", roles=["root"])
        node = mongo.nodes[0].address
        with pymongo.MongoClient[dict[str, Any]](f"mongodb://root:pw@{node}/?replicaSet=rs0") as root:
            root["dash"].command("createUser", "reader", pwd="pw", roles=[{"role": "read", "db": "dash"}])
            root["dash"].command("createUser", "writer", pwd="pw", roles=[{"role": "readWrite", "db": "dash"}])
        uri = with_database(f"mongodb://USER:pw@{node}/?replicaSet=rs0", "dash")
        code, found = checked("--mongo", uri.replace("USER", "reader"), "--s3", s3_place.url, **s3_place.env)
        assert code == 1
        assert found["MongoDB"][0] == "ok"
        assert 'db.grantRolesToUser(user, [{role: "readWrite", db: "dash"}])' in found["MongoDB writes"][1]
        assert found["MongoDB indexes"][0] == "failed"
        wrong, unknown = checked("--mongo", uri.replace("USER:pw", "writer:no"), "--s3", s3_place.url, **s3_place.env)
        assert (wrong, unknown["MongoDB"][0]) == (1, "failed")
        assert "Authentication failed" in unknown["MongoDB"][1]
        code, found = checked("--mongo", uri.replace("USER", "writer"), "--s3", s3_place.url, **s3_place.env)
        assert (code, {state for state, _ in found.values()}) == (0, {"ok"})


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (20, "warning"), (-20, "warning")])
def test_check_tells_of_clocks_that_differ(
    tiers: Tiers, monkeypatch: pytest.MonkeyPatch, seconds: int, state: str
) -> None:
    """A warning: it works, but leases and the times of points go by clocks."""
    tiers.place.set(monkeypatch)
    with contextlib.closing(Hot(tiers.uri)) as hot, contextlib.closing(Cold(tiers.place.url)) as cold:
        found = {one.what: one for one in examine(hot, cold, clock=lambda: time.time() - seconds)}
    for what in ("MongoDB clock", "S3 clock"):
        assert found[what].state == state
        if seconds:
            assert ("ahead of" if seconds > 0 else "behind") in found[what].message
            assert "Set both by NTP" in found[what].message
