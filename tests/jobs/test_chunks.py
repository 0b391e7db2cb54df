"""A stored answer cut into chunks is whole again in the official client's hands; usage is told to who asked."""

from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jobs.chunks import UsageTeller, chunks_of

CALLS = [
    {"id": f"call_{n}", "type": "function", "function": {"name": "look", "arguments": '{ "a":1.50}'}} for n in (1, 2)
]
LOGPROBS = {"content": [{"token": "hi", "logprob": -0.25, "bytes": [104, 105], "top_logprobs": []}], "refusal": None}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "assistant", "content": "hi \u2028 \U0001f682", "refusal": None},
    {"role": "assistant", "content": "", "refusal": None},
    {"role": "assistant", "content": None, "refusal": "no"},
    {"role": "assistant", "content": None, "refusal": None, "tool_calls": CALLS},
    {"role": "assistant", "content": "and", "refusal": None, "tool_calls": CALLS[:1], "reasoning_content": "hm"},
]


def answer(*messages: dict[str, Any], **more: Any) -> bytes:
    choices = [
        {"index": index, "message": message, "finish_reason": "stop", "logprobs": LOGPROBS if index else None}
        for index, message in enumerate(messages)
    ]
    head = {"id": "c-1", "object": "chat.completion", "created": 7, "model": "m", "system_fingerprint": "fp"}
    return msgspec.json.encode(head | {"choices": choices} | more)


def together(chunks: list[bytes]) -> ChatCompletion:
    """What the official client makes of a stream."""
    state: Any = ChatCompletionStreamState()
    for chunk in chunks:
        parsed = ChatCompletionChunk.model_validate_json(chunk)
        state.handle_chunk(parsed)
    whole: ChatCompletion = state.current_completion_snapshot
    return whole


@pytest.mark.parametrize("message", MESSAGES)
def test_the_chunks_of_an_answer_make_it_whole_again(message: dict[str, Any]):
    body = answer(message, MESSAGES[0], usage=USAGE)
    whole, stored = together(chunks_of(body)), ChatCompletion.model_validate_json(body)
    assert whole.usage == stored.usage
    for one, other in zip(whole.choices, stored.choices, strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.logprobs == other.logprobs
        assert one.message.content == other.message.content
        assert one.message.refusal == other.message.refusal
        told = [
            call.model_dump(exclude={"index": True, "function": {"parsed_arguments"}})
            for call in one.message.tool_calls or ()
        ]
        assert told == [call.model_dump() for call in other.message.tool_calls or ()]


def test_the_same_answer_has_the_same_chunks_and_an_odd_one_has_some():
    body = answer(*MESSAGES)
    assert chunks_of(body) == chunks_of(body)
    assert chunks_of(b"{}") == []
    assert len(chunks_of(b'{"choices": [{}]}')) == 2


def chunk(**more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": '"usage"'}, "finish_reason": None}
    return msgspec.json.encode({"id": "c-1", "object": "chat.completion.chunk", "choices": [choice]} | more)


STREAMS: dict[str, list[bytes]] = {
    "in a chunk of its own": [chunk(), chunk(usage=None), chunk(choices=[], usage=USAGE)],
    "beside the finish": [chunk(), chunk(), chunk(usage=USAGE)],
    "in each chunk": [chunk(usage=USAGE | {"completion_tokens": n}) for n in range(3)] + [chunk(usage=USAGE)],
}


@pytest.mark.parametrize("sent", STREAMS.values(), ids=STREAMS.keys())
def test_usage_is_told_as_openai_tells_it_wherever_the_provider_put_it(sent: list[bytes]):
    asked, plain = UsageTeller(is_asked=True), UsageTeller(is_asked=False)
    told = [msgspec.json.decode(one) for raw in sent if (one := asked.show(raw)) is not None]
    assert told
    assert all(each["choices"] and each["usage"] is None for each in told)
    assert msgspec.json.decode(asked.last() or b"") == {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": USAGE,
    }
    shown = [msgspec.json.decode(one) for raw in sent if (one := plain.show(raw)) is not None]
    assert [{**each, "usage": None} for each in shown] == told
    assert all("usage" not in each for each in shown)
    assert plain.last() is None


def test_an_unknown_usage_is_not_told():
    teller = UsageTeller(is_asked=True)
    teller.show(chunk())
    assert teller.last() is None
