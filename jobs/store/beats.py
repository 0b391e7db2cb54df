"""The beat: one statement a process that keeps the leases of everything it runs. Synchronous: it has its own thread."""

import uuid
from collections.abc import Mapping

import msgspec
from sqlalchemy import create_engine, text

from jobs.store.session import CONNECT_TIMEOUT_S, sqlalchemy_url, unavailable

# SKIP LOCKED: a row that somebody is ending or cancelling must not hold up (or deadlock with) all the others' beat;
# it is still ours until that commits, and the next beat is two before its lease ends.
BEAT = text("""
with f as materialized (
    select * from jsonb_to_recordset(cast(:held as jsonb)) as f(id uuid, token uuid)
), free as materialized (
    select j.id from jobs j join f on j.id = f.id and j.token = f.token where j.state = 'running'
    for update of j skip locked
), beaten as (
    update jobs j set lease_until = now() + make_interval(secs => :lease_s) from free where j.id = free.id
)
select j.id, j.cancel_requested_at is not null as cancelled
from jobs j join f on j.id = f.id and j.token = f.token where j.state = 'running'
""")


class Beats:
    """Keeps leases from a thread. A beat that fails is not a loss; a job that comes back missing is."""

    def __init__(self, url: str) -> None:
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

    def beat(self, held: Mapping[uuid.UUID, uuid.UUID], lease_s: float) -> dict[uuid.UUID, bool]:
        """Renew the leases of {job id: token}; returns {job id still ours: whether its owner asked to cancel}.

        Raises StoreUnavailable.
        """
        rows = msgspec.json.encode([{"id": job_id, "token": token} for job_id, token in held.items()]).decode()
        with unavailable(), self._engine.connect() as connection:
            found = connection.execute(BEAT, {"held": rows, "lease_s": lease_s})
            return {row.id: row.cancelled for row in found}

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()
