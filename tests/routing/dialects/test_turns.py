"""Conversations as typed turns: merged, tool results in place, what is missing found, the legacy form read as tools."""

from typing import Any

import msgspec
import pytest

from jobs.chat import ChatRequest
from routing.dialects.base import Unsupported
from routing.dialects.parts import CacheMark, Reasoning, Text, ToolCall, ToolResult
from routing.dialects.turns import Conversation, read


def of(*messages: dict[str, Any]) -> Conversation | Unsupported:
    return read(ChatRequest.parse(msgspec.json.encode({"messages": messages})))


def conversation(*messages: dict[str, Any]) -> Conversation:
    read_now = of(*messages)
    assert isinstance(read_now, Conversation), read_now
    return read_now


def user(content: Any = "Hi", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def call(name: str, arguments: Any = "{}", named: str | None = None) -> dict[str, Any]:
    return {"id": named or f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(name: str, content: Any = "done", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{name}", "content": content, **more}


def texts(read_now: Conversation) -> list[tuple[str, list[str]]]:
    return [(turn.role, [part.text for part in turn.parts if isinstance(part, Text)]) for turn in read_now.turns]


def fields(read_now: Conversation) -> list[tuple[str, str]]:
    return [(adaptation.field, adaptation.action) for adaptation in read_now.adaptations]


def test_case_1_leading_instructions_keep_their_order_and_paths() -> None:
    read_now = conversation(
        {"role": "system", "content": "One."},
        {"role": "developer", "content": [{"type": "text", "text": "Two."}, {"type": "text", "text": "Three."}]},
        user(),
    )
    assert [(part.text, part.field) for part in read_now.systems] == [
        ("One.", "messages[0].content"),
        ("Two.", "messages[1].content[0]"),
        ("Three.", "messages[1].content[1]"),
    ]
    assert read_now.adaptations == ()


def test_case_2_instructions_in_mid_conversation_keep_their_place_until_folded() -> None:
    read_now = conversation(user("a"), {"role": "system", "content": "Now in French."}, user("b"))
    assert texts(read_now) == [("user", ["a"]), ("system", ["Now in French."]), ("user", ["b"])]
    folded = read_now.folded()
    assert texts(folded) == [("user", ["a", "<system>Now in French.</system>", "b"])]
    assert fields(folded) == [("messages[1].content", "changed")]


def test_without_instructions_in_mid_conversation_nothing_is_folded() -> None:
    read_now = conversation({"role": "system", "content": "s"}, user())
    assert read_now.folded() is read_now


def test_case_3_neighbours_of_one_role_become_one_turn() -> None:
    read_now = conversation(
        user("a"), user("b"), {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"}
    )
    assert texts(read_now) == [("user", ["a", "b"]), ("assistant", ["c", "d"])]
    assert read_now.adaptations == ()


def test_case_4_a_conversation_may_start_with_the_assistant() -> None:
    assert texts(conversation({"role": "assistant", "content": "Hello"}, user("Hi")))[0][0] == "assistant"


@pytest.mark.parametrize(
    ("message", "noted"),
    [
        (user(""), "messages[1]"),
        (user(" \n"), "messages[1].content"),
        (user([{"type": "text", "text": ""}]), "messages[1].content[0]"),
        ({"role": "assistant", "content": ""}, "messages[1]"),
        ({"role": "assistant"}, "messages[1]"),
        ({"role": "system", "content": " "}, "messages[1].content"),
    ],
)
def test_case_5_blank_texts_go_with_a_note(message: dict[str, Any], noted: str) -> None:
    read_now = conversation(user("a"), message)
    assert texts(read_now) == [("user", ["a"])]
    assert fields(read_now) == [(noted, "dropped")]


def test_case_6_null_and_empty_content_beside_calls_are_the_same() -> None:
    contents: list[Any] = [None, "", []]
    for content in contents:
        read_now = conversation(user(), asks(call("f"), content=content), result("f"))
        assert [type(part) for part in read_now.turns[1].parts] == [ToolCall]
        assert read_now.adaptations == ()


def test_case_8_results_stand_in_the_order_of_the_calls_and_before_the_words() -> None:
    read_now = conversation(
        user(),
        asks(call("a"), call("b"), call("c")),
        result("c", "3"),
        result("a", "1"),
        result("b", "2"),
        user("Go on"),
    )
    assert [turn.role for turn in read_now.turns] == ["user", "assistant", "user"]
    *results, words = read_now.turns[2].parts
    assert [(part.name, part.number) for part in results if isinstance(part, ToolResult)] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
    ]
    assert isinstance(words, Text)
    assert words.text == "Go on"


def test_instructions_between_parallel_results_go_behind_them() -> None:
    read_now = conversation(
        user(), asks(call("a"), call("b")), result("b"), {"role": "system", "content": "Hurry."}, result("a")
    )
    assert [turn.role for turn in read_now.turns] == ["user", "assistant", "user", "system"]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([user(), result("nobody")], "messages[1].tool_call_id"),
        ([user(), asks(call("a"), call("b")), result("a")], "messages[1].tool_calls[1]"),
        ([user(), asks(call("a"), call("b")), result("a"), user("Well?")], "messages[1].tool_calls[1]"),
        ([user(), asks(call("a")), result("a"), result("a")], "messages[3].tool_call_id"),
        ([user(), asks(call("a")), result("a"), user(), result("a")], "messages[4].tool_call_id"),
        ([user(), asks(call("a"))], "messages[1].tool_calls[0]"),
        ([user(), {"role": "function", "name": "f", "content": "1"}], "messages[1].name"),
        ([user(), asks({"id": "1", "type": "custom", "custom": {"name": "f"}})], "messages[1].tool_calls[0]"),
        ([user(), asks({"id": "", "function": {"name": "f"}})], "messages[1].tool_calls[0].id"),
        ([user(), asks({"id": "1", "function": {}})], "messages[1].tool_calls[0]"),
        ([user(), asks({"id": "1", "type": ["function"], "function": {"name": "f"}})], "messages[1].tool_calls[0]"),
        ([user(), {"role": "assistant", "tool_calls": {"id": "1"}}], "messages[1].tool_calls"),
        ([user(), {"role": "assistant", "audio": {"id": "audio_1"}}], "messages[1].audio"),
        ([user([{"type": "video_url"}])], "messages[0].content[0]"),
        ([user(["words"])], "messages[0].content[0]"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]}],
            "messages[0].content[0]",
        ),
    ],
)
def test_case_9_what_has_lost_its_other_half_is_named(messages: list[dict[str, Any]], field: str) -> None:
    refused = of(*messages)
    assert isinstance(refused, Unsupported)
    assert refused.field == field
    assert refused.reason


