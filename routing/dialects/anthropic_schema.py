"""JSON Schemas as Anthropic takes them: any with an object at its root for a plain tool, few keywords when strict.

What a strict schema may hold follows `transform_schema` of the official `anthropic` SDK (2.13.0); what it may not is
told to the model in the description, as that function does, and named in the adaptation.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.dialects.parts import Notes
from routing.dialects.references import DEFS, settled
from routing.dialects.schemas import Schema

FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
"""String formats that strict schemas keep."""
_LIMITED: dict[str, tuple[Any, ...]] = {"format": FORMATS, "minItems": (0, 1)}
"""Keywords of which some values are kept."""
_KEPT = frozenset({"title", "description", "$ref", "enum", "const", "type"})
_SILENT = frozenset({"$schema", "$id", "$comment"})
"""Say nothing about the value."""
MAX_DEPTH = 50


class NotStrictError(ValueError):
    """The schema cannot be kept by construction on this wire; says why."""


def strict_schema(schema: Schema, where: str, more: frozenset[str] | None, notes: Notes) -> dict[str, Any]:
    """The schema with only what strict schemas may hold; the rest is told in the description and noted.

    `more` are keywords that the model is known to take beyond the usual. Raises NotStrictError for a schema that
    refers to itself or does not say what a value is.
    """
    lost: set[str] = set()
    plain, dangling = settled(schema)
    if dangling:
        raise NotStrictError("a $ref of the schema leads nowhere")
    strict = _Strict((more or frozenset()) - _LIMITED.keys(), lost).of(plain, 0)
    if lost:
        reason = f"strict schemas here can't hold {', '.join(sorted(lost))}: told to the model in words"
        notes.append(Adaptation(where, "changed", reason))
    return strict


class _Strict:
    def __init__(self, more: frozenset[str], lost: set[str]) -> None:
        self._more = more
        self._lost = lost

    def of(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            raise NotStrictError("the schema is no object of keywords, or nested too deep")
        definitions = schema.get("$defs")
        if isinstance(definitions, Mapping) and any(_refers(definitions, name) for name in definitions):
            raise NotStrictError("the schema refers to itself")
        kinds = schema.get("type")
        if isinstance(kinds, list):
            branches = [{**_without(schema, "type", "enum"), "type": kind} for kind in kinds]
            return self.of({"anyOf": branches} if "enum" not in schema else _without(schema, "type"), depth + 1)
        made, rest = {key: value for key, value in schema.items() if key in _KEPT}, dict(schema)
        for key in (*_KEPT, *_SILENT, "additionalProperties"):
            rest.pop(key, None)
        self._structure(schema, made, rest, depth)
        if not made.keys() & {"$ref", "enum", "const", "type", "anyOf", "allOf"}:
            raise NotStrictError("a part of the schema does not say what its value is")
        kept = {key: rest.pop(key) for key in self._more & rest.keys()}
        return self._told(made | kept, rest)

    def _structure(self, schema: Schema, made: dict[str, Any], rest: dict[str, Any], depth: int) -> None:
        """Move the keywords that hold other schemas from `rest` to `made`."""
        for key in ("$defs", "properties"):
            if isinstance(rest.get(key), Mapping):
                made[key] = {name: self.of(inner, depth + 1) for name, inner in rest.pop(key).items()}
        for key, target in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            if isinstance(rest.get(key), list) and target not in made:
                made[target] = [self.of(branch, depth + 1) for branch in rest.pop(key)]
                self._lost.update({key} - {target})
        if isinstance(rest.get("items"), Mapping):
            made["items"] = self.of(rest.pop("items"), depth + 1)
        made |= {key: rest.pop(key) for key, values in _LIMITED.items() if rest.get(key) in values}
        if schema.get("type") == "object":
            self._close(schema, made, rest)

    def _close(self, schema: Schema, made: dict[str, Any], rest: dict[str, Any]) -> None:
        made.setdefault("properties", {})
        made["additionalProperties"] = False
        if schema.get("additionalProperties") is not False:
            self._lost.add("objects open to other properties")
        if "required" in rest:
            made["required"] = rest.pop("required")

    def _told(self, made: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        if rest:
            self._lost.update(rest)
            told = msgspec.json.encode(rest).decode()
            described = made.get("description")
            made["description"] = f"{described}\n\n{told}" if described else told
        return made


def _without(schema: Schema, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


def _refers(definitions: Schema, name: str) -> bool:
    """Whether a definition leads back to itself."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for found in _references(definitions.get(waiting.pop())):
            if found == name:
                return True
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return False


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for inner in schema for found in _references(inner)]
    if not isinstance(schema, Mapping):
        return []
    ref = schema.get("$ref")
    here = [ref.removeprefix(DEFS)] if isinstance(ref, str) else []
    return here + [found for inner in schema.values() for found in _references(inner)]
