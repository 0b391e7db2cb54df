"""The parts of a chat.completion that decisions need, read leniently: extras are ignored, nonsense is unknown."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from jobs.chat import Usage
from routing.dialects.errors import UNREADABLE

MAX_TOKENS = 2_000_000_000
"""More than any call can hold; a larger count is nonsense and would not fit the ledger's integers."""
MAX_LOGPROB = 0.001
"""A log-probability is at most 0; this much is rounding of a provider, more is not a log-probability."""

OFFICIAL_FINISH = frozenset({"stop", "length", "content_filter", "tool_calls"})
_FINISH = {"function_call": "tool_calls", "model_length": "length", "max_tokens": "length", "refusal": "content_filter"}


class Choice(msgspec.Struct, frozen=True):
    """One of the `n` answers; `logprobs` stays bytes, because providers put anything there."""

    message: "Message | None" = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


class Message(msgspec.Struct, frozen=True):
    """The assistant's message."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw = msgspec.Raw(b"null")
    audio: msgspec.Raw = msgspec.Raw(b"null")


class Completion(msgspec.Struct, frozen=True):
    """A reply to an unstreamed call; also every error that came with status 200."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token's log-probability; its alternatives are skipped."""

    logprob: float


_completion = msgspec.json.Decoder(Completion)
_tokens = msgspec.json.Decoder(list[TokenLogprob])


class LogprobParts(msgspec.Struct, frozen=True):
    """`choices[].logprobs` with its tokens as bytes, so that chunks can be joined without reading them."""

    content: list[msgspec.Raw] | None = None
    refusal: list[msgspec.Raw] | None = None


class _Logprobs(msgspec.Struct, frozen=True):
    content: list[TokenLogprob] | None = None


_logprobs = msgspec.json.Decoder(_Logprobs)


def read_completion(body: bytes) -> Completion:
    """Raises one of UNREADABLE when the body is not an object of this shape in UTF-8."""
    # msgspec does not check the UTF-8 of fields that it skips, and these bytes are handed out later as JSON.
    body.decode()
    return _completion.decode(body)


def token_logprobs(logprobs: bytes | msgspec.Raw) -> tuple[float, ...] | None:
    """Natural logs of the answer's tokens; None when there are none, or they are in some other vendor's shape."""
    try:
        tokens = _logprobs.decode(logprobs).content
    except UNREADABLE:
        return None  # also for `null`
    return _checked(tokens)


def joined_logprobs(tokens: list[msgspec.Raw]) -> tuple[float, ...] | None:
    """The same for tokens gathered from chunks."""
    try:
        return _checked(_tokens.decode(msgspec.json.encode(tokens)))
    except UNREADABLE:
        return None


def _checked(tokens: list[TokenLogprob] | None) -> tuple[float, ...] | None:
    if not tokens or any(token.logprob > MAX_LOGPROB for token in tokens):
        return None
    return tuple(min(token.logprob, 0.0) for token in tokens)


CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("num_cached_tokens",),  # Mistral
    ("cached_tokens",),  # Moonshot
)
CACHE_WRITES = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_input_tokens"),  # Qwen
    ("cache_creation_input_tokens",),
)
REASONING = (("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",))
AUDIO_INPUT = (("prompt_tokens_details", "audio_tokens"),)
AUDIO_OUTPUT = (("completion_tokens_details", "audio_tokens"),)


def read_usage(usage: Any) -> Usage | None:
    """Tokens as billed; None when missing, negative, or no whole numbers.

    Output is what the total leaves beside the prompt when that is more than `completion_tokens`: some providers (Google
    behind its OpenAI face, xAI) bill reasoning tokens that they count in the total only.
    """
    if not isinstance(usage, Mapping):
        return None
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(prompt) or not _is_count(output):
        return None
    total = usage.get("total_tokens")
    hidden = max(total - prompt - output, 0) if _is_count(total) else 0
    output += hidden
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=_kind(usage, CACHED, prompt),
        cache_write_tokens=_kind(usage, CACHE_WRITES, prompt),
        reasoning_tokens=max(_kind(usage, REASONING, output), hidden),
        audio_input_tokens=_kind(usage, AUDIO_INPUT, prompt),
        audio_output_tokens=_kind(usage, AUDIO_OUTPUT, output),
    )


def _kind(usage: Mapping[str, Any], places: tuple[tuple[str, ...], ...], most: int) -> int:
    """One kind of tokens from the first place that tells it; at most what it is a part of."""
    for outer, *inner in places:
        count = usage.get(outer)
        if inner and count is not None:
            count = count.get(inner[0]) if isinstance(count, Mapping) else None
        if _is_count(count):
            return min(count, most)
    return 0


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS


def text_of(content: str | list[Any] | None) -> str:
    """Plain text of a content that may be a list of parts; parts that are no text (thinking, images) are left out."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def split_content(content: Any) -> tuple[str | None, str]:
    """Text, and the thoughts of Mistral's `thinking` parts, of a content that may be a list."""
    if isinstance(content, str) or not isinstance(content, list):
        return (content if isinstance(content, str) else None), ""
    thinking = [
        part.get("thinking") for part in content if isinstance(part, Mapping) and part.get("type") == "thinking"
    ]
    return text_of(content), "".join(text_of(part) for part in thinking if isinstance(part, list | str))


def official_finish(reason: str) -> str:
    """OpenAI's word for a finish reason. An unknown one counts as `stop`: the model did end, and the body keeps it."""
    return reason if reason in OFFICIAL_FINISH else _FINISH.get(reason, "stop")


def judged_finish(reason: str, *, has_refusal: bool) -> str:
    """How it ended, for decisions: OpenAI ends a refusal with `stop`, others with content_filter, which it is."""
    return "content_filter" if has_refusal and reason == "stop" else reason


def is_present(raw: msgspec.Raw) -> bool:
    """A field kept as bytes is there and not null."""
    return bytes(raw) != b"null"
