"""A check of JSON values against the part of JSON Schema that the services use."""

from __future__ import annotations

from typing import Any

TYPES = {
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "null": lambda v: v is None,
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}
KEYS = {
    *("type", "anyOf", "enum", "items", "minItems", "maxItems", "maxLength", "properties", "required"),
    *("additionalProperties", "description", "contentEncoding", "minProperties"),
}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Returns whether a schema accepts a value.

    Raises:
        AssertionError: the schema has a key that this function does not know.
    """
    assert schema.keys() <= KEYS, schema.keys() - KEYS
    if "anyOf" in schema and not any(accepts(part, value) for part in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(TYPES[kind](value) for kind in kinds):
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value))
    if isinstance(value, list):
        fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return fits and all(accepts(schema.get("items", {}), part) for part in value)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if not set(schema.get("required", ())) <= value.keys():
            return False
        more = schema.get("additionalProperties", True)
        if more is False and not value.keys() <= properties.keys():
            return False
        rest = more if isinstance(more, dict) else {}
        return all(accepts(properties.get(key, rest), part) for key, part in value.items())
    return True
