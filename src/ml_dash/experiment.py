"""The ml_dash names: Experiment, its run, its metrics. Nothing but names may come in here."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar, overload

from ml_dash.errors import InvalidType
from ml_dash.facade import RunFacade, decorated
from ml_dash.files import Files
from ml_dash.model import METRICS, RunKind
from ml_dash.params import Parameters
from ml_dash.recorder import OnError
from ml_dash.series import Series

P = ParamSpec("P")
R = TypeVar("R")


class Metric(Series):
    """A metric: a series of an experiment. ``experiment.metrics("train/loss")`` gives it."""

    _KIND: ClassVar[str] = METRICS
    _NOUN: ClassVar[str] = "metric"
    _ID: ClassVar[str] = "metricId"


_BATCH = ("name", "data_points", "description", "tags", "metadata")
"""The parameters of `Metrics.append_batch`, which may begin with the second."""


class Metrics:
    """``experiment.metrics``: call it for a metric by name, or append to one directly."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._handles: dict[str | None, Metric] = {}

    def __call__(
        self,
        name: str | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Metric:
        """The metric `name`; None is the unnamed one. A description, tags or metadata replace what was stored.

        Raises `InvalidInput` for what is no name.
        """
        try:
            metric = self._handles.get(name)
        except TypeError:  # a list, say: what is wrong with it is said below
            metric = None
        if metric is None:
            metric = self._handles[name] = Metric(self._experiment._recorder, name)  # noqa: SLF001  one facade
        if description is not None or tags is not None or metadata is not None:
            metric.describe(description, tags, metadata)
        return metric

    def append(self, /, *args: Any, **fields: Any) -> dict[str, Any]:
        """``append("loss", value=1)``, ``append("loss", {...})``; without a name the row goes to the unnamed metric:
        ``append(loss=1)``, ``append({...})``. A keyword is always a field. Returns and raises as `Metric.append`."""
        name, rest = _named(args)
        return self(name).append(*(() if rest == (None,) else rest), **fields)

    def append_batch(self, /, *args: Any, **named: Any) -> dict[str, Any]:
        """``append_batch("loss", rows)`` or ``append_batch(rows)``; `name`, `data_points`, `description`, `tags` and `metadata`
        may be keywords. Returns and raises as `Metric.append_batch`."""
        name, rest = _named(args)
        given = dict(zip(_BATCH, (name, *rest), strict=False))
        if name is None:
            del given["name"]
        if len(rest) >= len(_BATCH) or given.keys() & named.keys() or not named.keys() <= set(_BATCH):
            msg = f"append_batch takes {', '.join(_BATCH)}, each once, or only a list of rows; got {len(args)} by position"
            raise InvalidType(f"{msg} and {', '.join(named) or 'none'} by name.")
        given |= named
        if "data_points" not in given:
            raise InvalidType(
                "append_batch takes a list of rows, with the metric's name before it or without; got none."
            )
        rows = given.pop("data_points")
        return self(**given).append_batch(rows)

    def list_all(self) -> list[dict[str, Any]]:
        """Every metric of the run; see `Metric.list_all`."""
        return self().list_all()

    def __iter__(self) -> Iterator[str]:
        """The names of the run's metrics, sorted."""
        return iter([metric["name"] for metric in self.list_all()])


def _named(args: tuple[Any, ...]) -> tuple[str | None, tuple[Any, ...]]:
    if args and isinstance(args[0], str):
        return args[0], args[1:]
    return None, args


class Experiment(RunFacade):
    """One run of an experiment.

        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.metrics("train_loss").append(value=0.5, epoch=1)

    `local_path` is the folder that keeps it, `remote` the URL of a server that does, with `api_key` its token; both: the folder,
    sent to the server behind. Neither: the environment variables ML_DASH_URL and ML_DASH_API_KEY stand in for the server,
    else ML_DASH_DIR for the folder, else it is ".ml-dash". `user_name` is for a server on this machine that asks for no token.
    An existing name is resumed; fields that are given replace what was stored. `on_error="warn"` lets training go on where a
    write failed; `durability="disk"` syncs every 100 ms; `locking=False` is for one writer on a file system without locks.
    Nothing that writes waits for the server. Raises `InvalidInput` for what is no name and no address.
    """

    _KIND: ClassVar[RunKind] = "experiment"
    _NOUN: ClassVar[str] = "experiment"
    _GROUP: ClassVar[str] = "project"
    _FOLDER_VARIABLE: ClassVar[str] = "ML_DASH_DIR"
    _FOLDER: ClassVar[str] = ".ml-dash"
    _REOPEN: ClassVar[str] = "experiment.run.start()"

    def __init__(
        self,
        name: str,
        project: str,
        *,
        local_path: str | os.PathLike[str] | None = None,
        remote: str | None = None,
        api_key: str | None = None,
        user_name: str | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        bindrs: list[str] | None = None,
        folder: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_error: OnError = "raise",
        durability: Literal["flush", "disk"] = "flush",
        locking: bool = True,
        _write_protected: bool = False,
    ) -> None:
        super().__init__(
            name,
            project,
            local_path=local_path,
            remote=remote,
            api_key=api_key,
            user_name=user_name,
            description=description,
            tags=tags,
            bindrs=bindrs,
            folder=folder,
            metadata=metadata,
            write_protected=_write_protected,
            on_error=on_error,
            durability=durability,
            locking=locking,
        )
        self.project = project
        self._run = ExperimentRun(self)
        self._metrics = Metrics(self)

    def _kept(self) -> Iterable[Series]:
        return self._metrics._handles.values()  # noqa: SLF001  one facade

    @property
    def run(self) -> ExperimentRun:
        """The run's lifecycle: a context manager, ``start()`` … ``complete()/fail()/cancel()``, a decorator."""
        return self._run

    @property
    def metrics(self) -> Metrics:
        """The run's metrics. Raises `RunClosed` before the run was opened."""
        if self._recorder.run is None:
            raise self._recorder.not_open()
        return self._metrics

    @property
    def params(self) -> Parameters:
        """The run's parameters. Raises `RunClosed` before the run was opened."""
        self._require_open()
        return self._params

    def parameters(self) -> Parameters:
        """The same as `params`."""
        return self.params

    def files(self, file_path: str | os.PathLike[str] | None = None, /, **about: Any) -> Files:
        """The same as `file`."""
        return self.file(file_path, **about)


class ExperimentRun:
    """Opens and closes an experiment: ``with experiment.run as experiment:``, ``experiment.run.start()``, ``@experiment.run``."""

    def __init__(self, experiment: Experiment, message: str | None = None) -> None:
        self._experiment = experiment
        self._message = message

    def start(self, message: str | None = None) -> Experiment:
        """Open the run, and log `message` if there is one; the experiment. Open already: nothing but the message."""
        experiment = self._experiment
        experiment._open()  # noqa: SLF001  one facade
        message = message if message is not None else self._message
        if message is not None:
            experiment.log(message)
        return experiment

    def complete(self) -> None:
        """Close the run: COMPLETED."""
        self._experiment._close("COMPLETED")  # noqa: SLF001

    def fail(self) -> None:
        """Close the run: FAILED."""
        self._experiment._close("FAILED")  # noqa: SLF001

    def cancel(self) -> None:
        """Close the run: CANCELLED."""
        self._experiment._close("CANCELLED")  # noqa: SLF001

    def __enter__(self) -> Experiment:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._experiment._close_after(error)  # noqa: SLF001
        return False

    @overload
    def __call__(self, what: str, /) -> ExperimentRun: ...
    @overload
    def __call__(self, what: Callable[Concatenate[Experiment, P], R], /) -> Callable[P, R]: ...
    def __call__(self, what: Any, /) -> Any:
        """``with experiment.run("message"):`` logs the message; ``@experiment.run`` passes the experiment as first argument."""
        if isinstance(what, str):
            return ExperimentRun(self._experiment, what)
        if not callable(what):
            msg = f"run(...) takes a message or decorates a function; got {type(what).__name__}."
            raise InvalidType(msg)
        return self._decorate(what)

    def _decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import inspect

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with self as experiment:
                    return await function(experiment, *args, **kwargs)

            return call_async

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self as experiment:
                return function(experiment, *args, **kwargs)

        return call


def ml_dash_experiment(name: str, project: str, **options: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorate a function with a run of its own: the keyword ``experiment=``, or the parameter of that name, is the open `Experiment`.

    `options` are `Experiment`'s. Raises `InvalidInput` where the parameter cannot be passed by keyword.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        return decorated(function, "experiment", lambda: Experiment(name, project, **options).run)

    return decorate


__all__ = ["Experiment", "ExperimentRun", "Metric", "Metrics", "ml_dash_experiment"]
