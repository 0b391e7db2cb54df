"""What nobody else is left to do: rescue expired leases, expire the late, ring lost bells again."""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.lanes import QUARANTINE_AFTER_DEATHS
from jobs.store.charges import BOOK, UNSEEN

# A bell nobody answered: the jobs wait for release again.
REISSUE = text("""
with lost as materialized (
    select id from jobs where state = 'queued' and released_at < now() - make_interval(secs => :after_s)
    limit 1000 for update skip locked
)
update jobs set released_at = null from lost where jobs.id = lost.id returning jobs.id
""")

# running -> queued (rescue, after the second death in quarantine), or failed when workers died on it too often, or
# cancelled when its owner asked.
# The calls it left open become `unknown`: they may have been billed, and their bound stands for the bill.
RESCUE = text(f"""
with dead as materialized (
    select id, deaths + 1 as deaths, cancel_requested_at is not null as cancelled,
        cancel_requested_at is null and deaths + 1 >= :suspect_deaths and deaths + 1 < :max_deaths as suspect
    from jobs where state = 'running' and lease_until < now()
    order by lease_until limit 500 for update skip locked
), closed as (
    update attempts a set outcome = 'unknown', closed_at = clock_timestamp(),
        cost_basis = case when a.cost_bound_usd is null then 'none' else 'estimate' end
    from dead where a.job_id = dead.id and a.outcome is null
    returning {UNSEEN}
), {BOOK}
update jobs j set
    state = case when dead.cancelled then 'cancelled' when dead.deaths >= :max_deaths then 'failed' else 'queued' end,
    lane = case when dead.suspect then 'quarantine' else j.lane end,
    home_lane = case when dead.suspect then coalesce(j.home_lane, j.lane) else j.home_lane end,
    deaths = dead.deaths, token = null, lease_until = null, released_at = null, run_at = now(),
    finished_at = case when dead.cancelled or dead.deaths >= :max_deaths then clock_timestamp() end,
    error = case when dead.deaths >= :max_deaths and not dead.cancelled then jsonb_build_object(
        'kind', 'worker_deaths',
        'message', format('%s workers died while they ran this job; see docs/guarantees.md', dead.deaths)) end
from dead where j.id = dead.id
returning j.id, j.state
""")  # noqa: S608 -- made of constants of jobs.store.charges

# An attempt that its worker opened and never closed, though its job has moved on: a defect or a lost race. Rare, so
# found once an hour, among the calls of the last days that are older than any call may be.
CLOSE_LEFT_OPEN = text(f"""
with closed as (
    update attempts a set outcome = 'unknown', closed_at = clock_timestamp(),
        cost_basis = case when a.cost_bound_usd is null then 'none' else 'estimate' end
    where a.id between :since and :until and a.outcome is null
        and not exists (select from jobs j where j.id = a.job_id and j.token = a.token and j.state = 'running')
    returning a.id, {UNSEEN}
), {BOOK}
select id from closed
""")  # noqa: S608 -- made of constants of jobs.store.charges

# Those that are released are few, and found among them: kept in the index of deadlines, each would be written there
# once more when it is released.
EXPIRE = text("""
with late as materialized (
    select id from jobs where state = 'queued' and released_at is null and deadline_at <= now()
    order by deadline_at limit 1000 for update skip locked
), stale as materialized (
    select id from jobs where state = 'queued' and released_at is not null and deadline_at <= now()
    limit 1000 for update skip locked
)
update jobs set state = 'expired', finished_at = clock_timestamp(), released_at = null,
    error = jsonb_build_object('kind', 'deadline_passed', 'message', 'its deadline passed while it waited')
from (select id from late union all select id from stale) l where jobs.id = l.id returning jobs.id
""")

FORGET = text("delete from idempotency where created_at < now() - interval '24 hours'")


async def reissue(connection: AsyncConnection, after_s: float) -> list[uuid.UUID]:
    """Take back releases that nobody claimed for `after_s` seconds; they are released again, with a new bell."""
    found = await connection.execute(REISSUE, {"after_s": after_s})
    return list(found.scalars())


async def rescue(connection: AsyncConnection, max_deaths: int) -> Sequence[tuple[uuid.UUID, str]]:
    """Give back the jobs of dead or frozen workers; returns (job id, its state now)."""
    found = await connection.execute(RESCUE, {"max_deaths": max_deaths, "suspect_deaths": QUARANTINE_AFTER_DEATHS})
    return [(row.id, row.state) for row in found]


async def expire(connection: AsyncConnection) -> list[uuid.UUID]:
    """End the waiting jobs whose deadline has passed."""
    return list((await connection.execute(EXPIRE)).scalars())


async def close_left_open(connection: AsyncConnection, now: dt.datetime) -> list[uuid.UUID]:
    """Mark as `unknown` what was opened over an hour ago, within four days, and left open by a job that moved on."""
    since, until = now - dt.timedelta(days=4), now - dt.timedelta(hours=1)
    found = await connection.execute(CLOSE_LEFT_OPEN, {"since": ids.floor_uuid(since), "until": ids.floor_uuid(until)})
    return list(found.scalars())


async def forget_idempotency(connection: AsyncConnection) -> None:
    """Drop idempotency keys older than 24 h."""
    await connection.execute(FORGET)
