"""JSON Schemas as Gemini takes them: nearly whole for current models, rewritten to OpenAPI's subset for older ones.

What the subset may hold follows the SDK's `Schema` (google-genai 3.6.1), whose every other keyword is answered with
status 400 (wire-formats 2.6 case 18). All that a schema loses is named in one adaptation.
"""

from collections.abc import Mapping
from typing import Any

from jobs.chat import Adaptation
from routing.dialects.parts import Notes
from routing.dialects.references import DEFS, NOWHERE, inner_mapped, joined, settled
from routing.dialects.schemas import Schema

MAX_DEPTH = 40
MAX_NODES = 5_000
"""Of a schema with its references written out; what is beyond becomes an open object."""
_SILENT = frozenset({"$schema", "$id", "$comment", "$anchor", "$defs", "definitions"})
"""Say nothing about the value, or were written out where they are meant."""
_KEPT = frozenset(
    [
        "title",
        "description",
        "default",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "pattern",
        "minimum",
        "maximum",
        "nullable",
    ]
)
_FORMATS = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


def json_schema(schema: Schema, where: str, notes: Notes, *, is_settled: bool = False) -> dict[str, Any]:
    """A schema for the fields that take JSON Schema: beside `$ref` only keywords with a `$` may stand there."""
    plain, dangling = settled(schema) if not is_settled else (schema, 0)
    if dangling:
        notes.append(Adaptation(where, "changed", NOWHERE))
    if "$defs" not in plain:
        return dict(plain)
    lost: set[str] = set()
    clean = _without_neighbours(plain, lost, 0)
    if lost:
        reason = f"beside $ref nothing else can stand on this wire: {', '.join(sorted(lost))} left out there"
        notes.append(Adaptation(where, "changed", reason))
    return dict(clean)


def _without_neighbours(schema: Any, lost: set[str], depth: int) -> Any:
    if depth > MAX_DEPTH or not isinstance(schema, Mapping):
        return schema
    if isinstance(schema.get("$ref"), str):
        lost.update(schema.keys() - {"$ref"})
        return {"$ref": schema["$ref"]}
    return inner_mapped(schema, lambda inner, *_: _without_neighbours(inner, lost, depth + 1))


def openapi_schema(schema: Schema, where: str, notes: Notes) -> dict[str, Any]:
    """The schema in the subset of OpenAPI 3.0 that `parameters` and `responseSchema` take.

    References are written out (one that leads back to itself ends in an open object), `const` becomes `enum`, null
    among the types becomes `nullable`. What has no form is left out, and named in the one adaptation.
    """
    plain, dangling = settled(schema, opens_root=False)
    rewriter = _Rewriter(plain)
    made = rewriter.of(plain, ())
    if dangling:
        rewriter.lost -= {"what allows any value"}
        rewriter.lost |= {"references to nothing"}
    if rewriter.lost:
        reason = f"schemas can't hold this for the model: {', '.join(sorted(rewriter.lost))}"
        notes.append(Adaptation(where, "changed", reason[:500]))
    return made


