"""Tokens in MongoDB: what is kept of one, how servers learn of a change, and that nobody is let in where they cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
import pytest

from ml_dash.errors import CorruptData, InvalidInput, NotFound, Unavailable
from ml_dash.server.access_log import Log
from ml_dash.server.mongo_tokens import MongoTokens
from ml_dash.server.polled_tokens import PolledTokens
from ml_dash.server.tokens import Token, digest
from ml_dash.times import iso
from tests.crash.children import eventually

NOW = 1_900_000_000.0


@pytest.fixture
def uri(fresh_database: Callable[[], str]) -> str:
    return fresh_database()


@pytest.fixture
def kept(uri: str) -> Iterator[MongoTokens]:
    with contextlib.closing(MongoTokens(uri, clock=lambda: NOW)) as tokens:
        yield tokens


@pytest.fixture
def collection(uri: str) -> Iterator[Any]:
    """The collection as it is, past everything of ours."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    with client:
        yield client.get_default_database()["tokens"]


def test_a_document_says_what_was_asked_and_holds_no_secret(kept: MongoTokens, collection: Any) -> None:
    token, secret = kept.create("write", ["team", "other", "team"], name="CI of the team", expires="30d")
    (document,) = collection.find()
    assert document == {
        "_id": token.id,
        "name": "CI of the team",
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "scope": "write",
        "namespaces": ["team", "other"],
        "created": iso(int(NOW * 1000)),
        "expires": iso(int(NOW * 1000) + 30 * 86_400_000),
        "revoked": None,
    }
    assert kept.load() == (token,)


def test_revoking_is_for_good_and_twice_is_once(kept: MongoTokens, uri: str) -> None:
    token, _ = kept.create("read")
    other, _ = kept.create("read")
    first = kept.revoke(token.id)
    assert first.revoked == iso(int(NOW * 1000))
    with contextlib.closing(MongoTokens(uri, clock=lambda: NOW + 5)) as later:
        assert later.revoke(token.id) == first
        assert {one.id: one.state(NOW) for one in later.load()} == {token.id: "revoked", other.id: "valid"}
    with pytest.raises(NotFound, match="no token with the id 'nope' in the collection tokens of the database test_"):
        kept.revoke("nope")


def test_a_wrong_call_makes_no_token(kept: MongoTokens) -> None:
    for given in ({"scope": "root"}, {"scope": "read", "namespaces": ["a/b"]}, {"scope": "read", "expires": "soon"}):
        with pytest.raises(InvalidInput):
            kept.create(**given)
    assert kept.load() == ()


def test_an_id_that_is_taken_is_not_given_twice(kept: MongoTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.tokens.new_id", lambda: "aaaaaaaa")
    monkeypatch.setattr("ml_dash.server.mongo_tokens.new_id", lambda: "bbbbbbbb")
    assert [kept.create("read")[0].id for _ in range(2)] == ["aaaaaaaa", "bbbbbbbb"]


def test_servers_that_make_tokens_together_lose_none(uri: str) -> None:
    def make(_: int) -> list[str]:
        with contextlib.closing(MongoTokens(uri)) as tokens:
            return [tokens.create("read")[0].id for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        made = [one for ids in pool.map(make, range(4)) for one in ids]
    with contextlib.closing(MongoTokens(uri)) as tokens:
        assert {token.id for token in tokens.load()} == set(made)
    assert len(made) == 20


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"projects": ["a"]}},
        {"$set": {"scope": "all"}},
        {"$unset": {"scope": 1}},
        {"$set": {"sha256": ""}},
        {"$set": {"expires": "soon"}},
        {"$set": {"expires": 5}},
        {"$set": {"namespaces": "team"}},
    ],
)
def test_a_damaged_document_is_an_error(kept: MongoTokens, collection: Any, change: dict[str, Any]) -> None:
    """Neither is a token forgotten nor is one that was narrowed by something newer taken for a wider one."""
    kept.create("read")
    kept.create("write")
    collection.update_one({"scope": "read"}, change)
    with pytest.raises(CorruptData, match="tokens of the database test_.* is damaged.*Bring it back from a backup"):
        kept.load()


