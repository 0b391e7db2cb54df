"""Claims of deliveries: leased, bounded for each endpoint, settled by who holds the token."""

import asyncio
import datetime as dt
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import msgspec
import pytest

from jobs.store import deliveries, outbox, partitions, totals, webhooks
from jobs.store.deliveries import Due, Try
from jobs.store.outbox import Range
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.hooking import SHARE, claimed, endpoint, execute, put_forward, rows


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=8)
    yield opened
    await opened.close()


async def put_out(database: Database, events: int) -> uuid.UUID:
    """So many events for each endpoint of the tenant."""
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        for _ in range(events):
            await outbox.announce(connection, tenant_id, "budget.exhausted", {})
    return tenant_id


async def settle(database: Database, due: Due, **changes: object) -> bool:
    plain = Try(due=due, delivered=True, wait_s=None, status=200, latency_ms=12)
    async with database.transaction() as connection:
        await deliveries.standing(connection, due.webhook_id)
        return await deliveries.settle(connection, msgspec.structs.replace(plain, **changes))


async def test_claimers_together_take_each_delivery_once_and_no_endpoint_gets_more_than_its_share(database: Database):
    tenant_id = await given.tenant(database)
    hooks = [await endpoint(database, tenant_id) for _ in range(3)]
    await put_out(database, 6)
    taken = [due for found in await asyncio.gather(*(claimed(database) for _ in range(5))) for due in found]
    assert len({due.id for due in taken}) == len(taken)
    assert Counter(due.webhook_id for due in taken) == dict.fromkeys(hooks, SHARE.most_each)
    assert await settle(database, taken[0])
    assert [due.webhook_id for due in await claimed(database)] == [taken[0].webhook_id]


async def test_a_lease_that_ran_out_is_due_again_and_its_first_holder_books_nothing(database: Database):
    await endpoint(database, await given.tenant(database))
    await put_out(database, 1)
    (first,) = await claimed(database)
    assert await claimed(database) == []
    await put_forward(database, SHARE.lease_s + 1)
    (second,) = await claimed(database)
    assert (second.id, second.token == first.token) == (first.id, False)
    assert not await settle(database, first)
    assert await settle(database, second)
    (row,) = await rows(database, "select state, tries from webhook_deliveries")
    assert (row.state, row.tries) == ("delivered", 1)
    assert len(await rows(database, "select from webhook_tries")) == 1


async def test_an_endpoint_that_keeps_failing_gets_one_at_a_time_and_pauses(database: Database):
    await endpoint(database, await given.tenant(database))
    await put_out(database, 12)
    for due in (await claimed(database))[:3]:
        assert await settle(database, due, delivered=False, wait_s=300.0, status=500, pause_s=0.0)
    await put_forward(database, SHARE.lease_s + 1)  # the fourth was lost with its worker
    (probe,) = await claimed(database)
    assert await claimed(database) == []
    await settle(database, probe, delivered=False, wait_s=300.0, error="timeout", status=None, pause_s=20.0)
    assert await claimed(database) == []
    await put_forward(database, 21)
    (probe,) = await claimed(database)
    await settle(database, probe)
    assert len(await claimed(database)) == SHARE.most_each
    (hook,) = await rows(database, "select failures, failing_since, paused_until from webhooks")
    assert tuple(hook) == (0, None, None)


async def test_a_disabled_endpoints_events_are_held_and_go_out_when_it_is_enabled(database: Database):
    tenant_id = await given.tenant(database)
    webhook_id = await endpoint(database, tenant_id)
    other = await endpoint(database, tenant_id)
    await put_out(database, 2)
    async with database.transaction() as connection:
        assert await webhooks.disable(connection, webhook_id, "it answered 410 Gone")
        assert not await webhooks.disable(connection, webhook_id, "it answered 410 Gone")
    job_id = await given.job(database, tenant_id, webhook_id=webhook_id)
    await given.succeeded(database, job_id)
    told = await claimed(database)
    assert {due.webhook_id for due in told} == {other}
    (news,) = [due for due in told if due.type == "webhook.disabled"]
    assert news.data["reason"] == "it answered 410 Gone"
    async with database.statement() as connection:
        await webhooks.update(connection, tenant_id, webhook_id, webhooks.Change(enabled=True))
    again = await claimed(database)
    assert Counter(due.type for due in again) == {"budget.exhausted": 2, "job.succeeded": 1}
    assert {due.webhook_id for due in again} == {webhook_id}


async def test_many_events_are_held_let_go_and_replayed_in_pieces(database: Database, monkeypatch):
    monkeypatch.setattr(webhooks, "AT_ONCE", 2)
    monkeypatch.setattr(outbox, "REPLAY_AT_ONCE", 2)
    tenant_id = await given.tenant(database)
    webhook_id = await endpoint(database, tenant_id)
    await put_out(database, 5)

    async def states() -> Counter[str]:
        return Counter(row.state for row in await rows(database, "select state from webhook_deliveries"))

    async with database.statement() as connection:
        await webhooks.update(connection, tenant_id, webhook_id, webhooks.Change(enabled=False))
        assert await states() == {"held": 5}
        await webhooks.update(connection, tenant_id, webhook_id, webhooks.Change(enabled=True))
        assert await states() == {"pending": 5}
        await execute(database, "update webhook_deliveries set state = 'failed'")
        now = dt.datetime.now(dt.UTC)
        span = Range(now - dt.timedelta(minutes=5), now + dt.timedelta(minutes=5), ("failed", "pending"))
        assert await outbox.replay(connection, tenant_id, webhook_id, span) == 5
        assert await states() == {"pending": 5}


async def test_what_waits_for_a_disabled_endpoint_is_shown_and_found_as_held(database: Database):
    tenant_id = await given.tenant(database)
    webhook_id = await endpoint(database, tenant_id)
    await put_out(database, 1)
    async with database.transaction() as connection:
        await webhooks.disable(connection, webhook_id, "it answered 410 Gone")
        for state, count in (("held", 1), ("pending", 0)):
            found = await outbox.page(connection, tenant_id, webhook_id, 10, state=state)
            assert [row.state for row in found] == ["held"] * count


async def test_an_owner_who_changes_many_events_keeps_nobody_elses_waiting(database: Database):
    busy, idle = [await endpoint(database, await given.tenant(database)) for _ in range(2)]
    await put_out(database, 2)
    async with database.transaction() as connection:
        await webhooks.hold(connection, busy)
        async with asyncio.timeout(5):
            taken = await claimed(database)
    assert {due.webhook_id for due in taken} == {idle}


def test_each_advisory_lock_has_a_number_of_its_own():
    numbers = (deliveries.LOCK, partitions.LOCK, totals.LOCK)
    assert len(set(numbers)) == len(numbers)
