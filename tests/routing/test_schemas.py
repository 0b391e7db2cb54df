"""Schemas of callers: what is none is told with its place; what breaks one is told; nothing runs for ever."""

from typing import Any

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


LOOPS = ["^(a+)+$", "(a|a)*b", "a{0,}" * 8 + "b", "a*a*a*a*b", "^" + "a?" * 24 + "a" * 24 + "$"]


@pytest.mark.parametrize("pattern", LOOPS)
def test_a_pattern_that_would_take_a_backtracking_matcher_for_ever_is_matched_all_the_same(pattern):
    text = "a" * 4_000 + "!"
    assert schemas.breach({"type": "string", "pattern": pattern}, text) is not None
    assert schemas.breach({"patternProperties": {pattern: False}}, {text: 1}) is None
    assert schemas.breach({"patternProperties": {pattern: {}}, "additionalProperties": False}, {text: 1}) is not None


@pytest.mark.parametrize("pattern", [r"(.)\1", "(?=a)b", "(?<!a)b", "("])
def test_a_pattern_that_no_linear_matcher_knows_forbids_nothing(pattern):
    assert schemas.breach({"pattern": pattern}, "c") is None
    assert schemas.breach({"patternProperties": {pattern: False}}, {"c": 1}) is None
    assert schemas.breach({"patternProperties": {pattern: {}}, "additionalProperties": False}, {"c": 1}) is None


def test_a_schema_that_multiplies_itself_ends_and_forbids_nothing():
    twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    schema = {"$defs": twice | {"a40": {"type": "integer"}}, "$ref": "#/$defs/a0"}
    assert schemas.fault(schema) is None
    assert schemas.breach(schema, "no integer") is None


def test_equal_items_are_found_without_comparing_each_with_each():
    unique = {"uniqueItems": True}
    assert schemas.breach(unique, [{"a": [n]} for n in range(20_000)]) is None
    equal: tuple[list[Any], ...] = ([1, 1.0], [{"a": 1, "b": [2]}, {"b": [2], "a": 1}], [[], []])
    for twins in equal:
        assert schemas.breach(unique, twins) is not None
    for different in ([1, True], [0, False], ["1", 1], [[1], [True]]):
        assert schemas.breach(unique, different) is None


@pytest.mark.parametrize(
    "schema",
    [{"$schema": []}, {"$schema": {}}, {"$schema": 5}, {"$schema": "http://["}, {"title": "x" * 70_000}],
    ids=["list", "object", "number", "url", "large"],
)
def test_what_no_library_can_read_is_no_schema(schema):
    assert schemas.fault(schema) is not None


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"multipleOf": 0.01}, 10**400),
        ({"$ref": "#/required", "required": ["a"]}, {}),
        ({"$ref": "#/title", "title": "x"}, {}),
        ({"$ref": "#/const", "const": {"type": "nope"}}, 1),
        ({"$ref": "#/const", "const": {"multipleOf": 0}}, 1),
        ({"$ref": "#/allOf/x", "allOf": [{}]}, 1),
        ({"patternProperties": {"^(a+)+$": {}}, "unevaluatedProperties": False}, {"a" * 40 + "b": 1}),
    ],
)
def test_a_schema_sound_by_the_letter_that_can_not_be_worked_with_forbids_nothing(schema, value):
    schemas.breach(schema, value)


def test_a_tame_pattern_is_kept():
    assert schemas.breach({"pattern": "^[a-z]{2}-[0-9]+$"}, "ab-12") is None
    assert schemas.breach({"pattern": "^[a-z]{2}-[0-9]+$"}, "ab-") is not None
    assert schemas.breach({"patternProperties": {"^x": {"type": "integer"}}}, {"xa": "no"}) is not None


@given(schema=JSON, value=JSON)
def test_no_schema_and_no_value_makes_it_raise(schema, value):
    if schemas.fault(schema) is None:
        schemas.breach(schema, value)
