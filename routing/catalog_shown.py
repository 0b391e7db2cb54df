"""The catalogue as it is shown: `GET /v1/models` and `tokenyard models`, from one description."""

from collections.abc import Collection
from typing import Any

from routing.catalog import Catalog, Deployment, Model

Shown = dict[str, Any]


def shown(catalog: Catalog, enabled: Collection[str]) -> list[Shown]:
    """Every model with its deployments and prices, in OpenAI's list shape plus our fields; None is unknown.

    `enabled`: the providers that have a key (or want none).
    """
    return [_model(model, catalog, enabled) for model in catalog.models.values()]


def _model(model: Model, catalog: Catalog, enabled: Collection[str]) -> Shown:
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": model.id.split("/", maxsplit=1)[0],
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "has_tools": model.has_tools,
        "has_vision": model.has_vision,
        "has_logprobs": model.has_logprobs,
        "source": model.source,
        "deployments": [_deployment(served, enabled) for served in catalog.candidates(model.id)],
    }


def _deployment(deployment: Deployment, enabled: Collection[str]) -> Shown:
    price = deployment.price
    return {
        "id": deployment.id,
        "provider": deployment.provider,
        "enabled": deployment.provider in enabled,
        "region": deployment.region,
        "zero_retention": deployment.zero_retention,
        "sandbox": deployment.is_sandbox,
        "price": None
        if price is None
        else {
            "input_usd_per_mtok": str(price.input),
            "output_usd_per_mtok": str(price.output),
            "valid_from": price.valid_from.isoformat(),
            "source": price.source,
        },
    }
