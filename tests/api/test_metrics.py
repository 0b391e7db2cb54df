"""GET /metrics: the fleet's figures from the record, this process's own, and no 500 whatever is away."""

import re

import httpx2
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import figures
from api.app import create_with, lifespan
from api.metrics import _gates
from cli.status import jobs_by_lane
from jobs import meters
from jobs.failures import FailureKind
from jobs.health import ClosingView, Health, HealthReader, KeyView, ModelView
from jobs.ids import show
from jobs.settings import KeyLimits, Settings, Telemetry
from jobs.store import totals
from jobs.store.accounts import Scope
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.api.caller import Caller
from tests.api.conftest import make_key
from tests.jobs.store import given

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scraped(caller: Caller) -> Samples:
    caller.front.figures._read_at_s = float("-inf")
    response = await caller.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of(samples: Samples, metric: str, /, **labels: str) -> float | None:
    return samples.get((metric, tuple(sorted(labels.items()))))


@pytest.fixture(autouse=True)
def no_lag(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(totals, "LAG_S", -5)


async def fold(caller: Caller) -> None:
    async with caller.database.transaction() as connection:
        await totals.fold(connection)


async def test_lanes_attempts_cost_and_tokens_are_told_and_counters_never_fall(caller: Caller):
    tenant_id = await given.tenant(caller.database)
    for _ in range(3):
        await given.succeeded(caller.database, await given.job(caller.database, tenant_id))
    waiting = await given.job(caller.database, tenant_id)
    token = await given.claimed(caller.database, waiting)
    await given.job(caller.database, tenant_id)
    await fold(caller)
    first = await scraped(caller)
    assert of(first, "tokenyard_postgres_up") == of(first, "tokenyard_redis_up") == 1
    assert of(first, "tokenyard_budgets", state="open") == of(first, "tokenyard_budgets", state="exhausted") == 0
    assert [of(first, "tokenyard_webhooks", state=state) for state in ("enabled", "failing", "disabled")] == [0, 0, 0]
    assert [of(first, "tokenyard_webhook_deliveries", state=state) for state in ("pending", "overdue")] == [0, 0]
    assert of(first, "tokenyard_breaker_state", kind="provider", name="lab", state="closed") == 1
    assert of(first, "tokenyard_key_closed_seconds", provider="lab", key_index="0") == 0
    assert of(first, "tokenyard_jobs", lane="standard", state="queued") == 1
    assert of(first, "tokenyard_jobs", lane="standard", state="running") == 1
    names = {"provider": "lab", "model": "maker/small"}
    assert of(first, "tokenyard_attempts_total", **names, outcome="accepted", failure="") == 3
    assert of(first, "tokenyard_cost_usd_total", **names) == pytest.approx(0.0003702)
    assert of(first, "tokenyard_unknown_cost_total", **names) == 0
    assert of(first, "tokenyard_tokens_total", **names, outcome="accepted", direction="input") == 123
    assert of(first, "tokenyard_price_usd_per_million_tokens", deployment="maker/small@lab", direction="output") == 0.2

    attempt_id = await given.attempt(caller.database, waiting, token)
    closing = given.closing(attempt_id, cost_usd=None, cost_basis="estimate")
    await given.settle(caller.database, Move.succeed(waiting, token, attempt_id, closing))
    await fold(caller)
    second = await scraped(caller)
    assert of(second, "tokenyard_unknown_cost_total", **names) == 1
    fleet = {name for name, figure in meters.FLEET.items() if figure.is_counter}
    assert all(second[key] >= value for key, value in first.items() if key[0] in fleet)


def test_of_models_only_those_that_are_closed_are_told():
    closing = ClosingView(why=FailureKind.RATE_LIMITED, closed_s=40.0, tried_s=40.0, since_s=20.0)
    limits = KeyLimits(concurrency=2)
    models = (ModelView(model="hot", limits=limits, closing=closing), ModelView(model="well", limits=limits))
    key = KeyView(provider="lab", key_index=1, limits=KeyLimits(), models=models)
    families = {each.name: each.samples for each in _gates(Health((), (key,), is_known=True))}
    (told,) = families["tokenyard_model_closed_seconds"]
    assert (told.labels, told.value) == ({"provider": "lab", "key_index": "1", "model": "hot"}, 40.0)


async def test_the_status_command_reads_the_same_page(caller: Caller):
    await caller.submit(lane="bulk")
    caller.front.figures._read_at_s = float("-inf")
    page = (await caller.client.get("/metrics")).content
    assert jobs_by_lane(page) == {("bulk", "queued"): 1}


async def test_requests_are_counted_by_route_template_and_nothing_tells_an_id(caller: Caller):
    job_id = await caller.submit()
    route = {"method": "GET", "route": "/v1/jobs/{job_id}", "status": "200"}
    before = of(await scraped(caller), "tokenyard_http_requests_total", **route) or 0
    await caller.get(f"/v1/jobs/{show('job', job_id)}")
    assert (await caller.client.get("/no/such/place")).status_code == 404
    samples = await scraped(caller)
    assert of(samples, "tokenyard_http_requests_total", **route) == before + 1
    assert of(samples, "tokenyard_http_requests_total", method="GET", route="none", status="404")
    text = (await caller.client.get("/metrics")).text
    assert not re.search(r"(job|att|key|batch)_0[0-9a-z]{20}", text)
    assert "no/such/place" not in text


async def test_submits_are_counted_by_lane(caller: Caller):
    before = await scraped(caller)
    await caller.submit(lane="interactive")
    await caller.bulk(5)
    after = await scraped(caller)
    for lane, count in (("interactive", 1), ("bulk", 5)):
        name = "tokenyard_jobs_submitted_total"
        assert of(after, name, lane=lane) == (of(before, name, lane=lane) or 0) + count


async def test_without_postgres_and_redis_the_process_still_tells_its_own(settings: Settings):
    gone = msgspec.structs.replace(
        settings, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0"
    )
    app = create_with(gone)
    async with lifespan(gone)(app):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://yard") as client:
            response = await client.get("/metrics", timeout=30)
        assert response.status_code == 200
        assert "tokenyard_postgres_up 0.0" in response.text
        assert "tokenyard_redis_up 0.0" in response.text
        assert "tokenyard_jobs{" not in response.text
        assert "tokenyard_http_requests_total" in response.text


async def test_a_database_that_is_not_migrated_is_no_500(settings: Settings, empty_database_url: str):
    database = Database(empty_database_url)
    reader = figures.Figures(database, HealthReader(settings.redis_url), settings.providers)
    assert (await reader.read())[0] is None
    await reader._health.aclose()
    await database.close()


async def test_a_closed_page_wants_an_admin_s_key(settings: Settings, database):
    closed = msgspec.structs.replace(settings, telemetry=Telemetry(open_metrics=False))
    app = create_with(closed)
    async with lifespan(closed)(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://yard") as client:
            assert (await client.get("/metrics")).status_code == 401
            for scope, status in ((Scope.READ, 403), (Scope.ADMIN, 200)):
                key = await make_key(database, "default", scope)
                response = await client.get("/metrics", headers={"authorization": f"Bearer {key}"})
                assert response.status_code == status
