"""The figures of several processes on one socket: whichever is asked tells those of all, each with its ``worker``'s number.

Each process leaves its figures in a file of a folder that they share, every `EVERY` seconds and before it answers, and answers
from the files alone. So what is told of a process never goes back while it lives, whoever tells it; a process that took a
dead one's place begins at 0, as Prometheus expects of a restart. Files are a few KB, and none is synced: they die with the server.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ml_dash.store.atomic import write_atomically

EVERY = 5.0
"""Seconds; Prometheus asks every 15 s or less often, as a rule."""


class _Family(msgspec.Struct, array_like=True):
    """`samples` are (name, labels, value)."""

    name: str
    text: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Family]).decode


class SharedMetrics:
    """The files in `folder`, and this process's among them: that of worker `number`. Whoever makes it closes it."""

    def __init__(self, folder: str, number: int, *, every: float = EVERY) -> None:
        self._folder = folder
        self._path = os.path.join(folder, f"{number}.json")
        self._every = every
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, registry: Collector) -> None:
        """Leave the figures of `registry` here from time to time, from now on."""
        self.leave(registry)
        self._thread = threading.Thread(target=self._watch, args=(registry,), name="ml-dash-metrics", daemon=True)
        self._thread.start()

    def _watch(self, registry: Collector) -> None:
        while not self._ended.wait(self._every):
            self.leave(registry)

    def leave(self, registry: Collector) -> None:
        """Leave the figures here now."""
        with self._mutex:
            families = [
                _Family(
                    family.name,
                    family.documentation,
                    family.type,
                    [(one.name, dict(one.labels), float(one.value)) for one in family.samples],
                )
                for family in registry.collect()
            ]
            write_atomically(self._path, _encode(families), sync=False)

    def of_all(self, registry: Collector) -> Collector:
        """Those of every process; this one's, in `registry`, as they are now."""
        self.leave(registry)
        return _Merged(self._all())

    def _all(self) -> Iterator[tuple[str, list[_Family]]]:
        for name in sorted(os.listdir(self._folder)):
            number, dot, kind = name.partition(".")
            if dot and kind == "json":
                with open(os.path.join(self._folder, name), "rb") as file:
                    yield number, _decode(file.read())

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()


class _Merged(Collector):
    """Families of several processes: each family once, as the text format wants it."""

    def __init__(self, found: Iterable[tuple[str, list[_Family]]]) -> None:
        self._found = list(found)

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for number, families in self._found:
            for family in families:
                metric = merged.setdefault(family.name, Metric(family.name, family.text, family.type))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {**labels, "worker": number}, value)
        return iter(merged.values())
