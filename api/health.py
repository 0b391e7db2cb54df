"""/healthz: the process lives. /readyz: it can do its work, or 503 with the reason."""

from fastapi import APIRouter, Request, Response

from api import show
from api.front import front_of
from api.openapi import PUBLIC
from api.problems import RETRY_AFTER_S
from jobs.store import reads
from jobs.store.session import StoreUnavailable

router = APIRouter(tags=["operations"])
LATER = {"retry-after": str(RETRY_AFTER_S)}


@router.get("/healthz", openapi_extra=PUBLIC)
async def healthz() -> Response:
    """200 while the process answers at all."""
    return show.answer({"status": "ok"})


@router.get("/readyz", openapi_extra=PUBLIC)
async def readyz(request: Request) -> Response:
    """200 when Postgres answers and is at the migration this code was written for; else 503 with the reason."""
    front = front_of(request)
    try:
        async with front.database.statement() as connection:
            found = await reads.revision(connection)
    except StoreUnavailable:
        return show.answer({"status": "unready", "reason": "the database is away"}, 503, LATER)
    if found != front.migration_head:
        reason = f"the database is at {found}, this code needs {front.migration_head}: python -m migrations.run"
        return show.answer({"status": "unready", "reason": reason}, 503, LATER)
    return show.answer({"status": "ready", "migration": found})
