"""What an owner does to jobs: cancel, retry, erase; each within its tenant."""

import asyncio

from sqlalchemy import text

from jobs.chat import ChatRequest
from jobs.lanes import Lane
from jobs.store import lifecycle, owner
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given


async def test_a_cancel_that_meets_a_claim_half_way_flags_the_running_job(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True)
    async with database.transaction() as worker:
        await lifecycle.claim_rung(worker, [job_id], lease_s=30)

        async def cancel() -> owner.Cancelled:
            async with database.transaction() as connection:
                return await owner.cancel_job(connection, tenant_id, job_id)

        cancelling = asyncio.create_task(cancel())
        await _until_it_waits(database)
    assert await cancelling == owner.Cancelled(ended=(), told=(job_id,))


async def _until_it_waits(database: Database) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    for _ in range(500):
        async with database.statement() as connection:
            if (await connection.execute(waiting)).scalar_one():
                return
        await asyncio.sleep(0.005)
    raise AssertionError("nobody waits for a lock")


async def test_a_deferred_job_whose_owner_had_cancelled_ends(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    token = await given.claimed(database, job_id)
    async with database.transaction() as connection:
        await owner.cancel_job(connection, tenant_id, job_id)
    await given.settle(database, Move.defer(job_id, token, 5.0, None))
    async with database.transaction() as connection:
        assert await owner.standing(connection, tenant_id, job_id) == owner.Standing("cancelled", is_purged=False)


async def test_a_retry_carries_the_same_request_in_a_lane_that_is_open_to_all(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    job_id = await given.job(database, tenant_id, lane=Lane.QUARANTINE, task="t")
    await given.succeeded(database, job_id)
    async with database.transaction() as connection:
        assert await owner.retry_job(connection, owner.Asker(other), job_id) is None
        new_id = await owner.retry_job(connection, owner.Asker(tenant_id), job_id)
        assert new_id is not None
        await connection.execute(text("update jobs set released_at = now() where id = :id"), {"id": new_id})
        ((job,), _) = await lifecycle.claim_rung(connection, [new_id], lease_s=30)
    assert (job.lane, job.task, job.request) == (Lane.STANDARD, "t", ChatRequest.parse(given.RAW))


async def test_a_strangers_erase_erases_nothing(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    job_id = await given.job(database, tenant_id)
    await given.succeeded(database, job_id)
    async with database.transaction() as connection:
        await owner.erase(connection, other, job_id)
        assert (await connection.execute(text("select count(*) from payloads"))).scalar_one() == 2


async def test_an_erase_finds_its_prompt_and_its_answers_by_their_keys(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    attempt_id = await given.succeeded(database, job_id)
    bystander = await given.job(database, tenant_id)
    # Enough for reading a partition whole to cost more than looking into its index, in the default as in a day's.
    fill = text("""
        insert into payloads (id, body)
        select cast(lpad(to_hex(n), 32, '0') as uuid), cast('x' as bytea) from generate_series(1, 5000) n
        union all select overlay(cast(:id as text) placing lpad(to_hex(n), 12, '0') from 25)::uuid, cast('x' as bytea)
        from generate_series(1, 5000) n
    """)
    async with database.transaction() as connection:
        await connection.execute(fill, {"id": str(bystander)})
        await connection.execute(text("analyze payloads"))
        names = {"id": job_id, "tenant_id": tenant_id}
        plan = (await connection.execute(text(f"explain {owner.ERASE.text}"), names)).scalars().all()
        await owner.erase(connection, tenant_id, job_id)
        where = text("select tableoid::regclass::text from payloads where id = :id")
        day = (await connection.execute(where, {"id": bystander})).scalar_one()
        left = set((await connection.execute(text("select id from payloads where length(body) > 1"))).scalars())
    # The other days are empty: how they are read costs nothing.
    for partition in ("payloads_default", day):
        assert not any(f"Seq Scan on {partition} " in line for line in plan), "\n".join(plan)
        assert any(f"Scan using {partition}_pkey" in line or f"Scan on {partition}_pkey" in line for line in plan)
    assert bystander in left
    assert not left & {job_id, attempt_id}
