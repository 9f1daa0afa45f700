"""The error tree. Each name says what the caller has to do; nothing else may live here.

MlDashError
├── InvalidInput (ValueError)          fix the call
│   ├── InvalidType (TypeError)        fix the value: its type cannot be stored
│   └── InvalidRow                     leave out the row that ``batch`` and ``row`` tell, or fix it
├── NotFound (LookupError)             there is no such run, series or file
│   ├── SeriesNotFound (FileNotFoundError)
│   └── FileMissing (FileNotFoundError)
├── Conflict                           somebody else was first; ``expected`` says where to go on
├── Unavailable (ConnectionError)      wait ``retry_after`` seconds, then try again
├── PermissionDenied (PermissionError) ask for the right
├── RunClosed (RuntimeError)           open the run again
├── ReadOnly (RuntimeError)            open the run for writing
├── NewerFormat                        upgrade this package
├── CorruptData (OSError)              stop; a person looks at ``path`` at ``offset``
└── LockTimeout (TimeoutError)         another process holds the file; the text names it
"""

from __future__ import annotations


class MlDashError(Exception):
    """Root of every error that this package raises on its own account."""


class InvalidInput(MlDashError, ValueError):
    """The call is wrong; the text names the argument, what was expected and what came."""


class InvalidType(InvalidInput, TypeError):
    """A value's type cannot be stored; the text names the series, the field and the type."""


class InvalidRow(InvalidInput):
    """A row of an append cannot be stored, for good; ``batch`` and ``row`` are its positions in the call. Nothing was stored."""

    def __init__(self, message: str, batch: int = 0, row: int = 0) -> None:
        super().__init__(message)
        self.batch = batch
        self.row = row


class NotFound(MlDashError, LookupError):
    """There is no such run, series or file."""


class SeriesNotFound(NotFound, FileNotFoundError):
    """The series has no point. Also a `FileNotFoundError`, as in the published clients."""


class FileMissing(NotFound, FileNotFoundError):
    """The run has no file with this id."""


class Conflict(MlDashError):
    """The write contradicts what is stored.

    ``expected`` is the writer's next seq where a batch left a gap, else None.
    """

    def __init__(self, message: str, expected: int | None = None) -> None:
        super().__init__(message)
        self.expected = expected


class Unavailable(MlDashError, ConnectionError):
    """The store cannot answer now; ``retry_after`` (seconds) says when to try again, None if unknown."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermissionDenied(MlDashError, PermissionError):
    """The caller may not do this."""


class RunClosed(MlDashError, RuntimeError):
    """The run is not open; the text says how to open it."""


class ReadOnly(MlDashError, RuntimeError):
    """The run or series can only be read; the text says why and what to do."""


class NewerFormat(MlDashError):
    """A newer version of this package wrote this; the text says how to upgrade."""


class CorruptData(MlDashError, OSError):
    """Stored bytes are not what was written. ``path`` and ``offset`` (bytes) say where, ``why`` what is wrong."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: {why} at byte {offset}. Run `ml-dash doctor --repair` on the run's folder.")
        self.path = path
        self.offset = offset
        self.why = why

    def __reduce__(self) -> tuple[type[CorruptData], tuple[str, int, str]]:
        """Errors cross processes by pickle, which calls the class with `args`: the text alone."""
        return type(self), (self.path, self.offset, self.why)


class LockTimeout(MlDashError, TimeoutError):
    """A lock was not had in time; the text names the holder where the system tells it."""
