"""What an experiment and a session have in common: construction, lifecycle, log, parameters, files, how they show themselves.

Names only. What a value is, the Recorder knows; where it goes, nobody here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar, cast, overload

from ml_dash import codec
from ml_dash.errors import InvalidInput, InvalidType
from ml_dash.files import Files
from ml_dash.logs import LogBuilder, LogLevel, Logs, traceback_entry
from ml_dash.model import RunKey, RunKind, RunPatch, Status
from ml_dash.params import Parameters
from ml_dash.place import OperationMode, settle
from ml_dash.recorder import OnError, Recorder
from ml_dash.series import Series
from ml_dash.store.base import Store
from ml_dash.values import text, texts

R = TypeVar("R")


class RunFacade:
    """One run under its user's names. `Experiment` and `Session` are its two faces."""

    _KIND: ClassVar[RunKind]
    _NOUN: ClassVar[str]
    _GROUP: ClassVar[str]
    """What runs are grouped by: "project" or "workspace"."""
    _FOLDER_VARIABLE: ClassVar[str]
    _FOLDER: ClassVar[str]
    _REOPEN: ClassVar[str]

    def __init__(
        self,
        name: str,
        group: str,
        *,
        local_path: str | os.PathLike[str] | None,
        remote: str | None,
        api_key: str | None,
        user_name: str | None,
        description: str | None,
        tags: list[str] | None,
        bindrs: list[str] | None,
        folder: str | None,
        metadata: Mapping[str, Any] | None,
        write_protected: bool,
        on_error: OnError,
        durability: Literal["flush", "disk"],
        locking: bool,
    ) -> None:
        self._at = settle(local_path, remote, api_key, user_name, variable=self._FOLDER_VARIABLE, default=self._FOLDER)
        self.name = name
        self.description = text("description", description)
        self.tags = texts("tags", tags)
        self.bindrs = texts("bindrs", bindrs)
        self.folder = text("folder", folder)
        self.metadata = codec.settled("metadata", metadata)
        self._write_protected = write_protected
        options = {"durability": durability, "locking": locking}
        self._recorder = Recorder(
            lambda: self._at.open(**options),
            RunKey("", group, name),
            self._KIND,
            on_error=on_error,
            noun=self._NOUN,
            reopen=self._REOPEN,
        )
        self._logs = Logs(self._recorder)
        self._params = Parameters(self._recorder)

    # ------------------------------------------------------------ lifecycle

    def _open(self) -> None:
        before = self.id
        self._recorder.open(
            RunPatch(
                description=self.description,
                tags=self.tags,
                bindrs=self.bindrs,
                folder=self.folder,
                metadata=self.metadata,
                write_protected=self._write_protected or None,
            )
        )
        if self.id != before:
            for series in self._kept():
                series._find_again()  # noqa: SLF001  one facade

    def _kept(self) -> Iterable[Series]:
        """The handles of series that the user may still have from before."""
        return ()

    def _close(self, status: Status = "COMPLETED") -> None:
        self._recorder.close(status)

    def _close_after(self, error: BaseException | None) -> None:
        """Leave a `with` block: an exception is logged, and the run FAILED; `sys.exit(0)` is no failure."""
        ended_well = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        if error is None or ended_well or not self._recorder.writable:
            self._close("COMPLETED")
            return
        message, metadata = traceback_entry(error)
        try:
            self._logs.write(message, "error", metadata)
        finally:
            self._close("FAILED")

    @property
    def is_open(self) -> bool:
        """Whether the run takes points now."""
        return self._recorder.writable

    _is_open = is_open

    @property
    def _storage(self) -> Store | None:
        """Not None while the run is open; users of the published clients look at it."""
        return self._recorder.store if self._recorder.is_open else None

    def _require_open(self) -> None:
        if self._recorder.run is None:
            raise self._recorder.not_open()

    # ------------------------------------------------------------ about

    @property
    def id(self) -> str | None:
        """The run's id, which is never used again; None before the run was opened."""
        return self._recorder.run.id if self._recorder.run is not None else None

    @property
    def status(self) -> str | None:
        """One of "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "LOST" (running, but its heartbeat is old); None before it was opened."""
        return self._recorder.shown_status() if self._recorder.run is not None else None

    @property
    def mode(self) -> OperationMode:
        """Where the run is kept: LOCAL, REMOTE or HYBRID."""
        return self._at.mode

    @property
    def path(self) -> str | None:
        """The run's folder on this machine, that of its spool included; None for a run that was loaded from a server."""
        return self._at.path(self._recorder.key)

    @property
    def url(self) -> str | None:
        """The run's address at its server; None for a run that is kept in a folder alone."""
        return self._at.url(self._recorder.key)

    @property
    def data(self) -> dict[str, Any] | None:
        """The run's record; None before it was opened."""
        if self._recorder.run is None:
            return None
        run = self._recorder.refresh()
        return {
            "id": run.id,
            "name": run.key.name,
            self._GROUP: run.key.project,
            "status": self.status,
            "description": run.description,
            "tags": run.tags,
            "bindrs": run.bindrs,
            "folder": run.folder,
            "metadata": run.metadata,
            "createdAt": run.created_at,
            "updatedAt": run.updated_at,
            "writeProtected": run.write_protected,
        }

    # ------------------------------------------------------------ log, parameters, files

    @property
    def logs(self) -> Logs:
        """The run's log, to read. Raises `RunClosed` before the run was opened."""
        self._require_open()
        return self._logs

    @overload
    def log(
        self,
        message: None = None,
        level: str | LogLevel | None = None,
        metadata: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> LogBuilder: ...
    @overload
    def log(
        self,
        message: str,
        level: str | LogLevel | None = None,
        metadata: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> None: ...
    def log(
        self,
        message: str | None = None,
        level: str | LogLevel | None = None,
        metadata: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> LogBuilder | None:
        """Write a log entry at `level` ("info" if None), with `metadata` and `extra` as its metadata.

        Without a message: a builder with ``.debug/.info/.warn/.error/.fatal``. Levels in any case; "warning" and "critical" are
        accepted. Raises `InvalidInput` for other levels, `RunClosed`, `OSError`.
        """
        if not self._recorder.writable:
            raise self._recorder.not_open()
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidType(f"log: metadata must be a mapping; got {metadata!r} of type {type(metadata).__name__}.")
        both = {**(metadata or {}), **extra}
        if message is None:
            return LogBuilder(self._logs, both)
        self._logs.write(message, level, both)
        return None

    def file(self, file_path: str | os.PathLike[str] | None = None, /, **about: Any) -> Files:
        """Files of the run: ``file("model.pt", prefix="/models").save()``, ``file().list()``; see `Files`."""
        self._require_open()
        return Files(self._recorder, file_path, **about)

    def flush(self) -> None:
        """Make all that was written survive the death of the machine (fsync); of a remote run, the server is waited for as well,
        for a while. Raises `OSError`."""
        self._require_open()
        self._recorder.flush()

    # ------------------------------------------------------------ shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self._GROUP}={self._recorder.key.project!r} {self._state()} in {self._at}>"

    def _state(self) -> str:
        """The status, without asking anybody where this process knows it: a repr waits for no server."""
        if self._recorder.run is None:
            return "not open"
        return "RUNNING" if self._recorder.writable else self._recorder.shown_status()

    def _repr_html_(self) -> str:
        """A small table for notebooks: what it is, its parameters, its series with their last values."""
        import html

        from ml_dash.notebook import run_table

        if self._recorder.run is None:
            return f"<code>{html.escape(repr(self))}</code>"
        return run_table(self._recorder.refresh(), self._recorder.describe(), self.status or "", self._NOUN)


def decorated(function: Callable[..., R], keyword: str, run: Callable[[], Any]) -> Callable[..., R]:
    """`function` inside a run of its own, passed as the keyword argument `keyword`, or for the parameter of that name."""
    import functools
    import inspect

    parameters = inspect.signature(function).parameters
    takes = keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if keyword in parameters and parameters[keyword].kind is inspect.Parameter.POSITIONAL_ONLY:
        msg = f"{function.__qualname__}: the parameter {keyword!r} is positional-only; the decorator passes it by keyword."
        raise InvalidInput(msg)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with run() as opened:
                return await function(*args, **(kwargs | {keyword: opened} if takes else kwargs))

        return cast("Callable[..., R]", call_async)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with run() as opened:
            return function(*args, **(kwargs | {keyword: opened} if takes else kwargs))

    return call
