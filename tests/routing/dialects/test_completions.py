"""What is handed out validates against OpenAI's own types, and holds the parts as they were given."""

from typing import Any

import msgspec
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jobs.chat import Usage
from routing.dialects.base import Delta
from routing.dialects.completions import (
    Head,
    Said,
    SaidCall,
    call_more,
    call_start,
    chunk,
    completion,
    encrypted_detail,
    first_chunk,
    last_chunk,
    text_detail,
    usage_chunk,
)

HEAD = Head("msg_1", "claude")
ARGUMENTS = '{"a":  1.0, "b": 12345678901234567890123, "c": "\\u00e9"}'
USAGE = Usage(100, 20, cached_tokens=40, cache_write_tokens=7, cache_write_1h_tokens=3, reasoning_tokens=11)


def shown(body: bytes) -> dict[str, Any]:
    ChatCompletion.model_validate_json(body, strict=True)
    parsed: dict[str, Any] = msgspec.json.decode(body)
    return parsed


def shown_chunk(delta: Delta) -> dict[str, Any]:
    ChatCompletionChunk.model_validate_json(delta.chunk, strict=True)
    parsed: dict[str, Any] = msgspec.json.decode(delta.chunk)
    return parsed


def test_a_plain_answer() -> None:
    answer = completion(HEAD, Said(text="Hi"), "stop", USAGE)
    body = shown(answer.body)
    assert (answer.text, answer.finish_reason, answer.usage, answer.logprobs) == ("Hi", "stop", USAGE, None)
    assert not answer.has_tool_calls
    assert not answer.has_refusal
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


def test_calls_thoughts_and_what_must_come_back() -> None:
    said = Said(
        calls=(SaidCall("call_1", "f", ARGUMENTS, {"google": {"thought_signature": "c2ln"}}), SaidCall("2", "g", "")),
        reasoning="Hm.",
        details=(text_detail("Hm.", "c2ln", "anthropic-claude-v1", 0), encrypted_detail("ZGF0", "x-v1", 1)),
    )
    answer = completion(HEAD, said, "tool_calls", None, {"finish_reason": "tool_use"})
    body = shown(answer.body)
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == [ARGUMENTS, ""]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert "extra_content" not in message["tool_calls"][1]
    assert message["reasoning_content"] == "Hm."
    assert [detail["type"] for detail in message["reasoning_details"]] == ["reasoning.text", "reasoning.encrypted"]
    assert body["provider_fields"] == {"finish_reason": "tool_use"}
    assert "usage" not in body
    assert answer.has_tool_calls


def test_an_empty_answer_has_empty_content_and_a_refusal_none() -> None:
    assert shown(completion(HEAD, Said(), "stop", None).body)["choices"][0]["message"]["content"] == ""
    refused = completion(HEAD, Said(refusal="No."), "content_filter", None)
    assert shown(refused.body)["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "No."}
    assert refused.has_refusal


def test_several_choices() -> None:
    body = shown(completion(HEAD, (Said(text="a"), Said(text="b")), ("stop", "length"), None).body)
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [(0, "a"), (1, "b")]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]


def test_chunks() -> None:
    deltas = [
        first_chunk(HEAD),
        chunk(HEAD, {"content": "Hi"}),
        chunk(HEAD, {"reasoning_content": "Hm."}),
        chunk(HEAD, call_start(0, SaidCall("1", "f", ""))),
        chunk(HEAD, call_more(0, '{"a":')),
        last_chunk(HEAD, "tool_calls"),
        usage_chunk(HEAD, USAGE),
    ]
    bodies = [shown_chunk(delta) for delta in deltas]
    assert [delta.has_content for delta in deltas] == [False, True, True, True, True, False, False]
    assert bodies[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert bodies[3]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert bodies[4]["choices"][0]["delta"]["tool_calls"][0] == {"index": 0, "function": {"arguments": '{"a":'}}
    assert bodies[5]["choices"][0]["finish_reason"] == "tool_calls"
    assert bodies[6]["choices"] == []
    assert bodies[6]["usage"]["total_tokens"] == 120
