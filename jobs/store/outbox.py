"""The outbox: what has happened and must be told. Jobs' endings come in by a trigger, all else by `announce`.

An event is a row for each endpoint that is told; its id is the `webhook-id` of every try.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids

MOST_BATCHES = 200
FAR = 256
"""So many ended jobs further on, a batch's mark is moved: a look at it need not begin at its first job."""
FORGET_AT_ONCE = REPLAY_AT_ONCE = 10_000

# Whoever tells an endpoint holds its row for the while (`for key share`): deleted in this instant it must be gone, or
# the foreign key would break what is told of.
_SUBSCRIBES = "(:type = any(w.events) or split_part(:type, '.', 1) || '.*' = any(w.events))"
ANNOUNCE = text(f"""
insert into webhook_deliveries (id, tenant_id, webhook_id, type, data)
select tokenyard_uuid7(), w.tenant_id, w.id, :type, cast(:data as jsonb)
from webhooks w where w.tenant_id = :tenant_id and w.enabled and {_SUBSCRIBES}
    and w.id is distinct from cast(:but_not as uuid)
for key share of w
returning id
""")  # noqa: S608 -- made of constants of this file
TELL = text("""
insert into webhook_deliveries (id, tenant_id, webhook_id, type, data)
select tokenyard_uuid7(), w.tenant_id, w.id, :type, cast(:data as jsonb)
from webhooks w where w.tenant_id = :tenant_id and w.id = :webhook_id and w.enabled
for key share of w
returning id
""")
# Jobs end about in the order they came in, so each is looked at about once, however often a batch is asked for.
UNTOLD = text("""
select b.id, b.ended_to, (
    select j.batch_seq from jobs j
    where j.batch_id = b.id and j.batch_seq >= b.ended_to and j.state in ('queued', 'running')
    order by j.batch_seq limit 1) as first_open
from batches b where b.webhook_id is not null and b.notified_at is null and b.id > :after
order by b.id limit :most
""")
MOVE_ON = text("""
update batches b set ended_to = f.ended_to
from unnest(cast(:ids as uuid[]), cast(:marks as integer[])) as f(id, ended_to) where b.id = f.id
""")
# Once: the mark and the event are one statement. Endings are final, so what was seen ended stays so.
FINISH = text("""
with mine as (
    update batches set notified_at = now() where id = :id and notified_at is null
    returning id, tenant_id, webhook_id, total, skipped, created_at
), jobs_by_state as (
    select state, count(*) as jobs, max(finished_at) as finished_at from jobs where batch_id = :id group by state
), costs as (
    select sum(a.cost_usd) as cost_usd, count(a.id) as calls,
        count(a.id) filter (where a.cost_usd is null and a.outcome is distinct from 'not_sent') as unknown
    from jobs j join attempts a on a.job_id = j.id where j.batch_id = :id
)
insert into webhook_deliveries (id, tenant_id, webhook_id, type, batch_id, data, state)
select tokenyard_uuid7(), m.tenant_id, w.id, 'batch.finished', m.id,
    jsonb_build_object('total', m.total, 'skipped', m.skipped,
        'counts', (select coalesce(jsonb_object_agg(state, jobs), '{}') from jobs_by_state),
        'cost_usd', (case when c.calls = 0 then 0::numeric(20, 12) else c.cost_usd end)::text,
        'cost_complete', c.unknown = 0,
        'created_at', tokenyard_moment(m.created_at),
        'finished_at', (select tokenyard_moment(max(finished_at)) from jobs_by_state)),
    case when w.enabled then 'pending' else 'held' end
from mine m cross join costs c join webhooks w on w.id = m.webhook_id and w.tenant_id = m.tenant_id
where 'batch.finished' = any(w.events)
for key share of w
""")
PAGE = """
select d.id, d.type, d.job_id, d.batch_id, d.created_at, d.delivered_at, w.enabled,
    case when d.state = 'pending' and not w.enabled then 'held' else d.state end as state,
    case when d.state = 'pending' and w.enabled then greatest(d.next_at, w.paused_until) end as next_try_at,
    (select jsonb_agg(jsonb_build_object('number', t.number, 'started_at', t.started_at, 'status', t.status,
        'error', t.error, 'latency_ms', t.latency_ms) order by t.number)
     from webhook_tries t where t.delivery_id = d.id) as tries
from webhook_deliveries d join webhooks w on w.id = d.webhook_id
where d.webhook_id = :webhook_id and d.tenant_id = :tenant_id {filters} order by d.id desc limit :limit
"""
# By the state that is shown: what waits for a disabled endpoint is held, whether it was told so yet or not.
_STATE = "case when d.state = 'pending' and not w.enabled then 'held' else d.state end"
_FILTERS = {"state": f"and {_STATE} = :state", "after": "and d.id < :after"}
# One that is on its way right now is left alone: its end is about to be known.
_REPLAY = """
update webhook_deliveries set state = 'pending', step = 0, next_at = now(), delivered_at = null
where webhook_id = :webhook_id and tenant_id = :tenant_id and (token is null or next_at <= now()) {which}
"""
REPLAY_ONE = text(_REPLAY.format(which="and id = :id"))
# In pieces, each from where the one before ended.
REPLAY_RANGE = text(
    _REPLAY.format(
        which="""and id in (
    select id from webhook_deliveries
    where webhook_id = :webhook_id and tenant_id = :tenant_id and id >= :since and id < :until and state = any(:states)
        and (token is null or next_at <= now())
    order by id limit :most)
returning id"""
    )
)
UNPAUSE = text("update webhooks set paused_until = null where id = :webhook_id and paused_until is not null")
FORGET = text("""
delete from webhook_deliveries where id in (
    select id from webhook_deliveries where id < :bound and state <> 'pending' order by id limit :most)
""")


