"""What the page at `/` shows of a tenant: ends by minute, spending by hour, latencies, newest failures; and the lanes.

Every query reads a bounded stretch of an index: `jobs_ended` for what ended, the time-ordered ids for the calls.
`now` is the database's clock, given by `pulse`.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.states import TERMINAL

PACE_S = 10
"""Jobs a second "now" are counted over this time."""
MINUTES = 60
HOURS = 24
SLOTS = 12
"""Stretches of five minutes in the hour of the latencies."""
FAILURES = 20
MOST_CALLS = 20
"""Newest calls shown of one failed job."""
CLOCK_MARGIN = dt.timedelta(minutes=10)
"""An attempt's id carries its worker's clock, its `opened_at` the database's; the first is only used to find it."""

PULSE = text("""
select now() as now, (select name from tenants where id = :tenant_id) as tenant,
    (select count(*) from jobs where tenant_id = :tenant_id and state = any(:ended)
        and finished_at > now() - make_interval(secs => :pace_s)) as ended
""")
ENDED = text("""
select date_trunc('minute', finished_at) as minute, state, count(*) as jobs
from jobs where tenant_id = :tenant_id and state = any(:ended) and finished_at >= :since group by 1, 2
""")
# One pass for both questions: what each model cost in each hour, and what the jobs of each policy cost altogether.
# A call that never left cannot have cost anything; an open one has no bill yet.
SPENT = text("""
select date_trunc('hour', a.opened_at) as hour, a.model, j.policy, count(*) as calls,
    count(*) filter (where a.outcome = 'accepted') as answers,
    coalesce(sum(a.input_tokens) filter (where a.outcome = 'accepted'), 0) as input_tokens,
    coalesce(sum(a.output_tokens) filter (where a.outcome = 'accepted'), 0) as output_tokens,
    coalesce(sum(a.cost_usd), 0) as cost_usd,
    count(*) filter (where a.cost_usd is null and a.outcome <> 'not_sent') as unknown,
    coalesce(sum(a.cost_bound_usd) filter (where a.cost_usd is null and a.outcome <> 'not_sent'), 0) as unknown_usd,
    count(*) filter (where a.cost_usd is null and a.cost_bound_usd is null and a.outcome <> 'not_sent') as unbounded,
    bool_or(a.sandbox) as sandbox
from attempts a join jobs j on j.id = a.job_id
where a.tenant_id = :tenant_id and a.id >= :first and a.id < :last and a.outcome is not null
    and a.opened_at >= :since and a.opened_at < :until
group by 1, 2, 3
""")
LATENCIES = text("""
select deployment, slot, grouping(slot) = 1 as is_whole, count(*) as calls,
    count(*) filter (where outcome = 'failed') as failed, count(*) filter (where outcome is null) as open,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by total_ms) as ms
from (
    select deployment, outcome, total_ms,
        floor(extract(epoch from opened_at - cast(:since as timestamptz)) / 3600 * :slots)::int as slot
    from attempts where tenant_id = :tenant_id and id >= :first and opened_at >= :since and opened_at < :until
) a group by grouping sets ((deployment), (deployment, slot))
""")
# The partial indexes hold the jobs that wait or run, however many have ended.
LANES = text("""
select lane, 'queued' as state, count(*) as jobs, count(*) filter (where tenant_id = :tenant_id) as mine,
    extract(epoch from now() - min(created_at))::float8 as oldest_s
from jobs where state = 'queued' group by lane
union all
select lane, 'running', count(*), count(*) filter (where tenant_id = :tenant_id),
    extract(epoch from now() - min(started_at))::float8
from jobs where state = 'running' group by lane
""")
_NEWEST = """
    (select id, finished_at from jobs where tenant_id = :tenant_id and state = '{state}' and finished_at is not null
    order by finished_at desc limit :limit)
"""
NEWEST_FAILURES = text(f"""
select j.id, j.state, j.lane, j.policy, j.model, j.task, j.custom_id, j.created_at, j.started_at, j.finished_at,
    j.error, j.receipt, (select count(*) from attempts a where a.job_id = j.id) as calls,
    (select jsonb_agg(c order by c.id) from (
        select a.id, a.deployment, a.tier, a.outcome, a.failure, a.status, a.total_ms, a.cost_usd::text
        from attempts a where a.job_id = j.id order by a.id desc limit :most_calls) c) as attempts
from (
    select id from ({_NEWEST.format(state="failed")} union all {_NEWEST.format(state="expired")}) each
    order by finished_at desc limit :limit
) newest join jobs j on j.id = newest.id order by j.finished_at desc, j.id desc
""")  # noqa: S608 -- made of constants of this file


class Pulse(msgspec.Struct, frozen=True):
    """The database's clock, the tenant's name, and how many of its jobs end a second."""

    now: dt.datetime
    tenant: str
    jobs_per_s: float


