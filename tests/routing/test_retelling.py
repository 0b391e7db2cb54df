"""Conversations with tool calls told as text, place by place."""

import json
from typing import Any

import pytest

from routing.dialects.parts import CannotCarry
from routing.retelling import CALLS_TOLD, RESULT_TOLD, has_calls, retold

ASK = {"role": "user", "content": "Where?"}


def call(id_: str, name: str = "weather", arguments: str = '{"city":  1e3}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def turn(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id_: str, content: Any = "rain") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def test_one_call_and_its_result_keep_their_places():
    told, changes = retold([ASK, turn(call("a")), result("a")])
    assert told[0] == ASK
    assert told[1] == {
        "role": "assistant",
        "content": '{"calls":[{"name":"weather","arguments":{"city":  1e3}}]}',
    }
    assert told[2] == {"role": "user", "content": "Result of weather:\nrain"}
    assert [(change.field, change.reason) for change in changes] == [
        ("messages[1]", CALLS_TOLD),
        ("messages[2]", RESULT_TOLD),
    ]


def test_parallel_results_name_their_call_in_whatever_order_they_come():
    told, _ = retold([ASK, turn(call("a"), call("b", "time")), result("b"), result("a")])
    heads = [message["content"].split("\n")[0] for message in told[2:]]
    assert heads == ["Result of time (call 2 of 2):", "Result of weather (call 1 of 2):"]


def test_what_was_said_beside_a_call_and_parts_stay():
    told, _ = retold([turn(call("a"), content="Let me look"), result("a", [{"type": "text", "text": "x"}])])
    assert json.loads(told[0]["content"])["answer"] == "Let me look"
    assert told[1]["content"] == [{"type": "text", "text": "Result of weather:"}, {"type": "text", "text": "x"}]
    parts = [{"type": "text", "text": "Let me look"}]
    (spoken, _), _ = retold([turn(call("a"), content=parts), result("a", None)])
    assert spoken["content"][0] == parts[0]
    assert json.loads(spoken["content"][1]["text"])["calls"][0]["name"] == "weather"


def test_what_belongs_to_the_message_beside_its_call_stays():
    kept = turn(call("a")) | {"reasoning_details": [{"type": "reasoning.text"}]}
    told, _ = retold([kept, result("a") | {"cache_control": {"type": "ephemeral"}}])
    assert told[0]["reasoning_details"] == [{"type": "reasoning.text"}]
    assert told[1]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(("arguments", "told"), [("", {}), ("{broken", "{broken"), ('{"a": 1}', {"a": 1})])
def test_arguments_that_are_no_json_are_told_as_text(arguments, told):
    (spoken,), _ = retold([turn(call("a", arguments=arguments))])
    assert json.loads(spoken["content"])["calls"][0]["arguments"] == told


def test_legacy_functions_are_told_too():
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    told, _ = retold([legacy, {"role": "function", "name": "f", "content": "done"}])
    assert told[1]["content"] == "Result of f:\ndone"
    assert "function_call" not in told[0]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([ASK, result("gone")], "messages[1].tool_call_id"),
        ([ASK, {"role": "function", "name": "f", "content": ""}], "messages[1].name"),
        ([turn({"id": "a", "type": "custom"})], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "content": None, "tool_calls": {"a": 1}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "content": None, "function_call": {"arguments": ""}}], "messages[0].function_call"),
    ],
)
def test_half_a_call_can_not_be_told(messages, field):
    with pytest.raises(CannotCarry) as stop:
        retold(messages)
    assert stop.value.unsupported.field == field


def test_a_conversation_without_calls_stays_as_it_is():
    plain = [ASK, {"role": "assistant", "content": "Here"}, ASK]
    assert retold(plain) == (plain, [])
    assert not has_calls(plain)
    assert has_calls([turn(call("a"))])
    assert has_calls([result("a")])
