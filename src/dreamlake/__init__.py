"""dreamlake: the same tracker as `ml_dash`, under the names session, track and workspace.

from dreamlake import Session

with Session(name="my-experiment", workspace="project") as session:
    session.parameters().set(lr=0.001)
    session.track("train_loss").append(value=0.5, epoch=1)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_dash.errors import (
    Conflict,
    CorruptData,
    FileMissing,
    InvalidInput,
    InvalidType,
    LockTimeout,
    MlDashError,
    NewerFormat,
    NotFound,
    PermissionDenied,
    ReadOnly,
    RunClosed,
    SeriesNotFound,
    Unavailable,
)

if TYPE_CHECKING:
    from dreamlake.session import Session, dreamlake_session
    from ml_dash.log_handler import LogHandler
    from ml_dash.logs import LogLevel
    from ml_dash.place import OperationMode
    from ml_dash.reading import RunList, RunView

    __version__: str

__all__ = [
    "Conflict",
    "CorruptData",
    "FileMissing",
    "InvalidInput",
    "InvalidType",
    "LockTimeout",
    "LogHandler",
    "LogLevel",
    "MlDashError",
    "NewerFormat",
    "NotFound",
    "OperationMode",
    "PermissionDenied",
    "ReadOnly",
    "RunClosed",
    "SeriesNotFound",
    "Session",
    "Unavailable",
    "__version__",
    "dreamlake_session",
    "load",
    "sessions",
]

_HOMES = {
    "LogHandler": "ml_dash",
    "LogLevel": "ml_dash",
    "OperationMode": "ml_dash",
    "Session": "dreamlake.session",
    "__version__": "ml_dash",
    "dreamlake_session": "dreamlake.session",
}
"""Public name → the module that has it."""


def load(
    name: str,
    workspace: str,
    *,
    local_path: str | os.PathLike[str] | None = None,
    remote: str | None = None,
    api_key: str | None = None,
) -> Session:
    """Open the session `name` of `workspace` to read, without resuming it: status, tracks, parameters, log and files.

    `local_path` is the folder that keeps it, or `remote` the server's URL, with `api_key` its token; neither: the environment
    variables ML_DASH_URL and ML_DASH_API_KEY, else the folder DREAMLAKE_DIR, else ".dreamlake". Nothing is changed; writing raises
    `ReadOnly` (a `RuntimeError`). Raises `NotFound` naming the sessions that come near, `InvalidInput` for what is no name,
    `Unavailable` where the server does not answer.
    """
    from dreamlake.session import Session
    from ml_dash.reading import open_run, place_to_read

    return open_run(Session, name, workspace, place_to_read(Session, local_path, remote, api_key))


def sessions(
    *,
    local_path: str | os.PathLike[str] | None = None,
    remote: str | None = None,
    api_key: str | None = None,
    workspace: str | None = None,
    filter: str | Callable[[RunView[Session]], Any] | None = None,  # noqa: A002  the word of `ml_dash.runs`
    sort: str | None = None,
) -> RunList[Session]:
    """The sessions of a folder or server as they are now, newest first, with parameters and the last row of every track.

    `workspace` keeps that workspace's. `filter` is text such as ``params.lr < 0.01 and tracks["train/loss"].value < 0.5`` (see
    `ml_dash.query`) or a function of a `RunView`; `sort` is one such reference, descending after a leading "-". Where they are
    is said as for `load`; a folder that is not there has no sessions. Raises `InvalidInput` for a filter or sort that cannot be read.
    """
    from dreamlake.session import Session
    from ml_dash.reading import list_runs, place_to_read

    return list_runs(Session, place_to_read(Session, local_path, remote, api_key), workspace, filter, sort)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
