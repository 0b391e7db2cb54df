"""Reads `usage` of the chat-completions wire: from what a provider counts to what was used.

Providers of this wire agree on the names and not on what they hold: whether `prompt_tokens` holds what came from a
cache, whether `completion_tokens` holds the reasoning, and whether `total_tokens` holds more than the two. `WAYS` lists
the known ways of counting. A report that exactly one of them explains is read by it; any other is unknown, because
the cheaper of two readings would be a bill that is too low.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jobs.chat import Usage
from routing.dialects.counts import NoCount, Report, counted, found
from routing.dialects.openai_face import CompletionDetails, OfficialUsage, PromptDetails

CACHED = (
    ("prompt_tokens_details", "cached_tokens"),  # OpenAI
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("num_cached_tokens",),  # Mistral
    ("cached_tokens",),  # Moonshot
    ("cache_read_input_tokens",),  # gateways before Claude
)
CACHE_WRITES = (
    ("prompt_tokens_details", "cache_write_tokens"),  # OpenAI, OpenRouter
    ("prompt_tokens_details", "cache_creation_input_tokens"),  # Qwen
    ("prompt_tokens_details", "cache_creation_tokens"),  # LiteLLM
    ("cache_creation_input_tokens",),  # gateways before Claude
)
CACHE_WRITES_1H = (
    ("cache_creation", "ephemeral_1h_input_tokens"),  # gateways before Claude
    ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),  # LiteLLM
)
REASONING = (("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",))
AUDIO_INPUT = (("prompt_tokens_details", "audio_tokens"),)
AUDIO_OUTPUT = (("completion_tokens_details", "audio_tokens"),)
IMAGE_INPUT = (("prompt_tokens_details", "image_tokens"),)
IMAGE_OUTPUT = (("completion_tokens_details", "image_tokens"),)
CITATIONS = (("citation_tokens",),)
SEARCHES = (
    ("num_search_queries",),  # Perplexity's deep research
    ("num_sources_used",),  # xAI's live search bills each source
)
SEARCH_SIZE = "search_context_size"
"""Perplexity's other models bill one search a call and tell its size instead of a number."""


class Told(NamedTuple):
    """A report's counts as they were told, with 0 for the kinds that were not."""

    prompt: int
    completion: int
    total: int | None
    cached: int
    written: int
    written_1h: int
    """Of `written`."""
    reasoning: int
    audio_input: int
    audio_output: int
    image_input: int
    image_output: int
    citations: int
    searches: int
    is_research: bool
    """It counts searches or what they read, as Perplexity's deep research does."""

    @property
    def rest(self) -> int:
        """What the total holds beside the prompt and the completion; 0 where no total is told."""
        return 0 if self.total is None else self.total - self.prompt - self.completion

    @property
    def cache(self) -> int:
        """What was read from a cache and written to one."""
        return self.cached + self.written


class Way(NamedTuple):
    """A known way of counting."""

    name: str
    source: str
    explains: Callable[[Told], bool]
    """Whether the total is what this way makes it."""
    input_tokens: Callable[[Told], int]
    output_tokens: Callable[[Told], int]
    hidden: Callable[[Told], int] = lambda _: 0
    """Reasoning that only the total holds."""


WAYS = (
    Way(
        "the prompt holds the cache, the completion holds the reasoning",
        "platform.openai.com/docs/api-reference/chat/object; 180 of 180 recorded replies, also DeepSeek's and Groq's",
        lambda told: told.rest == 0 and not told.is_research,
        lambda told: told.prompt,
        lambda told: told.completion,
    ),
    Way(
        "the reasoning stands beside the completion and in the total",
        "xAI: recorded in vercel/ai#9774 (2640 + 182 + 672 = 3494)",
        lambda told: told.rest == told.reasoning > 0 and not told.is_research,
        lambda told: told.prompt,
        lambda told: told.completion + told.reasoning,
    ),
    Way(
        "the total alone holds the reasoning",
        "Google's OpenAI-compatible face: 2 of 2 recorded replies",
        lambda told: told.rest > 0 == told.reasoning and told.rest not in _beside(told),
        lambda told: told.prompt,
        lambda told: told.completion + told.rest,
        lambda told: told.rest,
    ),
    Way(
        "the cache stands beside the prompt and in the total",
        "gateways that hand on Anthropic's counts, whose input_tokens leave the cache out",
        lambda told: told.rest == told.cache > 0,
        lambda told: told.prompt + told.cache,
        lambda told: told.completion,
    ),
    Way(
        "reasoning, citations and searches stand beside prompt and completion, and the total holds none of them",
        "docs.perplexity.ai/getting-started/pricing: each has a price of its own at sonar-deep-research",
        lambda told: told.rest == 0 and told.is_research,
        lambda told: told.prompt,
        lambda told: told.completion + told.reasoning,
    ),
)


def _beside(told: Told) -> set[int]:
    """Sums that a total which counts the cache twice may hold more."""
    return {told.cached, told.written, told.cache}


def read_usage(report: Any) -> Usage | None:
    """What was used; None when nothing was reported, or it fits no known way of counting or several.

    Where one of the two totals is missing, the other is kept and the cost is unknown. Never raises.
    """
    if not isinstance(report, Mapping):
        return None
    try:
        told = _told(report)
    except NoCount:
        return None
    if isinstance(told, Usage):
        return told if told.input_tokens or told.output_tokens else None
    readings = {usage for way in WAYS if (usage := _read(way, told)) is not None}
    return readings.pop() if len(readings) == 1 else None


