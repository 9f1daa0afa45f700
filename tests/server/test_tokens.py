"""The tokens' file: what is kept of a token, who may read it, how it changes, what counts as damaged."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_dash.errors import CorruptData, InvalidInput, NotFound
from ml_dash.server.tokens import TokenFile, expiry
from ml_dash.times import iso, parse_iso
from tests.server.processes import SOURCE

NOW = 1_900_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "store", clock=lambda: NOW)


def test_no_file_is_no_token_and_none_is_made_by_looking(file: TokenFile) -> None:
    assert file.load() == ()
    assert not os.path.exists(file.folder)


def test_a_token_is_256_random_bits_of_which_only_the_hash_is_kept(file: TokenFile) -> None:
    made = [file.create("read") for _ in range(20)]
    secrets = [secret for _, secret in made]
    assert len(set(secrets)) == len({token.id for token, _ in made}) == 20
    assert all(re.fullmatch(r"mld_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    text = "".join(path.read_text() for path in Path(file.folder).iterdir())
    assert not any(secret[4:] in text for secret in secrets)
    assert [token.sha256 for token in file.load()] == [
        hashlib.sha256(secret.encode()).hexdigest() for secret in secrets
    ]


def test_a_record_says_what_was_asked(file: TokenFile) -> None:
    token, _ = file.create("write", ["team", "other", "team"], name="CI of the team", expires="30d")
    (record,) = json.loads(Path(file.path).read_text())["tokens"]
    assert record == {
        "id": token.id,
        "name": "CI of the team",
        "sha256": token.sha256,
        "scope": "write",
        "namespaces": ["team", "other"],
        "created": iso(int(NOW * 1000)),
        "expires": iso(int(NOW * 1000) + 30 * 86_400_000),
        "revoked": None,
    }
    assert file.load() == (token,)


def test_only_the_owner_may_read_it_whatever_the_umask(file: TokenFile) -> None:
    before = os.umask(0)
    try:
        file.create("read")
        file.create("read")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(file.folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600


def test_a_folder_that_was_open_is_closed(file: TokenFile) -> None:
    os.makedirs(file.folder, mode=0o755)
    file.create("read")
    assert stat.S_IMODE(os.stat(file.folder).st_mode) == 0o700


def test_revoking_is_for_good_and_twice_is_once(file: TokenFile) -> None:
    token, _ = file.create("read")
    other, _ = file.create("read")
    first = file.revoke(token.id)
    assert first.revoked == iso(int(NOW * 1000))
    assert file.revoke(token.id) == first
    assert [one.state(NOW) for one in file.load()] == ["revoked", "valid"]
    assert file.load()[1] == other
    with pytest.raises(NotFound, match="no token with the id 'nope'"):
        file.revoke("nope")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12h", 12 * 3600), ("30d", 30 * 86400), ("8w", 56 * 86400), ("1d", 86400)],
)
def test_a_span_counts_from_now(text: str, seconds: int) -> None:
    assert expiry(text, NOW) == int((NOW + seconds) * 1000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2031-01-31", "2031-01-31T00:00:00.000Z"),
        ("2031-01-31T09:30Z", "2031-01-31T09:30:00.000Z"),
        ("2031-01-31T09:30:15", "2031-01-31T09:30:15.000Z"),
    ],
)
def test_a_date_is_in_utc(text: str, moment: str) -> None:
    assert iso(expiry(text, NOW)) == moment


NO_MOMENTS = [
    "",
    "30",
    "d",
    "30 d",
    "-1d",
    "1y",
    "0x1d",
    "tomorrow",
    "2031-13-01",
    "31.1.2031",
    "999999w",
    "2031-01-31T25:00",
]


@pytest.mark.parametrize("text", [*NO_MOMENTS, "\u0663d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expires: expected a span such as 12h"):
        expiry(text, NOW)


@pytest.mark.parametrize("text", ["0d", "2020-01-01", iso(int(NOW * 1000))])
def test_a_moment_that_has_passed_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="has passed"):
        expiry(text, NOW)


def test_it_expires_at_its_moment(file: TokenFile) -> None:
    token, _ = file.create("read", expires="1h")
    assert token.expires is not None
    at = parse_iso(token.expires) / 1000
    assert [token.state(at - 0.001), token.state(at), token.state(at + 1e9)] == ["valid", "expired", "expired"]
    assert file.create("read")[0].state(1e12) == "valid"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"scope": "root"}, "scope: expected one of read, write, admin; got 'root'"),
        ({"scope": "read", "namespaces": ["a/b"]}, "namespace 'a/b'"),
        ({"scope": "read", "namespaces": [""]}, "namespace"),
        ({"scope": "read", "namespaces": ["../x"]}, "namespace"),
        ({"scope": "read", "name": "a\nb"}, "name: expected"),
        ({"scope": "read", "name": "x" * 201}, "name: expected"),
    ],
)
def test_a_wrong_call_makes_no_token(file: TokenFile, given, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        file.create(**given)
    assert file.load() == ()


def damaged(text: str, **changes: object) -> str:
    document = json.loads(text)
    document["tokens"][0] |= changes
    return json.dumps(document)


DAMAGE = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "no JSON": lambda text: "tokens",
    "a list": lambda text: "[]",
    "no tokens": lambda text: '{"version": 1}',
    "a newer version": lambda text: text.replace('"version": 1', '"version": 2'),
    "a field nobody knows": lambda text: damaged(text, projects=["a"]),
    "a scope nobody knows": lambda text: damaged(text, scope="all"),
    "no scope": lambda text: text.replace('"scope": "read",', ""),
    "a hash that is none": lambda text: damaged(text, sha256=""),
    "no id": lambda text: damaged(text, id=""),
    "no date": lambda text: damaged(text, expires="soon"),
    "a number for a date": lambda text: damaged(text, expires=5),
    "namespaces as text": lambda text: damaged(text, namespaces="team"),
    "two of one id": lambda text: json.dumps({"version": 1, "tokens": json.loads(text)["tokens"] * 2}),
    "deep": lambda text: "[" * 100_000,
    "bytes": lambda text: "\udcff\udcfe",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_an_error_and_stays_as_it_is(file: TokenFile, how: str) -> None:
    """Neither is a token forgotten nor is one that was narrowed by something newer taken for a wider one."""
    file.create("read")
    path = Path(file.path)
    path.write_bytes(DAMAGE[how](path.read_text()).encode(errors="surrogateescape"))
    before = path.read_bytes()
    for call in (file.load, lambda: file.create("read"), lambda: file.revoke("a")):
        with pytest.raises(CorruptData, match=r"tokens\.json is damaged.*Bring it back from a backup"):
            call()
    assert path.read_bytes() == before


def test_processes_that_make_tokens_together_lose_none(tmp_path: Path) -> None:
    script = (
        "import sys; from ml_dash.server.tokens import TokenFile\n"
        "for _ in range(10): print(TokenFile(sys.argv[1]).create('read')[0].id)"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE}
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=env, text=True)
        for _ in range(4)
    ]
    made = [line for process in started for line in process.communicate()[0].split()]
    assert [process.returncode for process in started] == [0] * 4
    assert len(made) == 40
    assert {token.id for token in TokenFile(tmp_path).load()} == set(made)


def test_a_reader_finds_a_whole_file_while_it_changes(tmp_path: Path) -> None:
    script = (
        "import sys; from ml_dash.server.tokens import TokenFile\n"
        "for _ in range(60): TokenFile(sys.argv[1]).create('read')"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": SOURCE})
    seen = [0]
    while writer.poll() is None:
        seen.append(len(TokenFile(tmp_path).load()))
        time.sleep(0)
    assert writer.returncode == 0
    assert seen == sorted(seen)
    assert len(TokenFile(tmp_path).load()) == 60


def test_tokens_need_nothing_of_the_extra() -> None:
    """`ml-dash token` works where the server's libraries are not installed."""
    script = (
        "import sys; import ml_dash.server.tokens, ml_dash.cli.token\n"
        "print([m for m in ('fastapi', 'starlette', 'uvicorn', 'prometheus_client', 'anyio') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE}
    assert subprocess.check_output([sys.executable, "-c", script], env=env, text=True) == "[]\n"
