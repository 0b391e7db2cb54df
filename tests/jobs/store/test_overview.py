"""What the page is made of, held against the rows themselves."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from jobs import ids
from jobs.lanes import Lane
from jobs.states import Outcome
from jobs.store import overview
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given

HOUR = dt.timedelta(hours=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=4)
    yield opened
    await opened.close()


async def aged(database: Database, job_id: uuid.UUID, age: dt.timedelta) -> None:
    """As if the job and its calls had been so much earlier: their times and the calls' ids."""
    async with database.transaction() as connection:
        names: dict[str, Any] = {"id": job_id, "age": age}
        job = "update jobs set created_at = created_at - :age, finished_at = finished_at - :age where id = :id"
        call = """update attempts set id = :new, opened_at = opened_at - :age, closed_at = closed_at - :age
            where id = :id"""
        await connection.execute(text(job), names)
        found = await connection.execute(text("select id, opened_at from attempts where job_id = :id"), names)
        for row in found.all():
            new = uuid.UUID(int=ids.floor_uuid(row.opened_at - age).int | (row.id.int & ((1 << 80) - 1)))
            await connection.execute(text(call), {"new": new, "age": age, "id": row.id})


async def now_of(database: Database, tenant_id: uuid.UUID) -> dt.datetime:
    async with database.statement() as connection:
        return (await overview.pulse(connection, tenant_id)).now


async def test_the_pulse_counts_the_last_seconds_and_names_the_tenant(database: Database):
    tenant_id = await given.tenant(database, "acme")
    for _ in range(3):
        await given.succeeded(database, await given.job(database, tenant_id))
    await given.succeeded(database, old := await given.job(database, tenant_id))
    await aged(database, old, dt.timedelta(minutes=1))
    async with database.statement() as connection:
        pulse = await overview.pulse(connection, tenant_id)
        nobody = await overview.pulse(connection, uuid.uuid4())
    assert (pulse.tenant, pulse.jobs_per_s) == ("acme", 0.3)
    assert (nobody.tenant, nobody.jobs_per_s) == ("", 0)


async def test_ends_are_counted_by_minute_and_state_within_the_hour(database: Database):
    tenant_id = await given.tenant(database)
    for minutes in (0, 3, 3, 70):
        await given.succeeded(database, job_id := await given.job(database, tenant_id))
        await aged(database, job_id, dt.timedelta(minutes=minutes))
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    await given.settle(database, Move.cancel(job_id, token, None))
    await given.succeeded(database, await given.job(database, await given.tenant(database, "other")))
    async with database.statement() as connection:
        ended = await overview.ended_by_minute(connection, tenant_id, await now_of(database, tenant_id))
    by_state = {state: sum(row.jobs for row in ended if row.state == state) for state in ("succeeded", "cancelled")}
    assert by_state == {"succeeded": 3, "cancelled": 1}
    assert max(row.jobs for row in ended if row.state == "succeeded") == 2
    assert all(row.minute.second == row.minute.microsecond == 0 for row in ended)


async def test_spending_is_the_sum_of_closed_calls_with_what_is_unknown_beside_it(database: Database):
    tenant_id = await given.tenant(database)
    for cost_usd in (Decimal("0.25"), Decimal("0.5"), None):
        job_id = await given.job(database, tenant_id, policy="support")
        await given.succeeded(database, job_id, cost_usd=cost_usd)
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    unsent = await given.attempt(database, job_id, token)
    closing = given.closing(unsent, outcome=Outcome.NOT_SENT, cost_usd=None, answer=None)
    await given.settle(database, Move.close(job_id, token, closing))
    await given.attempt(database, job_id, token)  # still open: no bill yet
    await given.succeeded(database, await given.job(database, await given.tenant(database, "other")))
    now = await now_of(database, tenant_id)
    async with database.statement() as connection:
        rows = {row.policy: row for row in await overview.spent_between(connection, tenant_id, now - HOUR, now + HOUR)}
    assert rows.keys() == {"support", "auto"}
    support = rows["support"]
    assert (support.calls, support.answers, support.unknown, support.unbounded) == (3, 3, 1, 0)
    assert (support.cost_usd, support.unknown_usd) == (Decimal("0.75"), Decimal("0.005"))
    assert (support.input_tokens, support.output_tokens) == (3 * 41, 3 * 9)
    assert (rows["auto"].calls, rows["auto"].cost_usd, rows["auto"].unknown) == (1, Decimal(0), 0)


async def test_latencies_are_by_deployment_with_the_hour_in_slots(database: Database):
    tenant_id = await given.tenant(database)
    for minutes, total_ms in ((1, 100), (1, 300), (31, 900), (90, 5_000)):
        await given.succeeded(database, job_id := await given.job(database, tenant_id), total_ms=total_ms)
        await aged(database, job_id, dt.timedelta(minutes=minutes))
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    await given.attempt(database, job_id, token, provider="quiet")
    await given.succeeded(database, await given.job(database, await given.tenant(database, "other")))
    async with database.statement() as connection:
        busy, quiet = await overview.latencies(connection, tenant_id, await now_of(database, tenant_id))
    assert (busy.deployment, busy.calls, busy.failed, busy.open) == ("maker/small@lab", 3, 0, 0)
    assert busy.p50_ms == 300
    assert busy.p99_ms == pytest.approx(888)
    assert busy.p95_by_slot_ms[-1] == pytest.approx(290)
    assert [value for value in busy.p95_by_slot_ms if value is not None] == [900, pytest.approx(290)]
    assert (quiet.calls, quiet.open, quiet.p50_ms) == (1, 1, None)


async def test_lanes_count_everybodys_jobs_and_say_which_are_mine(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    await given.job(database, tenant_id, lane=Lane.BULK)
    await given.job(database, other, lane=Lane.BULK)
    await given.claimed(database, await given.job(database, tenant_id))
    async with database.statement() as connection:
        lanes = {(load.lane, load.state): load for load in await overview.lanes(connection, tenant_id)}
    assert {key: (load.jobs, load.mine) for key, load in lanes.items()} == {
        ("bulk", "queued"): (2, 1),
        ("standard", "running"): (1, 1),
    }


async def test_the_newest_failures_come_first_with_their_last_calls(database: Database):
    tenant_id = await given.tenant(database)
    made = []
    for _ in range(overview.FAILURES + 2):
        token = await given.claimed(database, job_id := await given.job(database, tenant_id))
        await given.settle(database, Move.expire(job_id, token, None))
        made.append(job_id)
    async with database.statement() as connection:
        found = await overview.newest_failures(connection, tenant_id)
        assert await overview.newest_failures(connection, uuid.uuid4()) == []
    assert [row.id for row in found] == made[: -overview.FAILURES - 1 : -1]
    assert all(row.attempts is None and row.calls == 0 and row.error["kind"] == "deadline_passed" for row in found)
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    calls = []
    for _ in range(overview.MOST_CALLS + 3):
        calls.append(attempt_id := await given.attempt(database, job_id, token))
        failed = given.closing(attempt_id, outcome=Outcome.FAILED, answer=None)
        await given.settle(database, Move.close(job_id, token, failed))
    await given.settle(database, Move.expire(job_id, token, None))
    async with database.statement() as connection:
        newest = (await overview.newest_failures(connection, tenant_id))[0]
    assert (newest.id, newest.calls) == (job_id, overview.MOST_CALLS + 3)
    assert [call["id"] for call in newest.attempts] == [str(call) for call in calls[-overview.MOST_CALLS :]]
