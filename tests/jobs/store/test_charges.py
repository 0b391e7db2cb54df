"""What calls cost the budgets they are charged to: reserved when they open, settled when they close, never adrift."""

import asyncio
import datetime as dt
import random
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import text

from jobs.states import Outcome
from jobs.store import budgets, lifecycle, sweep
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.budgeted import close, closed, key_of, opened, opening, running, sums, watch

pytest_plugins = ["tests.jobs.store.shared"]
CENT = Decimal("0.01")


async def budget(database: Database, tenant_id: uuid.UUID, cap: str, **more: object) -> uuid.UUID:
    period = more.pop("period", "total")
    async with database.transaction() as connection:
        return await budgets.create(connection, tenant_id, Decimal(cap), period, **more)  # type: ignore[arg-type]


async def test_a_call_reserves_its_bound_and_settles_its_cost(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05")
    made = opening(*await running(database, tenant_id), "0.03")
    assert await opened(database, made) == [True]
    assert await sums(database, tenant_id) == [(0, Decimal("0.03"))]
    await close(database, made, Outcome.REJECTED, "0.004")
    assert await sums(database, tenant_id) == [(Decimal("0.004"), 0)]


async def test_what_does_not_fit_is_not_written_and_the_smaller_goes(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05")
    jobs = [await running(database, tenant_id) for _ in range(4)]
    calls = [opening(*job, bound) for job, bound in zip(jobs, ("0.06", "0.03", "0.03", "0.02"), strict=True)]
    assert await opened(database, *calls) == [False, True, False, True]
    assert await sums(database, tenant_id) == [(0, Decimal("0.05"))]
    async with database.statement() as connection:
        written = (await connection.execute(text("select id from attempts"))).scalars().all()
    assert set(written) == {calls[1].id, calls[3].id}


async def test_a_call_without_a_price_fits_no_budget(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "100")
    assert await opened(database, opening(*await running(database, tenant_id), None)) == [False]


async def test_who_has_no_budget_is_not_asked(database: Database):
    await budget(database, await given.tenant(database, "thrifty"), "0")
    free = opening(*await running(database, await given.tenant(database)), None)
    assert await opened(database, free) == [True]


async def test_a_key_is_charged_to_its_own_budget_and_to_its_tenants(database: Database):
    tenant_id = await given.tenant(database)
    keys = [await key_of(database, tenant_id) for _ in range(2)]
    await budget(database, tenant_id, "0.05")
    await budget(database, tenant_id, "0.02", key_id=keys[0], period="month")
    jobs = [await running(database, tenant_id, key) for key in (keys[0], keys[0], keys[1], keys[1])]
    assert await opened(database, *(opening(*job, "0.02") for job in jobs)) == [True, False, True, False]
    assert await sums(database, tenant_id) == [(0, Decimal("0.04")), (0, Decimal("0.02"))]


async def test_a_flush_said_twice_reserves_once(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.03")
    made = opening(*await running(database, tenant_id), "0.03")
    for _ in range(2):
        assert await opened(database, made) == [True]
        assert await sums(database, tenant_id) == [(0, Decimal("0.03"))]
    for _ in range(2):
        await close(database, made, Outcome.FAILED, "0")
        assert await sums(database, tenant_id) == [(0, 0)]


async def test_an_opening_said_twice_at_the_same_moment_reserves_once(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.30")
    made = opening(*await running(database, tenant_id), "0.03")
    assert await asyncio.gather(*(opened(database, made) for _ in range(8))) == [[True]] * 8
    assert await sums(database, tenant_id) == [(0, Decimal("0.03"))]


@pytest.mark.parametrize(
    ("outcome", "cost", "settled"),
    [(Outcome.CANCELLED, None, "0.03"), (Outcome.NOT_SENT, None, "0"), (Outcome.FAILED, "0", "0")],
)
async def test_an_unknown_cost_settles_at_its_bound_and_what_never_left_costs_nothing(
    database: Database, outcome: Outcome, cost: str | None, settled: str
):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05")
    made = opening(*await running(database, tenant_id), "0.03")
    await opened(database, made)
    await close(database, made, outcome, cost)
    assert await sums(database, tenant_id) == [(Decimal(settled), 0)]


async def test_a_dead_workers_reservation_is_settled_at_its_bound_and_corrected_by_the_late_bill(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05")
    job_id, token = await running(database, tenant_id)
    made = opening(job_id, token, "0.03")
    await opened(database, made)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set lease_until = now() - interval '1 s'"))
        assert await sweep.rescue(connection, 3) == [(job_id, "queued")]
    assert await sums(database, tenant_id) == [(Decimal("0.03"), 0)]
    async with database.statement() as connection:
        late = closed(made, Outcome.ACCEPTED, "0.001")
        assert await lifecycle.settle(connection, [Move.succeed(job_id, token, made.id, late)]) == set()
    assert await sums(database, tenant_id) == [(Decimal("0.001"), 0)]


async def test_a_late_bill_and_the_rescue_at_the_same_moment_book_one_of_them_last(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "10")
    calls = [opening(*await running(database, tenant_id), "0.03") for _ in range(20)]
    await opened(database, *calls)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set lease_until = now() - interval '1 s'"))

    async def rescue() -> None:
        async with database.statement() as connection:
            await sweep.rescue(connection, 3)

    await asyncio.gather(rescue(), *(close(database, made, Outcome.FAILED, "0.001") for made in calls))
    assert await sums(database, tenant_id) == [(20 * Decimal("0.001"), 0)]


async def test_a_call_left_open_by_a_job_that_moved_on_is_settled(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05")
    job_id, token = await running(database, tenant_id)
    await opened(database, opening(job_id, token, "0.03"))
    async with database.statement() as connection:
        await lifecycle.settle(connection, [Move.defer(job_id, token, 0.0, None)])
        await sweep.close_left_open(connection, dt.datetime.now(dt.UTC) + dt.timedelta(hours=2))
    assert await sums(database, tenant_id) == [(Decimal("0.03"), 0)]


async def test_a_new_period_begins_with_nothing_and_old_calls_do_not_touch_it(database: Database):
    tenant_id = await given.tenant(database)
    await budget(database, tenant_id, "0.05", period="day")
    made = opening(*await running(database, tenant_id), "0.03")
    await opened(database, made)
    async with database.statement() as connection:
        await connection.execute(text("update budgets set period_start = period_start - interval '1 day'"))
        await connection.execute(text("update attempts set opened_at = opened_at - interval '1 day'"))
    async with database.statement() as connection:
        (view,) = await budgets.budgets_of(connection, tenant_id)
    assert (view.reserved_usd, view.remaining_usd) == (Decimal(0), Decimal("0.05"))
    fresh = opening(*await running(database, tenant_id), "0.05")
    assert await opened(database, fresh) == [True]
    await close(database, made, Outcome.FAILED, "0.03")
    assert await sums(database, tenant_id) == [(0, Decimal("0.05"))]


async def test_sums_that_were_tampered_with_are_found_and_made_anew(database: Database):
    tenant_id = await given.tenant(database)
    budget_id = await budget(database, tenant_id, "0.05")
    await opened(database, opening(*await running(database, tenant_id), "0.03"))
    async with database.transaction() as connection:
        await connection.execute(text("update budgets set reserved_usd = 0.04, settled_usd = 0.005"))
        (drift,) = await budgets.check(connection, tenant_id)
        assert (drift.id, drift.usd) == (budget_id, Decimal("0.015"))
        assert await budgets.rebuild(connection, budget_id) == drift
    assert await sums(database, tenant_id) == [(0, Decimal("0.03"))]


async def test_two_hundred_at_once_never_pass_the_cap(database: Database):
    """Openers, closers, deaths and rescues side by side, two budgets each; a trigger sees every version of a row."""
    tenant_id = await given.tenant(database)
    keys = [await key_of(database, tenant_id) for _ in range(4)]
    await budget(database, tenant_id, "0.50")
    for key in keys:
        await budget(database, tenant_id, "0.20", key_id=key, period="day")
    async with database.statement() as connection:
        await watch(connection)
    dice, tally = random.Random(7), {True: 0, False: 0}

    async def submitter(key: uuid.UUID, bound: Decimal, share: float, dies: bool) -> None:
        job_id, token = await running(database, tenant_id, key)
        made = opening(job_id, token, bound)
        (fits,) = await opened(database, made)
        tally[fits] += 1
        if fits and not dies:
            closing = closed(made, Outcome.ACCEPTED, bound * Decimal(str(share)))
            async with database.statement() as connection:
                await lifecycle.settle(connection, [Move.succeed(job_id, token, made.id, closing)])

    draws = [
        (dice.choice(keys), CENT * dice.randint(1, 3), round(dice.random(), 2), dice.random() < 0.1) for _ in range(200)
    ]
    await asyncio.gather(*(submitter(*draw) for draw in draws))
    async with database.statement() as connection:
        await connection.execute(text("update jobs set lease_until = now() - interval '1 s' where state = 'running'"))
        await sweep.rescue(connection, 3)
        found = (
            await connection.execute(
                text("select count(*) as seen, max(over_usd) as over, min(below_usd) as below from seen")
            )
        ).one()
    assert tally[True] > 20
    assert tally[False] > 5
    assert found.seen > 100
    assert found.over <= 0
    assert found.below >= 0
    assert [reserved for _, reserved in await sums(database, tenant_id)] == [0] * 5
