"""The load generator of the ingest figures: one process, many connections, bodies made before the clock starts.

`load.py URL PID CONNECTIONS REQUESTS POINTS CODING LABEL [--series N] [--of M] [--seconds S]` prints one line of JSON. Every
connection is a client with a run of its own, LABEL-0, LABEL-1, …, with a writer and seqs as our uploader has them; each sends
its next request when the last one was answered. The first request of each, which makes the series, comes before the clock.
CODING is `zstd` (as our client compresses) or `plain`. PID is the server's, whose processor time and memory are told beside this
process's own. LABEL `floor` makes no runs.

A request brings POINTS to each of N series (1), taken in turn from M (N). After S seconds nothing more is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from ml_dash.model import RunKey, RunPatch
from ml_dash.store.http_client import compressed
from ml_dash.store.remote import RemoteStore

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import servers
from bench.measure import METRIC, PROJECT
from bench.worker import points as values_of

WRITER = "5eed0000000000000000000000000000"
FLOOR = "floor"
MEMORY_PARTS = 10


def lines(start: int, stop: int) -> bytes:
    """Points as docs/formats/series.md has them."""
    rows = ({"value": value, "step": step, "epoch": epoch} for value, step, epoch in values_of(start, stop))
    return b"".join(b'{"index": %d, "data": %b}\n' % (i, json.dumps(row).encode()) for i, row in enumerate(rows, start))


def series_name(number: int, of: int) -> str:
    return METRIC if of == 1 else f"{METRIC}_{number}"


def head(run: str, name: str, start: int, count: int, size: int) -> bytes:
    """What precedes a batch's lines; see docs/formats/protocol.md."""
    told = {"run": run, "kind": "metrics", "name": name, "count": count, "size": size, "writer": WRITER, "seq": start}
    return json.dumps({**told, "times": [[0, int(time.time() * 1000)]]}).encode() + b"\n"


def request(host: str, body: bytes, coding: str) -> bytes:
    headers = ["POST /api/v1/append HTTP/1.1", f"Host: {host}", "Content-Type: application/x-ml-dash-batches"]
    if coding == "zstd":
        body = compressed(body)
        headers.append("Content-Encoding: zstd")
    headers.append(f"Content-Length: {len(body)}")
    return "\r\n".join(headers).encode() + b"\r\n\r\n" + body


@dataclass
class Watch:
    """What all connections share: when to stop, and the server's memory after each tenth of the requests."""

    pid: int
    requests: int
    until: float = float("inf")
    answered: int = 0
    memory: list[int] = field(default_factory=list)

    def note(self) -> None:
        self.answered += 1
        if self.answered * MEMORY_PARTS >= (len(self.memory) + 1) * self.requests:
            self.memory.append(servers.resident(self.pid))


class Client(asyncio.Protocol):
    """One connection: sends its requests one after the other."""

    def __init__(self, requests: list[bytes], watch: Watch) -> None:
        self.requests = requests
        self._watch = watch
        self.spans: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self._answer = b""
        self._at = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, stop: int) -> asyncio.Future[None]:
        """Send the requests up to number `stop`."""
        self.done, self._stop = asyncio.get_running_loop().create_future(), stop
        self._next()
        return self.done

    def _next(self) -> None:
        if self._at == self._stop or time.perf_counter() > self._watch.until:
            self.done.set_result(None)
            return
        self._since = time.perf_counter()
        self.transport.write(self.requests[self._at])
        self._at += 1

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < size:
            return
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(f"the server answered {self._answer[:400]!r}"))
            return
        self.spans.append(time.perf_counter() - self._since)
        self._watch.note()
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


def prepared(options: argparse.Namespace) -> list[list[bytes]]:
    """Every request of every connection; their runs are made."""
    store, host = RemoteStore(options.url), urlsplit(options.url).netloc
    points, of = options.points, options.of
    turns = range(options.requests + 1)
    parts = [lines(turn * points, (turn + 1) * points) for turn in range(turns[-1] * options.series // of + 1)]
    found = []
    for connection in range(options.connections):
        run = options.label
        if run != FLOOR:
            run = store.put_run(RunKey("", PROJECT, f"{run}-{connection}"), RunPatch()).id
        found.append([request(host, body(run, turn, parts, options), options.coding) for turn in turns])
    store.close()
    return found


def body(run: str, turn: int, parts: list[bytes], options: argparse.Namespace) -> bytes:
    """The batches of one request: of `series` series, in turn, each where its last one ended."""
    points, of, out = options.points, options.of, []
    for at in range(turn * options.series, (turn + 1) * options.series):
        part = parts[at // of]
        out += [head(run, series_name(at % of, of), at // of * points, points, len(part)), part]
    return b"".join(out)


def own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run(options: argparse.Namespace, prepared_requests: list[list[bytes]]) -> dict[str, Any]:
    loop, parts, pid = asyncio.get_running_loop(), urlsplit(options.url), options.pid
    host, port, clients = parts.hostname or "", parts.port or 0, []
    watch = Watch(pid, sum(len(requests) for requests in prepared_requests))
    for requests in prepared_requests:
        _, client = await loop.create_connection(partial(Client, requests, watch), host, port)
        clients.append(client)
    await asyncio.gather(*(client.send(1) for client in clients))
    for client in clients:
        client.spans.clear()
    own, theirs, start = own_seconds(), servers.cpu_seconds(pid), time.perf_counter()
    watch.until = start + options.seconds
    await asyncio.gather(*(client.send(len(client.requests)) for client in clients))
    seconds = time.perf_counter() - start
    spans = sorted(span for client in clients for span in client.spans)
    return {
        "seconds": seconds,
        "requests": len(spans),
        "sent": [len(client.spans) + 1 for client in clients],
        "own_cpu": own_seconds() - own,
        "server_cpu": servers.cpu_seconds(pid) - theirs,
        "memory": watch.memory,
        "middle": statistics.median(spans),
        "slowest": spans[int(len(spans) * 0.99)],
        "bytes": sum(len(one) for requests in prepared_requests for one in requests[1:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    for name in ("pid", "connections", "requests", "points"):
        parser.add_argument(name, type=int)
    parser.add_argument("coding", choices=("zstd", "plain"))
    parser.add_argument("label")
    parser.add_argument("--series", type=int, default=1)
    parser.add_argument("--of", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    options.of = options.of or options.series
    made = prepared(options)
    gc.collect()
    gc.freeze()
    print(json.dumps(uvloop.run(run(options, made))))


if __name__ == "__main__":
    main()
