"""`/v1/files` as OpenAI's clients use it: upload a batch's lines, list, read, download, delete."""

import asyncio
import datetime as dt
import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import show
from api.auth import Reader, Submitter
from api.batch_shape import epoch_s
from api.front import Front, front_of
from api.fronts import batch_lines
from api.fronts.uploads import Upload, take_in
from api.once import once_of
from api.paths import not_found, read_id, read_reference, reference
from api.problems import Code, Problem
from jobs import ids
from jobs.store import files, idempotency
from jobs.store.files import PART_BYTES, File
from jobs.store.idempotency import Claim, Reply
from jobs.store.uuid7 import uuid7

router = APIRouter(tags=["files"])
ROUTE = "/v1/files"
PURPOSE = "batch"
OUTPUT = "batch_output"
MOST_DETAILS = 100
SHORTEST_LIFE_S, LONGEST_LIFE_S = 3_600, 2_592_000
"""OpenAI's bounds for `expires_after`: an hour to thirty days."""
_COUNT = re.compile(r"[0-9]{1,9}")
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string", "enum": [PURPOSE]},
                        "file": {"type": "string", "format": "binary", "description": "JSONL, a request per line."},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}


@router.post(ROUTE, openapi_extra=UPLOAD)
async def upload(request: Request, key: Submitter) -> Response:
    """Upload the lines of a batch (`purpose=batch`). Each must be a JSON object; the first wrong ones are named."""
    front = front_of(request)
    limits = front.settings.api
    once = once_of(request, key, ROUTE)
    with Upload() as taken:
        await take_in(request, taken, limits.max_bulk_bytes)
        now = dt.datetime.now(dt.UTC)
        file = File(
            id=uuid7(),
            tenant_id=key.tenant_id,
            purpose=_purpose(taken.fields),
            filename=taken.filename or "file",
            created_at=now,
            expires_at=now + _life(taken.fields, front.settings.retention.days),
            bytes=taken.size,
        )
        digest = await asyncio.to_thread(_check_lines, taken, front)
        claim = None if once is None else once.claim(digest)
        body = msgspec.json.encode(shown(file, taken.size))
        kept = await _store(front, file, taken, claim, Reply(200, body))
    return Response(kept.body, kept.status, media_type="application/json")


async def _store(front: Front, file: File, taken: Upload, claim: Claim | None, reply: Reply) -> Reply:
    async with front.database.transaction() as connection:
        if claim is not None and (kept := await idempotency.take(connection, claim, reply)) is not None:
            return kept
        await files.add(connection, file)
        taken.content.seek(0)
        seq = 0
        while part := taken.content.read(PART_BYTES):
            await files.add_part(connection, file.id, seq, part)
            seq += 1
    return reply


def _purpose(fields: dict[str, str]) -> str:
    purpose = fields.get("purpose")
    if purpose != PURPOSE:
        said = "this part is required" if purpose is None else f"{purpose[:50]!r} is not kept here"
        raise Problem(Code.INVALID_VALUE, f"purpose: {said}; send purpose={PURPOSE}", "purpose")
    return purpose


def _life(fields: dict[str, str], retention_days: int) -> dt.timedelta:
    text = fields.get("expires_after[seconds]")
    longest_s = min(LONGEST_LIFE_S, retention_days * 86_400)
    if text is None:
        return dt.timedelta(seconds=longest_s)
    if not _COUNT.fullmatch(text) or not SHORTEST_LIFE_S <= int(text) <= longest_s:
        message = f"expires_after[seconds]: must be a whole number from {SHORTEST_LIFE_S} to {longest_s}"
        raise Problem(Code.INVALID_VALUE, message, "expires_after")
    return dt.timedelta(seconds=int(text))


