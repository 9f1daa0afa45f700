"""How the cold tier's store is reached: which clients, how long they may take, and when it is not worth trying. No objects here."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, S3Store, from_url

from ml_dash.errors import InvalidInput, Unavailable
from ml_dash.store.s3_login import s3_config

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

LONGER = 6
"""Times the time of a small call that a large one may take."""
BROKEN = 3
"""Failures in a row after which the store is taken to be down."""
RETRYING, _TRYING, _PAUSE = 0.2, 0.5, 0.1
"""Shares of the time that a call may take: how long after its beginning a request may be sent again, how long one request may
take, how long the longest pause before it is. They add up to less than 1 for the two ways to send again."""
_SCHEMES = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"


class Breaker:
    """Whether it is worth trying: after `BROKEN` failures in a row one call in `pause` seconds is let through."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._failures = 0
        self._until = 0.0
        self._last = ""
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Raise `Unavailable` where there is no point in trying now."""
        if self._failures < BROKEN:
            return
        with self._mutex:
            now = time.monotonic()
            if now < self._until:
                raise Unavailable(self._last, max(self._until - now, 0.1))
            self._until = now + self._pause

    def failed(self, error: Unavailable) -> None:
        """A call did not get through."""
        with self._mutex:
            self._failures += 1
            self._until = time.monotonic() + self._pause
            self._last = str(error)

    def worked(self) -> None:
        """A call got an answer."""
        if self._failures:
            with self._mutex:
                self._failures = 0


def connect(url: str, endpoint: str | None, timeout: float) -> tuple[ObjectStore, ObjectStore, ObjectStore]:
    """Clients of the same objects: for small calls, large writes, large reads."""
    retry: RetryConfig = {
        "max_retries": 10,
        "retry_timeout": timedelta(seconds=timeout * RETRYING),
        "backoff": {
            "init_backoff": timedelta(seconds=timeout * _PAUSE / 10),
            "max_backoff": timedelta(seconds=timeout * _PAUSE),
            "base": 2,
        },
    }
    share = timedelta(seconds=timeout * _TRYING)
    small: ClientConfig = {"timeout": share, "connect_timeout": timedelta(seconds=timeout * RETRYING)}
    writes: ClientConfig = {**small, "timeout": share * LONGER}
    reads: ClientConfig = {**writes, "read_timeout": share}
    parts = urlsplit(url)
    try:
        if parts.scheme == "s3" and parts.netloc:
            config, login = s3_config(endpoint)
            plain = config.get("aws_endpoint_url_s3", "").startswith("http://")

            def s3(options: ClientConfig) -> S3Store:
                chosen: ClientConfig = {**options, "allow_http": True} if plain else options
                return S3Store(
                    parts.netloc,
                    prefix=parts.path.strip("/") or None,
                    config=config,
                    client_options=chosen,
                    retry_config=retry,
                    credential_provider=login,
                )

            return s3(small), s3(writes), s3(reads)
        if parts.scheme == "file" and not parts.netloc and len(parts.path) > 1:
            folder = LocalStore(parts.path, mkdir=True, automatic_cleanup=True)
            return folder, folder, folder
        if parts.scheme == "memory":  # for tests
            memory = MemoryStore()
            return memory, memory, memory
        if parts.scheme not in {"gs", "az"} or not parts.netloc:
            raise InvalidInput(f"s3: expected {_SCHEMES}; got {url!r}.")
        clients = [from_url(url, client_options=options, retry_config=retry) for options in (small, writes, reads)]
        return clients[0], clients[1], clients[2]
    except (exceptions.BaseError, OSError, ValueError) as e:
        if isinstance(e, InvalidInput):
            raise
        raise InvalidInput(f"s3: {url!r} cannot be used: {str(e).partition(chr(10))[0]}") from e
