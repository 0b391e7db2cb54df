"""The parts of a chat.completion that decisions need, read leniently: extras are ignored, nonsense is unknown."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from routing.dialects.errors import UNREADABLE

MAX_LOGPROB = 0.001
"""A log-probability is at most 0; this much is rounding of a provider, more is not a log-probability."""


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
    images: list[Any] | None = None


class Completion(msgspec.Struct, frozen=True):
    """A reply to an unstreamed call; also every error that came with status 200."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token's log-probability; its alternatives are skipped."""

    logprob: float


_completion = msgspec.json.Decoder(Completion)


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


def checked_logprobs(tokens: Iterable[Mapping[str, Any]]) -> tuple[float, ...] | None:
    """The same for tokens in the official shape, gathered from chunks."""
    return _checked([TokenLogprob(token["logprob"]) for token in tokens])


def _checked(tokens: list[TokenLogprob] | None) -> tuple[float, ...] | None:
    if not tokens or any(token.logprob > MAX_LOGPROB for token in tokens):
        return None
    return tuple(min(token.logprob, 0.0) for token in tokens)


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


def judged_finish(reason: str, *, has_refusal: bool) -> str:
    """How it ended, for decisions: OpenAI ends a refusal with `stop`, others with content_filter, which it is."""
    if reason == "function_call":
        return "tool_calls"
    return "content_filter" if has_refusal and reason == "stop" else reason


def is_present(raw: msgspec.Raw) -> bool:
    """A field kept as bytes is there and not null."""
    return bytes(raw) != b"null"
