"""What the API shows of jobs and batches: one job whole, pages of jobs, a batch's counts, its results in order."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.chat import USAGE_KINDS
from jobs.ending import Cost
from jobs.lanes import Lane
from jobs.store.session import Database
from jobs.store.submit import Origin

RESULT_PAGE = 500
RATE_WINDOW_S = 60
"""A batch's finish is estimated from what ended in this time."""

_JOB_COLUMNS = """
    j.id, j.batch_id, j.custom_id, j.state, j.lane, j.policy, j.model, j.task, j.intent, j.strict, j.metadata,
    j.retry_of, j.created_at, j.deadline_at, j.started_at, j.finished_at, j.cancel_requested_at, j.answer_attempt,
    j.error, j.adaptations, j.intent_kept, j.purged_at, j.webhook_id
"""
# Sums of the ledger's rows, never counters. A call that never left cannot have cost anything; of every other
# a missing amount is unknown, and makes the sum incomplete instead of smaller.
COST_COLUMNS = """
    sum(a.cost_usd) as cost_usd, sum(coalesce(a.cost_usd, a.cost_bound_usd)) as cost_bound_usd,
    count(a.id) as calls,
    count(a.id) filter (where a.cost_usd is null and a.outcome is distinct from 'not_sent') as unknown_cost,
    count(a.id) filter (where a.cost_usd is null and a.cost_bound_usd is null
        and a.outcome is distinct from 'not_sent') as unknown_bound,
    coalesce(bool_or(a.sandbox), false) as sandbox
"""
_COSTS = f"left join lateral (select {COST_COLUMNS} from attempts a where a.job_id = j.id) c on true"  # noqa: S608
_KINDS = ", ".join(f"'{name}', a.{name}" for name in USAGE_KINDS)

# The subselects prune partitions at run time: both keys are known when they run.
JOB = text(f"""
select {_JOB_COLUMNS}, j.receipt,
    (select p.body from payloads p where p.id = j.answer_attempt) as answer,
    (select jsonb_agg(jsonb_build_object('id', a.id, 'deployment', a.deployment, 'tier', a.tier,
        'outcome', a.outcome, 'failure', a.failure, 'status', a.status, 'finish_reason', a.finish_reason,
        'confidence', a.confidence, 'input_tokens', a.input_tokens, 'output_tokens', a.output_tokens,
        'cost_usd', a.cost_usd::text, 'cost_bound_usd', a.cost_bound_usd::text, 'cost_basis', a.cost_basis,
        'price_version', a.price_version, 'first_token_ms', a.first_token_ms, 'total_ms', a.total_ms, {_KINDS},
        'sandbox', a.sandbox, 'opened_at', a.opened_at, 'closed_at', a.closed_at) order by a.id)
     from attempts a where a.job_id = j.id) as attempts
from jobs j where j.id = :id and j.tenant_id = :tenant_id
""")  # noqa: S608 -- made of constants of this file
STATE = text("select state from jobs where id = :id and tenant_id = :tenant_id")
_PAGE = """
select {columns}, c.* from (
    select * from jobs where tenant_id = :tenant_id {filters} order by id desc limit :limit
) j {costs} order by j.id desc
"""
_FILTERS = {
    "state": "and state = any(:state)",
    "lane": "and lane = :lane",
    "batch_id": "and batch_id = :batch_id",
    "custom_id": "and custom_id = :custom_id",
    "after": "and id < :after",
}
BATCH = text("""
select id, total, skipped, metadata, created_at, cancelled_at, webhook_id, endpoint, completion_window, expires_at,
    input_file_id, output_file_id, error_file_id, errors
from batches where id = :id and tenant_id = :tenant_id
""")
BATCHES = text("""
select id from batches where tenant_id = :tenant_id and id < :after order by id desc limit :limit
""")
LAST = uuid.UUID(int=2**128 - 1)
BATCH_COUNTS = text("""
select state, count(*) as jobs, min(started_at) as started_at, max(finished_at) as finished_at,
    count(*) filter (where finished_at > now() - make_interval(secs => :window_s)) as recent,
    bool_or(purged_at is not null) as purged
from jobs where batch_id = :id and tenant_id = :tenant_id group by state
""")
BATCH_COST = text(f"""
select {COST_COLUMNS}, sum(a.input_tokens) as input_tokens, sum(a.output_tokens) as output_tokens,
    sum(a.cached_tokens) as cached_tokens, sum(a.reasoning_tokens) as reasoning_tokens
from jobs j join attempts a on a.job_id = j.id
where j.batch_id = :id and j.tenant_id = :tenant_id
""")  # noqa: S608 -- made of constants of this file
RESULTS = text(f"""
select j.id, j.batch_seq, j.custom_id, j.state, j.error, j.answer_attempt, j.created_at, j.finished_at, j.purged_at,
    j.intent_kept, c.*
from (
    select * from jobs where batch_id = :id and tenant_id = :tenant_id and batch_seq > :after
    order by batch_seq limit :limit
) j {_COSTS} order by j.batch_seq
""")  # noqa: S608 -- made of constants of this file
# The bounds are redundant with the ids; they let Postgres skip the other days' partitions.
ANSWERS = text("select id, body from payloads where id = any(:ids) and id between :first and :last")
# Three partial indexes, each read by itself; in the first, by far the longest, the tenant's rows lie together.
COUNT_QUEUED = text("""
select (select count(*) from jobs where lane = any(:lanes) and tenant_id = :tenant_id
        and state = 'queued' and released_at is null and not deferred)
    + (select count(*) from jobs where state = 'queued' and deferred and tenant_id = :tenant_id)
    + (select count(*) from jobs where lane = any(:lanes) and tenant_id = :tenant_id
        and state = 'queued' and released_at is not null and not deferred)
""")
# Each part reads one partial index: the terminal rows, however many, are not touched.
OPEN_BY_LANE = text("""
select lane, 'queued' as state, count(*) as jobs, extract(epoch from now() - min(created_at))::float8 as oldest_s
from jobs where state = 'queued' group by lane
union all
select lane, 'running', count(*), extract(epoch from now() - min(started_at))::float8
from jobs where state = 'running' group by lane
""")
REVISION = text("select version_num from alembic_version")
HAS_REVISIONS = text("select to_regclass('alembic_version') is not null")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a page shows; None does not narrow."""

    state: tuple[str, ...] | None = None
    lane: str | None = None
    batch_id: uuid.UUID | None = None
    custom_id: str | None = None
    after: uuid.UUID | None = None
    """The last id of the page before: newest first, so older ones follow."""


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's own row, its jobs counted by state, and what they cost."""

    id: uuid.UUID
    total: int
    skipped: int
    metadata: dict[str, str] | None
    created_at: dt.datetime
    cancelled_at: dt.datetime | None
    webhook_id: uuid.UUID | None
    origin: Origin | None
    counts: dict[str, int]
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    """When the last job ended; None while one has not."""
    eta_s: float | None
    """Seconds to the end at the pace of the last minute; None when nothing ended in it."""
    cost: Cost
    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    sandbox: bool