class Ended(msgspec.Struct, frozen=True):
    """How many jobs reached a state in the minute that begins at `minute`."""

    minute: dt.datetime
    state: str
    jobs: int


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """The closed calls of one model for the jobs of one policy that were opened in one hour."""

    hour: dt.datetime
    model: str
    policy: str
    calls: int
    answers: int
    """Calls whose answer is a job's result; the tokens are theirs."""
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    """Sum of the known amounts."""
    unknown: int
    """Calls whose cost is not known; they are not in `cost_usd`."""
    unknown_usd: Decimal
    """The most those can have cost, as far as they have a bound."""
    unbounded: int
    """Those of them that have no bound either."""
    sandbox: bool


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's calls of the last hour. Percentiles of `total_ms` (first byte sent to last read), in ms."""

    deployment: str
    calls: int
    failed: int
    open: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p95_by_slot_ms: tuple[float | None, ...]
    """SLOTS values, oldest first; None where no call was answered."""


class LaneLoad(msgspec.Struct, frozen=True):
    """Jobs of a lane that wait or run: all tenants', and this tenant's own."""

    lane: str
    state: str
    jobs: int
    mine: int
    oldest_s: float


async def pulse(connection: AsyncConnection, tenant_id: uuid.UUID) -> Pulse:
    """The clock everything else is read by."""
    names = {"tenant_id": tenant_id, "ended": list(TERMINAL), "pace_s": PACE_S}
    row = (await connection.execute(PULSE, names)).one()
    return Pulse(row.now, row.tenant or "", row.ended / PACE_S)


async def ended_by_minute(connection: AsyncConnection, tenant_id: uuid.UUID, now: dt.datetime) -> list[Ended]:
    """Jobs that ended in the last MINUTES minutes, the running one included; minutes without any are left out."""
    since = now.replace(second=0, microsecond=0) - dt.timedelta(minutes=MINUTES - 1)
    found = await connection.execute(ENDED, {"tenant_id": tenant_id, "ended": list(TERMINAL), "since": since})
    return [Ended(row.minute, row.state, row.jobs) for row in found]


async def spent_between(
    connection: AsyncConnection, tenant_id: uuid.UUID, since: dt.datetime, until: dt.datetime
) -> list[Spent]:
    """What calls opened from `since` on and before `until` (both full hours) cost, by hour, model and policy."""
    names: dict[str, Any] = {"tenant_id": tenant_id, "since": since, "until": until}
    names |= {"first": ids.floor_uuid(since - CLOCK_MARGIN), "last": ids.floor_uuid(until + CLOCK_MARGIN)}
    return [Spent(**row) for row in (await connection.execute(SPENT, names)).mappings()]


async def latencies(connection: AsyncConnection, tenant_id: uuid.UUID, now: dt.datetime) -> list[Latency]:
    """The last hour's calls by deployment, the busiest first."""
    since = now - dt.timedelta(hours=1)
    names = {"tenant_id": tenant_id, "since": since, "until": now, "first": ids.floor_uuid(since - CLOCK_MARGIN)}
    rows = (await connection.execute(LATENCIES, names | {"slots": SLOTS})).all()
    slots: dict[str, dict[int, float | None]] = {}
    for row in rows:
        if not row.is_whole:
            slots.setdefault(row.deployment, {})[row.slot] = _percentiles(row)[1]
    found = [_latency(row, slots.get(row.deployment, {})) for row in rows if row.is_whole]
    return sorted(found, key=lambda one: (-one.calls, one.deployment))


async def lanes(connection: AsyncConnection, tenant_id: uuid.UUID) -> list[LaneLoad]:
    """Waiting and running jobs by lane. The sums over all tenants are the yard's health, not anybody's data."""
    found = await connection.execute(LANES, {"tenant_id": tenant_id})
    return [LaneLoad(row.lane, row.state, row.jobs, row.mine, row.oldest_s) for row in found]


async def newest_failures(connection: AsyncConnection, tenant_id: uuid.UUID) -> Sequence[Row[Any]]:
    """The FAILURES jobs that failed or expired last, with error, receipt and calls; never a prompt or an answer."""
    names = {"tenant_id": tenant_id, "limit": FAILURES, "most_calls": MOST_CALLS}
    return (await connection.execute(NEWEST_FAILURES, names)).all()


def _latency(row: Row[Any], by_slot: dict[int, float | None]) -> Latency:
    p50_ms, p95_ms, p99_ms = _percentiles(row)
    return Latency(
        deployment=row.deployment,
        calls=row.calls,
        failed=row.failed,
        open=row.open,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        p95_by_slot_ms=tuple(by_slot.get(slot) for slot in range(SLOTS)),
    )


def _percentiles(row: Row[Any]) -> tuple[float | None, float | None, float | None]:
    found = tuple(row.ms or (None, None, None))
    return found[0], found[1], found[2]
