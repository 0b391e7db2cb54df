"""The chunks that are written say the answer that is stored, each name, id, role and ending once."""

from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jobs.chat import Usage
from routing.dialects.base import Delta
from routing.dialects.completions import encrypted_detail, shown_usage, text_detail
from routing.dialects.stream_writer import MOST_CALLS, MOST_CHOICES, StreamWriter, TooMany
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.written import HEAD, answer, writer

ARGUMENTS = '{"a":  1.0, "b": 12345678901234567890123, "c": "\\u00e9"}'
USAGE = Usage(100, 20, cached_tokens=40, cache_write_tokens=7, cache_write_1h_tokens=3, reasoning_tokens=11)


def shown(body: bytes) -> dict[str, Any]:
    ChatCompletion.model_validate_json(body, strict=True)
    parsed: dict[str, Any] = msgspec.json.decode(body)
    return parsed


def chunks(deltas: list[Delta]) -> list[dict[str, Any]]:
    for delta in deltas:
        ChatCompletionChunk.model_validate_json(delta.chunk, strict=True)
    return [msgspec.json.decode(delta.chunk) for delta in deltas]


def test_a_plain_answer():
    told = answer("Hi", usage=USAGE)
    body = shown(told.body)
    assert (told.text, told.finish_reason, told.usage, told.logprobs) == ("Hi", "stop", USAGE, None)
    assert not told.has_tool_calls
    assert not told.has_refusal
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]
    assert body["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 11, "audio_tokens": 0},
    }


def test_calls_thoughts_and_what_must_come_back():
    made = writer("", end="tool_calls")
    choice = made.choices[0]
    choice.open_call().piece("call_1", "f", ARGUMENTS, {"google": {"thought_signature": "c2ln"}})
    choice.open_call().piece("2", "g", "")
    choice.say("reasoning_content", "Hm.")
    details = [text_detail("Hm.", "c2ln", "anthropic-claude-v1", 0), encrypted_detail("ZGF0", "x-v1", 1)]
    choice.keep("reasoning_details", details)
    made.note({"finish_reason": "tool_use"})
    told = made.answer(None, None, is_odd=False)
    body = shown(told.body)
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == [ARGUMENTS, ""]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert "extra_content" not in message["tool_calls"][1]
    assert message["reasoning_content"] == "Hm."
    assert message["reasoning_details"] == details
    assert body["provider_fields"] == {"finish_reason": "tool_use"}
    assert "usage" not in body
    assert told.has_tool_calls


def test_several_choices():
    body = shown(answer("a", "b").body)
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [(0, "a"), (1, "b")]


def everything() -> tuple[StreamWriter, list[Delta]]:
    """A stream with a bit of everything, its second choice first."""
    made = StreamWriter()
    made.head = {**HEAD, "system_fingerprint": "fp", "service_tier": "default"}
    second, first = made.choice(1), made.choices[0]
    deltas = made.write(second, second.say("content", "b"), has_content=True)
    deltas += made.write(first, first.say("reasoning_content", "Hm."), has_content=True)
    first.keep("reasoning_details", [text_detail("Hm.", "c2ln", "anthropic-claude-v1", 0)])
    token = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    first.tokens["content"] = [token]
    tokens = {"content": [token], "refusal": None}
    deltas += made.write(first, first.say("content", "a"), tokens, has_content=True)
    cited = {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}
    first.keep("annotations", [{"type": "url_citation", "url_citation": cited}])
    first.keep("images", [{"type": "image_url", "image_url": {"url": "data:,"}}])
    call, nameless = first.open_call(), first.open_call()
    for piece in (call.piece("c1", "f", "{"), call.piece("c1", "f", "}"), nameless.piece("", "g", "{}")):
        deltas += made.write(first, {"tool_calls": [piece]}, has_content=True)
    for part in ({"id": "s", "data": "AA"}, {"id": "s", "data": "BB", "expires_at": 5}, {"transcript": "", "id": "s"}):
        deltas += made.write(first, first.hear(part), has_content=True)
    first.end, second.end = "tool_calls", "length"
    return made, deltas


def test_the_chunks_add_up_to_the_stored_answer():
    made, deltas = everything()
    deltas += made.closing(shown_usage(USAGE))
    stored = shown(made.answer(USAGE, shown_usage(USAGE), is_odd=False).body)
    assert added_up(deltas) == normal(stored)


def test_roles_ids_names_and_endings_are_told_once():
    made, deltas = everything()
    told = chunks([*deltas, *made.closing(shown_usage(USAGE))])
    pieces = [choice for chunk in told for choice in chunk["choices"]]
    assert [piece["index"] for piece in pieces if "role" in piece["delta"]] == [0, 1]
    calls = [call for piece in pieces for call in piece["delta"].get("tool_calls", ())]
    assert [call["id"] for call in calls if "id" in call] == ["c1", "call_1"]
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["f", "g"]
    assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == ["tool_calls", "length"]
    assert [chunk["usage"]["total_tokens"] for chunk in told if chunk.get("usage")] == [120]
    assert told[-1]["choices"] == []
    heads = {(chunk["id"], chunk["model"], chunk["system_fingerprint"], chunk["service_tier"]) for chunk in told}
    assert heads == {("msg_1", "claude", "fp", "default")}


def test_more_choices_or_calls_than_clients_take_are_refused():
    made = StreamWriter()
    for index in (-1, MOST_CHOICES):
        with pytest.raises(TooMany):
            made.choice(index)
    choice = made.choice(0)
    for _ in range(MOST_CALLS):
        choice.open_call()
    with pytest.raises(TooMany):
        choice.open_call()


def test_what_is_noted_twice_stands_once_and_lists_get_what_is_new():
    made = StreamWriter()
    made.note({"citations": ["a", "b"], "choices": {"0": {"x": 1}}, "cost": 1})
    made.note({"citations": ["b", "c"], "choices": {"0": {"y": 2}}, "cost": 2, "nothing": None})
    assert made.extras == {"citations": ["a", "b", "c"], "choices": {"0": {"x": 1, "y": 2}}, "cost": 2}
    long = list(range(150))
    made.note({"citations": long})
    made.note({"citations": long})
    assert made.extras["citations"] == long
