"""The registry of worker processes: who lives, for shares and for the eye. Leases never depend on it."""

import datetime as dt
import uuid

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LIVE = "seen_at > now() - make_interval(secs => 3 * beat_s)"
"""Two beats may be late or lost before a worker counts as gone. `jobs.store.beats` writes the rows."""

LIST_LIVE = text(f"""
select id, name, host, pid, lanes, slots, calls_in_flight, beat_s, jobs_in_hand, loop_lag_s, started_at, seen_at
from workers where {LIVE} order by name, started_at
""")  # noqa: S608 -- a constant
FORGET_DEAD = text("delete from workers where seen_at < now() - make_interval(secs => :after_s) returning name")


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process says of itself, once."""

    id: uuid.UUID
    """Random, of this process: a restarted worker is another one, whatever its name."""
    name: str
    host: str
    pid: int
    lanes: tuple[str, ...]
    slots: int
    """Celery messages it carries at once."""
    calls_in_flight: int
    """Most provider calls it makes at once."""
    beat_s: float


class LiveWorker(Presence, frozen=True, kw_only=True):
    """A worker process that was seen within three of its beats."""

    jobs_in_hand: int
    loop_lag_s: float
    """How long its event loop had not moved at its last beat; 0 when it is well."""
    started_at: dt.datetime
    seen_at: dt.datetime


async def live(connection: AsyncConnection) -> list[LiveWorker]:
    """The workers that live, by name."""
    found = await connection.execute(LIST_LIVE)
    return [LiveWorker(**{**row, "lanes": tuple(row["lanes"])}) for row in found.mappings()]


async def forget_dead(connection: AsyncConnection, after_s: float) -> list[str]:
    """Remove workers that were not seen for so long; returns their names. One that slept comes back."""
    return list((await connection.execute(FORGET_DEAD, {"after_s": after_s})).scalars())
