"""The output and error files of a batch in OpenAI's lines, made from the jobs' rows whenever somebody reads them."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from api import show
from api.fronts.failures import STATUSES
from jobs.failures import FailureKind
from jobs.store import reads
from jobs.store.reads import ResultRow
from jobs.store.session import Database

OUTPUT, ERRORS = "_output.jsonl", "_error.jsonl"
"""How the names of the two files end."""
UNDONE = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was cancelled before it was executed."),
}


async def lines(database: Database, tenant_id: uuid.UUID, batch_id: uuid.UUID, *, errors: bool) -> AsyncIterator[bytes]:
    """The lines in input order, some hundred at a time: of what succeeded, or with `errors` of all the rest."""
    encoder = msgspec.json.Encoder()
    async for page in reads.results(database, tenant_id, batch_id):
        wanted = [_line(result) for result in page if (result.row.state == "succeeded") is not errors]
        if wanted:
            yield encoder.encode_lines(wanted)


async def size(database: Database, tenant_id: uuid.UUID, batch_id: uuid.UUID, *, errors: bool) -> int:
    """What `lines` come to, in bytes."""
    return sum([len(part) async for part in lines(database, tenant_id, batch_id, errors=errors)])


def _line(result: ResultRow) -> dict[str, Any]:
    row = result.row
    name = show.shown("job", row.id)
    head = {"id": name, "custom_id": row.custom_id}
    if row.state in UNDONE:
        code, message = UNDONE[row.state]
        return head | {"response": None, "error": {"code": code, "message": message}}
    if result.answer is None and row.state == "succeeded":
        message = "The answer was deleted, or is past its retention."
        return head | {"response": None, "error": {"code": "purged", "message": message}}
    response: dict[str, Any] = {"status_code": 200, "request_id": name}
    if result.answer is not None:
        response["body"] = show.one_line(result.answer)
    else:
        response["status_code"] = STATUSES[FailureKind((row.error or {}).get("kind", FailureKind.INTERNAL))]
        response["body"] = {"error": show.error(row.error)}
    return head | {"response": response, "error": None}
