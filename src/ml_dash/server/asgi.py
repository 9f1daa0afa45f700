"""Answers that are given without the app: small JSON bodies and refusals, as plain ASGI messages. Knows no token and no store."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from ml_dash.store.wire import Problem, dump

Message = MutableMapping[str, Any]
HttpScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[HttpScope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"


class Refused(Exception):
    """A request that does not reach the app: the answer to it, and `reason`, one word for logs and metrics. `token` is the id
    of a token that was known but is no longer valid."""

    def __init__(
        self, status: int, problem: Problem, reason: str, headers: Iterable[Header] = (), token: str = ""
    ) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem
        self.reason = reason
        self.headers = list(headers)
        self.token = token
        if problem.retry_after is not None:
            self.headers.append((b"retry-after", b"%d" % max(1, round(problem.retry_after))))


def header_values(scope: HttpScope, name: bytes) -> list[str]:
    """Every value of the header `name` (in lower case), as it was sent."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def is_known(scope: HttpScope, tag: str) -> bool:
    """Whether who asks has the content of that ETag: the answer is 304, whatever part of it was asked for."""
    known = {
        one.strip().removeprefix("W/") for value in header_values(scope, b"if-none-match") for one in value.split(",")
    }
    return tag in known or "*" in known


async def answer(
    send: Send, status: int, body: bytes, content_type: bytes = JSON, headers: Iterable[Header] = ()
) -> None:
    """The whole answer."""
    own = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refused: Refused) -> None:
    """The answer to a request that is refused."""
    await answer(send, refused.status, dump(refused.problem), headers=refused.headers)


def raw_answer(status: int, problem: Problem) -> bytes:
    """A whole answer as bytes, for a connection whose request cannot be read; it is closed after that."""
    body = dump(problem)
    wait = "" if problem.retry_after is None else f"retry-after: {max(1, round(problem.retry_after))}\r\n"
    head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: {JSON.decode()}\r\n{wait}"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
