"""A minimal instance of a schema is valid, and carries the sentence where it can."""

from typing import Any

import pytest

from sandbox.instances import instance


def built(schema: Any) -> Any:
    return instance(schema, "hello")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "hello"),
        ({"type": "string", "maxLength": 3}, "hel"),
        ({"type": "string", "minLength": 7}, "hello.."),
        ({"enum": ["a", "b"]}, "a"),
        ({"enum": ["a", "hello"]}, "hello"),
        ({"const": 4}, 4),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": ["null", "string"]}, "hello"),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "hello"),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]}, {"b": 0}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "hello"}),
        (True, None),
    ],
)
def test_the_value_is_minimal_and_carries_the_text(schema, value):
    assert built(schema) == value


def test_only_the_first_free_string_carries_the_text():
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"a": text, "b": text}, "required": ["a", "b"]}
    assert built(schema) == {"a": "hello", "b": ""}


def test_references_are_followed():
    schema = {"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"type": "string"}}}
    assert built(schema) == "hello"


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "next" in built(node)
