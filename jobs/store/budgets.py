"""Budgets: ceilings on what the calls of a tenant, or of one of its keys, may cost in a period.

`settled_usd` is what closed calls cost (their bound, where the cost is unknown), `reserved_usd` the bounds of the open
ones. Both mirror rows of the ledger and are changed by `jobs.store.charges` alone; `check` holds them against those
rows, `rebuild` makes them anew. A budget counts the calls opened after it was made.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.store.charges import IS_CHARGED_TO
from jobs.store.rows import Opening
from jobs.store.uuid7 import uuid7

Period = Literal["total", "day", "month"]
ALERT_PERCENTS = (50, 80, 100)
WAKE_AT_ONCE = 5_000
"""Waiting jobs made due by the statement that raises a cap; the sweeper wakes the rest, as many a sweep."""

# A budget as it stands now: one whose period is over has all of it left, though nobody has written that yet.
_STARTS = "case when b.period = 'total' then b.period_start else date_trunc(b.period, now(), 'UTC') end"
_VIEW = f"""
select b.id, b.tenant_id, b.key_id, b.cap_usd, b.period, b.alert_percents, b.created_at, s.is_over,
    case when s.is_over then s.starts else b.period_start end as period_start,
    case when b.period <> 'total'
        then (s.starts at time zone 'UTC' + ('1 ' || b.period)::interval) at time zone 'UTC' end as period_end,
    extract(epoch from case when b.period <> 'total'
        then (s.starts at time zone 'UTC' + ('1 ' || b.period)::interval) at time zone 'UTC' - now() end
    )::float8 as ends_in_s,
    case when s.is_over then 0 else b.settled_usd end as settled_usd,
    case when s.is_over then 0 else b.reserved_usd end as reserved_usd,
    case when s.is_over then null else b.exhausted_at end as exhausted_at
from {{budgets}} cross join lateral (select t.starts, t.starts > b.period_start as is_over from (select {_STARTS}) as
    t(starts)) s
"""  # noqa: S608 -- made of constants of this file
LIST = text(_VIEW.format(budgets="budgets b") + " where b.tenant_id = :tenant_id order by b.id")
GET = text(_VIEW.format(budgets="budgets b") + " where b.tenant_id = :tenant_id and b.id = :id")
OF_KEY = text(
    _VIEW.format(budgets="budgets b")
    + " where b.tenant_id = :tenant_id and (b.key_id is null or b.key_id = :key_id) order by b.id"
)
IN_THE_WAY = text(
    _VIEW.format(
        budgets="jobs j join budgets b on b.tenant_id = j.tenant_id and (b.key_id is null or b.key_id = j.key_id)"
    )
    + " where j.id = :job_id and j.token = :token and j.state = 'running' and j.cancel_requested_at is null"
)
WRITTEN = text("select exists (select from attempts where id = :id and token = :token and outcome is null)")
CREATE = text("""
insert into budgets (id, tenant_id, key_id, cap_usd, period, alert_percents, period_start)
values (:id, :tenant_id, :key_id, :cap_usd, :period, :alert_percents,
    case when :period = 'total' then now() else date_trunc(:period, now(), 'UTC') end)
""")
# A higher cap ends the waiting; thresholds that lie ahead again are told again.
CHANGE = text("""
with was as materialized (select id, cap_usd from budgets where tenant_id = :tenant_id and id = :id for update)
update budgets b set cap_usd = coalesce(:cap_usd, b.cap_usd),
    alert_percents = coalesce(cast(:alert_percents as smallint[]), b.alert_percents),
    exhausted_at = case when :cap_usd > was.cap_usd then null else b.exhausted_at end,
    exhaustion_told_at = case when :cap_usd > was.cap_usd then null else b.exhaustion_told_at end,
    told_percent = case when :cap_usd > was.cap_usd then coalesce((
        select max(p) from unnest(b.alert_percents) p
        where p <= b.told_percent and b.settled_usd * 100 >= :cap_usd * p), 0) else b.told_percent end,
    must_wake = b.must_wake or coalesce(:cap_usd > was.cap_usd, false)
from was where b.id = was.id returning b.id, b.must_wake
""")
# A job that was just sent to wait, when meanwhile the cap was raised or the budget removed: whoever did that woke those
# that waited already. `for share` waits for one who is at it now, and sees the cap as it leaves it.
GO_ON = text(f"""
with ties as materialized (
    select b.cap_usd, b.settled_usd from jobs j join budgets b on {IS_CHARGED_TO.format(row="j")}
    where j.id = :job_id for share of b
)
update jobs set run_at = now(), deferred = false
where id = :job_id and state = 'queued' and deferred and released_at is null
    and not exists (select from ties where settled_usd + :bound_usd > cap_usd)
