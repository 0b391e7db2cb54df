"""How much a provider, or some of its deployments, were used in the last minute: what a lost count is filled from."""

import datetime as dt
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids

WINDOW_S = 60
# The id begins with its time, so the primary key finds the last minute without another index.
RECENT = text("""
select count(*) as requests, count(input_tokens + output_tokens) as known,
    coalesce(sum(input_tokens + output_tokens), 0) as tokens
from attempts where id >= :since and provider = :provider and outcome is distinct from 'not_sent'
    and (cast(:deployments as text[]) is null or deployment = any(cast(:deployments as text[])))
""")


async def last_minute(
    connection: AsyncConnection, provider: str, now: dt.datetime, deployments: Collection[str] | None = None
) -> tuple[int, int | None]:
    """(requests, tokens) of the provider's attempts that began in the minute before `now`.

    `deployments` (ids) narrows them to one model; None: all of the provider.

    Calls that are still open, or were cut, have no tokens yet: each counts as an average one of the others; None when
    there are calls and no tokens are known. An attempt does not say with which of the provider's keys it was made, so
    for each key this is the most it can have been: after a loss a key may pause for a burst (3 s) too long, never too
    short.
    """
    since = ids.floor_uuid(now - dt.timedelta(seconds=WINDOW_S))
    named = None if deployments is None else list(deployments)
    row = (await connection.execute(RECENT, {"since": since, "provider": provider, "deployments": named})).one()
    if not row.known:
        return int(row.requests), None if row.requests else 0
    return int(row.requests), -(-int(row.tokens) * int(row.requests) // int(row.known))
