"""Lines that budgets cross are told once in a period; new periods begin by themselves; raised caps wake who waits."""

import asyncio
import uuid
from collections import Counter
from decimal import Decimal

from sqlalchemy import text

from jobs import ids
from jobs.states import Outcome
from jobs.store import budget_alerts, budgets, lifecycle
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.budgeted import close, opened, opening, running, sums
from tests.jobs.store.hooking import endpoint, rows

pytest_plugins = ["tests.jobs.store.shared"]
DOLLAR = Decimal(1)


async def look(database: Database) -> list[tuple[str, int | None]]:
    async with database.transaction() as connection:
        return [(alert.event, alert.percent) for alert in await budget_alerts.look(connection)]


async def budget(database: Database, tenant_id: uuid.UUID, period: budgets.Period = "day") -> uuid.UUID:
    async with database.transaction() as connection:
        return await budgets.create(connection, tenant_id, DOLLAR, period, None, (50, 80, 100))


async def spend(database: Database, tenant_id: uuid.UUID, usd: str) -> None:
    made = opening(*await running(database, tenant_id), usd)
    assert await opened(database, made) == [True]
    await close(database, made, Outcome.REJECTED, usd)


async def execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def test_each_threshold_is_told_once_and_again_in_the_next_period(database: Database):
    tenant_id = await given.tenant(database)
    assert await look(database) == []
    await budget(database, tenant_id)
    for usd, told in (("0.49", []), ("0.01", [50]), ("0.01", []), ("0.49", [80, 100])):
        await spend(database, tenant_id, usd)
        assert await look(database) == [("budget.threshold", percent) for percent in told]
        assert await look(database) == []
    await execute(database, "update budgets set period_start = period_start - interval '1 day'")
    await execute(database, "update attempts set opened_at = opened_at - interval '1 day'")
    assert await look(database) == []
    assert await sums(database, tenant_id) == [(0, 0)]
    await spend(database, tenant_id, "0.6")
    assert await look(database) == [("budget.threshold", 50)]


async def test_many_sweepers_tell_each_line_once(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id)
    await spend(database, tenant_id, "1")
    async with database.statement() as connection:
        await budgets.exhaust(connection, [each.id for each in await budgets.budgets_of(connection, tenant_id)])
    told = Counter(alert for alerts in await asyncio.gather(*(look(database) for _ in range(10))) for alert in alerts)
    lines = [("budget.threshold", percent) for percent in (50, 80, 100)]
    assert told == Counter([*lines, ("budget.exhausted", None)])


async def test_what_was_not_told_because_its_transaction_failed_is_told_later(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id)
    await spend(database, tenant_id, "0.5")
    connected = await database.engine.connect()
    transaction = await connected.begin()
    assert len(await budget_alerts.look(connected)) == 1
    await transaction.rollback()
    await connected.close()
    assert await look(database) == [("budget.threshold", 50)]


async def test_a_raised_cap_is_told_again_when_its_lines_are_crossed_again(database: Database):
    tenant_id = await given.tenant(database)
    budget_id = await budget(database, tenant_id)
    await spend(database, tenant_id, "0.9")
    assert await look(database) == [("budget.threshold", 50), ("budget.threshold", 80)]
    async with database.transaction() as connection:
        await budgets.change(connection, tenant_id, budget_id, Decimal("1.5"))
    assert await look(database) == []
    await spend(database, tenant_id, "0.3")
    assert await look(database) == [("budget.threshold", 80)]


async def test_the_sweeper_wakes_what_a_raised_cap_left_waiting(database: Database, monkeypatch):
    tenant_id = await given.tenant(database)
    budget_id = await budget(database, tenant_id)
    monkeypatch.setattr(budgets, "WAKE_AT_ONCE", 2)
    jobs = [await running(database, tenant_id) for _ in range(5)]
    async with database.transaction() as connection:
        await lifecycle.settle(connection, [Move.defer(*job, 600.0, None) for job in jobs])
    async with database.transaction() as connection:
        woken = await budgets.change(connection, tenant_id, budget_id, 2 * DOLLAR)
    assert woken is not None
    assert len(woken) == 2
    for left in (1, 0, 0):
        await look(database)
        async with database.statement() as connection:
            waiting = await connection.execute(text("select count(*) from jobs where run_at > now()"))
            assert waiting.scalar_one() == left


async def test_each_line_is_put_out_once_for_every_endpoint_that_wants_it(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    for wanted in ("budget.*", "budget.exhausted", "job.*"):
        await endpoint(database, tenant_id, events=[wanted])
    await endpoint(database, other, events=["budget.*"])
    budget_id = await budget(database, tenant_id)
    await spend(database, tenant_id, "0.8")
    async with database.statement() as connection:
        await budgets.exhaust(connection, [budget_id])
    await asyncio.gather(*(look(database) for _ in range(5)))
    found = await rows(database, "select tenant_id, type, data from webhook_deliveries order by id")
    assert Counter((row.type, row.data.get("percent")) for row in found) == Counter(
        {("budget.threshold", 50): 1, ("budget.threshold", 80): 1, ("budget.exhausted", None): 2}
    )
    assert {row.tenant_id for row in found} == {tenant_id}
    assert found[0].data["budget_id"] == ids.show("budget", budget_id)
    assert (found[0].data["settled_usd"], found[0].data["cap_usd"]) == ("0.800000000000", "1.000000000000")
    assert found[0].data["period_start"].endswith("T00:00:00.000Z")
