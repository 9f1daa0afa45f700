"""``ml-dash server migrate``: a folder of runs, brought to where a server keeps its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.ends import FAILED
from ml_dash.cli.options import ApiKeyOption, JsonOption, MongoOption
from ml_dash.cli.tiers import S3EndpointOption, S3Option, tier_libraries
from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from ml_dash.migrate import Report
    from ml_dash.store.base import Store


def migrate(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="The folder of the runs, such as an `ml-dash server --store` serves."),
    ],
    mongo: MongoOption = None,
    s3: S3Option = None,
    s3_endpoint: S3EndpointOption = None,
    remote: Annotated[
        str | None,
        typer.Option(
            "--remote", metavar="URL", show_default=False, help="A running server, in place of its --mongo and --s3."
        ),
    ] = None,
    api_key: ApiKeyOption = None,
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", min=0, help="How long to try where nothing answers."),
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Bring all runs of a folder, of every namespace, into MongoDB and S3 or to a server; may be broken off and made again.
    Exit code 1 if anything could not be brought."""
    from ml_dash.migrate import Migration
    from ml_dash.store.local import LocalStore
    from ml_dash.store.progress import sending

    if remote is not None:
        mongo = s3 = None
    reports: list[Report] = []
    with closing(LocalStore(folder)) as source, _target(mongo, s3, s3_endpoint, remote, api_key) as target:
        migration = Migration(source, target, patience=patience)
        runs, unread = migration.runs()
        for trouble in unread:
            output.complain("left out", trouble)
        for run in runs:
            with sending(f"{run.key.project}/{run.key.name}") as tell:
                reports.append(migration.bring(run, tell))
            if not as_json:
                _print(reports[-1])
    tokens = _bring_tokens(folder, mongo)
    if as_json:
        output.print_json({"runs": [_document(report) for report in reports], "unread": unread, "tokens": tokens})
    else:
        _sum(reports, tokens, remote)
    if unread or any(report.troubles for report in reports):
        raise typer.Exit(FAILED)


@contextmanager
def _target(
    mongo: str | None, s3: str | None, endpoint: str | None, remote: str | None, api_key: str | None
) -> Iterator[Store]:
    from ml_dash.place import api_key_for, server_url
    from ml_dash.store import open_store

    if remote is not None:
        url = server_url(remote)
        with closing(open_store(url, api_key=api_key_for(url, api_key))) as server:
            yield server
        return
    if not mongo or not s3:
        raise InvalidInput("where to: give --mongo URI and --s3 URL as the server has them, or --remote URL.")
    with tier_libraries():
        tiers = open_store(mongo=mongo, s3=s3, s3_endpoint=endpoint)
    with closing(tiers):
        yield tiers


def _bring_tokens(folder: str, mongo: str | None) -> int | None:
    """How many tokens of the folder's server the database has now that it did not have; None where there are none, or they cannot
    be brought: a server does not take hashes of tokens."""
    from ml_dash.server.tokens import TokenFile

    tokens = TokenFile(folder).load()
    if not tokens or mongo is None:
        return None
    from ml_dash.server.mongo_tokens import MongoTokens

    with closing(MongoTokens(mongo)) as kept:
        return sum(kept.bring(token) for token in tokens)


def _print(report: Report) -> None:
    did = ", ".join(
        output.count(number, noun) for noun, number in (("point", report.points), ("file", report.files)) if number
    )
    if report.troubles:
        output.line(
            ("in part" if report.run else "not brought", "bold yellow"), f" {report.label}: {did or 'nothing new'}"
        )
        for trouble in report.troubles:
            output.line(f"  {trouble}")
    else:
        output.line(("brought", "green"), f" {report.label}: {did or 'all was there'}")


def _sum(reports: list[Report], tokens: int | None, remote: str | None) -> None:
    whole = sum(not report.troubles for report in reports)
    output.line(f"{output.count(len(reports), 'run')}: {whole} whole, {len(reports) - whole} in part or not.")
    if tokens is not None:
        output.line(f"{output.count(tokens, 'token')} brought; all others were there.")
    elif remote is not None:
        output.line("Tokens are not brought to a running server: make new ones with `ml-dash token create`.")


def _document(report: Report) -> dict[str, Any]:
    return {
        "namespace": report.key.namespace,
        "project": report.key.project,
        "name": report.key.name,
        "run": report.run or None,
        "points": report.points,
        "files": report.files,
        "troubles": report.troubles,
    }
