"""What a job's owner may do to it after the submit: cancel, retry, erase; each one statement, tenant in hand."""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.lanes import TERMS, Lane, urgent_at
from jobs.store.submit import Batch, insert_batch
from jobs.store.uuid7 import uuid7

# queued -> cancelled, or a flag on a running one, decided on the row as it is when its turn comes: a claim or a
# deferral that gets in between is seen. Whoever is terminal already stays as it is.
_CANCEL = """
update jobs set state = case when state = 'queued' then 'cancelled' else state end,
    cancel_requested_at = coalesce(cancel_requested_at, now()),
    finished_at = case when state = 'queued' then clock_timestamp() end,
    released_at = case when state = 'queued' then null else released_at end,
    error = case when state = 'queued'
        then jsonb_build_object('kind', 'cancelled', 'message', 'its owner cancelled it before it ran') end
where {which} and tenant_id = :tenant_id and state in ('queued', 'running')
returning id, state
"""
CANCEL_JOB = text(_CANCEL.format(which="id = :id"))
CANCEL_BATCH = text(_CANCEL.format(which="batch_id = :id"))
MARK_BATCH = text("""
update batches set cancelled_at = coalesce(cancelled_at, now()) where id = :id and tenant_id = :tenant_id returning id
""")

RETRIABLE = text("""
select id, purged_at is not null as purged from jobs
where batch_id = :batch_id and tenant_id = :tenant_id and state = any(:states) order by batch_seq
""")
# A new job with the old one's request and wishes; its deadline is its lane's, the old one may have passed.
RETRY = text("""
with f as materialized (
    select * from unnest(cast(:olds as uuid[]), cast(:news as uuid[]), cast(:seqs as integer[])) as f(old, new, seq)
), again as (
    insert into jobs (id, tenant_id, key_id, batch_id, batch_seq, custom_id, lane, policy, model, task, intent,
        strict, metadata, retry_of, created_at, deadline_at, urgent_at, webhook_id)
    select f.new, j.tenant_id, cast(:key_id as uuid), cast(:batch_id as uuid), f.seq, j.custom_id, t.lane, j.policy,
        j.model, j.task, j.intent, j.strict, j.metadata, j.id, cast(:now as timestamptz), t.deadline_at, t.urgent_at,
        j.webhook_id
    from f join jobs j on j.id = f.old
    join jsonb_to_recordset(cast(:terms as jsonb)) as t(was text, lane text, deadline_at timestamptz,
        urgent_at timestamptz) on t.was = coalesce(j.home_lane, j.lane)
    where j.tenant_id = :tenant_id and j.state not in ('queued', 'running') and j.purged_at is null
    returning id, retry_of
), prompts as (
    insert into payloads (id, body) select again.id, p.body from again join payloads p on p.id = again.retry_of
)
select id from again
""")

# The ids as one array: each partition is asked by its key, where a join or an `or` would read every one whole.
ERASE = text("""
with gone as (
    update jobs set purged_at = coalesce(purged_at, now())
    where id = :id and tenant_id = :tenant_id and state not in ('queued', 'running') returning id
)
delete from payloads where id = any(array(
    select id from gone union all select a.id from attempts a where a.job_id in (select id from gone)
))
""")
WEBHOOK_OF = text("select webhook_id from batches where id = :id and tenant_id = :tenant_id")
STANDING = text("select state, purged_at is not null as purged from jobs where id = :id and tenant_id = :tenant_id")


class Asker(msgspec.Struct, frozen=True):
    """Who wants a retry: the tenant whose job it must be, and the key that the new job is charged to."""

    tenant_id: uuid.UUID
    key_id: uuid.UUID | None = None


class Standing(msgspec.Struct, frozen=True):
    """Where a job stands, as far as its owner's wishes depend on it."""

    state: str
    is_purged: bool


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancel did: these ended at once, those run and were told to stop."""

    ended: tuple[uuid.UUID, ...]
    told: tuple[uuid.UUID, ...]


async def standing(connection: AsyncConnection, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Standing | None:
    """A job's state; None when this tenant has no such job."""
    row = (await connection.execute(STANDING, {"id": job_id, "tenant_id": tenant_id})).one_or_none()
    return Standing(row.state, row.purged) if row is not None else None


