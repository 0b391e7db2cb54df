"""Release: a look at what waits in every lane, and one statement that releases what was decided upon that look.

Nothing is held between the two, so a dispatcher that is frozen or cut off anywhere holds up nobody; and a release
counts only from the turn that was looked at, so one that comes late, or from a stale look, does nothing.
"""

import sys
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.lanes import Lane
from routing.fairness import Queue, Shares

MOST_TENANTS = 1000
"""Looked at in one turn of a lane; the next turn goes on behind them."""
MOST_COUNTED = 16
"""A tenant's jobs counted at a look. One that has more is taken to have plenty, and gives what it has."""

_WAITS = "lane = t.lane and state = 'queued' and released_at is null and not deferred"
# The first jobs behind a tenant's, in the order of tenants: whose they are, the next tenant's first. Its count comes
# with the leap to it: each walk to the head of a queue passes the dead entries of all that was released since a vacuum.
_HEADS = f"""
    select array_agg(w.tenant_id) from (
        select tenant_id from jobs where {_WAITS} {{behind}} order by tenant_id limit :most_counted
    ) w
"""  # noqa: S608 -- made of constants of this file
# `offset 0` is a fence: pulled up, the leap would be made once more for each mention of its result.
_NEXT = f"""
    select coalesce(({_HEADS.format(behind="and tenant_id > {last}")}), ({_HEADS.format(behind="")})) as heads offset 0
"""
# The tenants that wait in a lane, in turn from the one behind the last (a loose index scan: a leap for each tenant),
# with some of their jobs counted; one row at least for each lane.
LOOK = text(f"""
with recursive lanes as materialized (
    select *, extract(epoch from clock_timestamp() - turned_at)::float8 as elapsed_s,
        (select count(*) from jobs where lane = l.lane and state = 'queued' and released_at is not null) as now_deep
    from lane_turns l
), ring(lane, heads, first, nth) as (
    select t.lane, f.heads, f.heads[1], 1
    from lanes t cross join lateral ({_NEXT.format(last="t.last_tenant")}) f
    where t.now_deep * 2 <= greatest(t.stock, :least_stock) and f.heads is not null
    union all
    select t.lane, f.heads, t.first, t.nth + 1
    from ring t cross join lateral ({_NEXT.format(last="t.heads[1]")}) f
    where f.heads[1] <> t.first and t.nth < :most_tenants
)
select l.lane, l.turn, l.stock, l.depth as left_then, l.elapsed_s, l.now_deep as depth,
    (select extract(epoch from min(run_at) - now())::float8 from jobs where state = 'queued' and deferred) as wake_in_s,
    t.heads[1] as tenant_id, tenants.weight, (l.deficits ->> cast(t.heads[1] as text))::float8 as deficit,
    cardinality(array_positions(t.heads, t.heads[1])) as waiting
from lanes l left join ring t on t.lane = l.lane left join tenants on tenants.id = t.heads[1]
order by l.lane, t.nth
""")  # noqa: S608 -- made of constants of this file

# Most urgent first inside each tenant. `nth` deals the tenants' jobs out alternately, as the round robin took them.
RELEASE = text("""
with n as materialized (
    select * from jsonb_to_recordset(cast(:turns as jsonb)) as n(lane text, turn bigint, last_tenant uuid,
        deficits jsonb, is_all boolean, stock integer, depth integer)
), mine as materialized (
    select lane from lane_turns where lane in (select lane from n) for update skip locked
), turn as (
    update lane_turns l set turn = l.turn + 1, last_tenant = n.last_tenant, stock = n.stock, depth = n.depth,
        turned_at = clock_timestamp(),
        deficits = case when n.is_all then n.deficits else l.deficits || n.deficits end
    from n where l.lane = n.lane and l.turn = n.turn and l.lane in (select lane from mine)
    returning l.lane
), due as materialized (
    select d.ctid, row_number() over (partition by s.lane, s.tenant_id order by d.urgent_at) as nth
    from jsonb_to_recordset(cast(:takes as jsonb)) as s(lane text, tenant_id uuid, most integer)
    cross join lateral (
        select ctid, urgent_at from jobs
        where lane = s.lane and tenant_id = s.tenant_id and state = 'queued' and released_at is null and not deferred
            and run_at <= now()
        order by urgent_at limit s.most for update skip locked
    ) d
    where s.lane in (select lane from turn)
)
update jobs set released_at = now() from due where jobs.ctid = due.ctid returning jobs.id, jobs.lane, due.nth
""")