class Range(msgspec.Struct, frozen=True):
    """The events of a span of time, as far as they are in one of these states."""

    since: dt.datetime
    until: dt.datetime
    states: tuple[str, ...]


class Untold(NamedTuple):
    """What a look at the batches brought."""

    finished: list[uuid.UUID]
    last: uuid.UUID | None
    """Where the next look goes on; None: from the beginning."""


def shown_webhook(webhook_id: uuid.UUID) -> str:
    """The outside id of an endpoint."""
    return ids.show("wh", webhook_id)


async def announce(
    connection: AsyncConnection,
    tenant_id: uuid.UUID,
    event_type: str,
    data: Mapping[str, Any],
    *,
    but_not: uuid.UUID | None = None,
) -> list[uuid.UUID]:
    """Put an event out for every enabled endpoint of the tenant that subscribes to its type; returns the events' ids.

    Part of the caller's transaction: told if and only if that commits. `data` is what the receivers see: JSON, under
    20 kB, ids in their outside form, no prompts and no answers.
    """
    told = msgspec.json.encode(data).decode()
    names = {"tenant_id": tenant_id, "type": event_type, "data": told, "but_not": but_not}
    return list((await connection.execute(ANNOUNCE, names)).scalars())


async def tell(
    connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID, event_type: str, data: Mapping[str, Any]
) -> uuid.UUID | None:
    """The same for one endpoint, whatever it subscribes to; None when it is disabled or not there."""
    told = msgspec.json.encode(data).decode()
    names = {"tenant_id": tenant_id, "webhook_id": webhook_id, "type": event_type, "data": told}
    event_id: uuid.UUID | None = (await connection.execute(TELL, names)).scalar_one_or_none()
    return event_id


async def look_at_batches(connection: AsyncConnection, after: uuid.UUID | None) -> Untold:
    """Some of the batches that an endpoint waits for, from `after` on: those whose last job has ended."""
    names = {"after": after or uuid.UUID(int=0), "most": MOST_BATCHES}
    rows = (await connection.execute(UNTOLD, names)).all()
    far = [row for row in rows if row.first_open is not None and row.first_open - row.ended_to >= FAR]
    if far:
        marks = {"ids": [row.id for row in far], "marks": [row.first_open for row in far]}
        await connection.execute(MOVE_ON, marks)
    finished = [row.id for row in rows if row.first_open is None]
    return Untold(finished, rows[-1].id if len(rows) == MOST_BATCHES else None)


async def finish_batch(connection: AsyncConnection, batch_id: uuid.UUID) -> bool:
    """Tell that a batch has finished; False when it was told before, or its endpoint does not want to know."""
    return bool((await connection.execute(FINISH, {"id": batch_id})).rowcount)


async def page(
    connection: AsyncConnection,
    tenant_id: uuid.UUID,
    webhook_id: uuid.UUID,
    limit: int,
    **where: object,
) -> Sequence[Row[Any]]:
    """Up to `limit` deliveries with their tries, newest first; `where` may name `state` and `after` (an event's id)."""
    asked = {name: value for name, value in where.items() if value is not None}
    statement = text(PAGE.format(filters=" ".join(_FILTERS[name] for name in asked)))
    names = asked | {"tenant_id": tenant_id, "webhook_id": webhook_id, "limit": limit}
    return (await connection.execute(statement, names)).all()


async def replay(
    connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID, what: uuid.UUID | Range
) -> int:
    """Send an event, or those of a span of time, again from the schedule's beginning; returns how many. Same ids.

    Wants a connection that commits each statement.
    """
    names: dict[str, Any] = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    await connection.execute(UNPAUSE, names)
    if isinstance(what, uuid.UUID):
        return (await connection.execute(REPLAY_ONE, names | {"id": what})).rowcount
    names |= {"until": ids.floor_uuid(what.until), "states": list(what.states), "most": REPLAY_AT_ONCE}
    since, count = ids.floor_uuid(what.since), 0
    while True:
        sent = (await connection.execute(REPLAY_RANGE, names | {"since": since})).scalars().all()
        count += len(sent)
        if len(sent) < REPLAY_AT_ONCE:
            return count
        since = uuid.UUID(int=max(sent).int + 1)


async def forget(connection: AsyncConnection, before: dt.datetime) -> int:
    """Drop some of the deliveries from before then that wait for nothing; returns how many, 0 when none are left."""
    names = {"bound": ids.floor_uuid(before), "most": FORGET_AT_ONCE}
    return (await connection.execute(FORGET, names)).rowcount
