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
    """Weights: `maker/name`, with limits that hold wherever they are served. None is unknown."""

    id: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    has_tools: bool | None = None
    has_vision: bool | None = None
    has_logprobs: bool | None = None
    source: str = ""


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
