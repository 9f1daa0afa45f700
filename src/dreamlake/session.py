"""The dreamlake names: Session and its tracks. Nothing but names may come in here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeVar

from ml_dash.facade import RunFacade, decorated
from ml_dash.files import SessionFiles
from ml_dash.model import TRACKS, RunKind
from ml_dash.params import Parameters
from ml_dash.recorder import OnError
from ml_dash.series import Series

R = TypeVar("R")


class Track(Series):
    """A track: a series of a session. ``session.track("train_loss")`` gives it."""

    _KIND: ClassVar[str] = TRACKS
    _NOUN: ClassVar[str] = "track"
    _ID: ClassVar[str] = "trackId"


class Session(RunFacade):
    """One run, as dreamlake names it; its own context manager.

        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            session.track("train_loss").append(value=0.5, epoch=1)

    `local_path` is the folder that keeps it, `remote` the URL of a server that does; neither: the server that ML_DASH_URL
    names, else the folder DREAMLAKE_DIR, else ".dreamlake". The other arguments are `ml_dash.Experiment`'s. Raises
    `InvalidInput` for what is no name and no address.
    """

    _KIND: ClassVar[RunKind] = "session"
    _NOUN: ClassVar[str] = "session"
    _GROUP: ClassVar[str] = "workspace"
    _FOLDER_VARIABLE: ClassVar[str] = "DREAMLAKE_DIR"
    _FOLDER: ClassVar[str] = ".dreamlake"
    _REOPEN: ClassVar[str] = "session.open()"

    def __init__(
        self,
        name: str,
        workspace: str,
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
        write_protected: bool = False,
        on_error: OnError = "raise",
        durability: Literal["flush", "disk"] = "flush",
        locking: bool = True,
    ) -> None:
        super().__init__(
            name,
            workspace,
            local_path=local_path,
            remote=remote,
            api_key=api_key,
            user_name=user_name,
            description=description,
            tags=tags,
            bindrs=bindrs,
            folder=folder,
            metadata=metadata,
            write_protected=write_protected,
            on_error=on_error,
            durability=durability,
            locking=locking,
        )
        self.workspace = workspace
        self.write_protected = write_protected
        self._tracks: dict[str | None, Track] = {}

    def _kept(self) -> Iterable[Series]:
        return self._tracks.values()

    def open(self) -> Session:
        """Open the session; itself. Open already: nothing."""
        self._open()
        return self

    def close(self) -> None:
        """Close the session: COMPLETED. Closed already: nothing."""
        self._close("COMPLETED")

    def __enter__(self) -> Session:  # noqa: PYI034  Python 3.10 has no Self
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._close_after(error)
        return False

    def track(
        self,
        name: str | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Track:
        """The track `name`; None is the unnamed one. A description, tags or metadata replace what was stored.

        Raises `InvalidInput` for what is no name, `RunClosed` before the session was opened.
        """
        self._require_open()
        try:
            track = self._tracks.get(name)
        except TypeError:  # a list, say: what is wrong with it is said below
            track = None
        if track is None:
            track = self._tracks[name] = Track(self._recorder, name)
        if description is not None or tags is not None or metadata is not None:
            track.describe(description, tags, metadata)
        return track

    def parameters(self) -> Parameters:
        """The session's parameters. Raises `RunClosed` before the session was opened."""
        self._require_open()
        return self._params

    @property
    def params(self) -> Parameters:
        """The same as `parameters()`."""
        return self.parameters()

    def files(self) -> SessionFiles:
        """The session's files: ``files().upload("model.pt", path="/models")``, ``files().list(path="/models")``."""
        self._require_open()
        return SessionFiles(self._recorder)


def dreamlake_session(name: str, workspace: str, **options: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorate a function with a session of its own: the keyword ``session=``, or the parameter of that name, is the open `Session`.

    `options` are `Session`'s. Raises `InvalidInput` where the parameter cannot be passed by keyword.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        return decorated(function, "session", lambda: Session(name, workspace, **options))

    return decorate


__all__ = ["Session", "Track", "dreamlake_session"]