returning id
""")  # noqa: S608 -- made of constants
REMOVE = text("delete from budgets where tenant_id = :tenant_id and id = :id returning id")
COUNT = text(f"""
select count(*) filter (where v.exhausted_at is null) as open, count(v.exhausted_at) as exhausted
from ({_VIEW.format(budgets="budgets b")}) v
""")  # noqa: S608 -- made of constants of this file
EXHAUST = text("update budgets set exhausted_at = now() where id = any(:ids) and exhausted_at is null")
# Jobs that wait for something later than now. Those that wait for something else look again, and wait on.
WAKE = text("""
with waiting as materialized (
    select j.id from jobs j
    where j.state = 'queued' and j.deferred and j.run_at > now() and j.tenant_id = :tenant_id
        and (cast(:key_id as uuid) is null or j.key_id = :key_id)
    limit :most for update skip locked
)
update jobs set run_at = now(), deferred = false from waiting where jobs.id = waiting.id returning jobs.id
""")
WOKEN = text("update budgets set must_wake = false where id = :id")
TO_WAKE = text("select id, tenant_id, key_id from budgets where must_wake order by id for update skip locked")

# One statement sees one moment: the sums and the rows whose mirror they are.
CHECK = text("""
select b.id, b.tenant_id, b.settled_usd, b.reserved_usd, s.settled_usd as settled_rows_usd,
    s.reserved_usd as reserved_rows_usd
from budgets b cross join lateral (
    select coalesce(sum(a.cost_bound_usd) filter (where a.outcome is null), 0) as reserved_usd,
        coalesce(sum(coalesce(a.cost_usd, case when a.outcome = 'not_sent' then 0 else a.cost_bound_usd end))
            filter (where a.outcome is not null), 0) as settled_usd
    from attempts a
    where a.tenant_id = b.tenant_id and b.id = any(a.budget_ids) and a.opened_at >= b.period_start
) s
where cast(:tenant_id as uuid) is null or b.tenant_id = :tenant_id order by b.id
""")
LOCK = text("select id from budgets where id = :id for update")
REBUILD = text("update budgets set settled_usd = :settled_usd, reserved_usd = :reserved_usd where id = :id")


class BudgetTaken(Exception):
    """The tenant, or the key, has a budget for this period already."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as it stands. `key_id` None: the whole tenant's."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    key_id: uuid.UUID | None
    cap_usd: Decimal
    period: Period
    alert_percents: tuple[int, ...]
    period_start: dt.datetime
    period_end: dt.datetime | None
    """When all of it is there again (UTC midnight); None: never."""
    ends_in_s: float | None
    settled_usd: Decimal
    reserved_usd: Decimal
    exhausted_at: dt.datetime | None
    """When a call was first refused in this period because what is settled leaves no room for it."""
    created_at: dt.datetime

    @property
    def remaining_usd(self) -> Decimal:
        """What may still be reserved; below 0 when a bill was above its bound or the cap was lowered."""
        return self.cap_usd - self.settled_usd - self.reserved_usd


class Drift(msgspec.Struct, frozen=True):
    """A budget's sums beside the sums of its rows; the difference must be 0."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    settled_usd: Decimal
    reserved_usd: Decimal
    settled_rows_usd: Decimal
    reserved_rows_usd: Decimal

    @property
    def usd(self) -> Decimal:
        """How far the sums are from their rows."""
        return abs(self.settled_usd - self.settled_rows_usd) + abs(self.reserved_usd - self.reserved_rows_usd)


async def budgets_of(connection: AsyncConnection, tenant_id: uuid.UUID) -> list[Budget]:
    """All budgets of a tenant and its keys, oldest first."""
    return _budgets((await connection.execute(LIST, {"tenant_id": tenant_id})).all())


async def budgets_of_key(connection: AsyncConnection, tenant_id: uuid.UUID, key_id: uuid.UUID) -> list[Budget]:
    """Every budget that a call of this key is charged to: its own and its tenant's."""
    return _budgets((await connection.execute(OF_KEY, {"tenant_id": tenant_id, "key_id": key_id})).all())


async def count_by_state(connection: AsyncConnection) -> dict[str, int]:
    """How many budgets of all tenants are `open`, and how many are `exhausted`: what they hold up waits."""
    return dict((await connection.execute(COUNT)).mappings().one())


async def find(connection: AsyncConnection, tenant_id: uuid.UUID, budget_id: uuid.UUID) -> Budget | None:
    """One budget; None when this tenant has none of this id."""
    found = _budgets((await connection.execute(GET, {"tenant_id": tenant_id, "id": budget_id})).all())
    return found[0] if found else None


async def in_the_way(connection: AsyncConnection, opening: Opening) -> list[Budget]:
    """The budgets of an attempt that was not written; [] when its token is stale, or they are gone."""
    names = {"job_id": opening.job_id, "token": opening.token}
    return _budgets((await connection.execute(IN_THE_WAY, names)).all())


async def is_written(connection: AsyncConnection, opening: Opening) -> bool:
    """Whether the attempt is there after all: said twice, the second time may come too late to see the first."""
    found: bool = (await connection.execute(WRITTEN, {"id": opening.id, "token": opening.token})).scalar_one()
    return found


