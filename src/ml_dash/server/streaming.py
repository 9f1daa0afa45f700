"""Answers that are sent as they are made: never more in memory than the client takes. Knows no route and no store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

import anyio
from starlette.responses import StreamingResponse


def nothing() -> None:
    """For an answer that holds nothing to let go of."""


class Streamed(StreamingResponse):
    """A streamed answer that lets go of what it holds however it ends, and is given up where the client takes nothing for `stall`
    seconds."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        stall: float,
        close: Callable[[], None] = nothing,
    ) -> None:
        super().__init__(parts, status, headers)
        self._stall = stall
        self._close = close

    async def stream_response(self, send: Callable[..., object]) -> None:
        async def patient(message: object) -> None:
            with anyio.fail_after(self._stall):
                await send(message)  # type: ignore[misc]

        try:
            with suppress(TimeoutError):
                await super().stream_response(patient)
        finally:
            self._close()
