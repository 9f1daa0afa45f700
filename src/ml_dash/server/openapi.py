"""The OpenAPI document of the endpoints, from the same values that their handlers are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import msgspec.inspect

from ml_dash.server.endpoints import Body, Endpoint, NoQuery
from ml_dash.server.refusals import JSON
from ml_dash.store.wire import Problem

_REF = "#/components/schemas/{name}"
_ERRORS = {
    "400": "The request is wrong; the message says what to change",
    "401": "No token, or one that is wrong, expired or revoked",
    "403": "The token's scope does not cover it",
    "404": "It is not there, or not for this token",
    "408": "The client stopped in the middle of its request",
    "409": "It contradicts what is stored",
    "413": "The body is too large",
    "415": "The body's type or coding is none that is taken",
    "416": "The range lies outside the file",
    "429": "Too many requests; wait",
    "500": "The data is damaged, or the server has a defect",
    "503": "Not now; wait",
    "507": "Not written: the server's disk may be full",
}
_OF_BODIES = {"408", "413", "415"}
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_WHOLE = re.compile(r":path(?=\})")
"""Starlette's mark of a parameter that may have slashes. OpenAPI knows none."""
_OF_FILES = ("/bytes", "/download")


def paths(endpoints: Iterable[Endpoint]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(paths, schemas) for the document."""
    endpoints = tuple(endpoints)
    kinds = list(dict.fromkeys(kind for endpoint in endpoints for kind in _kinds(endpoint)))
    refs, schemas = msgspec.json.schema_components([Problem, *kinds], ref_template=_REF)
    by_kind = dict(zip([Problem, *kinds], refs, strict=True))
    for name in _always_whole(endpoint.answer for endpoint in endpoints):
        _say_what_is_there(schemas[name])
    queries = {endpoint.query for endpoint in endpoints}
    found: dict[str, Any] = {}
    for endpoint in endpoints:
        found.setdefault(_WHOLE.sub("", endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint, by_kind)
    return found, {name: schema for name, schema in schemas.items() if name not in {q.__name__ for q in queries}}


def _always_whole(answers: Iterable[Any]) -> set[str]:
    """Records of answers that are sent with all their fields but those that are null: see `wire.dump`."""
    found: set[str] = set()
    wanted = [msgspec.inspect.type_info(kind) for kind in answers if isinstance(kind, type)]
    while wanted:
        one = wanted.pop()
        if isinstance(one, msgspec.inspect.StructType):
            if one.cls.__name__ in found:
                continue
            if not one.cls.__struct_config__.omit_defaults:
                found.add(one.cls.__name__)
            wanted += [field.type for field in one.fields]
        elif isinstance(one, msgspec.inspect.Metadata):
            wanted.append(one.type)
        elif isinstance(one, msgspec.inspect.UnionType):
            wanted += one.types
        elif isinstance(one, msgspec.inspect.CollectionType):
            wanted.append(one.item_type)
        elif isinstance(one, msgspec.inspect.DictType):
            wanted.append(one.value_type)
    return found


def _say_what_is_there(schema: dict[str, Any]) -> None:
    """A field with a default is one that a request may leave out; an answer does not, unless it is null."""
    always = set(schema.get("required", ()))
    there = [name for name, told in schema["properties"].items() if name in always or told.get("default") is not None]
    schema["required"] = there


def _kinds(endpoint: Endpoint) -> Iterator[Any]:
    if isinstance(endpoint.answer, type):
        yield endpoint.answer
    if endpoint.body is not None and endpoint.body.kind is not bytes:
        yield endpoint.body.kind


def _operation(endpoint: Endpoint, by_kind: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handle.__name__,
        "summary": endpoint.summary,
        "description": _needs(endpoint),
        "tags": ["ml-dash"],
        "parameters": [*_in_path(endpoint.path), *_in_query(endpoint.query)],
        "responses": _responses(endpoint, by_kind),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body, by_kind)}
    return operation


def _needs(endpoint: Endpoint) -> str:
    if endpoint.scope is None:
        return "Needs no token."
    return f"Needs a token with the scope “{endpoint.scope}”, where the server looks at tokens."


def _content(body: Body, by_kind: dict[Any, Any]) -> dict[str, Any]:
    if body.kind is bytes:
        return {body.media_type: {"schema": {"type": "string", "format": "binary", "description": body.description}}}
    return {body.media_type: {"schema": by_kind[body.kind]}}


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]


def _in_query(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    if kind is NoQuery:
        return []
    schema = msgspec.json.schema_components([kind], ref_template=_REF)[1][kind.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": told}
        for name, told in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, by_kind: dict[Any, Any]) -> dict[str, Any]:
    problem = {JSON: {"schema": by_kind[Problem]}}
    said: dict[str, Any] = {}
    if endpoint.answer is None:
        said["204"] = {"description": "Done"}
    elif isinstance(endpoint.answer, str):
        said["200"] = {"description": endpoint.summary, "content": {endpoint.answer: {}}}
        if endpoint.path.endswith(_OF_FILES):
            said["200"]["content"] = {"*/*": {}}
            said["206"] = {"description": "The range that was asked for", "content": {"*/*": {}}}
    else:
        said["200"] = {"description": endpoint.summary, "content": {JSON: {"schema": by_kind[endpoint.answer]}}}
    left_out = set() if endpoint.body is not None else set(_OF_BODIES)
    if not endpoint.path.endswith(_OF_FILES):
        left_out.add("416")
    errors = {status: {"description": text, "content": problem} for status, text in _ERRORS.items()}
    return {**said, **{status: told for status, told in errors.items() if status not in left_out}}
