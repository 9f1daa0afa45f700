"""``ml-dash token``: the tokens of a server, made, listed and revoked in the folder that it serves. A running server notices."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import typer

from ml_dash.cli import output
from ml_dash.cli.ends import guarded
from ml_dash.cli.options import JsonOption, StoreOption
from ml_dash.cli.output import Cell, Column
from ml_dash.cli.places import default_folder
from ml_dash.server.tokens import Token, TokenFile

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
) -> None:
    """Make a token. It is printed on standard output, once; only its hash is kept."""
    file = _file(store)
    token, secret = file.create(scope, namespace or (), name=name, expires=expires)
    output.line(secret)
    where = ", ".join(token.namespaces) or "all namespaces"
    until = f"expires at {token.expires}" if token.expires else "does not expire"
    output.to_stderr(
        f"Token {token.id} ({scope}; {where}; {until}) is in {os.path.abspath(file.path)}. Keep its text now, it is shown nowhere else: "
        "give it as api_key= or in ML_DASH_API_KEY."
    )


@app.command("list", short_help="The tokens that were made; never their texts.")
@guarded
def list_tokens(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, oldest first, those that are no longer valid too."""
    file = _file(store)
    now = time.time()
    tokens = file.load()
    if as_json:
        output.print_json({"path": os.path.abspath(file.path), "tokens": [_document(token, now) for token in tokens]})
    elif tokens:
        _print(tokens, now)
    else:
        output.to_stderr(f"There is no token in {file.path}. `ml-dash token create --scope write` makes one.")


@app.command(short_help="Revoke a token, at once and for good.")
@guarded
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `ml-dash token list` shows it.")],
    store: StoreOption = None,
) -> None:
    """Revoke a token. A running server refuses it from the next request on."""
    revoked = _file(store).revoke(token)
    output.line(f"Token {revoked.id} is revoked since {revoked.revoked}.")


def _file(store: str | None) -> TokenFile:
    return TokenFile(store or default_folder())


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
