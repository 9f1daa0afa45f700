"""The bridge from Python's own logging to a run's log. Apart from `logs`, so that who does not use logging does not import it."""

from __future__ import annotations

import logging
from typing import Any

from ml_dash.logs import traceback_entry


class LogHandler(logging.Handler):
    """A standard `logging.Handler` that writes into a run's log: ``logging.getLogger().addHandler(LogHandler(experiment))``.

    Metadata holds logger, file, line, and the traceback of an exception. A record that cannot be written goes to
    `logging.Handler.handleError`, as with any handler; after the run is closed, records are passed over.
    """

    def __init__(self, run: Any, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if not self._run.is_open:
            return
        try:
            self._run.log(self.format(record), level=_level(record.levelno), metadata=_about(record))
        except Exception:  # noqa: BLE001  logging never raises into the program: a wrong format is KeyError, IndexError, …
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """The message; a formatter that was set is used, and a traceback goes into the metadata."""
        return super().format(record) if self.formatter else record.getMessage()


def _level(number: int) -> str:
    for least, level in (
        (logging.CRITICAL, "fatal"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
    ):
        if number >= least:
            return level
    return "debug"


def _about(record: logging.LogRecord) -> dict[str, Any]:
    about: dict[str, Any] = {"logger": record.name, "file": record.pathname, "line": record.lineno}
    if record.exc_info and record.exc_info[1] is not None:
        about["traceback"] = traceback_entry(record.exc_info[1])[1]["traceback"]
    return about
