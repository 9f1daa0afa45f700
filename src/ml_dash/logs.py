"""A run's log as a user writes and reads it."""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ml_dash import codec
from ml_dash.errors import InvalidInput, InvalidType
from ml_dash.model import LOGS
from ml_dash.times import iso
from ml_dash.values import MAX_NESTING, text, whole

if TYPE_CHECKING:
    from ml_dash.recorder import Recorder

_SURROGATE = re.compile("[\ud800-\udfff]")
_ALSO = {"warning": "warn", "critical": "fatal"}


class LogLevel(enum.Enum):
    """The levels of a log entry, least to most severe."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"

    @classmethod
    def validate(cls, level: str | LogLevel) -> str:
        """`level` in lower case; "warning" and "critical" become "warn" and "fatal". Raises `InvalidInput` listing the levels."""
        name = level.value if isinstance(level, cls) else str(level).lower()
        name = _ALSO.get(name, name)
        if name not in {one.value for one in cls}:
            msg = f"level: expected one of {', '.join(one.value for one in cls)}; got {level!r}."
            raise InvalidInput(msg)
        return name


class Logs:
    """The log of one run: write with ``experiment.log``, read here."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, message: str, level: str | LogLevel | None, metadata: Mapping[str, Any] | None) -> None:
        """One entry. Raises `InvalidInput` for an unknown level or metadata that cannot be stored, `OSError`."""
        self._recorder.log(log_entry(message, level, metadata))

    def read(
        self,
        start_index: int = 0,
        limit: int | None = 1000,
        level: str | LogLevel | None = None,
        search: str | None = None,
    ) -> list[dict[str, Any]]:
        """Entries from number `start_index` on (negative: from the end), at most `limit` of those that match.

        `level` keeps entries of that level, `search` those whose message holds the text (in any case). Each is
        ``{"sequenceNumber", "timestamp", "level", "message"}`` and "metadata" where there is one.
        """
        start, most = whole("start_index", start_index), None if limit is None else whole("limit", limit)
        wanted = LogLevel.validate(level) if level is not None else None
        part = text("search", search)
        part = part.lower() if part is not None else None
        series = self._recorder.series(LOGS, "")
        start = max(0, self._recorder.count(series) + start) if start < 0 else start
        found: list[dict[str, Any]] = []
        for page in self._recorder.pages(series, start, None):
            for entry in codec.decode_page(page):
                if most is not None and len(found) >= most:
                    return found
                if wanted in (None, entry.get("level")) and (part is None or part in str(entry.get("message")).lower()):
                    found.append(entry)
        return found

    def __len__(self) -> int:
        return self._recorder.count(self._recorder.series(LOGS, ""))


class LogBuilder:
    """``experiment.log(metadata={"epoch": 1}).info("message")``."""

    def __init__(self, logs: Logs, metadata: Mapping[str, Any] | None = None) -> None:
        self._logs = logs
        self._metadata = dict(metadata or {})

    def debug(self, message: str, **extra: Any) -> None:
        """Log at level debug; `extra` joins the metadata."""
        self._logs.write(message, "debug", self._metadata | extra)

    def info(self, message: str, **extra: Any) -> None:
        """Log at level info; `extra` joins the metadata."""
        self._logs.write(message, "info", self._metadata | extra)

    def warn(self, message: str, **extra: Any) -> None:
        """Log at level warn; `extra` joins the metadata."""
        self._logs.write(message, "warn", self._metadata | extra)

    warning = warn

    def error(self, message: str, **extra: Any) -> None:
        """Log at level error; `extra` joins the metadata."""
        self._logs.write(message, "error", self._metadata | extra)

    def fatal(self, message: str, **extra: Any) -> None:
        """Log at level fatal; `extra` joins the metadata."""
        self._logs.write(message, "fatal", self._metadata | extra)

    critical = fatal


def traceback_entry(error: BaseException) -> tuple[str, dict[str, Any]]:
    """Message and metadata for the exception that ended a run."""
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    head = "".join(traceback.format_exception_only(type(error), error)).strip()
    return head, {"traceback": text}


def log_entry(message: Any, level: str | LogLevel | None, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """An entry of now, as it is stored. Raises `InvalidInput` for an unknown level or metadata that cannot be stored."""
    entry: dict[str, Any] = {
        "timestamp": iso(int(time.time() * 1000)),
        "level": LogLevel.validate(level or "info"),
        "message": _text(message),
    }
    if metadata:
        if not isinstance(metadata, Mapping):
            msg = f"log: metadata must be a mapping; got {type(metadata).__name__}."
            raise InvalidType(msg)
        entry["metadata"] = _clean(metadata)
    return entry


def _text(message: Any) -> str:
    """Logs take what comes: lone surrogates become U+FFFD, other objects their text."""
    return _SURROGATE.sub("\ufffd", str(message))


def _clean(value: Any, depth: int = 2) -> Any:
    """`depth` counts as in `values.plain`: the entry is one level, its metadata the next."""
    if isinstance(value, (str, PurePath)):
        return _text(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if depth > MAX_NESTING:
        msg = f"log: metadata is nested deeper than {MAX_NESTING} levels; flatten it or save it as a file."
        raise InvalidInput(msg)
    if isinstance(value, Mapping):
        return {(_text(k) if isinstance(k, str) else k): _clean(v, depth + 1) for k, v in value.items()}
    return [_clean(v, depth + 1) for v in value]
