"""Builds the smallest value that a JSON schema allows and that carries a given text where the schema lets it."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
"""A schema that refers to itself is cut here; the value is then null."""
Schema = Mapping[str, Any]


def instance(schema: Schema, text: str) -> Any:
    """A minimal valid value. The text goes into every enum that has it and the first free string.

    >>> instance({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}, "hi")
    {'ok': False}

    Weakness: `pattern`, `format`, `not`, `dependentRequired` and numeric multiples are not honoured.
    """
    return _Builder(schema, text).build(schema, 0)


class _Builder:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text
        self._carried = False

    def build(self, schema: object, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return None
        if "$ref" in schema:
            return self.build(self._find(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return self._text if self._text in options else options[0]
        for word in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(word), list) and schema[word]:
                return self.build(schema[word][0], depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Schema, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return [self.build(schema.get("items", {}), depth + 1) for _ in range(schema.get("minItems", 0))]
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return False
        return None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            properties = {}
        required = schema.get("required")
        names = [name for name in properties if name in required] if isinstance(required, list) else []
        if not names and depth == 0:
            names = list(properties)[:1]
        return {name: self.build(properties[name], depth + 1) for name in names}

    def _string(self, schema: Schema) -> str:
        text = "" if self._carried or "pattern" in schema or "format" in schema else self._text
        self._carried = self._carried or bool(text)
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]

    def _find(self, reference: str) -> object:
        place: object = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if not step:
                continue
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
        return place


def _number(schema: Schema) -> int | float:
    if "minimum" in schema:
        low: int | float = schema["minimum"]
        return low
    if "exclusiveMinimum" in schema:
        return int(schema["exclusiveMinimum"]) + 1
    high: int | float = schema.get("maximum", 0)
    return min(0, high)
