"""Routes of single jobs: get (and wait), list, cancel, retry, delete."""

import asyncio
import time
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from api import show
from api.auth import Reader, Submitter
from api.front import Front, front_of
from api.paths import not_found, read_id, read_reference, reference
from api.problems import Code, Problem
from jobs.ending import Cost
from jobs.lanes import Lane
from jobs.signals import CANCEL
from jobs.states import State
from jobs.store import owner, reads
from jobs.store.owner import Asker, Cancelled
from jobs.store.reads import Filter

router = APIRouter(tags=["jobs"])
SLOW_POLL_S = 2.0
Limit = Annotated[int, Query(ge=1, le=1000)]
Wait = Annotated[float, Query(json_schema_extra={"minimum": 0, "maximum": 60})]
"""The most is a setting; 60 s by default."""
Plain = Annotated[str | None, Query(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


@router.get("/v1/jobs/{job_id}")
async def get_job(request: Request, key: Reader, job_id: str, wait: Wait = 0.0) -> Response:
    """A job with result, attempts, costs and receipt; `wait` seconds (at most 60) for its end, if it is not there."""
    front = front_of(request)
    wanted = read_id("job", job_id)
    most = front.settings.api.max_wait_s
    if not 0 <= wait <= most:
        raise Problem(Code.INVALID_VALUE, f"wait: must be from 0 to {most:g} seconds", "wait")
    if wait > 0:
        await _wait(request, front, key.tenant_id, wanted, wait)
    async with front.database.statement() as connection:
        row = await reads.job(connection, key.tenant_id, wanted)
    if row is None:
        raise not_found("job", job_id)
    return show.answer(show.job(row))


async def _wait(request: Request, front: Front, tenant_id: uuid.UUID, job_id: uuid.UUID, wait_s: float) -> None:
    """Return when the job has ended or the time is up. The signal is a hint: a slow poll of the row stands behind."""
    until = time.monotonic() + wait_s
    ended = asyncio.Event()
    with front.signals.waiting(job_id, lambda _: ended.set()):
        while True:
            ended.clear()
            async with front.database.statement() as connection:
                state = await reads.state_of(connection, tenant_id, job_id)
            left = until - time.monotonic()
            if state is None or State(state).is_terminal or left <= 0 or await request.is_disconnected():
                return
            try:
                await asyncio.wait_for(ended.wait(), min(SLOW_POLL_S, left))
            except TimeoutError:
                continue


def _narrowed(
    state: Annotated[list[State] | None, Query()] = None,
    lane: Lane | None = None,
    batch: Annotated[str | None, reference("batch")] = None,
    custom_id: Plain = None,
    after: Annotated[str | None, reference("job")] = None,
) -> Filter:
    """Which jobs a list shows."""
    return Filter(
        state=tuple(state) if state else None,
        lane=lane,
        batch_id=read_reference("batch", "batch", batch),
        custom_id=custom_id,
        after=read_reference("after", "job", after),
    )


@router.get("/v1/jobs")
async def list_jobs(
    request: Request, key: Reader, where: Annotated[Filter, Depends(_narrowed)], limit: Limit = 20
) -> Response:
    """Jobs, newest first, a page at a time; `after` takes the last id of the page before."""
    async with front_of(request).database.statement() as connection:
        rows = await reads.page(connection, key.tenant_id, where, limit + 1)
    return show.answer(show.listed([show.job_summary(row, Cost.of(row), sandbox=row.sandbox) for row in rows], limit))


@router.post("/v1/jobs/{job_id}/cancel")
async def cancel(request: Request, key: Submitter, job_id: str) -> Response:
    """Cancel: a waiting job at once, a running one when its worker has heard; a job that has ended stays as it is."""
    front = front_of(request)
    wanted = read_id("job", job_id)
    done = await call_off(front, key.tenant_id, wanted)
    async with front.database.statement() as connection:
        now = await owner.standing(connection, key.tenant_id, wanted)
    if now is None:
        raise not_found("job", job_id)
    said: Literal["done", "requested", "too_late"] = "done" if done.ended else "requested" if done.told else "too_late"
    return show.answer({"id": job_id, "object": "job", "state": now.state, "cancel": said})


async def call_off(front: Front, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Cancelled:
    """Cancel a job, and tell who waits for it or carries it."""
    async with front.database.statement() as connection:
        done = await owner.cancel_job(connection, tenant_id, job_id)
    if done.ended:
        front.signals.tell_endings(dict.fromkeys(done.ended))
    if done.told:
        front.signals.tell_soon(CANCEL, done.told)
    return done


@router.post("/v1/jobs/{job_id}/retry", status_code=202)
async def retry(request: Request, key: Submitter, job_id: str) -> Response:
    """Submit a new job like this one, which must have ended; `retry_of` of the new one names it."""
    front = front_of(request)
    wanted = read_id("job", job_id)
    await _check_ended(front, key.tenant_id, job_id, wanted, must_have_request=True)
    await front.quota.take(key, 1)
    async with front.database.transaction() as connection:
        made = await owner.retry_job(connection, Asker(key.tenant_id, key.id), wanted)
    if made is None:
        raise Problem(Code.PURGED, "the request of this job was erased; submit it anew", "id")
    front.ring.announce(Lane.STANDARD)
    new = show.shown("job", made)
    body = {"id": new, "object": "job", "state": "queued", "retry_of": job_id}
    return show.answer(body, 202, {"location": f"/v1/jobs/{new}"})


@router.delete("/v1/jobs/{job_id}")
async def delete(request: Request, key: Submitter, job_id: str) -> Response:
    """Erase the prompt and all answers of a job that has ended. Its line and its costs stay in the ledger."""
    front = front_of(request)
    wanted = read_id("job", job_id)
    await _check_ended(front, key.tenant_id, job_id, wanted, must_have_request=False)
    async with front.database.statement() as connection:
        await owner.erase(connection, key.tenant_id, wanted)
    await front.tokens.erase(wanted)
    return show.answer({"id": job_id, "object": "job", "deleted": True})


async def _check_ended(
    front: Front, tenant_id: uuid.UUID, job_id: str, wanted: uuid.UUID, *, must_have_request: bool
) -> None:
    """Raises Problem: 404, or 409 with what to do first."""
    async with front.database.statement() as connection:
        now = await owner.standing(connection, tenant_id, wanted)
    if now is None:
        raise not_found("job", job_id)
    if not State(now.state).is_terminal:
        raise Problem(Code.NOT_TERMINAL, f"the job is {now.state}; wait for its end or cancel it first", "id")
    if must_have_request and now.is_purged:
        raise Problem(Code.PURGED, "the request of this job was erased; submit it anew", "id")