def usage_of(told: OfficialUsage | None) -> Usage | None:
    """The same for counts of the official types that add up (`openai_face.read_official`): the first of `WAYS`."""
    if told is None:
        return None
    read, made = told.prompt_tokens_details, told.completion_tokens_details
    if read is None and made is None:
        return Usage(told.prompt_tokens, told.completion_tokens)
    read, made = read or PromptDetails(), made or CompletionDetails()
    return Usage(
        told.prompt_tokens,
        told.completion_tokens,
        cached_tokens=read.cached_tokens or 0,
        cache_write_tokens=read.cache_write_tokens or 0,
        reasoning_tokens=made.reasoning_tokens or 0,
        audio_input_tokens=read.audio_tokens or 0,
        audio_output_tokens=made.audio_tokens or 0,
        image_input_tokens=read.image_tokens or 0,
    )


def is_odd(report: Any, usage: Usage | None) -> bool:
    """Whether a provider reported counts from which nobody can reckon the bill: a reason for an alarm.

    A report of nothing but zeros for an answer is one; an empty report says nothing.
    """
    if report is None or report == {}:
        return False
    return usage is None or usage.total_tokens is None


def _told(report: Report) -> Told | Usage:
    """Raises NoCount. A Usage where a total is missing that the others do not give."""
    prompt, completion = counted(report.get("prompt_tokens")), counted(report.get("completion_tokens"))
    total = counted(report.get("total_tokens")) or None  # a total of 0 beside other counts was not filled in
    if completion is None and prompt and total is not None and total >= prompt:
        completion = total - prompt  # output is the dearer of the two that it may be
    if prompt is None or completion is None:
        return Usage(prompt, completion)
    searches = found(report, SEARCHES)
    return Told(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=found(report, CACHED),
        written=found(report, CACHE_WRITES),
        written_1h=found(report, CACHE_WRITES_1H),
        reasoning=found(report, REASONING),
        audio_input=found(report, AUDIO_INPUT),
        audio_output=found(report, AUDIO_OUTPUT),
        image_input=found(report, IMAGE_INPUT),
        image_output=found(report, IMAGE_OUTPUT),
        citations=found(report, CITATIONS),
        searches=searches or int(isinstance(report.get(SEARCH_SIZE), str)),
        is_research=report.get("citation_tokens") is not None or report.get("num_search_queries") is not None,
    )


def _read(way: Way, told: Told) -> Usage | None:
    """The report read in one way; None when that way does not explain it."""
    if not way.explains(told):
        return None
    input_tokens, output_tokens = way.input_tokens(told), way.output_tokens(told)
    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=told.cached,
        cache_write_tokens=told.written - told.written_1h,
        cache_write_1h_tokens=told.written_1h,
        reasoning_tokens=told.reasoning or way.hidden(told),
        audio_input_tokens=told.audio_input,
        audio_output_tokens=told.audio_output,
        image_input_tokens=told.image_input,
        image_output_tokens=told.image_output,
        citation_tokens=told.citations,
        searches=told.searches,
    )
    return usage if adds_up(usage) else None


def adds_up(usage: Usage) -> bool:
    """Whether the kinds are parts of their totals, and there was a prompt at all."""
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return (
        read > 0
        and usage.cache_write_tokens >= 0
        and usage.cached_tokens + written <= read
        and usage.audio_input_tokens + usage.image_input_tokens <= read
        and usage.reasoning_tokens <= made
        and usage.audio_output_tokens + usage.image_output_tokens <= made
    )


DETAILS: Mapping[str, Mapping[str, Callable[[Usage], int]]] = {
    "prompt_tokens_details": {
        "cached_tokens": lambda usage: usage.cached_tokens,
        "cache_write_tokens": lambda usage: usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "audio_tokens": lambda usage: usage.audio_input_tokens,
        "image_tokens": lambda usage: usage.image_input_tokens,
    },
    "completion_tokens_details": {
        "reasoning_tokens": lambda usage: usage.reasoning_tokens,
        "audio_tokens": lambda usage: usage.audio_output_tokens,
    },
}
"""The official details that the ledger has, too. A cache that lives an hour has no official name of its own."""
PASSED_ON = {
    "prompt_tokens_details": ("text_tokens",),
    "completion_tokens_details": ("text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"),
}
"""Official details that cost nothing of their own: shown as the provider told them."""


def shown_usage(usage: Usage, report: Report) -> dict[str, Any]:
    """`usage` in the official keys, from the counts that the ledger has; a detail of 0 only where it was told."""
    shown: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    for group, fields in DETAILS.items():
        given = report.get(group)
        given = given if isinstance(given, Mapping) else {}
        details = {name: count for name, of in fields.items() if (count := of(usage)) or name in given}
        for name in PASSED_ON[group]:
            if isinstance(given.get(name), int) and not isinstance(given.get(name), bool):
                details[name] = given[name]
        if details:
            shown[group] = details
    return shown


def untold(report: Any, shown: Mapping[str, Any] | None) -> Any:
    """What a report says beyond what is shown of it, for `provider_fields`; all of it where nothing is shown."""
    if shown is None or not isinstance(report, Mapping):
        return report
    return {name: part for name, part in report.items() if part is not None and shown.get(name) != part}