def test_case_10_ids_may_repeat_between_turns() -> None:
    read_now = conversation(user(), asks(call("a")), result("a"), asks(call("a")), result("a"))
    assert [part.number for part in read_now.calls] == [0, 1]
    answers = [part for turn in read_now.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert [part.number for part in answers] == [0, 1]


def test_case_12_a_result_may_tell_that_it_is_an_error() -> None:
    read_now = conversation(user(), asks(call("a"), call("b")), result("a", is_error=True), result("b"))
    told = [part.is_error for part in read_now.turns[2].parts if isinstance(part, ToolResult)]
    assert told == [True, None]


@pytest.mark.parametrize("arguments", ["", "{}", '{"a":  1.0, "b": 12345678901234567890123}', "{broken", " "])
def test_case_14_arguments_are_kept_byte_for_byte(arguments: str) -> None:
    assert conversation(user(), asks(call("f", arguments)), result("f")).calls[0].arguments == arguments


def test_arguments_sent_as_an_object_become_their_text() -> None:
    assert conversation(user(), asks(call("f", {"a": 1})), result("f")).calls[0].arguments == '{"a":1}'


def test_legacy_function_calls_read_as_tools() -> None:
    read_now = conversation(
        user(),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    )
    asked, answered = read_now.turns[1].parts[0], read_now.turns[2].parts[0]
    assert isinstance(asked, ToolCall)
    assert isinstance(answered, ToolResult)
    assert (asked.id, asked.field) == ("call_0", "messages[1].function_call")
    assert (answered.call_id, answered.number) == ("call_0", 0)
    assert read_now.adaptations == ()


def test_names_refusals_and_unknown_keys_are_noted() -> None:
    read_now = conversation(
        user("a", name="alice", mood="good"),
        {"role": "assistant", "content": None, "refusal": "No.", "annotations": []},
    )
    assert texts(read_now) == [("user", ["a"]), ("assistant", ["No."])]
    assert sorted(fields(read_now)) == [
        ("messages[0].mood", "dropped"),
        ("messages[0].name", "dropped"),
        ("messages[1].refusal", "changed"),
    ]


def test_case_31_a_mark_on_a_message_goes_to_its_last_part() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    read_now = conversation(
        {"role": "system", "content": "s", "cache_control": mark},
        user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], cache_control=mark),
    )
    assert read_now.systems[0].cache == CacheMark("messages[0].cache_control", "1h")
    first, second = read_now.turns[0].parts
    assert isinstance(first, Text)
    assert isinstance(second, Text)
    assert (first.cache, second.cache) == (None, CacheMark("messages[1].cache_control", "1h"))


def test_a_mark_that_finds_no_place_is_noted() -> None:
    mark = {"type": "ephemeral"}
    read_now = conversation(
        user("a"),
        user(" ", cache_control=mark),
        user([{"type": "text", "text": "b", "cache_control": mark}], cache_control=mark),
        user("c", cache_control={"type": "for ever"}),
    )
    assert fields(read_now) == [
        ("messages[1].content", "dropped"),
        ("messages[1].cache_control", "dropped"),
        ("messages[2].cache_control", "dropped"),
        ("messages[3].cache_control", "dropped"),
    ]


def test_case_27_thoughts_stand_before_what_was_said() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "cmVk", "format": "anthropic-claude-v1", "index": 1},
    ]
    read_now = conversation(
        user(), asks(call("f"), content="Let me see", reasoning_content="Hm.", reasoning_details=details), result("f")
    )
    assert [type(part) for part in read_now.turns[1].parts] == [Reasoning, Reasoning, Text, ToolCall]
    first, second = read_now.turns[1].parts[:2]
    assert isinstance(first, Reasoning)
    assert isinstance(second, Reasoning)
    assert (first.kind, first.text, first.signature) == ("text", "Hm.", "c2ln")
    assert (second.kind, second.data) == ("encrypted", "cmVk")
    assert read_now.adaptations == ()