class ResultRow(msgspec.Struct, frozen=True):
    """A job of a batch with the stored bytes of its answer (None: no answer, or purged)."""

    row: Row[Any]
    cost: Cost
    answer: bytes | None


async def job(connection: AsyncConnection, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Row[Any] | None:
    """A job with attempts (money as text) and answer; None when this tenant has none of this id."""
    return (await connection.execute(JOB, {"id": job_id, "tenant_id": tenant_id})).one_or_none()


async def state_of(connection: AsyncConnection, tenant_id: uuid.UUID, job_id: uuid.UUID) -> str | None:
    """Only the state, for waiters; None when this tenant has no such job."""
    state: str | None = (await connection.execute(STATE, {"id": job_id, "tenant_id": tenant_id})).scalar_one_or_none()
    return state


async def page(connection: AsyncConnection, tenant_id: uuid.UUID, where: Filter, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` jobs with their costs, newest first, without attempts and answers."""
    asked = {name: value for name, value in msgspec.structs.asdict(where).items() if value is not None}
    filters = " ".join(_FILTERS[name] for name in asked)
    statement = text(_PAGE.format(columns=_JOB_COLUMNS, filters=filters, costs=_COSTS))
    if where.state is not None:
        asked["state"] = list(where.state)
    found = await connection.execute(statement, asked | {"tenant_id": tenant_id, "limit": limit})
    return found.all()


async def batch(connection: AsyncConnection, tenant_id: uuid.UUID, batch_id: uuid.UUID) -> BatchView | None:
    """A batch with its counts and costs, from the jobs' and attempts' rows; None when this tenant has no such one."""
    names = {"id": batch_id, "tenant_id": tenant_id}
    head = (await connection.execute(BATCH, names)).one_or_none()
    if head is None:
        return None
    states = (await connection.execute(BATCH_COUNTS, names | {"window_s": RATE_WINDOW_S})).all()
    spent = (await connection.execute(BATCH_COST, names)).one()
    counts = {row.state: row.jobs for row in states}
    open_jobs = counts.get("queued", 0) + counts.get("running", 0)
    recent = sum(row.recent for row in states)
    finished = [row.finished_at for row in states if row.finished_at is not None]
    started = [row.started_at for row in states if row.started_at is not None]
    return BatchView(
        id=head.id,
        total=head.total,
        skipped=head.skipped,
        metadata=head.metadata,
        created_at=head.created_at,
        cancelled_at=head.cancelled_at,
        webhook_id=head.webhook_id,
        origin=_origin(head),
        counts=counts,
        started_at=min(started, default=None),
        finished_at=None if open_jobs else max(finished, default=None),
        eta_s=_eta_s(open_jobs, recent),
        cost=Cost.of(spent),
        calls=spent.calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cached_tokens=spent.cached_tokens,
        reasoning_tokens=spent.reasoning_tokens,
        sandbox=spent.sandbox,
    )


async def batches(
    connection: AsyncConnection, tenant_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[BatchView]:
    """Up to `limit` batches, newest first, each as `batch` shows it."""
    found = await connection.execute(BATCHES, {"tenant_id": tenant_id, "after": after or LAST, "limit": limit})
    views = [await batch(connection, tenant_id, batch_id) for batch_id in found.scalars().all()]
    return [view for view in views if view is not None]


async def batch_exists(connection: AsyncConnection, tenant_id: uuid.UUID, batch_id: uuid.UUID) -> bool:
    """Whether this tenant has such a batch."""
    return (await connection.execute(BATCH, {"id": batch_id, "tenant_id": tenant_id})).one_or_none() is not None


async def results(
    database: Database, tenant_id: uuid.UUID, batch_id: uuid.UUID, after: int = -1
) -> AsyncIterator[list[ResultRow]]:
    """Pages of a batch's jobs in input order, after a position; no connection is held between pages."""
    while True:
        async with database.statement() as connection:
            rows = await _result_page(connection, tenant_id, batch_id, after)
        if rows:
            yield rows
        if len(rows) < RESULT_PAGE:
            return
        after = rows[-1].row.batch_seq


async def _result_page(
    connection: AsyncConnection, tenant_id: uuid.UUID, batch_id: uuid.UUID, after: int
) -> list[ResultRow]:
    found = await connection.execute(
        RESULTS, {"id": batch_id, "tenant_id": tenant_id, "after": after, "limit": RESULT_PAGE}
    )
    rows = found.all()
    answers: dict[uuid.UUID, bytes] = {}
    if wanted := [row.answer_attempt for row in rows if row.answer_attempt is not None]:
        stored = await connection.execute(ANSWERS, {"ids": wanted, "first": min(wanted), "last": max(wanted)})
        answers = {row.id: bytes(row.body) for row in stored}
    return [ResultRow(row, Cost.of(row), answers.get(row.answer_attempt)) for row in rows]


async def count_queued(connection: AsyncConnection, tenant_id: uuid.UUID) -> int:
    """Jobs of a tenant that wait; reads the partial indexes of waiting rows, not the tenant's history."""
    names = {"tenant_id": tenant_id, "lanes": [lane.value for lane in Lane]}
    count: int = (await connection.execute(COUNT_QUEUED, names)).scalar_one()
    return count


class OpenJobs(msgspec.Struct, frozen=True):
    """How many jobs of a lane wait or run, and for how long the oldest has."""

    lane: str
    state: str
    jobs: int
    oldest_s: float


async def open_by_lane(connection: AsyncConnection) -> list[OpenJobs]:
    """Waiting and running jobs of all tenants, by lane and state."""
    found = await connection.execute(OPEN_BY_LANE)
    return [OpenJobs(row.lane, row.state, row.jobs, row.oldest_s) for row in found]


async def revision(connection: AsyncConnection) -> str | None:
    """The migration this database is at; None when it was never migrated."""
    if not (await connection.execute(HAS_REVISIONS)).scalar_one():
        return None
    found: str | None = (await connection.execute(REVISION)).scalar_one_or_none()
    return found


def _origin(head: Row[Any]) -> Origin | None:
    if head.endpoint is None:
        return None
    facts = {name: getattr(head, name) for name in Origin.__struct_fields__}
    return Origin(**facts | {"errors": tuple(head.errors or ())})


def _eta_s(open_jobs: int, recent: int) -> float | None:
    if not open_jobs:
        return 0.0
    return round(open_jobs * RATE_WINDOW_S / recent, 1) if recent else None
