"""Reads the jobs whose waiters were woken: those of one moment in one statement."""

import uuid

from jobs.coalescer import Coalescer
from jobs.ending import Ending
from jobs.store.direct import Lines
from jobs.store.endings import Asked, endings


class Endings:
    """Collects what is asked while a read is on its way, and reads that together next."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._looks: Coalescer[Asked, Ending | None] = Coalescer(self._read)

    async def look(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Ending | None:
        """The job as it is now; None when this tenant has none of this id. Raises StoreUnavailable."""
        return await self._looks.ask(Asked(tenant_id, job_id))

    async def _read(self, asked: list[Asked]) -> list[Ending | None]:
        async with self._lines.statement() as line:
            found = await endings(line, list(set(asked)))
        return [found.get(one) for one in asked]
