"""Endpoints and what was put out for them, for the tests of the outbox."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from jobs.store import deliveries, webhooks
from jobs.store.deliveries import Due, Share
from jobs.store.session import Database

ALL = ("job.*", "batch.finished", "budget.*", "webhook.disabled")
SHARE = Share(most=100, most_each=4, quiet_after=3, lease_s=60)


async def endpoint(
    database: Database, tenant_id: uuid.UUID, url: str = "https://hooks.example.com/", events: Sequence[str] = ALL
) -> uuid.UUID:
    async with database.transaction() as connection:
        made = await webhooks.create(connection, tenant_id, "a test", url, events)
    assert made is not None
    webhook_id: uuid.UUID = made[0].id
    return webhook_id


async def rows(database: Database, statement: str, **names: object) -> list[Any]:
    async with database.transaction() as connection:
        return list((await connection.execute(text(statement), names)).all())


async def execute(database: Database, statement: str, **names: object) -> None:
    async with database.transaction() as connection:
        await connection.execute(text(statement), names)


async def told(database: Database) -> list[tuple[str, Any]]:
    """(type, job or batch) of everything that was put out."""
    found = await rows(database, "select type, coalesce(job_id, batch_id) as of from webhook_deliveries order by id")
    return [(row.type, row.of) for row in found]


async def claimed(database: Database, share: Share = SHARE) -> list[Due]:
    async with database.transaction() as connection:
        return await deliveries.claim(connection, share)


async def put_forward(database: Database, seconds: float) -> None:
    """The clock goes on for the deliveries and their endpoints."""
    names = {"s": seconds}
    await execute(database, "update webhook_deliveries set next_at = next_at - make_interval(secs => :s)", **names)
    await execute(
        database,
        "update webhooks set paused_until = paused_until - make_interval(secs => :s),"
        " failing_since = failing_since - make_interval(secs => :s)",
        **names,
    )
