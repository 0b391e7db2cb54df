"""The deliveries at work: claimed with a token and a lease by the database clock, settled once, by their token."""

import datetime as dt
import uuid
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = 7264
"""Advisory: one claims at a time. Its number is its own: with that of `totals` each would hold the other up."""
# Said before each claim: the next statement sees what earlier claimers took, so no endpoint gets more than its share.
TURN = text("select pg_advisory_xact_lock(:lock)")
# The endpoints with something pending are found by leaping through the index, one probe each: a dead endpoint's
# hundred thousand rows cost no more than one. An endpoint that keeps failing gets one try at a time.
_DUE = """
with recursive waiting as (
    (select webhook_id from webhook_deliveries where state = 'pending' order by webhook_id limit 1)
    union all
    select (select d.webhook_id from webhook_deliveries d
        where d.state = 'pending' and d.webhook_id > w.webhook_id order by d.webhook_id limit 1)
    from waiting w where w.webhook_id is not null
), free as materialized (
    select h.id, case when h.failures >= :quiet_after then 1 else :most_each end - (
        select count(*) from webhook_deliveries d
        where d.webhook_id = h.id and d.token is not null and d.next_at > now()) as room
    from waiting w join webhooks h on h.id = w.webhook_id
    where h.enabled and (h.paused_until is null or h.paused_until <= now())
), due as materialized (
    select d.id from free f cross join lateral (
        select id, next_at from webhook_deliveries
        where webhook_id = f.id and state = 'pending' and next_at <= now()
        order by next_at limit greatest(f.room, 0) {lock}) d
    order by d.next_at limit :most
)
"""
IS_DUE = text(_DUE.format(lock="") + "select exists (select from due)")  # noqa: S608 -- made of constants of this file
# SKIP LOCKED: an owner who holds, replays or deletes a hundred thousand events must not hold up all others' claims.
CLAIM = text(
    _DUE.format(lock="for update skip locked")  # noqa: S608 -- made of constants of this file
    + """
update webhook_deliveries d set token = gen_random_uuid(), next_at = now() + make_interval(secs => :lease_s)
from due, webhooks h
where d.id = due.id and h.id = d.webhook_id and d.state = 'pending' and d.next_at <= now()
returning d.id, d.token, d.webhook_id, d.type, d.job_id, d.batch_id, d.data, d.created_at, d.step, d.tries, h.url,
    h.secret, case when h.old_secret_until > now() then h.old_secret end as old_secret,
    extract(epoch from clock_timestamp())::float8 as now_s
"""
)
# The endpoint's row first, always: whoever changes an endpoint and its deliveries takes them in this order.
ENDPOINT = text("""
select failures, coalesce(extract(epoch from now() - failing_since), 0)::float8 as failing_s
from webhooks where id = :webhook_id for no key update
""")
SETTLE = text("""
with mine as (
    update webhook_deliveries set token = null, tries = tries + 1, step = step + 1,
        state = case when :delivered then 'delivered' when cast(:wait_s as float8) is null then 'failed'
            else 'pending' end,
        delivered_at = case when :delivered then now() end,
        next_at = case when cast(:wait_s as float8) is null then now() else now() + make_interval(secs => :wait_s) end
    where id = :id and token = :token
    returning id, tries
)
insert into webhook_tries (delivery_id, number, started_at, status, error, latency_ms)
select id, tries, now() - make_interval(secs => :latency_ms / 1000.0), :status, :error, :latency_ms from mine
""")
RECOVERED = text("""
update webhooks set failures = 0, failing_since = null, paused_until = null where id = :webhook_id and failures > 0
""")
FAILED = text("""
update webhooks set failures = failures + 1, failing_since = coalesce(failing_since, now()),
    paused_until = case when :pause_s > 0 then now() + make_interval(secs => :pause_s) else paused_until end
where id = :webhook_id
""")

