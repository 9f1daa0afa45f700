"""The floor of ingest: a bare Starlette route that decodes the body's lines with msgspec and appends them to one file.

It serves as ours does (uvicorn with uvloop and httptools, no access log) but checks nothing, keeps no index, no marks and no
lock, knows no runs, and does not sync. Runs in the environment of `ours`. `floor_server.py FILE`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_decode_lines = msgspec.json.Decoder().decode_lines


class Floor:
    """One file and the route that appends to it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    async def append(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "zstd":
            body = zstandard.ZstdDecompressor().decompress(body)
        lines = body[body.index(b"\n") + 1 :]  # behind the head
        count = len(_decode_lines(lines))
        os.write(self._file, lines)
        return Response(b'{"points": %d}' % count, media_type="application/json")


def serve(append: Callable[[Request], Awaitable[Response]]) -> None:
    """Serve that one route on a free port of loopback, which is printed, until killed."""
    app: Any = Starlette(routes=[Route("/api/v1/append", append, methods=["POST"])])
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        backlog=1024,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        print(json.dumps({"event": "listening", "url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    serve(Floor(sys.argv[1]).append)
