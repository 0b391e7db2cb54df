"""Tools, choice and response format as typed values; and the fields that a wire has no place for."""

from typing import Any

import msgspec
import pytest

from jobs.chat import ChatRequest
from routing.dialects.base import Unsupported
from routing.dialects.fields import leftovers
from routing.dialects.parts import CacheMark
from routing.dialects.toolkit import FIELDS, ResponseFormat, Tool, ToolChoice, Toolkit, read_toolkit

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def tool(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def of(**body: Any) -> Toolkit | Unsupported:
    return read_toolkit(ChatRequest.parse(msgspec.json.encode({"messages": [{"role": "user"}], **body})))


def toolkit(**body: Any) -> Toolkit:
    read = of(**body)
    assert isinstance(read, Toolkit), read
    return read


def test_tools_are_read_with_their_schema_and_marks() -> None:
    marked = {**tool("g", strict=True), "cache_control": {"type": "ephemeral"}}
    read = toolkit(tools=[tool(description="Does.", parameters=SCHEMA), marked])
    assert read.tools == (
        Tool("f", "tools[0]", "Does.", SCHEMA),
        Tool("g", "tools[1]", strict=True, cache=CacheMark("tools[1].cache_control")),
    )
    assert read.tools[0].function_field == "tools[0].function"
    assert read.adaptations == ()


def test_legacy_functions_are_tools() -> None:
    read = toolkit(functions=[{"name": "f"}], function_call={"name": "f"})
    assert read.tools == (Tool("f", "functions[0]"),)
    assert read.tools[0].function_field == "functions[0]"
    assert read.choice == ToolChoice("named", "function_call", name="f")


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        (None, None),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        (tool("g"), ToolChoice("named", name="g")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("f")]}},
            ToolChoice("required", allowed=("f",)),
        ),
    ],
)
def test_case_16_choices(choice: Any, read: ToolChoice | None) -> None:
    assert toolkit(tools=[tool("f"), tool("g")], tool_choice=choice).choice == read


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": {"a": 1}}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tools": [{"type": {}}]}, "tools[0]"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [tool("")]}, "tools[0].function"),
        ({"tools": [tool(parameters="x")]}, "tools[0].function.parameters"),
        ({"tools": [tool()], "tool_choice": "g"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": 5}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": tool("g")}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": []}}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"tools": [tool()], "tool_choice": {"type": "allowed_tools",
          "allowed_tools": {"mode": "auto", "tools": [tool("g")]}}}, "tool_choice.allowed_tools.tools[0]"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": ["text"]}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format.json_schema"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_named(body: dict[str, Any], field: str) -> None:
    refused = of(**body)
    assert isinstance(refused, Unsupported)
    assert refused.field == field


def test_a_choice_without_tools_goes_with_a_note_unless_it_asks_for_nothing() -> None:
    assert toolkit(tools=[], tool_choice="none", parallel_tool_calls=True) == Toolkit()
    read = toolkit(tool_choice="required", parallel_tool_calls=False)
    assert [note.field for note in read.adaptations] == ["tool_choice", "parallel_tool_calls"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, ResponseFormat("json_object")),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
            ResponseFormat("json_schema", name="a", schema=SCHEMA, strict=True),
        ),
    ],
)
def test_response_formats(given: Any, read: ResponseFormat | None) -> None:
    assert toolkit(response_format=given).response_format == read


def test_unknown_keys_are_noted() -> None:
    read = toolkit(
        tools=[{**tool(colour="red"), "size": 1}],
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "x": 1}, "y": 2},
    )
    assert sorted(note.field for note in read.adaptations) == [
        "response_format.json_schema.x",
        "response_format.y",
        "tools[0].function.colour",
        "tools[0].size",
    ]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"n": 1, "logprobs": False, "top_logprobs": 0, "presence_penalty": 0.0, "store": False, "logit_bias": {}}, []),
        ({"seed": 0, "store": True, "an_extension": {"kept": True}}, ["seed", "store", "an_extension"]),
        ({"service_tier": "auto", "metadata": {}, "modalities": ["text"], "user": None}, []),
        ({"tools": [tool()], "response_format": {"type": "json_object"}}, []),
    ],
)
def test_case_32_other_fields_are_noted_unless_they_ask_for_nothing(body: dict[str, Any], fields: list[str]) -> None:
    notes = leftovers(body, FIELDS)
    assert not isinstance(notes, Unsupported)
    assert [note.field for note in notes] == fields
    assert all(note.action == "dropped" and note.reason for note in notes)


@pytest.mark.parametrize(
    "body", [{"n": 2}, {"modalities": ["text", "audio"]}, {"web_search_options": {}}, {"seed": 1, "n": 3}]
)
def test_what_would_change_the_question_is_not_left_out(body: dict[str, Any]) -> None:
    refused = leftovers(body, FIELDS)
    assert isinstance(refused, Unsupported)
    assert refused.field in body
