"""The catalogue as it is shown: `GET /v1/models` and `tokenyard models`, from one description."""

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

from routing.catalog import WINDOWS, Catalog, Deployment, Evidence, Model
from routing.prices import KINDS, Price, Rates

Shown = dict[str, Any]
FACTS = tuple(name for name in Model.__struct_fields__ if name not in ("id", "source", "as_of", "evidence"))
"""The columns of the capability matrix: what may be known of a model."""
SERVED_FACTS = ("region", "zero_retention", "has_batch", "has_caching", "data_policy", "retires_on")
"""What may be known of a deployment beside its price and its windows."""


def shown(catalog: Catalog, enabled: Collection[str], day: dt.date | None = None) -> list[Shown]:
    """Every model with all its deployments, in OpenAI's list shape plus our fields: megabytes. None is unknown.

    `enabled`: the providers that have a key (or want none). `day`: whose prices; None: the newest.
    """
    return shown_models(catalog, catalog.models, enabled, day)


def shown_on(catalog: Catalog, enabled: Collection[str], day: dt.date | None = None) -> list[Shown]:
    """Only the models and deployments of providers that are on; other models are not even opened."""
    found = []
    for name in catalog.served.at(enabled):
        served = [each for each in catalog.candidates(name) if each.provider in enabled]
        found.append(_model(catalog.models[name], served, enabled, day))
    return found


def shown_models(
    catalog: Catalog, names: Iterable[str], enabled: Collection[str], day: dt.date | None = None
) -> list[Shown]:
    """The same of the named models, on or not. Raises KeyError for a name that there is not."""
    return [_model(catalog.models[name], catalog.candidates(name), enabled, day) for name in names]


def _model(model: Model, served: Iterable[Deployment], enabled: Collection[str], day: dt.date | None) -> Shown:
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": model.id.split("/", maxsplit=1)[0],
        **{name: _plain(getattr(model, name)) for name in FACTS},
        "source": model.source,
        "as_of": _plain(model.as_of),
        "evidence": evidence(model, FACTS),
        "deployments": [_deployment(each, enabled, day) for each in served],
    }


def evidence(of: Model | Deployment, names: Iterable[str]) -> Shown:
    """Source and day of every fact that is known, by its name."""
    main = Evidence(of.source, of.as_of)
    found = {name: of.evidence.get(name, main) for name in names if getattr(of, name) is not None}
    return {name: {"source": said.source, "as_of": _plain(said.as_of)} for name, said in found.items()}


def _deployment(deployment: Deployment, enabled: Collection[str], day: dt.date | None) -> Shown:
    price = deployment.price_on(day)
    return {
        "id": deployment.id,
        "provider": deployment.provider,
        "upstream": deployment.upstream,
        "enabled": deployment.provider in enabled,
        "sandbox": deployment.is_sandbox,
        **{name: _plain(getattr(deployment, name)) for name in SERVED_FACTS},
        **{name: getattr(deployment, name) for name in WINDOWS},
        "lacks": sorted(deployment.lacks),
        "evidence": evidence(deployment, (*SERVED_FACTS, *WINDOWS)),
        "price": None if price is None else _price(price),
        "earlier_prices": [_price(earlier) for earlier in deployment.earlier_prices if earlier is not price],
    }


def _price(price: Price) -> Shown:
    batch = {f"batch_{name}": getattr(price, f"batch_{name}") for name in ("input", "output")}
    return {
        **_rates(price),
        **{f"{name}_usd_per_mtok": _usd(usd) for name, usd in batch.items() if usd is not None},
        "long": [{"above_input_tokens": each.above_input_tokens, **_rates(each)} for each in price.long],
        "valid_from": price.valid_from.isoformat(),
        "source": price.source,
        "version": price.version,
    }


def _rates(rates: Rates) -> Shown:
    known = {name: getattr(rates, name) for name in ("input", "output", *KINDS)}
    searches = {} if rates.search is None else {"search_usd_per_million": _usd(rates.search)}
    per_mtok = {name: usd for name, usd in known.items() if usd is not None and name != "search"}
    return {f"{name}_usd_per_mtok": _usd(usd) for name, usd in per_mtok.items()} | searches


def _usd(usd: object) -> str:
    return str(usd)


def _plain(value: object) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, dt.date) else value
