"""POST /v1/jobs/bulk: NDJSON, validated while it is read into a bounded spool, then written by one COPY."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from api import batch_shape
from api.admission import Defaults
from api.allowance import exhausted
from api.auth import Submitter
from api.bodies import check_encoding, too_large
from api.contract import BULK
from api.front import Front, front_of
from api.once import once_of
from api.paths import read_reference, reference
from api.problems import Code, Problem
from api.riders import read_line
from api.schemas import LaneName, Wish, lane_of, moment_of
from api.submit import accepted
from api.webhooks import of_tenant, usable
from jobs import failpoints, meters
from jobs.lanes import Lane
from jobs.store import idempotency
from jobs.store.accounts import Key
from jobs.store.idempotency import Claim, Reply
from jobs.store.submit import Batch, Spool, copy_in
from jobs.store.uuid7 import uuid7
from routing.allowance import Ceiling

router = APIRouter(tags=["jobs"])
ROUTE = "/v1/jobs/bulk"
BATCHES = "/v1/batches"
MOST_DETAILS = 100
SLICE_S = 0.01
"""After so long on lines the event loop gets its turn."""
_BLANK = b" \t\r\n"
Text = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Intake:
    """Turns lines into rows of a spool and keeps the first refusals by line number (from 1)."""

    def __init__(self, front: Front, key: Key, defaults: Defaults, spool: Spool, webhooks: Mapping[UUID, bool]) -> None:
        self._front = front
        self._webhooks = webhooks
        self._key = key
        self._defaults = defaults
        self._spool = spool
        self._line = 0
        self.batch_id = uuid7()
        self.endpoint: str | None = None
        """Set: every line is OpenAI's, for this endpoint, with a custom_id of its own."""
        self._custom_ids: set[str] = set()
        self.refused = 0
        self.by_lane: Counter[Lane] = Counter()
        self.tight: Sequence[Ceiling] = ()
        """Budgets that have refused calls: one line at least must have room in them."""
        self.has_room = False
        self.details: list[dict[str, Any]] = []

    def take(self, line: bytes) -> None:
        """Read a line; a blank one counts as a line and is passed over. Raises Problem (413) at one too many."""
        self._line += 1
        if not line.strip(_BLANK):
            return
        try:
            wish = self._read(line)
            submission = self._front.admission.admit(wish, self._key, uuid7(), self._defaults)
            if submission.webhook_id is not None:
                usable(submission.webhook_id, self._webhooks)
        except Problem as problem:
            self.refused += 1
            if len(self.details) < MOST_DETAILS:
                detail = problem.as_error()
                self.details.append({"line": self._line} | {k: detail[k] for k in ("code", "message", "param")})
            return
        most = self._front.settings.api.max_bulk_jobs
        if self._spool.total >= most:
            raise Problem(Code.TOO_MANY_LINES, f"a bulk submit takes at most {most:,} jobs; send the rest in another")
        if self.tight and not self.has_room:
            self.has_room = self._front.admission.has_room(wish, submission, self.tight)
        row = msgspec.structs.replace(submission, batch_id=self.batch_id, batch_seq=self._spool.total, released=False)
        self._spool.add(row)
        self.by_lane[row.lane] += 1

    def _read(self, line: bytes) -> Wish:
        """Raises Problem."""
        wish = read_line(line)
        if self.endpoint is None:
            return wish
        name = wish.envelope.custom_id
        if name is None:
            raise Problem(Code.MISSING_FIELD, "custom_id: this field is required", "custom_id")
        if name in self._custom_ids:
            raise Problem(Code.INVALID_VALUE, f"custom_id: {name[:100]!r} stands on an earlier line, too", "custom_id")
        self._custom_ids.add(name)
        return wish


def _defaults(
    lane: LaneName | None = None, policy: Text = None, task: Text = None, deadline: str | None = None
) -> Defaults:
    """What holds for lines that do not say."""
    when = moment_of("deadline", deadline) if deadline is not None else None
    return Defaults(lane=lane_of(lane, Lane.BULK), policy=policy, task=task, deadline=when)


