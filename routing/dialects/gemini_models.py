"""What the Gemini API takes from which of its models: families by name, each fact with its source.

The wire is one, but its models are not: what one takes, another answers with status 400. The catalogue knows abilities;
here stand the differences in form that have no field there. A name that no family knows is taken for a current model.
"""

import functools
import re

import msgspec

from routing.catalog import Model, Target

SIGNED = ("google", "thought_signature")
"""Where a call bears its signature: `extra_content.google.thought_signature`, as on Google's OpenAI-compatible face."""
UNSIGNED = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made (ai.google.dev/gemini-api/docs/thought-signatures)."""
VERTEX = "vertex"
"""Part of the name of a provider that is Google's cloud, as in the catalogue."""
LEVELS = ("minimal", "low", "medium", "high", "xhigh")
"""`thinkingLevel` by the SDK (google-genai 3.6.1), least first; upper case on the wire."""
BUDGETS_TOKENS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
"""`thinkingBudget` by effort: Google's own, of its OpenAI-compatible face (ai.google.dev/gemini-api/docs/openai)."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Models that take the same. What holds for the newest is the default."""

    thinking: str = "level"
    """level (`thinkingLevel`), budget (`thinkingBudget`), or none: a thinkingConfig is refused."""
    levels: frozenset[str] = frozenset({"low", "medium", "high"})
    """Where the catalogue names no `reasoning_efforts`."""
    least_budget_tokens: int = 0
    most_budget_tokens: int = 24_576
    can_be_thoughtless: bool = False
    """Takes a budget of 0."""
    takes_json_schema: bool = True
    """`parametersJsonSchema`; else only `parameters`, in the subset of OpenAPI 3.0."""
    takes_response_schema: bool = True
    """`responseJsonSchema`; else only `responseSchema`, in that subset."""
    mixes_tools_and_json: bool = True
    """A response MIME type beside functions."""
    has_call_ids: bool = True
    """Calls and results are matched by id; else by name and order."""
    takes_media_in_results: bool = True
    """`functionResponse.parts`, and `mediaResolution` of a part."""
    demands_signatures: bool = True
    """Refuses the calls of the current turn without `thoughtSignature`."""
    takes_urls: bool = True
    """Fetches `fileData.fileUri` from any public address."""
    takes_buckets: bool = False
    """Fetches it from Google's storage (`gs://`), too."""
    takes_penalties: bool = False
    takes_logprobs: bool = False
    """Where the catalogue does not say."""
    takes_system: bool = True


_FLASH_LEVELS = frozenset({"minimal", "low", "medium", "high"})

CURRENT = Family()
UNKNOWN = Family(demands_signatures=False, takes_penalties=True, takes_logprobs=True)
"""Not one of Google's names: somebody else's server that speaks this wire. Nothing is left out or added on a guess."""
_OLD = Family(
    thinking="none",
    takes_json_schema=False,
    takes_response_schema=False,
    mixes_tools_and_json=False,
    has_call_ids=False,
    takes_media_in_results=False,
    demands_signatures=False,
    takes_urls=False,
    takes_penalties=True,
    takes_logprobs=True,
)
_SECOND = msgspec.structs.replace(
    _OLD,
    thinking="budget",
    takes_json_schema=True,
    takes_response_schema=True,
    takes_urls=True,
    takes_penalties=False,
    takes_logprobs=False,
)

FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = (
    # Budgets: ai.google.dev/gemini-api/docs/thinking. Mixing, media in results, signatures: /docs/gemini-3,
    # /docs/function-calling, /docs/thought-signatures. URLs: /docs/file-input-methods. Penalties and log-probabilities
    # are answered with "... is not enabled for this model" from 2.5 on (google-gemini/cookbook issue 1290,
    # googleapis/python-genai issue 1921).
    # Log-probabilities: at Google's own API only, Vertex answers them (recorded traffic, 2026-12-01).
    # responseJsonSchema of 2.0: recorded traffic, 2026-12-01.
    (re.compile(r"gemini-(2\.0|2-)"), msgspec.structs.replace(_OLD, takes_response_schema=True)),
    (re.compile(r"gemini-(1|exp-1)|learnlm"), _OLD),
    (
        re.compile(r"gemini-2\.5-flash-lite"),
        msgspec.structs.replace(_SECOND, least_budget_tokens=512, can_be_thoughtless=True),
    ),
    (
        re.compile(r"gemini-2\.5-pro"),
        msgspec.structs.replace(_SECOND, least_budget_tokens=128, most_budget_tokens=32_768),
    ),
    (re.compile(r"gemini-2\.5|robotics-er-1\.5"), msgspec.structs.replace(_SECOND, can_be_thoughtless=True)),
    (re.compile(r"gemini-3-pro"), Family(levels=frozenset({"low", "high"}))),
    (re.compile(r"gemini-3[.\d]*-flash"), Family(levels=_FLASH_LEVELS)),
    (re.compile(r"gemma-?[1-3]"), msgspec.structs.replace(_OLD, takes_system=False)),
    (re.compile(r"gemini|gemma"), CURRENT),
)


def family_of(target: Target) -> Family:
    """The family of a deployment: by the name that it has at the provider, else by its model's.

    >>> from routing.catalog import Deployment
    >>> served = Deployment(model="google/gemini-2.5-pro", provider="google", upstream="gemini-2.5-pro")
    >>> family_of(Target(served, Model("google/gemini-2.5-pro"))).most_budget_tokens
    32768
    """
    family = family_named(target.deployment.upstream, target.model.id)
    return at_vertex(family) if VERTEX in target.deployment.provider else family


@functools.cache
def at_vertex(family: Family) -> Family:
    """The same models at Vertex, which is the same wire."""
    return msgspec.structs.replace(family, takes_logprobs=True, takes_buckets=True)


def family_named(*names: str) -> Family:
    """The family of the first name that is one of Google's."""
    for name in names:
        for pattern, family in FAMILIES:
            if pattern.search(name):
                return family
    return UNKNOWN


def levels_of(model: Model, family: Family) -> list[str]:
    """The levels that a model takes, least first."""
    known = family.levels if model.reasoning_efforts is None else model.reasoning_efforts
    return [level for level in LEVELS if level in known] or ["low", "high"]
