"""S3 fails for longer than an archiver is patient: rows are taken as ever, stay in MongoDB, read right; chunks are made when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.server.cutting_proxy import Answer, CutRequest, CuttingProxy, Lose, Slow, Stall
from tests.tiered.clients import THRESHOLD, Appender, Log, Reader, at_work, go_on, make_series, until
from tests.tiered.stored import check, glance
from tests.tiered.tiers import Tiers

CLIENTS = 8


def _refuse(proxy: CuttingProxy) -> None:
    proxy.refuse()


def _every(act) -> Callable[[CuttingProxy], None]:
    def fail(proxy: CuttingProxy) -> None:
        proxy.otherwise = act
        proxy.cut()

    return fail


FAULTS = {
    "down": _refuse,
    "silent": _every(Stall()),
    "slow": _every(Slow(0.05, 200)),
    "answers 500": _every(Answer(500)),
    "answers 503": _every(Answer(503, headers={"Retry-After": "1"})),
    "cut before the body": _every(CutRequest(600)),
    "done, but the answer is lost": _every(Lose()),
    "answers cut short": _every(Lose(after=-10)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_s3_fails_for_a_while(tiers: Tiers, fault: str):
    """From before the first chunk on until many thresholds' worth of rows wait: appends and hot reads never notice."""
    with closing(tiers.store()) as store:
        [series] = make_series(store, 1)
    with CuttingProxy(tiers.place.endpoint) as proxy:
        apart = Tiers(tiers.uri, tiers.place.through(proxy.url), tiers.folder)
        FAULTS[fault](proxy)
        with apart.servers(2) as servers:
            appenders = [Appender(number, servers.urls, [series], 100, patience=10.0) for number in range(CLIENTS)]
            reader = Reader(servers.urls, series, appenders, patience=10.0)
            with at_work([*appenders, reader]):
                pass
            assert sum(one.refused for one in appenders) == 0
            assert reader.reads > 0
            if fault != "slow":
                assert glance(tiers.uri, series).cold == 0
                assert reader.refused == 0
            proxy.heal()
            if fault == "down":
                proxy.listen()
            until(lambda: glance(tiers.uri, series).hot < THRESHOLD, "the rows move to chunks")
        check(tiers.uri, tiers.place, [one.log for one in appenders], [series])


@pytest.mark.parametrize("fault", ["down", "answers 500", "done, but the answer is lost"])
def test_s3_fails_while_rows_are_in_chunks(tiers: Tiers, fault: str):
    """Rows in chunks cannot be read for the while, or come from memory, unchanged; rows in MongoDB read on; appends never notice."""
    with closing(tiers.store(archive=True)) as store:
        [series] = make_series(store, 1)
        log = Log(100)
        log.append(store, series, 200)
        until(lambda: glance(tiers.uri, series).hot < THRESHOLD, "rows are in chunks")
    with CuttingProxy(tiers.place.endpoint) as proxy:
        apart = Tiers(tiers.uri, tiers.place.through(proxy.url), tiers.folder)
        with apart.servers(2) as servers:
            # Slowly: chunks are of some 50 rows here, and the reader wants thousands of them through the proxy.
            appenders = [
                Appender(number, servers.urls, [series], pause=0.3, patience=20.0) for number in range(CLIENTS)
            ]
            reader = Reader(servers.urls, series, appenders, patience=20.0)
            with at_work([*appenders, reader]):
                until(lambda: reader.reads > 3, "reads before the fault")
                FAULTS[fault](proxy)
                time.sleep(2.0)
                go_on(appenders)
                proxy.heal()
                if fault == "down":
                    proxy.listen()
                read = reader.reads
                until(lambda: reader.reads > read + 3, "reads after it")
            assert sum(one.refused for one in appenders) == 0
        check(tiers.uri, tiers.place, [log, *(one.log for one in appenders)], [series])
