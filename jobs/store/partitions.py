"""Makes the partitions of payloads (a day each) and attempts (a month each) ahead of time, and drops old days."""

import datetime as dt
from collections.abc import Iterator

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids

DAYS_AHEAD = 14
MONTHS_AHEAD = 3
LOCK = 7262
"""Advisory: two dispatchers that begin together must not make one partition twice."""

# Tables in use are asked for with little patience: whoever reads or writes them queues up behind who asks. Not said
# of the advisory lock and the rows, which hold nobody up.
IMPATIENCE = text("set local lock_timeout = '200ms'")
ALIVE = text("""
select id from jobs where state in ('queued', 'running') and id < cast(:bound as uuid) order by id limit 1
""")
DELETE_STRAYS = text("delete from payloads_default where id < cast(:bound as uuid)")
MARK_PURGED = text("""
update jobs set purged_at = now()
where id < cast(:bound as uuid) and purged_at is null and state not in ('queued', 'running')
""")


def spans(today: dt.date) -> Iterator[tuple[str, str, dt.date, dt.date]]:
    """(table, partition, first day, day after) of every partition that must exist today."""
    for offset in range(-1, DAYS_AHEAD):
        day = today + dt.timedelta(days=offset)
        yield "payloads", f"payloads_{day:%Y%m%d}", day, day + dt.timedelta(days=1)
    month = today.replace(day=1)
    month = (month - dt.timedelta(days=1)).replace(day=1)
    for _ in range(MONTHS_AHEAD + 1):
        after = (month + dt.timedelta(days=32)).replace(day=1)
        yield "attempts", f"attempts_{month:%Y%m}", month, after
        month = after


def bound(day: dt.date) -> str:
    """A day's midnight (UTC) as the uuid that begins it."""
    return str(ids.floor_uuid(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)))


def statements(today: dt.date) -> list[tuple[str, str]]:
    """(partition, SQL that makes it), for what must exist today."""
    return [
        (name, f"create table {name} partition of {table} for values from ('{bound(first)}') to ('{bound(after)}')")
        for table, name, first, after in spans(today)
    ]


async def make_ahead(connection: AsyncConnection, today: dt.date) -> int:
    """Create what is missing; returns how many. Rows outside every partition are in `*_default` and stay there.

    A span that has rows in `*_default` already (nobody made partitions for a while) can't get its own any more: it
    is left to the default, so that the ones after it are made. Wants a transaction, whose lock time-out becomes short:
    raises the time-out (nothing is made then) when somebody uses the tables for longer.
    """
    await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    existing = set(
        (
            await connection.execute(text("select relname from pg_class where relkind = 'r' and relispartition"))
        ).scalars()
    )
    await connection.execute(IMPATIENCE)
    made = 0
    for name, statement in statements(today):
        if name in existing:
            continue
        try:
            async with connection.begin_nested():
                await connection.execute(text(statement))
        except exc.IntegrityError:
            continue
        made += 1
    return made


async def drop_payloads_before(connection: AsyncConnection, day: dt.date) -> list[str]:
    """Drop the days of payloads that lie wholly before `day`, and mark their jobs purged. Returns their names.

    A day with the prompt of a job that still waits or runs is kept with all after it: a 202 is never lost.
    Wants a transaction, whose lock time-out becomes short: raises the time-out (nothing is dropped or marked then).
    """
    alive = (await connection.execute(ALIVE, {"bound": bound(day)})).scalar_one_or_none()
    if alive is not None:
        day = min(day, ids.moment_of(alive).date())
    strays = (await connection.execute(DELETE_STRAYS, {"bound": bound(day)})).rowcount
    names = (
        await connection.execute(
            text(
                "select relname from pg_class where relkind = 'r' and relispartition"
                " and relname ~ '^payloads_[0-9]{8}$'"
            )
        )
    ).scalars()
    old = sorted(name for name in names if dt.datetime.strptime(name[9:], "%Y%m%d").date() < day)  # noqa: DTZ007
    if old or strays:  # else nothing went, and there is no reason to look through all jobs
        await connection.execute(MARK_PURGED, {"bound": bound(day)})
    if not old:
        return []
    await connection.execute(IMPATIENCE)
    for name in old:
        await connection.execute(text(f"drop table {name}"))
    return old
