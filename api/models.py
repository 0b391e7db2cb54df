"""GET /v1/models: what `request.model` may name, in OpenAI's list shape plus prices, abilities and policies."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api import show
from api.auth import NEEDS_READ
from api.front import Front, front_of
from api.problems import Code, Problem
from jobs.policy import Policy
from routing.catalog_shown import shown, shown_models, shown_on

router = APIRouter(tags=["catalogue"])
OWNER = "tokenyard"


@router.get("/v1/models", dependencies=[NEEDS_READ])
async def list_models(request: Request, whole: Annotated[bool, Query(alias="all")] = False) -> Response:
    """Models that a provider with a key serves, and policies that name one; `all=true`: the whole catalogue."""
    front = front_of(request)
    catalog = front.yard.catalog
    models = (shown if whole else shown_on)(catalog, front.yard.enabled, _today())
    policies = [_policy(policy) for policy in front.policies.values() if whole or _is_open(front, policy)]
    entries = [*policies, *models]
    named = [
        {"name": name, "tiers": policy.tiers, "min_confidence": policy.min_confidence}
        for name, policy in front.policies.items()
    ]
    return show.answer(show.listed(entries, len(entries)) | {"policies": named, "catalog_version": catalog.version})


@router.get("/v1/models/{model:path}", dependencies=[NEEDS_READ])
async def get_model(request: Request, model: str) -> Response:
    """A model, a deployment or a policy by its name, whether a provider of it has a key or not."""
    front = front_of(request)
    if model in front.policies:
        return show.answer(_policy(front.policies[model]))
    catalog, wanted = front.yard.catalog, model.partition("@")[0]
    if wanted in catalog.models:
        (entry,) = shown_models(catalog, [wanted], front.yard.enabled, _today())
        served = [one for one in entry["deployments"] if one["id"] == model]
        if wanted == model or served:
            return show.answer(entry | {"id": model, "deployments": served or entry["deployments"]})
    message = f"no policy, model or deployment is called {model[:100]!r}; GET /v1/models lists what there is"
    problem = Problem(Code.UNKNOWN_MODEL, message, "model")
    problem.status = 404
    raise problem


def _today() -> dt.date:
    """Whose prices are shown."""
    return dt.datetime.now(dt.UTC).date()


def _is_open(front: Front, policy: Policy) -> bool:
    """Whether something that the policy names can carry a job."""
    return any(option.fault is None for option in front.yard.lineup(policy).options)


def _policy(policy: Policy) -> dict[str, Any]:
    """A policy as a model, since it may stand where a model's name does."""
    return {
        "id": policy.name,
        "object": "model",
        "created": 0,
        "owned_by": OWNER,
        "tiers": policy.tiers,
        "choose": policy.choose,
        "min_confidence": policy.min_confidence,
    }
