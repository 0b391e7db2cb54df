"""Builds what every dialect hands out: bodies of OpenAI's chat.completion and chat.completion.chunk, from parts.

The bodies validate against the official `openai` types. What goes beyond those stands under keys that they keep as
extras: `reasoning_content`, `reasoning_details` and `tool_calls[].extra_content` in a message, `provider_fields` at the
top. Tool arguments are the text that the dialect hands in, byte for byte.

>>> completion(Head("msg_1", "claude"), Said(text="Hi"), "stop", Usage(3, 1)).text
'Hi'
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Answer, Usage
from routing.dialects.base import Delta

PROVIDER_FIELDS = "provider_fields"
RAW_FINISH = "finish_reason"
"""Under `provider_fields`: the provider's own word for how it ended, where OpenAI's says less."""

_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True):
    """What stands on top of a completion and of each of its chunks."""

    id: str
    model: str
    """As the provider calls it."""
    created: int = 0
    """Epoch seconds; the wires of other makers tell none, and there is no clock here."""


class SaidCall(msgspec.Struct, frozen=True):
    """A tool call of the answer."""

    id: str
    name: str
    arguments: str
    """JSON text, as it shall reach the caller."""
    extra_content: Mapping[str, Any] | None = None
    """What has to come back with the call: `{"google": {"thought_signature": ...}}`."""

    def shown(self) -> dict[str, Any]:
        """One of `message.tool_calls`."""
        call: dict[str, Any] = {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }
        if self.extra_content:
            call["extra_content"] = self.extra_content
        return call


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of the answer with the natural log of its probability, and those that it was chosen from."""

    token: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()

    def shown(self) -> dict[str, Any]:
        """One of `choices[].logprobs.content`."""
        others = [_shown_token(token, logprob) for token, logprob in self.others]
        return {**_shown_token(self.token, self.logprob), "top_logprobs": others}


def _shown_token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def shown_logprobs(tokens: tuple[TokenLogprob, ...] | None) -> dict[str, Any] | None:
    """`choices[].logprobs`; None, as OpenAI has it, where there are none."""
    return None if tokens is None else {"content": [token.shown() for token in tokens], "refusal": None}


class Said(msgspec.Struct, frozen=True):
    """The assistant's message."""

    text: str = ""
    calls: tuple[SaidCall, ...] = ()
    refusal: str | None = None
    reasoning: str = ""
    """Thoughts in plain text: becomes `reasoning_content`; empty for none."""
    details: tuple[Mapping[str, Any], ...] = ()
    """Thoughts that must come back unchanged: becomes `reasoning_details`, in OpenRouter's form (`text_detail`)."""
    logprobs: tuple["TokenLogprob", ...] | None = None
    """Of the text, where the wire tells them: becomes the choice's `logprobs`."""

    def shown(self) -> dict[str, Any]:
        """`choices[].message`: content is null when there is no text but calls, or a refusal."""
        is_silent = not self.text and bool(self.calls or self.refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if is_silent else self.text,
            "refusal": self.refusal,
        }
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.details:
            message["reasoning_details"] = self.details
        if self.calls:
            message["tool_calls"] = [call.shown() for call in self.calls]
        return message


def text_detail(text: str, signature: str | None, form: str, index: int) -> dict[str, Any]:
    """A `reasoning_details` entry for thoughts that can be read; `form` says whose they are: `anthropic-claude-v1`."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": form, "index": index}


def encrypted_detail(data: str, form: str, index: int) -> dict[str, Any]:
    """A `reasoning_details` entry for what only its maker can read."""
    return {"type": "reasoning.encrypted", "data": data, "format": form, "index": index}


def completion(
    head: Head,
    said: Said | tuple[Said, ...],
    finish_reason: str | tuple[str, ...],
    usage: Usage | None,
    provider_fields: Mapping[str, Any] | None = None,
) -> Answer:
    """The answer with its chat.completion. A tuple of messages with a tuple of finish reasons makes several choices.

    `finish_reason` is OpenAI's: stop, length, content_filter, tool_calls.
    """
    messages = said if isinstance(said, tuple) else (said,)
    reasons = finish_reason if isinstance(finish_reason, tuple) else (finish_reason,)
    body: dict[str, Any] = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "message": message.shown(),
                "finish_reason": reason,
                "logprobs": shown_logprobs(message.logprobs),
            }
            for index, (message, reason) in enumerate(zip(messages, reasons, strict=True))
        ],
    }
    if usage is not None:
        body["usage"] = shown_usage(usage)
    if provider_fields:
        body[PROVIDER_FIELDS] = provider_fields
    return Answer(
        body=_encode(body),
        text=messages[0].text,
        finish_reason=reasons[0],
        usage=usage,
        logprobs=tuple(token.logprob for token in messages[0].logprobs) if messages[0].logprobs else None,
        has_tool_calls=bool(messages[0].calls),
        has_refusal=bool(messages[0].refusal),
    )


def shown_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`; a cache that lives an hour counts among `cache_write_tokens`, which knows one kind only."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }


def chunk(
    head: Head,
    delta: Mapping[str, Any],
    index: int = 0,
    *,
    has_content: bool = True,
    logprobs: tuple[TokenLogprob, ...] | None = None,
) -> Delta:
    """A chat.completion.chunk that adds `delta` to a choice: `{"content": "Hi"}`, `call_start(...)` and the like."""
    return _chunk(head, [_choice(index, delta, None, shown_logprobs(logprobs))], has_content=has_content)


def first_chunk(head: Head, index: int = 0) -> Delta:
    """The chunk that opens a choice: the role, and no content yet."""
    return chunk(head, {"role": "assistant", "content": ""}, index, has_content=False)


def last_chunk(head: Head, finish_reason: str, index: int = 0) -> Delta:
    """The chunk that says how a choice ended."""
    return _chunk(head, [_choice(index, {}, finish_reason)], has_content=False)


def usage_chunk(head: Head, usage: Usage) -> Delta:
    """The chunk after the last: no choices, only what was used."""
    return _chunk(head, [], {"usage": shown_usage(usage)}, has_content=False)


def call_start(place: int, call: SaidCall) -> dict[str, Any]:
    """The delta that opens tool call number `place` of the answer, with what is known of its arguments."""
    return {"tool_calls": [{"index": place, **call.shown()}]}


def call_more(place: int, arguments: str) -> dict[str, Any]:
    """The delta that adds to the arguments of a call."""
    return {"tool_calls": [{"index": place, "function": {"arguments": arguments}}]}


def _choice(index: int, delta: Mapping[str, Any], finish_reason: str | None, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}


def _chunk(
    head: Head, choices: list[dict[str, Any]], more: Mapping[str, Any] | None = None, *, has_content: bool
) -> Delta:
    body = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": choices,
        **(more or {}),
    }
    return Delta(chunk=_encode(body), has_content=has_content)
