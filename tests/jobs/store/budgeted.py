"""Budgets in tests: keys, calls of a price, a witness of every moment, and sums that must agree."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from jobs.states import Outcome
from jobs.store import budgets, lifecycle
from jobs.store.accounts import Scope, create_key
from jobs.store.budgets import Budget
from jobs.store.rows import Closing, Move, Opening
from jobs.store.session import Connection, Database
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given

# Sees every version of a budget's row, committed or not: how far it ever was above its cap, and how often it changed.
WITNESS = (
    "create table seen (budget_id uuid, over_usd numeric, below_usd numeric)",
    """
    create function see() returns trigger language plpgsql as $$
    begin
        insert into seen values (new.id, new.settled_usd + new.reserved_usd - new.cap_usd,
            least(new.settled_usd, new.reserved_usd));
        return null;
    end $$
    """,
    "create trigger see after update on budgets for each row execute function see()",
)


async def watch(connection: Connection) -> None:
    for statement in WITNESS:
        await connection.execute(text(statement))


async def key_of(database: Database, tenant_id: uuid.UUID) -> uuid.UUID:
    async with database.transaction() as connection:
        key_id, _ = await create_key(connection, tenant_id, "a test", Scope)
    return key_id


def opening(job_id: uuid.UUID, token: uuid.UUID, bound: str | Decimal | None) -> Opening:
    return Opening(
        id=uuid7(),
        job_id=job_id,
        token=token,
        deployment="maker/small@lab",
        model="maker/small",
        provider="lab",
        tier=0,
        cost_bound_usd=Decimal(bound) if bound is not None else None,
    )


async def running(
    database: Database, tenant_id: uuid.UUID, key_id: uuid.UUID | None = None
) -> tuple[uuid.UUID, uuid.UUID]:
    """A job in a worker's hands: its id and token."""
    job_id = await given.job(database, tenant_id, key_id=key_id)
    return job_id, await given.claimed(database, job_id)


async def opened(database: Database, *openings: Opening) -> list[bool]:
    """Which of them were written, in one flush."""
    async with database.statement() as connection:
        written = await lifecycle.open_attempts(connection, list(openings))
    return [each.id in written for each in openings]


def closed(made: Opening, outcome: Outcome, cost: str | Decimal | None) -> Closing:
    cost_usd = Decimal(cost) if cost is not None else None
    return Closing(id=made.id, outcome=outcome, cost_usd=cost_usd, cost_basis="none" if cost is None else "usage")


async def close(database: Database, made: Opening, outcome: Outcome, cost: str | Decimal | None) -> None:
    async with database.statement() as connection:
        await lifecycle.settle(connection, [Move.close(made.job_id, made.token, closed(made, outcome, cost))])


async def sums(database: Database, tenant_id: uuid.UUID) -> list[tuple[Any, Any]]:
    """(settled, reserved) of each budget, which must be the sums of its rows."""
    async with database.statement() as connection:
        found: list[Budget] = await budgets.budgets_of(connection, tenant_id)
        assert [drift.usd for drift in await budgets.check(connection)] == [0] * len(found)
    return [(each.settled_usd, each.reserved_usd) for each in found]
