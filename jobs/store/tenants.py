"""Tenants as their operator sees them: who there is, and the limits of each."""

import datetime as dt
import uuid

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_COLUMNS = "id, name, max_queued_jobs, weight, created_at"
FIND = text(f"select {_COLUMNS} from tenants where id = :id")  # noqa: S608 -- a constant of this file
LIST = text(f"select {_COLUMNS} from tenants order by name")  # noqa: S608 -- a constant of this file
SET = text(f"""
update tenants set max_queued_jobs = coalesce(:max_queued_jobs, max_queued_jobs), weight = coalesce(:weight, weight)
where name = :name returning {_COLUMNS}
""")  # noqa: S608 -- a constant of this file


class Tenant(msgspec.Struct, frozen=True):
    """A tenant with its limits."""

    id: uuid.UUID
    name: str
    max_queued_jobs: int
    weight: int
    """Its share of the yard beside tenants of weight 1."""
    created_at: dt.datetime


async def find(connection: AsyncConnection, tenant_id: uuid.UUID) -> Tenant | None:
    """One tenant; None when there is none of this id."""
    row = (await connection.execute(FIND, {"id": tenant_id})).one_or_none()
    return Tenant(*row) if row is not None else None


async def every(connection: AsyncConnection) -> list[Tenant]:
    """All tenants by name."""
    return [Tenant(*row) for row in await connection.execute(LIST)]


async def change(
    connection: AsyncConnection, name: str, max_queued_jobs: int | None = None, weight: int | None = None
) -> Tenant | None:
    """Set a tenant's limits (None: as it is); None when there is no tenant of this name. API processes see it in 5 s.

    `max_queued_jobs` from 0, `weight` from 1 to 1000.
    """
    names = {"name": name, "max_queued_jobs": max_queued_jobs, "weight": weight}
    row = (await connection.execute(SET, names)).one_or_none()
    return Tenant(*row) if row is not None else None
