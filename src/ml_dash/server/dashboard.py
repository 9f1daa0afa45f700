"""The routes of docs/formats/protocol.md that the dashboard draws from: many runs, or many series, in one light answer. What is in
the answers is said by the modules that make them, who may see it by `views`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ml_dash.model import RunQuery
from ml_dash.query import MAX_LENGTH, Unreadable
from ml_dash.server.api import PREFIX
from ml_dash.server.endpoints import Body, Call, Endpoint
from ml_dash.server.listeners import EVENTS
from ml_dash.server.log_search import LogRows, OfLogs
from ml_dash.server.projects import Projects, projects_of
from ml_dash.server.samples import SAMPLES, SamplesAsked
from ml_dash.server.streaming import Streamed
from ml_dash.server.summaries import Summaries, SummariesAsked
from ml_dash.server.table import MOST_COLUMNS, Table, encode_table, references

_encode = msgspec.json.Encoder().encode
_DEAF = 20.0
"""Seconds that a page that listens may take nothing."""
_FAST = 0.05
"""Seconds of filtering or summing up at a time: whoever asked may have gone."""


class OfTable(Struct):
    """The runs of a project, with these columns beside their parameters: references of the filter language."""

    project: str
    namespace: str = ""
    columns: Annotated[list[str], Meta(max_length=MOST_COLUMNS)] = []


class OfMatch(Struct):
    """Those runs of a project that the filter holds of."""

    project: str
    filter: Annotated[str, Meta(max_length=MAX_LENGTH)]
    namespace: str = ""


class Matching(Struct):
    """Ids, newest first."""

    runs: list[str]


class OfLive(Struct):
    """What happens in a project; in all of a namespace without one."""

    namespace: str = ""
    project: str | msgspec.UnsetType = msgspec.UNSET


async def find_projects(call: Call) -> Response:
    def made() -> bytes:
        return _encode(projects_of(call.service.find_runs(call.caller, RunQuery()), time.time()))

    return await call.answer(made)


async def table(call: Call) -> Response:
    query = call.query(OfTable)
    columns = references(query.columns)

    def made() -> bytes:
        return encode_table(call.service.views.table(call.caller, query.namespace, query.project), columns, time.time())

    return await call.answer(made)


async def match_runs(call: Call) -> Response:
    query = call.query(OfMatch)
    asked = partial(call.service.views.filtered, call.caller, query.namespace, query.project, query.filter)
    try:
        matching = await call.service.calls.run(asked)
    except Unreadable as e:
        at = (_in_utf_16(query.filter, e.at[0]), _in_utf_16(query.filter, e.at[1]))
        # The page underlines the part that is wrong: it needs no quote of it.
        raise Unreadable(e.sentence, at, e.sentence) from None
    while not await call.service.calls.run(partial(matching.go_on, _FAST)):
        if await call.request.is_disconnected():
            break
    return await call.answer(lambda: _encode({"runs": matching.found}))


def _in_utf_16(text: str, at: int) -> int:
    """A place in the text, counted as JavaScript counts."""
    return len(text[:at].encode("utf-16-le", "surrogatepass")) // 2


async def summaries(call: Call) -> Response:
    asked = await call.record(SummariesAsked)
    summing = await call.service.calls.run(lambda: call.service.views.summaries(call.caller, asked()))
    while not await call.service.calls.run(partial(summing.go_on, _FAST)):
        if await call.request.is_disconnected():
            break
    return await call.answer(summing.encoded)


async def samples(call: Call) -> Response:
    asked = await call.service.calls.run(await call.record(SamplesAsked))
    headers = {"Content-Type": SAMPLES, "Cache-Control": "no-store"}
    return Streamed(_frames(call, asked), 200, headers, call.service.limits.stall)


async def _frames(call: Call, asked: SamplesAsked) -> AsyncIterator[bytes]:
    """The answer as it is made. The first goes alone, so that it is drawn at once."""
    at, seconds = 0, 0.0
    while at < len(asked.series):
        found = await call.service.calls.run(partial(call.service.views.frames, call.caller, asked, at, seconds))
        yield b"".join(found)
        at, seconds = at + len(found), call.service.limits.turn


async def live(call: Call) -> Response:
    query = call.query(OfLive)
    project = None if query.project is msgspec.UNSET else query.project
    listening = call.service.views.live(call.caller, query.namespace, project)
    headers = {"Content-Type": EVENTS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Streamed(listening.events(), 200, headers, _DEAF, listening.close)


async def find_logs(call: Call) -> Response:
    query = call.query(OfLogs)
    return await call.answer(lambda: call.service.views.logs(call.caller, call.path("run"), query))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        PREFIX + "/samples",
        "read",
        samples,
        "Samples of many series, one after the other",
        SAMPLES,
        body=Body(SamplesAsked),
    ),
    Endpoint("GET", PREFIX + "/table", "read", table, "A project's runs, a list a column", Table, OfTable),
    Endpoint(
        "POST",
        PREFIX + "/summaries",
        "read",
        summaries,
        "Aggregates of series fields, for the runs that are asked for",
        Summaries,
        body=Body(SummariesAsked),
    ),
    Endpoint("GET", PREFIX + "/match", "read", match_runs, "The runs that a filter holds of", Matching, OfMatch),
    Endpoint("GET", PREFIX + "/live", "read", live, "What happens in a project, as it happens", EVENTS, OfLive),
    Endpoint("GET", PREFIX + "/projects", "read", find_projects, "The projects that there are", Projects),
    Endpoint("GET", PREFIX + "/runs/{run}/logs", "read", find_logs, "Lines of a run's log that match", LogRows, OfLogs),
)
