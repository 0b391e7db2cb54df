"""What can carry a job: models, the deployments that serve them, and their prices."""

import datetime as dt
import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from routing.prices import Price

__all__ = ["Catalog", "Deployment", "Evidence", "Model", "Price", "Target"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights: `maker/name`, with limits and abilities that hold wherever they are served. None is unknown."""

    id: str
    context_tokens: int | None = None
    """Prompt and answer together."""
    max_input_tokens: int | None = None
    """Most that the prompt may hold, where that is less than the window."""
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
    """Words of `reasoning_effort` that it takes: none, minimal, low, medium, high, xhigh, max."""
    has_sampling: bool | None = None
    """Takes temperature, top_p and the like; newer reasoning models refuse them."""
    has_prefill: bool | None = None
    """Continues a last message of the assistant."""
    has_mid_system: bool | None = None
    """Takes instructions in mid conversation, right behind a message of the user's."""
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


ABILITIES = tuple(name for name in Model.__struct_fields__ if name.startswith("has_"))
OFFERED = ("has_tools", "has_json_schema", "has_vision", "has_audio", "has_pdf", "has_reasoning")
"""Abilities that a provider may not offer of a model that has them; files note them at deployments, too."""
WINDOWS = ("context_tokens", "max_input_tokens", "max_output_tokens")


READ_BY_PROVIDER: Mapping[str, tuple[str, ...]] = {"mistral": ("has_pdf",)}
"""Abilities that a provider's API may give to a model without them: Mistral reads documents by its own OCR for every
chat model (docs.mistral.ai/capabilities/document_ai/document_qna; recorded traffic, 2026-12-01)."""
MOST_ALIKE = 400
"""Names that are compared whole with a wrong one: 10 ms at most."""


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who says so, and when."""

    source: str
    as_of: dt.date | None = None


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model at a provider, `maker/name@provider`: the upstream's name for it, its prices, its quirks."""

    model: str
    provider: str
    upstream: str
    price: Price | None = None
    """The newest. None: unknown. Its calls are booked with an unknown cost, never with 0."""
    region: str | None = None
    zero_retention: bool | None = None
    is_sandbox: bool = False
    earlier_prices: tuple[Price, ...] = ()
    """Those that `price` came after, the newest first."""
    context_tokens: int | None = None
    """The window here, where it is known; else the model's. So with the next two."""
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    lacks: frozenset[str] = frozenset()
    """Abilities of the model that it does not have here, as names of Model's fields: `has_tools`."""
    has_batch: bool | None = None
    """The provider has a batch API of its own for it."""
    has_caching: bool | None = None
    """Prompts are cached, and what is read from the cache costs less."""
    data_policy: str | None = None
    """In a sentence: how long prompts are kept, and whether anybody learns from them."""
    retires_on: dt.date | None = None
    """The day on which the provider takes it away."""
    source: str = ""
    """Who says so, unless `evidence` names another one for a field; a price has its own."""
    as_of: dt.date | None = None
    evidence: Mapping[str, Evidence] = {}

    def __post_init__(self) -> None:
        """Refuse what no model has, and prices out of order. Raises ValueError."""
        unknown = sorted(name for name in self.lacks if name not in ABILITIES)
        if unknown:
            raise ValueError(f"lacks: {', '.join(unknown)} is no ability of a model; they are {', '.join(ABILITIES)}")
        days = [price.valid_from for price in (*((self.price,) if self.price else ()), *self.earlier_prices)]
        if any(later <= earlier for later, earlier in pairwise(days)):
            raise ValueError("earlier_prices: the newest comes first, each from a day before the one that follows it")

    @property
    def id(self) -> str:
        """`maker/name@provider`."""
        return f"{self.model}@{self.provider}"

    def price_on(self, day: dt.date | None) -> Price | None:
        """The price that is valid on a day; None where nobody knows it. Of no day in particular: the newest."""
        price = self.price
        if price is None or day is None or price.valid_from <= day:
            return price
        return next((earlier for earlier in self.earlier_prices if earlier.valid_from <= day), None)


class Target(msgspec.Struct, frozen=True):
    """What a request is encoded for: the deployment, the abilities of its model, and the accent of its provider."""

    deployment: Deployment
    model: Model
    accent: str = ""
    """A variant of the provider's dialect by name; empty: the dialect's own."""
    refuted: frozenset[str] = frozenset()
    """Fields that this deployment lately answered with 400 (`routing.dialects.doubts`)."""


class Serving(Protocol):
    """The deployments of each model."""

    def get(self, model_id: str, otherwise: tuple[Deployment, ...], /) -> tuple[Deployment, ...]:
        """A model's deployments, or what to take for a model that there is not."""

    def at(self, providers: Collection[str], /) -> list[str]:
        """Ids of the models that any of these providers serves, in the catalogue's order."""


class ByModel(dict[str, tuple[Deployment, ...]]):
    """The same of a catalogue that is held whole."""

    def at(self, providers: Collection[str], /) -> list[str]:
        """Ids of the models that any of these providers serves."""
        return [name for name, served in self.items() if any(each.provider in providers for each in served)]


class Catalog(msgspec.Struct, frozen=True):
    """Models and deployments by id, with one version for the whole."""

    models: Mapping[str, Model]
    deployments: Mapping[str, Deployment]
    served: Serving
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
        of_model = ByModel({name: tuple(d for d in served.values() if d.model == name) for name in by_id})
        facts = msgspec.json.encode([sorted_parts(by_id), sorted_parts(served)])
        return cls(by_id, served, of_model, hashlib.sha256(facts).hexdigest()[:12])

    def candidates(self, name: str) -> tuple[Deployment, ...]:
        """Deployments that a tier entry or `request.model` means: one deployment, or all of a model."""
        if name in self.deployments:
            return (self.deployments[name],)
        return self.served.get(name, ())

    def at(self, providers: Collection[str]) -> list[Deployment]:
        """All deployments at these providers."""
        found = (served for name in self.served.at(providers) for served in self.candidates(name))
        return [served for served in found if served.provider in providers]

    def model_at(self, deployment: Deployment) -> Model:
        """The model as this deployment serves it: with its window, and without what it lacks there."""
        model = self.models[deployment.model]
        here: dict[str, Any] = dict.fromkeys(READ_BY_PROVIDER.get(deployment.provider, ()))
        here |= dict.fromkeys(deployment.lacks, False)
        for name in WINDOWS:
            if (tokens := getattr(deployment, name)) is not None:
                here[name] = tokens
        return replace(model, **here) if here else model


def nearest(name: str, others: Iterable[str], catalog: Catalog) -> str | None:
    """The known name most like this one: of `others` (policies), the models, or the deployments of the model meant.

    Compared whole only with names that begin alike somewhere: there are thousands, and anyone may ask.
    """
    model, at, _ = name.partition("@")
    if at and model in catalog.models:
        return _closest(name, (served.id for served in catalog.candidates(model))) or model
    starts = {part[:3] for part in model.lower().split("/") if part}
    alike = [known for known in catalog.models if any(part[:3] in starts for part in known.split("/"))]
    if (bare := [known for known in alike if known.rpartition("/")[2] == model.lower()]) and "/" not in model:
        return bare[0]
    return _closest(model, [*others, *alike[:MOST_ALIKE]])


def _closest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def sorted_parts(parts: Mapping[str, Any]) -> list[Any]:
    """Entries in the order of their ids, so that a version does not depend on the order of files."""
    return [parts[key] for key in sorted(parts)]
