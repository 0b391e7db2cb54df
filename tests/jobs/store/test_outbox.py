"""What must be told is in the outbox exactly once, whichever way a job or a batch ended."""

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import text

from jobs.failures import Failure, FailureKind
from jobs.states import TERMINAL
from jobs.store import outbox, owner, sweep, webhooks
from jobs.store.outbox import Range
from jobs.store.rows import Move
from jobs.store.session import Database
from jobs.store.submit import Batch, Spool, copy_in
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given
from tests.jobs.store.hooking import ALL, claimed, endpoint, execute, rows, told

REFUSED = Failure(FailureKind.BAD_REQUEST, "it was refused")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def tenant_id(database: Database) -> uuid.UUID:
    return await given.tenant(database)


async def end_in_every_way(
    database: Database, tenant_id: uuid.UUID, webhook_id: uuid.UUID | None
) -> set[tuple[str, uuid.UUID]]:
    """One job for each way to an end: what must be told of them."""
    names = ("succeed", "fail", "cancel_queued", "cancel_running", "expire_queued", "expire_running", "bury",
             "rescue_cancelled", "defer_cancelled", "defer", "waits")  # fmt: skip
    made = {name: await given.job(database, tenant_id, webhook_id=webhook_id) for name in names}
    await given.succeeded(database, made["succeed"])
    run = ("fail", "cancel_running", "expire_running", "bury", "rescue_cancelled", "defer_cancelled", "defer")
    tokens = {name: await given.claimed(database, made[name]) for name in run}
    await given.settle(database, Move.fail(made["fail"], tokens["fail"], REFUSED, None))
    await given.settle(database, Move.cancel(made["cancel_running"], tokens["cancel_running"], None))
    await given.settle(database, Move.expire(made["expire_running"], tokens["expire_running"], None))
    await given.settle(database, Move.defer(made["defer"], tokens["defer"], 60, None))
    async with database.transaction() as connection:
        await owner.cancel_job(connection, tenant_id, made["cancel_queued"])
        for name in ("rescue_cancelled", "defer_cancelled"):
            await owner.cancel_job(connection, tenant_id, made[name])
        set_by_id = "update jobs set {} where id = any(:ids)"
        dead = {"ids": [made["bury"], made["rescue_cancelled"]]}
        await connection.execute(text(set_by_id.format("lease_until = now() - interval '1 s', deaths = 2")), dead)
        late = {"ids": [made["expire_queued"]]}
        await connection.execute(text(set_by_id.format("deadline_at = now() - interval '1 s'")), late)
    await given.settle(database, Move.defer(made["defer_cancelled"], tokens["defer_cancelled"], 60, None))
    async with database.transaction() as connection:
        await sweep.rescue(connection, 3)
        await sweep.expire(connection)
    ended = {"succeed": "succeeded", "fail": "failed", "bury": "failed", "cancel_queued": "cancelled",
             "cancel_running": "cancelled", "rescue_cancelled": "cancelled", "defer_cancelled": "cancelled",
             "expire_queued": "expired", "expire_running": "expired"}  # fmt: skip
    return {(f"job.{state}", made[name]) for name, state in ended.items()}


async def test_every_path_that_ends_a_job_tells_of_it_once(database: Database, tenant_id: uuid.UUID):
    expected = await end_in_every_way(database, tenant_id, await endpoint(database, tenant_id))
    found = await told(database)
    assert sorted(found) == sorted(expected)
    ended = await rows(
        database, "select count(*) from jobs where state = any(:t)", t=[str(state) for state in TERMINAL]
    )
    assert len(found) == ended[0][0] == 9


async def test_jobs_without_an_endpoint_and_those_of_a_deleted_one_tell_nobody(
    database: Database, tenant_id: uuid.UUID
):
    await endpoint(database, tenant_id)
    await end_in_every_way(database, tenant_id, None)
    await end_in_every_way(database, tenant_id, uuid7())
    assert await told(database) == []


