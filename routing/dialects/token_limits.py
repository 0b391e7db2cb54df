"""Reads the most tokens that a rate limit ever gives at once, from the headers that providers send with a 429."""

import re
from collections.abc import Mapping

from jobs.failures import TokenLimit

BOTH = (
    "x-ratelimit-limit-tokens",
    "x-ratelimit-limit-tokens-minute",
    "x-tokenlimit-limit",
)
"""Limits of prompt and asked-for output together. OpenAI, Azure and Groq; Cerebras; Together."""
PROMPTS = ("anthropic-ratelimit-input-tokens-limit",)
"""Limits of the prompt alone: Anthropic counts output as it is made (docs.anthropic.com/en/api/rate-limits)."""
_TOKENS = re.compile(r"([1-9]\d{0,11})(?:\.0+)?(?:\s*[,;].*)?", re.ASCII)


def token_limit(headers: Mapping[str, str]) -> TokenLimit | None:
    """The smallest limit that the headers name; None when they name none."""
    named = [TokenLimit(tokens, has_output=True) for name in BOTH if (tokens := _tokens(headers.get(name)))]
    named += [TokenLimit(tokens, has_output=False) for name in PROMPTS if (tokens := _tokens(headers.get(name)))]
    return min(named, key=lambda limit: limit.tokens, default=None)


def _tokens(text: str | None) -> int | None:
    found = _TOKENS.fullmatch(text.strip()) if text is not None and len(text) < 200 else None
    return int(found[1]) if found is not None else None
