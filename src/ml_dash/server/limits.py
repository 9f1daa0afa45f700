"""How much one request may ask of the server. Numbers only: who keeps to them imports this."""

from __future__ import annotations

import msgspec

MB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    body: int = 64 * MB
    """An append's body as it is sent."""
    decoded: int = 128 * MB
    """The same once it is decompressed."""
    record: int = 16 * MB
    """A JSON body, sent and decompressed."""
    file: int | None = None
    """An uploaded file; None is what the disk holds."""
    in_flight: int = 512 * MB
    """All bodies that are in memory at one time, as sent and decompressed. Who comes beyond that is asked to come again."""
    page: int = 8 * MB
    """The lines of one answer to a read."""
    buckets: int = 20_000
    """`max_points` of a sample."""
    patience: float = 0.15
    """Seconds that a table waits for series that nobody has looked at yet."""
    listen: float = 300.0
    """How long one may listen to what happens before it has to come back: a token that is revoked is good for no longer."""
    turn: float = 0.01
    """Seconds of samples that are computed before those are sent."""
    stall: float = 60.0
    """How long a client may send nothing in the middle of a body, or take nothing of a file, before it is given up."""
    retry_after: float = 1.0
    """What a client is told to wait where nobody knows better."""
    appends: int = 8
    """Threads that store rows."""
    slow: float = 0.1
    """Seconds after which those who wait to append are not kept waiting by a group that has not come to its end: another thread
    takes them. Short where a store waits for a network, so that groups are on their way beside each other."""
    together: int = 32 * MB
    """The rows that one call of the store's append takes of requests that came together."""
    reads: int = 8
    """Threads for all other calls."""
    uploads: int = 16
    """Threads that store files, each for as long as its upload takes."""
