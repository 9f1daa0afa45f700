"""Writes web/src/api/schema.ts: the types of what the server takes and answers, from its own OpenAPI document.

`python web/api_types.py` after a route has changed; a test fails until then. web/src/api/checked.ts holds the page's own types against it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ml_dash.server.app import create_app
from ml_dash.store.memory import MemoryStore

SCHEMA = Path(__file__).resolve().parent / "src" / "api" / "schema.ts"
_PREFIX = "/api/v1/"
_REF = "#/components/schemas/"
_HEAD = """\
// What the server takes and answers, made from its OpenAPI document by web/api_types.py: not to be changed by hand.

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
"""


def main() -> None:
    """The command."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    print(f"{SCHEMA} is what the server says.")


def schema() -> str:
    """The file's text."""
    app = create_app(MemoryStore())
    document = app.openapi()
    app.state.service.close()
    schemas = document["components"]["schemas"]
    ours = {path: told for path, told in document["paths"].items() if path.startswith(_PREFIX)}
    names = _reached(json.dumps(ours), schemas)
    return "\n".join([_HEAD, *(_declared(name, schemas[name]) for name in sorted(names))])


def _reached(text: str, schemas: dict[str, Any]) -> set[str]:
    """The names of the schemas that a document's part refers to, and that those refer to."""
    found: set[str] = set()
    wanted = [text]
    while wanted:
        for name in re.findall(rf'"{_REF}(\w+)"', wanted.pop()):
            if name not in found:
                found.add(name)
                wanted.append(json.dumps(schemas[name]))
    return found


def _declared(name: str, told: dict[str, Any]) -> str:
    if "properties" not in told:
        return f"export type {name} = {_type(told)};\n"
    required = set(told.get("required", ()))
    fields = [
        f"  {field if field.isidentifier() else json.dumps(field)}{'' if field in required else '?'}: {_type(one)};"
        for field, one in told["properties"].items()
    ]
    return "\n".join([f"export interface {name} {{", *fields, "}\n"])


def _type(told: dict[str, Any]) -> str:
    """A schema as TypeScript."""
    if "$ref" in told:
        return str(told["$ref"]).removeprefix(_REF)
    if "anyOf" in told:
        return " | ".join(dict.fromkeys(_type(one) for one in told["anyOf"]))
    if "enum" in told:
        return " | ".join(json.dumps(one) for one in told["enum"])
    kind = told.get("type")
    if kind == "array":
        return _list(told)
    if kind == "object":
        inner = told.get("additionalProperties")
        return f"{{ [key: string]: {_type(inner) if isinstance(inner, dict) else 'Json'} }}"
    return {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}.get(
        str(kind), "Json"
    )


def _list(told: dict[str, Any]) -> str:
    if "prefixItems" in told:
        return f"[{', '.join(map(_type, told['prefixItems']))}]"
    inner = _type(told["items"]) if isinstance(told.get("items"), dict) else "Json"
    return f"({inner})[]" if " | " in inner else f"{inner}[]"


if __name__ == "__main__":
    main()
