"""An instance of a schema is valid, small or full, and carries the sentence where it can; a broken one is not."""

import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.instances import FORMATS, broken, instance


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


LEAVES = st.one_of(
    st.builds(
        lambda low, room: {"type": "integer", "minimum": low, "maximum": low + room},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.builds(lambda least: {"type": "integer", "exclusiveMinimum": least}, st.integers(-9, 9)),
    st.builds(lambda step: {"type": "integer", "minimum": 1, "multipleOf": step}, st.integers(1, 9)),
    st.builds(
        lambda low, room: {"type": "string", "minLength": low, "maxLength": low + room},
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.sampled_from(sorted(FORMATS)).map(lambda word: {"type": "string", "format": word}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2, None]}, {"const": {"x": 1}}]),
    st.just({"type": ["null", "number"], "maximum": 3}),
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def shaped(properties: dict[str, Any], count: int) -> dict[str, Any]:
        named = list(properties)[:count]
        return {"type": "object", "properties": properties, "required": named, "additionalProperties": False}

    return st.one_of(
        st.builds(shaped, st.dictionaries(st.sampled_from("abcd"), inner, max_size=4), st.integers(0, 4)),
        st.builds(lambda item, low: {"type": "array", "items": item, "minItems": low}, inner, st.integers(0, 3)),
        st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner),
        st.builds(lambda one: {"allOf": [one]}, inner),
        st.builds(lambda one: {"$defs": {"x": one}, "$ref": "#/$defs/x"}, LEAVES),
    )


@given(st.recursive(LEAVES, grown, max_leaves=8).filter(lambda schema: "$defs" not in str(schema)), st.integers())
def test_a_full_value_keeps_its_schema_and_comes_again_from_its_seed(schema, seed):
    first, second = (instance(schema, "hello", random.Random(seed)) for _ in range(2))
    assert first == second
    jsonschema.validate(first, schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    jsonschema.validate(instance(schema, "hello"), schema)


def test_a_full_value_has_every_property_and_fills_its_arrays():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}, "b": {}}}
    full = instance(schema, "hello", random.Random(1))
    assert set(full) == {"a", "b"}
    assert full["a"][0] == "hello"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "required": ["a"]}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x"}),
        ({"type": "array"}, []),
        ({"type": "string"}, "x"),
    ],
)
def test_a_broken_value_breaks_its_schema(schema, value):
    jsonschema.validate(value, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken(schema, value), schema)
