"""POST /v1/jobs: reads one job, judges it, commits it with whatever else is waiting, and answers 202."""

import asyncio
import hashlib
import re
from contextlib import AbstractContextManager, nullcontext

import msgspec
from fastapi import APIRouter, Request, Response

from api import show
from api.admission import Defaults
from api.allowance import exhausted
from api.auth import Submitter
from api.bodies import read_body, strict_json
from api.contract import SUBMIT
from api.front import Front, front_of
from api.once import once_of
from api.schemas import Wish, read_wish
from api.webhooks import check_webhook
from jobs import failpoints, ids, meters
from jobs.job import Submission
from jobs.lanes import Lane
from jobs.store import idempotency
from jobs.store.accounts import Key
from jobs.store.idempotency import Claim, Reply
from jobs.store.submit import insert
from jobs.store.uuid7 import uuid7

router = APIRouter(tags=["jobs"])
ROUTE = "/v1/jobs"
OFF_LOOP_BYTES = 262_144
"""A body over this is read in a thread: walking its tree would hold up the other requests."""
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, section 3.2; anything else is ignored, as it asks."""
DEFAULTS = Defaults(lane=Lane.STANDARD)


@router.post(ROUTE, status_code=202, openapi_extra=SUBMIT)
async def submit(request: Request, key: Submitter) -> Response:
    """Submit one job. The 202 is sent after its row is committed; poll the address in Location."""
    front = front_of(request)
    raw = await read_body(request, front.settings.api.max_request_bytes)
    once, digest = once_of(request, key, ROUTE), hashlib.sha256(raw).digest()
    if once is not None and (kept := await once.answered(front.database)) is not None:
        return accepted(kept.reply_to(digest), ROUTE)
    wish = await read(raw)
    submission = await admitted(front, key, wish, DEFAULTS)
    submission, span = traced(front, submission, request.headers.get("traceparent", ""))
    body = msgspec.json.encode(show.accepted(submission))
    with span:
        before = await record(front, submission, once.claim(digest) if once is not None else None, body)
    return accepted(before or Reply(202, body), ROUTE)


async def admitted(front: Front, key: Key, wish: Wish, defaults: Defaults) -> Submission:
    """The job to write, judged, with room in its tenant's queue and budgets. Raises Problem."""
    submission = front.admission.admit(wish, key, uuid7(), defaults)
    if submission.webhook_id is not None:
        await check_webhook(front, key.tenant_id, submission.webhook_id)
    if (tight := await front.allowance.tight(key)) and not front.admission.has_room(wish, submission, tight):
        raise exhausted(tight)
    await front.quota.take(key, 1)
    return submission


async def record(front: Front, submission: Submission, claim: Claim | None, body: bytes) -> Reply | None:
    """Commit the job, then let its bell ring; a repetition writes nothing and gets the reply of the first time.

    `body` is what the first one is answered with. Raises InFlight, OtherBody, StoreUnavailable.
    """
    if claim is None:
        await front.submissions.add(submission)
    elif (before := await _insert_once(front, claim, submission, body)) is not None:
        return before
    failpoints.hit("submitted_before_bell")
    meters.SUBMITTED.labels(submission.lane.value).inc()
    front.ring.announce(submission.lane, submission.id)
    return None


def traced(front: Front, submission: Submission, header: str) -> tuple[Submission, AbstractContextManager[object]]:
    """The job with what travels with it: the caller's traceparent or, where traces are collected, of our own span."""
    traceparent, span = header if TRACEPARENT.fullmatch(header) else "", None
    if front.traces is not None:
        span = front.traces.submitting(submission.lane.value, ids.show("job", submission.id), traceparent)
        traceparent = span.traceparent
    if traceparent:
        submission = msgspec.structs.replace(submission, traceparent=traceparent)
    return submission, span or nullcontext()


async def read(raw: bytes) -> Wish:
    """Read one submission, a large one in a thread. Raises Problem."""
    if len(raw) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(_read, raw)
    return _read(raw)


def _read(raw: bytes) -> Wish:
    return read_wish(raw, strict_json(raw))


def accepted(reply: Reply, route: str) -> Response:
    """The 202 with the address to poll, the first time and at each repetition."""
    made = msgspec.json.decode(reply.body)["id"]
    return Response(reply.body, reply.status, {"location": f"{route}/{made}"}, media_type="application/json")


async def _insert_once(front: Front, claim: Claim, submission: Submission, body: bytes) -> Reply | None:
    """Insert under an idempotency key; the earlier answer when there is one. Raises InFlight, OtherBody."""
    async with front.database.transaction() as connection:
        before = await idempotency.take(connection, claim, Reply(202, body))
        if before is None:
            await insert(connection, [submission])
    return before
