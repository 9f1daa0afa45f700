"""What the dashboard draws from, over two tiers and two servers: the same answers as over a folder, and what one server is told the
other tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ml_dash.codec import encode_row
from ml_dash.model import LOGS, METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.remote import RemoteStore
from tests.crash.children import eventually
from tests.server.calls import batch
from tests.server.frames import one, sampled
from tests.server.processes import ServerProcess
from tests.server.test_live import listening
from tests.services import Place

POINTS = 12_000
START = 1_700_000_000_000


@pytest.fixture
def servers(fresh_database: Callable[[], str], s3_place: Place) -> Iterator[list[ServerProcess]]:
    env = {"ML_DASH_MONGO": fresh_database(), "ML_DASH_S3": s3_place.url, **s3_place.env}
    with ServerProcess(None, env=env) as first, ServerProcess(None, env=env) as second:
        yield [first, second]


def fill(store: Store) -> str:
    """A run that somebody is in, with a long series and a log."""
    run = store.put_run(RunKey("", "project", "run"), RunPatch(join="x", params={"lr": 0.5})).id
    for first in range(0, POINTS, 1000):
        rows = [encode_row({"value": (at * 7919) % 1013, "step": 10 * at}) for at in range(first, first + 1000)]
        times = tuple((at, START + 1000 * (first + at)) for at in range(0, 1000, 10))
        store.append([Batch(SeriesKey(run, METRICS, "loss"), rows, "w", first, times)])
    entries = [encode_row({"level": "info", "message": f"step {at}"}) for at in range(100)]
    store.append([Batch(SeriesKey(run, LOGS, ""), entries, "w", 0)])
    return run


@pytest.mark.timeout(300)
def test_the_same_answers_as_over_a_folder(servers: list[ServerProcess], tmp_path: Path) -> None:
    """Also where a series lies in both tiers."""
    remote = RemoteStore(servers[0].url)
    run = fill(remote)
    assert eventually(lambda: remote.describe(run)[0].chunked >= 10_000)
    remote.close()
    local = LocalStore(tmp_path)
    same = fill(local)
    local.close()
    with (
        ServerProcess(tmp_path) as folder,
        httpx.Client(base_url=f"{servers[1].url}/api/v1", timeout=60) as tiers_api,
        httpx.Client(base_url=f"{folder.url}/api/v1", timeout=60) as folder_api,
    ):
        ranges: list[dict[str, Any]] = [{}, {"start": 9_000, "max_points": 50}, {"start": 11_990}, {"width": 1000}]
        for x in (None, "step", "time"):
            for asked in ranges:
                [found] = sampled(tiers_api, one(run, **asked), x=x)
                [expected] = sampled(folder_api, one(same, **asked), x=x)
                assert found.head == expected.head, (x, asked)
                for name, column in expected.columns.items():
                    assert np.allclose(found.columns[name], column), (x, asked, name)
        column = "metrics.loss.value"
        for api in (tiers_api, folder_api):
            told = api.get("/table", params={"project": "project", "columns": column}).json()
            assert told["params"]["lr"]["values"] == [0.5]
            assert told["columns"][column]["values"] == [(POINTS - 1) * 7919 % 1013]
            assert told["series"][0]["points"] == POINTS
            asked_of = told["runs"]["id"]
            summary = api.post("/summaries", json={"runs": asked_of, "columns": [f"{column}.max", f"{column}.count"]})
            assert summary.json()["values"] == {f"{column}.max": [1012], f"{column}.count": [POINTS]}
            text = f"params.lr = 0.5 and {column}.max = 1012 and status = 'RUNNING'"
            assert api.get("/match", params={"project": "project", "filter": text}).json() == {"runs": asked_of}
            rows = api.get(
                f"/runs/{asked_of[0]}/logs", params={"search": "STEP 9", "backward": True, "limit": 3}
            ).json()
            assert [row["index"] for row in rows["rows"]] == [97, 98, 99]
            assert api.get("/projects").json()["projects"][0]["running"] == 1


@pytest.mark.timeout(120)
def test_what_one_server_is_told_the_other_tells(servers: list[ServerProcess]) -> None:
    one_store = RemoteStore(servers[0].url)
    run = one_store.put_run(RunKey("", "project", "run"), RunPatch(join="x")).id
    with listening(servers[1].url) as ear:
        for count in range(1, 4):
            since = time.monotonic()
            one_store.append([batch(run, [1.0], writer="w", seq=count - 1)])
            ear.wait(lambda ear, count=count: ear.totals().get(run) == {"metrics/loss": count})  # type: ignore[misc]
            assert time.monotonic() - since < 5
        one_store.delete_run(run)
        ear.wait(lambda ear: run in ear.of_runs("gone"))
    one_store.close()
