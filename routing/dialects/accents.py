"""What an accent is: how one provider's chat completions differ from OpenAI's own, as facts and not as branches."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

CORE = frozenset(
    {
        "model",
        "messages",
        "stream",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
    }
)
"""Fields that every accent takes, in one form or another."""

OFFICIAL = CORE | {
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "stream_options",
    "top_logprobs",
    "user",
    "verbosity",
    "web_search_options",
}
"""The body as OpenAI's own types have it (openai 3.54, `CompletionCreateParams`)."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Words of `reasoning_effort`, rising."""


class Accent(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of the wire. Defaults are what a provider does of whom nothing else is known."""

    source: str
    """Where the facts come from."""
    as_of: dt.date | None = None
    """The day on which the source was read, or said so itself; None: commonly known, no page was read for it."""
    takes: frozenset[str] = frozenset()
    """Fields beyond CORE, official ones and the vendor's own. A known field that is not here is left out and reported,
    or refused when the answer would be another without it; a field that no accent knows is passed on."""

    path: str = "/chat/completions"
    """Below the base URL; `{model}` is the upstream's name, quoted."""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "

    max_tokens_field: str = "max_tokens"
    """max_tokens, max_completion_tokens, or empty: as the caller wrote it."""
    renames: Mapping[str, str] = {}
    """Fields by another name."""
    words: Mapping[str, Mapping[str, Any]] = {}
    """By field: values that this wire writes differently."""
    tool_choices: frozenset[str] = frozenset({"auto", "none", "required", "named"})
    """Forms of `tool_choice`: also allowed_tools."""
    max_stops: int | None = None
    max_temperature: float = 2.0
    efforts: frozenset[str] = frozenset(EFFORTS)
    """Words of `reasoning_effort` that the wire knows; the model may take fewer."""
    effort_fields: Mapping[str, Mapping[str, Any]] = {}
    """By word of `reasoning_effort`: the fields that say so here, instead of it."""
    has_json_mode: bool = True
    has_json_schema: bool = True
    has_strict_tools: bool = True
    """Takes `function.strict`."""
    has_custom_tools: bool = False
    counts_logprobs: bool = False
    """`logprobs` is the number of alternatives, as in OpenAI's older API."""

    parts: frozenset[str] = frozenset({"image_url"})
    """Types of content parts beside text and refusal."""
    fetches_images: bool = True
    """False: an image must be given as a data URI."""
    files_as_documents: bool = False
    """A file part leaves as Mistral's `document_url`."""
    has_names: bool = False
    """Takes `messages[].name`."""
    has_developer: bool = False
    """Knows the role developer; others are told `system`."""
    has_refusals: bool = False
    """Takes refusals and sounds of earlier answers back."""
    has_cache_marks: bool = False
    """Takes Anthropic's `cache_control` on parts, messages and tools."""
    has_cache_breakpoints: bool = False
    """Takes OpenAI's `prompt_cache_breakpoint` on parts."""
    thoughts: str = ""
    """Where an assistant message carries its reasoning back: reasoning_content, reasoning, content (thinking parts as
    Mistral has them), or empty: nowhere."""
    has_reasoning_details: bool = False
    has_signatures: bool = False
    """Takes Google's `tool_calls[].extra_content`."""
    prefill: str = ""
    """Field of a last assistant message that asks to continue it."""
    has_done: bool = True
    """Ends its streams with `data: [DONE]`. Where it does not, the finish reasons are the end."""
    call_ids: str = ""
    """Pattern that ids of tool calls must match; another id leaves as nine letters and digits made of it."""
