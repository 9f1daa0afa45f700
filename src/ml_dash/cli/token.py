"""``ml-dash token``: the tokens of a server, made, listed and revoked where the server keeps them. A running server notices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.ends import MissingExtra, guarded
from ml_dash.cli.options import JsonOption, MongoOption, StoreOption
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import default_folder
from ml_dash.errors import InvalidInput
from ml_dash.server.tokens import Token, TokenFile, Tokens

_STYLES = {"valid": "green", "expired": "yellow", "revoked": "red"}

app = typer.Typer(
    help="Make, list and revoke the tokens of a server.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(short_help="Make a token, and print it once.")
@guarded
def create(
    scope: Annotated[
        str,
        typer.Option(
            metavar="SCOPE", show_default=False, help="What it allows: read, write (and read), or admin (all)."
        ),
    ],
    namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Allow only this namespace; may be repeated, the first is its own. Else all."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="30d|DATE", show_default=False, help="When it expires: 12h, 30d, 8w, 2027-01-31. Else never."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="Who or what it is for, shown in the list.")
    ] = "",
    store: StoreOption = None,
    mongo: MongoOption = None,
) -> None:
    """Make a token. It is printed on standard output, once; only its hash is kept."""
    with _tokens(store, mongo) as tokens:
        token, secret = tokens.create(scope, namespace or (), name=name, expires=expires)
    output.line(secret)
    where = ", ".join(token.namespaces) or "all namespaces"
    until = f"expires at {token.expires}" if token.expires else "does not expire"
    output.to_stderr(
        f"Token {token.id} ({scope}; {where}; {until}) is in {tokens.where}. Keep its text now, it is shown nowhere else: "
        "give it as api_key= or in ML_DASH_API_KEY."
    )


@app.command("list", short_help="The tokens that were made; never their texts.")
@guarded
def list_tokens(store: StoreOption = None, mongo: MongoOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, oldest first, those that are no longer valid too."""
    with _tokens(store, mongo) as kept:
        tokens, where = kept.load(), kept.where
    now = time.time()
    if as_json:
        output.print_json({"path": where, "tokens": [_document(token, now) for token in tokens]})
    elif tokens:
        _print(tokens, now)
    else:
        output.to_stderr(f"There is no token in {where}. `ml-dash token create --scope write` makes one.")


@app.command(short_help="Revoke a token, at once and for good.")
@guarded
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `ml-dash token list` shows it.")],
    store: StoreOption = None,
    mongo: MongoOption = None,
) -> None:
    """Revoke a token. A running server refuses it from the next request on; servers over MongoDB within seconds."""
    with _tokens(store, mongo) as tokens:
        revoked = tokens.revoke(token)
    output.line(f"Token {revoked.id} is revoked since {revoked.revoked}.")


@contextmanager
def _tokens(store: str | None, mongo: str | None) -> Iterator[Tokens]:
    if store is not None and mongo is not None:
        raise InvalidInput("--store and --mongo: a server's tokens are in the one place or the other; give that one.")
    if mongo is None:
        yield TokenFile(store or default_folder())
        return
    try:
        from ml_dash.server.mongo_tokens import MongoTokens
    except ModuleNotFoundError as e:
        if e.name not in ("pymongo", "bson"):
            raise
        raise MissingExtra(f"tokens in MongoDB need {e.name}: pip install 'ml-dash[server]'.") from None
    with closing(MongoTokens(mongo)) as tokens:
        yield tokens


def _document(token: Token, now: float) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "namespaces": list(token.namespaces),
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
        "state": token.state(now),
    }


def _print(tokens: tuple[Token, ...], now: float) -> None:
    columns = [
        Column("id"),
        Column("name", least=8),
        Column("scope"),
        Column("namespaces", least=10),
        Column("created"),
        Column("expires"),
        Column("state"),
    ]
    rows: list[list[Cell]] = []
    for token in tokens:
        state = token.state(now)
        rows.append(
            [
                token.id,
                token.name,
                token.scope,
                ", ".join(token.namespaces) or "all",
                output.when(token.created, "%Y-%m-%d %H:%M"),
                output.when(token.expires, "%Y-%m-%d %H:%M") if token.expires else "never",
                (state, _STYLES[state]),
            ]
        )
    output.table(columns, rows)
