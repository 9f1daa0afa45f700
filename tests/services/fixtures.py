"""Fixtures over the session's services; tests/conftest.py makes them known to every test. See the package's text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from tests.services import mongo
from tests.services.s3 import Place
from tests.services.shared import services

Services = tuple[str, Place]


@pytest.fixture(scope="session")
def _services(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Services:
    base = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):  # a child of the session's main process, its folder in the main one's
        return services(base.parent, os.getppid())
    return services(base, os.getpid())


@pytest.fixture(scope="session")
def mongo_uri(_services: Services) -> str:
    """The replica set of one node, without a database."""
    return _services[0]


@pytest.fixture(scope="session")
def s3_bucket(_services: Services) -> Place:
    """The whole bucket; `fresh` gives a place of a test's own."""
    return _services[1]


@pytest.fixture
def s3_place(s3_bucket: Place) -> Place:
    """A prefix of the test's own."""
    return s3_bucket.fresh()


@pytest.fixture
def fresh_database(mongo_uri: str) -> Iterator[Callable[[], str]]:
    """Each call gives the URI of a database of its own; they are dropped after the test."""
    made: list[str] = []

    def fresh() -> str:
        made.append(mongo.fresh_database(mongo_uri))
        return made[-1]

    yield fresh
    if made:
        with MongoClient[dict[str, object]](mongo_uri) as client:
            for uri in made:
                client.drop_database(urlsplit(uri).path[1:])
