"""Runs that the browser tests look at, made as anybody makes them."""

from __future__ import annotations

import io
import math
import struct
import wave
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from ml_dash.codec import encode_rows
from ml_dash.model import Batch, SeriesKey
from ml_dash.store.local import LocalStore


def curve(n: int, rate: float = 0.1, floor: float = 0.0) -> list[dict[str, Any]]:
    """A loss that falls, with its steps."""
    return [{"value": floor + math.exp(-rate * i), "step": 10 * i} for i in range(n)]


def make_run(root: Path, name: str, project: str = "digits", params: dict[str, Any] | None = None, **given: Any) -> str:
    """A run with two series of 40 points and five lines of log, completed; its id. `given` are fields of the run."""
    with Experiment(name, project, local_path=root, **given).run as run:
        run.params.set(**(params if params is not None else {"lr": 0.1, "layers": 3}))
        run.metrics("train/loss").append_batch(curve(40))
        run.metrics("val/accuracy").append_batch([{"value": i / 40, "epoch": i} for i in range(40)])
        for level in ("debug", "info", "warn", "error", "fatal"):
            run.log(f"a line of level {level}", level=level)
        assert run.id is not None
        return run.id


def many_series(
    root: Path, name: str, project: str, series: dict[str, list[dict[str, Any]]], params: dict[str, Any] | None = None
) -> str:
    """A run with these metrics, completed; its id. Of an existing name it is one more attempt."""
    with Experiment(name, project, local_path=root).run as run:
        if params:
            run.params.set(**params)
        for one, rows in series.items():
            run.metrics(one).append_batch(rows)
        assert run.id is not None
        return run.id


def append_at(
    root: Path, run: str, metric: str, rows: list[dict[str, Any]], times: tuple[tuple[int, int], ...]
) -> None:
    """Points of known times: (offset, unix ms), rising."""
    store = LocalStore(root)
    try:
        store.append([Batch(SeriesKey(run, "metrics", metric), encode_rows(rows), times=times)])
    finally:
        store.close()


def write(folder: Path, name: str, content: bytes) -> Path:
    """A file to be saved in a run."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    """A PNG of one colour."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "PNG")
    return out.getvalue()


def tone(seconds: float = 0.5, rate: int = 8000) -> bytes:
    """A WAV of 440 Hz."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        samples = (int(12000 * math.sin(2 * math.pi * 440 * i / rate)) for i in range(int(seconds * rate)))
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return out.getvalue()
