"""/healthz: the process lives. /readyz: it can do its work, or 503 with the reason. /metrics: the lanes."""

from fastapi import APIRouter, Request, Response

from api import show
from api.front import front_of
from jobs.store import reads
from jobs.store.session import StoreUnavailable

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Response:
    """200 while the process answers at all."""
    return show.answer({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 when Postgres answers and is at the migration this code was written for; else 503 with the reason."""
    front = front_of(request)
    try:
        async with front.database.statement() as connection:
            found = await reads.revision(connection)
    except StoreUnavailable:
        return show.answer({"status": "unready", "reason": "the database is away"}, 503)
    if found != front.migration_head:
        reason = f"the database is at {found}, this code needs {front.migration_head}: python -m migrations.run"
        return show.answer({"status": "unready", "reason": reason}, 503)
    return show.answer({"status": "ready", "migration": found})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Open jobs by lane and state, in Prometheus' text format."""
    async with front_of(request).database.statement() as connection:
        lanes = await reads.open_by_lane(connection)
    lines = ["# HELP tokenyard_jobs Jobs that wait or run.", "# TYPE tokenyard_jobs gauge"]
    lines += [f'tokenyard_jobs{{lane="{each.lane}",state="{each.state}"}} {each.jobs}' for each in lanes]
    lines += [
        "# HELP tokenyard_oldest_job_seconds Age of the oldest of them.",
        "# TYPE tokenyard_oldest_job_seconds gauge",
    ]
    lines += [
        f'tokenyard_oldest_job_seconds{{lane="{each.lane}",state="{each.state}"}} {each.oldest_s:.3f}' for each in lanes
    ]
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
