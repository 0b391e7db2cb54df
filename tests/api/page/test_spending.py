"""A day's spending is remembered by the hour, and is at each reading what one query over all rows would say."""

import datetime as dt
from collections.abc import Iterable

from sqlalchemy import text

from api.page.spending import RECHECK, Spending
from jobs.store import overview
from jobs.store.overview import Spent
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.test_overview import aged, now_of

HOUR = dt.timedelta(hours=1)


def by_hour(rows: Iterable[Spent]) -> list[Spent]:
    return sorted(rows, key=lambda row: row.hour)


async def test_settled_hours_are_remembered_and_late_bills_seen_at_the_recheck(database: Database):
    tenant_id = await given.tenant(database)
    for hours in (0, 1, 3, 22, 30):
        await given.succeeded(database, job_id := await given.job(database, tenant_id))
        await aged(database, job_id, dt.timedelta(hours=hours))
    now = await now_of(database, tenant_id)
    spending = Spending()
    async with database.statement() as connection:
        first = await spending.read(connection, tenant_id, now)
        since = now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=overview.HOURS - 1)
        assert by_hour(first) == by_hour(await overview.spent_between(connection, tenant_id, since, now + HOUR))
        assert sum(row.calls for row in first) == 4
        await connection.execute(text("update attempts set cost_usd = 1 where opened_at < now() - interval '2 h'"))
        await given.succeeded(database, await given.job(database, tenant_id))
        again = await spending.read(connection, tenant_id, now + dt.timedelta(seconds=2))
        assert sum(row.calls for row in again) == 5
        assert max(row.cost_usd for row in again) < 1
        later = await spending.read(connection, tenant_id, now + RECHECK)
        assert sum(row.cost_usd == 1 for row in later) == 2


async def test_the_window_moves_on_and_nothing_is_counted_twice(database: Database):
    tenant_id = await given.tenant(database)
    for hours in range(6):
        await given.succeeded(database, job_id := await given.job(database, tenant_id))
        await aged(database, job_id, dt.timedelta(hours=hours))
    now = await now_of(database, tenant_id)
    spending = Spending()
    async with database.statement() as connection:
        for minutes in range(0, 60 * 30, 7):
            at = now + dt.timedelta(minutes=minutes)
            rows = await spending.read(connection, tenant_id, at)
            since = at.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=overview.HOURS - 1)
            assert by_hour(rows) == by_hour(await overview.spent_between(connection, tenant_id, since, at + HOUR))
