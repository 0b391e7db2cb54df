"""How jobs stand, for those who wait for their ends: many waiters of one moment, one statement."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import text

from jobs.ending import Cost, Ending
from jobs.states import State
from jobs.store.direct import Line
from jobs.store.reads import COST_COLUMNS
from jobs.store.rows import Move

MOST_TOLD_BYTES = 65_536
"""A longer answer is not told along with its hint."""

# The answer's subselect prunes partitions at run time; the attempts are found by their job.
ENDINGS = text(f"""
select j.id, j.state, j.error, j.answer_attempt, j.purged_at is not null as purged,
    coalesce(jsonb_array_length(j.adaptations), 0) as adaptations,
    extract(epoch from clock_timestamp() - j.finished_at)::float8 as ended_for_s,
    (select p.body from payloads p where p.id = j.answer_attempt) as answer, c.*
from unnest(cast(:tenants as uuid[]), cast(:ids as uuid[])) as w(tenant_id, id)
join jobs j on j.id = w.id and j.tenant_id = w.tenant_id
left join lateral (
    select {COST_COLUMNS}, max(a.deployment) filter (where a.id = j.answer_attempt) as deployment,
        count(a.id) filter (where a.id <= j.answer_attempt) as turn
    from attempts a where a.job_id = j.id
) c on true
""")  # noqa: S608 -- made of constants of jobs.store.reads


class Asked(msgspec.Struct, frozen=True):
    """Whose job is looked at."""

    tenant_id: uuid.UUID
    job_id: uuid.UUID


async def endings(line: Line, asked: Sequence[Asked]) -> dict[Asked, Ending]:
    """The jobs that there are of these; what has not ended is among them, with its state."""
    names = {"tenants": [one.tenant_id for one in asked], "ids": [one.job_id for one in asked]}
    found = await line.execute(ENDINGS, names)
    by_id = {row.id: row for row in found}
    return {one: _ending(by_id[one.job_id]) for one in asked if one.job_id in by_id}


def answered_at_once(move: Move, deployment: str, adaptations: int) -> Ending | None:
    """The ending of a job whose only call answered it, as its move writes it; None where a waiter had better look.

    That is for an answer too long to be carried past every API process, and for a cost that is not known.
    """
    closing = move.closing
    if closing is None or closing.answer is None or closing.cost_usd is None:
        return None
    if len(closing.answer) > MOST_TOLD_BYTES:
        return None
    return Ending(
        state=State.SUCCEEDED,
        ended_for_s=0.0,
        error=None,
        answer=closing.answer,
        attempt=closing.id,
        turn=1,
        deployment=deployment,
        cost=Cost(closing.cost_usd, closing.cost_usd, is_complete=True),
        calls=1,
        adaptations=adaptations,
        is_purged=False,
    )


def _ending(row: Any) -> Ending:
    return Ending(
        state=State(row.state),
        ended_for_s=row.ended_for_s or 0.0,
        error=row.error,
        answer=bytes(row.answer) if row.answer is not None else None,
        attempt=row.answer_attempt,
        turn=row.turn if row.answer_attempt is not None else 0,
        deployment=row.deployment,
        cost=Cost.of(row),
        calls=row.calls,
        adaptations=row.adaptations,
        is_purged=row.purged,
    )
