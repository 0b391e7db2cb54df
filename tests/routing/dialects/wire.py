"""Bodies and streams in a provider's shape, written by hand, and the official types that judge ours."""

import json
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jobs.chat import Answer
from jobs.failures import Failure
from routing.dialects.openai import OpenAIDialect

USAGE = {"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 50}
LOGPROBS: dict[str, Any] = {
    "content": [
        {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []},
        {
            "token": "!",
            "logprob": -1.5,
            "bytes": [33],
            "top_logprobs": [{"token": "!", "logprob": -1.5, "bytes": [33]}],
        },
    ],
    "refusal": None,
}


def completion(**changes: Any) -> dict[str, Any]:
    """A chat.completion; `message` and `choice` are merged in, the rest replaces top-level fields."""
    message = {"role": "assistant", "content": "Hi!", "refusal": None, **changes.pop("message", {})}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **changes.pop("choice", {})}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "gpt-4o-2024-08-06"}
    return {**head, "choices": [choice], "usage": USAGE, **changes}


def chunk(delta: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A chat.completion.chunk with one choice, or none when `delta` is None."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "gpt-4o"}
    choice = {"index": 0, "delta": delta, "finish_reason": None, **changes.pop("choice", {})}
    return {**head, "choices": [] if delta is None else [choice], **changes}


def sse(*chunks: dict[str, Any], done: bool = True, end: str = "\n\n") -> bytes:
    """The chunks as events, `[DONE]` behind them."""
    events = [json.dumps(piece, ensure_ascii=False) for piece in chunks]
    return "".join(f"data: {event}{end}" for event in [*events, *(["[DONE]"] if done else [])]).encode()


def streamed(*pieces: bytes) -> Answer | Failure:
    """What a fresh decoder makes of a stream."""
    decoder = OpenAIDialect().decode_stream()
    for piece in pieces:
        list(decoder.feed(piece))
    return decoder.finish()


def answered(*pieces: bytes) -> Answer:
    """The same for a stream that must succeed; its body must please the official types."""
    answer = streamed(*pieces)
    assert isinstance(answer, Answer), answer
    official(answer.body)
    return answer


def official(body: bytes) -> ChatCompletion:
    """The body as the official SDK reads it, strictly."""
    parsed = json.loads(body)
    for choice in parsed["choices"]:
        assert {"logprobs", "finish_reason"} <= choice.keys()
        assert {"content", "refusal"} <= choice["message"].keys()
    return ChatCompletion.model_validate(parsed, strict=True)


def official_chunk(body: bytes) -> ChatCompletionChunk:
    """One chunk as the official SDK reads it."""
    return ChatCompletionChunk.model_validate_json(body, strict=True)
