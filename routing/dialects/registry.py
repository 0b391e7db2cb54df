"""Every dialect by the name that `[providers.*] dialect = "..."` uses, and who speaks which accent of it."""

import difflib
from collections.abc import Mapping

from jobs.settings import Provider, SettingsError
from routing.dialects.accent_table import ACCENTS
from routing.dialects.anthropic import AnthropicDialect
from routing.dialects.base import Dialect
from routing.dialects.gemini import GeminiDialect
from routing.dialects.openai import OpenAIDialect

DIALECTS: dict[str, Dialect] = {
    "openai": OpenAIDialect(),
    "anthropic": AnthropicDialect(),
    "gemini": GeminiDialect(),
}
"""Each in its own way of speaking."""

ACCENTED: Mapping[str, Mapping[str, Dialect]] = {
    "openai": {name: OpenAIDialect(accent, name) for name, accent in ACCENTS.items()},
}
"""By dialect, its variants by name."""


def accent_of(name: str, provider: Provider) -> str:
    """The accent of a provider: what its settings say, else its own name when an accent is called so, else none.

    >>> accent_of("groq", Provider(dialect="openai", base_url="https://api.groq.com/openai/v1"))
    'groq'
    """
    if provider.accent or name not in ACCENTED.get(provider.dialect, {}):
        return provider.accent
    return name


def voice_of(name: str, provider: Provider | None) -> tuple[str, str]:
    """The wire and the accent that a provider speaks; ("", "") where nothing is known of it.

    >>> voice_of("groq", Provider(dialect="openai", base_url="https://api.groq.com/openai/v1"))
    ('openai', 'groq')
    """
    return ("", "") if provider is None else (provider.dialect, accent_of(name, provider))


def dialect_of(name: str, provider: Provider) -> Dialect:
    """What to speak with a provider. Raises KeyError for an accent that `check_accents` refuses."""
    accent = accent_of(name, provider)
    return ACCENTED[provider.dialect][accent] if accent else DIALECTS[provider.dialect]


def check_accents(providers: Mapping[str, Provider]) -> None:
    """Refuse an accent that its dialect does not have. Raises SettingsError with the nearest known name."""
    for name, provider in providers.items():
        known = sorted(ACCENTED.get(provider.dialect, ()))
        if provider.accent and provider.accent not in known:
            near = difflib.get_close_matches(provider.accent, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"
            raise SettingsError(
                f"providers.{name}: the dialect {provider.dialect} has no accent {provider.accent!r}; {hint}"
            )
