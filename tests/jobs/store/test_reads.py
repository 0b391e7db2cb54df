"""What is read of jobs and batches is the sum of their rows, within one tenant."""

from decimal import Decimal

from sqlalchemy import text

from jobs.ending import Cost
from jobs.store import reads
from jobs.store.reads import RESULT_PAGE, Filter
from jobs.store.rows import Move
from jobs.store.session import Database
from jobs.store.submit import Batch, Spool, copy_in
from jobs.store.uuid7 import uuid7
from migrations.run import head
from tests.jobs.store import given


async def test_results_come_in_input_order_over_several_pages(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    batch_id, count = uuid7(), 2 * RESULT_PAGE
    with Spool() as spool:
        for seq in reversed(range(count)):
            spool.add(given.submission(tenant_id, batch_id=batch_id, batch_seq=seq))
        async with database.transaction() as connection:
            await copy_in(connection, Batch(id=batch_id, tenant_id=tenant_id, total=count), spool)
    pages = [page async for page in reads.results(database, tenant_id, batch_id)]
    assert [len(page) for page in pages] == [RESULT_PAGE, RESULT_PAGE]
    assert [result.row.batch_seq for page in pages for result in page] == list(range(count))
    assert [page async for page in reads.results(database, other, batch_id)] == []


async def test_a_sum_with_an_open_call_is_incomplete_and_bounded(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    token = await given.claimed(database, job_id)
    first = await given.attempt(database, job_id, token)
    await given.settle(database, Move.close(job_id, token, given.closing(first, cost_usd=Decimal("0.001"))))
    await given.attempt(database, job_id, token)
    async with database.statement() as connection:
        (row,) = await reads.page(connection, tenant_id, Filter(), 10)
    assert Cost.of(row) == Cost(Decimal("0.001"), Decimal("0.006"), is_complete=False)


async def test_a_page_is_narrowed_by_everything_at_once(database: Database):
    tenant_id = await given.tenant(database)
    wanted = await given.job(database, tenant_id, custom_id="a")
    await given.job(database, tenant_id, custom_id="b")
    async with database.statement() as connection:
        where = Filter(state=("queued", "running"), lane="standard", custom_id="a", after=uuid7())
        assert [row.id for row in await reads.page(connection, tenant_id, where, 10)] == [wanted]


async def test_only_a_tenants_own_waiting_jobs_are_counted(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    for released in (True, False):
        await given.job(database, tenant_id, released=released)
    await given.succeeded(database, await given.job(database, tenant_id))
    await given.job(database, other)
    async with database.statement() as connection:
        assert await reads.count_queued(connection, tenant_id) == 2


async def test_the_revision_is_the_migrations_head_and_none_before_any(database: Database):
    async with database.statement() as connection:
        assert await reads.revision(connection) == head()
        await connection.execute(text("drop table alembic_version"))
        assert await reads.revision(connection) is None
