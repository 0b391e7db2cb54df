"""GET /v1/models: the catalogue with prices and abilities, in OpenAI's list shape plus our fields, and the policies."""

from fastapi import APIRouter, Request, Response

from api import show
from api.auth import NEEDS_READ
from api.front import Front, front_of
from routing.catalog import Deployment, Model

router = APIRouter(tags=["catalogue"])


@router.get("/v1/models", dependencies=[NEEDS_READ])
async def list_models(request: Request) -> Response:
    """What `request.model` may name: models with their deployments and prices, and policies."""
    front = front_of(request)
    catalog = front.yard.catalog
    models = [_model(model, front) for model in catalog.models.values()]
    policies = [
        {"name": name, "tiers": policy.tiers, "min_confidence": policy.min_confidence}
        for name, policy in front.policies.items()
    ]
    return show.answer(show.listed(models, len(models)) | {"policies": policies, "catalog_version": catalog.version})


def _model(model: Model, front: Front) -> show.JsonObject:
    deployments = [_deployment(d, front) for d in front.yard.catalog.candidates(model.id)]
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
        "deployments": deployments,
    }


def _deployment(deployment: Deployment, front: Front) -> show.JsonObject:
    price = deployment.price
    return {
        "id": deployment.id,
        "provider": deployment.provider,
        "enabled": deployment.provider in front.yard.enabled,
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
