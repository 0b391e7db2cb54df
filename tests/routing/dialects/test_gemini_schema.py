"""JSON Schemas in the forms that Gemini's models take: what is kept, what is rewritten, what is named as lost."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.dialects.gemini_schema import json_schema, openapi_schema
from routing.dialects.parts import Notes
from tests.routing.dialects.fields import json_schemas
from tests.routing.dialects.gemini_wire import NEW, OLD, encoded
from tests.routing.dialects.oracles import gemini_request_faults

Schema = dict[str, Any]
TEXT = {"type": "STRING"}


def rewritten(schema: Schema) -> tuple[Schema, str]:
    """The schema in OpenAPI's subset, and what the note says was lost."""
    notes: Notes = []
    made = openapi_schema(schema, "here", notes)
    assert len(notes) <= 1
    return made, notes[0].reason.partition(": ")[2] if notes else ""


@pytest.mark.parametrize(
    ("given", "made", "lost"),
    [
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, ""),
        (
            {"type": ["string", "integer", "null"]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True},
            "",
        ),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, {"anyOf": [TEXT], "nullable": True}, ""),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}, ""),
        ({"enum": ["a", "b", None]}, {"type": "STRING", "enum": ["a", "b"], "nullable": True}, ""),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER"}, "enum"),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "INTEGER", "minimum": 1}, ""),
        ({"type": "number", "exclusiveMaximum": 1}, {"type": "NUMBER", "maximum": 1}, "exclusiveMaximum"),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, ""),
        ({"type": "string", "format": "uuid"}, TEXT, "format"),
        ({"type": "number", "multipleOf": 0.5}, {"type": "NUMBER"}, "multipleOf"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [TEXT, {"type": "INTEGER"}]}, "oneOf"),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            {"type": "ARRAY", "items": TEXT, "maxItems": 3},
            "",
        ),
        ({"type": "array"}, {"type": "ARRAY", "items": TEXT}, "arrays of any value"),
        ({"type": "object", "additionalProperties": False}, {"type": "OBJECT"}, "additionalProperties"),
        ({"$schema": "x", "type": "string", "pattern": "^a"}, {"type": "STRING", "pattern": "^a"}, ""),
    ],
)
def test_case_18_keywords(given, made, lost):
    assert rewritten(given) == (made, lost)


def test_case_18_references_are_written_out():
    point = {"type": "object", "properties": {"x": {"type": "number"}}}
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/point"}, "b": {"$ref": "#/properties/a", "description": "Again"}},
        "$defs": {"point": point},
    }
    made = {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}}
    assert rewritten(schema) == (
        {"type": "OBJECT", "properties": {"a": made, "b": {**made, "description": "Again"}}},
        "",
    )


def test_case_18_a_reference_that_leads_back_ends_in_an_open_object():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "string"}}}
    made, lost = rewritten({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert made == {"type": "OBJECT", "properties": {"next": {"type": "OBJECT"}, "value": TEXT}}
    assert lost == "references without end"
    assert rewritten({"type": "object", "properties": {"me": {"$ref": "#"}}})[1] == "references without end"
    assert rewritten({"$ref": "https://example.com/a"})[1] == "references to nothing"


def test_case_18_all_of_is_put_together():
    parts = [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"$ref": "#/$defs/b"}]
    made, lost = rewritten(
        {"allOf": parts, "$defs": {"b": {"properties": {"b": {"type": "string"}}, "required": ["b"]}}}
    )
    assert made == {"type": "OBJECT", "properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]}
    assert lost == "allOf"


def test_case_18_what_takes_json_schema_gets_it_but_for_the_neighbours_of_a_reference():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/n", "description": "A"}, "b": {"const": 1, "multipleOf": 2}},
        "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
    }
    notes: Notes = []
    made = json_schema(schema, "here", notes)
    assert made == {**schema, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"const": 1, "multipleOf": 2}}}
    assert [(note.field, note.action) for note in notes] == [("here", "changed")]


@settings(max_examples=30, deadline=None)
@given(json_schemas)
def test_what_is_rewritten_is_what_the_types_allow(schema):
    function = {"name": "f", "parameters": openapi_schema(schema, "here", [])}
    tools = [{"functionDeclarations": [function]}]
    assert gemini_request_faults({"contents": [{"parts": [{"text": "Hi"}]}], "tools": tools}) == []


KEYWORDS = [
    *("type", "properties", "items", "$ref", "$defs", "allOf", "anyOf", "oneOf", "enum", "const", "format"),
    *("required", "minimum", "exclusiveMinimum", "additionalProperties", "a"),
]
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "#", "#/$defs/a", "date"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYWORDS), inner),
)


@settings(max_examples=100, deadline=None)
@given(SCHEMAS)
def test_no_schema_makes_it_raise(schema):
    for model in (OLD, NEW):
        function = {"name": "f", "parameters": {"properties": {"x": schema}, "allOf": [schema]}}
        assert encoded(model, tools=[{"type": "function", "function": function}]) is not None


def test_a_schema_that_grows_without_bound_is_cut():
    definitions: Schema = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 8} for n in range(12)}
    made, lost = rewritten({"$ref": "#/$defs/d0", "$defs": {**definitions, "d12": {"type": "string"}}})
    assert "nesting without end" in lost
    assert made["anyOf"]
