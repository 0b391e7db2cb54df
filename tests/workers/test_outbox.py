"""The dispatcher's watch over the outbox: finished batches are told of, bells are rung while something is due."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from jobs.broker import Bells, make_app
from jobs.lanes import WEBHOOKS
from jobs.settings import Settings, Webhooks
from jobs.store import outbox
from jobs.store.session import Database
from jobs.store.submit import Batch, insert_batch
from jobs.store.uuid7 import uuid7
from tests.faults.harness import until
from tests.jobs.store import given
from tests.jobs.store.hooking import claimed, endpoint, execute, rows, told
from workers.outbox import MOST_BELLS, Outbox


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=2)
    yield opened
    await opened.close()


def bells_in(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.llen(WEBHOOKS))


@pytest.fixture
def quiet(redis_url: str) -> str:
    """The session's Redis without bells of this queue."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete(WEBHOOKS)
    return redis_url


def watch(database_url: str, redis_url: str) -> Outbox:
    settings = Settings(database_url=database_url, redis_url=redis_url, webhooks=Webhooks(retention_days=1))
    return Outbox(settings, Bells(make_app(redis_url)))


@asynccontextmanager
async def watching_at(database_url: str, redis_url: str) -> AsyncIterator[Outbox]:
    watching = watch(database_url, redis_url)
    yield watching
    await watching.close()


async def tell(database: Database, tenant_id: uuid.UUID) -> None:
    async with database.transaction() as connection:
        await outbox.announce(connection, tenant_id, "budget.exhausted", {})


async def test_it_rings_while_something_is_due_and_no_more_than_a_few_times(
    database: Database, database_url: str, quiet: str
):
    tenant_id = await given.tenant(database)
    await endpoint(database, tenant_id)
    async with watching_at(database_url, quiet) as watching:
        await watching.look(0.0)
        assert bells_in(quiet) == 0
        await tell(database, tenant_id)
        for turn in range(MOST_BELLS + 3):
            await watching.look(1.0 + turn)
        assert bells_in(quiet) == MOST_BELLS
        with redis.Redis.from_url(quiet) as client:
            client.delete(WEBHOOKS)
        await claimed(database)
        await watching.look(60.0)
    assert bells_in(quiet) == 0, "what is on its way needs no bell"


async def test_without_redis_it_goes_on(database: Database, database_url: str):
    tenant_id = await given.tenant(database)
    await endpoint(database, tenant_id)
    await tell(database, tenant_id)
    async with watching_at(database_url, "redis://127.0.0.1:1/0") as watching:
        await watching.look(0.0)
        await watching.look(0.1)
    assert len(await claimed(database)) == 1


class FrozenBells(Bells):
    """Over a Redis that takes the question and does not answer it till the test is over."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.asked = 0

    def depth(self, queue: str) -> int:
        self.asked += 1
        self.is_over.wait(30)
        return MOST_BELLS


async def test_a_redis_that_does_not_answer_holds_up_nothing(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workers.outbox.RING_S", 0.05)
    tenant_id = await given.tenant(database)
    hook = await endpoint(database, tenant_id)
    await tell(database, tenant_id)
    bells = FrozenBells()
    watching = Outbox(Settings(database_url=database_url), bells)
    await watching.look(0.0)
    batch = Batch(id=uuid7(), tenant_id=tenant_id, total=0, webhook_id=hook)
    async with database.transaction() as connection:
        await insert_batch(connection, batch)
    await watching.look(5.0)
    bells.is_over.set()
    await watching.close()
    assert ("batch.finished", batch.id) in await told(database)
    assert bells.asked == 1


async def test_it_tells_of_a_finished_batch_once_and_forgets_what_is_old(
    database: Database, database_url: str, quiet: str
):
    tenant_id = await given.tenant(database)
    hook = await endpoint(database, tenant_id)
    batch = Batch(id=uuid7(), tenant_id=tenant_id, total=0, webhook_id=hook)
    async with database.transaction() as connection:
        await insert_batch(connection, batch)
    old = (
        "insert into webhook_deliveries (id, tenant_id, webhook_id, type, data, state)"
        " values (:id, :t, :w, 'x', '{}', :s)"
    )
    for state in ("delivered", "pending"):
        await execute(
            database, old, id=uuid.UUID(int=uuid7().int - (3 * 86_400_000 << 80)), t=tenant_id, w=hook, s=state
        )
    async with watching_at(database_url, quiet) as watching:
        for now_s in (0.0, 0.5, 2.0):
            await watching.look(now_s)
    found = [kind for kind, _ in await told(database)]
    assert sorted(found) == ["batch.finished", "x"]


async def test_it_runs_until_it_is_stopped(database: Database, database_url: str, quiet: str):
    tenant_id = await given.tenant(database)
    await endpoint(database, tenant_id)
    await tell(database, tenant_id)
    stopped = asyncio.Event()
    running = asyncio.create_task(watch(database_url, quiet).run(stopped))
    await until(lambda: bells_in(quiet) >= 1, "a bell is rung", 10)
    stopped.set()
    await asyncio.wait_for(running, 10)
    assert len(await rows(database, "select from webhook_deliveries")) == 1
