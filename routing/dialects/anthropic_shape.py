"""The parts of an Anthropic message that decisions need, read leniently: extras are ignored, nonsense is unknown."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from jobs.chat import Usage
from routing.dialects.anthropic_blocks import THOUGHTS
from routing.dialects.anthropic_tools import ANSWER_TOOL
from routing.dialects.completions import RAW_FINISH, Said, SaidCall, encrypted_detail, text_detail
from routing.dialects.names import unescaped

MAX_TOKENS = 2_000_000_000
"""More than any call can hold; a larger count is nonsense and would not fit the ledger's integers."""

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""OpenAI's word for each of the SDK's `StopReason`; an unknown one counts as `stop`, and its word is kept."""
_SAYS_ALL = frozenset({"end_turn", "max_tokens", "tool_use", "refusal"})
"""Reasons that OpenAI's word tells in full."""


class ContentBlock(msgspec.Struct, frozen=True):
    """A block of the answer, of any type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class StopDetails(msgspec.Struct, frozen=True):
    """Why the model refused."""

    category: str | None = None
    explanation: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A whole reply, or the head of a streamed one."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[ContentBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_message = msgspec.json.Decoder(Message)


def read_message(body: bytes) -> Message:
    """Raises one of `errors.UNREADABLE` when the body is no message in UTF-8."""
    body.decode()  # msgspec does not check the UTF-8 of fields that it skips
    return _message.decode(body)


def read_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    """Tokens as billed; None when missing, negative, or no whole numbers.

    Anthropic's `input_tokens` leave out what was read from or written to a cache, so the three are summed; what was
    written is split by how long it lives where the reply says so.
    """
    if usage is None:
        return None
    counts = [usage.get(key) for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    fresh, cached, written = (0 if count is None else count for count in counts)
    output = usage.get("output_tokens")
    if counts[0] is None or not all(_is_count(count) for count in (fresh, cached, written, output)):
        return None
    long = min(_detail(usage, "cache_creation", "ephemeral_1h_input_tokens"), written)
    return Usage(
        input_tokens=fresh + cached + written,
        output_tokens=output or 0,
        cached_tokens=cached,
        cache_write_tokens=written - long,
        cache_write_1h_tokens=long,
        reasoning_tokens=min(_detail(usage, "output_tokens_details", "thinking_tokens"), output or 0),
    )


def _detail(usage: Mapping[str, Any], group: str, key: str) -> int:
    inner = usage.get(group)
    count = inner.get(key) if isinstance(inner, Mapping) else None
    return count if _is_count(count) else 0


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS


def said(blocks: list[ContentBlock], refusal: str | None) -> Said:
    """The message that blocks make: texts joined, thoughts, calls; the answer tool's arguments are the text."""
    texts: list[str] = []
    calls: list[SaidCall] = []
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    for block in blocks:
        match block.type:
            case "text":
                texts.append(block.text or "")
            case "tool_use" if block.name == ANSWER_TOOL:
                texts = [bytes(block.input).decode()]
            case "tool_use":
                calls.append(call_of(block))
            case "thinking":
                thoughts.append(block.thinking or "")
                details.append(text_detail(block.thinking or "", block.signature, THOUGHTS, len(details)))
            case "redacted_thinking":
                details.append(encrypted_detail(block.data or "", THOUGHTS, len(details)))
    return Said("".join(texts), tuple(calls), refusal, "".join(thoughts), tuple(details))


def call_of(block: ContentBlock) -> SaidCall:
    """A tool call with the arguments as the provider's bytes have them and the name as the caller gave it."""
    return SaidCall(block.id or "", unescaped(block.name or ""), bytes(block.input).decode())


def finish_of(message: Message, said_now: Said) -> str:
    """OpenAI's finish reason. A call of the answer tool alone is an answer, so it ends with `stop`."""
    finish = FINISH.get(message.stop_reason or "", "stop")
    return "stop" if finish == "tool_calls" and not said_now.calls else finish


def kept_fields(message: Message) -> dict[str, Any]:
    """For `provider_fields`: what OpenAI's words leave unsaid."""
    fields: dict[str, Any] = {}
    if message.stop_reason not in _SAYS_ALL:
        fields[RAW_FINISH] = message.stop_reason
    if message.stop_sequence is not None:
        fields["stop_sequence"] = message.stop_sequence
    if message.stop_details is not None and message.stop_details.category is not None:
        fields["refusal_category"] = message.stop_details.category
    used = (message.usage or {}).get("server_tool_use")
    if isinstance(used, Mapping) and any(used.values()):
        fields["server_tool_use"] = used
    tier = (message.usage or {}).get("service_tier")
    if isinstance(tier, str) and tier != "standard":
        fields["service_tier"] = tier
    return fields
