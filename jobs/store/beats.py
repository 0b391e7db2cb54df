"""The beat: one statement a process that keeps the leases of everything it runs, and its row in the registry.

Synchronous: it has its own thread.
"""

import uuid
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import create_engine, text

from jobs.store.fleet import LIVE, Presence
from jobs.store.session import CONNECT_TIMEOUT_S, sqlalchemy_url, unavailable

# SKIP LOCKED: a row that somebody is ending or cancelling must not hold up (or deadlock with) all the others' beat;
# it is still ours until that commits, and the next beat is two before its lease ends.
# The registry's row is made anew if a sweeper has forgotten it: the process slept, or Postgres was away.
BEAT = text(f"""
with f as materialized (
    select * from jsonb_to_recordset(cast(:held as jsonb)) as f(id uuid, token uuid)
), free as materialized (
    select j.id from jobs j join f on j.id = f.id and j.token = f.token where j.state = 'running'
    for update of j skip locked
), beaten as (
    update jobs j set lease_until = now() + make_interval(secs => :lease_s) from free where j.id = free.id
), seen as (
    insert into workers (id, name, host, pid, lanes, slots, calls_in_flight, beat_s, jobs_in_hand, loop_lag_s)
    values (:worker, :name, :host, :pid, :lanes, :slots, :calls_in_flight, :beat_s, :jobs_in_hand, :loop_lag_s)
    on conflict (id) do update set seen_at = now(), jobs_in_hand = excluded.jobs_in_hand,
        loop_lag_s = excluded.loop_lag_s
)
select j.id, j.cancel_requested_at is not null as cancelled, null as others
from jobs j join f on j.id = f.id and j.token = f.token where j.state = 'running'
union all
select null, null, count(*) from workers where id <> :worker and {LIVE}
""")  # noqa: S608 -- a constant
LEAVE = text("delete from workers where id = :worker")


class Beaten(NamedTuple):
    """What a beat brought back."""

    kept: dict[uuid.UUID, bool]
    """{job id still ours: whether its owner asked to cancel}."""
    live_workers: int
    """Worker processes that live, this one included."""


class Beats:
    """Keeps leases from a thread. A beat that fails is not a loss; a job that comes back missing is."""

    def __init__(self, url: str, presence: Presence) -> None:
        self._presence = presence
        self._engine = create_engine(
            sqlalchemy_url(url),
            pool_size=1,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": "-c statement_timeout=5000 -c synchronous_commit=off -c timezone=UTC",
            },
        )

    def beat(self, held: Mapping[uuid.UUID, uuid.UUID], lease_s: float, loop_lag_s: float = 0.0) -> Beaten:
        """Renew the leases of {job id: token}, also of none, and be seen. Raises StoreUnavailable."""
        rows = msgspec.json.encode([{"id": job_id, "token": token} for job_id, token in held.items()]).decode()
        presence = self._presence
        names = {
            "held": rows,
            "lease_s": lease_s,
            "worker": presence.id,
            "name": presence.name,
            "host": presence.host,
            "pid": presence.pid,
            "lanes": list(presence.lanes),
            "slots": presence.slots,
            "calls_in_flight": presence.calls_in_flight,
            "beat_s": presence.beat_s,
            "jobs_in_hand": len(held),
            "loop_lag_s": loop_lag_s,
        }
        with unavailable(), self._engine.connect() as connection:
            found = connection.execute(BEAT, names).all()
        kept = {row.id: row.cancelled for row in found if row.id is not None}
        return Beaten(kept, 1 + sum(row.others for row in found if row.id is None))

    def leave(self) -> None:
        """Take this process out of the registry: it stops. Raises StoreUnavailable."""
        with unavailable(), self._engine.connect() as connection:
            connection.execute(LEAVE, {"worker": self._presence.id})

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()
