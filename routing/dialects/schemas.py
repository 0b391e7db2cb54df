"""JSON Schemas of tools in a form that wires with an object at the root take."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from jobs.chat import Adaptation
from routing.dialects.parts import Notes, cannot
from routing.dialects.references import DEFS, NOWHERE, settled

Schema = Mapping[str, Any]

UNIONS = ("anyOf", "oneOf", "allOf")


def object_schema(schema: Schema | None, where: str, notes: Notes) -> dict[str, Any]:
    """A tool's input schema: its root must be a plain object. Raises CannotCarry when the root is another type.

    No schema and an empty one mean an object without named properties. A union at the root, which the API refuses, is
    widened to one object with the properties of all branches, with a note.
    """
    if not schema:
        return {"type": "object", "properties": {}}
    root, lost = settled(schema)
    if lost:
        notes.append(Adaptation(where, "changed", NOWHERE))
    said = root.get("type")
    if said == "object" and not any(union in root for union in UNIONS):
        return dict(root)
    if isinstance(said, list) and "object" in said:
        notes.append(Adaptation(where, "changed", "the root of a tool's schema must be an object here, not a choice"))
    elif said not in (None, "object"):
        cannot(where, "the root of a tool's schema must be an object on this wire")
    return _widened(root, where, notes)


def _widened(root: Schema, where: str, notes: Notes) -> dict[str, Any]:
    unions = [key for key in UNIONS if isinstance(root.get(key), list)]
    if not unions:
        named = root.get("properties")
        return {**root, "type": "object", "properties": named if isinstance(named, Mapping) else {}}
    reason = f"the root of a tool's schema can't be a union here: {', '.join(unions)} became one object"
    notes.append(Adaptation(where, "changed", reason))
    properties, required = _gathered(root, root.get("$defs", {}), {})
    told = {"required": required} if required else {}
    kept = {key: value for key, value in root.items() if key not in (*UNIONS, "required", "$ref")}
    return {**kept, "type": "object", "properties": properties, **told}


_Known: TypeAlias = tuple[dict[str, Any], list[Any]]
"""Properties by name, and the names of those that a value must have."""


def _gathered(schema: Any, definitions: Schema, done: dict[str, _Known]) -> _Known:
    """What a schema and the branches of its unions know; `done` holds it of each definition that was looked at.

    Two branches that know one property differently allow both there.
    """
    if not isinstance(schema, Mapping):
        return {}, []
    if isinstance(ref := schema.get("$ref"), str):
        if ref not in done:
            done[ref] = {}, []  # what a reference back to itself adds
            done[ref] = _gathered(definitions.get(ref.removeprefix(DEFS)), definitions, done)
        schema = {**schema, "allOf": [_shown(done[ref]), *_branches(schema, "allOf")]}
    inner, must = schema.get("properties"), schema.get("required")
    properties = dict(inner) if isinstance(inner, Mapping) else {}
    required = [name for name in must if isinstance(name, str)] if isinstance(must, list) else []
    for union in UNIONS:
        found = [_gathered(branch, definitions, done) for branch in _branches(schema, union)]
        for more, _ in found:
            for name, allowed in more.items():
                properties[name] = allowed if name not in properties else _either(properties[name], allowed, union)
        sets = [set(names) for _, names in found]
        must_be = (set.union if union == "allOf" else set.intersection)(*sets) if sets else set()
        required += sorted(must_be - set(required))
    return properties, required


def _shown(known: _Known) -> Schema:
    properties, required = known
    return {"properties": properties, "required": required}


def _branches(schema: Schema, union: str) -> list[Any]:
    branches = schema.get(union)
    return branches if isinstance(branches, list) else []


def _either(one: Any, other: Any, union: str) -> Any:
    """A schema for a property that two branches know."""
    if one == other:
        return one
    if union == "allOf":
        return {"allOf": [one, other]}
    known = one["anyOf"] if isinstance(one, Mapping) and one.keys() == {"anyOf"} else [one]
    return {"anyOf": known if other in known else [*known, other]}


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
