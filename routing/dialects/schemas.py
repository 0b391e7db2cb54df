"""JSON Schemas of tools in a form that wires with an object at the root take."""

from collections.abc import Mapping
from typing import Any

from jobs.chat import Adaptation
from routing.dialects.parts import Notes, cannot

Schema = Mapping[str, Any]

UNIONS = ("anyOf", "oneOf", "allOf")


def object_schema(schema: Schema | None, where: str, notes: Notes) -> dict[str, Any]:
    """A tool's input schema: its root must be a plain object. Raises CannotCarry when the root is another type.

    No schema and an empty one mean an object without named properties. A union at the root, which the API refuses, is
    widened to one object with the properties of all branches, with a note.
    """
    if not schema:
        return {"type": "object", "properties": {}}
    root = _resolved(schema)
    said = root.get("type")
    if said == "object" and not any(union in root for union in UNIONS):
        return dict(root)
    if isinstance(said, list) and "object" in said:
        notes.append(Adaptation(where, "changed", "the root of a tool's schema must be an object here, not a choice"))
    elif said not in (None, "object"):
        cannot(where, "the root of a tool's schema must be an object on this wire")
    return _widened(root, where, notes)


def _resolved(schema: Schema) -> Schema:
    """A root that only refers to a definition becomes that definition."""
    ref, definitions = schema.get("$ref"), schema.get("$defs")
    if not isinstance(ref, str) or not isinstance(definitions, Mapping):
        return schema
    target = definitions.get(ref.removeprefix("#/$defs/"))
    return {**target, "$defs": definitions} if isinstance(target, Mapping) else schema


def _widened(root: Schema, where: str, notes: Notes) -> dict[str, Any]:
    kept = {key: value for key, value in root.items() if key not in UNIONS}
    unions = [key for key in UNIONS if isinstance(root.get(key), list)]
    properties = _properties(root)
    for union in unions:
        for branch in root[union]:
            properties |= _properties(branch)
    if unions:
        reason = f"the root of a tool's schema can't be a union here: {', '.join(unions)} became one object"
        notes.append(Adaptation(where, "changed", reason))
    return {**kept, "type": "object", "properties": properties}


def _properties(schema: Any) -> dict[str, Any]:
    inner = schema.get("properties") if isinstance(schema, Mapping) else None
    return dict(inner) if isinstance(inner, Mapping) else {}


def has_arguments(schema: Schema | None) -> bool:
    """Whether a function takes any: `{"type": "object", "properties": {}}` says no more than no schema at all.

    >>> has_arguments({"type": "object", "properties": {}}), has_arguments({"type": "object", "properties": {"a": {}}})
    (False, True)
    """
    return any(
        not (key == "type" and value == "object") and not (key == "properties" and value == {})
        for key, value in (schema or {}).items()
    )


def titled(schema: Schema | None, name: str | None, description: str | None) -> dict[str, Any]:
    """The schema with the format's name and description where it has none of its own: other wires know them so."""
    told = {key: value for key, value in (("title", name), ("description", description)) if value}
    return {**told, **(schema or {})}
