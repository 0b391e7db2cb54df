"""GET /v1/providers: which provider is well, which key is closed and why, and what the last hour cost."""

import datetime as dt
from decimal import Decimal
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from api import show
from api.auth import Reader
from api.contract import PROVIDERS
from api.front import Front, front_of
from api.provider_shapes import (
    BreakerShape,
    ClocksShape,
    ClosingShape,
    DeploymentShape,
    KeyShape,
    LimitsShape,
    ModelShape,
    ProviderList,
    ProviderShape,
    RecentShape,
)
from jobs.configuration import is_set
from jobs.health import BreakerView, ClosingView, Health, KeyView, ModelView
from jobs.settings import KeyLimits, Provider, ProviderKey
from jobs.store import ledger
from jobs.store.ledger import ProviderLately
from routing import timeouts
from routing.limit_facts import limits_by

RECENT = dt.timedelta(hours=1)
NOTHING = RecentShape(0, 0, show.money(Decimal(0)), 0, None, None)

router = APIRouter(tags=["operations"])


@router.get("/v1/providers", openapi_extra=PROVIDERS)
async def list_providers(request: Request, key: Reader) -> Response:
    """Every configured provider: breakers, keys with their limits, and your calls of the last hour."""
    front = front_of(request)
    since = dt.datetime.now(dt.UTC) - RECENT
    health = await front.health.read(front.settings.providers)
    async with front.database.statement() as connection:
        lately = await ledger.lately(connection, key.tenant_id, since)
    policies = {name: policy.timeout_s for name, policy in front.policies.items()}
    clocks = ClocksShape(timeouts.CONNECT_S, timeouts.FIRST_BYTE_S, timeouts.IDLE_S, policies)
    recent = {row.provider: _recent(row) for row in lately.rows}
    providers = [
        _provider(name, provider, front, health, recent.get(name, NOTHING))
        for name, provider in front.settings.providers.items()
    ]
    since_text = show.moment(lately.since) or ""
    return show.answer(ProviderList("list", health.is_known, since_text, clocks, providers))


def _provider(name: str, provider: Provider, front: Front, health: Health, recent: RecentShape) -> ProviderShape:
    views = {(view.kind, view.name): view for view in health.breakers}
    served = _named(front, name)
    lately = {view.name for view in health.breakers if view.kind == "deployment"}
    served |= {found for found in lately if found.endswith(f"@{name}")}  # called lately, whoever named it
    keys = [view for view in health.keys if view.provider == name]
    return ProviderShape(
        id=name,
        object="provider",
        is_on=name in front.yard.enabled,
        dialect=provider.dialect,
        host=_host(provider.base_url),
        http2=provider.http2,
        sandbox=provider.is_sandbox,
        limits_by=limits_by(name, provider),
        breaker=_breaker(views.get(("provider", name)), is_known=health.is_known),
        deployments=[
            DeploymentShape(found, _breaker(views.get(("deployment", found)), is_known=health.is_known))
            for found in sorted(served)
        ],
        keys=[_key(key, view) for key, view in zip(provider.keys, keys, strict=True)],
        recent=recent,
    )


def _named(front: Front, provider: str) -> set[str]:
    """A provider's deployments that a policy or the settings name: the catalogue knows hundreds more."""
    options = (option for policy in front.policies.values() for option in front.yard.lineup(policy).options)
    by_policy = {option.id for option in options if option.deployment.provider == provider}
    by_hand = (f"{each['model']}@{provider}" for each in front.settings.deployments if each["provider"] == provider)
    return by_policy.union(by_hand)


def _breaker(view: BreakerView | None, *, is_known: bool) -> BreakerShape:
    if view is None:
        return BreakerShape("closed" if is_known else "unknown", 0.0, None, 0, 0, 0)
    tripped_s = None if view.tripped_s is None else round(view.tripped_s, 1)
    return BreakerShape(view.state, round(view.opens_in_s, 1), tripped_s, view.trips, view.calls, view.failures)


def _key(key: ProviderKey, view: KeyView) -> KeyShape:
    return KeyShape(
        index=view.key_index,
        env=key.env,
        is_set=is_set(key),
        limits=_limits(key.limits),
        model_limits={pattern: _limits(limits) for pattern, limits in key.model_limits.items()},
        requests_used_share=_rounded(view.requests_used_share, 3),
        tokens_used_share=_rounded(view.tokens_used_share, 3),
        in_flight=view.in_flight,
        closed_s=round(view.closing.closed_s, 1),
        closing=_closing(view.closing),
        models=list(map(_model, view.models)),
        disabled_s=round(view.disabled_s, 1),
        trouble=view.trouble,
        troubled_for_s=_rounded(view.troubled_s, 1),
    )


def _model(view: ModelView) -> ModelShape:
    return ModelShape(
        model=view.model,
        closing=_closing(view.closing),
        limits=_limits(view.limits),
        requests_used_share=_rounded(view.requests_used_share, 3),
        tokens_used_share=_rounded(view.tokens_used_share, 3),
        in_flight=view.in_flight,
    )


def _closing(view: ClosingView) -> ClosingShape | None:
    if view.why is None:
        return None
    return ClosingShape(view.why, round(view.closed_s, 1), round(view.tried_s, 1), round(view.since_s or 0.0, 1))


def _limits(limits: KeyLimits) -> LimitsShape:
    return LimitsShape(limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _recent(row: ProviderLately) -> RecentShape:
    cost = None if row.cost_usd is None and row.unknown_cost else show.money(row.cost_usd or Decimal(0))
    return RecentShape(row.calls, row.failures, cost, row.unknown_cost, row.latency_p50_ms, row.latency_p95_ms)


def _host(base_url: str) -> str:
    """Host and port only: an address may carry a password."""
    parts = urlsplit(base_url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
