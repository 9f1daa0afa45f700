"""What the server counts, for Prometheus, and a store that counts what goes through it. One registry a process; what the store
counts of itself (`store.counts`) is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ml_dash.server.asgi import HttpScope
from ml_dash.server.shared_metrics import SharedMetrics
from ml_dash.store import counts as kinds

if TYPE_CHECKING:
    from ml_dash.model import Appended, Batch
    from ml_dash.store.base import Store

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one process. With `shared`, /metrics tells those of all processes of the server."""

    def __init__(self, counts: kinds.Counts | None = None, shared: SharedMetrics | None = None) -> None:
        self._shared = shared
        self.registry = CollectorRegistry()
        if counts is not None:
            self.registry.register(_OfStore(counts))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = self._counter("ml_dash_requests", "Requests answered.", "method", "route", "status")
        self.seconds = self._histogram(
            "ml_dash_request_seconds", "Time from a request's head to its answer's end.", "route"
        )
        self.bytes_in = self._counter("ml_dash_request_bytes", "Bytes of request bodies, as they came over the wire.")
        self.bytes_out = self._counter(
            "ml_dash_response_bytes", "Bytes of answers' bodies, as they went over the wire."
        )
        self.in_flight = Gauge("ml_dash_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.refused = self._counter("ml_dash_refused", "Requests that did not reach the app, by reason.", "reason")
        self.batches = self._counter("ml_dash_appends", "Batches of rows appended.")
        self.points = self._counter("ml_dash_points", "Rows stored; those that were there already are not counted.")
        self.append_seconds = self._histogram("ml_dash_append_seconds", "Time of one call of the store's append.")
        self.flush_seconds = self._histogram("ml_dash_flush_seconds", "Time of one call of the store's flush.")
        if shared is not None:
            shared.watch(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_SECONDS)

    def answered(
        self, scope: HttpScope, route: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        """A request has ended. Labels are of a bounded number: `route` is a template, never what a client wrote."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        self.bytes_in.inc(bytes_in)
        self.bytes_out.inc(bytes_out)

    def text(self) -> bytes:
        """All of it in Prometheus' text format, of `CONTENT_TYPE`."""
        return generate_latest(self.registry if self._shared is None else self._shared.of_all(self.registry))


class _OfStore(Collector):
    """A store's own counts, as Prometheus' families."""

    def __init__(self, counts: kinds.Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        return map(_family, self._counts.families())


def _family(one: kinds.Counter | kinds.Gauge | kinds.Histogram) -> Metric:
    if isinstance(one, kinds.Gauge):
        return GaugeMetricFamily(one.name, one.text, one.value)
    labels = [one.label] if one.label else []
    if isinstance(one, kinds.Counter):
        counter = CounterMetricFamily(one.name, one.text, labels=labels)
        for label, value in one.values().items():
            counter.add_metric([label] if labels else [], value)
        return counter
    histogram = HistogramMetricFamily(one.name, one.text, labels=labels)
    bounds = [*map(floatToGoString, one.bounds), "+Inf"]
    for label, (found, total) in one.values().items():
        histogram.add_metric([label] if labels else [], list(zip(bounds, accumulate(found), strict=True)), total)
    return histogram


class MeteredStore:
    """A store whose appends and flushes are counted; all else is the store's own."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """See `Store.append`."""
        with self._metrics.append_seconds.time():
            appended = self._store.append(batches)
        self._metrics.batches.inc(len(appended))
        self._metrics.points.inc(sum(one.count for one in appended))
        return appended

    def flush(self, run: str | None = None) -> None:
        """See `Store.flush`."""
        with self._metrics.flush_seconds.time():
            self._store.flush(run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def metered(store: Store, metrics: Metrics) -> Store:
    """`store`, counted in `metrics`."""
    return cast("Store", MeteredStore(store, metrics))
