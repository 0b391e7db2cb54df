"""GET /v1/models: the catalogue with prices and abilities, in OpenAI's list shape plus our fields, and the policies."""

from fastapi import APIRouter, Request, Response

from api import show
from api.auth import NEEDS_READ
from api.front import front_of
from routing.catalog_shown import shown_on

router = APIRouter(tags=["catalogue"])


@router.get("/v1/models", dependencies=[NEEDS_READ])
async def list_models(request: Request) -> Response:
    """What `request.model` may name: models with their deployments and prices, and policies."""
    front = front_of(request)
    catalog = front.yard.catalog
    models = shown_on(catalog, front.yard.enabled)
    policies = [
        {"name": name, "tiers": policy.tiers, "min_confidence": policy.min_confidence}
        for name, policy in front.policies.items()
    ]
    return show.answer(show.listed(models, len(models)) | {"policies": policies, "catalog_version": catalog.version})