async def cancel_job(connection: AsyncConnection, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Cancelled:
    """Cancel one job; nothing in the reply means that it had ended (or is not this tenant's)."""
    found = await connection.execute(CANCEL_JOB, {"id": job_id, "tenant_id": tenant_id})
    return _cancelled(found.all())


async def cancel_batch(connection: AsyncConnection, tenant_id: uuid.UUID, batch_id: uuid.UUID) -> Cancelled | None:
    """Cancel what is left of a batch; None when this tenant has no such batch."""
    names = {"id": batch_id, "tenant_id": tenant_id}
    if (await connection.execute(MARK_BATCH, names)).scalar_one_or_none() is None:
        return None
    return _cancelled((await connection.execute(CANCEL_BATCH, names)).all())


async def retry_job(connection: AsyncConnection, asker: Asker, job_id: uuid.UUID) -> uuid.UUID | None:
    """A new job like this terminal one (`retry_of` names it); None when it is not terminal, purged or not there."""
    new = uuid7()
    written = await _retry(connection, asker, [job_id], [new], None)
    return new if written else None


async def retry_batch(
    connection: AsyncConnection, asker: Asker, batch_id: uuid.UUID, states: Sequence[str]
) -> Batch | None:
    """A new batch with a new job for each of this batch's that ended in one of `states`; None when there is none.

    Purged jobs have no request left to send; they count as `skipped`.
    """
    names = {"batch_id": batch_id, "tenant_id": asker.tenant_id, "states": list(states)}
    found = await connection.execute(RETRIABLE, names)
    rows = found.all()
    olds = [row.id for row in rows if not row.purged]
    if not olds:
        return None
    names = {"id": batch_id, "tenant_id": asker.tenant_id}
    new_batch = Batch(
        id=uuid7(),
        tenant_id=asker.tenant_id,
        total=len(olds),
        skipped=len(rows) - len(olds),
        webhook_id=(await connection.execute(WEBHOOK_OF, names)).scalar_one(),
    )
    await insert_batch(connection, new_batch)
    await _retry(connection, asker, olds, [uuid7() for _ in olds], new_batch.id)
    return new_batch


async def erase(connection: AsyncConnection, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Delete the prompt and every answer of a terminal job and mark it purged; the ledger's rows stay."""
    await connection.execute(ERASE, {"id": job_id, "tenant_id": tenant_id})


async def _retry(
    connection: AsyncConnection,
    asker: Asker,
    olds: Sequence[uuid.UUID],
    news: Sequence[uuid.UUID],
    batch_id: uuid.UUID | None,
) -> int:
    now = ids.moment_of(news[0])
    found = await connection.execute(
        RETRY,
        {
            "olds": list(olds),
            "news": list(news),
            "seqs": list(range(len(olds))) if batch_id else [None] * len(olds),
            "batch_id": batch_id,
            "tenant_id": asker.tenant_id,
            "key_id": asker.key_id,
            "now": now,
            "terms": msgspec.json.encode(_terms(now)).decode(),
        },
    )
    return len(found.all())


def _terms(now: dt.datetime) -> list[dict[str, Any]]:
    """For each lane a job may have been in: the lane of its retry, with deadline and urgency from now on."""
    rows = []
    for was in Lane:
        lane = Lane.STANDARD if was is Lane.QUARANTINE else was
        deadline = now + dt.timedelta(seconds=TERMS[lane].deadline_s)
        urgent = urgent_at(lane, now, deadline)
        rows.append({"was": was.value, "lane": lane.value, "deadline_at": deadline, "urgent_at": urgent})
    return rows


def _cancelled(rows: Sequence[Row[Any]]) -> Cancelled:
    return Cancelled(
        ended=tuple(row.id for row in rows if row.state == "cancelled"),
        told=tuple(row.id for row in rows if row.state == "running"),
    )
