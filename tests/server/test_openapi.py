"""The OpenAPI document: it lists every route, and the server does what it says for whatever requests it allows, and for many that it
does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import positive_data_acceptance
from schemathesis.config import SchemathesisConfig
from starlette.routing import Route

from ml_dash.codec import encode_row
from ml_dash.model import METRICS, Batch, RunKey, RunPatch, SeriesKey
from ml_dash.rollup import Sample
from ml_dash.server.api import ENDPOINTS, SampleColumns
from ml_dash.server.app import create_app
from ml_dash.server.limits import Limits
from ml_dash.store.local import LocalStore
from ml_dash.store.memory import MemoryStore
from ml_dash.store.wire import BATCHES, PAGE
from tests.server.live import live


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = create_app(MemoryStore()).openapi()
    return document


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    """No route is left out, and nothing is in it that is no route."""
    app = create_app(MemoryStore())
    routes = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, Route) and route.include_in_schema
        for method in route.methods or ()
        if method != "HEAD"
    }
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == routes
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} <= told


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """Programs are made from it, with one function a name."""
    names = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(names) == len(set(names))


def test_its_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Every schema that is referred to is there."""
    text = msgspec.json.encode(document).decode()
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]


def test_a_samples_columns_are_all_told() -> None:
    """The columns in the document are those of a sample."""
    assert [field.name for field in msgspec.structs.fields(SampleColumns)] == [column.name for column in fields(Sample)]


def test_the_document_is_served_as_it_is(document: dict[str, Any]) -> None:
    with live(create_app(MemoryStore())) as url:
        assert httpx.get(f"{url}/openapi.json").json() == json.loads(json.dumps(document))


# ---------------------------------------------------------------- what it says is so


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a folder with a run in it."""
    store = LocalStore(tmp_path_factory.mktemp("openapi"))
    run = store.put_run(RunKey("", "project", "run"), RunPatch(params={"lr": 0.1})).id
    store.append([Batch(SeriesKey(run, METRICS, "loss"), [encode_row({"value": n}) for n in range(100)])])
    with live(create_app(store, Limits(stall=5, listen=0.2))) as url:
        yield url
    store.close()


@schemathesis.serializer(BATCHES, PAGE)
def as_it_is(_context: Any, value: Any) -> bytes:
    """What is sent for the body of an append: the value's bytes, which seldom are batches."""
    return value if isinstance(value, bytes) else str(value).encode()


REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
"""The statuses that Schemathesis takes for a refusal by itself, and 413: what is longer than allowed may be too large as a whole."""
schema = schemathesis.openapi.from_dict(
    create_app(MemoryStore()).openapi(),
    config=SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}),
)


@schema.parametrize()
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_the_server_does_what_the_document_says(case: schemathesis.Case, url: str) -> None:
    """Whatever is asked, right or wrong, the answer is one of those that the document has for the route, in the form that it has, and
    never a defect of the server's."""
    # That a name may not hold a slash, or `a.b` not stand beside `a`, is more than a schema tells.
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])
