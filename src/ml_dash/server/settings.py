"""What a server is told when it is started. Values only, checked; who reads options and environment variables is the command."""

from __future__ import annotations

import os
import re
import resource

import msgspec

from ml_dash.errors import InvalidInput
from ml_dash.server.access_log import LEVELS
from ml_dash.server.guard import split_host
from ml_dash.server.limits import Limits

_SIZE = re.compile(r"([0-9]{1,12}) *([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MAX_CONNECTIONS = 10_000
_ROUND_TRIP = 0.002
"""Seconds that a group's way to MongoDB and back may take before another one goes; see `Limits.slow`."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is served: the folder `store`, or the two tiers in `mongo` (a URI) and `s3` (``s3://bucket/prefix``, at `s3_endpoint`
    where that is not AWS). `workers` are processes on one socket. `allowed_hosts` empty allows any `Host` to a caller with a token.
    `max_connections`, a process's, None is half of the descriptors that it may have. `stop` is how long (s) requests in flight
    may take after SIGTERM."""

    store: str | None = None
    mongo: str | None = None
    s3: str | None = None
    s3_endpoint: str | None = None
    workers: int = 1
    host: str = "127.0.0.1"
    port: int = 3000
    max_body: int = Limits().body
    max_file: int | None = None
    max_connections: int | None = None
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    log_level: str = "info"
    keep_alive: int = 75
    stop: int = 20

    def __post_init__(self) -> None:
        self._check_place()
        if self.log_level not in LEVELS:
            raise InvalidInput(f"log level: expected one of {', '.join(LEVELS)}; got {self.log_level!r}.")
        for host in self.allowed_hosts:
            name, port = split_host(host)
            if not name or port:
                raise InvalidInput(f"allowed host: expected a name or address without a port; got {host!r}.")

    def _check_place(self) -> None:
        if self.mongo is None and self.s3 is None and self.s3_endpoint is None:
            if self.store is None:
                raise InvalidInput("the server needs a place for runs: --store with a folder, or --mongo and --s3.")
            if self.workers != 1:
                raise InvalidInput(
                    f"--workers: one process serves a folder; got {self.workers}. Several need --mongo and --s3."
                )
        elif self.store is not None:
            raise InvalidInput("--store is a folder, --mongo and --s3 are the two tiers: give the one or the others.")
        elif not self.mongo or not self.s3:
            missing = " and ".join(name for name, value in (("--mongo", self.mongo), ("--s3", self.s3)) if not value)
            raise InvalidInput(
                "--mongo and --s3 come together, since recent points are kept in MongoDB and history in S3: "
                f"give {missing} too, or --store alone."
            )
        if self.workers < 1:
            raise InvalidInput(f"--workers: expected 1 or more; got {self.workers}.")

    @property
    def place(self) -> str:
        """What is served, for people and the log; never a password."""
        return os.path.abspath(self.store) if self.store is not None else f"MongoDB and {self.s3}"

    def limits(self) -> Limits:
        """What one request may ask."""
        usual = Limits()
        decoded = max(usual.decoded, 2 * self.max_body)
        in_flight = max(usual.in_flight, 2 * (self.max_body + decoded))
        slow = usual.slow if self.mongo is None else _ROUND_TRIP
        return Limits(body=self.max_body, decoded=decoded, in_flight=in_flight, file=self.max_file, slow=slow)

    def connections(self) -> int:
        """Connections at one time."""
        if self.max_connections is not None:
            return self.max_connections
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(_MAX_CONNECTIONS, soft // 2))


def parse_size(what: str, text: str) -> int:
    """Bytes: ``67108864``, ``64MB``, ``1GB``; units are powers of 1,024. Raises `InvalidInput`."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise InvalidInput(f"{what}: expected a size such as 64MB or 1GB; got {text!r}.")
    return int(found[1]) * _UNITS[found[2].lower()]