def test_a_database_that_does_not_answer() -> None:
    away = MongoTokens("mongodb://127.0.0.1:1/db", timeout=0.3)
    with contextlib.closing(away), pytest.raises(Unavailable, match="MongoDB does not answer"):
        away.load()
    with pytest.raises(InvalidInput, match="mongo: expected mongodb://"):
        MongoTokens("http://nothing")


# ---------------------------------------------------------------- as a server sees them


class Source:
    """Tokens that may be out of reach, or take long."""

    where = "the place"

    def __init__(self, *tokens: Token) -> None:
        self.tokens = tokens
        self.failure: Exception | None = None
        self.looks = 0
        self.go = threading.Event()
        self.go.set()

    def load(self) -> tuple[Token, ...]:
        self.looks += 1
        assert self.go.wait(60)
        if self.failure is not None:
            raise self.failure
        return self.tokens

    def create(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def revoke(self, _: str) -> Any:
        raise NotImplementedError


def token_of(secret: str, **more: Any) -> Token:
    return Token("id", "", digest(secret), "read", (), "2026-01-01T00:00:00.000Z", **more)


@contextlib.contextmanager
def polled(source: Source, out: io.StringIO, now: list[float], every: float = 3600) -> Iterator[PolledTokens]:
    live = PolledTokens(source, Log(out), every=every, patience=5, clock=lambda: now[0])
    with contextlib.closing(live):
        yield live


def events(out: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in out.getvalue().splitlines()]


def test_what_was_found_counts_for_so_long_and_no_longer() -> None:
    """A database that is away for a moment shuts nobody out; one that stays away lets nobody in, since who is revoked meanwhile
    would be let in too."""
    source, out, now = Source(token_of("a")), io.StringIO(), [100.0]
    with polled(source, out, now) as live:
        source.failure = Unavailable("it is away")
        now[0] += 4.9
        live.look()
        live.refresh()
        assert live.damage is None
        assert live.find("a") is not None
        now[0] += 0.2
        live.refresh()
        assert live.damage == "the place could not be read for 5 s."
        live.look()
        assert live.damage == "it is away"
        source.failure = None
        live.look()
        live.refresh()
        assert live.damage is None
        assert live.find("a") is not None
    assert events(out) == ["tokens unreadable", "tokens unreadable", "tokens readable"]


def test_a_look_that_takes_long_is_as_old_as_its_beginning() -> None:
    """What was revoked during it may not be in it."""
    source, out, now = Source(token_of("a")), io.StringIO(), [100.0]
    with polled(source, out, now) as live, ThreadPoolExecutor(1) as pool:
        source.go.clear()
        looks = source.looks
        look = pool.submit(live.look)
        assert eventually(lambda: source.looks > looks)
        now[0] += 4
        source.go.set()
        look.result(60)
        now[0] += 2
        live.refresh()
        assert live.damage is not None


def test_damage_shuts_at_once_and_so_do_tokens_that_are_gone() -> None:
    source, out, now = Source(token_of("a")), io.StringIO(), [100.0]
    with polled(source, out, now) as live:
        source.failure = CorruptData("tokens", 0, "damaged")
        live.look()
        assert live.damage is not None
        source.failure, source.tokens = None, ()
        live.look()
        assert live.damage == "the place is gone or empty, and there were tokens."
        assert live.exist


def test_a_change_is_seen_without_a_request() -> None:
    source, out = Source(token_of("a")), io.StringIO()
    with polled(source, out, [100.0], every=0.01) as live:
        source.tokens = (token_of("a", revoked="2026-01-02T00:00:00.000Z"),)
        assert eventually(lambda: (found := live.find("a")) is not None and found.state(NOW) == "revoked")
        source.tokens += (token_of("b"),)
        assert eventually(lambda: live.find("b") is not None)
