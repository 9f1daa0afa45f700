"""What a server is told when it is started. Values only, checked; who reads options and environment variables is the command."""

from __future__ import annotations

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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`store` is a folder. `allowed_hosts` empty allows any `Host` to a caller with a token. `max_connections` None is half of
    the descriptors that the process may have. `stop` is how long (s) requests in flight may take after SIGTERM."""

    store: str
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
        if self.log_level not in LEVELS:
            raise InvalidInput(f"log level: expected one of {', '.join(LEVELS)}; got {self.log_level!r}.")
        for host in self.allowed_hosts:
            name, port = split_host(host)
            if not name or port:
                raise InvalidInput(f"allowed host: expected a name or address without a port; got {host!r}.")

    def limits(self) -> Limits:
        """What one request may ask."""
        usual = Limits()
        decoded = max(usual.decoded, 2 * self.max_body)
        in_flight = max(usual.in_flight, 2 * (self.max_body + decoded))
        return Limits(body=self.max_body, decoded=decoded, in_flight=in_flight, file=self.max_file)

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
