"""Arguments and options that several commands have, as typer reads them."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_dash.cli.completion import complete_run, complete_series

FolderOption = Annotated[
    str | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        show_default=False,
        help="The folder of the runs. Else ML_DASH_DIR, .ml-dash, or .dreamlake (DREAMLAKE_DIR) if only that is there.",
    ),
]
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="URL",
        show_default=False,
        help="The server of the runs, in place of a folder. Else ML_DASH_URL, unless --dir is given.",
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", metavar="TOKEN", show_default=False, help="The server's token. Else ML_DASH_API_KEY."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="ML_DASH_STORE",
        show_default=False,
        help="The folder that the server serves. Else that of the other commands: ML_DASH_DIR, .ml-dash.",
    ),
]
MongoOption = Annotated[
    str | None,
    typer.Option(
        "--mongo",
        metavar="URI",
        envvar="ML_DASH_MONGO",
        show_default=False,
        help="In place of a folder: the MongoDB of the server's recent points, mongodb://host:port/database?replicaSet=name.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", autocompletion=complete_run, help="The run.")]
SomeSeries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SERIES", autocompletion=complete_series, help="Names, or patterns such as 'train/*'. Else all."
    ),
]
