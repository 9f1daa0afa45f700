"""Answers of /samples, taken apart as docs/formats/protocol.md has them; with nothing but JSON and NumPy."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx
import numpy as np


class Frame(NamedTuple):
    """One sample: its head, and its columns by name; none for one that failed."""

    head: dict[str, Any]
    columns: dict[str, Any]


def taken_apart(body: bytes) -> list[Frame]:
    """All frames of a whole answer."""
    frames: list[Frame] = []
    at = 0
    while at < len(body):
        end = body.index(b"\n", at)
        head = json.loads(body[at:end])
        at = end + 1
        columns = {}
        for name in head.get("columns", ()):
            columns[name] = np.frombuffer(body, "<f8", head["n"], at)
            at += 8 * head["n"]
        frames.append(Frame(head, columns))
    return frames


def one(run: str, name: str = "loss", field: str = "value", **more: Any) -> dict[str, Any]:
    """What asks for a sample of a metric."""
    return {"run": run, "kind": "metrics", "name": name, "field": field, **more}


def sampled(api: httpx.Client, *series: dict[str, Any], x: str | None = None) -> list[Frame]:
    """The samples that are asked for."""
    answer = api.post("/samples", json={"series": series, "x": x})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ml-dash-samples"
    return taken_apart(answer.content)
