"""Anthropic's messages requests as types (by those of the `anthropic` SDK 2.13.0); unknown keys are refused."""

from typing import Any, Literal

import msgspec


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object of this wire."""


class _Tagged(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """An object told apart by its `type`."""


class CacheControl(_Tagged, tag="ephemeral"):
    """A cache breakpoint."""

    ttl: Literal["5m", "1h"] = "5m"


class Base64Source(_Tagged, tag="base64"):
    """Bytes."""

    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"]
    data: str


class UrlSource(_Tagged, tag="url"):
    """An address."""

    url: str


class TextSource(_Tagged, tag="text"):
    """A plain text as document."""

    media_type: Literal["text/plain"]
    data: str


class TextBlock(_Tagged, tag="text"):
    """Words."""

    text: str
    cache_control: CacheControl | None = None
    citations: list[dict[str, Any]] | None = None


class ImageBlock(_Tagged, tag="image"):
    """An image."""

    source: Base64Source | UrlSource
    cache_control: CacheControl | None = None


class DocumentBlock(_Tagged, tag="document"):
    """A PDF or a text."""

    source: Base64Source | UrlSource | TextSource
    cache_control: CacheControl | None = None
    citations: dict[str, Any] | None = None
    context: str | None = None
    title: str | None = None


class ThinkingBlock(_Tagged, tag="thinking"):
    """The model's own thoughts, given back."""

    thinking: str
    signature: str


class RedactedBlock(_Tagged, tag="redacted_thinking"):
    """Thoughts that only the provider can read."""

    data: str


class ToolUseBlock(_Tagged, tag="tool_use"):
    """A call that the model made."""

    id: str
    name: str
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: dict[str, Any] | None = None


class ToolResultBlock(_Tagged, tag="tool_result"):
    """What a tool gave back."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None

    @property
    def text(self) -> str:
        """Its words."""
        return self.content if isinstance(self.content, str) else texts(self.content)


Block = TextBlock | ImageBlock | DocumentBlock | ThinkingBlock | RedactedBlock | ToolUseBlock | ToolResultBlock


class Message(_Strict):
    """One message."""

    role: Literal["user", "assistant"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """The content as blocks."""
        return [TextBlock(text=self.content)] if isinstance(self.content, str) else self.content


class Tool(_Strict):
    """A tool of the caller's own."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    defer_loading: bool | None = None
    input_examples: list[dict[str, Any]] | None = None
    eager_input_streaming: bool | None = None


class ToolChoice(_Strict):
    """How tools are to be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Thinking(_Strict):
    """Whether the model thinks before it answers."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(_Tagged, tag="json_schema"):
    """The answer's schema."""

    schema: dict[str, Any]


class OutputConfig(_Strict):
    """How the answer must look, and how hard to work on it."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(_Strict):
    """Who asks."""

    user_id: str | None = None


class MessagesCall(_Strict):
    """A request to `POST /v1/messages`."""

    model: str
    max_tokens: int
    messages: list[Message]
    system: str | list[TextBlock] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: CacheControl | None = None
    inference_geo: str | None = None

    @property
    def is_forced(self) -> bool:
        """A tool must be called."""
        return self.tool_choice is not None and self.tool_choice.type in {"any", "tool"}

    @property
    def thinks(self) -> bool:
        """Thoughts are asked for."""
        return self.thinking is not None and self.thinking.type != "disabled"


def texts(blocks: list[Any]) -> str:
    """The words among some blocks, joined by line breaks."""
    return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
