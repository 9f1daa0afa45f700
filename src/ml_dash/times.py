"""Wall times: unix milliseconds ↔ the ISO 8601 text of our records. Pure; reads no clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(ms: int) -> str:
    """Unix milliseconds as UTC text, ``2026-01-31T09:30:00.125Z``."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> int:
    """The inverse of `iso`, also for texts without a fraction or with microseconds. Raises `ValueError`."""
    at = datetime.fromisoformat(_python310(text))
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _python310(text: str) -> str:
    """Python 3.10 reads neither "Z" nor fractions of other lengths than 3 and 6."""
    head = text.removesuffix("Z")
    zone = "+00:00" if head != text else ""
    whole, dot, rest = head.partition(".")
    if not dot:
        return whole + zone
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{whole}.{rest[:digits][:6]:0<6}{rest[digits:]}{zone}"
