"""References of schemas: whatever leaves can be followed where the provider follows it, and allows what it allowed."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import validators
from referencing.exceptions import Unresolvable

from routing.catalog import Model
from routing.dialects.base import Unsupported
from routing.dialects.references import joined, settled
from tests.routing.dialects import anthropic_wire, gemini_wire
from tests.routing.dialects.accented import sent, told
from tests.routing.dialects.referring import VALUES, Schema, referring_schemas, schemas_in
from tests.routing.dialects.voices import MODELS, VOICES, spoken

THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
OLD_FORM = {"$ref": "#/definitions/Point", "definitions": {"Point": POINT}}
"""As zod-to-json-schema and draft-07 write it, at the root."""
INSIDE = {
    "type": "object",
    "properties": {"at": {"$ref": "#/definitions/Point"}, "to": {"$ref": "#/properties/at"}},
    "definitions": {"Point": POINT},
}


def accepts(schema: Schema, value: Any) -> bool:
    """By the JSON Schema library, in the draft that the schema names."""
    return bool(validators.validator_for(schema, default=validators.Draft202012Validator)(schema).is_valid(value))


def dangling(schema: Schema) -> list[str]:
    """References in schemas that no definition of the root answers, or that not every provider would follow."""
    refs = [node["$ref"] for node, _ in schemas_in(schema) if isinstance(node.get("$ref"), str)]
    heads = ("#/$defs/", "#/definitions/")
    names = [name for store in ("$defs", "definitions") for name in schema.get(store, {})]
    return [ref for ref in refs if ref != "#" and not (ref.startswith(heads) and ref.split("/", 2)[2] in names)]


def asking(schema: Schema, *, strict: bool) -> dict[str, Any]:
    """A request with the schema as a tool's and as the answer's."""
    named = {"name": "f", "parameters": schema, "strict": strict}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema, "strict": strict}}
    return {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": named}],
        "response_format": form,
    }


SCHEMA_FIELDS = ("parameters", "parametersJsonSchema", "input_schema", "schema", "responseJsonSchema", "responseSchema")


def leaving(body: Any) -> list[Schema]:
    """The schemas in a body, on any wire."""
    if isinstance(body, list):
        return [found for part in body for found in leaving(part)]
    if not isinstance(body, dict):
        return []
    here = [part for key, part in body.items() if key in SCHEMA_FIELDS and isinstance(part, dict)]
    return here + [found for key, part in body.items() if key not in SCHEMA_FIELDS for found in leaving(part)]


@pytest.mark.parametrize("name", VOICES)
@settings(THOROUGH, max_examples=12)
@given(schema=referring_schemas(), model=st.sampled_from(sorted(MODELS)), strict=st.booleans())
def test_every_reference_that_leaves_leads_somewhere(name, schema, model, strict):
    wire = spoken(VOICES[name], asking(schema, strict=strict), MODELS[model])
    if wire is None or isinstance(wire, Unsupported):
        return
    for left in leaving(json.loads(wire.body)):
        assert dangling(left) == []


@THOROUGH
@given(schema=referring_schemas(), value=VALUES)
def test_the_settled_form_accepts_what_the_schema_accepts(schema, value):
    made, lost = settled(schema)
    assert lost == 0
    assert isinstance(made.get("type", ""), str)
    assert "$ref" not in made or not isinstance(made["$ref"], str)
    try:
        before = accepts(schema, value)
    except (RecursionError, Unresolvable):  # two that only refer to each other
        assume(False)
    assert accepts(dict(made), value) == before
    assert settled(made).schema is made


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
@THOROUGH
@given(schema=referring_schemas(), value=VALUES)
def test_a_schema_that_leaves_without_a_word_accepts_the_same(name, schema, value):
    wire = spoken(VOICES[name], asking(schema, strict=False), Model("google/gemini-3-flash"))
    if wire is None or isinstance(wire, Unsupported):
        return
    (made, *_) = leaving(json.loads(wire.body))
    if any(change.field.startswith("tools[0].function.parameters") for change in wire.adaptations):
        return
    try:
        before = accepts(schema, value)
    except (RecursionError, Unresolvable):
        assume(False)
    assert accepts(made, value) == before


@pytest.mark.parametrize("schema", [OLD_FORM, INSIDE], ids=["at the root", "inside"])
def test_definitions_of_draft_07_arrive_on_each_wire(schema):
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema, "strict": True}}
    plain = sent("openai", tools=[tool], response_format=form)
    assert told("openai", tools=[tool], response_format=form) == []
    for made in leaving(plain):
        assert dangling(made) == []
        assert made["type"] == "object"
    left, notes = anthropic_wire.sent(tools=[tool])
    assert notes == []
    (made,) = leaving(left)
    assert dangling(made) == []
    assert "x" in json.dumps(made["properties"]) or "#/$defs/Point" in json.dumps(made["properties"])
    left, _ = anthropic_wire.sent(anthropic_wire.NEW, response_format=form)
    assert dangling(left["output_config"]["format"]["schema"]) == []
    for model in (gemini_wire.NEW, gemini_wire.FLASH):
        left, _ = gemini_wire.sent(model, tools=[tool])
        (made,) = leaving(left)
        assert dangling(made) == []
        assert "definitions" not in made
    left, notes = gemini_wire.sent(gemini_wire.OLD, tools=[tool])
    assert left["tools"][0]["functionDeclarations"][0]["parameters"]["type"] == "OBJECT"
    assert notes == []


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (OLD_FORM, POINT),
        ({"description": "D", **OLD_FORM}, {**POINT, "description": "D"}),
        ({**OLD_FORM, "minProperties": 2}, {**POINT, "minProperties": 2}),
        (
            {**OLD_FORM, "properties": {"y": {}}},
            {"type": "object", "allOf": [POINT, {"properties": {"y": {}}}]},
        ),
        (
            {**OLD_FORM, "$schema": "http://json-schema.org/draft-07/schema#", "minProperties": 2, "title": "T"},
            {"$schema": "http://json-schema.org/draft-07/schema#", **POINT, "title": "T"},
        ),
        (
            {"type": "object", "properties": {"me": {"$ref": "#"}}},
            {
                "type": "object",
                "properties": {"me": {"$ref": "#/$defs/root"}},
                "$defs": {"root": {"type": "object", "properties": {"me": {"$ref": "#/$defs/root"}}}},
            },
        ),
        (
            {"items": {"$ref": "#p"}, "$defs": {"a/b": {"$anchor": "p", "type": "string"}}},
            {"items": {"$ref": "#/$defs/a_b"}, "$defs": {"a_b": {"type": "string"}}},
        ),
        (
            {"items": {"$ref": "#/components/schemas/Pet"}, "components": {"schemas": {"Pet": True}}},
            {"items": {"$ref": "#/$defs/Pet"}, "$defs": {"Pet": True}},
        ),
        (
            {"items": {"$dynamicRef": "#n"}, "$defs": {"n": {"$dynamicAnchor": "n", "type": "string"}}},
            {"items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "string"}}},
        ),
        (
            {"$id": "https://x.test/a", "items": {"$ref": "b#/x"}, "$defs": {"b": {"$id": "b", "x": {"const": 1}}}},
            {"$id": "https://x.test/a", "items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"const": 1}}},
        ),
    ],
)  # fmt: skip
def test_the_settled_form(schema, made):
    assert settled(schema) == (made, 0)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"$ref": {"type": "string"}}},
        {"const": {"$ref": "#/nowhere"}},
        {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "string"}}},
        {"items": {"$ref": 7}},
    ],
)
def test_a_schema_that_nobody_can_misread_stays_itself(schema):
    assert settled(schema).schema is schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"items": {"$ref": "#/$defs/a"}},
        {"items": {"$ref": "https://example.com/a"}},
        {"items": {"$ref": "http://[/"}},
        {"items": {"$ref": "#/items/title"}, "$id": "http://["},
    ],
)
def test_a_reference_that_leads_nowhere_is_left_out_and_told(schema):
    assert settled(schema).lost == 1
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", **schema}}}
    for left, notes in (anthropic_wire.sent(tools=[tool]), gemini_wire.sent(tools=[tool])):
        assert dangling(leaving(left)[0]) == []
        assert ("tools[0].function.parameters", "changed") in notes


def test_branches_at_the_root_keep_the_arguments_of_their_definitions():
    cat = {
        "type": "object",
        "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
        "required": ["kind"],
    }
    dog = {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind", "name"]}
    schema = {
        "oneOf": [{"$ref": "#/definitions/cat"}, {"$ref": "#/definitions/dog"}],
        "definitions": {"cat": cat, "dog": dog},
    }
    left, notes = anthropic_wire.sent(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    made = left["tools"][0]["input_schema"]
    assert made["properties"] == {
        "kind": {"anyOf": [{"const": "cat"}, {"const": "dog"}]},
        "lives": {"type": "integer"},
    }
    assert made["required"] == ["kind"]
    assert notes == [("tools[0].function.parameters", "changed")]


def test_branches_that_multiply_themselves_take_no_time():
    definitions: Schema = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 8} for n in range(30)}
    schema = {"anyOf": [{"$ref": "#/$defs/d0"}], "$defs": {**definitions, "d30": POINT}}
    left, _ = anthropic_wire.sent(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    assert left["tools"][0]["input_schema"]["properties"] == POINT["properties"]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"type": "object"}, {"type": "object", "title": "T"}, {"type": "object", "title": "T"}),
        ({"title": "A"}, {"title": "B"}, {"title": "B"}),
        ({"minimum": 1}, {"minimum": 2}, None),
        ({"const": 1}, {"const": True}, None),
        ({"properties": {}}, {"additionalProperties": False}, None),
        ({"properties": {}}, {"unevaluatedProperties": False}, None),
    ],
)
def test_two_schemas_become_one_only_where_it_means_both(one, other, both):
    assert joined(one, other) == both
