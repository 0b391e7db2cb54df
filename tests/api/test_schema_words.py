"""Schemas are said in words a reader understands."""

import pytest

from api.schema_words import fields, in_words

KNOWN = {"State": {"enum": ["queued", "running"], "type": "string"}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
            "whole number, from 1, up to 1,000 (default 20)",
        ),
        ({"anyOf": [{"$ref": "#/components/schemas/State"}, {"type": "null"}]}, "one of queued, running"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/State"}}, "several of: one of queued, running"),
        ({"type": "string", "maxLength": 255}, "text, up to 255 characters"),
        ({}, "anything"),
    ],
)
def test_a_schema_in_words(schema, words):
    assert in_words(schema, KNOWN) == words


def test_the_fields_of_an_object_say_which_are_required():
    schema = {
        "properties": {"a": {"type": "string"}, "b": {"type": "boolean", "description": "why"}},
        "required": ["a"],
    }
    assert fields(schema, KNOWN) == [("a", "text, required", ""), ("b", "true or false", "why")]
