"""``ml-dash server recover``: what the bucket tells of, put back into a database that has lost it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ml_dash.cli import output
from ml_dash.cli.ends import FAILED
from ml_dash.cli.options import JsonOption, MongoOption
from ml_dash.cli.tiers import S3EndpointOption, S3Option, opened, tier_libraries

if TYPE_CHECKING:
    from ml_dash.store.tier_recovery import Recovered


def recover(
    mongo: MongoOption = None,
    s3: S3Option = None,
    s3_endpoint: S3EndpointOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read, and say what would be done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make manifest, heads and records in MongoDB anew from the bucket, where they are missing or older. Servers must be
    stopped. Exit code 1 if anything had to be left out."""
    with opened(mongo, s3, s3_endpoint) as (hot, cold):
        with tier_libraries():
            from ml_dash.store.tier_recovery import Recovery
        runs: list[Recovered] = []
        with closing(Recovery(hot, cold, dry_run=dry_run)) as recovery:
            for done in recovery.recover():
                runs.append(done)
                if not as_json:
                    _print(done, dry_run=dry_run)
    if as_json:
        output.print_json({"dry_run": dry_run, "runs": [_document(done) for done in runs]})
    else:
        _sum(runs, dry_run=dry_run)
    if any(done.troubles for done in runs):
        raise typer.Exit(FAILED)


def _print(done: Recovered, *, dry_run: bool) -> None:
    if done.changed:
        parts = [
            *([f"record {done.record}"] if done.record not in ("there", "deleted") else []),
            *([f"{output.count(done.points, 'point')} of {done.series} series"] if done.points else []),
            *([output.count(done.chunks, "entry").replace("entrys", "entries")] if done.chunks else []),
            *([output.count(done.files, "file")] if done.files else []),
        ]
        output.line(
            ("would recover" if dry_run else "recovered", "green"), f" {done.label or done.run}: {', '.join(parts)}"
        )
    for trouble in done.troubles:
        output.line(("left out", "bold yellow"), f" {trouble}")


def _sum(runs: list[Recovered], *, dry_run: bool) -> None:
    changed = [done for done in runs if done.changed]
    deleted = sum(done.record == "deleted" for done in runs)
    what = "would be recovered" if dry_run else "recovered"
    output.line(
        f"{output.count(len(runs), 'run')} in the bucket: {len(changed)} {what}, "
        f"{len(runs) - len(changed) - deleted} as they were" + (f", {deleted} deleted before" if deleted else "") + "."
    )
    if any(done.record.startswith("made") for done in runs):
        output.line(
            "What was in MongoDB alone is not in the bucket: rows that were in no chunk yet, runs that had neither chunks nor "
            "files, tokens."
        )


def _document(done: Recovered) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(done)
    return found
