"""A job under a budget: its call is made when it fits, waits in Postgres when not, and goes on when there is room."""

import asyncio
import datetime as dt
import uuid
from decimal import Decimal
from typing import Literal

import pytest
from sqlalchemy import text

from jobs.store import budgets
from jobs.store.budgets import Budget
from jobs.store.rows import Opening
from jobs.store.session import Database
from routing.limits import Refusal
from tests.jobs.store.budgeted import sums
from tests.workers.lab import COST_USD, Lab, answers
from workers.intake import Intake

ENOUGH, NOTHING = Decimal(1), Decimal("0.000000000001")


async def budget(lab: Lab, cap: Decimal, period: Literal["total", "day", "month"] = "total") -> uuid.UUID:
    async with lab.database.transaction() as connection:
        return await budgets.create(connection, lab.tenant_id, cap, period)


async def view(database: Database, tenant_id: uuid.UUID) -> Budget:
    async with database.statement() as connection:
        (found,) = await budgets.budgets_of(connection, tenant_id)
    return found


async def test_a_call_that_fits_is_made_and_its_cost_settled(lab: Lab):
    await budget(lab, ENOUGH)
    lab.script(a=[answers()])
    assert await lab.carry(await lab.claimed()) == "succeeded"
    assert await sums(lab.database, lab.tenant_id) == [(COST_USD, 0)]


async def test_a_call_that_does_not_fit_waits_till_the_period_ends_and_buys_nothing(lab: Lab):
    await budget(lab, NOTHING, "day")
    job = await lab.claimed()
    assert await lab.carry(job) == "deferred"
    row, found = await lab.row(job), await view(lab.database, lab.tenant_id)
    assert (row.state, row.token, row.receipt["notes"][-1]) == ("queued", None, "waited: budget")
    assert found.period_end is not None
    assert abs(row.run_at - found.period_end) < dt.timedelta(seconds=5)
    assert found.exhausted_at is not None
    assert await lab.attempts(job) == []
    assert lab.server.bodies == []


@pytest.mark.parametrize("is_removed", [False, True])
async def test_a_cap_that_is_raised_while_a_job_is_being_sent_to_wait_ends_the_wait_too(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, is_removed: bool
):
    """Whoever raises it wakes those that wait; this one still runs, and has read the cap as it was."""
    budget_id = await budget(lab, NOTHING)
    refused, tried = lab.parts.refused, []

    async def refused_then_raised(opening: Opening) -> Refusal | None:
        refusal = await refused(opening)
        tried.append(opening.deployment)
        if len(tried) < 2:  # both of the tier are tried before the job waits
            return refusal
        async with lab.database.transaction() as connection:
            if is_removed:
                assert await budgets.remove(connection, lab.tenant_id, budget_id)
            else:
                assert await budgets.change(connection, lab.tenant_id, budget_id, ENOUGH) == []
        return refusal

    monkeypatch.setattr(lab.parts, "refused", refused_then_raised)
    job = await lab.claimed()
    assert await lab.carry(job) == "deferred"
    row = await lab.row(job)
    assert (row.state, row.deferred) == ("queued", False)
    assert row.run_at <= row.now


async def test_a_higher_cap_ends_the_wait_at_once(lab: Lab):
    budget_id = await budget(lab, NOTHING)
    job = await lab.claimed()
    await lab.carry(job)
    async with lab.database.transaction() as connection:
        assert await budgets.change(connection, lab.tenant_id, budget_id, ENOUGH) == [job.id]
    row = await lab.row(job)
    assert row.run_at <= row.now
    assert (await view(lab.database, lab.tenant_id)).exhausted_at is None
    lab.script(a=[answers()])
    again = await lab.claim(job.id)
    assert again.past == ()
    assert await lab.carry(again) == "succeeded"


async def test_a_budget_that_is_removed_ends_the_wait_at_once(lab: Lab):
    budget_id = await budget(lab, NOTHING)
    job = await lab.claimed()
    await lab.carry(job)
    async with lab.database.transaction() as connection:
        assert await budgets.remove(connection, lab.tenant_id, budget_id)
    row = await lab.row(job)
    assert row.run_at <= row.now


async def test_who_waits_for_open_calls_comes_back_in_seconds(lab: Lab):
    first, second = await lab.claimed(), await lab.claimed()
    lab.script(a=[lab.silence])
    one = lab.carry(first)
    await lab.called(1)
    (bound,) = [row.cost_bound_usd for row in await lab.attempts(first)]
    await lab.execute("update attempts set outcome = 'cancelled', closed_at = now()")
    one.cancel()
    await one
    await budget(lab, bound)
    lab.script(a=[lab.silence])
    third = lab.carry(await lab.claimed())
    await lab.called(2)
    assert await lab.carry(second) == "deferred"
    row = await lab.row(second)
    assert dt.timedelta(0) < row.run_at - row.now <= dt.timedelta(seconds=2)
    third.cancel()
    await third
    assert await sums(lab.database, lab.tenant_id) == [(bound, 0)]


async def test_a_defect_gives_the_reservation_back_with_the_job(lab: Lab):
    await budget(lab, ENOUGH)
    lab.script(a=[answers()])
    job = await lab.claimed()
    lab.parts.telemetry.calling = None  # type: ignore[method-assign,assignment]
    assert await Intake(lab.parts, ())._carry_one(job, asyncio.get_running_loop().time() + 60) == "failed"
    (attempt,) = await lab.attempts(job)
    assert attempt.outcome == "cancelled"
    assert await sums(lab.database, lab.tenant_id) == [(attempt.cost_bound_usd, 0)]
    async with lab.database.statement() as connection:
        ((state,),) = (await connection.execute(text("select state from jobs"))).all()
    assert state == "failed"
    lab.scripts["a"].clear()
