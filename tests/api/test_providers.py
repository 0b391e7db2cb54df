"""GET /v1/providers: the fleet's view and the ledger's last hour, and no secret in it."""

import datetime as dt
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
import redis.asyncio

from api.app import create_with, lifespan
from jobs.failures import FailureKind, Scope
from jobs.settings import KeyLimits, Provider, ProviderKey, Settings
from jobs.states import Outcome
from jobs.store import ledger
from jobs.store.accounts import ensure_tenant
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.api.caller import Caller
from tests.api.conftest import make_key
from tests.jobs.store import given
from tests.workers.fleet import BAD, Fleet, fleet_of

KEYS = (
    ProviderKey(
        env="LAB_FIRST",
        limits=KeyLimits(requests_per_minute=600, concurrency=8),
        model_limits={"lar*": KeyLimits(concurrency=2)},
    ),
    ProviderKey(env="LAB_SECOND"),
)


@pytest.fixture
async def fleet(redis_url: str) -> AsyncIterator[Fleet]:
    """A worker of a provider that nobody else knows, in a Redis without the breakers of earlier yards."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushdb()
    async with fleet_of(redis_url, 1, *KEYS) as made:
        yield made


@pytest.fixture
def settings(settings: Settings, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_FIRST", "sk-very-secret")
    lab = Provider(dialect="openai", base_url="http://user:password@lab.test:8080/v1", keys=KEYS, http2=True)
    off = Provider(dialect="openai", base_url="https://off.test/v1", keys=(ProviderKey(env="LAB_UNSET"),))
    return msgspec.structs.replace(settings, providers={"lab": lab, "off": off, **fleet.providers})


async def test_it_says_what_is_configured_and_no_secret(caller: Caller, settings: Settings):
    found = await caller.get("/v1/providers")
    lab, off, _ = found["data"]
    assert (lab["id"], lab["is_on"], lab["dialect"], lab["host"], lab["http2"]) == (
        "lab",
        True,
        "openai",
        "lab.test:8080",
        True,
    )
    assert [(key["env"], key["is_set"]) for key in lab["keys"]] == [("LAB_FIRST", True), ("LAB_SECOND", False)]
    assert lab["keys"][0]["limits"] == {"requests_per_minute": 600, "tokens_per_minute": None, "concurrency": 8}
    assert lab["keys"][0]["model_limits"]["lar*"]["concurrency"] == 2
    assert (lab["limits_by"], lab["keys"][0]["closing"], lab["keys"][0]["models"]) == ("model", None, [])
    assert [each["id"] for each in lab["deployments"]] == ["maker/small@lab"]
    assert (off["is_on"], off["breaker"]["state"]) == (False, "closed")
    assert found["clocks"] == {"connect_s": 5.0, "first_byte_s": 60.0, "idle_s": 30.0, "total_s": {"auto": 120.0}}
    for secret in ("sk-very-secret", "password"):
        assert secret not in str(found)


async def test_it_shows_what_a_worker_found_out(caller: Caller, fleet: Fleet):
    (worker,) = fleet.workers
    calls = [await worker.entered() for _ in range(6)]
    await worker.leave(calls.pop(), FailureKind.RATE_LIMITED, 20, Scope.ACCOUNT)
    for entry in calls:
        await worker.leave(entry, BAD)
    await worker.health.settled()
    sick = (await caller.get("/v1/providers"))["data"][2]
    assert (sick["breaker"]["state"], sick["breaker"]["failures"], sick["breaker"]["trips"]) == ("open", 5, 1)
    assert 0 < sick["breaker"]["opens_in_s"] <= 15
    assert [(each["id"], each["breaker"]["state"]) for each in sick["deployments"]] == [(fleet.deployment.id, "open")]
    assert 0 < sick["keys"][0]["closed_s"] == sick["keys"][0]["closing"]["closed_s"] <= 20
    assert (sick["keys"][0]["in_flight"], sick["keys"][1]["in_flight"]) == (0, None)


async def test_it_shows_which_model_of_which_key_is_closed_and_until_when(caller: Caller, fleet: Fleet):
    (worker,) = fleet.workers
    await worker.leave(await worker.entered(fleet.other), FailureKind.RATE_LIMITED, 7_200)
    first, second = (await caller.get("/v1/providers"))["data"][2]["keys"]
    (model,) = first["models"]
    assert (first["closing"], first["closed_s"], second["models"]) == (None, 0.0, [])
    assert (model["model"], model["in_flight"], model["limits"]["concurrency"]) == ("large", 0, 2)
    assert model["closing"]["why"] == "rate_limited"
    assert 7_100 < model["closing"]["closed_s"] <= 7_200
    assert 800 < model["closing"]["tried_s"] <= 900


async def test_the_last_hour_is_the_callers_own(caller: Caller, stranger: Caller):
    for _ in range(3):
        await given.succeeded(caller.database, await caller.submit())
    job_id = await caller.submit()
    token = await given.claimed(caller.database, job_id)
    attempt_id = await given.attempt(caller.database, job_id, token)
    failed = {"outcome": Outcome.FAILED, "failure": BAD, "answer": None, "cost_usd": None, "cost_basis": "estimate"}
    await given.settle(caller.database, Move.close(job_id, token, given.closing(attempt_id, **failed)))
    found = await caller.get("/v1/providers")
    recent = found["data"][0]["recent"]
    assert (recent["calls"], recent["failures"], recent["unknown_cost"]) == (4, 1, 1)
    assert (recent["cost_usd"], recent["latency_p50_ms"]) == ("0.000370200000", 380.0)
    assert found["data"][1]["recent"]["calls"] == 0
    assert (await stranger.get("/v1/providers"))["data"][0]["recent"]["calls"] == 0


async def test_of_very_many_calls_it_looks_at_the_newest_and_says_since_when(caller: Caller):
    for _ in range(3):
        await given.succeeded(caller.database, await caller.submit())
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    async with caller.database.transaction() as connection:
        tenant_id = await ensure_tenant(connection, "default")
        whole = await ledger.lately(connection, tenant_id, long_ago)
        newest = await ledger.lately(connection, tenant_id, long_ago, most=2)
    assert (whole.rows[0].calls, whole.since) == (3, long_ago)
    assert newest.rows[0].calls == 2
    assert newest.since > long_ago


async def test_without_redis_it_still_answers_and_says_that_it_does_not_know(settings: Settings, database: Database):
    settings = msgspec.structs.replace(settings, redis_url="unix:///nowhere/none.sock")
    app = create_with(settings)
    headers = {"authorization": f"Bearer {await make_key(database, 'default')}"}
    async with lifespan(settings)(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as client:
        response = await client.get("http://yard/v1/providers", headers=headers)
    found = response.json()
    assert (response.status_code, found["is_known"]) == (200, False)
    assert found["data"][0]["breaker"]["state"] == found["data"][0]["deployments"][0]["breaker"]["state"] == "unknown"


async def test_the_documentation_page_describes_it(caller: Caller):
    page = (await caller.call("GET", "/docs")).text
    assert "GET /v1/providers" in page
    for name in ("ProviderShape", "KeyShape", "ModelShape", "ClosingShape", "BreakerShape"):
        assert f"<h2>{name}</h2>" in page
