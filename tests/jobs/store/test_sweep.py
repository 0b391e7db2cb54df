"""Rescue, expiry and lost bells: what the sweeper's statements do and leave alone."""

import asyncio
import datetime as dt
import uuid

from sqlalchemy import text

from jobs import ids
from jobs.lanes import Lane
from jobs.states import Outcome
from jobs.store import owner, sweep
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.shared import database_url, module_database_url  # noqa: F401 -- fixtures

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATE = "update jobs set lease_until = now() - interval '1 s' where state = 'running'"


async def execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def test_only_old_unanswered_releases_are_taken_back(database: Database):
    tenant_id = await given.tenant(database)
    old, fresh = [await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True) for _ in range(2)]
    async with database.statement() as connection:
        await connection.execute(
            text("update jobs set released_at = now() - interval '31 s' where id = :id"), {"id": old}
        )
        assert await sweep.reissue(connection, 30.0) == [old]
        assert await given.release(connection, Lane.INTERACTIVE, 5) == [old]
    assert fresh != old


async def die(database: Database, job_id: uuid.UUID) -> str:
    """One worker takes the job and dies: the job's state then."""
    await given.claimed(database, job_id)
    await execute(database, LATE)
    async with database.statement() as connection:
        ((found, state),) = await sweep.rescue(connection, 3)
    assert found == job_id
    return state


async def lanes_of(database: Database, job_id: uuid.UUID) -> tuple[str, str | None, int]:
    async with database.statement() as connection:
        found = await connection.execute(
            text("select lane, home_lane, deaths from jobs where id = :id"), {"id": job_id}
        )
        return tuple(found.one())


async def test_a_job_goes_on_alone_when_two_workers_died_and_fails_when_its_third_dies(database: Database):
    job_id = await given.job(database, await given.tenant(database))
    assert await die(database, job_id) == "queued"
    assert await lanes_of(database, job_id) == ("standard", None, 1)
    assert await die(database, job_id) == "queued"
    assert await lanes_of(database, job_id) == ("quarantine", "standard", 2)
    assert await die(database, job_id) == "failed"
    async with database.statement() as connection:
        job = (await connection.execute(text("select error, token, finished_at from jobs"))).one()
    assert job.error["kind"] == "worker_deaths"
    assert job.error["message"].startswith("3 workers died")
    assert job.finished_at is not None


async def suspect(database: Database) -> tuple[uuid.UUID, uuid.UUID]:
    """A job in quarantine, in a worker's hand: its id and token."""
    job_id = await given.job(database, await given.tenant(database), lane=Lane.BULK)
    for _ in range(2):
        await die(database, job_id)
    return job_id, await given.claimed(database, job_id)


async def test_a_job_that_comes_back_from_a_call_in_quarantine_is_cleared_and_goes_home(database: Database):
    job_id, token = await suspect(database)
    attempt_id = await given.attempt(database, job_id, token)
    failed = given.closing(attempt_id, outcome=Outcome.FAILED, answer=None)
    await given.settle(database, Move.defer(job_id, token, 5.0, failed))
    assert await lanes_of(database, job_id) == ("bulk", None, 0)


async def test_a_job_that_succeeds_in_quarantine_ends_in_its_home_lane(database: Database):
    job_id, token = await suspect(database)
    attempt_id = await given.attempt(database, job_id, token)
    await given.settle(database, Move.succeed(job_id, token, attempt_id, given.closing(attempt_id)))
    assert await lanes_of(database, job_id) == ("bulk", None, 2)


async def test_a_job_that_was_only_turned_away_stays_suspect(database: Database):
    job_id, token = await suspect(database)
    await given.settle(database, Move.defer(job_id, token, 0.0, None))
    assert await lanes_of(database, job_id) == ("quarantine", "bulk", 2)
    assert await die(database, job_id) == "failed"


async def test_a_retry_of_a_job_that_died_in_quarantine_begins_in_the_lane_it_came_from(database: Database):
    job_id, _ = await suspect(database)
    await execute(database, LATE)
    async with database.statement() as connection:
        assert await sweep.rescue(connection, 3) == [(job_id, "failed")]
        new_id = await owner.retry_job(connection, owner.Asker(await given.tenant(database)), job_id)
    assert new_id is not None
    assert await lanes_of(database, new_id) == ("bulk", None, 0)


