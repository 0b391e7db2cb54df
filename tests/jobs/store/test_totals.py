"""The ledger's sums: each row is counted once, whenever it closes, and a late bill is added to what was unknown."""

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy import text

from jobs.failures import FailureKind
from jobs.states import Outcome
from jobs.store import totals
from jobs.store.rows import Move
from jobs.store.session import Database
from jobs.store.totals import Total
from tests.jobs.store import given

COST = 0.0001234


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    # The tests' rows are made this moment.
    monkeypatch.setattr(totals, "LAG_S", -5)
    made = Database(database_url)
    yield made
    await made.close()


async def folded(database: Database, slice_rows: int = totals.SLICE) -> dict[tuple[str, str, str], Total]:
    more = True
    while more:
        async with database.transaction() as connection:
            more = await totals.fold(connection, slice_rows)
    async with database.statement() as connection:
        found = await totals.totals(connection)
    return {(each.provider, each.outcome, each.failure): each for each in found}


async def running(database: Database, provider: str = "lab") -> tuple[uuid.UUID, uuid.UUID, uuid.UUID]:
    job_id = await given.job(database, await given.tenant(database))
    token = await given.claimed(database, job_id)
    return job_id, token, await given.attempt(database, job_id, token, provider)


async def test_every_row_is_added_once_in_slices_of_any_size(database: Database):
    tenant_id = await given.tenant(database)
    for _ in range(7):
        await given.succeeded(database, await given.job(database, tenant_id))
    found = await folded(database, slice_rows=3)
    assert found.keys() == {("lab", "accepted", "")}
    total = found["lab", "accepted", ""]
    assert (total.attempts, total.unknown_cost) == (7, 0)
    assert total.cost_usd == pytest.approx(7 * COST)
    assert (total.input_tokens, total.output_tokens) == (7 * 41, 7 * 9)
    assert await folded(database, slice_rows=2) == found


async def test_a_call_that_was_open_is_added_when_it_closes(database: Database):
    job_id, token, attempt_id = await running(database)
    assert await folded(database) == {}
    failed = given.closing(
        attempt_id, outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, cost_usd=None, cost_basis="estimate"
    )
    await given.settle(database, Move.close(job_id, token, failed))
    found = await folded(database)
    assert found.keys() == {("lab", "failed", "timeout")}
    assert found["lab", "failed", "timeout"].unknown_cost == 1
    assert await folded(database) == found


async def test_a_late_bill_is_added_to_what_was_unknown_and_no_sum_ever_falls(database: Database):
    _, _, attempt_id = await running(database)
    await folded(database)
    async with database.statement() as connection:
        await connection.execute(
            text("update attempts set outcome = 'unknown', closed_at = now() where id = :id"), {"id": attempt_id}
        )
    unknown = await folded(database)
    assert unknown.keys() == {("lab", "unknown", "")}
    assert unknown["lab", "unknown", ""].unknown_cost == 1
    assert await folded(database) == unknown
    late = given.closing(attempt_id, outcome=Outcome.ORPHANED, cost_usd=Decimal("0.5"))
    async with database.statement() as connection:
        await connection.execute(
            text("update attempts set outcome = 'orphaned', cost_usd = :cost where id = :id"),
            {"id": attempt_id, "cost": late.cost_usd},
        )
    booked = await folded(database)
    assert booked["lab", "unknown", ""] == unknown["lab", "unknown", ""]
    assert booked["lab", "orphaned", ""].cost_usd == pytest.approx(0.5)
    assert await folded(database) == booked


async def test_two_that_fold_at_once_count_nothing_twice(database: Database):
    tenant_id = await given.tenant(database)
    for _ in range(6):
        await given.succeeded(database, await given.job(database, tenant_id))
    for _ in range(4):

        async def fold() -> bool:
            async with database.transaction() as connection:
                return await totals.fold(connection, 2)

        await asyncio.gather(fold(), fold(), fold())
    assert (await folded(database))["lab", "accepted", ""].attempts == 6


async def test_a_rebuild_comes_to_the_same(database: Database):
    tenant_id = await given.tenant(database)
    for _ in range(3):
        await given.succeeded(database, await given.job(database, tenant_id))
    before = await folded(database)
    async with database.transaction() as connection:
        await totals.rebuild(connection)
    assert await folded(database) == before


async def test_what_is_younger_than_the_lag_waits(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(totals, "LAG_S", 30)
    await given.succeeded(database, await given.job(database, await given.tenant(database)))
    assert await folded(database) == {}
    async with database.statement() as connection:
        assert 0 <= await totals.lag_s(connection) < dt.timedelta(minutes=5).total_seconds()
