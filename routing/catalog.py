"""What can carry a job: models, the deployments that serve them, and their prices."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from jobs.chat import Usage

MILLION = Decimal(1_000_000)
AMOUNT = Decimal("0.000000000001")
"""Amounts are kept to 12 decimals: NUMERIC(20,12)."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD per million tokens, valid from a date, with its source."""

    input: Decimal
    output: Decimal
    valid_from: dt.date
    source: str

    def __post_init__(self) -> None:
        """Refuse a price below 0. Raises ValueError."""
        if self.input < 0 or self.output < 0:
            raise ValueError("a price can't be below 0")

    def of(self, usage: Usage) -> Decimal:
        """What that many tokens cost, in USD to 12 decimals."""
        amount = (self.input * usage.input_tokens + self.output * usage.output_tokens) / MILLION
        return amount.quantize(AMOUNT, rounding=ROUND_HALF_EVEN)

    @property
    def version(self) -> str:
        """What the ledger keeps beside each amount: the day the price became valid."""
        return self.valid_from.isoformat()


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights: `maker/name`, with limits and abilities that hold wherever they are served. None is unknown."""

    id: str
    context_tokens: int | None = None
    """Prompt and answer together."""
    max_output_tokens: int | None = None
    max_system_tokens: int | None = None
    """Most that the system prompt may hold."""
    has_tools: bool | None = None
    has_parallel_tools: bool | None = None
    """Several calls in one answer."""
    has_forced_tools: bool | None = None
    """Takes `tool_choice` required or a named function."""
    has_reliable_tools: bool | None = None
    """Nested schemas and parallel calls come back right."""
    has_json_mode: bool | None = None
    """`response_format` json_object, or the wire's equal."""
    has_json_schema: bool | None = None
    """Answers that keep a JSON schema by construction (structured outputs)."""
    has_strict_tools: bool | None = None
    """Tool arguments that keep their schema by construction (`strict: true`)."""
    schema_keywords: frozenset[str] | None = None
    """JSON Schema keywords that strict schemas may hold."""
    has_vision: bool | None = None
    has_audio: bool | None = None
    """Takes sound as input."""
    has_pdf: bool | None = None
    output_modalities: frozenset[str] | None = None
    """text, image, audio."""
    has_reasoning: bool | None = None
    reasoning_efforts: frozenset[str] | None = None
    """Words of `reasoning_effort` that it takes: none, minimal, low, medium, high, xhigh."""
    has_sampling: bool | None = None
    """Takes temperature, top_p and the like; newer reasoning models refuse them."""
    has_prefill: bool | None = None
    """Continues a last message of the assistant."""
    has_logprobs: bool | None = None
    json_adherence: float | None = None
    """0..1, like the two below: a measured share or a published score, as its evidence says."""
    multilingual: float | None = None
    creativity: float | None = None
    source: str = ""
    """Where the facts come from, unless `evidence` names another source for one of them."""
    as_of: dt.date | None = None
    """The day on which `source` said so."""
    evidence: Mapping[str, "Evidence"] = {}
    """By field, where it does not come from `source`."""


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who says so, and when."""

    source: str
    as_of: dt.date


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model at a provider, `maker/name@provider`: the upstream's name for it, its price, its quirks."""

    model: str
    provider: str
    upstream: str
    price: Price | None = None
    """None: unknown. Its calls are booked with an unknown cost, never with 0."""
    region: str | None = None
    zero_retention: bool | None = None
    is_sandbox: bool = False

    @property
    def id(self) -> str:
        """`maker/name@provider`."""
        return f"{self.model}@{self.provider}"


class Target(msgspec.Struct, frozen=True):
    """What a request is encoded for: the deployment, the abilities of its model, and the accent of its provider."""

    deployment: Deployment
    model: Model
    accent: str = ""
    """A variant of the provider's dialect by name; empty: the dialect's own."""


class Catalog(msgspec.Struct, frozen=True):
    """Models and deployments by id, with one version for the whole."""

    models: Mapping[str, Model]
    deployments: Mapping[str, Deployment]
    version: str

    @classmethod
    def of(cls, models: Iterable[Model], deployments: Iterable[Deployment]) -> "Catalog":
        """Build from parts; of two entries with one id the later stands. Raises ValueError for an orphan."""
        by_id = {model.id: model for model in models}
        served = {deployment.id: deployment for deployment in deployments}
        for deployment in served.values():
            if deployment.model not in by_id:
                raise ValueError(
                    f"deployment {deployment.id}: there is no model {deployment.model!r}; add it under [[models]]"
                )
        facts = msgspec.json.encode([sorted_parts(by_id), sorted_parts(served)])
        return cls(by_id, served, hashlib.sha256(facts).hexdigest()[:12])

    def candidates(self, name: str) -> tuple[Deployment, ...]:
        """Deployments that a tier entry or `request.model` means: one deployment, or all of a model."""
        if name in self.deployments:
            return (self.deployments[name],)
        return tuple(d for d in self.deployments.values() if d.model == name)


def sorted_parts(parts: Mapping[str, Any]) -> list[Any]:
    """Entries in the order of their ids, so that a version does not depend on the order of files."""
    return [parts[key] for key in sorted(parts)]