async def test_only_what_an_endpoint_wants_to_know_is_put_out(database: Database, tenant_id: uuid.UUID):
    webhook_id = await endpoint(database, tenant_id, events=["job.failed", "batch.finished"])
    expected = await end_in_every_way(database, tenant_id, webhook_id)
    assert set(await told(database)) == {(kind, job_id) for kind, job_id in expected if kind == "job.failed"}


async def test_the_event_carries_the_bill_that_the_same_statement_books_and_no_text(
    database: Database, tenant_id: uuid.UUID
):
    webhook_id = await endpoint(database, tenant_id)
    job_id = await given.job(database, tenant_id, webhook_id=webhook_id, custom_id="q" * 512, task="intent")
    await given.succeeded(database, job_id)
    (due,) = await claimed(database)
    assert due.data["cost_usd"] == "0.000123400000"
    assert due.data["cost_complete"] is True
    assert (due.data["state"], due.data["task"], due.data["error"]) == ("succeeded", "intent", None)
    assert due.data["finished_at"].endswith("Z")
    whole = msgspec.json.encode(due.data)
    assert len(whole) < 20_000
    assert b"there" not in whole  # the prompt
    assert b"hello" not in whole  # the answer


async def test_an_endpoint_deleted_in_the_same_instant_does_not_break_the_ending(
    database: Database, tenant_id: uuid.UUID
):
    webhook_id = await endpoint(database, tenant_id)
    job_id = await given.job(database, tenant_id, webhook_id=webhook_id)

    async def cancel() -> None:
        async with database.transaction() as connection:
            assert (await owner.cancel_job(connection, tenant_id, job_id)).ended

    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with database.transaction() as connection:
        assert await webhooks.delete(connection, tenant_id, webhook_id)
        cancelling = asyncio.create_task(cancel())
        async with asyncio.timeout(10):
            while not (await rows(database, waits))[0][0]:  # noqa: ASYNC110 -- Postgres has no event for this
                await asyncio.sleep(0.01)
    await cancelling
    assert await told(database) == []


async def test_an_event_and_its_ending_are_one_transaction(database: Database, tenant_id: uuid.UUID):
    job_id = await given.job(database, tenant_id, webhook_id=await endpoint(database, tenant_id))
    with pytest.raises(RuntimeError):
        await _cancel_and_break_off(database, tenant_id, job_id)
    assert await told(database) == []
    assert (await rows(database, "select state from jobs"))[0].state == "queued"


