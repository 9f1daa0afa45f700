"""The main views of the dashboard, crowded and empty, over runs that are the same whenever they are made; and the page's clock."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page, expect

from ml_dash import Experiment
from ml_dash.server.tokens import TokenFile
from tests.server.processes import ServerProcess
from tests.web.runs import picture, write
from tests.web.serving import dashboard

THEN = "2026-01-02T03:04:05.678Z"
RUNS = 24


class Places(NamedTuple):
    """Servers of a crowded folder, of an empty one, and one that asks for a token; and a run of the first."""

    crowded: ServerProcess
    empty: ServerProcess
    closed: ServerProcess
    run: str


@contextmanager
def places(folder: Path) -> Iterator[Places]:
    """All of them, as long as they are needed."""
    ids = [fill(folder / "crowded", i) for i in range(RUNS)]
    for project in ("segmentation", "speech"):
        with Experiment("first", project, local_path=folder / "crowded").run as run:
            run.metrics("loss").append_batch([{"value": 1.0}])
    for name in ("empty", "closed"):
        (folder / name).mkdir()
    TokenFile(folder / "closed").create("admin")
    with (
        dashboard(folder / "crowded") as crowded,
        dashboard(folder / "empty") as empty,
        dashboard(folder / "closed") as closed,
    ):
        yield Places(crowded, empty, closed, ids[-1])


def fill(root: Path, i: int) -> str:
    """The i-th run: seven series, parameters, tags, some lines and files."""
    rate = (0.3, 0.1, 0.03)[i % 3]
    with Experiment(
        f"resnet-{i:02d}",
        "digits",
        local_path=root,
        description=f"Rate {rate}, once more." if i % 2 else None,
        tags=["baseline"] if i == 0 else ["sweep"] if i % 5 else ["sweep", "long"],
        metadata={"commit": "0a1b2c3", "command": ["train.py", "--rate", str(rate)], "hosts": {"a": 4, "b": 4}},
    ).run as run:
        run.params.set(lr=rate, batch_size=16 * (1 + i % 4), model={"depth": 18 + i % 3, "act": "relu"}, seed=i)
        for part, floor in (("train", 0.05), ("val", 0.1)):
            run.metrics(f"{part}/loss").append_batch(
                [
                    {"value": floor + math.exp(-rate * n / 3) + 0.02 * math.sin(n * (i + 1)), "step": 10 * n}
                    for n in range(60)
                ]
            )
            run.metrics(f"{part}/accuracy").append_batch([{"value": 1 - math.exp(-rate * n / 4)} for n in range(60)])
        for name in ("lr", "grad_norm", "seconds"):
            run.metrics(name).append_batch([{"value": (1 + i % 3) / (1 + n)} for n in range(60)])
        made, path = run.id, run.path
        if i == RUNS - 1:
            say(Path(path or ""))
            put(run, root.parent)
        if i % 7 == 3:
            run.run.fail()
    assert made is not None
    return made


def say(folder: Path) -> None:
    """Two hundred lines of log."""
    levels = ("info",) * 7 + ("debug", "warn", "error")
    lines = [
        {
            "sequenceNumber": n,
            "timestamp": THEN,
            "level": levels[n % 10],
            "message": f"epoch {n // 4}, part {n % 4}: done",
        }
        | ({"metadata": {"loss": 0.5, "rank": n % 4}} if n % 10 == 8 else {})
        for n in range(200)
    ]
    (folder / "logs").mkdir()
    (folder / "logs" / "logs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def put(run: Any, folder: Path) -> None:
    """Pictures, a table and a text."""
    for step, color in ((1, (200, 60, 40)), (2, (60, 160, 80)), (3, (50, 90, 200))):
        run.file(os.fspath(write(folder, f"sample_{step}.png", picture(160, 120, color))), prefix="/samples").save()
    run.file(os.fspath(write(folder, "chart.png", picture(200, 100, (230, 180, 40)))), prefix="/pictures").save()
    run.file(os.fspath(write(folder, "results.csv", b"epoch,loss\n1,0.5\n2,0.25\n")), prefix="/results").save()
    run.file(os.fspath(write(folder, "notes.md", b"# Notes\n\nIt went well.\n"))).save()


VIEWS = {
    "projects": "/",
    "charts": "/p/digits",
    "table": "/p/digits?view=table",
    "compare": "/p/digits?view=compare",
    "scatter": "/p/digits?view=compare&cmp=scatter&cx=params.lr&cy=metrics%5B%22val%2Floss%22%5D.value.min",
    "differences": "/p/digits?view=compare&cmp=differences",
    "groups": "/p/digits?view=table&group=params.lr&base=RUN",
    "overview": "/run/RUN",
    "parameters": "/run/RUN?tab=parameters",
    "run-charts": "/run/RUN?tab=charts",
    "logs": "/run/RUN?tab=logs",
    "files": "/run/RUN?tab=files",
    "file": "/run/RUN?tab=files&file=samples%2Fsample_2.png",
    "metadata": "/run/RUN?tab=metadata",
    "code": "/run/RUN?tab=snippet",
    "sign-in": "closed /",
    "empty": "empty /",
    "empty-project": "empty /p/nothing",
}
"""Views by name: the server if it is not the crowded one, and the address there."""
MAIN = ("projects", "charts", "table", "compare", "overview", "logs", "files", "sign-in", "empty")


def address_of(where: Places, view: str) -> tuple[str, str]:
    """The server's URL, and the path."""
    server, _, path = VIEWS[view].rpartition(" ")
    served = {"": where.crowded, "empty": where.empty, "closed": where.closed}[server]
    return served.url, path.replace("RUN", where.run)


def settled(page: Page) -> None:
    """Wait until all that a view draws at first is drawn: nothing waits, nothing moves."""
    page.wait_for_load_state("load")
    expect(page.locator("main, h1").first).to_be_visible()
    expect(page.locator(".ui-skeleton, .panel-loading, .panel-waits, [aria-busy=true], .room-waiting")).to_have_count(0)
    page.evaluate(
        """async () => {
            await document.fonts.ready;
            await Promise.all([...document.images].map((one) => one.decode().catch(() => null)));
            for (let i = 0; i < 3; i += 1) await new Promise((next) => requestAnimationFrame(next));
        }"""
    )