async def go_on(connection: AsyncConnection, job_id: uuid.UUID, bound_usd: Decimal) -> bool:
    """Make due a job that waits for a budget, if that has room for such a call by now; True when it has."""
    found = await connection.execute(GO_ON, {"job_id": job_id, "bound_usd": bound_usd})
    return found.scalar_one_or_none() is not None


async def create(
    connection: AsyncConnection,
    tenant_id: uuid.UUID,
    cap_usd: Decimal,
    period: Period,
    key_id: uuid.UUID | None = None,
    alert_percents: Sequence[int] = ALERT_PERCENTS,
) -> uuid.UUID:
    """Make a budget that counts from now on; returns its id. Raises BudgetTaken. The key must be the tenant's."""
    budget_id = uuid7()
    values = {"id": budget_id, "tenant_id": tenant_id, "key_id": key_id, "cap_usd": cap_usd, "period": period}
    try:
        await connection.execute(CREATE, values | {"alert_percents": sorted(set(alert_percents))})
    except exc.IntegrityError as error:
        raise BudgetTaken from error
    return budget_id


async def change(
    connection: AsyncConnection,
    tenant_id: uuid.UUID,
    budget_id: uuid.UUID,
    cap_usd: Decimal | None = None,
    alert_percents: Sequence[int] | None = None,
) -> list[uuid.UUID] | None:
    """Set cap or alerts; returns the jobs that a higher cap made due at once, None without such a budget.

    Wants a transaction. A cap below what is spent stops new calls; what runs is paid for.
    """
    alerts = sorted(set(alert_percents)) if alert_percents is not None else None
    names = {"tenant_id": tenant_id, "id": budget_id, "cap_usd": cap_usd, "alert_percents": alerts}
    changed = (await connection.execute(CHANGE, names)).one_or_none()
    if changed is None:
        return None
    return await _wake(connection, budget_id, tenant_id, None) if changed.must_wake else []


async def remove(connection: AsyncConnection, tenant_id: uuid.UUID, budget_id: uuid.UUID) -> bool:
    """Drop a budget and make due what waited for it; False without such a budget. Wants a transaction."""
    names = {"tenant_id": tenant_id, "id": budget_id}
    if (await connection.execute(REMOVE, names)).scalar_one_or_none() is None:
        return False
    while len(await _wake(connection, budget_id, tenant_id, None)) == WAKE_AT_ONCE:
        pass
    return True


async def exhaust(connection: AsyncConnection, budget_ids: Sequence[uuid.UUID]) -> None:
    """Note that these have no room for a call whatever the open ones will cost."""
    await connection.execute(EXHAUST, {"ids": sorted(budget_ids)})


async def wake_waiting(connection: AsyncConnection) -> int:
    """Make due what still waits for budgets whose cap was raised; returns how many. Wants a transaction."""
    woken = 0
    for row in (await connection.execute(TO_WAKE)).all():
        woken += len(await _wake(connection, row.id, row.tenant_id, row.key_id))
    return woken


async def check(connection: AsyncConnection, tenant_id: uuid.UUID | None = None) -> list[Drift]:
    """Every budget (of one tenant, or of all) beside the sums of its ledger rows. Reads all calls of its period."""
    found = await connection.execute(CHECK, {"tenant_id": tenant_id})
    return [Drift(*row) for row in found]


async def rebuild(connection: AsyncConnection, budget_id: uuid.UUID) -> Drift | None:
    """Set a budget's sums to those of its rows; returns how they differed. Wants a transaction."""
    await connection.execute(LOCK, {"id": budget_id})
    for drift in await check(connection):
        if drift.id == budget_id:
            names = {"settled_usd": drift.settled_rows_usd, "reserved_usd": drift.reserved_rows_usd}
            await connection.execute(REBUILD, names | {"id": budget_id})
            return drift
    return None


async def _wake(
    connection: AsyncConnection, budget_id: uuid.UUID, tenant_id: uuid.UUID, key_id: uuid.UUID | None
) -> list[uuid.UUID]:
    found = await connection.execute(WAKE, {"tenant_id": tenant_id, "key_id": key_id, "most": WAKE_AT_ONCE})
    woken = list(found.scalars())
    if len(woken) < WAKE_AT_ONCE:
        await connection.execute(WOKEN, {"id": budget_id})
    return woken


def _budgets(rows: Sequence[Row[Any]]) -> list[Budget]:
    return [
        Budget(
            id=row.id,
            tenant_id=row.tenant_id,
            key_id=row.key_id,
            cap_usd=row.cap_usd,
            period=row.period,
            alert_percents=tuple(row.alert_percents),
            period_start=row.period_start,
            period_end=row.period_end,
            ends_in_s=row.ends_in_s,
            settled_usd=row.settled_usd,
            reserved_usd=row.reserved_usd,
            exhausted_at=row.exhausted_at,
            created_at=row.created_at,
        )
        for row in rows
    ]