def _check_lines(taken: Upload, front: Front) -> bytes:
    """That every line can be a request; what it asks for is judged when a batch is made. Returns the file's SHA-256."""
    limits, digest = front.settings.api, hashlib.sha256()
    wrong: list[dict[str, Any]] = []
    count = refused = 0
    taken.content.seek(0)
    for number, line in enumerate(iter(lambda: taken.content.readline(limits.max_request_bytes + 1), b""), 1):
        digest.update(line)
        if len(line) > limits.max_request_bytes:
            message = f"line {number} is over {limits.max_request_bytes:,} bytes"
            raise Problem(Code.BODY_TOO_LARGE, message, f"line {number}")
        if not line.strip():
            continue
        count += 1
        fault = _fault(line)
        refused += fault is not None
        if fault is not None and len(wrong) < MOST_DETAILS:
            wrong.append({"line": number, "code": "invalid_json_line", "message": fault, "param": None})
    if wrong:
        message = f"{refused:,} lines are wrong, the first is line {wrong[0]['line']}: {wrong[0]['message']}"
        raise Problem(Code.INVALID_LINES, message, "file", details=wrong)
    if not 1 <= count <= limits.max_bulk_jobs:
        message = f"file: has {count:,} lines; a batch takes from 1 to {limits.max_bulk_jobs:,}"
        raise Problem(Code.INVALID_LINES if count == 0 else Code.TOO_MANY_LINES, message, "file")
    return digest.digest()


def _fault(line: bytes) -> str | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "it is not JSON in UTF-8"
    return None if isinstance(value, dict) else 'it is no object; write {"custom_id": ..., "method": ..., ...}'


@router.get(ROUTE)
async def list_files(
    request: Request,
    key: Reader,
    purpose: Annotated[str | None, Query(max_length=50, pattern=r"^[a-z_-]+$")] = None,
    after: Annotated[str | None, reference("file")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """The tenant's files, newest first: what was uploaded, and the outputs of batches that have ended."""
    front, last = front_of(request), read_reference("after", "file", after)
    async with front.database.statement() as connection:
        found = await files.page(
            connection, key.tenant_id, limit + 1, newest_first=order == "desc", purpose=purpose, after=last
        )
    listed = [shown(row, await _size(front, key.tenant_id, row)) for row in found]
    return show.answer(show.listed(listed, limit))


@router.get(ROUTE + "/{file_id}")
async def get_file(request: Request, key: Reader, file_id: str) -> Response:
    """One file, without its contents."""
    front = front_of(request)
    row = await _found(front, key.tenant_id, file_id)
    return show.answer(shown(row, await _size(front, key.tenant_id, row)))


@router.get(
    ROUTE + "/{file_id}/content",
    response_class=Response,
    openapi_extra={"responses": {"200": {"description": "The bytes", "content": {"application/octet-stream": {}}}}},
)
async def content(request: Request, key: Reader, file_id: str) -> Response:
    """A file's bytes: of an upload as they came, of a batch's output its lines in input order."""
    front = front_of(request)
    row = await _found(front, key.tenant_id, file_id)
    parts = (
        files.content(front.database, row.id, row.bytes) if row.batch_id is None else _output(front, key.tenant_id, row)
    )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", row.filename)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type="application/octet-stream", headers=headers)


@router.delete(ROUTE + "/{file_id}")
async def delete(request: Request, key: Submitter, file_id: str) -> Response:
    """Delete a file. Batches made from it go on; their answers stay with their jobs."""
    async with front_of(request).database.statement() as connection:
        if not await files.delete(connection, key.tenant_id, read_id("file", file_id)):
            raise not_found("file", file_id)
    return show.answer({"id": file_id, "object": "file", "deleted": True})


async def _found(front: Front, tenant_id: uuid.UUID, file_id: str) -> Any:
    async with front.database.statement() as connection:
        row = await files.get(connection, tenant_id, read_id("file", file_id))
    if row is None:
        raise not_found("file", file_id)
    return row


async def _size(front: Front, tenant_id: uuid.UUID, row: Any) -> int:
    """A file's bytes; a batch's output is measured the first time that somebody asks."""
    if row.bytes is not None:
        return int(row.bytes)
    size = await batch_lines.size(front.database, tenant_id, row.batch_id, errors=_has_errors(row))
    async with front.database.statement() as connection:
        await files.measured(connection, row.id, size)
    return size


def _output(front: Front, tenant_id: uuid.UUID, row: Any) -> AsyncIterator[bytes]:
    return batch_lines.lines(front.database, tenant_id, row.batch_id, errors=_has_errors(row))


def _has_errors(row: Any) -> bool:
    return bool(row.filename.endswith(batch_lines.ERRORS))


def shown(file: Any, size: int) -> show.JsonObject:
    """OpenAI's File object."""
    return {
        "id": ids.show("file", file.id),
        "object": "file",
        "bytes": size,
        "created_at": epoch_s(file.created_at),
        "expires_at": epoch_s(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }
