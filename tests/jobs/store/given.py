"""Rows to begin with: tenants, submissions, and jobs that have already been through a worker's hands."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.chat import Usage
from jobs.job import Submission
from jobs.lanes import Lane
from jobs.states import Outcome
from jobs.store import lifecycle
from jobs.store import release as releases
from jobs.store.accounts import ensure_tenant
from jobs.store.fleet import Presence
from jobs.store.rows import Closing, Move, Opening
from jobs.store.session import Database
from jobs.store.submit import insert
from jobs.store.uuid7 import uuid7
from routing.fairness import share_out

RAW = b'{"model": "auto", "messages": [{"role": "user", "content": "hi \\u0000 there"}]}'
ANSWER = b'{"object": "chat.completion", "choices": [{"message": {"content": "hello"}}]}'


async def tenant(database: Database, name: str = "default") -> uuid.UUID:
    async with database.transaction() as connection:
        return await ensure_tenant(connection, name)


def presence(name: str = "w1", beat_s: float = 10.0) -> Presence:
    """A worker process of its own at each call."""
    return Presence(
        id=uuid.uuid4(),
        name=name,
        host="lab",
        pid=1,
        lanes=("standard", "bulk"),
        slots=4,
        calls_in_flight=16,
        beat_s=beat_s,
    )


def submission(tenant_id: uuid.UUID, **changes: Any) -> Submission:
    now = dt.datetime.now(dt.UTC)
    plain = Submission(
        id=uuid7(),
        tenant_id=tenant_id,
        lane=Lane.STANDARD,
        policy="auto",
        request_raw=RAW,
        model="auto",
        deadline_at=now + dt.timedelta(hours=1),
        urgent_at=now,
    )
    return msgspec.structs.replace(plain, **changes)


async def job(database: Database, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    wanted = submission(tenant_id, **changes)
    async with database.transaction() as connection:
        await insert(connection, [wanted])
    return wanted.id


async def release(connection: AsyncConnection, lane: Lane, most: int) -> list[uuid.UUID]:
    """Release so many jobs of a lane, as a dispatcher does."""
    view = await releases.look(connection, 10**6)
    (found,) = [found for found in view.lanes if found.lane is lane]
    shares = share_out(most, found.queues)
    turn = releases.Turn(view=found, shares=shares, stock=found.depth + most)
    return (await releases.release(connection, [turn])).get(lane, []) if shares.takes else []


async def claimed(database: Database, job_id: uuid.UUID) -> uuid.UUID:
    """Run a job: its token."""
    async with database.transaction() as connection:
        await connection.execute(text("update jobs set released_at = now() where id = :id"), {"id": job_id})
        ((found,), _) = await lifecycle.claim_rung(connection, [job_id], lease_s=30)
    return found.token


async def attempt(database: Database, job_id: uuid.UUID, token: uuid.UUID, provider: str = "lab") -> uuid.UUID:
    """Open a call of a running job: the attempt's id."""
    attempt_id = uuid7()
    opening = Opening(
        id=attempt_id,
        job_id=job_id,
        token=token,
        deployment=f"maker/small@{provider}",
        model="maker/small",
        provider=provider,
        tier=0,
        task="intent",
        cost_bound_usd=Decimal("0.005"),
        price_version="2026-01-01",
    )
    async with database.transaction() as connection:
        assert await lifecycle.open_attempts(connection, [opening]) == {attempt_id}
    return attempt_id


def closing(attempt_id: uuid.UUID, **changes: Any) -> Closing:
    answered = Closing(
        id=attempt_id,
        outcome=Outcome.ACCEPTED,
        usage=Usage(41, 9),
        cost_usd=Decimal("0.000123400000"),
        cost_basis="usage",
        first_token_ms=210,
        total_ms=380,
        answer=ANSWER,
        finish_reason="stop",
        confidence=0.83,
    )
    return msgspec.structs.replace(answered, **changes)


async def settle(database: Database, move: Move) -> None:
    async with database.transaction() as connection:
        assert await lifecycle.settle(connection, [move]) == {move.token}


async def succeeded(database: Database, job_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """Run a job to its end: the attempt's id."""
    token = await claimed(database, job_id)
    attempt_id = await attempt(database, job_id, token)
    await settle(database, Move.succeed(job_id, token, attempt_id, closing(attempt_id, **changes)))
    return attempt_id
