"""An API of its own for each test: the real app over a fresh record and the session's Redis."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from api.app import create_with, lifespan
from api.front import Front
from jobs.policy import Policy
from jobs.settings import Api, Provider, Settings
from jobs.store.accounts import Scope, create_key, ensure_tenant
from jobs.store.session import Database
from tests.api.caller import Caller

PRICE = {"input": "0.10", "output": "0.20", "valid_from": "2026-01-01", "source": "a test"}


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        api=Api(max_request_bytes=200_000, max_bulk_bytes=2_000_000, max_bulk_jobs=3_000),
        providers={"lab": Provider(dialect="openai", base_url="http://127.0.0.1:9")},
        policies={"auto": Policy(name="auto", tiers=(("maker/small",),))},
        models=({"id": "maker/small", "context_tokens": 8_000, "max_output_tokens": 1_000, "has_tools": False},),
        deployments=({"model": "maker/small", "provider": "lab", "upstream": "small", "price": PRICE},),
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = Database(settings.database_url, pool_size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def caller(settings: Settings, database: Database) -> AsyncIterator[Caller]:
    """Calls the API with a key of tenant `default` that may do everything."""
    app = create_with(settings)
    async with lifespan(settings)(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://yard") as client:
            front: Front = app.state.front
            yield Caller(client, front, database, await make_key(database, "default"))


async def make_key(database: Database, tenant: str, *scopes: Scope) -> str:
    async with database.transaction() as connection:
        tenant_id = await ensure_tenant(connection, tenant)
        _, key = await create_key(connection, tenant_id, "test", scopes or Scope)
    return key


@pytest.fixture
async def stranger(caller: Caller, database: Database) -> Caller:
    """Calls the same API for another tenant."""
    return Caller(caller.client, caller.front, database, await make_key(database, "other"))
