"""Tokens in MongoDB, for servers that have no folder in common: the collection ``tokens``, a document a token. No HTTP.

Documents are those of the file: a token's hash, never its text. A change is one document's, acknowledged by a journalled
majority, and read back by majority, so that a token that was revoked does not come back with a failover.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from ml_dash.errors import Conflict
from ml_dash.server.tokens import Token, check_all, mint, new_id, unknown
from ml_dash.store.hot import Hot
from ml_dash.store.wire import Corrupt
from ml_dash.times import iso

_TIMEOUT = 10.0


class MongoTokens:
    """The tokens in the database that `mongo` names. Whoever opens it closes it."""

    def __init__(self, mongo: str, clock: Callable[[], float] = time.time, *, timeout: float = _TIMEOUT) -> None:
        self._hot = Hot(mongo, timeout=timeout)
        self._tokens = self._hot.db["tokens"]
        self.where = f"the collection tokens of the database {self._hot.db.name}"
        self._clock = clock

    def load(self) -> tuple[Token, ...]:
        """See `Tokens.load`."""
        with self._hot.asking():
            found = list(self._tokens.find({}).sort([("created", 1), ("_id", 1)]))
        try:
            tokens = tuple(_token(document) for document in found)
            check_all(tokens)
        except ValueError as e:  # msgspec's errors are ValueErrors
            raise Corrupt(
                f"{self.where} is damaged ({e}), so no token is accepted. Bring it back from a backup; or remove what is wrong "
                "in it and make new tokens with `ml-dash token create`.",
                self.where,
                0,
            ) from e
        return tokens

    def create(
        self, scope: str, namespaces: Sequence[str] = (), *, name: str = "", expires: str | None = None
    ) -> tuple[Token, str]:
        """See `Tokens.create`."""
        token, secret = mint(scope, namespaces, name, expires, self._clock())
        while not self._insert(token):
            token = msgspec.structs.replace(token, id=new_id())
        return token, secret

    def _insert(self, token: Token) -> bool:
        """Whether the token's id was free."""
        document: dict[str, Any] = msgspec.to_builtins(token)
        document["_id"] = document.pop("id")
        with self._hot.asking():
            try:
                self._tokens.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    def bring(self, token: Token) -> bool:
        """Keep a token that was made elsewhere, with its id, and its revocation where that is news. Whether it was not there.
        Raises `Conflict` where another one has its id."""
        if self._insert(token):
            return True
        with self._hot.asking():
            if token.revoked is not None:
                known = {"_id": token.id, "sha256": token.sha256, "revoked": None}
                self._tokens.update_one(known, {"$set": {"revoked": token.revoked}})
            if self._tokens.find_one({"_id": token.id, "sha256": token.sha256}, {"_id": 1}) is None:
                raise Conflict(f"another token has the id {token.id!r} in {self.where}. Revoke the one or the other.")
        return False

    def revoke(self, token: str) -> Token:
        """See `Tokens.revoke`."""
        with self._hot.asking():
            now = iso(int(self._clock() * 1000))
            self._tokens.update_one({"_id": token, "revoked": None}, {"$set": {"revoked": now}})
            found = self._tokens.find_one({"_id": token})
        if found is None:
            raise unknown(token, self.where)
        return _token(found)

    def close(self) -> None:
        """Let the connections go."""
        self._hot.close()


def _token(document: dict[str, Any]) -> Token:
    """Raises `ValueError`, also for a field that is not known here: it may narrow what the token allows."""
    own = {key: value for key, value in document.items() if key != "_id"}
    return msgspec.convert({**own, "id": document["_id"]}, Token)
