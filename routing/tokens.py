"""Estimates the tokens of a request without a tokenizer: cheap, the same for every model, and known to be rough."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import ChatRequest

BYTES_PER_TOKEN = 4
"""OpenAI's rule of thumb for English ("What are tokens": about 4 characters). Counted in UTF-8 bytes instead, it
also holds for scripts whose characters take three bytes and about one token."""
BYTES_PER_TOKEN_AT_LEAST = 2
"""For the bound: digits, code and dense scripts stay above it; only random bytes go below."""
MESSAGE_TOKENS = 8
"""Role and separators of one message; chat templates take 3 to 7."""
IMAGE_TOKENS = 1_500
"""Flat, above the dearest image of OpenAI's tile scheme: 85 + 170 for each of at most 8 tiles."""
SCALAR_BYTES = 8
"""A number, true or false inside a schema, with its comma."""
SCHEMA_FIELDS = ("tools", "functions", "response_format")
"""Parts of the body beside the messages that a provider puts in front of the model."""


HIGH_SHARE = 1.2
"""Nine of ten prompts stay below so much of what was expected: dense scripts and JSON come to 3.3 bytes a token."""


class InputEstimate(msgspec.Struct, frozen=True):
    """What a request will be billed as input, in tokens."""

    tokens: int
    """What to expect."""
    bound_tokens: int
    """What it will not exceed for natural text and code. A weakness: random bytes can; the ledger then says so."""
    has_images: bool

    @property
    def high_tokens(self) -> int:
        """What nine of ten prompts like this stay below: what a window is measured by."""
        return min(self.bound_tokens, round(self.tokens * HIGH_SHARE))


def estimate(request: ChatRequest) -> InputEstimate:
    """Tokens of the messages, tool definitions and answer schema. Never raises.

    >>> estimate(ChatRequest.parse(b'{"messages": [{"role": "user", "content": "hi there"}]}')).tokens
    10
    """
    text_bytes = images = 0
    messages = request.messages
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            text_bytes += _size(content)
        elif isinstance(content, list):
            images += sum(map(_is_image, content))
            text_bytes += sum(_part_size(part) for part in content)
        if "tool_calls" in message:
            text_bytes += text_size(message["tool_calls"])
    for field in SCHEMA_FIELDS:
        if field in request.body:
            text_bytes += text_size(request.body[field])
    flat = MESSAGE_TOKENS * len(messages) + IMAGE_TOKENS * images
    return InputEstimate(
        tokens=flat + -(-text_bytes // BYTES_PER_TOKEN),
        bound_tokens=flat + -(-text_bytes // BYTES_PER_TOKEN_AT_LEAST),
        has_images=images > 0,
    )


def high_tokens(request: ChatRequest) -> int:
    """What nine of ten prompts like this stay below."""
    return estimate(request).high_tokens


def text_size(value: Any) -> int:
    """UTF-8 bytes of all the text in a JSON value, keys included. Walks without recursion, so depth cannot hurt."""
    total = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += _size(item)
        elif isinstance(item, Mapping):
            total += sum(map(_size, item))
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif item is not None:
            total += SCALAR_BYTES
    return total


def _is_image(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ("image_url", "input_image")


def _part_size(part: object) -> int:
    """A content part: its text alone when it is text, nothing for an image, else everything in it."""
    if _is_image(part):
        return 0
    text = part.get("text") if isinstance(part, dict) else None
    return _size(text) if isinstance(text, str) else text_size(part)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
