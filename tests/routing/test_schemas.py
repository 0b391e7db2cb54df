"""Schemas of callers: what is none is told with its place; what breaks one is told; nothing runs for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import schemas

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strnig"}, "type"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
        ({"$ref": "https://example.com/schema.json"}, "$ref"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "properties.a.$ref"),
        ([], ""),
        ("object", ""),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(schema, path):
    found = schemas.fault(schema)
    assert found is not None
    assert found.path == path
    assert found.message


@pytest.mark.parametrize("schema", [PERSON, True, {}, {"$defs": {"a": PERSON}, "$ref": "#/$defs/a"}])
def test_a_sound_schema_has_no_fault(schema):
    assert schemas.fault(schema) is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({}, "required"),
        ({"name": 1}, "properties.name.type"),
        ({"name": "a", "age": -1}, "properties.age.minimum"),
        ({"name": "a", "x": 1}, "additionalProperties"),
        ([], "type"),
    ],
)
def test_a_breach_names_the_rule_and_tells_of_the_value(value, rule):
    found = schemas.breach(PERSON, value)
    assert found is not None
    assert found.rule == rule
    assert found.told


def test_a_schema_that_leads_nowhere_forbids_nothing():
    assert schemas.breach({"$ref": "#/$defs/gone"}, 1) is None
    assert schemas.breach({"$ref": "#"}, 1) is None


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*b", r"(.)\1", "a*" * 20 + "b", "x" * 501])
def test_a_pattern_that_might_not_end_is_not_tried(pattern):
    assert not schemas.is_tame(pattern)
    assert schemas.breach({"type": "string", "pattern": pattern}, "a" * 4_000 + "!") is None
    assert schemas.breach({"patternProperties": {pattern: False}}, {"a" * 4_000: 1}) is None


def test_a_tame_pattern_is_kept():
    assert schemas.breach({"pattern": "^[a-z]{2}-[0-9]+$"}, "ab-12") is None
    assert schemas.breach({"pattern": "^[a-z]{2}-[0-9]+$"}, "ab-") is not None
    assert schemas.breach({"patternProperties": {"^x": {"type": "integer"}}}, {"xa": "no"}) is not None


@given(schema=JSON, value=JSON)
def test_no_schema_and_no_value_makes_it_raise(schema, value):
    if schemas.fault(schema) is None:
        schemas.breach(schema, value)
