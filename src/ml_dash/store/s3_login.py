"""Who we are to S3 and where it is: what obstore does not read by itself, the files that `aws configure` writes.

The order is the AWS tools': the environment's keys, a web identity's token, the files' profile, then the machine's own role;
obstore knows all but the files. Keys alone are taken from them: what needs a sign-in or another program is refused with a word
on how to go about it. No request is made here.
"""

from __future__ import annotations

import configparser
import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import S3Config, S3Credential, S3CredentialProvider

AGAIN = timedelta(minutes=5)
"""For how long keys from a file are believed: they may be rotated while a server runs."""
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ELSEWHERE = ("role_arn", "sso_session", "sso_start_url", "credential_process", "credential_source", "login_session")


def s3_config(endpoint: str | None) -> tuple[S3Config, S3CredentialProvider | None]:
    """What `S3Store` has to be told beyond the bucket. `endpoint` None: the environment's or the profile's, else Amazon's."""
    profile = _Profile(os.environ)
    config: S3Config = {}
    where = (
        endpoint or next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None) or profile.endpoint
    )
    if where is not None:
        if not where.startswith(("http://", "https://")):
            raise InvalidInput(
                f"endpoint: expected a URL such as http://127.0.0.1:9000 without the bucket, got {where!r}."
            )
        config["aws_endpoint_url_s3"] = where.rstrip("/")  # the one that no variable overrules
    if not os.environ.get("AWS_REGION") and not os.environ.get("AWS_DEFAULT_REGION"):
        config["region"] = profile.region or "us-east-1"
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or not profile.login():
        return config, None
    return config, profile.credential


class _Profile:
    """The profile that the environment chooses, in ``~/.aws/credentials`` and ``~/.aws/config``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        chosen = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
        self._name = chosen or "default"
        self._files = (
            environment.get("AWS_CONFIG_FILE") or os.path.join("~", ".aws", "config"),
            environment.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join("~", ".aws", "credentials"),
        )
        said = self._read()
        if chosen and said is None and not environment.get("AWS_ACCESS_KEY_ID"):
            raise InvalidInput(f"AWS_PROFILE: there is no profile {chosen!r} in {' or '.join(self._files)}.")
        self.region = (said or {}).get("region")
        self.endpoint = (said or {}).get("endpoint_url")

    def login(self) -> bool:
        """Whether the files have keys. Raises `InvalidInput` for a profile that takes more than keys."""
        said = self._read() or {}
        if said.get("aws_access_key_id") and said.get("aws_secret_access_key"):
            return True
        if other := next((key for key in _ELSEWHERE if key in said), None):
            raise InvalidInput(
                f"AWS profile {self._name!r}: it has {other}, and only keys are read from a profile. Put what "
                f"`aws configure export-credentials --profile {self._name} --format env` prints into the environment."
            )
        return False

    def credential(self) -> S3Credential:
        """The keys as the files have them now."""
        said = self._read() or {}
        return {
            "access_key_id": said["aws_access_key_id"],
            "secret_access_key": said["aws_secret_access_key"],
            "token": said.get("aws_session_token"),
            "expires_at": datetime.now(timezone.utc) + AGAIN,
        }

    def _read(self) -> dict[str, str] | None:
        """The profile's settings, the credentials file's over the other's; None where neither has the profile."""
        sections = (self._name if self._name == "default" else f"profile {self._name}", self._name)
        found: dict[str, str] | None = None
        for name, section in zip(self._files, sections, strict=True):
            parser = configparser.RawConfigParser(default_section="", strict=False)
            try:
                parser.read(os.path.expanduser(name), encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError) as e:
                raise InvalidInput(f"{name}: it is not a file of AWS profiles: {e}") from e
            if parser.has_section(section):
                found = {**(found or {}), **dict(parser.items(section))}
        return found
