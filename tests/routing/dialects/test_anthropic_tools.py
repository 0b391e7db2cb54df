"""Tools, their choice, schemas and the answer's form on the Anthropic wire (wire-formats 2.6, cases 14-22)."""

from typing import Any

import msgspec
import pytest

from routing.dialects.base import WireRequest
from tests.routing.dialects.anthropic_wire import (
    NEW,
    PLAIN,
    SCHEMA,
    Body,
    assistant,
    call,
    encoded,
    json_schema,
    refused,
    result,
    sent,
    tool,
    user,
)


@pytest.mark.parametrize(
    "arguments",
    ['{"a": 1.0, "b": 12345678901234567890123, "c": 0.10000000000000000555}', '{ "x" : [1e2, -0.0] }'],
)
def test_case_14_arguments_leave_digit_by_digit(arguments: str):
    wire = encoded(tools=[tool()], messages=[user(), assistant(None, call(arguments=arguments)), result()])
    assert isinstance(wire, WireRequest)
    assert arguments.encode() in wire.body


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1]", "null", "Paris"])
def test_case_14_broken_arguments_are_sent_as_text_with_a_note(arguments: str):
    body, notes = sent(tools=[tool()], messages=[user(), assistant(None, call(arguments=arguments)), result()])
    assert body["messages"][1]["content"][0]["input"] == {"arguments": arguments}
    assert notes == [("messages[1].tool_calls[0].function.arguments", "changed")]


@pytest.mark.parametrize(
    ("choice", "parallel", "wire"),
    [
        (None, None, None),
        ("auto", True, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_case_15_and_16_choice_and_parallel_calls(choice: Any, parallel: bool | None, wire: Body | None):
    body, notes = sent(tools=[tool()], tool_choice=choice, parallel_tool_calls=parallel, max_tokens=9)
    assert body.get("tool_choice") == wire
    assert notes == []


def test_case_16_a_list_of_allowed_tools_leaves_out_the_others():
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}}
    body, notes = sent(tools=[tool("f"), tool("g")], tool_choice=allowed)
    assert [given["name"] for given in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}
    assert notes == [("tools[0]", "dropped")]


def test_case_17_names_are_escaped_and_turned_back():
    body, notes = sent(tools=[tool("files.read"), tool("tyx_a")], max_tokens=9)
    assert [given["name"] for given in body["tools"]] == ["tyx_files_2e_read", "tyx_tyx_5f_a"]
    assert notes == []
    assert refused(tools=[tool("n" * 129)]) == "tools[0].function.name"


def test_case_19_schemas_are_objects_at_their_root():
    branches = [{"type": "object", "properties": {name: {"type": "string"}}} for name in "ab"]
    body, notes = sent(
        tools=[
            {"type": "function", "function": {"name": "bare"}},
            tool("union", parameters={"anyOf": branches}),
            tool("ref", parameters={"$ref": "#/$defs/x", "$defs": {"x": SCHEMA}}),
        ],
        max_tokens=9,
    )
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert body["tools"][1]["input_schema"]["properties"] == {"a": {"type": "string"}, "b": {"type": "string"}}
    assert body["tools"][2]["input_schema"]["required"] == ["city"]
    assert notes == [("tools[1].function.parameters", "changed")]
    assert refused(tools=[tool(parameters={"type": "string"})]) == "tools[0].function.parameters"


def test_case_20_strict_tools_where_the_model_has_them():
    loose = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    body, notes = sent(
        NEW, tools=[tool(strict=True), tool("g", strict=True, parameters=loose), tool("h", strict=False)]
    )
    assert [given.get("strict") for given in body["tools"]] == [True, True, None]
    assert body["tools"][0]["input_schema"] == SCHEMA
    number = body["tools"][1]["input_schema"]["properties"]["n"]
    assert number == {"type": "integer", "description": '{"minimum":1}'}
    assert notes == [("tools[1].function.parameters", "changed")]
    body, notes = sent(PLAIN, tools=[tool(strict=True)], max_tokens=9)
    assert "strict" not in body["tools"][0]
    assert notes == [("tools[0].function.strict", "dropped")]


def test_case_21_structured_output_where_the_model_has_it():
    body, notes = sent(NEW, tools=[tool()], response_format=json_schema(strict=True))
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": {"title": "answer", **SCHEMA}}
    assert "tool_choice" not in body
    assert notes == []


def test_case_21_else_a_tool_that_has_to_be_called():
    body, notes = sent(response_format=json_schema(), max_tokens=9)
    assert [given["name"] for given in body["tools"]] == ["tokenyard_answer"]
    assert body["tool_choice"] == {"type": "tool", "name": "tokenyard_answer", "disable_parallel_tool_use": True}
    assert notes == [("response_format", "changed")]
    body, _ = sent(tools=[tool()], response_format=json_schema(), max_tokens=9)
    assert [given["name"] for given in body["tools"]] == ["f", "tokenyard_answer"]
    assert body["tool_choice"] == {"type": "any"}
    unable = msgspec.structs.replace(PLAIN, has_forced_tools=False)
    assert refused(unable, response_format=json_schema()) == "response_format"


def test_case_21_a_recursive_schema_goes_by_the_tool():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    body, notes = sent(NEW, response_format=json_schema({"$ref": "#/$defs/node", "$defs": {"node": node}}))
    assert "output_config" not in body
    assert body["tools"][0]["name"] == "tokenyard_answer"
    assert notes == [("response_format", "changed")]


def test_case_22_json_mode_is_asked_for_in_words():
    wire = encoded(response_format={"type": "json_object"}, max_tokens=9)
    assert isinstance(wire, WireRequest)
    assert [(note.field, note.action) for note in wire.adaptations] == [("response_format", "changed")]
    assert "JSON object" in msgspec.json.decode(wire.body)["system"][-1]["text"]
    assert wire.is_json_told


def test_past_calls_without_tools_get_the_definitions_that_the_wire_demands():
    body, notes = sent(messages=[user(), assistant(None, call("f")), result(), user("Sum up")])
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}
    assert notes == [("tools", "added")]


def test_a_model_without_tools():
    unable = msgspec.structs.replace(PLAIN, has_tools=False)
    assert refused(unable, tools=[tool()]) == "tools"
    assert refused(unable, response_format=json_schema()) == "response_format"


def test_case_20_a_strict_tool_whose_schema_can_be_none_is_a_plain_one():
    body, notes = sent(NEW, tools=[tool(strict=True, parameters={"type": "object", "properties": {"any": {}}})])
    assert "strict" not in body["tools"][0]
    assert notes == [("tools[0].function.strict", "dropped")]


def test_case_21_a_named_call_is_the_answer_s_form():
    choice = {"type": "function", "function": {"name": "f"}}
    body, notes = sent(tools=[tool()], tool_choice=choice, response_format=json_schema(), max_tokens=9)
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    assert notes == [("response_format", "dropped")]


def test_case_21_a_schema_kept_unasked_is_told():
    body, notes = sent(NEW, response_format=json_schema(strict=False))
    assert "format" in body["output_config"]
    assert notes == [("response_format.json_schema.strict", "changed")]
