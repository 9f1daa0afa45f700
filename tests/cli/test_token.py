"""``ml-dash token``: made once and shown once, listed without a secret, revoked for good."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.tokens import TokenFile, digest
from tests.cli.conftest import Command, Start


class Tokens:
    """The command's own part of it, over a folder."""

    def __init__(self, root: Path) -> None:
        self.cli = Command(root)
        self.file = TokenFile(root)

    def create(self, *args: str) -> str:
        return self.cli.out("token", "create", *args).strip()

    def list(self) -> list[dict[str, Any]]:
        return list(self.cli.json("token", "list")["tokens"])


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / ".ml-dash")


def test_the_text_is_all_of_standard_output_and_what_it_is_for_is_said_beside_it(tokens: Tokens) -> None:
    """So that a script can take it: TOKEN=$(ml-dash token create --scope write)."""
    result = tokens.cli("token", "create", "--scope", "write", "--namespace", "team", "--expires", "30d")
    (token,) = tokens.file.load()
    secret = result.stdout.removesuffix("\n")
    assert digest(secret) == token.sha256
    assert f"Token {token.id} (write; team; expires at {token.expires}) is in {tokens.file.path}." in result.stderr
    assert "shown nowhere else" in result.stderr
    assert secret not in result.stderr


def test_options_say_what_it_allows(tokens: Tokens) -> None:
    tokens.create("--scope", "read")
    tokens.create("--scope", "admin", "--namespace", "a", "--namespace", "b", "--expires", "2099-01-31", "--name", "CI")
    assert [(one["scope"], one["namespaces"], one["expires"], one["name"], one["state"]) for one in tokens.list()] == [
        ("read", [], None, "", "valid"),
        ("admin", ["a", "b"], "2099-01-31T00:00:00.000Z", "CI", "valid"),
    ]


def test_no_list_holds_a_secret_or_what_it_is_known_by(tokens: Tokens) -> None:
    secret = tokens.create("--scope", "read", "--name", "me")
    for text in (tokens.cli.out("token", "list"), json.dumps(tokens.list())):
        assert tokens.file.load()[0].id in text
        assert secret not in text
        assert digest(secret) not in text
        assert "mld_" not in text


def test_the_table_says_which_are_valid(tokens: Tokens) -> None:
    tokens.create("--scope", "read", "--name", "one")
    tokens.create("--scope", "write", "--namespace", "a", "--namespace", "b", "--name", "two")
    ids = [token.id for token in tokens.file.load()]
    tokens.cli("token", "revoke", ids[0])
    head, *rows = tokens.cli.out("token", "list").splitlines()
    assert head.split() == ["id", "name", "scope", "namespaces", "created", "expires", "state"]
    assert [(row.split()[0], row.split()[1], row.split()[-1]) for row in rows] == [
        (ids[0], "one", "revoked"),
        (ids[1], "two", "valid"),
    ]
    assert "a, b" in rows[1]
    assert "all" in rows[0]


def test_an_empty_list_says_how_to_make_one(tokens: Tokens) -> None:
    result = tokens.cli("token", "list")
    assert result.stdout == ""
    assert "`ml-dash token create --scope write` makes one" in result.stderr
    assert tokens.list() == []


def test_revoking_says_since_when(tokens: Tokens) -> None:
    tokens.create("--scope", "read")
    (token,) = tokens.file.load()
    first = tokens.cli.out("token", "revoke", token.id)
    assert first.startswith(f"Token {token.id} is revoked since 20")
    assert tokens.cli.out("token", "revoke", token.id) == first
    assert "no token with the id 'nope'" in tokens.cli.error("token", "revoke", "nope", code=3)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["create"], "--scope"),
        (["create", "--scope", "all"], "scope: expected one of read, write, admin; got 'all'"),
        (["create", "--scope", "read", "--expires", "soon"], "expires: expected a span such as 12h"),
        (["create", "--scope", "read", "--expires", "2001-01-01"], "has passed"),
        (["create", "--scope", "read", "--namespace", "a/b"], "namespace 'a/b'"),
        (["revoke"], "ID"),
        (["unknown"], "unknown"),
    ],
)
def test_wrong_usage_makes_none(tokens: Tokens, args: list[str], text: str) -> None:
    assert text in tokens.cli.error("token", *args, code=2)
    assert tokens.file.load() == ()


def test_damage_is_an_error_that_says_what_to_do(tokens: Tokens) -> None:
    tokens.create("--scope", "read")
    Path(tokens.file.path).write_text("{")
    for args in (["list"], ["create", "--scope", "read"], ["revoke", "x"]):
        assert "tokens.json is damaged" in tokens.cli.error("token", *args, code=1)


def test_the_store_is_named_as_for_the_server(tokens: Tokens, tmp_path: Path, start: Start) -> None:
    tokens.create("--scope", "read", "--store", str(tmp_path / "other"))
    assert len(TokenFile(tmp_path / "other").load()) == 1
    assert tokens.file.load() == ()
    process = start("token", "create", "--scope", "read", ML_DASH_STORE=str(tmp_path / "third"))
    process.communicate()
    assert len(TokenFile(tmp_path / "third").load()) == 1
    assert stat.S_IMODE((tmp_path / "third/.server").stat().st_mode) == 0o700
