"""The floor of ingest into MongoDB: a bare Starlette route that decodes the lines, and one group commit behind it.

What waits goes into one insert_many, a document a batch, its lines compressed as ours are; acknowledged by a journalled
majority (w=majority, j=true), like ours. It serves as ours does (uvicorn with uvloop and httptools, no access log), but checks nothing,
keeps no index, no marks and no heads, knows no runs, and archives nothing. Runs in the environment of `ours`.
`floor_mongo.py URI`; the documents are in the collection `floor` of the URI's database.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from pymongo import MongoClient, WriteConcern
from starlette.requests import Request
from starlette.responses import Response

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.floor_server import serve

_decode_lines = msgspec.json.Decoder().decode_lines
_LEVEL = 1
Document = dict[str, Any]


class _Head(msgspec.Struct):
    size: int


_head = msgspec.json.Decoder(_Head).decode


class Floor:
    """One collection, and the route that inserts into it. One group is under way at a time; the next one gathers meanwhile."""

    def __init__(self, uri: str) -> None:
        client: MongoClient[Document] = MongoClient(uri)
        database = client.get_default_database()
        self._collection = database.get_collection("floor", write_concern=WriteConcern(w="majority", j=True))
        self._thread = ThreadPoolExecutor(1)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._waiting: list[tuple[list[Document], asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None
        self._next = 0

    async def append(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "zstd":
            body = zstandard.ZstdDecompressor().decompress(body)
        documents: list[Document] = []
        at = count = 0
        while at < len(body):
            start = body.index(b"\n", at) + 1
            at = start + _head(body[at:start]).size
            lines = body[start:at]
            points = len(_decode_lines(lines))
            documents.append({"_id": self._next.to_bytes(24, "big"), "n": points, "z": lines})
            count += points
            self._next += 1
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((documents, waiter))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        await waiter
        return Response(b'{"points": %d}' % count, media_type="application/json")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._insert, [one for documents, _ in group for one in documents])
            for _, waiter in group:
                waiter.set_result(None)

    def _insert(self, documents: list[Document]) -> None:
        for one in documents:
            one["z"] = self._compressor.compress(one["z"])
        self._collection.insert_many(documents, ordered=False)


if __name__ == "__main__":
    serve(Floor(sys.argv[1]).append)