@router.post(ROUTE, status_code=202, openapi_extra=BULK)
async def bulk(
    request: Request,
    key: Submitter,
    defaults: Annotated[Defaults, Depends(_defaults)],
    on_error: Literal["refuse", "skip"] = "refuse",
    webhook: Annotated[str | None, reference("wh")] = None,
) -> Response:
    """Submit many jobs as a batch: one per line. Wrong lines refuse the whole, or are left out with on_error=skip.

    `webhook` is told once, when the last job has ended; of single jobs are told the endpoints that their lines name.
    """
    front = front_of(request)
    once = once_of(request, key, ROUTE)
    if once is not None and (kept := await once.answered(front.database)) is not None:
        return accepted(kept.reply_to(await _read_lines(request, None, front)), BATCHES)
    webhooks = await of_tenant(front, key.tenant_id)
    told = read_reference("webhook", "wh", webhook)
    if told is not None:
        usable(told, webhooks)
    with Spool() as spool:
        intake = Intake(front, key, defaults, spool, webhooks)
        intake.tight = await front.allowance.tight(key)
        digest = await _read_lines(request, intake, front)
        # Asked again: the first sending may have been committed while the lines of this one came in.
        if once is not None and (kept := await once.answered(front.database)) is not None:
            return accepted(kept.reply_to(digest), BATCHES)
        _check(intake, spool, on_error)
        if intake.tight and not intake.has_room:
            raise exhausted(intake.tight)
        await front.quota.take(key, spool.total)
        batch = Batch(
            id=intake.batch_id,
            tenant_id=key.tenant_id,
            total=spool.total,
            skipped=intake.refused,
            webhook_id=told,
        )
        body = msgspec.json.encode(batch_shape.new_batch(batch) | {"errors": intake.details})
        before = await _write_once(front, once.claim(digest) if once is not None else None, batch, spool, body)
    if before is None:
        failpoints.hit("submitted_before_bell")
        for lane, count in intake.by_lane.items():
            meters.SUBMITTED.labels(lane.value).inc(count)
        front.ring.announce(Lane.BULK)
    return accepted(before or Reply(202, body), BATCHES)


async def _read_lines(request: Request, intake: Intake | None, front: Front) -> bytes:
    """Feed the body's lines to `intake` as they come (None: nobody reads them); returns the body's SHA-256."""
    check_encoding(request)
    limits = front.settings.api
    digest, size, pending = hashlib.sha256(), 0, b""
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.max_bulk_bytes:
            raise too_large(limits.max_bulk_bytes)
        digest.update(chunk)
        if intake is None:
            continue
        *lines, pending = (pending + chunk).split(b"\n")
        await take_all(intake, lines)
        if len(pending) > limits.max_request_bytes:
            raise too_large(limits.max_request_bytes)
    if intake is not None:
        await take_all(intake, [pending])
    return digest.digest()


async def take_all(intake: Intake, lines: list[bytes]) -> None:
    """Feed lines to an intake, giving the event loop its turns."""
    turn = time.perf_counter()
    for line in lines:
        intake.take(line)
        if time.perf_counter() - turn > SLICE_S:
            await asyncio.sleep(0)
            turn = time.perf_counter()


def _check(intake: Intake, spool: Spool, on_error: str) -> None:
    if intake.refused and (on_error == "refuse" or not spool.total):
        message = f"{intake.refused:,} lines are wrong and nothing was accepted; `details` names the first"
        raise Problem(Code.INVALID_LINES, message, f"line {intake.details[0]['line']}", details=intake.details)
    if not spool.total:
        raise Problem(Code.INVALID_LINES, 'the body has no lines; send one {"request": {...}} per line', details=[])


async def _write_once(front: Front, claim: Claim | None, batch: Batch, spool: Spool, body: bytes) -> Reply | None:
    """Write the batch, unless its idempotency key has an answer already: then that."""
    async with front.database.transaction() as connection:
        before = await idempotency.take(connection, claim, Reply(202, body)) if claim is not None else None
        if before is None:
            await copy_in(connection, batch, spool)
    return before
