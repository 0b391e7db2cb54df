"""Whether bytes already are what the official types allow: then they are handed out as they came.

Strict twins of `ChatCompletion` and `ChatCompletionChunk` (openai 3.54) plus the keys of our own contract. Reading
costs a few microseconds; what does not pass goes through `openai_clean`.
"""

from typing import Any, Literal

import msgspec
from msgspec.structs import astuple

from routing.dialects.errors import UNREADABLE

PROVIDER_FIELDS = "provider_fields"
"""Holds what a provider says beyond the official types, on top of a completion and of the last chunk of a stream."""
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})

Finish = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]
_NULL = msgspec.Raw(b"null")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base: another key is a fault."""


class PromptDetails(_Strict, frozen=True):
    """`usage.prompt_tokens_details`."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None


class CompletionDetails(_Strict, frozen=True):
    """`usage.completion_tokens_details`."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


class OfficialUsage(_Strict, frozen=True):
    """`usage`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class _Function(_Strict, frozen=True):
    name: str
    arguments: str


class _Call(_Strict, frozen=True):
    id: str
    type: Literal["function"]
    function: _Function
    extra_content: msgspec.Raw = _NULL


class _Citation(_Strict, frozen=True):
    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(_Strict, frozen=True):
    """One of `message.annotations`."""

    type: Literal["url_citation"]
    url_citation: _Citation


class Audio(_Strict, frozen=True):
    """`message.audio`."""

    id: str
    data: str
    expires_at: int
    transcript: str


class _ImageUrl(_Strict, frozen=True):
    url: str


class _Image(_Strict, frozen=True):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _Message(_Strict, frozen=True):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[Annotation] | None = None
    audio: Audio | None = None
    images: list[_Image] | None = None
    function_call: _Function | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    reasoning_details: list[msgspec.Raw] | None = None


class Token(_Strict, frozen=True):
    """One of `logprobs.content`."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list["Alternative"]


class Alternative(_Strict, frozen=True):
    """One of `top_logprobs`."""

    token: str
    logprob: float
    bytes: list[int] | None


class _Logprobs(_Strict, frozen=True):
    content: list[Token] | None = None
    refusal: list[Token] | None = None


class _Choice(_Strict, frozen=True):
    index: int
    finish_reason: Finish
    message: _Message
    logprobs: _Logprobs | None


class _Head(_Strict, frozen=True, kw_only=True):
    id: str
    created: int
    model: str
    service_tier: Tier | None = None
    system_fingerprint: str | None = None
    usage: OfficialUsage | None = None
    moderation: msgspec.Raw = _NULL


class OfficialCompletion(_Head, frozen=True, kw_only=True):
    """A chat.completion."""

    object: Literal["chat.completion"]
    choices: list[_Choice]
    metadata: msgspec.Raw = _NULL


class _FunctionPiece(_Strict, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _CallPiece(_Strict, frozen=True):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: _FunctionPiece | None = None
    extra_content: msgspec.Raw = _NULL


class _Piece(_Strict, frozen=True):
    role: Literal["developer", "system", "user", "assistant", "tool"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallPiece] | None = None
    function_call: _FunctionPiece | None = None
    reasoning_content: str | None = None
    reasoning_details: list[msgspec.Raw] | None = None


class _ChoicePiece(_Strict, frozen=True):
    index: int
    delta: _Piece
    finish_reason: Finish | None = None
    logprobs: _Logprobs | None = None


class _Chunk(_Head, frozen=True, kw_only=True):
    object: Literal["chat.completion.chunk"]
    choices: list[_ChoicePiece]
    obfuscation: str | None = None


_completion = msgspec.json.Decoder(OfficialCompletion)
_chunk = msgspec.json.Decoder(_Chunk)


def read_official(body: bytes) -> OfficialCompletion | None:
    """The body, if it is a chat.completion of the official types whose counts add up; else None."""
    try:
        found = _completion.decode(body)
    except UNREADABLE:
        return None
    return found if found.usage is None or _adds_up(found.usage) else None


def _adds_up(usage: OfficialUsage) -> bool:
    """Whether the counts are OpenAI's own way of counting (`openai_usage.WAYS`), and so the ledger's."""
    read, made = usage.prompt_tokens, usage.completion_tokens
    parts, said = usage.prompt_tokens_details or _NO_PARTS, usage.completion_tokens_details or _NOTHING_SAID
    told = [count for part in (parts, said) for count in astuple(part) if count is not None]
    return (
        read > 0
        and min(made, *told, 0) == 0
        and usage.total_tokens == read + made
        and (parts.cached_tokens or 0) + (parts.cache_write_tokens or 0) <= read
        and (parts.audio_tokens or 0) + (parts.image_tokens or 0) <= read
        and (said.reasoning_tokens or 0) <= made
        and (said.audio_tokens or 0) <= made
    )


_NO_PARTS, _NOTHING_SAID = PromptDetails(), CompletionDetails()


def fits(part: Any, kind: Any) -> bool:
    """Whether a part is what the type says."""
    try:
        msgspec.convert(part, kind)
    except msgspec.ValidationError:
        return False
    return True


def is_official_chunk(chunk: bytes) -> bool:
    """Whether the bytes are a chat.completion.chunk of the official types."""
    try:
        _chunk.decode(chunk)
    except UNREADABLE:
        return False
    return True
