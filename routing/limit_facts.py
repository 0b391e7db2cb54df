"""Says what a provider counts its limits by: each model of an account for itself, or the whole account together.

A 429 closes what the provider counted. Where nothing is known the model alone is closed: a wrong guess costs one call
for each model and its wait, while a key closed for nothing keeps every other model waiting.
"""

import datetime as dt
from collections.abc import Mapping

import msgspec

from jobs.settings import LimitsBy, Provider


class LimitFact(msgspec.Struct, frozen=True):
    """What a provider says of its own limits."""

    by: LimitsBy
    source: str
    as_of: dt.date


READ = dt.date(2026, 12, 1)
"""The day on which these pages were read."""

LIMIT_FACTS: Mapping[str, LimitFact] = {
    "openai": LimitFact("model", "developers.openai.com/api/docs/guides/rate-limits; ProjectRateLimit.model", READ),
    "anthropic": LimitFact("model", "platform.claude.com/docs/en/manage-claude/rate-limits-api (model_group)", READ),
    "google": LimitFact("model", "ai.google.dev/gemini-api/docs/rate-limits: by project, depending on the model", READ),
    "azure": LimitFact("model", "learn.microsoft.com/azure/ai-foundry/openai/quotas-limits: by region and model", READ),
    "groq": LimitFact("model", "its 429 says: for model ... in organization ... on tokens per minute", READ),
    "together": LimitFact("model", "docs.together.ai/docs/rate-limits: per organization and per model", READ),
    "deepseek": LimitFact("model", "api-docs.deepseek.com/quick_start/rate_limit: concurrency by model", READ),
    "xai": LimitFact("model", "docs.x.ai/developers/rate-limits: per-model limits of a team", READ),
    "dashscope": LimitFact("model", "alibabacloud.com/help/en/model-studio/rate-limit: each model independently", READ),
    "cerebras": LimitFact("model", "inference-docs.cerebras.ai/support/rate-limits: by organization and model", READ),
    "perplexity": LimitFact("model", "docs.perplexity.ai/guides/usage-tiers: a row for each model", READ),
    "openrouter": LimitFact("model", "openrouter.ai/docs/api_reference/limits: different limits by model", READ),
    "moonshot": LimitFact("key", "platform.moonshot.cn/docs/introduction: shared by all models of a user", READ),
}
"""By the name of an accent or of a provider. Who is missing says nothing of it on a page that was found."""


def limits_by(name: str, provider: Provider) -> LimitsBy:
    """What a provider counts by: its settings say so, else the fact of its accent or its name, else the model.

    >>> limits_by("mine", Provider(dialect="openai", accent="moonshot", base_url="https://kimi.example"))
    'key'
    """
    if provider.limits_by is not None:
        return provider.limits_by
    fact = LIMIT_FACTS.get(provider.accent) or LIMIT_FACTS.get(name)
    return fact.by if fact else "model"
