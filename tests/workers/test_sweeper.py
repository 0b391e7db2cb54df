"""A sweeper that was blind waits one lease before it rescues."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import text

from jobs.settings import Dispatcher, Settings, Worker
from jobs.store.session import Database, StoreUnavailable
from tests.faults.harness import until
from tests.jobs.store import given
from workers.sweeper import BLIND_S, Sweeper

LEASE_S = 4.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=2)
    yield opened
    await opened.close()


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, worker=Worker(lease_s=LEASE_S), dispatcher=Dispatcher(sweep_s=0.02))


@pytest.fixture
def sweeper(database: Database, settings: Settings) -> Sweeper:
    return Sweeper(database, settings)


async def state(database: Database, job_id: uuid.UUID) -> str:
    async with database.statement() as connection:
        found = await connection.execute(text("select state from jobs where id = :id"), {"id": job_id})
        return str(found.scalar_one())


async def is_queued(database: Database, job_id: uuid.UUID) -> bool:
    return await state(database, job_id) == "queued"


async def execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def abandoned(database: Database) -> uuid.UUID:
    """A running job whose lease has run out."""
    job_id = await given.job(database, await given.tenant(database))
    await given.claimed(database, job_id)
    await execute(database, "update jobs set lease_until = now() - interval '1 s' where state = 'running'")
    return job_id


async def test_it_rescues_the_jobs_of_the_dead(sweeper: Sweeper, database: Database):
    job_id = await abandoned(database)
    await sweeper.sweep(time.monotonic())
    assert await state(database, job_id) == "queued"


async def test_it_leaves_a_lease_alone_that_holds(sweeper: Sweeper, database: Database):
    job_id = await given.job(database, await given.tenant(database))
    await given.claimed(database, job_id)
    await sweeper.sweep(time.monotonic())
    assert await state(database, job_id) == "running"


async def test_a_sweeper_that_was_blind_waits_one_lease_before_it_rescues(sweeper: Sweeper, database: Database):
    began_s = time.monotonic()
    await sweeper.sweep(began_s)
    job_id = await abandoned(database)
    sighted_s = began_s + BLIND_S + 1
    for waited_s in (0, 1, LEASE_S - 0.01):
        await sweeper.sweep(sighted_s + waited_s)
        assert await state(database, job_id) == "running"
    await sweeper.sweep(sighted_s + LEASE_S)
    assert await state(database, job_id) == "queued"


async def test_a_sweeper_that_was_away_for_less_rescues_at_once(sweeper: Sweeper, database: Database):
    began_s = time.monotonic()
    await sweeper.sweep(began_s)
    job_id = await abandoned(database)
    await sweeper.sweep(began_s + BLIND_S - 1)
    assert await state(database, job_id) == "queued"


async def test_it_expires_the_late_and_releases_again_what_nobody_came_for(sweeper: Sweeper, database: Database):
    tenant_id = await given.tenant(database)
    late, forgotten = [await given.job(database, tenant_id) for _ in range(2)]
    async with database.statement() as connection:
        await connection.execute(text("update jobs set deadline_at = now() where id = :id"), {"id": late})
        await connection.execute(
            text("update jobs set released_at = now() - interval '1 h' where id = :id"), {"id": forgotten}
        )
    await sweeper.sweep(time.monotonic())
    assert await state(database, late) == "expired"
    async with database.statement() as connection:
        found = await connection.execute(text("select released_at from jobs where id = :id"), {"id": forgotten})
        assert found.scalar_one() is None


async def test_it_sweeps_until_it_is_stopped(sweeper: Sweeper, database: Database):
    stopped = asyncio.Event()
    sweeping = asyncio.create_task(sweeper.run(stopped))
    for _ in range(2):
        job_id = await abandoned(database)
        await until(partial(is_queued, database, job_id), "the job is rescued", 10)
    stopped.set()
    async with asyncio.timeout(10):
        await sweeping


async def test_without_postgres_it_goes_on_trying(settings: Settings):
    away = Database("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    stopped = asyncio.Event()
    sweeping = asyncio.create_task(Sweeper(away, settings).run(stopped))
    done, _ = await asyncio.wait([sweeping], timeout=0.3)
    assert not done
    stopped.set()
    async with asyncio.timeout(10):
        await sweeping
    await away.close()


async def test_housekeeping_that_fails_holds_off_neither_rescue_nor_submits(database: Database, database_url: str):
    patient = Database(database_url, pool_size=1, turn_timeout_s=1)
    sweeper = Sweeper(patient, Settings(database_url=database_url))
    (name,) = await names_of_newest_partition(database)
    await execute(database, f"drop table {name}")
    async with database.transaction() as reader:  # somebody reads for long: the missing partition can't be made
        await reader.execute(text("select count(*) from payloads"))
        with pytest.raises(StoreUnavailable):
            await sweeper.sweep(time.monotonic())
        job_id = await abandoned(database)
        await sweeper.sweep(time.monotonic())
        assert await state(database, job_id) == "queued"
    await patient.close()


async def names_of_newest_partition(database: Database) -> list[str]:
    async with database.statement() as connection:
        found = await connection.execute(
            text("select relname from pg_class where relname ~ '^payloads_[0-9]+$' order by relname desc limit 1")
        )
        return [str(name) for name in found.scalars()]