WAKE = text("""
with due as materialized (
    select id from jobs where state = 'queued' and deferred and run_at <= now()
    order by run_at limit 1000 for update skip locked
)
update jobs set deferred = false from due where jobs.id = due.id returning jobs.id
""")


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as the dispatcher sees it."""

    lane: Lane
    turn: int
    depth: int
    """Jobs released and not yet claimed."""
    queues: tuple[Queue, ...]
    """The tenants whose jobs are due, in the order of their turns."""
    is_all: bool
    """Whether these are all tenants that wait."""
    stock: int
    """What `depth` was to be filled up to at the last release; 0 before the first."""
    left_then: int
    """What `depth` was right after it."""
    elapsed_s: float
    """How long ago that was, by the database clock."""


class View(msgspec.Struct, frozen=True):
    """All lanes, and the seconds until the next deferred job is due (None: there is none)."""

    lanes: tuple[LaneView, ...]
    wake_in_s: float | None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a lane's look has led to."""

    view: LaneView
    shares: Shares
    stock: int
    """How deep the lane is to be filled."""

    @property
    def room(self) -> int:
        """Jobs that were asked for."""
        return self.stock - self.view.depth

    @property
    def is_growing(self) -> bool:
        """Whether jobs are left waiting by a stock that may be too small: the lane was found empty."""
        return self.view.depth == 0 and bool(self.shares.deficits)


async def look(connection: AsyncConnection, least_stock: int) -> View:
    """Every lane: its depth, and who waits in those that are at most half full of `least_stock` or what they had last.

    One read, whose cost grows with the tenants that wait, not with their jobs.
    """
    names = {"most_tenants": MOST_TENANTS, "most_counted": MOST_COUNTED, "least_stock": least_stock}
    found = await connection.execute(LOOK, names)
    rows_of: dict[str, list[Row[Any]]] = {}
    for row in found:
        rows_of.setdefault(row.lane, []).append(row)
    known = {lane.value for lane in Lane}
    lanes = tuple(_view(rows) for lane, rows in rows_of.items() if lane in known)
    wakes = [rows[0].wake_in_s for rows in rows_of.values()]
    return View(lanes, wakes[0] if wakes else None)


async def release(connection: AsyncConnection, turns: Sequence[Turn]) -> dict[Lane, list[uuid.UUID]]:
    """Release what was decided, the tenants' jobs dealt out alternately.

    A lane in which another dispatcher has released since the look, or is just doing it, is left out.
    """
    names = {
        "turns": msgspec.json.encode([_turn_row(turn) for turn in turns]).decode(),
        "takes": msgspec.json.encode([row for turn in turns for row in _take_rows(turn)]).decode(),
    }
    released: dict[Lane, list[uuid.UUID]] = {}
    for row in sorted(await connection.execute(RELEASE, names), key=lambda row: int(row.nth)):
        released.setdefault(Lane(row.lane), []).append(row.id)
    return released


async def wake(connection: AsyncConnection) -> list[uuid.UUID]:
    """Put deferred jobs whose time has come among those that are due; up to a thousand."""
    return list((await connection.execute(WAKE)).scalars())


def _view(rows: Sequence[Row[Any]]) -> LaneView:
    head = rows[0]
    queues = tuple(
        Queue(row.tenant_id, row.weight, _plenty(row.waiting), row.deficit or 0.0)
        for row in rows
        if row.tenant_id is not None
    )
    return LaneView(
        lane=Lane(head.lane),
        turn=head.turn,
        depth=head.depth,
        queues=queues,
        is_all=len(queues) < MOST_TENANTS,
        stock=head.stock,
        left_then=head.left_then,
        elapsed_s=head.elapsed_s,
    )


def _plenty(counted: int) -> int:
    return sys.maxsize if counted >= MOST_COUNTED else counted


def _turn_row(turn: Turn) -> dict[str, Any]:
    view, shares = turn.view, turn.shares
    return {
        "lane": view.lane,
        "turn": view.turn,
        "last_tenant": shares.last,
        "is_all": view.is_all,
        # Of equal weights nothing is left over, and nothing is kept; a part of a ring must overwrite its own.
        "deficits": {
            str(tenant_id): round(deficit, 9)
            for tenant_id, deficit in shares.deficits.items()
            if deficit or not view.is_all
        },
        "stock": turn.stock,
        "depth": view.depth + sum(shares.takes.values()),
    }


def _take_rows(turn: Turn) -> list[dict[str, Any]]:
    lane = turn.view.lane
    return [{"lane": lane, "tenant_id": tenant_id, "most": most} for tenant_id, most in turn.shares.takes.items()]
