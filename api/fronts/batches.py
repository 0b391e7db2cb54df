"""`POST /v1/batches` and the list of batches, as OpenAI's clients use them; one batch is shown by `api.batches`.

The lines are read and judged while the caller waits, so there is no state "validating": a batch is accepted whole, or
it has `failed` with each wrong line by its number, as OpenAI's would have after a while.
"""

import datetime as dt
import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta

from api import batch_shape, show
from api.admission import Defaults
from api.allowance import exhausted
from api.auth import Reader, Submitter
from api.bulk import Intake, take_all
from api.forms import described, read_form
from api.front import Front, front_of
from api.fronts import batch_lines
from api.once import once_of
from api.paths import read_reference, reference
from api.problems import Code, Problem
from jobs import failpoints, ids, meters
from jobs.lanes import Lane
from jobs.store import files, idempotency, reads
from jobs.store.files import File
from jobs.store.idempotency import Claim, Reply
from jobs.store.submit import Batch, Origin, Spool, copy_in, insert_batch
from jobs.store.uuid7 import uuid7

router = APIRouter(tags=["batches"])
ROUTE = "/v1/batches"
ENDPOINT = batch_shape.DEFAULT_ENDPOINT
_WINDOW = re.compile(r"(?P<count>[0-9]{1,4})(?P<unit>[hd])")
_HOURS = {"h": 1, "d": 24}
Word = Annotated[str, Meta(max_length=64)]


class NewBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A batch to make from an uploaded file."""

    input_file_id: Annotated[str, Meta(max_length=100)]
    endpoint: Annotated[str, Meta(max_length=100)]
    completion_window: Annotated[str, Meta(max_length=10)]
    """24h as OpenAI's, or any other number of hours or days: the deadline of every job."""
    metadata: Annotated[dict[Word, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    output_expires_after: dict[str, Any] | None = None
    """Taken for the clients' sake; answers live as long as the yard's retention says."""


@router.post(ROUTE, openapi_extra=described(NewBatch))
async def create(request: Request, key: Submitter) -> Response:
    """Make a batch of an uploaded file's lines; each becomes a job of the lane `bulk` with the batch's deadline."""
    front, wanted = front_of(request), await read_form(request, NewBatch)
    origin = _origin(wanted, front.settings.retention.days)
    once = once_of(request, key, ROUTE)
    claim = None
    if once is not None:
        claim = once.claim(idempotency.digest(msgspec.json.encode(wanted)))
        if (kept := await once.answered(front.database)) is not None:
            return _answer(kept.reply_to(claim.body_sha256))
    async with front.database.statement() as connection:
        file = await files.get(connection, key.tenant_id, origin.input_file_id)
    if file is None or file.purpose != "batch":
        message = f"input_file_id: there is no file {wanted.input_file_id!r} for batches; POST /v1/files makes one"
        raise Problem(Code.NOT_FOUND, message, "input_file_id")
    with Spool() as spool:
        intake = Intake(front, key, Defaults(lane=Lane.BULK, deadline=origin.expires_at), spool, {})
        intake.endpoint = wanted.endpoint
        intake.tight = await front.allowance.tight(key)
        await _read(front, intake, file)
        errors = tuple(intake.details)
        if not errors and intake.tight and not intake.has_room:
            raise exhausted(intake.tight)
        batch = Batch(
            id=intake.batch_id,
            tenant_id=key.tenant_id,
            total=0 if errors else spool.total,
            metadata=wanted.metadata,
            origin=msgspec.structs.replace(origin, errors=errors),
        )
        if not errors:
            await front.quota.take(key, spool.total)
        reply = Reply(200, msgspec.json.encode(batch_shape.batch(batch_shape.fresh(batch))))
        before = await _write(front, claim, batch, spool, reply)
    if before is None and not errors:
        failpoints.hit("submitted_before_bell")
        meters.SUBMITTED.labels(Lane.BULK.value).inc(batch.total)
        front.ring.announce(Lane.BULK)
    return _answer(before or reply)


def _answer(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type="application/json")


def _origin(wanted: NewBatch, retention_days: int) -> Origin:
    """Raises Problem."""
    if wanted.endpoint != ENDPOINT:
        message = f"endpoint: {wanted.endpoint[:100]!r} is not served in batches here; {ENDPOINT} is"
        raise Problem(Code.UNSUPPORTED, message, "endpoint")
    found = _WINDOW.fullmatch(wanted.completion_window)
    hours = int(found["count"]) * _HOURS[found["unit"]] if found else 0
    longest = max(retention_days - 1, 1) * 24
    if not 1 <= hours <= longest:
        message = f"completion_window: must be hours or days up to {longest}h, such as 24h or 3d"
        raise Problem(Code.INVALID_VALUE, message, "completion_window")
    input_file_id = read_reference("input_file_id", "file", wanted.input_file_id)
    assert input_file_id is not None, "the form wants one"
    return Origin(
        endpoint=wanted.endpoint,
        completion_window=wanted.completion_window,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours),
        input_file_id=input_file_id,
        output_file_id=uuid7(),
        error_file_id=uuid7(),
    )


async def _read(front: Front, intake: Intake, file: Any) -> None:
    """Feed the file's lines to the intake, a part at a time. Raises Problem when it is deleted meanwhile."""
    pending = b""
    try:
        async for part in files.content(front.database, file.id, file.bytes):
            *lines, pending = (pending + part).split(b"\n")
            await take_all(intake, lines)
    except files.Gone as error:
        message = "input_file_id: the file was deleted while it was read; upload it again"
        raise Problem(Code.NOT_FOUND, message, "input_file_id") from error
    await take_all(intake, [pending])


async def _write(front: Front, claim: Claim | None, batch: Batch, spool: Spool, reply: Reply) -> Reply | None:
    """Commit the batch with its jobs, or (its lines were wrong) only the tale of it; a repetition's earlier reply."""
    async with front.database.transaction() as connection:
        if claim is not None and (kept := await idempotency.take(connection, claim, reply)) is not None:
            return kept
        if batch.origin is not None and batch.origin.errors:
            await insert_batch(connection, batch)
        else:
            await copy_in(connection, batch, spool)
            for file in _outputs(batch, front.settings.retention.days):
                await files.add(connection, file)
    return None


def _outputs(batch: Batch, retention_days: int) -> list[File]:
    """The rows of the two files that the batch will have; they are seen when it has ended."""
    origin = batch.origin
    assert origin is not None, "made from a file"
    now = ids.moment_of(batch.id)
    name = ids.show("batch", batch.id)
    return [
        File(
            id=file_id,
            tenant_id=batch.tenant_id,
            purpose="batch_output",
            filename=name + ending,
            created_at=now,
            expires_at=now + dt.timedelta(days=retention_days),
            batch_id=batch.id,
        )
        for file_id, ending in (
            (origin.output_file_id, batch_lines.OUTPUT),
            (origin.error_file_id, batch_lines.ERRORS),
        )
    ]


@router.get(ROUTE)
async def list_batches(
    request: Request,
    key: Reader,
    after: Annotated[str | None, reference("batch")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """The tenant's batches, newest first, bulk submits among them."""
    last = read_reference("after", "batch", after)
    async with front_of(request).database.statement() as connection:
        views = await reads.batches(connection, key.tenant_id, last, limit + 1)
    return show.answer(show.listed([batch_shape.batch(view) for view in views], limit))
