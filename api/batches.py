"""Routes of batches: counts and costs, results in input order, cancel, retry of what ended badly."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import batch_shape, show
from api.auth import Reader, Submitter
from api.front import Front, front_of
from api.paths import not_found, read_id
from api.problems import Code, Problem
from jobs.lanes import Lane
from jobs.signals import CANCEL
from jobs.store import owner, reads
from jobs.store.owner import Asker
from jobs.store.reads import ResultRow

router = APIRouter(tags=["batches"])
EndState = Literal["succeeded", "failed", "cancelled", "expired"]
NDJSON = {"responses": {"200": {"description": "NDJSON", "content": {"application/x-ndjson": {}}}}}
TOLD_AT_ONCE = 1000
"""Ids in one signal: a message of 16 kB."""


@router.get("/v1/batches/{batch_id}")
async def get_batch(request: Request, key: Reader, batch_id: str) -> Response:
    """A batch: its jobs counted by state, what they cost, when it is likely to be done."""
    async with front_of(request).database.statement() as connection:
        view = await reads.batch(connection, key.tenant_id, read_id("batch", batch_id))
    if view is None:
        raise not_found("batch", batch_id)
    return show.answer(batch_shape.batch(view))


@router.get("/v1/batches/{batch_id}/results", openapi_extra=NDJSON, response_class=Response)
async def results(request: Request, key: Reader, batch_id: str) -> Response:
    """The batch's jobs as NDJSON in input order, finished or not: custom_id, state, result or error, cost."""
    front = front_of(request)
    wanted = read_id("batch", batch_id)
    async with front.database.statement() as connection:
        if not await reads.batch_exists(connection, key.tenant_id, wanted):
            raise not_found("batch", batch_id)
    return StreamingResponse(_lines(front, key.tenant_id, wanted), media_type="application/x-ndjson")


async def _lines(front: Front, tenant_id: uuid.UUID, batch_id: uuid.UUID) -> AsyncIterator[bytes]:
    async for page in reads.results(front.database, tenant_id, batch_id):
        yield msgspec.json.Encoder().encode_lines([_line(result) for result in page])


def _line(result: ResultRow) -> show.JsonObject:
    row = result.row
    return {
        "custom_id": row.custom_id,
        "id": show.shown("job", row.id),
        "state": row.state,
        "result": show.one_line(result.answer) if result.answer is not None else None,
        "error": show.error(row.error),
        "cost_usd": show.money(result.cost.usd),
        "cost_bound_usd": show.money(result.cost.bound_usd),
        "cost_complete": result.cost.is_complete,
        "intent_kept": row.intent_kept,
        "created_at": show.moment(row.created_at),
        "finished_at": show.moment(row.finished_at),
        "purged_at": show.moment(row.purged_at),
    }


@router.post("/v1/batches/{batch_id}/cancel")
async def cancel(request: Request, key: Submitter, batch_id: str) -> Response:
    """Cancel what has not ended: waiting jobs at once, running ones when their workers have heard."""
    front = front_of(request)
    wanted = read_id("batch", batch_id)
    async with front.database.transaction() as connection:
        done = await owner.cancel_batch(connection, key.tenant_id, wanted)
        view = await reads.batch(connection, key.tenant_id, wanted)
    if done is None or view is None:
        raise not_found("batch", batch_id)
    for start in range(0, len(done.ended), TOLD_AT_ONCE):
        front.signals.tell_endings(dict.fromkeys(done.ended[start : start + TOLD_AT_ONCE]))
    for start in range(0, len(done.told), TOLD_AT_ONCE):
        front.signals.tell_soon(CANCEL, done.told[start : start + TOLD_AT_ONCE])
    counts = {"cancelled": len(done.ended), "cancel_requested": len(done.told)}
    return show.answer(batch_shape.batch(view) | counts)


@router.post("/v1/batches/{batch_id}/retry", status_code=202)
async def retry(
    request: Request, key: Submitter, batch_id: str, state: Annotated[list[EndState] | None, Query()] = None
) -> Response:
    """Submit anew, as a new batch, the jobs that ended in one of the states (failed, when none is named)."""
    front = front_of(request)
    wanted = read_id("batch", batch_id)
    states: list[str] = list(state) if state else ["failed"]
    async with front.database.statement() as connection:
        view = await reads.batch(connection, key.tenant_id, wanted)
    if view is None:
        raise not_found("batch", batch_id)
    # With no connection in hand: the quota may need one, and holders that wait for a second starve each other.
    await front.quota.take(key, sum(view.counts.get(name, 0) for name in states))
    async with front.database.transaction() as connection:
        made = await owner.retry_batch(connection, Asker(key.tenant_id, key.id), wanted, states)
    if made is None:
        raise Problem(Code.NOTHING_TO_RETRY, f"no job of this batch has ended {' or '.join(states)}", "state")
    front.ring.announce(Lane.BULK)
    new = show.shown("batch", made.id)
    return show.answer(batch_shape.new_batch(made) | {"retry_of": batch_id}, 202, {"location": f"/v1/batches/{new}"})
