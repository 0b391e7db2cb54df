"""Reads the jobs whose waiters were woken: those of one moment in one statement, never more than two at once."""

import asyncio
import uuid
from typing import cast

from jobs.store.endings import Asked, Ending, endings
from jobs.store.session import Database, StoreUnavailable

READERS = 2


class Endings:
    """Collects what is asked while a read is on its way, and reads that together next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[Asked, asyncio.Future[Ending | None]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def look(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Ending | None:
        """The job as it is now; None when this tenant has none of this id. Raises StoreUnavailable."""
        asked = Asked(tenant_id, job_id)
        told = self._asked.get(asked)
        if told is None:
            told = self._asked[asked] = asyncio.get_running_loop().create_future()
            if len(self._reading) < READERS:
                self._reading.add(asyncio.get_running_loop().create_task(self._work()))
        return await asyncio.shield(told)

    async def _work(self) -> None:
        try:
            await self._read()
        finally:  # at once, not by a callback of a later turn: who asks in between would find nobody at work
            self._reading.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _read(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                async with self._database.statement() as connection:
                    found = await endings(connection, list(asked))
            except StoreUnavailable as error:
                for told in asked.values():
                    _refuse(told, error)
            except BaseException:
                for told in asked.values():
                    told.cancel()
                raise
            else:
                for one, told in asked.items():
                    told.set_result(found.get(one))


def _refuse(told: "asyncio.Future[Ending | None]", error: StoreUnavailable) -> None:
    told.set_exception(error)
    told.exception()  # whoever asked may be gone