async def _cancel_and_break_off(database: Database, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    async with database.transaction() as connection:
        assert (await owner.cancel_job(connection, tenant_id, job_id)).ended
        raise RuntimeError


async def batch_of(database: Database, tenant_id: uuid.UUID, webhook_id: uuid.UUID | None, jobs: int) -> Batch:
    batch = Batch(id=uuid7(), tenant_id=tenant_id, total=jobs, webhook_id=webhook_id)
    with Spool() as spool:
        for seq in range(jobs):
            spool.add(given.submission(tenant_id, batch_id=batch.id, batch_seq=seq))
        async with database.transaction() as connection:
            await copy_in(connection, batch, spool)
    return batch


async def look(database: Database) -> list[uuid.UUID]:
    async with database.statement() as connection:
        found = await outbox.look_at_batches(connection, None)
        return [batch_id for batch_id in found.finished if await outbox.finish_batch(connection, batch_id)]


async def test_a_batch_is_told_of_once_when_its_last_job_has_ended_however_many_look(
    database: Database, tenant_id: uuid.UUID
):
    webhook_id = await endpoint(database, tenant_id)
    batch = await batch_of(database, tenant_id, webhook_id, 600)
    await batch_of(database, tenant_id, None, 3)
    assert await look(database) == []
    cancel = "update jobs set state = 'cancelled', finished_at = now() where batch_id = :id and batch_seq {}"
    await execute(database, cancel.format("< 500 and state = 'queued'"), id=batch.id)
    assert await look(database) == []
    (mark,) = await rows(database, "select ended_to from batches where id = :id", id=batch.id)
    assert mark.ended_to == 500, "the look goes on where the last one found an open job"
    await execute(database, cancel.format("> 500 and state = 'queued'"), id=batch.id)
    assert await look(database) == []
    await execute(database, cancel.format("= 500"), id=batch.id)
    looks = await asyncio.gather(*(look(database) for _ in range(6)))
    assert [batch_id for found in looks for batch_id in found] == [batch.id]
    assert await told(database) == [("batch.finished", batch.id)], "its jobs name no endpoint"
    (due,) = await claimed(database)
    assert due.data["counts"] == {"cancelled": 600}
    assert (due.data["total"], due.data["cost_usd"], due.data["cost_complete"]) == (600, "0.000000000000", True)


async def test_more_batches_than_one_look_takes_are_all_seen(database: Database, tenant_id: uuid.UUID, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_BATCHES", 2)
    webhook_id = await endpoint(database, tenant_id)
    for _ in range(4):
        await batch_of(database, tenant_id, webhook_id, 1)
    last = await batch_of(database, tenant_id, webhook_id, 0)
    after: uuid.UUID | None = None
    seen: list[uuid.UUID] = []
    for _ in range(3):
        async with database.statement() as connection:
            found = await outbox.look_at_batches(connection, after)
        after, seen = found.last, seen + found.finished
    assert seen == [last.id]
    assert after is None


async def test_an_announcement_reaches_the_tenants_subscribers_and_nobody_else(
    database: Database, tenant_id: uuid.UUID
):
    first, second = (
        await endpoint(database, tenant_id),
        await endpoint(database, tenant_id, events=["budget.threshold"]),
    )
    await endpoint(database, tenant_id, events=["job.*"])
    disabled = await endpoint(database, tenant_id)
    await execute(database, "update webhooks set enabled = false where id = :id", id=disabled)
    await endpoint(database, await given.tenant(database, "other"))
    async with database.transaction() as connection:
        await outbox.announce(connection, tenant_id, "budget.threshold", {"share": "0.8"})
    found = await rows(database, "select webhook_id, data from webhook_deliveries")
    assert {row.webhook_id for row in found} == {first, second}
    assert all(row.data == {"share": "0.8"} for row in found)


async def test_a_replay_sends_again_what_did_not_arrive_or_what_is_asked_for(database: Database, tenant_id: uuid.UUID):
    webhook_id = await endpoint(database, tenant_id, events=ALL)
    async with database.transaction() as connection:
        made = [(await outbox.announce(connection, tenant_id, "budget.exhausted", {}))[0] for _ in range(4)]
    states = dict(zip(made, ("delivered", "failed", "pending", "held"), strict=True))
    for event_id, state in states.items():
        later = (
            "update webhook_deliveries set state = :state, next_at = now() + interval '1 h', step = 7 where id = :id"
        )
        await execute(database, later, state=state, id=event_id)
    now = dt.datetime.now(dt.UTC)
    span = Range(now - dt.timedelta(minutes=5), now + dt.timedelta(minutes=5), ("pending", "failed"))
    for what, expected in ((span, {made[1], made[2]}), (made[0], {made[0]}), (uuid7(), set())):
        async with database.statement() as connection:
            assert await outbox.replay(connection, tenant_id, webhook_id, what) == len(expected)
            assert await outbox.replay(connection, uuid7(), webhook_id, what) == 0
        assert {due.id for due in await claimed(database)} == expected


async def test_what_waits_for_nothing_is_forgotten_after_its_time(database: Database, tenant_id: uuid.UUID):
    await endpoint(database, tenant_id)
    async with database.transaction() as connection:
        made = [(await outbox.announce(connection, tenant_id, "budget.exhausted", {}))[0] for _ in range(3)]
    await execute(database, "update webhook_deliveries set state = 'delivered' where id = any(:ids)", ids=made[:2])
    async with database.transaction() as connection:
        assert await outbox.forget(connection, dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)) == 0
        assert await outbox.forget(connection, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)) == 2
    assert [row.id for row in await rows(database, "select id from webhook_deliveries")] == made[2:]
