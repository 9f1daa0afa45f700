"""What a shell offers after a Tab: names of runs and series. Whatever goes wrong, it offers nothing and says nothing."""

from __future__ import annotations

import warnings
from collections import Counter

import typer

from ml_dash.cli.places import Where
from ml_dash.errors import MlDashError
from ml_dash.model import Run, RunQuery

Offers = list[tuple[str, str]]


def complete_run(ctx: typer.Context, incomplete: str) -> Offers:
    """Runs by name, or by project/name where the name alone is not enough or a slash was typed."""
    try:
        runs = _runs(ctx)
    except (MlDashError, OSError):
        return []
    seen = Counter(run.key.name for run in runs)
    offers = []
    for run in runs:
        full = f"{run.key.project}/{run.key.name}"
        alone = seen[run.key.name] == 1 and "/" not in incomplete
        offers.append((run.key.name if alone else full, run.key.project if alone else ""))
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def complete_series(ctx: typer.Context, incomplete: str) -> Offers:
    """Series of the run that was typed before."""
    from ml_dash.cli.opened import find_run

    run = ctx.params.get("run") or ""
    try:
        _quiet()
        opened = find_run(_where(ctx), run)
        infos = opened.store.describe(opened.run.id)
    except (MlDashError, OSError):
        return []
    return [(info.name, f"{info.count:,} points") for info in infos if info.name.startswith(incomplete)]


def _runs(ctx: typer.Context) -> list[Run]:
    _quiet()
    return _where(ctx).place().open().find_runs(RunQuery())


def _where(ctx: typer.Context) -> Where:
    return Where(ctx.params.get("folder") or None, ctx.params.get("remote"), ctx.params.get("api_key"))


def _quiet() -> None:
    warnings.simplefilter("ignore")
