"""A small catalogue and the plans on it that the routing tests share."""

import datetime as dt
import json
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings

from jobs.chat import ChatRequest
from jobs.failures import FailureKind
from jobs.job import PastAttempt
from jobs.policy import Intent, Policy
from jobs.states import Outcome
from routing.catalog import Catalog, Deployment, Model, Price
from routing.plan import Plan, Yard, plan

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No promise of these tests is about time, and the machine may be busy."""

JOB = uuid.UUID("01890000-0000-7000-8000-000000000001")
SMALL_EAST, SMALL_WEST, LARGE = "qwen/small@east", "qwen/small@west", "openai/large@north"
TWO_TIERS = Policy(
    name="support",
    tiers=(("qwen/small",), ("openai/large",)),
    choose="ordered",
    min_confidence=0.7,
    attempts_per_deployment=2,
    max_attempts=8,
)
ONE_TIER = Policy(
    name="one", tiers=((SMALL_EAST, SMALL_WEST),), choose="ordered", attempts_per_deployment=2, max_attempts=8
)
SMALL = Policy(name="small", tiers=(("qwen/small",),), attempts_per_deployment=2, max_attempts=8)
ALONE = Policy(name="alone", tiers=((SMALL_EAST,),), choose="ordered", attempts_per_deployment=2, max_attempts=8)


def price(dollars_in: str, dollars_out: str) -> Price:
    return Price(Decimal(dollars_in), Decimal(dollars_out), dt.date(2026, 5, 1), "test")


CHEAP, DEAR = price("0.36", "0.40"), price("2.50", "10.00")
MODELS = (
    Model("qwen/small", context_tokens=32_000, max_output_tokens=4_096, has_logprobs=True),
    Model("openai/large", context_tokens=128_000, max_output_tokens=16_384, has_logprobs=True),
)
DEPLOYMENTS = (
    Deployment("qwen/small", "east", "small", CHEAP),
    Deployment("qwen/small", "west", "small", CHEAP),
    Deployment("openai/large", "north", "large", DEAR),
)

PLACES = (
    Deployment("qwen/small", "eu", "s", CHEAP, region="eu", zero_retention=True),
    Deployment("qwen/small", "us", "s", CHEAP, region="us", zero_retention=False),
    Deployment("qwen/small", "nowhere", "s", CHEAP),
)


def yard(models: Iterable[Model] = MODELS, deployments: Iterable[Deployment] = DEPLOYMENTS, off: str = "") -> Yard:
    catalog = Catalog.of(models, deployments)
    enabled = frozenset(deployment.provider for deployment in catalog.deployments.values()) - {off}
    return Yard(catalog, enabled, "p1")


def request(content: Any = "where is my card?", **fields: Any) -> ChatRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": content}], **fields}
    return ChatRequest.parse(json.dumps(body).encode())


def plan_of(
    policy: Policy = TWO_TIERS,
    intent: Intent | None = None,
    on: Yard | None = None,
    asked: ChatRequest | None = None,
    job: uuid.UUID = JOB,
) -> Plan:
    return plan(job, asked or request(max_tokens=16), policy, intent or Intent(), on or yard())


def ids(planned: Plan) -> list[str]:
    return [step.deployment.id for step in planned.steps]


def reasons(planned: Plan) -> dict[str, str]:
    return {one.deployment: one.reason for one in planned.receipt.excluded}


ABLE = (
    Model("m/plain", has_tools=False, has_vision=False, has_logprobs=False),
    Model("m/rich", has_tools=True, has_vision=True, has_logprobs=True),
    Model("m/unknown"),
)
ABILITIES = yard(ABLE, tuple(Deployment(model.id, "p", "up", CHEAP) for model in ABLE))
IMAGE = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]


def past(
    deployment: str,
    outcome: Outcome = Outcome.FAILED,
    failure: FailureKind | None = None,
    **fields: Any,
) -> PastAttempt:
    if outcome is Outcome.FAILED and failure is None:
        failure = FailureKind.TRANSIENT
    tier = fields.pop("tier", 1 if deployment == LARGE else 0)
    return PastAttempt(uuid.uuid4(), deployment, tier, outcome, failure, **fields)


def rejected(deployment: str = SMALL_EAST, confidence: float | None = 0.2, **fields: Any) -> PastAttempt:
    fields.setdefault("finish_reason", "stop")
    return past(deployment, Outcome.REJECTED, None, confidence=confidence, **fields)
