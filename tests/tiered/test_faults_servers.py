"""Several servers on one pair of tiers, with many clients: some are stopped, some killed; nothing is lost, doubled or out of place."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing
from functools import partial

from ml_dash.model import SeriesKey
from tests.server.cutting_proxy import CutRequest, CuttingProxy, Lose, Pass
from tests.tiered.clients import Appender, Reader, at_work, make_series, until
from tests.tiered.stored import check, glance
from tests.tiered.tiers import Tiers

CLIENTS = 16


def test_sixteen_clients_on_three_servers_share_one_series(tiers: Tiers):
    """Every server races the others for every index, while rows move to chunks below."""
    with closing(tiers.store()) as store:
        [series] = make_series(store, 1)
    with tiers.servers(3) as servers:
        appenders = [Appender(number, servers.urls, [series]) for number in range(CLIENTS)]
        reader = Reader(servers.urls, series, appenders)
        with at_work([*appenders, reader]):
            for _ in range(6):
                until(partial(_sealed_beyond, tiers, series, _sealed(tiers, series)), "rows move to a chunk")
            until(lambda: all(one.log.sent.get(series, 0) >= 150 for one in appenders), "everyone has appended")
            until(lambda: reader.reads > 3, "somebody reads")
        found = check(tiers.uri, tiers.place, [one.log for one in appenders], [series])[series]
    assert len(found.points) == sum(one.log.sent[series] for one in appenders)
    assert len(found.chunks) >= 6


def test_sixteen_clients_on_three_servers_write_five_hundred_series(tiers: Tiers):
    """Calls of up to 40 series each, every series written by two clients."""
    with closing(tiers.store()) as store:
        some = make_series(store, 500)
    with tiers.servers(3) as servers:
        appenders = [
            Appender(number, servers.urls, some[number % 8 :: 8], 40, width=40, most=20) for number in range(CLIENTS)
        ]
        reader = Reader(servers.urls, some[0], appenders)
        with at_work([*appenders, reader]):
            pass
        found = check(tiers.uri, tiers.place, [one.log for one in appenders], some)
    assert all(len(one.points) == 80 for one in found.values())


def test_a_server_that_was_stopped_for_long_does_no_harm(tiers: Tiers):
    """SIGSTOP in the middle of its requests, longer than any lease, while the others append and archive beyond all that it knew; then
    it goes on where it was."""
    with closing(tiers.store()) as store:
        [series] = make_series(store, 1)
    with tiers.servers(3) as servers:
        appenders = [Appender(number, servers.urls, [series], pause=0.01, patience=0.5) for number in range(CLIENTS)]
        reader = Reader(servers.urls, series, appenders, patience=0.5)
        with at_work([*appenders, reader]):
            for stopped in servers:
                sealed = _sealed(tiers, series)
                stopped.pause()
                time.sleep(1.5)
                until(partial(_sealed_beyond, tiers, series, sealed), "the others archive")
                stopped.resume()
        found = check(tiers.uri, tiers.place, [one.log for one in appenders], [series])[series]
    assert len(found.points) == sum(one.log.sent[series] for one in appenders)
    assert sum(one.refused for one in appenders) > 0


def test_servers_that_are_killed_in_the_middle_of_requests(tiers: Tiers):
    """kill -9 of one after the other, started again, several times: what was acknowledged is there, what was not is sent again."""
    rng = random.Random(5)
    with closing(tiers.store()) as store:
        some = make_series(store, 5)
    with tiers.servers(3) as servers:
        appenders = [
            Appender(number, servers.urls, some, 60, width=3, pause=0.01, patience=1.0) for number in range(CLIENTS)
        ]
        reader = Reader(servers.urls, some[0], appenders, patience=1.0)
        with at_work([*appenders, reader]):
            for killed in [*servers, *servers]:
                time.sleep(rng.uniform(0.05, 0.4))
                killed.kill()
                time.sleep(rng.uniform(0.0, 0.3))
                killed.start()
                killed.wait_until_up()
        found = check(tiers.uri, tiers.place, [one.log for one in appenders], some)
    assert all(len(one.points) == CLIENTS * 60 for one in found.values())
    assert sum(one.refused for one in appenders) > 0


def test_answers_are_lost_on_the_way_to_the_client(tiers: Tiers):
    """What was asked is done, and the client does not hear of it; or its request ends in the middle. It asks another server, while its
    rows move to chunks."""
    acts = [Lose(), Lose(after=-5), Pass(), CutRequest(200), Lose(reset=True), CutRequest(2000), Pass()]
    with closing(tiers.store()) as store:
        some = make_series(store, 3)
    with tiers.servers(2) as servers, ExitStack() as stack:
        proxies = [stack.enter_context(CuttingProxy(url)) for url in servers.urls]
        for proxy in proxies:
            proxy.only = lambda request: request.method == "POST"
            proxy.plan(*acts * 40)
        urls = [proxy.url for proxy in proxies]
        appenders = [Appender(number, urls, some, 80, width=2) for number in range(CLIENTS)]
        with at_work([*appenders, Reader(servers.urls, some[0], appenders)]):
            pass
        found = check(tiers.uri, tiers.place, [one.log for one in appenders], some)
    assert all(len(one.points) == CLIENTS * 80 for one in found.values())
    assert sum(one.refused for one in appenders) > CLIENTS


def _sealed_beyond(tiers: Tiers, series: SeriesKey, least: int) -> bool:
    return _sealed(tiers, series) > least


def _sealed(tiers: Tiers, series: SeriesKey) -> int:
    return glance(tiers.uri, series).cold
