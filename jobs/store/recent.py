"""How much a provider was used in the last minute: what a lost limit counter is filled from."""

import datetime as dt

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids

WINDOW_S = 60
# The id begins with its time, so the primary key finds the last minute without another index.
RECENT = text("""
select count(*) as requests, coalesce(sum(input_tokens + output_tokens), 0) as tokens
from attempts where id >= :since and provider = :provider and outcome is distinct from 'not_sent'
""")


async def last_minute(connection: AsyncConnection, provider: str, now: dt.datetime) -> tuple[int, int]:
    """(requests, tokens) of the provider's attempts that began in the minute before `now`."""
    since = ids.floor_uuid(now - dt.timedelta(seconds=WINDOW_S))
    row = (await connection.execute(RECENT, {"since": since, "provider": provider})).one()
    return int(row.requests), int(row.tokens)
