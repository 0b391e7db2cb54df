"""A lost, refused or exhausted connection is StoreUnavailable, whatever the driver called it."""

import asyncio

import pytest
from sqlalchemy import exc, text

from jobs.store.session import Database, StoreUnavailable, sqlalchemy_url
from tests.jobs.store import given


async def test_a_dead_socket_is_an_absent_store():
    database = Database("postgresql://nobody@/nowhere?host=/nonexistent")
    for connect in (database.transaction, database.statement):
        with pytest.raises(StoreUnavailable):
            async with connect():
                pass
    await database.close()


async def test_a_killed_connection_is_an_absent_store_and_the_next_one_works(database: Database):
    with pytest.raises(StoreUnavailable):
        async with database.statement() as connection:
            await connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
    async with database.statement() as connection:
        assert (await connection.execute(text("select 1"))).scalar_one() == 1


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
async def test_giving_up_the_wait_is_no_fault_of_the_query(database: Database, setting: str):
    job_id = await given.job(database, await given.tenant(database))

    async def impatient() -> None:
        async with database.transaction() as connection:
            await connection.execute(text(f"set local {setting} = '20ms'"))
            await connection.execute(text("update jobs set strict = true"))

    async with database.transaction() as holder:
        await holder.execute(text("select 1 from jobs where id = :id for update"), {"id": job_id})
        with pytest.raises(StoreUnavailable):
            await impatient()


async def test_who_loses_a_deadlock_may_try_again(database: Database):
    tenant_id = await given.tenant(database)
    ids = [await given.job(database, tenant_id) for _ in range(2)]
    both_hold = asyncio.Barrier(2)
    touch = text("update jobs set strict = true where id = :id")

    async def cross(first: int, second: int) -> str:
        try:
            async with database.transaction() as connection:
                await connection.execute(touch, {"id": ids[first]})
                await both_hold.wait()
                await connection.execute(touch, {"id": ids[second]})
        except StoreUnavailable:
            return "lost"
        return "won"

    assert sorted(await asyncio.gather(cross(0, 1), cross(1, 0))) == ["lost", "won"]


async def test_no_free_connection_in_time_is_an_absent_store(database_url: str):
    database = Database(database_url, pool_size=1, turn_timeout_s=0.01)
    async with database.statement():
        with pytest.raises(StoreUnavailable):
            async with database.statement():
                pass
    await database.close()


async def test_a_fault_of_the_query_stays_one(database: Database):
    with pytest.raises(exc.ProgrammingError):
        async with database.statement() as connection:
            await connection.execute(text("select nonsense"))


async def test_an_exception_rolls_a_transaction_back(database: Database):
    async def break_off() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("insert into tenants (id, name) values (gen_random_uuid(), 'ghost')"))
            raise KeyError

    with pytest.raises(KeyError):
        await break_off()
    async with database.statement() as connection:
        assert (await connection.execute(text("select count(*) from tenants"))).scalar_one() == 0


async def test_only_what_may_be_lost_commits_without_waiting(database_url: str):
    for durable, setting in ((True, "on"), (False, "off")):
        database = Database(database_url, durable=durable)
        async with database.statement() as connection:
            found = await connection.execute(text("select current_setting('synchronous_commit')"))
            assert found.scalar_one() == setting
        await database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_the_address_gets_our_driver(scheme: str):
    assert sqlalchemy_url(f"{scheme}://me@/yard?host=/tmp") == "postgresql+psycopg://me@/yard?host=/tmp"
