"""``ml-dash server`` and the commands that look after what it keeps: the server itself where none of them is named."""

from __future__ import annotations

import typer

from ml_dash.cli import server, server_migrate, server_recover, server_verify
from ml_dash.cli.ends import guarded

app = typer.Typer(
    help=server.start.__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(guarded(server.start))
for _name, _command, _short in (
    ("recover", server_recover.recover, "Put what the bucket tells of back into MongoDB."),
    ("verify", server_verify.verify, "Look whether both tiers hold what they should."),
    ("migrate", server_migrate.migrate, "Bring a folder of runs into the two tiers, or to a server."),
):
    app.command(_name, short_help=_short)(guarded(_command))
