"""The sandbox of a yard without a provider key: its providers, and the settings that lead jobs to them."""

from collections.abc import Iterable, Mapping

from cli.processes import LARGE, OTHER, SMALL, SandboxProvider
from cli.yard import next_free_port
from jobs.settings import Settings

HOST = "127.0.0.1"
FIRST_PORT = 8411
HEADER = """\
# Written by `tokenyard up`, since no provider had a key: offline providers over small real models.
# Prices are those of the models they stand for, so that the ledger's sums mean something.
# No call leaves this machine, whatever else the settings say.
allow_real_calls = false
"""
POLICIES = f"""\
[policies.auto]
tiers = [["{SMALL}"], ["{LARGE}", "{OTHER}"]]
choose = "cheapest"
min_confidence = 0.7

[policies.support]
tiers = [["{SMALL}"], ["{LARGE}", "{OTHER}"]]
choose = "cheapest"
min_confidence = 0.7
"""
PRICES = {
    SMALL: (
        'input = "0.36", output = "0.40", valid_from = "2026-05-01", '
        'source = "as Qwen-2.5-72B: OpenRouter, listing of May 2026"'
    ),
    LARGE: (
        'input = "2.50", output = "10.00", valid_from = "2026-05-01", '
        'source = "as gpt-4o: OpenAI, pricing page of 2026-11-22"'
    ),
    OTHER: (
        'input = "3.00", output = "15.00", valid_from = "2026-08-18", '
        'source = "as claude-sonnet-4-5: Anthropic, by the price list of LiteLLM, 2026-08-18"'
    ),
}
"""USD per million tokens."""
PLAN = (
    ("sandbox-east", SMALL, 150, "openai"),
    ("sandbox-west", SMALL, 150, "openai"),
    ("sandbox-north", LARGE, 400, "openai"),
    ("sandbox-south", OTHER, 400, "anthropic"),
)
"""Name, model, latency in ms, dialect. Two serve the small model, two makers have a large one: one of each may die."""
BASES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini/v1beta"}
"""Where an offline provider answers each dialect."""
WITH_LOGPROBS = frozenset({"openai", "gemini"})
"""Dialects whose wire carries log-probabilities."""


def has_provider(settings: Settings, environ: Mapping[str, str]) -> bool:
    """True if a provider of the user's has its key in the environment, or needs none."""
    return any(
        key.env is None or environ.get(key.env) for provider in settings.providers.values() for key in provider.keys
    )


def providers() -> tuple[SandboxProvider, ...]:
    """The offline providers, each on a free port."""
    chosen: list[SandboxProvider] = []
    for name, model, latency_ms, dialect in PLAN:
        taken = frozenset(provider.port for provider in chosen)
        chosen.append(SandboxProvider(name, model, next_free_port(HOST, FIRST_PORT, taken), latency_ms, dialect))
    return tuple(chosen)


def config(chosen: Iterable[SandboxProvider]) -> str:
    """The settings (TOML) that make `chosen` known: providers, models, deployments, policies."""
    chosen = tuple(chosen)
    models = {provider.model: provider.dialect in WITH_LOGPROBS for provider in chosen}
    return "\n".join(
        [
            HEADER,
            *map(_provider, chosen),
            *(_model(*one) for one in models.items()),
            *map(_deployment, chosen),
            POLICIES,
        ]
    )


def _provider(provider: SandboxProvider) -> str:
    return f"""\
[providers.{provider.name}]
dialect = "{provider.dialect}"
base_url = "http://{HOST}:{provider.port}{BASES[provider.dialect]}"
is_sandbox = true
"""


def _model(model: str, has_logprobs: bool) -> str:
    return f"""\
[[models]]
id = "{model}"
context_tokens = 8_192
max_output_tokens = 1_024
has_tools = true
has_parallel_tools = true
has_forced_tools = true
has_reliable_tools = true
has_json_mode = true
has_json_schema = true
has_vision = false
has_audio = false
has_pdf = false
has_reasoning = false
has_logprobs = {str(has_logprobs).lower()}
source = "sandbox: trained on this machine"
"""


def _deployment(provider: SandboxProvider) -> str:
    return f"""\
[[deployments]]
model = "{provider.model}"
provider = "{provider.name}"
upstream = "{provider.model}"
is_sandbox = true
price = {{ {PRICES[provider.model]} }}
"""
