"""The ledger as its owner reads it: pages of attempts, and sums of their rows by model, provider, task, key or day."""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.chat import USAGE_KINDS

GROUPS: dict[str, str] = {
    "model": "a.model",
    "provider": "a.provider",
    "deployment": "a.deployment",
    "task": "a.task",
    "key": "a.key_id",
    "day": "to_char(a.opened_at at time zone 'UTC', 'YYYY-MM-DD')",
}
"""What usage can be grouped by, and the expression of each."""

_FILTERS = {
    "job_id": "and a.job_id = :job_id",
    "batch_id": "and a.job_id in (select id from jobs where batch_id = :batch_id and tenant_id = :tenant_id)",
    "since": "and a.id >= :since",
    "until": "and a.id < :until",
    "outcome": "and a.outcome = :outcome",
    "model": "and a.model = :model",
    "provider": "and a.provider = :provider",
    "task": "and a.task = :task",
    "after": "and a.id < :after",
}
_PAGE = """
select a.id, a.job_id, a.deployment, a.model, a.provider, a.task, a.tier, a.sandbox, a.opened_at, a.closed_at,
    a.outcome, a.failure, a.status, a.finish_reason, a.confidence, a.key_id, a.input_tokens, a.output_tokens,
    a.cost_usd, a.cost_bound_usd, a.cost_basis, a.price_version, a.first_token_ms, a.total_ms,
    {kinds}
from attempts a where a.tenant_id = :tenant_id {filters} order by a.id desc limit :limit
"""
# A call that never left costs nothing; every other one without an amount is counted as unknown, not as 0.
_USAGE = """
select {columns} count(*) as calls, count(distinct a.job_id) as jobs,
    count(*) filter (where a.outcome = 'accepted') as accepted,
    sum(a.input_tokens) as input_tokens, sum(a.output_tokens) as output_tokens,
    sum(a.cost_usd) as cost_usd,
    count(*) filter (where a.cost_usd is null and a.outcome is distinct from 'not_sent') as unknown_cost,
    count(*) filter (where a.price_version is null and a.outcome is distinct from 'not_sent') as unpriced,
    sum(coalesce(a.cost_usd, a.cost_bound_usd)) as cost_bound_usd,
    percentile_cont(0.5) within group (order by a.total_ms) as latency_p50_ms,
    percentile_cont(0.95) within group (order by a.total_ms) as latency_p95_ms
from attempts a where a.tenant_id = :tenant_id {filters} {group_by} {order_by} limit 10000
"""

MOST_LATELY = 50_000
"""Of a tenant that calls more in the time asked for, only the newest calls are looked at: a page must stay cheap."""
_LATELY = text("""
with lately as materialized (
    select id, provider, outcome, cost_usd, total_ms from attempts
    where tenant_id = :tenant_id and id >= :since order by id desc limit :most
)
select provider, count(*) as calls, count(*) filter (where outcome = 'failed') as failures, sum(cost_usd) as cost_usd,
    count(*) filter (where cost_usd is null and outcome is distinct from 'not_sent') as unknown_cost,
    percentile_cont(0.5) within group (order by total_ms) as latency_p50_ms,
    percentile_cont(0.95) within group (order by total_ms) as latency_p95_ms,
    (select min(id::text) from lately) as first_id, (select count(*) from lately) as looked_at
from lately group by provider
""")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are meant; None does not narrow. Times are those of the attempts' ids: when they were opened."""

    job_id: uuid.UUID | None = None
    batch_id: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    outcome: str | None = None
    model: str | None = None
    provider: str | None = None
    task: str | None = None
    after: uuid.UUID | None = None


class ProviderLately(msgspec.Struct, frozen=True):
    """A tenant's calls to one provider: an amount is None where none is known, a latency where no call has one."""

    provider: str
    calls: int
    failures: int
    cost_usd: Decimal | None
    unknown_cost: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class Lately(msgspec.Struct, frozen=True):
    """What was looked at: every provider that was called, since then."""

    since: dt.datetime
    rows: tuple[ProviderLately, ...]


async def page(connection: AsyncConnection, tenant_id: uuid.UUID, where: Filter, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` attempts, newest first."""
    filters, values = _narrow(where)
    statement = text(_PAGE.format(filters=filters, kinds=", ".join(f"a.{name}" for name in USAGE_KINDS)))
    return (await connection.execute(statement, values | {"tenant_id": tenant_id, "limit": limit})).all()


async def usage(
    connection: AsyncConnection, tenant_id: uuid.UUID, where: Filter, group_by: Sequence[str]
) -> Sequence[Row[Any]]:
    """Sums by the named groups (keys of GROUPS; none: one row for all), dearest first.

    Latency percentiles are of `total_ms`, first byte sent to last byte read; None where no call has one.
    """
    filters, values = _narrow(where)
    columns = "".join(f"{GROUPS[name]} as {name}, " for name in group_by)
    grouping = f"group by {', '.join(GROUPS[name] for name in group_by)}" if group_by else ""
    order = "order by cost_usd desc nulls last, calls desc" if group_by else ""
    statement = text(_USAGE.format(columns=columns, filters=filters, group_by=grouping, order_by=order))
    return (await connection.execute(statement, values | {"tenant_id": tenant_id})).all()


async def lately(
    connection: AsyncConnection, tenant_id: uuid.UUID, since: dt.datetime, most: int = MOST_LATELY
) -> Lately:
    """A tenant's calls by provider since a moment, at the most its `most` newest."""
    values = {"tenant_id": tenant_id, "since": ids.floor_uuid(since), "most": most}
    found = (await connection.execute(_LATELY, values)).all()
    if found and found[0].looked_at == most:
        since = ids.moment_of(uuid.UUID(found[0].first_id))
    names = ProviderLately.__struct_fields__
    return Lately(since, tuple(ProviderLately(*(getattr(row, name) for name in names)) for row in found))


def _narrow(where: Filter) -> tuple[str, dict[str, Any]]:
    asked = {name: value for name, value in msgspec.structs.asdict(where).items() if value is not None}
    filters = " ".join(_FILTERS[name] for name in asked)
    for name in ("since", "until"):
        if name in asked:
            asked[name] = ids.floor_uuid(asked[name])
    return filters, asked
