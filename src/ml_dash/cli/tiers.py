"""The options that name the two tiers, and both opened: for the commands that look after them. No command is here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ml_dash.cli.ends import MissingExtra
from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from ml_dash.store.cold import Cold
    from ml_dash.store.hot import Hot

S3Option = Annotated[
    str | None,
    typer.Option(
        "--s3",
        metavar="URL",
        envvar="ML_DASH_S3",
        show_default=False,
        help="Where the server keeps older points and files, s3://bucket/prefix. Credentials as AWS's tools find them.",
    ),
]
S3EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--s3-endpoint",
        metavar="URL",
        envvar="ML_DASH_S3_ENDPOINT",
        show_default=False,
        help="The S3 service, where it is not AWS: https://minio.example.com:9000.",
    ),
]
_EXTRA = frozenset({"pymongo", "bson", "obstore", "pyarrow"})


@contextmanager
def tier_libraries() -> Iterator[None]:
    """Around what loads the libraries of the two tiers."""
    try:
        yield
    except ModuleNotFoundError as e:
        if e.name not in _EXTRA:
            raise
        raise MissingExtra(f"MongoDB and S3 need {e.name}: pip install 'ml-dash[server]'.") from None


@contextmanager
def opened(mongo: str | None, s3: str | None, endpoint: str | None) -> Iterator[tuple[Hot, Cold]]:
    """Both tiers. Raises `InvalidInput` where one is not named."""
    if not mongo or not s3:
        raise InvalidInput("give --mongo URI and --s3 URL (or ML_DASH_MONGO and ML_DASH_S3), as the server has them.")
    with tier_libraries():
        from ml_dash.store.cold import Cold
        from ml_dash.store.hot import Hot
    with closing(Hot(mongo)) as hot, closing(Cold(s3, endpoint=endpoint)) as cold:
        yield hot, cold
