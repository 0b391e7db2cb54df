"""With Postgres away every route that needs it says 503 and when to come back, and serves again when it is there."""

import asyncio
import re
from collections.abc import AsyncIterator

import msgspec
import psycopg
import pytest
from fastapi.routing import APIRoute
from psycopg import sql

from api import accounts, batches, bulk, health, jobs, ledger, submit
from cli.embedded import Postgres
from jobs import ids
from jobs.settings import Settings
from jobs.store.uuid7 import uuid7
from tests.api.caller import JOB, Caller

BODIES = {
    "/v1/jobs": msgspec.json.encode(JOB),
    "/v1/jobs/bulk": msgspec.json.encode(JOB),
    "/v1/keys": b'{"name": "k", "scopes": ["read"]}',
}
ROUTES = [
    (method, route.path)
    for module in (accounts, batches, bulk, health, jobs, ledger, submit)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
NEEDS_NO_STORE = {("GET", "/healthz")}
PREFIXES = {"job_id": "job", "batch_id": "batch", "key_id": "key"}


class Away:
    """One database of the server that lets nobody in: to its clients, a server that has stopped."""

    def __init__(self, admin: "psycopg.AsyncConnection[tuple[object, ...]]", name: str) -> None:
        self._admin = admin
        self._name = name

    async def allow(self, yes: bool) -> None:
        statement = sql.SQL("alter database {} with allow_connections {}")
        await self._admin.execute(statement.format(sql.Identifier(self._name), sql.Literal(yes)))

    async def go(self) -> None:
        await self.allow(False)
        await self._admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [self._name]
        )


@pytest.fixture
async def away(settings: Settings, postgres: Postgres) -> AsyncIterator[Away]:
    found = re.search(r"@/(\w+)\?", settings.database_url)
    assert found is not None
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as admin:
        made = Away(admin, found[1])
        yield made
        await made.allow(True)


def address(path: str) -> str:
    """A path with an id of the right kind in each of its places."""
    return re.sub(r"\{(\w+)\}", lambda place: ids.show(PREFIXES[place[1]], uuid7()), path)


@pytest.mark.parametrize("key", ["remembered", "never seen"])
async def test_every_route_says_503_and_when_to_come_back(caller: Caller, away: Away, key: str):
    await caller.get("/v1/jobs")  # from now on its key is known for some seconds
    await away.go()
    if key == "never seen":
        caller.key = f"ty_{'0' * 16}_{'A' * 43}"
    for method, path in ROUTES:
        if (method, path) in NEEDS_NO_STORE:
            continue
        async with asyncio.timeout(20):
            response = await caller.call(method, address(path), BODIES.get(path) if method == "POST" else None)
        assert (response.status_code, response.headers.get("retry-after")) == (503, "2"), (method, path, response.text)


async def test_it_serves_again_when_postgres_is_back(caller: Caller, away: Away):
    await caller.submit()
    await away.go()
    body = msgspec.json.encode(JOB)
    refused = await asyncio.gather(*(caller.call("POST", "/v1/jobs", body) for _ in range(20)))
    assert {response.status_code for response in refused} == {503}
    await away.allow(True)
    accepted = await asyncio.gather(*(caller.call("POST", "/v1/jobs", body) for _ in range(20)))
    assert {response.status_code for response in accepted} == {202}
    assert len((await caller.get("/v1/jobs?limit=100"))["data"]) == 21
