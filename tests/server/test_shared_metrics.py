"""Figures of a store's own, and of several processes on one socket: whichever is asked tells those of all, and none goes back."""

from __future__ import annotations

import contextlib
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from ml_dash.server.metrics import Metrics
from ml_dash.server.shared_metrics import SharedMetrics
from ml_dash.store.counts import Counts
from tests.crash.children import eventually


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(name with its other labels, worker) → value; the text must be one that Prometheus reads, each family in it once."""
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert len({family.name for family in families}) == len(families)
    found = {}
    for sample in (sample for family in families for sample in family.samples):
        others = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()) if key != "worker")
        found[f"{sample.name}{{{others}}}", sample.labels.get("worker", "")] = sample.value
    return found


def test_what_a_store_counts_is_told() -> None:
    counts = Counts()
    counts.group_batches.observe(3)
    counts.group_batches.observe(5000)
    counts.archive_lag.set(1.5)
    counts.archived_points.add(10_000)
    counts.cold.note("put", 0.02, worked=False)
    found = samples(Metrics(counts))
    told = {name: value for (name, _), value in found.items()}
    assert told["ml_dash_group_batches_bucket{le=2.0}"] == 0
    assert told["ml_dash_group_batches_bucket{le=4.0}"] == 1
    assert told["ml_dash_group_batches_bucket{le=+Inf}"] == told["ml_dash_group_batches_count{}"] == 2
    assert told["ml_dash_group_batches_sum{}"] == 5003
    assert told["ml_dash_archive_lag_seconds{}"] == 1.5
    assert told["ml_dash_archived_points_total{}"] == 10_000
    assert told["ml_dash_cold_failures_total{operation=put}"] == 1
    assert told["ml_dash_cold_seconds_bucket{le=0.01,operation=put}"] == 0
    assert told["ml_dash_cold_seconds_bucket{le=0.025,operation=put}"] == 1


def test_whichever_process_is_asked_tells_all(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        shared = [
            stack.enter_context(contextlib.closing(SharedMetrics(str(tmp_path), n, every=3600))) for n in range(2)
        ]
        first, second = (Metrics(Counts(), one) for one in shared)
        first.points.inc(3)
        second.points.inc(4)
        second.requests.labels("GET", "/x", "200").inc()
        samples(first), samples(second)  # each leaves its own
        for metrics in (first, second):
            found = samples(metrics)
            assert found["ml_dash_points_total{}", "0"] == 3
            assert found["ml_dash_points_total{}", "1"] == 4
            assert found["ml_dash_requests_total{method=GET,route=/x,status=200}", "1"] == 1
            assert found["process_resident_memory_bytes{}", "0"] > 0


def test_what_was_told_of_a_process_never_goes_back(tmp_path: Path) -> None:
    """Whoever tells it: a counter that went back would be taken for a restart."""
    with contextlib.ExitStack() as stack:
        shared = [
            stack.enter_context(contextlib.closing(SharedMetrics(str(tmp_path), n, every=3600))) for n in range(2)
        ]
        first, second = (Metrics(None, one) for one in shared)
        first.points.inc(3)
        assert samples(second)["ml_dash_points_total{}", "0"] == 0, "it has not told yet"
        assert samples(first)["ml_dash_points_total{}", "0"] == 3
        assert samples(second)["ml_dash_points_total{}", "0"] == 3


def test_a_process_tells_from_time_to_time_without_being_asked(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        quiet = stack.enter_context(contextlib.closing(SharedMetrics(str(tmp_path), 0, every=0.01)))
        asked = stack.enter_context(contextlib.closing(SharedMetrics(str(tmp_path), 1, every=3600)))
        busy, other = Metrics(None, quiet), Metrics(None, asked)
        busy.points.inc(3)
        assert eventually(lambda: samples(other)["ml_dash_points_total{}", "0"] == 3)


def test_who_takes_a_dead_one_s_place_begins_at_nought(tmp_path: Path) -> None:
    with contextlib.closing(SharedMetrics(str(tmp_path), 0, every=3600)) as shared:
        metrics = Metrics(None, shared)
        metrics.points.inc(3)
        assert samples(metrics)["ml_dash_points_total{}", "0"] == 3
    with contextlib.closing(SharedMetrics(str(tmp_path), 0, every=3600)) as shared:
        assert samples(Metrics(None, shared))["ml_dash_points_total{}", "0"] == 0


def test_a_server_of_one_process_has_no_such_label() -> None:
    assert {worker for _, worker in samples(Metrics(Counts()))} == {""}
