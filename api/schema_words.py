"""Says a JSON schema in words, for the documentation page: `one of queued, running`, `whole number, 1 to 1000`."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}
FORMATS = {"date-time": "moment (RFC 3339)", "decimal": "amount, as text"}


def in_words(schema: Schema, components: Mapping[str, Schema]) -> str:
    """A schema as a phrase; references are followed, null is said as "or nothing"."""
    said = _kind(schema, components)
    if (low := schema.get("minimum", schema.get("minLength"))) is not None:
        said += f", from {low:,}"
    if (high := schema.get("maximum", schema.get("maxLength"))) is not None:
        unit = " characters" if schema.get("type") == "string" else ""
        said += f", up to {high:,}{unit}"
    if schema.get("default") is not None:
        said += f" (default {schema['default']})"
    return said


def _kind(schema: Schema, components: Mapping[str, Schema]) -> str:
    if "$ref" in schema:
        return _kind(components[schema["$ref"].rpartition("/")[2]], components)
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    if "anyOf" in schema:
        return " or ".join(in_words(part, components) for part in schema["anyOf"] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"several of: {in_words(schema.get('items', {}), components)}"
    return FORMATS.get(schema.get("format", ""), TYPES.get(schema.get("type", ""), "anything"))


def fields(schema: Schema, components: Mapping[str, Schema]) -> list[tuple[str, str, str]]:
    """(name, phrase, description) of an object's fields, required ones first said so."""
    required = set(schema.get("required", ()))
    return [
        (name, in_words(part, components) + (", required" if name in required else ""), part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]
