"""ml-dash: an experiment tracker whose append costs microseconds and survives ``kill -9``.

    from ml_dash import Experiment

    with Experiment(name="my-experiment", project="project").run as experiment:
        experiment.params.set(lr=0.001)
        experiment.metrics("train_loss").append(value=0.5, epoch=1)

Only the errors are loaded with the package; the other public names are when they are first used.
"""

from __future__ import annotations

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
    from ml_dash.experiment import Experiment, ExperimentRun, ml_dash_experiment
    from ml_dash.experiment import ExperimentRun as RunManager
    from ml_dash.log_handler import LogHandler
    from ml_dash.logs import LogLevel
    from ml_dash.place import OperationMode
    from ml_dash.reading import load, runs

    __version__: str

__all__ = [
    "Conflict",
    "CorruptData",
    "Experiment",
    "ExperimentRun",
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
    "RunManager",
    "SeriesNotFound",
    "Unavailable",
    "__version__",
    "load",
    "ml_dash_experiment",
    "runs",
]

_HOMES = {
    "Experiment": ("ml_dash.experiment", "Experiment"),
    "ExperimentRun": ("ml_dash.experiment", "ExperimentRun"),
    "LogHandler": ("ml_dash.log_handler", "LogHandler"),
    "LogLevel": ("ml_dash.logs", "LogLevel"),
    "OperationMode": ("ml_dash.place", "OperationMode"),
    "RunManager": ("ml_dash.experiment", "ExperimentRun"),
    "load": ("ml_dash.reading", "load"),
    "ml_dash_experiment": ("ml_dash.experiment", "ml_dash_experiment"),
    "runs": ("ml_dash.reading", "runs"),
}
"""Public name → the module that has it, and its name there. RunManager is what the published clients called it."""


def __getattr__(name: str) -> Any:
    value = _version() if name == "__version__" else _loaded(name)
    globals()[name] = value
    return value


def _loaded(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, its_name = _HOMES[name]
    return getattr(import_module(module), its_name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ml-dash")
    except PackageNotFoundError:  # run from a checkout
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
