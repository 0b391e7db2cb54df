"""Schemas as Anthropic takes them: what its SDK keeps is kept, what it can't hold is told in words and noted."""

from typing import Any

import pytest
from anthropic import transform_schema

from jobs.chat import Adaptation
from routing.dialects.anthropic_schema import NotStrictError, strict_schema
from routing.dialects.parts import CannotCarry
from routing.dialects.schemas import object_schema

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


def strict(schema: dict[str, Any], more: frozenset[str] | None = None) -> tuple[dict[str, Any], list[str]]:
    notes: list[Adaptation] = []
    return strict_schema(schema, "s", more, notes), [note.reason for note in notes]


@pytest.mark.parametrize(
    "schema",
    [
        OBJECT,
        {**OBJECT, "required": ["a"], "title": "T", "description": "D"},
        {**OBJECT, "properties": {"a": {"enum": ["x", 1, None]}, "b": {"const": "y"}}},
        {**OBJECT, "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
        {**OBJECT, "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 1}}},
        {**OBJECT, "properties": {"a": {"type": "string", "format": "date"}, "b": {"$ref": "#/$defs/x"}},
         "$defs": {"x": {"type": "boolean"}}},
        {**OBJECT, "properties": {"a": {"allOf": [{"type": "string"}]}}},
    ],
)  # fmt: skip
def test_what_the_official_sdk_keeps_is_kept_without_a_word(schema: dict[str, Any]):
    kept, notes = strict(schema)
    assert kept == transform_schema(schema)
    assert notes == []


@pytest.mark.parametrize(
    ("inner", "kept", "lost"),
    [
        ({"type": "integer", "minimum": 1}, {"type": "integer", "description": '{"minimum":1}'}, "minimum"),
        (
            {"type": "string", "format": "phone", "description": "Call"},
            {"type": "string", "description": 'Call\n\n{"format":"phone"}'},
            "format",
        ),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 3},
            {"type": "array", "items": {"type": "string"}, "description": '{"minItems":3}'},
            "minItems",
        ),
        ({"oneOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}]}, "oneOf"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "properties": {}, "additionalProperties": False},
            "objects open to other properties",
        ),
    ],
)
def test_what_it_cannot_hold_is_told(inner: dict[str, Any], kept: dict[str, Any], lost: str):
    made, notes = strict({**OBJECT, "properties": {"a": inner}})
    assert made["properties"]["a"] == kept
    assert len(notes) == 1
    assert lost in notes[0]


def test_several_types_become_a_union():
    chosen = {"type": ["string", "null"], "enum": ["x", None]}
    made, notes = strict({**OBJECT, "properties": {"a": {"type": ["integer", "null"]}, "b": chosen}})
    assert made["properties"] == {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "b": {"enum": ["x", None]}}
    assert notes == []


def test_keywords_that_the_model_takes_beside_stay():
    made, notes = strict(
        {**OBJECT, "properties": {"a": {"type": "string", "pattern": "^x", "minItems": 7}}},
        frozenset({"pattern", "minItems"}),
    )
    assert made["properties"]["a"] == {"type": "string", "pattern": "^x", "description": '{"minItems":7}'}
    assert len(notes) == 1


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(60):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    "schema",
    [
        {**OBJECT, "properties": {"a": {}}},
        {**OBJECT, "properties": {"a": True}},
        {**OBJECT, "properties": {"a": DEEP}},
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}},
        },
    ],
)
def test_what_can_be_no_strict_schema(schema: dict[str, Any]):
    with pytest.raises(NotStrictError):
        strict(schema)


@pytest.mark.parametrize(
    ("schema", "made", "noted"),
    [
        (None, {"type": "object", "properties": {}}, 0),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, 0),
        ({"type": ["object", "null"], "properties": {}}, {"type": "object", "properties": {}}, 1),
        ({"$ref": "#/$defs/x", "$defs": {}}, {"type": "object", "properties": {}}, 1),
        (
            {"oneOf": [{"properties": {"a": {}}}, True], "properties": {"b": {}}},
            {"type": "object", "properties": {"b": {}, "a": {}}},
            1,
        ),
    ],
)
def test_the_root_of_a_tool_s_schema_is_an_object(schema: Any, made: dict[str, Any], noted: int):
    notes: list[Adaptation] = []
    assert object_schema(schema, "s", notes) == made
    assert len(notes) == noted
    with pytest.raises(CannotCarry):
        object_schema({"type": "array"}, "s", [])