BACKLOG = text("""
select (select count(*) from webhooks where enabled) as enabled,
    (select count(*) from webhooks where enabled and failures > 0) as failing,
    (select count(*) from webhooks where not enabled) as disabled,
    count(*) as pending,
    count(*) filter (where d.next_at < now() - interval '5 minutes' and d.token is null and w.enabled
        and coalesce(w.paused_until, '-infinity') < now()) as overdue
from webhook_deliveries d join webhooks w on w.id = d.webhook_id where d.state = 'pending'
""")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much one claim may take."""

    most: int
    most_each: int
    """Deliveries at once to one endpoint."""
    quiet_after: int
    """Failures in a row after which an endpoint gets one at a time."""
    lease_s: float = 60.0


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery, with all that is needed to send it."""

    id: uuid.UUID
    token: uuid.UUID
    webhook_id: uuid.UUID
    type: str
    job_id: uuid.UUID | None
    batch_id: uuid.UUID | None
    data: dict[str, Any]
    created_at: dt.datetime
    step: int
    """Tries since it was put out or replayed."""
    url: str
    secrets: tuple[str, ...]
    """The present one first; after a rotation the one before, too."""
    now_s: float
    """Unix seconds by the database's clock when it was claimed: what is signed must not depend on a worker's clock."""


class Standing(msgspec.Struct, frozen=True):
    """How an endpoint has done before this try."""

    failures: int
    failing_s: float


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one try of a claimed delivery."""

    due: Due
    delivered: bool
    wait_s: float | None
    """To the next try; None when there is none."""
    pause_s: float = 0.0
    """For the endpoint, after a failure."""
    status: int | None = None
    error: str | None = None
    latency_ms: int = 0


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How all tenants' webhooks stand, for the metrics."""

    enabled: int
    """Endpoints, those that fail included."""
    failing: int
    """Their last try failed."""
    disabled: int
    pending: int
    """Deliveries that were not made yet."""
    overdue: int
    """Of these: due for five minutes, to endpoints that are not paused. Nobody delivers."""


async def backlog(connection: AsyncConnection) -> Backlog:
    """Counts; reads the endpoints and the index of what is pending."""
    return Backlog(**(await connection.execute(BACKLOG)).mappings().one())


async def is_due(connection: AsyncConnection, share: Share) -> bool:
    """Whether a claim would bring anything."""
    names = msgspec.structs.asdict(share)
    names.pop("lease_s")
    return bool((await connection.execute(IS_DUE, names)).scalar_one())


async def claim(connection: AsyncConnection, share: Share) -> list[Due]:
    """Take due deliveries, some of every endpoint that has any. Wants a transaction."""
    await connection.execute(TURN, {"lock": LOCK})
    return [_due(row) for row in await connection.execute(CLAIM, msgspec.structs.asdict(share))]


async def standing(connection: AsyncConnection, webhook_id: uuid.UUID) -> Standing | None:
    """How an endpoint stands, its row held until the transaction ends; None when it was deleted."""
    row = (await connection.execute(ENDPOINT, {"webhook_id": webhook_id})).one_or_none()
    return None if row is None else Standing(row.failures, row.failing_s)


async def settle(connection: AsyncConnection, made: Try) -> bool:
    """Book a try and what follows from it; False when the lease was lost, and nothing was booked.

    Call `standing` first, in the same transaction.
    """
    names = {
        "id": made.due.id,
        "token": made.due.token,
        "delivered": made.delivered,
        "wait_s": made.wait_s,
        "status": made.status,
        "error": made.error,
        "latency_ms": made.latency_ms,
    }
    if not (await connection.execute(SETTLE, names)).rowcount:
        return False
    webhook = {"webhook_id": made.due.webhook_id}
    if made.delivered:
        await connection.execute(RECOVERED, webhook)
    else:
        await connection.execute(FAILED, webhook | {"pause_s": made.pause_s})
    return True


def _due(row: Row[Any]) -> Due:
    return Due(
        id=row.id,
        token=row.token,
        webhook_id=row.webhook_id,
        type=row.type,
        job_id=row.job_id,
        batch_id=row.batch_id,
        data=row.data,
        created_at=row.created_at,
        step=row.step,
        url=row.url,
        secrets=tuple(secret for secret in (row.secret, row.old_secret) if secret is not None),
        now_s=row.now_s,
    )
