"""The services themselves: that they are what they say, shared, and gone when their session is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import obstore
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.server.cutting_proxy import Answer, CuttingProxy
from tests.services import TcpProxy, replica_set

ROOT = Path(__file__).parents[2]
SESSION = """
import time
def test_long(mongo_uri, s3_bucket):
    print("UP", mongo_uri, s3_bucket.endpoint, flush=True)
    time.sleep({seconds})
"""


def test_mongodb_takes_majority_writes_and_a_database_is_the_tests_own(fresh_database):
    """Two URIs are two databases; sessions work, as on a replica set."""
    first, second = fresh_database(), fresh_database()
    with MongoClient[dict](first, w="majority", journal=True) as a, MongoClient[dict](second) as b:
        with a.start_session(causal_consistency=True) as session:
            a.get_default_database().things.insert_one({"_id": 1}, session=session)
            assert a.get_default_database().things.find_one(session=session) == {"_id": 1}
        assert b.get_default_database().list_collection_names() == []


def test_a_place_in_the_bucket_is_the_tests_own(s3_place, s3_bucket):
    """What is written at one place is at no other, and the key is looked at."""
    s3_place.store().put("folder/a", b"123")
    assert bytes(s3_place.store().get("folder/a").bytes()) == b"123"
    assert list(s3_place.fresh().store().list()) == []
    assert [o["path"] for o in s3_bucket.store().list(s3_place.prefix).collect()] == [f"{s3_place.prefix}/folder/a"]
    stranger = type(s3_place)(s3_place.endpoint, s3_place.bucket, s3_place.prefix, "test-key", "wrong")
    with pytest.raises(obstore.exceptions.BaseError):
        stranger.store().put("folder/b", b"1")


def test_an_object_is_put_once(s3_place):
    """If-None-Match is honoured: the second PUT of a key is refused."""
    s3_place.store().put("a", b"1", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        s3_place.store().put("a", b"2", mode="create")


def test_requests_to_s3_go_through_a_proxy(s3_place):
    """Signatures hold through a proxy, and it can answer in the service's place."""
    with CuttingProxy(s3_place.endpoint) as proxy:
        store = s3_place.through(proxy.url).store()
        store.put("a", b"1")
        proxy.plan(Answer(500))
        with pytest.raises(obstore.exceptions.BaseError):
            store.get("a")
        assert bytes(store.get("a").bytes()) == b"1"


def test_a_tcp_proxy_stalls_cuts_refuses_and_heals(mongo_uri):
    """A client of MongoDB meets each of them, and goes on after `heal`."""
    port = int(mongo_uri.split(":")[2].split("/")[0])
    with TcpProxy("127.0.0.1", port) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&retryReads=false"
        with MongoClient[dict](
            uri, serverSelectionTimeoutMS=300, socketTimeoutMS=300, heartbeatFrequencyMS=500
        ) as client:
            for fail in (proxy.stall, proxy.refuse):
                assert client.admin.command("ping")
                fail()
                with pytest.raises(PyMongoError):
                    client.admin.command("ping")
                proxy.heal()
                _until(lambda: _answers(client))
            proxy.cut_after(1)
            with pytest.raises(PyMongoError):
                client.admin.command("ping")
            _until(lambda: _answers(client))


def test_a_replica_set_outlives_its_primary():
    """After kill -9 of the primary another takes writes, and what a majority had is there; the dead node comes back."""
    with replica_set(nodes=3) as mongo, mongo.client() as client:
        things = client.get_database("d").things
        things.insert_one({"_id": 1})
        dead = mongo.primary()
        dead.kill()
        assert mongo.wait_for_primary() is not dead
        _until(lambda: things.find_one() == {"_id": 1})
        dead.start()
        dead.wait_until_up()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, None])
def test_services_end_with_the_session_that_started_them(tmp_path, number):
    """However pytest ends, also by SIGKILL, the services end soon after it."""
    (tmp_path / "test_it.py").write_text(SESSION.format(seconds=60 if number else 0))
    (tmp_path / "conftest.py").write_text("from tests.services.fixtures import _services, mongo_uri, s3_bucket\n")
    options = [
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        "/dev/null",
        "--basetemp",
        str(tmp_path / "base"),
    ]
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    env.pop("PYTEST_XDIST_WORKER", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True, cwd=tmp_path) as session:
        try:
            assert session.stdout
            said = next(line for line in session.stdout if "UP" in line)
            mongo, s3 = said.split()[-2:]
            ports = [int(mongo.split(":")[2].split("/")[0]), int(s3.split(":")[2])]
            if number:
                assert all(map(_listens, ports))
                session.send_signal(number)
            session.wait(60)
        finally:
            session.kill()
    _until(lambda: not any(map(_listens, ports)))


def _answers(client: MongoClient) -> bool:
    try:
        return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(holds, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)
