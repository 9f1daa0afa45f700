"""The server's log: a line of JSON an event, one event a request. Holds no secret: of a request neither headers nor query."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from ml_dash.server.tokens import PREFIX
from ml_dash.times import iso

LEVELS = ("debug", "info", "warning", "error")
REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Of the request that is being answered, so that whatever is logged on its way names it."""
_SECRET = re.compile(re.escape(PREFIX) + r"[\w-]*")
_MAX_TEXT = 20_000
"""Characters of one text in a line, tracebacks included."""


class Log:
    """Writes lines of `level` and above to `stream`. A stream that takes no more is no reason to refuse a request."""

    def __init__(self, stream: IO[str], level: str = "info", clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._least = LEVELS.index(level)
        self._clock = clock
        self._mutex = threading.Lock()

    def write(self, level: str, event: str, **fields: Any) -> None:
        """One line. Anything in it that looks like a token is cut."""
        if LEVELS.index(level) >= self._least:
            self._write(level, event, fields)

    def announce(self, event: str, **fields: Any) -> None:
        """One line whatever the level: programs wait for it."""
        self._write("info", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        line = {"time": iso(int(self._clock() * 1000)), "level": level, "event": event}
        if request := REQUEST_ID.get():
            line["request_id"] = request
        text = json.dumps({**line, **{key: _clean(value) for key, value in fields.items()}})
        with self._mutex, contextlib.suppress(OSError, ValueError):
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
            except BrokenPipeError:
                self._let_go()

    def _let_go(self) -> None:
        """Nobody reads any more; what the stream still holds must not fail at the end of the process."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)


def _clean(value: Any) -> Any:
    return _SECRET.sub(PREFIX + "…", value[:_MAX_TEXT]) if isinstance(value, str) else value


class LogHandler(logging.Handler):
    """What libraries log, as lines of `log`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        level = (
            "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        )
        level = level if record.levelno >= logging.INFO else "debug"
        self._log.write(level, "message", logger=record.name, message=self.format(record))
