"""The files of `aws configure`: which profile counts, and what is taken from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.errors import InvalidInput
from ml_dash.store.s3_login import s3_config

CREDENTIALS = """
[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = default%secret
[lab]
aws_access_key_id = LAB
aws_secret_access_key = lab/secret
aws_session_token = token
"""
CONFIG = """
[default]
region = eu-west-1
[profile lab]
region = eu-north-1
endpoint_url = http://127.0.0.1:9000/
s3 =
    max_concurrent_requests = 20
[profile signed-in]
sso_session = company
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with both files and none of the developer's own variables."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return tmp_path / ".aws"


def keys() -> tuple[str, str, str | None] | None:
    _, provider = s3_config(None)
    if provider is None:
        return None
    said = provider()
    assert isinstance(said, dict)
    assert said["expires_at"] is not None
    return said["access_key_id"], said["secret_access_key"], said.get("token")


def test_the_default_profile() -> None:
    assert s3_config(None)[0] == {"region": "eu-west-1"}
    assert keys() == ("DEFAULT", "default%secret", None)


def test_the_profile_that_aws_profile_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its section is called "profile lab" in one file and "lab" in the other."""
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert s3_config(None)[0] == {"region": "eu-north-1", "aws_endpoint_url_s3": "http://127.0.0.1:9000"}
    assert keys() == ("LAB", "lab/secret", "token")


def test_the_argument_wins_over_the_environment_and_that_over_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://env:1")
    assert s3_config(None)[0]["aws_endpoint_url_s3"] == "http://env:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://env:2")
    assert s3_config(None)[0]["aws_endpoint_url_s3"] == "http://env:2"
    assert s3_config("https://argument")[0]["aws_endpoint_url_s3"] == "https://argument"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_the_environments_login_goes_before_the_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore reads that by itself."""
    monkeypatch.setenv(name, "something")
    assert keys() is None


def test_the_region_of_the_environment_is_left_to_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert "region" not in s3_config(None)[0]


def test_without_files_nothing_is_made_up(files: Path) -> None:
    """The machine's role is left to obstore, in the region that Amazon starts with."""
    (files / "credentials").unlink()
    (files / "config").unlink()
    assert s3_config(None)[0] == {"region": "us-east-1"}
    assert keys() is None


def test_files_elsewhere(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "credentials").rename(files / "moved")
    assert keys() is None
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files / "moved"))
    assert keys() == ("DEFAULT", "default%secret", None)


def test_keys_that_were_rotated_are_taken_up(files: Path) -> None:
    """The provider reads the file each time it is asked."""
    _, provider = s3_config(None)
    assert provider is not None
    (files / "credentials").write_text(CREDENTIALS.replace("DEFAULT", "ROTATED"))
    said = provider()
    assert isinstance(said, dict)
    assert said["access_key_id"] == "ROTATED"


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidInput, match="no profile 'nobody'"):
        s3_config(None)


def test_a_profile_that_needs_a_sign_in_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "signed-in")
    with pytest.raises(InvalidInput, match="export-credentials --profile signed-in"):
        s3_config(None)


def test_a_file_that_is_none_is_named(files: Path) -> None:
    (files / "credentials").write_text("no section\n")
    with pytest.raises(InvalidInput, match="not a file of AWS profiles"):
        s3_config(None)
