"""What two tiers need to have before a server is put on them: looked at one thing after the other, each with what to do if it is
missing. Leaves nothing behind but the indexes that the server would make.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from ml_dash.errors import MlDashError
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import Document

OLDEST = (6, 0)
"""The first version of MongoDB that all of it is tested with."""
APART = 5.0
"""Seconds that two clocks may differ; leases and times of points go by them."""
_DENIED = 13


class Finding(NamedTuple):
    """How one thing is. `message` says what to do where that is not "ok"."""

    what: str
    state: Literal["ok", "warning", "failed"]
    message: str


def examine(hot: Hot, cold: Cold, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Look at both tiers. What cannot be looked at, since something before it failed, is left out."""
    yield from _mongo(hot, clock)
    yield from _s3(cold, clock)


# ---------------------------------------------------------------- MongoDB


def _mongo(hot: Hot, clock: Callable[[], float]) -> Iterator[Finding]:
    what = "MongoDB"
    try:
        before = clock()
        hello = hot.client.admin.command("hello")
        now = (before + clock()) / 2
        version = tuple(hot.client.admin.command("buildInfo")["versionArray"][:2])
    except (PyMongoError, BSONError) as e:
        advice = "Correct the URI and the network between; a replica set whose majority is away has no primary."
        yield Finding(what, "failed", f"it does not answer: {_short(e)} {advice}")
        return
    shown = ".".join(map(str, version))
    if version < OLDEST:
        yield Finding(what, "failed", f"its version is {shown}. Use {'.'.join(map(str, OLDEST))} or later.")
    if hello.get("msg") == "isdbgrid":
        yield Finding(what, "ok", f"it answers: a mongos, version {shown}")
    elif "setName" in hello:
        of = f"the primary {hello.get('me', '')} of the replica set {hello['setName']}"
        yield Finding(what, "ok", f"it answers: {of}, {_nodes(len(hello.get('hosts', [])))}, version {shown}")
    else:
        yield Finding(
            what,
            "failed",
            "it is a single server. Acknowledgements of a majority need a replica set, and one node will do: start mongod with "
            "--replSet rs0, run rs.initiate() once, and put replicaSet=rs0 into the URI.",
        )
        return
    yield _written(hot)
    yield _indexed(hot)
    yield _clock_of(what, hello["localTime"].timestamp(), now)


def _written(hot: Hot) -> Finding:
    what = "MongoDB writes"
    collection = hot.db["checks"]
    probe: Document = {"_id": secrets.token_hex(8)}
    since = time.perf_counter()
    try:
        collection.insert_one(dict(probe))
        seconds = time.perf_counter() - since
        found = collection.find_one(probe)
        collection.delete_one(probe)
    except (PyMongoError, BSONError) as e:
        if isinstance(e, OperationFailure) and e.code == _DENIED:
            name = hot.db.name
            role = f'db.grantRolesToUser(user, [{{role: "readWrite", db: "{name}"}}])'
            return Finding(what, "failed", f"the user may not write to the database {name}. Allow it: {role}")
        return Finding(
            what, "failed", f"a write by w=majority, j=true fails: {_short(e)} See to the set's other nodes."
        )
    if found is None:
        return Finding(what, "failed", "what was written by a majority is not read by one. Look at the set's state.")
    return Finding(what, "ok", f"acknowledged by a journalled majority in {seconds * 1000:.1f} ms")


def _indexed(hot: Hot) -> Finding:
    what = "MongoDB indexes"
    try:
        with hot.asking():
            found = hot.runs.index_information()
    except (MlDashError, PyMongoError) as e:
        return Finding(what, "failed", f"they cannot be made: {_short(e)} The user needs the role readWrite.")
    if not found.get("key", {}).get("unique"):
        return Finding(
            what, "failed", 'runs has no unique index "key". Drop the index of this name; the server makes it anew.'
        )
    return Finding(what, "ok", "they are there")


# ---------------------------------------------------------------- S3


def _s3(cold: Cold, clock: Callable[[], float]) -> Iterator[Finding]:
    what = "S3"
    since = time.perf_counter()
    wrong = cold.check()
    if wrong:
        yield Finding(what, "failed", wrong)
        return
    seconds = time.perf_counter() - since
    yield Finding(
        what, "ok", f"{cold.url} takes, keeps and gives back objects, and honours If-None-Match: {seconds:.2f} s"
    )
    key = f"check/{secrets.token_hex(8)}"
    try:
        before = clock()
        cold.put(key, b"clock")
        now = (before + clock()) / 2
        with cold.calling("head", key):
            there = cold.store.head(key)["last_modified"].timestamp()
        cold.delete([key])
    except MlDashError as e:
        yield Finding("S3 clock", "failed", str(e))
    else:
        yield _clock_of(what, there, now)


def _clock_of(what: str, there: float, here: float) -> Finding:
    apart = there - here
    if abs(apart) <= APART:
        return Finding(f"{what} clock", "ok", "it agrees with this machine's")
    text = f"it is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's. Set both by NTP"
    return Finding(f"{what} clock", "warning", f"{text}: leases and the times of points go by them.")


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _short(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    text = text if len(text) < 300 else text[:300] + " …"
    return text if text.endswith((".", "…")) else text + "."