async def test_a_living_lease_is_left_alone(database: Database):
    job_id = await given.job(database, await given.tenant(database))
    await given.claimed(database, job_id)
    async with database.statement() as connection:
        assert await sweep.rescue(connection, 3) == []


async def test_a_rescued_job_whose_owner_cancelled_it_is_cancelled(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    await given.claimed(database, job_id)
    await execute(database, LATE)
    async with database.statement() as connection:
        await owner.cancel_job(connection, tenant_id, job_id)
        assert await sweep.rescue(connection, 1) == [(job_id, "cancelled")]
        error = (await connection.execute(text("select error from jobs"))).scalar_one()
    assert error is None


async def test_a_call_without_a_known_bound_stays_of_unknown_cost(database: Database):
    job_id = await given.job(database, await given.tenant(database))
    token = await given.claimed(database, job_id)
    bounded = await given.attempt(database, job_id, token)
    unbounded = await given.attempt(database, job_id, token)
    async with database.statement() as connection:
        await connection.execute(text("update attempts set cost_bound_usd = null where id = :id"), {"id": unbounded})
        await connection.execute(text(LATE))
        await sweep.rescue(connection, 3)
        rows = await connection.execute(text("select id, outcome, cost_usd, cost_basis from attempts"))
        found = {row.id: tuple(row[1:]) for row in rows}
    assert found == {bounded: ("unknown", None, "estimate"), unbounded: ("unknown", None, "none")}


async def test_two_sweepers_rescue_each_job_once(database: Database):
    tenant_id = await given.tenant(database)
    ids = [await given.job(database, tenant_id) for _ in range(6)]
    for job_id in ids:
        await given.claimed(database, job_id)
    await execute(database, LATE)

    async def rescue() -> list[uuid.UUID]:
        async with database.statement() as connection:
            return [job_id for job_id, _ in await sweep.rescue(connection, 3)]

    found = await asyncio.gather(*(rescue() for _ in range(3)))
    assert sorted(job_id for each in found for job_id in each) == sorted(ids)


async def test_the_late_are_expired_while_they_wait_and_not_while_they_run(database: Database):
    tenant_id = await given.tenant(database)
    waits, released, runs = [await given.job(database, tenant_id) for _ in range(3)]
    await given.claimed(database, runs)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set released_at = now() where id = :id"), {"id": released})
        await connection.execute(text("update jobs set deadline_at = now()"))
        assert set(await sweep.expire(connection)) == {waits, released}
        error = (await connection.execute(text("select error from jobs where id = :id"), {"id": waits})).scalar_one()
    assert error["kind"] == "deadline_passed"


async def test_idempotency_keys_are_forgotten_after_a_day(database: Database):
    tenant_id = await given.tenant(database)
    async with database.statement() as connection:
        for key, age in (("young", "23 h"), ("old", "25 h")):
            await connection.execute(
                text(
                    "insert into idempotency (tenant_id, route, key, body_sha256, created_at)"
                    " values (:tenant_id, 'jobs', :key, '', now() - cast(:age as interval))"
                ),
                {"tenant_id": tenant_id, "key": key, "age": age},
            )
        await sweep.forget_idempotency(connection)
        assert list((await connection.execute(text("select key from idempotency"))).scalars()) == ["young"]


async def test_an_attempt_left_open_by_a_job_that_moved_on_becomes_unknown(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    now = dt.datetime.now(dt.UTC)
    old, fresh = (ids.floor_uuid(now - dt.timedelta(hours=hours)) for hours in (2, 0))
    for attempt_id in (old, fresh):
        await execute(
            database,
            "insert into attempts (id, job_id, tenant_id, token, deployment, model, provider, tier)"
            f" values ('{attempt_id}', '{job_id}', '{tenant_id}', '{uuid.uuid4()}', 'a/b@c', 'a/b', 'c', 0)",
        )
    async with database.statement() as connection:
        assert await sweep.close_left_open(connection, now) == [old]
        assert await sweep.close_left_open(connection, now) == []
