"""Readers without a screen: each listens to the project's live stream and fetches what has come, as this project's page does, so that a
server is measured with many pages open and without as many browsers beside it. bench/dashboard_cases.py starts it.

`dashboard_crowd.py URL READERS`        says "listening" once all are connected, and reads until it is ended
"""

from __future__ import annotations

import asyncio
import json
import sys

import httpx

PROJECT = "bench"


async def reader(client: httpx.AsyncClient, connected: asyncio.Semaphore) -> None:
    known: dict[tuple[str, str], int] = {}
    async with client.stream("GET", "/api/v1/live", params={"project": PROJECT}) as stream:
        stream.raise_for_status()
        connected.release()
        event = ""
        async for line in stream.aiter_lines():
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:") and event == "advanced":
                await fetch(client, json.loads(line[5:]), known)


async def fetch(client: httpx.AsyncClient, advanced: dict, known: dict[tuple[str, str], int]) -> None:
    """The new points of every metric that has advanced, in one request."""
    wanted = []
    for run, series in advanced.items():
        for key, total in series.items():
            kind, _, name = key.partition("/")
            if kind != "metrics":
                continue
            start = known.get((run, name), 0)
            known[run, name] = total
            wanted.append({"run": run, "kind": kind, "name": name, "field": "value", "start": start, "max_points": 400})
    if wanted:
        answer = await client.post("/api/v1/samples", json={"series": wanted, "x": None})
        answer.raise_for_status()


async def main() -> None:
    url, readers = sys.argv[1], int(sys.argv[2])
    connected = asyncio.Semaphore(0)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:
        work = [asyncio.ensure_future(reader(client, connected)) for _ in range(readers)]
        everyone = asyncio.ensure_future(all_connected(connected, readers))
        await asyncio.wait([*work, everyone], return_when=asyncio.FIRST_COMPLETED)
        if not everyone.done():
            print(next(task.exception() for task in work if task.done()), flush=True)
            sys.exit(1)
        print("listening", flush=True)
        await asyncio.gather(*work)


async def all_connected(connected: asyncio.Semaphore, readers: int) -> None:
    for _ in range(readers):
        await connected.acquire()


if __name__ == "__main__":
    asyncio.run(main())
