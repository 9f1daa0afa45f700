"""MongoDB fails under servers that are being written to and read: nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ml_dash.errors import Unavailable
from ml_dash.store.remote import RemoteStore
from tests.services import TcpProxy, fresh_database, replica_set
from tests.tiered.clients import Appender, Reader, at_work, go_on, make_series
from tests.tiered.stored import check
from tests.tiered.tiers import Tiers

CLIENTS = 8


def test_the_primary_of_three_is_killed(s3_place, tmp_path: Path, monkeypatch):
    """kill -9 of MongoDB's primary under continuous writing, twice, the dead node started again between: another is elected, and what
    was acknowledged is there. Reads may lag behind for the moment of the election, never contradict what was read before."""
    s3_place.set(monkeypatch)
    with replica_set(nodes=3) as mongo:
        tiers = Tiers(fresh_database(mongo.uri), s3_place, tmp_path)
        with closing(tiers.store()) as store:
            some = make_series(store, 2)
        with tiers.servers(2) as servers:
            appenders = [
                Appender(number, servers.urls, some, width=2, pause=0.02, patience=20.0) for number in range(CLIENTS)
            ]
            reader = Reader(servers.urls, some[0], appenders, at_once=False, patience=20.0)
            with at_work([*appenders, reader]):
                for _ in range(2):
                    go_on(appenders)
                    dead = mongo.primary()
                    dead.kill()
                    assert mongo.wait_for_primary() is not dead
                    go_on(appenders)
                    dead.start()
                    dead.wait_until_up()
            mongo.wait_for_primary()
            check(tiers.uri, tiers.place, [one.log for one in appenders], some)


def _cut(proxy: TcpProxy) -> None:
    for size in (1, 2000, 20_000, 300, 5000, 50):
        proxy.cut_after(size)
        time.sleep(0.3)
        proxy.cut()


FAULTS: dict[str, Callable[[TcpProxy], None]] = {
    "refused": TcpProxy.refuse,
    "silent": TcpProxy.stall,
    "slow": lambda proxy: proxy.slow(0.05),
    "cut": _cut,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_mongodb_cannot_be_reached_for_a_while(tiers: Tiers, fault: str):
    """Refused, silent, slow or cut again and again, while clients go on sending: the server says what is wrong, and all is well after."""
    port = int(tiers.uri.split(":")[2].split("/")[0])
    with TcpProxy("127.0.0.1", port) as proxy:
        through = tiers.uri.replace(str(port), str(proxy.port)).partition("?")[0] + "?directConnection=true"
        with closing(tiers.store()) as store:
            [series] = make_series(store, 1)
        apart = Tiers(through, tiers.place, tiers.folder)
        with apart.servers(2, timeout=1.0) as servers:
            appenders = [
                Appender(number, servers.urls, [series], pause=0.05, patience=10.0) for number in range(CLIENTS)
            ]
            reader = Reader(servers.urls, series, appenders, patience=10.0)
            with at_work([*appenders, reader]):
                go_on(appenders)
                FAULTS[fault](proxy)
                time.sleep(3.0)
                if fault in {"refused", "silent"}:
                    with pytest.raises(Unavailable, match="MongoDB"), closing(RemoteStore(servers.urls[0])) as client:
                        client.read(series, 0, None)
                proxy.heal()
                go_on(appenders)
            if fault in {"refused", "silent"}:
                assert sum(one.refused for one in appenders) > 0
            check(tiers.uri, tiers.place, [one.log for one in appenders], [series])
