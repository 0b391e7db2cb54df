"""Reads a period's closed calls for rating them anew; it writes nothing: what was booked stays booked."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Row, text

from jobs import ids
from jobs.chat import USAGE_KINDS
from jobs.store.session import Database

PAGE = 2_000
"""Rows read at once: a few milliseconds of work, so that others get their turn between two pages."""
_CALLS = text(f"""
select id, deployment, (opened_at at time zone 'UTC')::date as day, cost_usd, price_version, input_tokens,
    output_tokens, {", ".join(USAGE_KINDS)}
from attempts
where tenant_id = :tenant_id and id > :after and id < :until and outcome is not null and outcome <> 'not_sent'
    and (cast(:deployment as text) is null or deployment = :deployment)
order by id limit {PAGE}
""")  # noqa: S608 -- made of constants


async def pages(
    database: Database,
    tenant_id: uuid.UUID,
    since: dt.datetime,
    until: dt.datetime,
    deployment: str | None,
) -> AsyncIterator[list[Row[Any]]]:
    """The calls opened from `since` on and before `until`, oldest first, in pages; none holds a connection."""
    after = uuid.UUID(int=ids.floor_uuid(since).int - 1)
    names = {"tenant_id": tenant_id, "until": ids.floor_uuid(until), "deployment": deployment}
    while True:
        async with database.statement() as connection:
            rows = list((await connection.execute(_CALLS, names | {"after": after})).all())
        if rows:
            yield rows
            after = rows[-1].id
        if len(rows) < PAGE:
            return
