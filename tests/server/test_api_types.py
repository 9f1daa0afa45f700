"""The page's types are made of the server's OpenAPI document: whoever changes a route makes them anew, and the type checker tells
where the page goes by what is no longer so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

WEB = Path(__file__).resolve().parents[2] / "web"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_types", WEB / "api_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_s_types_are_those_of_the_server() -> None:
    made = generator()
    assert made.SCHEMA.read_text(encoding="utf-8") == made.schema(), (
        "run `python web/api_types.py`, then `npm run check` in web/"
    )


def test_a_schema_becomes_the_type_that_it_is() -> None:
    made = generator()
    assert [made._type(told) for told in (
        {"type": "integer"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"enum": ["a", "b"]},
        {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Run"}},
        {"type": "object"},
        {},
    )] == ["number", "string | null", '"a" | "b"', "(number | null)[]", "[string, boolean]", "{ [key: string]: Run }",
           "{ [key: string]: Json }", "Json"]  # fmt: skip
    shape = {"properties": {"a": {"type": "string"}, "b-c": {"type": "number"}}, "required": ["a"]}
    assert made._declared("Shape", shape) == 'export interface Shape {\n  a: string;\n  "b-c"?: number;\n}\n'


def test_the_page_s_own_types_are_held_against_them() -> None:
    """Every answer that the client reads is among those that the type checker compares, or is the server's type itself."""
    client = (WEB / "src/api/client.ts").read_text(encoding="utf-8")
    checked = (WEB / "src/api/checked.ts").read_text(encoding="utf-8")
    read = set(re.findall(r"(?:get|send)<([A-Z]\w+)>", client)) | set(
        re.findall(r"<\{ \w+: ([A-Z]\w+)\[\] \}>", client)
    )
    assert {"Run", "Session", "TableAnswer"} <= read
    assert {name for name in read if f"page.{name}" not in checked} == set()
