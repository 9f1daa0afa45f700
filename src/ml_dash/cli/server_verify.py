"""``ml-dash server verify``: whether both tiers hold what they should, as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ml_dash.cli import output
from ml_dash.cli.ends import FAILED
from ml_dash.cli.options import JsonOption, MongoOption
from ml_dash.cli.tiers import S3EndpointOption, S3Option, opened, tier_libraries

if TYPE_CHECKING:
    from ml_dash.store.tier_verify import Counted, Finding

_STYLES = {"damaged": "bold red", "unkept": "yellow", "orphan": "yellow", "unfreed": "yellow"}


def verify(
    mongo: MongoOption = None,
    s3: S3Option = None,
    s3_endpoint: S3EndpointOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the bytes of files as well, not only those of chunks.")
    ] = False,
    free: Annotated[
        bool,
        typer.Option("--free", help="Delete objects that nothing can name any more and that are older than an hour."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every chunk and hold it against the manifest, and tell what is damaged, missing or left over. Servers may run
    meanwhile. Exit code 1 if anything is damaged."""
    with opened(mongo, s3, s3_endpoint) as (hot, cold):
        with tier_libraries():
            from ml_dash.store.tier_verify import Verification
        verification = Verification(hot, cold, deep=deep, free=free)
        found: list[Finding] = []
        for finding in verification.verify():
            found.append(finding)
            if not as_json:
                output.line((finding.state, _STYLES[finding.state]), f" {finding.where}: {finding.message}")
    damaged = any(finding.state == "damaged" for finding in found)
    if as_json:
        counted = msgspec.to_builtins(verification.counted)
        output.print_json({"ok": not damaged, **counted, "findings": [finding._asdict() for finding in found]})
    else:
        _sum(found, verification.counted)
    if damaged:
        raise typer.Exit(FAILED)


def _sum(found: list[Finding], counted: Counted) -> None:
    looked = (
        f"{counted.series:,} series, {output.count(counted.chunks, 'chunk')} of {output.count(counted.rows, 'row')}, "
        f"{output.count(counted.files, 'file')}; {output.size(counted.bytes)}"
    )
    states = {state: sum(one.state == state for one in found) for state in _STYLES}
    told = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    freed = f" {output.count(counted.freed, 'object')} freed." if counted.freed else ""
    output.line(f"{looked}: {told or 'all is well'}.{freed}")
