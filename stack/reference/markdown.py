"""Tables and values in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LIMITS = {
    "minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "minLength": "length ≥",
    "maxLength": "length ≤", "minItems": "length ≥",
}  # fmt: skip

ANY = 1 << 31  # a number without a limit that a reader would care for


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell may hold anything."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(map(_cell, row))} |") for row in lines)


def fields(schema: Mapping[str, Any]) -> str:
    """A table of the fields of an object, by its JSON Schema."""
    wanted = set(schema.get("required", ()))
    rows = [
        [
            code(name),
            kind(field),
            "*required*" if name in wanted else default(field["default"]) if "default" in field else "",
            field.get("description", ""),
        ]
        for name, field in schema["properties"].items()
    ]
    return table(["field", "type", "default", "meaning"], rows)


def code(value: object) -> str:
    """A value as code; nothing for an empty text."""
    return f"`{value}`" if str(value) else ""


def page(title: str, *parts: str) -> str:
    """A page that says where it comes from."""
    return "\n\n".join([f"# {title}", "<!-- Written by ./run docs from the code. -->", *parts]) + "\n"


def kind(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema takes, in words."""
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(code(one) for one in schema["enum"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if isinstance(schema.get("type"), list):
        return " or ".join(kind({**schema, "type": one} if one != "null" else {"type": one}) for one in schema["type"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {kind(schema['additionalProperties'])}"
    limits = [f"{sign} {schema[name]:,}" for name, sign in LIMITS.items() if schema.get(name, ANY) < ANY]
    return " ".join([str(schema.get("format") or schema.get("const") or schema.get("type") or "any"), *limits])


def default(value: Any) -> str:
    """A default as it stands in YAML or JSON."""
    return code(json.dumps(value, ensure_ascii=False))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
