"""Requests that several tests make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from ml_dash.codec import encode_row
from ml_dash.model import METRICS, Batch, SeriesKey
from ml_dash.server.caller import Caller
from ml_dash.store.wire import BATCHES, encode_batches


def make_run(api: httpx.Client, name: str = "run", namespace: str = "") -> str:
    """The id of a new run."""
    answer = api.put("/runs", json={"key": [namespace, "project", name]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def batch(run: str, values: Iterable[Any], name: str = "loss", writer: str | None = None, seq: int = 0) -> Batch:
    """Rows ``{"value": v}`` for a metric of `run`."""
    rows = [encode_row({"value": value}) for value in values]
    return Batch(SeriesKey(run, METRICS, name), rows, writer, None if writer is None else seq)


def append(api: httpx.Client, *batches: Batch) -> httpx.Response:
    return api.post("/append", content=encode_batches(batches), headers={"content-type": BATCHES})


def stored_values(root: Path, name: str = "loss", run: str = "run") -> list[Any]:
    """The metric's values as they stand in its file, read with nothing but JSON; its indices must rise by one."""
    lines = (root / "project" / run / "metrics" / name / "data.jsonl").read_bytes().splitlines()
    points = [json.loads(line) for line in lines]
    assert [point["index"] for point in points] == list(range(len(points)))
    return [point["data"]["value"] for point in points]


def problem(answer: httpx.Response, status: int, error: str) -> str:
    """The message of an answer that must be this error."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert told["error"] == error, told
    return str(told["message"])


class As:
    """An app whose caller is `caller`, as an edge would have found it."""

    def __init__(self, app: Any, caller: Caller) -> None:
        self.app = app
        self.caller = caller

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "state": {**scope.get("state", {}), "caller": self.caller}}
        await self.app(scope, receive, send)
