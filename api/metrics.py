"""GET /metrics: this process's figures, and the fleet's from Postgres and Redis, read at most every five seconds."""

import datetime as dt
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.figures import Snapshot
from api.front import Front, front_of
from api.openapi import PUBLIC
from jobs import meters
from jobs.health import Health
from jobs.meters import FLEET
from jobs.store.accounts import Scope
from routing.catalog import Deployment

TEXT = {"responses": {"200": {"description": "Prometheus' text format", "content": {"text/plain": {}}}}}
router = APIRouter(tags=["operations"])
STATES = ("closed", "open", "half_open")
Samples = Iterable[tuple[tuple[str, ...], float]]


@router.get("/metrics", openapi_extra=PUBLIC | TEXT, response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format. Without Postgres: this process's figures, and `tokenyard_postgres_up 0`."""
    front = front_of(request)
    if not front.settings.telemetry.open_metrics:
        await front.keys.check(request.headers.get("authorization"), Scope.ADMIN)
    snapshot, health = await front.figures.read()
    told = _Told([*_fleet(snapshot), *_up(snapshot, health), *_gates(health), *_prices(front)])
    return Response(meters.page(meters.API) + meters.page(told), media_type=meters.CONTENT_TYPE)


class _Told(Collector):
    """Families as a collector, which is what the text format is made from."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Each once."""
        return iter(self._families)


def _family(name: str, samples: Samples) -> Metric:
    figure = FLEET[name]
    kind = CounterMetricFamily if figure.is_counter else GaugeMetricFamily
    family = kind(name, figure.sentence, labels=figure.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _up(snapshot: Snapshot | None, health: Health) -> list[Metric]:
    return [
        _family("tokenyard_postgres_up", [((), float(snapshot is not None))]),
        _family("tokenyard_redis_up", [((), float(health.is_known))]),
    ]


def _fleet(snapshot: Snapshot | None) -> list[Metric]:
    """Nothing while the record is away: an old figure would look like a quiet yard."""
    if snapshot is None:
        return []
    sums = snapshot.totals
    by_model: dict[tuple[str, str], tuple[float, int]] = {}
    tokens: dict[tuple[str, str, str, str], float] = {}
    for each in sums:
        cost, unknown = by_model.get((each.provider, each.model), (0.0, 0))
        by_model[each.provider, each.model] = (cost + each.cost_usd, unknown + each.unknown_cost)
        for direction, count in (("input", each.input_tokens), ("output", each.output_tokens)):
            key = (each.provider, each.model, each.outcome, direction)
            tokens[key] = tokens.get(key, 0) + count
    lanes = snapshot.open_jobs
    return [
        _family("tokenyard_jobs", [((each.lane, each.state), each.jobs) for each in lanes]),
        _family("tokenyard_oldest_job_seconds", [((each.lane, each.state), each.oldest_s) for each in lanes]),
        _family("tokenyard_workers", [((lane,), count) for lane, count in snapshot.workers.items()]),
        _family(
            "tokenyard_webhooks",
            [((state,), getattr(snapshot.webhooks, state)) for state in ("enabled", "failing", "disabled")],
        ),
        _family(
            "tokenyard_webhook_deliveries",
            [((state,), getattr(snapshot.webhooks, state)) for state in ("pending", "overdue")],
        ),
        _family("tokenyard_budgets", [((state,), count) for state, count in snapshot.budgets.items()]),
        _family("tokenyard_attempts_total", [(each[:4], each.attempts) for each in sums]),
        _family("tokenyard_cost_usd_total", [(key, cost) for key, (cost, _) in by_model.items()]),
        _family("tokenyard_unknown_cost_total", [(key, unknown) for key, (_, unknown) in by_model.items()]),
        _family("tokenyard_tokens_total", tokens.items()),
        _family("tokenyard_ledger_lag_seconds", [((), snapshot.lag_s)]),
    ]


def _gates(health: Health) -> list[Metric]:
    """Nothing while Redis is away: each worker goes by its own opinion then."""
    if not health.is_known:
        return []
    states = [
        ((each.kind, each.name, state), float(each.state == state)) for each in health.breakers for state in STATES
    ]
    keys = [((each.provider, str(each.key_index)), each) for each in health.keys]
    used = [
        ((*name, limit), share)
        for name, key in keys
        for limit, share in (("requests", key.requests_used_share), ("tokens", key.tokens_used_share))
        if share is not None
    ]
    return [
        _family("tokenyard_breaker_state", states),
        _family("tokenyard_key_closed_seconds", [(name, key.closing.closed_s) for name, key in keys]),
        _family(
            "tokenyard_model_closed_seconds",
            [
                ((*name, each.model), each.closing.closed_s)
                for name, key in keys
                for each in key.models
                if each.closing.why is not None
            ],
        ),
        _family(
            "tokenyard_key_disabled_seconds",
            [((*name, key.trouble), key.disabled_s) for name, key in keys if key.trouble is not None],
        ),
        _family("tokenyard_limit_used_ratio", used),
        _family(
            "tokenyard_key_calls_in_flight",
            [(name, key.in_flight) for name, key in keys if key.in_flight is not None],
        ),
    ]


def _prices(front: Front) -> list[Metric]:
    today = dt.datetime.now(dt.UTC).date()
    known = front.yard.catalog.at(front.yard.enabled)
    return [
        _family("tokenyard_price_usd_per_million_tokens", [sample for each in known for sample in _price(each, today)])
    ]


def _price(deployment: Deployment, today: dt.date) -> Samples:
    price = deployment.price_on(today)
    if price is None:
        return []
    return [((deployment.id, "input"), float(price.input)), ((deployment.id, "output"), float(price.output))]
