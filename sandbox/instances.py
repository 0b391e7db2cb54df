"""Builds a value that a JSON schema allows and that carries a given text where it can, or one that the schema forbids.

Without chance the value is the smallest there is; with chance it is full: every property, items in every array,
enums and numbers drawn. The same seed gives the same value.
"""

import math
import random
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
"""A schema that refers to itself is cut here; the value is then null."""
FULL_DEPTH = 6
"""Below this a full value turns small, so that a schema that refers to itself ends where it may."""
MOST_ITEMS = 2
"""Of an array in a full value, unless its schema wants more."""
FORMATS = {
    "date-time": "2026-11-25T08:30:00Z",
    "date": "2026-11-25",
    "time": "08:30:00Z",
    "duration": "PT30M",
    "email": "someone@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "0191d4a8-7c00-7000-8000-000000000000",
}
"""A string of each format (JSON Schema 2020-12, "Defined Formats"), from the names and addresses kept for examples."""
Schema = Mapping[str, Any]


def instance(schema: Schema, text: str, chance: random.Random | None = None) -> Any:
    """A valid value. The text goes into every enum that has it and the first free string.

    >>> instance({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}, "hi")
    {'ok': False}

    Weakness: `pattern`, `not`, `if`, `dependentRequired` and clashes within `allOf` are not honoured.
    """
    return _Builder(schema, text, chance).build(schema, 0)


def broken(schema: Schema, value: Any) -> Any:
    """The value with one thing wrong that the schema forbids: its first demanded property is gone, or a type is other.

    >>> broken({"type": "object", "required": ["city"]}, {"city": "Bonn"})
    {}

    An object that demands nothing gets a property with a value of another type; one without any property
    cannot be broken and comes back as it is.
    """
    if not isinstance(value, dict):
        return {"value": value}
    demanded = [name for name in schema.get("required") or () if name in value]
    if demanded:
        return {name: inner for name, inner in value.items() if name != demanded[0]}
    name = next(iter(value), None)
    return value if name is None else {**value, name: [[value[name]]]}


class _Builder:
    def __init__(self, root: Schema, text: str, chance: random.Random | None) -> None:
        self._root = root
        self._text = text
        self._chance = chance
        self._carried = False

    def build(self, schema: object, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return self._text if self._text in options else self._draw(options, depth)
        other = self._other(schema)
        return self._typed(schema, depth) if other is None else self.build(other, depth + 1)

    def _other(self, schema: Schema) -> object:
        """The schema that this one stands for; None when it speaks for itself."""
        if "$ref" in schema:
            return self._find(str(schema["$ref"]))
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._merged(schema)
        options = (schema[word] for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list) and schema[word])
        return next(options, [None])[0]

    def _is_full(self, depth: int) -> bool:
        return self._chance is not None and depth <= FULL_DEPTH

    def _draw(self, options: list[Any], depth: int) -> Any:
        return self._chance.choice(options) if self._chance is not None and self._is_full(depth) else options[0]

    def _merged(self, schema: Schema) -> dict[str, Any]:
        """The schemas of `allOf` as one: their properties and demands together."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            found = self._find(str(part["$ref"])) if isinstance(part, Mapping) and "$ref" in part else part
            for key, value in found.items() if isinstance(found, Mapping) else ():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, ()), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _typed(self, schema: Schema, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, depth, is_whole=kind == "integer")
            case "boolean":
                return self._draw([False, True], depth)
        return None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            properties = {}
        if self._is_full(depth):
            return {name: self.build(inner, depth + 1) for name, inner in properties.items()}
        required = schema.get("required")
        names = [name for name in properties if name in required] if isinstance(required, list) else []
        if not names and depth == 0:
            names = list(properties)[:1]
        return {name: self.build(properties[name], depth + 1) for name in names}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems")
        found = [self.build(item, depth + 1) for item in fixed] if isinstance(fixed, list) else []
        count = schema.get("minItems", 0)
        if self._chance is not None and self._is_full(depth) and not found:
            count = max(count, min(self._chance.randint(1, MOST_ITEMS), schema.get("maxItems", MOST_ITEMS)))
        for _ in range(count - len(found)):
            item = self.build(schema.get("items", {}), depth + 1)
            if not schema.get("uniqueItems") or item not in found:
                found.append(item)
        return found

    def _string(self, schema: Schema) -> str:
        text = FORMATS.get(schema.get("format", ""), "")
        if not text and "pattern" not in schema and "format" not in schema and not self._carried:
            text = self._text
            self._carried = bool(text)
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]

    def _number(self, schema: Schema, depth: int, *, is_whole: bool) -> int | float:
        low = _least(schema, is_whole=is_whole)
        step: int | float = schema.get("multipleOf", 1)
        if "multipleOf" in schema:
            low = math.ceil(low / step) * step
        if self._chance is None or not self._is_full(depth):
            return low
        high: int | float = schema.get("maximum", schema.get("exclusiveMaximum", low + 10 * step))
        room = int((high - low) // step)
        return low + step * self._chance.randint(0, max(0, min(9, room - ("exclusiveMaximum" in schema))))

    def _find(self, reference: str) -> object:
        place: object = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if not step:
                continue
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
        return place


def _least(schema: Schema, *, is_whole: bool) -> int | float:
    """The least value from nought on, or the nearest that the bounds allow."""
    low: int | float = schema.get("minimum", 0)
    if "exclusiveMinimum" in schema and ("minimum" not in schema or schema["exclusiveMinimum"] >= low):
        low = math.floor(schema["exclusiveMinimum"]) + 1
    if "minimum" not in schema and "exclusiveMinimum" not in schema:
        low = min(0, schema.get("maximum", 0))
        if "exclusiveMaximum" in schema and low >= schema["exclusiveMaximum"]:
            low = schema["exclusiveMaximum"] - 1
    return math.ceil(low) if is_whole else low