class _Rewriter:
    def __init__(self, root: Schema) -> None:
        self._definitions: Schema = root.get("$defs", {})
        self.lost: set[str] = set()
        self._nodes = 0

    def of(self, schema: Any, trail: tuple[str, ...]) -> dict[str, Any]:
        """`trail` are the references that are being written out."""
        self._nodes += 1
        if not isinstance(schema, Mapping) or len(trail) > MAX_DEPTH or self._nodes > MAX_NODES:
            self.lost.add("what allows any value" if schema is True or schema == {} else "nesting without end")
            return {"type": "OBJECT"}
        ref = schema.get("$ref")
        if isinstance(ref, str):
            return self._referred(ref, schema, trail)
        given = dict(schema)
        if isinstance(given.get("allOf"), list):
            given = self._joined(given)
        made = {key: given.pop(key) for key in _KEPT & given.keys()}
        self._bounds(given, made)
        self._unions(given, made, trail)
        self._kind(given, made)
        self._values(given, made)
        self._inner(given, made, trail)
        self.lost.update(given.keys() - _SILENT)
        return made

    def _referred(self, ref: str, schema: Schema, trail: tuple[str, ...]) -> dict[str, Any]:
        target = self._definitions.get(ref.removeprefix(DEFS))
        if not isinstance(target, Mapping) or ref in trail:
            self.lost.add("references without end" if ref in trail else "what allows any value")
            return {"type": "OBJECT"}
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        both = joined(target, beside)
        if both is None:
            both = self._joined({"allOf": [target, beside]})
        return self.of(both, (*trail, ref))

    def _joined(self, given: dict[str, Any]) -> dict[str, Any]:
        """`allOf` as one schema: later keywords win, properties and what is required are put together."""
        self.lost.add("allOf")
        joined: dict[str, Any] = {}
        for branch in (*given.pop("allOf"), given):
            ref = branch.get("$ref") if isinstance(branch, Mapping) else None
            target = self._definitions.get(ref.removeprefix(DEFS)) if isinstance(ref, str) else branch
            for key, value in target.items() if isinstance(target, Mapping) else ():
                before = joined.get(key)
                if key == "properties" and isinstance(before, Mapping) and isinstance(value, Mapping):
                    joined[key] = {**before, **value}
                elif key == "required" and isinstance(before, list) and isinstance(value, list):
                    joined[key] = [*before, *value]
                else:
                    joined[key] = value
        return joined

    def _bounds(self, given: dict[str, Any], made: dict[str, Any]) -> None:
        """An exclusive bound of whole numbers is the next inclusive one; of others it becomes inclusive."""
        for key, target, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
            bound = given.get(key)
            if not isinstance(bound, int | float) or isinstance(bound, bool) or target in made:
                continue
            kinds = given.get("type")
            is_whole = isinstance(bound, int) and kinds in ("integer", ["integer", "null"])
            made[target] = bound + step if is_whole else bound
            if is_whole:
                del given[key]

    def _unions(self, given: dict[str, Any], made: dict[str, Any], trail: tuple[str, ...]) -> None:
        for key in ("anyOf", "oneOf"):
            branches = given.get(key)
            if not isinstance(branches, list) or not branches or "anyOf" in made:
                continue
            self.lost.update({"oneOf"} & {key})
            del given[key]
            typed = [branch for branch in branches if branch != {"type": "null"}]
            if len(typed) < len(branches):
                made["nullable"] = True
            made["anyOf"] = [self.of(branch, (*trail, "")) for branch in typed or [{"type": "null"}]]

    def _kind(self, given: dict[str, Any], made: dict[str, Any]) -> None:
        """The one type, in capitals; null among several is `nullable`, other choices become a union."""
        kinds = given.pop("type", None)
        listed = kinds if isinstance(kinds, list) else [kinds]
        known = [kind for kind in listed if isinstance(kind, str) and kind in _TYPES]
        solid = [kind for kind in known if kind != "null"]
        if solid and len(solid) < len(known):
            made["nullable"] = True
        if len(solid) > 1:
            if "anyOf" not in made:
                made["anyOf"] = [{"type": kind.upper()} for kind in solid]
        elif known:
            made["type"] = (solid or known)[0].upper()
        elif "anyOf" not in made:
            made["type"] = self._guessed(given)

    def _guessed(self, given: dict[str, Any]) -> str:
        if "properties" in given or "additionalProperties" in given:
            return "OBJECT"
        if "items" in given:
            return "ARRAY"
        if not given.keys() & {"enum", "const"}:
            self.lost.add("what allows any value")
        return "STRING"

    def _values(self, given: dict[str, Any], made: dict[str, Any]) -> None:
        """`enum` and `const` of strings; formats that the type has."""
        kind = str(made.get("type", "")).lower()
        if "const" in given and "enum" not in given:
            given["enum"] = [given.pop("const")]
        values = given.get("enum")
        if kind == "string" and isinstance(values, list):
            texts = [value for value in values if isinstance(value, str) and value]
            if None in values:
                made["nullable"] = True
            if texts and len(texts) == len([value for value in values if value is not None]):
                made["enum"] = texts
                del given["enum"]
        if isinstance(given.get("format"), str) and given["format"] in _FORMATS.get(kind, ()):
            made["format"] = given.pop("format")

    def _inner(self, given: dict[str, Any], made: dict[str, Any], trail: tuple[str, ...]) -> None:
        step = (*trail, "")
        properties = given.get("properties")
        if isinstance(properties, Mapping) and made.get("type") == "OBJECT":
            made["properties"] = {name: self.of(inner, step) for name, inner in given.pop("properties").items()}
            required = given.get("required")
            if isinstance(required, list) and all(name in list(made["properties"]) for name in required):
                made["required"] = given.pop("required")
        if made.get("type") != "ARRAY":
            return
        if isinstance(given.get("items"), Mapping):
            made["items"] = self.of(given.pop("items"), step)
        else:
            self.lost.add("arrays of any value")
            made["items"] = {"type": "STRING"}
